package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/trend"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// dropLive is what live ops watch while a drop runs, on the wall: how it goes in large, then why.
func dropLive() (Dashboard, error) {
	b := newBoard("droplift-drop-live", "Drop live", "One drop while it runs: velocity against its plan, revenue, what latency costs, what sells out, and how old the numbers are.")
	b.chooseDrop()
	b.choosePOP()
	b.chooseCurrency()

	b.row("Now")
	b.sql("Conversions now", size{6, 6}, paceNow(), named{as: rows, name: "dashboard_now"})
	b.sql("Revenue so far", size{6, 6}, revenueSoFar(), named{as: series, name: "dashboard_revenue_total"})
	b.sql("Lost to latency", size{6, 6}, lostToLatency(), named{as: rows, name: "dashboard_lost"})
	b.sql("Sells out next", size{6, 6}, sellsOut(), named{as: rows, name: "dashboard_sell_out"})
	b.sql("At a glance", size{16, 4}, glance(), named{as: rows, name: "dashboard_summary"})
	b.sql("Age of the numbers", size{8, 4}, ageOfNumbers(), named{as: rows, name: "dashboard_age"})

	b.sql("Conversion velocity", size{24, 12}, velocityGraph(), named{as: series, name: "dashboard_velocity"}, named{as: series, name: "dashboard_velocity_plan"})

	b.row("Conversion")
	b.sql("Funnel", size{10, 9}, funnelBars(), named{as: rows, name: "dashboard_funnel"})
	b.sql("Time to convert", size{14, 9}, convertCurve(), named{as: rows, name: "dashboard_time_to_convert"})

	b.row("Revenue and inventory")
	b.sql("Revenue by currency", size{10, 9}, reported(moneyBars(), "${__field.labels.currency}"), named{as: series, name: "dashboard_revenue"})
	b.sql("Inventory", size{14, 9}, inventoryTable(), named{as: rows, name: "dashboard_inventory"})

	b.row("Edge latency against conversion and revenue")
	b.sql("Landing latency by POP", size{12, 10}, latencyByPOP(), named{as: series, name: "dashboard_latency"})
	b.sql("Net revenue by POP", size{12, 10}, reported(byPOP(units.Short, reportingCode), "${__field.labels.pop} ${__field.labels.currency}"), named{as: series, name: "dashboard_revenue_by_pop"})
	b.sql("Converted by landing time and POP", size{12, 10}, joined(byPOP(units.PercentUnit, "of the players who landed then")).
		DisplayName("${__field.labels.pop}").Min(0).AxisSoftMax(0.3).MaxDataPoints(coarse/2), named{as: series, name: "dashboard_conversion_by_pop"})
	b.sql("POPs compared", size{12, 10}, popTable(), named{as: rows, name: "dashboard_pops"})
	b.sql("Lost to latency by POP", size{24, 10}, lossTable(), named{as: rows, name: "dashboard_latency_losses"})
	return b.build()
}

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

func unit(name string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{property("unit", name)}
}

func fixed(color string) dashboard.DynamicConfigValue {
	return property("color", map[string]any{"mode": "fixed", "fixedColor": color})
}

func line(unit, axis string) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Unit(unit).AxisLabel(axis).Min(0).LineWidth(1).FillOpacity(5).
		ShowPoints(common.VisibilityModeNever)
}

// byPOP has one line a POP. Steps without data are no gaps: a small POP has many.
func byPOP(unit, axis string) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Unit(unit).AxisLabel(axis).LineWidth(2).ShowPoints(common.VisibilityModeNever).
		SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(true)}).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
}

// coarse is how many points shares of few players have at most: finer ones show chance.
const coarse = 60

// joined draws values that hold for a stretch of time: steps with too few players or samples are joined.
func joined(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return p.LineInterpolation(common.LineInterpolationStepAfter).NoValue("too few players or requests in this range for a number that is no chance")
}

// latencyByPOP shows p95, which hurts; p50 is in the tooltip.
func latencyByPOP() *timeseries.PanelBuilder {
	return joined(byPOP(units.Milliseconds, "time to first byte")).DisplayName("${__field.labels.pop} ${__field.name}").Min(0).MaxDataPoints(coarse).
		OverrideByRegexp("/ p50$/", inTooltip())
}

