package edgecost

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

const hourMS = 60 * minuteMS

// plant is both stages, driven as the runtime does: the messages of the first one's transactions are the records of the second's.
type plant struct {
	t         testing.TB
	drops     catalogue
	prices    *PriceList
	rules     []*Rule
	logs      []log
	rollup    *Rollup
	log       log
	newest    map[string]event.EdgeCost
	estimates []event.Estimate
	decisions []event.Decision
	// unsteady, when set, aborts and restarts now and then.
	unsteady *rand.Rand
	cfg      RollupConfig
}

func newPlant(t testing.TB, partitions int, cfg RollupConfig, drops catalogue) *plant {
	t.Helper()
	p := &plant{t: t, drops: drops, prices: example(), cfg: cfg, newest: map[string]event.EdgeCost{}, logs: make([]log, partitions)}
	for n := range partitions {
		p.rules = append(p.rules, newRule(t, Config{Prices: p.prices}, int32(n), drops))
	}
	p.rollup = p.newRollup()
	return p
}

func (p *plant) newRollup() *Rollup {
	p.t.Helper()
	r, err := NewRollup(p.cfg, p.drops)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// minute is one transaction of every partition, and one of the rollup.
func (p *plant) minute(watermark int64, events func(partition int) []*event.Event) {
	p.t.Helper()
	var records []event.Record
	for n, rule := range p.rules {
		for _, ev := range events(n) {
			rule.Apply(ev, ev.EventTime)
		}
		var out processors.Output
		rule.Flush(processors.Times{Watermark: watermark, AllowedLateness: 600_000}, &out)
		costs, _, _ := decode(p.t, out.Messages())
		for _, c := range costs {
			p.newest[string(appendRecordKey(nil, &c))] = c
		}
		for _, m := range out.Messages() {
			records = append(records, event.Record{Kind: m.Kind, Key: m.Key, Value: m.Value, Timestamp: watermark})
		}
		p.logs[n].commit(rule)
	}
	p.roll(records, processors.RollupTimes{Watermark: watermark})
}

func (p *plant) roll(records []event.Record, times processors.RollupTimes) (estimates []event.Estimate, decisions []event.Decision) {
	p.t.Helper()
	turn := func() (estimates []event.Estimate, decisions []event.Decision) {
		for i := range records {
			if err := p.rollup.Apply(&records[i]); err != nil {
				p.t.Fatal(err)
			}
		}
		var out processors.Output
		p.rollup.Flush(times, &out)
		_, estimates, decisions = decode(p.t, out.Messages())
		return estimates, decisions
	}
	estimates, decisions = turn()
	if p.unsteady != nil && p.unsteady.IntN(4) == 0 {
		rollback(p.rollup)
		e, d := turn()
		if !reflect.DeepEqual(e, estimates) || !reflect.DeepEqual(d, decisions) {
			p.t.Fatalf("an abort changed the outcome:\n%+v\n%+v", decisions, d)
		}
	}
	p.log.commit(p.rollup)
	if p.unsteady != nil && p.unsteady.IntN(4) == 0 {
		p.rollup = p.newRollup()
		p.log.restore(p.t, p.rollup)
	}
	p.estimates, p.decisions = append(p.estimates, estimates...), append(p.decisions, decisions...)
	return estimates, decisions
}

func (p *plant) estimate(metric string, dimensions ...event.Dimension) event.Estimate {
	p.t.Helper()
	for _, e := range slices.Backward(p.estimates) {
		if e.Metric == metric && slices.Equal(e.Dimensions, dimensions) {
			return e
		}
	}
	p.t.Fatalf("no estimate %s %v", metric, dimensions)
	return event.Estimate{}
}

func (p *plant) about(topic, subject string) (list []event.Decision) {
	for _, d := range p.decisions {
		if d.Topic == topic && d.Subject == subject {
			list = append(list, d)
		}
	}
	return list
}

func chosen(list []event.Decision) (names []string) {
	for _, d := range list {
		names = append(names, d.Chosen)
	}
	return names
}

func input(t testing.TB, d event.Decision, name string) int64 {
	t.Helper()
	for _, i := range d.Inputs {
		if i.Name == name {
			return int64(i.Value)
		}
	}
	t.Fatalf("%s %s has no input %s", d.Topic, d.Chosen, name)
	return 0
}

const dropStart = int64(1_760_000_040_000)

// steady are n requests of 12 ms in the minute before at: 540 nano-USD each.
func steady(at int64, n int) func(int) []*event.Event {
	return func(partition int) []*event.Event {
		var events []*event.Event
		for i := range n {
			ev := request(at-minuteMS+int64(i), "d", []string{"fra", "lax"}[partition%2], "c")
			ev.Latency.CPUMS = 12
			events = append(events, ev)
		}
		return events
	}
}

// A drop that spends too much: the projection warns first, people are told at 80 %, CAP comes at 95 %, each once, and the
// inputs of each decision say why. What is shed and how optional work is paced follow; the end undoes all of it.
func TestOverspentDrop(t *testing.T) {
	s := uint64(time.Now().UnixNano())
	t.Logf("seed %d", s)
	// Three partitions of 100 requests a minute are 162,000 nano-USD a minute: 9.72 million in the hour that the drop lasts.
	drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + hourMS, Budget: 5_000_000, BudgetCurrency: "USD"}}
	p := newPlant(t, 3, RollupConfig{}, drops)
	p.unsteady = rand.New(rand.NewPCG(s, 0))
	for m := range int64(75) {
		at := dropStart + (m+1)*minuteMS
		n := 100
		if m >= 60 {
			n = 0
		}
		p.minute(at+20_000, steady(at, n))
	}
	p.minute(dropStart+3*hourMS, steady(0, 0))

	levels, notices := p.about(topicBudget, ""), p.about(topicBudget, subjectNotice)
	if got := chosen(levels); !slices.Equal(got, []string{"warn", "cap", "ok"}) {
		t.Fatalf("levels %v", got)
	}
	if len(notices) != 1 || !(levels[0].At < notices[0].At && notices[0].At < levels[1].At) {
		t.Fatalf("notices %v between levels %v", notices, levels)
	}
	warn, limit, end := levels[0], levels[1], levels[2]
	if want := dropStart + minuteMS; warn.At != want || input(t, warn, "spent") != 162_000 || input(t, warn, "projected") != 60*162_000 {
		t.Errorf("WARN %+v", warn)
	}
	for _, d := range p.decisions {
		spent, window, windowMS, left := input(t, d, "spent"), input(t, d, "window_cost"), input(t, d, "window_ms"), input(t, d, "left_ms")
		if got := input(t, d, "projected"); got != edgebudget.Projection(spent, window, windowMS, left) {
			t.Errorf("%s %s: projected %d is not %d + %d/%d·%d", d.Topic, d.Chosen, got, spent, window, windowMS, left)
		}
		if minutes := (d.At - dropStart) / minuteMS; minutes <= 60 && spent != minutes*162_000 {
			t.Errorf("%s %s after %d min: spent %d, want %d", d.Topic, d.Chosen, minutes, spent, minutes*162_000)
		}
	}
	// 80 % of 5 million are passed after 25 minutes (4.05 million), 95 % after 30 (4.86 million; a 29th minute makes 4.698).
	if notices[0].At != dropStart+25*minuteMS || limit.At != dropStart+30*minuteMS {
		t.Errorf("notice after %d min, CAP after %d", (notices[0].At-dropStart)/minuteMS, (limit.At-dropStart)/minuteMS)
	}
	if committed := input(t, limit, "spent") + input(t, limit, "reserved"); committed < 4_750_000 {
		t.Errorf("CAP with %d committed", committed)
	}
	if end.At != dropStart+hourMS || end.Reason != "the drop has ended" || end.Previous != "cap" {
		t.Errorf("end %+v", end)
	}
	if got := chosen(p.about(topicShed, "")); !slices.Equal(got, []string{"recommendations", "heartbeat_60s", "none"}) {
		t.Errorf("shed %v", got)
	}
	pace := p.about(topicPace, "")
	if len(pace) != 60 || math.Abs(pace[0].Value-.9) > 1e-12 || math.Abs(pace[1].Value-.81) > 1e-12 || pace[len(pace)-1].Value != 1 {
		t.Errorf("pace %v … %v", pace[0], pace[len(pace)-1])
	}

	// The estimates end at what the partials say, to the nano-unit.
	sum := int64(0)
	for _, c := range p.newest {
		sum += c.Cost
	}
	spent := p.estimate("edge_spent")
	if spent.Value != float64(sum) || sum != 60*162_000 || spent.Maturity != event.Final || spent.Unit != "nano:USD" || spent.N != 18_000 || !spent.Enough {
		t.Errorf("spent %+v, the partials say %d", spent, sum)
	}
	if e := p.estimate("edge_cost_per_request"); e.Value != 540 {
		t.Errorf("per request %+v", e)
	}
	if e := p.estimate("edge_cost_per_conversion"); e.Enough || e.Why != "no conversion yet" {
		t.Errorf("per conversion %+v", e)
	}
	if e := p.estimate("edge_spent", event.Dimension{Name: "creator", Value: "c"}); e.Value != float64(sum) || e.CreatorID != "c" {
		t.Errorf("of the creator %+v", e)
	}
	if n := p.rollup.open.Len(); n != 0 {
		t.Errorf("%d partials are open after the end", n)
	}
	for outcome, n := range outcomes(p.rollup) {
		if n != 0 {
			t.Errorf("%s: %d", outcome, n)
		}
	}
}

