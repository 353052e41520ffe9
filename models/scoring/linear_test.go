package scoring

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// wideLinear is a model of n features as they come from the stream: most of them skewed counts, of which many are 0, a few missing.
func wideLinear(n int) (*Linear, [][]float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	l := &Linear{Bias: -1}
	for j := range n {
		l.Weights = append(l.Weights, rng.NormFloat64()/5)
		l.Mean = append(l.Mean, 2)
		l.Scale = append(l.Scale, 1.5)
		l.Impute = append(l.Impute, 6)
		l.Missing = append(l.Missing, rng.NormFloat64()/5)
		l.Log = append(l.Log, j%4 != 0)
	}
	rows := make([][]float64, 1000)
	for i := range rows {
		for j := range n {
			v := math.Floor(math.Exp(2 * rng.NormFloat64()))
			switch {
			case j%7 == 0 && rng.Float64() < .3:
				v = math.NaN()
			case j%11 == 0:
				v = -v
			}
			rows[i] = append(rows[i], v)
		}
	}
	return l, rows
}

func linearScorer(t testing.TB, n int) (*Scorer, *Linear, [][]float64) {
	l, rows := wideLinear(n)
	set := wideSet{}
	for j := range n {
		set = append(set, fmt.Sprintf("f%d", j))
	}
	a := &Artefact{Format: Format, Name: "churn", Version: "1", Kind: "logistic", Linear: l,
		Features: Contract{Set: "wide", Version: 1, Hash: set.Hash(), Names: set}, Platt: &Platt{A: -1.1, B: .1}}
	g := Golden{Features: make([]*float64, n)}
	for j := range n {
		g.Raw += l.Missing[j] + l.Contribution(j, math.NaN())
	}
	g.Raw += l.Bias
	g.P = a.Platt.Probability(g.Raw)
	a.Golden = []Golden{g}
	s, err := newScorer(a, set)
	if err != nil {
		t.Fatal(err)
	}
	return s, l, rows
}

type wideSet []string

func (wideSet) Hash() string { return "wide" }

func (s wideSet) Position(names []string) ([]int, error) {
	at := make([]int, len(names))
	for i, name := range names {
		at[i] = slices.Index(s, name)
	}
	return at, nil
}

// A scorer's sum is that of the contributions, of which reasons are made.
func TestLinearIsTheSumOfItsContributions(t *testing.T) {
	s, l, rows := linearScorer(t, 56)
	scratch := make([]float64, 56)
	for i, x := range rows {
		want := l.Bias
		for j, v := range x {
			want += l.Contribution(j, v)
			if v != v {
				want += l.Missing[j]
			}
		}
		if raw, p := s.Raw(x, scratch); !(math.Abs(raw-want) < 1e-12*max(1, math.Abs(want))) || p != s.artefact.Platt.Probability(raw) {
			t.Fatalf("row %d scores %v, its contributions add up to %v", i, raw, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Score(rows[0], scratch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	rows[0][1] = math.Inf(1)
	if _, err := s.Score(rows[0], scratch); err != ErrNotFinite {
		t.Errorf("an infinite feature: %v", err)
	}
}

func BenchmarkLinear(b *testing.B) {
	s, _, rows := linearScorer(b, 56)
	scratch := make([]float64, 56)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := s.Score(rows[i%len(rows)], scratch); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
