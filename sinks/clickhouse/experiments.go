package clickhouse

import "github.com/droplift/droplift/ingest/event"

func newExperiments() *table {
	t := &table{name: "experiments", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	experiment := c.label("experiment_id")
	language := c.label("language")
	variant := c.label("variant")
	partition := newVector[uint32](c, "partition", "UInt32")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	refundMaturity := c.label("refund_maturity")
	design := c.label("design")
	changed := newVector[bool](c, "changed", "Bool")
	exposed := newVector[uint32](c, "exposed", "UInt32")
	converted := newVector[uint32](c, "converted", "UInt32")
	refunded := newVector[uint32](c, "refunded", "UInt32")
	crossed := newVector[uint32](c, "crossed", "UInt32")
	misassigned := newVector[uint32](c, "misassigned", "UInt32")
	sampleRate := newVector[float64](c, "sample_rate", "Float64")
	t.addPosition(c)

	var decoder event.Decoder
	var a event.ExperimentArm
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.ExperimentArm(r.Value, &a); err != nil {
			return 0, err
		}
		drop.add(a.DropID)
		experiment.add(a.ExperimentID)
		language.add(a.Language)
		variant.add(a.Variant)
		partition.add(uint32(a.Partition))
		revision.add(a.Revision)
		watermark.add(a.Watermark, a.Watermark >= 0)
		maturity.add(a.Maturity.String())
		refundMaturity.add(a.RefundMaturity.String())
		design.add(a.Design)
		changed.add(a.Changed)
		exposed.add(a.Exposed)
		converted.add(a.Converted)
		refunded.add(a.Refunded)
		crossed.add(a.Crossed)
		misassigned.add(a.Misassigned)
		sampleRate.add(a.SampleRate)
		return min(a.Watermark, r.Timestamp), nil
	}
	return t
}
