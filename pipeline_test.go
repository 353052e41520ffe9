package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// pipelineSeed makes every run of these tests the same traffic; DROPLIFT_TEST_SEED sets another.
func pipelineSeed(t *testing.T) uint64 {
	seed := uint64(20)
	if text := os.Getenv("DROPLIFT_TEST_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = parsed
	}
	t.Logf("seed %d (DROPLIFT_TEST_SEED)", seed)
	return seed
}

// TestKilledPipelineEndsAsTheUninterruptedOne plays one seeded drop twice on embedded servers: once in peace, once with the
// whole process killed (-9) in the history and in the drop, and the ClickHouse child killed alone. Both must
// agree with the simulator's books to the cent, and with each other in every derived table.
func TestKilledPipelineEndsAsTheUninterruptedOne(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	seed := pipelineSeed(t)

	peace := newPlay(t, seed)
	peace.start()
	peace.finish()
	calm := peace.tables()
	checkBooks(t, calm, peace.truth())

	war := newPlay(t, seed)
	third := peace.truth().Books.Topics["player"].Records / 3
	war.start()
	war.await("player_events", third/2)
	war.kill()
	war.start()
	war.await("player_events", third)
	war.killClickHouse()
	war.await("player_events", 2*third)
	war.kill()
	war.start()
	war.finish()
	hurt := war.tables()
	checkBooks(t, hurt, war.truth())

	for _, query := range slices.Sorted(maps.Keys(sameTables)) {
		if a, b := calm.checksum(t, query), hurt.checksum(t, query); a != b {
			t.Errorf("%s differs after kills: %s, in peace %s", query, b, a)
		}
	}
}

// sameTables are the derived tables without what depends on how the work was cut into transactions: a partial that an event
// entered and a later one left again was published in between, or not.
var sameTables = map[string]string{
	"velocity": "SELECT * EXCEPT (revision, watermark, maturity, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM velocity_latest",
	"features": "SELECT * EXCEPT (revision, watermark, maturity, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM features_latest",
	"cues":     "SELECT * EXCEPT (revision, watermark, maturity, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM localization_latest WHERE expected > 0",
	"stock": "SELECT * EXCEPT (revision, watermark, maturity, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM inventory_latest " +
		"WHERE sold + reserved + released + expired + returned + checkouts + promised + shipped + fulfilled + cancelled + due + late > 0",
	"attribution": "SELECT * EXCEPT (revision, watermark, maturity, closed, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM attribution_latest",
	"sketches":    "SELECT * EXCEPT (revision, watermark, maturity, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM latency_sketches_latest",
	"arms":        "SELECT drop_id, experiment_id, language, variant, partition, exposed, converted, refunded FROM experiments_latest",
	"edge":        "SELECT * EXCEPT (revision, watermark, maturity, kafka_partition, kafka_offset, kafka_time, inserted_at) FROM edge_cost_latest",
	"ledger":      "SELECT source, checkout_id, type, seq, drop_id, currency, account, participant, amount FROM ledger_postings",
	"purchases":   "SELECT * EXCEPT (version, kafka_partition, kafka_offset) FROM purchases FINAL",
	"members":     "SELECT player_id, min(first_activity), min(first_drop), min(first_creator) FROM members GROUP BY player_id",
	"drops":       "SELECT drop_id, min(exposure), min(completed), player_id FROM player_drops GROUP BY drop_id, player_id",
	"late":        "SELECT topic, event_time, value FROM late_events",
	"dead":        "SELECT topic, class, field, value FROM dead_letters",
}

// play is one run of the demo in processes of its own.
type play struct {
	t              *testing.T
	dir, truthFile string
	kafka, http    string
	args           []string
	process        *process
}

func newPlay(t *testing.T, seed uint64) *play {
	dir := t.TempDir()
	p := &play{t: t, dir: dir, truthFile: filepath.Join(dir, "truth.json"), kafka: freeAddr(t), http: freeAddr(t)}
	p.args = []string{"demo", "--scenario", "tiny", "--seed", fmt.Sprint(seed), "--exit",
		"--history-speed", "200000", "--speed", "25000", "--truth", p.truthFile,
		"--data-dir", filepath.Join(dir, "data"), "--kafka-addr", p.kafka, "--clickhouse-addr", p.http, "--metrics-addr", "", "--pprof-addr", "", "--features-addr", "", "--viewer-addr", ""}
	return p
}

