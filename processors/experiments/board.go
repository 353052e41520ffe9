package experiments

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors/wire"
)

// part is the newest partial of one arm of one partition.
type part struct {
	counts
	// final and refundsFinal say what cannot change any more.
	final, refundsFinal bool
}

// partCodec writes: version, the counts, final, refundsFinal.
type partCodec struct{}

const partVersion = 1

func (partCodec) Append(dst []byte, p *part) []byte {
	dst = append(dst, partVersion)
	p.counts.each(func(n *uint32) { dst = binary.AppendUvarint(dst, uint64(*n)) })
	return wire.AppendBool(wire.AppendBool(dst, p.final), p.refundsFinal)
}

func (partCodec) Decode(data []byte, p *part) error {
	r, _ := wire.NewReader(data, partVersion)
	*p = part{}
	p.counts.each(func(n *uint32) { *n = r.Uint32() })
	p.final, p.refundsFinal = r.Bool(), r.Bool()
	return r.Done()
}

func (partCodec) Deadline(*part) int64 { return 0 }

// board is all that is known of one drop's experiments.
type board struct {
	// revision of the estimates, and the watermark at their last publication.
	revision uint64
	last     int64
	// end is the drop's end at that publication.
	end int64
	// dirty says that something has changed since; due that it is to be published whatever the watermark.
	dirty, due bool
	// open counts partials whose conversions may still change, openRefunds those whose refunds may.
	open, openRefunds uint32
	groups            []group // by experiment and language
}

// group is one experiment among the players of one language.
type group struct {
	experiment, language string
	// design is that of the first partial; changed says that some partial met another one.
	design     uint64
	changed    bool
	sampleRate float64
	ratio      experiment.RatioSequence
	// chosen is the last decision about the whole group.
	chosen string
	arms   []total // by variant
}

// total is one arm over all partitions.
type total struct {
	variant string
	counts  sums
	// effect and refunds compare with the control; the control's own stay as they are.
	effect, refunds experiment.Sequence
	// chosen and guarded are the last decisions about the effect and about refunds.
	chosen, guarded string
}

// sums are counts over partitions.
type sums struct{ exposed, converted, refunded, crossed, misassigned uint64 }

func (s *sums) each(f func(*uint64)) {
	for _, n := range []*uint64{&s.exposed, &s.converted, &s.refunded, &s.crossed, &s.misassigned} {
		f(n)
	}
}

// replace takes the older partial away and adds the newer one: sums wrap, and come out right.
func (s *sums) replace(older, newer counts) {
	s.exposed += uint64(newer.exposed) - uint64(older.exposed)
	s.converted += uint64(newer.converted) - uint64(older.converted)
	s.refunded += uint64(newer.refunded) - uint64(older.refunded)
	s.crossed += uint64(newer.crossed) - uint64(older.crossed)
	s.misassigned += uint64(newer.misassigned) - uint64(older.misassigned)
}

func (s *sums) add(other sums) {
	s.exposed += other.exposed
	s.converted += other.converted
	s.refunded += other.refunded
	s.crossed += other.crossed
	s.misassigned += other.misassigned
}

// waits says that the last publication was not the final one only because the drop was not over for every partition.
func (b *board) waits() bool { return b.open == 0 && b.last < b.end }

// group finds the group of an experiment and language, made when it is new.
func (b *board) group(id, language string, n *wire.Names) *group {
	i, found := slices.BinarySearchFunc(b.groups, id, func(g group, id string) int {
		if c := strings.Compare(g.experiment, id); c != 0 {
			return c
		}
		return strings.Compare(g.language, language)
	})
	if !found {
		b.groups = slices.Insert(b.groups, i, group{experiment: n.Text(id), language: n.Text(language), sampleRate: 1})
	}
	return &b.groups[i]
}

// arm finds an arm of the group, made when it is new.
func (g *group) arm(variant string, n *wire.Names) *total {
	i, found := slices.BinarySearchFunc(g.arms, variant, func(t total, variant string) int { return strings.Compare(t.variant, variant) })
	if !found {
		g.arms = slices.Insert(g.arms, i, total{variant: n.Text(variant)})
	}
	return &g.arms[i]
}

