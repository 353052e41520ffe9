package kafka

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// feedPartition owns one assigned topic-partition: its loader, its batches and its
// commits. The poll loop pushes, and each batch in flight is written by a goroutine
// of its own; everything else happens in run's goroutine.
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
	releasing bool  // stop after the writes in flight
	draining  bool  // stop after writing what is here

	awaited  *flight      // the one that the worker waits for, if it does; mu guards it
	time     *timeAccount // of run
	topicID  [16]byte
	loader   Loader
	position int64 // next offset to take; −1 before the first record of a partition nobody has read

	// The open batch: it begins at next, and holds rows up to last.
	next    int64 // −1 as position
	last    int64
	rows    int
	opened  time.Time
	oldest  int64              // Kafka timestamp (Unix ms) of its first record
	newest  int64              // and the highest of them all
	refused []event.DeadLetter // of its undecodable records

	repeats plan      // must be written before anything else, in this order
	flights []*flight // planned and not released, in order of their ranges
	landed  chan *flight
	writing sync.WaitGroup
	letters []event.DeadLetter // of released batches, which go with the next commit

	known    commit       // what the group knows
	released atomic.Int64 // its offset
	// unwritten is set when the worker stopped with rows in hand.
	unwritten bool
}

func newFeedPartition(f *Feed, tp topicPartition) *feedPartition {
	p := &feedPartition{feed: f, tp: tp, kind: f.kinds[tp.topic], done: make(chan struct{}), wake: make(chan struct{}, 1), position: -1, next: -1, landed: make(chan *flight, f.cfg.InFlight)}
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
	p.time = p.feed.metrics.time.open(p.tp.topic, onRebalance)
	defer p.feed.metrics.time.close(p.time)
	err := p.work()
	p.unwritten = p.rows > 0 || len(p.flights) > 0 || len(p.repeats) > 0
	p.cancel()
	p.writing.Wait()
	for _, b := range p.flights {
		b.close()
		if b.ahead && !b.done {
			<-p.feed.ahead
		}
	}
	if p.rows > 0 {
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
		if on := p.awaiting(); on == onIdle && len(p.flights) > 0 {
			p.awaitFlight()
		} else {
			p.time.enter(on)
		}
		var landed *flight
		select {
		case <-p.ctx.Done():
			return errRevoked
		case landed = <-p.landed:
		case <-p.wake:
		case <-tick:
		}
		p.goOn()
		if landed != nil {
			if err := p.land(landed); err != nil {
				return err
			}
		}
		draining, err := p.take()
		switch {
		case errors.Is(err, errLeaving):
			return p.finish(false)
		case err != nil:
			return err
		case draining:
			return p.finish(true)
		}
	}
}

// take works off the queue, sends what is due, and releases what is written.
// draining is true once everything queued is taken and the worker is to stop.
func (p *feedPartition) take() (draining bool, err error) {
	for {
		var releasing bool
		if releasing, draining = p.asked(); releasing {
			return false, errLeaving
		}
		records := p.pop()
		if records == nil {
			break
		}
		if err := p.add(records); err != nil {
			return false, err
		}
	}
	if draining {
		return true, nil
	}
	p.mu.Lock()
	high := p.high
	p.mu.Unlock()
	if p.rows > 0 && len(p.repeats) == 0 && p.due(time.Now(), high) {
		if err := p.send(); err != nil {
			return false, err
		}
	}
	if p.rows == 0 && len(p.flights) == 0 && len(p.repeats) == 0 {
		// With rows in hand the release goes with their plan instead.
		return false, p.settle()
	}
	return false, nil
}

// finish writes the open batch, if it is to and may be, waits for what is in
// flight, and releases it. A repeated range cannot be written in part.
func (p *feedPartition) finish(write bool) error {
	if write && len(p.repeats) == 0 {
		if err := p.send(); err != nil && !errors.Is(err, errLeaving) {
			return err
		}
	}
	for len(p.flights) > 0 {
		if err := p.awaitLanding(); err != nil && !errors.Is(err, errLeaving) {
			return err
		}
	}
	return p.settle()
}

// settle releases what is written.
func (p *feedPartition) settle() error {
	before := p.known
	if err := p.journal(); err != nil {
		return err
	}
	if p.known != before {
		p.feed.conf.step(FeedReleased)
	}
	return nil
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
		known, err := p.fetchCommit()
		if err == nil {
			err = p.lookUpTopic()
		}
		if err == nil {
			p.known = known
			break
		}
		if err := wait(p.ctx, retry.next()); err != nil {
			return errRevoked
		}
	}
	if p.known.offset >= 0 {
		p.position, p.next = p.known.offset, p.known.offset
		p.released.Store(p.known.offset)
		var err error
		if p.repeats, _, err = parsePlan(p.known.metadata, p.known.offset); err != nil {
			return permanently("kafka: feed %s: %s: %w", p.feed.cfg.Group, p.tp, err)
		}
	}
	var err error
	if p.loader, err = p.feed.cfg.NewLoader(p.kind, p.tp.partition); err != nil {
		return permanently("kafka: feed %s: loader of %s/%d: %w", p.feed.cfg.Group, p.tp.topic, p.tp.partition, err)
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
		for len(p.repeats) > 0 && r.Offset > p.repeats[0].last {
			// Compaction or retention took the planned last record: what is left of the range is what it is.
			p.position = max(p.position, p.repeats[0].last+1)
			if err := p.send(); err != nil {
				return err
			}
		}
		if !r.Attrs.IsControl() {
			p.addRecord(r)
		}
		p.position = r.Offset + 1
		if p.full(r.Offset, high) {
			if err := p.send(); err != nil {
				return err
			}
			if releasing, _ := p.asked(); releasing {
				return errLeaving
			}
		}
	}
	return nil
}

func (p *feedPartition) addRecord(r *kgo.Record) {
	at := r.Timestamp.UnixMilli()
	if p.rows == 0 {
		p.opened = time.Now()
		p.oldest, p.newest = at, at
		// Ranges join on: a batch begins where the last one ended, also when that offset holds a marker.
		if p.next < 0 {
			p.next = r.Offset
		}
	}
	p.newest = max(p.newest, at)
	refused := p.loader.Add(event.Record{Kind: p.kind, Offset: r.Offset, Timestamp: at, Key: r.Key, Value: r.Value})
	if refused != nil && !p.kind.Raw() {
		p.refused = append(p.refused, p.letter(r, event.Refusal{Offset: r.Offset, Reason: refused.Reason, Field: refused.Field}))
	}
	p.rows++
	p.last = r.Offset
}

// full says whether the open batch ends behind offset: where the plan says so, or when it is due.
func (p *feedPartition) full(offset, high int64) bool {
	if len(p.repeats) > 0 {
		return offset == p.repeats[0].last
	}
	return p.rows > 0 && p.due(time.Now(), high)
}

// due says whether the batch should be written. While the log holds more, or
// the batch before it is not stored yet, only its size counts, for as long as BacklogAge: many small batches would cost the
// store more than the records themselves, and the backlog would stay.
func (p *feedPartition) due(now time.Time, high int64) bool {
	if (p.position < high || len(p.flights) > 0) && now.Sub(p.opened) < p.feed.cfg.BacklogAge {
		now = p.opened
	}
	return p.loader.Due(now)
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