// reported draws the series that are in the reporting currency, under the name given; the same money in the currency
// that was paid is in the tooltip. What can still change is grey.
func reported(p *timeseries.PanelBuilder, name string) *timeseries.PanelBuilder {
	of := func(more ...dashboard.DynamicConfigValue) []dashboard.DynamicConfigValue {
		return append(more, property("unit", units.Short), property("custom.axisLabel", reportingCode))
	}
	return inCurrencies(p.DisplayName(name+" ${__field.name}")).MaxDataPoints(coarse).
		OverrideByRegexp("/ (net|net_provisional|returns)$/", inTooltip()).
		OverrideByRegexp("/ reported$/", of(property("displayName", name))).
		OverrideByRegexp("/ reported_provisional$/", of(property("displayName", name+" provisional"), fixed("gray"), unlisted()))
}

// reportingCode is the reporting currency's code, as the rows have it.
const reportingCode = "${__field.labels.reporting}"

// symbols are the units of the widest-spread currencies, and their colours where currencies are compared.
var symbols = []struct{ code, unit, color string }{
	{"USD", units.Dollars, "orange"}, {"EUR", units.Euro, "blue"}, {"GBP", units.Pounds, "purple"}, {"JPY", units.Yen, "red"},
}

// inCurrencies gives series of the widest-spread currencies their symbol, and an
// axis with their code. Others keep the plain number: their name holds the code.
func inCurrencies(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	for _, c := range symbols {
		p = p.OverrideByRegexp(`/\b`+c.code+`\b/`, append(unit(c.unit), property("custom.axisLabel", c.code)))
	}
	return p
}

// numbersAre is a field that says whether what stands beside it can still change.
func numbersAre() []dashboard.DynamicConfigValue {
	return append(words(map[string]word{"provisional": {color: "orange"}, "final": {color: "green"}})[:1], property("displayName", "numbers are"))
}

func paceNow() *stat.PanelBuilder {
	return big("now", "plan", "of plan").NoValue("no plan").
		OverrideByName("per_minute", measured("now", units.CountsPerMinute, property("decimals", 1), fixed("text"))).
		OverrideByName("plan", measured("plan", units.CountsPerMinute, property("decimals", 1), fixed("text"))).
		OverrideByName("of_plan", measured("of plan", units.PercentUnit, property("decimals", 0), property("noValue", "too few"),
			limits("red", bound{0.5, "orange"}, bound{0.8, "green"})))
}

func revenueSoFar() *stat.PanelBuilder {
	numbers := common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})
	p := big().ReduceOptions(numbers).ColorMode(common.BigValueColorModeNone).NoValue("no sale yet").DisplayName("${__field.labels.currency}").Decimals(2)
	for _, c := range symbols {
		p = p.OverrideByRegexp(`/\b`+c.code+`\b/`, unit(c.unit))
	}
	return p
}

func lostToLatency() *stat.PanelBuilder {
	return big("lost, observational", "at least", "at most", "in").NoValue("not enough data yet").Decimals(0).
		OverrideByName("lost", measured("lost, observational", units.Short, fixed("text"))).
		OverrideByName("low", measured("at least", units.Short, limits("text", bound{0.000001, "red"}))).
		OverrideByName("high", measured("at most", units.Short, fixed("text"))).
		OverrideByName("currency", called("in", fixed("text")))
}

// sellsOut is one sentence, which holds the interval, and the time where there is one.
func sellsOut() *stat.PanelBuilder {
	return big("next", "in").NoValue("–").Decimals(0).Orientation(common.VizOrientationHorizontal).
		OverrideByName("state", []dashboard.DynamicConfigValue{property("displayName", "next"), fixed("text")}).
		OverrideByName("minutes", measured("in", units.Minutes, limits("red", bound{15, "orange"}, bound{60, "green"})))
}

func ageOfNumbers() *stat.PanelBuilder {
	return big("old", "slowest partition", "numbers are").Decimals(0).
		OverrideByName("age_s", measured("old", units.Seconds, limits("green", bound{60, "orange"}, bound{300, "red"}))).
		OverrideByName("slowest_s", measured("slowest partition", units.Seconds, fixed("text"))).
		OverrideByName("maturity", numbersAre())
}

func glance() *stat.PanelBuilder {
	return big("landed", "converted", "landed to completed, in order", "left out of the funnel", "numbers are").
		OverrideByRegexp("/^(landed|converted)$/", []dashboard.DynamicConfigValue{fixed("text")}).
		OverrideByName("ordered_rate", measured("landed to completed, in order", units.PercentUnit, property("decimals", 1), fixed("text"))).
		OverrideByName("gap_share", measured("left out of the funnel", units.PercentUnit, property("decimals", 1), limits("green", bound{0.02, "red"}))).
		OverrideByName("maturity", numbersAre())
}

