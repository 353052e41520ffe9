package experiment

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.10g, want %.10g", what, got, want)
	}
}

func TestChiSquare(t *testing.T) {
	for _, c := range []struct {
		observed []uint64
		chi2, p  float64
		pDigits  float64
		alarm    bool
	}{
		{[]uint64{44_000, 45_000}, 11.23596, .000802, 5e-7, true},
		{[]uint64{50_421, 49_579}, 7.08964, .007753, 5e-7, false},
		{[]uint64{33_600, 33_200, 33_200}, 3.2, .2019, 5e-5, false},
	} {
		shares := make([]float64, len(c.observed))
		for i := range shares {
			shares[i] = 5000
		}
		chi2, df, p := ChiSquare(c.observed, shares)
		near(t, "χ²", chi2, c.chi2, 5e-6)
		near(t, "p", p, c.p, c.pDigits)
		if df != len(c.observed)-1 || p < RatioAlarm != c.alarm {
			t.Errorf("%v: df %d, p %v", c.observed, df, p)
		}
		// DOMAIN's closed forms.
		if df == 1 {
			near(t, "erfc", p, math.Erfc(math.Sqrt(chi2/2)), 1e-12)
		} else {
			near(t, "exp", p, math.Exp(-chi2/2), 1e-12)
		}
	}
	if _, df, p := ChiSquare([]uint64{10, 20, 30, 40, 50}, []float64{1, 2, 3, 4, 5}); p != 1 || df != 4 {
		t.Errorf("exact shares: p %v, df %d", p, df)
	}
	for _, c := range []struct {
		observed []uint64
		shares   []float64
		p        float64
	}{
		{nil, nil, 1}, {[]uint64{0, 0}, []float64{1, 1}, 1}, {[]uint64{5}, []float64{1}, 1},
		{[]uint64{5, 1}, []float64{1, 0}, 0}, {[]uint64{5, 0}, []float64{1, 0}, 1},
	} {
		if _, _, p := ChiSquare(c.observed, c.shares); p != c.p {
			t.Errorf("%v of %v: p %v, want %v", c.observed, c.shares, p, c.p)
		}
	}
}

func TestRatioSequence(t *testing.T) {
	shares := []float64{5000, 5000}
	var s RatioSequence
	s.Look([]uint64{0, 0}, shares)
	if s.P() != 1 {
		t.Errorf("p %v without units", s.P())
	}
	s.Look([]uint64{48_000, 52_000}, shares)
	alarmed := s.P()
	if alarmed >= RatioAlarm {
		t.Errorf("52 %% of 100,000: p %v", alarmed)
	}
	s.Look([]uint64{60_000, 60_000}, shares)
	if s.P() != alarmed {
		t.Error("the evidence was forgotten")
	}
	s = RatioSequence{}
	if s.Look([]uint64{5, 1}, []float64{1, 0}); s.P() != 0 {
		t.Errorf("an arm that should not exist: p %v", s.P())
	}
}

// Watched at every unit, the split of honest experiments raises no more alarms than it may, and a cached variant is found.
func TestRatioSequenceUnderWatching(t *testing.T) {
	random := rand.New(rand.NewPCG(61, 0))
	shares := []float64{2000, 3000, 5000}
	watch := func(cached float64) (p float64) {
		var s RatioSequence
		var n [3]uint64
		for range 5_000 {
			arm := 0
			if u := random.Float64(); random.Float64() >= cached {
				switch {
				case u >= 0.5:
					arm = 2
				case u >= 0.2:
					arm = 1
				}
			}
			n[arm]++
			s.Look(n[:], shares)
		}
		return s.P()
	}
	const runs = 400
	var rejected, naive, found int
	for range runs {
		if watch(0) < 0.05 {
			rejected++
		}
		if watch(0.1) < RatioAlarm {
			found++
		}
		var n [3]uint64
		least := 1.0
		for i := range 5_000 {
			switch u := random.Float64(); {
			case u >= 0.5:
				n[2]++
			case u >= 0.2:
				n[1]++
			default:
				n[0]++
			}
			if i >= 100 {
				_, _, p := ChiSquare(n[:], shares)
				least = min(least, p)
			}
		}
		if least < 0.05 {
			naive++
		}
	}
	t.Logf("of %d: sequential %d at .05, chi-square at every unit %d; 10 %% cached found in %d at .001", runs, rejected, naive, found)
	if rejected > runs*5/100 || found < runs*95/100 || naive < runs*20/100 {
		t.Errorf("sequential %d, naive %d, found %d", rejected, naive, found)
	}
}

