package attribution

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/DataDog/sketches-go/ddsketch/mapping"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// Rule is the first stage over one partition. It implements processors.Rule.
type Rule struct {
	cfg       Config
	partition int32
	catalogue processors.Catalogue
	mapping   *mapping.LogarithmicMapping
	logger    *slog.Logger

	visits  *processors.Table[visit]
	cells   *processors.Table[cell]
	panes   *processors.Table[pane]
	horizon *wire.HorizonTable
	names   *wire.Names

	// refused counts contributions that could not be counted although the runtime accepted their event: past what
	// is final, of a drop that the catalogue does not hold, beyond the range of int64, at an unbelievable sampling
	// rate. crowded counts landing requests beyond maxSamples of one player.
	refused, crowded uint64

	key         []byte
	money       []account
	attribution event.Attribution
	sketch      event.LatencySketch
}

// New makes the rule of one partition. catalogue holds every drop of the events applied.
func New(cfg Config, partition int32, catalogue processors.Catalogue) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := mapping.NewLogarithmicMapping(cfg.Accuracy)
	if err != nil {
		return nil, fmt.Errorf("attribution: %w", err)
	}
	n := &wire.Names{}
	return &Rule{
		cfg: cfg, partition: partition, catalogue: catalogue, mapping: m, logger: cfg.Logger, names: n,
		visits:  processors.NewTable("visit", processors.Codec[visit](visitCodec{refundMS: cfg.RefundMS, names: n})),
		cells:   processors.NewTable("cell", processors.Codec[cell](cellCodec{refundMS: cfg.RefundMS, names: n})),
		panes:   processors.NewTable("pane", processors.Codec[pane](paneCodec{paneMS: cfg.PaneMS, accuracy: cfg.Accuracy})),
		horizon: wire.NewHorizon("horizon", "passed"),
	}, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "attribution" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.visits, r.cells, r.panes, r.horizon}
}

// Outcomes implements processors.Counting.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) {
	each("refused", r.refused)
	each("crowded", r.crowded)
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	if ev.DropID == "" || ev.Synthetic {
		return
	}
	switch ev.Type {
	case event.EdgeRequest, event.LandingView, event.CheckoutCompleted, event.CheckoutRefunded, event.CheckoutChargeback:
	default:
		return
	}
	drop := r.catalogue.Drop(ev.DropID, 0)
	if drop == nil {
		r.refuse("the catalogue does not hold the drop", ev, at)
		return
	}
	last := drop.EndMS // the first millisecond that does not count
	switch ev.Type {
	case event.CheckoutRefunded, event.CheckoutChargeback:
		if ev.Checkout.OriginalTime >= drop.EndMS {
			return // of a purchase that does not count
		}
		last += r.cfg.RefundMS
	}
	if at >= last {
		return
	}
	if ev.Type == event.EdgeRequest {
		if ev.SampleRate < lowestRate {
			r.refuse("the sampling rate is below one in a million", ev, at)
			return
		}
		r.count(ev, at)
		if ev.Latency.Request != event.RequestLanding {
			return
		}
	}
	if ev.PlayerID == "" {
		return
	}
	if r.horizon.Passed(last - 1) {
		r.refuse("the drop's viewers are closed", ev, at)
		return
	}
	r.visit(ev, at, drop)
}

// count adds an edge request to its pane's sketch.
func (r *Rule) count(ev *event.Event, at int64) {
	start := at - at%r.cfg.PaneMS
	r.key = wire.AppendString(r.key[:0], ev.DropID)
	r.key = wire.AppendString(r.key, ev.POP)
	r.key = append(r.key, byte(ev.Latency.Request))
	r.key = binary.BigEndian.AppendUint64(r.key, uint64(start))
	key := wire.Alias(r.key)
	p, created := r.panes.Put(key)
	if created {
		if r.horizon.Passed(start + r.cfg.PaneMS - 1) {
			r.panes.Delete(key)
			r.refuse("the pane is final", ev, at)
			return
		}
		p.start, p.rate = start, 1
	}
	p.samples++
	p.rate = min(p.rate, ev.SampleRate)
	weight := weightOf(ev.SampleRate)
	p.cache[ev.Latency.Cache] += weight
	if ms := ev.Latency.MS; ms > r.mapping.MinIndexableValue() {
		p.bins.add(int32(r.mapping.Index(ms)), weight)
	} else {
		p.zero += weight
	}
}

