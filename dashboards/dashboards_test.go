package dashboards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
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
	uids := map[string]bool{}
	for _, d := range all {
		t.Run(d.UID(), func(t *testing.T) {
			if !strings.HasPrefix(d.UID(), "droplift-") || len(d.UID()) > 40 || uids[d.UID()] {
				t.Errorf("UID %s is taken, longer than Grafana's 40 characters, or not ours by its name", d.UID())
			}
			uids[d.UID()] = true
			text, err := d.JSON()
			if err != nil {
				t.Fatal(err)
			}
			var f file
			if err := json.Unmarshal(text, &f); err != nil {
				t.Fatal(err)
			}
			lint(t, d, f)
		})
	}
}

// lint checks what an operator needs of every dashboard.
func lint(t *testing.T, d Dashboard, f file) {
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
	// In one order on every board, so that they are where they were when one goes from one to the next.
	order := []string{"clickhouse", "prometheus", "creator", "drop", "pop", "currency", "language", "cohort", "model"}
	known := slices.DeleteFunc(slices.Clone(order), func(name string) bool { return !slices.Contains(variables, name) })
	if len(variables) < 2 || !slices.Equal(variables, known) {
		t.Errorf("variables %v, want both data sources and others in the order %v", variables, order)
	}
	ids, titles, queries := map[int]bool{}, map[string]bool{}, 0
	for _, p := range f.Panels {
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || titles[p.Title] || p.Description == "" || strings.Contains(p.Description, "\n") {
			t.Errorf("panel %q: its title is taken, or its description %q is not one line", p.Title, p.Description)
		}
		titles[p.Title] = true
		if !slices.Contains(panelTypes, p.Type) {
			t.Errorf("panel %q is a %s, which the viewer cannot draw", p.Title, p.Type)
		}
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q has id %d, which is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q reaches column %d of 24", p.Title, p.GridPos.X+p.GridPos.W)
		}
		if p.Type == "text" {
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q has no unit", p.Title)
		}
		if slices.Contains([]string{"timeseries", "barchart", "trend", "xychart"}, p.Type) && p.FieldConfig.Defaults.Custom.AxisLabel == "" {
			t.Errorf("panel %q has an axis without a label", p.Title)
		}
		if p.Interval != "" {
			t.Errorf("panel %q has the fixed interval %s", p.Title, p.Interval)
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		queries += len(p.Targets)
		refs := map[string]bool{}
		for _, target := range p.Targets {
			for _, s := range []*source{p.Datasource, target.Datasource} {
				if s == nil || s.UID != "${clickhouse}" && s.UID != "${prometheus}" || s.UID != p.Datasource.UID {
					t.Errorf("panel %q: data source %+v", p.Title, s)
				}
			}
			if (target.RawSQL == "") == (target.Expr == "") || target.RefID == "" || refs[target.RefID] {
				t.Errorf("panel %q: target %+v", p.Title, target)
			}
			refs[target.RefID] = true
			if found := interval.FindString(target.RawSQL + target.Expr); found != "" {
				t.Errorf("panel %q has the fixed interval %s", p.Title, found)
			}
		}
	}
	if queries != len(d.Panels()) {
		t.Errorf("%d queries in the JSON, %d listed", queries, len(d.Panels()))
	}
}

// panelTypes are those that the viewer draws, too.
var panelTypes = []string{"timeseries", "stat", "gauge", "barchart", "bargauge", "table", "heatmap", "histogram", "xychart", "state-timeline", "trend", "text"}

// The JSON is what Grafana's own schema knows: read strictly by the SDK and written again, it is the same.
func TestSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	cog.NewRuntime().RegisterDataqueryVariant(variants.DataqueryConfig{
		Identifier:                 clickHousePlugin,
		StrictDataqueryUnmarshaler: strictly,
	})
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := schemaErr(text); err != nil {
			t.Errorf("%s: %v", d.File(), err)
		}
		for _, broken := range []struct{ what, old, new string }{
			{"an unknown field", `"uid"`, `"uuid"`},
			{"an unknown option of a panel", `"calcs"`, `"calculations"`},
			{"a number for a text", `"title": "` + d.Title() + `"`, `"title": 1`},
			{"an unknown field of a query", `"rawSql"`, `"rawSQL2"`},
		} {
			if err := schemaErr(bytes.ReplaceAll(text, []byte(broken.old), []byte(broken.new))); bytes.Contains(text, []byte(broken.old)) && err == nil {
				t.Errorf("%s: %s passes", d.File(), broken.what)
			}
		}
	}
}

