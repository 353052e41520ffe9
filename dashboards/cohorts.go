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
	notCompared    = "No prediction has been compared yet: droplift ltv fit publishes predictions, and what came since is copied every half hour."
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
	b.sql("Predicted lifetime value", size{24, 6}, predicted(), named{as: rows, name: "dashboard_ltv_predicted"})
	b.sql("Predicted against observed", size{24, 9}, calibrated(), named{as: rows, name: "dashboard_ltv_calibration"})
	return b.build()
}

func returns() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"margin_of_gross"}}).NoValue("No copy holds a drop of the chosen creators yet: the numbers are copied every five minutes.").
		OverrideByName("margin", colored(units.Short, "red", bound{0, "green"}))
	return headed(t, map[string]string{"drop_id": "drop", "name": "", "net_revenue": "net", "creator_shares": "to creators", "tax_and_fees": "tax and fees",
		"edge_cost": "edge", "localization_cost": "localization", "margin_of_gross": "of gross", "not_recorded": "not recorded"})
}

// ageCurve has one line per cohort over their age; the older a cohort, the paler.
func ageCurve(x, unitOf, axis, xAxis string) *trend.PanelBuilder {
	return trend.NewPanelBuilder().XField(x).Unit(unitOf).AxisLabel(axis).Min(0).LineWidth(1).NoValue(notMature).
		ShowPoints(common.VisibilityModeAlways).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		OverrideByName("newest", append(unit(unitOf), property("custom.lineWidth", 3))).
		OverrideByName(x, append(unit(units.Short), property("custom.axisLabel", xAxis)))
}

func triangle() *table.PanelBuilder {
	t := cells(nil).NoValue(notCopied).
		OverrideByRegexp("/^age /", []dashboard.DynamicConfigValue{
			property("decimals", 2), property("custom.width", 78),
			// Each age by itself: value adds up, so that all cohorts grow with age.
			property("fieldMinMax", true), property("color", map[string]any{"mode": "continuous-YlBl"}),
			property("mappings", []map[string]any{{"type": "special", "options": map[string]any{"match": "null", "result": map[string]any{"text": "not yet", "color": "transparent", "index": 0}}}}),
			property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}),
		})
	return headed(t, map[string]string{"next_mature": "next mature", "reporting_currency": "currency", "watermark": ""})
}

func spread() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"payers_share"}}).NoValue(notDistributed).
		OverrideByName("top_share", colored(units.PercentUnit, "green", bound{0.5, "orange"}))
	return headed(t, map[string]string{"payers_share": "paid", "winsorised_mean": "mean without the top 1 %", "top_share": "from the top 1 %", "reporting_currency": "currency"})
}

func retention() *table.PanelBuilder {
	t := cells(nil).NoValue(notCopied).OverrideByRegexp("/^day_/", append(unit(units.PercentUnit), property("decimals", 1)))
	return headed(t, map[string]string{"day_1": "day 1", "day_1_low": "at least", "day_1_high": "at most", "day_7": "day 7", "day_7_low": "at least ", "day_7_high": "at most ",
		"day_28": "day 28", "day_28_low": "", "day_28_high": "", "mature_days": "mature days"})
}

func predicted() *table.PanelBuilder {
	return headed(cells(map[string][]string{units.PercentUnit: {"alive"}}).NoValue(notPredicted), map[string]string{"repeats": "bought again", "as_of": "fitted"})
}

func calibrated() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"passed"}}).NoValue(notCompared).
		OverrideByName("verdict", words(map[string]word{"as predicted": {color: "green"}, "too young": {color: "text"}, "more came": {color: "orange"}, "fewer came": {color: "orange"}})).
		OverrideByRegexp("/^(predicted|observed|low|high|so_far|predicted_spend|observed_spend)$/", []dashboard.DynamicConfigValue{property("decimals", 2)})
	return headed(t, map[string]string{"low": "at least", "high": "at most", "passed": "of the horizon is over", "so_far": "came so far", "predicted_spend": "predicted spend", "observed_spend": "observed spend"})
}
