package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// finish flushes the tasks and ends the transaction. When unsure, it chooses the
// outcome that can be repeated:
//
//	committed            keep the tasks' changes
//	aborted, certainly   forget them; the client rewinds to the last commit
//	anything else        end the session: the next one asks the broker and restores
//
// The error ends the session.
func (ss *session) finish(ctx, hard context.Context, records int) error {
	if ss.stray {
		// A rebalance came between the poll and its tasks. Nothing of it may be committed.
		ss.stray = false
		ss.time.enter(onCommit)
		if err := ss.gs.Begin(); err != nil {
			return fmt.Errorf("kafka: begin: %w", err)
		}
		return ss.abort(hard, rebalanced)
	}
	now := ss.cfg.Clock()
	active := ss.flush(now)
	outputs := 0
	for _, t := range active {
		outputs += len(t.out)
	}
	defer ss.reportLag()
	if records == 0 && outputs == 0 {
		for _, t := range active {
			t.commit() // only in memory: nothing changed that a restore would miss
		}
		ss.snapshot(now)
		return nil
	}

	ss.conf.step(StageGathered)
	began := time.Now()
	ss.serial++
	ss.marker = fmt.Sprintf("v1 %s %d.%d", ss.cfg.Instance, ss.owned.generation, ss.serial)
	if err := ss.gs.Begin(); err != nil {
		return fmt.Errorf("kafka: begin: %w", err)
	}
	ss.conf.step(StageBegun)
	ss.time.enter(onProduce)
	produced, err := ss.produce(hard, active)
	ss.time.enter(onCommit)
	if err != nil {
		return fmt.Errorf("kafka: flush outputs: %w", err) // hard ended: the broker aborts what is open
	}
	if produced != nil {
		return ss.produceFailed(ctx, hard, produced)
	}
	ss.conf.step(StageProduced)
	committed, err := ss.gs.End(kgo.PreTxnCommitFnContext(hard, ss.fence), kgo.TryCommit)
	ss.conf.step(StageEnded)
	switch {
	case err != nil:
		ss.metrics.aborts.WithLabelValues(string(unknown)).Inc()
		return fmt.Errorf("%w: %w", errUnknownOutcome, err)
	case !committed:
		return ss.notCommitted(ctx, hard)
	}
	ss.retry.reset()
	for _, t := range active {
		t.state.wrote(t.out, t.changes, now)
	}
	ss.time.enter(onProcess)
	ss.committed(active, records, time.Since(began))
	ss.conf.step(StageApplied)
	ss.snapshot(now)
	return nil
}

// flush completes the outputs of the tasks with records, and of those not
// flushed for FlushInterval.
func (ss *session) flush(now time.Time) []*owned {
	var active []*owned
	for _, t := range ss.tasks {
		if since := now.Sub(t.flushed); t.records == 0 && since >= 0 && since < ss.cfg.FlushInterval {
			continue
		}
		if t.records == 0 && !t.fenceable() {
			continue // it has never committed: there is nothing to publish, and nothing to fence it by
		}
		active = append(active, t)
	}
	for _, t := range active {
		for i := range t.inputs {
			in := &t.inputs[i]
			if high, at := ss.watch.end(ss.topics[i], t.number); !at.IsZero() && at.After(in.highAt) {
				in.high, in.highAt = max(in.high, high), at
			}
		}
	}
	fresh := time.Now().Add(-2 * ss.cfg.LagInterval)
	changelog := ss.conf.Changelog(ss.cfg.Group)
	parallel(active, func(t *owned) { t.flush(&ss.names, &ss.local, ss.partitions, changelog, now, fresh) })
	return active
}

// produce sends the outputs and waits for all answers. failed is the first
// record's failure; err is that waiting was cut short.
func (ss *session) produce(hard context.Context, active []*owned) (failed, err error) {
	var mu sync.Mutex
	var first error // promises may come after this function has given up waiting
	promise := func(r *kgo.Record, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = fmt.Errorf("kafka: produce to %s/%d: %w", r.Topic, r.Partition, err)
		}
	}
	parallel(active, func(t *owned) {
		for i := range t.out {
			ss.gs.Produce(hard, &t.out[i], promise)
		}
	})
	if err := ss.cl.Flush(hard); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	return first, nil
}

func (ss *session) produceFailed(ctx, hard context.Context, failure error) error {
	if err := ss.abort(hard, "produce"); err != nil {
		return fmt.Errorf("%w; then: %w", failure, err)
	}
	switch classify(failure) {
	case permanent:
		return permanently("kafka: stage %s cannot go on, its outputs are refused: %w", ss.cfg.Group, failure)
	case fenced:
		return failure
	}
	pause := ss.retry.next()
	ss.log.Warn("producing failed; the transaction is aborted and will be repeated", "error", failure, "pause", pause)
	ss.time.enter(onBackoff)
	_ = wait(ctx, pause) // the loop sees that ctx is done
	return nil
}

// notCommitted follows an End that was to commit and reports an abort. That is
// not always certain: a commit answered with an unknown server error is reported
// so as well. The transaction's marker in the group's offsets tells.
func (ss *session) notCommitted(ctx, hard context.Context) error {
	landed, err := ss.landed(hard)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnknownOutcome, err)
	}
	if landed {
		ss.metrics.aborts.WithLabelValues(string(unknown)).Inc()
		return fmt.Errorf("%w: it was reported as aborted, but the group holds its offsets", errUnknownOutcome)
	}
	cause := class("commit")
	if ss.moved.Load() || ss.superseded() {
		cause = rebalanced
	}
	ss.forgetAll(cause)
	if cause == rebalanced {
		return nil
	}
	pause := ss.retry.next()
	ss.log.Warn("the transaction did not commit and will be repeated", "pause", pause)
	ss.time.enter(onBackoff)
	_ = wait(ctx, pause)
	return nil
}

