package simulate

import (
	"math"

	"github.com/droplift/droplift/ingest/event"
)

// order is one attempt to buy.
type order struct {
	id       string
	item     int // of the drop's entry, or noItem
	quantity uint32
	amount   int64
	split    uint32
	outcome  outcome
	soldOut  bool
	second   bool // not the visit's conversion
	fate     moneyFate
	backMS   int64 // after completion
	backPart bool
	// partner hands a physical item over by promised (Unix ms) if all goes well; promised is 0 for other items.
	partner  uint8
	promised int64
	// late says which record of the order arrives only after its refund.
	late event.Type
	held *held
}

// noItem is the order of a pass outside drops.
const noItem = -1

// passCents is the pass's price.
const passCents = 499

type outcome uint8

const (
	abandons outcome = iota
	fails
	failsFirst
	completes
)

type moneyFate uint8

const (
	kept moneyFate = iota
	refunded
	chargedBack
)

// moneyBack is a refund or chargeback to come.
type moneyBack struct {
	order     order
	session   session // whose envelope it carries
	completed int64
}

// choose draws what a visitor looks at.
func (sh *shard) choose(s *session) int {
	g := goodPoster
	switch u := sh.rng.Float64(); {
	case u < 0.06:
		g = goodVIP
	case u < 0.50:
		g = goodJacket
	}
	return sh.good(s, g)
}

func (sh *shard) good(s *session, good int) int {
	return sh.w.drops[s.drop].goods[sh.w.currencyOf[sh.players[s.player].region]][good]
}

// item is what an order buys, with its price.
func (sh *shard) item(s *session, o *order) event.Item {
	if o.item != noItem {
		return sh.w.drops[s.drop].entry.Items[o.item]
	}
	r := &sh.w.s.Regions[sh.players[s.player].region]
	return event.Item{SKU: "pass", Price: max(1, int64(math.Round(passCents*r.MinorPerCent))), Currency: r.Currency}
}

func (sh *shard) startCheckout(s *session, n uint8) {
	b := &sh.w.s.Behaviour
	o := &s.orders[n]
	o.id, o.quantity = sh.name('c'), 1
	if o.item != noItem {
		d := &sh.w.drops[s.drop]
		o.split = d.splitVersion(sh.now)
		if d.entry.Items[o.item].Inventory == 0 {
			o.quantity = 1 + uint32(sh.rng.ExpFloat64()/2)
		}
	}
	item := sh.item(s, o)
	o.amount = item.Price * int64(o.quantity)
	if (o.outcome == completes || o.outcome == failsFirst) && sh.checkoutDown(s) {
		o.outcome = fails
	}
	if o.outcome == completes {
		if o.item != noItem && !sh.take(s.drop, o.item) && !sh.blind(s) {
			o.outcome, o.soldOut = failsFirst, true
		} else {
			sh.decideFate(o)
		}
	}
	done := sh.now + sh.between(2*second, 30*second)
	if o.fate != kept && done+o.backMS < sh.w.end && o.backMS >= hour && sh.wantsLate(event.KindCheckout, 0.5) {
		o.late = event.CheckoutStarted
		if sh.chance(0.5) {
			o.late = event.CheckoutCompleted
		}
	}
	switch o.outcome {
	case completes:
		s.plan(done, opComplete, n)
	case fails, failsFirst:
		s.plan(done, opFail, n)
	}
	sh.checkout(s, o, event.CheckoutStarted)
	sh.request(s, event.RequestCheckout)
	if o.outcome == completes && !o.second && s.drop != noDrop && sh.chance(b.SecondPurchase) {
		again := s.add(order{item: sh.choose(s), outcome: completes, second: true})
		s.plan(done+sh.between(minute, 10*minute), opStart, again)
	}
}

// checkoutDown says whether an outage lets a checkout fail that starts now.
func (sh *shard) checkoutDown(s *session) bool {
	if s.drop != sh.w.main() {
		return false
	}
	for _, o := range sh.w.s.Outages {
		if age := sh.now - sh.w.s.StartMS; age >= o.FromMS && age < o.ToMS {
			return sh.chance(o.Share)
		}
	}
	return false
}

func (sh *shard) decideFate(o *order) {
	b := &sh.w.s.Behaviour
	switch u := sh.rng.Float64(); {
	case u < b.Refund:
		o.fate = refunded
		o.backMS = sh.lognormal(b.RefundMS, 0.9, 10*minute, 5*day)
		o.backPart = sh.chance(b.PartialRefund)
	case u < b.Refund+b.Chargeback:
		o.fate = chargedBack
		o.backMS = sh.between(day, 5*day)
	}
}

