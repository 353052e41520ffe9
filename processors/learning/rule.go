package learning

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// maxPending bounds a player's pending scores over all models, whose names come from outside.
const maxPending = 64

// maxVector bounds the vector of another feature set than ours.
const maxVector = 1024

// outcome is what became of a score.
type outcome uint8

const (
	outcomePending outcome = iota
	outcomeThinned
	outcomeSynthetic
	outcomeNoConsent
	outcomeNoVector
	outcomeBadVector
	outcomeInactive
	outcomeFull
	outcomePublished
	numOutcomes
)

var outcomeNames = [numOutcomes]string{
	outcomePending:   "pending",    // became the pending score of its interval
	outcomeThinned:   "thinned",    // another one of its interval is, or was until now
	outcomeSynthetic: "synthetic",  // a probe or warm-up traffic
	outcomeNoConsent: "no_consent", // the analytics bit is absent
	outcomeNoVector:  "no_vector",  // a degraded answer
	outcomeBadVector: "bad_vector", // not of the length of its set, or too long
	outcomeInactive:  "inactive",   // absent for longer than the population allows
	outcomeFull:      "full",       // the player has too many pending scores
	outcomePublished: "published",  // examples
}

// consentAnalytics is the bit of Envelope.Consent without which nothing is learned from a player.
const consentAnalytics = 1

// Rule is the first stage. It implements processors.Rule and processors.Counting.
type Rule struct {
	cfg       Config
	partition int32
	names     *wire.Names
	recency   int // of feature.Player's vector

	players   *processors.Table[player]
	snapshots *processors.Table[snapshot]
	outcomes  [numOutcomes]uint64

	key     []byte
	example event.Example
	due     []due
}

// due is a pending score whose label is known.
type due struct {
	player string
	pending
	churned   bool
	snapshot  snapshot
	converted bool
	net       int64
	currency  string
}

// New makes the rule of one partition.
func New(cfg Config, partition int32) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	n := &wire.Names{}
	return &Rule{
		cfg: cfg, partition: partition, names: n, recency: feature.Player.Index("recency_s"),
		players:   processors.NewTable("learning players", processors.Codec[player](playerCodec{embargoMS: cfg.EmbargoMS, names: n})),
		snapshots: processors.NewTable("learning scores", processors.Codec[snapshot](snapshotCodec{names: n})),
	}, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "learning" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.players, r.snapshots}
}

// Outcomes implements processors.Counting: what became of scores.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) {
	for o, name := range outcomeNames {
		each(name, r.outcomes[o])
	}
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	switch ev.Kind {
	case event.KindPlayer:
		if ev.Type == event.SessionStart && !ev.Synthetic {
			r.start(ev.PlayerID, at)
		}
	case event.KindCheckout:
		switch ev.Type {
		case event.CheckoutCompleted, event.CheckoutRefunded, event.CheckoutChargeback:
			if !ev.Synthetic {
				r.move(ev, at)
			}
		}
	case event.KindScore:
		r.outcomes[r.score(ev, at)]++
	}
}

func (r *Rule) start(id string, at int64) {
	if p := r.players.Get(id); p != nil {
		// Most starts change nothing, and what does not change is not written.
		if i, known := slices.BinarySearch(p.starts, at); known || p.between(i-1, i, p.span(r.cfg.HorizonMS)) {
			return
		}
	}
	p, _ := r.players.Put(id)
	p.start(at, p.span(r.cfg.HorizonMS))
}

func (r *Rule) move(ev *event.Event, at int64) {
	c := &ev.Checkout
	m := move{
		id: c.CheckoutID, what: ev.Type, seq: c.Seq, at: at, drop: r.names.Text(ev.DropID),
		currency: r.names.Text(c.Currency), amount: c.Amount,
	}
	p, _ := r.players.Put(ev.PlayerID)
	if p.add(&m) {
		i, _ := slices.BinarySearchFunc(p.moves, &m, func(a move, b *move) int { return a.compare(b) })
		p.moves[i].id = string([]byte(c.CheckoutID)) // it aliases the record
	}
}

