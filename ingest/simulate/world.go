package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// world is what all shards share and none changes.
type world struct {
	s          Scenario
	shards     int
	begin, end int64 // of new activity; sessions under way at the end are played out
	drops      []drop
	creators   []string
	followers  []float64 // cumulative share of players by favourite creator
	regions    []float64 // cumulative share of players by region
	partners   []float64 // cumulative share of orders by partner
	currencies []string
	currencyOf []uint8   // by region
	languageOf []uint8   // by region
	popsOf     [][]uint8 // by region
	degraded   [][]Degradation
}

// drop is one drop as the simulation plays it.
type drop struct {
	entry      event.Drop
	id, stream string
	creator    uint16
	start, end int64
	reach      float64
	streamMS   int64
	// updateAt publishes entry's next version, with split version 2; 0 for never.
	updateAt int64
	// offer is the experiment of entry that withholds the goods from some, or nil.
	offer *event.Experiment
	// goods index entry.Items by currency and good.
	goods [][numGoods]int
}

// The goods of a drop: a very limited one, a limited one and one without limit.
const (
	goodVIP = iota
	goodJacket
	goodPoster
	numGoods
)

var goods = [numGoods]struct {
	sku   string
	cents float64
	// perMille of the expected visitors of a currency is the inventory; 0 means unlimited.
	perMille float64
	physical bool
}{
	goodVIP:    {sku: "vip", cents: 19900, perMille: 4},
	goodJacket: {sku: "jacket", cents: 4999, perMille: 40, physical: true},
	goodPoster: {sku: "poster", cents: 1200, physical: true},
}

func newWorld(s Scenario) *world {
	w := &world{s: s, begin: s.StartMS - s.HistoryMS, end: s.StartMS + s.DropMS + s.AfterMS,
		shards: min(max(s.Players/playersPerShard, 1), maxShards)}
	for i := range s.Creators {
		w.creators = append(w.creators, fmt.Sprintf("creator-%02d", i+1))
	}
	w.followers = cumulative(s.Creators, func(i int) float64 { return 1 / float64(i+1) })
	w.regions = cumulative(len(s.Regions), func(i int) float64 { return s.Regions[i].Weight })
	w.partners = cumulative(len(s.Partners), func(i int) float64 { return s.Partners[i].Weight })
	for _, r := range s.Regions {
		c := slices.Index(w.currencies, r.Currency)
		if c < 0 {
			c = len(w.currencies)
			w.currencies = append(w.currencies, r.Currency)
		}
		w.currencyOf = append(w.currencyOf, uint8(c))
		w.languageOf = append(w.languageOf, uint8(slices.Index(s.Languages, r.Language)))
		var pops []uint8
		for i, p := range s.POPs {
			if p.Region == r.Code {
				pops = append(pops, uint8(i))
			}
		}
		w.popsOf = append(w.popsOf, pops)
	}
	for _, p := range s.POPs {
		var own []Degradation
		for _, d := range s.Degradations {
			if d.POP == p.Name {
				own = append(own, d)
			}
		}
		w.degraded = append(w.degraded, own)
	}
	for i, e := range s.Earlier {
		d := drop{
			id: fmt.Sprintf("drop-%03d", i+1), creator: uint16(e.Creator - 1),
			start: s.StartMS - e.BeforeMS, end: s.StartMS - e.BeforeMS + e.DropMS,
			reach: e.Reach, streamMS: min(s.Subtitles.StreamMS/3, e.DropMS),
		}
		w.describe(&d, false)
		w.drops = append(w.drops, d)
	}
	main := drop{
		id: fmt.Sprintf("drop-%03d", len(s.Earlier)+1), start: s.StartMS, end: s.StartMS + s.DropMS,
		reach: s.Behaviour.Reach, streamMS: s.Subtitles.StreamMS, updateAt: s.StartMS + s.DropMS/2,
	}
	w.describe(&main, true)
	w.drops = append(w.drops, main)
	return w
}

// main is the number of the main drop.
func (w *world) main() int { return len(w.drops) - 1 }

