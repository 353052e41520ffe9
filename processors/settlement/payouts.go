package settlement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// States of an instruction.
const (
	statusOpen       = "open"
	statusSettled    = "settled"
	statusMismatched = "mismatched"
	statusDouble     = "double"
	statusUnknown    = "unknown"
)

// Payouts adds up what the partitions have accrued to each participant and instructs payment rails. It implements
// processors.RollupRule and Counting.
//
// A drop's accrual is released at its end and Config.Hold, all but the reserve, and the reserve at its end and
// Config.ReserveFor. The time is event time: the minimum of the newest watermarks of the partitions that contributed to that
// accrual, so that what a partition has not seen yet, refunds above all, is not paid out. A negative accrual counts at once. What is released,
// less open instructions and payments, is instructed when it reaches the minimum payout, down to what the payment provider can
// express; the rest stays. While a share of a drop with an accrual is on hold, nothing is paid to its participant in that currency.
//
//	issued      an instruction was published
//	held        a payout waits for a share's hold to be lifted
//	settled     a settled event closed an instruction, with its amount
//	mismatched  with another amount: alarm; what was paid counts
//	double      an instruction was closed again: alarm; what was paid counts
//	unknown     a settled event names an instruction that the participant does not have: alarm; what was paid counts
type Payouts struct {
	cfg       Config
	catalogue processors.Catalogue

	accounts *processors.Table[account]
	held     *processors.Table[mark]

	decoder  event.Decoder
	record   event.Payable
	key      []byte
	found    []string
	outcomes map[string]uint64
}

var payoutOutcomes = [...]string{"issued", "held", statusSettled, statusMismatched, statusDouble, statusUnknown}

// NewPayouts makes the payouts of one partition of the rollup stage.
func NewPayouts(cfg Config, catalogue processors.Catalogue) (*Payouts, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &wire.Names{}
	return &Payouts{
		cfg: cfg.withDefaults(), catalogue: catalogue,
		accounts: processors.NewTable("account", processors.Codec[account](accountCodec{names: n})),
		held:     processors.NewTable("held", processors.Codec[mark](markCodec{})),
		outcomes: map[string]uint64{},
	}, nil
}

// Name implements processors.RollupRule.
func (p *Payouts) Name() string { return "payouts" }

// Tables implements processors.RollupRule.
func (p *Payouts) Tables() []processors.Staged { return []processors.Staged{p.accounts, p.held} }

// Outcomes implements processors.Counting.
func (p *Payouts) Outcomes(each func(outcome string, total uint64)) {
	for _, name := range payoutOutcomes {
		each(name, p.outcomes[name])
	}
}

// Apply implements processors.RollupRule.
func (p *Payouts) Apply(r *event.Record) *event.Error {
	if r.Kind != event.KindPayable {
		return nil
	}
	v := &p.record
	if err := p.decoder.Payable(r.Value, v); err != nil {
		return err
	}
	p.key = append(wire.AppendString(p.key[:0], v.Participant), v.Currency...)
	a, _ := p.accounts.Put(wire.Alias(p.key))
	if v.Instruction == "" {
		a.update(v)
		return nil
	}
	a.paid += v.Paid
	a.advance(v.Watermark)
	p.outcomes[p.close(a, v)]++
	return nil
}

// close folds a payment into its instruction and returns the instruction's state.
func (p *Payouts) close(a *account, v *event.Payable) string {
	prefix := wire.AppendPart(wire.AppendPart(nil, v.Participant), v.Currency)
	seq := uint64(0)
	if rest, ok := strings.CutPrefix(v.Instruction, string(prefix)); ok {
		if n, err := strconv.ParseUint(rest, 10, 64); err == nil && strconv.FormatUint(n, 10) == rest {
			seq = n
		}
	}
	in := a.instruction(seq, v.Instruction)
	if in == nil {
		a.instructions = append(a.instructions, instruction{foreign: strings.Clone(v.Instruction), asOf: a.asOf, status: statusUnknown})
		in = &a.instructions[len(a.instructions)-1]
	}
	in.paid, in.changed = in.paid+v.Paid, true
	switch in.status {
	case statusUnknown:
	case statusOpen:
		if in.status = statusSettled; in.paid != in.amount {
			in.status = statusMismatched
		}
	default:
		in.status = statusDouble
	}
	return in.status
}

