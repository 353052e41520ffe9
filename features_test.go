package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sinks/features/flight"
	"github.com/droplift/droplift/sinks/features/offline"
)

const (
	featuresT0 int64 = 1_756_728_000_000 // 2025-09-01 12:00 UTC
	featureMin int64 = 60_000
	featureDay       = 24 * 60 * featureMin
)

// playerStory is what a player did, in order of arrival, and which revisions of the features were published, after how
// many events and when.
type playerStory struct {
	events    []event.Event
	revisions map[int]int64
}

// tell adds an event; late is how long after it happened it was ingested.
func (s *playerStory) tell(kind event.Kind, what event.Type, at, late int64) *event.Event {
	var ev event.Event
	ev.Reset(kind)
	ev.Type, ev.EventTime, ev.IngestTime, ev.SampleRate, ev.SchemaVersion = what, at, at+late, 1, 1
	ev.SessionID, ev.CreatorID = "s", "creator-1"
	s.events = append(s.events, ev)
	return &s.events[len(s.events)-1]
}

func (s *playerStory) buy(what event.Type, at, late, amount int64) {
	ev := s.tell(event.KindCheckout, what, at, late)
	ev.Checkout = event.Checkout{CheckoutID: "c", Amount: amount, Currency: "EUR", SKU: "jacket", Quantity: 1}
}

// publish makes the state of now a revision, known at.
func (s *playerStory) publish(at int64) {
	if s.revisions == nil {
		s.revisions = map[int]int64{}
	}
	s.revisions[len(s.events)] = at
}

// visit is half an hour of heartbeats, published at its end.
func (s *playerStory) visit(from int64) {
	s.tell(event.KindPlayer, event.SessionStart, from, 20)
	for at := from; at < from+30*featureMin; at += 30_000 {
		s.tell(event.KindPlayer, event.Heartbeat, at, 20)
	}
	s.tell(event.KindPlayer, event.SessionEnd, from+30*featureMin, 20)
	s.publish(from + 30*featureMin + 1000)
}

// stories are players of whom some things arrive after t0.
func stories() map[string]*playerStory {
	const t0 = featuresT0
	all := map[string]*playerStory{}
	story := func(player string) *playerStory {
		s := &playerStory{}
		s.visit(t0 - 5*featureDay)
		s.visit(t0 - 2*featureDay)
		all[player] = s
		return s
	}
	for i := range 20 {
		story(fmt.Sprintf("plain%02d", i)).visit(t0 - int64(i+3)*60*featureMin)
	}

	// The session's end arrives ten minutes after t0, and makes a revision whose as_of is before t0.
	s := story("session-end")
	s.tell(event.KindPlayer, event.SessionStart, t0-10*featureMin, 20)
	s.tell(event.KindPlayer, event.Heartbeat, t0-9*featureMin, 20)
	s.publish(t0 - 9*featureMin + 1000)
	s.tell(event.KindPlayer, event.SessionEnd, t0-8*featureMin, 18*featureMin)
	s.publish(t0 + 10*featureMin + 1000)

	// A refund that says that it was the day before.
	s = story("refund")
	s.buy(event.CheckoutCompleted, t0-2*featureDay, 20, 5000)
	s.tell(event.KindPlayer, event.LandingView, t0-60*featureMin, 20)
	s.publish(t0 - 60*featureMin + 1000)
	s.buy(event.CheckoutRefunded, t0-featureDay, featureDay+60*featureMin, 5000)
	s.publish(t0 + 60*featureMin + 1000)

	// Something arrives after t0, and no revision that a set takes knows of it.
	s = story("late-unseen")
	s.tell(event.KindPlayer, event.LandingView, t0-60*featureMin, 20)
	s.publish(t0 - 60*featureMin + 1000)
	s.tell(event.KindPlayer, event.OfferClick, t0-30*featureMin, 2*featureDay)

	// Goes on after t0.
	s = story("future")
	s.tell(event.KindPlayer, event.OfferClick, t0-featureMin, 20)
	s.publish(t0 - featureMin + 1000)
	s.tell(event.KindPlayer, event.OfferClick, t0+featureMin, 20)
	s.publish(t0 + featureMin + 1000)
	return all
}

