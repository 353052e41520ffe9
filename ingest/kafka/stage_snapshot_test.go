package kafka

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/snapshot"
)

// snapshotting makes stages keep snapshots in dir, as often as they can.
func snapshotting(sc StageConfig, dir string) StageConfig {
	sc.Snapshots = SnapshotConfig{Dir: dir, Interval: time.Millisecond}
	return sc
}

// newestSnapshots are the headers of each partition's newest file, and where it is.
func newestSnapshots(t testing.TB, dir string) map[int32]*snapshot.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths) // within a partition by offset
	newest := map[int32]*snapshot.File{}
	for _, path := range paths {
		f, err := snapshot.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // replaced meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		newest[f.Header.Partition] = f
	}
	return newest
}

// awaitSnapshots returns when every partition's newest file holds everything of its change-log, which nobody is writing to.
func awaitSnapshots(t testing.TB, cfg Config, dir string) {
	t.Helper()
	last := map[int32]int64{}
	for p, rs := range contents(t, cfg, cfg.Changelog(testGroup)) {
		last[p] = rs[len(rs)-1].Offset
	}
	eventually(t, 20*time.Second, "snapshots hold everything", func() bool {
		newest := newestSnapshots(t, dir)
		for p, at := range last {
			if f := newest[p]; f == nil || f.Header.Offset <= at {
				return false
			}
		}
		return true
	})
}

func restoredFrom(t testing.TB, m *member, source string) float64 {
	t.Helper()
	return metric(t, m.stage.metrics.restored.WithLabelValues(source))
}

func refusals(t testing.TB, m *member) map[snapshot.Cause]float64 {
	t.Helper()
	all := map[snapshot.Cause]float64{}
	for _, cause := range snapshot.Causes() {
		if n := metric(t, m.stage.metrics.snapshotRefused.WithLabelValues(string(cause))); n > 0 {
			all[cause] = n
		}
	}
	return all
}

func testStageRestoresFromSnapshots(t *testing.T, k server) {
	c := k.config(t)
	cfg := c.Config
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	dir := t.TempDir()
	sc := snapshotting(tallies(), dir)
	const keys = 37
	for run := range 3 {
		produce(t, cfg, event.KindPlayer, run*500, (run+1)*500, keys)
		m := startStage(t, cfg, sc)
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
		awaitSnapshots(t, cfg, dir)
		m.stop(t)
		if run > 0 {
			if n := restoredFrom(t, m, fromSnapshot); n != keys {
				t.Errorf("run %d: %v keys came from snapshots, there are %d", run, n, keys)
			}
			if n := restoredFrom(t, m, fromChangelog); n != 0 {
				t.Errorf("run %d: %v entries came from the change-log though the snapshots hold all", run, n)
			}
		}
		if got := refusals(t, m); len(got) > 0 {
			t.Errorf("run %d: refused %v", run, got)
		}
		if run == 1 { // the first run may have written every key once only
			c.compact(t, cfg.Changelog(testGroup))
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if err != nil || len(files) > 4*2 {
		t.Errorf("%d files of 4 partitions are left: %v %v", len(files), files, err)
	}

	// What comes after the snapshots is in the change-log only.
	sc.Snapshots.Interval = time.Hour
	produce(t, cfg, event.KindPlayer, 1500, 1600, keys)
	m := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)
	produce(t, cfg, event.KindPlayer, 1600, 1700, keys)
	m = startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	m.stop(t)
	if from, tail := restoredFrom(t, m, fromSnapshot), restoredFrom(t, m, fromChangelog); from != keys || tail == 0 {
		t.Errorf("%v entries came from snapshots, %v from the change-log", from, tail)
	}
	checkState(t, cfg, testGroup, 1700, keys)
}

// Nothing changes in an idle stage, so nothing is written.
func TestStageWritesNoSnapshotTwice(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	dir := t.TempDir()
	var flushes atomic.Int64
	sc := snapshotting(tallies(), dir)
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.idle = func(*tally) []event.Message { flushes.Add(1); return nil }
		return task
	}
	m := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	awaitSnapshots(t, cfg, dir)
	eventually(t, 20*time.Second, "the last one is counted", func() bool { return !m.stage.writer.busy() })
	written, until := metric(t, m.stage.metrics.snapshots), flushes.Load()+5
	eventually(t, 20*time.Second, "some idle flushes", func() bool { return flushes.Load() >= until })
	if n := metric(t, m.stage.metrics.snapshots); n != written {
		t.Errorf("%v snapshots of a state that did not change", n-written)
	}
	m.stop(t)
	m = startStage(t, cfg, sc)
	until = flushes.Load() + 5
	eventually(t, 20*time.Second, "some idle flushes", func() bool { return flushes.Load() >= until })
	m.stop(t)
	if n := metric(t, m.stage.metrics.snapshots); n != 0 {
		t.Errorf("%v snapshots after a restart that found everything in one", n)
	}
}

