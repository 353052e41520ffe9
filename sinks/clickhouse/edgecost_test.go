package clickhouse

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// storeEdgeCost writes what drop-1 cost: two minutes at two POPs in two partitions, an older revision, probes, a checkout alone,
// traffic outside drops and requests without a price; the decisions about it, and canary probes before the start.
func storeEdgeCost(t testing.TB, c *Client) {
	t.Helper()
	s := newSink(t, c)
	start := monday + 10*60*minute
	var partials, decisions []event.Record
	partial := func(e event.EdgeCost) {
		e.PaneMS, e.SampleRate, e.Watermark, e.Newest = minute, 1, e.PaneStart, e.PaneStart
		if e.Revision == 0 {
			e.Revision = 2
		}
		if e.Cost > 0 {
			e.Currency, e.Prices = "USD", "5f2ac1d09be4"
		}
		partials = append(partials, event.Record{Kind: event.KindEdgeCost, Offset: int64(len(partials)), Timestamp: start, Value: e.AppendJSON(nil)})
	}
	final := event.Final
	partial(event.EdgeCost{DropID: "drop-1", POP: "fra", PaneStart: start, Revision: 1, RequestsMicro: 99e6, Cost: 99_999, CreatorID: "creator-1"})
	for p := range int32(2) {
		partial(event.EdgeCost{DropID: "drop-1", POP: "fra", CreatorID: "creator-1", Partition: p, PaneStart: start, Maturity: final, RequestsMicro: 500e6, CPUMicros: 6_000_000, Cost: 270_000})
		partial(event.EdgeCost{DropID: "drop-1", POP: "nyc", Partition: p, PaneStart: start + minute, Maturity: event.Maturity(p), RequestsMicro: 250e6, CPUMicros: 3_000_000, EgressBytes: 1000, Cost: 135_000, Conversions: 3})
	}
	partial(event.EdgeCost{DropID: "drop-1", POP: "fra", CreatorID: "creator-1", PaneStart: start, Synthetic: true, Maturity: final, RequestsMicro: 10e6, Cost: 3_000})
	partial(event.EdgeCost{DropID: "drop-1", POP: "sin", CreatorID: "creator-1", PaneStart: start, Maturity: final, RequestsMicro: 7e6})
	partial(event.EdgeCost{POP: "fra", CreatorID: "creator-1", PaneStart: start, Maturity: final, RequestsMicro: 1e6, Cost: 540})
	writeAll(t, newTestLoader(t, s, event.KindEdgeCost, 0), partials)

	for i, d := range []event.Decision{
		{Topic: "pace", At: start + minute, Chosen: "slow", Previous: "1", Value: .9, Reason: "more is spent than planned by now"},
		{Topic: "budget", At: start + 2*minute, Chosen: "warn", Previous: "ok", Value: 1, Reason: "the projection reaches the budget"},
	} {
		d.DropID, d.Inputs = "drop-1", []event.Input{{Name: "spent", Value: 543_000}}
		decisions = append(decisions, event.Record{Kind: event.KindDecision, Offset: int64(i), Timestamp: start, Value: d.AppendJSON(nil)})
	}
	writeAll(t, newTestLoader(t, s, event.KindDecision, 0), decisions)

	var probes []event.Record
	for i := range 200 {
		ev := event.Event{Kind: event.KindLatency}
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "canary %d", i))
		ev.Type, ev.EventTime, ev.IngestTime, ev.POP, ev.Synthetic, ev.SampleRate, ev.SchemaVersion = event.EdgeRequest, start-5*minute, start-5*minute, []string{"fra", "nyc"}[i%2], true, 1, 1
		ev.Latency = event.Latency{Request: event.RequestProbe, MS: 3, Cache: event.CacheHit}
		switch i {
		case 0:
			ev.Latency.Cache = event.CacheMiss
		case 2, 4:
			ev.EventTime, ev.IngestTime = start-11*minute, start-11*minute // too early to say anything
		case 6:
			ev.Latency.Request = event.RequestAsset
		}
		probes = append(probes, event.Record{Kind: event.KindLatency, Offset: 100_000 + int64(i), Timestamp: start, Value: event.Append(nil, &ev)})
	}
	writeAll(t, newTestLoader(t, s, event.KindLatency, 1), probes)
}

// rowsOf runs a query and returns its rows by column name.
func rowsOf(t *testing.T, c *Client, name string, params Params) []map[string]string {
	t.Helper()
	table, err := c.Query(t.Context(), name, params)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, row := range table.Rows {
		by := map[string]string{}
		for i, column := range table.Columns {
			by[column] = cellText(row[i])
		}
		rows = append(rows, by)
	}
	return rows
}

func cellText(v any) string {
	switch v := v.(type) {
	case *int64:
		if v == nil {
			return "NULL"
		}
		return fmt.Sprint(*v)
	case *float64:
		if v == nil {
			return "NULL"
		}
		return fmt.Sprint(math.Round(*v*1000) / 1000)
	case float64:
		return fmt.Sprint(math.Round(v*1000) / 1000)
	}
	return fmt.Sprint(v)
}

