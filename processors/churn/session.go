package churn

import (
	"cmp"
	"slices"
)

// span is an analytic session: activity that is at most SessionGap apart.
type span struct{ start, end int64 }

// gaps is the EWMA of inter-session gaps in seconds (DOMAIN 1.1).
type gaps struct{ mean, variance float64 }

func (g *gaps) fold(first bool, seconds, alpha float64) {
	if first {
		*g = gaps{mean: seconds}
		return
	}
	d := seconds - g.mean
	g.mean += alpha * d
	g.variance = (1 - alpha) * (g.variance + alpha*d*d)
}

// sessions are a player's analytic sessions. Those that an event can still
// extend or join are open; the others are only counted, and their gaps folded.
// The published EWMA folds the gaps between open sessions as well, on a copy, so
// it does not depend on what has been closed so far.
type sessions struct {
	closed  uint32
	lastEnd int64 // of the closed ones
	gaps    gaps  // between the closed ones
	open    []span
}

// maxOpen bounds the sessions that wait for the watermark.
const maxOpen = 32

// add folds one moment of activity in and counts session starts in t.
func (s *sessions) add(at int64, t *tiles, cfg *Config) {
	gap := cfg.SessionGap
	if s.closed > 0 && at <= s.lastEnd+gap {
		// Only after maxOpen closed it early: it is no session of its own.
		s.lastEnd = max(s.lastEnd, at)
		return
	}
	i := len(s.open)
	for i > 0 && s.open[i-1].end+gap >= at {
		i--
	}
	if i == len(s.open) || s.open[i].start-gap > at {
		s.open = slices.Insert(s.open, i, span{at, at})
		t.start(at, 1)
		if len(s.open) > maxOpen {
			s.close(1, cfg)
		}
		return
	}
	session := &s.open[i]
	if at < session.start {
		t.start(session.start, -1)
		t.start(at, 1)
		session.start = at
	}
	if at > session.end {
		session.end = at
		if i+1 < len(s.open) && s.open[i+1].start-gap <= at {
			t.start(s.open[i+1].start, -1)
			session.end = s.open[i+1].end
			s.open = slices.Delete(s.open, i+1, i+2)
		}
	}
}

func (t *tiles) start(at int64, sign int32) {
	if tile := t.at(at); tile != nil {
		tile.sessions += uint32(sign)
	}
}

// settle closes the sessions that no event after horizon can change: one that
// follows by exactly gap would still join.
func (s *sessions) settle(horizon int64, cfg *Config) {
	n := 0
	for n < len(s.open) && s.open[n].end+cfg.SessionGap <= horizon {
		n++
	}
	s.close(n, cfg)
}

func (s *sessions) close(n int, cfg *Config) {
	for _, session := range s.open[:n] {
		s.fold(session, cfg)
	}
	s.open = slices.Delete(s.open, 0, n)
}

func (s *sessions) fold(session span, cfg *Config) {
	if s.closed > 0 {
		s.gaps.fold(s.closed == 1, float64(session.start-s.lastEnd)/1000, cfg.GapAlpha)
	}
	s.closed++
	s.lastEnd = session.end
}

// total is the number of sessions and the EWMA over all gaps between them.
func (s *sessions) total(cfg *Config) (uint32, gaps) {
	all := sessions{closed: s.closed, lastEnd: s.lastEnd, gaps: s.gaps}
	for _, session := range s.open {
		all.fold(session, cfg)
	}
	return all.closed, all.gaps
}

// mark is one sign of life of an explicit session. At the same moment an end
// comes before a heartbeat and that before a start, so that back-to-back
// sessions keep their playtime.
type mark struct {
	at        int64
	kind      markKind
	heartbeat int32 // H in ms
}

type markKind uint8

const (
	markEnd markKind = iota
	markHeartbeat
	markStart
)

func compareMarks(a, b mark) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.heartbeat, b.heartbeat))
}

// played is the playtime between two consecutive marks: capped at 1.5·H, and
// none when they belong to different sessions: one ended, the next one started,
// or the liveness timeout 3·H came between. H is the longer interval of the two,
// so a client told to slow down loses nothing. The playtime is [a.at, a.at+played).
func played(a, b mark) int64 {
	d, h := b.at-a.at, int64(max(a.heartbeat, b.heartbeat))
	if a.kind == markEnd || b.kind == markStart || d > 3*h {
		return 0
	}
	return min(d, 3*h/2)
}

// marks are the signs of life that one to come can still fall between: those
// after the horizon and the last one before. Playtime is the player's: the
// heartbeats of two devices make one timeline.
type marks struct {
	list []mark
	// cut says that maxMarks made it forget one early; what is older than the list is then ignored.
	cut bool
}

// maxMarks bounds them: twice the allowed lateness of heartbeats every 10 s.
const maxMarks = 128

func (m *marks) add(new mark, t *tiles) {
	i, found := slices.BinarySearchFunc(m.list, new, compareMarks)
	if found || i == 0 && m.cut && len(m.list) > 0 {
		return
	}
	if i > 0 && i < len(m.list) {
		t.play(m.list[i-1].at, played(m.list[i-1], m.list[i]), -1)
	}
	m.list = slices.Insert(m.list, i, new)
	if i > 0 {
		t.play(m.list[i-1].at, played(m.list[i-1], new), 1)
	}
	if i+1 < len(m.list) {
		t.play(new.at, played(new, m.list[i+1]), 1)
	}
	if len(m.list) > maxMarks {
		m.list = slices.Delete(m.list, 0, 1)
		m.cut = true
	}
}

// play adds (sign 1) or takes back (−1) playtime, tile by tile.
func (t *tiles) play(from, ms int64, sign int32) {
	for to := from + ms; from < to; {
		next := min(to, (floorDiv(from, levels[fine].width)+1)*levels[fine].width)
		if tile := t.at(from); tile != nil {
			tile.playMS += uint32(sign) * uint32(next-from) // modulo 2³²: taking back is exact
		}
		from = next
	}
}

// settle forgets the marks that none after horizon can be next to.
func (m *marks) settle(horizon int64) {
	n := 0
	for n+1 < len(m.list) && m.list[n+1].at <= horizon {
		n++
	}
	if n < len(m.list) && m.list[n].at <= horizon && m.list[n].kind == markEnd {
		n++ // nothing is played after an end
	}
	m.list = slices.Delete(m.list, 0, n)
	if n > 0 {
		m.cut = false
	}
}
