package churn

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/droplift/droplift/ingest/event"
)

// player is one player's state.
type player struct {
	revision  uint64
	published int64 // Times.Now of the last publication
	final     bool  // published with nothing left to change
	changed   bool  // since the last revision
	told      int64 // asOf of the last revision; 0 when there was none
	// held are revisions that the next flush publishes; a transaction ends without any.
	held []event.Features

	asOf        int64 // newest event + 1 ms
	first, last int64 // activity; 0 when there was none

	tiles      tiles
	sessions   sessions
	marks      marks
	currencies []currency
	// foreign counts completed checkouts in currencies beyond maxCurrencies.
	foreign  uint32
	creators sightings
	drops    sightings
}

// currency is one that the player was charged or refunded in.
type currency struct {
	code      [3]byte
	completed uint32
	first     int64 // event time of the first completed checkout; meaningless without one
}

// maxCurrencies bounds the currencies that a player's spend is kept in; further
// ones count as foreign.
const maxCurrencies = 4

// sightings are the distinct IDs that a player met, each as its hash (64 bits:
// two of a player's never meet) with the finest tile that saw it last, which is
// all that a window ending now needs. Beyond maxSightings within 28 d the one
// seen longest ago goes, and the counts are lower bounds.
type sightings []sighting

type sighting struct {
	hash uint64
	tile int32
}

const maxSightings = 128

func (s *sightings) add(id string, at int64) {
	if id == "" {
		return
	}
	new := sighting{xxhash.Sum64String(id), int32(floorDiv(at, levels[fine].width))}
	for i := range *s {
		if old := &(*s)[i]; old.hash == new.hash {
			old.tile = max(old.tile, new.tile)
			return
		}
	}
	*s = append(*s, new)
	if len(*s) > maxSightings {
		oldest := slices.MinFunc(*s, func(a, b sighting) int {
			return cmp.Or(cmp.Compare(a.tile, b.tile), cmp.Compare(a.hash, b.hash))
		})
		*s = slices.DeleteFunc(*s, func(x sighting) bool { return x == oldest })
	}
}

// since counts the IDs seen at or after start, which is a multiple of the finest tile.
func (s sightings) since(start int64) uint32 {
	first, n := int32(floorDiv(start, levels[fine].width)), uint32(0)
	for _, x := range s {
		if x.tile >= first {
			n++
		}
	}
	return n
}

// advance moves the newest event on, and drops what has left the widest window.
func (p *player) advance(at int64) {
	if at < p.asOf {
		return
	}
	before := p.asOf
	p.asOf = at + 1
	if floorDiv(before, levels[fine].width) == floorDiv(p.asOf, levels[fine].width) && before != 0 {
		return // every window starts where it did
	}
	p.tiles.advance(p.asOf)
	oldest := int32(p.tiles.oldest[coarse] * (day / levels[fine].width))
	gone := func(x sighting) bool { return x.tile < oldest }
	p.creators = slices.DeleteFunc(p.creators, gone)
	p.drops = slices.DeleteFunc(p.drops, gone)
}

// apply folds one event of the player in.
func (p *player) apply(ev *event.Event, at int64, cfg *Config) {
	p.final, p.changed = false, true
	p.advance(at)
	if ev.Kind == event.KindCheckout {
		switch c := &ev.Checkout; ev.Type {
		case event.CheckoutCompleted:
			p.spend(c.Currency, at, c.Amount, true)
		case event.CheckoutRefunded, event.CheckoutChargeback:
			p.spend(c.Currency, at, -c.Amount, false)
			return
		}
	}
	if p.last == 0 || at > p.last {
		p.last = at
	}
	if p.first == 0 || at < p.first {
		p.first = at
	}
	p.sessions.add(at, &p.tiles, cfg)
	p.creators.add(ev.CreatorID, at)
	p.drops.add(ev.DropID, at)
	if ev.Kind == event.KindPlayer {
		p.mark(ev, at, cfg)
	}
	t := p.tiles.at(at)
	if t == nil {
		return
	}
	t.active = true
	switch ev.Type {
	case event.LandingView:
		t.landings++
	case event.OfferImpression:
		t.impressions++
	case event.OfferClick:
		t.clicks++
	case event.CheckoutCompleted:
		t.checkouts++
	case event.EdgeRequest:
		us := uint32(math.Round(ev.Latency.MS * 1000))
		t.requests++
		t.latencySum += uint64(us)
		t.latencyMax = max(t.latencyMax, us)
	}
}

