package attribution

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/timeline"
	"github.com/droplift/droplift/processors/wire"
)

var inputs = []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout}

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: inputs},
		RulesOf: func(c processors.Catalogue) []processors.Rule {
			rule, err := New(Config{RefundMS: dayMS}, 7, c)
			if err != nil {
				t.Fatal(err)
			}
			return []processors.Rule{rule}
		},
	})
}

const (
	opens  = int64(1_700_000_000_000)
	closes = opens + 3*hourMS
)

type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

func oneDrop() catalogue {
	return catalogue{"d": {Name: "d", StartMS: opens, EndMS: closes, LatencyBudgetMS: 300}}
}

// history draws events of some players around a drop, in order of event time.
func history(random *rand.Rand) []event.Event {
	var h []event.Event
	for p := range 60 {
		for range 1 + random.IntN(12) {
			ev := event.Event{Envelope: event.Envelope{
				ID: uuid.Must(uuid.NewRandomFromReader(randomBytes{random})), DropID: "d", CreatorID: "c", PlayerID: fmt.Sprint("p", p), SampleRate: 1, SchemaVersion: 1,
				POP: []string{"fra", "nyc"}[random.IntN(2)], Device: []string{"phone", "tv"}[random.IntN(2)], Language: []string{"de", "en"}[random.IntN(2)],
				EventTime: opens - 10*minuteMS + random.Int64N(200)*minuteMS + random.Int64N(3)*20_000,
			}}
			// Views and requests of a player cluster, so that many are near each other.
			if random.IntN(3) > 0 {
				ev.EventTime = opens + int64(p%7)*20*minuteMS + random.Int64N(20)*10_000
			}
			switch random.IntN(6) {
			case 0, 1:
				ev.Kind, ev.Type = event.KindLatency, event.EdgeRequest
				ev.Latency = event.Latency{Request: []event.Request{event.RequestLanding, event.RequestLanding, event.RequestSegment}[random.IntN(3)], MS: float64(random.IntN(12_000)) / 10,
					Cache: event.CacheStatus(random.IntN(int(numVerdicts)))}
			case 2, 3:
				ev.Kind, ev.Type = event.KindPlayer, event.LandingView
			default:
				ev.Kind = event.KindCheckout
				ev.Type = []event.Type{event.CheckoutCompleted, event.CheckoutCompleted, event.CheckoutRefunded, event.CheckoutChargeback}[random.IntN(4)]
				ev.Checkout = event.Checkout{CheckoutID: "k", Amount: random.Int64N(5000), Currency: []string{"EUR", "JPY"}[random.IntN(2)], Quantity: 1}
			}
			ev.IngestTime = ev.EventTime
			h = append(h, ev)
		}
	}
	slices.SortStableFunc(h, func(a, b event.Event) int { return cmp.Compare(a.EventTime, b.EventTime) })
	return h
}

type randomBytes struct{ *rand.Rand }

func (r randomBytes) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

type stratum struct {
	pop, device, language string
	age                   int64
}

