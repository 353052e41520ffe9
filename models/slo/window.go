package slo

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Window fires when the burn rate exceeds Factor over both of its lengths: the long one says that it matters, the
// short one that it is still going on.
type Window struct {
	Severity Severity
	// LongMS and ShortMS are the lengths in ms; ShortMS = LongMS/12.
	LongMS, ShortMS int64
	// Fraction of the period's budget that is gone when the burn rate has been Factor for LongMS.
	Fraction float64
	Factor   float64
}

const (
	minuteMS = 60_000
	hourMS   = 60 * minuteMS
	dayMS    = 24 * hourMS
)

// Rule is a window before it is fitted to a period: Fraction of the budget, spent within LongMS.
type Rule struct {
	Severity Severity
	LongMS   int64
	Fraction float64
}

// MonthRules are the SRE workbook's, for periods of weeks.
func MonthRules() []Rule {
	return []Rule{{Page, hourMS, 0.02}, {Page, 6 * hourMS, 0.05}, {Ticket, dayMS, 0.10}, {Ticket, 3 * dayMS, 0.10}}
}

// DropRules are for periods of days, where the monthly ones mean too little: 2 % in an hour is a factor of 0.96 in 48 h.
func DropRules() []Rule {
	return []Rule{{Page, 15 * minuteMS, 0.05}, {Page, hourMS, 0.10}, {Ticket, 6 * hourMS, 0.25}}
}

// The periods in which a drop's windows are as long as their rules say.
const (
	shortestDropMS = dayMS
	longestDropMS  = 2 * dayMS
)

// LongestDropMS is the period at which the factors of drops are highest: what can fire there can fire in every drop.
const LongestDropMS = longestDropMS

// Fit makes the rules windows of an objective over periodMS.
func Fit(rules []Rule, periodMS int64) []Window { return fit(rules, periodMS, periodMS) }

// FitDrop makes the rules windows for a drop of periodMS. Drops under 24 h shrink them and drops over 48 h stretch them, so
// that the factors stay between those of 24 h (4.8, 2.4, 1.0) and of 48 h (9.6, 4.8, 2.0): lower ones would alarm within
// the budget, higher ones could not be reached.
func FitDrop(rules []Rule, periodMS int64) []Window {
	return fit(rules, periodMS, min(max(periodMS, shortestDropMS), longestDropMS))
}

// fit scales the rules, which are meant for a period of written ms.
func fit(rules []Rule, periodMS, written int64) []Window {
	windows := make([]Window, len(rules))
	for i, r := range rules {
		long := int64(math.Round(float64(r.LongMS) * float64(periodMS) / float64(written)))
		windows[i] = Window{
			Severity: r.Severity, LongMS: long, ShortMS: long / 12, Fraction: r.Fraction,
			Factor: Factor(r.Fraction, written, r.LongMS),
		}
	}
	return windows
}

// ParseRule reads page:15m:0.05, which is severity, length of the long window and fraction of the budget.
func ParseRule(text string) (Rule, error) {
	bad := func() (Rule, error) {
		return Rule{}, fmt.Errorf("%q is not like page:15m:0.05: page or ticket, the long window, the fraction of the budget that is gone after it", text)
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return bad()
	}
	r := Rule{}
	for _, s := range []Severity{Page, Ticket} {
		if parts[0] == s.String() {
			r.Severity = s
		}
	}
	long, err := time.ParseDuration(parts[1])
	fraction, err2 := strconv.ParseFloat(parts[2], 64)
	if r.Severity == 0 || err != nil || err2 != nil || long < 12*time.Millisecond || !(fraction > 0 && fraction <= 1) {
		return bad()
	}
	r.LongMS, r.Fraction = long.Milliseconds(), fraction
	return r, nil
}

// Longest is the longest long window in ms.
func Longest(windows []Window) (ms int64) {
	for _, w := range windows {
		ms = max(ms, w.LongMS)
	}
	return ms
}

// UnreachableError is a threshold that no outage can reach.
type UnreachableError struct {
	Window Window
	Target float64
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the %s window of %s fires above a burn rate of %.4g, but with a target of %g the burn rate is at most %.4g, when everything is bad: "+
		"it can never fire; the largest factor possible is below %.4g", e.Window.Severity, span(e.Window.LongMS), e.Window.Factor, e.Target, MaxBurn(e.Target), MaxBurn(e.Target))
}

// CheckReachable refuses every window that can never fire, each with an *UnreachableError.
func CheckReachable(windows []Window, target float64) error {
	if err := CheckTarget(target); err != nil {
		return err
	}
	var problems []error
	for _, w := range windows {
		if w.Factor >= MaxBurn(target)*(1-1e-12) { // 1/(1−0.9) is a hair above 10
			problems = append(problems, &UnreachableError{Window: w, Target: target})
		}
	}
	return errors.Join(problems...)
}

// span is ms as a person writes it.
func span(ms int64) string {
	for _, unit := range []struct {
		ms   int64
		name string
	}{{dayMS, "d"}, {hourMS, "h"}, {minuteMS, "m"}, {1000, "s"}} {
		if ms >= unit.ms && ms%unit.ms == 0 {
			return fmt.Sprintf("%d%s", ms/unit.ms, unit.name)
		}
	}
	return fmt.Sprintf("%dms", ms)
}
