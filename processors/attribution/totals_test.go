package attribution

import (
	"bufio"
	"compress/gzip"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch/mapping"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// TestSketchExample is DOMAIN 5's example: the paper's indexes are one more than DataDog's, the values are the same.
func TestSketchExample(t *testing.T) {
	m, err := mapping.NewLogarithmicMapping(0.01)
	if err != nil {
		t.Fatal(err)
	}
	var parts [2]bins
	values := [2][]float64{{12, 35, 48, 51, 95}, {110, 180, 260, 900, 2400}}
	var indexes []int
	for p := range values {
		for _, ms := range values[p] {
			parts[p].add(int32(m.Index(ms)), weightOf(1))
			indexes = append(indexes, m.Index(ms)+1)
			gamma := 1.01 / 0.99
			if want := 2 * math.Pow(gamma, float64(m.Index(ms)+1)) / (gamma + 1); math.Abs(m.Value(m.Index(ms))-want) > 1e-9*want {
				t.Errorf("%v ms has the value %v, by the paper %v", ms, m.Value(m.Index(ms)), want)
			}
		}
	}
	if want := []int{125, 178, 194, 197, 228, 236, 260, 279, 341, 390}; !slices.Equal(indexes, want) {
		t.Errorf("indexes %v, want %v", indexes, want)
	}
	parts[0].merge(parts[1])
	got, err := quantiles(0.01, 0, parts[0], []float64{0.5, 0.9, 0.99})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{94.6420, 907.0313, 907.0313} {
		if math.Abs(got[i]-want) > 5e-5 {
			t.Errorf("quantile %d is %.4f, want %.4f", i, got[i], want)
		}
	}
}

// TestQuantilesOfRealLatencies: merged sketches keep their relative error on round-trip times between real hosts.
func TestQuantilesOfRealLatencies(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "seattle", "*.gz"))
	if err != nil || len(files) == 0 {
		t.Skip("no real latencies here")
	}
	m, err := mapping.NewLogarithmicMapping(0.01)
	if err != nil {
		t.Fatal(err)
	}
	var exact []float64
	var merged bins
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var part bins
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lines := bufio.NewScanner(unpacked)
		lines.Buffer(nil, 1<<20) // a line is a row of 99
		for lines.Scan() {
			for _, word := range strings.Fields(lines.Text()) {
				if s, err := strconv.ParseFloat(word, 64); err == nil && s > 0 {
					exact = append(exact, s*1000)
					part.add(int32(m.Index(s*1000)), weightOf(1))
				}
			}
		}
		merged.merge(part)
	}
	if len(exact) < 10_000 {
		t.Fatalf("%d latencies in %v", len(exact), files)
	}
	checkQuantiles(t, exact, merged)
	t.Logf("%d latencies in %d bins", len(exact), len(merged))
}

func TestQuantilesOfSimulatedLatencies(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	m, err := mapping.NewLogarithmicMapping(0.01)
	if err != nil {
		t.Fatal(err)
	}
	var exact []float64
	var b bins
	for range 50_000 {
		ms := 80 * math.Exp(1.2*random.NormFloat64())
		exact = append(exact, ms)
		b.add(int32(m.Index(ms)), weightOf(1))
	}
	checkQuantiles(t, exact, b)
}

func checkQuantiles(t *testing.T, exact []float64, b bins) {
	t.Helper()
	slices.Sort(exact)
	at := []float64{0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1}
	got, err := quantiles(0.01, 0, b, at)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range at {
		want := exact[int(q*float64(len(exact)-1))]
		if math.Abs(got[i]-want) > 0.01*want*(1+1e-9) {
			t.Errorf("quantile %v is %v, of the sample %v: off by more than 1 %%", q, got[i], want)
		}
	}
}

// desk is a Totals with what it published, newest by key.
type desk struct {
	t         *testing.T
	totals    *Totals
	rollup    *processors.Rollup
	offset    int64
	now       int64
	estimates map[string]event.Estimate
}

func newDesk(t *testing.T) *desk {
	totals, err := NewTotals(TotalsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, totals: totals, estimates: map[string]event.Estimate{}, now: 1,
		rollup: processors.NewRollup(0, []processors.RollupRule{totals})}
}

func (d *desk) send(kind event.Kind, value []byte) {
	d.t.Helper()
	if outcome := d.rollup.Process(event.Record{Kind: kind, Offset: d.offset, Timestamp: d.now, Value: value}); outcome != event.Accepted {
		d.t.Fatalf("outcome %v of %s", outcome, value)
	}
	d.offset++
}

