package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors"
)

// loop is one consumer group of an installation and what it reads.
type loop struct {
	group string
	kinds []event.Kind
}

// loops are the consumer groups that records pass through, in this order.
func (c *Config) loops() []loop {
	return []loop{{c.ProcessGroup, stageInputs}, {c.RollupGroup, rollupInputs}, {c.SinkGroup, sinkKinds}}
}

// topics are the topics of an installation with this configuration.
func (c *Config) topics() kafka.Topics {
	return kafka.Topics{
		Partitions:         c.KafkaPartitions,
		SubtitlePartitions: c.KafkaPartitions,
		Replication:        c.KafkaReplication,
		Groups:             []string{c.ProcessGroup, c.RollupGroup},
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
		ProgressEvery:   time.Minute.Milliseconds(),
		Inputs:          stageInputs,
		Quiet:           quietInputs,
	}
}

// newStage makes the processors' stage: every rule set over one decode of each record. instance is this process's own.
func (n *node) newStage(instance string, catalogue processors.Catalogue, shared stageParts) (*kafka.Stage, error) {
	partitionConfig := n.cfg.partitionConfig()
	if err := partitionConfig.Validate(); err != nil {
		return nil, err
	}
	all, err := n.partitionRules(catalogue)
	if err != nil {
		return nil, err
	}
	if err := processors.ValidateRules(all(0)); err != nil {
		return nil, err
	}
	makeRules := func(partition int32) []processors.Rule {
		return slices.DeleteFunc(all(partition), func(rule processors.Rule) bool {
			return n.cfg.onlyRules != nil && !slices.Contains(n.cfg.onlyRules, rule.Name())
		})
	}
	return n.makeStage(n.cfg.ProcessGroup, stageInputs, instance, shared, func(partition int32) kafka.Task {
		rules := makeRules(partition)
		return shared.metrics.observe(n.cfg.ProcessGroup, partition, processors.NewPartition(partition, partitionConfig, catalogue, rules), counting(rules))
	})
}

// newRollup makes the second stage, which adds up what the first one publishes of each drop.
func (n *node) newRollup(instance string, catalogue processors.Catalogue, shared stageParts) (*kafka.Stage, error) {
	makeRules, err := n.rollupRules(catalogue)
	if err != nil {
		return nil, err
	}
	if err := processors.ValidateRules(makeRules(0)); err != nil {
		return nil, err
	}
	return n.makeStage(n.cfg.RollupGroup, rollupInputs, instance, shared, func(partition int32) kafka.Task {
		rules := makeRules(partition)
		task := deciding(shared.metrics.decisions, partition, processors.NewRollup(partition, rules), rules)
		return shared.metrics.observe(n.cfg.RollupGroup, partition, task, counting(rules))
	})
}

// stageParts are what the stages of one process share.
type stageParts struct {
	memory  *kafka.MemoryGuard
	metrics *taskMetrics
}

func (n *node) makeStage(group string, inputs []event.Kind, instance string, shared stageParts, newTask func(int32) kafka.Task) (*kafka.Stage, error) {
	c := n.cfg
	return kafka.NewStage(n.kafka, kafka.StageConfig{
		Group:              group,
		Inputs:             inputs,
		NewTask:            newTask,
		Instance:           instance,
		Static:             c.Instance != "",
		CommitInterval:     c.ProcessCommitInterval,
		TransactionTimeout: c.ProcessTxnTimeout,
		SessionTimeout:     c.SessionTimeout,
		Snapshots:          c.snapshots(),
		Memory:             shared.memory,
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
