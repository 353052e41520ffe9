// Package dashboards owns the Grafana dashboards: Go values rendered to JSON, so
// that they are reviewed, tested and regenerated like code. The generated files
// live under deploy/grafana/dashboards; nobody edits them by hand.
//
//	dashboards.go  what a Dashboard is, rendering and writing
//	live.go        the dashboard "Drop live"
//	board.go       panels and their queries: from package sql to Grafana's macros
//	expand.go      the macros' values, for whoever runs a panel's SQL without Grafana
//
// Panels of ClickHouse run named queries of package sql. Those are written with
// ClickHouse parameters; here the parameters become Grafana's variables and time
// macros. Data sources are dashboard variables, so a dashboard moves between
// installations without an edit.
package dashboards

//go:generate go run ./gen ../deploy/grafana/dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

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

// Panel is one query of a dashboard. A panel of several queries comes once per query.
type Panel struct {
	Title string
	// Query is what the JSON holds: SQL with Grafana's macros, see Expand, or PromQL.
	Query      string
	Datasource Datasource
}

// Dashboard is one generated dashboard.
type Dashboard struct {
	model     dashboard.Dashboard
	panels    []Panel
	variables []Panel
}

// UID is pinned: links to the dashboard survive regeneration.
func (d Dashboard) UID() string { return *d.model.Uid }

// Panels are the queries of the panels, in the order shown.
func (d Dashboard) Panels() []Panel { return d.panels }

// Variables are the queries that fill the choices, titled by variable.
func (d Dashboard) Variables() []Panel { return d.variables }

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
	live, err := dropLive()
	if err != nil {
		return nil, err
	}
	return []Dashboard{live}, nil
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
