package event

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// appendReal appends the bytes of a number in reverse, so that those of few digits are short.
func appendReal(dst []byte, v float64) []byte {
	return binary.AppendUvarint(dst, bits.ReverseBytes64(math.Float64bits(v)))
}

func appendPackedText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// unpacker reads a packed record; bad says that it was cut short.
type unpacker struct {
	data string
	mask byte
	bad  bool
}

// group begins the next eight numbers.
func (u *unpacker) group() {
	if len(u.data) == 0 {
		u.mask, u.bad = 0, true
		return
	}
	u.mask, u.data = u.data[0], u.data[1:]
}

func (u *unpacker) unsigned() uint64 {
	if len(u.data) > 0 && u.data[0] < 0x80 { // most are this small
		v := uint64(u.data[0])
		u.data = u.data[1:]
		return v
	}
	var v uint64
	for i := 0; i < len(u.data) && i < binary.MaxVarintLen64; i++ {
		b := u.data[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			u.data = u.data[i+1:]
			return v
		}
	}
	u.bad, u.data = true, ""
	return 0
}

func (u *unpacker) signed() int64 {
	v := u.unsigned()
	return int64(v>>1) ^ -int64(v&1)
}

func (u *unpacker) real() float64 { return math.Float64frombits(bits.ReverseBytes64(u.unsigned())) }

func (u *unpacker) text() string {
	n := u.unsigned()
	if n > uint64(len(u.data)) {
		u.bad, u.data = true, ""
		return ""
	}
	s := u.data[:n]
	u.data = u.data[n:]
	return s
}
