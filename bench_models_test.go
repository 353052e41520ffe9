package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// modelRows draws vectors of n features of the player's set, most of them skewed counts, and what came of them.
func modelRows(rows, n int) churn.Data {
	rng := rand.New(rand.NewPCG(61, 62))
	d := churn.Data{Names: feature.Player.Names()[:n], X: make([][]float64, rows), Y: make([]float64, rows)}
	values := make([]float64, rows*n)
	for i := range d.X {
		x := values[i*n : (i+1)*n]
		common, logit := rng.NormFloat64(), -1.0
		for j := range x {
			v := 0.7*common + rng.NormFloat64()
			logit += v * float64(j%3-1) / 10
			x[j] = math.Floor(math.Exp(1 + v))
			if feature.Player.Features[j].Nullable && rng.Float64() < 0.2 {
				x[j] = math.NaN()
			}
		}
		d.X[i] = x
		if rng.Float64() < scoring.Sigmoid(logit) {
			d.Y[i] = 1
		}
	}
	return d
}

// benchModels measures what a model costs where it is used: a score and an update have to be cheap, a training short enough to be
// repeated every hour.
func benchModels(b *testing.B, bars *bars, _ *recording) {
	set := feature.Player
	all := len(set.Features)
	small := modelRows(4000, all)
	linear, _, err := churn.Fit(small, churn.FitConfig{})
	if err != nil {
		b.Fatal(err)
	}
	scorer := benchScorer(b, linear)
	scratch := make([]float64, all)

	// Rounds shorter than a time slice: most of them are not interrupted, and the median is one of those.
	const rounds, n = 501, 200
	i := 0
	score := func() {
		if _, err := scorer.Score(small.X[i%len(small.X)], scratch); err != nil {
			b.Fatal(err)
		}
		i++
	}
	learner := must(churn.NewFTRL(50, 0.05, 1, 0.01, 1))
	online := must(churn.NewOnline(linear, must(churn.NewFTRL(2*all+1, 0.05, 1, 0.01, 1))))
	finite := make([][]float64, len(small.X))
	for k, x := range small.X {
		finite[k] = make([]float64, 2*all)
		churn.Prepare(linear, x, finite[k])
		finite[k] = finite[k][:50]
	}
	update := func() {
		if _, err := learner.Update(finite[i%len(finite)], small.Y[i%len(finite)], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
	learn := func() {
		if _, err := online.Update(small.X[i%len(small.X)], small.Y[i%len(small.X)], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
	var scores, updates, learns []float64
	for range rounds {
		scores = append(scores, 1e9/perSecond(n, score))
		updates = append(updates, 1e9/perSecond(n, update))
		learns = append(learns, 1e9/perSecond(n, learn))
	}
	bars.add(barRow{Name: "logistic score of 56 features", Value: median(scores), Unit: "ns", Bar: 1000, Limit: atMost, Runs: rounds})
	bars.add(barRow{Name: "logistic score, allocations", Value: testing.AllocsPerRun(1000, score), Unit: "allocs", Bar: 0, Limit: atMost})
	bars.add(barRow{Name: "FTRL update of 50 features", Value: median(updates), Unit: "ns", Bar: 2000, Limit: atMost, Runs: rounds})
	bars.add(barRow{Name: "online update of 56 raw features: prepared, learned", Value: median(learns), Unit: "ns", Bar: 5000, Limit: atMost, Runs: rounds})

	const rows = 1_000_000
	large := modelRows(rows, 50)
	watch := startStopwatch()
	_, report, err := churn.Fit(large, churn.FitConfig{})
	if err != nil {
		b.Fatal(err)
	}
	rate, cores := watch.stop(b, rows)
	b.Logf("trained on %d rows in %d steps and %d passes, log loss %.4f", rows, report.Iterations, report.Passes, report.LogLoss)
	bars.add(barRow{Name: "training on 1 M rows of 50 features", Value: rows / rate, Unit: "s", Bar: 60, Limit: atMost, Cores: cores})
}

// benchScorer seals and opens a model of the whole set.
func benchScorer(b *testing.B, linear *scoring.Linear) *scoring.Scorer {
	set := feature.Player
	absent, golden := make([]float64, len(set.Features)), scoring.Golden{Features: make([]*float64, len(set.Features))}
	for j := range absent {
		absent[j] = math.NaN()
	}
	a := &scoring.Artefact{Name: "churn", Version: "bench", Kind: "logistic", Linear: linear,
		Features: scoring.Contract{Set: set.Name, Version: set.Version, Hash: set.Hash(), Names: set.Names()}}
	golden.Raw, golden.P = churn.Probability(a, absent)
	a.Golden = []scoring.Golden{golden}
	file, err := scoring.Seal(a, set)
	if err != nil {
		b.Fatal(err)
	}
	return must(scoring.Open(file, set))
}
