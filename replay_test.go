package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/sinks/clickhouse"
)

// Files that nobody on the project made, through Kafka into ClickHouse, must give the figures published for them.
func TestReplayOfRealData(t *testing.T) {
	cdnow := realData(t, "cdnow/CDNOW_master.txt.gz")
	seattle := realData(t, "seattle/SeattleData_1.gz")
	journey := realData(t, "completejourney/transactions_sample.csv.gz")
	p := startPipeline(t, t.TempDir())

	t.Run("CDNOW", func(t *testing.T) {
		p := p.in(t)
		p.command(&ReplayCmd{Mapping: "cdnow", Files: []string{cdnow}, Resume: true})
		p.settle()
		testCDNOW(p, cdnow)
	})
	t.Run("Seattle", func(t *testing.T) {
		p := p.in(t)
		p.command(&ReplayCmd{Mapping: "seattle", Files: []string{seattle}, Resume: true})
		p.settle()
		testSeattle(p)
	})
	t.Run("Complete Journey", func(t *testing.T) {
		p := p.in(t)
		replay := func(resume bool) string {
			printed := p.command(&ReplayCmd{Mapping: "completejourney", Files: []string{journey}, Resume: resume})
			p.settle()
			return printed
		}
		printed := replay(true)
		for _, line := range []string{": 75000 records, 75000 events, 0 skipped, 0 rejected\n", "without a match for manufacturer_id: 222\n"} {
			if !strings.Contains(printed, line) {
				t.Errorf("%q is missing in:\n%s", line, printed)
			}
		}
		p.want("checkouts stored", "SELECT count() FROM checkout_events WHERE drop_id = 'completejourney-2017'", "75000")
		testJourney(p)

		// A finished file goes on behind its end.
		if printed := replay(true); !strings.Contains(printed, " 0 events") || !strings.Contains(printed, "75000 sent before") {
			t.Errorf("replayed again with its checkpoint:\n%s", printed)
		}
		p.want("checkouts stored", "SELECT count() FROM checkout_events WHERE drop_id = 'completejourney-2017'", "75000")

		// Without the checkpoint everything is sent again, and has the ids it had.
		replay(false)
		p.want("checkouts and ids stored", "SELECT count(), uniqExact(id) FROM checkout_events WHERE drop_id = 'completejourney-2017'", "150000 75000")
		testJourney(p)
	})
}

// in is the same installation for a part of a test.
func (p *pipeline) in(t testing.TB) *pipeline {
	part := *p
	part.t = t
	return &part
}

func testJourney(p *pipeline) {
	p.t.Helper()
	const of = "purchases FINAL WHERE drop_id = 'completejourney-2017'"
	p.want("checkouts and cents", "SELECT count(), sum(amount), sum(amount_reporting), uniqExact(player_id) FROM "+of,
		"75000 23393524 23393524 2377")
	// The published 2,431 creators are 2,430 manufacturers, and what has none as one more.
	p.want("creators", "SELECT uniqExact(creator_id), uniqExactIf(creator_id, creator_id != '') FROM "+of, "2431 2430")
	p.want("unmapped checkouts and cents", "SELECT count(), sum(amount) FROM "+of+" AND creator_id = ''", "222 467")
	p.want("70 % floored on the total, per creator and per line",
		"SELECT intDiv(sum(cents) * 7, 10), sum(intDiv(cents * 7, 10)), sum(lines) FROM (SELECT sum(amount) AS cents, sum(intDiv(amount * 7, 10)) AS lines FROM "+
			of+" GROUP BY creator_id)", "16375466 16374403 16353760")
	report := p.query("report_revenue", clickhouse.Params{"drop": "completejourney-2017"})
	if r := (row{report, 0}); len(report.Rows) != 1 || r.text("checkouts") != "75000" || r.money("net", "USD") != "233935.24" || r.text("buyers") != "2377" {
		p.t.Errorf("revenue report: %v", report.Rows)
	}
}

// accuracy is the relative accuracy asked of ClickHouse's DDSketch.
const accuracy = 0.01

