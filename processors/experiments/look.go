package experiments

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// The decisions of topic experiment. About a group: why its effects are hidden, or that they are not any more. About a
// variant: that its effect, or that of refunds, is significant, or not any more since the family has grown.
const (
	topicExperiment   = "experiment"
	chosenChanged     = "changed"
	chosenRatio       = "srm_alarm"
	chosenMisassigned = "misassigned"
	chosenClear       = "clear"
	chosenSignificant = "significant"
	chosenUndecided   = "undecided"
	chosenRefunds     = "refunds_up"
	chosenRefundsOpen = "refunds_undecided"
)

// wording of grade randomized_itt (DOMAIN 4.1).
const wording = "caused, per offered player"

// reading is one group at one look.
type reading struct {
	*group
	of       *planned
	shares   []float64
	observed []uint64
	// arms are the totals in the catalogue's order: the control first.
	arms []*total
	// n, crossed and misassigned are sums over the arms.
	n, crossed, misassigned uint64
	chi2, chi2P             float64
	df                      int
	// alarm is why effects are hidden, empty when they are not.
	alarm       string
	comparisons []comparison
}

// comparison is one variant against the control.
type comparison struct {
	*total
	delta, variance float64
	enough          bool
	holm            float64

	refundDelta, refundVariance float64
	refundsEnough               bool
}

// look reads the drop's experiments as they are now, publishes what they say and decides.
func (r *Rollup) look(drop string, b *board, p *plan, watermark int64, out *processors.Output) {
	final := b.open == 0 && watermark >= p.drop.EndMS
	b.revision++
	b.last, b.end, b.due, b.dirty = watermark, p.drop.EndMS, false, false
	r.pool(b, p)
	var readings []reading
	var gone []*group
	for i := range b.groups {
		if rd, ok := r.read(&b.groups[i], p, final); ok {
			readings = append(readings, rd)
		} else {
			gone = append(gone, &b.groups[i])
		}
	}
	hide(readings)
	var family []float64
	for i := range readings {
		for _, c := range readings[i].comparisons {
			family = append(family, c.effect.P())
		}
	}
	adjusted := experiment.Holm(family)
	head := event.Estimate{
		DropID: drop, Revision: b.revision, AsOf: watermark, From: p.drop.StartMS, To: p.drop.EndMS,
	}
	for i := range readings {
		rd := &readings[i]
		for k := range rd.comparisons {
			rd.comparisons[k].holm, adjusted = adjusted[0], adjusted[1:]
		}
		r.decideGroup(drop, rd, watermark, out)
		head.SampleRate = rd.sampleRate
		head.Maturity = processors.Maturity(final)
		r.publishRatio(head, rd, out)
		for k := range rd.comparisons {
			c := &rd.comparisons[k]
			r.decideArm(drop, rd, c, watermark, out)
			head.Maturity = processors.Maturity(final)
			r.publishEffect(head, rd, c, len(family), out)
			head.Maturity = processors.Maturity(final && b.openRefunds == 0)
			r.publishRefunds(head, rd, c, out)
		}
		head.Maturity = processors.Maturity(final)
		r.retract(head, rd.group, rd.comparisons, out)
	}
	for _, g := range gone {
		head.SampleRate, head.Maturity = g.sampleRate, processors.Maturity(final)
		r.retract(head, g, nil, out)
		if g.chosen != chosenChanged {
			r.decide(out, event.Decision{DropID: drop, Subject: g.subject(), At: watermark, Chosen: chosenChanged, Previous: g.chosen,
				Reason: "the catalogue does not hold the experiment any more as it was"})
			g.chosen = chosenChanged
		}
	}
}

// retract takes back what was told of arms that the catalogue compares no more.
func (r *Rollup) retract(e event.Estimate, g *group, compared []comparison, out *processors.Output) {
	for i := range g.arms {
		a := &g.arms[i]
		if slices.ContainsFunc(compared, func(c comparison) bool { return c.variant == a.variant }) {
			continue
		}
		e.Unit, e.P, e.Why = "pp", -1, whyChanged
		if a.effect.Looks > 0 {
			e.Metric = "experiment_effect"
			r.publish(e, g, a.variant, out)
		}
		if a.refunds.Looks > 0 {
			e.Metric = "experiment_refund"
			r.publish(e, g, a.variant, out)
		}
	}
}

