package simulate

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/droplift/droplift/ingest/event"
)

// Players are dealt to shards. Their number follows from the scenario alone, because
// the bytes depend on it; the number of processors only says how many run at once.
const (
	maxShards       = 32
	playersPerShard = 500
)

// Slabs are stretches of simulated time that the shards generate on their own
// and that are then put in one order. Their length follows the traffic.
const (
	slabRecords = 48 << 10
	minSlab     = second
	maxSlab     = hour
)

// Phase says which part of a run a record belongs to.
type Phase uint8

const (
	// Catalogue records come first: every drop of the run.
	Catalogue Phase = iota
	// Backfill is the history before the main drop opens.
	Backfill
	// Live is the main drop.
	Live
	// After is what follows it, if only the last refunds and sessions under way.
	After
)

func (p Phase) String() string { return [...]string{"catalogue", "backfill", "live", "after"}[p] }

// Record is one record to be sent.
type Record struct {
	Kind  event.Kind
	Phase Phase
	// Key and Value are the receiver's to keep, not to change.
	Key, Value []byte
	// At is when it is sent, in simulated Unix ms; it never decreases. It must become the log's
	// timestamp, because it stands in for ingest_time on some events.
	At int64
}

// Progress is how far a run is.
type Progress struct {
	Phase Phase
	// At is the simulated time reached (Unix ms); Fraction is its share of the phase, in [0, 1].
	At       int64
	Fraction float64
	// Records handed out so far.
	Records uint64
}

// Generator hands out the records of a scenario in the order of their sending.
// It is not safe for concurrent use. It works on GOMAXPROCS processors inside a
// call and leaves nothing running between calls.
type Generator struct {
	w      *world
	shards []*shard

	slab     []Record
	order    []uint64
	next     int
	from, to int64
	count    int64
	handed   uint64
	last     int64
	phase    Phase
	done     bool
}

// New prepares a run of s.
func New(s Scenario) (*Generator, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	w := newWorld(s.withDefaults())
	g := &Generator{w: w, from: w.begin, to: w.begin, last: w.begin}
	for i := range w.shards {
		g.shards = append(g.shards, newShard(w, i))
	}
	g.shards[0].catalogue()
	return g, nil
}

// Scenario is the generator's scenario, defaults applied.
func (g *Generator) Scenario() Scenario { return g.w.s }

// MainDrop is the id of the main drop.
func (g *Generator) MainDrop() string { return g.w.drops[len(g.w.drops)-1].id }

// Next fills r with the next record, or returns false at the end of the run.
func (g *Generator) Next(r *Record) bool {
	for g.next == len(g.order) {
		if !g.advance() {
			g.done = true
			return false
		}
	}
	*r = g.slab[g.order[g.next]&(1<<slabIndexBits-1)]
	g.next++
	g.handed++
	g.last, g.phase = r.At, r.Phase
	return true
}

// Run hands out everything left in batches, until the end, an error of f or the
// end of ctx. f may keep the records but not the slice.
func (g *Generator) Run(ctx context.Context, f func([]Record) error) error {
	batch := make([]Record, 0, 1024)
	for {
		batch = batch[:0]
		var r Record
		for len(batch) < cap(batch) && g.Next(&r) {
			batch = append(batch, r)
		}
		if len(batch) == 0 {
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(batch); err != nil {
			return err
		}
	}
}

// Progress tells how far the records handed out so far reach.
func (g *Generator) Progress() Progress {
	p := Progress{Phase: g.phase, At: g.last, Records: g.handed}
	from, to := g.w.begin, g.w.s.StartMS
	switch p.Phase {
	case Live:
		from, to = to, to+g.w.s.DropMS
	case After:
		from, to = to+g.w.s.DropMS, g.w.end
	}
	switch {
	case g.done:
		p.Fraction = 1
	case p.Phase != Catalogue && from < to:
		p.Fraction = min(1, float64(p.At-from)/float64(to-from))
	}
	return p
}

// Books are the exact books of everything generated. They are complete once Next
// has returned false; before that they run ahead of the records handed out.
func (g *Generator) Books() *Books { return newBooks(g.w, g.shards) }

// slabIndexBits of an order key number the record within its slab; the bits above
// hold its time within the slab.
const slabIndexBits = 36

// advance generates the next slab that holds a record.
func (g *Generator) advance() bool {
	g.next, g.order = 0, g.order[:0]
	clear(g.slab)
	g.slab = g.slab[:0]
	for len(g.slab) == 0 {
		if !slices.ContainsFunc(g.shards, (*shard).busy) {
			return false
		}
		g.plan()
		g.fill()
		for _, sh := range g.shards {
			g.slab = append(g.slab, sh.out...)
			clear(sh.out)
			sh.out = sh.out[:0]
		}
		g.count = int64(len(g.slab))
	}
	for i := range g.slab {
		g.order = append(g.order, uint64(g.slab[i].At-g.from)<<slabIndexBits|uint64(i))
	}
	slices.Sort(g.order)
	return true
}

// plan chooses the next slab, [from, to). Its length depends on nothing but the
// records of the last one, so it is part of the scenario too.
func (g *Generator) plan() {
	length := min(2*(g.to-g.from), maxSlab)
	if g.count > 0 {
		length = min(length, (g.to-g.from)*slabRecords/g.count)
	}
	length = max(length, minSlab)
	g.from = g.to
	g.to = g.from + length
	for _, d := range g.w.drops {
		// An opening multiplies the traffic at once: start small again.
		if g.from < d.start && d.start < g.to {
			g.to = d.start
		}
		if g.from == d.start {
			g.to = g.from + minSlab
		}
	}
}

// fill runs every shard over the slab.
func (g *Generator) fill() {
	var claimed atomic.Int32
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(g.shards)) {
		wait.Go(func() {
			for {
				i := int(claimed.Add(1)) - 1
				if i >= len(g.shards) {
					return
				}
				g.shards[i].run(g.to)
			}
		})
	}
	wait.Wait()
}
