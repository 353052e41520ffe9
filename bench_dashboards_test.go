package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sql"
)

// benchDashboards asks every panel of every dashboard about a drop among 50 million raw rows, and lets five viewers
// watch the dashboard that costs ClickHouse the most.
func benchDashboards(b *testing.B, bars *bars, _ *recording) {
	p := startPipeline(b, b.TempDir(), "--viewer-addr=127.0.0.1:0", "--metrics-addr=127.0.0.1:0")
	simulation := Simulation{Scenario: "demo", Seed: 1}
	p.command(&SimulateCmd{Simulation: simulation})
	p.settle()

	scenario, err := simulation.scenario()
	if err != nil {
		b.Fatal(err)
	}
	generator, err := simulate.New(scenario)
	if err != nil {
		b.Fatal(err)
	}
	rows := grow(b, p, generator.MainDrop())
	vars := dashboards.Vars{
		From: scenario.StartMS - 30*60_000, To: scenario.StartMS + scenario.DropMS, IntervalS: 300,
		Values: map[string][]string{"drop": {generator.MainDrop()}, "model": {"churn"}},
	}
	all, err := dashboards.All()
	if err != nil {
		b.Fatal(err)
	}
	copyViews(b, p)
	slowest := timePanels(b, p, all, vars)
	at := fmt.Sprintf(" at %s raw rows", figure(rows))
	bars.add(barRow{
		Name: fmt.Sprintf("slowest query of a panel or signal (%s)%s", slowest.what, at), Value: float64(slowest.median.Microseconds()) / 1000, Unit: "ms", Bar: 300, Limit: atMost,
		Runs: timedRuns,
	})

	board := costliest(b, p, all, generator.MainDrop())
	every := refreshOf(b, board)
	idle := watchDashboard(b, p, board, generator.MainDrop(), 0, nil)
	same := func(int) string { return "data" }
	shared := watchDashboard(b, p, board, generator.MainDrop(), 5, same)
	bars.add(barRow{
		Name: fmt.Sprintf("ClickHouse for 5 viewers of %s at %v%s", board.Title(), every, at), Value: 100 * (shared - idle), Unit: "% of a core", Bar: 20, Limit: atMost,
	})
	// No bar: who looks at another range than everybody else pays for it alone.
	alone := watchDashboard(b, p, board, generator.MainDrop(), 5, func(viewer int) string { return fmt.Sprintf("data-%dm", viewer+1) })
	b.Logf("ClickHouse for 5 viewers of %s at %v, each of another range: %.1f %% of a core", board.Title(), every, 100*(alone-idle))
}

// copies says how often a table's rows are doubled, and what makes a copy other rows: a larger audience in raw tables and
// what follows from them row by row, more partitions in what is published per partition.
var copies = []struct {
	tables    []string
	doublings int
	columns   map[string]string
}{
	{[]string{"player_events", "latency_events", "checkout_events", "subtitle_events"}, 5,
		map[string]string{"id": "generateUUIDv4()", "player_id": "concat(player_id, '~%[1]d')", "session_id": "concat(session_id, '~%[1]d')"}},
	{[]string{"features"}, 5, map[string]string{"player_id": "concat(player_id, '~%[1]d')"}},
	{[]string{"ledger", "late_events", "dead_letters"}, 5, map[string]string{"partition": "partition + 4 * %[2]d"}},
	{[]string{"velocity", "inventory", "attribution", "latency_sketches", "localization", "experiments", "edge_cost"}, 2,
		map[string]string{"partition": "partition + 4 * %[2]d"}},
}

