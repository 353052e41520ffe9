package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pascaldekloe/name"
)

// sources hold the definitions.
var sources = []string{
	"event.go", "derived.go", "readout.go", "inventory.go", "attribution.go", "localization.go", "ledger.go", "edgecost.go", "experiment.go", "score.go", "model.go", "reason.go",
}

// model is what the definitions say.
type model struct {
	structs map[string]*record
	enums   map[string]*enum
	kinds   []*kind
	consts  *types.Scope
}

// record is one struct.
type record struct {
	name   string
	doc    string
	fields []*field
}

// field is one field of a record.
type field struct {
	goName string
	json   string
	doc    string
	goType string // as written: "[]Split", "[NumWindows]uint32"
	// unit of a feature; empty for fields that are none. nullable ones may be missing, and are −1 then.
	unit     string
	nullable bool
	rules
}

// rules are the items of a field's rule tag.
type rules struct {
	required bool
	in       []string // required in these kinds only
	min, max string
	above    string
	standard string // the default
	currency bool
	minor    bool
	complete bool
	after    string
}

// enum is a named integer type with its values. A zero value that means
// "unknown" or "none" is left out: it has no name on the wire.
type enum struct {
	name   string
	values []value
}

type value struct {
	goName string
	wire   string
	kind   string // of a Type, the kind it belongs to
}

// kind is one kind of records.
type kind struct {
	goName string // KindPlayer
	topic  string
	raw    bool
	record *record // the payload of a raw kind, the whole of a derived one
	fields []*field
}

func parse(dir string) (*model, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, source := range sources {
		file, err := parser.ParseFile(fset, filepath.Join(dir, source), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// Only constants are wanted of the type checker: what it cannot import does not matter.
	config := types.Config{Error: func(error) {}}
	pkg, _ := config.Check("event", fset, files, nil)
	m := &model{structs: map[string]*record{}, enums: map[string]*enum{}, consts: pkg.Scope()}
	var errs []error
	for _, file := range files {
		for _, decl := range file.Decls {
			if decl, ok := decl.(*ast.GenDecl); ok {
				errs = append(errs, m.declare(decl))
			}
		}
	}
	errs = append(errs, m.link())
	return m, errors.Join(errs...)
}

func (m *model) declare(decl *ast.GenDecl) error {
	var errs []error
	kind := ""
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil {
				doc = decl.Doc
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				r, err := parseRecord(spec.Name.Name, doc.Text(), s)
				m.structs[r.name] = r
				errs = append(errs, err)
			}
		case *ast.ValueSpec:
			if decl.Tok != token.CONST {
				continue
			}
			if spec.Doc != nil {
				for _, c := range spec.Doc.List {
					if k, ok := strings.CutPrefix(c.Text, "//event:kind "); ok {
						kind = k
					}
				}
			}
			for _, ident := range spec.Names {
				m.declareValue(ident.Name, kind)
			}
		}
	}
	return errors.Join(errs...)
}

// declareValue adds a constant to its enumeration, if it has one.
func (m *model) declareValue(goName, kind string) {
	c, ok := m.consts.Lookup(goName).(*types.Const)
	if !ok {
		return
	}
	named, ok := c.Type().(*types.Named)
	if !ok {
		return
	}
	typeName := named.Obj().Name()
	e := m.enums[typeName]
	if e == nil {
		e = &enum{name: typeName}
		m.enums[typeName] = e
	}
	// The wire name is the constant's, less what Go needs to keep constants apart.
	stem := goName
	for _, prefix := range []string{typeName, strings.TrimSuffix(typeName, "Status"), name.CamelCase(kind, true)} {
		if cut, ok := strings.CutPrefix(stem, prefix); ok && cut != "" {
			stem = cut
		}
	}
	v := value{goName: goName, wire: strings.ToLower(name.SnakeCase(stem)), kind: kind}
	n, _ := constant.Int64Val(c.Val())
	if n == 0 && (strings.HasSuffix(goName, "Unknown") || strings.HasSuffix(goName, "None")) {
		return
	}
	e.values = append(e.values, v)
}

