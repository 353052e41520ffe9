package scoring

import "fmt"

// Trees is a boosted ensemble as its trainer wrote it, in parallel arrays over all nodes: raw = Base + the sum of
// one leaf's value of every tree.
type Trees struct {
	Base float64 `json:"base"`
	// Roots are the first nodes of the trees.
	Roots []int32 `json:"roots"`
	// Feature of a node; −1 marks a leaf, whose value is Value; otherwise Value is the threshold.
	Feature []int32   `json:"feature"`
	Value   []float64 `json:"value"`
	// Left and Right are child nodes, 0 in leaves.
	Left  []int32 `json:"left"`
	Right []int32 `json:"right"`
}

func (t *Trees) validate(inputs int) error {
	n := len(t.Feature)
	if n == 0 || len(t.Value) != n || len(t.Left) != n || len(t.Right) != n || len(t.Roots) == 0 {
		return fmt.Errorf("trees have %d features, %d values, %d and %d children, %d roots", n, len(t.Value), len(t.Left), len(t.Right), len(t.Roots))
	}
	for _, root := range t.Roots {
		if root < 0 || int(root) >= n {
			return fmt.Errorf("tree root %d is no node", root)
		}
	}
	for i, f := range t.Feature {
		if f >= int32(inputs) || f < -1 {
			return fmt.Errorf("node %d splits on feature %d of %d", i, f, inputs)
		}
		// Children come behind their parent, so that no walk can go in circles.
		if f >= 0 && !(int(t.Left[i]) > i && int(t.Left[i]) < n && int(t.Right[i]) > i && int(t.Right[i]) < n) {
			return fmt.Errorf("node %d has the children %d and %d", i, t.Left[i], t.Right[i])
		}
	}
	return nil
}

func (t *Trees) raw(x []float64) float64 {
	z := t.Base
	for _, i := range t.Roots {
		for t.Feature[i] >= 0 {
			if x[t.Feature[i]] <= t.Value[i] {
				i = t.Left[i]
			} else {
				i = t.Right[i]
			}
		}
		z += t.Value[i]
	}
	return z
}
