package inventory

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// The defaults of Config.
const (
	// DefaultPaneMS is the hop of DOMAIN 2.1.
	DefaultPaneMS = 10_000
	// DefaultReservationMS is how long a shop holds a basket.
	DefaultReservationMS = 10 * minuteMS
	// DefaultKeepMS covers a return policy of a month and the parcel's way back.
	DefaultKeepMS = 45 * 24 * hourMS
)

const (
	minuteMS int64 = 60_000
	hourMS         = 60 * minuteMS
)

// Config of a Rule. The zero value means the documented defaults.
type Config struct {
	// PaneMS is the pane's width in ms (default 10,000). It divides a minute. State written with another width is refused.
	PaneMS int64
	// ReservationMS is how long, in event time, a started checkout holds its pieces (default 10 min).
	ReservationMS int64
	// KeepMS is how long after a checkout's last event or promised time refunds and handovers still find it (default 45 d).
	KeepMS int64
	// Logger gets one error per refused mark; nil discards.
	Logger *slog.Logger
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("inventory: "+format, args...))
	}
	if c.PaneMS < 0 || c.PaneMS > minuteMS || c.PaneMS > 0 && minuteMS%c.PaneMS != 0 {
		bad("pane of %d ms does not divide a minute", c.PaneMS)
	}
	if c.ReservationMS < 0 || c.ReservationMS > 24*hourMS {
		bad("reservation of %d ms is outside 0 to a day", c.ReservationMS)
	}
	if c.KeepMS < 0 || c.KeepMS > longestPromise {
		bad("keeping checkouts for %d ms is outside 0 to 366 d", c.KeepMS)
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	if c.PaneMS == 0 {
		c.PaneMS = DefaultPaneMS
	}
	if c.ReservationMS == 0 {
		c.ReservationMS = DefaultReservationMS
	}
	if c.KeepMS == 0 {
		c.KeepMS = DefaultKeepMS
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Rule counts one partition's part of every limited run. It implements processors.Rule and processors.Counting.
type Rule struct {
	cfg       Config
	partition int32
	catalogue processors.Catalogue

	orders  *processors.Table[order]
	panes   *processors.Table[pane]
	horizon *wire.HorizonTable
	names   *wire.Names
	counts  [numOutcomes]uint64

	key    []byte
	record event.Inventory
}

// The outcomes of a Rule.
const (
	// outcomeRepeated records say of a checkout what was known.
	outcomeRepeated = iota
	// outcomeParked refunds and handovers wait for the sale.
	outcomeParked
	// outcomeOrphaned checkouts were forgotten with a refund or handover, but no sale.
	outcomeOrphaned
	// outcomeUnknownSKU sales are of an item that the catalogue does not offer. They count.
	outcomeUnknownSKU
	// outcomePastPromise sales promised a time before them: late at once.
	outcomePastPromise
	// outcomeAbsurdPromise sales promised a time over a year away, or one without a partner: no promise.
	outcomeAbsurdPromise
	// outcomeRefused marks could not be counted although the runtime accepted their event: a defect, never traffic.
	outcomeRefused
	numOutcomes
)

var outcomes = [numOutcomes]string{"repeated", "parked", "orphaned", "unknown_sku", "promise_past", "promise_absurd", "refused"}

// New makes the rule of one partition. catalogue holds every drop of the events applied.
func New(cfg Config, partition int32, catalogue processors.Catalogue) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Rule{cfg: cfg.withDefaults(), partition: partition, catalogue: catalogue, names: &wire.Names{}}
	r.orders = processors.NewTable("order", processors.Codec[order](orderCodec{cfg: &r.cfg, names: r.names}))
	r.panes = processors.NewTable("pane", processors.Codec[pane](paneCodec{paneMS: r.cfg.PaneMS}))
	r.horizon = wire.NewHorizon("horizon", "at")
	return r, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "inventory" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.orders, r.panes, r.horizon}
}

// Outcomes implements processors.Counting.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) {
	for i, name := range outcomes {
		each(name, r.counts[i])
	}
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	if ev.Kind != event.KindCheckout || ev.DropID == "" || ev.Synthetic {
		return
	}
	switch ev.Type {
	case event.CheckoutStarted, event.CheckoutCompleted, event.CheckoutFailed, event.CheckoutRefunded, event.CheckoutFulfilled, event.CheckoutShipped:
	default:
		return
	}
	r.key = append(wire.AppendString(r.key[:0], ev.DropID), ev.Checkout.CheckoutID...)
	o, _ := r.orders.Put(wire.Alias(r.key))
	before := o.marks(&r.cfg)
	v := o.take(ev, at, r.names)
	r.count(v, ev, at)
	after := o.marks(&r.cfg)
	for slot := range after {
		if before[slot] == after[slot] {
			continue
		}
		r.mark(ev.DropID, slot, before[slot], takeBack)
		r.mark(ev.DropID, slot, after[slot], set)
	}
}

