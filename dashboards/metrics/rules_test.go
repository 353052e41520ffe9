package metrics

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// play appends one step of a timeline each 15 s and evaluates there. A cell is a value, "stale" for a series that the
// scrape lacks, "_" for a scrape that never came.
func play(t *testing.T, l *Local, timeline string, each func(step int, states []AlertState)) {
	t.Helper()
	for step, cell := range strings.Fields(timeline) {
		now := after(float64(15 * step))
		if cell != "_" {
			var scraped []sample
			if cell != "stale" {
				var v float64
				if _, err := fmt.Sscan(cell, &v); err != nil {
					t.Fatal(err)
				}
				scraped = []sample{{labels.FromStrings("__name__", "x", "drop", "d"), v}}
			}
			l.store.append(now.UnixMilli(), scraped)
		}
		l.evaluate(context.Background(), now)
		states, err := l.Alerts(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		each(step, states)
	}
}

func TestFor(t *testing.T) {
	for name, c := range map[string]struct{ timeline, want string }{
		"fires after for":           {"0 1 1 1 1 1 0 1", "ipppfFip"},
		"begins anew after a fall":  {"1 1 0 1 1 1 1", "ppipppf"},
		"a vanished series is over": {"1 1 1 1 stale 1", "pppfip"},
		"a missed scrape is not":    {"1 1 _ 1 _ 1", "pppfFF"},
		"nor is a pause too long":   {"1 " + strings.Repeat("_ ", 21), "pppf" + strings.Repeat("F", 16) + "ii"},
		"nothing ever":              {"stale stale", "ii"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := []Rule{{Name: "X", Expr: "x > 0", For: 45 * time.Second, Labels: map[string]string{"severity": "page"}}}
			l := newLocal(t, prometheus.NewRegistry(), Config{Rules: rules})
			got := ""
			play(t, l, c.timeline, func(step int, states []AlertState) {
				if len(states) != 1 || states[0].Name != "X" || states[0].Labels["severity"] != "page" {
					t.Fatalf("step %d: %+v", step, states)
				}
				s := states[0]
				switch {
				case s.State == Firing && s.Since.Equal(after(float64(15*step))):
					got += "f" // it just did
				case s.State == Firing:
					got += "F"
				default:
					got += string(s.State[0])
				}
				if (s.State == Inactive) != (s.Since.IsZero() && s.Value != s.Value && s.Labels["drop"] == "") {
					t.Errorf("step %d: %+v", step, s)
				}
			})
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A rule that cannot be evaluated is counted, and keeps its alerts and leaves others alone.
func TestRuleThatFails(t *testing.T) {
	reg := prometheus.NewRegistry()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "value"}, []string{"drop"})
	other := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "other"}, []string{"drop"})
	reg.MustRegister(gauge, other)
	l := newLocal(t, reg, Config{Registerer: reg, Rules: []Rule{{Name: "Two", Expr: `{__name__=~"value|other"} > 0`}, {Name: "Fine", Expr: "value == 1"}}})
	gauge.WithLabelValues("d").Set(1)
	l.scrape(after(0))
	l.evaluate(context.Background(), after(0))
	other.WithLabelValues("d").Set(2) // the same labels under another name
	l.scrape(after(5))
	l.evaluate(context.Background(), after(5))
	states, err := l.Alerts(context.Background())
	if err != nil || len(states) != 2 || states[0].State != Firing || states[0].Value != 1 || states[1].State != Firing {
		t.Errorf("%+v, %v", states, err)
	}
	l.scrape(after(10))
	want(t, l, `droplift_metrics_rule_failures_total`, 10, 10, 1, "10=0\n10=1") // Fine, Two
}

// Alerts fire here when they fire in Prometheus: random timelines, judged by Debian's promtool.
func TestForAgainstPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is absent")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yaml", `groups: [{name: g, interval: 15s, rules: [{alert: X, expr: "x > 0", for: 1m, labels: {severity: page}}]}]`)
	const seeds = 20
	fired := 0
	tests := "rule_files: [rules.yaml]\nevaluation_interval: 15s\ntests:\n"
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 0))
		var cells []string
		for len(cells) < 100 {
			cell := []string{"0", "1", "1", "2", "stale", "_"}[random.IntN(6)]
			for range 1 + random.IntN(8) {
				cells = append(cells, cell)
			}
		}
		timeline := strings.Join(cells, " ")
		tests += fmt.Sprintf("- interval: 15s\n  name: seed %d\n  input_series: [{series: 'x{drop=\"d\"}', values: '%s'}]\n  alert_rule_test:\n", seed, timeline)
		l := newLocal(t, prometheus.NewRegistry(), Config{Rules: []Rule{{Name: "X", Expr: "x > 0", For: time.Minute, Labels: map[string]string{"severity": "page"}}}})
		play(t, l, timeline, func(step int, states []AlertState) {
			expected := ""
			if states[0].State == Firing {
				fired++
				expected = "{exp_labels: {severity: page, drop: d}}"
			}
			tests += fmt.Sprintf("  - {eval_time: %ds, alertname: X, exp_alerts: [%s]}\n", 15*step, expected)
		})
	}
	write("tests.yaml", tests)
	if fired < 100 {
		t.Fatalf("only %d firing steps: the timelines are too tame", fired)
	}
	command := exec.Command(promtool, "test", "rules", "tests.yaml")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%.3000s", err, out)
	}
}
