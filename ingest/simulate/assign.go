package simulate

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/droplift/droplift/ingest/event"
)

// enrolSalt is appended to an experiment's salt to decide who takes part, so that
// a change of traffic does not reshuffle the variants.
const enrolSalt = ":traffic"

// bucket is the assignment hash: the first 8 bytes, big-endian, of
// SHA-256("salt:experiment:unit"), modulo 10,000.
func bucket(salt, experiment, unit string) uint32 {
	sum := sha256.Sum256([]byte(salt + ":" + experiment + ":" + unit))
	return uint32(binary.BigEndian.Uint64(sum[:8]) % 10_000)
}

// assign returns the player's variant, or "" outside the experiment. Variants own
// contiguous ranges of buckets in their order.
func assign(e *event.Experiment, player string) string {
	if bucket(e.Salt+enrolSalt, e.ID, player) >= e.TrafficBPS {
		return ""
	}
	b := bucket(e.Salt, e.ID, player)
	for i := range e.Variants {
		if b < e.Variants[i].BPS {
			return e.Variants[i].Name
		}
		b -= e.Variants[i].BPS
	}
	return ""
}
