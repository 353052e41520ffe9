package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// role is what a client may do. Both are roles of the engine's one user, so a
// connection is bound to its role when it is opened.
type role string

const (
	roleAdmin  role = "admin"  // everything but local files
	roleReader role = "reader" // SELECT and SHOW, settings within readonly=2
)

// setting is one SET for the length of a request or session.
type setting struct{ name, value string }

// homeDatabase is where a connection begins.
const homeDatabase = "default"

// pool hands out engine connections. At most size requests run at once; more
// of them wait. Connections come back clean or not at all, but for the database
// they are in: every statement costs the engine about a millisecond of
// processor time, so that one is changed only for a request that needs another.
type pool struct {
	lib  *library
	args []string
	base map[string]string // settings every connection starts from

	slots   chan struct{}
	control *connection // held open so that the engine never shuts down; runs KILL
	killing sync.Mutex  // guards control

	mu     sync.Mutex
	idle   map[role][]*connection // the last one was used last
	epoch  uint64                 // counts statements that may have removed a database
	closed bool
}

// newPool boots the engine. base is applied to every connection with SET.
func newPool(lib *library, args []string, size int, base map[string]string) (*pool, error) {
	p := &pool{lib: lib, args: args, base: base, slots: make(chan struct{}, size), idle: map[role][]*connection{}}
	var err error
	p.control, err = lib.open(args)
	return p, err
}

// enter waits for a turn to use the engine; leave gives it back.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) leave() { <-p.slots }

// get returns a clean connection of the role in the database.
func (p *pool) get(r role, database string) (*connection, error) {
	c, epoch := p.take(r, database)
	if c == nil {
		var err error
		if c, err = p.open(r); err != nil {
			return nil, err
		}
		c.database, c.epoch = homeDatabase, epoch
	}
	if c.database == database && (c.epoch == epoch || database == homeDatabase) {
		return c, nil
	}
	if err := c.exec("USE " + quoteName(database)); err != nil {
		c.close()
		return nil, err
	}
	c.database, c.epoch = database, epoch
	return c, nil
}

// take removes an idle connection, one in the database if there is any.
func (p *pool) take(r role, database string) (c *connection, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[r]
	if len(list) == 0 {
		return nil, p.epoch
	}
	at := len(list) - 1
	for i, c := range slices.Backward(list) {
		if c.database == database {
			at = i
			break
		}
	}
	c = list[at]
	p.idle[r] = slices.Delete(list, at, at+1)
	return c, p.epoch
}

// databasesChanged makes every connection find out again whether its database
// is there.
func (p *pool) databasesChanged() {
	p.mu.Lock()
	p.epoch++
	p.mu.Unlock()
}

// open makes a connection of the role.
func (p *pool) open(r role) (*connection, error) {
	c, err := p.lib.open(p.args)
	if err != nil {
		return nil, err
	}
	statements := []string{"SET ROLE " + string(r)}
	if len(p.base) > 0 {
		settings := make([]setting, 0, len(p.base)+1)
		for name, value := range p.base {
			settings = append(settings, setting{name, value})
		}
		statements = append(statements, setStatement(settings))
	}
	if r == roleReader {
		statements = append(statements, "SET readonly = 2")
	}
	for _, sql := range statements {
		if err := c.exec(sql); err != nil {
			c.close()
			return nil, fmt.Errorf("prepare a %s connection: %w", r, err)
		}
	}
	return c, nil
}

// put takes back a connection that get returned and that is clean again,
// whatever database it is in.
func (p *pool) put(r role, c *connection) {
	p.mu.Lock()
	if !p.closed && len(p.idle[r]) < cap(p.slots) {
		p.idle[r] = append(p.idle[r], c)
		c = nil
	}
	p.mu.Unlock()
	if c != nil {
		c.close()
	}
}

// kill cancels whatever the thread is running and reports whether that was
// anything. Callers make sure the thread still belongs to the request they mean.
func (p *pool) kill(thread int) (found bool, err error) {
	p.killing.Lock()
	defer p.killing.Unlock()
	killed, err := p.control.query(fmt.Sprintf("KILL QUERY WHERE has(thread_ids, %d) ASYNC", thread), "TabSeparated", nil)
	if err != nil {
		return false, err
	}
	defer killed.free()
	return len(killed.data) > 0, nil
}

// close closes the idle connections and then the engine, which flushes and
// stops. Nothing may be running.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, list := range idle {
		for _, c := range list {
			c.close()
		}
	}
	p.control.close()
}

// exec runs a statement whose output does not matter.
func (c *connection) exec(sql string) error {
	r, err := c.query(sql, "Null", nil)
	if err != nil {
		return err
	}
	r.free()
	return nil
}

// setStatement renders one SET of all settings.
func setStatement(settings []setting) string { return "SET " + assignments(settings) }

// assignments renders settings as SET and the SETTINGS clause take them.
func assignments(settings []setting) string {
	parts := make([]string, len(settings))
	for i, s := range settings {
		parts[i] = s.name + " = " + quoteString(s.value)
	}
	return strings.Join(parts, ", ")
}

// resetStatement undoes setStatement on a connection of the pool. DEFAULT is
// the engine's built-in value, so settings of base are named again.
func (p *pool) resetStatement(settings []setting) string {
	parts := make([]string, 0, len(settings))
	for _, s := range settings {
		value := "DEFAULT"
		if base, ok := p.base[s.name]; ok {
			value = quoteString(base)
		}
		parts = append(parts, s.name+" = "+value)
	}
	return "SET " + strings.Join(parts, ", ")
}
