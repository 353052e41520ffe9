package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// account is one user the server knows.
type account struct {
	user, password string
	role           role
}

// server speaks ClickHouse's HTTP interface for the engine behind the pool.
type server struct {
	pool     *pool
	sessions *sessions
	accounts []account
	log      *slog.Logger

	// What the engine says of itself, asked once.
	displayName, version, timezone string
}

// newServer asks the engine for its identity.
func newServer(p *pool, accounts []account, log *slog.Logger) (*server, error) {
	s := &server{pool: p, accounts: accounts, log: log,
		sessions: &sessions{pool: p, limit: 256, open: map[string]*session{}}}
	r, err := p.control.query("SELECT displayName(), version(), timezone()", "TabSeparatedRaw", nil)
	if err != nil {
		return nil, err
	}
	defer r.free()
	if fields := strings.Split(strings.TrimSpace(string(r.data)), "\t"); len(fields) == 3 {
		s.displayName, s.version, s.timezone = fields[0], fields[1], fields[2]
	}
	return s, nil
}

// handler routes ClickHouse's paths. Browsers of other sites are kept out: on
// loopback without a password any page could otherwise post statements.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Ok.\n") }
	mux.HandleFunc("/ping", ok)
	mux.HandleFunc("/replicas_status", ok)
	mux.HandleFunc("/{$}", s.serveQuery)
	mux.HandleFunc("/query", s.serveQuery)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "There is no handle "+r.URL.Path+"\n\nUse / for queries and /ping for health checks.", http.StatusNotFound)
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *server) serveQuery(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setHeader(h, "X-ClickHouse-Server-Display-Name", s.displayName)
	setHeader(h, "X-ClickHouse-Timezone", s.timezone)
	reply := &response{w: w}
	if err := s.answer(reply, r); err != nil {
		e := exceptionOf(err, s.version)
		s.log.Debug("query failed", "code", e.code, "error", e.text)
		// A client that is still sending would miss the answer if the
		// connection were closed under it.
		_, _ = io.CopyN(io.Discard, r.Body, maxQuerySize)
		reply.fail(e)
	}
}

// answer runs the request and writes its result; an error has not been
// written yet.
func (s *server) answer(reply *response, r *http.Request) error {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return raise(codeBadArguments, "BAD_ARGUMENTS", "Cannot parse the URL parameters: %v", err)
	}
	var external []externalTable
	var body io.Reader = r.Body
	if isMultipart(r) {
		// Credentials may be in the URL or headers only, so they are checked
		// before the form is read.
		if _, _, err := s.authenticate(r, form); err != nil {
			return err
		}
		if external, err = readMultipart(r, form); err != nil {
			return err
		}
		body = http.NoBody
	}
	req, err := s.parse(r, form)
	if err != nil {
		return err
	}
	req.external = external
	reply.req = req
	setHeader(reply.w.Header(), "X-ClickHouse-Query-Id", req.queryID)

	body, done, err := decodeBody(body, r.Header.Get("Content-Encoding"), isSet(form, "decompress"))
	if err != nil {
		return err
	}
	defer done()
	input, err := readInput(form.Get("query"), body, form.Has("default_format") || r.Header.Get("X-ClickHouse-Format") != "", req.format)
	if err != nil {
		return err
	}
	if input.insert == nil && strings.Trim(input.text, "; \t\r\n") == "" {
		if req.readonly && r.URL.RawQuery == "" {
			_, err := io.WriteString(reply.w, "Ok.\n")
			return err
		}
		return raise(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: failed at position 1: empty query")
	}
	return s.run(r.Context(), reply, input)
}

// input is one statement: either complete in text, or an insert whose data is
// still to be read.
type input struct {
	text   string
	insert *insertHead
	data   *bufio.Reader
}

// readInput joins the query parameter and the body, as ClickHouse does, and
// reads as much of them as the statement itself, leaving an insert's data.
func readInput(query string, body io.Reader, hasFormat bool, format string) (input, error) {
	if head, ok := splitInsert(query); ok && head.complete {
		return insertInput(head, query[head.data:], body)
	}
	text := []byte(query)
	if len(text) > 0 {
		text = append(text, '\n')
	}
	prefix, err := io.ReadAll(io.LimitReader(body, headSize))
	if err != nil {
		return input{}, bodyError(err)
	}
	if len(prefix) == 0 {
		text = []byte(query)
	}
	joined := string(append(text, prefix...))
	if head, ok := splitInsert(joined); ok {
		if head.complete {
			return insertInput(head, joined[head.data:], body)
		}
		// No FORMAT anywhere: the body is data in the default format.
		if head, ok := splitInsert(query); ok {
			head.format = "Values"
			if hasFormat {
				head.format = format
			}
			return insertInput(head, string(prefix), body)
		}
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxQuerySize))
	if err != nil {
		return input{}, bodyError(err)
	}
	if len(rest) == maxQuerySize {
		return input{}, raise(codeQueryTooLarge, "QUERY_IS_TOO_LARGE", "The query text is larger than %d bytes", maxQuerySize)
	}
	return input{text: joined + string(rest)}, nil
}

