package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fastjson"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/offer"
	"github.com/droplift/droplift/models/prefetch"
	"github.com/droplift/droplift/sinks/features"
)

// Source has the newest features of every player in memory, as features.Store does. It may be asked by any number of goroutines.
type Source interface {
	Lookup(player string, f *event.Features) (features.Freshness, bool)
}

// Catalogue has the drops in memory; asked as of time 0 it never waits.
type Catalogue interface {
	Drop(id string, asOf int64) *event.Drop
}

// Config of a Decider. Zero values mean the documented defaults.
type Config struct {
	// Model that answers (default churn).
	Model string
	// Set is what vectors are of (default feature.Player).
	Set *feature.Set
	// Features are required; without a Catalogue, Drops is one.
	Features  Source
	Catalogue Catalogue
	// Scores takes the records of answers; none are made without.
	Scores Scores
	Offers OffersConfig
	// Deadline of requests that name none (default 50 ms).
	Deadline time.Duration
	// BaseRate is answered where no model ever said one (default .5: nothing is known).
	BaseRate float64
	// TTLMS is how old features may be (default the set's); AheadMS how far their newest event may be behind a request's
	// time because clocks differ (default 60 s, DOMAIN 2.4).
	TTLMS, AheadMS int64
	// Transitions between assets, and what a plan may hold (defaults: 5 assets, 10 MB).
	Transitions   prefetch.Config
	PrefetchTop   int
	PrefetchBytes int64
	// MissPerGB is what a missed GB costs at a POP, in nano-units; nil ranks assets by expected bytes.
	MissPerGB func(pop string) int64
	// Queue bounds the answers whose record waits (default 8,192).
	Queue int
	// Now is the clock (default time.Now).
	Now        func() time.Time
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Model == "" {
		c.Model = "churn"
	}
	if c.Set == nil {
		c.Set = feature.Player
	}
	if c.Offers.Bands == nil {
		c.Offers.Bands = DefaultBands
	}
	if c.Deadline == 0 {
		c.Deadline = 50 * time.Millisecond
	}
	if c.BaseRate == 0 {
		c.BaseRate = .5
	}
	if c.TTLMS == 0 {
		c.TTLMS = c.Set.TTLMS
	}
	if c.AheadMS == 0 {
		c.AheadMS = 60_000
	}
	if c.PrefetchTop == 0 {
		c.PrefetchTop = 5
	}
	if c.PrefetchBytes == 0 {
		c.PrefetchBytes = 10_000_000
	}
	if c.MissPerGB == nil {
		c.MissPerGB = func(string) int64 { return 0 }
	}
	if c.Queue == 0 {
		c.Queue = 8192
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem at once.
func (c *Config) Validate() error {
	problems := []error{c.Offers.Validate()}
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf("edge: "+format, args...)) }
	if c.Features == nil {
		bad("features are required")
	}
	if c.Deadline < 0 || c.TTLMS < 0 || c.AheadMS < 0 || c.PrefetchTop < 0 || c.PrefetchBytes < 0 || c.Queue < 0 {
		bad("neither deadline, times to live, prefetch limits nor the queue may be negative")
	}
	if !(c.BaseRate >= 0 && c.BaseRate <= 1) {
		bad("the base rate %v is no probability", c.BaseRate)
	}
	return errors.Join(problems...)
}

// Decider answers POST /v1/decide. Run makes the records of answers.
type Decider struct {
	cfg Config
	m   *Metrics
	log *slog.Logger

	// Models, Offers and Drops are fed by whoever follows their topics.
	Models *Models
	Offers *Offers
	Drops  *Drops

	after chan *job
	works sync.Pool // *work
	jobs  sync.Pool // *job

	mu          sync.RWMutex // over transitions
	transitions *prefetch.Transitions
}

// New registers metrics; nothing runs before Run.
func New(cfg Config) (*Decider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := NewMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	offers, err := newOffers(cfg, m)
	if err != nil {
		return nil, err
	}
	transitions, err := prefetch.NewTransitions(cfg.Transitions)
	if err != nil {
		return nil, err
	}
	d := &Decider{
		cfg: cfg, m: m, log: cfg.Logger, Models: NewModels(cfg.Set, m, cfg.Logger), Offers: offers, transitions: transitions,
		after: make(chan *job, cfg.Queue),
	}
	d.Drops = newDrops(m, cfg.Logger)
	if cfg.Catalogue == nil {
		d.cfg.Catalogue = d.Drops
	}
	d.works.New = func() any { return new(work) }
	d.jobs.New = func() any { return new(job) }
	return d, nil
}

