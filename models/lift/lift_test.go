package lift

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

const confidence = 0.95

// near compares with a published figure, to half a unit of its last digit by default.
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

// DOMAIN 4.2: n_T=400, D̄=1.30, s=4.0; n_C=1200, D̄=.70, s=3.6.
func TestDID(t *testing.T) {
	moments := func(n, mean, sd float64) Moments {
		return Moments{N: n, Sum: n * mean, Sum2: (n-1)*sd*sd + n*mean*mean}
	}
	e := must[Estimate](t)(DID(moments(400, 1.30, 4.0), moments(1200, 0.70, 3.6), confidence))
	near(t, "tau", e.Value, .600, 1e-9)
	near(t, "SE", e.SE, .22539, 5e-6)
	near(t, "low", e.Low, .1582, 5e-5)
	near(t, "high", e.High, 1.0418, 5e-5)
	near(t, "p", e.P, .00777, 5e-6)
}

// DOMAIN 4.3: one claim, three honest readings.
func TestThreeReadings(t *testing.T) {
	purchasers, others := Proportion{4000, 2016}, Proportion{40_000, 16_000}
	t.Run("E", func(t *testing.T) {
		rr := must[Estimate](t)(RiskRatio(purchasers, others, confidence))
		near(t, "RR", rr.Value, 1.260, 5e-4)
		near(t, "low", rr.Low, 1.2191, 5e-5)
		near(t, "high", rr.High, 1.3023, 5e-5)
		near(t, "E-value", EValue(rr.Value), 1.832, 5e-4)
		near(t, "E-value at the limit", EValueLimit(rr), 1.736, 5e-4)
		d := must[Estimate](t)(Difference(purchasers, others, confidence))
		near(t, "pp", 100*d.Value, 10.4, 0.05)
	})
	t.Run("C", func(t *testing.T) {
		e := must[Estimate](t)(DIDCrossSection(Proportion{4000, 1880}, purchasers, Proportion{40_000, 15_680}, others, confidence))
		near(t, "pp", 100*e.Value, 2.6, 1e-6)
		near(t, "SE", 100*e.SE, 1.169, 5e-4)
		near(t, "low", 100*e.Low, 0.31, 5e-3)
		near(t, "high", 100*e.High, 4.89, 5e-3)
		_, rel := Counterfactual(purchasers.Rate(), e.Value)
		near(t, "relative", 100*rel, 5.4, 0.05)
	})
	t.Run("A and B", func(t *testing.T) {
		offered := Offer{Proportion: Proportion{50_000, 20_500}, Bought: 4000, Both: 2400}
		held := Proportion{50_000, 20_100}
		itt := must[Estimate](t)(Difference(offered.Proportion, held, confidence))
		near(t, "ITT", 100*itt.Value, 0.80, 1e-6)
		near(t, "low", 100*itt.Low, 0.19, 5e-3)
		near(t, "high", 100*itt.High, 1.41, 5e-3)
		near(t, "p", itt.P, .0100, 5e-5)
		rr := must[Estimate](t)(RiskRatio(offered.Proportion, held, confidence))
		near(t, "relative", 100*(rr.Value-1), 1.99, 5e-3)
		cace := must[Estimate](t)(CACE(offered, held, confidence))
		near(t, "CACE", 100*cace.Value, 10.0, 1e-6)
		near(t, "SE", cace.SE, .03873, 5e-6)
		near(t, "low", 100*cace.Low, 2.4, 0.05)
		near(t, "high", 100*cace.High, 17.6, 0.05)
		without, rel := Counterfactual(offered.Both/offered.Bought, cace.Value)
		near(t, "counterfactual", without, .50, 1e-9)
		near(t, "relative", rel, .20, 1e-9)
	})
}

// DOMAIN 4.2's eight units.
func TestCUPED(t *testing.T) {
	c := must[CUPEDEstimate](t)(CUPED(PairedOf([]float64{2, 4, 6, 8}, []float64{3.1, 4.9, 7.2, 8.8}),
		PairedOf([]float64{1, 3, 5, 7}, []float64{1.2, 2.8, 5.1, 6.7}), confidence))
	near(t, "theta", c.Theta, 1.0071429, 5e-8)
	near(t, "raw", c.Raw.Value, 2.05, 1e-9)
	near(t, "raw SE", c.Raw.SE, 1.74809, 5e-6)
	near(t, "adjusted", c.Value, 1.0428571, 5e-8)
	near(t, "SE", c.SE, .15752, 5e-6)
	near(t, "rho²", c.Rho2, .945139, 5e-7)
}