func (sh *shard) completeCheckout(s *session, n uint8) {
	o := &s.orders[n]
	sh.promise(s, o)
	sh.checkout(s, o, event.CheckoutCompleted)
	if o.fate != kept {
		if at := sh.now + o.backMS; at < sh.w.end {
			back := moneyBack{order: *o, completed: sh.now,
				session: session{id: s.id, playerID: s.playerID, player: s.player, drop: s.drop, pop: s.pop}}
			sh.timers.push(timer{at: at, what: timeBack, ref: alloc(&sh.returns, &sh.freeReturns, back)})
		}
	}
	if s.drop == noDrop {
		return
	}
	if v := sh.visit(s.player, s.drop); !v.bought {
		v.bought = true
		sh.retain(s.player, s.drop)
	}
}

func (sh *shard) failCheckout(s *session, n uint8) {
	o := s.orders[n]
	sh.checkout(s, &o, event.CheckoutFailed)
	if o.outcome != failsFirst {
		return
	}
	// A buyer tries again at once, with the item that never sells out if theirs did.
	again := order{item: o.item, outcome: completes, second: o.second}
	if o.soldOut {
		again.item = sh.good(s, goodPoster)
	}
	s.plan(sh.now+sh.between(5*second, 40*second), opStart, s.add(again))
}

// moneyBack refunds an order or charges it back.
func (sh *shard) moneyBack(i uint32) {
	b := sh.returns[i]
	sh.returns[i] = moneyBack{}
	sh.freeReturns = append(sh.freeReturns, i)
	typ := event.CheckoutRefunded
	if b.order.fate == chargedBack {
		typ = event.CheckoutChargeback
	}
	ev := sh.writeCheckout(&b.session, &b.order, typ)
	ev.Checkout.OriginalTime = b.completed
	if b.order.backPart {
		ev.Checkout.Amount = max(1, b.order.amount*sh.between(2, 8)/10)
		sh.charge(&b.session, &ev.Checkout)
	}
	ev.Checkout.Fee = 0 // the provider keeps it
	sub := sh.checkoutSubject(&b.session)
	if b.order.held == nil {
		sh.emit(sub, ordinary)
		return
	}
	sh.release(b.order.held, sh.emit(sub, clean))
}

// checkout sends a checkout event that happens now, unless it is the late one of its order.
func (sh *shard) checkout(s *session, o *order, typ event.Type) {
	sh.writeCheckout(s, o, typ)
	sub := sh.checkoutSubject(s)
	if o.late == typ {
		o.held = sh.hold(sub)
		return
	}
	sh.emit(sub, ordinary)
}

// checkoutSubject is the session's, by the payment service's clock, which is right.
func (sh *shard) checkoutSubject(s *session) subject {
	sub := sh.subject(s)
	sub.skew = 0
	return sub
}

func (sh *shard) writeCheckout(s *session, o *order, typ event.Type) *event.Event {
	item := sh.item(s, o)
	ev := sh.begin(s, event.KindCheckout, typ)
	c := &ev.Checkout
	*c = event.Checkout{CheckoutID: o.id, Amount: o.amount, Currency: item.Currency, SKU: item.SKU,
		Quantity: o.quantity, SplitVersion: o.split, Channel: "web"}
	switch p := &sh.players[s.player]; {
	case p.till && s.drop != noDrop:
		c.Channel, ev.Device = "pos", "" // a till is no device of the player
	case p.app:
		c.Channel = "app"
	}
	if o.promised != 0 {
		c.Partner, c.PromisedBy = sh.w.s.Partners[o.partner].Name, o.promised
	}
	sh.charge(s, c)
	c.Fee = c.Amount * sh.w.s.Behaviour.FeeBPS / 10_000
	switch typ {
	case event.CheckoutFulfilled, event.CheckoutShipped:
		c.Amount, c.Tax, c.Fee = 0, 0, 0
	case event.CheckoutFailed:
		c.Reason = "card_declined"
		if o.soldOut {
			c.Reason = "sold_out"
		}
	case event.CheckoutRefunded:
		c.Reason = "requested_by_customer"
	case event.CheckoutChargeback:
		c.Reason = "fraudulent"
	}
	return ev
}
