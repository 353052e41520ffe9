package simulate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

// Books are the exact books of what was generated, for comparison with what a
// pipeline made of it. They rest on these rules of the processors, over any number
// of partitions by key:
//
//   - a record that does not decode, names an unknown drop or whose event_time and
//     ingest_time differ by more than 7 d is dead-lettered;
//   - the effective time of an event is its event_time, or its ingest_time where event_time is over 60 s ahead of it;
//   - an event whose effective time is 10 min or more behind the watermark (the newest event_time of its
//     topic-partition − 10 s − 1 ms) is late; a duplicate of an accepted one is not counted.
type Books struct {
	// Topics by name. Every record has exactly one outcome:
	// Records = Accepted + Duplicates + Late + the sum of DeadLetters.
	Topics map[string]TopicBooks `json:"topics"`
	// Drops by drop_id; "" holds what happened outside drops.
	Drops map[string]DropBooks `json:"drops"`
	// Valid and Accepted are the players' acquisition in each view.
	Valid    Acquisition `json:"valid"`
	Accepted Acquisition `json:"accepted"`
}

// TopicBooks are the records of one topic.
type TopicBooks struct {
	Records    uint64 `json:"records"`
	Accepted   uint64 `json:"accepted"`
	Duplicates uint64 `json:"duplicates"`
	Late       uint64 `json:"late"`
	// DeadLetters by reason.
	DeadLetters map[string]uint64 `json:"dead_letters"`
	// Undecodable is the part of DeadLetters that the decoder refuses; the rest is quarantined by the processors.
	Undecodable uint64 `json:"undecodable"`
	// Valid is Accepted + Late: distinct events that count once all history is recomputed.
	Valid uint64 `json:"valid"`
	// Distinct is the number of distinct ids among the records that decode: Valid and the quarantined ones.
	Distinct uint64 `json:"distinct"`
	// Skewed is the part of Accepted whose clock runs more than 60 s ahead, Unstamped the part
	// without ingest_time, Delayed the part sent a minute or more after it happened.
	Skewed    uint64 `json:"skewed"`
	Unstamped uint64 `json:"unstamped"`
	Delayed   uint64 `json:"delayed"`
	// Types are the distinct events by type.
	Types map[string]Count `json:"types"`
}

// Count is a number in both views.
type Count struct {
	Valid    uint64 `json:"valid"`
	Accepted uint64 `json:"accepted"`
}

// DropBooks are the books of one drop.
type DropBooks struct {
	// Valid counts every distinct valid event, Accepted only those within the allowed lateness.
	Valid    DropView `json:"valid"`
	Accepted DropView `json:"accepted"`
	// Happened is what players did, delivered or not.
	Happened Happened `json:"happened"`
}

// DropView is what one view shows of a drop. Arrays are by funnel step: landing,
// impression, click, started, completed.
type DropView struct {
	// Events of each step.
	Events [event.NumSteps]uint64 `json:"events"`
	// Players whose first step k comes at or after their first step k−1, and so on down to a landing
	// that is not after their first completed checkout. This and the next two go by effective times before the drop's end.
	Players [event.NumSteps]uint64 `json:"players"`
	// FunnelGap counts players with a step that Players leaves out.
	FunnelGap uint64 `json:"funnel_gap"`
	// Conversions are players with a completed checkout, landing seen or not; 0 outside drops.
	Conversions uint64 `json:"conversions"`
	Completed   uint64 `json:"completed"`
	Failed      uint64 `json:"failed"`
	Refunded    uint64 `json:"refunded"`
	Chargeback  uint64 `json:"chargeback"`
	// Money by currency, in minor units.
	Money map[string]Money `json:"money"`
	// POPs by name: only those with a checkout.
	POPs map[string]POPView `json:"pops"`
	// Cues by target language.
	Cues map[string]Cues `json:"cues"`
	// Sold are the pieces in completed checkouts, by sku; Oversold those beyond the item's inventory.
	Sold     map[string]uint64 `json:"sold"`
	Oversold map[string]uint64 `json:"oversold"`
	// Channels are the completed checkouts by channel: web, app, pos.
	Channels map[string]uint64 `json:"channels"`
	// Partners by name: what became of their promises.
	Partners map[string]Fulfilment `json:"partners"`
}

