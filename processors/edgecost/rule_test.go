package edgecost

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

func newRule(t testing.TB, cfg Config, partition int32, c processors.Catalogue) *Rule {
	t.Helper()
	rule, err := New(cfg, partition, c)
	if err != nil {
		t.Fatal(err)
	}
	return rule
}

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: []event.Kind{event.KindLatency, event.KindCheckout}},
		RulesOf: func(c processors.Catalogue) []processors.Rule {
			return []processors.Rule{newRule(t, Config{Prices: example()}, 7, c)}
		},
	})
}

// reference is what the partials must add up to: counted event by event, with no panes, no staging and no order.
type reference struct {
	usage       map[string]edgebudget.Usage // by drop, POP, creator, synthetic
	samples     map[string]uint64
	conversions map[string]uint32
}

func refer(events []*event.Event, ends int64) reference {
	ref := reference{map[string]edgebudget.Usage{}, map[string]uint64{}, map[string]uint32{}}
	first := map[string]*event.Event{}
	for _, ev := range events {
		if ev.Kind == event.KindLatency {
			key := fmt.Sprint(ev.DropID, "/", ev.POP, "/", ev.CreatorID, "/", ev.Synthetic)
			u := ref.usage[key]
			u.Requests += int64(math.Round(1e6 / ev.SampleRate))
			u.CPU += int64(math.Round(ev.Latency.CPUMS * 1000 / ev.SampleRate))
			u.Egress += int64(math.Round(float64(ev.Latency.EgressBytes) / ev.SampleRate))
			ref.usage[key] = u
			ref.samples[key]++
			continue
		}
		if ev.Synthetic || ev.DropID == "" || ev.EventTime >= ends {
			continue
		}
		key := ev.DropID + "/" + ev.PlayerID
		if old := first[key]; old == nil || ev.EventTime < old.EventTime || ev.EventTime == old.EventTime && ev.POP+"/"+ev.CreatorID < old.POP+"/"+old.CreatorID {
			first[key] = ev
		}
	}
	for _, ev := range first {
		ref.conversions[fmt.Sprint(ev.DropID, "/", ev.POP, "/", ev.CreatorID, "/false")]++
	}
	return ref
}

