package viewer

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/dashboards/metrics"
)

const (
	liveUID  = "droplift-drop-live"
	dropMS   = int64(1_772_452_800_000) // 2026-03-02 12:00 UTC, the known drop's start
	dropEnd  = dropMS + 48*3_600_000
	dataUpTo = dropMS + 3_600_000
	nowMS    = int64(1_800_000_000_000)
)

// call is one query that a source was asked.
type call struct {
	name   string
	params map[string]any
	rows   int
}

// fakeSource knows one drop and answers everything else with answer.
type fakeSource struct {
	mu     sync.Mutex
	calls  []call
	answer func(ctx context.Context, name string, params map[string]any) (*Table, error)
}

func (s *fakeSource) Query(ctx context.Context, name string, params map[string]any, rows int) (*Table, error) {
	s.mu.Lock()
	s.calls = append(s.calls, call{name, params, rows})
	s.mu.Unlock()
	if name == "dashboard_drop_times" {
		table := &Table{Columns: []string{"starts", "ends", "newest", "first_cue", "last_cue"}, Types: []string{"DateTime64(3, 'UTC')", "DateTime64(3, 'UTC')",
			"Nullable(DateTime64(3, 'UTC'))", "Nullable(DateTime64(3, 'UTC'))", "Nullable(DateTime64(3, 'UTC'))"}}
		none := (*time.Time)(nil)
		first, last := time.UnixMilli(dropMS+60_000).UTC(), time.UnixMilli(dropMS+600_000).UTC()
		newest := time.UnixMilli(dataUpTo).UTC()
		switch params["drop"] {
		case "d", "' OR 1=1 --":
			table.Rows = [][]any{{time.UnixMilli(dropMS).UTC(), time.UnixMilli(dropEnd).UTC(), &newest, &first, &last}}
		case "coming":
			table.Rows = [][]any{{time.UnixMilli(dropMS).UTC(), time.UnixMilli(dropEnd).UTC(), none, none, none}}
		}
		return table, nil
	}
	if s.answer != nil {
		return s.answer(ctx, name, params)
	}
	return &Table{Columns: []string{"name"}, Types: []string{"String"}, Rows: [][]any{{name}}}, nil
}