func (p *player) mark(ev *event.Event, at int64, cfg *Config) {
	m := mark{at: at, heartbeat: int32(cmp.Or(ev.Player.HeartbeatMS, cfg.Heartbeat))}
	switch ev.Type {
	case event.SessionStart:
		m.kind = markStart
	case event.Heartbeat:
		m.kind = markHeartbeat
	case event.SessionEnd:
		m.kind = markEnd
	default:
		return
	}
	p.marks.add(m, &p.tiles)
}

// spend books an amount in its currency's slot.
func (p *player) spend(code string, at, amount int64, completed bool) {
	slot := slices.IndexFunc(p.currencies, func(c currency) bool { return string(c.code[:]) == code })
	if slot < 0 {
		if len(p.currencies) == maxCurrencies {
			if completed {
				p.foreign++
			}
			return
		}
		slot = len(p.currencies)
		p.currencies = append(p.currencies, currency{})
		copy(p.currencies[slot].code[:], code)
	}
	if c := &p.currencies[slot]; completed {
		if c.completed == 0 || at < c.first {
			c.first = at
		}
		c.completed++
	}
	if t := p.tiles.at(at); t != nil {
		t.net[slot] += amount
	}
}

// spendCurrency is the slot of the first completed checkout's currency, or −1.
func (p *player) spendCurrency() int {
	slot := -1
	for i, c := range p.currencies {
		if c.completed == 0 {
			continue
		}
		if slot < 0 || cmp.Or(cmp.Compare(c.first, p.currencies[slot].first), bytes.Compare(c.code[:], p.currencies[slot].code[:])) < 0 {
			slot = i
		}
	}
	return slot
}

// settle gives up what no event after the horizons can change.
func (p *player) settle(horizon, heartbeats int64, cfg *Config) {
	p.sessions.settle(horizon, cfg)
	p.marks.settle(heartbeats)
}

// revise makes a revision of what the player is now.
func (p *player) revise(f *event.Features, cfg *Config) {
	p.revision++
	p.told, p.changed = p.asOf, false
	p.features(f, cfg)
}

// features fills f, but for PlayerID and Watermark.
func (p *player) features(f *event.Features, cfg *Config) {
	*f = event.Features{
		Revision: p.revision, AsOf: p.asOf,
		FirstActivity: p.first, LastActivity: p.last, ForeignCheckouts: p.foreign,
	}
	if p.final {
		f.Maturity = event.Final
	}
	slot := p.spendCurrency()
	for i, c := range p.currencies {
		if i == slot {
			f.SpendCurrency = string(c.code[:])
		} else {
			f.ForeignCheckouts += c.completed
		}
	}
	// From the newest tile backwards, so that every window is the sum so far when the first tile
	// outside of it comes.
	var sum tile
	days, lastDay := uint32(0), int64(math.MaxInt64)
	w, start := 0, windowStart(0, p.asOf)
	close := func() {
		f.Sessions[w], f.ActiveDays[w] = sum.sessions, days
		f.PlaytimeS[w] = sum.playMS / 1000
		f.Landings[w], f.Impressions[w], f.Clicks[w] = sum.landings, sum.impressions, sum.clicks
		f.Checkouts[w] = sum.checkouts
		if slot >= 0 {
			f.NetSpend[w] = sum.net[slot]
		}
		f.Creators[w], f.Drops[w] = p.creators.since(start), p.drops.since(start)
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		if sum.requests > 0 {
			f.LatencyMeanMS[w] = float64(sum.latencySum) / float64(sum.requests) / 1000
			f.LatencyMaxMS[w] = float64(sum.latencyMax) / 1000
		}
		if w++; w < len(windows) {
			start = windowStart(w, p.asOf)
		}
	}
	for l := range p.tiles.level {
		c := p.tiles.level[l].cursor()
		for t := c.next(); t != nil; t = c.next() {
			at := int64(t.index) * levels[l].width
			for w < len(windows) && (windows[w].level < l || at < start) {
				close()
			}
			if w == len(windows) {
				break
			}
			sum.merge(t)
			if d := floorDiv(at, day); t.active && d != lastDay {
				days, lastDay = days+1, d
			}
		}
	}
	for w < len(windows) {
		close()
	}
	f.GapMeanS, f.GapVarS2 = -1, -1
	total, gaps := p.sessions.total(cfg)
	f.SessionsTotal = total
	if total >= 2 {
		f.GapMeanS, f.GapVarS2 = gaps.mean, gaps.variance
	}
}
