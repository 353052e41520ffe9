package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/droplift/droplift/models/lift"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// LiftRow is one number of a drop's lift table, or the reason why there is none.
type LiftRow struct {
	Metric  string `json:"metric"`
	Horizon string `json:"horizon"`
	// Scope is the drop, or the drops that were stacked.
	Scope  string     `json:"scope"`
	Grade  lift.Grade `json:"grade"`
	Method string     `json:"method"`
	// Points is the difference in percentage points, Relative the relative one as a share of 1; nil where there is none.
	Points   *Interval `json:"points_pp"`
	Relative *Interval `json:"relative_rel"`
	// P is two-sided, PermutationP that of reassigning drops to creators; nil where there is none.
	P            *float64 `json:"p"`
	PermutationP *float64 `json:"permutation_p"`
	// N units in all, Treated of them purchasers, offered players or creators with a drop.
	N          uint64 `json:"n"`
	Treated    uint64 `json:"treated"`
	Comparator string `json:"comparator"`
	// Baseline is the comparator's rate, or the creators' mean level before; Balance the standardised
	// difference of the groups in the window before.
	Baseline *float64 `json:"baseline"`
	Balance  *float64 `json:"balance"`
	// Maturity is final, or provisional until MaturesAt: then there is no number yet.
	Maturity  string    `json:"maturity"`
	MaturesAt time.Time `json:"matures_at"`
	// Wording is all that the grade allows to be said; Statement says it of the number, "" without one.
	Wording   string `json:"wording"`
	Statement string `json:"statement"`
	Note      string `json:"note"`

	// fromDay and toDay are the window in days after the drop's start; that of returns ends toDay days after the drop's end.
	fromDay, toDay int
}

// Interval is an estimate with its interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// pointsOf turns a difference of rates into percentage points.
func pointsOf(e lift.Estimate) *Interval {
	return &Interval{100 * e.Value, 100 * e.Low, 100 * e.High}
}

// LiftOptions are the choices behind the numbers.
type LiftOptions struct {
	Horizons      []int   `help:"Return horizons in days." default:"1,7,28"`
	Confidence    float64 `help:"Confidence of intervals." default:"0.95"`
	PretrendAlpha float64 `help:"Below this p the groups moved apart before the drop already, and differences in differences are withheld." default:"0.05"`
	RatioAlpha    float64 `help:"Below this p the arms of a holdout are not as large as planned, and its estimates are withheld." default:"0.001"`
	BackDays      int     `help:"Drops that started this many days before are stacked with this one for creators." default:"90"`
	Assignments   int     `help:"Permutation tests look at every assignment up to so many, and else draw that many." default:"20000"`
	Seed          uint64  `help:"Of the draws." default:"1"`

	// asOf is the watermark to take, in Unix ms; 0 takes that of the stored events.
	asOf int64
}

// Validate reports every problem at once.
func (o *LiftOptions) Validate() error {
	var problems []error
	check := func(ok bool, flag, what string) {
		if !ok {
			problems = append(problems, fmt.Errorf("--%s %s", flag, what))
		}
	}
	check(len(o.Horizons) > 0, "horizons", "names no horizon")
	for _, days := range o.Horizons {
		check(days >= 1 && days <= 365, "horizons", fmt.Sprintf("holds %d, which is outside 1 to 365", days))
	}
	check(o.Confidence > 0.5 && o.Confidence < 1, "confidence", "is outside (0.5, 1)")
	check(o.PretrendAlpha > 0 && o.PretrendAlpha < 1, "pretrend-alpha", "is outside (0, 1)")
	check(o.RatioAlpha > 0 && o.RatioAlpha < 1, "ratio-alpha", "is outside (0, 1)")
	check(o.BackDays >= 0 && o.BackDays <= 3650, "back-days", "is outside 0 to 3650")
	check(o.Assignments >= 1 && o.Assignments <= 10_000_000, "assignments", "is outside 1 to 10,000,000")
	return errors.Join(problems...)
}

