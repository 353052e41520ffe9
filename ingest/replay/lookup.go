package replay

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// matches is a lookup's file, loaded: key to value.
type matches struct {
	lookup
	values map[string]string
	// sum is the fingerprint of the file.
	sum string
	// from is the index of the row's column.
	from int
}

// load reads the lookup's file, which stands beside the replayed file unless its path is absolute.
func (l *lookup) load(beside string) (*matches, error) {
	path := l.file
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(beside), path)
	}
	m := &matches{lookup: *l, values: make(map[string]string)}
	if err := m.read(path); err != nil {
		return nil, fmt.Errorf("lookup %s: %w", path, err)
	}
	return m, nil
}

func (m *matches) read(path string) (err error) {
	if m.sum, err = fingerprint(path); err != nil {
		return err
	}
	in, err := openInput(path)
	if err != nil {
		return err
	}
	defer in.file.Close()
	text, _, err := decompress(in)
	if err != nil {
		return err
	}
	physical, err := newLines(text)
	if err != nil {
		return err
	}
	rows, err := newTable(&format{kind: formatCSV, delimiter: m.delimiter, header: true}, physical)
	if err != nil {
		return err
	}
	key, value := slices.Index(rows.columns(), m.key), slices.Index(rows.columns(), m.value)
	if key < 0 || value < 0 {
		return fmt.Errorf("the header has no %s or no %s: %s", m.key, m.value, strings.Join(rows.columns(), ", "))
	}
	var r row
	for {
		err := rows.next(&r)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if r.problem != nil { // a join against half a table would be wrong without a trace
			return fmt.Errorf("line %d: %s", r.line, r.problem.detail)
		}
		k, v := strings.TrimSpace(r.values[key]), strings.TrimSpace(r.values[value])
		if old, ok := m.values[k]; ok && old != v {
			return fmt.Errorf("line %d: key %q has the values %q and %q", r.line, k, old, v)
		}
		m.values[k] = v
	}
}
