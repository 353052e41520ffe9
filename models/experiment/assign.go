package experiment

import (
	"crypto/sha256"
	"encoding/binary"
)

// Buckets is the number of buckets that a hash falls into; shares of traffic and of
// variants are in these units, basis points.
const Buckets = 10_000

// None is the variant of a unit that has none: it is not enrolled, or the variants' shares leave its bucket out.
const None = -1

// Hash is the assignment hash (DOMAIN 6): the first 8 bytes, big-endian, of
// SHA-256("salt:experiment:unit").
func Hash(salt, experiment, unit string) uint64 {
	var room [128]byte
	text := append(append(append(append(append(room[:0], salt...), ':'), experiment...), ':'), unit...)
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8])
}

// Bucket is Hash modulo Buckets, in [0, Buckets).
func Bucket(salt, experiment, unit string) uint32 {
	return uint32(Hash(salt, experiment, unit) % Buckets)
}

// Design says who takes part in one experiment and who sees what.
type Design struct {
	ID, Salt string
	// Traffic is the share of units enrolled, in basis points. Enrolment has a hash of its own, so that a
	// change of traffic reshuffles no variant.
	Traffic uint32
	// Layer, when not empty, replaces the enrolment hash by one that all experiments of the layer share: this
	// one owns [From, From + Traffic) of its buckets, so that experiments with other ranges exclude it.
	Layer string
	From  uint32
	// Shares are the variants' shares of the enrolled in basis points, in the order of their ranges of buckets.
	Shares []uint32
}

// enrolSalt is appended to the salt, and to a layer's name, for the enrolment hash.
const enrolSalt = ":traffic"

// Enrolled says whether unit takes part.
func (d *Design) Enrolled(unit string) bool {
	if d.Layer != "" {
		b := Bucket(d.Layer+enrolSalt, "", unit)
		return b >= d.From && b-d.From < d.Traffic
	}
	return Bucket(d.Salt+enrolSalt, d.ID, unit) < d.Traffic
}

// Variant is the number of unit's variant, or None.
func (d *Design) Variant(unit string) int {
	if !d.Enrolled(unit) {
		return None
	}
	b := Bucket(d.Salt, d.ID, unit)
	for i, share := range d.Shares {
		if b < share {
			return i
		}
		b -= share
	}
	return None
}
