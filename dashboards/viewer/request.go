package viewer

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/droplift/droplift/dashboards"
)

// Bounds of what a request may say.
const (
	maxValues      = 2000 // of one variable
	maxValueBytes  = 512
	defaultPoints  = 600
	maxPoints      = 2000
	defaultOptions = 200
	maxOptions     = 1000
)

// request is what a request asks for.
type request struct {
	from, to instant
	points   int
	values   map[string][]string
	export   bool
	ref      string
	search   string
	limit    int
}

// parse checks a request's values; nothing of them is trusted later either.
func (b *board) parse(r *http.Request) (*request, *Problem) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(BadRequest, "The address is malformed.")
	}
	return b.decode(query)
}

func (b *board) decode(query url.Values) (*request, *Problem) {
	q := &request{values: map[string][]string{}, ref: query.Get("ref"), search: strings.TrimSpace(query.Get("q"))}
	for _, end := range []struct {
		name, own string
		at        *instant
	}{{"from", b.from, &q.from}, {"to", b.to, &q.to}} {
		text := query.Get(end.name)
		if text == "" {
			text = end.own
		}
		var ok bool
		if *end.at, ok = parseInstant(text); !ok {
			return nil, problem(BadRequest, "%s is %q, which is no time.", end.name, shorten(text)).
				fixedBy("A time is Unix ms, RFC 3339, or now, start, end, data, first-cue or last-cue with offsets such as now-6h or start-30m.")
		}
	}
	var bad *Problem
	if q.points, bad = number(query, "points", defaultPoints, maxPoints); bad != nil {
		return nil, bad
	}
	if q.limit, bad = number(query, "limit", defaultOptions, maxOptions); bad != nil {
		return nil, bad
	}
	switch format := query.Get("format"); format {
	case "", "json":
	case "csv":
		q.export = true
	default:
		return nil, problem(BadRequest, "The format %q is unknown.", shorten(format)).fixedBy("There are json and csv.")
	}
	if !utf8.ValidString(q.search) || len(q.search) > maxValueBytes {
		return nil, problem(BadRequest, "The search text is too long or not UTF-8.")
	}
	for key, values := range query {
		name, ok := strings.CutPrefix(key, "var-")
		if !ok || b.variables[name].Title == "" {
			continue // links carry the variables of other dashboards along
		}
		if len(values) > maxValues {
			return nil, problem(BadRequest, "The variable %s has %d values; %d are the most.", name, len(values), maxValues).fixedBy("Choose All.")
		}
		for _, v := range values {
			if !utf8.ValidString(v) || len(v) > maxValueBytes {
				return nil, problem(BadRequest, "A value of the variable %s is too long or not UTF-8.", name)
			}
			if v != "" {
				q.values[name] = append(q.values[name], v)
			}
		}
		// The order in which somebody chose makes no other question.
		slices.Sort(q.values[name])
		q.values[name] = slices.Compact(q.values[name])
	}
	return q, nil
}

// number is a count of the request, at most what the server gives.
func number(query url.Values, name string, or, most int) (int, *Problem) {
	text := query.Get(name)
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, problem(BadRequest, "%s is %q, which is no positive number.", name, shorten(text))
	}
	return min(n, most), nil
}

// drop is the chosen one, "" for none.
func (q *request) drop() string {
	if v := q.values["drop"]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// vars are the request's values as dashboards fills them in.
func (q *request) vars(r timeRange) dashboards.Vars {
	return dashboards.Vars{From: r.From, To: r.To, IntervalS: r.Step, Values: q.values}
}
