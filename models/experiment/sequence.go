package experiment

import "math"

// BurnIn is the number of conversions that every arm needs before an effect is looked at (DOMAIN 6): the test is
// asymptotic, and with no conversion the plug-in variance is 0.
const BurnIn = 100

// Sample is what is known of one arm's outcome.
type Sample struct {
	// N is the number of units.
	N float64
	// Mean and Variance are of one unit's outcome.
	Mean, Variance float64
}

// Proportion is the sample of n units, of which hits had the outcome.
func Proportion(hits, n uint64) Sample {
	if n == 0 {
		return Sample{}
	}
	p := float64(hits) / float64(n)
	return Sample{N: float64(n), Mean: p, Variance: p * (1 - p)}
}

// Difference is b's mean less a's, and the variance of that (Welch's: arms need not be of one size or
// spread). The variance is NaN when an arm is empty.
func Difference(a, b Sample) (delta, variance float64) {
	if a.N == 0 || b.N == 0 {
		return 0, math.NaN()
	}
	return b.Mean - a.Mean, a.Variance/a.N + b.Variance/b.N
}

// Evidence is ln Λ, the logarithm of the mixture likelihood ratio of a normal prior of standard
// deviation tau around null against null itself. It is 0, no evidence, where the variance is not positive.
func Evidence(delta, variance, null, tau float64) float64 {
	if !(variance > 0) || !(tau > 0) {
		return 0
	}
	t := tau * tau
	return 0.5*math.Log(variance/(variance+t)) + t*(delta-null)*(delta-null)/(2*variance*(variance+t))
}

// Interval is the confidence sequence at one look: over all looks together the intervals miss
// the true difference with probability alpha at most. It is (−1, 1), all that a difference of rates can be, where the variance is not positive.
func Interval(delta, variance, tau, alpha float64) (low, high float64) {
	if !(variance > 0) || !(tau > 0) {
		return -1, 1
	}
	t := tau * tau
	h := math.Sqrt(variance * (variance + t) / t * (2*math.Log(1/alpha) + math.Log((variance+t)/variance)))
	return delta - h, delta + h
}

// Sequence is one comparison under continuous watching: p_n = min(p_{n−1}, 1/Λ_n), p_0 = 1. Reject when
// P ≤ α, at any look. The zero value has not looked yet.
//
// What conversion by now means changes while a drop runs, since the last to come have had the least time; so the running minimum is
// kept of the p-value, whose hypothesis is no difference at any time, and not of the intervals, each of which is
// about the rates as of its look.
type Sequence struct {
	// Greatest is the greatest ln Λ so far, at least 0.
	Greatest float64
	// Looks so far.
	Looks uint64
}

// Look takes in a difference as it is now.
func (s *Sequence) Look(delta, variance, tau float64) {
	s.Looks++
	s.Greatest = max(s.Greatest, Evidence(delta, variance, 0, tau))
}

// P is the always-valid p-value.
func (s Sequence) P() float64 { return math.Exp(-s.Greatest) }
