package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

const (
	// liftsAtOnce bounds the read-outs of one round: an installation that begins with many past drops reads them out bit by bit.
	liftsAtOnce = 5
	// liftRetry is how long a drop waits whose read-out failed: one that is too large for ClickHouse must not be tried every minute.
	liftRetry = time.Hour
)

// liftInputs are the topics that read-outs rest on.
var liftInputs = []event.Kind{event.KindDrop, event.KindPlayer, event.KindCheckout}

// lifts publishes what drops changed as their windows mature. Any number of processes may do so: what they publish of a stage
// is the same.
type lifts struct {
	cfg      *Config
	kafka    kafka.Config
	log      *slog.Logger
	client   *clickhouse.Client
	admin    *kafka.Admin
	producer *kafka.Producer

	// waiting are drops that are due, and ends where the facts' topics ended after they were seen to be.
	waiting []liftStage
	ends    map[topicPartition]int64
	// done is the stage up to which this process has published a drop: the sink may take a while to store it.
	done map[string]time.Time
	// retry is when a drop whose read-out failed may be tried again.
	retry map[string]time.Time

	outcomes *prometheus.CounterVec
	answered bool
}

type topicPartition struct {
	topic     string
	partition int32
}

// lifts is the role that looks for due read-outs until ctx is done. Nothing that fails here ends a process: it is counted,
// said and tried again.
func (n *node) lifts(ctx context.Context) error {
	if n.cfg.LiftEvery == 0 {
		return nil
	}
	client := n.reader(ctx)
	if client == nil {
		return nil
	}
	defer client.Close()
	l, err := newLifts(n, client)
	if err != nil {
		n.log.Error("what drops changed is not published", "error", err)
		return nil
	}
	defer l.close()
	ticker := time.NewTicker(n.cfg.LiftEvery)
	defer ticker.Stop()
	for {
		l.round(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func newLifts(n *node, client *clickhouse.Client) (*lifts, error) {
	admin, err := kafka.NewAdmin(n.kafka)
	if err != nil {
		return nil, err
	}
	producer, err := kafka.NewProducer(n.kafka, kafka.ProducerConfig{Name: "lift"})
	if err != nil {
		admin.Close()
		return nil, err
	}
	l := &lifts{cfg: n.cfg, kafka: n.kafka, log: n.log, client: client, admin: admin, producer: producer,
		done: map[string]time.Time{}, retry: map[string]time.Time{},
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_lift_readouts_total", Help: "Read-outs of what a drop changed that were due: published, or failed and tried again.",
		}, []string{"outcome"})}
	n.ops.registry.MustRegister(l.outcomes)
	return l, nil
}

func (l *lifts) close() {
	l.producer.Close()
	l.admin.Close()
}

// round publishes what is due at the wall clock's now.
func (l *lifts) round(ctx context.Context, now time.Time) {
	stages, err := l.due(ctx, now)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		// Until the sink has made the tables, failing is normal.
		level := slog.LevelDebug
		if l.answered {
			level = slog.LevelWarn
		}
		l.log.Log(ctx, level, "cannot tell which drops are to be read out", "error", err)
		return
	}
	l.answered = true
	for i := range stages {
		s := &stages[i]
		rows, o, err := measureStage(ctx, l.client, s, l.cfg.AllowedLateness)
		if err == nil {
			err = s.publish(ctx, l.producer, rows, o.Confidence)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.retry[s.drop] = now.Add(liftRetry)
			l.outcomes.WithLabelValues("failed").Inc()
			l.log.Warn("what a drop changed could not be published", "drop", s.drop, "as_of", s.matured, "again_in", liftRetry, "error", err)
		default:
			l.done[s.drop] = s.matured
			l.outcomes.WithLabelValues("published").Inc()
			l.log.Info("published what a drop changed", "drop", s.drop, "as_of", s.matured, "numbers", len(rows))
		}
	}
}

// due lists drops to be read out now: those that have matured further than they are published, once all is stored that was in
// Kafka after they were seen to. A watermark can be stored before the events that it has passed, since the sink's topics do
// not wait for each other.
func (l *lifts) due(ctx context.Context, now time.Time) ([]liftStage, error) {
	if len(l.waiting) == 0 {
		data, err := l.client.Query(ctx, "lift_stages", clickhouse.Params{"lateness_ms": l.cfg.AllowedLateness.Milliseconds()})
		if err != nil {
			return nil, err
		}
		for _, s := range readStages(data) {
			if len(l.waiting) < liftsAtOnce && s.matured.After(l.done[s.drop]) && now.After(l.retry[s.drop]) {
				l.waiting = append(l.waiting, s)
			}
		}
		if len(l.waiting) == 0 {
			return nil, nil
		}
	}
	lags, err := l.admin.LagOn(ctx, l.cfg.SinkGroup, l.kafka.Topics(liftInputs...)...)
	if err != nil {
		return nil, fmt.Errorf("is everything stored: %w", err)
	}
	if l.ends == nil {
		l.ends = map[topicPartition]int64{}
		for _, lag := range lags {
			l.ends[topicPartition{lag.Topic, lag.Partition}] = lag.End
		}
	}
	for _, lag := range lags {
		if lag.Committed < l.ends[topicPartition{lag.Topic, lag.Partition}] {
			return nil, nil
		}
	}
	stages := l.waiting
	l.waiting, l.ends = nil, nil
	return stages, nil
}
