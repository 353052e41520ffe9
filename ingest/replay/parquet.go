package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// parquetRows yields the rows of a Parquet file; its line numbers are row numbers from 1.
type parquetRows struct {
	file    *file.Reader
	records pqarrow.RecordReader
	names   []string
	batch   arrow.Record
	at      int
	row     int64
	// in learns how many bytes the rows read so far stand for: the library reads columns ahead.
	in *input
}

// parquetBatch rows are held as Arrow arrays at a time.
const parquetBatch = 4096

func newParquet(in *input) (p *parquetRows, err error) {
	defer rescue(&err)
	reader, err := file.NewParquetReader(in.file)
	if err != nil {
		return nil, err
	}
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{BatchSize: parquetBatch}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	records, err := arrowReader.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		return nil, err
	}
	p = &parquetRows{file: reader, records: records, in: in}
	for _, field := range records.Schema().Fields() {
		p.names = append(p.names, field.Name)
	}
	return p, nil
}

// rescue turns a panic of the Parquet library, its answer to some damaged files, into an error.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

func (p *parquetRows) columns() []string { return p.names }

func (p *parquetRows) next(r *row) (err error) {
	defer rescue(&err)
	for p.batch == nil || p.at == int(p.batch.NumRows()) {
		// The record is the reader's until its next Next.
		if !p.records.Next() {
			if err := p.records.Err(); err != nil && err != io.EOF {
				return fmt.Errorf("after row %d: %w", p.row, err)
			}
			if p.row < p.file.NumRows() {
				return fmt.Errorf("after row %d: %w", p.row, io.ErrUnexpectedEOF)
			}
			return io.EOF
		}
		p.batch, p.at = p.records.Record(), 0
	}
	p.row++
	*r = row{line: p.row, values: make([]string, len(p.names))}
	raw := make(map[string]string, len(p.names))
	for i, name := range p.names {
		r.values[i] = arrowText(p.batch.Column(i), p.at)
		raw[name] = r.values[i]
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	r.raw = string(text)
	p.at++
	p.in.read.Store(int64(float64(p.in.size) * float64(p.row) / float64(p.file.NumRows())))
	return nil
}

func (p *parquetRows) close() {
	p.records.Release()
}

// arrowText is one value as a column: null is empty, times are RFC 3339 in UTC,
// days are 2006-01-02, decimals are exact, and floats are the shortest text that reads back.
func arrowText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return ""
	}
	switch a := column.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Dictionary:
		return arrowText(a.Dictionary(), a.GetValueIndex(i))
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64)
	case *array.Float32:
		return strconv.FormatFloat(float64(a.Value(i)), 'g', -1, 32)
	case *array.Date32:
		return a.Value(i).ToTime().Format(time.DateOnly)
	case *array.Date64:
		return a.Value(i).ToTime().Format(time.DateOnly)
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return a.Value(i).ToTime(unit).Format(time.RFC3339Nano)
	case *array.Decimal128:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	}
	return column.ValueStr(i)
}
