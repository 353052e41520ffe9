package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
)

// node is a JSON Schema, in the order in which people read one.
type node struct {
	Schema           string          `json:"$schema,omitempty"`
	ID               string          `json:"$id,omitempty"`
	Title            string          `json:"title,omitempty"`
	Description      string          `json:"description,omitempty"`
	Type             any             `json:"type,omitempty"`
	Enum             []*string       `json:"enum,omitempty"`
	Format           string          `json:"format,omitempty"`
	ContentEncoding  string          `json:"contentEncoding,omitempty"`
	Pattern          string          `json:"pattern,omitempty"`
	MinLength        int             `json:"minLength,omitempty"`
	MaxLength        int             `json:"maxLength,omitempty"`
	Minimum          json.Number     `json:"minimum,omitempty"`
	ExclusiveMinimum json.Number     `json:"exclusiveMinimum,omitempty"`
	Maximum          json.Number     `json:"maximum,omitempty"`
	MinItems         int64           `json:"minItems,omitempty"`
	MaxItems         int64           `json:"maxItems,omitempty"`
	Items            *node           `json:"items,omitempty"`
	Default          json.RawMessage `json:"default,omitempty"`
	Required         []string        `json:"required,omitempty"`
	Properties       properties      `json:"properties,omitempty"`
}

// properties keep the order of the definition.
type properties []property

type property struct {
	name   string
	schema *node
}

func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, property := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", property.name)
		if err := marshal(&b, property.schema); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func marshal(b *bytes.Buffer, n *node) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(n)
}

const (
	uuidPattern   = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
	base64Pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
)

// schema is the JSON Schema of a kind's records. Every field but a required one may be null, which means absent.
func (m *model) schema(k *kind) ([]byte, error) {
	names := map[string]string{}
	m.goToJSON(k.fields, names)
	n, err := m.object(k.record, k.fields, k, names)
	if err != nil {
		return nil, err
	}
	n.Schema = "https://json-schema.org/draft/2020-12/schema"
	n.ID = "urn:droplift:schema:" + k.topic
	n.Title = k.topic
	var compact, indented bytes.Buffer
	if err := marshal(&compact, n); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	return indented.Bytes(), nil
}

// goToJSON collects the names that descriptions are to use instead of Go's; outer fields win.
func (m *model) goToJSON(fields []*field, names map[string]string) {
	for _, f := range fields {
		if names[f.goName] == "" {
			names[f.goName] = f.json
		}
	}
	for _, f := range fields {
		if c := m.classOf(f); c.form == formStructs {
			m.goToJSON(m.structs[c.element].fields, names)
		}
	}
}

func (m *model) object(r *record, fields []*field, k *kind, names map[string]string) (*node, error) {
	outer := maps.Clone(names)
	delete(outer, r.name) // its comment means the record by it
	n := &node{Description: describe(r.doc, outer), Type: "object"}
	for _, f := range fields {
		schema, err := m.property(f, k, names)
		if err != nil {
			return nil, err
		}
		n.Properties = append(n.Properties, property{f.json, schema})
		if f.required {
			n.Required = append(n.Required, f.json)
		}
	}
	return n, nil
}

func (m *model) property(f *field, k *kind, names map[string]string) (*node, error) {
	n := &node{Description: describe(f.doc, names)}
	if f.standard != "" {
		n.Default = json.RawMessage(f.standard)
	}
	c := m.classOf(f)
	jsonType := "string"
	switch c.form {
	case formUUID:
		n.Format, n.Pattern = "uuid", uuidPattern
	case formText:
		length, err := m.length("MaxTextBytes")
		if err != nil {
			return nil, err
		}
		switch {
		case f.currency && f.required:
			n.Pattern = "^[A-Z]{3}$"
		case f.currency:
			n.Pattern = "^([A-Z]{3})?$"
		default:
			n.MaxLength = int(length)
		}
		if f.required && !f.currency {
			n.MinLength = 1
		}
	case formType:
		for _, v := range m.typesOf(k) {
			n.Enum = append(n.Enum, &v.wire)
		}
	case formEnum:
		for _, v := range m.enums[c.element].values {
			n.Enum = append(n.Enum, &v.wire)
		}
		if !f.required {
			n.Enum = append(n.Enum, nil)
		}
	case formInt, formUint64:
		jsonType = "integer"
		var err error
		if n.Minimum, n.Maximum, err = bounds(f.goType, f.rules); err != nil {
			return nil, err
		}
	case formFloat:
		jsonType = "number"
		n.Minimum, n.Maximum, n.ExclusiveMinimum = json.Number(f.min), json.Number(f.max), json.Number(f.above)
	case formBool:
		jsonType = "boolean"
	case formBytes:
		n.ContentEncoding, n.Pattern = "base64", base64Pattern
	case formFixed:
		jsonType = "array"
		length, err := m.length(f.goType)
		if err != nil {
			return nil, err
		}
		n.MinItems, n.MaxItems = length, length
		n.Items = &node{Type: "number"}
		if c.element != "float64" {
			n.Items.Type = "integer"
			if n.Items.Minimum, n.Items.Maximum, err = bounds(c.element, rules{}); err != nil {
				return nil, err
			}
		}
	case formFloats:
		jsonType = "array"
		n.Items = &node{Type: "number"}
	case formStructs:
		jsonType = "array"
		element := m.structs[c.element]
		var err error
		if n.Items, err = m.object(element, element.fields, k, names); err != nil {
			return nil, err
		}
	}
	n.Type = jsonType
	if !f.required {
		n.Type = []string{jsonType, "null"}
	}
	return n, nil
}

// bounds are those of the Go type, narrowed by the rules.
func bounds(goType string, r rules) (low, high json.Number, err error) {
	switch goType {
	case "int32":
		low, high = decimal(math.MinInt32), decimal(math.MaxInt32)
	case "int64":
		low, high = decimal(math.MinInt64), decimal(math.MaxInt64)
	case "uint8":
		low, high = "0", decimal(math.MaxUint8)
	case "uint16":
		low, high = "0", decimal(math.MaxUint16)
	case "uint32":
		low, high = "0", decimal(math.MaxUint32)
	case "uint64":
		low, high = "0", json.Number(strconv.FormatUint(math.MaxUint64, 10))
	default:
		return "", "", fmt.Errorf("no bounds for %s", goType)
	}
	if r.min != "" {
		low = json.Number(r.min)
	}
	if r.max != "" {
		high = json.Number(r.max)
	}
	return low, high, nil
}

func decimal(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// describe is a comment for readers who know the wire and no Go: in one line, with the fields' JSON names.
func describe(doc string, names map[string]string) string {
	var b strings.Builder
	for text := strings.Join(strings.Fields(doc), " "); text != ""; {
		end := strings.IndexFunc(text, notWord)
		if end < 0 {
			end = len(text)
		}
		if name := names[text[:end]]; name != "" {
			fmt.Fprintf(&b, "`%s`", name)
		} else {
			b.WriteString(text[:end])
		}
		text = text[end:]
		start := strings.IndexFunc(text, func(r rune) bool { return !notWord(r) })
		if start < 0 {
			start = len(text)
		}
		b.WriteString(text[:start])
		text = text[start:]
	}
	return b.String()
}
