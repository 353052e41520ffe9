package experiments

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// DefaultRefundMS is how long after a drop's end refunds of it count: 7 days.
const DefaultRefundMS = 7 * 24 * 3_600_000

// Config of a Rule. The zero value means the documented defaults.
type Config struct {
	// RefundMS is how long after a drop's end refunds and chargebacks still count, in ms (default 7 days). A player's
	// state is kept as long.
	RefundMS int64
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	if c.RefundMS < 0 {
		problems = append(problems, fmt.Errorf("experiments: refunds cannot count for %d ms", c.RefundMS))
	}
	return errors.Join(problems...)
}

// outcome is what became of an exposure beyond counting; see the package comment.
type outcome uint8

const (
	noConsent outcome = iota
	unknownExperiment
	unknownVariant
	badDesign
	wrongLanguage
	notEnrolled
	afterEnd
	misassigned
	crossed
	changed
	// refused contributions could not be counted although the runtime accepted their event: a defect, never traffic.
	refused
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"no_consent", "unknown_experiment", "unknown_variant", "bad_design", "wrong_language",
	"not_enrolled", "after_end", "misassigned", "crossed", "changed", "refused"}

// Rule counts one partition's part of every experiment. It implements processors.Rule.
type Rule struct {
	partition int32
	plans     plans
	codec     armCodec
	players   *processors.Table[player]
	arms      *processors.Table[arm]
	names     *wire.Names
	outcomes  [numOutcomes]uint64

	playerKey, armKey, recordKey []byte
	record                       event.ExperimentArm
}

// New makes the rule of one partition. catalogue holds every drop of the events applied.
func New(cfg Config, partition int32, catalogue processors.Catalogue) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.RefundMS == 0 {
		cfg.RefundMS = DefaultRefundMS
	}
	n := &wire.Names{}
	codec := armCodec{refundMS: cfg.RefundMS}
	return &Rule{
		partition: partition, plans: plans{catalogue: catalogue}, codec: codec, names: n,
		players: processors.NewTable("player", processors.Codec[player](playerCodec{refundMS: cfg.RefundMS, names: n})),
		arms:    processors.NewTable("arm", processors.Codec[arm](codec)),
	}, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "experiments" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged { return []processors.Staged{r.players, r.arms} }

// Outcomes implements processors.Counting.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) {
	for i, n := range r.outcomes {
		each(outcomeNames[i], n)
	}
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	switch ev.Type {
	case event.CTAExposure, event.CheckoutCompleted, event.CheckoutRefunded, event.CheckoutChargeback:
	default:
		return
	}
	if ev.DropID == "" || ev.Synthetic || ev.PlayerID == "" {
		return
	}
	p := r.plans.of(ev.DropID)
	switch {
	case p == nil:
		r.outcomes[refused]++
	case ev.Type == event.CTAExposure:
		r.expose(ev, at, p)
	case len(p.experiments) > 0:
		r.checkout(ev, at, p.drop)
	}
}

// Consent bit of analytics, and the language that no player has: it stands for all of them.
const (
	consentAnalytics = 1
	allLanguages     = "*"
)

// judge finds the exposure's experiment and says what speaks against counting it.
func (r *Rule) judge(ev *event.Event, at int64, p *plan) (e *planned, misfit bool, against outcome) {
	e = p.experiment(ev.Player.ExperimentID)
	if e == nil {
		return nil, false, unknownExperiment
	}
	switch {
	case at >= p.drop.EndMS:
		return e, false, afterEnd
	case ev.Consent&consentAnalytics == 0:
		return e, false, noConsent
	case !e.sound:
		return e, false, badDesign
	case e.Language != "" && e.Language != ev.Language, ev.Language == allLanguages:
		return e, false, wrongLanguage
	}
	shown := e.variant(ev.Player.Variant)
	if shown == experiment.None {
		return e, false, unknownVariant
	}
	assigned := e.design.Variant(ev.PlayerID)
	if assigned == experiment.None {
		return e, false, notEnrolled
	}
	return e, assigned != shown, numOutcomes
}

