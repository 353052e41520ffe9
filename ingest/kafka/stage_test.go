package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

func tallies() StageConfig {
	return StageConfig{
		Group:   testGroup,
		Inputs:  []event.Kind{event.KindPlayer, event.KindCheckout},
		NewTask: func(int32) Task { return newTally() },
	}
}

func testStageCountsOnce(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	produce(t, cfg, event.KindPlayer, 0, 500, 37)
	reg := prometheus.NewRegistry()
	sc := tallies()
	sc.Registerer = reg
	m := startStage(t, cfg, sc)
	produce(t, cfg, event.KindCheckout, 500, 1000, 37)
	eventually(t, 20*time.Second, "everything committed", func() bool {
		return groupDone(t, cfg, testGroup, event.KindPlayer, event.KindCheckout)
	})
	if err := m.stage.Ready(); err != nil {
		t.Error("not ready:", err)
	}
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, 1000, 37)
	if n := metric(t, m.stage.metrics.in.WithLabelValues(cfg.Topic(event.KindPlayer), "accepted")); n != 500 {
		t.Errorf("metric: %v player records accepted", n)
	}
	if err := m.stage.Ready(); err == nil {
		t.Error("ready after it stopped")
	}

	checkRoutes(t, cfg, 5)
	// Other outputs of a task are in its partition: a player's records stay together.
	for _, topic := range []string{cfg.Topic(event.KindFeatures), cfg.Topic(event.KindVelocity), cfg.Changelog(testGroup)} {
		homes := map[string]int32{}
		for p, rs := range contents(t, cfg, cfg.Topic(event.KindPlayer)) {
			for _, r := range rs {
				homes[string(r.Key)] = p
			}
		}
		for p, rs := range contents(t, cfg, topic) {
			for _, r := range rs {
				if homes[string(r.Key)] != p {
					t.Errorf("%s: key %s is in partition %d, its inputs in %d", topic, r.Key, p, homes[string(r.Key)])
				}
			}
		}
	}
}

// checkRoutes says whether records with one route are in one partition, wherever they come from.
func checkRoutes(t *testing.T, cfg Config, routes int) {
	t.Helper()
	homes, placed, records := map[string]int32{}, map[int32]bool{}, 0
	for p, rs := range contents(t, cfg, cfg.Topic(event.KindEstimate)) {
		for _, r := range rs {
			route := string(event.Route(r.Key))
			if home, ok := homes[route]; ok && home != p {
				t.Errorf("records of route %q are in partitions %d and %d", route, home, p)
			}
			homes[route], placed[p] = p, true
			records++
		}
	}
	copies, partitions := contents(t, cfg, cfg.Topic(event.KindProgress)), contents(t, cfg, cfg.Topic(event.KindPlayer))
	for p := range partitions {
		if len(copies[p]) == 0 || len(copies[p]) != len(copies[0]) {
			t.Errorf("partition %d has %d of the broadcast records, partition 0 %d", p, len(copies[p]), len(copies[0]))
		}
	}
	if len(homes) != routes || len(placed) < 2 || records < 2*routes {
		t.Errorf("%d records of routes %v", records, homes)
	}
}

// TestInstallationsShareACluster runs two that differ in nothing but their prefix: they must not take each other's
// partitions, transactions or offsets.
func TestInstallationsShareACluster(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	installations := []Config{cfg, cfg}
	var members []*member
	for i := range installations {
		conf := &installations[i]
		conf.TopicPrefix = fmt.Sprintf("%c.", 'a'+i)
		ensure(t, *conf, Topics{Groups: []string{testGroup}})
		sc := tallies()
		sc.Instance = "same"
		members = append(members, startStage(t, *conf, sc))
	}
	for i, conf := range installations {
		produce(t, conf, event.KindPlayer, 0, 200*(i+1), 37)
	}
	for i, conf := range installations {
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, conf, testGroup, event.KindPlayer) })
		members[i].stop(t)
		checkExactlyOnce(t, conf, testGroup, 200*(i+1), 37)
	}
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	groups, err := adm.adm.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := groups.Groups(); !slices.Equal(got, []string{"a.count", "b.count"}) {
		t.Errorf("groups %v; each installation has its own", got)
	}
}

