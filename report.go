package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/guptarohit/asciigraph"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/sinks/clickhouse"
)

// ReportCmd prints a drop's report, or writes it as a page.
type ReportCmd struct {
	Drop string `arg:"" help:"Drop id." placeholder:"DROP"`
	HTML string `help:"Write the report as one self-contained HTML page to this file, with plots and intervals; - is standard output." placeholder:"FILE"`

	LiftOptions `embed:"" prefix:"lift-"`
}

// Help is shown by --help.
func (c *ReportCmd) Help() string {
	return "Prints a drop's report in the terminal, or writes one HTML page to send: it needs no network, no script and no other file, " +
		"prints well, and follows the reader's light or dark setting. Provisional numbers say so.\n\nExample:\n\n  droplift report drop-001 --html drop-001.html"
}

func (c *ReportCmd) Run(ctx context.Context, cfg *Config) error {
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	if c.HTML == "" {
		return printReport(ctx, os.Stdout, client, c.Drop)
	}
	return toFile(c.HTML, func(w io.Writer) error { return reportPage(ctx, w, client, c.Drop, cfg.AllowedLateness, c.LiftOptions) })
}

// printReport prints a drop's report, every number of it computed by SQL in ClickHouse.
func printReport(ctx context.Context, w io.Writer, client *clickhouse.Client, drop string) error {
	r := reporter{ctx: ctx, w: w, client: client, drop: drop}
	known, err := client.Query(ctx, "drop_entry", clickhouse.Params{"drop": drop})
	if err != nil {
		return err
	}
	if len(known.Rows) == 0 {
		return unknownDrop(drop)
	}
	entry := row{known, 0}
	fmt.Fprintf(w, "\nDrop %s: %s, %s to %s UTC\n", drop, entry.text("name"), entry.text("starts"), entry.text("ends"))
	for _, section := range []func() error{r.revenue, r.velocity, r.funnel, r.latency, r.latencyByPOP, r.cohorts, r.quality} {
		if err := section(); err != nil {
			return err
		}
	}
	return nil
}

type reporter struct {
	ctx    context.Context
	w      io.Writer
	client *clickhouse.Client
	drop   string
}

func (r *reporter) query(name string, params clickhouse.Params) (*clickhouse.Table, error) {
	t, err := r.client.Query(r.ctx, name, params)
	if err != nil {
		return nil, fmt.Errorf("report, query %s: %w", name, err)
	}
	return t, nil
}

func (r *reporter) print(title string, t table.Writer) {
	fmt.Fprintf(r.w, "\n%s\n\n%s\n", title, indent(t.Render()))
}

func (r *reporter) revenue() error {
	data, err := r.query("report_revenue", clickhouse.Params{"drop": r.drop})
	if err != nil {
		return err
	}
	t := newTable("currency", "checkouts", "buyers", "gross", "refunds", "chargebacks", "net", "in "+reportingCurrency(data))
	for i := range data.Rows {
		row := row{data, i}
		currency := row.text("currency")
		t.AppendRow(table.Row{currency, row.text("checkouts"), row.text("buyers"), row.money("gross", currency), row.money("refunds", currency),
			row.money("chargebacks", currency), row.money("net", currency), row.money("reporting_net", row.text("reporting_currency"))})
	}
	r.print("Revenue", t)
	return nil
}

func reportingCurrency(data *clickhouse.Table) string {
	if len(data.Rows) == 0 {
		return "reporting currency"
	}
	return row{data, 0}.text("reporting_currency")
}

