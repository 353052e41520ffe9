package features

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
)

// serve starts a server with ada (fresh), old (stale) and no one else; its clock stands at noon.
func serve(t testing.TB, adjust ...func(*Config)) (url string, reg *prometheus.Registry) {
	t.Helper()
	s, reg := newTestStore(t, append([]func(*Config){func(c *Config) { c.TTLMS = 3600_000 }}, adjust...)...)
	l := log{}
	odd := someFeatures("o'dd/ \"ü", 1, noon-2000)
	odd.SpendCurrency, odd.GapMeanS, odd.GapVarS2 = "", -1, -1
	for _, f := range []event.Features{someFeatures("ada", 7, noon-2000), someFeatures("old", 1, noon-3600_001), odd} {
		l.add(recordOf(f))
	}
	if len(s.Partitions()) == partitions {
		l.play(t, s, nil, 9)
	}
	h, err := NewHandler(s, HandlerConfig{Registerer: reg, MaxPlayers: 5, MaxBody: 2000})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	h.Handle(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, reg
}

func request(t testing.TB, method, url, body string) (status int, answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s %s answers with %s", method, url, kind)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s %s: %v in %s", method, url, err, text)
	}
	return resp.StatusCode, answer
}

// expect compares the members named.
func expect(t *testing.T, what string, got map[string]any, want map[string]any) {
	t.Helper()
	for name, v := range want {
		if n, ok := v.(int64); ok {
			v = float64(n)
		}
		if got[name] != v {
			t.Errorf("%s: %s is %v, want %v", what, name, got[name], v)
		}
	}
}

// expectVector compares values with the definition of the vector, missing ones with null.
func expectVector(t *testing.T, what string, got []any, f event.Features, at int64) {
	t.Helper()
	for i, v := range f.Vector(at, nil) {
		var want any = v
		if math.IsNaN(v) {
			want = nil
		}
		if i >= len(got) || got[i] != want {
			t.Errorf("%s: %s is %v, want %v", what, set.Features[i].Name, got[i], want)
		}
	}
}

func TestOnePlayer(t *testing.T) {
	url, reg := serve(t)
	ada := someFeatures("ada", 7, noon-2000)
	for _, c := range []struct {
		query string
		at    int64
	}{{"", noon}, {fmt.Sprintf("?at=%d", noon+100_000), noon + 100_000}, {fmt.Sprintf("?at=%d", noon-5000), noon - 5000}} {
		status, got := request(t, "GET", url+"/v1/features/ada"+c.query, "")
		if status != http.StatusOK {
			t.Fatalf("%d: %v", status, got)
		}
		expect(t, "ada", got, map[string]any{
			"feature_set": set.Name, "version": int64(set.Version), "hash": set.Hash(), "at": c.at, "player_id": "ada", "found": true, "outcome": "found",
			"as_of": ada.AsOf, "age_ms": c.at - ada.AsOf, "stale": false, "complete": false, "caught_up": true, "revision": int64(7),
			"maturity": "provisional", "spend_currency": "EUR", "partition": int64(partitionOf("ada")),
		})
		values := make([]any, len(set.Features))
		features := got["features"].(map[string]any)
		for i, f := range set.Features {
			v, ok := features[f.Name]
			if !ok {
				t.Errorf("%s is not in the answer", f.Name)
			}
			values[i] = v
		}
		// A time before the newest event is answered as of that event.
		expectVector(t, "ada", values, ada, max(c.at, ada.AsOf))
	}
	status, got := request(t, "GET", url+"/v1/features/o%27dd%2F%20%22%C3%BC", "")
	expect(t, "odd", got, map[string]any{"player_id": "o'dd/ \"ü", "found": true, "spend_currency": nil})
	if status != 200 || got["features"].(map[string]any)["gap_mean_s"] != nil {
		t.Errorf("%d: a missing feature is %v", status, got["features"])
	}
	if n := count(t, reg, "requests_total", "", "200", "one"); n != 4 {
		t.Errorf("%v requests counted, 4 sent", n)
	}
	if n := count(t, reg, "request_seconds", "one"); n != 4 {
		t.Errorf("%v requests timed, 4 sent", n)
	}
}