// revisionsOf are the revisions that a story published, with the times at which they were known.
func revisionsOf(player string, s *playerStory) (fs []event.Features, known []int64) {
	for i := range s.events {
		s.events[i].PlayerID = player
	}
	featureStates(s.events, func(n int, f *event.Features) bool {
		if at, ok := s.revisions[n]; ok {
			copied := *f
			copied.PlayerID, copied.Revision, copied.SpendCurrency = player, uint64(len(fs)+1), strings.Clone(f.SpendCurrency)
			fs, known = append(fs, copied), append(known, at)
		}
		return true
	})
	return fs, known
}

// featureStore is an embedded ClickHouse with the stories in it, and the configuration that finds it.
func featureStore(t *testing.T) (*embedded.ClickHouse, *Config) {
	t.Helper()
	server := migrated.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.ReadOnlyUser, cfg.ReadOnlyPassword = "viewer", "secret" })
	t.Setenv("DROPLIFT_CLICKHOUSE_READONLY_PASSWORD", "secret")
	cfg := parseConfig(t, "--clickhouse", server.URL())
	client, err := cfg.openWriter(t.Context(), server.URL(), embeddedtest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sink, err := clickhouse.NewSink(client, clickhouse.SinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	records := map[event.Kind][]event.Record{}
	add := func(r event.Record) {
		r.Offset = int64(len(records[r.Kind]))
		records[r.Kind] = append(records[r.Kind], r)
	}
	all := stories()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := all[name]
		for i := range s.events {
			ev := &s.events[i]
			ev.PlayerID, ev.ID = name, uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, name, i))
			if ev.Kind == event.KindCheckout {
				ev.Checkout.CheckoutID = "c-" + name
			}
			r := event.Record{Kind: ev.Kind, Timestamp: ev.IngestTime, Value: event.Append(nil, ev)}
			add(r)
			if i%9 == 0 {
				add(r) // a resent event
			}
		}
		fs, known := revisionsOf(name, s)
		for i := range fs {
			add(event.Record{Kind: event.KindFeatures, Timestamp: known[i], Value: fs[i].AppendJSON(nil)})
		}
	}
	clock := event.Event{}
	clock.Reset(event.KindPlayer)
	clock.Type, clock.PlayerID, clock.EventTime, clock.IngestTime, clock.SampleRate = event.Heartbeat, "clock", featuresT0+20*featureDay, featuresT0+20*featureDay, 1
	clock.SchemaVersion, clock.ID = 1, uuid.New()
	add(event.Record{Kind: clock.Kind, Timestamp: clock.EventTime, Value: event.Append(nil, &clock)})
	for kind, rs := range records {
		l, err := sink.Loader(kind.Topic(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if reason := l.Add(r); reason != nil {
				t.Fatal(kind, reason)
			}
		}
		b := l.Seal(0, int64(len(rs)-1), false)
		if refused, err := b.Write(t.Context()); refused || err != nil {
			t.Fatal(refused, err)
		}
		b.Close()
	}
	return server, cfg
}

