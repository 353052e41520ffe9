package experiment

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// RatioAlarm is the p-value below which arm sizes are a sample ratio mismatch (DOMAIN 6).
const RatioAlarm = 0.001

// ChiSquare compares arm sizes with the shares that the split promises, at one
// look: the statistic, its degrees of freedom and the p-value. Shares need not sum to 1. Without
// units, or with fewer than two arms, there is nothing to see and p is 1. A unit in an arm
// of share 0 has p 0.
func ChiSquare(observed []uint64, shares []float64) (chi2 float64, df int, p float64) {
	n, total := sums(observed, shares)
	if n == 0 || len(observed) < 2 {
		return 0, max(0, len(observed)-1), 1
	}
	arms := 0
	for i, o := range observed {
		expected := n * shares[i] / total
		if expected == 0 {
			if o > 0 {
				return math.Inf(1), len(observed) - 1, 0
			}
			continue
		}
		arms++
		chi2 += (float64(o) - expected) * (float64(o) - expected) / expected
	}
	if arms < 2 {
		return 0, 0, 1
	}
	return chi2, arms - 1, distuv.ChiSquared{K: float64(arms - 1)}.Survival(chi2)
}

func sums(observed []uint64, shares []float64) (n, total float64) {
	for _, o := range observed {
		n += float64(o)
	}
	for _, s := range shares {
		total += s
	}
	return n, total
}

// ratioConcentration is the weight of the Dirichlet mixture around the promised shares, as in the authors'
// reference implementation: splits that are a percent off are found soonest.
const ratioConcentration = 10_000

// RatioSequence watches arm sizes, at as many looks as one likes (Lindon, Malek): the Bayes factor of a Dirichlet mixture
// around the promised shares against these shares is a martingale of mean 1 when they hold, so that the least of its
// inverses so far is a p-value at any time. The zero value has not looked yet.
type RatioSequence struct {
	// Evidence is the greatest logarithm of the Bayes factor so far, at least 0.
	Evidence float64
}

// Look takes in the arm sizes as they are now. Shares need not sum to 1.
func (s *RatioSequence) Look(observed []uint64, shares []float64) {
	s.Evidence = max(s.Evidence, ratioEvidence(observed, shares))
}

// P is the always-valid p-value.
func (s RatioSequence) P() float64 { return math.Exp(-s.Evidence) }

func ratioEvidence(observed []uint64, shares []float64) float64 {
	n, total := sums(observed, shares)
	if n == 0 {
		return 0
	}
	log := lgamma(ratioConcentration) - lgamma(ratioConcentration+n)
	for i, o := range observed {
		share := shares[i] / total
		switch {
		case share > 0:
			a := ratioConcentration * share
			log += lgamma(a+float64(o)) - lgamma(a) - float64(o)*math.Log(share)
		case o > 0:
			return math.Inf(1) // who should not exist does
		}
	}
	return log
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
