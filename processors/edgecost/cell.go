package edgecost

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// cell is what one partition counted of one (drop, POP, creator) in one pane, by one price list.
type cell struct {
	start       int64
	revision    uint64
	newest      int64
	samples     uint64
	rate        float64 // lowest sample rate; 0 without a sample
	usage       edgebudget.Usage
	conversions uint32
	// cost is in nano-units of currency, as of the newest publication; currency is empty where there is no price.
	cost     int64
	currency string
}

// cellCodec writes: version, width, start, revision, newest, the counts, the rate, the usage, the cost.
type cellCodec struct {
	paneMS int64
	names  *wire.Names
}

const cellVersion = 1

func (c cellCodec) Append(dst []byte, s *cell) []byte {
	dst = append(dst, cellVersion)
	for _, n := range []uint64{uint64(c.paneMS), uint64(s.start), s.revision, uint64(s.newest), s.samples, uint64(s.conversions),
		uint64(s.usage.Requests), uint64(s.usage.CPU), uint64(s.usage.Egress), uint64(s.cost)} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = wire.AppendFloat(dst, s.rate)
	return wire.AppendString(dst, s.currency)
}

func (c cellCodec) Decode(data []byte, s *cell) error {
	r, _ := wire.NewReader(data, cellVersion)
	if width := r.Natural(); !r.Failed() && width != c.paneMS {
		return fmt.Errorf("pane of %d ms, configured are %d ms: a new width needs a new application id and a replay", width, c.paneMS)
	}
	*s = cell{start: r.Natural(), revision: r.Unsigned(), newest: r.Natural(), samples: r.Unsigned(), conversions: r.Uint32()}
	s.usage = edgebudget.Usage{Requests: r.Natural(), CPU: r.Natural(), Egress: r.Natural()}
	s.cost, s.rate = r.Natural(), r.Float()
	s.currency = c.names.Bytes(r.Bytes())
	if s.start%c.paneMS != 0 || !(s.rate >= 0 && s.rate <= 1) {
		r.Fail()
	}
	return r.Done()
}

// Deadline is the pane's last millisecond.
func (c cellCodec) Deadline(s *cell) int64 { return s.start + c.paneMS - 1 }

// place is what a cell's key says.
type place struct {
	drop, pop, creator string
	synthetic          bool
	prices             string
	start              int64
}

// appendKey ends in the pane's start, big-endian.
func (p *place) appendKey(dst []byte) []byte {
	dst = wire.AppendString(dst, p.drop)
	dst = wire.AppendString(dst, p.pop)
	dst = wire.AppendString(dst, p.creator)
	dst = append(dst, flag(p.synthetic))
	dst = wire.AppendString(dst, p.prices)
	return binary.BigEndian.AppendUint64(dst, uint64(p.start))
}

// placeOf reads what appendKey wrote.
func placeOf(key string) (p place) {
	p.drop, key = wire.CutString(key)
	p.pop, key = wire.CutString(key)
	p.creator, key = wire.CutString(key)
	p.synthetic = key[0] != 0
	p.prices, key = wire.CutString(key[1:])
	p.start = int64(binary.BigEndian.Uint64([]byte(key)))
	return p
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// appendRecordKey appends drop_id|pop|creator_id|pane_start|synthetic|prices|partition.
func appendRecordKey(dst []byte, e *event.EdgeCost) []byte {
	dst = wire.AppendPart(dst, e.DropID)
	dst = wire.AppendPart(dst, e.POP)
	dst = wire.AppendPart(dst, e.CreatorID)
	dst = append(strconv.AppendInt(dst, e.PaneStart, 10), '|')
	dst = append(strconv.AppendInt(dst, int64(flag(e.Synthetic)), 10), '|')
	dst = wire.AppendPart(dst, e.Prices)
	return strconv.AppendInt(dst, int64(e.Partition), 10)
}

// conversion is a player's first completed checkout of a drop, with where it is counted.
type conversion struct {
	at int64
	// end is the drop's end (Unix ms) as last seen in the catalogue.
	end                  int64
	pop, creator, prices string
}

type conversionCodec struct {
	paneMS int64
	names  *wire.Names
}

const conversionVersion = 1

func (c conversionCodec) Append(dst []byte, s *conversion) []byte {
	dst = append(dst, conversionVersion)
	dst = binary.AppendUvarint(dst, uint64(s.at))
	dst = binary.AppendUvarint(dst, uint64(s.end))
	dst = wire.AppendString(dst, s.pop)
	dst = wire.AppendString(dst, s.creator)
	return wire.AppendString(dst, s.prices)
}

func (c conversionCodec) Decode(data []byte, s *conversion) error {
	r, _ := wire.NewReader(data, conversionVersion)
	*s = conversion{at: r.Natural(), end: r.Natural()}
	s.pop, s.creator, s.prices = c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes())
	return r.Done()
}

// Deadline is the last millisecond of the pane that holds the drop's last millisecond: nothing before it can come after that is final.
func (c conversionCodec) Deadline(s *conversion) int64 {
	return processors.LastPaneEnd(s.end, c.paneMS)
}
