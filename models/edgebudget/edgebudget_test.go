package edgebudget

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// DOMAIN 9's illustration: 0.30 USD per million requests and 12 ms each at 0.02 USD per million ms are 540 nano-USD a request.
func TestCostPerRequest(t *testing.T) {
	prices := Prices{Requests: 300_000_000, CPU: 20_000_000}
	for _, requests := range []int64{1, 1000, 1_000_000} {
		got, err := prices.Cost(Usage{Requests: requests * million, CPU: requests * 12_000})
		if err != nil || got != 540*requests {
			t.Errorf("%d requests cost %d, %v, want %d", requests, got, err, 540*requests)
		}
	}
}

// Against exact rationals, rounded half to even, over the whole range.
func TestCostIsExact(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	number := func() int64 { return int64(random.Uint64() >> (1 + random.IntN(63))) }
	beyond, halves := 0, 0
	for range 20_000 {
		p, u := Prices{number(), number(), number()}, Usage{number(), number(), number()}
		if random.IntN(4) == 0 { // ties
			p, u = Prices{Requests: 500_000 * (1 + random.Int64N(9))}, Usage{Requests: 1_000_000 * (1 + random.Int64N(9))}
		}
		term := func(a, b, over int64) *big.Rat {
			return new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), big.NewInt(over))
		}
		exact := term(p.Requests, u.Requests, scale)
		exact.Add(exact, term(p.CPU, u.CPU, billion))
		exact.Add(exact, term(p.Egress, u.Egress, billion))
		floor := new(big.Int).Div(exact.Num(), exact.Denom())
		rest := new(big.Rat).Sub(exact, new(big.Rat).SetInt(floor))
		switch half := rest.Cmp(big.NewRat(1, 2)); {
		case half == 0:
			halves++
			floor.Add(floor, big.NewInt(int64(floor.Bit(0))))
		case half > 0:
			floor.Add(floor, big.NewInt(1))
		}
		got, err := p.Cost(u)
		if !floor.IsInt64() {
			beyond++
			if !errors.Is(err, ErrRange) {
				t.Fatalf("%+v of %+v: %d, %v, want out of range", p, u, got, err)
			}
			continue
		}
		if err != nil || got != floor.Int64() {
			t.Fatalf("%+v of %+v: %d, %v, want %v", p, u, got, err, floor)
		}
	}
	if beyond == 0 || halves == 0 {
		t.Errorf("%d out of range, %d ties: the cases are too tame", beyond, halves)
	}
	if _, err := (Prices{Requests: 1}).Cost(Usage{Requests: -1}); !errors.Is(err, ErrRange) {
		t.Errorf("a negative quantity: %v", err)
	}
}

const hour = 3_600_000

// B=500, F=.30: plan 150; spent 180: p=.9.
func TestPacing(t *testing.T) {
	plan := Plan{Budget: 500, LengthMS: 48 * hour, Forecast: []Point{{AgeMS: 8 * hour, BPS: 3000}}}
	if got := plan.At(8 * hour); got != 150 {
		t.Errorf("plan %d, want 150", got)
	}
	rules := Rules{}.WithDefaults()
	if got := rules.Pace(1, 180, 150); math.Abs(got-.9) > 1e-12 {
		t.Errorf("p %v, want .9", got)
	}
	if got := rules.Pace(.9, 150, 150); math.Abs(got-.99) > 1e-12 {
		t.Errorf("p %v, want .99", got)
	}
	if got := rules.Pace(.99, 150, 150); got != 1 {
		t.Errorf("p %v, want 1", got)
	}
}

