package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/trend"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// What panels say that are empty.
const (
	notMature      = "No cohort is mature yet: its first age is complete one age after the cohort's end, a week or a day. The numbers are copied every half hour."
	notCopied      = "No cohort yet: the numbers are copied every half hour from the first activity of each member."
	notPredicted   = "No prediction is stored: droplift ltv fits lifetimes to the purchases so far and publishes them."
	notDistributed = "No week is mature yet: the watermark has not passed the end of one and a week more."
)

// cohorts is for whoever asks afterwards what drops were worth.
func cohorts() (Dashboard, error) {
	b := newBoard("droplift-cohorts", "Cohorts and ROI", "What drops were worth: return by drop, lifetime value and retention by cohort where mature, and predicted values beside what was observed.")
	b.builder.Refresh("1m") // cohorts age by days
	b.chooseDrop()
	b.choice("cohort", "Cohorts by", "dashboard_cohort_kinds", false)

	b.row("Return")
	b.sql("Return of drops", size{24, 8}, returns(), named{as: rows, name: "dashboard_drop_roi"})

	b.row("Lifetime value")
	b.sql("Lifetime value by age", size{10, 10}, ageCurve("age", units.Short, "per member, major units", "weeks since acquisition"), named{as: rows, name: "dashboard_ltv_curves"})
	b.sql("Cohorts by age", size{14, 10}, triangle(), named{as: rows, name: "dashboard_ltv_triangle"})
	b.sql("How unevenly the value of a member's first week is spread", size{24, 7}, spread(), named{as: rows, name: "dashboard_ltv_spread"})

	b.row("Retention")
	b.sql("Retention by day of age", size{10, 9}, ageCurve("day", units.PercentUnit, "of all members", "days since acquisition"), named{as: rows, name: "dashboard_retention_curves"})
	b.sql("Retention read-out", size{14, 9}, retention(), named{as: rows, name: "dashboard_retention"})

	b.row("Predicted lifetimes")
	b.sql("Predicted lifetime value", size{24, 8}, predicted(), named{as: rows, name: "dashboard_ltv_predicted"})
	return b.build()
}

func returns() *table.PanelBuilder {
	return cells(map[string][]string{units.PercentUnit: {"margin_of_gross"}}).NoValue("No copy holds a drop of the chosen creators yet: the numbers are copied every five minutes.").
		OverrideByName("margin", colored(units.Short, "red", bound{0, "green"}))
}

// ageCurve has one line per cohort over their age; the older a cohort, the paler.
func ageCurve(x, unitOf, axis, xAxis string) *trend.PanelBuilder {
	return trend.NewPanelBuilder().XField(x).Unit(unitOf).AxisLabel(axis).Min(0).LineWidth(1).NoValue(notMature).
		ShowPoints(common.VisibilityModeAlways).
		OverrideByName("newest", append(unit(unitOf), property("custom.lineWidth", 3))).
		OverrideByName(x, append(unit(units.Short), property("custom.axisLabel", xAxis)))
}

func triangle() *table.PanelBuilder {
	return cells(nil).NoValue(notCopied).
		OverrideByRegexp("/^age /", []dashboard.DynamicConfigValue{
			property("decimals", 2), property("noValue", ""),
			property("color", map[string]any{"mode": "continuous-BlPu"}),
			property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}),
		})
}

func spread() *table.PanelBuilder {
	return cells(map[string][]string{units.PercentUnit: {"payers_share"}}).NoValue(notDistributed).
		OverrideByName("top_share", colored(units.PercentUnit, "green", bound{0.5, "orange"}))
}

func retention() *table.PanelBuilder {
	return cells(nil).NoValue(notCopied).OverrideByRegexp("/^day_/", unit(units.PercentUnit))
}

func predicted() *table.PanelBuilder {
	return cells(map[string][]string{units.PercentUnit: {"alive"}}).NoValue(notPredicted)
}
