package wire

import (
	"encoding/binary"
	"unsafe"
)

// AppendString appends a length-prefixed string, since an id may hold any character.
func AppendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// CutString splits what AppendString wrote off key. Keys come from AppendString only.
func CutString(key string) (s, rest string) {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := key[0]
		key = key[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return key[:n], key[n:]
		}
	}
}

// AppendPart appends one part of a record's key, escaped, and the | that ends it. The last part goes without:
// see event.Kind.Routed for what the first one means.
func AppendPart(dst []byte, part string) []byte {
	for i := range len(part) {
		if part[i] == '|' || part[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, part[i])
	}
	return append(dst, '|')
}

// Alias is a string over b, for calls that clone what they keep.
func Alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Names keeps one copy of each short, often repeated name: POPs, currencies, languages.
type Names struct{ known map[string]string }

// maxNames bounds the copies kept; names beyond it are cloned each time.
const maxNames = 4096

// Text is the kept copy of s, which may alias a buffer.
func (n *Names) Text(s string) string {
	if kept, ok := n.known[s]; ok {
		return kept
	}
	if n.known == nil {
		n.known = map[string]string{}
	}
	kept := string(append([]byte(nil), s...))
	if len(n.known) < maxNames {
		n.known[kept] = kept
	}
	return kept
}

// Bytes is the kept copy of b.
func (n *Names) Bytes(b []byte) string {
	if kept, ok := n.known[string(b)]; ok {
		return kept
	}
	return n.Text(Alias(b))
}
