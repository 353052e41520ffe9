// Package churn owns the churn features of DOMAIN 1.1: for every player the
// windows 1 h, 24 h, 7 d and 28 d, sessions and their gaps, playtime, spend and
// experienced latency, published as event.Features.
//
// Which events count. Synthetic events, edge probes and events of no known
// player do not. Activity is what the player does: all player records, edge
// requests, and checkouts started, completed or failed. Refunds and chargebacks
// change the spend when they happen, but are not activity; settlements are
// neither.
//
// Windows. A window of width w as of t is [floor(t−w), t), floor taken to the
// window's tile: 5 minutes for 1 h, 1 hour for 24 h, 1 UTC day for 7 d and 28 d.
// It holds the exact window and less than one tile more at its old end.
// Sessions count where they start, playtime where it was played.
//
// Order. Features depend on the events that were accepted, not on the order of
// their arrival: what an event in between can still change (heartbeats beside
// it, sessions that it joins) stays open until the watermark says that no such
// event will be accepted. Without a watermark everything stays open, up to the
// bounds below; beyond them the oldest is closed early.
//
// Publication. A player's revisions are at most SessionGap of activity apart, and
// every visit's first and last features are among them, whatever the speed at
// which events come: PublishEvery only thins out what lies closer. So the newest
// revision up to a time says the same of a replay as of a live run.
package churn

