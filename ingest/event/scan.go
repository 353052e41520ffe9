package event

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// The scanner's methods read a value that starts at b[i] and return the
// position behind it. A negative position means that there is no such value;
// d.err then says why, without the field, which null adds.

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 64

// Each constant repeats one byte 8 times.
const (
	ones        = 0x0101010101010101
	highs       = 0x80 * ones
	quotes      = '"' * ones
	backslashes = '\\' * ones
	spaces      = ' ' * ones
)

// special marks with a high bit the first byte of w that ends a run of plain
// text: a quote, a backslash, a control character or a byte of a non-ASCII
// character. Marks behind the first one may be wrong (a borrow runs that way).
func special(w uint64) uint64 {
	return (((w ^ quotes) - ones) | ((w ^ backslashes) - ones) | (w - spaces) | w) & highs
}

// space returns the position of the first byte at or after i that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// open reads the start of an object.
func (d *Decoder) open(b []byte, i int) int {
	if i = space(b, i); i < len(b) && b[i] == '{' {
		return i + 1
	}
	return d.wrong(b, i)
}

// first reads the name of an object's first member and returns the position of
// its value. more is false at the object's end.
func (d *Decoder) first(b []byte, i int) (name string, next int, more bool) {
	if i = space(b, i); i < len(b) && b[i] == '}' {
		return "", i + 1, false
	}
	return d.name(b, i)
}

// member is first for the members behind the first.
func (d *Decoder) member(b []byte, i int) (name string, next int, more bool) {
	if i = space(b, i); i < len(b) {
		switch b[i] {
		case ',':
			return d.name(b, space(b, i+1))
		case '}':
			return "", i + 1, false
		}
	}
	return "", d.stop(ReasonMalformed, "", i), false
}

func (d *Decoder) name(b []byte, i int) (name string, next int, more bool) {
	name, j := plainName(b, i)
	if j < 0 {
		if name, j = d.skipText(b, i); j < 0 {
			return "", j, false
		}
	}
	if j = space(b, j); j == len(b) || b[j] != ':' {
		return "", d.stop(ReasonMalformed, "", j), false
	}
	return name, space(b, j+1), true
}

// plainName reads a name without anything special in it, and not at b's very end.
func plainName(b []byte, i int) (string, int) {
	if i >= len(b) || b[i] != '"' {
		return "", -1
	}
	for j := i + 1; j+8 <= len(b); j += 8 {
		if m := special(binary.LittleEndian.Uint64(b[j:])); m != 0 {
			if j += bits.TrailingZeros64(m) >> 3; b[j] == '"' {
				return unsafe.String(&b[i+1], j-i-1), j + 1
			}
			break
		}
	}
	return "", -1
}

// array reads the start of an array; more is false when it is empty.
func (d *Decoder) array(b []byte, i int) (next int, more bool) {
	if i = space(b, i); i == len(b) || b[i] != '[' {
		return d.wrong(b, i), false
	}
	if i = space(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, false
	}
	return i, true
}

// element reads what stands behind an array's element.
func (d *Decoder) element(b []byte, i int) (next int, more bool) {
	if i = space(b, i); i < len(b) {
		switch b[i] {
		case ',':
			return space(b, i+1), true
		case ']':
			return i + 1, false
		}
	}
	return d.stop(ReasonMalformed, "", i), false
}

// null is called where the value of field at b[i] could not be read, for the reason in d.err: it
// accepts a null, and otherwise completes the error.
func (d *Decoder) null(b []byte, i int, field string) int {
	i = space(b, i)
	if len(b)-i >= 4 && string(b[i:i+4]) == "null" {
		return i + 4
	}
	if d.err.Field == "" && d.err.Reason != ReasonMalformed {
		d.err.Field = field
	}
	return -1
}

// wrong refuses a value that is of another type than its field, or no value at all.
func (d *Decoder) wrong(b []byte, i int) int {
	i = space(b, i)
	if d.skip(b, i, maxDepth) < 0 {
		return -1
	}
	return d.stop(ReasonWrongType, "", i)
}

