package inventory

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/stats"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// Metric is the estimate that a Rollup publishes per item, with dimension sku: the pieces left for sale. N is the
// inventory, Numerator the pieces sold. Details: sold, returned, reserved, oversold, inventory; where known
// sold_out_at, sell_out_at and its interval sell_out_from, sell_out_to (Unix ms); sold_out_final 1 once sold_out_at is past the allowed lateness.
const Metric = "inventory_remaining"

// stock is how an item stands at progress.
type stock struct {
	limit    uint64 // 0 is without limit
	unknown  bool
	sold     uint64
	reserved uint64
	returned uint64
	// left is limit − sold, with what came back where that is for sale again; oversold is what it is below 0, and
	// remaining what it is above reservations.
	left, oversold, remaining uint64
	soldOutAt                 int64
	forecast                  forecast
}

// forecast is when the item sells out at the rate of the last 20 to 30 minutes; at is 0 where there are too few sales to tell.
type forecast struct{ at, from, to int64 }

// enoughSales make a forecast.
const enoughSales = 10

// publish publishes one item, if it has changed, and decides on it. It returns when to look again without news, 0 for never.
func (r *Rollup) publish(id, sku string, entry *event.Drop, progress int64, final bool, out *processors.Output) (next int64) {
	t := r.items.Get(r.itemKey(id, sku))
	if t == nil {
		return 0 // forgotten
	}
	s := r.stock(id, t, sku, entry, progress)
	now := shown{reserved: s.reserved, final: final, soldOutFinal: s.soldOutAt != 0 && progress >= s.soldOutAt-1+r.cfg.AllowedLatenessMS}
	switch {
	case s.reserved > 0:
		next = progress + r.cfg.PublishEveryMS
	case s.soldOutAt != 0 && !now.soldOutFinal:
		next = s.soldOutAt - 1 + r.cfg.AllowedLatenessMS
	}
	if !t.changed && t.shown == now && t.inventory == s.limit {
		return next
	}
	t, _ = r.items.Put(r.itemKey(id, sku))
	t.shown, t.changed = now, false
	r.decide(id, t, sku, &s, progress, out)
	t.revision++
	e := event.Estimate{
		DropID: id, Metric: Metric, Dimensions: []event.Dimension{{Name: "sku", Value: sku}}, Revision: t.revision,
		AsOf: progress, From: entry.StartMS, To: entry.EndMS, Unit: "pieces", N: s.limit, Numerator: s.sold,
		Enough: s.limit > 0, Value: float64(s.remaining), Low: float64(s.remaining), High: float64(s.remaining), Confidence: 1, P: -1, SampleRate: 1,
		Details: s.details(),
	}
	if now.soldOutFinal {
		e.Details = append(e.Details, event.Detail{Name: "sold_out_final", Value: 1})
	}
	switch {
	case s.unknown:
		e.Why = "the catalogue does not offer the item"
	case s.limit == 0:
		e.Why = "without limit"
	}
	if final {
		e.Maturity = event.Final
	}
	r.key = wire.AppendPart(wire.AppendPart(r.key[:0], id), Metric)
	r.key = append(append(r.key, "sku="...), sku...)
	out.Emit(event.KindEstimate, wire.Alias(r.key), e.AppendJSON)
	return next
}

func (s *stock) details() []event.Detail {
	details := []event.Detail{
		{Name: "sold", Value: float64(s.sold)}, {Name: "returned", Value: float64(s.returned)}, {Name: "reserved", Value: float64(s.reserved)},
		{Name: "oversold", Value: float64(s.oversold)}, {Name: "inventory", Value: float64(s.limit)},
	}
	for _, at := range [...]struct {
		name string
		ms   int64
	}{{"sold_out_at", s.soldOutAt}, {"sell_out_at", s.forecast.at}, {"sell_out_from", s.forecast.from}, {"sell_out_to", s.forecast.to}} {
		if at.ms != 0 {
			details = append(details, event.Detail{Name: at.name, Value: float64(at.ms)})
		}
	}
	return details
}

// stock adds an item up as of progress.
func (r *Rollup) stock(id string, t *item, sku string, entry *event.Drop, progress int64) stock {
	var s stock
	s.limit, s.unknown = inventoryOf(entry, sku)
	expired := int64(0)
	for _, x := range t.stretches {
		if x.start+stretchMS-1 <= progress {
			expired += x.expired
		} else if x.start <= progress {
			r.each(id, sku, x.start, func(f *flow) bool {
				if f.start+r.cfg.PaneMS-1 <= progress {
					expired += f.expired
				}
				return true
			})
		}
	}
	s.sold, s.returned = r.positive(t.total.sold), r.positive(t.total.returned)
	// A reservation that ran out in a pane to come may have been made in one that is not known yet: no defect.
	s.reserved = uint64(max(0, t.total.reserved-t.total.released-expired))
	if s.limit == 0 {
		return s
	}
	net := s.sold
	if r.cfg.Restock {
		net -= min(net, s.returned)
	}
	if net > s.limit {
		s.oversold = net - s.limit
	} else {
		s.left = s.limit - net
	}
	s.remaining = s.left - min(s.left, s.reserved)
	if s.left == 0 {
		s.soldOutAt = r.soldOut(id, t, sku, int64(s.limit))
		return s
	}
	s.forecast = t.forecast(progress, s.left)
	return s
}

