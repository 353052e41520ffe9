package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const committed = "../deploy/grafana/dashboards"

func TestCommittedFilesAreUpToDate(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range all {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(committed, d.File()))
		if err != nil || !bytes.Equal(file, text) {
			t.Errorf("%s is not what go generate ./dashboards writes (%v)", d.File(), err)
		}
		want = append(want, d.File())
	}
	entries, err := os.ReadDir(committed)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("%s is in the folder of generated dashboards, but no dashboard writes it", e.Name())
		}
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	for range 2 {
		if err := Write(dir); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "droplift-drop-live.json"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(committed, "droplift-drop-live.json"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("wrote other bytes than the committed file's (%v)", err)
		}
	}
}

// The parts of the JSON that the rules below are about.
type source struct{ Type, UID string }

type file struct {
	UID, Title, Timezone, Description string
	Editable                          bool
	Templating                        struct {
		List []struct {
			Type, Name, Query string
			Datasource        *source
		}
	}
	Panels []struct {
		Type, Title, Description string
		ID                       int
		Datasource               *source
		GridPos                  struct{ X, Y, W, H int }
		Interval                 string
		FieldConfig              struct {
			Defaults struct {
				Unit   string
				Custom struct{ AxisLabel string }
			}
		}
		Targets []struct {
			RefID, RawSQL, Expr string
			Datasource          *source
		}
	}
}

// interval finds what should come from Grafana: a range or rate over a fixed time, a bucket of fixed size.
var interval = regexp.MustCompile(`\[\d+[smhd]\]|toStartOf(Minute|FiveMinutes|TenMinutes|FifteenMinutes|Hour|Day)|INTERVAL \d+ \w+\)`)

func TestLint(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var f file
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		if f.UID == "" || f.Title == "" || f.Description == "" || f.Timezone != "utc" || f.Editable {
			t.Errorf("%s: uid %q, title %q, description %q, time zone %q, editable %v", d.File(), f.UID, f.Title, f.Description, f.Timezone, f.Editable)
		}
		var variables []string
		for _, v := range f.Templating.List {
			variables = append(variables, v.Name)
			if v.Type == "query" && (v.Datasource == nil || v.Datasource.UID != "${clickhouse}") {
				t.Errorf("variable %s: data source %+v", v.Name, v.Datasource)
			}
		}
		if want := []string{"clickhouse", "prometheus"}; len(variables) < 2 || !slices.Equal(variables[:2], want) {
			t.Errorf("variables %v, want %v first", variables, want)
		}
		ids := map[int]bool{}
		shown := 0
		for _, p := range f.Panels {
			if p.Type == "row" {
				continue
			}
			shown++
			if p.Title == "" || p.Description == "" || strings.Contains(p.Description, "\n") {
				t.Errorf("panel %q: description %q is not one line", p.Title, p.Description)
			}
			if p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("panel %q has no unit", p.Title)
			}
			if slices.Contains([]string{"timeseries", "barchart", "trend"}, p.Type) && p.FieldConfig.Defaults.Custom.AxisLabel == "" {
				t.Errorf("panel %q has an axis without a label", p.Title)
			}
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("panel %q has id %d, which is taken", p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("panel %q reaches column %d of 24", p.Title, p.GridPos.X+p.GridPos.W)
			}
			if p.Interval != "" {
				t.Errorf("panel %q has the fixed interval %s", p.Title, p.Interval)
			}
			if len(p.Targets) == 0 {
				t.Errorf("panel %q asks nothing", p.Title)
			}
			for _, target := range p.Targets {
				for _, s := range []*source{p.Datasource, target.Datasource} {
					if s == nil || s.UID != "${clickhouse}" && s.UID != "${prometheus}" || s.UID != p.Datasource.UID {
						t.Errorf("panel %q: data source %+v", p.Title, s)
					}
				}
				if (target.RawSQL == "") == (target.Expr == "") || target.RefID == "" {
					t.Errorf("panel %q: target %+v", p.Title, target)
				}
				if found := interval.FindString(target.RawSQL + target.Expr); found != "" {
					t.Errorf("panel %q has the fixed interval %s", p.Title, found)
				}
			}
		}
		if shown != len(d.Panels()) {
			t.Errorf("%d panels in the JSON, %d listed", shown, len(d.Panels()))
		}
	}
}

