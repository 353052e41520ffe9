package churn

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

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// DOMAIN 1.4.
func TestFTRL(t *testing.T) {
	f := must[*FTRL](t)(NewFTRL(2, .1, 1, .05, 1))
	for _, step := range []struct {
		x    []float64
		y, p float64
	}{
		{[]float64{1, 2}, 1, .5},
		{[]float64{1, -1}, 0, .495721831},
		{[]float64{1, 1}, 1, .517056937},
	} {
		near(t, "p", must[float64](t)(f.Update(step.x, step.y, 1)), step.p, 5e-10)
	}
	for i, want := range []struct{ z, n, w float64 }{{-.545590118, .728974135, .025365450}, {-2.098807972, 1.478974135, .088458215}} {
		near(t, "z", f.Z[i], want.z, 5e-10)
		near(t, "n", f.N[i], want.n, 5e-10)
		near(t, "w", f.Weight(i), want.w, 5e-10)
	}
	near(t, "p(1,1)", must[float64](t)(f.Predict([]float64{1, 1})), .528425234, 5e-10)
	near(t, "undersampling", Undersampled(.5, .1), .0909091, 5e-8)
}

func TestFTRLRefusesWithoutAChange(t *testing.T) {
	f := must[*FTRL](t)(NewFTRL(2, .1, 1, .05, 1))
	must[float64](t)(f.Update([]float64{1, 2}, 1, 1))
	n, z := slices.Clone(f.N), slices.Clone(f.Z)
	for _, bad := range []struct {
		x         []float64
		y, weight float64
		want      error
	}{
		{[]float64{1, math.NaN()}, 1, 1, ErrNotFinite},
		{[]float64{math.Inf(1), 1}, 1, 1, ErrNotFinite},
		{[]float64{1, 1e200}, 1, 1, ErrNotFinite},
		{[]float64{1}, 1, 1, ErrShape},
		{[]float64{1, 1}, math.NaN(), 1, ErrLabel},
		{[]float64{1, 1}, .5, 1, ErrLabel},
		{[]float64{1, 1}, 1, 0, ErrNotFinite},
		{[]float64{1, 1}, 1, math.NaN(), ErrNotFinite},
	} {
		if _, err := f.Update(bad.x, bad.y, bad.weight); !errors.Is(err, bad.want) {
			t.Errorf("%v: %v, want %v", bad, err, bad.want)
		}
	}
	if !slices.Equal(n, f.N) || !slices.Equal(z, f.Z) {
		t.Error("a refused row changed the state")
	}
	for _, c := range [][4]float64{{0, 1, 0, 0}, {.1, -1, 0, 0}, {.1, 0, 0, 0}, {.1, 1, math.NaN(), 0}} {
		if _, err := NewFTRL(1, c[0], c[1], c[2], c[3]); err == nil {
			t.Errorf("%v is accepted", c)
		}
	}
	f.N[0] = math.NaN()
	if err := f.Validate(); !errors.Is(err, ErrNotFinite) {
		t.Errorf("a NaN in the state: %v", err)
	}
}

// A kept negative that stands for 1/r of them teaches what all of them would: both learners end at the same truth.
func TestFTRLWeightsUndoUndersampling(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, keep = 200_000, .1
	all := must[*FTRL](t)(NewFTRL(2, .05, 1, 0, 0))
	weighted := must[*FTRL](t)(NewFTRL(2, .05, 1, 0, 0))
	for range rows {
		x := []float64{1, rng.NormFloat64()}
		y := 0.0
		if rng.Float64() < scoring.Sigmoid(-2+x[1]) {
			y = 1
		}
		must[float64](t)(all.Update(x, y, 1))
		if y == 1 {
			must[float64](t)(weighted.Update(x, y, 1))
		} else if rng.Float64() < keep {
			must[float64](t)(weighted.Update(x, y, 1/keep))
		}
	}
	for i, want := range []float64{-2, 1} {
		near(t, "weight", all.Weight(i), want, .06)
		near(t, "weight, undersampled", weighted.Weight(i), want, .12)
	}
}

