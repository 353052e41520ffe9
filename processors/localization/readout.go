package localization

import (
	"fmt"
	"math"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/slo"
	"github.com/droplift/droplift/models/stats"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// publish publishes the estimates of one language.
func (o *Objectives) publish(id string, drop *event.Drop, w *watch, language string, out *processors.Output) {
	c := o.cells.Get(o.cellKey(id, language))
	if c == nil {
		return
	}
	t := c.all()
	expected, good := t.sums[sumExpected], t.sums[sumGood]
	if expected == 0 {
		return
	}
	e := &o.estimate
	begin := func(metric, unit string, n, numerator uint64) {
		*e = event.Estimate{
			DropID: id, Metric: metric, Dimensions: append(e.Dimensions[:0], event.Dimension{Name: "language", Value: language}),
			Revision: w.revision, AsOf: w.published, From: min(drop.StartMS, c.first), To: max(w.published+1, drop.StartMS+1),
			Enough: n >= o.cfg.MinValid, Unit: unit, N: n, Numerator: numerator, Confidence: 0.95, P: -1, SampleRate: 1, Details: e.Details[:0],
		}
		if !e.Enough {
			e.Why = fmt.Sprintf("under %d cues", o.cfg.MinValid)
		}
		if len(c.open) == 0 && w.published >= drop.EndMS {
			e.Maturity = event.Final
		}
	}
	detail := func(name string, value float64) {
		e.Details = append(e.Details, event.Detail{Name: name, Value: value})
	}
	emit := func() {
		o.key = wire.AppendPart(o.key[:0], id)
		o.key = wire.AppendPart(o.key, e.Metric)
		o.key = append(o.key, language...)
		out.Emit(event.KindEstimate, wire.Alias(o.key), e.AppendJSON)
	}

	begin("cue_good_ratio", "ratio", expected, good)
	e.Value = float64(good) / float64(expected)
	e.Low, e.High = stats.Wilson(good, expected, stats.Z95)
	detail("target", o.cfg.Target)
	for i, name := range sumNames {
		if i != sumExpected && i != sumGood && i != sumZero {
			detail(name, float64(t.sums[i]))
		}
	}
	emit()

	bad := expected - good
	remaining, _ := slo.Remaining(bad, expected, o.cfg.Target)
	low, high := e.Low, e.High
	elapsed := min(max(w.published+1-drop.StartMS, 1), drop.EndMS-drop.StartMS)
	period := drop.EndMS - drop.StartMS
	spent, _ := slo.Spent(bad, expected, o.cfg.Target, elapsed, period)
	begin("cue_budget_remaining", "ratio", expected, good)
	e.Value, e.Low, e.High = remaining, 1-(1-low)/(1-o.cfg.Target), 1-(1-high)/(1-o.cfg.Target)
	detail("target", o.cfg.Target)
	detail("spent_of_drop", spent)
	lasts := -1.
	if burn, known := o.burning(id, drop, w, language); known {
		detail("burn", burn)
		if left := slo.TimeToExhaustion(spent, burn, period); !math.IsInf(left, 1) {
			lasts = left
		}
	}
	detail("exhausted_in_ms", lasts) // −1: not at this rate
	emit()

	latency := newSketch()
	latency.add(uint32(t.sums[sumZero]), t.latencies)
	begin("cue_latency_p95", "ms", expected, 0)
	e.Value, e.Low, e.High = latency.quantile(o.mapping, 0.95)
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		value, _, _ := latency.quantile(o.mapping, q.q)
		detail(q.name, value)
	}
	detail("mean", float64(t.latencySum)/float64(expected))
	detail("objective", float64(o.objective(drop)))
	if c.same {
		detail("mean_objective", float64(o.cfg.MeanMS))
	}
	emit()

	if n := t.sums[sumTranslated]; n > 0 {
		translation := newSketch()
		translation.add(0, t.translations)
		begin("cue_translation_p95", "ms", n, 0)
		e.Value, e.Low, e.High = translation.quantile(o.mapping, 0.95)
		detail("objective", float64(o.cfg.TranslationMS))
		emit()
	}
}

// objective is the latency objective of a drop.
func (o *Objectives) objective(drop *event.Drop) int64 {
	if drop.CueLatencyMS > 0 {
		return drop.CueLatencyMS
	}
	return o.cfg.LatencyMS
}

// burning is the burn rate of the fastest window with enough cues.
func (o *Objectives) burning(id string, drop *event.Drop, w *watch, language string) (burn float64, known bool) {
	if w.judged == 0 {
		return 0, false
	}
	windows := slo.FitDrop(o.cfg.Rules, drop.EndMS-drop.StartMS)
	readings, _ := o.read(id, language, windows, w.judged)
	v := slo.Judge(windows, readings, o.cfg.Target, o.cfg.MinValid)
	return v.Long, v.Judged > 0
}
