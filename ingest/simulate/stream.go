package simulate

import (
	"math"

	"github.com/droplift/droplift/ingest/event"
)

// stream is a drop's live stream in one target language.
type stream struct {
	drop     int
	language uint8
	cue      uint64
	// shown is the cue to be sent next: its lag, and whether it is missing.
	lagMS   int64
	missing bool
	held    *held
}

// variantCue is how many cues lie between two that carry a call to action.
const variantCue = 75

// readGraphemes a second is how fast cues are meant to be read: well within 20 a second and 180 words a minute. Chinese and
// Japanese say the same in wideText of the characters.
const (
	readGraphemes = 12
	wideText      = 0.4
)

// missingAfter is when a cue that was never shown is reported, after its speech.
const missingAfter = 5 * second

// openStreams starts every drop's stream in every language. All languages of a
// stream live in one shard, for they share a partition key.
func (sh *shard) openStreams() {
	for i := range sh.w.drops {
		if i%sh.w.shards != sh.number || sh.w.drops[i].streamMS == 0 {
			continue
		}
		for language := range sh.w.s.Languages {
			sh.streams = append(sh.streams, stream{drop: i, language: uint8(language)})
			sh.planCue(uint32(len(sh.streams) - 1))
		}
	}
}

func (sh *shard) speechStart(s *stream) int64 { return int64(s.cue) * sh.w.s.Subtitles.CueMS }

// planCue draws the next cue's lag and schedules its display.
func (sh *shard) planCue(n uint32) {
	s, sub := &sh.streams[n], &sh.w.s.Subtitles
	d := &sh.w.drops[s.drop]
	at := sh.speechStart(s)
	if at >= d.streamMS {
		return
	}
	median := sub.LagMS
	translated := sh.w.s.Languages[s.language] != sh.w.s.SourceLanguage
	if translated {
		median += sub.TranslationMS
	}
	if int(s.language) == len(sh.w.s.Languages)-1 && at >= d.streamMS/3 && at < 2*d.streamMS/3 {
		median += sub.SurgeMS
	}
	s.lagMS = sh.lognormal(median, 0.3, 200, minute)
	s.missing = translated && sh.chance(sub.Missing)
	for _, o := range sh.w.s.SubtitleOutages {
		s.missing = s.missing || s.drop == sh.w.main() && o.Language == sh.w.s.Languages[s.language] && at >= o.FromMS && at < o.ToMS
	}
	shown := at + s.lagMS
	if s.missing {
		shown = at + missingAfter
	}
	sh.timers.push(timer{at: d.start + shown, what: timeCue, ref: n})
}

// good says whether a cue keeps the default objectives of DOMAIN 7.2.
func good(c *event.Subtitle) bool {
	graphemes, words := 20., 180.
	if c.TargetLanguage == "ja" || c.TargetLanguage == "zh" {
		graphemes, words = 12, math.Inf(1)
	}
	seconds := float64(c.OnScreenMS) / 1000
	return !c.Missing && c.DisplayMS-c.SpeechStartMS <= 5000 && c.OnScreenMS >= 833 && c.OnScreenMS <= 7000 &&
		float64(c.Graphemes)/seconds <= graphemes && float64(c.Words)/seconds*60 <= words
}

// cue sends one displayed or missing cue.
func (sh *shard) cue(n uint32) {
	s, w := &sh.streams[n], sh.w
	d := &w.drops[s.drop]
	language := w.s.Languages[s.language]
	graphemes := min(max(38+10*sh.rng.NormFloat64(), 4), 84)
	ev := &sh.ev
	*ev = event.Event{Kind: event.KindSubtitle, Envelope: event.Envelope{
		Type: event.Cue, EventTime: sh.now, DropID: d.id, CreatorID: w.creators[d.creator],
		Language: language, SampleRate: 1, SchemaVersion: 1,
	}}
	c := &ev.Subtitle
	*c = event.Subtitle{
		StreamID: d.stream, CueID: s.cue + 1, SpeechStartMS: sh.speechStart(s),
		SourceLanguage: w.s.SourceLanguage, TargetLanguage: language, Missing: s.missing,
	}
	if !s.missing {
		c.DisplayMS = c.SpeechStartMS + s.lagMS
		c.Graphemes = uint32(graphemes)
		switch language {
		case "ja", "zh":
			c.Graphemes = uint32(max(graphemes*wideText, 1))
		case "th":
		default:
			c.Words = uint32(math.Ceil(graphemes / 5.5))
		}
		c.OnScreenMS = int64(1000 * min(max(graphemes/readGraphemes*math.Exp(0.1*sh.rng.NormFloat64()), 0.7), 7))
		if language != w.s.SourceLanguage {
			c.TranslationMS = sh.lognormal(w.s.Subtitles.TranslationMS, 0.3, 50, 10*second)
		}
	}
	if arms := d.entry.Experiments; len(arms) > 0 && s.cue%variantCue == variantCue-1 {
		variants := arms[s.language].Variants
		c.Variant = variants[s.cue/variantCue%uint64(len(variants))].Name
	}
	sub := subject{key: d.stream, player: noPlayer, drop: s.drop, language: s.language}
	left := d.streamMS - c.SpeechStartMS
	last := left <= w.s.Subtitles.CueMS
	s.cue++
	sh.planCue(n)
	switch {
	case last && s.held != nil:
		sh.release(s.held, sh.emit(sub, clean))
	case s.held == nil && left > lateFrom+w.s.Subtitles.CueMS+2*minute && sh.wantsLate(event.KindSubtitle, 0.2):
		s.held = sh.hold(sub)
	default:
		sh.emit(sub, ordinary)
	}
}
