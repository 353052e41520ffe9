package processors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Staged is state that a transaction can keep or forget. Table implements it.
type Staged interface {
	// Changes calls each with every key changed since the last Commit or Rollback, in the order
	// first touched, and its new value; a nil value deletes the key. Both are valid until Commit
	// or Rollback and must not be changed.
	Changes(each func(key string, value []byte))
	Commit()
	Rollback()
	// Restore puts back one change-log entry, outside any transaction; a nil value deletes the key. value is copied.
	Restore(key string, value []byte) error
	// Snapshot calls each with every committed key, once and in no order, and what Restore takes for it. It
	// must be called outside any transaction; both are valid during the call only.
	Snapshot(each func(key string, value []byte))
	// Len is the number of committed keys, Bytes the size of their keys and encoded values.
	Len() int
	Bytes() int64
}

// Codec encodes a state for the change-log. Decode gets a zero or reused state,
// must set every field and must not keep data. Data comes from an earlier
// version of the program, perhaps: start with a version byte, see Version.
type Codec[S any] interface {
	Append(dst []byte, s *S) []byte
	Decode(data []byte, s *S) error
	// Deadline is the event time (Unix ms) at which Due should hand the state out; 0 for never.
	Deadline(s *S) int64
}

// Checker is a Codec that decodes lazily: Check looks at what Decode left alone.
// It is asked about values that come from outside.
type Checker[S any] interface {
	Check(s *S) error
}

// Table is keyed state with a staged overlay. Committed values are held encoded,
// which keeps them small, hides no pointer from a rollback, and makes a restore
// a copy; a key is decoded when a transaction first touches it and encoded once
// when the transaction ends. Every encoded value starts with its deadline, so
// that a restore can rebuild the deadline queue without decoding.
type Table[S any] struct {
	name  string
	codec Codec[S]
	// cells holds every committed key, and the keys that the transaction made or asked to make.
	cells map[string]*cell[S]
	count int
	bytes int64

	// touched lists the cells with an entry, in the order of their first use: the transaction's
	// changes come out in the same order on every run, without a sort.
	touched []*cell[S]
	free    []*entry[S]
	arena   []byte

	// queue holds hints: every committed key with a deadline has one at or before it, the one in
	// its cell; other hints of the key are stale. A deadline that moves later leaves its hint
	// behind, to be renewed when it surfaces, so a key that is touched often costs one hint, not
	// one a touch. popped hints go back on Rollback.
	queue  hints[S]
	popped []hint[S]
	due    []hint[S]
}

type cell[S any] struct {
	key   string
	value []byte // committed, with its deadline in front; nil when there is none
	hint  int64  // the queue's hint that counts; 0 for none
	entry *entry[S]
}

// entry is a key's state within the transaction.
type entry[S any] struct {
	state   S
	live    bool // false: deleted in this transaction, or never there
	changed bool
	handed  bool // Due gave it out in this transaction
	// encoded is set once the final state is known, and lives in the arena.
	encoded []byte
}

// NewTable makes an empty table. name appears in errors.
func NewTable[S any](name string, codec Codec[S]) *Table[S] {
	return &Table[S]{name: name, codec: codec, cells: map[string]*cell[S]{}}
}

// deadlineBytes is the length of the deadline in front of every encoded value.
const deadlineBytes = 8

// Get returns the state of key for reading, or nil. It is valid until the
// transaction ends.
func (t *Table[S]) Get(key string) *S {
	c := t.cells[key]
	if c == nil {
		return nil
	}
	if e := t.load(c); e.live {
		return &e.state
	}
	return nil
}

// Put returns the state of key for changing, a zero one where there was none
// (created is then true). key may alias a buffer; it is cloned when kept. The
// state must not be changed after Changes without another Put.
func (t *Table[S]) Put(key string) (s *S, created bool) {
	c := t.cells[key]
	if c == nil {
		c = &cell[S]{key: strings.Clone(key)}
		t.cells[c.key] = c
	}
	e := t.load(c)
	if created = !e.live; created {
		var zero S
		e.state = zero
	}
	e.live, e.changed, e.encoded = true, true, nil
	return &e.state, created
}

// Delete removes key.
func (t *Table[S]) Delete(key string) {
	if c := t.cells[key]; c != nil {
		if e := t.load(c); e.live {
			e.live, e.changed, e.encoded = false, true, nil
		}
	}
}

