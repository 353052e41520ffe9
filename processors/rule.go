// Package processors is the runtime of keyed state machines: it judges each
// record (decoding, clocks, duplicates, lateness, unknown drops), folds it into
// the rule sets of its partition, and keeps everything staged until the caller
// says whether the transaction committed. It knows no Kafka and no clock and
// starts no goroutine: one goroutine owns a Partition and calls it.
//
// The order of one transaction, and the only one allowed:
//
//	Process ... Process   fold records
//	Flush                 rules publish what changed; outputs are complete
//	Changes               every changed key's new value, for the change-log
//	Commit | Rollback     keep or forget all of it
package processors

import "github.com/droplift/droplift/ingest/event"

// NoWatermark is the watermark of a partition that has seen nothing.
const NoWatermark int64 = -1

// Rule is one live-ops rule set over one partition: a pure state machine whose
// state lives in Tables only, so that the runtime can stage and restore it:
// whatever else a Rule keeps between calls survives an abort that should undo it.
type Rule interface {
	// Name is lower-case and unique within a stage; it names metrics and change-log keys.
	Name() string
	// Apply folds one accepted event. at is the event's effective time (Unix ms):
	// event_time, or ingest_time where the client's clock runs ahead. ev and its strings are
	// valid only during the call; clone what is kept.
	Apply(ev *event.Event, at int64)
	// Flush publishes what changed since the last flush, and fires what the watermark has passed.
	Flush(t Times, out *Output)
	// Tables are the rule's state, always the same ones in the same order.
	Tables() []Staged
}

// Timeless is a Rule whose facts do not expire: it also folds events past the allowed lateness, which the runtime sends to the
// late topic as well. Nobody has compared their IDs: a Timeless rule knows its duplicates itself.
type Timeless interface {
	// ApplyLate folds one late event, under the conditions of Apply. The catalogue may not hold its drop.
	ApplyLate(ev *event.Event)
}

// Counting is a Rule or RollupRule that counts what became of events beyond their acceptance: refused, parked, alarmed. The counts
// are totals since it was made and are not staged: what a rolled-back transaction did is counted again when it is repeated.
type Counting interface {
	Outcomes(each func(outcome string, total uint64))
}

// Times is what a rule may know of time at a flush.
type Times struct {
	// Watermark of the partition: no record at or before it is expected. NoWatermark when there is none.
	Watermark int64
	// Before is the watermark of the flush before: all that was known of time while the transaction's events were applied.
	Before int64
	// AllowedLateness in ms: a pane is final when Watermark ≥ its end − 1 + AllowedLateness.
	AllowedLateness int64
	// Now is the runtime's clock (Unix ms), for rate limits of publications and for saying when something was published, never for results.
	Now int64

	inputs   []event.Kind
	progress []inputProgress
}

// Horizon is the event time (Unix ms) at and before which no event of an input
// will be accepted any more: its own watermark less the allowed lateness, which
// a lagging sibling does not hold back. Math.MinInt64 when there is none yet.
func (t Times) Horizon(kind event.Kind) int64 {
	for i, input := range t.inputs {
		if input == kind {
			return t.progress[i].horizon
		}
	}
	return never
}

// Catalogue looks drops up.
type Catalogue interface {
	// Drop returns the newest entry, or nil when everything published up to the broker time asOf
	// (Unix ms) holds none; it may wait for the catalogue to be read that far. The entry is shared: do
	// not change it.
	Drop(id string, asOf int64) *event.Drop
}

// Output collects messages in chunks of memory that are never written twice: a
// producer may still hold messages of the last transaction.
type Output struct {
	chunk    []byte
	messages []event.Message
}

// chunkBytes is the size of a chunk; a message that does not fit the rest of one gets its own memory.
const chunkBytes = 1 << 16

// Emit appends a message: value is called with free memory to append to, so that
// an encoder writes in place.
func (o *Output) Emit(kind event.Kind, key string, value func(dst []byte) []byte) {
	if cap(o.chunk)-len(o.chunk) < max(len(key), chunkBytes/16) {
		o.chunk = make([]byte, 0, max(len(key), chunkBytes))
	}
	start := len(o.chunk)
	o.chunk = append(o.chunk, key...)
	m := event.Message{Kind: kind, Key: o.chunk[start:len(o.chunk):len(o.chunk)]}
	start = len(o.chunk)
	m.Value = value(o.chunk[start:])
	if end := start + len(m.Value); end <= cap(o.chunk) {
		o.chunk = o.chunk[:end] // it was written here
	}
	m.Value = m.Value[:len(m.Value):len(m.Value)]
	o.messages = append(o.messages, m)
}

// Len is the number of messages collected.
func (o *Output) Len() int { return len(o.messages) }

// Messages returns what was emitted since Reset, in order. The slice is valid
// until the next Emit or Reset.
func (o *Output) Messages() []event.Message { return o.messages }

// Reset forgets all messages.
func (o *Output) Reset() {
	clear(o.messages)
	o.messages = o.messages[:0]
}
