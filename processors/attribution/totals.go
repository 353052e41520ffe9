package attribution

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// TotalsConfig configures Totals. Zero values mean the defaults.
type TotalsConfig struct {
	// BudgetMS is the latency budget of drops whose catalogue entry has none (default 300).
	BudgetMS int64
	// EveryMS is how far event time moves between two publications of a drop (default 60 s).
	EveryMS int64
	// QuietMS is how often, by the clock, a drop that moves slower is published while nothing more is coming (default 5 s).
	QuietMS int64
	// Enough says how much data an estimate needs.
	Enough latencyloss.Config
}

// Validate reports every problem at once.
func (c TotalsConfig) Validate() error {
	var problems []error
	if c.BudgetMS < 0 {
		problems = append(problems, fmt.Errorf("attribution: latency budget of %d ms is negative", c.BudgetMS))
	}
	if c.EveryMS < 0 || c.QuietMS < 0 {
		problems = append(problems, fmt.Errorf("attribution: publication every %d ms, and %d ms when quiet: one is negative", c.EveryMS, c.QuietMS))
	}
	return errors.Join(problems...)
}

// Totals is the second stage. It implements processors.RollupRule.
type Totals struct {
	cfg   TotalsConfig
	names *wire.Names

	drops    *processors.Table[drop]
	parts    *processors.Table[part]
	sketches *processors.Table[merged]

	// mixed counts sketches that could not be merged because their accuracy differs.
	mixed uint64

	decoder  event.Decoder
	partial  event.Attribution
	sketch   event.LatencySketch
	estimate event.Estimate
	key      []byte
	due      []string
}

// NewTotals makes the rule of one partition of the second stage.
func NewTotals(cfg TotalsConfig) (*Totals, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.BudgetMS = cmp.Or(cfg.BudgetMS, 300)
	cfg.EveryMS = cmp.Or(cfg.EveryMS, minuteMS)
	cfg.QuietMS = cmp.Or(cfg.QuietMS, 5*secondMS)
	n := &wire.Names{}
	return &Totals{
		cfg: cfg, names: n,
		drops:    processors.NewTable("drop", processors.Codec[drop](dropCodec{names: n})),
		parts:    processors.NewTable("part", processors.Codec[part](partCodec{names: n})),
		sketches: processors.NewTable("sketch", processors.Codec[merged](mergedCodec{})),
	}, nil
}

// Name implements processors.RollupRule.
func (t *Totals) Name() string { return "attribution" }

// Tables implements processors.RollupRule.
func (t *Totals) Tables() []processors.Staged {
	return []processors.Staged{t.drops, t.parts, t.sketches}
}

// Outcomes implements processors.Counting.
func (t *Totals) Outcomes(each func(outcome string, total uint64)) { each("mixed_accuracy", t.mixed) }

// Apply implements processors.RollupRule.
func (t *Totals) Apply(r *event.Record) *event.Error {
	switch r.Kind {
	case event.KindAttribution:
		if err := t.decoder.Attribution(r.Value, &t.partial); err != nil {
			return err
		}
		t.applyPart(&t.partial)
	case event.KindLatencySketch:
		if err := t.decoder.LatencySketch(r.Value, &t.sketch); err != nil {
			return err
		}
		t.applySketch(&t.sketch)
	}
	return nil
}