func testSeattle(p *pipeline) {
	p.t.Helper()
	// 99 hosts, none of which measures itself.
	p.want("samples and pairs of hosts", "SELECT count(), uniqExact(player_id, pop), uniqExact(id), countIf(player_id = pop) FROM latency_events", "9702 9702 9702 0")
	fields := strings.Split(p.tsv(fmt.Sprintf("SELECT round(avg(ms), 4), %s FROM latency_events",
		fmt.Sprintf("quantileDD(%[1]g, 0.5)(ms), quantileDD(%[1]g, 0.95)(ms), quantileDD(%[1]g, 0.99)(ms)", accuracy))), "\t")
	if fields[0] != "281.0843" {
		p.t.Errorf("off-diagonal mean %s ms, not 281.0843", fields[0])
	}
	for i, want := range []float64{210, 680, 1020} {
		got, err := strconv.ParseFloat(fields[i+1], 64)
		if err != nil || math.Abs(got-want) > accuracy*want {
			p.t.Errorf("%s ms by a sketch of relative accuracy %g, not %g (%v)", []string{"p50", "p95", "p99"}[i], accuracy, want, err)
		}
	}
}

func testCDNOW(p *pipeline, path string) {
	p.t.Helper()
	p.want("purchases, customers and cents", "SELECT count(), uniqExact(player_id), sum(amount) FROM purchases FINAL", "69659 23570 250031563")

	const ages = 12
	table := p.query("ltv_cohorts", clickhouse.Params{"cohort": "month", "age": "calendar_month", "max_age": ages})
	cumulative, members := cdnowBooks(p.t, path, ages)
	published := map[string]string{"1997-01": "7846", "1997-02": "8476", "1997-03": "7248"}
	curve := map[string]string{"0": "38.1163", "3": "57.5377", "6": "71.6062", "12": "95.7529"}
	cells := 0
	for i := range table.Rows {
		r := row{table, i}
		cohort, age := r.text("cohort"), r.text("age")
		if r.text("members") != published[cohort] || r.text("members") != strconv.Itoa(members[cohort]) {
			p.t.Errorf("cohort %s has %s members, published are %s, the file has %d", cohort, r.text("members"), published[cohort], members[cohort])
		}
		months, err := strconv.Atoi(age)
		if err != nil {
			p.t.Fatal(err)
		}
		if net := r.text("net"); net != strconv.FormatInt(cumulative[cohort][months], 10) {
			p.t.Errorf("cohort %s at month %s: %s cents, the file has %d", cohort, age, net, cumulative[cohort][months])
		}
		if want := curve[age]; cohort == "1997-01" && want != "" && r.decimal("ltv", 4) != want {
			p.t.Errorf("cohort %s at month %s: %s per customer, published is %s", cohort, age, r.decimal("ltv", 4), want)
		}
		cells++
	}
	if want := len(published) * (ages + 1); cells != want {
		p.t.Errorf("%d cells, not %d: %v", cells, want, table.Rows)
	}
}

// cdnowBooks adds up the file itself: cumulative cents by cohort and calendar months since, and cohort sizes.
func cdnowBooks(t testing.TB, path string, ages int) (cumulative map[string][]int64, members map[string]int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	type purchase struct {
		month int
		cents int64
	}
	purchases := map[string][]purchase{}
	lines := bufio.NewScanner(unpacked)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 4 {
			continue
		}
		day, err := time.Parse("20060102", fields[1])
		if err != nil {
			continue // the header
		}
		cents, err := strconv.ParseInt(strings.Replace(fields[3], ".", "", 1), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		purchases[fields[0]] = append(purchases[fields[0]], purchase{day.Year()*12 + int(day.Month()) - 1, cents})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	cumulative, members = map[string][]int64{}, map[string]int{}
	for _, of := range purchases {
		first := of[0].month
		for _, p := range of {
			first = min(first, p.month)
		}
		cohort := fmt.Sprintf("%d-%02d", first/12, first%12+1)
		members[cohort]++
		if cumulative[cohort] == nil {
			cumulative[cohort] = make([]int64, ages+1)
		}
		for _, p := range of {
			for age := p.month - first; age <= ages; age++ {
				cumulative[cohort][age] += p.cents
			}
		}
	}
	return cumulative, members
}
