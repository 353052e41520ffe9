package replay

import (
	"fmt"
	"sort"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Problem is one thing wrong with a mapping.
type Problem struct {
	// Mapping is the file or the name of the mapping, Line its line from 1; 0 for the mapping as a whole.
	Mapping string
	Line    int
	Text    string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.Mapping + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.Mapping, p.Line, p.Text)
}

// problems collects everything wrong with one mapping.
type problems struct {
	mapping string
	list    []*Problem
}

func (p *problems) at(line int, format string, args ...any) {
	p.list = append(p.list, &Problem{Mapping: p.mapping, Line: line, Text: fmt.Sprintf(format, args...)})
}

// errs returns the problems by line.
func (p *problems) errs() []error {
	sort.SliceStable(p.list, func(i, j int) bool { return p.list[i].Line < p.list[j].Line })
	errs := make([]error, len(p.list))
	for i, problem := range p.list {
		errs[i] = problem
	}
	return errs
}

func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	// A block's own token is the first delimiter in it, which may be lines below its first key.
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// member is one key of an object.
type member struct {
	key   string
	line  int
	value ast.Node
}

// members returns an object's keys in file order, having reported doubled ones.
func (p *problems) members(n ast.Node, what string) []member {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		p.at(lineOf(n), "%s must be an object of keys and values", what)
		return nil
	}
	list := make([]member, 0, len(pairs))
	seen := make(map[string]bool, len(pairs))
	for _, pair := range pairs {
		key, ok := scalarText(pair.Key)
		line := lineOf(pair.Key)
		switch {
		case !ok:
			p.at(line, "%s has a key that is no plain text", what)
			continue
		case seen[key]:
			p.at(line, "%s has the key %q twice", what, key)
			continue
		}
		seen[key] = true
		list = append(list, member{key: key, line: line, value: pair.Value})
	}
	return list
}

// object hands each key of n to its function, reports the keys that have none,
// and returns the keys that were given.
func (p *problems) object(n ast.Node, what string, keys map[string]func(ast.Node)) map[string]bool {
	given := make(map[string]bool)
	for _, m := range p.members(n, what) {
		set, ok := keys[m.key]
		if !ok {
			p.at(m.line, "%s has the unknown key %q; known: %s", what, m.key, knownKeys(keys))
			continue
		}
		given[m.key] = true
		set(m.value)
	}
	return given
}

func knownKeys[V any](keys map[string]V) string {
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// scalarText is the text of a scalar as it was written: 007 stays 007.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func (p *problems) text(n ast.Node, what string) string {
	s, ok := scalarText(n)
	if !ok {
		p.at(lineOf(n), "%s must be one value", what)
	}
	return s
}

// full reads a value that may not be empty.
func (p *problems) full(n ast.Node, what string) string {
	s, ok := scalarText(n)
	if !ok || s == "" {
		p.at(lineOf(n), "%s must be one value, and not empty", what)
	}
	return s
}

func (p *problems) flag(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		p.at(lineOf(n), "%s must be true or false", what)
		return false
	}
	return b.Value
}

// texts reads one value or a list of them.
func (p *problems) texts(n ast.Node, what string) []string {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return []string{p.text(n, what)}
	}
	var out []string
	for _, v := range list.Values {
		out = append(out, p.text(v, what))
	}
	return out
}

// each calls f on every element of a list.
func (p *problems) each(n ast.Node, what string, f func(ast.Node)) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		p.at(lineOf(n), "%s must be a list", what)
		return
	}
	for _, v := range list.Values {
		f(v)
	}
}
