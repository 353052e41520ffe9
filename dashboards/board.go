package dashboards

import (
	"errors"
	"fmt"
	"regexp"

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

// grafana says what fills each parameter of a query. Arrays take "*" as all.
var grafana = map[string]string{
	"drop":       "${drop:singlequote}",
	"pops":       "[${pop:singlequote}]",
	"currencies": "[${currency:singlequote}]",
	"creators":   "[${creator:singlequote}]",
	"from":       "$__fromTime_ms",
	"to":         "$__toTime_ms",
	"step_s":     "$__interval_s",
}

var parameter = regexp.MustCompile(`\{([a-z][a-z0-9_]*):[^{}]+\}`)

// withMacros is a named query with its parameters as Grafana's macros.
func withMacros(name string) (sql.Query, string, error) {
	q, err := sql.Lookup(name)
	if err != nil {
		return q, "", err
	}
	var unknown error
	text := parameter.ReplaceAllStringFunc(q.SQL, func(p string) string {
		parameter := parameter.FindStringSubmatch(p)[1]
		macro, ok := grafana[parameter]
		if !ok {
			unknown = errors.Join(unknown, fmt.Errorf("query %s: nothing in Grafana fills parameter %s", name, parameter))
		}
		return macro
	})
	return q, text, unknown
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

func newClickHouseQuery(text string, s shape) clickHouseQuery {
	format := map[shape]int{series: 0, rows: 1}[s]
	return clickHouseQuery{RefID: "A", Datasource: ClickHouse.ref(), EditorType: "sql", QueryType: s, Format: format, RawSQL: text, PluginVersion: "4.0.0"}
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
	builder   *dashboard.DashboardBuilder
	panels    []Panel
	variables []Panel
	problems  []error
}

// size is a panel's width (of 24) and height in Grafana's grid.
type size struct{ width, height uint32 }

func (b *board) row(title string) { b.builder.WithRow(dashboard.NewRowBuilder(title)) }

// sql adds a panel that runs a named query; the query's own words are the description.
func (b *board) sql(title string, s size, visual cog.Builder[dashboard.Panel], as shape, name string) {
	q, text, err := withMacros(name)
	if err != nil {
		b.problems = append(b.problems, err)
		return
	}
	b.panels = append(b.panels, Panel{Title: title, Query: text, Datasource: ClickHouse})
	b.add(title, q.Purpose+" "+q.Units+" "+q.Maturity, s, visual, ClickHouse, newClickHouseQuery(text, as))
}

// promQL adds a panel of one Prometheus query.
func (b *board) promQL(title, description string, s size, visual cog.Builder[dashboard.Panel], expr, legend string) {
	target, err := prometheus.NewDataqueryBuilder().Expr(expr).LegendFormat(legend).RefId("A").Range().Datasource(Prometheus.ref()).Build()
	if err != nil {
		b.problems = append(b.problems, fmt.Errorf("panel %s: %w", title, err))
		return
	}
	b.panels = append(b.panels, Panel{Title: title, Query: expr, Datasource: Prometheus})
	b.add(title, description, s, visual, Prometheus, target)
}

func (b *board) add(title, description string, s size, visual cog.Builder[dashboard.Panel], source Datasource, target variants.Dataquery) {
	p, err := visual.Build()
	if err != nil {
		b.problems = append(b.problems, fmt.Errorf("panel %s: %w", title, err))
		return
	}
	ref := source.ref()
	id := uint32(len(b.panels))
	p.Id, p.Title, p.Description, p.Datasource = &id, &title, &description, &ref
	p.Targets = []variants.Dataquery{target}
	p.GridPos = &dashboard.GridPos{W: s.width, H: s.height}
	b.builder.WithPanel(done(p))
}

// done is a panel that needs no more building.
type done dashboard.Panel

func (d done) Build() (dashboard.Panel, error) { return dashboard.Panel(d), nil }

// choice adds a variable filled by a named query. all adds "All", which the queries know as '*':
// an own value, so that it also matches rows that name nothing and works before the choices are known.
func (b *board) choice(name, label, query string, all bool) {
	_, text, err := withMacros(query)
	if err != nil {
		b.problems = append(b.problems, err)
		return
	}
	b.variables = append(b.variables, Panel{Title: name, Query: text, Datasource: ClickHouse})
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
	b.builder.WithVariable(v)
}

func (b *board) build() (Dashboard, error) {
	model, err := b.builder.Build()
	if err := errors.Join(append(b.problems, err)...); err != nil {
		return Dashboard{}, fmt.Errorf("dashboards: %w", err)
	}
	return Dashboard{model: model, panels: b.panels, variables: b.variables}, nil
}
