package viewer

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// frame is the answer of one query: its columns as JSON.
type frame struct {
	columns   []byte
	truncated bool
}

// panelAnswer collects frames into the JSON of PanelAnswer (web/src/api.ts).
type panelAnswer struct {
	text   []byte
	frames int
	oldest int64 // see since; 0 for none
}

// since says that the range begins with the oldest sample.
func (a *panelAnswer) since(oldest time.Time) { a.oldest = oldest.UnixMilli() }

func newAnswer(r timeRange) *panelAnswer {
	return &panelAnswer{text: fmt.Appendf(nil, `{"range":{"from":%d,"to":%d,"step":%d},"frames":[`, r.From, r.To, r.Step)}
}

func (a *panelAnswer) add(ref, name string, columns []byte, truncated bool) {
	if a.frames > 0 {
		a.text = append(a.text, ',')
	}
	a.frames++
	a.text = appendString(append(a.text, `{"ref":`...), ref)
	if name != "" {
		a.text = appendString(append(a.text, `,"name":`...), name)
	}
	a.text = append(append(a.text, `,"columns":`...), columns...)
	if truncated {
		a.text = append(a.text, `,"truncated":true`...)
	}
	a.text = append(a.text, '}')
}

func (a *panelAnswer) end() []byte {
	a.text = append(a.text, ']')
	if a.oldest != 0 {
		a.text = fmt.Appendf(a.text, `,"since":%d`, a.oldest)
	}
	return append(a.text, '}')
}

// columnType is one of api.ts, by ClickHouse's type. What is none of them is a string.
func columnType(kind string) string {
	for {
		inner, found := strings.CutSuffix(kind, ")")
		switch {
		case !found:
		case strings.HasPrefix(inner, "Nullable("), strings.HasPrefix(inner, "LowCardinality("):
			_, kind, _ = strings.Cut(inner, "(")
			continue
		case strings.HasPrefix(inner, "SimpleAggregateFunction("):
			_, kind, _ = strings.Cut(inner, ", ")
			continue
		}
		break
	}
	switch {
	case strings.HasPrefix(kind, "Date"):
		return "time"
	case kind == "Bool":
		return "boolean"
	case strings.HasPrefix(kind, "Int") && !strings.HasPrefix(kind, "Interval"),
		strings.HasPrefix(kind, "UInt"), strings.HasPrefix(kind, "Float"), strings.HasPrefix(kind, "BFloat"), strings.HasPrefix(kind, "Decimal"), kind == "Nothing":
		return "number"
	}
	return "string"
}

// appendColumns writes a table column by column.
func appendColumns(out []byte, t *Table) []byte {
	out = append(out, '[')
	for i, name := range t.Columns {
		if i > 0 {
			out = append(out, ',')
		}
		kind := columnType(t.Types[i])
		out = appendString(append(out, `{"name":`...), name)
		out = append(append(append(out, `,"type":"`...), kind...), `","values":[`...)
		for j, row := range t.Rows {
			if j > 0 {
				out = append(out, ',')
			}
			out = appendCell(out, row[i], kind == "string")
		}
		out = append(out, "]}"...)
	}
	return append(out, ']')
}

// appendCell writes a value of a column. What JSON has no number for is null, which shows as absent, never as zero.
func appendCell(out []byte, cell any, text bool) []byte {
	if text {
		if v := deref(cell); v != nil {
			return appendString(out, cellText(v))
		}
		return append(out, "null"...)
	}
	switch v := cell.(type) {
	case nil:
		return append(out, "null"...)
	case float64:
		return appendFloat(out, v, 64)
	case *float64:
		if v != nil {
			return appendFloat(out, *v, 64)
		}
		return append(out, "null"...)
	case uint64:
		return strconv.AppendUint(out, v, 10)
	case int64:
		return strconv.AppendInt(out, v, 10)
	case time.Time:
		return strconv.AppendInt(out, v.UnixMilli(), 10)
	case bool:
		return strconv.AppendBool(out, v)
	case float32:
		return appendFloat(out, float64(v), 32)
	case *big.Int: // before pointers are followed
		if v != nil {
			return v.Append(out, 10)
		}
		return append(out, "null"...)
	case fmt.Stringer: // Decimal
		if p := reflect.ValueOf(v); p.Kind() != reflect.Pointer {
			return append(out, v.String()...)
		}
	}
	r := reflect.ValueOf(cell)
	switch r.Kind() {
	case reflect.Pointer:
		if r.IsNil() {
			return append(out, "null"...)
		}
		return appendCell(out, r.Elem().Interface(), false)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(out, r.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(out, r.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return appendFloat(out, r.Float(), 64)
	}
	return append(out, "null"...)
}

func appendFloat(out []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(out, "null"...)
	}
	// As encoding/json does: exponents only where they are shorter.
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(out, f, 'e', -1, bits)
	}
	return strconv.AppendFloat(out, f, 'f', -1, bits)
}

// appendString writes a JSON string.
func appendString(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil { // there is no such string
				panic(err)
			}
			return append(out, text...)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}

// deref is what a Nullable value points at, nil for NULL.
func deref(cell any) any {
	r := reflect.ValueOf(cell)
	for r.Kind() == reflect.Pointer {
		if _, number := r.Interface().(*big.Int); number {
			break
		}
		if r.IsNil() {
			return nil
		}
		r = r.Elem()
	}
	if !r.IsValid() {
		return nil
	}
	return r.Interface()
}

// cellText is a value for people: texts as they are, times in RFC 3339, lists and maps as JSON, NULL empty.
func cellText(cell any) string {
	switch v := deref(cell).(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	case fmt.Stringer:
		return v.String()
	default:
		switch reflect.TypeOf(v).Kind() {
		case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
			if text, err := json.Marshal(elements(v)); err == nil {
				return string(text)
			}
		}
		return fmt.Sprint(v)
	}
}

// elements are those of a list, nested ones too: encoding/json would take numbers of a byte for binary data.
func elements(v any) any {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return v
	}
	list := make([]any, r.Len())
	for i := range list {
		list[i] = elements(r.Index(i).Interface())
	}
	return list
}

// tableCSV is a table by RFC 4180.
func tableCSV(t *Table) ([]byte, error) {
	return writeRows(t.Columns, func(write func([]string) error) error {
		record := make([]string, len(t.Columns))
		for _, row := range t.Rows {
			for i, cell := range row {
				record[i] = cellText(cell)
				if columnType(t.Types[i]) == "string" {
					record[i] = defuse(record[i])
				}
			}
			if err := write(record); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeRows(header []string, rows func(write func([]string) error) error) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = defuse(name)
	}
	if err := w.Write(names); err != nil {
		return nil, err
	}
	if err := rows(w.Write); err != nil {
		return nil, err
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// defuse keeps spreadsheets from taking a text for a formula: players and creators choose their names themselves.
func defuse(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
