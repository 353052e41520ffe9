package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// TestScoresBecomeExamplesAndCandidates runs the whole installation: scores and sessions go in at the topics, and examples and a candidate
// that an edge can open stand in the tables, each once, with a restart in between. Not one score topic's partition holds the watermark.
func TestScoresBecomeExamplesAndCandidates(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--idle-after=1s", "--label-horizon=1h", "--outcome-window=30m", "--example-every=1h", "--learn-warm-up=50", "--learn-keep=200", "--candidate-every=100",
		"--process-commit-interval=20ms", "--sink-batch-age=50ms"}
	p := startPipeline(t, dir, flags...)
	const players = 300
	random := rand.New(rand.NewPCG(1, 93))
	// Yesterday, so that no clock is ahead and nothing is too old.
	t0 := time.Now().Add(-24 * time.Hour).Truncate(time.Hour).UnixMilli()
	produce := func(p *pipeline, events ...*event.Event) {
		t.Helper()
		producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		for _, ev := range events {
			ev.ID, ev.IngestTime, ev.SampleRate, ev.SchemaVersion = uuid.Must(uuid.NewV7()), ev.EventTime, 1, 1
			if err := producer.Produce(context.Background(), event.Message{Kind: ev.Kind, Key: []byte(ev.PlayerID), Value: event.Append(nil, ev)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	var first, second []*event.Event
	returned := 0
	for i := range players {
		score := &event.Event{Kind: event.KindScore}
		score.Type, score.PlayerID, score.EventTime, score.Consent = event.ScoreAnswered, fmt.Sprintf("player-%d", i), t0+int64(i), 1
		x := make([]float64, len(feature.Player.Features))
		x[feature.Player.Index("sessions_28d")] = float64(random.IntN(30))
		score.Score = event.Score{Model: "churn", ModelVersion: "v1", FeatureHash: feature.Player.Hash(), Vector: x, P: 0.5}
		first = append(first, score)
		if x[feature.Player.Index("sessions_28d")] > float64(random.IntN(30)) {
			returned++
			session := &event.Event{Kind: event.KindPlayer}
			session.Type, session.PlayerID, session.SessionID, session.EventTime = event.SessionStart, score.PlayerID, "s", t0+20*60_000
			second = append(second, session)
		}
	}
	produce(p, first...)
	produce(p, second...)
	p.settle()
	p.want("examples before their time", "SELECT count() FROM examples", "0")
	p.close()

	p = startPipeline(t, dir, flags...)
	// Everybody's time goes on: past the label's end, and the lateness after it. It must not stand still while other inputs
	// are not idle yet, since when all are idle the watermark stays.
	tick := int64(0)
	eventually(t, 2*time.Minute, func() error {
		var clocks []*event.Event
		for i := range 64 {
			ev := &event.Event{Kind: event.KindPlayer}
			ev.Type, ev.PlayerID, ev.EventTime = event.Heartbeat, fmt.Sprintf("clock-%d", i), t0+2*3_600_000+tick
			clocks = append(clocks, ev)
		}
		tick += 1000
		produce(p, clocks...)
		if n := p.tsv("SELECT count() FROM examples"); n != fmt.Sprint(players) {
			return fmt.Errorf("%s examples", n)
		}
		return nil
	})
	p.settle()
	p.want("examples", "SELECT count(), uniqExact(player_id, scored_at), countIf(NOT churned) FROM examples", fmt.Sprintf("%d %d %d", players, players, returned))
	p.want("candidates", "SELECT kind, count() > 0, uniqExact(version) = count() FROM models GROUP BY kind", "ftrl 1 1")
	p.want("promotions", "SELECT count() FROM rollouts", "0")

	var published []event.Record
	if err := kafka.Read(context.Background(), p.node.kafka, kafka.ReadConfig{Topic: event.KindModel.Topic()}, func(_ int32, r event.Record) { published = append(published, r) }); err != nil {
		t.Fatal(err)
	}
	if len(published) == 0 {
		t.Error("no candidate was published")
	}
	var decoder event.Decoder
	for _, r := range published {
		var m event.Model
		if err := decoder.Model(r.Value, &m); err != nil {
			t.Fatal(err)
		}
		file, err := m.File()
		if err != nil {
			t.Fatal(err)
		}
		scorer, err := scoring.Open(file, feature.Player)
		if err != nil {
			t.Fatal(err)
		}
		if a := scorer.Artefact(); a.Version != m.Version || a.Checksum != m.Checksum || a.Training.Updates < 50 {
			t.Errorf("%s: %+v", m.Version, a.Training)
		}
	}
}
