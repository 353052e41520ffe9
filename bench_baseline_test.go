package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
)

// baselineBar is by how much the pipeline must beat the loops that a competent programmer writes by hand with the same
// clients, encoding/json and rows as structs.
const baselineBar = 5

// baselineLimit ends a baseline's run. Its rate is steady by then; a state that grows would only slow it down.
const baselineLimit = 20 * time.Second

// baselineRun is loops and how far they must come.
type baselineRun struct {
	loops []func(context.Context) error
	// done counts events that are done with, of which there are events.
	done   func() int64
	events int64
	limit  time.Duration
}

// run ends the loops when they have done everything, or limit is over, and returns how many events a second they did.
func (r baselineRun) run(t testing.TB) (rate float64) {
	t.Helper()
	running, cancel := context.WithTimeout(t.Context(), r.limit)
	defer cancel()
	watch := startStopwatch()
	group, ctx := errgroup.WithContext(running)
	for _, loop := range r.loops {
		group.Go(func() error { return loop(ctx) })
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for r.done() < r.events && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	rate, _ = watch.stop(t, int(r.done()))
	failed := running.Err() == nil && ctx.Err() != nil
	cancel()
	if err := group.Wait(); failed {
		t.Fatal(err)
	}
	return rate
}

// newBaselineProcess makes a baseline of a node's processors.
func newBaselineProcess(n *node) *baselineProcess {
	return &baselineProcess{conf: n.kafka, group: n.kafka.GroupID("baseline-process"), partitions: n.cfg.KafkaPartitions}
}

// newBaselineStore makes a baseline of a node's sink, with the same tables in a database of its own.
func newBaselineStore(t testing.TB, n *node) *baselineStore {
	t.Helper()
	cfg := *n.cfg
	cfg.ClickhouseDatabase = "baseline_" + strings.Trim(n.cfg.KafkaTopicPrefix, ".")
	fresh, err := newNode(&cfg, n.log, newOperations(), n.servers)
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, fresh)
	return &baselineStore{
		conf: n.kafka, group: n.kafka.GroupID("baseline-store"), clickhouse: n.servers.ClickhouseURL, database: cfg.ClickhouseDatabase, user: cfg.ClickhouseUser,
	}
}

// TestBaselinesDoTheSameWork plays a drop on an installation and on the baselines. Whatever a ratio between them
// compares, the rows that are stored and the counts that are published must be the same.
func TestBaselinesDoTheSameWork(t *testing.T) {
	p := startPipeline(t, t.TempDir())
	scenario := simulate.Tiny(pipelineSeed(t))
	// Without what the baselines do not judge: records that are no events, and events beyond the lateness.
	scenario.Faults.NoIngestTime, scenario.Faults.Malformed, scenario.Faults.LateBeyond = 0, 0, 0
	if scenario.Faults.Duplicate == 0 || scenario.Faults.OutOfOrder == 0 || scenario.Faults.WrongClock == 0 {
		t.Fatal("the scenario has no faults, so the baselines need not see any")
	}
	events := produceScenario(t, p.node.kafka, scenario)
	p.settle()

	process, store := newBaselineProcess(p.node), newBaselineStore(t, p.node)
	baselineRun{
		loops: []func(context.Context) error{process.run, store.run}, events: int64(events), limit: 3 * time.Minute,
		done: func() int64 { return min(process.processed.Load(), store.stored.Load()) },
	}.run(t)
	if a, b := process.processed.Load(), store.stored.Load(); a != int64(events) || b != int64(events) {
		t.Fatalf("%d events processed, %d stored, of %d", a, b, events)
	}

	tables := &tables{p.client}
	for kind, table := range rawTables {
		columns := strings.Join(columnsOf(reflect.TypeOf(newBaselineRow(kind)).Elem()), ", ")
		sums := func(database string) string {
			return strings.Join(tables.rows(t, "SELECT count(), sum(cityHash64("+columns+")) FROM "+database+"."+table)[0], " rows, hash ")
		}
		if ours, theirs := sums(p.node.cfg.ClickhouseDatabase), sums(store.database); ours != theirs || strings.HasPrefix(ours, "0 ") {
			t.Errorf("%s: %s, the baseline's %s", table, ours, theirs)
		}
	}

	for _, task := range process.tasks {
		if task.late > 0 {
			t.Errorf("partition %d: the baseline dropped %d late events", task.partition, task.late)
		}
	}
	compareVelocity(t, p, process)
	compareFeatures(t, p, process)
}