// Partials of several partitions, over restarts, aborts, changes of the price list and any order of arrival, add up to the reference.
func TestPartialsAddUp(t *testing.T) {
	s := uint64(time.Now().UnixNano())
	t.Logf("seed %d", s)
	random := rand.New(rand.NewPCG(s, 0))
	const start, partitions = int64(1_760_000_040_000), 3
	drops := catalogue{"d": {StartMS: start, EndMS: start + 20*minuteMS, BudgetCurrency: "USD"}, "e": {StartMS: start, EndMS: start + 20*minuteMS}}
	lists := []*PriceList{example(), {Currency: "USD", Prices: edgebudget.Prices{Requests: 400_000_000}}}
	for range 20 {
		var all []*event.Event
		rules, logs := make([]*Rule, partitions), make([]log, partitions)
		newest := map[string]event.EdgeCost{}
		for p := range rules {
			rules[p] = newRule(t, Config{Prices: lists[0]}, int32(p), drops)
		}
		for turn := range 30 {
			for p, rule := range rules {
				var events []*event.Event
				for range random.IntN(40) {
					at := start + random.Int64N(22*minuteMS)
					drop, pop, creator := []string{"", "d", "e"}[random.IntN(3)], []string{"", "fra", "sin"}[random.IntN(3)], []string{"a", "b"}[random.IntN(2)]
					if random.IntN(3) == 0 {
						events = append(events, purchase(at, drop, fmt.Sprintf("p%d-%d", p, random.IntN(5)), pop, creator))
					} else {
						ev := request(at, drop, pop, creator)
						ev.Synthetic = random.IntN(5) == 0
						ev.SampleRate = []float64{1, 1, .3, .001}[random.IntN(4)]
						ev.Latency = event.Latency{CPUMS: 30 * random.Float64(), EgressBytes: random.Int64N(1 << 30)}
						events = append(events, ev)
					}
				}
				all = append(all, events...)
				apply := func() []event.EdgeCost {
					for _, ev := range events {
						rule.Apply(ev, ev.EventTime)
					}
					watermark := start - minuteMS
					if turn == 29 {
						watermark = start + 60*minuteMS
					}
					var out processors.Output
					rule.Flush(processors.Times{Watermark: watermark, AllowedLateness: 600_000}, &out)
					costs, _, _ := decode(t, out.Messages())
					return costs
				}
				costs := apply()
				if random.IntN(3) == 0 {
					rollback(rule)
					if again := apply(); !slices.Equal(slices.SortedFunc(slices.Values(again), byPlace), slices.SortedFunc(slices.Values(costs), byPlace)) {
						t.Fatal("an abort changed the outcome")
					}
				}
				logs[p].commit(rule)
				for _, c := range costs {
					key := string(appendRecordKey(nil, &c))
					if old, ok := newest[key]; ok && old.Revision >= c.Revision {
						t.Fatalf("%s: revision %d after %d", key, c.Revision, old.Revision)
					}
					newest[key] = c
				}
				if random.IntN(5) == 0 {
					rules[p] = newRule(t, Config{Prices: lists[random.IntN(2)]}, int32(p), drops)
					logs[p].restore(t, rules[p])
				}
			}
		}
		got := reference{map[string]edgebudget.Usage{}, map[string]uint64{}, map[string]uint32{}}
		for key, c := range newest {
			if c.Maturity != event.Final {
				t.Fatalf("%s is %v at the end", key, c.Maturity)
			}
			i := slices.IndexFunc(lists, func(l *PriceList) bool { return l.ID() == c.Prices })
			u := edgebudget.Usage{Requests: c.RequestsMicro, CPU: c.CPUMicros, Egress: c.EgressBytes}
			if cost, _ := lists[i].At(c.POP).Cost(u); cost != c.Cost || c.Currency != "USD" {
				t.Fatalf("%s costs %d, want %d by its own list", key, c.Cost, cost)
			}
			key := fmt.Sprint(c.DropID, "/", c.POP, "/", c.CreatorID, "/", c.Synthetic)
			sum := got.usage[key]
			got.usage[key] = edgebudget.Usage{Requests: sum.Requests + u.Requests, CPU: sum.CPU + u.CPU, Egress: sum.Egress + u.Egress}
			got.samples[key] += c.Samples
			got.conversions[key] += c.Conversions
		}
		maps.DeleteFunc(got.conversions, func(_ string, n uint32) bool { return n == 0 })
		maps.DeleteFunc(got.usage, func(_ string, u edgebudget.Usage) bool { return u == edgebudget.Usage{} })
		maps.DeleteFunc(got.samples, func(_ string, n uint64) bool { return n == 0 })
		want := refer(all, start+20*minuteMS)
		if !maps.Equal(got.usage, want.usage) || !maps.Equal(got.samples, want.samples) || !maps.Equal(got.conversions, want.conversions) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		for _, rule := range rules {
			if o := outcomes(rule); o["refused"]+o["out_of_range"]+o["no_price_list"] != 0 {
				t.Fatalf("outcomes %v", o)
			}
			if n := rule.cells.Len() + rule.conversions.Len(); n != 0 {
				t.Fatalf("%d keys outlive the drop", n)
			}
		}
	}
}

func byPlace(a, b event.EdgeCost) int {
	return strings.Compare(string(appendRecordKey(nil, &a)), string(appendRecordKey(nil, &b)))
}

func TestOutcomes(t *testing.T) {
	const start = int64(1_760_000_040_000)
	drops := catalogue{"d": {StartMS: start, EndMS: start + 60*minuteMS, BudgetCurrency: "EUR"}, "u": {StartMS: start, EndMS: start + 60*minuteMS, BudgetCurrency: "USD"}}
	rule := newRule(t, Config{Prices: example()}, 0, drops)
	var out processors.Output
	rule.Apply(request(start, "d", "fra", "c"), start)
	unknown := request(start, "nothing", "fra", "c")
	rule.Apply(unknown, start)
	for _, spoil := range []func(*event.Event){
		func(ev *event.Event) { ev.SampleRate = 1e-300 },
		func(ev *event.Event) { ev.Latency.CPUMS = 1e300 },
		func(ev *event.Event) { ev.Latency.EgressBytes, ev.SampleRate = math.MaxInt64, .5 },
	} {
		ev := request(start, "u", "fra", "c")
		spoil(ev)
		rule.Apply(ev, start)
	}
	// Sums beyond int64 leave the events out that would exceed it.
	for range 3 {
		ev := request(start, "u", "fra", "c")
		ev.Latency.EgressBytes = math.MaxInt64 / 2
		rule.Apply(ev, start)
	}
	rule.Flush(processors.Times{Watermark: start, AllowedLateness: 600_000}, &out)
	costs, _, _ := decode(t, out.Messages())
	if len(costs) != 2 || costs[0].Currency != "" || costs[0].Prices != "" || costs[0].RequestsMicro != million {
		t.Errorf("a drop without a price list: %+v", costs)
	}
	if costs[1].RequestsMicro != 2*million || costs[1].EgressBytes != math.MaxInt64-1 || costs[1].Cost != math.MaxInt64/20+600 {
		t.Errorf("at the edge of int64: %+v", costs[1])
	}
	want := map[string]uint64{"no_price_list": 1, "out_of_range": 4, "refused": 1}
	if got := outcomes(rule); !maps.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	// A final pane takes nothing any more.
	var lg log
	out.Reset()
	rule.Flush(processors.Times{Watermark: start + minuteMS + 600_000, AllowedLateness: 600_000}, &out)
	lg.commit(rule)
	rule.Apply(request(start, "u", "elsewhere", "c"), start)
	if got := outcomes(rule)["refused"]; got != 2 {
		t.Errorf("%d refused, want 2", got)
	}
}

