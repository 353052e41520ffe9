package dashboards

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/sql"
)

const deploy = "../deploy"

func TestCommittedRulesAreUpToDate(t *testing.T) {
	files, err := ruleFiles()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := WriteRules(dir); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		file, err := os.ReadFile(filepath.Join(deploy, path))
		if err != nil || !bytes.Equal(file, files[path]) {
			t.Errorf("%s is not what go generate ./dashboards writes (%v)", path, err)
		}
		written, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || !bytes.Equal(written, files[path]) {
			t.Errorf("two runs write %s differently (%v)", path, err)
		}
	}
}

func TestAlertsSayAllThatIsNeeded(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, a := range Alerts() {
		if !slices.ContainsFunc(all, func(d Dashboard) bool { return d.UID() == a.Dashboard }) {
			t.Errorf("%s sends people to %s, which is no dashboard", a.Name, a.Dashboard)
		}
		if names[a.Name] {
			t.Errorf("two alerts are called %s", a.Name)
		}
		names[a.Name] = true
		for what, text := range map[string]string{"summary": a.Summary, "description": a.Description, "expression": a.Expr, "owner": a.Owner,
			"next step": a.NextStep, "runbook": a.Runbook, "dashboard": a.Dashboard} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s has no %s", a.Name, what)
			}
		}
		if strings.ContainsAny(a.Summary, "\n") || !strings.Contains(a.Summary, "{{ $") {
			t.Errorf("%s: the summary is not one sentence about what fires: %s", a.Name, a.Summary)
		}
		if a.Severity != Page && a.Severity != Ticket {
			t.Errorf("%s: severity %q", a.Name, a.Severity)
		}
	}
}

// Every metric of an alert is a signal or one that the code registers: an alert on a typo never fires.
func TestAlertsNameKnownMetrics(t *testing.T) {
	code := registering(t)
	signals := map[string]bool{}
	for _, s := range Signals() {
		signals[s.Metric] = true
	}
	for _, a := range Alerts() {
		metrics := regexp.MustCompile(`droplift_[a-z0-9_]+`).FindAllString(a.Expr, -1)
		if len(metrics) == 0 {
			t.Errorf("%s watches no metric", a.Name)
		}
		for _, m := range metrics {
			if signals[m] {
				continue
			}
			if strings.HasPrefix(m, "droplift_signal_") || !registeredByCode(code, m) {
				t.Errorf("%s watches %s, which nothing registers", a.Name, m)
			}
		}
	}
}

// registeredByCode looks for the metric in the code: whole, or as a prefix that a file gives to all of its names.
func registeredByCode(code [][]byte, metric string) bool {
	return slices.ContainsFunc(code, func(file []byte) bool {
		found := bytes.Contains(file, []byte(`"`+metric+`"`))
		for _, prefix := range []string{"droplift_stage_", "droplift_feed_"} {
			if name, ok := strings.CutPrefix(metric, prefix); ok {
				found = found || bytes.Contains(file, []byte(`"`+prefix+`"`)) && bytes.Contains(file, []byte(`"`+name+`"`))
			}
		}
		return found
	})
}

// registering reads the files that may register metrics.
func registering(t *testing.T) (code [][]byte) {
	t.Helper()
	for _, pattern := range []string{"../*.go", "../ingest/kafka/*.go", "../sinks/clickhouse/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, text)
		}
	}
	return code
}

// Every signal's query takes the drop and the event time, and nothing else that is required.
func TestSignalsAskQueries(t *testing.T) {
	for _, s := range Signals() {
		q, err := sql.Lookup(s.Query)
		if err != nil {
			t.Errorf("%s: %v", s.Metric, err)
			continue
		}
		var required []string
		for _, p := range q.Params {
			if p.Required {
				required = append(required, p.Name)
			}
		}
		if !slices.Equal(required, []string{"drop", "at"}) {
			t.Errorf("%s needs the parameters %v", s.Query, required)
		}
		if s.Help == "" || strings.Contains(q.SQL, "now64") || strings.Contains(q.SQL, "now()") {
			t.Errorf("%s has no help, or %s asks the clock", s.Metric, s.Query)
		}
	}
}

// Each alert has a file of tests in which it fires, is pending before where it must wait, and stays silent.
func TestPromtool(t *testing.T) {
	rules := filepath.Join(deploy, "prometheus", "rules")
	var files []string
	for _, a := range Alerts() {
		file := filepath.Join(rules, "tests", a.Name+".yaml")
		files = append(files, file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		var suite struct {
			Tests []struct {
				Checks []struct {
					Expr    string `yaml:"expr"`
					Samples []any  `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(text, &suite); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		seen := map[string]bool{}
		for _, test := range suite.Tests {
			for _, c := range test.Checks {
				for _, state := range []string{"pending", "firing"} {
					if c.Expr == `ALERTS{alertname="`+a.Name+`", alertstate="`+state+`"}` {
						seen[state] = seen[state] || len(c.Samples) > 0
						seen["silent"] = seen["silent"] || len(c.Samples) == 0
					}
				}
			}
		}
		if !seen["firing"] || !seen["silent"] || seen["pending"] != (a.For > 0) {
			t.Errorf("%s shows %v; it must fire, stay silent, and be pending only where it waits", file, seen)
		}
	}
	if entries, err := filepath.Glob(filepath.Join(rules, "tests", "*")); err != nil || len(entries) != len(files) {
		t.Errorf("%d files of tests for %d alerts (%v)", len(entries), len(files), err)
	}
	promtool, err := exec.LookPath("promtool")
	if errors.Is(err, exec.ErrNotFound) {
		embeddedtest.Missing(t, "promtool", err.Error())
	}
	for _, arguments := range [][]string{{"check", "rules", filepath.Join(rules, "droplift.yaml")}, append([]string{"test", "rules"}, files...)} {
		if out, err := exec.Command(promtool, arguments...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", arguments[0], err, out)
		}
	}
}
