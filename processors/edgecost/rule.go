package edgecost

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

const (
	minuteMS = 60_000
	// million is how many parts a request has.
	million = 1_000_000
)

// Config of a Rule. The zero value means the documented defaults.
type Config struct {
	// PaneMS is the pane's width in ms (default 60,000). It divides a minute. State written with another width is refused on restore.
	PaneMS int64
	// Prices is the price list; nil prices nothing.
	Prices *PriceList
	// Logger gets one error per refused contribution; nil discards.
	Logger *slog.Logger
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	if c.PaneMS < 0 || c.PaneMS > minuteMS || c.PaneMS > 0 && minuteMS%c.PaneMS != 0 {
		problems = append(problems, fmt.Errorf("edgecost: pane of %d ms does not divide a minute", c.PaneMS))
	}
	if c.Prices != nil {
		problems = append(problems, c.Prices.Validate())
	}
	return errors.Join(problems...)
}

// Rule counts and prices one partition's part of the edge traffic. It implements processors.Rule and processors.Counting.
type Rule struct {
	paneMS    int64
	partition int32
	catalogue processors.Catalogue
	logger    *slog.Logger
	prices    *PriceList
	pricesID  string

	cells       *processors.Table[cell]
	conversions *processors.Table[conversion]
	horizon     *wire.HorizonTable
	names       *wire.Names

	// unpriced counts events of drops without a price list, outOfRange those whose quantities, or sums with them, no int64 holds.
	unpriced, outOfRange uint64
	// refused counts contributions to what is final, or of a drop that the catalogue does not hold: defects, never traffic.
	refused uint64

	key    []byte
	record event.EdgeCost
}

// New makes the rule of one partition. catalogue holds every drop of the events applied.
func New(cfg Config, partition int32, catalogue processors.Catalogue) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.PaneMS == 0 {
		cfg.PaneMS = minuteMS
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &wire.Names{}
	r := &Rule{
		paneMS: cfg.PaneMS, partition: partition, catalogue: catalogue, logger: cfg.Logger, prices: cfg.Prices,
		cells:       processors.NewTable("cell", processors.Codec[cell](cellCodec{paneMS: cfg.PaneMS, names: n})),
		conversions: processors.NewTable("conversion", processors.Codec[conversion](conversionCodec{paneMS: cfg.PaneMS, names: n})),
		horizon:     wire.NewHorizon("horizon", "cells"),
		names:       n,
	}
	if r.prices != nil {
		r.pricesID = r.prices.ID()
	}
	return r, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "edge-cost" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.cells, r.conversions, r.horizon}
}

// Outcomes implements processors.Counting.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) {
	each("no_price_list", r.unpriced)
	each("out_of_range", r.outOfRange)
	each("refused", r.refused)
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	switch {
	case ev.Type == event.EdgeRequest:
		r.request(ev, at)
	case ev.Type == event.CheckoutCompleted && !ev.Synthetic && ev.DropID != "" && ev.PlayerID != "":
		r.convert(ev, at)
	}
}

func (r *Rule) request(ev *event.Event, at int64) {
	u, ok := usageOf(ev)
	if !ok {
		r.outOfRange++
		return
	}
	p := place{drop: ev.DropID, pop: ev.POP, creator: ev.CreatorID, synthetic: ev.Synthetic, start: processors.PaneStart(at, r.paneMS)}
	if p.prices, ok = r.pricesOf(ev.DropID, nil); !ok {
		r.refuse("the catalogue does not hold the drop", &p)
		return
	}
	if p.prices == "" {
		r.unpriced++
	}
	c := r.cell(&p)
	if c == nil {
		return
	}
	sum := edgebudget.Usage{Requests: c.usage.Requests + u.Requests, CPU: c.usage.CPU + u.CPU, Egress: c.usage.Egress + u.Egress}
	if min(sum.Requests, sum.CPU, sum.Egress) < 0 {
		r.outOfRange++
		return
	}
	c.usage = sum
	c.samples++
	c.newest = max(c.newest, at)
	if c.rate == 0 || ev.SampleRate < c.rate {
		c.rate = ev.SampleRate
	}
}

// usageOf is what one event stands for. Quantities are weighted before they are rounded, so that a sum of them errs by half a part each.
func usageOf(ev *event.Event) (u edgebudget.Usage, ok bool) {
	if ev.SampleRate == 1 {
		u = edgebudget.Usage{Requests: million, Egress: ev.Latency.EgressBytes}
		u.CPU, ok = whole(ev.Latency.CPUMS * 1000)
		return u, ok
	}
	var fits [3]bool
	u.Requests, fits[0] = whole(million / ev.SampleRate)
	u.CPU, fits[1] = whole(ev.Latency.CPUMS * 1000 / ev.SampleRate)
	u.Egress, fits[2] = whole(float64(ev.Latency.EgressBytes) / ev.SampleRate)
	return u, fits[0] && fits[1] && fits[2]
}

// maxQuantity is what one event may stand for: more is a unit mistaken, and a few of them would fill an int64.
const maxQuantity = 1 << 53

func whole(v float64) (int64, bool) {
	if !(v >= 0 && v <= maxQuantity) {
		return 0, false
	}
	return int64(math.Round(v)), true
}