// scored are the answers of a model and what became of the players, one for every revision of features, which no simulated
// drop has: two published versions, one of them in the shadow.
var scored = []string{
	`INSERT INTO models (name, version, kind, published_at, feature_hash, artefact, kafka_offset)
	SELECT 'churn', arrayJoin(['v1', 'v2']), 'logistic', now(), hash, concat('{"training":{"rows":100000},"reference":[', arrayStringConcat(arrayMap(
		n -> concat('{"name":"', n, '","edges":[0,1,2,4,8,16,32,64,128],"shares":[0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1],"missing":0}'), names), ','), ']}'), 1
	FROM feature_sets FINAL LIMIT 2`,
	`INSERT INTO rollouts (name, champion, shadow, action, at, kafka_offset) SELECT 'churn', 'v1', 'v2', 'shadow', min(as_of), 1 FROM features`,
	`INSERT INTO score_events (id, type, event_time, ingest_time, player_id, pop, consent, sample_rate, model, model_version, feature_hash, feature_revision, feature_as_of,
		vector, p, shadow_version, shadow_p, champion_us, shadow_us, kafka_partition, kafka_offset, kafka_time)
	SELECT generateUUIDv4(), 'answered', as_of + toIntervalSecond(5) AS t0, t0, player_id, 'fra', 7, 1, 'churn', 'v1', hash, revision, as_of,
		arrayMap(i -> toFloat64(cityHash64(player_id, revision, i) % 200), range(length(names))), cityHash64(player_id, revision) % 1000 / 1000 AS said,
		'v2', said / 2, 1 + said, 20 * said, kafka_partition, kafka_offset, kafka_time
	FROM features CROSS JOIN (SELECT hash, names FROM feature_sets FINAL LIMIT 1) AS s`,
	`INSERT INTO examples (model, model_version, player_id, scored_at, churned, feature_hash, p, shadow_version, shadow_p, kafka_partition, kafka_offset, kafka_time)
	SELECT model, model_version, player_id, event_time, cityHash64(id) % 1000 < 1000 * p, feature_hash, p, shadow_version, shadow_p, kafka_partition, kafka_offset, kafka_time
	FROM score_events`,
}

// newestAgain stores the last quarter of an hour before a drop's end once more, as newer revisions, which is what a drop
// that plays does; revised is how often, in parts that are too few to be merged.
const (
	newestAgain = `INSERT INTO %[1]s SELECT * REPLACE (revision + 1 AS revision) FROM %[1]s FINAL
		WHERE drop_id = {drop:String} AND pane_start >= (SELECT any(ends) FROM drops FINAL WHERE drop_id = {drop:String}) - INTERVAL 15 MINUTE
		SETTINGS insert_deduplicate = 0`
	revised = 15
)

// grow multiplies what is stored to the size of a large installation, lets merges end and returns the number of raw rows.
func grow(b *testing.B, p *pipeline, drop string) float64 {
	b.Helper()
	ctx := b.Context()
	writer, err := p.cfg.openWriter(ctx, p.cfg.ClickhouseURL, p.node.log)
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	for _, group := range copies {
		for _, table := range group.tables {
			columns := strings.Fields(p.tsv("SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '" + table +
				"' AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position"))
			for i := range group.doublings {
				values := make([]string, len(columns))
				for c, column := range columns {
					values[c] = "`" + column + "`"
					if copied, ok := group.columns[column]; ok {
						values[c] = copied
						if strings.Contains(copied, "%") {
							values[c] = fmt.Sprintf("CAST("+copied+", toTypeName(`%[3]s`))", i, 1<<i, column)
						}
					}
					if column == "kafka_offset" {
						values[c] = fmt.Sprintf("kafka_offset + %d", int64(10_000_000_000)<<i)
					}
				}
				insert := fmt.Sprintf("INSERT INTO %s (`%s`) SELECT %s FROM %s SETTINGS insert_deduplicate = 0, max_insert_threads = 2",
					table, strings.Join(columns, "`, `"), strings.Join(values, ", "), table)
				if err := writer.Stream(ctx, io.Discard, clickhouse.StreamRequest{SQL: insert}); err != nil {
					b.Fatalf("%s: %v", table, err)
				}
			}
		}
	}
	for _, insert := range scored {
		if err := writer.Stream(ctx, io.Discard, clickhouse.StreamRequest{SQL: insert + " SETTINGS insert_deduplicate = 0, max_insert_threads = 2"}); err != nil {
			b.Fatalf("%s: %v", insert, err)
		}
	}
	// The server does this by itself to what has lain for five minutes. The newest panes lie over each other all the same.
	for _, table := range strings.Fields(p.tsv("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine_full LIKE '%min_age_to_force_merge_seconds%'")) {
		if err := writer.Stream(ctx, io.Discard, clickhouse.StreamRequest{SQL: "OPTIMIZE TABLE " + table + " FINAL"}); err != nil {
			b.Fatalf("%s: %v", table, err)
		}
	}
	for _, table := range []string{"velocity", "latency_sketches"} {
		for range revised {
			if err := writer.Stream(ctx, io.Discard, clickhouse.StreamRequest{SQL: fmt.Sprintf(newestAgain, table), Params: clickhouse.Params{"drop": drop}}); err != nil {
				b.Fatalf("%s: %v", table, err)
			}
		}
	}
	eventually(b, 10*time.Minute, func() error {
		if merging := p.tsv("SELECT count() FROM system.merges"); merging != "0" {
			return fmt.Errorf("%s merges go on", merging)
		}
		return nil
	})
	b.Logf("%s", p.tsv("SELECT table, sum(rows) AS n, formatReadableSize(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY n DESC LIMIT 12"))
	return cellNumber(b, p.tsv("SELECT sum(rows) FROM system.parts WHERE active AND table IN ('player_events', 'latency_events', 'checkout_events', 'subtitle_events')"))
}

