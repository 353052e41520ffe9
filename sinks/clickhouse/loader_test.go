package clickhouse

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/ingest/event"
)

// TestRoundTrip writes one record of every kind and reads every column back.
func TestRoundTrip(t *testing.T) {
	c := open(t)
	latency := event.Event{Kind: event.KindLatency}
	latency.Type, latency.PlayerID, latency.EventTime, latency.DropID, latency.POP = event.EdgeRequest, "p1", monday, "drop-1", "fra"
	latency.Latency = event.Latency{Request: event.RequestLanding, MS: 123.25, Cache: event.CacheMiss, CPUMS: 1.5, EgressBytes: 1 << 40}
	subtitle := event.Event{Kind: event.KindSubtitle}
	subtitle.Type, subtitle.EventTime, subtitle.DropID = event.Cue, monday, "drop-1"
	subtitle.Subtitle = event.Subtitle{StreamID: "s1", CueID: 7, SpeechStartMS: 1000, DisplayMS: 2500, OnScreenMS: 1800,
		Graphemes: 38, Words: 6, TranslationMS: 400, SourceLanguage: "en", TargetLanguage: "fr", Variant: "b"}
	drop := event.Event{Kind: event.KindDrop}
	drop.Type, drop.EventTime, drop.DropID, drop.CreatorID = event.Catalogue, monday, "drop-1", "creator-1"
	drop.Drop = event.Drop{Name: "Première ☕", Version: 3, StartMS: monday, EndMS: monday + 1000,
		Splits: []event.Split{{Version: 1, Shares: []event.Share{{Participant: "platform", BPS: 1000}, {Participant: "c", BPS: 9000}}}},
		Items:  []event.Item{{SKU: "jacket", Price: 4999, Currency: "USD", Inventory: 500}, {SKU: "cap", Price: 2500, Currency: "JPY"}},
		Budget: 9, BudgetCurrency: "USD", LatencyBudgetMS: 300, CueLatencyMS: 5000,
		Experiments: []event.Experiment{{ID: "x", Salt: "s", TrafficBPS: 5000, Variants: []event.Variant{{Name: "a", BPS: 5000}, {Name: "b", BPS: 5000}},
			Language: "de", Holdout: "a", EffectSD: 0.02, Layer: "page"}},
		CueCost: 11, AnnouncedMS: monday - 2, Followers: 12, SplitBasis: event.SplitBasisNetOfFee, Forecast: []event.ForecastPoint{{AgeMS: 1000, BPS: 9000}}}
	purchase := checkout(event.CheckoutRefunded, "p1", monday, 4999)
	purchase.Checkout = event.Checkout{CheckoutID: "k", Amount: 4999, Currency: "KWD", SKU: "jacket", Quantity: 2, SplitVersion: 1, OriginalTime: monday - 1, Channel: "web", Reason: "size\t'"}
	purchase.SessionID, purchase.Region, purchase.Language, purchase.Consent, purchase.Synthetic = "s", "DE", "de-DE", 5, true
	purchase.Device = "phone"
	purchase.Checkout.Seq, purchase.Checkout.Tax, purchase.Checkout.Fee, purchase.Checkout.Partner, purchase.Checkout.PromisedBy = 1, 7, 8, "dhl", monday+9
	view := player(event.OfferClick, "p1", monday)
	view.Player = event.Player{HeartbeatMS: 15000, SKU: "jacket", ExperimentID: "x", Variant: "b"}

	features := event.Features{PlayerID: "p1", Revision: 9, AsOf: monday + 1, Watermark: -1, Maturity: event.Final,
		Sessions: [4]uint32{1, 2, 3, 4}, ActiveDays: [4]uint32{1, 1, 2, 3}, PlaytimeS: [4]uint32{5, 6, 7, 8}, Landings: [4]uint32{9, 10, 11, 12},
		Impressions: [4]uint32{13, 14, 15, 16}, Clicks: [4]uint32{17, 18, 19, 20}, Checkouts: [4]uint32{21, 22, 23, 24},
		NetSpend: [4]int64{-1, -2, -3, -4}, Creators: [4]uint32{25, 26, 27, 28}, Drops: [4]uint32{29, 30, 31, 32},
		LatencyMeanMS: [4]float64{-1, 10.5, 20.5, 30.5}, LatencyMaxMS: [4]float64{-1, 100, 200, 300},
		SpendCurrency: "USD", ForeignCheckouts: 1, FirstActivity: monday - 5, LastActivity: monday, SessionsTotal: 40, GapMeanS: 1.5, GapVarS2: -1}
	velocity := event.Velocity{DropID: "drop-1", POP: "fra", Partition: 2, PaneStart: monday, PaneMS: 10000, Revision: 4, Watermark: monday + 7,
		Events: [5]uint32{1, 2, 3, 4, 5}, Players: [5]uint32{6, 7, 8, 9, 10}, FunnelGap: 11, Failed: 12, Refunded: 13, Chargeback: 14, Conversions: 15,
		TimeToConvert: []event.TimeToConvert{{Panes: 0, Count: 3}, {Panes: 5, Count: 12}},
		Money:         []event.Money{{Currency: "JPY", Gross: 100, Refunds: 1, Chargebacks: 2}, {Currency: "USD", Gross: 200}}}
	dead := event.DeadLetter{Topic: "checkout", Partition: 1, Offset: 42, Timestamp: monday, Class: event.ReasonWrongType, Field: "amount", Key: []byte("p1"), Value: []byte("{\x00\xff")}
	late := event.Late{Topic: "player", Partition: 1, Offset: 43, Timestamp: monday, EventTime: monday - 700_000, LateByMS: 100_000, DropID: "drop-1", Value: []byte("{}")}
	estimate := event.Estimate{DropID: "drop-1", CreatorID: "c1", Metric: "experiment_effect", Dimensions: []event.Dimension{{Name: "language", Value: "de"}},
		Revision: 2, AsOf: monday, From: monday - 1000, To: monday + 1000, Maturity: event.Final, Grade: event.GradeRandomizedITT, Label: "caused",
		Enough: true, Why: "-", Unit: "pp", N: 100, Numerator: 7, Value: 0.5, Low: -0.25, High: 1.25, Confidence: 0.95, P: -1, AlwaysValid: true,
		SampleRate: 0.5, Details: []event.Detail{{Name: "se", Value: 0.125}}}
	decision := event.Decision{DropID: "drop-1", Topic: "budget", Subject: "fra", At: monday, Chosen: "cap", Previous: "warn", Value: 3,
		Reason: "spent", Inputs: []event.Input{{Name: "spent", Value: 9}}}
	cues := event.Localization{DropID: "drop-1", Language: "fr", SameLanguage: true, Partition: 2, PaneStart: monday, PaneMS: 15_000, Revision: 4, Watermark: monday + 7,
		Expected: 9, Good: 3, Stretch: 2, Missing: 5, Unreported: 4, Slow: 6, Brief: 7, Long: 8, Dense: 10, Wordy: 11, Early: 12,
		LatencySumMS: 13, LatencyZero: 14, LatencyBins: []event.CueLatencyBin{{Index: -3, Count: 15}, {Index: 401, Count: 16}},
		Translated: 17, TranslationSumMS: 18, TranslationBins: []event.CueTranslationBin{{Index: 336, Count: 19}}}
	attribution := event.Attribution{DropID: "drop-1", CreatorID: "c1", POP: "fra", Device: "phone", Language: "de", AgeFrom: -1, AgeTo: 7, Partition: 3, Revision: 2,
		Watermark: monday, Maturity: event.Final, Closed: true, From: monday - 1000, To: monday + 1000, BudgetMS: 250, SampleRate: 0.5,
		Viewers: [12]uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, Conversions: [12]uint32{11: 12}, LatencyUS: [12]int64{0: 40_000}, Unmeasured: 8, UnmeasuredConversions: 9,
		Money: []event.LatencyMoney{{Currency: "EUR", Net: [12]int64{2: 4999, 11: -7}}, {Currency: "JPY"}}}
	sketch := event.LatencySketch{DropID: "drop-1", POP: "fra", Request: event.RequestLanding, Partition: 3, PaneStart: monday, PaneMS: 60_000, Revision: 2, Watermark: -1,
		Maturity: event.Final, SampleRate: 0.5, Accuracy: 0.01, Samples: 4, Zero: 1000, Bins: []event.SketchBin{{Index: -3, Weight: 1000}, {Index: 124, Weight: 2000}}}
	block := event.Ledger{Partition: 3, Height: 2, Previous: "aa", PostedAt: monday, Transactions: []event.Transaction{
		{Source: "web", CheckoutID: "k", Type: "completed", Seq: 1, DropID: "drop-1", CreatorID: "c1", SplitVersion: 2, Currency: "USD", Amount: 5, EventTime: monday - 2, IngestTime: monday - 1,
			Postings: []event.Posting{{Account: event.AccountClearing, Amount: 5}, {Account: event.AccountPayable, Participant: "c1", Amount: -5}}},
		{CheckoutID: "free", Type: "completed", DropID: "drop-1", Currency: "USD"}}, Exceptions: []event.Exception{
		{Outcome: "excess", Source: "app", CheckoutID: "k", Type: "refunded", Seq: 4, DropID: "drop-1", Currency: "USD", Amount: 6, EventTime: monday - 4, IngestTime: monday - 3, Detail: "5 of 5 are left"}}}
	block.Hash = block.Digest()
	settlement := event.Settlement{ID: "c1|ISK|1", Participant: "c1", Currency: "ISK", Seq: 1, Revision: 2, Status: "mismatched", Amount: 45, PSPAmount: 4500, PSPExponent: 2, Paid: 44, AsOf: monday}
	stock := event.Inventory{DropID: "drop-1", SKU: "jacket", Channel: "pos", Partner: "shop", Partition: 2, PaneStart: monday, PaneMS: 10000, Revision: 4,
		Watermark: monday + 7, Maturity: event.Final, Sold: 1, Reserved: 2, Released: 3, Expired: 4, Returned: 5, Checkouts: 6, Promised: 7, Shipped: 8,
		Fulfilled: 9, Cancelled: 10, Due: 11, Late: 12}
	arm := event.ExperimentArm{DropID: "drop-1", ExperimentID: "cta-de", Variant: "b", Language: "de", Partition: 2, Revision: 4, Watermark: monday + 7,
		Maturity: event.Final, Design: "9f3a1c7be02d4456", Changed: true, Exposed: 6, Converted: 5, Refunded: 4, Crossed: 3, Misassigned: 2, SampleRate: 0.5}

	edgeCost := event.EdgeCost{DropID: "drop-1", POP: "fra", CreatorID: "creator-1", Partition: 2, PaneStart: monday, PaneMS: 60000, Synthetic: true, Revision: 4,
		Watermark: monday + 7, Maturity: event.Final, Newest: monday + 6, Samples: 5, SampleRate: 0.25, RequestsMicro: 20_000_000, CPUMicros: 30_000, EgressBytes: 1 << 40,
		Conversions: 3, Currency: "USD", Prices: "5f2ac1d09be4", Cost: 1 << 60}

	score := event.Event{Kind: event.KindScore}
	score.Type, score.PlayerID, score.EventTime, score.DropID, score.POP = event.ScoreAnswered, "p1", monday, "drop-1", "fra"
	score.Score = event.Score{Model: "churn", ModelVersion: "v1", FeatureHash: "9f86", FeatureRevision: 9, FeatureAsOf: monday - 1, Vector: []float64{1, -1, 0.5}, P: 0.25,
		ShadowVersion: "v2", ShadowP: 0.75, ChampionUS: 0.5, ShadowUS: 20.25, Degraded: "stale", Offer: "cap", Discount: 1500, Propensity: 0.5, Holdout: true, Eligible: true, Prefetch: 3}
	example := event.Example{Model: "churn", ModelVersion: "v1", PlayerID: "p1", ScoredAt: monday, DropID: "drop-1", Partition: 2, Watermark: monday + 7, Churned: true,
		LabelFrom: monday + 1, LabelTo: monday + 2, FeatureHash: "9f86", Vector: []float64{1, -1, 0.5}, P: 0.25, ShadowVersion: "v2", ShadowP: 0.75, Offer: "cap",
		Discount: 1500, Propensity: 0.5, Holdout: true, Eligible: true, Converted: true, Net: -7, Currency: "USD"}
	published := event.Model{Name: "churn", Version: "v1", Kind: "logistic", PublishedAt: monday, FeatureHash: "9f86", Checksum: "6030", Artefact: event.PackArtefact([]byte(`{"format":1}`))}
	rollout := event.Rollout{Name: "churn", Champion: "v2", Shadow: "v3", Previous: "v1", Action: "promote", At: monday, Reason: "passed"}
	lifetime := event.Lifetime{Model: "bgbb", Fit: "f1", PlayerID: "p1", CreatorID: "c1", Currency: "USD", Revision: uint64(monday), AsOf: monday - 1, FirstPurchase: monday - 2,
		Repeats: 2, LastRepeat: 4, Age: 6, Horizon: 8, PAlive: 0.5, Purchases: 1.25, MeanSpend: 2466.5, Value: 3000.75}

	s := newSink(t, c)
	derived := func(kind event.Kind, value []byte) []event.Record {
		return []event.Record{{Kind: kind, Offset: 5, Timestamp: monday + 5, Value: value}}
	}
	var got strings.Builder
	for _, rs := range [][]event.Record{
		records(5, view), records(5, latency), records(5, purchase), records(5, subtitle), records(5, drop),
		derived(event.KindFeatures, features.AppendJSON(nil)), derived(event.KindVelocity, velocity.AppendJSON(nil)),
		derived(event.KindDeadLetter, dead.AppendJSON(nil)), derived(event.KindLate, late.AppendJSON(nil)),
		derived(event.KindEstimate, estimate.AppendJSON(nil)), derived(event.KindDecision, decision.AppendJSON(nil)),
		derived(event.KindEdgeCost, edgeCost.AppendJSON(nil)),
		derived(event.KindLocalization, cues.AppendJSON(nil)),
		derived(event.KindAttribution, attribution.AppendJSON(nil)), derived(event.KindLatencySketch, sketch.AppendJSON(nil)),
		derived(event.KindLedger, block.AppendJSON(nil)), derived(event.KindSettlement, settlement.AppendJSON(nil)),
		derived(event.KindInventory, stock.AppendJSON(nil)),
		derived(event.KindExperimentArm, arm.AppendJSON(nil)),
		records(5, score), derived(event.KindExample, example.AppendJSON(nil)), derived(event.KindModel, published.AppendJSON(nil)),
		derived(event.KindRollout, rollout.AppendJSON(nil)), derived(event.KindLifetime, lifetime.AppendJSON(nil)),
	} {
		l := newTestLoader(t, s, rs[0].Kind, 3)
		writeAll(t, l, rs)
		fmt.Fprintf(&got, "%s\n", l.name)
		if err := c.Stream(t.Context(), &got, StreamRequest{SQL: "SELECT * EXCEPT inserted_at FROM " + l.name, Format: "Vertical"}); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "roundtrip", got.String())
	if err := c.Blocks(t.Context(), func(l *event.Ledger) error {
		if got, want := string(l.AppendJSON(nil)), string(block.AppendJSON(nil)); got != want || l.Digest() != block.Hash {
			t.Errorf("the block is read back as\n%s, not\n%s", got, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; got:\n%s", path, got)
	}
}

func TestUndecodable(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := open(t)
	s, err := NewSink(c, SinkConfig{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Loader("no-such-topic", 0); err == nil {
		t.Error("a loader for a topic without a table")
	}
	l := newTestLoader(t, s, event.KindCheckout, 0)
	rs := records(10, checkout(event.CheckoutCompleted, "p1", monday, 1), checkout(event.CheckoutCompleted, "p2", monday, 2))
	rs[0].Value = []byte(`{"id":`)
	if refused := l.Add(rs[0]); refused == nil || refused.Reason != event.ReasonMalformed {
		t.Errorf("Add says %v, want malformed", refused)
	}
	l.Discard()
	writeAll(t, l, rs[:1])
	writeAll(t, l, rs)
	if got := lines(t, c, "SELECT player_id, kafka_offset FROM checkout_events"); len(got) != 1 || got[0] != "p2\t11" {
		t.Errorf("stored %q", got)
	}
	if got := counted(t, s.metrics.undecodable.WithLabelValues("checkout_events", "malformed")); got != 3 {
		t.Errorf("%v undecodable counted, want 3", got)
	}
	if got := counted(t, s.metrics.rows.WithLabelValues("checkout_events")); got != 1 {
		t.Errorf("%v rows counted, want 1", got)
	}

	for _, r := range rs {
		l.Add(r)
	}
	b := l.Seal(11, 11, false)
	defer b.Close()
	if _, err := b.Write(t.Context()); err == nil {
		t.Error("wrote offset 10 under a range that starts at 11")
	}
}

// TestFarClock: a clock beyond what the column holds must not come out as a believable time.
func TestFarClock(t *testing.T) {
	c := open(t)
	far := []int64{1, lastMoment, lastMoment + 1, 1 << 62, math.MaxInt64, (math.MaxInt64/1_000_000+1)*2 + monday}
	var events []event.Event
	for i, at := range far {
		ev := checkout(event.CheckoutCompleted, fmt.Sprintf("p%d", i), at, 1)
		ev.IngestTime = monday
		events = append(events, ev)
	}
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindCheckout, 0), records(0, events...))
	got := lines(t, c, "SELECT toYear(event_time), quarantined FROM checkout_events ORDER BY kafka_offset")
	if fmt.Sprint(got) != "[1970\ttrue 2262\ttrue 2262\ttrue 2262\ttrue 2262\ttrue 2262\ttrue]" {
		t.Errorf("got %q", got)
	}
	if n := storedRows(t, c, "purchases"); n != "0" {
		t.Errorf("%s quarantined purchases counted", n)
	}
}

// contents is what must not change when a batch is written again: base tables by row, facts as readers see them.
func contents(t testing.TB, c *Client) string {
	t.Helper()
	var all []string
	for _, q := range []string{
		"SELECT 'checkout_events', * EXCEPT inserted_at FROM checkout_events ORDER BY kafka_partition, kafka_offset",
		"SELECT 'player_events', * EXCEPT inserted_at FROM player_events ORDER BY kafka_partition, kafka_offset",
		"SELECT 'velocity', * EXCEPT inserted_at FROM velocity_latest ORDER BY drop_id, pane_start, pop, partition",
		"SELECT 'purchases', * FROM purchases FINAL ORDER BY player_id, event_id",
		"SELECT 'members', * FROM members ORDER BY player_id",
		"SELECT 'player_drops', * FROM player_drops FINAL ORDER BY drop_id, player_id",
	} {
		all = append(all, lines(t, c, q)...)
	}
	return strings.Join(all, "\n")
}

// storedRows counts physical rows, merged or not.
func storedRows(t testing.TB, c *Client, table string) string {
	t.Helper()
	return value(t, c, "SELECT count() FROM "+table)
}

func sale(first int64, n int) []event.Record {
	var events []event.Event
	for i := range n {
		p := fmt.Sprintf("p%d", i%7)
		kind := event.CheckoutCompleted
		if i%3 == 2 {
			kind = event.CheckoutRefunded
		}
		ev := checkout(kind, p, monday+first+int64(i), 100+int64(i))
		if kind == event.CheckoutRefunded {
			ev.Checkout.OriginalTime = monday + first
		}
		events = append(events, ev)
	}
	return records(first, events...)
}

// TestRepeatedWrite repeats batches the way a crash does, by loaders that know nothing of each other.
func TestRepeatedWrite(t *testing.T) {
	server := migrated.ClickHouse(t)
	c := connectTo(t, server)
	s := newSink(t, c)
	velocity := event.Velocity{DropID: "drop-1", POP: "fra", PaneStart: monday, PaneMS: 10000, Revision: 4, Conversions: 15}
	panes := []event.Record{{Kind: event.KindVelocity, Offset: 0, Timestamp: monday, Value: velocity.AppendJSON(nil)}}
	views := records(0, player(event.LandingView, "p1", monday), player(event.OfferClick, "p1", monday+1))

	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), sale(0, 50))
	second := newTestLoader(t, s, event.KindCheckout, 0)
	writeAll(t, second, sale(50, 50))
	writeAll(t, second, sale(100, 50)) // the loader's second batch is sent without a look at the table
	writeAll(t, newTestLoader(t, s, event.KindVelocity, 0), panes)
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), views)
	want := contents(t, c)

	repeat := func(t *testing.T) {
		l := newTestLoader(t, s, event.KindCheckout, 0)
		if _, err := writeBatch(t, l, sale(100, 50), true); err != nil {
			t.Fatal(err)
		}
		// Not unsure: only the server's token stands between these rows and a second copy.
		writeAll(t, l, sale(50, 50))
		writeAll(t, newTestLoader(t, s, event.KindVelocity, 0), panes)
		writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), views)
		if got := contents(t, c); got != want {
			t.Errorf("contents changed from\n%s\nto\n%s", want, got)
		}
		if got := storedRows(t, c, "checkout_events"); got != "150" {
			t.Errorf("checkout_events has %s rows, want 150", got)
		}
	}
	t.Run("same server", repeat)
	t.Run("killed and restarted", func(t *testing.T) {
		kill(t, server)
		repeat(t)
	})
	t.Run("token alone", func(t *testing.T) {
		before := storedRows(t, c, "purchases")
		l := newTestLoader(t, s, event.KindCheckout, 0)
		l.sealed = 1
		writeAll(t, l, sale(0, 50))
		if got := storedRows(t, c, "checkout_events"); got != "150" {
			t.Errorf("checkout_events has %s rows, want 150", got)
		}
		if got := storedRows(t, c, "purchases"); got != before {
			t.Errorf("a repeated token added to purchases: %s rows, before %s", got, before)
		}
	})
}

