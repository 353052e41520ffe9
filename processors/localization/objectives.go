package localization

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/DataDog/sketches-go/ddsketch/mapping"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/slo"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// ObjectivesConfig of Objectives. The zero value means the defaults of DOMAIN 7.2 and 7.3.
type ObjectivesConfig struct {
	// Target is the share of good cues (default 0.95).
	Target float64
	// Rules are the burn-rate windows, fitted to each drop's length (default slo.DropRules).
	Rules []slo.Rule
	// MinValid is how many cues a long window needs (default slo.MinValid); with fewer a language is judged together with the others that have fewer.
	MinValid uint64
	// SilenceMS without a cue is no data (default 300,000). It is under the allowed lateness, for it is the last cues' panes becoming final
	// that tell how far time has come.
	SilenceMS int64
	// SettleMS is how long after a cue it is known what became of it: the cap of Config, which windows end before (default 60,000).
	SettleMS int64
	// PaneMS is Config.PaneMS (default 15,000).
	PaneMS int64
	// EveryMS is how often, in event time, burn rates are judged and estimates published (default 60,000); whole panes.
	EveryMS int64
	// LatencyMS, MeanMS and TranslationMS are the objectives that estimates are published beside (default 5,000, 4,500 and 1,500).
	LatencyMS, MeanMS, TranslationMS int64
	// Logger gets one error per drop that the catalogue does not hold; nil discards.
	Logger *slog.Logger
}

// Validate reports every problem at once, thresholds that can never fire among them.
func (c ObjectivesConfig) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("localization: "+format, args...))
	}
	for _, d := range []struct {
		name  string
		value int64
	}{{"silence", c.SilenceMS}, {"settling time", c.SettleMS}, {"pane", c.PaneMS}, {"interval", c.EveryMS},
		{"latency objective", c.LatencyMS}, {"mean latency objective", c.MeanMS}, {"translation objective", c.TranslationMS}} {
		if d.value < 0 {
			bad("%s of %d ms is negative", d.name, d.value)
		}
	}
	full := c.withDefaults()
	if full.PaneMS > 0 && (full.EveryMS%full.PaneMS != 0 || hourMS%full.PaneMS != 0) {
		bad("interval of %d ms, or an hour, is not whole panes of %d ms", full.EveryMS, full.PaneMS)
	}
	for _, r := range full.Rules {
		if r.Severity.String() == "" || r.LongMS < 12 || !(r.Fraction > 0 && r.Fraction <= 1) {
			bad("burn-rate rule %+v makes no window", r)
		}
	}
	// What can fire in the longest drop can fire in all of them.
	if err := slo.CheckReachable(slo.FitDrop(full.Rules, slo.LongestDropMS), full.Target); err != nil {
		bad("%w", err)
	}
	return errors.Join(problems...)
}

