package clickhouse

import (
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// The history holds the features that models are bound to: every stored one, under its name and type, and no other number.
func TestFeaturesTableIsTheContract(t *testing.T) {
	stored := map[string]string{}
	for _, c := range newTable(event.KindFeatures).columns {
		stored[c.name()] = c.kind()
	}
	types := map[feature.Type]string{feature.Count: "UInt32", feature.Amount: "Int64", feature.Real: "Float64"}
	for _, f := range feature.Player.Features {
		want := types[f.Type]
		if f.Nullable {
			want = "Nullable(" + want + ")"
		}
		if f.Elapsed {
			want = "" // it depends on when it is asked for
		}
		if stored[f.Name] != want {
			t.Errorf("column %s is %q, the feature says %q", f.Name, stored[f.Name], want)
		}
		delete(stored, f.Name)
	}
	for name, kind := range stored {
		about := []string{"player_id", "revision", "as_of", "watermark", "maturity", "spend_currency", "first_activity", "last_activity"}
		if !slices.Contains(about, name) && !strings.HasPrefix(name, "kafka_") {
			t.Errorf("column %s %s is no feature", name, kind)
		}
	}
}

// A vector is the record's values in the contract's order.
func TestVectorIsTheContract(t *testing.T) {
	f := event.Features{AsOf: 10_001, FirstActivity: 1_000, LastActivity: 10_000, GapMeanS: 2, SessionsTotal: 3, LatencyMeanMS: [4]float64{-1, 20.5, 0, 0},
		NetSpend: [4]int64{-1, -2, 3, 4}, Drops: [4]uint32{5, 6, 7, 8}}
	x := f.Vector(13_000, nil)
	if len(x) != len(feature.Player.Features) {
		t.Fatalf("%d values for %d features", len(x), len(feature.Player.Features))
	}
	for name, want := range map[string]float64{
		"net_spend_1h": -1, "net_spend_24h": -2, "drops_28d": 8, "sessions_total": 3, "latency_mean_ms_24h": 20.5, "gap_mean_s": 2,
		"recency_s": 3, "tenure_s": 12, "active_span_s": 9, "absence_ratio": 1.5,
	} {
		if got := x[feature.Player.Index(name)]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if v := x[feature.Player.Index("latency_mean_ms_1h")]; v == v {
		t.Errorf("a missing latency is %v", v)
	}
	if err := feature.Player.Check(x); err != nil {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(100, func() { x = f.Vector(13_000, x[:0]) }); n != 0 {
		t.Errorf("%v allocations a vector", n)
	}
}
