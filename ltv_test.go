package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/droplift/droplift/models/ltv"
)

func TestLTVFlags(t *testing.T) {
	o := ltvDefaults(t, "--as-of=1997-10-01", "--cut=1997-07-01T02:00:00+02:00", "--horizon=91d").LTVOptions
	if want := time.Date(1997, 10, 1, 0, 0, 0, 0, time.UTC).UnixMilli(); o.AsOf.UnixMilli() != want || o.Cut.UnixMilli() != time.Date(1997, 7, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("as of %s, cut %s", o.AsOf, o.Cut)
	}
	closeTo(t, "91 days in weeks", float64(o.Horizon), 13, 1e-12)
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "39", "w", "NaNw", "Infd", "3h"} {
		var w weeks
		if err := w.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("length %q is %g weeks", text, w)
		}
	}
	bad := LTVOptions{Horizon: -1, Drops: 0, Margin: 2, Discount: 1, MaxCorrelation: 2, Shrink: -1, Most: 0, AsOf: time.UnixMilli(5), Cut: time.UnixMilli(5)}
	err := bad.Validate()
	for _, flag := range []string{"horizon", "drops", "margin", "discount", "max-correlation", "shrink", "least-repeaters", "most", "cut"} {
		if err == nil || !strings.Contains(err.Error(), "--"+flag+" ") {
			t.Errorf("no problem with --%s in: %v", flag, err)
		}
	}
}

