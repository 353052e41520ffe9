// Package dashboards owns the Grafana dashboards: Go values rendered to JSON, so
// that they are reviewed, tested and regenerated like code. The generated files
// live under deploy/grafana/dashboards; nobody edits them by hand.
//
//	dashboards.go  what a Dashboard is, rendering and writing
//	live.go        the dashboard "Drop live"
//	pipeline.go    the dashboard "Pipeline"
//	alert.go       the alerts; signal.go the numbers of the stored data that they watch
//	rules.go       the alerts as rules of Prometheus and Grafana, and as runbooks
//	edge.go        the dashboard "Edge and revenue"
//	creators.go    the dashboard "Creators and settlement"
//	cost.go        the dashboard "Edge cost"
//	visual.go      what dashboards share in looks
//	live.go        the dashboard "Drop live"; localization.go, cohorts.go and models.go theirs
//	visual.go      what panels of several dashboards look like
//	board.go       panels and their queries: from package sql to Grafana's macros
//	expand.go      the macros' values, for whoever runs a panel's SQL without Grafana
//
// Panels of ClickHouse run named queries of package sql. Those are written with
// ClickHouse parameters; here the parameters become Grafana's variables and time
// macros. Data sources are dashboard variables, so a dashboard moves between
// installations without an edit.
package dashboards

//go:generate go run ./gen ../deploy/grafana/dashboards ../deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Datasource says which variable a query's data source comes from.
type Datasource string

const (
	// ClickHouse queries are SQL for the plugin grafana-clickhouse-datasource.
	ClickHouse Datasource = "clickhouse"
	// Prometheus queries are PromQL.
	Prometheus Datasource = "prometheus"
)

// Target is one query of a dashboard: of a panel, a variable or a layer of annotations.
type Target struct {
	// Panel is the id of its panel in the dashboard and Ref the query's within it; 0 and empty outside panels.
	Panel uint32
	Ref   string
	// Title is the panel's title, the variable's name or the layer's.
	Title string
	// Query is what the JSON holds: SQL with Grafana's macros, see Expand, or PromQL.
	Query      string
	Datasource Datasource
	// Name is the named query of package sql behind the SQL, and With the values that the panel gives to its
	// parameters; Params has all of them.
	Name string
	With map[string]string
	// Legend is the template of a PromQL series' name.
	Legend string
}

// Dashboard is one generated dashboard.
type Dashboard struct {
	model       dashboard.Dashboard
	panels      []Target
	variables   []Target
	annotations []Target
}

// UID is pinned: links to the dashboard survive regeneration.
func (d Dashboard) UID() string { return *d.model.Uid }

// Title and Description say what the dashboard is for.
func (d Dashboard) Title() string       { return *d.model.Title }
func (d Dashboard) Description() string { return *d.model.Description }

// Panels are the queries of the panels, in the order shown.
func (d Dashboard) Panels() []Target { return d.panels }

// Variables are the queries that fill the choices, titled by variable.
func (d Dashboard) Variables() []Target { return d.variables }

// Annotations are the queries of the layers of annotations.
func (d Dashboard) Annotations() []Target { return d.annotations }

// Targets are all of them.
func (d Dashboard) Targets() []Target { return slices.Concat(d.panels, d.variables, d.annotations) }

// File is the name of the JSON file.
func (d Dashboard) File() string { return d.UID() + ".json" }

// JSON renders the dashboard: the same bytes every time.
func (d Dashboard) JSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d.model); err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.UID(), err)
	}
	return out.Bytes(), nil
}

// All makes every dashboard. An error is a defect of the build: a query that is
// missing, or a parameter that no variable fills.
func All() ([]Dashboard, error) {
	var all []Dashboard
	for _, build := range []func() (Dashboard, error){
		dropLive,
		edgeRevenue,
		creators,
		localization,
		cost,
		cohorts,
		models,
		pipelineHealth,
	} {
		d, err := build()
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// Write renders every dashboard into dir, which it makes if needed.
func Write(dir string) error {
	all, err := All()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range all {
		text, err := d.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, d.File()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
