package snapshot

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Log is where one change-log's snapshots are.
type Log struct {
	// Dir is the installation's directory of snapshots.
	Dir     string
	Topic   string
	TopicID ID
}

const (
	suffix = ".snapshot"
	// unfinished files start with this; a crash leaves them behind.
	unfinished = "writing-"
	// abandoned is how old an unfinished file must be for nobody to be writing it any more.
	abandoned = time.Hour
	// kept files of a partition: the newest, and the one before in case the newest turns out to be unreadable.
	kept = 2
)

// Place is a partition's directory.
func (l Log) Place(partition int32) string {
	return filepath.Join(l.Dir, l.Topic+"-"+l.TopicID.String(), strconv.Itoa(int(partition)))
}

// Found is a file by its name alone.
type Found struct {
	Path   string
	Offset int64
}

// List are a partition's files, the highest offset first; none when there is no directory.
func (l Log) List(partition int32) ([]Found, error) {
	entries, err := os.ReadDir(l.Place(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), suffix)
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(name, "-")
		offset, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			continue
		}
		found = append(found, Found{Path: filepath.Join(l.Place(partition), entry.Name()), Offset: offset})
	}
	slices.SortFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(b.Offset, a.Offset), strings.Compare(b.Path, a.Path))
	})
	return found, nil
}

// Pending is a file that is durable but has no name that List would find.
type Pending struct {
	// Bytes is its size.
	Bytes int64

	log       Log
	header    Header
	temporary string
}

// Prepare writes c, which it empties, to a new file of h.Partition. Publish or Discard must follow.
func (l Log) Prepare(h Header, c *Copy) (*Pending, error) {
	h.Topic, h.TopicID = l.Topic, l.TopicID
	dir := l.Place(h.Partition)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, unfinished)
	if err != nil {
		return nil, err
	}
	p := &Pending{log: l, header: h, temporary: file.Name()}
	w := bufio.NewWriterSize(file, 1<<18)
	err = encode(w, h, c)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	if info, e := file.Stat(); e == nil {
		p.Bytes = info.Size()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		p.Discard()
		return nil, err
	}
	return p, nil
}

// Publish gives the file its name, makes that durable, and then removes older
// files of the partition. A failure to remove is no failure: the next one tries again.
//
// A process that has lost the partition may publish late, below files of the new
// owner. That file holds what was committed at its offset, like any other, and only lacks what
// the change-log has after it; and it never takes the place of a newer one, which have higher
// offsets and names of their own.
func (p *Pending) Publish() error {
	dir := p.log.Place(p.header.Partition)
	name := fmt.Sprintf("%020d-%08x%s", p.header.Offset, rand.Uint32(), suffix)
	if err := os.Rename(p.temporary, filepath.Join(dir, name)); err != nil {
		p.Discard()
		return err
	}
	if err := syncDirectory(dir); err != nil {
		return err
	}
	p.log.prune(p.header.Partition)
	return nil
}

// Discard removes a file that was not published.
func (p *Pending) Discard() { os.Remove(p.temporary) }

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// prune removes all but the newest files, and what crashes left unfinished.
func (l Log) prune(partition int32) {
	found, err := l.List(partition)
	if err != nil {
		return
	}
	for _, f := range found[min(kept, len(found)):] {
		os.Remove(f.Path)
	}
	left, _ := filepath.Glob(filepath.Join(l.Place(partition), unfinished+"*"))
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > abandoned {
			os.Remove(path)
		}
	}
}
