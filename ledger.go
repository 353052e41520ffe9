package main

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// ledgerReport is what a verification found.
type ledgerReport struct {
	Partitions   int    `json:"partitions"`
	Blocks       uint64 `json:"blocks"`
	Transactions uint64 `json:"transactions"`
	Postings     uint64 `json:"postings"`
	Exceptions   uint64 `json:"exceptions"`
	// Heads are the newest block of each partition: kept elsewhere, they prove later that no end was cut off.
	Heads []ledgerHead `json:"heads"`
	// Bad is the first bad entry; nil when the ledger is proved.
	Bad *ledgerFault `json:"bad"`
	// Drops are the reconciliation, by drop and currency.
	Drops []ledgerDrop `json:"drops"`
}

type ledgerHead struct {
	Partition int32  `json:"partition"`
	Height    uint64 `json:"height"`
	Hash      string `json:"hash"`
}

// ledgerFault names one bad entry and says what is wrong with it.
type ledgerFault struct {
	Partition int32  `json:"partition"`
	Height    uint64 `json:"height"`
	// Key is the transaction's source|checkout|type|seq; empty when it is the block that is bad.
	Key     string `json:"key"`
	Problem string `json:"problem"`
}

func (f *ledgerFault) Error() string {
	if f.Key == "" {
		return fmt.Sprintf("partition %d, block %d: %s", f.Partition, f.Height, f.Problem)
	}
	return fmt.Sprintf("partition %d, block %d, transaction %s: %s", f.Partition, f.Height, f.Key, f.Problem)
}

// ledgerDrop is one drop's reconciliation in one currency, in minor units.
type ledgerDrop struct {
	Drop         string `json:"drop_id"`
	Currency     string `json:"currency"`
	Facts        int64  `json:"facts"`
	Posted       int64  `json:"posted"`
	Parked       int64  `json:"parked"`
	Refused      int64  `json:"refused"`
	DeadLettered int64  `json:"dead_lettered"`
	InFlight     int64  `json:"in_flight"`
	Difference   int64  `json:"difference"`
	Wrong        uint64 `json:"wrong_events"`
}

func (r *ledgerReport) clean() bool {
	for _, d := range r.Drops {
		if d.Difference != 0 || d.Wrong != 0 {
			return false
		}
	}
	return r.Bad == nil
}

// ledgerProof checks blocks one after the other, by partition and height. The first fault ends it.
type ledgerProof struct {
	report ledgerReport
	head   *ledgerHead
	// keys are hashes of every idempotency key so far.
	keys     map[[16]byte]struct{}
	balances map[ledgerAccount]int64
}

type ledgerAccount struct{ account, participant, currency string }

func newLedgerProof() *ledgerProof {
	return &ledgerProof{keys: map[[16]byte]struct{}{}, balances: map[ledgerAccount]int64{}}
}

// block checks one block; the error, if any, is a *ledgerFault.
func (p *ledgerProof) block(l *event.Ledger) error {
	bad := func(key, format string, args ...any) error {
		p.report.Bad = &ledgerFault{l.Partition, l.Height, key, fmt.Sprintf(format, args...)}
		return p.report.Bad
	}
	if p.head == nil || p.head.Partition != l.Partition {
		p.report.Heads = append(p.report.Heads, ledgerHead{Partition: l.Partition})
		p.head = &p.report.Heads[len(p.report.Heads)-1]
		p.report.Partitions++
	}
	switch {
	case l.Height == p.head.Height:
		return bad("", "stands there twice")
	case l.Height != p.head.Height+1:
		return bad("", "stands on block %d: those between are missing", p.head.Height)
	case l.Previous != p.head.Hash:
		return bad("", "says that the block below has the hash %q, but it has %q", l.Previous, p.head.Hash)
	}
	for i := range l.Transactions {
		t := &l.Transactions[i]
		key := wire.AppendPart(wire.AppendPart(wire.AppendPart(nil, t.Source), t.CheckoutID), t.Type)
		name := fmt.Sprintf("%s%d", key, t.Seq)
		sum := sha256.Sum256([]byte(name))
		short := [16]byte(sum[:])
		if _, again := p.keys[short]; again {
			return bad(name, "its idempotency key has a transaction already")
		}
		p.keys[short] = struct{}{}
		total := int64(0)
		for _, posting := range t.Postings {
			total += posting.Amount
			p.balances[ledgerAccount{posting.Account, posting.Participant, t.Currency}] += posting.Amount
		}
		if total != 0 {
			return bad(name, "its postings sum to %d %s, not 0", total, t.Currency)
		}
		p.report.Postings += uint64(len(t.Postings))
	}
	if digest := l.Digest(); digest != l.Hash {
		return bad("", "has the hash %s, but its content has %s", l.Hash, digest)
	}
	p.head.Height, p.head.Hash = l.Height, l.Hash
	p.report.Blocks++
	p.report.Transactions += uint64(len(l.Transactions))
	p.report.Exceptions += uint64(len(l.Exceptions))
	return nil
}

