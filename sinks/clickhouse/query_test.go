package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sql"
)

const (
	minute int64 = 60_000
	day          = 24 * 60 * minute
	week         = 7 * day
)

// storeDrop writes a small drop with everything that the reports look at: a funnel with a gap, four latency buckets at two
// POPs, three currencies, a refund, a chargeback, a resent event, skewed, quarantined and synthetic clocks.
func storeDrop(t testing.TB, c *Client) {
	t.Helper()
	s := newSink(t, c)
	write := func(kind event.Kind, events ...event.Event) {
		t.Helper()
		writeAll(t, newTestLoader(t, s, kind, 0), records(0, events...))
	}
	start := monday + 10*60*minute

	drop := event.Event{Kind: event.KindDrop}
	drop.Type, drop.EventTime, drop.DropID, drop.CreatorID = event.Catalogue, monday, "drop-1", "creator-1"
	drop.Drop = event.Drop{Name: "Première", Version: 1, StartMS: start, EndMS: start + 2*day, Budget: 1_000_000, BudgetCurrency: "USD", Experiments: []event.Experiment{{
		ID: "offer", Salt: "v1", TrafficBPS: 10_000, Holdout: "none", EffectSD: 0.01,
		Variants: []event.Variant{{Name: "none", BPS: 2500}, {Name: "all", BPS: 7500}}}}}
	write(event.KindDrop, drop)

	var views, requests, checkouts []event.Event
	for i := range 40 {
		id, at := fmt.Sprintf("p%02d", i), start+int64(i)*minute/2
		views = append(views, player(event.LandingView, id, at))
		request := event.Event{Kind: event.KindLatency}
		request.Type, request.PlayerID, request.EventTime, request.IngestTime, request.DropID = event.EdgeRequest, id, at, at, "drop-1"
		request.POP = []string{"fra", "nyc"}[i%2]
		request.Latency = event.Latency{Request: event.RequestLanding, MS: []float64{50, 100, 299.5, 300, 799, 800, 5000, 20}[i%8]}
		requests = append(requests, request)
		if i%2 == 0 {
			views = append(views, player(event.OfferImpression, id, at+1000))
		}
		if i%8 < 2 { // all that are held out see it, and some of the others
			shown := player(event.CTAExposure, id, at+500)
			shown.Player = event.Player{ExperimentID: "offer", Variant: []string{"all", "none"}[i%8]}
			views = append(views, shown)
		}
		if i%3 == 0 { // was there two days before
			session := player(event.SessionStart, id, at-2*day)
			session.SessionID, session.DropID, session.CreatorID = "s-"+id, "", []string{"creator-1", "creator-2"}[i%2]
			views = append(views, session)
		}
		if i%4 == 0 {
			views = append(views, player(event.OfferClick, id, at+2000))
			buy := checkout(event.CheckoutCompleted, id, at+4000, 4999)
			buy.Checkout.Currency = []string{"USD", "EUR", "JPY"}[i%3]
			checkouts = append(checkouts, checkout(event.CheckoutStarted, id, at+3000, 0), buy)
		}
	}
	// A purchase without anything before it is a gap.
	checkouts = append(checkouts, checkout(event.CheckoutCompleted, "gap", start+minute, 1000))
	refund := checkout(event.CheckoutRefunded, "p00", start+5*minute, 4999)
	refund.Checkout.OriginalTime = start + 4000
	chargeback := checkout(event.CheckoutChargeback, "p12", start+20*minute, 1000)
	chargeback.Checkout.OriginalTime = start + 6*minute + 4000
	lost := checkout(event.CheckoutRefunded, "p24", start+30*minute, 100) // does not say when the purchase was
	resent := checkouts[1]
	resent.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d/1/p00", event.KindCheckout))
	probe := checkout(event.CheckoutCompleted, "probe", start, 99_999)
	probe.Synthetic = true
	ahead := checkout(event.CheckoutCompleted, "ahead", start+3*60*minute, 700)
	ahead.IngestTime = start + 2*minute
	broken := checkout(event.CheckoutCompleted, "broken", start+30*day, 99_999)
	broken.IngestTime = start
	checkouts = append(checkouts, refund, chargeback, lost, resent, probe, ahead, broken)
	write(event.KindPlayer, views...)
	write(event.KindLatency, requests...)
	write(event.KindCheckout, checkouts...)
	cue := event.Event{Kind: event.KindSubtitle}
	cue.Type, cue.EventTime, cue.DropID = event.Cue, start, "drop-1"
	cue.Subtitle = event.Subtitle{StreamID: "s", SourceLanguage: "en", TargetLanguage: "fr"}
	write(event.KindSubtitle, cue)

	var panes []event.Record
	pane := func(at int64, partition int32, revision uint64, conversions uint32, maturity event.Maturity) {
		v := event.Velocity{DropID: "drop-1", POP: "fra", Partition: partition, PaneStart: at, PaneMS: 10_000, Revision: revision,
			Watermark: at, Maturity: maturity, Conversions: conversions,
			Events: [5]uint32{9, 7, 5, 3, conversions}, Players: [5]uint32{8, 6, 4, 2, conversions}}
		panes = append(panes, event.Record{Kind: event.KindVelocity, Offset: int64(len(panes)), Timestamp: at, Value: v.AppendJSON(nil)})
	}
	// DOMAIN 2.1: 240 conversions in the first 3 min are 80 a minute for W = 5 min, not 48. Two partitions add up,
	// an older revision does not.
	pane(start, 0, 1, 999, event.Final)
	for i := range int64(18) {
		pane(start+i*10_000, 0, 2, 10, event.Final)
		pane(start+i*10_000, 1, 2, uint32(3+i%2), event.Final)
	}
	pane(start+18*10_000, 0, 1, 0, event.Final)
	pane(start+18*10_000, 1, 1, 3, event.Final)
	pane(start+10*minute, 0, 1, 2, event.Provisional)
	writeAll(t, newTestLoader(t, s, event.KindVelocity, 0), panes)

	// p00's purchase and refund are in the ledger, p24's refund is parked, and a first payout is open.
	block := event.Ledger{Height: 1, PostedAt: start + 6*minute, Transactions: []event.Transaction{
		{CheckoutID: "c-p00", Type: "completed", DropID: "drop-1", CreatorID: "creator-1", SplitVersion: 1, Currency: "USD", Amount: 4999, EventTime: start + 4000, IngestTime: start + 4000,
			Postings: []event.Posting{{Account: event.AccountClearing, Amount: 4999}, {Account: event.AccountPayable, Participant: "creator-1", Amount: -4499}, {Account: event.AccountPlatform, Amount: -500}}},
		{CheckoutID: "c-p00", Type: "refunded", DropID: "drop-1", CreatorID: "creator-1", SplitVersion: 1, Currency: "USD", Amount: 4999, EventTime: start + 5*minute, IngestTime: start + 5*minute,
			Postings: []event.Posting{{Account: event.AccountPayable, Participant: "creator-1", Amount: 4499}, {Account: event.AccountPlatform, Amount: 500}, {Account: event.AccountClearing, Amount: -4999}}}},
		Exceptions: []event.Exception{{Outcome: "parked", CheckoutID: "c-p24", Type: "refunded", DropID: "drop-1", Currency: "USD", Amount: 100, Detail: "no sale"}}}
	block.Hash = block.Digest()
	writeAll(t, newTestLoader(t, s, event.KindLedger, 0), []event.Record{{Kind: event.KindLedger, Timestamp: start, Value: block.AppendJSON(nil)}})
	payout := event.Settlement{ID: "creator-1|USD|1", Participant: "creator-1", Currency: "USD", Seq: 1, Revision: 1, Status: "open", Amount: 10, PSPAmount: 10, PSPExponent: 2, AsOf: start}
	writeAll(t, newTestLoader(t, s, event.KindSettlement, 0), []event.Record{{Kind: event.KindSettlement, Timestamp: start, Value: payout.AppendJSON(nil)}})
	attribution := event.Attribution{DropID: "drop-1", POP: "fra", Device: "phone", Language: "de", Revision: 1, Watermark: start, From: start, To: start + 2*day, BudgetMS: 250, SampleRate: 1,
		Viewers: [12]uint32{0: 40, 3: 60, 4: 9, 6: 50}, Conversions: [12]uint32{0: 20, 3: 20, 4: 2, 6: 10}, LatencyUS: [12]int64{0: 1_200_000, 3: 10_500_000, 4: 2_250_000, 6: 22_500_000},
		Money: []event.LatencyMoney{{Currency: "EUR", Net: [12]int64{0: 99_980, 3: 99_980, 6: 49_990}}}}
	writeAll(t, newTestLoader(t, s, event.KindAttribution, 0), []event.Record{{Kind: event.KindAttribution, Timestamp: start, Value: attribution.AppendJSON(nil)}})
	sketch := event.LatencySketch{DropID: "drop-1", POP: "fra", Request: event.RequestLanding, PaneStart: start, PaneMS: 60_000, Revision: 1, Watermark: start, SampleRate: 0.5, Accuracy: 0.01,
		Samples: 3, Zero: 1000, Bins: []event.SketchBin{{Index: 200, Weight: 3000}, {Index: 290, Weight: 2000}}}
	writeAll(t, newTestLoader(t, s, event.KindLatencySketch, 0), []event.Record{{Kind: event.KindLatencySketch, Timestamp: start, Value: sketch.AppendJSON(nil)}})
	var cues []event.Record
	for i := range int64(4) {
		v := event.Localization{DropID: "drop-1", Language: []string{"en", "fr"}[i%2], SameLanguage: i%2 == 0, Partition: 3, PaneStart: start + i/2*15_000, PaneMS: 15_000,
			Revision: 2, Watermark: start + 2*minute, Maturity: event.Final, Expected: 40, Good: uint32(40 - 8*(i%2)), Missing: uint32(3 * (i % 2)), Slow: uint32(5 * (i % 2)),
			LatencySumMS: 40 * 3000, LatencyBins: []event.CueLatencyBin{{Index: 380, Count: 30}, {Index: 425, Count: 10}}}
		cues = append(cues, event.Record{Kind: event.KindLocalization, Offset: i, Timestamp: start, Value: v.AppendJSON(nil)})
	}
	writeAll(t, newTestLoader(t, s, event.KindLocalization, 0), cues)
	storeStock(t, c, start)

	features := event.Features{PlayerID: "p00", Revision: 1, AsOf: start}
	writeAll(t, newTestLoader(t, s, event.KindFeatures, 0), []event.Record{{Kind: event.KindFeatures, Timestamp: start, Value: features.AppendJSON(nil)}})
	late := event.Late{Topic: "player", Partition: 1, Offset: 43, Timestamp: start, EventTime: start - day, LateByMS: 100_000, DropID: "drop-1", Value: []byte("{}")}
	writeAll(t, newTestLoader(t, s, event.KindLate, 0), []event.Record{{Kind: event.KindLate, Timestamp: start, Value: late.AppendJSON(nil)}})
	storeEdgeCost(t, c)
	dead := event.DeadLetter{Topic: "checkout", Timestamp: start, Class: event.ReasonWrongType, Field: "amount", Value: []byte("{")}
	writeAll(t, newTestLoader(t, s, event.KindDeadLetter, 0), []event.Record{
		{Kind: event.KindDeadLetter, Timestamp: start, Value: dead.AppendJSON(nil)},
		{Kind: event.KindDeadLetter, Offset: 4, Timestamp: start, Value: dead.AppendJSON(nil)}})
	storeExperiments(t, c)
	storePrediction(t, c)
}

