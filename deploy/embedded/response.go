package embedded

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// blockSize is how much of the answer goes into one compressed block.
const blockSize = 1 << 20

// response writes one answer. Nothing is sent before begin, so until then an
// error can still choose the status.
type response struct {
	w       http.ResponseWriter
	req     *request
	tag     string
	begun   bool
	out     io.Writer
	encoder io.WriteCloser // HTTP content encoding; nil without
	blocks  *compress.Writer
	chunk   []byte // block being filled
}

// begin sends the headers. length is the size of the whole body, or -1.
func (p *response) begin(format string, stats queryStats, length int) error {
	p.begun = true
	h := p.w.Header()
	h.Set("Content-Type", contentType(format))
	setHeader(h, "X-ClickHouse-Format", format)
	setHeader(h, "X-ClickHouse-Summary", summary(stats))
	p.tag = exceptionTag()
	setHeader(h, "X-ClickHouse-Exception-Tag", p.tag)
	p.out = p.w
	switch {
	case p.req.encoding != "" && length != 0:
		h.Set("Content-Encoding", p.req.encoding)
		encoder, err := newEncoder(p.w, p.req.encoding)
		if err != nil {
			return err
		}
		p.encoder, p.out = encoder, encoder
	case !p.req.compress && length >= 0:
		h.Set("Content-Length", strconv.Itoa(length))
	}
	if p.req.compress {
		p.blocks = compress.NewWriter(p.req.level, p.req.method)
	}
	p.w.WriteHeader(http.StatusOK)
	return nil
}

