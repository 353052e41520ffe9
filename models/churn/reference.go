package churn

import (
	"slices"

	"github.com/droplift/droplift/models/scoring"
)

// References are the distributions of every feature of train, for drift: up to bins bins with the same number of rows, fewer
// where values repeat. Shares and Missing are of all rows and add up to 1. Weights do not count: drift is about
// vectors, not about what was learned from them.
func References(train Data, bins int) []scoring.Reference {
	references := make([]scoring.Reference, len(train.Names))
	values := make([]float64, 0, len(train.X))
	for j, name := range train.Names {
		values = values[:0]
		for _, x := range train.X {
			if v := x[j]; v == v {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		r := scoring.Reference{Name: name, Edges: []float64{}, Missing: 1 - share(len(values), len(train.X))}
		for b := 1; b < bins && len(values) > 0; b++ {
			edge := values[(b*len(values)-1)/bins]
			if n := len(r.Edges); n == 0 || edge > r.Edges[n-1] {
				r.Edges = append(r.Edges, edge)
			}
		}
		before := 0
		for _, edge := range r.Edges {
			at, _ := slices.BinarySearchFunc(values, edge, func(v, edge float64) int {
				if v <= edge {
					return -1
				}
				return 1
			})
			r.Shares = append(r.Shares, share(at-before, len(train.X)))
			before = at
		}
		r.Shares = append(r.Shares, share(len(values)-before, len(train.X)))
		references[j] = r
	}
	return references
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
