package settlement

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// entry is what a checkout event says about money.
type entry struct {
	kind              event.Type
	source            string
	seq               uint32
	drop, creator     string
	version           uint32
	currency          string
	amount, tax, fee  int64
	happened, arrived int64 // event_time, ingest_time
}

// compareEntries orders parked entries: sales first, then as they happened.
func compareEntries(a, b entry) int {
	if sale := (a.kind == event.CheckoutCompleted); sale != (b.kind == event.CheckoutCompleted) {
		if sale {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.happened, b.happened), cmp.Compare(a.kind, b.kind), cmp.Compare(a.seq, b.seq), strings.Compare(a.source, b.source))
}

// answered is an idempotency key that has its answer, with the fingerprint of what was answered.
type answered struct {
	kind   event.Type
	source string
	seq    uint32
	print  uint64
}

// part is what a sale credited to one account and has not been taken back.
type part struct {
	account, participant string
	outstanding          int64
}

// checkout is all that is known of one checkout, or of one settlement instruction. It is kept for ever: records can be
// played again long after the payment provider forgot their keys.
type checkout struct {
	// drop, creator, version and currency are the first sale's; currency is empty until one is posted.
	drop, creator      string
	version            uint32
	currency           string
	captured, returned int64
	parts              []part // by account and participant
	answers            []answered
	parked             []entry
}

// answer finds what was answered to e's key.
func (c *checkout) answer(e *entry) *answered {
	for i := range c.answers {
		if a := &c.answers[i]; a.kind == e.kind && a.seq == e.seq && a.source == e.source {
			return a
		}
	}
	return nil
}

// credit adds what a sale credits to the outstanding balances. Tax and fee stand before participants.
func (c *checkout) credit(account, participant string, amount int64) {
	i, found := slices.BinarySearchFunc(c.parts, part{account: account, participant: participant}, func(a, b part) int {
		return cmp.Or(cmp.Compare(rank(a.account), rank(b.account)), strings.Compare(a.participant, b.participant))
	})
	if !found {
		c.parts = slices.Insert(c.parts, i, part{account: account, participant: participant})
	}
	c.parts[i].outstanding += amount
}

// rank orders accounts: participants, the platform among them, stand together so that ties go by their id.
func rank(account string) int {
	switch account {
	case event.AccountTax:
		return 0
	case event.AccountFee:
		return 1
	}
	return 2
}

// fingerprint tells payloads of one idempotency key apart: everything that says how much goes where.
func fingerprint(player string, e *entry) uint64 {
	var buffer [256]byte
	b := wire.AppendString(buffer[:0], player)
	b = wire.AppendString(wire.AppendString(b, e.drop), e.currency)
	for _, n := range []int64{int64(e.version), e.amount, e.tax, e.fee} {
		b = binary.AppendVarint(b, n)
	}
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:])
}

// checkoutCodec writes: version, drop, creator, split version, currency, captured, returned; and with their number in front: parts, answers, parked entries.
type checkoutCodec struct{ names *wire.Names }

const checkoutVersion = 1

func (checkoutCodec) Append(dst []byte, c *checkout) []byte {
	dst = wire.AppendString(append(dst, checkoutVersion), c.drop)
	dst = wire.AppendString(dst, c.creator)
	dst = binary.AppendUvarint(dst, uint64(c.version))
	dst = wire.AppendString(dst, c.currency)
	dst = binary.AppendUvarint(dst, uint64(c.captured))
	dst = binary.AppendUvarint(dst, uint64(c.returned))
	dst = binary.AppendUvarint(dst, uint64(len(c.parts)))
	for i := range c.parts {
		p := &c.parts[i]
		dst = append(dst, accountCode(p.account))
		dst = wire.AppendString(dst, p.participant)
		dst = binary.AppendUvarint(dst, uint64(p.outstanding))
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.answers)))
	for i := range c.answers {
		a := &c.answers[i]
		dst = wire.AppendString(append(dst, kindCode(a.kind)), a.source)
		dst = binary.AppendUvarint(dst, uint64(a.seq))
		dst = binary.LittleEndian.AppendUint64(dst, a.print)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.parked)))
	for i := range c.parked {
		e := &c.parked[i]
		dst = wire.AppendString(append(dst, kindCode(e.kind)), e.source)
		dst = binary.AppendUvarint(dst, uint64(e.seq))
		dst = wire.AppendString(wire.AppendString(dst, e.drop), e.creator)
		dst = binary.AppendUvarint(dst, uint64(e.version))
		dst = wire.AppendString(dst, e.currency)
		for _, n := range []int64{e.amount, e.tax, e.fee, e.happened, e.arrived} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	return dst
}

func (k checkoutCodec) Decode(data []byte, c *checkout) error {
	r, _ := wire.NewReader(data, checkoutVersion)
	text := func() string { return k.names.Bytes(r.Bytes()) }
	*c = checkout{
		drop: text(), creator: text(), version: r.Uint32(), currency: text(), captured: r.Natural(), returned: r.Natural(),
		parts: c.parts[:0], answers: c.answers[:0], parked: c.parked[:0],
	}
	for range r.Count() {
		c.parts = append(c.parts, part{account: decoded(&r, accountCodes[:]), participant: text(), outstanding: r.Natural()})
	}
	for range r.Count() {
		a := answered{kind: decoded(&r, kindCodes[:]), source: text(), seq: r.Uint32()}
		if b := r.Take(8); len(b) == 8 {
			a.print = binary.LittleEndian.Uint64(b)
		}
		c.answers = append(c.answers, a)
	}
	for range r.Count() {
		c.parked = append(c.parked, entry{
			kind: decoded(&r, kindCodes[:]), source: text(), seq: r.Uint32(), drop: text(), creator: text(), version: r.Uint32(), currency: text(),
			amount: r.Natural(), tax: r.Natural(), fee: r.Natural(), happened: r.Natural(), arrived: r.Natural(),
		})
	}
	return r.Done()
}

// Deadline: never, see checkout.
func (checkoutCodec) Deadline(*checkout) int64 { return 0 }

// The codes are part of the state's version.
var (
	accountCodes = [...]string{event.AccountPlatform, event.AccountPayable, event.AccountTax, event.AccountFee}
	kindCodes    = [...]event.Type{event.CheckoutCompleted, event.CheckoutRefunded, event.CheckoutChargeback, event.CheckoutSettled}
)

func accountCode(account string) byte { return byte(slices.Index(accountCodes[:], account)) }
func kindCode(kind event.Type) byte   { return byte(slices.Index(kindCodes[:], kind)) }

// decoded reads a code.
func decoded[V any](r *wire.Reader, of []V) (v V) {
	b := r.Byte()
	if int(b) >= len(of) {
		r.Fail()
		return v
	}
	return of[b]
}
