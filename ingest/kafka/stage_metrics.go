package kafka

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/snapshot"
)

// stageMetrics are one stage's, all labelled stage=group. Labels are bounded by
// kinds, partitions and closed lists.
type stageMetrics struct {
	in           *prometheus.CounterVec // input, outcome
	out          *prometheus.CounterVec // kind
	changes      prometheus.Counter
	lag          *prometheus.GaugeVec // input, partition
	commit       prometheus.Histogram
	transaction  prometheus.Histogram
	commits      prometheus.Counter
	aborts       *prometheus.CounterVec // cause
	sessions     *prometheus.CounterVec // cause
	restores     prometheus.Counter
	restored     *prometheus.CounterVec // source
	restore      prometheus.Histogram
	restoreRate  prometheus.Gauge
	lastCommit   prometheus.Gauge
	ready        prometheus.Gauge
	lost         *prometheus.CounterVec // input
	ownedTasks   prometheus.Gauge
	rebalances   prometheus.Counter
	fetchErrors  prometheus.Counter
	keptOnMoving prometheus.Counter
	newest       *prometheus.GaugeVec     // input, partition
	age          *prometheus.HistogramVec // input
	time         *timeLedger

	snapshots        prometheus.Counter
	snapshotFailures prometheus.Counter
	snapshotRefused  *prometheus.CounterVec // cause
	snapshotBytes    prometheus.Counter
	snapshotSeconds  prometheus.Histogram
	snapshotHeld     prometheus.Histogram
	snapshotAsOf     *prometheus.GaugeVec // partition
}

// Sources of restored entries, label values.
const (
	fromSnapshot  = "snapshot"
	fromChangelog = "changelog"
)

// outcomeNames are the label values of event.Outcome, in its order.
var outcomeNames = [...]string{event.Accepted: "accepted", event.Duplicate: "duplicate", event.PastLateness: "late", event.DeadLettered: "dead_letter"}

func newStageMetrics(group string, reg prometheus.Registerer) (*stageMetrics, error) {
	r := registry{prefix: "droplift_stage_", labels: prometheus.Labels{"stage": group}, reg: reg}
	m := &stageMetrics{
		in:           r.counters("records_in_total", "Committed input records by what became of them.", "input", "outcome"),
		out:          r.counters("records_out_total", "Committed output records.", "kind"),
		changes:      r.counter("changelog_records_total", "Committed change-log records."),
		lag:          r.gauges("lag_records", "Offsets between the last commit and the end of the log.", "input", "partition"),
		commit:       r.histogram("commit_seconds", "From the first output produced to the end of the transaction.", prometheus.ExponentialBuckets(0.001, 2, 14)),
		transaction:  r.histogram("transaction_records", "Input records of a committed transaction.", prometheus.ExponentialBuckets(1, 4, 10)),
		commits:      r.counter("commits_total", "Committed transactions."),
		aborts:       r.counters("aborts_total", "Aborted transactions by cause.", "cause"),
		sessions:     r.counters("session_restarts_total", "Times that all tasks were dropped and restored, by cause.", "cause"),
		restores:     r.counter("restores_total", "Tasks restored."),
		restored:     r.counters("restored_records_total", "Entries read back, from snapshots and from the change-log.", "source"),
		restore:      r.histogram("restore_seconds", "Time to restore the tasks of one assignment.", prometheus.ExponentialBuckets(0.01, 2, 14)),
		restoreRate:  r.gauge("restore_rate_records_per_second", "Throughput of the last restore."),
		lastCommit:   r.gauge("last_commit_timestamp_seconds", "Unix time of the last committed transaction."),
		ready:        r.gauge("ready", "1 while the stage processes."),
		lost:         r.counters("lost_offsets_total", "Offsets that retention removed before they were processed.", "input"),
		ownedTasks:   r.gauge("tasks", "Tasks this process owns."),
		rebalances:   r.counter("rebalances_total", "Assignments received."),
		fetchErrors:  r.counter("fetch_errors_total", "Fetches that failed."),
		keptOnMoving: r.counter("kept_tasks_total", "Tasks that kept their memory over a rebalance."),
		newest: r.gauges("committed_record_timestamp_seconds", "Kafka timestamp (Unix seconds) of the last committed record; while there is lag, time() minus it is how stale the outputs are.",
			"input", "partition"),
		age: r.histograms("record_age_seconds", "Age by Kafka timestamp, at its commit, of the oldest record that a transaction holds of an input partition.",
			ageBuckets, "input"),
		time: newTimeLedger(&r, "Where the time of the stage's loop went: "+
			"idle or fetch (waiting for records without or with lag), process, produce, commit, restore, rebalance, backoff (after a failure), memory (waiting for it to fall).", false, stageActivities),

		snapshots:        r.counter("snapshots_written_total", "Snapshots of a task's state written."),
		snapshotFailures: r.counter("snapshot_failures_total", "Snapshots that could not be written."),
		snapshotRefused:  r.counters("snapshots_refused_total", "Snapshots found at a restore and not used, by cause.", "cause"),
		snapshotBytes:    r.counter("snapshot_written_bytes_total", "Bytes of snapshots written."),
		snapshotSeconds:  r.histogram("snapshot_seconds", "Time to copy a task's state and write it.", prometheus.ExponentialBuckets(0.01, 2, 14)),
		snapshotHeld:     r.histogram("snapshot_copy_seconds", "Time that a task was held to copy its state.", prometheus.ExponentialBuckets(0.0001, 2, 16)),
		snapshotAsOf:     r.gauges("snapshot_timestamp_seconds", "Unix time of the state in a partition's newest snapshot; time() less this is its age.", "partition"),
	}
	for _, source := range []string{fromSnapshot, fromChangelog} {
		m.restored.WithLabelValues(source)
	}
	for _, cause := range snapshot.Causes() {
		m.snapshotRefused.WithLabelValues(string(cause))
	}
	// Every cause is there from the start, at 0: a rate over a series that appears with its first abort would miss it.
	for _, cause := range []class{retryable, permanent, cancelled, fenced, rebalanced, unknown} {
		m.aborts.WithLabelValues(string(cause))
	}
	return m, r.err()
}

// ageBuckets are of the ages of records: 10 ms to 3 days.
var ageBuckets = prometheus.ExponentialBuckets(0.01, 3, 16)

// registry registers metrics under one prefix and set of constant labels, and
// keeps the errors for the end.
type registry struct {
	prefix string
	labels prometheus.Labels
	reg    prometheus.Registerer
	errs   []error
}

func (r *registry) add(c prometheus.Collector) {
	if r.reg == nil {
		return
	}
	if err := r.reg.Register(c); err != nil {
		r.errs = append(r.errs, fmt.Errorf("kafka: metrics: %w", err))
	}
}

func (r *registry) err() error { return errors.Join(r.errs...) }

func (r *registry) opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Name: r.prefix + name, Help: help, ConstLabels: r.labels}
}

func (r *registry) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts(r.opts(name, help)))
	r.add(c)
	return c
}

func (r *registry) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts(r.opts(name, help)), labels)
	r.add(c)
	return c
}

func (r *registry) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts(r.opts(name, help)))
	r.add(g)
	return g
}

func (r *registry) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts(r.opts(name, help)), labels)
	r.add(g)
	return g
}

func (r *registry) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: r.prefix + name, Help: help, ConstLabels: r.labels, Buckets: buckets}, labels)
	r.add(h)
	return h
}

func (r *registry) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: r.prefix + name, Help: help, ConstLabels: r.labels, Buckets: buckets})
	r.add(h)
	return h
}
