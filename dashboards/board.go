package dashboards

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/droplift/droplift/sql"
)

// clickHousePlugin is the plugin's id in Grafana's catalogue.
const clickHousePlugin = "grafana-clickhouse-datasource"

// ref points at the data-source variable, never at an installation's own source.
func (d Datasource) ref() common.DataSourceRef {
	plugin := map[Datasource]string{ClickHouse: clickHousePlugin, Prometheus: "prometheus"}[d]
	uid := "${" + string(d) + "}"
	return common.DataSourceRef{Type: &plugin, Uid: &uid}
}

// macros says what fills each parameter of a query in Grafana. Arrays take "*" as all.
var macros = map[string]string{
	"drop":       one("drop"),
	"pops":       several("pop"),
	"currencies": several("currency"),
	"creators":   several("creator"),
	"languages":  several("language"),
	"cohort":     one("cohort"),
	"model":      one("model"),
	"from":       "$__fromTime_ms",
	"to":         "$__toTime_ms",
	"step_s":     "$__interval_s",
	"bucket_s":   "$__interval_s",
}

// one is the value of a variable as SQL. Grafana's own quotes leave a backslash as it is, by which a value could end its
// string: encoded, one cannot.
func one(variable string) string { return "decodeURLComponent('${" + variable + ":percentencode}')" }

// several are the values of a variable that takes any number. Grafana joins them as {a,b} before it encodes the whole, so
// each is encoded for itself as well, see choice: a name may hold commas and braces.
func several(variable string) string {
	return "arrayMap(v -> decodeURLComponent(v), splitByChar(',', trim(BOTH '{}' FROM " + one(variable) + ")))"
}

// with are the values that a panel gives to parameters of its own, by name.
type with map[string]string

// withMacros is a named query as Grafana runs it: parameters are the panel's own values, macros, or the declared
// defaults, in this order.
func withMacros(name string, own with) (sql.Query, string, error) {
	q, err := sql.Lookup(name)
	if err != nil {
		return q, "", err
	}
	declared := map[string]sql.Param{}
	for _, p := range q.Params {
		declared[p.Name] = p
	}
	var problems []error
	for parameter := range own {
		if _, ok := declared[parameter]; !ok {
			problems = append(problems, fmt.Errorf("query %s has no parameter %s", name, parameter))
		}
	}
	text := placeholder.ReplaceAllStringFunc(q.SQL, func(p string) string {
		parameter := placeholder.FindStringSubmatch(p)[1]
		if value, ok := own[parameter]; ok {
			return literal(declared[parameter].Type, value)
		}
		if macro, ok := macros[parameter]; ok {
			return macro
		}
		if declared[parameter].Required {
			problems = append(problems, fmt.Errorf("query %s: nothing in Grafana fills parameter %s", name, parameter))
		}
		return literal(declared[parameter].Type, declared[parameter].Default)
	})
	return q, text, errors.Join(problems...)
}

var (
	placeholder = regexp.MustCompile(`\{([a-z][a-z0-9_]*):[^{}]+\}`)
	plain       = regexp.MustCompile(`^(U?Int\d+|Float\d+|Array\(.*\))$`)
)

// literal writes a parameter's value into SQL. Values are those of this package and of package sql, never a user's.
func literal(kind, value string) string {
	if plain.MatchString(kind) {
		return value
	}
	return "CAST(" + quote(value) + ", " + quote(kind) + ")"
}

// quote writes a ClickHouse string.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// shape is how the plugin hands the answer to a panel.
type shape string

const (
	series shape = "timeseries"
	rows   shape = "table"
)

// clickHouseQuery is the query model of the ClickHouse plugin, version 4, in its SQL editor.
type clickHouseQuery struct {
	RefID         string               `json:"refId"`
	Datasource    common.DataSourceRef `json:"datasource"`
	EditorType    string               `json:"editorType"`
	QueryType     shape                `json:"queryType"`
	Format        int                  `json:"format"`
	RawSQL        string               `json:"rawSql"`
	PluginVersion string               `json:"pluginVersion"`
}

