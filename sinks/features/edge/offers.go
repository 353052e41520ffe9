package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/offer"
)

// Rule says which of a drop's items are offered, and how. The first rule that fits an item rules.
type Rule struct {
	// Name under which outcomes are learned, from one drop to the next.
	Name string `yaml:"name"`
	// SKU is a pattern of path.Match, such as *-print-*; an item that it matches is offered.
	SKU string `yaml:"sku"`
	// DiscountBPS is what the player is let off, in basis points of the price.
	DiscountBPS int64 `yaml:"discount_bps"`
	// MarginBPS is what a sale at the full price leaves, in basis points of it. Absent means all.
	MarginBPS *int64 `yaml:"margin_bps"`
	// Budget is the most that may be promised in discounts, per currency in minor units, by this process since it
	// started: as if every offer were taken. A currency that is not named has none.
	Budget map[string]int64 `yaml:"budget"`
}

// OffersConfig is what may be offered to whom. The zero value offers nothing.
type OffersConfig struct {
	Rules []Rule
	// Bands of churn scores within which outcomes are learned apart (default .2, .5, .8).
	Bands offer.Bands
	// Rates of offers.
	Rates offer.RatesConfig
	// Holdout is permanent.
	Holdout offer.Holdout
}

// DefaultBands are edges of the score.
var DefaultBands = offer.Bands{.2, .5, .8}

// maxOffers is how many of a drop's items compete; the time to weigh them grows with its square.
const maxOffers = 16

// Validate reports every problem at once.
func (c *OffersConfig) Validate() error {
	problems := []error{c.Bands.Validate()}
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf("offers: "+format, args...)) }
	names := map[string]bool{}
	for i, r := range c.Rules {
		if r.Name == "" {
			bad("rule %d has no name", i)
		} else if names[r.Name] {
			bad("two rules are named %q", r.Name)
		}
		names[r.Name] = true
		if _, err := path.Match(r.SKU, ""); err != nil || r.SKU == "" {
			bad("rule %q: %q is no pattern of SKUs; * fits any", r.Name, r.SKU)
		}
		if r.DiscountBPS < 0 || r.DiscountBPS > 10_000 {
			bad("rule %q: a discount of %d is not between 0 and 10000 basis points", r.Name, r.DiscountBPS)
		}
		if m := r.margin(); m < 0 || m > 10_000 {
			bad("rule %q: a margin of %d is not between 0 and 10000 basis points", r.Name, m)
		} else if r.DiscountBPS >= m {
			bad("rule %q lets off %d basis points of the price, and a sale leaves %d: no sale would pay", r.Name, r.DiscountBPS, m)
		}
		for code, limit := range r.Budget {
			if !known(code) || limit < 0 {
				bad("rule %q: the budget %s=%d is not a currency and an amount in minor units", r.Name, code, limit)
			}
		}
	}
	if c.Holdout.BPS > 10_000 {
		bad("a holdout of %d is more than 10000 basis points", c.Holdout.BPS)
	}
	return errors.Join(problems...)
}

func known(currency string) bool {
	_, ok := event.CurrencyDigits(currency)
	return ok
}

func (r *Rule) margin() int64 {
	if r.MarginBPS == nil {
		return 10_000
	}
	return *r.MarginBPS
}

// Offers knows what a drop's offers are, what is left of stock and budget, and what each is believed to earn. It is safe for
// concurrent use; the estimates of one item come from one goroutine.
type Offers struct {
	cfg Config
	m   *Metrics

	drops    sync.Map // drop id → *dropOffers
	left     map[ledger]*atomic.Int64
	stock    sync.Map // item → *pieces
	promises promises
	belief   atomic.Pointer[belief]
	// One for each topic, whose records come from one goroutine.
	estimates, outcomes event.Decoder

	mu    sync.Mutex // over what follows
	rates *offer.Rates
	dirty bool
	shown int64 // when the beliefs were last published (Unix ms)
}

type ledger struct{ rule, currency string }

type item struct{ drop, sku string }

// pieces are what is left of an item; an older revision never replaces a newer one.
type pieces struct {
	revision uint64
	left     int64
}

// dropOffers are the offers of one catalogue entry.
type dropOffers struct {
	entry  *event.Drop
	offers []offer.Offer
	rules  []int
}

// belief is a snapshot of what was learned, with the probabilities that follow from it.
type belief struct {
	rates *offer.Rates
	cache sync.Map // contest → []float64
}

// contest is a set of arms.
type contest struct {
	entry *event.Drop
	band  int
	arms  uint32 // bit i: offer i of the drop
}