// pricesOf is the id of the price list that a drop's requests are billed by, empty for none; ok is false for an unknown drop. A drop
// without a currency of its own is billed in the list's.
func (r *Rule) pricesOf(dropID string, drop *event.Drop) (id string, ok bool) {
	if dropID != "" {
		if drop == nil {
			drop = r.catalogue.Drop(dropID, 0)
		}
		if drop == nil {
			return "", false
		}
		if r.prices != nil && drop.BudgetCurrency != "" && drop.BudgetCurrency != r.prices.Currency {
			return "", true
		}
	}
	return r.pricesID, true
}

// convert moves the player's conversion when ev is an earlier one than known.
func (r *Rule) convert(ev *event.Event, at int64) {
	p := place{drop: ev.DropID, pop: ev.POP, creator: ev.CreatorID, start: processors.PaneStart(at, r.paneMS)}
	drop := r.catalogue.Drop(ev.DropID, 0)
	if drop == nil {
		r.refuse("the catalogue does not hold the drop", &p)
		return
	}
	if at >= drop.EndMS {
		return
	}
	r.key = wire.AppendString(r.key[:0], ev.DropID)
	r.key = append(r.key, ev.PlayerID...)
	known := r.conversions.Get(wire.Alias(r.key))
	if known != nil && !(at < known.at || at == known.at && (ev.POP < known.pop || ev.POP == known.pop && ev.CreatorID < known.creator)) {
		return
	}
	s, created := r.conversions.Put(wire.Alias(r.key))
	if !created {
		old := place{drop: ev.DropID, pop: s.pop, creator: s.creator, prices: s.prices, start: processors.PaneStart(s.at, r.paneMS)}
		r.key = old.appendKey(r.key[:0])
		if c := r.cells.Get(wire.Alias(r.key)); c == nil || c.conversions == 0 {
			r.refuse("a conversion is to be taken from a pane that does not have it", &old)
		} else {
			c, _ = r.cells.Put(wire.Alias(r.key))
			c.conversions--
		}
	}
	p.prices, _ = r.pricesOf(ev.DropID, drop)
	*s = conversion{at: at, end: drop.EndMS, pop: r.names.Text(ev.POP), creator: r.names.Text(ev.CreatorID), prices: p.prices}
	if c := r.cell(&p); c != nil {
		c.conversions++
		c.newest = max(c.newest, at)
	}
}

// cell is the cell of p, for changing; nil when it is final.
func (r *Rule) cell(p *place) *cell {
	r.key = p.appendKey(r.key[:0])
	key := wire.Alias(r.key)
	c, created := r.cells.Put(key)
	if created {
		if r.horizon.Passed(p.start + r.paneMS - 1) {
			r.cells.Delete(key)
			r.refuse("the pane is final", p)
			return nil
		}
		c.start = p.start
		if p.prices != "" {
			c.currency = r.prices.Currency
		}
	}
	return c
}

func (r *Rule) refuse(why string, p *place) {
	r.refused++
	r.logger.Error("edge-cost: contribution refused: "+why,
		"drop_id", p.drop, "pop", p.pop, "creator_id", p.creator, "pane", p.start, "partition", r.partition)
}

// Flush implements processors.Rule.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	// A pane is final when its last millisecond is at or before passed.
	passed := t.Watermark - t.AllowedLateness
	closed := processors.FlushPanes(r.cells, passed, func(key string, c *cell, m event.Maturity) {
		r.emit(key, c, t.Watermark, m, out)
	})
	if closed {
		r.horizon.Advance(passed)
	}
	r.conversions.Due(passed, func(key string, _ *conversion) { r.expire(key, passed) })
}

// expire deletes a player's conversion, unless the drop was prolonged since.
func (r *Rule) expire(key string, passed int64) {
	dropID, _ := wire.CutString(key)
	drop := r.catalogue.Drop(dropID, 0)
	if drop == nil || processors.LastPaneEnd(drop.EndMS, r.paneMS) <= passed {
		r.conversions.Delete(key)
		return
	}
	s, _ := r.conversions.Put(key)
	s.end = drop.EndMS
}

// emit publishes the cell's next revision. A cell of an earlier price list keeps its cost: nothing was added to it since.
func (r *Rule) emit(key string, c *cell, watermark int64, m event.Maturity, out *processors.Output) {
	c.revision++
	p := placeOf(key)
	if p.prices != "" && p.prices == r.pricesID {
		cost, err := r.prices.At(p.pop).Cost(c.usage)
		if err != nil {
			r.outOfRange++
			r.logger.Error("edge-cost: a pane without a cost", "error", err, "drop_id", p.drop, "pop", p.pop, "pane", p.start, "partition", r.partition)
			c.currency = ""
		}
		c.cost = cost
	}
	rate := c.rate
	if rate == 0 {
		rate = 1
	}
	r.record = event.EdgeCost{
		DropID: p.drop, POP: p.pop, CreatorID: p.creator, Partition: r.partition,
		PaneStart: c.start, PaneMS: r.paneMS, Synthetic: p.synthetic,
		Revision: c.revision, Watermark: watermark, Maturity: m, Newest: c.newest,
		Samples: c.samples, SampleRate: rate,
		RequestsMicro: c.usage.Requests, CPUMicros: c.usage.CPU, EgressBytes: c.usage.Egress, Conversions: c.conversions,
		Currency: c.currency, Prices: p.prices, Cost: c.cost,
	}
	r.key = appendRecordKey(r.key[:0], &r.record)
	out.Emit(event.KindEdgeCost, wire.Alias(r.key), r.record.AppendJSON)
}
