package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// flight is one batch on its way into the store. The partition's worker makes it
// and hears of its end on landed; in between only its own goroutine touches it.
type flight struct {
	planned
	repeated bool
	batch    Batch
	records  int
	// oldest and newest are Kafka timestamps (Unix ms) of the first record and of the newest.
	oldest, newest int64
	// letters are the dead letters of records that could not be stored. They are produced when the batch is released.
	letters []event.DeadLetter
	// ahead holds one of the feed's tokens for batches beyond the first of their partition.
	ahead bool

	// refused is the store's verdict on the whole, with err its words; err alone ends the partition.
	refused bool
	err     error
	done    bool
	closed  bool

	on activity // of its write; the partition's mu guards it
}

// launch writes the batch in a goroutine of its own.
func (p *feedPartition) launch(b *flight) {
	p.writing.Go(func() {
		began := time.Now()
		if b.halved {
			var refusals []event.Refusal
			if refusals, b.err = b.batch.WriteHalves(p.ctx); b.err == nil {
				b.err = p.readBack(b, refusals)
			}
		} else {
			b.refused, b.err = b.batch.Write(p.ctx)
		}
		p.feed.metrics.write.Observe(time.Since(began).Seconds())
		if b.err == nil {
			p.feed.conf.step(FeedWritten)
		}
		if !b.refused {
			b.close()
		}
		p.landed <- b // never blocks: it has room for all that are in flight
	})
}

func (b *flight) close() {
	if !b.closed {
		b.closed = true
		b.batch.Close()
	}
}

// land hears of a batch's end. A refused one is journalled as halved before any
// part of it is written:
//
//	writes 0–99 whole                the store refuses it
//	journals 0–99 as halved
//	writes 0–49, is cut off
//	                                 the heir reads the journal: it never writes 0–99 whole,
//	                                 which would store 0–49 twice if the store has changed its mind
func (p *feedPartition) land(b *flight) error {
	where := func() string {
		return fmt.Sprintf("kafka: feed %s: write %s/%d %d–%d", p.feed.cfg.Group, p.tp.topic, p.tp.partition, b.first, b.last)
	}
	switch {
	case b.refused && p.kind == event.KindDeadLetter:
		return permanently("%s: the store refuses dead letters, and there is no other place for them: %w", where(), b.err)
	case b.refused:
		p.feed.conf.step(FeedRefused)
		p.feed.metrics.halved.WithLabelValues(p.tp.topic).Inc()
		p.feed.log.Warn("the store refuses a batch; storing it in halves, down to the records it refuses",
			"topic", p.tp.topic, "partition", p.tp.partition, "first", b.first, "last", b.last, "error", b.err)
		b.refused, b.err, b.halved = false, nil, true
		if err := p.journal(); err != nil {
			return err
		}
		p.feed.conf.step(FeedHalved)
		p.launch(b)
		return nil
	case b.err != nil && p.ctx.Err() != nil:
		return errRevoked
	case b.err != nil:
		return permanently("%s: %w", where(), b.err)
	}
	b.done = true
	if b.ahead {
		<-p.feed.ahead
	}
	m := p.feed.metrics
	m.rows.Observe(float64(b.records))
	m.records.WithLabelValues(p.tp.topic).Add(float64(b.records))
	m.batches.WithLabelValues(p.tp.topic).Inc()
	m.last.WithLabelValues(p.tp.topic).SetToCurrentTime()
	m.newest.WithLabelValues(p.tp.topic, strconv.Itoa(int(p.tp.partition))).Set(float64(b.newest) / 1000)
	m.age.WithLabelValues(p.tp.topic).Observe(max(0, time.Since(time.UnixMilli(b.oldest)).Seconds()))
	if b.repeated {
		m.repeats.WithLabelValues(p.tp.topic).Inc()
		p.feed.log.Info("repeated a planned batch", "topic", p.tp.topic, "partition", p.tp.partition, "first", b.first, "last", b.last)
	}
	// Only a contiguous prefix is released: the ones behind a batch in flight stay in the plan, and are repeated with it.
	for len(p.flights) > 0 && p.flights[0].done {
		p.letters = append(p.letters, p.flights[0].letters...)
		p.flights = p.flights[1:]
	}
	return nil
}

// room says whether one more batch may be in flight, and takes a token of the feed's if it needs one.
func (p *feedPartition) room() (ok, ahead bool) {
	switch {
	case len(p.flights) == 0:
		return true, false
	case len(p.flights) >= p.feed.cfg.InFlight:
		return false, false
	}
	select {
	case p.feed.ahead <- struct{}{}:
		return true, true
	default:
		return false, false
	}
}

