package kafka

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// taskBalancer distributes a Stage's tasks over its members: partition n of every
// input goes to the member that has task n, the members' numbers of tasks differ by one at most, and a
// task leaves its member only if that cannot be had otherwise.
//
// Range assignment keeps the first two promises but not the third: six tasks on two members are 0–2 and 3–5, on three
// 0–1, 2–3 and 4–5, so that the second member restores task 2 although only the third needs some.
//
// The client's sticky balancer does the distributing. It is asked about one made-up topic, whose partitions are the
// tasks. Assignment is eager all the same, because a Stage keeps the memory of tasks that stay: a
// generation that changes nothing for a member costs it one transaction.
type taskBalancer struct {
	sticky kgo.GroupBalancer
	// claim is what this member had, and in which generation: a client that revokes everything before it joins has forgotten it.
	claim func() (tasks []int32, generation int32)
}

func newTaskBalancer(claim func() (tasks []int32, generation int32)) taskBalancer {
	return taskBalancer{kgo.StickyBalancer(), claim}
}

// tasksTopic is the made-up topic. Its name is part of the members' protocol.
const tasksTopic = "tasks"

// ProtocolName implements kgo.GroupBalancer.
func (taskBalancer) ProtocolName() string { return "droplift-tasks" }

// IsCooperative implements kgo.GroupBalancer.
func (taskBalancer) IsCooperative() bool { return false }

// JoinGroupMetadata implements kgo.GroupBalancer.
func (b taskBalancer) JoinGroupMetadata(inputs []string, _ map[string][]int32, _ int32) []byte {
	tasks, generation := b.claim()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics = inputs
	meta.Generation = generation
	meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: tasksTopic, Partitions: tasks}}
	return meta.AppendTo(nil)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
func (taskBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

// MemberBalancer implements kgo.GroupBalancer.
func (b taskBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	metas := make([]kmsg.ConsumerMemberMetadata, len(members))
	p := &taskPlanner{inputs: make(map[string][]string, len(members))}
	topics := map[string]struct{}{}
	for i, m := range members {
		if err := metas[i].ReadFrom(m.ProtocolMetadata); err != nil {
			return nil, nil, fmt.Errorf("kafka: group metadata of member %s: %w", m.MemberID, err)
		}
		p.inputs[m.MemberID] = metas[i].Topics
		for _, topic := range metas[i].Topics {
			topics[topic] = struct{}{}
		}
	}
	holders := slices.Clone(members)
	for i, tasks := range held(metas) {
		holders[i].ProtocolMetadata = b.sticky.JoinGroupMetadata([]string{tasksTopic}, map[string][]int32{tasksTopic: tasks}, 0)
	}
	inner, _, err := b.sticky.MemberBalancer(holders)
	if err != nil {
		return nil, nil, err
	}
	var ok bool
	if p.tasks, ok = inner.(kgo.GroupMemberBalancerOrError); !ok {
		return nil, nil, fmt.Errorf("kafka: the sticky balancer is a %T", inner)
	}
	return p, topics, nil
}

// held says, per member, which of the tasks that it claims nobody claims by a newer generation. A member that missed
// generations still claims what has gone to others since, and the sticky balancer would
// give some of it back.
func held(members []kmsg.ConsumerMemberMetadata) [][]int32 {
	newest := map[int32]int{} // task to member
	for i, m := range members {
		for _, owned := range m.OwnedPartitions {
			for _, task := range owned.Partitions {
				if other, claimed := newest[task]; !claimed || members[other].Generation < m.Generation {
					newest[task] = i
				}
			}
		}
	}
	tasks := make([][]int32, len(members))
	for task, i := range newest {
		tasks[i] = append(tasks[i], task)
	}
	for _, t := range tasks {
		slices.Sort(t)
	}
	return tasks
}

// taskPlanner plans one generation.
type taskPlanner struct {
	tasks  kgo.GroupMemberBalancerOrError
	inputs map[string][]string // by member
}

// Balance implements kgo.GroupMemberBalancer; the client calls BalanceOrError instead.
func (p *taskPlanner) Balance(topics map[string]int32) kgo.IntoSyncAssignment {
	plan, _ := p.BalanceOrError(topics)
	return plan
}

// BalanceOrError implements kgo.GroupMemberBalancerOrError. A member gets its tasks' partitions of the inputs that it
// reads, so that members of a version with another input may take over one by one.
func (p *taskPlanner) BalanceOrError(topics map[string]int32) (kgo.IntoSyncAssignment, error) {
	counts := slices.Compact(slices.Sorted(maps.Values(topics)))
	if len(counts) != 1 || counts[0] == 0 {
		// This member may not know a topic yet that was just created. The client asks for it anew and rejoins.
		return nil, fmt.Errorf("kafka: the inputs have different numbers of partitions, or none: %v", topics)
	}
	into, err := p.tasks.BalanceOrError(map[string]int32{tasksTopic: counts[0]})
	if err != nil {
		return nil, err
	}
	plan, ok := into.(*kgo.BalancePlan)
	if !ok {
		return nil, errors.New("kafka: the sticky balancer made no plan")
	}
	for member, assigned := range plan.AsMemberIDMap() {
		tasks := assigned[tasksTopic]
		delete(assigned, tasksTopic)
		for _, input := range p.inputs[member] {
			assigned[input] = slices.Clone(tasks)
		}
	}
	return plan, nil
}
