package attribution

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// drop is what the second stage keeps of a drop besides the partials.
type drop struct {
	creator          string
	from, to, budget int64
	// published is the event time of the last publication, −1 before the first, publishedAt the clock's; revision counts publications.
	published, publishedAt int64
	revision               uint64
	// dirty says that something came since. open and pending count partials that are not closed and not final.
	dirty         bool
	open, pending int64
	// closed and final say that it was published as such.
	closed, final bool
}

type dropCodec struct{ names *wire.Names }

const dropVersion = 1

func (c dropCodec) Append(dst []byte, d *drop) []byte {
	dst = wire.AppendString(append(dst, dropVersion), d.creator)
	for _, n := range []int64{d.from, d.to, d.budget, d.published, d.publishedAt, d.open, d.pending} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, d.revision)
	return wire.AppendBool(wire.AppendBool(wire.AppendBool(dst, d.dirty), d.closed), d.final)
}

func (c dropCodec) Decode(data []byte, d *drop) error {
	r, _ := wire.NewReader(data, dropVersion)
	*d = drop{creator: c.names.Bytes(r.Bytes())}
	for _, n := range []*int64{&d.from, &d.to, &d.budget, &d.published, &d.publishedAt, &d.open, &d.pending} {
		*n = r.Signed()
	}
	d.revision = r.Unsigned()
	d.dirty, d.closed, d.final = r.Bool(), r.Bool(), r.Bool()
	return r.Done()
}

func (dropCodec) Deadline(*drop) int64 { return 0 }

// part is the newest partial of one stratum of one partition.
type part struct {
	revision              uint64
	pop, device, language string
	ageFrom               int64
	closed, final         bool
	rate                  float64

	viewers, conversions     [event.NumLatencyBuckets]uint32
	us                       [event.NumLatencyBuckets]int64
	unmeasured, unmeasuredBy uint32
	money                    []event.LatencyMoney
}

type partCodec struct{ names *wire.Names }

const partVersion = 1

func (c partCodec) Append(dst []byte, p *part) []byte {
	dst = binary.AppendUvarint(append(dst, partVersion), p.revision)
	dst = wire.AppendString(wire.AppendString(wire.AppendString(dst, p.pop), p.device), p.language)
	dst = binary.AppendVarint(dst, p.ageFrom)
	dst = wire.AppendBool(wire.AppendBool(dst, p.closed), p.final)
	dst = wire.AppendFloat(dst, p.rate)
	return appendCounts(dst, &counts{&p.viewers, &p.conversions, &p.us, &p.unmeasured, &p.unmeasuredBy, &p.money})
}

func (c partCodec) Decode(data []byte, p *part) error {
	r, _ := wire.NewReader(data, partVersion)
	*p = part{revision: r.Unsigned(), pop: c.names.Bytes(r.Bytes()), device: c.names.Bytes(r.Bytes()), language: c.names.Bytes(r.Bytes()),
		ageFrom: r.Signed(), closed: r.Bool(), final: r.Bool(), rate: r.Float(), money: p.money[:0]}
	readCounts(&r, &counts{&p.viewers, &p.conversions, &p.us, &p.unmeasured, &p.unmeasuredBy, &p.money}, c.names)
	return r.Done()
}

func (partCodec) Deadline(*part) int64 { return 0 }

// merged is a sketch of landing latency: a POP's final panes, or one open pane of one partition.
type merged struct {
	pop      string
	accuracy float64
	revision uint64
	rate     float64
	samples  uint64
	zero     uint64
	bins     bins
}

type mergedCodec struct{}

const mergedVersion = 1

func (mergedCodec) Append(dst []byte, m *merged) []byte {
	dst = wire.AppendString(append(dst, mergedVersion), m.pop)
	dst = wire.AppendFloat(dst, m.accuracy)
	dst = binary.AppendUvarint(dst, m.revision)
	dst = wire.AppendFloat(dst, m.rate)
	dst = binary.AppendUvarint(dst, m.samples)
	dst = binary.AppendUvarint(dst, m.zero)
	return appendBins(dst, m.bins)
}

func (mergedCodec) Decode(data []byte, m *merged) error {
	r, _ := wire.NewReader(data, mergedVersion)
	*m = merged{pop: string(r.Bytes()), accuracy: r.Float(), revision: r.Unsigned(), rate: r.Float(), samples: r.Unsigned(), zero: r.Unsigned(), bins: m.bins[:0]}
	m.bins = readBins(&r, m.bins)
	return r.Done()
}

func (mergedCodec) Deadline(*merged) int64 { return 0 }

// keysOf lists a table's keys that begin with prefix, sorted: everything of one drop.
func keysOf[S any](t *processors.Table[S], prefix string) (keys []string) {
	_ = t.Each(func(key string, _ *S) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	})
	slices.Sort(keys)
	return keys
}
