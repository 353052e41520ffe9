package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/gate"
	"github.com/droplift/droplift/models/scoring"
)

// lifeFrom is when the players of modelLife begin, lifeDays how long they are watched.
const (
	lifeFrom = int64(1_772_323_200_000) // 2026-03-01
	lifeDays = 16
)

// modelLife sends the sessions of players who come at their own pace until they lose interest, in the order of time.
func modelLife(t *testing.T, p *pipeline, players int) {
	t.Helper()
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
				ev.IngestTime, ev.SampleRate, ev.SchemaVersion, ev.Consent = ev.EventTime+100, 1, 1, 7
				events = append(events, ev)
			}
		}
	}
	slices.SortFunc(events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.PlayerID, b.PlayerID))
	})
	producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var messages []event.Message
	for i := range events {
		messages = append(messages, event.Message{Kind: event.KindPlayer, Key: []byte(events[i].PlayerID), Value: event.Append(nil, &events[i])})
	}
	if err := errors.Join(producer.Produce(t.Context(), messages...), producer.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events of %d players", len(events), players)
	p.settle()
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

// alike compares metrics up to the order in which rows were added up.
func alike(a, b scoring.Metrics) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) < 1e-9 }
	return a.Rows == b.Rows && a.Positives == b.Positives && near(a.AUC, b.AUC) && near(a.LogLoss, b.LogLoss) && near(a.BaseLogLoss, b.BaseLogLoss) &&
		near(a.Brier, b.Brier) && near(a.Slope, b.Slope) && near(a.Intercept, b.Intercept)
}

// A model is trained from ClickHouse, published, judged, promoted, scored with and rolled back; one that misses a gate is not let in.
func TestModelLifecycle(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--kafka-partitions=2")
	modelLife(t, p, 700)
	cli := &terminal{t, append(p.flags(), "--data-dir", t.TempDir())}
	day := func(n int64) string { return time.UnixMilli(lifeFrom + n*dayMS).UTC().Format(time.RFC3339) }
	rows := []string{"--from", day(3), "--to", day(lifeDays - 1), "--every", "12h", "--horizon", "24h", "--knowable", "event"}
	dir := t.TempDir()
	train := func(name string, flags ...string) (file, version string) {
		t.Helper()
		file = filepath.Join(dir, name+".json")
		out := cli.ok(slices.Concat([]string{"model", "train", "-o", file}, rows, flags)...)
		if name == "first" {
			t.Logf("\n%s", out)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the artefact's file: %v, %v", info, err)
		}
		_, scorer, err := openArtefact(file)
		if err != nil {
			t.Fatal(err)
		}
		return file, scorer.Artefact().Version
	}
	first, firstVersion := train("first")
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
		"--every", "12h", "--horizon", "24h", "--knowable", "event"}
	if err := json.Unmarshal([]byte(cli.ok(slices.Concat([]string{"model", "evaluate", first, "--json"}, tested)...)), &again); err != nil || !alike(again, *a.Metrics) {
		t.Errorf("evaluated %+v, trained %+v, %v", again, *a.Metrics, err)
	}
	if out := cli.ok(slices.Concat([]string{"model", "evaluate", first}, rows)...); !strings.Contains(out, "flatter") {
		t.Errorf("judging it by rows that it learned from goes unsaid:\n%s", out)
	}

	cli.refused(2, []string{"no version"}, "model", "promote", firstVersion)
	cli.ok("model", "publish", first)
	judge := []string{"--every", "12h", "--knowable", "event", "--as-of", day(lifeDays)}
	promote := func(version string, flags ...string) []string {
		return slices.Concat([]string{"model", "promote", version}, judge, flags)
	}
	cli.refused(1, []string{"refused by rows, auc_low", "MISSED"}, promote(firstVersion, "--gate-rows", "1000000", "--gate-auc-low", "0.999")...)
	cli.refused(1, []string{"refused by held_out"}, append([]string{"model", "promote", firstVersion, "--knowable", "event", "--horizon", "24h", "--as-of", day(lifeDays)}, "--from", day(3), "--to", day(lifeDays-1))...)
	cli.refused(1, []string{"refused by age"}, "model", "promote", firstVersion, "--every", "12h", "--knowable", "event", "--as-of", "2027-01-01T00:00:00Z")
	if r := rolloutNow(t, p.node.kafka); r.Champion != "" {
		t.Fatalf("after refusals the champion is %s", r.Champion)
	}
	if out := cli.ok(promote(firstVersion, "--dry-run")...); !strings.Contains(out, "would be promoted") || rolloutNow(t, p.node.kafka).Champion != "" {
		t.Errorf("a dry run says\n%s", out)
	}
	t.Logf("\n%s", cli.ok(promote(firstVersion, "--reason", "the first model")...))
	cli.refused(2, []string{"answers already"}, promote(firstVersion)...)
	if r := rolloutNow(t, p.node.kafka); r.Champion != firstVersion || !strings.HasPrefix(r.Reason, "the first model; passed features 1 (1)") {
		t.Errorf("the rollout says %+v", r)
	}

	// A model of next to nothing is worse than the champion on the same rows, and the record names no other reason.
	weak, weakVersion := train("weak", "--features", "active_days_1h,sessions_1h")
	cli.ok("model", "publish", weak)
	code, out, said := cli.run(promote(weakVersion, "--gate-auc", "0", "--gate-auc-low", "0", "--gate-gain=-1", "--gate-slope-low=-9", "--gate-slope-high=99", "--json")...)
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

	second, secondVersion := train("second", "--kind", "ftrl", "--seed", "2")
	cli.ok("model", "publish", second)
	if r := rolloutNow(t, p.node.kafka); r.Champion != firstVersion || r.Shadow != secondVersion {
		t.Errorf("after publishing the second: %+v", r)
	}
	cli.ok(promote(secondVersion, "--gate-champion-log-loss", "0.1", "--gate-champion-auc", "0.1")...)
	champion, _ := edgeModel(t, p.node.kafka)
	if a := champion.Artefact(); a.Version != secondVersion || a.Kind != "ftrl" {
		t.Errorf("an edge opens %s, %s", a.Version, a.Kind)
	}
	if _, err := champion.Score(make([]float64, len(feature.Player.Features)), make([]float64, champion.Inputs())); err != nil {
		t.Error(err)
	}
	cli.ok("model", "rollback")
	if champion, _ := edgeModel(t, p.node.kafka); champion.Artefact().Version != firstVersion {
		t.Errorf("after the rollback an edge opens %s", champion.Artefact().Version)
	}
	p.settle()
	p.want("stored rollouts", "SELECT groupArray(action) FROM (SELECT action FROM rollouts ORDER BY kafka_offset)", "['shadow','promote','shadow','shadow','promote','rollback']")
	roles := p.query("model_versions", nil)
	for i := range roles.Rows {
		r := row{roles, i}
		if champion := r.text("version") == firstVersion; champion != (r.text("role") == "champion") {
			t.Errorf("version %s has the role %q", r.text("version"), r.text("role"))
		}
	}
}
