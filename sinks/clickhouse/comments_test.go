package clickhouse

import (
	"slices"
	"strings"
	"testing"
)

// TestComments walks every table and view: who meets one in ClickHouse reads there what a row is, in which units, and
// whether it can still change.
func TestComments(t *testing.T) {
	c := open(t)
	walked := 0
	for _, line := range lines(t, c, "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND name != 'schema_migrations' ORDER BY name") {
		walked++
		name, comment, _ := strings.Cut(line, "\t")
		for _, word := range []string{"Grain: ", "Units: ", "Maturity: "} {
			if !strings.Contains(comment, word) {
				t.Errorf("%s: its comment does not say %q: %q", name, word, comment)
			}
		}
	}
	if walked < 20 {
		t.Errorf("walked %d tables and views: the walk is broken", walked)
	}
	// Tables since 0005 describe their columns, too; a Kafka position and an arrival need no words.
	older := []string{"player_events", "latency_events", "checkout_events", "subtitle_events", "drops", "features", "velocity",
		"dead_letters", "late_events", "currencies", "settings", "fx_rates", "purchases", "member_activity", "player_drops", "schema_migrations"}
	for _, line := range lines(t, c, `SELECT table, name FROM system.columns
		WHERE database = currentDatabase() AND comment = '' AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')
		  AND name NOT IN ('kafka_partition', 'kafka_offset', 'kafka_time', 'inserted_at', 'drop_id', 'creator_id', 'revision', 'watermark', 'maturity', 'partition', 'version')
		ORDER BY table, position`) {
		table, column, _ := strings.Cut(line, "\t")
		if !slices.Contains(older, table) {
			t.Errorf("%s.%s has no comment", table, column)
		}
	}
	if err := c.CheckSchema(t.Context()); err != nil {
		t.Errorf("comments look like drift: %v", err)
	}
}
