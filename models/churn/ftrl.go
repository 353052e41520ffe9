package churn

import (
	"fmt"
	"math"

	"github.com/droplift/droplift/models/scoring"
)

// FTRL is logistic regression by FTRL-proximal (DOMAIN 1.4; McMahan et al., KDD'13), which learns from one row at a time.
// It has no bias of its own: where one is wanted, a feature is always 1. N and Z are its whole state, to be
// stored together with what was learned from; weights follow from them.
type FTRL struct {
	// Alpha and Beta set the learning rate, L1 and L2 the regularisation.
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	L1    float64 `json:"l1"`
	L2    float64 `json:"l2"`
	// N and Z are per feature.
	N []float64 `json:"n"`
	Z []float64 `json:"z"`

	w []float64 // scratch
}

// largest is the value from which squares would overflow the state.
const largest = 1e100

// NewFTRL makes a model of n features that has learned nothing.
func NewFTRL(n int, alpha, beta, l1, l2 float64) (*FTRL, error) {
	f := &FTRL{Alpha: alpha, Beta: beta, L1: l1, L2: l2, N: make([]float64, n), Z: make([]float64, n)}
	return f, f.Validate()
}

// Validate says whether f, which may come from storage, can be used.
func (f *FTRL) Validate() error {
	if !(f.Alpha > 0) || !(f.Beta >= 0) || !(f.L1 >= 0) || !(f.L2 >= 0) || !(f.Beta+f.L2 > 0) {
		return fmt.Errorf("churn: FTRL with α %v, β %v, λ1 %v, λ2 %v: α must be positive, the others not negative, and β or λ2 positive", f.Alpha, f.Beta, f.L1, f.L2)
	}
	if len(f.N) == 0 || len(f.N) != len(f.Z) {
		return fmt.Errorf("%w: %d sums and %d gradients", ErrShape, len(f.N), len(f.Z))
	}
	for i := range f.N {
		if !(f.N[i] >= 0) || math.IsInf(f.N[i], 0) || f.Z[i]-f.Z[i] != 0 {
			return fmt.Errorf("%w: the state of feature %d is %v and %v", ErrNotFinite, i, f.N[i], f.Z[i])
		}
	}
	return nil
}

// Weight of feature i.
func (f *FTRL) Weight(i int) float64 {
	z := f.Z[i]
	if math.Abs(z) <= f.L1 {
		return 0
	}
	return -(z - math.Copysign(f.L1, z)) / ((f.Beta+math.Sqrt(f.N[i]))/f.Alpha + f.L2)
}

// Start sets the weights of a model that has learned nothing, so that it goes on where another one stopped.
func (f *FTRL) Start(weights []float64) {
	for i, w := range weights {
		f.N[i], f.Z[i] = 0, 0
		if w != 0 {
			f.Z[i] = -w*(f.Beta/f.Alpha+f.L2) - math.Copysign(f.L1, w)
		}
	}
}

// Predict is the probability for x, which holds one finite value per feature.
func (f *FTRL) Predict(x []float64) (float64, error) {
	z, err := f.logit(x)
	return scoring.Sigmoid(z), err
}

// logit leaves the weights in f.w.
func (f *FTRL) logit(x []float64) (float64, error) {
	if len(x) != len(f.N) {
		return 0, fmt.Errorf("%w: %d values for %d features", ErrShape, len(x), len(f.N))
	}
	if len(f.w) != len(f.N) {
		f.w = make([]float64, len(f.N))
	}
	sum := 0.0
	for i, v := range x {
		if !(math.Abs(v) <= largest) {
			return 0, fmt.Errorf("%w: feature %d is %v", ErrNotFinite, i, v)
		}
		if v == 0 {
			continue
		}
		f.w[i] = f.Weight(i)
		sum += f.w[i] * v
	}
	return sum, nil
}

// Update learns that x had the outcome y (0 or 1), and returns the probability from before. weight is 1, or 1/r for a row that was
// kept with probability r. A row that is refused changes nothing.
func (f *FTRL) Update(x []float64, y, weight float64) (float64, error) {
	if y != 0 && y != 1 {
		return 0, fmt.Errorf("%w: %v", ErrLabel, y)
	}
	if !(weight > 0) || math.IsInf(weight, 0) {
		return 0, fmt.Errorf("%w: the weight is %v", ErrNotFinite, weight)
	}
	logit, err := f.logit(x)
	if err != nil {
		return 0, err
	}
	p := scoring.Sigmoid(logit)
	for i, v := range x {
		if v == 0 {
			continue
		}
		g := weight * (p - y) * v
		n := f.N[i] + g*g
		f.Z[i] += g - (math.Sqrt(n)-math.Sqrt(f.N[i]))/f.Alpha*f.w[i]
		f.N[i] = n
	}
	return p, nil
}

// Undersampled corrects a probability q of a model that was trained on all positives and a share r of the negatives, unweighted.
func Undersampled(q, r float64) float64 { return q / (q + (1-q)/r) }