// measureLift asks ClickHouse for the counts of a drop and computes every grade that
// they allow (DOMAIN 4). A grade that they do not allow is a row that says why.
func measureLift(ctx context.Context, client *clickhouse.Client, drop string, lateness time.Duration, o LiftOptions) ([]LiftRow, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	known, err := client.Query(ctx, "drop_entry", clickhouse.Params{"drop": drop})
	if err != nil {
		return nil, err
	}
	if len(known.Rows) == 0 {
		return nil, unknownDrop(drop)
	}
	var rows []LiftRow
	for _, days := range o.Horizons {
		params := clickhouse.Params{"drop": drop, "days": days, "lateness_ms": lateness.Milliseconds(), "watermark_ms": o.asOf}
		arms, err := client.Query(ctx, "lift_holdout", params)
		if err != nil {
			return nil, err
		}
		rows = append(rows, o.holdout(drop, days, readHoldout(arms))...)
		returns, err := client.Query(ctx, "lift_retention", params)
		if err != nil {
			return nil, err
		}
		rows = append(rows, o.returns(drop, readReturns(returns, days))...)
	}
	creators, err := client.Query(ctx, "lift_creators", clickhouse.Params{"drop": drop, "back_days": o.BackDays,
		"lateness_ms": lateness.Milliseconds(), "watermark_ms": o.asOf})
	if err != nil {
		return nil, err
	}
	return append(rows, o.creators(drop, readCreators(creators))...), nil
}

// Maturity of a row, as DOMAIN 0 names it.
const (
	final       = "final"
	provisional = "provisional"
)