// Changed calls f with every live key that was Put since the transaction began,
// in the order first touched. f may Put or Delete that key, or any other.
func (t *Table[S]) Changed(f func(key string, s *S)) {
	for i := 0; i < len(t.touched); i++ {
		if c := t.touched[i]; c.entry.live && c.entry.changed {
			f(c.key, &c.entry.state)
		}
	}
}

// Due hands out every key whose deadline is at or before now, staged changes
// included, by deadline and key, and once per transaction. f may Put or Delete
// that key, or any other; a key that becomes due meanwhile waits for the next call.
func (t *Table[S]) Due(now int64, f func(key string, s *S)) {
	t.due = t.due[:0]
	for len(t.queue) > 0 && t.queue[0].at <= now {
		h := t.queue.pop()
		if h.cell.value == nil || h.cell.hint != h.at {
			continue // of a deleted key, or overtaken by an earlier hint
		}
		t.popped = append(t.popped, h)
		if h.cell.entry != nil {
			continue // judged below, by its staged deadline
		}
		if at := deadlineOf(h.cell.value); at <= now {
			t.due = append(t.due, hint[S]{at, h.cell})
		}
	}
	for _, c := range t.touched {
		if c.entry.live && !c.entry.handed {
			if at := t.codec.Deadline(&c.entry.state); at != 0 && at <= now {
				t.due = append(t.due, hint[S]{at, c})
			}
		}
	}
	slices.SortFunc(t.due, func(a, b hint[S]) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.cell.key, b.cell.key))
	})
	for _, h := range t.due {
		e := t.load(h.cell)
		if e.handed || !e.live {
			continue
		}
		if at := t.codec.Deadline(&e.state); at == 0 || at > now {
			continue // f of an earlier key changed it
		}
		e.handed = true
		f(h.cell.key, &e.state)
	}
	clear(t.due)
}

// Each calls f with every live key, in no order. f may not change the table.
func (t *Table[S]) Each(f func(key string, s *S)) error {
	var scratch S
	for key, c := range t.cells {
		if c.entry != nil {
			if c.entry.live {
				f(key, &c.entry.state)
			}
			continue
		}
		if err := t.codec.Decode(c.value[deadlineBytes:], &scratch); err != nil {
			return fmt.Errorf("table %s, key %q: %w", t.name, key, err)
		}
		f(key, &scratch)
	}
	return nil
}

// load makes the cell's entry.
func (t *Table[S]) load(c *cell[S]) *entry[S] {
	if c.entry != nil {
		return c.entry
	}
	e := t.newEntry()
	if c.value != nil {
		if err := t.codec.Decode(c.value[deadlineBytes:], &e.state); err != nil {
			// Restore checked every value that came from outside and encode wrote the others, so
			// this is a codec that cannot read what it wrote: going on would publish wrong numbers.
			panic(fmt.Sprintf("table %s, key %q: %v", t.name, c.key, err))
		}
		e.live = true
	}
	c.entry = e
	t.touched = append(t.touched, c)
	return e
}

func (t *Table[S]) newEntry() *entry[S] {
	n := len(t.free)
	if n == 0 {
		return &entry[S]{}
	}
	e := t.free[n-1]
	t.free[n-1], t.free = nil, t.free[:n-1]
	e.live, e.changed, e.handed, e.encoded = false, false, false, nil
	return e
}

// Changes implements Staged.
func (t *Table[S]) Changes(each func(key string, value []byte)) {
	for _, c := range t.touched {
		switch e := c.entry; {
		case !e.changed:
		case e.live:
			t.encode(e)
			each(c.key, e.encoded)
		case c.value != nil:
			each(c.key, nil)
		}
	}
}

func (t *Table[S]) encode(e *entry[S]) {
	if e.encoded != nil {
		return
	}
	start := len(t.arena)
	t.arena = binary.LittleEndian.AppendUint64(t.arena, uint64(t.codec.Deadline(&e.state)))
	t.arena = t.codec.Append(t.arena, &e.state)
	e.encoded = t.arena[start:len(t.arena):len(t.arena)]
}

// Commit implements Staged.
func (t *Table[S]) Commit() {
	for _, h := range t.popped {
		h.cell.hint = 0
	}
	for _, c := range t.touched {
		e := c.entry
		switch {
		case !e.changed:
		case e.live:
			t.encode(e)
			t.set(c, e.encoded)
		default:
			t.drop(c)
		}
		t.release(c)
	}
	for _, h := range t.popped {
		if h.cell.value != nil {
			t.hint(h.cell, deadlineOf(h.cell.value))
		}
	}
	t.end()
}

