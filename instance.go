package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// maxInstances is how many processes may share a data directory.
const maxInstances = 1000

// claimInstance names this process among those of its group. The name is what --instance says, or else one
// that only one living process of this host and data directory has, and that the next one gets when it dies: an
// unfinished transaction under it is then ended at once instead of by its timeout. release gives the name back.
func (c *Config) claimInstance() (name string, release func() error, err error) {
	if c.Instance != "" {
		return c.Instance, func() error { return nil }, nil
	}
	dir, err := filepath.Abs(filepath.Join(c.DataDir, "instances"))
	if err != nil {
		return "", nil, fmt.Errorf("--data-dir: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", nil, fmt.Errorf("--data-dir: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", nil, fmt.Errorf("a process without --instance is named after its host: %w", err)
	}
	for number := range maxInstances {
		// The operating system takes the lock back when the process ends, however it does.
		lock := flock.New(filepath.Join(dir, fmt.Sprintf("%d.lock", number)), flock.SetPermissions(0o640))
		taken, err := lock.TryLock()
		if err != nil {
			return "", nil, fmt.Errorf("--data-dir: lock %s: %w", lock, err)
		}
		if taken {
			return fmt.Sprintf("%s:%s:%d", host, filepath.Dir(dir), number), lock.Unlock, nil
		}
	}
	return "", nil, fmt.Errorf("%d processes use data directory %s: give some of them another --data-dir", maxInstances, filepath.Dir(dir))
}
