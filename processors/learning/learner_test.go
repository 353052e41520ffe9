package learning

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/processors"
)

// world makes examples whose probability is known: a logistic function of three features, one of them missing at times.
type world struct{ *rand.Rand }

func (w world) example(i int) (e event.Example, truth float64) {
	x := make([]float64, len(feature.Player.Features))
	sessions := float64(w.IntN(20))
	recency := 600 * math.Exp(2*w.NormFloat64())
	x[feature.Player.Index("sessions_7d")] = sessions
	x[feature.Player.Index("recency_s")] = recency
	x[feature.Player.Index("net_spend_28d")] = float64(w.IntN(20_000) - 100)
	gap := -0.4
	if w.IntN(3) == 0 {
		x[feature.Player.Index("gap_mean_s")] = -1
	} else {
		v := 3600 * math.Exp(w.NormFloat64())
		x[feature.Player.Index("gap_mean_s")] = v
		gap = 0.6 * (math.Log1p(v) - math.Log(3600))
	}
	truth = scoring.Sigmoid(-0.5 - 0.15*(sessions-10) + 0.5*(math.Log1p(recency)-math.Log(600)) + gap)
	at := start + int64(i)*minute
	return event.Example{
		Model: "churn", ModelVersion: "v1", PlayerID: fmt.Sprintf("p%06d", i), ScoredAt: at, Partition: int32(w.IntN(3)), Watermark: at + 16*day,
		LabelFrom: at + late, LabelTo: at + late + 14*day, Churned: w.Float64() < truth, FeatureHash: feature.Player.Hash(), Vector: x, P: truth,
		ShadowVersion: "v2", ShadowP: 0.5,
	}, truth
}

func recordOf(e event.Example) event.Record {
	return event.Record{Kind: event.KindExample, Value: e.AppendJSON(nil)}
}

// examples of a world, with the probabilities that made their labels.
func examples(seed uint64, n int) (records []event.Record, truth []float64, labels []float64) {
	w := world{rand.New(rand.NewPCG(73, seed))}
	for i := range n {
		e, p := w.example(i)
		records, truth, labels = append(records, recordOf(e)), append(truth, p), append(labels, label(e.Churned))
	}
	return records, truth, labels
}

// stage runs a learner as its runtime does.
type stage struct {
	t       testing.TB
	cfg     LearnerConfig
	learner *Learner
	rollup  *processors.Rollup
	log     map[string][]byte
	out     []string
	models  []event.Model
	windows map[string]event.Estimate
}

func newStage(t testing.TB, cfg LearnerConfig) *stage {
	s := &stage{t: t, cfg: cfg, log: map[string][]byte{}, windows: map[string]event.Estimate{}}
	s.restart()
	return s
}