// Rollback implements Staged.
func (t *Table[S]) Rollback() {
	for _, c := range t.touched {
		t.release(c)
	}
	for _, h := range t.popped {
		t.queue.push(h)
	}
	t.end()
}

// release takes the entry off the cell, and the cell out of the table when the
// transaction left it without a value.
func (t *Table[S]) release(c *cell[S]) {
	if len(t.free) < maxFree {
		t.free = append(t.free, c.entry)
	}
	c.entry = nil
	if c.value == nil {
		delete(t.cells, c.key)
	}
}

// maxFree bounds the decoded states kept for reuse between transactions,
// maxArena the bytes for their encoding.
const (
	maxFree  = 1 << 13
	maxArena = 16 << 20
)

func (t *Table[S]) end() {
	clear(t.touched)
	clear(t.popped)
	t.touched, t.popped, t.arena = t.touched[:0], t.popped[:0], t.arena[:0]
	if cap(t.arena) > maxArena {
		t.arena = nil
	}
}

// Restore implements Staged.
func (t *Table[S]) Restore(key string, value []byte) error {
	c := t.cells[key]
	if value == nil {
		if c != nil {
			t.drop(c)
			delete(t.cells, key)
		}
		return nil
	}
	if len(value) < deadlineBytes {
		return fmt.Errorf("table %s, key %q: value of %d bytes is shorter than its deadline", t.name, key, len(value))
	}
	if err := t.check(value[deadlineBytes:]); err != nil {
		return fmt.Errorf("table %s, key %q: %w", t.name, key, err)
	}
	if c == nil {
		c = &cell[S]{key: strings.Clone(key)}
		t.cells[c.key] = c
	}
	t.set(c, value)
	return nil
}

// Snapshot implements Staged.
func (t *Table[S]) Snapshot(each func(key string, value []byte)) {
	for key, c := range t.cells {
		each(key, c.value)
	}
}

func (t *Table[S]) check(data []byte) error {
	e := t.newEntry()
	defer func() { t.free = append(t.free, e) }()
	if err := t.codec.Decode(data, &e.state); err != nil {
		return err
	}
	if checker, ok := t.codec.(Checker[S]); ok {
		return checker.Check(&e.state)
	}
	return nil
}

// set copies value into the cell, over the old value where that is neither too
// short nor a waste.
func (t *Table[S]) set(c *cell[S], value []byte) {
	if c.value == nil {
		t.count++
		t.bytes += int64(len(c.key))
	}
	t.bytes += int64(len(value)) - int64(len(c.value))
	if room := cap(c.value); room < len(value) || room > 2*len(value) {
		c.value = nil
	}
	c.value = append(c.value[:0], value...)
	t.hint(c, deadlineOf(value))
}

// hint makes sure that the queue holds a hint for the cell at or before at.
func (t *Table[S]) hint(c *cell[S], at int64) {
	if at != 0 && (c.hint == 0 || at < c.hint) {
		c.hint = at
		t.queue.push(hint[S]{at, c})
	}
}

func deadlineOf(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value)) }

func (t *Table[S]) drop(c *cell[S]) {
	if c.value != nil {
		t.count--
		t.bytes -= int64(len(c.key) + len(c.value))
		c.value, c.hint = nil, 0
	}
}

// Len implements Staged.
func (t *Table[S]) Len() int { return t.count }

// Bytes implements Staged.
func (t *Table[S]) Bytes() int64 { return t.bytes }

// hints is a binary heap by time.
type hints[S any] []hint[S]

type hint[S any] struct {
	at   int64
	cell *cell[S]
}

func (q *hints[S]) push(h hint[S]) {
	s := append(*q, h)
	*q = s
	i := len(s) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if s[parent].at <= h.at {
			break
		}
		s[i], i = s[parent], parent
	}
	s[i] = h
}

func (q *hints[S]) pop() hint[S] {
	s := *q
	first, last := s[0], s[len(s)-1]
	s[len(s)-1] = hint[S]{}
	s = s[:len(s)-1]
	*q = s
	for i := 0; len(s) > 0; {
		child := 2*i + 1
		if child+1 < len(s) && s[child+1].at < s[child].at {
			child++
		}
		if child >= len(s) || last.at <= s[child].at {
			s[i] = last
			break
		}
		s[i], i = s[child], child
	}
	return first
}
