package replay

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

// checkArchive compares parts of an archive with what was got, in order, or rewrites them.
func checkArchive(t *testing.T, path string, archive *txtar.Archive, got []txtar.File) {
	t.Helper()
	want := make(map[string][]byte)
	given := archive.Files[:0:0]
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want ") {
			want[f.Name] = f.Data
			continue
		}
		given = append(given, f)
	}
	if *update {
		archive.Files = append(given, got...)
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, f := range got {
		expected, ok := want[f.Name]
		switch {
		case !ok:
			t.Errorf("%s has no part %q; got:\n%s", path, f.Name, f.Data)
		case !bytes.Equal(expected, f.Data):
			t.Errorf("%s: %s\n--- got\n%s--- want\n%s", path, f.Name, f.Data, expected)
		}
		delete(want, f.Name)
	}
	for name := range want {
		t.Errorf("%s has the part %q, which nothing yields", path, name)
	}
}

// inputOf finds the one part that is to be replayed and writes all parts to a folder.
func inputOf(t *testing.T, archive *txtar.Archive) (mapping *Mapping, input string) {
	t.Helper()
	dir := t.TempDir()
	for i, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want ") {
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0:
			var err error
			if mapping, err = Load(path); err != nil {
				t.Fatal(err)
			}
		case 1:
			input = path
		}
	}
	return mapping, input
}

// TestFiles replays the second part of each archive by its first: rows on the
// left, events and rejects as they are written on the right.
func TestFiles(t *testing.T) {
	for _, name := range []string{"csv", "fields", "matrix", "jsonl"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".txtar")
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m, input := inputOf(t, archive)
			rejectPath := filepath.Join(t.TempDir(), "rejects")
			var events bytes.Buffer
			stats := replayAll(t, Config{Mapping: m, Path: input, RejectPath: rejectPath}, func(item *Item) {
				fmt.Fprintf(&events, "%d line %d key %s %s\n", item.Number, item.Line, item.Message.Key, item.Message.Value)
			})
			rejects, err := os.ReadFile(rejectPath)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(rejects, []byte("\n")); int64(n) != stats.Rejected {
				t.Errorf("%d lines in the reject file, %d counted", n, stats.Rejected)
			}
			rejects = bytes.ReplaceAll(rejects, []byte(filepath.Dir(input)+"/"), nil)
			counts := fmt.Sprintf("%d records, %d events, %d skipped, %d rejected\nreasons %v\nunmatched %v\nresidues %d\n",
				stats.Records, stats.Events, stats.Skipped, stats.Rejected, stats.Reasons, stats.Unmatched, stats.Residues)
			checkArchive(t, path, archive, []txtar.File{
				{Name: "want events", Data: events.Bytes()},
				{Name: "want rejects", Data: rejects},
				{Name: "want counts", Data: []byte(counts)},
			})
		})
	}
}

// TestMappingErrors wants every problem of every mapping.
func TestMappingErrors(t *testing.T) {
	path := filepath.Join("testdata", "errors.txtar")
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []txtar.File
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want ") {
			continue
		}
		_, err := Parse(f.Name, f.Data)
		if err == nil {
			t.Fatalf("%s has nothing wrong", f.Name)
		}
		got = append(got, txtar.File{Name: "want " + f.Name, Data: []byte(err.Error() + "\n")})
		var problem *Problem
		if !errors.As(err, &problem) || problem.Mapping != f.Name {
			t.Errorf("%s: the error names no problem: %v", f.Name, err)
		}
	}
	checkArchive(t, path, archive, got)
}

// TestMissingColumns wants all columns that a file does not have, when it is opened.
func TestMissingColumns(t *testing.T) {
	dir := t.TempDir()
	m, err := Parse("shop.yaml", []byte(`name: shop
kind: latency
format: {type: csv}
skip_when:
  - {column: gone, same_as: twice}
fields:
  type: {const: edge_request}
  event_time: {from: when}
  request: {template: "{what}{9}"}
  ms: {from: ms}
  pop: {from: "@record"}
`))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.csv")
	if err := os.WriteFile(path, []byte("ms,twice,twice\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Mapping: m, Path: path})
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{`shop:5: no column "gone"`, `shop:5: column "twice" is there twice`, `shop:8: no column "when"`, `shop:9: no column "what"`, `shop:9: no column "9"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), `no column "ms"`) || strings.Contains(err.Error(), "@record\" in") {
		t.Errorf("a column that is there was reported:\n%v", err)
	}
}

func TestConfigProblems(t *testing.T) {
	_, err := Open(Config{RejectPath: "x", CheckpointPath: "x"})
	for _, want := range []string{"no mapping", "no file", "the same file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among: %v", want, err)
		}
	}
	if _, err := Load("nowhere"); err == nil || !strings.Contains(err.Error(), "cdnow, completejourney, seattle") {
		t.Errorf("an unknown mapping does not name the known ones: %v", err)
	}
}

// TestHelp keeps the reference complete: every key that a mapping may have is explained.
func TestHelp(t *testing.T) {
	_, err := Parse("x.yaml", []byte(`
x: 1
format: {x: 1}
lookups: [{x: 1}]
skip_when: [{x: 1}]
kind: player
fields: {type: {x: 1, as: x}}
`))
	if err == nil {
		t.Fatal("no problems")
	}
	keys := 0
	for _, problem := range strings.Split(err.Error(), "\n") {
		_, known, ok := strings.Cut(problem, "known: ")
		if !ok {
			if _, known, ok = strings.Cut(problem, "none of "); !ok {
				continue
			}
		}
		for _, key := range strings.Split(known, ", ") {
			keys++
			if !strings.Contains(Help, " "+key+" ") && !strings.Contains(Help, "\n"+key+" ") && !strings.Contains(Help, "\n"+key+"\n") {
				t.Errorf("Help does not explain %q", key)
			}
		}
	}
	if keys < 30 {
		t.Errorf("only %d keys were found in: %v", keys, err)
	}
}
