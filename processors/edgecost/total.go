package edgecost

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors/wire"
)

// totals are sums over partials. Amounts are in nano-units of the drop's currency.
type totals struct {
	cost int64
	// syntheticCost is the part of cost that probes and warm-up traffic made.
	syntheticCost int64
	// requests in millionths: all of them, those of players that have a cost, and those of anybody that have none.
	requests, billed, unpriced int64
	cpu                        int64 // in microseconds
	egress                     int64
	conversions                int64
}

const numTotals = 8

func (t *totals) each() [numTotals]*int64 {
	return [numTotals]*int64{&t.cost, &t.syntheticCost, &t.requests, &t.billed, &t.unpriced, &t.cpu, &t.egress, &t.conversions}
}

// totalsOf is what one partial adds; priced says that its cost is in the drop's currency.
func totalsOf(e *event.EdgeCost, priced bool) totals {
	t := totals{requests: e.RequestsMicro, cpu: e.CPUMicros, egress: e.EgressBytes, conversions: int64(e.Conversions)}
	switch {
	case !priced:
		t.unpriced = e.RequestsMicro
	case e.Synthetic:
		t.cost, t.syntheticCost = e.Cost, e.Cost
	default:
		t.cost, t.billed = e.Cost, e.RequestsMicro
	}
	return t
}

// less is t − u.
func (t totals) less(u totals) totals {
	mine, theirs := t.each(), u.each()
	for i := range mine {
		*mine[i] -= *theirs[i]
	}
	return t
}

// add adds u, or says that a sum would leave the range of int64 and adds nothing.
func (t *totals) add(u totals) bool {
	mine, theirs := t.each(), u.each()
	for i := range mine {
		if *theirs[i] > 0 && *mine[i] > math.MaxInt64-*theirs[i] {
			return false
		}
	}
	for i := range mine {
		*mine[i] += *theirs[i]
	}
	return true
}

func (t *totals) append(dst []byte) []byte {
	for _, n := range t.each() {
		dst = binary.AppendVarint(dst, *n)
	}
	return dst
}

func (t *totals) read(r *wire.Reader) {
	for _, n := range t.each() {
		*n = r.Signed()
	}
}

// open is the newest revision of a partial that is not final, as it was added up.
type open struct {
	revision uint64
	counted  totals
}

const openVersion = 1

type openCodec struct{}

func (openCodec) Append(dst []byte, s *open) []byte {
	return s.counted.append(binary.AppendUvarint(append(dst, openVersion), s.revision))
}

func (openCodec) Decode(data []byte, s *open) error {
	r, _ := wire.NewReader(data, openVersion)
	s.revision = r.Unsigned()
	s.counted.read(&r)
	return r.Done()
}

func (openCodec) Deadline(*open) int64 { return 0 }

// minute is what was used in one minute of event time.
type minute struct {
	start  int64
	totals totals
}

// partition is how far one partition of the first stage has come.
type partition struct {
	number int32
	// final is the newest pane that it made final; open counts its partials that are not.
	final int64
	open  uint32
}

// creator is one creator's part of a drop.
type creator struct {
	name   string
	totals totals
}

// account is the state of one drop.
type account struct {
	// revision of the estimates; published is the event time they were last published for, told the runtime's clock then; evaluated
	// is the last minute boundary decided at.
	revision                   uint64
	published, told, evaluated int64
	// newest is the event time of the newest event counted.
	newest   int64
	currency string  // of the costs; empty until one has been seen
	rate     float64 // lowest sample rate
	total    totals
	// minutes are those since evaluated less the rate's window, by start.
	minutes    []minute
	partitions []partition // by number
	creators   []creator   // by name

	guard edgebudget.Guard
	// pace is p; shed the number of kinds of work that are shed.
	pace     float64
	shed     int64
	replicas int64
	limited  bool
	history  []edgebudget.Recommendation
	// unpriced says that no price list fits the budget, and that this was told; ended that the drop was over at evaluated; fresh
	// that something was counted since the estimates were published.
	unpriced, ended, fresh bool
}

// waiting says that a partial of the drop is not final.
func (s *account) waiting() bool {
	return slices.ContainsFunc(s.partitions, func(p partition) bool { return p.open > 0 })
}

// boundary is the last minute boundary that a watermark has passed.
func boundary(watermark int64) int64 { return (watermark + 1) / minuteMS * minuteMS }

func (s *account) partition(number int32) *partition {
	i, found := slices.BinarySearchFunc(s.partitions, number, func(p partition, n int32) int { return cmp.Compare(p.number, n) })
	if !found {
		s.partitions = slices.Insert(s.partitions, i, partition{number: number, final: -1})
	}
	return &s.partitions[i]
}

