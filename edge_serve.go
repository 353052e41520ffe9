package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/features/edge"
)

// edgeServer decides: a decider, and what its memory is fed from.
type edgeServer struct {
	node    *node
	decider *edge.Decider
	scores  *kafka.Producer

	mu     sync.Mutex
	behind map[string]bool // topics that have not been read to their end yet
}

// newEdgeServer adds the routes of decisions to mux; source has the features, which are stale when older than ttl.
func (n *node) newEdgeServer(mux *http.ServeMux, source edge.Source, ttl time.Duration) (*edgeServer, error) {
	cfg, err := n.cfg.decider(source, ttl)
	if err != nil {
		return nil, err
	}
	scores, err := kafka.NewProducer(n.kafka, kafka.ProducerConfig{Name: "scores", Linger: 20 * time.Millisecond, MaxBufferedBytes: 16 << 20})
	if err != nil {
		return nil, err
	}
	cfg.Scores, cfg.Registerer, cfg.Logger = scores, n.ops.registry, n.log
	decider, err := edge.New(cfg)
	if err != nil {
		scores.Close()
		return nil, err
	}
	decider.Handle(mux)
	s := &edgeServer{node: n, decider: decider, scores: scores, behind: map[string]bool{}}
	for _, f := range s.feeds() {
		s.behind[f.kind.Topic()] = true
	}
	return s, nil
}

// feed is a topic that is read whole at every start and then followed, and what a record of it does.
type feed struct {
	kind       event.Kind
	partitions int32
	take       func(r *event.Record)
}

// feeds are the edge's memory. A record that is not good is counted where it is taken, and changes nothing: every replica
// reads it again at every start, so nobody dead-letters it.
func (s *edgeServer) feeds() []feed {
	d := s.decider
	return []feed{
		{event.KindModel, 1, func(r *event.Record) { d.Models.Model(r.Key, r.Value) }},
		{event.KindRollout, 1, func(r *event.Record) { d.Models.Rollout(r.Key, r.Value) }},
		{event.KindDrop, 1, func(r *event.Record) { d.Drops.Record(r.Key, r.Value) }},
		{event.KindEstimate, s.node.cfg.KafkaPartitions, func(r *event.Record) { d.Offers.EstimateRecord(r.Value) }},
		{event.KindExample, s.node.cfg.KafkaPartitions, func(r *event.Record) { d.Offers.ExampleRecord(r.Value) }},
	}
}

// ready says which topics have not been read to their end yet.
func (s *edgeServer) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waits []string
	for topic, behind := range s.behind {
		if behind {
			waits = append(waits, topic)
		}
	}
	if waits == nil {
		return nil
	}
	slices.Sort(waits)
	return fmt.Errorf("has not read %s to the end yet", strings.Join(waits, ", "))
}

// run feeds the memory until ctx is done; then the records of answers that wait are produced.
func (s *edgeServer) run(ctx context.Context) error {
	defer s.scores.Close()
	s.node.ops.check("edge", s.ready)
	if err := s.node.topics(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.decider.Run(ctx) })
	// Models and rollouts are one registry, whose records come from one goroutine at a time.
	var registry sync.Mutex
	for _, f := range s.feeds() {
		if take := f.take; f.kind == event.KindModel || f.kind == event.KindRollout {
			f.take = func(r *event.Record) {
				registry.Lock()
				defer registry.Unlock()
				take(r)
			}
		}
		group.Go(func() error { return s.follow(ctx, f) })
	}
	return group.Wait()
}

// follow takes every record of a topic. Where the log was cut or made anew it begins at the start: what is taken twice
// changes nothing.
func (s *edgeServer) follow(ctx context.Context, f feed) error {
	topic := f.kind.Topic()
	for {
		follower, err := kafka.NewFollower(s.node.kafka, kafka.FollowConfig{Topic: s.node.kafka.Topic(f.kind), Name: "edge-" + topic})
		if err != nil {
			return err
		}
		met := map[int32]bool{} // partitions that were read to their end once
		err = follower.Run(ctx, func(next kafka.Followed) error {
			for i := range next.Records {
				f.take(&next.Records[i])
			}
			if next.CaughtUp() && !met[next.Partition] {
				met[next.Partition] = true
				s.see(topic, len(met) < int(f.partitions))
			}
			return nil
		})
		var gone *kafka.GoneError
		if !errors.As(err, &gone) {
			return err
		}
		s.node.log.Warn("a topic is read anew", "topic", topic, "error", err)
	}
}

func (s *edgeServer) see(topic string, behind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind[topic] = s.behind[topic] && behind
}
