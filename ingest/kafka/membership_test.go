package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/droplift/droplift/ingest/event"
)

// staticMembers are the names of a group.
var staticMembers = []string{"edge-1", "edge-2", "edge-3"}

// assignments says which partitions a group's static members have, by their names.
func assignments(t testing.TB, cfg Config, group string) map[string][]string {
	t.Helper()
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	out := map[string][]string{}
	described, err := adm.adm.DescribeGroups(t.Context(), cfg.GroupID(group))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range described[cfg.GroupID(group)].Members {
		if m.InstanceID == nil {
			t.Fatalf("member %s is not static", m.MemberID)
		}
		var has []string
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				for _, p := range topic.Partitions {
					has = append(has, fmt.Sprint(topic.Topic, "/", p))
				}
			}
		}
		slices.Sort(has)
		out[*m.InstanceID] = has
	}
	return out
}

// deleteMember takes a static member out of its group, as an operator would.
func deleteMember(t testing.TB, cfg Config, group, name string) {
	t.Helper()
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	left, err := adm.adm.LeaveGroup(t.Context(), kadm.LeaveGroup(cfg.GroupID(group)).InstanceIDs(name))
	if err == nil {
		err = left.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A rolling restart of static members moves nothing: everybody has again what it had, and
// only who restarts restores.
func testStageRestartsInPlace(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 6, Groups: []string{testGroup}})
	const total, keys = 1200, 37
	start := func(name string) *member {
		sc := tallies()
		sc.Instance, sc.Static = name, true
		sc.SessionTimeout = 30 * time.Second // a restart takes less
		sc.Registerer = prometheus.NewRegistry()
		return startStage(t, cfg, sc)
	}
	members := map[string]*member{}
	for i, name := range staticMembers {
		members[name] = start(name)
		eventually(t, 30*time.Second, "the member has its share", func() bool {
			m := members[name].stage
			return m.Ready() == nil && metric(t, m.metrics.ownedTasks) == float64(6/(i+1))
		})
	}
	before := assignments(t, cfg, testGroup)
	for i, name := range staticMembers {
		restored := map[string]float64{}
		for other, m := range members {
			restored[other] = metric(t, m.stage.metrics.restores)
		}
		members[name].stop(t)
		produce(t, cfg, event.KindPlayer, i*total/3, (i+1)*total/3, keys)
		members[name] = start(name)
		restored[name] = 2
		eventually(t, 30*time.Second, "the member is back", func() bool { return members[name].stage.Ready() == nil })
		eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
		if after := assignments(t, cfg, testGroup); !maps.EqualFunc(after, before, slices.Equal) {
			t.Errorf("after the restart of %s the group has %v; had %v", name, after, before)
		}
		for other, m := range members {
			if got := metric(t, m.stage.metrics.restores); got != restored[other] {
				t.Errorf("at the restart of %s, %s has restored %v tasks; want %v", name, other, got, restored[other])
			}
		}
	}
	// Without a restart the others get its partitions, at the latest at the session timeout.
	gone := staticMembers[0]
	members[gone].stop(t)
	deleteMember(t, cfg, testGroup, gone)
	for _, name := range staticMembers[1:] {
		eventually(t, 30*time.Second, "the others have taken over", func() bool {
			m := members[name].stage
			return m.Ready() == nil && metric(t, m.metrics.ownedTasks) == 3
		})
		members[name].stop(t)
	}
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// A second process under a name that is taken makes the first one end, with an error that names the fix.
func testStageOfOneNameAtATime(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	sc := tallies()
	sc.Instance, sc.Static = "edge", true
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	first := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	second := startStage(t, cfg, sc)
	select {
	case err := <-first.done:
		first.done <- nil
		if err == nil || !strings.Contains(err.Error(), `another process has become instance "edge"`) {
			t.Errorf("the first ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("both go on")
	}
	produce(t, cfg, event.KindPlayer, 100, 200, 10)
	eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	second.stop(t)
	checkExactlyOnce(t, cfg, testGroup, 200, 10)
}

func testFeedRestartsInPlace(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 3})
	const total = 900
	w := newWarehouse()
	type process struct {
		*feeder
		begun *atomic.Int64 // workers that have begun
	}
	start := func(name string) process {
		p := process{begun: &atomic.Int64{}}
		fc := shelves(cfg, w, 20)
		fc.Instance = name
		fc.SessionTimeout = 30 * time.Second // a restart takes less
		cfg := cfg
		cfg.OnStep = func(s Step) {
			if s == FeedBegun {
				p.begun.Add(1)
			}
		}
		p.feeder = startFeed(t, cfg, fc)
		return p
	}
	members := map[string]process{}
	for _, name := range staticMembers {
		members[name] = start(name)
	}
	// Three partitions of two kinds for three members.
	balanced := func() bool {
		has := assignments(t, cfg, testLoaders)
		for _, name := range staticMembers {
			if len(has[name]) != 2 || members[name].feed.Ready() != nil {
				return false
			}
		}
		return true
	}
	eventually(t, 30*time.Second, "everybody has a share", balanced)
	produce(t, cfg, event.KindPlayer, 0, 100, 37)
	eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
	before := assignments(t, cfg, testLoaders)
	for i, name := range staticMembers {
		begun := map[string]int64{}
		for other, m := range members {
			begun[other] = m.begun.Load()
		}
		if err := members[name].stop(t); err != nil {
			t.Error(err)
		}
		produce(t, cfg, event.KindCheckout, i*total/3, (i+1)*total/3, 37)
		members[name] = start(name)
		begun[name] = 2
		eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindCheckout) })
		eventually(t, 30*time.Second, "the member is back", func() bool { return members[name].begun.Load() == 2 })
		if after := assignments(t, cfg, testLoaders); !maps.EqualFunc(after, before, slices.Equal) {
			t.Errorf("after the restart of %s the group has %v; had %v", name, after, before)
		}
		for other, m := range members {
			if got := m.begun.Load(); got != begun[other] {
				t.Errorf("at the restart of %s, %s has begun %d partitions; want %d", name, other, got, begun[other])
			}
		}
	}
	for _, m := range members {
		if err := m.stop(t); err != nil {
			t.Error(err)
		}
	}
	w.check(t, cfg, event.KindPlayer, event.KindCheckout)
	if w.repeats != 0 {
		t.Errorf("%d batches were repeated without need", w.repeats)
	}
}

