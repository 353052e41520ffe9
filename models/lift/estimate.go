package lift

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// ErrTooFew says that the data hold too few units, or no variation, for the estimate asked for.
var ErrTooFew = errors.New("too few units")

// Estimate is a difference with its uncertainty. [Low, High] holds the truth at the
// confidence that was asked for; P is two-sided, against no difference.
type Estimate struct {
	Value, SE, Low, High, P float64
	// DF are the degrees of freedom of Student's t; 0 means that the normal distribution was used.
	DF float64
}

// normal is an estimate with a normal error.
func normal(value, se, confidence float64) (Estimate, error) {
	return estimate(value, se, confidence, 0, distuv.UnitNormal)
}

// student is an estimate whose error's scale was itself estimated with df degrees of freedom.
func student(value, se, df, confidence float64) (Estimate, error) {
	if df < 1 {
		return Estimate{}, ErrTooFew
	}
	return estimate(value, se, confidence, df, distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df})
}

type distribution interface {
	Quantile(p float64) float64
	CDF(x float64) float64
}

func estimate(value, se, confidence, df float64, d distribution) (Estimate, error) {
	if !(se > 0) || math.IsInf(se, 0) || math.IsNaN(value) {
		return Estimate{}, ErrTooFew
	}
	q := d.Quantile((1 + confidence) / 2)
	return Estimate{
		Value: value, SE: se, Low: value - q*se, High: value + q*se,
		P: 2 * d.CDF(-math.Abs(value/se)), DF: df,
	}, nil
}

// Covers says whether the interval holds truth.
func (e Estimate) Covers(truth float64) bool { return e.Low <= truth && truth <= e.High }

// Exp turns an estimate of a difference of logarithms into one of a relative change,
// e^value − 1. SE stays that of the logarithm.
func (e Estimate) Exp() Estimate {
	e.Value, e.Low, e.High = math.Expm1(e.Value), math.Expm1(e.Low), math.Expm1(e.High)
	return e
}
