package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/replay"
	"github.com/droplift/droplift/processors"
)

// DeadLetterReplayCmd gives records back to the topics they came from.
type DeadLetterReplayCmd struct {
	DeadLetterSelection `embed:""`
	Mapping             string `help:"Mend the values with this mapping (YAML, kind of one topic, format jsonl) instead of sending them as they are." placeholder:"FILE"`
	DryRun              bool   `help:"Only say what would happen."`
	Force               bool   `help:"Also send what would be refused again."`
}

// Help is shown by --help.
func (c *DeadLetterReplayCmd) Help() string {
	return "Each record goes back to its topic and partition under its key, once for ever: however often this runs, is " +
		"killed, or runs twice at once. A record that today's processors would refuse again stays where it is. What is refused " +
		"again after all becomes a dead letter of its own, which list shows with its attempt.\n\n" +
		"The mapping language is that of `droplift replay`: a value is one row, with its members as columns. Map id, if it was good: " +
		"else the event gets a new one, the same at every attempt.\n\n" +
		"Records of class unknown_drop and clock are in the raw tables already; replayed, they stand there twice and count once.\n\n" +
		"After a fix of the decoder, and with a mapping that mends the data:\n\n" +
		"  droplift deadletter replay --class wrong_type --dry-run\n" +
		"  droplift deadletter replay --topic checkout --mapping cents.yaml"
}

// letterOutcome is what becomes of a dead letter in a replay.
type letterOutcome string

const (
	outcomeSent     letterOutcome = "sent"
	outcomeBefore   letterOutcome = "replayed before"
	outcomeRefused  letterOutcome = "refused again"
	outcomeSkipped  letterOutcome = "left out by the mapping"
	outcomeUnmended letterOutcome = "refused by the mapping"
	outcomeCut      letterOutcome = "cut" // the dead letter does not hold the whole record
)

// Batches of one transaction end at either bound.
const (
	redeliverRecords = 1000
	redeliverBytes   = 8 << 20
)

func (c *DeadLetterReplayCmd) Run(ctx context.Context, cfg *Config) error {
	log := cfg.logger(os.Stderr)
	filter, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	r := &redeliverer{cmd: c, limit: c.Limit, counts: map[redeliveryGroup]map[letterOutcome]int64{}, reasons: map[redeliveryGroup]map[string]int64{}}
	if c.Mapping != "" {
		mapping, err := replay.Load(c.Mapping)
		if err != nil {
			return err
		}
		if r.converter, err = replay.NewConverter(mapping, c.Mapping); err != nil {
			return err
		}
		if filter.kinds == nil {
			filter.kinds = []event.Kind{mapping.Kind()}
		}
		if len(filter.kinds) != 1 || filter.kinds[0] != mapping.Kind() {
			return fmt.Errorf("--mapping %s makes %s events: select --topic %s alone", c.Mapping, mapping.Kind().Topic(), mapping.Kind().Topic())
		}
		r.mapping = mapping.Name()
	}
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, log)
	if err != nil {
		return err
	}
	if r.judge, err = newJudge(ctx, cfg, conf); err != nil {
		return err
	}
	if c.DryRun {
		if r.given, err = kafka.ReadRedeliveries(ctx, conf); err != nil {
			return err
		}
	} else {
		if err := cfg.ensureTopics(ctx, conf, log); err != nil {
			return err
		}
		if r.redelivery, err = kafka.NewRedelivery(ctx, conf); err != nil {
			return err
		}
		defer r.redelivery.Close()
		r.given = r.redelivery.Redeliveries
	}
	err = filter.read(ctx, conf, "dead letters", func(l *event.DeadLetter) error { return r.take(ctx, l) })
	if err == nil {
		err = r.flush(ctx)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	r.print()
	return err
}

// redeliverer is one replay under way.
type redeliverer struct {
	cmd        *DeadLetterReplayCmd
	limit      int
	converter  *replay.Converter // nil to send values as they are
	mapping    string
	judge      *judge
	given      *kafka.Redeliveries
	redelivery *kafka.Redelivery // nil in a dry run

	batch   []kafka.Return
	groups  []redeliveryGroup // of the batch
	bytes   int
	taken   int
	counts  map[redeliveryGroup]map[letterOutcome]int64
	reasons map[redeliveryGroup]map[string]int64
}

// redeliveryGroup is what outcomes are counted by.
type redeliveryGroup struct {
	kind  event.Kind
	class event.Reason
}

