package learning

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// player is what the rule keeps of one player: scores whose label is not known
// yet, and what they, or a score that may still come, are judged by.
type player struct {
	pending []pending
	// starts are times of session starts in order; those that no window of span can tell apart are left out, see start.
	starts []int64
	// moves are completed and returned checkouts, by ID, type and number.
	moves []move
}

// pending is a score that waits for its label.
type pending struct {
	model    string
	at       int64 // t0
	from, to int64 // the label's window
	until    int64 // end of the outcome's window, which begins at t0
	eligible bool
}

// better says which of two scores of one interval makes the example.
func (p *pending) better(than *pending) bool {
	if p.eligible != than.eligible {
		return p.eligible
	}
	return p.at < than.at
}

// move is money that went one way or the other.
type move struct {
	id       string
	what     event.Type
	seq      uint32
	at       int64
	drop     string
	currency string
	amount   int64
}

func (m *move) compare(o *move) int {
	return cmp.Or(cmp.Compare(m.id, o.id), cmp.Compare(m.what, o.what), cmp.Compare(m.seq, o.seq))
}

// start takes in a session start and says whether it changes any answer to "did a session begin in [a, a+span)",
// for any a and any longer span. Between neighbours p < s < n with n−p ≤ span it does not: a window that holds s holds p
// when it begins at or before p, and n when it begins after. So a daily player costs two times per span, not fourteen.
func (p *player) start(at, span int64) bool {
	i, known := slices.BinarySearch(p.starts, at)
	if known || p.between(i-1, i, span) {
		return false
	}
	p.starts = slices.Insert(p.starts, i, at)
	// Its neighbours may lie between others now.
	if p.between(i, i+2, span) {
		p.starts = slices.Delete(p.starts, i+1, i+2)
	}
	if p.between(i-2, i, span) {
		p.starts = slices.Delete(p.starts, i-1, i)
	}
	return true
}

// between says whether starts i and j exist, at most span apart.
func (p *player) between(i, j int, span int64) bool {
	return i >= 0 && j < len(p.starts) && p.starts[j]-p.starts[i] <= span
}

// span is the shortest window that any label of the player looks at.
func (p *player) span(horizonMS int64) int64 {
	for i := range p.pending {
		horizonMS = min(horizonMS, p.pending[i].to-p.pending[i].from)
	}
	return horizonMS
}

// returned says whether a session began in [from, to).
func (p *player) returned(from, to int64) bool {
	i, _ := slices.BinarySearch(p.starts, from)
	return i < len(p.starts) && p.starts[i] < to
}

// add takes in a move and says whether it is new.
func (p *player) add(m *move) bool {
	i, known := slices.BinarySearchFunc(p.moves, m, func(a move, b *move) int { return a.compare(b) })
	if known {
		return false
	}
	p.moves = slices.Insert(p.moves, i, *m)
	return true
}

// outcome is what the player bought in [from, until), in the drop where one is named: whether anything, and what it came to in
// the currency of the first purchase, less what came back of it.
func (p *player) outcome(from, until int64, drop string) (converted bool, net int64, currency string) {
	counts := func(m *move) bool {
		return m.what == event.CheckoutCompleted && m.at >= from && m.at < until && (drop == "" || m.drop == drop)
	}
	var first *move
	for i := range p.moves {
		if m := &p.moves[i]; counts(m) && (first == nil || cmp.Or(cmp.Compare(m.at, first.at), cmp.Compare(m.id, first.id)) < 0) {
			first = m
		}
	}
	if first == nil {
		return false, 0, ""
	}
	for i := 0; i < len(p.moves); {
		// The moves of one checkout stand together, its completion first.
		j := i
		var paid, back int64
		for ; j < len(p.moves) && p.moves[j].id == p.moves[i].id; j++ {
			switch m := &p.moves[j]; {
			case m.currency != first.currency:
			case counts(m):
				paid += m.amount
			case m.what != event.CheckoutCompleted:
				back += m.amount
			}
		}
		net += paid - min(paid, back) // no more comes back than was paid
		i = j
	}
	return true, net, first.currency
}