// expose takes in one exposure.
func (r *Rule) expose(ev *event.Event, at int64, p *plan) {
	e, misfit, against := r.judge(ev, at, p)
	switch {
	case e != nil && e.Holdout != "":
		return
	case against != numOutcomes:
		r.outcomes[against]++
		return
	}
	if misfit {
		r.outcomes[misassigned]++
	}
	variant, language := ev.Player.Variant, ev.Language
	s := r.player(ev, p.drop)
	i, found := s.find(e.ID)
	if !found {
		s.exposures = slices.Insert(s.exposures, i, exposure{
			experiment: r.names.Text(e.ID), variant: r.names.Text(variant), language: r.names.Text(language), at: at, misassigned: misfit,
		})
		r.move(ev.DropID, nil, counts{}, &s.exposures[i], s.counts(&s.exposures[i]), p.drop)
	} else if first := &s.exposures[i]; first.variant != variant || first.after(at, variant, language) {
		was, had := *first, s.counts(first)
		if first.variant != variant {
			r.outcomes[crossed]++
			first.crossed = true
		}
		if was.after(at, variant, language) {
			first.at, first.variant, first.language, first.misassigned = at, r.names.Text(variant), r.names.Text(language), misfit
		}
		r.move(ev.DropID, &was, had, first, s.counts(first), p.drop)
	}
	r.compare(ev, &s.exposures[i], e)
}

// compare holds the design that an exposure met against the arm's.
func (r *Rule) compare(ev *event.Event, first *exposure, e *planned) {
	key := r.keyOf(ev.DropID, first)
	a := r.arms.Get(key)
	if a == nil {
		r.outcomes[refused]++
		return
	}
	fresh := a.design == 0 && !a.changed
	differs := !fresh && a.design != e.fingerprint
	if differs {
		r.outcomes[changed]++
	}
	if !fresh && (!differs || a.changed) && ev.SampleRate >= a.sampleRate {
		return
	}
	a, _ = r.arms.Put(key)
	if fresh {
		a.design, a.sampleRate = e.fingerprint, 1
	}
	a.changed = a.changed || differs
	a.sampleRate = min(a.sampleRate, ev.SampleRate)
}

// checkout takes in a purchase, or money that goes back.
func (r *Rule) checkout(ev *event.Event, at int64, drop *event.Drop) {
	if ev.Type == event.CheckoutCompleted {
		if at < drop.EndMS {
			r.act(ev, drop, at, func(p *player) *int64 { return &p.bought })
		}
		return
	}
	// Without the purchase's time the refund's own stands in: it is after the purchase, which was in the drop.
	purchase := ev.Checkout.OriginalTime
	if purchase == 0 {
		purchase = min(at, drop.EndMS-1)
	}
	if purchase < drop.EndMS {
		r.act(ev, drop, purchase, func(p *player) *int64 { return &p.returned })
	}
}

// act moves one of the player's latest times, and with it what they count as.
func (r *Rule) act(ev *event.Event, drop *event.Drop, at int64, field func(*player) *int64) {
	r.keyOfPlayer(ev)
	if s := r.players.Get(wire.Alias(r.playerKey)); s != nil && *field(s) >= at && s.end == drop.EndMS {
		return
	}
	s := r.player(ev, drop)
	was := *s
	*field(s) = max(*field(s), at)
	for i := range s.exposures {
		e := &s.exposures[i]
		if had, has := was.counts(e), s.counts(e); had != has {
			r.move(ev.DropID, e, had, e, has, drop)
		}
	}
}

// player is the state of ev's player, for changing.
func (r *Rule) player(ev *event.Event, drop *event.Drop) *player {
	r.keyOfPlayer(ev)
	s, _ := r.players.Put(wire.Alias(r.playerKey))
	s.end = drop.EndMS
	return s
}