func TestPlan(t *testing.T) {
	forecast := []Point{{AgeMS: hour, BPS: 4000}, {AgeMS: 2 * hour, BPS: 4000}, {AgeMS: 10 * hour, BPS: 9000}}
	broken := []Point{{AgeMS: hour, BPS: 4000}, {AgeMS: hour / 2, BPS: 5000}, {AgeMS: 2 * hour, BPS: 3999}, {AgeMS: 2 * hour, BPS: 4000}, {AgeMS: 10 * hour, BPS: 9000}, {AgeMS: 99 * hour, BPS: 9001}}
	for _, c := range []struct {
		age  int64
		want int64
	}{{-1, 0}, {0, 0}, {hour / 2, 20_000}, {hour, 40_000}, {hour * 3 / 2, 40_000}, {6 * hour, 65_000}, {10 * hour, 90_000}, {15 * hour, 95_000}, {20 * hour, 100_000}, {21 * hour, 100_000}} {
		for name, f := range map[string][]Point{"rising": forecast, "with points to leave out": broken} {
			if got := (Plan{Budget: 100_000, LengthMS: 20 * hour, Forecast: f}).At(c.age); got != c.want {
				t.Errorf("%s: at %d ms %d, want %d", name, c.age, got, c.want)
			}
		}
	}
	linear := Plan{Budget: 48_000, LengthMS: 48 * hour}
	if got := linear.At(hour); got != 1000 {
		t.Errorf("linear: %d, want 1000", got)
	}
	// Products take 128 bits.
	if got := (Plan{Budget: math.MaxInt64, LengthMS: 48 * hour}).At(24 * hour); got != 1<<62 {
		t.Errorf("half of the largest budget is %d", got)
	}
}

// 180 + 24·40 = 1140.
func TestProjection(t *testing.T) {
	if got := Projection(180, 6, 15*60_000, 40*hour); got != 1140 {
		t.Errorf("projection %d, want 1140", got)
	}
	if got := Projection(180, 6, 15*60_000, 0); got != 180 {
		t.Errorf("at the end %d, want what was spent", got)
	}
	if got := Projection(180, math.MaxInt64, 1, hour); got != math.MaxInt64 {
		t.Errorf("an absurd rate projects %d", got)
	}
}

// look is one minute of a budget of 1,000.
type look struct {
	minute    int64
	budget    int64
	spent     int64
	reserved  int64
	projected int64
	ended     bool
	level     Level
	notify    bool
}

func follow(t *testing.T, looks []look) {
	t.Helper()
	var g Guard
	rules := Rules{}.WithDefaults()
	for _, l := range looks {
		if l.budget == 0 {
			l.budget = 1000
		}
		before := g.Level
		c := g.Look(rules, Standing{Budget: l.budget, Spent: l.spent, Reserved: l.reserved, Projected: l.projected, Ended: l.ended}, l.minute*60_000)
		if c.From != before || c.To != l.level || g.Level != l.level || c.Notify != l.notify || (c.Reason != "") != (before != l.level) {
			t.Fatalf("minute %d: %+v, want level %v, notice %v", l.minute, c, l.level, l.notify)
		}
	}
}

func TestWarnHysteresis(t *testing.T) {
	follow(t, []look{
		{minute: 0, projected: 999, level: LevelOK},
		{minute: 1, projected: 1000, level: LevelWarn},
		{minute: 2, projected: 850, level: LevelWarn}, // below since 2
		{minute: 11, projected: 850, level: LevelWarn},
		{minute: 12, projected: 850, level: LevelOK},
		{minute: 13, projected: 999, level: LevelOK},
		{minute: 14, projected: 1200, level: LevelWarn},
		{minute: 15, projected: 800, level: LevelWarn},
		{minute: 24, projected: 851, level: LevelWarn}, // interrupts the ten minutes
		{minute: 25, projected: 850, level: LevelWarn},
		{minute: 34, projected: 700, level: LevelWarn},
		{minute: 35, projected: 700, level: LevelOK},
	})
	// The dwell counts where the ten minutes are configured away.
	rules := Rules{WarnLeaveMS: 1}.WithDefaults()
	var g Guard
	for minute, want := range []Level{LevelWarn, LevelWarn, LevelWarn, LevelWarn, LevelWarn, LevelOK} {
		projected := int64(800)
		if minute == 0 {
			projected = 1000
		}
		if c := g.Look(rules, Standing{Budget: 1000, Projected: projected}, int64(minute)*60_000+1); c.To != want {
			t.Errorf("minute %d: %v, want %v", minute, c.To, want)
		}
	}
}