func insertInput(head insertHead, begin string, body io.Reader) (input, error) {
	in := input{insert: &head, text: head.sql, data: bufio.NewReaderSize(io.MultiReader(strings.NewReader(begin), body), 64<<10)}
	// Waiting for the client's first byte here, and not while holding a
	// connection, keeps idle uploads from starving everybody else.
	if _, err := in.data.Peek(1); err != nil && err != io.EOF {
		return in, bodyError(err)
	}
	return in, nil
}

// run executes the statement on a connection prepared for the request.
func (s *server) run(ctx context.Context, reply *response, in input) (err error) {
	req := reply.req
	if err := s.pool.enter(ctx); err != nil {
		return err
	}
	defer s.pool.leave()
	// Whoever leaves early, by error or panic, leaves the remains of a query.
	usable, clean := true, false
	var conn *connection
	if req.session != "" {
		held, err := s.sessions.take(req.session, req.role, req.sessionCheck)
		switch {
		case errors.Is(err, errSessionLocked):
			return raise(codeSessionLocked, "SESSION_IS_LOCKED", "Session is locked by a concurrent client")
		case errors.Is(err, errSessionMissing):
			return raise(codeSessionNotFound, "SESSION_NOT_FOUND", "Session not found")
		case err != nil:
			return err
		}
		conn = held.conn
		defer func() { s.sessions.release(req.session, held, req.sessionTimeout, usable) }()
	} else {
		if conn, err = s.pool.get(req.role, first(req.database, homeDatabase)); err != nil {
			return err
		}
		defer func() {
			if usable {
				s.pool.put(req.role, conn)
			} else {
				conn.close()
			}
		}()
	}
	if in.insert != nil && !in.insert.settings && len(req.settings) > 0 {
		// An insert can carry them itself, which saves setting and resetting
		// them on the connection: two statements beside one that is often small.
		in.text += "\nSETTINGS " + assignments(req.settings)
		req.settings = nil
	}
	restore, err := s.prepare(conn, req)
	if err != nil {
		usable = req.session != ""
		return err
	}
	defer func() {
		// A failed query stays in system.processes, with all it holds, until
		// the connection's next statement.
		usable = usable && (clean || conn.exec("SELECT 1") == nil) && restore()
	}()
	err = s.execute(ctx, conn, reply, in, &usable)
	clean = err == nil
	return err
}

// execute runs one statement on a prepared connection. It clears usable when
// the statement changes what the connection's next user would see.
func (s *server) execute(ctx context.Context, conn *connection, reply *response, in input, usable *bool) error {
	req := reply.req
	if in.insert != nil {
		return s.runInsert(conn, reply, in)
	}
	class, statements := conn.classify(in.text)
	shape := shapeOf(in.text)
	if err := allow(req, class, statements, shape); err != nil {
		return err
	}
	// SET, USE and temporary tables are meant to last as long as the session;
	// without one they must not leak to whoever gets the connection next.
	if req.session == "" && (class == classControl || class == classUnknown) {
		*usable = false
	}
	if class == classReadOnly {
		defer s.killOnDisconnect(ctx, conn)()
	} else if shape.verb == "DROP" || shape.verb == "DETACH" || shape.verb == "RENAME" {
		defer s.pool.databasesChanged()
	}
	format := first(shape.format, req.format)
	if isHello(in.text) {
		if strings.EqualFold(format, "Native") {
			return s.sayHello(reply)
		}
		in.text = `SELECT displayName(), version(), toUInt32(0) AS "revision()", timezone()`
	}
	skip, ok := streamable[strings.ToLower(format)]
	if ok && class == classReadOnly && !req.buffered && !shape.totals && (shape.verb == "SELECT" || shape.verb == "WITH") {
		return runStream(conn, reply, in.text, format, skip)
	}
	return runWhole(conn, reply, in.text, format)
}

