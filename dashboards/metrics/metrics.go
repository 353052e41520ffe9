// Package metrics answers PromQL and knows which alerts fire, with or without a Prometheus.
//
//	metrics.go   what is asked and answered
//	local.go     Local: this process's own metrics, kept in memory, and the rules over them
//	store.go     their samples, compressed
//	disk.go      samples and alerts in files, so that a restart goes on with them
//	rules.go     what makes a rule's alerts pending and firing
//	remote.go    Remote: the same questions to a real Prometheus
package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Series is one series of an answer. Values may be NaN or infinite.
type Series struct {
	Labels map[string]string
	Times  []int64 // Unix ms, ascending
	Values []float64
}

// Rule is an alerting rule: for every series that Expr yields there is an alert, which fires once it has been there
// for For. Labels are added to the series' own.
type Rule struct {
	Name, Expr string
	For        time.Duration
	Labels     map[string]string
}

// State is how an alert stands.
type State string

// The states of an alert, in the order in which it takes them.
const (
	Inactive State = "inactive"
	Pending  State = "pending"
	Firing   State = "firing"
)

// AlertState is one alert of a rule. A rule none of whose alerts is pending or firing stands in an answer as one
// inactive state without Since, Value and labels other than the rule's.
type AlertState struct {
	Name   string
	State  State
	Since  time.Time // of pending: when the expression began to hold; of firing: when it fired, or, from Remote, began to hold
	Value  float64   // of the expression, newest; NaN if inactive
	Labels map[string]string
}

// Metrics is what Local and Remote answer.
type Metrics interface {
	// QueryRange evaluates PromQL at from, from+step, … up to to. An expression that does not parse and a range of
	// more than 11,000 steps are a *QueryError; one that takes too long is context.DeadlineExceeded.
	QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error)
	// Alerts lists every rule's alerts: rules in their order, a rule's alerts by their labels.
	Alerts(ctx context.Context) ([]AlertState, error)
	// Since is the time of the oldest sample there is; zero where that is not known, as of a Prometheus.
	Since() time.Time
}

var (
	_ Metrics = (*Local)(nil)
	_ Metrics = (*Remote)(nil)
)

// QueryError is a question that cannot be answered as it is.
type QueryError struct{ Err error }

func (e *QueryError) Error() string { return "metrics: " + e.Err.Error() }
func (e *QueryError) Unwrap() error { return e.Err }

// maxSteps is how many points of a series Prometheus itself hands out.
const maxSteps = 11_000

func checkRange(from, to time.Time, step time.Duration) error {
	switch {
	case step <= 0:
		return &QueryError{fmt.Errorf("step %v is not positive", step)}
	case to.Before(from):
		return &QueryError{errors.New("the range ends before it begins")}
	case to.Sub(from)/step >= maxSteps:
		return &QueryError{fmt.Errorf("more than %d steps of %v from %v to %v", maxSteps, step, from.UTC(), to.UTC())}
	}
	return nil
}

// promQL is the dialect: Prometheus's own without experiments.
var promQL = parser.NewParser(parser.Options{})

// queryErr says in the words of this package why a query failed.
func queryErr(err error) error {
	var timeout promql.ErrQueryTimeout
	var cancelled promql.ErrQueryCanceled
	var tooMany promql.ErrTooManySamples
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timeout):
		return fmt.Errorf("metrics: %w: %w", context.DeadlineExceeded, err)
	case errors.As(err, &cancelled):
		return fmt.Errorf("metrics: %w: %w", context.Canceled, err)
	case errors.As(err, &tooMany):
		return &QueryError{err}
	}
	return fmt.Errorf("metrics: %w", err)
}

func answer(matrix promql.Matrix) []Series {
	var all []Series
	for _, s := range matrix {
		out := Series{Labels: s.Metric.Map(), Times: make([]int64, len(s.Floats)), Values: make([]float64, len(s.Floats))}
		for i, p := range s.Floats {
			out.Times[i], out.Values[i] = p.T, p.F
		}
		all = append(all, out)
	}
	return all
}
