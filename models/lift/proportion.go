package lift

import (
	"math"
)

// Proportion counts units and those with the outcome.
type Proportion struct {
	N, Hits float64
}

// Rate is Hits/N; NaN without units.
func (p Proportion) Rate() float64 { return p.Hits / p.N }

// variance is that of the rate.
func (p Proportion) variance() float64 {
	r := p.Rate()
	return r * (1 - r) / p.N
}

// Difference is treated − control in rates, on a scale of 1: the intention-to-treat
// effect where the two were dealt at random, a raw difference otherwise (DOMAIN 4.2).
func Difference(treated, control Proportion, confidence float64) (Estimate, error) {
	if treated.N < 1 || control.N < 1 {
		return Estimate{}, ErrTooFew
	}
	return normal(treated.Rate()-control.Rate(), math.Sqrt(treated.variance()+control.variance()), confidence)
}

// RiskRatio is treated/control in rates. Its interval is that of the logarithm, and SE
// is on that scale too.
func RiskRatio(treated, control Proportion, confidence float64) (Estimate, error) {
	if treated.Hits < 1 || control.Hits < 1 {
		return Estimate{}, ErrTooFew
	}
	e, err := normal(math.Log(treated.Rate()/control.Rate()),
		math.Sqrt((1-treated.Rate())/treated.Hits+(1-control.Rate())/control.Hits), confidence)
	if err != nil {
		return Estimate{}, err
	}
	e.Value, e.Low, e.High = math.Exp(e.Value), math.Exp(e.Low), math.Exp(e.High)
	return e, nil
}

// EValue is how strongly, as a risk ratio, a hidden trait would have to go with both
// purchase and outcome to explain rr away (VanderWeele and Ding 2017). Ratios below 1
// count as their inverse.
func EValue(rr float64) float64 {
	if rr < 1 {
		rr = 1 / rr
	}
	return rr + math.Sqrt(rr*(rr-1))
}

// EValueLimit is the E-value of the end of rr's interval that is nearer to 1; 1 where the interval holds it.
func EValueLimit(rr Estimate) float64 {
	switch {
	case rr.Low > 1:
		return EValue(rr.Low)
	case rr.High < 1:
		return EValue(rr.High)
	}
	return 1
}

// Offer is one arm of a randomised offer. Bought and Both count only what the offer
// made possible: in the holdout nobody can buy.
type Offer struct {
	Proportion
	// Bought is the number that bought, Both of those that bought and had the outcome.
	Bought, Both float64
}

// CACE is the effect per purchaser, ITT / purchase rate, on a scale of 1, with the
// delta method's standard error: the purchase rate is estimated too, and buyers'
// outcomes go with it (DOMAIN 4.2). It holds if the offer acts only through purchase.
func CACE(offered Offer, held Proportion, confidence float64) (Estimate, error) {
	if offered.N < 1 || held.N < 1 || offered.Bought < 1 {
		return Estimate{}, ErrTooFew
	}
	bought := offered.Bought / offered.N
	cace := (offered.Rate() - held.Rate()) / bought
	// The variance of outcome − cace·bought within the offered arm.
	r := offered.Rate()
	covariance := offered.Both/offered.N - r*bought
	v := (r*(1-r) + cace*cace*bought*(1-bought) - 2*cace*covariance) / offered.N
	return normal(cace, math.Sqrt(v+held.variance())/bought, confidence)
}

// SampleRatio is the p-value of Pearson's χ² test that counts arose from the planned
// shares (DOMAIN 6); 1 for fewer than two planned arms. A tiny one means that something besides chance decided who was seen.
func SampleRatio(counts, shares []float64) float64 {
	n, whole := 0.0, 0.0
	for i := range counts {
		n += counts[i]
		whole += shares[i]
	}
	chi2, df := 0.0, -1.0
	for i := range counts {
		if shares[i] <= 0 {
			continue
		}
		expected := n * shares[i] / whole
		chi2 += (counts[i] - expected) * (counts[i] - expected) / expected
		df++
	}
	if df < 1 || n == 0 {
		return 1
	}
	return chiSquared(chi2, df)
}
