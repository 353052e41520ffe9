package edgebudget

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Work is a kind of work that can be shed.
type Work string

// order is what is shed, first first (DOMAIN 9). What is not in it is never shed: checkout, ledger, consent and erasure, and the
// exposure logs that the sample-ratio check of experiments rests on.
var order = [...]Work{
	"debug_traces",       // off
	"latency_sampling",   // a lower rate, stamped as sample_rate
	"recommendations",    // off
	"small_translations", // off for the languages with the smallest audience
	"impression_detail",  // off
	"heartbeat_60s",      // every 60 s instead of 30; playtime goes by the interval in the event
}

// ShedOrder lists what is shed, first first.
func ShedOrder() []Work { return slices.Clone(order[:]) }

// Shedding says how much of ShedOrder is shed when. The zero value means the defaults.
type Shedding struct {
	// Warn and Cap are the numbers of kinds shed at these levels (defaults 3 and all), Limited the one while the budget pays for fewer replicas than wanted (default 1).
	Warn, Cap, Limited int
}

// WithDefaults fills in the defaults.
func (s Shedding) WithDefaults() Shedding {
	return Shedding{Warn: cmp.Or(s.Warn, 3), Cap: cmp.Or(s.Cap, len(order)), Limited: cmp.Or(s.Limited, 1)}
}

// Validate reports every problem at once.
func (s Shedding) Validate() error {
	full := s.WithDefaults()
	var problems []error
	for _, n := range []int{full.Warn, full.Cap, full.Limited} {
		if n < 0 || n > len(order) {
			problems = append(problems, fmt.Errorf("edgebudget: %d kinds of work to shed, there are %d", n, len(order)))
		}
	}
	if full.Warn > full.Cap {
		problems = append(problems, fmt.Errorf("edgebudget: %d kinds of work shed at WARN are more than %d at CAP", full.Warn, full.Cap))
	}
	return errors.Join(problems...)
}

// Steps is how many kinds of work, from the first of ShedOrder on, to shed.
func (s Shedding) Steps(level Level, limited bool) int {
	steps := 0
	switch level {
	case LevelWarn:
		steps = s.Warn
	case LevelCap:
		steps = s.Cap
	}
	if limited {
		steps = max(steps, s.Limited)
	}
	return steps
}

// Audience is the size of one part of an audience.
type Audience struct {
	Name string
	Size uint64
}

// Cover splits parts into the fewest that make up bps of the whole, largest first, and the rest. Ties go by name; empty parts are in the rest.
func Cover(parts []Audience, bps uint32) (covered, rest []Audience) {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b Audience) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	var total wide
	for _, p := range parts {
		total.add(int64(min(p.Size, 1<<62)), int64(bps), 1)
	}
	var sum wide
	for i, p := range parts {
		if p.Size == 0 || sum.high > total.high || sum.high == total.high && sum.low >= total.low {
			return parts[:i], parts[i:]
		}
		sum.add(int64(min(p.Size, 1<<62)), whole, 1)
	}
	return parts, nil
}
