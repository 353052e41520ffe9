package clickhouse

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/models/stats"
)

// answer is a query's rows by column; pointers are followed, NULL is nil.
func answer(t *testing.T, c *Client, name string, params Params) []map[string]any {
	t.Helper()
	table, err := c.Query(t.Context(), name, params)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	for _, row := range table.Rows {
		named := map[string]any{}
		for i, v := range row {
			if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && !r.IsNil() {
				v = r.Elem().Interface()
			} else if r.Kind() == reflect.Pointer {
				v = nil
			}
			named[table.Columns[i]] = v
		}
		rows = append(rows, named)
	}
	return rows
}

func numeric(t *testing.T, row map[string]any, column string) float64 {
	t.Helper()
	v := reflect.ValueOf(row[column])
	switch {
	case v.CanFloat():
		return v.Float()
	case v.CanUint():
		return float64(v.Uint())
	case v.CanInt():
		return float64(v.Int())
	}
	t.Fatalf("%s is %T in %v", column, row[column], row)
	return 0
}

func approximately(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.9g, want %.9g", what, got, want)
	}
}

func storePartials(t *testing.T, c *Client, partials ...event.Attribution) {
	t.Helper()
	var rs []event.Record
	for i := range partials {
		p := &partials[i]
		p.SampleRate, p.Watermark = 1, monday
		p.From, p.To = monday, monday+2*day
		rs = append(rs, event.Record{Kind: event.KindAttribution, Offset: int64(i), Timestamp: monday, Value: p.AppendJSON(nil)})
	}
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindAttribution, 0), rs)
}

// TestLatencyLoss is DOMAIN 5's example of the bucket loss, in two partitions and with a revision that is replaced.
func TestLatencyLoss(t *testing.T) {
	c := open(t)
	half := func(partition int32, revision uint64) event.Attribution {
		return event.Attribution{DropID: "d", POP: "fra", Partition: partition, Revision: revision, BudgetMS: 300, Closed: true,
			Viewers:     [12]uint32{1: 25_000, 4: 15_000, 5: 7_500, 8: 2_500},
			Conversions: [12]uint32{1: 1000, 4: 570, 5: 247 + uint32(partition), 8: 55},
			Money:       []event.LatencyMoney{{Currency: "USD", Net: [12]int64{1: 1999 * 1000, 4: 1999 * 570, 5: 1999 * int64(247+partition), 8: 1999 * 55}}}}
	}
	old := half(1, 1)
	old.Viewers[1] = 1
	storePartials(t, c, old, half(0, 1), half(1, 2),
		event.Attribution{DropID: "d", POP: "sjc", Revision: 1, Viewers: [12]uint32{0: 500}, Conversions: [12]uint32{0: 40}, Unmeasured: 3, BudgetMS: 300})
	rows := answer(t, c, "latency_loss", Params{"drop": "d"})
	if len(rows) != 3 || rows[0]["pop"] != nil || rows[1]["pop"] != "fra" || rows[2]["pop"] != "sjc" {
		t.Fatalf("%v", rows)
	}
	fra := rows[1]
	approximately(t, "reference rate", numeric(t, fra, "rate_within"), 0.03925, 1e-12)
	approximately(t, "lost", numeric(t, fra, "lost"), 180, 1e-9)
	approximately(t, "standard error", numeric(t, fra, "se"), 27.835, 5e-4)
	approximately(t, "low", numeric(t, fra, "low"), 125.4, 0.05)
	approximately(t, "high", numeric(t, fra, "high"), 234.6, 0.05)
	low, high := stats.Wilson(605, 20_000, stats.Z95)
	approximately(t, "rate above, low", numeric(t, fra, "rate_above_low"), low, 1e-12)
	approximately(t, "rate above, high", numeric(t, fra, "rate_above_high"), high, 1e-12)
	approximately(t, "money", fra["lost_revenue"].(map[string]float64)["USD"], 359_820, 1e-4)
	approximately(t, "money, high", fra["lost_revenue_high"].(map[string]float64)["USD"], 468_879, 3)
	if fra["enough"] != uint8(1) && fra["enough"] != true {
		t.Errorf("enough is %v", fra["enough"])
	}
	// The fast POP says nothing, and the drop stratum by stratum what its slow POP says.
	approximately(t, "lost at sjc", numeric(t, rows[2], "lost"), 0, 0)
	if e := rows[2]["enough"]; e != uint8(0) && e != false {
		t.Errorf("sjc without viewers above the budget: enough is %v", e)
	}
	approximately(t, "lost in all", numeric(t, rows[0], "lost"), 180, 1e-9)
	if pooled := answer(t, c, "latency_loss", Params{"drop": "d", "stratify": 0}); numeric(t, pooled[0], "lost") < 181 {
		t.Errorf("without strata %v: sjc's rate should have moved the reference", pooled[0])
	}
	// A budget that no edge meets leaves out the bucket that it cuts.
	if cut := answer(t, c, "latency_loss", Params{"drop": "d", "budget_ms": 350}); numeric(t, cut[1], "viewers_above") != 5000 || numeric(t, cut[1], "viewers_within") != 80_000 {
		t.Errorf("at 350 ms: %v", cut[1])
	}

	buckets := answer(t, c, "latency_buckets", Params{"drop": "d", "display": 1, "by_pop": 1})
	if len(buckets) != 5 { // four at fra, one at sjc
		t.Fatalf("%d buckets: %v", len(buckets), buckets)
	}
	low, high = stats.Wilson(2000, 50_000, stats.Z95)
	approximately(t, "bucket, rate", numeric(t, buckets[0], "rate"), 0.04, 1e-12)
	approximately(t, "bucket, low", numeric(t, buckets[0], "rate_low"), low, 1e-12)
	approximately(t, "bucket, high", numeric(t, buckets[0], "rate_high"), high, 1e-12)
	approximately(t, "bucket, revenue a view", buckets[0]["net_per_view"].(map[string]float64)["USD"], 1999*0.04, 1e-9)
}