func (p *play) start() {
	p.t.Helper()
	p.process = droplift(nil, p.args...)
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.process.Process.Kill()
		if p.t.Failed() {
			p.t.Logf("the process said:\n%s%s", &p.process.stdout, &p.process.stderr)
		}
	})
}

func (p *play) kill() {
	p.t.Helper()
	if err := p.process.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	if p.process.Wait(); p.process.ProcessState.Success() {
		p.t.Fatal("the run was over before it could be killed")
	}
}

// killClickHouse kills the child that holds the engine; its parent starts another.
func (p *play) killClickHouse() {
	p.t.Helper()
	pids := childrenOf(p.t, p.process.Process.Pid)
	if len(pids) != 1 {
		p.t.Fatalf("children %v of the pipeline's process; want ClickHouse alone", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// await waits until a table holds so many rows.
func (p *play) await(table string, rows uint64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	client, err := clickhouse.Open(ctx, clickhouse.Config{URL: "http://" + p.http})
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var out bytes.Buffer
		if client.Stream(ctx, &out, clickhouse.StreamRequest{SQL: "SELECT count() FROM " + table, Format: "TSV"}) == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(out.String()), 10, 64); err == nil && n >= rows {
				return
			}
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s never held %d rows", table, rows)
		case <-ticker.C:
		}
	}
}

// finish waits for the process to end by itself.
func (p *play) finish() {
	p.t.Helper()
	timer := time.AfterFunc(4*time.Minute, func() { p.process.Process.Signal(syscall.SIGQUIT) })
	defer timer.Stop()
	if err := p.process.Wait(); err != nil {
		p.t.Fatalf("the demo failed: %v", err)
	}
}

func (p *play) truth() simulate.Truth {
	p.t.Helper()
	text, err := os.ReadFile(p.truthFile)
	if err != nil {
		p.t.Fatal(err)
	}
	var truth simulate.Truth
	if err := json.Unmarshal(text, &truth); err != nil {
		p.t.Fatal(err)
	}
	return truth
}

// tables opens what the run left on disk.
func (p *play) tables() *tables {
	p.t.Helper()
	data := mustGlob(p.t, filepath.Join(p.dir, "data", "*", "clickhouse"))
	if len(data) != 1 {
		p.t.Fatalf("data directories %v", data)
	}
	server := embeddedtest.ClickHouse(p.t, func(cfg *embedded.ClickHouseConfig) { cfg.DataDir = data[0] })
	client, err := clickhouse.Open(p.t.Context(), clickhouse.Config{URL: server.URL()})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { client.Close() })
	return &tables{client}
}

type tables struct{ client *clickhouse.Client }

