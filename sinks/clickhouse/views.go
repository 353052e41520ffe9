package clickhouse

import (
	"context"
	"fmt"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// view is one materialized view: what it reads, where it writes, and how.
type view struct {
	name, target, query string
	columns             []string
}

// views lists the materialized views over table. By convention a view is called
// <target>_from_<source>.
func (c *Client) views(ctx context.Context, table string) ([]view, error) {
	rows, err := c.conn.Query(withParams(ctx, Params{"suffix": "_from_" + table}), `
		SELECT t.name, any(t.as_select), arrayMap(c -> c.2, arraySort(groupArray((c.position, c.name))))
		FROM system.tables AS t
		INNER JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
		WHERE t.database = currentDatabase() AND t.engine = 'MaterializedView' AND endsWith(t.name, {suffix:String})
		GROUP BY t.name
		ORDER BY t.name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var views []view
	for rows.Next() {
		var v view
		if err := rows.Scan(&v.name, &v.query, &v.columns); err != nil {
			return nil, err
		}
		v.target = strings.TrimSuffix(v.name, "_from_"+table)
		views = append(views, v)
	}
	return views, rows.Err()
}

// Rebuild runs the materialized views over table again, for every row that
// table still holds. The views are idempotent, so rows that were right stay as
// they are; call it after loading exchange rates, or to fill a new view.
func (c *Client) Rebuild(ctx context.Context, table string) error {
	views, err := c.views(ctx, table)
	if err != nil {
		return explain(err)
	}
	if len(views) == 0 {
		return fmt.Errorf("no materialized view reads %q", table)
	}
	for _, v := range views {
		if err := c.rebuild(ctx, v, table, ""); err != nil {
			return fmt.Errorf("rebuild %s: %w", v.name, explain(err))
		}
	}
	return nil
}

// rebuildRange runs the views over table again for one offset range. Without a view it does nothing.
func (c *Client) rebuildRange(ctx context.Context, table string, partition int32, first, last int64) error {
	views, err := c.views(ctx, table)
	if err != nil {
		return err
	}
	for _, v := range views {
		filter := fmt.Sprintf("kafka_partition = %d AND kafka_offset BETWEEN %d AND %d", partition, first, last)
		if err := c.rebuild(ctx, v, table, filter); err != nil {
			return fmt.Errorf("rebuild %s: %w", v.name, err)
		}
	}
	return nil
}

// rebuild runs a view's SELECT again into its target. The range goes in as a
// filter of the table, so that the SELECT is the view's own, word for word.
func (c *Client) rebuild(ctx context.Context, v view, table, filter string) error {
	settings := ch.Settings{"insert_deduplicate": 0}
	if filter != "" {
		settings["additional_table_filters"] = fmt.Sprintf("{'%s.%s': '%s'}", c.cfg.Database, table, filter)
	}
	return c.conn.Exec(ch.Context(ctx, ch.WithSettings(settings)),
		"INSERT INTO "+v.target+" ("+strings.Join(v.columns, ", ")+") "+v.query)
}

// RefreshCopies makes the copies that screens read anew and waits for them: the refreshable views make them by the clock,
// which comes too late for whoever looks right after a simulation.
func (c *Client) RefreshCopies(ctx context.Context) error {
	var views []string
	if err := c.conn.QueryRow(ctx, "SELECT groupArray(view) FROM system.view_refreshes WHERE database = currentDatabase()").Scan(&views); err != nil {
		return explain(err)
	}
	for _, v := range views {
		for _, what := range []string{"REFRESH", "WAIT"} {
			if err := c.conn.Exec(ctx, "SYSTEM "+what+" VIEW "+v); err != nil {
				return fmt.Errorf("refresh %s: %w", v, explain(err))
			}
		}
	}
	return nil
}
