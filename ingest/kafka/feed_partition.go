package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

// plan is the journalled last offset of the batch that starts at the committed
// offset.
type plan struct{ last int64 }

func (p plan) String() string { return "v1 last=" + strconv.FormatInt(p.last, 10) }

// parsePlan reads a commit's metadata; ok is false when it holds no plan.
func parsePlan(metadata string, first int64) (p plan, ok bool, err error) {
	if metadata == "" {
		return plan{}, false, nil
	}
	digits, found := strings.CutPrefix(metadata, "v1 last=")
	if !found {
		return plan{}, false, fmt.Errorf("commit metadata %q is no plan of this program", metadata)
	}
	p.last, err = strconv.ParseInt(digits, 10, 64)
	if err != nil || p.last < first {
		return plan{}, false, fmt.Errorf("commit metadata %q is no plan for offset %d", metadata, first)
	}
	return p, true, nil
}

// errRevoked ends a worker whose partition has gone.
var errRevoked = errors.New("kafka: partition revoked")

// feedPartition owns one assigned topic-partition: its loader, its batch and its
// commits. The poll loop pushes; everything else happens in run's goroutine.
type feedPartition struct {
	feed *Feed
	tp   topicPartition
	kind event.Kind

	ctx    context.Context // ends everything, the write in flight included
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{} // something was pushed or asked

	mu        sync.Mutex
	queue     [][]*kgo.Record
	queued    int64 // bytes
	paused    bool
	logStart  int64
	high      int64 // end of the log as of the last fetch
	releasing bool  // stop after the write in flight
	draining  bool  // stop after writing what is here

	time     *timeAccount // of run
	topicID  [16]byte
	loader   Loader
	position int64 // next offset to take; −1 before the first record of a partition nobody has read
	rows     int
	opened   time.Time // of the batch
	oldest   int64     // Kafka timestamp (Unix ms) of the batch's first record
	newest   int64     // and the highest of them all
	first    int64     // of the batch
	last     int64
	repeat   *plan        // must be written before anything else
	released atomic.Int64 // the offset committed without a plan, or a plan's first
	// unwritten is set when the worker stopped with rows in hand.
	unwritten bool
}

func newFeedPartition(f *Feed, tp topicPartition) *feedPartition {
	p := &feedPartition{feed: f, tp: tp, kind: f.kinds[tp.topic], done: make(chan struct{}), wake: make(chan struct{}, 1), position: -1}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// push queues fetched records and pauses fetching when too much waits.
func (p *feedPartition) push(records []*kgo.Record, logStart, high int64) {
	bytes := size(records)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, records)
	p.queued += bytes
	p.logStart, p.high = logStart, high
	if !p.paused && p.queued > p.feed.cfg.MaxBufferedBytes {
		p.paused = true
		p.feed.metrics.pauses.WithLabelValues(p.tp.topic).Inc()
		p.feed.cl.PauseFetchPartitions(p.tp.asMap())
	}
	p.notify()
}

// pop takes the oldest chunk and resumes fetching when little waits.
func (p *feedPartition) pop() []*kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	records := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.queued -= size(records)
	if p.paused && p.queued <= p.feed.cfg.MaxBufferedBytes/2 {
		p.paused = false
		p.feed.cl.ResumeFetchPartitions(p.tp.asMap())
	}
	p.feed.metrics.buffered.WithLabelValues(p.tp.topic, strconv.Itoa(int(p.tp.partition))).Set(float64(p.queued))
	return records
}

func size(records []*kgo.Record) (n int64) {
	for _, r := range records {
		n += int64(len(r.Key)+len(r.Value)) + 64
	}
	return n
}

func (tp topicPartition) asMap() map[string][]int32 {
	return map[string][]int32{tp.topic: {tp.partition}}
}

func (p *feedPartition) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *feedPartition) release() { p.ask(&p.releasing) }
func (p *feedPartition) drain()   { p.ask(&p.draining) }

func (p *feedPartition) ask(flag *bool) {
	p.mu.Lock()
	*flag = true
	p.mu.Unlock()
	p.notify()
}

func (p *feedPartition) asked() (releasing, draining bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.releasing, p.draining
}

// run works until it is asked to stop, the partition is lost, or a write fails for good.
func (p *feedPartition) run() {
	defer close(p.done)
	defer p.cancel()
	p.time = p.feed.metrics.time.open(p.tp.topic, onRebalance)
	defer p.feed.metrics.time.close(p.time)
	err := p.work()
	if p.rows > 0 {
		p.unwritten = true
		p.loader.Discard()
	}
	if err != nil && classify(err) == permanent {
		p.feed.permanent(err)
	}
}

// dueEvery is how often an unfilled batch is asked whether it is due by age.
const dueEvery = 20 * time.Millisecond

