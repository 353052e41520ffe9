package edgebudget

import (
	"math"
	"slices"
	"testing"
)

// The tests that DOMAIN 9 names: (10,1.8)→18; (50,90/75)→60; (10,1.05)→10; (10,.5)→5; (3,.34)→2.
func TestDesired(t *testing.T) {
	a := Autoscaler{}.WithDefaults()
	for _, c := range []struct {
		current        int64
		metric, target float64
		want           int64
	}{{10, 1.8, 1, 18}, {50, 90, 75, 60}, {10, 1.05, 1, 10}, {10, 1.1, 1, 10}, {10, .9, 1, 10}, {10, .5, 1, 5}, {3, .34, 1, 2}} {
		if got := a.Utilisation(c.current, c.metric, c.target); got != c.want {
			t.Errorf("%d replicas at %v of %v: %d, want %d", c.current, c.metric, c.target, got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	a := Autoscaler{}.WithDefaults()
	same := func(n int, v float64) []float64 { return slices.Repeat([]float64{v}, n) }
	for _, c := range []struct {
		name    string
		current int64
		metrics []Metric
		want    int64
	}{
		{"the largest of several", 10, []Metric{{Target: 1, Pods: same(10, 1.2)}, {Target: 1, Pods: same(10, 2)}, {Target: 1, Pods: same(10, .3)}}, 20},
		{"missing counts as the target when scaling down", 10, []Metric{{Target: 1, Pods: same(8, .5), Missing: 2}}, 6},
		{"missing counts as nothing when scaling up", 10, []Metric{{Target: 1, Pods: same(8, 2), Missing: 2}}, 16},
		{"an increase that turns round is none", 10, []Metric{{Target: 1, Pods: same(5, 1.5), Missing: 5}}, 10},
		{"not ready counts as nothing when scaling up", 10, []Metric{{Target: 1, Pods: same(6, 2), NotReady: 4}}, 12},
		{"not ready says nothing when scaling down", 10, []Metric{{Target: 1, Pods: same(6, .5), NotReady: 4}}, 3},
		{"within the tolerance after all", 10, []Metric{{Target: 1, Pods: same(9, 1.2), Missing: 1}}, 10},
		{"no data at all", 10, []Metric{{Target: 1, Missing: 10}}, 10},
		{"no data for one metric keeps the others from scaling in", 10, []Metric{{Target: 1, Pods: same(10, .2)}, {Target: 1, Missing: 10}}, 10},
		{"no data for one metric does not keep them from scaling out", 10, []Metric{{Target: 1, Pods: same(10, 3)}, {Target: 1, Missing: 10}}, 30},
		{"no metric", 10, nil, 10},
	} {
		if got := a.Desired(c.current, c.metrics...); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// (10,.5)→5 is held at the highest recommendation of the last 300 s.
func TestStabilisation(t *testing.T) {
	a := Autoscaler{}.WithDefaults()
	var history []Recommendation
	current := int64(10)
	for _, c := range []struct{ second, desired, want int64 }{
		{0, 10, 10}, {60, 5, 10}, {120, 8, 10}, {299, 5, 10}, {300, 5, 8}, {419, 5, 8}, {420, 5, 5},
		{435, 40, 10},  // max(100 %, 4 pods) in 15 s
		{450, 40, 20},  // and again
		{480, 100, 80}, // two policy periods since
		{495, 100, 100},
	} {
		history, current = a.Stabilise(history, current, c.desired, c.second*1000)
		if current != c.want {
			t.Errorf("after %d s: %d, want %d", c.second, current, c.want)
		}
	}
	_, small := a.Stabilise(nil, 1, 100, 0)
	if small != 5 {
		t.Errorf("one pod grows to %d, want 5: four pods are more than 100 %%", small)
	}
}

// ⌊320/(.12·40)⌋ = 66, in nano-units and milliseconds.
func TestReplicas(t *testing.T) {
	const unit = 1_000_000_000
	if got := CostMax(500*unit, 180*unit, .12*unit, 40*hour); got != 66 {
		t.Errorf("cost_max %d, want 66", got)
	}
	if got := CostMax(500, 500, 1, hour); got != 0 {
		t.Errorf("an empty purse pays for %d", got)
	}
	if got := CostMax(500, 0, 0, hour); got != math.MaxInt64 {
		t.Errorf("without a price %d", got)
	}
	if got := CostMax(math.MaxInt64, 0, 1, 1); got != math.MaxInt64 {
		t.Errorf("beyond int64: %d", got)
	}
	if got := CostMax(math.MaxInt64, 0, math.MaxInt64, 48*hour); got != 0 {
		t.Errorf("an absurd price: %d", got)
	}
	bounds := Bounds{Floor: 3, Max: 80}
	for _, c := range []struct {
		wanted, costMax, chosen int64
		limited                 bool
	}{{60, 66, 60, false}, {70, 66, 66, true}, {90, math.MaxInt64, 80, false}, {10, 0, 3, true}, {1, 66, 3, false}} {
		if got := bounds.Choose(c.wanted, c.costMax); got.Chosen != c.chosen || got.Limited != c.limited {
			t.Errorf("wanted %d, paid for %d: %+v", c.wanted, c.costMax, got)
		}
	}
}

func TestShedding(t *testing.T) {
	s := Shedding{}.WithDefaults()
	for _, c := range []struct {
		level   Level
		limited bool
		want    int
	}{{LevelOK, false, 0}, {LevelOK, true, 1}, {LevelWarn, false, 3}, {LevelWarn, true, 3}, {LevelCap, false, 6}} {
		if got := s.Steps(c.level, c.limited); got != c.want {
			t.Errorf("%v, limited %v: %d, want %d", c.level, c.limited, got, c.want)
		}
	}
	if got := ShedOrder(); got[0] != "debug_traces" || got[5] != "heartbeat_60s" {
		t.Errorf("order %v", got)
	}
	for _, never := range []Work{"checkout", "ledger", "consent", "erasure", "srm_exposure"} {
		if slices.Contains(ShedOrder(), never) {
			t.Errorf("%s is shed", never)
		}
	}
}

func TestRejection(t *testing.T) {
	if got := Rejection(1000, 400, 2); math.Abs(got-.1998) > 5e-5 {
		t.Errorf("%v, want .1998", got)
	}
	if got := Rejection(1000, 600, 2); got != 0 {
		t.Errorf("%v, want 0", got)
	}
}

func TestCapacity(t *testing.T) {
	if got := Capacity(12_000, .012, .6, 4); got != 60 {
		t.Errorf("%d replicas, want 60", got)
	}
	if got, ok := Peak(500, 100_000, 250_000, 1.5); !ok || got != 1875 {
		t.Errorf("peak %v, %v, want 1875", got, ok)
	}
	if _, ok := Peak(500, 0, 250_000, 1.5); ok {
		t.Error("a peak per follower of none")
	}
}

// 40·12·3·5 = 7,200 edge fetches, 180 origin fetches with a shield, 144 s at 50/s, from T−30 min, checked at T−5 min.
func TestWarmPlan(t *testing.T) {
	w := Warming{}.WithDefaults()
	const start = int64(1_760_000_000_000)
	p := w.Plan(WarmSet{POPs: 40, Languages: 12, Variants: 3, Objects: 5}, start)
	if p.EdgeFetches != 7200 || p.OriginFetches != 180 || p.UnshieldedFetches != 7200 || p.DurationMS != 144_000 ||
		p.StartMS != start-30*60_000 || p.CanaryMS != start-5*60_000 || p.ScaleMS != start-15*60_000 || p.Early {
		t.Errorf("%+v", p)
	}
	if p.TTLLowMS < 90*60_000 || p.TTLMS > 101*60_000 || p.TTLHighMS-p.TTLLowMS != p.TTLMS/5 {
		t.Errorf("lives of [%d, %d] around %d: the shortest must exceed the lead and an hour", p.TTLLowMS, p.TTLHighMS, p.TTLMS)
	}
	low, high := int64(math.MaxInt64), int64(0)
	for i := range 1000 {
		ttl := p.TTL(string(rune('a' + i)))
		low, high = min(low, ttl), max(high, ttl)
	}
	if low < p.TTLLowMS || high > p.TTLHighMS || high-low < (p.TTLHighMS-p.TTLLowMS)*9/10 {
		t.Errorf("lives of [%d, %d] do not fill [%d, %d]", low, high, p.TTLLowMS, p.TTLHighMS)
	}
	slow := Warming{PerSecond: 2}.WithDefaults().Plan(WarmSet{POPs: 40, Languages: 12, Variants: 3, Objects: 5}, start)
	if !slow.Early || slow.StartMS+slow.DurationMS != slow.CanaryMS || slow.TTLLowMS < start-slow.StartMS+3_600_000 {
		t.Errorf("too slow for the lead: %+v", slow)
	}
}

func TestCover(t *testing.T) {
	parts := []Audience{{"a", 50}, {"b", 40}, {"c", 5}, {"d", 4}, {"e", 1}, {"f", 0}}
	covered, rest := Cover(parts, 9_500)
	if len(covered) != 3 || len(rest) != 3 {
		t.Errorf("covered %v, rest %v", covered, rest)
	}
	if covered, _ = Cover(parts, 9_501); len(covered) != 4 {
		t.Errorf("covered %v", covered)
	}
	if covered, rest = Cover([]Audience{{"a", 0}}, 9_500); len(covered) != 0 || len(rest) != 1 {
		t.Errorf("nobody: covered %v", covered)
	}
}

func TestCanary(t *testing.T) {
	w := Warming{}.WithDefaults()
	planned := []string{"fra", "sin"}
	for _, c := range []struct {
		name   string
		probes []Probes
		pass   bool
		cold   []string
		silent []string
	}{
		{"99 % is enough", []Probes{{"fra", 99, 100}, {"sin", 99, 100}}, true, nil, nil},
		{"less is not", []Probes{{"fra", 98, 100}, {"sin", 99, 100}}, false, []string{"fra"}, nil},
		{"a cold POP that the others hide is named", []Probes{{"fra", 9_999, 10_000}, {"sin", 1, 2}}, true, []string{"sin"}, nil},
		{"a POP without an answer", []Probes{{"fra", 100, 100}, {"sin", 0, 0}}, false, nil, []string{"sin"}},
		{"no answer", nil, false, nil, planned},
	} {
		got := w.Canary(planned, c.probes)
		if got.Pass != c.pass || !slices.Equal(got.Cold, c.cold) || !slices.Equal(got.Silent, c.silent) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
