package embedded

import (
	"errors"
	"sync"
	"time"
)

// session is a connection kept for one client between requests, with its
// temporary tables and settings.
type session struct {
	role  role
	conn  *connection
	busy  bool
	uses  int         // requests so far; tells a stale timer from the current one
	timer *time.Timer // ends the session while it is not busy
}

// sessions keeps them by user and session id.
type sessions struct {
	pool  *pool
	limit int

	mu   sync.Mutex
	open map[string]*session
}

var (
	errSessionLocked  = errors.New("session is locked by a concurrent client")
	errSessionMissing = errors.New("session not found")
)

// take opens or resumes a session and marks it busy. mustExist is ClickHouse's
// session_check=1.
func (s *sessions) take(key string, r role, mustExist bool) (*session, error) {
	s.mu.Lock()
	if found := s.open[key]; found != nil {
		defer s.mu.Unlock()
		if found.busy {
			return nil, errSessionLocked
		}
		found.busy = true
		found.uses++
		found.timer.Stop()
		return found, nil
	}
	if mustExist {
		s.mu.Unlock()
		return nil, errSessionMissing
	}
	// The place is taken before the connection exists, so that two first
	// requests of one session cannot both open it.
	fresh := &session{role: r, busy: true}
	s.open[key] = fresh
	evicted := s.evict()
	s.mu.Unlock()
	if evicted != nil {
		evicted.close()
	}
	conn, err := s.pool.get(r, homeDatabase)
	if err != nil {
		s.mu.Lock()
		delete(s.open, key)
		s.mu.Unlock()
		return nil, err
	}
	fresh.conn = conn
	return fresh, nil
}

// evict drops one idle session when there are too many; callers hold mu.
func (s *sessions) evict() *connection {
	if len(s.open) <= s.limit {
		return nil
	}
	for key, candidate := range s.open {
		if !candidate.busy {
			candidate.timer.Stop()
			delete(s.open, key)
			return candidate.conn
		}
	}
	return nil
}

// release ends the request; the session ends too when it stays unused for
// timeout, or at once when its connection is not usable any more.
func (s *sessions) release(key string, held *session, timeout time.Duration, usable bool) {
	s.mu.Lock()
	if !usable {
		delete(s.open, key)
		s.mu.Unlock()
		held.conn.close()
		return
	}
	held.busy = false
	uses := held.uses
	held.timer = time.AfterFunc(timeout, func() {
		s.mu.Lock()
		// A request may have resumed the session after the timer fired.
		expired := s.open[key] == held && !held.busy && held.uses == uses
		if expired {
			delete(s.open, key)
		}
		s.mu.Unlock()
		if expired {
			held.conn.close()
		}
	})
	s.mu.Unlock()
}

// close ends every session. Nothing may be running.
func (s *sessions) close() {
	s.mu.Lock()
	open := s.open
	s.open = map[string]*session{}
	s.mu.Unlock()
	for _, held := range open {
		if held.timer != nil {
			held.timer.Stop()
		}
		held.conn.close()
	}
}
