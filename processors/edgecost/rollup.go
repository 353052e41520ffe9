package edgecost

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// RollupConfig of a Rollup. The zero value means the documented defaults.
type RollupConfig struct {
	// Rules are pacing and levels, Shedding what is shed when, Autoscaler how replicas follow the load.
	Rules      edgebudget.Rules
	Shedding   edgebudget.Shedding
	Autoscaler edgebudget.Autoscaler
	// Bounds of the replicas (default 2 to 100).
	Bounds edgebudget.Bounds
	// Cores of a replica (default 4), and the share of them that should be busy (default 0.6).
	Cores, Utilisation float64
	// Hourly is the price of a replica in nano-units of the budget's currency; 0 leaves the replicas without a cost ceiling.
	Hourly int64
	// WindowMS is how far back the spending rate looks, in whole minutes (default 15 min). PublishMS is how often estimates are published, in event time (default 1 min).
	WindowMS, PublishMS int64
	// Logger gets one error per refused partial; nil discards.
	Logger *slog.Logger
}

func (c RollupConfig) withDefaults() RollupConfig {
	c.Rules, c.Shedding, c.Autoscaler = c.Rules.WithDefaults(), c.Shedding.WithDefaults(), c.Autoscaler.WithDefaults()
	c.Bounds = edgebudget.Bounds{Floor: cmp.Or(c.Bounds.Floor, 2), Max: cmp.Or(c.Bounds.Max, 100)}
	c.Cores, c.Utilisation = cmp.Or(c.Cores, 4), cmp.Or(c.Utilisation, 0.6)
	c.WindowMS, c.PublishMS = cmp.Or(c.WindowMS, 15*minuteMS), cmp.Or(c.PublishMS, minuteMS)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem at once.
func (c RollupConfig) Validate() error {
	full := c.withDefaults()
	problems := []error{c.Rules.Validate(), c.Shedding.Validate()}
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("edgecost: "+format, args...))
	}
	if full.Bounds.Floor < 1 || full.Bounds.Max < full.Bounds.Floor {
		bad("replicas from %d to %d", full.Bounds.Floor, full.Bounds.Max)
	}
	if !(full.Cores > 0) || !(full.Utilisation > 0 && full.Utilisation <= 1) {
		bad("%v cores of which %v are busy", full.Cores, full.Utilisation)
	}
	if full.Hourly < 0 {
		bad("a replica's hour costs %d", full.Hourly)
	}
	if full.WindowMS < minuteMS || full.WindowMS%minuteMS != 0 {
		bad("a rate over %d ms is not over whole minutes", full.WindowMS)
	}
	if full.PublishMS <= 0 {
		bad("estimates every %d ms", full.PublishMS)
	}
	return errors.Join(problems...)
}

// Rollup adds up one partition's drops and decides about them. It implements processors.RollupRule, processors.Counting and processors.Deciding.
type Rollup struct {
	cfg       RollupConfig
	catalogue processors.Catalogue
	open      *processors.Table[open]
	accounts  *processors.Table[account]
	names     *wire.Names

	// stale counts revisions that came after newer ones, closed partials of panes that their partition had made final, foreign
	// costs in another currency than the drop's first ones, outOfRange sums beyond int64, unpriced evaluations of a
	// budget without a price list, unknown evaluations of a drop that the catalogue does not hold.
	stale, closed, foreign, outOfRange, unpriced, unknown uint64

	decoder  event.Decoder
	partial  event.EdgeCost
	key      []byte
	estimate event.Estimate
	decision event.Decision
}

// NewRollup makes the rule of one partition of the rollup stage.
func NewRollup(cfg RollupConfig, catalogue processors.Catalogue) (*Rollup, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &wire.Names{}
	return &Rollup{
		cfg: cfg.withDefaults(), catalogue: catalogue, names: n,
		open:     processors.NewTable("open", processors.Codec[open](openCodec{})),
		accounts: processors.NewTable("account", processors.Codec[account](accountCodec{names: n})),
	}, nil
}

// Name implements processors.RollupRule.
func (r *Rollup) Name() string { return "edge-cost" }

// Tables implements processors.RollupRule.
func (r *Rollup) Tables() []processors.Staged { return []processors.Staged{r.open, r.accounts} }

// Outcomes implements processors.Counting.
func (r *Rollup) Outcomes(each func(outcome string, total uint64)) {
	each("stale_revision", r.stale)
	each("after_final", r.closed)
	each("foreign_currency", r.foreign)
	each("out_of_range", r.outOfRange)
	each("no_price_list", r.unpriced)
	each("unknown_drop", r.unknown)
}

