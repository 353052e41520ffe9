package attribution

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// thousandths is the unit of weights: whole numbers add up to the same sum in any order.
const thousandths = 1000

// lowestRate is the lowest sampling rate whose weight is believed.
const lowestRate = 1e-6

// weightOf is 1/rate in thousandths.
func weightOf(rate float64) uint64 { return uint64(math.Round(thousandths / rate)) }

// bins are a DDSketch's weights by index, sorted. DataDog's index i stands for [γ^i, γ^(i+1)) with the value
// γ^i(1+α); the paper's ⌈log_γ x⌉ is one more, and its value 2γ^i/(γ+1) is the same number (DOMAIN 5).
type bins []event.SketchBin

// add puts weight on one index.
func (b *bins) add(index int32, weight uint64) {
	i, found := slices.BinarySearchFunc(*b, index, func(bin event.SketchBin, at int32) int { return int(bin.Index) - int(at) })
	if found {
		(*b)[i].Weight += weight
		return
	}
	*b = slices.Insert(*b, i, event.SketchBin{Index: index, Weight: weight})
}

func (b *bins) merge(other []event.SketchBin) {
	for _, bin := range other {
		b.add(bin.Index, bin.Weight)
	}
}

// appendBins writes the number of bins, and of each its distance from the one before and its weight.
func appendBins(dst []byte, b bins) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	previous := int32(0)
	for _, bin := range b {
		dst = binary.AppendVarint(dst, int64(bin.Index)-int64(previous))
		dst = binary.AppendUvarint(dst, bin.Weight)
		previous = bin.Index
	}
	return dst
}

func readBins(r *wire.Reader, b bins) bins {
	index := int64(0)
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		index += r.Signed()
		if index != int64(int32(index)) {
			r.Fail()
		}
		b = append(b, event.SketchBin{Index: int32(index), Weight: r.Unsigned()})
	}
	return b
}

// Quantiles of a merged sketch with relative error accuracy: weights of zeros and bins, in thousandths.
func quantiles(accuracy float64, zero uint64, b bins, at []float64) ([]float64, error) {
	m, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		return nil, err
	}
	s := ddsketch.NewDDSketch(m, store.NewDenseStore(), store.NewDenseStore())
	if zero > 0 {
		if err := s.AddWithCount(0, float64(zero)/thousandths); err != nil {
			return nil, err
		}
	}
	for _, bin := range b {
		s.GetPositiveValueStore().AddWithCount(int(bin.Index), float64(bin.Weight)/thousandths)
	}
	return s.GetValuesAtQuantiles(at)
}

// pane is what one partition saw of one request kind at one POP in one pane.
type pane struct {
	start    int64
	revision uint64
	samples  uint64
	rate     float64
	zero     uint64
	bins     bins
	cache    [numVerdicts]uint64 // weights by the edge cache's verdict
}

// numVerdicts counts the verdicts of an edge cache, none at all included.
const numVerdicts = event.CacheBypass + 1

// paneCodec writes: version, width, accuracy, start, revision, samples, rate, zeros, bins; since version 2 the weights by
// the cache's verdict.
type paneCodec struct {
	paneMS   int64
	accuracy float64
}

const paneVersion = 2

func (c paneCodec) Append(dst []byte, p *pane) []byte {
	dst = append(dst, paneVersion)
	dst = binary.AppendUvarint(dst, uint64(c.paneMS))
	dst = wire.AppendFloat(dst, c.accuracy)
	dst = binary.AppendUvarint(dst, uint64(p.start))
	dst = binary.AppendUvarint(dst, p.revision)
	dst = binary.AppendUvarint(dst, p.samples)
	dst = wire.AppendFloat(dst, p.rate)
	dst = binary.AppendUvarint(dst, p.zero)
	dst = appendBins(dst, p.bins)
	for _, weight := range p.cache[event.CacheHit:] {
		dst = binary.AppendUvarint(dst, weight)
	}
	return dst
}

var errOtherSketch = errors.New("a new width or accuracy of sketches needs a new application id and a replay")

func (c paneCodec) Decode(data []byte, p *pane) error {
	r, version := wire.NewReader(data, paneVersion)
	if width, accuracy := r.Natural(), r.Float(); !r.Failed() && (width != c.paneMS || accuracy != c.accuracy) {
		return fmt.Errorf("sketch of %d ms and relative error %v, configured are %d ms and %v: %w", width, accuracy, c.paneMS, c.accuracy, errOtherSketch)
	}
	*p = pane{start: r.Natural(), revision: r.Unsigned(), samples: r.Unsigned(), rate: r.Float(), zero: r.Unsigned(), bins: p.bins[:0]}
	p.bins = readBins(&r, p.bins)
	if version >= 2 {
		for i := event.CacheHit; i < numVerdicts; i++ {
			p.cache[i] = r.Unsigned()
		}
	}
	return r.Done()
}

// Deadline is the pane's last millisecond.
func (c paneCodec) Deadline(p *pane) int64 { return p.start + c.paneMS - 1 }
