package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/droplift/droplift/deploy/apachekafka"
	"github.com/droplift/droplift/deploy/apachekafka/apachekafkatest"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
)

// BenchmarkBars measures the bars of the design on this machine, prints them as one table and writes bench.json. Its
// parts are sub-benchmarks, so that one can be repeated or profiled alone; bench.json then holds that part's rows only.
// It is meant for -benchtime 1x: a part measures for as long as it needs.
func BenchmarkBars(b *testing.B) {
	if testing.Short() {
		b.Skip("the bars take minutes")
	}
	measured := &bars{}
	played := &recording{dir: b.TempDir()}
	const command = "go test -run '^$' -bench '^BenchmarkBars$%s' -benchtime 1x ."
	for _, part := range []struct {
		name string
		run  func(*testing.B, *bars, *recording)
	}{
		{"decode", benchDecode},
		{"simulate", benchSimulate},
		{"state", benchState},
		{"rules", benchRules},
		{"models", benchModels},
		{"features", benchFeatures},
		{"decide", benchDecide},
		{"trees", benchTrees},
		{"dashboards", benchDashboards},
	} {
		b.Run(part.name, func(b *testing.B) {
			measured.command, measured.server = fmt.Sprintf(command, "/^"+part.name+"$"), ""
			part.run(b, measured, played)
		})
	}
	for _, part := range []struct {
		name string
		run  func(*testing.B, *bars, *recording, []string)
	}{
		{"restore", benchRestore},
		{"process", benchProcess},
		{"store", benchStore},
		{"everything", benchEverything},
	} {
		for _, server := range benchServers {
			b.Run(part.name+"/"+server.name, func(b *testing.B) {
				measured.command, measured.server = fmt.Sprintf(command, "/^"+part.name+"$/^"+server.name+"$"), server.name
				part.run(b, measured, played, server.start(b))
			})
		}
	}
	if len(measured.rows) == 0 {
		return // everything was filtered out or skipped
	}
	measured.print()
	if err := measured.write("bench.json"); err != nil {
		b.Fatal(err)
	}
}

// benchServers are the Kafkas that every part which needs one is measured on. Their start returns the brokers, or skips
// the part with the reason.
var benchServers = []struct {
	name  string
	start func(testing.TB) []string
}{
	{"embedded", func(t testing.TB) []string { return embeddedtest.Kafka(t).Addrs() }},
	{"apache", func(t testing.TB) []string {
		return apachekafkatest.Start(t, func(cfg *apachekafka.Config) { cfg.JVM = nil }).Addrs() // optimised: a bench is long
	}},
}

// bars collects what was measured.
type bars struct {
	rows    []barRow
	command string
	server  string
}

