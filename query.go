package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sql"
)

// QueryCmd asks ClickHouse.
type QueryCmd struct {
	Name     string            `arg:"" optional:"" help:"Named query; --list shows them." placeholder:"NAME"`
	SQL      string            `help:"SQL text instead of a named query; parameters stand as {name:Type}." placeholder:"TEXT" xor:"what"`
	List     bool              `help:"List the named queries by topic." xor:"what"`
	Describe bool              `help:"Say what the named query answers: purpose, grain, units, maturity, parameters, columns."`
	Param    map[string]string `short:"p" help:"Value of a parameter, as NAME=VALUE; repeatable." placeholder:"NAME=VALUE" mapsep:"none"`
	Format   string            `help:"table, csv, tsv, json (one object a line), parquet, arrow, or any output format of ClickHouse, in its own spelling." default:"table"`
	Output   string            `short:"o" help:"Write to this file instead of standard output." placeholder:"FILE"`
}

// Help is shown by --help.
func (c *QueryCmd) Help() string {
	return "Runs a named query, or your own SQL, as the user that can only read.\n\n" +
		"Examples:\n\n  droplift query --list\n  droplift query drop_roi --describe\n" +
		"  droplift query drop_roi -p drop=drop-001 --format parquet --output roi.parquet"
}

// formats are the friendly names of ClickHouse's formats; binary ones are no use on a terminal.
var formats = map[string]string{
	"table": "PrettyCompactMonoBlock", "csv": "CSVWithNames", "tsv": "TSVWithNames", "json": "JSONEachRow",
	"parquet": "Parquet", "arrow": "Arrow", "arrowstream": "ArrowStream",
}

var binaryFormats = []string{"Parquet", "Arrow", "ArrowStream", "ORC", "Avro", "Native", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "MsgPack", "Npy", "BSONEachRow"}

// format is the ClickHouse format asked for.
func (c *QueryCmd) format(terminal bool) (string, error) {
	format, friendly := formats[c.Format]
	if !friendly {
		format = c.Format
	}
	if terminal && slices.ContainsFunc(binaryFormats, func(name string) bool { return strings.EqualFold(name, format) }) {
		return "", fmt.Errorf("--format %s is binary and would garble the terminal: add --output FILE, or redirect the output", c.Format)
	}
	return format, nil
}

func (c *QueryCmd) Run(ctx context.Context, cfg *Config) error {
	if c.List {
		return c.list(os.Stdout)
	}
	switch {
	case c.SQL != "" && c.Name != "":
		return errors.New("give a named query or --sql, not both")
	case c.SQL == "" && c.Name == "":
		return errors.New("give a named query (droplift query --list) or --sql TEXT")
	case c.Describe && c.Name == "":
		return errors.New("--describe is about a named query")
	}
	format, err := c.format(c.Output == "" && term.IsTerminal(int(os.Stdout.Fd())))
	if err != nil {
		return err
	}
	params := clickhouse.Params{}
	for name, value := range c.Param {
		params[name] = value
	}
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	if c.Describe {
		return c.describe(ctx, os.Stdout, client)
	}
	output := c.Output
	if output == "" {
		output = "-"
	}
	return toFile(output, func(w io.Writer) error {
		if c.SQL != "" {
			return client.Stream(ctx, w, clickhouse.StreamRequest{SQL: c.SQL, Format: format, Params: params})
		}
		return client.StreamQuery(ctx, w, c.Name, format, params)
	})
}

// bold marks headings where a terminal shows them.
func bold() func(...any) string {
	if term.IsTerminal(int(os.Stdout.Fd())) {
		return text.Bold.Sprint
	}
	return fmt.Sprint
}

func (c *QueryCmd) list(w io.Writer) error {
	queries, err := sql.Queries()
	if err != nil {
		return err
	}
	slices.SortStableFunc(queries, func(a, b sql.Query) int { return strings.Compare(a.Topic, b.Topic) })
	heading, topic := bold(), ""
	for _, query := range queries {
		if query.Topic != topic {
			topic = query.Topic
			fmt.Fprintf(w, "\n%s\n", heading(strings.ToUpper(topic)))
		}
		fmt.Fprintf(w, "%s\n  %s\n", heading(query.Name), query.Purpose)
		writeParams(w, query)
	}
	return nil
}

