package experiment

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Normal is the two-sided p-value of a difference in one look, by the normal distribution. It is 1 where the variance is not positive.
func Normal(delta, variance float64) float64 {
	if !(variance > 0) {
		return 1
	}
	return math.Erfc(math.Abs(delta) / math.Sqrt(2*variance))
}

// Welch is the two-sided p-value of the difference of two means in one look, by Student's distribution with
// Welch–Satterthwaite degrees of freedom. Variances are the unbiased ones. It is 1 where an arm has fewer than two units or nothing varies.
func Welch(a, b Sample) float64 {
	if a.N < 2 || b.N < 2 {
		return 1
	}
	delta, v := Difference(a, b)
	if !(v > 0) {
		return 1
	}
	va, vb := a.Variance/a.N, b.Variance/b.N
	df := v * v / (va*va/(a.N-1) + vb*vb/(b.N-1))
	return 2 * distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df}.Survival(math.Abs(delta)/math.Sqrt(v))
}
