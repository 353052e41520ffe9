package latencyloss

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.9g, want %.9g", what, got, want)
	}
}

// TestBuckets is DOMAIN 5's example of the bucket loss.
func TestBuckets(t *testing.T) {
	within := Counts{80_000, 2000 + 1140}
	lost := Buckets(within, []Counts{{15_000, 495}, {5_000, 110}})
	near(t, "reference", within.rate(), 0.03925, 1e-12)
	near(t, "lost", lost.Value, 180, 1e-9)
	near(t, "standard error", lost.SE, 27.835, 5e-4)
	near(t, "low", lost.Low, 125.4, 0.05)
	near(t, "high", lost.High, 234.6, 0.05)
	money := lost.Scale(19.99)
	near(t, "money", money.Value, 3598.20, 1e-6)
	// DOMAIN prints these two with z = 1.96.
	near(t, "money, low", money.Low, 2507.61, 0.021)
	near(t, "money, high", money.High, 4688.79, 0.021)
	if none := Buckets(Counts{}, []Counts{{10, 1}}); none.Finite() {
		t.Errorf("an estimate without a reference: %+v", none)
	}
}

func TestBucketEdges(t *testing.T) {
	for _, tt := range []struct {
		ms     float64
		bucket int
	}{{0, 0}, {49.9, 0}, {50, 1}, {299.9, 4}, {300, 5}, {799, 7}, {800, 8}, {5000, 11}, {600_000, 11}} {
		if got := Bucket(tt.ms); got != tt.bucket {
			t.Errorf("%v ms is in bucket %d, want %d", tt.ms, got, tt.bucket)
		}
	}
	for k := range NumBuckets {
		want := 1
		if k < 5 {
			want = -1
		}
		if got := Side(k, 300); got != want {
			t.Errorf("bucket %d is on side %d of 300 ms, want %d", k, got, want)
		}
	}
	if Side(4, 250) != 0 || Side(3, 250) != -1 || Side(5, 250) != 1 {
		t.Error("a budget of 250 ms must leave out the bucket that it cuts, and no other")
	}
}

// TestStrata: every stratum at its own rate; mixing them up would invent a loss out of who is slow where.
func TestStrata(t *testing.T) {
	busy := Stratum{Counts{1000, 200}, []Counts{{3000, 600}}} // slow and keen
	calm := Stratum{Counts{5000, 100}, []Counts{{100, 2}}}
	got := Strata([]Stratum{busy, calm}, 30)
	near(t, "lost", got.Value, 0, 1e-9)
	b, c := Buckets(busy.Within, busy.Above), Buckets(calm.Within, calm.Above)
	near(t, "variance", got.SE*got.SE, b.SE*b.SE+c.SE*c.SE, 1e-9)
	if pooled := Buckets(Counts{6000, 300}, []Counts{{3000, 600}, {100, 2}}); pooled.High > 0 {
		t.Errorf("without strata the loss is %+v, want a false gain", pooled)
	}

	few := Stratum{Counts{20, 2}, []Counts{{10, 0}}}
	got = Strata([]Stratum{busy, few, few}, 30)
	if got.Strata != 1 || got.Pooled != 2 || got.LeftOut != 0 {
		t.Errorf("two small strata together have enough: %+v", got)
	}
	near(t, "pooled", got.Value, 20*0.1, 1e-9)
	got = Strata([]Stratum{busy, few}, 30)
	if got.Strata != 1 || got.Pooled != 1 || got.LeftOut != 10 {
		t.Errorf("one small stratum must be left out and counted: %+v", got)
	}
	near(t, "without it", got.Value, b.Value, 1e-9)
}

// TestLoss is DOMAIN 5's example of the logit.
func TestLoss(t *testing.T) {
	f := &Fit{Beta: []float64{-3.10, -0.055}, Cov: mat.NewSymDense(2, []float64{0, 0, 0, 0.011 * 0.011})}
	for _, tt := range []struct{ ms, p, elasticity float64 }{
		{100, 0.0408947, -0.05275}, {300, 0.0367916, -0.15893}, {800, 0.0281953, -0.42759},
	} {
		near(t, "p", f.P(tt.ms, nil), tt.p, 5e-8)
		near(t, "elasticity", f.Elasticity(tt.ms, nil), tt.elasticity, 5e-6)
	}
	lost := f.Loss([]Row{{MS: 500, N: 1}, {MS: 900, N: 1}, {MS: 1500, N: 1}, {MS: 200, N: 1}}, []float64{19.99, 19.99, 49.99, 1000}, 300)
	near(t, "lost", lost.Value, 1.146682, 5e-7)
	near(t, "standard error", lost.SE, 0.138032, 5e-7)
	near(t, "low", lost.Low, 0.8761, 5e-5)
	near(t, "high", lost.High, 1.4172, 5e-5)
}

