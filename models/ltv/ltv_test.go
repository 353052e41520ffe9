package ltv

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

var donations = BGBB{Alpha: 1.204, Beta: .750, Gamma: .657, Delta: 2.783}

func TestBGBBExpectations(t *testing.T) {
	for _, want := range []struct {
		history Chances
		alive   float64
	}{{Chances{0, 0, 6}, .1080}, {Chances{2, 4, 6}, .5895}, {Chances{6, 6, 6}, .9304}} {
		near(t, fmt.Sprint("P(alive) of ", want.history), donations.Alive(want.history), want.alive, 5e-5)
	}
	near(t, "P(alive) of nobody's history", donations.Alive(Chances{}), 2.783/(.657+2.783), 1e-12)
}

// The 2⁶ orders of six opportunities are all there can be. Each of the C(t_x − 1, x − 1) orders has the same likelihood.
func TestBGBBHistoriesSumToOne(t *testing.T) {
	for _, m := range []BGBB{donations, {2, 3, 1, 1}, {.01, 40, 12, .3}} {
		sum, orders := 0.0, 0
		for order := range 1 << 6 {
			c := Chances{N: 6}
			for i := range 6 {
				if order>>i&1 == 1 {
					c.X, c.Recency = c.X+1, i+1
				}
			}
			sum += math.Exp(m.LogLikelihood(c))
			orders++
		}
		near(t, fmt.Sprint("sum over ", orders, " histories of ", m), sum, 1, 1e-12)
	}
}

// The closed form of the paper, away from its singularity, and its limit there.
func TestBGBBNextIsTheClosedForm(t *testing.T) {
	closed := func(m BGBB, c Chances, k int) float64 {
		x, n, end := float64(c.X), float64(c.N), float64(c.N+k)
		ratio := func(n float64) float64 { return math.Exp(lgamma(1+m.Delta+n) - lgamma(m.Gamma+m.Delta+n)) }
		return math.Exp(mathext.Lbeta(m.Alpha+x+1, m.Beta+n-x)-mathext.Lbeta(m.Alpha, m.Beta)-m.LogLikelihood(c)+
			lgamma(m.Gamma+m.Delta)-lgamma(1+m.Delta)) * m.Delta / (m.Gamma - 1) * (ratio(n) - ratio(end))
	}
	for _, c := range []Chances{{}, {0, 0, 6}, {2, 4, 6}, {6, 6, 6}} {
		for _, k := range []int{0, 1, 5, 40} {
			near(t, fmt.Sprint("next ", k, " after ", c), donations.Next(c, k), closed(donations, c, k), 1e-10)
		}
		one := donations
		one.Gamma = 1
		low, high := one, one
		low.Gamma, high.Gamma = 1-1e-5, 1+1e-5
		near(t, fmt.Sprint("next 5 at γ = 1 after ", c), one.Next(c, 5), (closed(low, c, 5)+closed(high, c, 5))/2, 1e-7)
	}
	discounted := 0.0
	for k := 1; k <= 12; k++ {
		discounted += (donations.Next(Chances{2, 4, 6}, k) - donations.Next(Chances{2, 4, 6}, k-1)) / math.Pow(1.1, float64(k))
	}
	near(t, "discounted", donations.NextDiscounted(Chances{2, 4, 6}, 12, .1), discounted, 1e-12)
}

// gonum's ₂F₁ in the published formula is independent of our series.
func TestBGNBDNextIsThePublishedFormula(t *testing.T) {
	published := func(m BGNBD, h History, t float64) float64 {
		x := float64(h.X)
		f := mathext.Hypergeo(m.R+x, m.B+x, m.A+m.B+x-1, t/(m.Alpha+h.Age+t))
		return (m.A + m.B + x - 1) / (m.A - 1) * (1 - math.Pow((m.Alpha+h.Age)/(m.Alpha+h.Age+t), m.R+x)*f) * m.Alive(h)
	}
	for _, m := range []BGNBD{publishedRates, {.5, 10, 1.5, .4}, {3, 2, .3, .2}, {.02, .8, 6, 9}} {
		for _, h := range []History{{}, {Age: 38.86}, {1, 1.71, 38.86}, {2, 30.43, 38.86}, {29, 37, 38.86}} {
			for _, horizon := range []float64{0, .1, 1, 13, 39, 400} {
				want := published(m, h, horizon)
				near(t, fmt.Sprint(m, " next ", horizon, " after ", h), m.Next(h, horizon), want, 1e-9*max(1, math.Abs(want)))
			}
		}
	}
}

