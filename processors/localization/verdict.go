package localization

import (
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// fault is what a shown cue may have; several at once.
type fault uint8

const (
	slow fault = 1 << iota
	brief
	long
	dense
	wordy
	early
	faults = early<<1 - 1
)

// state is how a cue stands in one language. A higher one replaces a lower one.
type state uint8

const (
	unreported state = iota // missing, and nobody said so
	missing                 // reported missing
	shown
	states
)

// verdict is what is known and judged of a cue in one language.
type verdict struct {
	state  state
	faults fault
	// stretch: a shown cue that keeps the stricter reading speed.
	stretch bool
	// display is the media time of the display, at the effective event time of the record: they decide between records.
	display, at int64
	// latency in ms, at most the cap, and the cap for a missing cue; translation in ms, 0 for none.
	latency, translation int64
}

// good cues are shown and have no fault.
func (v *verdict) good() bool { return v.state == shown && v.faults == 0 }

// judge holds a cue against the thresholds. latencyMS is the drop's, or 0.
func (c *Config) judge(s *event.Subtitle, at, latencyMS int64) verdict {
	if s.Missing {
		return verdict{state: missing, at: at, latency: c.CapMS}
	}
	if latencyMS == 0 {
		latencyMS = c.LatencyMS
	}
	v := verdict{state: shown, display: s.DisplayMS, at: at, translation: s.TranslationMS}
	v.latency = s.DisplayMS - s.SpeechStartMS
	if v.latency < -c.EarlyMS {
		v.faults |= early
	}
	v.latency = min(max(v.latency, 0), c.CapMS)
	if v.latency > latencyMS {
		v.faults |= slow
	}
	if s.OnScreenMS < c.MinShownMS {
		v.faults |= brief
	}
	if s.OnScreenMS > c.MaxShownMS {
		v.faults |= long
	}
	wide := slices.Contains(c.Wide, base(s.TargetLanguage))
	limit := c.CPS
	if wide {
		limit = c.WideCPS
	}
	seconds := float64(s.OnScreenMS) / 1000
	if float64(s.Graphemes) > limit*seconds {
		v.faults |= dense
	}
	if !wide && float64(s.Words)*60 > c.WPM*seconds {
		v.faults |= wordy
	}
	v.stretch = v.faults == 0 && float64(s.Graphemes) <= limit*c.StretchCPS/c.CPS*seconds
	return v
}

// better says whether a replaces b as the verdict on the same cue in the same language: a display replaces a report of its
// absence, an earlier display a later one, and of records about one display the newest counts. It is a strict order, so that the
// order of arrival does not matter.
func (a *verdict) better(b *verdict) bool {
	switch {
	case a.state != b.state:
		return a.state > b.state
	case a.display != b.display:
		return a.display < b.display
	case a.at != b.at:
		return a.at > b.at
	case a.faults != b.faults:
		return a.faults > b.faults
	case a.latency != b.latency:
		return a.latency > b.latency
	case a.translation != b.translation:
		return a.translation > b.translation
	}
	return b.stretch && !a.stretch
}
