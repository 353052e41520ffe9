package simulate

import (
	"encoding/json"
	"fmt"
	"io"
)

// Truth is what an analysis of a run should find: the parameters, Effects among
// them, and the exact books.
type Truth struct {
	Scenario Scenario `json:"scenario"`
	Books    *Books   `json:"books"`
}

// Truth is complete once Next has returned false.
func (g *Generator) Truth() Truth { return Truth{Scenario: g.Scenario(), Books: g.Books()} }

// WriteTruth writes t as indented JSON.
func WriteTruth(w io.Writer, t Truth) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(t); err != nil {
		return fmt.Errorf("truth: %w", err)
	}
	return nil
}
