// Package replay owns the way from real files to events: CSV, space-separated
// tables, numeric matrices, JSON lines (each plain or gzip) and Parquet, turned
// into raw records by a small YAML mapping.
//
// A Mapping says what a file looks like and which column fills which event
// field; Help is its reference, and the mappings that Builtins lists are
// examples on public data. A Reader applies one mapping to one file:
//
//	mapping, err := replay.Builtin("completejourney")
//	reader, err := replay.Open(replay.Config{
//		Mapping:        mapping,
//		Path:           "transactions_sample.csv.gz",
//		RejectPath:     "rejects.jsonl",
//		CheckpointPath: "transactions.checkpoint",
//	})
//	for _, message := range mapping.Catalogue() {
//		produce(message) // drops first: an event of an unknown drop is refused
//	}
//	var item replay.Item
//	for err = reader.Next(&item); err == nil; err = reader.Next(&item) {
//		number := item.Number
//		produce(item.Message, func() { reader.Ack(number) })
//	}
//	if err != io.EOF {
//		return err
//	}
//
// # Records, lines and identity
//
// A record is one row of a table or one cell of a matrix, numbered from 1 in
// file order whatever becomes of it. The identity of its event is a UUIDv7 whose
// time is the event's and whose remaining 74 bits are a hash of the source's
// name and the record's number. Version 7 rather than 8 because that is what the
// envelope asks for and because ids then sort by time, which ClickHouse and the
// duplicate filters of the processors compress and expire well. The content of
// the row is no part of the hash, so that equal lines remain separate purchases;
// a replay yields the same ids, and a row whose time was corrected a new one.
//
// # Bad rows
//
// A row that cannot become a valid event never stops the run: it is counted and
// goes to the reject file, one JSON object per line, with file, line, record,
// column, reason, detail and the raw text. A file that ends early (a cut gzip
// stream) yields the whole lines before the cut and then an error.
//
// # Resuming
//
// The caller acknowledges records once the broker has them, in any order; the
// checkpoint holds the longest acknowledged prefix, so records behind it may be
// sent twice after a crash, with the ids they had before, and none is left out.
// Resuming reads the file again from its start and needs it, the mapping and the
// lookup files unchanged.
package replay
