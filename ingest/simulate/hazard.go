package simulate

import (
	"fmt"
	"math"
	"time"
)

// Away is the true hazard of churn: by player, the probability of starting no session in [from, to) (Unix ms), given that the
// player has appeared before from. It knows each player's rate and the drops to come; what nobody could know at from, who will visit them
// and buy, is part of the chance. It is exact but for the minutes of a session under way, which keep another one from starting.
//
// It refuses a from at which more is decided already: during a drop, whose visitors are chosen when it opens, and in the week
// after one whose purchases bring players back.
func (g *Generator) Away(from, to int64) (map[string]float64, error) {
	w := g.w
	for i := range w.drops {
		d := &w.drops[i]
		until := d.end
		if w.s.Effects.Retention > 0 {
			until += 8 * day // the last purchase follows the last visit by hours, and the session it causes by up to 7 d
		}
		if d.start < from && from < until {
			return nil, fmt.Errorf("simulate: %s has decided already who comes after %s", d.id, time.UnixMilli(from).UTC().Format(time.RFC3339))
		}
	}
	if to > w.end {
		return nil, fmt.Errorf("simulate: the run ends at %s, before %s", time.UnixMilli(w.end).UTC().Format(time.RFC3339), time.UnixMilli(to).UTC().Format(time.RFC3339))
	}
	away := map[string]float64{}
	for _, sh := range g.shards {
		for i := range sh.players {
			p := &sh.players[i]
			q := 1.0
			if since := max(from, p.joins); since < to {
				q = math.Exp(-w.expectedSessions(p, since, to))
			}
			for j := range w.drops {
				if d := &w.drops[j]; d.start >= from && d.start < to {
					q *= 1 - w.reach(p, d)*w.arrived(d, to-d.start)
				}
			}
			away[sh.playerID(uint32(i))] = q
		}
	}
	return away, nil
}

// reach is the probability that a player who has appeared comes to d.
func (w *world) reach(p *player, d *drop) float64 {
	if p.creator == d.creator {
		return min(1, d.reach*1.5)
	}
	return d.reach
}

// arrived is the share of d's first visits up to an age (ms).
func (w *world) arrived(d *drop, age int64) float64 {
	b := &w.s.Behaviour
	length := d.end - d.start
	share := func(half int64) float64 {
		k := math.Ln2 / float64(half)
		return math.Expm1(-k*float64(min(age, length))) / math.Expm1(-k*float64(length))
	}
	return b.Premiere*share(b.PeakHalfLifeMS) + (1-b.Premiere)*share(b.TailHalfLifeMS)
}
