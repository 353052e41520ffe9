package dashboards

import (
	"regexp"
	"slices"
	"testing"

	"github.com/droplift/droplift/sql"
)

// aggregates are the tables that dashboards may read at will: their size is that of time, places, items and decisions, not
// of an audience's events, or they hold one small row per sale and are kept in the order that they are read in.
var aggregates = []string{
	// What the processors publish per drop and pane.
	"velocity", "latency_sketches", "localization", "edge_cost", "experiments", "inventory", "attribution", "estimates", "decisions", "settlements",
	// What views fold raw rows into.
	"money_facts", "money_posted", "money_exceptions", "canary_requests", "rejected", "feature_progress", "drop_versions", "score_samples",
	// Copies of slow read-outs, made by the clock.
	"ltv_copies", "ltv_spread_copies", "retention_copies", "drop_roi_copies",
	// Reference data.
	"drops", "currencies", "settings", "fx_rates", "models", "rollouts", "feature_sets",
}

// bounded are the other tables that a query reads all the same, and why that costs little whatever they hold.
var bounded = map[string]map[string]string{
	"dashboard_feature_freshness":    {"features": "a count by the key of its parts, which reads no row"},
	"dashboard_feature_completeness": {"features": "the first 20,000 rows by primary key"},
	"model_skew":                     {"features": "the revisions of 100 sampled players by primary key", "score_events": sampled},
	"model_disagreement":             {"score_events": sampled},
	"model_latency":                  {"score_events": sampled},
	"dashboard_model_drift":          {"score_events": sampled},
	"dashboard_model_scores":         {"score_events": sampled},
	"dashboard_model_probabilities":  {"score_events": sampled},
	"dashboard_model_calibration":    {"examples": sampled},
	"dashboard_model_reliability":    {"examples": sampled},
	"dashboard_ltv_predicted":        {"lifetimes": "one row per buyer, which the next fit replaces"},
	"dashboard_open_money":           {"dead_letters": refusedMoney},
	"dashboard_reconciled":           {"dead_letters": refusedMoney},
	"dashboard_reconciliation":       {"dead_letters": refusedMoney},
}

const (
	sampled      = "one model's rows of the range by primary key, of which a sample by hash is worked on"
	refusedMoney = "checkouts refused although they could be decoded, by primary key"
)

var (
	created = regexp.MustCompile(`(?s)^CREATE (?:OR REPLACE )?(TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)? (\w+)\b(.*)`)
	readsOf = regexp.MustCompile(`\b(?:FROM|JOIN|IN)\s+(\w+)`)
	notSQL  = regexp.MustCompile(`(?m)--.*$|'(?:[^'\\]|\\.|'')*'`)
)

// relations are the tables of the schema, and the text of its views.
func relations(t *testing.T) (tables []string, views map[string]string) {
	t.Helper()
	migrations, err := sql.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	views = map[string]string{}
	for _, m := range migrations {
		for _, statement := range m.Statements {
			switch match := created.FindStringSubmatch(statement); {
			case match == nil:
			case match[1] == "TABLE":
				tables = append(tables, match[2])
			case match[1] == "VIEW":
				views[match[2]] = match[3]
			}
		}
	}
	return tables, views
}

// TestTables follows every query of a dashboard and every signal through the views to the tables that it reads: a panel that
// reads raw rows is fast in a test and slow in the drop that matters.
func TestTables(t *testing.T) {
	tables, views := relations(t)
	for _, name := range aggregates {
		if !slices.Contains(tables, name) {
			t.Errorf("%s is no table", name)
		}
	}
	var follow func(text string, read map[string]bool)
	follow = func(text string, read map[string]bool) {
		for _, match := range readsOf.FindAllStringSubmatch(notSQL.ReplaceAllString(text, ""), -1) {
			name := match[1]
			if view, ok := views[name]; ok && !read[name] {
				read[name] = true
				follow(view, read)
			} else if slices.Contains(tables, name) {
				read[name] = true
			}
		}
	}
	of := func(name string) map[string]bool {
		q, err := sql.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]bool{}
		follow(q.SQL, read)
		return read
	}

	asked := []string{SignalDrops}
	for _, signal := range Signals() {
		asked = append(asked, signal.Query)
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for _, target := range d.Targets() {
			if target.Datasource == ClickHouse {
				asked = append(asked, target.Name)
			}
		}
	}
	slices.Sort(asked)
	seen := 0
	for _, name := range slices.Compact(asked) {
		read := of(name)
		for _, table := range tables {
			if !read[table] {
				continue
			}
			seen++
			if !slices.Contains(aggregates, table) && bounded[name][table] == "" {
				t.Errorf("%s reads %s, which grows with the audience: give it an aggregate, or say in bounded why it is fast", name, table)
			}
		}
		for table := range bounded[name] {
			if !read[table] {
				t.Errorf("%s does not read %s: take it out of bounded", name, table)
			}
		}
	}
	for name := range bounded {
		if !slices.Contains(asked, name) {
			t.Errorf("no dashboard asks %s: take it out of bounded", name)
		}
	}
	if seen < 100 {
		t.Errorf("%d tables were found in %d queries: they are not understood any more", seen, len(asked))
	}
	// These read raw rows, one of them through views; who finds none there finds none anywhere.
	if !of("dashboard_delay")["player_events"] || !of("settlement_open")["checkout_events"] {
		t.Error("raw tables are not found in queries that read them")
	}
}
