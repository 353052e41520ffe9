// Command gen reads the struct definitions of package event and writes its
// codec and its JSON Schemas. It runs in the package's folder: go generate.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		slog.Error("generate", "error", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

const schemaDir = "schemas"

// generate returns every generated file by its path below dir.
func generate(dir string) (map[string][]byte, error) {
	m, err := parse(dir)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", dir, err)
	}
	code, err := m.code()
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	files := map[string][]byte{"codec_gen.go": code}
	if err := m.features(files); err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	if err := m.pack(files); err != nil {
		return nil, fmt.Errorf("packed features: %w", err)
	}
	for _, k := range m.kinds {
		schema, err := m.schema(k)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", k.topic, err)
		}
		files[filepath.Join(schemaDir, k.topic+".json")] = schema
	}
	return files, nil
}
