package processors

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
)

// Rollup is one partition of the second stage: it adds up, per drop or per participant, what the
// partitions of the first stage publish about their parts, where a live decision needs the
// total. Its inputs are routed kinds, so everything of one drop meets in one Rollup. They come out of
// committed transactions: they are decodable, without duplicates, and in the order of
// their partition, which is why nothing is judged here. One goroutine owns it; the order
// of calls is Partition's.
//
// Event time is the first stage's: every one of its partitions tells its watermark to every Rollup (event.Progress), and
// the rollup's watermark is the lowest of those that are not idle. Records of different topics may
// overtake each other, so a partial may come shortly after the watermark that covers it: what is said as of a
// watermark can still be revised.
type Rollup struct {
	number  int32
	rules   []RollupRule
	sources *Table[source]
	// watermark is the transaction's, watermarkWas the committed one; it never moves back.
	watermark, watermarkWas int64
	decoder                 event.Decoder
	told                    event.Progress
	tables                  tables
	out                     Output
	keys                    keyArena
	// The transaction's counts, and the committed ones.
	tally, tallyWas tally
}

// RollupRule folds partials into totals. Its state lives in Tables only, as a Rule's does.
type RollupRule interface {
	// Name is lower-case and unique within a stage.
	Name() string
	// Apply folds one record of any of the stage's inputs but progress; kinds that mean nothing to the rule it ignores. A newer
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

// RollupTimes is what a rollup rule may know of time at a flush.
type RollupTimes struct {
	// Watermark up to which all partitions of the first stage have come that are not idle; NoWatermark before the first.
	Watermark int64
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
func NewRollup(number int32, rules []RollupRule) *Rollup {
	r := &Rollup{
		number: number, rules: rules, sources: NewTable("sources", Codec[source](sourceCodec{})),
		watermark: NoWatermark, watermarkWas: NoWatermark,
	}
	r.tables.add(sourcesTable, []Staged{r.sources})
	for _, rule := range rules {
		r.tables.add(rule.Name(), rule.Tables())
	}
	return r
}

// Process implements the stage's task.
func (r *Rollup) Process(record event.Record) event.Outcome {
	if record.Kind == event.KindProgress {
		return r.progress(&record)
	}
	var refused *event.Error
	for _, rule := range r.rules {
		if err := rule.Apply(&record); err != nil && refused == nil {
			copied := *err
			refused = &copied
		}
	}
	return r.judged(&record, refused)
}

func (r *Rollup) judged(record *event.Record, refused *event.Error) event.Outcome {
	if refused == nil {
		r.tally.accepted++
		return event.Accepted
	}
	r.tally.deadLetters[refused.Reason]++
	deadLetter(&r.out, r.number, record, refused.Reason, refused.Field)
	return event.DeadLettered
}

// progress takes in how far a partition of the first stage has come.
func (r *Rollup) progress(record *event.Record) event.Outcome {
	err := r.decoder.Progress(record.Value, &r.told)
	if err == nil {
		s, _ := r.sources.Put(strconv.Itoa(int(r.told.Partition)))
		s.watermark, s.idle = max(s.watermark, r.told.Watermark), r.told.Idle
	}
	return r.judged(record, err)
}

// advance moves the watermark: to the lowest of the partitions that are not idle, and where all are, to the highest,
// because then nobody is waited for.
func (r *Rollup) advance() {
	lowest, highest := int64(math.MaxInt64), NoWatermark
	if err := r.sources.Each(func(_ string, s *source) {
		if highest = max(highest, s.watermark); !s.idle {
			lowest = min(lowest, s.watermark)
		}
	}); err != nil {
		panic(err) // Restore checked them: this is a codec that cannot read what it wrote
	}
	r.watermark = max(r.watermark, min(lowest, highest))
}

// source is one partition of the first stage.
type source struct {
	watermark int64
	idle      bool
}

// sourcesTable stands where a rule's name does in change-log keys.
const sourcesTable = "_sources"

const sourceVersion = 1

type sourceCodec struct{}

func (sourceCodec) Append(dst []byte, s *source) []byte {
	idle := byte(0)
	if s.idle {
		idle = 1
	}
	return binary.AppendVarint(append(dst, sourceVersion, idle), s.watermark)
}

func (sourceCodec) Decode(data []byte, s *source) error {
	_, rest, err := Version(data, sourceVersion)
	if err != nil {
		return err
	}
	if len(rest) == 0 || rest[0] > 1 {
		return errors.New("source: neither idle nor not")
	}
	watermark, n := binary.Varint(rest[1:])
	if n <= 0 || n != len(rest)-1 {
		return errors.New("source: its watermark is no number")
	}
	*s = source{watermark: watermark, idle: rest[0] == 1}
	return nil
}

func (sourceCodec) Deadline(*source) int64 { return 0 }

// Flush lets the rules publish; see Partition.Flush.
func (r *Rollup) Flush(nowMS int64, caughtUp []bool) []event.Message {
	r.advance()
	t := RollupTimes{Watermark: r.watermark, Now: nowMS, Quiet: !slices.Contains(caughtUp, false)}
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
	r.tallyWas, r.watermarkWas = r.tally, r.watermark
	r.out.Reset()
}

// Rollback forgets the transaction.
func (r *Rollup) Rollback() {
	r.tables.rollback()
	r.tally, r.watermark = r.tallyWas, r.watermarkWas
	r.out.Reset()
}

// Restore puts back one change-log entry; see Partition.Restore.
func (r *Rollup) Restore(key string, value []byte) error { return r.tables.restore(key, value) }

// Stats reports the last committed state. A rollup judges no time: Late, Skewed and Duplicates are 0.
func (r *Rollup) Stats() Stats {
	s := Stats{Accepted: r.tallyWas.accepted, DeadLetters: r.tallyWas.letters(), Watermark: r.watermarkWas}
	s.StateKeys, s.StateBytes = r.tables.size()
	return s
}
