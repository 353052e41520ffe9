package clickhouse

import (
	"context"
	"fmt"

	"github.com/droplift/droplift/sql"
)

// ChecksumError says that a migration differs from the one of its version that
// was applied: history was edited, or the database belongs to another build.
type ChecksumError struct {
	Version             int
	Name                string
	Applied, AppliedSum string
	Sum                 string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("migration %04d_%s has changed since it was applied as %04d_%s (checksum %.12s, applied %.12s): "+
		"applied migrations are never edited; restore its text and put the change into a new one",
		e.Version, e.Name, e.Version, e.Applied, e.Sum, e.AppliedSum)
}

// Pending lists the migrations that Migrate would apply, and reports applied
// ones that have changed. It changes nothing.
func (c *Client) Pending(ctx context.Context) ([]sql.Migration, error) {
	migrations, err := sql.Migrations()
	if err != nil {
		return nil, err
	}
	return c.pending(ctx, migrations)
}

// Migrate creates the database if need be and applies the pending migrations in
// order, each recorded in schema_migrations once all its statements succeeded.
//
// ClickHouse has no transactions over statements: a run that is cut short leaves a migration half-applied and not
// recorded. So every statement can be repeated without harm, and the next run goes through all of the migration again. For the same
// reason two runs at once end like one.
func (c *Client) Migrate(ctx context.Context) ([]sql.Migration, error) {
	migrations, err := sql.Migrations()
	if err != nil {
		return nil, err
	}
	return c.migrate(ctx, migrations)
}

// Prepare migrates and checks the schema, and tries again for as long as ClickHouse is away.
func (c *Client) Prepare(ctx context.Context) error {
	return c.retry(ctx, "prepare the tables", nil, func() error {
		if _, err := c.Migrate(ctx); err != nil {
			return err
		}
		return c.CheckSchema(ctx)
	})
}

func (c *Client) migrate(ctx context.Context, migrations []sql.Migration) ([]sql.Migration, error) {
	if err := c.bare.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+c.cfg.Database); err != nil {
		return nil, fmt.Errorf("create database %s: %w", c.cfg.Database, explain(err))
	}
	if err := c.conn.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS schema_migrations
		(
			version    UInt32,
			name       String,
			checksum   String,
			applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
		)
		ENGINE = ReplacingMergeTree ORDER BY version`); err != nil {
		return nil, fmt.Errorf("create schema_migrations: %w", explain(err))
	}
	pending, err := c.pending(ctx, migrations)
	if err != nil {
		return nil, err
	}
	for i, m := range pending {
		for k, statement := range m.Statements {
			if err := c.conn.Exec(ctx, statement); err != nil {
				return pending[:i], fmt.Errorf("migration %04d_%s, statement %d of %d: %w", m.Version, m.Name, k+1, len(m.Statements), explain(err))
			}
		}
		if err := c.conn.Exec(withParams(ctx, Params{"version": m.Version, "name": m.Name, "checksum": m.SHA256}),
			"INSERT INTO schema_migrations (version, name, checksum) SELECT {version:UInt32}, {name:String}, {checksum:String}"); err != nil {
			return pending[:i], fmt.Errorf("record migration %04d_%s: %w", m.Version, m.Name, explain(err))
		}
		c.log.Info("migrated", "version", m.Version, "name", m.Name)
	}
	return pending, nil
}

// pending compares migrations with what the database says was applied.
func (c *Client) pending(ctx context.Context, migrations []sql.Migration) ([]sql.Migration, error) {
	type applied struct{ name, checksum string }
	history := map[uint32]applied{}
	exists, err := c.hasHistory(ctx)
	if err != nil {
		return nil, explain(err)
	}
	if exists {
		rows, err := c.conn.Query(ctx, "SELECT version, name, checksum FROM schema_migrations FINAL ORDER BY version")
		if err != nil {
			return nil, explain(err)
		}
		defer rows.Close()
		for rows.Next() {
			var version uint32
			var a applied
			if err := rows.Scan(&version, &a.name, &a.checksum); err != nil {
				return nil, err
			}
			history[version] = a
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	var pending []sql.Migration
	for _, m := range migrations {
		a, done := history[uint32(m.Version)]
		if !done {
			pending = append(pending, m)
			continue
		}
		if a.checksum != m.SHA256 {
			return nil, &ChecksumError{Version: m.Version, Name: m.Name, Applied: a.name, AppliedSum: a.checksum, Sum: m.SHA256}
		}
		delete(history, uint32(m.Version))
	}
	for version, a := range history {
		return nil, fmt.Errorf("the database has migration %04d_%s, which this build does not know: use a build at least as new", version, a.name)
	}
	return pending, nil
}

func (c *Client) hasHistory(ctx context.Context) (bool, error) {
	var n uint64
	err := c.bare.QueryRow(withParams(ctx, Params{"database": c.cfg.Database}),
		"SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'").Scan(&n)
	return n > 0, err
}
