package edgebudget

import (
	"errors"
	"fmt"
	"math"
)

// Level is how a budget stands.
type Level uint8

const (
	// LevelOK: the projection is within the budget.
	LevelOK Level = iota
	// LevelWarn: the projection exceeds it.
	LevelWarn
	// LevelCap: what is spent and reserved is close to it. It latches.
	LevelCap
)

// String is the level's name in decisions.
func (l Level) String() string { return [...]string{"ok", "warn", "cap"}[l] }

// Rules are the numbers of pacing and budget levels (DOMAIN 9). The zero value means the defaults.
type Rules struct {
	// PaceStep is R, by which the pace falls and rises a minute (default 0.1).
	PaceStep float64
	// WarnEnter is the projection, as a share of the budget, at which WARN is entered (default 1.0); WarnLeave the one at or
	// below which it is left (default 0.85) after WarnLeaveMS (default 10 min), and not before WarnDwellMS in WARN (default 5 min).
	WarnEnter, WarnLeave     float64
	WarnLeaveMS, WarnDwellMS int64
	// Cap is what is spent and reserved, as a share of the budget, at which CAP is entered (default 0.95).
	Cap float64
	// Notify is the share spent at which people are told, once a budget (default 0.8).
	Notify float64
}

// WithDefaults fills in the defaults.
func (r Rules) WithDefaults() Rules {
	for _, d := range []struct {
		value     *float64
		otherwise float64
	}{{&r.PaceStep, 0.1}, {&r.WarnEnter, 1}, {&r.WarnLeave, 0.85}, {&r.Cap, 0.95}, {&r.Notify, 0.8}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if r.WarnLeaveMS == 0 {
		r.WarnLeaveMS = 10 * 60_000
	}
	if r.WarnDwellMS == 0 {
		r.WarnDwellMS = 5 * 60_000
	}
	return r
}

// Validate reports every problem at once.
func (r Rules) Validate() error {
	full := r.WithDefaults()
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("edgebudget: "+format, args...))
	}
	if !(full.PaceStep > 0 && full.PaceStep < 1) {
		bad("pace step %v is not between 0 and 1", full.PaceStep)
	}
	if !(full.WarnLeave > 0 && full.WarnLeave < full.WarnEnter) {
		bad("a warning that is left at %v of the budget and entered at %v has no hysteresis", full.WarnLeave, full.WarnEnter)
	}
	if !(full.Cap > 0 && full.Cap <= 1) {
		bad("cap at %v of the budget is not in (0, 1]", full.Cap)
	}
	if !(full.Notify > 0 && full.Notify <= full.Cap) {
		bad("notice at %v of the budget is not in (0, cap at %v]", full.Notify, full.Cap)
	}
	if full.WarnLeaveMS < 0 || full.WarnDwellMS < 0 {
		bad("times of %d and %d ms in WARN are negative", full.WarnLeaveMS, full.WarnDwellMS)
	}
	return errors.Join(problems...)
}

// Pace is p for the next minute: spent > planned lowers it to p(1−R), else it rises to min(1, p(1+R)).
func (r Rules) Pace(p float64, spent, planned int64) float64 {
	if spent > planned {
		return p * (1 - r.PaceStep)
	}
	return math.Min(1, p*(1+r.PaceStep))
}

// Projection is Ŝ = S + rate·(T−t): what the drop will have spent, with window the spending of the last
// windowMS and leftMS the time to its end. It is the largest int64 where it would exceed it.
func Projection(spent, window, windowMS, leftMS int64) int64 {
	if windowMS <= 0 || leftMS <= 0 || window <= 0 {
		return spent
	}
	var product wide
	product.add(window, leftMS, 1)
	more, err := product.divide(uint64(windowMS))
	if sum := spent + more; err == nil && sum >= spent {
		return sum
	}
	return math.MaxInt64
}

