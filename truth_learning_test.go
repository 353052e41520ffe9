package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	models "github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
	"github.com/droplift/droplift/processors/learning"
)

// hazardWorld is players whose sessions are Poisson with a rate per day that is theirs for good: the probability that one
// starts none in the label's window is exp(−rate·N), and the features of 28 days show the rate to anyone who counts.
type hazardWorld struct {
	events []event.Event // in order of time
	rates  map[string]float64
	starts map[string][]int64
}

const (
	hazardStart = int64(1_772_409_600_000) // a midnight
	hazardN     = 2 * 86_400_000
	hazardDelta = 600_000
)

func newHazardWorld(seed uint64, players int, days int64) *hazardWorld {
	random := rand.New(rand.NewPCG(seed, 92))
	w := &hazardWorld{rates: map[string]float64{}, starts: map[string][]int64{}}
	for i := range players {
		player := fmt.Sprintf("p%04d", i)
		rate := math.Exp(-1.9 + 2.4*random.Float64()) // 0.15 to 1.65 a day
		w.rates[player] = rate
		for at := hazardStart; ; {
			at += int64(random.ExpFloat64() / rate * float64(dayMS))
			if at >= hazardStart+days*dayMS {
				break
			}
			w.starts[player] = append(w.starts[player], at)
			session := fmt.Sprint(player, "-", at)
			w.add(event.KindPlayer, event.SessionStart, player, session, at)
			w.add(event.KindPlayer, event.Heartbeat, player, session, at+30_000)
			w.add(event.KindPlayer, event.SessionEnd, player, session, at+45_000)
		}
	}
	slices.SortFunc(w.events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.PlayerID, b.PlayerID))
	})
	return w
}

func (w *hazardWorld) add(kind event.Kind, what event.Type, player, session string, at int64) {
	var ev event.Event
	ev.Reset(kind)
	ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, len(w.events)))
	ev.Type, ev.PlayerID, ev.SessionID, ev.EventTime, ev.IngestTime, ev.Consent = what, player, session, at, at, 7
	w.events = append(w.events, ev)
}

// truth is the probability that the player churns, by those who know the rate.
func (w *hazardWorld) truth(player string) float64 {
	return math.Exp(-w.rates[player] * float64(hazardN) / float64(dayMS))
}

// standIn stands in for the edge: it keeps the newest features, as it would from the topic, and scores every player once a day.
type standIn struct {
	features map[string]event.Features
	decoder  event.Decoder
	vector   []float64
}

func (e *standIn) take(m event.Message) error {
	var f event.Features
	if err := e.decoder.Features(bytes.Clone(m.Value), &f); err != nil {
		return err
	}
	e.features[f.PlayerID] = f
	return nil
}

// scores of all known players at t0, by a model that says a half.
func (e *standIn) scores(t0 int64) (records []event.Record) {
	for _, player := range slices.Sorted(maps.Keys(e.features)) {
		f := e.features[player]
		e.vector = f.Vector(t0, e.vector[:0])
		feature.ToStream(e.vector)
		var ev event.Event
		ev.Reset(event.KindScore)
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, player, t0))
		ev.Type, ev.PlayerID, ev.EventTime, ev.IngestTime, ev.Consent = event.ScoreAnswered, player, t0, t0, 7
		ev.Score = event.Score{Model: "churn", ModelVersion: "half", FeatureHash: feature.Player.Hash(), FeatureRevision: f.Revision, FeatureAsOf: f.AsOf, Vector: e.vector, P: 0.5}
		records = append(records, event.Record{Kind: event.KindScore, Key: []byte(player), Value: event.Append(nil, &ev), Timestamp: t0})
	}
	return records
}

// learningRun is what both stages published.
type learningRun struct {
	examples  []event.Record
	decoded   []event.Example
	published []string // by the learner, record by record
	models    []event.Model
}

