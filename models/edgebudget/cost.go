// Package edgebudget decides what a drop may spend at the edge: what requests cost, how
// spending paces against the plan, when a budget warns and caps, how many replicas to run, what work to
// shed first, and how to warm the caches before the start (DOMAIN 9). It is pure: time is an argument, state is a plain
// value, a decision is what a method returns. Money is int64 nano-units of one currency.
package edgebudget

import (
	"errors"
	"math/bits"
)

// Prices are what an edge platform bills, in nano-units of one currency.
type Prices struct {
	// Requests is the price of a million requests.
	Requests int64
	// CPU is the price of a million milliseconds of compute.
	CPU int64
	// Egress is the price of 10⁹ bytes.
	Egress int64
}

// Usage is what was used. Sampled events make fractions of requests.
type Usage struct {
	// Requests in millionths of a request.
	Requests int64
	// CPU in microseconds.
	CPU int64
	// Egress in bytes.
	Egress int64
}

// ErrRange says that an amount exceeds the range of int64.
var ErrRange = errors.New("edgebudget: the amount exceeds the range of int64")

const (
	million = 1_000_000
	billion = 1_000_000_000
	// scale is the common denominator of the three prices: 10¹² millionth requests, nanoseconds times a thousand, bytes times a thousand.
	scale = million * million
)

// Cost is what u costs, rounded half to even once, at the end. Negative quantities and prices are ErrRange too.
func (p Prices) Cost(u Usage) (nano int64, err error) {
	var sum wide
	sum.add(u.Requests, p.Requests, 1)
	sum.add(u.CPU, p.CPU, scale/billion)
	sum.add(u.Egress, p.Egress, scale/billion)
	return sum.divide(scale)
}

// Share is whole·part/of rounded half to even, for 0 ≤ part ≤ of and of > 0: the product takes 128 bits.
func Share(whole, part, of int64) int64 {
	var product wide
	product.add(whole, part, 1)
	share, _ := product.divide(uint64(of)) // at most whole
	return share
}

// wide is an unsigned 128-bit sum of products.
type wide struct {
	high, low uint64
	overflow  bool
}

// add adds a·b·times.
func (w *wide) add(a, b int64, times uint64) {
	if a < 0 || b < 0 {
		w.overflow = true
		return
	}
	high, low := bits.Mul64(uint64(a), uint64(b))
	over, high := bits.Mul64(high, times)
	carried, low := bits.Mul64(low, times)
	high, carry := bits.Add64(high, carried, 0)
	w.overflow = w.overflow || over != 0 || carry != 0
	w.low, carry = bits.Add64(w.low, low, 0)
	w.high, carry = bits.Add64(w.high, high, carry)
	w.overflow = w.overflow || carry != 0
}

// divide rounds half to even.
func (w *wide) divide(by uint64) (int64, error) {
	if w.overflow || w.high >= by {
		return 0, ErrRange
	}
	quotient, rest := bits.Div64(w.high, w.low, by)
	if rest > by-rest || rest == by-rest && quotient%2 == 1 {
		quotient++
	}
	if quotient > 1<<63-1 {
		return 0, ErrRange
	}
	return int64(quotient), nil
}
