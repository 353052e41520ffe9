package drift

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/droplift/droplift/models/scoring"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.9f, want %.9f ± %g", what, got, want, tolerance)
	}
}

func psi(t *testing.T, test Test, r *scoring.Reference, rows int, c *Counts) Stability {
	t.Helper()
	s, err := test.PSI(r, rows, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Shares of .5, .3, .2 that become .4, .3, .3: PSI = −.1·ln .8 + .1·ln 1.5 = .0628609; half a row more or less does not
// show at a million rows.
func TestPSI(t *testing.T) {
	r := &scoring.Reference{Name: "x", Edges: []float64{1, 2}, Shares: []float64{.5, .3, .2}}
	s := psi(t, Test{}, r, 1_000_000, &Counts{Bins: []uint64{400_000, 300_000, 300_000}})
	near(t, "PSI", s.PSI, .0628609, 2e-6)
	// χ² of 2 degrees of freedom has the quantile −2·ln .01.
	near(t, "noise", s.Noise, -2*math.Log(.01)*2e-6, 1e-10)
	if s.Alarm || s.Worst != 2 || s.N != 1_000_000 {
		t.Errorf("a moderate change: %+v", s)
	}
	if s := psi(t, Test{Threshold: .05}, r, 1_000_000, &Counts{Bins: []uint64{400_000, 300_000, 300_000}}); !s.Alarm {
		t.Errorf("above the caller's threshold: %+v", s)
	}
	if s := psi(t, Test{}, r, 1_000_000, &Counts{Bins: []uint64{100, 300, 600}}); !s.Alarm {
		t.Errorf("another population: %+v", s)
	}
	// The same change seen on 10 rows can be chance.
	if s := psi(t, Test{}, r, 1_000_000, &Counts{Bins: []uint64{2, 4, 4}}); s.Alarm {
		t.Errorf("ten rows: %+v", s)
	}
}

func TestPSIOfMissingAndUnseenValues(t *testing.T) {
	r := &scoring.Reference{Name: "x", Edges: []float64{0}, Shares: []float64{.9, 0}, Missing: .1}
	c := NewCounts(r)
	for range 500 {
		c.Add(r, 0)
		c.Add(r, math.NaN())
	}
	if s := psi(t, Test{}, r, 10_000, c); !s.Alarm || s.Worst != -1 {
		t.Errorf("five times as many are missing: %+v", s)
	}
	c = NewCounts(r)
	for range 1000 {
		c.Add(r, 1)
	}
	if s := psi(t, Test{}, r, 10_000, c); !s.Alarm || math.IsInf(s.PSI, 0) || math.IsNaN(s.PSI) {
		t.Errorf("only values that training never saw: %+v", s)
	}
	one := &scoring.Reference{Name: "x", Edges: []float64{0}, Shares: []float64{1, 0}}
	if s := psi(t, Test{}, one, 100, &Counts{Bins: []uint64{50, 0}}); s.PSI != 0 || s.Alarm || math.IsNaN(s.Noise) {
		t.Errorf("a constant: %+v", s)
	}
	if s := psi(t, Test{}, one, 100, NewCounts(one)); s.N != 0 || s.Alarm {
		t.Errorf("nothing: %+v", s)
	}
	for _, bad := range []*Counts{{Bins: []uint64{1}}, {Bins: []uint64{1, 2, 3}}} {
		if _, err := (Test{}).PSI(one, 100, bad); !errors.Is(err, ErrShape) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := (Test{}).PSI(one, 0, NewCounts(one)); !errors.Is(err, ErrShape) {
		t.Errorf("a reference of nothing: %v", err)
	}
}

// Bins are (edge before, edge]: as References of models/churn cuts them.
func TestCounts(t *testing.T) {
	r := &scoring.Reference{Name: "x", Edges: []float64{1, 2}, Shares: []float64{.4, .3, .3}}
	a, b := NewCounts(r), NewCounts(r)
	for _, v := range []float64{-5, 1, 1.5, 2} {
		a.Add(r, v)
	}
	b.Add(r, math.NaN())
	b.Add(r, 2.5)
	a.Merge(b)
	if !slices.Equal(a.Bins, []uint64{2, 2, 1}) || a.Missing != 1 || a.N() != 6 {
		t.Errorf("the counts are %+v", a)
	}
}

// Without drift the noise is exceeded as often as it says, whatever the number of rows: two samples of one population.
func TestPSINoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shares := []float64{.15, .2, .25, .2, .1}
	const missing = .1
	draw := func(n int) *Counts {
		c := &Counts{Bins: make([]uint64, len(shares))}
		for range n {
			u := rng.Float64()
			bin := 0
			for ; bin < len(shares) && u >= shares[bin]; bin++ {
				u -= shares[bin]
			}
			if bin == len(shares) {
				c.Missing++
			} else {
				c.Bins[bin]++
			}
		}
		return c
	}
	const runs = 4000
	for _, n := range []int{60, 300, 2000} {
		above, alarms := 0, 0
		for range runs {
			trained := draw(1500)
			r := &scoring.Reference{Name: "x", Edges: []float64{1, 2, 3, 4}, Missing: float64(trained.Missing) / 1500}
			for _, b := range trained.Bins {
				r.Shares = append(r.Shares, float64(b)/1500)
			}
			s := psi(t, Test{Confidence: .95}, r, 1500, draw(n))
			if s.PSI > s.Noise {
				above++
			}
			if s.Alarm {
				alarms++
			}
		}
		// A standard error of the share is .0034; PSI's law is an approximation, closest where every bin has many rows.
		near(t, "share above the noise", float64(above)/runs, .05, .015)
		if alarms > runs/50 {
			t.Errorf("%d rows without drift raise %d alarms of %d", n, alarms, runs)
		}
		t.Logf("%d rows: %.4f above the noise of 95 %%, %d alarms of %d", n, float64(above)/runs, alarms, runs)
	}
	// Divided among features the noise is higher.
	r := &scoring.Reference{Name: "x", Edges: []float64{1, 2, 3, 4}, Shares: shares, Missing: missing}
	if one, many := psi(t, Test{}, r, 1500, draw(100)), psi(t, Test{Features: 56}, r, 1500, draw(100)); many.Noise <= one.Noise {
		t.Errorf("the noise of one of 56 features is %v, of one alone %v", many.Noise, one.Noise)
	}
}

func TestSkew(t *testing.T) {
	s := NewSkew([]string{"a", "b"}, 1e-9, 1e-6)
	nan := math.NaN()
	for _, row := range []struct{ logged, recomputed []float64 }{
		{[]float64{1, nan}, []float64{1, nan}},
		{[]float64{1e6, 2}, []float64{1e6 + .5, 2}}, // within a millionth
		{[]float64{1, 2}, []float64{1, 2.5}},
		{[]float64{1, 2}, []float64{1, nan}},
		{[]float64{1, 2}, []float64{3, 2}},
	} {
		if err := s.Add(row.logged, row.recomputed); err != nil {
			t.Fatal(err)
		}
	}
	r := s.Report()
	if r.Rows != 5 || r.Differing != 3 || r.Worst != "b" || !math.IsInf(r.Apart, 1) {
		t.Errorf("the report is %+v", r)
	}
	near(t, "share", r.Share, .6, 1e-12)
	near(t, "worst share", r.WorstShare, .4, 1e-12)
	if !(r.Low < .6 && .6 < r.High) {
		t.Errorf("the interval is [%v, %v]", r.Low, r.High)
	}
	if err := s.Add([]float64{1}, []float64{1, 2}); err == nil {
		t.Error("a short vector is compared")
	}
	if r := NewSkew([]string{"a"}, 0, 0).Report(); r.Worst != "" || r.Share != 0 || r.High != 1 {
		t.Errorf("of nothing: %+v", r)
	}
}

func TestCalibration(t *testing.T) {
	const day = int64(86_400_000)
	c := NewCalibration(day)
	// Day 0: said .25, four times, one came. Day 2: said .5, all 50 came. Times before 1970 have windows too.
	for i := range 4 {
		if err := c.Add(int64(i), .25, i == 0); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		c.Add(2*day+int64(i), .5, true)
	}
	c.Add(-1, 1, false)
	for _, bad := range []float64{math.NaN(), -.1, 1.1} {
		if c.Add(0, bad, true) == nil {
			t.Errorf("%v is taken for a probability", bad)
		}
	}
	w := c.Windows()
	if len(w) != 3 || w[0].From != -day || w[1].From != 0 || w[2].From != 2*day || w[2].To != 3*day {
		t.Fatalf("the windows are %+v", w)
	}
	near(t, "log loss of certain and wrong", w[0].LogLoss, -math.Log(1e-6), 1e-9)
	if w[1].N != 4 || w[1].Positives != 1 || w[1].Off || w[1].Z != 0 {
		t.Errorf("day 0 is %+v", w[1])
	}
	near(t, "log loss", w[1].LogLoss, -(math.Log(.25)+3*math.Log(.75))/4, 1e-12)
	if !w[2].Off {
		t.Errorf("day 2 is %+v", w[2])
	}
	near(t, "z", w[2].Z, 25/math.Sqrt(12.5), 1e-12)
	near(t, "low", w[2].Low, 1-.071348, 1e-6) // DOMAIN 0: 0 of 50, mirrored
}

// Scores that are right have a standard normal Z and an interval that misses them at the nominal rate or less: Wilson's is for one
// rate, and scores that differ vary less.
func TestCalibrationOfRightScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	c := NewCalibration(1)
	const windows, rows = 2000, 200
	for at := range int64(windows) {
		for range rows {
			p := rng.Float64()
			c.Add(at, p, rng.Float64() < p)
		}
	}
	off, sum, squares := 0, 0.0, 0.0
	for _, w := range c.Windows() {
		if w.Off {
			off++
		}
		sum += w.Z
		squares += w.Z * w.Z
	}
	near(t, "mean of Z", sum/windows, 0, 4/math.Sqrt(windows))
	near(t, "mean of Z²", squares/windows, 1, 4*math.Sqrt(2./windows))
	if off > windows*5/100 {
		t.Errorf("%d of %d windows are off", off, windows)
	}
}
