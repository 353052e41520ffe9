package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is committed must be what the definitions say.
func TestNoDrift(t *testing.T) {
	files, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what the definitions give: run go generate ./ingest/event", name)
		}
	}
	present, err := os.ReadDir(filepath.Join("..", schemaDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range present {
		if files[filepath.Join(schemaDir, entry.Name())] == nil {
			t.Errorf("schema %s is of no kind", entry.Name())
		}
	}
}

func TestGenerationIsRepeatable(t *testing.T) {
	dir := copyOf(t, "", "")
	var runs [2]map[string][]byte
	for i := range runs {
		if err := run(dir); err != nil {
			t.Fatal(err)
		}
		var err error
		if runs[i], err = generate(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, first := range runs[0] {
		written, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, runs[1][name]) || !bytes.Equal(first, written) {
			t.Errorf("%s differs between two runs", name)
		}
	}
}

func TestBadDefinitions(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`rule:"max=7"`, `rule:"maximum=7"`, `Envelope.Consent: unknown rule "maximum=7"`},
		{"\t// Reason says why a checkout failed or was refunded.\n", "", "Checkout.Reason has no comment"},
		{"Consent uint8", "Consent complex64", "Consent has a type without a codec: complex64"},
		{`json:"channel"`, `json:"region"`, `checkout has two fields "region"`},
		{"after=start_ms", "after=begin", "EndMS is to be after begin, which is no field"},
		{"Variants []Variant", "Variants []Share", "Share stands at both splits.shares. and experiments.variants."},
		{"KindDrop\n", "KindDrop\n\tKindOther\n", "KindOther has no struct"},
		{"type Drop struct {", "type Drop struct", "expected"},
	} {
		_, err := generate(copyOf(t, c.old, c.new))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: %v, want %q", c.new, c.old, err, c.want)
		}
	}
	if err := run(t.TempDir()); err == nil {
		t.Error("generated from an empty folder")
	}
}

// copyOf is a folder with the definitions, old replaced by new.
func copyOf(t *testing.T, old, new string) string {
	t.Helper()
	// Some generated files go beside the package's tree.
	dir := filepath.Join(t.TempDir(), "ingest", "event")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	found := old == ""
	for _, source := range sources {
		text, err := os.ReadFile(filepath.Join("..", source))
		if err != nil {
			t.Fatal(err)
		}
		found = found || strings.Contains(string(text), old)
		changed := text
		if old != "" {
			changed = []byte(strings.Replace(string(text), old, new, 1))
		}
		if err := os.WriteFile(filepath.Join(dir, source), changed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("no definition has %q", old)
	}
	return dir
}
