package scoring

import (
	"errors"
	"fmt"
)

// Trees is a boosted ensemble as its trainer wrote it: raw = Base + one leaf's value of every tree, added in order.
// The nodes of all trees stand one behind the other, each tree in preorder: a node, its left subtree, its right
// subtree. So the shape follows from which nodes are leaves, and no file can describe a walk in circles.
type Trees struct {
	Base float64 `json:"base"`
	// Float32 says that the trainer (XGBoost) rounds features, thresholds and every partial sum to float32, and goes left
	// on x < threshold; otherwise (LightGBM) all is float64, and it goes left on x ≤ threshold.
	Float32 bool `json:"float32,omitempty"`
	// Decisions has one letter for each node, see Leaf and its neighbours.
	Decisions string `json:"decisions"`
	// Feature that a node asks for, −1 in leaves.
	Feature []int32 `json:"feature"`
	// Value of a leaf, threshold of a split, or the index in Sets of a split by category.
	Value []float64 `json:"value"`
	// Sets are bit sets of categories: category c is bit c%32 of word c/32.
	Sets [][]uint32 `json:"sets,omitempty"`
}

// The letters of Trees.Decisions: how a node goes on from a value x of its feature.
const (
	Leaf = '.'
	// MissingLeft and MissingRight compare x with the threshold; a missing one goes left or right.
	MissingLeft  = 'l'
	MissingRight = 'r'
	// ZeroLeft and ZeroRight do so with zero as missing too (LightGBM's missing type Zero).
	ZeroLeft  = 'L'
	ZeroRight = 'R'
	// Category goes left when x is in the set, right otherwise and when it is missing; CategoryMissingLeft goes left then.
	Category            = 'c'
	CategoryMissingLeft = 'C'
)

// Limits of trees that can be scored.
const (
	// MaxTreeInputs is the number of features.
	MaxTreeInputs = 255
	// MaxTreeDepth is the number of decisions on one way, which bounds what a hostile file can make a score cost.
	MaxTreeDepth = 512
)

// zero is LightGBM's: what is not further from 0 is missing to ZeroLeft and ZeroRight.
const zero = float64(float32(1e-35))

// shape is what follows from the order of nodes: the first node of each tree, the right child and the depth (0 in
// roots) of each node.
type shape struct {
	roots []int32
	right []int32
	depth []int32
}

// shape also validates the trees for a model of so many features.
func (t *Trees) shape(inputs int) (*shape, error) {
	n := len(t.Decisions)
	if n == 0 || len(t.Feature) != n || len(t.Value) != n {
		return nil, fmt.Errorf("trees have %d decisions, %d features and %d values", n, len(t.Feature), len(t.Value))
	}
	if inputs > MaxTreeInputs {
		return nil, fmt.Errorf("trees take at most %d features, not %d", MaxTreeInputs, inputs)
	}
	if t.Float32 && float64(float32(t.Base)) != t.Base {
		return nil, fmt.Errorf("the base %v is no float32", t.Base)
	}
	s := &shape{right: make([]int32, n), depth: make([]int32, n)}
	var open []int32 // nodes that wait for their right child
	next, root := int32(0), true
	for i := range int32(n) {
		if root {
			s.roots = append(s.roots, i)
			next = 0
		}
		root = false
		s.depth[i] = next
		f := t.Feature[i]
		if v := t.Value[i]; t.Float32 && float64(float32(v)) != v {
			return nil, fmt.Errorf("the value %v of node %d is no float32", v, i)
		}
		switch t.Decisions[i] {
		case Leaf:
			if f != -1 {
				return nil, fmt.Errorf("node %d is a leaf and asks for feature %d", i, f)
			}
			if len(open) == 0 {
				root = true
				continue
			}
			parent := open[len(open)-1]
			open = open[:len(open)-1]
			s.right[parent] = i + 1
			next = s.depth[parent] + 1
			continue
		case MissingLeft, MissingRight, ZeroLeft, ZeroRight:
		case Category, CategoryMissingLeft:
			if v := t.Value[i]; !(v >= 0 && v < float64(len(t.Sets)) && v == float64(int(v))) {
				return nil, fmt.Errorf("node %d asks for the set %v of %d", i, v, len(t.Sets))
			}
		default:
			return nil, fmt.Errorf("node %d has the decision %q", i, t.Decisions[i])
		}
		if f < 0 || int(f) >= inputs {
			return nil, fmt.Errorf("node %d splits on feature %d of %d", i, f, inputs)
		}
		if next++; next > MaxTreeDepth {
			return nil, fmt.Errorf("tree %d is deeper than %d", len(s.roots)-1, MaxTreeDepth)
		}
		open = append(open, i)
	}
	if len(open) > 0 || !root {
		return nil, errors.New("the last tree is cut off")
	}
	return s, nil
}

// left says where node i sends the value v, which is rounded already if the trees are float32.
func (t *Trees) left(i int32, v float64) bool {
	decision := t.Decisions[i]
	switch decision {
	case Category, CategoryMissingLeft:
		if v != v {
			return decision == CategoryMissingLeft
		}
		// LightGBM cuts the fraction off before it looks at the sign, XGBoost afterwards.
		if t.Float32 && v < 0 || v <= -1 || v >= 1<<31 {
			return false
		}
		c, set := uint32(int32(v)), t.Sets[int(t.Value[i])]
		return int(c/32) < len(set) && set[c/32]>>(c%32)&1 != 0
	case ZeroLeft, ZeroRight:
		if !(v < -zero || v > zero) {
			return decision == ZeroLeft
		}
	}
	if v != v {
		return decision == MissingLeft
	}
	if t.Float32 {
		return v < t.Value[i]
	}
	return v <= t.Value[i]
}
