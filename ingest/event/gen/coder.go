package main

import (
	"fmt"
	"strings"
)

// coder writes the decoders and encoders.
//
// A decoder is one function per object with a labelled section per field.
// Behind each field it compares the input with the names that the encoder
// would write next, and jumps there; only when that fails it reads a name and
// looks it up. So input in the encoder's order costs one compare per field, and
// any other order costs a look-up.
type coder struct {
	*model
	*writer
	paths   map[string]string // of nested structs, their fields' prefix in errors
	pending []string
	err     error
}

// member is one field as an object's functions see it.
type member struct {
	*field
	class
	at  string // expression of the field
	bit int    // in seen, −1 when not required
}

func (c *coder) fail(format string, arguments ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, arguments...)
	}
}

func (c *coder) kind(k *kind) {
	own := lower(k.record.name)
	if !k.raw {
		c.p("// %s reads one %s record into v, which it resets first, as Decode does.", k.record.name, k.topic)
		if strings.Contains(c.types(k.fields), "[]byte") {
			c.p("// Byte slices are copied into the place of v's.")
		}
		c.p("func (d *Decoder) %s(data []byte, v *%s) *Error {", k.record.name, k.record.name)
		c.p("return d.end(data, d.%s(data, 0, v))\n}\n", own)
		c.p("// AppendJSON appends v as JSON, as Append does.")
		c.p("func (v *%s) AppendJSON(dst []byte) []byte { return append%s(dst, v) }\n", k.record.name, k.record.name)
		c.object(own, k.record.name, "", resetOf(k.record, "*v", defaults(k.record)), c.members(k.fields, func(*field) string { return "v." }), k)
		return
	}
	envelope := len(c.structs["Envelope"].fields)
	members := c.members(k.fields, func(f *field) string {
		for _, own := range k.fields[envelope:] {
			if own == f {
				return "v." + k.record.name + "."
			}
		}
		return "v."
	})
	c.object(own, "Event", "", "", members, k)
}

func (c *coder) types(fields []*field) string {
	text := ""
	for _, f := range fields {
		text += f.goType + " "
	}
	return text
}

func (c *coder) members(fields []*field, prefix func(*field) string) []*member {
	var members []*member
	bit := 0
	for _, f := range fields {
		m := &member{field: f, class: c.classOf(f), at: prefix(f) + f.goName, bit: -1}
		if m.form == formOther {
			c.fail("%s has a type without a codec: %s", f.goName, f.goType)
		}
		if f.required {
			m.bit = bit
			bit++
		}
		members = append(members, m)
	}
	return members
}

// nested writes the functions of a struct that stands in lists.
func (c *coder) nested(typeName string) {
	r := c.structs[typeName]
	c.p("func (d *Decoder) %sList(b []byte, i int, list []%s) ([]%s, int) {", lower(typeName), typeName, typeName)
	c.p("i, more := d.array(b, i)\nfor i >= 0 && more {")
	c.p("list = extend(list)")
	c.p("if i = d.%s(b, i, &list[len(list)-1]); i >= 0 {\ni, more = d.element(b, i)\n}\n}", lower(typeName))
	c.p("return list, i\n}\n")
	members := c.members(r.fields, func(*field) string { return "v." })
	c.object(lower(typeName), typeName, c.paths[typeName], resetOf(r, "*v", defaults(r)), members, nil)
}

// object writes the decoder and the encoder of one object.
func (c *coder) object(function, goType, path, reset string, members []*member, k *kind) {
	c.decoder(function, goType, path, reset, members, k)
	name := strings.ToUpper(function[:1]) + function[1:]
	c.p("func append%s(dst []byte, v *%s) []byte {\nstart := len(dst)", name, goType)
	for _, m := range members {
		c.encode(m)
	}
	c.p("return closeObject(dst, start)\n}\n")
}

