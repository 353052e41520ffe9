package inventory

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

// Every record that is not ordinary has a named outcome.
func TestOutcomes(t *testing.T) {
	at := dropStart + minuteMS
	buy := func(id string, c event.Checkout) step {
		c.CheckoutID = id
		return step{at: at, what: event.CheckoutCompleted, player: "p", checkout: c}
	}
	for _, c := range []struct {
		name  string
		want  map[string]uint64
		steps []step
	}{
		{"an ordinary sale", map[string]uint64{}, []step{buy("a", event.Checkout{SKU: "vip", Partner: "shop", PromisedBy: at + 1})}},
		{"sold twice", map[string]uint64{"repeated": 1}, []step{buy("a", event.Checkout{SKU: "vip"}), buy("a", event.Checkout{SKU: "vip"})}},
		{"an item that nobody offers", map[string]uint64{"unknown_sku": 1}, []step{buy("a", event.Checkout{SKU: "hat"})}},
		{"a promise of the past", map[string]uint64{"promise_past": 1}, []step{buy("a", event.Checkout{SKU: "vip", Partner: "shop", PromisedBy: at - 1})}},
		{"a promise in seconds read as ms", map[string]uint64{"promise_absurd": 1}, []step{buy("a", event.Checkout{SKU: "vip", Partner: "shop", PromisedBy: at * 1000})}},
		{"a promise of nobody", map[string]uint64{"promise_absurd": 1}, []step{buy("a", event.Checkout{SKU: "vip", PromisedBy: at + 1})}},
		{"a refund and a handover before the sale", map[string]uint64{"parked": 2}, []step{
			{at: at, what: event.CheckoutRefunded, checkout: event.Checkout{CheckoutID: "a"}},
			{at: at, what: event.CheckoutShipped, checkout: event.Checkout{CheckoutID: "a"}},
			buy("a", event.Checkout{SKU: "vip"})}},
	} {
		r := newRule(t, Config{}, 0, limited(map[string]uint64{"vip": 3}))
		turn(t, r, -1, c.steps...)
		if got := outcomesOf(r); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}

	r := newRule(t, Config{}, 0, limited(nil))
	turn(t, r, -1, step{at: at, what: event.CheckoutRefunded, checkout: event.Checkout{CheckoutID: "a"}})
	turn(t, r, at+DefaultKeepMS+lateness)
	if got := outcomesOf(r); got["orphaned"] != 1 || r.orders.Len() != 0 {
		t.Errorf("a refund whose sale never came: %v, %d orders kept", got, r.orders.Len())
	}

	// What the runtime never does: an event of a final pane.
	turn(t, r, at+hourMS, buy("b", event.Checkout{SKU: "vip"}))
	turn(t, r, at+2*hourMS)
	if late := turn(t, r, at+2*hourMS, buy("c", event.Checkout{SKU: "vip"})); len(late) != 0 || outcomesOf(r)["refused"] == 0 {
		t.Errorf("a sale in a final pane published %d records: %v", len(late), outcomesOf(r))
	}
}

func TestConfig(t *testing.T) {
	err := Config{PaneMS: 7000, ReservationMS: -1, KeepMS: 400 * 24 * hourMS}.Validate()
	for _, word := range []string{"pane", "reservation", "keeping"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("no word of %s in %v", word, err)
		}
	}
	if _, err := New(Config{PaneMS: -1}, 0, nil); err == nil {
		t.Error("New takes what Validate refuses")
	}
}

func TestStateOfEarlierVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	cfg := Config{}.withDefaults()
	orders, panes := orderCodec{cfg: &cfg, names: &wire.Names{}}, paneCodec{paneMS: cfg.PaneMS}
	var someOrders, somePanes [][]byte
	for range 4 {
		var o order
		for _, s := range history(random, 12) {
			o.take(s.event(), s.at, &wire.Names{})
		}
		p := pane{start: processors.PaneStart(dropStart+random.Int64N(hourMS), cfg.PaneMS), revision: random.Uint64N(99)}
		for i := range p.counts {
			p.counts[i] = random.Uint64N(300)
		}
		someOrders, somePanes = append(someOrders, orders.Append(nil, &o)), append(somePanes, panes.Append(nil, &p))
	}
	statetest.Check(t, statetest.Kind{Name: "order", Newest: orderVersion, Samples: someOrders, Read: statetest.ReadWith(orders)})
	statetest.Check(t, statetest.Kind{Name: "pane", Newest: paneVersion, Samples: somePanes, Read: statetest.ReadWith(panes)})
	statetest.Check(t, statetest.Kind{Name: "instant", Newest: wire.HorizonVersion,
		Samples: [][]byte{wire.HorizonCodec{}.Append(nil, &wire.Horizon{At: dropStart})}, Read: statetest.ReadWith(wire.HorizonCodec{})})
}

// Every prefix of a state is refused.
func TestStateCutShort(t *testing.T) {
	cfg := Config{}.withDefaults()
	codec := orderCodec{cfg: &cfg, names: &wire.Names{}}
	var o order
	for _, s := range history(rand.New(rand.NewPCG(3, 3)), 12) {
		o.take(s.event(), s.at, codec.names)
	}
	whole := codec.Append(nil, &o)
	for n := range whole {
		var cut order
		if err := codec.Decode(whole[:n], &cut); err == nil {
			t.Errorf("%d bytes of %d are taken for an order", n, len(whole))
		}
	}
}

// BenchmarkRule is one event with its share of a transaction of 4,000: one in ten is a checkout's, the rest is none of the rule's business.
func BenchmarkRule(b *testing.B) {
	rule := newRule(b, Config{}, 0, limited(map[string]uint64{"vip": 3}))
	const perTxn = 4000
	other := &event.Event{Kind: event.KindPlayer}
	other.Type, other.DropID, other.PlayerID = event.Heartbeat, "d", "p"
	ids := make([]string, 100_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("c01920f4e8c%08d", i)
	}
	types := []event.Type{event.CheckoutStarted, event.CheckoutCompleted, event.CheckoutShipped}
	ev := step{checkout: event.Checkout{SKU: "vip", Quantity: 1, Amount: 100, Channel: "web", Partner: "shop"}}.event()
	var out processors.Output
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := dropStart + int64(i)/20
		if i%10 != 0 {
			rule.Apply(other, at)
		} else {
			n := i / 10
			ev.Type, ev.Checkout.CheckoutID, ev.Checkout.PromisedBy = types[n%3], ids[n/3%len(ids)], at+hourMS
			rule.Apply(ev, at)
		}
		if i%perTxn == perTxn-1 {
			rule.Flush(processors.Times{Watermark: at - 10_001, AllowedLateness: lateness}, &out)
			out.Reset()
			for _, table := range rule.Tables() {
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
		}
	}
}
