package churn

import (
	"cmp"
	"fmt"
	"math"

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

// FTRLConfig says how to learn row by row. Zero values mean the documented defaults.
type FTRLConfig struct {
	// Alpha (default .05), Beta (default 1), L1 (default 0) and L2 (default 1) are FTRL's; negative for 0.
	Alpha, Beta, L1, L2 float64
}

// WithDefaults fills in the defaults.
func (c FTRLConfig) WithDefaults() FTRLConfig {
	for _, d := range []struct {
		value     *float64
		otherwise float64
	}{{&c.Alpha, .05}, {&c.Beta, 1}, {&c.L1, 0}, {&c.L2, 1}} {
		*d.value = max(0, cmp.Or(*d.value, d.otherwise))
	}
	return c
}

// fit learns from the rows in their order, starting from the base rate; the report's log loss is that of each row before
// it was learned from.
func (c FTRLConfig) fit(train Data, cfg FitConfig) (*scoring.Linear, FitReport, error) {
	report := FitReport{Rows: len(train.Y)}
	if err := train.check(); err != nil {
		return nil, report, err
	}
	if cfg.Log != nil && len(cfg.Log) != len(train.Names) {
		return nil, report, fmt.Errorf("%w: %d marks for %d features", ErrShape, len(cfg.Log), len(train.Names))
	}
	c = c.WithDefaults()
	f, err := NewFTRL(2*len(train.Names)+1, c.Alpha, c.Beta, c.L1, c.L2)
	if err != nil {
		return nil, report, err
	}
	for _, y := range train.Y {
		report.Positives += int(y)
	}
	base := Standardise(train, cfg.Log)
	base.Bias = math.Log(float64(report.Positives)) - math.Log(float64(report.Rows-report.Positives))
	o, err := NewOnline(base, f)
	if err != nil {
		return nil, report, err
	}
	for i, x := range train.X {
		p, err := o.Update(x, train.Y[i], 1)
		if err != nil {
			return nil, report, fmt.Errorf("%w (row %d)", err, i)
		}
		report.LogLoss += LogLoss(p, train.Y[i]) / float64(len(train.Y))
	}
	return o.Linear(), report, nil
}
