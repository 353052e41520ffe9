package dashboards

import "time"

// Severity says how fast somebody must act.
type Severity string

const (
	// Page wakes somebody.
	Page Severity = "page"
	// Ticket waits for working hours.
	Ticket Severity = "ticket"
)

// Alert is a condition that somebody must act on.
type Alert struct {
	// Name is unique and CamelCase. Summary and Description are templates over $labels and $value.
	Name, Summary, Description string
	// Expr is PromQL: the condition holds for each series that it returns.
	Expr string
	// For is how long it must hold, without a gap.
	For      time.Duration
	Severity Severity
	// Owner is the team that acts, NextStep the first thing that it does, Runbook the rest, in Markdown.
	Owner, NextStep, Runbook string
	// Dashboard is the UID of the dashboard that shows more.
	Dashboard string
}

// Alerts are all of them, by subject. Thresholds are defaults of DOMAIN.md; each description says what it means.
func Alerts() []Alert {
	return []Alert{
		{
			Name: "VelocityCollapse", Severity: Page, For: 3 * time.Minute, Owner: "live-ops", Dashboard: "droplift-drop-live",
			Expr:        `min by (drop) (droplift_signal_velocity_ratio_high) < 0.5`,
			Summary:     "Conversions of drop {{ $labels.drop }} have collapsed",
			Description: "Even with counting noise in their favour (99 %), the last 5 or 15 minutes hold {{ $value | humanizePercentage }} of the conversions that the drop's own decay leads to expect; below half it pages.",
			NextStep:    "Try a checkout yourself, then compare the funnel's steps before and after the fall.",
			Runbook: `1. Landings fell too: look at the edge (POPs, DNS, the drop's page) and at the creator's stream.
2. Landings hold and checkouts started hold, completed fall: the payment provider or the checkout service. Look at the reasons of failed checkouts.
3. Landings hold, starts fall: price, stock or the call to action. Look at price changes and sell-out in the annotations.
4. All steps fall alike and consumer lag grows: the pipeline is behind, not the drop. See ProcessingLag.`,
		},
		{
			Name: "LatencyLoss", Severity: Page, For: 10 * time.Minute, Owner: "edge", Dashboard: "droplift-edge-revenue",
			Expr:        `droplift_signal_latency_share_low > 0.10 and droplift_signal_latency_lost_low >= 1`,
			Summary:     "Slow landings at POP {{ $labels.pop }} cost drop {{ $labels.drop }} a tenth of its conversions or more",
			Description: "At the careful end of the estimate (observational, not randomised), landings above the latency budget cost {{ $value | humanizePercentage }} of this POP's conversions of the last hour; above 10 % it pages.",
			NextStep:    "Compare the POP's latency quantiles and cache hits with its neighbours'.",
			Runbook: `1. Cache hits fell: warm the drop's objects again (droplift prewarm plan) and look for a changed cache key.
2. Cache hits hold: the POP or its path to the origin is slow. Drain it to the next POP if that one has room.
3. Every POP is slow: the origin. Let it shed optional work.
4. The loss is an observational estimate; do not quote it as caused without an experiment.`,
		},
		{
			Name: "SubtitlesBurnFast", Severity: Page, For: time.Minute, Owner: "localization", Dashboard: "droplift-localization",
			Expr:        `max by (drop, language) (droplift_signal_localization_burn{severity="page"}) > 1`,
			Summary:     "Subtitles in {{ $labels.language }} of drop {{ $labels.drop }} use up their error budget within hours",
			Description: "Over a long and a short window the budget of bad cues burns {{ $value | humanize }} times as fast as a page's factor: 5 % of it in 15 min, or 10 % in 1 h.",
			NextStep:    "Watch the stream in this language and see which fault leads: missing, slow, or too dense.",
			Runbook: `1. Missing: the translation worker of the language is down. Fail over, or show the source track with a note.
2. Slow: translation times rise. Look at the provider's latency; fall back to the faster model.
3. Dense or brief: segmentation. Lengthen the cues.
4. One language only: its worker. All of them: the source track or the recogniser.`,
		},
		{
			Name: "SubtitlesBurnSlow", Severity: Ticket, For: 5 * time.Minute, Owner: "localization", Dashboard: "droplift-localization",
			Expr:        `max by (drop, language) (droplift_signal_localization_burn{severity="ticket"}) > 1`,
			Summary:     "Subtitles in {{ $labels.language }} of drop {{ $labels.drop }} will not keep their objective",
			Description: "Over 6 h and 30 min the budget of bad cues burns {{ $value | humanize }} times as fast as a ticket's factor: a quarter of it in 6 h.",
			NextStep:    "Read which fault leads, and plan the fix for before the next stream.",
			Runbook:     "As for SubtitlesBurnFast, without the hurry: the budget lasts for hours yet.",
		},
		{
			Name: "SettlementSlow", Severity: Page, For: 5 * time.Minute, Owner: "finance", Dashboard: "droplift-creators",
			Expr:        `droplift_signal_settlement_within_5s < 0.99 or droplift_signal_settlement_within_60s < 0.999`,
			Summary:     "Sales of drop {{ $labels.drop }} reach the ledger too late",
			Description: "Of the last hour's sales at most {{ $value | humanizePercentage }} stand in the ledger in time (99 % within 5 s, 99.9 % within 60 s of their ingest), counting noise in their favour.",
			NextStep:    "Look at the lag of the checkout topic and at commit times on the pipeline's dashboard.",
			Runbook: `1. Lag grows: see ProcessingLag. Nothing is lost; sales are posted when the stage catches up.
2. No lag, slow commits: the brokers. Look at transaction aborts.
3. Check afterwards that settlement_reconciliation has a difference of 0.`,
		},
		{
			Name: "SettlementParked", Severity: Ticket, For: 15 * time.Minute, Owner: "finance", Dashboard: "droplift-creators",
			Expr:        `droplift_signal_settlement_parked > 0`,
			Summary:     "{{ $value }} events about money of drop {{ $labels.drop }} wait for their sale",
			Description: "Refunds or chargebacks whose sale, or sales whose split version, has not come for 15 min of event time. The ledger posts them once it comes.",
			NextStep:    "Run droplift query settlement_open with the drop and find the missing sale or catalogue version.",
			Runbook:     "A missing sale: look for it among the dead letters and replay it. A missing split version: publish the catalogue entry. Never post by hand.",
		},
		{
			Name: "Oversold", Severity: Page, Owner: "live-ops", Dashboard: "droplift-drop-live",
			Expr:        `droplift_signal_oversold_pieces > 0`,
			Summary:     "{{ $value }} pieces of {{ $labels.sku }} were sold that do not exist, in drop {{ $labels.drop }}",
			Description: "More pieces were sold than the catalogue holds; returned ones are not taken off, for each was promised to somebody.",
			NextStep:    "Stop the channel that still sells the item.",
			Runbook: `1. See by channel who sold beyond the limit (droplift query inventory): tills often sell without asking.
2. More can be made: raise the inventory in a new catalogue version; the alert ends.
3. Otherwise refund the newest buyers first and tell them today.`,
		},
		{
			Name: "BudgetCap", Severity: Page, Owner: "edge", Dashboard: "droplift-cost",
			Expr:        `droplift_signal_budget_level == 2`,
			Summary:     "The edge budget of drop {{ $labels.drop }} is capped",
			Description: "Spending with its reservations reached the cap (95 % of the budget by default); optional work is shed, checkout never is. The cap stays until the budget is raised or the drop ends.",
			NextStep:    "Decide with the creator's manager whether to raise the budget.",
			Runbook:     "Raise: publish the catalogue entry with a new budget, the level falls at once. Hold: watch conversions, for recommendations and small languages are off. See what was shed among the decisions.",
		},
		{
			Name: "BudgetProjected", Severity: Ticket, For: 10 * time.Minute, Owner: "edge", Dashboard: "droplift-cost",
			Expr:        `(droplift_signal_budget_projected_ratio >= 1 and droplift_signal_budget_level < 2) or droplift_signal_budget_spent_ratio >= 0.8`,
			Summary:     "Drop {{ $labels.drop }} heads for {{ $value | humanizePercentage }} of its edge budget",
			Description: "At the rate of the last 15 min the budget does not last to the drop's end, or 80 % of it is spent.",
			NextStep:    "Compare spending with pace by POP: is it traffic that sells, or waste?",
			Runbook:     "Waste (bots, retries, cache misses): fix it at the POP. Traffic that sells: raise the budget in time. Pacing sheds optional work by itself.",
		},
		{
			Name: "SampleRatioMismatch", Severity: Ticket, Owner: "data-science", Dashboard: "droplift-localization",
			Expr:        `droplift_signal_srm_p < 0.001`,
			Summary:     "Experiment {{ $labels.experiment }} of drop {{ $labels.drop }} has arms of the wrong size{{ with $labels.language }} in {{ . }}{{ end }}",
			Description: "Such sizes have a probability of {{ $value }} under the catalogue's split (always-valid test, below 0.001 it alarms). Its effects are withheld.",
			NextStep:    "Do not read the effect. Compare the arms by POP, device and language.",
			Runbook:     "Usual causes: a cache that serves one variant to all, a crash in one variant, a bot filter that hits one arm. Fix the cause and start the experiment anew under another salt.",
		},
		{
			Name: "ProcessingLag", Severity: Page, For: 5 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `sum by (stage) (droplift_stage_lag_records) / sum by (stage) (rate(droplift_stage_records_in_total[5m])) > 60`,
			Summary:     "Stage {{ $labels.stage }} is {{ $value | humanizeDuration }} behind",
			Description: "At its present rate the stage needs more than a minute for what already waits; live numbers are that old.",
			NextStep:    "Run droplift status: it says where the time goes.",
			Runbook:     "More load than the instances bear: add instances, up to one a partition. One partition alone: a hot key or a slow broker. No progress at all: see the log for aborted transactions.",
		},
		{
			Name: "StoreStale", Severity: Page, For: 3 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `max by (topic) ((time() - droplift_feed_written_record_timestamp_seconds) and droplift_feed_lag_records > 0) > 60`,
			Summary:     "ClickHouse is {{ $value | humanizeDuration }} behind on topic {{ $labels.topic }}",
			Description: "Records wait, and the newest one stored is older than a minute: dashboards and reports lag by as much.",
			NextStep:    "Look at insert errors and at where the time of the topic's workers goes (droplift status).",
			Runbook:     "ClickHouse away or refusing: see StoreErrors. Slow inserts: too many parts, a busy disk or merges. Nothing is lost: the sink goes on from its offsets.",
		},
		{
			Name: "StoreErrors", Severity: Ticket, For: 5 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `sum by (table, class) (rate(droplift_sink_insert_errors_total[5m])) > 0`,
			Summary:     "Inserts into {{ $labels.table }} fail: {{ $labels.class }}",
			Description: "{{ $value | humanize }} insert attempts a second fail. Every batch is repeated with the same token, so that none counts twice.",
			NextStep:    "Read the error in the sink's log.",
			Runbook:     "Unreachable: the server or the network. Refused rows: the dead letters tell which. Too many parts: let batches wait longer, see the sink's settings.",
		},
		{
			Name: "PartitionStuck", Severity: Page, For: 10 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `max by (stage) (droplift_process_watermark_seconds) - min by (stage) (droplift_process_watermark_seconds > 0) > 1800`,
			Summary:     "A partition of stage {{ $labels.stage }} is {{ $value | humanizeDuration }} of event time behind the furthest",
			Description: "More than 30 min between the watermarks: the slow partition's players are missing from live numbers, and windows stay provisional.",
			NextStep:    "Find the partition on the pipeline's dashboard and see whether it has lag.",
			Runbook:     "It has lag: its instance is slow or gone, see ProcessingLag. It has none: it gets no records; a producer's partitioner is wrong, or the topic has more partitions than traffic.",
		},
		{
			Name: "NotReady", Severity: Page, For: 2 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `min by (instance, stage) (droplift_stage_ready) == 0`,
			Summary:     "Stage {{ $labels.stage }} on {{ $labels.instance }} does not process",
			Description: "The stage waits: for brokers, for its partitions or for its state.",
			NextStep:    "Ask /readyz of the instance: it names what it waits for.",
			Runbook:     "A restore takes seconds with a snapshot; without one it reads the change-log, see the restore rate. Brokers away: the client tries again by itself.",
		},
		{
			Name: "DeadLetters", Severity: Ticket, For: 10 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `sum by (stage) (rate(droplift_process_dead_letters_total[10m])) / sum by (stage) (rate(droplift_stage_records_in_total[10m])) > 0.01`,
			Summary:     "{{ $value | humanizePercentage }} of the records of stage {{ $labels.stage }} cannot be counted",
			Description: "More than one record in a hundred is refused and kept as a dead letter.",
			NextStep:    "Run droplift deadletter list: class and field say what is wrong.",
			Runbook:     "One producer: tell its owner, then droplift deadletter replay after the fix. All of them: a schema changed before its consumers.",
		},
		{
			Name: "OffsetsLost", Severity: Page, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `sum by (job, instance) (increase(droplift_stage_lost_offsets_total[10m])) > 0 or sum by (job, instance) (increase(droplift_feed_lost_offsets_total[10m])) > 0`,
			Summary:     "Retention removed about {{ $value | humanize }} records before they were read",
			Description: "The lag outlived the topic's retention. These records are in no number.",
			NextStep:    "Raise the topic's retention now, then find why the lag lasted.",
			Runbook:     "Run droplift audit: it names the missing ranges. Ask the producers whether they can send them again; ids make that safe.",
		},
		{
			Name: "Rebalances", Severity: Ticket, For: 5 * time.Minute, Owner: "platform", Dashboard: "droplift-pipeline",
			Expr:        `sum by (stage) (increase(droplift_stage_restores_total[30m])) > 3 * sum by (stage) (droplift_stage_tasks) and sum by (stage) (droplift_stage_tasks) > 0`,
			Summary:     "Stage {{ $labels.stage }} keeps restoring its tasks",
			Description: "{{ $value | humanize }} restores in half an hour, more than three for each task: instances come and go.",
			NextStep:    "Look for restarts of instances and for session time-outs in the log.",
			Runbook:     "Out of memory: see the memory's limit. Sessions time out: long pauses or a slow network; give instances static names (--instance) and raise --session-timeout.",
		},
	}
}
