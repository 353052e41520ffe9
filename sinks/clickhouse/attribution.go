package clickhouse

import (
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
)

func newAttribution() *table {
	t := &table{name: "attribution", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	creator := c.label("creator_id")
	pop := c.label("pop")
	device := c.label("device")
	language := c.label("language")
	ageFrom := newVector[int64](c, "age_from_ms", "Int64")
	ageTo := newVector[int64](c, "age_to_ms", "Int64")
	partition := newVector[uint32](c, "partition", "UInt32")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	closed := newVector[bool](c, "closed", "Bool")
	from := c.moment("from")
	to := c.moment("to")
	budget := newVector[int64](c, "budget_ms", "Int64")
	sampleRate := newVector[float64](c, "sample_rate", "Float64")
	viewers := newVector[[]uint32](c, "viewers", "Array(UInt32)")
	conversions := newVector[[]uint32](c, "conversions", "Array(UInt32)")
	latency := newVector[[]int64](c, "latency_us", "Array(Int64)")
	unmeasured := newVector[uint32](c, "unmeasured", "UInt32")
	unmeasuredConversions := newVector[uint32](c, "unmeasured_conversions", "UInt32")
	currency := newVector[[]string](c, "money_currency", "Array(String)")
	net := newVector[[][]int64](c, "money_net", "Array(Array(Int64))")
	t.addPosition(c)

	var decoder event.Decoder
	var a event.Attribution
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Attribution(r.Value, &a); err != nil {
			return 0, err
		}
		drop.add(a.DropID)
		creator.add(a.CreatorID)
		pop.add(a.POP)
		device.add(a.Device)
		language.add(a.Language)
		ageFrom.add(a.AgeFrom)
		ageTo.add(a.AgeTo)
		partition.add(uint32(a.Partition))
		revision.add(a.Revision)
		watermark.add(a.Watermark, a.Watermark >= 0)
		maturity.add(a.Maturity.String())
		closed.add(a.Closed)
		from.add(a.From)
		to.add(a.To)
		budget.add(a.BudgetMS)
		sampleRate.add(a.SampleRate)
		viewers.add(slices.Clone(a.Viewers[:]))
		conversions.add(slices.Clone(a.Conversions[:]))
		latency.add(slices.Clone(a.LatencyUS[:]))
		unmeasured.add(a.Unmeasured)
		unmeasuredConversions.add(a.UnmeasuredConversions)
		currency.add(each(a.Money, func(m event.LatencyMoney) string { return strings.Clone(m.Currency) }))
		net.add(each(a.Money, func(m event.LatencyMoney) []int64 { return slices.Clone(m.Net[:]) }))
		return min(a.From, r.Timestamp), nil
	}
	return t
}

func newLatencySketches() *table {
	t := &table{name: "latency_sketches", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	pop := c.label("pop")
	request := c.label("request")
	partition := newVector[uint32](c, "partition", "UInt32")
	start := c.moment("pane_start")
	width := newVector[uint32](c, "pane_ms", "UInt32")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	sampleRate := newVector[float64](c, "sample_rate", "Float64")
	accuracy := newVector[float64](c, "accuracy", "Float64")
	samples := newVector[uint64](c, "samples", "UInt64")
	zero := newVector[uint64](c, "zero", "UInt64")
	index := newVector[[]int32](c, "bin_index", "Array(Int32)")
	weight := newVector[[]uint64](c, "bin_weight", "Array(UInt64)")
	hits := newVector[uint64](c, "hits", "UInt64")
	stale := newVector[uint64](c, "stale", "UInt64")
	misses := newVector[uint64](c, "misses", "UInt64")
	bypassed := newVector[uint64](c, "bypassed", "UInt64")
	t.addPosition(c)

	var decoder event.Decoder
	var s event.LatencySketch
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.LatencySketch(r.Value, &s); err != nil {
			return 0, err
		}
		drop.add(s.DropID)
		pop.add(s.POP)
		request.add(s.Request.String())
		partition.add(uint32(s.Partition))
		start.add(s.PaneStart)
		width.add(uint32(s.PaneMS))
		revision.add(s.Revision)
		watermark.add(s.Watermark, s.Watermark >= 0)
		maturity.add(s.Maturity.String())
		sampleRate.add(s.SampleRate)
		accuracy.add(s.Accuracy)
		samples.add(s.Samples)
		zero.add(s.Zero)
		index.add(each(s.Bins, func(b event.SketchBin) int32 { return b.Index }))
		weight.add(each(s.Bins, func(b event.SketchBin) uint64 { return b.Weight }))
		hits.add(s.Hits)
		stale.add(s.Stale)
		misses.add(s.Misses)
		bypassed.add(s.Bypassed)
		return min(s.PaneStart, r.Timestamp), nil
	}
	return t
}