// storeReadouts adds an earlier drop, an estimate and a decision to what storeDrop stored.
func storeReadouts(t testing.TB, c *Client) {
	t.Helper()
	s := newSink(t, c)
	start := monday + 10*60*minute
	storePanes(t, s, 100, "drop-0", start-10*day, 100, 10)
	estimate := event.Estimate{DropID: "drop-1", CreatorID: "creator-1", Metric: "latency_loss_revenue", Dimensions: []event.Dimension{{Name: "pop", Value: "fra"}},
		Revision: 1, AsOf: start + day, From: start, To: start + 2*day, Label: "observational", Enough: true, Unit: "minor:USD",
		N: 40, Value: 180, Low: 125.4, High: 234.6, Confidence: .95, P: -1, SampleRate: 1}
	writeAll(t, newTestLoader(t, s, event.KindEstimate, 0), []event.Record{{Kind: event.KindEstimate, Timestamp: start, Value: estimate.AppendJSON(nil)}})
	decision := event.Decision{DropID: "drop-1", Topic: "pace", At: start, Chosen: "warn", Previous: "ok", Reason: "the projection is above the budget",
		Inputs: []event.Input{{Name: "projected", Value: 2}}}
	writeAll(t, newTestLoader(t, s, event.KindDecision, 0), []event.Record{{Kind: event.KindDecision, Timestamp: start, Value: decision.AppendJSON(nil)}})
}