func (p *feedPartition) work() error {
	p.feed.conf.step(FeedAssigned)
	if err := p.begin(); err != nil {
		return err
	}
	p.feed.conf.step(FeedBegun)
	ticker := time.NewTicker(dueEvery)
	defer ticker.Stop()
	for {
		var tick <-chan time.Time
		if p.rows > 0 {
			tick = ticker.C
		}
		p.time.enter(p.awaiting())
		select {
		case <-p.ctx.Done():
			return errRevoked
		case <-p.wake:
		case <-tick:
		}
		p.time.enter(onDecode)
		for {
			releasing, draining := p.asked()
			if releasing {
				return p.settle()
			}
			records := p.pop()
			if records == nil {
				if draining {
					if err := p.write(); err != nil {
						return err
					}
					return p.settle()
				}
				break
			}
			if err := p.add(records); err != nil {
				return err
			}
		}
		p.mu.Lock()
		high := p.high
		p.mu.Unlock()
		if p.rows > 0 && p.repeat == nil && p.due(time.Now(), high) {
			if err := p.write(); err != nil {
				return err
			}
		}
		if p.rows == 0 {
			if err := p.settle(); err != nil {
				return err
			}
		}
	}
}

// awaiting is what a worker with nothing queued waits for, to the best of its knowledge.
func (p *feedPartition) awaiting() activity {
	p.mu.Lock()
	logStart, high := p.logStart, p.high
	p.mu.Unlock()
	end, _ := p.feed.watch.end(p.tp.topic, p.tp.partition)
	if max(p.position, logStart) < max(high, end) {
		return onFetch
	}
	return onIdle
}

