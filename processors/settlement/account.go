package settlement

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// account is one participant in one currency.
type account struct {
	// asOf is the newest event time that any of its partials carried.
	asOf int64
	// paid is what settled events say was paid, whatever instruction they name.
	paid         int64
	issued       uint64 // instructions so far
	partials     []partial
	instructions []instruction
}

// partial is one partition's part of what a drop has accrued; they are by drop and partition.
type partial struct {
	drop      string
	partition int32
	revision  uint64
	watermark int64
	accrued   int64
}

// instruction is one payout; those with seq 0 are alarms about an id that is none of the account's.
type instruction struct {
	seq      uint64
	foreign  string
	revision uint64
	amount   int64
	paid     int64
	asOf     int64
	status   string

	changed bool // since the last flush, which publishes it; not encoded
}

// update takes in a partial, unless a newer one is there.
func (a *account) update(v *event.Payable) {
	at, found := slices.BinarySearchFunc(a.partials, v, func(p partial, v *event.Payable) int {
		return cmp.Or(strings.Compare(p.drop, v.DropID), cmp.Compare(p.partition, v.Partition))
	})
	if !found {
		a.partials = slices.Insert(a.partials, at, partial{drop: strings.Clone(v.DropID), partition: v.Partition})
	}
	if p := &a.partials[at]; v.Revision > p.revision {
		p.revision, p.watermark, p.accrued = v.Revision, v.Watermark, v.Accrued
	}
	a.advance(v.Watermark)
}

func (a *account) advance(watermark int64) { a.asOf = max(a.asOf, watermark) }

// instruction finds the one with seq, or for 0 the alarm about a foreign id.
func (a *account) instruction(seq uint64, foreign string) *instruction {
	for i := range a.instructions {
		if in := &a.instructions[i]; seq > 0 && in.seq == seq || in.seq == 0 && in.foreign == foreign {
			return in
		}
	}
	return nil
}

var statusCodes = [...]string{statusOpen, statusSettled, statusMismatched, statusDouble, statusUnknown}

// accountCodec writes: version, as of, paid, issued, and with their number in front partials and instructions.
type accountCodec struct{ names *wire.Names }

const accountVersion = 1

func (accountCodec) Append(dst []byte, a *account) []byte {
	dst = binary.AppendUvarint(append(dst, accountVersion), uint64(a.asOf))
	dst = binary.AppendUvarint(binary.AppendVarint(dst, a.paid), a.issued)
	dst = binary.AppendUvarint(dst, uint64(len(a.partials)))
	for i := range a.partials {
		p := &a.partials[i]
		dst = binary.AppendUvarint(wire.AppendString(dst, p.drop), uint64(p.partition))
		dst = binary.AppendVarint(binary.AppendVarint(binary.AppendUvarint(dst, p.revision), p.watermark), p.accrued)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.instructions)))
	for i := range a.instructions {
		in := &a.instructions[i]
		dst = wire.AppendString(binary.AppendUvarint(dst, in.seq), in.foreign)
		dst = binary.AppendUvarint(dst, in.revision)
		dst = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(dst, in.amount), in.paid), in.asOf)
		dst = append(dst, byte(slices.Index(statusCodes[:], in.status)))
	}
	return dst
}

func (k accountCodec) Decode(data []byte, a *account) error {
	r, _ := wire.NewReader(data, accountVersion)
	*a = account{asOf: r.Natural(), paid: r.Signed(), issued: r.Unsigned(), partials: a.partials[:0], instructions: a.instructions[:0]}
	for range r.Count() {
		p := partial{drop: k.names.Bytes(r.Bytes())}
		partition := r.Uint32()
		if partition > math.MaxInt32 {
			r.Fail()
		}
		p.partition, p.revision, p.watermark, p.accrued = int32(partition), r.Unsigned(), r.Signed(), r.Signed()
		a.partials = append(a.partials, p)
	}
	for range r.Count() {
		a.instructions = append(a.instructions, instruction{
			seq: r.Unsigned(), foreign: string(r.Bytes()), revision: r.Unsigned(), amount: r.Signed(), paid: r.Signed(), asOf: r.Signed(),
			status: decoded(&r, statusCodes[:]),
		})
	}
	return r.Done()
}

func (accountCodec) Deadline(*account) int64 { return 0 }

// mark is a key without a value.
type mark struct{}

// markCodec writes: version.
type markCodec struct{}

const markVersion = 1

func (markCodec) Append(dst []byte, _ *mark) []byte { return append(dst, markVersion) }

func (markCodec) Decode(data []byte, _ *mark) error {
	r, _ := wire.NewReader(data, markVersion)
	return r.Done()
}

func (markCodec) Deadline(*mark) int64 { return 0 }