// rows runs a query and returns its rows as words.
func (d *tables) rows(t *testing.T, query string) [][]string {
	t.Helper()
	var out bytes.Buffer
	if err := d.client.Stream(t.Context(), &out, clickhouse.StreamRequest{SQL: query, Format: "TSV"}); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// sums reads a query of keys and, last, one count into a map; zero counts are left out.
func (d *tables) sums(t *testing.T, query string) map[string]int64 {
	t.Helper()
	sums := map[string]int64{}
	for _, row := range d.rows(t, query) {
		n, err := strconv.ParseInt(row[len(row)-1], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if n != 0 {
			sums[strings.Join(row[:len(row)-1], " ")] += n
		}
	}
	return sums
}

func (d *tables) checksum(t *testing.T, name string) string {
	t.Helper()
	return strings.Join(d.rows(t, "SELECT count(), sum(cityHash64(*)) FROM ("+sameTables[name]+")")[0], " rows, hash ")
}

// checkBooks compares every total with the simulator's books.
func checkBooks(t *testing.T, d *tables, truth simulate.Truth) {
	t.Helper()
	books := truth.Books
	compare := func(what string, got, want map[string]int64) {
		t.Helper()
		for key := range want {
			if want[key] == 0 {
				delete(want, key)
			}
		}
		if len(want) == 0 {
			t.Errorf("%s: the books are empty, so nothing is tested", what)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", what, got, want)
		}
	}

	stored, distinct, dead, late := map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, kind := range stageInputs {
		topic := kind.Topic()
		b := books.Topics[topic]
		stored[topic] = int64(b.Records - b.Undecodable)
		distinct[topic] = int64(b.Distinct)
		late[topic] = int64(b.Late)
		for class, n := range b.DeadLetters {
			dead[topic+" "+class] = int64(n)
		}
	}
	rawTables := "(SELECT 'player' AS topic, id FROM player_events UNION ALL SELECT 'latency', id FROM latency_events" +
		" UNION ALL SELECT 'checkout', id FROM checkout_events UNION ALL SELECT 'subtitle', id FROM subtitle_events UNION ALL SELECT 'score', id FROM score_events)"
	compare("rows per topic", d.sums(t, "SELECT topic, count() FROM "+rawTables+" GROUP BY topic"), stored)
	compare("distinct events per topic", d.sums(t, "SELECT topic, uniqExact(id) FROM "+rawTables+" GROUP BY topic"), distinct)
	compare("dead letters", d.sums(t, "SELECT topic, class, count() FROM dead_letters WHERE topic != 'velocity' GROUP BY topic, class"), dead)
	compare("late events", d.sums(t, "SELECT topic, count() FROM late_events GROUP BY topic"), late)
	if doubled := d.rows(t, "SELECT topic, partition, offset FROM dead_letters GROUP BY topic, partition, offset HAVING count() > 1"); len(doubled) > 0 {
		t.Errorf("dead letters stored twice: %v", doubled)
	}

	money, moneyAccepted := map[string]int64{}, map[string]int64{}
	steps, players, conversions := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for drop, b := range books.Drops {
		bookMoney(money, drop, b.Valid.Money)
		if drop == "" {
			continue // velocity counts drops only
		}
		bookMoney(moneyAccepted, drop, b.Accepted.Money)
		conversions[drop+" conversions"] = int64(b.Accepted.Conversions)
		conversions[drop+" gap"] = int64(b.Accepted.FunnelGap)
		conversions[drop+" failed"] = int64(b.Accepted.Failed)
		for step := range event.NumSteps {
			steps[fmt.Sprint(drop, " ", step)] = int64(b.Accepted.Events[step])
			players[fmt.Sprint(drop, " ", step)] = int64(b.Accepted.Players[step])
		}
	}
	compare("money by drop and currency", d.sums(t, `
		SELECT drop_id, currency, type, sum(abs(amount)) FROM purchases FINAL GROUP BY drop_id, currency, type`), money)
	compare("velocity's money", d.sums(t, `
		SELECT drop_id, m.1, m.2.1, m.2.2 FROM
		(
			SELECT drop_id, arrayJoin(arrayZip(money_currency, arrayMap((g, r, c) -> [('completed', g), ('refunded', r), ('chargeback', c)],
				money_gross, money_refunds, money_chargebacks))) AS of_currency, arrayJoin(arrayMap(x -> (of_currency.1, x), of_currency.2)) AS m
			FROM velocity_latest
		)`), moneyAccepted)
	const step = "SELECT drop_id, arrayJoin([0, 1, 2, 3, 4]) AS k, sum(["
	compare("velocity's events", d.sums(t, step+"landing_events, impression_events, click_events, started_events, completed_events][k + 1]) FROM velocity_latest GROUP BY drop_id, k"), steps)
	compare("velocity's funnel", d.sums(t, step+"landing_players, impression_players, click_players, started_players, completed_players][k + 1]) FROM velocity_latest GROUP BY drop_id, k"), players)
	compare("velocity's conversions", d.sums(t, `
		SELECT drop_id, c.1, sum(c.2) FROM
		(SELECT drop_id, arrayJoin([('conversions', conversions), ('gap', funnel_gap), ('failed', failed)]) AS c FROM velocity_latest)
		GROUP BY drop_id, c.1`), conversions)
}

func bookMoney(into map[string]int64, drop string, money map[string]simulate.Money) {
	for currency, m := range money {
		into[drop+" "+currency+" completed"] += m.Gross
		into[drop+" "+currency+" refunded"] += m.Refunds
		into[drop+" "+currency+" chargeback"] += m.Chargebacks
	}
}
