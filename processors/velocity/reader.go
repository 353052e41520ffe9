package velocity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/droplift/droplift/processors"
)

var errMalformed = errors.New("malformed state")

// reader takes encoded state apart. After the first failure it yields zeros; done reports it.
type reader struct {
	data   []byte
	failed bool
	err    error
}

func (r *reader) fail() { r.failed, r.data = true, nil }

func (r *reader) version(newest byte) {
	_, rest, err := processors.Version(r.data, newest)
	if r.data = rest; err != nil {
		r.err = err
		r.fail()
	}
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) unsigned() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

// time is a non-negative int64: a time or an amount.
func (r *reader) time() int64 {
	v := r.unsigned()
	if v > math.MaxInt64 {
		r.fail()
		return 0
	}
	return int64(v)
}

func (r *reader) count() uint32 {
	v := r.unsigned()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// done reports a failure, or bytes left over.
func (r *reader) done() error {
	switch {
	case r.err != nil:
		return r.err
	case r.failed:
		return errMalformed
	case len(r.data) > 0:
		return fmt.Errorf("%w: %d bytes left over", errMalformed, len(r.data))
	}
	return nil
}
