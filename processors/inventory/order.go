package inventory

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// cell is what a mark is counted under, within a drop.
type cell struct{ sku, channel, partner string }

// start is a checkout's first started record; at is 0 where none is known.
type start struct {
	at           int64
	sku, channel string
	quantity     uint32
}

// sale is a checkout's first completed record.
type sale struct {
	start
	amount  int64
	partner string
	// promised is by when the item is promised (Unix ms), 0 for no promise.
	promised int64
}

func (s *start) compare(o *start) int {
	return cmp.Or(cmp.Compare(s.at, o.at), strings.Compare(s.sku, o.sku), strings.Compare(s.channel, o.channel), cmp.Compare(s.quantity, o.quantity))
}

func (s *sale) compare(o *sale) int {
	return cmp.Or(s.start.compare(&o.start), cmp.Compare(s.amount, o.amount), strings.Compare(s.partner, o.partner), cmp.Compare(s.promised, o.promised))
}

// refund is one refund of a checkout.
type refund struct {
	seq    uint32
	at     int64
	amount int64
}

// order is what is known of one checkout. Times are 0 for never.
type order struct {
	start                      start
	sale                       sale
	failed, shipped, fulfilled int64
	refunds                    []refund // by seq
	newest                     int64    // event time of its newest record
}

// verdict says what a record meant to an order.
type verdict uint8

const (
	news verdict = iota
	repeated
	// parked records wait for the sale they belong to.
	parked
)

// earliest keeps the earlier time.
func earliest(known *int64, at int64) verdict {
	v := news
	if *known != 0 {
		v = repeated
	}
	if *known == 0 || at < *known {
		*known = at
	}
	return v
}

// take folds one record in.
func (o *order) take(ev *event.Event, at int64, names *wire.Names) verdict {
	c := &ev.Checkout
	o.newest = max(o.newest, at)
	known := start{at: at, sku: c.SKU, channel: c.Channel, quantity: c.Quantity}
	v := news
	switch ev.Type {
	case event.CheckoutStarted:
		if o.start.at != 0 {
			v = repeated
		}
		if o.start.at == 0 || known.compare(&o.start) < 0 {
			o.start = known
			o.start.keep(names)
		}
		return v
	case event.CheckoutCompleted:
		if o.sale.at != 0 {
			v = repeated
		}
		if s := (sale{start: known, amount: c.Amount, partner: c.Partner, promised: c.PromisedBy}); o.sale.at == 0 || s.compare(&o.sale) < 0 {
			o.sale = s
			o.sale.keep(names)
			o.sale.partner = names.Text(c.Partner)
		}
		return v
	case event.CheckoutFailed:
		return earliest(&o.failed, at)
	case event.CheckoutShipped:
		v = earliest(&o.shipped, at)
	case event.CheckoutFulfilled:
		v = earliest(&o.fulfilled, at)
	case event.CheckoutRefunded:
		v = o.refund(refund{seq: c.Seq, at: at, amount: c.Amount})
	}
	if v == news && o.sale.at == 0 {
		return parked
	}
	return v
}

func (s *start) keep(names *wire.Names) {
	s.sku, s.channel = names.Text(s.sku), names.Text(s.channel)
}

func (o *order) refund(r refund) verdict {
	i, known := slices.BinarySearchFunc(o.refunds, r.seq, func(known refund, seq uint32) int { return cmp.Compare(known.seq, seq) })
	if !known {
		o.refunds = slices.Insert(o.refunds, i, r)
		return news
	}
	if old := &o.refunds[i]; cmp.Or(cmp.Compare(r.at, old.at), cmp.Compare(r.amount, old.amount)) < 0 {
		*old = r
	}
	return repeated
}

// returned is when the refunds reached the sale's amount, not before the sale; 0 for never.
func (o *order) returned() int64 {
	if o.sale.at == 0 || len(o.refunds) == 0 {
		return 0
	}
	byTime := slices.Clone(o.refunds)
	slices.SortFunc(byTime, func(a, b refund) int { return cmp.Compare(a.at, b.at) })
	left := o.sale.amount
	for _, r := range byTime {
		if left -= min(left, r.amount); left == 0 {
			return max(r.at, o.sale.at)
		}
	}
	return 0
}

// The numbers of a pane, one slot per mark of an order.
const (
	slotSold = iota
	slotReserved
	slotReleased
	slotExpired
	slotReturned
	slotCheckouts
	slotPromised
	slotShipped
	slotFulfilled
	slotCancelled
	slotDue
	slotLate
	numSlots
)

// mark is n in one slot of the pane of cell that begins at pane; n is 0 for none.
type mark struct {
	cell cell
	pane int64
	n    uint64
}

// longestPromise is how long after a sale a promise may reach: a later one is a wrong unit, not a promise.
const longestPromise = 366 * 24 * hourMS

