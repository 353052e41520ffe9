package dashboards

import (
	"maps"
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// bound is a value from which on another colour holds.
type bound struct {
	from  float64
	color string
}

// thresholds are the colours of values: base below the first bound.
func thresholds(base string, bounds ...bound) *dashboard.ThresholdsConfigBuilder {
	steps := []dashboard.Threshold{{Color: base}}
	for _, b := range bounds {
		steps = append(steps, dashboard.Threshold{Value: &b.from, Color: b.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

// colored are a table's cells in a unit, their text in the colour of the value.
func colored(unit, base string, bounds ...bound) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{
		property("unit", unit),
		limits(base, bounds...),
		property("custom.cellOptions", map[string]any{"type": "color-text"}),
	}
}

// words are a column's values as other words or in other colours, by value.
func words(of map[string]word) []dashboard.DynamicConfigValue {
	options := map[string]any{}
	for i, value := range slices.Sorted(maps.Keys(of)) {
		option := map[string]any{"index": i}
		if of[value].text != "" {
			option["text"] = of[value].text
		}
		if of[value].color != "" {
			option["color"] = of[value].color
		}
		options[value] = option
	}
	return []dashboard.DynamicConfigValue{
		property("mappings", []map[string]any{{"type": "value", "options": options}}),
		property("custom.cellOptions", map[string]any{"type": "color-text"}),
	}
}

type word struct{ text, color string }

// maturity is a table's column that says whether its row can still change.
func maturity() []dashboard.DynamicConfigValue {
	return words(map[string]word{"provisional": {color: "orange"}, "final": {color: "green"}})
}

// cells is a table with columns by unit; what is not named is a plain number or text.
func cells(byUnit map[string][]string) *table.PanelBuilder {
	// First, so that the panel's own sentence is for the empty table and not for every empty cell of a full one.
	t := table.NewPanelBuilder().Unit(units.Short).OverrideByFieldType("time", unit("time:YYYY-MM-DD HH:mm:ss")).OverrideByRegexp("/.*/", []dashboard.DynamicConfigValue{property("noValue", "–")}).
		OverrideByName("maturity", append(maturity(), property("displayName", "numbers are")))
	for _, u := range slices.Sorted(maps.Keys(byUnit)) {
		for _, column := range byUnit[u] {
			t = t.OverrideByName(column, unit(u))
		}
	}
	return t
}

// headed gives a table's columns the headings that people read; those with none are not shown.
func headed(t *table.PanelBuilder, headings map[string]string) *table.PanelBuilder {
	for _, column := range slices.Sorted(maps.Keys(headings)) {
		if headings[column] == "" {
			t = t.OverrideByName(column, []dashboard.DynamicConfigValue{property("custom.hidden", true)})
		} else {
			t = t.OverrideByName(column, called(headings[column]))
		}
	}
	return t
}

// wrapped is a column of sentences, whose cells grow to hold them; none of its lines is shorter than px.
func wrapped(px int) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{property("custom.cellOptions", map[string]any{"type": "auto", "wrapText": true}), property("custom.minWidth", px)}
}

// percentagePoints is a unit of Grafana's own making.
const percentagePoints = "suffix: pp"

// against draws lines over a threshold, which the panel's description explains.
func against(p *timeseries.PanelBuilder, t *dashboard.ThresholdsConfigBuilder) *timeseries.PanelBuilder {
	return p.Thresholds(t).ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
}

// dashed is a line that stands beside the others: a bound, a limit.
func dashed() dashboard.DynamicConfigValue {
	return property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{6, 6}})
}

// logarithmic is an axis of probabilities, where small ones matter.
func logarithmic() *common.ScaleDistributionConfigBuilder {
	return common.NewScaleDistributionConfigBuilder().Type(common.ScaleDistributionLog).Log(10)
}

// states is a timeline of numbers that stand for states.
func states(of map[string]word) *statetimeline.PanelBuilder {
	options := map[string]dashboard.ValueMappingResult{}
	for i, value := range slices.Sorted(maps.Keys(of)) {
		text, color, index := of[value].text, of[value].color, int32(i)
		options[value] = dashboard.ValueMappingResult{Text: &text, Color: &color, Index: &index}
	}
	return statetimeline.NewPanelBuilder().Unit(units.Short).MergeValues(true).ShowValue(common.VisibilityModeAuto).FillOpacity(80).
		Mappings([]dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}})
}

// big is a row of one-row numbers: the fields with these display names, by which Grafana knows them there, or all of them.
func big(names ...string) *stat.PanelBuilder {
	fields := "/.*/"
	if len(names) > 0 {
		fields = "/^(" + strings.Join(names, "|") + ")$/"
	}
	return stat.NewPanelBuilder().Unit(units.Short).
		TextMode(common.BigValueTextModeValueAndName).GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Fields(fields))
}

// called is a column under another name.
func called(name string, more ...dashboard.DynamicConfigValue) []dashboard.DynamicConfigValue {
	return append([]dashboard.DynamicConfigValue{property("displayName", name)}, more...)
}

// measured shows a field under another name, in a unit.
func measured(name, unit string, more ...dashboard.DynamicConfigValue) []dashboard.DynamicConfigValue {
	return append([]dashboard.DynamicConfigValue{property("displayName", name), property("unit", unit)}, more...)
}

// limits are a field's thresholds: base below the first bound.
func limits(base string, bounds ...bound) dashboard.DynamicConfigValue {
	steps := []map[string]any{{"color": base, "value": nil}}
	for _, b := range bounds {
		steps = append(steps, map[string]any{"color": b.color, "value": b.from})
	}
	return property("thresholds", map[string]any{"mode": "absolute", "steps": steps})
}

// unlisted leaves a series out of the legend: a bound of another, or the part of it that can still change.
func unlisted() dashboard.DynamicConfigValue {
	return property("custom.hideFrom", map[string]any{"viz": false, "legend": true, "tooltip": false})
}

// inTooltip hides a series but for the tooltip.
func inTooltip() []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{property("custom.hideFrom", map[string]any{"viz": true, "legend": true, "tooltip": false})}
}

// listed has room for more names than a table of them.
func listed(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return p.Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
}