// Without any price list nothing has a cost, drops and other traffic alike.
func TestNoPriceListAtAll(t *testing.T) {
	const start = int64(1_760_000_040_000)
	rule := newRule(t, Config{}, 0, catalogue{"d": {StartMS: start, EndMS: start + 60*minuteMS}})
	rule.Apply(request(start, "d", "fra", "c"), start)
	rule.Apply(request(start, "", "fra", "c"), start)
	var out processors.Output
	rule.Flush(processors.Times{Watermark: start}, &out)
	costs, _, _ := decode(t, out.Messages())
	if len(costs) != 2 || costs[0].Currency+costs[1].Currency != "" || outcomes(rule)["no_price_list"] != 2 {
		t.Errorf("%+v, %v", costs, outcomes(rule))
	}
}

func TestPriceText(t *testing.T) {
	list, err := PriceText{Currency: "USD", Requests: "0.30", CPU: "0.02", Egress: "0.05", POPs: []string{"sin:egress-gb=0.09", "a:b:requests=1e-9"}}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	want := example()
	if list.Prices != want.Prices || list.At("sin") != want.POPs["sin"] || list.At("fra") != want.Prices {
		t.Errorf("parsed %+v", list)
	}
	if got := list.At("a:b"); got.Requests != 1 || got.Egress != 50_000_000 {
		t.Errorf("a POP with a colon: %+v", got)
	}
	if list.ID() == want.ID() || len(list.ID()) != 12 {
		t.Errorf("id %s of another list", list.ID())
	}
	delete(list.POPs, "a:b")
	if list.ID() != want.ID() {
		t.Errorf("id %s, want %s of the same list", list.ID(), want.ID())
	}
	_, err = PriceText{Currency: "XXX", Requests: "-1", CPU: "0.0000000001", Egress: "1e30", POPs: []string{"fra", "fra:disk=1", "x:requests=NaN", "x:requests=2"}}.Parse()
	for _, problem := range []string{`"XXX" is not an active`, `"-1" is negative`, `"0.0000000001" is no whole number`, `"1e30" is no whole`, `"fra" is not POP`, `"fra:disk=1" is not POP`,
		`"NaN" is not a decimal`, "x:requests is given twice"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v does not say %s", err, problem)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{{PaneMS: -1}, {PaneMS: 7_000}, {PaneMS: 120_000}, {Prices: &PriceList{Currency: "x"}}} {
		if _, err := New(cfg, 0, catalogue{}); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// BenchmarkRule is one accepted latency event, decoded already, with its share of the transaction around it: 4,000 events at 40 POPs.
func BenchmarkRule(b *testing.B) {
	const start, perTxn = int64(1_760_000_040_000), 4_000
	rule := newRule(b, Config{Prices: example()}, 0, catalogue{"d": {StartMS: start, EndMS: start + 48*60*minuteMS, BudgetCurrency: "USD"}})
	pops := make([]string, 40)
	for i := range pops {
		pops[i] = fmt.Sprintf("pop%02d", i)
	}
	ev := request(start, "d", "", "creator-00417")
	ev.Latency = event.Latency{CPUMS: 2.5, EgressBytes: 48_211}
	var out processors.Output
	b.ReportAllocs()
	for i := range b.N {
		at := start + int64(i)/20
		ev.POP = pops[i%len(pops)]
		rule.Apply(ev, at)
		if i%perTxn == perTxn-1 {
			rule.Flush(processors.Times{Watermark: at - 10_001, AllowedLateness: 600_000}, &out)
			out.Reset()
			for _, table := range rule.Tables() {
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
		}
	}
	if o := outcomes(rule); o["refused"] != 0 {
		b.Fatal(o)
	}
}
