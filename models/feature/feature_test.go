package feature

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func set(features ...Feature) *Set {
	return New(Set{Name: "s", Version: 1, Key: "k", Features: features})
}

// What a model relies on is in the hash, and what it does not rely on is not.
func TestHashIsTheContract(t *testing.T) {
	a := Feature{Name: "a", Type: Count, Unit: "s", Doc: "x"}
	b := Feature{Name: "b", Type: Real, Unit: "ms", Nullable: true}
	base := set(a, b).Hash()
	change := func(f Feature, with func(*Feature)) Feature { with(&f); return f }
	for name, other := range map[string]*Set{
		"order":    set(b, a),
		"fewer":    set(a),
		"name":     set(change(a, func(f *Feature) { f.Name = "c" }), b),
		"type":     set(change(a, func(f *Feature) { f.Type = Amount }), b),
		"unit":     set(change(a, func(f *Feature) { f.Unit = "ms" }), b),
		"nullable": set(change(a, func(f *Feature) { f.Nullable = true }), b),
		"default":  set(change(a, func(f *Feature) { f.Default = 1 }), b),
		"elapsed":  set(change(a, func(f *Feature) { f.Elapsed = true }), b),
		"version":  New(Set{Name: "s", Version: 2, Key: "k", Features: []Feature{a, b}}),
	} {
		if other.Hash() == base {
			t.Errorf("another %s gives the same hash", name)
		}
	}
	if set(change(a, func(f *Feature) { f.Doc = "y" }), b).Hash() != base {
		t.Error("a better description gives another hash")
	}
}

func TestCheck(t *testing.T) {
	s := set(Feature{Name: "a"}, Feature{Name: "b", Nullable: true})
	for _, c := range []struct {
		x    []float64
		want error
	}{
		{[]float64{1, 2}, nil},
		{[]float64{-1, math.NaN()}, nil},
		{[]float64{1}, ErrLength},
		{[]float64{1, 2, 3}, ErrLength},
		{[]float64{math.NaN(), 1}, ErrNotFinite},
		{[]float64{math.Inf(1), 1}, ErrNotFinite},
		{[]float64{1, math.Inf(-1)}, ErrNotFinite},
	} {
		if err := s.Check(c.x); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.x, err, c.want)
		}
	}
	x := []float64{-1, math.NaN()}
	ToStream(x)
	if !slices.Equal(x, []float64{-1, -1}) {
		t.Errorf("on the stream: %v", x)
	}
	// −1 is a value where the feature cannot be missing.
	if s.FromStream(x); x[0] != -1 || !math.IsNaN(x[1]) {
		t.Errorf("from the stream: %v", x)
	}
}

func TestPosition(t *testing.T) {
	s := set(Feature{Name: "a"}, Feature{Name: "b"}, Feature{Name: "c"})
	if at, err := s.Position([]string{"c", "a"}); err != nil || !slices.Equal(at, []int{2, 0}) {
		t.Errorf("%v, %v", at, err)
	}
	for _, names := range [][]string{{"a", "d"}, {"a", "a"}} {
		if at, err := s.Position(names); err == nil {
			t.Errorf("%v stands at %v", names, at)
		}
	}
}
