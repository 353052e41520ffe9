package edgecost

import (
	"fmt"
	"math"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// Topics of decisions.
const (
	topicPace     = "pace"
	topicBudget   = "budget"
	topicReplicas = "replicas"
	topicShed     = "shed"
	// subjectNotice keeps the notice apart from the level, which may change at the same minute.
	subjectNotice = "notice"
	// noPriceList stands for the level of a budget that no price list fits.
	noPriceList = "no_price_list"
)

// picture is what is known of a drop at a boundary.
type picture struct {
	at       int64
	spent    int64
	window   int64 // cost of the last windowMS
	windowMS int64
	reserved int64
	left     int64 // ms to the drop's end
	// requests in millionths and cpu in µs of the last minute.
	requests, cpu int64

	budget, planned, projected int64
}

// look makes the picture at a boundary; amounts are 0 where no price list fits.
func (r *Rollup) look(s *account, drop *event.Drop, at, watermark int64) picture {
	p := picture{at: at, budget: drop.Budget, left: max(0, drop.EndMS-at)}
	from := max(at-r.cfg.WindowMS, firstMinute(drop))
	p.windowMS = max(0, at-from)
	// What is in flight is what happened between the watermark and the newest event: some of it is counted already. Far behind,
	// in a replay, that is not what a reservation is for: history holds it.
	flight := min(max(0, s.newest-watermark), r.cfg.WindowMS)
	beyond, counted := int64(0), int64(0)
	for i := range s.minutes {
		m := &s.minutes[i]
		switch {
		case m.start >= at:
			if beyond += m.totals.cost; m.start < at+flight {
				counted += m.totals.cost
			}
		case m.start >= from:
			p.window += m.totals.cost
		}
		if m.start == at-minuteMS {
			p.requests, p.cpu = m.totals.requests, m.totals.cpu
		}
	}
	p.spent = s.total.cost - beyond
	p.reserved = max(counted, edgebudget.Projection(0, p.window, p.windowMS, flight))
	p.projected = edgebudget.Projection(p.spent, p.window, p.windowMS, p.left)
	p.planned = planOf(drop).At(at - drop.StartMS)
	return p
}

// firstMinute is the first whole minute of a drop: a rate over less of one would be too high.
func firstMinute(drop *event.Drop) int64 { return (drop.StartMS + minuteMS - 1) / minuteMS * minuteMS }

func planOf(drop *event.Drop) edgebudget.Plan {
	plan := edgebudget.Plan{Budget: drop.Budget, LengthMS: drop.EndMS - drop.StartMS}
	for _, f := range drop.Forecast {
		plan.Forecast = append(plan.Forecast, edgebudget.Point{AgeMS: f.AgeMS, BPS: f.BPS})
	}
	return plan
}

// decide is one evaluation. Every change becomes a decision.
func (r *Rollup) decide(id string, s *account, drop *event.Drop, at, watermark int64, out *processors.Output) {
	p := r.look(s, drop, at, watermark)
	say := func(topic, subject, chosen, previous string, value float64, reason string, more ...event.Input) {
		r.decision = event.Decision{DropID: id, Topic: topic, Subject: subject, At: at, Chosen: chosen, Previous: previous, Value: value, Reason: reason,
			Inputs: append([]event.Input{
				{Name: "level", Value: float64(s.guard.Level)}, {Name: "budget", Value: float64(p.budget)}, {Name: "spent", Value: float64(p.spent)},
				{Name: "reserved", Value: float64(p.reserved)}, {Name: "projected", Value: float64(p.projected)}, {Name: "planned", Value: float64(p.planned)},
				{Name: "window_cost", Value: float64(p.window)}, {Name: "window_ms", Value: float64(p.windowMS)}, {Name: "left_ms", Value: float64(p.left)},
				{Name: "unpriced_requests", Value: requests(s.total.unpriced)},
			}, more...)}
		r.key = appendDecisionKey(r.key[:0], &r.decision)
		out.Emit(event.KindDecision, wire.Alias(r.key), r.decision.AppendJSON)
	}
	ended := at >= drop.EndMS
	if fits := drop.Budget == 0 || s.currency != "" && (drop.BudgetCurrency == "" || drop.BudgetCurrency == s.currency); !fits {
		r.unpriced++
		if !s.unpriced {
			s.unpriced = true
			reason := "no price list says what requests cost in " + drop.BudgetCurrency + ": the budget is not watched"
			if s.currency != "" {
				reason = "the budget is in " + drop.BudgetCurrency + " and the costs are in " + s.currency + ": the budget is not watched"
			}
			say(topicBudget, "", noPriceList, s.guard.Level.String(), 0, reason)
		}
		// Load is known without prices; the budget limits nothing.
		r.scale(s, p, math.MaxInt64, ended, say)
		return
	}
	if s.unpriced {
		s.unpriced = false
		say(topicBudget, "", s.guard.Level.String(), noPriceList, float64(s.guard.Level), "a price list has come for the budget's currency")
	}

	before := s.guard.Level
	change := s.guard.Look(r.cfg.Rules, edgebudget.Standing{
		Budget: p.budget, Spent: p.spent, Reserved: p.reserved, Projected: p.projected, Ended: ended}, at)
	if change.Notify {
		say(topicBudget, subjectNotice, "notify", "", float64(p.spent), fmt.Sprintf("%.0f %% of the budget are spent", 100*float64(p.spent)/float64(p.budget)))
	}
	if change.To != before {
		say(topicBudget, "", change.To.String(), before.String(), float64(change.To), change.Reason)
	}

	pace, reason := 1.0, "the drop has ended"
	if !ended && p.budget > 0 {
		if pace = r.cfg.Rules.Pace(s.pace, p.spent, p.planned); p.spent > p.planned {
			reason = "more is spent than planned by now: optional work slows down"
		} else {
			reason = "spending is within the plan: optional work recovers"
		}
	}
	if previous := s.pace; pace != previous {
		s.pace = pace
		say(topicPace, "", paced(pace, previous), strconv.FormatFloat(previous, 'g', 6, 64), pace, reason)
	}

	costMax := int64(math.MaxInt64)
	if p.budget > 0 {
		costMax = edgebudget.CostMax(p.budget, p.spent, r.cfg.Hourly, p.left)
	}
	r.scale(s, p, costMax, ended, say)

	steps := int64(0)
	if !ended {
		steps = int64(r.cfg.Shedding.Steps(s.guard.Level, s.limited))
	}
	if previous := s.shed; steps != previous {
		s.shed = steps
		say(topicShed, "", shedName(steps), shedName(previous), float64(steps), shedReason(s, ended), event.Input{Name: "limited", Value: float64(flag(s.limited))})
	}
}

// scale decides on the replicas: what the load of the last minute needs, held against a scale-in by what it needed before, and what
// the budget pays for. A minute without any request is taken for missing data, and nothing is scaled in on that.
func (r *Rollup) scale(s *account, p picture, costMax int64, ended bool, say func(topic, subject, chosen, previous string, value float64, reason string, more ...event.Input)) {
	current := max(s.replicas, r.cfg.Bounds.Floor)
	busy := float64(p.cpu) / (minuteMS * 1000 * float64(current) * r.cfg.Cores)
	metric := edgebudget.Metric{Target: r.cfg.Utilisation}
	if p.requests > 0 {
		metric.Pods = []float64{busy}
	}
	desired := r.cfg.Autoscaler.Desired(current, metric)
	history, wanted := r.cfg.Autoscaler.Stabilise(s.history, current, desired, p.at)
	chosen := r.cfg.Bounds.Choose(wanted, costMax)
	reason := "the load of the last minute needs " + strconv.FormatInt(desired, 10) + " replicas"
	switch {
	case ended:
		history, chosen = nil, edgebudget.Replicas{Chosen: r.cfg.Bounds.Floor, Wanted: r.cfg.Bounds.Floor, CostMax: costMax}
		reason = "the drop has ended"
	case chosen.Limited:
		reason += ", the rest of the budget pays for " + strconv.FormatInt(costMax, 10) + ": work is shed"
	case wanted > desired:
		reason += ", the last minutes needed more"
	}
	previous, limited := s.replicas, s.limited
	s.history, s.replicas, s.limited = history, chosen.Chosen, chosen.Limited
	if s.replicas == previous && s.limited == limited {
		return
	}
	name := "scale"
	if chosen.Limited {
		name = "limit"
	}
	inputs := []event.Input{
		{Name: "hpa", Value: float64(wanted)}, {Name: "desired", Value: float64(desired)}, {Name: "current", Value: float64(current)},
		{Name: "utilisation", Value: busy}, {Name: "target", Value: r.cfg.Utilisation},
		{Name: "requests_per_s", Value: requests(p.requests) / (minuteMS / 1000)}, {Name: "floor", Value: float64(r.cfg.Bounds.Floor)}, {Name: "max", Value: float64(r.cfg.Bounds.Max)},
	}
	if costMax != math.MaxInt64 {
		inputs = append(inputs, event.Input{Name: "cost_max", Value: float64(costMax)})
	}
	say(topicReplicas, "", name, strconv.FormatInt(previous, 10), float64(chosen.Chosen), reason, inputs...)
}

// paced names a change of the pace.
func paced(pace, previous float64) string {
	switch {
	case pace < previous:
		return "slow"
	case pace < 1:
		return "recover"
	}
	return "full"
}

// shedName names the last kind of work that is shed.
func shedName(steps int64) string {
	if steps == 0 {
		return "none"
	}
	return string(edgebudget.ShedOrder()[steps-1])
}

func shedReason(s *account, ended bool) string {
	switch {
	case ended:
		return "the drop has ended"
	case s.guard.Level != edgebudget.LevelOK:
		return "the budget is at " + s.guard.Level.String() + ": this work and all that comes before it in the order is shed"
	case s.limited:
		return "the budget pays for fewer replicas than the load needs"
	}
	return "the budget suffices again"
}

func requests(millionths int64) float64 { return float64(millionths) / million }
