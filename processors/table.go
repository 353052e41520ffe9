package processors

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"sort"
)

// Staged is state that a transaction can keep or forget. Table implements it.
type Staged interface {
	// Changes calls each with every key changed since the last Commit or Rollback, in key order,
	// and its new value; a nil value deletes the key. Neither may be kept or changed.
	Changes(each func(key string, value []byte))
	Commit()
	Rollback()
	// Restore puts back one change-log entry, outside any transaction; a nil value deletes the key. value is copied.
	Restore(key string, value []byte) error
	// Len is the number of committed keys, Bytes the size of their keys and encoded values.
	Len() int
	Bytes() int64
}

// Codec encodes a state for the change-log. Decode gets a zero or reused state
// and must set every field. Data comes from an earlier version of the program,
// perhaps: start with a version byte.
type Codec[S any] interface {
	Append(dst []byte, s *S) []byte
	Decode(data []byte, s *S) error
	// Deadline is the event time (Unix ms) at which Due should hand the state out; 0 for never.
	Deadline(s *S) int64
}

// Table is keyed state with a staged overlay. Committed values are held encoded,
// which keeps them small, hides no pointer from a rollback, and makes a restore
// a copy; a key is decoded when a transaction first touches it and encoded once
// when the transaction ends. Every encoded value starts with its deadline, so that a restore
// can rebuild the deadline queue without decoding.
type Table[S any] struct {
	name      string
	codec     Codec[S]
	committed map[string][]byte
	bytes     int64

	overlay map[string]*entry[S]
	free    []*entry[S]

	// queue holds hints: every committed key with a deadline has one at or before it. A deadline
	// that moves later leaves its hint behind, to be renewed when it surfaces, so a key that is
	// touched often costs one hint, not one a touch. popped hints go back on Rollback.
	queue  deadlines
	popped []deadline
}

type entry[S any] struct {
	state   S
	live    bool // false: deleted in this transaction, or never there
	changed bool
	encoded []byte // set by Changes, taken by Commit
}

type deadline struct {
	at  int64
	key string
}

type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadline)) }
func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	(*d)[len(*d)-1] = deadline{}
	*d = (*d)[:len(*d)-1]
	return last
}

// NewTable makes an empty table. name appears in errors.
func NewTable[S any](name string, codec Codec[S]) *Table[S] {
	return &Table[S]{name: name, codec: codec, committed: map[string][]byte{}, overlay: map[string]*entry[S]{}}
}

// deadlineBytes is the length of the deadline in front of every encoded value.
const deadlineBytes = 8

// Get returns the state of key for reading, or nil. It is valid until the
// transaction ends.
func (t *Table[S]) Get(key string) *S {
	if e := t.load(key); e != nil && e.live {
		return &e.state
	}
	return nil
}

// Put returns the state of key for changing, a zero one where there was none
// (created is then true). key may alias a buffer; it is cloned when kept.
func (t *Table[S]) Put(key string) (s *S, created bool) {
	e := t.load(key)
	if e == nil {
		e = t.newEntry()
		t.overlay[clone(key)] = e
	}
	created = !e.live
	if created {
		var zero S
		e.state = zero
	}
	e.live, e.changed = true, true
	return &e.state, created
}

// Delete removes key.
func (t *Table[S]) Delete(key string) {
	if e := t.load(key); e != nil && e.live {
		e.live, e.changed = false, true
	}
}

// Due hands out every key whose deadline is at or before now, in time order and
// once per transaction; f may Put or Delete that key, or any other.
func (t *Table[S]) Due(now int64, f func(key string, s *S)) {
	for len(t.queue) > 0 && t.queue[0].at <= now {
		hint := heap.Pop(&t.queue).(deadline)
		t.popped = append(t.popped, hint)
		e := t.load(hint.key)
		if e == nil || !e.live {
			continue
		}
		if at := t.codec.Deadline(&e.state); at == 0 || at > now {
			continue
		}
		f(hint.key, &e.state)
	}
}

// Each calls f with every live key, in no order. f may not change the table.
func (t *Table[S]) Each(f func(key string, s *S)) error {
	var scratch S
	for key, value := range t.committed {
		if _, staged := t.overlay[key]; staged {
			continue
		}
		if err := t.codec.Decode(value[deadlineBytes:], &scratch); err != nil {
			return fmt.Errorf("table %s, key %q: %w", t.name, key, err)
		}
		f(key, &scratch)
	}
	for key, e := range t.overlay {
		if e.live {
			f(key, &e.state)
		}
	}
	return nil
}

