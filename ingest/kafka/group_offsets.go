package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupOffset is what a group has committed of one partition; At is −1 when it never has.
type groupOffset struct {
	At       int64
	Metadata string
}

// errUnstable says that an open transaction holds offsets: what they are is decided when it ends.
var errUnstable = errors.New("kafka: a transaction that holds the group's offsets has not ended")

// groupOffsets asks for the group's offsets of every partition of topics, or returns errUnstable.
//
// It names the partitions. A request for "all of the group's" would be answered from what the group has
// committed, and so leave out a partition whose first commit is still in an open transaction, instead of calling it unstable:
//
//	member                         brokers
//	ends its first transaction     decide to commit, and say so; the markers follow
//	asks for all offsets           none
//	starts from the beginning, on top of the state that the transaction left
func groupOffsets(ctx context.Context, cl *kgo.Client, group string, topics ...string) (map[topicPartition]groupOffset, error) {
	listed, err := kadm.NewClient(cl).ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: list topics: %w", err)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	of := kmsg.NewOffsetFetchRequestGroup()
	of.Group = group
	for _, name := range topics {
		detail := listed[name]
		if detail.Err != nil {
			return nil, fmt.Errorf("kafka: topic %s: %w", name, detail.Err)
		}
		topic := kmsg.NewOffsetFetchRequestGroupTopic()
		topic.Topic, topic.TopicID, topic.Partitions = name, detail.ID, detail.Partitions.Numbers()
		of.Topics = append(of.Topics, topic)
	}
	req.Groups = append(req.Groups, of)
	resp, err := req.RequestWith(ctx, cl)
	if err == nil && len(resp.Groups) != 1 {
		err = errors.New("the answer is about another group")
	}
	if err == nil {
		err = kerr.ErrorForCode(resp.Groups[0].ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: offsets of group %s: %w", group, err)
	}
	offsets := map[topicPartition]groupOffset{}
	for _, topic := range resp.Groups[0].Topics {
		for _, p := range topic.Partitions {
			switch err := kerr.ErrorForCode(p.ErrorCode); {
			case errors.Is(err, kerr.UnstableOffsetCommit):
				return nil, errUnstable
			case err != nil:
				return nil, fmt.Errorf("kafka: offset of group %s on %s/%d: %w", group, topic.Topic, p.Partition, err)
			}
			o := groupOffset{At: p.Offset}
			if p.Metadata != nil {
				o.Metadata = *p.Metadata
			}
			offsets[topicPartition{topic.Topic, p.Partition}] = o
		}
	}
	for _, name := range topics {
		for _, p := range listed[name].Partitions.Numbers() {
			if _, answered := offsets[topicPartition{name, p}]; !answered {
				return nil, fmt.Errorf("kafka: offsets of group %s: the answer leaves %s/%d out", group, name, p)
			}
		}
	}
	return offsets, nil
}
