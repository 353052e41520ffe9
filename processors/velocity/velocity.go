package velocity

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// DefaultPaneMS is the hop of DOMAIN 2.1.
const DefaultPaneMS = 10_000

// Config of a Rule. The zero value means the documented defaults.
type Config struct {
	// PaneMS is the pane's width in ms (default 10,000). It divides a minute, so that windows
	// of 1, 5 and 15 min are whole panes. State written with another width is refused on restore.
	PaneMS int64
	// Logger gets one error per refused contribution; nil discards.
	Logger *slog.Logger
}

const minuteMS = 60_000

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	if c.PaneMS < 0 || c.PaneMS > minuteMS || c.PaneMS > 0 && minuteMS%c.PaneMS != 0 {
		problems = append(problems, fmt.Errorf("velocity: pane of %d ms does not divide a minute", c.PaneMS))
	}
	return errors.Join(problems...)
}

// Rule counts one partition's part of every drop. It implements processors.Rule.
type Rule struct {
	paneMS    int64
	partition int32
	catalogue processors.Catalogue
	logger    *slog.Logger

	panes    *processors.Table[pane]
	journeys *processors.Table[journey]
	horizon  *wire.HorizonTable
	names    *wire.Names
	// refused counts contributions that could not be counted although the runtime accepted
	// their event: to a final pane, to a pane that never held what is taken back, of a drop
	// that the catalogue does not hold, or beyond the range of int64. Each one is a defect or
	// an absurd amount, never traffic.
	refused uint64

	key    []byte
	record event.Velocity
}

// New makes the rule of one partition. catalogue holds every drop of the events applied.
func New(cfg Config, partition int32, catalogue processors.Catalogue) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.PaneMS == 0 {
		cfg.PaneMS = DefaultPaneMS
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &wire.Names{}
	return &Rule{
		paneMS:    cfg.PaneMS,
		partition: partition,
		catalogue: catalogue,
		logger:    cfg.Logger,
		panes:     processors.NewTable("pane", processors.Codec[pane](paneCodec{paneMS: cfg.PaneMS, names: n})),
		journeys:  processors.NewTable("journey", processors.Codec[journey](journeyCodec{paneMS: cfg.PaneMS, names: n})),
		horizon:   wire.NewHorizon("horizon", "panes"),
		names:     n,
	}, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "velocity" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.panes, r.journeys, r.horizon}
}

// Outcomes implements processors.Counting.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) { each("refused", r.refused) }

const noStep = -1

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	if ev.DropID == "" || ev.Synthetic {
		return
	}
	step := noStep
	switch ev.Type {
	case event.LandingView:
		step = event.StepLanding
	case event.OfferImpression:
		step = event.StepImpression
	case event.OfferClick:
		step = event.StepClick
	case event.CheckoutStarted:
		step = event.StepStarted
	case event.CheckoutCompleted:
		step = event.StepCompleted
	case event.CheckoutFailed, event.CheckoutRefunded, event.CheckoutChargeback:
	default:
		return
	}
	p := r.pane(ev.DropID, ev.POP, at)
	if p == nil {
		return
	}
	switch ev.Type {
	case event.CheckoutCompleted:
		r.addMoney(p, ev, func(m *event.Money) *int64 { return &m.Gross })
	case event.CheckoutFailed:
		p.failed++
	case event.CheckoutRefunded:
		p.refunded++
		r.addMoney(p, ev, func(m *event.Money) *int64 { return &m.Refunds })
	case event.CheckoutChargeback:
		p.chargeback++
		r.addMoney(p, ev, func(m *event.Money) *int64 { return &m.Chargebacks })
	}
	if step == noStep {
		return
	}
	p.events[step]++
	if ev.PlayerID != "" {
		r.advance(ev, step, at)
	}
}

// advance moves the player's marks when ev is their first event of step so far.
func (r *Rule) advance(ev *event.Event, step int, at int64) {
	drop := r.catalogue.Drop(ev.DropID, 0)
	if drop == nil {
		r.refuse("the catalogue does not hold the drop", ev.DropID, ev.POP, at)
		return
	}
	if at >= drop.EndMS {
		return
	}
	r.key = wire.AppendString(r.key[:0], ev.DropID)
	r.key = append(r.key, ev.PlayerID...)
	key := wire.Alias(r.key)
	if j := r.journeys.Get(key); j != nil && !j.improves(step, at, ev.POP) && j.end == drop.EndMS {
		return
	}
	j, _ := r.journeys.Put(key)
	j.end = drop.EndMS
	if !j.improves(step, at, ev.POP) {
		return
	}
	before := j.marks(r.paneMS)
	j.at[step], j.pop[step] = at, r.names.Text(ev.POP)
	after := j.marks(r.paneMS)
	for slot := range after {
		if before[slot] == after[slot] {
			continue
		}
		r.mark(ev.DropID, slot, before[slot], takeBack)
		r.mark(ev.DropID, slot, after[slot], set)
	}
}

