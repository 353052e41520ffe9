package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
)

// Reject is one line of the reject file.
type Reject struct {
	File string `json:"file"`
	// Line is the physical line, the row's number in Parquet; Record the record's number.
	Line   int64  `json:"line"`
	Record uint64 `json:"record"`
	// Column is the file's, Field the event's; empty where the row as a whole is at fault.
	Column string `json:"column,omitempty"`
	Field  string `json:"field,omitempty"`
	// Reason is of a closed list: the event definition's and the ones in Help.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	// Raw is the row as it stood in the file, cut at 64 KiB; what is not UTF-8 in it is replaced.
	Raw string `json:"raw"`
}

const maxRawBytes = 64 << 10

// rejects writes the reject file.
type rejects struct {
	file *os.File
	out  *bufio.Writer
}

// openRejects keeps what was refused up to the acknowledged record and drops the
// rest, which the resumed run will refuse again.
func openRejects(path string, acked uint64) (*rejects, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	keep, err := keepRejects(file, acked)
	if err == nil {
		err = file.Truncate(keep)
	}
	if err == nil {
		_, err = file.Seek(keep, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &rejects{file: file, out: bufio.NewWriter(file)}, nil
}

// keepRejects is the length of the lines that stay: they are in record order.
func keepRejects(file *os.File, acked uint64) (int64, error) {
	var keep int64
	in := bufio.NewReader(file)
	for acked > 0 {
		text, err := in.ReadBytes('\n')
		if err == io.EOF {
			return keep, nil
		}
		if err != nil {
			return 0, err
		}
		var r Reject
		if json.Unmarshal(text, &r) != nil || r.Record > acked {
			break // half a line can only be behind the last checkpoint
		}
		keep += int64(len(text))
	}
	return keep, nil
}

func (w *rejects) write(r *Reject) error {
	r.Raw = strings.ToValidUTF8(r.Raw[:min(len(r.Raw), maxRawBytes)], "\uFFFD")
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	_, err := w.out.Write(text.Bytes())
	return err
}

func (w *rejects) sync() error {
	return errors.Join(w.out.Flush(), w.file.Sync())
}

func (w *rejects) close() error {
	return errors.Join(w.out.Flush(), w.file.Close())
}
