package velocity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// catalogue is a fixed set of drops.
type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

func oneDrop(start, end int64) catalogue {
	return catalogue{"d": {Name: "d", StartMS: start, EndMS: end}}
}

// step is one event of a test, with only the fields that the rule reads.
type step struct {
	at       int64
	what     event.Type
	player   string
	pop      string
	drop     string
	amount   int64
	currency string
	probe    bool
}

func (s step) event() *event.Event {
	ev := &event.Event{Kind: event.KindPlayer}
	ev.Type, ev.EventTime, ev.PlayerID, ev.POP, ev.DropID, ev.Synthetic = s.what, s.at, s.player, s.pop, s.drop, s.probe
	if s.what >= event.CheckoutStarted {
		ev.Kind = event.KindCheckout
		ev.Checkout.Amount, ev.Checkout.Currency = s.amount, s.currency
	}
	return ev
}

// bench drives a rule the way the runtime does: transactions of Apply, Flush,
// Changes, then Commit or Rollback.
type bench struct {
	t         testing.TB
	rule      *Rule
	lateness  int64
	published []event.Velocity
	// newest is the newest revision by record key.
	newest map[string]event.Velocity
	// log is the compacted change-log by table.
	log []map[string][]byte
}

func newBench(t testing.TB, cfg Config, partition int32, c processors.Catalogue) *bench {
	t.Helper()
	rule, err := New(cfg, partition, c)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, rule: rule, lateness: 600_000, newest: map[string]event.Velocity{}}
	for range rule.Tables() {
		b.log = append(b.log, map[string][]byte{})
	}
	return b
}

func (b *bench) apply(steps ...step) {
	for _, s := range steps {
		b.rule.Apply(s.event(), s.at)
	}
}

// flush publishes and returns the transaction's records; it checks that each key
// comes once, grows in revision, and ends with its final revision.
func (b *bench) flush(watermark int64) []event.Velocity {
	b.t.Helper()
	var out processors.Output
	b.rule.Flush(processors.Times{Watermark: watermark, AllowedLateness: b.lateness}, &out)
	var records []event.Velocity
	var d event.Decoder
	seen := map[string]bool{}
	for _, m := range out.Messages() {
		var v event.Velocity
		if m.Kind != event.KindVelocity {
			b.t.Fatalf("published kind %v", m.Kind)
		}
		if err := d.Velocity(slices.Clone(m.Value), &v); err != nil {
			b.t.Fatalf("%s: %v", m.Value, err)
		}
		key := fmt.Sprintf("%s|%s|%d|%d", v.DropID, v.POP, v.PaneStart, v.Partition)
		if string(m.Key) != key {
			b.t.Fatalf("key %s, want %s", m.Key, key)
		}
		if seen[key] {
			b.t.Fatalf("%s was published twice in one flush", key)
		}
		seen[key] = true
		if old, ok := b.newest[key]; ok && (old.Revision >= v.Revision || old.Maturity == event.Final) {
			b.t.Fatalf("%s: revision %d (%v) came after %d (%v)", key, v.Revision, v.Maturity, old.Revision, old.Maturity)
		}
		if final := watermark >= v.PaneStart+v.PaneMS-1+b.lateness; final != (v.Maturity == event.Final) {
			b.t.Fatalf("%s at watermark %d is %v", key, watermark, v.Maturity)
		}
		records = append(records, clone(v))
	}
	return records
}

func (b *bench) commit(records []event.Velocity) {
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
	for _, v := range records {
		b.newest[fmt.Sprintf("%s|%s|%d|%d", v.DropID, v.POP, v.PaneStart, v.Partition)] = v
	}
	b.published = append(b.published, records...)
}

func (b *bench) rollback() {
	for _, table := range b.rule.Tables() {
		table.Rollback()
	}
}

// turn is one committed transaction.
func (b *bench) turn(watermark int64, steps ...step) []event.Velocity {
	b.t.Helper()
	b.apply(steps...)
	records := b.flush(watermark)
	b.commit(records)
	return records
}

// restart replaces the rule by one restored from the change-log.
func (b *bench) restart(cfg Config) {
	b.t.Helper()
	rule, err := New(cfg, b.rule.partition, b.rule.catalogue)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, table := range rule.Tables() {
		for key, value := range b.log[i] {
			if err := table.Restore(key, value); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.rule = rule
}

func (b *bench) stateKeys() (n int) {
	for _, table := range b.rule.Tables() {
		n += table.Len()
	}
	return n
}

func clone(v event.Velocity) event.Velocity {
	v.DropID, v.POP = strings.Clone(v.DropID), strings.Clone(v.POP)
	v.TimeToConvert = slices.Clone(v.TimeToConvert)
	v.Money = slices.Clone(v.Money)
	for i := range v.Money {
		v.Money[i].Currency = strings.Clone(v.Money[i].Currency)
	}
	return v
}

// way is a player's whole funnel, one step every gap ms from at.
func way(player, pop string, at, gap int64, types ...event.Type) (steps []step) {
	for i, what := range types {
		steps = append(steps, step{at: at + int64(i)*gap, what: what, player: player, pop: pop, drop: "d", amount: 100, currency: "EUR"})
	}
	return steps
}
