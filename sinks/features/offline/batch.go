package offline

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// Row is one row of a file or stream. Times are Unix ms.
type Row struct {
	// At is the scoring time of a training row; nothing elsewhere.
	At int64
	// Created is when the features were known.
	Created  int64
	Features *event.Features
	// Churned is the label of a training row, nil while it is not known.
	Churned *bool
}

// Batch turns rows into Arrow records. One goroutine at a time.
type Batch struct {
	kind    Kind
	schema  *arrow.Schema
	builder *array.RecordBuilder
	// stored finds the stored features in event.Features exactly: amounts do not pass through float64.
	stored  []place
	elapsed []int // positions of the others in the vector
	set     *feature.Set
	vector  []float64
	rows    int
}

// place is a field of event.Features, or one window of it.
type place struct {
	field, window int
	nullable      bool
}

// places finds a set's stored features among the fields of event.Features, from which the set is generated.
func places(set *feature.Set) ([]place, error) {
	record := reflect.TypeFor[event.Features]()
	byName := map[string]place{}
	for i := range record.NumField() {
		tag, ok := record.Field(i).Tag.Lookup("feature")
		if !ok {
			continue
		}
		p := place{field: i, window: -1, nullable: strings.HasSuffix(tag, ";null")}
		name := record.Field(i).Tag.Get("json")
		if record.Field(i).Type.Kind() != reflect.Array {
			byName[name] = p
			continue
		}
		// A set lists the windows of a field one after the other.
		for _, f := range set.Features {
			if strings.HasPrefix(f.Name, name+"_") && p.window+1 < event.NumWindows {
				p.window++
				byName[f.Name] = p
			}
		}
	}
	var out []place
	for _, f := range set.Features {
		p, ok := byName[f.Name]
		switch {
		case f.Elapsed:
		case !ok || p.nullable != f.Nullable:
			return nil, fmt.Errorf("offline: set %s version %d has feature %s, which the records of this build do not have so", set.Name, set.Version, f.Name)
		default:
			out = append(out, p)
		}
	}
	return out, nil
}

// NewBatch makes a batch for schema, which Schema made of the same set and kind. It is an error for a set that is not
// the one of event.Features.
func NewBatch(set *feature.Set, kind Kind, schema *arrow.Schema) (*Batch, error) {
	stored, err := places(set)
	if err != nil {
		return nil, err
	}
	b := &Batch{kind: kind, schema: schema, stored: stored, set: set, builder: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
	for i, f := range set.Features {
		if f.Elapsed && kind == Training {
			b.elapsed = append(b.elapsed, i)
		}
	}
	return b, nil
}

// Schema of the records.
func (b *Batch) Schema() *arrow.Schema { return b.schema }

// Append adds a row. It is copied.
func (b *Batch) Append(r *Row) {
	f := r.Features
	column := 0
	text := func(s string) { b.builder.Field(column).(*array.StringBuilder).Append(s); column++ }
	moment := func(ms int64) {
		b.builder.Field(column).(*array.TimestampBuilder).Append(arrow.Timestamp(ms * 1000))
		column++
	}
	text(f.PlayerID)
	if b.kind == Training {
		moment(r.At)
		moment(r.Created)
		moment(f.AsOf)
	} else {
		moment(f.AsOf)
		moment(r.Created)
	}
	b.builder.Field(column).(*array.Uint64Builder).Append(f.Revision)
	column++
	moment(f.FirstActivity)
	moment(f.LastActivity)
	text(f.SpendCurrency)

	record := reflect.ValueOf(f).Elem()
	for _, p := range b.stored {
		value := record.Field(p.field)
		if p.window >= 0 {
			value = value.Index(p.window)
		}
		switch to := b.builder.Field(column).(type) {
		case *array.Uint32Builder:
			to.Append(uint32(value.Uint()))
		case *array.Int64Builder:
			to.Append(value.Int())
		case *array.Float64Builder:
			if v := value.Float(); p.nullable && v < 0 {
				to.AppendNull()
			} else {
				to.Append(v)
			}
		}
		column++
	}
	if b.kind == Training {
		b.vector = f.Vector(r.At, b.vector[:0])
		for _, i := range b.elapsed {
			to := b.builder.Field(column).(*array.Float64Builder)
			if v := b.vector[i]; math.IsNaN(v) {
				to.AppendNull()
			} else {
				to.Append(v)
			}
			column++
		}
		to := b.builder.Field(column).(*array.BooleanBuilder)
		if r.Churned == nil {
			to.AppendNull()
		} else {
			to.Append(*r.Churned)
		}
	}
	b.rows++
}

// Len is the number of rows since the last record.
func (b *Batch) Len() int { return b.rows }

// Record empties the batch into a record, which the caller releases.
func (b *Batch) Record() arrow.Record {
	b.rows = 0
	return b.builder.NewRecord()
}

// Release frees the memory.
func (b *Batch) Release() { b.builder.Release() }
