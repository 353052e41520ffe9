package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/droplift/droplift/sql"
)

// Params are values for a query's {name:Type} parameters: strings, numbers,
// booleans, times and lists of strings. They travel beside the text, never inside it.
type Params map[string]any

func (p Params) text() map[string]string {
	out := make(map[string]string, len(p))
	for name, value := range p {
		switch v := value.(type) {
		case time.Time:
			out[name] = v.UTC().Format("2006-01-02 15:04:05.000")
		case bool:
			out[name] = "0"
			if v {
				out[name] = "1"
			}
		case []string:
			out[name] = arrayText(v) // its elements are escaped, and it is not as a whole
		default:
			out[name] = escape.Replace(fmt.Sprint(v))
		}
	}
	return out
}

// escape writes a value the way the server reads parameters, which is TSV's.
var escape = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

func withParams(ctx context.Context, p Params) context.Context {
	return ch.Context(ctx, ch.WithParameters(p.text()))
}

// Table is a query's answer. Values are Go values as clickhouse-go scans them:
// pointers for Nullable columns, time.Time in UTC for dates and times.
type Table struct {
	Columns []string
	Types   []string
	Rows    [][]any
	// Truncated says that there are more rows than were asked for.
	Truncated bool
}

// Query runs the named query. Parameters that are left out take their default;
// one without a default, or one that the query does not have, is an error.
func (c *Client) Query(ctx context.Context, name string, params Params) (*Table, error) {
	return c.query(ctx, name, params, 0)
}

// QueryRows is Query for at most so many rows, for whoever may lose patience: the server, too, stops when the rows
// are there or ctx is done.
func (c *Client) QueryRows(ctx context.Context, name string, params Params, rows int) (*Table, error) {
	return c.query(ch.Context(ctx, ch.WithSettings(ch.Settings{"cancel_http_readonly_queries_on_client_close": 1})), name, params, rows)
}

func (c *Client) query(ctx context.Context, name string, params Params, rows int) (*Table, error) {
	q, err := sql.Lookup(name)
	if err != nil {
		return nil, err
	}
	given, err := resolve(q, params)
	if err != nil {
		return nil, err
	}
	table, err := c.table(withParams(ctx, given), q.SQL, rows)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", name, explain(err))
	}
	return table, nil
}

// Column is one column of an answer.
type Column struct{ Name, Type string }

// zero is the text of a parameter that only has to be of its type, so that a query can be analysed.
func zero(kind string) string {
	switch {
	case strings.HasPrefix(kind, "Array"):
		return "[]"
	case strings.HasPrefix(kind, "Map"):
		return "{}"
	case strings.HasPrefix(kind, "DateTime"), strings.HasPrefix(kind, "Date"):
		return "1970-01-01"
	case kind == "Identifier":
		return "player_events"
	case kind == "String":
		return ""
	}
	return "1"
}

// Columns lists the columns of the named query's answer without running it on data.
func (c *Client) Columns(ctx context.Context, name string) ([]Column, error) {
	q, err := sql.Lookup(name)
	if err != nil {
		return nil, err
	}
	given := Params{}
	for _, p := range q.Params {
		given[p.Name] = p.Default
		if p.Required {
			given[p.Name] = zero(p.Type)
		}
	}
	table, err := c.table(withParams(ctx, given), "DESCRIBE TABLE ("+q.SQL+")", 0)
	if err != nil {
		return nil, fmt.Errorf("columns of query %s: %w", name, explain(err))
	}
	var columns []Column
	for _, row := range table.Rows {
		columns = append(columns, Column{Name: fmt.Sprint(row[0]), Type: fmt.Sprint(row[1])})
	}
	return columns, nil
}

