package experiments

import (
	"encoding/binary"

	"github.com/droplift/droplift/processors/wire"
)

// arm is what one partition counted of one (drop, experiment, language, variant).
type arm struct {
	counts
	revision uint64
	// end is the drop's end as last seen in the catalogue.
	end int64
	// stage says how final the published numbers are.
	stage stage
	// design is the fingerprint at the first exposure; changed says that a later one met another.
	design  uint64
	changed bool
	// sampleRate is the lowest of the exposures.
	sampleRate float64
}

// stage of an arm: each lasts until its deadline is past.
type stage uint8

const (
	stageOpen    stage = iota // conversions may change
	stageRefunds              // only refunds may
	stageClosed               // nothing may: deleted
)

// armCodec writes: version, the counts, revision, end, stage, design, changed, sample rate.
type armCodec struct{ refundMS int64 }

const armVersion = 1

func (armCodec) Append(dst []byte, a *arm) []byte {
	dst = append(dst, armVersion)
	a.counts.each(func(n *uint32) { dst = binary.AppendUvarint(dst, uint64(*n)) })
	dst = binary.AppendUvarint(dst, a.revision)
	dst = binary.AppendUvarint(dst, uint64(a.end))
	dst = append(dst, byte(a.stage))
	dst = binary.BigEndian.AppendUint64(dst, a.design)
	dst = wire.AppendBool(dst, a.changed)
	return wire.AppendFloat(dst, a.sampleRate)
}

func (armCodec) Decode(data []byte, a *arm) error {
	r, _ := wire.NewReader(data, armVersion)
	*a = arm{}
	a.counts.each(func(n *uint32) { *n = r.Uint32() })
	a.revision, a.end, a.stage = r.Unsigned(), r.Natural(), stage(r.Byte())
	if a.stage >= stageClosed {
		r.Fail()
	}
	a.design, a.changed, a.sampleRate = readDesign(&r), r.Bool(), r.Float()
	return r.Done()
}

func (c armCodec) Deadline(a *arm) int64 { return c.deadline(a) }

// deadline is the last millisecond that can change a in its stage.
func (c armCodec) deadline(a *arm) int64 {
	if a.stage == stageOpen {
		return a.end - 1
	}
	return lastRefund(a.end, c.refundMS)
}

func readDesign(r *wire.Reader) uint64 {
	if b := r.Take(8); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
