package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/gate"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sinks/features/offline"
)

// lifeFrom is when the players of modelLife begin, lifeDays how long they are watched.
const (
	lifeFrom = int64(1_772_323_200_000) // 2026-03-01
	lifeDays = 16
)

// life is a registry's servers: Kafka with the topics, and ClickHouse with the sessions and features of many players.
type life struct {
	*terminal
	conf   kafka.Config
	client *clickhouse.Client // writes
	sink   *clickhouse.Sink
	// newest are each player's features at the end.
	newest map[string]event.Features
}

// startLife stores players who come at their own pace until they lose interest, with features as the rule publishes them
// every hour of event time: a pipeline that replays history in seconds publishes only the last of them.
func startLife(t *testing.T, players int) *life {
	t.Helper()
	l := &life{newest: map[string]event.Features{}}
	l.terminal, l.conf = modelBroker(t)
	server := migrated.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.ReadOnlyUser = "viewer" })
	l.flags = append(l.flags, "--clickhouse", server.URL())
	var err error
	if l.client, err = parseConfig(t, l.flags...).openWriter(t.Context(), server.URL(), embeddedtest.Logger(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.client.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(l.client.Prepare(t.Context()), l.client.DescribeFeatures(t.Context(), featureSet(feature.Player))); err != nil {
		t.Fatal(err)
	}
	if l.sink, err = clickhouse.NewSink(l.client, clickhouse.SinkConfig{}); err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(11, 12))
	var events []event.Event
	for i := range players {
		pace := math.Exp(.8*rng.NormFloat64()) * float64(dayMS) // between two sessions
		gone := lifeFrom + int64(8*rng.ExpFloat64()*float64(dayMS))
		for at := lifeFrom + int64(rng.Float64()*float64(dayMS)); at < min(gone, lifeFrom+lifeDays*dayMS); at += 60_000 + int64(pace*rng.ExpFloat64()) {
			session := fmt.Sprintf("s-%d-%d", i, at)
			for k, kind := range []event.Type{event.SessionStart, event.SessionEnd} {
				ev := event.Event{Kind: event.KindPlayer}
				ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(session, k)))
				ev.Type, ev.PlayerID, ev.SessionID = kind, fmt.Sprintf("p-%d", i), session
				ev.EventTime = at + int64(k)*30_000
				ev.IngestTime, ev.SampleRate, ev.SchemaVersion, ev.Consent = ev.EventTime, 1, 1, 7
				events = append(events, ev)
			}
		}
	}
	slices.SortFunc(events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.PlayerID, b.PlayerID))
	})
	partition := processors.NewPartition(0, processors.Config{Inputs: stageInputs}, dropsOf{}, []processors.Rule{churn.New(churn.Config{PublishEvery: 1})})
	caughtUp := slices.Repeat([]bool{true}, len(stageInputs))
	var raw, features []event.Record
	var decoder event.Decoder
	flush := func(now int64) {
		for _, m := range partition.Flush(now, caughtUp) {
			if m.Kind != event.KindFeatures {
				continue
			}
			features = append(features, event.Record{Kind: m.Kind, Offset: int64(len(features)), Timestamp: now, Key: m.Key, Value: slices.Clone(m.Value)})
			var f event.Features
			if err := decoder.Features(features[len(features)-1].Value, &f); err != nil {
				t.Fatal(err)
			}
			l.newest[f.PlayerID] = f
		}
		partition.Changes(func(string, []byte) {})
		partition.Commit()
	}
	hour := lifeFrom
	for i := range events {
		for ; events[i].EventTime >= hour; hour += 3_600_000 {
			flush(hour)
		}
		raw = append(raw, event.Record{Kind: event.KindPlayer, Offset: int64(i), Timestamp: events[i].EventTime, Key: []byte(events[i].PlayerID), Value: event.Append(nil, &events[i])})
		if outcome := partition.Process(raw[i]); outcome != event.Accepted {
			t.Fatalf("event %d: outcome %d", i, outcome)
		}
	}
	flush(lifeFrom + lifeDays*dayMS)
	l.store(raw)
	l.store(features)
	t.Logf("%d events and %d revisions of %d players", len(raw), len(features), players)
	return l
}

// store loads records of one partition, as the sink does.
func (l *life) store(records []event.Record) {
	l.t.Helper()
	loader, err := l.sink.Loader(records[0].Kind.Topic(), 0)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range records {
		if err := loader.Add(r); err != nil {
			l.t.Fatalf("%s at offset %d: %v", r.Kind, r.Offset, err)
		}
	}
	batch := loader.Seal(records[0].Offset, records[len(records)-1].Offset, false)
	defer batch.Close()
	if refused, err := batch.Write(l.t.Context()); err != nil || refused {
		l.t.Fatal(refused, err)
	}
}