// describe writes the catalogue entry of d.
func (w *world) describe(d *drop, experiments bool) {
	d.stream = d.id + "-premiere"
	creator := w.creators[d.creator]
	d.entry = event.Drop{
		Name: "Premiere of " + creator, Version: 1, StartMS: d.start, EndMS: d.end,
		Splits: []event.Split{{Version: 1, Shares: []event.Share{
			{Participant: "platform", BPS: 1000}, {Participant: creator, BPS: 6500}, {Participant: "label", BPS: 2500}}}},
		Budget: w.s.Budget, BudgetCurrency: "USD",
		LatencyBudgetMS: 300,
		CueCost:         cueCost,
		AnnouncedMS:     d.start - w.s.AnnounceMS,
		Followers:       uint64(math.Round(float64(w.s.Players) * w.follow(d.creator))),
		Forecast:        w.forecast(d),
	}
	d.goods = make([][numGoods]int, len(w.currencies))
	priced := make([]bool, len(w.currencies))
	for region, r := range w.s.Regions {
		c := w.currencyOf[region]
		if priced[c] {
			continue
		}
		priced[c] = true
		visitors := float64(w.s.Players) * d.reach * w.currencyShare(c)
		for g, good := range goods {
			item := event.Item{SKU: good.sku + "-" + r.Currency, Price: max(1, int64(math.Round(good.cents*r.MinorPerCent))), Currency: r.Currency}
			if good.perMille > 0 {
				item.Inventory = max(1, uint64(visitors*good.perMille/1000))
			}
			d.goods[c][g] = len(d.entry.Items)
			d.entry.Items = append(d.entry.Items, item)
		}
	}
	if !experiments {
		return
	}
	for _, language := range w.s.Languages {
		d.entry.Experiments = append(d.entry.Experiments, event.Experiment{
			ID: "cta-" + language, Salt: "v1", TrafficBPS: 9000,
			Variants: []event.Variant{{Name: control, BPS: 5000}, {Name: treatment, BPS: 5000}},
		})
	}
	if held := w.s.HoldoutBPS; held > 0 {
		d.offer = &event.Experiment{
			ID: "offer-holdout", Salt: "v1", TrafficBPS: 10_000, Holdout: holdout,
			Variants: []event.Variant{{Name: holdout, BPS: held}, {Name: offered, BPS: 10_000 - held}},
		}
		d.entry.Experiments = append(d.entry.Experiments, *d.offer)
	}
}

// cueCost is a fifth of a US cent for a translated cue.
const cueCost = 2_000_000

// follow is the share of players whose favourite a creator is.
func (w *world) follow(creator uint16) float64 {
	if creator == 0 {
		return w.followers[0]
	}
	return w.followers[creator] - w.followers[creator-1]
}

// forecast is the expected course of the first visits, as arrival draws them, by eighths of the drop and one point
// after the premiere's half-life.
func (w *world) forecast(d *drop) []event.ForecastPoint {
	length := d.end - d.start
	ages := []int64{}
	if half := w.s.Behaviour.PeakHalfLifeMS; half < length/8 {
		ages = append(ages, half)
	}
	for i := int64(1); i <= 8; i++ {
		ages = append(ages, length*i/8)
	}
	points := make([]event.ForecastPoint, len(ages))
	for i, age := range ages {
		points[i] = event.ForecastPoint{AgeMS: age, BPS: uint32(math.Round(10_000 * w.arrived(d, age)))}
	}
	return points
}

// physical says whether an item of d has to be handed over.
func (d *drop) physical(item int) bool {
	for _, own := range d.goods {
		for g, i := range own {
			if i == item {
				return goods[g].physical
			}
		}
	}
	return false
}

// The arms of every experiment.
const (
	control   = "control"
	treatment = "treatment"
)

// The arms of the offer's holdout.
const (
	holdout = "holdout"
	offered = "offered"
)

// currencyShare is the share of players that pay in currency c.
func (w *world) currencyShare(c uint8) float64 {
	share, last := 0.0, 0.0
	for region, up := range w.regions {
		if w.currencyOf[region] == c {
			share += up - last
		}
		last = up
	}
	return share
}

// updated is the second version of a drop's entry: new shares for later sales, and a larger budget.
func (d *drop) updated() event.Drop {
	e := d.entry
	e.Version = 2
	creator := e.Splits[0].Shares[1].Participant
	e.Splits = append(slices.Clone(e.Splits), event.Split{Version: 2, Shares: []event.Share{
		{Participant: "platform", BPS: 1000}, {Participant: creator, BPS: 5500}, {Participant: "guest", BPS: 1000}, {Participant: "label", BPS: 2500}}})
	e.Budget += e.Budget / 2
	return e
}

// splitVersion is the version a sale at t is settled by.
func (d *drop) splitVersion(t int64) uint32 {
	if d.updateAt != 0 && t >= d.updateAt {
		return 2
	}
	return 1
}

// arrival draws the time of a first visit: a premiere crowd and a long tail, each
// decaying exponentially and cut at the drop's end.
func (w *world) arrival(d *drop, rng *rand.Rand) int64 {
	b := &w.s.Behaviour
	half := b.TailHalfLifeMS
	if rng.Float64() < b.Premiere {
		half = b.PeakHalfLifeMS
	}
	k, length := math.Ln2/float64(half), float64(d.end-d.start)
	age := -math.Log1p(-rng.Float64()*-math.Expm1(-k*length)) / k
	return d.start + min(int64(age), d.end-d.start-1)
}

