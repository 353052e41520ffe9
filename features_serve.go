package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/features"
)

// FeaturesServeCmd runs the feature store.
type FeaturesServeCmd struct{}

// Help is shown by --help.
func (c *FeaturesServeCmd) Help() string {
	return "Reads the features topic and answers over HTTP at --features-addr. Any number of processes may serve the same partitions, or each its own " +
		"(--features-partitions); they do not know of each other. A process is ready (/readyz) once it has read its partitions to their end.\n\n" +
		"Examples:\n\n  droplift features serve --kafka kafka:9092 --features-addr 0.0.0.0:8126\n" +
		"  curl localhost:8126/v1/features/PLAYER"
}

func (c *FeaturesServeCmd) Run(ctx context.Context, cfg *Config) error {
	if cfg.FeaturesAddr == "" {
		return errors.New("--features-addr: there is nothing to serve without an address")
	}
	listener, err := cfg.listenFeatures()
	if err != nil {
		return err
	}
	n, err := connectNode(cfg, "features")
	if err != nil {
		return errors.Join(err, closeListener(listener))
	}
	n.features = listener
	n.log.Info("serving", "features", n.featuresAt())
	return n.run(ctx, n.serveFeatures)
}

// listenFeatures takes the feature store's address, if there is one, so that a busy one is known before anything starts.
func (c *Config) listenFeatures() (net.Listener, error) {
	if c.FeaturesAddr == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", c.FeaturesAddr)
	if err != nil {
		return nil, fmt.Errorf("--features-addr: %w", err)
	}
	return listener, nil
}

// closeListener closes what may not be there.
func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// featuresAt is the feature store's URL, empty when it is off.
func (n *node) featuresAt() string {
	if n.features == nil {
		return ""
	}
	return "http://" + n.features.Addr().String()
}

// serveFeatures is the role that answers with players' features, and decides by them.
func (n *node) serveFeatures(ctx context.Context) error {
	mux := http.NewServeMux()
	server, err := n.newFeatureServer(mux)
	if err != nil {
		return errors.Join(err, n.features.Close())
	}
	decisions, err := n.newEdgeServer(mux, server.store, n.cfg.FeaturesTTL)
	if err != nil {
		return errors.Join(err, n.features.Close())
	}
	group, serving := errgroup.WithContext(ctx)
	// The records of answers are made when no answer is under way any more.
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stop()
		return server.run(serving)
	})
	group.Go(func() error { return decisions.run(recording) })
	return group.Wait()
}

// featureServer is a store, what fills it, and the HTTP server in front of it.
type featureServer struct {
	node     *node
	store    *features.Store
	snapshot features.Snapshot
	http     *http.Server
}

// newFeatureServer makes the server of mux, to which it adds the routes of features; others may add theirs before run.
func (n *node) newFeatureServer(mux *http.ServeMux) (*featureServer, error) {
	c := n.cfg
	store, err := features.NewStore(features.Config{
		Total:       c.KafkaPartitions,
		Partitions:  c.FeaturesPartitions,
		PartitionOf: func(player string) int32 { return kafka.PartitionOf([]byte(player), c.KafkaPartitions) },
		TTLMS:       c.FeaturesTTL.Milliseconds(),
		Registerer:  n.ops.registry,
		Logger:      n.log,
	})
	if err != nil {
		return nil, err
	}
	handler, err := features.NewHandler(store, features.HandlerConfig{
		MaxPlayers: c.FeaturesMaxPlayers, MaxBody: int64(c.FeaturesMaxPlayers)*512 + 1024, Registerer: n.ops.registry,
	})
	if err != nil {
		return nil, err
	}
	handler.Handle(mux)
	return &featureServer{
		node: n, store: store, snapshot: features.Snapshot{Dir: c.featureSnapshots(), Topic: n.kafka.Topic(event.KindFeatures)},
		http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10},
	}, nil
}

