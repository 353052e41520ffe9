package clickhouse

import "github.com/droplift/droplift/ingest/event"

func newInventory() *table {
	t := &table{name: "inventory", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	sku := c.label("sku")
	channel := c.label("channel")
	partner := c.label("partner")
	partition := newVector[uint32](c, "partition", "UInt32")
	start := c.moment("pane_start")
	width := newVector[uint32](c, "pane_ms", "UInt32")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	number := func(name string) *vector[uint64] { return newVector[uint64](c, name, "UInt64") }
	sold, reserved, released, expired, returned := number("sold"), number("reserved"), number("released"), number("expired"), number("returned")
	checkouts, promised, shipped, fulfilled := number("checkouts"), number("promised"), number("shipped"), number("fulfilled")
	cancelled, due, late := number("cancelled"), number("due"), number("late")
	t.addPosition(c)

	var decoder event.Decoder
	var v event.Inventory
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Inventory(r.Value, &v); err != nil {
			return 0, err
		}
		drop.add(v.DropID)
		sku.add(v.SKU)
		channel.add(v.Channel)
		partner.add(v.Partner)
		partition.add(uint32(v.Partition))
		start.add(v.PaneStart)
		width.add(uint32(v.PaneMS))
		revision.add(v.Revision)
		watermark.add(v.Watermark, v.Watermark >= 0)
		maturity.add(v.Maturity.String())
		sold.add(v.Sold)
		reserved.add(v.Reserved)
		released.add(v.Released)
		expired.add(v.Expired)
		returned.add(v.Returned)
		checkouts.add(v.Checkouts)
		promised.add(v.Promised)
		shipped.add(v.Shipped)
		fulfilled.add(v.Fulfilled)
		cancelled.add(v.Cancelled)
		due.add(v.Due)
		late.add(v.Late)
		// Panes may lie ahead.
		return min(v.PaneStart, r.Timestamp), nil
	}
	return t
}