func (s *stage) restart() {
	s.t.Helper()
	var err error
	if s.learner, err = NewLearner(s.cfg); err != nil {
		s.t.Fatal(err)
	}
	s.rollup = processors.NewRollup(0, []processors.RollupRule{s.learner})
	for key, value := range s.log {
		if err := s.rollup.Restore(key, value); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) turn(abort bool, records ...event.Record) {
	s.t.Helper()
	for _, again := range []bool{abort, false} {
		for _, r := range records {
			if o := s.rollup.Process(r); o != event.Accepted {
				s.t.Fatalf("%s: %v", r.Value, o)
			}
		}
		messages := s.rollup.Flush(start, []bool{true})
		s.rollup.Changes(func(key string, value []byte) {
			if again {
				return
			}
			if value == nil {
				delete(s.log, key)
				return
			}
			s.log[strings.Clone(key)] = slices.Clone(value)
		})
		if again {
			s.rollup.Rollback()
			continue
		}
		s.take(messages)
		s.rollup.Commit()
		return
	}
}

func (s *stage) take(messages []event.Message) {
	var d event.Decoder
	for _, m := range messages {
		s.out = append(s.out, fmt.Sprintf("%v %s %s", m.Kind, m.Key, m.Value))
		switch value := slices.Clone(m.Value); m.Kind {
		case event.KindModel:
			var v event.Model
			if err := d.Model(value, &v); err != nil {
				s.t.Fatal(err)
			}
			v.Artefact = slices.Clone(v.Artefact)
			s.models = append(s.models, v)
		case event.KindEstimate:
			var v event.Estimate
			if err := d.Estimate(value, &v); err != nil {
				s.t.Fatal(err)
			}
			v.Details, v.Dimensions = slices.Clone(v.Details), slices.Clone(v.Dimensions)
			s.windows[fmt.Sprintf("%s %d", m.Key, v.From)] = v
		}
	}
}

func (s *stage) fates() map[string]uint64 {
	all := map[string]uint64{}
	s.learner.Outcomes(func(name string, n uint64) {
		if n > 0 {
			all[name] = n
		}
	})
	return all
}

func open(t testing.TB, m *event.Model) *scoring.Scorer {
	t.Helper()
	file, err := m.File()
	if err != nil {
		t.Fatal(err)
	}
	s, err := scoring.Open(file, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLearnerApproachesTheOracle: progressive validation of the newest examples is near that of the probabilities that made the
// labels, and the candidate, opened as an edge does, scores new players as well.
func TestLearnerApproachesTheOracle(t *testing.T) {
	records, truth, y := examples(1, 12_000)
	s := newStage(t, LearnerConfig{Every: 4000, EveryMS: 1000 * day})
	for i := 0; i < len(records); i += 500 {
		s.turn(false, records[i:i+500]...)
	}
	if got, want := s.fates(), map[string]uint64{"kept": 500, "learned": 12_000, "candidate": 3}; !maps.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	last := open(t, &s.models[2])
	a := last.Artefact()
	oracle, err := churn.Evaluate(truth[10_000:], y[10_000:], 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("progressive over the last 2,000: log loss %.4f, base %.4f, AUC %.4f, slope %.3f; oracle %.4f, AUC %.4f", a.Metrics.LogLoss, a.Metrics.BaseLogLoss, a.Metrics.AUC, a.Metrics.Slope, oracle.LogLoss, oracle.AUC)
	if a.Metrics.Rows != 2000 || a.Metrics.LogLoss > oracle.LogLoss+0.015 || a.Metrics.AUC < oracle.AUC-0.015 || math.Abs(a.Metrics.Slope-1) > 0.2 {
		t.Errorf("metrics %+v, the oracle's %+v", a.Metrics, oracle)
	}
	if a.Kind != "ftrl" || a.Training.Updates != 12_000 || a.Training.EmbargoMS != late || a.Training.HorizonMS != 14*day || !strings.HasPrefix(a.Version, "churn-20260324T") {
		t.Errorf("%s %s: %+v", a.Kind, a.Version, a.Training)
	}
	fresh := world{rand.New(rand.NewPCG(74, 1))}
	scratch := make([]float64, last.Inputs())
	var p, q, labels []float64
	for i := range 4000 {
		e, truth := fresh.example(i)
		feature.Player.FromStream(e.Vector)
		v, err := last.Score(e.Vector, scratch)
		if err != nil {
			t.Fatal(err)
		}
		p, q, labels = append(p, v), append(q, truth), append(labels, label(e.Churned))
	}
	got, _ := churn.Evaluate(p, labels, 10)
	best, _ := churn.Evaluate(q, labels, 10)
	if got.LogLoss > best.LogLoss+0.015 {
		t.Errorf("new players: log loss %.4f, the oracle's %.4f", got.LogLoss, best.LogLoss)
	}
}

// TestReplaysTeachNothing: transactions repeated after aborts, restarts at any time and the same examples once more, as
// from a first stage that was rebuilt, end in the same state and have published the same.
func TestReplaysTeachNothing(t *testing.T) {
	records, _, _ := examples(2, 3000)
	cfg := LearnerConfig{WarmUp: 200, Keep: 300, Every: 700, WindowMS: 6 * hour}
	run := func(seed uint64, rough bool) *stage {
		random := rand.New(rand.NewPCG(75, seed))
		s := newStage(t, cfg)
		for i := 0; i < len(records); i += 100 {
			s.turn(rough && random.IntN(3) == 0, records[i:i+100]...)
			if rough && random.IntN(3) == 0 {
				s.restart()
			}
			if from := i - random.IntN(1000); rough && from >= 0 {
				before := len(s.out)
				s.turn(false, records[from:i+100]...)
				if len(s.out) != before {
					t.Fatalf("what was learned from before published %s", s.out[before:])
				}
			}
		}
		return s
	}
	want := run(0, false)
	if len(want.models) < 4 || len(want.windows) < 20 {
		t.Fatalf("%d candidates and %d estimates: too few to compare", len(want.models), len(want.windows))
	}
	for seed := range uint64(5) {
		got := run(seed, true)
		if !slices.Equal(got.out, want.out) {
			t.Fatalf("seed %d: published\n%.2000s\ninstead of\n%.2000s", seed, got.out, want.out)
		}
		if !maps.EqualFunc(got.log, want.log, bytes.Equal) {
			t.Fatalf("seed %d: another state", seed)
		}
	}
}

// TestWindowsSayWhatWasPredicted: the published validation is that of the probabilities, by window.
func TestWindowsSayWhatWasPredicted(t *testing.T) {
	records, truth, y := examples(3, 1000)
	s := newStage(t, LearnerConfig{WindowMS: 5 * hour})
	s.turn(false, records...)
	w := s.windows[fmt.Sprintf("model:churn|model_log_loss|by=champion %d", s.first(t))]
	from, to := -1, 0
	for i := range records {
		if end := start + int64(i)*minute + late + 14*day; end >= w.From && end < w.To {
			if from < 0 {
				from = i
			}
			to = i + 1
		}
	}
	want, err := churn.Evaluate(truth[from:to], y[from:to], 10)
	if err != nil {
		t.Fatal(err)
	}
	brier := s.windows[fmt.Sprintf("model:churn|model_brier|by=champion %d", w.From)]
	line := s.windows[fmt.Sprintf("model:churn|model_calibration|by=champion %d", w.From)]
	mean := 0.0
	for i := from; i < to; i++ {
		mean += (truth[i] - y[i]) / float64(to-from)
	}
	if !w.Enough || w.N != uint64(to-from) || math.Abs(w.Value-want.LogLoss) > 1e-9 || math.Abs(brier.Value-want.Brier) > 1e-9 ||
		math.Abs(line.Value-100*mean) > 1e-9 || !(line.Low < line.Value && line.Value < line.High) || w.Numerator != uint64(want.Positives) {
		t.Errorf("%+v\n%+v\n%+v\nwant %+v and %v", w, brier, line, want, 100*mean)
	}
	if shadow := s.windows[fmt.Sprintf("model:churn|model_log_loss|by=shadow %d", w.From)]; math.Abs(shadow.Value-math.Ln2) > 1e-9 {
		t.Errorf("a shadow that says a half has log loss %v", shadow.Value)
	}
}

// first is the beginning of the second window: the first one is not whole.
func (s *stage) first(t *testing.T) int64 {
	var from []int64
	for _, w := range s.windows {
		from = append(from, w.From)
	}
	slices.Sort(from)
	if from = slices.Compact(from); len(from) < 2 {
		t.Fatal("too few windows")
	}
	return from[1]
}

// TestExamplesThatAreNotLearnedFrom counts each by its name; none of them leaves a trace in the model.
func TestExamplesThatAreNotLearnedFrom(t *testing.T) {
	w := world{rand.New(rand.NewPCG(76, 1))}
	made := func(i int, change func(*event.Example)) event.Record {
		e, _ := w.example(i)
		change(&e)
		return recordOf(e)
	}
	s := newStage(t, LearnerConfig{WarmUp: 2})
	s.turn(false,
		made(0, func(*event.Example) {}),
		made(1, func(e *event.Example) { e.Model = "ltv" }),
		made(2, func(e *event.Example) { e.FeatureHash = "another" }),
		made(3, func(e *event.Example) { e.Vector = e.Vector[1:] }),
		made(4, func(e *event.Example) { e.Vector[0] = 1e300 }), // it would drown the scale in the warm-up
		made(5, func(e *event.Example) {}), made(6, func(e *event.Example) {}),
	)
	want := map[string]uint64{"kept": 2, "learned": 3, "other_model": 1, "feature_hash": 2, "not_finite": 1}
	if got := s.fates(); !maps.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	records, _, _ := examples(6, 1)
	for _, value := range []string{"{", `{"model":"churn"}`, strings.Replace(string(records[0].Value), "[0,", "[null,", 1), strings.Replace(string(records[0].Value), "[0,", "[1e999,", 1)} {
		if err := s.learner.Apply(&event.Record{Kind: event.KindExample, Value: []byte(value)}); err == nil {
			t.Errorf("%s is accepted", value)
		}
	}
	if err := s.learner.Apply(&event.Record{Kind: event.KindVelocity, Value: []byte("{")}); err != nil {
		t.Errorf("another kind: %v", err)
	}
	for _, cfg := range []LearnerConfig{{Alpha: -1}, {Models: []string{""}}, {Models: []string{"a", "a"}}, {WarmUp: 1}, {WarmUp: 10, Keep: 5}, {EveryMS: -1}, {WindowMS: -1}} {
		if _, err := NewLearner(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// TestAnotherFeatureSetBeginsAnew: what was learned about other features is not carried over.
func TestAnotherFeatureSetBeginsAnew(t *testing.T) {
	records, _, _ := examples(4, 20)
	s := newStage(t, LearnerConfig{WarmUp: 5})
	s.turn(false, records[:10]...)
	m, _ := s.learner.models.Put("churn")
	m.hash = "of an earlier version"
	s.turn(false, records[10])
	if m := s.learner.models.Get("churn"); m.examples != 1 || m.updates != 0 || m.online != nil || s.fates()["reset"] != 1 {
		t.Errorf("%+v, %v", m, s.fates())
	}
	s.turn(false, records[:10]...)
	if got := s.fates()["duplicate_example"]; got != 10 {
		t.Errorf("%d of 10 known examples are duplicates", got)
	}
}

// BenchmarkLearner is one example with its share of a transaction of 100, decoding included.
func BenchmarkLearner(b *testing.B) {
	records, _, _ := examples(5, 20_000)
	s := newStage(b, LearnerConfig{Every: 1 << 40, EveryMS: 1 << 50})
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if n++; n%len(records) == 0 {
			b.StopTimer()
			s = newStage(b, s.cfg)
			b.StartTimer()
		}
		s.rollup.Process(records[n%len(records)])
		if n%100 == 0 {
			s.rollup.Flush(start, []bool{true})
			s.rollup.Changes(func(string, []byte) {})
			s.rollup.Commit()
		}
	}
}