// What is in flight counts towards CAP: the watermark lags, by a slow partition say, and the newest events are minutes ahead.
func TestReservations(t *testing.T) {
	drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + 40*minuteMS, Budget: 1_000_000, BudgetCurrency: "USD"}}
	p := newPlant(t, 1, RollupConfig{}, drops)
	for m := range int64(18) { // 54,000 a minute; the watermark is four minutes behind
		at := dropStart + (m+1)*minuteMS
		p.minute(at-4*minuteMS, steady(at, 100))
	}
	levels := p.about(topicBudget, "")
	if len(levels) != 2 || levels[1].Chosen != "cap" {
		t.Fatalf("levels %v", levels)
	}
	// Newest is four minutes less most of one ahead of the watermark; 756,000 are spent by then and 216,000 counted beyond.
	limit := levels[1]
	if spent, reserved := input(t, limit, "spent"), input(t, limit, "reserved"); spent >= 950_000 || reserved < 54_000*3 || spent+reserved < 950_000 {
		t.Errorf("CAP %+v", limit)
	}
	// A replay of hours reserves nothing for what history holds: a drop that stays within its budget is never capped.
	drops["d"] = &event.Drop{StartMS: dropStart, EndMS: dropStart + 200*minuteMS, Budget: 15_000_000, BudgetCurrency: "USD"}
	p = newPlant(t, 1, RollupConfig{}, drops)
	for m := range int64(200) {
		p.minute(dropStart-minuteMS, steady(dropStart+(m+1)*minuteMS, 100))
	}
	p.minute(dropStart+12*hourMS, steady(0, 0))
	if got := chosen(p.about(topicBudget, "")); len(got) != 0 {
		t.Errorf("levels %v of a drop that spent %v of 15 million", got, p.estimate("edge_spent").Value)
	}
}