// soldOut is the end of the first pane by which the item was sold out. The moment lies within that pane.
func (r *Rollup) soldOut(id string, t *item, sku string, limit int64) (at int64) {
	sum := int64(0)
	for _, x := range t.stretches {
		reached := false
		// Returns may bring the sum down again within the stretch: its end says little, its sales do.
		if sum+x.sold >= limit {
			within := sum
			r.each(id, sku, x.start, func(f *flow) bool {
				within += f.sold
				if r.cfg.Restock {
					within -= f.returned
				}
				if within >= limit {
					at, reached = f.start+r.cfg.PaneMS, true
				}
				return !reached
			})
		}
		if reached {
			return at
		}
		sum += x.sold
		if r.cfg.Restock {
			sum -= x.returned
		}
	}
	return 0
}

// each walks the panes of a stretch in order, until f says no.
func (r *Rollup) each(id, sku string, start int64, f func(*flow) bool) {
	for at := start; at < start+stretchMS; at += r.cfg.PaneMS {
		if p := r.panes.Get(r.paneKey(id, sku, at)); p != nil {
			if !f(p) {
				return
			}
		}
	}
}

// forecast is when left pieces are gone at the rate of the last two to three stretches, with the 95 % interval of
// their Poisson count.
func (t *item) forecast(progress int64, left uint64) forecast {
	from := progress - progress%stretchMS - 2*stretchMS
	sold := int64(0)
	for _, x := range t.stretches {
		if x.start >= from && x.start <= progress {
			sold += x.sold
		}
	}
	if sold < enoughSales {
		return forecast{}
	}
	after := func(n float64) int64 {
		return progress + int64(math.Ceil(float64(left)*float64(progress-from)/n))
	}
	n := float64(sold)
	spread := stats.Z95 * math.Sqrt(n)
	return forecast{at: after(n), from: after(n + spread), to: after(n - spread)}
}

// inventoryOf is an item's limit, 0 for none, and whether the entry does not hold it.
func inventoryOf(entry *event.Drop, sku string) (limit uint64, unknown bool) {
	unknown = true
	for i := range entry.Items {
		if entry.Items[i].SKU != sku {
			continue
		}
		if unknown = false; entry.Items[i].Inventory == 0 {
			return 0, false
		}
		limit += entry.Items[i].Inventory
	}
	return limit, unknown
}

func (r *Rollup) positive(n int64) uint64 {
	if n < 0 {
		r.counts[rollupNegative]++
		return 0
	}
	return uint64(n)
}

// decide publishes the item's status once per change.
func (r *Rollup) decide(id string, t *item, sku string, s *stock, progress int64, out *processors.Output) {
	lowered := t.inventory != 0 && s.limit != 0 && s.limit < t.inventory && s.limit < s.sold && t.inventory >= s.sold
	if lowered {
		r.counts[rollupLowered]++
	}
	previous := t.status
	now := r.statusOf(s)
	t.inventory = s.limit
	if now == previous {
		return
	}
	t.status = now
	if previous == statusNone && now == statusAvailable {
		return // nothing to tell
	}
	switch now {
	case statusOversold:
		r.counts[rollupOversold]++
	case statusUnknownSKU:
		r.counts[rollupUnknownSKU]++
	}
	t.decided = max(progress, t.decided+1)
	v := event.Decision{
		DropID: id, Topic: "inventory", Subject: sku, At: t.decided, Chosen: statuses[now], Previous: statuses[previous],
		Value: float64(s.left) - float64(s.oversold), Reason: s.reason(now, lowered),
	}
	for _, x := range s.details() {
		v.Inputs = append(v.Inputs, event.Input(x))
	}
	r.key = wire.AppendPart(wire.AppendPart(wire.AppendPart(r.key[:0], id), v.Topic), sku)
	r.key = strconv.AppendInt(r.key, v.At, 10)
	out.Emit(event.KindDecision, wire.Alias(r.key), v.AppendJSON)
}

func (r *Rollup) statusOf(s *stock) status {
	switch {
	case s.unknown:
		return statusUnknownSKU
	case s.limit == 0:
		return statusAvailable
	case s.oversold > 0:
		return statusOversold
	case s.left == 0:
		return statusSoldOut
	case float64(s.left)*10_000 <= float64(s.limit)*float64(r.cfg.LowBPS):
		return statusLow
	}
	return statusAvailable
}

// reason is one sentence for a person.
func (s *stock) reason(now status, lowered bool) string {
	when := ""
	if s.soldOutAt != 0 {
		when = " at " + time.UnixMilli(s.soldOutAt).UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	switch now {
	case statusUnknownSKU:
		return fmt.Sprintf("%d pieces are sold of an item that the catalogue does not offer", s.sold)
	case statusOversold:
		if lowered {
			return fmt.Sprintf("the catalogue's inventory was lowered to %d, below the %d pieces sold", s.limit, s.sold)
		}
		return fmt.Sprintf("%d pieces are sold of %d: %d too many; sold out%s", s.sold, s.limit, s.oversold, when)
	case statusSoldOut:
		return fmt.Sprintf("all %d pieces are sold%s", s.limit, when)
	case statusLow:
		return fmt.Sprintf("%d of %d pieces are left", s.left, s.limit)
	}
	return fmt.Sprintf("%d of %d pieces are for sale again", s.left, s.limit)
}
