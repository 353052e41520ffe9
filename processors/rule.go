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

// Times is what a rule may know of time at a flush.
type Times struct {
	// Watermark of the partition: no record at or before it is expected. NoWatermark when there is none.
	Watermark int64
	// AllowedLateness in ms: a pane is final when Watermark ≥ its end − 1 + AllowedLateness.
	AllowedLateness int64
	// Now is the runtime's clock (Unix ms), for rate limits of publications only, never for results.
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

// Output collects messages in one arena.
type Output struct {
	arena    []byte
	spans    []span
	messages []event.Message
}

type span struct {
	kind            event.Kind
	start, mid, end int
}

// Emit appends a message: value is called with the arena's tail to append to,
// so that an encoder writes in place.
func (o *Output) Emit(kind event.Kind, key string, value func(dst []byte) []byte) {
	start := len(o.arena)
	o.arena = append(o.arena, key...)
	mid := len(o.arena)
	o.arena = value(o.arena)
	o.spans = append(o.spans, span{kind: kind, start: start, mid: mid, end: len(o.arena)})
}

// Len is the number of messages collected.
func (o *Output) Len() int { return len(o.spans) }

// Messages returns what was emitted since Reset, in order. The result is valid
// until the next Emit or Reset.
func (o *Output) Messages() []event.Message {
	o.messages = o.messages[:0]
	for _, s := range o.spans {
		o.messages = append(o.messages, event.Message{Kind: s.kind, Key: o.arena[s.start:s.mid:s.mid], Value: o.arena[s.mid:s.end:s.end]})
	}
	return o.messages
}

// Reset forgets all messages. The arena is given up, not reused: a producer may
// still hold messages of the last transaction.
func (o *Output) Reset() {
	o.arena, o.spans = nil, o.spans[:0]
}