// a = 1 and a + b = 1 are singular in the published formula and in nothing else.
func TestBGNBDRemovableSingularities(t *testing.T) {
	h := History{2, 30.43, 38.86}
	for _, e := range []float64{0, 1e-6, -1e-6, 1e-12, -1e-12} {
		m := BGNBD{.243, 4.414, 1 + e, 2.426}
		low, high := m, m
		low.A, high.A = 1-1e-3, 1+1e-3
		near(t, fmt.Sprint("a = 1 + ", e), m.Next(h, 39), (low.Next(h, 39)+high.Next(h, 39))/2, 1e-5)
		sum := BGNBD{.243, 4.414, .4, .6 + e}
		low, high = sum, sum
		low.B, high.B = .6-1e-3, .6+1e-3
		near(t, fmt.Sprint("a + b = 1 + ", e), sum.Expected(39), (low.Expected(39)+high.Expected(39))/2, 1e-5)
	}
	// The published series overflows here; the expectation is plain: about 500 purchases in 50 weeks, and as many to come, less those who leave.
	busy := BGNBD{2, 1, .5, 200}.Next(History{500, 49.9, 50}, 50)
	if !(busy > 150 && busy < 500) {
		t.Errorf("expectation of a busy customer: %v", busy)
	}
	// E[X(t)] grows, and by ever less, as customers leave.
	before, step := 0.0, math.Inf(1)
	for t1 := 10.0; t1 <= 1000; t1 += 10 {
		now := publishedRates.Expected(t1)
		if !(now > before && now-before < step) {
			t.Fatalf("E[X(%v)] = %v after %v", t1, now, before)
		}
		before, step = now, now-before
	}
	for _, bad := range []float64{-1, math.NaN(), 1e9} {
		if v := publishedRates.Expected(bad); !math.IsNaN(v) {
			t.Errorf("E[X(%v)] = %v", bad, v)
		}
	}
}

func TestGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	rates, chances, spends := simulateRates(rng, BGNBD{.5, 4, .8, 2.4}, 200, 40), simulateChances(rng, donations, 200, 8), simulateSpend(rng, publishedSpend, 200)
	for name, c := range map[string]struct {
		f  objective
		at []float64
	}{
		"BG/NBD":      {groupHistories(rates, 40).mean, []float64{.4, .2, .9, 2}},
		"BG/BB":       {groupChances(chances).mean, []float64{1.3, .6, .9, 2}},
		"Gamma-Gamma": {spendGroups(spends).mean, []float64{5, 3, 20}},
	} {
		exact, scratch := make([]float64, len(c.at)), make([]float64, len(c.at))
		c.f(c.at, exact)
		for i, want := range fd.Gradient(nil, func(p []float64) float64 { return c.f(p, scratch) }, c.at, &fd.Settings{Formula: fd.Central}) {
			near(t, fmt.Sprint(name, " gradient ", i), exact[i], want, 1e-7)
		}
	}
}

// The simulated customers follow the models' stories, not their likelihoods.
func simulateRates(rng *rand.Rand, m BGNBD, customers int, weeks float64) []History {
	histories := make([]History, customers)
	for i := range histories {
		rate := distuv.Gamma{Alpha: m.R, Beta: m.Alpha, Src: rng}.Rand()
		leave := distuv.Beta{Alpha: m.A, Beta: m.B, Src: rng}.Rand()
		h := History{Age: weeks * (.5 + .5*rng.Float64())}
		for at := rng.ExpFloat64() / rate; at < h.Age; at += rng.ExpFloat64() / rate {
			h.X, h.Recency = h.X+1, at
			if rng.Float64() < leave {
				break
			}
		}
		histories[i] = h
	}
	return histories
}

func simulateChances(rng *rand.Rand, m BGBB, customers, most int) []Chances {
	histories := make([]Chances, customers)
	for i := range histories {
		buy, leave := distuv.Beta{Alpha: m.Alpha, Beta: m.Beta, Src: rng}.Rand(), distuv.Beta{Alpha: m.Gamma, Beta: m.Delta, Src: rng}.Rand()
		c := Chances{N: most - i%3}
		for k := 1; k <= c.N && rng.Float64() >= leave; k++ {
			if rng.Float64() < buy {
				c.X, c.Recency = c.X+1, k
			}
		}
		histories[i] = c
	}
	return histories
}

func simulateSpend(rng *rand.Rand, m GammaGamma, customers int) []Spending {
	spendings := make([]Spending, customers)
	for i := range spendings {
		x := 1 + rng.IntN(6)
		inverse := distuv.Gamma{Alpha: m.Q, Beta: m.Gamma, Src: rng}.Rand()
		sum := 0.0
		for range x {
			sum += distuv.Gamma{Alpha: m.P, Beta: inverse, Src: rng}.Rand()
		}
		spendings[i] = Spending{X: x, Mean: sum / float64(x)}
	}
	return spendings
}

