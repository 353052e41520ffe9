package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/trees"
)

// most is how large each flavour may be, in bytes.
const most = 3_000_000

// TestNode scores the golden rows of every sort of model with both flavours in Node, as Go scores them.
func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		embeddedtest.Missing(t, "node", "node is not installed")
	}
	dir := build(t)
	scratch := t.TempDir()
	for name, file := range map[string][]byte{
		"platt": linear(t, func(a *scoring.Artefact) { a.Platt = &scoring.Platt{A: -1.2, B: 0.3} }),
		"isotonic": linear(t, func(a *scoring.Artefact) {
			a.Isotonic = &scoring.Isotonic{X: []float64{0.1, 0.3, 0.5, 0.8}, Y: []float64{0.05, 0.25, 0.6, 0.9}}
		}),
		"lightgbm": ensemble(t, "lightgbm"),
		"xgboost":  ensemble(t, "xgboost"),
	} {
		artefact := filepath.Join(scratch, name+".json")
		write(t, artefact, file)
		s, err := scoring.Open(file, feature.Player)
		if err != nil {
			t.Fatal(err)
		}
		for _, flavour := range []string{"js", "wasip1"} {
			t.Run(name+"/"+flavour, func(t *testing.T) {
				out, complaint, err := run(t, node, filepath.Join(dir, "score.mjs"), flavour, dir, artefact)
				if err != nil {
					t.Fatalf("%v\n%s", err, complaint)
				}
				same(t, s, out)
			})
		}
	}
	good, bad := filepath.Join(scratch, "platt.json"), filepath.Join(scratch, "bad.json")
	sealed, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write(t, bad, bytes.Replace(sealed, []byte("churn-test"), []byte("churn-best"), 1))
	for _, flavour := range []string{"js", "wasip1"} {
		if _, complaint, err := run(t, node, filepath.Join(dir, "score.mjs"), flavour, dir, bad); err == nil || !strings.Contains(complaint, "changed after it was sealed") {
			t.Errorf("%s scores with a tampered artefact: %v, %s", flavour, err, complaint)
		}
	}
	if _, complaint, err := run(t, node, filepath.Join("testdata", "refusals.mjs"), dir, good, bad); err != nil {
		t.Errorf("%v\n%s", err, complaint)
	}
}

// build makes both flavours as the Makefile does, and weighs them.
func build(t *testing.T) string {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "make", "--directory", filepath.Join("..", ".."), "wasm", "EDGE="+dir).CombinedOutput(); err != nil {
		t.Fatalf("make wasm: %v\n%s", err, out)
	}
	for _, flavour := range []string{"js", "wasip1"} {
		info, err := os.Stat(filepath.Join(dir, flavour+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s.wasm: %d bytes", flavour, info.Size())
		if info.Size() > most {
			t.Errorf("%s.wasm is larger than %d bytes", flavour, most)
		}
	}
	return dir
}

func run(t *testing.T, name string, args ...string) (out, complaint string, err error) {
	command := exec.CommandContext(t.Context(), name, args...)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	return stdout.String(), stderr.String(), err
}

// same compares scores line by line with Go's. Raw scores are the same bits; the probability may differ in its last
// ones, because Go computes exp in assembly on some machines.
func same(t *testing.T, s *scoring.Scorer, out string) {
	golden := s.Artefact().Golden
	row := make([]float64, s.Inputs())
	n, exact := 0, 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); n++ {
		var got struct{ Raw, P *float64 }
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.Raw == nil || got.P == nil || n >= len(golden) {
			t.Fatalf("line %d: %s (%v)", n, lines.Text(), err)
		}
		for i, v := range golden[n].Features {
			row[i] = math.NaN()
			if v != nil {
				row[i] = *v
			}
		}
		raw, p := s.Row(row)
		if *got.Raw != raw || !(math.Abs(*got.P-p) <= 1e-12) {
			t.Fatalf("row %d: %v and %v, in Go %v and %v", n, *got.Raw, *got.P, raw, p)
		}
		if *got.P == p {
			exact++
		}
	}
	if n != len(golden) {
		t.Fatalf("%d of %d rows were scored", n, len(golden))
	}
	t.Logf("%d raw scores bit for bit, %d probabilities", n, exact)
}

// linear is a model of all of a player's features, with golden rows by the formula of scoring.Linear.
func linear(t *testing.T, calibrate func(*scoring.Artefact)) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	names := feature.Player.Names()
	l := &scoring.Linear{Bias: -0.3}
	for range names {
		l.Weights = append(l.Weights, rng.NormFloat64()/4)
		l.Mean = append(l.Mean, rng.Float64())
		l.Scale = append(l.Scale, 0.5+rng.Float64())
		l.Impute = append(l.Impute, rng.Float64())
		l.Missing = append(l.Missing, rng.NormFloat64()/4)
		l.Log = append(l.Log, rng.IntN(2) == 0)
	}
	a := artefact("logistic", names)
	a.Linear = l
	calibrate(a)
	for range 200 {
		g := scoring.Golden{Raw: l.Bias}
		for i := range names {
			v := rng.ExpFloat64() * 5
			if rng.IntN(6) == 0 {
				g.Features = append(g.Features, nil)
				g.Raw += l.Missing[i]
				v = l.Impute[i]
			} else {
				given := v
				g.Features = append(g.Features, &given)
			}
			if l.Log[i] {
				v = math.Log1p(v)
			}
			g.Raw += l.Weights[i] * (v - l.Mean[i]) / l.Scale[i]
		}
		g.P = 1 / (1 + math.Exp(-g.Raw))
		if a.Platt != nil {
			g.P = 1 / (1 + math.Exp(a.Platt.A*g.Raw+a.Platt.B))
		}
		if a.Isotonic != nil {
			p := g.P
			g.P = a.Isotonic.Y[0]
			for i, x := range a.Isotonic.X {
				if x <= p {
					g.P = a.Isotonic.Y[i]
				}
			}
		}
		a.Golden = append(a.Golden, g)
	}
	return seal(t, a)
}

// ensemble is a model of a real trainer, with some of a player's features in the place of its letters.
func ensemble(t *testing.T, name string) []byte {
	path := filepath.Join("..", "..", "models", "trees", "testdata", "golden", name)
	file, err := os.ReadFile(path + ".model")
	if err != nil {
		t.Fatal(err)
	}
	renamed := map[string]string{}
	for i, ours := range feature.Player.Names()[:8] {
		renamed[fmt.Sprintf("f%d", i)] = ours
	}
	m, err := trees.Import(file, feature.Player, renamed)
	if err != nil {
		t.Fatal(err)
	}
	a := artefact(m.Kind, m.Names)
	a.Trees = m.Trees
	rows, err := os.ReadFile(path + ".rows")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(rows) {
		var g scoring.Golden
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		a.Golden = append(a.Golden, g)
	}
	return seal(t, a)
}

func artefact(kind string, names []string) *scoring.Artefact {
	return &scoring.Artefact{Name: "churn", Version: "churn-test", Kind: kind,
		Features: scoring.Contract{Set: feature.Player.Name, Version: feature.Player.Version, Hash: feature.Player.Hash(), Names: names}}
}

func seal(t *testing.T, a *scoring.Artefact) []byte {
	file, err := scoring.Seal(a, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func write(t *testing.T, path string, data []byte) {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