// A covariate that does not vary changes nothing.
func TestCUPEDWithoutCovariate(t *testing.T) {
	c := must[CUPEDEstimate](t)(CUPED(PairedOf([]float64{1, 1, 1}, []float64{3, 4, 8}), PairedOf([]float64{1, 1, 1}, []float64{2, 2, 5}), confidence))
	if c.Estimate != c.Raw || c.Theta != 0 {
		t.Errorf("adjusted %+v, raw %+v, theta %g", c.Estimate, c.Raw, c.Theta)
	}
}

// units makes creators of which the first n are treated and gain most.
func units(n, treated int) []Unit {
	var us []Unit
	for i := range n {
		pre := 100 + 10*float64(i)
		u := Unit{Name: fmt.Sprint("creator-", i), Pre: pre, Post: pre * (1 + 0.001*float64(i%5))}
		if i < treated {
			u.Treated, u.Post = true, pre*(1.5+0.01*float64(i))
		}
		us = append(us, u)
	}
	return us
}

// DOMAIN 4.2: of 12 creators 4 treated there are C(12,4) = 495 assignments, so no p below 1/495.
func TestPermutation(t *testing.T) {
	u := must[UpliftEstimate](t)(Uplift([]Comparison{{"drop", units(12, 4)}}, confidence, 1000, 1))
	if u.Assignments != 495 || !u.Exact {
		t.Errorf("%d assignments, exact: %v", u.Assignments, u.Exact)
	}
	near(t, "p", u.PermutationP, 1./495, 1e-12)
	if u.DF != 10 || u.Treated != 4 || u.Controls != 8 {
		t.Errorf("df %g, %d treated, %d controls", u.DF, u.Treated, u.Controls)
	}
	// Sampled, the same within the error of 20,000 draws; the seed decides, and nothing else.
	s := must[UpliftEstimate](t)(Uplift([]Comparison{{"drop", units(12, 4)}}, confidence, 400, 7))
	again := must[UpliftEstimate](t)(Uplift([]Comparison{{"drop", units(12, 4)}}, confidence, 400, 7))
	if s.Exact || s.Assignments != 400 || s.PermutationP != again.PermutationP || s.PermutationP < 1./401 || s.PermutationP > 0.02 {
		t.Errorf("sampled: %+v", s)
	}
}

// With one comparison and equal weights, the estimate is the textbook's pooled t.
func TestUpliftIsPooledT(t *testing.T) {
	us := units(12, 4)
	u := must[UpliftEstimate](t)(Uplift([]Comparison{{"drop", us}}, confidence, 1, 1))
	var a, b []float64
	for _, x := range us {
		d := math.Log((1 + x.Post) / (1 + x.Pre))
		if x.Treated {
			a = append(a, d)
		} else {
			b = append(b, d)
		}
	}
	ma, mb := MomentsOf(a...), MomentsOf(b...)
	s2 := (3*ma.Variance() + 7*mb.Variance()) / 10
	near(t, "tau", u.Value, ma.Mean()-mb.Mean(), 1e-12)
	near(t, "SE", u.SE, math.Sqrt(s2*(1./4+1./8)), 1e-12)
	near(t, "t quantile", (u.High-u.Value)/u.SE, 2.228139, 5e-7) // Student's t, 10 degrees of freedom
	near(t, "uplift", u.Exp().Value, math.Exp(u.Value)-1, 1e-12)
}

// Drops at different times are compared one by one: a creator treated early is no control of a later drop, and a shift
// that hits everybody in one of the windows cancels out.
func TestStacking(t *testing.T) {
	early, late := units(9, 1), units(9, 1)
	for i := range late {
		late[i].Name = fmt.Sprint("creator-", i+1)
		late[i].Post = 3*late[i].Post + 2 // ln(1+3x+2) − ln(1+x) = ln 3 for all
	}
	u := must[UpliftEstimate](t)(Uplift([]Comparison{{"early", early}, {"late", late}}, confidence, 100, 1))
	one := must[UpliftEstimate](t)(Uplift([]Comparison{{"early", early}}, confidence, 100, 1))
	near(t, "tau", u.Value, one.Value, 1e-12)
	if u.Assignments != 81 || u.Treated != 2 || u.Controls != 16 || u.DF != 8 {
		t.Errorf("%+v", u)
	}
	// The smallest p that one treated creator of nine allows, and two.
	near(t, "p", one.PermutationP, 1./9, 1e-12)
	near(t, "p stacked", u.PermutationP, 1./81, 1e-12)
}

