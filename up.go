package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// sinkKinds are the topics that ClickHouse stores.
var sinkKinds = clickhouse.Kinds()

// UpCmd runs every role.
type UpCmd struct{}

// Help is shown by --help.
func (c *UpCmd) Help() string {
	return "Starts an embedded Kafka and an embedded ClickHouse below --data-dir, unless --kafka and --clickhouse name real " +
		"ones, then processes and stores until Ctrl-C. Example: droplift up --data-dir /var/lib/droplift"
}

func (c *UpCmd) Run(ctx context.Context, cfg *Config) error {
	log := cfg.logger(os.Stderr)
	n, err := startNode(ctx, cfg, log)
	if err != nil {
		return err
	}
	n.announce()
	return n.run(ctx, n.roles()...)
}

// ProcessCmd runs the processors.
type ProcessCmd struct{}

func (c *ProcessCmd) Run(ctx context.Context, cfg *Config) error {
	n, err := connectNode(cfg, "process")
	if err != nil {
		return err
	}
	return n.run(ctx, n.processors)
}

// SinkCmd runs the sink.
type SinkCmd struct{}

func (c *SinkCmd) Run(ctx context.Context, cfg *Config) error {
	n, err := connectNode(cfg, "sink")
	if err != nil {
		return err
	}
	return n.run(ctx, n.sink)
}

// node is one process of an installation: the servers it owns or uses, what an
// operator can ask it, and the roles it runs.
type node struct {
	cfg     *Config
	log     *slog.Logger
	ops     *operations
	servers *servers
	kafka   kafka.Config
	// features is where the feature store listens, nil when it does not.
	features net.Listener
	// viewer is where dashboards are shown, nil where they are not.
	viewer net.Listener
	// metricsDir is where the viewer's metrics and alerts outlive the process, empty where they do not.
	metricsDir string
	// demo says that what is shown is simulated.
	demo bool

	// ensuring is held while topics are made sure of, ensured once they are.
	ensuring sync.Mutex
	ensured  bool
}

// startNode starts the servers that the configuration does not name, for every role.
func startNode(ctx context.Context, cfg *Config, log *slog.Logger) (*node, error) {
	ops := newOperations("process", "sink")
	if cfg.FeaturesAddr != "" {
		ops.check("features", errStarting)
	}
	if cfg.ViewerAddr != "" {
		ops.check("viewer", errStarting)
	}
	if err := ops.serve(cfg.MetricsAddr, cfg.PprofAddr); err != nil {
		return nil, errors.Join(err, ops.close())
	}
	listener, err := cfg.listenFeatures()
	if err != nil {
		return nil, errors.Join(err, ops.close())
	}
	viewer, err := cfg.listenViewer()
	if err != nil {
		return nil, errors.Join(err, closeListener(listener), ops.close())
	}
	servers, err := startServers(ctx, cfg, log)
	if err != nil {
		return nil, errors.Join(err, closeListener(listener), closeListener(viewer), ops.close())
	}
	n, err := newNode(cfg, log, ops, servers)
	if err != nil {
		return nil, errors.Join(err, closeListener(listener), closeListener(viewer), servers.close(), ops.close())
	}
	n.features, n.viewer, n.metricsDir = listener, viewer, filepath.Join(cfg.DataDir, "metrics")
	return n, nil
}

// roles are those of a process that runs the whole pipeline.
func (n *node) roles() []role {
	roles := []role{n.processors, n.sink, n.signals, n.lifts}
	if n.features != nil {
		roles = append(roles, n.serveFeatures)
	}
	if n.viewer != nil {
		roles = append(roles, n.serveViewer)
	}
	if n.cfg.FlightAddress != "" {
		roles = append(roles, n.flight)
	}
	return roles
}

// connectNode, for one role, uses servers that run already: named ones, or those of another process of ours on this machine.
func connectNode(cfg *Config, role string) (*node, error) {
	ops := newOperations(role)
	if err := ops.serve(cfg.MetricsAddr, cfg.PprofAddr); err != nil {
		return nil, errors.Join(err, ops.close())
	}
	return newNode(cfg, cfg.logger(os.Stderr), ops, &servers{Brokers: cfg.brokersOrLocal(), ClickhouseURL: cfg.clickhouseOrLocal()})
}

func newNode(cfg *Config, log *slog.Logger, ops *operations, servers *servers) (*node, error) {
	conf, err := cfg.kafkaConfig(servers.Brokers, ops, log)
	if err != nil {
		return nil, err
	}
	if err := cfg.limitMemory(log); err != nil {
		return nil, err
	}
	return &node{cfg: cfg, log: log, ops: ops, servers: servers, kafka: conf}, nil
}

// announce says where everything is.
func (n *node) announce() {
	n.log.Info("serving", "clickhouse", n.servers.ClickhouseURL, "kafka", n.servers.Brokers, "metrics", n.ops.MetricsAt+"/metrics", "features", n.featuresAt(), "dashboards", n.viewerAt())
}

// errDone is what a role returns to end the node in peace.
var errDone = errors.New("done")

// role is something that a node runs until ctx is done; it drains before it returns.
type role func(ctx context.Context) error

// run runs roles until ctx is done or one of them fails, and leaves nothing
// behind: roles drain first, then the servers they used are stopped.
func (n *node) run(ctx context.Context, roles ...role) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, role := range roles {
		group.Go(func() error { return role(ctx) })
	}
	err := group.Wait()
	if errors.Is(err, errDone) {
		err = nil // a role asked for the end; stopping it all may still have failed
	}
	return errors.Join(err, n.close())
}