func (r *Rule) score(ev *event.Event, at int64) outcome {
	x := &ev.Score
	switch {
	case ev.Synthetic:
		return outcomeSynthetic
	case ev.Consent&consentAnalytics == 0:
		return outcomeNoConsent
	case len(x.Vector) == 0:
		return outcomeNoVector
	}
	if x.FeatureHash == feature.Player.Hash() {
		if len(x.Vector) != len(feature.Player.Features) {
			return outcomeBadVector
		}
		if x.Vector[r.recency]*1000 > float64(r.cfg.ActiveMS) {
			return outcomeInactive
		}
	} else if len(x.Vector) > maxVector {
		return outcomeBadVector
	}
	q := pending{
		model: r.names.Text(x.Model), at: at, from: at + r.cfg.EmbargoMS, to: at + r.cfg.EmbargoMS + r.cfg.HorizonMS,
		until: at + r.cfg.OutcomeMS, eligible: x.Eligible,
	}
	place, count := -1, 0
	if p := r.players.Get(ev.PlayerID); p != nil {
		count = len(p.pending)
		place = slices.IndexFunc(p.pending, func(o pending) bool { return o.model == q.model && o.at/r.cfg.EveryMS == at/r.cfg.EveryMS })
		if place >= 0 && !q.better(&p.pending[place]) {
			return outcomeThinned
		}
	}
	if place < 0 && count == maxPending {
		return outcomeFull
	}
	p, _ := r.players.Put(ev.PlayerID)
	became := outcomePending
	if place >= 0 {
		old := &p.pending[place]
		r.snapshots.Delete(r.snapshotKey(ev.PlayerID, old))
		*old, became = q, outcomeThinned
	} else {
		p.pending = append(p.pending, q)
	}
	s, _ := r.snapshots.Put(r.snapshotKey(ev.PlayerID, &q))
	s.set(ev, r.names)
	return became
}

func (r *Rule) snapshotKey(player string, q *pending) string {
	r.key = wire.AppendString(wire.AppendString(r.key[:0], player), q.model)
	r.key = binary.AppendVarint(r.key, q.at)
	return wire.Alias(r.key)
}

// Flush implements processors.Rule: it publishes the examples whose label the watermark has passed by the allowed lateness.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	if t.Watermark == processors.NoWatermark {
		return
	}
	horizon := t.Watermark - t.AllowedLateness
	r.due = r.due[:0]
	r.players.Due(horizon, func(key string, _ *player) {
		p, _ := r.players.Put(key)
		p.pending = slices.DeleteFunc(p.pending, func(q pending) bool {
			if q.to > horizon {
				return false
			}
			r.judge(key, p, &q)
			return true
		})
	})
	r.players.Changed(func(key string, p *player) {
		if p.prune(horizon, r.cfg.EmbargoMS); p.empty() {
			r.players.Delete(key)
		}
	})
	// The learner knows examples by this order; see the package comment.
	slices.SortFunc(r.due, func(a, b due) int {
		return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.at, b.at), cmp.Compare(a.player, b.player), cmp.Compare(a.model, b.model))
	})
	for i := range r.due {
		r.publish(&r.due[i], t.Watermark, out)
	}
	clear(r.due)
}

// judge takes down what became of a score, and forgets the score.
func (r *Rule) judge(id string, p *player, q *pending) {
	key := r.snapshotKey(id, q)
	d := due{player: id, pending: *q, churned: !p.returned(q.from, q.to), snapshot: *r.snapshots.Get(key)}
	d.snapshot.vector = slices.Clone(d.snapshot.vector)
	d.converted, d.net, d.currency = p.outcome(q.at, q.until, d.snapshot.drop)
	r.due = append(r.due, d)
	r.snapshots.Delete(key)
}

func (r *Rule) publish(d *due, watermark int64, out *processors.Output) {
	s := &d.snapshot
	r.example = event.Example{
		Model: d.model, ModelVersion: s.version, PlayerID: d.player, ScoredAt: d.at, DropID: s.drop,
		Partition: r.partition, Watermark: watermark, Churned: d.churned, LabelFrom: d.from, LabelTo: d.to,
		FeatureHash: s.hash, Vector: s.vector, P: s.p, ShadowVersion: s.shadow, ShadowP: s.shadowP,
		Offer: s.offer, Discount: s.discount, Propensity: s.propensity, Holdout: s.holdout, Eligible: s.eligible,
		Converted: d.converted, Net: d.net, Currency: d.currency,
	}
	r.key = wire.AppendPart(wire.AppendPart(r.key[:0], d.model), d.player)
	r.key = strconv.AppendInt(r.key, d.at, 10)
	out.Emit(event.KindExample, wire.Alias(r.key), r.example.AppendJSON)
	r.outcomes[outcomePublished]++
}
