package replay

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// identity is the UUIDv7 of a source's record: 48 bits of event time and 74 of a
// hash of where the record stands, nothing of what it says. ms must be in [0, 2^48).
func identity(source string, record uint64, ms int64) uuid.UUID {
	var id uuid.UUID
	place := binary.BigEndian.AppendUint64(append([]byte(source), 0), record)
	sum := sha256.Sum256(place)
	copy(id[6:], sum[:])
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// maxTimeMS is the last millisecond that a UUIDv7 can carry.
const maxTimeMS = 1<<48 - 1

// message encodes ev under its kind's partition key.
func message(ev *event.Event) event.Message {
	key := ev.PlayerID
	switch ev.Kind {
	case event.KindSubtitle:
		key = ev.Subtitle.StreamID
	case event.KindDrop:
		key = ev.DropID
	}
	m := event.Message{Kind: ev.Kind, Value: event.Append(make([]byte, 0, 512), ev)}
	if key != "" { // no key at all spreads over the partitions, an empty one would not
		m.Key = []byte(key)
	}
	return m
}