func (n *node) close() error { return errors.Join(n.servers.close(), n.ops.close()) }

// topics makes sure of the topics, once for all roles, waiting for brokers that do not answer.
func (n *node) topics(ctx context.Context) error {
	n.ensuring.Lock()
	defer n.ensuring.Unlock()
	if n.ensured {
		return nil
	}
	ensure := func() (struct{}, error) {
		err := n.cfg.ensureTopics(ctx, n.kafka, n.log)
		if err != nil && !kafka.Away(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	_, err := backoff.Retry(ctx, ensure, backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		n.log.Warn("Kafka is away; trying again", "in", wait.Round(time.Millisecond), "error", err)
	}))
	n.ensured = err == nil
	return err
}

// reader opens ClickHouse as the user that reads, for roles that only look on: what they cannot see must not end a
// process that processes and stores, so they wait for it. It returns nil once ctx is done.
func (n *node) reader(ctx context.Context) *clickhouse.Client {
	open := func() (*clickhouse.Client, error) { return n.cfg.openReader(ctx, n.servers.ClickhouseURL, n.log) }
	client, _ := backoff.Retry(ctx, open, backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		n.log.Warn("dashboards and alerts wait for ClickHouse; they need --clickhouse-readonly-user", "user", n.cfg.ClickhouseReadonlyUser,
			"in", wait.Round(time.Millisecond), "error", err)
	}))
	return client
}

// processors is the role that turns raw topics into derived ones.
func (n *node) processors(ctx context.Context) error {
	waiting := errors.New("waits for Kafka")
	n.ops.check("process", func() error { return waiting })
	if err := n.topics(ctx); err != nil {
		return err
	}
	catalogue, err := kafka.NewCatalogue(n.kafka, kafka.CatalogueConfig{})
	if err != nil {
		return err
	}
	instance, release, err := n.cfg.claimInstance()
	if err != nil {
		return err
	}
	run, err := n.stages(instance, catalogue)
	if err != nil {
		return errors.Join(err, release())
	}
	n.ops.check("catalogue", catalogue.Ready)

	// The catalogue outlives the stages, which look drops up while they drain.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan error, 1)
	go func() { followed <- catalogue.Run(following) }()
	err = run(ctx)
	stop()
	return errors.Join(err, <-followed, release())
}

// stages makes both stages; run runs them until ctx is done or one of them fails.
func (n *node) stages(instance string, catalogue processors.Catalogue) (run func(ctx context.Context) error, err error) {
	memory, err := n.cfg.memoryGuard(n.ops, n.log)
	if err != nil {
		return nil, err
	}
	shared := stageParts{memory, newTaskMetrics(n.ops.registry)}
	stage, err := n.newStage(instance, catalogue, shared)
	if err != nil {
		return nil, err
	}
	rollup, err := n.newRollup(instance, catalogue, shared)
	if err != nil {
		return nil, err
	}
	n.ops.check("process", stage.Ready)
	n.ops.check("rollup", rollup.Ready)
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return stage.Run(ctx) })
		group.Go(func() error { return rollup.Run(ctx) })
		return group.Wait()
	}, nil
}

// sink is the role that stores every topic in ClickHouse.
func (n *node) sink(ctx context.Context) error {
	waiting := errors.New("waits for Kafka and ClickHouse")
	n.ops.check("sink", func() error { return waiting })
	if err := n.topics(ctx); err != nil {
		return err
	}
	client, err := n.cfg.openWriter(ctx, n.servers.ClickhouseURL, n.log)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Prepare(ctx); err != nil {
		return err
	}
	if err := client.DescribeFeatures(ctx, featureSet(feature.Player)); err != nil {
		return err
	}
	threads, err := client.ServerThreads(ctx)
	if err != nil {
		return err
	}
	sink, err := clickhouse.NewSink(client, clickhouse.SinkConfig{
		Threads:    threads,
		Flush:      clickhouse.FlushPolicy{MaxRecords: n.cfg.SinkBatchRows, MaxBytes: n.cfg.SinkBatchBytes, MaxAge: n.cfg.SinkBatchAge},
		Registerer: n.ops.registry,
	})
	if err != nil {
		return err
	}
	feed, err := kafka.NewFeed(n.kafka, kafka.FeedConfig{
		Group: n.cfg.SinkGroup,
		Kinds: sinkKinds,
		NewLoader: func(kind event.Kind, partition int32) (kafka.Loader, error) {
			l, err := sink.Loader(kind.Topic(), partition)
			return loader{l}, err
		},
		Instance:       n.cfg.Instance,
		SessionTimeout: n.cfg.SessionTimeout,
		Logger:         n.log,
	})
	if err != nil {
		return err
	}
	n.ops.check("sink", feed.Ready)
	n.ops.check("inserts", sink.Ready)
	n.ops.check("clickhouse", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return client.Ping(ctx)
	})
	if err := feed.Run(ctx); err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	return nil
}

// loader lets the feed, which knows nothing of ClickHouse, have its batches.
type loader struct{ *clickhouse.Loader }

func (l loader) Seal(first, last int64, repeated bool) kafka.Batch {
	return l.Loader.Seal(first, last, repeated)
}
