package lift

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

func chiSquared(x, df float64) float64 { return distuv.ChiSquared{K: df}.Survival(x) }

// Moments are what a mean and its error need. Sum2 is the sum of squares.
type Moments struct {
	N, Sum, Sum2 float64
}

// Mean is Sum/N.
func (m Moments) Mean() float64 { return m.Sum / m.N }

// Variance is the unbiased one of a unit.
func (m Moments) Variance() float64 {
	return max(0, m.Sum2-m.Sum*m.Sum/m.N) / (m.N - 1)
}

// MomentsOf sums values.
func MomentsOf(values ...float64) Moments {
	m := Moments{N: float64(len(values))}
	for _, v := range values {
		m.Sum += v
		m.Sum2 += v * v
	}
	return m
}

// Group counts the same units before and after: with the outcome before, after, and in both windows.
type Group struct {
	N, Before, After, Both float64
}

// Change holds the moments of after − before per unit, each −1, 0 or 1.
func (g Group) Change() Moments {
	return Moments{N: g.N, Sum: g.After - g.Before, Sum2: g.After + g.Before - 2*g.Both}
}

// DID is the difference in differences of units seen before and after, from the
// changes of each: one pre and one post value per unit, which is what keeps serial
// correlation out of its error (DOMAIN 4.2). The effect is that on the treated.
func DID(treated, control Moments, confidence float64) (Estimate, error) {
	if treated.N < 2 || control.N < 2 {
		return Estimate{}, ErrTooFew
	}
	return normal(treated.Mean()-control.Mean(),
		math.Sqrt(treated.Variance()/treated.N+control.Variance()/control.N), confidence)
}

// DIDCrossSection is the difference in differences of four independent samples.
func DIDCrossSection(treatedBefore, treatedAfter, controlBefore, controlAfter Proportion, confidence float64) (Estimate, error) {
	v := 0.0
	for _, cell := range [...]Proportion{treatedBefore, treatedAfter, controlBefore, controlAfter} {
		if cell.N < 1 {
			return Estimate{}, ErrTooFew
		}
		v += cell.variance()
	}
	return normal(treatedAfter.Rate()-treatedBefore.Rate()-controlAfter.Rate()+controlBefore.Rate(), math.Sqrt(v), confidence)
}

// PreTrend is the placebo: the same differences between two windows that both lie
// before. Passed is false when it rejects at alpha, and then the estimate that rests on parallel trends must not be published.
func PreTrend(treated, control Moments, alpha float64) (placebo Estimate, passed bool, err error) {
	placebo, err = DID(treated, control, 1-alpha)
	return placebo, err == nil && placebo.P > alpha, err
}

// Counterfactual is a treated rate without the effect, and the effect relative to it.
func Counterfactual(rate, effect float64) (counterfactual, relative float64) {
	counterfactual = rate - effect
	return counterfactual, effect / counterfactual
}
