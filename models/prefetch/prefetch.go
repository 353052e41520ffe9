// Package prefetch owns which assets an edge should have ready for a player: what
// came next so far, and what a miss would cost at the POP. It holds no player: transitions
// are counted over all of them. It is pure; money is int64 nano-units of one currency.
package prefetch

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/droplift/droplift/models/edgebudget"
)

// Config of Transitions. The zero value means the documented defaults.
type Config struct {
	// Smoothing is Laplace's: how often every candidate counts as seen beforehand (default 1).
	Smoothing float64
	// MaxAssets bounds the assets that transitions are counted from, MaxNext those counted behind one (defaults 10,000 and
	// 64). What is beyond is not counted, and Observe says so.
	MaxAssets, MaxNext int
}

// Transitions counts which asset was asked for behind which. Not safe for concurrent use.
type Transitions struct {
	cfg  Config
	from map[string]*next
}

type next struct {
	total uint64
	count map[string]uint64
}

// NewTransitions has seen nothing.
func NewTransitions(cfg Config) (*Transitions, error) {
	if cfg.Smoothing < 0 || cfg.MaxAssets < 0 || cfg.MaxNext < 0 {
		return nil, errors.New("prefetch: neither the smoothing nor a bound may be negative")
	}
	if cfg.Smoothing == 0 {
		cfg.Smoothing = 1
	}
	if cfg.MaxAssets == 0 {
		cfg.MaxAssets = 10_000
	}
	if cfg.MaxNext == 0 {
		cfg.MaxNext = 64
	}
	return &Transitions{cfg: cfg, from: map[string]*next{}}, nil
}

// Observe counts that to came behind from. It is false where a bound left it out. The strings are kept only where they
// are new, as copies.
func (t *Transitions) Observe(from, to string) bool {
	n := t.from[from]
	if n == nil {
		if len(t.from) >= t.cfg.MaxAssets {
			return false
		}
		n = &next{count: map[string]uint64{}}
		t.from[strings.Clone(from)] = n
	}
	n.total++
	if count, ok := n.count[to]; ok {
		n.count[to] = count + 1
		return true
	}
	if len(n.count) >= t.cfg.MaxNext {
		return false
	}
	n.count[strings.Clone(to)] = 1
	return true
}

// P is the probability that to comes behind from, when it is one of the given number of candidates:
// (count + s)/(total + s·candidates).
func (t *Transitions) P(from, to string, candidates int) float64 {
	count, total := 0.0, 0.0
	if n := t.from[from]; n != nil {
		count, total = float64(n.count[to]), float64(n.total)
	}
	return (count + t.cfg.Smoothing) / (total + t.cfg.Smoothing*float64(candidates))
}

// Asset is a candidate. Cached says that the edge has it already.
type Asset struct {
	ID     string
	Bytes  int64
	Cached bool
}

// Ranked is an asset worth fetching. Saving is what having it ready is expected to save, in nano-units.
type Ranked struct {
	Asset
	P      float64
	Saving int64
}

// Limits of a plan.
type Limits struct {
	// Top is the greatest number of assets, Bytes what they may come to together; 0 means none.
	Top   int
	Bytes int64
	// PerGB is what a missed GB (10⁹ bytes) costs at the POP, in nano-units. 0 ranks by expected bytes.
	PerGB int64
}

// Plan ranks the candidates behind current by P(next) × size × miss cost, greatest first, equal ones by
// name, and takes the first ones that fit. Cached ones, and those without a size, are left out. Appends to dst.
func (t *Transitions) Plan(current string, candidates []Asset, limits Limits, dst []Ranked) []Ranked {
	first := len(dst)
	for _, a := range candidates {
		if a.Cached || a.Bytes <= 0 || a.Bytes > limits.Bytes {
			continue
		}
		p := t.P(current, a.ID, len(candidates))
		dst = append(dst, Ranked{Asset: a, P: p, Saving: saving(p, a.Bytes, limits.PerGB)})
	}
	ranked := dst[first:]
	slices.SortFunc(ranked, func(a, b Ranked) int {
		// The cost per byte is the same for all, so expected bytes order them, unrounded.
		switch x, y := a.P*float64(a.Bytes), b.P*float64(b.Bytes); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	left, kept := limits.Bytes, first
	for _, r := range ranked {
		if kept-first == limits.Top {
			break
		}
		if r.Bytes <= left {
			left -= r.Bytes
			dst[kept] = r
			kept++
		}
	}
	return dst[:kept]
}

// saving is p of the price of bytes, half to even; a price beyond int64 counts as the greatest.
func saving(p float64, bytes, perGB int64) int64 {
	cost, err := edgebudget.Prices{Egress: perGB}.Cost(edgebudget.Usage{Egress: bytes})
	if err != nil {
		cost = math.MaxInt64
	}
	if expected := math.RoundToEven(p * float64(cost)); expected < math.MaxInt64 {
		return int64(expected)
	}
	return math.MaxInt64
}
