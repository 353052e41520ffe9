package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// simulatedDrop is a played simulation beside the generator's own books.
type simulatedDrop struct {
	*pipeline
	drop     string
	from, to int64 // of the whole simulation, Unix ms
	books    simulate.Books
}

// playTiny plays the tiny scenario.
func playTiny(p *pipeline, seed uint64) *simulatedDrop { return playScenario(p, "tiny", seed) }

// playScenario plays a scenario as droplift simulate does, and waits until it is stored.
func playScenario(p *pipeline, scenario string, seed uint64) *simulatedDrop {
	p.t.Helper()
	command := &SimulateCmd{Simulation: Simulation{Scenario: scenario, Seed: seed, Truth: filepath.Join(p.t.TempDir(), "truth.json")}}
	p.command(command)
	p.settle()
	return p.simulated(command.Truth)
}

// simulated is the drop that a file of the truth tells of.
func (p *pipeline) simulated(file string) *simulatedDrop {
	p.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	var truth simulate.Truth
	if err := json.Unmarshal(text, &truth); err != nil {
		p.t.Fatal(err)
	}
	generator, err := simulate.New(truth.Scenario)
	if err != nil {
		p.t.Fatal(err)
	}
	s := truth.Scenario
	return &simulatedDrop{
		pipeline: p, drop: generator.MainDrop(), books: *truth.Books,
		from: s.StartMS - s.HistoryMS, to: s.StartMS + s.DropMS + 30*24*3_600_000,
	}
}

// What a drop shows on the dashboard and in the report must be what was simulated.
func TestSimulatedDrop(t *testing.T) {
	d := playTiny(startPipeline(t, t.TempDir(), "--metrics-addr=127.0.0.1:0", "--viewer-addr=127.0.0.1:0", "--idle-after=2s"), pipelineSeed(t))
	t.Run("panels against the books", func(t *testing.T) { testPanelsAgainstBooks(d.in(t)) })
	t.Run("report", func(t *testing.T) { testReport(d.in(t)) })
	t.Run("metrics", func(t *testing.T) { testMetrics(d.in(t)) })
	t.Run("query", func(t *testing.T) { testQuery(d.in(t)) })
	t.Run("viewer", func(t *testing.T) { testViewer(d.in(t)) })
	d.goOn()
	t.Run("panels of final numbers", func(t *testing.T) { testPanels(d.in(t)) })
	t.Run("final numbers against the books", func(t *testing.T) {
		d := d.in(t)
		testPanelsAgainstBooks(d)
		testMoneyAgainstBooks(d)
		testTimeToConvert(d)
	})
}

