package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/droplift/droplift/models/feature"
)

// Known is a row of a training set as a file has it, whoever wrote the file.
type Known struct {
	Player string
	// At is the row's event_timestamp, the scoring time t0; Created its created_timestamp and AsOf its as_of, 0 where the
	// file has none. Unix ms.
	At, Created, AsOf int64
	// Values are the set's features; NaN for null. Has says which of them the file has a column for.
	Values []float64
	// Churned is the label, nil while it is not known or where the file has none.
	Churned *bool
}

// Content is a file's rows and which features they have.
type Content struct {
	Rows int64
	Has  []bool
	// Knowable is what the file says of itself, empty for files of others.
	Knowable string
}

// inspect reads what a file says of itself: its schema with the metadata, and its rows.
func inspect(name string, format Format) (schema *arrow.Schema, rows int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	defer rescue(name, &err)
	if format == Arrow {
		r, err := ipc.NewFileReader(f)
		if err != nil {
			return nil, 0, err
		}
		defer r.Close()
		for i := range r.NumRecords() {
			record, err := r.RecordAt(i)
			if err != nil {
				return nil, 0, err
			}
			rows += record.NumRows()
			record.Release()
		}
		return r.Schema(), rows, nil
	}
	r, err := file.NewParquetReader(f)
	if err != nil {
		return nil, 0, err
	}
	ar, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, 0, err
	}
	schema, err = ar.Schema()
	return schema, r.NumRows(), err
}

// rescue turns a panic, the libraries' answer to some damaged files, into an error.
func rescue(name string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("offline: %s is damaged: %v", name, p)
	}
}

// Read calls each with every row of a training set in a Parquet or Arrow file, in order; the row is valid during the call
// only. The file needs the set's key and event_timestamp; other columns that the set does not have are passed over. begin,
// if not nil, is called first.
func Read(ctx context.Context, name string, set *feature.Set, begin func(Content) error, each func(*Known) error) (err error) {
	format, err := FormatOf(name)
	if err != nil {
		return err
	}
	schema, rows, err := inspect(name, format)
	if err != nil {
		return fmt.Errorf("offline: %s: %w", name, err)
	}
	about := Content{Rows: rows, Has: make([]bool, len(set.Features))}
	meta := schema.Metadata()
	if i := meta.FindKey(MetaKnowable); i >= 0 {
		about.Knowable = meta.Values()[i]
	}
	if i := meta.FindKey(MetaHash); i >= 0 && meta.Values()[i] != set.Hash() {
		return fmt.Errorf("offline: %s is of another feature set: hash %s instead of %s", name, meta.Values()[i], set.Hash())
	}
	for _, f := range schema.Fields() {
		if i := set.Index(f.Name); i >= 0 {
			about.Has[i] = true
		}
	}
	if begin != nil {
		if err := begin(about); err != nil {
			return err
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	defer rescue(name, &err)
	k := Known{Values: make([]float64, len(set.Features))}
	visit := func(record arrow.Record) error {
		defer record.Release()
		return known(record, set, &k, each)
	}
	if format == Arrow {
		r, err := ipc.NewFileReader(f)
		if err != nil {
			return err
		}
		defer r.Close()
		for i := range r.NumRecords() {
			record, err := r.RecordAt(i)
			if err != nil {
				return err
			}
			if err := errors.Join(ctx.Err(), visit(record)); err != nil {
				return err
			}
		}
		return nil
	}
	pr, err := file.NewParquetReader(f)
	if err != nil {
		return err
	}
	ar, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	reader, err := ar.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer reader.Release()
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		record.Retain()
		if err := errors.Join(ctx.Err(), visit(record)); err != nil {
			return err
		}
	}
}

// known reads the rows of a record.
func known(record arrow.Record, set *feature.Set, k *Known, each func(*Known) error) error {
	column := func(name string) arrow.Array {
		if at := record.Schema().FieldIndices(name); len(at) == 1 {
			return record.Column(at[0])
		}
		return nil
	}
	players, times := column(set.Key), column(EventTimestamp)
	if players == nil || times == nil {
		return fmt.Errorf("offline: no training set: columns %s and %s are needed", set.Key, EventTimestamp)
	}
	created, asOf, churned := column(CreatedTimestamp), column(AsOf), column(Churned)
	labels, labelled := churned.(*array.Boolean)
	if churned != nil && !labelled {
		return fmt.Errorf("offline: column %s: %s is no yes or no", Churned, churned.DataType())
	}
	values := make([]arrow.Array, len(set.Features))
	for i, f := range set.Features {
		values[i] = column(f.Name)
	}
	for row := range int(record.NumRows()) {
		var err error
		if k.Player, err = text(players, row); err != nil {
			return fmt.Errorf("offline: column %s: %w", set.Key, err)
		}
		for _, m := range []struct {
			name string
			from arrow.Array
			to   *int64
		}{{EventTimestamp, times, &k.At}, {CreatedTimestamp, created, &k.Created}, {AsOf, asOf, &k.AsOf}} {
			if *m.to, err = moment(m.from, row); err != nil {
				return fmt.Errorf("offline: column %s: %w", m.name, err)
			}
		}
		for i, from := range values {
			if k.Values[i], err = number(from, row); err != nil {
				return fmt.Errorf("offline: column %s: %w", set.Features[i].Name, err)
			}
		}
		k.Churned = nil
		if labelled && !labels.IsNull(row) {
			gone := labels.Value(row)
			k.Churned = &gone
		}
		if err := each(k); err != nil {
			return err
		}
	}
	return nil
}

func text(a arrow.Array, row int) (string, error) {
	switch a := a.(type) {
	case *array.String:
		return a.Value(row), nil
	case *array.LargeString:
		return a.Value(row), nil
	case *array.Dictionary:
		return text(a.Dictionary(), a.GetValueIndex(row))
	}
	return "", fmt.Errorf("%s is no text", a.DataType())
}

// moment is a time as Unix ms, rounded up: a time after t0 stays one. A missing column is 0.
func moment(a arrow.Array, row int) (int64, error) {
	if a == nil || a.IsNull(row) {
		return 0, nil
	}
	t, ok := a.(*array.Timestamp)
	if !ok {
		return 0, fmt.Errorf("%s is no timestamp", a.DataType())
	}
	at := t.Value(row).ToTime(a.DataType().(*arrow.TimestampType).Unit)
	ms := at.UnixMilli()
	if at.UnixNano()%1_000_000 != 0 {
		ms++
	}
	return ms, nil
}

func number(a arrow.Array, row int) (float64, error) {
	if a == nil || a.IsNull(row) {
		return math.NaN(), nil
	}
	switch a := a.(type) {
	case *array.Float64:
		return a.Value(row), nil
	case *array.Float32:
		return float64(a.Value(row)), nil
	case *array.Int64:
		return float64(a.Value(row)), nil
	case *array.Uint64:
		return float64(a.Value(row)), nil
	case *array.Int32:
		return float64(a.Value(row)), nil
	case *array.Uint32:
		return float64(a.Value(row)), nil
	}
	return 0, fmt.Errorf("%s is no number that a feature has", a.DataType())
}