func testFeedOfOneNameAtATime(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	w := newWarehouse()
	fc := shelves(cfg, w, 20)
	fc.Instance = "edge"
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	first := startFeed(t, cfg, fc)
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
	second := startFeed(t, cfg, fc)
	select {
	case err := <-first.done:
		first.done <- nil
		if err == nil || !strings.Contains(err.Error(), `another process has become instance "edge"`) {
			t.Errorf("the first ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("both go on")
	}
	produce(t, cfg, event.KindPlayer, 100, 200, 10)
	eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
	if err := second.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer)
}

func TestStaticMembersHaveNames(t *testing.T) {
	cfg := Config{Brokers: []string{"localhost:1"}}
	for name, good := range map[string]bool{"edge-1": true, "a_b.c": true, "": false, ".": false, "..": false, "a b": false, "ä": false, strings.Repeat("x", 250): false} {
		sc := tallies()
		sc.Instance, sc.Static = name, true
		if err := sc.Validate(); (err == nil) != good {
			t.Errorf("stage %q: %v", name, err)
		}
		fc := shelves(cfg, newWarehouse(), 1)
		fc.Instance = name
		if err := fc.Validate(); (err == nil) != (good || name == "") {
			t.Errorf("feed %q: %v", name, err)
		}
	}
	fc := shelves(cfg, newWarehouse(), 1)
	fc.Instance = "edge-1"
	cfg.GroupProtocol = GroupConsumer
	if _, err := NewFeed(cfg, fc); err == nil || !strings.Contains(err.Error(), "classic group protocol") {
		t.Errorf("static under the consumer protocol: %v", err)
	}
}
