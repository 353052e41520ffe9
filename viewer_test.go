package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/dashboards/viewer"
	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// viewed is an answer of the viewer for a panel.
type viewed struct {
	Range  struct{ From, To, Step int64 }
	Frames []viewedFrame
}

type viewedFrame struct {
	Ref     string
	Columns []struct {
		Name, Type string
		Values     []any
	}
	Truncated bool
}

// getJSON asks the viewer; an answer that is not 200 is an error that holds it.
func getJSON(at string, into any) error {
	status, body, err := get(at)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", at, status, body)
	}
	return json.Unmarshal([]byte(body), into)
}

// testViewer holds what the viewer answers against the same dashboards' SQL as Grafana would send it.
func testViewer(d *simulatedDrop) {
	all, err := dashboards.All()
	if err != nil {
		d.t.Fatal(err)
	}
	for name, values := range map[string]map[string][]string{
		"all":    {},
		"quotes": {"pop": {`'"\`, "fra", "sin", "🎉", "שלום\t\n"}, "currency": {"' OR 1=1 --", "EUR"}, "language": {"de", "en"}},
	} {
		v := d.vars(d.drop, values)
		v.IntervalS = 300
		for _, board := range all {
			for _, target := range board.Targets() {
				if target.Datasource == dashboards.ClickHouse {
					d.sameAnswers(fmt.Sprintf("%s, %s of %s, %s", board.UID(), target.Title, target.Name, name), target, v)
				}
			}
		}
	}
	v := d.vars(d.drop, nil)
	for _, board := range all {
		for _, target := range board.Panels() {
			if target.Datasource == dashboards.ClickHouse {
				d.samePage(board.UID(), target, v)
			}
		}
		query := fmt.Sprintf("?var-drop=%s&from=start-30m&to=data", url.QueryEscape(d.drop))
		for _, variable := range board.Variables() {
			var answer struct{ Options []struct{ Value string } }
			if err := getJSON(d.node.viewerAt()+"/api/dashboards/"+board.UID()+"/variables/"+variable.Title+query, &answer); err != nil {
				d.t.Error(err)
			}
			if variable.Title == "drop" && !slices.ContainsFunc(answer.Options, func(o struct{ Value string }) bool { return o.Value == d.drop }) {
				d.t.Errorf("the choices %v lack the drop %s", answer.Options, d.drop)
			}
		}
		var marks []struct{ Title string }
		if err := getJSON(d.node.viewerAt()+"/api/dashboards/"+board.UID()+"/annotations"+query, &marks); err != nil || len(board.Annotations()) > 0 && len(marks) == 0 {
			d.t.Errorf("annotations of %s: %v, %v", board.UID(), marks, err)
		}
	}

	// The link that the demo prints covers the drop as far as there is data.
	link, err := url.Parse(d.node.liveAt(d.drop))
	if err != nil {
		d.t.Fatal(err)
	}
	var live viewed
	if err := getJSON(fmt.Sprintf("%s/api/dashboards/droplift-drop-live/panels/1?%s", d.node.viewerAt(), link.RawQuery), &live); err != nil {
		d.t.Fatal(err)
	}
	if length := time.Duration(live.Range.To-live.Range.From) * time.Millisecond; length < time.Hour || length > 49*time.Hour {
		d.t.Errorf("the live range is %s long", length)
	}
	metrics := d.metrics()
	for _, family := range []string{"requests_total", "request_seconds", "answers_total", "queries_total", "query_seconds"} {
		if !strings.Contains(metrics, "# TYPE droplift_viewer_"+family+" ") {
			d.t.Errorf("no metric droplift_viewer_%s", family)
		}
	}
}

// sameAnswers compares the named query with parameters and the expanded text.
func (d *simulatedDrop) sameAnswers(what string, target dashboards.Target, v dashboards.Vars) {
	d.t.Helper()
	text, err := dashboards.Expand(target.Query, v)
	if err != nil {
		d.t.Errorf("%s: %v", what, err)
		return
	}
	params, err := v.Params(target)
	if err != nil {
		d.t.Errorf("%s: %v", what, err)
		return
	}
	lines := func(stream func(io.Writer) error) []string {
		var out bytes.Buffer
		if err := stream(&out); err != nil {
			d.t.Errorf("%s: %v", what, err)
		}
		lines := strings.Split(out.String(), "\n")
		slices.Sort(lines)
		return lines
	}
	const format = "TSVWithNamesAndTypes"
	named := lines(func(w io.Writer) error {
		return d.client.StreamQuery(context.Background(), w, target.Name, format, params)
	})
	expanded := lines(func(w io.Writer) error {
		return d.client.Stream(context.Background(), w, clickhouse.StreamRequest{SQL: text, Format: format})
	})
	if readsClock := strings.Contains(target.Query, "now64("); readsClock && len(named) == len(expanded) {
		return
	}
	if strings.Contains(target.Query, "APPLY(encodeURLComponent)") {
		// Grafana knows the choices of several by another value, which stands before what people read.
		for i, line := range expanded {
			expanded[i] = line[strings.LastIndex(line, "\t")+1:]
		}
		slices.Sort(expanded)
	}
	if !slices.Equal(named, expanded) {
		d.t.Errorf("%s: by parameters\n%s\nby text\n%s", what, strings.Join(named, "\n"), strings.Join(expanded, "\n"))
	}
}

// samePage compares what the page gets over HTTP with what ClickHouse says.
func (d *simulatedDrop) samePage(uid string, target dashboards.Target, v dashboards.Vars) {
	d.t.Helper()
	if strings.Contains(target.Query, "now64(") {
		return
	}
	at := fmt.Sprintf("%s/api/dashboards/%s/panels/%d?var-drop=%s&from=%d&to=%d&points=300", d.node.viewerAt(), uid, target.Panel, url.QueryEscape(d.drop), v.From, v.To)
	var page viewed
	if err := getJSON(at, &page); err != nil {
		d.t.Error(err)
		return
	}
	v.IntervalS = page.Range.Step
	params, err := v.Params(target)
	if err != nil {
		d.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := d.client.StreamQuery(context.Background(), &out, target.Name, "JSONCompactColumns", params); err != nil {
		d.t.Fatal(err)
	}
	var want [][]any
	if err := json.Unmarshal(out.Bytes(), &want); err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(page.Frames, func(f viewedFrame) bool { return f.Ref == target.Ref })
	if i < 0 {
		d.t.Errorf("%s %s: no frame %s", uid, target.Title, target.Ref)
		return
	}
	if page.Frames[i].Truncated || len(want) > 0 && len(want) != len(page.Frames[i].Columns) {
		d.t.Errorf("%s %s: %d columns, want %d; truncated %v", uid, target.Title, len(page.Frames[i].Columns), len(want), page.Frames[i].Truncated)
		return
	}
	rows := 0
	for j, values := range want {
		column := page.Frames[i].Columns[j]
		rows = len(values)
		if len(column.Values) != rows {
			d.t.Errorf("%s %s: %d rows, want %d", uid, target.Title, len(column.Values), rows)
			return
		}
		for k, value := range values {
			if !sameValue(column.Type, column.Values[k], value) {
				d.t.Errorf("%s %s: row %d of %s is %v, want %v", uid, target.Title, k, column.Name, column.Values[k], value)
				break
			}
		}
	}
	status, body, err := get(at + "&format=csv&ref=" + target.Ref)
	if err != nil || status != http.StatusOK {
		d.t.Fatal(status, err)
	}
	if records, err := csv.NewReader(strings.NewReader(body)).ReadAll(); err != nil || rows == 0 && len(records) > 1 || rows > 0 && len(records) != rows+1 {
		d.t.Errorf("%s %s: a CSV of %d lines for %d rows, %v", uid, target.Title, len(records), rows, err)
	}
}

// sameValue compares a value of the viewer with ClickHouse's own JSON, which writes large numbers and times as texts.
func sameValue(kind string, got, want any) bool {
	text, isText := want.(string)
	switch {
	case want == nil || got == nil:
		return want == got
	case kind == "time":
		at, err := time.Parse("2006-01-02 15:04:05.999", text)
		if err != nil {
			at, err = time.Parse(time.DateOnly, text)
		}
		ms, ok := got.(float64)
		return ok && err == nil && at.UnixMilli() == int64(ms)
	case kind == "number":
		if isText {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return false
			}
			want = n
		}
		a, okA := got.(float64)
		b, okB := want.(float64)
		return okA && okB && (a == b || math.Abs(a-b) <= 1e-12*math.Abs(b))
	case kind == "string" && !isText:
		return true // lists and maps are texts of their own
	}
	return got == want
}

// The viewer is there before ClickHouse is, says what it waits for, and goes on when it comes.
func TestViewerWaits(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	t.Setenv("DROPLIFT_VIEWER_TOKEN", "s3cret")
	at, dir, untouched := freeAddr(t), t.TempDir(), t.TempDir()
	cfg := parseConfig(t, "--data-dir", untouched, "--clickhouse", "http://"+at, "--metrics-addr=127.0.0.1:0", "--pprof-addr=", "--features-addr=", "--viewer-addr=127.0.0.1:0")
	listener, err := cfg.listenViewer()
	if err != nil {
		t.Fatal(err)
	}
	n, err := connectNode(cfg, "viewer")
	if err != nil {
		t.Fatal(err)
	}
	n.log, n.viewer = embeddedtest.Logger(t), listener
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.run(ctx, n.serveViewer) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	if status, _, err := get(n.viewerAt() + "/api/info"); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("without the token: %d, %v", status, err)
	}
	ask := func(path string) (status int, body string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, n.viewerAt()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer s3cret")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	until := func(path string, status int, part string) {
		t.Helper()
		eventually(t, time.Minute, func() error {
			if s, body := ask(path); s != status || !strings.Contains(body, part) {
				return fmt.Errorf("%s: %d %s", path, s, body)
			}
			return nil
		})
	}
	const drops = "/api/dashboards/droplift-drop-live/variables/drop"
	const glance = "/api/dashboards/droplift-drop-live/panels/1?var-drop=d&from=start&to=data"
	until("/api/info", 200, `"token":true`)
	until(drops, 503, "ClickHouse does not answer")
	if err := n.ops.ready(); err == nil {
		t.Error("it is ready without ClickHouse")
	}
	start := func() *embedded.ClickHouse {
		server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{DataDir: dir, Addr: at, ReadOnlyUser: "viewer", Logger: n.log})
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	server := start()
	// The reader's database does not exist yet.
	until(drops, 503, "no tables")
	eventually(t, time.Minute, n.ops.ready)
	writer, err := cfg.openWriter(ctx, "http://"+at, n.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	until(drops, 200, `{"options":[],"more":false}`)
	if status, body := ask(glance); status != http.StatusNotFound || !strings.Contains(body, "unknown_drop") {
		t.Errorf("an unknown drop: %d %s", status, body)
	}
	if err := server.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(drops+"?q=x", 503, "ClickHouse does not answer")
	server = start()
	defer server.Close(context.Background())
	until(drops, 200, `{"options":[],"more":false}`)
	if entries, err := os.ReadDir(untouched); err != nil || len(entries) > 0 {
		t.Errorf("a process that only reads has written %v, %v", entries, err)
	}
}

// What is no fault of the connection or the size is a defect, which must not hide behind "ClickHouse does not answer".
func TestViewerProblems(t *testing.T) {
	for err, want := range map[error]viewer.Class{
		fmt.Errorf("query: %w", io.ErrUnexpectedEOF):                   viewer.Away,
		fmt.Errorf("query: %w", &net.OpError{Op: "dial", Err: io.EOF}): viewer.Away,
		errors.New("query x has no parameter y"):                       "",
	} {
		var p *viewer.Problem
		var got viewer.Class
		if errors.As(viewerProblem(err), &p) {
			got = p.Class
		}
		if got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}
