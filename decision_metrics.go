package main

import (
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// decisionMetrics publishes the newest decision about each drop, topic and subject, for autoscalers and alerts. A decision counts
// once its transaction has committed.
type decisionMetrics struct {
	value *prometheus.GaugeVec
	level *prometheus.GaugeVec
	at    *prometheus.GaugeVec

	mu sync.Mutex
	// owners says which partition said a thing, so that one that has left does not take away what its successor says.
	owners map[decisionSubject]int32
}

// decisionSubject is what a decision is about.
type decisionSubject struct{ drop, topic, subject string }

func newDecisionMetrics(registry *prometheus.Registry) *decisionMetrics {
	labels := []string{"drop", "topic", "subject"}
	m := &decisionMetrics{
		value: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_decision_value",
			Help: "Value of the newest decision about a drop: replicas, the pace of optional work (0 to 1), kinds of work shed.",
		}, labels),
		level: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_decision_level",
			Help: "Budget level behind the newest decision: 0 ok, 1 warn, 2 cap.",
		}, labels),
		at: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "droplift_decision_at_seconds",
			Help: "Event time as of which the newest decision was made (Unix seconds).",
		}, labels),
		owners: map[decisionSubject]int32{},
	}
	registry.MustRegister(m.value, m.level, m.at)
	return m
}

// set publishes a decision of a partition.
func (m *decisionMetrics) set(partition int32, d *event.Decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owners[decisionSubject{d.DropID, d.Topic, d.Subject}] = partition
	m.value.WithLabelValues(d.DropID, d.Topic, d.Subject).Set(d.Value)
	m.at.WithLabelValues(d.DropID, d.Topic, d.Subject).Set(float64(d.At) / 1000)
	for _, input := range d.Inputs {
		if input.Name == "level" {
			m.level.WithLabelValues(d.DropID, d.Topic, d.Subject).Set(input.Value)
		}
	}
}

// forget takes a partition's decisions away: another process speaks for its drops now.
func (m *decisionMetrics) forget(partition int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for about, owner := range m.owners {
		if owner != partition {
			continue
		}
		delete(m.owners, about)
		for _, gauge := range []*prometheus.GaugeVec{m.value, m.level, m.at} {
			gauge.DeleteLabelValues(about.drop, about.topic, about.subject)
		}
	}
}

// decidingTask is a task of the rollup stage whose committed decisions become gauges. Its owner's goroutine updates them.
type decidingTask struct {
	countedTask
	metrics   *decisionMetrics
	partition int32
	standing  []processors.Deciding
	// pending are the transaction's decisions.
	pending []event.Decision
	seeded  bool
}

// deciding wraps a task of the rollup stage.
func deciding[R any](metrics *decisionMetrics, partition int32, task countedTask, rules []R) countedTask {
	t := &decidingTask{countedTask: task, metrics: metrics, partition: partition}
	for _, rule := range rules {
		if d, ok := any(rule).(processors.Deciding); ok {
			t.standing = append(t.standing, d)
		}
	}
	return t
}

// Flush implements kafka.Task.
func (t *decidingTask) Flush(nowMS int64, caughtUp []bool) []event.Message {
	messages := t.countedTask.Flush(nowMS, caughtUp)
	for i := range messages {
		if messages[i].Kind != event.KindDecision {
			continue
		}
		// A decoder of its own, and a copy: the decision outlives both the decoder's next use and the message.
		var d event.Decision
		if err := new(event.Decoder).Decision(slices.Clone(messages[i].Value), &d); err != nil {
			panic(fmt.Sprintf("a rule published a decision that does not decode: %v in %s", err, messages[i].Value))
		}
		t.pending = append(t.pending, d)
	}
	return messages
}

// Commit implements kafka.Task. The first one hands out what a restored state has decided before.
func (t *decidingTask) Commit() {
	t.countedTask.Commit()
	if !t.seeded {
		t.seeded = true
		for _, rule := range t.standing {
			if err := rule.Standing(func(d *event.Decision) { t.metrics.set(t.partition, d) }); err != nil {
				panic(err) // the restore has read the same state
			}
		}
	}
	for i := range t.pending {
		t.metrics.set(t.partition, &t.pending[i])
	}
	t.pending = t.pending[:0]
}

// Rollback implements kafka.Task.
func (t *decidingTask) Rollback() {
	t.countedTask.Rollback()
	t.pending = t.pending[:0]
}

// Dropped implements kafka.Dropper.
func (t *decidingTask) Dropped() { t.metrics.forget(t.partition) }
