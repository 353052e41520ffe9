package simulate

import (
	"math"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// noDrop is the drop number of what happens outside drops.
const noDrop = -1

// session is one player's session under way.
type session struct {
	id, playerID string
	player       uint32
	drop         int
	pop          uint8
	crash        bool
	end          int64
	beat, sample int64
	acts         []act // by time
	orders       []order
	landingMS    float64
	// Events held back until the session's end, so that they come beyond the allowed lateness.
	heldPlayer, heldLatency *held
}

// act is one planned step of a session.
type act struct {
	at    int64
	op    op
	order uint8
}

type op uint8

const (
	opLandingRequest op = iota
	opLandingView
	opExposure
	opOffer
	opImpression
	opClick
	opStart
	opComplete
	opFail
	opManifest
)

// visitKey is a shard's player and a drop.
type visitKey struct {
	player uint32
	drop   uint8
}

// visit is what one player did in one drop, over all sessions.
type visit struct {
	// first is the first effective time of each funnel step, 0 for never.
	first [numViews][event.NumSteps]int64
	// What really happened, whatever was delivered.
	landed, converts, bought bool
	landingMS                float32
	landedAt                 int64
	// The arms shown: of the call to action, and of the offer's holdout.
	variant, offer string
	// lost is the probability of converting at the latency budget less the one at landingMS, where that is above it, in billionths:
	// whole numbers add up to the same sum in any order. pop served the landing.
	lost int32
	// cta is the probability of converting under control and treatment, in billionths too.
	cta [2]int32
	pop uint8
}

func (sh *shard) visit(player uint32, dropNumber int) *visit {
	key := visitKey{player, uint8(dropNumber)}
	v := sh.visits[key]
	if v == nil {
		v = &visit{}
		sh.visits[key] = v
	}
	return v
}

// startSession starts a session now.
func (sh *shard) startSession(player uint32, dropNumber int) {
	b := &sh.w.s.Behaviour
	p := &sh.players[player]
	p.inSession = true
	median := b.SessionMS
	if dropNumber != noDrop {
		median = b.VisitMS
	}
	i := alloc(&sh.sessions, &sh.freeSessions, session{})
	s := &sh.sessions[i]
	*s = session{
		id: sh.name('s'), playerID: sh.playerID(player), player: player, drop: dropNumber, pop: p.pop,
		crash: sh.chance(b.Crash), beat: sh.now + b.HeartbeatMS, sample: sh.now + sh.between(1, b.SampleMS+1),
		end: sh.now + sh.lognormal(median, b.SessionSigma, 5*second, 3*hour),
	}
	if pops := sh.w.popsOf[p.region]; sh.chance(0.05) {
		s.pop = pops[sh.rng.IntN(len(pops))]
	}
	sh.player(s, event.SessionStart, nil)
	s.plan(sh.now+sh.between(100, 600), opManifest, 0)
	if dropNumber != noDrop {
		s.plan(sh.now+sh.between(200, 1500), opLandingRequest, 0)
	} else if sh.chance(b.BackgroundPurchase * math.Exp(0.5*float64(p.engagement))) {
		s.plan(sh.now+sh.between(20*second, 4*minute), opStart, s.add(order{item: noItem, outcome: completes}))
	}
	sh.timers.push(timer{at: s.next(), what: timeStep, ref: i})
}

// plan adds an act and keeps the session open for it.
func (s *session) plan(at int64, what op, order uint8) {
	i, _ := slices.BinarySearchFunc(s.acts, at, func(a act, at int64) int {
		if a.at <= at {
			return -1
		}
		return 1
	})
	s.acts = slices.Insert(s.acts, i, act{at, what, order})
	s.end = max(s.end, at+second)
}

func (s *session) add(o order) uint8 {
	s.orders = append(s.orders, o)
	return uint8(len(s.orders) - 1)
}

func (s *session) next() int64 {
	t := min(s.beat, s.sample, s.end)
	if len(s.acts) > 0 {
		t = min(t, s.acts[0].at)
	}
	return t
}

// step does what a session does now.
func (sh *shard) step(i uint32) {
	b := &sh.w.s.Behaviour
	s := &sh.sessions[i]
	switch {
	case len(s.acts) > 0 && s.acts[0].at == sh.now:
		a := s.acts[0]
		s.acts = slices.Delete(s.acts, 0, 1)
		sh.act(s, a)
	case s.end == sh.now:
		sh.endSession(s)
		sh.players[s.player].inSession = false
		sh.sessions[i] = session{}
		sh.freeSessions = append(sh.freeSessions, i)
		return
	case s.beat == sh.now:
		s.beat += b.HeartbeatMS
		sh.player(s, event.Heartbeat, nil)
	default:
		s.sample += b.SampleMS
		// Only the samples that are sent are drawn; the others leave no trace.
		if sh.chance(b.SampleRate) {
			sh.request(s, event.RequestSegment)
		}
	}
	sh.timers.push(timer{at: s.next(), what: timeStep, ref: i})
}

func (sh *shard) endSession(s *session) {
	if s.heldLatency != nil {
		sh.edge(s, event.RequestAPI)
		sh.release(s.heldLatency, sh.emit(sh.subject(s), clean))
	}
	if s.heldPlayer != nil {
		// A session that still owes an event does not crash.
		sh.begin(s, event.KindPlayer, event.SessionEnd)
		sh.release(s.heldPlayer, sh.emit(sh.subject(s), clean))
		return
	}
	if !s.crash {
		sh.player(s, event.SessionEnd, nil)
	}
}

func (sh *shard) act(s *session, a act) {
	switch a.op {
	case opManifest:
		sh.request(s, event.RequestManifest)
	case opLandingRequest:
		s.landingMS = sh.request(s, event.RequestLanding)
		s.plan(sh.now+max(1, int64(s.landingMS)), opLandingView, 0)
	case opLandingView:
		sh.land(s)
	case opExposure:
		v := sh.visit(s.player, s.drop)
		sh.player(s, event.CTAExposure, func(ev *event.Event) {
			ev.Player.ExperimentID, ev.Player.Variant = sh.experiment(s).ID, v.variant
		})
	case opOffer:
		v := sh.visit(s.player, s.drop)
		sh.player(s, event.CTAExposure, func(ev *event.Event) {
			ev.Player.ExperimentID, ev.Player.Variant = sh.w.drops[s.drop].offer.ID, v.offer
		})
	case opImpression, opClick:
		if sh.players[s.player].adBlocked {
			return
		}
		typ := event.OfferImpression
		if a.op == opClick {
			typ = event.OfferClick
		}
		sh.player(s, typ, func(ev *event.Event) { ev.Player.SKU = sh.item(s, &s.orders[a.order]).SKU })
	case opStart:
		sh.startCheckout(s, a.order)
	case opComplete:
		sh.completeCheckout(s, a.order)
	case opFail:
		sh.failCheckout(s, a.order)
	}
}

// experiment is the drop's experiment in the player's language, or nil.
func (sh *shard) experiment(s *session) *event.Experiment {
	d := &sh.w.drops[s.drop]
	if len(d.entry.Experiments) == 0 {
		return nil
	}
	return &d.entry.Experiments[sh.players[s.player].language]
}

// land is the landing view: the first one of a drop decides whether the player
// will convert, by the latency just experienced, engagement and the variant shown.
func (sh *shard) land(s *session) {
	b, e := &sh.w.s.Behaviour, &sh.w.s.Effects
	p, v := &sh.players[s.player], sh.visit(s.player, s.drop)
	sh.player(s, event.LandingView, nil)
	first := !v.landed
	if first {
		v.landed, v.landingMS, v.landedAt, v.pop = true, float32(s.landingMS), sh.now, s.pop
		d := &sh.w.drops[s.drop]
		if d.offer != nil {
			v.offer = assign(d.offer, s.playerID)
		}
		logit := b.ConversionLogit + e.LatencyLogit*s.landingMS/100 + e.BuyLogit*float64(p.engagement)
		if b.Rush != 0 {
			logit += b.Rush * math.Exp2(-float64(sh.now-d.start)/float64(b.PeakHalfLifeMS))
		}
		if x := sh.experiment(s); x != nil && v.offer != holdout {
			v.variant = assign(x, s.playerID)
			effect := e.CTA[sh.w.s.Languages[p.language]]
			for i, with := range []float64{logit, logit + effect} {
				v.cta[i] = int32(math.Round(1e9 / (1 + math.Exp(-with))))
			}
			if v.variant == treatment {
				logit += effect
			}
		}
		probability := 1 / (1 + math.Exp(-logit))
		v.converts = sh.chance(probability) && v.offer != holdout
		if over := s.landingMS - float64(d.entry.LatencyBudgetMS); over > 0 && v.offer != holdout {
			v.lost = int32(math.Round(1e9 * (1/(1+math.Exp(e.LatencyLogit*over/100-logit)) - probability)))
		}
	}
	if v.offer != "" {
		s.plan(sh.now+sh.between(100, 400), opOffer, 0)
	}
	if v.offer == holdout {
		return // nothing is on offer, and no call to action either
	}
	if v.variant != "" {
		s.plan(sh.now+sh.between(100, 400), opExposure, 0)
	}
	o := s.add(order{item: sh.choose(s), outcome: abandons})
	if first && v.converts {
		sh.planPurchase(s, o, sh.lognormal(b.ConvertMS, 0.8, 20*second, 2*hour))
		return
	}
	if !sh.chance(b.Impression) {
		return
	}
	at := sh.now + sh.between(500, 8*second)
	s.plan(at, opImpression, o)
	if !sh.chance(b.Click) {
		return
	}
	at += sh.between(2*second, 90*second)
	s.plan(at, opClick, o)
	if !sh.chance(b.Start) {
		return
	}
	if sh.chance(0.3) {
		s.orders[o].outcome = fails
	}
	s.plan(at+sh.between(3*second, 40*second), opStart, o)
}

// planPurchase plans a purchase that is completed after about `after` ms.
func (sh *shard) planPurchase(s *session, o uint8, after int64) {
	s.orders[o].outcome = completes
	if sh.chance(sh.w.s.Behaviour.Failure) {
		s.orders[o].outcome = failsFirst
	}
	s.plan(sh.now+min(after/4, sh.between(500, 8*second)), opImpression, o)
	s.plan(sh.now+after/2, opClick, o)
	s.plan(sh.now+after*8/10, opStart, o)
}

// begin starts writing a session's event, which happens now.
func (sh *shard) begin(s *session, kind event.Kind, typ event.Type) *event.Event {
	p := &sh.players[s.player]
	ev := &sh.ev
	*ev = event.Event{Kind: kind, Envelope: event.Envelope{
		Type: typ, EventTime: sh.now, PlayerID: s.playerID, SessionID: s.id,
		Region: sh.w.s.Regions[p.region].Code, POP: sh.w.s.POPs[s.pop].Name, Language: sh.w.s.Languages[p.language],
		Device: devices[p.device], Consent: p.consent, SampleRate: 1, SchemaVersion: 1,
	}}
	if s.drop == noDrop {
		ev.CreatorID = sh.w.creators[p.creator]
	} else {
		d := &sh.w.drops[s.drop]
		ev.DropID, ev.CreatorID = d.id, sh.w.creators[d.creator]
	}
	return ev
}

func (sh *shard) subject(s *session) subject {
	p := &sh.players[s.player]
	return subject{key: s.playerID, player: int32(s.player), drop: s.drop, pop: s.pop, currency: sh.w.currencyOf[p.region], skew: int64(p.skew)}
}

// lateFrom is how much newer a sender's own newest event must be at least, when an
// event is delivered beyond the allowed lateness of 10 min.
const lateFrom = 25 * minute

// player sends a player event that happens now; fill completes it.
func (sh *shard) player(s *session, typ event.Type, fill func(*event.Event)) {
	ev := sh.begin(s, event.KindPlayer, typ)
	if h := sh.w.s.Behaviour.HeartbeatMS; h != 30*second {
		ev.Player.HeartbeatMS = h
	}
	if fill != nil {
		fill(ev)
	}
	chance := 0.3
	if typ == event.Heartbeat {
		chance = 0.03 // they are many, and would leave nothing to the others
	}
	sub := sh.subject(s)
	if s.heldPlayer == nil && sub.skew == 0 && s.end-sh.now >= lateFrom && sh.wantsLate(event.KindPlayer, chance) {
		s.heldPlayer = sh.hold(sub)
		return
	}
	sh.emit(sub, ordinary)
}

// request sends one edge request that happens now and returns its latency.
func (sh *shard) request(s *session, what event.Request) float64 {
	ev := sh.edge(s, what)
	ms := ev.Latency.MS
	chance := 0.3
	if what == event.RequestSegment {
		chance = 0.1
	}
	sub := sh.subject(s)
	if s.heldLatency == nil && sub.skew == 0 && s.end-sh.now >= lateFrom && sh.wantsLate(event.KindLatency, chance) {
		s.heldLatency = sh.hold(sub)
		return ms
	}
	sh.emit(sub, ordinary)
	return ms
}

// edge writes an edge request.
func (sh *shard) edge(s *session, what event.Request) *event.Event {
	ev := sh.begin(s, event.KindLatency, event.EdgeRequest)
	sh.measure(ev, what, s.pop)
	if what == event.RequestSegment {
		ev.SampleRate = sh.w.s.Behaviour.SampleRate
	}
	return ev
}

func (sh *shard) measure(ev *event.Event, what event.Request, pop uint8) {
	l := &ev.Latency
	l.Request = what
	l.MS, l.Cache = sh.w.latency(pop, sh.now, sh.rng)
	l.CPUMS = math.Round(10*math.Exp(1+0.5*sh.rng.NormFloat64())) / 10
	size := int64(30_000)
	if what == event.RequestSegment {
		size = 900_000
	}
	l.EgressBytes = sh.lognormal(size, 0.4, 200, 20_000_000)
}

// probe sends a synthetic request that no business metric counts.
func (sh *shard) probe(number uint32) {
	pop := &sh.w.s.POPs[number]
	ev := &sh.ev
	*ev = event.Event{Kind: event.KindLatency, Envelope: event.Envelope{
		Type: event.EdgeRequest, EventTime: sh.now, Region: pop.Region, POP: pop.Name,
		SampleRate: 1, SchemaVersion: 1, Synthetic: true,
	}}
	sh.measure(ev, event.RequestProbe, uint8(number))
	sh.emit(subject{key: pop.Name, player: noPlayer, drop: noDrop, pop: uint8(number)}, clean)
	if at := sh.now + sh.w.s.Behaviour.ProbeMS; at < sh.w.end {
		sh.timers.push(timer{at: at, what: timeProbe, ref: number})
	}
}