// TestLatencyLossEqualsTheModel: SQL and Go give the same strata, pooled and left out ones too.
func TestLatencyLossEqualsTheModel(t *testing.T) {
	c := open(t)
	random := rand.New(rand.NewPCG(3, 3))
	cells := map[string][]latencyloss.Cell{}
	var partials []event.Attribution
	for i := range 60 {
		p := event.Attribution{DropID: "d", POP: fmt.Sprint("pop", i%4), Device: []string{"phone", "tv"}[i%2], Language: []string{"de", "en", "fr"}[i%3], AgeFrom: int64(i/12) * 3_600_000, Revision: 1, BudgetMS: 300}
		cell := latencyloss.Cell{Age: p.AgeFrom, Controls: [3]string{p.POP, p.Device, p.Language}}
		for k := range p.Viewers {
			p.Viewers[k] = uint32(random.IntN(1 + 20*(i%5)))
			p.Conversions[k] = uint32(random.IntN(int(p.Viewers[k])/3 + 1))
			cell.Buckets[k] = latencyloss.Counts{N: uint64(p.Viewers[k]), Conversions: uint64(p.Conversions[k])}
		}
		partials = append(partials, p)
		cells[p.POP], cells[""] = append(cells[p.POP], cell), append(cells[""], cell)
	}
	storePartials(t, c, partials...)
	rows := answer(t, c, "latency_loss", Params{"drop": "d", "min_reference": 60})
	if len(rows) != 5 {
		t.Fatalf("%d rows", len(rows))
	}
	pooled := 0
	for _, row := range rows {
		pop, _ := row["pop"].(string)
		want := latencyloss.Strata(latencyloss.StrataOf(cells[pop], 300), 60)
		approximately(t, pop+" lost", numeric(t, row, "lost"), want.Value, 1e-9)
		approximately(t, pop+" se", numeric(t, row, "se"), want.SE, 1e-9)
		approximately(t, pop+" strata", numeric(t, row, "strata"), float64(want.Strata), 0)
		approximately(t, pop+" pooled", numeric(t, row, "strata_pooled"), float64(want.Pooled), 0)
		approximately(t, pop+" left out", numeric(t, row, "viewers_left_out"), float64(want.LeftOut), 0)
		pooled += want.Pooled
	}
	if pooled == 0 {
		t.Error("no stratum was pooled: the test shows too little")
	}
}