// kill ends the server's process the hard way and waits until its successor answers.
func kill(t testing.TB, server *embedded.ClickHouse) {
	t.Helper()
	restarts := server.Restarts()
	pid := server.PID()
	if pid <= 0 {
		t.Fatal("no server process to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); server.Restarts() == restarts; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server did not come back")
		}
	}
}

// TestLostPart is a server that was killed after it logged the token of an insert and before it kept the part: for the base
// table, and for a view.
func TestLostPart(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), sale(0, 50))
	want := contents(t, c)

	for _, lost := range []string{"checkout_events", "purchases", "member_activity", "player_drops"} {
		t.Run(lost, func(t *testing.T) {
			// Dropping the rows keeps the log of tokens, as the kill does.
			exec(t, c, "ALTER TABLE "+lost+" DELETE WHERE 1 SETTINGS mutations_sync = 2")
			if got := contents(t, c); got == want {
				t.Fatal("nothing was lost")
			}
			writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), sale(0, 50))
			if got := contents(t, c); got != want {
				t.Errorf("contents changed from\n%s\nto\n%s", want, got)
			}
		})
	}
}

func TestPartialBatch(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 2), sale(0, 50))
	exec(t, c, "ALTER TABLE checkout_events DELETE WHERE kafka_offset = 7 SETTINGS mutations_sync = 2")
	_, err := writeBatch(t, newTestLoader(t, s, event.KindCheckout, 2), sale(0, 50), true)
	var partial *PartialBatchError
	if !errors.As(err, &partial) || partial.Stored != 49 || partial.Due != 50 || partial.Partition != 2 {
		t.Fatalf("got %v, want a partial batch of 49 of 50 rows", err)
	}
	if got := storedRows(t, c, "checkout_events"); got != "49" {
		t.Errorf("the refused batch changed the table to %s rows", got)
	}
}

