package dashboards

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/sql"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// server is a migrated ClickHouse, spoken to by plain HTTP as any client would.
type server struct {
	t   *testing.T
	url string
}

func newServer(t *testing.T) server {
	t.Helper()
	return server{t, migrated.ClickHouse(t).URL()}
}

// migrated are the data of a ClickHouse whose tables are empty.
var migrated = embeddedtest.NewTemplate(func(ctx context.Context, server *embedded.ClickHouse) error {
	migrations, err := sql.Migrations()
	if err != nil {
		return err
	}
	for _, m := range migrations {
		for _, statement := range m.Statements {
			if _, err := post(server.URL(), statement); err != nil {
				return err
			}
		}
	}
	return nil
})

func (s server) exec(statement string) []byte {
	s.t.Helper()
	body, err := post(s.url, statement)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

func post(url, statement string) ([]byte, error) {
	answer, err := http.Post(url, "text/plain", strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s\n%s%v", statement, body, err)
	}
	return body, nil
}

type answer struct {
	Meta []struct{ Name, Type string }
	Data []map[string]any
}

func (s server) answer(of Target, v Vars) (a answer) {
	s.t.Helper()
	text, err := Expand(of.Query, v)
	if err != nil {
		s.t.Fatalf("%s: %v", of.Title, err)
	}
	if err := json.Unmarshal(s.exec(text+"\nFORMAT JSON SETTINGS output_format_json_quote_64bit_integers = 0"), &a); err != nil {
		s.t.Fatalf("%s: %v", of.Title, err)
	}
	return a
}

// run answers a panel or variable by title, or a query by name.
func (s server) run(title string, v Vars) answer {
	s.t.Helper()
	all, err := All()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range all {
		for _, p := range d.Targets() {
			if p.Title == title || p.Name == title {
				return s.answer(p, v)
			}
		}
	}
	_, text, err := withMacros(title, nil)
	if err != nil {
		s.t.Fatalf("no panel %q: %v", title, err)
	}
	return s.answer(Target{Title: title, Query: text}, v)
}

func (s server) want(title string, v Vars, want ...string) {
	s.t.Helper()
	a := s.run(title, v)
	var got []string
	for _, row := range a.Data {
		var cells []string
		for _, column := range a.Meta {
			cell := row[column.Name]
			if f, ok := cell.(float64); ok {
				cell = math.Round(f*1e6) / 1e6
			}
			cells = append(cells, fmt.Sprintf("%s=%v", column.Name, cell))
		}
		got = append(got, strings.Join(cells, " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.t.Errorf("%s:\n got %s\nwant %s", title, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

const (
	start = int64(1_772_452_800_000) // 2026-03-02 12:00 UTC
	end   = start + 2*3_600_000
)

func (s server) drop(id, creator string) {
	s.exec(fmt.Sprintf("INSERT INTO drops (drop_id, creator_id, version, starts, ends) VALUES ('%s', '%s', 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d))", id, creator, start, end))
}

// pane is one row of velocity, with what a test says of it.
type pane struct {
	drop, pop            string
	start, width         int64
	partition, revision  int
	maturity             string
	landed, gap          int
	steps                [5]int // players by step; landed is the first if 0
	conversions          int
	panes, counts        []int
	currencies           []string
	gross, refunds, cbks []int
}

func (s server) velocity(panes ...pane) {
	s.t.Helper()
	for _, p := range panes {
		list := func(v []int) string { return strings.ReplaceAll(fmt.Sprint(v), " ", ",") }
		quoted := ""
		if len(p.currencies) > 0 {
			quoted = "'" + strings.Join(p.currencies, "','") + "'"
		}
		zeros := make([]int, len(p.gross))
		if p.refunds == nil {
			p.refunds = zeros
		}
		if p.cbks == nil {
			p.cbks = zeros
		}
		s.exec(fmt.Sprintf(`INSERT INTO velocity (drop_id, pop, partition, pane_start, pane_ms, revision, watermark, maturity, landing_players, impression_players, click_players,
			started_players, completed_players, landing_events, funnel_gap, conversions, ttc_panes, ttc_count, money_currency, money_gross, money_refunds, money_chargebacks, kafka_time)
			VALUES ('%s', '%s', %d, fromUnixTimestamp64Milli(%d), %d, %d, fromUnixTimestamp64Milli(%d), '%s', %d, %d, %d, %d, %d, %d, %d, %d, %s, %s, [%s], %s, %s, %s, now64(3))`,
			p.drop, p.pop, p.partition, p.start, p.width, p.revision, p.start+p.width+20_000, p.maturity, p.landed, p.steps[1], p.steps[2],
			p.steps[3], p.steps[4], 2*p.landed, p.gap, p.conversions, list(p.panes), list(p.counts), quoted, list(p.gross), list(p.refunds), list(p.cbks)))
	}
}

// Grafana's plugin hands a column of any other type to panels as JSON: no time, no number.
var plainColumn = regexp.MustCompile(`^(LowCardinality\()?(Nullable\()?(U?Int(8|16|32|64)|Float(32|64)|Bool|String|Date(Time(64)?(\([^()]*\))?)?|Decimal\([^()]*\))\)*$`)

func TestGrafanaKnowsEveryColumn(t *testing.T) {
	s := newServer(t)
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for _, target := range d.Targets() {
			if target.Datasource != ClickHouse {
				continue
			}
			columns := s.answer(target, Vars{From: start, To: end, IntervalS: 60, Values: map[string][]string{"drop": {"d"}}}).Meta
			if len(columns) == 0 {
				t.Errorf("%s, %s has no column", d.Title(), target.Title)
			}
			for _, c := range columns {
				if !plainColumn.MatchString(c.Type) {
					t.Errorf("%s, %s: column %s is a %s", d.Title(), target.Title, c.Name, c.Type)
				}
			}
		}
	}
}

func TestPanelsOnTheEngine(t *testing.T) {
	s := newServer(t)
	s.drop("d", "ada")
	s.drop("other", "bob")
	whole := Vars{From: start, To: end, IntervalS: 60, Values: map[string][]string{"drop": {"d"}}}

	// DOMAIN 2.1: 240 conversions in the first 3 minutes are 80 per minute over any window of at least 3 minutes.
	for i := range int64(18) {
		p := pane{drop: "d", pop: "fra", start: start + i*10_000, width: 10_000, revision: 2, maturity: "final", conversions: 13}
		if i%3 == 0 {
			p.conversions = 14
		}
		if i >= 12 {
			p.pop, p.maturity = "sin", "provisional"
		}
		stale := p
		stale.revision, stale.conversions, stale.maturity = 1, 99, "provisional"
		s.velocity(stale, p)
	}
	// What belongs to another drop, another POP or the waiting page.
	s.velocity(
		pane{drop: "other", pop: "fra", start: start, width: 10_000, revision: 1, maturity: "final", conversions: 1000},
		pane{drop: "d", pop: "fra", start: start - 10_000, width: 10_000, revision: 1, maturity: "final", landed: 5},
	)
	t.Run("velocity", func(t *testing.T) {
		s := server{t, s.url}
		s.want("Conversion velocity", whole,
			"time=2026-03-02 12:01:00.000 1 min=80 5 min=80 15 min=80 provisional=<nil>",
			"time=2026-03-02 12:02:00.000 1 min=80 5 min=80 15 min=80 provisional=<nil>",
			"time=2026-03-02 12:03:00.000 1 min=80 5 min=80 15 min=80 provisional=1")
		// 14 conversions in the first 10 s, 13 in the next: a window that is longer than the drop's age divides by the age.
		fine := whole
		fine.IntervalS, fine.To = 1, start+20_000
		s.want("Conversion velocity", fine,
			"time=2026-03-02 12:00:10.000 1 min=84 5 min=84 15 min=84 provisional=<nil>",
			"time=2026-03-02 12:00:20.000 1 min=81 5 min=81 15 min=81 provisional=<nil>")
		// Only Frankfurt, from a range and with a step that are no multiples of anything.
		fra := whole
		fra.IntervalS, fra.Values = 90, map[string][]string{"drop": {"d"}, "pop": {"fra"}}
		fra.From = start + 30_000
		s.want("Conversion velocity", fra, "time=2026-03-02 12:01:30.000 1 min=80 5 min=80 15 min=80 provisional=<nil>")
	})

	// A drop whose rows test the other panels.
	s.drop("e", "ada")
	s.velocity(
		pane{drop: "e", pop: "fra", start: start - 10_000, width: 10_000, revision: 1, maturity: "final", landed: 10},
		pane{drop: "e", pop: "fra", start: start + 20_000, width: 10_000, revision: 1, maturity: "final", landed: 30, steps: [5]int{0, 20, 10, 8, 4}, gap: 1,
			conversions: 5, panes: []int{0, 3}, counts: []int{2, 2}, currencies: []string{"EUR", "JPY"}, gross: []int{10_000, 500}, refunds: []int{2_500, 0}},
		pane{drop: "e", pop: "sin", start: start + 70_000, width: 10_000, revision: 1, maturity: "provisional", landed: 10, steps: [5]int{0, 5, 5, 5, 2}, partition: 1,
			conversions: 2, panes: []int{1}, counts: []int{2}, currencies: []string{"EUR"}, gross: []int{4_000}, cbks: []int{5_000}},
		pane{drop: "e", pop: "sin", start: start + 60_000, width: 10_000, revision: 1, maturity: "provisional", landed: 10, partition: 1},
	)
	hundred := map[float64]float64{}
	for ms := range 100 {
		hundred[float64(ms+1)] = 1
	}
	s.sketch(sketch{drop: "e", pop: "fra", start: start, ms: hundred})
	// One sample in ten of slow requests weighs as much as the 100 others together.
	s.sketch(sketch{drop: "e", pop: "sin", start: start + 60_000, ms: map[float64]float64{10: 100, 1000: 10 * 10}})
	s.sketch(sketch{drop: "e", pop: "sin", start: start + 60_000, request: "segment", ms: map[float64]float64{9999: 1}})
	// A record that is stored twice counts once.
	s.exec("INSERT INTO dead_letters (topic, class, timestamp, kafka_offset) SELECT 'player', 'malformed', toDateTime64('2026-03-02 12:00:00', 3, 'UTC'), number % 3 FROM numbers(4)")
	s.exec("INSERT INTO late_events (topic, drop_id, timestamp) VALUES ('checkout', 'e', '2026-03-02 12:00:01')")
	// A drop that was over before the others began.
	s.exec(fmt.Sprintf("INSERT INTO drops (drop_id, creator_id, version, starts, ends) VALUES ('old', 'ada', 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d))", start-2*86_400_000, start-86_400_000))
	s.velocity(pane{drop: "old", pop: "fra", start: start - 2*86_400_000, width: 10_000, revision: 1, maturity: "final", partition: 9})
	e := whole
	e.Values = map[string][]string{"drop": {"e"}}
	on := func(e Vars, name string, values ...string) Vars {
		e.Values = map[string][]string{"drop": e.Values["drop"], name: values}
		return e
	}

	t.Run("numbers", func(t *testing.T) {
		s := server{t, s.url}
		s.want("At a glance", e, "landed=60 converted=7 ordered_rate=0.1 gap_share=0.016667 open_panes=2 maturity=provisional")
		s.want("At a glance", on(e, "pop", "fra"), "landed=40 converted=5 ordered_rate=0.1 gap_share=0.025 open_panes=0 maturity=final")
		s.want("Funnel", e,
			"step=landing players=60 share=1 events=120 maturity=provisional",
			"step=impression players=25 share=0.416667 events=0 maturity=provisional",
			"step=click players=15 share=0.25 events=0 maturity=provisional",
			"step=started players=13 share=0.216667 events=0 maturity=provisional",
			"step=completed players=6 share=0.1 events=0 maturity=provisional")
		s.want("Revenue by currency", e,
			"time=2026-03-02 12:00:00 currency=EUR reporting=USD net=75 net_provisional=<nil> returns=-25 reported=82.5 reported_provisional=<nil>",
			"time=2026-03-02 12:00:00 currency=JPY reporting=USD net=500 net_provisional=<nil> returns=0 reported=3.35 reported_provisional=<nil>",
			"time=2026-03-02 12:01:00 currency=EUR reporting=USD net=<nil> net_provisional=-10 returns=-50 reported=<nil> reported_provisional=-11")
		s.want("Revenue by currency", on(e, "currency", "JPY", "KWD"),
			"time=2026-03-02 12:00:00 currency=JPY reporting=USD net=500 net_provisional=<nil> returns=0 reported=3.35 reported_provisional=<nil>")
		s.want("Landing latency by POP", e,
			fmt.Sprintf("time=2026-03-02 12:00:00 pop=fra p50=%v p95=%v", shown(50), shown(95)),
			fmt.Sprintf("time=2026-03-02 12:01:00 pop=sin p50=%v p95=%v", shown(10), shown(1000)))
		// The two that convert at 12:01:10 in Singapore landed a pane earlier; two of Frankfurt's landed before the start.
		// The ten who landed at 11:59 are too few for a share, and so share that of the 30 after them; Singapore's 20 say nothing.
		early := e
		early.From = start - 60_000
		s.want("Converted by landing time and POP", early,
			"time=2026-03-02 11:59:00 pop=fra converted=0.1",
			"time=2026-03-02 12:00:00 pop=fra converted=0.1")
		s.want("Net revenue by POP", on(e, "currency", "EUR"),
			"time=2026-03-02 12:00:00 pop=fra currency=EUR reporting=USD net=75 reported=82.5",
			"time=2026-03-02 12:01:00 pop=sin currency=EUR reporting=USD net=-10 reported=-11")
		// 75 EUR at 1.10 and 500 JPY at 0.0067.
		s.want("POPs compared", e,
			fmt.Sprintf("pop=fra players=40 p50_ms=%v p95_ms=%v converted=0.1 revenue=85.85 currency=USD maturity=final", shown(50), shown(95)),
			fmt.Sprintf("pop=sin players=20 p50_ms=%v p95_ms=%v converted=0.1 revenue=-11 currency=USD maturity=provisional", shown(10), shown(1000)))
		s.want("Watermarks", Vars{},
			"partition=0 watermark=2026-03-02 12:03:20.000 behind_s=0 provisional_panes=6 final_panes=16",
			"partition=1 watermark=2026-03-02 12:01:40.000 behind_s=80 provisional_panes=2 final_panes=0")
		s.want("dashboard_rejected", e,
			"topic=player class=malformed records=3 newest=2026-03-02 12:00:00.000",
			"topic=checkout class=late records=1 newest=2026-03-02 12:00:01.000")
	})

	t.Run("choices", func(t *testing.T) {
		s := server{t, s.url}
		s.want("creator", Vars{}, "encodeURLComponent(creator_id)=ada creator_id=ada", "encodeURLComponent(creator_id)=bob creator_id=bob")
		s.want("drop", Vars{}, "drop_id=d", "drop_id=e", "drop_id=other", "drop_id=old")
		s.want("drop", Vars{Values: map[string][]string{"creator": {"bob"}}}, "drop_id=other")
		s.want("pop", e, "encodeURLComponent(pop)=fra pop=fra", "encodeURLComponent(pop)=sin pop=sin")
		s.want("currency", e, "encodeURLComponent(currency)=EUR currency=EUR", "encodeURLComponent(currency)=JPY currency=JPY")
	})

	t.Run("time to convert", func(t *testing.T) {
		s := server{t, s.url}
		timeToConvert(t, s)
	})

	t.Run("an unknown drop has none, and is no error", func(t *testing.T) {
		s := server{t, s.url}
		none := e
		none.Values = map[string][]string{"drop": {"none"}}
		for _, title := range []string{"At a glance", "Conversion velocity", "Funnel", "Time to convert", "Revenue by currency",
			"Landing latency by POP", "Converted by landing time and POP", "Net revenue by POP", "POPs compared"} {
			if a := s.run(title, none); len(a.Data) != 0 {
				t.Errorf("panel %q: %v", title, a.Data)
			}
		}
	})
}

// Whatever creators, drops and POPs are called, choosing them in Grafana asks for them and for nothing else.
func TestNames(t *testing.T) {
	s := newServer(t)
	names := []string{"ada", "it's", `a\`, `\\`, `\' OR 1=1 --`, "') OR (1=1", "a", "b", "a,b", ",", "{a}", "{a", "b}", `"quoted"`, "%27", "50 %", "a+b", "a b", "a\tb\nc",
		"é☕🎉", "שלום\u200f", "$__interval_s", "${drop:percentencode}", "$$", "[]", "All"}
	for i, name := range names {
		quoted := strings.ReplaceAll(quote(name), "%", "%%")
		s.exec("INSERT INTO drops (drop_id, creator_id, version, starts, ends) VALUES (" + quote(name) + ", " + quote(name) + fmt.Sprintf(", 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d))", start, end))
		s.exec(fmt.Sprintf("INSERT INTO velocity (drop_id, pop, pane_start, pane_ms, revision, maturity, landing_players) VALUES ('d', "+quoted+", fromUnixTimestamp64Milli(%[1]d), 10000, 1, 'final', %[2]d), ("+
			quoted+", 'fra', fromUnixTimestamp64Milli(%[1]d), 10000, 1, 'final', 1)", start, 1<<i))
	}
	s.drop("d", "creator of d")
	// texts are what people read in a variable's list, and values what Grafana knows them by.
	choices := func(name string, v Vars) (texts []string, values map[string]string) {
		values = map[string]string{}
		a := s.run(name, v)
		for _, row := range a.Data {
			text := row[a.Meta[len(a.Meta)-1].Name].(string)
			texts = append(texts, text)
			values[text] = row[a.Meta[0].Name].(string)
		}
		return texts, values
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		if got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	creators, values := choices("creator", Vars{})
	same("creators", creators, append([]string{"creator of d"}, names...)...)
	pops, _ := choices("pop", Vars{Values: map[string][]string{"drop": {"d"}}})
	same("POPs", pops, names...)
	whole := Vars{From: start, To: end, IntervalS: 60}
	for i, name := range names {
		other := (i + 1) % len(names)
		asked := []string{name, names[other]}
		drops, _ := choices("drop", Vars{Values: map[string][]string{"creator": asked[:1]}})
		same("drops of "+name, drops, name)
		v := whole
		v.Values = map[string][]string{"drop": {"d"}, "pop": asked}
		landed := 1<<i + 1<<other
		if a := s.run("At a glance", v); len(a.Data) != 1 || a.Data[0]["landed"] != float64(landed) {
			t.Errorf("POPs %q: %v, want %d landed", asked, a.Data, landed)
		}
		// Grafana writes what is chosen of several as a glob and encodes that.
		if text, err := Expand("${pop:percentencode}", v); err != nil || text != strictly3986("{"+values[name]+","+values[names[other]]+"}") {
			t.Errorf("POPs %q become %s (%v)", asked, text, err)
		}
		if got, _ := choices("pop", Vars{Values: map[string][]string{"drop": {name}}}); !slices.Equal(got, []string{"fra"}) {
			t.Errorf("POPs of the drop %q: %q", name, got)
		}
	}
	whole.Values = map[string][]string{"drop": {"d"}}
	if a := s.run("At a glance", whole); len(a.Data) != 1 || a.Data[0]["landed"] != float64(int(1)<<len(names)-1) {
		t.Errorf("all POPs: %v", a.Data)
	}
}

// strictly3986 is Grafana's encodeURIComponentStrict: RFC 3986, with all of its reserved characters encoded.
func strictly3986(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("-_.~", b) >= 0 {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

// The example of DOMAIN 2.2 in panes of a minute: 1−S and its interval, with the
// players who had not converted landing at such times that the cut censors them in time.
func timeToConvert(t *testing.T, s server) {
	const minute = 60_000
	s.drop("km", "ada")
	cut := start + 12*minute
	rows := map[int64]*pane{}
	at := func(ms int64) *pane {
		if rows[ms] == nil {
			rows[ms] = &pane{drop: "km", pop: "fra", start: ms, width: minute, revision: 1, maturity: "provisional"}
		}
		return rows[ms]
	}
	for _, c := range []struct {
		minutes int64
		event   bool
	}{{2, true}, {3, false}, {5, true}, {5, true}, {5, false}, {8, false}, {9, true}, {12, false}, {12, false}, {12, false}} {
		if !c.event {
			at(cut-c.minutes*minute).landed++
			continue
		}
		at(start).landed++
		p := at(start + c.minutes*minute)
		p.conversions++
		p.panes, p.counts = append(p.panes, int(c.minutes)), append(p.counts, 1)
	}
	// The cut is one minute short of the watermark's pane: a row past it must not count.
	at(cut + 2*minute).landed = 50
	for _, p := range rows {
		s.velocity(*p)
	}
	v := Vars{From: start, To: cut + minute, Values: map[string][]string{"drop": {"km"}}}
	a := s.run("Time to convert", v)
	want := []struct{ minutes, converted, low, high, atRisk float64 }{
		{0, 0, 0, 0, 10},
		{2, .1, 1 - .9853, 1 - .4730, 10},
		{5, .325, 1 - .8825, 1 - .2906, 8},
		{9, .49375, 1 - .7903, 1 - .1396, 4},
	}
	if len(a.Data) != len(want) {
		t.Fatalf("got %v", a.Data)
	}
	for i, w := range want {
		row := a.Data[i]
		number := func(name string) float64 { f, _ := row[name].(float64); return f }
		if number("minutes") != w.minutes || math.Abs(number("converted")-w.converted) > 1e-6 || number("at_risk") != w.atRisk ||
			math.Abs(number("low")-w.low) > 5e-5 || math.Abs(number("high")-w.high) > 5e-5 {
			t.Errorf("got %v, want %+v", row, w)
		}
	}
}