// TestQueries runs every named query but the dashboards' over a small drop and holds the answers against the golden file.
func TestQueries(t *testing.T) {
	c := open(t)
	storeDrop(t, c)
	storeReadouts(t, c)
	storeServing(t, c, 12)
	start := time.UnixMilli(monday + 10*60*minute)
	given := Params{
		"drop": "drop-1", "from": start, "to": start.Add(20 * time.Minute), "table": "dead_letters",
		"cohort": "drop", "max_age": 1, "max_day": 2, "watermark_ms": monday + 5*week,
		"creator": "creator-1", "currency": "USD", "before": start.Add(24 * time.Hour),
		"at_ms": (start.UnixMilli() + day), "partition": 0,
		"first": "{0:0}", "last": "{0:9}", "released": "{0:1000}", "player": "{0:1000}", "checkout": "{0:1000}", "latency": "{0:1000}", "ledger": "{0:1000}",
		"features": "{0:1000}", "score": "{0:1000}", "dead_letter": "{0:1000}", "late": "{0:1000}",
	}
	// Nothing is doubled, nothing late, no canary was sent, and of so few scores none is a sample.
	empty := []string{"audit_doubled", "features_late", "audit_view_canary_requests", "audit_view_score_samples"}
	queries, err := sql.Queries()
	if err != nil || len(queries) == 0 {
		t.Fatal(len(queries), err)
	}
	var got strings.Builder
	for _, q := range queries {
		if strings.HasPrefix(q.Name, "dashboard_") || strings.HasPrefix(q.Name, "signal_") {
			continue // package dashboards tests its own, and the root package replays the signals
		}
		params := Params{}
		for _, p := range q.Params {
			if v, ok := given[p.Name]; ok {
				params[p.Name] = v
			}
			if p.Name == "drop" && p.Type != "String" { // offsets of the topic drop
				params[p.Name] = "{0:1000}"
			}
		}
		table, err := c.Query(t.Context(), q.Name, params)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if (len(table.Rows) == 0) != slices.Contains(empty, q.Name) {
			t.Errorf("%s: %d columns, %d rows", q.Name, len(table.Columns), len(table.Rows))
		}
		if rows, changes := map[string]int{"live_freshness": 6, "live_status": 1, "status_tables": 0}[q.Name]; changes { // with the clock, or with the tables
			if rows > 0 && len(table.Rows) != rows {
				t.Errorf("%s: %d rows, want %d", q.Name, len(table.Rows), rows)
			}
			continue
		}
		var answer strings.Builder
		if err := c.StreamQuery(t.Context(), &answer, q.Name, "TSVWithNames", params); err != nil {
			t.Error(err)
		}
		lines := strings.SplitAfter(answer.String(), "\n")
		if strings.HasPrefix(q.Name, "audit_newest_") {
			slices.Sort(lines[1 : len(lines)-1]) // they come in no order: an audit reads millions of them
		}
		fmt.Fprintf(&got, "%s\n%s\n", q.Name, strings.Join(lines, ""))
	}
	golden(t, "queries", got.String())
}

