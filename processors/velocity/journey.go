package velocity

import (
	"encoding/binary"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// journey is one player's way through one drop: the first time of each step and
// the POP of that event. The counts of the player follow from it alone.
type journey struct {
	// end is the drop's end (Unix ms) as last seen in the catalogue.
	end int64
	// at is 0 where the step was not seen.
	at  [event.NumSteps]int64
	pop [event.NumSteps]string
}

// improves says whether an event of step at (at, pop) becomes the first one.
func (j *journey) improves(step int, at int64, pop string) bool {
	first := j.at[step]
	return first == 0 || at < first || at == first && pop < j.pop[step]
}

// mark is one count of a player, in the pane that starts at start, at pop. The zero mark is none.
type mark struct {
	counts bool
	start  int64
	pop    string
	// panes is the time to convert plus 1, on the conversion of a player who had landed.
	panes uint32
}

// Slots of marks: Players by step, then these.
const (
	slotGap        = event.NumSteps
	slotConversion = event.NumSteps + 1
	numSlots       = event.NumSteps + 2
)

// marks are the player's counts by slot. Each mark depends only on first times at
// or before its own, see the package comment.
func (j *journey) marks(paneMS int64) (m [numSlots]mark) {
	landing, conversion := j.at[event.StepLanding], j.at[event.StepCompleted]
	at := func(step int) mark {
		t, pop := j.at[step], j.pop[step]
		if landing != 0 && landing <= t {
			pop = j.pop[event.StepLanding]
		}
		return mark{counts: true, start: processors.PaneStart(t, paneMS), pop: pop}
	}
	ordered := landing != 0 && (conversion == 0 || landing <= conversion)
	if ordered {
		m[event.StepLanding] = at(event.StepLanding)
	}
	gap := noStep
	for step := event.StepLanding + 1; step < event.NumSteps; step++ {
		t := j.at[step]
		ordered = ordered && t != 0 && j.at[step-1] <= t
		switch {
		case t == 0:
		case ordered:
			m[step] = at(step)
		case gap == noStep || t < j.at[gap]:
			gap = step
		}
	}
	if gap != noStep {
		m[slotGap] = at(gap)
	}
	if conversion != 0 {
		m[slotConversion] = at(event.StepCompleted)
		if landing != 0 && landing <= conversion {
			m[slotConversion].panes = uint32((m[slotConversion].start-processors.PaneStart(landing, paneMS))/paneMS) + 1
		}
	}
	return m
}

// journeyCodec writes: version, end, a bit mask of the steps seen, and for each of
// them the time after the previous one's and the POP, 0 for the previous one's POP.
type journeyCodec struct {
	paneMS int64
	names  *wire.Names
}

const journeyVersion = 1

func (c journeyCodec) Append(dst []byte, j *journey) []byte {
	dst = append(dst, journeyVersion)
	dst = binary.AppendUvarint(dst, uint64(j.end))
	maskAt := len(dst)
	dst = append(dst, 0)
	previous, pop := int64(0), ""
	for step, at := range j.at {
		if at == 0 {
			continue
		}
		dst[maskAt] |= 1 << step
		dst = binary.AppendVarint(dst, at-previous)
		if j.pop[step] == pop {
			dst = append(dst, 0)
		} else {
			dst = binary.AppendUvarint(dst, uint64(len(j.pop[step]))+1)
			dst = append(dst, j.pop[step]...)
		}
		previous, pop = at, j.pop[step]
	}
	return dst
}

func (c journeyCodec) Decode(data []byte, j *journey) error {
	r, _ := wire.NewReader(data, journeyVersion)
	*j = journey{end: r.Natural()}
	mask := r.Byte()
	if mask>>event.NumSteps != 0 {
		r.Fail()
	}
	previous, pop := int64(0), ""
	for step := range j.at {
		if mask&(1<<step) == 0 {
			continue
		}
		j.at[step] = previous + r.Signed()
		if j.at[step] <= 0 {
			r.Fail()
		}
		if n := r.Unsigned(); n > 0 {
			pop = c.names.Bytes(r.Take(n - 1))
		}
		j.pop[step] = pop
		previous = j.at[step]
	}
	return r.Done()
}

// Deadline is the last millisecond at which the drop's last pane is open.
func (c journeyCodec) Deadline(j *journey) int64 { return processors.LastPaneEnd(j.end, c.paneMS) }
