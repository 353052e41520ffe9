package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
	"github.com/droplift/droplift/processors/velocity"
)

// stageInputs are the kinds that the processors read. Subtitles have no rule set
// yet, but are judged with the others, so that a bad one is dead-lettered.
var stageInputs = []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout, event.KindSubtitle}

// topics are the topics of an installation with this configuration.
func (c *Config) topics() kafka.Topics {
	return kafka.Topics{
		Partitions:         c.KafkaPartitions,
		SubtitlePartitions: c.KafkaPartitions,
		Replication:        c.KafkaReplication,
		Groups:             []string{c.ProcessGroup},
	}
}

// ensureTopics creates what is missing and refuses what cannot work.
func (c *Config) ensureTopics(ctx context.Context, conf kafka.Config, log *slog.Logger) error {
	admin, err := kafka.NewAdmin(conf)
	if err != nil {
		return err
	}
	defer admin.Close()
	warnings, err := admin.EnsureTopics(ctx, c.topics())
	for _, warning := range warnings {
		log.Warn(warning)
	}
	return err
}

// partitionConfig is how the processors judge records.
func (c *Config) partitionConfig() processors.Config {
	return processors.Config{
		OutOfOrderness:  c.OutOfOrderness.Milliseconds(),
		AllowedLateness: c.AllowedLateness.Milliseconds(),
		IdleAfter:       c.IdleAfter.Milliseconds(),
		Inputs:          stageInputs,
	}
}

// newStage makes the processors' stage: churn and velocity over one decode of each record. instance is this process's own.
func (n *node) newStage(instance string, catalogue processors.Catalogue) (*kafka.Stage, error) {
	c := n.cfg
	partitionConfig := c.partitionConfig()
	if err := partitionConfig.Validate(); err != nil {
		return nil, err
	}
	velocityConfig := velocity.Config{Logger: n.log}
	if err := velocityConfig.Validate(); err != nil {
		return nil, err
	}
	memory, err := c.memoryGuard(n.ops, n.log)
	if err != nil {
		return nil, err
	}
	metrics := newTaskMetrics(n.ops.registry)
	return kafka.NewStage(n.kafka, kafka.StageConfig{
		Group:  c.ProcessGroup,
		Inputs: stageInputs,
		NewTask: func(partition int32) kafka.Task {
			v, err := velocity.New(velocityConfig, partition, catalogue)
			if err != nil {
				panic(fmt.Sprintf("velocity: %v, though its configuration was valid", err))
			}
			rules := []processors.Rule{churn.New(churn.Config{}), v}
			return metrics.observe(partition, processors.NewPartition(partition, partitionConfig, catalogue, rules), v)
		},
		Instance:           instance,
		Static:             c.Instance != "",
		CommitInterval:     c.ProcessCommitInterval,
		TransactionTimeout: c.ProcessTxnTimeout,
		SessionTimeout:     c.SessionTimeout,
		Snapshots:          c.snapshots(),
		Memory:             memory,
		Logger:             n.log,
	})
}

// snapshots says where the processors keep them.
func (c *Config) snapshots() kafka.SnapshotConfig {
	s := kafka.SnapshotConfig{Dir: c.SnapshotDir, Interval: c.SnapshotInterval}
	switch c.SnapshotDir {
	case "auto":
		s.Dir = filepath.Join(c.DataDir, "snapshots")
	case "none":
		s.Dir = ""
	}
	return s
}

// taskMetrics publishes what the partitions counted, after each commit.
type taskMetrics struct {
	events      *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	refused     prometheus.Counter
	watermark   *prometheus.GaugeVec
	stateKeys   *prometheus.GaugeVec
	stateBytes  *prometheus.GaugeVec
}

func newTaskMetrics(registry *prometheus.Registry) *taskMetrics {
	partition := []string{"partition"}
	m := &taskMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_process_events_total",
			Help: "Records judged by the processors, by outcome; skewed ones are also counted as accepted.",
		}, []string{"outcome"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_process_dead_letters_total",
			Help: "Records that could not be counted, by class.",
		}, []string{"class"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "droplift_process_velocity_refused_total",
			Help: "Contributions that velocity could not count although their event was accepted; each is a defect or an absurd amount.",
		}),
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
	registry.MustRegister(m.events, m.deadLetters, m.refused, m.watermark, m.stateKeys, m.stateBytes)
	return m
}

func (m *taskMetrics) observe(number int32, p *processors.Partition, v *velocity.Rule) *observedTask {
	return &observedTask{Partition: p, velocity: v, metrics: m, label: strconv.Itoa(int(number))}
}

// observedTask is a Partition whose committed counts become metrics. Its owner's
// goroutine updates them, so that a scrape reads no partition.
type observedTask struct {
	*processors.Partition
	velocity *velocity.Rule
	metrics  *taskMetrics
	label    string
	before   processors.Stats
	refused  uint64
}

// Commit implements kafka.Task.
func (t *observedTask) Commit() {
	t.Partition.Commit()
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
		m.events.WithLabelValues(counter.outcome).Add(float64(counter.now - counter.before))
	}
	var deadLetters uint64
	for reason, count := range now.DeadLetters {
		added := count - t.before.DeadLetters[reason]
		deadLetters += added
		m.deadLetters.WithLabelValues(reason.String()).Add(float64(added))
	}
	m.events.WithLabelValues("dead_lettered").Add(float64(deadLetters))
	refused := t.velocity.Stats().Refused
	m.refused.Add(float64(refused - t.refused))
	t.refused = refused
	if now.Watermark != processors.NoWatermark {
		m.watermark.WithLabelValues(t.label).Set(float64(now.Watermark) / float64(time.Second/time.Millisecond))
	}
	m.stateKeys.WithLabelValues(t.label).Set(float64(now.StateKeys))
	m.stateBytes.WithLabelValues(t.label).Set(float64(now.StateBytes))
	t.before = now
}