// Degraded says why an answer is the base rate, or none, instead of a model's.
type Degraded uint8

// In the order in which they are looked for.
const (
	NotDegraded Degraded = iota
	Deadline
	NoConsent
	NoModel
	FeatureHash
	FeaturesIncomplete
	UnknownPlayer
	Elsewhere // of a partition that another replica serves
	FeaturesAhead
	Stale
	NotFinite
	numDegraded
)

var degradations = [numDegraded]string{"", "deadline", "no_consent", "no_model", "feature_hash", "features_incomplete", "unknown_player", "elsewhere",
	"features_ahead", "stale", "not_finite"}

// String is the name in answers, records and metrics; empty for NotDegraded.
func (d Degraded) String() string { return degradations[d] }

// analytics is the consent that scoring needs.
const analytics = 1

// work is one request's memory, used again.
type work struct {
	parser   fastjson.Parser
	body     []byte
	out      []byte
	q        request
	features event.Features
	vector   []float64
	scratch  []float64
	offers   []offer.Offer
	ranked   []prefetch.Ranked
	answer   answer
}

// answer is what was decided.
type answer struct {
	degraded Degraded
	// at is t0; score is a probability, meaningless where withheld.
	at       int64
	score    float64
	withheld bool
	serving  *Serving // the pair that was asked; nil where none was
	answered bool     // the champion scored the vector
	took     time.Duration

	fresh features.Freshness
	found bool // features were found or brought
	stale bool

	band     int
	holdout  bool
	choice   choice
	noOffer  string // why, where the choice does not say
	reasons  []contribution
	prefetch []prefetch.Ranked
}

// contribution of one feature to a linear model's raw score.
type contribution struct {
	name  string
	value float64
}

// maxReasons is how many contributions an answer names.
const maxReasons = 3

// decide fills w.answer from w.q. It never waits; an answer that is not there by until is degraded.
func (d *Decider) decide(w *work, now, until time.Time) {
	q, a := &w.q, &w.answer
	*a = answer{at: q.at, reasons: a.reasons[:0], choice: choice{reason: offer.NoOffers}, withheld: q.consent&analytics == 0}
	if a.at == 0 {
		a.at = now.UnixMilli()
	}
	a.serving = d.Models.Serving(d.cfg.Model)
	late := !now.Before(until)
	if !late {
		a.degraded = d.score(w)
		late = d.late(until)
	}
	if !late && a.degraded == NotDegraded {
		d.offer(w)
	}
	if !late && len(q.assets) > 0 {
		d.prefetch(w)
	}
	if late || d.late(until) {
		// A discount that was promised stays charged: asked again, the player is promised the same one.
		a.degraded, a.prefetch = Deadline, nil
	}
	if a.degraded != NotDegraded {
		a.score, a.answered, a.reasons = d.baseRate(a.serving), false, a.reasons[:0]
		a.choice, a.noOffer = choice{reason: offer.NoOffers}, "degraded"
		a.band = d.cfg.Offers.Bands.Of(a.score)
	}
}

func (d *Decider) late(until time.Time) bool { return !d.cfg.Now().Before(until) }

func (d *Decider) baseRate(s *Serving) float64 {
	if s != nil && s.Champion != nil && s.Champion.BaseRate >= 0 {
		return s.Champion.BaseRate
	}
	return d.cfg.BaseRate
}

// score looks the features up and asks the champion.
func (d *Decider) score(w *work) Degraded {
	q, a := &w.q, &w.answer
	if a.withheld {
		return NoConsent
	}
	a.holdout = d.cfg.Offers.Holdout.Holds(q.player)
	if bad := d.vector(w); bad != NotDegraded {
		return bad
	}
	if a.serving == nil || a.serving.Champion == nil {
		return NoModel
	}
	champion := a.serving.Champion
	if len(w.scratch) < champion.Inputs() {
		w.scratch = make([]float64, champion.Inputs())
	}
	began := d.cfg.Now()
	p, err := champion.Score(w.vector, w.scratch)
	a.took = d.cfg.Now().Sub(began)
	seconds(d.m.champion, a.took)
	if err != nil {
		return NotFinite
	}
	a.score, a.answered = p, true
	a.band = d.cfg.Offers.Bands.Of(p)
	d.explain(w, champion)
	return NotDegraded
}

