package kafka

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// adopt makes the tasks what the assignment says: those that left are dropped,
// those that came are restored from the change-log, those that stayed keep their memory if
// nobody else can have owned them in between. Records flow only afterwards.
func (ss *session) adopt(ctx, hard context.Context, a *assignment) error {
	ss.metrics.rebalances.Inc()
	ss.time.enter(onRebalance)
	ss.conf.step(StageAdopting)
	numbers, err := ss.coPartitioned(a)
	if err != nil {
		return err
	}
	// Each generation has one assignment. This member was in the last one and is in this one, so nobody was in between.
	contiguous := a.member == ss.owned.member && a.generation == ss.owned.generation+1
	for n := range ss.tasks {
		if !contiguous || !slices.Contains(numbers, n) {
			ss.drop(n)
		}
	}
	ss.owned = *a

	working, cancel := ss.interruptible(ctx, 0)
	defer cancel()
	fresh, err := ss.prepare(working, numbers)
	if err == nil && len(fresh) > 0 {
		err = ss.restore(working, fresh)
	}
	if err != nil {
		if ss.superseded() && ctx.Err() == nil {
			return nil // the next assignment is here; what was not restored is not a task yet
		}
		return err
	}
	for i, t := range fresh {
		ss.tasks[t.number] = t
		// Spread over the interval, so that copies do not fall together.
		t.state.due = ss.cfg.Clock().Add(ss.cfg.Snapshots.Interval * time.Duration(i+1) / time.Duration(len(fresh)))
	}
	ss.metrics.ownedTasks.Set(float64(len(ss.tasks)))
	ss.conf.step(StageRestored)

	// The client remembers the rebalance and would abort the next transaction, though nothing
	// in memory is from before it any more. An empty abort clears that; fence still guards.
	if err := ss.gs.Begin(); err != nil {
		return fmt.Errorf("kafka: begin: %w", err)
	}
	if _, err := ss.gs.End(hard, kgo.TryAbort); err != nil {
		return fmt.Errorf("kafka: clear session: %w", err)
	}
	ss.moved.Store(false)

	// Under the lock that assigned takes: a newer assignment's pauses must not be undone.
	ss.mu.Lock()
	if ss.arrived == nil {
		ss.cl.ResumeFetchPartitions(a.partitions)
	}
	ss.mu.Unlock()
	ss.setWaiting("")
	ss.log.Info("partitions assigned", "generation", a.generation, "partitions", numbers, "restored", len(fresh))
	return nil
}

// coPartitioned is the set of partition numbers, which all inputs must share.
func (ss *session) coPartitioned(a *assignment) ([]int32, error) {
	var first []int32
	for i, topic := range ss.topics {
		numbers := slices.Clone(a.partitions[topic])
		slices.Sort(numbers)
		if i == 0 {
			first = numbers
		} else if !slices.Equal(first, numbers) {
			return nil, permanently("kafka: stage %s: the group assigned partitions %v of %s but %v of %s: a task needs the same of all its inputs; "+
				"do all members of the group have the same inputs?", ss.cfg.Group, first, ss.topics[0], numbers, topic)
		}
	}
	return first, nil
}

// prepare sets the positions of tasks that stay and makes those that do not
// exist, without their state.
func (ss *session) prepare(ctx context.Context, numbers []int32) (fresh []*owned, err error) {
	committed, err := ss.groupOffsets(ctx)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	ends, err := offsetsOf(ss.adm.ListEndOffsets(ctx, ss.topics...))
	if err != nil {
		return nil, err
	}
	starts, err := offsetsOf(ss.adm.ListStartOffsets(ctx, ss.topics...))
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		positions := make([]int64, len(ss.topics))
		for i, topic := range ss.topics {
			o, known := committed[topicPartition{topic, n}]
			if !known {
				return nil, fmt.Errorf("kafka: partition %d of %s is assigned, but not known yet", n, topic)
			}
			positions[i] = o.At
		}
		t := ss.tasks[n]
		if t != nil && !slices.EqualFunc(t.inputs, positions, func(in input, at int64) bool { return in.committed == at }) {
			ss.log.Warn("the group's offsets moved without this member; restoring", "partition", n)
			ss.drop(n)
			t = nil
		}
		if t == nil {
			t = newOwned(n, ss.cfg.NewTask(n), ss.cfg.Inputs)
			fresh = append(fresh, t)
		} else {
			ss.metrics.keptOnMoving.Inc()
		}
		for i, topic := range ss.topics {
			in := &t.inputs[i]
			in.position, in.committed = positions[i], positions[i]
			in.start, in.high, in.highAt = starts[topic][n], ends[topic][n], asked
			in.lag = ss.metrics.lag.WithLabelValues(topic, strconv.Itoa(int(n)))
		}
	}
	return fresh, nil
}