func newOffers(cfg Config, m *Metrics) (*Offers, error) {
	rates, err := offer.NewRates(cfg.Offers.Rates)
	if err != nil {
		return nil, err
	}
	o := &Offers{cfg: cfg, m: m, left: map[ledger]*atomic.Int64{}, rates: rates, shown: math.MinInt64,
		promises: promises{until: map[[16]byte]int64{}, sweep: sweepFrom}}
	for _, r := range cfg.Offers.Rules {
		for code, limit := range r.Budget {
			left := new(atomic.Int64)
			left.Store(limit)
			o.left[ledger{r.Name, code}] = left
		}
	}
	o.belief.Store(&belief{rates: rates.Clone()})
	return o, nil
}

// ruleOf finds the rule of an item; with a discount it is the one under which an offer was made, −1 for none.
func (o *Offers) ruleOf(sku string, discount int64) int {
	for i, r := range o.cfg.Offers.Rules {
		if fits, _ := path.Match(r.SKU, sku); fits && (discount < 0 || r.DiscountBPS == discount) {
			return i
		}
	}
	return -1
}

// of are the offers of a drop, matched once per catalogue entry.
func (o *Offers) of(id string, entry *event.Drop) *dropOffers {
	if found, ok := o.drops.Load(id); ok && found.(*dropOffers).entry == entry {
		return found.(*dropOffers)
	}
	d := &dropOffers{entry: entry}
	for _, it := range entry.Items {
		if i := o.ruleOf(it.SKU, -1); i >= 0 && len(d.offers) < maxOffers {
			r := &o.cfg.Offers.Rules[i]
			d.offers = append(d.offers, offer.Offer{
				Name: r.Name, SKU: it.SKU, Price: it.Price, Currency: it.Currency, DiscountBPS: r.DiscountBPS, MarginBPS: r.margin(), Stock: offer.Unknown,
			})
			d.rules = append(d.rules, i)
		}
	}
	o.drops.Store(id, d)
	return d
}

// choice is what was decided about an offer.
type choice struct {
	made       offer.Offer // meaningful where reason is Allowed
	reason     offer.Reason
	eligible   bool
	propensity float64
	expected   int64
}

// choose decides for a player of a score band. u in [0, 1) draws. room holds the arms and is reused.
func (o *Offers) choose(d *dropOffers, drop, player string, p offer.Player, band int, held bool, u float64, room *[]offer.Offer) choice {
	allowed := (*room)[:0]
	c := choice{reason: offer.NoOffers}
	key := contest{entry: d.entry, band: band}
	if len(d.offers) > 0 && !slices.ContainsFunc(d.offers, func(x offer.Offer) bool { return x.Currency == p.Currency }) {
		p.Currency = d.offers[0].Currency // the drop sells in nothing that the player ever paid with
	}
	for i := range d.offers {
		x := d.offers[i]
		x.Stock, x.Budget = o.pieces(drop, x.SKU), o.budget(x.Name, x.Currency)
		if reason := x.Refused(p); reason != offer.Allowed {
			c.reason = max(c.reason, reason)
			continue
		}
		allowed = append(allowed, x)
		key.arms |= 1 << i
	}
	*room = allowed
	if len(allowed) == 0 {
		return c
	}
	c.eligible = true
	if held {
		c.reason = offer.HeldOut
		return c
	}
	b := o.belief.Load()
	odds := b.odds(key, allowed, band)
	at := offer.Pick(odds, u)
	c.propensity = odds[at]
	if at == 0 {
		c.reason = offer.NotChosen
		return c
	}
	c.made = allowed[at-1]
	if !o.promise(&c.made, drop, player, d.entry.EndMS) {
		c.reason = offer.NoBudget
		return c
	}
	c.reason = offer.Allowed
	c.expected = offer.Expected(b.rates.Rate(c.made.Name, band).Mean(), c.made.Margin())
	return c
}

// odds of the arms, from memory where they were asked for before.
func (b *belief) odds(key contest, allowed []offer.Offer, band int) []float64 {
	if found, ok := b.cache.Load(key); ok {
		return found.([]float64)
	}
	odds := offer.Probabilities(offer.Arms(allowed, b.rates, band, nil), nil)
	b.cache.Store(key, odds)
	return odds
}

// promise takes the discount from the budget, once per player, drop and rule; false when another request was faster.
func (o *Offers) promise(x *offer.Offer, drop, player string, ends int64) bool {
	discount := x.Discount()
	if discount == 0 || o.promises.made(drop, x, player) {
		return true
	}
	left := o.left[ledger{x.Name, x.Currency}]
	for {
		now := left.Load()
		if now < discount {
			return false
		}
		if left.CompareAndSwap(now, now-discount) {
			o.promises.make(drop, x, player, ends)
			o.m.promised.WithLabelValues(x.Name, x.Currency).Add(float64(discount))
			return true
		}
	}
}