// marks are what the order counts as; see the package comment.
func (o *order) marks(cfg *Config) (m [numSlots]mark) {
	set := func(slot int, c cell, at int64, n uint64) { m[slot] = mark{c, processors.PaneStart(at, cfg.PaneMS), n} }
	s := &o.sale
	if b := &o.start; b.at != 0 && (s.at == 0 || b.at <= s.at) {
		c := cell{b.sku, b.channel, ""}
		set(slotReserved, c, b.at, uint64(b.quantity))
		end := int64(math.MaxInt64)
		if s.at != 0 {
			end = s.at
		}
		if o.failed >= b.at {
			end = min(end, o.failed)
		}
		if runsOut := b.at + cfg.ReservationMS; end < runsOut {
			set(slotReleased, c, end, uint64(b.quantity))
		} else {
			set(slotExpired, c, runsOut, uint64(b.quantity))
		}
	}
	if s.at == 0 {
		return m
	}
	c := cell{s.sku, s.channel, s.partner}
	set(slotSold, c, s.at, uint64(s.quantity))
	set(slotCheckouts, c, s.at, 1)
	returned := o.returned()
	if returned != 0 {
		set(slotReturned, c, returned, uint64(s.quantity))
	}
	handed := int64(0)
	for i, at := range [...]int64{o.shipped, o.fulfilled} {
		if at == 0 {
			continue
		}
		at = max(at, s.at)
		set(slotShipped+i, c, at, 1)
		if handed == 0 || at < handed {
			handed = at
		}
	}
	if !s.promises() {
		return m
	}
	set(slotPromised, c, s.at, 1)
	runsOut := max(s.promised+1, s.at)
	if returned != 0 && returned < runsOut && (handed == 0 || returned < handed) {
		set(slotCancelled, c, returned, 1)
		return m
	}
	set(slotDue, c, runsOut, 1)
	if handed == 0 || handed > s.promised {
		set(slotLate, c, runsOut, 1)
	}
	return m
}

// promises says whether the sale binds its partner.
func (s *sale) promises() bool {
	return s.partner != "" && s.promised != 0 && s.promised-s.at <= longestPromise
}

// orderCodec writes: version, newest, start, sale, the three times, the refunds.
type orderCodec struct {
	cfg   *Config
	names *wire.Names
}

const orderVersion = 1

func (orderCodec) Append(dst []byte, o *order) []byte {
	dst = binary.AppendUvarint(append(dst, orderVersion), uint64(o.newest))
	dst = appendStart(dst, &o.start)
	dst = appendStart(dst, &o.sale.start)
	if o.sale.at != 0 {
		dst = binary.AppendUvarint(dst, uint64(o.sale.amount))
		dst = wire.AppendString(dst, o.sale.partner)
		dst = binary.AppendUvarint(dst, uint64(o.sale.promised))
	}
	for _, at := range [...]int64{o.failed, o.shipped, o.fulfilled} {
		dst = binary.AppendUvarint(dst, uint64(at))
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.refunds)))
	for _, r := range o.refunds {
		dst = binary.AppendUvarint(dst, uint64(r.seq))
		dst = binary.AppendUvarint(dst, uint64(r.at))
		dst = binary.AppendUvarint(dst, uint64(r.amount))
	}
	return dst
}

func appendStart(dst []byte, s *start) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.at))
	if s.at == 0 {
		return dst
	}
	dst = wire.AppendString(dst, s.sku)
	dst = wire.AppendString(dst, s.channel)
	return binary.AppendUvarint(dst, uint64(s.quantity))
}

func (c orderCodec) Decode(data []byte, o *order) error {
	r, _ := wire.NewReader(data, orderVersion)
	*o = order{newest: r.Natural(), refunds: o.refunds[:0]}
	o.start = c.start(&r)
	o.sale.start = c.start(&r)
	if o.sale.at != 0 {
		o.sale.amount, o.sale.partner, o.sale.promised = r.Natural(), c.names.Bytes(r.Bytes()), r.Natural()
	}
	o.failed, o.shipped, o.fulfilled = r.Natural(), r.Natural(), r.Natural()
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		o.refunds = append(o.refunds, refund{seq: r.Uint32(), at: r.Natural(), amount: r.Natural()})
	}
	return r.Done()
}

func (c orderCodec) start(r *wire.Reader) start {
	s := start{at: r.Natural()}
	if s.at != 0 {
		s.sku, s.channel, s.quantity = c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes()), r.Uint32()
	}
	return s
}

// Deadline is when the order is forgotten: nothing may come for it any more.
func (c orderCodec) Deadline(o *order) int64 {
	last := max(o.newest, o.start.at+c.cfg.ReservationMS)
	if o.sale.at != 0 && o.sale.promises() {
		last = max(last, o.sale.promised)
	}
	return last + c.cfg.KeepMS
}
