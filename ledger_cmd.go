package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// LedgerCmd groups what is about the ledger.
type LedgerCmd struct {
	Verify LedgerVerifyCmd `cmd:"" help:"Prove the ledger from ClickHouse alone: chains, sums, keys, and every drop against its checkouts."`
}

// LedgerVerifyCmd proves the ledger.
type LedgerVerifyCmd struct {
	Grace time.Duration `help:"Age below which an event that only one side has is in flight, and no finding." default:"60s"`
	JSON  bool          `name:"json" help:"Print the whole report as JSON."`
}

// Help is shown by --help.
func (c *LedgerVerifyCmd) Help() string {
	return "Reads every block of the ledger out of ClickHouse, by partition and height, and proves that\n\n" +
		"  each block stands on the one below, and has the hash of its content\n" +
		"  the postings of each transaction sum to 0\n" +
		"  no idempotency key has two transactions\n" +
		"  all balances of a currency sum to 0, and are those that ledger_balances shows\n" +
		"  each drop's sales, refunds and chargebacks are those of its stored checkout events, or named: parked, refused, dead-lettered\n\n" +
		"or names the first bad entry. The chain alone cannot show that its end was cut off: keep the heads that this prints somewhere else.\n\n" +
		"The exit code is 0 when the ledger is proved, 1 with findings, 2 when it could not be verified.\n\n" +
		"Example:\n\n  droplift ledger verify --json"
}

// errUnproved ends a verification that found something: exit code 1, everything has been said.
var errUnproved = errors.New("the ledger is not proved")

// Run prints the report. An error that is not errUnproved means that there is none.
func (c *LedgerVerifyCmd) Run(ctx context.Context, cfg *Config) error {
	return checked(c.run(ctx, cfg), errUnproved)
}

func (c *LedgerVerifyCmd) run(ctx context.Context, cfg *Config) error {
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	progress := newBar("ledger", 1000)
	report, err := verifyLedger(ctx, client, int(c.Grace.Seconds()), func(done, total uint64) {
		progress.set("ledger", int64(1000*done/max(1, total)))
	})
	progress.finish()
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(os.Stdout, report)
	} else {
		report.print()
	}
	if err == nil && !report.clean() {
		return errUnproved
	}
	return err
}

// print prints the report for people.
func (r *ledgerReport) print() {
	heads := newTable("partition", "height", "head")
	for _, h := range r.Heads {
		heads.AppendRow(table.Row{h.Partition, h.Height, h.Hash})
	}
	fmt.Println(heads.Render())
	if len(r.Drops) > 0 {
		drops := newTable("drop", "currency", "facts", "posted", "parked", "refused", "dead letters", "in flight", "difference", "wrong events")
		for _, d := range r.Drops {
			drops.AppendRow(table.Row{d.Drop, d.Currency, d.Facts, d.Posted, d.Parked, d.Refused, d.DeadLettered, d.InFlight, d.Difference, d.Wrong})
		}
		fmt.Printf("\n%s\n", drops.Render())
	}
	fmt.Printf("\n%d blocks, %d transactions, %d postings, %d exceptions.\n", r.Blocks, r.Transactions, r.Postings, r.Exceptions)
	switch {
	case r.Bad != nil:
		fmt.Printf("The first bad entry: %v.\n", r.Bad)
	case !r.clean():
		fmt.Println("The ledger is sound, but does not hold what was sold: droplift query settlement_open names the events.")
	default:
		fmt.Println("The ledger is proved.")
	}
}
