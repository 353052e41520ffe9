package attribution

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// The metrics that Totals publishes.
const (
	MetricConversions = "latency_loss_conversions"
	MetricRevenue     = "latency_loss_revenue"
	MetricLatency     = "landing_latency"
)

// Label is the only word that may go with a loss: the delay was not randomised.
const Label = "observational"

// quantilesPublished of landing latency.
var quantilesPublished = []struct {
	name string
	at   float64
}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}}

// total is a drop added up over its partitions.
type total struct {
	cells []latencyloss.Cell
	// pops are in order; money is net by POP and currency; conversions are the measured viewers' by POP.
	pops        []string
	money       map[string]map[string]int64
	conversions map[string]uint64
	unmeasured  map[string]uint64
	rate        map[string]float64
	currencies  []string
}

// stratumKey orders the cells.
type stratumKey struct {
	age      int64
	controls [latencyloss.NumControls]string
}

func (k stratumKey) compare(o stratumKey) int {
	return cmp.Or(cmp.Compare(k.age, o.age), slices.Compare(k.controls[:], o.controls[:]))
}

// add up the partials of a drop. The order of the cells is the same on every run: floating-point sums depend on it.
func (t *Totals) total(id string) *total {
	sum := &total{money: map[string]map[string]int64{}, conversions: map[string]uint64{}, unmeasured: map[string]uint64{}, rate: map[string]float64{}}
	prefix := string(wire.AppendString(nil, id))
	cells := map[stratumKey]*latencyloss.Cell{}
	us := map[stratumKey]*[event.NumLatencyBuckets]int64{}
	_ = t.parts.Each(func(key string, p *part) {
		if !strings.HasPrefix(key, prefix) {
			return
		}
		k := stratumKey{p.ageFrom, [...]string{p.pop, p.device, p.language}}
		c := cells[k]
		if c == nil {
			c = &latencyloss.Cell{Age: k.age, Controls: k.controls}
			cells[k], us[k] = c, new([event.NumLatencyBuckets]int64)
		}
		if sum.money[p.pop] == nil {
			sum.money[p.pop], sum.rate[p.pop] = map[string]int64{}, 1
		}
		for b := range event.NumLatencyBuckets {
			c.Buckets[b].N += uint64(p.viewers[b])
			c.Buckets[b].Conversions += uint64(p.conversions[b])
			us[k][b] += p.us[b]
			sum.conversions[p.pop] += uint64(p.conversions[b])
		}
		sum.unmeasured[p.pop] += uint64(p.unmeasured)
		sum.rate[p.pop] = min(sum.rate[p.pop], p.rate)
		for _, m := range p.money {
			for _, net := range m.Net {
				sum.money[p.pop][m.Currency] += net
			}
			if !slices.Contains(sum.currencies, m.Currency) {
				sum.currencies = append(sum.currencies, m.Currency)
			}
		}
	})
	for k, c := range cells {
		for b, n := range us[k] {
			c.MS[b] = float64(n) / 1000
		}
		sum.cells = append(sum.cells, *c)
	}
	slices.SortFunc(sum.cells, func(a, b latencyloss.Cell) int {
		return stratumKey{a.Age, a.Controls}.compare(stratumKey{b.Age, b.Controls})
	})
	for pop := range sum.money {
		sum.pops = append(sum.pops, pop)
	}
	slices.Sort(sum.pops)
	slices.Sort(sum.currencies)
	return sum
}

// publish emits every estimate of a drop as of the event time watermark.
func (t *Totals) publish(id string, d *drop, watermark int64, out *processors.Output) {
	d.revision++
	e := &t.estimate
	*e = event.Estimate{
		DropID: id, CreatorID: d.creator, Revision: d.revision, AsOf: watermark, From: d.from, To: d.to,
		Confidence: 0.95, P: -1, SampleRate: 1, Dimensions: e.Dimensions[:0], Details: e.Details[:0],
	}
	if d.from > 0 {
		t.publishLosses(d, t.total(id), out)
	}
	t.publishLatencies(d, id, out)
}

