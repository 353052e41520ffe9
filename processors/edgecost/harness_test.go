package edgecost

import (
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
)

// catalogue is a set of drops that tests change.
type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

// example are the prices of DOMAIN 9, and 0.05 USD per GB.
func example() *PriceList {
	return &PriceList{Currency: "USD", Prices: edgebudget.Prices{Requests: 300_000_000, CPU: 20_000_000, Egress: 50_000_000},
		POPs: map[string]edgebudget.Prices{"sin": {Requests: 300_000_000, CPU: 20_000_000, Egress: 90_000_000}}}
}

// staged is any rule or rollup rule.
type staged interface{ Tables() []processors.Staged }

// log is the compacted change-log of a rule, by table.
type log []map[string][]byte

func (l *log) commit(rule staged) {
	for i, table := range rule.Tables() {
		if len(*l) == i {
			*l = append(*l, map[string][]byte{})
		}
		table.Changes(func(key string, value []byte) {
			if value == nil {
				delete((*l)[i], strings.Clone(key))
				return
			}
			(*l)[i][strings.Clone(key)] = slices.Clone(value)
		})
		table.Commit()
	}
}

func (l log) restore(t testing.TB, rule staged) {
	t.Helper()
	for i, table := range rule.Tables() {
		if i == len(l) {
			return
		}
		for key, value := range l[i] {
			if err := table.Restore(key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func rollback(rule staged) {
	for _, table := range rule.Tables() {
		table.Rollback()
	}
}

func outcomes(rule processors.Counting) map[string]uint64 {
	all := map[string]uint64{}
	rule.Outcomes(func(outcome string, total uint64) { all[outcome] = total })
	return all
}

// decode reads what was published.
func decode(t testing.TB, messages []event.Message) (costs []event.EdgeCost, estimates []event.Estimate, decisions []event.Decision) {
	t.Helper()
	for _, m := range messages {
		var err *event.Error
		switch m.Kind { // a decoder per record: its slices are kept
		case event.KindEdgeCost:
			var e event.EdgeCost
			err = new(event.Decoder).EdgeCost(slices.Clone(m.Value), &e)
			costs = append(costs, e)
		case event.KindEstimate:
			var e event.Estimate
			err = new(event.Decoder).Estimate(slices.Clone(m.Value), &e)
			estimates = append(estimates, e)
		case event.KindDecision:
			var d event.Decision
			err = new(event.Decoder).Decision(slices.Clone(m.Value), &d)
			decisions = append(decisions, d)
		default:
			t.Fatalf("published kind %v", m.Kind)
		}
		if err != nil {
			t.Fatalf("%s: %v", m.Value, err)
		}
	}
	return costs, estimates, decisions
}

func request(at int64, drop, pop, creator string) *event.Event {
	ev := &event.Event{Kind: event.KindLatency}
	ev.Type, ev.EventTime, ev.DropID, ev.POP, ev.CreatorID, ev.SampleRate = event.EdgeRequest, at, drop, pop, creator, 1
	return ev
}

func purchase(at int64, drop, player, pop, creator string) *event.Event {
	ev := &event.Event{Kind: event.KindCheckout}
	ev.Type, ev.EventTime, ev.DropID, ev.PlayerID, ev.POP, ev.CreatorID, ev.SampleRate = event.CheckoutCompleted, at, drop, player, pop, creator, 1
	return ev
}