func testStageRestores(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	for run := range 3 {
		produce(t, cfg, event.KindPlayer, run*200, (run+1)*200, 20)
		m := startStage(t, cfg, tallies())
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
		m.stop(t)
	}
	checkExactlyOnce(t, cfg, testGroup, 600, 20)
}

// A member that comes and goes makes partitions move; what stays keeps its memory.
func testStageRebalances(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	const total, keys = 6000, 101
	var produced sync.WaitGroup
	produced.Go(func() {
		for i := 0; i < total; i += 200 {
			produce(t, cfg, event.KindPlayer, i, i+200, keys)
		}
	})
	a := startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "first member ready", func() bool { return a.stage.Ready() == nil })
	b := startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "second member ready", func() bool { return b.stage.Ready() == nil })
	c := startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "third member ready", func() bool { return c.stage.Ready() == nil })
	b.stop(t)
	produced.Wait()
	eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	kept := metric(t, a.stage.metrics.keptOnMoving)
	if kept == 0 {
		t.Error("no task kept its memory over a rebalance")
	}
	a.stop(t)
	c.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// Every request of the commit path fails now and then, in every way a broker has.
func TestStageSurvivesFaults(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name string
		key  kmsg.Key
		err  *kerr.Error
	}{
		{"produce is refused", kmsg.Produce, kerr.InvalidTxnState},
		{"produce is fenced", kmsg.Produce, kerr.InvalidProducerEpoch},
		{"produce is not retriable", kmsg.Produce, kerr.UnknownServerError},
		{"offsets are refused by generation", kmsg.TxnOffsetCommit, kerr.IllegalGeneration},
		{"offsets hit a forgotten member", kmsg.TxnOffsetCommit, kerr.UnknownMemberID},
		{"offsets fail", kmsg.TxnOffsetCommit, kerr.UnknownServerError},
		{"end fails", kmsg.EndTxn, kerr.UnknownServerError},
		{"end times out after it happened", kmsg.EndTxn, kerr.RequestTimedOut},
		{"end is fenced", kmsg.EndTxn, kerr.ProducerFenced},
		{"end meets an invalid state", kmsg.EndTxn, kerr.InvalidTxnState},
		{"heartbeat loses the member", kmsg.Heartbeat, kerr.UnknownMemberID},
		{"init is concurrent", kmsg.InitProducerID, kerr.ConcurrentTransactions},
		{"restore cannot list", kmsg.ListOffsets, kerr.NotLeaderForPartition},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c, cfg := newCluster(t)
			ensure(t, cfg, Topics{Groups: []string{testGroup}})
			const total, keys = 1500, 17
			m := startStage(t, cfg, tallies())
			eventually(t, 20*time.Second, "ready", func() bool { return m.stage.Ready() == nil })
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{f.key}, Err: f.err, Count: 2, When: func(r kmsg.Request) bool {
				// The test's own producer is not transactional, and is to be left alone.
				p, ok := r.(*kmsg.ProduceRequest)
				return !ok || p.TransactionID != nil
			}})
			for i := 0; i < total; i += 300 {
				produce(t, cfg, event.KindPlayer, i, i+300, keys)
			}
			if f.key == kmsg.InitProducerID || f.key == kmsg.ListOffsets {
				m.stop(t)
				m = startStage(t, cfg, tallies())
			}
			eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			if h.Hits() == 0 {
				t.Error("the fault never came")
			}
			m.stop(t)
			checkExactlyOnce(t, cfg, testGroup, total, keys)
		})
	}
}

