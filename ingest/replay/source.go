package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// row is one record as text, before it means anything.
type row struct {
	// line is the physical line at which it starts; in Parquet the row's number.
	line   int64
	values []string
	// raw is the row as it stood in the file.
	raw string
	// problem says why values are missing.
	problem *rejection
}

// source yields the rows of one format. Errors other than io.EOF end the file;
// what is wrong with one row is that row's problem.
type source interface {
	// columns names the values of every row in order; an unnamed one is "".
	columns() []string
	next(*row) error
}

// table is a source of lines with a fixed number of fields: csv and fields.
type table struct {
	lines *lines
	split func(first line) ([]string, string, *rejection, error)
	names []string
	// pending is the first row, read ahead to learn the number of fields.
	pending *row
}

func newTable(f *format, in *lines) (*table, error) {
	t := &table{lines: in}
	if f.kind == formatCSV {
		t.split = newCSV(in, f.delimiter).split
	} else {
		t.split = splitFields
	}
	if !f.header && f.columns != nil {
		t.names = f.columns
		return t, nil
	}
	first, err := t.nextLine()
	if err == io.EOF {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, err
	}
	r, err := t.row(first)
	if err != nil {
		return nil, err
	}
	if r.problem != nil {
		return nil, fmt.Errorf("line %d, which says how many fields there are: %s", r.line, r.problem.detail)
	}
	if !f.header {
		r.values = slices.Clone(r.values)
		t.pending = &r
		t.names = make([]string, len(r.values))
		return t, nil
	}
	for _, name := range r.values {
		t.names = append(t.names, strings.TrimSpace(name))
	}
	return t, nil
}

// nextLine skips empty lines, which are no rows.
func (t *table) nextLine() (line, error) {
	for {
		ln, err := t.lines.next()
		if err != nil || ln.problem != nil || strings.TrimSpace(ln.text) != "" {
			return ln, err
		}
	}
}

func (t *table) columns() []string { return t.names }

func (t *table) next(r *row) error {
	if t.pending != nil {
		*r, t.pending = *t.pending, nil
		return nil
	}
	ln, err := t.nextLine()
	if err != nil {
		return err
	}
	if *r, err = t.row(ln); err != nil {
		return err
	}
	if r.problem == nil && len(r.values) != len(t.names) {
		r.problem = reject(reasonFieldCount, "%d fields, not %d", len(r.values), len(t.names))
	}
	return nil
}

func (t *table) row(ln line) (row, error) {
	if ln.problem != nil {
		return row{line: ln.number, raw: ln.text, problem: ln.problem}, nil
	}
	values, raw, problem, err := t.split(ln)
	return row{line: ln.number, values: values, raw: raw, problem: problem}, err
}

func splitFields(first line) ([]string, string, *rejection, error) {
	return strings.Fields(first.text), first.text, nil, nil
}

// quoted splits CSV records, which may span lines. encoding/csv splits; this
// frames, because a rejected record must be shown as it stood, and because one
// stray quote must cost one line and not the rest of the file.
type quoted struct {
	lines     *lines
	delimiter rune
	feed      *feed
	reader    *csv.Reader
}

func newCSV(in *lines, delimiter rune) *quoted {
	q := &quoted{lines: in, delimiter: delimiter}
	q.reset()
	return q
}

func (q *quoted) reset() {
	q.feed = new(feed)
	q.reader = csv.NewReader(q.feed)
	q.reader.Comma = q.delimiter
	q.reader.FieldsPerRecord = -1
	q.reader.ReuseRecord = true
}

// maxRecordLines bounds how far a quoted field may reach.
const maxRecordLines = 1000

func (q *quoted) split(first line) ([]string, string, *rejection, error) {
	text := first.text
	var more []line
	var state quoteState
	for state = scanQuotes(fieldStart, text, q.delimiter); state == inQuotes && len(more) < maxRecordLines; {
		ln, err := q.lines.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, "", nil, err
		}
		more = append(more, ln)
		if ln.problem != nil {
			break
		}
		state = scanQuotes(inQuotes, ln.text, q.delimiter)
	}
	if state != inQuotes {
		var whole strings.Builder
		whole.WriteString(text)
		for _, ln := range more {
			whole.WriteByte('\n')
			whole.WriteString(ln.text)
		}
		q.feed.rest = whole.String()
		values, err := q.reader.Read()
		if err == nil {
			return values, whole.String(), nil, nil
		}
		q.reset() // the reader may hold on to the rest of what it refused
	}
	// Only the first line is given up; the ones behind it may be rows of their own.
	q.lines.unread(more)
	return nil, text, reject(reasonQuotes, "misplaced or unclosed quotes"), nil
}

// feed gives the CSV reader one record and then the end, again and again.
type feed struct{ rest string }

func (f *feed) Read(p []byte) (int, error) {
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type quoteState uint8

const (
	fieldStart quoteState = iota
	inField
	inQuotes
	// quoteInQuotes: the quote just seen ends the field or starts a doubled quote.
	quoteInQuotes
)

// scanQuotes follows one line from state and returns the state at its end.
func scanQuotes(state quoteState, text string, delimiter rune) quoteState {
	for _, c := range text {
		switch {
		case state == inQuotes:
			if c == '"' {
				state = quoteInQuotes
			}
		case c == delimiter:
			state = fieldStart
		case c == '"' && (state == fieldStart || state == quoteInQuotes):
			state = inQuotes
		default:
			state = inField
		}
	}
	return state
}

// matrix yields one row per cell: row and column from 0, and the value.
type matrix struct {
	lines *lines
	split func(string) []string
	width int
	row   int
	line  line
	cells []string
	cell  int
}

func newMatrix(f *format, in *lines) *matrix {
	m := &matrix{lines: in, split: strings.Fields}
	if f.delimiter != 0 && !unicode.IsSpace(f.delimiter) {
		m.split = func(s string) []string { return strings.Split(s, string(f.delimiter)) }
	}
	return m
}

func (m *matrix) columns() []string { return []string{"row", "column", "value"} }

func (m *matrix) next(r *row) error {
	for m.cell == len(m.cells) {
		ln, err := m.lines.next()
		if err != nil {
			return err
		}
		if ln.problem == nil && strings.TrimSpace(ln.text) == "" {
			continue
		}
		m.line = ln
		m.cells, m.cell = m.cells[:0], 0
		problem := ln.problem
		if problem == nil {
			m.cells = m.split(ln.text)
			if m.width == 0 {
				m.width = len(m.cells)
			}
			if len(m.cells) != m.width {
				problem = reject(reasonFieldCount, "%d cells, not %d", len(m.cells), m.width)
			}
		}
		m.row++
		if problem != nil {
			// No cell of such a line can be trusted to be in its column: one record, refused.
			m.cells = m.cells[:0]
			*r = row{line: ln.number, raw: ln.text, problem: problem}
			return nil
		}
	}
	text := m.cells[m.cell]
	*r = row{line: m.line.number, raw: text, values: []string{fmt.Sprint(m.row - 1), fmt.Sprint(m.cell), text}}
	m.cell++
	return nil
}
