package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/snapshot"
)

// SnapshotConfig says where a Stage keeps copies of its tasks' state, so that a
// restore reads one file and the end of the change-log instead of all of it.
// They are a convenience: without them, or with broken ones, restores are slow and nothing else.
type SnapshotConfig struct {
	// Dir holds them. Processes of a group may share it: a partition that moves is then restored from the file of its last
	// owner. Empty: no snapshots.
	Dir string
	// Interval between two snapshots of a partition. Default 1 min.
	Interval time.Duration
}

// Validate reports every problem at once.
func (c SnapshotConfig) Validate() error {
	if c.Interval < 0 {
		return fmt.Errorf("snapshot interval %v is negative", c.Interval)
	}
	return nil
}

// snapshotRules are a change-log's snapshots and what the broker's configuration says about using them.
type snapshotRules struct {
	snapshot.Log
	deletes    bool
	tombstones time.Duration
}

// state is where a task's committed state stands in the change-log.
type state struct {
	// offset up to which it is complete, and a moment before anything from there on was written.
	offset int64
	asOf   time.Time
	// since counts the change-log's entries that no snapshot holds, loaded those that came from one.
	since, loaded int64
	// due is when the next snapshot is.
	due time.Time
	// copied is closed when the copy that holds the task is complete; nil when there is none.
	copied chan struct{}
}

// release waits for a copy of the task, which must not change meanwhile.
func (s *state) release() {
	if s.copied != nil {
		<-s.copied
		s.copied = nil
	}
}

// wrote notes a committed transaction's change-log entries, the last ones of out. began is a moment before
// they were produced, not after: a process may sleep for long between its commit and its copy, while a new
// owner deletes keys, and those deletions must count as younger than the copy.
func (s *state) wrote(out []kgo.Record, changes int, began time.Time) {
	if changes == 0 {
		return
	}
	s.since += int64(changes)
	// The client does not know the offsets of a batch that the broker calls a duplicate. A lower offset only means to
	// replay what is there already.
	if end := out[len(out)-1].Offset + 1; end > s.offset {
		s.offset, s.asOf = end, began
	}
}

// replayed notes that n entries of the change-log were read, up to end, which was asked for after the moment asked.
func (s *state) replayed(n, end int64, asked time.Time) {
	s.since += n
	if n > 0 {
		s.offset, s.asOf = end, asked
	}
}

// findSnapshots learns where the change-log's snapshots are and what they must fit.
func (ss *session) findSnapshots(ctx context.Context, adm *Admin, changelog kadm.TopicDetail) error {
	if ss.cfg.Snapshots.Dir == "" {
		return nil
	}
	if changelog.ID == (kadm.TopicID{}) {
		ss.log.Warn("no snapshots are kept: the brokers give topics no IDs (Kafka 2.8 does), so a change-log cannot be told from one that was made anew")
		return nil
	}
	described, err := adm.adm.DescribeTopicConfigs(ctx, changelog.Topic)
	if err != nil {
		return fmt.Errorf("kafka: describe %s: %w", changelog.Topic, err)
	}
	rules := snapshotRules{Log: snapshot.Log{Dir: ss.cfg.Snapshots.Dir, Topic: changelog.Topic, TopicID: snapshot.ID(changelog.ID)}}
	config, err := described.On(changelog.Topic, nil)
	if err = cmp.Or(err, config.Err); err != nil {
		ss.log.Warn("no snapshots are kept: without the change-log's delete.retention.ms nobody knows how long one may be used; allow DescribeConfigs on it", "topic", changelog.Topic, "error", err)
		return nil
	}
	for _, c := range config.Configs {
		switch c.Key {
		case "cleanup.policy":
			rules.deletes = strings.Contains(c.MaybeValue(), "delete")
		case "delete.retention.ms":
			ms, err := strconv.ParseInt(c.MaybeValue(), 10, 64)
			if err != nil {
				return fmt.Errorf("kafka: %s: delete.retention.ms is %q", changelog.Topic, c.MaybeValue())
			}
			rules.tombstones = time.Duration(min(ms, int64(1<<62/time.Millisecond))) * time.Millisecond
		}
	}
	ss.snapshots = &rules
	return nil
}

