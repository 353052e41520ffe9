package embedded

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// headSize is how much of query text and body is read before deciding what
	// the statement is. It bounds the text of an INSERT before its data.
	headSize = 1 << 20
	// maxQuerySize bounds the text of every other statement.
	maxQuerySize = 64 << 20

	defaultSessionTimeout = time.Minute
	maxSessionTimeout     = time.Hour
)

// request is what one HTTP request asks for, apart from its statement.
type request struct {
	role     role
	readonly bool // GET: ClickHouse runs those with readonly = 2
	database string
	format   string // default output format; TabSeparated unless asked for
	queryID  string
	settings []setting
	params   []parameter
	external []externalTable

	session        string // key of the session; empty without one
	sessionTimeout time.Duration
	sessionCheck   bool

	protocol int // client_protocol_version
	buffered bool
	compress bool // answer in ClickHouse's compressed blocks
	method   compress.Method
	level    compress.Level
	encoding string // HTTP content encoding of the answer; empty for none
}

// externalTable is a temporary table sent along as a part of a multipart form.
type externalTable struct {
	name, structure, format string
	data                    []byte
}

// httpParams are URL parameters addressed to ClickHouse's HTTP layer. Those
// that the engine also knows as settings mean nothing to it here.
var httpParams = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "quota_key": true,
	"query_id": true, "session_id": true, "session_timeout": true, "session_check": true, "close_session": true,
	"role": true, "compress": true, "decompress": true, "stacktrace": true, "client_protocol_version": true,
	"buffer_size": true, "wait_end_of_query": true, "http_wait_end_of_query": true, "http_response_buffer_size": true,
	"enable_http_compression": true, "http_zlib_compression_level": true, "network_compression_method": true,
	"network_zstd_compression_level": true, "send_progress_in_http_headers": true,
	"http_headers_progress_interval_ms": true, "cancel_http_readonly_queries_on_client_close": true,
	"add_http_cors_header": true,
}

// parse reads URL parameters and headers. The user's role comes first, so that
// nobody learns anything from other errors.
func (s *server) parse(r *http.Request, form url.Values) (*request, error) {
	role, user, err := s.authenticate(r, form)
	if err != nil {
		return nil, err
	}
	req := &request{
		role:     role,
		readonly: r.Method == http.MethodGet || r.Method == http.MethodHead,
		database: first(form.Get("database"), r.Header.Get("X-ClickHouse-Database")),
		format:   first(form.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated"),
		queryID:  first(form.Get("query_id"), r.Header.Get("X-ClickHouse-Query-Id")),
		buffered: isSet(form, "wait_end_of_query") || isSet(form, "http_wait_end_of_query"),
		compress: isSet(form, "compress"),
		method:   compress.LZ4,
	}
	if req.queryID == "" {
		req.queryID = uuid.NewString()
	}
	if id := form.Get("session_id"); id != "" {
		req.session = user + "\x00" + id
		req.sessionCheck = isSet(form, "session_check")
		req.sessionTimeout = defaultSessionTimeout
		if text := form.Get("session_timeout"); text != "" {
			seconds, err := strconv.Atoi(text)
			if err != nil || seconds < 0 || time.Duration(seconds)*time.Second > maxSessionTimeout {
				return nil, raise(codeBadArguments, "BAD_ARGUMENTS", "Session timeout %q must be 0 to %d seconds", text, int(maxSessionTimeout.Seconds()))
			}
			req.sessionTimeout = time.Duration(seconds) * time.Second
		}
	}
	if form.Has("role") {
		return nil, raise(codeUnknownRole, "UNKNOWN_ROLE", "There is no role %s: roles cannot be chosen here", form.Get("role"))
	}
	if text := form.Get("client_protocol_version"); text != "" {
		if req.protocol, err = strconv.Atoi(text); err != nil {
			return nil, raise(codeBadArguments, "BAD_ARGUMENTS", "client_protocol_version %q is not a number", text)
		}
	}
	switch strings.ToUpper(form.Get("network_compression_method")) {
	case "ZSTD":
		req.method = compress.ZSTD
	case "LZ4HC":
		req.method = compress.LZ4HC
	case "NONE":
		req.method = compress.None
	}
	if level, err := strconv.Atoi(form.Get("network_zstd_compression_level")); err == nil && level > 0 {
		req.level = compress.Level(level)
	}
	if !form.Has("enable_http_compression") || isSet(form, "enable_http_compression") {
		req.encoding = chooseEncoding(r.Header.Get("Accept-Encoding"))
	}
	for name, values := range form {
		value := values[len(values)-1]
		if parameterName, ok := strings.CutPrefix(name, "param_"); ok {
			req.params = append(req.params, parameter{parameterName, value})
			continue
		}
		if httpParams[name] || isExternalOption(name) && isMultipart(r) {
			continue
		}
		if !isSettingName(name) {
			return nil, raise(codeUnknownSetting, "UNKNOWN_SETTING", "Unknown setting '%s'", name)
		}
		req.settings = append(req.settings, setting{name, value})
	}
	// A map has no order; errors and behaviour should.
	sort.Slice(req.settings, func(i, j int) bool { return req.settings[i].name < req.settings[j].name })
	return req, nil
}

// authenticate checks the credentials in the order ClickHouse looks for them.
func (s *server) authenticate(r *http.Request, form url.Values) (role, string, error) {
	user, password, given := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key"), true
	if user == "" && password == "" {
		if user, password, given = r.BasicAuth(); !given {
			user, password = form.Get("user"), form.Get("password")
			given = user != "" || password != ""
		}
	}
	user = first(user, "default")
	for _, account := range s.accounts {
		// Both sides are hashed so that the comparison takes the same time for
		// every password.
		want, got := sha256.Sum256([]byte(account.password)), sha256.Sum256([]byte(password))
		if account.user == user && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return account.role, user, nil
		}
	}
	if !given {
		return "", "", raise(codeRequiredPassword, "REQUIRED_PASSWORD", "%s: Authentication failed: password is required", user)
	}
	return "", "", raise(codeAuthenticationFailed, "AUTHENTICATION_FAILED", "%s: Authentication failed: password is incorrect, or there is no user with such name.", user)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func isSet(form url.Values, name string) bool {
	switch strings.ToLower(form.Get(name)) {
	case "", "0", "false":
		return false
	}
	return true
}

// isSettingName guards the SET statement, where names cannot be quoted.
func isSettingName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '.')) {
			return false
		}
	}
	return name != ""
}

