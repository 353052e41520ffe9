package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sql"
)

// QueryCmd asks ClickHouse.
type QueryCmd struct {
	Name   string            `arg:"" optional:"" help:"Named query; --list shows them." placeholder:"NAME"`
	SQL    string            `help:"SQL text instead of a named query; parameters stand as {name:Type}." placeholder:"TEXT" xor:"what"`
	List   bool              `help:"List the named queries with their parameters." xor:"what"`
	Param  map[string]string `short:"p" help:"Value of a parameter, as NAME=VALUE; repeatable." placeholder:"NAME=VALUE" mapsep:"none"`
	Format string            `help:"ClickHouse output format: PrettyCompact, TSV, CSVWithNames, JSONEachRow, Parquet, Arrow, ..." default:"PrettyCompactMonoBlock"`
}

func (c *QueryCmd) Run(ctx context.Context, cfg *Config) error {
	if c.List {
		return c.list()
	}
	switch {
	case c.SQL != "" && c.Name != "":
		return errors.New("give a named query or --sql, not both")
	case c.SQL == "" && c.Name == "":
		return errors.New("give a named query (droplift query --list) or --sql TEXT")
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
	if c.SQL != "" {
		return client.Stream(ctx, os.Stdout, clickhouse.StreamRequest{SQL: c.SQL, Format: c.Format, Params: params})
	}
	return client.StreamQuery(ctx, os.Stdout, c.Name, c.Format, params)
}

func (c *QueryCmd) list() error {
	queries, err := sql.Queries()
	if err != nil {
		return err
	}
	name := fmt.Sprint
	if term.IsTerminal(int(os.Stdout.Fd())) {
		name = text.Bold.Sprint
	}
	for _, query := range queries {
		fmt.Printf("%s\n  %s\n", name(query.Name), query.Purpose)
		for _, param := range query.Params {
			value := "required"
			if !param.Required {
				value = "default " + param.Default
			}
			fmt.Printf("    -p %s=%s (%s): %s\n", param.Name, param.Type, value, param.Doc)
		}
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
	DryRun      bool `help:"List what would be applied."`
	RepairViews bool `help:"Then make materialized views that were dropped or changed by hand anew, and fill them from their base tables."`
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
	if err != nil || c.DryRun || !c.RepairViews {
		return err
	}
	views, err := client.RepairViews(ctx)
	for _, view := range views {
		fmt.Println(view, "repaired")
	}
	return err
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