// reference counts a whole history at once, by the definition of the package comment.
func reference(h []event.Event, cfg Config) map[stratum]event.Attribution {
	cfg = cfg.withDefaults()
	players := map[string][]event.Event{}
	for _, ev := range h {
		players[ev.PlayerID] = append(players[ev.PlayerID], ev)
	}
	sums := map[stratum]event.Attribution{}
	for _, evs := range players {
		var views, requests []event.Event
		bought, net := int64(0), map[string]int64{}
		for _, ev := range evs {
			within := ev.EventTime < closes
			switch {
			case ev.Type == event.LandingView && within:
				views = append(views, ev)
			case ev.Latency.Request == event.RequestLanding && within:
				requests = append(requests, ev)
			case ev.Type == event.CheckoutCompleted && within:
				if bought == 0 {
					bought = ev.EventTime
				}
				net[ev.Checkout.Currency] += ev.Checkout.Amount
			case ev.Type == event.CheckoutRefunded || ev.Type == event.CheckoutChargeback:
				net[ev.Checkout.Currency] -= ev.Checkout.Amount
			}
		}
		slices.SortFunc(views, func(a, b event.Event) int {
			return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.POP, b.POP), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Language, b.Language))
		})
		if len(views) == 0 || bought != 0 && bought < views[0].EventTime {
			continue
		}
		first := views[0]
		slices.SortFunc(requests, func(a, b event.Event) int {
			return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.Latency.MS, b.Latency.MS))
		})
		requests = requests[:min(len(requests), maxSamples)]
		near := slices.IndexFunc(requests, func(r event.Event) bool {
			return r.EventTime >= first.EventTime-cfg.JoinMS && r.EventTime <= first.EventTime+cfg.JoinMS
		})
		from, _ := cfg.ageBin(first.EventTime - opens)
		id := stratum{first.POP, first.Device, first.Language, from}
		a := sums[id]
		if near < 0 {
			a.Unmeasured++
			if bought != 0 {
				a.UnmeasuredConversions++
			}
			sums[id] = a
			continue
		}
		ms := requests[near].Latency.MS
		k := latencyloss.Bucket(ms)
		a.Viewers[k]++
		a.LatencyUS[k] += microseconds(ms)
		if bought != 0 {
			a.Conversions[k]++
		}
		for currency, amount := range net {
			a.Money = addMoney(a.Money, currency, k, amount)
		}
		sums[id] = a
	}
	return clean(sums)
}

func addMoney(list []event.LatencyMoney, currency string, k int, amount int64) []event.LatencyMoney {
	list = slices.Clone(list)
	i := slices.IndexFunc(list, func(m event.LatencyMoney) bool { return m.Currency == currency })
	if i < 0 {
		i = len(list)
		list = append(list, event.LatencyMoney{Currency: currency})
	}
	list[i].Net[k] += amount
	slices.SortFunc(list, func(a, b event.LatencyMoney) int { return cmp.Compare(a.Currency, b.Currency) })
	return list
}

// clean leaves out money of 0 and strata that everybody has moved away from.
func clean(sums map[stratum]event.Attribution) map[stratum]event.Attribution {
	for id, a := range sums {
		a.Money = slices.DeleteFunc(slices.Clone(a.Money), func(m event.LatencyMoney) bool { return m.Net == [event.NumLatencyBuckets]int64{} })
		if len(a.Money) == 0 {
			a.Money = nil
		}
		sums[id] = a
	}
	maps.DeleteFunc(sums, func(_ stratum, a event.Attribution) bool { return reflect.DeepEqual(a, event.Attribution{}) })
	return sums
}

