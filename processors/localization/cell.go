package localization

import (
	"encoding/binary"
	"sort"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/slo"
	"github.com/droplift/droplift/processors/wire"
)

// cell is what all partitions know of one (drop, language): the sum of its final partials, and the others as they stand.
type cell struct {
	same bool
	// first and last are the starts of its earliest and latest pane with a cue.
	first, last int64
	final       total
	// open are the partials that may still change, sorted by pane and partition.
	open []partial
}

// partial is the newest revision of one partition's pane.
type partial struct {
	start     int64
	partition int32
	total
}

// total is a sum of partials.
type total struct {
	sums                    [len(sumNames)]uint64
	latencySum              uint64
	latencies, translations bins
}

// sumNames are the counts that a total adds up, as they are named in details.
var sumNames = [...]string{"expected", "good", "stretch", "missing", "unreported", "slow", "brief", "long", "dense", "wordy", "early", "zero", "translated"}

// Indexes into total.sums.
const (
	sumExpected   = 0
	sumGood       = 1
	sumZero       = 11
	sumTranslated = 12
)

// take makes t the total of one record.
func (t *total) take(v *event.Localization) {
	t.sums = [...]uint64{
		uint64(v.Expected), uint64(v.Good), uint64(v.Stretch), uint64(v.Missing), uint64(v.Unreported),
		uint64(v.Slow), uint64(v.Brief), uint64(v.Long), uint64(v.Dense), uint64(v.Wordy), uint64(v.Early), uint64(v.LatencyZero), uint64(v.Translated),
	}
	t.latencySum = uint64(max(v.LatencySumMS, 0))
	t.latencies, t.translations = t.latencies[:0], t.translations[:0]
	for _, b := range v.LatencyBins {
		t.latencies = append(t.latencies, bin{b.Index, b.Count})
	}
	for _, b := range v.TranslationBins {
		t.translations = append(t.translations, bin{b.Index, b.Count})
	}
}

// add adds o to t.
func (t *total) add(o *total) {
	for i, n := range o.sums {
		t.sums[i] += n
	}
	t.latencySum += o.latencySum
	for _, b := range o.latencies {
		t.latencies.add(b.index, int32(b.count))
	}
	for _, b := range o.translations {
		t.translations.add(b.index, int32(b.count))
	}
}

// all is the sum of everything.
func (c *cell) all() (t total) {
	t.add(&c.final)
	for i := range c.open {
		t.add(&c.open[i].total)
	}
	return t
}

// take replaces the older revision of v's partial. A final one is added up and let go.
func (c *cell) take(v *event.Localization) {
	c.same = c.same || v.SameLanguage
	if v.Expected > 0 {
		if c.first == 0 || v.PaneStart < c.first {
			c.first = v.PaneStart
		}
		c.last = max(c.last, v.PaneStart)
	}
	i := sort.Search(len(c.open), func(i int) bool {
		o := &c.open[i]
		return o.start > v.PaneStart || o.start == v.PaneStart && o.partition >= v.Partition
	})
	if i == len(c.open) || c.open[i].start != v.PaneStart || c.open[i].partition != v.Partition {
		c.open = append(c.open, partial{})
		copy(c.open[i+1:], c.open[i:])
		c.open[i] = partial{start: v.PaneStart, partition: v.Partition}
	}
	c.open[i].take(v)
	if v.Maturity == event.Final {
		c.final.add(&c.open[i].total)
		c.open = append(c.open[:i], c.open[i+1:]...)
	}
}

type cellCodec struct{}

const cellVersion = 1

func appendTotal(dst []byte, t *total) []byte {
	for _, n := range t.sums {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, t.latencySum)
	return appendBins(appendBins(dst, t.latencies), t.translations)
}

func readTotal(r *wire.Reader, t *total) {
	for i := range t.sums {
		t.sums[i] = r.Unsigned()
	}
	t.latencySum = r.Unsigned()
	t.latencies = readBins(r, t.latencies)
	t.translations = readBins(r, t.translations)
}

func (cellCodec) Append(dst []byte, c *cell) []byte {
	dst = append(dst, cellVersion, flag(c.same, 1))
	dst = binary.AppendUvarint(dst, uint64(c.first))
	dst = binary.AppendUvarint(dst, uint64(c.last))
	dst = appendTotal(dst, &c.final)
	dst = binary.AppendUvarint(dst, uint64(len(c.open)))
	for i := range c.open {
		dst = binary.AppendUvarint(dst, uint64(c.open[i].start))
		dst = binary.AppendUvarint(dst, uint64(c.open[i].partition))
		dst = appendTotal(dst, &c.open[i].total)
	}
	return dst
}

func (cellCodec) Decode(data []byte, c *cell) error {
	r, _ := wire.NewReader(data, cellVersion)
	*c = cell{same: r.Bool(), first: r.Natural(), last: r.Natural()}
	readTotal(&r, &c.final)
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		p := partial{start: r.Natural(), partition: int32(r.Uint32())}
		readTotal(&r, &p.total)
		c.open = append(c.open, p)
	}
	return r.Done()
}

func (cellCodec) Deadline(*cell) int64 { return 0 }

// chunk are the counts of one (drop, language) by pane over an hour, for the windows of burn rates.
type chunk struct{ entries []entry }

// entry is one partition's pane, as its offset within the hour.
type entry struct {
	offset    uint32
	partition uint32
	slo.Count
}

