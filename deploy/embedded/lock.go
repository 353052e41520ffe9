package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Between the death of a process and that of the children that inherited its
// lock passes a moment. A holder that lives keeps the lock for hours, but may
// also be dead and not yet buried by its parent.
const (
	lockWait     = 10 * time.Second
	lockWaitLive = time.Second
)

// lockDirectory creates dir and takes its lock for this process. The lock is
// the open file, which a library of file locks would keep to itself: it ends
// when the last process that inherited it closes it or dies, however it dies.
// A second taker is refused with the holder's pid.
func lockDirectory(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("data directory is not writable: %w", err)
	}
	for began := time.Now(); ; {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		holder, wait := lockHolder(path), lockWait
		if alive(holder) {
			wait = lockWaitLive
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(began) > wait {
			file.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, fmt.Errorf("data directory %s is in use by process %s", dir, holder)
			}
			return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err = file.Truncate(0); err == nil {
		_, err = file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("data directory is not writable: %w", err)
	}
	return file, nil
}

// lockHolder is the pid written by whoever took the lock, or "unknown".
func lockHolder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// alive reports whether pid names a process.
func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return false
	}
	err = syscall.Kill(n, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