// barRow is one measured number. Baseline, where there is one, was measured in the same run, in the same unit; Ratio is
// Value over Baseline, and 0 without one.
type barRow struct {
	Name string `json:"name"`
	// Server is the Kafka that it was measured on, empty without one.
	Server string  `json:"server"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	// Bar is what Value, or with Of "ratio" Ratio, must not be below or, with Limit "at most", above.
	Bar      float64 `json:"bar"`
	Limit    string  `json:"limit"`
	Of       string  `json:"of"`
	Baseline float64 `json:"baseline"`
	Ratio    float64 `json:"ratio"`
	Pass     bool    `json:"pass"`
	// Cores is how many processors the run had on average, the servers' processes included: on a machine that others use
	// too it tells a slow program from a starved one. 0 where it was not measured.
	Cores float64 `json:"cores"`
	// Runs is how many runs Value is the median of.
	Runs    int    `json:"runs"`
	Command string `json:"command"`
}

const (
	atLeast = "at least"
	atMost  = "at most"
)

// add judges a row. Rows come from the goroutine of one benchmark at a time.
func (s *bars) add(row barRow) {
	row.Of = cmp.Or(row.Of, "value")
	row.Runs = max(row.Runs, 1)
	row.Command, row.Server = s.command, s.server
	judged := row.Value
	if row.Baseline != 0 {
		row.Ratio = row.Value / row.Baseline
	}
	if row.Of == "ratio" {
		judged = row.Ratio
	}
	row.Pass = judged >= row.Bar
	if row.Limit == atMost {
		row.Pass = judged <= row.Bar
	}
	if i := slices.IndexFunc(s.rows, func(r barRow) bool { return r.Name == row.Name && r.Server == row.Server }); i >= 0 {
		s.rows[i] = row
		return
	}
	s.rows = append(s.rows, row)
}

func (s *bars) print() {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.SetTitle("Bars on %d processors (%s/%s), load %s", runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, loadAverage())
	t.AppendHeader(table.Row{"what", "Kafka", "value", "unit", "bar", "baseline", "ratio", "cores", "pass"})
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 3, Align: text.AlignRight}, {Number: 5, Align: text.AlignRight}, {Number: 6, Align: text.AlignRight},
		{Number: 7, Align: text.AlignRight}, {Number: 8, Align: text.AlignRight},
	})
	for _, r := range s.rows {
		limit := map[string]string{atLeast: "≥ ", atMost: "≤ "}[r.Limit] + figure(r.Bar)
		if r.Of == "ratio" {
			limit += "×"
		}
		baseline, ratio, cores := "", "", ""
		if r.Baseline != 0 {
			baseline, ratio = figure(r.Baseline), figure(r.Ratio)+"×"
		}
		if r.Cores != 0 {
			cores = fmt.Sprintf("%.1f", r.Cores)
		}
		t.AppendRow(table.Row{r.Name, r.Server, figure(r.Value), r.Unit, limit, baseline, ratio, cores, map[bool]string{true: "yes", false: "NO"}[r.Pass]})
	}
	fmt.Println("\n" + t.Render())
	var command string
	for _, r := range s.rows {
		if r.Command != command {
			command = r.Command
			fmt.Printf("\n%s\n", command)
		}
		fmt.Printf("    %s\n", r.Name)
	}
	fmt.Println()
}

func (s *bars) write(path string) error {
	data, err := json.MarshalIndent(s.rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// figure formats v with three digits that matter, and thousands apart.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1000:
		return fmt.Sprintf("%.0f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}

// loadAverage is the machine's, of the last minute, or "unknown".
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// quantile is the smallest value that a share q of all values does not exceed. It sorts values.
func quantile(values []time.Duration, q float64) time.Duration {
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

// checkoutJSON is a checkout of 550 bytes in the encoder's order.
const checkoutJSON = `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4","type":"completed","event_time":1760000012345,` +
	`"ingest_time":1760000012411,"player_id":"p-7f3a9c1e52d84b06","session_id":"s-01979a6e4f0275c1","drop_id":"drop-aurora-2025w41",` +
	`"creator_id":"creator-00417","region":"DE","pop":"fra2","language":"de-DE","consent":7,"sample_rate":0.25,` +
	`"checkout_id":"co-01979a6e5b1b7a02","amount":4999,"currency":"EUR","sku":"aurora-print-signed-a2","quantity":2,"split_version":3,` +
	`"original_time":1759999912345,"channel":"app","reason":"customer request within 14 days"}`

// plainCheckout has the fields of a checkout record for encoding/json, which validates nothing.
type plainCheckout struct {
	ID            uuid.UUID `json:"id"`
	Type          string    `json:"type"`
	EventTime     int64     `json:"event_time"`
	IngestTime    int64     `json:"ingest_time"`
	PlayerID      string    `json:"player_id"`
	SessionID     string    `json:"session_id"`
	DropID        string    `json:"drop_id"`
	CreatorID     string    `json:"creator_id"`
	Region        string    `json:"region"`
	POP           string    `json:"pop"`
	Language      string    `json:"language"`
	Consent       uint8     `json:"consent"`
	SampleRate    float64   `json:"sample_rate"`
	Synthetic     bool      `json:"synthetic"`
	SchemaVersion uint16    `json:"schema_version"`
	CheckoutID    string    `json:"checkout_id"`
	Amount        int64     `json:"amount"`
	Currency      string    `json:"currency"`
	SKU           string    `json:"sku"`
	Quantity      uint32    `json:"quantity"`
	SplitVersion  uint32    `json:"split_version"`
	OriginalTime  int64     `json:"original_time"`
	Channel       string    `json:"channel"`
	Reason        string    `json:"reason"`
}

func benchDecode(b *testing.B, bars *bars, _ *recording) {
	data := []byte(checkoutJSON)
	var d event.Decoder
	var ev event.Event
	ours := func() {
		if err := d.Decode(event.KindCheckout, data, &ev); err != nil {
			b.Fatal(err)
		}
	}
	theirs := func() {
		var ev plainCheckout
		if err := json.Unmarshal(data, &ev); err != nil {
			b.Fatal(err)
		}
	}
	// The two take turns, so that a busy moment of the machine meets both.
	const rounds, n = 15, 20_000
	var our, their []float64
	for range rounds {
		our = append(our, perSecond(n, ours))
		their = append(their, perSecond(n/8, theirs))
	}
	bars.add(barRow{
		Name: "decode + validate a checkout of 550 B, over encoding/json", Value: median(our), Unit: "events/s", Bar: 8, Limit: atLeast,
		Of: "ratio", Baseline: median(their), Runs: rounds,
	})
	bars.add(barRow{
		Name: "decode + validate a checkout, allocations", Value: testing.AllocsPerRun(1000, ours), Unit: "allocs/event", Bar: 0, Limit: atMost,
		Baseline: testing.AllocsPerRun(100, theirs),
	})
}

func perSecond(n int, f func()) float64 {
	began := time.Now()
	for range n {
		f()
	}
	return float64(n) / time.Since(began).Seconds()
}

func benchSimulate(b *testing.B, bars *bars, _ *recording) {
	var rates, cores []float64
	for range 3 {
		generator, err := simulate.New(benchScenario())
		if err != nil {
			b.Fatal(err)
		}
		watch := startStopwatch()
		records := 0
		if err := generator.Run(b.Context(), func(batch []simulate.Record) error {
			records += len(batch)
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		rate, busy := watch.stop(b, records)
		rates, cores = append(rates, rate), append(cores, busy)
	}
	bars.add(barRow{
		Name: "simulator", Value: median(rates), Unit: "events/s", Bar: 300_000, Limit: atLeast, Cores: median(cores), Runs: len(rates),
	})
}
