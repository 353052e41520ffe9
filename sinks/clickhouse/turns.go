package clickhouse

import (
	"sync"
	"time"
)

// turns lets batches that have come of age go when there is room for their
// inserts, the one that waits longest first. A batch that waits here is still
// open and grows; sealed, it would wait behind the others' inserts as small as
// it is, and the next one after it. Its methods may be called from any goroutine.
type turns struct {
	mu      sync.Mutex
	waiting map[*Loader]turn
}

// turn is one loader's place: since when it waits, and when it last asked.
type turn struct{ since, asked time.Time }

// absent is when a loader that has not asked for so long does not hold the others up: its worker is busy
// otherwise, or gone.
const absent = 200 * time.Millisecond

// mine says whether l may go, room being how many may, and forgets it if so.
func (t *turns) mine(l *Loader, room int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, waits := t.waiting[l]
	if !waits {
		at.since = now
	}
	at.asked = now
	for other, o := range t.waiting {
		if other != l && o.since.Before(at.since) && now.Sub(o.asked) < absent {
			room--
		}
	}
	if room > 0 {
		delete(t.waiting, l)
		return true
	}
	if t.waiting == nil {
		t.waiting = map[*Loader]turn{}
	}
	t.waiting[l] = at
	return false
}

// leave gives l's place up.
func (t *turns) leave(l *Loader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, l)
}
