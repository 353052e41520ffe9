package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// signalsEvery is how often the signals are read.
const signalsEvery = 10 * time.Second

// signals keeps gauges of the state of drops: what alerts watch beside the processes' own metrics.
type signals struct {
	client  *clickhouse.Client
	log     *slog.Logger
	gauges  map[string]*prometheus.GaugeVec
	seconds prometheus.Histogram
	failed  *prometheus.CounterVec
	// shown are the series that the gauges hold.
	shown map[string]sample
	// answered says that every query has answered before.
	answered bool
}

// sample is one value of a signal.
type sample struct {
	metric string
	labels prometheus.Labels
	value  float64
}

func (s sample) key() string { return fmt.Sprint(s.metric, s.labels) }

func newSignals(client *clickhouse.Client, registry prometheus.Registerer, log *slog.Logger) *signals {
	s := &signals{client: client, log: log, gauges: map[string]*prometheus.GaugeVec{}, shown: map[string]sample{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "droplift_signals_seconds", Help: "Time to read all signals of all watched drops.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_signals_errors_total", Help: "Signal queries that failed.",
		}, []string{"query"}),
	}
	registry.MustRegister(s.seconds, s.failed)
	for _, signal := range dashboards.Signals() {
		s.gauges[signal.Metric] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: signal.Metric, Help: signal.Help}, append([]string{"drop"}, signal.Labels...))
		registry.MustRegister(s.gauges[signal.Metric])
	}
	return s
}

// signals is the role that refreshes them until ctx is done. A query that fails takes its series away: a number that nobody
// refreshes must not keep an alert silent or alive.
func (n *node) signals(ctx context.Context) error {
	client := n.reader(ctx)
	if client == nil {
		return nil
	}
	defer client.Close()
	s := newSignals(client, n.ops.registry, n.log)
	ticker := time.NewTicker(signalsEvery)
	defer ticker.Stop()
	for {
		s.refresh(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *signals) refresh(ctx context.Context) {
	began := time.Now()
	samples, err := s.readAll(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		// Until the sink has made the tables, failing is normal.
		level := slog.LevelDebug
		if s.answered {
			level = slog.LevelWarn
		}
		s.log.Log(ctx, level, "some signals could not be read; their alerts are silent", "error", err)
	}
	s.answered = s.answered || err == nil
	s.show(samples)
	s.seconds.Observe(time.Since(began).Seconds())
}

// show sets the gauges to the samples and removes the series that are not among them.
func (s *signals) show(samples []sample) {
	gone := s.shown
	s.shown = map[string]sample{}
	for _, v := range samples {
		s.gauges[v.metric].With(v.labels).Set(v.value)
		s.shown[v.key()] = v
		delete(gone, v.key())
	}
	for _, v := range gone {
		s.gauges[v.metric].Delete(v.labels)
	}
}

// readAll reads the signals of every watched drop. What could be read is returned beside the error.
func (s *signals) readAll(ctx context.Context) ([]sample, error) {
	drops, err := s.client.Query(ctx, dashboards.SignalDrops, nil)
	if err != nil {
		s.failed.WithLabelValues(dashboards.SignalDrops).Inc()
		return nil, err
	}
	var samples []sample
	var problems []error
	for i := range drops.Rows {
		r := row{drops, i}
		at, ok := r.value("at").(time.Time)
		if !ok {
			continue // no watermark yet
		}
		got, err := s.read(ctx, r.text("drop_id"), at)
		samples, problems = append(samples, got...), append(problems, err)
	}
	return samples, errors.Join(problems...)
}

// read reads the signals of one drop as of an event time.
func (s *signals) read(ctx context.Context, drop string, at time.Time) ([]sample, error) {
	var samples []sample
	var problems []error
	answers := map[string]*clickhouse.Table{} // several signals share a query; nil where it failed
	for _, signal := range dashboards.Signals() {
		table, asked := answers[signal.Query]
		if !asked {
			var err error
			if table, err = s.client.Query(ctx, signal.Query, clickhouse.Params{"drop": drop, "at": at}); err != nil {
				s.failed.WithLabelValues(signal.Query).Inc()
				problems = append(problems, err)
			}
			answers[signal.Query] = table
		}
		if table == nil {
			continue
		}
		for i := range table.Rows {
			r := row{table, i}
			value, ok := r.number(signal.Value)
			if !ok || math.IsNaN(value) {
				continue
			}
			labels := prometheus.Labels{"drop": drop}
			for _, name := range signal.Labels {
				labels[name] = r.text(name)
			}
			samples = append(samples, sample{signal.Metric, labels, value})
		}
	}
	return samples, errors.Join(problems...)
}
