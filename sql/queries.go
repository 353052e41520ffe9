package sql

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Query is one named query: its text and what its leading comment declares.
type Query struct {
	// Name is the file's name without extension.
	Name string
	// Purpose, Grain, Units and Maturity say what the answer means: what it is for, what
	// one row is, in which units, and whether its numbers can still change.
	Purpose, Grain, Units, Maturity string
	// Topic groups queries in lists: money, conversion, and so on; by the name's prefix where none is declared.
	Topic  string
	Params []Param
	// SQL is the statement without its leading comment. Parameters stand as {name:Type}.
	SQL string
}

// Param is one parameter of a query.
type Param struct {
	Name string
	// Type is the ClickHouse type.
	Type string
	// Default is the text of the value when none is given; Required says that there is none.
	Default  string
	Required bool
	Doc      string
}

// ErrUnknownQuery is what Query returns for a name that no query has.
var ErrUnknownQuery = errors.New("unknown query")

// Lookup returns the query called name.
func Lookup(name string) (Query, error) { return lookupIn(files, name) }

func lookupIn(files fs.FS, name string) (Query, error) {
	text, err := fs.ReadFile(files, "queries/"+name+".sql")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return Query{}, fmt.Errorf("%w %q", ErrUnknownQuery, name)
	}
	if err != nil {
		return Query{}, err
	}
	q, err := parseQuery(name, string(text))
	if err != nil {
		return Query{}, fmt.Errorf("queries/%s.sql: %w", name, err)
	}
	return q, nil
}

// Queries returns every query in order of name. The error, if any, is a defect
// of the build.
func Queries() ([]Query, error) {
	entries, err := fs.ReadDir(files, "queries")
	if err != nil {
		return nil, err
	}
	var queries []Query
	for _, entry := range entries {
		q, err := Lookup(strings.TrimSuffix(entry.Name(), ".sql"))
		if err != nil {
			return nil, err
		}
		queries = append(queries, q)
	}
	return queries, nil
}

var (
	paramLine   = regexp.MustCompile(`^([a-z][a-z0-9_]*) (\S+?)(?: = (\S*))?: (.+)$`)
	placeholder = regexp.MustCompile(`\{([a-z][a-z0-9_]*):([^{}]+)\}`)
)

// parseQuery reads the leading comment and holds the declared parameters
// against the placeholders in the text: neither may have one that the other lacks.
func parseQuery(name, text string) (Query, error) {
	q := Query{Name: name}
	rest := text
	for strings.HasPrefix(rest, "-- ") {
		var comment string
		comment, rest, _ = strings.Cut(rest[len("-- "):], "\n")
		if declaration, ok := strings.CutPrefix(comment, "param "); ok {
			match := paramLine.FindStringSubmatch(declaration)
			if match == nil {
				return Query{}, fmt.Errorf("%q: a parameter is declared as: param name Type [= default]: meaning", comment)
			}
			q.Params = append(q.Params, Param{
				Name: match[1], Type: match[2], Default: match[3], Doc: match[4],
				Required: !strings.Contains(declaration[:len(declaration)-len(match[4])], " = "),
			})
			continue
		}
		key, value, _ := strings.Cut(comment, ": ")
		switch key {
		case "topic":
			q.Topic = value
		case "purpose":
			q.Purpose = value
		case "grain":
			q.Grain = value
		case "units":
			q.Units = value
		case "maturity":
			q.Maturity = value
		default:
			return Query{}, fmt.Errorf("%q: expected topic, purpose, grain, units, maturity or param", comment)
		}
	}
	q.SQL = strings.TrimSpace(rest)
	if q.Topic == "" {
		q.Topic, _, _ = strings.Cut(name, "_")
	}

	var problems []error
	for _, required := range []struct{ key, value string }{
		{"purpose", q.Purpose}, {"grain", q.Grain}, {"units", q.Units}, {"maturity", q.Maturity}, {"statement", q.SQL},
	} {
		if required.value == "" {
			problems = append(problems, fmt.Errorf("no %s", required.key))
		}
	}
	used := map[string]bool{}
	for _, match := range placeholder.FindAllStringSubmatch(q.SQL, -1) {
		used[match[1]] = true
		i := slices.IndexFunc(q.Params, func(p Param) bool { return p.Name == match[1] })
		switch {
		case i < 0:
			problems = append(problems, fmt.Errorf("parameter %s is not declared", match[1]))
		case q.Params[i].Type != match[2]:
			problems = append(problems, fmt.Errorf("parameter %s is declared as %s and used as %s", match[1], q.Params[i].Type, match[2]))
		}
	}
	for _, p := range q.Params {
		if !used[p.Name] {
			problems = append(problems, fmt.Errorf("parameter %s is declared but not used", p.Name))
		}
	}
	return q, errors.Join(problems...)
}
