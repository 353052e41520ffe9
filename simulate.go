package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
)

// Simulation is what a simulated drop is made of.
type Simulation struct {
	Scenario     string  `help:"Scenario: demo, tiny, story, or a YAML file." default:"demo" placeholder:"NAME|FILE"`
	Seed         uint64  `help:"Seed: the same one gives the same bytes." default:"1"`
	Truth        string  `help:"Write the true effects and the exact books here." placeholder:"FILE"`
	Speed        float64 `help:"Simulated seconds per second during the drop; 0 plays it as fast as it goes." default:"960"`
	HistorySpeed float64 `help:"The same for the history before it and the days after it." default:"0"`
}

func (s *Simulation) scenario() (simulate.Scenario, error) {
	scenario, err := s.load()
	// The log stamps records with the real clock, which is not the simulated one: no event may rely on it.
	scenario.Faults.NoIngestTime = 0
	return scenario, err
}

func (s *Simulation) load() (simulate.Scenario, error) {
	switch s.Scenario {
	case "demo":
		return simulate.Demo(s.Seed), nil
	case "tiny":
		return simulate.Tiny(s.Seed), nil
	case "story":
		return simulate.Story(s.Seed), nil
	}
	text, err := os.ReadFile(s.Scenario)
	if err != nil {
		return simulate.Scenario{}, fmt.Errorf("--scenario is demo, tiny, story or a file: %w", err)
	}
	scenario := simulate.Scenario{Seed: s.Seed}
	if err := yaml.UnmarshalWithOptions(text, &scenario, yaml.Strict()); err != nil {
		return simulate.Scenario{}, fmt.Errorf("scenario %s: %s", s.Scenario, yaml.FormatError(err, false, true))
	}
	return scenario, nil
}

// writeTruth writes what the generator knows, once it has generated everything.
func (s *Simulation) writeTruth(generator *simulate.Generator) error {
	if s.Truth == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.Truth), 0o755); err != nil {
		return fmt.Errorf("--truth: %w", err)
	}
	file, err := os.Create(s.Truth)
	if err != nil {
		return fmt.Errorf("--truth: %w", err)
	}
	return errors.Join(simulate.WriteTruth(file, generator.Truth()), file.Close())
}

// SimulateCmd generates into Kafka.
type SimulateCmd struct {
	Simulation `embed:""`
	Resume     bool `help:"Go on where an interrupted run of the same scenario stopped: the topics must hold nothing else."`
}

// Help is shown by --help.
func (c *SimulateCmd) Help() string {
	return "Generates players, sessions, edge requests, checkouts and subtitles of one drop and the weeks before it, with " +
		"known effects of latency, creators, purchases and experiments, and with the faults real clients send: duplicates, " +
		"late and out-of-order events, wrong clocks, malformed records.\n\nExample:\n\n  droplift simulate --scenario tiny --speed 0 --truth truth.json"
}

func (c *SimulateCmd) Run(ctx context.Context, cfg *Config) error {
	log := cfg.logger(os.Stderr)
	scenario, err := c.scenario()
	if err != nil {
		return err
	}
	generator, err := simulate.New(scenario)
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
	player := &player{generator: generator, speed: c.Speed, historySpeed: c.HistorySpeed}
	if c.Resume {
		if err := player.resume(ctx, conf, log); err != nil {
			return err
		}
	}
	bar := newBar("Simulating", 1000)
	player.observe = func(p simulate.Progress) { bar.set(p.Phase.String(), int64(p.Fraction*1000)) }
	if err := player.play(ctx, conf); err != nil {
		return err
	}
	bar.finish()
	fmt.Fprintf(os.Stderr, "%d records of seed %d produced.\n", player.produced, scenario.Seed)
	return c.writeTruth(generator)
}

// player sends a generator's records at the speed asked for.
type player struct {
	generator           *simulate.Generator
	speed, historySpeed float64
	observe             func(simulate.Progress)
	// sending, unless nil, is told of every record that is sent now.
	sending func(*simulate.Record)
	// hold, unless nil, is called after every holdEvery records and waits for whoever reads them.
	hold func(context.Context) error

	// have counts, per topic and partition, records that an interrupted run left in the log.
	have     map[string]map[int32]int64
	topic    func(event.Kind) string
	produced uint64
}

