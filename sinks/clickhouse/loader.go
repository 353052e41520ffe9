package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/droplift/droplift/ingest/event"
)

// Loader holds one topic-partition's open batch and writes it exactly once; the
// package comment tells how. One goroutine owns it.
type Loader struct {
	sink      *Sink
	table     *table
	topic     string
	partition int32

	insert string // the INSERT statement
	wire   []ch.ColumnNameAndType

	// enter says what Write begins to spend its time on.
	enter func(phase string)

	batch  batch
	record event.Record // the one being added; here because a pointer to a parameter would cost an allocation
	// unsure says that rows of the open batch may be stored already: an attempt ended without a clear answer, or this is
	// the loader's first batch, which may repeat one of a process that died.
	unsure bool
	// attempt counts the tokens given up on in the open batch because nothing came of them.
	attempt int
}

// batch is what is known of the open batch beside its columns.
type batch struct {
	// records were added, rows of them were decoded.
	records, rows, bytes int
	// opened is when Due first saw the batch.
	opened                    time.Time
	newestEvent, newestRecord int64
	// first and last offset added; known when records > 0.
	first, last int64
}

func newLoader(s *Sink, t *table, topic string, partition int32) *Loader {
	l := &Loader{sink: s, table: t, topic: topic, partition: partition, unsure: true, enter: func(string) {}}
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name()
		l.wire = append(l.wire, ch.ColumnNameAndType{Name: c.name(), Type: c.wire()})
	}
	l.insert = "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ")"
	return l
}

// Phases makes every Write say what it begins: "slot", "insert" or "backoff".
func (l *Loader) Phases(enter func(phase string)) { l.enter = enter }

// Add decodes r and appends it to the open batch. It keeps no reference to r.
// A record that cannot be decoded is skipped and counted.
func (l *Loader) Add(r event.Record) {
	b := &l.batch
	if b.records == 0 {
		b.first = r.Offset
	}
	b.last = r.Offset
	b.records++
	b.bytes += len(r.Value)
	l.record = r
	newest, refused := l.table.add(&l.record)
	l.record = event.Record{}
	if refused != nil {
		l.sink.metrics.skipped(l.table.name, refused.Reason)
		return
	}
	b.rows++
	l.table.position.partition.add(uint32(l.partition))
	l.table.position.offset.add(uint64(r.Offset))
	l.table.position.time.add(r.Timestamp)
	b.newestEvent = max(b.newestEvent, newest)
	b.newestRecord = max(b.newestRecord, r.Timestamp)
}

// Due reports whether the open batch should be written. Its age counts from the
// first Due that saw it.
func (l *Loader) Due(now time.Time) bool {
	b := &l.batch
	if b.records == 0 {
		return false
	}
	if b.opened.IsZero() {
		b.opened = now
	}
	return l.sink.flush.Due(b.records, b.bytes, now.Sub(b.opened))
}

// Discard empties the open batch.
func (l *Loader) Discard() {
	for _, c := range l.table.columns {
		c.reset()
	}
	l.batch = batch{}
	l.attempt = 0
	// What was discarded may be stored, and may come again.
	l.unsure = true
}

// Write writes the open batch, which covers exactly the offsets first to last,
// and empties it. It retries until ctx is done or the error is not retryable;
// the batch is then still open and Write may be called again with the same
// range, by this loader or, with the same records, by another one later: the
// rows are stored once. A batch without a decodable row needs no insert.
func (l *Loader) Write(ctx context.Context, first, last int64) error {
	b := &l.batch
	if b.records > 0 && (b.first < first || b.last > last) {
		return fmt.Errorf("%s: batch holds offsets %d to %d, asked to write %d to %d", l.name(), b.first, b.last, first, last)
	}
	if b.rows > 0 {
		err := l.sink.client.retry(ctx, "insert into "+l.table.name, l.failed, func() error { return l.write(ctx, first, last) })
		if err != nil {
			l.unsure = true
			if class := Classify(ctx, err); class != Retryable {
				l.sink.metrics.retries.WithLabelValues(l.table.name, string(class)).Inc()
			}
			return fmt.Errorf("%s, offsets %d to %d: %w", l.name(), first, last, explain(err))
		}
		l.sink.metrics.written(l.table.name, b)
	}
	l.Discard()
	l.unsure = false
	return nil
}

