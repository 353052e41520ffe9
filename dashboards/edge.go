package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/trend"
	"github.com/grafana/grafana-foundation-sdk/go/units"
	"github.com/grafana/grafana-foundation-sdk/go/xychart"
)

// edgeRevenue is where live ops look when the edge is slow: where, since when, and what it costs.
func edgeRevenue() (Dashboard, error) {
	b := newBoard("droplift-edge-revenue", "Edge and revenue", "What the edge's latency and caches do to a drop's conversion and revenue, by POP.")
	b.chooseDrop()
	b.choosePOP()
	b.chooseCurrency()

	b.row("What latency costs")
	b.sql("Lost to latency", size{10, 5}, lostToLatency(), named{as: rows, name: "dashboard_lost"})
	b.sql("Latency with conversion, minute by minute", size{14, 5}, correlation(), named{as: rows, name: "dashboard_latency_correlation"})
	b.sql("Conversion by landing latency", size{12, 10}, bucketCurve(), named{as: rows, name: "dashboard_latency_buckets"})
	b.sql("Minutes, less the mean of their age", size{12, 10}, minutePoints(), named{as: rows, name: "dashboard_latency_minutes"})
	b.sql("Lost by POP", size{24, 8}, lossTable(), named{as: rows, name: "dashboard_latency_losses"})

	b.row("Latency and caches")
	b.sql("Landing latency by POP", size{12, 10}, latencyByPOP(), named{as: series, name: "dashboard_latency"})
	b.sql("Answered from the cache by POP", size{12, 10}, joined(byPOP(units.PercentUnit, "of requests that a cache may answer")).
		DisplayName("${__field.labels.pop}").Max(1).MaxDataPoints(coarse/2), named{as: series, name: "dashboard_cache"})
	b.sql("Spread of landing latency", size{24, 9}, latencyHeat(), named{as: series, name: "dashboard_latency_heatmap"})
	b.sql("The edge by POP", size{14, 9}, edgeTable(), named{as: rows, name: "dashboard_edge"})
	b.sql("Caches before the start", size{10, 9}, prewarmTable(), named{as: rows, name: "dashboard_prewarm"})

	b.row("Revenue")
	b.sql("Net revenue by POP", size{12, 9}, reported(byPOP(units.Short, reportingCode), "${__field.labels.pop} ${__field.labels.currency}"),
		named{as: series, name: "dashboard_revenue_by_pop"})
	b.sql("POPs compared", size{12, 9}, popTable(), named{as: rows, name: "dashboard_pops"})
	return b.build()
}

func correlation() *stat.PanelBuilder {
	return big("r, age controlled, observational", "at least", "at most", "r, not controlled", "minutes").NoValue("too few minutes").Decimals(2).
		OverrideByName("r", []dashboard.DynamicConfigValue{property("displayName", "r, age controlled, observational"), fixed("text")}).
		OverrideByName("low", []dashboard.DynamicConfigValue{property("displayName", "at least"), fixed("text")}).
		OverrideByName("high", []dashboard.DynamicConfigValue{property("displayName", "at most"), limits("orange", bound{0, "text"})}).
		OverrideByName("r_raw", []dashboard.DynamicConfigValue{property("displayName", "r, not controlled"), fixed("gray")}).
		OverrideByName("minutes", measured("minutes", units.Short, property("decimals", 0), fixed("text")))
}

// bucketCurve is conversion over latency with its interval as a band.
func bucketCurve() *trend.PanelBuilder {
	return trend.NewPanelBuilder().XField("mean_ms").Unit(units.PercentUnit).AxisLabel("converted").Min(0).LineWidth(2).
		ShowPoints(common.VisibilityModeAlways).NoValue("no visitor whose landing request was measured").
		OverrideByName("mean_ms", append(unit(units.Milliseconds), property("custom.axisLabel", "landing latency, mean of the bucket"))).
		OverrideByName("high", band("low")).
		OverrideByName("low", []dashboard.DynamicConfigValue{property("custom.lineWidth", 0), property("custom.showPoints", "never")}).
		OverrideByRegexp("/^(from_ms|n|converted)$/", append(unit(units.Short), inTooltip()...))
}

// band fills the area down to the field called low.
func band(low string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{property("custom.fillBelowTo", low), property("custom.lineWidth", 0),
		property("custom.fillOpacity", 20), property("custom.showPoints", "never")}
}

func minutePoints() *xychart.PanelBuilder {
	field := func(name string) cog.Builder[xychart.MatcherConfig] {
		return xychart.NewMatcherConfigBuilder().Id("byName").Options(name)
	}
	return xychart.NewPanelBuilder().Mapping(xychart.SeriesMappingManual).
		Series([]cog.Builder[xychart.XYSeriesConfig]{xychart.NewXYSeriesConfigBuilder().
			X(xychart.NewXychartXYSeriesConfigXBuilder().Matcher(field("latency"))).
			Y(xychart.NewXychartXYSeriesConfigYBuilder().Matcher(field("converted")))}).
		Unit(units.PercentUnit).AxisLabel("converted within 15 minutes, from the mean").Show(xychart.XYShowModePoints).
		OverrideByName("latency", append(unit(units.Milliseconds), property("custom.axisLabel", "landing latency, from the mean"))).
		OverrideByName("landed", unit(units.Short)).
		NoValue("too few minutes in which enough players landed")
}

func latencyHeat() *heatmap.PanelBuilder {
	return heatmap.NewPanelBuilder().Unit(units.Short).DisplayName("${__field.labels.le}").Calculate(false).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(units.Milliseconds).AxisLabel("time to first byte, up to")).
		RowsFrame(heatmap.NewRowsHeatmapOptionsBuilder().Layout(common.HeatmapCellLayoutLe).Value("requests")).
		Color(heatmap.NewHeatmapColorOptionsBuilder().Mode(heatmap.HeatmapColorModeScheme).Scheme("Viridis").Scale(heatmap.HeatmapColorScaleExponential).
			Exponent(0.5).Steps(64)).
		CellGap(0).ShowLegend().MaxDataPoints(100).NoValue("no landing request in the range")
}

func edgeTable() *table.PanelBuilder {
	return headed(cells(map[string][]string{units.Milliseconds: {"p50", "p95", "p99"}, units.PercentUnit: {"stale", "misses", "sample_rate"}}),
		map[string]string{"pop": "POP", "sample_rate": "sampled"}).
		OverrideByName("hits", colored(units.PercentUnit, "red", bound{0.9, "orange"}, bound{0.95, "green"}))
}

func prewarmTable() *table.PanelBuilder {
	return headed(cells(nil), map[string]string{"pop": "POP", "sent": "canaries", "hit_ratio": "hit ratio", "pops_cold": "cold POPs"}).
		OverrideByName("hit_ratio", colored(units.PercentUnit, "red", bound{0.99, "green"})).
		OverrideByName("state", words(map[string]word{"warm": {color: "green"}, "cold": {color: "red"}, "no canary": {color: "gray"}}))
}