// Members share the directory: whoever gets a partition restores from the file of its last owner.
func TestStageMovesWithSnapshots(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	dir := t.TempDir()
	sc := snapshotting(tallies(), dir)
	const total, keys = 2000, 101
	produce(t, cfg, event.KindPlayer, 0, total/2, keys)
	a := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	awaitSnapshots(t, cfg, dir)
	b := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "second member ready", func() bool { return b.stage.Ready() == nil })
	if from, tail := restoredFrom(t, b, fromSnapshot), restoredFrom(t, b, fromChangelog); from == 0 || tail != 0 {
		t.Errorf("%v entries came from the first member's snapshots, %v from the change-log", from, tail)
	}
	a.stop(t)
	produce(t, cfg, event.KindPlayer, total/2, total, keys)
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	b.stop(t)
	checkExactlyOnce(t, cfg, testGroup, total, keys)
}

func testStageUnderChaosWithSnapshots(t *testing.T, k server) {
	dir := t.TempDir()
	c := k.config(t)
	chaos(t, c, snapshotting(tallies(), dir))
	if len(newestSnapshots(t, dir)) == 0 {
		t.Error("no snapshot was written")
	}
}

// A disk that hangs must not stop the loop, and one that is full neither.
func TestStageDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	hang := make(chan struct{})
	var hung atomic.Int64
	cfg.OnStep = func(s Step) {
		if s == StageSnapshotting {
			hung.Add(1)
			<-hang
		}
	}
	m := startStage(t, cfg, snapshotting(tallies(), t.TempDir()))
	produce(t, cfg, event.KindPlayer, 0, 500, 17)
	eventually(t, 20*time.Second, "the disk hangs", func() bool { return hung.Load() == 1 })
	for i := 500; i < 1000; i += 100 {
		produce(t, cfg, event.KindPlayer, i, i+100, 17)
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	}
	if n := hung.Load(); n != 1 {
		t.Errorf("%d snapshots at once", n)
	}
	close(hang)
	m.stop(t)
	checkExactlyOnce(t, cfg, testGroup, 1000, 17)
}

func TestStageGoesOnWithoutADirectory(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for run := range 2 {
		m := startStage(t, cfg, snapshotting(tallies(), file))
		produce(t, cfg, event.KindPlayer, run*500, (run+1)*500, 17)
		eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
		eventually(t, 20*time.Second, "the failure is counted", func() bool { return metric(t, m.stage.metrics.snapshotFailures) > 0 })
		m.stop(t)
	}
	checkExactlyOnce(t, cfg, testGroup, 1000, 17)
}

