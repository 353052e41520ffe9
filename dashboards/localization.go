package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// noExperiment says why panels about experiments are empty.
const noExperiment = "No look at an experiment in this range. Looks begin with enough conversions and go on after the stream: the whole drop has more. Or the drop has no experiment in the catalogue, or none was shown to a consenting player yet."

// localization is about subtitles and calls to action in each language of a drop.
func localization() (Dashboard, error) {
	b := newBoard("droplift-localization", "Localization", "Each language of a drop: whether its subtitles meet their objectives, what is left of the error budgets, and what the experiments on localized calls to action show.")
	b.chooseDrop()
	b.chooseLanguage()

	b.row("Objectives")
	b.sql("Objectives by language", size{24, 7}, objectives(), named{as: rows, name: "localization_slo"})
	b.sql("Good cues", size{12, 8}, goodCues(), named{as: series, name: "dashboard_cues"})
	b.sql("Cue latency", size{12, 8}, cueLatency(), named{as: series, name: "dashboard_cue_latency"})
	b.sql("What is wrong with bad cues", size{24, 8}, cueFaults(), named{as: rows, name: "dashboard_cue_faults"})

	b.row("Error budget")
	b.sql("Error budget left", size{24, 7}, budgetTable(), named{as: rows, name: "dashboard_cue_budget"})
	b.sql("Burn over the window that pages", size{12, 8}, burnGraph(), named{as: series, name: "dashboard_cue_burn"})
	b.sql("Burn over the window that opens tickets", size{12, 8}, burnGraph(), named{as: series, name: "dashboard_cue_burn", with: with{"window_s": "21600", "fraction": "0.25"}})
	b.sql("Decisions about burn rates", size{24, 6}, burnStates(), named{as: series, name: "dashboard_burn_states"})

	b.row("Experiments")
	b.sql("Read-out", size{24, 8}, readout(), named{as: rows, name: "experiment_readout"})
	b.sql("Effect on conversion, look by look", size{12, 9}, effectGraph(), named{as: series, name: "dashboard_experiment_looks"})
	b.sql("Always-valid p of each variant", size{6, 9}, probability("always-valid p", 0.05, "green", "gray", "arm"), named{as: series, name: "dashboard_experiment_p"})
	b.sql("Sample-ratio test", size{6, 9}, probability("p of the split", 0.001, "red", "green", "split"), named{as: series, name: "dashboard_experiment_split"})
	b.sql("Arms", size{24, 8}, arms(), named{as: rows, name: "experiment_arms"})
	return b.build()
}

func objectives() *table.PanelBuilder {
	met := words(map[string]word{"1": {"met", "green"}, "0": {"missed", "red"}, "true": {"met", "green"}, "false": {"missed", "red"}})
	t := cells(map[string][]string{
		units.PercentUnit:  {"good_low", "good_high", "stretch_ratio"},
		units.Milliseconds: {"latency_mean_ms", "latency_p50_ms", "latency_p99_ms", "translation_mean_ms"},
	}).NoValue("No cue of this drop has been judged yet.").
		OverrideByName("good_ratio", colored(units.PercentUnit, "red", bound{0.95, "green"})).
		OverrideByName("latency_p95_ms", colored(units.Milliseconds, "green", bound{5000, "orange"})).
		OverrideByName("translation_p95_ms", colored(units.Milliseconds, "green", bound{1500, "orange"})).
		OverrideByName("budget_remaining", colored(units.PercentUnit, "red", bound{0, "orange"}, bound{0.25, "green"}))
	for _, column := range []string{"met", "mean_met", "translation_met"} {
		t = t.OverrideByName(column, met)
	}
	return headed(t, map[string]string{"same_language": "", "missing": "", "unreported": "", "slow": "", "brief": "", "long": "",
		"dense": "", "wordy": "", "early": "", "stretch_ratio": "", "latency_p50_ms": "", "latency_p99_ms": "",
		"expected": "cues", "good_ratio": "good", "good": "", "good_low": "at least", "good_high": "at most", "met": "objective",
		"latency_mean_ms": "mean latency", "mean_met": "mean", "latency_p95_ms": "p95 latency",
		"translation_mean_ms": "", "translation_p95_ms": "p95 translation", "translation_met": "translation",
		"budget_remaining": "budget left", "burn_15m": "", "burn_1h": "burn, 1 h", "burn_6h": "burn, 6 h"})
}

func goodCues() *timeseries.PanelBuilder {
	return against(line(units.PercentUnit, "of the expected cues").Max(1).FillOpacity(0).MaxDataPoints(coarse), thresholds("red", bound{0.95, "green"})).
		NoValue("No cue of this drop has been judged in this range.").
		DisplayName("${__field.labels.language} ${__field.name}").
		OverrideByRegexp("/provisional/", append(unit(units.PercentUnit), dashed(), unlisted()))
}

