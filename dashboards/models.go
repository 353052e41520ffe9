package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/trend"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// What panels say that are empty: how to get what is missing.
const (
	noModel    = "No model is published: droplift model train makes a version, droplift model promote lets it answer."
	noScores   = "No score in this range: droplift features serve scores players with the promoted version."
	noLabels   = "No score in this range has its label yet: whether a player churned is known days after the score."
	noShadow   = "No score in this range has a shadow beside it: droplift model shadow sets one."
	noFeatures = "No features are stored: the churn stage publishes them as players act."
)

// models is for whoever answers for the models at the edge and the features they eat.
func models() (Dashboard, error) {
	b := newBoard("droplift-models", "Models and features", "Whether edge models may be trusted: fresh, complete and undrifted features, versions and rollouts, champion against shadow, and what was said against what came true.")
	b.builder.Refresh("30s") // drift takes hours to show, labels take days
	b.chooseDrop()
	b.choice("model", "Model", "dashboard_models", false)

	b.row("Versions")
	b.sql("Who answers", size{24, 5}, rolloutStates(), named{as: rows, name: "dashboard_model_rollouts"})
	b.sql("Published versions", size{24, 6}, versions(), named{as: rows, name: "model_versions"})

	b.row("Features")
	b.sql("Freshness of features", size{12, 8}, freshness(), named{as: rows, name: "dashboard_feature_freshness"})
	b.sql("Missing values", size{12, 8}, missingBars(), named{as: rows, name: "dashboard_feature_completeness"})
	b.sql("Drift against training", size{12, 9}, driftTable(), named{as: rows, name: "dashboard_model_drift"})
	b.sql("Skew between store and edge", size{12, 9}, skewTable(), named{as: rows, name: "model_skew", with: with{"event": "1", "sample": "100"}})

	b.row("Champion against shadow")
	b.sql("Scores", size{12, 8}, scoreBars(), named{as: series, name: "dashboard_model_scores"})
	b.sql("Probabilities", size{12, 8}, line(units.PercentUnit, "probability of churn").Max(1).FillOpacity(0).MaxDataPoints(coarse).NoValue(noScores).
		DisplayName("${__field.labels.voice} ${__field.name}"), named{as: series, name: "dashboard_model_probabilities"})
	b.sql("Disagreement", size{12, 6}, disagreement(), named{as: rows, name: "model_disagreement", with: with{"sample": "20000"}})
	b.sql("Time to score", size{12, 6}, scoreTimes(), named{as: rows, name: "model_latency", with: with{"sample": "20000"}})

	b.row("What came true")
	b.sql("Calibration over time", size{12, 9}, calibration(), named{as: series, name: "dashboard_model_calibration"})
	b.sql("Reliability", size{12, 9}, reliability(), named{as: rows, name: "dashboard_model_reliability"})
	return b.build()
}

func rolloutStates() *statetimeline.PanelBuilder {
	return statetimeline.NewPanelBuilder().Unit(units.Short).MergeValues(true).ShowValue(common.VisibilityModeAuto).FillOpacity(60).NoValue(noModel)
}

func versions() *table.PanelBuilder {
	t := cells(nil).NoValue(noModel).
		OverrideByName("role", words(map[string]word{"champion": {color: "green"}, "shadow": {color: "purple"}, "previous": {color: "gray"}}))
	return headed(t, map[string]string{"published_at": "published", "auc": "AUC", "auc_se": "AUC, s.e.", "log_loss": "log loss", "base_log_loss": "log loss of the base rate",
		"tested_rows": "tested on", "trained_rows": "trained on", "trained_positives": "of them churned", "trained_from": "trained from", "trained_to": "trained to",
		"feature_hash": "", "checksum": ""})
}

func freshness() *table.PanelBuilder {
	return headed(cells(nil).NoValue(noFeatures).OverrideByName("behind_s", colored(units.Seconds, "green", bound{60, "orange"})), map[string]string{"behind_s": "behind"})
}

func missingBars() *barchart.PanelBuilder {
	return barchart.NewPanelBuilder().Unit(units.PercentUnit).XField("feature").AxisLabel("of players").Min(0).Max(1).NoValue(noFeatures).
		Orientation(common.VizOrientationHorizontal).OverrideByName("players", inTooltip())
}

func driftTable() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"missing", "missing_in_training"}}).NoValue(noScores).
		OverrideByName("psi", colored(units.Short, "green", bound{0.1, "orange"}, bound{0.25, "red"}))
	return headed(t, map[string]string{"missing_in_training": "missing in training", "psi": "PSI", "by_chance": "PSI by chance"})
}

func skewTable() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"behind_share"}, units.Seconds: {"age_p50_s", "age_p95_s", "age_max_s"}}).NoValue(noScores)
	return headed(t, map[string]string{"feature_hash": "features", "behind_share": "share behind", "age_p50_s": "age, median", "age_p95_s": "age, p95", "age_max_s": "oldest"})
}

func scoreBars() *timeseries.PanelBuilder {
	return line(units.Short, "scores in a step").MaxDataPoints(coarse).NoValue(noScores).DisplayName("${__field.labels.answered}").FillOpacity(0)
}

func disagreement() *table.PanelBuilder {
	t := cells(map[string][]string{units.PercentUnit: {"champion_mean", "shadow_mean", "apart_mean", "apart_p95", "apart_max", "other_side"}}).NoValue(noShadow)
	return headed(t, map[string]string{"champion_mean": "champion says", "shadow_mean": "shadow says", "apart_mean": "apart, mean", "apart_p95": "apart, p95", "apart_max": "apart, most",
		"other_side": "on the other side"})
}

func scoreTimes() *table.PanelBuilder {
	t := cells(map[string][]string{units.Microseconds: {"mean_us", "p50_us", "p95_us", "p99_us", "max_us"}}).NoValue(noScores)
	return headed(t, map[string]string{"mean_us": "mean", "p50_us": "median", "p95_us": "p95", "p99_us": "p99", "max_us": "slowest"})
}

func calibration() *timeseries.PanelBuilder {
	return against(line(units.Short, "observed over said").FillOpacity(0).MaxDataPoints(coarse).NoValue(noLabels), thresholds("transparent", bound{1, "green"})).
		DisplayName("${__field.labels.voice} ${__field.name}").
		OverrideByRegexp("/ (low|high)$/", append(unit(units.Short), dashed(), unlisted()))
}

func reliability() *trend.PanelBuilder {
	return trend.NewPanelBuilder().XField("said").Unit(units.PercentUnit).AxisLabel("share who churned").Min(0).Max(1).LineWidth(1).NoValue(noLabels).
		ShowPoints(common.VisibilityModeAlways).SpanNulls(common.BoolOrFloat64{Bool: new(true)}).
		OverrideByName("said", append(unit(units.PercentUnit), property("custom.axisLabel", "said"))).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		OverrideByName("champion", append(unit(units.PercentUnit), fixed("green"))).
		OverrideByName("shadow", append(unit(units.PercentUnit), fixed("purple"))).
		OverrideByRegexp("/_(low|high)$/", append(unit(units.PercentUnit), fixed("green"), dashed(), unlisted())).
		OverrideByName("perfect", append(unit(units.PercentUnit), dashed(), fixed("gray")))
}