// learn plays the world through both stages. Scores are made by the edge, or those of another run where replayed is given.
func (w *hazardWorld) learn(t *testing.T, replayed map[int64][]event.Record) (*learningRun, map[int64][]event.Record) {
	t.Helper()
	labels, err := learning.New(learning.Config{EmbargoMS: hazardDelta, HorizonMS: hazardN}, 0)
	if err != nil {
		t.Fatal(err)
	}
	learner, err := learning.NewLearner(learning.LearnerConfig{Every: 4000, EveryMS: 1000 * dayMS})
	if err != nil {
		t.Fatal(err)
	}
	cfg := processors.Config{Inputs: []event.Kind{event.KindPlayer, event.KindScore}, Quiet: []event.Kind{event.KindScore}}
	partition := processors.NewPartition(0, cfg, nil, []processors.Rule{churn.New(churn.Config{PublishEvery: 1}), labels})
	rollup := processors.NewRollup(0, []processors.RollupRule{learner})
	e := &standIn{features: map[string]event.Features{}}
	run, scores := &learningRun{}, map[int64][]event.Record{}
	var decoder event.Decoder
	flush := func(now int64) {
		for _, m := range partition.Flush(now, []bool{true, true}) {
			switch m.Kind {
			case event.KindFeatures:
				if err := e.take(m); err != nil {
					t.Fatal(err)
				}
			case event.KindExample:
				r := event.Record{Kind: m.Kind, Key: bytes.Clone(m.Key), Value: bytes.Clone(m.Value)}
				run.examples = append(run.examples, r)
				var x event.Example
				if err := decoder.Example(r.Value, &x); err != nil {
					t.Fatal(err)
				}
				run.decoded = append(run.decoded, x)
				// The label is late by construction: nobody knows it before its time, at which it must be there.
				if now < x.LabelTo+hazardDelta || x.Watermark < x.LabelTo+hazardDelta {
					t.Fatalf("at %d, with watermark %d, a label up to %d was published", now, x.Watermark, x.LabelTo)
				}
				rollup.Process(r)
			}
		}
		partition.Commit()
		for _, m := range rollup.Flush(now, []bool{true}) {
			run.published = append(run.published, fmt.Sprintf("%v %s %s", m.Kind, m.Key, m.Value))
			if m.Kind == event.KindModel {
				var v event.Model
				if err := decoder.Model(bytes.Clone(m.Value), &v); err != nil {
					t.Fatal(err)
				}
				run.models = append(run.models, v)
			}
		}
		rollup.Commit()
	}
	process := func(r event.Record) {
		if o := partition.Process(r); o != event.Accepted {
			t.Fatalf("%s: outcome %d", r.Value, o)
		}
	}
	next := hazardStart + 28*dayMS + 12*hourMS // the first t0: 28 days are seen by then
	for i := range w.events {
		ev := &w.events[i]
		for ; ev.EventTime >= next; next += dayMS {
			flush(next)
			scores[next] = replayed[next]
			if replayed == nil {
				scores[next] = e.scores(next)
			}
			for _, r := range scores[next] {
				process(r)
			}
		}
		process(event.Record{Kind: ev.Kind, Key: []byte(ev.PlayerID), Value: event.Append(nil, ev), Timestamp: ev.EventTime})
		if i%100 == 99 {
			flush(ev.EventTime)
		}
	}
	flush(w.events[len(w.events)-1].EventTime)

	// The same examples once more, as from a first stage that was rebuilt: the learner publishes nothing, and its state stays.
	before := stateOf(rollup)
	for _, r := range run.examples {
		rollup.Process(r)
	}
	if again := rollup.Flush(math.MaxInt64, []bool{true}); len(again) > 0 {
		t.Errorf("examples that were learned from before published %d records", len(again))
	}
	rollup.Commit()
	if after := stateOf(rollup); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Error("examples that were learned from before changed the learner")
	}
	return run, scores
}

func stateOf(r *processors.Rollup) map[string][]byte {
	state := map[string][]byte{}
	r.Snapshot(func(key string, value []byte) { state[strings.Clone(key)] = bytes.Clone(value) })
	return state
}