import (
	"errors"
	"fmt"
	"math"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// Config is a rule's configuration. Zero values mean the documented defaults; times are ms.
type Config struct {
	// Heartbeat H (default 30,000) of events that do not carry their own.
	Heartbeat int64
	// SessionGap G (default 1,800,000): activity at most G apart is one analytic session.
	SessionGap int64
	// GapAlpha (default 0.3) weighs the newest gap in the EWMA.
	GapAlpha float64
	// PublishEvery (default 1,000) is the least time between two publications for a player, by Times.Now. Revisions that are
	// more than SessionGap of event time apart do not wait for it.
	PublishEvery int64
	// ExpireAfter (default 90 days) without an event, a player is forgotten, and starts anew on return. Not
	// below the widest window.
	ExpireAfter int64
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	c = c.withDefaults()
	for _, d := range []struct {
		name  string
		value int64
	}{{"heartbeat", c.Heartbeat}, {"session gap", c.SessionGap}, {"publication interval", c.PublishEvery}} {
		if d.value < 0 {
			problems = append(problems, fmt.Errorf("churn: %s of %d ms is negative", d.name, d.value))
		}
	}
	if !(c.GapAlpha > 0 && c.GapAlpha <= 1) {
		problems = append(problems, fmt.Errorf("churn: gap weight %v is not in (0, 1]", c.GapAlpha))
	}
	if widest := windows[len(windows)-1].width; c.ExpireAfter < widest {
		problems = append(problems, fmt.Errorf("churn: expiry after %d ms is below the widest window of %d ms", c.ExpireAfter, widest))
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value     *int64
		otherwise int64
	}{{&c.Heartbeat, 30_000}, {&c.SessionGap, 30 * minute}, {&c.PublishEvery, 1_000}, {&c.ExpireAfter, 90 * day}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if c.GapAlpha == 0 {
		c.GapAlpha = 0.3
	}
	return c
}

const (
	minute = int64(60_000)
	hour   = 60 * minute
	day    = 24 * hour
)

// Rule computes the features of one partition's players.
type Rule struct {
	cfg     Config
	players *processors.Table[player]
	// pending holds the players with a change that PublishEvery held back; its deadlines are in
	// Times.Now, not in event time.
	pending *processors.Table[pending]
	// floors holds under floorKey the highest revision of any forgotten player. New players start
	// above it, so that one who returns does not publish revisions that are older than the last.
	floors *processors.Table[floor]

	features event.Features // scratch
	encode   func([]byte) []byte
}

type pending struct{ due int64 }

type floor struct{ revision uint64 }

const floorKey = "revision"

// New makes the rule of one partition. cfg must be valid.
func New(cfg Config) *Rule {
	cfg = cfg.withDefaults()
	r := &Rule{
		cfg:     cfg,
		players: processors.NewTable("churn players", playerCodec{expireAfter: cfg.ExpireAfter}),
		pending: processors.NewTable("churn pending publications", pendingCodec{}),
		floors:  processors.NewTable("churn revision floor", floorCodec{}),
	}
	r.encode = func(dst []byte) []byte { return r.features.AppendJSON(dst) }
	return r
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "churn" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.players, r.pending, r.floors}
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	if ev.PlayerID == "" || ev.Synthetic {
		return
	}
	switch {
	case ev.Kind == event.KindPlayer:
	case ev.Kind == event.KindLatency && ev.Latency.Request != event.RequestProbe:
	case ev.Kind == event.KindCheckout && ev.Type <= event.CheckoutChargeback: // the rest is what others do for the player
	default:
		return
	}
	p, created := r.players.Put(ev.PlayerID)
	if created {
		if f := r.floors.Get(floorKey); f != nil {
			p.revision = f.revision
		}
	}
	if p.changed && at >= max(p.asOf, p.told+r.cfg.SessionGap) {
		// A replay tells of days in a transaction. Published once in that, features between two visits would be replaced before
		// anybody saw them: of players whose newest features are old, a training set would tell that they came back soon.
		p.held = append(p.held, event.Features{})
		p.revise(&p.held[len(p.held)-1], &r.cfg)
	}
	if !created && at > p.asOf+r.cfg.ExpireAfter {
		// The watermark may not have come so far in the same transaction: results must not depend on it.
		*p = player{revision: p.revision, published: p.published, told: p.told, held: p.held}
	}
	p.apply(ev, at, &r.cfg)
}

// Flush implements processors.Rule: it publishes what was held, every player who changed and is
// not within PublishEvery of the last publication, and once more, as final, every
// player whose newest event the allowed lateness has passed.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	horizon := int64(math.MinInt64)
	if t.Watermark != processors.NoWatermark {
		horizon = t.Watermark - t.AllowedLateness
	}
	// Heartbeats come from one input only, so its own horizon will do: it is not held back by the others.
	heartbeats := max(horizon, t.Horizon(event.KindPlayer))

	r.players.Due(horizon, func(key string, p *player) {
		if p.final {
			r.expire(key, p.revision)
			return
		}
		p, _ = r.players.Put(key)
		p.final, p.changed = true, true
	})
	r.players.Changed(func(key string, p *player) {
		for _, r.features = range p.held {
			r.emit(key, t.Before, out)
		}
		p.held = nil
		p.settle(horizon, heartbeats, &r.cfg)
		if due := p.published + r.cfg.PublishEvery; p.published <= t.Now && t.Now < due {
			if wait, created := r.pending.Put(key); created {
				wait.due = due
			}
			return
		}
		r.publish(key, p, t, out)
		r.pending.Delete(key)
	})
	r.pending.Due(t.Now, func(key string, _ *pending) {
		r.pending.Delete(key)
		p, _ := r.players.Put(key) // there is one: a player and the pending publication are forgotten together
		r.publish(key, p, t, out)
	})
}

func (r *Rule) expire(key string, revision uint64) {
	r.players.Delete(key)
	r.pending.Delete(key)
	if f, _ := r.floors.Put(floorKey); f.revision < revision {
		f.revision = revision
	}
}

func (r *Rule) publish(key string, p *player, t processors.Times, out *processors.Output) {
	p.published = t.Now
	p.revise(&r.features, &r.cfg)
	r.emit(key, t.Watermark, out)
}

// emit publishes r.features.
func (r *Rule) emit(key string, watermark int64, out *processors.Output) {
	r.features.PlayerID, r.features.Watermark = key, watermark
	out.Emit(event.KindFeatures, key, r.encode)
}