// Weights are precisions: one heavy control counts like as many light ones in the mean.
func TestWeights(t *testing.T) {
	control := []Unit{{Name: "a", Pre: 9, Post: 9}, {Name: "b", Pre: 9, Post: 19}, {Name: "c", Pre: 9, Post: 19}}
	heavy := []Unit{{Name: "a", Pre: 9, Post: 9}, {Name: "b", Pre: 9, Post: 19, Weight: 2}, {Name: "e", Pre: 9, Post: 9, Weight: 1e-9}}
	treated := Unit{Name: "t", Treated: true, Pre: 9, Post: 39}
	x := must[UpliftEstimate](t)(Uplift([]Comparison{{"x", append(control, treated)}}, confidence, 1, 1))
	y := must[UpliftEstimate](t)(Uplift([]Comparison{{"y", append(heavy, treated)}}, confidence, 1, 1))
	near(t, "tau", x.Value, y.Value, 1e-8)
}

func TestCoarsenedExact(t *testing.T) {
	// Within each stratum purchasers are 10 points ahead; the groups' mix makes 26 of it.
	strata := []Stratum{
		{Proportion{800, 560}, Proportion{200, 120}},
		{Proportion{200, 60}, Proportion{800, 160}},
		{Proportion{5, 5}, Proportion{0, 0}},
	}
	m := must[MatchedEstimate](t)(CoarsenedExact(strata, confidence))
	near(t, "difference", m.Value, 0.10, 1e-12)
	near(t, "share", m.Share, 1000./1005, 1e-12)
	want := .64*(.7*.3/799+.6*.4/199) + .04*(.3*.7/199+.2*.8/799)
	near(t, "SE", m.SE, math.Sqrt(want), 1e-12)
	raw := must[Estimate](t)(Difference(Proportion{1000, 620}, Proportion{1000, 280}, confidence))
	near(t, "raw", raw.Value, 0.34, 1e-12)
	if m.Strata != 2 || m.Treated != 1000 || m.Control != 1000 {
		t.Errorf("%+v", m)
	}
}

// Coarsened exact matching covers its truth when the strata are the whole difference.
func TestCoarsenedExactCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const runs, effect = 2000, 0.08
	covered := 0
	for range runs {
		strata := make([]Stratum, 6)
		for i := range strata {
			base, bought := 0.1+0.1*float64(i), 0.05+0.08*float64(i)
			for range 150 {
				s, p := &strata[i].Control, base
				if rng.Float64() < bought {
					s, p = &strata[i].Treated, base+effect
				}
				s.N++
				if rng.Float64() < p {
					s.Hits++
				}
			}
		}
		if must[MatchedEstimate](t)(CoarsenedExact(strata, confidence)).Covers(effect) {
			covered++
		}
	}
	t.Logf("covered in %.2f %% of %d runs", 100*float64(covered)/runs, runs)
	if rate := float64(covered) / runs; rate < .93 || rate > .97 {
		t.Errorf("95 %% intervals cover in %.2f %%", 100*rate)
	}
}

// A placebo between two windows before rejects at alpha.
func TestPreTrend(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const runs, alpha = 4000, 0.05
	rejected := 0
	for range runs {
		var g [2]Group
		for i := range 600 {
			k, p := 0, 0.3
			if i%3 == 0 {
				k, p = 1, 0.5
			}
			before, after := rng.Float64() < p, rng.Float64() < p
			g[k].N++
			if before {
				g[k].Before++
			}
			if after {
				g[k].After++
			}
			if before && after {
				g[k].Both++
			}
		}
		_, passed, err := PreTrend(g[1].Change(), g[0].Change(), alpha)
		if err != nil {
			t.Fatal(err)
		}
		if !passed {
			rejected++
		}
	}
	t.Logf("rejected in %.2f %% of %d runs", 100*float64(rejected)/runs, runs)
	if rate := float64(rejected) / runs; math.Abs(rate-alpha) > 3*math.Sqrt(alpha*(1-alpha)/runs) {
		t.Errorf("placebo rejected in %.2f %%", 100*rate)
	}
	// A true trend is found.
	if _, passed, err := PreTrend(Group{1000, 300, 400, 200}.Change(), Group{1000, 300, 300, 150}.Change(), alpha); passed || err != nil {
		t.Errorf("a trend of 10 points passed (%v)", err)
	}
}

