package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// session is one membership of the group with one producer epoch. What it holds
// in memory is worth exactly as much as its last commit; when that is in doubt, the session ends
// and the next one restores.
type session struct {
	*Stage
	gs    *kgo.GroupTransactSession
	cl    *kgo.Client
	adm   *kadm.Client
	watch *monitor
	// local says, per kind, that its topic has as many partitions as the inputs: task p's outputs go to its partition p.
	local [256]bool
	// partitions is how many the inputs have; records of broadcast kinds go to as many.
	partitions int32
	// snapshots are the change-log's, and what they must fit; nil when none are kept.
	snapshots *snapshotRules

	mu        sync.Mutex
	arrived   *assignment // newest assignment not yet adopted
	newest    assignment  // newest assignment, adopted or not
	interrupt func()      // ends what the loop is waiting in

	owned  assignment
	tasks  map[int32]*owned
	stray  bool   // records came for a partition without a task
	ended  error  // why this member cannot be part of its group any more
	serial uint64 // of transactions
	marker string // of the transaction at hand
	moved  atomic.Bool
	retry  backoff
	// pressure is the process's memory's, as of the last gather.
	pressure pressure
}

// assignment is what the group gave this member in one generation.
type assignment struct {
	member     string
	generation int32
	partitions map[string][]int32
}

// session runs one session: nil when ctx ended it between transactions.
func (s *Stage) session(ctx, hard context.Context) error {
	ss := &session{Stage: s, tasks: map[int32]*owned{}, retry: backoff{first: 20 * time.Millisecond, limit: 5 * time.Second}}
	if err := ss.checkTopics(ctx); err != nil {
		return err
	}
	stop, err := ss.open(ctx)
	if err != nil {
		return err
	}
	defer stop(hard)
	for ctx.Err() == nil {
		if a := ss.takeArrived(); a != nil {
			if err := ss.adopt(ctx, hard, a); err != nil {
				return err
			}
		}
		n := ss.gather(ctx)
		if ss.ended != nil {
			return ss.ended
		}
		if err := ss.finish(ctx, hard, n); err != nil {
			return err
		}
	}
	return nil
}

// checkTopics verifies what the exactly-once loop rests on before joining.
func (ss *session) checkTopics(ctx context.Context) error {
	ss.setWaiting("checking topics")
	adm, err := NewAdmin(ss.conf)
	if err != nil {
		return err
	}
	defer adm.Close()
	changelog := ss.conf.Changelog(ss.cfg.Group)
	names := append([]string{changelog}, ss.topics...)
	kinds := map[string]event.Kind{}
	for _, k := range event.Kinds() {
		kinds[ss.names[k]] = k
	}
	listed, err := adm.adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("kafka: list topics: %w", err)
	}
	want := len(listed[ss.topics[0]].Partitions)
	for _, name := range names {
		switch t, ok := listed[name]; {
		case !ok:
			return fmt.Errorf("kafka: topic %s: %w", name, kerr.UnknownTopicOrPartition)
		case t.Err != nil:
			return fmt.Errorf("kafka: topic %s: %w", name, t.Err)
		case len(t.Partitions) != want:
			return permanently("kafka: stage %s: topic %s has %d partitions and %s has %d: they must agree, or a player's records do not meet",
				ss.cfg.Group, name, len(t.Partitions), ss.topics[0], want)
		}
	}
	ss.partitions = int32(want)
	for name, kind := range kinds {
		ss.local[kind] = len(listed[name].Partitions) == want && !kind.Routed()
	}
	return ss.findSnapshots(ctx, adm, listed[changelog])
}

// open joins the group. stop leaves it and ends the session's goroutine.
func (ss *session) open(ctx context.Context) (stop func(hard context.Context), err error) {
	ss.setWaiting("joining the group")
	opts, err := ss.conf.Options("stage-" + ss.cfg.Group)
	if err != nil {
		return nil, err
	}
	living, die := context.WithCancel(context.WithoutCancel(ctx))
	opts = append(opts, ss.membership().options()...)
	ss.gs, err = kgo.NewGroupTransactSession(append(opts,
		kgo.ConsumeTopics(ss.topics...),
		kgo.Balancers(newTaskBalancer(ss.claim)),
		kgo.WithContext(living),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers are kept so that a partition's position can reach its end: lag zero means zero.
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.TransactionalID(ss.conf.GroupID(ss.cfg.Group)+"-"+ss.cfg.Instance),
		kgo.TransactionTimeout(ss.cfg.TransactionTimeout),
		kgo.RecordPartitioner(taskPartitioner{}),
		kgo.ProducerBatchMaxBytes(maxDerivedBytes),
		kgo.MaxBufferedRecords(1<<20),
		kgo.MaxBufferedBytes(128<<20),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.OnPartitionsAssigned(ss.assigned),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { ss.moved.Store(true) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { ss.moved.Store(true) }),
	)...)
	if err != nil {
		die()
		return nil, fmt.Errorf("kafka: stage %s: %w", ss.cfg.Group, err)
	}
	ss.cl = ss.gs.Client()
	ss.adm = kadm.NewClient(ss.cl)
	ss.watch = &monitor{adm: ss.adm, topics: ss.topics, every: ss.cfg.LagInterval, log: ss.log}
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		ss.watch.run(watching)
	}()
	ss.setMonitor(ss.watch)
	stop = func(hard context.Context) {
		unwatch()
		<-watched
		leave(hard, ss.cl, die, ss.log)
		ss.gs.Close()
		for n := range ss.tasks {
			ss.drop(n)
		}
	}
	// Taking the transactional ID over ends the transaction that a predecessor of this instance left
	// open. Waiting for that now keeps the group's offsets and the change-log from being unstable later.
	if _, _, err := ss.cl.ProducerID(ctx); err != nil {
		stop(ctx)
		return nil, fmt.Errorf("kafka: stage %s: take over transactional id: %w", ss.cfg.Group, err)
	}
	return stop, nil
}