// timedRuns is how often a panel is timed, after a first time that is not.
const timedRuns = 5

type timedPanel struct {
	what   string
	median time.Duration
	// read says which rows the query has to read, table by table.
	read string
}

// timePanels asks each query of every dashboard and every signal, one after the other, and returns the slowest. A query
// that fails fails the benchmark and does not hide the others.
func timePanels(b *testing.B, p *pipeline, all []dashboards.Dashboard, vars dashboards.Vars) timedPanel {
	b.Helper()
	var timed []timedPanel
	ask := func(what, name string, params clickhouse.Params) {
		var took []time.Duration
		for range timedRuns + 1 {
			began := time.Now()
			if _, err := p.client.Query(b.Context(), name, params); err != nil {
				b.Errorf("%s: %v", what, err)
				return
			}
			took = append(took, time.Since(began))
		}
		timed = append(timed, timedPanel{what, quantile(took[1:], 0.5), rowsRead(b, p, name, params)})
	}
	for _, d := range all {
		for _, target := range d.Targets() {
			if target.Datasource != dashboards.ClickHouse {
				continue
			}
			params, err := vars.Params(target)
			if err != nil {
				b.Errorf("%s: %s: %v", d.Title(), target.Title, err)
				continue
			}
			ask(fmt.Sprintf("%s: %s (%s)", d.Title(), target.Title, target.Name), target.Name, params)
		}
	}
	ask("signals: "+dashboards.SignalDrops, dashboards.SignalDrops, nil)
	var asked []string
	for _, signal := range dashboards.Signals() {
		if slices.Contains(asked, signal.Query) {
			continue // several signals share a query
		}
		asked = append(asked, signal.Query)
		ask("signals: "+signal.Query, signal.Query, clickhouse.Params{"drop": vars.Values["drop"][0], "at": time.UnixMilli(vars.To).UTC()})
	}
	if len(timed) == 0 {
		b.Fatal("no query answered")
	}
	slices.SortFunc(timed, func(x, y timedPanel) int { return cmp.Compare(y.median, x.median) })
	for _, t := range timed[:min(len(timed), 25)] {
		b.Logf("%8.1f ms  %s: %s", float64(t.median.Microseconds())/1000, t.what, t.read)
	}
	b.Logf("%d queries", len(timed))
	return timed[0]
}

// rowsRead estimates the rows that a query reads, table by table, from the primary keys.
func rowsRead(b *testing.B, p *pipeline, name string, params clickhouse.Params) string {
	b.Helper()
	q, err := sql.Lookup(name)
	if err != nil {
		b.Fatal(err)
	}
	given := clickhouse.Params{}
	for _, param := range q.Params {
		given[param.Name] = param.Default
		if value, ok := params[param.Name]; ok {
			given[param.Name] = value
		}
	}
	var out bytes.Buffer
	if err := p.client.Stream(b.Context(), &out, clickhouse.StreamRequest{SQL: "EXPLAIN ESTIMATE " + q.SQL, Format: "TSV", Params: given}); err != nil {
		return err.Error()
	}
	rows := map[string]float64{}
	for line := range strings.Lines(out.String()) { // database, table, parts, rows, marks
		if cells := strings.Split(strings.TrimSpace(line), "\t"); len(cells) == 5 {
			rows[cells[1]] += cellNumber(b, cells[3])
		}
	}
	var read []string
	for _, table := range slices.Sorted(maps.Keys(rows)) {
		read = append(read, fmt.Sprintf("%s %s", table, figure(rows[table])))
	}
	return strings.Join(read, ", ")
}

