package replay

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// catalogueEntry reads one drop as it is on the wire, with three comforts:
// times may be written as RFC 3339, and id, type, event_time (start_ms unless
// given) and ingest_time (event_time unless given) are filled in.
func (p *mappingParser) catalogueEntry(n ast.Node) {
	line := lineOf(n)
	before := len(p.list)
	p.onlyKnown(n, "a catalogue entry", reflect.TypeFor[event.Envelope](), reflect.TypeFor[event.Drop]())
	if len(p.list) > before {
		return
	}
	var entry map[string]any
	if err := yaml.NodeToValue(n, &entry); err != nil {
		p.at(line, "catalogue: %v", err)
		return
	}
	for _, key := range []string{"event_time", "ingest_time", "start_ms", "end_ms"} {
		text, ok := entry[key].(string)
		if !ok {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			p.at(line, "catalogue: %s must be a time like 2006-01-02T15:04:05Z", key)
			return
		}
		entry[key] = t.UnixMilli()
	}
	if _, ok := entry["event_time"]; !ok {
		entry["event_time"] = entry["start_ms"]
	}
	if _, ok := entry["ingest_time"]; !ok {
		entry["ingest_time"] = entry["event_time"]
	}
	entry["type"] = event.Catalogue.String()
	// The id needs the decoded time; until then any will do.
	entry["id"] = uuid.Max.String()
	text, err := json.Marshal(entry)
	if err != nil {
		p.at(line, "catalogue: %v", err)
		return
	}
	var drop event.Event
	if err := new(event.Decoder).Decode(event.KindDrop, text, &drop); err != nil {
		p.at(line, "catalogue: %s: %s", err.Field, err.Reason)
		return
	}
	if drop.DropID == "" {
		p.at(line, "catalogue: drop_id is missing")
		return
	}
	drop.ID = identity(p.mapping.name+"/catalogue", uint64(len(p.mapping.catalogue)+1), drop.EventTime)
	p.mapping.catalogue = append(p.mapping.catalogue, message(&drop))
}

// onlyKnown reports the keys of n, at any depth, that none of the structs has.
func (p *mappingParser) onlyKnown(n ast.Node, what string, types ...reflect.Type) {
	known := make(map[string]reflect.Type)
	for _, t := range types {
		for i := range t.NumField() {
			known[t.Field(i).Tag.Get("json")] = t.Field(i).Type
		}
	}
	for _, m := range p.members(n, what) {
		t, ok := known[m.key]
		if !ok {
			p.at(m.line, "%s has the unknown key %q; known: %s", what, m.key, knownKeys(known))
			continue
		}
		if t.Kind() == reflect.Slice {
			p.each(m.value, m.key, func(n ast.Node) { p.onlyKnown(n, "an entry of "+m.key, t.Elem()) })
		} else if t.Kind() != reflect.Array {
			p.text(m.value, m.key)
		}
	}
}
