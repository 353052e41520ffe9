package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// pipelineHealth is what an operator of the pipeline itself watches: is it behind, why, and what it could not count.
// It lives off the processes' own metrics, so that it shows what is wrong with ClickHouse while ClickHouse is away, and
// asks for no drop, so that it is there before the first one.
func pipelineHealth() (Dashboard, error) {
	b := newBoard("droplift-pipeline", "Pipeline", "The pipeline itself: lag, freshness, throughput, where its time goes, what it stored, restored and could not count.")
	b.builder.Time("now-1h", "now")

	b.row("Now")
	b.promQL("State of the pipeline", "Right now: processes and stages that are not ready and losses should be 0; lag falls to 0 whenever the pipeline keeps up.", size{24, 5}, pipelineNow(),
		metric{`sum(rate(droplift_stage_records_in_total[$__rate_interval]))`, "records/s processed"},
		metric{`sum(rate(droplift_sink_rows_total[$__rate_interval]))`, "rows/s stored"},
		metric{`sum(droplift_stage_lag_records)`, "records behind, stages"},
		metric{`sum(droplift_feed_lag_records)`, "records behind, sink"},
		metric{`(count(up{job="droplift"} == 0) or vector(0)) + (count(droplift_stage_ready == 0) or vector(0)) + (count(droplift_feed_ready == 0) or vector(0))`, "not ready"},
		metric{`(sum(droplift_stage_lost_offsets_total) or vector(0)) + (sum(droplift_feed_lost_offsets_total) or vector(0))`, "records lost to retention"},
		metric{`max(time() - droplift_stage_snapshot_timestamp_seconds)`, "oldest snapshot"})

	b.row("Lag and freshness")
	b.promQL("Consumer lag", "Records between the last commit and the end of the log, by stage and input.", size{12, 11},
		line(units.Short, "records"), metric{`sum by (stage, input) (droplift_stage_lag_records)`, "{{stage}} {{input}}"})
	b.promQL("Sink lag", "Records between what ClickHouse has acknowledged and the end of the log, by topic.", size{12, 11},
		line(units.Short, "records"), metric{`sum by (topic) (droplift_feed_lag_records)`, "{{topic}}"})
	b.promQL("How old outputs are", "While a stage or topic lags: age by Kafka timestamp of the last record committed or stored, worst partition; 0 without lag.", size{12, 11},
		line(units.Seconds, "age"),
		metric{`max by (stage) ((time() - droplift_stage_committed_record_timestamp_seconds) * (droplift_stage_lag_records > bool 0))`, "stage {{stage}}"},
		metric{`max by (topic) ((time() - droplift_feed_written_record_timestamp_seconds) * (droplift_feed_lag_records > bool 0))`, "sink {{topic}}"})
	b.promQL("Age of the newest record", "Time since the Kafka timestamp of the newest record that each table took in; it grows while nothing is sent.", size{12, 11},
		line(units.Seconds, "age").NoValue("No record was stored since the process began"),
		metric{`time() - max by (table) (droplift_sink_newest_record_time_seconds)`, "{{table}}"})
	b.promQL("Kafka to queryable", "From Kafka's timestamp of a batch's oldest record to ClickHouse's acknowledgement, all topics; at 20,000 events/s the 99th percentile stays under the red line at 2 s.", size{12, 8},
		redFrom(line(units.Seconds, "delay"), 2).NoValue("Nothing was stored in this range"),
		quantile("0.5", "", "droplift_feed_record_age_seconds", "p50"),
		quantile("0.99", "", "droplift_feed_record_age_seconds", "p99"))
	b.promQL("Kafka to processed", "From Kafka's timestamp of a transaction's oldest record to its commit, 99th percentile by stage; at 20,000 events/s features stay under the red line at 500 ms.", size{12, 8},
		redFrom(line(units.Seconds, "p99"), 0.5).NoValue("Nothing was committed in this range"),
		quantile("0.99", "stage", "droplift_stage_record_age_seconds", "{{stage}}"))
	b.sql("Watermarks", size{24, 7}, headed(cells(map[string][]string{units.Seconds: {"behind_s"}}).NoValue("No drop has begun yet."), map[string]string{"behind_s": "behind the newest pane", "provisional_panes": "provisional panes", "final_panes": "final panes"}), named{as: rows, name: "dashboard_watermarks"})

	b.row("Throughput")
	b.promQL("Records processed", "Input records of committed transactions by stage and outcome.", size{8, 11},
		line(units.RecordsPerSecond, "records"), metric{`sum by (stage, outcome) (rate(droplift_stage_records_in_total[$__rate_interval]))`, "{{stage}} {{outcome}}"})
	b.promQL("Records produced", "Committed output records by stage and kind, and change-log records.", size{8, 11}, line(units.RecordsPerSecond, "records"),
		metric{`sum by (stage, kind) (rate(droplift_stage_records_out_total[$__rate_interval]))`, "{{stage}} {{kind}}"},
		metric{`sum by (stage) (rate(droplift_stage_changelog_records_total[$__rate_interval]))`, "{{stage}} change-log"})
	b.promQL("Rows stored", "Rows that ClickHouse has acknowledged, by table.", size{8, 11},
		line(units.RowsPerSecond, "rows"), metric{`sum by (table) (rate(droplift_sink_rows_total[$__rate_interval]))`, "{{table}}"})
	b.promQL("Where the time of stages goes", "Share of the loops' time by activity: idle and fetch wait for records, memory waits for it to fall, backoff follows a failure.", size{12, 8}, shares(),
		metric{`sum by (on) (rate(droplift_stage_seconds_total[$__rate_interval])) / on () group_left () sum(rate(droplift_stage_seconds_total[$__rate_interval]))`, "{{on}}"})
	b.promQL("Where the time of the sink goes", "Share of the workers' time by activity: slot waits for other inserts, plan commits offsets, backoff follows a failure.", size{12, 8}, shares(),
		metric{`sum by (on) (rate(droplift_feed_seconds_total[$__rate_interval])) / on () group_left () sum(rate(droplift_feed_seconds_total[$__rate_interval]))`, "{{on}}"})

	b.row("Commits and inserts")
	b.promQL("Commit latency", "99th percentile from the first output produced to the end of the transaction, by stage.", size{8, 11},
		line(units.Seconds, "p99").NoValue("Nothing was committed in this range"),
		quantile("0.99", "stage", "droplift_stage_commit_seconds", "{{stage}}"))
	b.promQL("Insert latency", "99th percentile of one insert attempt, failed ones included, by table.", size{8, 11},
		line(units.Seconds, "p99").NoValue("Nothing was inserted in this range"),
		quantile("0.99", "table", "droplift_sink_insert_seconds", "{{table}}"))
	b.promQL("Aborts and failed inserts", "Aborted transactions by cause and failed insert attempts by class. Causes cancelled and rebalanced are normal at a restart; others repeat work, and lose none.", size{8, 11},
		line(units.CountsPerSecond, "a second"),
		metric{`sum by (stage, cause) (rate(droplift_stage_aborts_total[$__rate_interval]))`, "{{stage}} {{cause}}"},
		metric{`sum by (table, class) (rate(droplift_sink_insert_errors_total[$__rate_interval]))`, "{{table}} {{class}}"})
	b.promQL("Rows per insert", "Mean rows of an acknowledged batch by table: small batches make many parts.", size{12, 11},
		line(units.Short, "rows").NoValue("Nothing was inserted in this range"),
		metric{`sum by (table) (rate(droplift_sink_batch_rows_sum[$__rate_interval])) / sum by (table) (rate(droplift_sink_batch_rows_count[$__rate_interval]))`, "{{table}}"})
	b.promQL("Inserts per minute", "Batches inserted by table, each a part of its table.", size{12, 11},
		line(units.CountsPerMinute, "inserts"), metric{`max by (table) (droplift_sink_inserts_per_minute)`, "{{table}}"})
	b.sql("Tables and parts", size{24, 10}, headed(cells(nil).OverrideByName("bytes", unit(units.BytesIEC)), map[string]string{"stored_rows": "rows", "active_parts": "parts", "parts_per_minute": "new parts in the last minute", "bytes": "on disk"}), named{as: rows, name: "status_tables"})

	b.row("Restores and snapshots")
	b.promQL("Tasks restored", "Tasks restored and assignments received, by stage, in the interval before each point: more of them than restarts means that the group is not stable.", size{8, 8},
		line(units.Short, "restores"),
		metric{`sum by (stage) (increase(droplift_stage_restores_total[$__rate_interval]))`, "{{stage}} restored"},
		metric{`sum by (stage) (increase(droplift_stage_rebalances_total[$__rate_interval]))`, "{{stage}} assignments"})
	b.promQL("Restored entries", "State entries read back by source: from snapshots it takes seconds, from the whole change-log minutes.", size{8, 8},
		line(units.RecordsPerSecond, "entries"),
		metric{`sum by (stage, source) (rate(droplift_stage_restored_records_total[$__rate_interval]))`, "{{stage}} {{source}}"})
	b.promQL("Age of snapshots", "Time since the state in the oldest of the partitions' newest snapshots, by stage: what a restart must replay; failures by stage are dashed.", size{8, 8},
		line(units.Seconds, "age").NoValue("No snapshot was written yet").
			OverrideByRegexp("/failed/", append(unit(units.Short), property("custom.axisPlacement", "right"), property("custom.axisLabel", "failures"),
				property("custom.lineStyle", map[string]any{"fill": "dash"}))),
		metric{`max by (stage) (time() - droplift_stage_snapshot_timestamp_seconds)`, "{{stage}}"},
		metric{`sum by (stage) (increase(droplift_stage_snapshot_failures_total[$__rate_interval]))`, "{{stage}} failed"})

	b.row("Records that no number counts")
	b.promQL("Duplicates, late and refused", "Records by what the processors judged them: duplicates are dropped, late ones kept apart, refused ones dead-lettered, skewed ones counted at their arrival.", size{12, 8},
		line(units.RecordsPerSecond, "records"),
		metric{`sum by (outcome) (rate(droplift_process_events_total{outcome!="accepted"}[$__rate_interval]))`, "{{outcome}}"})
	b.promQL("Dead letters", "Records that could not be counted, by class; droplift deadletter shows and replays them.", size{12, 8},
		line(units.RecordsPerSecond, "records"),
		metric{`sum by (class) (rate(droplift_process_dead_letters_total[$__rate_interval]))`, "{{class}}"},
		metric{`sum by (topic, class) (rate(droplift_feed_dead_letters_total[$__rate_interval]))`, "sink {{topic}} {{class}}"},
		metric{`sum by (class) (rate(droplift_catalogue_invalid_total[$__rate_interval]))`, "catalogue {{class}}"})
	b.sql("Records no number counts", size{24, 8}, cells(nil).NoValue("Nothing was refused, and nothing came too late."), named{as: rows, name: "dashboard_rejected"})

	b.row("Processes")
	b.promQL("Memory", "Resident memory and live heap by process, and the limit that the processors work for where one is set.", size{8, 8},
		line(units.BytesIEC, "bytes"),
		metric{`process_resident_memory_bytes{job="droplift"}`, "{{instance}} resident"},
		metric{`go_memstats_heap_alloc_bytes{job="droplift"}`, "{{instance}} heap"},
		metric{`droplift_memory_used_bytes`, "{{instance}} used"},
		metric{`droplift_memory_limit_bytes`, "{{instance}} limit"})
	b.promQL("State", "Encoded keys and values that stages hold in memory.", size{8, 8},
		line(units.BytesIEC, "bytes").OverrideByRegexp("/keys/", append(unit(units.Short), property("custom.axisPlacement", "right"), property("custom.axisLabel", "keys"))),
		metric{`sum by (stage) (droplift_process_state_bytes)`, "{{stage}} bytes"},
		metric{`sum by (stage) (droplift_process_state_keys)`, "{{stage}} keys"})
	b.promQL("CPU", "Processor cores in use by process.", size{8, 8},
		line(units.Short, "cores"), metric{`rate(process_cpu_seconds_total{job="droplift"}[$__rate_interval])`, "{{instance}}"})
	return b.build()
}