// produceScenario puts a scenario into Kafka and counts the records that processors read.
func produceScenario(t *testing.T, conf kafka.Config, scenario simulate.Scenario) (events int) {
	t.Helper()
	generator, err := simulate.New(scenario)
	if err != nil {
		t.Fatal(err)
	}
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := generator.Run(t.Context(), func(batch []simulate.Record) error {
		messages := make([]event.Message, len(batch))
		for i, r := range batch {
			if r.Kind != event.KindDrop {
				events++
			}
			messages[i] = event.Message{Kind: r.Kind, Key: append([]byte(nil), r.Key...), Value: append([]byte(nil), r.Value...)}
		}
		return producer.Produce(t.Context(), messages...)
	}); err != nil {
		t.Fatal(err)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return events
}

// newest reads the last value of every key of a topic.
func newest(t *testing.T, conf kafka.Config, topic string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	if err := kafka.Read(t.Context(), conf, kafka.ReadConfig{Topic: topic}, func(_ int32, r event.Record) {
		out[string(r.Key)] = append([]byte(nil), r.Value...)
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// compareVelocity holds what panes add up to by drop: events, money and conversions.
func compareVelocity(t *testing.T, p *pipeline, process *baselineProcess) {
	t.Helper()
	add := func(sums map[string]int64, v *event.Velocity) {
		for step, n := range v.Events {
			sums[fmt.Sprint(v.DropID, " events of step ", step)] += int64(n)
		}
		sums[v.DropID+" failed"] += int64(v.Failed)
		sums[v.DropID+" refunded"] += int64(v.Refunded)
		sums[v.DropID+" charged back"] += int64(v.Chargeback)
		sums[v.DropID+" conversions"] += int64(v.Conversions)
		for _, m := range v.Money {
			sums[v.DropID+" gross "+m.Currency] += m.Gross
			sums[v.DropID+" refunds "+m.Currency] += m.Refunds
		}
	}
	ours, theirs := map[string]int64{}, map[string]int64{}
	var decoder event.Decoder
	for key, value := range newest(t, p.node.kafka, p.node.kafka.Topic(event.KindVelocity)) {
		var v event.Velocity
		if err := decoder.Velocity(value, &v); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		add(ours, &v)
	}
	for key, value := range newest(t, p.node.kafka, process.topics().velocity) {
		var v event.Velocity
		if err := json.Unmarshal(value, &v); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		add(theirs, &v)
	}
	if len(ours) < 10 || !maps.Equal(ours, theirs) {
		t.Errorf("velocity: %d sums\n%v\nthe baseline's\n%v", len(ours), ours, theirs)
	}
}

// compareFeatures holds what does not depend on the order of arrival, of which the baseline takes less care.
func compareFeatures(t *testing.T, p *pipeline, process *baselineProcess) {
	t.Helper()
	type counts struct {
		asOf, first, last                                  int64
		landings, impressions, clicks, checkouts, creators [event.NumWindows]uint32
		drops, days                                        [event.NumWindows]uint32
	}
	of := func(f *event.Features) counts {
		return counts{f.AsOf, f.FirstActivity, f.LastActivity, f.Landings, f.Impressions, f.Clicks, f.Checkouts, f.Creators, f.Drops, f.ActiveDays}
	}
	ours, theirs := map[string]counts{}, map[string]counts{}
	var decoder event.Decoder
	for key, value := range newest(t, p.node.kafka, p.node.kafka.Topic(event.KindFeatures)) {
		var f event.Features
		if err := decoder.Features(value, &f); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		ours[key] = of(&f)
	}
	for _, task := range process.tasks {
		for id, player := range task.players {
			theirs[id] = of(player.features(id, 0))
		}
	}
	different := 0
	for id, want := range ours {
		if theirs[id] != want {
			if different++; different <= 3 {
				t.Errorf("player %s:\n%+v\nthe baseline's\n%+v", id, want, theirs[id])
			}
		}
	}
	if different > 0 || len(ours) != len(theirs) || len(ours) == 0 {
		t.Errorf("%d of %d players differ; the baseline has %d", different, len(ours), len(theirs))
	}
}