// allow refuses what the role, the method or HTTP itself does not permit.
func allow(req *request, class statementClass, statements int, shape queryShape) error {
	switch {
	case shape.file != "":
		return raise(codeOutfileNotAllowed, "INTO_OUTFILE_NOT_ALLOWED", "%s is not allowed over HTTP", shape.file)
	case shape.input && shape.verb == "INSERT":
		return raise(codeNotImplemented, "NOT_IMPLEMENTED", "INSERT ... SELECT FROM input() is not supported by the embedded server: insert into a temporary table of a session instead")
	case statements > 1:
		return raise(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): %d statements in one query", statements)
	case class == classUnknown:
		return nil // the engine will say what is wrong with it
	case req.role == roleReader && class != classReadOnly: // SET too: it could SET ROLE
		return raise(codeReadonly, "READONLY", "Cannot execute query in readonly mode: this user may only read")
	case req.readonly && class != classReadOnly && !(class == classControl && (shape.verb == "SET" || shape.verb == "USE")):
		return raise(codeReadonly, "READONLY", "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")
	}
	return nil
}

// prepare applies settings, external tables and a session's database. restore undoes them
// and reports whether the connection is as it was before.
func (s *server) prepare(conn *connection, req *request) (restore func() bool, err error) {
	var undo []string
	restore = func() bool {
		for _, sql := range undo {
			if conn.exec(sql) != nil {
				return false
			}
		}
		return true
	}
	if req.session != "" && req.database != "" {
		if err := conn.exec("USE " + quoteName(req.database)); err != nil {
			return nil, err
		}
	}
	for _, table := range req.external {
		name := quoteName(table.name)
		if err := conn.exec("CREATE TEMPORARY TABLE " + name + " (" + table.structure + ")"); err != nil {
			restore()
			return nil, err
		}
		undo = append(undo, "DROP TEMPORARY TABLE "+name)
		insertion, err := conn.insert("INSERT INTO "+name, table.format, nil)
		if err == nil {
			insertion.write(table.data)
			_, err = insertion.done()
		}
		if err != nil {
			restore()
			return nil, err
		}
	}
	if len(req.settings) > 0 {
		reset := s.pool.resetStatement(req.settings)
		if req.session != "" {
			if reset, err = previousSettings(conn, req.settings); err != nil {
				return nil, err
			}
		}
		if err := conn.exec(setStatement(req.settings)); err != nil {
			restore()
			return nil, err
		}
		undo = append(undo, reset)
	}
	return restore, nil
}

// previousSettings is the statement that gives a session back the values its
// own SETs chose, once the request's values are to be undone.
func previousSettings(conn *connection, settings []setting) (string, error) {
	columns := make([]string, len(settings))
	for i, set := range settings {
		columns[i] = "toString(getSetting(" + quoteString(set.name) + "))"
	}
	r, err := conn.query("SELECT "+strings.Join(columns, ", "), "RowBinary", nil)
	if err != nil {
		return "", err
	}
	defer r.free()
	values := proto.NewReader(bytes.NewReader(r.data))
	previous := make([]setting, len(settings))
	for i, set := range settings {
		value, err := values.Str()
		if err != nil {
			return "", err
		}
		previous[i] = setting{set.name, value}
	}
	return setStatement(previous), nil
}

// runInsert feeds the engine as the data arrives, so that neither side holds
// more of it than a few pieces. The engine gathers the rows into blocks of
// about a million and writes each as one part: a batch within that is atomic.
func (s *server) runInsert(conn *connection, reply *response, in input) error {
	req := reply.req
	if shape := shapeOf(in.text); shape.file != "" {
		return raise(codeOutfileNotAllowed, "INTO_OUTFILE_NOT_ALLOWED", "%s is not allowed over HTTP", shape.file)
	}
	if req.role == roleReader || req.readonly {
		return allow(req, classMutating, 1, queryShape{verb: "INSERT"})
	}
	began := time.Now()
	insertion, err := conn.insert(in.text, in.insert.format, req.params)
	if err != nil {
		return err
	}
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	for {
		n, err := fill(in.data, *piece)
		if n > 0 && !insertion.write((*piece)[:n]) {
			break // done reports why
		}
		if err == io.EOF {
			break
		} else if err != nil {
			insertion.cancel()
			return bodyError(err)
		}
	}
	stats, err := insertion.done()
	if err != nil {
		return err
	}
	// The engine's own count goes on from the connection's last insert.
	stats.elapsed = time.Since(began).Seconds()
	if err := reply.begin(req.format, stats, 0); err != nil {
		return err
	}
	return reply.end()
}

// fill reads until p is full or r fails. Unlike io.ReadFull it keeps an early
// io.EOF apart from the io.ErrUnexpectedEOF of a body cut short.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var got int
		got, err = r.Read(p[n:])
		n += got
	}
	return n, err
}

