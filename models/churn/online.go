package churn

import (
	"fmt"

	"github.com/droplift/droplift/models/scoring"
)

// Online is a churn model that learns row by row: FTRL over features prepared as a batch model prepares them, so that what it
// has learned is a scoring.Linear at any time. Its state is Base and FTRL, both JSON.
type Online struct {
	// Base prepares the features: its means, scales, logarithms and imputed values. Its weights are where learning began.
	Base *scoring.Linear `json:"base"`
	// FTRL has the features in deviations, whether they are missing, and the bias: 2n+1 of them.
	FTRL *FTRL `json:"ftrl"`

	x []float64 // scratch
}

// NewOnline starts from the weights of base. The learner's f has 2n+1 features for the n of base, see NewFTRL; it is
// the caller's no more.
func NewOnline(base *scoring.Linear, f *FTRL) (*Online, error) {
	o := &Online{Base: base, FTRL: f}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	start := append(append([]float64{}, base.Weights...), make([]float64, len(base.Weights)+1)...)
	for i := range base.Weights {
		// Where base lets a missing value stand at one that is not the mean, that speaks for it too.
		start[len(base.Weights)+i] = base.Contribution(i, base.Impute[i])
		if len(base.Missing) > 0 {
			start[len(base.Weights)+i] += base.Missing[i]
		}
	}
	start[len(start)-1] = base.Bias
	f.Start(start)
	return o, nil
}

// Validate says whether o, which may come from storage, can be used.
func (o *Online) Validate() error {
	if o.Base == nil || o.FTRL == nil {
		return fmt.Errorf("%w: an online model without base or learner", ErrShape)
	}
	n := len(o.Base.Weights)
	if len(o.Base.Mean) != n || len(o.Base.Scale) != n || len(o.Base.Impute) != n || len(o.Base.Log) != 0 && len(o.Base.Log) != n || len(o.Base.Missing) != 0 && len(o.Base.Missing) != n {
		return fmt.Errorf("%w: the base has %d weights and lists of other lengths", ErrShape, n)
	}
	if len(o.FTRL.N) != 2*n+1 {
		return fmt.Errorf("%w: a learner of %d features for a base of %d needs %d", ErrShape, len(o.FTRL.N), n, 2*n+1)
	}
	return o.FTRL.Validate()
}

// Update learns that x, in the order of the base, had the outcome y, and returns the probability from before. NaN is missing:
// a caller refuses it first where the feature cannot be (feature.Set.Check). A row that is refused changes nothing.
func (o *Online) Update(x []float64, y, weight float64) (float64, error) {
	if err := o.prepare(x); err != nil {
		return 0, err
	}
	return o.FTRL.Update(o.x, y, weight)
}

// Predict is the probability for x.
func (o *Online) Predict(x []float64) (float64, error) {
	if err := o.prepare(x); err != nil {
		return 0, err
	}
	return o.FTRL.Predict(o.x)
}

func (o *Online) prepare(x []float64) error {
	n := len(o.Base.Weights)
	if len(x) != n {
		return fmt.Errorf("%w: %d values for %d features", ErrShape, len(x), n)
	}
	if len(o.x) != 2*n+1 {
		o.x = make([]float64, 2*n+1)
		o.x[2*n] = 1
	}
	Prepare(o.Base, x, o.x)
	return nil
}

// Linear is the model as it is now, a copy.
func (o *Online) Linear() *scoring.Linear {
	n := len(o.Base.Weights)
	l := *o.Base
	l.Weights, l.Missing = make([]float64, n), make([]float64, n)
	for i := range n {
		l.Weights[i], l.Missing[i] = o.FTRL.Weight(i), o.FTRL.Weight(n+i)
		// The scorer adds the imputed value's part, which the learner has in the weight.
		l.Missing[i] -= l.Contribution(i, l.Impute[i])
	}
	l.Bias = o.FTRL.Weight(2 * n)
	return &l
}