// promises remembers to whom discounts were promised in drops that run, so that one who asks again is promised nothing more.
type promises struct {
	mu    sync.Mutex
	until map[[16]byte]int64 // the drop's end
	sweep int                // the number of promises at which those of past drops are forgotten
}

func promiseKey(drop string, x *offer.Offer, player string) [16]byte {
	var room [192]byte
	text := room[:0]
	for _, part := range [...]string{drop, x.Name, x.SKU, player} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16])
}

func (p *promises) made(drop string, x *offer.Offer, player string) bool {
	key := promiseKey(drop, x, player)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.until[key]
	return ok
}

func (p *promises) make(drop string, x *offer.Offer, player string, ends int64) {
	key := promiseKey(drop, x, player)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until[key] = ends
	if len(p.until) < p.sweep {
		return
	}
	// Drops end in the order of time or about: one that ended two days before this one will is over.
	for key, end := range p.until {
		if end < ends-sweepMS {
			delete(p.until, key)
		}
	}
	p.sweep = max(sweepFrom, 2*len(p.until))
}

const (
	sweepMS   = 48 * 3600 * 1000
	sweepFrom = 1 << 16
)

func (o *Offers) budget(rule, currency string) int64 {
	if left := o.left[ledger{rule, currency}]; left != nil {
		return left.Load()
	}
	return 0
}

func (o *Offers) pieces(drop, sku string) int64 {
	if found, ok := o.stock.Load(item{drop, sku}); ok {
		return found.(*pieces).left
	}
	return offer.Unknown
}

// stockMetric is the metric of processors/inventory's estimates.
const stockMetric = "inventory_remaining"

// EstimateRecord takes a record of the topic estimate, from one goroutine at a time.
func (o *Offers) EstimateRecord(value []byte) {
	var e event.Estimate
	if value == nil {
		return
	}
	if err := o.estimates.Estimate(value, &e); err != nil {
		o.m.invalid.WithLabelValues(event.KindEstimate.Topic(), err.Reason.String()).Inc()
		return
	}
	o.Estimate(&e)
}

// ExampleRecord takes a record of the topic example, from one goroutine at a time.
func (o *Offers) ExampleRecord(value []byte) {
	var e event.Example
	if err := o.outcomes.Example(value, &e); err != nil {
		o.m.invalid.WithLabelValues(event.KindExample.Topic(), err.Reason.String()).Inc()
		return
	}
	o.Example(&e)
}

// Estimate takes what the inventory processors publish on the topic estimate; other metrics are passed over. Until the
// first one of an item its stock is unknown, and it may be offered.
func (o *Offers) Estimate(e *event.Estimate) {
	if e.Metric != stockMetric || len(e.Dimensions) != 1 || e.Dimensions[0].Name != "sku" {
		return
	}
	left := int64(offer.Unknown) // without a limit
	if e.Enough {
		left = int64(max(0, e.Value))
	}
	at := item{e.DropID, e.Dimensions[0].Value}
	if found, ok := o.stock.Load(at); ok && found.(*pieces).revision > e.Revision {
		return
	}
	o.stock.Store(item{strings.Clone(at.drop), strings.Clone(at.sku)}, &pieces{e.Revision, left})
}

// publishEveryMS is how often requests see what was learned: every time, all odds are weighed anew.
const publishEveryMS = 10_000

// Example learns from one outcome, once per player and scoring time. Those of players whom the offers were not for
// say nothing. Requests see it once Decider.Run publishes it.
func (o *Offers) Example(e *event.Example) {
	if e.Model != o.cfg.Model || !e.Eligible {
		return
	}
	arm := ""
	if e.Offer != "" {
		i := o.ruleOf(e.Offer, int64(e.Discount))
		if i < 0 {
			o.m.unlearned.Inc()
			return
		}
		arm = o.cfg.Offers.Rules[i].Name
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	learned := o.rates.Learn(offer.Outcome{Player: e.PlayerID, At: e.ScoredAt, Arm: arm, Band: o.cfg.Offers.Bands.Of(e.P), Converted: e.Converted})
	o.m.examples.WithLabelValues(learned.String()).Inc()
	o.dirty = o.dirty || learned == offer.Counted
}

// publish lets requests see what was learned, at most every 10 s; now is in Unix ms.
func (o *Offers) publish(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.dirty || now < o.shown+publishEveryMS {
		return
	}
	o.belief.Store(&belief{rates: o.rates.Clone()})
	o.dirty, o.shown = false, now
}
