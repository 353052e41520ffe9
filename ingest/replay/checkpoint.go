package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkpoint is the file that lets a replay go on where the broker had everything.
type checkpoint struct {
	// Path is for the reader of the file; the content decides, so that a file may move.
	Path string `json:"path"`
	// Source is part of every id: going on under another one would double what is in flight.
	Source string `json:"source"`
	// Content, Mapping and Lookups are SHA-256 in hex.
	Content string   `json:"content_sha256"`
	Mapping string   `json:"mapping_sha256"`
	Lookups []string `json:"lookups_sha256,omitempty"`
	// Acked is the last record of the acknowledged prefix.
	Acked uint64 `json:"acked"`
}

// ErrChanged says that a checkpoint was taken of something else than what is to be replayed now.
var ErrChanged = errors.New("changed since the checkpoint was taken: remove the checkpoint to start over")

// readCheckpoint returns the acknowledged prefix, 0 without a checkpoint.
func readCheckpoint(path string, now *checkpoint) (acked uint64, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var was checkpoint
	if err := json.Unmarshal(text, &was); err != nil {
		return 0, fmt.Errorf("checkpoint %s is damaged: %w", path, err)
	}
	differs := func(what string) error { return fmt.Errorf("checkpoint %s: %s %w", path, what, ErrChanged) }
	switch {
	case was.Content != now.Content:
		return 0, differs(now.Path)
	case was.Mapping != now.Mapping:
		return 0, differs("the mapping")
	case fmt.Sprint(was.Lookups) != fmt.Sprint(now.Lookups):
		return 0, differs("a lookup file")
	case was.Source != now.Source:
		return 0, differs(fmt.Sprintf("the source name, %s before and %s now,", was.Source, now.Source))
	}
	return was.Acked, nil
}

// write replaces the file as a whole: after a crash it is the old one or the new one.
func (c *checkpoint) write(path string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(append(text, '\n'))
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename outlive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
