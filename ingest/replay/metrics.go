package replay

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the Readers that share it do.
type Metrics struct {
	events, skipped, rejected prometheus.Counter
}

// NewMetrics registers droplift_replay_records_total by outcome: event, skipped or rejected.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	records := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "droplift_replay_records_total",
		Help: "Records read from replayed files, by what became of them.",
	}, []string{"outcome"})
	if err := reg.Register(records); err != nil {
		return nil, err
	}
	return &Metrics{
		events:   records.WithLabelValues("event"),
		skipped:  records.WithLabelValues("skipped"),
		rejected: records.WithLabelValues("rejected"),
	}, nil
}

func (m *Metrics) emit() {
	if m != nil {
		m.events.Inc()
	}
}

func (m *Metrics) skip() {
	if m != nil {
		m.skipped.Inc()
	}
}

func (m *Metrics) refuse() {
	if m != nil {
		m.rejected.Inc()
	}
}