// put replaces the count of a partition's pane.
func (c *chunk) put(e entry) {
	i := sort.Search(len(c.entries), func(i int) bool {
		o := &c.entries[i]
		return o.offset > e.offset || o.offset == e.offset && o.partition >= e.partition
	})
	if i == len(c.entries) || c.entries[i].offset != e.offset || c.entries[i].partition != e.partition {
		c.entries = append(c.entries, entry{})
		copy(c.entries[i+1:], c.entries[i:])
	}
	c.entries[i] = e
}

type chunkCodec struct{}

const chunkVersion = 1

func (chunkCodec) Append(dst []byte, c *chunk) []byte {
	dst = binary.AppendUvarint(append(dst, chunkVersion), uint64(len(c.entries)))
	previous := uint32(0)
	for _, e := range c.entries {
		dst = binary.AppendUvarint(dst, uint64(e.offset-previous))
		dst = binary.AppendUvarint(dst, uint64(e.partition))
		dst = binary.AppendUvarint(dst, e.Valid)
		dst = binary.AppendUvarint(dst, e.Bad)
		previous = e.offset
	}
	return dst
}

func (chunkCodec) Decode(data []byte, c *chunk) error {
	r, _ := wire.NewReader(data, chunkVersion)
	c.entries = c.entries[:0]
	offset := uint32(0)
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		offset += r.Uint32()
		c.entries = append(c.entries, entry{offset, r.Uint32(), slo.Count{Valid: r.Unsigned(), Bad: r.Unsigned()}})
	}
	return r.Done()
}

func (chunkCodec) Deadline(*chunk) int64 { return 0 }

// watch is the state of one drop's objectives.
type watch struct {
	// partitions are the ones that have contributed, with their newest watermarks.
	partitions []progress
	// languages are what it has cells for, with the decisions that stand, sorted; the pooled one has no name.
	languages []standing
	// judged is the window end (Unix ms) up to which burn rates have been judged, published the event time of the last estimates.
	judged, published int64
	// revision of the estimates.
	revision uint64
	// until is when the drop may be forgotten, in event time.
	until int64
}

type progress struct {
	partition int32
	watermark int64
}

// standing is the decision that stands for a language.
type standing struct {
	language string
	chosen   choice
}

// choice is what can be decided.
type choice uint8

const (
	undecided choice = iota
	ok
	noData
	ticket
	page
	choices
)

var choiceNames = [choices]string{ok: "ok", noData: "no_data", ticket: "ticket", page: "page"}

// reached is the event time up to which every partition that takes part is complete; −1 for none.
func (w *watch) reached() int64 {
	if len(w.partitions) == 0 {
		return -1
	}
	lowest := w.partitions[0].watermark
	for _, p := range w.partitions[1:] {
		lowest = min(lowest, p.watermark)
	}
	return lowest
}

// heard takes note of a partition's watermark, which does not fall.
func (w *watch) heard(partition int32, watermark int64) {
	i := sort.Search(len(w.partitions), func(i int) bool { return w.partitions[i].partition >= partition })
	if i == len(w.partitions) || w.partitions[i].partition != partition {
		w.partitions = append(w.partitions, progress{})
		copy(w.partitions[i+1:], w.partitions[i:])
		w.partitions[i] = progress{partition, watermark}
	}
	w.partitions[i].watermark = max(w.partitions[i].watermark, watermark)
}

// of is the standing of a language, made where there was none.
func (w *watch) of(language string, names *wire.Names) *standing {
	i := sort.Search(len(w.languages), func(i int) bool { return w.languages[i].language >= language })
	if i == len(w.languages) || w.languages[i].language != language {
		w.languages = append(w.languages, standing{})
		copy(w.languages[i+1:], w.languages[i:])
		w.languages[i] = standing{language: names.Text(language)}
	}
	return &w.languages[i]
}

type watchCodec struct{ names *wire.Names }

const watchVersion = 1

func (watchCodec) Append(dst []byte, w *watch) []byte {
	dst = append(dst, watchVersion)
	dst = binary.AppendUvarint(dst, uint64(len(w.partitions)))
	for _, p := range w.partitions {
		dst = binary.AppendUvarint(dst, uint64(p.partition))
		dst = binary.AppendVarint(dst, p.watermark)
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.languages)))
	for _, l := range w.languages {
		dst = append(wire.AppendString(dst, l.language), byte(l.chosen))
	}
	for _, t := range []int64{w.judged, w.published, w.until} {
		dst = binary.AppendUvarint(dst, uint64(t))
	}
	return binary.AppendUvarint(dst, w.revision)
}

func (k watchCodec) Decode(data []byte, w *watch) error {
	r, _ := wire.NewReader(data, watchVersion)
	*w = watch{partitions: w.partitions[:0], languages: w.languages[:0]}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		w.partitions = append(w.partitions, progress{int32(r.Uint32()), r.Signed()})
	}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		l := standing{k.names.Bytes(r.Bytes()), choice(r.Byte())}
		if l.chosen >= choices {
			r.Fail()
		}
		w.languages = append(w.languages, l)
	}
	w.judged, w.published, w.until, w.revision = r.Natural(), r.Natural(), r.Natural(), r.Unsigned()
	return r.Done()
}

func (watchCodec) Deadline(w *watch) int64 { return w.until }
