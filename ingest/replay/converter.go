package replay

import (
	"errors"
	"fmt"
	"slices"
)

// Converter applies a mapping to records that come one at a time, each as one JSON object. One goroutine owns it.
type Converter struct {
	reader Reader
	lines  *jsonLines
}

// ErrSkipped is what Convert returns for a record that the mapping leaves out.
var ErrSkipped = errors.New("replay: the mapping's skip_when leaves the record out")

// RefusedError says why a record cannot become an event.
type RefusedError struct {
	// Field of the event; empty where the record as a whole is at fault.
	Field string
	// Reason is of the closed list in Help, Detail says more.
	Reason, Detail string
}

func (e *RefusedError) Error() string {
	if e.Field == "" {
		return e.Reason + ": " + e.Detail
	}
	return e.Reason + " of " + e.Field + ": " + e.Detail
}

// NewConverter binds a mapping of JSON lines. Lookups are beside the file path, which is the mapping's own as a rule.
func NewConverter(mapping *Mapping, path string) (*Converter, error) {
	if mapping.format.kind != formatJSONL || mapping.pattern != nil {
		return nil, fmt.Errorf("replay: mapping %s is for files: records that come one at a time need format {type: jsonl} and no file_pattern", mapping.name)
	}
	computed, values, err := mapping.computed(path)
	if err != nil {
		return nil, err
	}
	var lookups []*matches
	for i := range mapping.lookups {
		l, err := mapping.lookups[i].load(path)
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		lookups = append(lookups, l)
	}
	c := &Converter{lines: newJSONLines(nil, mapping.wanted(computed))}
	c.reader.config.Mapping = mapping
	if c.reader.plan, err = mapping.bind(path, c.lines.columns(), computed, values, lookups); err != nil {
		return nil, err
	}
	return c, nil
}

// Convert turns one record into an event's encoding, which the caller owns. number is the record's within source; the
// two make the event's id unless the mapping takes one over, so that the same record gets the same id again. The error
// is ErrSkipped or a *RefusedError.
func (c *Converter) Convert(source string, number uint64, record []byte) ([]byte, error) {
	r := &c.reader
	r.config.Source, r.record = source, number
	c.lines.parse(line{number: int64(number), text: string(record)}, &r.row)
	var count tally
	problem := r.row.problem
	if problem == nil {
		problem = r.plan.complete(&r.row, number, &count)
	}
	if problem == nil && r.plan.skips(&r.row) {
		return nil, ErrSkipped
	}
	var item Item
	if problem == nil {
		problem = r.build(&item, &count)
	}
	if problem != nil {
		return nil, &RefusedError{Field: problem.field, Reason: problem.reason, Detail: problem.detail}
	}
	return slices.Clip(item.Message.Value), nil
}
