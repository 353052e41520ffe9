package experiment

import "math"

// Posterior is the Beta distribution of a rate: Beta(1 + hits, 1 + misses), from a uniform prior.
type Posterior struct{ alpha, beta uint64 }

// PosteriorOf is the posterior after n units, of which hits had the outcome.
func PosteriorOf(hits, n uint64) Posterior { return Posterior{1 + hits, 1 + n - hits} }

// Mean of the rate.
func (p Posterior) Mean() float64 { return float64(p.alpha) / float64(p.alpha+p.beta) }

// Exceeds is P(q > p), exactly (DOMAIN 6): Σ_{i<α_q} B(α_p+i, β_p+β_q) / ((β_q+i) B(1+i, β_q) B(α_p, β_p)).
func (p Posterior) Exceeds(q Posterior) float64 {
	// The ratio of a term to the one before it is (α_p+i)(β_q+i) / ((α_p+β_p+β_q+i)(1+i)), which falls through 1 once: the
	// terms are summed outward from the greatest, in units of it, as far as they matter.
	a, b, c := float64(p.alpha), float64(q.beta), float64(p.alpha+p.beta+q.beta)
	ratio := func(i float64) float64 { return (a + i) * (b + i) / ((c + i) * (1 + i)) }
	last := float64(q.alpha - 1)
	// ratio(i) ≥ 1 as long as i (c+1−a−b) ≤ ab − c.
	top := 0.0
	if slope := c + 1 - a - b; slope > 0 {
		top = min(last, max(0, math.Floor((a*b-c)/slope)+1))
	}
	sum := 1.0
	for i, term := top, 1.0; i < last; i++ {
		term *= ratio(i)
		sum += term
		if term < sum*1e-18 {
			break
		}
	}
	for i, term := top, 1.0; i > 0; i-- {
		term /= ratio(i - 1)
		sum += term
		if term < sum*1e-18 {
			break
		}
	}
	log := logBeta(a+top, float64(p.beta+q.beta)) - math.Log(b+top) - logBeta(1+top, b) - logBeta(a, float64(p.beta))
	return min(1, math.Exp(log)*sum)
}

// Loss is E[max(p − q, 0)]: what choosing q is expected to cost in rate, if p was the better one.
func (p Posterior) Loss(q Posterior) float64 {
	// E[p; p > q] − E[q; p > q]; weighting a Beta by its own value counts α up by one.
	more := func(r Posterior) Posterior { return Posterior{r.alpha + 1, r.beta} }
	return max(0, p.Mean()*q.Exceeds(more(p))-q.Mean()*more(q).Exceeds(p))
}

func logBeta(a, b float64) float64 { return lgamma(a) + lgamma(b) - lgamma(a+b) }
