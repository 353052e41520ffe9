package settlement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// maxAmount bounds one event's amount, in minor units, so that sums over thousands of the largest stay within int64.
const maxAmount = 1 << 50

// outcome is what became of a checkout event.
type outcome uint8

const (
	posted outcome = iota
	replayed
	parked
	unknownSplit
	unparked
	excess
	keyConflict
	currencyMismatch
	dropMismatch
	deductions
	overflow
	finerThanPSP
	numOutcomes
)

var outcomeNames = [numOutcomes]string{
	"posted", "replayed", "parked", "unknown_split", "unparked", "excess", "key_conflict", "currency_mismatch", "drop_mismatch",
	"deductions", "overflow", "finer_than_psp",
}

// waits says that the event is kept and tried again: for its sale, or for its shares.
func (o outcome) waits() bool { return o == parked || o == unknownSplit }

// Ledger posts one partition's checkout events. It implements processors.Rule, Timeless and Counting.
//
//	posted             a transaction is in the ledger
//	replayed           its key has been answered before, with the same payload
//	parked             money goes back of a sale that is not there yet; tried again when it is
//	unknown_split      the catalogue does not hold the shares it names; tried again at each flush until it does
//	unparked           parked before, posted or refused now
//	excess             more goes back than is left of the sale; refused
//	key_conflict       its key has been answered for another payload; refused
//	currency_mismatch  in another currency than the sale; refused
//	drop_mismatch      a second sale under one checkout, of another drop; refused
//	deductions         tax and fee are more than the amount; refused
//	overflow           an absurd amount; refused
//	finer_than_psp     posted, though the payment provider cannot express such an amount
type Ledger struct {
	cfg       Config
	partition int32
	catalogue processors.Catalogue
	names     *wire.Names
	outcomes  [numOutcomes]uint64

	checkouts *processors.Table[checkout]
	chain     *processors.Table[chain]
	accruals  *processors.Table[accrual]
	waiting   waiting

	allocator Allocator
	key       []byte
	shares    []event.Share
	weights   []int64
	amounts   []int64
	block     event.Ledger
	payable   event.Payable
}

// NewLedger makes the ledger of one partition.
func NewLedger(cfg Config, partition int32, catalogue processors.Catalogue) (*Ledger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &wire.Names{}
	return &Ledger{
		cfg: cfg.withDefaults(), partition: partition, catalogue: catalogue, names: n,
		checkouts: processors.NewTable("checkout", processors.Codec[checkout](checkoutCodec{names: n})),
		chain:     processors.NewTable("chain", processors.Codec[chain](chainCodec{})),
		accruals:  processors.NewTable("accrual", processors.Codec[accrual](accrualCodec{})),
		waiting:   newWaiting(),
	}, nil
}

// Name implements processors.Rule.
func (l *Ledger) Name() string { return "ledger" }

// Tables implements processors.Rule.
func (l *Ledger) Tables() []processors.Staged {
	return []processors.Staged{l.checkouts, l.chain, l.accruals, l.waiting.lists, l.waiting.pages}
}

// Outcomes implements processors.Counting.
func (l *Ledger) Outcomes(each func(outcome string, total uint64)) {
	for o, name := range outcomeNames {
		each(name, l.outcomes[o])
	}
}

// ApplyLate implements processors.Timeless.
func (l *Ledger) ApplyLate(ev *event.Event) { l.Apply(ev, 0) }

// Apply implements processors.Rule.
func (l *Ledger) Apply(ev *event.Event, _ int64) {
	space := byte('c')
	switch ev.Type {
	case event.CheckoutSettled:
		space = 's'
	case event.CheckoutCompleted:
		if ev.DropID == "" {
			return
		}
	case event.CheckoutRefunded, event.CheckoutChargeback:
	default:
		return
	}
	if ev.Synthetic {
		return
	}
	l.key = append(append(l.key[:0], space), ev.Checkout.CheckoutID...)
	key := wire.Alias(l.key)
	known := l.checkouts.Get(key)
	if known == nil && ev.DropID == "" && space == 'c' {
		return // money back of what was not sold in a drop
	}
	p := &ev.Checkout
	e := entry{
		kind: ev.Type, source: l.names.Text(p.Channel), seq: p.Seq, drop: l.names.Text(ev.DropID), creator: l.names.Text(ev.CreatorID),
		version: p.SplitVersion, currency: l.names.Text(p.Currency), amount: p.Amount, tax: p.Tax, fee: p.Fee, happened: ev.EventTime, arrived: ev.IngestTime,
	}
	player := ev.PlayerID
	print := fingerprint(player, &e)
	if known != nil {
		if a := known.answer(&e); a != nil {
			if a.print == print {
				l.outcomes[replayed]++
				return
			}
			l.except(keyConflict, strings.Clone(p.CheckoutID), &e, "its idempotency key has been answered for another payload")
			return
		}
	}
	c, _ := l.checkouts.Put(key)
	c.answers = append(c.answers, answered{kind: e.kind, source: e.source, seq: e.seq, print: print})
	id := strings.Clone(p.CheckoutID)
	if e.kind == event.CheckoutSettled {
		e.creator = l.names.Text(player) // the participant
	}
	o, detail := l.judge(c, id, &e)
	if o == posted {
		if e.kind == event.CheckoutCompleted && len(c.parked) > 0 {
			l.unpark(c, id)
		}
		return
	}
	l.except(o, id, &e, detail)
	if o.waits() {
		c.parked = append(c.parked, e)
	}
	if o == unknownSplit {
		l.waiting.add(e.drop, e.version, id)
	}
}

