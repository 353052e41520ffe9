// Package offer owns the choice of a micro-offer for one player: what may be offered
// under inventory, budget and consent, what each offer is expected to earn against
// offering nothing, who is permanently held out, and what holding out proves. It is
// pure: stock, budget and time are arguments, randomness is a hash of the caller's seed.
// Money is int64 minor units.
//
// A churn score is not a treatment effect (DOMAIN 1.3): a discount for a player who would
// have bought anyway is a loss. So nothing is an arm like the offers, learned from those
// who were eligible and got none, and arms compete by what they earn.
package offer

import (
	"errors"
	"math"

	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/models/experiment"
)

// Unknown is the Stock of an item whose stock nobody has told, or which has no limit: it may be offered.
const Unknown = -1

// The purposes of consent that matter here, as in the event envelope's bit mask (DOMAIN 10).
const (
	Personalisation = 2
	Marketing       = 4
)

// Offer is one item of a drop under one rule.
type Offer struct {
	// Name of the rule, which carries what was learned from one drop to the next; SKU names the item.
	Name string
	SKU  string
	// Price in minor units of Currency, without the discount.
	Price    int64
	Currency string
	// Discount and Margin are basis points of the price: what the player is let off, and what a sale at the full price leaves.
	DiscountBPS int64
	MarginBPS   int64
	// Stock is what is left to sell, in pieces, or Unknown.
	Stock int64
	// Budget is what is left to promise in discounts, in minor units of Currency. An offer without discount needs none.
	Budget int64
}

// Discount in minor units, half to even.
func (o *Offer) Discount() int64 { return edgebudget.Share(o.Price, o.DiscountBPS, whole) }

// Full is what a sale at the full price leaves, Margin what is left of that behind the discount; negative where the
// discount is the greater one.
func (o *Offer) Full() int64   { return edgebudget.Share(o.Price, o.MarginBPS, whole) }
func (o *Offer) Margin() int64 { return o.Full() - o.Discount() }

const whole = 10_000

// Player is what an offer's conditions ask about the player.
type Player struct {
	// Consent is the bit mask of the event envelope.
	Consent uint8
	// Minor blocks personalisation (DOMAIN 10).
	Minor bool
	// Currency in which the player buys; only offers in it are compared, because there is no rate of exchange.
	Currency string
}

// Reason says why an offer may not be made, or none was.
type Reason uint8

// The reasons, by how far an offer came: of several the furthest is the one to tell.
const (
	Allowed Reason = iota
	NoOffers
	Minor
	NoPersonalisation
	NoMarketing
	OtherCurrency
	NoMargin
	SoldOut
	NoBudget
	// HeldOut and NotChosen players were eligible.
	HeldOut
	NotChosen
)

var reasons = [...]string{"", "no_offers", "minor", "no_personalisation_consent", "no_marketing_consent", "other_currency", "no_margin",
	"sold_out", "budget", "holdout", "not_chosen"}

// String is the reason's name in answers and metrics; empty for Allowed.
func (r Reason) String() string { return reasons[r] }

// Refused is Allowed, or why o may not be offered to p.
func (o *Offer) Refused(p Player) Reason {
	switch {
	case p.Minor:
		return Minor
	case p.Consent&Personalisation == 0:
		return NoPersonalisation
	case o.DiscountBPS > 0 && p.Consent&Marketing == 0:
		return NoMarketing
	case o.Currency != p.Currency:
		return OtherCurrency
	case o.Margin() <= 0:
		return NoMargin
	case o.Stock == 0:
		return SoldOut
	case o.Discount() > 0 && o.Budget < o.Discount():
		return NoBudget
	}
	return Allowed
}

// Holdout deals players once and for all into those who may get offers and those who never do.
type Holdout struct {
	// Salt keeps it apart from other experiments; whoever changes it deals anew, and loses what was measured.
	Salt string
	// BPS is the share of players held out, in basis points.
	BPS uint32
}

// holdoutID is the experiment's name in the assignment hash.
const holdoutID = "offer-holdout"

// Holds says whether player is held out (DOMAIN 6).
func (h Holdout) Holds(player string) bool {
	return experiment.Bucket(h.Salt, holdoutID, player) < h.BPS
}

// Uniform is the number in [0, 1) that salt, drop and player fix: asked again, a decision is the same as long as what it
// rests on is, so that nobody can reload a page until a better offer comes.
func Uniform(salt, drop, player string) float64 {
	return float64(experiment.Hash(salt+":draw", drop, player)>>11) / (1 << 53)
}

// Bands are the segments of players by churn score: edges that rise within (0, 1). Band i is [edges[i−1], edges[i]).
type Bands []float64

// Of is the band of a score.
func (b Bands) Of(score float64) int {
	i := 0
	for i < len(b) && score >= b[i] {
		i++
	}
	return i
}

// Range of band i.
func (b Bands) Range(i int) (from, to float64) {
	from, to = 0, 1
	if i > 0 {
		from = b[i-1]
	}
	if i < len(b) {
		to = b[i]
	}
	return from, to
}

// Validate reports edges that do not rise within (0, 1).
func (b Bands) Validate() error {
	last := 0.0
	for _, edge := range b {
		if !(edge > last && edge < 1) {
			return errors.New("offer: the edges of the score bands do not rise within (0, 1)")
		}
		last = edge
	}
	return nil
}

// Expected is rate·margin in minor units, half to even: what an arm is expected to earn.
func Expected(rate float64, margin int64) int64 {
	return int64(math.RoundToEven(rate * float64(margin)))
}
