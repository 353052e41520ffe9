package kafka

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
)

// pressure is how close the process is to its memory limit, and so how fast a
// Stage may take new records.
type pressure int32

const (
	fullSpeed pressure = iota
	slowed             // transactions are smaller
	stopped            // no new records are fetched; what is there is flushed
)

// pressureNames are label values.
var pressureNames = [...]string{fullSpeed: "full_speed", slowed: "slowed", stopped: "stopped"}

// Per cent of the limit at which a level begins, and below which it ends: the distance keeps one
// transaction's memory from switching it on and off.
const (
	slowFrom, slowUntil = 80, 75
	stopFrom, stopUntil = 90, 85
)

// slowedShare is the part of StageConfig.MaxRecords that a transaction takes when slowed.
const slowedShare = 8

// next is the level after p with so many bytes used of limit.
func (p pressure) next(used, limit int64) pressure {
	percent := 100 * float64(used) / float64(limit)
	switch {
	case percent >= stopFrom, p == stopped && percent >= stopUntil:
		return stopped
	case percent >= slowFrom, p != fullSpeed && percent >= slowUntil:
		return slowed
	}
	return fullSpeed
}

// records is how many of limit a transaction may take.
func (p pressure) records(limit int) int {
	if p == slowed {
		return max(1, limit/slowedShare)
	}
	return limit
}

// MemoryConfig describes a MemoryGuard. Limit is required.
type MemoryConfig struct {
	// Limit of the process's memory in bytes. The guard does not enforce it; runtime/debug.SetMemoryLimit with the same number
	// makes the collector work for it.
	Limit int64
	// Used measures the bytes in use. Default: what the Go runtime cannot give back, see liveMemory.
	Used func() int64
	// Registerer gets the guard's metrics. Default: none.
	Registerer prometheus.Registerer
	// Logger gets a line when the level changes. Default: discard.
	Logger *slog.Logger
}

// Validate reports every problem at once.
func (c MemoryConfig) Validate() error {
	if c.Limit <= 0 {
		return fmt.Errorf("memory limit of %d bytes is not positive", c.Limit)
	}
	return nil
}

// MemoryGuard keeps the Stages of a process from filling its memory until the
// system kills it: near the limit they slow down, then stop fetching, and Ready says so. State that
// expires, or moves to another instance, frees memory and they go on. Safe for concurrent use.
type MemoryGuard struct {
	cfg MemoryConfig

	asking sync.Mutex
	live   liveMemory

	level atomic.Int32 // a pressure
	used  atomic.Int64

	usedBytes prometheus.Gauge
	levels    *prometheus.GaugeVec // level
}

// NewMemoryGuard validates and registers metrics.
func NewMemoryGuard(cfg MemoryConfig) (*MemoryGuard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := registry{prefix: "droplift_memory_", reg: cfg.Registerer}
	g := &MemoryGuard{
		cfg:       cfg,
		usedBytes: r.gauge("used_bytes", "Memory in use that a collection would not free, as the processors see it."),
		levels:    r.gauges("pressure", "1 for the level that the processors work at.", "level"),
	}
	r.gauge("limit_bytes", "Memory limit of the process.").Set(float64(cfg.Limit))
	g.show(fullSpeed)
	return g, r.err()
}

// ask measures and decides. A nil guard never minds.
func (g *MemoryGuard) ask() pressure {
	if g == nil {
		return fullSpeed
	}
	g.asking.Lock()
	defer g.asking.Unlock()
	was := pressure(g.level.Load())
	var used int64
	if g.cfg.Used != nil {
		used = g.cfg.Used()
	} else {
		used = g.live.used(was == stopped)
	}
	is := was.next(used, g.cfg.Limit)
	g.used.Store(used)
	g.usedBytes.Set(float64(used))
	if is != was {
		g.level.Store(int32(is))
		g.show(is)
		g.tell(is)
	}
	return is
}

func (g *MemoryGuard) show(level pressure) {
	for l, name := range pressureNames {
		value := 0.0
		if pressure(l) == level {
			value = 1
		}
		g.levels.WithLabelValues(name).Set(value)
	}
}

// remedy is what an operator can do.
const remedy = "run more instances, to which partitions and their state move, or raise --memory-limit"

func (g *MemoryGuard) tell(level pressure) {
	log := g.cfg.Logger.With("used", humanize.IBytes(uint64(g.used.Load())), "limit", humanize.IBytes(uint64(g.cfg.Limit)))
	switch level {
	case stopped:
		log.Error("memory is nearly used up: no new records are fetched until it falls, nothing is lost; " + remedy)
	case slowed:
		log.Warn("memory is short: transactions are smaller and no snapshots are made; " + remedy)
	default:
		log.Info("memory suffices again")
	}
}

// ready is nil unless fetching has stopped.
func (g *MemoryGuard) ready() error {
	if g == nil || pressure(g.level.Load()) != stopped {
		return nil
	}
	used := g.used.Load()
	return fmt.Errorf("memory is at %.0f %% of its limit of %s, so no new records are fetched: %s", 100*float64(used)/float64(g.cfg.Limit), humanize.IBytes(uint64(g.cfg.Limit)), remedy)
}

// liveMemory measures what the Go runtime holds and cannot free: the objects that
// the last collection found alive, stacks, and the runtime's own tables. The resident size, or the
// heap in use, would be the wrong thing to slow down for: both hold garbage up to the limit by design, as the
// collector only works as hard as the limit makes it. And live objects are never out of date for long:
// a heap that grows to the limit is collected before it passes it.
type liveMemory struct {
	samples []metrics.Sample
	cycles  uint64
	since   time.Time // when cycles was first seen
}

// The first is the number of collections, the others are bytes.
var liveMemoryMetrics = []string{
	"/gc/cycles/total:gc-cycles",
	"/gc/heap/live:bytes",
	"/memory/classes/heap/stacks:bytes",
	"/memory/classes/os-stacks:bytes",
	"/memory/classes/metadata/mcache/free:bytes",
	"/memory/classes/metadata/mcache/inuse:bytes",
	"/memory/classes/metadata/mspan/free:bytes",
	"/memory/classes/metadata/mspan/inuse:bytes",
	"/memory/classes/metadata/other:bytes",
	"/memory/classes/other:bytes",
	"/memory/classes/profiling/buckets:bytes",
}

// collectEvery is how often a process that waits for memory looks for it.
const collectEvery = 5 * time.Second

// used reads the measure. Who waits for it to fall allocates next to nothing, so no collection would come for
// minutes to show that it has fallen: waiting makes one.
func (m *liveMemory) used(waiting bool) int64 {
	if m.samples == nil {
		m.samples = make([]metrics.Sample, len(liveMemoryMetrics))
		for i, name := range liveMemoryMetrics {
			m.samples[i].Name = name
		}
	}
	metrics.Read(m.samples)
	now := time.Now()
	if cycles := m.samples[0].Value.Uint64(); cycles != m.cycles {
		m.cycles, m.since = cycles, now
	}
	if waiting && now.Sub(m.since) >= collectEvery {
		m.since = now
		runtime.GC()
		metrics.Read(m.samples)
	}
	var sum uint64
	for _, s := range m.samples[1:] {
		sum += s.Value.Uint64()
	}
	return int64(sum)
}
