package ltv

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// History is what a customer did since the first purchase: X repeat purchases (those of one day are one), the last of
// them Recency after the first purchase (0 without one), and Age, the time from the first purchase to now. Both in one unit, weeks as published.
type History struct {
	X            int
	Recency, Age float64
}

// Validate returns ErrBadHistory.
func (h History) Validate() error {
	switch {
	case h.X < 0:
		return fmt.Errorf("%w: %d repeat purchases", ErrBadHistory, h.X)
	case !(h.Age >= 0) || math.IsInf(h.Age, 1):
		return fmt.Errorf("%w: age %v", ErrBadHistory, h.Age)
	case !(h.Recency >= 0) || h.Recency > h.Age:
		return fmt.Errorf("%w: the last purchase at %v is outside of 0 to the age, %v", ErrBadHistory, h.Recency, h.Age)
	case (h.X == 0) != (h.Recency == 0):
		return fmt.Errorf("%w: %d repeat purchases, the last at %v", ErrBadHistory, h.X, h.Recency)
	}
	return nil
}

// BGNBD is the model of purchases at any time: rates are gamma(R, Alpha), Alpha in the histories' unit of time, and the chance
// to leave after a purchase is beta(A, B). All are positive; methods of a model with others return NaN.
type BGNBD struct {
	R, Alpha, A, B float64
}

// Valid says whether all parameters are positive numbers.
func (m BGNBD) Valid() bool { return positive(m.R, m.Alpha, m.A, m.B) }

// LogLikelihood of one customer (DOMAIN 3.2).
func (m BGNBD) LogLikelihood(h History) float64 {
	if !m.Valid() {
		return math.NaN()
	}
	x := float64(h.X)
	shared := lgamma(m.R+x) - lgamma(m.R) + m.R*math.Log(m.Alpha) + mathext.Lbeta(m.A, m.B+x) - mathext.Lbeta(m.A, m.B)
	alive, left := m.branches(h)
	return shared + logAdd(alive, left)
}

// branches are the logarithms of the two ways to a history, without what they share: still alive, and left at the last purchase.
// The second follows from B(a+1, b+x−1) = B(a, b+x)·a/(b+x−1).
func (m BGNBD) branches(h History) (alive, left float64) {
	x := float64(h.X)
	alive = -(m.R + x) * math.Log(m.Alpha+h.Age)
	if h.X == 0 {
		return alive, math.Inf(-1)
	}
	return alive, math.Log(m.A) - math.Log(m.B+x-1) - (m.R+x)*math.Log(m.Alpha+h.Recency)
}

// Alive is the probability that the customer has not left. It is 1 for everybody who never bought again, as a
// customer of this model can only leave at a repeat purchase: that is no sign of activity and must not be shown as one.
func (m BGNBD) Alive(h History) float64 {
	if !m.Valid() {
		return math.NaN()
	}
	alive, left := m.branches(h)
	return 1 / (1 + math.Exp(left-alive))
}

// Expected is E[X(t)]: the repeat purchases that somebody new makes in time t.
func (m BGNBD) Expected(t float64) float64 { return m.Next(History{}, t) }

// farHorizon is how many times (Alpha + age) a horizon may be: beyond it the series takes too many terms.
const farHorizon = 1e5

// Next is E[Y(t) | x, t_x, T]: the purchases that the customer makes in the time t from now. It is NaN for a negative t, and for
// one above 100,000 times Alpha plus the age.
//
// With z = t/(α+T+t), ε = a−1, C = a+b+x−1 and s = a+b−1−r, Euler's transformation of the ₂F₁ in DOMAIN 3.2 gives
//
//	E[Y] = C·(1 − (1−z)^ε·₂F₁(s, ε; C; z)) / ε / D
//
// which cannot overflow, as its prefactor cancels ((α+T)/(α+T+t))^(r+x). Taking the first term out of the series, and C and
// ε into it, leaves no division by what may be 0: neither a = 1 nor a + b + x = 1 is singular here.
//
//	E[Y] = (−C·expm1(ε·ln(1−z))/ε − (1−z)^ε·Σ_{k≥1} (s)_k (a)_{k−1} / ((C+1)_{k−1} k!) z^k) / D
func (m BGNBD) Next(h History, t float64) float64 {
	if !m.Valid() || !(t >= 0) || t > farHorizon*(m.Alpha+h.Age) {
		return math.NaN()
	}
	x := float64(h.X)
	z := t / (m.Alpha + h.Age + t)
	logRest := -math.Log1p(t / (m.Alpha + h.Age)) // ln(1−z)
	e, c, s := m.A-1, m.A+m.B+x-1, m.A+m.B-1-m.R
	series, term := 0.0, s*z
	for k := 1.0; ; k++ {
		series += term
		ratio := (s + k) * (m.A + k - 1) / ((c + k) * (k + 1)) * z
		// Once the ratio stays below one, what is left is a geometric series at most.
		if r := max(math.Abs(ratio), z); term == 0 || r < 1 && k > math.Abs(s) && math.Abs(term)*r/(1-r) < 1e-16*math.Abs(series) {
			break
		}
		term *= ratio
	}
	grown := -logRest
	if e != 0 {
		grown = -math.Expm1(e*logRest) / e
	}
	return (c*grown - math.Exp(e*logRest)*series) * m.Alive(h)
}