// send plans the open batch and puts it in flight, once there is room. A
// repeated range is in the journal already, and keeps its last offset even if that record is gone.
func (p *feedPartition) send() error {
	b := planned{first: p.next, last: p.last}
	repeated := len(p.repeats) > 0
	if repeated {
		b = p.repeats[0]
		if p.rows == 0 { // nothing of the range is left in the log
			p.repeats, p.next = p.repeats[1:], b.last+1
			return nil
		}
	}
	if p.rows == 0 {
		return nil
	}
	p.feed.conf.step(FeedFilled)
	ok, ahead := p.room()
	for !ok {
		if err := p.awaitLanding(); err != nil {
			return err
		}
		ok, ahead = p.room()
	}
	f := &flight{planned: b, repeated: repeated, records: p.rows, letters: p.refused, ahead: ahead, oldest: p.oldest, newest: p.newest, on: onInsert}
	f.batch = p.loader.Seal(b.first, b.last, repeated)
	if phased, ok := f.batch.(PhasedBatch); ok {
		phased.Phases(func(phase string) { p.enterPhase(f, writePhase(phase)) })
	}
	p.flights = append(p.flights, f)
	p.rows, p.refused, p.next = 0, nil, b.last+1
	if repeated {
		p.repeats = p.repeats[1:]
	} else if err := p.journal(); err != nil {
		return err
	}
	p.feed.conf.step(FeedPlanned)
	p.launch(f)
	return nil
}

// awaitLanding waits until a batch has come to its end; errLeaving when the worker is asked to go meanwhile.
func (p *feedPartition) awaitLanding() error {
	p.awaitFlight()
	defer p.goOn()
	for {
		select {
		case <-p.ctx.Done():
			return errRevoked
		case b := <-p.landed:
			return p.land(b)
		case <-p.wake:
			if releasing, _ := p.asked(); releasing {
				return errLeaving
			}
		}
	}
}

// awaitFlight books the worker's time from here to goOn as what the oldest batch in flight spends it on.
func (p *feedPartition) awaitFlight() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awaited = p.flights[0]
	p.time.enter(p.awaited.on)
}

func (p *feedPartition) goOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awaited = nil
	p.time.enter(onDecode)
}

// enterPhase hears, from its goroutine, what a write begins to spend its time on.
func (p *feedPartition) enterPhase(b *flight, on activity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.on = on
	if p.awaited == b {
		p.time.enter(on)
	}
}

// maxFieldBytes of what a store said go into a dead letter; well under event.MaxTextBytes.
const maxFieldBytes = 512

// letter makes the dead letter of a record, for the processors' and the analysts' eyes: it names the record by the kind's topic.
func (p *feedPartition) letter(r *kgo.Record, refusal event.Refusal) event.DeadLetter {
	l := event.DeadLetter{
		Topic: p.kind.Topic(), Partition: p.tp.partition, Offset: refusal.Offset,
		Class: refusal.Reason, Field: truncate(refusal.Field, maxFieldBytes),
	}
	if r != nil {
		l.Timestamp, l.Key = r.Timestamp.UnixMilli(), r.Key
		// A value beyond the record limit is cut: the letter says where the whole of it is.
		l.Value = r.Value[:min(len(r.Value), event.MaxRecordBytes)]
	}
	return l
}

// readBack makes the dead letters of records that the store refused. The batch
// kept columns, not records, so they are read from the log again; one that retention took meanwhile has a letter without its value.
func (p *feedPartition) readBack(b *flight, refusals []event.Refusal) error {
	if len(refusals) == 0 {
		return nil
	}
	records := map[int64]*kgo.Record{}
	for _, r := range refusals {
		records[r.Offset] = nil
	}
	retry := backoff{first: 50 * time.Millisecond, limit: 2 * time.Second}
	for {
		err := p.readRange(p.ctx, offsets{refusals[0].Offset, refusals[len(refusals)-1].Offset + 1}, records)
		if err == nil {
			break
		}
		p.feed.log.Warn("reading refused records again failed; retrying", "topic", p.tp.topic, "partition", p.tp.partition, "error", err)
		if wait(p.ctx, retry.next()) != nil {
			return errRevoked
		}
	}
	for _, r := range refusals {
		b.letters = append(b.letters, p.letter(records[r.Offset], r))
	}
	return nil
}

// readRange fills in the records of wanted that the log still has.
func (p *feedPartition) readRange(ctx context.Context, r offsets, wanted map[int64]*kgo.Record) error {
	starts, err := offsetsOf(p.feed.adm.ListStartOffsets(ctx, p.tp.topic))
	if err != nil {
		return err
	}
	r.from = max(r.from, starts[p.tp.topic][p.tp.partition])
	if r.from >= r.to {
		return nil
	}
	return readRanges(ctx, p.feed.conf, reading{
		topic: p.tp.topic, ranges: map[int32]offsets{p.tp.partition: r}, workers: 1,
		each: func(_ int32, record *kgo.Record) error {
			if _, ok := wanted[record.Offset]; ok {
				wanted[record.Offset] = record
			}
			return nil
		},
	})
}

// truncate cuts text to at most n bytes, between two runes.
func truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	cut := 0
	for i := range text {
		if i > n {
			break
		}
		cut = i
	}
	return text[:cut]
}

func (tp topicPartition) String() string {
	return tp.topic + "/" + strconv.Itoa(int(tp.partition))
}

// errRevoked ends a worker whose partition has gone; errLeaving one that was asked to stop after what is in flight.
var (
	errRevoked = errors.New("kafka: partition revoked")
	errLeaving = errors.New("kafka: partition is being released")
)