// text reads a string of at most MaxTextBytes.
func (d *Decoder) text(b []byte, i int) (string, int) {
	if i >= len(b) || b[i] != '"' {
		j := space(b, i)
		if j >= len(b) || b[j] != '"' {
			return "", d.wrong(b, j)
		}
		i = j
	}
	start := i + 1
	for i = start; ; i += 8 {
		var m uint64
		if i+8 <= len(b) {
			m = special(binary.LittleEndian.Uint64(b[i:]))
		} else {
			m = special(tail(b, i))
		}
		if m == 0 {
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if i < len(b) && b[i] == '"' {
			if i-start > MaxTextBytes {
				return "", d.stop(ReasonTooLong, "", start)
			}
			return unsafe.String(&b[start], i-start), i + 1
		}
		return d.textSlow(b, start, i)
	}
}

// tail is the last, short word of b: what stands behind its end reads as quotes, which special marks.
func tail(b []byte, i int) uint64 {
	w := uint64(quotes)
	for k := len(b) - 1; k >= i; k-- {
		w = w<<8 | uint64(b[k])
	}
	return w
}

// textSlow is text for a string with something special in it.
func (d *Decoder) textSlow(b []byte, start, i int) (string, int) {
	end, escapes := d.scanText(b, start, i)
	if end < 0 {
		return "", end
	}
	if !escapes {
		if end-start > MaxTextBytes {
			return "", d.stop(ReasonTooLong, "", start)
		}
		return unsafe.String(&b[start], end-start), end + 1
	}
	// An unescaped string is never longer than the escaped one.
	if len(d.escaped)+end-start > cap(d.escaped) {
		d.escaped = make([]byte, 0, max(escapedChunk, end-start))
	}
	at := len(d.escaped)
	var bad int
	if d.escaped, bad = unescape(d.escaped, b[start:end]); bad >= 0 {
		return "", d.stop(ReasonMalformed, "", start+bad)
	}
	if len(d.escaped)-at > MaxTextBytes {
		return "", d.stop(ReasonTooLong, "", start)
	}
	if len(d.escaped) == at {
		return "", end + 1
	}
	return unsafe.String(&d.escaped[at], len(d.escaped)-at), end + 1
}

// escapedChunk is how many bytes of unescaped strings share one allocation.
const escapedChunk = 4 << 10

// skipText reads a string of any length. The result is valid until the next call.
func (d *Decoder) skipText(b []byte, i int) (string, int) {
	if i >= len(b) || b[i] != '"' {
		return "", d.stop(ReasonMalformed, "", i)
	}
	end, escapes := d.scanText(b, i+1, i+1)
	if end < 0 {
		return "", end
	}
	if !escapes {
		return unsafe.String(&b[i+1], end-i-1), end + 1
	}
	var bad int
	if d.names, bad = unescape(d.names[:0], b[i+1:end]); bad >= 0 {
		return "", d.stop(ReasonMalformed, "", i+1+bad)
	}
	return unsafe.String(unsafe.SliceData(d.names), len(d.names)), end + 1
}

// scanText finds the closing quote of the string whose text begins at start,
// looking from i on; what stands before i is plain.
func (d *Decoder) scanText(b []byte, start, i int) (end int, escapes bool) {
	ascii := true
	for i < len(b) {
		if i+8 <= len(b) {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
		}
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[start:i]) {
				return d.stop(ReasonMalformed, "", start), false
			}
			return i, escapes
		case c == '\\':
			escapes = true
			i += 2
		case c < ' ':
			return d.stop(ReasonMalformed, "", i), false
		default:
			ascii = ascii && c < utf8.RuneSelf
			i++
		}
	}
	return d.stop(ReasonMalformed, "", len(b)), false
}

