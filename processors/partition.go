package processors

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// Change-log keys: "_/progress" for the watermarks, "_/ids/<topic>/<minute>/<block>" for
// event IDs, "<rule>/<table>/<key>" for the rules' tables.
const (
	progressKey = "_/progress"
	idsPrefix   = "_/ids/"
)

// Partition runs rules over one partition number of every input. One goroutine owns it.
type Partition struct {
	number    int32
	cfg       Config
	catalogue Catalogue
	rules     []Rule
	timeless  []Timeless // among rules
	tables    tables

	decoder event.Decoder
	ev      event.Event
	out     Output

	// now is the transaction's, was the committed one.
	now, was          progress
	tally, tallyWas   tally
	seen              []*seen // by input
	keys              keyArena
	progressValue     []byte // committed
	progressCandidate []byte
}

// tally counts outcomes; a plain value, so a transaction works on a copy.
type tally struct {
	accepted, duplicates, late, skewed uint64
	deadLetters                        [256]uint64 // by event.Reason
}

// letters are the dead letters by reason.
func (t *tally) letters() map[event.Reason]uint64 {
	by := map[event.Reason]uint64{}
	for reason, n := range t.deadLetters {
		if n > 0 {
			by[event.Reason(reason)] = n
		}
	}
	return by
}

// NewPartition makes an empty partition; Restore fills it from the change-log.
// cfg must be valid, and so must rules (ValidateRules); a Rule belongs to one Partition.
func NewPartition(number int32, cfg Config, catalogue Catalogue, rules []Rule) *Partition {
	p := &Partition{
		number: number, cfg: cfg.withDefaults(), catalogue: catalogue, rules: rules,
		now: newProgress(cfg.Inputs, cfg.Quiet), was: newProgress(cfg.Inputs, cfg.Quiet),
	}
	p.cfg.Inputs = slices.Clone(cfg.Inputs)
	for range cfg.Inputs {
		p.seen = append(p.seen, newSeen())
	}
	for _, rule := range rules {
		p.tables.add(rule.Name(), rule.Tables())
		if timeless, ok := rule.(Timeless); ok {
			p.timeless = append(p.timeless, timeless)
		}
	}
	p.progressValue = p.now.append(nil, p.cfg.Inputs)
	return p
}

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// ValidateRules reports every rule of a stage whose name is taken or cannot name a metric and change-log keys.
func ValidateRules[R interface{ Name() string }](rules []R) error {
	var problems []error
	names := map[string]bool{}
	for _, rule := range rules {
		name := rule.Name()
		if !ruleName.MatchString(name) {
			problems = append(problems, fmt.Errorf("processors: rule name %q does not match %s", name, ruleName))
		}
		if names[name] {
			problems = append(problems, fmt.Errorf("processors: two rules named %q", name))
		}
		names[name] = true
	}
	return errors.Join(problems...)
}

// Process judges one record and folds it in when it is accepted. The order
// matters: what cannot be trusted moves no watermark, what is late is not
// compared with IDs that may be forgotten, and only what is counted is remembered.
func (p *Partition) Process(r event.Record) event.Outcome {
	input := slices.Index(p.cfg.Inputs, r.Kind)
	if input < 0 {
		return p.deadLetter(&r, event.ReasonUnknownType, "")
	}
	ev := &p.ev
	if err := p.decoder.Decode(r.Kind, r.Value, ev); err != nil {
		return p.deadLetter(&r, err.Reason, err.Field)
	}
	if ev.IngestTime == 0 {
		ev.IngestTime = r.Timestamp
	}
	ahead := ev.EventTime - ev.IngestTime
	if ahead > p.cfg.Quarantine || -ahead > p.cfg.Quarantine {
		return p.deadLetter(&r, event.ReasonClock, "event_time")
	}
	at, in := ev.EventTime, &p.now.inputs[input]
	skewed := ahead > p.cfg.ClockSkew
	if skewed {
		at = ev.IngestTime
	} else {
		in.advance(ev.EventTime, &p.cfg)
	}
	if by := p.now.lateBy(input, at); by > 0 {
		for _, rule := range p.timeless {
			rule.ApplyLate(ev)
		}
		return p.late(&r, by)
	}
	if p.seen[input].has(ev.ID, ev.EventTime) {
		p.tally.duplicates++
		return event.Duplicate
	}
	if ev.DropID != "" && p.catalogue.Drop(ev.DropID, r.Timestamp) == nil {
		return p.deadLetter(&r, event.ReasonUnknownDrop, "drop_id")
	}
	p.seen[input].add(ev.ID, ev.EventTime)
	p.tally.accepted++
	if skewed {
		p.tally.skewed++
	}
	for _, rule := range p.rules {
		rule.Apply(ev, at)
	}
	return event.Accepted
}

