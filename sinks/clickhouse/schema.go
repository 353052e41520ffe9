package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sql"
)

// SchemaError is one difference between the server's schema and the one that
// loaders write to, and what to do about it.
type SchemaError struct {
	// Object is a table, with its column if the difference is there, or a materialized view.
	Object string
	// Problem and Fix read as parts of a sentence.
	Problem, Fix string
}

func (e *SchemaError) Error() string { return e.Object + " " + e.Problem + ": " + e.Fix }

// storedKinds are the kinds that have a table.
var storedKinds = [...]event.Kind{
	event.KindPlayer, event.KindLatency, event.KindCheckout, event.KindSubtitle, event.KindDrop,
	event.KindFeatures, event.KindVelocity, event.KindDeadLetter, event.KindLate,
	event.KindEstimate, event.KindDecision,
	event.KindLocalization,
	event.KindAttribution, event.KindLatencySketch,
	event.KindLedger, event.KindSettlement,
	event.KindInventory,
	event.KindExperimentArm,
	event.KindEdgeCost,
	event.KindScore, event.KindExample, event.KindModel, event.KindRollout, event.KindLifetime,
}

// Kinds lists the kinds that have a table.
func Kinds() []event.Kind { return slices.Clone(storedKinds[:]) }

// CheckSchema holds the server's tables and materialized views against what
// loaders write and what exactly once rests on. It returns all differences,
// joined, each a *SchemaError.
func (c *Client) CheckSchema(ctx context.Context) error {
	actual, err := c.schema(ctx)
	if err != nil {
		return explain(err)
	}
	var problems []error
	for _, kind := range storedKinds {
		for _, p := range newTable(kind).check(actual) {
			problems = append(problems, p)
		}
	}
	drifted, err := c.driftedViews(ctx, actual)
	if err != nil {
		return explain(err)
	}
	views, err := sql.Views()
	if err != nil {
		return err
	}
	for _, v := range views {
		for _, p := range lostColumns(v, actual) {
			problems = append(problems, p)
		}
	}
	for _, v := range drifted {
		problems = append(problems, &SchemaError{
			Object: "materialized view " + v.Name, Problem: v.problem,
			Fix: "run droplift migrate --repair-views, which makes it anew from its migration and fills it from " + v.Source,
		})
	}
	return errors.Join(problems...)
}

// schema is what the server says of the database's tables.
type schema struct {
	tables  map[string]storedTable
	columns map[string][]storedColumn // by table, in the table's order
}

type storedTable struct {
	engine, partitionKey, definition string
	// query and target of a materialized view, without the database's name, which the server stores with them.
	query, target string
}

type storedColumn struct{ name, kind, defaultKind string }

func (c *Client) schema(ctx context.Context) (*schema, error) {
	s := &schema{map[string]storedTable{}, map[string][]storedColumn{}}
	tables, err := c.conn.Query(ctx, `
		SELECT name, engine, partition_key, engine_full, replaceAll(as_select, concat(currentDatabase(), '.'), ''),
			replaceAll(extract(create_table_query, ' TO ([^ ]+) '), concat(currentDatabase(), '.'), '')
		FROM system.tables WHERE database = currentDatabase()`)
	if err != nil {
		return nil, err
	}
	defer tables.Close()
	for tables.Next() {
		var name string
		var t storedTable
		if err := tables.Scan(&name, &t.engine, &t.partitionKey, &t.definition, &t.query, &t.target); err != nil {
			return nil, err
		}
		s.tables[name] = t
	}
	if err := tables.Err(); err != nil {
		return nil, err
	}
	columns, err := c.conn.Query(ctx, "SELECT table, name, type, default_kind FROM system.columns WHERE database = currentDatabase() ORDER BY table, position")
	if err != nil {
		return nil, err
	}
	defer columns.Close()
	for columns.Next() {
		var table string
		var column storedColumn
		if err := columns.Scan(&table, &column.name, &column.kind, &column.defaultKind); err != nil {
			return nil, err
		}
		s.columns[table] = append(s.columns[table], column)
	}
	return s, columns.Err()
}

// Where a column went is for a person to know: it may have been renamed, and hold what nobody wants to lose.
const (
	fixTable  = "restore it, or, to begin with an empty one, delete its migration's row from schema_migrations and run droplift migrate"
	fixColumn = "undo what was changed by hand, or restore the table; if this build is the older one, use the newer"
)

// deduplicates matches the setting without which a repeated token is not recognised.
var deduplicates = regexp.MustCompile(`non_replicated_deduplication_window = [1-9]|^(Replicated|Shared)`)