// Apply implements processors.RollupRule. Traffic outside drops has no budget and nothing to decide.
func (r *Rollup) Apply(record *event.Record) *event.Error {
	if record.Kind != event.KindEdgeCost {
		return nil
	}
	e := &r.partial
	if err := r.decoder.EdgeCost(record.Value, e); err != nil {
		return err
	}
	if e.DropID == "" {
		return nil
	}
	key := wire.Alias(record.Key)
	var was open
	known := r.open.Get(key)
	if known != nil {
		was = *known
	}
	if known != nil && e.Revision <= was.revision {
		r.stale++
		return nil
	}
	s, created := r.accounts.Put(e.DropID)
	if created {
		s.pace, s.rate = 1, 1
		// The first stage knew the drop; this waits until this process's reading of the catalogue does.
		r.catalogue.Drop(e.DropID, record.Timestamp)
	}
	p := s.partition(e.Partition)
	if known == nil && e.PaneStart < p.final {
		r.closed++
		r.refuse("its pane is final", e)
		return nil
	}
	if e.Currency != "" && s.currency == "" {
		s.currency = r.names.Text(e.Currency)
	}
	if e.Currency != "" && e.Currency != s.currency {
		r.foreign++
	}
	now := totalsOf(e, e.Currency != "" && e.Currency == s.currency)
	change := now.less(was.counted)
	if !s.total.add(change) {
		r.outOfRange++
		r.refuse("the drop's sums would exceed the range of int64", e)
		return nil
	}
	s.count(e.PaneStart, r.cfg.WindowMS, change)
	s.creator(e.CreatorID, r.names).totals.add(change)
	s.newest, s.rate = max(s.newest, e.Newest), min(s.rate, e.SampleRate)
	s.fresh = true
	if known == nil {
		p.open++
	}
	if e.Maturity == event.Final {
		p.open--
		p.final = max(p.final, e.PaneStart)
		r.open.Delete(key)
		return nil
	}
	o, _ := r.open.Put(key)
	*o = open{revision: e.Revision, counted: now}
	return nil
}

func (r *Rollup) refuse(why string, e *event.EdgeCost) {
	r.cfg.Logger.Error("edge-cost: partial refused: "+why,
		"drop_id", e.DropID, "pop", e.POP, "creator_id", e.CreatorID, "pane", e.PaneStart, "partition", e.Partition, "revision", e.Revision)
}

// Flush implements processors.RollupRule.
func (r *Rollup) Flush(t processors.RollupTimes, out *processors.Output) {
	r.accounts.Due(overdue, func(id string, s *account) {
		drop := r.catalogue.Drop(id, 0)
		if drop == nil {
			if s.fresh {
				r.unknown++
				s, _ = r.accounts.Put(id)
				s.fresh = false
			}
			return
		}
		to := boundary(t.Watermark)
		due := s.fresh && t.Watermark > 0 && (t.Watermark-s.published >= r.cfg.PublishMS || t.Quiet && t.Now-s.told >= quietMS)
		if to <= s.evaluated && !due {
			return
		}
		s, _ = r.accounts.Put(id)
		ended := s.ended
		r.evaluate(id, s, drop, t.Watermark, out)
		if due || s.ended && !ended {
			s.published, s.told, s.fresh = t.Watermark, t.Now, false
			s.revision++
			r.publish(id, s, drop, t.Watermark, out)
		}
	})
}

// quietMS is how often, by the runtime's clock, estimates are published when nothing is left to fold.
const quietMS = 1000

// evaluate decides at every boundary in the drop that the watermark has passed.
func (r *Rollup) evaluate(id string, s *account, drop *event.Drop, watermark int64, out *processors.Output) {
	to := boundary(watermark)
	from := s.evaluated + minuteMS
	// Nothing is decided before the start, or before there is anything to decide on.
	if first := firstMinute(drop) + minuteMS; from < first {
		from = first
	}
	if len(s.minutes) > 0 && from < s.minutes[0].start+minuteMS {
		from = s.minutes[0].start + minuteMS
	}
	for at := from; at <= to; at += minuteMS {
		ends := at >= drop.EndMS
		if ends && s.ended {
			break
		}
		r.decide(id, s, drop, at, watermark, out)
		s.ended = ends
		s.passed(at, r.cfg.WindowMS)
	}
	if to > s.evaluated {
		s.passed(to, r.cfg.WindowMS)
	}
}

// Standing implements processors.Deciding: the decisions in force of every drop that runs.
func (r *Rollup) Standing(each func(*event.Decision)) error {
	return r.accounts.Each(func(id string, s *account) {
		if s.evaluated == 0 || s.ended {
			return
		}
		stand := func(topic, chosen string, value float64) {
			each(&event.Decision{DropID: id, Topic: topic, At: s.evaluated, Chosen: chosen, Value: value, Reason: "in force since before the restart",
				Inputs: []event.Input{{Name: "level", Value: float64(s.guard.Level)}}})
		}
		stand(topicPace, paced(s.pace, 1), s.pace)
		stand(topicBudget, s.guard.Level.String(), float64(s.guard.Level))
		stand(topicShed, shedName(s.shed), float64(s.shed))
		if s.replicas > 0 {
			stand(topicReplicas, "scale", float64(s.replicas))
		}
	})
}

// appendEstimateKey appends drop_id|metric|dimensions.
func appendEstimateKey(dst []byte, e *event.Estimate) []byte {
	dst = wire.AppendPart(wire.AppendPart(dst, e.DropID), e.Metric)
	for _, d := range e.Dimensions {
		dst = wire.AppendPart(wire.AppendPart(dst, d.Name), d.Value)
	}
	return dst
}

// appendDecisionKey appends drop_id|topic|subject|at.
func appendDecisionKey(dst []byte, d *event.Decision) []byte {
	dst = wire.AppendPart(wire.AppendPart(dst, d.DropID), d.Topic)
	return strconv.AppendInt(wire.AppendPart(dst, d.Subject), d.At, 10)
}
