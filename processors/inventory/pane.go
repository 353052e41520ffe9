package inventory

import (
	"encoding/binary"
	"fmt"

	"github.com/droplift/droplift/processors/wire"
)

// pane is what one partition counted of one (drop, cell) in one pane.
type pane struct {
	start    int64
	revision uint64
	counts   [numSlots]uint64
}

// appendPaneKey ends in the pane's start, big-endian: keys sort by time.
func appendPaneKey(dst []byte, drop string, c cell, start int64) []byte {
	dst = wire.AppendString(dst, drop)
	dst = wire.AppendString(dst, c.sku)
	dst = wire.AppendString(dst, c.channel)
	dst = wire.AppendString(dst, c.partner)
	return binary.BigEndian.AppendUint64(dst, uint64(start))
}

// cutPaneKey takes it apart.
func cutPaneKey(key string) (drop string, c cell) {
	drop, key = wire.CutString(key)
	c.sku, key = wire.CutString(key)
	c.channel, key = wire.CutString(key)
	c.partner, _ = wire.CutString(key)
	return drop, c
}

// paneCodec writes: version, width, start, revision, counts.
type paneCodec struct{ paneMS int64 }

const paneVersion = 1

func (c paneCodec) Append(dst []byte, p *pane) []byte {
	dst = append(dst, paneVersion)
	dst = binary.AppendUvarint(dst, uint64(c.paneMS))
	dst = binary.AppendUvarint(dst, uint64(p.start))
	dst = binary.AppendUvarint(dst, p.revision)
	for _, n := range p.counts {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func (c paneCodec) Decode(data []byte, p *pane) error {
	r, _ := wire.NewReader(data, paneVersion)
	if width := r.Natural(); !r.Failed() && width != c.paneMS {
		return fmt.Errorf("pane of %d ms, configured are %d ms: a new width needs a new application id and a replay", width, c.paneMS)
	}
	*p = pane{start: r.Natural(), revision: r.Unsigned()}
	if p.start%c.paneMS != 0 {
		r.Fail()
	}
	for i := range p.counts {
		p.counts[i] = r.Unsigned()
	}
	return r.Done()
}

// Deadline is the pane's last millisecond.
func (c paneCodec) Deadline(p *pane) int64 { return p.start + c.paneMS - 1 }