func TestFTRLStart(t *testing.T) {
	f := must[*FTRL](t)(NewFTRL(3, .1, 1, .05, 1))
	want := []float64{.3, 0, -2}
	f.Start(want)
	for i, w := range want {
		near(t, "weight", f.Weight(i), w, 1e-12)
	}
}

// DOMAIN 1.5.
func TestMetrics(t *testing.T) {
	p, y := []float64{.1, .2, .3, .4, .6, .7, .8, .9}, []float64{0, 0, 1, 0, 1, 0, 1, 1}
	m := must[scoring.Metrics](t)(Evaluate(p, y, 4))
	near(t, "Brier", m.Brier, .175, 1e-12)
	near(t, "log loss", m.LogLoss, .5108256, 5e-8)
	near(t, "ECE", m.ECE, .15, 1e-12)
	near(t, "AUC", m.AUC, .8125, 1e-12)
	near(t, "SE", m.AUCSE, .16382, 5e-6)
	near(t, "base log loss", m.BaseLogLoss, math.Ln2, 1e-12)
	if m.Rows != 8 || m.Positives != 4 || m.Bins != 4 {
		t.Errorf("counts are %+v", m)
	}
	up, down := PlattTargets(4, 4)
	near(t, "t₊", up, .83333, 5e-6)
	near(t, "t₋", down, .16667, 5e-6)
	steps := must[*scoring.Isotonic](t)(Isotonic(p, y, true))
	for i, want := range []float64{0, 0, .5, .5, .5, .5, 1, 1} {
		near(t, "PAV", stepAt(steps, p[i]), want, 1e-12)
	}
}

func stepAt(s *scoring.Isotonic, p float64) float64 {
	v := s.Y[0]
	for i, x := range s.X {
		if x <= p {
			v = s.Y[i]
		}
	}
	return v
}

// Ties count half, and no order of the rows changes a metric.
func TestMetricsOfTies(t *testing.T) {
	p, y := []float64{.2, .2, .2, .5, .5, .7}, []float64{1, 0, 0, 1, 0, 1}
	// Pairs: .7 beats 3; .5 beats 2 and ties 1; .2 ties 2: 3 + 2.5 + 1 of 9.
	near(t, "AUC", must[scoring.Metrics](t)(Evaluate(p, y, 3)).AUC, 6.5/9, 1e-12)
	want := must[scoring.Metrics](t)(Evaluate(p, y, 4))
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		rng.Shuffle(len(p), func(i, j int) { p[i], p[j], y[i], y[j] = p[j], p[i], y[j], y[i] })
		got := must[scoring.Metrics](t)(Evaluate(p, y, 4))
		near(t, "AUC", got.AUC, want.AUC, 1e-12)
		near(t, "ECE", got.ECE, want.ECE, 1e-12)
		near(t, "slope", got.Slope, want.Slope, 1e-9)
	}
}

func TestMetricsWithoutAnAnswer(t *testing.T) {
	one := must[scoring.Metrics](t)(Evaluate([]float64{.1, .2}, []float64{0, 0}, 2))
	if one.AUC != -1 || one.AUCSE != 0 || one.Slope != 0 {
		t.Errorf("with one class: %+v", one)
	}
	if m := must[scoring.Metrics](t)(Evaluate([]float64{.5, .5}, []float64{0, 1}, 2)); m.AUC != .5 || m.Slope != 0 {
		t.Errorf("with one probability: %+v", m)
	}
	if m := must[scoring.Metrics](t)(Evaluate([]float64{0, 1}, []float64{1, 0}, 2)); math.Abs(m.LogLoss+math.Log(1e-6)) > 1e-9 {
		t.Errorf("certain and wrong costs %v", m.LogLoss)
	}
	for _, bad := range []struct {
		p, y []float64
		bins int
		want error
	}{
		{[]float64{.5}, []float64{0, 1}, 2, ErrShape},
		{nil, nil, 2, ErrTooFew},
		{[]float64{.5}, []float64{1}, 0, ErrTooFew},
		{[]float64{math.NaN()}, []float64{1}, 1, ErrNotFinite},
		{[]float64{1.1}, []float64{1}, 1, ErrNotFinite},
		{[]float64{.5}, []float64{math.NaN()}, 1, ErrLabel},
	} {
		if _, err := Evaluate(bad.p, bad.y, bad.bins); !errors.Is(err, bad.want) {
			t.Errorf("%v: %v, want %v", bad, err, bad.want)
		}
	}
}

