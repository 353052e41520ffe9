package embedded

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// chdbLock pins the library per platform; fetch-chdb.sh reads the same file.
//
//go:embed chdb.lock
var chdbLock string

// ErrNoLibrary means the ClickHouse library is not installed.
var ErrNoLibrary = errors.New("ClickHouse library not found: run make chdb or set CHDB_LIB_PATH")

// pinned is one line of chdb.lock.
type pinned struct {
	version string // npm package version
	sha256  string // of libchdb.so, hex
}

// pinnedLibrary finds the line of platform, such as linux-amd64-gnu.
func pinnedLibrary(lock, platform string) (pinned, bool) {
	for line := range strings.Lines(lock) {
		fields := strings.Fields(line)
		if len(fields) == 5 && fields[0] == platform {
			return pinned{version: fields[2], sha256: fields[4]}, true
		}
	}
	return pinned{}, false
}

// LocateLibrary returns the path of the ClickHouse library: CHDB_LIB_PATH when
// set (used as it is), else the pinned version in the user's cache directory,
// where `make chdb` installs it. The error wraps [ErrNoLibrary] when there is
// none, and names the checksums when the cached file is not the pinned one.
func LocateLibrary() (string, error) {
	if path := os.Getenv("CHDB_LIB_PATH"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("CHDB_LIB_PATH: %w", err)
		}
		return path, nil
	}
	platform := runtime.GOOS + "-" + runtime.GOARCH
	if runtime.GOOS == "linux" {
		platform += "-gnu"
	}
	pin, ok := pinnedLibrary(chdbLock, platform)
	if !ok {
		return "", fmt.Errorf("%w (none is pinned for %s)", ErrNoLibrary, platform)
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	path := filepath.Join(cache, "droplift", "chdb", pin.version, "libchdb.so")
	return path, verifyLibrary(path, pin.sha256)
}

// verifyLibrary checks the file against the pinned checksum. Hashing half a
// gigabyte takes a second, so a record written after the last verification is
// trusted while the library is not newer than it.
func verifyLibrary(path, want string) error {
	library, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return ErrNoLibrary
	} else if err != nil {
		return err
	}
	record := path + ".sha256"
	if stat, err := os.Stat(record); err == nil && !library.ModTime().After(stat.ModTime()) {
		if text, err := os.ReadFile(record); err == nil && strings.TrimSpace(string(text)) == want {
			return nil
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return fmt.Errorf("read ClickHouse library: %w", err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("ClickHouse library %s has checksum %s, pinned is %s: delete it and run make chdb", path, got, want)
	}
	// A cache that cannot be written only costs this hash again next time.
	_ = os.WriteFile(record, []byte(want+"\n"), 0o644)
	return nil
}
