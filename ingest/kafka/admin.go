package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Admin asks and arranges; it neither consumes nor produces. Safe for concurrent use.
type Admin struct {
	cfg Config
	cl  *kgo.Client
	adm *kadm.Client
}

// NewAdmin connects lazily: only Ping and the calls after it need a broker.
func NewAdmin(cfg Config) (*Admin, error) {
	cfg.Registerer = nil // short-lived and idle: nothing to measure
	cl, err := cfg.newClient("admin")
	if err != nil {
		return nil, err
	}
	return &Admin{cfg: cfg, cl: cl, adm: kadm.NewClient(cl)}, nil
}

// Close ends the connections.
func (a *Admin) Close() { a.cl.Close() }

// Ping says whether a broker answers.
func (a *Admin) Ping(ctx context.Context) error {
	if err := a.cl.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: no broker answers: %w", err)
	}
	return nil
}

// Lag is how far a group is behind on one topic-partition.
type Lag struct {
	Group     string
	Topic     string
	Partition int32
	// Committed is the next offset the group will read.
	Committed int64
	// End is the offset after the last committed record.
	End int64
	// Metadata is the group's note at Committed: a Feed's plan, or a Stage's transaction.
	Metadata string
}

// Records is the number of offsets between Committed and End, transaction markers included.
func (l Lag) Records() int64 { return max(0, l.End-l.Committed) }

// Lag lists the lag of groups on every partition they have committed, in order.
// A group that never committed has no entries.
func (a *Admin) Lag(ctx context.Context, groups ...string) ([]Lag, error) {
	var lags []Lag
	for _, group := range groups {
		committed, err := a.committed(ctx, group)
		if err != nil {
			return nil, err
		}
		var topics []string
		for topic := range committed {
			topics = append(topics, topic)
		}
		if len(topics) == 0 {
			continue
		}
		ends, err := a.EndOffsets(ctx, topics...)
		if err != nil {
			return nil, err
		}
		for topic, partitions := range committed {
			for p, o := range partitions {
				lags = append(lags, Lag{Group: group, Topic: topic, Partition: p, Committed: o.At, End: ends[topic][p], Metadata: o.Metadata})
			}
		}
	}
	sortLags(lags)
	return lags, nil
}

// LagOn is how far a group is behind on every partition of topics, in order. Where it never committed, it has everything to do.
func (a *Admin) LagOn(ctx context.Context, group string, topics ...string) ([]Lag, error) {
	// Commits are read before the ends: records that come in between count as lag, not as done.
	committed, err := a.committed(ctx, group)
	if err != nil {
		return nil, err
	}
	ends, err := a.EndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var lags []Lag
	for topic, partitions := range ends {
		for p, end := range partitions {
			l := Lag{Group: group, Topic: topic, Partition: p, End: end}
			if o, ok := committed.Lookup(topic, p); ok {
				l.Committed, l.Metadata = max(0, o.At), o.Metadata
			}
			lags = append(lags, l)
		}
	}
	sortLags(lags)
	return lags, nil
}

func sortLags(lags []Lag) {
	slices.SortFunc(lags, func(a, b Lag) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// committed is what a group has committed; nothing for a group that never did.
func (a *Admin) committed(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	committed, err := a.adm.FetchOffsets(ctx, a.cfg.GroupID(group))
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: offsets of group %s: %w", group, err)
	}
	return committed, nil
}

// EndOffsets is the offset after the last committed record of every partition.
func (a *Admin) EndOffsets(ctx context.Context, topics ...string) (map[string]map[int32]int64, error) {
	listed, err := a.adm.ListCommittedOffsets(ctx, topics...)
	return offsetsOf(listed, err)
}

func offsetsOf(listed kadm.ListedOffsets, err error) (map[string]map[int32]int64, error) {
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: list offsets: %w", err)
	}
	offsets := make(map[string]map[int32]int64, len(listed))
	listed.Each(func(o kadm.ListedOffset) {
		if offsets[o.Topic] == nil {
			offsets[o.Topic] = map[int32]int64{}
		}
		offsets[o.Topic][o.Partition] = o.Offset
	})
	return offsets, nil
}