// A new catalogue version with a higher budget unlatches CAP; nothing else does while the drop runs.
func TestRaisedBudget(t *testing.T) {
	drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + 10*hourMS, Budget: 1_000_000, BudgetCurrency: "USD"}}
	p := newPlant(t, 1, RollupConfig{}, drops)
	for m := range int64(120) {
		at := dropStart + (m+1)*minuteMS
		n := 0
		if m < 20 {
			n = 100 // 54,000 a minute
		}
		switch m {
		case 60:
			drops["d"] = &event.Drop{StartMS: dropStart, EndMS: dropStart + 10*hourMS, Budget: 900_000, BudgetCurrency: "USD", Version: 2}
		case 90:
			drops["d"] = &event.Drop{StartMS: dropStart, EndMS: dropStart + 10*hourMS, Budget: 3_000_000, BudgetCurrency: "USD", Version: 3}
		}
		// A probe a minute keeps the watermark moving.
		p.minute(at+20_000, func(int) []*event.Event {
			probe := request(at-1, "d", "fra", "c")
			probe.Synthetic = true
			return append(steady(at, n)(0), probe)
		})
	}
	levels := p.about(topicBudget, "")
	if got := chosen(levels); !slices.Equal(got, []string{"warn", "cap", "ok"}) {
		t.Fatalf("levels %v", got)
	}
	if at := (levels[2].At - dropStart) / minuteMS; at != 91 || levels[2].Reason != "the budget was raised" || input(t, levels[2], "budget") != 3_000_000 {
		t.Errorf("after %d min: %+v", at, levels[2])
	}
	var standing []string
	if err := p.rollup.Standing(func(d *event.Decision) { standing = append(standing, d.Topic+" "+d.Chosen) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(standing)
	if want := []string{"budget ok", "pace slow", "replicas scale", "shed none"}; !slices.Equal(standing, want) {
		t.Errorf("standing %v, want %v", standing, want)
	}
	if e := p.estimate("edge_spent"); e.Value != 20*54_000+120*300 || e.Details[0].Value != 120*300 {
		t.Errorf("spent %+v", e)
	}
	if e := p.estimate("edge_cost_per_request"); e.Value != 540 || e.N != 2000 {
		t.Errorf("probes change the cost of a player's request: %+v", e)
	}
}

// Replicas follow the load: up at once, down after five minutes, and not beyond what the budget pays for.
func TestReplicasFollowLoad(t *testing.T) {
	drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + 40*hourMS, Budget: 500_000_000_000, BudgetCurrency: "USD"}}
	p := newPlant(t, 1, RollupConfig{Hourly: 120_000_000}, drops)
	load := func(perSecond float64) func(int64) {
		return func(at int64) {
			p.minute(at+20_000, func(int) []*event.Event {
				ev := request(at-1, "d", "fra", "c")
				ev.SampleRate, ev.Latency.CPUMS = 1/(60*perSecond), 12
				return []*event.Event{ev}
			})
		}
	}
	at := dropStart
	for range 3 {
		at += minuteMS
		load(12_000)(at)
	}
	last := func() event.Decision { d := p.about(topicReplicas, ""); return d[len(d)-1] }
	// Little's law: 12,000/s of 12 ms at 60 % of four cores are 60 replicas.
	if d := last(); d.Value != 60 || d.Chosen != "scale" || input(t, d, "hpa") != 60 {
		t.Errorf("%+v", d)
	}
	for range 4 {
		at += minuteMS
		load(1_000)(at)
		if d := last(); d.Value != 60 {
			t.Fatalf("scaled in to %v within five minutes", d.Value)
		}
	}
	for range 2 {
		at += minuteMS
		load(1_000)(at)
	}
	if d := last(); d.Value != 5 {
		t.Errorf("%+v, want 5 replicas", d)
	}
	// A minute without requests is taken for missing data.
	at += minuteMS
	p.minute(at+20_000, func(int) []*event.Event { return nil })
	at += minuteMS
	load(1_000)(at)
	if d := last(); d.Value != 5 {
		t.Errorf("scaled in on missing data: %+v", d)
	}
	// 100,000 a second want 500 replicas, of which 100 may be; a smaller budget pays for fewer and sheds.
	drops["d"] = &event.Drop{StartMS: dropStart, EndMS: dropStart + 40*hourMS, Budget: 100_000_000_000, BudgetCurrency: "USD"}
	for range 3 {
		at += minuteMS
		load(20_000)(at)
	}
	d := last()
	want := edgebudget.CostMax(input(t, d, "budget"), input(t, d, "spent"), 120_000_000, input(t, d, "left_ms"))
	if d.Chosen != "limit" || int64(d.Value) != want || input(t, d, "cost_max") != want || input(t, d, "hpa") <= want {
		t.Errorf("%+v, want a limit of %d", d, want)
	}
	if shed := p.about(topicShed, ""); len(shed) == 0 {
		t.Error("nothing is shed, though the budget pays for fewer replicas than wanted")
	}
}

