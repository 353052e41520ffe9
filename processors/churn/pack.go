package churn

import (
	"encoding/binary"
	"errors"
	"slices"
)

// A packed level is empty, or: the index of the newest tile, the distance from
// the oldest to it, then the tiles, newest first. A tile is its distance from the
// one before, a mask of the fields that are not zero, and these fields in the
// order of their mask bits, the common ones first.
const (
	maskActive = 1 << iota
	maskPlay
	maskLatency
	maskSessions
	maskLandings
	maskImpressions
	maskClicks
	maskCheckouts
	maskNet // of the first currency; the others follow
)

// append packs the level, behind its length.
func (l *level) append(dst []byte) []byte {
	if !l.packed {
		l.pack = l.pack[:0]
		if n := len(l.list); n > 0 {
			newest := l.list[n-1].index
			l.pack = binary.AppendVarint(l.pack, int64(newest))
			l.pack = appendUvarint(l.pack, uint64(newest-l.list[0].index))
			for i := n - 1; i >= 0; i-- {
				l.pack = appendUvarint(l.pack, uint64(newest-l.list[i].index))
				l.pack = l.list[i].append(l.pack)
				newest = l.list[i].index
			}
		}
	}
	dst = appendUvarint(dst, uint64(len(l.pack)))
	return append(dst, l.pack...)
}

func (t *tile) append(dst []byte) []byte {
	mask := uint64(0)
	if t.active {
		mask |= maskActive
	}
	if t.playMS != 0 {
		mask |= maskPlay
	}
	if t.requests != 0 {
		mask |= maskLatency
	}
	counts := [...]uint32{t.sessions, t.landings, t.impressions, t.clicks, t.checkouts}
	for bit, v := range counts {
		if v != 0 {
			mask |= maskSessions << bit
		}
	}
	for slot, v := range t.net {
		if v != 0 {
			mask |= maskNet << slot
		}
	}
	dst = appendUvarint(dst, mask)
	if t.playMS != 0 {
		dst = appendUvarint(dst, uint64(t.playMS))
	}
	if t.requests != 0 {
		dst = appendUvarint(dst, uint64(t.requests))
		dst = appendUvarint(dst, uint64(t.latencyMax))
		dst = appendUvarint(dst, t.latencySum)
	}
	if mask < maskSessions {
		return dst
	}
	for _, v := range counts {
		if v != 0 {
			dst = appendUvarint(dst, uint64(v))
		}
	}
	for _, v := range t.net {
		if v != 0 {
			dst = appendUvarint(dst, zigzag(v))
		}
	}
	return dst
}

// tile reads one, but for its index. t must be zero.
func (r *reader) tile(t *tile) {
	mask := r.uvarint()
	t.active = mask&maskActive != 0
	if mask&maskPlay != 0 {
		t.playMS = uint32(r.uvarint())
	}
	if mask&maskLatency != 0 {
		t.requests = uint32(r.uvarint())
		t.latencyMax = uint32(r.uvarint())
		t.latencySum = r.uvarint()
	}
	if mask < maskSessions {
		return
	}
	for bit, field := range [...]*uint32{&t.sessions, &t.landings, &t.impressions, &t.clicks, &t.checkouts} {
		if mask&(maskSessions<<bit) != 0 {
			*field = uint32(r.uvarint())
		}
	}
	for slot := 0; mask>>slot >= maskNet && slot < len(t.net); slot++ {
		if mask&(maskNet<<slot) != 0 {
			t.net[slot] = r.varint()
		}
	}
}

// first is the index of the oldest tile, or one past every index when there is none.
func (l *level) first() int64 {
	if !l.packed {
		if len(l.list) == 0 {
			return 1 << 62
		}
		return int64(l.list[0].index)
	}
	if len(l.pack) == 0 {
		return 1 << 62
	}
	r := reader{data: l.pack}
	return r.varint() - int64(r.uvarint())
}

// cursor goes through a level, newest tile first, packed or not.
type cursor struct {
	list  []tile
	r     reader
	index int64
	t     tile
}

func (l *level) cursor() (c cursor) {
	switch {
	case !l.packed:
		c.list = l.list
	case len(l.pack) > 0:
		c.r.data = l.pack
		c.index = c.r.varint()
		c.r.uvarint()
	}
	return c
}

// next is the next tile, or nil. It is valid until the next call.
func (c *cursor) next() *tile {
	if n := len(c.list); n > 0 {
		t := &c.list[n-1]
		c.list = c.list[:n-1]
		return t
	}
	if len(c.r.data) == 0 {
		return nil
	}
	c.index -= int64(c.r.uvarint())
	c.t = tile{index: int32(c.index)}
	c.r.tile(&c.t)
	return &c.t
}

// unpack makes the list.
func (l *level) unpack() {
	if !l.packed {
		return
	}
	l.list = l.list[:0]
	c := l.cursor()
	for t := c.next(); t != nil; t = c.next() {
		l.list = append(l.list, *t)
	}
	slices.Reverse(l.list)
	l.packed = false
}

// check says whether the packed level can be read.
func (l *level) check() error {
	if len(l.pack) == 0 {
		return nil
	}
	r := reader{data: l.pack}
	newest := r.varint()
	oldest := newest - int64(r.uvarint())
	index, first := newest, true
	for len(r.data) > 0 {
		d := r.uvarint()
		if first != (d == 0) || int64(d) < 0 {
			return errors.New("churn: tiles out of order")
		}
		first = false
		index -= int64(d)
		if int64(int32(index)) != index {
			return errors.New("churn: tile out of range")
		}
		var t tile
		r.tile(&t)
	}
	if r.short || index != oldest || first {
		return errors.New("churn: tiles cut short")
	}
	return nil
}
