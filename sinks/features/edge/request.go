package edge

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/valyala/fastjson"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/prefetch"
)

// Bounds of a request.
const (
	maxBody       = 64 << 10
	maxText       = 256
	maxCandidates = 256
	maxTime       = 1 << 52 // ms; beyond it arithmetic with times and TTLs could overflow
)

// request is the body of POST /v1/decide. Strings alias the parser's memory.
type request struct {
	player, drop, pop string
	consent           uint8
	minor, synthetic  bool
	// at is t0 in Unix ms, 0 when the server's clock is meant.
	at int64
	// inline says that the features came with the request: values by position in the set, NaN where null or absent.
	inline  bool
	values  []float64
	hash    string // of the set that the features are of; empty when not said
	absent  string // a feature that must not be missing and is
	assets  []prefetch.Asset
	current string
	before  string // the asset that was asked for before current
}

// fieldError names what is wrong with a request.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return e.field + ": " + e.problem }

func badField(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// parse reads a body into q, whose slices are reused. fastjson, because it parses into memory that is reused: encoding/json
// would take ten times as long and allocate for every member.
func (q *request) parse(p *fastjson.Parser, body []byte, set *feature.Set) error {
	*q = request{values: q.values[:0], assets: q.assets[:0]}
	root, err := p.ParseBytes(body)
	if err != nil {
		text := err.Error()
		return &fieldError{"", "the body is not JSON: " + text[:min(len(text), maxText)]}
	}
	object, err := root.Object()
	if err != nil {
		return &fieldError{"", "the body is not a JSON object"}
	}
	object.Visit(func(key []byte, v *fastjson.Value) {
		if err != nil {
			return
		}
		if v.Type() == fastjson.TypeNull {
			return // absent
		}
		switch string(key) {
		case "player":
			q.player, err = text("player", v)
		case "drop":
			q.drop, err = text("drop", v)
		case "pop":
			q.pop, err = text("pop", v)
		case "consent":
			var bits int64
			if bits, err = whole("consent", v, 0, 7); err == nil {
				q.consent = uint8(bits)
			}
		case "minor":
			q.minor, err = flag("minor", v)
		case "synthetic":
			q.synthetic, err = flag("synthetic", v)
		case "at":
			q.at, err = whole("at", v, 1, maxTime)
		case "features":
			err = q.features(v, set)
		case "feature_hash":
			q.hash, err = text("feature_hash", v)
		case "assets":
			err = q.prefetch(v)
		}
	})
	if err != nil {
		return err
	}
	if q.player == "" {
		return badField("player", "is required: the player's pseudonym")
	}
	return nil
}

func (q *request) features(v *fastjson.Value, set *feature.Set) error {
	object, err := v.Object()
	if err != nil {
		return badField("features", "is not an object of numbers by name")
	}
	q.inline = true
	for range set.Features {
		q.values = append(q.values, math.NaN())
	}
	object.Visit(func(key []byte, v *fastjson.Value) {
		if err != nil {
			return
		}
		at := set.Index(string(key))
		switch {
		case at < 0:
			err = badField("features."+string(key[:min(len(key), maxText)]), "set %s version %d has no such feature", set.Name, set.Version)
		case v.Type() == fastjson.TypeNull:
			q.values[at] = math.NaN()
		case v.Type() == fastjson.TypeNumber:
			// Beyond float64, and the nan that some writers emit, are not finite: that has an answer of its own.
			if q.values[at], err = v.Float64(); err == nil && math.IsNaN(q.values[at]) {
				q.values[at] = math.Inf(1)
			} else if err != nil && number(v) {
				q.values[at], err = math.Inf(1), nil
			} else if err != nil {
				err = badField("features."+string(key), "is not a number")
			}
		default:
			err = badField("features."+string(key), "is not a number or null")
		}
	})
	if err != nil {
		return err
	}
	for i, f := range set.Features {
		if !f.Nullable && math.IsNaN(q.values[i]) {
			q.absent = f.Name
			break
		}
	}
	return nil
}

// number says that v is a number too great for a float64, rather than none.
func number(v *fastjson.Value) bool {
	_, err := strconv.ParseFloat(v.String(), 64)
	return errors.Is(err, strconv.ErrRange)
}

func (q *request) prefetch(v *fastjson.Value) error {
	if v.Type() != fastjson.TypeObject {
		return badField("assets", "is not an object")
	}
	var err error
	for _, name := range []struct {
		key string
		to  *string
	}{{"current", &q.current}, {"previous", &q.before}} {
		if x := v.Get(name.key); x != nil && x.Type() != fastjson.TypeNull {
			if *name.to, err = text("assets."+name.key, x); err != nil {
				return err
			}
		}
	}
	list := v.Get("candidates")
	if list == nil {
		return nil
	}
	candidates, err := list.Array()
	if err != nil || len(candidates) > maxCandidates {
		return badField("assets.candidates", "is not an array of at most %d assets", maxCandidates)
	}
	for i, x := range candidates {
		at := func(name string) string { return fmt.Sprintf("assets.candidates[%d]%s", i, name) }
		if x.Type() != fastjson.TypeObject {
			return badField(at(""), "is not an object")
		}
		var a prefetch.Asset
		id, bytes, cached := x.Get("id"), x.Get("bytes"), x.Get("cached")
		if id == nil || bytes == nil {
			return badField(at(""), "id and bytes are required")
		}
		// The paths are only made for an error.
		if a.ID, err = text("", id); err != nil || a.ID == "" {
			return badField(at(".id"), "is not a string of 1 to %d bytes", maxText)
		}
		if a.Bytes, err = whole("", bytes, 0, math.MaxInt64); err != nil {
			return badField(at(".bytes"), "is not a whole number from 0 on")
		}
		if cached != nil {
			if a.Cached, err = flag("", cached); err != nil {
				return badField(at(".cached"), "is not true or false")
			}
		}
		q.assets = append(q.assets, a)
	}
	return nil
}

func text(field string, v *fastjson.Value) (string, error) {
	b, err := v.StringBytes()
	if err != nil || len(b) > maxText || !utf8.Valid(b) {
		return "", badField(field, "is not a string of at most %d bytes of UTF-8", maxText)
	}
	return view(b), nil
}

func whole(field string, v *fastjson.Value, low, high int64) (int64, error) {
	n, err := v.Int64()
	if err != nil || n < low || n > high {
		if high >= maxTime {
			return 0, badField(field, "is not a whole number from %d on", low)
		}
		return 0, badField(field, "is not a whole number from %d to %d", low, high)
	}
	return n, nil
}

func flag(field string, v *fastjson.Value) (bool, error) {
	b, err := v.Bool()
	if err != nil {
		return false, badField(field, "is not true or false")
	}
	return b, nil
}

// The headers that say until when an answer is of use; the earlier one counts.
const (
	headerBudget = "X-Deadline-Ms" // from the arrival of the request on
	headerUntil  = "X-Deadline-At" // Unix ms by this machine's clock
)

// deadline of a request that arrived now.
func (d *Decider) deadline(h http.Header, now time.Time) (time.Time, error) {
	until, said := time.Time{}, false
	if v := h.Get(headerBudget); v != "" {
		ms, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil || math.IsNaN(ms) || math.Abs(ms) > 1e9 {
			return until, badField(headerBudget, "%q is not a number of milliseconds", v[:min(len(v), maxText)])
		}
		until, said = now.Add(time.Duration(ms*float64(time.Millisecond))), true
	}
	if v := h.Get(headerUntil); v != "" {
		ms, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		if err != nil || ms < 0 || ms > 1<<53 {
			return until, badField(headerUntil, "%q is not a time in Unix milliseconds", v[:min(len(v), maxText)])
		}
		if at := time.UnixMilli(ms); !said || at.Before(until) {
			until, said = at, true
		}
	}
	if !said {
		until = now.Add(d.cfg.Deadline)
	}
	return until, nil
}

// view is b as a string, without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
