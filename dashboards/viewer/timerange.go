package viewer

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// A time is an anchor with offsets (now-6h, start-30m, end, data-1h30m, first-cue, last-cue), Unix ms, or RFC 3339.

// anchor is what an offset counts from.
type anchor string

const (
	fixed   anchor = ""      // the instant itself
	atNow   anchor = "now"   // wall clock
	atStart anchor = "start" // the chosen drop's
	atEnd   anchor = "end"
	atData  anchor = "data" // newest event time stored of it
	atFirst anchor = "first-cue"
	atLast  anchor = "last-cue" // while the stream goes on, its newest data
)

// instant is a parsed time: an offset from its anchor, or from the Unix epoch, in ms.
type instant struct {
	from   anchor
	offset int64
}

// ofDrop says whether the anchor is one of the drop's.
func (i instant) ofDrop() bool { return i.from != fixed && i.from != atNow }

// Times outside make no sense, and ClickHouse's types end not far from them. Offsets reach as far as the range.
var (
	earliest  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	latest    = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	maxOffset = latest - earliest
)

var unitMS = map[byte]int64{'s': 1000, 'm': 60_000, 'h': 3_600_000, 'd': 24 * 3_600_000, 'w': 7 * 24 * 3_600_000}

// parseInstant reads a time; ok is false for anything else.
func parseInstant(s string) (at instant, ok bool) {
	for _, a := range []anchor{atNow, atStart, atEnd, atData, atFirst, atLast} {
		if rest, found := strings.CutPrefix(s, string(a)); found {
			offset, ok := parseOffset(rest)
			return instant{a, offset}, ok
		}
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return instant{fixed, ms}, ms >= earliest && ms <= latest
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		ms := t.UnixMilli()
		return instant{fixed, ms}, ms >= earliest && ms <= latest
	}
	return instant{}, false
}

// parseOffset reads any number of -30m, +1h30m and the like.
func parseOffset(s string) (ms int64, ok bool) {
	sign := int64(0)
	for s != "" {
		switch s[0] {
		case '+':
			sign, s = 1, s[1:]
		case '-':
			sign, s = -1, s[1:]
		}
		digits := 0
		for digits < len(s) && digits < 10 && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		if sign == 0 || digits == 0 || digits == len(s) {
			return 0, false
		}
		n, err := strconv.ParseInt(s[:digits], 10, 64)
		unit, known := unitMS[s[digits]]
		if err != nil || !known || n > maxOffset/unit {
			return 0, false
		}
		ms += sign * n * unit
		if ms > maxOffset || ms < -maxOffset {
			return 0, false
		}
		s = s[digits+1:]
	}
	return ms, true
}

// dropTimes are a drop's anchors in Unix ms. newest is 0 before there is data, and the cues' are 0 for a stream without any.
type dropTimes struct{ start, end, newest, firstCue, lastCue int64 }

// ms resolves the instant. Before there is data, it has come as far as the drop's start; without cues, they are where data are.
func (i instant) ms(now int64, drop dropTimes) int64 {
	switch i.from {
	case atNow:
		return now + i.offset
	case atStart:
		return drop.start + i.offset
	case atEnd:
		return drop.end + i.offset
	case atFirst:
		return cmp.Or(drop.firstCue, drop.start) + i.offset
	case atLast:
		return cmp.Or(drop.lastCue, drop.newest, drop.start) + i.offset
	case atData:
		return cmp.Or(drop.newest, drop.start) + i.offset
	}
	return i.offset
}

// timeRange is [From, To) in Unix ms and the step of series in seconds.
type timeRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
	Step int64 `json:"step"`
}

// resolve is the range between two instants with about points steps. Ends that hang on an anchor move in rounds, so that
// everybody who asks within one asks the same.
func resolve(from, to instant, now int64, drop dropTimes, round time.Duration, points int) (timeRange, *Problem) {
	r := timeRange{From: from.ms(now, drop), To: to.ms(now, drop)}
	if from.from != fixed {
		r.From = floor(r.From, round.Milliseconds())
	}
	if to.from != fixed {
		r.To = floor(r.To+round.Milliseconds()-1, round.Milliseconds())
	}
	if r.From == r.To && to.from == atData {
		r.To += round.Milliseconds() // nothing has come yet, which is no mistake of the viewer
	}
	switch {
	case r.From >= r.To:
		return r, problem(BadRequest, "The time range is empty: it ends before it begins.").fixedBy("Choose another range.")
	case r.From < earliest || r.To > latest:
		return r, problem(BadRequest, "The time range lies outside the years 2000 to 2199.").fixedBy("Choose another range.")
	}
	r.Step = stepOf(r, points)
	return r, nil
}

// stepOf is the step that gives a range about points steps.
func stepOf(r timeRange, points int) int64 {
	return niceStep((r.To - r.From + int64(points)*1000 - 1) / (int64(points) * 1000))
}

// since is the part of the range in which there are samples, and whether it is less than all of it: a young process would
// show a sliver at the right edge. At least a minute stays.
func (r timeRange) since(oldest time.Time, round time.Duration, points int) (timeRange, bool) {
	from := min(floor(oldest.UnixMilli(), round.Milliseconds()), r.To-time.Minute.Milliseconds())
	if oldest.IsZero() || from <= r.From || oldest.UnixMilli() >= r.To {
		return r, false
	}
	r.From = from
	r.Step = stepOf(r, points)
	return r, true
}

func floor(ms, to int64) int64 {
	r := ms % to
	if r < 0 {
		r += to
	}
	return ms - r
}

const day = 86_400

var steps = []int64{1, 2, 5, 10, 15, 20, 30, 60, 2 * 60, 5 * 60, 10 * 60, 15 * 60, 20 * 60, 30 * 60, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600}

// niceStep is the shortest step of at least s seconds that people count in.
func niceStep(s int64) int64 {
	for _, step := range steps {
		if step >= s {
			return step
		}
	}
	return (s + day - 1) / day * day
}
