// Package sql owns every SQL text of Droplift: the forward-only migrations and
// the named queries, both embedded. It runs nothing; callers pass the texts to
// the server unchanged, and values as ClickHouse parameters, never by
// concatenation.
//
//	migrations.go  the schema's history, with checksums
//	queries.go     named queries and their declared parameters
//	views.go       the materialized views that the migrations leave
//	split.go       statements of a script
package sql

import "embed"

//go:embed migrations/*.sql queries/*.sql
var files embed.FS
