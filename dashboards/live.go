package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/trend"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// dropLive is what live ops watch while a drop runs.
func dropLive() (Dashboard, error) {
	b := newBoard("droplift-drop-live", "Drop live", "One drop while it runs: velocity, funnel, revenue, edge latency against both, and how fresh the numbers are.")
	b.chooseDrop()
	b.choosePOP()
	b.chooseCurrency()

	b.row("Now")
	b.sql("At a glance", size{24, 4}, glance(), named{as: rows, name: "dashboard_summary"})

	b.row("Conversion")
	b.sql("Conversion velocity", size{16, 9}, velocityGraph(), named{as: series, name: "dashboard_velocity"})
	b.sql("Funnel", size{8, 9}, funnelBars(), named{as: rows, name: "dashboard_funnel"})
	b.sql("Time to convert", size{24, 8}, convertCurve(), named{as: rows, name: "dashboard_time_to_convert"})

	b.row("Revenue")
	b.sql("Revenue by currency", size{24, 8}, revenueBars(), named{as: series, name: "dashboard_revenue"})

	b.row("Edge latency against conversion and revenue")
	b.sql("Landing latency by POP", size{8, 9}, byPOP(units.Milliseconds, "time to first byte").
		DisplayName("${__field.labels.pop} ${__field.name}").Min(0), named{as: series, name: "dashboard_latency"})
	b.sql("Converted by landing time and POP", size{8, 9}, byPOP(units.PercentUnit, "of the players who landed then").
		DisplayName("${__field.labels.pop}").Min(0), named{as: series, name: "dashboard_conversion_by_pop"})
	b.sql("Net revenue by POP", size{8, 9}, inCurrencies(byPOP(units.Short, "major units of the currency").
		DisplayName("${__field.labels.pop} ${__field.labels.currency}")), named{as: series, name: "dashboard_revenue_by_pop"})
	b.sql("POPs compared", size{24, 8}, popTable(), named{as: rows, name: "dashboard_pops"})

	b.row("Freshness and lag")
	b.sql("Age of the newest record", size{12, 8}, seconds("event_age_s", "kafka_age_s", "arrival_age_s"), named{as: rows, name: "live_freshness"})
	b.sql("Kafka to queryable", size{12, 8}, seconds("p50_s", "p99_s"), named{as: rows, name: "dashboard_delay"})
	b.sql("Watermarks", size{12, 8}, seconds("behind_s"), named{as: rows, name: "dashboard_watermarks"})
	b.sql("Records no number counts", size{12, 8}, seconds(), named{as: rows, name: "dashboard_rejected"})
	b.promQL("Records processed", "Input records of committed transactions by stage and outcome.", size{8, 8},
		line(units.RecordsPerSecond, "records"), metric{`sum by (stage, outcome) (rate(droplift_stage_records_in_total[$__rate_interval]))`, "{{stage}} {{outcome}}"})
	b.promQL("Consumer lag", "Records between the last commit and the end of the log, by stage and input.", size{8, 8},
		line(units.Short, "records"), metric{`sum by (stage, input) (droplift_stage_lag_records)`, "{{stage}} {{input}}"})
	b.promQL("Commit latency", "99th percentile from the first output produced to the end of the transaction, by stage.", size{8, 8},
		line(units.Seconds, "p99"), metric{`histogram_quantile(0.99, sum by (le, stage) (rate(droplift_stage_commit_seconds_bucket[$__rate_interval])))`, "{{stage}}"})
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

func byPOP(unit, axis string) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Unit(unit).AxisLabel(axis).LineWidth(1).ShowPoints(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementBottom).ShowLegend(true))
}

// inCurrencies gives series of the widest-spread currencies their symbol. Others
// keep the plain number: their name holds the code.
func inCurrencies(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	for _, c := range []struct{ code, unit string }{
		{"USD", units.Dollars}, {"EUR", units.Euro}, {"GBP", units.Pounds}, {"JPY", units.Yen},
	} {
		p = p.OverrideByRegexp(`/\b`+c.code+`\b/`, unit(c.unit))
	}
	return p
}

func glance() *stat.PanelBuilder {
	share := append(unit(units.PercentUnit), property("decimals", 1))
	gap := append(share, property("thresholds", map[string]any{"mode": "absolute", "steps": []map[string]any{
		{"color": "green", "value": nil}, {"color": "red", "value": 0.02},
	}}))
	state := []dashboard.DynamicConfigValue{property("displayName", "numbers are"), property("mappings", []map[string]any{{
		"type": "value", "options": map[string]any{
			"provisional": map[string]any{"color": "orange", "index": 0},
			"final":       map[string]any{"color": "green", "index": 1},
		},
	}})}
	return stat.NewPanelBuilder().Unit(units.Short).
		TextMode(common.BigValueTextModeValueAndName).GraphMode(common.BigValueGraphModeNone).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Fields("/.*/")).
		OverrideByName("ordered_rate", append(share, property("displayName", "landed to completed, in order"))).
		OverrideByName("gap_share", append(gap, property("displayName", "left out of the funnel"))).
		OverrideByName("open_panes", []dashboard.DynamicConfigValue{property("displayName", "provisional panes")}).
		OverrideByName("maturity", state)
}

func velocityGraph() *timeseries.PanelBuilder {
	return line(units.CountsPerMinute, "conversions per minute").
		OverrideByName("5 min", []dashboard.DynamicConfigValue{property("custom.lineWidth", 2)}).
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
	hidden := []dashboard.DynamicConfigValue{property("custom.hideFrom", map[string]any{"viz": true, "legend": true, "tooltip": false})}
	return barchart.NewPanelBuilder().Unit(units.Short).XField("step").AxisLabel("players").Min(0).
		ShowValue(common.VisibilityModeAlways).
		OverrideByName("share", append(unit(units.PercentUnit), hidden...)).
		OverrideByName("events", hidden)
}

func convertCurve() *trend.PanelBuilder {
	return trend.NewPanelBuilder().XField("minutes").Unit(units.PercentUnit).AxisLabel("converted").Min(0).LineWidth(1).
		LineInterpolation(common.LineInterpolationStepAfter).
		OverrideByName("minutes", append(unit(units.Minutes), property("custom.axisLabel", "since the first landing"))).
		OverrideByName("at_risk", append(unit(units.Short),
			property("custom.axisPlacement", "right"), property("custom.axisLabel", "players at risk"), fixed("gray")))
}

func revenueBars() *timeseries.PanelBuilder {
	return inCurrencies(timeseries.NewPanelBuilder().Unit(units.Short).AxisLabel("major units of the currency").
		DisplayName("${__field.labels.currency} ${__field.name}").
		DrawStyle(common.GraphDrawStyleBars).FillOpacity(70).LineWidth(0)).
		OverrideByRegexp(`/net_provisional/`, []dashboard.DynamicConfigValue{property("custom.fillOpacity", 20), property("custom.lineWidth", 1)})
}

func popTable() *table.PanelBuilder {
	return table.NewPanelBuilder().Unit(units.Short).
		OverrideByName("p50_ms", unit(units.Milliseconds)).
		OverrideByName("p95_ms", unit(units.Milliseconds)).
		OverrideByName("converted", unit(units.PercentUnit))
}

// seconds is a table with these columns in seconds.
func seconds(columns ...string) *table.PanelBuilder {
	t := table.NewPanelBuilder().Unit(units.Short)
	for _, c := range columns {
		t = t.OverrideByName(c, unit(units.Seconds))
	}
	return t
}
