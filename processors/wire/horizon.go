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

// NewHorizon makes a table that holds a single Horizon. name appears in errors.
func NewHorizon(name string) *processors.Table[Horizon] {
	return processors.NewTable(name, processors.Codec[Horizon](HorizonCodec{}))
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
