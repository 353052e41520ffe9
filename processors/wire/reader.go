// Package wire is how rule sets write their state and their keys: length-prefixed
// strings and varints behind a version byte. It holds nothing of any one rule set.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/droplift/droplift/processors"
)

// ErrMalformed is what Done returns, wrapped, for bytes that no Append wrote.
var ErrMalformed = errors.New("malformed state")

// Reader takes encoded state apart. After the first failure it yields zeros, and Done reports it.
type Reader struct {
	data   []byte
	failed bool
	err    error
}

// NewReader reads data, which starts with a version up to newest.
func NewReader(data []byte, newest byte) (r Reader, version byte) {
	version, rest, err := processors.Version(data, newest)
	if err != nil {
		return Reader{failed: true, err: err}, 0
	}
	return Reader{data: rest}, version
}

// Fail makes the state malformed: for values that no state can hold.
func (r *Reader) Fail() { r.failed, r.data = true, nil }

// Failed says whether reading has failed; loops over a length read ask it.
func (r *Reader) Failed() bool { return r.failed }

// Len is the number of bytes left.
func (r *Reader) Len() int { return len(r.data) }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.data) == 0 {
		r.Fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// Bool reads what AppendBool wrote.
func (r *Reader) Bool() bool {
	b := r.Byte()
	if b > 1 {
		r.Fail()
	}
	return b == 1
}

// Unsigned reads a uvarint.
func (r *Reader) Unsigned() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

// Signed reads a varint.
func (r *Reader) Signed() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

// Natural reads a non-negative int64: a time or an amount.
func (r *Reader) Natural() int64 {
	v := r.Unsigned()
	if v > math.MaxInt64 {
		r.Fail()
		return 0
	}
	return int64(v)
}

// Uint32 reads a uvarint of at most 32 bits.
func (r *Reader) Uint32() uint32 {
	v := r.Unsigned()
	if v > math.MaxUint32 {
		r.Fail()
		return 0
	}
	return uint32(v)
}

// Float reads what AppendFloat wrote.
func (r *Reader) Float() float64 {
	b := r.Take(8)
	if len(b) < 8 {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// Count reads a list's length; every element takes at least one byte.
func (r *Reader) Count() int {
	n := r.Unsigned()
	if n > uint64(len(r.data)) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Take reads n bytes, which alias the state.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.Fail()
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// Bytes reads what AppendString wrote; the bytes alias the state.
func (r *Reader) Bytes() []byte { return r.Take(r.Unsigned()) }

// Done reports a failure, or bytes left over.
func (r *Reader) Done() error {
	switch {
	case r.err != nil:
		return r.err
	case r.failed:
		return ErrMalformed
	case len(r.data) > 0:
		return fmt.Errorf("%w: %d bytes left over", ErrMalformed, len(r.data))
	}
	return nil
}

// AppendBool appends one byte.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendFloat appends the eight bytes of v.
func AppendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}