// Fulfilment is what became of a partner's promises: each one was Kept, Late, Cancelled or is Open. The first of
// shipped and fulfilled is what hands an item over.
type Fulfilment struct {
	// Promised are completed checkouts with a promise.
	Promised uint64 `json:"promised"`
	// Kept were handed over by the promised time, Late after it.
	Kept uint64 `json:"kept"`
	Late uint64 `json:"late"`
	// Cancelled ones were refunded in full by the promised time and before any handover.
	Cancelled uint64 `json:"cancelled"`
	// Open ones are not handed over when the run ends, whether due or not.
	Open uint64 `json:"open"`
}

// Money is in minor units.
type Money struct {
	Completed   uint64 `json:"completed"`
	Gross       int64  `json:"gross"`
	Refunds     int64  `json:"refunds"`
	Chargebacks int64  `json:"chargebacks"`
}

// POPView is what one POP served of a drop. Refunds count at the purchase's POP.
type POPView struct {
	Completed uint64           `json:"completed"`
	Money     map[string]Money `json:"money"`
}

// Cues are the expected cues of one language.
type Cues struct {
	Expected uint64 `json:"expected"`
	Missing  uint64 `json:"missing"`
	// Good cues keep the default objectives.
	Good uint64 `json:"good"`
}

// Acquisition counts players by the ISO week (UTC) of their first event and by
// their first completed checkout, at effective times.
type Acquisition struct {
	// Seen is by the ISO week of the first event of any kind, as in "2025-W40".
	Seen map[string]uint64 `json:"seen"`
	// Payers is by the ISO week of the first completed checkout, FirstDrop and FirstCreator by its drop_id and creator_id.
	Payers       map[string]uint64 `json:"payers"`
	FirstDrop    map[string]uint64 `json:"first_drop"`
	FirstCreator map[string]uint64 `json:"first_creator"`
}

// Happened is the realised truth of a drop.
type Happened struct {
	// Visitors landed at least once; Converters bought, some of them in visits that outlast the drop.
	Visitors   uint64 `json:"visitors"`
	Converters uint64 `json:"converters"`
	// Latency buckets visitors by the milliseconds of their first landing request.
	Latency []Bucket `json:"latency"`
	// LatencyLoss are the expected conversions that landing above the drop's latency budget cost: Σ p(min(L, budget)) − p(L)
	// over visitors, by the POP of their first landing.
	LatencyLoss map[string]float64 `json:"latency_loss"`
	// Arms are exposed visitors by experiment and variant.
	Arms map[string]map[string]Arm `json:"arms"`
	// Retention of the converters.
	Retention Retention `json:"retention"`
	// Offer is what offering the goods changed, holdout or not.
	Offer Offer `json:"offer"`
	// Audience of the creator over [start, +7 d).
	Audience Audience `json:"audience"`
}

// Bucket is [FromMS, next bucket's FromMS).
type Bucket struct {
	FromMS     float64 `json:"from_ms"`
	Visitors   uint64  `json:"visitors"`
	Converters uint64  `json:"converters"`
}

// Arm is one variant of an experiment.
type Arm struct {
	Visitors   uint64 `json:"visitors"`
	Converters uint64 `json:"converters"`
}

// Offer counts the visitors who were offered the goods and those held out.
type Offer struct {
	Offered uint64 `json:"offered"`
	Held    uint64 `json:"held"`
}

// Audience are expected numbers of the creator's followers with a background session in
// the first week, as if all had been there at its beginning: with this drop's effect and without it.
type Audience struct {
	With    float64 `json:"with"`
	Without float64 `json:"without"`
}

// Horizon is the truth of one return window, each the change of the probability of a session in it.
type Horizon struct {
	// Days names it: window [index +1 d, +Days d), for one day [index +1 d, +2 d).
	Days int64 `json:"days"`
	// ReturnAnyway and Added are means over the converters by the time since purchase: without the purchase, and by it.
	ReturnAnyway float64 `json:"return_anyway"`
	Added        float64 `json:"added"`
	// PerPurchaser is the mean added per converter by the time since landing (what CACE estimates), PerOffered
	// the mean over all visitors who were offered the goods (what ITT estimates).
	PerPurchaser float64 `json:"per_purchaser"`
	PerOffered   float64 `json:"per_offered"`
}

// horizons are the return windows of the books.
var horizons = [...]Horizon{{Days: 1}, {Days: 7}, {Days: 28}}

func (h Horizon) window(index int64) (from, to int64) {
	return index + day, index + max(h.Days, 2)*day
}

// Retention are means over a drop's converters.
type Retention struct {
	Purchasers uint64 `json:"purchasers"`
	// ReturnAnyway is the mean probability of a background session in [purchase +1 d, +7 d) without the
	// purchase, Added the mean that the purchase added. A run that ends earlier shows only a part.
	ReturnAnyway float64 `json:"return_anyway"`
	Added        float64 `json:"added"`
	// Horizons tell the same per return window.
	Horizons []Horizon `json:"horizons"`
}