func isMultipart(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "multipart/form-data"
}

func isExternalOption(name string) bool {
	return strings.HasSuffix(name, "_format") || strings.HasSuffix(name, "_structure") || strings.HasSuffix(name, "_types")
}

// encodings are the HTTP content encodings, best first.
var encodings = []string{"zstd", "lz4", "br", "gzip", "deflate"}

// chooseEncoding picks the best encoding the client accepts.
func chooseEncoding(accept string) string {
	offered := map[string]bool{}
	for part := range strings.SplitSeq(accept, ",") {
		name, options, _ := strings.Cut(strings.TrimSpace(part), ";")
		if q, ok := strings.CutPrefix(strings.TrimSpace(options), "q="); ok {
			if weight, err := strconv.ParseFloat(q, 64); err == nil && weight == 0 {
				continue
			}
		}
		offered[strings.ToLower(strings.TrimSpace(name))] = true
	}
	for _, name := range encodings {
		if offered[name] {
			return name
		}
	}
	return ""
}

// decodeBody undoes the compression of a request body.
func decodeBody(body io.Reader, encoding string, blocks bool) (io.Reader, func(), error) {
	done := func() {}
	var err error
	switch strings.ToLower(encoding) {
	case "", "identity":
	case "gzip":
		body, err = gzip.NewReader(body)
	case "deflate":
		body, err = zlib.NewReader(body)
	case "br":
		body = brotli.NewReader(body)
	case "lz4":
		body = lz4.NewReader(body)
	case "zstd":
		var reader *zstd.Decoder
		if reader, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1)); err == nil {
			body, done = reader, reader.Close
		}
	default:
		return nil, done, raise(codeNotImplemented, "NOT_IMPLEMENTED", "Content-Encoding %q is not supported", encoding)
	}
	if err != nil {
		return nil, done, bodyError(err)
	}
	if blocks {
		source := &countingReader{r: body}
		body = &blockReader{source: source, blocks: compress.NewReader(source)}
	}
	return body, done, nil
}

// blockReader reads ClickHouse's compressed blocks. It tells the end of the
// body between two blocks, which is an end, from one inside a block, which is
// a body cut short.
type blockReader struct {
	source *countingReader
	blocks *compress.Reader
}

func (b *blockReader) Read(p []byte) (int, error) {
	b.source.n = 0
	n, err := b.blocks.Read(p)
	if err != nil && b.source.n == 0 && errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// bodyError reports a request body that ends early or does not decompress.
func bodyError(err error) error {
	return raise(codeCannotReadAllData, "CANNOT_READ_ALL_DATA", "Cannot read the request body: %v", err)
}

// readMultipart takes the text fields of a form as parameters and its files as
// external tables.
func readMultipart(r *http.Request, form url.Values) ([]externalTable, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, bodyError(err)
	}
	var tables []externalTable
	for left := int64(maxQuerySize); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, bodyError(err)
		}
		data, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return nil, bodyError(err)
		}
		if left -= int64(len(data)); left < 0 {
			return nil, raise(codeQueryTooLarge, "QUERY_IS_TOO_LARGE", "The form is larger than %d bytes", maxQuerySize)
		}
		if part.FileName() == "" && !strings.Contains(part.Header.Get("Content-Disposition"), "filename") {
			form.Add(part.FormName(), string(data))
			continue
		}
		tables = append(tables, externalTable{name: part.FormName(), data: data})
	}
	for i := range tables {
		t := &tables[i]
		t.format = first(form.Get(t.name+"_format"), "TabSeparated")
		t.structure = form.Get(t.name + "_structure")
		if types := form.Get(t.name + "_types"); t.structure == "" && types != "" {
			var columns []string
			for n, kind := range strings.Split(types, ",") {
				columns = append(columns, fmt.Sprintf("_%d %s", n+1, kind))
			}
			t.structure = strings.Join(columns, ", ")
		}
		if t.structure == "" {
			return nil, raise(codeBadArguments, "BAD_ARGUMENTS", "External table %s has neither structure nor types", t.name)
		}
	}
	return tables, nil
}

// exceptionTag marks an exception inside a body that has already begun; it is
// random so that no result can contain it by chance or intent.
func exceptionTag() string {
	return strings.ToLower(rand.Text()[:16])
}