// visit folds ev into its player's visit and moves what the player counts as.
func (r *Rule) visit(ev *event.Event, at int64, drop *event.Drop) {
	r.key = wire.AppendString(r.key[:0], ev.DropID)
	r.key = append(r.key, ev.PlayerID...)
	v, created := r.visits.Put(wire.Alias(r.key))
	if created {
		v.start, v.end = drop.StartMS, drop.EndMS
	}
	before := v.mark(&r.cfg)
	r.money = append(r.money[:0], before.money...) // which the event may change
	if before.money != nil {
		before.money = r.money
	}
	v.start, v.end = drop.StartMS, drop.EndMS
	switch ev.Type {
	case event.EdgeRequest:
		if v.measure(sample{at: at, us: microseconds(ev.Latency.MS), pop: r.names.Text(ev.POP), rate: ev.SampleRate}) {
			r.crowded++
		}
	case event.LandingView:
		if v.see(at, ev.POP, ev.Device, ev.Language) {
			v.pop, v.device, v.language = r.names.Text(ev.POP), r.names.Text(ev.Device), r.names.Text(ev.Language)
		}
	case event.CheckoutCompleted:
		if v.bought == 0 || at < v.bought {
			v.bought = at
		}
		r.pay(v, ev, at, ev.Checkout.Amount)
	default:
		r.pay(v, ev, at, -ev.Checkout.Amount)
	}
	after := v.mark(&r.cfg)
	if before.equal(&after) {
		return
	}
	r.move(ev, at, drop, &before, -1)
	r.move(ev, at, drop, &after, 1)
}

func (r *Rule) pay(v *visit, ev *event.Event, at, amount int64) {
	if !v.pay(r.names.Text(ev.Checkout.Currency), amount) {
		r.refuse("the sum of amounts exceeds the range of int64", ev, at)
	}
}

// move adds m to its cell, or takes it back.
func (r *Rule) move(ev *event.Event, at int64, drop *event.Drop, m *mark, by int64) {
	if !m.counts {
		return
	}
	r.key = wire.AppendString(r.key[:0], ev.DropID)
	r.key = wire.AppendString(r.key, m.pop)
	r.key = wire.AppendString(r.key, m.device)
	r.key = wire.AppendString(r.key, m.language)
	r.key = binary.BigEndian.AppendUint64(r.key, uint64(m.ageFrom+1))
	c, created := r.cells.Put(wire.Alias(r.key))
	if created {
		c.rate, c.ageTo = 1, m.ageTo
	}
	c.start, c.end = drop.StartMS, drop.EndMS
	if c.creator == "" {
		c.creator = r.names.Text(ev.CreatorID)
	}
	if !c.count(m, by, r.names) {
		r.refuse("a viewer is to be taken from a stratum that never had it, or its money exceeds the range of int64", ev, at)
	}
}

func (r *Rule) refuse(why string, ev *event.Event, at int64) {
	r.refused++
	r.logger.Error("attribution: contribution refused: "+why,
		"drop_id", ev.DropID, "type", ev.Type, "at", at, "partition", r.partition)
}

