package simulate

import (
	"github.com/droplift/droplift/ingest/event"
)

// The two views that books keep apart.
const (
	// viewValid holds every distinct event that decodes and is not quarantined, late ones too.
	viewValid = iota
	// viewAccepted holds what processors fold: viewValid without what came beyond the allowed lateness.
	viewAccepted
	numViews
)

// timing says whether an event came within the allowed lateness.
type timing bool

const (
	onTime  timing = true
	tooLate timing = false
)

// tally is one shard's part of the books, by number instead of name.
type tally struct {
	topics     [event.KindDrop + 1]topicTally
	drops      []dropTally // 0 is outside drops
	currencies int
}

type topicTally struct {
	records, accepted, duplicates, late uint64
	skewed, unstamped, delayed          uint64
	quarantined                         uint64 // valid records that processors refuse
	chosenLate                          uint64
	letters                             map[event.Reason]uint64
	types                               [event.Catalogue + 1][numViews]uint64
}

type dropTally struct {
	views     [numViews]viewTally
	retention retentionTally
}

type viewTally struct {
	events                       [event.NumSteps]uint64
	failed, refunded, chargeback uint64
	money                        []Money // by POP and currency
	sold                         map[string]uint64
	channels                     map[string]uint64
	cues, missing, good          []uint64 // by language
}

func (m *Money) add(n Money) {
	m.Completed += n.Completed
	m.Gross += n.Gross
	m.Refunds += n.Refunds
	m.Chargebacks += n.Chargebacks
}

type retentionTally struct {
	purchasers          uint64
	returnAnyway, added float64
	horizons            [len(horizons)]Horizon
}

func newTally(w *world) tally {
	t := tally{drops: make([]dropTally, len(w.drops)+1), currencies: len(w.currencies)}
	for i := range t.topics {
		t.topics[i].letters = map[event.Reason]uint64{}
	}
	for i := range t.drops {
		for v := range t.drops[i].views {
			t.drops[i].views[v] = viewTally{
				money: make([]Money, len(w.s.POPs)*len(w.currencies)),
				sold:  map[string]uint64{}, channels: map[string]uint64{},
				cues: make([]uint64, len(w.s.Languages)), missing: make([]uint64, len(w.s.Languages)), good: make([]uint64, len(w.s.Languages)),
			}
		}
	}
	return t
}

// funnelStep is the funnel step of each type, −1 for the others.
func funnelStep(t event.Type) int {
	switch t {
	case event.LandingView:
		return event.StepLanding
	case event.OfferImpression:
		return event.StepImpression
	case event.OfferClick:
		return event.StepClick
	case event.CheckoutStarted:
		return event.StepStarted
	case event.CheckoutCompleted:
		return event.StepCompleted
	}
	return -1
}

// enter books one distinct valid event, which counts at the time at.
func (sh *shard) enter(ev *event.Event, sub subject, at int64, t timing) {
	views := viewAccepted
	if t == tooLate {
		views = viewValid
	}
	for view := viewValid; view <= views; view++ {
		sh.tally.topics[ev.Kind].types[ev.Type][view]++
		v := &sh.tally.drops[sub.drop+1].views[view]
		if step := funnelStep(ev.Type); step >= 0 {
			v.events[step]++
			// The drop is the attribution window: steps after it move no player.
			if sub.drop != noDrop && at < sh.w.drops[sub.drop].end {
				first := &sh.visit(uint32(sub.player), sub.drop).first[view][step]
				if *first == 0 || at < *first {
					*first = at
				}
			}
		}
		switch ev.Kind {
		case event.KindCheckout:
			sh.enterCheckout(ev, sub, at, view)
		case event.KindSubtitle:
			v.cues[sub.language]++
			if ev.Subtitle.Missing {
				v.missing[sub.language]++
			}
			if good(&ev.Subtitle) {
				v.good[sub.language]++
			}
		}
		if sub.player != noPlayer {
			if seen := &sh.players[sub.player].seen[view]; *seen == 0 || at < *seen {
				*seen = at
			}
		}
	}
}

func (sh *shard) enterCheckout(ev *event.Event, sub subject, at int64, view int) {
	v := &sh.tally.drops[sub.drop+1].views[view]
	m := &v.money[int(sub.pop)*sh.tally.currencies+int(sub.currency)]
	amount := ev.Checkout.Amount
	sh.enterPromise(ev, sub, at, view)
	switch ev.Type {
	case event.CheckoutCompleted:
		v.sold[ev.Checkout.SKU] += uint64(ev.Checkout.Quantity)
		v.channels[ev.Checkout.Channel]++
		m.Completed++
		m.Gross += amount
		if paid := &sh.players[sub.player].paid[view]; paid.at == 0 || at < paid.at {
			*paid = firstPurchase{at: at, drop: int16(sub.drop), creator: sh.creatorOf(sub)}
		}
	case event.CheckoutFailed:
		v.failed++
	case event.CheckoutRefunded:
		v.refunded++
		m.Refunds += amount
	case event.CheckoutChargeback:
		v.chargeback++
		m.Chargebacks += amount
	}
}

// creatorOf is the creator that a player's event names.
func (sh *shard) creatorOf(sub subject) uint16 {
	if sub.drop == noDrop {
		return sh.players[sub.player].creator
	}
	return sh.w.drops[sub.drop].creator
}
