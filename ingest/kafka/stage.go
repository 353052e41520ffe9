package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

// Task is the state machine of one partition number over all inputs. The stage
// calls it from one goroutine at a time, in this order only:
//
//	Process ... Process, Flush, Changes, then Commit or Rollback
//
// Restore comes first, on a Task that has seen nothing else. Snapshot may come before Process.
type Task interface {
	// Process folds one record. The record's bytes stay valid; they are shared, so never changed.
	Process(r event.Record) event.Outcome
	// Flush completes the transaction's outputs. caughtUp says, per input in StageConfig.Inputs
	// order, that everything in the log has been processed. The messages must stay unchanged until Commit or Rollback.
	Flush(nowMS int64, caughtUp []bool) []event.Message
	// Changes lists the change-log entries; nil deletes a key. A value must stay unchanged
	// until Commit or Rollback; key is copied.
	Changes(each func(key string, value []byte))
	Commit()
	Rollback()
	// Restore puts back one change-log entry and copies what it keeps.
	Restore(key string, value []byte) error
	// Snapshot hands out every committed entry, each key once, in the form that Restore takes. It changes nothing. Keys
	// and values need stay valid during the call only.
	Snapshot(each func(key string, value []byte))
}

// Dropper is a Task that wants to know when this process owns it no longer: after its last call, whatever the reason.
type Dropper interface{ Dropped() }

// StageConfig describes a transactional stage. Group, Inputs and NewTask are
// required.
type StageConfig struct {
	// Group is the consumer group; it names the change-log and the metrics.
	Group string
	// Inputs are co-partitioned kinds: partition p of all of them goes to Task p.
	Inputs []event.Kind
	// NewTask makes an empty task, which the stage restores.
	NewTask func(partition int32) Task
	// Instance tells this process from the group's others, and must be the same after a restart for its
	// unfinished transaction to be ended at once instead of at TransactionTimeout. Two
	// processes with one instance fence each other. Default: random.
	Instance string
	// Static makes Instance, which must then be a name by CheckInstance, the group's name for this member too. Restarted within SessionTimeout it gets
	// its partitions back and nobody else's move. In return Run does not leave the group when it stops: what the
	// member had waits for it, unprocessed, until then. A process that loses its name to another ends with an error.
	Static bool
	// CommitInterval is how long a transaction gathers records. Default 100 ms.
	CommitInterval time.Duration
	// FlushInterval is how often a task without records is flushed. Default 1 s.
	FlushInterval time.Duration
	// MaxRecords of one transaction. Default 50,000.
	MaxRecords int
	// LagInterval is how often end offsets are asked for. Default 5 s.
	LagInterval time.Duration
	// ShutdownTimeout is how long Run may take to end the transaction at hand and leave the group. Default 10 s.
	ShutdownTimeout time.Duration
	// TransactionTimeout is when the broker aborts a transaction whose owner is gone. Default 20 s, or half of SessionTimeout if that is less; under SessionTimeout.
	TransactionTimeout time.Duration
	// SessionTimeout is when the group gives a silent member's partitions away. Default 45 s.
	SessionTimeout time.Duration
	// Snapshots of the tasks' state, for fast restores. Default: none.
	Snapshots SnapshotConfig
	// Memory slows the stage down near the process's limit. Default: nobody watches.
	Memory *MemoryGuard
	// Clock is for rate limits and idleness, never for results. Default time.Now.
	Clock func() time.Time
	// Registerer gets the stage's metrics. Default: Config.Registerer.
	Registerer prometheus.Registerer
	// Logger. Default: Config.Logger.
	Logger *slog.Logger
}

func (c StageConfig) withDefaults(cfg Config) StageConfig {
	c.Instance = orDefault(c.Instance, uuid.NewString())
	c.CommitInterval = orDefault(c.CommitInterval, 100*time.Millisecond)
	c.FlushInterval = orDefault(c.FlushInterval, time.Second)
	c.MaxRecords = orDefault(c.MaxRecords, 50_000)
	c.LagInterval = orDefault(c.LagInterval, 5*time.Second)
	c.ShutdownTimeout = orDefault(c.ShutdownTimeout, 10*time.Second)
	c.SessionTimeout = orDefault(c.SessionTimeout, 45*time.Second)
	c.TransactionTimeout = orDefault(c.TransactionTimeout, min(20*time.Second, c.SessionTimeout/2))
	c.Snapshots.Interval = orDefault(c.Snapshots.Interval, time.Minute)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Registerer == nil {
		c.Registerer = cfg.Registerer
	}
	if c.Logger == nil {
		c.Logger = cfg.logger()
	}
	c.Logger = c.Logger.With("stage", c.Group)
	return c
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Validate reports every problem at once.
func (c StageConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("stage %q: "+format, append([]any{c.Group}, args...)...))
	}
	if c.Group == "" {
		bad("no group")
	}
	checkKinds("input", c.Inputs, bad)
	if c.NewTask == nil {
		bad("no tasks")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"commit interval", c.CommitInterval}, {"flush interval", c.FlushInterval}, {"lag interval", c.LagInterval},
		{"shutdown timeout", c.ShutdownTimeout}, {"transaction timeout", c.TransactionTimeout}, {"session timeout", c.SessionTimeout},
	} {
		if d.value < 0 {
			bad("%s %v is negative", d.name, d.value)
		}
	}
	if c.Static {
		if err := CheckInstance(c.Instance); err != nil {
			bad("instance %w", err)
		}
	}
	if c.MaxRecords < 0 {
		bad("max records %d is negative", c.MaxRecords)
	}
	if err := c.Snapshots.Validate(); err != nil {
		bad("%w", err)
	}
	if t, s := c.TransactionTimeout, orDefault(c.SessionTimeout, 45*time.Second); t >= s {
		bad("transaction timeout %v is not under session timeout %v", t, s)
	}
	return errors.Join(errs...)
}

