package learning

import (
	"errors"
	"fmt"
)

const (
	minute = int64(60_000)
	hour   = 60 * minute
	day    = 24 * hour
)

// Config of a Rule. Zero values mean the documented defaults; times are ms.
type Config struct {
	// EmbargoMS is δ (default 600,000, the default of the allowed lateness): the label looks at [t0+δ, t0+δ+N).
	EmbargoMS int64
	// HorizonMS is N (default 14 days).
	HorizonMS int64
	// OutcomeMS is how long after t0 a checkout counts as the score's conversion (default 1 day). Not above δ+N.
	OutcomeMS int64
	// EveryMS: a player's scores by one model within one interval of this length make one example (default 1 day). Not above N.
	EveryMS int64
	// ActiveMS is A (default 28 days): players absent for longer before t0 are not in the population.
	ActiveMS int64
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value     *int64
		otherwise int64
	}{{&c.EmbargoMS, 10 * minute}, {&c.HorizonMS, 14 * day}, {&c.OutcomeMS, day}, {&c.EveryMS, day}, {&c.ActiveMS, 28 * day}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	c = c.withDefaults()
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"embargo", c.EmbargoMS}, {"label horizon", c.HorizonMS}, {"outcome window", c.OutcomeMS},
		{"interval between examples", c.EveryMS}, {"active period", c.ActiveMS},
	} {
		if d.value < 0 {
			problems = append(problems, fmt.Errorf("learning: %s of %d ms is negative", d.name, d.value))
		}
	}
	if c.OutcomeMS > c.EmbargoMS+c.HorizonMS {
		problems = append(problems, fmt.Errorf("learning: outcome window of %d ms ends after the label's, %d ms", c.OutcomeMS, c.EmbargoMS+c.HorizonMS))
	}
	if c.EveryMS > c.HorizonMS {
		// An interval's example could be published before another score of the interval comes.
		problems = append(problems, fmt.Errorf("learning: interval between examples of %d ms is above the label horizon of %d ms", c.EveryMS, c.HorizonMS))
	}
	return errors.Join(problems...)
}