// restore reads each task's newest usable snapshot, if there is one, and the
// change-log from there on.
func (ss *session) restore(ctx context.Context, tasks []*owned) error {
	began := time.Now()
	ss.time.enter(onRestore)
	defer ss.time.enter(onRebalance)
	byNumber := make(map[int32]*owned, len(tasks))
	numbers := make([]int32, len(tasks))
	for i, t := range tasks {
		byNumber[t.number], numbers[i] = t, t.number
	}
	ss.setWaiting(fmt.Sprintf("restoring partitions %v", numbers))
	changelog := ss.conf.Changelog(ss.cfg.Group)
	asked := ss.cfg.Clock()
	ranges, err := highWatermarks(ctx, ss.adm, changelog, numbers)
	if err != nil {
		return err
	}
	if err := ss.loadSnapshots(ctx, tasks, ranges); err != nil {
		return err
	}
	entries := make(map[int32]*int64, len(tasks))
	for _, n := range numbers {
		entries[n] = new(int64)
	}
	waiting, read := context.WithCancel(ctx)
	var naming sync.WaitGroup
	naming.Go(func() { ss.nameOpenTransactions(waiting, changelog, numbers) })
	err = readRanges(ctx, ss.conf, reading{topic: changelog, ranges: ranges, workers: workers(), each: func(p int32, r *kgo.Record) error {
		*entries[p]++ // one goroutine a partition
		if err := byNumber[p].task.Restore(string(r.Key), r.Value); err != nil {
			return permanently("kafka: stage %s: change-log %s/%d at offset %d does not fit this program: %w", ss.cfg.Group, changelog, p, r.Offset, err)
		}
		return nil
	}})
	read()
	naming.Wait()
	if err != nil {
		return err
	}
	var replayed, loaded int64
	for _, t := range tasks {
		n := *entries[t.number]
		replayed, loaded = replayed+n, loaded+t.state.loaded
		if n+t.state.loaded > 0 && !t.fenceable() {
			// Reading from the start again would count everything twice on top of the restored state.
			return permanently("kafka: stage %s: change-log %s/%d holds state, but the group has no offsets for it (expired or reset): "+
				"delete both to rebuild from the raw topics, or set the offsets", ss.cfg.Group, changelog, t.number)
		}
		if t.fenceable() && ranges[t.number].to == 0 {
			ss.log.Warn("the group has offsets but its change-log was never written: state starts empty", "changelog", changelog, "partition", t.number)
		}
		t.state.replayed(n, ranges[t.number].to, asked)
	}
	took := time.Since(began)
	rate := float64(replayed+loaded) / max(took.Seconds(), 1e-6)
	ss.metrics.restores.Add(float64(len(tasks)))
	ss.metrics.restored.WithLabelValues(fromSnapshot).Add(float64(loaded))
	ss.metrics.restored.WithLabelValues(fromChangelog).Add(float64(replayed))
	ss.metrics.restore.Observe(took.Seconds())
	ss.metrics.restoreRate.Set(rate)
	ss.log.Info("restored", "partitions", numbers, "from_snapshots", loaded, "from_changelog", replayed, "took", took.Round(time.Millisecond), "records_per_second", int64(rate))
	return nil
}

// drop forgets a task.
func (ss *session) drop(number int32) {
	if d, ok := ss.tasks[number].task.(Dropper); ok {
		d.Dropped()
	}
	delete(ss.tasks, number)
	for _, topic := range ss.topics {
		ss.metrics.lag.DeleteLabelValues(topic, strconv.Itoa(int(number)))
		ss.metrics.newest.DeleteLabelValues(topic, strconv.Itoa(int(number)))
	}
	ss.metrics.snapshotAsOf.DeleteLabelValues(strconv.Itoa(int(number)))
	ss.metrics.ownedTasks.Set(float64(len(ss.tasks)))
}