// A budget that no price list fits is not watched, says so once, and is never guessed at.
func TestBudgetWithoutPrices(t *testing.T) {
	drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + hourMS, Budget: 1, BudgetCurrency: "EUR"}}
	p := newPlant(t, 1, RollupConfig{}, drops)
	for m := range int64(5) {
		at := dropStart + (m+1)*minuteMS
		p.minute(at+20_000, steady(at, 10))
	}
	if d := p.about(topicBudget, ""); len(d) != 1 || d[0].Chosen != noPriceList || input(t, d[0], "unpriced_requests") != 10 {
		t.Errorf("decisions %+v", d)
	}
	if n := outcomes(p.rollup)["no_price_list"]; n != 5 {
		t.Errorf("%d evaluations counted, want 5", n)
	}
	if e := p.estimate("edge_spent"); e.Enough || e.Why != "no price list for EUR" || e.N != 50 {
		t.Errorf("spent %+v", e)
	}
	if len(p.about(topicPace, ""))+len(p.about(topicShed, "")) != 0 {
		t.Error("paced or shed without knowing costs")
	}
}

// A drop without a budget has costs, and no levels.
func TestNoBudget(t *testing.T) {
	p := newPlant(t, 2, RollupConfig{}, catalogue{"d": {StartMS: dropStart, EndMS: dropStart + hourMS}})
	for m := range int64(3) {
		at := dropStart + (m+1)*minuteMS
		p.minute(at+20_000, func(n int) []*event.Event {
			return append(steady(at, 10)(n), purchase(at-1, "d", fmt.Sprint("p", n), "fra", "c"))
		})
	}
	if len(p.about(topicBudget, ""))+len(p.about(topicPace, ""))+len(p.about(topicShed, "")) != 0 {
		t.Errorf("decisions %+v", p.decisions)
	}
	if e := p.estimate("edge_cost_per_conversion"); e.Value != 60*540/2 || e.Numerator != 2 {
		t.Errorf("per conversion %+v", e)
	}
}