// latencyEdges are the storage edges of latency buckets in ms.
var latencyEdges = [...]float64{0, 50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000}

func newBooks(w *world, parts []*shard) *Books {
	b := &Books{Topics: map[string]TopicBooks{}, Drops: map[string]DropBooks{}, Valid: newAcquisition(), Accepted: newAcquisition()}
	for kind := event.KindPlayer; kind <= event.KindDrop; kind++ {
		b.Topics[kind.Topic()] = topicBooks(kind, parts)
	}
	for i := range w.drops {
		b.Drops[w.drops[i].id] = dropBooks(w, parts, i)
	}
	b.Drops[""] = dropBooks(w, parts, noDrop)
	for _, sh := range parts {
		for i := range sh.players {
			p := &sh.players[i]
			b.Valid.add(w, p, viewValid)
			b.Accepted.add(w, p, viewAccepted)
		}
	}
	return b
}

func newAcquisition() Acquisition {
	return Acquisition{map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}}
}

func (a *Acquisition) add(w *world, p *player, view int) {
	if at := p.seen[view]; at != 0 {
		a.Seen[isoWeek(at)]++
	}
	paid := p.paid[view]
	if paid.at == 0 {
		return
	}
	a.Payers[isoWeek(paid.at)]++
	a.FirstCreator[w.creators[paid.creator]]++
	id := ""
	if paid.drop != noDrop {
		id = w.drops[paid.drop].id
	}
	a.FirstDrop[id]++
}

func isoWeek(ms int64) string {
	year, week := time.UnixMilli(ms).UTC().ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}

func topicBooks(kind event.Kind, parts []*shard) TopicBooks {
	b := TopicBooks{DeadLetters: map[string]uint64{}, Types: map[string]Count{}}
	for _, sh := range parts {
		t := &sh.tally.topics[kind]
		b.Records += t.records
		b.Accepted += t.accepted
		b.Duplicates += t.duplicates
		b.Late += t.late
		b.Skewed += t.skewed
		b.Unstamped += t.unstamped
		b.Delayed += t.delayed
		b.Valid += t.accepted + t.late
		b.Distinct += t.accepted + t.late + t.quarantined
		for reason, n := range t.letters {
			b.DeadLetters[reason.String()] += n
			b.Undecodable += n
		}
		b.Undecodable -= t.quarantined
		for typ, n := range t.types {
			if n[viewValid] > 0 {
				name := event.Type(typ).String()
				c := b.Types[name]
				b.Types[name] = Count{c.Valid + n[viewValid], c.Accepted + n[viewAccepted]}
			}
		}
	}
	return b
}

func dropBooks(w *world, parts []*shard, number int) DropBooks {
	b := DropBooks{Valid: dropView(w, parts, number, viewValid), Accepted: dropView(w, parts, number, viewAccepted)}
	if number != noDrop {
		b.Happened = happened(w, parts, number)
	}
	return b
}

func emptyView() DropView {
	return DropView{Money: map[string]Money{}, POPs: map[string]POPView{}, Cues: map[string]Cues{},
		Sold: map[string]uint64{}, Oversold: map[string]uint64{}, Channels: map[string]uint64{}, Partners: map[string]Fulfilment{}}
}

func dropView(w *world, parts []*shard, number, view int) DropView {
	b := emptyView()
	total := newTally(w).drops[0].views[view]
	for _, sh := range parts {
		v := &sh.tally.drops[number+1].views[view]
		for step, n := range v.events {
			b.Events[step] += n
		}
		b.Failed += v.failed
		b.Refunded += v.refunded
		b.Chargeback += v.chargeback
		for sku, n := range v.sold {
			b.Sold[sku] += n
		}
		for channel, n := range v.channels {
			b.Channels[channel] += n
		}
		for _, p := range sh.promises {
			if p.drop == number {
				p.count(view, b.Partners)
			}
		}
		for i := range v.money {
			total.money[i].add(v.money[i])
		}
		for i := range v.cues {
			total.cues[i] += v.cues[i]
			total.missing[i] += v.missing[i]
			total.good[i] += v.good[i]
		}
		for key, visit := range sh.visits {
			if int(key.drop) == number {
				b.walk(&visit.first[view])
			}
		}
	}
	for i, m := range total.money {
		if m == (Money{}) {
			continue
		}
		currency, pop := w.currencies[i%len(w.currencies)], w.s.POPs[i/len(w.currencies)].Name
		b.Completed += m.Completed
		all := b.Money[currency]
		all.add(m)
		b.Money[currency] = all
		at := b.POPs[pop]
		if at.Money == nil {
			at.Money = map[string]Money{}
		}
		at.Completed += m.Completed
		at.Money[currency] = m
		b.POPs[pop] = at
	}
	if number != noDrop {
		for _, item := range w.drops[number].entry.Items {
			if n := b.Sold[item.SKU]; item.Inventory > 0 && n > item.Inventory {
				b.Oversold[item.SKU] = n - item.Inventory
			}
		}
	}
	for i, n := range total.cues {
		if n > 0 {
			b.Cues[w.s.Languages[i]] = Cues{Expected: n, Missing: total.missing[i], Good: total.good[i]}
		}
	}
	return b
}