// checkKinds reports what is wrong with the kinds that a loop reads, each of which it calls what.
func checkKinds(what string, kinds []event.Kind, bad func(format string, args ...any)) {
	if len(kinds) == 0 {
		bad("no %ss", what)
	}
	for i, k := range kinds {
		if k.Topic() == "" {
			bad("%s %d is no kind", what, i)
		}
		if slices.Contains(kinds[:i], k) {
			bad("%s %d is named twice", what, i)
		}
	}
}

// Stage runs Tasks exactly once: a transaction holds a batch of records'
// outputs, change-log entries and offsets, or nothing of it.
//
// Its group is classic, whatever Config.GroupProtocol says. There a generation has one assignment, so that the stamp of an
// offset commit tells whether it is this member's work (see fence). Under GroupConsumer it does not:
//
//   - A member's epoch rises when others come and go, without a call to it when it keeps what it had.
//   - Of several revocations before the end of a transaction the client's transactional session passes on the first only,
//     so that a member may not know that a partition has gone; and from a member whose epoch is current the
//     brokers take offsets of any partition, its own or not (Apache Kafka 4.3).
//   - No assignor of the brokers both gives the same partition of all inputs to one member and moves only what it must.
type Stage struct {
	conf    Config
	cfg     StageConfig
	log     *slog.Logger
	topics  []string // of Inputs, in order
	names   [256]string
	metrics *stageMetrics
	writer  snapshotWriter
	time    *timeAccount // of Run's loop

	mu      sync.Mutex
	waiting string // what Ready says; empty when running
	monitor *monitor
}

// NewStage validates and registers metrics; nothing connects before Run.
func NewStage(conf Config, cfg StageConfig) (*Stage, error) {
	if err := errors.Join(conf.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults(conf)
	conf.Logger = cfg.Logger
	s := &Stage{conf: conf, cfg: cfg, log: cfg.Logger, names: topicNames(conf), topics: conf.Topics(cfg.Inputs...), waiting: "not started"}
	var err error
	s.metrics, err = newStageMetrics(cfg.Group, cfg.Registerer)
	return s, err
}

// Run processes until ctx is done, then ends the transaction at hand, leaves the
// group and returns nil. It returns an error only when going on cannot help; everything else is retried.
func (s *Stage) Run(ctx context.Context) error {
	hard, cancel := graceful(ctx, s.cfg.ShutdownTimeout)
	defer cancel()
	defer s.setWaiting("stopped")
	defer s.writer.wait(s.cfg.ShutdownTimeout, s.log)
	s.time = s.metrics.time.open("", onRebalance)
	defer s.metrics.time.close(s.time)
	retry := backoff{first: 100 * time.Millisecond, limit: 10 * time.Second}
	for {
		began := time.Now()
		err := s.session(ctx, hard)
		if ctx.Err() != nil {
			if err != nil && classify(err) != cancelled {
				s.log.Warn("stopped inside a transaction, which will be aborted and repeated", "error", err)
			}
			return nil
		}
		cause := classify(err)
		s.metrics.sessions.WithLabelValues(string(cause)).Inc()
		if cause == permanent {
			return err
		}
		if time.Since(began) > time.Minute {
			retry.reset()
		}
		pause := retry.next()
		s.setWaiting(fmt.Sprintf("restarting after: %v", err))
		if cause == fenced {
			s.log.Error("fenced: this instance's transaction was ended by the broker, or another process runs with the same instance name; starting over", "instance", s.cfg.Instance, "error", err, "pause", pause)
		} else {
			s.log.Error("session ended; starting over from the last commit", "cause", string(cause), "error", err, "pause", pause)
		}
		s.time.enter(onBackoff)
		if wait(ctx, pause) != nil {
			return nil
		}
		s.time.enter(onRebalance)
	}
}

// Ready says what the stage waits for, nil when it is processing.
func (s *Stage) Ready() error {
	s.mu.Lock()
	waiting, m := s.waiting, s.monitor
	s.mu.Unlock()
	if waiting != "" {
		return fmt.Errorf("stage %s: %s", s.cfg.Group, waiting)
	}
	err := s.cfg.Memory.ready()
	if m != nil {
		err = errors.Join(m.reachable(), err)
	}
	if err != nil {
		return fmt.Errorf("stage %s: %w", s.cfg.Group, err)
	}
	return nil
}

func (s *Stage) setWaiting(what string) {
	s.mu.Lock()
	s.waiting = what
	s.mu.Unlock()
	s.showReady()
}

// showReady sets the metric to what Ready says, brokers apart.
func (s *Stage) showReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == "" && s.cfg.Memory.ready() == nil {
		s.metrics.ready.Set(1)
	} else {
		s.metrics.ready.Set(0)
	}
}

func (s *Stage) setMonitor(m *monitor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitor = m
}