func TestManyPlayers(t *testing.T) {
	url, reg := serve(t)
	status, got := request(t, "POST", url+"/v1/features", fmt.Sprintf(`{"players":["old","nobody","ada"],"at":%d}`, noon))
	if status != http.StatusOK {
		t.Fatalf("%d: %v", status, got)
	}
	expect(t, "many", got, map[string]any{"hash": set.Hash(), "at": noon})
	var names []string
	for _, name := range got["names"].([]any) {
		names = append(names, name.(string))
	}
	if !slices.Equal(names, set.Names()) {
		t.Errorf("names are %v", names)
	}
	rows := got["players"].([]any)
	if len(rows) != 3 {
		t.Fatalf("%d players, want 3", len(rows))
	}
	old, nobody, ada := rows[0].(map[string]any), rows[1].(map[string]any), rows[2].(map[string]any)
	expect(t, "old", old, map[string]any{"player_id": "old", "found": true, "outcome": "stale", "stale": true, "age_ms": int64(3600_001)})
	expect(t, "nobody", nobody, map[string]any{"player_id": "nobody", "found": false, "outcome": "unknown", "values": nil, "caught_up": true})
	expect(t, "ada", ada, map[string]any{"player_id": "ada", "found": true, "outcome": "found"})
	expectVector(t, "old", old["values"].([]any), someFeatures("old", 1, noon-3600_001), noon)
	expectVector(t, "ada", ada["values"].([]any), someFeatures("ada", 7, noon-2000), noon)
	for _, outcome := range []string{"found", "stale", "unknown"} {
		if n := count(t, reg, "lookups_total", outcome); n != 1 {
			t.Errorf("%v lookups counted as %s", n, outcome)
		}
	}
}

// A player of another replica's partition is not called unknown.
func TestPlayerElsewhere(t *testing.T) {
	url, _ := serve(t, func(c *Config) { c.Partitions = []int32{(partitionOf("ada") + 1) % partitions} })
	_, got := request(t, "GET", url+"/v1/features/ada", "")
	expect(t, "ada", got, map[string]any{"found": false, "outcome": "elsewhere", "partition": int64(partitionOf("ada")), "watermark": nil, "caught_up": false})
}

func TestContract(t *testing.T) {
	url, _ := serve(t)
	_, got := request(t, "GET", url+"/v1/features", "")
	expect(t, "contract", got, map[string]any{"feature_set": set.Name, "hash": set.Hash(), "key": set.Key, "ttl_ms": int64(3600_000)})
	list := got["features"].([]any)
	if len(list) != len(set.Features) {
		t.Fatalf("%d features, want %d", len(list), len(set.Features))
	}
	for i, f := range set.Features {
		expect(t, f.Name, list[i].(map[string]any), map[string]any{
			"name": f.Name, "type": f.Type.String(), "unit": f.Unit, "nullable": f.Nullable, "elapsed": f.Elapsed, "doc": f.Doc, "default": f.Default,
		})
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/features", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-None-Match", `"`+set.Hash()+`"`)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("a known contract is answered with %s", resp.Status)
	}
}

// Each bad request has a status, an error that says what to do, and a counter.
func TestBadRequests(t *testing.T) {
	url, reg := serve(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		route, why, says   string
	}{
		{"POST", "/v1/features", `{"players":["ada"`, 400, "many", "json", `{"players":["p1","p2"]`},
		{"POST", "/v1/features", `nonsense`, 400, "many", "json", "not JSON"},
		{"POST", "/v1/features", ``, 400, "many", "json", "not JSON"},
		{"POST", "/v1/features", `["ada"]`, 400, "many", "json", "not JSON such as"},
		{"POST", "/v1/features", `{"players":["ada"],"tme":3}`, 400, "many", "json", `tme`},
		{"POST", "/v1/features", `{"players":["ada"]} {}`, 400, "many", "json", "not JSON"},
		{"POST", "/v1/features", `{"players":[]}`, 400, "many", "players", "none are named"},
		{"POST", "/v1/features", `{"players":["ada",""]}`, 400, "many", "players", "number 2 is empty"},
		{"POST", "/v1/features", `{"players":["a","b","c","d","e","f"]}`, 400, "many", "too_many", "at most 5"},
		{"POST", "/v1/features", `{"players":["` + strings.Repeat("x", 2000) + `"]}`, 413, "many", "body", "2000 bytes"},
		{"POST", "/v1/features", `{"players":["ada"],"at":1760000000}`, 400, "many", "at", "milliseconds"},
		{"POST", "/v1/features", `{"players":["ada"],"at":"now"}`, 400, "many", "json", "at"},
		{"GET", "/v1/features/ada?at=yesterday", "", 400, "one", "at", "milliseconds"},
		{"GET", "/v1/features/ada?at=-1", "", 400, "one", "at", "milliseconds"},
		{"DELETE", "/v1/features/ada", "", 405, "other", "method", "use GET"},
		{"PUT", "/v1/features", "{}", 405, "other", "method", "use GET"},
	} {
		labels := []string{c.route, fmt.Sprint(c.status), c.why}
		before := count(t, reg, "requests_total", labels...)
		status, got := request(t, c.method, url+c.path, c.body)
		text, _ := got["error"].(string)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s %s %.60s: %d %q, want %d and %q", c.method, c.path, c.body, status, text, c.status, c.says)
		}
		if after := count(t, reg, "requests_total", labels...); after != before+1 {
			t.Errorf("%s %s %.60s: not counted as %v", c.method, c.path, c.body, labels)
		}
	}
}

