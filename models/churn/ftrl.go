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

	w, root []float64 // scratch: weights and √n of the row at hand
}

// largest bounds values and weights: their squares and what they add up to stay finite.
const largest = 1e70

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
func (f *FTRL) Weight(i int) float64 { return f.weight(f.Z[i], math.Sqrt(f.N[i])) }

// weight is −(z∓λ1)/((β+√n)/α+λ2), with one division.
func (f *FTRL) weight(z, root float64) float64 {
	switch {
	case z > f.L1:
		z -= f.L1
	case z < -f.L1:
		z += f.L1
	default:
		return 0
	}
	return -z * f.Alpha / (f.Beta + root + f.L2*f.Alpha)
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

// logit leaves the weights in f.w and the roots of n in f.root, where x is not 0.
func (f *FTRL) logit(x []float64) (float64, error) {
	if len(x) != len(f.N) || len(x) != len(f.Z) {
		return 0, fmt.Errorf("%w: %d values for %d features", ErrShape, len(x), len(f.N))
	}
	if len(f.w) != len(x) {
		f.w, f.root = make([]float64, len(x)), make([]float64, len(x))
	}
	// All of one length, which the compiler does not have to check again.
	n, z, w, root := f.N[:len(x)], f.Z[:len(x)], f.w[:len(x)], f.root[:len(x)]
	sum := 0.0
	for i, v := range x {
		if v == 0 {
			continue
		}
		if !(math.Abs(v) <= largest) {
			return 0, fmt.Errorf("%w: feature %d is %v", ErrNotFinite, i, v)
		}
		root[i] = math.Sqrt(n[i])
		w[i] = f.weight(z[i], root[i])
		sum += w[i] * v
	}
	return sum, nil
}

// Update learns that x had the outcome y (0 or 1), and returns the probability from before. weight is 1, or 1/r for a row that was
// kept with probability r. A row that is refused changes nothing.
func (f *FTRL) Update(x []float64, y, weight float64) (float64, error) {
	if y != 0 && y != 1 {
		return 0, fmt.Errorf("%w: %v", ErrLabel, y)
	}
	if !(weight > 0 && weight <= largest) {
		return 0, fmt.Errorf("%w: the weight is %v", ErrNotFinite, weight)
	}
	logit, err := f.logit(x)
	if err != nil {
		return 0, err
	}
	p := scoring.Sigmoid(logit)
	residual, rate := weight*(p-y), 1/f.Alpha
	n, z, w, root := f.N[:len(x)], f.Z[:len(x)], f.w[:len(x)], f.root[:len(x)]
	for i, v := range x {
		if v == 0 {
			continue
		}
		g := residual * v
		n[i] += g * g
		z[i] += g - (math.Sqrt(n[i])-root[i])*rate*w[i]
	}
	return p, nil
}

// Undersampled corrects a probability q of a model that was trained on all positives and a share r of the negatives, unweighted.
func Undersampled(q, r float64) float64 { return q / (q + (1-q)/r) }
