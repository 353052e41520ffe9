package kafka

import (
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

func TestPressure(t *testing.T) {
	const limit = 1000
	for _, c := range []struct {
		was  pressure
		used int64
		want pressure
	}{
		{fullSpeed, 0, fullSpeed}, {fullSpeed, 799, fullSpeed}, {fullSpeed, 800, slowed}, {fullSpeed, 899, slowed}, {fullSpeed, 900, stopped}, {fullSpeed, 5000, stopped},
		{slowed, 749, fullSpeed}, {slowed, 750, slowed}, {slowed, 899, slowed}, {slowed, 900, stopped},
		{stopped, 850, stopped}, {stopped, 849, slowed}, {stopped, 750, slowed}, {stopped, 749, fullSpeed}, {stopped, 1001, stopped},
	} {
		if got := c.was.next(c.used, limit); got != c.want {
			t.Errorf("%s, then %d of %d: %s, want %s", pressureNames[c.was], c.used, limit, pressureNames[got], pressureNames[c.want])
		}
	}
	if got := stopped.next(math.MaxInt64/2, math.MaxInt64); got != fullSpeed {
		t.Errorf("half of a limit that is none: %s", pressureNames[got])
	}
	for level, want := range map[pressure]int{fullSpeed: 50_000, slowed: 6_250} {
		if got := level.records(50_000); got != want {
			t.Errorf("%s: %d records", pressureNames[level], got)
		}
	}
	if slowed.records(3) != 1 {
		t.Error("a slowed stage that takes nothing has stopped")
	}
}

// keep holds on to memory that a test wants in use.
var keep []byte

func TestLiveMemory(t *testing.T) {
	var m liveMemory
	const size = 512 << 20 // beside which what earlier tests leave does not matter
	runtime.GC()
	before := m.used(false)
	keep = make([]byte, size)
	runtime.GC()
	with := m.used(false)
	keep = nil
	m.since = time.Now().Add(-2 * collectEvery)
	after := m.used(true)
	if before <= 0 || with < before+size*3/4 || after > with-size*3/4 {
		t.Errorf("%d bytes are in use, with %d more %d, and without them %d", before, size, with, after)
	}
}

// atLimit is a stage of one partition whose process uses so many per cent of its memory.
func atLimit(t *testing.T, cfg Config, percent *atomic.Int64, sc StageConfig) *member {
	t.Helper()
	guard, err := NewMemoryGuard(MemoryConfig{Limit: 100, Used: percent.Load, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	sc.Memory = guard
	return startStage(t, cfg, sc)
}

// At the limit nothing is fetched, but what is there is flushed; when memory falls all goes on, and nothing is lost.
func TestStageStopsAtTheMemoryLimit(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	const total, keys = 3000, 17
	var percent, processed, idle atomic.Int64
	sc := tallies()
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.processed = &processed
		task.idle = func(*tally) []event.Message { idle.Add(1); return nil }
		return task
	}
	m := atLimit(t, cfg, &percent, sc)
	guard := m.stage.cfg.Memory
	produce(t, cfg, event.KindPlayer, 0, total/3, keys)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })

	percent.Store(95)
	eventually(t, 20*time.Second, "it says that it has stopped", func() bool {
		err := m.stage.Ready()
		return err != nil && strings.Contains(err.Error(), "memory is at 95 %") && strings.Contains(err.Error(), "more instances")
	})
	produce(t, cfg, event.KindPlayer, total/3, 2*total/3, keys)
	for _, p := range []int64{95, 86} { // falling a little is not enough
		percent.Store(p)
		// Flushes of tasks that hold nothing show that the loop turns.
		until := idle.Load() + 12
		eventually(t, 20*time.Second, "idle flushes", func() bool { return idle.Load() >= until })
		if n := processed.Load(); n != total/3 {
			t.Fatalf("%d records were processed at %d %%", n-total/3, p)
		}
	}
	if n := metric(t, m.stage.metrics.ready); n != 0 {
		t.Error("metric: ready")
	}
	if metric(t, guard.usedBytes) != 86 || metric(t, guard.levels.WithLabelValues("stopped")) != 1 || metric(t, guard.levels.WithLabelValues("full_speed")) != 0 {
		t.Error("metrics do not say what the guard does")
	}

	if s := m.stage.time.balance(); s[onMemory] == 0 {
		t.Error("the wait for memory is booked as something else")
	}

	percent.Store(50)
	produce(t, cfg, event.KindPlayer, 2*total/3, total, keys)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	if err := m.stage.Ready(); err != nil {
		t.Error(err)
	}
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// An instance at its limit hands partitions to a new one, and can be stopped.
func TestStageAtTheMemoryLimitMoves(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	const total, keys = 2000, 101
	var full, roomy atomic.Int64
	a := atLimit(t, cfg, &full, tallies())
	produce(t, cfg, event.KindPlayer, 0, total/2, keys)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	full.Store(99)
	eventually(t, 20*time.Second, "it has stopped", func() bool { return a.stage.Ready() != nil })
	produce(t, cfg, event.KindPlayer, total/2, total, keys)
	b := atLimit(t, cfg, &roomy, tallies())
	eventually(t, 20*time.Second, "the new instance has done its part", func() bool {
		return b.stage.Ready() == nil && metric(t, b.stage.metrics.in.WithLabelValues("player", "accepted")) > 0
	})
	if a.stage.Ready() == nil {
		t.Error("the full instance goes on")
	}
	a.stop(t)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	b.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// Between 80 and 90 % transactions are smaller.
func TestStageSlowsDownNearTheMemoryLimit(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
	const total, keys, most = 1000, 17, 80
	produce(t, cfg, event.KindPlayer, 0, total, keys)
	var percent, inTransaction, largest atomic.Int64
	percent.Store(82)
	sc := tallies()
	sc.MaxRecords, sc.CommitInterval = most, time.Second
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.slow = func() { largest.Store(max(largest.Load(), inTransaction.Add(1))) }
		return &flushed{task, func() { inTransaction.Store(0) }}
	}
	m := atLimit(t, cfg, &percent, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	if n := largest.Load(); n != most/slowedShare {
		t.Errorf("transactions of up to %d records, want %d", n, most/slowedShare)
	}
	if err := m.stage.Ready(); err != nil {
		t.Error("slow is not ready:", err)
	}
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

// A copy of a task takes memory for a while, so there is none while that is short.
func TestStageMakesNoSnapshotsNearTheMemoryLimit(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	dir := t.TempDir()
	var percent, idle atomic.Int64
	percent.Store(82)
	sc := snapshotting(tallies(), dir)
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.idle = func(*tally) []event.Message { idle.Add(1); return nil }
		return task
	}
	m := atLimit(t, cfg, &percent, sc)
	produce(t, cfg, event.KindPlayer, 0, 500, 17)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	until := idle.Load() + 12
	eventually(t, 20*time.Second, "idle flushes", func() bool { return idle.Load() >= until })
	if found := newestSnapshots(t, dir); len(found) > 0 {
		t.Errorf("%d snapshots", len(found))
	}
	percent.Store(50)
	awaitSnapshots(t, cfg, dir)
	m.stop(t)
}

// flushed tells when a Task is flushed.
type flushed struct {
	*tally
	tell func()
}

func (f *flushed) Flush(now int64, up []bool) []event.Message {
	f.tell()
	return f.tally.Flush(now, up)
}

func TestMemoryGuardRefuses(t *testing.T) {
	if _, err := NewMemoryGuard(MemoryConfig{}); err == nil {
		t.Error("no limit is no problem")
	}
}
