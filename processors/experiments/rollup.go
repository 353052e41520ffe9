package experiments

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// RollupConfig of a Rollup. The zero value means the documented defaults.
type RollupConfig struct {
	// EveryMS of event time passes between two looks at a drop (default 60,000).
	EveryMS int64
	// Alpha is the probability of any false rejection within a drop (default 0.05).
	Alpha float64
	// RatioAlarm is the p-value below which arm sizes raise the alarm (default 0.001, DOMAIN 6).
	RatioAlarm float64
	// BurnIn is the number of conversions that both arms need before their effect is shown (default 100, DOMAIN 6),
	// RefundBurnIn the number of refunded players for the guardrail, which would come too late with as many (default 30).
	BurnIn, RefundBurnIn uint64
	// MisassignedShare of the exposed above which the effect is hidden (default 0.01).
	MisassignedShare float64
}

func (c RollupConfig) withDefaults() RollupConfig {
	if c.EveryMS == 0 {
		c.EveryMS = 60_000
	}
	for _, d := range []struct {
		value     *float64
		otherwise float64
	}{{&c.Alpha, 0.05}, {&c.RatioAlarm, experiment.RatioAlarm}, {&c.MisassignedShare, 0.01}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if c.BurnIn == 0 {
		c.BurnIn = experiment.BurnIn
	}
	if c.RefundBurnIn == 0 {
		c.RefundBurnIn = 30
	}
	return c
}

// Validate reports every problem at once.
func (c RollupConfig) Validate() error {
	var problems []error
	if c.EveryMS < 0 {
		problems = append(problems, fmt.Errorf("experiments: %d ms between looks are negative", c.EveryMS))
	}
	for _, share := range []struct {
		name  string
		value float64
	}{{"alpha", c.Alpha}, {"ratio alarm", c.RatioAlarm}, {"misassigned share", c.MisassignedShare}} {
		if !(share.value >= 0 && share.value < 1) {
			problems = append(problems, fmt.Errorf("experiments: %s %v is not in [0, 1)", share.name, share.value))
		}
	}
	return errors.Join(problems...)
}

// Rollup adds up the arms of a drop over all partitions and, at each look, publishes for every experiment and
// language
//
//	experiment_srm     whether the arms have the sizes that the catalogue promises: always-valid, and chi-square beside it
//	experiment_effect  each variant's conversion rate less the control's, which is the catalogue's first variant
//	experiment_refund  the same of players who returned their purchase, per exposed player: the guardrail
//
// in percentage points, with intervals and p-values that hold however often one looks. Holm's adjustment is over all effects of
// the drop. An experiment of all languages is also read over all of them together, as language "*". While an alarm
// is up (another sample ratio, a changed design, misassigned players) and until burn-in, effects are not told.
// Decisions of topic experiment say when that begins, and when an effect is significant. It implements processors.RollupRule.
type Rollup struct {
	cfg    RollupConfig
	plans  plans
	parts  *processors.Table[part]
	boards *processors.Table[board]
	names  *wire.Names
	// alarms counts decisions by what was chosen.
	alarms map[string]uint64

	decoder  event.Decoder
	partial  event.ExperimentArm
	key      []byte
	estimate event.Estimate
	decision event.Decision
}

// NewRollup makes the rule of one partition of the rollup stage. catalogue holds every drop that partials name.
func NewRollup(cfg RollupConfig, catalogue processors.Catalogue) (*Rollup, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	n := &wire.Names{}
	r := &Rollup{
		cfg: cfg, plans: plans{catalogue: catalogue}, names: n, alarms: map[string]uint64{},
		parts:  processors.NewTable("part", processors.Codec[part](partCodec{})),
		boards: processors.NewTable("board", processors.Codec[board](boardCodec{everyMS: cfg.EveryMS, names: n})),
	}
	return r, nil
}

// Name implements processors.RollupRule.
func (r *Rollup) Name() string { return "experiments" }

// Tables implements processors.RollupRule.
func (r *Rollup) Tables() []processors.Staged { return []processors.Staged{r.parts, r.boards} }

// Outcomes implements processors.Counting: the decisions made.
func (r *Rollup) Outcomes(each func(outcome string, total uint64)) {
	for _, chosen := range []string{chosenChanged, chosenRatio, chosenMisassigned, chosenSignificant, chosenRefunds} {
		each(chosen, r.alarms[chosen])
	}
}

// Apply implements processors.RollupRule.
func (r *Rollup) Apply(record *event.Record) *event.Error {
	if record.Kind != event.KindExperimentArm {
		return nil
	}
	v := &r.partial
	if err := r.decoder.ExperimentArm(record.Value, v); err != nil {
		return err
	}
	design, err := strconv.ParseUint(v.Design, 16, 64)
	if err != nil {
		return &event.Error{Reason: event.ReasonMalformed, Field: "design"}
	}
	r.key = wire.AppendString(r.key[:0], v.DropID)
	r.key = wire.AppendString(r.key, v.ExperimentID)
	r.key = wire.AppendString(r.key, v.Language)
	r.key = wire.AppendString(r.key, v.Variant)
	r.key = strconv.AppendInt(r.key, int64(v.Partition), 10)
	// A partition's partials come in the order of their revisions, so the newest is the last.
	p, fresh := r.parts.Put(wire.Alias(r.key))
	was := *p
	*p = part{
		counts: counts{v.Exposed, v.Converted, v.Refunded, v.Crossed, v.Misassigned},
		final:  v.Maturity == event.Final, refundsFinal: v.RefundMaturity == event.Final,
	}
	b, _ := r.boards.Put(v.DropID)
	b.fold(v, design, &was, p, fresh, r.names)
	if p.refundsFinal {
		r.parts.Delete(wire.Alias(r.key)) // it stays in the board's sums for good
	}
	return nil
}

// Flush implements processors.RollupRule.
func (r *Rollup) Flush(t processors.RollupTimes, out *processors.Output) {
	if t.Watermark <= 0 {
		return
	}
	passed := t.Watermark
	if t.Quiet {
		passed = math.MaxInt64 // nothing more is coming: what has changed is published
	}
	r.boards.Due(passed, func(key string, b *board) {
		if !b.due && !b.dirty && t.Watermark < b.end {
			return
		}
		if p := r.plans.of(key); p != nil {
			b, _ := r.boards.Put(key)
			r.look(key, b, p, t.Watermark, out)
		}
	})
}