func (s *fakeSource) of(name string) (found []call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

type fixture struct {
	*Handler
	t      testing.TB
	source *fakeSource
	reg    *prometheus.Registry
	now    time.Time
}

func newFixture(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, source: &fakeSource{}, reg: prometheus.NewRegistry(), now: time.UnixMilli(nowMS)}
	cfg := Config{Dashboards: all, Source: f.source, Registerer: f.reg, Version: "v1", Now: func() time.Time { return f.now }}
	for _, c := range change {
		c(&cfg)
	}
	if f.Handler, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// get asks as a browser on this machine does.
func (f *fixture) get(target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "127.0.0.1:8127"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func counted(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := counter.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Counter.GetValue()
}

// problem is the class and message of an answer.
func (f *fixture) problem(w *httptest.ResponseRecorder) Problem {
	f.t.Helper()
	var body struct{ Error Problem }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		f.t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return body.Error
}

type answered struct {
	Range  timeRange
	Frames []struct {
		Ref, Name string
		Columns   []struct {
			Name, Type string
			Values     []any
			Labels     map[string]string
		}
		Truncated bool
	}
}

func (f *fixture) panel(target string) (a answered) {
	f.t.Helper()
	w := f.get(target)
	if w.Code != http.StatusOK {
		f.t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		f.t.Fatalf("%s: %v", w.Body, err)
	}
	return a
}

// panelOf finds a panel by what it runs.
// panelPath is the path of the first panel with a query of this name or title.
func panelPath(t testing.TB, name string) string {
	t.Helper()
	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for _, p := range d.Panels() {
			if p.Name == name || p.Title == name {
				return fmt.Sprintf("/api/dashboards/%s/panels/%d", d.UID(), p.Panel)
			}
		}
	}
	t.Fatalf("no panel %s", name)
	return ""
}

func velocityPanel(t testing.TB) string { return panelPath(t, "dashboard_velocity") }

func TestAPI(t *testing.T) {
	f := newFixture(t, func(cfg *Config) { cfg.Demo = true })
	if got := f.get("/api/info").Body.String(); got != fmt.Sprintf(`{"demo":true,"now":%d,"title":"Droplift","token":false,"version":"v1"}`, nowMS) {
		t.Error(got)
	}
	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	if err := json.Unmarshal(f.get("/api/dashboards").Body.Bytes(), &entries); err != nil || len(entries) != len(all) {
		t.Fatal(entries, err)
	}
	for i, d := range all {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if w := f.get("/api/dashboards/" + d.UID()); w.Body.String() != string(text) || entries[i].UID != d.UID() {
			t.Errorf("%s is not what is generated", d.UID())
		}
	}
	a := f.panel(velocityPanel(t) + "?var-drop=d&from=start-30m&to=data&points=100&var-pop=sin&var-pop=fra&var-unknown=x")
	if a.Range.From != dropMS-30*60_000 || a.Range.To != dataUpTo || a.Range.Step != 60 {
		t.Errorf("range %+v", a.Range)
	}
	if len(a.Frames) == 0 || a.Frames[0].Ref != "A" || a.Frames[0].Columns[0].Values[0] != "dashboard_velocity" {
		t.Errorf("%+v", a.Frames)
	}
	got := f.source.of("dashboard_velocity")[0]
	pops, _ := got.params["pops"].([]string)
	if got.params["drop"] != "d" || !slices.Equal(pops, []string{"fra", "sin"}) || got.params["step_s"] != int64(60) ||
		got.params["from"] != time.UnixMilli(a.Range.From).UTC() || got.rows != 20_000 {
		t.Errorf("asked for %+v", got)
	}
}

// The stream's range is for panels about its cues; the drop goes on after it, and so do its experiments.
func TestCues(t *testing.T) {
	f := newFixture(t)
	for name, want := range map[string][2]int64{
		"dashboard_cues":             {dropMS, dropMS + 660_000},
		"dashboard_experiment_looks": {dropMS - 60_000, dataUpTo + 60_000},
	} {
		a := f.panel(panelPath(t, name) + "?var-drop=d&from=first-cue-1m&to=last-cue%2B1m")
		if a.Range.From != want[0] || a.Range.To != want[1] {
			t.Errorf("%s: %+v, want %v", name, a.Range, want)
		}
	}
}

// What a browser sends travels as a value or is refused; it is never part of a text.
func TestHostileValues(t *testing.T) {
	for _, hostile := range []string{"' OR 1=1 --", `a\`, "${drop:percentencode}", "{drop:String}", "é☕🎉", "שלום", "a\x00b", "<script>alert(1)</script>", "$__fromTime_ms"} {
		f := newFixture(t)
		w := f.get(velocityPanel(t) + "?from=now-1h&to=now&" + url.Values{"var-drop": {hostile}, "var-pop": {hostile, "x"}}.Encode())
		for _, c := range f.source.calls {
			if c.params["drop"] != hostile {
				t.Errorf("%q was asked as %+v", hostile, c)
			}
		}
		if known := hostile == "' OR 1=1 --"; known != (w.Code == http.StatusOK) || !known && f.problem(w).Class != UnknownDrop {
			t.Errorf("%q: %d %s", hostile, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%s holds markup", w.Body)
		}
	}
}

func TestProblems(t *testing.T) {
	velocity := velocityPanel(t)
	known := velocity + "?var-drop=d&from=start&to=data"
	metrics := panelPath(t, "Records processed") + "?var-drop=d&from=start&to=data"
	big := &Table{Columns: []string{"a"}, Types: []string{"String"}}
	for range 100 {
		big.Rows = append(big.Rows, []any{strings.Repeat("a", 1000)})
	}
	for _, tt := range []struct {
		name, path string
		answer     error
		status     int
		class      Class
	}{
		{"no such dashboard", "/api/dashboards/none", nil, 404, Unknown},
		{"no such panel", "/api/dashboards/" + liveUID + "/panels/9999", nil, 404, Unknown},
		{"a panel that is no number", "/api/dashboards/" + liveUID + "/panels/..%2f1", nil, 404, Unknown},
		{"a panel beyond 32 bits", "/api/dashboards/" + liveUID + "/panels/4294967297", nil, 404, Unknown},
		{"no such variable", "/api/dashboards/" + liveUID + "/variables/none", nil, 404, Unknown},
		{"no such route", "/api/none", nil, 404, Unknown},
		{"no drop", velocity, nil, 404, UnknownDrop},
		{"an empty drop", velocity + "?var-drop=&from=start&to=end", nil, 404, UnknownDrop},
		{"an unknown drop", velocity + "?var-drop=none&from=start&to=end", nil, 404, UnknownDrop},
		{"an unknown drop in an absolute range", velocity + "?var-drop=none&from=1772452800000&to=1772452900000", nil, 404, UnknownDrop},
		{"no time", velocity + "?var-drop=d&from=yesterday&to=data", nil, 400, BadRequest},
		{"an empty range", velocity + "?var-drop=d&from=now&to=now-1h", nil, 400, BadRequest},
		{"a range beyond all time", velocity + "?var-drop=d&from=now&to=now%2B9999w", nil, 400, BadRequest},
		{"points that are no number", known + "&points=many", nil, 400, BadRequest},
		{"no points", known + "&points=0", nil, 400, BadRequest},
		{"a format nobody knows", known + "&format=xlsx", nil, 400, BadRequest},
		{"no such query", known + "&format=csv&ref=Z", nil, 404, Unknown},
		{"a malformed escape", velocity + "?var-drop=%zz", nil, 400, BadRequest},
		{"a value that is not UTF-8", velocity + "?var-drop=%ff", nil, 400, BadRequest},
		{"a value that is too long", velocity + "?var-drop=" + strings.Repeat("x", 513), nil, 400, BadRequest},
		{"too many values", velocity + "?var-drop=d" + strings.Repeat("&var-pop=x", 2001), nil, 400, BadRequest},
		{"ClickHouse away", known, fmt.Errorf("wrapped: %w", &Problem{Class: Away, Message: "away"}), 503, Away},
		{"too slow", known, context.DeadlineExceeded, 504, Timeout},
		{"too much for the server", known, &Problem{Class: TooMuch}, 413, TooMuch},
		{"too much for an answer", known, nil, 413, TooMuch},
		{"too much for a CSV", known + "&format=csv", nil, 413, TooMuch},
		{"broken", known, errors.New("boom\nat line 3"), 500, Internal},
		{"no metrics", metrics, nil, 503, Away},
		{"no alerts", "/api/alerts", nil, 503, Away},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(cfg *Config) { cfg.MaxBytes = 50_000 })
			f.source.answer = func(context.Context, string, map[string]any) (*Table, error) { return big, tt.answer }
			w := f.get(tt.path)
			p := f.problem(w)
			if w.Code != tt.status || p.Class != tt.class || strings.Contains(p.Message, "\n") {
				t.Errorf("%d %+v", w.Code, p)
			}
			if got := w.Header().Get("Content-Disposition"); got != "" {
				t.Errorf("a problem is offered as a file: %s", got)
			}
			if n := counted(t, f.counters.requests.WithLabelValues(routeOf(tt.path), fmt.Sprint(tt.status))); n != 1 {
				t.Errorf("counted %v times", n)
			}
		})
	}
}

func routeOf(path string) string {
	switch {
	case strings.Contains(path, "/panels/"):
		return "/dashboards/{uid}/panels/{id}"
	case strings.Contains(path, "/variables/"):
		return "/dashboards/{uid}/variables/{name}"
	case strings.HasPrefix(path, "/api/dashboards"):
		return "/dashboards/{uid}"
	case path == "/api/alerts":
		return "/alerts"
	}
	return "/"
}

// An empty answer is an answer: no rows, and no problem.
func TestEmptyAnswers(t *testing.T) {
	f := newFixture(t)
	f.source.answer = func(context.Context, string, map[string]any) (*Table, error) {
		return &Table{Columns: []string{"time"}, Types: []string{"DateTime64(3, 'UTC')"}}, nil
	}
	for _, path := range []string{
		velocityPanel(t) + "?var-drop=coming&from=start&to=data",
		velocityPanel(t) + "?var-drop=d&from=now&to=now%2B1h",
	} {
		a := f.panel(path)
		if a.Range.To <= a.Range.From || len(a.Frames) == 0 || len(a.Frames[0].Columns[0].Values) != 0 {
			t.Errorf("%s: %+v", path, a)
		}
	}
	for _, path := range []string{"/api/dashboards/" + liveUID + "/annotations", "/api/dashboards/" + liveUID + "/annotations?var-drop=d&from=start&to=data"} {
		if w := f.get(path); w.Code != 200 && f.problem(w).Class != Internal {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if got := f.get("/api/dashboards/" + liveUID + "/annotations").Body.String(); got != "[]" {
		t.Error(got)
	}
	if got := f.get("/api/dashboards/" + liveUID + "/variables/pop").Body.String(); got != `{"options":[],"more":false}` {
		t.Error(got)
	}
}

// Everybody who asks the same within a refresh gets one answer; afterwards there is a new one.
func TestOneAnswerForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(cfg *Config) { cfg.Now = time.Now })
		f.source.answer = func(ctx context.Context, name string, _ map[string]any) (*Table, error) {
			time.Sleep(300 * time.Millisecond)
			return &Table{Columns: []string{"a"}, Types: []string{"String"}, Rows: [][]any{{name}}}, nil
		}
		path := panelPath(t, "dashboard_funnel") + "?var-drop=d&from=start&to=data"
		all := func() {
			var group sync.WaitGroup
			for range 5 {
				group.Go(func() {
					if w := f.get(path); w.Code != 200 {
						t.Error(w.Code, w.Body)
					}
				})
			}
			group.Wait()
		}
		all()
		all()
		if n := len(f.source.of("dashboard_funnel")); n != 1 {
			t.Errorf("%d queries for ten equal questions", n)
		}
		time.Sleep(5 * time.Second)
		all()
		if n := len(f.source.of("dashboard_funnel")); n != 2 {
			t.Errorf("%d queries after a refresh, want 2", n)
		}
		if hits := counted(t, f.counters.cache.WithLabelValues("hit")); hits < 5 {
			t.Errorf("%v hits", hits)
		}
		// An error is nobody's answer but that of those who waited for it.
		f.source.answer = func(context.Context, string, map[string]any) (*Table, error) { return nil, &Problem{Class: Away} }
		time.Sleep(5 * time.Second)
		for range 2 {
			if w := f.get(path); w.Code != 503 {
				t.Error(w.Code)
			}
		}
		if n := len(f.source.of("dashboard_funnel")); n != 4 {
			t.Errorf("%d queries, want 4", n)
		}
	})
}

// A query is cut off at its time, its turn is waited for no longer, and never more run than may.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := 0, 0
		var mu sync.Mutex
		f := newFixture(t, func(cfg *Config) { cfg.Now, cfg.Queries, cfg.Timeout = time.Now, 2, 2*time.Second })
		f.source.answer = func(ctx context.Context, _ string, _ map[string]any) (*Table, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			defer func() { mu.Lock(); running--; mu.Unlock() }()
			<-ctx.Done()
			return nil, errors.New("the server says something of its own")
		}
		var group sync.WaitGroup
		codes := make([]int, 8)
		for i := range codes {
			group.Go(func() {
				codes[i] = f.get(fmt.Sprintf("%s?var-drop=d&from=start-%dm&to=data", velocityPanel(t), i+1)).Code
			})
		}
		group.Wait()
		synctest.Wait() // a refused request does not wait for its query
		mu.Lock()
		defer mu.Unlock()
		if most != 2 || slices.ContainsFunc(codes, func(c int) bool { return c != http.StatusGatewayTimeout }) {
			t.Errorf("%d at a time; %v", most, codes)
		}
	})
}

// Whoever closes the page leaves the query to the others; whoever closes the viewer ends it.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(cfg *Config) { cfg.Now = time.Now })
		var ended atomic.Bool
		f.source.answer = func(ctx context.Context, _ string, _ map[string]any) (*Table, error) {
			<-ctx.Done()
			ended.Store(true)
			return nil, ctx.Err()
		}
		ctx, leave := context.WithCancel(t.Context())
		path := velocityPanel(t) + "?var-drop=d&from=start&to=data"
		left, stayed := make(chan int, 1), make(chan int, 1)
		go func() { left <- f.get(path, func(r *http.Request) { *r = *r.WithContext(ctx) }).Code }()
		go func() { stayed <- f.get(path).Code }()
		synctest.Wait()
		leave()
		<-left
		synctest.Wait()
		if ended.Load() {
			t.Error("one who left ended the query of the other")
		}
		f.Close()
		if code := <-stayed; !ended.Load() || code != http.StatusServiceUnavailable {
			t.Errorf("after Close: ended %v, %d", ended.Load(), code)
		}
		f.slots.Release(int64(f.cfg.Queries)) // for the second Close, of the fixture
	})
}

func TestCacheIsBounded(t *testing.T) {
	c, err := newCache(10_000)
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(nowMS)
	for i := range 100 {
		c.put(fmt.Sprint(i), i, 1000, now.Add(time.Second))
	}
	if c.bytes > c.max || c.lru.Len() == 0 {
		t.Errorf("%d bytes in %d entries", c.bytes, c.lru.Len())
	}
	if _, ok := c.get("99", now); !ok {
		t.Error("the newest entry is gone")
	}
	if _, ok := c.get("99", now.Add(time.Second)); ok {
		t.Error("an answer outlives its time")
	}
	c.put("large", 1, 10_001, now.Add(time.Second))
	if _, ok := c.get("large", now); ok {
		t.Error("an answer larger than all is kept")
	}
	c.put("a", 1, 5000, now.Add(time.Second))
	c.put("a", 1, 10, now.Add(time.Second))
	for c.lru.Len() > 0 {
		c.lru.RemoveOldest()
	}
	if c.bytes != 0 {
		t.Errorf("an empty cache has %d bytes", c.bytes)
	}
}

func TestValues(t *testing.T) {
	f, u := 1.5, uint64(math.MaxUint64)
	at := time.UnixMilli(dropMS).UTC()
	var nothing *float64
	table := &Table{
		Columns: []string{"time", "n", "share", "big", "label", "list", "ok", "wide", "date", "agg", "null", "map"},
		Types: []string{"DateTime64(3, 'UTC')", "UInt64", "Nullable(Float64)", "Decimal(18, 4)", "LowCardinality(Nullable(String))", "Array(UInt8)", "Bool",
			"Int256", "Nullable(Date)", "SimpleAggregateFunction(max, Float64)", "Nullable(Nothing)", "Map(String, UInt8)"},
		Rows: [][]any{
			{at, u, &f, decimal("12.3400"), "=1+1", []uint8{1, 2}, true, big.NewInt(-7), &at, math.NaN(), nil, map[string]uint8{"a": 1}},
			{at, uint64(0), nothing, decimal("-0.5"), "a\"\\\n☕<b>", []uint8(nil), false, big.NewInt(0), (*time.Time)(nil), math.Inf(1), nil, map[string]uint8{}},
		},
	}
	want := `[{"name":"time","type":"time","values":[1772452800000,1772452800000]},` +
		`{"name":"n","type":"number","values":[18446744073709551615,0]},` +
		`{"name":"share","type":"number","values":[1.5,null]},` +
		`{"name":"big","type":"number","values":[12.3400,-0.5]},` +
		`{"name":"label","type":"string","values":["=1+1","a\"\\\n☕\u003cb\u003e"]},` +
		`{"name":"list","type":"string","values":["[1,2]","[]"]},` +
		`{"name":"ok","type":"boolean","values":[true,false]},` +
		`{"name":"wide","type":"number","values":[-7,0]},` +
		`{"name":"date","type":"time","values":[1772452800000,null]},` +
		`{"name":"agg","type":"number","values":[null,null]},` +
		`{"name":"null","type":"number","values":[null,null]},` +
		`{"name":"map","type":"string","values":["{\"a\":1}","{}"]}]`
	if got := string(appendColumns(nil, table)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	text, err := tableCSV(table)
	if err != nil {
		t.Fatal(err)
	}
	wantCSV := "time,n,share,big,label,list,ok,wide,date,agg,null,map\r\n" +
		"2026-03-02T12:00:00.000Z,18446744073709551615,1.5,12.3400,'=1+1,\"[1,2]\",true,-7,2026-03-02T12:00:00.000Z,NaN,,\"{\"\"a\"\":1}\"\r\n" +
		"2026-03-02T12:00:00.000Z,0,,-0.5,\"a\"\"\\\r\n☕<b>\",[],false,0,,+Inf,,{}\r\n"
	if string(text) != wantCSV {
		t.Errorf("got  %q\nwant %q", text, wantCSV)
	}
}

// decimal stands for the type that clickhouse-go scans Decimals into.
type decimal string

func (d decimal) String() string { return string(d) }

func TestCSV(t *testing.T) {
	f := newFixture(t)
	f.source.answer = func(context.Context, string, map[string]any) (*Table, error) {
		return &Table{Columns: []string{"@name"}, Types: []string{"String"}, Rows: [][]any{{"=HYPERLINK(\"http://x\")"}, {"+1"}, {"-1"}, {"@a"}, {"\ta"}, {"fine"}, {"שלום"}}, Truncated: true}, nil
	}
	w := f.get(velocityPanel(t) + "?var-drop=d&from=start&to=data&format=csv&ref=A")
	records, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	var got []string
	for _, r := range records {
		got = append(got, r[0])
	}
	want := []string{"'@name", "'=HYPERLINK(\"http://x\")", "'+1", "'-1", "'@a", "'\ta", "fine", "שלום"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if h := w.Header(); !strings.HasPrefix(h.Get("Content-Disposition"), `attachment; filename="droplift-drop-live-`) || h.Get("X-Droplift-Truncated") != "true" {
		t.Error(h)
	}
	if f.source.of("dashboard_velocity")[0].rows != 100_000 {
		t.Error("a CSV is as short as a panel")
	}
}

func TestVariables(t *testing.T) {
	f := newFixture(t)
	table := &Table{Columns: []string{"creator_id"}, Types: []string{"String"}}
	for i := range 10_000 {
		table.Rows = append(table.Rows, []any{fmt.Sprintf("Creator %05d", i)})
	}
	table.Rows = append(table.Rows, []any{"O'Neil 🎉"}, []any{"שלום"})
	f.source.answer = func(context.Context, string, map[string]any) (*Table, error) { return table, nil }
	ask := func(query string) (a struct {
		Options []option
		More    bool
	}) {
		w := f.get("/api/dashboards/" + liveUID + "/variables/creator?" + query)
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
			t.Fatal(w.Code, w.Body, err)
		}
		return a
	}
	if a := ask(""); len(a.Options) != 200 || !a.More {
		t.Errorf("%d, more %v", len(a.Options), a.More)
	}
	if a := ask("limit=100000"); len(a.Options) != 1000 {
		t.Errorf("%d", len(a.Options))
	}
	if a := ask("q=CREATOR+0999"); len(a.Options) != 10 || a.More || a.Options[0].Value != "Creator 09990" {
		t.Errorf("%+v", a)
	}
	for _, q := range []string{"o'neil", "🎉", "שלום"} {
		if a := ask("q=" + url.QueryEscape(q)); len(a.Options) != 1 {
			t.Errorf("%s: %+v", q, a)
		}
	}
	if n := len(f.source.of("dashboard_creators")); n != 1 {
		t.Errorf("%d queries for one list", n)
	}
}

