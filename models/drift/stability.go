// Package drift says whether a model still meets the world it was trained on: the
// population stability of each feature, vectors that were logged against the same
// ones recomputed, and the calibration of scores over time. It is pure maths over
// counts that can be added up. Every number comes with what chance alone would
// make of it, so that few rows raise no alarm.
package drift

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/droplift/droplift/models/scoring"
)

// Major is the PSI from which a population counts as another one: the convention of credit scoring, .1 to .25 being moderate.
const Major = 0.25

// ErrShape is counts that do not belong to a reference.
var ErrShape = errors.New("drift: counts and reference have different bins")

// Counts are the values of one feature in the bins of its reference. They add up.
type Counts struct {
	Bins    []uint64
	Missing uint64
}

// NewCounts are zero for r.
func NewCounts(r *scoring.Reference) *Counts { return &Counts{Bins: make([]uint64, len(r.Edges)+1)} }

// Add counts one value of r's feature; NaN is missing.
func (c *Counts) Add(r *scoring.Reference, v float64) {
	if v != v {
		c.Missing++
		return
	}
	// The first edge at or above v ends its bin.
	bin, _ := slices.BinarySearch(r.Edges, v)
	c.Bins[bin]++
}

// Merge adds o.
func (c *Counts) Merge(o *Counts) {
	for i, n := range o.Bins {
		c.Bins[i] += n
	}
	c.Missing += o.Missing
}

// N is the number of values, missing ones included.
func (c *Counts) N() uint64 {
	n := c.Missing
	for _, b := range c.Bins {
		n += b
	}
	return n
}

// Stability is one feature's population stability index against training.
type Stability struct {
	Name string
	N    uint64
	// PSI is Σ (a−e)·ln(a/e) over the bins and, where either side has any, the missing ones.
	PSI float64
	// Noise is the PSI that a population without any drift stays below with the asked confidence, at these numbers of rows.
	Noise float64
	// Worst is the bin that adds most, −1 for the missing ones.
	Worst int
	// Alarm says that PSI is at least the threshold and above Noise.
	Alarm bool
}

// Test says when a PSI is an alarm. Zero values mean the documented defaults.
type Test struct {
	// Threshold of the PSI (default Major).
	Threshold float64
	// Confidence that none of Features features (default 1) without drift is above its noise (default 0.99).
	Confidence float64
	Features   int
}

// PSI compares counts with a reference that was made of rows rows. Half a row is added to every bin on both sides, so that
// empty ones have a logarithm. Noise follows from PSI ~ (1/n+1/rows)·χ² with one degree of freedom less than bins (Yurdakul
// 2018), at a level that is divided among the features.
func (t Test) PSI(r *scoring.Reference, rows int, c *Counts) (Stability, error) {
	if len(c.Bins) != len(r.Edges)+1 || len(r.Shares) != len(c.Bins) || rows < 1 {
		return Stability{}, fmt.Errorf("%w: %s has %d bins made of %d rows, the counts are %d", ErrShape, r.Name, len(r.Shares), rows, len(c.Bins))
	}
	threshold, confidence, features := t.Threshold, t.Confidence, max(t.Features, 1)
	if threshold == 0 {
		threshold = Major
	}
	if confidence == 0 {
		confidence = 0.99
	}
	s := Stability{Name: r.Name, N: c.N()}
	if s.N == 0 {
		return s, nil
	}
	type bin struct {
		number           int
		expected, actual float64 // rows
	}
	bins := make([]bin, 0, len(c.Bins)+1)
	for i, n := range c.Bins {
		bins = append(bins, bin{i, r.Shares[i] * float64(rows), float64(n)})
	}
	bins = append(bins, bin{-1, r.Missing * float64(rows), float64(c.Missing)})
	// A bin that neither side has ever used says nothing and is no degree of freedom.
	bins = slices.DeleteFunc(bins, func(b bin) bool { return b.expected < 0.5 && b.actual == 0 })
	if len(bins) < 2 {
		return s, nil
	}
	const half = 0.5
	expected, actual, worst := float64(rows)+half*float64(len(bins)), float64(s.N)+half*float64(len(bins)), 0.0
	for _, b := range bins {
		e, a := (b.expected+half)/expected, (b.actual+half)/actual
		part := (a - e) * math.Log(a/e)
		s.PSI += part
		if part > worst {
			worst, s.Worst = part, b.number
		}
	}
	chi := distuv.ChiSquared{K: float64(len(bins) - 1)}
	s.Noise = (1/float64(s.N) + 1/float64(rows)) * chi.Quantile(1-(1-confidence)/float64(features))
	s.Alarm = s.PSI >= threshold && s.PSI > s.Noise
	return s, nil
}
