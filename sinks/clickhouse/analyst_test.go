package clickhouse

import (
	"fmt"
	"math"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// cells are an answer's rows by column name, absent values as nil.
func cells(t *testing.T, c *Client, name string, params Params) []map[string]any {
	t.Helper()
	table, err := c.Query(t.Context(), name, params)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	for _, row := range table.Rows {
		cells := map[string]any{}
		for i, column := range table.Columns {
			switch v := row[i].(type) {
			case *float64:
				if v != nil {
					cells[column] = *v
				}
			case *int64:
				if v != nil {
					cells[column] = *v
				}
			case *uint64:
				if v != nil {
					cells[column] = *v
				}
			default:
				cells[column] = v
			}
		}
		rows = append(rows, cells)
	}
	return rows
}

// storePanes stores a drop of one pane per partition at the drop's first minute.
func storePanes(t testing.TB, s *Sink, offset int64, drop string, start int64, views, conversions uint32) {
	t.Helper()
	entry := event.Event{Kind: event.KindDrop}
	entry.Type, entry.EventTime, entry.DropID, entry.CreatorID = event.Catalogue, start, drop, "creator-1"
	entry.Drop = event.Drop{Name: drop, Version: 1, StartMS: start, EndMS: start + 2*day}
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), records(offset, entry))
	v := event.Velocity{DropID: drop, POP: "fra", PaneStart: start, PaneMS: 60_000, Revision: 1, Watermark: start, Maturity: event.Final,
		Conversions: conversions, Events: [5]uint32{views}}
	late := v
	late.PaneStart, late.Events, late.Conversions = start+15*minute, [5]uint32{1}, 1 // past the age that is compared
	writeAll(t, newTestLoader(t, s, event.KindVelocity, 0), []event.Record{
		{Kind: event.KindVelocity, Offset: 2 * offset, Timestamp: start, Value: v.AppendJSON(nil)},
		{Kind: event.KindVelocity, Offset: 2*offset + 1, Timestamp: start, Value: late.AppendJSON(nil)}})
}

// TestVelocityComparison is DOMAIN 2.3's example: 1320 of 40000 against 1000 of 36000 views.
func TestVelocityComparison(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	start := monday + 60*day
	storePanes(t, s, 0, "now", start, 40_000, 1320)
	storePanes(t, s, 1, "before", start-10*day, 36_000, 1000)
	near := func(what string, got any, want float64) {
		t.Helper()
		if v, ok := got.(float64); !ok || math.Abs(v-want) > 5e-5 {
			t.Errorf("%s: %v, want %.4f", what, got, want)
		}
	}
	rows := cells(t, c, "velocity_comparison", Params{"drop": "now", "hop_ms": minute})
	if len(rows) != 16 || rows[0]["age_ms"] != minute {
		t.Fatalf("%v; want an age for each of the first 16 minutes", rows)
	}
	first := rows[1]
	near("rr", first["rr"], 1.1880)
	near("low", first["rr_low"], 1.0943)
	near("high", first["rr_high"], 1.2897)
	if first["reference"] != "before" || first["label"] != "single_reference" || first["maturity"] != "final" || first["band_low"] != nil {
		t.Errorf("%v; want the earlier drop as a single reference", first)
	}

	// Five past drops make a band: ratios 1.188, and .033/(.02, .025, .03, .04).
	for i, conversions := range []uint32{200, 250, 300, 400} {
		storePanes(t, s, int64(2+i), fmt.Sprint("past-", i), start-int64(20+i*10)*day, 10_000, conversions)
	}
	storePanes(t, s, 6, "after", start+10*day, 10_000, 10_000) // says nothing about the past
	rows = cells(t, c, "velocity_comparison", Params{"drop": "now", "hop_ms": minute})
	last := rows[1]
	// Sorted: .825 1.1 1.188 1.32 1.65; p10 = .825 + .4·.275, p90 = 1.32 + .6·.33.
	near("p10", last["band_low"], .935)
	near("p90", last["band_high"], 1.518)
	if last["label"] != "empirical_band" || last["past_drops"] != uint64(5) || last["reference"] != "before" {
		t.Errorf("%v; want a band of five", last)
	}
	if rows := cells(t, c, "velocity_comparison", Params{"drop": "now", "hop_ms": minute, "reference": "past-1"}); rows[0]["reference_views"] != uint64(10_000) {
		t.Errorf("%v; want the reference that was asked for", rows[0])
	}
}

