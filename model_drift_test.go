package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// A model that meets the world of its training raises no alarm; a serving fault, another population and scores that do not
// come true each raise their own.
func TestModelDrift(t *testing.T) {
	l := startLife(t, 500)
	file, version := l.train("champion")
	l.ok("model", "publish", file)
	err := decideOnModels(t.Context(), l.conf, embeddedtest.Logger(t), func(r *modelRegistry) ([]event.Message, error) {
		return r.promote("churn", version, "", "by the test", time.UnixMilli(lifeFrom))
	})
	if err != nil {
		t.Fatal(err)
	}
	l.storeTopic(event.KindModel)
	scorer, _ := edgeModel(t, l.conf)
	if out := l.ok("model", "drift", "churn"); !strings.Contains(out, "No score of model churn") {
		t.Errorf("without scores:\n%s", out)
	}

	// Players are scored as they were known, every 12 h of the training's time. In the faulty days the edge takes everyone for
	// active right now, and so says that nobody leaves; everyone does.
	rng := rand.New(rand.NewPCG(5, 6))
	var scores, examples []event.Record
	scratch := make([]float64, scorer.Inputs())
	recency := feature.Player.Index("recency_s")
	serve := func(from, to int64, faulty bool) {
		t.Helper()
		var at []int64
		for t0 := lifeFrom + from*dayMS; t0 < lifeFrom+to*dayMS; t0 += dayMS / 2 {
			at = append(at, t0)
		}
		err := l.client.TrainingSet(t.Context(), clickhouse.TrainingRequest{At: at, HorizonMS: dayMS}, func(row *clickhouse.TrainingRow) error {
			vector := row.Features.Vector(row.At, nil)
			if faulty {
				vector[recency] = 0
			}
			p, err := scorer.Score(vector, scratch)
			if err != nil {
				return err
			}
			churned := rng.Float64() < p
			if faulty {
				p, churned = .2+.01*rng.Float64(), true
			}
			shadow := min(1, p+.05)
			feature.ToStream(vector)
			e := event.Event{Kind: event.KindScore}
			e.ID, e.Type, e.PlayerID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(row.Player+time.UnixMilli(row.At).String())), event.ScoreAnswered, row.Player
			e.EventTime, e.IngestTime, e.SampleRate, e.SchemaVersion = row.At, row.At, 1, 1
			e.Score = event.Score{Model: "churn", ModelVersion: version, FeatureHash: feature.Player.Hash(), FeatureRevision: row.Features.Revision,
				FeatureAsOf: row.Features.AsOf, Vector: vector, P: p, ShadowVersion: "churn-shadow", ShadowP: shadow, ChampionUS: .5, ShadowUS: .7}
			scores = append(scores, event.Record{Kind: event.KindScore, Offset: int64(len(scores)), Timestamp: row.At, Key: []byte(row.Player), Value: event.Append(nil, &e)})
			x := event.Example{Model: "churn", ModelVersion: version, PlayerID: row.Player, ScoredAt: row.At, Watermark: row.At + 2*dayMS, Churned: churned,
				LabelFrom: row.At + 600_000, LabelTo: row.At + 600_000 + dayMS, FeatureHash: feature.Player.Hash(), Vector: vector, P: p, ShadowVersion: "churn-shadow", ShadowP: shadow}
			examples = append(examples, event.Record{Kind: event.KindExample, Offset: int64(len(examples)), Timestamp: row.At + 2*dayMS, Value: x.AppendJSON(nil)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	serve(3, 11, false)
	healthy := len(scores)
	serve(12, 15, true)
	if healthy < 3000 || len(scores)-healthy < 1000 {
		t.Fatalf("%d healthy and %d faulty scores", healthy, len(scores)-healthy)
	}
	l.store(scores)
	l.store(examples)

	drift := func(from, to int64) []string {
		return []string{"model", "drift", "churn", "--from", lifeDay(from), "--to", lifeDay(to), "--every", "12h"}
	}
	out := l.ok(drift(3, 11)...)
	t.Logf("\n%s", out)
	for _, want := range []string{"No alarm.", "as stable as chance allows", "their own revision", "churn-shadow"} {
		if !strings.Contains(out, want) {
			t.Errorf("the healthy days do not say %q", want)
		}
	}
	code, out, said := l.run(append(drift(12, 15), "--json")...)
	var report driftReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, said)
	}
	first := report.Stability[0]
	if first.Feature != "recency_s" || !first.Alarm || first.PSI < 1 {
		t.Errorf("the least stable feature is %+v", first)
	}
	if s := report.Served; !s.Alarm || s.Worst != "recency_s" || s.Rows != uint64(len(scores)-healthy) || s.Share < .9 {
		t.Errorf("skew against the logged revision: %+v", s)
	}
	for _, w := range report.Calibration {
		if !w.Off || w.Observed != 1 || math.Abs(w.Said-map[string]float64{"champion": .205, "shadow": .255}[w.Role]) > .01 {
			t.Errorf("calibration %+v", w)
		}
	}
	if len(report.Disagreement) != 1 || math.Abs(report.Disagreement[0].Mean-.05) > 1e-6 || len(report.Latency) != 2 || report.Latency[0].P50 != .5 {
		t.Errorf("disagreement %+v, latency %+v", report.Disagreement, report.Latency)
	}
	for _, want := range []string{"feature recency_s", "scored vectors differ", "3 windows in a row", "more players churned"} {
		if !slices.ContainsFunc(report.Alarms, func(alarm string) bool { return strings.Contains(alarm, want) }) {
			t.Errorf("no alarm says %q: %q", want, report.Alarms)
		}
	}
	l.refused(1, []string{"ANOTHER POPULATION", "SKEW", "off", "ALARM", "the model drifts"}, drift(12, 15)...)

	// Examples judge a model like any other rows, with the vectors as they were scored.
	out = l.ok("model", "evaluate", version, "--examples", "--from", lifeDay(3), "--to", lifeDay(11))
	if !strings.Contains(out, "rows of scoring times 2026-03-04") {
		t.Errorf("by examples:\n%s", out)
	}
	l.refused(2, []string{"not tested"}, "model", "promote", publishUntested(t, l))
}

// publishUntested publishes a version that says nothing of a test.
func publishUntested(t *testing.T, l *life) string {
	t.Helper()
	l.ok("model", "publish", writeModel(t, recencyModel("churn-untested", .2)), "--no-shadow")
	return "churn-untested"
}
