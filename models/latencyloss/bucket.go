package latencyloss

import (
	"math"
	"sort"

	"github.com/droplift/droplift/models/stats"
)

// Edges are the storage edges of DOMAIN 5 in ms: bucket k is [Edges[k−1], Edges[k]), the first one begins at 0 and the
// last one has no end.
var Edges = [NumBuckets - 1]float64{50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000}

// NumBuckets is the number of latency buckets.
const NumBuckets = 12

// Bucket is the bucket of a latency in ms.
func Bucket(ms float64) int {
	return sort.Search(len(Edges), func(k int) bool { return ms < Edges[k] })
}

// Bounds is bucket k as [low, high) in ms.
func Bounds(k int) (low, high float64) {
	high = math.Inf(1)
	if k > 0 {
		low = Edges[k-1]
	}
	if k < len(Edges) {
		high = Edges[k]
	}
	return low, high
}

// Side says where bucket k lies: −1 within budget (ms), +1 above it, 0 for the one bucket that a budget
// between two edges cuts, which belongs to neither side.
func Side(k int, budget float64) int {
	low, high := Bounds(k)
	switch {
	case high <= budget:
		return -1
	case low >= budget:
		return 1
	}
	return 0
}

// Counts are viewers and those of them who converted.
type Counts struct{ N, Conversions uint64 }

func (c Counts) rate() float64 { return float64(c.Conversions) / float64(c.N) }

func (c *Counts) add(o Counts) {
	c.N += o.N
	c.Conversions += o.Conversions
}

// Interval is an estimate with its standard error and 95 % interval.
type Interval struct{ Value, SE, Low, High float64 }

func interval(value, variance float64) Interval {
	se := math.Sqrt(variance)
	return Interval{Value: value, SE: se, Low: value - stats.Z95*se, High: value + stats.Z95*se}
}

// Finite says that the interval means something.
func (i Interval) Finite() bool {
	return !math.IsNaN(i.Value) && !math.IsInf(i.Value, 0) && !math.IsNaN(i.SE) && !math.IsInf(i.SE, 0)
}

// Scale multiplies the interval: conversions to money by the average order value, which counts as known.
func (i Interval) Scale(by float64) Interval {
	return Interval{Value: i.Value * by, SE: i.SE * math.Abs(by), Low: i.Low * by, High: i.High * by}
}

// Buckets is the loss of the buckets above the budget at the rate of the reference, those within it:
// lost = Σ n_k(c_ref − c_k), Var = Σ n_k c_k(1−c_k) + (Σn_k)² c_ref(1−c_ref)/n_ref (DOMAIN 5).
// Without a viewer in the reference there is no estimate: NaN.
func Buckets(reference Counts, above []Counts) Interval {
	value, variance := bucketLoss(reference, above)
	return interval(value, variance)
}

func bucketLoss(reference Counts, above []Counts) (value, variance float64) {
	ref, slow := reference.rate(), 0.0
	for _, k := range above {
		if k.N == 0 {
			continue
		}
		n, c := float64(k.N), k.rate()
		slow += n
		value += n * (ref - c)
		variance += n * c * (1 - c)
	}
	return value, variance + slow*slow*ref*(1-ref)/float64(reference.N)
}

// Stratum is one stratum's two sides of the budget.
type Stratum struct {
	Within Counts
	Above  []Counts
}

// Stratified is a loss summed over strata, each at its own reference rate.
type Stratified struct {
	Interval
	// Strata is the number of those that stand alone. Pooled ones have fewer reference viewers than asked and share
	// one rate. LeftOut viewers above the budget have no reference even so.
	Strata, Pooled int
	LeftOut        uint64
}

// Strata adds up the losses of strata with at least minReference viewers within the budget; the others are pooled
// into one, and left out when that has too few itself. The strata are independent, so variances add.
func Strata(strata []Stratum, minReference uint64) Stratified {
	var out Stratified
	var pool Stratum
	value, variance := 0.0, 0.0
	add := func(s Stratum) {
		v, w := bucketLoss(s.Within, s.Above)
		value, variance = value+v, variance+w
	}
	for _, s := range strata {
		if s.Within.N >= max(minReference, 1) {
			out.Strata++
			add(s)
			continue
		}
		out.Pooled++
		pool.Within.add(s.Within)
		pool.Above = append(pool.Above, s.Above...)
	}
	if pool.Within.N >= max(minReference, 1) {
		add(pool)
	} else {
		for _, k := range pool.Above {
			out.LeftOut += k.N
		}
	}
	out.Interval = interval(value, variance)
	return out
}