// flush tells the watermark, publishes, and returns the number of estimates.
func (d *desk) flush(watermark int64, quiet bool) int {
	d.t.Helper()
	progress := event.Progress{Partition: 0, Watermark: watermark}
	d.send(event.KindProgress, progress.AppendJSON(nil))
	messages := d.rollup.Flush(d.now, []bool{quiet})
	var decoder event.Decoder
	for _, m := range messages {
		var e event.Estimate
		if err := decoder.Estimate(m.Value, &e); err != nil {
			d.t.Fatalf("%v in %s", err, m.Value)
		}
		if before := d.estimates[string(m.Key)]; e.Revision <= before.Revision {
			d.t.Errorf("%s: revision %d after %d", m.Key, e.Revision, before.Revision)
		}
		e.Details, e.Dimensions = slices.Clone(e.Details), slices.Clone(e.Dimensions)
		d.estimates[string(m.Key)] = e
	}
	n := len(messages)
	d.rollup.Commit()
	return n
}

func partial(pop string, partition int32, revision uint64) event.Attribution {
	a := event.Attribution{DropID: "d", CreatorID: "c", POP: pop, Partition: partition, Revision: revision, From: opens, To: closes, BudgetMS: 300, SampleRate: 1,
		Viewers: [12]uint32{2: 400, 4: 400, 5: 200, 7: 200}, Conversions: [12]uint32{2: 80, 4: 70, 5: 32, 7: 25},
		Money: []event.LatencyMoney{{Currency: "EUR", Net: [12]int64{2: 80 * 2000, 4: 70 * 2000, 5: 32 * 2000, 7: 25 * 2000}}}}
	for k, ms := range map[int]int64{2: 125, 4: 250, 5: 350, 7: 600} {
		a.LatencyUS[k] = int64(a.Viewers[k]) * ms * 1000
	}
	return a
}

func detail(e event.Estimate, name string) float64 {
	for _, d := range e.Details {
		if d.Name == name {
			return d.Value
		}
	}
	return math.NaN()
}

func TestTotals(t *testing.T) {
	d := newDesk(t)
	old, a, b := partial("fra", 0, 1), partial("fra", 0, 2), partial("fra", 1, 1)
	old.Conversions[7] = 199 // replaced
	fast := event.Attribution{DropID: "d", POP: "sjc", Revision: 1, From: opens, To: closes, SampleRate: 0.5, BudgetMS: 300, Unmeasured: 4,
		Viewers: [12]uint32{0: 900}, Conversions: [12]uint32{0: 150}, LatencyUS: [12]int64{0: 900 * 20_000}}
	for _, p := range []event.Attribution{old, a, b, fast, old} {
		d.send(event.KindAttribution, p.AppendJSON(nil))
	}
	for partition := range int32(2) {
		s := event.LatencySketch{DropID: "d", POP: "fra", Request: event.RequestLanding, Partition: partition, PaneStart: opens, PaneMS: minuteMS, Revision: 1, Accuracy: 0.01, SampleRate: 0.5,
			Samples: 5, Bins: []event.SketchBin{{Index: 227, Weight: 10_000}}}
		d.send(event.KindLatencySketch, s.AppendJSON(nil))
		s.Revision, s.Maturity = 2, event.Final
		d.send(event.KindLatencySketch, s.AppendJSON(nil))
	}
	if n := d.flush(processors.NoWatermark, true); n != 0 {
		t.Errorf("%d estimates before there is an event time", n)
	}
	if n := d.flush(opens+minuteMS, false); n == 0 {
		t.Fatal("nothing was published")
	}
	whole, pop := d.estimates["d|latency_loss_conversions"], d.estimates["d|latency_loss_conversions|pop=fra"]
	for name, e := range map[string]event.Estimate{"drop": whole, "fra": pop} {
		if !e.Enough || e.Label != "observational" || e.Grade != event.GradeNone || e.P != -1 || e.Unit != "conversions" || e.Maturity != event.Provisional ||
			e.AsOf != opens+minuteMS || e.From != opens || e.To != closes || e.CreatorID != "c" {
			t.Errorf("%s: %+v", name, e)
		}
		if !(e.Low < e.Value && e.Value < e.High && e.Value > 0) {
			t.Errorf("%s: %v [%v, %v]", name, e.Value, e.Low, e.High)
		}
		if detail(e, "budget_ms") != 300 || detail(e, "viewers_above") != 800 || detail(e, "conversions_above") != 114 {
			t.Errorf("%s: %v", name, e.Details)
		}
	}
	if whole.N != 3300 || whole.Numerator != 564 || pop.N != 2400 || pop.Numerator != 414 || whole.SampleRate != 0.5 || detail(whole, "viewers_unmeasured") != 4 {
		t.Errorf("the drop has %d of %d, fra %d of %d: %+v", whole.Numerator, whole.N, pop.Numerator, pop.N, whole.Details)
	}
	// What the strata say by hand: 800 viewers at 300/1600 less 114.
	if got := detail(pop, "strata_loss"); math.Abs(got-(800*300./1600-114)) > 1e-9 {
		t.Errorf("strata lose %v", got)
	}
	// All losses are at fra, where a conversion is worth 20.00 EUR.
	money := d.estimates["d|latency_loss_revenue|pop=fra|currency=EUR"]
	if math.Abs(money.Value-2000*pop.Value) > 1e-6 || math.Abs(money.High-2000*pop.High) > 1e-6 || money.Unit != "minor:EUR" || whole.Value != pop.Value {
		t.Errorf("%v EUR for %v conversions", money.Value, pop.Value)
	}
	if all := d.estimates["d|latency_loss_revenue|currency=EUR"]; math.Abs(all.Value-money.Value) > 1e-6 {
		t.Errorf("the drop loses %v EUR, its only slow POP %v", all.Value, money.Value)
	}
	// The POP within the budget says nothing, and why.
	if e := d.estimates["d|latency_loss_conversions|pop=sjc"]; e.Enough || e.Why != "too few viewers above the budget" || e.Value != 0 || e.N != 900 {
		t.Errorf("sjc: %+v", e)
	}
	if _, sold := d.estimates["d|latency_loss_revenue|pop=sjc|currency=EUR"]; sold {
		t.Error("sjc sold nothing in EUR")
	}
	// Each partition's pane counts once although it came twice: 10 samples of some 94.6 ms.
	for _, key := range []string{"d|landing_latency|quantile=p50", "d|landing_latency|pop=fra|quantile=p99"} {
		if e := d.estimates[key]; e.N != 10 || math.Abs(e.Value-94.6420) > 1e-4 || e.Low > 94.6420/1.0099 || e.High < 94.6420*1.0099 || e.Unit != "ms" || e.SampleRate != 0.5 {
			t.Errorf("%s: %+v", key, e)
		}
	}
	for key := range d.estimates {
		if strings.Contains(key, "||") {
			t.Errorf("key %s", key)
		}
	}
}