func (c *coder) decoder(function, goType, path, reset string, members []*member, k *kind) {
	var required []string
	uses := map[form]bool{}
	for _, m := range members {
		uses[m.form] = true
		if m.required {
			required = append(required, fmt.Sprintf("%q", path+m.json))
		}
	}
	if len(required) > 0 {
		c.p("// %sRequired are the required fields, by their bit in seen.", function)
		c.p("var %sRequired = [...]string{%s}\n", function, strings.Join(required, ", "))
	}
	c.p("func (d *Decoder) %s(b []byte, i int, v *%s) int {", function, goType)
	if reset != "" {
		c.p("%s", reset)
	}
	c.p("var (\nname string\nj int\nmore bool")
	if len(required) > 0 {
		c.p("seen uint64")
	}
	for _, variable := range []struct {
		text  string
		forms []form
	}{
		{"s string", []form{formText, formType, formEnum}},
		{"n int64", []form{formInt}},
		{"u uint64", []form{formUint64}},
		{"f float64", []form{formFloat}},
		{"t bool", []form{formBool}},
	} {
		for _, form := range variable.forms {
			if uses[form] {
				c.p("%s", variable.text)
				break
			}
		}
	}
	c.p(")")
	c.predict("{", members[0])
	c.p("if i = d.open(b, i); i < 0 {\nreturn i\n}")
	c.p("name, j, more = d.first(b, i)\ngoto named")
	c.p("next:\nname, j, more = d.member(b, i)")
	c.p("named:\nif j < 0 {\nreturn j\n}\ni = j\nif !more {")
	if len(required) > 0 {
		c.p("if missing := ^seen & (1<<%d - 1); missing != 0 {", len(required))
		c.p("return d.stop(ReasonMissingField, %sRequired[bits.TrailingZeros64(missing)], i)\n}", function)
	}
	for _, m := range members {
		if m.after != "" {
			other := ""
			for _, o := range members {
				if o.json == m.after {
					other = o.at
				}
			}
			if other == "" {
				c.fail("%s is to be after %s, which is no field", m.goName, m.after)
			}
			c.p("if %s <= %s {\nreturn d.stop(ReasonDropTimes, %q, i)\n}", m.at, other, path+m.json)
		}
		if m.complete {
			c.p("if !complete(%s) {\nreturn d.stop(ReasonSplitShares, %q, i)\n}", m.at, path+m.json)
		}
	}
	c.p("return i\n}\nswitch name {")
	for _, m := range members {
		c.p("case %q: goto %s", m.json, m.goName)
	}
	c.p("}")
	c.p("d.UnknownFields++\nif i = d.skip(b, i, maxDepth); i < 0 {\nreturn i\n}\ngoto next")
	for at, m := range members {
		c.decode(m, path, k)
		// The encoder would write the next field, or, with that at its default, the next required one.
		for ahead, n := range members[at+1:] {
			if ahead == 0 || n.required {
				c.predict(",", n)
			}
			if n.required {
				break
			}
		}
		c.p("goto next\n")
	}
	c.p("}\n")
}

// predict jumps to m when its name is what the input goes on with.
func (c *coder) predict(before string, m *member) {
	name := fmt.Sprintf("%s%q:", before, m.json)
	c.p("if len(b)-i >= %d && string(b[i:i+%d]) == `%s` {\ni += %d\ngoto %s\n}", len(name), len(name), name, len(name), m.goName)
}

// decode writes a field's section: on entry its value is at i, at the end i is behind it.
func (c *coder) decode(m *member, path string, k *kind) {
	name := fmt.Sprintf("%q", path+m.json)
	c.p("%s:", m.goName)
	// read opens the branch of a value; the null branch before it puts the default back.
	read := func(result, call, zero string) {
		if result != "" {
			result += ", "
		}
		c.p("if %sj = %s; j < 0 {", result, call)
		c.p("if j = d.null(b, i, %s); j < 0 {\nreturn j\n}", name)
		if m.standard != "" {
			zero = m.standard
		}
		if zero != "" {
			c.p("%s = %s", m.at, zero)
		}
		if m.bit >= 0 {
			c.p("seen &^= 1 << %d", m.bit)
		}
		c.p("} else {")
	}
	refuse := func(condition, reason string) {
		c.p("if %s {\nreturn d.stop(%s, %s, i)\n}", condition, reason, name)
	}
	present := func(condition string) {
		switch {
		case m.bit < 0:
		case condition == "":
			c.p("seen |= 1 << %d", m.bit)
		default:
			c.p("if %s {\nseen |= 1 << %d\n} else {\nseen &^= 1 << %d\n}", condition, m.bit, m.bit)
		}
	}
	switch m.form {
	case formUUID:
		read("", fmt.Sprintf("d.uuid(b, i, (*[16]byte)(&%s))", m.at), "[16]byte{}")
		if m.required {
			present(fmt.Sprintf("%s != ([16]byte{})", m.at))
		}
	case formText:
		read("s", "d.text(b, i)", `""`)
		if m.currency {
			c.p("if s != \"\" {\nif _, ok := CurrencyDigits(s); !ok {\nreturn d.stop(ReasonUnknownCurrency, %s, i)\n}\n}", name)
		}
		c.p("%s = s", m.at)
		present(`s != ""`)
	case formType, formEnum:
		read("s", "d.text(b, i)", "0")
		if m.form == formType {
			if k == nil {
				c.fail("%s: a Type outside a kind", m.goName)
				return
			}
			c.p("%s = %sType(s)", m.at, lower(k.record.name))
			c.p("if %s == TypeUnknown && s != \"\" {\nreturn d.stop(ReasonUnknownType, %s, i)\n}", m.at, name)
		} else {
			known := "s != \"\" && "
			if !m.required {
				known = "" // an optional one is left out, not empty
			}
			c.p("var ok bool\nif %s, ok = %sOf(s); %s!ok {\nreturn d.stop(ReasonUnknownEnum, %s, i)\n}", m.at, m.element, known, name)
		}
		present(`s != ""`)
	case formInt:
		call := "d.integer(b, i)"
		if m.minor {
			call = "d.minor(b, i)"
		}
		read("n", call, "0")
		if bounds := between("n", m.class.min, m.class.max); bounds != "" {
			refuse(bounds, "ReasonOutOfRange")
		}
		if m.goType == "int64" {
			c.p("%s = n", m.at)
		} else {
			c.p("%s = %s(n)", m.at, m.goType)
		}
		present("")
	case formUint64:
		read("u", "d.unsigned(b, i)", "0")
		if bounds := between("u", m.field.min, m.field.max); bounds != "" {
			refuse(bounds, "ReasonOutOfRange")
		}
		c.p("%s = u", m.at)
		present("")
	case formFloat:
		read("f", "d.float(b, i)", "0")
		bounds := between("f", m.field.min, m.field.max)
		if m.above != "" {
			bounds = strings.TrimPrefix(bounds+" || f <= "+m.above, " || ")
		}
		if bounds != "" {
			refuse(bounds, "ReasonOutOfRange")
		}
		c.p("%s = f", m.at)
		present("")
	case formBool:
		read("t", "d.bool(b, i)", "false")
		c.p("%s = t", m.at)
		present("")
	case formFixed:
		read("", fmt.Sprintf("d.%ss(b, i, %s[:])", m.element, m.at), m.goType+"{}")
		present("")
	case formFloats:
		read(m.at, fmt.Sprintf("d.floatList(b, i, %s[:0])", m.at), m.at+"[:0]")
		present("")
	case formBytes:
		// The place is kept, and empty after a null.
		read(m.at, fmt.Sprintf("d.bytes(b, i, %s)", m.at), "")
		present("")
	case formStructs:
		if prefix := path + m.json + "."; c.paths[m.element] == "" {
			c.paths[m.element] = prefix
			c.pending = append(c.pending, m.element)
		} else if c.paths[m.element] != prefix {
			c.fail("%s stands at both %s and %s", m.element, c.paths[m.element], prefix)
		}
		read(m.at, fmt.Sprintf("d.%sList(b, i, %s[:0])", lower(m.element), m.at), m.at+"[:0]")
		present("")
	}
	c.p("}\ni = j")
}