// resume asks the log how much of the run it holds. The generator sends the same
// records in the same order, so the end offset of a partition is their number.
func (p *player) resume(ctx context.Context, conf kafka.Config, log *slog.Logger) error {
	admin, err := kafka.NewAdmin(conf)
	if err != nil {
		return err
	}
	defer admin.Close()
	p.topic = conf.Topic
	if p.have, err = admin.EndOffsets(ctx, conf.Topics(event.RawKinds()...)...); err != nil {
		return err
	}
	var total int64
	for _, partitions := range p.have {
		for _, end := range partitions {
			total += end
		}
	}
	if total > 0 {
		log.Info("going on with an interrupted run", "records_in_kafka", total)
	}
	return nil
}

// sent says whether an earlier run sent this record.
func (p *player) sent(r *simulate.Record) bool {
	if p.have == nil {
		return false
	}
	partitions := p.have[p.topic(r.Kind)]
	number := kafka.PartitionOf(r.Key, int32(len(partitions)))
	if partitions[number] == 0 {
		return false
	}
	partitions[number]--
	return true
}

// holdEvery is how many records are sent between two calls of hold.
const holdEvery = 4096

// observeEvery is how often progress is reported and, at least, records are handed over.
const observeEvery = 50 * time.Millisecond

// play sends everything and returns when the broker has it.
func (p *player) play(ctx context.Context, conf kafka.Config) error {
	return p.playUntil(ctx, conf, func(*simulate.Record) bool { return false })
}

// playUntil stops behind the first record for which stop holds; calling it again goes on.
func (p *player) playUntil(ctx context.Context, conf kafka.Config, stop func(*simulate.Record) bool) error {
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{Name: "simulate"})
	if err != nil {
		return err
	}
	defer producer.Close()

	var clock pace
	batch := make([]event.Message, 0, 1024)
	held := 0
	reported := time.Now()
	send := func() error {
		err := producer.Produce(ctx, batch...)
		p.produced += uint64(len(batch))
		held += len(batch)
		batch = batch[:0]
		if err == nil && p.hold != nil && held >= holdEvery {
			held = 0
			err = p.hold(ctx)
		}
		return err
	}
	var r simulate.Record
	for p.generator.Next(&r) {
		if !p.sent(&r) {
			speed := p.speed
			if r.Phase != simulate.Live {
				speed = p.historySpeed
			}
			if wait := clock.wait(time.Now(), r.At, speed); wait > 0 {
				if err := send(); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(wait):
				}
			}
			batch = append(batch, event.Message{Kind: r.Kind, Key: r.Key, Value: r.Value})
			if p.sending != nil {
				p.sending(&r)
			}
			if len(batch) == cap(batch) {
				if err := send(); err != nil {
					return err
				}
			}
		}
		if p.generator.Progress().Records%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if now := time.Now(); p.observe != nil && now.Sub(reported) >= observeEvery {
				p.observe(p.generator.Progress())
				reported = now
			}
		}
		if stop(&r) {
			break
		}
	}
	if err := send(); err != nil {
		return err
	}
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	if p.observe != nil {
		p.observe(p.generator.Progress())
	}
	return nil
}

// pace maps simulated to real time, from the first paced record on.
type pace struct {
	speed         float64
	began         time.Time
	simulatedFrom int64
}

// wait is how long to hold a record sent at the simulated time at (Unix ms).
// Waits below a few milliseconds are saved up.
func (p *pace) wait(now time.Time, at int64, speed float64) time.Duration {
	if speed <= 0 {
		return 0
	}
	if speed != p.speed {
		*p = pace{speed: speed, began: now, simulatedFrom: at}
	}
	due := p.began.Add(time.Duration(float64(at-p.simulatedFrom) / speed * float64(time.Millisecond)))
	if wait := due.Sub(now); wait > 5*time.Millisecond {
		return wait
	}
	return 0
}
