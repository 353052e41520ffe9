package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// creators is what creators earn and whether the ledger that pays them is right.
func creators() (Dashboard, error) {
	b := newBoard("droplift-creators", "Creators and settlement", "What creators' drops earn and who gets which share, whether the ledger agrees with what was sold, how fast it is, and what is owed, held and paid.")
	b.chooseDrop()
	b.chooseCurrency()

	b.row("Does the ledger hold what was sold?")
	b.sql("Reconciliation", size{8, 6}, reconciled(), named{as: rows, name: "dashboard_reconciled"})
	b.sql("Settlement objective", size{16, 6}, settlementStats(), named{as: rows, name: "dashboard_settlement"})
	b.sql("Reconciliation by currency", size{24, 6}, reconciliationTable(), named{as: rows, name: "dashboard_reconciliation"})
	b.sql("Settled within 5 s and 60 s", size{12, 8}, settledShares(), named{as: series, name: "dashboard_settlement_time"})
	b.sql("Refunds and chargebacks", size{12, 8}, returnsGraph(), named{as: series, name: "dashboard_returns"})

	b.row("What creators earn")
	b.sql("Creators", size{24, 7}, headed(cells(map[string][]string{units.LocaleFormat: {"gross", "refunds", "chargebacks", "net", "shares", "platform"}}),
		map[string]string{"shares": "participants' shares", "platform": "platform's share"}), named{as: rows, name: "dashboard_creator_revenue"})
	b.sql("Net revenue by creator", size{24, 8}, reported(byPOP(units.Short, reportingCode), "${__field.labels.creator} ${__field.labels.currency}"),
		named{as: series, name: "dashboard_creator_net"})
	b.sql("Effects and their evidence", size{24, 8}, evidenceTable(), named{as: rows, name: "dashboard_evidence"})

	b.row("What drops changed: creator uplift and returns")
	b.sql("What the drop changed", size{24, 11}, changesTable(), named{as: rows, name: "dashboard_changes"})
	b.sql("What each creator's drops changed", size{24, 11}, changesTable(), named{as: rows, name: "dashboard_changes_by_drop"})

	b.row("Shares and payouts")
	b.sql("Shares of the drop", size{12, 9}, headed(cells(map[string][]string{units.PercentUnit: {"agreed", "share"}, units.LocaleFormat: {"credited"}}),
		map[string]string{"share": "share of what was credited"}), named{as: rows, name: "dashboard_splits"})
	b.sql("Held back", size{12, 9}, cells(map[string][]string{units.LocaleFormat: {"held", "reserved"}}), named{as: rows, name: "dashboard_holds"})
	b.sql("Owed to participants", size{24, 9}, balancesTable(), named{as: rows, name: "dashboard_balances"})
	b.sql("Payouts", size{24, 8}, payoutsTable(), named{as: rows, name: "dashboard_payouts"})

	b.row("Open and refused")
	b.sql("Open money", size{9, 8}, openTable(), named{as: rows, name: "dashboard_open_money"})
	b.sql("Exceptions", size{15, 8}, cells(map[string][]string{units.LocaleFormat: {"amount"}}).OverrideByName("detail", wrapped(200)), named{as: rows, name: "dashboard_exceptions"})
	return b.build()
}

func reconciled() *stat.PanelBuilder {
	bad := limits("green", bound{1, "red"})
	return big().
		OverrideByName("state", append(words(map[string]word{"balanced": {color: "green"}, "on its way": {color: "orange"}, "DIFFERENCE": {color: "red"}}), called("the ledger")...)).
		OverrideByName("currencies", []dashboard.DynamicConfigValue{fixed("text")}).
		OverrideByName("differ", called("currencies that differ", bad)).
		OverrideByName("wrong", called("wrong events", bad)).
		OverrideByName("unbalanced", called("currencies not summing to 0", bad)).
		OverrideByName("fresh", called("on their way", fixed("text"))).
		OverrideByName("parked", called("parked", limits("green", bound{1, "orange"}))).
		OverrideByName("refused", called("refused", limits("green", bound{1, "orange"})))
}

func settlementStats() *stat.PanelBuilder {
	share := append(unit(units.PercentUnit), property("decimals", 2))
	return big().NoValue("not measured").
		OverrideByRegexp("/^(measured|p50_s|p99_s)$/", []dashboard.DynamicConfigValue{fixed("text")}).
		OverrideByName("recorded", called("from a recording", fixed("text"))).
		OverrideByName("within_5s", append(share, called("within 5 s", limits("red", bound{0.99, "green"}))...)).
		OverrideByName("within_60s", append(share, called("within 60 s", limits("red", bound{0.999, "green"}))...)).
		OverrideByName("p50_s", append(unit(units.Seconds), called("p50")...)).
		OverrideByName("p99_s", append(unit(units.Seconds), called("p99")...)).
		OverrideByName("objective", words(map[string]word{"met": {color: "green"}, "missed": {color: "red"}, "recorded only": {color: "blue"}}))
}

