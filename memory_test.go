package main

import (
	"math"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/kafka"
)

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for _, c := range []struct {
		flag string
		want int64
		err  string
	}{
		{"none", 0, ""}, {"0", 0, ""}, {"2GiB", 2 << 30, ""}, {"1.5 GiB", 3 << 29, ""}, {"500MB", 500e6, ""}, {"1073741824", 1 << 30, ""},
		{"plenty", 0, `"plenty" is neither auto, none nor a size such as 2GiB`}, {"-1GiB", 0, "neither"}, {"16EiB", 0, "neither"}, {"2MiB", 0, "less than the 64 MiB"},
	} {
		got, err := (&Config{MemoryLimit: c.flag}).memoryLimit()
		if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d, %v", c.flag, got, err)
		}
	}
	debug.SetMemoryLimit(3 << 30)
	if got, err := (&Config{MemoryLimit: "auto"}).memoryLimit(); got != 3<<30 || err != nil {
		t.Errorf("auto with GOMEMLIMIT=3GiB: %d, %v", got, err)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if got, err := (&Config{MemoryLimit: "auto"}).memoryLimit(); got < 0 || err != nil {
		t.Errorf("auto: %d, %v", got, err)
	}
}

func TestSnapshotDirectory(t *testing.T) {
	for flag, want := range map[string]string{"auto": filepath.Join("data", "snapshots"), "none": "", "": "", "/mnt/shared": "/mnt/shared"} {
		cfg := &Config{DataDir: "data", SnapshotDir: flag, SnapshotInterval: time.Minute}
		if got := cfg.snapshots(); got != (kafka.SnapshotConfig{Dir: want, Interval: time.Minute}) {
			t.Errorf("%q: %+v", flag, got)
		}
	}
}
