package replay

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/droplift/droplift/ingest/event"
)

// input is a file being read, which knows how much of it has been.
type input struct {
	path string
	file *os.File
	size int64
	read atomic.Int64
}

func openInput(path string) (*input, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		// Resuming and Parquet both need to read a file again from any place.
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &input{path: path, file: file, size: info.Size()}, nil
}

// Read counts the file's own bytes: compressed ones where it is compressed.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.file.Read(p)
	in.read.Add(int64(n))
	return n, err
}

// fingerprint is the SHA-256 of the whole content.
func fingerprint(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// decompress looks at the first bytes: names lie.
func decompress(r io.Reader) (text *bufio.Reader, packed bool, err error) {
	plain := bufio.NewReaderSize(r, 1<<16)
	magic, err := plain.Peek(2)
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return plain, false, nil
	}
	unpacked, err := gzip.NewReader(plain)
	if err != nil {
		return nil, true, fmt.Errorf("gzip: %w", err)
	}
	return bufio.NewReaderSize(unpacked, 1<<16), true, nil
}

// lines reads physical lines, ended by LF or CRLF, and can take some back.
type lines struct {
	text *bufio.Reader
	// number is that of the last line read from text.
	number int64
	// back holds lines that were returned, in the order in which they come again.
	back   []line
	buffer []byte
}

// line is one physical line without its end.
type line struct {
	number int64
	text   string
	// problem says why the line cannot be used as it is; text is then its start.
	problem *rejection
}

func newLines(text *bufio.Reader) (*lines, error) {
	bom, err := text.Peek(3)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if string(bom) == "\uFEFF" {
		if _, err := text.Discard(len(bom)); err != nil {
			return nil, err
		}
	}
	return &lines{text: text}, nil
}

// next returns the next line. A last line without an end counts when the file
// ends there, and not when it was cut: half a number is a wrong number.
func (l *lines) next() (line, error) {
	if len(l.back) > 0 {
		ln := l.back[0]
		l.back = l.back[1:]
		return ln, nil
	}
	l.buffer = l.buffer[:0]
	tooLong := false
	for {
		piece, err := l.text.ReadSlice('\n')
		room := event.MaxRecordBytes - len(l.buffer)
		if len(piece) > room {
			tooLong = true
			piece = piece[:max(room, 0)]
		}
		l.buffer = append(l.buffer, piece...)
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(l.buffer) > 0, err == nil:
		case err == io.EOF:
			return line{}, io.EOF
		default:
			return line{}, fmt.Errorf("after line %d: %w", l.number, err)
		}
		break
	}
	l.number++
	ln := line{number: l.number, text: strings.TrimSuffix(strings.TrimSuffix(string(l.buffer), "\n"), "\r")}
	switch {
	case tooLong:
		ln.text = ln.text[:min(len(ln.text), maxRawBytes)]
		ln.problem = reject(reasonLineTooLong, "the line is over %d bytes", event.MaxRecordBytes)
	case !utf8.ValidString(ln.text):
		ln.problem = reject(reasonEncoding, "the line is not UTF-8")
	}
	return ln, nil
}

// unread makes next return these lines again.
func (l *lines) unread(again []line) {
	l.back = append(append([]line(nil), again...), l.back...)
}
