package velocity

import (
	"encoding/binary"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
)

// paneStart rounds down; times are positive.
func paneStart(at, paneMS int64) int64 { return at - at%paneMS }

// lastPaneEnd is the last millisecond of the pane that holds a drop's last millisecond.
func lastPaneEnd(endMS, paneMS int64) int64 { return paneStart(endMS-1, paneMS) + paneMS - 1 }

// Keys of the state are length-prefixed, since an id may hold any character.

func appendID(dst []byte, id string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(id)))
	return append(dst, id...)
}

// cutID splits what appendID wrote off key. Keys come from appendID only.
func cutID(key string) (id, rest string) {
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

// appendPaneKey ends in the pane's start, big-endian: keys sort by time.
func appendPaneKey(dst []byte, drop, pop string, start int64) []byte {
	dst = appendID(dst, drop)
	dst = appendID(dst, pop)
	return binary.BigEndian.AppendUint64(dst, uint64(start))
}

// appendRecordKey appends drop_id|pop|pane_start|partition.
func appendRecordKey(dst []byte, v *event.Velocity) []byte {
	dst = append(appendEscaped(dst, v.DropID), '|')
	dst = append(appendEscaped(dst, v.POP), '|')
	dst = append(strconv.AppendInt(dst, v.PaneStart, 10), '|')
	return strconv.AppendInt(dst, int64(v.Partition), 10)
}

func appendEscaped(dst []byte, id string) []byte {
	for i := range len(id) {
		if id[i] == '|' || id[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, id[i])
	}
	return dst
}

// names keeps one copy of each short, often repeated name (POPs, currencies).
type names struct{ known map[string]string }

// maxNames bounds the copies kept; names beyond it are cloned each time.
const maxNames = 4096

func (n *names) text(s string) string {
	if kept, ok := n.known[s]; ok {
		return kept
	}
	kept := string(append([]byte(nil), s...))
	if len(n.known) < maxNames {
		n.known[kept] = kept
	}
	return kept
}

func (n *names) bytes(b []byte) string {
	if kept, ok := n.known[string(b)]; ok {
		return kept
	}
	return n.text(alias(b))
}