// The answer to a commit is lost: the broker has committed, the stage cannot know.
func testStageUnknownOutcome(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	const total, keys = 2000, 17
	m := startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "ready", func() bool { return m.stage.Ready() == nil })
	var ends, deafened atomic.Int64
	m.net.sent.Store(func(key kmsg.Key) {
		if key != kmsg.EndTxn {
			return
		}
		if n := ends.Add(1); n%3 == 0 && n < 12 {
			// The broker goes on to commit; nobody hears of it until connections are made anew.
			m.net.deaf.Store(true)
			deafened.Add(1)
		}
	})
	stop := make(chan struct{})
	var healer sync.WaitGroup
	healer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(30 * time.Millisecond):
				m.net.deaf.Store(false)
			}
		}
	})
	for i := 0; i < total; i += 100 {
		produce(t, cfg, event.KindPlayer, i, i+100, keys)
	}
	eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	close(stop)
	healer.Wait()
	if deafened.Load() == 0 {
		t.Error("no answer was lost")
	}
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// The broker commits and then answers that something went wrong. The client
// takes that for an abort and rewinds; the marker in the group's offsets says otherwise.
func TestStageCommitReportedAsFailed(t *testing.T) {
	t.Parallel()
	c, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	const total, keys = 1000, 17
	other, err := cfg.newClient("test")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	m := startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "ready", func() bool { return m.stage.Ready() == nil })
	var passing atomic.Bool
	var lies atomic.Int64
	c.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.EndTxnRequest)
		if passing.Load() || !req.Commit || lies.Load() >= 3 {
			return nil, nil, false
		}
		lies.Add(1)
		c.SleepControl(func() {
			passing.Store(true)
			defer passing.Store(false)
			again := *req
			resp, err := again.RequestWith(context.Background(), other)
			if err == nil {
				err = kerr.ErrorForCode(resp.ErrorCode)
			}
			if err != nil {
				t.Errorf("the commit behind the lie: %v", err)
			}
		})
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
	for i := 0; i < total; i += 100 {
		produce(t, cfg, event.KindPlayer, i, i+100, keys)
		eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	}
	if lies.Load() != 3 {
		t.Errorf("%d lies were told", lies.Load())
	}
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// The change-log still holds a transaction of the last owner that is not decided:
// nothing is processed before it is, and then its outcome counts.
func testStageWaitsForTheLastOwner(t *testing.T, k server) {
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		t.Run(fmt.Sprint("commit=", commit), func(t *testing.T) {
			cfg := k.config(t).Config
			ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
			produce(t, cfg, event.KindPlayer, 0, 100, 10)
			m := startStage(t, cfg, tallies())
			eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			m.stop(t)

			last, err := cfg.newClient("test", kgo.TransactionalID("last"), kgo.TransactionTimeout(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			defer last.Close()
			if err := last.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			r := &kgo.Record{Topic: cfg.Changelog(testGroup), Key: []byte("k0"), Value: count{1000, 1000}.bytes()}
			if err := last.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}

			var processed atomic.Int64
			sc := tallies()
			sc.NewTask = func(int32) Task {
				task := newTally()
				task.processed = &processed
				return task
			}
			produce(t, cfg, event.KindPlayer, 100, 110, 10)
			m = startStage(t, cfg, sc)
			eventually(t, 20*time.Second, "restoring", func() bool {
				err := m.stage.Ready()
				return err != nil && strings.Contains(err.Error(), "restoring")
			})
			eventually(t, 20*time.Second, "lag is asked for", func() bool { end, _ := m.stage.monitor.end(cfg.Topic(event.KindPlayer), 0); return end == 110 })
			if processed.Load() != 0 {
				t.Error("records were processed before the state was decided")
			}
			if err := last.EndTransaction(t.Context(), commit); err != nil {
				t.Fatal(err)
			}
			eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			m.stop(t)
			want := count{1001, 1100}
			if commit == kgo.TryAbort {
				want = count{11, 550}
			}
			var got count
			for _, r := range contents(t, cfg, cfg.Changelog(testGroup))[0] {
				if string(r.Key) == "k0" {
					got = countOf(r.Value)
				}
			}
			if got != want {
				t.Errorf("k0 is %v, want %v", got, want)
			}
		})
	}
}

