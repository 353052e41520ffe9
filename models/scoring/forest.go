package scoring

import (
	"math"
	"slices"
)

// forest is Trees laid out for speed. A walk down one tree waits for memory and for the comparison at every node, so
// the trees of a chunk are walked side by side, as many at a time as there are lanes, without a branch that depends
// on the values: a leaf leads to itself until the deepest of its lanes has ended.
type forest struct {
	trees *Trees
	*shape
	nodes  []node
	chunks []chunk
}

// node is 16 bytes, four to a cache line, with both children side by side, and parents, children and
// grandchildren close together because each tree stands breadth first. It goes to child−1 if inputs[input] ≤ bound,
// to child otherwise. NaN is never ≤, so nodes that send it left are turned round: they ask whether −x ≤ −(the next
// number above the threshold) and have their right child first.
type node struct {
	bound float64 // in a leaf its value
	child int32   // in a leaf itself
	input uint32
}

const (
	// chunkTrees bounds how many leaves are kept until they are added in the trainer's order, which rounding depends on.
	chunkTrees = 64
	lanes      = 4
	// inputs are x, at notInput a NaN for leaves, and −x from negated on.
	notInput = MaxTreeInputs
	negated  = 256
	width    = 512
)

// chunk is some trees that follow one another.
type chunk struct {
	// groups of trees of similar depth that are walked side by side; plain are walked node by node, because they hold
	// a decision that one comparison cannot make.
	groups []group
	plain  []treeAt
	trees  int
}

// group has the first nodes of its trees and their places in the chunk; unused lanes repeat the first one.
type group struct {
	root  [lanes]int32
	place [lanes]uint8
	steps int32
}

type treeAt struct {
	root  int32 // in Trees
	place uint8
}

func (t *Trees) compile(inputs int) (*forest, error) {
	s, err := t.shape(inputs)
	if err != nil {
		return nil, err
	}
	f := &forest{trees: t, shape: s}
	for first := 0; first < len(s.roots); first += chunkTrees {
		f.chunks = append(f.chunks, f.chunk(first, min(first+chunkTrees, len(s.roots))))
	}
	return f, nil
}

func (f *forest) chunk(first, last int) chunk {
	type fast struct {
		root, depth int32
		place       uint8
	}
	c := chunk{trees: last - first}
	var walked []fast
	for i := first; i < last; i++ {
		root, end := f.roots[i], int32(len(f.depth))
		if i+1 < len(f.roots) {
			end = f.roots[i+1]
		}
		place := uint8(i - first)
		if !oneComparison(f.trees.Decisions[root:end]) {
			c.plain = append(c.plain, treeAt{root, place})
			continue
		}
		walked = append(walked, fast{f.lay(root), slices.Max(f.depth[root:end]), place})
	}
	// By depth. The few are inserted, as sorting by the library would be a hundredth of the code at the edge.
	for i := range walked {
		for j := i; j > 0 && walked[j].depth < walked[j-1].depth; j-- {
			walked[j], walked[j-1] = walked[j-1], walked[j]
		}
	}
	for ; len(walked) > 0; walked = walked[min(lanes, len(walked)):] {
		some := walked[:min(lanes, len(walked))]
		g := group{steps: some[len(some)-1].depth}
		for lane := range lanes {
			tree := some[0]
			if lane < len(some) {
				tree = some[lane]
			}
			g.root[lane], g.place[lane] = tree.root, tree.place
		}
		c.groups = append(c.groups, g)
	}
	return c
}

func oneComparison(decisions string) bool {
	for i := range len(decisions) {
		switch decisions[i] {
		case Leaf, MissingLeft, MissingRight:
		default:
			return false
		}
	}
	return true
}

// lay appends a tree breadth first and returns its first node.
func (f *forest) lay(root int32) int32 {
	base := int32(len(f.nodes))
	queue := []int32{root}
	for k := 0; k < len(queue); k++ {
		i, at := queue[k], base+int32(k)
		if f.trees.Decisions[i] == Leaf {
			f.nodes = append(f.nodes, node{bound: f.trees.Value[i], child: at, input: notInput})
			continue
		}
		n := node{child: base + int32(len(queue)) + 1, input: uint32(f.trees.Feature[i])}
		// The greatest number that goes left, and the least that goes right.
		below, above := f.trees.Value[i], math.Nextafter(f.trees.Value[i], math.Inf(1))
		if f.trees.Float32 {
			below, above = float64(math.Nextafter32(float32(f.trees.Value[i]), float32(math.Inf(-1)))), f.trees.Value[i]
		}
		if f.trees.Decisions[i] == MissingRight {
			n.bound = below
			queue = append(queue, i+1, f.right[i])
		} else {
			n.bound, n.input = -above, n.input+negated
			queue = append(queue, f.right[i], i+1)
		}
		f.nodes = append(f.nodes, n)
	}
	return base
}

func (f *forest) raw(x []float64) float64 {
	var inputs [width]float64
	if f.trees.Float32 {
		for i, v := range x {
			v = float64(float32(v))
			inputs[i], inputs[i+negated] = v, -v
		}
	} else {
		for i, v := range x {
			inputs[i], inputs[i+negated] = v, -v
		}
	}
	inputs[notInput] = math.NaN()
	z := f.trees.Base
	var leaves [chunkTrees]float64
	for i := range f.chunks {
		c := &f.chunks[i]
		for j := range c.groups {
			f.walk(&c.groups[j], &inputs, &leaves)
		}
		for _, tree := range c.plain {
			leaves[tree.place] = f.plain(tree.root, &inputs)
		}
		if f.trees.Float32 {
			for _, v := range leaves[:c.trees] {
				z = float64(float32(z) + float32(v))
			}
		} else {
			for _, v := range leaves[:c.trees] {
				z += v
			}
		}
	}
	return z
}

func (f *forest) walk(g *group, inputs *[width]float64, leaves *[chunkTrees]float64) {
	nodes := f.nodes
	a, b, c, d := g.root[0], g.root[1], g.root[2], g.root[3]
	for range g.steps {
		a = nodes[a].next(inputs)
		b = nodes[b].next(inputs)
		c = nodes[c].next(inputs)
		d = nodes[d].next(inputs)
	}
	leaves[g.place[0]%chunkTrees] = nodes[a].bound
	leaves[g.place[1]%chunkTrees] = nodes[b].bound
	leaves[g.place[2]%chunkTrees] = nodes[c].bound
	leaves[g.place[3]%chunkTrees] = nodes[d].bound
}

func (n *node) next(inputs *[width]float64) int32 {
	// The compiler makes a number of a comparison without a jump only in this form.
	first := int32(0)
	if inputs[n.input%width] <= n.bound {
		first = 1
	}
	return n.child - first
}

// plain walks one tree as its trainer does.
func (f *forest) plain(i int32, inputs *[width]float64) float64 {
	for f.trees.Decisions[i] != Leaf {
		if f.trees.left(i, inputs[f.trees.Feature[i]]) {
			i++
		} else {
			i = f.right[i]
		}
	}
	return f.trees.Value[i]
}
