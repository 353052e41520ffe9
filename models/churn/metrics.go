package churn

import (
	"fmt"
	"math"
	"slices"

	"github.com/droplift/droplift/models/scoring"
)

// clip bounds probabilities in the log loss (DOMAIN 1.4).
const clip = 1e-6

// Evaluate judges probabilities p by what came of them, y (DOMAIN 1.5), with the ECE over bins of equal mass. AUC is −1 and
// its error 0 with one class; the slope is 0 where it is undefined: with one class, or a p that does not vary. BaseLogLoss is
// that of y's own base rate: a caller who knows the training set's replaces it (see BaseLogLoss).
func Evaluate(p, y []float64, bins int) (scoring.Metrics, error) {
	m := scoring.Metrics{Rows: len(y), AUC: -1, Bins: bins}
	if len(p) != len(y) {
		return m, fmt.Errorf("%w: %d probabilities, %d labels", ErrShape, len(p), len(y))
	}
	if len(y) == 0 || bins < 1 {
		return m, fmt.Errorf("%w: %d rows in %d bins", ErrTooFew, len(y), bins)
	}
	for i := range y {
		if !(p[i] >= 0 && p[i] <= 1) {
			return m, fmt.Errorf("%w: the probability of row %d is %v", ErrNotFinite, i, p[i])
		}
		if y[i] != 0 && y[i] != 1 {
			return m, fmt.Errorf("%w: %v in row %d", ErrLabel, y[i], i)
		}
		m.Positives += int(y[i])
		m.LogLoss += LogLoss(p[i], y[i])
		m.Brier += (p[i] - y[i]) * (p[i] - y[i])
	}
	n := float64(len(y))
	m.LogLoss /= n
	m.Brier /= n
	m.BaseLogLoss = BaseLogLoss(float64(m.Positives)/n, y)
	groups := tied(p, y)
	m.ECE = calibrationError(groups, len(y), bins)
	if m.Positives > 0 && m.Positives < m.Rows {
		m.AUC = auc(groups)
		m.AUCSE = aucError(m.AUC, float64(m.Positives), n-float64(m.Positives))
		m.Slope, m.Intercept = calibrationLine(p, y)
	}
	return m, nil
}

// LogLoss of one probability, clipped to [1e-6, 1−1e-6].
func LogLoss(p, y float64) float64 {
	p = max(clip, min(1-clip, p))
	return -y*math.Log(p) - (1-y)*math.Log1p(-p)
}

// BaseLogLoss is the mean log loss of saying rate for everyone.
func BaseLogLoss(rate float64, y []float64) float64 {
	sum := 0.0
	for _, v := range y {
		sum += LogLoss(rate, v)
	}
	return sum / float64(len(y))
}

// group is all rows of one probability.
type group struct{ p, rows, positives float64 }

// tied groups rows of the same probability, by rising probability: what follows cannot depend on their order.
func tied(p, y []float64) []group {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	var groups []group
	for _, i := range order {
		if n := len(groups); n == 0 || groups[n-1].p != p[i] {
			groups = append(groups, group{p: p[i]})
		}
		g := &groups[len(groups)-1]
		g.rows++
		g.positives += y[i]
	}
	return groups
}

// auc is (R₊ − n₊(n₊+1)/2)/(n₊n₋) with mid-ranks for ties.
func auc(groups []group) float64 {
	below, ranks, positives := 0.0, 0.0, 0.0
	for _, g := range groups {
		ranks += g.positives * (below + (g.rows+1)/2)
		below += g.rows
		positives += g.positives
	}
	return (ranks - positives*(positives+1)/2) / (positives * (below - positives))
}

// aucError is Hanley and McNeil's standard error.
func aucError(a, positives, negatives float64) float64 {
	q1, q2 := a/(2-a), 2*a*a/(1+a)
	return math.Sqrt(max(0, a*(1-a)+(positives-1)*(q1-a*a)+(negatives-1)*(q2-a*a)) / (positives * negatives))
}

// calibrationError is the ECE over bins of equal mass: bin b holds the rows from b·n/bins on. A group of ties that a bin's
// border cuts is shared out in proportion.
func calibrationError(groups []group, n, bins int) float64 {
	sum, at := 0.0, 0
	var used float64 // rows of groups[at] that are in a bin already
	for b := range bins {
		room := float64((b+1)*n/bins - b*n/bins)
		var predicted, observed float64
		for room > 0 {
			g := &groups[at]
			take := min(room, g.rows-used)
			predicted += take * g.p
			observed += take * g.positives / g.rows
			room -= take
			if used += take; used == g.rows {
				at, used = at+1, 0
			}
		}
		sum += math.Abs(observed - predicted)
	}
	return sum / float64(n)
}

// linePrior is the precision of a prior on the calibration line: it decides nothing that data decide and keeps the line finite
// where the probabilities separate the classes.
const linePrior = 1e-4

// calibrationLine is the logistic regression of y on logit(p), by Newton's method: 1 and 0 are perfect. A slope under 1
// says that the probabilities are too extreme. 0 and 0 where p does not vary.
func calibrationLine(p, y []float64) (slope, intercept float64) {
	x := make([]float64, len(p))
	var spread moments
	for i, v := range p {
		v = max(clip, min(1-clip, v))
		x[i] = math.Log(v) - math.Log1p(-v)
		spread.add(x[i], 1)
	}
	if !spread.varies() {
		return 0, 0
	}
	return newton(x, y, 1, 0)
}

// newton fits y = σ(a·x+b) with linePrior around the start, whose loss is convex: a step that goes too far is halved.
func newton(x, y []float64, a, b float64) (float64, float64) {
	a0, b0 := a, b
	loss := func(a, b float64) float64 {
		sum := linePrior / 2 * ((a-a0)*(a-a0) + (b-b0)*(b-b0))
		for i, v := range x {
			z := a*v + b
			sum += max(z, 0) - y[i]*z + math.Log1p(math.Exp(-math.Abs(z)))
		}
		return sum
	}
	before := loss(a, b)
	for range 100 {
		ga, gb := linePrior*(a-a0), linePrior*(b-b0)
		haa, hab, hbb := linePrior, 0.0, linePrior
		for i, v := range x {
			s := 1 / (1 + math.Exp(-(a*v + b)))
			r, w := s-y[i], s*(1-s)
			ga += r * v
			gb += r
			haa += w * v * v
			hab += w * v
			hbb += w
		}
		det := haa*hbb - hab*hab
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		scale, after := 1.0, 0.0
		for range 40 {
			if after = loss(a-scale*da, b-scale*db); after <= before {
				break
			}
			scale /= 2
		}
		if !(after <= before) {
			return a, b // rounding: nothing better is near
		}
		a, b, before = a-scale*da, b-scale*db, after
		if math.Abs(da) < 1e-10 && math.Abs(db) < 1e-10 {
			break
		}
	}
	return a, b
}
