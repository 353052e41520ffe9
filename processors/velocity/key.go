package velocity

import (
	"encoding/binary"
	"strconv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

// paneStart rounds down; times are positive.
func paneStart(at, paneMS int64) int64 { return at - at%paneMS }

// lastPaneEnd is the last millisecond of the pane that holds a drop's last millisecond.
func lastPaneEnd(endMS, paneMS int64) int64 { return paneStart(endMS-1, paneMS) + paneMS - 1 }

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