// assigned is called by the client between joining and fetching. Pausing here
// means that no record is handed out before its task is restored.
func (ss *session) assigned(_ context.Context, cl *kgo.Client, partitions map[string][]int32) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	cl.PauseFetchPartitions(partitions)
	a := &assignment{partitions: partitions}
	a.member, a.generation = cl.GroupMetadata()
	ss.arrived, ss.newest = a, *a
	if ss.interrupt != nil {
		ss.interrupt()
	}
}

// claim is what this member would like to keep: its tasks, and the generation in which they were its own.
func (ss *session) claim() (tasks []int32, generation int32) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.newest.member == "" {
		return nil, -1
	}
	return ss.newest.partitions[ss.topics[0]], ss.newest.generation
}

func (ss *session) takeArrived() *assignment {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	a := ss.arrived
	ss.arrived = nil
	return a
}

// interruptible derives a context that an arriving assignment ends at once.
func (ss *session) interruptible(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.interrupt = cancel
	if ss.arrived != nil {
		cancel()
	}
	return ctx, cancel
}

func (ss *session) superseded() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.arrived != nil
}

// gather polls and processes until the transaction is long enough: CommitInterval
// after its first record, or FlushInterval without any, of which there are none while memory is
// used up. It returns how many records are in.
func (ss *session) gather(ctx context.Context) (records int) {
	if level := ss.cfg.Memory.ask(); level != ss.pressure {
		ss.pressure = level
		ss.showReady()
	}
	if ss.pressure == stopped {
		// What the client has fetched already stays there; it fetches no more until that is polled.
		waiting, cancel := ss.interruptible(ctx, ss.cfg.FlushInterval)
		defer cancel()
		ss.time.enter(onMemory)
		<-waiting.Done()
		ss.time.enter(onProcess)
		return 0
	}
	limit := ss.pressure.records(ss.cfg.MaxRecords)
	deadline := time.Now().Add(ss.cfg.FlushInterval)
	for records < limit && ctx.Err() == nil && ss.ended == nil && !ss.superseded() {
		left := time.Until(deadline)
		if left <= 0 {
			break
		}
		polling, cancel := ss.interruptible(ctx, left)
		ss.time.enter(ss.polling())
		fetches := ss.gs.PollRecords(polling, limit-records)
		ss.time.enter(onProcess)
		cancel()
		n, failed := ss.take(fetches)
		if n > 0 && records == 0 {
			deadline = time.Now().Add(ss.cfg.CommitInterval)
		}
		records += n
		if failed && n == 0 {
			ss.time.enter(onBackoff)
			if wait(ctx, 50*time.Millisecond) != nil {
				break
			}
		}
	}
	return records
}

// polling is what a poll waits for, to the best of the loop's knowledge when it begins.
func (ss *session) polling() activity {
	if ss.owned.member == "" || ss.moved.Load() {
		return onRebalance // partitions are yet to come
	}
	for _, t := range ss.tasks {
		if t.behind() {
			return onFetch
		}
	}
	return onIdle
}

// take hands fetched records to their tasks and lets these work in parallel.
func (ss *session) take(fetches kgo.Fetches) (records int, failed bool) {
	for _, fe := range fetches.Errors() {
		if errors.Is(fe.Err, context.Canceled) || errors.Is(fe.Err, context.DeadlineExceeded) {
			continue
		}
		failed = true
		ss.metrics.fetchErrors.Inc()
		if ss.ended = ss.membership().ended(fe.Err); ss.ended != nil {
			return 0, true
		}
		ss.log.Warn("fetch failed; retrying", "topic", fe.Topic, "partition", fe.Partition, "error", fe.Err)
	}
	now := time.Now()
	var busy []*owned
	fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
		if len(tp.Records) == 0 {
			return
		}
		records += len(tp.Records)
		t, i := ss.tasks[tp.Partition], ss.input(tp.Topic)
		if t == nil || i < 0 {
			ss.stray = true
			return
		}
		in := &t.inputs[i]
		if in.position >= 0 && tp.LogStartOffset > in.position {
			ss.metrics.lost.WithLabelValues(tp.Topic).Add(float64(tp.LogStartOffset - in.position))
			ss.log.Error("records were removed by retention before they were processed",
				"topic", tp.Topic, "partition", tp.Partition, "from", in.position, "to", tp.LogStartOffset)
		}
		if tp.HighWatermark >= in.high {
			in.high, in.highAt = tp.HighWatermark, now
		}
		if !t.busy {
			t.busy = true
			busy = append(busy, t)
		}
		in.queue = append(in.queue, tp.Records...)
	})
	parallel(busy, (*owned).fold)
	return records, failed
}

func (ss *session) input(topic string) int {
	for i, name := range ss.topics {
		if name == topic {
			return i
		}
	}
	return -1
}

// parallel calls f for every item from as many goroutines as there are processors.
func parallel[T any](items []T, f func(T)) {
	n := min(workers(), len(items))
	if n <= 1 {
		for _, item := range items {
			f(item)
		}
		return
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) {
					return
				}
				f(items[i])
			}
		})
	}
	group.Wait()
}
