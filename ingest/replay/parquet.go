package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// parquetRows yields the rows of a Parquet file; its line numbers are row numbers from 1.
type parquetRows struct {
	names  []string
	fields []parquetColumn
	// left is how many rows of the batch are still to come.
	left      int
	row, rows int64
	// in learns how many bytes the rows read so far stand for: the library reads columns ahead.
	in *input
}

// parquetColumn reads one column batch by batch. The library's own reader of
// records refuses a batch that comes in several chunks, as a dictionary column's
// does at every row group.
type parquetColumn struct {
	reader *pqarrow.ColumnReader
	batch  *arrow.Chunked
	chunk  int
	at     int
}

// parquetBatch rows are held as Arrow arrays at a time.
const parquetBatch = 4096

func newParquet(in *input) (p *parquetRows, err error) {
	defer rescue(&err)
	reader, err := file.NewParquetReader(in.file)
	if err != nil {
		return nil, err
	}
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	columns, schema, err := arrowReader.GetFieldReaders(context.Background(),
		upTo(reader.MetaData().Schema.NumColumns()), upTo(reader.NumRowGroups()))
	if err != nil {
		return nil, err
	}
	p = &parquetRows{rows: reader.NumRows(), in: in}
	for i, column := range columns {
		p.names = append(p.names, schema.Field(i).Name)
		p.fields = append(p.fields, parquetColumn{reader: column})
	}
	return p, nil
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// rescue turns a panic of the Parquet library, its answer to some damaged files, into an error.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

func (p *parquetRows) columns() []string { return p.names }

func (p *parquetRows) next(r *row) (err error) {
	if p.row == p.rows {
		return io.EOF
	}
	defer rescue(&err)
	if p.left == 0 {
		if err := p.load(); err != nil {
			return fmt.Errorf("after row %d: %w", p.row, err)
		}
	}
	p.left--
	p.row++
	*r = row{line: p.row, values: make([]string, len(p.names))}
	raw := make(map[string]string, len(p.names))
	for i, name := range p.names {
		r.values[i] = p.fields[i].next()
		raw[name] = r.values[i]
		if !utf8.ValidString(r.values[i]) {
			r.problem = reject(reasonEncoding, "the text is not UTF-8")
			r.problem.column = name
		}
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	r.raw = string(text)
	p.in.read.Store(int64(float64(p.in.size) * float64(p.row) / float64(p.rows)))
	return nil
}

// load reads the next rows of every column, which must be equally many.
func (p *parquetRows) load() error {
	p.left = int(min(parquetBatch, p.rows-p.row))
	for i := range p.fields {
		c := &p.fields[i]
		c.release()
		batch, err := c.reader.NextBatch(int64(p.left))
		if err != nil {
			return err
		}
		c.batch, c.chunk, c.at = batch, 0, 0
		if batch.Len() != p.left {
			return fmt.Errorf("column %s has %d rows more, not %d: %w", p.names[i], batch.Len(), p.left, io.ErrUnexpectedEOF)
		}
	}
	return nil
}

// next returns the next value of the batch as text.
func (c *parquetColumn) next() string {
	for c.at == c.batch.Chunk(c.chunk).Len() {
		c.chunk, c.at = c.chunk+1, 0
	}
	c.at++
	return arrowText(c.batch.Chunk(c.chunk), c.at-1)
}

func (c *parquetColumn) release() {
	if c.batch != nil {
		c.batch.Release()
		c.batch = nil
	}
}

func (p *parquetRows) close() {
	for i := range p.fields {
		p.fields[i].release()
		p.fields[i].reader.Release()
	}
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