// DOMAIN 6's figures for one degree of freedom and two.
func TestSampleRatio(t *testing.T) {
	near(t, "p", SampleRatio([]float64{44_000, 45_000}, []float64{1, 1}), .000802, 5e-7)
	near(t, "p", SampleRatio([]float64{50_421, 49_579}, []float64{5000, 5000}), .007753, 5e-7)
	near(t, "p", SampleRatio([]float64{33_600, 33_200, 33_200}, []float64{1, 1, 1}), .2019, 5e-5)
	near(t, "p", SampleRatio([]float64{10}, []float64{1}), 1, 0)
}

func TestTooFew(t *testing.T) {
	one := Proportion{1, 1}
	for what, err := range map[string]error{
		"no control":          second(Difference(Proportion{10, 5}, Proportion{}, confidence)),
		"no variation":        second(Difference(one, one, confidence)),
		"no hits":             second(RiskRatio(Proportion{10, 0}, Proportion{10, 5}, confidence)),
		"nobody bought":       second(CACE(Offer{Proportion: Proportion{10, 5}}, Proportion{10, 4}, confidence)),
		"one unit":            second(DID(MomentsOf(1), MomentsOf(1, 2), confidence)),
		"empty cell":          second(DIDCrossSection(Proportion{10, 5}, Proportion{10, 5}, Proportion{10, 5}, Proportion{}, confidence)),
		"no common stratum":   second(CoarsenedExact([]Stratum{{Proportion{5, 2}, Proportion{}}}, confidence)),
		"no covariate at all": second(CUPED(Paired{N: 1}, Paired{N: 1}, confidence)),
		"no control creator":  second(Uplift([]Comparison{{"x", units(4, 4)}}, confidence, 1, 1)),
		"three creators":      second(Uplift([]Comparison{{"x", units(3, 1)}}, confidence, 1, 1)),
		"nothing":             second(Uplift(nil, confidence, 1, 1)),
	} {
		if !errors.Is(err, ErrTooFew) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestBalance(t *testing.T) {
	near(t, "balance", Balance(Proportion{4000, 1880}, Proportion{40_000, 15_680}), .078/math.Sqrt((.47*.53+.392*.608)/2), 1e-12)
	near(t, "balance", Balance(Proportion{10, 0}, Proportion{10, 0}), 0, 0)
}

func TestGrades(t *testing.T) {
	letters := ""
	for g := RandomizedITT; g <= Descriptive; g++ {
		letters += g.Letter()
		if back, err := ParseGrade(g.String()); err != nil || back != g {
			t.Errorf("%s reads as %v, %v", g, back, err)
		}
	}
	if _, err := ParseGrade("lift"); err == nil || letters != "ABCDE" || Grade(0).Letter() != "?" || Grade(9).String() != "grade(9)" {
		t.Errorf("letters %s, unknown name: %v", letters, err)
	}
}

// The words that go with each grade are DOMAIN 4.1's, and no headline gets past them.
func TestWording(t *testing.T) {
	for g, want := range map[Grade]string{
		RandomizedITT:  "caused, per offered player",
		RandomizedCACE: "caused, per purchaser, if the offer acts only through purchase",
		QuasiDID:       "estimated effect, assumes parallel trends",
		Matched:        "adjusted association",
		Descriptive:    "purchasers retain more",
	} {
		if got, err := Describe(g, ""); err != nil || got != want {
			t.Errorf("%s: %q, %v", g, got, err)
		}
	}
	got, err := Describe(Descriptive, "D7 return 50.4 % against 40.0 %")
	if err != nil || got != "D7 return 50.4 % against 40.0 % (purchasers retain more)" {
		t.Errorf("%q, %v", got, err)
	}
	for headline, lowest := range map[string]Grade{
		"26 % lift in retention":            QuasiDID,
		"Lifted by a quarter":               QuasiDID,
		"creator uplift of 40 %":            QuasiDID,
		"creator UP-LIFT":                   QuasiDID,
		"effect of purchase":                QuasiDID,
		"purchases caused 26 % more":        RandomizedCACE,
		"more returned because they bought": RandomizedCACE,
		"Droplift measured 50.4 %":          Descriptive,
		"a shoplifter returned":             Descriptive,
	} {
		for g := RandomizedITT; g <= Descriptive; g++ {
			text, err := Describe(g, headline)
			if allowed := g <= lowest; (err == nil) != allowed || (err != nil && (!errors.Is(err, ErrWording) || text != "")) {
				t.Errorf("%s: %q: %q, %v", g, headline, text, err)
			}
			if err == nil && g >= Matched && liftWord.MatchString(text) {
				t.Errorf("%s: %q", g, text)
			}
		}
	}
	if _, err := Describe(0, "50 %"); err == nil || !strings.Contains(err.Error(), "no evidence grade") {
		t.Errorf("without a grade: %v", err)
	}
}