// Where Gamma-Gamma may not or cannot be used, everybody spends the mean of a repeat purchase, and the fit says so.
func TestLTVSpend(t *testing.T) {
	o := ltvDefaults(t).LTVOptions
	fit := func(buyers ...buyer) *LTVSpend {
		t.Helper()
		s, err := o.fitSpend(buyers, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	nobody := fit(buyer{mean: math.NaN()}, buyer{mean: math.NaN()})
	if nobody.Model != "mean" || nobody.Mean != 0 || nobody.Correlation != nil || !strings.Contains(nobody.Note, ltv.ErrNoRepeats.Error()) {
		t.Errorf("without a repeat: %+v", nobody)
	}
	alike := fit(buyer{x: 1, mean: 500}, buyer{x: 3, mean: 500}, buyer{mean: math.NaN()})
	if alike.Model != "mean" || alike.Mean != 500 || alike.of(&buyer{}) != 500 || !strings.Contains(alike.Note, ltv.ErrNotConverged.Error()) {
		t.Errorf("all alike: %+v", alike)
	}
	// Those who buy more often spend more: the mean is that of a purchase, not of a buyer.
	together := fit(buyer{x: 1, mean: 100}, buyer{x: 2, mean: 210}, buyer{x: 3, mean: 290}, buyer{x: 4, mean: 400})
	if together.Model != "mean" || together.Correlation == nil || *together.Correlation < .9 || together.Mean != 299 || !strings.Contains(together.Note, "go together") {
		t.Errorf("spend with frequency: %+v", together)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	var buyers []buyer
	for range 400 {
		rate := distuv.Gamma{Alpha: 4, Beta: 3000, Src: rng}.Rand()
		buyers = append(buyers, buyer{x: 1 + rng.IntN(4), mean: distuv.Gamma{Alpha: 6, Beta: rate, Src: rng}.Rand()})
	}
	buyers = append(buyers, buyer{x: 1, mean: 0}, buyer{mean: math.NaN()}) // a free repeat is no spend
	free := fit(buyers...)
	if free.Model != gammaGamma || free.Repeaters != 400 {
		t.Errorf("spends that differ: %+v", free)
	}
	if low, high := free.of(&buyer{x: 3, mean: 1000}), free.of(&buyer{x: 3, mean: 9000}); !(1000 < low && low < high && high < 9000) {
		t.Errorf("expected spends %g and %g are not between the own mean and the others'", low, high)
	}
	if _, err := o.fitSpend([]buyer{{x: 1, mean: -5}, {x: 1, mean: 5}}, nil); !errors.Is(err, ltv.ErrBadSpend) {
		t.Errorf("a negative spend: %v", err)
	}
}

// What a prediction is worth: the margin on the expected spend, times purchases discounted to today.
func TestLTVPrediction(t *testing.T) {
	spend := &LTVSpend{Model: "mean", Mean: 1000}
	rates := ltv.BGNBD{R: .243, Alpha: 4.414, A: .793, B: 2.426}
	chances := ltv.BGBB{Alpha: 1.204, Beta: .750, Gamma: .657, Delta: 2.783}
	o := LTVOptions{Margin: .3, Discount: .1}
	for _, tt := range []struct {
		fit   LTVFit
		buyer buyer
		next  func(k int) float64
	}{
		{LTVFit{model: bgnbdModel{rates}, Horizon: 4, Spend: spend}, buyer{x: 2, last: 30.43, age: 38.86},
			func(k int) float64 { return rates.Next(ltv.History{X: 2, Recency: 30.43, Age: 38.86}, float64(k)) }},
		{LTVFit{model: bgbbModel{chances}, Horizon: 4, Spend: spend}, buyer{x: 2, last: 4, age: 6},
			func(k int) float64 { return chances.Next(ltv.Chances{X: 2, Recency: 4, N: 6}, k) }},
	} {
		purchases, each, value, err := tt.fit.prediction(&tt.buyer, &o)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		for k := 1; k <= 4; k++ {
			want += .3 * 1000 * (tt.next(k) - tt.next(k-1)) / math.Pow(1.1, float64(k))
		}
		closeTo(t, "purchases", purchases, tt.next(4), 1e-12)
		closeTo(t, "spend", each, 1000, 0)
		closeTo(t, "value", value, want, 1e-9)
		if _, _, plain, _ := tt.fit.prediction(&tt.buyer, &LTVOptions{Margin: 1}); math.Abs(plain-1000*purchases) > 1e-9 || plain*.3 <= value {
			t.Errorf("value %g without a discount, %g with", plain, value)
		}
	}
	broken := LTVFit{model: bgnbdModel{ltv.BGNBD{}}, Horizon: 4, Spend: spend}
	if _, _, _, err := broken.prediction(&buyer{}, &o); err == nil {
		t.Error("a prediction of a model without parameters")
	}
}

// TestLTVRefusals names what is missing where there is nothing to fit.
func TestLTVRefusals(t *testing.T) {
	p := startPipeline(t, t.TempDir())
	refused := func(what string, want string, args ...string) {
		t.Helper()
		_, err := measureLTV(t.Context(), p.client, ltvDefaults(t, args...).LTVOptions, func(string, int) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	refused("no purchases", "nobody has bought anything")
	p.command(&SimulateCmd{Simulation: Simulation{Scenario: "tiny", Seed: pipelineSeed(t), Truth: t.TempDir() + "/truth.json"}})
	p.settle()
	refused("no such creator", `nobody has bought from creator "nobody"`, "--creator=nobody")
	refused("no such currency", `nobody has bought in "XXX", but in `, "--currency=XXX")
	refused("before the first purchase", "which is not before 1980-01-01", "--as-of=1980-01-01")
	refused("a cut after the end", "is not before", "--cut=2100-01-01")

	// The first purchases alone: nobody has been watched for a day after, and no drop has ended since.
	first := p.tsv("SELECT toUnixTimestamp64Milli(min(effective_time)) FROM purchases FINAL WHERE type = 'completed' AND currency = 'USD'")
	at, err := time.ParseDuration(first + "ms")
	if err != nil {
		t.Fatal(err)
	}
	asOf := time.UnixMilli(at.Milliseconds() + 60_000).UTC().Format(time.RFC3339)
	for _, model := range []string{"bgbb", "bgnbd"} {
		_, err := measureLTV(t.Context(), p.client, ltvDefaults(t, "--model="+model, "--currency=USD", "--as-of="+asOf).LTVOptions, func(string, int) {})
		if !errors.Is(err, ltv.ErrNoExposure) && !errors.Is(err, ltv.ErrTooFew) {
			t.Errorf("%s on the first minute: %v", model, err)
		}
	}
	// Somebody who waits no longer gets no fit.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = measureLTV(ctx, p.client, ltvDefaults(t, "--model=bgnbd").LTVOptions, func(string, int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a fit that was ended: %v", err)
	}
}