// check lists how the server's table differs from t. Columns are written by name, so their order does not matter.
func (t *table) check(actual *schema) (problems []*SchemaError) {
	bad := func(object, fix, format string, args ...any) {
		problems = append(problems, &SchemaError{Object: object, Problem: fmt.Sprintf(format, args...), Fix: fix})
	}
	stored, ok := actual.tables[t.name]
	if !ok {
		bad("table "+t.name, fixTable, "does not exist")
		return problems
	}
	if !t.replaces {
		if !deduplicates.MatchString(stored.definition) {
			bad("table "+t.name, "ALTER TABLE "+t.name+" MODIFY SETTING non_replicated_deduplication_window = 10000",
				"does not recognise repeated batches (engine %s)", stored.engine)
		}
		if stored.partitionKey != "kafka_partition" {
			bad("table "+t.name, fixTable, "is partitioned by %q, expected kafka_partition, so that one batch is one part", stored.partitionKey)
		}
	}
	expected := map[string]string{}
	for _, column := range t.columns {
		expected[column.name()] = column.kind()
	}
	for _, column := range actual.columns[t.name] {
		kind, known := expected[column.name]
		delete(expected, column.name)
		object := "table " + t.name + ", column " + column.name
		switch {
		case known && kind != column.kind:
			bad(object, fixColumn, "is %s, expected %s", column.kind, kind)
		case known && (column.defaultKind == "MATERIALIZED" || column.defaultKind == "ALIAS"):
			bad(object, fixColumn, "is computed (%s), expected a written one", column.defaultKind)
		case !known && column.defaultKind == "":
			bad(object, "give it a DEFAULT, or drop it", "is unknown, of type %s and without a default: every row would leave it empty", column.kind)
		}
	}
	for _, column := range t.columns {
		if _, missing := expected[column.name()]; missing {
			bad("table "+t.name+", column "+column.name(), fixColumn, "is missing, expected %s", column.kind())
		}
	}
	return problems
}

// driftedView is a view that is not as the migrations leave it.
type driftedView struct {
	sql.View
	problem string
}

// driftedViews compares the server's views with the migrations', both as the server's own formatter writes them.
func (c *Client) driftedViews(ctx context.Context, actual *schema) (drifted []driftedView, err error) {
	views, err := sql.Views()
	if err != nil {
		return nil, err
	}
	for _, v := range views {
		stored, ok := actual.tables[v.Name]
		if !ok || stored.engine != "MaterializedView" {
			drifted = append(drifted, driftedView{v, "does not exist"})
			continue
		}
		var want string
		if err := c.conn.QueryRow(withParams(ctx, Params{"select": v.Select}), "SELECT formatQuerySingleLine({select:String})").Scan(&want); err != nil {
			return nil, err
		}
		if stored.query != want || stored.target != v.Target {
			drifted = append(drifted, driftedView{v, "is not the one of its migration"})
		}
	}
	return drifted, nil
}

// lostColumns lists the columns that a view writes and its target does not have. The server would leave them out in silence.
func lostColumns(v sql.View, actual *schema) (problems []*SchemaError) {
	if _, ok := actual.tables[v.Target]; !ok {
		return []*SchemaError{{Object: "table " + v.Target, Problem: "does not exist", Fix: fixTable}}
	}
	for _, column := range actual.columns[v.Name] {
		if !slices.ContainsFunc(actual.columns[v.Target], func(c storedColumn) bool { return c.name == column.name }) {
			problems = append(problems, &SchemaError{
				Object: "table " + v.Target + ", column " + column.name, Problem: "is missing, though " + v.Name + " writes it", Fix: fixColumn,
			})
		}
	}
	return problems
}

// RepairViews makes the materialized views that are gone or changed anew, as
// their migrations have them, and fills each from its base table. It returns their names.
func (c *Client) RepairViews(ctx context.Context) ([]string, error) {
	actual, err := c.schema(ctx)
	if err != nil {
		return nil, explain(err)
	}
	drifted, err := c.driftedViews(ctx, actual)
	if err != nil {
		return nil, explain(err)
	}
	var names []string
	for _, v := range drifted {
		for _, statement := range []string{"DROP VIEW IF EXISTS " + v.Name, v.Create} {
			if err := c.conn.Exec(ctx, statement); err != nil {
				return names, fmt.Errorf("repair %s: %w", v.Name, explain(err))
			}
		}
		if err := c.Rebuild(ctx, v.Source); err != nil {
			return names, err
		}
		c.log.Info("repaired", "view", v.Name)
		names = append(names, v.Name)
	}
	return names, nil
}