// TestRegressTwoPoints: with two latencies the fit is saturated, so that everything is known in closed form.
func TestRegressTwoPoints(t *testing.T) {
	f, err := Regress([]Row{{MS: 100, N: 1000, Conversions: 200}, {MS: 600, N: 500, Conversions: 50}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	logit := func(p float64) float64 { return math.Log(p / (1 - p)) }
	near(t, "slope", f.Beta[1], (logit(0.1)-logit(0.2))/5, 1e-9)
	near(t, "variance", f.Cov.At(1, 1), (1/160.+1/45.)/25, 1e-9)
	near(t, "p", f.P(600, nil), 0.1, 1e-9)
}

func TestRegressRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		rows []Row
		want error
	}{
		"nobody":       {[]Row{{MS: 100, N: 10}, {MS: 200, N: 10}}, ErrNoMaximum},
		"everybody":    {[]Row{{MS: 100, N: 10, Conversions: 10}, {MS: 200, N: 10, Conversions: 10}}, ErrNoMaximum},
		"separated":    {[]Row{{MS: 100, N: 10, Conversions: 10}, {MS: 200, N: 10}}, ErrNoMaximum},
		"one latency":  {[]Row{{MS: 100, N: 10, Conversions: 5}}, ErrNoVariation},
		"nothing":      {nil, ErrNoMaximum},
		"no variation": {[]Row{{MS: 250, N: 10, Conversions: 5}, {MS: 250, N: 3, Conversions: 1}}, ErrNoVariation},
	} {
		if f, err := Regress(tt.rows, 0); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v, want %v", name, f, err, tt.want)
		}
	}
}

// draw makes cells of a crowd whose intent and latency both fall with the drop's age.
func draw(random *rand.Rand, slope float64) (cells []Cell, truth float64) {
	const budget = 300
	pops := []string{"fra", "nyc", "nrt"}
	for age := range int64(6) {
		for p, pop := range pops {
			c := Cell{Age: age * 3600, Controls: [NumControls]string{pop, "phone", "en"}}
			for range 300 {
				ms := 120 * float64(p+1) * math.Exp(0.6*random.NormFloat64()) * (1 + math.Exp(-float64(age)))
				base := -1.4 + 1.2*math.Exp(-float64(age)) + 0.2*float64(p)
				at := func(ms float64) float64 { return 1 / (1 + math.Exp(-base-slope*ms/100)) }
				k := Bucket(ms)
				c.Buckets[k].N++
				c.MS[k] += ms
				if random.Float64() < at(ms) {
					c.Buckets[k].Conversions++
				}
				truth += at(min(ms, budget)) - at(ms)
			}
			cells = append(cells, c)
		}
	}
	return cells, truth
}

// TestCoverage: the interval of the fit covers the truth at its nominal rate under confounding with age, the fit
// without controls does not.
func TestCoverage(t *testing.T) {
	const runs = 400
	covered, naive := 0, 0
	for seed := range uint64(runs) {
		cells, truth := draw(rand.New(rand.NewPCG(seed, 5)), -0.15)
		m, err := FitCells(cells, Config{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		one := func(*Cell) float64 { return 1 }
		if lost := m.CellLoss(300, one); lost.Low <= truth && truth <= lost.High {
			covered++
		}
		for i := range cells {
			cells[i].Age, cells[i].Controls = 0, [NumControls]string{}
		}
		if m, err = FitCells(cells, Config{}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if lost := m.CellLoss(300, one); lost.Low <= truth && truth <= lost.High {
			naive++
		}
	}
	t.Logf("covered %d of %d; without controls %d", covered, runs, naive)
	if covered < runs*93/100 || covered > runs*97/100 {
		t.Errorf("the 95 %% interval covers the truth in %d of %d runs", covered, runs)
	}
	if naive > runs/2 {
		t.Errorf("without controls it covers it in %d of %d runs: there is no confounding to control", naive, runs)
	}
}

func TestLevelsArePooled(t *testing.T) {
	cell := func(age int64, pop string, n, conversions uint64) Cell {
		c := Cell{Age: age, Controls: [NumControls]string{pop}}
		c.Buckets[2] = Counts{n / 2, conversions / 2}
		c.Buckets[6] = Counts{n - n/2, conversions - conversions/2}
		c.MS[2], c.MS[6] = float64(n/2)*120, float64(n-n/2)*450
		return c
	}
	cells := []Cell{cell(0, "a", 100, 20), cell(1, "a", 50, 6), cell(2, "a", 50, 6), cell(3, "b", 40, 12), cell(4, "c", 30, 3), cell(4, "d", 30, 2)}
	dummies := 0
	ages := joinAges(cells, 10, &dummies)
	// 0 | 1, 2 | 3, and 4 with its few joins 3.
	if dummies != 2 || ages[0] != noDummy || ages[1] != ages[2] || ages[3] != ages[4] || ages[1] == ages[3] {
		t.Errorf("ages %v in %d dummies", ages, dummies)
	}
	dummies = 0
	pops := poolLevels(cells, 0, 10, &dummies)
	// a is the largest, b has its own, c and d are too few even together.
	if dummies != 1 || pops["a"] != noDummy || pops["b"] != 0 || pops["c"] != noDummy || pops["d"] != noDummy {
		t.Errorf("POPs %v in %d dummies", pops, dummies)
	}
	if _, err := FitCells(cells, Config{}); err != nil {
		t.Error(err)
	}
}

func TestEnough(t *testing.T) {
	plenty := Counts{100, 10}
	for _, tt := range []struct {
		sides Sides
		want  bool
	}{
		{Sides{plenty, plenty}, true},
		{Sides{Counts{99, 10}, plenty}, false},
		{Sides{plenty, Counts{99, 10}}, false},
		{Sides{plenty, Counts{100, 9}}, false},
		{Sides{Counts{100, 9}, plenty}, false},
	} {
		if why := (Config{}).Enough(tt.sides); (why == "") != tt.want {
			t.Errorf("%+v: %q", tt.sides, why)
		}
	}
}

func BenchmarkFitCells(b *testing.B) {
	cells, _ := draw(rand.New(rand.NewPCG(1, 5)), -0.15)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FitCells(cells, Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
