package inventory

import (
	"errors"
	"fmt"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// The defaults of RollupConfig.
const (
	// DefaultPublishEveryMS is the hop of the live board.
	DefaultPublishEveryMS = 10_000
	// DefaultLowBPS calls an item low at a tenth of its inventory.
	DefaultLowBPS = 1000
	// DefaultAllowedLatenessMS is DOMAIN 2.4's.
	DefaultAllowedLatenessMS = 10 * minuteMS
)

// RollupConfig of a Rollup. The zero value means the documented defaults.
type RollupConfig struct {
	// PaneMS is the pane's width, Config's (default 10,000).
	PaneMS int64
	// PublishEveryMS is how far event time moves between two estimates of an item (default 10,000).
	PublishEveryMS int64
	// LowBPS is the share of the inventory, in basis points, at and below which an item is low (default 1,000).
	LowBPS uint64
	// Restock says that returned pieces are for sale again. By default they are not: they have to be looked at first.
	Restock bool
	// AllowedLatenessMS is the processors' (default 10 min): what is older than the watermark by it is final.
	AllowedLatenessMS int64
	// KeepMS is how long after its newest pane an item's totals are kept (default 45 d, that of Config).
	KeepMS int64
}

// Validate reports every problem at once.
func (c RollupConfig) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("inventory rollup: "+format, args...))
	}
	if err := (Config{PaneMS: c.PaneMS}).Validate(); err != nil {
		problems = append(problems, err)
	}
	if c.PublishEveryMS < 0 {
		bad("publishing every %d ms", c.PublishEveryMS)
	}
	if c.LowBPS > 10_000 {
		bad("%d bps as low is more than all", c.LowBPS)
	}
	if c.AllowedLatenessMS < 0 || c.KeepMS < 0 {
		bad("allowed lateness of %d ms, keeping for %d ms", c.AllowedLatenessMS, c.KeepMS)
	}
	return errors.Join(problems...)
}

func (c RollupConfig) withDefaults() RollupConfig {
	if c.PaneMS == 0 {
		c.PaneMS = DefaultPaneMS
	}
	if c.PublishEveryMS == 0 {
		c.PublishEveryMS = DefaultPublishEveryMS
	}
	if c.LowBPS == 0 {
		c.LowBPS = DefaultLowBPS
	}
	if c.AllowedLatenessMS == 0 {
		c.AllowedLatenessMS = DefaultAllowedLatenessMS
	}
	if c.KeepMS == 0 {
		c.KeepMS = DefaultKeepMS
	}
	return c
}

// Rollup adds the partials of limited runs up, publishes what is left of each item and decides
// when it is low, sold out or oversold. It implements processors.RollupRule and processors.Counting.
//
// Sold, reserved and returned pieces count as soon as they are known; reservations that run out count
// up to the rollup's watermark.
type Rollup struct {
	cfg       RollupConfig
	catalogue processors.Catalogue

	parts *processors.Table[part]
	panes *processors.Table[flow]
	items *processors.Table[item]
	drops *processors.Table[run]
	names *wire.Names

	decoder event.Decoder
	partial event.Inventory
	key     []byte
	counts  [numRollupOutcomes]uint64
}

// The outcomes of a Rollup.
const (
	// rollupUnknownSKU items are sold but not in the catalogue: published without a limit, and decided upon as unknown_sku.
	rollupUnknownSKU = iota
	// rollupOversold items have sold more than their inventory.
	rollupOversold
	// rollupLowered inventories were set below what was sold already, by a newer catalogue entry.
	rollupLowered
	// rollupNegative sums would be below zero: a defect in the partials; they are published as 0.
	rollupNegative
	// rollupUnknownDrop partials are of a drop that the catalogue does not hold; nothing is published of them.
	rollupUnknownDrop
	numRollupOutcomes
)

var rollupOutcomes = [numRollupOutcomes]string{"unknown_sku", "oversold", "inventory_lowered", "negative", "unknown_drop"}