// pieces are the buffers between request body and engine.
var pieces = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

// runWhole runs any statement and answers with its whole output, so that
// every error comes with its status.
func runWhole(conn *connection, reply *response, sql, format string) error {
	result, err := conn.query(sql, reply.req.format, reply.req.params)
	if err != nil {
		return err
	}
	defer result.free()
	if err := reply.begin(format, result.stats, len(result.data)); err != nil {
		return err
	}
	if _, err := reply.Write(result.data); err != nil {
		return clientGone(err)
	}
	return clientGone(reply.end())
}

// runStream answers block by block. The first two pieces are fetched before
// anything is sent: most results end there, with full statistics, and most
// errors still get their status.
func runStream(conn *connection, reply *response, sql, format string, skip headerSkipper) error {
	stream, err := conn.stream(sql, reply.req.format, reply.req.params)
	if err != nil {
		return err
	}
	finished := false
	defer func() { stream.close(finished) }()
	piece, err := stream.next()
	if err != nil {
		finished = true
		return err
	}
	stats, length := piece.stats, -1
	for header := 0; ; header = -1 {
		var following *result
		if len(piece.data) > 0 {
			if following, err = stream.next(); err != nil {
				piece.free()
				finished = true
				return err
			}
		}
		if following == nil || len(following.data) == 0 {
			finished = true
		}
		if !reply.begun {
			if following != nil {
				stats.add(following.stats)
			}
			if finished {
				length = len(piece.data)
			}
			if err := reply.begin(format, stats, length); err != nil {
				return err
			}
		}
		data := piece.data
		if header < 0 {
			data = data[skip(data):]
		}
		_, err = reply.Write(data)
		piece.free()
		if following != nil && (finished || err != nil) {
			following.free()
		}
		if err != nil {
			return clientGone(err)
		}
		if finished {
			return clientGone(reply.end())
		}
		piece = following
	}
}

func (s *queryStats) add(other queryStats) {
	s.resultRows += other.resultRows
	s.readRows += other.readRows
	s.readBytes += other.readBytes
	s.elapsed += other.elapsed
}

// clientGone ends the request when the client cannot be written to any more:
// there is nobody left to tell.
func clientGone(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// killOnDisconnect cancels what the connection runs when ctx ends first. The
// returned function must be called before the connection runs anything else.
func (s *server) killOnDisconnect(ctx context.Context, conn *connection) (done func()) {
	if conn.thread == 0 {
		return func() {}
	}
	ended := make(chan struct{})
	var mu sync.Mutex // held while killing: the query must still be the one meant
	stop := context.AfterFunc(ctx, func() {
		// The engine lists the thread only while it works on the query, not
		// between two pieces of a result, so one attempt may find nothing.
		for ; ; time.Sleep(20 * time.Millisecond) {
			mu.Lock()
			select {
			case <-ended:
				mu.Unlock()
				return
			default:
			}
			found, err := s.pool.kill(conn.thread)
			mu.Unlock()
			if err != nil {
				s.log.Warn("cancelling a query failed", "error", err)
			}
			if found || err != nil {
				return
			}
		}
	})
	return func() {
		stop()
		mu.Lock()
		close(ended)
		mu.Unlock()
	}
}

// isHello recognises the first query of clickhouse-go.
func isHello(sql string) bool {
	return strings.TrimRight(strings.TrimSpace(sql), ";") == "SELECT displayName(), version(), revision(), timezone()"
}

// sayHello answers it. The client decodes this one answer at its own protocol
// revision and everything after at the revision named here. The engine's
// Native output is that of revision 0, whatever revision it would report.
func (s *server) sayHello(reply *response) error {
	column := func(name, value string) proto.InputColumn {
		data := new(proto.ColStr)
		data.Append(value)
		return proto.InputColumn{Name: name, Data: data}
	}
	columns := []proto.InputColumn{
		column("displayName()", s.displayName),
		column("version()", s.version),
		{Name: "revision()", Data: &proto.ColUInt32{0}},
		column("timezone()", s.timezone),
	}
	var buffer proto.Buffer
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: len(columns), Rows: 1}
	if err := block.EncodeBlock(&buffer, reply.req.protocol, columns); err != nil {
		return fmt.Errorf("encode the server's identity: %w", err)
	}
	if err := reply.begin("Native", queryStats{resultRows: 1, readRows: 1}, len(buffer.Buf)); err != nil {
		return err
	}
	if _, err := reply.Write(buffer.Buf); err != nil {
		return clientGone(err)
	}
	return clientGone(reply.end())
}
