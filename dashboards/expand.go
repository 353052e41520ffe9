package dashboards

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/droplift/droplift/sql"
)

// allValue is what stands for the choice "All".
const allValue = "*"

// Vars are the values that Grafana would put into a panel's SQL.
type Vars struct {
	// From and To are the time range [From, To) in Unix ms.
	From, To int64
	// IntervalS is the step that Grafana derives from the range and a panel's width, in seconds (default 60).
	IntervalS int64
	// Values are the chosen names by variable. None means All, which drop does not have.
	Values map[string][]string
}

var macro = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}|\$__(\w+)`)

// Expand replaces Grafana's macros and variables in a panel's SQL, the way Grafana
// and its ClickHouse plugin do. What it does not know is an error, never left in place.
func Expand(text string, v Vars) (string, error) {
	if v.IntervalS == 0 {
		v.IntervalS = 60
	}
	var problems []error
	out := macro.ReplaceAllStringFunc(text, func(m string) string {
		parts := macro.FindStringSubmatch(m)
		value, err := v.value(parts[1], parts[2], parts[3])
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m, err))
		}
		return value
	})
	return out, errors.Join(problems...)
}

// single are the variables of one choice, with what stands before there is one: nothing for the drop.
var single = map[string]string{"drop": "", "cohort": "week", "model": "churn"}

// variable names the variable behind each parameter that one fills.
var variable = map[string]string{"pops": "pop", "currencies": "currency", "creators": "creator", "languages": "language"}

// Params are the same values beside the target's named query instead of inside its text: strings, numbers, times and
// lists of strings by parameter. Where nothing gives a value, the query's default holds.
func (v Vars) Params(t Target) (map[string]any, error) {
	if v.IntervalS == 0 {
		v.IntervalS = 60
	}
	q, err := sql.Lookup(t.Name)
	if err != nil {
		return nil, err
	}
	params := map[string]any{}
	for _, p := range q.Params {
		if own, ok := t.With[p.Name]; ok {
			params[p.Name] = own
			continue
		}
		switch p.Name {
		case "drop":
			if len(v.Values["drop"]) == 0 {
				return nil, errors.New("drop: no value given")
			}
			params["drop"] = v.Values["drop"][0]
		case "from":
			params["from"] = time.UnixMilli(v.From).UTC()
		case "to":
			params["to"] = time.UnixMilli(v.To).UTC()
		case "step_s", "bucket_s":
			params[p.Name] = v.IntervalS
		case "cohort", "model":
			params[p.Name] = single[p.Name]
			if values := v.Values[p.Name]; len(values) > 0 {
				params[p.Name] = values[0]
			}
		case "pops", "currencies", "creators", "languages":
			values := v.Values[variable[p.Name]]
			if len(values) == 0 {
				values = []string{"*"}
			}
			params[p.Name] = values
		}
	}
	return params, nil
}

func (v Vars) value(variable, format, macro string) (string, error) {
	switch macro {
	case "":
	case "fromTime_ms":
		return "fromUnixTimestamp64Milli(" + strconv.FormatInt(v.From, 10) + ")", nil
	case "toTime_ms":
		return "fromUnixTimestamp64Milli(" + strconv.FormatInt(v.To, 10) + ")", nil
	case "fromTime":
		return "toDateTime(" + strconv.FormatInt(v.From/1000, 10) + ")", nil
	case "toTime":
		return "toDateTime(" + strconv.FormatInt(v.To/1000, 10) + ")", nil
	case "interval_s":
		return strconv.FormatInt(v.IntervalS, 10), nil
	default:
		return "", errors.New("unknown macro")
	}
	if format != "percentencode" {
		return "", errors.New("variables are encoded: use the format percentencode")
	}
	value, alone := single[variable]
	values := v.Values[variable]
	switch {
	case alone && len(values) > 0:
		value = values[0]
	case alone && value == "":
		return "", errors.New("no value given")
	case alone:
	case len(values) == 0:
		value = allValue
	default:
		encoded := make([]string, len(values))
		for i, name := range values {
			encoded[i] = percentEncoded(name)
		}
		value = "{" + strings.Join(encoded, ",") + "}"
	}
	return percentEncoded(value), nil
}

// percentEncoded is a value as both Grafana and ClickHouse encode it: every byte but letters, digits and -_.~ is %XX.
func percentEncoded(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
