package clickhouse

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/sql"
)

func TestMigrate(t *testing.T) {
	c := openBare(t, embeddedtest.ClickHouse(t))
	all, err := sql.Migrations()
	if err != nil {
		t.Fatal(err)
	}

	pending, err := c.Pending(t.Context())
	if err != nil || len(pending) != len(all) {
		t.Fatalf("before: %d pending, %v; want %d", len(pending), err, len(all))
	}
	applied, err := c.Migrate(t.Context())
	if err != nil || len(applied) != len(all) {
		t.Fatalf("first run: %d applied, %v; want %d", len(applied), err, len(all))
	}
	applied, err = c.Migrate(t.Context())
	if err != nil || len(applied) != 0 {
		t.Fatalf("second run: %d applied, %v; want none", len(applied), err)
	}
	if err := c.CheckSchema(t.Context()); err != nil {
		t.Fatal(err)
	}

	t.Run("cut short", func(t *testing.T) {
		const seeds = "SELECT (SELECT count() FROM currencies FINAL), (SELECT count() FROM fx_rates FINAL), (SELECT count() FROM settings FINAL)"
		before := value(t, c, seeds)
		exec(t, c, "DROP VIEW purchases_from_checkout_events", "TRUNCATE TABLE schema_migrations")
		if applied, err := c.Migrate(t.Context()); err != nil || len(applied) != len(all) {
			t.Fatalf("%d applied, %v; want all %d again", len(applied), err, len(all))
		}
		if got := value(t, c, seeds); got != before {
			t.Errorf("seeds changed from %s to %s", before, got)
		}
		if got := value(t, c, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'purchases_from_checkout_events'"); got != "1" {
			t.Error("the view that was missing is missing still")
		}
	})
	t.Run("tampered", func(t *testing.T) {
		tampered := slices.Clone(all)
		tampered[1].SHA256 = strings.Repeat("0", 64)
		_, err := c.migrate(t.Context(), tampered)
		var changed *ChecksumError
		if !errors.As(err, &changed) || changed.Version != 2 || !strings.Contains(err.Error(), "0002_"+all[1].Name) {
			t.Fatalf("got %v, want a checksum error that names 0002_%s", err, all[1].Name)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		if _, err := c.migrate(t.Context(), all[:len(all)-1]); err == nil || !strings.Contains(err.Error(), "does not know") {
			t.Fatalf("got %v, want a refusal of the newer database", err)
		}
	})
	t.Run("later", func(t *testing.T) {
		later := append(slices.Clone(all), sql.Migration{Version: len(all) + 1, Name: "later", SHA256: "x", Statements: []string{
			"CREATE TABLE later (a UInt8) ENGINE = MergeTree ORDER BY a", "this is not SQL"}})
		applied, err := c.migrate(t.Context(), later)
		if err == nil || len(applied) != 0 || !strings.Contains(err.Error(), "statement 2 of 2") {
			t.Fatalf("got %d applied and %v, want an error in statement 2 of 2", len(applied), err)
		}
		if got := value(t, c, "SELECT count() FROM schema_migrations WHERE name = 'later'"); got != "0" {
			t.Fatal("a failed migration is recorded as applied")
		}
	})
}

func TestCheckSchema(t *testing.T) {
	c := open(t, embeddedtest.ClickHouse(t))
	exec(t, c,
		"ALTER TABLE checkout_events MODIFY COLUMN quantity UInt64",
		"ALTER TABLE late_events DROP COLUMN late_by_ms")
	err := c.CheckSchema(t.Context())
	want := []string{
		"table checkout_events: column quantity is UInt64, expected UInt32",
		"table late_events has no column late_by_ms Int64: run droplift migrate",
	}
	if err == nil || strings.Count(err.Error(), "\n") != len(want)-1 {
		t.Fatalf("got %v, want %d differences", err, len(want))
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v\ndoes not say: %s", err, w)
		}
	}
}
