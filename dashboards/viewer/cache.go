package viewer

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache keeps the answers of the last moments, up to a number of bytes; the least recently used leave first.
type cache struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[string, kept]
	bytes int
	max   int
}

// kept is an answer; nobody changes it.
type kept struct {
	value   any
	size    int
	expires time.Time
}

// overhead is about what an entry costs beside its answer.
const overhead = 512

func newCache(bytes int) (*cache, error) {
	c := &cache{max: bytes}
	lru, err := simplelru.NewLRU(bytes/overhead+1, func(_ string, k kept) { c.bytes -= k.size })
	c.lru = lru
	return c, err
}

func (c *cache) get(key string, now time.Time) (any, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.lru.Get(key)
	if !ok {
		return nil, false
	}
	if !now.Before(k.expires) {
		c.lru.Remove(key)
		return nil, false
	}
	return k.value, true
}

func (c *cache) put(key string, value any, size int, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(key)
	k := kept{value, size + len(key) + overhead, expires}
	if k.size > c.max {
		return
	}
	c.lru.Add(key, k)
	c.bytes += k.size
	for c.bytes > c.max {
		c.lru.RemoveOldest()
	}
}

// shared is the answer called key: a kept one, that of a question under way, or ask's, which also says its size in
// bytes. Whoever asks may leave early; the question goes on for the others and for the cache, until its timeout.
func shared[T any](ctx context.Context, h *Handler, key string, ask func(context.Context) (T, int, error)) (T, error) {
	var none T
	if value, ok := h.cache.get(key, h.cfg.Now()); ok {
		h.metrics.cache.WithLabelValues("hit").Inc()
		return value.(T), nil
	}
	asked := false
	flight := h.flights.DoChan(key, func() (any, error) {
		asked = true
		value, size, err := take(h, ask)
		if err == nil {
			// A page asks again after a refresh, and shall then get something new.
			h.cache.put(key, value, size, h.cfg.Now().Add(h.cfg.Refresh*9/10))
		}
		return value, err
	})
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case result := <-flight:
		outcome := "shared"
		if asked {
			outcome = "miss"
		}
		h.metrics.cache.WithLabelValues(outcome).Inc()
		if result.Err != nil {
			return none, result.Err
		}
		return result.Val.(T), nil
	}
}

// take waits for its turn and asks.
func take[T any](h *Handler, ask func(context.Context) (T, int, error)) (value T, size int, err error) {
	waiting, cancel := context.WithTimeout(h.alive, h.cfg.Timeout)
	defer cancel()
	if err := h.slots.Acquire(waiting, 1); err != nil {
		if h.alive.Err() != nil {
			return value, 0, context.Canceled
		}
		return value, 0, problem(Timeout, "Too many queries wait for their turn.").fixedBy("Close some dashboards or refresh them less often.")
	}
	defer h.slots.Release(1)
	ctx, cancel := context.WithTimeout(h.alive, h.cfg.Timeout)
	defer cancel()
	began := time.Now()
	value, size, err = ask(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // whatever the source says of a query that was cut short
	}
	h.metrics.asked(time.Since(began), err)
	return value, size, err
}
