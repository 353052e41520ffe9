package main

import (
	"math"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/lift"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// returnCounts are the answer of lift_retention for one horizon.
type returnCounts struct {
	days    int
	mature  bool
	matures time.Time
	cells   []returnCell
}

// returnCell is one group in one stratum. Only n is known before the horizon is mature.
type returnCell struct {
	purchaser bool
	stratum   string
	// n players, of whom returned came back and before had been there in the window before.
	n, returned, before float64
	// panel compares before with after, trend the window before that with before.
	panel, trend lift.Group
}

// holdoutArm is one row of lift_holdout.
type holdoutArm struct {
	experiment, variant string
	held                bool
	bps                 float64
	n, returned         float64
	bought, both        float64
	x, x2, xy           float64
	mature              bool
	matures             time.Time
}

// creatorChange is one row of lift_creators, revenue in major units per 1,000 followers and week.
type creatorChange struct {
	drop, creator           string
	treated, subject        bool
	cleanFirst, cleanLater  bool
	covered                 bool
	active, revenue, halo   outcome
	matureFirst, matureLate bool
	firstMatures            time.Time
	laterMatures            time.Time
}

// outcome is what a creator had per week before, in the halves of before, and in the two windows after.
type outcome struct{ before, early, late, first, later float64 }

func readReturns(t *clickhouse.Table, days int) returnCounts {
	c := returnCounts{days: days}
	for i := range t.Rows {
		r := row{t, i}
		c.mature, c.matures = r.truth("mature"), r.moment("matures_at")
		c.cells = append(c.cells, returnCell{
			purchaser: r.truth("purchaser"),
			stratum:   r.text("sessions_before") + "/" + r.text("follower") + "/" + r.text("tenure"),
			n:         r.float("n"), returned: r.float("returned"), before: r.float("before"),
			panel: lift.Group{N: r.float("panel_n"), Before: r.float("panel_before"), After: r.float("panel_after"), Both: r.float("panel_both")},
			trend: lift.Group{N: r.float("trend_n"), Before: r.float("trend_earlier"), After: r.float("trend_before"), Both: r.float("trend_both")},
		})
	}
	return c
}

func readHoldout(t *clickhouse.Table) []holdoutArm {
	var arms []holdoutArm
	for i := range t.Rows {
		r := row{t, i}
		arms = append(arms, holdoutArm{
			experiment: r.text("experiment"), variant: r.text("variant"), held: r.truth("held"), bps: r.float("bps"),
			n: r.float("n"), returned: r.float("returned"), bought: r.float("bought"), both: r.float("both"),
			x: r.float("sum_x"), x2: r.float("sum_x2"), xy: r.float("sum_xy"),
			mature: r.truth("mature"), matures: r.moment("matures_at"),
		})
	}
	return arms
}

func readCreators(t *clickhouse.Table) []creatorChange {
	var changes []creatorChange
	for i := range t.Rows {
		r := row{t, i}
		digits, _ := event.CurrencyDigits(r.text("reporting_currency"))
		// Net revenue below zero counts as none: a logarithm follows.
		perThousand := func(column string) float64 {
			return max(0, r.float(column)) / math.Pow10(digits) / r.float("followers") * 1000
		}
		changes = append(changes, creatorChange{
			drop: r.text("drop_id"), creator: r.text("creator_id"), treated: r.truth("treated"), subject: r.truth("subject"),
			cleanFirst: r.truth("clean_first"), cleanLater: r.truth("clean_later"), covered: r.truth("covered"),
			active: outcome{r.float("active_before"), r.float("active_early"), r.float("active_late"), r.float("active_first"), r.float("active_later")},
			revenue: outcome{perThousand("revenue_before"), perThousand("revenue_early"), perThousand("revenue_late"),
				perThousand("revenue_first"), perThousand("revenue_later")},
			halo: outcome{perThousand("revenue_before"), perThousand("revenue_early"), perThousand("revenue_late"),
				perThousand("halo_first"), perThousand("halo_later")},
			matureFirst: r.truth("mature_first"), matureLate: r.truth("mature_later"),
			firstMatures: r.moment("first_matures_at"), laterMatures: r.moment("later_matures_at"),
		})
	}
	return changes
}
