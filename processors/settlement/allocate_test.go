package settlement

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAllocations(t *testing.T) {
	var a Allocator
	for _, tt := range []struct {
		amount  int64
		weights []int64
		want    string
	}{
		{4999, []int64{4500, 3000, 1500, 1000}, "[2249 1500 750 500]"}, // DOMAIN 8.1: a, b, c, platform
		{100, []int64{3333, 3333, 3334}, "[33 33 34]"},
		{12345, []int64{4500, 4500, 1000}, "[5555 5555 1235]"}, // KWD, fils
		{1, []int64{3333, 3333, 3334}, "[0 0 1]"},
		{10, []int64{4286, 4286, 1428}, "[4 4 2]"}, // the Alabama paradox
		{11, []int64{4286, 4286, 1428}, "[5 5 1]"},
		{1000, []int64{2249, 1500, 750, 500}, "[450 300 150 100]"}, // a refund by outstanding balances
		{1, []int64{1, 1}, "[1 0]"},                                // a tie goes to the first participant
		{-4999, []int64{4500, 3000, 1500, 1000}, "[-2249 -1500 -750 -500]"},
		{0, []int64{1, 2}, "[0 0]"},
		{5, []int64{0, 7, 0}, "[0 5 0]"},
		// 30 M IDR by balances overflows a product of int64.
		{3_000_000_000, []int64{9_000_000_000, 1_000_000_000}, "[2700000000 300000000]"},
		{math.MaxInt64, []int64{math.MaxInt64 - 1, 1}, fmt.Sprint([]int64{math.MaxInt64 - 1, 1})},
		{math.MinInt64, []int64{1, 1}, fmt.Sprint([]int64{math.MinInt64 / 2, math.MinInt64 / 2})},
		{math.MinInt64, []int64{1}, fmt.Sprint([]int64{math.MinInt64})},
	} {
		got, ok := a.Allocate(nil, tt.amount, tt.weights)
		if !ok || fmt.Sprint(got) != tt.want {
			t.Errorf("%d by %v: %v, %v, want %s", tt.amount, tt.weights, got, ok, tt.want)
		}
	}
	for _, weights := range [][]int64{nil, {0, 0}, {1, -1}, {math.MaxInt64, 1}, {-1}} {
		if got, ok := a.Allocate([]int64{7}, 1, weights); ok || len(got) != 1 {
			t.Errorf("by %v: %v", weights, got)
		}
	}
	if got, ok := a.Allocate([]int64{7}, 3, []int64{1, 2}); !ok || fmt.Sprint(got) != "[7 1 2]" {
		t.Errorf("appended: %v", got)
	}
}

// checkAllocation holds one allocation against DOMAIN 8.1's properties.
func checkAllocation(t *testing.T, amount int64, weights []int64) {
	t.Helper()
	var a Allocator
	parts, ok := a.Allocate(nil, amount, weights)
	total := new(big.Int)
	for _, w := range weights {
		total.Add(total, big.NewInt(w))
	}
	if !ok {
		if total.Sign() > 0 && total.IsInt64() && slices.Min(weights) >= 0 {
			t.Fatalf("%d by %v is refused", amount, weights)
		}
		return
	}
	sum := new(big.Int)
	for i, part := range parts {
		sum.Add(sum, big.NewInt(part))
		if weights[i] == 0 && part != 0 {
			t.Fatalf("%d by %v: %v gives something to nobody", amount, weights, parts)
		}
		// |part·W − amount·w| < W
		off := new(big.Int).Mul(big.NewInt(part), total)
		off.Sub(off, new(big.Int).Mul(big.NewInt(amount), big.NewInt(weights[i])))
		if off.CmpAbs(total) >= 0 {
			t.Fatalf("%d by %v: part %d of %v is 1 or more from its quota", amount, weights, i, parts)
		}
	}
	if sum.Cmp(big.NewInt(amount)) != 0 {
		t.Fatalf("%d by %v: %v sums to %v", amount, weights, parts, sum)
	}
	opposite, _ := a.Allocate(nil, -amount, weights)
	for i := range opposite {
		if amount != math.MinInt64 && opposite[i] != -parts[i] {
			t.Fatalf("%d by %v: %v, but its opposite %v", amount, weights, parts, opposite)
		}
	}
	again, _ := a.Allocate(nil, amount, weights)
	if !slices.Equal(again, parts) {
		t.Fatalf("%d by %v: %v and %v", amount, weights, parts, again)
	}
}

// TestReversals refunds random sales in random steps by outstanding balances, 100,000 of them: no balance becomes negative, and a
// full refund leaves 0 everywhere.
func TestReversals(t *testing.T) {
	var a Allocator
	random := rand.New(rand.NewPCG(8, 1))
	for range 100_000 {
		n := 1 + random.IntN(6)
		weights := make([]int64, n)
		for left, i := int64(10_000), 0; i < n; i++ {
			weights[i] = random.Int64N(left + 1)
			if left -= weights[i]; i == n-1 {
				weights[i] += left
			}
		}
		amount := 1 + random.Int64N(int64(1)<<random.IntN(62))
		balances, ok := a.Allocate(nil, amount, weights)
		if !ok {
			t.Fatal(amount, weights)
		}
		for left := amount; left > 0; {
			refund := 1 + random.Int64N(left)
			if random.IntN(4) == 0 {
				refund = left
			}
			parts, ok := a.Allocate(nil, refund, balances)
			if !ok {
				t.Fatal(refund, balances)
			}
			for i := range balances {
				if balances[i] -= parts[i]; balances[i] < 0 || parts[i] < 0 {
					t.Fatalf("refund %d of %d by %v: part %v leaves %v", refund, amount, weights, parts, balances)
				}
			}
			left -= refund
		}
		if slices.Max(balances) != 0 {
			t.Fatalf("%d by %v is refunded and leaves %v", amount, weights, balances)
		}
	}
}

func FuzzAllocate(f *testing.F) {
	f.Add(int64(4999), int64(4500), int64(3000), int64(1500), int64(1000))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64-3), int64(1), int64(1), int64(1))
	f.Add(int64(1), int64(0), int64(0), int64(0), int64(0))
	f.Add(int64(10), int64(-1), int64(1), int64(math.MaxInt64), int64(1))
	f.Fuzz(func(t *testing.T, amount, w1, w2, w3, w4 int64) { checkAllocation(t, amount, []int64{w1, w2, w3, w4}) })
}
