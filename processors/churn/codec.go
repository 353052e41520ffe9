package churn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/droplift/droplift/processors"
)

// The versions that start encoded states. Players of version 1 do not know what they have told.
const (
	playerVersion = 2
	stateVersion  = 1 // of the others
)

// Times are written as distances from asOf or from their neighbours, tiles with
// a mask of the fields that are not zero: a typical player takes a few hundred bytes.
type playerCodec struct{ expireAfter int64 }

const (
	flagFinal = 1 << iota
	flagCut
	flagActivity
	flagGaps
	flagChanged
)

// Deadline implements processors.Codec: when the features become final, then
// when the player is forgotten.
func (c playerCodec) Deadline(p *player) int64 {
	if p.final {
		return p.asOf + c.expireAfter
	}
	return p.asOf - 1
}

// Append implements processors.Codec.
func (playerCodec) Append(dst []byte, p *player) []byte {
	var flags byte
	if p.final {
		flags |= flagFinal
	}
	if p.marks.cut {
		flags |= flagCut
	}
	if p.first != 0 {
		flags |= flagActivity
	}
	if p.sessions.closed >= 2 {
		flags |= flagGaps
	}
	if p.changed {
		flags |= flagChanged
	}
	dst = append(dst, playerVersion, flags)
	dst = binary.AppendUvarint(dst, p.revision)
	dst = binary.AppendVarint(dst, p.asOf)
	dst = binary.AppendVarint(dst, p.published-p.asOf)
	if p.changed {
		dst = binary.AppendVarint(dst, p.asOf-p.told)
	}
	if p.first != 0 {
		dst = binary.AppendVarint(dst, p.asOf-p.first)
		dst = binary.AppendVarint(dst, p.asOf-p.last)
	}

	for l := range p.tiles.level {
		dst = p.tiles.level[l].append(dst)
	}

	s := &p.sessions
	dst = binary.AppendUvarint(dst, uint64(s.closed))
	if s.closed > 0 {
		dst = binary.AppendVarint(dst, p.asOf-s.lastEnd)
	}
	if flags&flagGaps != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.gaps.mean))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.gaps.variance))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.open)))
	before := p.asOf
	for i := len(s.open) - 1; i >= 0; i-- {
		dst = binary.AppendVarint(dst, before-s.open[i].end)
		dst = binary.AppendVarint(dst, s.open[i].end-s.open[i].start)
		before = s.open[i].start
	}

	dst = binary.AppendUvarint(dst, uint64(len(p.marks.list)))
	at, every := p.asOf, int32(0)
	for i := len(p.marks.list) - 1; i >= 0; i-- {
		// Backwards, each as the difference from the expected interval, with the kind and whether the
		// interval changed in the low bits: two bytes for a regular heartbeat.
		m := p.marks.list[i]
		head := int64(m.kind) << 1
		if m.heartbeat != every {
			head |= 1
		}
		dst = binary.AppendUvarint(dst, zigzag(at-m.at-int64(every))<<3|uint64(head))
		if m.heartbeat != every {
			dst = binary.AppendVarint(dst, int64(m.heartbeat))
		}
		at, every = m.at, m.heartbeat
	}

	dst = binary.AppendUvarint(dst, uint64(len(p.currencies)))
	for _, c := range p.currencies {
		dst = append(dst, c.code[:]...)
		dst = binary.AppendUvarint(dst, uint64(c.completed))
		dst = binary.AppendVarint(dst, p.asOf-c.first)
	}
	dst = binary.AppendUvarint(dst, uint64(p.foreign))
	newest := int64(floorDiv(p.asOf, levels[fine].width))
	for _, list := range [...]sightings{p.creators, p.drops} {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, x := range list {
			dst = binary.LittleEndian.AppendUint64(dst, x.hash)
			dst = binary.AppendVarint(dst, newest-int64(x.tile))
		}
	}
	return dst
}

func appendUvarint(dst []byte, v uint64) []byte {
	if v < 0x80 {
		return append(dst, byte(v))
	}
	return binary.AppendUvarint(dst, v)
}

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

// reader reads what Append wrote; after the first short read all further ones give 0.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) uvarint() uint64 {
	if len(r.data) > 0 && r.data[0] < 0x80 {
		v := r.data[0]
		r.data = r.data[1:]
		return uint64(v)
	}
	return r.long()
}

