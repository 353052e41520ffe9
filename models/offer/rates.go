package offer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Beta is the belief about a conversion rate.
type Beta struct{ A, B float64 }

// Mean of the rate.
func (b Beta) Mean() float64 { return b.A / (b.A + b.B) }

// Outcome is what became of one eligible player. Arm is the rule's name of the offer made, empty for nothing.
type Outcome struct {
	Player string
	// At is the scoring time t0 (Unix ms).
	At        int64
	Arm       string
	Band      int
	Converted bool
}

// What Learn made of an outcome.
type Learned uint8

const (
	Counted Learned = iota
	// Twice learned outcomes are not counted again: the stream repeats itself after restarts.
	Twice
	// Forgotten ones are older than what is remembered, so nobody knows whether they were counted.
	Forgotten
)

// String is the name in metrics.
func (l Learned) String() string { return [...]string{"counted", "twice", "forgotten"}[l] }

// RatesConfig of Rates. The zero value means the documented defaults.
type RatesConfig struct {
	// Prior of every arm before anybody was seen (default: 1 conversion to 19 others, a mean of 5 %).
	Prior Beta
	// RememberMS is how far behind the newest outcome outcomes are told apart (default 60 days).
	RememberMS int64
}

// DefaultRememberMS outlasts the 14 days of a label and a fortnight's outage.
const DefaultRememberMS = 60 * 24 * 3600 * 1000

// Rates are the beliefs of every arm in every score band. Not safe for concurrent use.
type Rates struct {
	cfg    RatesConfig
	counts map[segment]*tally
	// seen holds (player, t0) by the day of t0, so that whole days are forgotten at once.
	seen   map[int64]map[[16]byte]struct{}
	newest int64
}

type segment struct {
	arm  string
	band int
}

type tally struct{ converted, others uint64 }

// NewRates knows nothing but the prior.
func NewRates(cfg RatesConfig) (*Rates, error) {
	if cfg.Prior == (Beta{}) {
		cfg.Prior = Beta{1, 19}
	}
	if cfg.RememberMS == 0 {
		cfg.RememberMS = DefaultRememberMS
	}
	if !(cfg.Prior.A > 0 && cfg.Prior.B > 0) || cfg.RememberMS < dayMS {
		return nil, errors.New("offer: a prior needs positive parameters, and a day or more to remember")
	}
	return &Rates{cfg: cfg, counts: map[segment]*tally{}, seen: map[int64]map[[16]byte]struct{}{}}, nil
}

const dayMS = 24 * 3600 * 1000

// Learn counts an outcome, once per (player, t0).
func (r *Rates) Learn(o Outcome) Learned {
	if o.At > r.newest {
		r.newest = o.At
		for day := range r.seen {
			if (day+1)*dayMS <= r.newest-r.cfg.RememberMS {
				delete(r.seen, day)
			}
		}
	}
	day := o.At / dayMS
	if (day+1)*dayMS <= r.newest-r.cfg.RememberMS {
		return Forgotten
	}
	key := outcomeKey(o.Player, o.At)
	if _, twice := r.seen[day][key]; twice {
		return Twice
	}
	if r.seen[day] == nil {
		r.seen[day] = map[[16]byte]struct{}{}
	}
	r.seen[day][key] = struct{}{}
	at := segment{o.Arm, o.Band}
	t := r.counts[at]
	if t == nil {
		t = &tally{}
		r.counts[at] = t
	}
	if o.Converted {
		t.converted++
	} else {
		t.others++
	}
	return Counted
}

func outcomeKey(player string, at int64) [16]byte {
	var room [128]byte
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(room[:0], uint64(at)), player...))
	return [16]byte(sum[:16])
}

// Rate is the belief about arm in a band; the prior for one that nobody got yet.
func (r *Rates) Rate(arm string, band int) Beta {
	b := r.cfg.Prior
	if t := r.counts[segment{arm, band}]; t != nil {
		b.A += float64(t.converted)
		b.B += float64(t.others)
	}
	return b
}

// Clone is a copy of the beliefs to read while r learns on; it learns nothing itself.
func (r *Rates) Clone() *Rates {
	c := &Rates{cfg: r.cfg, counts: make(map[segment]*tally, len(r.counts))}
	for at, t := range r.counts {
		copied := *t
		c.counts[at] = &copied
	}
	return c
}
