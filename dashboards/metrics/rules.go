package metrics

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// rule is a Rule and its alerts, with the meaning that Prometheus gives them.
type rule struct {
	Rule
	active map[string]*active // by the bytes of their labels
}

// active is an alert whose expression holds.
type active struct {
	labels labels.Labels
	since  time.Time // the expression began to hold
	fired  time.Time // zero while pending
	value  float64
	// until is how long an alert of an earlier process stays although its series is not back; zero for others.
	until time.Time
}

// parseRules refuses rules that could never be evaluated: every problem at once.
func parseRules(list []Rule) ([]*rule, error) {
	var all []*rule
	var problems []error
	names := map[string]bool{}
	for _, r := range list {
		expr, err := promQL.ParseExpr(r.Expr)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("metrics: rule %s: %w", r.Name, err))
		case expr.Type() != parser.ValueTypeVector:
			problems = append(problems, fmt.Errorf("metrics: rule %s: the expression is no vector but a %s", r.Name, expr.Type()))
		case r.Name == "" || names[r.Name]:
			problems = append(problems, fmt.Errorf("metrics: rule name %q is empty or taken", r.Name))
		case r.For < 0:
			problems = append(problems, fmt.Errorf("metrics: rule %s: for %v", r.Name, r.For))
		}
		names[r.Name] = true
		all = append(all, &rule{Rule: r, active: map[string]*active{}})
	}
	return all, errors.Join(problems...)
}

// update takes in what the expression yields now. An alert whose series is not among it, or has gone stale, is over,
// and its time begins anew with the next series. Two series that differ in their name alone are an error.
func (r *rule) update(now time.Time, vector promql.Vector) error {
	held := make(map[string]*active, len(vector))
	for _, sample := range vector {
		b := labels.NewBuilder(sample.Metric).Del(labels.MetricName)
		for name, value := range r.Labels {
			b.Set(name, value)
		}
		a := &active{labels: b.Labels(), since: now, value: sample.F}
		key := string(a.labels.Bytes(nil))
		if held[key] != nil {
			return fmt.Errorf("metrics: rule %s: several series have the labels %s", r.Name, a.labels)
		}
		if before := r.active[key]; before != nil {
			a.since, a.fired = before.since, before.fired
		}
		if a.fired.IsZero() && now.Sub(a.since) >= r.For {
			a.fired = now
		}
		held[key] = a
	}
	for key, a := range r.active {
		if held[key] == nil && now.Before(a.until) {
			held[key] = a
		}
	}
	r.active = held
	return nil
}

// An alert outlives a pause of its process of at most outage, as in Prometheus. What it watches may take grace to be back:
// signals wait for ClickHouse.
const (
	outage = time.Hour
	grace  = 2 * time.Minute
)

// keptAlert is an alert in a file; times in Unix ms, Fired 0 while pending.
type keptAlert struct {
	Rule         string
	Labels       []string
	Since, Fired int64
	Value        float64
}

// keep are the rule's pending and firing alerts as files hold them.
func (r *rule) keep() []keptAlert {
	var kept []keptAlert
	for _, a := range r.active {
		k := keptAlert{Rule: r.Name, Labels: pairs(a.labels), Since: a.since.UnixMilli(), Value: a.value}
		if !a.fired.IsZero() {
			k.Fired = a.fired.UnixMilli()
		}
		kept = append(kept, k)
	}
	return kept
}

// take goes on with an alert that was kept at a time. The pause since then does not count towards For: nobody looked.
func (r *rule) take(k keptAlert, kept, now time.Time) {
	a := &active{labels: labels.FromStrings(k.Labels...), since: time.UnixMilli(k.Since).UTC(), value: k.Value, until: now.Add(grace)}
	if k.Fired != 0 {
		a.fired = time.UnixMilli(k.Fired).UTC()
	} else {
		a.since = a.since.Add(now.Sub(kept))
	}
	r.active[string(a.labels.Bytes(nil))] = a
}

// states are the alerts by labels, or the one that says there is none.
func (r *rule) states() []AlertState {
	if len(r.active) == 0 {
		return []AlertState{inactive(r.Rule)}
	}
	all := slices.SortedFunc(maps.Values(r.active), func(a, b *active) int { return labels.Compare(a.labels, b.labels) })
	states := make([]AlertState, len(all))
	for i, a := range all {
		states[i] = AlertState{Name: r.Name, State: Firing, Since: a.fired, Value: a.value, Labels: a.labels.Map()}
		if a.fired.IsZero() {
			states[i].State, states[i].Since = Pending, a.since
		}
	}
	return states
}

func inactive(r Rule) AlertState {
	return AlertState{Name: r.Name, State: Inactive, Value: math.NaN(), Labels: maps.Clone(r.Labels)}
}