// Write adds to the body. data may live in the engine's memory: nothing keeps
// it after the call.
func (p *response) Write(data []byte) (int, error) {
	if p.blocks == nil {
		return p.out.Write(data)
	}
	written := len(data)
	for len(data) > 0 {
		n := min(blockSize-len(p.chunk), len(data))
		p.chunk = append(p.chunk, data[:n]...)
		data = data[n:]
		if len(p.chunk) == blockSize {
			if err := p.flushBlock(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (p *response) flushBlock() error {
	if len(p.chunk) == 0 {
		return nil
	}
	if err := p.blocks.Compress(p.chunk); err != nil {
		return err
	}
	p.chunk = p.chunk[:0]
	_, err := p.out.Write(p.blocks.Data)
	return err
}

// end completes the body.
func (p *response) end() error {
	if p.blocks != nil {
		if err := p.flushBlock(); err != nil {
			return err
		}
	}
	if p.encoder != nil {
		return p.encoder.Close()
	}
	return nil
}

// fail answers with the exception: as the whole answer while that is still
// possible, else as ClickHouse's marked block at the end of a body that is
// then broken off, so that no client takes it for complete.
func (p *response) fail(e *exception) {
	if p.begun {
		block := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", p.tag, e.text, len(e.text)+1, p.tag)
		// The marker goes outside the compressed blocks: clients look for it in
		// the bytes that then fail to be a block.
		if p.blocks != nil && p.flushBlock() != nil {
			panic(http.ErrAbortHandler)
		}
		p.blocks = nil
		if _, err := io.WriteString(p.out, block); err == nil && p.end() == nil {
			_ = http.NewResponseController(p.w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	h := p.w.Header()
	setHeader(h, "X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	if e.status() == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	p.w.WriteHeader(e.status())
	_, _ = io.WriteString(p.w, e.text+"\n")
}

// setHeader keeps ClickHouse's spelling, which some clients compare exactly.
func setHeader(h http.Header, name, value string) {
	h[name] = []string{value}
}

func newEncoder(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "deflate":
		return zlib.NewWriterLevel(w, zlib.BestSpeed)
	case "br":
		return brotli.NewWriterLevel(w, brotli.BestSpeed), nil
	case "lz4":
		return lz4.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("no encoder for %s", encoding)
}

// summary renders X-ClickHouse-Summary, whose numbers are strings.
func summary(s queryStats) string {
	return fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d",`+
		`"total_rows_to_read":"0","result_rows":"%d","result_bytes":"%d","elapsed_ns":"%.0f"}`,
		s.readRows, s.readBytes, s.writtenRows, s.writtenBytes,
		max(s.resultRows, s.writtenRows), s.writtenBytes, s.elapsed*1e9)
}

// contentType is what ClickHouse announces for a format.
func contentType(format string) string {
	name := strings.ToLower(format)
	switch {
	case strings.HasPrefix(name, "tabseparated"), strings.HasPrefix(name, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case strings.HasPrefix(name, "csvwithnames"):
		return "text/csv; charset=UTF-8; header=present"
	case strings.HasPrefix(name, "csv"):
		return "text/csv; charset=UTF-8; header=absent"
	case strings.HasPrefix(name, "json") && strings.Contains(name, "eachrow"), strings.HasPrefix(name, "jsonlines"), name == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(name, "json"):
		return "application/json; charset=UTF-8"
	case name == "xml":
		return "application/xml; charset=UTF-8"
	case strings.HasPrefix(name, "pretty"), name == "values", name == "vertical", name == "markdown", name == "null":
		return "text/plain; charset=UTF-8"
	}
	return "application/octet-stream"
}

// headerSkipper finds the header a format repeats at the start of every piece
// of streamed output, and returns its length.
type headerSkipper func(piece []byte) int

// streamable maps the formats whose pieces can be sent one after the other,
// by lower-case name, to what must be cut off every piece but the first. In
// all others the pieces are documents of their own.
var streamable = map[string]headerSkipper{
	"tabseparated": noHeader, "tsv": noHeader, "tabseparatedraw": noHeader, "tsvraw": noHeader, "raw": noHeader,
	"csv": noHeader, "native": noHeader, "rowbinary": noHeader, "lineasstring": noHeader, "rawblob": noHeader,
	"jsoneachrow": noHeader, "jsonlines": noHeader, "ndjson": noHeader, "jsonstringseachrow": noHeader,
	"jsoncompacteachrow": noHeader, "jsoncompactstringseachrow": noHeader,
	"tabseparatedwithnames": lines(1), "tsvwithnames": lines(1),
	"tabseparatedwithnamesandtypes": lines(2), "tsvwithnamesandtypes": lines(2),
	"jsoncompacteachrowwithnames": lines(1), "jsoncompacteachrowwithnamesandtypes": lines(2),
	"csvwithnames": csvLines(1), "csvwithnamesandtypes": csvLines(2),
	"rowbinarywithnames": binaryStrings(1), "rowbinarywithnamesandtypes": binaryStrings(2),
}

func noHeader([]byte) int { return 0 }

// lines skips n lines of a format that escapes line breaks.
func lines(n int) headerSkipper {
	return func(piece []byte) int {
		left := n
		for i, c := range piece {
			if c == '\n' {
				if left--; left == 0 {
					return i + 1
				}
			}
		}
		return len(piece)
	}
}

// csvLines skips n lines, not counting line breaks within quotes.
func csvLines(n int) headerSkipper {
	return func(piece []byte) int {
		left, quoted := n, false
		for i, c := range piece {
			switch {
			case c == '"':
				quoted = !quoted
			case c == '\n' && !quoted:
				if left--; left == 0 {
					return i + 1
				}
			}
		}
		return len(piece)
	}
}

// binaryStrings skips RowBinary's header: the number of columns, then that
// many strings, times lists (names, then types).
func binaryStrings(lists int) headerSkipper {
	return func(piece []byte) int {
		at := 0
		number := func() int {
			value, shift := 0, 0
			for at < len(piece) {
				c := piece[at]
				at++
				value |= int(c&0x7f) << shift
				if shift += 7; c < 0x80 {
					break
				}
			}
			return value
		}
		for range number() * lists {
			at += number()
		}
		return min(at, len(piece))
	}
}