// take decides about one dead letter.
func (r *redeliverer) take(ctx context.Context, l *event.DeadLetter) error {
	place := placeOf(l)
	group := redeliveryGroup{place.Kind, l.Class}
	if _, ok := r.given.Of(place); ok {
		r.count(group, outcomeBefore, "")
		return nil
	}
	if l.Class == event.ReasonTooLarge {
		r.count(group, outcomeCut, "the dead letter holds the first "+fmt.Sprint(event.MaxRecordBytes)+" bytes alone")
		return nil
	}
	give := kafka.Return{From: place, Key: slices.Clone(l.Key), Mapping: r.mapping}
	if len(l.Key) == 0 {
		give.Key = nil // without a key, not with an empty one
	}
	if r.converter == nil {
		give.Value = slices.Clone(l.Value)
	} else {
		source := fmt.Sprintf("%s/%s/%d", r.mapping, l.Topic, l.Partition)
		var err error
		give.Value, err = r.converter.Convert(source, uint64(l.Offset), l.Value)
		var refused *replay.RefusedError
		switch {
		case errors.Is(err, replay.ErrSkipped):
			r.count(group, outcomeSkipped, "")
			return nil
		case errors.As(err, &refused):
			r.count(group, outcomeUnmended, strings.TrimSuffix(refused.Reason+" of "+refused.Field, " of "))
			return nil
		case err != nil:
			return err
		}
	}
	if verdict := r.judge.of(place.Kind, give.Key, give.Value); verdict.refused && !r.cmd.Force {
		r.count(group, outcomeRefused, verdict.reason())
		return nil
	}
	r.batch = append(r.batch, give)
	r.groups = append(r.groups, group)
	r.bytes += len(give.Key) + len(give.Value)
	if r.taken++; r.taken == r.limit || len(r.batch) >= redeliverRecords || r.bytes >= redeliverBytes {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if r.taken == r.limit {
		return errEnough
	}
	return nil
}

// flush sends the batch, and counts it only then.
func (r *redeliverer) flush(ctx context.Context) error {
	if r.redelivery != nil && len(r.batch) > 0 {
		if err := r.redelivery.Send(ctx, r.batch); err != nil {
			return err
		}
	}
	for _, group := range r.groups {
		r.count(group, outcomeSent, "")
	}
	r.batch, r.groups, r.bytes = nil, nil, 0
	return nil
}

func (r *redeliverer) count(group redeliveryGroup, outcome letterOutcome, reason string) {
	if r.counts[group] == nil {
		r.counts[group] = map[letterOutcome]int64{}
		r.reasons[group] = map[string]int64{}
	}
	r.counts[group][outcome]++
	if reason != "" {
		r.reasons[group][string(outcome)+": "+reason]++
	}
}

// print says what became of the dead letters, by topic and class.
func (r *redeliverer) print() {
	if len(r.counts) == 0 {
		fmt.Println("No dead letters were selected.")
		return
	}
	sent := "sent"
	if r.cmd.DryRun {
		sent = "would be sent"
	}
	t := newTable("topic", "class", sent, string(outcomeBefore), "not sent")
	groups := slices.SortedFunc(maps.Keys(r.counts), func(a, b redeliveryGroup) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.class, b.class))
	})
	var why []string
	for _, group := range groups {
		counts := r.counts[group]
		kept := counts[outcomeRefused] + counts[outcomeSkipped] + counts[outcomeUnmended] + counts[outcomeCut]
		t.AppendRow(table.Row{group.kind.Topic(), group.class.String(), counts[outcomeSent], counts[outcomeBefore], kept})
		if n := counts[outcomeSkipped]; n > 0 {
			r.reasons[group][string(outcomeSkipped)] = n
		}
		for _, reason := range slices.Sorted(maps.Keys(r.reasons[group])) {
			why = append(why, fmt.Sprintf("%s %s: %d %s", group.kind.Topic(), group.class, r.reasons[group][reason], reason))
		}
	}
	fmt.Println(t.Render())
	for _, line := range why {
		fmt.Println(line)
	}
}

// judge says what today's processors would make of a record that arrived now. It asks the processors themselves, with
// no rules and a memory that starts empty: lateness and duplicates depend on what else arrives, and are no refusal.
type judge struct {
	partition *processors.Partition
	decoder   event.Decoder
	letter    event.DeadLetter
	now       int64
}

func newJudge(ctx context.Context, cfg *Config, conf kafka.Config) (*judge, error) {
	config := cfg.partitionConfig()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	drops := catalogueNow{}
	var decoder event.Decoder
	var ev event.Event
	err := kafka.Read(ctx, conf, kafka.ReadConfig{Topic: conf.Topic(event.KindDrop)}, func(_ int32, r event.Record) {
		if decoder.Decode(event.KindDrop, r.Value, &ev) == nil {
			drops[strings.Clone(ev.DropID)] = &event.Drop{}
		}
	})
	return &judge{partition: processors.NewPartition(0, config, drops, nil), now: time.Now().UnixMilli()}, err
}

// catalogueNow knows which drops there are, but nothing of them.
type catalogueNow map[string]*event.Drop

// Drop implements processors.Catalogue.
func (c catalogueNow) Drop(id string, _ int64) *event.Drop { return c[id] }

// judgement is what the processors would say of a record.
type judgement struct {
	refused bool
	class   event.Reason
	field   string
}

// of judges a record and forgets it.
func (j *judge) of(kind event.Kind, key, value []byte) (v judgement) {
	defer j.partition.Rollback()
	if j.partition.Process(event.Record{Kind: kind, Timestamp: j.now, Key: key, Value: value}) != event.DeadLettered {
		return judgement{}
	}
	v.refused = true
	for _, m := range j.partition.Flush(j.now, make([]bool, len(stageInputs))) {
		if m.Kind == event.KindDeadLetter && j.decoder.DeadLetter(m.Value, &j.letter) == nil {
			v.class, v.field = j.letter.Class, strings.Clone(j.letter.Field)
		}
	}
	return v
}

func (v judgement) reason() string {
	if v.field == "" {
		return v.class.String()
	}
	return v.class.String() + " of " + v.field
}

func (v judgement) String() string {
	if v.refused {
		return "refused: " + v.reason()
	}
	return "accepted"
}