func (p *Partition) deadLetter(r *event.Record, class event.Reason, field string) event.Outcome {
	p.tally.deadLetters[class]++
	deadLetter(&p.out, p.number, r, class, field)
	return event.DeadLettered
}

func deadLetter(out *Output, partition int32, r *event.Record, class event.Reason, field string) {
	// A value beyond the record limit is cut: the letter must fit where any letter fits, and says where the whole of it is.
	value := r.Value[:min(len(r.Value), event.MaxRecordBytes)]
	letter := event.DeadLetter{
		Topic: r.Kind.Topic(), Partition: partition, Offset: r.Offset, Timestamp: r.Timestamp,
		Class: class, Field: field, Key: r.Key, Value: value,
	}
	out.Emit(event.KindDeadLetter, string(r.Key), letter.AppendJSON)
}

func (p *Partition) late(r *event.Record, by int64) event.Outcome {
	p.tally.late++
	late := event.Late{
		Topic: r.Kind.Topic(), Partition: p.number, Offset: r.Offset, Timestamp: r.Timestamp,
		EventTime: p.ev.EventTime, LateByMS: by, DropID: p.ev.DropID, Value: r.Value,
	}
	p.out.Emit(event.KindLate, string(r.Key), late.AppendJSON)
	return event.PastLateness
}

// Flush lets the rules publish. caughtUp says, per input in Config.Inputs order, that the consumer has no
// lag on it; with nowMS it decides idleness. The messages are valid until Commit or Rollback, one of
// which must follow, whether or not there is anything to write.
func (p *Partition) Flush(nowMS int64, caughtUp []bool) []event.Message {
	p.now.flush(nowMS, caughtUp, &p.cfg)
	for i, in := range p.now.inputs {
		if in.horizon != p.was.inputs[i].horizon {
			p.seen[i].expire(in.horizon)
		}
	}
	times := Times{
		Watermark: p.now.watermark, Before: p.was.watermark, AllowedLateness: p.cfg.AllowedLateness, Now: nowMS,
		inputs: p.cfg.Inputs, progress: p.now.inputs,
	}
	for _, rule := range p.rules {
		rule.Flush(times, &p.out)
	}
	if p.now.tell(p.cfg.ProgressEvery) {
		progress := event.Progress{Partition: p.number, Watermark: p.now.watermark, Idle: p.now.idle}
		p.out.Emit(event.KindProgress, strconv.Itoa(int(p.number)), progress.AppendJSON)
	}
	return p.out.Messages()
}

// Changes lists the change-log entries of the transaction; call it after Flush.
// Keys and values are valid until Commit or Rollback.
func (p *Partition) Changes(each func(key string, value []byte)) {
	p.keys.reset()
	p.progressCandidate = p.now.append(p.progressCandidate[:0], p.cfg.Inputs)
	if !bytes.Equal(p.progressCandidate, p.progressValue) {
		each(progressKey, p.progressCandidate)
	}
	for i, s := range p.seen {
		topic := p.cfg.Inputs[i].Topic()
		s.changes(func(minute int64, block int, ids []uuid.UUID) {
			start := len(p.keys.bytes)
			p.keys.bytes = appendBlockKey(p.keys.bytes, topic, minute, block)
			var value []byte
			if ids != nil {
				value = append(make([]byte, 0, 1+16*len(ids)), blockVersion)
				for _, id := range ids {
					value = append(value, id[:]...)
				}
			}
			each(p.keys.key(start), value)
		})
	}
	p.tables.changes(&p.keys, each)
}

