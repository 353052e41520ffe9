package lift

import "math"

// Stratum holds the purchasers and the others who were alike before, by coarsened traits.
type Stratum struct {
	Treated, Control Proportion
}

// MatchedEstimate is an adjusted difference and how much of the treated it speaks for.
type MatchedEstimate struct {
	Estimate
	// Treated and Control are the units in strata that hold both sides; Strata is the number of those.
	Treated, Control float64
	Strata           int
	// Share of all treated units that found a match.
	Share float64
	// TreatedRate and ControlRate are weighted to the matched treated.
	TreatedRate, ControlRate float64
}

// minCell is the number of units a side of a stratum needs for its variance to be estimated.
const minCell = 2

// CoarsenedExact averages the strata's differences, weighted to the treated. Strata
// without two units on either side are left out and count against Share. The variance
// treats the strata as given: var = Σ w²·(r_t(1−r_t)/(n_t−1) + r_c(1−r_c)/(n_c−1)).
func CoarsenedExact(strata []Stratum, confidence float64) (MatchedEstimate, error) {
	var m MatchedEstimate
	all := 0.0
	for _, s := range strata {
		all += s.Treated.N
		if s.Treated.N >= minCell && s.Control.N >= minCell {
			m.Treated += s.Treated.N
			m.Control += s.Control.N
			m.Strata++
		}
	}
	if m.Strata == 0 {
		return m, ErrTooFew
	}
	v := 0.0
	for _, s := range strata {
		if s.Treated.N < minCell || s.Control.N < minCell {
			continue
		}
		w := s.Treated.N / m.Treated
		m.TreatedRate += w * s.Treated.Rate()
		m.ControlRate += w * s.Control.Rate()
		v += w * w * (s.Treated.variance()*s.Treated.N/(s.Treated.N-1) + s.Control.variance()*s.Control.N/(s.Control.N-1))
	}
	m.Share = m.Treated / all
	var err error
	m.Estimate, err = normal(m.TreatedRate-m.ControlRate, math.Sqrt(v), confidence)
	return m, err
}

// Balance is the standardised difference of a rate that was measured before: above
// about 0.1 the groups were not alike. 0 where neither varies.
func Balance(treated, control Proportion) float64 {
	a, b := treated.Rate(), control.Rate()
	spread := math.Sqrt((a*(1-a) + b*(1-b)) / 2)
	if spread == 0 {
		return 0
	}
	return (a - b) / spread
}
