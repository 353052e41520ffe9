// Package offline writes features as Parquet and Arrow files: the history, in
// hourly partitions that can be exported again and again, and training sets. It
// owns the Arrow schema of a feature set, which Arrow Flight sends as well.
//
//	schema.go  a feature set as an Arrow schema
//	batch.go   rows to Arrow records
//	writer.go  records to one Parquet or Arrow file
//	export.go  hourly partitions, resumable
//	read.go    rows back out of a file, whoever wrote it
package offline