func (t *Table[S]) load(key string) *entry[S] {
	if e := t.overlay[key]; e != nil {
		return e
	}
	value, ok := t.committed[key]
	if !ok {
		return nil
	}
	e := t.newEntry()
	if err := t.codec.Decode(value[deadlineBytes:], &e.state); err != nil {
		// Restore checked every value that came from outside and Changes wrote the others, so
		// this is a codec that cannot read what it wrote: going on would publish wrong numbers.
		panic(fmt.Sprintf("table %s, key %q: %v", t.name, key, err))
	}
	e.live = true
	t.overlay[clone(key)] = e
	return e
}

func (t *Table[S]) newEntry() *entry[S] {
	if n := len(t.free); n > 0 {
		e := t.free[n-1]
		t.free = t.free[:n-1]
		e.live, e.changed, e.encoded = false, false, nil
		return e
	}
	return &entry[S]{}
}

// Changes implements Staged.
func (t *Table[S]) Changes(each func(key string, value []byte)) {
	keys := make([]string, 0, len(t.overlay))
	for key, e := range t.overlay {
		if e.changed {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	var scratch []byte
	for _, key := range keys {
		e := t.overlay[key]
		if !e.live {
			each(key, nil)
			continue
		}
		scratch = binary.LittleEndian.AppendUint64(scratch[:0], uint64(t.codec.Deadline(&e.state)))
		scratch = t.codec.Append(scratch, &e.state)
		// One exact allocation per changed key: the committed map keeps it for long.
		e.encoded = append(make([]byte, 0, len(scratch)), scratch...)
		each(key, e.encoded)
	}
}

// Commit implements Staged. Changes must have been called since the last change.
func (t *Table[S]) Commit() {
	for key, e := range t.overlay {
		if e.changed {
			if e.live {
				t.set(key, e.encoded)
			} else {
				t.drop(key)
			}
		}
		t.free = append(t.free, e)
	}
	clear(t.overlay)
	renewed := make(map[string]bool, len(t.popped))
	for _, hint := range t.popped {
		if value, ok := t.committed[hint.key]; ok && !renewed[hint.key] {
			renewed[hint.key] = true
			t.hint(hint.key, deadlineOf(value))
		}
	}
	t.popped = t.popped[:0]
	t.trim()
}

// Rollback implements Staged.
func (t *Table[S]) Rollback() {
	for _, e := range t.overlay {
		t.free = append(t.free, e)
	}
	clear(t.overlay)
	for _, hint := range t.popped {
		heap.Push(&t.queue, hint)
	}
	t.popped = t.popped[:0]
	t.trim()
}

// maxFree bounds the decoded states kept for reuse between transactions.
const maxFree = 1 << 14

func (t *Table[S]) trim() {
	if len(t.free) > maxFree {
		clear(t.free[maxFree:])
		t.free = t.free[:maxFree]
	}
}

// Restore implements Staged.
func (t *Table[S]) Restore(key string, value []byte) error {
	if value == nil {
		t.drop(key)
		return nil
	}
	var s S
	if len(value) < deadlineBytes {
		return fmt.Errorf("table %s, key %q: value of %d bytes is shorter than its deadline", t.name, key, len(value))
	}
	if err := t.codec.Decode(value[deadlineBytes:], &s); err != nil {
		return fmt.Errorf("table %s, key %q: %w", t.name, key, err)
	}
	t.set(clone(key), append(make([]byte, 0, len(value)), value...))
	return nil
}

func (t *Table[S]) set(key string, value []byte) {
	old, had := t.committed[key]
	if had {
		t.bytes -= int64(len(old))
	} else {
		t.bytes += int64(len(key))
	}
	t.bytes += int64(len(value))
	t.committed[key] = value
	at := deadlineOf(value)
	if !had || deadlineOf(old) == 0 || at < deadlineOf(old) {
		t.hint(key, at)
	}
}

func (t *Table[S]) hint(key string, at int64) {
	if at != 0 {
		heap.Push(&t.queue, deadline{at: at, key: key})
	}
}

func deadlineOf(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value)) }

func (t *Table[S]) drop(key string) {
	if old, had := t.committed[key]; had {
		t.bytes -= int64(len(key) + len(old))
		delete(t.committed, key)
	}
}

// Len implements Staged.
func (t *Table[S]) Len() int { return len(t.committed) }

// Bytes implements Staged.
func (t *Table[S]) Bytes() int64 { return t.bytes }

// clone copies a key that may alias a record's buffer.
func clone(key string) string { return string(append([]byte(nil), key...)) }
