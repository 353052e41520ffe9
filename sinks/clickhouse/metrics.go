package clickhouse

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

// metrics of all loaders of a sink. Labels are table names and closed lists.
type metrics struct {
	rows, batches, bytes *prometheus.CounterVec
	insertSeconds        *prometheus.HistogramVec
	batchRows            *prometheus.HistogramVec
	retries              *prometheus.CounterVec
	undecodable          *prometheus.CounterVec
	refused              *prometheus.CounterVec
	age, perMinute       *prometheus.GaugeVec
	verified             *prometheus.CounterVec
	newestEvent          *prometheus.GaugeVec
	newestRecord         *prometheus.GaugeVec

	mu     sync.Mutex
	newest map[string]freshness
}

// freshness holds the newest event time and broker time written to a table (Unix ms).
type freshness struct{ event, record int64 }

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		rows:    counter("droplift_sink_rows_total", "Rows that ClickHouse has acknowledged.", "table"),
		batches: counter("droplift_sink_batches_total", "Batches that ClickHouse has acknowledged.", "table"),
		bytes:   counter("droplift_sink_record_bytes_total", "JSON bytes of the records in acknowledged batches.", "table"),
		insertSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "droplift_sink_insert_seconds", Help: "Time of one insert attempt, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}, []string{"table"}),
		batchRows: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "droplift_sink_batch_rows", Help: "Rows per acknowledged batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 11),
		}, []string{"table"}),
		retries:     counter("droplift_sink_insert_errors_total", "Failed insert attempts by what the error means.", "table", "class"),
		undecodable: counter("droplift_sink_undecodable_total", "Records left out because they cannot be decoded, by reason. The processors dead-letter raw ones, the feed the others.", "table", "reason"),
		refused:     counter("droplift_sink_refused_rows_total", "Rows that ClickHouse refuses; the feed dead-letters their records.", "table"),
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_sink_batch_age_limit_seconds", Help: "Age at which a batch is due, of the table's partition that may wait longest.",
		}, []string{"table"}),
		perMinute: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_sink_inserts_per_minute", Help: "Batches inserted during the last second or so, each a part of its table, by the minute.",
		}, []string{"table"}),
		verified: counter("droplift_sink_verifications_total", "Unsure batches looked up in the table, by what was there: all, none or some of the rows.", "table", "found"),
		newestEvent: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_sink_newest_event_time_seconds", Help: "Newest event time written; time() minus it is the freshness by event time.",
		}, []string{"table"}),
		newestRecord: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_sink_newest_record_time_seconds", Help: "Newest Kafka timestamp written; time() minus it is the freshness by arrival.",
		}, []string{"table"}),
		newest: map[string]freshness{},
	}
	if to == nil {
		return m, nil
	}
	var problems []error
	for _, c := range []prometheus.Collector{m.rows, m.batches, m.bytes, m.insertSeconds, m.batchRows, m.retries, m.undecodable, m.refused, m.age, m.perMinute, m.verified, m.newestEvent, m.newestRecord} {
		problems = append(problems, to.Register(c))
	}
	return m, errors.Join(problems...)
}

func (m *metrics) skipped(table string, reason event.Reason) {
	m.undecodable.WithLabelValues(table, reason.String()).Inc()
}

func (m *metrics) paced(table string, perMinute float64, age time.Duration) {
	m.perMinute.WithLabelValues(table).Set(perMinute)
	m.age.WithLabelValues(table).Set(age.Seconds())
}

func (m *metrics) written(table string, b *tally) {
	m.rows.WithLabelValues(table).Add(float64(b.rows))
	m.batches.WithLabelValues(table).Inc()
	m.bytes.WithLabelValues(table).Add(float64(b.bytes))
	m.batchRows.WithLabelValues(table).Observe(float64(b.rows))

	// Several loaders write one table: the gauge holds the newest of them all.
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := m.newest[table]
	newest.event = max(newest.event, b.newestEvent)
	newest.record = max(newest.record, b.newestRecord)
	m.newest[table] = newest
	m.newestEvent.WithLabelValues(table).Set(float64(newest.event) / 1000)
	m.newestRecord.WithLabelValues(table).Set(float64(newest.record) / 1000)
}