// pyarrow, as an independent client, reads the same rows from the stream as our JSON says.
func TestArrowStreamInPython(t *testing.T) {
	python := os.Getenv("DROPLIFT_PYTHON")
	if python == "" {
		embeddedtest.Missing(t, "clients", "DROPLIFT_PYTHON names no Python with pyarrow")
	}
	url, _ := serve(t)
	asked := []string{"old", "nobody", "ada", "o'dd/ \"ü"}
	command := exec.CommandContext(t.Context(), python, append([]string{"testdata/arrow_check.py", url, fmt.Sprint(noon)}, asked...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var rows []map[string]any
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	list, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	_, answer := request(t, "POST", url+"/v1/features", fmt.Sprintf(`{"players":%s,"at":%d}`, list, noon))
	if len(rows) != len(asked) {
		t.Fatalf("%d rows, %d players asked for", len(rows), len(asked))
	}
	for i, player := range answer["players"].([]any) {
		said := player.(map[string]any)
		values, _ := said["values"].([]any)
		delete(said, "values")
		for j, name := range answer["names"].([]any) {
			if said[name.(string)] = nil; values != nil {
				said[name.(string)] = values[j]
			}
		}
		for name, got := range rows[i] {
			if got != said[name] {
				t.Errorf("%s: %s is %v in Arrow and %v in JSON", asked[i], name, got, said[name])
			}
		}
		if len(rows[i]) != len(statusFields)+len(set.Features) {
			t.Errorf("%s has %d columns", asked[i], len(rows[i]))
		}
	}
}

// Numbers read back as they were, whichever way they are written.
func TestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	try := func(v float64) {
		t.Helper()
		text := appendNumber(nil, v)
		var got float64
		if err := json.Unmarshal(text, &got); err != nil || got != v {
			t.Fatalf("%v is written as %s, which reads as %v, %v", v, text, got, err)
		}
	}
	for _, v := range []float64{0, 1, -1, 0.5, -0.5, 0.001, 0.0005, 1e-9, 1e15, 1e15 - 1, -1e15, 1e21, 1 << 53, 1<<53 + 2, math.MaxFloat64, math.SmallestNonzeroFloat64, 999999999999.999} {
		try(v)
	}
	for range 30_000 {
		try(float64(rng.Int64N(1e12)) / 1000)
		try(math.Exp(rng.NormFloat64() * 15))
		try(float64(rng.Int64() >> rng.IntN(64)))
	}
	if got := string(appendNumber(nil, math.NaN())); got != "null" {
		t.Errorf("missing is %s", got)
	}
}

func BenchmarkAnswer(b *testing.B) {
	s, _ := newTestStore(b)
	names := players(100)
	l := log{}
	for _, name := range names {
		l.add(recordOf(someFeatures(name, 1, noon)))
	}
	l.play(b, s, nil, 1000)
	a := new(answer)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.one(s, names[0], noon)
		}
	})
	b.Run("100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.many(s, names, noon)
		}
		b.ReportMetric(float64(len(a.out)), "B/answer")
	})
	b.Run("arrow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := a.arrow(s, names, noon); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(a.table.out.Len()), "B/answer")
	})
}
