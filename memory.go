package main

import (
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"

	"github.com/droplift/droplift/ingest/kafka"
)

// containerShare of a container's memory is the limit: the rest is for what the Go runtime does not count.
const containerShare = 0.9

// memoryLimit is --memory-limit in bytes, 0 for none.
func (c *Config) memoryLimit() (int64, error) {
	switch c.MemoryLimit {
	case "auto":
		// GOMEMLIMIT is what the runtime starts with, and what it has been told since.
		if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
			return limit, nil
		}
		limit, err := memlimit.FromCgroup()
		if err != nil || limit >= math.MaxInt64 {
			return 0, nil // no container, or one without a limit
		}
		return int64(containerShare * float64(limit)), nil
	case "none", "":
		return 0, nil
	}
	size, err := humanize.ParseBytes(c.MemoryLimit)
	if err != nil || size > math.MaxInt64 {
		return 0, fmt.Errorf("%q is neither auto, none nor a size such as 2GiB", c.MemoryLimit)
	}
	if size > 0 && size < leastMemory {
		return 0, fmt.Errorf("%s is less than the %s that an idle process takes", humanize.IBytes(size), humanize.IBytes(leastMemory))
	}
	return int64(size), nil
}

// leastMemory is a limit under which nothing would ever be processed.
const leastMemory = 64 << 20

// limitMemory makes the collector work for the limit.
func (c *Config) limitMemory(log *slog.Logger) error {
	limit, err := c.memoryLimit()
	if err != nil || limit == 0 {
		return err
	}
	debug.SetMemoryLimit(limit)
	log.Info("memory is limited", "limit", humanize.IBytes(uint64(limit)))
	return nil
}

// memoryGuard makes the processors mind the limit; nil when there is none.
func (c *Config) memoryGuard(ops *operations, log *slog.Logger) (*kafka.MemoryGuard, error) {
	limit, err := c.memoryLimit()
	if err != nil || limit == 0 {
		return nil, err
	}
	return kafka.NewMemoryGuard(kafka.MemoryConfig{Limit: limit, Registerer: ops.registry, Logger: log})
}