// TestROI rounds 1,500 translated cues of 1.235 cents to the cent of their total, once, and leaves what nobody recorded out of the margin.
func TestROI(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	exec(t, c, "TRUNCATE TABLE fx_rates", "INSERT INTO fx_rates (date, base, quote, rate, source) VALUES ('2025-08-01', 'EUR', 'USD', 1.1, 'test')")
	entry := event.Event{Kind: event.KindDrop}
	entry.Type, entry.EventTime, entry.DropID, entry.CreatorID = event.Catalogue, monday, "drop-1", "creator-1"
	entry.Drop = event.Drop{Name: "d", Version: 1, StartMS: monday, EndMS: monday + 2*day, Budget: 1, BudgetCurrency: "EUR", CueCost: 12_350_001}
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), records(0, entry))
	buy := checkout(event.CheckoutCompleted, "p", monday, 100_000)
	euro := checkout(event.CheckoutCompleted, "q", monday+1, 50_000)
	euro.Checkout.Currency = "EUR"
	refund := checkout(event.CheckoutRefunded, "p", monday+day, 10_000)
	refund.Checkout.OriginalTime = monday
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), records(0, buy, euro, refund))
	var cues []event.Event
	for i := range int64(1500) {
		cue := event.Event{Kind: event.KindSubtitle}
		cue.Type, cue.EventTime, cue.IngestTime, cue.DropID, cue.PlayerID = event.Cue, monday+i, monday+i, "drop-1", fmt.Sprint(i)
		cue.Subtitle = event.Subtitle{StreamID: "s", CueID: uint64(i), SourceLanguage: "en", TargetLanguage: "fr"}
		cues = append(cues, cue)
	}
	original, missing := cues[0], cues[1]
	original.PlayerID, original.Subtitle.TargetLanguage = "original", "en"
	missing.PlayerID, missing.Subtitle.Missing = "missing", true
	writeAll(t, newTestLoader(t, s, event.KindSubtitle, 0), records(0, append(cues, original, missing)...))
	// 5.25 and 2 EUR at the edge; what 5.25 replaces and what has no price do not count.
	var edge []event.Record
	for i, e := range []event.EdgeCost{
		{Revision: 1, Currency: "EUR", Prices: "a", Cost: 1_000_000_000}, {Revision: 2, Currency: "EUR", Prices: "a", Cost: 5_250_000_000},
		{Revision: 1, Currency: "EUR", Prices: "a", Cost: 2_000_000_000, POP: "fra"}, {Revision: 1, POP: "sin"},
	} {
		e.DropID, e.PaneStart, e.PaneMS, e.Samples, e.SampleRate = "drop-1", monday, minute, 7, 1
		edge = append(edge, event.Record{Kind: event.KindEdgeCost, Offset: int64(i), Timestamp: monday, Value: e.AppendJSON(nil)})
	}
	writeAll(t, newTestLoader(t, s, event.KindEdgeCost, 0), edge)

	rows := cells(t, c, "drop_roi", Params{"drop": "drop-1"})
	if len(rows) != 2 {
		t.Fatal(rows)
	}
	dollars, euros := rows[0], rows[1]
	if got := fmt.Sprint(dollars["gross"], dollars["refunds"], dollars["net_revenue"], dollars["localization_cost"], dollars["margin"]); got != "100000 -10000 90000 <nil> 90000" {
		t.Errorf("USD: %s", got)
	}
	// 1500 · 12,350,001 nano-euros are 18.5250015 EUR: 1853 cents, and 20.37750165 USD. 7.25 EUR are 7.975 USD, half-even 798 cents.
	if got := fmt.Sprint(euros["gross"], euros["localization_cost"], euros["edge_cost"], euros["margin"], euros["margin_reporting"], euros["not_recorded"]); got != "50000 -1853 -725 47422 52164 [creator shares]" {
		t.Errorf("EUR: %s", got)
	}
	lines := cells(t, c, "drop_lines", Params{"drop": "drop-1"})
	var got string
	for _, l := range lines {
		got += fmt.Sprint(l["line"], " ", l["amount"], " ", l["running"], ", ")
	}
	if want := "gross 155000 155000, refunds -10000 145000, edge -798 144202, localization -2038 142164, "; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestCurves holds maturity to its moment: the cell of a cohort's age appears when the watermark reaches its end, not before.