func newClickHouseQuery(ref, text string, s shape) clickHouseQuery {
	format := map[shape]int{series: 0, rows: 1}[s]
	return clickHouseQuery{RefID: ref, Datasource: ClickHouse.ref(), EditorType: "sql", QueryType: s, Format: format, RawSQL: text, PluginVersion: "4.0.0"}
}

// ImplementsDataqueryVariant, Equals, DataqueryType and Validate make it a query of the SDK.
func (q clickHouseQuery) ImplementsDataqueryVariant() {}

// Equals implements variants.Dataquery.
func (q clickHouseQuery) Equals(other variants.Dataquery) bool {
	o, ok := other.(clickHouseQuery)
	return ok && o.RawSQL == q.RawSQL && o.QueryType == q.QueryType && o.RefID == q.RefID
}

// DataqueryType implements variants.Dataquery.
func (q clickHouseQuery) DataqueryType() string { return clickHousePlugin }

// Validate implements variants.Dataquery.
func (q clickHouseQuery) Validate() error { return nil }

// board collects panels and every problem met on the way.
type board struct {
	builder *dashboard.DashboardBuilder
	about   Dashboard
	shown   uint32 // panels so far, which is the newest one's id
	err     error
}

// newBoard begins a dashboard of our kind: read-only, UTC, refreshed every 5 s, its data sources chosen by variable,
// linked to the others.
func newBoard(uid, title, description string) *board {
	return &board{builder: dashboard.NewDashboardBuilder(title).
		Uid(uid).
		Description(description).
		Tags([]string{tag, "generated"}).
		Timezone("utc").
		Time("now-6h", "now").
		Refresh("5s").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Readonly().
		Link(dashboard.NewDashboardLinkBuilder("Droplift").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
			AsDropdown(true).KeepTime(true).IncludeVars(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder(string(ClickHouse)).Label("ClickHouse").Type(clickHousePlugin)).
		WithVariable(dashboard.NewDatasourceVariableBuilder(string(Prometheus)).Label("Prometheus").Type("prometheus"))}
}

// tag marks our dashboards: what links them.
const tag = "droplift"

// chooseDrop adds the choice of a drop, narrowed by its creator, and what happened to it as annotations.
func (b *board) chooseDrop() {
	b.choice("creator", "Creator", "dashboard_creators", true)
	b.choice("drop", "Drop", "dashboard_drops", false)
	b.annotation("Drop", "blue", "dashboard_annotations_drop")
	b.annotation("Catalogue", "orange", "dashboard_annotations_catalogue")
	b.annotation("Incidents", "red", "dashboard_annotations_incidents")
	b.annotation("Decisions", "purple", "dashboard_annotations_decisions")
}

// choosePOP and the like add a choice of several among those that the drop has.
func (b *board) choosePOP()      { b.choice("pop", "POP", "dashboard_drop_pops", true) }
func (b *board) chooseCurrency() { b.choice("currency", "Currency", "dashboard_drop_currencies", true) }
func (b *board) chooseLanguage() { b.choice("language", "Language", "dashboard_drop_languages", true) }

// size is a panel's width (of 24) and height in Grafana's grid.
type size struct{ width, height uint32 }

func (b *board) row(title string) { b.builder.WithRow(dashboard.NewRowBuilder(title)) }

// named is a named query of package sql as a panel asks it: how its answer is handed over, and the panel's own values.
type named struct {
	as   shape
	name string
	with with
}

// sql adds a panel that runs named queries; the first one's own words are the description.
func (b *board) sql(title string, s size, visual cog.Builder[dashboard.Panel], queries ...named) {
	b.shown++
	var description string
	var targets []variants.Dataquery
	for i, n := range queries {
		q, text, err := withMacros(n.name, n.with)
		if err != nil {
			b.problem("panel "+title, err)
			return
		}
		if i == 0 {
			description = q.Purpose + " " + q.Units + " " + q.Maturity
		}
		target := Target{Panel: b.shown, Ref: refID(i), Title: title, Query: text, Datasource: ClickHouse, Name: n.name, With: n.with}
		b.about.panels = append(b.about.panels, target)
		targets = append(targets, newClickHouseQuery(target.Ref, text, n.as))
	}
	b.add(title, description, s, visual, ClickHouse, targets)
}

// refID is the letter of a panel's i-th query.
func refID(i int) string { return string(rune('A' + i)) }

// metric is a Prometheus query and the name of its series.
type metric struct{ expr, legend string }

// promQL adds a panel of Prometheus queries.
func (b *board) promQL(title, description string, s size, visual cog.Builder[dashboard.Panel], metrics ...metric) {
	b.shown++
	var targets []variants.Dataquery
	for i, m := range metrics {
		target, err := prometheus.NewDataqueryBuilder().Expr(m.expr).LegendFormat(m.legend).RefId(refID(i)).Range().Datasource(Prometheus.ref()).Build()
		if err != nil {
			b.problem("panel "+title, err)
			return
		}
		b.about.panels = append(b.about.panels, Target{Panel: b.shown, Ref: refID(i), Title: title, Query: m.expr, Datasource: Prometheus, Legend: m.legend})
		targets = append(targets, target)
	}
	b.add(title, description, s, visual, Prometheus, targets)
}

func (b *board) add(title, description string, s size, visual cog.Builder[dashboard.Panel], source Datasource, targets []variants.Dataquery) {
	p, err := visual.Build()
	if err != nil {
		b.problem("panel "+title, err)
		return
	}
	ref, id := source.ref(), b.shown
	p.Id, p.Title, p.Description, p.Datasource = &id, &title, &description, &ref
	p.Targets = targets
	p.GridPos = &dashboard.GridPos{W: s.width, H: s.height}
	b.builder.WithPanel(done(p))
}

// done is a panel that needs no more building.
type done dashboard.Panel

func (d done) Build() (dashboard.Panel, error) { return dashboard.Panel(d), nil }

// choice adds a variable filled by a named query of one column. all lets several be chosen and adds "All", which the
// queries know as '*': an own value, so that it also matches rows that name nothing and works before the choices are known.
func (b *board) choice(name, label, query string, all bool) {
	_, text, err := withMacros(query, nil)
	if err != nil {
		b.problem("variable "+name, err)
		return
	}
	if all {
		// The plugin takes the first column as the values and the second one as what people read.
		text = "SELECT * APPLY(encodeURLComponent), * FROM\n(\n" + text + "\n)\nORDER BY 2"
	}
	b.about.variables = append(b.about.variables, Target{Title: name, Query: text, Datasource: ClickHouse, Name: query})
	v := dashboard.NewQueryVariableBuilder(name).Label(label).
		Query(dashboard.StringOrMap{String: &text}).Definition(text).
		Datasource(ClickHouse.ref()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Multi(all).IncludeAll(all)
	if all {
		v = v.AllValue(allValue).Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
	}
	if def := single[name]; def != "" {
		v = v.Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &def}, Value: dashboard.StringOrArrayOfString{String: &def}})
	}
	b.builder.WithVariable(v)
}

// annotation adds a layer of marks over time, one per row of a named query with the columns time, timeEnd (NULL for a
// moment), title, text and tags (joined by commas).
func (b *board) annotation(name, color, query string) {
	_, text, err := withMacros(query, nil)
	if err != nil {
		b.problem("annotations "+name, err)
		return
	}
	b.about.annotations = append(b.about.annotations, Target{Title: name, Query: text, Datasource: ClickHouse, Name: query})
	source := ClickHouse.ref()
	b.builder.Annotation(layer{Name: name, Enable: true, IconColor: color, Datasource: &source, Target: newClickHouseQuery("A", text, rows)})
}

// layer is a layer of annotations that needs no more building.
type layer dashboard.AnnotationQuery

func (l layer) Build() (dashboard.AnnotationQuery, error) { return dashboard.AnnotationQuery(l), nil }

func (b *board) problem(what string, err error) {
	b.err = errors.Join(b.err, fmt.Errorf("%s: %w", what, err))
}

func (b *board) build() (Dashboard, error) {
	model, err := b.builder.Build()
	if err := errors.Join(b.err, err); err != nil {
		return Dashboard{}, fmt.Errorf("dashboards: %w", err)
	}
	b.about.model = model
	return b.about, nil
}