func writeParams(w io.Writer, query sql.Query) {
	for _, param := range query.Params {
		value := "required"
		if !param.Required {
			value = "default " + param.Default
			if param.Default == "" {
				value = "default empty"
			}
		}
		fmt.Fprintf(w, "    -p %s=%s (%s): %s\n", param.Name, param.Type, value, param.Doc)
	}
}

// describe prints what a query's header says, and the columns as the server has them.
func (c *QueryCmd) describe(ctx context.Context, w io.Writer, client *clickhouse.Client) error {
	query, err := sql.Lookup(c.Name)
	if err != nil {
		return err
	}
	heading := bold()
	fmt.Fprintf(w, "%s\n", heading(query.Name))
	for _, line := range [][2]string{{"topic", query.Topic}, {"purpose", query.Purpose}, {"grain", query.Grain}, {"units", query.Units}, {"maturity", query.Maturity}} {
		fmt.Fprintf(w, "  %-9s %s\n", line[0], line[1])
	}
	if len(query.Params) > 0 {
		fmt.Fprintln(w, "  parameters")
		writeParams(w, query)
	}
	columns, err := client.Columns(ctx, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "  columns")
	for _, column := range columns {
		fmt.Fprintf(w, "    %s %s\n", column.Name, column.Type)
	}
	return nil
}

// openWriter connects as the user that writes, and waits for the server.
func (c *Config) openWriter(ctx context.Context, url string, log *slog.Logger) (*clickhouse.Client, error) {
	password, _, err := c.clickhousePasswords()
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(ctx, clickhouse.Config{
		URL: url, User: c.ClickhouseUser, Password: password, Database: c.ClickhouseDatabase, Logger: log,
	})
}

// openReader connects as the user that can only read.
func (c *Config) openReader(ctx context.Context, url string, log *slog.Logger) (*clickhouse.Client, error) {
	_, password, err := c.clickhousePasswords()
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(ctx, clickhouse.Config{
		URL: url, User: c.ClickhouseReadonlyUser, Password: password, Database: c.ClickhouseDatabase, Logger: log,
	})
}

// MigrateCmd creates or upgrades the tables.
type MigrateCmd struct {
	DryRun      bool     `help:"List what would be applied."`
	RepairViews bool     `help:"Then make materialized views that were dropped or changed by hand anew, and fill them from their base tables."`
	RefillViews []string `help:"Then run the materialized views over these tables again for every row they hold, as after loading exchange rates: player_events, checkout_events and so on. Rows that are right stay." placeholder:"TABLE"`
}

func (c *MigrateCmd) Run(ctx context.Context, cfg *Config) error {
	client, err := cfg.openWriter(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	apply, verb := client.Migrate, "applied"
	if c.DryRun {
		apply, verb = client.Pending, "pending"
	}
	migrations, err := apply(ctx)
	for _, migration := range migrations {
		fmt.Printf("%04d_%s %s\n", migration.Version, migration.Name, verb)
	}
	if err == nil && len(migrations) == 0 {
		fmt.Println("The schema is up to date.")
	}
	if err != nil || c.DryRun {
		return err
	}
	if c.RepairViews {
		views, err := client.RepairViews(ctx)
		for _, view := range views {
			fmt.Println(view, "repaired")
		}
		if err != nil {
			return err
		}
	}
	for _, table := range c.RefillViews {
		began := time.Now()
		if err := client.Rebuild(ctx, table); err != nil {
			return err
		}
		fmt.Printf("views over %s filled in %s\n", table, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// writeJSON writes a value as people read JSON, indented.
func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// newTable is a terminal table in our style.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.SeparateColumns = false
	t.Style().Options.DrawBorder = false
	t.Style().Format.Header = text.FormatDefault
	t.Style().Format.Footer = text.FormatDefault
	t.AppendHeader(table.Row(header))
	var numbers []table.ColumnConfig
	for i := range header {
		if i > 0 {
			numbers = append(numbers, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	t.SetColumnConfigs(numbers)
	return t
}

// indent puts every line of s behind a margin.
func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// toFile lets write fill the file name, or standard output for "-". The file appears whole or not at all.
func toFile(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(os.Stdout)
	}
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Chmod(0o644), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	fmt.Fprintln(os.Stderr, "Wrote", name)
	return nil
}