func TestTotalsAreTimely(t *testing.T) {
	d := newDesk(t)
	a := partial("fra", 0, 1)
	send := func() {
		d.send(event.KindAttribution, a.AppendJSON(nil))
		a.Revision++
	}
	steps := []struct {
		name      string
		watermark int64
		quiet     bool
		later     int64
		send      func()
		want      bool
	}{
		{name: "the first", watermark: opens, send: send, want: true},
		{name: "half a minute of event time", watermark: opens + minuteMS/2, send: send},
		{name: "a minute", watermark: opens + minuteMS, want: true},
		{name: "nothing new", watermark: opens + 5*minuteMS},
		{name: "new again", watermark: opens + 5*minuteMS + 1, send: send, want: true},
		{name: "too soon, even when quiet", watermark: opens + 5*minuteMS + 2, quiet: true, later: 100, send: send},
		{name: "quiet for a while", watermark: opens + 5*minuteMS + 2, quiet: true, later: 5000, want: true},
		{name: "closed", watermark: closes + 10*minuteMS, send: func() { a.Closed = true; send() }, want: true},
		{name: "a refund", watermark: closes + 10*minuteMS + 1, send: func() { a.Money[0].Net[2] = 0; send() }},
		{name: "final", watermark: closes + 10*minuteMS + 2, send: func() { a.Maturity = event.Final; send() }, want: true},
	}
	for _, s := range steps {
		if s.send != nil {
			s.send()
		}
		d.now += s.later
		if n := d.flush(s.watermark, s.quiet); (n > 0) != s.want {
			t.Fatalf("%s: %d estimates", s.name, n)
		}
		conversions, revenue := d.estimates["d|latency_loss_conversions"].Maturity, d.estimates["d|latency_loss_revenue|currency=EUR"].Maturity
		switch s.name {
		case "new again":
			if conversions != event.Provisional {
				t.Error("conversions are final during the drop")
			}
		case "closed":
			if conversions != event.Final || revenue != event.Provisional {
				t.Errorf("closed: conversions are %v, revenue %v", conversions, revenue)
			}
		case "final":
			if revenue != event.Final {
				t.Errorf("final: revenue is %v", revenue)
			}
		}
	}
	for _, table := range d.totals.Tables() {
		if table.Len() != 0 {
			t.Errorf("%d keys are left of a final drop", table.Len())
		}
	}
}

func TestSketchesOfOtherAccuracyAreLeftOut(t *testing.T) {
	d := newDesk(t)
	for i, accuracy := range []float64{0.01, 0.02} {
		s := event.LatencySketch{DropID: "d", POP: "fra", Request: event.RequestLanding, Partition: int32(i), PaneStart: opens, PaneMS: minuteMS, Revision: 1, Accuracy: accuracy, SampleRate: 1,
			Samples: 5, Bins: []event.SketchBin{{Index: 227, Weight: 5000}}}
		d.send(event.KindLatencySketch, s.AppendJSON(nil))
	}
	d.flush(opens, true)
	d.totals.Outcomes(func(outcome string, total uint64) {
		if outcome != "mixed_accuracy" || total != 1 {
			t.Errorf("%s %d", outcome, total)
		}
	})
	if e := d.estimates["d|landing_latency|quantile=p50"]; e.N != 5 {
		t.Errorf("%+v", e)
	}
}