// TestLearningTruth: 250 players of known hazard for 80 days, features by the processors, scores by an edge's stand-in. Every label is
// the truth, each comes at its time and once; the learner's progressive log loss over the newest examples approaches that
// of the known hazard; and a replay from the beginning, another interleaving of topics included, publishes the same.
func TestLearningTruth(t *testing.T) {
	const seed, players, days = 1, 250, 80
	w := newHazardWorld(seed, players, days)
	run, scores := w.learn(t, nil)
	asked := 0
	for _, records := range scores {
		asked += len(records)
	}
	var truth, y []float64
	seen := map[string]bool{}
	for i := range run.decoded {
		x := &run.decoded[i]
		key := fmt.Sprint(x.PlayerID, x.ScoredAt)
		at, _ := slices.BinarySearch(w.starts[x.PlayerID], x.LabelFrom)
		churned := at == len(w.starts[x.PlayerID]) || w.starts[x.PlayerID][at] >= x.LabelTo
		if seen[key] || x.Churned != churned || x.LabelFrom != x.ScoredAt+hazardDelta || x.LabelTo != x.LabelFrom+hazardN {
			t.Fatalf("%+v: seen before %v, churned %v", x, seen[key], churned)
		}
		seen[key] = true
		truth, y = append(truth, w.truth(x.PlayerID)), append(y, float64(one(churned)))
	}
	end := w.events[len(w.events)-1].EventTime
	unknown := 0
	for t0, records := range scores {
		for _, r := range records {
			known := t0+2*hazardDelta+hazardN <= end-10_001
			if !known {
				unknown++
			}
			var ev event.Event
			var decoder event.Decoder
			if err := decoder.Decode(event.KindScore, r.Value, &ev); err != nil {
				t.Fatal(err)
			}
			idle := ev.Score.Vector[feature.Player.Index("recency_s")] > 28*86_400
			if seen[fmt.Sprint(ev.PlayerID, t0)] != (known && !idle) {
				t.Fatalf("%s at %d: an example %v, its label known %v, absent for 28 days %v", ev.PlayerID, t0, seen[fmt.Sprint(ev.PlayerID, t0)], known, idle)
			}
		}
	}
	if unknown == 0 || len(run.models) < 2 {
		t.Fatalf("%d labels are unknown at the end and %d candidates were published: nothing is tested", unknown, len(run.models))
	}
	last := &run.models[len(run.models)-1]
	file, err := last.File()
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := scoring.Open(file, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	a := scorer.Artefact()
	n := int(a.Training.Updates)
	oracle, err := models.Evaluate(truth[n-a.Metrics.Rows:n], y[n-a.Metrics.Rows:n], 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %d scores, %d examples, %d labels unknown at the end; progressive log loss over %d after %d: %.4f, AUC %.4f, slope %.3f; the known hazard's %.4f, AUC %.4f; the base rate's %.4f",
		seed, asked, len(run.decoded), unknown, a.Metrics.Rows, n, a.Metrics.LogLoss, a.Metrics.AUC, a.Metrics.Slope, oracle.LogLoss, oracle.AUC, a.Metrics.BaseLogLoss)
	if gap, whole := a.Metrics.LogLoss-oracle.LogLoss, a.Metrics.BaseLogLoss-oracle.LogLoss; gap > 0.25*whole || a.Metrics.AUC < oracle.AUC-0.03 || math.Abs(a.Metrics.Slope-1) > 0.25 {
		t.Errorf("the learner keeps %.0f %% of the way to the oracle", 100*gap/whole)
	}

	again, _ := w.learn(t, scores)
	if !slices.Equal(again.published, run.published) || !slices.EqualFunc(again.examples, run.examples, func(a, b event.Record) bool { return bytes.Equal(a.Value, b.Value) }) {
		t.Error("a replay published something else")
	}
}