// Each logarithm of a parameter must be found within its own standard errors: over all models and seeds the squared errors in those units
// are about χ² with as many degrees of freedom.
func TestFitsRecoverTheTruth(t *testing.T) {
	const seed, rounds = 20250301, 12
	t.Logf("seed %d", seed)
	squares := map[string]float64{}
	check := func(model string, names []string, got, truth, se []float64) {
		for i, name := range names {
			z := math.Log(got[i]/truth[i]) / se[i]
			squares[model+" "+name] += z * z
			if math.Abs(z) > 5 {
				t.Errorf("%s: %s = %.4f, truth %.4f, standard error of the logarithm %.3f", model, name, got[i], truth[i], se[i])
			}
		}
	}
	for round := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, round))
		rates := BGNBD{.6, 5, .8, 2.5}
		m, q, err := FitBGNBD(simulateRates(rng, rates, 4000, 52), Options{})
		if err != nil {
			t.Fatal(err)
		}
		check("BG/NBD", []string{"r", "α", "a", "b"}, []float64{m.R, m.Alpha, m.A, m.B}, []float64{rates.R, rates.Alpha, rates.A, rates.B}, q.LogSE)
		chances := BGBB{1.2, .75, .66, 2.8}
		c, q, err := FitBGBB(simulateChances(rng, chances, 4000, 12), Options{})
		if err != nil {
			t.Fatal(err)
		}
		check("BG/BB", []string{"α", "β", "γ", "δ"}, []float64{c.Alpha, c.Beta, c.Gamma, c.Delta}, []float64{chances.Alpha, chances.Beta, chances.Gamma, chances.Delta}, q.LogSE)
		g, q, err := FitGammaGamma(simulateSpend(rng, publishedSpend, 2000), Options{})
		if err != nil {
			t.Fatal(err)
		}
		check("Gamma-Gamma", []string{"p", "q", "γ"}, []float64{g.P, g.Q, g.Gamma}, []float64{publishedSpend.P, publishedSpend.Q, publishedSpend.Gamma}, q.LogSE)
	}
	for name, sum := range squares {
		if p := (distuv.ChiSquared{K: rounds}).Survival(sum); p < 1e-4 || p > 1-1e-4 {
			t.Errorf("%s: squared standardised errors over %d rounds add up to %.1f (p = %.2g)", name, rounds, sum, p)
		}
	}
}