// loadSnapshots restores what each task's newest usable snapshot holds, and
// leaves in its range what the change-log has after it.
func (ss *session) loadSnapshots(ctx context.Context, tasks []*owned, ranges map[int32]offsets) error {
	if ss.snapshots == nil {
		return nil
	}
	var mu sync.Mutex
	var errs []error
	parallel(tasks, func(t *owned) {
		if err := ss.loadSnapshot(ctx, t, ranges[t.number]); err != nil {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
	})
	for _, t := range tasks {
		r := ranges[t.number]
		ranges[t.number] = offsets{from: max(r.from, t.state.offset), to: r.to}
		if t.state.loaded > 0 {
			ss.metrics.snapshotAsOf.WithLabelValues(strconv.Itoa(int(t.number))).Set(float64(t.state.asOf.UnixMilli()) / 1000)
		}
	}
	return errors.Join(errs...)
}

func (ss *session) loadSnapshot(ctx context.Context, t *owned, log offsets) error {
	found, err := ss.snapshots.List(t.number)
	if err != nil {
		ss.refuse(ss.snapshots.Place(t.number), &snapshot.RefusedError{Cause: snapshot.Unreadable, Err: err})
	}
	bounds := snapshot.Bounds{
		Topic: ss.snapshots.Topic, TopicID: ss.snapshots.TopicID, Partition: t.number,
		Start: log.from, End: log.to, Deletes: ss.snapshots.deletes, Tombstones: ss.snapshots.tombstones, Now: ss.cfg.Clock(),
	}
	for _, f := range found {
		used, err := ss.loadFile(ctx, t, f.Path, bounds)
		var refused *snapshot.RefusedError
		if errors.As(err, &refused) {
			ss.refuse(f.Path, refused)
			continue
		}
		if used || err != nil {
			return err
		}
	}
	return nil
}

// loadFile restores one file. A *snapshot.RefusedError leaves the task as it was; any other error does not.
func (ss *session) loadFile(ctx context.Context, t *owned, path string, bounds snapshot.Bounds) (used bool, err error) {
	f, err := snapshot.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := bounds.Check(f.Header); err != nil {
		return false, err
	}
	if err := f.Verify(); err != nil {
		return false, err
	}
	n := 0
	err = f.Each(func(key string, value []byte) error {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.task.Restore(key, value); err != nil {
			return permanently("kafka: stage %s: snapshot %s of %s does not fit this program: %w", ss.cfg.Group, path, f.Header.Writer, err)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("kafka: stage %s: restore: %w", ss.cfg.Group, err)
	}
	t.state.offset, t.state.asOf, t.state.loaded = f.Header.Offset, f.Header.AsOf, f.Header.Entries
	return true, nil
}

// refuse counts and tells a file that is not used, and removes it when nobody ever can.
func (ss *session) refuse(path string, refused *snapshot.RefusedError) {
	ss.metrics.snapshotRefused.WithLabelValues(string(refused.Cause)).Inc()
	if errors.Is(refused, os.ErrNotExist) {
		ss.log.Debug("a snapshot was replaced while it was looked for", "file", path)
		return
	}
	ss.log.Warn("a snapshot is not used; an older one or the change-log is read instead", "file", path, "cause", string(refused.Cause), "error", refused)
	if refused.Cause.Hopeless() {
		if err := os.Remove(path); err != nil {
			ss.log.Warn("it could not be removed", "file", path, "error", err)
		}
	}
}

// snapshot begins the snapshot of the task that has waited longest for one, if it
// is due and has changed. It is called between transactions, when nothing is staged. One task at a
// time: its copy is all the memory that snapshots take, and there is none when that is short.
func (ss *session) snapshot(now time.Time) {
	if ss.snapshots == nil {
		return
	}
	ss.adoptWritten()
	if ss.writer.busy() || ss.pressure != fullSpeed {
		return
	}
	var next *owned
	for _, t := range ss.tasks {
		if t.state.since > 0 && !now.Before(t.state.due) && (next == nil || t.state.due.Before(next.state.due)) {
			next = t
		}
	}
	if next == nil {
		return
	}
	next.state.copied = make(chan struct{})
	next.state.due = now.Add(ss.cfg.Snapshots.Interval)
	job := snapshotJob{
		Stage: ss.Stage, log: ss.snapshots.Log, task: next.task, copied: next.state.copied, since: next.state.since,
		header: snapshot.Header{Partition: next.number, Offset: next.state.offset, AsOf: next.state.asOf, Writer: ss.cfg.Instance},
	}
	next.state.since = 0
	ss.writer.start(job)
}

// adoptWritten notes what became of the last snapshot.
func (ss *session) adoptWritten() {
	job := ss.writer.takeDone()
	if job == nil {
		return
	}
	t := ss.tasks[job.header.Partition]
	switch {
	case t == nil || t.task != job.task: // it has moved away meanwhile
	case job.err != nil:
		t.state.since += job.since
	default:
		ss.metrics.snapshotAsOf.WithLabelValues(strconv.Itoa(int(t.number))).Set(float64(job.header.AsOf.UnixMilli()) / 1000)
	}
}

// snapshotWriter copies and writes one snapshot at a time beside the loop, which
// never waits for a disk. It belongs to the Stage, not to a session: a file that takes long, on a
// disk that hangs perhaps, does not keep a session from ending.
type snapshotWriter struct {
	group sync.WaitGroup

	mu      sync.Mutex
	writing bool
	done    *snapshotJob // the last one that ended, until it is taken
}

// snapshotJob is one snapshot on its way.
type snapshotJob struct {
	*Stage
	log    snapshot.Log
	header snapshot.Header
	task   Task
	copied chan struct{}
	since  int64 // entries that no earlier snapshot holds
	err    error
}

func (w *snapshotWriter) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writing
}

func (w *snapshotWriter) start(job snapshotJob) {
	w.mu.Lock()
	w.writing = true
	w.mu.Unlock()
	w.group.Go(func() {
		job.err = job.run()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.writing, w.done = false, &job
	})
}

func (w *snapshotWriter) takeDone() *snapshotJob {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := w.done
	w.done = nil
	return done
}

// wait is for the end of the file being written.
func (w *snapshotWriter) wait(timeout time.Duration, log *slog.Logger) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.group.Wait()
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		log.Warn("a snapshot is still being written; it is left unfinished", "after", timeout)
	}
}

func (j *snapshotJob) run() error {
	began := time.Now()
	var c snapshot.Copy
	j.task.Snapshot(c.Add)
	held := time.Since(began)
	close(j.copied)
	entries, size := c.Entries(), c.Bytes()
	pending, err := j.log.Prepare(j.header, &c)
	if err == nil {
		j.conf.step(StageSnapshotting)
		err = pending.Publish()
	}
	if err != nil {
		j.metrics.snapshotFailures.Inc()
		j.Stage.log.Warn("no snapshot was written; the next restore reads more of the change-log. Is the disk full, or the directory not writable?",
			"directory", j.log.Dir, "partition", j.header.Partition, "error", err)
		return err
	}
	j.conf.step(StageSnapshotted)
	took := time.Since(began)
	j.metrics.snapshots.Inc()
	j.metrics.snapshotBytes.Add(float64(pending.Bytes))
	j.metrics.snapshotHeld.Observe(held.Seconds())
	j.metrics.snapshotSeconds.Observe(took.Seconds())
	j.Stage.log.Debug("snapshot written", "partition", j.header.Partition, "offset", j.header.Offset, "entries", entries,
		"bytes", size, "file_bytes", pending.Bytes, "held", held, "took", took)
	return nil
}
