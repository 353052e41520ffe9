package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// prometheusThat is a server that answers a path of Prometheus's API with a status and a text.
func prometheusThat(t *testing.T, path string, status int, body string) *Remote {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if path == "/api/v1/query_range" {
			if got := fmt.Sprint(r.FormValue("query"), " ", r.FormValue("start"), " ", r.FormValue("end"), " ", r.FormValue("step")); got != "up{a=\"🎉\"} 1772452800 1772452860 30" {
				t.Errorf("asked %s", got)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	remote, err := NewRemote(server.URL, []Rule{{Name: "A", Labels: map[string]string{"severity": "page"}}, {Name: "B"}, {Name: "C"}}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return remote
}

func TestRemoteRange(t *testing.T) {
	ask := func(r *Remote) ([]Series, error) {
		return r.QueryRange(context.Background(), `up{a="🎉"}`, after(0), after(60), 30*time.Second)
	}
	got, err := ask(prometheusThat(t, "/api/v1/query_range", 200,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","a":"🎉"},"values":[[1772452800,"1.5"],[1772452830,"+Inf"]]}]}}`))
	if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != "{map[__name__:up a:🎉] [1772452800000 1772452830000] [1.5 +Inf]}" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ask(prometheusThat(t, "/api/v1/query_range", 200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)); err != nil || got != nil {
		t.Errorf("nothing is %v, %v", got, err)
	}

	var bad *QueryError
	if _, err := ask(prometheusThat(t, "/api/v1/query_range", 400, `{"status":"error","errorType":"bad_data","error":"parse error"}`)); !errors.As(err, &bad) {
		t.Errorf("a bad expression: %v", err)
	}
	for _, r := range []*Remote{
		prometheusThat(t, "/api/v1/query_range", 502, `<html>`),
		prometheusThat(t, "/api/v1/query_range", 503, `{"status":"error","errorType":"timeout","error":"too slow"}`),
		prometheusThat(t, "/api/v1/query_range", 200, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`),
	} {
		if _, err := ask(r); err == nil || errors.As(err, &bad) {
			t.Errorf("a broken server: %v", err)
		}
	}
}

func TestRemoteIsAway(t *testing.T) {
	server := httptest.NewServer(nil)
	remote, err := NewRemote(server.URL, nil, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, err := remote.QueryRange(context.Background(), "up", after(0), after(60), time.Second); err == nil || !strings.Contains(err.Error(), "Prometheus") {
		t.Errorf("range: %v", err)
	}
	if _, err := remote.Alerts(context.Background()); err == nil {
		t.Errorf("alerts: %v", err)
	}
	if _, err := NewRemote("http://a b", nil, time.Second); err == nil {
		t.Error("a bad URL is no error")
	}
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hanging.Close()
	remote, err = NewRemote(hanging.URL, nil, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Alerts(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
}

func TestRemoteAlerts(t *testing.T) {
	alert := func(drop, state, value string) string {
		return `{"labels":{"alertname":"A","drop":"` + drop + `"},"annotations":{},"state":"` + state + `","activeAt":"2026-03-02T12:00:00Z","value":"` + value + `"}`
	}
	rule := func(name string, alerts ...string) string {
		return `{"type":"alerting","name":"` + name + `","query":"up","duration":60,"labels":{},"annotations":{},"health":"ok","state":"inactive",` +
			`"lastEvaluation":"2026-03-02T12:00:00Z","evaluationTime":0,"alerts":[` + strings.Join(alerts, ",") + `]}`
	}
	body := func(rules ...string) string {
		return `{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":15,"rules":[` + strings.Join(rules, ",") + `]}]}}`
	}
	states, err := prometheusThat(t, "/api/v1/rules", 200, body(
		rule("Another's", alert("d", "firing", "1")),
		rule("C"),
		rule("A", alert("d2", "pending", "2e+00"), alert("d1", "firing", "NaN")),
	)).Alerts(context.Background())
	if err == nil || !strings.Contains(err.Error(), "no rule B") {
		t.Errorf("a rule that is missing: %v", err)
	}
	want := []AlertState{
		{Name: "A", State: Firing, Since: after(0), Value: math.NaN(), Labels: map[string]string{"drop": "d1"}},
		{Name: "A", State: Pending, Since: after(0), Value: 2, Labels: map[string]string{"drop": "d2"}},
		{Name: "C", State: Inactive, Value: math.NaN()},
	}
	if fmt.Sprint(states) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant %+v", states, want)
	}
	if _, err := prometheusThat(t, "/api/v1/rules", 200, body(rule("A"), rule("B"), rule("C"))).Alerts(context.Background()); err != nil {
		t.Errorf("every rule is there: %v", err)
	}
}
