package experiments

import (
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

const (
	minute = int64(60_000)
	start  = int64(1_760_000_000_000)
	end    = start + 60*minute
	late   = 10 * minute
)

// catalogue is a set of drops.
type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

// cta is an experiment of all languages: p1 is not enrolled, p3 is assigned a, p2 b.
func cta() event.Experiment {
	return event.Experiment{ID: "cta", Salt: "v1", TrafficBPS: 8500, EffectSD: 0.01,
		Variants: []event.Variant{{Name: "a", BPS: 5000}, {Name: "b", BPS: 5000}}}
}

func oneDrop(experiments ...event.Experiment) catalogue {
	return catalogue{"d": {Name: "d", StartMS: start, EndMS: end, Experiments: experiments}}
}

func shown(player, variant, language string, at int64) *event.Event {
	ev := &event.Event{Kind: event.KindPlayer}
	ev.Type, ev.PlayerID, ev.DropID, ev.EventTime, ev.Consent, ev.SampleRate, ev.Language = event.CTAExposure, player, "d", at, 1, 1, language
	ev.Player.ExperimentID, ev.Player.Variant = "cta", variant
	return ev
}

func paid(what event.Type, player string, at, purchase int64) *event.Event {
	ev := &event.Event{Kind: event.KindCheckout}
	ev.Type, ev.PlayerID, ev.DropID, ev.EventTime, ev.SampleRate, ev.Checkout.OriginalTime = what, player, "d", at, 1, purchase
	return ev
}

// bench drives a rule the way the runtime does.
type bench struct {
	t      testing.TB
	rule   *Rule
	newest map[string]event.ExperimentArm
	log    []map[string][]byte
}

func newBench(t testing.TB, partition int32, c processors.Catalogue) *bench {
	t.Helper()
	rule, err := New(Config{}, partition, c)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, rule: rule, newest: map[string]event.ExperimentArm{}, log: []map[string][]byte{{}, {}}}
}

func (b *bench) apply(events ...*event.Event) {
	for _, ev := range events {
		b.rule.Apply(ev, ev.EventTime)
	}
}

// flush publishes; it checks that every key comes once and grows in revision.
func (b *bench) flush(watermark int64) (records []event.Record) {
	b.t.Helper()
	var out processors.Output
	b.rule.Flush(processors.Times{Watermark: watermark, AllowedLateness: late}, &out)
	seen := map[string]bool{}
	for _, m := range out.Messages() {
		if key := string(m.Key); seen[key] || m.Kind != event.KindExperimentArm {
			b.t.Fatalf("%v %s was published twice in one flush", m.Kind, key)
		}
		seen[string(m.Key)] = true
		records = append(records, event.Record{Kind: m.Kind, Key: slices.Clone(m.Key), Value: slices.Clone(m.Value)})
	}
	return records
}

func (b *bench) commit(records []event.Record) {
	b.t.Helper()
	var d event.Decoder
	for _, r := range records {
		var a event.ExperimentArm
		if err := d.ExperimentArm(r.Value, &a); err != nil {
			b.t.Fatal(err)
		}
		key := string(r.Key)
		if old := b.newest[key]; old.Revision >= a.Revision || old.RefundMaturity == event.Final {
			b.t.Fatalf("%s: %+v came after %+v", key, a, old)
		}
		b.newest[key] = a
	}
	for i, table := range b.rule.Tables() {
		table.Changes(func(key string, value []byte) {
			if value == nil {
				delete(b.log[i], strings.Clone(key))
				return
			}
			b.log[i][strings.Clone(key)] = slices.Clone(value)
		})
		table.Commit()
	}
}

// turn is one committed transaction.
func (b *bench) turn(watermark int64, events ...*event.Event) []event.Record {
	b.t.Helper()
	b.apply(events...)
	records := b.flush(watermark)
	b.commit(records)
	return records
}

func (b *bench) rollback() {
	for _, table := range b.rule.Tables() {
		table.Rollback()
	}
}

// restart replaces the rule by one restored from the change-log.
func (b *bench) restart() {
	b.t.Helper()
	rule, err := New(Config{}, b.rule.partition, b.rule.plans.catalogue)
	if err != nil {
		b.t.Fatal(err)
	}
	rule.outcomes = b.rule.outcomes
	for i, table := range rule.Tables() {
		for key, value := range b.log[i] {
			if err := table.Restore(key, value); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.rule = rule
}

func outcomes(r processors.Counting) map[string]uint64 {
	all := map[string]uint64{}
	r.Outcomes(func(name string, n uint64) {
		if n > 0 {
			all[name] = n
		}
	})
	return all
}
