package edge

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/models/offer"
)

// Metrics of the edge. Labels are bounded by closed lists and by the models in service.
type Metrics struct {
	models modelMetrics

	decisions  [numDegraded]prometheus.Counter
	refused    *prometheus.CounterVec // status
	offers     [offer.NotChosen + 1]prometheus.Counter
	noDrop     *prometheus.CounterVec // why
	latency    prometheus.Histogram
	champion   prometheus.Histogram
	shadow     prometheus.Histogram
	difference prometheus.Histogram
	shadowBad  prometheus.Counter
	scores     *prometheus.CounterVec // outcome
	waiting    prometheus.Gauge
	examples   *prometheus.CounterVec // outcome
	unlearned  prometheus.Counter
	unseen     prometheus.Counter
	promised   *prometheus.CounterVec // rule, currency
	invalid    *prometheus.CounterVec // topic, class
}

type modelMetrics struct {
	accepted prometheus.Counter
	evicted  prometheus.Counter
	refused  *prometheus.CounterVec // kind, class
	info     *prometheus.GaugeVec   // model, role, version
}

// scoreOutcomes are what becomes of a score record.
const (
	scoreProduced = "produced"
	scoreDropped  = "queue_full"
	scoreFailed   = "failed"
	scoreWithheld = "no_consent"
)

// NewMetrics registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	var errs []error
	add := func(c prometheus.Collector) {
		if reg != nil {
			if err := reg.Register(c); err != nil {
				errs = append(errs, fmt.Errorf("edge: metrics: %w", err))
			}
		}
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "droplift_edge_" + name, Help: help}, labels)
		add(c)
		return c
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "droplift_edge_" + name, Help: help, Buckets: buckets})
		add(h)
		return h
	}
	m := &Metrics{
		models: modelMetrics{
			accepted: counter("models_accepted_total", "Model artefacts that were proved and can be promoted."),
			evicted:  counter("models_evicted_total", "Versions that were forgotten because there are too many."),
			refused:  counters("models_refused_total", "Model and rollout records that never reach scoring, by what is wrong with them.", "kind", "class"),
			info:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "droplift_edge_model_info", Help: "1 for the versions that score now."}, []string{"model", "role", "version"}),
		},
		refused:    counters("requests_refused_total", "Requests that were answered with a client error, by status.", "status"),
		noDrop:     counters("drops_without_offer_total", "Answers without an offer because of the drop, by reason.", "reason"),
		latency:    histogram("decide_seconds", "Time from the request's headers to the answer being written.", .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5),
		champion:   histogram("champion_seconds", "Time the champion took for one score.", 1e-7, 2e-7, 5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 3e-5, 1e-4, 1e-3),
		shadow:     histogram("shadow_seconds", "Time the shadow took for one score.", 1e-7, 2e-7, 5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 3e-5, 1e-4, 1e-3),
		difference: histogram("shadow_difference", "Absolute difference between the champion's and the shadow's probability.", .001, .002, .005, .01, .02, .05, .1, .2, .5),
		shadowBad:  counter("shadow_not_finite_total", "Vectors that the shadow could not score."),
		scores:     counters("score_records_total", "Records of answers, by what became of them.", "outcome"),
		waiting:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "droplift_edge_score_queue", Help: "Answers whose record waits to be produced."}),
		examples:   counters("examples_total", "Outcomes of offers, by what was made of them.", "outcome"),
		unlearned:  counter("examples_of_unknown_offers_total", "Outcomes of offers that the configuration has no more."),
		unseen:     counter("transitions_dropped_total", "Transitions between assets that a bound left out."),
		invalid:    counters("records_invalid_total", "Records of the edge's memory that do not decode, by topic and class.", "topic", "class"),
		promised:   counters("discounts_promised_total", "Discounts promised, in minor units.", "rule", "currency"),
	}
	add(m.models.info)
	add(m.waiting)
	decisions := counters("decisions_total", "Answers, by why they are degraded; ok are not.", "outcome")
	for i := range m.decisions {
		name := Degraded(i).String()
		if name == "" {
			name = "ok"
		}
		m.decisions[i] = decisions.WithLabelValues(name)
	}
	offers := counters("offers_total", "Answers to players in a live drop with offers, by why none was made; made were.", "outcome")
	for i := range m.offers {
		name := offer.Reason(i).String()
		if name == "" {
			name = "made"
		}
		m.offers[i] = offers.WithLabelValues(name)
	}
	return m, errors.Join(errs...)
}

// serves says who scores now.
func (m *modelMetrics) serves(name string, s *Serving) {
	m.info.DeletePartialMatch(prometheus.Labels{"model": name})
	for role, served := range map[string]*Served{"champion": s.Champion, "shadow": s.Shadow} {
		if served != nil {
			m.info.WithLabelValues(name, role, served.Version).Set(1)
		}
	}
}

func seconds(h prometheus.Histogram, d time.Duration) { h.Observe(d.Seconds()) }
