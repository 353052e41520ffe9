package offer

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Arm is one thing that can be done: an offer, or nothing. Margin is what a conversion leaves, in minor units.
type Arm struct {
	Rate   Beta
	Margin int64
}

// Probabilities are those with which Thompson sampling takes each arm: P(arm's sampled rate × margin is the greatest).
// They are integrated, not sampled, on a grid common to all arms, and sum to 1: an error below 1e-3 against
// the continuous integral, and none in what is logged, because Pick draws from exactly these numbers. Appends to dst.
// Four arms take a millisecond: the result depends on beliefs and margins alone, so keep it.
func Probabilities(arms []Arm, dst []float64) []float64 {
	first := len(dst)
	grid := valueGrid(arms)
	// below[a·n+j] is P(value of a ≤ grid[j]).
	n := len(grid)
	below := make([]float64, len(arms)*n)
	for a, arm := range arms {
		for j, v := range grid {
			below[a*n+j] = arm.below(v)
		}
	}
	sum := 0.0
	for a := range arms {
		p := 0.0
		for j := 1; j < n; j++ {
			mass := below[a*n+j] - below[a*n+j-1]
			if mass <= 0 {
				continue
			}
			for b := range arms {
				if b != a {
					mass *= (below[b*n+j-1] + below[b*n+j]) / 2
				}
			}
			p += mass
		}
		dst = append(dst, p)
		sum += p
	}
	for a := range arms {
		dst[first+a] /= sum
	}
	return dst
}

// below is P(rate·margin ≤ v).
func (a Arm) below(v float64) float64 {
	if v < 0 {
		return 0
	}
	if a.Margin <= 0 || v >= float64(a.Margin) {
		return 1
	}
	return mathext.RegIncBeta(a.Rate.A, a.Rate.B, v/float64(a.Margin))
}

// gridSteps are points per arm between mean ± gridReach standard deviations, and as many up to the greatest value.
const (
	gridSteps = 64
	gridReach = 8
)

// valueGrid is where the arms' values are compared: dense where any arm's mass lies. It begins below every value.
func valueGrid(arms []Arm) []float64 {
	top := 1.0
	for _, a := range arms {
		top = max(top, float64(a.Margin))
	}
	grid := make([]float64, 0, (len(arms)+1)*(gridSteps+1)+2)
	// The first step holds what lies at 0: the arms that earn nothing.
	grid = append(grid, -1, 0)
	for i := 1; i <= gridSteps; i++ {
		grid = append(grid, top*float64(i)/gridSteps)
	}
	for _, a := range arms {
		if a.Margin <= 0 {
			continue
		}
		n := a.Rate.A + a.Rate.B
		m := float64(a.Margin)
		mean, sd := m*a.Rate.Mean(), m*math.Sqrt(a.Rate.A*a.Rate.B/(n*n*(n+1)))
		for i := 0; i <= gridSteps; i++ {
			if v := mean + sd*gridReach*(2*float64(i)/gridSteps-1); v > 0 && v < top {
				grid = append(grid, v)
			}
		}
	}
	slices.Sort(grid)
	return slices.Compact(grid)
}

// Arms are the ways to treat a player of a score band: nothing first, then the offers, in order. Nothing earns
// the full margin, on average over the offered items, at the rate of those who were eligible and got nothing: nobody
// knows which of the items such a player would have bought.
func Arms(offers []Offer, rates *Rates, band int, dst []Arm) []Arm {
	full := int64(0)
	for i := range offers {
		full += offers[i].Full() / int64(len(offers))
	}
	dst = append(dst, Arm{rates.Rate("", band), full})
	for i := range offers {
		dst = append(dst, Arm{rates.Rate(offers[i].Name, band), offers[i].Margin()})
	}
	return dst
}

// Pick draws an arm: the one into whose part of [0, 1) u falls, the parts being as long as p.
func Pick(p []float64, u float64) int {
	for i, share := range p {
		if u < share {
			return i
		}
		u -= share
	}
	// Rounding left a sliver above the last part.
	for i := len(p) - 1; i > 0; i-- {
		if p[i] > 0 {
			return i
		}
	}
	return 0
}