func appendBlockKey(dst []byte, topic string, minute int64, block int) []byte {
	dst = append(append(append(dst, idsPrefix...), topic...), '/')
	dst = append(strconv.AppendInt(dst, minute, 10), '/')
	return strconv.AppendInt(dst, int64(block), 10)
}

// Snapshot calls each with every committed entry, in the form that Restore takes, each key once and in no
// order. Call it outside any transaction: before the first Process, or after Commit or Rollback. Keys and values are valid during
// the call only. It changes nothing, so another goroutine may run it while the owner waits.
func (p *Partition) Snapshot(each func(key string, value []byte)) {
	var key, value []byte
	each(progressKey, p.progressValue)
	for i, s := range p.seen {
		topic := p.cfg.Inputs[i].Topic()
		s.snapshot(func(minute int64, block int, ids *idSet) {
			key = appendBlockKey(key[:0], topic, minute, block)
			value = append(value[:0], blockVersion)
			for _, id := range ids.slots {
				if id != uuid.Nil {
					value = append(value, id[:]...)
				}
			}
			each(unsafe.String(&key[0], len(key)), value)
		})
	}
	p.tables.snapshot(each)
}

// Commit keeps the transaction's changes.
func (p *Partition) Commit() {
	p.was.set(&p.now)
	p.progressValue = p.now.append(p.progressValue[:0], p.cfg.Inputs)
	p.tallyWas = p.tally
	for _, s := range p.seen {
		s.commit()
	}
	p.tables.commit()
	p.out.Reset()
}

// Rollback forgets the transaction: the partition is again what it was before its first Process.
func (p *Partition) Rollback() {
	p.now.set(&p.was)
	p.tally = p.tallyWas
	for _, s := range p.seen {
		s.rollback()
	}
	p.tables.rollback()
	p.out.Reset()
}

// Restore puts back one change-log entry, outside any transaction; a nil value deletes its key. Keys may
// come in any order; the last value of a key wins.
func (p *Partition) Restore(key string, value []byte) error {
	if key == progressKey {
		if value == nil {
			return nil
		}
		if err := p.now.restore(value, p.cfg.Inputs); err != nil {
			return fmt.Errorf("change-log key %q: %w", key, err)
		}
		p.was.set(&p.now)
		p.progressValue = p.now.append(p.progressValue[:0], p.cfg.Inputs)
		return nil
	}
	if rest, ok := strings.CutPrefix(key, idsPrefix); ok {
		topic, rest, _ := strings.Cut(rest, "/")
		input := inputOf(p.cfg.Inputs, topic)
		if input < 0 {
			return fmt.Errorf("change-log key %q: this stage does not read %q; start it with that input, or on another change-log", key, topic)
		}
		if err := p.seen[input].restore(rest, value); err != nil {
			return fmt.Errorf("change-log key %q: %w", key, err)
		}
		return nil
	}
	return p.tables.restore(key, value)
}

// Stats are counters since NewPartition, committed transactions only, and gauges of the state.
type Stats struct {
	Accepted, Duplicates, Late, Skewed uint64
	DeadLetters                        map[event.Reason]uint64
	Watermark                          int64
	StateKeys                          int
	StateBytes                         int64
}

// Stats reports the last committed state, IDs for duplicates included in its gauges.
func (p *Partition) Stats() Stats {
	s := Stats{
		Accepted: p.tallyWas.accepted, Duplicates: p.tallyWas.duplicates, Late: p.tallyWas.late, Skewed: p.tallyWas.skewed,
		DeadLetters: p.tallyWas.letters(), Watermark: p.was.watermark,
	}
	for _, seen := range p.seen {
		s.StateKeys += seen.count
		s.StateBytes += int64(seen.count) * int64(len(uuid.UUID{}))
	}
	keys, bytes := p.tables.size()
	s.StateKeys += keys
	s.StateBytes += bytes
	return s
}