// begin reads where the partition's last owner got to, and its plan.
func (p *feedPartition) begin() error {
	retry := backoff{first: 10 * time.Millisecond, limit: 2 * time.Second}
	for {
		committed, err := p.feed.adm.FetchOffsets(kadm.RequireStable(p.ctx), p.feed.conf.GroupID(p.feed.cfg.Group))
		if err == nil {
			err = committed.Error()
		}
		if err == nil {
			err = p.lookUpTopic()
		}
		if err == nil {
			o, ok := committed.Lookup(p.tp.topic, p.tp.partition)
			if ok && o.At >= 0 {
				p.position = o.At
				p.released.Store(o.At)
				found, planned, err := parsePlan(o.Metadata, o.At)
				if err != nil {
					return permanently("kafka: feed %s: %s/%d: %w", p.feed.cfg.Group, p.tp.topic, p.tp.partition, err)
				}
				if planned {
					p.repeat = &found
				}
			}
			break
		}
		if err := wait(p.ctx, retry.next()); err != nil {
			return errRevoked
		}
	}
	var err error
	if p.loader, err = p.feed.cfg.NewLoader(p.kind, p.tp.partition); err != nil {
		return permanently("kafka: feed %s: loader of %s/%d: %w", p.feed.cfg.Group, p.tp.topic, p.tp.partition, err)
	}
	if phased, ok := p.loader.(PhasedLoader); ok {
		phased.Phases(func(phase string) { p.time.enter(writePhase(phase)) })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feed.cl.ResumeFetchPartitions(p.tp.asMap())
	return nil
}

// add takes records into the batch and writes it whenever it is due.
func (p *feedPartition) add(records []*kgo.Record) error {
	p.mu.Lock()
	logStart, high := p.logStart, p.high
	p.mu.Unlock()
	if p.position >= 0 && logStart > p.position && records[0].Offset >= logStart && records[0].Offset > p.position {
		p.feed.metrics.lost.WithLabelValues(p.tp.topic).Add(float64(logStart - p.position))
		p.feed.log.Error("records were removed by retention before they were written",
			"topic", p.tp.topic, "partition", p.tp.partition, "from", p.position, "to", logStart)
	}
	for _, r := range records {
		if r.Offset < p.position {
			continue // fetched twice around a pause
		}
		if p.repeat != nil && r.Offset > p.repeat.last {
			// Compaction or retention took the planned last record: what is left of the range is what it is.
			p.position = p.repeat.last + 1
			if err := p.write(); err != nil {
				return err
			}
		}
		if !r.Attrs.IsControl() {
			if p.rows == 0 {
				p.opened = time.Now()
				// Ranges join on: a batch begins where the last one ended, also when that offset holds a marker.
				p.first = max(p.position, 0)
				if p.position < 0 {
					p.first = r.Offset
				}
			}
			at := r.Timestamp.UnixMilli()
			if p.rows == 0 {
				p.oldest, p.newest = at, at
			}
			p.newest = max(p.newest, at)
			p.loader.Add(event.Record{Kind: p.kind, Offset: r.Offset, Timestamp: at, Key: r.Key, Value: r.Value})
			p.rows++
			p.last = r.Offset
		}
		p.position = r.Offset + 1
		switch {
		case p.repeat != nil && r.Offset < p.repeat.last:
		case p.repeat != nil, p.rows > 0 && p.due(time.Now(), high):
			if err := p.write(); err != nil {
				return err
			}
			if releasing, _ := p.asked(); releasing {
				return p.settle()
			}
		}
	}
	return nil
}

// due says whether the batch should be written. While the log holds more, only
// its size counts, for as long as BacklogAge: many small batches would cost the
// store more than the records themselves, and the backlog would stay.
func (p *feedPartition) due(now time.Time, high int64) bool {
	if p.position < high && now.Sub(p.opened) < p.feed.cfg.BacklogAge {
		now = p.opened
	}
	return p.loader.Due(now)
}

// write journals the batch's range and stores it. A repeated range is in the
// journal already, and keeps its last offset even if that record is gone.
func (p *feedPartition) write() error {
	last := p.last
	repeated := p.repeat != nil
	if repeated {
		last = p.repeat.last
		if p.position <= last {
			return nil // drained in the middle of a repeated range: it cannot be written in part
		}
	}
	if p.rows == 0 {
		p.repeat = nil // nothing of the range is left in the log
		return nil
	}
	p.feed.conf.step(FeedFilled)
	if !repeated {
		if err := p.commit(p.first, plan{last}.String()); err != nil {
			return err
		}
	}
	p.feed.conf.step(FeedPlanned)
	began := time.Now()
	p.time.enter(onInsert)
	err := p.loader.Write(p.ctx, p.first, last)
	p.time.enter(onDecode)
	if err != nil {
		if p.ctx.Err() != nil {
			return errRevoked
		}
		return permanently("kafka: feed %s: write %s/%d %d–%d: %w", p.feed.cfg.Group, p.tp.topic, p.tp.partition, p.first, last, err)
	}
	p.feed.conf.step(FeedWritten)
	m := p.feed.metrics
	m.write.Observe(time.Since(began).Seconds())
	m.rows.Observe(float64(p.rows))
	m.records.WithLabelValues(p.tp.topic).Add(float64(p.rows))
	m.batches.WithLabelValues(p.tp.topic).Inc()
	m.last.WithLabelValues(p.tp.topic).SetToCurrentTime()
	m.newest.WithLabelValues(p.tp.topic, strconv.Itoa(int(p.tp.partition))).Set(float64(p.newest) / 1000)
	m.age.WithLabelValues(p.tp.topic).Observe(max(0, time.Since(time.UnixMilli(p.oldest)).Seconds()))
	if repeated {
		m.repeats.WithLabelValues(p.tp.topic).Inc()
		p.feed.log.Info("repeated a planned batch", "topic", p.tp.topic, "partition", p.tp.partition, "first", p.first, "last", last)
	}
	p.rows, p.repeat = 0, nil
	return nil
}

// settle releases what is written. With rows in hand the release goes with their
// plan instead, or, when they are given up, ends before them.
func (p *feedPartition) settle() error {
	to := p.position
	if p.rows > 0 {
		to = p.first
	}
	if p.repeat != nil || to < 0 || to == p.released.Load() {
		return nil
	}
	if err := p.commit(to, ""); err != nil {
		return err
	}
	p.feed.conf.step(FeedReleased)
	return nil
}

// lookUpTopic learns the topic's ID, which newer brokers commit by.
func (p *feedPartition) lookUpTopic() error {
	listed, err := p.feed.adm.ListTopics(p.ctx, p.tp.topic)
	if err != nil {
		return err
	}
	detail := listed[p.tp.topic]
	p.topicID = detail.ID
	return detail.Err
}

// commit makes the group's offset of the partition offset, with metadata, as the
// member and generation that own it: it tries until it has, or until the partition has gone.
//
// The stamp is read at every attempt, since the group may have moved on to a
// generation in which the partition stayed here. It can not be a generation in which another
// member has it: the partition is only given away after revoked returned, which
// waits for this goroutine.
func (p *feedPartition) commit(offset int64, metadata string) error {
	defer p.time.enter(onDecode)
	retry := backoff{first: 10 * time.Millisecond, limit: time.Second}
	for {
		p.time.enter(onPlan)
		err := p.tryCommit(offset, metadata)
		if err == nil {
			p.released.Store(offset)
			return nil
		}
		if p.ctx.Err() != nil {
			return errRevoked
		}
		p.feed.metrics.retries.WithLabelValues(string(classify(err))).Inc()
		if retry.attempt == 5 {
			p.feed.log.Warn("committing offsets keeps failing; retrying", "topic", p.tp.topic, "partition", p.tp.partition, "error", err)
		}
		p.time.enter(onBackoff)
		if wait(p.ctx, retry.next()) != nil {
			return errRevoked
		}
	}
}

func (p *feedPartition) tryCommit(offset int64, metadata string) error {
	member, generation := p.feed.cl.GroupMetadata()
	if generation < 0 {
		return kerr.UnknownMemberID // between memberships; without a generation nothing would be fenced
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = p.feed.conf.GroupID(p.feed.cfg.Group), member, generation
	req.InstanceID = p.feed.cfg.membership(p.feed.conf).instanceID()
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = p.tp.topic, p.topicID
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Partition, partition.Offset, partition.Metadata = p.tp.partition, offset, &metadata
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(p.ctx, p.feed.cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("kafka: offset commit was answered for other partitions than it named")
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}