func (r *Rule) keyOfPlayer(ev *event.Event) {
	r.playerKey = append(wire.AppendString(r.playerKey[:0], ev.DropID), ev.PlayerID...)
}

// move takes had away from one arm and gives has to another, or the same.
func (r *Rule) move(drop string, from *exposure, had counts, to *exposure, has counts, entry *event.Drop) {
	if from != nil {
		if a := r.arms.Get(r.keyOf(drop, from)); a == nil || !a.holds(had) {
			r.outcomes[refused]++
			return
		}
		a, _ := r.arms.Put(wire.Alias(r.armKey))
		a.counts = a.counts.plus(had, -1)
	}
	a, _ := r.arms.Put(r.keyOf(drop, to))
	a.counts = a.counts.plus(has, 1)
	if a.end != entry.EndMS {
		a.end, a.stage = entry.EndMS, stageOpen
	}
}

func (r *Rule) keyOf(drop string, e *exposure) string {
	r.armKey = wire.AppendString(r.armKey[:0], drop)
	r.armKey = wire.AppendString(r.armKey, e.experiment)
	r.armKey = wire.AppendString(r.armKey, e.language)
	r.armKey = append(r.armKey, e.variant...)
	return wire.Alias(r.armKey)
}

// Flush implements processors.Rule: it publishes every changed arm once, and every arm once more when its conversions, and
// when its refunds, are final.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	passed := t.Watermark - t.AllowedLateness
	r.arms.Due(passed, func(key string, _ *arm) {
		a, _ := r.arms.Put(key)
		dropID, _ := wire.CutString(key)
		if p := r.plans.of(dropID); p != nil && p.drop.EndMS != a.end {
			a.end, a.stage = p.drop.EndMS, stageOpen // prolonged, or cut short
		}
		for a.stage != stageClosed && r.codec.deadline(a) <= passed {
			a.stage++
		}
		if a.stage == stageClosed {
			r.emit(key, a, t.Watermark, out)
			r.arms.Delete(key)
		}
	})
	r.arms.Changed(func(key string, a *arm) { r.emit(key, a, t.Watermark, out) })
	r.players.Due(passed, func(key string, _ *player) {
		dropID, _ := wire.CutString(key)
		p := r.plans.of(dropID)
		if p == nil || lastRefund(p.drop.EndMS, r.codec.refundMS) <= passed {
			r.players.Delete(key)
			return
		}
		s, _ := r.players.Put(key)
		s.end = p.drop.EndMS
	})
}

// emit publishes a's next revision. a is staged for changing already, or deleted next.
func (r *Rule) emit(key string, a *arm, watermark int64, out *processors.Output) {
	a.revision++
	drop, rest := wire.CutString(key)
	id, rest := wire.CutString(rest)
	language, variant := wire.CutString(rest)
	r.record = event.ExperimentArm{
		DropID: drop, ExperimentID: id, Variant: variant, Language: language, Partition: r.partition,
		Revision: a.revision, Watermark: watermark,
		Design: formatDesign(a.design), Changed: a.changed,
		Exposed: a.exposed, Converted: a.converted, Refunded: a.refunded, Crossed: a.crossed, Misassigned: a.misassigned,
		SampleRate: a.sampleRate,
	}
	if a.stage > stageOpen {
		r.record.Maturity = event.Final
	}
	if a.stage > stageRefunds {
		r.record.RefundMaturity = event.Final
	}
	r.recordKey = wire.AppendPart(r.recordKey[:0], drop)
	r.recordKey = wire.AppendPart(r.recordKey, id)
	r.recordKey = wire.AppendPart(r.recordKey, language)
	r.recordKey = wire.AppendPart(r.recordKey, variant)
	r.recordKey = strconv.AppendInt(r.recordKey, int64(r.partition), 10)
	out.Emit(event.KindExperimentArm, wire.Alias(r.recordKey), r.record.AppendJSON)
}