// fence is the last check before offsets are committed.
func TestFence(t *testing.T) {
	for _, c := range []struct {
		name       string
		member     string
		generation int32
		offset     int64
		want       error // nil, or any error
	}{
		{"its own generation", "m", 5, 17, nil},
		{"a newer generation", "m", 6, 17, kerr.IllegalGeneration},
		{"another membership", "n", 5, 17, kerr.IllegalGeneration},
		{"an offset that was not processed", "m", 5, 18, errors.New("any")},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Brokers: []string{"localhost:1"}}
			st, err := NewStage(cfg, tallies())
			if err != nil {
				t.Fatal(err)
			}
			ss := &session{Stage: st, owned: assignment{member: "m", generation: 5}, marker: "mark", tasks: map[int32]*owned{}}
			for n := range int32(3) {
				ss.tasks[n] = newOwned(n, newTally(), st.cfg.Inputs)
			}
			busy, idle := ss.tasks[0], ss.tasks[2] // task 1 has nothing to say
			busy.active, busy.inputs[0].position, busy.inputs[0].committed = true, 17, 10
			idle.active, idle.inputs[1].position, idle.inputs[1].committed = true, 40, 40
			idle.out = append(idle.out, kgo.Record{})
			req := kmsg.NewPtrTxnOffsetCommitRequest()
			req.MemberID, req.Generation = c.member, c.generation
			req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "player", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{Partition: 0, Offset: c.offset}}}}
			err = ss.fence(req)
			if c.want != nil {
				if err == nil || errors.Is(c.want, kerr.IllegalGeneration) != errors.Is(err, kerr.IllegalGeneration) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[topicPartition]int64{}
			for _, topic := range req.Topics {
				for _, p := range topic.Partitions {
					if p.Metadata == nil || *p.Metadata != "mark" {
						t.Errorf("%s/%d carries no marker", topic.Topic, p.Partition)
					}
					got[topicPartition{topic.Topic, p.Partition}] = p.Offset
				}
			}
			want := map[topicPartition]int64{{"player", 0}: 17, {"checkout", 2}: 40}
			if !maps.Equal(got, want) {
				t.Errorf("commits %v, want %v", got, want)
			}
		})
	}
}

// A compacted change-log restores the same state.
func testStageRestoresCompacted(t *testing.T, k server) {
	c := k.config(t)
	cfg := c.Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	for run := range 3 {
		for i := range 4 {
			from := run*400 + i*100
			produce(t, cfg, event.KindPlayer, from, from+100, 20)
			m := startStage(t, cfg, tallies())
			eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			m.stop(t)
		}
		c.compact(t, cfg.Changelog(testGroup))
	}
	n := 0
	for _, rs := range contents(t, cfg, cfg.Changelog(testGroup)) {
		n += len(rs)
	}
	if n >= 12*20 {
		t.Errorf("the change-log was not compacted: %d entries", n)
	}
	m := startStage(t, cfg, tallies())
	produce(t, cfg, event.KindPlayer, 1200, 1300, 20)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)
	checkState(t, cfg, testGroup, 1300, 20)
}

// Retention that overtakes the stage is told, in offsets.
func testStageTellsLostRecords(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	m := startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)
	produce(t, cfg, event.KindPlayer, 100, 200, 10)
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	var removed kadm.Offsets
	removed.Add(kadm.Offset{Topic: cfg.Topic(event.KindPlayer), Partition: 0, At: 130})
	deleted, err := adm.adm.DeleteRecords(t.Context(), removed)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	m = startStage(t, cfg, tallies())
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)
	if n := metric(t, m.stage.metrics.lost.WithLabelValues(cfg.Topic(event.KindPlayer))); n != 30 {
		t.Errorf("%v offsets are told lost, 30 are", n)
	}
}

