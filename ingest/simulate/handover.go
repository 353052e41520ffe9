package simulate

import (
	"github.com/droplift/droplift/ingest/event"
)

// handover is a physical item that its partner is about to hand over.
type handover struct {
	order   order
	session session // whose envelope it carries
	typ     event.Type
}

// promise says who hands the order's item over, and until when, and plans it.
func (sh *shard) promise(s *session, o *order) {
	b := &sh.w.s.Behaviour
	if b.PromiseMS == 0 || o.item == noItem || !sh.w.drops[s.drop].physical(o.item) {
		return
	}
	o.partner = uint8(pick(sh.w.partners, sh.rng))
	o.promised = sh.now + b.PromiseMS
	at := sh.now + sh.between(b.PromiseMS/20, b.PromiseMS)
	if sh.chance(b.LateFulfilment * sh.w.s.Partners[o.partner].Late) {
		at = o.promised + sh.between(1, 2*b.PromiseMS)
	}
	typ := event.CheckoutShipped
	if sh.players[s.player].till {
		typ = event.CheckoutFulfilled
	}
	sh.planHandover(at, handover{order: *o, typ: typ,
		session: session{id: s.id, playerID: s.playerID, player: s.player, drop: s.drop, pop: s.pop}})
}

func (sh *shard) planHandover(at int64, h handover) {
	if at < sh.w.end {
		sh.timers.push(timer{at: at, what: timeHandover, ref: alloc(&sh.handovers, &sh.freeHandovers, h)})
	}
}

// handOver sends that an item was shipped, or that the buyer has it: shipped ones arrive in a day or two.
func (sh *shard) handOver(i uint32) {
	h := sh.handovers[i]
	sh.handovers[i] = handover{}
	sh.freeHandovers = append(sh.freeHandovers, i)
	sh.writeCheckout(&h.session, &h.order, h.typ)
	sh.emit(sh.checkoutSubject(&h.session), ordinary)
	if h.typ == event.CheckoutShipped {
		h.typ = event.CheckoutFulfilled
		sh.planHandover(sh.now+sh.between(day, 2*day), h)
	}
}

// blind says that a till sells although nothing is left.
func (sh *shard) blind(s *session) bool {
	f := sh.w.s.Faults.BlindTill
	return f > 0 && sh.players[s.player].till && sh.chance(f)
}

// charge writes the tax in the amount, half away from zero.
func (sh *shard) charge(s *session, c *event.Checkout) {
	rate := sh.w.s.Regions[sh.players[s.player].region].TaxBPS
	c.Tax = (2*c.Amount*rate + 10_000 + rate) / (2 * (10_000 + rate))
}

// promised is one promise, as each view knows it. Times are 0 for never.
type promised struct {
	drop   int
	by     int64
	made   [numViews]string // the partner's name, once the purchase is known
	handed [numViews]int64
	// returned is when all the money went back.
	amount, back [numViews]int64
	returned     [numViews]int64
}

// enterPromise books what a checkout record says of a promise.
func (sh *shard) enterPromise(ev *event.Event, sub subject, at int64, view int) {
	c := &ev.Checkout
	if c.PromisedBy == 0 {
		return
	}
	p := sh.promises[c.CheckoutID]
	if p == nil {
		p = &promised{drop: sub.drop, by: c.PromisedBy}
		sh.promises[c.CheckoutID] = p
	}
	switch ev.Type {
	case event.CheckoutCompleted:
		p.made[view], p.amount[view] = c.Partner, c.Amount
	case event.CheckoutFulfilled, event.CheckoutShipped:
		if p.handed[view] == 0 || at < p.handed[view] {
			p.handed[view] = at
		}
	case event.CheckoutRefunded:
		p.back[view], p.returned[view] = c.Amount, at
	}
}

// count enters the promise in the books of its partner.
func (p *promised) count(view int, partners map[string]Fulfilment) {
	name := p.made[view]
	if name == "" {
		return
	}
	f := partners[name]
	f.Promised++
	handed := p.handed[view]
	returned := p.returned[view] != 0 && p.back[view] >= p.amount[view]
	switch {
	case returned && p.returned[view] <= p.by && (handed == 0 || p.returned[view] < handed):
		f.Cancelled++
	case handed == 0:
		f.Open++
	case handed <= p.by:
		f.Kept++
	default:
		f.Late++
	}
	partners[name] = f
}