// FitBGNBD finds the parameters of largest likelihood. Errors: ErrTooFew, ErrNoRepeats, ErrNoExposure, ErrBadHistory
// with the index of the history, ErrNotConverged.
func FitBGNBD(histories []History, o Options) (BGNBD, Quality, error) {
	repeats, longest := 0, 0.0
	for i, h := range histories {
		if err := h.Validate(); err != nil {
			return BGNBD{}, Quality{}, fmt.Errorf("history %d: %w", i, err)
		}
		repeats += h.X
		longest = max(longest, h.Age)
	}
	switch {
	case len(histories) < 2:
		return BGNBD{}, Quality{}, ErrTooFew
	case longest == 0:
		return BGNBD{}, Quality{}, ErrNoExposure
	case repeats == 0:
		return BGNBD{}, Quality{}, ErrNoRepeats
	}
	groups := groupHistories(histories, longest)
	p, q, err := maximise(groups.mean, len(histories), [][]float64{{1, 1, 1, 1}, {.3, .1, .8, 2.5}, {2, .5, .3, 3}}, o)
	if err != nil {
		return BGNBD{}, q, err
	}
	m := BGNBD{R: p[0], Alpha: p[1] * longest, A: p[2], B: p[3]}
	for _, h := range histories {
		q.LogLikelihood += m.LogLikelihood(h)
	}
	return m, q, nil
}

// historyGroups are histories by x, in units of the longest age, equal ones counted: gamma functions are then needed once per x,
// and logarithms once per history.
type historyGroups struct {
	customers float64
	byX       []historyGroup
}

type historyGroup struct {
	x, customers float64
	histories    []countedHistory
}

type countedHistory struct {
	recency, age, count float64
}

func groupHistories(histories []History, unit float64) *historyGroups {
	sorted := slices.Clone(histories)
	slices.SortFunc(sorted, func(a, b History) int {
		return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Recency, b.Recency), cmp.Compare(a.Age, b.Age))
	})
	g := &historyGroups{customers: float64(len(histories))}
	for i, h := range sorted {
		if i == 0 || sorted[i-1].X != h.X {
			g.byX = append(g.byX, historyGroup{x: float64(h.X)})
		}
		group := &g.byX[len(g.byX)-1]
		group.customers++
		if n := len(group.histories); n > 0 && i > 0 && sorted[i-1] == h {
			group.histories[n-1].count++
			continue
		}
		group.histories = append(group.histories, countedHistory{recency: h.Recency / unit, age: h.Age / unit, count: 1})
	}
	return g
}

// mean is the objective: parameters are r, α, a, b.
func (g *historyGroups) mean(parameters, gradient []float64) float64 {
	r, alpha, a, b := parameters[0], parameters[1], parameters[2], parameters[3]
	logAlpha, logA := math.Log(alpha), math.Log(a)
	gammaR, digammaR := lgamma(r), mathext.Digamma(r)
	betaAB, digammaAB, digammaB := mathext.Lbeta(a, b), mathext.Digamma(a+b), mathext.Digamma(b)
	sum, dR, dAlpha, dA, dB := 0.0, 0.0, 0.0, 0.0, 0.0
	for i := range g.byX {
		group := &g.byX[i]
		x, n := group.x, group.customers
		sum += n * (lgamma(r+x) - gammaR + r*logAlpha + mathext.Lbeta(a, b+x) - betaAB)
		digammaABX := mathext.Digamma(a + b + x)
		dR += n * (mathext.Digamma(r+x) - digammaR + logAlpha)
		dAlpha += n * r / alpha
		dA += n * (digammaAB - digammaABX)
		dB += n * (mathext.Digamma(b+x) - digammaABX - digammaB + digammaAB)
		leave := logA - math.Log(b+x-1)
		for j := range group.histories {
			h := &group.histories[j]
			logAge := math.Log(alpha + h.age)
			alive := -(r + x) * logAge
			if x == 0 {
				sum += h.count * alive
				dR -= h.count * logAge
				dAlpha -= h.count * r / (alpha + h.age)
				continue
			}
			logRecency := math.Log(alpha + h.recency)
			left := leave - (r+x)*logRecency
			w := 1 / (1 + math.Exp(alive-left)) // the share of having left
			sum += h.count * logAdd(alive, left)
			dR -= h.count * ((1-w)*logAge + w*logRecency)
			dAlpha -= h.count * (r + x) * ((1-w)/(alpha+h.age) + w/(alpha+h.recency))
			dA += h.count * w / a
			dB -= h.count * w / (b + x - 1)
		}
	}
	gradient[0], gradient[1], gradient[2], gradient[3] = dR/g.customers, dAlpha/g.customers, dA/g.customers, dB/g.customers
	return sum / g.customers
}
