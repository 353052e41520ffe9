package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// SchemaError says that a column that loaders write is missing or of another type.
type SchemaError struct {
	Table, Column string
	// Expected and Found types; Found is empty when there is no such column.
	Expected, Found string
}

func (e *SchemaError) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("table %s has no column %s %s: run droplift migrate", e.Table, e.Column, e.Expected)
	}
	return fmt.Sprintf("table %s: column %s is %s, expected %s: a change by hand? undo it, or restore the table", e.Table, e.Column, e.Found, e.Expected)
}

// storedKinds are the kinds that have a table.
var storedKinds = [...]event.Kind{
	event.KindPlayer, event.KindLatency, event.KindCheckout, event.KindSubtitle, event.KindDrop,
	event.KindFeatures, event.KindVelocity, event.KindDeadLetter, event.KindLate,
}

// CheckSchema holds every column that loaders write against the server's
// tables. It returns all differences, joined, each a *SchemaError.
func (c *Client) CheckSchema(ctx context.Context) error {
	rows, err := c.conn.Query(ctx, "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	found := map[[2]string]string{}
	for rows.Next() {
		var table, name, kind string
		if err := rows.Scan(&table, &name, &kind); err != nil {
			return err
		}
		found[[2]string{table, name}] = kind
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var problems []error
	for _, kind := range storedKinds {
		t := newTable(kind)
		for _, column := range t.columns {
			if is := found[[2]string{t.name, column.name()}]; is != column.kind() {
				problems = append(problems, &SchemaError{Table: t.name, Column: column.name(), Expected: column.kind(), Found: is})
			}
		}
	}
	return errors.Join(problems...)
}

// Kinds lists the kinds that have a table.
func Kinds() []event.Kind { return slices.Clone(storedKinds[:]) }
