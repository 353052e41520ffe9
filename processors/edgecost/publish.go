package edgecost

import (
	"fmt"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// publish emits a drop's estimates as of at. Costs are sums, not samples of anything: Low and High are Value, Confidence is 0, and
// where events were sampled SampleRate says so.
func (r *Rollup) publish(id string, s *account, drop *event.Drop, at int64, out *processors.Output) {
	maturity := event.Provisional
	if s.ended && !s.waiting() {
		maturity = event.Final
	}
	base := event.Estimate{
		DropID: id, Revision: s.revision, AsOf: at, From: drop.StartMS, To: drop.EndMS, Maturity: maturity,
		Unit: "nano:" + s.currency, P: -1, SampleRate: s.rate,
	}
	why := ""
	if s.currency == "" {
		base.Unit, why = "nano", "no price list"
		if drop.BudgetCurrency != "" {
			base.Unit, why = "nano:"+drop.BudgetCurrency, "no price list for "+drop.BudgetCurrency
		}
	}
	if len(s.creators) == 1 {
		base.CreatorID = s.creators[0].name
	}
	partly := ""
	if why == "" && s.total.unpriced > 0 {
		partly = fmt.Sprintf("%.0f requests have no price and are left out", requests(s.total.unpriced))
	}
	emit := func(metric string, dimensions []event.Dimension, t *totals, value float64, missing string, details ...event.Detail) {
		e := base
		e.Metric, e.Dimensions, e.Details = metric, dimensions, details
		e.N, e.Numerator = uint64(max(0, t.requests)/million), uint64(max(0, t.conversions))
		switch {
		case why != "":
			e.Why = why
		case missing != "":
			e.Why = missing
		default:
			e.Enough, e.Why, e.Value, e.Low, e.High = true, partly, value, value, value
		}
		r.estimate = e
		r.key = appendEstimateKey(r.key[:0], &r.estimate)
		out.Emit(event.KindEstimate, wire.Alias(r.key), r.estimate.AppendJSON)
	}
	costs := func(dimensions []event.Dimension, t *totals) {
		emit("edge_spent", dimensions, t, float64(t.cost), "",
			event.Detail{Name: "synthetic", Value: float64(t.syntheticCost)}, event.Detail{Name: "requests", Value: requests(t.requests)},
			event.Detail{Name: "cpu_ms", Value: float64(t.cpu) / 1000}, event.Detail{Name: "egress_bytes", Value: float64(t.egress)})
		billed, none := *t, ""
		if billed.requests = t.billed; t.billed <= 0 {
			none = "no request yet"
		}
		emit("edge_cost_per_request", dimensions, &billed, float64(t.cost-t.syntheticCost)/requests(max(1, t.billed)), none)
		none = ""
		if t.conversions <= 0 {
			none = "no conversion yet"
		}
		emit("edge_cost_per_conversion", dimensions, t, float64(t.cost)/float64(max(1, t.conversions)), none)
	}
	costs(nil, &s.total)
	p := r.look(s, drop, s.evaluated, at)
	missing := ""
	if p.windowMS == 0 {
		missing = "the drop has not begun"
	}
	emit("edge_projection", nil, &s.total, float64(p.projected), missing,
		event.Detail{Name: "budget", Value: float64(p.budget)}, event.Detail{Name: "planned", Value: float64(p.planned)},
		event.Detail{Name: "spent", Value: float64(p.spent)}, event.Detail{Name: "reserved", Value: float64(p.reserved)}, event.Detail{Name: "pace", Value: s.pace})
	for i := range s.creators {
		costs([]event.Dimension{{Name: "creator", Value: s.creators[i].name}}, &s.creators[i].totals)
	}
}
