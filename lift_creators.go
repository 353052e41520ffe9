package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/droplift/droplift/models/lift"
)

// creatorWindow is one of the two windows after a drop's start.
type creatorWindow struct {
	name string
	// from and to are days after the start.
	from, to int

	of     func(*outcome) float64
	clean  func(*creatorChange) bool
	mature func(*creatorChange) bool
	due    func(*creatorChange) time.Time
}

var creatorWindows = []creatorWindow{
	{"[0 d, 7 d)", 0, 7, func(o *outcome) float64 { return o.first }, func(c *creatorChange) bool { return c.cleanFirst },
		func(c *creatorChange) bool { return c.matureFirst }, func(c *creatorChange) time.Time { return c.firstMatures }},
	{"[7 d, 28 d)", 7, 28, func(o *outcome) float64 { return o.later }, func(c *creatorChange) bool { return c.cleanLater },
		func(c *creatorChange) bool { return c.matureLate }, func(c *creatorChange) time.Time { return c.laterMatures }},
}

var creatorOutcomes = []struct {
	metric string
	of     func(*creatorChange) *outcome
}{
	{"weekly active followers", func(c *creatorChange) *outcome { return &c.active }},
	{"revenue per 1,000 followers", func(c *creatorChange) *outcome { return &c.revenue }},
	{"revenue per 1,000 followers without the drop's own", func(c *creatorChange) *outcome { return &c.halo }},
}

// creators computes creator uplift, of the drop alone and stacked with the drops before it.
func (o LiftOptions) creators(drop string, all []creatorChange) []LiftRow {
	var own []creatorChange
	for _, c := range all {
		if c.subject {
			own = append(own, c)
		}
	}
	var rows []LiftRow
	for _, window := range creatorWindows {
		for _, outcome := range creatorOutcomes {
			row := LiftRow{Metric: outcome.metric, Horizon: window.name, Scope: drop, fromDay: window.from, toDay: window.to}
			rows = append(rows, settleLift(o.creator(row, own, window, outcome.of)))
			if len(all) > len(own) {
				row.Scope = fmt.Sprintf("drops of %d d", o.BackDays)
				rows = append(rows, settleLift(o.creator(row, all, window, outcome.of)))
			}
		}
	}
	return rows
}

// creator is one row: the clean comparisons of the drops that are mature.
func (o LiftOptions) creator(r LiftRow, changes []creatorChange, window creatorWindow, of func(*creatorChange) *outcome) LiftRow {
	r.Grade, r.Method, r.Maturity = lift.QuasiDID, "difference in differences of ln(1+x)", final
	r.Comparator = "creators without a drop in the windows"
	var effect, placebo []lift.Comparison
	var baseline, weight float64
	left := map[string]int{}
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].drop == changes[0].drop {
			n++
		}
		this := changes[:n]
		changes = changes[n:]
		treated := -1
		for i := range this {
			if this[i].treated {
				treated = i
			}
		}
		if !window.mature(&this[0]) {
			left["not mature yet"]++
			r.Maturity, r.MaturesAt = provisional, window.due(&this[0])
			continue
		}
		switch {
		case treated < 0:
			left["without activity of the creator before"]++
			continue
		case !this[0].covered:
			left["with events missing before"]++
			continue
		case !window.clean(&this[treated]):
			left["of a creator with another drop nearby"]++
			continue
		}
		e, p := lift.Comparison{Name: this[0].drop}, lift.Comparison{Name: this[0].drop}
		for i := range this {
			c := &this[i]
			x := of(c)
			if !window.clean(c) || !(c.active.before > 0) {
				continue
			}
			u := lift.Unit{Name: c.creator, Treated: c.treated, Pre: x.before, Post: window.of(x), Weight: c.active.before}
			e.Units = append(e.Units, u)
			u.Pre, u.Post = x.early, x.late
			p.Units = append(p.Units, u)
			if c.treated {
				baseline += c.active.before * x.before
				weight += c.active.before
			}
		}
		effect, placebo = append(effect, e), append(placebo, p)
	}
	for _, why := range slices.Sorted(maps.Keys(left)) {
		r.Note = join(r.Note, english.Plural(left[why], "drop", "")+" "+why)
	}
	if len(effect) == 0 {
		r.Note = cmp.Or(r.Note, "no activity of a creator is stored")
		return r
	}
	r.Maturity = final
	u, err := lift.Uplift(effect, o.Confidence, o.Assignments, o.Seed)
	if err != nil {
		r.Note = join(r.Note, explainTooFew(err, "at least four creators, two of them without a drop nearby"))
		return r
	}
	r.N, r.Treated = uint64(u.Treated+u.Controls), uint64(u.Treated)
	before, err := lift.Uplift(placebo, o.Confidence, o.Assignments, o.Seed)
	if err != nil {
		r.Note = join(r.Note, explainTooFew(err, "the pre-trend test has no variation"))
		return r
	}
	r.Note = join(r.Note, fmt.Sprintf("pre-trend %+.1f %%, p = %.3f", 100*before.Exp().Value, before.P))
	if before.P <= o.PretrendAlpha {
		r.Note = join("withheld: the creators moved apart before the drop already", r.Note)
		return r
	}
	uplift := u.Exp()
	r.Relative, r.P, r.PermutationP, r.Baseline = &Interval{uplift.Value, uplift.Low, uplift.High}, ptr(u.P), ptr(u.PermutationP), ptr(baseline/weight)
	return r
}