// unpark tries everything parked under the checkout again.
func (l *Ledger) unpark(c *checkout, id string) {
	slices.SortFunc(c.parked, compareEntries)
	still := c.parked[:0]
	for _, e := range c.parked {
		o, detail := l.judge(c, id, &e)
		if o.waits() {
			still = append(still, e)
			continue
		}
		l.outcomes[unparked]++
		if o != posted {
			l.except(o, id, &e, detail)
		}
	}
	clear(c.parked[len(still):])
	c.parked = still
}

// judge posts e, or says why not.
func (l *Ledger) judge(c *checkout, id string, e *entry) (o outcome, detail string) {
	if e.amount > maxAmount {
		return overflow, "the amount is beyond what the ledger takes"
	}
	switch e.kind {
	case event.CheckoutCompleted:
		return l.sale(c, id, e)
	case event.CheckoutSettled:
		var postings []event.Posting
		if e.amount > 0 {
			postings = []event.Posting{posting(event.AccountPayable, e.creator, e.amount), posting(event.AccountPayout, "", -e.amount)}
		}
		l.post(id, e, "", postings)
		return posted, ""
	}
	return l.reversal(c, id, e)
}

func (l *Ledger) sale(c *checkout, id string, e *entry) (outcome, string) {
	switch {
	case c.currency != "" && c.currency != e.currency:
		return currencyMismatch, "the checkout's first sale is in " + c.currency
	case c.currency != "" && c.drop != e.drop:
		return dropMismatch, "the checkout's first sale is of drop " + c.drop
	}
	drop := l.sharesOf(e.drop, e.version)
	if drop == nil {
		return unknownSplit, fmt.Sprintf("the catalogue does not hold version %d of the drop's shares", e.version)
	}
	tax, fee := int64(0), int64(0)
	if drop.SplitBasis != event.SplitBasisGross {
		tax = e.tax
	}
	if drop.SplitBasis == event.SplitBasisNetOfFee {
		fee = e.fee
	}
	if tax > e.amount || fee > e.amount-tax {
		return deductions, fmt.Sprintf("tax of %d and fee of %d exceed the amount", tax, fee)
	}
	l.weights = l.weights[:0]
	for _, s := range l.shares {
		l.weights = append(l.weights, int64(s.BPS))
	}
	amounts, ok := l.allocator.Allocate(l.amounts[:0], e.amount-tax-fee, l.weights)
	if !ok {
		return unknownSplit, "the shares do not sum to anything"
	}
	l.amounts = amounts
	if c.currency == "" {
		c.drop, c.creator, c.version, c.currency = e.drop, e.creator, e.version, e.currency
	}
	c.captured += e.amount
	postings := make([]event.Posting, 0, len(amounts)+3)
	if e.amount > 0 {
		postings = append(postings, event.Posting{Account: event.AccountClearing, Amount: e.amount})
	}
	credit := func(account, participant string, amount int64) {
		if amount != 0 {
			c.credit(account, participant, amount)
			postings = append(postings, posting(account, participant, -amount))
		}
	}
	credit(event.AccountTax, "", tax)
	credit(event.AccountFee, "", fee)
	for i, s := range l.shares {
		if s.Participant == Platform {
			credit(event.AccountPlatform, Platform, amounts[i])
		} else {
			credit(event.AccountPayable, l.names.Text(s.Participant), amounts[i])
		}
	}
	l.post(id, e, e.drop, postings)
	return posted, ""
}

// posting names the participant of a payable only.
func posting(account, participant string, amount int64) event.Posting {
	if account != event.AccountPayable {
		participant = ""
	}
	return event.Posting{Account: account, Participant: participant, Amount: amount}
}