// logistic draws rows of two features with the logit −1 + .8·x₀ − .5·x₁, some of x₁ missing where missing adds .7.
func logistic(rng *rand.Rand, rows int) (Data, []float64) {
	d := Data{Names: []string{"a", "b"}}
	var truth []float64
	for range rows {
		x := []float64{3 + 2*rng.NormFloat64(), 10 * rng.NormFloat64()}
		logit := -1 + .8*(x[0]-3)/2 - .5*x[1]/10
		if rng.Float64() < .2 {
			logit += .5*x[1]/10 + .7
			x[1] = math.NaN()
		}
		y := 0.0
		p := scoring.Sigmoid(logit)
		if rng.Float64() < p {
			y = 1
		}
		d.X, d.Y, truth = append(d.X, x), append(d.Y, y), append(truth, p)
	}
	return d, truth
}

func TestFitRecoversTheTruth(t *testing.T) {
	d, truth := logistic(rand.New(rand.NewPCG(5, 6)), 50_000)
	l, report, err := Fit(d, FitConfig{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "bias", l.Bias, -1, .05)
	near(t, "weight of a", l.Weights[0], .8, .04)
	near(t, "weight of b", l.Weights[1], -.5, .04)
	near(t, "weight of a missing b", l.Missing[1], .7, .08)
	if l.Missing[0] != 0 || l.Log[0] || l.Log[1] {
		t.Errorf("nothing of a is missing, and nothing is skewed: %+v", l)
	}
	var own, known float64
	for i, x := range d.X {
		own += LogLoss(scoring.Sigmoid(Raw(l, x)), d.Y[i])
		known += LogLoss(truth[i], d.Y[i])
	}
	n := float64(len(d.Y))
	near(t, "reported log loss", report.LogLoss, own/n, 1e-9)
	if own > known || own < known*.999 {
		t.Errorf("the log loss is %v, that of the truth %v: a fit is a little better on its own rows", own/n, known/n)
	}
	if report.Rows != len(d.Y) || report.Gradient > 1e-6 || report.Passes < report.Iterations {
		t.Errorf("the report says %+v", report)
	}
}

// The gradient is that of the loss, and the penalty spares the bias.
func TestGradient(t *testing.T) {
	d, _ := logistic(rand.New(rand.NewPCG(7, 8)), 500)
	d.Weight = make([]float64, len(d.Y))
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range d.Weight {
		d.Weight[i] = float64(rng.IntN(3))
	}
	p := newProblem(d, Standardise(d, nil), 20)
	at := []float64{.3, -.2, .5, -.4}
	if p.width != 3 {
		t.Fatalf("%d parameters before the bias, want two features and one that can be missing", p.width)
	}
	gradient := make([]float64, len(at))
	p.gradient(gradient, at)
	for i := range at {
		const h = 1e-6
		up, down := slices.Clone(at), slices.Clone(at)
		up[i] += h
		down[i] -= h
		near(t, "derivative", gradient[i], (p.loss(up)-p.loss(down))/(2*h), 1e-7)
	}
}

// A row of weight 2 is two rows; one of weight 0 is none.
func TestWeightsAreRows(t *testing.T) {
	d, _ := logistic(rand.New(rand.NewPCG(11, 12)), 2000)
	weighted := d
	var doubled Data
	doubled.Names = d.Names
	for i := range d.Y {
		w := i % 3
		weighted.Weight = append(weighted.Weight, float64(w))
		for range w {
			doubled.X, doubled.Y = append(doubled.X, d.X[i]), append(doubled.Y, d.Y[i])
		}
	}
	a, _, err := Fit(weighted, FitConfig{})
	b, _, err2 := Fit(doubled, FitConfig{})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for j := range a.Weights {
		near(t, "weight", a.Weights[j], b.Weights[j], 1e-5)
		near(t, "scale", a.Scale[j], b.Scale[j], 1e-9)
		near(t, "mean", a.Mean[j], b.Mean[j], 1e-9)
	}
}

func TestFitOfSkewedAndConstantFeatures(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	d := Data{Names: []string{"count", "constant", "absent"}}
	for range 5000 {
		z := rng.NormFloat64()
		y := 0.0
		if rng.Float64() < scoring.Sigmoid(-z) {
			y = 1
		}
		d.X, d.Y = append(d.X, []float64{math.Floor(math.Exp(3 + z)), .1, math.NaN()}), append(d.Y, y)
	}
	l, _, err := Fit(d, FitConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if !l.Log[0] || l.Log[1] || l.Scale[1] != 1 || math.Abs(l.Weights[1]) > 1e-6 || l.Weights[2] != 0 || l.Impute[2] != 0 {
		t.Errorf("the model is %+v", l)
	}
	near(t, "weight of the count's logarithm", l.Weights[0], -1, .08)
	plain, _, err := Fit(d, FitConfig{Log: make([]bool, 3)})
	if err != nil || plain.Log[0] {
		t.Errorf("%v: the caller's choice of no logarithm gives %v", err, plain.Log)
	}
	// Perfectly separated classes have a finite fit, because of the penalty.
	separated := Data{Names: []string{"x"}, X: [][]float64{{0}, {1}, {2}, {3}}, Y: []float64{0, 0, 1, 1}}
	if _, _, err := Fit(separated, FitConfig{}); err != nil {
		t.Error(err)
	}
	if _, _, err := Fit(separated, FitConfig{L2: -1, Iterations: 3}); !errors.Is(err, ErrNoFit) {
		t.Errorf("without a penalty and time: %v", err)
	}
}

func TestFitRefuses(t *testing.T) {
	x, y := [][]float64{{1}, {2}}, []float64{0, 1}
	for name, bad := range map[string]struct {
		d    Data
		cfg  FitConfig
		want error
	}{
		"no rows":        {d: Data{Names: []string{"x"}}, want: ErrTooFew},
		"labels":         {d: Data{Names: []string{"x"}, X: x, Y: y[:1]}, want: ErrShape},
		"row's length":   {d: Data{Names: []string{"x", "y"}, X: x, Y: y}, want: ErrShape},
		"infinity":       {d: Data{Names: []string{"x"}, X: [][]float64{{1}, {math.Inf(-1)}}, Y: y}, want: ErrNotFinite},
		"unknown label":  {d: Data{Names: []string{"x"}, X: x, Y: []float64{0, math.NaN()}}, want: ErrLabel},
		"one class":      {d: Data{Names: []string{"x"}, X: x, Y: []float64{1, 1}}, want: ErrOneClass},
		"weight":         {d: Data{Names: []string{"x"}, X: x, Y: y, Weight: []float64{1, -1}}, want: ErrNotFinite},
		"weightless":     {d: Data{Names: []string{"x"}, X: x, Y: y, Weight: []float64{1, 0}}, want: ErrOneClass},
		"marks' number":  {d: Data{Names: []string{"x"}, X: x, Y: y}, cfg: FitConfig{Log: []bool{}}, want: ErrShape},
		"weights' count": {d: Data{Names: []string{"x"}, X: x, Y: y, Weight: []float64{}}, want: ErrShape},
	} {
		if _, _, err := Fit(bad.d, bad.cfg); !errors.Is(err, bad.want) {
			t.Errorf("%s: %v, want %v", name, err, bad.want)
		}
	}
}

// Scores that are too sure are brought back, and the line of what Platt gives is straight.
func TestPlatt(t *testing.T) {
	d, truth := logistic(rand.New(rand.NewPCG(15, 16)), 40_000)
	raw := make([]float64, len(truth))
	for i, p := range truth {
		raw[i] = 3*(math.Log(p)-math.Log1p(-p)) + 1 // thrice too sure, and shifted
	}
	c := must[*scoring.Platt](t)(Platt(raw, d.Y))
	near(t, "A", c.A, -1.0/3, .02)
	near(t, "B", c.B, 1.0/3, .05)
	p := make([]float64, len(raw))
	for i, z := range raw {
		p[i] = scoring.Sigmoid(-(c.A*z + c.B))
	}
	m := must[scoring.Metrics](t)(Evaluate(p, d.Y, 10))
	near(t, "slope", m.Slope, 1, .001)
	near(t, "intercept", m.Intercept, 0, .002)
	before := make([]float64, len(raw))
	for i, z := range raw {
		before[i] = scoring.Sigmoid(z)
	}
	near(t, "slope before", must[scoring.Metrics](t)(Evaluate(before, d.Y, 10)).Slope, 1.0/3, .02)

	if _, err := Platt([]float64{1, 1}, []float64{0, 1}); !errors.Is(err, ErrNoFit) {
		t.Errorf("one score: %v", err)
	}
	if _, err := Platt([]float64{1, 2}, []float64{1, 1}); !errors.Is(err, ErrOneClass) {
		t.Errorf("one class: %v", err)
	}
	if _, err := Platt([]float64{1, math.Inf(1)}, []float64{0, 1}); !errors.Is(err, ErrNotFinite) {
		t.Errorf("infinity: %v", err)
	}
}

func TestIsotonic(t *testing.T) {
	d, truth := logistic(rand.New(rand.NewPCG(17, 18)), 40_000)
	bent := make([]float64, len(truth))
	for i, p := range truth {
		bent[i] = p * p * p
	}
	c := must[*scoring.Isotonic](t)(Isotonic(bent, d.Y, false))
	if !slices.IsSorted(c.Y) || !slices.IsSorted(c.X) {
		t.Error("the steps do not rise")
	}
	worst := 0.0
	for i := 0; i < len(bent); i += 100 {
		worst = max(worst, math.Abs(stepAt(c, bent[i])-truth[i]))
	}
	if worst > .12 {
		t.Errorf("the steps are up to %v off", worst)
	}
	if _, err := Isotonic(bent[:1000], d.Y[:1000], false); !errors.Is(err, ErrTooFew) {
		t.Errorf("few positives: %v", err)
	}
}

func TestReferences(t *testing.T) {
	d := Data{Names: []string{"spread", "zeros", "absent"}}
	for i := range 1000 {
		zeros := 0.0
		if i >= 970 {
			zeros = float64(i)
		}
		spread := float64((i * 7) % 1000)
		if i%10 == 0 {
			spread = math.NaN()
		}
		d.X = append(d.X, []float64{spread, zeros, math.NaN()})
	}
	r := References(d, 4)
	if len(r) != 3 || r[0].Name != "spread" || len(r[0].Edges) != 3 {
		t.Fatalf("the references are %+v", r)
	}
	for _, s := range r[0].Shares {
		near(t, "share", s, .225, 1e-12)
	}
	near(t, "missing", r[0].Missing, .1, 1e-12)
	if !slices.Equal(r[1].Edges, []float64{0}) || !slices.Equal(r[1].Shares, []float64{.97, .03}) {
		t.Errorf("mostly zeros: %+v", r[1])
	}
	if len(r[2].Edges) != 0 || !slices.Equal(r[2].Shares, []float64{0}) || r[2].Missing != 1 {
		t.Errorf("never there: %+v", r[2])
	}
}

// Few rows are fitted to Platt's targets: at the maximum both sums agree, Σp = Σt and Σf·p = Σf·t.
func TestPlattOfFewRows(t *testing.T) {
	p, y := []float64{.1, .2, .3, .4, .6, .7, .8, .9}, []float64{0, 0, 1, 0, 1, 0, 1, 1}
	var raw []float64
	for _, v := range p {
		raw = append(raw, math.Log(v)-math.Log1p(-v))
	}
	c := must[*scoring.Platt](t)(Platt(raw, y))
	sum, moment := 0.0, 0.0
	for i, z := range raw {
		target := 1. / 6
		if y[i] == 1 {
			target = 5. / 6
		}
		sum += c.Probability(z) - target
		moment += z * (c.Probability(z) - target)
	}
	near(t, "Σp − Σt", sum, 0, 1e-3)
	near(t, "Σf·p − Σf·t", moment, 0, 1e-3)
}
