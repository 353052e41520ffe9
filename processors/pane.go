package processors

import "github.com/droplift/droplift/ingest/event"

// PaneStart is the start of the pane of paneMS that holds at. Times are positive.
func PaneStart(at, paneMS int64) int64 { return at - at%paneMS }

// LastPaneEnd is the last millisecond of the pane that holds a drop's last millisecond.
func LastPaneEnd(endMS, paneMS int64) int64 { return PaneStart(endMS-1, paneMS) + paneMS - 1 }

// FlushPanes hands every pane that has to be published to emit: as final those that end at or before passed (Unix ms), which are
// deleted then, and as provisional those that changed. closed says whether there was a final one.
func FlushPanes[S any](panes *Table[S], passed int64, emit func(key string, pane *S, m event.Maturity)) (closed bool) {
	panes.Due(passed, func(key string, pane *S) {
		emit(key, pane, event.Final)
		panes.Delete(key)
		closed = true
	})
	panes.Changed(func(key string, pane *S) { emit(key, pane, event.Provisional) })
	return closed
}

// Maturity of what can change no more, or still can.
func Maturity(final bool) event.Maturity {
	if final {
		return event.Final
	}
	return event.Provisional
}
