package slo

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(b)) }

// TestWindows is the table of DOMAIN 7.3, and what follows from it for other lengths.
func TestWindows(t *testing.T) {
	for _, tt := range []struct {
		name     string
		periodMS int64
		month    bool
		want     string
	}{
		{"30 d", 30 * dayMS, true, "page 1h+5m 14.4; page 6h+30m 6; ticket 1d+2h 3; ticket 3d+6h 1"},
		{"28 d", 28 * dayMS, true, "page 1h+5m 13.44; page 6h+30m 5.6; ticket 1d+2h 2.8; ticket 3d+6h 0.9333"},
		{"48 h", 48 * hourMS, false, "page 15m+75s 9.6; page 1h+5m 4.8; ticket 6h+30m 2"},
		{"24 h", 24 * hourMS, false, "page 15m+75s 4.8; page 1h+5m 2.4; ticket 6h+30m 1"},
		{"36 h", 36 * hourMS, false, "page 15m+75s 7.2; page 1h+5m 3.6; ticket 6h+30m 1.5"},
		{"6 h", 6 * hourMS, false, "page 225s+18750ms 4.8; page 15m+75s 2.4; ticket 90m+450s 1"},
		{"4 d", 4 * dayMS, false, "page 30m+150s 9.6; page 2h+10m 4.8; ticket 12h+1h 2"},
	} {
		var got []string
		windows := FitDrop(DropRules(), tt.periodMS)
		if tt.month {
			windows = Fit(MonthRules(), tt.periodMS)
		}
		for _, w := range windows {
			got = append(got, fmt.Sprintf("%s %s+%s %.4g", w.Severity, span(w.LongMS), span(w.ShortMS), w.Factor))
			if !near(w.Factor, Factor(w.Fraction, tt.periodMS, w.LongMS)) {
				t.Errorf("%s: factor %v, but %v of the budget in %d ms is %v", tt.name, w.Factor, w.Fraction, w.LongMS, Factor(w.Fraction, tt.periodMS, w.LongMS))
			}
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, s, tt.want)
		}
	}
	if got := Factor(0.02, 48*hourMS, hourMS); !near(got, 0.96) {
		t.Errorf("2 %% of 48 h in an hour is a factor of %v, want 0.96", got)
	}
	if got := Longest(FitDrop(DropRules(), 48*hourMS)); got != 6*hourMS {
		t.Errorf("longest window %d ms", got)
	}
}

func TestThresholdsThatCanNeverFire(t *testing.T) {
	if !near(MaxBurn(0.95), 20) || !near(MaxBurn(0.9), 10) {
		t.Errorf("largest burn rates %v and %v, want 20 and 10", MaxBurn(0.95), MaxBurn(0.9))
	}
	month := Fit(MonthRules(), 30*dayMS)
	if err := CheckReachable(month, 0.95); err != nil {
		t.Errorf("14.4 at 95 %%: %v", err)
	}
	err := CheckReachable(month, 0.9)
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || unreachable.Window.Factor != 14.4 || !strings.Contains(err.Error(), "largest factor possible is below 10") {
		t.Errorf("14.4 at 90 %%: %v", err)
	}
	// 14.4 at 95 % needs 72 % bad, no less.
	for bad, fires := range map[uint64]bool{720: false, 721: true} {
		if burn, _ := Burn(bad, 1000, 0.95); (burn > 14.4+1e-9) != fires {
			t.Errorf("%d of 1000 bad burns at %v", bad, burn)
		}
	}
	exact := []Window{{Severity: Page, LongMS: 12, ShortMS: 1, Factor: 10}}
	if CheckReachable(exact, 0.9) == nil {
		t.Error("a factor of exactly 1/(1−target) is accepted")
	}
	for _, target := range []float64{0, 1, -1, 2, math.NaN()} {
		if CheckReachable(month, target) == nil {
			t.Errorf("a target of %v is accepted", target)
		}
	}
}

