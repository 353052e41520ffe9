package metrics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prom "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// Remote asks a Prometheus, or what speaks its HTTP API. It holds no connection of its own and no goroutine.
type Remote struct {
	api     prom.API
	rules   []Rule
	timeout time.Duration
}

// NewRemote makes a client of the Prometheus at url. Its Alerts are those of the rules with these names, which the
// Prometheus itself evaluates. timeout bounds one question.
func NewRemote(url string, rules []Rule, timeout time.Duration) (*Remote, error) {
	client, err := api.NewClient(api.Config{Address: url})
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &Remote{api: prom.NewAPI(client), rules: rules, timeout: timeout}, nil
}

// QueryRange implements Metrics.
func (r *Remote) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	if err := checkRange(from, to, step); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	value, _, _, err := r.api.QueryRange(ctx, expr, prom.Range{Start: from, End: to, Step: step})
	if err != nil {
		return nil, remoteErr(err)
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("metrics: Prometheus answered a range with a %s", value.Type())
	}
	var all []Series
	for _, stream := range matrix {
		s := Series{Labels: map[string]string{}, Times: make([]int64, len(stream.Values)), Values: make([]float64, len(stream.Values))}
		for name, v := range stream.Metric {
			s.Labels[string(name)] = string(v)
		}
		for i, p := range stream.Values {
			s.Times[i], s.Values[i] = int64(p.Timestamp), float64(p.Value)
		}
		all = append(all, s)
	}
	return all, nil
}

// Alerts implements Metrics. When the Prometheus lacks some of the rules, an error names them, beside the states of the others.
func (r *Remote) Alerts(ctx context.Context) ([]AlertState, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	answer, err := r.api.Rules(ctx, nil)
	if err != nil {
		return nil, remoteErr(err)
	}
	there := map[string][]prom.AlertingRule{}
	for _, group := range answer.Groups {
		for _, any := range group.Rules {
			if rule, ok := any.(prom.AlertingRule); ok {
				there[rule.Name] = append(there[rule.Name], rule)
			}
		}
	}
	var all []AlertState
	var missing []string
	for _, rule := range r.rules {
		found, ok := there[rule.Name]
		if !ok {
			missing = append(missing, rule.Name)
			continue
		}
		states := activeAlerts(rule.Name, found)
		if len(states) == 0 {
			states = []AlertState{inactive(rule)}
		}
		all = append(all, states...)
	}
	if missing != nil {
		err = fmt.Errorf("metrics: Prometheus has no rule %s: load deploy/prometheus/rules into it", strings.Join(missing, ", "))
	}
	return all, err
}

// Since implements Metrics.
func (r *Remote) Since() time.Time { return time.Time{} }

// activeAlerts are the pending and firing alerts of the rules of one name, by labels.
func activeAlerts(name string, rules []prom.AlertingRule) []AlertState {
	var states []AlertState
	for _, rule := range rules {
		for _, alert := range rule.Alerts {
			value, err := strconv.ParseFloat(alert.Value, 64)
			if err != nil {
				value = math.NaN()
			}
			s := AlertState{Name: name, State: State(alert.State), Since: alert.ActiveAt, Value: value, Labels: map[string]string{}}
			for label, v := range alert.Labels {
				if label == model.AlertNameLabel {
					continue // it is Name, and Local has it there alone, too
				}
				s.Labels[string(label)] = string(v)
			}
			states = append(states, s)
		}
	}
	slices.SortFunc(states, func(a, b AlertState) int { return strings.Compare(flat(a.Labels), flat(b.Labels)) })
	return states
}

// flat is a text that is equal for equal labels.
func flat(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%q=%q,", name, labels[name])
	}
	return b.String()
}

// remoteErr says in the words of this package what Prometheus, or the way to it, said.
func remoteErr(err error) error {
	var answered *prom.Error
	var network net.Error
	switch {
	case errors.As(err, &answered) && (answered.Type == prom.ErrBadData || answered.Type == prom.ErrExec):
		return &QueryError{err}
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("metrics: %w: %w", context.DeadlineExceeded, err)
	}
	return fmt.Errorf("metrics: Prometheus: %w", err)
}
