package inventory

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/droplift/droplift/processors/wire"
)

// numbers are the pieces of a partial, or differences of them.
type numbers struct{ sold, returned, expired, reserved, released int64 }

func (n *numbers) add(m numbers, times int64) {
	n.sold += times * m.sold
	n.returned += times * m.returned
	n.expired += times * m.expired
	n.reserved += times * m.reserved
	n.released += times * m.released
}

// part is the newest provisional revision of one partial; a final one is kept no longer, for nothing replaces it.
type part struct {
	revision uint64
	numbers
}

// flow is what one item's pane adds up to over all partitions, as far as its time matters.
type flow struct {
	start                   int64
	sold, returned, expired int64
}

func (n *numbers) flow() flow { return flow{sold: n.sold, returned: n.returned, expired: n.expired} }

// stretchMS is how much time one stretch of an item's totals covers: an hour of panes would be long to walk, a
// pane each long to keep.
const stretchMS = 10 * minuteMS

// stretch is [start, start + stretchMS) of an item's flow.
type stretch struct {
	start, sold, returned, expired int64
}

// status is what was decided of an item last.
type status uint8

const (
	statusNone status = iota
	statusAvailable
	statusLow
	statusSoldOut
	statusOversold
	statusUnknownSKU
	numStatuses
)

var statuses = [numStatuses]string{"", "available", "low", "sold_out", "oversold", "unknown_sku"}

// item is what one item of a drop adds up to.
type item struct {
	revision  uint64
	status    status
	decided   int64
	inventory uint64
	// shown is how it stood when published last; changed says that its totals have moved since.
	shown     shown
	changed   bool
	total     numbers
	stretches []stretch // by start
	newest    int64
}

// shown is what moves as time passes, without any news of the item.
type shown struct {
	reserved uint64
	// final is the drop's maturity, soldOutFinal that of the sold-out time.
	final, soldOutFinal bool
}

func (t *item) add(pane int64, delta numbers) {
	t.changed = true
	t.newest = max(t.newest, pane)
	t.total.add(delta, 1)
	f := delta.flow()
	if f == (flow{}) {
		return
	}
	start := pane - pane%stretchMS
	i, known := slices.BinarySearchFunc(t.stretches, start, func(s stretch, at int64) int { return cmp.Compare(s.start, at) })
	if !known {
		t.stretches = slices.Insert(t.stretches, i, stretch{start: start})
	}
	s := &t.stretches[i]
	s.sold, s.returned, s.expired = s.sold+f.sold, s.returned+f.returned, s.expired+f.expired
}

// run is one drop's limited run.
type run struct {
	skus []string // sorted
	// published is the watermark of the last publication, −1 before; dirty says that something came since.
	published int64
	dirty     bool
	// next is when, in event time, something changes without news: a reservation runs out, a number becomes final. 0 for never.
	next   int64
	newest int64 // pane
}

// wake makes sure that the drop is looked at again at at; 0 is never.
func (d *run) wake(at int64) {
	if at != 0 && (d.next == 0 || at < d.next) {
		d.next = at
	}
}

// The state encodings: a version byte, then varints.
const (
	partVersion = 1
	flowVersion = 1
	itemVersion = 1
	runVersion  = 1
)

func appendNumbers(dst []byte, n *numbers) []byte {
	for _, x := range [...]int64{n.sold, n.returned, n.expired, n.reserved, n.released} {
		dst = binary.AppendVarint(dst, x)
	}
	return dst
}

func readNumbers(r *wire.Reader) numbers {
	return numbers{r.Signed(), r.Signed(), r.Signed(), r.Signed(), r.Signed()}
}

type partCodec struct{}

func (partCodec) Append(dst []byte, p *part) []byte {
	return appendNumbers(binary.AppendUvarint(append(dst, partVersion), p.revision), &p.numbers)
}

func (partCodec) Decode(data []byte, p *part) error {
	r, _ := wire.NewReader(data, partVersion)
	*p = part{revision: r.Unsigned(), numbers: readNumbers(&r)}
	return r.Done()
}

