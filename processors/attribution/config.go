package attribution

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
)

const (
	secondMS = 1000
	minuteMS = 60 * secondMS
	hourMS   = 60 * minuteMS
	dayMS    = 24 * hourMS
)

// Config of a Rule. Zero values mean the defaults, all of them choices of ours (DOMAIN 5 [D]).
type Config struct {
	// AgeMS is the width of the bins of the drop's age (default 1 h), OpeningAgeMS that of the bins of the first
	// OpeningMS (default 5 min and 2 h), in which demand and load change fastest.
	AgeMS, OpeningMS, OpeningAgeMS int64
	// JoinMS is how far a landing request may be from the landing view it belongs to (default 60 s).
	JoinMS int64
	// RefundMS is how long after the drop's end refunds still lower its revenue here (default 14 days). A player's state is kept
	// that long.
	RefundMS int64
	// PaneMS is the width of a sketch's pane (default 60 s).
	PaneMS int64
	// Accuracy is the sketches' relative error α (default 0.01). Sketches of another accuracy do not merge.
	Accuracy float64
	// Logger gets one error per refused contribution; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.AgeMS = cmp.Or(c.AgeMS, hourMS)
	c.OpeningMS = cmp.Or(c.OpeningMS, 2*hourMS)
	c.OpeningAgeMS = cmp.Or(c.OpeningAgeMS, 5*minuteMS)
	c.JoinMS = cmp.Or(c.JoinMS, minuteMS)
	c.RefundMS = cmp.Or(c.RefundMS, 14*dayMS)
	c.PaneMS = cmp.Or(c.PaneMS, minuteMS)
	c.Accuracy = cmp.Or(c.Accuracy, 0.01)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("attribution: "+format, args...))
	}
	c = c.withDefaults()
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"age bin", c.AgeMS}, {"opening", c.OpeningMS}, {"age bin of the opening", c.OpeningAgeMS}, {"join", c.JoinMS},
		{"refund window", c.RefundMS}, {"pane", c.PaneMS},
	} {
		if d.value < 0 {
			bad("%s of %d ms is negative", d.name, d.value)
		}
	}
	if c.OpeningAgeMS > 0 && c.OpeningMS%c.OpeningAgeMS != 0 {
		bad("an opening of %d ms is no multiple of its age bin of %d ms", c.OpeningMS, c.OpeningAgeMS)
	}
	if c.AgeMS > 0 && c.OpeningMS%c.AgeMS != 0 {
		bad("an opening of %d ms is no multiple of the age bin of %d ms", c.OpeningMS, c.AgeMS)
	}
	if !(c.Accuracy > 0 && c.Accuracy <= 0.2) {
		bad("a relative error of %v is not in (0, 0.2]", c.Accuracy)
	}
	return errors.Join(problems...)
}

// ageBin is the bin [from, to) of a drop's age in ms; all of the time before its start is [−1, 0).
func (c *Config) ageBin(age int64) (from, to int64) {
	width := c.AgeMS
	switch {
	case age < 0:
		return -1, 0
	case age < c.OpeningMS:
		width = c.OpeningAgeMS
	}
	from = age - age%width
	return from, from + width
}

// microseconds of a latency in ms.
func microseconds(ms float64) int64 { return int64(math.Round(ms * 1000)) }
