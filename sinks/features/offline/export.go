package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/gofrs/flock"

	"github.com/droplift/droplift/models/feature"
)

// Hour is what the source holds of one hour of as_of. Start is Unix ms; Digest changes with any row that comes or goes.
type Hour struct {
	Start        int64
	Rows, Digest uint64
}

// Source is where history comes from. Times are Unix ms, spans half-open.
type Source interface {
	// Hours lists the hours that have rows, by time.
	Hours(ctx context.Context, from, to int64) ([]Hour, error)
	// History calls each with every row, valid during the call only, in an order that depends on nothing but the rows.
	History(ctx context.Context, from, to int64, each func(*Row) error) error
}

// Export is one export of history into Dir/date=YYYY-MM-DD/hour=HH/features.<format>.
type Export struct {
	Dir    string
	Format Format
	Set    *feature.Set
	// From and To (Unix ms) bound as_of, [From, To), on whole hours: a partition is an hour.
	From, To int64
	// About is added to the files' metadata; files that say otherwise are written again.
	About map[string]string
	// Shrink replaces files that hold more rows than the source has left: after an erasure. By default they are kept,
	// because the source drops old rows.
	Shrink bool
	// Progress, if not nil, hears how many rows of all are dealt with.
	Progress func(done, total uint64)

	// create is os.CreateTemp; tests put faults there.
	create func(dir, pattern string) (File, error)
}

// File is what a partition is written to.
type File interface {
	io.WriteSeeker
	Name() string
	Chmod(os.FileMode) error
	Sync() error
	Close() error
}

// Summary is what an export did, in partitions. Kept ones hold rows that the source has not any more.
type Summary struct {
	Written, Unchanged, Kept int
	Rows                     uint64
}

// Keys of the metadata by which a partition is known to be whole.
const (
	metaRows   = "droplift.rows"
	metaDigest = "droplift.digest"
)

// ErrBusy says that another export writes into the directory.
var ErrBusy = errors.New("offline: another export writes there")

const hour = int64(3_600_000)

// Validate reports every problem at once.
func (e *Export) Validate() error {
	var problems []error
	if e.Dir == "" {
		problems = append(problems, errors.New("export: no directory"))
	}
	if e.Format != Parquet && e.Format != Arrow {
		problems = append(problems, fmt.Errorf("export: format %q is neither %s nor %s", e.Format, Parquet, Arrow))
	}
	if e.Set == nil {
		problems = append(problems, errors.New("export: no feature set"))
	}
	if e.From >= e.To {
		problems = append(problems, fmt.Errorf("export: the beginning %s is not before the end %s", stamp(e.From), stamp(e.To)))
	}
	if e.From%hour != 0 || e.To%hour != 0 {
		problems = append(problems, fmt.Errorf("export: %s to %s is not on whole hours", stamp(e.From), stamp(e.To)))
	}
	return errors.Join(problems...)
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// Run writes the partitions that are missing, damaged or out of date, one after the other. Each appears whole or not at
// all: it is written beside its place, synced and renamed. So a run that was cut short is continued by the next; what
// rows and digest a partition was made from stands in the file itself.
func (e *Export) Run(ctx context.Context, from Source) (Summary, error) {
	var s Summary
	if err := e.Validate(); err != nil {
		return s, err
	}
	if e.create == nil {
		e.create = func(dir, pattern string) (File, error) { return os.CreateTemp(dir, pattern) }
	}
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return s, err
	}
	unlock, err := lock(e.Dir)
	if err != nil {
		return s, err
	}
	defer unlock()
	hours, err := from.Hours(ctx, e.From, e.To)
	if err != nil {
		return s, err
	}
	var total, done uint64
	for _, h := range hours {
		total += h.Rows
	}
	for _, h := range hours {
		if err := ctx.Err(); err != nil {
			return s, context.Cause(ctx)
		}
		name := e.partition(h.Start)
		have, whole := e.holds(name)
		switch {
		case whole && have == h:
			s.Unchanged++
		case whole && have.Rows > h.Rows && !e.Shrink:
			s.Kept++
		default:
			if err := e.write(ctx, name, h, from, func(n uint64) { e.progress(done+n, total) }); err != nil {
				return s, fmt.Errorf("export: hour %s: %w", stamp(h.Start), err)
			}
			s.Written++
			s.Rows += h.Rows
		}
		done += h.Rows
		e.progress(done, total)
	}
	return s, nil
}

func (e *Export) progress(done, total uint64) {
	if e.Progress != nil {
		e.Progress(min(done, total), total)
	}
}

func (e *Export) partition(start int64) string {
	at := time.UnixMilli(start).UTC()
	return filepath.Join(e.Dir, at.Format("date=2006-01-02"), at.Format("hour=15"), "features."+string(e.Format))
}