func (partCodec) Deadline(*part) int64 { return 0 }

type flowCodec struct{ keepMS int64 }

func (flowCodec) Append(dst []byte, f *flow) []byte {
	dst = append(dst, flowVersion)
	for _, x := range [...]int64{f.start, f.sold, f.returned, f.expired} {
		dst = binary.AppendVarint(dst, x)
	}
	return dst
}

func (flowCodec) Decode(data []byte, f *flow) error {
	r, _ := wire.NewReader(data, flowVersion)
	*f = flow{r.Signed(), r.Signed(), r.Signed(), r.Signed()}
	return r.Done()
}

func (c flowCodec) Deadline(f *flow) int64 { return f.start + c.keepMS }

type itemCodec struct{ keepMS int64 }

func (itemCodec) Append(dst []byte, t *item) []byte {
	dst = binary.AppendUvarint(append(dst, itemVersion), t.revision)
	dst = append(dst, byte(t.status))
	dst = binary.AppendVarint(dst, t.decided)
	dst = binary.AppendUvarint(dst, t.inventory)
	dst = binary.AppendUvarint(dst, t.shown.reserved)
	dst = append(dst, bits(t.shown.final, t.shown.soldOutFinal, t.changed))
	dst = appendNumbers(dst, &t.total)
	dst = binary.AppendVarint(dst, t.newest)
	dst = binary.AppendUvarint(dst, uint64(len(t.stretches)))
	last := int64(0)
	for _, s := range t.stretches {
		for _, x := range [...]int64{(s.start - last) / stretchMS, s.sold, s.returned, s.expired} {
			dst = binary.AppendVarint(dst, x)
		}
		last = s.start
	}
	return dst
}

func (itemCodec) Decode(data []byte, t *item) error {
	r, _ := wire.NewReader(data, itemVersion)
	stretches := t.stretches[:0]
	*t = item{revision: r.Unsigned(), status: status(r.Byte()), decided: r.Signed(), inventory: r.Unsigned()}
	t.shown.reserved = r.Unsigned()
	flags := r.Byte()
	t.shown.final, t.shown.soldOutFinal, t.changed = flags&1 != 0, flags&2 != 0, flags&4 != 0
	t.total, t.newest, t.stretches = readNumbers(&r), r.Signed(), stretches
	if t.status >= numStatuses || flags > 7 {
		r.Fail()
	}
	last := int64(0)
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		s := stretch{last + r.Signed()*stretchMS, r.Signed(), r.Signed(), r.Signed()}
		t.stretches = append(t.stretches, s)
		last = s.start
	}
	return r.Done()
}

func (c itemCodec) Deadline(t *item) int64 { return t.newest + c.keepMS }

func bits(flags ...bool) (b byte) {
	for i, set := range flags {
		if set {
			b |= 1 << i
		}
	}
	return b
}

type runCodec struct {
	keepMS int64
	names  *wire.Names
}

func (runCodec) Append(dst []byte, d *run) []byte {
	dst = binary.AppendVarint(append(dst, runVersion), d.published)
	dst = binary.AppendVarint(append(dst, bits(d.dirty)), d.newest)
	dst = binary.AppendVarint(dst, d.next)
	dst = binary.AppendUvarint(dst, uint64(len(d.skus)))
	for _, sku := range d.skus {
		dst = wire.AppendString(dst, sku)
	}
	return dst
}

func (c runCodec) Decode(data []byte, d *run) error {
	r, _ := wire.NewReader(data, runVersion)
	*d = run{published: r.Signed(), dirty: r.Byte() != 0, newest: r.Signed(), next: r.Signed(), skus: d.skus[:0]}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		d.skus = append(d.skus, c.names.Bytes(r.Bytes()))
	}
	return r.Done()
}

// dirtyNow is the deadline of a drop that waits to be published: always due.
const dirtyNow = 1

func (c runCodec) Deadline(d *run) int64 {
	switch {
	case d.dirty:
		return dirtyNow
	case d.next != 0:
		return d.next
	}
	return d.newest + c.keepMS
}
