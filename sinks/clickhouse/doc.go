// Package clickhouse owns everything Droplift says to ClickHouse: it migrates
// the schema, writes records from Kafka exactly once, and runs the named
// queries. It is the only user of clickhouse-go.
//
//	client.go    connection and configuration
//	migrate.go   the schema's history, applied and checked
//	schema.go    are the tables and views as loaders need them?
//	sink.go      loaders, what they share, and whether inserts get through
//	loader.go    one topic-partition's open batch
//	batch.go     one sealed batch, written exactly once, in halves where the server refuses it
//	policy.go    when a batch is due
//	pace.go      what traffic there is, and how long batches wait for it
//	turns.go     which batch goes first when there is not room for all
//	columns.go   column-wise buffers
//	raw.go       columns of the raw tables
//	derived.go   columns of the derived tables
//	views.go     materialized views, rebuilt from their base tables
//	query.go     named queries and raw pass-through
//	features.go  records of features, read back
//	training.go  training sets as of a scoring time
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
// an outcome is unsure (a failed attempt, a range that a plan repeats, or a loader's
// first batch), the range's rows are counted. All there: done. None: the same token
// again, and if still none, the next token derived from the range; the derivation
// is fixed, so a repetition after one more crash goes the same way. Some: the batch
// is not ours to guess about, and Write says so. An unsure batch also runs the SELECTs of the materialized
// views again for its range, because a view's part can be lost in the same way;
// every view is idempotent.
//
// # Refused data
//
// A batch that the server refuses for its data (a closed list of codes, errors.go)
// is stored in halves by offset, down to the rows that it refuses alone, which are
// the caller's to dead-letter. Each part is a range with a token of its own and
// goes through the same look at the table as an unsure batch, so that it is stored
// once, however often halving is cut off and by whomever it is done again. Between
// the refusal and the first part the caller must remember that the range is halved,
// for the whole and its parts have different tokens:
//
//	halves 0–99; stores 0–49; dies
//	                                   knows only that 0–99 was planned: finds 50 of 100 rows, and
//	                                   cannot tell whether somebody deleted the others
//
// A row that only a view refuses is in its base table as well as dead-lettered.
//
// # Pace
//
// Every insert costs the server about the same, down to a single row: a part for
// the table and for each view's target, and merges later. Batches that age, rather
// than fill, are therefore due at an age that depends on what inserts cost at the
// moment and on how many topic-partitions bring something; FlushPolicy.Ages says how.
package clickhouse
