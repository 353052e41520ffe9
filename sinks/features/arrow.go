package features

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/http"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// microseconds is the type of times, as in training sets.
var microseconds = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// statusFields say what was found; those that only a known player has are null for others, and so are the features.
var statusFields = []arrow.Field{
	{Name: feature.Player.Key, Type: arrow.BinaryTypes.String},
	{Name: "found", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "outcome", Type: arrow.BinaryTypes.String},
	{Name: "partition", Type: arrow.PrimitiveTypes.Int32},
	{Name: "watermark", Type: microseconds, Nullable: true},
	{Name: "caught_up", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "as_of", Type: microseconds, Nullable: true},
	{Name: "age_ms", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "stale", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "complete", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "revision", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
	{Name: "maturity", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "spend_currency", Type: arrow.BinaryTypes.String, Nullable: true},
}

// ArrowSchema is the schema of answers as of a scoring time (Unix ms): the status of each player, then the features in the
// set's order. Metadata names the set, version, hash and time, a feature's field its unit and meaning.
func ArrowSchema(at int64) *arrow.Schema {
	set := feature.Player
	meta := arrow.NewMetadata(
		[]string{"droplift.feature_set", "droplift.feature_version", "droplift.feature_hash", "droplift.at"},
		[]string{set.Name, strconv.Itoa(set.Version), set.Hash(), strconv.FormatInt(at, 10)})
	return arrow.NewSchema(arrowFields, &meta)
}

var arrowFields = func() []arrow.Field {
	fields := append([]arrow.Field(nil), statusFields...)
	for _, f := range feature.Player.Features {
		fields = append(fields, arrow.Field{
			Name: f.Name, Type: arrowType(f.Type), Nullable: true,
			Metadata: arrow.NewMetadata([]string{"unit", "doc"}, []string{f.Unit, f.Doc}),
		})
	}
	return fields
}()

func arrowType(t feature.Type) arrow.DataType {
	switch t {
	case feature.Count:
		return arrow.PrimitiveTypes.Uint32
	case feature.Amount:
		return arrow.PrimitiveTypes.Int64
	}
	return arrow.PrimitiveTypes.Float64
}

// table is the memory of an Arrow answer's feature columns, and what it is written to.
type table struct {
	columns []column
	out     bytes.Buffer
}

// column is one feature of all players.
type column struct {
	values, valid []byte
	nulls         int
}

func (c *column) reset(rows, width int) {
	c.values, c.valid, c.nulls = zeroed(c.values, rows*width), zeroed(c.valid, (rows+7)/8), 0
}

func zeroed(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	b = b[:n]
	clear(b)
	return b
}

func (c *column) set(row int, t feature.Type, v float64) {
	if math.IsNaN(v) {
		c.nulls++
		return
	}
	c.valid[row/8] |= 1 << (row % 8)
	switch t {
	case feature.Count:
		binary.LittleEndian.PutUint32(c.values[4*row:], uint32(v))
	case feature.Amount:
		binary.LittleEndian.PutUint64(c.values[8*row:], uint64(int64(v)))
	default:
		binary.LittleEndian.PutUint64(c.values[8*row:], math.Float64bits(v))
	}
}

// arrow answers with one record.
func (h *Handler) arrow(w http.ResponseWriter, a *answer, players []string, at int64) *refusal {
	if err := a.arrow(h.store, players, at); err != nil {
		return refuse(http.StatusInternalServerError, "arrow", "the Arrow stream could not be written: %v", err)
	}
	h.write(w, http.StatusOK, typeArrow, a.table.out.Bytes())
	return nil
}

func (a *answer) arrow(s *Store, players []string, at int64) error {
	set := feature.Player.Features
	t := &a.table
	if t.columns == nil {
		t.columns = make([]column, len(set))
	}
	for i := range t.columns {
		t.columns[i].reset(len(players), arrowFields[len(statusFields)+i].Type.(arrow.FixedWidthDataType).Bytes())
	}
	st := newStatus(len(players))
	for row, player := range players {
		fresh, outcome := a.lookup(s, player, at)
		st.append(player, at, fresh, outcome, &a.record)
		if outcome != Found && outcome != Stale {
			for i := range t.columns {
				t.columns[i].nulls++
			}
			continue
		}
		for i, v := range a.vector {
			t.columns[i].set(row, set[i].Type, v)
		}
	}
	columns := st.arrays()
	for i := range t.columns {
		c := &t.columns[i]
		data := array.NewData(arrowFields[len(statusFields)+i].Type, len(players),
			[]*memory.Buffer{memory.NewBufferBytes(c.valid), memory.NewBufferBytes(c.values)}, nil, c.nulls, 0)
		columns = append(columns, array.MakeFromData(data))
		data.Release()
	}
	schema := ArrowSchema(at)
	record := array.NewRecord(schema, columns, int64(len(players)))
	t.out.Reset()
	writer := ipc.NewWriter(&t.out, ipc.WithSchema(schema))
	err := writer.Write(record)
	if closed := writer.Close(); err == nil {
		err = closed
	}
	record.Release()
	for _, c := range columns {
		c.Release()
	}
	return err
}

// status builds the columns that say what was found.
type status struct {
	player, outcome, maturity, currency *array.StringBuilder
	found, caughtUp, stale, complete    *array.BooleanBuilder
	partition                           *array.Int32Builder
	watermark, asOf                     *array.TimestampBuilder
	age                                 *array.Int64Builder
	revision                            *array.Uint64Builder
}

func newStatus(rows int) *status {
	mem := memory.DefaultAllocator
	s := &status{
		player: array.NewStringBuilder(mem), outcome: array.NewStringBuilder(mem), maturity: array.NewStringBuilder(mem), currency: array.NewStringBuilder(mem),
		found: array.NewBooleanBuilder(mem), caughtUp: array.NewBooleanBuilder(mem), stale: array.NewBooleanBuilder(mem), complete: array.NewBooleanBuilder(mem),
		partition: array.NewInt32Builder(mem), watermark: array.NewTimestampBuilder(mem, microseconds), asOf: array.NewTimestampBuilder(mem, microseconds),
		age: array.NewInt64Builder(mem), revision: array.NewUint64Builder(mem),
	}
	for _, b := range s.builders() {
		b.Reserve(rows)
	}
	return s
}

// builders are in the order of statusFields.
func (s *status) builders() []array.Builder {
	return []array.Builder{s.player, s.found, s.outcome, s.partition, s.watermark, s.caughtUp, s.asOf, s.age, s.stale, s.complete, s.revision, s.maturity, s.currency}
}

func (s *status) append(player string, at int64, fresh Freshness, outcome Outcome, f *event.Features) {
	found := outcome == Found || outcome == Stale
	s.player.Append(player)
	s.found.Append(found)
	s.outcome.Append(string(outcome))
	s.partition.Append(fresh.Partition)
	if fresh.Watermark < 0 {
		s.watermark.AppendNull()
	} else {
		s.watermark.Append(arrow.Timestamp(fresh.Watermark * 1000))
	}
	s.caughtUp.Append(fresh.CaughtUp)
	if !found {
		for _, b := range []array.Builder{s.asOf, s.age, s.stale, s.complete, s.revision, s.maturity, s.currency} {
			b.AppendNull()
		}
		return
	}
	s.asOf.Append(arrow.Timestamp(fresh.AsOf * 1000))
	s.age.Append(fresh.Age(at))
	s.stale.Append(outcome == Stale)
	s.complete.Append(fresh.Complete())
	s.revision.Append(fresh.Revision)
	s.maturity.Append(fresh.Maturity.String())
	if f.SpendCurrency == "" {
		s.currency.AppendNull()
	} else {
		s.currency.Append(f.SpendCurrency)
	}
}

func (s *status) arrays() []arrow.Array {
	var out []arrow.Array
	for _, b := range s.builders() {
		out = append(out, b.NewArray())
		b.Release()
	}
	return out
}
