package replay

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/cockroachdb/apd/v3"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/droplift/droplift/ingest/event"
)

// Mapping says how the records of a file become events of one kind. It is
// read-only once parsed and may be shared by Readers.
type Mapping struct {
	name      string
	kind      event.Kind
	format    format
	pattern   *regexp.Regexp
	lookups   []lookup
	skip      []condition
	fields    []expression
	catalogue []event.Message
	targets   map[string]*target
	digest    [sha256.Size]byte
}

// format is the shape of the file.
type format struct {
	kind      string
	delimiter rune
	header    bool
	columns   []string
}

// Format types.
const (
	formatCSV     = "csv"
	formatFields  = "fields"
	formatMatrix  = "matrix"
	formatJSONL   = "jsonl"
	formatParquet = "parquet"
)

// lookup adds the column value, found in a second file under the row's column from.
type lookup struct {
	line      int
	file      string
	delimiter rune
	key       string
	from      string
	value     string
	fallback  string
	required  bool
}

// condition is true of rows that are left out.
type condition struct {
	line   int
	column string
	equals []string
	number *apd.Decimal
	sameAs string
	empty  bool
}

// expression fills one event field.
type expression struct {
	line   int
	target *target
	// parts are the template's; a single part is from (a column) or const (a literal).
	parts    []part
	fallback string
	values   map[string]string
	as       string
	clock    clock
	steps    steps
	// tolerance is in major units.
	tolerance *apd.Decimal
}

// part is literal text, or a column if column is not empty.
type part struct {
	literal string
	column  string
}

// Conversions.
const (
	asTime           = "time"
	asSteps          = "steps"
	asDecimalToMinor = "decimal-to-minor"
	asSecondsToMS    = "seconds-to-ms"
	asRound          = "round"
)

//go:embed mappings/*.yaml
var builtin embed.FS

// Builtins lists the names of the mappings that ship with the package.
func Builtins() []string {
	files, err := builtin.ReadDir("mappings")
	if err != nil {
		return nil
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(file.Name(), ".yaml")
	}
	return names
}

