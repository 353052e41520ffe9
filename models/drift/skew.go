package drift

import (
	"fmt"
	"math"

	"github.com/droplift/droplift/models/stats"
)

// Skew compares vectors that were logged when they were scored with the same ones recomputed from history: the difference
// between what a model is served and what it is trained on. It adds up row by row.
type Skew struct {
	// Absolute and Relative are how far two values may lie apart: Absolute + Relative·max(|a|, |b|).
	Absolute, Relative float64

	names     []string
	rows      uint64
	differing uint64
	features  []featureSkew
}

type featureSkew struct {
	differing uint64
	worst     float64
}

// NewSkew compares vectors of the named features. Tolerances are not negative; values that pass through float64 unchanged need none.
func NewSkew(names []string, absolute, relative float64) *Skew {
	return &Skew{Absolute: absolute, Relative: relative, names: names, features: make([]featureSkew, len(names))}
}

// Add compares one row. NaN is missing, and differs from every value but itself.
func (s *Skew) Add(logged, recomputed []float64) error {
	if len(logged) != len(s.names) || len(recomputed) != len(s.names) {
		return fmt.Errorf("drift: vectors of %d and %d values for %d features", len(logged), len(recomputed), len(s.names))
	}
	s.rows++
	differs := false
	for i, a := range logged {
		b := recomputed[i]
		if a == b || a != a && b != b {
			continue
		}
		apart := math.Inf(1) // missing on one side
		if a == a && b == b {
			apart = math.Abs(a - b)
			if apart <= s.Absolute+s.Relative*max(math.Abs(a), math.Abs(b)) {
				continue
			}
		}
		differs = true
		f := &s.features[i]
		f.differing++
		f.worst = max(f.worst, apart)
	}
	if differs {
		s.differing++
	}
	return nil
}

// SkewReport is what came of the comparison.
type SkewReport struct {
	Rows, Differing uint64
	// Share of rows in which a feature differs, within its Wilson interval.
	Share, Low, High float64
	// Worst is the feature that differs in most rows, WorstShare in how many of them, Apart by how much at most: +Inf where it
	// is missing on one side only. Empty where nothing differs.
	Worst      string
	WorstShare float64
	Apart      float64
}

// Report sums up.
func (s *Skew) Report() SkewReport {
	r := SkewReport{Rows: s.rows, Differing: s.differing}
	r.Low, r.High = stats.Wilson(s.differing, s.rows, stats.Z95)
	if s.rows == 0 {
		return r
	}
	r.Share = float64(s.differing) / float64(s.rows)
	var most uint64
	for i, f := range s.features {
		if f.differing > most {
			most = f.differing
			r.Worst, r.WorstShare, r.Apart = s.names[i], float64(f.differing)/float64(s.rows), f.worst
		}
	}
	return r
}