// TestVelocity is DOMAIN 2.1's example: the window of a young drop is as long as the drop is old.
func TestVelocity(t *testing.T) {
	c := open(t)
	storeDrop(t, c)
	table, err := c.Query(t.Context(), "report_velocity", Params{"drop": "drop-1"})
	if err != nil {
		t.Fatal(err)
	}
	rate := map[int64]string{}
	for _, row := range table.Rows {
		rate[row[1].(int64)/minute] = fmt.Sprintf("%d %.4f", row[2], row[3])
	}
	// 243 conversions in 3 min: 18 panes of 10, and of 3 or 4 by turns; then 3 more; nothing after 8 min.
	for age, want := range map[int64]string{1: "81 81.0000", 3: "243 81.0000", 5: "246 49.2000", 6: "165 33.0000", 9: "0 0.0000"} {
		if rate[age] != want {
			t.Errorf("minute %d: %s, want %s", age, rate[age], want)
		}
	}
	if len(table.Rows) != 10 {
		t.Errorf("%d rows, want one a minute up to the newest pane, 10", len(table.Rows))
	}
}

func TestQueryParameters(t *testing.T) {
	c := open(t)
	for name, params := range map[string]Params{
		"needs parameter drop":     {},
		"has no parameter wrong":   {"drop": "d", "wrong": 1},
		"needs parameter drop (St": {"dorp": "d"},
	} {
		if _, err := c.Query(t.Context(), "report_revenue", params); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: got %v, want %q", params, err, name)
		}
	}
	if _, err := c.Query(t.Context(), "../migrations/0001_raw", nil); !errors.Is(err, sql.ErrUnknownQuery) {
		t.Errorf("got %v, want an unknown query", err)
	}
	// Values are values, whatever they look like.
	for _, hostile := range []string{"' OR 1=1 --", "a\\b\tc\nd\x00e", "{drop:String}", "é☕"} {
		table, err := c.table(withParams(t.Context(), Params{"x": hostile}), "SELECT {x:String}", 0)
		if err != nil || table.Rows[0][0] != hostile {
			t.Errorf("%q comes back as %v, %v", hostile, table, err)
		}
	}
	// Lists of them, too.
	for _, hostile := range [][]string{{}, {""}, {"*"}, {"'], ['", `\`, `\'`, "a,b", "[", "]"}, {"🎉☕", "שלום", "\u202eabc", "a\tb\nc\rd\x00e"}, {"' OR 1=1 --", "{x:String}", "${drop}"}} {
		table, err := c.table(withParams(t.Context(), Params{"x": hostile}), "SELECT {x:Array(String)}", 0)
		if err != nil || !slices.Equal(table.Rows[0][0].([]string), hostile) {
			t.Errorf("%q comes back as %v, %v", hostile, table, err)
		}
		var out bytes.Buffer
		if err := c.Stream(t.Context(), &out, StreamRequest{SQL: "SELECT {x:Array(String)} = {y:Array(String)}", Format: "TSV", Params: Params{"x": hostile, "y": slices.Clone(hostile)}}); err != nil || out.String() != "1\n" {
			t.Errorf("%q is streamed as %q, %v", hostile, out.String(), err)
		}
	}
}

