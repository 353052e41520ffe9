package event

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T, kind Kind) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema(kind)))
	if err != nil {
		t.Fatalf("%v: %v", kind, err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.AssertContent()
	if err := compiler.AddResource(kind.String(), document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(kind.String())
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaOfNoKind(t *testing.T) {
	if schema := Schema(KindUnknown); schema != nil {
		t.Errorf("got %s", schema)
	}
}

func TestSchemaAcceptsWhatIsWritten(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			schema, r := compileSchema(t, kind), newRand(t)
			for range rounds / 4 {
				record := newDestination(kind)
				fill(r, record)
				data := record.append(nil)
				if err := validate(schema, data); err != nil {
					t.Fatalf("%v in %s", err, data)
				}
			}
		})
	}
}

func validate(schema *jsonschema.Schema, data []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// What a schema refuses, decoding refuses; and what decoding refuses for a reason that a schema can
// see, the schema refuses. Records are valid ones with a few values replaced.
func TestSchemaAndDecoderAgree(t *testing.T) {
	common := []Reason{ReasonWrongType, ReasonMissingField, ReasonUnknownType, ReasonUnknownEnum, ReasonOutOfRange, ReasonBadID}
	visible := append(common, ReasonAmountPrecision)
	seen := map[Reason]int{}
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			schema, r := compileSchema(t, kind), newRand(t)
			var d Decoder
			for range rounds {
				record, got := newDestination(kind), newDestination(kind)
				fill(r, record)
				var v map[string]any
				decoder := json.NewDecoder(bytes.NewReader(record.append(nil)))
				decoder.UseNumber()
				if err := decoder.Decode(&v); err != nil {
					t.Fatal(err)
				}
				for range 1 + r.IntN(2) {
					mutate(r, v)
				}
				data, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				bySchema, byDecoder := validate(schema, data), got.decode(&d, data)
				if bySchema != nil && byDecoder == nil {
					t.Fatalf("decoded, but the schema says %v: %s", bySchema, data)
				}
				if byDecoder != nil {
					seen[byDecoder.Reason]++
					if bySchema == nil && slices.Contains(visible, byDecoder.Reason) {
						t.Fatalf("valid by the schema, but decoding says %v: %s", byDecoder, data)
					}
				} else {
					seen[ReasonNone]++
				}
			}
		})
	}
	for _, reason := range append(common, ReasonNone) {
		if seen[reason] == 0 {
			t.Errorf("no record was refused as %q: the test does not cover it", reason)
		}
	}
}

// mutate replaces or removes one member somewhere in v.
func mutate(r *rand.Rand, v map[string]any) {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	name := names[r.IntN(len(names))]
	if list, ok := v[name].([]any); ok && len(list) > 0 && r.IntN(4) > 0 {
		i := r.IntN(len(list))
		if element, ok := list[i].(map[string]any); ok && r.IntN(4) > 0 {
			mutate(r, element)
			return
		}
		if r.IntN(3) == 0 {
			v[name] = append(list, list[i])
			return
		}
		list[i] = anyValue(r)
		return
	}
	if r.IntN(5) == 0 {
		delete(v, name)
		return
	}
	v[name] = anyValue(r)
}

func anyValue(r *rand.Rand) any {
	values := []any{nil, true, "", "x", "USD", "XXX", "final", "landing", "hit", strings.Repeat("x", MaxTextBytes+1), "01979a6e-5b1c-7d40-9a3f-2c61f0b7e8dg",
		"QUI=", "QUJ=", "QUJ", map[string]any{}, []any{}, []any{1, 2, 3, 4}, []any{map[string]any{"bps": 1}}}
	for _, number := range []string{"0", "-0", "1", "-1", "7", "8", "0.5", "1.5", "10000", "10001", "3600001", "600001", "65536", "2147483648", "4294967295",
		"4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615",
		"18446744073709551616", "1e3", "1e30", "-1.0", "12.50e1"} {
		values = append(values, json.Number(number))
	}
	return values[r.IntN(len(values))]
}
