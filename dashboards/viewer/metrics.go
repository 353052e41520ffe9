package viewer

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "droplift_viewer_"

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	cache    *prometheus.CounterVec
	queries  *prometheus.CounterVec
	query    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: namespace + name, Help: help}, labels)
	}
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, 1, 2.5, 5, 10}
	m := &metrics{
		requests: counters("requests_total", "Requests for data, by route and status code.", "route", "code"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: namespace + "request_seconds", Help: "Time to answer a request for data, by route.", Buckets: buckets,
		}, []string{"route"}),
		cache:   counters("answers_total", "Answers of queries that requests needed: from the cache (hit), of a query that another request had begun (shared), or of one of their own (miss).", "from"),
		queries: counters("queries_total", "Queries that were run, by outcome: ok or the class of the problem.", "outcome"),
		query: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: namespace + "query_seconds", Help: "Time that a query took, without waiting for its turn.", Buckets: buckets,
		}),
	}
	return m, errors.Join(reg.Register(m.requests), reg.Register(m.seconds), reg.Register(m.cache), reg.Register(m.queries), reg.Register(m.query))
}

func (m *metrics) asked(took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = string(asProblem(err).Class)
	}
	m.queries.WithLabelValues(outcome).Inc()
	m.query.Observe(took.Seconds())
}

// measured is a route of the API: problems become answers, and all of it is counted.
func (h *Handler) measured(route string, answer func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		code := http.StatusOK
		w.Header().Set("Cache-Control", "no-store")
		if err := answer(w, r); err != nil {
			p := asProblem(err)
			code = statuses[p.Class]
			if p.Class == Internal {
				h.cfg.Logger.Error("the viewer cannot answer", "path", r.URL.Path, "error", err)
			}
			writeProblem(w, p)
		}
		h.metrics.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
		h.metrics.seconds.WithLabelValues(route).Observe(time.Since(began).Seconds())
	})
}
