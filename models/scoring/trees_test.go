package scoring

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// ensemble is an artefact of trees over b and a, in this order, with a golden row of zeros.
func ensemble(trees Trees) *Artefact {
	a := linear()
	a.Linear, a.Trees, a.Kind = nil, &trees, "lightgbm"
	a.Golden = []Golden{{Features: []*float64{number(0), number(0)}}}
	if forest, err := trees.compile(2); err == nil {
		a.Golden[0].Raw = forest.reference([]float64{0, 0})
		a.Golden[0].P = Sigmoid(a.Golden[0].Raw)
	}
	return a
}

// One tree of one decision: what goes left adds 1, what goes right 2.
func TestDecisions(t *testing.T) {
	nan, next := math.NaN(), math.Nextafter(1, 2)
	for _, c := range []struct {
		decision    byte
		float32     bool
		threshold   float64
		left, right []float64
	}{
		{MissingRight, false, 1, []float64{1, 0, -1e300}, []float64{next, 2, nan}},
		{MissingLeft, false, 1, []float64{1, 0, nan}, []float64{next, 2}},
		{MissingLeft, false, 0, []float64{0, math.Copysign(0, -1), -1, nan}, []float64{5e-324, 1}},
		{MissingRight, false, math.MaxFloat64, []float64{1, 1e308, -1e308}, []float64{nan}},
		{MissingLeft, false, math.MaxFloat64, []float64{1, 1e308, nan}, nil},
		{MissingRight, false, -math.MaxFloat64, []float64{-math.MaxFloat64}, []float64{-1e308, nan}},
		{MissingRight, true, 1, []float64{0.5, float64(math.Nextafter32(1, 0))}, []float64{1, 1 - 1e-9, next, nan}},
		{MissingLeft, true, 1, []float64{0.5, float64(math.Nextafter32(1, 0)), nan}, []float64{1, 1 - 1e-9, 2}},
		{MissingRight, true, 0, []float64{-1e-40, -1}, []float64{0, math.Copysign(0, -1), -1e-50, 1}},
		{ZeroLeft, false, -3, []float64{-3, 0, 1e-36, -1e-36, nan, zero, -zero}, []float64{-2, 1e-34, 5}},
		{ZeroRight, false, 3, []float64{3, -1, 1e-34}, []float64{0, 1e-36, nan, zero, 4}},
		{Category, false, 0, []float64{0, 2, 2.9, -0.5, 40}, []float64{1, 3, -1, nan, 41, 64, 1e10, 1e300, -1e300}},
		{CategoryMissingLeft, false, 0, []float64{0, nan}, []float64{1, -2}},
		{Category, true, 0, []float64{0, 2, 2.9, 40}, []float64{-0.5, 1, -1, nan, 1e20}},
	} {
		trees := Trees{Float32: c.float32, Decisions: string(c.decision) + "..", Feature: []int32{1, -1, -1}, Value: []float64{c.threshold, 1, 2},
			Sets: [][]uint32{{1 | 1<<2, 1 << 8}}}
		forest, err := trees.compile(2)
		if err != nil {
			t.Fatal(err)
		}
		for want, values := range map[float64][]float64{1: c.left, 2: c.right} {
			for _, v := range values {
				x := []float64{7, v}
				if raw, plain := forest.raw(x), forest.reference(x); raw != want || plain != want {
					t.Errorf("%c %v (float32 %t) of %v: %v, node by node %v, want %v", c.decision, c.threshold, c.float32, v, raw, plain, want)
				}
			}
		}
	}
}

// The packed forest adds the same leaves in the same order as a walk node by node, whatever the sizes of trees.
func TestPackedAsPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 3, 4, 63, 64, 65, 200} {
		for _, float32s := range []bool{false, true} {
			trees := &Trees{Base: 0.5, Float32: float32s, Sets: [][]uint32{{0xf0f0}}}
			for range n {
				trees.grow(rng, 1+rng.IntN(40), 10)
			}
			decisions := []byte(trees.Decisions)
			for i, d := range decisions {
				if float32s {
					trees.Value[i] = float64(float32(trees.Value[i]))
				}
				switch {
				case d == Leaf || rng.IntN(50) > 0:
				case rng.IntN(2) == 0:
					decisions[i] = ZeroLeft
				default:
					decisions[i], trees.Value[i] = Category, 0
				}
			}
			trees.Decisions = string(decisions)
			forest, err := trees.compile(10)
			if err != nil {
				t.Fatal(err)
			}
			rows := vectors(rng, 300, 10)
			// Half of them meet thresholds exactly.
			for _, row := range rows[:150] {
				for range 5 {
					if i := rng.IntN(len(decisions)); decisions[i] != Leaf {
						row[trees.Feature[i]] = trees.Value[i]
					}
				}
			}
			for _, x := range rows {
				if got, want := forest.raw(x), forest.reference(x); got != want {
					t.Fatalf("%d trees, float32 %t, %v: %v instead of %v", n, float32s, x, got, want)
				}
			}
			if n := testing.AllocsPerRun(20, func() { forest.raw(rows[0]) }); n != 0 {
				t.Errorf("%v allocations a score", n)
			}
		}
	}
}

// A file can describe no walk in circles, no node outside, and no way without an end.
func TestHostileTrees(t *testing.T) {
	good := Trees{Decisions: "lc...", Feature: []int32{0, 1, -1, -1, -1}, Value: []float64{1, 0, 1, 2, 3}, Sets: [][]uint32{{1}}}
	if _, err := Seal(ensemble(good), features); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Trees){
		"no node":             func(t *Trees) { *t = Trees{} },
		"cut off":             func(t *Trees) { t.Decisions, t.Feature, t.Value = t.Decisions[:4], t.Feature[:4], t.Value[:4] },
		"a value less":        func(t *Trees) { t.Value = t.Value[:4] },
		"a feature less":      func(t *Trees) { t.Feature = t.Feature[:4] },
		"unknown decision":    func(t *Trees) { t.Decisions = "lx..." },
		"feature too large":   func(t *Trees) { t.Feature[0] = 2 },
		"feature below zero":  func(t *Trees) { t.Feature[0] = -1 },
		"leaf asks":           func(t *Trees) { t.Feature[4] = 0 },
		"no such set":         func(t *Trees) { t.Value[1] = 1 },
		"set below zero":      func(t *Trees) { t.Value[1] = -1 },
		"half a set":          func(t *Trees) { t.Value[1] = 0.5 },
		"no float32":          func(t *Trees) { t.Float32, t.Value[2] = true, 0.1 },
		"base is no float32":  func(t *Trees) { t.Float32, t.Base = true, 0.1 },
		"deeper than allowed": func(t *Trees) { *t = chain(MaxTreeDepth + 1) },
	} {
		trees := good
		trees.Feature = append([]int32(nil), good.Feature...)
		trees.Value = append([]float64(nil), good.Value...)
		change(&trees)
		if _, err := Seal(ensemble(trees), features); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Seal(ensemble(chain(MaxTreeDepth)), features); err != nil {
		t.Error(err)
	}
	if _, err := good.compile(MaxTreeInputs + 1); err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxTreeInputs)) {
		t.Errorf("too many features: %v", err)
	}
}

// chain is one tree whose every right child splits again.
func chain(depth int) Trees {
	var t Trees
	for range depth {
		t.Decisions += string([]byte{MissingLeft, Leaf})
		t.Feature = append(t.Feature, 0, -1)
		t.Value = append(t.Value, -1, 1)
	}
	t.Decisions += string(Leaf)
	t.Feature, t.Value = append(t.Feature, -1), append(t.Value, 1)
	return t
}
