package features

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "droplift_features_"

// recordOutcome is what became of a record of the topic.
type recordOutcome uint8

const (
	recordApplied recordOutcome = iota
	recordOlder                 // a newer revision is known
	recordDeleted
	recordInvalid
	recordOutcomes
)

var recordNames = [recordOutcomes]string{"applied", "older", "deleted", "invalid"}

// storeMetrics are a Store's and a Snapshot's.
type storeMetrics struct {
	players, bytes prometheus.Gauge
	lag            *prometheus.GaugeVec
	freshness      prometheus.Histogram
	records        [recordOutcomes]prometheus.Counter
	lookups        map[Outcome]prometheus.Counter // fixed
	refused        *prometheus.CounterVec
	written        *prometheus.CounterVec
}

func newStoreMetrics(reg prometheus.Registerer) (*storeMetrics, error) {
	r := registry{reg: reg}
	m := &storeMetrics{
		players: r.gauge("players", "Players known."),
		bytes:   r.gauge("bytes", "Bytes of their names and packed features, without the tables that find them."),
		lag: add(&r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: namespace + "lag_records", Help: "Records of the features topic that are committed and not read yet, by partition.",
		}, []string{"partition"})),
		freshness: add(&r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: namespace + "freshness_seconds", Help: "Time from the publication of a player's features to their being served.",
			Buckets: []float64{.005, .01, .025, .05, .1, .15, .2, .3, .5, 1, 2.5, 5, 10},
		})),
		lookups: map[Outcome]prometheus.Counter{},
		refused: r.counters("snapshots_refused_total", "Snapshots that were not used, by cause.", "cause"),
		written: r.counters("snapshots_total", "Snapshots, by outcome.", "outcome"),
	}
	records := r.counters("records_total", "Records of the topics, by what became of them.", "outcome")
	for i, name := range recordNames {
		m.records[i] = records.WithLabelValues(name)
	}
	lookups := r.counters("lookups_total", "Players asked for, by what was found.", "outcome")
	for _, outcome := range []Outcome{Found, Stale, Unknown, Elsewhere} {
		m.lookups[outcome] = lookups.WithLabelValues(string(outcome))
	}
	for _, cause := range []Cause{Corrupt, Unreadable, OtherFormat, OtherFeatures, Foreign, TooOld, Gone} {
		m.refused.WithLabelValues(string(cause))
	}
	return m, errors.Join(r.errs...)
}

// registry collects the errors of registering.
type registry struct {
	reg  prometheus.Registerer
	errs []error
}

func add[C prometheus.Collector](r *registry, c C) C {
	if r.reg != nil {
		if err := r.reg.Register(c); err != nil {
			r.errs = append(r.errs, fmt.Errorf("features: metrics: %w", err))
		}
	}
	return c
}

func (r *registry) gauge(name, help string) prometheus.Gauge {
	return add(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: namespace + name, Help: help}))
}

func (r *registry) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return add(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: namespace + name, Help: help}, labels))
}

// requestMetrics are a Handler's: what it answers on a route, and how long it takes.
type requestMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newRequestMetrics(reg prometheus.Registerer) (*requestMetrics, error) {
	r := registry{reg: reg}
	m := &requestMetrics{
		requests: r.counters("requests_total", "Requests, by route, status and what was wrong with a refused one.", "route", "status", "refused"),
		seconds: add(&r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: namespace + "request_seconds", Help: "Time from a request's header to the end of its answer, by route.",
			Buckets: []float64{.0001, .00025, .0005, .001, .002, .005, .01, .025, .05, .1, .5, 1},
		}, []string{"route"})),
	}
	return m, errors.Join(r.errs...)
}

// routeMetrics are those of one route, looked up once.
type routeMetrics struct {
	good    prometheus.Counter
	seconds prometheus.Observer
	refused func(status int, why string) prometheus.Counter
}

func (m *requestMetrics) route(name string) routeMetrics {
	return routeMetrics{
		good:    m.requests.WithLabelValues(name, strconv.Itoa(http.StatusOK), ""),
		seconds: m.seconds.WithLabelValues(name),
		refused: func(status int, why string) prometheus.Counter {
			return m.requests.WithLabelValues(name, strconv.Itoa(status), why)
		},
	}
}