// goOn lets players who are in no drop go on until every drop's numbers are final: with the end of all records, every
// input would be idle, and the watermark stay.
func (d *simulatedDrop) goOn() {
	d.t.Helper()
	producer, err := kafka.NewProducer(d.node.kafka, kafka.ProducerConfig{Name: "test"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer producer.Close()
	partitions := d.cfg.KafkaPartitions
	players := map[int32]string{}
	for i := 0; len(players) < int(partitions); i++ {
		id := fmt.Sprintf("still-here-%d", i)
		players[kafka.PartitionOf([]byte(id), partitions)] = id
	}
	at := d.to
	eventually(d.t, time.Minute, func() error {
		at += 1000
		for _, player := range players {
			start := event.Event{Kind: event.KindPlayer, Envelope: event.Envelope{ID: uuid.New(), Type: event.SessionStart, EventTime: at, IngestTime: at, PlayerID: player, SampleRate: 1}}
			message := event.Message{Kind: event.KindPlayer, Key: []byte(player), Value: event.Append(nil, &start)}
			if err := producer.Produce(context.Background(), message); err != nil {
				return err
			}
		}
		if err := producer.Flush(context.Background()); err != nil {
			return err
		}
		for drop := range d.books.Drops {
			if drop == "" {
				continue
			}
			if glance := d.panel("At a glance", d.vars(drop, nil))[0]; glance["maturity"] != "final" || glance["open_panes"] != "0" {
				return fmt.Errorf("drop %s is not final: %v", drop, glance)
			}
		}
		return nil
	})
	d.settle()
	if err := d.node.refreshCopies(context.Background()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *simulatedDrop) in(t testing.TB) *simulatedDrop {
	part := *d
	part.pipeline = d.pipeline.in(t)
	return &part
}

// records answers a panel as the user of dashboards: one map of texts by column per row.
func (d *simulatedDrop) records(p dashboards.Target, v dashboards.Vars) []map[string]string {
	d.t.Helper()
	text, err := dashboards.Expand(p.Query, v)
	if err != nil {
		d.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := d.client.Stream(context.Background(), &out, clickhouse.StreamRequest{SQL: text, Format: "JSONStringsEachRow"}); err != nil {
		d.t.Errorf("panel %q: %v\n%s", p.Title, err, text)
		return nil
	}
	var records []map[string]string
	for decoder := json.NewDecoder(&out); ; {
		var record map[string]string
		if err := decoder.Decode(&record); err == io.EOF {
			return records
		} else if err != nil {
			d.t.Fatal(err)
		}
		records = append(records, record)
	}
}

// panel answers a panel of any dashboard by title.
func (d *simulatedDrop) panel(title string, v dashboards.Vars) []map[string]string {
	d.t.Helper()
	all, err := dashboards.All()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, board := range all {
		for _, p := range board.Targets() {
			if p.Title == title {
				return d.records(p, v)
			}
		}
	}
	d.t.Fatalf("no panel %q", title)
	return nil
}

// vars are a dashboard's variables over the whole simulation.
func (d *simulatedDrop) vars(drop string, more map[string][]string) dashboards.Vars {
	v := dashboards.Vars{From: d.from, To: d.to, IntervalS: 60, Values: map[string][]string{"drop": {drop}}}
	for name, values := range more {
		v.Values[name] = values
	}
	return v
}

// testPanels runs every query of every dashboard, for each choice that an operator can make.
func testPanels(d *simulatedDrop) {
	all, err := dashboards.All()
	if err != nil {
		d.t.Fatal(err)
	}
	creators := map[string]string{}
	for _, line := range strings.Split(d.tsv("SELECT drop_id, creator_id FROM drops FINAL"), "\n") {
		drop, creator, _ := strings.Cut(line, "\t")
		creators[drop] = creator
	}
	ran := 0
	run := func(drop string, choice map[string][]string, interval int64) {
		d.t.Helper()
		v := d.vars(drop, choice)
		v.IntervalS = interval
		for _, board := range all {
			say := sayWhenEmpty(d.t, board)
			for _, p := range board.Targets() {
				if p.Datasource != dashboards.ClickHouse {
					continue
				}
				ran++
				if len(d.records(p, v)) == 0 && !say(p) {
					d.t.Errorf("panel %q has no row for drop %s with %v", p.Title, drop, choice)
				}
			}
		}
	}
	for drop := range d.books.Drops {
		if drop != "" && drop != d.drop {
			run(drop, nil, 60)
		}
	}
	for _, interval := range []int64{1, 60, 3600} {
		run(d.drop, map[string][]string{"creator": {creators[d.drop]}}, interval)
	}
	var pops []string
	currencies := map[string]bool{}
	pair := map[string][]string{}
	for pop, at := range d.books.Drops[d.drop].Accepted.POPs {
		pops = append(pops, pop)
		run(d.drop, map[string][]string{"pop": {pop}}, 60)
		for currency := range at.Money {
			currencies[currency] = true
			pair = map[string][]string{"pop": {pop}, "currency": {currency}}
		}
	}
	if len(pops) < 2 || len(currencies) < 2 {
		d.t.Fatalf("checkouts at %v in %v: too few for a test of the choices", pops, currencies)
	}
	run(d.drop, map[string][]string{"pop": pops}, 60)
	run(d.drop, pair, 60)
	for currency := range currencies {
		run(d.drop, map[string][]string{"currency": {currency}}, 60)
	}
	d.t.Logf("%d queries", ran)

	// Nobody can write through a dashboard.
	err = d.client.Stream(context.Background(), io.Discard, clickhouse.StreamRequest{SQL: "INSERT INTO settings (name, value) VALUES ('reporting_currency', 'XXX')"})
	if err == nil || !strings.Contains(err.Error(), "READONLY") {
		d.t.Errorf("an insert as the user of dashboards: %v", err)
	}
}

// sayWhenEmpty tells the queries that may have no row: layers of annotations, since what they mark need not have happened, the
// choice of a model, of which a simulated drop publishes none, and panels that say what is missing.
func sayWhenEmpty(t testing.TB, board dashboards.Dashboard) func(dashboards.Target) bool {
	t.Helper()
	text, err := board.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var model struct {
		Panels []struct {
			ID          uint32
			FieldConfig struct{ Defaults struct{ NoValue string } }
		}
	}
	if err := json.Unmarshal(text, &model); err != nil {
		t.Fatal(err)
	}
	return func(target dashboards.Target) bool {
		if slices.ContainsFunc(board.Annotations(), func(a dashboards.Target) bool { return a.Query == target.Query }) {
			return true
		}
		if target.Title == "model" && target.Panel == 0 {
			return true
		}
		for _, p := range model.Panels {
			if p.ID == target.Panel && p.ID != 0 {
				return p.FieldConfig.Defaults.NoValue != ""
			}
		}
		return false
	}
}

func testPanelsAgainstBooks(d *simulatedDrop) {
	for drop, books := range d.books.Drops {
		if drop == "" {
			continue
		}
		v, want := d.vars(drop, nil), books.Accepted
		landed := float64(want.Players[event.StepLanding])
		equal := func(what string, got string, want float64) {
			d.t.Helper()
			if f, err := strconv.ParseFloat(got, 64); err != nil || math.Abs(f-want) > 1e-9*max(1, math.Abs(want)) {
				d.t.Errorf("drop %s, %s: %s on the dashboard, %v in the books", drop, what, got, want)
			}
		}

		glance := d.panel("At a glance", v)[0]
		equal("landed", glance["landed"], landed)
		equal("converted", glance["converted"], float64(want.Conversions))
		equal("ordered rate", glance["ordered_rate"], float64(want.Players[event.StepCompleted])/landed)
		equal("share left out", glance["gap_share"], float64(want.FunnelGap)/landed)

		funnel := d.panel("Funnel", v)
		if len(funnel) != int(event.NumSteps) {
			d.t.Fatalf("drop %s: funnel %v", drop, funnel)
		}
		for step, record := range funnel {
			equal("players at "+record["step"], record["players"], float64(want.Players[step]))
			equal("events of "+record["step"], record["events"], float64(want.Events[step]))
		}

		money := func(m simulate.Money) float64 { return float64(m.Gross - m.Refunds - m.Chargebacks) }
		net, returns := map[string]float64{}, map[string]float64{}
		for _, record := range d.panel("Revenue by currency", v) {
			currency := record["currency"]
			net[currency] += minor(d.t, currency, record["net"]) + minor(d.t, currency, record["net_provisional"])
			returns[currency] -= minor(d.t, currency, record["returns"])
		}
		for currency, m := range want.Money {
			equal("net in "+currency, fmt.Sprint(net[currency]), money(m))
			equal("returns in "+currency, fmt.Sprint(returns[currency]), float64(m.Refunds+m.Chargebacks))
		}
		if len(net) != len(want.Money) {
			d.t.Errorf("drop %s: revenue in %v, the books have %v", drop, net, want.Money)
		}

		byPOP := map[string]float64{}
		for _, record := range d.panel("Net revenue by POP", v) {
			byPOP[record["pop"]+" "+record["currency"]] += minor(d.t, record["currency"], record["net"])
		}
		series := 0
		for pop, at := range want.POPs {
			for currency, m := range at.Money {
				equal("net at "+pop+" in "+currency, fmt.Sprint(byPOP[pop+" "+currency]), money(m))
				series++
			}
		}
		if len(byPOP) != series {
			d.t.Errorf("drop %s: revenue at %v, the books have %v", drop, byPOP, want.POPs)
		}

		// One-minute windows that tile the drop hold every conversion once.
		conversions := 0.
		for _, record := range d.panel("Conversion velocity", v) {
			conversions += cellNumber(d.t, record["1 min"])
		}
		equal("conversions under the velocity curve", fmt.Sprint(conversions), float64(want.Conversions))

		players := 0.
		for _, record := range d.panel("POPs compared", v) {
			players += cellNumber(d.t, record["players"])
		}
		equal("players over the POPs", fmt.Sprint(players), landed)
	}

	rejected := map[string]float64{}
	table := d.query("dashboard_rejected", nil)
	for i := range table.Rows {
		r := row{table, i}
		rejected[r.text("topic")] += cellNumber(d.t, r.text("records"))
	}
	for topic, books := range d.books.Topics {
		if topic == event.KindDrop.Topic() {
			continue // see below
		}
		refused := books.Late
		for _, n := range books.DeadLetters {
			refused += n
		}
		if rejected[topic] != float64(refused) {
			d.t.Errorf("%v records of topic %s stand as rejected or late, the books have %d", rejected[topic], topic, refused)
		}
	}
	// Every instance reads the whole catalogue, so an entry that cannot be used is counted there instead of dead-lettered.
	for class, n := range d.books.Topics[event.KindDrop.Topic()].DeadLetters {
		line := fmt.Sprintf("droplift_catalogue_invalid_total{class=%q} %d\n", class, n)
		if metrics := d.metrics(); !strings.Contains(metrics, line) {
			d.t.Errorf("%q is not among the metrics", line)
		}
	}
}

// testMoneyAgainstBooks compares what creators earn, and what is said of every drop's money. The ledger books late events, too.
func testMoneyAgainstBooks(d *simulatedDrop) {
	equal := func(what string, got, want float64) {
		d.t.Helper()
		if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
			d.t.Errorf("%s: %v on the dashboard, %v in the books", what, got, want)
		}
	}
	net := map[string]map[string]float64{} // by creator and currency
	for _, line := range strings.Split(d.tsv("SELECT drop_id, creator_id FROM drops FINAL"), "\n") {
		drop, creator, _ := strings.Cut(line, "\t")
		if net[creator] == nil {
			net[creator] = map[string]float64{}
		}
		books := d.books.Drops[drop]
		completed := uint64(0)
		for currency, m := range books.Valid.Money {
			net[creator][currency] += float64(m.Gross - m.Refunds - m.Chargebacks)
			completed += m.Completed
		}
		v := d.vars(drop, nil)
		if state := d.panel("Reconciliation", v)[0]; state["state"] != "balanced" {
			d.t.Errorf("drop %s: reconciliation %v", drop, state)
		}
		sales, refunds, chargebacks := map[string]float64{}, map[string]float64{}, map[string]float64{}
		for _, record := range d.panel("Refunds and chargebacks", v) {
			currency := record["currency"]
			sales[currency] += minor(d.t, currency, record["sales"])
			refunds[currency] -= minor(d.t, currency, record["refunds"])
			chargebacks[currency] -= minor(d.t, currency, record["chargebacks"])
		}
		for currency, m := range books.Valid.Money {
			equal(drop+": sales in "+currency, sales[currency], float64(m.Gross))
			equal(drop+": refunds in "+currency, refunds[currency], float64(m.Refunds))
			equal(drop+": chargebacks in "+currency, chargebacks[currency], float64(m.Chargebacks))
		}
		// The simulation lies in the past, so that none of its sales says how fast the ledger is.
		settled := d.panel("Settlement objective", v)[0]
		equal(drop+": sales settled", cellNumber(d.t, settled["measured"])+cellNumber(d.t, settled["recorded"]), float64(completed))

		conversions := 0.
		for _, record := range d.panel("POPs by cost", v) {
			conversions += cellNumber(d.t, record["conversions"])
		}
		equal(drop+": conversions that edge cost is divided by", conversions, float64(books.Accepted.Conversions))
	}
	for creator, want := range net {
		got := d.panel("Creators", d.vars(d.drop, map[string][]string{"creator": {creator}}))
		for _, record := range got {
			equal("net of "+creator+" in "+record["currency"], minor(d.t, record["currency"], record["net"]), want[record["currency"]])
		}
		if len(got) != len(want) {
			d.t.Errorf("creator %s: %v, the books have %v", creator, got, want)
		}
	}
}

// testTimeToConvert looks at the ends of the curve of a drop that is over: whoever landed is at risk at 0.
func testTimeToConvert(d *simulatedDrop) {
	for drop, books := range d.books.Drops {
		if drop == "" {
			continue
		}
		curve := d.panel("Time to convert", d.vars(drop, nil))
		if len(curve) < 2 {
			d.t.Fatalf("drop %s: %d points", drop, len(curve))
		}
		if first, landed := curve[0], float64(books.Accepted.Players[event.StepLanding]); cellNumber(d.t, first["minutes"]) != 0 || cellNumber(d.t, first["at_risk"]) != landed {
			d.t.Errorf("drop %s: the curve begins with %v, %v players landed", drop, first, landed)
		}
		before := -1.
		for _, point := range curve {
			low, converted, high := cellNumber(d.t, point["low"]), cellNumber(d.t, point["converted"]), cellNumber(d.t, point["high"])
			if converted < before || low > converted || high != 0 && high < converted {
				d.t.Errorf("drop %s: converted %v [%v, %v] after %v", drop, converted, low, high, before)
			}
			before = converted
		}
	}
}

// cellNumber reads a cell; an absent one is 0.
func cellNumber(t testing.TB, cell string) float64 {
	t.Helper()
	if cell == "" || cell == "ᴺᵁᴸᴸ" {
		return 0
	}
	f, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// minor turns a cell in major units of a currency into whole minor units.
func minor(t testing.TB, currency, cell string) float64 {
	t.Helper()
	digits, ok := event.CurrencyDigits(currency)
	if !ok {
		t.Fatalf("unknown currency %q", currency)
	}
	return math.Round(cellNumber(t, cell) * math.Pow10(digits))
}

// testReport compares the printed report with what was simulated.
func testReport(d *simulatedDrop) {
	printed := d.command(&ReportCmd{Drop: d.drop})
	d.t.Logf("%s", printed)
	for _, title := range []string{"Drop " + d.drop, "Revenue\n", "Conversion velocity (", "conversions/min by drop age", "Funnel (",
		"Landing latency against conversion", "The same by POP", "Lifetime value per member", "Data quality"} {
		if !strings.Contains(printed, title) {
			d.t.Errorf("the report has no %q", title)
		}
	}
	_, revenue, _ := strings.Cut(printed, "Revenue\n")
	revenue, _, _ = strings.Cut(revenue, "Conversion velocity")
	lines := map[string][]string{}
	for _, line := range strings.Split(revenue, "\n") {
		if cells := strings.Fields(line); len(cells) == 8 {
			lines[cells[0]] = append([]string{cells[1]}, cells[3:7]...)
		}
	}
	for currency, m := range d.books.Drops[d.drop].Valid.Money {
		books := row{&clickhouse.Table{Columns: []string{"gross", "refunds", "chargebacks", "net"},
			Rows: [][]any{{m.Gross, m.Refunds, m.Chargebacks, m.Gross - m.Refunds - m.Chargebacks}}}, 0}
		want := []string{strconv.FormatUint(m.Completed, 10)}
		for _, column := range books.Columns {
			want = append(want, books.money(column, currency))
		}
		if got := lines[currency]; !slices.Equal(got, want) {
			d.t.Errorf("checkouts, gross, refunds, chargebacks and net in %s: %v in the report, %v in the books", currency, got, want)
		}
	}
	for drop, books := range d.books.Drops {
		if drop == "" {
			continue
		}
		funnel := d.query("report_funnel", clickhouse.Params{"drop": drop})
		for step := range funnel.Rows {
			r := row{funnel, step}
			if want := fmt.Sprint(books.Valid.Players[step], " ", books.Valid.FunnelGap); r.text("players")+" "+r.text("gap_players") != want {
				d.t.Errorf("drop %s: players at %s and gap: %s %s in the report, %s in the books", drop, r.text("step"), r.text("players"), r.text("gap_players"), want)
			}
		}
		if len(funnel.Rows) != int(event.NumSteps) {
			d.t.Errorf("drop %s: %d steps", drop, len(funnel.Rows))
		}
	}
	if err := (&ReportCmd{Drop: "none"}).Run(context.Background(), d.cfg); err == nil || !strings.Contains(err.Error(), "not in the catalogue") {
		d.t.Errorf("the report of no drop: %v", err)
	}
}

// testQuery asks a running installation from another process.
func testQuery(d *simulatedDrop) {
	for _, test := range []struct {
		name string
		args []string
		code int
		out  string // exact, or the beginning of the only line on stderr when code is 1
	}{
		{"TSV", []string{"--sql", "SELECT drop_id, name FROM drops FINAL WHERE drop_id = {d:String}", "-p", "d=" + d.drop, "--format", "TSV"}, 0, ""},
		{"CSV with names", []string{"--sql", "SELECT 1 AS a, 'x' AS b", "--format", "CSVWithNames"}, 0, "\"a\",\"b\"\n1,\"x\"\n"},
		{"a format in the text", []string{"--sql", "SELECT 7 AS seven FORMAT JSONEachRow", "--format", "TSV"}, 0, "{\"seven\":7}\n"},
		{"a parameter that is not SQL", []string{"--sql", "SELECT {d:String}", "-p", "d='; DROP TABLE drops; --", "--format", "TSV"}, 0, "\\'; DROP TABLE drops; --\n"},
		{"bad SQL", []string{"--sql", "SELEKT 1"}, 1, "droplift: error: clickhouse: HTTP 400: Code: 62."},
		{"a write", []string{"--sql", "DROP TABLE purchases"}, 1, "droplift: error: clickhouse: HTTP 500: Code: 164."},
		{"nothing", nil, 1, "droplift: error: give a named query (droplift query --list) or --sql TEXT"},
		{"both", []string{"drop_entry", "--sql", "SELECT 1"}, 1, "droplift: error: give a named query or --sql, not both"},
		{"unknown", []string{"nonsense"}, 1, "droplift: error: "},
		{"without its parameter", []string{"drop_entry"}, 1, "droplift: error: query drop_entry needs parameter drop (String)"},
	} {
		d.t.(*testing.T).Run(test.name, func(t *testing.T) {
			if test.name == "TSV" {
				test.out = d.tsv("SELECT drop_id, name FROM drops FINAL WHERE drop_id = '"+d.drop+"'") + "\n"
			}
			code, stdout, stderr := runDroplift(t, nil, append(append([]string{"query"}, d.flags()...), test.args...)...)
			if code != test.code {
				t.Fatalf("exit code %d, not %d: %s", code, test.code, stderr)
			}
			if code == 0 && (stdout != test.out || stderr != "") {
				t.Errorf("stdout %q, want %q; stderr %q", stdout, test.out, stderr)
			}
			if code != 0 {
				oneLine(t, stderr, test.out)
			}
		})
	}
}

// testMetrics compares what a scraper gets with the books, and looks for every stage's families.
func testMetrics(d *simulatedDrop) {
	metrics := d.metrics()
	for _, family := range []string{
		"droplift_stage_records_in_total", "droplift_stage_lag_records", "droplift_stage_commit_seconds", "droplift_stage_transaction_records",
		"droplift_stage_ready", "droplift_stage_tasks",
		"droplift_process_events_total", "droplift_process_dead_letters_total", "droplift_process_watermark_seconds",
		"droplift_process_state_keys", "droplift_process_state_bytes",
		"droplift_catalogue_drops", "droplift_catalogue_invalid_total",
		"droplift_feed_records_total", "droplift_feed_lag_records", "droplift_feed_batch_records", "droplift_feed_write_seconds", "droplift_feed_ready",
		"droplift_sink_rows_total", "droplift_sink_insert_seconds", "droplift_sink_undecodable_total",
		"droplift_sink_newest_event_time_seconds", "droplift_sink_newest_record_time_seconds",
	} {
		if !strings.Contains(metrics, "# TYPE "+family+" ") {
			d.t.Errorf("no metric %s", family)
		}
	}
	// sum adds up the samples of a family with this label, but the rollup stage's.
	sum := func(family, label string) float64 {
		total := 0.
		for _, line := range strings.Split(metrics, "\n") {
			name, value, _ := strings.Cut(line, "} ")
			if strings.HasPrefix(name, family+"{") && strings.Contains(name+",", label) && !strings.Contains(name, `stage="`+d.cfg.RollupGroup+`"`) {
				total += cellNumber(d.t, value)
			}
		}
		return total
	}
	want := map[string]uint64{}
	for _, kind := range stageInputs {
		books := d.books.Topics[kind.Topic()]
		want[`outcome="accepted"`] += books.Accepted
		want[`outcome="duplicate"`] += books.Duplicates
		want[`outcome="late"`] += books.Late
		want[`outcome="skewed"`] += books.Skewed
		for _, n := range books.DeadLetters {
			want[`outcome="dead_lettered"`] += n
		}
		if got := sum("droplift_feed_records_total", `topic="`+kind.Topic()+`"`); got != float64(books.Records) {
			d.t.Errorf("%v records of topic %s passed the sink, the books have %d", got, kind.Topic(), books.Records)
		}
	}
	for label, n := range want {
		if got := sum("droplift_process_events_total", label); got != float64(n) {
			d.t.Errorf("droplift_process_events_total{%s} is %v, the books have %d", label, got, n)
		}
	}
	for _, lag := range []string{"droplift_stage_lag_records", "droplift_feed_lag_records"} {
		eventually(d.t, 30*time.Second, func() error {
			metrics = d.metrics()
			for _, line := range strings.Split(metrics, "\n") {
				if strings.HasPrefix(line, lag+"{") && !strings.HasSuffix(line, "} 0") {
					return fmt.Errorf("everything is processed, but %s", line)
				}
			}
			return nil
		})
	}
}
