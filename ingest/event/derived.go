package event

// Maturity says whether a published number can still change.
type Maturity uint8

const (
	// Provisional numbers may be corrected by a later revision.
	Provisional Maturity = iota
	// Final numbers are past the allowed lateness.
	Final
)

// NumWindows is the number of churn windows: 1 h, 24 h, 7 d and 28 d, in this
// order in every [NumWindows] array of Features.
const NumWindows = 4

// Features is one player's churn features as of AsOf, over [AsOf−w, AsOf) for
// each window w. Key: player_id. Newer revisions replace older ones.
type Features struct {
	// PlayerID is the pseudonym, and the key.
	PlayerID string `json:"player_id" rule:"required"`
	// Revision grows with every publication for the player.
	Revision uint64 `json:"revision" rule:"required"`
	// AsOf is the event time of the player's newest event plus 1 ms, so that [AsOf−w, AsOf) holds it.
	AsOf int64 `json:"as_of" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether a later revision may differ.
	Maturity Maturity `json:"maturity" rule:"required"`

	// Sessions counts analytic sessions, like every array by window: 1 h, 24 h, 7 d and 28 d.
	Sessions [NumWindows]uint32 `json:"sessions" feature:"sessions"`
	// ActiveDays counts UTC days with activity.
	ActiveDays [NumWindows]uint32 `json:"active_days" feature:"days"`
	// PlaytimeS is in seconds.
	PlaytimeS [NumWindows]uint32 `json:"playtime_s" feature:"s"`
	// Landings counts landing views.
	Landings [NumWindows]uint32 `json:"landings" feature:"views"`
	// Impressions counts offer impressions.
	Impressions [NumWindows]uint32 `json:"impressions" feature:"impressions"`
	// Clicks counts offer clicks.
	Clicks [NumWindows]uint32 `json:"clicks" feature:"clicks"`
	// Checkouts counts completed checkouts.
	Checkouts [NumWindows]uint32 `json:"checkouts" feature:"checkouts"`
	// NetSpend is completed minus refunded and charged back, in minor units of SpendCurrency.
	NetSpend [NumWindows]int64 `json:"net_spend" feature:"minor units of spend_currency"`
	// Creators and Drops count distinct ones.
	Creators [NumWindows]uint32 `json:"creators" feature:"creators"`
	Drops    [NumWindows]uint32 `json:"drops" feature:"drops"`
	// LatencyMeanMS is the mean experienced edge latency; −1 without a sample.
	LatencyMeanMS [NumWindows]float64 `json:"latency_mean_ms" feature:"ms;null"`
	// LatencyMaxMS is the worst experienced edge latency; −1 without a sample.
	LatencyMaxMS [NumWindows]float64 `json:"latency_max_ms" feature:"ms;null"`

	// SpendCurrency is the currency of the player's first completed checkout.
	SpendCurrency string `json:"spend_currency"`
	// ForeignCheckouts counts completed checkouts in another currency, which NetSpend leaves out.
	ForeignCheckouts uint32 `json:"foreign_checkouts" feature:"checkouts"`
	// FirstActivity and LastActivity are event times; AsOf−LastActivity is the recency, AsOf−FirstActivity the tenure.
	FirstActivity int64 `json:"first_activity"`
	LastActivity  int64 `json:"last_activity"`
	// SessionsTotal counts analytic sessions since FirstActivity.
	SessionsTotal uint32 `json:"sessions_total" feature:"sessions"`
	// GapMeanS and GapVarS2 are the EWMA of closed inter-session gaps in seconds; −1 with fewer than 2 sessions.
	GapMeanS float64 `json:"gap_mean_s" feature:"s;null"`
	GapVarS2 float64 `json:"gap_var_s2" feature:"s²;null"`
}

// Elapsed are the features that depend on when a player is scored: they are computed from Features, not stored.
// Key: none, they stand in vectors only.
type Elapsed struct {
	// RecencyS is the time since the last activity.
	RecencyS float64 `json:"recency_s" feature:"s"`
	// TenureS is the time since the first activity.
	TenureS float64 `json:"tenure_s" feature:"s"`
	// ActiveSpanS is the time between the first and the last activity.
	ActiveSpanS float64 `json:"active_span_s" feature:"s"`
	// AbsenceRatio is RecencyS over the EWMA of the gaps between sessions: the absence against the player's own norm.
	AbsenceRatio float64 `json:"absence_ratio" feature:"ratio;null"`
}

// ElapsedAt computes them as of the scoring time t (Unix ms), which is not before AsOf. AbsenceRatio is −1 where
// there is no norm.
func (f *Features) ElapsedAt(t int64) Elapsed {
	e := Elapsed{
		RecencyS: float64(t-f.LastActivity) / 1000, TenureS: float64(t-f.FirstActivity) / 1000,
		ActiveSpanS: float64(f.LastActivity-f.FirstActivity) / 1000, AbsenceRatio: -1,
	}
	if f.GapMeanS > 0 {
		e.AbsenceRatio = e.RecencyS / f.GapMeanS
	}
	return e
}

// VelocityStep indexes the funnel's steps in [NumSteps] arrays.
const (
	StepLanding = iota
	StepImpression
	StepClick
	StepStarted
	StepCompleted
	NumSteps
)

// Velocity is one mergeable partial: what one partition saw of a drop at one
// POP in one pane of PaneMS. Key: (drop_id, pop, pane_start, partition); newer
// revisions replace older ones; sums over partitions, POPs and panes are exact.
// Synthetic events are not counted.
type Velocity struct {
	// DropID names the drop.
	DropID string `json:"drop_id" rule:"required"`
	// POP is the edge location; empty where none is known.
	POP string `json:"pop"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// PaneStart is the event time (Unix ms) at which the pane begins, PaneMS its length.
	PaneStart int64 `json:"pane_start" rule:"required"`
	PaneMS    int64 `json:"pane_ms" rule:"required"`
	// Revision grows with every publication of this pane.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether a later revision may differ.
	Maturity Maturity `json:"maturity" rule:"required"`

	// Events counts each step's events.
	Events [NumSteps]uint32 `json:"events"`
	// Players counts players whose ordered first step falls in this pane:
	// step k's first time at or after step k−1's.
	Players [NumSteps]uint32 `json:"players"`
	// FunnelGap counts players left out of the ordered rates, by the pane of the event that showed the gap.
	FunnelGap uint32 `json:"funnel_gap"`
	// Failed, Refunded and Chargeback count checkout events of these types.
	Failed     uint32 `json:"failed"`
	Refunded   uint32 `json:"refunded"`
	Chargeback uint32 `json:"chargeback"`
	// Conversions counts players' first completed checkout of the drop, landing seen or not.
	Conversions uint32 `json:"conversions"`
	// TimeToConvert counts, among Conversions with a landing seen, panes between first landing and conversion:
	// the landing's pane is PaneStart − Panes·PaneMS. Sorted by Panes.
	TimeToConvert []TimeToConvert `json:"time_to_convert"`
	// Money by currency, sorted by Currency.
	Money []Money `json:"money"`
}