func TestCurves(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	var events []event.Event
	for i := range int64(10) {
		events = append(events, player(event.SessionStart, fmt.Sprint("p", i), monday+i*minute))
	}
	back := func(p string, at int64) { events = append(events, player(event.SessionStart, p, at)) }
	back("p0", monday+day-1)                   // still day 0
	back("p1", monday+minute+day)              // the first moment of day 1
	back("p2", monday+2*minute+2*day-1)        // the last one
	back("p2", monday+2*minute+2*day-1-minute) // the same player, the same day
	back("p3", monday+3*minute+7*day+3)        // day 7
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), records(0, events...))
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), records(0,
		checkout(event.CheckoutCompleted, "p0", monday+minute, 100), checkout(event.CheckoutCompleted, "p0", monday+2*minute, 100), // one day
		checkout(event.CheckoutCompleted, "p1", monday+minute, 100), checkout(event.CheckoutCompleted, "p1", monday+3*day, 100), // age 0
		checkout(event.CheckoutCompleted, "p2", monday+2*minute, 100), checkout(event.CheckoutCompleted, "p2", monday+2*minute+week, 100))) // age 1

	retention := func(watermark int64) (out string) {
		for _, row := range cells(t, c, "retention_curve", Params{"max_day": 7, "watermark_ms": watermark}) {
			out += fmt.Sprint(row["returned"], " ")
		}
		return out
	}
	if got, want := retention(monday+week+8*day), "2 0 0 0 0 0 1 "; got != want {
		t.Errorf("returned by day %s, want %s", got, want)
	}
	if got, want := retention(monday+week+2*day-1), "<nil> <nil> <nil> <nil> <nil> <nil> <nil> "; got != want {
		t.Errorf("a moment before day 1 is mature: %s, want %s", got, want)
	}
	if got, want := retention(monday+week+2*day), "2 <nil> <nil> <nil> <nil> <nil> <nil> "; got != want {
		t.Errorf("when day 1 is mature: %s, want %s", got, want)
	}
	repeats := func(watermark int64) (out string) {
		for _, row := range cells(t, c, "repeat_purchase", Params{"max_age": 2, "watermark_ms": watermark}) {
			out += fmt.Sprint(row["n"], " ", row["repeaters"], ", ")
		}
		return out
	}
	if got, want := repeats(monday+4*week), "3 1, 3 2, 3 2, "; got != want {
		t.Errorf("repeaters by age %s, want %s", got, want)
	}
	if got, want := repeats(monday+4*week-1), "3 1, 3 2, 3 <nil>, "; got != want {
		t.Errorf("a moment earlier %s, want %s", got, want)
	}
	for _, view := range []string{"ltv_by_week", "ltv_by_drop", "ltv_by_creator"} {
		if got := value(t, c, "SELECT count(), any(members) FROM "+view); got != "13\t10" {
			t.Errorf("%s: %s, want 13 ages of one cohort of 10", view, got)
		}
	}
}

// TestCreatorShares takes from the margin what the ledger owes to others, payouts left alone: the sale of DOMAIN 8.1 leaves the platform its 5.00.
func TestCreatorShares(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	entry := event.Event{Kind: event.KindDrop}
	entry.Type, entry.EventTime, entry.DropID, entry.CreatorID = event.Catalogue, monday, "drop-1", "creator-1"
	entry.Drop = event.Drop{Name: "d", Version: 1, StartMS: monday, EndMS: monday + 2*day}
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), records(0, entry))
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), records(0, checkout(event.CheckoutCompleted, "p", monday, 4999)))
	exec(t, c, `INSERT INTO ledger (tx_source, tx_checkout, tx_type, tx_seq, tx_drop, tx_creator, tx_split_version, tx_currency, tx_amount, tx_event_time, tx_ingest_time,
			posting_tx, posting_account, posting_participant, posting_amount)
		SELECT ['web', 'web'], ['c', 'c'], ['completed', 'settled'], [0, 0], ['drop-1', 'drop-1'], ['creator-1', 'creator-1'], [1, 1], ['USD', 'USD'], [4999, 2249], [0, 0], [0, 0],
			[1, 1, 1, 1, 1, 2, 2],
			['psp_clearing', 'platform_rev', 'payable', 'payable', 'payable', 'payable', 'payout_clearing'],
			['', 'platform', 'a', 'b', 'c', 'a', ''], [4999, -500, -2249, -1500, -750, 2249, -2249]`)
	rows := cells(t, c, "drop_roi", Params{"drop": "drop-1"})
	if len(rows) != 1 || fmt.Sprint(rows[0]["creator_shares"], rows[0]["margin"], rows[0]["margin_reporting"], rows[0]["not_recorded"]) != "-4499 500 500 [edge cost localization cost]" {
		t.Errorf("%v; want shares of 44.99 and a margin of 5.00", rows)
	}
}