// found lists findings as player:kind:event types.
func found(r *leakReport) string {
	var out []string
	for _, f := range r.Findings {
		text := f.Player + ":" + f.Kind
		for _, ev := range f.Events {
			text += ":" + ev.Type
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func trainingAt(t0 int64, knowable string) trainingFlags {
	const day = 24 * time.Hour
	return trainingFlags{At: []time.Time{time.UnixMilli(t0)}, Active: 28 * day, Horizon: 14 * day, TTL: 28 * day, knowableFlag: knowableFlag{knowable}}
}

// TestLeaks plants every leak of DOMAIN 1.2 that rows can have, and looks whether it is caught and nothing else is.
func TestLeaks(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	_, cfg := featureStore(t)
	check := func(what string, c FeaturesCheckCmd, want string) *leakReport {
		t.Helper()
		report, err := c.check(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := found(report); got != want || report.Rows != 24 {
			t.Errorf("%s: %d rows, got %q, want %q", what, report.Rows, got, want)
		}
		return report
	}
	// Our own sets: what was delivered by t0 cannot leak; what event time lets in is named.
	report := check("delivered", FeaturesCheckCmd{Sample: 5, trainingFlags: trainingAt(featuresT0, "delivered")}, "")
	if report.Late != 3 || report.Recomputed != 8 {
		t.Errorf("%d late, %d recomputed; want 3 and 5 more", report.Late, report.Recomputed)
	}
	if report = check("all of it", FeaturesCheckCmd{trainingFlags: trainingAt(featuresT0, "delivered")}, ""); report.Recomputed != 24 {
		t.Errorf("%d recomputed", report.Recomputed)
	}
	report = check("by event time", FeaturesCheckCmd{trainingFlags: trainingAt(featuresT0, "event")}, "refund:late:refunded session-end:late:session_end")
	if f := report.Findings[0]; strings.Join(f.Features, " ") != "net_spend_24h net_spend_7d net_spend_28d" {
		t.Errorf("the refund changed %v", f.Features)
	}
	if f := report.Findings[1]; !slices.Contains(f.Features, "recency_s") || !slices.Contains(f.Features, "playtime_s_1h") || f.Events[0].IngestTime != millis(featuresT0+10*featureMin) {
		t.Errorf("the session's end: %+v", f)
	}

	// Files of others, with leaks in them.
	all := stories()
	write := func(format offline.Format, change func(player string, known []int64, fs []event.Features) (event.Features, int64)) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "theirs."+string(format))
		err := offline.Whole(name, nil, func(f io.WriteSeeker) error {
			w, err := offline.NewWriter(f, format, feature.Player, offline.Training, nil)
			if err != nil {
				return err
			}
			for player, s := range all {
				fs, known := revisionsOf(player, s)
				chosen, at := change(player, known, fs)
				if err := w.Write(&offline.Row{At: featuresT0, Created: at, Features: &chosen}); err != nil {
					return err
				}
			}
			return w.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	// The newest revision, whatever t0 is: as_of and created_timestamp say so themselves.
	newest := write(offline.Parquet, func(_ string, known []int64, fs []event.Features) (event.Features, int64) {
		return fs[len(fs)-1], known[len(fs)-1]
	})
	check("newest revisions", FeaturesCheckCmd{Training: newest}, "future:future refund:undelivered session-end:undelivered")
	// The same, from somebody whose times say nothing.
	hidden := write(offline.Arrow, func(_ string, _ []int64, fs []event.Features) (event.Features, int64) {
		f := fs[len(fs)-1]
		f.AsOf = min(f.AsOf, featuresT0)
		return f, featuresT0
	})
	check("newest revisions that hide it", FeaturesCheckCmd{Training: hidden}, "future:future:offer_click refund:late:refunded session-end:late:session_end")
	// Numbers from nowhere are no proof.
	wrong := write(offline.Parquet, func(player string, known []int64, fs []event.Features) (event.Features, int64) {
		if player == "plain03" {
			fs[0].Clicks[3] += 1000
		}
		return fs[0], known[0]
	})
	report = check("a wrong number", FeaturesCheckCmd{Training: wrong}, "plain03:unexplained")
	if f := report.Findings[0]; report.Leaks != 0 || report.Unexplained != 1 || strings.Join(f.Features, " ") != "clicks_28d" {
		t.Errorf("got %+v", report)
	}

	// On the command line.
	out, err := captureStdout(func() error {
		c := FeaturesCheckCmd{Training: newest, Show: 1}
		return c.Run(t.Context(), cfg)
	})
	if !errors.Is(err, errLeaks) || !strings.Contains(out, "3 leak") || !strings.Contains(out, "and 2 more") {
		t.Errorf("got %v\n%s", err, out)
	}
	out, err = captureStdout(func() error {
		c := FeaturesCheckCmd{Training: newest, JSON: true}
		return c.Run(t.Context(), cfg)
	})
	var decoded leakReport
	if !errors.Is(err, errLeaks) || json.Unmarshal([]byte(out), &decoded) != nil || decoded.Leaks != 3 {
		t.Errorf("got %v\n%s", err, out)
	}
	for want, c := range map[string]FeaturesCheckCmd{
		"give scoring times": {}, "neither .parquet nor .arrow": {Training: "set.csv"}, "no such file": {Training: "nowhere.parquet"},
		"not both": {Training: newest, trainingFlags: trainingAt(featuresT0, "event")}, "there is nothing to check": {trainingFlags: trainingAt(featuresT0-400*featureDay, "event")},
	} {
		var exit *exitError
		if err := c.Run(t.Context(), cfg); !errors.As(err, &exit) || exit.code != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q and code 2", err, want)
		}
	}
}

// TestFeatureFiles exports and makes a training set on the command line, and reads both with pyarrow where there is one.
func TestFeatureFiles(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	_, cfg := featureStore(t)
	dir := t.TempDir()
	command := func(c interface {
		Run(context.Context, *Config) error
	}) (string, error) {
		t.Helper()
		return captureStdout(func() error { return c.Run(t.Context(), cfg) })
	}
	export := FeaturesExportCmd{Out: filepath.Join(dir, "history"), Format: "parquet", knowableFlag: knowableFlag{"delivered"},
		From: time.Date(2025, 8, 20, 0, 0, 0, 0, time.UTC), To: time.Date(2025, 9, 3, 0, 0, 0, 0, time.UTC)}
	// 20 plain players three times, the others two to four.
	out, err := command(&export)
	if err != nil || !strings.Contains(out, "hours written with 75 rows, 0 as they were") {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err = command(&export); err != nil || !strings.HasPrefix(out, "0 hours written with 0 rows") {
		t.Errorf("again: %q, %v", out, err)
	}
	backwards := export
	backwards.To = export.From
	if _, err := command(&backwards); err == nil || !strings.Contains(err.Error(), "is not before") {
		t.Errorf("got %v", err)
	}

	set := FeaturesTrainingSetCmd{Out: filepath.Join(dir, "set.parquet"), trainingFlags: trainingAt(featuresT0, "event")}
	out, err = command(&set)
	if err != nil || !strings.Contains(out, "24 rows, 24 churned, 0 stayed, 0 with a label that is not known yet") {
		t.Errorf("got %q, %v", out, err)
	}
	none := FeaturesTrainingSetCmd{Out: filepath.Join(dir, "none.arrow"), trainingFlags: trainingAt(featuresT0-400*featureDay, "delivered")}
	if _, err := command(&none); err == nil || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(none.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty set left %v", err)
	}

	server, err := flight.New(flight.Config{Address: "127.0.0.1:0", Set: feature.Player}, func() flightSource {
		client, err := cfg.openFeatures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return flightSource{client}
	}())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	python := os.Getenv("DROPLIFT_PYTHON")
	if python == "" {
		embeddedtest.Missing(t, "clients", "DROPLIFT_PYTHON names no Python with pyarrow")
	}
	text, err := exec.CommandContext(t.Context(), python, "sinks/features/flight/testdata/files_check.py", export.Out, set.Out, server.Address(), millis(featuresT0)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Logf("%s", text)
}

// TestFeaturesWithoutStore: nobody answers.
func TestFeaturesWithoutStore(t *testing.T) {
	source := func() flightSource {
		embeddedtest.NeedLibrary(t)
		server, cfg := featureStore(t)
		client, err := cfg.openFeatures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		if err := server.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return flightSource{client}
	}()
	none := func(*offline.Row) error { return nil }
	for name, err := range map[string]error{
		"snapshot": source.Snapshot(t.Context(), flight.Snapshot{}, none), "history": source.History(t.Context(), flight.History{From: 1, To: 2}, none),
		"training set": source.TrainingSet(t.Context(), flight.TrainingSet{At: []flight.Time{1}}, none),
	} {
		if !errors.Is(err, flight.ErrAway) {
			t.Errorf("%s: got %v, want that the store is away", name, err)
		}
	}
	if err := source.TrainingSet(t.Context(), flight.TrainingSet{At: []flight.Time{1}, TTLMS: -1}, none); !errors.Is(err, flight.ErrRequest) {
		t.Errorf("got %v, want a bad request", err)
	}
}
