package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/droplift/droplift/ingest/event"
)

// Batch is one sealed batch of a loader, written exactly once; the package
// comment tells how. One goroutine at a time may use it.
type Batch struct {
	sink      *Sink
	kind      event.Kind
	name      string // of the table
	topic     string
	partition int32
	flow      *flow
	insert    string
	wire      []ch.ColumnNameAndType

	table *table // nil without a record
	tally
	whole span
	// unsure says that rows of the batch may be stored already.
	unsure bool
	// gone says that the sink no longer counts the batch as under way.
	gone bool
	// enter says what a write begins to spend its time on.
	enter func(phase string)
}

// Phases makes every write say what it begins: "slot", "insert" or "backoff".
func (b *Batch) Phases(enter func(phase string)) { b.enter = enter }

// Write writes the batch. It retries until ctx is done or the error is not
// retryable; Write may then be called again, or another loader may write the
// same range with the same records: the rows are stored once. A batch without a decodable row needs
// no insert. refused says that the server refuses the data, so that only WriteHalves can store what it does take.
func (b *Batch) Write(ctx context.Context) (refused bool, err error) {
	if b.records > 0 && (b.tally.first < b.whole.first || b.tally.last > b.whole.last) {
		return false, fmt.Errorf("%s: batch holds offsets %d to %d, asked to write %s", b.place(), b.tally.first, b.tally.last, b.whole)
	}
	if b.rows == 0 {
		return false, nil
	}
	i := &insertion{Batch: b, span: b.whole, unsure: b.unsure}
	if err := i.run(ctx); err != nil {
		b.unsure = true
		return Classify(ctx, err) == Poison, fmt.Errorf("%s, offsets %s: %w", b.place(), b.whole, explain(err))
	}
	b.sink.pace.observe(b.flow, b.rows, i.sending, time.Now())
	b.sink.metrics.written(b.name, &b.tally)
	return false, nil
}

// WriteHalves writes a refused batch in halves by offset, those again in halves
// where they are refused, down to single rows, and returns the rows that are refused alone, in order of offset. Which
// parts are tried depends on the batch's range and the server's answers alone, so that whoever
// repeats it uses the same tokens; every part is looked up before it is sent. The whole is never sent again.
//
// A table that no longer fits is an error instead, as is a table that refuses more than MaxRefused rows.
func (b *Batch) WriteHalves(ctx context.Context) ([]event.Refusal, error) {
	if b.rows == 0 {
		return nil, nil
	}
	client := b.sink.client
	err := client.retry(ctx, "check the schema", nil, func() error { return client.CheckSchema(ctx) })
	if err != nil {
		return nil, fmt.Errorf("%s, offsets %s: %w", b.place(), b.whole, err)
	}
	var refusals []event.Refusal
	parts := b.halves(b.whole)
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		if part.count() == 0 {
			continue
		}
		err := (&insertion{Batch: b, span: part, unsure: true}).run(ctx)
		var partial *PartialBatchError
		switch {
		case err == nil:
		case Classify(ctx, err) == Poison && part.count() == 1:
			refusals = append(refusals, event.Refusal{Offset: b.offset(part.from), Reason: event.ReasonPoison, Field: message(err)})
			if len(refusals) > b.sink.refused {
				return nil, fmt.Errorf("%s, offsets %s: the server refuses more than %d rows, so it is not the rows: find out what changed in table %s, undo it and restart: %w",
					b.place(), b.whole, b.sink.refused, b.name, explain(err))
			}
		case Classify(ctx, err) == Poison, errors.As(err, &partial) && partial.Stored < partial.Due:
			// Partly stored: whoever wrote halves of it before came as far as that.
			parts = append(b.halves(part), parts...)
		default:
			return nil, fmt.Errorf("%s, offsets %s: %w", b.place(), part, explain(err))
		}
	}
	stored := b.tally
	stored.rows -= len(refusals)
	b.sink.metrics.written(b.name, &stored)
	b.sink.metrics.refused.WithLabelValues(b.name).Add(float64(len(refusals)))
	return refusals, nil
}

// Close gives the batch's memory back.
func (b *Batch) Close() {
	b.leave()
	if b.table != nil {
		b.sink.recycle(b.kind, b.table)
		b.table = nil
	}
}

// leave makes room for other batches: this one has ended, or waits for the server to get well, which must not keep
// other tables' from being tried.
func (b *Batch) leave() {
	if !b.gone {
		b.gone = true
		b.sink.underway.Add(-1)
	}
}

// halves cuts a span in the middle of its offsets.
func (b *Batch) halves(s span) []span {
	if s.first == s.last {
		return []span{s}
	}
	middle := s.first + (s.last-s.first)/2
	offsets := b.table.position.offset.values[s.from:s.to]
	cut, _ := slices.BinarySearch(offsets, uint64(middle)+1)
	return []span{{s.first, middle, s.from, s.from + cut}, {middle + 1, s.last, s.from + cut, s.to}}
}

