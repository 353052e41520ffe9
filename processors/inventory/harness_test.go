package inventory

import (
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// catalogue is a fixed set of drops.
type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

const (
	dropStart = int64(1_772_452_800_000)
	dropEnd   = dropStart + 6*hourMS
)

// limited is drop d with items that hold so many pieces; 0 is without limit.
func limited(items map[string]uint64) catalogue {
	drop := &event.Drop{Name: "d", Version: 1, StartMS: dropStart, EndMS: dropEnd}
	for sku, n := range items {
		drop.Items = append(drop.Items, event.Item{SKU: sku, Price: 100, Currency: "EUR", Inventory: n})
	}
	slices.SortFunc(drop.Items, func(a, b event.Item) int { return strings.Compare(a.SKU, b.SKU) })
	return catalogue{"d": drop}
}

// step is one checkout record of a test.
type step struct {
	at       int64
	what     event.Type
	player   string
	checkout event.Checkout
}

func (s step) event() *event.Event {
	ev := &event.Event{Kind: event.KindCheckout, Checkout: s.checkout}
	ev.Type, ev.EventTime, ev.PlayerID, ev.DropID = s.what, s.at, s.player, "d"
	return ev
}

func newRule(t testing.TB, cfg Config, partition int32, c processors.Catalogue) *Rule {
	t.Helper()
	r, err := New(cfg, partition, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// turn is one committed transaction. It returns what was published, and holds that every key comes once.
func turn(t testing.TB, r *Rule, watermark int64, steps ...step) []event.Record {
	t.Helper()
	for _, s := range steps {
		r.Apply(s.event(), s.at)
	}
	var out processors.Output
	r.Flush(processors.Times{Watermark: watermark, AllowedLateness: lateness}, &out)
	for _, table := range r.Tables() {
		table.Changes(func(string, []byte) {})
		table.Commit()
	}
	var records []event.Record
	seen := map[string]bool{}
	for _, m := range out.Messages() {
		if m.Kind != event.KindInventory || seen[string(m.Key)] {
			t.Fatalf("published %s %s", m.Kind, m.Key)
		}
		seen[string(m.Key)] = true
		records = append(records, event.Record{Kind: m.Kind, Key: slices.Clone(m.Key), Value: slices.Clone(m.Value)})
	}
	return records
}

const lateness = 10 * minuteMS

func partial(t testing.TB, r event.Record) event.Inventory {
	t.Helper()
	var d event.Decoder
	var v event.Inventory
	if err := d.Inventory(slices.Clone(r.Value), &v); err != nil {
		t.Fatalf("%s: %v", r.Value, err)
	}
	return v
}

// outcomesOf are the counts of a rule that are not 0.
func outcomesOf(c processors.Counting) map[string]uint64 {
	counts := map[string]uint64{}
	c.Outcomes(func(name string, n uint64) {
		if n > 0 {
			counts[name] = n
		}
	})
	return counts
}
