package churn

import (
	"math"

	"github.com/droplift/droplift/models/scoring"
)

// A feature is replaced by its logarithm from a skewness of minSkew on, where that takes at least lessSkew of it away: counts,
// money and waiting times, whose largest values would otherwise decide the fit. Two values stay as skewed as they are.
const (
	minSkew  = 1
	lessSkew = 0.1
)

// moments are weighted sums over the values of one feature that are there.
type moments struct{ n, mean, m2, m3 float64 }

// add is the one-pass update of the third central moment (Pébay 2008), with weights.
func (m *moments) add(x, w float64) {
	if w == 0 {
		return
	}
	before := m.n
	m.n += w
	delta := x - m.mean
	step := delta * w / m.n
	term := delta * step * before
	m.m3 += term*delta*(before-w)/m.n - 3*step*m.m2
	m.m2 += term
	m.mean += step
}

// skewness is 0 where nothing varies.
func (m *moments) skewness() float64 {
	if !m.varies() {
		return 0
	}
	return math.Sqrt(m.n) * m.m3 / math.Pow(m.m2, 1.5)
}

// varies leaves out what is the same up to rounding.
func (m *moments) varies() bool { return m.n > 0 && m.m2/m.n > 1e-20*m.mean*m.mean }

// Standardise makes a linear model of weight 0 that knows how features are prepared: logarithms where marks says so
// (nil: where the skewness is over 1 and falls by it), mean 0 and deviation 1 over d, and missing ones at the mean, where only
// their own weight speaks for them. A feature that does not vary has scale 1.
func Standardise(d Data, marks []bool) *scoring.Linear {
	n := len(d.Names)
	l := &scoring.Linear{
		Weights: make([]float64, n), Mean: make([]float64, n), Scale: make([]float64, n), Impute: make([]float64, n),
		Missing: make([]float64, n), Log: make([]bool, n),
	}
	plain, logged := make([]moments, n), make([]moments, n)
	for i, x := range d.X {
		w := d.weight(i)
		for j, v := range x {
			if v != v {
				continue
			}
			plain[j].add(v, w)
			if marks == nil || marks[j] {
				logged[j].add(scoring.Logarithm(v), w)
			}
		}
	}
	for j := range n {
		m := &plain[j]
		if marks == nil {
			skew := math.Abs(m.skewness())
			l.Log[j] = skew > minSkew && math.Abs(logged[j].skewness()) < (1-lessSkew)*skew
		} else {
			l.Log[j] = marks[j]
		}
		if l.Log[j] {
			m = &logged[j]
		}
		l.Mean[j], l.Impute[j], l.Scale[j] = m.mean, m.mean, 1
		if l.Log[j] {
			l.Impute[j] = math.Copysign(math.Expm1(math.Abs(m.mean)), m.mean)
		}
		if m.varies() {
			l.Scale[j] = math.Sqrt(m.m2 / m.n)
		}
	}
	return l
}

// Prepare writes what the weights of l are about: dst[j] is feature j in deviations, 0 where it is missing, and dst[n+j] is 1
// where it is missing. dst holds 2n values and is overwritten.
func Prepare(l *scoring.Linear, x, dst []float64) {
	n := len(l.Weights)
	for j, v := range x {
		dst[j], dst[n+j] = 0, 0
		if v != v {
			dst[n+j] = 1
			continue
		}
		if len(l.Log) > 0 && l.Log[j] {
			v = scoring.Logarithm(v)
		}
		dst[j] = (v - l.Mean[j]) / l.Scale[j]
	}
}

// Raw is the score of x before link and calibration, in the order of l's weights: what scoring computes, from what it exports.
func Raw(l *scoring.Linear, x []float64) float64 {
	z := l.Bias
	for j, v := range x {
		if v != v && len(l.Missing) > 0 {
			z += l.Missing[j]
		}
		z += l.Contribution(j, v)
	}
	return z
}