// settledShares draws the two objectives as thresholds.
func settledShares() *timeseries.PanelBuilder {
	return against(timeseries.NewPanelBuilder().Unit(units.PercentUnit).Decimals(2).AxisLabel("of the sales").AxisSoftMin(0.98).Max(1).LineWidth(1).
		ShowPoints(common.VisibilityModeAuto).NoValue("No sale of this range was settled live: a recording says nothing of the time that settling takes."),
		thresholds("red", bound{0.99, "orange"}, bound{0.999, "green"}))
}

func reconciliationTable() *table.PanelBuilder {
	zero := colored(units.LocaleFormat, "red", bound{0, "green"}, bound{1e-9, "red"})
	return headed(cells(map[string][]string{units.LocaleFormat: {"events", "posted", "parked", "refused", "dead_lettered", "in_flight"}}),
		map[string]string{"events": "sold, by the events", "dead_lettered": "dead letters", "in_flight": "on its way", "wrong": "wrong events", "ledger_sum": "sum of the ledger, 0"}).
		OverrideByName("difference", zero).OverrideByName("ledger_sum", zero).
		OverrideByName("wrong", colored(units.Short, "green", bound{1, "red"}))
}

// returnsGraph compares in one currency what came back; the amounts in their own currencies are in the tooltip.
func returnsGraph() *timeseries.PanelBuilder {
	return inCurrencies(moneyBars().DisplayName("${__field.labels.currency} ${__field.name}")).MaxDataPoints(coarse).
		OverrideByRegexp("/ (sales|refunds|chargebacks)$/", inTooltip()).
		OverrideByRegexp("/ returned$/", []dashboard.DynamicConfigValue{property("unit", units.Short), property("custom.axisLabel", reportingCode),
			property("displayName", "${__field.labels.currency}")})
}

func evidenceTable() *table.PanelBuilder {
	return headed(cells(map[string][]string{units.NoUnit: {"value", "low", "high"}, units.PercentUnit: {"confidence"}}),
		map[string]string{"low": "at least", "high": "at most", "unit": "in", "n": "players", "words": "may be called", "note": "missing"}).
		OverrideByName("of", wrapped(150)).OverrideByName("note", wrapped(260)).
		OverrideByName("grade", gradeWords())
}

func gradeWords() []dashboard.DynamicConfigValue {
	return words(map[string]word{
		"A": {text: "A randomised", color: "green"}, "B": {text: "B randomised, by instrument", color: "green"}, "C": {text: "C quasi-experiment", color: "yellow"},
		"D": {text: "D association, matched", color: "orange"}, "E": {text: "E description", color: "orange"},
	})
}

// changesTable shows what drops changed; the numbers are per cent or points, as the column beside them says.
func changesTable() *table.PanelBuilder {
	t := headed(cells(map[string][]string{units.PercentUnit: {"confidence"}}).NoValue("No drop of the chosen creators is in the catalogue."),
		map[string]string{"low": "at least", "high": "at most", "unit": "in", "scope": "over", "words": "may be called", "missing": "remarks, and what is missing", "as_of": "as of"}).
		OverrideByName("words", wrapped(150)).OverrideByName("missing", wrapped(280)).
		OverrideByName("grade", gradeWords()).
		OverrideByName("p", []dashboard.DynamicConfigValue{property("unit", units.NoUnit), property("decimals", 4)})
	for _, column := range []string{"value", "low", "high"} {
		t = t.OverrideByName(column, []dashboard.DynamicConfigValue{property("unit", units.NoUnit), property("decimals", 2)})
	}
	return t
}

func balancesTable() *table.PanelBuilder {
	return cells(map[string][]string{units.LocaleFormat: {"earned", "returned", "paid", "held", "reserved", "instructed", "payable"}}).
		OverrideByName("owed", colored(units.LocaleFormat, "red", bound{0, "text"})).
		OverrideByName("alarms", colored(units.Short, "green", bound{1, "red"}))
}

func payoutsTable() *table.PanelBuilder {
	return headed(cells(map[string][]string{units.LocaleFormat: {"amount", "paid"}}), map[string]string{"as_of": "released"}).
		OverrideByName("status", words(map[string]word{"open": {color: "blue"}, "settled": {color: "green"}, "mismatched": {color: "red"}, "double": {color: "red"}, "unknown": {color: "red"}}))
}

func openTable() *table.PanelBuilder {
	return cells(map[string][]string{units.LocaleFormat: {"amount"}}).
		OverrideByName("state", words(map[string]word{"all posted": {color: "green"}, "parked": {color: "orange"}, "refused": {color: "orange"},
			"dead_lettered": {color: "orange"}, "unaccounted": {color: "red"}, "stray": {color: "red"}, "posted": {text: "posted with another amount", color: "red"}}))
}
