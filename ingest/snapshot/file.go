package snapshot

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/s2"
)

// Header says what a file holds.
type Header struct {
	// Topic, TopicID and Partition are the change-log's.
	Topic     string `json:"topic"`
	TopicID   ID     `json:"topic_id"`
	Partition int32  `json:"partition"`
	// Offset up to which the state is complete: all committed entries before it are folded in. Replaying entries
	// that are folded in already changes nothing, so it may be lower than it could be, never higher.
	Offset int64 `json:"offset"`
	// AsOf is a moment before any entry at or after Offset was written.
	AsOf time.Time `json:"as_of"`
	// Entries is how many there are.
	Entries int64 `json:"entries"`
	// Writer names the process, for people.
	Writer string `json:"writer"`
}

// ID is a topic's.
type ID [16]byte

// String is the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("topic ID of %d characters", len(text))
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// magic starts every file; the format's version follows it in one byte.
const (
	magic  = "droplift state\n"
	format = 1
)

// Kinds of frames.
const (
	frameHeader byte = 'H' // Header as JSON
	frameBlock  byte = 'B' // entries, compressed: length and bytes of key and value in turn
	frameEnd    byte = 'E' // nothing
)

// A frame is its kind, the length of its payload as it is and uncompressed, the
// payload, and the checksum of everything in the file so far but the checksums: with them in, it
// would be the same after every frame, and a missing frame would not show.
const (
	frameHead = 1 + 4 + 4
	frameSum  = 4
)

// maxHeader bounds a header, which is read before its checksum is known to hold.
const maxHeader = 64 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes a whole file and lets go of c's blocks on the way.
func encode(w io.Writer, h Header, c *Copy) error {
	h.Entries = c.entries
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	out := frameWriter{w: w}
	out.write(append([]byte(magic), format))
	out.frame(frameHeader, len(header), header)
	var packed []byte
	for i, block := range c.blocks {
		packed = s2.Encode(packed[:cap(packed)], block)
		out.frame(frameBlock, len(block), packed)
		c.blocks[i] = nil
	}
	out.frame(frameEnd, 0, nil)
	return out.err
}

type frameWriter struct {
	w   io.Writer
	sum uint32
	err error
}

func (f *frameWriter) write(p []byte) {
	if f.err == nil {
		f.sum = crc32.Update(f.sum, castagnoli, p)
		_, f.err = f.w.Write(p)
	}
}

func (f *frameWriter) frame(kind byte, raw int, payload []byte) {
	head := make([]byte, 0, frameHead)
	head = binary.LittleEndian.AppendUint32(append(head, kind), uint32(len(payload)))
	f.write(binary.LittleEndian.AppendUint32(head, uint32(raw)))
	f.write(payload)
	if f.err == nil {
		_, f.err = f.w.Write(binary.LittleEndian.AppendUint32(nil, f.sum))
	}
}

// File is an open snapshot.
type File struct {
	Header Header
	Path   string

	file *os.File
	in   frameReader
	body int64       // where the blocks begin
	from frameReader // the state of in there
}

// Open opens a file and reads its header. An error is a *RefusedError.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, refuse(Unreadable, err)
	}
	f := &File{Path: path, file: file}
	if err := f.readHeader(); err != nil {
		file.Close()
		return nil, refused(err)
	}
	return f, nil
}

// Close closes it.
func (f *File) Close() error { return f.file.Close() }

func (f *File) readHeader() error {
	f.in = frameReader{r: bufio.NewReaderSize(f.file, 1<<18)}
	start := make([]byte, len(magic)+1)
	if err := f.in.read(start); err != nil {
		return err
	}
	if string(start[:len(magic)]) != magic {
		return errors.New("it is no snapshot")
	}
	if v := start[len(magic)]; v != format {
		return refuse(UnknownFormat, fmt.Errorf("it is in format %d, this program reads format %d", v, format))
	}
	kind, size, _, err := f.in.head()
	if err != nil {
		return err
	}
	if kind != frameHeader || size > maxHeader {
		return errors.New("it has no header")
	}
	text := make([]byte, size)
	if err := f.in.read(text); err != nil {
		return err
	}
	if err := f.in.check(); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &f.Header); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	f.body, f.from = f.in.at, f.in
	return nil
}