// offset of a row.
func (b *Batch) offset(row int) int64 { return int64(b.table.position.offset.values[row]) }

func (b *Batch) place() string { return fmt.Sprintf("%s/%d", b.topic, b.partition) }

// message is the server's own words, without what surrounds them here.
func message(err error) string {
	var exception *ch.Exception
	if errors.As(err, &exception) {
		return exception.Message
	}
	return err.Error()
}

// insertion writes one span of a batch exactly once.
type insertion struct {
	*Batch
	span
	// unsure says that rows of the span may be stored already: somebody may have written it before, or an attempt
	// ended without a clear answer.
	unsure bool
	// attempt counts the tokens given up on because nothing came of them.
	attempt int
	// sending is the time that the last insert took.
	sending time.Duration
}

// run writes until it is done, ctx is, or the error is not retryable.
func (i *insertion) run(ctx context.Context) error {
	defer i.sink.troubles.end(i)
	err := i.sink.client.retry(ctx, "insert into "+i.name, i.failed, func() error { return i.write(ctx) })
	if class := Classify(ctx, err); err != nil && !class.retried() {
		i.sink.metrics.retries.WithLabelValues(i.name, string(class)).Inc()
	}
	return err
}

func (i *insertion) failed(err error) {
	i.unsure = true
	i.leave()
	i.enter("backoff")
	i.sink.troubles.add(i, i.name, err)
	i.sink.metrics.retries.WithLabelValues(i.name, string(Classify(context.Background(), err))).Inc()
}

// write is one attempt. It leaves unsure and attempt so that the next one, if
// there has to be one, goes on from there.
func (i *insertion) write(ctx context.Context) error {
	i.enter("slot")
	select {
	case i.sink.inserts <- struct{}{}:
		i.enter("insert")
		defer func() { <-i.sink.inserts }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if i.table.replaces || !i.unsure {
		// Rows that replace each other may be sent again at any time.
		return i.send(ctx)
	}
	stored, err := i.stored(ctx)
	if err != nil {
		return err
	}
	for tries := 0; stored == 0; tries++ {
		if tries > 0 {
			// The server knows the token and has no rows: it was killed between the two. But the part of
			// an attempt still under way could be just about to show: look again before giving the token up.
			if stored, err = i.look(ctx); err != nil || stored > 0 {
				break
			}
			i.attempt++
		}
		if err := i.send(ctx); err != nil {
			return err
		}
		if stored, err = i.stored(ctx); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if stored != uint64(i.count()) {
		return &PartialBatchError{Table: i.name, Partition: i.partition, First: i.span.first, Last: i.span.last, Stored: stored, Due: uint64(i.count())}
	}
	return i.sink.client.rebuildRange(ctx, i.name, i.partition, i.span.first, i.span.last)
}

// lookAgain is how long a part may take from its token to its visibility.
const lookAgain = time.Second

func (i *insertion) look(ctx context.Context) (uint64, error) {
	select {
	case <-time.After(lookAgain):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	return i.stored(ctx)
}

// stored counts the rows of the span that the table holds.
func (i *insertion) stored(ctx context.Context) (uint64, error) {
	var n uint64
	row := i.sink.client.conn.QueryRow(withParams(ctx, Params{"partition": i.partition, "first": i.span.first, "last": i.span.last}),
		"SELECT count() FROM "+i.name+" WHERE kafka_partition = {partition:UInt32} AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}")
	if err := row.Scan(&n); err != nil {
		return 0, err
	}
	found := "some"
	switch n {
	case 0:
		found = "none"
	case uint64(i.count()):
		found = "all"
	}
	i.sink.metrics.verified.WithLabelValues(i.name, found).Inc()
	return n, nil
}

// token names the span to the server. It is a function of the range alone, so
// that whoever repeats the batch finds the same ones in the same order.
func (i *insertion) token() string {
	token := fmt.Sprintf("%s:%d:%d-%d", i.topic, i.partition, i.span.first, i.span.last)
	if i.attempt > 0 {
		token += fmt.Sprintf("#%d", i.attempt)
	}
	return token
}

// send inserts the span as one block.
func (i *insertion) send(ctx context.Context) (err error) {
	started := time.Now()
	defer func() {
		i.sending = time.Since(started)
		i.sink.metrics.insertSeconds.WithLabelValues(i.name).Observe(i.sending.Seconds())
	}()

	ctx = ch.Context(ctx, ch.WithColumnNamesAndTypes(i.wire), ch.WithSettings(ch.Settings{
		"insert_deduplication_token":                         i.token(),
		"insert_deduplicate":                                 1,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"async_insert":                                       0,
	}))
	rows, err := i.sink.client.conn.PrepareBatch(ctx, i.insert)
	if err != nil {
		return err
	}
	for k, c := range i.table.columns {
		if err := c.send(rows.Column(k), i.span); err != nil {
			return fmt.Errorf("column %s: %w: %w", c.name(), ch.ErrBatchInvalid, err)
		}
	}
	return rows.Send()
}
