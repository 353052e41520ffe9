package clickhouse

import (
	"slices"
	"unsafe"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// column is one column of a batch. Rows are appended one value at a time and
// sent from and to row numbers; the memory is kept from batch to batch.
type column interface {
	name() string
	// kind is the type in the table, wire the one it is sent as.
	kind() string
	wire() string
	send(to driver.BatchColumn, rows span) error
	reset()
}

type header struct{ title, stored, sent string }

func (h header) name() string { return h.title }
func (h header) kind() string { return h.stored }
func (h header) wire() string { return h.sent }

// columns collects the columns of one table in order.
type columns []column

func (c *columns) add(col column) { *c = append(*c, col) }

// text declares a String column.
func (c *columns) text(name string) *text {
	t := &text{header: header{name, "String", "String"}}
	c.add(t)
	return t
}

// label declares a LowCardinality(String) column. It is sent as String: the server builds the dictionary faster
// than the client library does.
func (c *columns) label(name string) *text {
	t := &text{header: header{name, "LowCardinality(String)", "String"}}
	c.add(t)
	return t
}

// moment declares a DateTime64(3, 'UTC') column of Unix milliseconds.
func (c *columns) moment(name string) *moments {
	const kind = "DateTime64(3, 'UTC')"
	m := &moments{vector[int64]{header: header{name, kind, kind}}}
	c.add(m)
	return m
}

func newVector[T any](c *columns, name, kind string) *vector[T] {
	v := &vector[T]{header: header{name, kind, kind}}
	c.add(v)
	return v
}

func newOptional[T any](c *columns, name, kind string) *optional[T] {
	v := &optional[T]{header: header{name, "Nullable(" + kind + ")", "Nullable(" + kind + ")"}}
	c.add(v)
	return v
}

// vector is a column of fixed-size values, or of slices that the caller cloned.
type vector[T any] struct {
	header
	values []T
}

func (v *vector[T]) add(value T) { v.values = append(v.values, value) }
func (v *vector[T]) send(to driver.BatchColumn, rows span) error {
	return to.Append(v.values[rows.from:rows.to])
}
func (v *vector[T]) reset() {
	clear(v.values) // slices of the last batch must not outlive it
	v.values = v.values[:0]
}

// moments is a column of times.
type moments struct{ vector[int64] }

// lastMoment is 2262-01-01. The client library counts in int64 nanoseconds, so that a later time would
// come out as some other, believable one; clocks that far off stay recognisable as such.
const lastMoment int64 = 9_214_646_400_000

func (m *moments) add(ms int64) { m.vector.add(min(max(ms, 0), lastMoment)) }

// optional is a Nullable column.
type optional[T any] struct {
	header
	values  []T
	present []bool
}

func (o *optional[T]) add(value T, present bool) {
	o.values = append(o.values, value)
	o.present = append(o.present, present)
}

func (o *optional[T]) send(to driver.BatchColumn, rows span) error {
	pointers := make([]*T, rows.count())
	for i := range pointers {
		if o.present[rows.from+i] {
			pointers[i] = &o.values[rows.from+i]
		}
	}
	return to.Append(pointers)
}

func (o *optional[T]) reset() { o.values, o.present = o.values[:0], o.present[:0] }

// text is a string column. The strings of a decoded event alias the record, so
// they are copied, one after the other into one arena.
type text struct {
	header
	arena   []byte
	ends    []int
	strings []string
}

func (t *text) add(s string) {
	t.arena = append(t.arena, s...)
	t.ends = append(t.ends, len(t.arena))
}

func (t *text) addBytes(b []byte) {
	t.arena = append(t.arena, b...)
	t.ends = append(t.ends, len(t.arena))
}

func (t *text) send(to driver.BatchColumn, rows span) error {
	all := unsafe.String(unsafe.SliceData(t.arena), len(t.arena)) // Append copies it again; nothing keeps a part of it
	t.strings = slices.Grow(t.strings[:0], rows.count())
	start := 0
	if rows.from > 0 {
		start = t.ends[rows.from-1]
	}
	for _, end := range t.ends[rows.from:rows.to] {
		t.strings = append(t.strings, all[start:end])
		start = end
	}
	err := to.Append(t.strings)
	clear(t.strings)
	return err
}

func (t *text) reset() { t.arena, t.ends = t.arena[:0], t.ends[:0] }
