package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/droplift/droplift/ingest/event"
)

func newLedger() *table {
	t := &table{name: "ledger"}
	c := &t.columns
	texts := func(name string) *vector[[]string] {
		return newVector[[]string](c, name, "Array(LowCardinality(String))")
	}
	ids := func(name string) *vector[[]string] { return newVector[[]string](c, name, "Array(String)") }
	numbers := func(name string) *vector[[]int64] { return newVector[[]int64](c, name, "Array(Int64)") }
	counts := func(name string) *vector[[]uint32] { return newVector[[]uint32](c, name, "Array(UInt32)") }

	partition := newVector[uint32](c, "partition", "UInt32")
	height := newVector[uint64](c, "height", "UInt64")
	previous := c.text("previous")
	hash := c.text("hash")
	postedAt := c.moment("posted_at")
	source, checkout, kind, seq := texts("tx_source"), ids("tx_checkout"), texts("tx_type"), counts("tx_seq")
	drop, creator, split := texts("tx_drop"), texts("tx_creator"), counts("tx_split_version")
	currency, amount := texts("tx_currency"), numbers("tx_amount")
	eventTime, ingestTime := numbers("tx_event_time"), numbers("tx_ingest_time")
	of, account, participant, posted := counts("posting_tx"), texts("posting_account"), texts("posting_participant"), numbers("posting_amount")
	exOutcome, exSource, exCheckout, exType, exSeq := texts("ex_outcome"), texts("ex_source"), ids("ex_checkout"), texts("ex_type"), counts("ex_seq")
	exDrop, exCurrency, exAmount := texts("ex_drop"), texts("ex_currency"), numbers("ex_amount")
	exEventTime, exIngestTime, exDetail := numbers("ex_event_time"), numbers("ex_ingest_time"), ids("ex_detail")
	t.addPosition(c)

	var decoder event.Decoder
	var l event.Ledger
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Ledger(r.Value, &l); err != nil {
			return 0, err
		}
		partition.add(uint32(l.Partition))
		height.add(l.Height)
		previous.add(l.Previous)
		hash.add(l.Hash)
		postedAt.add(l.PostedAt)
		source.add(each(l.Transactions, func(x event.Transaction) string { return strings.Clone(x.Source) }))
		checkout.add(each(l.Transactions, func(x event.Transaction) string { return strings.Clone(x.CheckoutID) }))
		kind.add(each(l.Transactions, func(x event.Transaction) string { return strings.Clone(x.Type) }))
		seq.add(each(l.Transactions, func(x event.Transaction) uint32 { return x.Seq }))
		drop.add(each(l.Transactions, func(x event.Transaction) string { return strings.Clone(x.DropID) }))
		creator.add(each(l.Transactions, func(x event.Transaction) string { return strings.Clone(x.CreatorID) }))
		split.add(each(l.Transactions, func(x event.Transaction) uint32 { return x.SplitVersion }))
		currency.add(each(l.Transactions, func(x event.Transaction) string { return strings.Clone(x.Currency) }))
		amount.add(each(l.Transactions, func(x event.Transaction) int64 { return x.Amount }))
		eventTime.add(each(l.Transactions, func(x event.Transaction) int64 { return x.EventTime }))
		ingestTime.add(each(l.Transactions, func(x event.Transaction) int64 { return x.IngestTime }))
		n := 0
		for i := range l.Transactions {
			n += len(l.Transactions[i].Postings)
		}
		txs, accounts, participants, amounts := make([]uint32, 0, n), make([]string, 0, n), make([]string, 0, n), make([]int64, 0, n)
		for i := range l.Transactions {
			for _, p := range l.Transactions[i].Postings {
				txs, accounts = append(txs, uint32(i+1)), append(accounts, strings.Clone(p.Account))
				participants, amounts = append(participants, strings.Clone(p.Participant)), append(amounts, p.Amount)
			}
		}
		of.add(txs)
		account.add(accounts)
		participant.add(participants)
		posted.add(amounts)
		exOutcome.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.Outcome) }))
		exSource.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.Source) }))
		exCheckout.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.CheckoutID) }))
		exType.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.Type) }))
		exSeq.add(each(l.Exceptions, func(x event.Exception) uint32 { return x.Seq }))
		exDrop.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.DropID) }))
		exCurrency.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.Currency) }))
		exAmount.add(each(l.Exceptions, func(x event.Exception) int64 { return x.Amount }))
		exEventTime.add(each(l.Exceptions, func(x event.Exception) int64 { return x.EventTime }))
		exIngestTime.add(each(l.Exceptions, func(x event.Exception) int64 { return x.IngestTime }))
		exDetail.add(each(l.Exceptions, func(x event.Exception) string { return strings.Clone(x.Detail) }))
		return min(l.PostedAt, r.Timestamp), nil
	}
	return t
}

