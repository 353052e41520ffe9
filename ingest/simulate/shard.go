package simulate

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// shard simulates its share of the players, event by event, with its own random
// numbers and its own share of each limited item, so that shards never wait for
// one another.
type shard struct {
	w       *world
	number  int
	rng     *rand.Rand
	players []player
	timers  heap[timer]
	now     int64

	sessions     []session
	freeSessions []uint32
	returns      []moneyBack
	freeReturns  []uint32

	handovers     []handover
	freeHandovers []uint32
	promises      map[string]*promised // by checkout

	streams   []stream
	visits    map[visitKey]*visit
	inventory [][]uint64 // left, by drop and item

	ev      event.Event // the one being written
	pending heap[sent]  // records sent after the slab
	seq     uint64
	to      int64 // the slab's end
	out     []Record
	chunk   []byte
	tally   tally
}

// timer is the next thing that one actor does.
type timer struct {
	at   int64
	ref  uint32
	what uint8
	drop uint8
}

const (
	timeOpen     uint8 = iota // drop opens: visitors are chosen
	timeUpdate                // drop's catalogue entry changes
	timePropose               // ref: a player may start a background session
	timeComeback              // ref: a player returns because of a purchase
	timeVisit                 // ref: a player comes to the drop
	timeStep                  // ref: a session's next step
	timeBack                  // ref: money goes back
	timeCue                   // ref: a stream's next cue
	timeProbe                 // ref: a POP is probed
	timeHandover              // ref: a physical item is handed over
)

func (t timer) before(u timer) bool {
	if t.at != u.at {
		return t.at < u.at
	}
	if t.what != u.what {
		return t.what < u.what
	}
	if t.drop != u.drop {
		return t.drop < u.drop
	}
	return t.ref < u.ref
}

// sent is a record that waits for its slab.
type sent struct {
	Record
	seq uint64
}

func (s sent) before(u sent) bool {
	if s.At != u.At {
		return s.At < u.At
	}
	return s.seq < u.seq
}

func newShard(w *world, number int) *shard {
	sh := &shard{
		w: w, number: number,
		rng:    rand.New(rand.NewPCG(w.s.Seed, 0x64726f706c696674+uint64(number))),
		visits: map[visitKey]*visit{}, promises: map[string]*promised{}, tally: newTally(w), to: w.begin,
	}
	for i := range w.drops {
		d := &w.drops[i]
		left := make([]uint64, len(d.entry.Items))
		for k, item := range d.entry.Items {
			left[k] = item.Inventory / uint64(w.shards)
			// The remainder goes to other shards for every item, so that none sells out everything.
			if uint64((number+k*7)%w.shards) < item.Inventory%uint64(w.shards) {
				left[k]++
			}
		}
		sh.inventory = append(sh.inventory, left)
		sh.timers.push(timer{at: d.start, what: timeOpen, drop: uint8(i)})
	}
	if number == 0 && w.drops[w.main()].updateAt < w.end {
		sh.timers.push(timer{at: w.drops[w.main()].updateAt, what: timeUpdate, drop: uint8(w.main())})
	}
	if w.s.Behaviour.ProbeMS > 0 {
		for pop := number; pop < len(w.s.POPs); pop += w.shards {
			sh.timers.push(timer{at: w.begin + sh.rng.Int64N(w.s.Behaviour.ProbeMS), what: timeProbe, ref: uint32(pop)})
		}
	}
	sh.populate()
	sh.openStreams()
	return sh
}

func (sh *shard) busy() bool { return len(sh.timers) > 0 || len(sh.pending) > 0 || len(sh.out) > 0 }

