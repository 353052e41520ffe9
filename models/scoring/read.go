package scoring

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// reader reads JSON without reflection: encoding/json alone would be a quarter of the scorer as WebAssembly. Its first
// error stays.
type reader struct {
	data []byte
	at   int
	err  error
}

// maxNesting bounds the depth of values that are skipped.
const maxNesting = 64

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %s", r.at, what)
	}
}

// peek is the next byte that is no space, 0 at the end and after an error.
func (r *reader) peek() byte {
	for r.err == nil && r.at < len(r.data) {
		switch c := r.data[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return c
		}
	}
	return 0
}

func (r *reader) accept(c byte) bool {
	if r.peek() != c || r.err != nil || r.at >= len(r.data) {
		return false
	}
	r.at++
	return true
}

func (r *reader) expect(c byte) {
	if !r.accept(c) {
		r.fail(fmt.Sprintf("%q is absent", c))
	}
}

// word accepts a literal such as null.
func (r *reader) word(w string) bool {
	r.peek()
	if r.err != nil || len(r.data)-r.at < len(w) || string(r.data[r.at:r.at+len(w)]) != w {
		return false
	}
	r.at += len(w)
	return true
}

// end fails unless nothing but spaces follows.
func (r *reader) end() {
	r.peek()
	if r.err == nil && r.at < len(r.data) {
		r.fail("more follows")
	}
}

// list calls item for each value of an array; null is an empty one.
func (r *reader) list(item func()) {
	if r.word("null") {
		return
	}
	r.expect('[')
	if r.accept(']') {
		return
	}
	for r.err == nil {
		item()
		if !r.accept(',') {
			r.expect(']')
			return
		}
	}
}

// object calls member for each member of an object.
func (r *reader) object(member func(key string)) {
	r.expect('{')
	if r.accept('}') {
		return
	}
	for r.err == nil {
		key := r.text()
		r.expect(':')
		if r.err != nil {
			return
		}
		member(key)
		if !r.accept(',') {
			r.expect('}')
			return
		}
	}
}

// field is a member of an object that is read, and the variable or function that takes it.
type field struct {
	key  string
	into any
}

// fields reads an object. Unknown members are skipped.
func (r *reader) fields(known []field) {
	var seen uint32 // no object has more members than bits
	r.object(func(key string) {
		for i := range known {
			if known[i].key != key {
				continue
			}
			if seen>>i&1 != 0 {
				r.fail(key + " stands twice")
			}
			seen |= 1 << i
			r.value(known[i].into)
			return
		}
		r.skip(0)
	})
}

func (r *reader) value(into any) {
	switch v := into.(type) {
	case func():
		v()
	case *string:
		*v = r.text()
	case *float64:
		*v = r.number()
	case *bool:
		*v = r.flag()
	case *int:
		*v = int(r.integer(math.MinInt, math.MaxInt))
	case *int64:
		*v = r.integer(math.MinInt64, math.MaxInt64)
	case *uint64:
		n, err := strconv.ParseUint(r.digits(), 10, 64)
		if err != nil {
			r.fail("no whole number from 0 on")
		}
		*v = n
	case *[]string:
		r.list(func() { *v = append(*v, r.text()) })
	case *[]float64:
		r.list(func() { *v = append(*v, r.number()) })
	case *[]bool:
		r.list(func() { *v = append(*v, r.flag()) })
	case *[]int32:
		r.list(func() { *v = append(*v, int32(r.integer(math.MinInt32, math.MaxInt32))) })
	case *[][]uint32:
		r.list(func() {
			var words []uint32
			r.list(func() { words = append(words, uint32(r.integer(0, math.MaxUint32))) })
			*v = append(*v, words)
		})
	case *[]*float64:
		r.list(func() {
			if r.word("null") {
				*v = append(*v, nil)
				return
			}
			n := r.number()
			*v = append(*v, &n)
		})
	default:
		r.fail(fmt.Sprintf("no reader of %T", into))
	}
}

// digits cuts a number out, by JSON's grammar.
func (r *reader) digits() string {
	r.peek()
	from := r.at
	some := func() bool {
		n := r.at
		for r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
			r.at++
		}
		return r.at > n
	}
	is := func(set string) bool {
		for i := range len(set) {
			if r.at < len(r.data) && r.data[r.at] == set[i] {
				r.at++
				return true
			}
		}
		return false
	}
	if r.err != nil {
		return ""
	}
	is("-")
	whole := is("0") || some()
	if whole && is(".") {
		whole = some()
	}
	if whole && is("eE") {
		is("+-")
		whole = some()
	}
	if !whole {
		r.at = from
		r.fail("no number")
		return ""
	}
	return string(r.data[from:r.at])
}

func (r *reader) number() float64 {
	text := r.digits()
	if r.err != nil {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.fail("a number that no float64 holds")
	}
	return v
}

func (r *reader) integer(least, most int64) int64 {
	text := r.digits()
	if r.err != nil {
		return 0
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < least || v > most {
		r.fail("no whole number of its range")
		return 0
	}
	return v
}

func (r *reader) flag() bool {
	if r.word("true") {
		return true
	}
	if !r.word("false") {
		r.fail("neither true nor false")
	}
	return false
}

var errText = errors.New("not a JSON text")

func (r *reader) text() string {
	r.expect('"')
	from := r.at
	for r.err == nil && r.at < len(r.data) && r.data[r.at] != '"' {
		if r.data[r.at] == '\\' {
			r.at++
		}
		r.at++
	}
	if r.err != nil || r.at >= len(r.data) {
		r.fail("a text without its end")
		return ""
	}
	text, err := unquote(r.data[from:r.at])
	if err != nil {
		r.fail(err.Error())
	}
	r.at++
	return text
}

func unquote(s []byte) (string, error) {
	if !utf8.Valid(s) {
		return "", errText
	}
	out := make([]byte, 0, len(s))
	unit := func() (rune, bool) {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return 0, false
		}
		v, err := strconv.ParseUint(string(s[2:6]), 16, 16)
		return rune(v), err == nil
	}
	for len(s) > 0 {
		c := s[0]
		if c < ' ' {
			return "", errText
		}
		if c != '\\' {
			out, s = append(out, c), s[1:]
			continue
		}
		if len(s) < 2 {
			return "", errText
		}
		switch s[1] {
		case '"', '\\', '/':
			out = append(out, s[1])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			first, ok := unit()
			if !ok {
				return "", errText
			}
			s = s[6:]
			if utf16.IsSurrogate(first) {
				second, ok := unit()
				if first = utf16.DecodeRune(first, second); !ok || first == utf8.RuneError {
					return "", errText
				}
				s = s[6:]
			}
			out = utf8.AppendRune(out, first)
			continue
		default:
			return "", errText
		}
		s = s[2:]
	}
	return string(out), nil
}

// skip reads over one value.
func (r *reader) skip(depth int) {
	if depth > maxNesting {
		r.fail("nested too deeply")
		return
	}
	switch c := r.peek(); {
	case c == '{':
		r.object(func(string) { r.skip(depth + 1) })
	case c == '[':
		r.list(func() { r.skip(depth + 1) })
	case c == '"':
		r.text()
	case r.word("null"), r.word("true"), r.word("false"):
	default:
		r.number()
	}
}
