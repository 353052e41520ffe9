package learning

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// LearnerConfig of a Learner. Zero values mean the documented defaults.
type LearnerConfig struct {
	// Models whose examples are learned from (default churn). A model's name comes from outside; others are counted.
	Models []string
	// Alpha, Beta, L1 and L2 are FTRL's (defaults 0.1, 1, 0.001, 0.1); a negative L1 or L2 is none.
	Alpha, Beta, L1, L2 float64
	// WarmUp is the number of examples (default 500) that fix means, scales and logarithms before learning begins with them.
	WarmUp int
	// Keep is the number of newest examples (default 2,000) that a candidate's metrics are from. Not below WarmUp.
	Keep int
	// Every examples (default 1,000), and in EveryMS of event time (default 1 day), a candidate is published, whichever comes first.
	Every   uint64
	EveryMS int64
	// WindowMS of event time (default 1 day), by the label's end, is what one published validation is about.
	WindowMS int64
}

func (c LearnerConfig) withDefaults() LearnerConfig {
	if len(c.Models) == 0 {
		c.Models = []string{"churn"}
	}
	for _, d := range []struct {
		value     *float64
		otherwise float64
	}{{&c.Alpha, 0.1}, {&c.Beta, 1}, {&c.L1, 0.001}, {&c.L2, 0.1}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	c.L1, c.L2 = max(0, c.L1), max(0, c.L2)
	if c.WarmUp == 0 {
		c.WarmUp = 500
	}
	if c.Keep == 0 {
		c.Keep = max(2000, c.WarmUp)
	}
	if c.Every == 0 {
		c.Every = 1000
	}
	if c.EveryMS == 0 {
		c.EveryMS = day
	}
	if c.WindowMS == 0 {
		c.WindowMS = day
	}
	return c
}

// Validate reports every problem at once.
func (c LearnerConfig) Validate() error {
	var problems []error
	c = c.withDefaults()
	if _, err := churn.NewFTRL(1, c.Alpha, c.Beta, c.L1, c.L2); err != nil {
		problems = append(problems, fmt.Errorf("learning: %w", err))
	}
	for i, name := range c.Models {
		if name == "" || slices.Contains(c.Models[:i], name) {
			problems = append(problems, fmt.Errorf("learning: the model %q is empty or named twice", name))
		}
	}
	if c.WarmUp < 2 || c.Keep < c.WarmUp {
		problems = append(problems, fmt.Errorf("learning: a warm-up of %d examples of which %d are kept", c.WarmUp, c.Keep))
	}
	if c.EveryMS < 0 || c.WindowMS < 0 {
		problems = append(problems, fmt.Errorf("learning: candidates every %d ms, validated over %d ms: one is negative", c.EveryMS, c.WindowMS))
	}
	return errors.Join(problems...)
}

// largest is beyond what any feature reaches (the square of 90 days in seconds is 6e13): one such value in the warm-up
// would drown its feature's scale for good.
const largest = 1e15

// fate is what became of an example.
type fate uint8

const (
	fateLearned fate = iota
	fateKept
	fateDuplicate
	fateOtherModel
	fateOtherFeatures
	fateNotFinite
	fateReset
	fateCandidate
	fateUnsealed
	numFates
)

var fateNames = [numFates]string{
	fateLearned:       "learned",
	fateKept:          "kept",              // for the warm-up
	fateDuplicate:     "duplicate_example", // learned from before
	fateOtherModel:    "other_model",       // none of LearnerConfig.Models
	fateOtherFeatures: "feature_hash",      // a vector of another feature set, or of another length
	fateNotFinite:     "not_finite",        // NaN where none may be, or beyond largest
	fateReset:         "reset",             // the feature set changed: a model began anew
	fateCandidate:     "candidate",         // published
	fateUnsealed:      "candidate_refused", // a candidate that does not prove itself is not published
}

// Learner is the second stage: one online logistic regression per model, over the examples in the order of
// the log. State, offsets and outputs commit together, so a repeated transaction learns nothing twice; an example
// that reaches the log twice, because the first stage was rebuilt, is known by its place in its partition's order.
//
// Features are prepared as a batch model prepares them, by means, scales and logarithms that the first
// WarmUp examples fix for good: weights keep their meaning, and a drift of the features is followed by the weights. The
// warm-up's examples are then learned from, in their order.
//
// Every example is scored before it is learned from (progressive validation). For each window of WindowMS and for the
// learner, the champion and the shadow, by the dimension "by", is published, as estimates about drop_id model:<name>:
//
//	model_log_loss     mean log loss in nats, base_log_loss beside it: that of saying the base rate so far
//	model_brier        mean squared error
//	model_calibration  mean probability less the observed rate, in percentage points; details: n, mean_p and rate of the tenths of p
//
// with 95 % intervals for their means. It implements processors.RollupRule and processors.Counting.
type Learner struct {
	cfg   LearnerConfig
	names *wire.Names

	models *processors.Table[model]
	rows   *processors.Table[row]
	// closed holds the windows that the transaction closed; Flush publishes and empties it.
	closed *processors.Table[window]
	fates  [numFates]uint64

	decoder  event.Decoder
	example  event.Example
	estimate event.Estimate
	x        []float64
	key      []byte
}

// NewLearner makes the rule of one partition of the rollup stage.
func NewLearner(cfg LearnerConfig) (*Learner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &wire.Names{}
	return &Learner{
		cfg: cfg.withDefaults(), names: n,
		models: processors.NewTable("learning models", processors.Codec[model](modelCodec{names: n})),
		rows:   processors.NewTable("learning rows", processors.Codec[row](rowCodec{})),
		closed: processors.NewTable("learning windows", processors.Codec[window](windowCodec{})),
	}, nil
}

// Name implements processors.RollupRule.
func (l *Learner) Name() string { return "learner" }

// Tables implements processors.RollupRule.
func (l *Learner) Tables() []processors.Staged {
	return []processors.Staged{l.models, l.rows, l.closed}
}

// Outcomes implements processors.Counting: what became of examples, and of candidates.
func (l *Learner) Outcomes(each func(outcome string, total uint64)) {
	for f, name := range fateNames {
		each(name, l.fates[f])
	}
}

// Apply implements processors.RollupRule.
func (l *Learner) Apply(r *event.Record) *event.Error {
	if r.Kind != event.KindExample {
		return nil
	}
	if err := l.decoder.Example(r.Value, &l.example); err != nil {
		return err
	}
	l.fates[l.learn(&l.example)]++
	return nil
}

func (l *Learner) learn(e *event.Example) fate {
	if !slices.Contains(l.cfg.Models, e.Model) {
		return fateOtherModel
	}
	mark := mark{partition: e.Partition, to: e.LabelTo, at: e.ScoredAt, player: e.PlayerID}
	if m := l.models.Get(e.Model); m != nil && m.passed(&mark) {
		return fateDuplicate
	}
	if e.FeatureHash != feature.Player.Hash() || len(e.Vector) != len(feature.Player.Features) {
		return fateOtherFeatures
	}
	l.x = append(l.x[:0], e.Vector...)
	feature.Player.FromStream(l.x)
	if feature.Player.Check(l.x) != nil || slices.ContainsFunc(l.x, func(v float64) bool { return math.Abs(v) > largest }) {
		return fateNotFinite
	}
	m, created := l.models.Put(e.Model)
	if created || m.hash != e.FeatureHash {
		if !created {
			l.fates[fateReset]++
		}
		m.begin(l.names.Text(e.FeatureHash))
	}
	mark.player = string([]byte(e.PlayerID)) // it aliases the record
	m.pass(mark)
	l.roll(e, m)

	now := row{number: m.examples, at: e.ScoredAt, churned: e.Churned, vector: l.x}
	became := fateKept
	p := -1.0
	if m.online != nil {
		q, err := m.online.Update(l.x, label(e.Churned), 1)
		if err != nil {
			return fateNotFinite
		}
		p, became = q, fateLearned
		m.updates++
	}
	now.p = p
	m.count(e, p)
	stored, _ := l.rows.Put(l.rowKey(e.Model, m.examples))
	now.vector = append(stored.vector[:0], l.x...)
	*stored = now
	m.examples++
	if m.online == nil && m.examples >= uint64(l.cfg.WarmUp) {
		l.warmUp(e.Model, m)
	}
	if m.online != nil && (m.examples-m.candidateAfter >= l.cfg.Every || m.newest-m.candidateAt >= l.cfg.EveryMS) {
		m.due = true
	}
	return became
}

func label(churned bool) float64 {
	if churned {
		return 1
	}
	return 0
}

// roll closes the window that e is past.
func (l *Learner) roll(e *event.Example, m *model) {
	start := e.LabelTo - e.LabelTo%l.cfg.WindowMS
	w := &m.window
	if w.to > 0 && start >= w.to {
		l.key = wire.AppendString(l.key[:0], e.Model)
		l.key = fmt.Appendf(l.key, "%d", w.from)
		m.revision++
		closed, _ := l.closed.Put(wire.Alias(l.key))
		*closed = *w
		closed.model, closed.revision = l.names.Text(e.Model), m.revision
		w.to = 0
	}
	if w.to == 0 {
		*w = window{from: start, to: start + l.cfg.WindowMS}
	}
}

func (l *Learner) rowKey(name string, number uint64) string {
	l.key = wire.AppendString(l.key[:0], name)
	l.key = fmt.Appendf(l.key, "%d", number%uint64(l.cfg.Keep))
	return wire.Alias(l.key)
}

// newest returns the kept examples of a model in their order. Their vectors are the table's.
func (l *Learner) newest(name string, m *model) []row {
	from := m.examples - min(m.examples, uint64(l.cfg.Keep))
	rows := make([]row, 0, m.examples-from)
	for n := from; n < m.examples; n++ {
		// After a change of Keep a place may hold another example.
		if r := l.rows.Get(l.rowKey(name, n)); r != nil && r.number == n {
			rows = append(rows, *r)
		}
	}
	return rows
}

// warmUp fixes how features are prepared, and learns from the examples that it was fixed by.
func (l *Learner) warmUp(name string, m *model) {
	rows := l.newest(name, m)
	if len(rows) < l.cfg.WarmUp {
		return
	}
	data := churn.Data{Names: feature.Player.Names()}
	for i := range rows {
		data.X = append(data.X, rows[i].vector)
	}
	base := churn.Standardise(data, nil)
	ftrl, err := churn.NewFTRL(2*len(data.Names)+1, l.cfg.Alpha, l.cfg.Beta, l.cfg.L1, l.cfg.L2)
	if err != nil {
		return // the configuration was valid
	}
	online, err := churn.NewOnline(base, ftrl)
	if err != nil {
		return
	}
	m.online = online
	for i := range rows {
		p, err := online.Update(rows[i].vector, label(rows[i].churned), 1)
		if err != nil {
			l.fates[fateNotFinite]++
			continue
		}
		r, _ := l.rows.Put(l.rowKey(name, rows[i].number))
		r.p = p
		m.updates++
		l.fates[fateLearned]++
	}
}

// Flush implements processors.RollupRule.
func (l *Learner) Flush(t processors.RollupTimes, out *processors.Output) {
	l.closed.Changed(func(key string, w *window) {
		l.publishWindow(w, out)
		l.closed.Delete(key)
	})
	l.models.Changed(func(name string, m *model) {
		if m.due {
			l.publishCandidate(name, m, t.Now, out)
		}
	})
}