// schemaErr is what is wrong with a dashboard's JSON, or what of it the schema loses.
func schemaErr(text []byte) error {
	var model dashboard.Dashboard
	if err := model.UnmarshalJSONStrict(text); err != nil {
		return err
	}
	again, err := json.Marshal(model)
	if err != nil {
		return err
	}
	// The SDK reads an empty list as none.
	text = bytes.ReplaceAll(text, []byte(`"panels": []`), []byte(`"panels": null`))
	var before, after any
	if err := errors.Join(json.Unmarshal(text, &before), json.Unmarshal(again, &after)); err != nil {
		return err
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("it becomes %s", again)
	}
	return nil
}

// strictly reads our query, which the SDK does not know.
func strictly(raw []byte) (variants.Dataquery, error) {
	var q clickHouseQuery
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(&q)
	return q, err
}

// Two generations are byte-identical.
func TestGenerationIsStable(t *testing.T) {
	generate := func() (texts [][]byte) {
		all, err := All()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			text, err := d.JSON()
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
		return texts
	}
	first := generate()
	for range 5 { // maps are walked in another order each time
		if !reflect.DeepEqual(generate(), first) {
			t.Fatal("a generation differs from the one before")
		}
	}
}

// Metrics that panels ask for must be ones that the code registers: a typo shows as an empty panel for years.
func TestPromQLNamesRegisteredMetrics(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	names := metricNames(t)
	asked := 0
	for _, d := range all {
		for _, p := range d.Panels() {
			if p.Datasource != Prometheus {
				continue
			}
			for _, metric := range metricName.FindAllString(p.Query, -1) {
				asked++
				if !slices.ContainsFunc([]string{"", "_bucket", "_sum", "_count"}, func(part string) bool { return names[strings.TrimSuffix(metric, part)] }) {
					t.Errorf("%s: panel %q asks for %s, which nothing registers", d.UID(), p.Title, metric)
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no panel asks for a metric")
	}
}

var (
	metricName = regexp.MustCompile(`\bdroplift_[a-z_]+`)
	// A metric's name stands in the code as a whole, or a file names a prefix and what comes behind it.
	wholeName = regexp.MustCompile(`"(droplift_[a-z_]*[a-z])"`)
	prefix    = regexp.MustCompile(`prefix: "(droplift_[a-z_]+_)"`)
	shortName = regexp.MustCompile(`\.(?:counters?|gauges?|histograms?)\("([a-z_]+)"`)
	// sharedName stands behind every prefix of its folder.
	sharedName = regexp.MustCompile(`r\.prefix ?\+ ?"([a-z_]+)"`)
)

// metricNames are those that the code registers.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	prefixes, shared := map[string][]string{}, map[string][]string{} // by folder
	err := filepath.WalkDir("..", func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != "..") {
			return filepath.SkipDir
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range wholeName.FindAllSubmatch(text, -1) {
			names[string(match[1])] = true
		}
		folder := filepath.Dir(path)
		for _, p := range prefix.FindAllSubmatch(text, -1) {
			prefixes[folder] = append(prefixes[folder], string(p[1]))
			for _, match := range shortName.FindAllSubmatch(text, -1) {
				names[string(p[1])+string(match[1])] = true
			}
		}
		for _, match := range sharedName.FindAllSubmatch(text, -1) {
			shared[folder] = append(shared[folder], string(match[1]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, all := range prefixes {
		for _, p := range all {
			for _, name := range shared[folder] {
				names[p+name] = true
			}
		}
	}
	return names
}

func TestExpand(t *testing.T) {
	vars := Vars{From: 1_000_500, To: 2_000_500, IntervalS: 30, Values: map[string][]string{"drop": {`d'1\`}, "pop": {"fra", `a,{b}\'`}, "creator": {"ada"}}}
	for text, want := range map[string]string{
		"a BETWEEN $__fromTime_ms AND $__toTime_ms": "a BETWEEN fromUnixTimestamp64Milli(1000500) AND fromUnixTimestamp64Milli(2000500)",
		"$__fromTime,$__toTime,$__interval_s * 2":   "toDateTime(1000),toDateTime(2000),30 * 2",
		"'${drop:percentencode}'":                   "'d%271%5C'",
		"'${pop:percentencode}'":                    "'%7Bfra%2Ca%252C%257Bb%257D%255C%2527%7D'", // {fra,a%2C%7Bb%7D%5C%27}
		"'${creator:percentencode}'":                "'%7Bada%7D'",
		"'${currency:percentencode}'":               "'%2A'",
		"no macros, 5 $ and {braces}":               "no macros, 5 $ and {braces}",
	} {
		if got, err := Expand(text, vars); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"$__rate_interval", "$__timeFilter(at)", "${drop}", "${drop:csv}", "${pop:singlequote}"} {
		if got, err := Expand(text, vars); err == nil || !strings.Contains(err.Error(), "$") {
			t.Errorf("%s became %s (%v), want an error that names it", text, got, err)
		}
	}
	if got, err := Expand("${drop:percentencode}", Vars{}); err == nil {
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
	for _, want := range []string{"CAST('it\\'s', 'String')", "decodeURLComponent('${drop:percentencode}')"} {
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
