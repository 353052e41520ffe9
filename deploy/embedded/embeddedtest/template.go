package embeddedtest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/droplift/droplift/deploy/embedded"
)

// Template is a ClickHouse data directory that is made once, for tests that begin with the same tables: making them takes
// several times as long as starting a server that has them. It is kept in memory, so that nothing of it outlives the tests. A
// Template may be used from any goroutine.
type Template struct {
	files func() (fstest.MapFS, error)
}

// NewTemplate returns the template of what prepare leaves in a new server. It runs when a first test asks for it.
func NewTemplate(prepare func(ctx context.Context, server *embedded.ClickHouse) error) *Template {
	return &Template{sync.OnceValues(func() (files fstest.MapFS, err error) {
		dir, err := os.MkdirTemp("", "clickhouse-template-")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{DataDir: dir})
		if err != nil {
			return nil, err
		}
		if err := errors.Join(prepare(ctx, server), server.Close(ctx)); err != nil {
			return nil, err
		}
		return readTree(os.DirFS(dir))
	})}
}

// Fill copies the template into dir, which must be empty or not there.
func (t *Template) Fill(tb testing.TB, dir string) {
	tb.Helper()
	files, err := t.files()
	if err != nil {
		tb.Fatal("the template of ClickHouse's data: ", err)
	}
	if err := os.CopyFS(dir, files); err != nil {
		tb.Fatal(err)
	}
}

// ClickHouse is the function of that name for a server that starts from the template.
func (t *Template) ClickHouse(tb testing.TB, options ...func(*embedded.ClickHouseConfig)) *embedded.ClickHouse {
	tb.Helper()
	NeedLibrary(tb)
	return ClickHouse(tb, append(options, func(cfg *embedded.ClickHouseConfig) { t.Fill(tb, cfg.DataDir) })...)
}

// readTree reads all of a file system.
func readTree(dir fs.FS) (fstest.MapFS, error) {
	files := fstest.MapFS{}
	err := fs.WalkDir(dir, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file := &fstest.MapFile{}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		file.Mode = info.Mode()
		switch {
		case file.Mode&fs.ModeSymlink != 0:
			var to string
			to, err = fs.ReadLink(dir, path)
			file.Data = []byte(to)
		case file.Mode.IsRegular():
			file.Data, err = fs.ReadFile(dir, path)
		}
		files[path] = file
		return err
	})
	return files, err
}
