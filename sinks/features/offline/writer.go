package offline

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/droplift/droplift/models/feature"
)

// Format is a file's format.
type Format string

const (
	// Parquet with snappy, row groups of 65,536 rows, and the Arrow schema in its metadata.
	Parquet Format = "parquet"
	// Arrow is the IPC file format, record batches of 65,536 rows with LZ4.
	Arrow Format = "arrow"
)

// FormatOf takes the format from a file's name.
func FormatOf(name string) (Format, error) {
	for _, f := range []Format{Parquet, Arrow} {
		if strings.HasSuffix(name, "."+string(f)) {
			return f, nil
		}
	}
	return "", fmt.Errorf("offline: %q ends in neither .parquet nor .arrow", name)
}

// rowsPerBatch bounds what a writer holds: 56 features of 65,536 rows are about 20 MB.
const rowsPerBatch = 65_536

// Writer writes rows to one file. What it wrote before an error, or before Close, is no file.
type Writer struct {
	batch *Batch
	sink  *sink
	to    recordWriter
	err   error
}

// recordWriter is what both formats' writers have.
type recordWriter interface {
	Write(arrow.Record) error
	Close() error
}

// sink remembers the first error: the libraries lose some, and panic over others. It has no Close, which they would call.
type sink struct {
	to  io.WriteSeeker
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.to.Write(p)
	s.err = err
	return n, err
}

func (s *sink) Seek(offset int64, whence int) (int64, error) { return s.to.Seek(offset, whence) }

// NewWriter begins a file. to stays open when the Writer is closed.
func NewWriter(to io.WriteSeeker, format Format, set *feature.Set, kind Kind, about map[string]string) (*Writer, error) {
	schema := Schema(set, kind, about)
	batch, err := NewBatch(set, kind, schema)
	if err != nil {
		return nil, err
	}
	w := &Writer{batch: batch, sink: &sink{to: to}}
	w.do(func() (err error) {
		switch format {
		case Parquet:
			props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy), parquet.WithCreatedBy("droplift"))
			w.to, err = pqarrow.NewFileWriter(schema, w.sink, props, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
		case Arrow:
			w.to, err = ipc.NewFileWriter(w.sink, ipc.WithSchema(schema), ipc.WithLZ4())
		default:
			err = fmt.Errorf("offline: format %q is neither %s nor %s", format, Parquet, Arrow)
		}
		return err
	})
	if w.err != nil {
		batch.Release()
		return nil, w.err
	}
	return w, nil
}

// do runs a step of the library's. The error of the file itself wins over what the library makes of it.
func (w *Writer) do(step func() error) {
	defer func() {
		p := recover()
		switch {
		case w.sink.err != nil:
			w.err = w.sink.err
		case p != nil:
			w.err = fmt.Errorf("offline: %v", p)
		}
	}()
	w.err = step()
}

// Write adds a row. After an error every call returns it.
func (w *Writer) Write(r *Row) error {
	if w.err != nil {
		return w.err
	}
	w.batch.Append(r)
	if w.batch.Len() >= rowsPerBatch {
		w.flush()
	}
	return w.err
}

// flush writes what is held.
func (w *Writer) flush() {
	record := w.batch.Record()
	defer record.Release()
	w.do(func() error { return w.to.Write(record) })
}

// errComplete is what is said to whoever goes on with a closed Writer.
var errComplete = errors.New("offline: the file is complete")

// Close completes the file. It frees the memory in any case.
func (w *Writer) Close() error {
	defer w.batch.Release()
	if w.err == nil && w.batch.Len() > 0 {
		w.flush()
	}
	if w.err == nil {
		w.do(w.to.Close)
	}
	err := w.err
	if err == nil {
		w.err = errComplete
	}
	return err
}