// copyViews fills the copies that dashboards read in place of slow views, which are made anew every few minutes.
func copyViews(b *testing.B, p *pipeline) {
	b.Helper()
	writer, err := p.cfg.openWriter(b.Context(), p.cfg.ClickhouseURL, p.node.log)
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	for _, view := range strings.Fields(p.tsv("SELECT view FROM system.view_refreshes WHERE database = currentDatabase() ORDER BY view")) {
		for _, verb := range []string{"REFRESH", "WAIT"} {
			if err := writer.Stream(b.Context(), io.Discard, clickhouse.StreamRequest{SQL: "SYSTEM " + verb + " VIEW " + view}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// costliest is the board that takes ClickHouse the most time per second, as often as it is refreshed, every panel asked once.
func costliest(b *testing.B, p *pipeline, all []dashboards.Dashboard, drop string) dashboards.Dashboard {
	b.Helper()
	cost := map[string]float64{} // cores
	for _, d := range all {
		_, before := cpuTimes()
		if err := p.refresh(b.Context(), d, drop, "data"); err != nil {
			b.Fatal(err)
		}
		_, after := cpuTimes()
		every := refreshOf(b, d)
		cost[d.UID()] = (after - before).Seconds() / every.Seconds()
		b.Logf("%8v of ClickHouse's time for a refresh of %s, every %v", (after - before).Round(time.Millisecond), d.Title(), every)
	}
	return slices.MaxFunc(all, func(x, y dashboards.Dashboard) int { return cmp.Compare(cost[x.UID()], cost[y.UID()]) })
}

// refreshOf is how often a dashboard asks by default.
func refreshOf(b *testing.B, d dashboards.Dashboard) time.Duration {
	b.Helper()
	text, err := d.JSON()
	if err != nil {
		b.Fatal(err)
	}
	var board struct{ Refresh string }
	if err := json.Unmarshal(text, &board); err != nil {
		b.Fatal(err)
	}
	every, err := time.ParseDuration(board.Refresh)
	if err != nil {
		b.Fatal(err)
	}
	return every
}

// refresh asks the viewer for every panel of a dashboard, from shortly before the drop to an anchored time, or of the last
// hour where there is no drop to anchor to.
func (p *pipeline) refresh(ctx context.Context, d dashboards.Dashboard, drop, to string) error {
	values := url.Values{"from": {"now-1h"}, "to": {"now"}}
	if slices.ContainsFunc(d.Variables(), func(v dashboards.Target) bool { return v.Title == "drop" }) {
		values = url.Values{"var-drop": {drop}, "var-model": {"churn"}, "from": {"start-30m"}, "to": {to}}
	}
	query := values.Encode()
	var last uint32
	for _, target := range d.Panels() {
		if target.Panel == last {
			continue // a panel's queries stand together
		}
		last = target.Panel
		if err := fetch(ctx, fmt.Sprintf("%s/api/dashboards/%s/panels/%d?%s", p.node.viewerAt(), d.UID(), target.Panel, query)); err != nil {
			return err
		}
	}
	return nil
}

// watchDashboard lets viewers refresh a dashboard as often as it says for at least half a minute, each up to a time of its own,
// and returns how many cores ClickHouse used.
func watchDashboard(b *testing.B, p *pipeline, d dashboards.Dashboard, drop string, viewers int, to func(viewer int) string) float64 {
	b.Helper()
	every := refreshOf(b, d)
	refreshes := max(2, int(30*time.Second/every))
	_, before := cpuTimes()
	began := time.Now()
	group, ctx := errgroup.WithContext(b.Context())
	for viewer := range viewers {
		group.Go(func() error {
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for range refreshes {
				if err := p.refresh(ctx, d, drop, to(viewer)); err != nil {
					return err
				}
				<-ticker.C
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Until(began.Add(time.Duration(refreshes) * every))) // with no viewer, too, the time is what is measured
	_, after := cpuTimes()
	return (after - before).Seconds() / time.Since(began).Seconds()
}

// fetch reads a whole answer.
func fetch(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", address, response.Status, body)
	}
	return err
}