// A member that was off the network past its session comes back in the middle of
// a transaction. Its partitions have a new owner; nothing of its may count.
func testStageFencesZombies(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	const total, keys = 2000, 17
	var held atomic.Bool
	gate := make(chan struct{})
	sc := tallies()
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.slow = func() {
			if held.CompareAndSwap(true, false) {
				<-gate
			}
		}
		return task
	}
	zombie := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "ready", func() bool { return zombie.stage.Ready() == nil })
	held.Store(true)
	produce(t, cfg, event.KindPlayer, 0, total/2, keys)
	eventually(t, 10*time.Second, "the zombie is in a transaction", func() bool { return !held.Load() })
	zombie.net.cut()
	heir := startStage(t, cfg, tallies())
	eventually(t, 30*time.Second, "the heir has done everything", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	zombie.net.heal()
	close(gate)
	produce(t, cfg, event.KindPlayer, total/2, total, keys)
	eventually(t, 30*time.Second, "both ready", func() bool { return zombie.stage.Ready() == nil && heir.stage.Ready() == nil })
	eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	zombie.stop(t)
	heir.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// Members stop, crash and come back at seeded random moments, and requests fail.
func testStageUnderChaos(t *testing.T, k server) {
	c := k.config(t)
	chaos(t, c, tallies())
}

func chaos(t *testing.T, c cluster, sc StageConfig) {
	cfg := c.Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	r := rng(t)
	const total, keys = 8000, 53
	var processed atomic.Int64
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.processed = &processed
		return task
	}
	var produced sync.WaitGroup
	produced.Go(func() {
		for i := 0; i < total; i += 100 {
			kind := event.KindPlayer
			if i/100%3 == 0 {
				kind = event.KindCheckout
			}
			produce(t, cfg, kind, i, i+100, keys)
		}
	})
	keysOf := []kmsg.Key{kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.Heartbeat, kmsg.OffsetFetch}
	errs := []*kerr.Error{kerr.UnknownServerError, kerr.NotCoordinator, kerr.InvalidProducerEpoch, kerr.RequestTimedOut, kerr.CoordinatorLoadInProgress}
	var members []*member
	for round := 0; !groupDone(t, cfg, testGroup, event.KindPlayer, event.KindCheckout) || round < 8; round++ {
		if round > 60 {
			t.Fatal("no end after 60 rounds")
		}
		if len(members) < 3 {
			one := sc
			// Some are new at every start, some come back under a name that nobody has at the moment.
			if r.IntN(2) == 0 {
				one.Static = r.IntN(2) == 0
				for n := 0; one.Instance == "" || slices.ContainsFunc(members, func(m *member) bool { return m.stage.cfg.Instance == one.Instance }); n++ {
					one.Instance = fmt.Sprint("instance-", n)
				}
			}
			members = append(members, startStage(t, cfg, one))
		}
		// Something happens, then the victim falls after a random number of records.
		if r.IntN(2) == 0 {
			c.fault(keysOf[r.IntN(len(keysOf))], errs[r.IntN(len(errs))])
		}
		until, deadline := processed.Load()+int64(r.IntN(400)), time.Now().Add(700*time.Millisecond)
		eventually(t, 30*time.Second, "progress", func() bool { return processed.Load() >= until || time.Now().After(deadline) })
		switch i := r.IntN(len(members)); r.IntN(4) {
		case 0:
			members[i].stop(t)
			members = append(members[:i], members[i+1:]...)
		case 1:
			members[i].crash()
			members = append(members[:i], members[i+1:]...)
		}
	}
	produced.Wait()
	if len(members) == 0 {
		members = append(members, startStage(t, cfg, sc))
	}
	eventually(t, 60*time.Second, "everything committed", func() bool {
		return groupDone(t, cfg, testGroup, event.KindPlayer, event.KindCheckout)
	})
	for _, m := range members {
		m.stop(t)
	}
	checkExactlyOnce(t, cfg, testGroup, total, keys)
	t.Logf("%d records were processed for %d", processed.Load(), total)
}

// A stage without records publishes what has become due, in a transaction that
// is fenced like any other, and commits nothing when there is nothing.
func testStageIdleFlush(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	var armed, seenIdle atomic.Bool
	sc := tallies()
	sc.LagInterval = 50 * time.Millisecond
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.idle = func(t *tally) []event.Message {
			if len(t.caughtUp) == 2 && t.caughtUp[0] && t.caughtUp[1] {
				seenIdle.Store(true)
				if armed.CompareAndSwap(true, false) {
					return []event.Message{{Kind: event.KindLate, Key: []byte("idle"), Value: []byte("1")}}
				}
			}
			return nil
		}
		return task
	}
	m := startStage(t, cfg, sc)
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	eventually(t, 20*time.Second, "caught up", func() bool {
		return seenIdle.Load() && groupDone(t, cfg, testGroup, event.KindPlayer)
	})
	before := metric(t, m.stage.metrics.commits)
	armed.Store(true)
	eventually(t, 20*time.Second, "idle output committed", func() bool { return len(contents(t, cfg, cfg.Topic(event.KindLate))) == 1 })
	after := metric(t, m.stage.metrics.commits)
	if after != before+1 {
		t.Errorf("%v commits for one idle output", after-before)
	}
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, 100, 10)
}

