package kafka

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

// assignee is a member of a group as its balancer sees it.
type assignee struct {
	tasks      []int32
	generation int32
}

// fleet is a group that is balanced again and again. It fails the test when a plan is not
// co-partitioned, not balanced, or moves more than it must.
type fleet struct {
	inputs     []string
	partitions int32
	generation int32
	members    map[string]*assignee
}

// rebalance plans the next generation. Members named in missed do not hear of it: their claims grow old.
func (f *fleet) rebalance(t *testing.T, missed func(id string) bool) {
	t.Helper()
	f.generation++
	ids := slices.Sorted(maps.Keys(f.members))
	joined := make([]kmsg.JoinGroupResponseMember, len(ids))
	// Whoever claims a task by the newest generation has it.
	holders := map[int32]string{}
	for i, id := range ids {
		m := f.members[id]
		b := newTaskBalancer(func() ([]int32, int32) { return m.tasks, m.generation })
		joined[i].MemberID = id
		joined[i].ProtocolMetadata = b.JoinGroupMetadata(f.inputs, nil, f.generation-1)
		for _, task := range m.tasks {
			if h, held := holders[task]; !held || f.members[h].generation < m.generation {
				holders[task] = id
			}
		}
	}
	held := map[string]int{}
	for _, id := range holders {
		held[id]++
	}
	leader := newTaskBalancer(func() ([]int32, int32) { return nil, -1 })
	planner, topics, err := leader.MemberBalancer(joined)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(topics)); !slices.Equal(got, f.inputs) {
		t.Fatalf("asks about topics %v; want %v", got, f.inputs)
	}
	counts := map[string]int32{}
	for _, input := range f.inputs {
		counts[input] = f.partitions
	}
	into, err := planner.(kgo.GroupMemberBalancerOrError).BalanceOrError(counts)
	if err != nil {
		t.Fatal(err)
	}
	plan := map[string][]int32{}
	owners := map[int32]string{}
	for _, a := range into.IntoSyncAssignment() {
		got, err := leader.ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			t.Fatal(err)
		}
		plan[a.MemberID] = got[f.inputs[0]]
		for _, input := range f.inputs {
			if !slices.Equal(got[input], plan[a.MemberID]) {
				t.Fatalf("generation %d: %s is assigned %v, which is not co-partitioned", f.generation, a.MemberID, got)
			}
		}
		for _, task := range plan[a.MemberID] {
			if other, taken := owners[task]; taken {
				t.Fatalf("generation %d: task %d goes to %s and %s", f.generation, task, other, a.MemberID)
			}
			owners[task] = a.MemberID
		}
	}
	if len(owners) != int(f.partitions) {
		t.Fatalf("generation %d: %d of %d tasks are assigned", f.generation, len(owners), f.partitions)
	}
	// The most that can stay: everybody keeps the smaller share, and as many as there are
	// larger shares keep one more, if they have it.
	smaller, larger := int(f.partitions)/len(ids), int(f.partitions)%len(ids)
	most, stayed := 0, 0
	for _, id := range ids {
		if n := len(plan[id]); n != smaller && n != smaller+1 {
			t.Fatalf("generation %d: %s has %d tasks of %d on %d members", f.generation, id, n, f.partitions, len(ids))
		}
		most += min(held[id], smaller)
		if held[id] > smaller && larger > 0 {
			larger--
			most++
		}
	}
	for task, id := range owners {
		if holders[task] == id {
			stayed++
		}
	}
	if stayed != most {
		t.Fatalf("generation %d: %d tasks stayed where %d could: %v, held by %v", f.generation, stayed, most, plan, holders)
	}
	for id, m := range f.members {
		if !missed(id) {
			m.tasks, m.generation = plan[id], f.generation
		}
	}
}

func TestTasksMoveOnlyWhenTheyMust(t *testing.T) {
	r := rng(t)
	for range 60 {
		f := &fleet{partitions: 1 + r.Int32N(64), members: map[string]*assignee{}}
		for i := range 1 + r.IntN(4) {
			f.inputs = append(f.inputs, fmt.Sprint("input-", i))
		}
		for range 40 {
			// Several members come and go in one generation, as when a group starts or a machine dies.
			for range 1 + r.IntN(3) {
				if len(f.members) < 2 || r.IntN(2) == 0 {
					f.members[fmt.Sprintf("m%08x", r.Uint32())] = &assignee{generation: -1}
				} else {
					ids := slices.Sorted(maps.Keys(f.members))
					delete(f.members, ids[r.IntN(len(ids))])
				}
			}
			f.rebalance(t, func(string) bool { return r.IntN(10) == 0 })
		}
	}
}

// Members of two versions, of which one reads another input, divide the tasks between them all the same.
func TestTasksOfMembersWithDifferentInputs(t *testing.T) {
	members := []kmsg.JoinGroupResponseMember{{MemberID: "old"}, {MemberID: "new"}}
	nothing := newTaskBalancer(func() ([]int32, int32) { return nil, -1 })
	members[0].ProtocolMetadata = nothing.JoinGroupMetadata([]string{"a"}, nil, -1)
	members[1].ProtocolMetadata = nothing.JoinGroupMetadata([]string{"a", "b"}, nil, -1)
	planner, _, err := nothing.MemberBalancer(members)
	if err != nil {
		t.Fatal(err)
	}
	b := planner.(kgo.GroupMemberBalancerOrError)
	into, err := b.BalanceOrError(map[string]int32{"a": 4, "b": 4})
	if err != nil {
		t.Fatal(err)
	}
	got := into.(*kgo.BalancePlan).AsMemberIDMap()
	if len(got["old"]) != 1 || len(got["old"]["a"]) != 2 || len(got["new"]) != 2 || !slices.Equal(got["new"]["a"], got["new"]["b"]) {
		t.Errorf("planned %v", got)
	}
	for _, counts := range []map[string]int32{{"a": 4, "b": 3}, {"a": 4, "b": 0}, {"a": 0, "b": 0}, {}} {
		if into, err := b.BalanceOrError(counts); err == nil {
			t.Errorf("with partitions %v: planned %v", counts, into)
		}
	}
	members[0].ProtocolMetadata = []byte{0}
	if _, _, err := nothing.MemberBalancer(members); err == nil {
		t.Error("metadata that cannot be read was taken")
	}
}

// A member that joins takes what it must from the others; nobody else restores anything.
func testStageMovesOnlyWhatItMust(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 6, Groups: []string{testGroup}})
	const total, keys = 1200, 37
	produce(t, cfg, event.KindPlayer, 0, total/2, keys)
	sc := tallies()
	sc.SessionTimeout = 20 * time.Second // nobody is thrown out here
	var members []*member
	for i := range 3 {
		sc.Registerer = prometheus.NewRegistry()
		m := startStage(t, cfg, sc)
		eventually(t, 30*time.Second, "the new member has its share", func() bool {
			return m.stage.Ready() == nil && metric(t, m.stage.metrics.ownedTasks) == float64(6/(i+1))
		})
		members = append(members, m)
	}
	produce(t, cfg, event.KindPlayer, total/2, total, keys)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	for i, want := range []float64{6, 3, 2} {
		if got := metric(t, members[i].stage.metrics.restores); got != want {
			t.Errorf("member %d restored %v tasks; want %v", i, got, want)
		}
	}
	for _, m := range members {
		m.stop(t)
	}
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}