// unescape appends text without its escapes. bad is the position of an escape
// that is none, or stands for half a character; −1 when there is none.
func unescape(dst, text []byte) (out []byte, bad int) {
	for i := 0; i < len(text); {
		c := text[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if i+1 == len(text) {
			return dst, i
		}
		switch text[i+1] {
		case '"', '\\', '/':
			dst = append(dst, text[i+1])
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := unit(text[i:])
			if r < 0 {
				return dst, i
			}
			if utf16.IsSurrogate(r) {
				if r = utf16.DecodeRune(r, unit(text[i+6:])); r == utf8.RuneError {
					return dst, i
				}
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			i += 4
		default:
			return dst, i
		}
		i += 2
	}
	return dst, -1
}

// unit is the UTF-16 code unit of the \uXXXX that text starts with, or −1.
func unit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range text[2:6] {
		digit := hexDigit[c]
		if digit < 0 {
			return -1
		}
		r = r<<4 | rune(digit)
	}
	return r
}

// bool reads true or false.
func (d *Decoder) bool(b []byte, i int) (value bool, next int) {
	i = space(b, i)
	if len(b)-i >= 4 && string(b[i:i+4]) == "true" {
		return true, i + 4
	}
	if len(b)-i >= 5 && string(b[i:i+5]) == "false" {
		return false, i + 5
	}
	return false, d.wrong(b, i)
}

// uuid reads a UUID in its canonical form, of any case.
func (d *Decoder) uuid(b []byte, i int, id *[16]byte) int {
	if len(b)-i >= 38 && b[i] == '"' && b[i+37] == '"' && parseUUID((*[36]byte)(b[i+1:]), id) {
		return i + 38
	}
	text, j := d.text(b, i)
	switch {
	case j < 0:
		return j
	case text == "":
		*id = [16]byte{}
	case len(text) != 36 || !parseUUID((*[36]byte)(unsafe.Slice(unsafe.StringData(text), 36)), id):
		return d.stop(ReasonBadID, "", i)
	}
	return j
}

func parseUUID(s *[36]byte, id *[16]byte) bool {
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	bad := int8(0)
	pair := func(k int) byte {
		high, low := hexDigit[s[k]], hexDigit[s[k+1]]
		bad |= high | low
		return byte(high<<4 | low)
	}
	*id = [16]byte{
		pair(0), pair(2), pair(4), pair(6), pair(9), pair(11), pair(14), pair(16),
		pair(19), pair(21), pair(24), pair(26), pair(28), pair(30), pair(32), pair(34),
	}
	return bad >= 0
}

// hexDigit is the value of a hexadecimal digit, −1 of any other byte.
var hexDigit = func() (digits [256]int8) {
	for c := range digits {
		digits[c] = -1
	}
	for c := range int8(10) {
		digits['0'+c] = c
	}
	for c := range int8(6) {
		digits['a'+c], digits['A'+c] = 10+c, 10+c
	}
	return digits
}()

// bytes reads base64 text into dst's place.
func (d *Decoder) bytes(b []byte, i int, dst []byte) ([]byte, int) {
	i = space(b, i)
	if i >= len(b) || b[i] != '"' {
		return dst[:0], d.wrong(b, i)
	}
	text, j := d.skipText(b, i)
	if j < 0 {
		return dst[:0], j
	}
	dst, err := base64.StdEncoding.Strict().AppendDecode(dst[:0], unsafe.Slice(unsafe.StringData(text), len(text)))
	if err != nil || strings.ContainsAny(text, "\r\n") { // the library skips line ends
		return dst[:0], d.stop(ReasonWrongType, "", i)
	}
	return dst, j
}

// skip reads any value, of at most depth levels of nesting.
func (d *Decoder) skip(b []byte, i int, depth int) int {
	if i >= len(b) || depth == 0 {
		return d.stop(ReasonMalformed, "", i)
	}
	switch b[i] {
	case '"':
		_, i = d.skipText(b, i)
		return i
	case '{':
		_, i, more := d.first(b, i+1)
		for i >= 0 && more {
			if i = d.skip(b, i, depth-1); i >= 0 {
				_, i, more = d.member(b, i)
			}
		}
		return i
	case '[':
		i, more := d.array(b, i)
		for i >= 0 && more {
			if i = d.skip(b, i, depth-1); i >= 0 {
				i, more = d.element(b, i)
			}
		}
		return i
	case 't', 'f', 'n':
		for _, word := range [...]string{"true", "false", "null"} {
			if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
				return i + len(word)
			}
		}
	default:
		if _, end := scanNumber(b, i); end > i {
			return end
		}
	}
	return d.stop(ReasonMalformed, "", i)
}

// extend makes s longer by one element, which keeps what its place held so
// that decoding can reuse it.
func extend[T any](s []T) []T {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	var zero T
	return append(s, zero)
}
