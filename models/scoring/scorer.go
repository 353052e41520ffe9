package scoring

import (
	"errors"
	"fmt"
	"math"
)

// Scorer scores vectors of one feature set with one model. It allocates nothing and
// may be used by any number of goroutines: the scratch memory is the caller's.
type Scorer struct {
	artefact *Artefact
	at       []int // where each of the model's features stands in the set's vector
	model    interface{ raw(x []float64) float64 }
	link     func(raw float64) float64
}

// ErrNotFinite is a vector from which no finite score follows.
var ErrNotFinite = errors.New("scoring: the score is not a finite number")

func newScorer(a *Artefact, set Features) (*Scorer, error) {
	if a.Format < 1 || a.Name == "" || a.Version == "" || len(a.Features.Names) == 0 {
		return nil, fmt.Errorf("%w: format, name, version or feature names are absent", ErrMalformed)
	}
	if a.Features.Hash != set.Hash() {
		return nil, fmt.Errorf("%w: %s version %d with hash %.12s…, here the hash is %.12s…: train it again", ErrFeatures, a.Features.Set, a.Features.Version, a.Features.Hash, set.Hash())
	}
	at, err := set.Position(a.Features.Names)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFeatures, err)
	}
	s := &Scorer{artefact: a, at: at}
	switch {
	case (a.Linear == nil) == (a.Trees == nil):
		return nil, fmt.Errorf("%w: it must hold either a linear model or trees", ErrMalformed)
	case a.Linear != nil:
		if err = a.Linear.validate(len(at)); err == nil {
			s.model = a.Linear.compile()
		}
	default:
		s.model, err = a.Trees.compile(len(at))
	}
	if err == nil {
		s.link, err = calibration(a)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(a.Golden) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrGolden)
	}
	for i, g := range a.Golden {
		if len(g.Features) != len(at) {
			return nil, fmt.Errorf("%w: row %d has %d features, the model %d", ErrMalformed, i, len(g.Features), len(at))
		}
		x := make([]float64, len(at))
		for j, v := range g.Features {
			x[j] = math.NaN()
			if v != nil {
				x[j] = *v
			}
		}
		raw, p := s.Row(x)
		// Written so that a NaN on either side is a difference.
		if !(math.Abs(raw-g.Raw) <= 1e-6*max(1, math.Abs(g.Raw)) && math.Abs(p-g.P) <= 1e-6) {
			return nil, fmt.Errorf("%w: row %d gives %v and %v instead of %v and %v", ErrGolden, i, raw, p, g.Raw, g.P)
		}
	}
	return s, nil
}

// Artefact is what the scorer was opened from. Do not change it.
func (s *Scorer) Artefact() *Artefact { return s.artefact }

// Inputs is the number of features the model takes: the least length of scratch.
func (s *Scorer) Inputs() int { return len(s.at) }

// Score is the calibrated probability for a vector of the whole set (see feature.Set.Check). scratch holds at
// least Inputs values and is overwritten.
func (s *Scorer) Score(vector, scratch []float64) (float64, error) {
	raw, p := s.Raw(vector, scratch)
	if raw-raw != 0 || p-p != 0 {
		return 0, ErrNotFinite
	}
	return p, nil
}

// Raw is the score before link and calibration, and the probability.
func (s *Scorer) Raw(vector, scratch []float64) (raw, p float64) {
	x := scratch[:len(s.at)]
	for i, at := range s.at {
		x[i] = vector[at]
	}
	return s.Row(x)
}

// Row is Raw for the model's own features, in the order of its Contract.
func (s *Scorer) Row(x []float64) (raw, p float64) {
	raw = s.model.raw(x[:len(s.at)])
	return raw, s.link(raw)
}

// MaxLogit bounds w·x, so that no probability is exactly 0 or 1 (DOMAIN 1.4).
const MaxLogit = 35

// Sigmoid is 1/(1+exp(−z)) of z clipped to ±MaxLogit.
func Sigmoid(z float64) float64 {
	return 1 / (1 + math.Exp(-max(-MaxLogit, min(MaxLogit, z))))
}