// TestLatencyQuantiles: sketches stored by pane, POP and partition merge in SQL to what the library gives for all of it.
func TestLatencyQuantiles(t *testing.T) {
	c := open(t)
	random := rand.New(rand.NewPCG(9, 9))
	all, err := ddsketch.LogUnboundedDenseDDSketch(0.01)
	if err != nil {
		t.Fatal(err)
	}
	var exact []float64
	var rs []event.Record
	for i := range 24 {
		s := event.LatencySketch{DropID: "d", POP: []string{"fra", "nyc"}[i%2], Request: event.RequestLanding, Partition: int32(i / 2 % 3), PaneStart: monday + int64(i/6)*minute,
			PaneMS: 60_000, Revision: 1, Watermark: monday, SampleRate: 0.5, Accuracy: 0.01, Maturity: event.Final}
		part, err := ddsketch.LogUnboundedDenseDDSketch(0.01)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 + random.IntN(50) {
			ms := math.Round(1000*math.Exp(4.5+random.NormFloat64())) / 1000
			if random.IntN(20) == 0 {
				ms = 0
			}
			exact = append(exact, ms)
			for _, to := range []*ddsketch.DDSketch{part, all} {
				if err := to.Add(ms); err != nil {
					t.Fatal(err)
				}
			}
			s.Samples++
		}
		s.Zero = uint64(part.GetZeroCount()) * 1000
		part.GetPositiveValueStore().ForEach(func(index int, count float64) bool {
			s.Bins = append(s.Bins, event.SketchBin{Index: int32(index), Weight: uint64(count) * 1000})
			return false
		})
		rs = append(rs, event.Record{Kind: event.KindLatencySketch, Offset: int64(i), Timestamp: monday, Value: s.AppendJSON(nil)})
	}
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindLatencySketch, 0), rs)
	rows := answer(t, c, "latency_quantiles", Params{"drop": "d"})
	if len(rows) != 1 {
		t.Fatalf("%v", rows)
	}
	slices.Sort(exact)
	for _, q := range []struct {
		column string
		at     float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}} {
		want, err := all.GetValueAtQuantile(q.at)
		if err != nil {
			t.Fatal(err)
		}
		approximately(t, q.column, numeric(t, rows[0], q.column), want, 1e-9*want)
		truth := exact[int(q.at*float64(len(exact)-1))]
		approximately(t, q.column+" against the sample", numeric(t, rows[0], q.column), truth, 0.01*truth+1e-9)
	}
	approximately(t, "requests", numeric(t, rows[0], "requests"), float64(len(exact)), 0)
	if rows = answer(t, c, "latency_quantiles", Params{"drop": "d", "by_pop": 1, "every_minutes": 1}); len(rows) != 8 {
		t.Errorf("%d rows by POP and minute, want 8", len(rows))
	}
}

// TestNewestOfLatency: the audit finds a stored partial under the key that its record has.
func TestNewestOfLatency(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	partial := event.Attribution{DropID: "d", POP: "fra", Device: "phone", Language: "de", AgeFrom: -1, Partition: 3, Revision: 7, From: monday, To: monday + day, SampleRate: 1}
	sketch := event.LatencySketch{DropID: "d", POP: "fra", Request: event.RequestLanding, Partition: 3, PaneStart: monday, PaneMS: 60_000, Revision: 8, SampleRate: 1, Accuracy: 0.01}
	var decoder event.Decoder
	for kind, value := range map[event.Kind][]byte{event.KindAttribution: partial.AppendJSON(nil), event.KindLatencySketch: sketch.AppendJSON(nil)} {
		r := event.Record{Kind: kind, Offset: 5, Timestamp: monday, Value: value}
		writeAll(t, newTestLoader(t, s, kind, 0), []event.Record{r})
		key, version, refused := NewestKey(&decoder, &r)
		if refused != nil {
			t.Fatal(refused)
		}
		var got []Newest
		if err := c.NewestRows(t.Context(), kind, func(n Newest) error { got = append(got, n); return nil }); err != nil {
			t.Fatal(err)
		}
		if want := (Newest{Key: key, Version: version, Offset: 5}); len(got) != 1 || got[0] != want {
			t.Errorf("%v: %+v, want %+v", kind, got, want)
		}
	}
}