// storeTopic loads what a topic holds.
func (l *life) storeTopic(kind event.Kind) {
	l.t.Helper()
	var records []event.Record
	err := kafka.Read(l.t.Context(), l.conf, kafka.ReadConfig{Topic: l.conf.Topic(kind)}, func(_ int32, r event.Record) { records = append(records, r) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.store(records)
}

// lifeDay is the begin of a day of the players' life, as a flag's value.
func lifeDay(n int64) string { return time.UnixMilli(lifeFrom + n*dayMS).UTC().Format(time.RFC3339) }

// lifeRows are flags that name labelled rows.
func lifeRows(from, to int64) []string {
	return []string{"--from", lifeDay(from), "--to", lifeDay(to), "--every", "12h", "--horizon", "24h"}
}

// train trains into a file and returns it with the version.
func (l *life) train(name string, flags ...string) (file, version string) {
	l.t.Helper()
	file = filepath.Join(l.t.TempDir(), name+".json")
	out := l.ok(slices.Concat([]string{"model", "train", "-o", file}, lifeRows(3, lifeDays-1), flags)...)
	l.t.Logf("\n%s", out)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		l.t.Fatalf("the artefact's file: %v, %v", info, err)
	}
	_, scorer, err := openArtefact(file)
	if err != nil {
		l.t.Fatal(err)
	}
	return file, scorer.Artefact().Version
}

// edgeModel is what an edge makes of the topics: the champion's scorer, opened from its record.
func edgeModel(t *testing.T, conf kafka.Config) (*scoring.Scorer, *modelRegistry) {
	t.Helper()
	registry, err := readModelRegistry(t.Context(), conf, embeddedtest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	scorer, _, err := registry.open("churn", registry.rollouts["churn"].Champion)
	if err != nil {
		t.Fatal(err)
	}
	return scorer, registry
}

// writeSet writes the training set of every 12 hours into a Parquet file.
func (l *life) writeSet(from, to int64) string {
	l.t.Helper()
	var at []int64
	for t0 := from; t0 <= to; t0 += dayMS / 2 {
		at = append(at, t0)
	}
	name := filepath.Join(l.t.TempDir(), "set.parquet")
	err := offline.Whole(name, nil, func(f io.WriteSeeker) error {
		w, err := offline.NewWriter(f, offline.Parquet, feature.Player, offline.Training, nil)
		if err != nil {
			return err
		}
		err = l.client.TrainingSet(l.t.Context(), clickhouse.TrainingRequest{At: at, HorizonMS: dayMS}, func(row *clickhouse.TrainingRow) error {
			return w.Write(&offline.Row{At: row.At, Created: row.CreatedAt, Features: &row.Features, Churned: row.Churned})
		})
		return errors.Join(err, w.Close())
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return name
}

// alike compares metrics up to the order in which rows were added up.
func alike(a, b scoring.Metrics) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) < 1e-9 }
	return a.Rows == b.Rows && a.Positives == b.Positives && near(a.AUC, b.AUC) && near(a.LogLoss, b.LogLoss) && near(a.BaseLogLoss, b.BaseLogLoss) &&
		near(a.Brier, b.Brier) && near(a.Slope, b.Slope) && near(a.Intercept, b.Intercept)
}

// A model is trained from ClickHouse, published, judged, promoted, scored with and rolled back; one that misses a gate is not let in.
func TestModelLifecycle(t *testing.T) {
	l := startLife(t, 700)
	first, firstVersion := l.train("first")
	if !strings.HasPrefix(firstVersion, "churn-2") || len(firstVersion) != len("churn-20060102t150405-01234567") {
		t.Errorf("the version is %q", firstVersion)
	}
	// Judged by the rows of its own test it says what training said.
	var again scoring.Metrics
	_, scorer, err := openArtefact(first)
	if err != nil {
		t.Fatal(err)
	}
	a := scorer.Artefact()
	tested := []string{"--from", time.UnixMilli(a.Training.TestFrom).UTC().Format(time.RFC3339Nano), "--to", time.UnixMilli(a.Training.TestTo + 1).UTC().Format(time.RFC3339Nano),
		"--every", "12h", "--horizon", "24h"}
	if err := json.Unmarshal([]byte(l.ok(slices.Concat([]string{"model", "evaluate", first, "--json"}, tested)...)), &again); err != nil || !alike(again, *a.Metrics) {
		t.Errorf("evaluated %+v, trained %+v, %v", again, *a.Metrics, err)
	}
	if out := l.ok(slices.Concat([]string{"model", "evaluate", first}, lifeRows(3, lifeDays-1))...); !strings.Contains(out, "flatter") {
		t.Errorf("judging it by rows that it learned from goes unsaid:\n%s", out)
	}

	// A training set in a file gives the same numbers.
	set := l.writeSet(a.Training.TestFrom, a.Training.TestTo)
	if err := json.Unmarshal([]byte(l.ok("model", "evaluate", first, "--json", "--set", set, "--horizon", "24h")), &again); err != nil || !alike(again, *a.Metrics) {
		t.Errorf("by the file %+v, %v", again, err)
	}

	l.refused(2, []string{"no version"}, "model", "promote", firstVersion)
	l.ok("model", "publish", first)
	judge := []string{"--every", "12h", "--as-of", lifeDay(lifeDays)}
	promote := func(version string, flags ...string) []string {
		return slices.Concat([]string{"model", "promote", version}, judge, flags)
	}
	l.refused(1, []string{"refused by rows, auc_low", "MISSED"}, promote(firstVersion, "--gate-rows", "1000000", "--gate-auc-low", "0.999")...)
	l.refused(1, []string{"refused by held_out"}, append(promote(firstVersion), lifeRows(3, lifeDays-1)...)...)
	l.refused(1, []string{"refused by age"}, "model", "promote", firstVersion, "--every", "12h", "--as-of", "2027-01-01T00:00:00Z")
	if r := rolloutNow(t, l.conf); r.Champion != "" {
		t.Fatalf("after refusals the champion is %s", r.Champion)
	}
	if out := l.ok(promote(firstVersion, "--dry-run")...); !strings.Contains(out, "would be promoted") || rolloutNow(t, l.conf).Champion != "" {
		t.Errorf("a dry run says\n%s", out)
	}
	t.Logf("\n%s", l.ok(promote(firstVersion, "--reason", "the first model")...))
	l.refused(2, []string{"answers already"}, promote(firstVersion)...)
	if r := rolloutNow(t, l.conf); r.Champion != firstVersion || !strings.HasPrefix(r.Reason, "the first model; passed features 1 (1)") {
		t.Errorf("the rollout says %+v", r)
	}

	// A model of next to nothing is worse than the champion on the same rows, and the record names no other reason.
	weak, weakVersion := l.train("weak", "--features", "active_days_1h,sessions_1h")
	l.ok("model", "publish", weak)
	code, out, said := l.run(promote(weakVersion, "--gate-auc", "0", "--gate-auc-low", "0", "--gate-gain=-1", "--gate-slope-low=-9", "--gate-slope-high=99", "--json")...)
	if code != 1 || !strings.Contains(said, "refused by champion_log_loss, champion_auc") {
		t.Errorf("the weak model: exit code %d\n%s%s", code, out, said)
	}
	var results []gate.Result
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var r gate.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		results = append(results, r)
	}
	if got := gate.Missed(results); !slices.Equal(got, []string{"champion_log_loss", "champion_auc"}) {
		t.Errorf("as JSON the missed gates are %v", got)
	}

	second, secondVersion := l.train("second", "--kind", "ftrl", "--seed", "2")
	l.ok("model", "publish", second)
	if r := rolloutNow(t, l.conf); r.Champion != firstVersion || r.Shadow != secondVersion {
		t.Errorf("after publishing the second: %+v", r)
	}
	l.ok(promote(secondVersion, "--gate-champion-log-loss", "0.3", "--gate-champion-auc", "0.1", "--gate-slope-high", "3")...)
	champion, _ := edgeModel(t, l.conf)
	if a := champion.Artefact(); a.Version != secondVersion || a.Kind != "ftrl" {
		t.Errorf("an edge opens %s, %s", a.Version, a.Kind)
	}
	if _, err := champion.Score(make([]float64, len(feature.Player.Features)), make([]float64, champion.Inputs())); err != nil {
		t.Error(err)
	}
	l.ok("model", "rollback")
	if champion, _ := edgeModel(t, l.conf); champion.Artefact().Version != firstVersion {
		t.Errorf("after the rollback an edge opens %s", champion.Artefact().Version)
	}
	l.storeTopic(event.KindModel)
	l.storeTopic(event.KindRollout)
	roles, err := l.client.Query(t.Context(), "model_versions", nil)
	if err != nil || len(roles.Rows) != 3 {
		t.Fatalf("%v, %v", roles, err)
	}
	for i := range roles.Rows {
		r := row{roles, i}
		if champion := r.text("version") == firstVersion; champion != (r.text("role") == "champion") {
			t.Errorf("version %s has the role %q", r.text("version"), r.text("role"))
		}
	}
}
