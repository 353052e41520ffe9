package localization

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Config of a Rule. The zero value means the defaults of DOMAIN 7.2.
type Config struct {
	// PaneMS is the pane's width in ms (default 15,000, so that the shortest burn-rate window of a drop, 75 s, is whole
	// panes). It divides an hour. State written with another width is refused on restore.
	PaneMS int64
	// LatencyMS is the highest latency of a good cue (default 5,000); a drop's cue_latency_ms goes before it.
	LatencyMS int64
	// CapMS is what latencies are cut at and missing cues have (default 60,000). It is also how long after a cue of the source track its
	// translations may take before they count as missing. It must be under the allowed lateness.
	CapMS int64
	// MinShownMS and MaxShownMS bound the time on screen (default 833 and 7,000).
	MinShownMS, MaxShownMS int64
	// CPS is the highest reading speed in graphemes a second (default 20), StretchCPS the stricter one that is
	// counted beside it (default 17), WideCPS the one of Wide languages (default 12: no standard exists, DOMAIN 11).
	CPS, StretchCPS, WideCPS float64
	// WPM is the highest speed in words a minute (default 180); Wide languages have none.
	WPM float64
	// EarlyMS is how long before its speech a cue may appear (default 500): clocks and prepared text. Beyond it is a fault.
	EarlyMS int64
	// Wide are the languages (BCP 47, first subtag) without spaces between words (default ja, ko, yue, zh).
	Wide []string
	// Languages are expected of every stream from its first cue on. A language that is not listed is expected from its own first cue on.
	Languages []string
	// Logger gets one error per refused record; nil discards.
	Logger *slog.Logger
}

const hourMS = 3_600_000

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("localization: "+format, args...))
	}
	for _, d := range []struct {
		name  string
		value float64
	}{
		{"latency", float64(c.LatencyMS)}, {"cap", float64(c.CapMS)}, {"shortest time on screen", float64(c.MinShownMS)},
		{"longest time on screen", float64(c.MaxShownMS)}, {"characters a second", c.CPS}, {"stricter characters a second", c.StretchCPS},
		{"characters a second of wide languages", c.WideCPS}, {"words a minute", c.WPM}, {"early tolerance", float64(c.EarlyMS)},
	} {
		if !(d.value >= 0) {
			bad("%s of %v is negative", d.name, d.value)
		}
	}
	if c.PaneMS < 0 || c.PaneMS > hourMS || c.PaneMS > 0 && hourMS%c.PaneMS != 0 {
		bad("pane of %d ms does not divide an hour", c.PaneMS)
	}
	full := c.withDefaults()
	if full.LatencyMS >= full.CapMS {
		bad("a latency objective of %d ms is not under the cap of %d ms: no cue could be too slow", full.LatencyMS, full.CapMS)
	}
	if full.MinShownMS >= full.MaxShownMS {
		bad("no time on screen is between %d and %d ms", full.MinShownMS, full.MaxShownMS)
	}
	if full.StretchCPS > full.CPS {
		bad("the stricter %v characters a second are above %v", full.StretchCPS, full.CPS)
	}
	for _, languages := range [][]string{c.Wide, c.Languages} {
		if slices.Contains(languages, "") {
			bad("a language has no name")
		}
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value     *int64
		otherwise int64
	}{{&c.PaneMS, 15_000}, {&c.LatencyMS, 5_000}, {&c.CapMS, 60_000}, {&c.MinShownMS, 833}, {&c.MaxShownMS, 7_000}, {&c.EarlyMS, 500}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	for _, d := range []struct {
		value     *float64
		otherwise float64
	}{{&c.CPS, 20}, {&c.StretchCPS, 17}, {&c.WideCPS, 12}, {&c.WPM, 180}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if c.Wide == nil {
		c.Wide = []string{"ja", "ko", "yue", "zh"}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// base is a language's first subtag: the language without script and region.
func base(language string) string {
	first, _, _ := strings.Cut(language, "-")
	return first
}