// walk enters one visitor's first times into the ordered funnel.
func (b *DropView) walk(first *[event.NumSteps]int64) {
	if first[event.StepCompleted] != 0 {
		b.Conversions++
	}
	// Who has bought before landing has no way left to go.
	landing, bought := first[event.StepLanding], first[event.StepCompleted]
	ordered, last, gap := bought == 0 || landing <= bought, int64(0), false
	for step, at := range first {
		switch {
		case at == 0:
			ordered = false
		case ordered && at >= last:
			b.Players[step]++
			last = at
		default:
			ordered = false
			gap = gap || step > event.StepLanding
		}
	}
	if gap {
		b.FunnelGap++
	}
}

func happened(w *world, parts []*shard, number int) Happened {
	var h Happened
	for _, from := range latencyEdges {
		h.Latency = append(h.Latency, Bucket{FromMS: from})
	}
	d := &w.drops[number]
	h.Retention.Horizons = slices.Clone(horizons[:])
	h.Arms, h.LatencyLoss = map[string]map[string]Arm{}, map[string]float64{}
	lost := make([]int64, len(w.s.POPs))
	for i := range d.entry.Experiments {
		h.Arms[d.entry.Experiments[i].ID] = map[string]Arm{}
	}
	for _, sh := range parts {
		r := sh.tally.drops[number+1].retention
		h.Retention.Purchasers += r.purchasers
		h.Retention.ReturnAnyway += r.returnAnyway
		h.Retention.Added += r.added
		for i, x := range r.horizons {
			h.Retention.Horizons[i].ReturnAnyway += x.ReturnAnyway
			h.Retention.Horizons[i].Added += x.Added
			h.Retention.Horizons[i].PerPurchaser += x.PerPurchaser
		}
		for i := range sh.players {
			p := &sh.players[i]
			if p.creator != d.creator {
				continue
			}
			sessions := w.expectedSessions(p, d.start, d.start+upliftMS)
			h.Audience.With -= math.Expm1(-sessions)
			h.Audience.Without -= math.Expm1(w.upliftSessions(p, d, d.start, d.start+upliftMS) - sessions)
		}
		for key, v := range sh.visits {
			if int(key.drop) != number || !v.landed {
				continue
			}
			bought := uint64(0)
			if v.bought {
				bought = 1
			}
			h.Visitors++
			h.Converters += bought
			if v.offer == holdout {
				h.Offer.Held++
			} else {
				h.Offer.Offered++
			}
			if v.offer != "" {
				arms := h.Arms[d.offer.ID]
				a := arms[v.offer]
				arms[v.offer] = Arm{a.Visitors + 1, a.Converters + bought}
			}
			lost[v.pop] += int64(v.lost)
			k := len(latencyEdges) - 1
			for float64(v.landingMS) < latencyEdges[k] {
				k--
			}
			h.Latency[k].Visitors++
			h.Latency[k].Converters += bought
			if v.variant != "" {
				arms := h.Arms[d.entry.Experiments[sh.players[key.player].language].ID]
				a := arms[v.variant]
				arms[v.variant] = Arm{a.Visitors + 1, a.Converters + bought}
			}
		}
	}
	for pop, n := range lost {
		if n != 0 {
			h.LatencyLoss[w.s.POPs[pop].Name] = float64(n) / 1e9
		}
	}
	if n := float64(h.Retention.Purchasers); n > 0 {
		h.Retention.ReturnAnyway /= n
		h.Retention.Added /= n
		for i := range h.Retention.Horizons {
			x := &h.Retention.Horizons[i]
			x.PerOffered = x.PerPurchaser / float64(h.Offer.Offered)
			x.ReturnAnyway /= n
			x.Added /= n
			x.PerPurchaser /= n
		}
	}
	return h
}
