package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
)

const dayMS int64 = 86_400_000

// liftFacts is what the queries of lift read, taken from the events themselves: a second implementation of their
// definitions, for runs without wrong clocks and without refused records.
type liftFacts struct {
	drops     map[string]event.Drop
	creatorOf map[string]string
	players   map[string]*liftPlayer
	creators  map[string]bool
	newest    map[event.Kind]int64
	firstSeen int64
}

type liftPlayer struct {
	since    int64
	sessions []liftSession
	visits   map[string]*liftVisit
}

type liftSession struct {
	at            int64
	drop, creator string
}

type liftVisit struct {
	landed, bought int64
	exposed        int64
	variant        string
}

// readLiftFacts plays a run to its end.
func readLiftFacts(t testing.TB, g *simulate.Generator) *liftFacts {
	t.Helper()
	f := &liftFacts{drops: map[string]event.Drop{}, creatorOf: map[string]string{}, players: map[string]*liftPlayer{},
		creators: map[string]bool{}, newest: map[event.Kind]int64{}}
	seen := map[uuid.UUID]bool{}
	var d event.Decoder
	var r simulate.Record
	for g.Next(&r) {
		if r.Kind != event.KindPlayer && r.Kind != event.KindCheckout && r.Kind != event.KindDrop {
			continue
		}
		var ev event.Event
		if err := d.Decode(r.Kind, r.Value, &ev); err != nil {
			t.Fatalf("%v in %s", err, r.Value)
		}
		if seen[ev.ID] {
			continue
		}
		seen[ev.ID] = true
		f.add(&ev)
	}
	for _, p := range f.players {
		slices.SortFunc(p.sessions, func(a, b liftSession) int { return int(a.at - b.at) })
	}
	return f
}

func (f *liftFacts) add(ev *event.Event) {
	id := strings.Clone(ev.DropID)
	if ev.Kind == event.KindDrop {
		if have, ok := f.drops[id]; !ok || ev.Drop.Version > have.Version {
			f.drops[id], f.creatorOf[id] = ev.Drop, strings.Clone(ev.CreatorID)
		}
		return
	}
	f.newest[ev.Kind] = max(f.newest[ev.Kind], ev.EventTime)
	p := f.players[ev.PlayerID]
	if p == nil {
		p = &liftPlayer{since: ev.EventTime, visits: map[string]*liftVisit{}}
		f.players[strings.Clone(ev.PlayerID)] = p
	}
	p.since = min(p.since, ev.EventTime)
	if ev.Type == event.SessionStart {
		if f.firstSeen == 0 || ev.EventTime < f.firstSeen {
			f.firstSeen = ev.EventTime
		}
		p.sessions = append(p.sessions, liftSession{ev.EventTime, id, strings.Clone(ev.CreatorID)})
	}
	if id == "" {
		return
	}
	v := p.visits[id]
	if v == nil {
		v = &liftVisit{}
		p.visits[id] = v
	}
	first := func(at *int64) bool {
		if *at == 0 || ev.EventTime < *at {
			*at = ev.EventTime
			return true
		}
		return false
	}
	switch ev.Type {
	case event.LandingView:
		first(&v.landed)
	case event.CheckoutCompleted:
		first(&v.bought)
	case event.CTAExposure:
		if ev.Player.ExperimentID == offerExperiment && first(&v.exposed) {
			v.variant = strings.Clone(ev.Player.Variant)
		}
	}
}

// offerExperiment is the simulator's.
const offerExperiment = "offer-holdout"

// span of a horizon and when its cells are mature.
func (f *liftFacts) window(drop string, days int) (span int64, mature bool, matures time.Time) {
	span = max(int64(days), 2) * dayMS
	at := f.drops[drop].EndMS + span + (10 * time.Minute).Milliseconds()
	return span, f.newest[event.KindPlayer]-10_001 >= at, time.UnixMilli(at).UTC()
}

func (p *liftPlayer) count(from, to int64, which func(liftSession) bool) (n float64) {
	for _, s := range p.sessions {
		if s.at >= from && s.at < to && which(s) {
			n++
		}
	}
	return n
}

func anySession(liftSession) bool { return true }

func (p *liftPlayer) in(from, to int64) bool { return p.count(from, to, anySession) > 0 }

// returns is lift_retention's answer.
func (f *liftFacts) returns(drop string, days int) returnCounts {
	d := f.drops[drop]
	span, mature, matures := f.window(drop, days)
	c := returnCounts{days: days, mature: mature, matures: matures}
	var delays []int64
	for _, p := range f.players {
		if v := p.visits[drop]; v != nil && v.landed > 0 && v.bought >= v.landed && v.bought < d.EndMS {
			delays = append(delays, v.bought-v.landed)
		}
	}
	slices.Sort(delays)
	cells := map[string]*returnCell{}
	for id, p := range f.players {
		v := p.visits[drop]
		if v == nil || v.variant == "holdout" || v.bought >= d.EndMS || (v.bought == 0 && (v.landed == 0 || v.landed >= d.EndMS)) {
			continue
		}
		index := v.bought
		if v.bought == 0 {
			index = v.landed
			if len(delays) > 0 {
				index += delays[xxhash.Sum64String(id)%uint64(len(delays))]
			}
		}
		sessions := p.count(index-28*dayMS, index-dayMS, anySession)
		follower := p.count(index-28*dayMS, index-dayMS, func(s liftSession) bool { return s.drop == "" && s.creator == f.creatorOf[drop] }) > 0
		bucket := fmt.Sprint(sessions)
		switch {
		case sessions > 8:
			bucket = "9+"
		case sessions > 5:
			bucket = "6-8"
		case sessions > 3:
			bucket = "4-5"
		}
		tenure := "older"
		switch {
		case p.since >= index-dayMS:
			tenure = "new"
		case p.since >= index-7*dayMS:
			tenure = "under a week"
		}
		stratum := fmt.Sprintf("%s/%g/%s", bucket, one(follower), tenure)
		key := fmt.Sprint(v.bought > 0, stratum)
		cell := cells[key]
		if cell == nil {
			cell = &returnCell{purchaser: v.bought > 0, stratum: stratum}
			cells[key] = cell
		}
		after, before, earlier := p.in(index+dayMS, index+span), p.in(index-span, index-dayMS), p.in(index-2*span+dayMS, index-span)
		cell.n++
		cell.returned += one(after)
		cell.before += one(before)
		if p.since < index-span {
			cell.panel.N++
			cell.panel.Before += one(before)
			cell.panel.After += one(after)
			cell.panel.Both += one(before && after)
		}
		if p.since < index-2*span+dayMS {
			cell.trend.N++
			cell.trend.Before += one(earlier)
			cell.trend.After += one(before)
			cell.trend.Both += one(earlier && before)
		}
	}
	for _, cell := range cells {
		c.cells = append(c.cells, *cell)
	}
	sortCells(c.cells)
	return c
}