func (c ObjectivesConfig) withDefaults() ObjectivesConfig {
	for _, d := range []struct {
		value     *int64
		otherwise int64
	}{{&c.SilenceMS, 300_000}, {&c.SettleMS, 60_000}, {&c.PaneMS, 15_000}, {&c.EveryMS, 60_000},
		{&c.LatencyMS, 5_000}, {&c.MeanMS, 4_500}, {&c.TranslationMS, 1_500}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if c.Target == 0 {
		c.Target = 0.95
	}
	if c.Rules == nil {
		c.Rules = slo.DropRules()
	}
	if c.MinValid == 0 {
		c.MinValid = slo.MinValid
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Objectives adds up the cues of whole drops, publishes what is left of their error budgets and decides
// when somebody has to look. It implements processors.RollupRule and processors.Counting.
type Objectives struct {
	cfg       ObjectivesConfig
	catalogue processors.Catalogue
	mapping   *mapping.LogarithmicMapping

	drops  *processors.Table[watch]
	cells  *processors.Table[cell]
	chunks *processors.Table[chunk]
	clock  *wire.HorizonTable // the newest watermark of any drop
	names  *wire.Names

	refused uint64
	chosen  [choices]uint64
	// pending says that some drop may have estimates to publish once nothing more is coming. It is a hint: being set too long costs a look.
	pending bool

	decoder  event.Decoder
	record   event.Localization
	estimate event.Estimate
	key      []byte
	readings [][]slo.Reading
}

// NewObjectives makes the rule of one partition.
func NewObjectives(cfg ObjectivesConfig, catalogue processors.Catalogue) (*Objectives, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &wire.Names{}
	return &Objectives{
		cfg: cfg.withDefaults(), catalogue: catalogue, mapping: newMapping(), names: n, pending: true,
		drops:  processors.NewTable("drop", processors.Codec[watch](watchCodec{names: n})),
		cells:  processors.NewTable("cell", processors.Codec[cell](cellCodec{})),
		chunks: processors.NewTable("chunk", processors.Codec[chunk](chunkCodec{})),
		clock:  wire.NewHorizon("clock", "newest"),
	}, nil
}

// Name implements processors.RollupRule.
func (o *Objectives) Name() string { return "localization-objectives" }

// Tables implements processors.RollupRule.
func (o *Objectives) Tables() []processors.Staged {
	return []processors.Staged{o.drops, o.cells, o.chunks, o.clock}
}

// Outcomes implements processors.Counting: partials of drops that the catalogue does not hold are refused; the others count the
// decisions by what was chosen.
func (o *Objectives) Outcomes(each func(outcome string, total uint64)) {
	each("refused", o.refused)
	for c := ok; c < choices; c++ {
		each("decided_"+choiceNames[c], o.chosen[c])
	}
}

// Apply implements processors.RollupRule.
func (o *Objectives) Apply(r *event.Record) *event.Error {
	if r.Kind != event.KindLocalization {
		return nil
	}
	v := &o.record
	if err := o.decoder.Localization(r.Value, v); err != nil {
		return err
	}
	w, _ := o.drops.Put(v.DropID)
	w.heard(v.Partition, v.Watermark)
	w.of(v.Language, o.names)
	w.until = max(w.until, v.PaneStart+forgetAfterMS, v.Watermark+forgetAfterMS)
	c, _ := o.cells.Put(o.cellKey(v.DropID, v.Language))
	c.take(v)
	h, _ := o.chunks.Put(o.chunkKey(v.DropID, v.Language, v.PaneStart/hourMS))
	h.put(entry{uint32(v.PaneStart % hourMS), uint32(v.Partition), slo.Count{Valid: uint64(v.Expected), Bad: uint64(v.Expected - min(v.Good, v.Expected))}})
	o.clock.Advance(v.Watermark)
	return nil
}

// forgetAfterMS is how long after its last partial, and its end, a drop is kept.
const forgetAfterMS = 7 * 24 * hourMS

// Flush implements processors.RollupRule.
func (o *Objectives) Flush(t processors.RollupTimes, out *processors.Output) {
	o.drops.Changed(func(id string, w *watch) { o.settle(id, w, t, out) })
	if t.Quiet && o.pending {
		// A drop whose last records came in an earlier transaction, in which more seemed to be coming.
		var late []string
		if err := o.drops.Each(func(id string, w *watch) {
			if w.published < w.reached() {
				late = append(late, strings.Clone(id))
			}
		}); err != nil {
			panic(err) // a state that was read before, when it was restored or written
		}
		slices.Sort(late)
		for _, id := range late {
			w, _ := o.drops.Put(id)
			o.settle(id, w, t, out)
		}
		o.pending = len(late) > 0
	}
	if now, known := o.clock.At(); known {
		o.drops.Due(now, func(id string, w *watch) { o.forget(id, w) })
	}
}

// settle brings the read-outs of a drop up to what is known of it.
func (o *Objectives) settle(id string, w *watch, t processors.RollupTimes, out *processors.Output) {
	drop := o.catalogue.Drop(id, 0)
	if drop == nil {
		o.refused++
		o.cfg.Logger.Error("localization: objectives refused: the catalogue does not hold the drop", "drop_id", id)
		return
	}
	w.until = max(w.until, drop.EndMS+forgetAfterMS)
	reached := w.reached()
	if reached < 0 {
		return
	}
	o.judge(id, drop, w, reached, out)
	if !t.Due(w.published, reached, o.cfg.EveryMS) {
		o.pending = o.pending || reached > w.published
		return
	}
	w.published = reached
	w.revision++
	for _, l := range w.languages {
		if l.language != "" {
			o.publish(id, drop, w, l.language, out)
		}
	}
}

// judge judges burn rates at every interval of event time that has passed, as if each had been flushed alone: a stage that
// catches up decides what it would have decided then.
func (o *Objectives) judge(id string, drop *event.Drop, w *watch, reached int64, out *processors.Output) {
	end := reached + 1 - o.cfg.SettleMS
	end -= end % o.cfg.EveryMS
	if end <= w.judged {
		return
	}
	windows := slo.FitDrop(o.cfg.Rules, drop.EndMS-drop.StartMS)
	longest := max(slo.Longest(windows), o.cfg.SilenceMS) + 2*o.cfg.PaneMS
	first := int64(math.MaxInt64)
	for _, l := range w.languages {
		if c := o.cells.Get(o.cellKey(id, l.language)); c != nil && c.first > 0 {
			first = min(first, c.first)
		}
	}
	if first == math.MaxInt64 {
		return
	}
	from := w.judged
	if from == 0 {
		from = first - first%o.cfg.EveryMS
	}
	for to := from + o.cfg.EveryMS; to <= end; to += o.cfg.EveryMS {
		o.judgeAt(id, w, windows, to, out)
	}
	// Hours that no window will look at again.
	for hour := max(first, from-longest-hourMS) / hourMS; (hour+1)*hourMS <= end-longest; hour++ {
		for _, l := range w.languages {
			o.chunks.Delete(o.chunkKey(id, l.language, hour))
		}
	}
	w.judged = end
}

// judgeAt judges every language over the windows that end at to, and then those together that have too few cues.
func (o *Objectives) judgeAt(id string, w *watch, windows []slo.Window, to int64, out *processors.Output) {
	w.of("", o.names)
	o.readings = o.readings[:0]
	for i := range w.languages {
		l := &w.languages[i]
		if l.language == "" {
			continue
		}
		readings, recent := o.read(id, l.language, windows, to)
		o.readings = append(o.readings, readings)
		v := slo.Judge(windows, readings, o.cfg.Target, o.cfg.MinValid)
		switch {
		case recent == 0 && o.begun(id, l.language, to):
			o.decide(id, l, noData, v, windows, readings, to, fmt.Sprintf("no cue for %d s: the stream is over, or its subtitles stopped", o.cfg.SilenceMS/1000), out)
		case v.Judged > 0:
			o.decide(id, l, chosenBy(v, windows), v, windows, readings, to, "", out)
		case l.chosen != undecided:
			o.decide(id, l, noData, v, windows, readings, to, fmt.Sprintf("under %d cues in every window: judged together with the other languages that have too few", o.cfg.MinValid), out)
		}
	}
	pool := slo.Pool(windows, o.readings, o.cfg.MinValid)
	v := slo.Judge(windows, pool, o.cfg.Target, o.cfg.MinValid)
	together := w.of("", o.names)
	switch {
	case v.Judged > 0:
		o.decide(id, together, chosenBy(v, windows), v, windows, pool, to, "", out)
	case together.chosen != undecided:
		o.decide(id, together, noData, v, windows, pool, to, "no languages with too few cues have enough of them together", out)
	}
}

// begun says whether a language has had a cue before the time.
func (o *Objectives) begun(id, language string, before int64) bool {
	c := o.cells.Get(o.cellKey(id, language))
	return c != nil && c.first > 0 && c.first+o.cfg.SilenceMS <= before
}

// read sums up the windows that end at to, and the cues of the time of silence before it. Windows are whole panes, the short ones rounded up.
func (o *Objectives) read(id, language string, windows []slo.Window, to int64) (readings []slo.Reading, recent uint64) {
	readings = make([]slo.Reading, len(windows))
	whole := func(ms int64) int64 { return (ms + o.cfg.PaneMS - 1) / o.cfg.PaneMS * o.cfg.PaneMS }
	longest := max(whole(slo.Longest(windows)), o.cfg.SilenceMS)
	for hour := max(to-longest, 0) / hourMS; hour*hourMS < to; hour++ {
		h := o.chunks.Get(o.chunkKey(id, language, hour))
		if h == nil {
			continue
		}
		for _, e := range h.entries {
			age := to - hour*hourMS - int64(e.offset)
			if age <= 0 {
				continue
			}
			if age <= o.cfg.SilenceMS {
				recent += e.Valid
			}
			for i, w := range windows {
				if age <= whole(w.LongMS) {
					readings[i].Long = readings[i].Long.Add(e.Count)
				}
				if age <= whole(w.ShortMS) {
					readings[i].Short = readings[i].Short.Add(e.Count)
				}
			}
		}
	}
	return readings, recent
}

func chosenBy(v slo.Verdict, windows []slo.Window) choice {
	switch {
	case v.Fired < 0:
		return ok
	case windows[v.Fired].Severity == slo.Page:
		return page
	}
	return ticket
}

// decide publishes a decision that differs from the one that stands.
func (o *Objectives) decide(id string, s *standing, chosen choice, v slo.Verdict, windows []slo.Window, readings []slo.Reading, to int64, reason string, out *processors.Output) {
	if s.chosen == chosen {
		return
	}
	d := event.Decision{
		DropID: id, Topic: "burn_rate", Subject: s.language, At: to + o.cfg.SettleMS,
		Chosen: choiceNames[chosen], Previous: choiceNames[s.chosen], Value: v.Long, Reason: reason,
		Inputs: []event.Input{{Name: "burn_long", Value: v.Long}, {Name: "burn_short", Value: v.Short}, {Name: "target", Value: o.cfg.Target}, {Name: "until", Value: float64(to)}},
	}
	i := max(v.Fired, 0)
	add := func(name string, value float64) { d.Inputs = append(d.Inputs, event.Input{Name: name, Value: value}) }
	add("factor", windows[i].Factor)
	add("long_ms", float64(windows[i].LongMS))
	add("short_ms", float64(windows[i].ShortMS))
	add("valid", float64(readings[i].Long.Valid))
	add("bad", float64(readings[i].Long.Bad))
	if v.Fired >= 0 {
		d.Reason = fmt.Sprintf("the error budget burns at %.3g times the rate that lasts for the drop, above %.3g in the last %d s and still in the last %d s",
			v.Long, windows[i].Factor, windows[i].LongMS/1000, windows[i].ShortMS/1000)
	} else if chosen == ok {
		d.Reason = "no window burns faster than its factor"
	}
	s.chosen = chosen
	o.chosen[chosen]++
	o.key = wire.AppendPart(o.key[:0], id)
	o.key = wire.AppendPart(o.key, d.Topic)
	o.key = wire.AppendPart(o.key, d.Subject)
	o.key = strconv.AppendInt(o.key, d.At, 10)
	out.Emit(event.KindDecision, wire.Alias(o.key), d.AppendJSON)
}

// forget deletes all of a drop.
func (o *Objectives) forget(id string, w *watch) {
	for _, l := range w.languages {
		if c := o.cells.Get(o.cellKey(id, l.language)); c != nil && c.first > 0 {
			for hour := c.first / hourMS; hour <= c.last/hourMS; hour++ {
				o.chunks.Delete(o.chunkKey(id, l.language, hour))
			}
		}
		o.cells.Delete(o.cellKey(id, l.language))
	}
	o.drops.Delete(id)
}

func (o *Objectives) cellKey(drop, language string) string {
	o.key = append(wire.AppendString(o.key[:0], drop), language...)
	return wire.Alias(o.key)
}

func (o *Objectives) chunkKey(drop, language string, hour int64) string {
	o.key = wire.AppendString(wire.AppendString(o.key[:0], drop), language)
	o.key = binary.BigEndian.AppendUint64(o.key, uint64(hour))
	return wire.Alias(o.key)
}