// fold takes one partial in the place of the one before.
func (b *board) fold(v *event.ExperimentArm, design uint64, was, is *part, fresh bool, n *wire.Names) {
	g := b.group(v.ExperimentID, v.Language, n)
	if g.design == 0 {
		g.design = design
	}
	g.changed = g.changed || v.Changed || g.design != design
	g.sampleRate = min(g.sampleRate, v.SampleRate)
	g.arm(v.Variant, n).counts.replace(was.counts, is.counts)
	if fresh {
		b.open++
		b.openRefunds++
	}
	b.open -= settled(was.final, is.final)
	b.openRefunds -= settled(was.refundsFinal, is.refundsFinal)
	b.dirty = true
	b.due = b.due || is.final != was.final || is.refundsFinal != was.refundsFinal
}

// settled is 1 for a partial that became final, and −1 for one that is open again since its drop was prolonged.
func settled(was, is bool) uint32 {
	switch {
	case is && !was:
		return 1
	case was && !is:
		return ^uint32(0)
	}
	return 0
}

// boardCodec writes: version, revision, last, end, dirty, due, the open partials, then the groups and in each its arms, with
// their numbers in front.
type boardCodec struct {
	everyMS int64
	names   *wire.Names
}

const boardVersion = 1

func appendSequence(dst []byte, s experiment.Sequence) []byte {
	return binary.AppendUvarint(wire.AppendFloat(dst, s.Greatest), s.Looks)
}

func readSequence(r *wire.Reader) experiment.Sequence {
	return experiment.Sequence{Greatest: r.Float(), Looks: r.Unsigned()}
}

func (c boardCodec) Append(dst []byte, b *board) []byte {
	dst = append(dst, boardVersion)
	dst = binary.AppendUvarint(dst, b.revision)
	dst = binary.AppendUvarint(dst, uint64(b.last))
	dst = binary.AppendUvarint(dst, uint64(b.end))
	dst = wire.AppendBool(wire.AppendBool(dst, b.dirty), b.due)
	dst = binary.AppendUvarint(dst, uint64(b.open))
	dst = binary.AppendUvarint(dst, uint64(b.openRefunds))
	dst = binary.AppendUvarint(dst, uint64(len(b.groups)))
	for i := range b.groups {
		g := &b.groups[i]
		dst = wire.AppendString(dst, g.experiment)
		dst = wire.AppendString(dst, g.language)
		dst = binary.BigEndian.AppendUint64(dst, g.design)
		dst = wire.AppendBool(dst, g.changed)
		dst = wire.AppendFloat(dst, g.sampleRate)
		dst = wire.AppendFloat(dst, g.ratio.Evidence)
		dst = wire.AppendString(dst, g.chosen)
		dst = binary.AppendUvarint(dst, uint64(len(g.arms)))
		for k := range g.arms {
			a := &g.arms[k]
			dst = wire.AppendString(dst, a.variant)
			a.counts.each(func(n *uint64) { dst = binary.AppendUvarint(dst, *n) })
			dst = appendSequence(appendSequence(dst, a.effect), a.refunds)
			dst = wire.AppendString(wire.AppendString(dst, a.chosen), a.guarded)
		}
	}
	return dst
}

func (c boardCodec) Decode(data []byte, b *board) error {
	r, _ := wire.NewReader(data, boardVersion)
	*b = board{revision: r.Unsigned(), last: r.Natural(), end: r.Natural(), groups: b.groups[:0]}
	b.dirty, b.due, b.open, b.openRefunds = r.Bool(), r.Bool(), r.Uint32(), r.Uint32()
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		g := group{experiment: c.names.Bytes(r.Bytes()), language: c.names.Bytes(r.Bytes()), design: readDesign(&r)}
		g.changed, g.sampleRate, g.ratio.Evidence, g.chosen = r.Bool(), r.Float(), r.Float(), c.names.Bytes(r.Bytes())
		for m := r.Count(); m > 0 && !r.Failed(); m-- {
			a := total{variant: c.names.Bytes(r.Bytes())}
			a.counts.each(func(n *uint64) { *n = r.Unsigned() })
			a.effect, a.refunds = readSequence(&r), readSequence(&r)
			a.chosen, a.guarded = c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes())
			g.arms = append(g.arms, a)
		}
		b.groups = append(b.groups, g)
	}
	return r.Done()
}

// Deadline is the watermark at which the next publication is due; none while nothing has changed.
func (c boardCodec) Deadline(b *board) int64 {
	switch {
	case b.due:
		return 1
	case b.dirty:
		return b.last + c.everyMS
	case b.waits():
		return b.end
	}
	return 0
}