func TestRollupOutcomes(t *testing.T) {
	drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + hourMS, Budget: 1000, BudgetCurrency: "USD"}}
	p := newPlant(t, 1, RollupConfig{}, drops)
	base := event.EdgeCost{DropID: "d", POP: "fra", CreatorID: "c", PaneStart: dropStart + minuteMS, PaneMS: minuteMS, Revision: 2, Watermark: dropStart, Newest: dropStart,
		Samples: 1, SampleRate: 1, RequestsMicro: million, Currency: "USD", Prices: "x", Cost: 300}
	partial := func(change func(*event.EdgeCost)) event.Record {
		e := base
		change(&e)
		return event.Record{Kind: event.KindEdgeCost, Key: appendRecordKey(nil, &e), Value: e.AppendJSON(nil), Timestamp: dropStart}
	}
	same := func(*event.EdgeCost) {}
	p.roll([]event.Record{
		partial(same), partial(same), partial(func(e *event.EdgeCost) { e.Revision = 1 }),
		partial(func(e *event.EdgeCost) { e.Revision, e.Maturity, e.Cost = 3, event.Final, 400 }),
		partial(func(e *event.EdgeCost) { e.PaneStart = dropStart }),
		partial(func(e *event.EdgeCost) { e.POP, e.Currency = "sin", "EUR" }),
		partial(func(e *event.EdgeCost) { e.POP, e.EgressBytes = "lax", math.MaxInt64 }),
		partial(func(e *event.EdgeCost) { e.POP, e.EgressBytes = "lhr", 1 }),
		partial(func(e *event.EdgeCost) { e.DropID = "" }),
		partial(func(e *event.EdgeCost) { e.DropID, e.Watermark = "gone", dropStart+minuteMS }),
		{Kind: event.KindDecision, Value: []byte("{")},
	}, processors.RollupTimes{Watermark: dropStart + minuteMS, Now: dropStart, Quiet: true})
	want := map[string]uint64{"stale_revision": 2, "after_final": 1, "foreign_currency": 1, "out_of_range": 1, "no_price_list": 0, "unknown_drop": 1}
	if got := outcomes(p.rollup); !maps.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	if s := p.rollup.accounts.Get("d"); s.total.cost != 700 || s.total.unpriced != million || s.partitions[0].open != 2 {
		t.Errorf("account %+v", s)
	}
	bad := event.Record{Kind: event.KindEdgeCost, Value: []byte(`{"drop_id":`)}
	if err := p.rollup.Apply(&bad); err == nil || err.Reason != event.ReasonMalformed {
		t.Errorf("a partial that does not decode: %v", err)
	}
}

