package learning

import (
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// snapshot is a score as it was answered. It is written once and read once: what changes while a label is awaited is in player.
type snapshot struct {
	version, drop, hash string
	vector              []float64 // as on the stream
	p                   float64
	shadow              string
	shadowP             float64
	offer               string
	discount            uint32
	propensity          float64
	holdout, eligible   bool
}

// set copies a score; its strings alias the record.
func (s *snapshot) set(ev *event.Event, names *wire.Names) {
	x := &ev.Score
	*s = snapshot{
		version: names.Text(x.ModelVersion), drop: names.Text(ev.DropID), hash: names.Text(x.FeatureHash),
		vector: append(s.vector[:0], x.Vector...), p: x.P, shadow: names.Text(x.ShadowVersion), shadowP: x.ShadowP,
		offer: names.Text(x.Offer), discount: x.Discount, propensity: x.Propensity, holdout: x.Holdout, eligible: x.Eligible,
	}
}

const snapshotVersion = 1

const (
	flagHoldout = 1 << iota
	flagEligible
	flagHexHash
)

type snapshotCodec struct{ names *wire.Names }

func (snapshotCodec) Append(dst []byte, s *snapshot) []byte {
	flags := byte(0)
	if s.holdout {
		flags |= flagHoldout
	}
	if s.eligible {
		flags |= flagEligible
	}
	// The hash is hexadecimal as a rule, half of which is waste.
	var raw [64]byte
	hash := []byte(s.hash)
	if n, err := hex.Decode(raw[:], hash[:min(len(hash), 2*len(raw))]); err == nil && hex.EncodeToString(raw[:n]) == s.hash {
		flags, hash = flags|flagHexHash, raw[:n]
	}
	dst = append(dst, snapshotVersion, flags)
	dst = wire.AppendString(dst, wire.Alias(hash))
	dst = wire.AppendString(wire.AppendString(dst, s.version), s.drop)
	dst = wire.AppendFloat(dst, s.p)
	dst = wire.AppendString(dst, s.shadow)
	if s.shadow != "" {
		dst = wire.AppendFloat(dst, s.shadowP)
	}
	dst = wire.AppendString(dst, s.offer)
	dst = binary.AppendUvarint(dst, uint64(s.discount))
	dst = wire.AppendFloat(dst, s.propensity)
	return appendVector(dst, s.vector)
}

func (c snapshotCodec) Decode(data []byte, s *snapshot) error {
	r, _ := wire.NewReader(data, snapshotVersion)
	flags := r.Byte()
	if flags > flagHoldout|flagEligible|flagHexHash {
		r.Fail()
	}
	hash := r.Bytes()
	if flags&flagHexHash != 0 {
		hash = hex.AppendEncode(nil, hash)
	}
	*s = snapshot{
		hash: c.names.Bytes(hash), version: c.names.Bytes(r.Bytes()), drop: c.names.Bytes(r.Bytes()), p: r.Float(), shadow: c.names.Bytes(r.Bytes()),
		vector: s.vector[:0], holdout: flags&flagHoldout != 0, eligible: flags&flagEligible != 0,
	}
	if s.shadow != "" {
		s.shadowP = r.Float()
	}
	s.offer, s.discount, s.propensity = c.names.Bytes(r.Bytes()), r.Uint32(), r.Float()
	s.vector = readVector(&r, s.vector)
	return r.Done()
}

func (snapshotCodec) Deadline(*snapshot) int64 { return 0 }

// appendVector writes a vector of numbers most of which are small and whole: those take one or two bytes, the others nine.
func appendVector(dst []byte, x []float64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x)))
	for _, v := range x {
		if n := int64(v); float64(n) == v && n > -1<<40 && n < 1<<40 && !(n == 0 && math.Signbit(v)) {
			dst = binary.AppendUvarint(dst, uint64(n<<1^n>>63)<<1)
			continue
		}
		dst = wire.AppendFloat(append(dst, 1), v)
	}
	return dst
}

// readVector reads what appendVector wrote.
func readVector(r *wire.Reader, x []float64) []float64 {
	for range r.Count() {
		n := r.Unsigned()
		if n&1 == 1 {
			if n != 1 {
				r.Fail()
			}
			x = append(x, r.Float())
			continue
		}
		n >>= 1
		x = append(x, float64(int64(n>>1)^-int64(n&1)))
	}
	return x
}
