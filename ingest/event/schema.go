package event

import "embed"

//go:embed schemas/*.json
var schemas embed.FS

// Schema is the JSON Schema (draft 2020-12) of a kind's records, the caller's to
// keep; nil for KindUnknown. What it refuses, Decode refuses; Decode also
// refuses what a schema cannot say, such as shares that do not sum up.
func Schema(kind Kind) []byte {
	schema, err := schemas.ReadFile("schemas/" + kind.Topic() + ".json")
	if err != nil {
		return nil
	}
	return schema
}
