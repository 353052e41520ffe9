package experiments

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/droplift/droplift/processors/wire"
)

// player is what one player of a drop did that bears on its experiments. All counts follow from it, so that the order
// of arrival cannot matter.
type player struct {
	// end is the drop's end as last seen in the catalogue.
	end int64
	// bought is the effective time of the latest completed checkout before the drop's end, returned the purchase time
	// of the latest one whose money went back; 0 for none. The latest is enough: it is after an exposure if any is.
	bought, returned int64
	exposures        []exposure // by experiment
}

// exposure is a player's first exposure to one experiment.
type exposure struct {
	experiment, variant, language string
	at                            int64
	// crossed says that another variant was shown too, misassigned that the first one is not the assigned one.
	crossed, misassigned bool
}

// find is the place of the exposure to experiment, and whether there is one.
func (p *player) find(experiment string) (i int, found bool) {
	for i = range p.exposures {
		if c := strings.Compare(p.exposures[i].experiment, experiment); c >= 0 {
			return i, c == 0
		}
	}
	return len(p.exposures), false
}

// after says whether e comes after an exposure to variant in language at at. In one millisecond, the
// alphabetically first one does.
func (e *exposure) after(at int64, variant, language string) bool {
	if e.at != at {
		return e.at > at
	}
	if e.variant != variant {
		return e.variant > variant
	}
	return e.language > language
}

// counts of one arm, or one player's share of them.
type counts struct{ exposed, converted, refunded, crossed, misassigned uint32 }

func (c *counts) each(f func(*uint32)) {
	for _, n := range []*uint32{&c.exposed, &c.converted, &c.refunded, &c.crossed, &c.misassigned} {
		f(n)
	}
}

// plus adds d, or takes it away when sign is −1.
func (c counts) plus(d counts, sign int) counts {
	add := func(a, b uint32) uint32 { return uint32(int64(a) + int64(sign)*int64(b)) }
	return counts{add(c.exposed, d.exposed), add(c.converted, d.converted), add(c.refunded, d.refunded),
		add(c.crossed, d.crossed), add(c.misassigned, d.misassigned)}
}

// holds says whether d can be taken away from c.
func (c counts) holds(d counts) bool {
	return c.exposed >= d.exposed && c.converted >= d.converted && c.refunded >= d.refunded && c.crossed >= d.crossed && c.misassigned >= d.misassigned
}

// counts is what the player counts as in the arm of e.
func (p *player) counts(e *exposure) counts {
	c := counts{exposed: 1}
	if p.bought >= e.at {
		c.converted = 1
		if p.returned >= e.at {
			c.refunded = 1
		}
	}
	if e.crossed {
		c.crossed = 1
	}
	if e.misassigned {
		c.misassigned = 1
	}
	return c
}

// playerCodec writes: version, end, the two times, and the exposures with their number in front.
type playerCodec struct {
	refundMS int64
	names    *wire.Names
}

const playerVersion = 1

const (
	flagCrossed     = 1
	flagMisassigned = 2
)

func (c playerCodec) Append(dst []byte, p *player) []byte {
	dst = append(dst, playerVersion)
	dst = binary.AppendUvarint(dst, uint64(p.end))
	dst = binary.AppendUvarint(dst, uint64(p.bought))
	dst = binary.AppendUvarint(dst, uint64(p.returned))
	dst = binary.AppendUvarint(dst, uint64(len(p.exposures)))
	for _, e := range p.exposures {
		dst = wire.AppendString(dst, e.experiment)
		dst = wire.AppendString(dst, e.variant)
		dst = wire.AppendString(dst, e.language)
		dst = binary.AppendUvarint(dst, uint64(e.at))
		flags := byte(0)
		if e.crossed {
			flags |= flagCrossed
		}
		if e.misassigned {
			flags |= flagMisassigned
		}
		dst = append(dst, flags)
	}
	return dst
}

func (c playerCodec) Decode(data []byte, p *player) error {
	r, _ := wire.NewReader(data, playerVersion)
	*p = player{end: r.Natural(), bought: r.Natural(), returned: r.Natural(), exposures: p.exposures[:0]}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		e := exposure{experiment: c.names.Bytes(r.Bytes()), variant: c.names.Bytes(r.Bytes()), language: c.names.Bytes(r.Bytes()), at: r.Natural()}
		flags := r.Byte()
		if flags > flagCrossed|flagMisassigned {
			r.Fail()
		}
		e.crossed, e.misassigned = flags&flagCrossed != 0, flags&flagMisassigned != 0
		p.exposures = append(p.exposures, e)
	}
	return r.Done()
}

// Deadline is the last millisecond at which a refund counts.
func (c playerCodec) Deadline(p *player) int64 { return lastRefund(p.end, c.refundMS) }

func lastRefund(end, refundMS int64) int64 { return min(end, math.MaxInt64-refundMS) - 1 + refundMS }
