package experiment

import (
	"cmp"
	"slices"
)

// Holm adjusts p-values of one family for their number: rejecting those at or below α keeps the probability of
// any false rejection at or below α, whatever their dependence. Always-valid p-values stay always-valid.
// The order is that of p.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	running := 0.0
	for rank, i := range order {
		running = max(running, min(1, p[i]*float64(len(p)-rank)))
		adjusted[i] = running
	}
	return adjusted
}
