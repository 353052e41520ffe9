package settlement

import (
	"cmp"
	"math/bits"
	"slices"
)

// Allocator divides amounts by largest remainder (DOMAIN 8.1). It keeps memory between calls; one goroutine uses it.
type Allocator struct {
	rest  []uint64
	order []int
}

// Allocate divides amount by weights, none of them negative, and appends one part per weight to dst: the parts sum to
// amount, each is less than 1 from its exact quota, and a weight of 0 gets 0. What the quotas' floors leave goes to the largest
// remainders, of equal ones to the first: callers order weights by participant. Negative amounts are
// divided as their opposites. ok is false, and dst unchanged, when the weights sum to 0 or beyond int64.
func (a *Allocator) Allocate(dst []int64, amount int64, weights []int64) (parts []int64, ok bool) {
	var total uint64
	for _, w := range weights {
		if total += uint64(w); w < 0 || total > 1<<63-1 {
			return dst, false
		}
	}
	if total == 0 {
		return dst, false
	}
	size := uint64(amount)
	if amount < 0 {
		size = -size
	}
	start, left := len(dst), size
	a.rest = a.rest[:0]
	for _, w := range weights {
		// w ≤ total < 2⁶³ and size ≤ 2⁶³, so the high word is below total.
		high, low := bits.Mul64(size, uint64(w))
		quota, rest := bits.Div64(high, low, total)
		left -= quota
		dst, a.rest = append(dst, int64(quota)), append(a.rest, rest)
	}
	parts = dst[start:]
	if left > 0 {
		a.order = a.order[:0]
		for i := range weights {
			a.order = append(a.order, i)
		}
		slices.SortFunc(a.order, func(i, j int) int { return cmp.Or(cmp.Compare(a.rest[j], a.rest[i]), cmp.Compare(i, j)) })
		for _, i := range a.order[:left] {
			parts[i]++
		}
	}
	if amount < 0 {
		for i := range parts {
			parts[i] = -parts[i]
		}
	}
	return dst, true
}

// floorShare is ⌊amount·bps/10,000⌋ of an amount that is not negative.
func floorShare(amount, bps int64) int64 {
	high, low := bits.Mul64(uint64(amount), uint64(bps))
	share, _ := bits.Div64(high, low, 10_000)
	return int64(share)
}