// between is the condition that v is out of bounds.
func between(v, min, max string) string {
	var conditions []string
	if min != "" {
		conditions = append(conditions, v+" < "+min)
	}
	if max != "" {
		conditions = append(conditions, v+" > "+max)
	}
	return strings.Join(conditions, " || ")
}

// encode writes a field, behind a comma, unless it is optional and at its default.
func (c *coder) encode(m *member) {
	zero := map[form]string{formText: `""`, formBool: "false"}[m.form]
	switch m.form {
	case formBytes, formFloats, formStructs:
		zero = "len"
	case formUUID, formFixed:
		zero = "(" + m.goType + "{})" // parentheses: it stands in an if
	case formEnum, formType, formInt, formUint64, formFloat:
		zero = "0"
	}
	var conditions []string
	switch {
	case m.required:
	case zero == "len":
		conditions = []string{"len(" + m.at + ") > 0"}
	case m.form == formBool:
		conditions = []string{m.at}
	case m.standard != "":
		conditions = []string{m.at + " != " + m.standard}
		// A zero that decoding would refuse is a field nobody set: it is at its default, too.
		if m.above != "" || m.field.min != "" && m.field.min != "0" {
			conditions = append(conditions, m.at+" != 0")
		}
	default:
		conditions = []string{m.at + " != " + zero}
	}
	if len(conditions) > 0 {
		c.p("if %s {", strings.Join(conditions, " && "))
	}
	text := func(format string) {
		c.p("dst = append(dst, `,%q:`...)", m.json)
		c.p("dst = "+format, m.at)
	}
	switch m.form {
	case formUUID:
		text("appendUUID(dst, %s)")
	case formText:
		text("appendText(dst, %s)")
	case formType, formEnum:
		text("appendText(dst, %s.String())")
	case formInt:
		if m.goType == "int64" {
			text("strconv.AppendInt(dst, %s, 10)")
		} else {
			text("strconv.AppendInt(dst, int64(%s), 10)")
		}
	case formUint64:
		text("strconv.AppendUint(dst, %s, 10)")
	case formFloat:
		text("appendFloat(dst, %s)")
	case formBool:
		text("strconv.AppendBool(dst, %s)")
	case formBytes:
		text("appendBytes(dst, %s)")
	case formFloats:
		text("appendFloat64s(dst, %s)")
	case formFixed:
		text("append" + strings.ToUpper(m.element[:1]) + m.element[1:] + "s(dst, %s[:])")
	case formStructs:
		c.p("dst = append(dst, `,%q:[`...)", m.json)
		c.p("for i := range %s {\nif i > 0 {\ndst = append(dst, ',')\n}", m.at)
		c.p("dst = append%s(dst, &%s[i])\n}\ndst = append(dst, ']')", m.element, m.at)
	}
	if len(conditions) > 0 {
		c.p("}")
	}
}
