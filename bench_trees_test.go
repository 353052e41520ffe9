package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// pointerTree is how trees are walked when nobody thinks of the machine.
type pointerTree struct {
	feature     int
	value       float64
	left, right *pointerTree
	missingLeft bool
}

func (t *pointerTree) leaf(x []float64) float64 {
	for t.left != nil {
		v := x[t.feature]
		if v <= t.value || v != v && t.missingLeft {
			t = t.left
		} else {
			t = t.right
		}
	}
	return t.value
}

// grow draws a tree of so many leaves, and appends it to the ensemble too.
func (t *pointerTree) grow(rng *rand.Rand, leaves, features int, to *scoring.Trees) {
	if leaves == 1 {
		t.value = rng.NormFloat64() / 100
		to.Decisions, to.Feature, to.Value = to.Decisions+string(scoring.Leaf), append(to.Feature, -1), append(to.Value, t.value)
		return
	}
	t.feature, t.value, t.missingLeft = rng.IntN(features), math.Floor(math.Exp(1+1.2*rng.NormFloat64())), rng.IntN(2) == 0
	decision := string(scoring.MissingRight)
	if t.missingLeft {
		decision = string(scoring.MissingLeft)
	}
	to.Decisions, to.Feature, to.Value = to.Decisions+decision, append(to.Feature, int32(t.feature)), append(to.Value, t.value)
	t.left, t.right = &pointerTree{}, &pointerTree{}
	part := 1 + rng.IntN(leaves-1)
	t.left.grow(rng, part, features, to)
	t.right.grow(rng, leaves-part, features, to)
}

// benchTrees measures a score with 500 trees of 31 leaves, LightGBM's default, against walks from pointer to pointer.
func benchTrees(b *testing.B, bars *bars, _ *recording) {
	set := feature.Player
	rng := rand.New(rand.NewPCG(71, 72))
	ensemble, plain := &scoring.Trees{}, make([]pointerTree, 500)
	for i := range plain {
		plain[i].grow(rng, 31, len(set.Features), ensemble)
	}
	rows := modelRows(1000, len(set.Features)).X
	walk := func(x []float64) (z float64) {
		for i := range plain {
			z += plain[i].leaf(x)
		}
		return z
	}
	golden := scoring.Golden{Features: make([]*float64, len(set.Features)), Raw: walk(rows[0])}
	for i, v := range rows[0] {
		if v == v {
			golden.Features[i] = &v
		}
	}
	golden.P = scoring.Sigmoid(golden.Raw)
	scorer := must(scoring.Open(must(scoring.Seal(&scoring.Artefact{Name: "churn", Version: "bench", Kind: "lightgbm", Trees: ensemble,
		Features: scoring.Contract{Set: set.Name, Version: set.Version, Hash: set.Hash(), Names: set.Names()}, Golden: []scoring.Golden{golden}}, set)), set))
	scratch, i := make([]float64, scorer.Inputs()), 0
	score := func() {
		if _, err := scorer.Score(rows[i%len(rows)], scratch); err != nil {
			b.Fatal(err)
		}
		i++
	}
	var sum float64
	naive := func() {
		sum += scoring.Sigmoid(walk(rows[i%len(rows)]))
		i++
	}
	// The two take turns, in rounds shorter than a time slice.
	const rounds, n = 301, 20
	var packed, pointers []float64
	for range rounds {
		packed = append(packed, 1e6/perSecond(n, score))
		pointers = append(pointers, 1e6/perSecond(n, naive))
	}
	if math.IsNaN(sum) {
		b.Fatal("the walk gives no number")
	}
	bars.add(barRow{Name: "score of 500 trees of 31 leaves", Value: median(packed), Unit: "µs", Bar: 30, Limit: atMost, Baseline: median(pointers), Runs: rounds})
	bars.add(barRow{Name: "score of 500 trees, allocations", Value: testing.AllocsPerRun(100, score), Unit: "allocs", Bar: 0, Limit: atMost})
}