// pool adds up the languages of every experiment that is for all of them and was seen in two or more.
func (r *Rollup) pool(b *board, p *plan) {
	for _, e := range p.experiments {
		if e.Language != "" {
			continue
		}
		languages := 0
		for i := range b.groups {
			if g := &b.groups[i]; g.experiment == e.ID && g.language != allLanguages {
				languages++
			}
		}
		if languages < 2 {
			continue
		}
		all := b.group(e.ID, allLanguages, r.names)
		for i := range all.arms {
			all.arms[i].counts = sums{}
		}
		for i := range b.groups {
			g := &b.groups[i]
			if g.experiment != e.ID || g.language == allLanguages {
				continue
			}
			if all.design == 0 {
				all.design = g.design
			}
			all.sampleRate = min(all.sampleRate, g.sampleRate)
			for k := range g.arms {
				all.arm(g.arms[k].variant, r.names).counts.add(g.arms[k].counts)
			}
		}
	}
}

// read looks at one group. It is not ok for an experiment that the catalogue no longer holds as it was read before: with other
// variants there is no control to compare with, or no share to expect.
func (r *Rollup) read(g *group, p *plan, final bool) (rd reading, ok bool) {
	e := p.experiment(g.experiment)
	if e == nil || !e.sound {
		return rd, false
	}
	rd = reading{group: g, of: e}
	// Arms first, pointers then: making one moves the others.
	for _, v := range e.Variants {
		g.arm(v.Name, r.names)
	}
	for _, v := range e.Variants {
		a := g.arm(v.Name, r.names)
		rd.arms = append(rd.arms, a)
		rd.shares = append(rd.shares, float64(v.BPS))
		rd.observed = append(rd.observed, a.counts.exposed)
		rd.n += a.counts.exposed
		rd.crossed += a.counts.crossed
		rd.misassigned += a.counts.misassigned
	}
	g.ratio.Look(rd.observed, rd.shares)
	rd.chi2, rd.df, rd.chi2P = experiment.ChiSquare(rd.observed, rd.shares)
	switch {
	case g.changed || g.design != e.fingerprint:
		rd.alarm = chosenChanged
	case g.ratio.P() < r.cfg.RatioAlarm || final && rd.chi2P < r.cfg.RatioAlarm:
		// Chi-square has its one look when nothing changes any more.
		rd.alarm = chosenRatio
	case float64(rd.misassigned) > r.cfg.MisassignedShare*float64(rd.n):
		rd.alarm = chosenMisassigned
	}
	control := rd.arms[0].counts
	for _, a := range rd.arms[1:] {
		c := comparison{total: a,
			enough:        min(control.converted, a.counts.converted) >= r.cfg.BurnIn,
			refundsEnough: min(control.refunded, a.counts.refunded) >= r.cfg.RefundBurnIn,
		}
		c.delta, c.variance = experiment.Difference(
			experiment.Proportion(control.converted, control.exposed), experiment.Proportion(a.counts.converted, a.counts.exposed))
		c.refundDelta, c.refundVariance = experiment.Difference(
			experiment.Proportion(control.refunded, control.exposed), experiment.Proportion(a.counts.refunded, a.counts.exposed))
		if c.enough {
			a.effect.Look(c.delta, c.variance, e.EffectSD)
		}
		if c.refundsEnough {
			a.refunds.Look(c.refundDelta, c.refundVariance, e.EffectSD)
		}
		rd.comparisons = append(rd.comparisons, c)
	}
	return rd, true
}

// hide spreads a changed design over all languages of its experiment, whichever saw it.
func hide(readings []reading) {
	for i := range readings {
		if readings[i].alarm != chosenChanged {
			continue
		}
		for k := range readings {
			if readings[k].experiment == readings[i].experiment {
				readings[k].alarm = chosenChanged
				readings[k].changed = true
			}
		}
	}
}

const whyChanged = "the experiment's design changed after the first exposure"

// why says, for a person, what hides the effects.
func (rd *reading) why() string {
	switch rd.alarm {
	case chosenChanged:
		return whyChanged
	case chosenRatio:
		return "the arms do not have the sizes that the split promises"
	case chosenMisassigned:
		return "players are shown another variant than they are assigned"
	}
	return ""
}

func (g *group) subject() string { return g.experiment + "/" + cmp.Or(g.language, "-") }

func (r *Rollup) decideGroup(drop string, rd *reading, watermark int64, out *processors.Output) {
	chosen, reason := rd.alarm, rd.why()
	if chosen == "" {
		chosen, reason = chosenClear, "nothing speaks against telling the effect any more"
	}
	if chosen == cmp.Or(rd.chosen, chosenClear) {
		return
	}
	inputs := []event.Input{{Name: "srm_p", Value: rd.ratio.P()}, {Name: "chi2", Value: finite(rd.chi2)}, {Name: "chi2_p", Value: rd.chi2P},
		{Name: "exposed", Value: float64(rd.n)}, {Name: "misassigned", Value: float64(rd.misassigned)}, {Name: "crossed", Value: float64(rd.crossed)}}
	for i, v := range rd.of.Variants {
		inputs = append(inputs, event.Input{Name: "exposed:" + v.Name, Value: float64(rd.observed[i])})
	}
	r.decide(out, event.Decision{DropID: drop, Subject: rd.subject(), At: watermark, Chosen: chosen, Previous: rd.chosen, Reason: reason, Inputs: inputs})
	rd.chosen = chosen
}

