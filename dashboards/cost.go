package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// cost is what a drop spends at the edge and what is done about it.
func cost() (Dashboard, error) {
	b := newBoard("droplift-cost", "Edge cost", "What a drop spends at the edge against its plan and budget, by POP and creator, and what was decided because of it.")
	b.chooseDrop()
	b.choosePOP()

	b.row("Budget")
	b.sql("Budget at a glance", size{24, 5}, budgetStats(), named{as: rows, name: "dashboard_cost_state"})
	b.sql("Spent against plan", size{16, 9}, pacingGraph(), named{as: series, name: "dashboard_cost_pacing"})
	b.sql("Pace", size{8, 9}, against(line(units.PercentUnit, "of the optional work").Max(1).LineInterpolation(common.LineInterpolationStepAfter),
		thresholds("orange", bound{1, "green"})), named{as: series, name: "dashboard_cost_pace"})
	b.sql("Budget level and shedding", size{24, 6}, states(map[string]word{
		"ok": {"ok", "green"}, "warn": {"warn", "orange"}, "cap": {"cap", "red"}, "no_price_list": {"no price list", "gray"}, "none": {"nothing shed", "green"},
	}), named{as: rows, name: "dashboard_cost_levels"})

	b.row("Where it goes")
	b.sql("Edge cost by POP", size{12, 9}, costLines("per minute", "${__field.labels.pop} ${__field.labels.currency}").MaxDataPoints(96), named{as: series, name: "dashboard_cost_by_pop"})
	b.sql("Edge cost per conversion", size{12, 9}, costLines("per conversion", "${__field.labels.currency}").MaxDataPoints(48), named{as: series, name: "dashboard_cost_per_conversion"})
	b.sql("POPs by cost", size{24, 8}, costTable(), named{as: rows, name: "dashboard_cost_pops"})
	b.sql("Creators by cost", size{24, 8}, costTable(), named{as: rows, name: "dashboard_cost_creators"})

	b.row("Decisions")
	b.sql("Replicas", size{24, 8}, replicasGraph(), named{as: series, name: "dashboard_replicas"})
	b.sql("Decisions on cost", size{24, 8}, cells(map[string][]string{units.NoUnit: {"value", "spent", "projected", "budget"}}).
		OverrideByName("chosen", words(map[string]word{"warn": {color: "orange"}, "cap": {color: "red"}, "slow": {color: "orange"}, "limit": {color: "orange"},
			"ok": {color: "green"}, "full": {color: "green"}, "recover": {color: "green"}, "no_price_list": {text: "no price list", color: "red"}})),
		named{as: rows, name: "dashboard_cost_decisions"})
	return b.build()
}

func budgetStats() *stat.PanelBuilder {
	money := append(unit(units.LocaleFormat), property("decimals", 2))
	share := append(unit(units.PercentUnit), property("decimals", 1))
	money = append(money, fixed("text"))
	return big().
		OverrideByName("spent", money).OverrideByName("budget", money).OverrideByName("projected", money).
		OverrideByRegexp("/^(shed|currency|note)$/", []dashboard.DynamicConfigValue{fixed("text")}).
		OverrideByName("spent_share", append(share, called("spent of the budget", limits("green", bound{0.8, "orange"}, bound{1, "red"}))...)).
		OverrideByName("projected_share", append(share, called("projected of the budget", limits("green", bound{0.85, "orange"}, bound{1, "red"}))...)).
		OverrideByName("pace", append(share, limits("orange", bound{1, "green"}))).
		OverrideByName("level", words(map[string]word{"ok": {color: "green"}, "warn": {color: "orange"}, "cap": {color: "red"}, "no_price_list": {text: "no price list", color: "red"}})).
		OverrideByName("maturity", append(maturity(), called("numbers are")...))
}

func pacingGraph() *timeseries.PanelBuilder {
	return inCurrencies(line(units.Short, "major units of the currency").SpanNulls(common.BoolOrFloat64{Bool: new(true)}).
		DisplayName("${__field.labels.currency} ${__field.name}")).
		OverrideByRegexp(`/spent/`, []dashboard.DynamicConfigValue{property("custom.lineWidth", 3), fixed("blue")}).
		OverrideByRegexp(`/spent_provisional/`, []dashboard.DynamicConfigValue{fixed("light-blue")}).
		OverrideByRegexp(`/planned/`, []dashboard.DynamicConfigValue{fixed("green"), dashed()}).
		OverrideByRegexp(`/projected/`, []dashboard.DynamicConfigValue{fixed("orange")}).
		OverrideByRegexp(`/budget/`, []dashboard.DynamicConfigValue{fixed("red"), dashed()})
}

// costLines are money for something, under the name given. What can still change is dashed, and not listed again.
func costLines(per, name string) *timeseries.PanelBuilder {
	p := inCurrencies(listed(byPOP(units.Short, "major units of the currency "+per)).Min(0).DisplayName(name + " ${__field.name}"))
	for _, c := range symbols {
		p = p.OverrideByRegexp(`/\b`+c.code+`\b/`, []dashboard.DynamicConfigValue{property("custom.axisLabel", c.code+" "+per)})
	}
	return p.OverrideByRegexp("/ cost$/", called(name)).
		OverrideByRegexp("/ provisional$/", called(name+" provisional", dashed(), unlisted()))
}

func costTable() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"share"}})
	for _, name := range []string{"cost", "synthetic", "outside_drops", "per_million"} {
		t = t.OverrideByName(name, append(unit(units.LocaleFormat), property("decimals", 3)))
	}
	t = t.OverrideByName("per_conversion", append(unit(units.LocaleFormat), property("decimals", 5)))
	return headed(t, map[string]string{"pop": "POP", "synthetic": "of it probes and warm-up", "outside_drops": "of it outside drops",
		"per_million": "per million requests", "per_conversion": "per conversion"})
}

func replicasGraph() *timeseries.PanelBuilder {
	return line(units.Short, "replicas").LineInterpolation(common.LineInterpolationStepAfter).ShowPoints(common.VisibilityModeAuto).
		NoValue("the load asked for no other number of replicas").
		OverrideByName("chosen", []dashboard.DynamicConfigValue{property("custom.lineWidth", 2)}).
		OverrideByName("cost_max", append(called("what the budget pays for"), fixed("red"), dashed()))
}