// Whoever wants some rows gets those, and the server does not go on for the others; nor for one who has left.
func TestQueryRows(t *testing.T) {
	c := open(t)
	exec(t, c, "INSERT INTO drops (drop_id, version) SELECT concat('drop-', leftPad(toString(number), 3, '0')), 1 FROM numbers(100)")
	for limit, want := range map[int]int{10: 10, 99: 99, 100: 100, 101: 100} {
		table, err := c.QueryRows(t.Context(), "dashboard_drops", Params{"creators": []string{"*"}}, limit)
		if err != nil || len(table.Rows) != want || table.Truncated != (limit < 100) || table.Rows[9][0] != "drop-009" {
			t.Fatalf("of 100 rows %d are %+v, %v", limit, table, err)
		}
	}
	busy := func(want uint64) {
		t.Helper()
		for began := time.Now(); ; {
			table, err := c.table(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%marked' || '_query%' AND query NOT LIKE '%system.processes%'", 0)
			if err != nil {
				t.Fatal(err)
			}
			if table.Rows[0][0] == want {
				return
			}
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%d queries run, want %d", table.Rows[0][0], want)
			}
		}
	}
	const endless = "SELECT number AS marked_query FROM numbers(1000000000000) WHERE sleepEachRow(0.0001) = 0 SETTINGS max_block_size = 100"
	table, err := c.table(t.Context(), endless, 10)
	if err != nil || len(table.Rows) != 10 || !table.Truncated {
		t.Errorf("%v, %v", table, err)
	}
	busy(0)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.table(ctx, endless, 0)
		left <- err
	}()
	busy(1)
	leave()
	if err := <-left; err == nil {
		t.Error("a query that was left has an answer")
	}
	busy(0)
	if _, err := c.QueryRows(t.Context(), "dashboard_summary", nil, 1); err == nil || Code(err) != 0 {
		t.Errorf("a missing parameter: %v, code %d", err, Code(err))
	}
	if _, err := c.table(t.Context(), "SELECT * FROM nowhere", 1); Code(err) != 60 {
		t.Errorf("an unknown table: %v, code %d", err, Code(err))
	}
}

