package event

// Inventory is one mergeable partial: what one partition saw happen to one item of a
// drop in one pane of PaneMS, by channel and fulfilling partner. Routed by drop_id. Key:
// drop_id|sku|channel|partner|pane_start|partition; newer revisions replace older ones; sums are
// exact. Sold to Returned are pieces, the rest are checkouts. Expired and Late stand where a clock
// runs out, so in panes to come too, and are withdrawn if what they wait for happens before:
// they count once the watermark has passed their pane. Synthetic events are not counted.
type Inventory struct {
	// DropID names the drop, SKU the item.
	DropID string `json:"drop_id" rule:"required"`
	SKU    string `json:"sku"`
	// Channel is web, app or pos.
	Channel string `json:"channel"`
	// Partner fulfils the item; empty where nothing is to be handed over.
	Partner string `json:"partner"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// PaneStart is the event time (Unix ms) at which the pane begins, PaneMS its length.
	PaneStart int64 `json:"pane_start" rule:"required"`
	PaneMS    int64 `json:"pane_ms" rule:"required"`
	// Revision grows with every publication of this pane.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether a later revision may differ.
	Maturity Maturity `json:"maturity" rule:"required"`

	// Sold pieces, by the first completion of each checkout.
	Sold uint64 `json:"sold"`
	// Reserved pieces, by the start of a checkout; Released by its completion or failure; Expired by neither in time.
	Reserved uint64 `json:"reserved"`
	Released uint64 `json:"released"`
	Expired  uint64 `json:"expired"`
	// Returned pieces: their checkout's refunds reached its amount here.
	Returned uint64 `json:"returned"`

	// Checkouts completed.
	Checkouts uint64 `json:"checkouts"`
	// Promised checkouts: sold with a time by which the partner promises to hand over.
	Promised uint64 `json:"promised"`
	// Shipped and Fulfilled checkouts: the first such record of each.
	Shipped   uint64 `json:"shipped"`
	Fulfilled uint64 `json:"fulfilled"`
	// Cancelled promises: refunded in full by the promised time and before any handover.
	Cancelled uint64 `json:"cancelled"`
	// Due promises that were not cancelled, where their time ran out; Late ones of them were neither shipped nor fulfilled by then.
	Due  uint64 `json:"due"`
	Late uint64 `json:"late"`
}
