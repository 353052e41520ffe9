package scoring

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// grown is an ensemble as LightGBM grows it: leaf by leaf, the larger ones first, so that its depth differs.
func grown(rng *rand.Rand, trees, leaves, inputs int) *Trees {
	t := &Trees{}
	for range trees {
		t.grow(rng, leaves, inputs)
	}
	return t
}

func (t *Trees) grow(rng *rand.Rand, leaves, inputs int) {
	if leaves == 1 {
		t.Decisions += string(Leaf)
		t.Feature = append(t.Feature, -1)
		t.Value = append(t.Value, rng.NormFloat64()/100)
		return
	}
	t.Decisions += string([]byte{MissingLeft, MissingRight}[rng.IntN(2)])
	t.Feature = append(t.Feature, int32(rng.IntN(inputs)))
	t.Value = append(t.Value, rng.NormFloat64())
	left := 1 + rng.IntN(leaves-1)
	t.grow(rng, left, inputs)
	t.grow(rng, leaves-left, inputs)
}

func vectors(rng *rand.Rand, n, inputs int) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, inputs)
		for j := range out[i] {
			out[i][j] = rng.NormFloat64()
			if rng.IntN(10) == 0 {
				out[i][j] = math.NaN()
			}
		}
	}
	return out
}

var sum float64

// BenchmarkTrees scores 500 trees of 31 leaves, LightGBM's default, and of 127.
func BenchmarkTrees(b *testing.B) {
	for _, leaves := range []int{31, 127} {
		rng := rand.New(rand.NewPCG(1, 2))
		f, err := grown(rng, 500, leaves, 56).compile(56)
		if err != nil {
			b.Fatal(err)
		}
		rows := vectors(rng, 1000, 56)
		for name, score := range map[string]func([]float64) float64{"packed": f.raw, "plain": f.reference} {
			b.Run(fmt.Sprintf("%d/%s", leaves, name), func(b *testing.B) {
				b.ReportAllocs()
				for i := range b.N {
					sum += score(rows[i%len(rows)])
				}
			})
		}
	}
}

// reference walks node by node, as the trainers do.
func (f *forest) reference(x []float64) float64 {
	var inputs [width]float64
	for i, v := range x {
		if f.trees.Float32 {
			v = float64(float32(v))
		}
		inputs[i] = v
	}
	z := f.trees.Base
	for _, root := range f.roots {
		if v := f.plain(root, &inputs); f.trees.Float32 {
			z = float64(float32(z) + float32(v))
		} else {
			z += v
		}
	}
	return z
}