// settleLift completes a row: its words, and its statement if there is a number to state.
func settleLift(r LiftRow) LiftRow {
	var err error
	if r.Wording, err = lift.Describe(r.Grade, ""); err != nil {
		panic(err) // every row is given a grade where it is made
	}
	if r.Relative == nil {
		return r
	}
	var said strings.Builder
	fmt.Fprintf(&said, "%s, %s: ", r.Metric, r.Horizon)
	if r.Points != nil {
		fmt.Fprintf(&said, "%+.2f pp [%+.2f, %+.2f], ", r.Points.Value, r.Points.Low, r.Points.High)
	}
	fmt.Fprintf(&said, "%+.1f %% relative [%+.1f, %+.1f] against %s, n = %d", 100*r.Relative.Value, 100*r.Relative.Low, 100*r.Relative.High, r.Comparator, r.N)
	if r.Statement, err = lift.Describe(r.Grade, said.String()); err != nil {
		// Better no sentence than one that claims too much.
		r.Statement, r.Note = "", join(r.Note, err.Error())
	}
	return r
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

func ptr(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// explainTooFew turns an estimator's refusal into a note.
func explainTooFew(err error, what string) string {
	if errors.Is(err, lift.ErrTooFew) {
		return "not enough data: " + what
	}
	return err.Error()
}

const returnMetric = "return"

func horizonName(days int) string { return fmt.Sprintf("D%d", days) }

// returns computes grades C, D and E.
func (o LiftOptions) returns(drop string, c returnCounts) []LiftRow {
	base := LiftRow{Metric: returnMetric, Horizon: horizonName(c.days), Scope: drop, Maturity: provisional, MaturesAt: c.matures, toDay: max(c.days, 2)}
	var treated, control, treatedBefore, controlBefore lift.Proportion
	var panel, trend [2]lift.Group
	strata := map[string]*lift.Stratum{}
	var order []string
	for _, cell := range c.cells {
		s := strata[cell.stratum]
		if s == nil {
			s = &lift.Stratum{}
			strata[cell.stratum] = s
			order = append(order, cell.stratum)
		}
		now, before := lift.Proportion{N: cell.n, Hits: cell.returned}, lift.Proportion{N: cell.n, Hits: cell.before}
		group := 0
		if cell.purchaser {
			group, s.Treated = 1, now
			treated, treatedBefore = sum(treated, now), sum(treatedBefore, before)
		} else {
			s.Control = now
			control, controlBefore = sum(control, now), sum(controlBefore, before)
		}
		panel[group] = sumGroups(panel[group], cell.panel)
		trend[group] = sumGroups(trend[group], cell.trend)
	}
	base.N, base.Treated = uint64(treated.N+control.N), uint64(treated.N)
	did, matched, raw := base, base, base
	did.Grade, did.Method, did.Comparator = lift.QuasiDID, "difference in differences", "other visitors' change, known before"
	matched.Grade, matched.Method, matched.Comparator = lift.Matched, "coarsened exact matching", "other visitors alike before"
	raw.Grade, raw.Method, raw.Comparator = lift.Descriptive, "raw difference", "other visitors, pseudo-index"
	if !c.mature {
		if len(c.cells) == 0 {
			did.Note, matched.Note, raw.Note = "nobody visited", "nobody visited", "nobody visited"
		}
		return []LiftRow{settleLift(did), settleLift(matched), settleLift(raw)}
	}
	did.Maturity, matched.Maturity, raw.Maturity = final, final, final
	raw.Balance = ptr(lift.Balance(treatedBefore, controlBefore))

	o.did(&did, panel, trend)

	var list []lift.Stratum
	for _, name := range order {
		list = append(list, *strata[name])
	}
	if m, err := lift.CoarsenedExact(list, o.Confidence); err != nil {
		matched.Note = explainTooFew(err, "no stratum holds both purchasers and others")
	} else {
		matched.N, matched.Treated = uint64(m.Treated+m.Control), uint64(m.Treated)
		matched.Points, matched.P, matched.Baseline = pointsOf(m.Estimate), ptr(m.P), ptr(m.ControlRate)
		matched.Relative = relativeTo(m.Estimate, m.ControlRate)
		matched.Note = fmt.Sprintf("%.1f %% of purchasers matched in %d strata", 100*m.Share, m.Strata)
	}

	d, err := lift.Difference(treated, control, o.Confidence)
	rr, errRatio := lift.RiskRatio(treated, control, o.Confidence)
	if err = errors.Join(err, errRatio); err != nil {
		raw.Note = explainTooFew(err, "nobody returned on one side")
	} else {
		raw.Points, raw.P, raw.Baseline = pointsOf(d), ptr(d.P), ptr(control.Rate())
		raw.Relative = &Interval{rr.Value - 1, rr.Low - 1, rr.High - 1}
		raw.Note = fmt.Sprintf("E-value %.2f, at the limit %.2f", lift.EValue(rr.Value), lift.EValueLimit(rr))
	}
	return []LiftRow{settleLift(did), settleLift(matched), settleLift(raw)}
}

// did is grade C, withheld unless the pre-trend test could be made and passed.
func (o LiftOptions) did(r *LiftRow, panel, trend [2]lift.Group) {
	r.N, r.Treated = uint64(panel[0].N+panel[1].N), uint64(panel[1].N)
	r.Balance = ptr(lift.Balance(lift.Proportion{N: panel[1].N, Hits: panel[1].Before}, lift.Proportion{N: panel[0].N, Hits: panel[0].Before}))
	placebo, passed, err := lift.PreTrend(trend[1].Change(), trend[0].Change(), o.PretrendAlpha)
	if err != nil {
		r.Note = explainTooFew(err, "the pre-trend test needs players known for two windows before")
		return
	}
	r.Note = fmt.Sprintf("pre-trend %+.2f pp, p = %.3f", 100*placebo.Value, placebo.P)
	if !passed {
		r.Note = "withheld: the groups moved apart before the drop already; " + r.Note
		return
	}
	e, err := lift.DID(panel[1].Change(), panel[0].Change(), o.Confidence)
	if err != nil {
		r.Note = join(r.Note, explainTooFew(err, "too few players known before"))
		return
	}
	without, _ := lift.Counterfactual(panel[1].After/panel[1].N, e.Value)
	r.Points, r.P, r.Baseline, r.Relative = pointsOf(e), ptr(e.P), ptr(without), relativeTo(e, without)
}

// relativeTo divides an estimate by a baseline that is taken as given.
func relativeTo(e lift.Estimate, baseline float64) *Interval {
	if !(baseline > 0) {
		return nil
	}
	return &Interval{e.Value / baseline, e.Low / baseline, e.High / baseline}
}

func sum(a, b lift.Proportion) lift.Proportion {
	return lift.Proportion{N: a.N + b.N, Hits: a.Hits + b.Hits}
}

func sumGroups(a, b lift.Group) lift.Group {
	return lift.Group{N: a.N + b.N, Before: a.Before + b.Before, After: a.After + b.After, Both: a.Both + b.Both}
}

// holdout computes grades A and B of every experiment that withholds the offer.
func (o LiftOptions) holdout(drop string, days int, arms []holdoutArm) []LiftRow {
	base := LiftRow{Metric: returnMetric, Horizon: horizonName(days), Scope: drop, Maturity: provisional, toDay: max(days, 2)}
	var rows []LiftRow
	for len(arms) > 0 {
		n := 1
		for n < len(arms) && arms[n].experiment == arms[0].experiment {
			n++
		}
		rows = append(rows, o.experiment(base, arms[:n])...)
		arms = arms[n:]
	}
	if len(rows) > 0 {
		return rows
	}
	itt, cace := base, base
	itt.Grade, itt.Method, itt.Note = lift.RandomizedITT, "two proportions", "no experiment of the drop has a holdout"
	cace.Grade, cace.Method, cace.Note = lift.RandomizedCACE, "instrument", itt.Note
	return []LiftRow{settleLift(itt), settleLift(cace)}
}

func (o LiftOptions) experiment(base LiftRow, arms []holdoutArm) []LiftRow {
	var offered lift.Offer
	var held lift.Proportion
	var pairs [2]lift.Paired
	var counts, shares []float64
	heldBuyers := 0.0
	base.Maturity, base.MaturesAt = final, arms[0].matures
	base.Comparator = "visitors held out at random (" + arms[0].experiment + ")"
	for _, a := range arms {
		if !a.mature {
			base.Maturity = provisional
		}
		counts, shares = append(counts, a.n), append(shares, a.bps)
		p := lift.Proportion{N: a.n, Hits: a.returned}
		group := 1
		if a.held {
			group, held = 0, sum(held, p)
			heldBuyers += a.bought
		} else {
			offered.Proportion = sum(offered.Proportion, p)
			offered.Bought += a.bought
			offered.Both += a.both
		}
		q := &pairs[group]
		q.N, q.X, q.Y, q.X2, q.Y2, q.XY = q.N+a.n, q.X+a.x, q.Y+a.returned, q.X2+a.x2, q.Y2+a.returned, q.XY+a.xy
	}
	base.N, base.Treated = uint64(offered.N+held.N), uint64(offered.N)
	itt, cuped, cace := base, base, base
	itt.Grade, itt.Method = lift.RandomizedITT, "two proportions"
	cuped.Grade, cuped.Method = lift.RandomizedITT, "CUPED by sessions before"
	cace.Grade, cace.Method = lift.RandomizedCACE, "instrument"
	rows := func() []LiftRow { return []LiftRow{settleLift(itt), settleLift(cuped), settleLift(cace)} }
	if p := lift.SampleRatio(counts, shares); p < o.RatioAlpha {
		why := fmt.Sprintf("withheld: the arms are not as large as planned, p = %.2g", p)
		itt.Note, cuped.Note, cace.Note = why, why, why
		return rows()
	}
	if base.Maturity != final {
		return rows()
	}
	e, err := lift.Difference(offered.Proportion, held, o.Confidence)
	rr, errRatio := lift.RiskRatio(offered.Proportion, held, o.Confidence)
	if err = errors.Join(err, errRatio); err != nil {
		itt.Note = explainTooFew(err, "nobody returned in one arm")
		cuped.Note, cace.Note = itt.Note, itt.Note
		return rows()
	}
	itt.Points, itt.P, itt.Baseline = pointsOf(e), ptr(e.P), ptr(held.Rate())
	itt.Relative = &Interval{rr.Value - 1, rr.Low - 1, rr.High - 1}
	if c, err := lift.CUPED(pairs[1], pairs[0], o.Confidence); err != nil {
		cuped.Note = explainTooFew(err, "no variation")
	} else {
		cuped.Points, cuped.P, cuped.Baseline, cuped.Relative = pointsOf(c.Estimate), ptr(c.P), ptr(held.Rate()), relativeTo(c.Estimate, held.Rate())
		cuped.Note = fmt.Sprintf("variance down by %.0f %%", 100*c.Rho2)
	}
	if heldBuyers > 0 {
		cace.Note = fmt.Sprintf("withheld: %.0f of the held out bought", heldBuyers)
		return rows()
	}
	c, err := lift.CACE(offered, held, o.Confidence)
	if err != nil {
		cace.Note = explainTooFew(err, "nobody bought")
		return rows()
	}
	cace.Treated = uint64(offered.Bought)
	without, _ := lift.Counterfactual(offered.Both/offered.Bought, c.Value)
	cace.Points, cace.P, cace.Baseline, cace.Relative = pointsOf(c), ptr(c.P), ptr(without), relativeTo(c, without)
	return rows()
}
