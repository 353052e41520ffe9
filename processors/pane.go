package processors

import "github.com/droplift/droplift/ingest/event"

// PaneStart is the start of the pane of paneMS that holds at. Times are positive.
func PaneStart(at, paneMS int64) int64 { return at - at%paneMS }

// LastPaneEnd is the last millisecond of the pane that holds a drop's last millisecond.
func LastPaneEnd(endMS, paneMS int64) int64 { return PaneStart(endMS-1, paneMS) + paneMS - 1 }

// Maturity of what can change no more, or still can.
func Maturity(final bool) event.Maturity {
	if final {
		return event.Final
	}
	return event.Provisional
}
