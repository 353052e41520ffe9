package clickhouse

import "github.com/droplift/droplift/ingest/event"

func newEdgeCost() *table {
	t := &table{name: "edge_cost", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	pop := c.label("pop")
	creator := c.label("creator_id")
	partition := newVector[uint32](c, "partition", "UInt32")
	start := c.moment("pane_start")
	width := newVector[uint32](c, "pane_ms", "UInt32")
	synthetic := newVector[bool](c, "synthetic", "Bool")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	newest := c.moment("newest")
	samples := newVector[uint64](c, "samples", "UInt64")
	rate := newVector[float64](c, "sample_rate", "Float64")
	requests := newVector[int64](c, "requests_micro", "Int64")
	cpu := newVector[int64](c, "cpu_us", "Int64")
	egress := newVector[int64](c, "egress_bytes", "Int64")
	conversions := newVector[uint32](c, "conversions", "UInt32")
	currency := c.label("currency")
	prices := c.label("prices")
	cost := newOptional[int64](c, "cost", "Int64")
	t.addPosition(c)

	var decoder event.Decoder
	var e event.EdgeCost
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.EdgeCost(r.Value, &e); err != nil {
			return 0, err
		}
		drop.add(e.DropID)
		pop.add(e.POP)
		creator.add(e.CreatorID)
		partition.add(uint32(e.Partition))
		start.add(e.PaneStart)
		width.add(uint32(e.PaneMS))
		synthetic.add(e.Synthetic)
		revision.add(e.Revision)
		watermark.add(e.Watermark, e.Watermark >= 0)
		maturity.add(e.Maturity.String())
		newest.add(e.Newest)
		samples.add(e.Samples)
		rate.add(e.SampleRate)
		requests.add(e.RequestsMicro)
		cpu.add(e.CPUMicros)
		egress.add(e.EgressBytes)
		conversions.add(e.Conversions)
		currency.add(e.Currency)
		prices.add(e.Prices)
		cost.add(e.Cost, e.Currency != "")
		return min(e.PaneStart, r.Timestamp), nil
	}
	return t
}
