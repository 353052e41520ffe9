package prefetch

import (
	"fmt"
	"math"
	"testing"
)

func transitions(t *testing.T, cfg Config) *Transitions {
	t.Helper()
	tr, err := NewTransitions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestLaplace(t *testing.T) {
	tr := transitions(t, Config{})
	for range 6 {
		tr.Observe("landing", "trailer")
	}
	for range 2 {
		tr.Observe("landing", "shop")
	}
	// Three candidates: (6+1)/(8+3), (2+1)/11, 1/11; they sum to 1.
	sum := 0.0
	for _, want := range []struct {
		to string
		p  float64
	}{{"trailer", 7.0 / 11}, {"shop", 3.0 / 11}, {"faq", 1.0 / 11}} {
		p := tr.P("landing", want.to, 3)
		if math.Abs(p-want.p) > 1e-12 {
			t.Errorf("P(%s) = %v, want %v", want.to, p, want.p)
		}
		sum += p
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("the probabilities sum to %v", sum)
	}
	if p := tr.P("never seen", "shop", 4); p != 0.25 {
		t.Errorf("behind an asset never seen P = %v, want 1/4", p)
	}
}

func TestPlan(t *testing.T) {
	tr := transitions(t, Config{})
	for range 7 {
		tr.Observe("landing", "small")
	}
	tr.Observe("landing", "large")
	candidates := []Asset{{"large", 9_000_000, false}, {"small", 1_000_000, false}, {"cached", 5_000_000, true}, {"empty", 0, false}, {"huge", 90_000_000, false}}
	// 8 + 5 seen: small 8/13·1 MB = .615 MB, large 2/13·9 MB = 1.385 MB, huge 1/13·90 MB, beyond the budget.
	plan := tr.Plan("landing", candidates, Limits{Top: 3, Bytes: 20_000_000, PerGB: 80_000_000}, nil)
	if len(plan) != 2 || plan[0].ID != "large" || plan[1].ID != "small" {
		t.Fatalf("plan %+v", plan)
	}
	// 9 MB at 80,000,000 nano-units per GB cost 720,000; times 2/13.
	if plan[0].Saving != 110_769 {
		t.Errorf("large saves %d, want 110769", plan[0].Saving)
	}
	// What does not fit is passed over, not the end of the plan.
	plan = tr.Plan("landing", candidates, Limits{Top: 3, Bytes: 9_500_000}, nil)
	if len(plan) != 1 || plan[0].ID != "large" || plan[0].Saving != 0 {
		t.Errorf("plan of 9.5 MB %+v", plan)
	}
	plan = tr.Plan("landing", candidates, Limits{Top: 1, Bytes: 2_000_000}, plan)
	if len(plan) != 2 || plan[1].ID != "small" {
		t.Errorf("plan of 2 MB behind the other %+v", plan)
	}
	if plan := tr.Plan("landing", candidates, Limits{}, nil); len(plan) != 0 {
		t.Errorf("a plan of nothing holds %+v", plan)
	}
}

func TestHugeCost(t *testing.T) {
	tr := transitions(t, Config{})
	plan := tr.Plan("a", []Asset{{"b", math.MaxInt64, false}}, Limits{Top: 1, Bytes: math.MaxInt64, PerGB: math.MaxInt64}, nil)
	if len(plan) != 1 || plan[0].Saving <= 0 {
		t.Errorf("plan %+v", plan)
	}
}

func TestBounds(t *testing.T) {
	tr := transitions(t, Config{MaxAssets: 2, MaxNext: 2})
	for i, want := range []bool{true, true, false} {
		if got := tr.Observe("a", fmt.Sprint(i)); got != want {
			t.Errorf("successor %d counted: %v", i, got)
		}
	}
	if !tr.Observe("b", "0") || tr.Observe("c", "0") {
		t.Error("the bound of assets does not hold")
	}
	// What was left out still was a transition.
	if p := tr.P("a", "0", 3); p != 2.0/6 {
		t.Errorf("P = %v, want 2/6", p)
	}
}

func TestConfig(t *testing.T) {
	if _, err := NewTransitions(Config{Smoothing: -1}); err == nil {
		t.Error("negative smoothing is taken")
	}
}
