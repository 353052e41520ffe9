package wire

import (
	"encoding/binary"

	"github.com/droplift/droplift/processors"
)

// Horizon is how far a rule has closed its panes: all that end at or before At (Unix ms). A rule keeps it because closed panes
// leave no state behind that could refuse a contribution to them.
type Horizon struct{ At int64 }

// HorizonVersion is the version of a Horizon's encoding.
const HorizonVersion = 1

// HorizonCodec encodes a Horizon.
type HorizonCodec struct{}

// HorizonTable is a table that holds a single Horizon.
type HorizonTable struct {
	*processors.Table[Horizon]
	key string
}

// NewHorizon makes the table. name appears in errors; key is what the change-log knows the Horizon by, and must never change.
func NewHorizon(name, key string) *HorizonTable {
	return &HorizonTable{processors.NewTable(name, processors.Codec[Horizon](HorizonCodec{})), key}
}

// At is the Horizon's time; known is false as long as nothing was closed.
func (t *HorizonTable) At() (at int64, known bool) {
	if h := t.Get(t.key); h != nil {
		return h.At, true
	}
	return 0, false
}

// Passed says whether what ends with the millisecond at is closed.
func (t *HorizonTable) Passed(at int64) bool {
	closed, known := t.At()
	return known && at <= closed
}

// Advance closes what ends at or before the millisecond to. A Horizon never goes back.
func (t *HorizonTable) Advance(to int64) {
	h, _ := t.Put(t.key)
	h.At = max(h.At, to)
}

// Append implements processors.Codec.
func (HorizonCodec) Append(dst []byte, h *Horizon) []byte {
	return binary.AppendUvarint(append(dst, HorizonVersion), uint64(h.At))
}

// Decode implements processors.Codec.
func (HorizonCodec) Decode(data []byte, h *Horizon) error {
	r, _ := NewReader(data, HorizonVersion)
	h.At = r.Natural()
	return r.Done()
}

// Deadline implements processors.Codec; a Horizon has none.
func (HorizonCodec) Deadline(*Horizon) int64 { return 0 }