// run feeds a history in its order to partitions by player, with commits, and adds up the newest partials.
func run(t *testing.T, h []event.Event, partitions int, random *rand.Rand) (map[stratum]event.Attribution, map[string]event.LatencySketch) {
	t.Helper()
	drops := oneDrop()
	parts := make([]*processors.Partition, partitions)
	for p := range parts {
		rule, err := New(Config{}, int32(p), drops)
		if err != nil {
			t.Fatal(err)
		}
		// Everything is within the lateness, so that order is all that differs.
		parts[p] = processors.NewPartition(int32(p), processors.Config{Inputs: inputs, AllowedLateness: 6 * hourMS}, drops, []processors.Rule{rule})
		defer rule.Outcomes(func(outcome string, total uint64) {
			if outcome == "refused" && total > 0 {
				t.Errorf("%d refused", total)
			}
		})
	}
	newest, sketches := map[string]event.Attribution{}, map[string]event.LatencySketch{}
	var d event.Decoder
	flush := func(p *processors.Partition) {
		for _, m := range p.Flush(opens, []bool{true, true, true}) {
			switch m.Kind {
			case event.KindAttribution:
				var a event.Attribution
				if err := d.Attribution(m.Value, &a); err != nil {
					t.Fatal(err)
				}
				if a.Revision <= newest[string(m.Key)].Revision {
					t.Errorf("%s: revision %d after %d", m.Key, a.Revision, newest[string(m.Key)].Revision)
				}
				newest[string(m.Key)] = a
			case event.KindLatencySketch:
				var s event.LatencySketch
				if err := d.LatencySketch(m.Value, &s); err != nil {
					t.Fatal(err)
				}
				sketches[string(m.Key)] = s
			default:
				t.Errorf("%s %s", m.Kind, m.Value)
			}
		}
		p.Commit()
	}
	for i := range h {
		ev := &h[i]
		number := 0
		for _, c := range ev.PlayerID {
			number = (number*31 + int(c)) % partitions
		}
		if outcome := parts[number].Process(event.Record{Kind: ev.Kind, Key: []byte(ev.PlayerID), Value: event.Append(nil, ev), Timestamp: ev.IngestTime}); outcome != event.Accepted {
			t.Fatalf("outcome %v", outcome)
		}
		if random.IntN(40) == 0 {
			flush(parts[number])
		}
	}
	for _, p := range parts {
		flush(p)
	}
	sums := map[stratum]event.Attribution{}
	for _, a := range newest {
		id := stratum{strings.Clone(a.POP), a.Device, a.Language, a.AgeFrom}
		s := sums[id]
		s.Unmeasured += a.Unmeasured
		s.UnmeasuredConversions += a.UnmeasuredConversions
		for k := range event.NumLatencyBuckets {
			s.Viewers[k] += a.Viewers[k]
			s.Conversions[k] += a.Conversions[k]
			s.LatencyUS[k] += a.LatencyUS[k]
			for _, m := range a.Money {
				s.Money = addMoney(s.Money, m.Currency, k, m.Net[k])
			}
		}
		sums[id] = s
	}
	return clean(sums), sketches
}

// TestOrderAndPartitionsDoNotMatter: any order of arrival over any number of partitions gives what the definition gives.
func TestOrderAndPartitionsDoNotMatter(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 11))
		h := history(random)
		want := reference(h, Config{})
		if len(want) < 4 {
			t.Fatalf("seed %d: %d strata show little", seed, len(want))
		}
		for _, partitions := range []int{1, 3} {
			random.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
			got, sketches := run(t, h, partitions, random)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, %d partitions:\n got %+v\nwant %+v", seed, partitions, got, want)
			}
			samples, weight, verdicts := uint64(0), uint64(0), [numVerdicts]uint64{}
			for _, s := range sketches {
				samples, weight = samples+s.Samples, weight+s.Zero
				for _, b := range s.Bins {
					weight += b.Weight
				}
				for i, w := range [...]uint64{event.CacheHit: s.Hits, event.CacheMiss: s.Misses, event.CacheStale: s.Stale, event.CacheBypass: s.Bypassed} {
					verdicts[i] += w
				}
			}
			requests := uint64(0)
			for i := range h {
				if h[i].Kind == event.KindLatency && h[i].EventTime < closes {
					requests++
					if h[i].Latency.Cache != event.CacheUnknown {
						verdicts[h[i].Latency.Cache] -= 1000
					}
				}
			}
			if verdicts != [numVerdicts]uint64{} {
				t.Errorf("seed %d: the verdicts of the cache differ by %d", seed, verdicts)
			}
			if samples != requests || weight != 1000*requests {
				t.Errorf("seed %d: the sketches hold %d samples of weight %d, want %d", seed, samples, weight, requests)
			}
		}
	}
}

