package offline

import (
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/droplift/droplift/models/feature"
)

// Kind is what rows are about.
type Kind uint8

const (
	// History rows are revisions: event_timestamp is their as_of.
	History Kind = iota
	// Training rows are players at a scoring time: event_timestamp is t0, as_of a column of its own; the features that
	// depend on t0 follow the stored ones, and the label follows them.
	Training
)

// Columns that every schema has beside the set's key and features.
const (
	EventTimestamp   = "event_timestamp"
	CreatedTimestamp = "created_timestamp"
	AsOf             = "as_of"
	Churned          = "churned"
)

// Keys of a schema's metadata.
const (
	MetaSet      = "droplift.feature_set"
	MetaVersion  = "droplift.feature_version"
	MetaHash     = "droplift.feature_hash"
	MetaKnowable = "droplift.knowable"
)

// Microseconds is the type of times: timestamp[us, UTC].
var Microseconds = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// Schema is the Arrow schema of a feature set: the key, the times, what a revision says of itself, the features in the set's
// order, each with unit and meaning. Its metadata names set, version and hash, and what about adds.
func Schema(set *feature.Set, kind Kind, about map[string]string) *arrow.Schema {
	fields := []arrow.Field{
		{Name: set.Key, Type: arrow.BinaryTypes.String, Metadata: says("", "Pseudonym.")},
	}
	if kind == Training {
		fields = append(fields,
			arrow.Field{Name: EventTimestamp, Type: Microseconds, Metadata: says("", "Scoring time t0.")},
			arrow.Field{Name: CreatedTimestamp, Type: Microseconds, Metadata: says("", "When the features were known, not after t0.")},
			arrow.Field{Name: AsOf, Type: Microseconds, Metadata: says("", "Event time of the features, not after t0.")})
	} else {
		fields = append(fields,
			arrow.Field{Name: EventTimestamp, Type: Microseconds, Metadata: says("", "Event time of the features: of the player's newest event, and 1 ms.")},
			arrow.Field{Name: CreatedTimestamp, Type: Microseconds, Metadata: says("", "When the features could be known.")})
	}
	fields = append(fields,
		arrow.Field{Name: "revision", Type: arrow.PrimitiveTypes.Uint64, Metadata: says("", "Grows with every publication for the player.")},
		arrow.Field{Name: "first_activity", Type: Microseconds, Metadata: says("", "Event time of the first activity; tenure counts from it.")},
		arrow.Field{Name: "last_activity", Type: Microseconds, Metadata: says("", "Event time of the last activity; recency counts from it.")},
		arrow.Field{Name: "spend_currency", Type: arrow.BinaryTypes.String, Metadata: says("", "ISO 4217 code of net_spend; empty before the first purchase.")},
	)
	for _, f := range set.Features {
		if f.Elapsed && kind != Training {
			continue
		}
		fields = append(fields, arrow.Field{Name: f.Name, Type: columnType(f.Type), Nullable: f.Nullable, Metadata: says(f.Unit, f.Doc)})
	}
	if kind == Training {
		fields = append(fields, arrow.Field{Name: Churned, Type: arrow.FixedWidthTypes.Boolean, Nullable: true, Metadata: says("", "The label; null while it is not known.")})
	}
	meta := map[string]string{MetaSet: set.Name, MetaVersion: strconv.Itoa(set.Version), MetaHash: set.Hash()}
	maps.Copy(meta, about)
	keys := slices.Sorted(maps.Keys(meta))
	values := make([]string, len(keys))
	for i, k := range keys {
		values[i] = meta[k]
	}
	metadata := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(fields, &metadata)
}

func columnType(t feature.Type) arrow.DataType {
	switch t {
	case feature.Count:
		return arrow.PrimitiveTypes.Uint32
	case feature.Amount:
		return arrow.PrimitiveTypes.Int64
	default:
		return arrow.PrimitiveTypes.Float64
	}
}

func says(unit, doc string) arrow.Metadata {
	if unit == "" {
		return arrow.NewMetadata([]string{"doc"}, []string{doc})
	}
	return arrow.NewMetadata([]string{"doc", "unit"}, []string{doc, unit})
}
