package kafka

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// plan is what a Feed's commit says beside its offset: the batches that may be
// on their way into the store. They join on: the first begins at the committed offset, each
// other one where the one before it ends.
//
//	v2 last=127,255             0–127 and 128–255, if 0 is committed
//	v2 last=127,255 halved=127  0–127 was refused as a whole, and is stored in halves
//
// "v1 last=127", one batch, was written by earlier versions.
type plan []planned

// planned is one batch of a plan.
type planned struct {
	first, last int64
	// halved: the store has refused the whole; from here on only parts of it are written, by whoever repeats it.
	halved bool
}

// String is the commit's metadata; empty without a batch.
func (p plan) String() string {
	if len(p) == 0 {
		return ""
	}
	var lasts, halved []string
	for _, b := range p {
		last := strconv.FormatInt(b.last, 10)
		lasts = append(lasts, last)
		if b.halved {
			halved = append(halved, last)
		}
	}
	text := "v2 last=" + strings.Join(lasts, ",")
	if halved != nil {
		text += " halved=" + strings.Join(halved, ",")
	}
	return text
}

// last is the last offset that the plan covers; −1 of an empty one.
func (p plan) last() int64 {
	if len(p) == 0 {
		return -1
	}
	return p[len(p)-1].last
}

// parsePlan reads the metadata of a commit at offset first; ok is false when it
// holds no plan.
func parsePlan(metadata string, first int64) (p plan, ok bool, err error) {
	if metadata == "" {
		return nil, false, nil
	}
	if last, found := strings.CutPrefix(metadata, "v1 last="); found && !strings.ContainsAny(last, ", ") {
		metadata = "v2 last=" + last
	}
	fields := strings.Split(metadata, " ")
	bad := fmt.Errorf("commit metadata %q is no plan for offset %d of this program", metadata, first)
	if fields[0] != "v2" || len(fields) < 2 || len(fields) > 3 {
		return nil, false, bad
	}
	lasts, ok := offsetList(fields[1], "last=")
	if !ok {
		return nil, false, bad
	}
	var halved []int64
	if len(fields) == 3 {
		if halved, ok = offsetList(fields[2], "halved="); !ok {
			return nil, false, bad
		}
	}
	for _, last := range lasts {
		if last < first {
			return nil, false, bad
		}
		i := slices.Index(halved, last)
		p = append(p, planned{first: first, last: last, halved: i >= 0})
		if i >= 0 {
			halved = slices.Delete(halved, i, i+1)
		}
		first = last + 1
	}
	if len(halved) > 0 {
		return nil, false, bad
	}
	return p, true, nil
}

func offsetList(field, name string) (offsets []int64, ok bool) {
	list, found := strings.CutPrefix(field, name)
	if !found {
		return nil, false
	}
	for digits := range strings.SplitSeq(list, ",") {
		offset, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, false
		}
		offsets = append(offsets, offset)
	}
	return offsets, true
}