// TestRefused: what cannot be counted is counted as that.
func TestRefused(t *testing.T) {
	rule, err := New(Config{RefundMS: hourMS}, 0, oneDrop())
	if err != nil {
		t.Fatal(err)
	}
	outcomes := func() map[string]uint64 {
		m := map[string]uint64{}
		rule.Outcomes(func(outcome string, total uint64) { m[outcome] = total })
		return m
	}
	apply := func(ev event.Event) {
		ev.SampleRate = cmp.Or(ev.SampleRate, 1)
		rule.Apply(&ev, ev.EventTime)
	}
	base := event.Event{Kind: event.KindLatency, Envelope: event.Envelope{Type: event.EdgeRequest, DropID: "d", PlayerID: "p", EventTime: opens},
		Latency: event.Latency{Request: event.RequestLanding, MS: 10}}
	unknown := base
	unknown.DropID = "other"
	apply(unknown)
	rare := base
	rare.SampleRate = 1e-9
	apply(rare)
	buy := event.Event{Kind: event.KindCheckout, Envelope: event.Envelope{Type: event.CheckoutCompleted, DropID: "d", PlayerID: "p", EventTime: opens},
		Checkout: event.Checkout{Amount: 1<<63 - 1, Currency: "EUR"}}
	apply(buy)
	apply(buy) // beyond int64
	if got := outcomes(); got["refused"] != 3 || got["crowded"] != 0 {
		t.Errorf("%v", got)
	}
	for i := range int64(maxSamples + 2) {
		again := base
		again.EventTime += i
		apply(again)
	}
	if got := outcomes(); got["crowded"] != 2 {
		t.Errorf("%v, want 2 landing requests too many", got)
	}
	// Closed strata and final panes take nothing any more.
	var out processors.Output
	rule.Flush(processors.Times{Watermark: closes + 2*minuteMS, AllowedLateness: minuteMS}, &out)
	for _, table := range rule.Tables() {
		table.Commit()
	}
	apply(base)
	if got := outcomes(); got["refused"] != 5 { // its pane, and its viewer
		t.Errorf("%v after closing", got)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{AgeMS: -1}, {OpeningAgeMS: 7 * minuteMS}, {AgeMS: 3 * hourMS}, {Accuracy: 0.5}, {Accuracy: -1}, {PaneMS: -5}, {RefundMS: -1}} {
		if _, err := New(c, 0, oneDrop()); err == nil {
			t.Errorf("%+v is valid", c)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []TotalsConfig{{BudgetMS: -1}, {EveryMS: -1}, {QuietMS: -1}} {
		if _, err := NewTotals(c); err == nil {
			t.Errorf("%+v is valid", c)
		}
	}
	cfg := Config{}.withDefaults()
	for age, want := range map[int64][2]int64{-5: {-1, 0}, 0: {0, 5 * minuteMS}, 5*minuteMS - 1: {0, 5 * minuteMS}, 2*hourMS - 1: {115 * minuteMS, 2 * hourMS}, 2 * hourMS: {2 * hourMS, 3 * hourMS}} {
		if from, to := cfg.ageBin(age); from != want[0] || to != want[1] {
			t.Errorf("age %d is in [%d, %d), want %v", age, from, to, want)
		}
	}
}

func TestStateOfEarlierVersions(t *testing.T) {
	n := &wire.Names{}
	v := visit{start: opens, end: closes, view: opens + 5, pop: "fra", device: "phone", language: "de",
		samples: []sample{{at: opens - 3, us: 350_125, pop: "fra", rate: 1}, {at: opens + 9, us: 40, pop: "nyc", rate: 0.25}},
		bought:  opens + 77, money: []account{{"EUR", 4999}, {"JPY", -100}}}
	c := cell{creator: "c1", start: opens, end: closes, ageTo: 300_000, revision: 3, closed: true, rate: 0.25, unmeasured: 4, unmeasuredBy: 1,
		money: []event.LatencyMoney{{Currency: "EUR"}}}
	c.viewers[2], c.conversions[2], c.us[2], c.viewers[11] = 9, 2, 1_234_567, 1
	c.money[0].Net[2], c.money[0].Net[5] = 4999, -7
	p := pane{start: opens - opens%minuteMS, revision: 2, samples: 5, rate: 0.5, zero: 1000, bins: bins{{Index: -4, Weight: 1000}, {Index: 124, Weight: 12_000}},
		cache: [numVerdicts]uint64{event.CacheHit: 9000, event.CacheMiss: 3000, event.CacheBypass: 1}}
	d := drop{creator: "c1", from: opens, to: closes, budget: 250, published: opens, publishedAt: opens + 9, revision: 7, dirty: true, open: 2, pending: 5, closed: true}
	pt := part{revision: 3, pop: "fra", device: "tv", language: "en", ageFrom: -1, closed: true, rate: 1, viewers: c.viewers, conversions: c.conversions, us: c.us, money: c.money}
	m := merged{pop: "fra", accuracy: 0.01, revision: 2, rate: 0.5, samples: 5, zero: 1000, bins: p.bins}

	visits, cells, panes := visitCodec{refundMS: dayMS, names: n}, cellCodec{refundMS: dayMS, names: n}, paneCodec{paneMS: minuteMS, accuracy: 0.01}
	for _, k := range []statetest.Kind{
		{Name: "visit", Newest: visitVersion, Samples: [][]byte{visits.Append(nil, &v), visits.Append(nil, &visit{start: opens, end: closes})}, Read: statetest.ReadWith(visits)},
		{Name: "cell", Newest: cellVersion, Samples: [][]byte{cells.Append(nil, &c), cells.Append(nil, &cell{rate: 1})}, Read: statetest.ReadWith(cells)},
		{Name: "pane", Newest: paneVersion, Samples: [][]byte{panes.Append(nil, &p)}, Read: statetest.ReadWith(panes)},
		{Name: "horizon", Newest: wire.HorizonVersion, Samples: [][]byte{wire.HorizonCodec{}.Append(nil, &wire.Horizon{At: opens})}, Read: statetest.ReadWith(wire.HorizonCodec{})},
		{Name: "drop", Newest: dropVersion, Samples: [][]byte{dropCodec{n}.Append(nil, &d)}, Read: statetest.ReadWith(dropCodec{n})},
		{Name: "part", Newest: partVersion, Samples: [][]byte{partCodec{n}.Append(nil, &pt)}, Read: statetest.ReadWith(partCodec{n})},
		{Name: "merged", Newest: mergedVersion, Samples: [][]byte{mergedCodec{}.Append(nil, &m)}, Read: statetest.ReadWith(mergedCodec{})},
	} {
		statetest.Check(t, k)
		for _, data := range k.Samples {
			for cut := range len(data) {
				if _, _, err := k.Read(data[:cut]); err == nil {
					t.Errorf("%s: the first %d of %d bytes are read without an error", k.Name, cut, len(data))
				}
			}
		}
	}
	other := paneCodec{paneMS: minuteMS, accuracy: 0.02}
	if err := panes.Decode(other.Append(nil, &p), &pane{}); err == nil || !strings.Contains(err.Error(), "replay") {
		t.Errorf("a sketch of another accuracy: %v", err)
	}
}

// BenchmarkRule is one event with its share of a transaction of 4,000: a tenth of the events are landings.
func BenchmarkRule(b *testing.B) {
	rule, err := New(Config{}, 0, oneDrop())
	if err != nil {
		b.Fatal(err)
	}
	players := make([]string, 200_000)
	for i := range players {
		players[i] = fmt.Sprintf("01920f4e-8c00-7abc-%012d", i)
	}
	var out processors.Output
	published := 0
	ev := event.Event{Envelope: event.Envelope{DropID: "d", SampleRate: 1, Device: "phone", Language: "de"}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := opens + int64(i)/20
		ev.PlayerID, ev.POP = players[i/10%len(players)], [...]string{"fra", "nyc", "nrt", "iad"}[i/10%4]
		switch i % 10 {
		case 0:
			ev.Type, ev.Latency = event.EdgeRequest, event.Latency{Request: event.RequestLanding, MS: float64(20 + i*7919%1500)}
		case 1:
			ev.Type = event.LandingView
		case 2, 3:
			ev.Type, ev.Latency = event.EdgeRequest, event.Latency{Request: event.RequestSegment, MS: float64(20 + i*7919%1500)}
		default:
			ev.Type = event.Heartbeat
		}
		rule.Apply(&ev, at)
		if i%4000 == 3999 {
			rule.Flush(processors.Times{Watermark: at - 10_001, AllowedLateness: 600_000}, &out)
			published += out.Len()
			out.Reset()
			for _, table := range rule.Tables() {
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
		}
	}
	b.ReportMetric(float64(published)/float64(b.N), "records/event")
}
