package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

// Journal is what a Feed's group has written down of one topic-partition, beside what the log holds of it.
type Journal struct {
	Kind      event.Kind
	Topic     string
	Partition int32
	// Start and End bound what the log holds and is committed: [Start, End).
	Start, End int64
	// Released is the offset that the group has released up to: every record below it is stored. 0 before its first commit.
	Released int64
	// Planned is the offset after the last planned batch: records from Released on may be stored up to here, and nothing
	// beyond. Released when no batch is planned.
	Planned int64
}

// Journals lists a Feed's journal on every partition of the kinds' topics, in order. The journal is read before the
// log's ends, so that it never shows more than they do. An error names a commit that no Feed made.
func (a *Admin) Journals(ctx context.Context, group string, kinds ...event.Kind) ([]Journal, error) {
	committed, err := a.committed(ctx, group)
	if err != nil {
		return nil, err
	}
	topics := a.cfg.Topics(kinds...)
	starts, err := offsetsOf(a.adm.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, err
	}
	ends, err := a.EndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var journals []Journal
	for i, kind := range kinds {
		for p, end := range ends[topics[i]] {
			j := Journal{Kind: kind, Topic: topics[i], Partition: p, Start: starts[topics[i]][p], End: end}
			if o, ok := committed.Lookup(topics[i], p); ok && o.At >= 0 {
				j.Released, j.Planned = o.At, o.At
				batches, planned, err := parsePlan(o.Metadata, o.At)
				if err != nil {
					return nil, fmt.Errorf("kafka: group %s on %s/%d: %w: is it a sink's group?", group, j.Topic, p, err)
				}
				if planned {
					j.Planned = batches.last() + 1
				}
			}
			journals = append(journals, j)
		}
	}
	slices.SortFunc(journals, func(a, b Journal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Partition, b.Partition))
	})
	return journals, nil
}

// Committed bounds what is committed of a topic, after waiting up to patience for the transactions that are open
// now. On a broker that marks one transaction's partitions at different moments, offsets may show as
// committed before the records that were produced with them; whoever compares the two must wait for the records:
//
//	transaction: offset 8 of player, its dead letter      offset 8 is committed
//	                                                      dead-letter: high watermark 3, last stable offset 2
//	the coordinator marks dead-letter                     last stable offset 4
func (a *Admin) Committed(ctx context.Context, topic string, patience time.Duration) (map[int32]Span, error) {
	starts, err := offsetsOf(a.adm.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	high, err := offsetsOf(a.adm.ListEndOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; {
		ends, err := a.EndOffsets(ctx, topic)
		if err != nil {
			return nil, err
		}
		open := false
		spans := make(map[int32]Span, len(ends[topic]))
		for p, end := range ends[topic] {
			spans[p] = Span{From: starts[topic][p], To: end}
			open = open || end < high[topic][p]
		}
		if !open || time.Now().After(deadline) {
			return spans, nil
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// Compacts says whether a topic's older records of a key may be gone.
func (a *Admin) Compacts(ctx context.Context, topic string) (bool, error) {
	configs, err := a.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return false, fmt.Errorf("kafka: describe %s: %w", topic, err)
	}
	have, err := configs.On(topic, nil)
	if err == nil {
		err = have.Err
	}
	if err != nil {
		return false, fmt.Errorf("kafka: describe %s: %w", topic, err)
	}
	for _, c := range have.Configs {
		if c.Key == "cleanup.policy" {
			return c.MaybeValue() != "delete", nil
		}
	}
	return false, fmt.Errorf("kafka: describe %s: the broker does not tell its cleanup.policy", topic)
}
