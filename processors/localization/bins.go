package localization

import (
	"encoding/binary"
	"math"
	"sort"

	"github.com/DataDog/sketches-go/ddsketch/mapping"

	"github.com/droplift/droplift/models/stats"
	"github.com/droplift/droplift/processors/wire"
)

// accuracy is the relative error of quantiles (DOMAIN 5).
const accuracy = 0.01

// newMapping maps values to the bins of a DDSketch; its arguments are constant, and right.
func newMapping() *mapping.LogarithmicMapping {
	m, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		panic(err)
	}
	return m
}

// bin is one bin of a sketch.
type bin struct {
	index int64
	count uint32
}

// bins are sorted by index, without zero counts.
type bins []bin

// add counts n up or down and says whether there was as much to take.
func (b *bins) add(index int64, n int32) bool {
	list := *b
	i := sort.Search(len(list), func(i int) bool { return list[i].index >= index })
	if i == len(list) || list[i].index != index {
		if n < 0 {
			return false
		}
		list = append(list, bin{})
		copy(list[i+1:], list[i:])
		list[i] = bin{index: index}
		*b = list
	}
	if n < 0 && list[i].count < uint32(-n) {
		return false
	}
	list[i].count = uint32(int64(list[i].count) + int64(n))
	if list[i].count == 0 {
		*b = append(list[:i], list[i+1:]...)
	}
	return true
}

func appendBins(dst []byte, b bins) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	previous := int64(0)
	for _, e := range b {
		dst = binary.AppendVarint(dst, e.index-previous)
		dst = binary.AppendUvarint(dst, uint64(e.count))
		previous = e.index
	}
	return dst
}

func readBins(r *wire.Reader, into bins) bins {
	into = into[:0]
	index := int64(0)
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		index += r.Signed()
		into = append(into, bin{index, r.Uint32()})
	}
	return into
}

// sketch is a distribution of times in ms.
type sketch struct {
	zero uint64
	bins map[int64]uint64
}

func newSketch() sketch { return sketch{bins: map[int64]uint64{}} }

func (s *sketch) add(zero uint32, b bins) {
	s.zero += uint64(zero)
	for _, e := range b {
		s.bins[e.index] += uint64(e.count)
	}
}

func (s *sketch) count() (n uint64) {
	n = s.zero
	for _, c := range s.bins {
		n += c
	}
	return n
}

// at is the value of a rank, counted from 0.
func (s *sketch) at(m *mapping.LogarithmicMapping, rank float64) float64 {
	seen := float64(s.zero)
	if seen > rank {
		return 0
	}
	indexes := make([]int64, 0, len(s.bins))
	for i := range s.bins {
		indexes = append(indexes, i)
	}
	sort.Slice(indexes, func(i, j int) bool { return indexes[i] < indexes[j] })
	for _, i := range indexes {
		if seen += float64(s.bins[i]); seen > rank {
			return m.Value(int(i))
		}
	}
	return math.NaN()
}

// quantile is the value of rank q(n−1) (DOMAIN 5) with its interval at 95 %, from the binomial spread of the rank. It has at least one value.
func (s *sketch) quantile(m *mapping.LogarithmicMapping, q float64) (value, low, high float64) {
	n := float64(s.count())
	spread := stats.Z95 * math.Sqrt(n*q*(1-q))
	rank := func(r float64) float64 { return min(max(math.Floor(r), 0), n-1) }
	return s.at(m, rank(q*(n-1))), s.at(m, rank(q*(n-1)-spread)), s.at(m, rank(math.Ceil(q*(n-1)+spread)))
}