// mark counts m, or takes it back.
func (r *Rule) mark(drop string, slot int, m mark, s sign) {
	if !m.counts {
		return
	}
	if s == takeBack && r.panes.Get(r.paneKey(drop, m.pop, m.start)) == nil {
		r.refuse("a player's mark is to be taken from a pane that is gone", drop, m.pop, m.start)
		return
	}
	if p := r.pane(drop, m.pop, m.start); p != nil && !p.count(slot, m, s) {
		r.refuse("a player's mark is to be taken from a pane that never had it", drop, m.pop, m.start)
	}
}

// pane is the pane of (drop, pop) that holds at, for changing; nil when it is final.
func (r *Rule) pane(drop, pop string, at int64) *pane {
	key := r.paneKey(drop, pop, at)
	p, created := r.panes.Put(key)
	if created {
		if r.final(at) {
			r.panes.Delete(key)
			r.refuse("the pane is final", drop, pop, at)
			return nil
		}
		p.start = processors.PaneStart(at, r.paneMS)
	}
	return p
}

// final says whether a flush has already deleted the panes of at's time.
func (r *Rule) final(at int64) bool {
	return r.horizon.Passed(processors.PaneStart(at, r.paneMS) + r.paneMS - 1)
}

func (r *Rule) addMoney(p *pane, ev *event.Event, account func(*event.Money) *int64) {
	amount := account(p.moneyIn(ev.Checkout.Currency, r.names))
	if sum := *amount + ev.Checkout.Amount; sum >= *amount {
		*amount = sum
		return
	}
	r.refuse("the sum of amounts exceeds the range of int64", ev.DropID, ev.POP, p.start)
}

func (r *Rule) refuse(why, drop, pop string, at int64) {
	r.refused++
	r.logger.Error("velocity: contribution refused: "+why,
		"drop_id", drop, "pop", pop, "at", at, "partition", r.partition)
}

// Flush implements processors.Rule.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	// A pane is final when its last millisecond is at or before passed.
	passed := t.Watermark - t.AllowedLateness
	closed := processors.FlushPanes(r.panes, passed, func(key string, p *pane, m event.Maturity) {
		r.emit(key, p, t.Watermark, m, out)
	})
	if closed {
		r.horizon.Advance(passed)
	}
	r.journeys.Due(passed, func(key string, _ *journey) { r.expire(key, passed) })
}

// expire deletes a player's state, unless the drop was prolonged since their last event.
func (r *Rule) expire(key string, passed int64) {
	dropID, _ := wire.CutString(key)
	drop := r.catalogue.Drop(dropID, 0)
	if drop == nil || processors.LastPaneEnd(drop.EndMS, r.paneMS) <= passed {
		r.journeys.Delete(key)
		return
	}
	j, _ := r.journeys.Put(key)
	j.end = drop.EndMS
}

// emit publishes p's next revision. p is staged for changing already, or deleted next.
func (r *Rule) emit(key string, p *pane, watermark int64, m event.Maturity, out *processors.Output) {
	p.revision++
	drop, rest := wire.CutString(key)
	pop, _ := wire.CutString(rest)
	r.record = event.Velocity{
		DropID: drop, POP: pop, Partition: r.partition,
		PaneStart: p.start, PaneMS: r.paneMS,
		Revision: p.revision, Watermark: watermark, Maturity: m,
		Events: p.events, Players: p.players,
		FunnelGap: p.gap, Failed: p.failed, Refunded: p.refunded, Chargeback: p.chargeback,
		Conversions: p.conversions, TimeToConvert: p.converts, Money: p.money,
	}
	r.key = appendRecordKey(r.key[:0], &r.record)
	out.Emit(event.KindVelocity, wire.Alias(r.key), r.record.AppendJSON)
}

func (r *Rule) paneKey(drop, pop string, at int64) string {
	r.key = appendPaneKey(r.key[:0], drop, pop, processors.PaneStart(at, r.paneMS))
	return wire.Alias(r.key)
}