// sums proves that the balances of each currency sum to 0, and that they are the ones that ClickHouse shows.
func (p *ledgerProof) sums(shown map[ledgerAccount]int64) error {
	totals := map[string]int64{}
	for account, balance := range p.balances {
		totals[account.currency] += balance
		if shown[account] != balance {
			p.report.Bad = &ledgerFault{Problem: fmt.Sprintf("ledger_balances shows %d %s for %s %s, but its postings sum to %d",
				shown[account], account.currency, account.account, account.participant, balance)}
			return p.report.Bad
		}
	}
	for currency, total := range totals {
		if total != 0 {
			p.report.Bad = &ledgerFault{Problem: fmt.Sprintf("all balances in %s sum to %d, not 0", currency, total)}
			return p.report.Bad
		}
	}
	return nil
}

// verifyLedger proves what ClickHouse holds, from ClickHouse alone. An error means that there is no report.
func verifyLedger(ctx context.Context, client *clickhouse.Client, grace int, progress func(done, total uint64)) (*ledgerReport, error) {
	extent, err := client.LedgerBlocks(ctx)
	if err != nil {
		return nil, err
	}
	proof := newLedgerProof()
	err = client.Blocks(ctx, func(l *event.Ledger) error {
		progress(proof.report.Blocks, extent)
		return proof.block(l)
	})
	if err == nil {
		shown := map[ledgerAccount]int64{}
		if err := client.Balances(ctx, func(account, participant, currency string, balance int64) {
			shown[ledgerAccount{account, participant, currency}] = balance
		}); err != nil {
			return nil, err
		}
		err = proof.sums(shown)
	}
	if err != nil && proof.report.Bad == nil {
		return nil, err
	}
	if proof.report.Drops, err = reconcile(ctx, client, grace); err != nil {
		return nil, err
	}
	return &proof.report, nil
}

// reconcile runs the query of that name.
func reconcile(ctx context.Context, client *clickhouse.Client, grace int) ([]ledgerDrop, error) {
	table, err := client.Query(ctx, "settlement_reconciliation", clickhouse.Params{"grace_s": grace})
	if err != nil {
		return nil, err
	}
	column := map[string]int{}
	for i, name := range table.Columns {
		column[name] = i
	}
	drops := make([]ledgerDrop, len(table.Rows))
	for i, row := range table.Rows {
		amount := func(name string) int64 { n, _ := row[column[name]].(int64); return n }
		text := func(name string) string { s, _ := row[column[name]].(string); return s }
		wrong, _ := row[column["wrong_events"]].(uint64)
		drops[i] = ledgerDrop{
			Drop: text("drop_id"), Currency: text("currency"), Facts: amount("facts"), Posted: amount("posted"), Parked: amount("parked"), Refused: amount("refused"),
			DeadLettered: amount("dead_lettered"), InFlight: amount("in_flight"), Difference: amount("difference"), Wrong: wrong,
		}
	}
	return drops, nil
}