// latency draws the milliseconds of one request at pop at time t, and the cache's verdict.
func (w *world) latency(pop uint8, t int64, rng *rand.Rand) (ms float64, cache event.CacheStatus) {
	p := &w.s.POPs[pop]
	ms = p.MedianMS * math.Exp(p.Sigma*rng.NormFloat64())
	switch u := rng.Float64(); {
	case u < 0.92:
		cache = event.CacheHit
	case u < 0.98:
		cache = event.CacheMiss
		ms *= 2.5
	default:
		cache = event.CacheStale
	}
	for i := range w.drops {
		if d := &w.drops[i]; t >= d.start && t < d.end {
			age := float64(t - d.start)
			ms *= 1 + w.s.Behaviour.Load*math.Exp2(-age/float64(w.s.Behaviour.PeakHalfLifeMS))
		}
	}
	for _, g := range w.degraded[pop] {
		if age := t - w.s.StartMS; age >= g.FromMS && age < g.ToMS {
			ms *= g.Factor
		}
	}
	// A tenth of a millisecond is what clients measure.
	return min(math.Round(ms*10)/10, 60_000), cache
}

// expectedSessions integrates a player's rate of background sessions over [from, to).
func (w *world) expectedSessions(p *player, from, to int64) float64 {
	n := w.cycles(p, from, to)
	for i := range w.drops {
		d := &w.drops[i]
		if d.creator == p.creator {
			if a, b := max(from, d.start), min(to, d.start+upliftMS); a < b {
				n += w.s.Effects.CreatorUplift * w.cycles(p, a, b)
			}
		}
	}
	return float64(p.rate) * n
}

// upliftSessions is the part of a player's expectedSessions that d's uplift adds in [from, to).
func (w *world) upliftSessions(p *player, d *drop, from, to int64) float64 {
	if a, b := max(from, d.start), min(to, d.start+upliftMS); d.creator == p.creator && a < b {
		return float64(p.rate) * w.s.Effects.CreatorUplift * w.cycles(p, a, b)
	}
	return 0
}

// upliftMS is how long after a drop's start its creator's followers are more active.
const upliftMS = 7 * day

// cycles integrates the daily cycle over [from, to), in days.
func (w *world) cycles(p *player, from, to int64) float64 {
	a := w.s.Behaviour.Diurnal
	antiderivative := func(t int64) float64 {
		x := float64(t+w.s.Regions[p.region].UTCOffsetMS) / float64(day)
		return x - a/(2*math.Pi)*math.Cos(2*math.Pi*(x-peakShift))
	}
	return antiderivative(to) - antiderivative(from)
}

// peakShift moves the sine's peak, a quarter of a day in, to 20:00 local time.
const peakShift = 20.0/24 - 0.25

// intensity is a player's rate of background sessions at t, per day.
func (w *world) intensity(p *player, t int64) float64 {
	x := float64(t+w.s.Regions[p.region].UTCOffsetMS) / float64(day)
	rate := float64(p.rate) * (1 + w.s.Behaviour.Diurnal*math.Sin(2*math.Pi*(x-peakShift)))
	factor := 1.0
	for i := range w.drops {
		if d := &w.drops[i]; d.creator == p.creator && t >= d.start && t < d.start+upliftMS {
			factor += w.s.Effects.CreatorUplift
		}
	}
	return rate * factor
}

// peakIntensity bounds intensity.
func (w *world) peakIntensity(p *player) float64 {
	factor := 1.0
	for i := range w.drops {
		if w.drops[i].creator == p.creator {
			factor += max(0, w.s.Effects.CreatorUplift)
		}
	}
	return float64(p.rate) * (1 + w.s.Behaviour.Diurnal) * factor
}

// cumulative turns n weights into cumulative shares; the last is 1.
func cumulative(n int, weight func(int) float64) []float64 {
	c := make([]float64, n)
	sum := 0.0
	for i := range c {
		sum += weight(i)
		c[i] = sum
	}
	for i := range c {
		c[i] /= sum
	}
	c[n-1] = 1
	return c
}

// pick draws an index from cumulative shares.
func pick(c []float64, rng *rand.Rand) int {
	u := rng.Float64()
	i, _ := slices.BinarySearchFunc(c, u, func(up, u float64) int {
		if up <= u {
			return -1
		}
		return 1
	})
	return min(i, len(c)-1)
}
