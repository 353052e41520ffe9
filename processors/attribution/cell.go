package attribution

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// cell is what one partition counted in one stratum of a drop.
type cell struct {
	creator    string
	start, end int64
	ageTo      int64
	revision   uint64
	closed     bool
	rate       float64

	viewers, conversions     [event.NumLatencyBuckets]uint32
	us                       [event.NumLatencyBuckets]int64
	unmeasured, unmeasuredBy uint32 // viewers, and those who converted
	money                    []event.LatencyMoney
}

// count adds m to the cell (by 1) or takes it back (by −1) and says whether that was possible.
func (c *cell) count(m *mark, by int64, names *wire.Names) bool {
	viewers, conversions := &c.unmeasured, &c.unmeasuredBy
	if m.measured {
		viewers, conversions = &c.viewers[m.bucket], &c.conversions[m.bucket]
	}
	if by < 0 && (*viewers == 0 || m.converted && *conversions == 0) {
		return false
	}
	*viewers += uint32(by)
	if m.converted {
		*conversions += uint32(by)
	}
	if !m.measured {
		return true
	}
	c.us[m.bucket] += by * m.us
	c.rate = min(c.rate, m.rate)
	ok := true
	for _, a := range m.money {
		ok = add(&c.moneyIn(a.currency, names).Net[m.bucket], by*a.net) && ok
	}
	return ok
}

func (c *cell) moneyIn(currency string, names *wire.Names) *event.LatencyMoney {
	i, found := slices.BinarySearchFunc(c.money, currency, func(m event.LatencyMoney, s string) int { return cmp.Compare(m.Currency, s) })
	if !found {
		c.money = slices.Insert(c.money, i, event.LatencyMoney{Currency: names.Text(currency)})
	}
	return &c.money[i]
}

// cellCodec writes: version, creator, the drop's times, the bin's end, revision, closed, rate, then the counts.
type cellCodec struct {
	refundMS int64
	names    *wire.Names
}

const cellVersion = 1

func (k cellCodec) Append(dst []byte, c *cell) []byte {
	dst = wire.AppendString(append(dst, cellVersion), c.creator)
	dst = binary.AppendUvarint(dst, uint64(c.start))
	dst = binary.AppendUvarint(dst, uint64(c.end))
	dst = binary.AppendVarint(dst, c.ageTo)
	dst = binary.AppendUvarint(dst, c.revision)
	dst = wire.AppendBool(dst, c.closed)
	dst = wire.AppendFloat(dst, c.rate)
	return appendCounts(dst, &counts{&c.viewers, &c.conversions, &c.us, &c.unmeasured, &c.unmeasuredBy, &c.money})
}

func (k cellCodec) Decode(data []byte, c *cell) error {
	r, _ := wire.NewReader(data, cellVersion)
	*c = cell{creator: k.names.Bytes(r.Bytes()), start: r.Natural(), end: r.Natural(), ageTo: r.Signed(), revision: r.Unsigned(), closed: r.Bool(), rate: r.Float(), money: c.money[:0]}
	readCounts(&r, &counts{&c.viewers, &c.conversions, &c.us, &c.unmeasured, &c.unmeasuredBy, &c.money}, k.names)
	return r.Done()
}

// Deadline is when the cell closes, and then when it is final.
func (k cellCodec) Deadline(c *cell) int64 {
	if c.closed {
		return c.end - 1 + k.refundMS
	}
	return c.end - 1
}

// counts are the numbers of a stratum, which both stages keep.
type counts struct {
	viewers, conversions     *[event.NumLatencyBuckets]uint32
	us                       *[event.NumLatencyBuckets]int64
	unmeasured, unmeasuredBy *uint32
	money                    *[]event.LatencyMoney
}

// appendCounts writes a bit mask of the buckets in use, their numbers, and the money in the same buckets.
func appendCounts(dst []byte, c *counts) []byte {
	mask := uint64(0)
	for k := range event.NumLatencyBuckets {
		used := c.viewers[k] != 0 || c.conversions[k] != 0 || c.us[k] != 0
		for _, m := range *c.money {
			used = used || m.Net[k] != 0
		}
		if used {
			mask |= 1 << k
		}
	}
	dst = binary.AppendUvarint(dst, mask)
	for k := range event.NumLatencyBuckets {
		if mask>>k&1 != 0 {
			dst = binary.AppendUvarint(dst, uint64(c.viewers[k]))
			dst = binary.AppendUvarint(dst, uint64(c.conversions[k]))
			dst = binary.AppendUvarint(dst, uint64(c.us[k]))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(*c.unmeasured))
	dst = binary.AppendUvarint(dst, uint64(*c.unmeasuredBy))
	dst = binary.AppendUvarint(dst, uint64(len(*c.money)))
	for i := range *c.money {
		m := &(*c.money)[i]
		dst = wire.AppendString(dst, m.Currency)
		for k := range event.NumLatencyBuckets {
			if mask>>k&1 != 0 {
				dst = binary.AppendVarint(dst, m.Net[k])
			}
		}
	}
	return dst
}

// readCounts reads into zero counts.
func readCounts(r *wire.Reader, c *counts, names *wire.Names) {
	mask := r.Unsigned()
	if mask>>event.NumLatencyBuckets != 0 {
		r.Fail()
	}
	for k := range event.NumLatencyBuckets {
		if mask>>k&1 != 0 {
			c.viewers[k], c.conversions[k], c.us[k] = r.Uint32(), r.Uint32(), r.Natural()
		}
	}
	*c.unmeasured, *c.unmeasuredBy = r.Uint32(), r.Uint32()
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		m := event.LatencyMoney{Currency: names.Bytes(r.Bytes())}
		for k := range event.NumLatencyBuckets {
			if mask>>k&1 != 0 {
				m.Net[k] = r.Signed()
			}
		}
		*c.money = append(*c.money, m)
	}
}
