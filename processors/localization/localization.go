package localization

import (
	"encoding/binary"
	"strconv"

	"github.com/DataDog/sketches-go/ddsketch/mapping"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// Rule judges one partition's cues. It implements processors.Rule and processors.Counting.
type Rule struct {
	cfg       Config
	partition int32
	catalogue processors.Catalogue
	mapping   *mapping.LogarithmicMapping

	cues    *processors.Table[cue]
	streams *processors.Table[stream]
	panes   *processors.Table[pane]
	horizon *wire.HorizonTable
	names   *wire.Names
	counts  outcomes

	key      []byte
	expected []track
	record   event.Localization
}

// outcomes say what became of cues beyond their acceptance.
type outcomes struct {
	refused, settled, repeated, early, noDuration, unmeasured, unreported, corrected uint64
}

// New makes the rule of one partition. catalogue holds every drop of the events applied.
func New(cfg Config, partition int32, catalogue processors.Catalogue) (*Rule, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	n := &wire.Names{}
	return &Rule{
		cfg: cfg, partition: partition, catalogue: catalogue, mapping: newMapping(), names: n,
		cues:    processors.NewTable("cue", processors.Codec[cue](cueCodec{capMS: cfg.CapMS, names: n})),
		streams: processors.NewTable("stream", processors.Codec[stream](streamCodec{names: n})),
		panes:   processors.NewTable("pane", processors.Codec[pane](paneCodec{paneMS: cfg.PaneMS})),
		horizon: wire.NewHorizon("horizon", "panes"),
	}, nil
}

// Name implements processors.Rule.
func (r *Rule) Name() string { return "localization" }

// Tables implements processors.Rule.
func (r *Rule) Tables() []processors.Staged {
	return []processors.Staged{r.cues, r.streams, r.panes, r.horizon}
}

// Outcomes implements processors.Counting: refused records are of drops that the catalogue does not hold, settled ones come after their
// cue's pane became final, repeated ones add nothing; early, no_duration and unmeasured are shown cues with a display before
// the speech, without time on screen and without a length; unreported are cues found missing, corrected those shown after all.
func (r *Rule) Outcomes(each func(outcome string, total uint64)) {
	each("refused", r.counts.refused)
	each("settled", r.counts.settled)
	each("repeated", r.counts.repeated)
	each("early", r.counts.early)
	each("no_duration", r.counts.noDuration)
	each("unmeasured", r.counts.unmeasured)
	each("unreported", r.counts.unreported)
	each("corrected", r.counts.corrected)
}

// Apply implements processors.Rule.
func (r *Rule) Apply(ev *event.Event, at int64) {
	if ev.Type != event.Cue || ev.DropID == "" || ev.Synthetic {
		return
	}
	s := &ev.Subtitle
	drop := r.catalogue.Drop(ev.DropID, 0)
	if drop == nil {
		r.counts.refused++
		r.cfg.Logger.Error("localization: cue refused: the catalogue does not hold the drop", "drop_id", ev.DropID, "partition", r.partition)
		return
	}
	home := r.stream(ev.DropID, s.StreamID, at)
	key := r.cueKey(ev.DropID, s.StreamID, s.CueID)
	known := r.cues.Get(key)
	if known == nil && s.SpeechStartMS <= home.settled || known != nil && r.final(known.at) || r.final(at) {
		r.counts.settled++
		return
	}
	home.saw(s.TargetLanguage, s.SpeechStartMS, r.names)
	r.note(s)

	c, created := r.cues.Put(key)
	if created {
		c.at, c.speech = at, s.SpeechStartMS
	}
	c.speech = min(c.speech, s.SpeechStartMS)
	if at < c.at {
		// The cue counts where it was first heard of, in all its languages.
		if processors.PaneStart(at, r.cfg.PaneMS) != processors.PaneStart(c.at, r.cfg.PaneMS) {
			for i := range c.verdicts {
				r.count(ev.DropID, c.at, &c.verdicts[i], -1)
				r.count(ev.DropID, at, &c.verdicts[i], 1)
			}
		}
		c.at = at
	}
	v := r.cfg.judge(s, at, drop.CueLatencyMS)
	same := base(s.SourceLanguage) == base(s.TargetLanguage)
	i, found := c.in(s.TargetLanguage)
	switch {
	case !found:
		c.insert(i, rendering{r.names.Text(s.TargetLanguage), same, v})
	case !v.better(&c.verdicts[i].verdict):
		r.counts.repeated++
		return
	default:
		if v.state == shown && c.verdicts[i].state != shown {
			r.counts.corrected++
		}
		r.count(ev.DropID, c.at, &c.verdicts[i], -1)
		c.verdicts[i].verdict, c.verdicts[i].same = v, same
	}
	r.count(ev.DropID, c.at, &c.verdicts[i], 1)
	if same && v.state == shown {
		c.compared = false // its translations are expected from now on
	}
}

// note counts what is odd about a shown cue. Such a cue is judged all the same, and is not good.
func (r *Rule) note(s *event.Subtitle) {
	if s.Missing {
		return
	}
	if s.DisplayMS < s.SpeechStartMS-r.cfg.EarlyMS {
		r.counts.early++
	}
	if s.OnScreenMS == 0 {
		r.counts.noDuration++
	}
	if s.Graphemes == 0 {
		r.counts.unmeasured++
	}
}

// stream is the state of a stream, for changing.
func (r *Rule) stream(drop, id string, at int64) *stream {
	r.key = wire.AppendString(r.key[:0], drop)
	r.key = append(r.key, id...)
	s, created := r.streams.Put(wire.Alias(r.key))
	if created {
		s.settled = -1
	}
	s.newest = max(s.newest, at)
	return s
}

// count adds a verdict to the pane of at, or takes it back. The pane is not final.
func (r *Rule) count(drop string, at int64, v *rendering, sign int32) {
	start := processors.PaneStart(at, r.cfg.PaneMS)
	r.key = wire.AppendString(r.key[:0], drop)
	r.key = wire.AppendString(r.key, v.language)
	r.key = binary.BigEndian.AppendUint64(r.key, uint64(start))
	p, created := r.panes.Put(wire.Alias(r.key))
	if created {
		p.start = start
	}
	p.same = p.same || v.same
	if !p.add(&v.verdict, sign, r.index) {
		r.counts.refused++
		r.cfg.Logger.Error("localization: a verdict is to be taken from a pane that never had it", "drop_id", drop, "language", v.language, "at", at, "partition", r.partition)
	}
}

func (r *Rule) index(ms int64) int64 { return int64(r.mapping.Index(float64(ms))) }

// final says whether a flush has already deleted the panes of at's time.
func (r *Rule) final(at int64) bool {
	return r.horizon.Passed(processors.PaneStart(at, r.cfg.PaneMS) + r.cfg.PaneMS - 1)
}

// Flush implements processors.Rule. Cues come first: what is found missing belongs into panes that may become final now.
func (r *Rule) Flush(t processors.Times, out *processors.Output) {
	r.cues.Due(t.Watermark, func(key string, c *cue) { r.due(key, c, t) })
	passed := t.Watermark - t.AllowedLateness
	closed := processors.FlushPanes(r.panes, passed, func(key string, p *pane, m event.Maturity) {
		r.emit(key, p, t.Watermark, m, out)
	})
	if closed {
		r.horizon.Advance(passed)
	}
	r.streams.Due(t.Watermark, func(key string, _ *stream) { r.streams.Delete(key) })
}

// due compares the tracks of a cue when its deadline has passed, and forgets it when its pane is final.
func (r *Rule) due(key string, c *cue, t processors.Times) {
	drop, rest := wire.CutString(key)
	id, _ := wire.CutString(rest)
	r.key = wire.AppendString(r.key[:0], drop)
	r.key = append(r.key, id...)
	home := wire.Alias(r.key)
	if !c.compared {
		c, _ = r.cues.Put(key)
		if source, ok := c.source(); ok && !r.final(c.at) {
			r.expect(home, c.speech)
			for _, e := range r.expected {
				if i, found := c.in(e.language); !found {
					c.insert(i, rendering{e.language, base(e.language) == base(source), verdict{state: unreported, latency: r.cfg.CapMS}})
					r.count(drop, c.at, &c.verdicts[i], 1)
					r.counts.unreported++
				}
			}
		}
		c.compared, c.expires = true, processors.PaneStart(c.at, r.cfg.PaneMS)+r.cfg.PaneMS-1+t.AllowedLateness
		if c.expires > t.Watermark {
			return
		}
		r.key = append(wire.AppendString(r.key[:0], drop), id...)
		home = wire.Alias(r.key)
	}
	if s := r.streams.Get(home); s != nil && c.speech > s.settled {
		s, _ = r.streams.Put(home)
		s.settled = c.speech
	}
	r.cues.Delete(key)
}

// expect lists the languages that a cue with this speech start is expected in.
func (r *Rule) expect(home string, speech int64) {
	r.expected = r.expected[:0]
	for _, language := range r.cfg.Languages {
		r.expected = append(r.expected, track{language: language})
	}
	if s := r.streams.Get(home); s != nil {
		for _, t := range s.languages {
			if t.from <= speech {
				r.expected = append(r.expected, t)
			}
		}
	}
}

// emit publishes p's next revision. p is staged for changing already, or deleted next.
func (r *Rule) emit(key string, p *pane, watermark int64, m event.Maturity, out *processors.Output) {
	p.revision++
	drop, rest := wire.CutString(key)
	language, _ := wire.CutString(rest)
	v := &r.record
	*v = event.Localization{
		DropID: drop, Language: language, SameLanguage: p.same, Partition: r.partition,
		PaneStart: p.start, PaneMS: r.cfg.PaneMS, Revision: p.revision, Watermark: watermark, Maturity: m,
		Expected: p.expected, Good: p.good, Stretch: p.stretch, Missing: p.missing, Unreported: p.unreported,
		Slow: p.slow, Brief: p.brief, Long: p.long, Dense: p.dense, Wordy: p.wordy, Early: p.early,
		LatencySumMS: p.latencySum, LatencyZero: p.zero, LatencyBins: v.LatencyBins[:0],
		Translated: p.translated, TranslationSumMS: p.translationSum, TranslationBins: v.TranslationBins[:0],
	}
	for _, b := range p.latencies {
		v.LatencyBins = append(v.LatencyBins, event.CueLatencyBin{Index: b.index, Count: b.count})
	}
	for _, b := range p.translations {
		v.TranslationBins = append(v.TranslationBins, event.CueTranslationBin{Index: b.index, Count: b.count})
	}
	r.key = appendRecordKey(r.key[:0], v)
	out.Emit(event.KindLocalization, wire.Alias(r.key), v.AppendJSON)
}

func (r *Rule) cueKey(drop, stream string, id uint64) string {
	r.key = wire.AppendString(r.key[:0], drop)
	r.key = wire.AppendString(r.key, stream)
	r.key = binary.BigEndian.AppendUint64(r.key, id)
	return wire.Alias(r.key)
}

// appendRecordKey appends drop_id|language|pane_start|partition.
func appendRecordKey(dst []byte, v *event.Localization) []byte {
	dst = wire.AppendPart(dst, v.DropID)
	dst = wire.AppendPart(dst, v.Language)
	dst = append(strconv.AppendInt(dst, v.PaneStart, 10), '|')
	return strconv.AppendInt(dst, int64(v.Partition), 10)
}