func newSettlements() *table {
	t := &table{name: "settlements"}
	c := &t.columns
	id := c.text("id")
	participant := c.label("participant")
	currency := c.label("currency")
	seq := newVector[uint64](c, "seq", "UInt64")
	revision := newVector[uint64](c, "revision", "UInt64")
	status := c.label("status")
	amount := newVector[int64](c, "amount", "Int64")
	pspAmount := newVector[int64](c, "psp_amount", "Int64")
	pspExponent := newVector[uint8](c, "psp_exponent", "UInt8")
	paid := newVector[int64](c, "paid", "Int64")
	asOf := c.moment("as_of")
	t.addPosition(c)

	var decoder event.Decoder
	var s event.Settlement
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Settlement(r.Value, &s); err != nil {
			return 0, err
		}
		id.add(s.ID)
		participant.add(s.Participant)
		currency.add(s.Currency)
		seq.add(s.Seq)
		revision.add(s.Revision)
		status.add(s.Status)
		amount.add(s.Amount)
		pspAmount.add(s.PSPAmount)
		pspExponent.add(s.PSPExponent)
		paid.add(s.Paid)
		asOf.add(s.AsOf)
		return min(s.AsOf, r.Timestamp), nil
	}
	return t
}

// Blocks calls each with every stored block of the ledger, by partition and height; the block is valid during the call only. A row whose
// columns do not fit together is an error: no record made it.
func (c *Client) Blocks(ctx context.Context, each func(*event.Ledger) error) error {
	return c.each(ctx, "ledger_blocks", nil, func(rows driver.Rows) error {
		var partition uint32
		var l event.Ledger
		var at time.Time
		var source, checkout, kind, drop, creator, currency, account, participant []string
		var seq, split, of []uint32
		var amount, eventTime, ingestTime, posted []int64
		var exOutcome, exSource, exCheckout, exType, exDrop, exCurrency, exDetail []string
		var exSeq []uint32
		var exAmount, exEventTime, exIngestTime []int64
		err := rows.Scan(&partition, &l.Height, &l.Previous, &l.Hash, &at,
			&source, &checkout, &kind, &seq, &drop, &creator, &split, &currency, &amount, &eventTime, &ingestTime,
			&of, &account, &participant, &posted,
			&exOutcome, &exSource, &exCheckout, &exType, &exSeq, &exDrop, &exCurrency, &exAmount, &exEventTime, &exIngestTime, &exDetail)
		if err != nil {
			return err
		}
		l.Partition, l.PostedAt = int32(partition), at.UnixMilli()
		misfit := func(what string) error {
			return fmt.Errorf("ledger: block %d of partition %d: its %s columns do not fit together", l.Height, l.Partition, what)
		}
		n := len(checkout)
		for _, other := range []int{len(source), len(kind), len(seq), len(drop), len(creator), len(split), len(currency), len(amount), len(eventTime), len(ingestTime)} {
			if other != n {
				return misfit("transaction")
			}
		}
		if len(of) != len(account) || len(of) != len(participant) || len(of) != len(posted) {
			return misfit("posting")
		}
		for i := range n {
			l.Transactions = append(l.Transactions, event.Transaction{
				Source: source[i], CheckoutID: checkout[i], Type: kind[i], Seq: seq[i], DropID: drop[i], CreatorID: creator[i], SplitVersion: split[i],
				Currency: currency[i], Amount: amount[i], EventTime: eventTime[i], IngestTime: ingestTime[i],
			})
		}
		for i, tx := range of {
			if tx == 0 || int(tx) > n || i > 0 && tx < of[i-1] {
				return misfit("posting")
			}
			t := &l.Transactions[tx-1]
			t.Postings = append(t.Postings, event.Posting{Account: account[i], Participant: participant[i], Amount: posted[i]})
		}
		n = len(exCheckout)
		for _, other := range []int{len(exOutcome), len(exSource), len(exType), len(exSeq), len(exDrop), len(exCurrency), len(exAmount), len(exEventTime), len(exIngestTime), len(exDetail)} {
			if other != n {
				return misfit("exception")
			}
		}
		for i := range n {
			l.Exceptions = append(l.Exceptions, event.Exception{
				Outcome: exOutcome[i], Source: exSource[i], CheckoutID: exCheckout[i], Type: exType[i], Seq: exSeq[i], DropID: exDrop[i],
				Currency: exCurrency[i], Amount: exAmount[i], EventTime: exEventTime[i], IngestTime: exIngestTime[i], Detail: exDetail[i],
			})
		}
		return each(&l)
	})
}

// LedgerBlocks is the number of stored blocks.
func (c *Client) LedgerBlocks(ctx context.Context) (blocks uint64, err error) {
	err = c.each(ctx, "ledger_extent", nil, func(rows driver.Rows) error {
		var transactions, postings, exceptions uint64
		return rows.Scan(&blocks, &transactions, &postings, &exceptions)
	})
	return blocks, err
}

// Balances calls each with every balance that the ledger shows, in minor units.
func (c *Client) Balances(ctx context.Context, each func(account, participant, currency string, balance int64)) error {
	return c.each(ctx, "ledger_balances", nil, func(rows driver.Rows) error {
		var account, participant, currency string
		var balance int64
		if err := rows.Scan(&account, &participant, &currency, &balance); err != nil {
			return err
		}
		each(account, participant, currency, balance)
		return nil
	})
}