// DOMAIN 6, τ = .01.
func TestSequenceExamples(t *testing.T) {
	for _, c := range []struct {
		hits      uint64
		lambda    float64
		digits    float64
		p, pDigit float64
		low, high float64
	}{
		{470, 4.20209, 5e-6, .23798, 5e-6, -.00178, .01578},
		{520, 538.755, 5e-4, .001856, 5e-7, .00299, .02101},
	} {
		delta, v := Difference(Proportion(400, 10_000), Proportion(c.hits, 10_000))
		near(t, "Λ", math.Exp(Evidence(delta, v, 0, .01)), c.lambda, c.digits)
		var s Sequence
		s.Look(delta, v, .01)
		near(t, "p", s.P(), c.p, c.pDigit)
		low, high := Interval(delta, v, .01, .05)
		near(t, "low", low, c.low, 5e-6)
		near(t, "high", high, c.high, 5e-6)
		// The interval ends where the test of that null would just reject.
		near(t, "Λ at low", math.Exp(Evidence(delta, v, low, .01)), 20, 1e-9)
		near(t, "Λ at high", math.Exp(Evidence(delta, v, high, .01)), 20, 1e-9)
	}
	delta, v := Difference(Proportion(400, 10_000), Proportion(470, 10_000))
	near(t, "z", delta/math.Sqrt(v), 2.427, 5e-4)
	near(t, "fixed p", Normal(delta, v), .0152, 5e-5)
	// Equal arms give the textbook form: V/n for v.
	const n, tau = 10_000.0, .01
	big := v * n
	near(t, "textbook", math.Exp(Evidence(delta, v, 0, tau)),
		math.Sqrt(big/(big+n*tau*tau))*math.Exp(n*n*tau*tau*delta*delta/(2*big*(big+n*tau*tau))), 1e-9)
}

func TestSequenceEdges(t *testing.T) {
	for _, c := range [][2]Sample{
		{{}, {}}, {Proportion(0, 10), Proportion(0, 10)}, {Proportion(0, 0), Proportion(5, 10)}, {Proportion(10, 10), Proportion(0, 10)},
	} {
		delta, v := Difference(c[0], c[1])
		var s Sequence
		s.Look(delta, v, .01)
		if low, high := Interval(delta, v, .01, .05); s.P() != 1 || low != -1 || high != 1 || Normal(delta, v) != 1 {
			t.Errorf("%v: p %v, [%v, %v], normal %v", c, s.P(), low, high, Normal(delta, v))
		}
	}
	var s Sequence
	s.Look(.05, 1e-6, .01)
	least := s.P()
	s.Look(0, 1e-6, .01)
	if s.P() != least || least > 1e-9 || s.Looks != 2 {
		t.Errorf("p %v after %v", s.P(), least)
	}
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{.04, .01, .03, 1})
	for i, want := range []float64{.09, .04, .09, 1} {
		near(t, "adjusted", got[i], want, 1e-12)
	}
	if len(Holm(nil)) != 0 || Holm([]float64{.2})[0] != .2 {
		t.Error("a family of none or one is adjusted")
	}
}

// DOMAIN 6.
func TestBayes(t *testing.T) {
	a, b := PosteriorOf(400, 10_000), PosteriorOf(470, 10_000)
	near(t, "P(B>A)", a.Exceeds(b), .992373, 5e-7)
	near(t, "loss(B)", a.Loss(b), 7.258e-6, 5e-10)
	a, b = PosteriorOf(10, 100), PosteriorOf(15, 100)
	near(t, "P(B>A)", a.Exceeds(b), .853284, 5e-7)
	near(t, "loss(B)", a.Loss(b), .003578, 5e-7)
}

func TestBayesAgainstNaiveSums(t *testing.T) {
	random := rand.New(rand.NewPCG(62, 0))
	for range 300 {
		scale := []uint64{1, 5, 300, 20_000}[random.IntN(4)]
		na, nb := random.Uint64N(scale)+1, random.Uint64N(scale)+1
		a, b := PosteriorOf(random.Uint64N(na+1), na), PosteriorOf(random.Uint64N(nb+1), nb)
		naive := 0.0
		for i := range b.alpha {
			naive += math.Exp(logBeta(float64(a.alpha+i), float64(a.beta+b.beta)) - math.Log(float64(b.beta+i)) -
				logBeta(float64(1+i), float64(b.beta)) - logBeta(float64(a.alpha), float64(a.beta)))
		}
		near(t, "P(B>A)", a.Exceeds(b), naive, 1e-8)
		near(t, "P(B>A) + P(A>B)", a.Exceeds(b)+b.Exceeds(a), 1, 1e-8)
		// E[max(a−b,0)] − E[max(b−a,0)] = E[a] − E[b].
		near(t, "losses", a.Loss(b)-b.Loss(a), a.Mean()-b.Mean(), 1e-8)
	}
}

func TestWelch(t *testing.T) {
	// Welch's t of 2.0 with 18 degrees of freedom, by a table: p = .0608.
	a, b := Sample{N: 10, Mean: 0, Variance: 5}, Sample{N: 10, Mean: 2, Variance: 5}
	near(t, "p", Welch(a, b), .0608, 1e-4)
	if Welch(Sample{N: 1}, b) != 1 || Welch(Sample{N: 5}, Sample{N: 5}) != 1 {
		t.Error("p of nothing is not 1")
	}
	big := func(mean float64) Sample { return Sample{N: 1e6, Mean: mean, Variance: 1} }
	delta, v := Difference(big(0), big(.003))
	near(t, "large arms", Welch(big(0), big(.003)), Normal(delta, v), 1e-5)
}

func BenchmarkBayes(b *testing.B) {
	p, q := PosteriorOf(4_000, 100_000), PosteriorOf(4_100, 100_000)
	for range b.N {
		p.Exceeds(q)
	}
}