func (s *account) creator(name string, n *wire.Names) *creator {
	i, found := slices.BinarySearchFunc(s.creators, name, func(c creator, name string) int { return cmp.Compare(c.name, name) })
	if !found {
		if len(s.creators) >= maxCreators && name != "" {
			return s.creator("", n)
		}
		s.creators = slices.Insert(s.creators, i, creator{name: n.Text(name)})
	}
	return &s.creators[i]
}

// maxCreators bounds the creators told apart in one drop; what exceeds it counts for the nameless one.
const maxCreators = 256

// count adds d to the minute that holds at; minutes that no decision looks at any more are in the total only.
func (s *account) count(at, windowMS int64, d totals) {
	start := at - at%minuteMS
	if s.evaluated > 0 && start < s.evaluated-windowMS {
		return
	}
	i, found := slices.BinarySearchFunc(s.minutes, start, func(m minute, at int64) int { return cmp.Compare(m.start, at) })
	if !found {
		s.minutes = slices.Insert(s.minutes, i, minute{start: start})
	}
	s.minutes[i].totals.add(d) // below the total, which has fitted
}

// passed moves on to a boundary and forgets the minutes before the window.
func (s *account) passed(at, windowMS int64) {
	s.evaluated = at
	keep := 0
	for keep < len(s.minutes) && s.minutes[keep].start < at-windowMS {
		keep++
	}
	s.minutes = slices.Delete(s.minutes, 0, keep)
}

const accountVersion = 1

type accountCodec struct{ names *wire.Names }

func (accountCodec) Append(dst []byte, s *account) []byte {
	dst = append(dst, accountVersion)
	dst = binary.AppendUvarint(dst, s.revision)
	for _, n := range []int64{s.published, s.told, s.evaluated, s.newest, s.guard.SinceMS, s.guard.BelowMS, s.guard.Budget, s.shed, s.replicas} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = append(dst, byte(s.guard.Level), flag(s.guard.Notified)|flag(s.limited)<<1|flag(s.unpriced)<<2|flag(s.ended)<<3|flag(s.fresh)<<4)
	dst = wire.AppendFloat(wire.AppendFloat(dst, s.rate), s.pace)
	dst = wire.AppendString(dst, s.currency)
	dst = s.total.append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(s.minutes)))
	for i := range s.minutes {
		dst = s.minutes[i].totals.append(binary.AppendVarint(dst, s.minutes[i].start))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.partitions)))
	for _, p := range s.partitions {
		dst = binary.AppendVarint(binary.AppendVarint(dst, int64(p.number)), p.final)
		dst = binary.AppendUvarint(dst, uint64(p.open))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.creators)))
	for i := range s.creators {
		dst = s.creators[i].totals.append(wire.AppendString(dst, s.creators[i].name))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.history)))
	for _, h := range s.history {
		dst = binary.AppendVarint(binary.AppendVarint(dst, h.AtMS), h.Replicas)
	}
	return dst
}

func (c accountCodec) Decode(data []byte, s *account) error {
	r, _ := wire.NewReader(data, accountVersion)
	*s = account{minutes: s.minutes[:0], partitions: s.partitions[:0], creators: s.creators[:0], history: s.history[:0]}
	s.revision = r.Unsigned()
	for _, n := range []*int64{&s.published, &s.told, &s.evaluated, &s.newest, &s.guard.SinceMS, &s.guard.BelowMS, &s.guard.Budget, &s.shed, &s.replicas} {
		*n = r.Signed()
	}
	s.guard.Level = edgebudget.Level(r.Byte())
	flags := r.Byte()
	s.guard.Notified, s.limited, s.unpriced, s.ended, s.fresh = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0, flags&16 != 0
	s.rate, s.pace = r.Float(), r.Float()
	s.currency = c.names.Bytes(r.Bytes())
	s.total.read(&r)
	if s.guard.Level > edgebudget.LevelCap || flags > 31 || !(s.pace >= 0 && s.pace <= 1) || s.shed < 0 || s.shed > int64(len(edgebudget.ShedOrder())) {
		r.Fail()
	}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		m := minute{start: r.Signed()}
		m.totals.read(&r)
		s.minutes = append(s.minutes, m)
	}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		number := r.Signed()
		if number != int64(int32(number)) {
			r.Fail()
		}
		s.partitions = append(s.partitions, partition{number: int32(number), final: r.Signed(), open: r.Uint32()})
	}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		one := creator{name: c.names.Bytes(r.Bytes())}
		one.totals.read(&r)
		s.creators = append(s.creators, one)
	}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		s.history = append(s.history, edgebudget.Recommendation{AtMS: r.Signed(), Replicas: r.Signed()})
	}
	return r.Done()
}

// Deadline makes Due hand out every account about which something is left to say, changed or not.
func (accountCodec) Deadline(s *account) int64 {
	if s.fresh || !s.ended || s.waiting() {
		return overdue
	}
	return 0
}

// overdue is a deadline that has passed.
const overdue = 1