// Whatever the order of revisions, the total is the sum of the newest ones, and CAP is left only by a higher budget.
func TestTotalsFollowRevisions(t *testing.T) {
	s := uint64(time.Now().UnixNano())
	t.Logf("seed %d", s)
	random := rand.New(rand.NewPCG(s, 0))
	capped := 0
	for range 40 {
		drops := catalogue{"d": {StartMS: dropStart, EndMS: dropStart + 3*hourMS, Budget: 2_000_000, BudgetCurrency: "USD"}}
		p := newPlant(t, 2, RollupConfig{}, drops)
		p.unsteady = random
		raised := map[int64]bool{}
		for m := range int64(60) {
			at := dropStart + (m+1)*minuteMS
			if random.IntN(25) == 0 {
				d := *drops["d"]
				d.Budget += d.Budget / 4
				drops["d"] = &d
				raised[at] = true
			}
			p.minute(at+20_000-random.Int64N(2*minuteMS), func(n int) []*event.Event {
				events := steady(at, random.IntN(100))(n)
				for _, ev := range events { // some come late
					ev.EventTime = max(dropStart, ev.EventTime-random.Int64N(8*minuteMS))
				}
				if random.IntN(3) == 0 {
					events = append(events, purchase(at-random.Int64N(5*minuteMS), "d", fmt.Sprint(n, "-", random.IntN(9)), "fra", "c"))
				}
				return events
			})
		}
		var sum totals
		for _, c := range p.newest {
			sum.add(totalsOf(&c, true))
		}
		if got := p.rollup.accounts.Get("d").total; got != sum {
			t.Fatalf("total %+v, the partials say %+v", got, sum)
		}
		level := "ok"
		for _, d := range p.about(topicBudget, "") {
			if d.Previous != level {
				t.Fatalf("%s follows %s, not %s", d.Chosen, level, d.Previous)
			}
			if level == "cap" && !slices.ContainsFunc(slices.Collect(maps.Keys(raised)), func(at int64) bool { return at >= d.At-5*minuteMS && at <= d.At+5*minuteMS }) {
				t.Fatalf("CAP was left at %d, raised at %v", d.At, raised)
			}
			if level = d.Chosen; level == "cap" {
				capped++
			}
		}
	}
	if capped == 0 {
		t.Error("no drop ever reached CAP")
	}
}

// Estimates come every minute of event time, and when nothing is left to fold at most once a second; never without news.
func TestPublicationPace(t *testing.T) {
	p := newPlant(t, 1, RollupConfig{}, catalogue{"d": {StartMS: dropStart, EndMS: dropStart + hourMS}})
	e := event.EdgeCost{DropID: "d", PaneStart: dropStart, PaneMS: minuteMS, Revision: 1, Watermark: dropStart, Newest: dropStart, SampleRate: 1, RequestsMicro: million, Currency: "USD", Cost: 1}
	for i, c := range []struct {
		second, clock int64 // of event time, of the runtime
		news, quiet   bool
		want          bool
	}{
		{30, 0, true, false, true}, {60, 0, true, false, false}, {90, 0, true, false, true},
		{91, 5000, true, true, true}, {92, 5500, true, true, false}, {93, 6000, false, true, true}, {94, 9000, false, true, false},
		{150, 9000, false, false, false}, {151, 9000, true, false, false}, {153, 9000, true, false, true}, {3700, 9000, false, false, true}, {3800, 9000, false, true, false},
	} {
		var records []event.Record
		if c.news {
			e.Revision++
			records = []event.Record{{Kind: event.KindEdgeCost, Key: appendRecordKey(nil, &e), Value: e.AppendJSON(nil)}}
		}
		estimates, _ := p.roll(records, processors.RollupTimes{Watermark: dropStart + c.second*1000, Now: c.clock, Quiet: c.quiet})
		if (len(estimates) > 0) != c.want {
			t.Errorf("step %d, %+v: %d estimates", i, c, len(estimates))
		}
	}
}

