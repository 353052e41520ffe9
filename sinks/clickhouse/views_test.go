package clickhouse

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

func TestRefreshCopies(t *testing.T) {
	c := open(t)
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindPlayer, 0), records(0, player(event.LandingView, "p", monday)))
	copied := func() uint64 {
		t.Helper()
		var rows uint64
		if err := c.conn.QueryRow(t.Context(), "SELECT sum(members) FROM ltv_copy WHERE kind = 'week' AND age = 0").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if got := copied(); got != 0 {
		t.Fatalf("%d members are copied before a copy is made", got)
	}
	if err := c.RefreshCopies(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := copied(); got != 1 {
		t.Errorf("%d members are copied, not 1", got)
	}
	var never []string
	if err := c.conn.QueryRow(t.Context(), "SELECT groupArray(view) FROM system.view_refreshes WHERE database = currentDatabase() AND last_success_time IS NULL").Scan(&never); err != nil {
		t.Fatal(err)
	}
	if len(never) > 0 {
		t.Errorf("never refreshed: %v", never)
	}
}