func (l *Loader) name() string { return fmt.Sprintf("%s/%d", l.topic, l.partition) }

func (l *Loader) failed(error) {
	l.unsure = true
	l.enter("backoff")
	l.sink.metrics.retries.WithLabelValues(l.table.name, string(Retryable)).Inc()
}

// write is one attempt. It leaves unsure and attempt so that the next one, if
// there has to be one, goes on from there.
func (l *Loader) write(ctx context.Context, first, last int64) error {
	l.enter("slot")
	select {
	case l.sink.inserts <- struct{}{}:
		l.enter("insert")
		defer func() { <-l.sink.inserts }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if l.table.replaces || !l.unsure {
		// Rows that replace each other may be sent again at any time.
		return l.send(ctx, first, last)
	}
	stored, err := l.stored(ctx, first, last)
	if err != nil {
		return err
	}
	for tries := 0; stored == 0; tries++ {
		if tries > 0 {
			// The server knows the token and has no rows: it was killed between the two. But the part of
			// an attempt still under way could be just about to show: look again before giving the token up.
			if stored, err = l.look(ctx, first, last); err != nil || stored > 0 {
				break
			}
			l.attempt++
		}
		if err := l.send(ctx, first, last); err != nil {
			return err
		}
		if stored, err = l.stored(ctx, first, last); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if stored != uint64(l.batch.rows) {
		return &PartialBatchError{Table: l.table.name, Partition: l.partition, First: first, Last: last, Stored: stored, Due: uint64(l.batch.rows)}
	}
	return l.sink.client.rebuildRange(ctx, l.table.name, l.partition, first, last)
}

// lookAgain is how long a part may take from its token to its visibility.
const lookAgain = time.Second

func (l *Loader) look(ctx context.Context, first, last int64) (uint64, error) {
	select {
	case <-time.After(lookAgain):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	return l.stored(ctx, first, last)
}

// stored counts the rows of the range that the table holds.
func (l *Loader) stored(ctx context.Context, first, last int64) (uint64, error) {
	var n uint64
	row := l.sink.client.conn.QueryRow(withParams(ctx, Params{"partition": l.partition, "first": first, "last": last}),
		"SELECT count() FROM "+l.table.name+" WHERE kafka_partition = {partition:UInt32} AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}")
	if err := row.Scan(&n); err != nil {
		return 0, err
	}
	found := "some"
	switch n {
	case 0:
		found = "none"
	case uint64(l.batch.rows):
		found = "all"
	}
	l.sink.metrics.verified.WithLabelValues(l.table.name, found).Inc()
	return n, nil
}

// token names the batch to the server. It is a function of the range alone, so
// that whoever repeats the batch finds the same ones in the same order.
func (l *Loader) token(first, last int64) string {
	token := fmt.Sprintf("%s:%d:%d-%d", l.topic, l.partition, first, last)
	if l.attempt > 0 {
		token += fmt.Sprintf("#%d", l.attempt)
	}
	return token
}

// send inserts the batch as one block.
func (l *Loader) send(ctx context.Context, first, last int64) (err error) {
	started := time.Now()
	defer func() {
		l.sink.metrics.insertSeconds.WithLabelValues(l.table.name).Observe(time.Since(started).Seconds())
	}()

	ctx = ch.Context(ctx, ch.WithColumnNamesAndTypes(l.wire), ch.WithSettings(ch.Settings{
		"insert_deduplication_token":                         l.token(first, last),
		"insert_deduplicate":                                 1,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"async_insert":                                       0,
	}))
	rows, err := l.sink.client.conn.PrepareBatch(ctx, l.insert)
	if err != nil {
		return err
	}
	for i, c := range l.table.columns {
		if err := c.send(rows.Column(i)); err != nil {
			return fmt.Errorf("column %s: %w: %w", c.name(), ch.ErrBatchInvalid, err)
		}
	}
	return rows.Send()
}
