package replay

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// jsonLines yields one row per JSON object, with the paths that the mapping asks for.
type jsonLines struct {
	lines *lines
	paths []string
	steps [][]string
}

func newJSONLines(in *lines, paths []string) *jsonLines {
	j := &jsonLines{lines: in, paths: paths}
	for _, path := range paths {
		j.steps = append(j.steps, strings.Split(path, "."))
	}
	return j
}

func (j *jsonLines) columns() []string { return j.paths }

func (j *jsonLines) next(r *row) error {
	ln, err := j.lines.next()
	for err == nil && ln.problem == nil && strings.TrimSpace(ln.text) == "" {
		ln, err = j.lines.next()
	}
	if err != nil {
		return err
	}
	j.parse(ln, r)
	return nil
}

// parse fills r from one line; what is wrong with it is the row's problem.
func (j *jsonLines) parse(ln line, r *row) {
	*r = row{line: ln.number, raw: ln.text, problem: ln.problem}
	if r.problem != nil {
		return
	}
	decoder := json.NewDecoder(strings.NewReader(ln.text))
	decoder.UseNumber() // amounts are read as they were written, never as floats
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		r.problem = reject(reasonJSON, "%v", err)
		return
	}
	if _, err := decoder.Token(); err != io.EOF || object == nil {
		r.problem = reject(reasonJSON, "the line is not one JSON object")
		return
	}
	r.values = make([]string, len(j.steps))
	for i, steps := range j.steps {
		r.values[i] = jsonText(follow(object, j.paths[i], steps))
	}
}

// follow walks a path of member names and list positions from 0; nil where it leads nowhere.
// A member whose name holds the dots wins.
func follow(object map[string]any, path string, steps []string) any {
	if v, ok := object[path]; ok {
		return v
	}
	var at any = object
	for _, step := range steps {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// jsonText is the value as a column: null is empty, objects and lists are their JSON.
func jsonText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}
