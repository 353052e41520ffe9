package simulate

import (
	"math"
)

// player is one player's traits and what the books need to know.
type player struct {
	engagement float32 // standard normal
	rate       float32 // background sessions per day
	skew       int32   // ms that the clock runs ahead
	creator    uint16  // favourite
	region     uint8
	pop        uint8
	language   uint8
	consent    uint8
	app        bool
	adBlocked  bool
	newcomer   bool
	inSession  bool
	device     uint8 // of devices
	till       bool  // buys at a till
	joins      int64 // when background sessions begin; a drop may be visited before. 0 for the begin or the first visit

	seen [numViews]int64 // first effective time, 0 for never
	paid [numViews]firstPurchase
}

type firstPurchase struct {
	at      int64
	creator uint16
	drop    int16 // −1 outside drops
}

// populate draws the shard's players and when each may first appear.
func (sh *shard) populate() {
	w, s := sh.w, &sh.w.s
	n := 0
	if s.Players > sh.number {
		n = (s.Players-sh.number-1)/w.shards + 1
	}
	sh.players = make([]player, n)
	for i := range sh.players {
		p := &sh.players[i]
		p.engagement = float32(sh.rng.NormFloat64())
		p.rate = float32(s.Behaviour.SessionsPerDay * math.Exp(s.Effects.RateLog*float64(p.engagement)))
		p.creator = uint16(pick(w.followers, sh.rng))
		p.region = uint8(pick(w.regions, sh.rng))
		pops := w.popsOf[p.region]
		p.pop = pops[sh.rng.IntN(len(pops))]
		p.language = w.languageOf[p.region]
		if sh.chance(0.1) {
			p.language = uint8(sh.rng.IntN(len(s.Languages)))
		}
		p.consent = 1
		if sh.chance(0.7) {
			p.consent |= 2
		}
		if sh.chance(0.4) {
			p.consent |= 4
		}
		p.app = sh.chance(0.55)
		p.adBlocked = sh.chance(s.Faults.AdBlocked)
		p.device = device(p.app, sh.trait(uint32(i), traitDevice))
		p.till = sh.trait(uint32(i), traitTill) < s.Behaviour.PointOfSale
		if sh.chance(s.Faults.WrongClock) {
			p.skew = int32(sh.between(hour, 12*hour))
		}
		switch u := sh.rng.Float64(); {
		case u < s.Behaviour.Newcomers:
			p.newcomer = true
		case u < s.Behaviour.Newcomers+s.Behaviour.Joining:
			p.joins = w.begin + sh.rng.Int64N(s.HistoryMS)
			sh.proposeAfter(uint32(i), p.joins)
		default:
			sh.proposeAfter(uint32(i), w.begin)
		}
	}
}

// devices are the classes of device.
var devices = [...]string{"phone", "tablet", "desktop", "tv", "console"}

// device is a player's class of device: apps run on phones and tablets.
func device(app bool, u float64) uint8 {
	shares := [...]float64{0.25, 0.33, 0.85, 0.92, 1}
	if app {
		shares = [...]float64{0.85, 1, 1, 1, 1}
	}
	for i, up := range shares {
		if u < up {
			return uint8(i)
		}
	}
	return uint8(len(devices) - 1)
}

// The traits of players that are hashes of who they are, not draws: a scenario that changes one leaves all else as it was.
const (
	traitDevice uint64 = iota + 1
	traitTill
)

// trait is uniform in [0, 1).
func (sh *shard) trait(number uint32, which uint64) float64 {
	x := mix(mix(sh.w.s.Seed+which<<32) + uint64(number)*uint64(sh.w.shards) + uint64(sh.number))
	return float64(x>>11) / (1 << 53)
}

