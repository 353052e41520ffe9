package features

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// Cause is why a snapshot is not used. It is a metric label.
type Cause string

const (
	// Corrupt: cut short, or altered.
	Corrupt Cause = "corrupt"
	// Unreadable: the file system gives an error.
	Unreadable Cause = "unreadable"
	// OtherFormat: another version of the program wrote it.
	OtherFormat Cause = "format"
	// OtherFeatures: it holds another version of the feature set.
	OtherFeatures Cause = "features"
	// Foreign: it is of another topic, or of one that was deleted and made anew.
	Foreign Cause = "foreign"
	// TooOld: deletions that follow on it may be gone from the topic.
	TooOld Cause = "too_old"
	// Gone: the topic does not hold what follows on it.
	Gone Cause = "gone"
)

// RefusedError is a snapshot that is not used: the topic is read from its start instead.
type RefusedError struct {
	Cause Cause
	Err   error
}

func (e *RefusedError) Error() string { return fmt.Sprintf("features: snapshot: %v", e.Err) }
func (e *RefusedError) Unwrap() error { return e.Err }

// Snapshot is where a Store's file is, and of which topic.
type Snapshot struct {
	// Dir holds the file. Stores of the same partitions may share it: any one's file serves all.
	Dir string
	// Topic and TopicID are the features topic's.
	Topic, TopicID string
	// MaxAge is how old a file may be to be used. Default 6 days: the topic keeps deletions for 7.
	MaxAge time.Duration
}

// header says what a file holds.
type header struct {
	Topic     string    `json:"topic"`
	TopicID   string    `json:"topic_id"`
	Set       string    `json:"set"`
	Version   int       `json:"version"`
	Hash      string    `json:"hash"`
	Layout    string    `json:"layout"`
	WrittenAt time.Time `json:"written_at"`
	// Total is how many partitions the topic has; players are placed by it.
	Total      int32           `json:"total"`
	Partitions map[int32]place `json:"partitions"`
	Players    int             `json:"players"` // about: the store goes on meanwhile
}

// place is how far a partition had come at the least.
type place struct {
	Next      int64 `json:"next"`
	Watermark int64 `json:"watermark"`
}