// prune forgets what no pending score needs, nor any that may still come: those have t0 > horizon.
func (p *player) prune(horizon, embargoMS int64) {
	from, last := horizon+embargoMS+1, horizon // a coming score looks at starts from there on, and at moves after last
	for i := range p.pending {
		from = min(from, p.pending[i].from)
	}
	i, _ := slices.BinarySearch(p.starts, from)
	p.starts = slices.Delete(p.starts, 0, i)
	kept := ""
	p.moves = slices.DeleteFunc(p.moves, func(m move) bool {
		needed := m.at > last || m.what != event.CheckoutCompleted && kept == m.id
		for i := range p.pending {
			needed = needed || m.what == event.CheckoutCompleted && m.at >= p.pending[i].at && m.at < p.pending[i].until
		}
		if needed && m.what == event.CheckoutCompleted {
			kept = m.id
		}
		return !needed
	})
}

func (p *player) empty() bool { return len(p.pending)+len(p.starts)+len(p.moves) == 0 }

const playerVersion = 1

type playerCodec struct {
	embargoMS int64
	names     *wire.Names
}

func (c playerCodec) Append(dst []byte, p *player) []byte {
	dst = binary.AppendUvarint(append(dst, playerVersion), uint64(len(p.pending)))
	for i := range p.pending {
		q := &p.pending[i]
		dst = wire.AppendString(dst, q.model)
		for _, n := range []int64{q.at, q.from - q.at, q.to - q.at, q.until - q.at} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		dst = wire.AppendBool(dst, q.eligible)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.starts)))
	before := int64(0)
	for _, at := range p.starts {
		dst, before = binary.AppendUvarint(dst, uint64(at-before)), at
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.moves)))
	for i := range p.moves {
		m := &p.moves[i]
		dst = append(wire.AppendString(dst, m.id), byte(m.what))
		dst = binary.AppendUvarint(dst, uint64(m.seq))
		dst = binary.AppendUvarint(dst, uint64(m.at))
		dst = wire.AppendString(wire.AppendString(dst, m.drop), m.currency)
		dst = binary.AppendUvarint(dst, uint64(m.amount))
	}
	return dst
}

func (c playerCodec) Decode(data []byte, p *player) error {
	r, _ := wire.NewReader(data, playerVersion)
	p.pending, p.starts, p.moves = p.pending[:0], p.starts[:0], p.moves[:0]
	for range r.Count() {
		q := pending{model: c.names.Bytes(r.Bytes()), at: r.Natural()}
		q.from, q.to, q.until = q.at+r.Natural(), q.at+r.Natural(), q.at+r.Natural()
		q.eligible = r.Bool()
		p.pending = append(p.pending, q)
	}
	before := int64(0)
	for range r.Count() {
		before += r.Natural()
		p.starts = append(p.starts, before)
	}
	for range r.Count() {
		m := move{id: string(r.Bytes()), what: event.Type(r.Byte()), seq: r.Uint32(), at: r.Natural()}
		m.drop, m.currency, m.amount = c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes()), r.Natural()
		p.moves = append(p.moves, m)
	}
	return r.Done()
}

// Deadline is the horizon at which the next label is known; without a pending score the one at which nothing is left that a coming
// one could need.
func (c playerCodec) Deadline(p *player) int64 {
	if len(p.pending) > 0 {
		next := p.pending[0].to
		for i := range p.pending {
			next = min(next, p.pending[i].to)
		}
		return next
	}
	last := int64(1)
	if n := len(p.starts); n > 0 {
		last = max(last, p.starts[n-1]-c.embargoMS)
	}
	for i := range p.moves {
		last = max(last, p.moves[i].at)
	}
	return last
}
