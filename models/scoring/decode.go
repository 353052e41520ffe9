package scoring

import (
	"errors"
	"fmt"
	"math"
)

// ErrRow is a row that is no array of the model's features.
var ErrRow = errors.New("scoring: not a row of the model's features")

// ReadRow reads a JSON array of numbers into x, whose length it must have; null is a missing one, NaN.
func ReadRow(text []byte, x []float64) error {
	r, n := reader{data: text}, 0
	r.list(func() {
		v := math.NaN()
		if !r.word("null") {
			v = r.number()
		}
		if n < len(x) {
			x[n] = v
		}
		n++
	})
	r.end()
	if r.err != nil {
		return fmt.Errorf("%w: %w", ErrRow, r.err)
	}
	if n != len(x) {
		return fmt.Errorf("%w: it has %d values, the model takes %d", ErrRow, n, len(x))
	}
	return nil
}

// artefact reads a file into an empty artefact. A test holds it against encoding/json, which writes it.
func (r *reader) artefact(a *Artefact) {
	r.fields([]field{
		{"format", &a.Format}, {"name", &a.Name}, {"version", &a.Version}, {"kind", &a.Kind},
		{"features", func() {
			c := &a.Features
			r.fields([]field{{"set", &c.Set}, {"version", &c.Version}, {"hash", &c.Hash}, {"names", &c.Names}})
		}},
		{"training", func() { r.training(&a.Training) }},
		{"metrics", optional(r, &a.Metrics, r.metrics)},
		{"linear", optional(r, &a.Linear, r.linear)},
		{"trees", optional(r, &a.Trees, r.trees)},
		{"platt", optional(r, &a.Platt, func(c *Platt) {
			r.fields([]field{{"a", &c.A}, {"b", &c.B}})
		})},
		{"isotonic", optional(r, &a.Isotonic, func(c *Isotonic) {
			r.fields([]field{{"x", &c.X}, {"y", &c.Y}})
		})},
		{"reference", objects(r, &a.Reference, func(f *Reference) {
			r.fields([]field{{"name", &f.Name}, {"edges", &f.Edges}, {"shares", &f.Shares}, {"missing", &f.Missing}})
		})},
		{"golden", objects(r, &a.Golden, func(g *Golden) {
			r.fields([]field{{"features", &g.Features}, {"raw", &g.Raw}, {"p", &g.P}})
		})},
		{"checksum", &a.Checksum},
	})
}

func (r *reader) training(t *Training) {
	r.fields([]field{
		{"from", &t.From}, {"to", &t.To}, {"test_from", &t.TestFrom}, {"test_to", &t.TestTo},
		{"embargo_ms", &t.EmbargoMS}, {"horizon_ms", &t.HorizonMS}, {"label", &t.Label}, {"rows", &t.Rows}, {"positives", &t.Positives},
		{"trainer", &t.Trainer}, {"seed", &t.Seed}, {"updates", &t.Updates},
	})
}

func (r *reader) metrics(m *Metrics) {
	r.fields([]field{
		{"rows", &m.Rows}, {"positives", &m.Positives}, {"auc", &m.AUC}, {"auc_se", &m.AUCSE}, {"log_loss", &m.LogLoss},
		{"base_log_loss", &m.BaseLogLoss}, {"brier", &m.Brier}, {"ece", &m.ECE}, {"bins", &m.Bins}, {"slope", &m.Slope}, {"intercept", &m.Intercept},
	})
}

func (r *reader) linear(l *Linear) {
	r.fields([]field{
		{"bias", &l.Bias}, {"weights", &l.Weights}, {"mean", &l.Mean}, {"scale", &l.Scale}, {"impute", &l.Impute}, {"missing", &l.Missing}, {"log", &l.Log},
	})
}

func (r *reader) trees(t *Trees) {
	r.fields([]field{
		{"base", &t.Base}, {"float32", &t.Float32}, {"decisions", &t.Decisions}, {"feature", &t.Feature}, {"value", &t.Value}, {"sets", &t.Sets},
	})
}

// optional reads an object that may be null.
func optional[T any](r *reader, into **T, read func(*T)) func() {
	return func() {
		if !r.word("null") {
			*into = new(T)
			read(*into)
		}
	}
}

func objects[T any](r *reader, into *[]T, read func(*T)) func() {
	return func() {
		r.list(func() {
			*into = append(*into, *new(T))
			read(&(*into)[len(*into)-1])
		})
	}
}