// quantile is a quantile of a histogram, by a label or of all.
func quantile(q, by, histogram, legend string) metric {
	if by != "" {
		by = ", " + by
	}
	return metric{fmt.Sprintf(`histogram_quantile(%s, sum by (le%s) (rate(%s_bucket[$__rate_interval])))`, q, by, histogram), legend}
}

// redFrom draws a red line at a value whose meaning the panel's description states.
func redFrom(p *timeseries.PanelBuilder, value float64) *timeseries.PanelBuilder {
	return p.Thresholds(thresholds("transparent", bound{value, "red"})).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeLine))
}

// shares are series that add up to 1.
func shares() *timeseries.PanelBuilder {
	return line(units.PercentUnit, "share of the time").Max(1).FillOpacity(40).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
}

func pipelineNow() *stat.PanelBuilder {
	red := property("thresholds", map[string]any{"mode": "absolute", "steps": []map[string]any{
		{"color": "green", "value": nil}, {"color": "red", "value": 1},
	}})
	byThreshold := property("color", map[string]any{"mode": "thresholds"})
	return stat.NewPanelBuilder().Unit(units.Short).ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor("text")).
		TextMode(common.BigValueTextModeValueAndName).GraphMode(common.BigValueGraphModeArea).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		OverrideByRegexp("/s (processed|stored)/", []dashboard.DynamicConfigValue{property("decimals", 0)}).
		OverrideByName("not ready", []dashboard.DynamicConfigValue{red, byThreshold}).
		OverrideByName("records lost to retention", []dashboard.DynamicConfigValue{red, byThreshold}).
		OverrideByName("oldest snapshot", unit(units.Seconds))
}
