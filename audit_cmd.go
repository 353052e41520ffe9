package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/ingest/event"
)

// AuditCmd compares Kafka with ClickHouse.
type AuditCmd struct {
	Topic     []string `help:"Topics to audit; default all." placeholder:"TOPIC"`
	Partition []int32  `help:"Partitions to audit; default all." placeholder:"N"`
	Quick     bool     `help:"Compare counts alone: finds doubled rows, and says how many offsets have none, but not why."`
	Views     bool     `help:"Also compare what the materialized views made." default:"true" negatable:""`
	JSON      bool     `name:"json" help:"Print the whole report as JSON."`
}

// Help is shown by --help.
func (c *AuditCmd) Help() string {
	return "Reads every committed record of Kafka up to the offsets that the sink has released, and every offset that ClickHouse holds, and " +
		"names the ranges that are missing, doubled or stray (rows of no record). The pipeline may run on meanwhile.\n\n" +
		"  excused    records without a row that a dead letter names, because they do not decode\n" +
		"  pending    records that do not decode, and that the processors have not come to\n" +
		"  gone       rows of records that are not in Kafka any more, which cannot be compared\n" +
		"  in flight  rows of the batch that the sink has planned and not released\n\n" +
		"In drops and in tables of partials (velocity, inventory, attribution, ...) rows replace each other: there the newest row of each key is compared. What the materialized " +
		"views made (purchases, member_activity, player_drops, player_sessions, first_exposures, drop_versions) is compared with a recomputation from their base tables.\n\n" +
		"The exit code is 0 when nothing was found, 1 with findings, 2 when the audit could not be made.\n\n" +
		"Example:\n\n  droplift audit --topic checkout --json"
}

// errFindings ends an audit that found something: exit code 1, everything has been said.
var errFindings = errors.New("the audit has findings")

// Run prints the report. An error that is not errFindings means that there is none.
func (c *AuditCmd) Run(ctx context.Context, cfg *Config) error {
	return checked(c.run(ctx, cfg), errFindings)
}

func (c *AuditCmd) run(ctx context.Context, cfg *Config) error {
	report, err := c.audit(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(os.Stdout, report)
	} else {
		report.print()
	}
	if err == nil && !report.clean() {
		return errFindings
	}
	return err
}

func (c *AuditCmd) audit(ctx context.Context, cfg *Config) (*auditReport, error) {
	log := cfg.logger(os.Stderr)
	config := auditConfig{SinkGroup: cfg.SinkGroup, ProcessGroup: cfg.ProcessGroup, Partitions: c.Partition, Quick: c.Quick, NoViews: !c.Views}
	for _, topic := range c.Topic {
		kind := event.KindOf(topic)
		if !slices.Contains(sinkKinds, kind) {
			return nil, fmt.Errorf("--topic: %q is none of %s", topic, kindNames(sinkKinds))
		}
		config.Kinds = append(config.Kinds, kind)
	}
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, log)
	if err != nil {
		return nil, err
	}
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), log)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	progress := newBar("audit", 1000)
	config.Progress = func(done, total int64) { progress.set("audit", 1000*done/max(1, total)) }
	report, err := audit(ctx, conf, client, config)
	progress.finish()
	return report, err
}

// print prints the report for people.
func (r *auditReport) print() {
	t := newTable("topic", "partition", "kafka", "by", "records", "rows", "excused", "pending", "gone", "in flight", "missing", "doubled", "stray", "verdict")
	for i := range r.Partitions {
		p := &r.Partitions[i]
		t.AppendRow(table.Row{p.Topic, p.Partition, fmt.Sprintf("%d to %d", p.Start, min(p.Released, p.End)), p.By, p.Records, p.Rows, p.Excused, p.Pending,
			p.Gone, p.InFlight, total(p.Missing), total(p.Doubled), total(p.Stray), p.verdict()})
	}
	fmt.Println(t.Render())
	if len(r.Views) > 0 {
		v := newTable("view", "from", "due", "missing", "stray", "differing", "verdict")
		for i := range r.Views {
			view := &r.Views[i]
			stray := "-"
			if view.Stray >= 0 {
				stray = fmt.Sprint(view.Stray)
			}
			v.AppendRow(table.Row{view.View, view.Source, view.Due, view.Missing, stray, view.Differing, view.verdict()})
		}
		fmt.Printf("\n%s\n", v.Render())
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		if p.Gone > 0 {
			fmt.Printf("\n%s/%d: not in Kafka any more, and not compared: %d rows held.\n", p.Topic, p.Partition, p.Gone)
		}
		if p.Unproven > 0 {
			fmt.Printf("\n%s/%d: %d offsets without a row: markers of transactions, records that do not decode, or loss. Without --quick the audit tells.\n",
				p.Topic, p.Partition, p.Unproven)
		}
	}
	if r.clean() {
		fmt.Println("\nNothing is missing, doubled or stray.")
		return
	}
	fmt.Println()
	for _, finding := range r.findings() {
		fmt.Println(finding)
	}
	fmt.Printf("\n%s\n", r.advice())
}

// advice says what to do about the first finding.
func (r *auditReport) advice() string {
	for _, p := range r.Partitions {
		for _, kind := range p.kinds() {
			if len(kind.ranges) == 0 {
				continue
			}
			from := kind.ranges[0].First
			if from >= p.Released {
				return fmt.Sprintf("%s holds rows of %s/%d from offset %d on, which the sink has not planned. If its group was set back, delete them before it "+
					"comes to them: stop the sink, ALTER TABLE %s DELETE WHERE kafka_partition = %d AND kafka_offset >= %d, wait for the mutation, start the sink.",
					p.Table, p.Topic, p.Partition, p.Released, p.Table, p.Partition, p.Released)
			}
			tokens := ""
			if p.By != byNewest {
				// Else the server would take a batch of the same range for one that it has, and drop it.
				tokens = fmt.Sprintf("let the table forget its tokens (ALTER TABLE %[1]s MODIFY SETTING non_replicated_deduplication_window = 0, then = 10000); ", p.Table)
			}
			return fmt.Sprintf("To load %s/%d again from offset %d on: stop the sink; ALTER TABLE %s DELETE WHERE kafka_partition = %d AND kafka_offset >= %d; "+
				"wait for the mutation; %sset the sink group's offset of %s/%d to %d (kafka-consumer-groups --reset-offsets --to-offset); start the sink and audit again.",
				p.Topic, p.Partition, from, p.Table, p.Partition, from, tokens, p.Topic, p.Partition, from)
		}
	}
	return "The base tables are right: run the views' SELECTs again for their rows, as the migrations write them (they are idempotent)."
}
