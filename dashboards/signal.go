package dashboards

// Signal is a number of the stored data that alerts watch: a gauge, filled from a named query that takes the parameters
// drop and at (event time as of which it answers).
type Signal struct {
	// Metric is the gauge's name and Help its text.
	Metric, Help string
	// Query is the named query of package sql.
	Query string
	// Labels are the columns that become labels, beside the label drop; Value is the column of the number. A row whose
	// value is NULL gives no series.
	Labels []string
	Value  string
}

// SignalDrops is the query that lists the drops to watch: columns drop_id and at.
const SignalDrops = "signal_drops"

// Signals are all of them; those of one query stand together.
func Signals() []Signal {
	return []Signal{
		{"droplift_signal_velocity_ratio", "Conversions of the window over those that the periods before it lead to expect.", "signal_velocity", []string{"window"}, "ratio"},
		{"droplift_signal_velocity_ratio_high", "The most that the ratio can be, by counting noise (99 %).", "signal_velocity", []string{"window"}, "ratio_high"},
		{"droplift_signal_latency_lost_low", "Conversions that slow landings cost in the last hour, at least; observational.", "signal_latency", []string{"pop"}, "lost_low"},
		{"droplift_signal_latency_share_low", "The same as a share of the conversions made and lost.", "signal_latency", []string{"pop"}, "share_low"},
		{"droplift_signal_latency_slow", "Share of landings above the latency budget in the last hour.", "signal_latency", []string{"pop"}, "slow"},
		{"droplift_signal_localization_burn", "Burn rate of the budget of bad cues over the window's factor, the smaller of the long and the short window's: above 1 it fires.",
			"signal_localization", []string{"language", "severity", "window"}, "burn"},
		{"droplift_signal_settlement_within_5s", "Upper end of the interval of the share of the last hour's sales in the ledger within 5 s.", "signal_settlement", nil, "within_5s"},
		{"droplift_signal_settlement_within_60s", "The same within 60 s.", "signal_settlement", nil, "within_60s"},
		{"droplift_signal_settlement_parked", "Events about money that have waited for what they refer to for more than 15 min.", "signal_settlement", nil, "parked"},
		{"droplift_signal_oversold_pieces", "Pieces sold beyond an item's limit.", "signal_stock", []string{"sku"}, "oversold"},
		{"droplift_signal_budget_spent_ratio", "Edge spending over the drop's budget.", "signal_budget", nil, "spent"},
		{"droplift_signal_budget_projected_ratio", "Edge spending at the drop's end, at the rate of the last 15 min, over its budget.", "signal_budget", nil, "projected"},
		{"droplift_signal_budget_level", "Level of the drop's edge budget: 0 ok, 1 warn, 2 cap.", "signal_budget", nil, "level"},
		{"droplift_signal_srm_p", "Always-valid p-value against arms of the promised sizes; the empty language is all of them.", "signal_experiments", []string{"experiment", "language"}, "p"},
	}
}