// TestKillDuringWrite kills the server again and again while batches are written, and ends with every row once.
func TestKillDuringWrite(t *testing.T) {
	server := migrated.ClickHouse(t)
	c := connectTo(t, server)
	s := newSink(t, c)
	const batches, size = 24, 5000
	seed := rand.Int64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))

	l := newTestLoader(t, s, event.KindCheckout, 0)
	for i := range batches {
		killed := make(chan error, 1)
		killed <- nil
		if i%4 == 2 {
			// At a random moment of the write: before, during or after the server keeps the part or a view's.
			<-killed
			time.AfterFunc(time.Duration(random.IntN(80))*time.Millisecond, func() {
				// Between two processes there is none to kill, and 0 would be all of ours.
				if pid := server.PID(); pid > 0 {
					killed <- syscall.Kill(pid, syscall.SIGKILL)
				} else {
					killed <- nil
				}
			})
		}
		if i == batches/2 {
			l = newTestLoader(t, s, event.KindCheckout, 0) // the writer restarts too
		}
		writeAll(t, l, sale(int64(i*size), size))
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d restarts", server.Restarts())
	if server.Restarts() == 0 {
		t.Error("nothing was killed during the writes")
	}
	if got := lines(t, c, "SELECT count(), uniqExact(kafka_offset), min(kafka_offset), max(kafka_offset) FROM checkout_events"); got[0] != fmt.Sprintf("%d\t%d\t0\t%d", batches*size, batches*size, batches*size-1) {
		t.Errorf("stored %q", got)
	}
	want := value(t, c, "SELECT sum(if(type = 'completed', amount, -amount)), count() FROM checkout_events")
	if got := value(t, c, "SELECT sum(amount), count() FROM purchases FINAL"); got != want {
		t.Errorf("purchases hold %s, their base table %s", got, want)
	}
}

// TestServerAway writes while nothing listens: the batch waits for the context and is still there afterwards.
func TestServerAway(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	b := seal(newTestLoader(t, s, event.KindCheckout, 0), sale(0, 50), false)
	defer b.Close()
	s.client = unanswered(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := b.Write(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("got %v, want the deadline and why it came to that", err)
	}
	if got := counted(t, s.metrics.retries.WithLabelValues("checkout_events", string(Retryable))); got < 2 {
		t.Errorf("%v failed attempts counted", got)
	}
	s.client = c
	if _, err := b.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := storedRows(t, c, "checkout_events"); got != "50" {
		t.Errorf("%s rows, want 50", got)
	}
}

func TestPermanentError(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	exec(t, c, "DROP TABLE checkout_events")
	refused, err := writeBatch(t, newTestLoader(t, s, event.KindCheckout, 0), sale(0, 1), false)
	if err == nil || refused || !strings.Contains(err.Error(), "run droplift migrate") || Classify(t.Context(), err) != Permanent {
		t.Fatalf("got %v, want a permanent error that says what to do", err)
	}
}

// counted reads a counter.
func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func gauge(t testing.TB, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}