func cueLatency() *timeseries.PanelBuilder {
	return against(line(units.Milliseconds, "from the words to their display").FillOpacity(0), thresholds("green", bound{5000, "red"})).
		NoValue("No cue of this drop has been judged in this range.").
		DisplayName("${__field.labels.language} ${__field.name}").MaxDataPoints(coarse).
		OverrideByRegexp("/ p(50|99)$/", inTooltip())
}

func cueFaults() *barchart.PanelBuilder {
	return barchart.NewPanelBuilder().Unit(units.PercentUnit).XField("language").AxisLabel("of the expected cues").Min(0).
		NoValue("No cue of this drop has been judged yet.").
		Stacking(common.StackingModeNormal).ShowValue(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementRight).ShowLegend(true))
}

func budgetTable() *table.PanelBuilder {
	t := cells(map[string][]string{
		units.PercentUnit:  {"remaining_low", "remaining_high", "spent"},
		units.Milliseconds: {"lasts_ms"},
	}).NoValue("No estimate of the error budget yet: the first comes a minute of event time after the drop's first cue.").
		OverrideByName("remaining", colored(units.PercentUnit, "red", bound{0, "orange"}, bound{0.25, "green"})).
		OverrideByName("lasts_ms", append(unit(units.Milliseconds), property("noValue", "not at this rate")))
	return headed(t, map[string]string{"remaining": "left", "remaining_low": "at least", "remaining_high": "at most", "spent": "spent of the drop's",
		"burn": "burn rate", "lasts_ms": "runs out in", "why": "missing", "as_of": "as of"})
}

func burnGraph() *timeseries.PanelBuilder {
	return line(units.Short, "times the rate that lasts for the drop").FillOpacity(0).
		NoValue("No cue of this drop has been judged in this range.").
		DisplayName("${__field.labels.language} ${__field.name}").
		OverrideByRegexp("/factor/", append(unit(units.Short), dashed(), fixed("red"), unlisted()))
}

func burnStates() *statetimeline.PanelBuilder {
	return states(map[string]word{"0": {"ok", "green"}, "1": {"no cues", "gray"}, "2": {"ticket", "orange"}, "3": {"page", "red"}}).
		OverrideByRegexp("/.*/", []dashboard.DynamicConfigValue{property("custom.spanNulls", true)}). // a language decides when it likes
		NoValue("No cue of this drop has been judged before the end of the range.").
		DisplayName("${__field.labels.language}")
}

func readout() *table.PanelBuilder {
	t := cells(map[string][]string{
		percentagePoints:  {"effect_pp", "low_pp", "high_pp", "loss_pp", "refund_pp", "refund_low_pp", "refund_high_pp"},
		units.PercentUnit: {"better", "confidence", "sample_rate"},
	}).NoValue(noExperiment).
		OverrideByName("decision", wrapped(150)).
		OverrideByName("srm_p", colored(units.Short, "red", bound{0.001, "green"})).
		OverrideByName("alarm", words(map[string]word{"1": {"split is broken", "red"}, "0": {"none", "green"}, "true": {"split is broken", "red"}, "false": {"none", "green"}}))
	return headed(t, map[string]string{"effect_pp": "effect", "low_pp": "at least", "high_pp": "at most", "p": "always-valid p", "p_holm": "p, all variants",
		"p_one_look": "", "better": "likely better", "loss_pp": "loss if wrong", "control_n": "in control", "variant_n": "in variant",
		"confidence": "", "grade": "", "srm_p": "p of the split", "chi2_p": "", "alarm": "sample ratio", "crossed": "", "misassigned": "",
		"refund_pp": "effect on refunds", "refund_low_pp": "", "refund_high_pp": "", "refund_p": "", "population": "",
		"sample_rate": "", "as_of": "as of"})
}

func effectGraph() *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Unit(percentagePoints).AxisLabel("of conversion, variant less control").LineWidth(2).
		ShowPoints(common.VisibilityModeNever).NoValue(noExperiment).
		DisplayName("${__field.labels.arm} ${__field.name}").
		OverrideByRegexp("/ (low|high)$/", append(unit(percentagePoints), dashed(), unlisted(), property("custom.lineWidth", 1)))
}

// probability is a p-value over time: below the level it says something, in that colour.
func probability(axis string, level float64, below, above, label string) *timeseries.PanelBuilder {
	return against(line(units.Short, axis).Max(1), thresholds(below, bound{level, above})).ScaleDistribution(logarithmic()).Min(1e-6).
		NoValue(noExperiment).DisplayName("${__field.labels." + label + "}")
}

func arms() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"rate", "rate_low", "rate_high", "sample_rate"}}).NoValue(noExperiment).
		OverrideByName("refund_maturity", maturity()).
		OverrideByName("changed", words(map[string]word{"false": {text: "no"}, "true": {"yes", "orange"}, "0": {text: "no"}, "1": {"yes", "orange"}}))
	return headed(t, map[string]string{"rate": "conversion", "rate_low": "at least", "rate_high": "at most", "crossed": "saw two arms",
		"misassigned": "in the wrong arm", "changed": "arm changed", "sample_rate": "", "refund_maturity": "refunds are", "watermark": ""})
}
