package scoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/droplift/droplift/models/feature"
)

var features = feature.New(feature.Set{Name: "test", Version: 1, Key: "id", Features: []feature.Feature{
	{Name: "a"}, {Name: "unused"}, {Name: "b", Nullable: true},
}})

func number(v float64) *float64 { return &v }

// linear is −1 + 2·(b−1)/2 + 0.5·(ln(1+a)−0)/1, with b missing as 3 and 0.25 for its absence.
func linear() *Artefact {
	a := &Artefact{Name: "m", Version: "m-1", Kind: "logistic",
		Features: Contract{Set: "test", Version: 1, Hash: features.Hash(), Names: []string{"b", "a"}},
		Linear: &Linear{Bias: -1, Weights: []float64{2, 0.5}, Mean: []float64{1, 0}, Scale: []float64{2, 1}, Impute: []float64{3, 0},
			Missing: []float64{0.25, 0}, Log: []bool{false, true}},
	}
	for _, row := range [][]*float64{{number(1), number(math.E - 1)}, {nil, number(0)}} {
		raw := -0.5
		if row[0] == nil {
			raw = -1 + 0.25 + 2
		}
		a.Golden = append(a.Golden, Golden{Features: row, Raw: raw, P: 1 / (1 + math.Exp(-raw))})
	}
	return a
}

func TestScore(t *testing.T) {
	file, err := Seal(linear(), features)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(file, features)
	if err != nil {
		t.Fatal(err)
	}
	scratch := make([]float64, s.Inputs())
	for _, c := range []struct{ vector, want float64 }{{1, -0.5}, {math.NaN(), 1.75}} {
		p, err := s.Score([]float64{math.E - 1, 99, c.vector}, scratch)
		if c.vector != c.vector {
			p, err = s.Score([]float64{math.E - 1, 99, math.NaN()}, scratch)
		}
		if want := 1 / (1 + math.Exp(-c.want)); err != nil || math.Abs(p-want) > 1e-12 {
			t.Errorf("%v: %v, %v, want %v", c.vector, p, err, want)
		}
	}
	if _, err := s.Score([]float64{math.NaN(), 0, 1}, scratch); err != nil {
		t.Error("a missing value of a feature is imputed:", err)
	}
	if n := testing.AllocsPerRun(100, func() { s.Score([]float64{1, 2, 3}, scratch) }); n != 0 {
		t.Errorf("%v allocations a score", n)
	}
}

func TestCalibration(t *testing.T) {
	a := linear()
	a.Platt = &Platt{A: -2, B: 0.5}
	for i := range a.Golden {
		a.Golden[i].P = 1 / (1 + math.Exp(-2*a.Golden[i].Raw+0.5))
	}
	if _, err := Seal(a, features); err != nil {
		t.Error(err)
	}
	a = linear()
	a.Isotonic = &Isotonic{X: []float64{0.2, 0.5, 0.8}, Y: []float64{0.1, 0.4, 0.9}}
	a.Golden[0].P, a.Golden[1].P = 0.1, 0.4 // of 0.378 and 0.777
	if _, err := Seal(a, features); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ p, want float64 }{{0, 0.1}, {0.2, 0.1}, {0.5, 0.4}, {0.79, 0.4}, {1, 0.9}} {
		if got := a.Isotonic.calibrate(c.p); got != c.want {
			t.Errorf("isotonic(%v) = %v, want %v", c.p, got, c.want)
		}
	}
}

// A bad model never reaches scoring, and each way of being bad has its name.
func TestOpenRefuses(t *testing.T) {
	good, err := Seal(linear(), features)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if _, err := Open(good[:i], features); !errors.Is(err, ErrMalformed) {
			t.Fatalf("a prefix of %d bytes: %v", i, err)
		}
		for _, bit := range []byte{1, 0x20} {
			damaged := bytes.Clone(good)
			damaged[i] ^= bit
			if _, err := Open(damaged, features); err == nil {
				t.Fatalf("byte %d changed by %x: opened", i, bit)
			}
		}
	}
	resealed := func(change func(*Artefact)) []byte {
		a := linear()
		change(a)
		a.Format = max(a.Format, Format)
		body, _ := json.Marshal(a)
		a.Checksum = checksum(body)
		file, _ := json.Marshal(a)
		return file
	}
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"more behind it": {append(bytes.Clone(good), "{}"...), ErrMalformed},
		"tampered":       {bytes.Replace(good, []byte(`"bias":-1`), []byte(`"bias":-9`), 1), ErrChecksum},
		"too large":      {make([]byte, MaxBytes+1), ErrTooLarge},
		"newer":          {resealed(func(a *Artefact) { a.Format = Format + 1 }), ErrNewer},
		"hash":           {resealed(func(a *Artefact) { a.Features.Hash = "00" }), ErrFeatures},
		"name":           {resealed(func(a *Artefact) { a.Features.Names[0] = "gone" }), ErrFeatures},
		"golden":         {resealed(func(a *Artefact) { a.Golden[0].Raw += 1e-5 }), ErrGolden},
		"no golden":      {resealed(func(a *Artefact) { a.Golden = nil }), ErrGolden},
		"short golden":   {resealed(func(a *Artefact) { a.Golden[0].Features = nil }), ErrMalformed},
		"weights":        {resealed(func(a *Artefact) { a.Linear.Weights = a.Linear.Weights[:1] }), ErrMalformed},
		"scale":          {resealed(func(a *Artefact) { a.Linear.Scale[0] = 0 }), ErrMalformed},
		"no model":       {resealed(func(a *Artefact) { a.Linear = nil }), ErrMalformed},
		"two links":      {resealed(func(a *Artefact) { a.Platt, a.Isotonic = &Platt{}, &Isotonic{} }), ErrMalformed},
		"falling":        {resealed(func(a *Artefact) { a.Isotonic = &Isotonic{X: []float64{0, 1}, Y: []float64{1, 0}} }), ErrMalformed},
		"no name":        {resealed(func(a *Artefact) { a.Name = "" }), ErrMalformed},
	} {
		if _, err := Open(c.file, features); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