// vector fills w.vector.
func (d *Decider) vector(w *work) Degraded {
	q, a := &w.q, &w.answer
	if q.hash != "" && q.hash != d.cfg.Set.Hash() {
		return FeatureHash
	}
	if q.inline {
		if q.absent != "" {
			return FeaturesIncomplete
		}
		w.vector = append(w.vector[:0], q.values...)
		a.found = true
	} else {
		fresh, known := d.cfg.Features.Lookup(q.player, &w.features)
		switch {
		case !known && !fresh.Served:
			return Elsewhere
		case !known:
			return UnknownPlayer
		}
		a.found, a.fresh = true, fresh
		switch {
		case fresh.AsOf > a.at+d.cfg.AheadMS:
			return FeaturesAhead // they hold what was not knowable at t0 (DOMAIN 1.2)
		case fresh.Age(a.at) > d.cfg.TTLMS:
			a.stale = true
			return Stale
		}
		// Clocks differ by so little: the player is scored as of the newest event.
		a.at = max(a.at, fresh.AsOf)
		w.vector = w.features.Vector(a.at, w.vector[:0])
	}
	if d.cfg.Set.Check(w.vector) != nil {
		return NotFinite
	}
	return NotDegraded
}

// explain names what moved a linear model's score most.
func (d *Decider) explain(w *work, s *Served) {
	linear := s.Artefact().Linear
	if linear == nil {
		return
	}
	a := &w.answer
	for i, at := range s.at {
		c := contribution{d.cfg.Set.Features[at].Name, linear.Contribution(i, w.vector[at])}
		if c.value == 0 {
			continue
		}
		place := len(a.reasons)
		for place > 0 && math.Abs(a.reasons[place-1].value) < math.Abs(c.value) {
			place--
		}
		if place < maxReasons {
			if len(a.reasons) == maxReasons {
				a.reasons = a.reasons[:maxReasons-1]
			}
			a.reasons = slices.Insert(a.reasons, place, c)
		}
	}
}

// offer chooses among the offers of the drop.
func (d *Decider) offer(w *work) {
	q, a := &w.q, &w.answer
	if q.drop == "" {
		a.noOffer = "no_drop"
		d.m.noDrop.WithLabelValues(a.noOffer).Inc()
		return
	}
	entry := d.cfg.Catalogue.Drop(q.drop, 0)
	switch {
	case entry == nil:
		a.noOffer = "unknown_drop"
	case a.at < entry.StartMS || a.at >= entry.EndMS:
		a.noOffer = "drop_not_live"
	}
	if a.noOffer != "" {
		d.m.noDrop.WithLabelValues(a.noOffer).Inc()
		return
	}
	player := offer.Player{Consent: q.consent, Minor: q.minor}
	if !q.inline {
		player.Currency = w.features.SpendCurrency
	}
	u := offer.Uniform(d.cfg.Offers.Holdout.Salt, q.drop, q.player)
	a.choice = d.Offers.choose(d.Offers.of(q.drop, entry), q.drop, q.player, player, a.band, a.holdout, u, &w.offers)
	a.noOffer = a.choice.reason.String()
	d.m.offers[a.choice.reason].Inc()
}

// prefetch plans, from what others asked for next: nothing in it is about the player.
func (d *Decider) prefetch(w *work) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	w.ranked = d.transitions.Plan(w.q.current, w.q.assets, prefetch.Limits{
		Top: d.cfg.PrefetchTop, Bytes: d.cfg.PrefetchBytes, PerGB: d.cfg.MissPerGB(w.q.pop),
	}, w.ranked[:0])
	w.answer.prefetch = w.ranked
}

// observe counts the transition that the request tells of.
func (d *Decider) observe(q *request) {
	if q.before == "" || q.current == "" || q.synthetic {
		return
	}
	d.mu.Lock()
	counted := d.transitions.Observe(q.before, q.current)
	d.mu.Unlock()
	if !counted {
		d.m.unseen.Inc()
	}
}