// landed says whether the group's offsets carry the marker of the transaction
// at hand.
func (ss *session) landed(ctx context.Context) (bool, error) {
	committed, err := ss.groupOffsets(ctx)
	if err != nil {
		return false, err
	}
	for _, o := range committed {
		if o.Metadata == ss.marker {
			return true, nil
		}
	}
	return false, nil
}

// groupOffsets are the group's offsets once no open transaction holds any.
func (ss *session) groupOffsets(ctx context.Context) (map[topicPartition]groupOffset, error) {
	pause := backoff{first: 5 * time.Millisecond, limit: 200 * time.Millisecond}
	for {
		committed, err := groupOffsets(ctx, ss.cl, ss.conf.GroupID(ss.cfg.Group), ss.topics...)
		if !errors.Is(err, errUnstable) {
			return committed, err
		}
		if err := wait(ctx, pause.next()); err != nil {
			return nil, err
		}
	}
}

// abort ends the transaction at hand without committing, and forgets it.
func (ss *session) abort(hard context.Context, cause class) error {
	if _, err := ss.gs.End(hard, kgo.TryAbort); err != nil {
		ss.metrics.aborts.WithLabelValues(string(unknown)).Inc()
		return fmt.Errorf("kafka: abort: %w", err)
	}
	ss.forgetAll(cause)
	return nil
}

// forgetAll rolls every task back: the client has rewound all partitions, also those of tasks that were not flushed.
func (ss *session) forgetAll(cause class) {
	ss.metrics.aborts.WithLabelValues(string(cause)).Inc()
	for _, t := range ss.tasks {
		t.rollback()
	}
	ss.moved.Store(false)
}

// fence is the last look at the offsets before they are committed. The client
// stamps the commit with the generation it is in, which may be newer than the
// one the tasks were assigned in:
//
//	this member                         the group
//	processes p in generation 5
//	                                    generation 6: p goes to another member and back
//	commits p, stamped generation 6     accepted: p was processed twice
//
// So it passes only if the stamp is the tasks' own generation. It also adds the unchanged offsets of tasks that publish without new
// records, so that every output is covered by an offset of its partition: that
// is what the broker fences by, and what a new owner's offset fetch waits on.
func (ss *session) fence(req *kmsg.TxnOffsetCommitRequest) error {
	if req.Generation != ss.owned.generation || req.MemberID != ss.owned.member {
		return kerr.IllegalGeneration
	}
	ss.conf.step(StageCommitting)
	covered := map[int32]bool{}
	for i := range req.Topics {
		topic := &req.Topics[i]
		in := ss.input(topic.Topic)
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			t := ss.tasks[p.Partition]
			if in < 0 || t == nil || t.inputs[in].position != p.Offset {
				return fmt.Errorf("kafka: offset %d of %s/%d is not the one processed", p.Offset, topic.Topic, p.Partition)
			}
			p.Metadata = &ss.marker
			covered[p.Partition] = true
		}
	}
	for _, t := range ss.tasks {
		if !t.active || covered[t.number] || len(t.out) == 0 {
			continue
		}
		i := slices.IndexFunc(t.inputs, func(in input) bool { return in.committed >= 0 })
		at := slices.IndexFunc(req.Topics, func(rt kmsg.TxnOffsetCommitRequestTopic) bool { return rt.Topic == ss.topics[i] })
		if at < 0 {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic = ss.topics[i]
			at = len(req.Topics)
			req.Topics = append(req.Topics, topic)
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = t.number, t.inputs[i].committed, -1, &ss.marker
		req.Topics[at].Partitions = append(req.Topics[at].Partitions, p)
	}
	return nil
}

func (ss *session) committed(active []*owned, records int, took time.Duration) {
	m := ss.metrics
	now := time.Now()
	for _, t := range active {
		for i := range t.inputs {
			if in := &t.inputs[i]; in.oldest != 0 {
				m.newest.WithLabelValues(ss.topics[i], strconv.Itoa(int(t.number))).Set(float64(in.newest) / 1000)
				m.age.WithLabelValues(ss.topics[i]).Observe(max(0, now.Sub(time.UnixMilli(in.oldest)).Seconds()))
			}
			for outcome, n := range t.outcomes[i] {
				if n > 0 {
					m.in.WithLabelValues(ss.topics[i], outcomeNames[outcome]).Add(float64(n))
				}
			}
		}
		for kind, n := range t.kinds {
			if n > 0 {
				m.out.WithLabelValues(ss.names[kind]).Add(float64(n))
			}
		}
		m.changes.Add(float64(t.changes))
		t.commit()
	}
	m.commits.Inc()
	m.transaction.Observe(float64(records))
	m.commit.Observe(took.Seconds())
	m.lastCommit.SetToCurrentTime()
}

func (ss *session) reportLag() {
	for _, t := range ss.tasks {
		for i := range t.inputs {
			in := &t.inputs[i]
			in.lag.Set(float64(max(0, in.high-max(in.committed, in.start))))
		}
	}
}
