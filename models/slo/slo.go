// Package slo is the arithmetic of service level objectives: burn rates, the
// windows that page or open a ticket, what of an error budget is left, and whether a threshold can be reached at all
// (DOMAIN 7.3). It is pure: counts and times in, numbers and verdicts out.
package slo

import (
	"fmt"
	"math"
)

// Severity is what a firing window asks for.
type Severity uint8

// Page wakes somebody up, a ticket waits for the morning.
const (
	Ticket Severity = iota + 1
	Page
)

// String is page or ticket.
func (s Severity) String() string {
	switch s {
	case Page:
		return "page"
	case Ticket:
		return "ticket"
	}
	return ""
}

// MaxBurn is the burn rate when everything is bad: 1/(1−target). No threshold at or above it can fire.
func MaxBurn(target float64) float64 { return 1 / (1 - target) }

// Burn is how many times faster than allowed the budget is spent: the bad ratio over 1−target. ok is
// false without a valid event, since no data is not the same as no errors.
func Burn(bad, valid uint64, target float64) (burn float64, ok bool) {
	if valid == 0 {
		return 0, false
	}
	return float64(bad) / float64(valid) / (1 - target), true
}

// Factor is the burn rate that spends fraction of the budget of a period within a window of longMS.
func Factor(fraction float64, periodMS, longMS int64) float64 {
	return fraction * float64(periodMS) / float64(longMS)
}

// Remaining is the part of the budget of valid events that bad ones have left: 1 when none is bad, 0 when
// the budget is spent, negative beyond. ok is false without a valid event.
func Remaining(bad, valid uint64, target float64) (remaining float64, ok bool) {
	burn, ok := Burn(bad, valid, target)
	return 1 - burn, ok
}

// Spent is the part of the whole period's budget that is gone after elapsedMS of it, when events go on as evenly as
// they came: the burn rate so far, times the part of the period.
func Spent(bad, valid uint64, target float64, elapsedMS, periodMS int64) (spent float64, ok bool) {
	burn, ok := Burn(bad, valid, target)
	return burn * float64(elapsedMS) / float64(periodMS), ok
}

// TimeToExhaustion is how long (ms) the rest of the period's budget lasts at the burn rate of now: 0 when it is
// spent, +Inf when nothing burns.
func TimeToExhaustion(spent, burn float64, periodMS int64) float64 {
	switch {
	case spent >= 1:
		return 0
	case burn <= 0:
		return math.Inf(1)
	}
	return (1 - spent) * float64(periodMS) / burn
}

// CheckTarget refuses what is no objective: a target outside (0, 1).
func CheckTarget(target float64) error {
	if !(target > 0 && target < 1) {
		return fmt.Errorf("a target of %v is not between 0 and 1", target)
	}
	return nil
}