func (e *Export) about(h Hour) map[string]string {
	about := map[string]string{metaRows: strconv.FormatUint(h.Rows, 10), metaDigest: strconv.FormatUint(h.Digest, 10)}
	maps.Copy(about, e.About)
	return about
}

// holds says what the file is known to hold; it is not whole if there is none, if it cannot be read, or if it is of another
// set or otherwise made.
func (e *Export) holds(name string) (Hour, bool) {
	schema, rows, err := inspect(name, e.Format)
	if err != nil {
		return Hour{}, false
	}
	said := map[string]string{}
	meta := schema.Metadata()
	for i, k := range meta.Keys() {
		said[k] = meta.Values()[i]
	}
	var h Hour
	at, err := time.ParseInLocation("date=2006-01-02/hour=15", filepath.Base(filepath.Dir(filepath.Dir(name)))+"/"+filepath.Base(filepath.Dir(name)), time.UTC)
	if err != nil {
		return h, false
	}
	h.Start = at.UnixMilli()
	if h.Rows, err = strconv.ParseUint(said[metaRows], 10, 64); err != nil {
		return h, false
	}
	if h.Digest, err = strconv.ParseUint(said[metaDigest], 10, 64); err != nil {
		return h, false
	}
	// Rows that came while the file was written are in it too: it holds the digest's and some.
	return h, uint64(rows) >= h.Rows && sameFields(schema, Schema(e.Set, History, nil)) && e.saysAbout(said)
}

// sameFields compares names, order and types. A Parquet file's fields come back with ids beside their own metadata.
func sameFields(a, b *arrow.Schema) bool {
	return slices.EqualFunc(a.Fields(), b.Fields(), func(a, b arrow.Field) bool {
		return a.Name == b.Name && a.Nullable == b.Nullable && arrow.TypeEqual(a.Type, b.Type)
	})
}

func (e *Export) saysAbout(said map[string]string) bool {
	for k, v := range e.About {
		if said[k] != v {
			return false
		}
	}
	return said[MetaHash] == e.Set.Hash()
}

// write makes one partition. Whatever goes wrong, the file that was there stays, and nothing else does.
func (e *Export) write(ctx context.Context, name string, h Hour, from Source, progress func(uint64)) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// What a killed run left: the lock says that nobody is writing it.
	leftovers, err := filepath.Glob(filepath.Join(dir, "."+filepath.Base(name)+"-*"))
	if err != nil {
		return err
	}
	for _, old := range leftovers {
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	written := uint64(0)
	err = Whole(name, e.create, func(file io.WriteSeeker) error {
		w, err := NewWriter(file, e.Format, e.Set, History, e.about(h))
		if err != nil {
			return err
		}
		err = from.History(ctx, h.Start, h.Start+hour, func(r *Row) error {
			if written++; written%rowsPerBatch == 0 {
				progress(written)
			}
			return w.Write(r)
		})
		// Closed in any case, for the memory.
		if closed := w.Close(); err == nil {
			err = closed
		}
		if err == nil && written < h.Rows {
			return fmt.Errorf("%d rows went away meanwhile: run it again", h.Rows-written)
		}
		return err
	})
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk is full; what is complete stays, and the same command goes on from there: %w", err)
	}
	return err
}

// Whole lets fill write the file called name, which appears whole, synced and renamed into place, or not at all. create
// makes the file beside it; nil is os.CreateTemp.
func Whole(name string, create func(dir, pattern string) (File, error), fill func(io.WriteSeeker) error) (err error) {
	if create == nil {
		create = func(dir, pattern string) (File, error) { return os.CreateTemp(dir, pattern) }
	}
	dir := filepath.Dir(name)
	file, err := create(dir, "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if err != nil {
			if open {
				err = errors.Join(err, file.Close())
			}
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err = fill(file); err != nil {
		return err
	}
	if err = errors.Join(file.Chmod(0o644), file.Sync()); err != nil {
		return err
	}
	open = false
	if err = file.Close(); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), name); err != nil {
		return err
	}
	// From here on the file is there; whether the name survives a power cut is the directory's matter.
	// Some file systems cannot sync it, and the next run looks at the file anyway.
	if d, err := os.Open(dir); err == nil {
		_, _ = d.Sync(), d.Close()
	}
	return nil
}

// lock keeps other exports out of dir until unlock. The operating system takes it back when the process ends, however it does.
func lock(dir string) (unlock func() error, err error) {
	l := flock.New(filepath.Join(dir, ".export.lock"), flock.SetPermissions(0o644))
	taken, err := l.TryLock()
	if err == nil && !taken {
		err = fmt.Errorf("%w: %s", ErrBusy, dir)
	}
	return l.Unlock, err
}