func TestAnnotations(t *testing.T) {
	f := newFixture(t)
	at, end := time.UnixMilli(dropMS).UTC(), time.UnixMilli(dropMS+1000).UTC()
	f.source.answer = func(_ context.Context, name string, _ map[string]any) (*Table, error) {
		table := &Table{Columns: []string{"time", "timeEnd", "title", "text", "tags"}, Types: []string{"DateTime64(3)", "Nullable(DateTime64(3))", "String", "String", "String"}}
		switch name {
		case "dashboard_annotations_drop":
			table.Rows = [][]any{{end, (*time.Time)(nil), "Drop opens", "", "drop"}}
		case "dashboard_annotations_incidents":
			table.Rows = [][]any{{at, &end, "Subtitles", "<b>", "incident,localization"}}
		}
		return table, nil
	}
	want := fmt.Sprintf(`[{"layer":"Incidents","color":"red","time":%d,"timeEnd":%d,"title":"Subtitles","text":"\u003cb\u003e","tags":["incident","localization"]},`+
		`{"layer":"Drop","color":"blue","time":%d,"timeEnd":null,"title":"Drop opens","text":"","tags":["drop"]}]`, dropMS, dropMS+1000, dropMS+1000)
	if got := f.get("/api/dashboards/" + liveUID + "/annotations?var-drop=d&from=start-1h&to=end").Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// fakeMetrics answers with one series per name and remembers what it was asked.
type fakeMetrics struct {
	mu       sync.Mutex
	asked    []string
	from, to time.Time
	step     time.Duration
	states   []metrics.AlertState
	since    time.Time
}

func (m *fakeMetrics) Since() time.Time { return m.since }

func (m *fakeMetrics) QueryRange(_ context.Context, expr string, from, to time.Time, step time.Duration) ([]metrics.Series, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked, m.from, m.to, m.step = append(m.asked, expr), from, to, step
	return []metrics.Series{{Labels: map[string]string{"stage": `=a"b`, "outcome": "ok"}, Times: []int64{1000, 2000}, Values: []float64{1.5, math.NaN()}}}, nil
}

func (m *fakeMetrics) Alerts(context.Context) ([]metrics.AlertState, error) { return m.states, nil }

func TestMetricsPanels(t *testing.T) {
	metrics := &fakeMetrics{}
	f := newFixture(t, func(cfg *Config) { cfg.Metrics, cfg.Scrape = metrics, 5*time.Second })
	path := panelPath(t, "Records processed")
	// Event time is not the time of metrics: the newest hour of those is shown.
	for _, query := range []string{"?var-drop=d&from=start&to=data", "?from=start&to=now", "?from=now-1h&to=now"} {
		a := f.panel(path + query)
		if a.Range.To-a.Range.From != 3_600_000 || a.Range.To != nowMS || a.Range.Step != 10 {
			t.Errorf("%s: %+v", query, a.Range)
		}
		c := a.Frames[0].Columns
		if len(c) != 2 || c[0].Type != "time" || c[1].Values[0] != 1.5 || c[1].Values[1] != nil || c[1].Labels["stage"] != `=a"b` || a.Frames[0].Name != c[1].Name {
			t.Errorf("%+v", a.Frames)
		}
	}
	if len(metrics.asked) != 1 || strings.Contains(metrics.asked[0], "$") || !metrics.to.Equal(f.now) || metrics.step != 10*time.Second {
		t.Errorf("asked %q up to %s in steps of %s", metrics.asked, metrics.to, metrics.step)
	}
	if a := f.panel(path + "?from=1772452800000&to=1772453400000"); a.Range.From != dropMS || a.Range.Step != 5 {
		t.Errorf("an absolute range became %+v", a.Range)
	}
	w := f.get(path + "?from=now-1h&to=now&format=csv")
	if got := strings.Split(w.Body.String(), "\r\n"); got[0] != "time,series,value" || !strings.HasPrefix(got[1], "1970-01-01T00:00:01.000Z,") || !strings.Contains(got[1], `'=a`) {
		t.Errorf("%q", got)
	}
	for _, tt := range []struct{ expr, want string }{
		{"rate(x[$__rate_interval])", "rate(x[20s])"},
		{"rate(x[${__rate_interval}]) > $__interval", "rate(x[20s]) > 10s"},
		{"x[$__range]", "x[3600s]"},
		{`x{drop="$drop"}`, ""},
	} {
		got, err := f.promQL(tt.expr, timeRange{0, 3_600_000, 10})
		if (err != nil) != (tt.want == "") || err == nil && got != tt.want {
			t.Errorf("%s: %s, %v", tt.expr, got, err)
		}
	}
	if got := legend("", map[string]string{"__name__": "up", "b": "2", "a": "1"}); got != `up{a="1", b="2"}` {
		t.Error(got)
	}
	if got := legend("{{ stage }} of {{none}}.", map[string]string{"stage": "a"}); got != "a of ." {
		t.Error(got)
	}
}

// Panels of a young process begin with it, and say so.
func TestMetricsPanelsOfYoungProcess(t *testing.T) {
	for _, tt := range []struct {
		since, query   string
		length         time.Duration
		step, sinceSec int64
	}{
		{"", "from=now-1h&to=now", time.Hour, 10, 0},
		{"2h", "from=now-1h&to=now", time.Hour, 10, 0},
		{"1h", "from=now-1h&to=now", time.Hour, 10, 0},
		{"10m3s", "from=now-1h&to=now", 10*time.Minute + 5*time.Second, 5, 603},
		{"10m3s", "var-drop=d&from=start&to=data", 10*time.Minute + 5*time.Second, 5, 603},
		{"20s", "from=now-1h&to=now", time.Minute, 5, 20},
		{"20s", "from=now-30s&to=now", 30 * time.Second, 5, 0},
		{"20s", "from=now-2h&to=now-1h", time.Hour, 10, 0}, // before there was anything
	} {
		metrics := &fakeMetrics{}
		f := newFixture(t, func(cfg *Config) { cfg.Metrics, cfg.Scrape = metrics, 5*time.Second })
		if tt.since != "" {
			age, err := time.ParseDuration(tt.since)
			if err != nil {
				t.Fatal(err)
			}
			metrics.since = f.now.Add(-age)
		}
		var a struct {
			Range timeRange
			Since int64
		}
		w := f.get(panelPath(t, "Records processed") + "?" + tt.query)
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		want := int64(0)
		if tt.sinceSec != 0 {
			want = nowMS - 1000*tt.sinceSec
		}
		if a.Range.To-a.Range.From != tt.length.Milliseconds() || a.Range.Step != tt.step || a.Since != want {
			t.Errorf("since %q, %s: %+v", tt.since, tt.query, a)
		}
	}
}

func TestAlerts(t *testing.T) {
	since := time.UnixMilli(nowMS - 1000)
	answers := &fakeMetrics{states: []metrics.AlertState{
		{Name: "Lag", State: "pending", Labels: map[string]string{"stage": "sink"}, Since: since, Value: math.NaN()},
		{Name: "Velocity", State: "firing", Labels: map[string]string{"drop": "<d>"}, Since: since, Value: 0.25},
		{Name: "Else", State: "firing", Since: since},
	}}
	f := newFixture(t, func(cfg *Config) {
		cfg.Metrics = answers
		cfg.Alerts = []dashboards.Alert{
			{Name: "Cost", Severity: "ticket", Summary: "{{ $labels.drop }} spends {{ $value | humanize }}"},
			{Name: "Lag", Severity: "ticket", Owner: "data", Summary: "{{ $labels.stage }} lags"},
			{Name: "Velocity", Severity: "page", Summary: "{{$labels.drop}} at {{ $value }}", NextStep: "look", Runbook: "r", Dashboard: liveUID},
		}
	})
	var got []alert
	if err := json.Unmarshal(f.get("/api/alerts").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, a := range got {
		line := fmt.Sprintf("%s %s: %s", a.State, a.Name, a.Summary)
		if a.Value != nil {
			line += fmt.Sprintf(" (%v)", *a.Value)
		}
		if (a.Since == nil) != (a.State == "inactive") {
			line += " since?"
		}
		lines = append(lines, line)
	}
	want := []string{"firing Velocity: <d> at 0.25 (0.25)", "firing Else:  (0)", "pending Lag: sink lags", "inactive Cost: any drop spends …"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

func TestWhoMayAsk(t *testing.T) {
	open := newFixture(t)
	for host, code := range map[string]int{
		"127.0.0.1:8127": 200, "localhost": 200, "LOCALHOST.:8127": 200, "[::1]:8127": 200, "127.9.9.9": 200,
		"evil.example": 401, "127.0.0.1.evil.example": 401, "localhost.evil.example:8127": 401, "10.0.0.1:8127": 401, "": 401, "0.0.0.0": 401,
	} {
		for _, path := range []string{"/api/info", "/"} {
			if w := open.get(path, func(r *http.Request) { r.Host = host }); w.Code != code {
				t.Errorf("%s of %q: %d, want %d", path, host, w.Code, code)
			}
		}
	}
	if w := open.get("/api/info", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); w.Code != 401 {
		t.Errorf("another site is let in: %d", w.Code)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if w := open.get("/api/info", func(r *http.Request) { r.Method = method }); w.Code != 405 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}

	guarded := newFixture(t, func(cfg *Config) { cfg.Token = "s3cret" })
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Host = "wall.example"; r.Header.Set(name, value) }
	}
	for _, tt := range []struct {
		name, value string
		code        int
	}{
		{"Authorization", "Bearer s3cret", 200}, {"Authorization", "Bearer s3cre", 401}, {"Authorization", "Bearer s3crets", 401},
		{"Authorization", "Bearer ", 401}, {"Authorization", "Basic s3cret", 401}, {"Cookie", "droplift_viewer=s3cret", 401}, {"Cookie", "droplift_viewer=", 401}, {"X", "", 401},
	} {
		if w := guarded.get("/api/dashboards", with(tt.name, tt.value)); w.Code != tt.code {
			t.Errorf("%s %q: %d, want %d", tt.name, tt.value, w.Code, tt.code)
		}
	}
	if w := guarded.get("/?token=wrong", with("X", "")); w.Code != 401 || len(w.Result().Cookies()) != 0 {
		t.Errorf("a wrong token gets %d and %v", w.Code, w.Result().Cookies())
	}
	w := guarded.get("/d/x?var-drop=a%26b&token=s3cret", with("X", ""))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/d/x?var-drop=a%26b" {
		t.Fatalf("%d to %q", w.Code, w.Header().Get("Location"))
	}
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, "s3cret") || cookie.Path != "/" {
		t.Errorf("%+v", cookie)
	}
	if w := guarded.get("/api/dashboards", with("Cookie", cookie.Name+"="+cookie.Value)); w.Code != 200 {
		t.Errorf("the cookie opens nothing: %d", w.Code)
	}
	for _, path := range []string{"//evil.example/?token=s3cret", "/%5cevil.example?token=s3cret", "/..//evil.example?token=s3cret"} {
		w := guarded.get("/", with("X", ""), func(r *http.Request) {
			u, err := url.ParseRequestURI("http://wall.example" + path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
		})
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || to.Host != "" || !strings.HasPrefix(to.Path, "/") || strings.HasPrefix(w.Header().Get("Location"), "//") || strings.Contains(w.Header().Get("Location"), `\`) {
			t.Errorf("%s leads to %q", path, w.Header().Get("Location"))
		}
	}
}

func TestPage(t *testing.T) {
	f := newFixture(t, func(cfg *Config) {
		cfg.Page = fstest.MapFS{
			"index.html":         {Data: []byte("<!doctype html>the page")},
			"assets/a-1234.js":   {Data: []byte(strings.Repeat("export const a = 1;\n", 200))},
			"assets/.hidden.map": {Data: []byte("{}")},
			"favicon.svg":        {Data: []byte("<svg/>")},
		}
	})
	for path, want := range map[string]struct {
		code  int
		kind  string
		cache string
	}{
		"/":                                {200, "text/html; charset=utf-8", "no-cache"},
		"/index.html":                      {200, "text/html; charset=utf-8", "no-cache"},
		"/d/" + liveUID + "?var-drop=a.b":  {200, "text/html; charset=utf-8", "no-cache"},
		"/favicon.svg":                     {200, "image/svg+xml", "no-cache"},
		"/assets/a-1234.js":                {200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/assets/gone.js":                  {404, "", "no-store"},
		"/assets/":                         {404, "", "no-store"},
		"/assets":                          {200, "text/html; charset=utf-8", "no-cache"}, // the page again, no listing
		"/viewer.go":                       {404, "", "no-store"},
		"/assets/..%2f..%2f..%2fviewer.go": {404, "", "no-store"},
		"/..%2f..%2fgo.mod":                {404, "", "no-store"},
	} {
		w := f.get(path)
		h := w.Header()
		if w.Code != want.code || want.kind != "" && h.Get("Content-Type") != want.kind || h.Get("Cache-Control") != want.cache {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		if want.kind == "text/html; charset=utf-8" && w.Body.String() != "<!doctype html>the page" {
			t.Errorf("%s: %s", path, w.Body)
		}
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'self';") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
	}
	gzipped := func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }
	w := f.get("/assets/a-1234.js", gzipped)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 1000 {
		t.Errorf("%d bytes, %v", w.Body.Len(), w.Header())
	}
	for _, tag := range []string{w.Header().Get("ETag"), f.get("/assets/a-1234.js").Header().Get("ETag")} {
		w := f.get("/assets/a-1234.js", gzipped, func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
		if tag == "" || w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s: %d, %d bytes", tag, w.Code, w.Body.Len())
		}
	}
	if _, err := newPage(fstest.MapFS{}); err == nil {
		t.Error("a page without index.html is served")
	}
}

// The page that is built in must be found by its own names.
func TestBuiltPage(t *testing.T) {
	f := newFixture(t)
	err := fs.WalkDir(built(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(built(), name)
		if err != nil {
			return err
		}
		w := f.get("/" + name)
		got, err := io.ReadAll(w.Body)
		if w.Code != 200 || string(got) != string(body) || strings.HasPrefix(w.Header().Get("Content-Type"), "application/octet-stream") {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("Content-Type"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	_, err := New(Config{Queries: -1})
	for _, part := range []string{"no dashboards", "no source", "negative"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}