// A file is a magic number with the format's version, then compressed: the header's length and bytes, per player the
// lengths and bytes of name and value, a name of length 0, and the CRC-32C of all this.
const (
	magic     = "droplift features\n"
	format    = 1
	maxHeader = 1 << 20
	maxEntry  = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Path of the store's file.
func (n Snapshot) Path(s *Store) string {
	name := "all"
	if len(s.cfg.Partitions) != int(s.cfg.Total) {
		name = strings.Trim(strings.ReplaceAll(fmt.Sprint(s.cfg.Partitions), " ", "_"), "[]")
	}
	return filepath.Join(n.Dir, "players-"+name+".snapshot")
}

// Save writes the store's file, whole or not at all. The store goes on meanwhile: what comes after the offsets in
// the header may be in it or not, and folding it in again changes nothing.
func (s *Store) Save(n Snapshot) error {
	err := s.save(n)
	outcome := "written"
	if err != nil {
		outcome, err = "failed", fmt.Errorf("features: snapshot: %w", err)
	}
	s.metrics.written.WithLabelValues(outcome).Inc()
	return err
}

func (s *Store) save(n Snapshot) error {
	if err := os.MkdirAll(n.Dir, 0o750); err != nil {
		return err
	}
	file, err := os.CreateTemp(n.Dir, "writing-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails once it has its name
	if err := errors.Join(s.write(file, n), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), n.Path(s)); err != nil {
		return err
	}
	dir, err := os.Open(n.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s *Store) write(w io.Writer, n Snapshot) error {
	h := header{
		Topic: n.Topic, TopicID: n.TopicID, Set: feature.Player.Name, Version: feature.Player.Version, Hash: feature.Player.Hash(),
		Layout: event.PackedLayout, WrittenAt: s.cfg.Now().UTC(), Total: s.cfg.Total, Partitions: map[int32]place{}, Players: s.Len(),
	}
	// First the positions, then the players: everything before a position is in the store by now.
	for number, p := range s.parts {
		h.Partitions[number] = place{Next: p.next.Load(), Watermark: p.watermark.Load()}
	}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err := w.Write(append([]byte(magic), format)); err != nil {
		return err
	}
	packed := s2.NewWriter(w)
	sum := crc32.New(castagnoli)
	out := io.MultiWriter(packed, sum)
	buf := append(binary.AppendUvarint(nil, uint64(len(head))), head...)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for player, value := range sh.players {
			buf = append(binary.AppendUvarint(buf, uint64(len(player))), player...)
			buf = append(binary.AppendUvarint(buf, uint64(len(value))), value...)
		}
		sh.mu.RUnlock()
		if _, err := out.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	if _, err := out.Write([]byte{0}); err != nil {
		return err
	}
	_, err = packed.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return errors.Join(err, packed.Close())
}

// Restore fills an empty store from its file and returns the offset to go on from, per partition; none when there is no
// file. A *RefusedError, which is counted, leaves the store empty: then the topic is read from its start.
func (s *Store) Restore(n Snapshot) (map[int32]int64, error) {
	from, err := s.restore(n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var refused *RefusedError
	if err != nil && !errors.As(err, &refused) {
		cause := Corrupt
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			cause = Unreadable
		}
		err = &RefusedError{cause, err}
	}
	if err != nil {
		s.Refuse(err)
		return nil, err
	}
	return from, nil
}

// Refuse forgets what a snapshot brought and counts why.
func (s *Store) Refuse(err error) {
	cause := Gone
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		cause = refused.Cause
	}
	s.metrics.refused.WithLabelValues(string(cause)).Inc()
	s.Clear()
}

func (s *Store) restore(n Snapshot) (map[int32]int64, error) {
	file, err := os.Open(n.Path(s))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	start := make([]byte, len(magic)+1)
	if _, err := io.ReadFull(file, start); err != nil {
		return nil, err
	}
	if string(start[:len(magic)]) != magic {
		return nil, errors.New("it is none")
	}
	if start[len(magic)] != format {
		return nil, &RefusedError{OtherFormat, fmt.Errorf("it is in format %d, this program reads format %d", start[len(magic)], format)}
	}
	in := &summing{r: bufio.NewReaderSize(s2.NewReader(file), 1<<18), sum: crc32.New(castagnoli)}
	text, err := in.field(maxHeader)
	if err != nil {
		return nil, err
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, err
	}
	if err := n.accept(h, s.cfg); err != nil {
		return nil, err
	}
	// Nothing is used before the checksum at the end has been compared.
	var shards [shardCount]map[string]string
	for i := range shards {
		shards[i] = make(map[string]string, h.Players/shardCount)
	}
	players, bytes := 0, 0
	var f event.Features
	var entry []byte
	for {
		player, err := in.field(maxEntry)
		if err != nil {
			return nil, err
		}
		if len(player) == 0 {
			break
		}
		entry = append(entry[:0], player...)
		value, err := in.field(maxEntry)
		if err != nil {
			return nil, err
		}
		text := string(append(entry, value...))
		number, whole := unpack(text[len(entry):], &f)
		if !whole {
			return nil, fmt.Errorf("player %d of it cannot be read", players)
		}
		if s.parts[number] == nil {
			continue
		}
		shards[s.shardOf(text[:len(entry)])][text[:len(entry)]] = text[len(entry):]
		players++
		bytes += len(text)
	}
	want := in.sum.Sum32()
	var sum [4]byte
	if _, err := io.ReadFull(in.r, sum[:]); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(sum[:]) != want {
		return nil, errors.New("its checksum does not hold")
	}
	from := map[int32]int64{}
	for i := range shards {
		s.shards[i].mu.Lock()
		s.shards[i].players = shards[i]
		s.shards[i].mu.Unlock()
	}
	for number, p := range s.parts {
		if at, ok := h.Partitions[number]; ok {
			from[number] = at.Next
			p.next.Store(at.Next)
			p.see(at.Watermark)
		}
	}
	s.metrics.players.Set(float64(players))
	s.metrics.bytes.Set(float64(bytes))
	return from, nil
}

// accept judges a header.
func (n Snapshot) accept(h header, cfg Config) error {
	age := n.MaxAge
	if age == 0 {
		age = 6 * 24 * time.Hour
	}
	switch old := cfg.Now().Sub(h.WrittenAt); {
	case h.Topic != n.Topic || h.TopicID != n.TopicID || h.Total != cfg.Total:
		return &RefusedError{Foreign, fmt.Errorf("it is of topic %s (%s, %d partitions), not %s (%s, %d partitions)", h.Topic, h.TopicID, h.Total, n.Topic, n.TopicID, cfg.Total)}
	case h.Set != feature.Player.Name || h.Hash != feature.Player.Hash():
		return &RefusedError{OtherFeatures, fmt.Errorf("it holds features %s version %d with hash %.12s…, here the hash is %.12s…", h.Set, h.Version, h.Hash, feature.Player.Hash())}
	case h.Layout != event.PackedLayout:
		return &RefusedError{OtherFormat, fmt.Errorf("its players are packed as %s, this program reads %s", h.Layout, event.PackedLayout)}
	case old > age:
		return &RefusedError{TooOld, fmt.Errorf("it is %s old, and deletions since may be gone from the topic", old.Round(time.Minute))}
	}
	return nil
}

// summing reads fields and keeps the checksum of what it has read.
type summing struct {
	r    *bufio.Reader
	sum  hash.Hash32
	buf  []byte
	head []byte
}

// field reads a length and as many bytes, which are valid until the next call.
func (s *summing) field(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(s.r)
	if err != nil {
		return nil, cutShort(err)
	}
	if n > limit {
		return nil, fmt.Errorf("it has a field of %d bytes", n)
	}
	s.head = binary.AppendUvarint(s.head[:0], n)
	s.sum.Write(s.head)
	if uint64(cap(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	s.buf = s.buf[:n]
	if _, err := io.ReadFull(s.r, s.buf); err != nil {
		return nil, cutShort(err)
	}
	s.sum.Write(s.buf)
	return s.buf, nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut short")
	}
	return err
}