func (r *Rule) count(v verdict, ev *event.Event, at int64) {
	switch v {
	case repeated:
		r.counts[outcomeRepeated]++
		return
	case parked:
		r.counts[outcomeParked]++
	}
	if ev.Type != event.CheckoutCompleted {
		return
	}
	c := &ev.Checkout
	if drop := r.catalogue.Drop(ev.DropID, 0); drop == nil || !offers(drop, c.SKU) {
		r.counts[outcomeUnknownSKU]++
	}
	switch {
	case c.PromisedBy == 0:
	case c.Partner == "" || c.PromisedBy-at > longestPromise:
		r.counts[outcomeAbsurdPromise]++
	case c.PromisedBy < at:
		r.counts[outcomePastPromise]++
	}
}

// offers says whether the drop's catalogue entry holds the item.
func offers(drop *event.Drop, sku string) bool {
	return slices.ContainsFunc(drop.Items, func(i event.Item) bool { return i.SKU == sku })
}

type sign bool

const (
	set      sign = true
	takeBack sign = false
)

// mark counts m, or takes it back.
func (r *Rule) mark(drop string, slot int, m mark, s sign) {
	if m.n == 0 {
		return
	}
	r.key = appendPaneKey(r.key[:0], drop, m.cell, m.pane)
	key := wire.Alias(r.key)
	if s == takeBack {
		if p := r.panes.Get(key); p == nil || p.counts[slot] < m.n {
			r.refuse("a mark is to be taken from a pane that does not hold it", drop, m)
			return
		}
	}
	p, created := r.panes.Put(key)
	switch {
	case created && r.final(m.pane):
		r.panes.Delete(key)
		r.refuse("the pane is final", drop, m)
	case s == takeBack:
		p.counts[slot] -= m.n
	default:
		p.start = m.pane
		p.counts[slot] += m.n
	}
}

// final says whether a flush has deleted the panes that begin at start.
func (r *Rule) final(start int64) bool {
	return r.horizon.Passed(start + r.cfg.PaneMS - 1)
}

func (r *Rule) refuse(why, drop string, m mark) {
	r.counts[outcomeRefused]++
	r.cfg.Logger.Error("inventory: mark refused: "+why, "drop_id", drop, "sku", m.cell.sku, "pane", m.pane, "partition", r.partition)
}

// Flush implements processors.Rule.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	// A pane is final when its last millisecond is at or before passed.
	passed := t.Watermark - t.AllowedLateness
	closed := processors.FlushPanes(r.panes, passed, func(key string, p *pane, m event.Maturity) {
		if !r.emit(key, p, t.Watermark, m, out) {
			r.panes.Delete(key)
		}
	})
	if closed {
		r.horizon.Advance(passed)
	}
	r.orders.Due(passed, func(key string, o *order) {
		if o.sale.at == 0 && (o.shipped != 0 || o.fulfilled != 0 || len(o.refunds) > 0) {
			r.counts[outcomeOrphaned]++
		}
		r.orders.Delete(key)
	})
}

// emit publishes p's next revision, unless it holds nothing and nobody has heard of it: its marks came and went
// within one transaction. p is staged for changing already, or deleted next.
func (r *Rule) emit(key string, p *pane, watermark int64, m event.Maturity, out *processors.Output) bool {
	if p.revision == 0 && p.counts == ([numSlots]uint64{}) {
		return false
	}
	p.revision++
	drop, c := cutPaneKey(key)
	n := &p.counts
	r.record = event.Inventory{
		DropID: drop, SKU: c.sku, Channel: c.channel, Partner: c.partner, Partition: r.partition,
		PaneStart: p.start, PaneMS: r.cfg.PaneMS, Revision: p.revision, Watermark: watermark, Maturity: m,
		Sold: n[slotSold], Reserved: n[slotReserved], Released: n[slotReleased], Expired: n[slotExpired], Returned: n[slotReturned],
		Checkouts: n[slotCheckouts], Promised: n[slotPromised], Shipped: n[slotShipped], Fulfilled: n[slotFulfilled],
		Cancelled: n[slotCancelled], Due: n[slotDue], Late: n[slotLate],
	}
	r.key = appendRecordKey(r.key[:0], &r.record)
	out.Emit(event.KindInventory, wire.Alias(r.key), r.record.AppendJSON)
	return true
}

// appendRecordKey appends drop_id|sku|channel|partner|pane_start|partition.
func appendRecordKey(dst []byte, v *event.Inventory) []byte {
	for _, part := range [...]string{v.DropID, v.SKU, v.Channel, v.Partner} {
		dst = wire.AppendPart(dst, part)
	}
	dst = append(strconv.AppendInt(dst, v.PaneStart, 10), '|')
	return strconv.AppendInt(dst, int64(v.Partition), 10)
}