func TestBadInput(t *testing.T) {
	bgnbd := func(h ...History) error { _, _, err := FitBGNBD(h, Options{}); return err }
	bgbb := func(c ...Chances) error { _, _, err := FitBGBB(c, Options{}); return err }
	spend := func(s ...Spending) error { _, _, err := FitGammaGamma(s, Options{}); return err }
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct{ got, want error }{
		"nobody":                      {bgnbd(), ErrTooFew},
		"one customer":                {bgnbd(History{2, 3, 4}), ErrTooFew},
		"no repeaters":                {bgnbd(History{Age: 3}, History{Age: 4}), ErrNoRepeats},
		"every age 0":                 {bgnbd(History{}, History{}), ErrNoExposure},
		"last after now":              {bgnbd(History{1, 5, 4}, History{Age: 4}), ErrBadHistory},
		"negative age":                {bgnbd(History{Age: -1}, History{1, 2, 4}), ErrBadHistory},
		"no age":                      {bgnbd(History{Age: nan}, History{1, 2, 4}), ErrBadHistory},
		"endless age":                 {bgnbd(History{Age: inf}, History{1, 2, 4}), ErrBadHistory},
		"negative count":              {bgnbd(History{-1, 2, 4}, History{1, 2, 4}), ErrBadHistory},
		"a last without a repeat":     {bgnbd(History{0, 2, 4}, History{1, 2, 4}), ErrBadHistory},
		"a repeat without a last":     {bgnbd(History{1, 0, 4}, History{1, 2, 4}), ErrBadHistory},
		"BG/BB nobody":                {bgbb(), ErrTooFew},
		"BG/BB one customer":          {bgbb(Chances{1, 1, 2}), ErrTooFew},
		"BG/BB no repeaters":          {bgbb(Chances{N: 2}, Chances{N: 3}), ErrNoRepeats},
		"BG/BB no opportunity":        {bgbb(Chances{}, Chances{}), ErrNoExposure},
		"BG/BB more than chances":     {bgbb(Chances{3, 2, 4}, Chances{N: 4}), ErrBadHistory},
		"BG/BB last after all":        {bgbb(Chances{1, 5, 4}, Chances{N: 4}), ErrBadHistory},
		"BG/BB negative":              {bgbb(Chances{-1, 1, 4}, Chances{N: 4}), ErrBadHistory},
		"BG/BB everybody buys always": {bgbb(Chances{4, 4, 4}, Chances{4, 4, 4}), ErrNotConverged},
		"spend: nobody":               {spend(), ErrNoRepeats},
		"spend: no repeaters":         {spend(Spending{}, Spending{}), ErrNoRepeats},
		"spend: one repeater":         {spend(Spending{2, 9}, Spending{}), ErrTooFew},
		"spend: negative":             {spend(Spending{2, -9}, Spending{2, 9}), ErrBadSpend},
		"spend: no number":            {spend(Spending{2, nan}, Spending{2, 9}), ErrBadSpend},
		"spend: endless":              {spend(Spending{2, inf}, Spending{2, 9}), ErrBadSpend},
		"spend: negative count":       {spend(Spending{-2, 3}, Spending{2, 9}), ErrBadHistory},
		"spend: all the same":         {spend(Spending{2, 9}, Spending{3, 9}, Spending{1, 9}), ErrNotConverged},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if _, err := Correlation([]Spending{{2, 9}, {0, 3}, {3, 0}}); !errors.Is(err, ErrTooFew) {
		t.Errorf("a correlation of one repeater: %v", err)
	}
	for _, v := range []float64{
		BGNBD{}.Next(History{}, 1), BGNBD{1, 1, 1, nan}.Alive(History{}), BGNBD{1, 1, -1, 1}.LogLikelihood(History{}),
		BGBB{}.Next(Chances{}, 1), BGBB{1, 1, 1, inf}.Alive(Chances{}), donations.Next(Chances{}, -1),
		GammaGamma{}.Expected(Spending{}), GammaGamma{1, .5, 1}.Expected(Spending{}), publishedSpend.LogLikelihood(Spending{}),
	} {
		if !math.IsNaN(v) {
			t.Errorf("%v from an impossible model or question", v)
		}
	}
}

// Too few evaluations, a run that somebody ends, and a prior that gives a maximum where the data leave one open.
func TestOptions(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	histories := simulateChances(rng, donations, 2000, 8)
	if _, q, err := FitBGBB(histories, Options{MaxEvaluations: 3}); !errors.Is(err, ErrNotConverged) || q.Evaluations > 20 {
		t.Errorf("three evaluations: %v after %d", err, q.Evaluations)
	}
	stop := errors.New("stop")
	last, best := 0, math.Inf(-1)
	_, _, err := FitBGBB(histories, Options{Step: func(evaluations int, now float64) error {
		if evaluations <= last || now < best {
			t.Errorf("step %d after %d, best %v after %v", evaluations, last, now, best)
		}
		if last, best = evaluations, now; evaluations == 5 {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) || last != 5 {
		t.Errorf("stopped with %v after %d steps", err, last)
	}
	// Customers who are all alike and never leave: α, β and δ run away, unless a little is known before.
	alike := make([]Chances, 3000)
	for i := range alike {
		c := Chances{N: 10}
		for k := 1; k <= c.N; k++ {
			if rng.Float64() < .3 {
				c.X, c.Recency = c.X+1, k
			}
		}
		alike[i] = c
	}
	if m, _, err := FitBGBB(alike, Options{}); !errors.Is(err, ErrNotConverged) {
		t.Errorf("customers alike: %+v, %v", m, err)
	}
	for _, shrink := range []float64{.1, 1} {
		m, _, err := FitBGBB(alike, Options{Shrink: shrink})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "purchases at ten opportunities of customers alike", m.Expected(10), 3, .1)
	}
	free, _, err := FitBGBB(histories, Options{})
	if err != nil {
		t.Fatal(err)
	}
	held, _, err := FitBGBB(histories, Options{Shrink: 1e-3})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "what a weak prior does to the expectation", held.Expected(8), free.Expected(8), 1e-4)
}

func BenchmarkFitBGNBD(b *testing.B) {
	histories := simulateRates(rand.New(rand.NewPCG(1, 1)), publishedRates, 100_000, 40)
	for b.Loop() {
		if _, _, err := FitBGNBD(histories, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100_000, "µs/customer")
}

func BenchmarkNext(b *testing.B) {
	h := History{2, 30.43, 38.86}
	b.ReportAllocs()
	for b.Loop() {
		publishedRates.Next(h, 39)
	}
}