func (r *Rollup) decideArm(drop string, rd *reading, c *comparison, watermark int64, out *processors.Output) {
	if rd.alarm != "" {
		return
	}
	subject := rd.subject() + "/" + c.variant
	low, high := experiment.Interval(c.delta, c.variance, rd.of.EffectSD, r.cfg.Alpha)
	chosen, reason := chosenUndecided, "the effect is not significant any more among all that the drop compares"
	if c.enough && c.holm <= r.cfg.Alpha {
		chosen = chosenSignificant
		reason = fmt.Sprintf("%s, against %s: %+.2f pp of conversion, interval %+.2f to %+.2f (%s)",
			c.variant, rd.arms[0].variant, 100*c.delta, 100*low, 100*high, wording)
	}
	if chosen != cmp.Or(c.chosen, chosenUndecided) {
		r.decide(out, event.Decision{DropID: drop, Subject: subject, At: watermark, Chosen: chosen, Previous: c.chosen, Value: 100 * c.delta, Reason: reason,
			Inputs: []event.Input{{Name: "effect_pp", Value: 100 * c.delta}, {Name: "low_pp", Value: 100 * low}, {Name: "high_pp", Value: 100 * high},
				{Name: "p", Value: c.effect.P()}, {Name: "p_holm", Value: c.holm}, {Name: "alpha", Value: r.cfg.Alpha}}})
		c.total.chosen = chosen
	}
	chosen, reason = chosenRefundsOpen, "refunds do not differ significantly any more"
	if c.refundsEnough && c.refundDelta > 0 && c.refunds.P() <= r.cfg.Alpha {
		chosen = chosenRefunds
		reason = fmt.Sprintf("%s, against %s: %+.2f pp of the exposed return a purchase (%s)", c.variant, rd.arms[0].variant, 100*c.refundDelta, wording)
	}
	if chosen != cmp.Or(c.guarded, chosenRefundsOpen) {
		r.decide(out, event.Decision{DropID: drop, Subject: subject + "/refunds", At: watermark, Chosen: chosen, Previous: c.guarded, Value: 100 * c.refundDelta, Reason: reason,
			Inputs: []event.Input{{Name: "effect_pp", Value: 100 * c.refundDelta}, {Name: "p", Value: c.refunds.P()}, {Name: "alpha", Value: r.cfg.Alpha}}})
		c.total.guarded = chosen
	}
}

func (r *Rollup) decide(out *processors.Output, d event.Decision) {
	d.Topic = topicExperiment
	r.alarms[d.Chosen]++
	r.decision = d
	r.key = wire.AppendPart(r.key[:0], d.DropID)
	r.key = wire.AppendPart(r.key, d.Topic)
	r.key = wire.AppendPart(r.key, d.Subject)
	r.key = fmt.Append(r.key, d.At)
	out.Emit(event.KindDecision, wire.Alias(r.key), r.decision.AppendJSON)
}

func (r *Rollup) publishRatio(e event.Estimate, rd *reading, out *processors.Output) {
	e.Metric, e.Unit = "experiment_srm", "chi2"
	e.N, e.Enough, e.Why = rd.n, true, rd.why()
	e.Value = finite(rd.chi2)
	e.Low, e.High = e.Value, e.Value // a statistic, not an estimate with an interval
	e.P, e.AlwaysValid = rd.ratio.P(), true
	e.Details = []event.Detail{{Name: "chi2_p", Value: rd.chi2P}, {Name: "df", Value: float64(rd.df)},
		{Name: "crossed", Value: float64(rd.crossed)}, {Name: "misassigned", Value: float64(rd.misassigned)}, {Name: "alarm", Value: 0}}
	if rd.alarm != "" {
		e.Details[4].Value = 1
	}
	for i, v := range rd.of.Variants {
		e.Details = append(e.Details, event.Detail{Name: "exposed:" + v.Name, Value: float64(rd.observed[i])},
			event.Detail{Name: "bps:" + v.Name, Value: float64(v.BPS)})
	}
	r.publish(e, rd.group, "", out)
}

