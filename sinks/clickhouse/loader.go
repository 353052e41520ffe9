package clickhouse

import (
	"fmt"
	"math"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/droplift/droplift/ingest/event"
)

// Loader holds one topic-partition's open batch and seals it into batches to be
// written. One goroutine owns it; what it has sealed is others' business.
type Loader struct {
	sink      *Sink
	kind      event.Kind
	name      string // of the table
	topic     string
	partition int32
	flow      *flow

	insert string // the INSERT statement
	wire   []ch.ColumnNameAndType

	table  *table // the open batch's columns; nil before its first record
	open   tally
	opened time.Time // when Due first saw the open batch
	grown  time.Time // when Due last saw that it had grown, to seen records
	seen   int
	asked  time.Time    // when it last asked for its turn
	record event.Record // the one being added; here because a pointer to a parameter would cost an allocation
	sealed int
}

// tally is what is known of a batch beside its columns.
type tally struct {
	// records were added, rows of them were decoded.
	records, rows, bytes      int
	newestEvent, newestRecord int64
	// first and last offset added; known when records > 0.
	first, last int64
}

func newLoader(s *Sink, kind event.Kind, topic string, partition int32) *Loader {
	t := newTable(kind)
	l := &Loader{sink: s, kind: kind, name: t.name, topic: topic, partition: partition}
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name()
		l.wire = append(l.wire, ch.ColumnNameAndType{Name: c.name(), Type: c.wire()})
	}
	l.insert = "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ")"
	return l
}

// Add decodes r and appends it to the open batch. It keeps no reference to r. A
// record that cannot be decoded is left out and counted; refused, valid until the next Add, says why.
// It is the caller's to dead-letter, unless it is raw: the processors read the same records
// with the same decoder, and dead-letter it.
func (l *Loader) Add(r event.Record) (refused *event.Error) {
	if l.table == nil {
		l.table = l.sink.columns(l.kind)
	}
	b := &l.open
	if b.records == 0 {
		b.first = r.Offset
	}
	b.last = r.Offset
	b.records++
	b.bytes += len(r.Value)
	l.record = r
	newest, refused := l.table.add(&l.record)
	l.record = event.Record{}
	if refused != nil {
		l.sink.metrics.skipped(l.name, refused.Reason)
		return refused
	}
	b.rows++
	l.table.position.partition.add(uint32(l.partition))
	l.table.position.offset.add(uint64(r.Offset))
	l.table.position.time.add(r.Timestamp)
	b.newestEvent = max(b.newestEvent, newest)
	b.newestRecord = max(b.newestRecord, r.Timestamp)
	return nil
}

// Due reports whether the open batch should be written. Its age counts from the
// first Due that saw it, and its limit is what the sink's pace gives this
// topic-partition. A batch that has come of age waits, and grows, until there is
// room for its insert; one that is full does not. One that has not grown for MaxAge is of age.
func (l *Loader) Due(now time.Time) bool {
	b := &l.open
	if b.records == 0 {
		return false
	}
	if l.opened.IsZero() {
		l.opened = now
	}
	if b.records != l.seen {
		l.seen, l.grown = b.records, now
	}
	limit := l.age()
	if now.Sub(l.grown) >= l.sink.flush.MaxAge {
		limit = 0 // the burst is over: nothing is saved by waiting for more
	}
	switch l.sink.flush.Due(b.records, b.bytes, now.Sub(l.opened), limit) {
	case Full:
		return true
	case Aged:
		if now.Sub(l.asked) < askEvery {
			return false // Due is called for every record
		}
		l.asked = now
		return l.sink.turns.mine(l, l.sink.room(), now)
	}
	return false
}

// askEvery is how often a batch that has come of age asks for its turn.
const askEvery = 5 * time.Millisecond

// age is the limit of the open batch. It varies by a quarter from batch to batch, and from
// loader to loader, so that partitions that began together do not go on flushing together.
func (l *Loader) age() time.Duration {
	const golden = 0.6180339887498949
	_, share := math.Modf(float64(l.sealed+l.flow.number) * golden)
	return time.Duration(float64(l.flow.age.Load()) * (1 - share/4))
}

// Discard empties the open batch.
func (l *Loader) Discard() {
	if l.table != nil {
		l.sink.recycle(l.kind, l.table)
	}
	l.begin()
}

// begin makes ready for the next batch.
func (l *Loader) begin() {
	if !l.asked.IsZero() {
		l.sink.turns.leave(l)
	}
	l.table, l.open, l.opened, l.asked, l.grown, l.seen = nil, tally{}, time.Time{}, time.Time{}, time.Time{}, 0
}

// Seal ends the open batch, which covers exactly the offsets first to last, and
// returns it for writing. repeated says that the range, or a part of it, may have been written before. A
// loader's first batch is taken for one as well: offsets may have been set back by hand.
func (l *Loader) Seal(first, last int64, repeated bool) *Batch {
	b := &Batch{
		sink: l.sink, kind: l.kind, name: l.name, topic: l.topic, partition: l.partition, flow: l.flow, insert: l.insert, wire: l.wire,
		table: l.table, tally: l.open, whole: span{first: first, last: last, to: l.open.rows}, unsure: repeated || l.sealed == 0,
		enter: func(string) {},
	}
	l.sealed++
	l.begin()
	l.sink.underway.Add(1)
	return b
}

// span is a contiguous part of a batch: its offsets, and the rows from (inclusive) to (exclusive) that they became. The rows, and
// hence the token that names the offsets, are a function of the range alone.
type span struct {
	first, last int64
	from, to    int
}

func (s span) count() int { return s.to - s.from }

func (s span) String() string { return fmt.Sprintf("%d to %d", s.first, s.last) }
