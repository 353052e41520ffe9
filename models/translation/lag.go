// Package translation measures how far a simultaneous translation runs behind
// its source: Average Lagging and its length-adaptive form, as SimulEval computes them (DOMAIN 7.2).
package translation

import "errors"

// Segment is one translated segment. Times are in milliseconds from the segment's start.
type Segment struct {
	// Delays say, for every emitted token in order, how much of the source had passed when it was emitted. By the
	// audio clock that is how much had been heard; by the wall clock computing counts too.
	Delays []float64
	// SourceMS is the length of the source, |X|.
	SourceMS float64
	// Reference is the number of tokens of the reference translation, |Y|; 0 when there is none.
	Reference int
}

// Lag is a segment's lagging in ms.
type Lag struct {
	// AL divides the source's length among the reference's tokens; LAAL among the longer one's of reference and
	// translation, so that saying more than needed is not rewarded.
	AL, LAAL float64
	// NoReference says that the translation's own length stood in for the reference's: AL then equals LAAL.
	NoReference bool
}

// ErrNoTokens and ErrNoSource are segments that have no lag.
var (
	ErrNoTokens = errors.New("translation: a segment without a token has no lag")
	ErrNoSource = errors.New("translation: the source's length is not positive")
)

// Lagging computes both.
//
//	AL = 1/τ · Σ_{i=1..τ} (d_i − (i−1)·|X|/|Y|),  τ = the first i with d_i ≥ |X|, or all of them
//
// A segment whose first token comes after all of the source has lag d_1.
func (s Segment) Lagging() (Lag, error) {
	if len(s.Delays) == 0 {
		return Lag{}, ErrNoTokens
	}
	if !(s.SourceMS > 0) {
		return Lag{}, ErrNoSource
	}
	lag := Lag{NoReference: s.Reference <= 0}
	reference := s.Reference
	if lag.NoReference {
		reference = len(s.Delays)
	}
	lag.AL = s.average(reference)
	lag.LAAL = s.average(max(reference, len(s.Delays)))
	return lag, nil
}

func (s Segment) average(tokens int) float64 {
	if s.Delays[0] > s.SourceMS {
		return s.Delays[0]
	}
	step := s.SourceMS / float64(tokens)
	sum, n := 0.0, 0
	for i, d := range s.Delays {
		sum += d - float64(i)*step
		n++
		if d >= s.SourceMS {
			break
		}
	}
	return sum / float64(n)
}