// A snapshot that cannot be used is as good as none: the state comes from the change-log.
func TestStageRefusesSnapshots(t *testing.T) {
	t.Parallel()
	truncate := func(t *testing.T, f *snapshot.File) {
		info, err := os.Stat(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(f.Path, info.Size()-1); err != nil {
			t.Fatal(err)
		}
	}
	// poison publishes a file with wrong state under a changed header.
	poison := func(t *testing.T, f *snapshot.File, change func(*snapshot.Log, *snapshot.Header)) {
		var c snapshot.Copy
		c.Add("k0", count{1e6, 1e6}.bytes())
		h := f.Header
		home := snapshot.Log{Dir: filepath.Dir(filepath.Dir(filepath.Dir(f.Path))), Topic: h.Topic, TopicID: h.TopicID}
		log := home
		log.Dir = t.TempDir()
		change(&log, &h)
		p, err := log.Prepare(h, &c)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(); err != nil {
			t.Fatal(err)
		}
		found, err := log.List(h.Partition)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if err := os.Rename(found[0].Path, filepath.Join(home.Place(0), filepath.Base(found[0].Path))); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(f.Path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		cause  snapshot.Cause
		damage func(t *testing.T, f *snapshot.File)
		clock  func() time.Time
		gone   bool
	}{
		{cause: snapshot.Corrupt, damage: truncate, gone: true},
		{cause: snapshot.TooOld, damage: func(*testing.T, *snapshot.File) {}, clock: func() time.Time { return time.Now().Add(4 * 24 * time.Hour) }},
		{cause: snapshot.BeyondEnd, gone: true, damage: func(t *testing.T, f *snapshot.File) {
			poison(t, f, func(_ *snapshot.Log, h *snapshot.Header) { h.Offset += 1000 })
		}},
		{cause: snapshot.Foreign, damage: func(t *testing.T, f *snapshot.File) {
			poison(t, f, func(l *snapshot.Log, _ *snapshot.Header) { l.TopicID = snapshot.ID{1} })
		}},
		{cause: snapshot.UnknownFormat, damage: func(t *testing.T, f *snapshot.File) {
			data, err := os.ReadFile(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			data[15]++
			if err := os.WriteFile(f.Path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{cause: snapshot.Unreadable, damage: func(t *testing.T, f *snapshot.File) {
			if err := errors.Join(os.Remove(f.Path), os.Mkdir(f.Path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(string(c.cause), func(t *testing.T) {
			t.Parallel()
			_, cfg := newCluster(t)
			ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
			dir := t.TempDir()
			sc := snapshotting(tallies(), dir)
			produce(t, cfg, event.KindPlayer, 0, 500, 17)
			m := startStage(t, cfg, sc)
			eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			awaitSnapshots(t, cfg, dir)
			m.stop(t)
			f := newestSnapshots(t, dir)[0]
			paths, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.snapshot"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				if path != f.Path {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.damage(t, f)

			produce(t, cfg, event.KindPlayer, 500, 600, 17)
			sc.Clock = c.clock
			sc.Snapshots.Interval = time.Hour
			m = startStage(t, cfg, sc)
			eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			m.stop(t)
			if got, want := refusals(t, m), map[snapshot.Cause]float64{c.cause: 1}; !maps.Equal(got, want) {
				t.Errorf("refused %v, want %v", got, want)
			}
			if from, tail := restoredFrom(t, m, fromSnapshot), restoredFrom(t, m, fromChangelog); from != 0 || tail == 0 {
				t.Errorf("%v entries came from snapshots, %v from the change-log", from, tail)
			}
			left, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.snapshot"))
			if err != nil || (len(left) == 0) != c.gone {
				t.Errorf("left are %v, %v", left, err)
			}
			checkExactlyOnce(t, cfg, testGroup, 600, 17)
		})
	}
}

// An entry that the program cannot read must not be skipped over.
func TestStageStopsAtASnapshotItCannotRead(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Groups: []string{testGroup}})
	dir := t.TempDir()
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	m := startStage(t, cfg, snapshotting(tallies(), dir))
	eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
	awaitSnapshots(t, cfg, dir)
	m.stop(t)
	sc := snapshotting(tallies(), dir)
	sc.NewTask = func(int32) Task { return unreadable{newTally()} }
	s, err := NewStage(cfg, sc)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); classify(err) != permanent || !strings.Contains(err.Error(), "snapshot") || !strings.Contains(err.Error(), "another version") {
		t.Errorf("got %v", err)
	}

	// State without offsets is no better for being in a file.
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	if _, err := adm.adm.DeleteGroups(t.Context(), testGroup); err != nil {
		t.Fatal(err)
	}
	if s, err = NewStage(cfg, snapshotting(tallies(), dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); classify(err) != permanent || !strings.Contains(err.Error(), "no offsets") {
		t.Errorf("without offsets: %v", err)
	}
}

// A member that lost its partition in the middle of a snapshot publishes it late: it is state of its
// offset like any other, below what the heir has written, or with the change-log's word on what the heir did.
func TestStageUsesALateSnapshot(t *testing.T) {
	t.Parallel()
	for _, heirWrites := range []bool{true, false} {
		t.Run(fmt.Sprint("heir writes=", heirWrites), func(t *testing.T) {
			t.Parallel()
			_, cfg := newCluster(t)
			ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
			const total, keys = 900, 17
			dir := t.TempDir()
			late := make(chan struct{})
			var held, published atomic.Bool
			old := cfg
			old.OnStep = func(s Step) {
				if s == StageSnapshotting && held.CompareAndSwap(false, true) {
					<-late
				}
				if s == StageSnapshotted {
					published.Store(true)
				}
			}
			zombie := startStage(t, old, snapshotting(tallies(), dir))
			produce(t, cfg, event.KindPlayer, 0, total/3, keys)
			eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			eventually(t, 20*time.Second, "a snapshot is on its way", held.Load)
			zombie.net.cut()

			sc := snapshotting(tallies(), dir)
			if !heirWrites {
				sc.Snapshots.Interval = time.Hour
			}
			heir := startStage(t, cfg, sc)
			produce(t, cfg, event.KindPlayer, total/3, 2*total/3, keys)
			eventually(t, 30*time.Second, "the heir has done everything", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			if heirWrites {
				awaitSnapshots(t, cfg, dir)
			}
			heir.stop(t)
			close(late)
			eventually(t, 20*time.Second, "it is published", published.Load)
			zombie.crash()

			produce(t, cfg, event.KindPlayer, 2*total/3, total, keys)
			m := startStage(t, cfg, snapshotting(tallies(), dir))
			eventually(t, 30*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			m.stop(t)
			if from, tail := restoredFrom(t, m, fromSnapshot), restoredFrom(t, m, fromChangelog); from != keys || (tail == 0) != heirWrites {
				t.Errorf("%v entries came from snapshots, %v from the change-log", from, tail)
			}
			checkExactlyOnce(t, cfg, testGroup, total, keys)
		})
	}
}

// roster is a Task that holds a key until a record says "gone".
type roster struct {
	held   map[string]bool
	staged map[string]bool
}

func newRoster() *roster { return &roster{held: map[string]bool{}, staged: map[string]bool{}} }

func (r *roster) Process(e event.Record) event.Outcome {
	r.staged[string(e.Key)] = string(e.Value) != "gone"
	return event.Accepted
}
func (r *roster) Flush(int64, []bool) []event.Message { return nil }
func (r *roster) Changes(each func(string, []byte)) {
	for key, here := range r.staged {
		if here {
			each(key, []byte("here"))
		} else {
			each(key, nil)
		}
	}
}
func (r *roster) Commit() {
	for key, here := range r.staged {
		if r.held[key] = here; !here {
			delete(r.held, key)
		}
	}
	clear(r.staged)
}
func (r *roster) Rollback() { clear(r.staged) }
func (r *roster) Restore(key string, value []byte) error {
	if r.held[strings.Clone(key)] = value != nil; value == nil {
		delete(r.held, key)
	}
	return nil
}
func (r *roster) Snapshot(each func(string, []byte)) {
	for key := range r.held {
		each(key, []byte("here"))
	}
}

// A key is deleted after a snapshot, and the cleaner removes the deletion from the change-log. From then on the
// snapshot would bring the key back; the topic's configuration tells that it may.
func TestStageDoesNotRaiseTheDead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		retention string // delete.retention.ms when the cleaner runs, and at the restore
		later     string
		want      string
	}{
		{"the deletion is kept", "604800000", "604800000", "b c"},
		{"the deletion is gone", "1", "1", "b c"},
		{"the deletion is gone and the configuration lies", "1", "604800000", "a b c"}, // so the case above is one
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster, cfg := newCluster(t)
			ensure(t, cfg, Topics{Partitions: 1, Groups: []string{testGroup}})
			dir := t.TempDir()
			var mu sync.Mutex
			var task *roster
			sc := snapshotting(StageConfig{Group: testGroup, Inputs: []event.Kind{event.KindPlayer}, NewTask: func(int32) Task {
				mu.Lock()
				defer mu.Unlock()
				task = newRoster()
				return task
			}}, dir)
			say := func(key, value string) {
				p, err := NewProducer(cfg, ProducerConfig{})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				if err := errors.Join(p.Produce(t.Context(), event.Message{Kind: event.KindPlayer, Key: []byte(key), Value: []byte(value)}), p.Flush(t.Context())); err != nil {
					t.Fatal(err)
				}
				eventually(t, 20*time.Second, "everything committed", func() bool { return groupDone(t, cfg, testGroup, event.KindPlayer) })
			}
			m := startStage(t, cfg, sc)
			say("a", "here")
			say("b", "here")
			awaitSnapshots(t, cfg, dir)
			m.stop(t)
			sc.Snapshots.Interval = time.Hour
			m = startStage(t, cfg, sc)
			say("a", "gone")
			say("c", "here")
			m.stop(t)

			adm, err := NewAdmin(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer adm.Close()
			configure := func(retention string) {
				responses, err := adm.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "delete.retention.ms", Value: &retention}}, cfg.Changelog(testGroup))
				if err != nil || responses[0].Err != nil {
					t.Fatal(err, responses)
				}
			}
			configure(c.retention)
			cluster.Compact()
			configure(c.later)

			m = startStage(t, cfg, sc)
			eventually(t, 20*time.Second, "ready", func() bool { return m.stage.Ready() == nil })
			m.stop(t)
			if got := strings.Join(slices.Sorted(maps.Keys(task.held)), " "); got != c.want {
				t.Errorf("held are %q, want %q", got, c.want)
			}
			used := restoredFrom(t, m, fromSnapshot) > 0
			if old := refusals(t, m)[snapshot.TooOld]; used != (c.later != "1") || (old > 0) == used {
				t.Errorf("snapshots used: %v, refused as too old: %v", used, old)
			}
		})
	}
}

// An offset that the client does not know must not make the state look newer than it is.
func TestStateOffsets(t *testing.T) {
	early, late := time.UnixMilli(1000), time.UnixMilli(2000)
	records := func(offsets ...int64) []kgo.Record {
		out := []kgo.Record{{Offset: 1 << 40}} // an output to another topic
		for _, o := range offsets {
			out = append(out, kgo.Record{Offset: o})
		}
		return out
	}
	var s state
	s.replayed(3, 10, early)
	s.wrote(records(), 0, late)
	if s != (state{offset: 10, asOf: early, since: 3}) {
		t.Errorf("after no change: %+v", s)
	}
	s.wrote(records(-1, 0), 2, late)
	if s.offset != 10 || s.asOf != early || s.since != 5 {
		t.Errorf("after a batch without offsets: %+v", s)
	}
	s.wrote(records(11, 12), 2, late)
	if s.offset != 13 || s.asOf != late || s.since != 7 {
		t.Errorf("after a batch: %+v", s)
	}
	s.replayed(0, 99, late)
	if s.offset != 13 {
		t.Errorf("after reading nothing: %+v", s)
	}
}