// TimeToConvert is one bin of a time-to-convert histogram.
type TimeToConvert struct {
	// Panes between first landing and conversion.
	Panes uint32 `json:"panes"`
	// Count of conversions.
	Count uint32 `json:"count"`
}

// Money is gross and returned revenue in minor units of Currency.
type Money struct {
	// Currency is an ISO 4217 code.
	Currency string `json:"currency"`
	// Gross is the sum of completed checkouts.
	Gross int64 `json:"gross"`
	// Refunds is the sum of refunds, not negative.
	Refunds int64 `json:"refunds"`
	// Chargebacks is kept apart from Refunds.
	Chargebacks int64 `json:"chargebacks"`
}

// DeadLetter is one record that could not be counted, with where it stood and why.
type DeadLetter struct {
	// Topic, Partition and Offset say where the record stood.
	Topic     string `json:"topic" rule:"required"`
	Partition int32  `json:"partition" rule:"required"`
	Offset    int64  `json:"offset" rule:"required"`
	// Timestamp is the broker's.
	Timestamp int64 `json:"timestamp"`
	// Class is why it could not be counted.
	Class Reason `json:"class" rule:"required"`
	// Field names the offending field, if one does.
	Field string `json:"field"`
	// Key and Value are the record as it was.
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// Late is one valid event that arrived past the allowed lateness.
type Late struct {
	// Topic, Partition and Offset say where the record stood.
	Topic     string `json:"topic" rule:"required"`
	Partition int32  `json:"partition" rule:"required"`
	Offset    int64  `json:"offset" rule:"required"`
	// Timestamp is the broker's.
	Timestamp int64 `json:"timestamp"`
	// EventTime is the event's.
	EventTime int64 `json:"event_time"`
	// LateByMS is how far beyond the allowed lateness it came.
	LateByMS int64 `json:"late_by_ms"`
	// DropID names the drop; empty outside one.
	DropID string `json:"drop_id"`
	// Value is the record as it was.
	Value []byte `json:"value"`
}
