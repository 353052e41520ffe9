//go:build !wasm

package scoring

import (
	"encoding/json"
	"fmt"
)

// Seal sets format and checksum and returns the file's bytes. It refuses what Open would.
func Seal(a *Artefact, set Features) ([]byte, error) {
	a.Format, a.Checksum = Format, ""
	body, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("scoring: seal %s %s: %w", a.Name, a.Version, err)
	}
	a.Checksum = checksum(body)
	file, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("scoring: seal %s %s: %w", a.Name, a.Version, err)
	}
	if _, err := Open(file, set); err != nil {
		return nil, err
	}
	return file, nil
}