func parseRecord(typeName, doc string, s *ast.StructType) (*record, error) {
	r := &record{name: typeName, doc: strings.TrimSpace(doc)}
	var errs []error
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue // Event, Error and Record are no records of their own
		}
		text, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			return r, err
		}
		tag := reflect.StructTag(text)
		parsed := &field{goName: f.Names[0].Name, json: tag.Get("json"), doc: strings.TrimSpace(f.Doc.Text()), goType: types.ExprString(f.Type)}
		parsed.unit, parsed.nullable = strings.CutSuffix(tag.Get("feature"), ";null")
		if parsed.rules, err = parseRules(tag.Get("rule")); err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %w", typeName, parsed.goName, err))
		}
		r.fields = append(r.fields, parsed)
	}
	// One comment may tell of the fields that follow it, too.
	for i, f := range r.fields[min(1, len(r.fields)):] {
		if before := r.fields[i]; f.doc == "" && mentions(before.doc, f.goName) {
			f.doc = before.doc
		}
	}
	for _, f := range r.fields {
		if f.doc == "" {
			errs = append(errs, fmt.Errorf("%s.%s has no comment to describe it in the schema", typeName, f.goName))
		}
	}
	return r, errors.Join(errs...)
}

func parseRules(tag string) (r rules, err error) {
	for item := range strings.SplitSeq(tag, ";") {
		rule, argument, _ := strings.Cut(item, "=")
		switch rule {
		case "":
		case "required":
			r.required = argument == ""
			if !r.required {
				r.in = strings.Split(argument, ",")
			}
		case "min":
			r.min = argument
		case "max":
			r.max = argument
		case "above":
			r.above = argument
		case "default":
			r.standard = argument
		case "currency":
			r.currency = true
		case "minor":
			r.minor = true
		case "complete":
			r.complete = true
		case "after":
			r.after = argument
		default:
			err = errors.Join(err, fmt.Errorf("unknown rule %q", item))
		}
	}
	return r, err
}

// link puts the kinds together from the parts.
func (m *model) link() error {
	kinds := m.enums["Kind"]
	if kinds == nil {
		return errors.New("no Kind")
	}
	delete(m.enums, "Kind")
	var errs []error
	for _, v := range kinds.values {
		k := &kind{goName: v.goName, topic: strings.ReplaceAll(v.wire, "_", "-"), record: m.structs[strings.TrimPrefix(v.goName, "Kind")]}
		if k.record == nil {
			return fmt.Errorf("%s has no struct", v.goName)
		}
		k.raw = slices.ContainsFunc(m.enums["Type"].values, func(t value) bool { return t.kind == k.topic })
		if k.raw {
			for _, f := range m.structs["Envelope"].fields {
				f := *f
				f.required = f.required || slices.Contains(f.in, k.topic)
				k.fields = append(k.fields, &f)
			}
		}
		k.fields = append(k.fields, k.record.fields...)
		seen := map[string]bool{}
		for _, f := range k.fields {
			if seen[f.json] {
				errs = append(errs, fmt.Errorf("%s has two fields %q", k.topic, f.json))
			}
			seen[f.json] = true
		}
		m.kinds = append(m.kinds, k)
	}
	return errors.Join(errs...)
}

// length is the value of a fixed array's length: a constant of the package.
func (m *model) length(goType string) (int64, error) {
	ident, _, _ := strings.Cut(strings.TrimPrefix(goType, "["), "]")
	c, ok := m.consts.Lookup(ident).(*types.Const)
	if !ok {
		return 0, fmt.Errorf("length %s is no constant", ident)
	}
	n, _ := constant.Int64Val(c.Val())
	return n, nil
}

func mentions(doc, word string) bool {
	return slices.Contains(strings.FieldsFunc(doc, notWord), word)
}

func notWord(r rune) bool {
	return !(r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
}
