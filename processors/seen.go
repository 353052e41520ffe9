package processors

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// bucketMS is the span of event time whose IDs are kept and forgotten together.
const bucketMS = 60_000

// blockVersion starts every change-log entry of IDs.
const blockVersion = 1

// seen remembers the IDs of one input's accepted events for as long as a resend
// would still be accepted. A resend carries the same event_time, so IDs are
// bucketed by it, and a bucket goes when all of it is past the lateness horizon:
// from then on a resend is late before it is a duplicate. That is exact, and
// bounded by the allowed lateness.
type seen struct {
	buckets map[int64]*bucket
	last    *bucket // most events fall into the same bucket as the one before

	// fresh lists the buckets that the transaction added to, expired those that it lets go.
	fresh   []*bucket
	expired []*bucket
	count   int // committed IDs
}

// bucket holds the IDs of [minute·bucketMS, (minute+1)·bucketMS).
type bucket struct {
	minute int64
	ids    idSet
	// fresh are the transaction's IDs; the earlier ones are in blocks 0 … blocks−1 of the change-log.
	fresh  []uuid.UUID
	blocks int
	gone   bool
}

func newSeen() *seen { return &seen{buckets: map[int64]*bucket{}} }

func minuteOf(eventTime int64) int64 {
	minute := eventTime / bucketMS
	if eventTime%bucketMS < 0 {
		minute--
	}
	return minute
}

func (s *seen) bucket(minute int64) *bucket {
	if s.last != nil && s.last.minute == minute {
		return s.last
	}
	b := s.buckets[minute]
	if b != nil {
		s.last = b
	}
	return b
}

// has says whether an event was accepted before.
func (s *seen) has(id uuid.UUID, eventTime int64) bool {
	b := s.bucket(minuteOf(eventTime))
	return b != nil && b.ids.has(id)
}

// add remembers an accepted event.
func (s *seen) add(id uuid.UUID, eventTime int64) {
	minute := minuteOf(eventTime)
	b := s.bucket(minute)
	if b == nil {
		b = &bucket{minute: minute}
		s.buckets[minute], s.last = b, b
	}
	if b.ids.add(id) {
		if len(b.fresh) == 0 {
			s.fresh = append(s.fresh, b)
		}
		b.fresh = append(b.fresh, id)
	}
}

// expire lets buckets go whose every event would be late: those at or before horizon.
func (s *seen) expire(horizon int64) {
	for minute, b := range s.buckets {
		if !b.gone && (minute+1)*bucketMS-1 <= horizon {
			b.gone = true
			s.expired = append(s.expired, b)
		}
	}
	slices.SortFunc(s.expired, func(a, b *bucket) int { return int(a.minute - b.minute) })
}

// changes lists the transaction's new blocks, and deletes those of expired buckets.
func (s *seen) changes(each func(minute int64, block int, ids []uuid.UUID)) {
	for _, b := range s.expired {
		for block := range b.blocks {
			each(b.minute, block, nil)
		}
	}
	for _, b := range s.fresh {
		if !b.gone {
			each(b.minute, b.blocks, b.fresh)
		}
	}
}

func (s *seen) commit() {
	for _, b := range s.fresh {
		s.count += len(b.fresh)
		b.fresh = b.fresh[:0]
		b.blocks++
	}
	for _, b := range s.expired {
		s.count -= b.ids.count
		delete(s.buckets, b.minute)
	}
	s.end()
}

func (s *seen) rollback() {
	for _, b := range s.fresh {
		for _, id := range b.fresh {
			b.ids.remove(id)
		}
		b.fresh = b.fresh[:0]
		if b.blocks == 0 {
			delete(s.buckets, b.minute)
		}
	}
	for _, b := range s.expired {
		b.gone = false
	}
	s.end()
}

func (s *seen) end() {
	clear(s.fresh)
	clear(s.expired)
	s.last, s.fresh, s.expired = nil, s.fresh[:0], s.expired[:0]
}

// snapshot lists every bucket as one block, in place of its last: restored, it
// holds the same IDs and goes on with the same block numbers, so that what expires later
// deletes the blocks that the change-log has.
func (s *seen) snapshot(each func(minute int64, block int, ids *idSet)) {
	for minute, b := range s.buckets {
		each(minute, b.blocks-1, &b.ids)
	}
}

// restore puts one block back, or forgets its bucket when value is nil: all
// blocks of a bucket are deleted in one transaction, after which none is added.
func (s *seen) restore(key string, value []byte) error {
	minuteText, blockText, _ := strings.Cut(key, "/")
	minute, err := strconv.ParseInt(minuteText, 10, 64)
	if err != nil {
		return fmt.Errorf("minute of event IDs: %w", err)
	}
	block, err := strconv.Atoi(blockText)
	if err != nil || block < 0 {
		return fmt.Errorf("block %q of event IDs is not a number", blockText)
	}
	b := s.buckets[minute]
	if value == nil {
		if b != nil {
			s.count -= b.ids.count
			delete(s.buckets, minute)
		}
		return nil
	}
	_, ids, err := Version(value, blockVersion)
	if err != nil {
		return fmt.Errorf("event IDs: %w", err)
	}
	if len(ids)%16 != 0 {
		return fmt.Errorf("event IDs of %d bytes are not a whole number of them", len(ids))
	}
	if b == nil {
		b = &bucket{minute: minute}
		s.buckets[minute] = b
	}
	b.blocks = max(b.blocks, block+1)
	for ; len(ids) > 0; ids = ids[16:] {
		if b.ids.add(uuid.UUID(ids[:16])) {
			s.count++
		}
	}
	return nil
}

// idSet is a set of event IDs, open addressing with linear probing: half the
// time and no more memory than a map. The zero UUID marks a free slot; no valid
// event carries it.
type idSet struct {
	slots []uuid.UUID
	count int
}

// slot is where id is, or the free slot where it belongs.
func (s *idSet) slot(id uuid.UUID) int {
	mask := len(s.slots) - 1
	i := s.home(id)
	for s.slots[i] != id && s.slots[i] != uuid.Nil {
		i = (i + 1) & mask
	}
	return i
}

func (s *idSet) home(id uuid.UUID) int {
	// Clients choose their IDs, and not all of them at random: mix every bit in.
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^0x9e3779b97f4a7c15, binary.LittleEndian.Uint64(id[8:])^0xe7037ed1a0b428db)
	return int((hi ^ lo) & uint64(len(s.slots)-1))
}

func (s *idSet) has(id uuid.UUID) bool {
	return s.count > 0 && s.slots[s.slot(id)] == id
}

func (s *idSet) add(id uuid.UUID) bool {
	if 4*s.count >= 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uuid.UUID, max(16, 2*len(old)))
		for _, id := range old {
			if id != uuid.Nil {
				s.slots[s.slot(id)] = id
			}
		}
	}
	i := s.slot(id)
	if s.slots[i] == id {
		return false
	}
	s.slots[i] = id
	s.count++
	return true
}

// remove takes id out and moves later IDs of its run back, so that no gap hides them.
func (s *idSet) remove(id uuid.UUID) {
	if !s.has(id) {
		return
	}
	mask := len(s.slots) - 1
	gap := s.slot(id)
	for i := (gap + 1) & mask; s.slots[i] != uuid.Nil; i = (i + 1) & mask {
		if (i-s.home(s.slots[i]))&mask >= (i-gap)&mask {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = uuid.Nil
	s.count--
}