func (r *Rollup) publishEffect(e event.Estimate, rd *reading, c *comparison, family int, out *processors.Output) {
	control := rd.arms[0]
	e.Metric, e.Unit, e.Grade, e.Label = "experiment_effect", "pp", event.GradeRandomizedITT, wording
	e.N, e.Numerator = control.counts.exposed+c.counts.exposed, control.counts.converted+c.counts.converted
	e.AlwaysValid, e.Confidence, e.P = true, 1-r.cfg.Alpha, -1
	e.Details = []event.Detail{{Name: "control_n", Value: float64(control.counts.exposed)}, {Name: "variant_n", Value: float64(c.counts.exposed)},
		{Name: "srm_p", Value: rd.ratio.P()}}
	switch {
	case rd.alarm != "":
		e.Why = rd.why()
	case !c.enough:
		e.Why = fmt.Sprintf("fewer than %d conversions in an arm", r.cfg.BurnIn)
	default:
		e.Enough = true
		low, high := experiment.Interval(c.delta, c.variance, rd.of.EffectSD, r.cfg.Alpha)
		e.Value, e.Low, e.High, e.P = 100*c.delta, 100*low, 100*high, c.effect.P()
		a := experiment.PosteriorOf(control.counts.converted, control.counts.exposed)
		b := experiment.PosteriorOf(c.counts.converted, c.counts.exposed)
		e.Details = append(e.Details,
			event.Detail{Name: "control_conversions", Value: float64(control.counts.converted)},
			event.Detail{Name: "variant_conversions", Value: float64(c.counts.converted)},
			event.Detail{Name: "p_holm", Value: c.holm}, event.Detail{Name: "comparisons", Value: float64(family)},
			event.Detail{Name: "p_one_look", Value: experiment.Normal(c.delta, c.variance)},
			event.Detail{Name: "tau", Value: rd.of.EffectSD}, event.Detail{Name: "looks", Value: float64(c.effect.Looks)},
			event.Detail{Name: "better", Value: a.Exceeds(b)},
			event.Detail{Name: "loss_variant_pp", Value: 100 * a.Loss(b)}, event.Detail{Name: "loss_control_pp", Value: 100 * b.Loss(a)})
	}
	r.publish(e, rd.group, c.variant, out)
}

func (r *Rollup) publishRefunds(e event.Estimate, rd *reading, c *comparison, out *processors.Output) {
	control := rd.arms[0]
	e.Metric, e.Unit, e.Grade, e.Label = "experiment_refund", "pp", event.GradeRandomizedITT, wording
	e.N, e.Numerator = control.counts.exposed+c.counts.exposed, control.counts.refunded+c.counts.refunded
	e.AlwaysValid, e.Confidence, e.P = true, 1-r.cfg.Alpha, -1
	switch {
	case rd.alarm != "":
		e.Why = rd.why()
	case !c.refundsEnough:
		e.Why = fmt.Sprintf("fewer than %d refunded players in an arm", r.cfg.RefundBurnIn)
	default:
		e.Enough = true
		low, high := experiment.Interval(c.refundDelta, c.refundVariance, rd.of.EffectSD, r.cfg.Alpha)
		e.Value, e.Low, e.High, e.P = 100*c.refundDelta, 100*low, 100*high, c.refunds.P()
		e.Details = []event.Detail{{Name: "control_refunded", Value: float64(control.counts.refunded)},
			{Name: "variant_refunded", Value: float64(c.counts.refunded)}, {Name: "looks", Value: float64(c.refunds.Looks)}}
	}
	r.publish(e, rd.group, c.variant, out)
}

// publish completes the dimensions: experiment, language, and the variant where it is about one.
func (r *Rollup) publish(e event.Estimate, g *group, variant string, out *processors.Output) {
	e.Dimensions = []event.Dimension{{Name: "experiment", Value: g.experiment}, {Name: "language", Value: g.language}}
	if variant != "" {
		e.Dimensions = append(e.Dimensions, event.Dimension{Name: "variant", Value: variant})
	}
	r.estimate = e
	r.key = wire.AppendPart(r.key[:0], e.DropID)
	r.key = wire.AppendPart(r.key, e.Metric)
	for i, d := range e.Dimensions {
		r.key = wire.AppendPart(r.key, d.Value)
		if i == len(e.Dimensions)-1 {
			r.key = r.key[:len(r.key)-1]
		}
	}
	out.Emit(event.KindEstimate, wire.Alias(r.key), r.estimate.AppendJSON)
}

// finite is x as JSON can hold it: the statistic of an arm that should be empty is infinite.
func finite(x float64) float64 { return min(x, math.MaxFloat64) }
