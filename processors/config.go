package processors

import (
	"errors"
	"fmt"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// Config is what a Partition needs to know. Zero values mean the defaults of DOMAIN 2.4.
type Config struct {
	// OutOfOrderness B in ms (default 10,000): W_p = max(event_time) − B − 1.
	OutOfOrderness int64
	// AllowedLateness L in ms (default 600,000).
	AllowedLateness int64
	// IdleAfter in ms (default 30,000): an input without a record for this long, and without lag, does not hold the watermark.
	IdleAfter int64
	// ClockSkew in ms (default 60,000): an event further ahead of its ingest_time is windowed by ingest_time.
	ClockSkew int64
	// Quarantine in ms (default 7 days): an event further from its ingest_time, either way, is dead-lettered.
	Quarantine int64
	// ProgressEvery in ms of event time: how often the partition tells the rollup stage how far it has come; 0 is never.
	ProgressEvery int64
	// Inputs are the kinds this partition reads.
	Inputs []event.Kind
	// Quiet are those of Inputs that may be silent for long, or nearly so, while all is well: one that the consumer has
	// caught up with does not hold the watermark, without waiting for IdleAfter.
	Quiet []event.Kind
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"out-of-orderness", c.OutOfOrderness}, {"allowed lateness", c.AllowedLateness}, {"idle time", c.IdleAfter},
		{"clock skew", c.ClockSkew}, {"quarantine", c.Quarantine}, {"progress interval", c.ProgressEvery},
	} {
		if d.value < 0 {
			problems = append(problems, fmt.Errorf("processors: %s of %d ms is negative", d.name, d.value))
		}
	}
	if full := c.withDefaults(); full.ClockSkew > full.Quarantine {
		problems = append(problems, fmt.Errorf("processors: clock skew of %d ms is above the quarantine of %d ms", full.ClockSkew, full.Quarantine))
	}
	if len(c.Inputs) == 0 {
		problems = append(problems, errors.New("processors: no input"))
	}
	for i, kind := range c.Inputs {
		if !kind.Raw() {
			problems = append(problems, fmt.Errorf("processors: input kind %d is not a raw one", kind))
		}
		if slices.Contains(c.Inputs[:i], kind) {
			problems = append(problems, fmt.Errorf("processors: input kind %d is given twice", kind))
		}
	}
	for _, kind := range c.Quiet {
		if !slices.Contains(c.Inputs, kind) {
			problems = append(problems, fmt.Errorf("processors: quiet kind %d is no input", kind))
		}
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value     *int64
		otherwise int64
	}{
		{&c.OutOfOrderness, 10_000}, {&c.AllowedLateness, 600_000}, {&c.IdleAfter, 30_000},
		{&c.ClockSkew, 60_000}, {&c.Quarantine, 7 * 24 * 3_600_000},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	return c
}
