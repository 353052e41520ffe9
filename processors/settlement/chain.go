package settlement

import (
	"encoding/binary"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// chain is where the partition's blocks have got to. What the transaction will post is not part of the encoded state: a flush
// publishes all of it, and a rollback forgets it.
type chain struct {
	height uint64
	hash   string

	transactions []event.Transaction
	exceptions   []event.Exception
}

const chainKey = "chain"

// chainCodec writes: version, height, hash.
type chainCodec struct{}

const chainVersion = 1

func (chainCodec) Append(dst []byte, c *chain) []byte {
	return wire.AppendString(binary.AppendUvarint(append(dst, chainVersion), c.height), c.hash)
}

func (chainCodec) Decode(data []byte, c *chain) error {
	r, _ := wire.NewReader(data, chainVersion)
	*c = chain{height: r.Unsigned(), hash: string(r.Bytes())}
	return r.Done()
}

func (chainCodec) Deadline(*chain) int64 { return 0 }

// A block is cut before it would hold more than this, except for one transaction that does so alone. A text may take six times its bytes in JSON, so that
// a block stays within what a derived topic takes.
const (
	maxBlockPostings = 1_000
	maxBlockBytes    = 256 << 10
)

// publishBlocks publishes what was posted and refused since the last flush.
func (l *Ledger) publishBlocks(t processors.Times, out *processors.Output) {
	c := l.chain.Get(chainKey)
	if c == nil || len(c.transactions)+len(c.exceptions) == 0 {
		return
	}
	c, _ = l.chain.Put(chainKey)
	l.payments(c.transactions, t, c.height, out)
	first, size, postings := 0, 0, 0
	for i := range c.transactions {
		tx := &c.transactions[i]
		bytes := transactionBytes(tx)
		if i > first && (size+bytes > maxBlockBytes || postings+len(tx.Postings) > maxBlockPostings) {
			l.seal(c, c.transactions[first:i], nil, t.Now, out)
			first, size, postings = i, 0, 0
		}
		size, postings = size+bytes, postings+len(tx.Postings)
	}
	// Exceptions go with the last of the transactions.
	rest := c.transactions[first:]
	first = 0
	for i := range c.exceptions {
		bytes := exceptionBytes(&c.exceptions[i])
		if len(rest)+i-first > 0 && size+bytes > maxBlockBytes {
			l.seal(c, rest, c.exceptions[first:i], t.Now, out)
			rest, first, size = nil, i, 0
		}
		size += bytes
	}
	l.seal(c, rest, c.exceptions[first:], t.Now, out)
	c.transactions, c.exceptions = nil, nil
}

// seal publishes one block on top of the chain.
func (l *Ledger) seal(c *chain, transactions []event.Transaction, exceptions []event.Exception, now int64, out *processors.Output) {
	c.height++
	l.block = event.Ledger{
		Partition: l.partition, Height: c.height, Previous: c.hash, PostedAt: now, Transactions: transactions, Exceptions: exceptions,
	}
	l.block.Hash = l.block.Digest()
	c.hash = l.block.Hash
	l.key = append(strconv.AppendInt(l.key[:0], int64(l.partition), 10), '/')
	l.key = strconv.AppendUint(l.key, c.height, 10)
	out.Emit(event.KindLedger, wire.Alias(l.key), l.block.AppendJSON)
	l.block = event.Ledger{}
}

// fixedBytes is about what a transaction, posting or exception takes beside its texts.
const fixedBytes = 64

func transactionBytes(t *event.Transaction) int {
	n := 3*fixedBytes + len(t.Source) + len(t.CheckoutID) + len(t.DropID) + len(t.CreatorID)
	for i := range t.Postings {
		n += fixedBytes + len(t.Postings[i].Participant)
	}
	return n
}

func exceptionBytes(e *event.Exception) int {
	return 3*fixedBytes + len(e.Source) + len(e.CheckoutID) + len(e.DropID) + len(e.Detail)
}

// payments tells Payouts of the settled ones among transactions.
func (l *Ledger) payments(transactions []event.Transaction, t processors.Times, height uint64, out *processors.Output) {
	settled := event.CheckoutSettled.String()
	for i := range transactions {
		tx := &transactions[i]
		if tx.Type != settled || len(tx.Postings) == 0 {
			continue
		}
		l.payable = event.Payable{
			Participant: tx.Postings[0].Participant, Currency: tx.Currency, Partition: l.partition, Revision: height + 1, Watermark: t.Watermark,
			Instruction: tx.CheckoutID, Paid: tx.Amount, Seq: tx.Seq,
		}
		l.key = wire.AppendPart(wire.AppendPart(l.key[:0], l.payable.Participant), tx.Currency)
		l.key = wire.AppendPart(wire.AppendPart(l.key, tx.CheckoutID), tx.Source)
		l.key = strconv.AppendUint(l.key, uint64(tx.Seq), 10)
		l.key = strconv.AppendInt(append(l.key, '|'), int64(l.partition), 10)
		out.Emit(event.KindPayable, wire.Alias(l.key), l.payable.AppendJSON)
	}
}
