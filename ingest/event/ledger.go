package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Accounts of the double-entry ledger (DOMAIN 8.2). A posting to AccountPayable names the participant it is owed to.
const (
	AccountClearing = "psp_clearing"
	AccountPlatform = "platform_rev"
	AccountPayable  = "payable"
	AccountTax      = "tax_payable"
	AccountFee      = "psp_fee"
	AccountDispute  = "dispute_fee"
	AccountPayout   = "payout_clearing"
)

// Ledger is one block of one partition's ledger: what was posted and what was refused at one flush. Blocks form a
// hash chain per partition. Key: partition/height. Blocks are never replaced.
type Ledger struct {
	// Partition of the input that this block is about.
	Partition int32 `json:"partition" rule:"required"`
	// Height counts the partition's blocks from 1.
	Height uint64 `json:"height" rule:"required;min=1"`
	// Previous is the hash of the block below, empty for the first one.
	Previous string `json:"previous"`
	// Hash is SHA-256, in hexadecimal, over the canonical encoding of all other fields.
	Hash string `json:"hash" rule:"required"`
	// PostedAt is when the block was made, by the processor's clock (Unix ms).
	PostedAt int64 `json:"posted_at" rule:"required"`
	// Transactions in the order of posting.
	Transactions []Transaction `json:"transactions"`
	// Exceptions are the events that were parked, refused or posted with an alarm.
	Exceptions []Exception `json:"exceptions"`
}

// Transaction is one balanced entry: its postings sum to 0. (source, checkout_id, type, seq) is its idempotency key.
type Transaction struct {
	// Source is the channel the event came through.
	Source string `json:"source"`
	// CheckoutID is the checkout's, or the settlement instruction's for type settled.
	CheckoutID string `json:"checkout_id" rule:"required"`
	// Type is completed, refunded, chargeback or settled.
	Type string `json:"type" rule:"required"`
	// Seq tells transactions of one type of one checkout apart.
	Seq uint32 `json:"seq"`
	// DropID, CreatorID and SplitVersion say by which shares the sale was divided.
	DropID       string `json:"drop_id"`
	CreatorID    string `json:"creator_id"`
	SplitVersion uint32 `json:"split_version"`
	// Currency of every posting.
	Currency string `json:"currency" rule:"required"`
	// Amount of the event in minor units, not negative.
	Amount int64 `json:"amount"`
	// EventTime and IngestTime of the event (Unix ms).
	EventTime  int64 `json:"event_time"`
	IngestTime int64 `json:"ingest_time"`
	// Postings sum to 0; there is none of amount 0.
	Postings []Posting `json:"postings"`
}

// Posting changes one account: a debit is positive, a credit negative.
type Posting struct {
	// Account is psp_clearing, platform_rev, payable, tax_payable, psp_fee, dispute_fee or payout_clearing.
	Account string `json:"account" rule:"required"`
	// Participant is whom payable is owed to; empty for the other accounts.
	Participant string `json:"participant"`
	// Amount in minor units.
	Amount int64 `json:"amount"`
}

// Exception is one event that was not posted, or not without an alarm. The first five fields are as Transaction's.
type Exception struct {
	// Outcome is parked, unknown_split, excess, key_conflict, currency_mismatch, drop_mismatch, deductions, overflow or finer_than_psp.
	Outcome string `json:"outcome" rule:"required"`
	// Source is the channel the event came through.
	Source string `json:"source"`
	// CheckoutID is the checkout's, or the settlement instruction's for type settled.
	CheckoutID string `json:"checkout_id" rule:"required"`
	// Type is completed, refunded, chargeback or settled.
	Type string `json:"type" rule:"required"`
	// Seq tells events of one type of one checkout apart.
	Seq uint32 `json:"seq"`
	// DropID names the drop.
	DropID string `json:"drop_id"`
	// Currency and Amount of the event, in minor units.
	Currency string `json:"currency" rule:"required"`
	Amount   int64  `json:"amount"`
	// EventTime and IngestTime of the event (Unix ms).
	EventTime  int64 `json:"event_time"`
	IngestTime int64 `json:"ingest_time"`
	// Detail says what is wrong, for a person.
	Detail string `json:"detail"`
}

// digestDomain starts the encoding, so that a hash of something else is none of a block.
const digestDomain = "droplift ledger block 1\n"

