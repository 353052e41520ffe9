package ltv

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
)

// Spending is the mean spend of a customer over X repeat purchases, in one currency.
type Spending struct {
	X    int
	Mean float64
}

// Validate returns ErrBadSpend or ErrBadHistory.
func (s Spending) Validate() error {
	switch {
	case s.X < 0:
		return fmt.Errorf("%w: %d repeat purchases", ErrBadHistory, s.X)
	case !(s.Mean >= 0) || math.IsInf(s.Mean, 1):
		return fmt.Errorf("%w: a mean of %v", ErrBadSpend, s.Mean)
	}
	return nil
}

// usable says whether the model can speak of it: it knows neither customers without a repeat nor spends of 0.
func (s Spending) usable() bool { return s.X > 0 && s.Mean > 0 }

// GammaGamma is the model of spend per purchase (DOMAIN 3.3): purchases of one customer are gamma(P, ν), and ν is gamma(Q, Gamma) over
// customers, Gamma in the unit of spend. All are positive.
type GammaGamma struct {
	P, Q, Gamma float64
}

// Valid says whether all parameters are positive numbers.
func (m GammaGamma) Valid() bool { return positive(m.P, m.Q, m.Gamma) }

// LogLikelihood of one customer's mean spend; NaN where X or the mean is not positive.
func (m GammaGamma) LogLikelihood(s Spending) float64 {
	if !m.Valid() || !s.usable() {
		return math.NaN()
	}
	x := float64(s.X)
	return lgamma(m.P*x+m.Q) - lgamma(m.P*x) - lgamma(m.Q) + m.Q*math.Log(m.Gamma) +
		(m.P*x-1)*math.Log(s.Mean) + m.P*x*math.Log(x) - (m.P*x+m.Q)*math.Log(x*s.Mean+m.Gamma)
}

// Population is the mean spend over customers; false without one, which is when Q ≤ 1.
func (m GammaGamma) Population() (float64, bool) {
	if !m.Valid() || m.Q <= 1 {
		return math.NaN(), false
	}
	return m.P * m.Gamma / (m.Q - 1), true
}

// Expected is E[M | m, x]: what the customer spends per purchase; without a repeat that is the population's mean. NaN where there is
// none: Q + P·x ≤ 1.
func (m GammaGamma) Expected(s Spending) float64 {
	x := float64(s.X)
	if !m.Valid() || m.P*x+m.Q <= 1 {
		return math.NaN()
	}
	return m.P * (m.Gamma + x*s.Mean) / (m.P*x + m.Q - 1)
}

// FitGammaGamma finds the parameters of largest likelihood over those who bought again at a positive mean;
// Quality.Customers says how many they are. Errors: ErrBadSpend and ErrBadHistory with the index, ErrNoRepeats, ErrTooFew, ErrNotConverged.
func FitGammaGamma(spendings []Spending, o Options) (GammaGamma, Quality, error) {
	var groups spendGroups
	scale := 0.0
	for i, s := range spendings {
		if err := s.Validate(); err != nil {
			return GammaGamma{}, Quality{}, fmt.Errorf("spending %d: %w", i, err)
		}
		if s.usable() {
			groups = append(groups, s)
			scale += s.Mean
		}
	}
	switch len(groups) {
	case 0:
		return GammaGamma{}, Quality{}, ErrNoRepeats
	case 1:
		return GammaGamma{}, Quality{}, ErrTooFew
	}
	// Spends in units of their mean keep the three parameters of one size.
	scale /= float64(len(groups))
	for i := range groups {
		groups[i].Mean /= scale
	}
	p, q, err := maximise(groups.mean, len(groups), [][]float64{{2, 3, 1}, {6, 4, .5}, {1, 10, 5}}, o)
	if err != nil {
		return GammaGamma{}, q, err
	}
	m := GammaGamma{P: p[0], Q: p[1], Gamma: p[2] * scale}
	for _, s := range groups {
		q.LogLikelihood += m.LogLikelihood(Spending{X: s.X, Mean: s.Mean * scale})
	}
	return m, q, nil
}

// Correlation is Pearson's, of frequency and mean spend over those whom the model would use. The model takes them as independent:
// beyond about 0.1 to 0.2 either way its predictions are biased. ErrTooFew without variation in both.
func Correlation(spendings []Spending) (float64, error) {
	var x, mean []float64
	for _, s := range spendings {
		if s.usable() {
			x, mean = append(x, float64(s.X)), append(mean, s.Mean)
		}
	}
	if len(x) < 2 || stat.Variance(x, nil) == 0 || stat.Variance(mean, nil) == 0 {
		return 0, ErrTooFew
	}
	return stat.Correlation(x, mean, nil), nil
}

// spendGroups are usable spendings.
type spendGroups []Spending

// mean is the objective: parameters are p, q, γ.
func (g spendGroups) mean(parameters, gradient []float64) float64 {
	p, q, gamma := parameters[0], parameters[1], parameters[2]
	m := GammaGamma{P: p, Q: q, Gamma: gamma}
	digammaQ, logGamma := mathext.Digamma(q), math.Log(gamma)
	sum, dP, dQ, dGamma := 0.0, 0.0, 0.0, 0.0
	for _, s := range g {
		x := float64(s.X)
		digamma, total := mathext.Digamma(p*x+q), math.Log(x*s.Mean+gamma)
		sum += m.LogLikelihood(s)
		dP += x * (digamma - mathext.Digamma(p*x) + math.Log(s.Mean) + math.Log(x) - total)
		dQ += digamma - digammaQ + logGamma - total
		dGamma += q/gamma - (p*x+q)/(x*s.Mean+gamma)
	}
	n := float64(len(g))
	gradient[0], gradient[1], gradient[2] = dP/n, dQ/n, dGamma/n
	return sum / n
}