func TestEdgeCostQueries(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	start := monday + 10*60*minute
	drop := func(offset int64, version uint32, id string, starts int64) event.Record {
		ev := event.Event{Kind: event.KindDrop}
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s %d", id, version))
		ev.Type, ev.EventTime, ev.DropID, ev.CreatorID, ev.SampleRate, ev.SchemaVersion = event.Catalogue, monday, id, "creator-1", 1, 1
		ev.Drop = event.Drop{Name: id, Version: version, StartMS: starts, EndMS: starts + 60*minute, Budget: 1_000_000, BudgetCurrency: "USD", Followers: 1000,
			Forecast:    []event.ForecastPoint{{AgeMS: 10 * minute, BPS: 5000}},
			Experiments: []event.Experiment{{ID: "x", Salt: "s", Variants: []event.Variant{{Name: "a"}, {Name: "b"}}, EffectSD: .01}},
			Items:       []event.Item{{SKU: "k", Currency: "USD"}, {SKU: "l", Currency: "USD"}}}
		return event.Record{Kind: event.KindDrop, Offset: offset, Timestamp: monday, Value: event.Append(nil, &ev)}
	}
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), []event.Record{drop(0, 1, "drop-1", start-1000*minute), drop(1, 2, "drop-1", start), drop(2, 1, "drop-2", start+10*day)})
	var views []event.Event
	for i := range 10 {
		view := player(event.LandingView, fmt.Sprintf("p%d", i), start+int64(i))
		view.DropID, view.POP, view.Language = "drop-1", []string{"fra", "fra", "nyc"}[i%3], "de"
		views = append(views, view)
	}
	views = append(views, views[0])
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), records(0, views...))
	storeEdgeCost(t, c)

	want := func(what string, row map[string]string, pairs ...string) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			if row[pairs[i]] != pairs[i+1] {
				t.Errorf("%s: %s is %s, want %s", what, pairs[i], row[pairs[i]], pairs[i+1])
			}
		}
	}
	// 1,000 requests of 540 nano-USD and a probe's 3,000 at fra; the older revision is gone; sin has no price.
	rows := rowsOf(t, c, "edge_cost", Params{"drop": "drop-1"})
	if len(rows) != 3 {
		t.Fatalf("%d POPs: %v", len(rows), rows)
	}
	want("fra", rows[0], "pop", "fra", "requests", "1000", "synthetic_requests", "10", "cost", "543000", "synthetic_cost", "3000", "cost_per_request", "540", "cost_per_conversion", "NULL", "maturity", "final")
	want("nyc", rows[1], "pop", "nyc", "requests", "500", "cost", "270000", "cost_per_request", "540", "conversions", "6", "cost_per_conversion", "45000", "egress", "2000", "maturity", "provisional")
	want("sin", rows[2], "pop", "sin", "requests", "7", "cost", "NULL", "cost_per_request", "NULL", "currency", "")
	rows = rowsOf(t, c, "edge_cost", Params{"drop": ""})
	want("outside drops", rows[0], "pop", "fra", "requests", "1", "cost", "540")

	// The partials at nyc name no creator: they count for the drop's.
	rows = rowsOf(t, c, "edge_cost_by_creator", nil)
	if len(rows) != 2 {
		t.Fatalf("%d creators and currencies: %v", len(rows), rows)
	}
	want("creator", rows[0], "creator", "creator-1", "currency", "USD", "cost", "813540", "cost_outside_drops", "540", "conversions", "6", "drops", "1")

	// The forecast has half of the traffic in ten minutes: 5 % of the budget a minute.
	rows = rowsOf(t, c, "edge_pacing", Params{"drop": "drop-1"})
	if len(rows) != 2 {
		t.Fatalf("%d minutes: %v", len(rows), rows)
	}
	want("minute 1", rows[0], "cost", "543000", "spent", "543000", "planned", "50000", "budget", "1000000", "pace", "0.9", "level", "ok", "maturity", "final")
	want("minute 2", rows[1], "cost", "270000", "spent", "813000", "planned", "100000", "pace", "0.9", "level", "warn", "maturity", "provisional")

	if rows = rowsOf(t, c, "decisions", Params{"drop": "drop-1"}); len(rows) != 2 {
		t.Errorf("decisions %v", rows)
	}
	rows = rowsOf(t, c, "decisions", Params{"drop": "drop-1", "topic": "pace"})
	want("decision", rows[0], "chosen", "slow", "value", "0.9", "inputs", "map[spent:543000]")

	before := Params{"creator": "creator-1", "before": time.UnixMilli(start + 10*day)}
	rows = rowsOf(t, c, "prewarm_audience", before)
	if len(rows) != 3 {
		t.Fatalf("audience %v", rows)
	}
	want("language", rows[0], "part", "language", "name", "de", "players", "10")
	want("POP", rows[1], "part", "pop", "name", "fra", "players", "7")
	rows = rowsOf(t, c, "prewarm_peak", before)
	want("peak", rows[0], "drop", "drop-1", "followers", "1000", "peak_per_s", "16.783", "cpu_s", "0.012")
	rows = rowsOf(t, c, "prewarm_drop", Params{"drop": "drop-2"})
	want("drop", rows[0], "creator", "creator-1", "variants", "2", "objects", "3")
	// One miss among fra's 98 probes in time: 97 of 98 are not 99 %.
	rows = rowsOf(t, c, "prewarm_canary", Params{"drop": "drop-1"})
	want("canary at fra", rows[0], "pop", "fra", "hits", "97", "sent", "98")
	want("canary at nyc", rows[1], "pop", "nyc", "hits", "100", "sent", "100")
}