func TestStream(t *testing.T) {
	server := migrated.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.ReadOnlyUser, cfg.ReadOnlyPassword = "reader", "secret" })
	reader, err := Open(t.Context(), Config{URL: server.URL(), User: "reader", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var out bytes.Buffer
	if err := reader.Stream(t.Context(), &out, StreamRequest{SQL: "SELECT number AS n, {x:String} AS x FROM numbers(2)", Params: Params{"x": "a\tb"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "n\tx\n0\ta\\tb\n1\ta\\tb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, text := range map[string]string{
		"a write by the reader":  "DROP TABLE checkout_events",
		"no such table":          "SELECT * FROM nowhere",
		"an error in mid-answer": "SELECT throwIf(number = 3000000) FROM numbers(4000000) SETTINGS max_block_size = 1000",
	} {
		if err := reader.Stream(t.Context(), &out, StreamRequest{SQL: text}); err == nil {
			t.Errorf("%s succeeded", name)
		}
	}
	if _, err := reader.Query(t.Context(), "report_quality", nil); err != nil {
		t.Errorf("the reader cannot run a named query: %v", err)
	}
	if _, err := Open(t.Context(), Config{URL: server.URL(), User: "reader", Password: "wrong"}); err == nil || !strings.Contains(err.Error(), "check user and password") {
		t.Errorf("got %v, want a refusal at once", err)
	}
}

func TestAuditQueries(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	l := newTestLoader(t, s, event.KindCheckout, 3)
	rs := sale(0, 20)
	writeAll(t, l, slices.Concat(rs[:5], rs[9:12], rs[13:]))
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 4), sale(100, 3))
	exec(t, c, "INSERT INTO checkout_events (kafka_partition, kafka_offset) SELECT 4, 101")

	extents, err := c.Extents(t.Context(), true)
	want := []Extent{
		{Table: "checkout_events", Partition: 3, Rows: 15, OffsetRange: OffsetRange{0, 19}, Distinct: 15},
		{Table: "checkout_events", Partition: 4, Rows: 4, OffsetRange: OffsetRange{100, 102}, Distinct: 3},
	}
	if err != nil || !slices.Equal(extents, want) {
		t.Errorf("got  %v, %v\nwant %v", extents, err, want)
	}
	for i := range want {
		want[i].Distinct = 0
	}
	if extents, err = c.Extents(t.Context(), false); err != nil || !slices.Equal(extents, want) {
		t.Errorf("got  %v, %v\nwant %v", extents, err, want)
	}

	var runs []string
	err = c.Runs(t.Context(), "checkout_events", map[int32]OffsetRange{3: {2, 17}, 4: {100, 200}, 5: {0, 9}}, func(p int32, r Run) error {
		runs = append(runs, fmt.Sprintf("%d:%d-%d*%d", p, r.First, r.Last, r.Copies))
		return nil
	})
	if got, want := strings.Join(runs, " "), "3:2-4*1 3:9-11*1 3:13-17*1 4:100-100*1 4:101-101*2 4:102-102*1"; err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	doubled, err := c.Query(t.Context(), "audit_doubled", Params{"table": "checkout_events"})
	if err != nil || fmt.Sprint(doubled.Rows) != "[[4 101 2]]" {
		t.Errorf("got %v, %v, want offset 101 twice", doubled, err)
	}
}

// TestStorage holds what StorageOf says against the tables that the migrations make.
func TestStorage(t *testing.T) {
	c := open(t)
	for _, kind := range Kinds() {
		s, ok := StorageOf(kind)
		if !ok {
			t.Fatalf("%s is not stored", kind.Topic())
		}
		made := value(t, c, "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '"+s.Table+"'")
		if replaces := strings.HasPrefix(made, "ReplacingMergeTree"); replaces != s.Replaces {
			t.Errorf("%s: Replaces is %v, the engine %s", s.Table, s.Replaces, made)
		}
		ttl := ""
		if s.Keeps > 0 {
			ttl = fmt.Sprintf("toIntervalDay(%d)", s.Keeps/(24*time.Hour))
		}
		if keeps := strings.Contains(made, "TTL "); keeps != (ttl != "") || !strings.Contains(made, ttl) {
			t.Errorf("%s: kept for %s, the engine says %s", s.Table, s.Keeps, made)
		}
	}
}

// TestViewChecks damages what the materialized views made, and looks whether the recomputation sees it.
func TestViewChecks(t *testing.T) {
	c := open(t)
	storeDrop(t, c)
	whole := map[event.Kind]map[int32]int64{event.KindPlayer: {0: 1000}, event.KindCheckout: {0: 1000}, event.KindLatency: {0: 1000}, event.KindDrop: {0: 1000}}
	check := func(what, want string) {
		t.Helper()
		checks, err := c.CheckViews(t.Context(), whole)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range checks {
			if k.Due == 0 {
				t.Errorf("%s: %s from %s compares nothing", what, k.View, k.Source.Topic())
			}
			if k.Missing > 0 || k.Stray > 0 || k.Differing > 0 {
				got = append(got, fmt.Sprintf("%s/%s %d %d %d", k.View, k.Source.Topic(), k.Missing, max(0, k.Stray), k.Differing))
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: got %q, want %q", what, strings.Join(got, ", "), want)
		}
	}
	check("as stored", "")
	exec(t, c, "DELETE FROM purchases WHERE player_id = 'p00' AND type = 'completed'",
		"INSERT INTO purchases (player_id, event_id, type, currency, amount, version) VALUES ('nobody', generateUUIDv4(), 'completed', 'USD', 1, 1)")
	check("a purchase gone, another invented", "purchases/checkout 1 1 0")
	exec(t, c, "DELETE FROM player_drops WHERE player_id = 'p04'", "DELETE FROM member_activity WHERE player_id = 'p05'")
	check("a player without first times, another without membership",
		"purchases/checkout 1 1 0, member_activity/player 1 0 0, player_drops/checkout 2 0 0, player_drops/latency 1 0 0, player_drops/player 3 0 0")
	exec(t, c, "DELETE FROM player_sessions WHERE player_id = 'p03'", "DELETE FROM first_exposures WHERE player_id = 'p01'")
	exec(t, c, "INSERT INTO drop_versions SELECT * REPLACE ([1] AS item_price) FROM drop_versions FINAL WHERE drop_id = 'drop-1'")
	check("a session and an exposure gone as well, and another price",
		"purchases/checkout 1 1 0, member_activity/player 1 0 0, player_drops/checkout 2 0 0, player_drops/latency 1 0 0, player_drops/player 3 0 0, "+
			"player_sessions/player 1 0 0, first_exposures/player 1 0 0, drop_versions/drop 0 0 1")
}

func TestConfig(t *testing.T) {
	cfg := Config{URL: "localhost:8123", HTTPURL: "ftp://x", Database: "drop lift", MaxConns: -1}
	if err := cfg.Validate(); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("got %v, want four problems", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Config{URL: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v, want that nobody answers", err)
	}
}