func velocityGraph() *timeseries.PanelBuilder {
	return line(units.CountsPerMinute, "conversions per minute").
		OverrideByName("1 min", []dashboard.DynamicConfigValue{property("custom.fillOpacity", 0)}).
		OverrideByName("5 min", []dashboard.DynamicConfigValue{property("custom.lineWidth", 3)}).
		OverrideByName("plan", []dashboard.DynamicConfigValue{fixed("text"), dashed(), property("custom.fillOpacity", 0), property("custom.lineWidth", 2)}).
		OverrideByName("previous drop", []dashboard.DynamicConfigValue{fixed("gray"), property("custom.fillOpacity", 0)}).
		OverrideByName("provisional", provisionalBand())
}

// provisionalBand draws a 0/1 series as a grey background over the whole height.
func provisionalBand() []dashboard.DynamicConfigValue {
	return append(unit("bool"),
		property("min", 0), property("max", 1), fixed("gray"),
		property("custom.axisPlacement", "hidden"),
		property("custom.lineWidth", 0), property("custom.fillOpacity", 12),
	)
}

func funnelBars() *barchart.PanelBuilder {
	return barchart.NewPanelBuilder().Unit(units.Short).XField("step").AxisLabel("players").Min(0).
		ShowValue(common.VisibilityModeAlways).
		OverrideByName("share", append(unit(units.PercentUnit), inTooltip()...)).
		OverrideByName("events", inTooltip())
}

func convertCurve() *trend.PanelBuilder {
	return trend.NewPanelBuilder().XField("minutes").Unit(units.PercentUnit).AxisLabel("converted").Min(0).LineWidth(1).
		LineInterpolation(common.LineInterpolationStepAfter).
		OverrideByName("minutes", append(unit(units.Minutes), property("custom.axisLabel", "since the first landing"))).
		OverrideByName("high", band("low")).
		OverrideByName("low", []dashboard.DynamicConfigValue{property("custom.lineWidth", 0)}).
		OverrideByName("at_risk", append(unit(units.Short),
			property("custom.axisPlacement", "right"), property("custom.axisLabel", "players at risk"), fixed("gray")))
}

// moneyBars are bars of money in one currency, stacked by the currency that was paid.
func moneyBars() *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().Unit(units.Short).AxisLabel(reportingCode).
		DrawStyle(common.GraphDrawStyleBars).FillOpacity(70).LineWidth(0).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
	for _, c := range symbols {
		p = p.OverrideByRegexp(`/\b`+c.code+`\b/`, []dashboard.DynamicConfigValue{fixed(c.color)})
	}
	return p
}

func popTable() *table.PanelBuilder {
	return headed(cells(map[string][]string{units.Milliseconds: {"p50_ms", "p95_ms"}, units.PercentUnit: {"converted"}}),
		map[string]string{"pop": "POP", "p50_ms": "p50", "p95_ms": "p95", "revenue": "net revenue", "currency": "in"})
}

func inventoryTable() *table.PanelBuilder {
	return headed(cells(map[string][]string{"time:MM-DD HH:mm": {"sold_out", "sell_out", "sell_out_from", "sell_out_to"}}), map[string]string{
		"sku": "item", "inventory": "of", "sold_share": "sold share", "remaining": "left", "sold_out": "sold out", "sell_out": "sells out",
		"sell_out_from": "earliest", "sell_out_to": "latest", "reserved": "",
	}).
		NoValue("nothing is limited, or nothing of it has been reserved or sold").
		OverrideByName("sold_share", append(unit(units.PercentUnit), property("min", 0), property("max", 1), property("decimals", 0), fixed("blue"),
			property("custom.cellOptions", map[string]any{"type": "gauge", "mode": "basic"}))).
		OverrideByName("oversold", colored(units.Short, "text", bound{1, "red"}))
}

func lossTable() *table.PanelBuilder {
	return headed(cells(map[string][]string{units.Milliseconds: {"budget_ms"}}).Decimals(1).OverrideByRegexp("/^(budget_ms|viewers|viewers_above)$/", []dashboard.DynamicConfigValue{property("decimals", 0)}), map[string]string{
		"pop": "POP", "unit": "of", "low": "at least", "high": "at most", "budget_ms": "budget", "viewers_above": "viewers above it", "why": "missing",
		"as_of": "", "label": "evidence",
	}).
		NoValue("not enough data").
		OverrideByName("low", append(colored(units.Short, "text", bound{0.000001, "orange"}), property("decimals", 1)))
}
