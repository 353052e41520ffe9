package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/replay"
)

// ReplayCmd turns files into events.
type ReplayCmd struct {
	Mapping string   `arg:"" help:"A mapping that ships with droplift (see --help), or a YAML file." placeholder:"MAPPING"`
	Files   []string `arg:"" help:"Files to replay, in this order." type:"existingfile" placeholder:"FILE"`
	Resume  bool     `help:"Keep a checkpoint beside each reject file and go on from it." default:"true" negatable:""`
	Rejects string   `help:"Directory for refused rows and checkpoints; the default is below --data-dir." placeholder:"DIR"`
}

// Help is shown by --help.
func (c *ReplayCmd) Help() string {
	return "Mappings that ship: " + strings.Join(replay.Builtins(), ", ") + ".\n\n" + replay.Help
}

func (c *ReplayCmd) Run(ctx context.Context, cfg *Config) error {
	log := cfg.logger(os.Stderr)
	mapping, err := replay.Load(c.Mapping)
	if err != nil {
		return err
	}
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, log)
	if err != nil {
		return err
	}
	if err := cfg.ensureTopics(ctx, conf, log); err != nil {
		return err
	}
	if c.Rejects == "" {
		c.Rejects = cfg.DataDir + "/replay"
	}
	if err := os.MkdirAll(c.Rejects, 0o755); err != nil {
		return fmt.Errorf("--rejects: %w", err)
	}
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{Name: "replay"})
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := errors.Join(producer.Produce(ctx, mapping.Catalogue()...), producer.Flush(ctx)); err != nil {
		return err
	}
	for _, path := range c.Files {
		if err := c.file(ctx, producer, mapping, path, log); err != nil {
			return fmt.Errorf("replay %s: %w", path, err)
		}
	}
	return nil
}

// flushEvery is how many records are handed over between two acknowledgements.
const flushEvery = 10_000

func (c *ReplayCmd) file(ctx context.Context, producer *kafka.Producer, mapping *replay.Mapping, path string, log *slog.Logger) (err error) {
	name := c.Rejects + "/" + mapping.Name() + "-" + strings.NewReplacer("/", "_", "\\", "_").Replace(path)
	config := replay.Config{Mapping: mapping, Path: path, RejectPath: name + ".rejects.jsonl", Log: log}
	if c.Resume {
		config.CheckpointPath = name + ".checkpoint"
	}
	reader, err := replay.Open(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()

	_, total := reader.Progress()
	bar := newBar(path, total)
	batch := make([]event.Message, 0, 512)
	numbers := make([]uint64, 0, flushEvery)
	// acknowledge waits for the broker, then moves the checkpoint over everything sent.
	acknowledge := func() error {
		if err := errors.Join(producer.Produce(ctx, batch...), producer.Flush(ctx)); err != nil {
			return err
		}
		batch = batch[:0]
		for _, number := range numbers {
			if err := reader.Ack(number); err != nil {
				return err
			}
		}
		numbers = numbers[:0]
		return reader.Checkpoint()
	}
	var item replay.Item
	for {
		err := reader.Next(&item)
		if err == io.EOF {
			break
		}
		if err != nil {
			return errors.Join(err, acknowledge())
		}
		batch = append(batch, item.Message)
		numbers = append(numbers, item.Number)
		if len(batch) == cap(batch) {
			if err := producer.Produce(ctx, batch...); err != nil {
				return err
			}
			batch = batch[:0]
			read, _ := reader.Progress()
			bar.set(path, read)
		}
		if len(numbers) == cap(numbers) {
			if err := acknowledge(); err != nil {
				return err
			}
		}
	}
	if err := acknowledge(); err != nil {
		return err
	}
	bar.finish()
	c.summary(path, config.RejectPath, reader.Stats())
	return nil
}

func (c *ReplayCmd) summary(path, rejects string, stats replay.Stats) {
	fmt.Printf("%s: %d records, %d events, %d skipped, %d rejected", path, stats.Records, stats.Events, stats.Skipped, stats.Rejected)
	if stats.Resumed > 0 {
		fmt.Printf(", %d sent before", stats.Resumed)
	}
	fmt.Println()
	for _, reason := range slices.Sorted(maps.Keys(stats.Reasons)) {
		fmt.Printf("  rejected as %s: %d, see %s\n", reason, stats.Reasons[reason], rejects)
	}
	for _, column := range slices.Sorted(maps.Keys(stats.Unmatched)) {
		fmt.Printf("  without a match for %s: %d\n", column, stats.Unmatched[column])
	}
	if stats.Residues > 0 {
		fmt.Printf("  amounts rounded within the mapping's tolerance: %d\n", stats.Residues)
	}
}