func (r *reporter) velocity() error {
	data, err := r.query("report_velocity_summary", clickhouse.Params{"drop": r.drop})
	if err != nil {
		return err
	}
	if len(data.Rows) > 0 {
		row := row{data, 0}
		t := newTable("conversions", "peak", "at", "half of them by age", "maturity")
		t.AppendRow(table.Row{row.text("conversions"), row.decimal("peak_per_minute", 1), row.text("peak_at"), row.duration("t50_ms"), row.text("maturity")})
		r.print("Conversion velocity (conversions per minute over 5 min)", t)
	}
	series, err := r.query("report_velocity", clickhouse.Params{"drop": r.drop})
	if err != nil {
		return err
	}
	var points []float64
	for i := range series.Rows {
		if v, ok := (row{series, i}).number("per_minute"); ok {
			points = append(points, v)
		}
	}
	if len(points) > 1 {
		fmt.Fprintf(r.w, "\n%s\n", indent(asciigraph.Plot(points, asciigraph.Height(8), asciigraph.Width(72), asciigraph.Precision(1),
			asciigraph.Caption("conversions/min by drop age, start to newest"))))
	}
	return nil
}

func (r *reporter) funnel() error {
	data, err := r.query("report_funnel", clickhouse.Params{"drop": r.drop})
	if err != nil {
		return err
	}
	t := newTable("step", "players", "of the step before", "95 %", "of landings")
	for i := range data.Rows {
		row := row{data, i}
		t.AppendRow(table.Row{row.text("step"), row.text("players"), row.percent("rate"), row.interval("rate_low", "rate_high"), row.percent("total_rate")})
	}
	if len(data.Rows) > 0 {
		last := row{data, 0}
		t.AppendFooter(table.Row{"left out of the rates", last.text("gap_players"), "", "", last.percent("gap_share")})
	}
	r.print("Funnel (players, ordered)", t)
	return nil
}

func (r *reporter) latency() error {
	return r.latencyTable("Landing latency against conversion (observational)", false)
}

func (r *reporter) latencyByPOP() error {
	return r.latencyTable("The same by POP", true)
}

func (r *reporter) latencyTable(title string, byPOP bool) error {
	params := clickhouse.Params{"drop": r.drop}
	header := []any{"latency ms", "viewers", "conversions", "rate", "95 %", "net revenue/view"}
	if byPOP {
		params["by_pop"] = 1
		header = append([]any{"POP"}, header...)
	}
	data, err := r.query("report_latency", params)
	if err != nil {
		return err
	}
	t := newTable(header...)
	for i := range data.Rows {
		row := row{data, i}
		cells := table.Row{row.text("latency_ms"), row.text("n"), row.text("conversions"), row.percent("rate"),
			row.interval("rate_low", "rate_high"), row.decimal("revenue_per_view", 1)}
		if byPOP {
			cells = append(table.Row{row.text("pop")}, cells...)
		}
		t.AppendRow(cells)
	}
	t.SetCaption("net revenue/view in minor units of the reporting currency")
	r.print(title, t)
	return nil
}

// cohortAges is how many weeks of age the report shows.
const cohortAges = 4

func (r *reporter) cohorts() error {
	data, err := r.query("ltv_cohorts", clickhouse.Params{"cohort": "week", "max_age": cohortAges})
	if err != nil {
		return err
	}
	header := []any{"acquired in", "members"}
	for age := range cohortAges + 1 {
		header = append(header, "week "+strconv.Itoa(age))
	}
	currency := reportingCurrency(data)
	t := newTable(header...)
	var cells table.Row
	for i := range data.Rows {
		row := row{data, i}
		if len(cells) == 0 {
			cells = table.Row{row.text("cohort"), row.text("members")}
		}
		cells = append(cells, row.decimal("ltv", 2))
		if len(cells) == len(header) {
			t.AppendRow(cells)
			cells = nil
		}
	}
	t.SetCaption("%s per member, refunds counted when they happened; – is not mature yet", currency)
	r.print("Lifetime value per member, cumulative, by ISO week of acquisition", t)
	return nil
}

func (r *reporter) quality() error {
	data, err := r.query("report_quality", nil)
	if err != nil {
		return err
	}
	t := newTable("check", "what", "records", "of")
	for i := range data.Rows {
		row := row{data, i}
		if n, _ := row.number("records"); n == 0 {
			continue
		}
		of := row.text("of")
		if of == "0" {
			of = ""
		}
		t.AppendRow(table.Row{row.text("check"), row.text("detail"), row.text("records"), of})
	}
	r.print("Data quality", t)
	return nil
}