func sortCells(cells []returnCell) {
	slices.SortFunc(cells, func(a, b returnCell) int {
		if a.purchaser != b.purchaser {
			return int(one(a.purchaser) - one(b.purchaser))
		}
		return strings.Compare(a.stratum, b.stratum)
	})
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// holdout is lift_holdout's answer.
func (f *liftFacts) holdout(drop string, days int) []holdoutArm {
	d := f.drops[drop]
	span, mature, matures := f.window(drop, days)
	var arms []holdoutArm
	for _, x := range d.Experiments {
		if x.Holdout == "" {
			continue
		}
		for _, variant := range x.Variants {
			a := holdoutArm{experiment: x.ID, variant: variant.Name, held: variant.Name == x.Holdout, bps: float64(variant.BPS), mature: mature, matures: matures}
			for _, p := range f.players {
				v := p.visits[drop]
				if v == nil || v.exposed == 0 || v.variant != variant.Name || v.exposed >= d.EndMS {
					continue
				}
				after, bought := p.in(v.exposed+dayMS, v.exposed+span), v.bought > 0 && v.bought < d.EndMS
				n := p.count(v.exposed-28*dayMS, v.exposed-dayMS, anySession)
				a.n++
				a.returned += one(after)
				a.bought += one(bought)
				a.both += one(after && bought)
				a.x += n
				a.x2 += n * n
				a.xy += n * one(after)
			}
			arms = append(arms, a)
		}
	}
	return arms
}

// creators is lift_creators' answer for active followers.
func (f *liftFacts) creatorChanges(drop string, back int64) []creatorChange {
	subject := f.drops[drop]
	announced := func(d event.Drop) int64 {
		if d.AnnouncedMS == 0 {
			return d.StartMS
		}
		return min(d.AnnouncedMS, d.StartMS)
	}
	reached := f.newest[event.KindPlayer] - 10_001
	late := (10 * time.Minute).Milliseconds()
	ids := make([]string, 0, len(f.drops))
	for id, d := range f.drops {
		if id == drop || (d.StartMS < subject.StartMS && d.StartMS >= subject.StartMS-back*dayMS) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return int(f.drops[a].StartMS - f.drops[b].StartMS) })
	var out []creatorChange
	for _, id := range ids {
		d := f.drops[id]
		at := announced(d)
		since := at - 28*dayMS
		active := map[string]*[8]float64{}
		for _, p := range f.players {
			seen := map[string]*[8]bool{}
			for _, s := range p.sessions {
				if s.drop != "" || s.creator == "" {
					continue
				}
				week := -1
				switch {
				case s.at >= since && s.at < at:
					week = int((s.at - since) / (7 * dayMS))
				case s.at >= d.StartMS && s.at < d.StartMS+28*dayMS:
					week = 4 + int((s.at-d.StartMS)/(7*dayMS))
				}
				if week < 0 {
					continue
				}
				if seen[s.creator] == nil {
					seen[s.creator] = &[8]bool{}
				}
				seen[s.creator][week] = true
			}
			for creator, weeks := range seen {
				if active[creator] == nil {
					active[creator] = &[8]float64{}
				}
				for i, in := range weeks {
					active[creator][i] += one(in)
				}
			}
		}
		names := make([]string, 0, len(active))
		for name := range active {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			if x, y := a == f.creatorOf[id], b == f.creatorOf[id]; x != y {
				return int(one(y) - one(x))
			}
			return strings.Compare(a, b)
		})
		for _, name := range names {
			w := active[name]
			c := creatorChange{drop: id, creator: name, treated: name == f.creatorOf[id], subject: id == drop,
				cleanFirst: true, cleanLater: true, covered: f.firstSeen <= since+dayMS,
				active:      outcome{before: (w[0] + w[1] + w[2] + w[3]) / 4, early: (w[0] + w[1]) / 2, late: (w[2] + w[3]) / 2, first: w[4], later: (w[5] + w[6] + w[7]) / 3},
				matureFirst: reached >= d.StartMS+7*dayMS+late, matureLate: reached >= d.StartMS+28*dayMS+late,
			}
			for other, o := range f.drops {
				if other == id || f.creatorOf[other] != name || o.StartMS+28*dayMS <= since {
					continue
				}
				c.cleanFirst = c.cleanFirst && announced(o) >= d.StartMS+7*dayMS
				c.cleanLater = c.cleanLater && announced(o) >= d.StartMS+28*dayMS
			}
			out = append(out, c)
		}
	}
	return out
}
