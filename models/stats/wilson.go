// Package stats holds the small statistics that several models share. It is pure maths.
package stats

import "math"

// Z95 is the normal quantile of a two-sided 95 % interval.
const Z95 = 1.959963984540054

// Wilson is the score interval of a proportion of successes in n, at the normal quantile z (DOMAIN 0). Without
// observations it is [0, 1].
func Wilson(successes, n uint64, z float64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	count, p := float64(n), float64(successes)/float64(n)
	scale := 1 + z*z/count
	center := (p + z*z/(2*count)) / scale
	half := z / scale * math.Sqrt(p*(1-p)/count+z*z/(4*count*count))
	return max(0, center-half), min(1, center+half)
}