func (t *Totals) applyPart(a *event.Attribution) {
	t.key = wire.AppendString(t.key[:0], a.DropID)
	t.key = wire.AppendString(t.key, a.POP)
	t.key = wire.AppendString(t.key, a.Device)
	t.key = wire.AppendString(t.key, a.Language)
	t.key = binary.AppendVarint(t.key, a.AgeFrom)
	t.key = binary.AppendVarint(t.key, int64(a.Partition))
	p, created := t.parts.Put(wire.Alias(t.key))
	if !created && a.Revision <= p.revision {
		return
	}
	d := t.drop(a.DropID)
	d.creator = cmp.Or(t.names.Text(a.CreatorID), d.creator)
	d.from, d.to, d.budget = a.From, a.To, a.BudgetMS
	d.open += count(!a.Closed) - count(!created && !p.closed)
	d.pending += count(a.Maturity != event.Final) - count(!created && !p.final)
	d.dirty = true
	p.revision, p.ageFrom, p.closed, p.final, p.rate = a.Revision, a.AgeFrom, a.Closed, a.Maturity == event.Final, a.SampleRate
	p.pop, p.device, p.language = t.names.Text(a.POP), t.names.Text(a.Device), t.names.Text(a.Language)
	p.viewers, p.conversions, p.us = a.Viewers, a.Conversions, a.LatencyUS
	p.unmeasured, p.unmeasuredBy = a.Unmeasured, a.UnmeasuredConversions
	p.money = p.money[:0]
	for _, m := range a.Money {
		p.money = append(p.money, event.LatencyMoney{Currency: t.names.Text(m.Currency), Net: m.Net})
	}
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// applySketch keeps a landing sketch as an open pane until it is final, and adds it to its POP's total then: a final
// pane comes once, and a drop has too many panes to keep them all.
func (t *Totals) applySketch(s *event.LatencySketch) {
	if s.Request != event.RequestLanding {
		return
	}
	t.drop(s.DropID).dirty = true
	total, created := t.sketches.Put(t.sketchKey(s.DropID, s.POP, nil))
	if created {
		total.accuracy, total.rate, total.pop = s.Accuracy, 1, t.names.Text(s.POP)
	}
	if total.accuracy != s.Accuracy {
		t.mixed++
		return
	}
	key := t.sketchKey(s.DropID, s.POP, s)
	if s.Maturity == event.Final {
		t.sketches.Delete(key)
		total.zero += s.Zero
		total.samples += s.Samples
		total.rate = min(total.rate, s.SampleRate)
		total.bins.merge(s.Bins)
		return
	}
	p, created := t.sketches.Put(key)
	if !created && s.Revision <= p.revision {
		return
	}
	*p = merged{pop: t.names.Text(s.POP), accuracy: s.Accuracy, revision: s.Revision, rate: s.SampleRate, samples: s.Samples, zero: s.Zero, bins: append(p.bins[:0], s.Bins...)}
}

// sketchKey is the key of a POP's total, or of one open pane of one partition.
func (t *Totals) sketchKey(drop, pop string, s *event.LatencySketch) string {
	t.key = wire.AppendString(t.key[:0], drop)
	t.key = wire.AppendString(t.key, pop)
	if s != nil {
		t.key = binary.BigEndian.AppendUint64(t.key, uint64(s.PaneStart))
		t.key = binary.AppendVarint(t.key, int64(s.Partition))
	}
	return wire.Alias(t.key)
}

// drop is the state of a drop, for changing.
func (t *Totals) drop(id string) *drop {
	d, created := t.drops.Put(id)
	if created {
		d.published = processors.NoWatermark
	}
	return d
}

// Flush implements processors.RollupRule. A drop is published when its event time has moved far enough, when nothing more
// is coming, though not too often by the clock then, and once each when its viewers are closed and when its revenue is final; then it is
// forgotten.
func (t *Totals) Flush(now processors.RollupTimes, out *processors.Output) {
	if now.Watermark == processors.NoWatermark {
		return
	}
	t.due = t.due[:0]
	// A drop that an earlier flush left unpublished need not have changed since. What encode wrote, decode reads.
	_ = t.drops.Each(func(id string, d *drop) {
		if d.dirty {
			turned := d.from > 0 && (d.open == 0 && !d.closed || d.pending == 0)
			still := now.Quiet && now.Now-d.publishedAt >= t.cfg.QuietMS
			if turned || still || now.Watermark-d.published >= t.cfg.EveryMS {
				t.due = append(t.due, id)
			}
		}
	})
	slices.Sort(t.due)
	for _, id := range t.due {
		d, _ := t.drops.Put(id)
		d.closed, d.final = d.from > 0 && d.open == 0, d.from > 0 && d.pending == 0
		t.publish(id, d, now.Watermark, out)
		d.published, d.publishedAt, d.dirty = now.Watermark, now.Now, false
		if d.final {
			t.forget(id)
		}
	}
}

// forget deletes all state of a drop whose numbers are final.
func (t *Totals) forget(id string) {
	prefix := string(wire.AppendString(nil, id))
	for _, key := range keysOf(t.parts, prefix) {
		t.parts.Delete(key)
	}
	for _, key := range keysOf(t.sketches, prefix) {
		t.sketches.Delete(key)
	}
	t.drops.Delete(id)
}
