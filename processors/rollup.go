package processors

import (
	"fmt"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// Rollup is one partition of the second stage: it adds up, per drop or per participant, what the
// partitions of the first stage publish about their parts, where a live decision needs the
// total. Its inputs are routed kinds, so everything of one drop meets in one Rollup. They come out of
// committed transactions: they are decodable, without duplicates, and in the order of
// their partition, which is why nothing is judged here. One goroutine owns it; the order
// of calls is Partition's.
type Rollup struct {
	number int32
	inputs []event.Kind
	rules  []RollupRule
	tables tables
	out    Output
	keys   keyArena
	// The transaction's counts, and the committed ones.
	tally, tallyWas tally
}

// RollupRule folds partials into totals. Its state lives in Tables only, as a Rule's does.
type RollupRule interface {
	// Name is lower-case and unique within a stage.
	Name() string
	// Apply folds one record of any of the stage's inputs; kinds that mean nothing to the rule it ignores. A newer
	// revision of a partial replaces the older one. The error, a record that does not decode, makes a dead letter.
	Apply(r *event.Record) *event.Error
	// Flush publishes and decides.
	Flush(t RollupTimes, out *Output)
	// Tables are the rule's state, always the same ones in the same order.
	Tables() []Staged
}

// Deciding is a RollupRule whose decisions stand until the next one about the same drop, topic and subject. Standing hands out those
// in force by the committed state, after a restore say, so that whoever follows decisions does not wait for a change. They are valid during the call.
type Deciding interface {
	Standing(each func(*event.Decision)) error
}

// RollupTimes is what a rollup rule may know of time at a flush. Event time comes with the records: a partial
// carries its partition's watermark.
type RollupTimes struct {
	// Now is the runtime's clock (Unix ms), for rate limits of publications only, never for results.
	Now int64
	// Quiet says that everything in the log has been folded: what is known now is all there is.
	Quiet bool
}

// Due says whether a total whose event time has reached progress, published last when it was at last, should be published
// again: when it has moved by every (ms), or at all and nothing more is coming.
func (t RollupTimes) Due(last, progress, every int64) bool {
	return progress-last >= every || t.Quiet && progress > last
}

// NewRollup makes an empty one; Restore fills it from the change-log.
func NewRollup(number int32, inputs []event.Kind, rules []RollupRule) *Rollup {
	r := &Rollup{number: number, inputs: slices.Clone(inputs), rules: rules}
	for _, rule := range rules {
		r.tables.add(rule.Name(), rule.Tables())
	}
	return r
}

// Process implements the stage's task.
func (r *Rollup) Process(record event.Record) event.Outcome {
	var refused *event.Error
	for _, rule := range r.rules {
		if err := rule.Apply(&record); err != nil && refused == nil {
			copied := *err
			refused = &copied
		}
	}
	if refused == nil {
		r.tally.accepted++
		return event.Accepted
	}
	r.tally.deadLetters[refused.Reason]++
	deadLetter(&r.out, r.number, &record, refused.Reason, refused.Field)
	return event.DeadLettered
}

// Flush lets the rules publish; see Partition.Flush.
func (r *Rollup) Flush(nowMS int64, caughtUp []bool) []event.Message {
	t := RollupTimes{Now: nowMS, Quiet: !slices.Contains(caughtUp, false)}
	for _, rule := range r.rules {
		rule.Flush(t, &r.out)
	}
	return r.out.Messages()
}

// Changes lists the change-log entries of the transaction; see Partition.Changes.
func (r *Rollup) Changes(each func(key string, value []byte)) {
	r.keys.reset()
	r.tables.changes(&r.keys, each)
}

// Snapshot calls each with every committed entry; see Partition.Snapshot.
func (r *Rollup) Snapshot(each func(key string, value []byte)) { r.tables.snapshot(each) }

// Commit keeps the transaction's changes.
func (r *Rollup) Commit() {
	r.tables.commit()
	r.tallyWas = r.tally
	r.out.Reset()
}

// Rollback forgets the transaction.
func (r *Rollup) Rollback() {
	r.tables.rollback()
	r.tally = r.tallyWas
	r.out.Reset()
}

// Restore puts back one change-log entry; see Partition.Restore.
func (r *Rollup) Restore(key string, value []byte) error { return r.tables.restore(key, value) }

// Stats reports the last committed state. A rollup judges no time: Late, Skewed and Duplicates are 0.
func (r *Rollup) Stats() Stats {
	s := Stats{Accepted: r.tallyWas.accepted, DeadLetters: r.tallyWas.letters(), Watermark: NoWatermark}
	s.StateKeys, s.StateBytes = r.tables.size()
	return s
}

// ValidateRollupRules is ValidateRules for rollup rules.
func ValidateRollupRules(rules []RollupRule) error {
	names := make([]string, len(rules))
	for i, rule := range rules {
		names[i] = rule.Name()
	}
	if err := validateNames(names); err != nil {
		return fmt.Errorf("rollup: %w", err)
	}
	return nil
}