// run plays everything that happens before to and leaves what is sent before to in out.
func (sh *shard) run(to int64) {
	sh.to = to
	for len(sh.timers) > 0 && sh.timers[0].at < to {
		t := sh.timers.pop()
		sh.now = t.at
		switch t.what {
		case timeOpen:
			sh.open(int(t.drop))
		case timeUpdate:
			sh.update(int(t.drop))
		case timePropose:
			sh.propose(t.ref)
		case timeComeback:
			sh.comeback(t.ref)
		case timeVisit:
			sh.arrive(t.ref, int(t.drop))
		case timeStep:
			sh.step(t.ref)
		case timeBack:
			sh.moneyBack(t.ref)
		case timeCue:
			sh.cue(t.ref)
		case timeProbe:
			sh.probe(t.ref)
		case timeHandover:
			sh.handOver(t.ref)
		}
	}
	for len(sh.pending) > 0 && sh.pending[0].At < to {
		sh.out = append(sh.out, sh.pending.pop().Record)
	}
}

// send queues a record for at.
func (sh *shard) send(kind event.Kind, key, value []byte, at int64) {
	r := Record{Kind: kind, Phase: Backfill, Key: key, Value: value, At: at}
	switch {
	case at >= sh.w.s.StartMS+sh.w.s.DropMS:
		r.Phase = After
	case at >= sh.w.s.StartMS:
		r.Phase = Live
	}
	sh.tally.topics[kind].records++
	sh.queue(r)
}

func (sh *shard) queue(r Record) {
	if r.At < sh.to {
		sh.out = append(sh.out, r)
		return
	}
	sh.seq++
	sh.pending.push(sent{Record: r, seq: sh.seq})
}

// chunkBytes is the unit in which record bytes are allocated: they are handed out
// for keeps, so a chunk lives as long as any of its records.
const chunkBytes = 64 << 10

// encode writes the key and the event into the current chunk.
func (sh *shard) encode(key string, ev *event.Event) (k, v []byte) {
	if cap(sh.chunk)-len(sh.chunk) < 4<<10 {
		sh.chunk = make([]byte, 0, chunkBytes)
	}
	start := len(sh.chunk)
	sh.chunk = append(sh.chunk, key...)
	mid := len(sh.chunk)
	sh.chunk = event.Append(sh.chunk, ev)
	end := len(sh.chunk)
	return sh.chunk[start:mid:mid], sh.chunk[mid:end:end]
}

// id makes a UUIDv7 of t.
func (sh *shard) id(t int64) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(t)<<16|7<<12|sh.rng.Uint64()&0xfff)
	binary.BigEndian.PutUint64(u[8:], 2<<62|sh.rng.Uint64()>>2)
	return u
}

// name makes an identifier of 16 random hexadecimal digits.
func (sh *shard) name(prefix byte) string { return hexName(prefix, sh.rng.Uint64()) }

func hexName(prefix byte, n uint64) string {
	const digits = "0123456789abcdef"
	var b [17]byte
	b[0] = prefix
	for i := 16; i > 0; i-- {
		b[i] = digits[n&15]
		n >>= 4
	}
	return string(b[:])
}

// chance is true with probability p.
func (sh *shard) chance(p float64) bool { return sh.rng.Float64() < p }

// between draws uniformly from [from, to).
func (sh *shard) between(from, to int64) int64 { return from + sh.rng.Int64N(to-from) }

// lognormal draws a duration around a median and keeps it within [low, high].
func (sh *shard) lognormal(median int64, sigma float64, low, high int64) int64 {
	return min(max(int64(float64(median)*math.Exp(sigma*sh.rng.NormFloat64())), low), high)
}

// take reserves one piece of a drop's item, if the shard's share has one left.
func (sh *shard) take(dropNumber, item int) bool {
	if sh.w.drops[dropNumber].entry.Items[item].Inventory == 0 {
		return true
	}
	if sh.inventory[dropNumber][item] == 0 {
		return false
	}
	sh.inventory[dropNumber][item]--
	return true
}

// alloc puts v into a slot of pool and returns its number.
func alloc[T any](pool *[]T, free *[]uint32, v T) uint32 {
	if n := len(*free); n > 0 {
		i := (*free)[n-1]
		*free = slices.Delete(*free, n-1, n)
		(*pool)[i] = v
		return i
	}
	*pool = append(*pool, v)
	return uint32(len(*pool) - 1)
}
