package clickhouse

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sql"
)

func TestMigrate(t *testing.T) {
	c := connectTo(t, embeddedtest.ClickHouse(t))
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

// TestCheckSchema changes a table or view by hand in every way that inserts would suffer from, and some that they do not.
func TestCheckSchema(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change []string
		want   []string // one a difference
	}{
		{"columns dropped, retyped, reordered with another type, computed, unknown", []string{
			"ALTER TABLE late_events DROP COLUMN late_by_ms",
			"ALTER TABLE checkout_events MODIFY COLUMN quantity UInt64",
			"ALTER TABLE latency_events MODIFY COLUMN cpu_ms Float32 FIRST",
			"ALTER TABLE checkout_events MODIFY COLUMN amount Int64 MATERIALIZED 1",
			"ALTER TABLE player_events ADD COLUMN platform String",
		}, []string{
			"table late_events, column late_by_ms is missing, expected Int64",
			"table checkout_events, column quantity is UInt64, expected UInt32",
			"table latency_events, column cpu_ms is Float32, expected Float64",
			"table checkout_events, column amount is computed (MATERIALIZED)",
			"table player_events, column platform is unknown, of type String",
		}},
		{"column renamed", []string{"ALTER TABLE late_events RENAME COLUMN late_by_ms TO late"}, []string{
			"table late_events, column late_by_ms is missing, expected Int64", "table late_events, column late is unknown, of type Int64 and without a default"}},
		{"tables dropped, without deduplication, of other parts", []string{
			"DROP TABLE features SYNC",
			"ALTER TABLE player_events MODIFY SETTING non_replicated_deduplication_window = 0",
			"CREATE TABLE other AS late_events ENGINE = MergeTree PARTITION BY drop_id ORDER BY drop_id SETTINGS non_replicated_deduplication_window = 10",
			"DROP TABLE late_events SYNC", "RENAME TABLE other TO late_events",
		}, []string{
			"table features does not exist", "table player_events does not recognise repeated batches",
			`table late_events is partitioned by "drop_id", expected kafka_partition`,
		}},
		{"views dropped, changed, without a target column", []string{
			"DROP VIEW player_drops_from_latency_events",
			"ALTER TABLE member_activity_from_player_events MODIFY QUERY SELECT player_id, drop_id, creator_id, max(at) AS first FROM player_events GROUP BY player_id, drop_id, creator_id",
			"ALTER TABLE purchases DROP COLUMN sku",
		}, []string{
			"materialized view player_drops_from_latency_events does not exist: run droplift migrate --repair-views",
			"materialized view member_activity_from_player_events is not the one of its migration",
			"table purchases, column sku is missing, though purchases_from_checkout_events writes it",
		}},
		{"harmless", []string{"ALTER TABLE checkout_events MODIFY COLUMN quantity UInt32 FIRST", "ALTER TABLE player_events ADD COLUMN platform String DEFAULT 'web'"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t)
			exec(t, c, tt.change...)
			err := c.CheckSchema(t.Context())
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("got %v for a harmless change", err)
				}
				return
			}
			if err == nil || strings.Count(err.Error(), "\n") != len(tt.want)-1 || Classify(t.Context(), err) != Permanent {
				t.Fatalf("got %v, want %d differences", err, len(tt.want))
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say: %s", err, w)
				}
			}
		})
	}
}

func TestRepairViews(t *testing.T) {
	c := open(t)
	exec(t, c, "DROP VIEW purchases_from_checkout_events",
		"ALTER TABLE player_drops_from_checkout_events MODIFY QUERY SELECT drop_id, player_id, max(at) AS completed FROM checkout_events GROUP BY drop_id, player_id")
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindCheckout, 0), sale(0, 50))
	repaired, err := c.RepairViews(t.Context())
	if err != nil || !slices.Equal(repaired, []string{"player_drops_from_checkout_events", "purchases_from_checkout_events"}) {
		t.Fatalf("repaired %v, %v", repaired, err)
	}
	if err := c.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	want := value(t, c, "SELECT countIf(type IN ('completed', 'refunded', 'chargeback')) FROM checkout_events")
	if got := value(t, c, "SELECT count() FROM purchases FINAL"); got != want {
		t.Errorf("%s purchases, want %s: what was stored without the view", got, want)
	}
	if again, err := c.RepairViews(t.Context()); err != nil || len(again) != 0 {
		t.Errorf("repaired %v again, %v", again, err)
	}
}