// Builtin returns a mapping that ships with the package.
func Builtin(name string) (*Mapping, error) {
	if !slices.Contains(Builtins(), name) {
		return nil, fmt.Errorf("replay: no mapping is called %q; there are %s, or give a file ending in .yaml", name, strings.Join(Builtins(), ", "))
	}
	text, err := builtin.ReadFile(path.Join("mappings", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return Parse(name+".yaml", text)
}

// Load reads a mapping from a file, or the built-in one of that name if it does not end in .yaml or .yml.
func Load(name string) (*Mapping, error) {
	if !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml") {
		return Builtin(name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return Parse(name, text)
}

// Parse reads a mapping; file is named in errors. The error joins every Problem, in line order.
func Parse(file string, text []byte) (*Mapping, error) {
	p := &mappingParser{
		problems: problems{mapping: file},
		mapping:  &Mapping{digest: sha256.Sum256(text)},
	}
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax):
		p.at(syntax.Token.Position.Line, "%s", syntax.Message)
	case err != nil:
		p.at(0, "%v", err)
	case len(tree.Docs) != 1 || tree.Docs[0].Body == nil:
		p.at(0, "a mapping is one YAML document")
	default:
		p.parse(tree.Docs[0].Body)
	}
	if errs := p.errs(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p.mapping, nil
}

// Name is the mapping's own name, the first part of every source name.
func (m *Mapping) Name() string { return m.name }

// Kind is the kind of the events that rows become.
func (m *Mapping) Kind() event.Kind { return m.kind }

// Catalogue returns the drop records that the mapping itself holds, to be
// produced before the first row: replays send the same records again.
func (m *Mapping) Catalogue() []event.Message { return slices.Clone(m.catalogue) }

type mappingParser struct {
	problems
	mapping *Mapping
}

func (p *mappingParser) parse(root ast.Node) {
	m := p.mapping
	// Expressions and the catalogue need to know the kind and the name, wherever those stand.
	var fields, catalogue ast.Node
	given := p.object(root, "the mapping", map[string]func(ast.Node){
		"name":         func(n ast.Node) { m.name = p.full(n, "name") },
		"kind":         p.kind,
		"format":       p.format,
		"file_pattern": p.filePattern,
		"lookups":      func(n ast.Node) { p.each(n, "lookups", p.lookup) },
		"skip_when":    func(n ast.Node) { p.each(n, "skip_when", p.condition) },
		"fields":       func(n ast.Node) { fields = n },
		"catalogue":    func(n ast.Node) { catalogue = n },
	})
	for _, key := range []string{"name", "kind", "format", "fields"} {
		if !given[key] {
			p.at(0, "%s is missing", key)
		}
	}
	if m.kind == event.KindUnknown {
		return
	}
	m.targets = targetsOf(m.kind)
	if fields != nil {
		p.fields(fields)
	}
	if catalogue != nil {
		p.each(catalogue, "catalogue", p.catalogueEntry)
	}
}

func (p *mappingParser) kind(n ast.Node) {
	name := p.text(n, "kind")
	known := make(map[string]event.Kind)
	for kind := range payloads {
		known[kind.Topic()] = kind
	}
	kind, ok := known[name]
	if !ok {
		p.at(lineOf(n), "kind %q is none of %s", name, knownKeys(known))
		return
	}
	p.mapping.kind = kind
}

func (p *mappingParser) format(n ast.Node) {
	f := format{header: true}
	headerLine, columnsLine, delimiterLine := 0, 0, 0
	p.object(n, "format", map[string]func(ast.Node){
		"type": func(n ast.Node) {
			f.kind = p.text(n, "type")
			known := []string{formatCSV, formatFields, formatMatrix, formatJSONL, formatParquet}
			if !slices.Contains(known, f.kind) {
				p.at(lineOf(n), "format type %q is none of %s", f.kind, strings.Join(known, ", "))
			}
		},
		"delimiter": func(n ast.Node) { f.delimiter, delimiterLine = p.delimiter(n), lineOf(n) },
		"header":    func(n ast.Node) { f.header, headerLine = p.flag(n, "header"), lineOf(n) },
		"columns":   func(n ast.Node) { f.columns, columnsLine = p.texts(n, "columns"), lineOf(n) },
	})
	table := f.kind == formatCSV || f.kind == formatFields
	switch {
	case f.kind == "":
		p.at(lineOf(n), "format has no type")
	case headerLine > 0 && !table:
		p.at(headerLine, "header is for csv and fields only")
	case columnsLine > 0 && (!table || f.header):
		p.at(columnsLine, "columns name the fields of csv and fields files that have header: false")
	}
	if delimiterLine > 0 && f.kind != formatCSV && f.kind != formatMatrix {
		p.at(delimiterLine, "delimiter is for csv and matrix only")
	}
	if f.kind == formatCSV && f.delimiter == 0 {
		f.delimiter = ','
	}
	p.mapping.format = f
}

func (p *mappingParser) delimiter(n ast.Node) rune {
	runes := []rune(p.text(n, "delimiter"))
	if len(runes) != 1 || strings.ContainsRune("\"\r\n\uFFFD", runes[0]) {
		p.at(lineOf(n), "delimiter must be one character, neither a quote nor a line end")
		return ','
	}
	return runes[0]
}

func (p *mappingParser) filePattern(n ast.Node) {
	re, err := regexp.Compile(p.text(n, "file_pattern"))
	if err != nil {
		p.at(lineOf(n), "file_pattern: %v", err)
		return
	}
	p.mapping.pattern = re
}

func (p *mappingParser) lookup(n ast.Node) {
	l := lookup{line: lineOf(n), delimiter: ','}
	p.object(n, "a lookup", map[string]func(ast.Node){
		"file":      func(n ast.Node) { l.file = p.text(n, "file") },
		"delimiter": func(n ast.Node) { l.delimiter = p.delimiter(n) },
		"key":       func(n ast.Node) { l.key = p.text(n, "key") },
		"from":      func(n ast.Node) { l.from = p.text(n, "from") },
		"value":     func(n ast.Node) { l.value = p.text(n, "value") },
		"default":   func(n ast.Node) { l.fallback = p.text(n, "default") },
		"required":  func(n ast.Node) { l.required = p.flag(n, "required") },
	})
	if l.from == "" {
		l.from = l.key
	}
	if l.file == "" || l.key == "" || l.value == "" {
		p.at(l.line, "a lookup needs file, key and value")
	}
	if l.required && l.fallback != "" {
		p.at(l.line, "a required lookup cannot have a default")
	}
	p.mapping.lookups = append(p.mapping.lookups, l)
}

func (p *mappingParser) condition(n ast.Node) {
	c := condition{line: lineOf(n)}
	tests := 0
	p.object(n, "a skip_when condition", map[string]func(ast.Node){
		"column":  func(n ast.Node) { c.column = p.text(n, "column") },
		"equals":  func(n ast.Node) { c.equals = p.texts(n, "equals"); tests++ },
		"same_as": func(n ast.Node) { c.sameAs = p.text(n, "same_as"); tests++ },
		"empty": func(n ast.Node) {
			if c.empty = p.flag(n, "empty"); !c.empty {
				p.at(lineOf(n), "empty can only be true")
			}
			tests++
		},
		"number": func(n ast.Node) {
			d, r := parseDecimal(p.text(n, "number"))
			if r != nil {
				p.at(lineOf(n), "number: %s", r.detail)
			}
			c.number = d
			tests++
		},
	})
	if c.column == "" || tests != 1 {
		p.at(c.line, "a skip_when condition needs column and one of equals, number, same_as, empty")
	}
	p.mapping.skip = append(p.mapping.skip, c)
}
