package main

import (
	"fmt"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// ruleBar is what every rule set has to reach alone on one core, decoding and judging included; allRulesBar all of them
// together, which is the bar of the whole pipeline.
const (
	ruleBar     = 200_000
	allRulesBar = 80_000
)

// benchRules measures every rule set alone and all of them, without Kafka, on the recorded drop: decode, judge, fold,
// publish and encode the change-log.
func benchRules(b *testing.B, bars *bars, r *recording) {
	n := &node{cfg: benchConfig(b), log: embeddedtest.Logger(b)}
	drops := dropsOf{}
	makeRules, err := n.partitionRules(drops)
	if err != nil {
		b.Fatal(err)
	}
	names := []string{"all"}
	for _, rule := range makeRules(0) {
		names = append(names, rule.Name())
	}
	for _, name := range names {
		var rules []processors.Rule
		for _, rule := range makeRules(0) {
			if name == "all" || rule.Name() == name {
				rules = append(rules, rule)
			}
		}
		partition := processors.NewPartition(0, n.cfg.partitionConfig(), drops, rules)
		run := ruleRun{partition: partition, drops: drops, kinds: map[event.Kind]int{}}
		watch := startStopwatch()
		r.each(b, run.record)
		run.commit()
		rate, cores := watch.stop(b, run.events)
		what := "rule set " + name
		if name == "all" {
			what = "all rule sets"
		}
		b.Logf("%s: %d events became %v and %d change-log entries", what, run.events, run.kinds, run.changes)
		bar := float64(ruleBar)
		if name == "all" {
			bar = allRulesBar
		}
		bars.add(barRow{Name: fmt.Sprint(what, ", decoding included, without Kafka"), Value: rate, Unit: "events/s", Bar: bar, Limit: atLeast, Cores: cores})
	}
}

// ruleRun plays a recording into one partition.
type ruleRun struct {
	partition *processors.Partition
	drops     dropsOf
	kinds     map[event.Kind]int

	now              int64
	pending          int
	events, changes  int
	catalogueDecoder event.Decoder
}

func (r *ruleRun) record(m recorded) {
	r.now = m.at
	if m.kind == event.KindDrop {
		var ev event.Event
		if err := r.catalogueDecoder.Decode(m.kind, m.value, &ev); err == nil {
			drop := ev.Clone().Drop
			r.drops[ev.DropID] = &drop
		}
		return
	}
	r.events++
	r.partition.Process(event.Record{Kind: m.kind, Timestamp: m.at, Key: m.key, Value: m.value})
	if r.pending++; r.pending == 10_000 {
		r.commit()
	}
}

func (r *ruleRun) commit() {
	for _, m := range r.partition.Flush(r.now, []bool{true, true, true, true}) {
		r.kinds[m.Kind]++
	}
	r.partition.Changes(func(string, []byte) { r.changes++ })
	r.partition.Commit()
	r.pending = 0
}
