package velocity

import (
	"encoding/binary"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// appendPaneKey ends in the pane's start, big-endian: keys sort by time.
func appendPaneKey(dst []byte, drop, pop string, start int64) []byte {
	dst = wire.AppendString(dst, drop)
	dst = wire.AppendString(dst, pop)
	return binary.BigEndian.AppendUint64(dst, uint64(start))
}

// appendRecordKey appends drop_id|pop|pane_start|partition.
func appendRecordKey(dst []byte, v *event.Velocity) []byte {
	dst = wire.AppendPart(dst, v.DropID)
	dst = wire.AppendPart(dst, v.POP)
	dst = append(strconv.AppendInt(dst, v.PaneStart, 10), '|')
	return strconv.AppendInt(dst, int64(v.Partition), 10)
}
