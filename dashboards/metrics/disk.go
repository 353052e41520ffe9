package metrics

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/klauspost/compress/zstd"
)

// saveEvery is how much a kill may cost.
const saveEvery = time.Minute

// disk is a directory with a file for each window of samples, named after its begin in Unix ms. A file is written under
// another name first, so that it is whole or not there; its checksum tells apart what a broken disk leaves. The newest
// is replaced by every save until its window is over. Files older than the retention are removed.
type disk struct {
	dir    string
	lock   *flock.Flock
	next   int64 // the window that the next save begins with; those before are written and over
	broken bool  // the last save failed
}

// format is how a file begins; another one is not read.
const format = "droplift metrics 1"

// file is what a file holds, as gob in one frame of Zstandard.
type file struct {
	Format string
	Saved  int64 // Unix ms; the alerts are as of then
	Series []keptSeries
	Alerts []keptAlert
}

const suffix = ".samples"

// openDisk makes the directory if needed, and is alone in it until close.
func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o640))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !taken {
		return nil, fmt.Errorf("lock %s: another process has it", dir)
	}
	return &disk{dir: dir, lock: lock}, nil
}

func (d *disk) path(window int64) string {
	return filepath.Join(d.dir, strconv.FormatInt(window, 10)+suffix)
}

// windows are those that have a file, oldest first. Other files are left alone.
func (d *disk) windows() ([]int64, error) {
	entries, err := os.ReadDir(d.dir)
	var all []int64
	for _, e := range entries {
		name, found := strings.CutSuffix(e.Name(), suffix)
		if at, err := strconv.ParseInt(name, 10, 64); found && err == nil {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all, err
}

// maxFile bounds what a file may be in memory.
const maxFile = 256 << 20

func (d *disk) read(window int64) (*file, error) {
	packed, err := os.ReadFile(d.path(window))
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFile))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	text, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, err
	}
	f := &file{}
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(f); err != nil {
		return nil, err
	}
	if f.Format != format {
		return nil, fmt.Errorf("the format is %q, not %q", f.Format, format)
	}
	for _, s := range f.Series {
		if len(s.Labels)%2 != 0 || slices.ContainsFunc(s.Chunks, func(c chunk) bool { return c.From > c.To || len(c.Data) <= 2 }) {
			return nil, fmt.Errorf("series %q is malformed", s.Labels)
		}
	}
	for _, a := range f.Alerts {
		if len(a.Labels)%2 != 0 {
			return nil, fmt.Errorf("alert %q is malformed", a.Labels)
		}
	}
	return f, nil
}

func (d *disk) write(window int64, f *file) (err error) {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(f); err != nil {
		return err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	temporary, err := os.OpenFile(filepath.Join(d.dir, "new"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = temporary.Write(encoder.EncodeAll(text.Bytes(), nil))
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), d.path(window))
}

// prune removes the files of windows that end before oldest.
func (d *disk) prune(oldest int64) error {
	windows, err := d.windows()
	for _, at := range windows {
		if at+window.Milliseconds() > oldest {
			break
		}
		err = errors.Join(err, os.Remove(d.path(at)))
	}
	return err
}

// restore takes the directory and goes on with what an earlier process left there. What cannot be read is left out: there
// are charts with a gap, and alerts that begin anew, but no process that does not start for them.
func (l *Local) restore(now time.Time) {
	if l.cfg.Dir == "" {
		return
	}
	d, err := openDisk(l.cfg.Dir)
	if err != nil {
		l.cfg.Logger.Warn("metrics and alerts are forgotten when this process ends", "err", err)
		return
	}
	l.disk, d.next = d, windowOf(now.UnixMilli())
	windows, err := d.windows()
	if err != nil {
		l.cfg.Logger.Warn("cannot read the metrics that are kept", "err", err)
	}
	var newest *file
	for _, at := range windows {
		if at <= now.Add(-l.cfg.Retention-window).UnixMilli() {
			continue
		}
		f, err := d.read(at)
		if err == nil && f.Saved > now.UnixMilli() {
			err = fmt.Errorf("it is of the future: %s", time.UnixMilli(f.Saved).UTC())
		}
		if err != nil {
			l.cfg.Logger.Warn("leaving out metrics that were kept", "file", d.path(at), "err", err)
			continue
		}
		l.store.take(f.Series)
		newest = f
	}
	if newest == nil {
		return
	}
	l.disk.next = windowOf(l.store.pause())
	saved := time.UnixMilli(newest.Saved)
	if now.Sub(saved) > outage {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rules {
		for _, k := range newest.Alerts {
			if k.Rule == r.Name {
				r.take(k, saved, now)
			}
		}
	}
}

// save writes the windows that have changed since the last save.
func (l *Local) save(now time.Time) {
	if l.disk == nil {
		return
	}
	err := l.write(now)
	if err != nil && !l.disk.broken {
		l.cfg.Logger.Warn("cannot keep metrics and alerts: the next process will lack them", "err", err)
	}
	l.disk.broken = err != nil
}

func (l *Local) write(now time.Time) error {
	f := &file{Format: format, Saved: now.UnixMilli()}
	l.mu.Lock()
	for _, r := range l.rules {
		f.Alerts = append(f.Alerts, r.keep()...)
	}
	l.mu.Unlock()
	for at := l.disk.next; at <= f.Saved; at += window.Milliseconds() {
		if f.Series = l.store.in(at); len(f.Series) == 0 {
			continue
		}
		if err := l.disk.write(at, f); err != nil {
			return err
		}
	}
	l.disk.next = windowOf(f.Saved)
	return l.disk.prune(f.Saved - l.cfg.Retention.Milliseconds())
}

// leave saves for the last time and lets others have the directory.
func (l *Local) leave() {
	if l.disk == nil {
		return
	}
	l.save(time.Now())
	if err := l.disk.lock.Close(); err != nil {
		l.cfg.Logger.Warn("cannot unlock the metrics that are kept", "err", err)
	}
}