// resolve fills in the defaults of q and reports every problem at once.
func resolve(q sql.Query, params Params) (Params, error) {
	given := Params{}
	known := map[string]bool{}
	var problems []error
	for _, p := range q.Params {
		known[p.Name] = true
		value, ok := params[p.Name]
		switch {
		case ok:
			given[p.Name] = value
		case p.Required:
			problems = append(problems, fmt.Errorf("query %s needs parameter %s (%s): %s", q.Name, p.Name, p.Type, p.Doc))
		default:
			given[p.Name] = p.Default
		}
	}
	for name := range params {
		if !known[name] {
			problems = append(problems, fmt.Errorf("query %s has no parameter %s", q.Name, name))
		}
	}
	return given, errors.Join(problems...)
}

// table is the answer, or its first rows where limit is positive.
func (c *Client) table(ctx context.Context, text string, limit int) (*Table, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := c.conn.Query(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() {
		cancel() // first, for closing would read what is left
		_ = rows.Close()
	}()
	table := &Table{Columns: rows.Columns()}
	types := rows.ColumnTypes()
	for _, t := range types {
		table.Types = append(table.Types, t.DatabaseTypeName())
	}
	for rows.Next() {
		if limit > 0 && len(table.Rows) == limit {
			table.Truncated = true
			return table, nil
		}
		targets := make([]any, len(types))
		for i, t := range types {
			targets[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		for i := range targets {
			targets[i] = reflect.ValueOf(targets[i]).Elem().Interface()
			if at, ok := targets[i].(time.Time); ok {
				targets[i] = at.UTC()
			}
		}
		table.Rows = append(table.Rows, targets)
	}
	return table, rows.Err()
}

// StreamRequest is one raw query.
type StreamRequest struct {
	SQL string
	// Format is any output format of ClickHouse; default TSVWithNames. A FORMAT clause in SQL wins.
	Format string
	Params Params
}

// Stream sends a query as it is and copies the answer to w as the server
// formats it. It needs an HTTP address. What was written to w before an error
// is not a complete answer.
func (c *Client) Stream(ctx context.Context, w io.Writer, r StreamRequest) error {
	if c.stream == nil {
		return errors.New("raw queries need clickhouse's HTTP address: set the HTTP URL beside the native one")
	}
	if r.Format == "" {
		r.Format = "TSVWithNames"
	}
	values := url.Values{"database": {c.cfg.Database}, "default_format": {r.Format}}
	for name, value := range r.Params.text() {
		values.Set("param_"+name, value)
	}
	address := *c.stream
	address.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), strings.NewReader(r.SQL))
	if err != nil {
		return err
	}
	request.SetBasicAuth(c.cfg.User, c.cfg.Password)
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		return fmt.Errorf("clickhouse: HTTP %d: %s", response.StatusCode, bytes.TrimSpace(text))
	}
	tail := &tailWriter{to: w}
	if _, err := io.Copy(tail, response.Body); err != nil {
		return fmt.Errorf("clickhouse: the answer broke off: %w", err)
	}
	// An error after the first byte comes inside the body, framed by a tag that the header announced.
	if tag := response.Header.Get("X-ClickHouse-Exception-Tag"); tag != "" {
		if at := bytes.LastIndex(tail.last, []byte("__exception__\r\n"+tag)); at >= 0 {
			return fmt.Errorf("clickhouse: the answer broke off: %s", bytes.TrimSpace(tail.last[at:]))
		}
	}
	return nil
}

// StreamQuery is Stream for the named query.
func (c *Client) StreamQuery(ctx context.Context, w io.Writer, name, format string, params Params) error {
	q, err := sql.Lookup(name)
	if err != nil {
		return err
	}
	given, err := resolve(q, params)
	if err != nil {
		return err
	}
	return c.Stream(ctx, w, StreamRequest{SQL: q.SQL, Format: format, Params: given})
}

// tailWriter passes everything on and remembers the end, where errors stand.
type tailWriter struct {
	to   io.Writer
	last []byte
}

const tailBytes = 20 << 10 // an exception block has at most 16 KiB

func (t *tailWriter) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-tailBytes):]...)
	if extra := len(t.last) - tailBytes; extra > tailBytes {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return t.to.Write(p)
}
