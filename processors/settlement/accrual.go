package settlement

import (
	"encoding/binary"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// accrual is what a participant has earned with a drop in a currency, in this partition.
type accrual struct {
	amount   int64
	revision uint64
	// due is the event time at which more of it is released: Payouts must hear of it although nobody buys any more.
	due int64
}

// accrualCodec writes: version, amount, revision, due.
type accrualCodec struct{}

const accrualVersion = 1

func (accrualCodec) Append(dst []byte, a *accrual) []byte {
	dst = binary.AppendVarint(append(dst, accrualVersion), a.amount)
	return binary.AppendUvarint(binary.AppendUvarint(dst, a.revision), uint64(a.due))
}

func (accrualCodec) Decode(data []byte, a *accrual) error {
	r, _ := wire.NewReader(data, accrualVersion)
	*a = accrual{amount: r.Signed(), revision: r.Unsigned(), due: r.Natural()}
	return r.Done()
}

func (accrualCodec) Deadline(a *accrual) int64 { return a.due }

func (l *Ledger) accrue(participant, currency, drop string, amount int64) {
	l.key = wire.AppendString(wire.AppendString(l.key[:0], participant), currency)
	l.key = append(l.key, drop...)
	a, _ := l.accruals.Put(wire.Alias(l.key))
	a.amount += amount
}

// publishAccruals publishes what has changed, and what the watermark has released. Released by event time, because the
// hold waits for disputes, which are events: a pipeline that is behind has not seen them all.
func (l *Ledger) publishAccruals(t processors.Times, out *processors.Output) {
	l.accruals.Due(t.Watermark, func(key string, _ *accrual) { l.accruals.Put(key) })
	l.accruals.Changed(func(key string, a *accrual) {
		participant, rest := wire.CutString(key)
		currency, drop := wire.CutString(rest)
		a.revision++
		if entry := l.catalogue.Drop(drop, 0); entry != nil {
			a.due = l.cfg.next(entry.EndMS, t.Watermark)
		}
		l.payable = event.Payable{
			Participant: participant, Currency: currency, DropID: drop, Partition: l.partition, Revision: a.revision, Watermark: t.Watermark, Accrued: a.amount,
		}
		l.key = wire.AppendPart(wire.AppendPart(wire.AppendPart(l.key[:0], participant), currency), drop)
		l.key = strconv.AppendInt(l.key, int64(l.partition), 10)
		out.Emit(event.KindPayable, wire.Alias(l.key), l.payable.AppendJSON)
	})
}