// publishLosses emits the losses of the drop and of each of its POPs, out of one fit.
func (t *Totals) publishLosses(d *drop, sum *total, out *processors.Output) {
	budget := float64(cmp.Or(d.budget, t.cfg.BudgetMS))
	model, failed := latencyloss.FitCells(sum.cells, t.cfg.Enough)
	// worth is a conversion in currency at each POP; see the package comment.
	worth := func(currency, pop string) float64 {
		if n := sum.conversions[pop]; n > 0 {
			return float64(sum.money[pop][currency]) / float64(n)
		}
		return 0
	}
	for i := -1; i < len(sum.pops); i++ { // −1 is the drop
		pop, in := "", func(*latencyloss.Cell) bool { return true }
		if i >= 0 {
			pop = sum.pops[i]
			in = func(c *latencyloss.Cell) bool { return c.Controls[0] == pop }
		}
		e := &t.estimate
		e.Details = e.Details[:0]
		sides := latencyloss.SidesOf(sum.cells, budget, in)
		t.describe(sum, budget, i, in, sides)
		why := t.cfg.Enough.Enough(sides)
		if why == "" && failed != nil {
			why = failed.Error()
		}
		if model != nil {
			e.Details = append(e.Details, event.Detail{Name: "slope_logit_per_100ms", Value: model.Beta[1]},
				event.Detail{Name: "slope_se", Value: math.Sqrt(model.Cov.At(1, 1))})
		}
		lose := func(value func(*latencyloss.Cell) float64) (lost latencyloss.Interval, missing string) {
			if why != "" {
				return latencyloss.Interval{}, why
			}
			lost = model.CellLoss(budget, value)
			if !lost.Finite() {
				return latencyloss.Interval{}, "the estimate is not finite"
			}
			return lost, ""
		}
		where := e.Dimensions[:0]
		if i >= 0 {
			where = append(where, event.Dimension{Name: "pop", Value: pop})
		}
		lost, missing := lose(func(c *latencyloss.Cell) float64 { return float64(count(in(c))) })
		t.emitLoss(MetricConversions, where, "conversions", lost, missing, d.closed, out)
		for _, currency := range sum.currencies {
			if i >= 0 {
				if _, sold := sum.money[pop][currency]; !sold {
					continue
				}
			}
			lost, missing := lose(func(c *latencyloss.Cell) float64 { return float64(count(in(c))) * worth(currency, c.Controls[0]) })
			t.emitLoss(MetricRevenue, append(where, event.Dimension{Name: "currency", Value: currency}), "minor:"+currency, lost, missing, d.final, out)
		}
		e.Dimensions = where[:0]
	}
}

// describe fills in what stands beside the losses of the drop (i < 0) or of POP i.
func (t *Totals) describe(sum *total, budget float64, i int, in func(*latencyloss.Cell) bool, sides latencyloss.Sides) {
	e := &t.estimate
	e.N, e.Numerator, e.SampleRate = 0, 0, 1
	unmeasured := uint64(0)
	for p, pop := range sum.pops {
		if i < 0 || i == p {
			e.SampleRate = min(e.SampleRate, sum.rate[pop])
			unmeasured += sum.unmeasured[pop]
		}
	}
	var cells []latencyloss.Cell
	for c := range sum.cells {
		if !in(&sum.cells[c]) {
			continue
		}
		cells = append(cells, sum.cells[c])
		for _, b := range sum.cells[c].Buckets {
			e.N += b.N
			e.Numerator += b.Conversions
		}
	}
	e.Details = append(e.Details,
		event.Detail{Name: "budget_ms", Value: budget},
		event.Detail{Name: "viewers_above", Value: float64(sides.Above.N)},
		event.Detail{Name: "conversions_above", Value: float64(sides.Above.Conversions)},
		event.Detail{Name: "viewers_unmeasured", Value: float64(unmeasured)},
	)
	if sides.Within.N > 0 {
		e.Details = append(e.Details, event.Detail{Name: "reference_rate", Value: float64(sides.Within.Conversions) / float64(sides.Within.N)})
	}
	strata := latencyloss.Strata(latencyloss.StrataOf(cells, budget), t.cfg.Enough.WithDefaults().MinReference)
	if strata.Finite() && strata.Strata+strata.Pooled > 0 {
		e.Details = append(e.Details,
			event.Detail{Name: "strata_loss", Value: strata.Value}, event.Detail{Name: "strata_low", Value: strata.Low},
			event.Detail{Name: "strata_high", Value: strata.High}, event.Detail{Name: "strata", Value: float64(strata.Strata)},
			event.Detail{Name: "strata_pooled", Value: float64(strata.Pooled)}, event.Detail{Name: "strata_left_out", Value: float64(strata.LeftOut)})
	}
}

