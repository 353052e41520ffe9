package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors"
)

// taskMetrics publishes what the partitions counted, after each commit.
type taskMetrics struct {
	events      *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	outcomes    *prometheus.CounterVec
	watermark   *prometheus.GaugeVec
	stateKeys   *prometheus.GaugeVec
	stateBytes  *prometheus.GaugeVec
	decisions   *decisionMetrics
}

func newTaskMetrics(registry *prometheus.Registry) *taskMetrics {
	partition := []string{"stage", "partition"}
	m := &taskMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_process_events_total",
			Help: "Records judged by the processors, by outcome; skewed ones are also counted as accepted.",
		}, []string{"stage", "outcome"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_process_dead_letters_total",
			Help: "Records that could not be counted, by class.",
		}, []string{"stage", "class"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_process_rule_outcomes_total",
			Help: "What became of accepted events in a rule set, where it is out of the ordinary: refused, parked, alarmed.",
		}, []string{"rule", "outcome"}),
		watermark: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_process_watermark_seconds",
			Help: "Event time up to which a partition is complete (Unix seconds).",
		}, partition),
		stateKeys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_process_state_keys",
			Help: "Keys of a partition's state.",
		}, partition),
		stateBytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_process_state_bytes",
			Help: "Encoded keys and values of a partition's state.",
		}, partition),
	}
	m.decisions = newDecisionMetrics(registry)
	registry.MustRegister(m.events, m.deadLetters, m.outcomes, m.watermark, m.stateKeys, m.stateBytes)
	return m
}

// countedTask is what a task counts: a Partition or a Rollup.
type countedTask interface {
	kafka.Task
	Stats() processors.Stats
}

func (m *taskMetrics) observe(group string, number int32, task countedTask, rules map[string]processors.Counting) kafka.Task {
	return &observedTask{countedTask: task, rules: rules, metrics: m, stage: group, label: strconv.Itoa(int(number)), outcomes: map[[2]string]uint64{}}
}

// counting are the rules that count outcomes, by name.
func counting[R interface{ Name() string }](rules []R) map[string]processors.Counting {
	by := map[string]processors.Counting{}
	for _, rule := range rules {
		if c, ok := any(rule).(processors.Counting); ok {
			by[rule.Name()] = c
		}
	}
	return by
}

// observedTask is a task whose committed counts become metrics. Its owner's
// goroutine updates them, so that a scrape reads no partition.
type observedTask struct {
	countedTask
	rules    map[string]processors.Counting
	metrics  *taskMetrics
	stage    string
	label    string
	before   processors.Stats
	outcomes map[[2]string]uint64 // by rule and outcome
}

// Dropped implements kafka.Dropper: gauges of a partition that has moved would stand still here beside its new owner's.
func (t *observedTask) Dropped() {
	for _, gauge := range []*prometheus.GaugeVec{t.metrics.watermark, t.metrics.stateKeys, t.metrics.stateBytes} {
		gauge.DeleteLabelValues(t.stage, t.label)
	}
	if d, ok := t.countedTask.(kafka.Dropper); ok {
		d.Dropped()
	}
}

// Commit implements kafka.Task.
func (t *observedTask) Commit() {
	t.countedTask.Commit()
	now, m := t.Stats(), t.metrics
	for _, counter := range []struct {
		outcome     string
		now, before uint64
	}{
		{"accepted", now.Accepted, t.before.Accepted},
		{"duplicate", now.Duplicates, t.before.Duplicates},
		{"late", now.Late, t.before.Late},
		{"skewed", now.Skewed, t.before.Skewed},
	} {
		m.events.WithLabelValues(t.stage, counter.outcome).Add(float64(counter.now - counter.before))
	}
	var deadLetters uint64
	for reason, count := range now.DeadLetters {
		added := count - t.before.DeadLetters[reason]
		deadLetters += added
		m.deadLetters.WithLabelValues(t.stage, reason.String()).Add(float64(added))
	}
	m.events.WithLabelValues(t.stage, "dead_lettered").Add(float64(deadLetters))
	for rule, c := range t.rules {
		c.Outcomes(func(outcome string, total uint64) {
			key := [2]string{rule, outcome}
			m.outcomes.WithLabelValues(rule, outcome).Add(float64(total - t.outcomes[key]))
			t.outcomes[key] = total
		})
	}
	if now.Watermark != processors.NoWatermark {
		m.watermark.WithLabelValues(t.stage, t.label).Set(float64(now.Watermark) / float64(time.Second/time.Millisecond))
	}
	m.stateKeys.WithLabelValues(t.stage, t.label).Set(float64(now.StateKeys))
	m.stateBytes.WithLabelValues(t.stage, t.label).Set(float64(now.StateBytes))
	t.before = now
}