func TestCapLatches(t *testing.T) {
	follow(t, []look{
		{minute: 0, spent: 799, projected: 900, level: LevelOK},
		{minute: 1, spent: 800, projected: 900, level: LevelOK, notify: true},
		{minute: 2, spent: 801, projected: 1100, level: LevelWarn},
		{minute: 3, spent: 900, reserved: 49, projected: 1100, level: LevelWarn},
		{minute: 4, spent: 900, reserved: 50, projected: 1100, level: LevelCap},
		{minute: 5, spent: 900, reserved: 0, projected: 901, level: LevelCap}, // it latches
		{minute: 500, spent: 900, projected: 0, level: LevelCap},
		{minute: 501, spent: 900, projected: 901, budget: 900, level: LevelCap},                               // a lower budget does not free it
		{minute: 502, spent: 900, reserved: 60, projected: 1300, budget: 1010, level: LevelCap, notify: true}, // raised, not enough
		{minute: 503, spent: 900, projected: 1300, budget: 1200, level: LevelWarn},
		{minute: 504, spent: 961, projected: 1300, budget: 1200, level: LevelWarn, notify: true},
		{minute: 505, spent: 1140, projected: 1300, budget: 1200, level: LevelCap},
		{minute: 506, spent: 1140, projected: 1400, budget: 2000, level: LevelOK},
		{minute: 507, spent: 1900, projected: 2300, budget: 2000, level: LevelCap, notify: true},
		{minute: 508, spent: 1900, projected: 2300, budget: 2000, ended: true, level: LevelOK},
	})
}

func TestNoticeOncePerBudget(t *testing.T) {
	follow(t, []look{
		{minute: 0, spent: 800, level: LevelOK, notify: true},
		{minute: 1, spent: 850, level: LevelOK},
		{minute: 2, spent: 850, budget: 2000, level: LevelOK},
		{minute: 3, spent: 1600, budget: 2000, level: LevelOK, notify: true},
		{minute: 4, spent: 1990, budget: 2000, level: LevelCap},
		{minute: 5, spent: 1990, budget: 2000, ended: true, level: LevelOK},
	})
}

// Whatever comes, CAP is left only by a higher budget or the end, WARN never within its dwell, and thresholds hold to the nano-unit.
func TestGuardProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rules := Rules{}.WithDefaults()
	seen := [3]int{}
	for range 300 {
		var g Guard
		budget, spent, now := 1000+random.Int64N(1<<50), int64(0), int64(0)
		notices := 0
		for range 300 {
			now += 60_000
			spent += random.Int64N(budget/100 + 1)
			raised := random.IntN(100) == 0
			if raised {
				budget += 1 + random.Int64N(budget)
				notices = 0
			}
			s := Standing{Budget: budget, Spent: spent, Reserved: random.Int64N(budget/50 + 1), Projected: spent + random.Int64N(budget)}
			before := g
			c := g.Look(rules, s, now)
			if c.Notify {
				notices++
			}
			seen[g.Level]++
			capped := new(big.Int).Mul(big.NewInt(s.Spent+s.Reserved), big.NewInt(100)).Cmp(new(big.Int).Mul(big.NewInt(budget), big.NewInt(95))) >= 0
			switch {
			case capped && g.Level != LevelCap:
				t.Fatalf("%+v is %v", s, g.Level)
			case before.Level == LevelCap && g.Level != LevelCap && !raised:
				t.Fatalf("CAP was left without a higher budget at %+v", s)
			case before.Level == LevelWarn && g.Level == LevelOK && now-before.SinceMS < rules.WarnLeaveMS:
				t.Fatalf("WARN lasted %d ms", now-before.SinceMS)
			case notices > 1:
				t.Fatal("two notices for one budget")
			}
		}
	}
	if slices.Min(seen[:]) == 0 {
		t.Errorf("levels seen %v", seen)
	}
}

func TestRulesAreChecked(t *testing.T) {
	if err := (Rules{}).Validate(); err != nil {
		t.Error(err)
	}
	for _, r := range []Rules{{PaceStep: 1}, {WarnLeave: 1.1}, {Cap: 1.01}, {Notify: .99}, {WarnDwellMS: -1}, {PaceStep: math.NaN()}} {
		if r.Validate() == nil {
			t.Errorf("%+v is valid", r)
		}
	}
	for _, s := range []Shedding{{Warn: 7}, {Cap: -1}, {Warn: 5, Cap: 4}} {
		if s.Validate() == nil {
			t.Errorf("%+v is valid", s)
		}
	}
	for _, w := range []Warming{{CoverBPS: 10_001}, {PerSecond: -1}, {CanaryMS: 31 * 60_000}, {CanaryHits: 1.1}, {JitterBPS: 10_000}, {SpareMS: -1}} {
		if w.Validate() == nil {
			t.Errorf("%+v is valid", w)
		}
	}
	if err := errors.Join(Shedding{}.Validate(), Warming{}.Validate()); err != nil {
		t.Error(err)
	}
}
