package main

import (
	"slices"

	"github.com/droplift/droplift/sinks/clickhouse"
)

// offsetRuns is a set of offsets as sorted ranges that do not touch.
type offsetRuns []clickhouse.OffsetRange

// add takes the next offset, which is above all that are in the set.
func (r *offsetRuns) add(offset int64) {
	if n := len(*r); n > 0 && (*r)[n-1].Last == offset-1 {
		(*r)[n-1].Last = offset
		return
	}
	*r = append(*r, clickhouse.OffsetRange{First: offset, Last: offset})
}

// newOffsetRuns makes a set of offsets in any order, which it sorts.
func newOffsetRuns(offsets []int64) offsetRuns {
	slices.Sort(offsets)
	var r offsetRuns
	for _, offset := range slices.Compact(offsets) {
		r.add(offset)
	}
	return r
}

// auditRange is one contiguous finding, both ends inclusive. Contiguous means that no healthy record lies in it:
// offsets that hold a transaction's marker do not part it.
type auditRange struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Records is how many offsets of the range are concerned.
	Records int64 `json:"records"`
}

// comparison holds one topic-partition's offsets in Kafka against those in ClickHouse, window by window
// in ascending order, and collects what differs.
type comparison struct {
	// start is where Kafka's log begins, released where the sink's plan begins. Rows from released on are in flight.
	start, released int64
	// excused offsets may lack their row.
	excused runCursor

	// records that Kafka holds, and rows that ClickHouse holds.
	records, rows int64
	// gone rows are below Kafka's log.
	gone, inFlight int64
	// expired, pending and left out records lack their row rightly: see auditWindow.
	expired, pending, leftOut int64
	missing, doubled          []auditRange
	// unknown are the rows at offsets at which Kafka shows no record: stray ones, unless compaction took the record.
	unknown []clickhouse.Run
	last    *[]auditRange // the finding that the last record or row was, nil for a healthy one
}

// auditWindow is what both sides hold of the offsets from first to last.
type auditWindow struct {
	clickhouse.OffsetRange
	// due records must have a row. expired ones are older than a row is kept. pending ones do not decode, and the
	// processors, who will dead-letter them, have not come to them.
	due, expired, pending offsetRuns
	held                  []clickhouse.Run
}

// take compares one window. It walks over the stretches within which nothing changes on either side.
func (c *comparison) take(w *auditWindow) {
	lists := []*runCursor{{runs: w.due}, {runs: w.expired}, {runs: w.pending}, &c.excused}
	held := w.held
	for at := w.First; at <= w.Last; {
		end := w.Last
		for _, bound := range []int64{c.start, c.released} {
			if bound > at {
				end = min(end, bound-1)
			}
		}
		var in [4]bool
		for i, list := range lists {
			in[i], end = list.at(at, end)
		}
		for len(held) > 0 && held[0].Last < at {
			held = held[1:]
		}
		copies := int64(0)
		if len(held) > 0 {
			if held[0].First > at {
				end = min(end, held[0].First-1)
			} else {
				copies, end = held[0].Copies, min(end, held[0].Last)
			}
		}
		c.stretch(auditRange{at, end, end - at + 1}, copies, stretchIn{due: in[0], expired: in[1], pending: in[2], excused: in[3]})
		at = end + 1
	}
}

type stretchIn struct{ due, expired, pending, excused bool }

// stretch judges offsets that are all alike.
func (c *comparison) stretch(r auditRange, copies int64, in stretchIn) {
	inLog := in.due || in.expired || in.pending
	c.rows += copies * r.Records
	if inLog {
		c.records += r.Records
	}
	switch {
	case copies > 1:
		c.find(&c.doubled, r)
	case copies == 1:
		c.last = nil
	}
	switch {
	case r.First < c.start:
		c.gone += copies * r.Records
	case r.First >= c.released:
		c.inFlight += copies * r.Records
	case copies > 0 && !inLog:
		c.unknown = append(c.unknown, clickhouse.Run{OffsetRange: clickhouse.OffsetRange{First: r.First, Last: r.Last}, Copies: copies})
	case copies > 0:
	case in.due && in.excused:
		c.leftOut += r.Records
	case in.due:
		c.find(&c.missing, r)
	case in.expired:
		c.expired += r.Records
	case in.pending:
		c.pending += r.Records
	}
}

// find adds a range to a finding, and joins it with the one before if nothing healthy and no other finding lies between.
func (c *comparison) find(in *[]auditRange, r auditRange) {
	if n := len(*in); n > 0 && c.last == in {
		(*in)[n-1].Last = r.Last
		(*in)[n-1].Records += r.Records
	} else {
		*in = append(*in, r)
	}
	c.last = in
}

// runCursor walks a set in ascending order.
type runCursor struct{ runs offsetRuns }

// at says whether the set holds offset, and cuts end to where that changes.
func (l *runCursor) at(offset, end int64) (bool, int64) {
	for len(l.runs) > 0 && l.runs[0].Last < offset {
		l.runs = l.runs[1:]
	}
	if len(l.runs) == 0 {
		return false, end
	}
	if first := l.runs[0].First; first > offset {
		return false, min(end, first-1)
	}
	return true, min(end, l.runs[0].Last)
}