// Flush implements processors.Rule.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	passed := t.Watermark - t.AllowedLateness
	moved := false
	r.cells.Due(passed, func(key string, c *cell) {
		if drop := r.drop(key); drop != nil && drop.EndMS > c.end { // prolonged since it was last counted in
			c, _ = r.cells.Put(key)
			c.end, c.closed = drop.EndMS, drop.EndMS-1 <= passed
			return
		}
		moved = true
		if c.end-1+r.cfg.RefundMS <= passed {
			c.closed = true
			r.publish(key, c, t.Watermark, event.Final, out)
			r.cells.Delete(key)
			return
		}
		c, _ = r.cells.Put(key)
		c.closed = true
	})
	r.cells.Changed(func(key string, c *cell) { r.publish(key, c, t.Watermark, event.Provisional, out) })
	closed := processors.FlushPanes(r.panes, passed, func(key string, p *pane, m event.Maturity) {
		r.publishSketch(key, p, t.Watermark, m, out)
	})
	if moved || closed {
		r.horizon.Advance(passed)
	}
	r.visits.Due(passed, func(key string, v *visit) {
		if drop := r.drop(key); drop != nil && drop.EndMS-1+r.cfg.RefundMS > passed {
			// Prolonged: the state is kept, and moves to the new end with the player's next event.
			v, _ = r.visits.Put(key)
			v.end = drop.EndMS
			return
		}
		r.visits.Delete(key)
	})
}

func (r *Rule) drop(key string) *event.Drop {
	id, _ := wire.CutString(key)
	return r.catalogue.Drop(id, 0)
}

// publish emits c's next revision. c is staged for changing already, or deleted next.
func (r *Rule) publish(key string, c *cell, watermark int64, m event.Maturity, out *processors.Output) {
	c.revision++
	a := &r.attribution
	var rest string
	a.DropID, rest = wire.CutString(key)
	a.POP, rest = wire.CutString(rest)
	a.Device, rest = wire.CutString(rest)
	a.Language, rest = wire.CutString(rest)
	a.AgeFrom, a.AgeTo = int64(binary.BigEndian.Uint64([]byte(rest)))-1, c.ageTo
	a.CreatorID, a.BudgetMS, a.From, a.To = c.creator, 0, c.start, c.end
	if drop := r.catalogue.Drop(a.DropID, 0); drop != nil {
		a.BudgetMS = drop.LatencyBudgetMS
	}
	a.Partition, a.Revision, a.Watermark, a.Maturity, a.Closed, a.SampleRate = r.partition, c.revision, watermark, m, c.closed, c.rate
	a.Viewers, a.Conversions, a.LatencyUS = c.viewers, c.conversions, c.us
	a.Unmeasured, a.UnmeasuredConversions, a.Money = c.unmeasured, c.unmeasuredBy, c.money
	r.key = wire.AppendPart(r.key[:0], a.DropID)
	r.key = wire.AppendPart(r.key, a.POP)
	r.key = wire.AppendPart(r.key, a.Device)
	r.key = wire.AppendPart(r.key, a.Language)
	r.key = append(strconv.AppendInt(r.key, a.AgeFrom, 10), '|')
	r.key = strconv.AppendInt(r.key, int64(r.partition), 10)
	out.Emit(event.KindAttribution, wire.Alias(r.key), a.AppendJSON)
}

// publishSketch emits p's next revision, as publish does.
func (r *Rule) publishSketch(key string, p *pane, watermark int64, m event.Maturity, out *processors.Output) {
	p.revision++
	s := &r.sketch
	var rest string
	s.DropID, rest = wire.CutString(key)
	s.POP, rest = wire.CutString(rest)
	s.Request = event.Request(rest[0])
	s.Partition, s.PaneStart, s.PaneMS, s.Revision, s.Watermark, s.Maturity = r.partition, p.start, r.cfg.PaneMS, p.revision, watermark, m
	s.SampleRate, s.Accuracy, s.Samples, s.Zero, s.Bins = p.rate, r.cfg.Accuracy, p.samples, p.zero, p.bins
	s.Hits, s.Stale, s.Misses, s.Bypassed = p.cache[event.CacheHit], p.cache[event.CacheStale], p.cache[event.CacheMiss], p.cache[event.CacheBypass]
	r.key = wire.AppendPart(r.key[:0], s.DropID)
	r.key = wire.AppendPart(r.key, s.POP)
	r.key = wire.AppendPart(r.key, s.Request.String())
	r.key = append(strconv.AppendInt(r.key, p.start, 10), '|')
	r.key = strconv.AppendInt(r.key, int64(r.partition), 10)
	out.Emit(event.KindLatencySketch, wire.Alias(r.key), s.AppendJSON)
}