// Flush implements processors.RollupRule.
func (p *Payouts) Flush(_ processors.RollupTimes, out *processors.Output) {
	p.found = p.found[:0]
	err := p.held.Each(func(key string, _ *mark) { p.found = append(p.found, strings.Clone(key)) })
	if err != nil {
		panic(fmt.Sprintf("settlement: %v, though it was restored or written here", err))
	}
	slices.Sort(p.found)
	for _, key := range p.found {
		// The hold may have been lifted in the catalogue, which no record says.
		if a := p.accounts.Get(key); a != nil {
			if _, held := p.available(key, a); !held {
				p.accounts.Put(key)
			}
		}
	}
	p.accounts.Changed(func(key string, a *account) {
		p.issue(key, a)
		p.publish(key, a, out)
	})
}

// issue makes an instruction of what can be paid out.
func (p *Payouts) issue(key string, a *account) {
	_, currency := wire.CutString(key)
	available, held := p.available(key, a)
	_, rest, ok := ToPSP(available, currency)
	amount := available - rest
	if !ok || amount <= 0 || amount < p.cfg.MinPayout[currency] {
		p.held.Delete(key)
		return
	}
	if held {
		if _, created := p.held.Put(key); created {
			p.outcomes["held"]++
		}
		return
	}
	p.held.Delete(key)
	a.issued++
	a.instructions = append(a.instructions, instruction{seq: a.issued, amount: amount, asOf: a.asOf, status: statusOpen, changed: true})
	p.outcomes["issued"]++
}

// available is what has been released and neither instructed nor paid; held says that a share's hold blocks it.
func (p *Payouts) available(key string, a *account) (amount int64, held bool) {
	participant, _ := wire.CutString(key)
	amount = -a.paid
	for i := range a.instructions {
		if in := &a.instructions[i]; in.status == statusOpen {
			amount -= in.amount
		}
	}
	for i := 0; i < len(a.partials); {
		drop, accrued, watermark := a.partials[i].drop, int64(0), a.partials[i].watermark
		for ; i < len(a.partials) && a.partials[i].drop == drop; i++ {
			accrued += a.partials[i].accrued
			watermark = min(watermark, a.partials[i].watermark)
		}
		entry := p.catalogue.Drop(drop, 0)
		switch {
		case accrued <= 0:
			amount += accrued
		case entry == nil || watermark < entry.EndMS+p.cfg.Hold:
		case watermark < entry.EndMS+p.cfg.ReserveFor:
			amount += accrued - floorShare(accrued, p.cfg.ReserveBPS)
		default:
			amount += accrued
		}
		held = held || entry != nil && accrued != 0 && onHold(entry, participant)
	}
	return amount, held
}

// onHold says whether the newest version of the drop's shares that names the participant holds its payouts.
func onHold(drop *event.Drop, participant string) bool {
	newest, hold := uint32(0), false
	for i := range drop.Splits {
		s := &drop.Splits[i]
		for _, share := range s.Shares {
			if share.Participant == participant && s.Version >= newest {
				newest, hold = s.Version, share.Hold
			}
		}
	}
	return hold
}

// publish emits the instructions that changed.
func (p *Payouts) publish(key string, a *account, out *processors.Output) {
	participant, currency := wire.CutString(key)
	digits, _, _ := PSP(currency)
	for i := range a.instructions {
		in := &a.instructions[i]
		if !in.changed {
			continue
		}
		in.changed = false
		in.revision++
		id := in.foreign
		if in.seq > 0 {
			id = instructionID(participant, currency, in.seq)
		}
		psp, _, _ := ToPSP(in.amount, currency)
		s := event.Settlement{
			ID: id, Participant: participant, Currency: currency, Seq: in.seq, Revision: in.revision, Status: in.status,
			Amount: in.amount, PSPAmount: psp, PSPExponent: uint8(digits), Paid: in.paid, AsOf: in.asOf,
		}
		// Someone else's id in an alarm must not replace their instruction.
		recordKey := id
		if in.seq == 0 {
			recordKey = string(append(wire.AppendPart(wire.AppendPart(wire.AppendPart(nil, participant), currency), "unknown"), id...))
		}
		out.Emit(event.KindSettlement, recordKey, s.AppendJSON)
	}
}

// instructionID is an instruction's name and idempotency key.
func instructionID(participant, currency string, seq uint64) string {
	return string(strconv.AppendUint(wire.AppendPart(wire.AppendPart(nil, participant), currency), seq, 10))
}
