package replay

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

const parquetMapping = `name: lake
kind: checkout
format: {type: parquet}
skip_when:
  - {column: amount, empty: true}
fields:
  type: {const: completed}
  event_time: {from: at, as: time, layout: rfc3339}
  original_time: {from: day, as: time, layout: "2006-01-02"}
  player_id: {from: who}
  region: {from: country}
  synthetic: {from: probe}
  checkout_id: {template: "c-{@record}"}
  amount: {from: amount, as: decimal-to-minor}
  currency: {const: USD}
  quantity: {from: n}
  sample_rate: {from: rate}
`

// lake writes rows rows in groups of 700 with columns of every type that matters.
func lake(t *testing.T, rows int) []byte {
	t.Helper()
	country := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32},
		{Name: "who", Type: arrow.BinaryTypes.String},
		{Name: "country", Type: country, Nullable: true},
		{Name: "probe", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "amount", Type: &arrow.Decimal128Type{Precision: 20, Scale: 4}, Nullable: true},
		{Name: "n", Type: arrow.PrimitiveTypes.Int16},
		{Name: "rate", Type: arrow.PrimitiveTypes.Float32},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	start := time.Date(2024, 5, 1, 0, 0, 0, 1_500_000, time.UTC)
	for i := range rows {
		at, err := arrow.TimestampFromTime(start.Add(time.Duration(i)*time.Second), arrow.Microsecond)
		if err != nil {
			t.Fatal(err)
		}
		b.Field(0).(*array.TimestampBuilder).Append(at)
		b.Field(1).(*array.Date32Builder).Append(arrow.Date32FromTime(start))
		b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("p%d", i))
		if i%3 == 0 {
			b.Field(3).AppendNull()
		} else if err := b.Field(3).(*array.BinaryDictionaryBuilder).AppendString([]string{"DE", "FR"}[i%2]); err != nil {
			t.Fatal(err)
		}
		b.Field(4).(*array.BooleanBuilder).Append(i%2 == 0)
		switch {
		case i%10 == 9:
			b.Field(5).AppendNull()
		case i%10 == 8: // finer than a cent
			b.Field(5).(*array.Decimal128Builder).Append(decimal128.FromI64(int64(i)*10_000 + 1))
		default:
			b.Field(5).(*array.Decimal128Builder).Append(decimal128.FromI64(int64(i)*10_000 + 2500))
		}
		b.Field(6).(*array.Int16Builder).Append(int16(i % 100))
		b.Field(7).(*array.Float32Builder).Append(0.1)
	}
	record := b.NewRecord()
	defer record.Release()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out,
		parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(700), parquet.WithCompression(compress.Codecs.Snappy)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(record); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestParquet(t *testing.T) {
	const rows = 10_000
	path := write(t, "lake.parquet", lake(t, rows))
	rejectPath := write(t, "rejects", nil)
	next := 0
	stats := replayAll(t, Config{Mapping: parsed(t, parquetMapping), Path: path, RejectPath: rejectPath}, func(item *Item) {
		for next%10 >= 8 {
			next++
		}
		i := next
		next++
		ev := &item.Event
		region := map[bool]string{true: "", false: []string{"DE", "FR"}[i%2]}[i%3 == 0]
		want := fmt.Sprint(time.Date(2024, 5, 1, 0, 0, i, 1_000_000, time.UTC).UnixMilli(), 1714521600000,
			fmt.Sprintf("p%d", i), region, i%2 == 0, i*100+25, i%100, 0.1, i+1, i+1)
		got := fmt.Sprint(ev.EventTime, ev.Checkout.OriginalTime, ev.PlayerID, ev.Region, ev.Synthetic,
			ev.Checkout.Amount, ev.Checkout.Quantity, ev.SampleRate, item.Number, item.Line)
		if got != want {
			t.Fatalf("row %d: %s, not %s", i, got, want)
		}
	})
	if stats.Events != rows*8/10 || stats.Skipped != rows/10 || stats.Reasons["amount_precision"] != rows/10 {
		t.Errorf("%+v", stats)
	}
	rejects, err := os.ReadFile(rejectPath)
	if err != nil || !strings.Contains(string(rejects), `"line":9,"record":9,"column":"amount","field":"amount","reason":"amount_precision"`) ||
		!strings.Contains(string(rejects), `\"amount\":\"8.0001\"`) {
		t.Errorf("rejects begin with %.300s (%v)", rejects, err)
	}
}

// TestDamagedParquet damages a file in many places: it is refused, ends with an
// error, or reads on; it never panics and never ends silently before its rows do.
func TestDamagedParquet(t *testing.T) {
	whole := lake(t, 2_000)
	m := parsed(t, parquetMapping)
	refused := 0
	try := func(what string, content []byte) {
		r, err := Open(Config{Mapping: m, Path: write(t, "lake.parquet", content)})
		if err != nil {
			refused++
			return
		}
		var item Item
		for err == nil {
			err = r.Next(&item)
		}
		if s := r.Stats(); err.Error() == "EOF" && s.Records != 2_000 {
			t.Errorf("%s: ended after %d rows", what, s.Records)
		}
		if err.Error() != "EOF" {
			refused++
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for cut := 0; cut < len(whole); cut += len(whole)/40 + 1 {
		try(fmt.Sprintf("cut at %d", cut), whole[:cut])
	}
	if refused < 40 {
		t.Errorf("%d of 40 cut files were refused", refused)
	}
	for at := 0; at < len(whole); at += len(whole)/60 + 1 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0xa5
		try(fmt.Sprintf("byte %d damaged", at), damaged)
	}
}
