package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/droplift/droplift"

// mayImport is who may import what of ours, in production code. A pattern ending
// in /* stands for the packages below it. The root package wires them all.
var mayImport = map[string][]string{
	".":                   {"*"},
	"ingest/event":        {},
	"ingest/event/gen":    {},
	"ingest/kafka":        {"ingest/event", "ingest/snapshot"}, // restores from them
	"ingest/snapshot":     {},
	"ingest/collector":    {"ingest/event"},
	"ingest/simulate":     {"ingest/event"},
	"ingest/replay":       {"ingest/event"},
	"processors":          {"ingest/event"},
	"processors/timeline": {"processors", "ingest/event"},
	"processors/wire":     {"processors"},
	"processors/*":        {"processors", "processors/wire", "ingest/event", "models/*"},
	"models/*":            {"models/*"},
	"sinks/clickhouse":    {"sql", "ingest/event"},
	"sinks/features":      {"models/*", "ingest/event"},
	"sinks/features/*":    {"models/*", "ingest/event", "sinks/features"},
	// It streams the same rows.
	"sinks/features/flight": {"models/*", "sinks/features/offline"},
	"sql":                   {},
	"dashboards":            {"sql"},
	"dashboards/*":          {"sql", "dashboards"},
	"dashboards/metrics":    {},
	"dashboards/viewer":     {"sql", "dashboards", "dashboards/metrics"},
	"deploy/embedded":       {},
	"deploy/embedded/*":     {"deploy/embedded"},
	"deploy/edge":           {"models/*"},
	"deploy/freeport":       {},
	"deploy/apachekafka":    {"deploy/freeport"},
	// Its tests are skipped or required the same way.
	"deploy/apachekafka/*": {"deploy/apachekafka", "deploy/embedded/embeddedtest"},
}

// onlyUsers names the one home of a library whose types must not spread.
var onlyUsers = map[string][]string{
	// The embedded broker settles with a client what a crash left open in it; Apache Kafka is asked whether it serves yet.
	"github.com/twmb/franz-go/pkg/kgo":          {"ingest/kafka", "deploy/embedded", "deploy/apachekafka"},
	"github.com/twmb/franz-go/pkg/kadm":         {"ingest/kafka"},
	"github.com/twmb/franz-go/pkg/kfake":        {"deploy/embedded"},
	"github.com/ClickHouse/clickhouse-go":       {"sinks/clickhouse"},
	"github.com/ebitengine/purego":              {"deploy/embedded"},
	"github.com/grafana/grafana-foundation-sdk": {"dashboards"},
	"github.com/prometheus/prometheus":          {"dashboards/metrics"},
	"gonum.org/v1/plot":                         {"dashboards/report"},
	"github.com/apache/arrow/go":                {"ingest/replay", "sinks/features", "sinks/features/*"},
}

// clockFree packages take time as an argument and leave goroutines to their caller.
var clockFree = []string{"processors", "models"}

func TestImports(t *testing.T) {
	fset := token.NewFileSet()
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); file != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "data" || name == "bin" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		seen[pkg] = true
		allowed, known := rule(pkg)
		if !known {
			t.Errorf("package %s is not in the import table: say there what it may import", pkg)
			return nil
		}
		parsed, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(target, module+"/"); ok && !matches(allowed, ours) {
				t.Errorf("%s imports %s; %s may import %v", file, ours, pkg, allowed)
			}
			for library, homes := range onlyUsers {
				if strings.HasPrefix(target, library) && !matches(homes, pkg) && !strings.HasPrefix(pkg, homes[0]+"/") {
					t.Errorf("%s imports %s, whose only users are %v", file, target, homes)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ingest/event", "ingest/kafka", "processors", "sinks/clickhouse"} {
		if !seen[want] {
			t.Errorf("package %s was not found: the walk is broken", want)
		}
	}
}

func TestProcessorsTakeTimeAsAnArgument(t *testing.T) {
	fset := token.NewFileSet()
	files := 0
	for _, root := range clockFree {
		filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return nil
			}
			files++
			parsed, err := parser.ParseFile(fset, file, nil, 0)
			if err != nil {
				t.Error(err)
				return nil
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s starts a goroutine; one goroutine owns a partition", fset.Position(n.Pos()))
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && readsClock[n.Sel.Name] {
						t.Errorf("%s reads the clock (time.%s); time is an argument", fset.Position(n.Pos()), n.Sel.Name)
					}
				}
				return true
			})
			return nil
		})
	}
	if files == 0 {
		t.Error("no file was checked: the walk is broken")
	}
}

var readsClock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTicker": true, "NewTimer": true,
}

// rule finds the most exact entry for a package.
func rule(pkg string) ([]string, bool) {
	if allowed, ok := mayImport[pkg]; ok {
		return allowed, true
	}
	patterns := make([]string, 0, len(mayImport))
	for pattern := range mayImport {
		patterns = append(patterns, pattern)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(patterns)))
	for _, pattern := range patterns {
		if parent, ok := strings.CutSuffix(pattern, "/*"); ok && path.Dir(pkg) == parent {
			return mayImport[pattern], true
		}
	}
	return nil, false
}

func matches(patterns []string, pkg string) bool {
	for _, pattern := range patterns {
		if pattern == "*" || pattern == pkg {
			return true
		}
		if parent, ok := strings.CutSuffix(pattern, "/*"); ok && strings.HasPrefix(pkg, parent+"/") {
			return true
		}
	}
	return false
}