func (t *Totals) emitLoss(metric string, where []event.Dimension, unit string, lost latencyloss.Interval, missing string, final bool, out *processors.Output) {
	e := &t.estimate
	e.Metric, e.Dimensions, e.Unit, e.Label = metric, where, unit, Label
	e.Enough, e.Why, e.Value, e.Low, e.High = missing == "", missing, lost.Value, lost.Low, lost.High
	e.Maturity = processors.Maturity(final)
	kept := len(e.Details)
	if e.Enough {
		e.Details = append(e.Details, event.Detail{Name: "se", Value: lost.SE})
	}
	t.emit(out)
	e.Details = e.Details[:kept]
}

// publishLatencies emits the quantiles of landing latency of the drop and of each POP: [Low, High] is what the sketch
// guarantees the sample's quantile to lie in.
func (t *Totals) publishLatencies(d *drop, id string, out *processors.Output) {
	prefix := string(wire.AppendString(nil, id))
	byPOP := map[string]*merged{}
	var all merged
	_ = t.sketches.Each(func(key string, m *merged) {
		if !strings.HasPrefix(key, prefix) {
			return
		}
		p := byPOP[m.pop]
		if p == nil {
			p = &merged{pop: m.pop, accuracy: m.accuracy, rate: 1}
			byPOP[m.pop] = p
		}
		for _, to := range []*merged{p, &all} {
			to.zero += m.zero
			to.samples += m.samples
			to.bins.merge(m.bins)
		}
		p.rate = min(p.rate, m.rate)
		all.accuracy = max(all.accuracy, m.accuracy)
	})
	all.rate = 1
	pops := make([]string, 0, len(byPOP))
	for pop, p := range byPOP {
		pops = append(pops, pop)
		all.rate = min(all.rate, p.rate)
	}
	slices.Sort(pops)
	t.emitLatency(d, &all, nil, out)
	for _, pop := range pops {
		t.emitLatency(d, byPOP[pop], []event.Dimension{{Name: "pop", Value: pop}}, out)
	}
}

func (t *Totals) emitLatency(d *drop, m *merged, where []event.Dimension, out *processors.Output) {
	if m.samples == 0 {
		return
	}
	at := make([]float64, len(quantilesPublished))
	for i, q := range quantilesPublished {
		at[i] = q.at
	}
	values, err := quantiles(m.accuracy, m.zero, m.bins, at)
	if err != nil {
		return // of no samples, or an accuracy that no first stage has
	}
	e := &t.estimate
	e.Metric, e.Unit, e.Label, e.Enough, e.Why = MetricLatency, "ms", "", true, ""
	e.N, e.Numerator, e.SampleRate, e.Maturity = m.samples, 0, m.rate, processors.Maturity(d.closed)
	e.Details = append(e.Details[:0], event.Detail{Name: "relative_error", Value: m.accuracy})
	for i, q := range quantilesPublished {
		e.Dimensions = append(where, event.Dimension{Name: "quantile", Value: q.name})
		e.Value, e.Low, e.High = values[i], values[i]/(1+m.accuracy), values[i]/(1-m.accuracy)
		t.emit(out)
	}
}

// emit publishes the estimate under drop_id|metric|dimensions.
func (t *Totals) emit(out *processors.Output) {
	e := &t.estimate
	t.key = wire.AppendPart(t.key[:0], e.DropID)
	t.key = wire.AppendPart(t.key, e.Metric)
	for _, d := range e.Dimensions {
		t.key = append(append(t.key, d.Name...), '=')
		t.key = wire.AppendPart(t.key, d.Value)
	}
	out.Emit(event.KindEstimate, wire.Alias(t.key[:len(t.key)-1]), e.AppendJSON)
}