// playerID is a pseudonym, unique because mixing is a bijection.
func (sh *shard) playerID(number uint32) string {
	return hexName('p', mix(mix(sh.w.s.Seed)+uint64(number)*uint64(sh.w.shards)+uint64(sh.number)))
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// proposeAfter schedules the next time after t at which the player may start a
// background session: thinning of the highest rate gives the rate of each moment.
func (sh *shard) proposeAfter(number uint32, t int64) {
	wait := sh.rng.ExpFloat64() / sh.w.peakIntensity(&sh.players[number]) * float64(day)
	if at := float64(t) + max(1, wait); at < float64(sh.w.end) {
		sh.timers.push(timer{at: int64(at), what: timePropose, ref: number})
	}
}

func (sh *shard) propose(number uint32) {
	p := &sh.players[number]
	sh.proposeAfter(number, sh.now)
	if !sh.chance(sh.w.intensity(p, sh.now)/sh.w.peakIntensity(p)) || p.inSession {
		return
	}
	sh.startSession(number, noDrop)
}

// comeback is a session that a purchase caused.
func (sh *shard) comeback(number uint32) {
	if !sh.players[number].inSession {
		sh.startSession(number, noDrop)
	}
}

// retain decides whether a conversion brings the player back in [+1 d, +7 d). The
// session it adds counts only for players who would not have come anyway, so it is
// given more often than the effect: q·(1−P0) = effect.
func (sh *shard) retain(number uint32, dropNumber int) {
	effect := sh.w.s.Effects.Retention
	from, to := sh.now+day, sh.now+7*day
	away := math.Exp(-sh.w.expectedSessions(&sh.players[number], from, to))
	q := min(1, effect/away)
	r := &sh.tally.drops[dropNumber+1].retention
	r.purchasers++
	r.returnAnyway += 1 - away
	r.added += q * away
	landed := sh.visit(number, dropNumber).landedAt
	for i, h := range horizons {
		// The window of the horizon catches this share of the sessions that the purchase adds, and those
		// change something for players who have no other one in it.
		adds := func(index int64) (anyway, added float64) {
			a, b := h.window(index)
			away := math.Exp(-sh.w.expectedSessions(&sh.players[number], a, b))
			share := float64(max(0, min(b, to)-max(a, from))) / float64(to-from)
			return 1 - away, q * share * away
		}
		anyway, added := adds(sh.now)
		_, offered := adds(landed)
		r.horizons[i].ReturnAnyway += anyway
		r.horizons[i].Added += added
		r.horizons[i].PerPurchaser += offered
	}
	if sh.chance(q) {
		if at := sh.between(from, to); at < sh.w.end {
			sh.timers.push(timer{at: at, what: timeComeback, ref: number})
		}
	}
}

// open chooses the visitors of a drop.
func (sh *shard) open(dropNumber int) {
	w := sh.w
	d := &w.drops[dropNumber]
	main := dropNumber == w.main()
	for i := range sh.players {
		p := &sh.players[i]
		reach := w.reach(p, d)
		if p.newcomer {
			if !main {
				continue
			}
			reach = 1
		}
		if !sh.chance(reach) {
			continue
		}
		sh.timers.push(timer{at: w.arrival(d, sh.rng), what: timeVisit, ref: uint32(i), drop: uint8(dropNumber)})
	}
}

// arrive starts a visit, after the session under way if there is one.
func (sh *shard) arrive(number uint32, dropNumber int) {
	p, d := &sh.players[number], &sh.w.drops[dropNumber]
	if p.inSession {
		if at := sh.now + sh.between(minute, 5*minute); at < d.end {
			sh.timers.push(timer{at: at, what: timeVisit, ref: number, drop: uint8(dropNumber)})
		}
		return
	}
	if p.newcomer {
		p.newcomer = false
		sh.proposeAfter(number, sh.now)
	}
	sh.startSession(number, dropNumber)
	if sh.chance(sh.w.s.Behaviour.Revisit) {
		if at := sh.now + sh.between(hour, 12*hour); at < d.end {
			sh.timers.push(timer{at: at, what: timeVisit, ref: number, drop: uint8(dropNumber)})
		}
	}
}
