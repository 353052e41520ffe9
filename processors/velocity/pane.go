package velocity

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// pane is what one partition counted of one (drop, POP) in one pane.
type pane struct {
	start       int64
	revision    uint64
	events      [event.NumSteps]uint32
	players     [event.NumSteps]uint32
	gap         uint32
	failed      uint32
	refunded    uint32
	chargeback  uint32
	conversions uint32
	converts    []event.TimeToConvert // sorted by Panes, no zero counts
	money       []event.Money         // sorted by Currency
}

type sign bool

const (
	set      sign = true
	takeBack sign = false
)

// add counts one up or down and says whether there was one to take.
func (s sign) add(n *uint32) bool {
	if s == set {
		*n++
		return true
	}
	if *n == 0 {
		return false
	}
	*n--
	return true
}

// count applies m, which lies in this pane, and says whether it could.
func (p *pane) count(slot int, m mark, s sign) bool {
	switch slot {
	case slotGap:
		return s.add(&p.gap)
	case slotConversion:
		return s.add(&p.conversions) && (m.panes == 0 || p.convert(m.panes-1, s))
	default:
		return s.add(&p.players[slot])
	}
}

func (p *pane) convert(panes uint32, s sign) bool {
	i := sort.Search(len(p.converts), func(i int) bool { return p.converts[i].Panes >= panes })
	if i == len(p.converts) || p.converts[i].Panes != panes {
		if s == takeBack {
			return false
		}
		p.converts = append(p.converts, event.TimeToConvert{})
		copy(p.converts[i+1:], p.converts[i:])
		p.converts[i] = event.TimeToConvert{Panes: panes}
	}
	ok := s.add(&p.converts[i].Count)
	if p.converts[i].Count == 0 {
		p.converts = append(p.converts[:i], p.converts[i+1:]...)
	}
	return ok
}

// moneyIn is the account of currency, made when it is new.
func (p *pane) moneyIn(currency string, n *wire.Names) *event.Money {
	i := sort.Search(len(p.money), func(i int) bool { return p.money[i].Currency >= currency })
	if i == len(p.money) || p.money[i].Currency != currency {
		p.money = append(p.money, event.Money{})
		copy(p.money[i+1:], p.money[i:])
		p.money[i] = event.Money{Currency: n.Text(currency)}
	}
	return &p.money[i]
}

// paneCodec writes: version, width, start, revision, the counts, then the two
// lists with their lengths in front.
type paneCodec struct {
	paneMS int64
	names  *wire.Names
}

const paneVersion = 1

func (p *pane) counts(each func(*uint32)) {
	for i := range p.events {
		each(&p.events[i])
	}
	for i := range p.players {
		each(&p.players[i])
	}
	for _, n := range []*uint32{&p.gap, &p.failed, &p.refunded, &p.chargeback, &p.conversions} {
		each(n)
	}
}

func (c paneCodec) Append(dst []byte, p *pane) []byte {
	dst = append(dst, paneVersion)
	dst = binary.AppendUvarint(dst, uint64(c.paneMS))
	dst = binary.AppendUvarint(dst, uint64(p.start))
	dst = binary.AppendUvarint(dst, p.revision)
	p.counts(func(n *uint32) { dst = binary.AppendUvarint(dst, uint64(*n)) })
	dst = binary.AppendUvarint(dst, uint64(len(p.converts)))
	previous := uint32(0)
	for _, e := range p.converts {
		dst = binary.AppendUvarint(dst, uint64(e.Panes-previous))
		dst = binary.AppendUvarint(dst, uint64(e.Count))
		previous = e.Panes
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.money)))
	for _, m := range p.money {
		dst = wire.AppendString(dst, m.Currency)
		dst = binary.AppendUvarint(dst, uint64(m.Gross))
		dst = binary.AppendUvarint(dst, uint64(m.Refunds))
		dst = binary.AppendUvarint(dst, uint64(m.Chargebacks))
	}
	return dst
}

func (c paneCodec) Decode(data []byte, p *pane) error {
	r, _ := wire.NewReader(data, paneVersion)
	if width := r.Natural(); !r.Failed() && width != c.paneMS {
		return fmt.Errorf("pane of %d ms, configured are %d ms: a new width needs a new application id and a replay", width, c.paneMS)
	}
	*p = pane{start: r.Natural(), revision: r.Unsigned(), converts: p.converts[:0], money: p.money[:0]}
	if p.start%c.paneMS != 0 {
		r.Fail()
	}
	p.counts(func(n *uint32) { *n = r.Uint32() })
	panes := uint32(0)
	for n := r.Unsigned(); n > 0 && !r.Failed(); n-- {
		panes += r.Uint32()
		p.converts = append(p.converts, event.TimeToConvert{Panes: panes, Count: r.Uint32()})
	}
	for n := r.Unsigned(); n > 0 && !r.Failed(); n-- {
		p.money = append(p.money, event.Money{
			Currency: c.names.Bytes(r.Bytes()),
			Gross:    r.Natural(), Refunds: r.Natural(), Chargebacks: r.Natural(),
		})
	}
	return r.Done()
}

// Deadline is the pane's last millisecond.
func (c paneCodec) Deadline(p *pane) int64 { return p.start + c.paneMS - 1 }