// long reads a number of several bytes.
func (r *reader) long() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.short, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) varint() int64 { return unzigzag(r.uvarint()) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func (r *reader) take(n int) []byte {
	if len(r.data) < n {
		r.short, r.data = true, nil
		return make([]byte, n)
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// count is a list's length; every element takes at least one byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.short, r.data = true, nil
		return 0
	}
	return int(n)
}

// resize keeps the list's memory and makes it n long.
func resize[T any](list []T, n int) []T {
	if cap(list) < n {
		return make([]T, n)
	}
	return list[:n]
}

// Decode implements processors.Codec.
func (playerCodec) Decode(data []byte, p *player) error {
	version, data, err := processors.Version(data, playerVersion)
	if err != nil {
		return fmt.Errorf("churn: %w", err)
	}
	if len(data) == 0 {
		return errors.New("churn: state cut short")
	}
	flags := data[0]
	r := reader{data: data[1:]}
	p.final, p.marks.cut = flags&flagFinal != 0, flags&flagCut != 0
	p.revision = r.uvarint()
	p.asOf = r.varint()
	p.published = p.asOf + r.varint()
	p.told, p.changed, p.held = p.asOf, flags&flagChanged != 0, nil
	switch {
	case version == 1:
		p.changed = !p.final // better a revision twice than none
	case p.changed:
		p.told = p.asOf - r.varint()
	}
	p.first, p.last = 0, 0
	if flags&flagActivity != 0 {
		p.first = p.asOf - r.varint()
		p.last = p.asOf - r.varint()
	}

	p.tiles.reach(p.asOf)
	for l := range p.tiles.level {
		level := &p.tiles.level[l]
		level.packed, level.list = true, level.list[:0]
		level.pack = append(level.pack[:0], r.take(r.count())...)
	}

	s := &p.sessions
	s.closed, s.lastEnd, s.gaps = uint32(r.uvarint()), 0, gaps{}
	if s.closed > 0 {
		s.lastEnd = p.asOf - r.varint()
	}
	if flags&flagGaps != 0 {
		s.gaps.mean = math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
		s.gaps.variance = math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
	}
	s.open = resize(s.open, r.count())
	before := p.asOf
	for i := len(s.open) - 1; i >= 0; i-- {
		s.open[i].end = before - r.varint()
		s.open[i].start = s.open[i].end - r.varint()
		before = s.open[i].start
	}

	p.marks.list = resize(p.marks.list, r.count())
	at, every := p.asOf, int32(0)
	for i := len(p.marks.list) - 1; i >= 0; i-- {
		v := r.uvarint()
		m := &p.marks.list[i]
		m.kind = markKind(v >> 1 & 3)
		m.at = at - int64(every) - unzigzag(v>>3)
		if v&1 != 0 {
			every = int32(r.varint())
		}
		m.heartbeat = every
		at = m.at
	}

	p.currencies = resize(p.currencies, r.count())
	for i := range p.currencies {
		c := &p.currencies[i]
		copy(c.code[:], r.take(3))
		c.completed = uint32(r.uvarint())
		c.first = p.asOf - r.varint()
	}
	p.foreign = uint32(r.uvarint())
	newest := floorDiv(p.asOf, levels[fine].width)
	for _, list := range [...]*sightings{&p.creators, &p.drops} {
		*list = resize(*list, r.count())
		for i := range *list {
			(*list)[i].hash = binary.LittleEndian.Uint64(r.take(8))
			(*list)[i].tile = int32(newest - r.varint())
		}
	}
	if r.short || len(r.data) > 0 {
		return errors.New("churn: state of another length than it says")
	}
	if len(p.currencies) > maxCurrencies {
		return fmt.Errorf("churn: state with %d currencies", len(p.currencies))
	}
	return nil
}

// Check implements processors.Checker: Decode leaves the tiles packed.
func (playerCodec) Check(p *player) error {
	for l := range p.tiles.level {
		if err := p.tiles.level[l].check(); err != nil {
			return err
		}
	}
	return nil
}

// pendingCodec: the deadline in front of every value says it all, but Decode is
// not given it.
type pendingCodec struct{}

func (pendingCodec) Deadline(p *pending) int64 { return p.due }

func (pendingCodec) Append(dst []byte, p *pending) []byte {
	return binary.AppendVarint(append(dst, stateVersion), p.due)
}

func (pendingCodec) Decode(data []byte, p *pending) (err error) {
	v, err := single(data)
	p.due = unzigzag(v)
	return err
}

type floorCodec struct{}

func (floorCodec) Deadline(*floor) int64 { return 0 }

func (floorCodec) Append(dst []byte, f *floor) []byte {
	return binary.AppendUvarint(append(dst, stateVersion), f.revision)
}

func (floorCodec) Decode(data []byte, f *floor) (err error) {
	f.revision, err = single(data)
	return err
}

// single reads a state of one number.
func single(data []byte) (uint64, error) {
	_, data, err := processors.Version(data, stateVersion)
	if err != nil {
		return 0, fmt.Errorf("churn: %w", err)
	}
	v, n := binary.Uvarint(data)
	if n <= 0 || n != len(data) {
		return 0, errors.New("churn: state of another length than it says")
	}
	return v, nil
}