// Brokers vanish and come back: the stage says so, waits, and loses nothing.
func TestStageWaitsForBrokers(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	sc := tallies()
	sc.LagInterval = 50 * time.Millisecond
	m := startStage(t, cfg, sc)
	produce(t, cfg, event.KindPlayer, 0, 300, 10)
	eventually(t, 20*time.Second, "ready", func() bool { return m.stage.Ready() == nil })
	m.net.cut()
	eventually(t, 20*time.Second, "not ready", func() bool { return m.stage.Ready() != nil })
	produce(t, cfg, event.KindPlayer, 300, 600, 10)
	m.net.heal()
	eventually(t, 40*time.Second, "ready again", func() bool { return m.stage.Ready() == nil })
	eventually(t, 40*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, 600, 10)
}

func TestStageRefuses(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, cfg Config, sc StageConfig) error {
		t.Helper()
		s, err := NewStage(cfg, sc)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err = s.Run(ctx)
		if ctx.Err() != nil {
			t.Fatal("it went on")
		}
		return err
	}
	t.Run("inputs with different partition counts", func(t *testing.T) {
		_, cfg := newCluster(t, kfake.SeedTopics(4, "player", "changelog-count"), kfake.SeedTopics(3, "checkout"))
		if err := run(t, cfg, tallies()); classify(err) != permanent {
			t.Errorf("got %v", err)
		}
	})
	t.Run("state without offsets", func(t *testing.T) {
		_, cfg := newCluster(t)
		ensure(t, cfg, Topics{Groups: []string{testGroup}})
		produce(t, cfg, event.KindPlayer, 0, 100, 10)
		m := startStage(t, cfg, tallies())
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
		m.stop(t)
		adm, err := NewAdmin(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer adm.Close()
		if _, err := adm.adm.DeleteGroups(t.Context(), testGroup); err != nil {
			t.Fatal(err)
		}
		if err := run(t, cfg, tallies()); classify(err) != permanent {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a change-log it cannot read", func(t *testing.T) {
		_, cfg := newCluster(t)
		ensure(t, cfg, Topics{Groups: []string{testGroup}})
		produce(t, cfg, event.KindPlayer, 0, 100, 10)
		m := startStage(t, cfg, tallies())
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
		m.stop(t)
		sc := tallies()
		sc.NewTask = func(int32) Task { return unreadable{newTally()} }
		if err := run(t, cfg, sc); classify(err) != permanent {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an output that no topic takes", func(t *testing.T) {
		_, cfg := newCluster(t)
		ensure(t, cfg, Topics{Groups: []string{testGroup}})
		produce(t, cfg, event.KindPlayer, 0, 1, 10)
		sc := tallies()
		sc.NewTask = func(int32) Task { return bloated{newTally()} }
		if err := run(t, cfg, sc); !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}

type unreadable struct{ *tally }

func (unreadable) Restore(string, []byte) error { return errors.New("written by another version") }

type bloated struct{ *tally }

func (b bloated) Flush(now int64, up []bool) []event.Message {
	out := b.tally.Flush(now, up)
	for i := range out {
		out[i].Value = make([]byte, maxDerivedBytes+1)
	}
	return out
}

// A restore behind a transaction that nobody ends says which one it is, and goes on when it has ended.
func testStageNamesHangingTransactions(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	sc := tallies()
	sc.SessionTimeout = 2 * time.Second
	m := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)

	other, err := cfg.newClient("other", kgo.TransactionalID(cfg.TopicPrefix+"other"), kgo.TransactionTimeout(time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: cfg.Changelog(testGroup), Key: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	m = startStage(t, cfg, sc)
	eventually(t, 30*time.Second, "the stage says what it waits for", func() bool {
		err := m.stage.Ready()
		return err != nil && strings.Contains(err.Error(), "a transaction of producer") && strings.Contains(err.Error(), "has not ended")
	})
	if err := other.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the restore goes on", func() bool { return m.stage.Ready() == nil })
	m.stop(t)
}