// reversal takes back what a sale credited, in proportion to what is outstanding of it.
func (l *Ledger) reversal(c *checkout, id string, e *entry) (outcome, string) {
	switch {
	case c.currency == "":
		return parked, "no sale of this checkout is posted yet"
	case c.currency != e.currency:
		return currencyMismatch, "the sale is in " + c.currency
	case e.amount > c.captured-c.returned:
		return excess, fmt.Sprintf("%d of %d are left", c.captured-c.returned, c.captured)
	}
	e.drop, e.creator, e.version = c.drop, c.creator, c.version
	fee := int64(0)
	if e.kind == event.CheckoutChargeback {
		fee = l.cfg.DisputeFee[e.currency]
	}
	postings := make([]event.Posting, 0, len(c.parts)+2)
	if e.amount > 0 {
		l.weights = l.weights[:0]
		for i := range c.parts {
			l.weights = append(l.weights, c.parts[i].outstanding)
		}
		// What is outstanding sums to what is left of the sale, which is at least e.amount.
		l.amounts, _ = l.allocator.Allocate(l.amounts[:0], e.amount, l.weights)
		for i, amount := range l.amounts {
			if amount != 0 {
				p := &c.parts[i]
				p.outstanding -= amount
				postings = append(postings, posting(p.account, p.participant, amount))
			}
		}
		c.returned += e.amount
	}
	if fee > 0 {
		postings = append(postings, event.Posting{Account: event.AccountDispute, Amount: fee})
	}
	if e.amount+fee > 0 {
		postings = append(postings, event.Posting{Account: event.AccountClearing, Amount: -e.amount - fee})
	}
	l.post(id, e, c.drop, postings)
	return posted, ""
}

// sharesOf puts the shares of a version into l.shares, by participant, and returns their drop; nil when the catalogue does not have them.
func (l *Ledger) sharesOf(dropID string, version uint32) *event.Drop {
	drop := l.catalogue.Drop(dropID, 0)
	if drop == nil {
		return nil
	}
	i := slices.IndexFunc(drop.Splits, func(s event.Split) bool { return s.Version == version })
	if i < 0 {
		return nil
	}
	l.shares = append(l.shares[:0], drop.Splits[i].Shares...)
	slices.SortStableFunc(l.shares, func(a, b event.Share) int { return cmp.Compare(a.Participant, b.Participant) })
	// Who is named twice has one share.
	kept := l.shares[:0]
	for _, s := range l.shares {
		if n := len(kept); n > 0 && kept[n-1].Participant == s.Participant {
			kept[n-1].BPS += s.BPS
			continue
		}
		kept = append(kept, s)
	}
	l.shares = kept
	return drop
}

// post appends a transaction to the flush's blocks, and what it changes for participants to their accruals.
func (l *Ledger) post(id string, e *entry, drop string, postings []event.Posting) {
	l.outcomes[posted]++
	t := event.Transaction{
		Source: e.source, CheckoutID: id, Type: e.kind.String(), Seq: e.seq, DropID: drop, CreatorID: e.creator, SplitVersion: e.version,
		Currency: e.currency, Amount: e.amount, EventTime: e.happened, IngestTime: e.arrived, Postings: postings,
	}
	if e.kind == event.CheckoutSettled {
		t.CreatorID, t.SplitVersion = "", 0
	} else {
		for i := range postings {
			if p := &postings[i]; p.Account == event.AccountPayable {
				l.accrue(p.Participant, e.currency, drop, -p.Amount)
			}
		}
	}
	c, _ := l.chain.Put(chainKey)
	c.transactions = append(c.transactions, t)
	if _, rest, ok := ToPSP(e.amount, e.currency); ok && rest != 0 {
		l.except(finerThanPSP, id, e, fmt.Sprintf("the payment provider cannot express the last %d minor units", rest))
	}
}

// except appends an exception to the flush's blocks.
func (l *Ledger) except(o outcome, id string, e *entry, detail string) {
	l.outcomes[o]++
	c, _ := l.chain.Put(chainKey)
	c.exceptions = append(c.exceptions, event.Exception{
		Outcome: outcomeNames[o], Source: e.source, CheckoutID: id, Type: e.kind.String(), Seq: e.seq, DropID: e.drop,
		Currency: e.currency, Amount: e.amount, EventTime: e.happened, IngestTime: e.arrived, Detail: detail,
	})
}

// Flush implements processors.Rule.
func (l *Ledger) Flush(t processors.Times, out *processors.Output) {
	l.waiting.ready(func(drop string, version uint32) bool { return l.sharesOf(drop, version) != nil }, func(id string) {
		l.key = append(append(l.key[:0], 'c'), id...)
		c, _ := l.checkouts.Put(wire.Alias(l.key))
		l.unpark(c, id)
	})
	l.publishBlocks(t, out)
	l.publishAccruals(t, out)
}
