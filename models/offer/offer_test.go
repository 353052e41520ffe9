package offer

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/models/lift"
)

func TestMargin(t *testing.T) {
	o := Offer{Price: 1999, DiscountBPS: 1000, MarginBPS: 6000}
	// 10 % of 19.99 is 1.999, 60 % is 11.994.
	if o.Discount() != 200 || o.Full() != 1199 || o.Margin() != 999 {
		t.Errorf("discount %d, full %d, margin %d", o.Discount(), o.Full(), o.Margin())
	}
	huge := Offer{Price: math.MaxInt64, DiscountBPS: 10_000, MarginBPS: 10_000}
	if huge.Discount() != math.MaxInt64 || huge.Margin() != 0 {
		t.Errorf("at the end of int64: discount %d, margin %d", huge.Discount(), huge.Margin())
	}
}

func TestRefused(t *testing.T) {
	all := Player{Consent: 7, Currency: "EUR"}
	o := Offer{Price: 2000, Currency: "EUR", DiscountBPS: 1000, MarginBPS: 5000, Stock: Unknown, Budget: 200}
	with := func(change func(*Offer, *Player)) Reason {
		o, p := o, all
		change(&o, &p)
		return o.Refused(p)
	}
	for _, c := range []struct {
		want   Reason
		change func(*Offer, *Player)
	}{
		{Allowed, func(*Offer, *Player) {}},
		{Allowed, func(o *Offer, p *Player) { o.Stock = 1 }},
		{Allowed, func(o *Offer, p *Player) { o.DiscountBPS, o.Budget, p.Consent = 0, 0, Personalisation }},
		{Minor, func(o *Offer, p *Player) { p.Minor = true }},
		{NoPersonalisation, func(o *Offer, p *Player) { p.Consent = 0 }},
		{NoPersonalisation, func(o *Offer, p *Player) { p.Consent = 1 | Marketing }},
		{NoMarketing, func(o *Offer, p *Player) { p.Consent = 1 | Personalisation }},
		{OtherCurrency, func(o *Offer, p *Player) { p.Currency = "USD" }},
		{NoMargin, func(o *Offer, p *Player) { o.DiscountBPS = 5000 }},
		{SoldOut, func(o *Offer, p *Player) { o.Stock = 0 }},
		{NoBudget, func(o *Offer, p *Player) { o.Budget = 199 }},
	} {
		if got := with(c.change); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// The holdout is the assignment of DOMAIN 6: stable, of the planned size, and the same hash as everywhere.
func TestHoldout(t *testing.T) {
	h := Holdout{Salt: "v1", BPS: 1000}
	held := 0
	for i := range 100_000 {
		if h.Holds(fmt.Sprintf("player-%d", i)) {
			held++
		}
	}
	// Binomial: 10,000 ± 4.5 standard deviations of 94.9.
	if math.Abs(float64(held)-10_000) > 427 {
		t.Errorf("%d of 100000 players are held out", held)
	}
	t.Logf("%d of 100000 held out", held)
	if h.Holds("player-1") != (experiment.Bucket("v1", "offer-holdout", "player-1") < 1000) {
		t.Error("not the hash of experiments")
	}
	if (Holdout{Salt: "v1"}).Holds("player-1") || !(Holdout{Salt: "v1", BPS: 10_000}).Holds("player-1") {
		t.Error("none and all are not held out")
	}
}

func TestBands(t *testing.T) {
	b := Bands{.2, .5}
	for score, want := range map[float64]int{0: 0, .19: 0, .2: 1, .49: 1, .5: 2, 1: 2} {
		if got := b.Of(score); got != want {
			t.Errorf("band of %v is %d, want %d", score, got, want)
		}
		if from, to := b.Range(want); score < from || score > to {
			t.Errorf("%v is not in [%v, %v)", score, from, to)
		}
	}
	for _, bad := range []Bands{{0}, {1}, {.5, .5}, {.5, .2}, {math.NaN()}} {
		if bad.Validate() == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
}

func TestLearnOnce(t *testing.T) {
	r, err := NewRates(RatesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t0 := int64(1_760_000_000_000)
	hit := Outcome{Player: "a", At: t0, Arm: "x", Band: 1, Converted: true}
	for i, c := range []struct {
		o    Outcome
		want Learned
	}{
		{hit, Counted},
		{hit, Twice},
		{Outcome{Player: "a", At: t0, Arm: "y", Band: 2}, Twice}, // the key is (player, t0), whatever else it says
		{Outcome{Player: "a", At: t0 + 1, Arm: "x", Band: 1}, Counted},
		{Outcome{Player: "b", At: t0 - 59*dayMS, Arm: "x", Band: 1}, Counted},
		{Outcome{Player: "b", At: t0 - 62*dayMS, Arm: "x", Band: 1}, Forgotten},
		{Outcome{Player: "c", At: t0 + 70*dayMS, Arm: "", Band: 1}, Counted},
		{hit, Forgotten},
	} {
		if got := r.Learn(c.o); got != c.want {
			t.Errorf("outcome %d was %v, want %v", i, got, c.want)
		}
	}
	if got := r.Rate("x", 1); got != (Beta{2, 21}) {
		t.Errorf("1 of 3 converted: %+v", got)
	}
	if got := r.Rate("y", 2); got != (Beta{1, 19}) {
		t.Errorf("nobody seen: %+v", got)
	}
	if len(r.seen) != 1 {
		t.Errorf("%d days are remembered, want 1", len(r.seen))
	}
	c := r.Clone()
	r.Learn(Outcome{Player: "d", At: t0 + 70*dayMS, Arm: "x", Band: 1})
	if c.Rate("x", 1) != (Beta{2, 21}) || r.Rate("x", 1) != (Beta{2, 22}) {
		t.Error("the copy learns too")
	}
}

// A replay from any offset ends in the same beliefs.
func TestReplay(t *testing.T) {
	seed := uint64(11)
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	stream := make([]Outcome, 2000)
	for i := range stream {
		stream[i] = Outcome{Player: fmt.Sprint(rng.IntN(300)), At: 1_760_000_000_000 + rng.Int64N(10*dayMS), Arm: []string{"", "x", "y"}[rng.IntN(3)], Band: rng.IntN(3), Converted: rng.IntN(5) == 0}
	}
	once, _ := NewRates(RatesConfig{})
	again, _ := NewRates(RatesConfig{})
	for i, o := range stream {
		once.Learn(o)
		again.Learn(o)
		if rng.IntN(200) == 0 {
			for _, o := range stream[rng.IntN(i+1) : i+1] {
				again.Learn(o)
			}
		}
	}
	for _, arm := range []string{"", "x", "y"} {
		for band := range 3 {
			if once.Rate(arm, band) != again.Rate(arm, band) {
				t.Errorf("arm %q band %d: %v once, %v with repeats", arm, band, once.Rate(arm, band), again.Rate(arm, band))
			}
		}
	}
}

// With equal margins and whole parameters P(best of two) has a closed form (DOMAIN 6).
func TestProbabilitiesOfTwo(t *testing.T) {
	for _, c := range [][4]uint64{{0, 0, 0, 0}, {10, 100, 15, 100}, {400, 10_000, 470, 10_000}, {5, 20, 300, 100_000}, {0, 5, 1_000, 1_000_000}} {
		x, y := experiment.PosteriorOf(c[0], c[1]), experiment.PosteriorOf(c[2], c[3])
		p := Probabilities([]Arm{
			{Beta{float64(1 + c[0]), float64(1 + c[1] - c[0])}, 700}, {Beta{float64(1 + c[2]), float64(1 + c[3] - c[2])}, 700},
		}, nil)
		if want := x.Exceeds(y); math.Abs(p[1]-want) > 1e-3 || math.Abs(p[0]+p[1]-1) > 1e-12 {
			t.Errorf("%v: P %v, want %v", c, p, want)
		}
	}
}

// Against sampling, as Thompson put it.
func TestProbabilitiesAgainstSampling(t *testing.T) {
	const draws = 400_000
	for seed, arms := range [][]Arm{
		{{Beta{1, 19}, 1000}, {Beta{1, 19}, 900}, {Beta{1, 19}, 800}, {Beta{1, 19}, 100}},
		{{Beta{40, 960}, 1200}, {Beta{52, 948}, 1000}, {Beta{3, 30}, 400}, {Beta{700, 9300}, 650}},
		{{Beta{2, 21}, 50_000}, {Beta{900, 99_100}, 60_000}, {Beta{.5, .5}, 3}},
		{{Beta{1, 19}, 0}, {Beta{1, 19}, 10}, {Beta{30, 1}, 9}},
	} {
		src := rand.NewPCG(uint64(seed), 77)
		t.Logf("seed (%d, 77), %d draws", seed, draws)
		won := make([]float64, len(arms))
		for range draws {
			best, at := -1.0, 0
			for i, a := range arms {
				if v := (distuv.Beta{Alpha: a.Rate.A, Beta: a.Rate.B, Src: src}).Rand() * float64(a.Margin); v > best {
					best, at = v, i
				}
			}
			won[at]++
		}
		p := Probabilities(arms, nil)
		for i := range arms {
			share := won[i] / draws
			if math.Abs(p[i]-share) > 1e-3+4*math.Sqrt(share*(1-share)/draws) {
				t.Errorf("arms %v: arm %d has P %.5f, was drawn in %.5f", arms, i, p[i], share)
			}
		}
	}
	if p := Probabilities([]Arm{{Beta{1, 1}, 0}}, nil); p[0] != 1 {
		t.Errorf("the only arm has %v", p)
	}
	if p := Probabilities([]Arm{{Beta{1, 1}, 0}, {Beta{1, 1}, 0}}, nil); p[0] != .5 || p[1] != .5 {
		t.Errorf("two arms that earn nothing have %v", p)
	}
}

// What is logged is what is drawn.
func TestPick(t *testing.T) {
	p := []float64{.2, 0, .5, .3}
	counts := make([]float64, len(p))
	const n = 200_000
	for i := range n {
		counts[Pick(p, Uniform("s", "drop", fmt.Sprint(i)))]++
	}
	for i := range p {
		if math.Abs(counts[i]/n-p[i]) > 4.5*math.Sqrt(p[i]*(1-p[i])/n) {
			t.Errorf("arm %d was drawn in %v, has %v", i, counts[i]/n, p[i])
		}
	}
	if Pick([]float64{1 - 1e-9, 0}, math.Nextafter(1, 0)) != 0 {
		t.Error("an arm of probability 0 was drawn")
	}
	if a, b := Uniform("s", "d", "p"), Uniform("s", "d", "p"); a != b {
		t.Error("a decision cannot be repeated")
	}
	if Uniform("s", "d", "p") == Uniform("s", "d", "q") || Uniform("s", "d", "p") == Uniform("s", "e", "p") {
		t.Error("draws do not differ")
	}
}

// A bandit world: Thompson sampling finds the arm that earns most, which is not the one that converts most.
func TestSamplingLearns(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	offers := []Offer{
		{Name: "half", Price: 1000, DiscountBPS: 5000, MarginBPS: 6000},   // converts 9 %, leaves 100
		{Name: "tenth", Price: 1000, DiscountBPS: 1000, MarginBPS: 6000},  // converts 7 %, leaves 500: the best, 35 a player
		{Name: "useless", Price: 1000, DiscountBPS: 500, MarginBPS: 6000}, // converts 4 %, as nothing does, which leaves 600
	}
	truth := map[string]float64{"": .04, "half": .09, "tenth": .07, "useless": .04}
	rates, _ := NewRates(RatesConfig{})
	got := map[string]int{}
	for i := range 40 {
		p := Probabilities(Arms(offers, rates, 0, nil), nil)
		for j := range 500 {
			name := ""
			if at := Pick(p, rng.Float64()); at > 0 {
				name = offers[at-1].Name
			}
			if i >= 30 {
				got[name]++
			}
			rates.Learn(Outcome{Player: fmt.Sprint(i, j), At: int64(1_760_000_000_000 + i), Arm: name, Converted: rng.Float64() < truth[name]})
		}
	}
	t.Logf("the last 5000 players got %v", got)
	if got["tenth"] < 4500 {
		t.Errorf("the best offer went to %d of the last 5000", got["tenth"])
	}
}

func TestUplift(t *testing.T) {
	// Newcombe 1998, table II, example (a): 56/70 − 48/80 = .2, [.0524, .3339] by method 10.
	u, err := UpliftOf(Group{70, 56}, Group{80, 48}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(u.Difference-.2) > 1e-12 || math.Abs(u.Low-.0524) > 5e-5 || math.Abs(u.High-.3339) > 5e-5 {
		t.Errorf("%v [%v, %v]", u.Difference, u.Low, u.High)
	}
	if u.Grade != lift.RandomizedITT {
		t.Errorf("grade %v", u.Grade)
	}
	// 3,000 of 20,000 held out instead of 2,000.
	u, err = UpliftOf(Group{17_000, 900}, Group{3_000, 100}, 1000)
	if err != nil || u.Grade != 0 || !math.IsNaN(u.Difference) || u.RatioP >= RatioAlarm {
		t.Errorf("with the wrong sizes: %+v, %v", u, err)
	}
	if _, err := UpliftOf(Group{10, 1}, Group{}, 1000); !errors.Is(err, lift.ErrTooFew) {
		t.Errorf("without a holdout: %v", err)
	}
}

// The interval holds the truth at its nominal rate, at the few conversions that offers have.
func TestUpliftCoverage(t *testing.T) {
	const seed, worlds = 3, 2000
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	held := 0
	for range worlds {
		var offered, not Group
		for i := range 4000 {
			if i%10 == 0 {
				not.N++
				if rng.Float64() < .02 {
					not.Converted++
				}
				continue
			}
			offered.N++
			if rng.Float64() < .03 {
				offered.Converted++
			}
		}
		if u, err := UpliftOf(offered, not, 1000); err == nil && u.Low <= .01 && .01 <= u.High {
			held++
		}
	}
	// .95 ± 3.5 standard deviations of .0049; score intervals are a little wide at so few.
	if share := float64(held) / worlds; share < .933 || share > .985 {
		t.Errorf("the interval held in %.4f of the worlds", share)
	} else {
		t.Logf("held in %.4f", share)
	}
}

func BenchmarkProbabilities(b *testing.B) {
	arms := []Arm{{Beta{40, 960}, 1200}, {Beta{52, 948}, 1000}, {Beta{3, 30}, 400}, {Beta{700, 9300}, 650}}
	p := make([]float64, 0, 4)
	for b.Loop() {
		p = Probabilities(arms, p[:0])
	}
}

func BenchmarkHoldout(b *testing.B) {
	h := Holdout{Salt: "v1", BPS: 1000}
	b.ReportAllocs()
	for b.Loop() {
		h.Holds("p-7f3a9c1e52d84b06")
	}
}
