package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// TestEdgeCostOfASimulatedDrop plays a drop with duplicates, late and sampled events. Every nano-unit of its cost must follow from the raw
// latency events, and prices that exceed the budget must end in WARN, then CAP, with inputs that add up and gauges that say so.
func TestEdgeCostOfASimulatedDrop(t *testing.T) {
	// Tens of thousands of requests at 0.25 USD each and their egress against the simulator's 500 USD.
	p := startPipeline(t, t.TempDir(), "--idle-after=2s", "--edge-price-requests=250000", "--edge-price-cpu-ms=5000", "--edge-price-egress-gb=0.4",
		"--edge-price-replica-hour=0.12")
	p.command(&SimulateCmd{Simulation: Simulation{Scenario: "tiny", Seed: pipelineSeed(t), Truth: t.TempDir() + "/truth.json"}})
	p.settle()

	// What was accepted: not late, not dead-lettered, each id once. Rounding is per event, as the definition says.
	raw := strings.ReplaceAll(p.tsv(`SELECT toInt64(sum(round(1e6 / sample_rate))), toInt64(sum(round(cpu_ms * 1000 / sample_rate))), toInt64(sum(round(egress_bytes / sample_rate))),
			count(), sum(synthetic)
		FROM (SELECT id, any(sample_rate) AS sample_rate, any(cpu_ms) AS cpu_ms, any(egress_bytes) AS egress_bytes, any(synthetic) AS synthetic FROM latency_events
			WHERE (kafka_partition, kafka_offset) NOT IN (SELECT partition, offset FROM late_events WHERE topic = 'latency')
			AND (kafka_partition, kafka_offset) NOT IN (SELECT partition, offset FROM dead_letters WHERE topic = 'latency') GROUP BY id)`), "\t", " ")
	p.want("partials", "SELECT sum(requests_micro), sum(cpu_us), sum(egress_bytes), sum(samples), sumIf(samples, synthetic) FROM edge_cost_latest", raw)
	p.want("synthetic traffic", "SELECT sumIf(samples, synthetic) > 0, countIf(drop_id = '') > 0, countIf(drop_id = '' AND cost > 0) > 0 FROM edge_cost_latest", "1 1 1")
	p.want("costs by partial", `SELECT countIf(abs(cost - (requests_micro * 250000e9 / 1e12 + cpu_us * 5000e9 / 1e9 + egress_bytes * 0.4)) > 1) FROM edge_cost_latest`, "0")
	p.want("conversions", `SELECT drop_id, sum(conversions) FROM edge_cost_latest WHERE drop_id != '' GROUP BY drop_id ORDER BY drop_id`,
		strings.ReplaceAll(p.tsv("SELECT drop_id, sum(conversions) FROM velocity_latest GROUP BY drop_id ORDER BY drop_id"), "\t", " "))

	// The rollup's totals are the sums of the same partials.
	totals := p.tsv("SELECT drop_id, toString(sum(cost)) FROM edge_cost_latest WHERE drop_id != '' GROUP BY drop_id ORDER BY drop_id")
	eventually(t, 30*time.Second, func() error {
		if got := p.tsv("SELECT drop_id, toString(toInt64(value)) FROM estimates_latest WHERE metric = 'edge_spent' AND empty(dimensions) ORDER BY drop_id"); got != totals {
			return fmt.Errorf("estimates\n%s\npartials\n%s", got, totals)
		}
		return nil
	})

	producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	// Where all inputs end at once the watermark stays. Later requests outside any drop, in every partition, move it on while the others are idle.
	later := time.Date(2025, 10, 7, 0, 0, 0, 0, time.UTC).UnixMilli()
	eventually(t, time.Minute, func() error {
		later += 1000
		for i := range 64 {
			var tick event.Event
			tick.Reset(event.KindLatency)
			tick.ID, tick.Type, tick.EventTime, tick.IngestTime, tick.PlayerID, tick.Latency.Request = uuid.Must(uuid.NewV7()), event.EdgeRequest, later, later, fmt.Sprint("tick-", i), event.RequestAPI
			if err := producer.Produce(t.Context(), event.Message{Kind: event.KindLatency, Key: []byte(tick.PlayerID), Value: event.Append(nil, &tick)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.tsv("SELECT countIf(topic = 'budget' AND chosen = 'cap') > 0 FROM decisions") != "1" {
			return fmt.Errorf("no CAP yet: %s", p.tsv("SELECT topic, at, chosen FROM decisions ORDER BY at DESC LIMIT 5"))
		}
		return nil
	})
	// Decisions about the drop that spends most: levels follow each other, CAP is right, and projections are what their inputs say.
	data := p.query("decisions", clickhouse.Params{"drop": strings.Fields(p.tsv("SELECT drop_id FROM edge_cost_latest WHERE drop_id != '' GROUP BY drop_id ORDER BY sum(cost) DESC LIMIT 1"))[0], "topic": "budget"})
	level, capped := "ok", 0
	for i := len(data.Rows) - 1; i >= 0; i-- {
		r := row{data, i}
		if r.text("subject") != "" {
			continue
		}
		if r.text("previous") != level {
			t.Errorf("%s follows %s, not %s", r.text("chosen"), level, r.text("previous"))
		}
		level = r.text("chosen")
		in := data.Rows[i][len(data.Columns)-1].(map[string]float64)
		if projected := in["spent"] + in["window_cost"]*in["left_ms"]/in["window_ms"]; math.Abs(projected-in["projected"]) > 2 {
			t.Errorf("%s: projected %v, the inputs say %v", level, in["projected"], projected)
		}
		if level == "cap" {
			capped++
			if in["spent"]+in["reserved"] < .95*in["budget"]-1 {
				t.Errorf("CAP with %v", in)
			}
		}
	}
	if capped == 0 {
		t.Errorf("no CAP: %v", data.Rows)
	}
	if n := gathered(t, p.node, "droplift_decision_at_seconds"); n == 0 {
		t.Error("no gauge of a decision")
	}
	pace := p.tsv("SELECT count(), min(value) < 1 FROM decisions WHERE topic = 'pace'")
	if n, _ := strconv.Atoi(strings.Fields(pace)[0]); n == 0 || !strings.HasSuffix(pace, "1") {
		t.Errorf("paces %s", pace)
	}

	// The next drop is planned by who came.
	next := event.Event{Kind: event.KindDrop}
	next.Reset(event.KindDrop)
	next.ID, next.Type, next.EventTime, next.DropID, next.CreatorID = uuid.Must(uuid.NewV7()), event.Catalogue, 1_790_000_000_000, "drop-next", "creator-01"
	next.Drop = event.Drop{Name: "next", Version: 1, StartMS: 1_790_000_000_000, EndMS: 1_790_100_000_000, Followers: 1000}
	if err := errors.Join(producer.Produce(t.Context(), event.Message{Kind: event.KindDrop, Key: []byte(next.DropID), Value: event.Append(nil, &next)}), producer.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if p.tsv("SELECT count() FROM drops WHERE drop_id = 'drop-next'") != "1" {
			return errors.New("the next drop is not stored")
		}
		return nil
	})
	plan := p.command(&PrewarmPlanCmd{Drop: "drop-next", warming: defaultWarming, Headroom: 1.5})
	for _, line := range []string{"edge fetches", "origin fetches", "warm from", "canary check", "languages"} {
		if !strings.Contains(plan, line) {
			t.Errorf("the plan does not say %s:\n%s", line, plan)
		}
	}
	t.Log(plan)
	checkPages(t, p, "drop-next")
}

// Nobody has probed the next drop's caches: that pages.
func checkPages(t *testing.T, p *pipeline, drop string) {
	t.Helper()
	rules, err := defaultWarming.rules()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = (&PrewarmCheckCmd{Drop: drop, warming: defaultWarming}).check(t.Context(), &out, p.client, rules)
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitPage || !strings.Contains(err.Error(), "planned POPs without a probe") {
		t.Errorf("%v: %s", err, &out)
	}
}

// defaultWarming are the flags' defaults.
var defaultWarming = warming{Cover: .95, PerSecond: 50, Lead: 30 * time.Minute, Canary: 5 * time.Minute, ScaleUp: 15 * time.Minute, Hits: .99, Spare: time.Hour,
	Jitter: .1, Earlier: 3, Format: "table"}