// Verify reads the whole file and compares every checksum: nothing of a file may
// be used before. An error is a *RefusedError.
func (f *File) Verify() error {
	if err := f.verify(); err != nil {
		return refused(err)
	}
	return nil
}

func (f *File) verify() error {
	for {
		kind, size, _, err := f.in.head()
		if err != nil {
			return err
		}
		if err := f.in.skip(int64(size)); err != nil {
			return err
		}
		if err := f.in.check(); err != nil {
			return err
		}
		switch kind {
		case frameBlock:
		case frameEnd:
			if _, err := f.in.r.ReadByte(); err != io.EOF {
				return errors.New("it goes on after its end")
			}
			return nil
		default:
			return fmt.Errorf("it has a frame of unknown kind %d", kind)
		}
	}
}

// Each calls each with every entry of a verified file, in no order. value is valid
// during the call only. An error of each ends the reading and is returned as it is;
// any other means that the file cannot be read any more.
func (f *File) Each(each func(key string, value []byte) error) error {
	if _, err := f.file.Seek(f.body, io.SeekStart); err != nil {
		return err
	}
	r := f.in.r
	r.Reset(f.file)
	f.in = f.from
	f.in.r = r
	var packed, block []byte
	var entries int64
	for {
		kind, size, raw, err := f.in.head()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		packed, block = room(packed, size), room(block, raw)
		if err := errors.Join(f.in.read(packed), f.in.check()); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if kind == frameEnd {
			break
		}
		if block, err = s2.Decode(block, packed); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		for rest := block; len(rest) > 0; entries++ {
			var key, value []byte
			if key, rest, err = field(rest); err == nil {
				value, rest, err = field(rest)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			if err := each(string(key), value); err != nil {
				return err
			}
		}
	}
	if entries != f.Header.Entries {
		return fmt.Errorf("%s: it holds %d entries, its header says %d", f.Path, entries, f.Header.Entries)
	}
	return nil
}

// field takes one length and as many bytes off data.
func field(data []byte) (value, rest []byte, err error) {
	n, length := binary.Uvarint(data)
	if length <= 0 || n > uint64(len(data)-length) {
		return nil, nil, errors.New("an entry is cut short")
	}
	data = data[length:]
	return data[:n:n], data[n:], nil
}

// room is memory of n bytes, b's where it suffices.
func room(b []byte, n uint32) []byte {
	if uint64(cap(b)) < uint64(n) {
		return make([]byte, n)
	}
	return b[:n]
}

// frameReader keeps the checksum of what it has read, and where it is.
type frameReader struct {
	r   *bufio.Reader
	sum uint32
	at  int64
}

func (f *frameReader) read(p []byte) error {
	n, err := io.ReadFull(f.r, p)
	f.at += int64(n)
	f.sum = crc32.Update(f.sum, castagnoli, p[:n])
	return err
}

// skip reads n bytes for their checksum only, a buffer at a time: n itself is not to be trusted yet.
func (f *frameReader) skip(n int64) error {
	for n > 0 {
		part, err := f.r.Peek(int(min(n, int64(f.r.Size()))))
		f.sum = crc32.Update(f.sum, castagnoli, part)
		f.at += int64(len(part))
		n -= int64(len(part))
		if err != nil {
			return err
		}
		if _, err := f.r.Discard(len(part)); err != nil {
			return err
		}
	}
	return nil
}

func (f *frameReader) head() (kind byte, size, raw uint32, err error) {
	var head [frameHead]byte
	if err := f.read(head[:]); err != nil {
		return 0, 0, 0, err
	}
	return head[0], binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint32(head[5:]), nil
}

func (f *frameReader) check() error {
	var sum [frameSum]byte
	n, err := io.ReadFull(f.r, sum[:])
	f.at += int64(n)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(sum[:]) != f.sum {
		return fmt.Errorf("the checksum before byte %d does not hold", f.at)
	}
	return nil
}