func TestRollupConfigIsChecked(t *testing.T) {
	for _, cfg := range []RollupConfig{{Bounds: edgebudget.Bounds{Floor: 5, Max: 4}}, {Cores: -1}, {Utilisation: 1.5}, {Hourly: -1}, {WindowMS: 1000}, {PublishMS: -1},
		{Rules: edgebudget.Rules{Cap: 2}}, {Shedding: edgebudget.Shedding{Warn: 9}}} {
		if _, err := NewRollup(cfg, catalogue{}); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestKeys(t *testing.T) {
	e := event.Estimate{DropID: "d|1", Metric: "edge_spent", Dimensions: []event.Dimension{{Name: "creator", Value: "a\\b"}}}
	d := event.Decision{DropID: "d|1", Topic: "pace", Subject: "", At: 7}
	got := string(appendEstimateKey(nil, &e)) + " " + string(appendDecisionKey(nil, &d))
	if want := `d\|1|edge_spent|creator|a\\b| d\|1|pace||7`; got != want || string(event.Route([]byte(got))) != `d\|1` {
		t.Errorf("keys %s, want %s", got, want)
	}
}

func randomAccount(random *rand.Rand) account {
	sum := func() (t totals) {
		for _, n := range t.each() {
			*n = random.Int64N(1<<40) - 1000
		}
		return t
	}
	s := account{
		revision: random.Uint64N(1 << 20), published: random.Int64N(1 << 41), told: random.Int64N(1 << 41), fresh: random.IntN(2) == 0, evaluated: random.Int64N(1 << 41), newest: random.Int64N(1 << 41),
		currency: "USD", rate: random.Float64(), total: sum(), pace: random.Float64(), shed: random.Int64N(7), replicas: random.Int64N(100),
		limited: random.IntN(2) == 0, unpriced: random.IntN(2) == 0, ended: random.IntN(2) == 0,
		guard: edgebudget.Guard{Level: edgebudget.Level(random.IntN(3)), SinceMS: random.Int64N(1 << 41), BelowMS: random.Int64N(1 << 41), Budget: random.Int64N(1 << 50), Notified: random.IntN(2) == 0},
	}
	for i := range 1 + random.IntN(3) {
		s.minutes = append(s.minutes, minute{start: int64(i) * minuteMS, totals: sum()})
		s.partitions = append(s.partitions, partition{number: int32(i), final: random.Int64N(1<<41) - 1, open: random.Uint32N(5)})
		s.creators = append(s.creators, creator{name: fmt.Sprint("c", i), totals: sum()})
		s.history = append(s.history, edgebudget.Recommendation{AtMS: random.Int64N(1 << 41), Replicas: random.Int64N(100)})
	}
	return s
}

func TestRollupStateOfEarlierVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 11))
	codec := accountCodec{names: &wire.Names{}}
	var accounts, opens [][]byte
	for range 3 {
		s := randomAccount(random)
		accounts = append(accounts, codec.Append(nil, &s))
		opens = append(opens, openCodec{}.Append(nil, &open{revision: random.Uint64N(1000), counted: s.total}))
		checkCodec(t, processors.Codec[account](codec), s)
	}
	statetest.Check(t, statetest.Kind{Name: "account", Newest: accountVersion, Samples: accounts, Read: statetest.ReadWith(processors.Codec[account](codec))})
	statetest.Check(t, statetest.Kind{Name: "open", Newest: openVersion, Samples: opens, Read: statetest.ReadWith(processors.Codec[open](openCodec{}))})
	bad := randomAccount(random)
	bad.shed = 99
	if err := codec.Decode(codec.Append(nil, &bad), new(account)); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("an impossible account: %v", err)
	}
}

// BenchmarkRollup is one partial folded in, with its share of a transaction of 160 of them: a minute's at 40 POPs and four partitions.
func BenchmarkRollup(b *testing.B) {
	r, err := NewRollup(RollupConfig{}, catalogue{"d": {StartMS: dropStart, EndMS: dropStart + 48*hourMS, Budget: 500_000_000_000, BudgetCurrency: "USD"}})
	if err != nil {
		b.Fatal(err)
	}
	var records []event.Record
	e := event.EdgeCost{DropID: "d", CreatorID: "c", PaneMS: minuteMS, Samples: 1, SampleRate: 1, RequestsMicro: million, Currency: "USD", Prices: "x", Cost: 300}
	for i := range 40 {
		e.POP = fmt.Sprintf("pop%02d", i)
		for n := range int32(4) {
			e.Partition = n
			records = append(records, event.Record{Kind: event.KindEdgeCost, Key: appendRecordKey(nil, &e)})
		}
	}
	var out processors.Output
	var value []byte
	for i := range b.N {
		record := records[i%len(records)]
		e.Partition, e.Revision = int32(i%4), uint64(i+1)
		e.PaneStart = dropStart
		e.Watermark = dropStart + int64(i/len(records))*100
		e.Newest = e.Watermark + 1
		value = e.AppendJSON(value[:0])
		record.Value = value
		if err := r.Apply(&record); err != nil {
			b.Fatal(err)
		}
		if i%len(records) == len(records)-1 {
			r.Flush(processors.RollupTimes{Watermark: e.Watermark}, &out)
			out.Reset()
			for _, table := range r.Tables() {
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
		}
	}
}
