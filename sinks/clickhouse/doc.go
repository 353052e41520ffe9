// Package clickhouse owns everything Droplift says to ClickHouse: it migrates
// the schema, writes records from Kafka exactly once, and runs the named
// queries. It is the only user of clickhouse-go.
//
//	client.go    connection and configuration
//	migrate.go   the schema's history, applied and checked
//	schema.go    are the columns that loaders write there, with the right types?
//	sink.go      loaders and what they share
//	loader.go    one topic-partition's open batch, written exactly once
//	policy.go    when a batch is due
//	columns.go   column-wise buffers
//	raw.go       columns of the raw tables
//	derived.go   columns of the derived tables
//	views.go     materialized views, rebuilt from their base tables
//	query.go     named queries and raw pass-through
//	audit.go     what is stored of each topic-partition, to hold against Kafka
//	errors.go    what an error means
//	metrics.go   Prometheus metrics
//
// # Exactly once
//
// One batch is one contiguous offset range of one topic-partition, sent as one
// block with one deduplication token into one table partition, so the server
// keeps all of it or nothing. The caller remembers the range before Write and
// repeats it after a crash; the token makes the repetition a no-op.
//
// The token alone is not enough: a server that is killed between logging a
// token and keeping its part drops the repetition and has no rows. So whenever
// an outcome is unsure (a failed attempt, or a loader's first batch, which may
// repeat one of a process that died), the loader counts the range's rows. All
// there: done. None: the same token again, and if still none, the next token
// derived from the range; the derivation is fixed, so a repetition after one
// more crash goes the same way. Some: the batch is not ours to guess about, and
// Write says so. An unsure batch also runs the SELECTs of the materialized
// views again for its range, because a view's part can be lost in the same way;
// every view is idempotent.
package clickhouse