// Digest is the hash of the block's canonical encoding, which Hash should hold:
//
//	"droplift ledger block 1\n", partition, height, previous, posted_at,
//	number of transactions, and of each: source, checkout_id, type, seq, drop_id, creator_id, split_version,
//	  currency, amount, event_time, ingest_time, number of postings, and of each: account, participant, amount,
//	number of exceptions, and of each: outcome, source, checkout_id, type, seq, drop_id, currency, amount,
//	  event_time, ingest_time, detail
//
// where a text is its length in bytes and its bytes, and every number is 8 bytes, big-endian, two's complement.
func (l *Ledger) Digest() string {
	h := digester{buffer: append(make([]byte, 0, 4096), digestDomain...)}
	h.number(int64(l.Partition))
	h.number(int64(l.Height))
	h.text(l.Previous)
	h.number(l.PostedAt)
	h.number(int64(len(l.Transactions)))
	for i := range l.Transactions {
		t := &l.Transactions[i]
		h.text(t.Source)
		h.text(t.CheckoutID)
		h.text(t.Type)
		h.number(int64(t.Seq))
		h.text(t.DropID)
		h.text(t.CreatorID)
		h.number(int64(t.SplitVersion))
		h.text(t.Currency)
		h.number(t.Amount)
		h.number(t.EventTime)
		h.number(t.IngestTime)
		h.number(int64(len(t.Postings)))
		for _, p := range t.Postings {
			h.text(p.Account)
			h.text(p.Participant)
			h.number(p.Amount)
		}
	}
	h.number(int64(len(l.Exceptions)))
	for i := range l.Exceptions {
		e := &l.Exceptions[i]
		h.text(e.Outcome)
		h.text(e.Source)
		h.text(e.CheckoutID)
		h.text(e.Type)
		h.number(int64(e.Seq))
		h.text(e.DropID)
		h.text(e.Currency)
		h.number(e.Amount)
		h.number(e.EventTime)
		h.number(e.IngestTime)
		h.text(e.Detail)
	}
	sum := sha256.Sum256(h.buffer)
	return hex.EncodeToString(sum[:])
}

type digester struct{ buffer []byte }

func (d *digester) number(n int64) { d.buffer = binary.BigEndian.AppendUint64(d.buffer, uint64(n)) }

func (d *digester) text(s string) {
	d.number(int64(len(s)))
	d.buffer = append(d.buffer, s...)
}

// Payable is one mergeable partial: what one partition has accrued to a participant from a drop in a currency, or, with an
// Instruction, that a settlement was paid. Key: participant|currency|drop_id|partition, or
// participant|currency|instruction|source|seq|partition; routed by participant. Newer revisions replace older ones; sums over partitions are exact.
type Payable struct {
	// Participant is owed; the platform is none.
	Participant string `json:"participant" rule:"required"`
	// Currency of Accrued and Paid.
	Currency string `json:"currency" rule:"required"`
	// DropID is what Accrued was earned with; empty with an Instruction.
	DropID string `json:"drop_id"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// Revision grows with every publication of this partial.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Accrued is sales less refunds and chargebacks so far, in minor units.
	Accrued int64 `json:"accrued"`
	// Instruction is the settlement that Paid (minor units) closes, Seq the settled event's.
	Instruction string `json:"instruction"`
	Paid        int64  `json:"paid"`
	Seq         uint32 `json:"seq"`
}

// Settlement is one instruction to pay a participant, for payment rails. Key: id, which is also the idempotency key
// to pay with; newer revisions replace older ones.
type Settlement struct {
	// ID is participant|currency|seq: the same payout has the same one for ever.
	ID string `json:"id" rule:"required"`
	// Participant is whom to pay.
	Participant string `json:"participant" rule:"required"`
	// Currency of the amounts.
	Currency string `json:"currency" rule:"required"`
	// Seq counts the participant's instructions in this currency from 1; 0 for an id that no instruction has.
	Seq uint64 `json:"seq"`
	// Revision grows with every publication.
	Revision uint64 `json:"revision" rule:"required"`
	// Status is open, settled, or an alarm: mismatched, double, unknown.
	Status string `json:"status" rule:"required"`
	// Amount to pay, in minor units (ISO 4217); PSPAmount is the same at PSPExponent, which is the payment provider's.
	Amount      int64 `json:"amount"`
	PSPAmount   int64 `json:"psp_amount"`
	PSPExponent uint8 `json:"psp_exponent"`
	// Paid is what settled events said was paid, in minor units (ISO 4217).
	Paid int64 `json:"paid"`
	// AsOf is the event time (Unix ms) that released it, the partitions' watermark.
	AsOf int64 `json:"as_of" rule:"required"`
}