// Metrics that panels ask for must be ones that the code registers: a typo shows as an empty panel for years.
func TestPromQLNamesRegisteredMetrics(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`droplift_[a-z_]+`)
	asked := 0
	for _, d := range all {
		for _, p := range d.Panels() {
			if p.Datasource != Prometheus {
				continue
			}
			for _, metric := range name.FindAllString(p.Query, -1) {
				asked++
				if base := strings.TrimSuffix(metric, "_bucket"); !registered(t, base) {
					t.Errorf("panel %q asks for %s, which nothing registers", p.Title, base)
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no panel asks for a metric")
	}
}

// registered looks for the metric's name as a text of the code: whole, or as a stage's prefix and name.
func registered(t *testing.T, metric string) bool {
	t.Helper()
	stage, isStage := strings.CutPrefix(metric, "droplift_stage_")
	found := false
	for _, dir := range []string{"../ingest", "../processors", "../sinks"} {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			found = found || bytes.Contains(text, []byte(`"`+metric+`"`)) ||
				isStage && bytes.Contains(text, []byte(`"droplift_stage_"`)) && bytes.Contains(text, []byte(`"`+stage+`"`))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestExpand(t *testing.T) {
	vars := Vars{From: 1_000_500, To: 2_000_500, IntervalS: 30, Values: map[string][]string{"drop": {`d'1\`}, "pop": {"fra", "sin"}}}
	for text, want := range map[string]string{
		"a BETWEEN $__fromTime_ms AND $__toTime_ms": "a BETWEEN fromUnixTimestamp64Milli(1000500) AND fromUnixTimestamp64Milli(2000500)",
		"$__fromTime,$__toTime,$__interval_s * 2":   "toDateTime(1000),toDateTime(2000),30 * 2",
		"${drop:singlequote}":                       `'d\'1\\'`,
		"[${pop:singlequote}]":                      "['fra','sin']",
		"[${currency:singlequote}]":                 "['*']",
		"no macros, 5 $ and {braces}":               "no macros, 5 $ and {braces}",
	} {
		if got, err := Expand(text, vars); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"$__rate_interval", "$__timeFilter(at)", "${drop}", "${drop:csv}"} {
		if got, err := Expand(text, vars); err == nil || !strings.Contains(err.Error(), "$") {
			t.Errorf("%s became %s (%v), want an error that names it", text, got, err)
		}
	}
	if got, err := Expand("${drop:singlequote}", Vars{}); err == nil {
		t.Errorf("no drop became %s", got)
	}
	if got, err := Expand("$__interval_s", Vars{}); err != nil || got != "60" {
		t.Errorf("default interval %s, %v", got, err)
	}
}

func TestUnknownQueryAndParameter(t *testing.T) {
	for _, c := range []struct {
		name string
		own  with
		want string
	}{
		{"no_such_query", nil, "no_such_query"},
		{"audit_view_player_drops", nil, "parameter"},
		{"report_velocity", with{"windowms": "1"}, "windowms"},
	} {
		if _, text, err := withMacros(c.name, c.own); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s became %s (%v), want an error that names %s", c.name, text, err, c.want)
		}
	}
}

// A panel's own values and declared defaults stand in the text as what they are.
func TestOwnValuesAndDefaults(t *testing.T) {
	_, text, err := withMacros("latency_quantiles", with{"by_pop": "1", "request": "it's"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CAST('it\\'s', 'String')", "${drop:singlequote}"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if strings.ContainsAny(text, "{}") && strings.Contains(text, ":UInt8}") {
		t.Errorf("a parameter is left in %s", text)
	}
	target := Target{Name: "latency_quantiles", With: map[string]string{"by_pop": "1"}}
	params, err := Vars{Values: map[string][]string{"drop": {"d'"}}}.Params(target)
	if err != nil || params["drop"] != "d'" || params["by_pop"] != "1" || len(params) != 2 {
		t.Errorf("got %v, %v", params, err)
	}
	if _, err := (Vars{}).Params(target); err == nil {
		t.Error("no drop is no error")
	}
}