// featureSnapshots is the directory of the store's snapshots, empty for none.
func (c *Config) featureSnapshots() string {
	switch c.FeaturesSnapshotDir {
	case "auto":
		return filepath.Join(c.DataDir, "features")
	case "none":
		return ""
	}
	return c.FeaturesSnapshotDir
}

// run answers from the start, saying how far it has come, fills the store until ctx is done, and leaves a snapshot.
func (s *featureServer) run(ctx context.Context) error {
	s.node.ops.check("features", s.store.Ready)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.http.Serve(s.node.features); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("feature store: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.http.Shutdown(closing) != nil {
			return s.http.Close()
		}
		return nil
	})
	group.Go(func() error { return s.fill(ctx) })
	return group.Wait()
}

// fill follows the topics.
func (s *featureServer) fill(ctx context.Context) error {
	if err := s.node.topics(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.followFeatures(ctx) })
	group.Go(func() error { return s.followProgress(ctx) })
	return group.Wait()
}

// followFeatures keeps the store up to date, from its snapshot or from the start of the topic, and snapshots it.
func (s *featureServer) followFeatures(ctx context.Context) error {
	log := s.node.log
	from, err := s.restore(ctx)
	if err != nil {
		log.Warn("the feature store's snapshot is not used; the topic is read from its start", "error", err)
	}
	saving, stop := context.WithCancel(ctx)
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		s.saveEvery(saving)
	}()
	defer func() {
		stop()
		<-saved
		s.save()
	}()
	for {
		follower, err := kafka.NewFollower(s.node.kafka, kafka.FollowConfig{
			Topic: s.snapshot.Topic, Partitions: s.store.Partitions(), From: from, Name: "features",
		})
		if err != nil {
			return err
		}
		err = follower.Run(ctx, func(f kafka.Followed) error {
			return s.store.Apply(features.Batch{Partition: f.Partition, Records: f.Records, Next: f.Next, End: f.End})
		})
		var gone *kafka.GoneError
		if !errors.As(err, &gone) {
			return err
		}
		log.Warn("the features topic does not go on where the feature store was; it is read from its start", "error", err)
		s.store.Refuse(err)
		from = nil
	}
}

// restore fills the store from its snapshot.
func (s *featureServer) restore(ctx context.Context) (map[int32]int64, error) {
	if s.snapshot.Dir == "" {
		return nil, nil
	}
	admin, err := kafka.NewAdmin(s.node.kafka)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	id, err := admin.TopicID(ctx, s.snapshot.Topic)
	if err != nil {
		s.snapshot.Dir = "" // a file that is bound to no topic would be refused
		return nil, err
	}
	s.snapshot.TopicID = id
	return s.store.Restore(s.snapshot)
}

func (s *featureServer) saveEvery(ctx context.Context) {
	ticker := time.NewTicker(s.node.cfg.FeaturesSnapshotInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.save()
		}
	}
}

// save writes a snapshot. Without one the next start takes longer, that is all: an error is logged, and counted by the store.
func (s *featureServer) save() {
	if s.snapshot.Dir == "" {
		return
	}
	if err := s.store.Save(s.snapshot); err != nil {
		s.node.log.Warn("the feature store could not be snapshotted", "error", err)
	}
}

// followProgress tells the store how far event time has come. Every partition of the topic tells of all.
func (s *featureServer) followProgress(ctx context.Context) error {
	for {
		follower, err := kafka.NewFollower(s.node.kafka, kafka.FollowConfig{
			Topic: s.node.kafka.Topic(event.KindProgress), Partitions: s.store.Partitions()[:1], Name: "features-progress",
		})
		if err != nil {
			return err
		}
		err = follower.Run(ctx, func(f kafka.Followed) error {
			s.store.ApplyProgress(f.Records)
			return nil
		})
		// A topic that was made anew begins again; watermarks only rise.
		if gone := (*kafka.GoneError)(nil); !errors.As(err, &gone) {
			return err
		}
	}
}
