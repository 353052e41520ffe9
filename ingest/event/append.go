package event

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	if plain(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	return appendEscaped(dst, s)
}

// plain says that s is ASCII with nothing to escape.
func plain(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	if len(b) < 8 {
		return bits.TrailingZeros64(special(tail(b, 0)))>>3 == len(b) // the quote that tail adds
	}
	for i := 0; i < len(b)-8; i += 8 {
		if special(binary.LittleEndian.Uint64(b[i:])) != 0 {
			return false
		}
	}
	return special(binary.LittleEndian.Uint64(b[len(b)-8:])) == 0
}

func appendEscaped(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0 // what is appended already
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			if c < utf8.RuneSelf {
				i++
				continue
			}
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(dst, s[done:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
		} else {
			dst = append(dst, s[done:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
		i++
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

// appendFloat appends the shortest decimal that reads back as f.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	abs := math.Abs(f)
	if abs < 1<<53 && f == math.Trunc(f) && (f != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	if abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}

func appendUUID(dst []byte, id [16]byte) []byte {
	dst = append(dst, `"00000000-0000-0000-0000-000000000000"`...)
	out := (*[38]byte)(dst[len(dst)-38:])
	for i, c := range id {
		at := uuidByte[i]
		out[at], out[at+1] = hexDigits[c>>4], hexDigits[c&15]
	}
	return dst
}

// uuidByte is where each byte of a UUID stands in its quoted text.
var uuidByte = [16]uint8{1, 3, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 29, 31, 33, 35}

func appendBytes(dst, value []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, '"')
}

func appendUint32s(dst []byte, values []uint32) []byte {
	for i, v := range values {
		dst = strconv.AppendUint(append(dst, separator(i)), uint64(v), 10)
	}
	return append(dst, ']')
}

func appendInt64s(dst []byte, values []int64) []byte {
	for i, v := range values {
		dst = strconv.AppendInt(append(dst, separator(i)), v, 10)
	}
	return append(dst, ']')
}

func appendFloat64s(dst []byte, values []float64) []byte {
	for i, v := range values {
		dst = appendFloat(append(dst, separator(i)), v)
	}
	return append(dst, ']')
}

// separator stands before element i of an array.
func separator(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}

// closeObject ends the object that starts at start, every member of which was written with a comma before it.
func closeObject(dst []byte, start int) []byte {
	if len(dst) == start {
		dst = append(dst, '{')
	} else {
		dst[start] = '{'
	}
	return append(dst, '}')
}