func TestParseRule(t *testing.T) {
	for _, r := range append(DropRules(), MonthRules()...) {
		text := fmt.Sprintf("%s:%dms:%v", r.Severity, r.LongMS, r.Fraction)
		if got, err := ParseRule(text); err != nil || got != r {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "page", "page:15m", "wake:15m:0.05", "page:soon:0.05", "page:15m:x", "page:15m:0", "page:15m:1.1", "page:-15m:0.1", "page:1ms:0.1", "page:15m:0.05:1", "page:15m:NaN"} {
		if got, err := ParseRule(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestBudget(t *testing.T) {
	if _, ok := Burn(0, 0, 0.95); ok {
		t.Error("no data has a burn rate")
	}
	if _, ok := Remaining(0, 0, 0.95); ok {
		t.Error("no data has a budget")
	}
	for _, tt := range []struct {
		bad, valid uint64
		remaining  float64
	}{{0, 100, 1}, {5, 100, 0}, {2, 100, 0.6}, {15, 100, -2}} {
		if got, ok := Remaining(tt.bad, tt.valid, 0.95); !ok || !near(got, tt.remaining) {
			t.Errorf("%d of %d bad leave %v, want %v", tt.bad, tt.valid, got, tt.remaining)
		}
	}
	// Twice the allowed ratio for a quarter of the drop is half of its budget; the rest lasts another quarter.
	spent, ok := Spent(10, 100, 0.95, 12*hourMS, 48*hourMS)
	if !ok || !near(spent, 0.5) {
		t.Errorf("spent %v", spent)
	}
	if got := TimeToExhaustion(spent, 2, 48*hourMS); !near(got, 12*float64(hourMS)) {
		t.Errorf("lasts %v ms, want 12 h", got)
	}
	if got := TimeToExhaustion(0, 9.6, 48*hourMS); !near(got, 5*float64(hourMS)) {
		t.Errorf("at 9.6 a whole budget lasts %v ms, want 5 h", got)
	}
	if TimeToExhaustion(1, 0, dayMS) != 0 || !math.IsInf(TimeToExhaustion(0.5, 0, dayMS), 1) {
		t.Error("a spent budget lasts, or an unburnt one ends")
	}
}

func TestJudge(t *testing.T) {
	windows := FitDrop(DropRules(), 48*hourMS)
	reading := func(longBad, longValid, shortBad, shortValid uint64) Reading {
		return Reading{Long: Count{longValid, longBad}, Short: Count{shortValid, shortBad}}
	}
	quiet := reading(0, 1000, 0, 100)
	for _, tt := range []struct {
		name     string
		readings []Reading
		fired    int
		judged   int
	}{
		{"all good", []Reading{quiet, quiet, quiet}, -1, 3},
		{"just at the factor", []Reading{reading(48, 100, 48, 100), quiet, quiet}, -1, 3},
		{"above it", []Reading{reading(49, 100, 49, 100), quiet, quiet}, 0, 3},
		{"over already", []Reading{reading(60, 100, 0, 20), quiet, quiet}, -1, 3},
		{"short without data", []Reading{reading(60, 100, 0, 0), quiet, quiet}, -1, 3},
		{"slow page", []Reading{quiet, reading(30, 100, 30, 100), quiet}, 1, 3},
		{"ticket", []Reading{quiet, quiet, reading(11, 100, 11, 100)}, 2, 3},
		{"page before ticket", []Reading{quiet, reading(30, 100, 30, 100), reading(30, 100, 30, 100)}, 1, 3},
		{"49 cues say nothing", []Reading{reading(49, 49, 49, 49), reading(49, 49, 49, 49), quiet}, -1, 1},
		{"50 do", []Reading{reading(50, 50, 4, 4), quiet, quiet}, 0, 3},
		{"no data", make([]Reading, 3), -1, 0},
	} {
		if got := Judge(windows, tt.readings, 0.95, MinValid); got.Fired != tt.fired || got.Judged != tt.judged {
			t.Errorf("%s: %+v, want window %d of %d", tt.name, got, tt.fired, tt.judged)
		}
	}
}

func TestPoolHoldsTheSmallOnesOnly(t *testing.T) {
	windows := FitDrop(DropRules(), 48*hourMS)
	small := []Reading{{Long: Count{30, 20}, Short: Count{3, 2}}, {Long: Count{60, 20}, Short: Count{5, 2}}, {Long: Count{60, 20}}}
	large := []Reading{{Long: Count{500, 0}}, {Long: Count{500, 0}}, {Long: Count{500, 0}}}
	pool := Pool(windows, [][]Reading{small, large, small}, MinValid)
	if pool[0] != (Reading{Long: Count{60, 40}, Short: Count{6, 4}}) || pool[1] != (Reading{}) {
		t.Errorf("pool %+v", pool)
	}
	if v := Judge(windows, pool, 0.95, MinValid); v.Fired != 0 || v.Judged != 1 {
		t.Errorf("pooled: %+v", v)
	}
}