// Standing is one look at a drop's money, in nano-units.
type Standing struct {
	Budget int64
	// Spent is S. Reserved is what requests cost that are in flight, or not billed yet.
	Spent, Reserved int64
	// Projected is Ŝ.
	Projected int64
	// Ended says that the drop is over.
	Ended bool
}

// Guard is the state of a budget's levels. The zero value is a new drop's.
type Guard struct {
	Level Level
	// SinceMS is when Level was entered. BelowMS is since when the projection has stayed at or below the leaving threshold in WARN; 0 when it has not.
	SinceMS, BelowMS int64
	// Budget is the one that the levels are about: raising it unlatches CAP and permits another notice.
	Budget int64
	// Notified says that the notice was given.
	Notified bool
}

// Change is what one look changed.
type Change struct {
	// From and To are equal when the level stayed.
	From, To Level
	// Reason is one sentence for a person; empty when the level stayed.
	Reason string
	// Notify says that the notice is due now.
	Notify bool
}

// Look updates the guard at now (Unix ms), which must not go backwards. A budget of 0 has no levels.
func (g *Guard) Look(r Rules, s Standing, now int64) Change {
	change := Change{From: g.Level, To: g.Level}
	if s.Budget <= 0 {
		*g = Guard{SinceMS: now}
		if change.To = LevelOK; change.From != LevelOK {
			change.Reason = "the drop has no budget any more"
		}
		return change
	}
	enter := func(l Level, reason string) {
		g.Level, g.SinceMS, g.BelowMS = l, now, 0
		change.To, change.Reason = l, reason
	}
	if s.Ended {
		if g.Level != LevelOK {
			enter(LevelOK, "the drop has ended")
		}
		g.Budget = s.Budget
		return change
	}
	raised := s.Budget > g.Budget
	if raised {
		g.Notified = false
	}
	g.Budget = s.Budget
	if !g.Notified && reaches(s.Spent, r.Notify, s.Budget) {
		g.Notified, change.Notify = true, true
	}
	committed := s.Spent + s.Reserved
	if committed < s.Spent {
		committed = math.MaxInt64
	}
	warns := reaches(s.Projected, r.WarnEnter, s.Budget)
	switch {
	case reaches(committed, r.Cap, s.Budget):
		if g.Level != LevelCap {
			enter(LevelCap, "what is spent and reserved reaches the cap")
		}
	case g.Level == LevelCap && !raised:
		// It latches: spending only grows, and a reservation that shrinks frees nothing.
	case g.Level == LevelCap && warns:
		enter(LevelWarn, "the budget was raised, and the projection still reaches it")
	case g.Level == LevelCap:
		enter(LevelOK, "the budget was raised")
	case g.Level == LevelOK && warns:
		enter(LevelWarn, "the projection reaches the budget")
	case g.Level == LevelWarn && !exceeds(s.Projected, r.WarnLeave, s.Budget):
		if g.BelowMS == 0 {
			g.BelowMS = now
		}
		if now-g.BelowMS >= r.WarnLeaveMS && now-g.SinceMS >= r.WarnDwellMS {
			enter(LevelOK, "the projection has stayed well below the budget")
		}
	default:
		g.BelowMS = 0
	}
	return change
}

// reaches says whether amount ≥ share·budget, exceeds whether it is more. Thresholds are multiples of the budget, so they compare as
// millionths in 128 bits: floats would make 0.95·B miss by a nano-unit.
func reaches(amount int64, share float64, budget int64) bool {
	return compare(amount, share, budget) >= 0
}

func exceeds(amount int64, share float64, budget int64) bool {
	return compare(amount, share, budget) > 0
}

func compare(amount int64, share float64, budget int64) int {
	var have, want wide
	have.add(amount, million, 1)
	want.add(budget, int64(math.Round(share*million)), 1)
	switch {
	case have.high != want.high:
		if have.high > want.high {
			return 1
		}
		return -1
	case have.low != want.low:
		if have.low > want.low {
			return 1
		}
		return -1
	}
	return 0
}
