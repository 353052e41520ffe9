package churn

import (
	"cmp"
	"slices"
)

// The levels of tiles, finest first, and the window that each must serve: tiles
// older than that window are merged into the next level, and after the last
// level forgotten.
const (
	fine   = iota // 5 minutes, for 1 h
	middle        // 1 hour, for 24 h
	coarse        // 1 UTC day, for 7 d and 28 d
	numLevels
)

var levels = [numLevels]struct{ width, window int64 }{{5 * minute, hour}, {hour, day}, {day, 28 * day}}

// windows in the order of event.Features, each with the level that aligns it.
var windows = [...]struct {
	width int64
	level int
}{{hour, fine}, {day, middle}, {7 * day, coarse}, {28 * day, coarse}}

// tile is what happened in one tile of time.
type tile struct {
	// index is the tile's start in units of its level's width since the epoch.
	index       int32
	active      bool
	sessions    uint32 // that start here
	playMS      uint32
	landings    uint32
	impressions uint32
	clicks      uint32
	checkouts   uint32
	requests    uint32 // with latency
	latencyMax  uint32 // µs
	latencySum  uint64 // µs: whole, so that the order of adding does not show
	net         [maxCurrencies]int64
}

func (t *tile) merge(from *tile) {
	t.active = t.active || from.active
	t.sessions += from.sessions
	t.playMS += from.playMS
	t.landings += from.landings
	t.impressions += from.impressions
	t.clicks += from.clicks
	t.checkouts += from.checkouts
	t.requests += from.requests
	t.latencyMax = max(t.latencyMax, from.latencyMax)
	t.latencySum += from.latencySum
	for i, v := range from.net {
		t.net[i] += v
	}
}

// floorDiv rounds down, below zero too.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// windowStart is where a window as of asOf begins (Unix ms): aligned down to its tile.
func windowStart(window int, asOf int64) int64 {
	width := levels[windows[window].level].width
	return floorDiv(asOf-windows[window].width, width) * width
}

// tiles are the non-empty tiles of every level. A moment belongs to the finest
// level whose window still reaches it, so where something is counted depends on
// the newest event and not on the order of arrival.
type tiles struct {
	level [numLevels]level
	// oldest is the index of the oldest tile that each level keeps.
	oldest [numLevels]int64
}

// level is one level's tiles, oldest first in list, or still packed as they were
// read: most events change the newest tile only, and the rest goes from one
// version of the state to the next as it is.
type level struct {
	list   []tile
	packed bool
	pack   []byte
}

// advance moves on to asOf and merges upward what the finer windows have left.
func (t *tiles) advance(asOf int64) {
	t.reach(asOf)
	for l := range t.level {
		from := &t.level[l]
		if from.first() >= t.oldest[l] {
			continue
		}
		from.unpack()
		left := 0
		for left < len(from.list) && int64(from.list[left].index) < t.oldest[l] {
			if l+1 < numLevels {
				old := &from.list[left]
				index := floorDiv(int64(old.index)*levels[l].width, levels[l+1].width)
				t.level[l+1].tile(int32(index)).merge(old)
			}
			left++
		}
		from.list = slices.Delete(from.list, 0, left)
	}
}

// reach sets how far back each level reaches as of asOf.
func (t *tiles) reach(asOf int64) {
	for l := range levels {
		t.oldest[l] = floorDiv(asOf-levels[l].window, levels[l].width)
	}
}

// at is the tile that counts a moment, or nil when it is older than every window.
// It is valid until the next call.
func (t *tiles) at(ms int64) *tile {
	for l := range levels {
		if index := floorDiv(ms, levels[l].width); index >= t.oldest[l] {
			return t.level[l].tile(int32(index))
		}
	}
	return nil
}

// tile finds or makes a tile; the newest is the likely one.
func (l *level) tile(index int32) *tile {
	l.unpack()
	if n := len(l.list); n > 0 && l.list[n-1].index == index {
		return &l.list[n-1]
	}
	i, found := slices.BinarySearchFunc(l.list, index, func(t tile, index int32) int { return cmp.Compare(t.index, index) })
	if !found {
		l.list = slices.Insert(l.list, i, tile{index: index})
	}
	return &l.list[i]
}