// NewRollup makes the rule of one partition of the rollup stage.
func NewRollup(cfg RollupConfig, catalogue processors.Catalogue) (*Rollup, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	names := &wire.Names{}
	r := &Rollup{cfg: cfg.withDefaults(), catalogue: catalogue, names: names}
	r.parts = processors.NewTable("part", processors.Codec[part](partCodec{}))
	r.panes = processors.NewTable("pane", processors.Codec[flow](flowCodec{keepMS: r.cfg.KeepMS}))
	r.items = processors.NewTable("item", processors.Codec[item](itemCodec{keepMS: r.cfg.KeepMS}))
	r.drops = processors.NewTable("drop", processors.Codec[run](runCodec{keepMS: r.cfg.KeepMS, names: names}))
	return r, nil
}

// Name implements processors.RollupRule.
func (r *Rollup) Name() string { return "inventory" }

// Tables implements processors.RollupRule.
func (r *Rollup) Tables() []processors.Staged {
	return []processors.Staged{r.parts, r.panes, r.items, r.drops}
}

// Outcomes implements processors.Counting.
func (r *Rollup) Outcomes(each func(outcome string, total uint64)) {
	for i, name := range rollupOutcomes {
		each(name, r.counts[i])
	}
}

// Apply implements processors.RollupRule.
func (r *Rollup) Apply(record *event.Record) *event.Error {
	if record.Kind != event.KindInventory {
		return nil
	}
	v := &r.partial
	if err := r.decoder.Inventory(record.Value, v); err != nil {
		return err
	}
	d, created := r.drops.Put(v.DropID)
	if created {
		d.published = processors.NoWatermark
	}
	now := part{revision: v.Revision, numbers: numbers{int64(v.Sold), int64(v.Returned), int64(v.Expired), int64(v.Reserved), int64(v.Released)}}
	was := part{}
	key := wire.Alias(record.Key)
	if known := r.parts.Get(key); known != nil {
		was = *known
	}
	if v.Revision <= was.revision {
		return nil // an older one
	}
	if v.Maturity == event.Final {
		r.parts.Delete(key)
	} else {
		p, _ := r.parts.Put(key)
		*p = now
	}
	delta := now.numbers
	delta.add(was.numbers, -1)
	if delta == (numbers{}) {
		return nil
	}
	d.dirty = true
	d.newest = max(d.newest, v.PaneStart)
	if i, known := slices.BinarySearch(d.skus, v.SKU); !known {
		d.skus = slices.Insert(d.skus, i, r.names.Text(v.SKU))
	}
	t, _ := r.items.Put(r.itemKey(v.DropID, v.SKU))
	t.add(v.PaneStart, delta)
	if f := delta.flow(); f != (flow{}) {
		p, _ := r.panes.Put(r.paneKey(v.DropID, v.SKU, v.PaneStart))
		p.start = v.PaneStart
		p.sold, p.returned, p.expired = p.sold+f.sold, p.returned+f.returned, p.expired+f.expired
	}
	return nil
}

func (r *Rollup) itemKey(drop, sku string) string {
	r.key = append(wire.AppendString(r.key[:0], drop), sku...)
	return wire.Alias(r.key)
}

func (r *Rollup) paneKey(drop, sku string, start int64) string {
	r.key = appendPaneKey(r.key[:0], drop, cell{sku: sku}, start)
	return wire.Alias(r.key)
}

// Flush implements processors.RollupRule.
func (r *Rollup) Flush(t processors.RollupTimes, out *processors.Output) {
	r.drops.Due(max(dirtyNow, t.Watermark), func(id string, d *run) {
		if !d.dirty && d.next == 0 {
			r.drops.Delete(id)
			return
		}
		if t.Watermark < 0 || d.dirty && !t.Quiet && !t.Due(d.published, t.Watermark, r.cfg.PublishEveryMS) {
			return
		}
		entry := r.catalogue.Drop(id, 0)
		d, _ = r.drops.Put(id)
		if entry == nil {
			r.counts[rollupUnknownDrop]++
			d.dirty, d.next = false, t.Watermark+r.cfg.PublishEveryMS
			return
		}
		d.published, d.dirty, d.next = t.Watermark, false, 0
		final := entry.EndMS - 1 + r.cfg.AllowedLatenessMS
		for _, sku := range d.skus {
			d.wake(r.publish(id, sku, entry, t.Watermark, t.Watermark >= final, out))
		}
		if t.Watermark < final {
			d.wake(final)
		}
	})
	r.items.Due(t.Watermark, func(key string, _ *item) { r.items.Delete(key) })
	r.panes.Due(t.Watermark, func(key string, _ *flow) { r.panes.Delete(key) })
}
