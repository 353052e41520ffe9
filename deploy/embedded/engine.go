package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is the C interface of libchdb: the handful of entry points the
// server needs. Handles are opaque addresses owned by the library; a result
// handle must be destroyed exactly once, a connection closed exactly once.
type library struct {
	connect       func(argc int32, argv unsafe.Pointer) uintptr
	closeConn     func(conn uintptr)
	version       func() string
	signals       func(enabled int32)
	query         func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr
	streamQuery   func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr
	streamFetch   func(conn, stream uintptr) uintptr
	streamCancel  func(conn, stream uintptr)
	destroyResult func(result uintptr)
	buffer        func(result uintptr) uintptr
	length        func(result uintptr) uintptr
	elapsed       func(result uintptr) float64
	rowsRead      func(result uintptr) uint64
	storageRows   func(result uintptr) uint64
	storageBytes  func(result uintptr) uint64
	rowsWritten   func(result uintptr) uint64
	bytesWritten  func(result uintptr) uint64
	resultError   func(result uintptr) string
	insert        func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr
	insertAppend  func(stream uintptr, data unsafe.Pointer, n uintptr) int32
	insertDone    func(stream uintptr) uintptr
	insertCancel  func(stream uintptr)
	insertError   func(stream uintptr) string
	insertDestroy func(stream uintptr)
	classify      func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32
}

// loadLibrary opens libchdb at path and resolves every entry point. The
// library lives as long as the process: its engine cannot be unloaded.
func loadLibrary(path string) (lib *library, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("load ClickHouse library %s: %w", path, err)
	}
	lib = &library{}
	for name, fn := range map[string]any{
		"chdb_connect":                     &lib.connect,
		"chdb_close_conn":                  &lib.closeConn,
		"chdb_version":                     &lib.version,
		"chdb_set_signal_handlers_enabled": &lib.signals,
		"chdb_query_with_params_n":         &lib.query,
		"chdb_stream_query_with_params_n":  &lib.streamQuery,
		"chdb_stream_fetch_result":         &lib.streamFetch,
		"chdb_stream_cancel_query":         &lib.streamCancel,
		"chdb_destroy_query_result":        &lib.destroyResult,
		"chdb_result_buffer":               &lib.buffer,
		"chdb_result_length":               &lib.length,
		"chdb_result_elapsed":              &lib.elapsed,
		"chdb_result_rows_read":            &lib.rowsRead,
		"chdb_result_storage_rows_read":    &lib.storageRows,
		"chdb_result_storage_bytes_read":   &lib.storageBytes,
		"chdb_result_rows_written":         &lib.rowsWritten,
		"chdb_result_bytes_written":        &lib.bytesWritten,
		"chdb_result_error":                &lib.resultError,
		"chdb_stream_insert_with_params_n": &lib.insert,
		"chdb_stream_append":               &lib.insertAppend,
		"chdb_stream_done":                 &lib.insertDone,
		"chdb_stream_cancel_insert":        &lib.insertCancel,
		"chdb_stream_insert_error":         &lib.insertError,
		"chdb_destroy_insert_stream":       &lib.insertDestroy,
		"chdb_classify_query_n":            &lib.classify,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("ClickHouse library %s lacks %s: it is not the pinned version", path, name)
		}
		purego.RegisterFunc(fn, symbol)
	}
	return lib, nil
}

// queryStats are the counters ClickHouse reports for one statement.
type queryStats struct {
	resultRows   uint64
	readRows     uint64
	readBytes    uint64
	writtenRows  uint64
	writtenBytes uint64
	elapsed      float64 // seconds
}

// engineError is a failure reported by the engine, in ClickHouse's own words.
type engineError struct{ text string }

func (e *engineError) Error() string { return e.text }

// connection is one session of the engine. It runs one statement at a time,
// so callers own it exclusively between taking it from the pool and giving it
// back.
//
// Every call into the engine is made on one thread that belongs to the
// connection for its whole life: the engine attaches a query's memory and
// thread accounting to the thread that starts it, and detaches it at the next
// statement of the connection. KILL finds the query by that thread.
type connection struct {
	lib    *library
	calls  chan func() // run by the thread
	thread int         // its id; 0 where unknown
	handle uintptr     // chdb_connection *, as chdb_connect returned it
	conn   uintptr     // chdb_connection

	// database is the one its statements run in; epoch is the pool's when that
	// was last checked.
	database string
	epoch    uint64
}

var errConnect = errors.New("the ClickHouse engine refused to start; its reason is in the log above")

// open starts a session. The first one in a process boots the engine on the
// storage named by --path; later ones must name the same path.
func (l *library) open(args []string) (*connection, error) {
	c := &connection{lib: l, calls: make(chan func())}
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		for call := range c.calls {
			call()
		}
	}()
	c.on(func() {
		c.thread = threadID()
		c.handle = l.connectArgs(args)
	})
	if c.handle == 0 {
		close(c.calls)
		return nil, errConnect
	}
	c.conn = *(*uintptr)(address(c.handle))
	return c, nil
}

// on runs f on the connection's thread and waits for it.
func (c *connection) on(f func()) {
	done := make(chan struct{})
	c.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

// connectArgs calls chdb_connect with a C argument vector.
func (l *library) connectArgs(args []string) uintptr {
	argv := make([]unsafe.Pointer, 0, len(args)+2)
	var pin runtime.Pinner
	defer pin.Unpin()
	for _, arg := range append([]string{"clickhouse"}, args...) {
		text := append([]byte(arg), 0)
		pin.Pin(&text[0])
		argv = append(argv, unsafe.Pointer(&text[0]))
	}
	argv = append(argv, nil)
	return l.connect(int32(len(argv)-1), unsafe.Pointer(&argv[0]))
}

// close ends the session; temporary tables and settings go with it.
func (c *connection) close() {
	c.on(func() { c.lib.closeConn(c.handle) })
	close(c.calls)
}

// address turns an address owned by the C library into a pointer. The memory
// is not Go's, so the collector neither moves nor frees it.
func address(p uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

// parameter is one bound {name:Type} value in ClickHouse's escaped text form.
type parameter struct{ name, value string }

// statement holds the C form of one statement for the length of one call.
type statement struct {
	sql, format                        unsafe.Pointer
	sqlLen, formatLen                  uintptr
	names, nameLens, values, valueLens unsafe.Pointer
	n                                  uintptr
	pin                                runtime.Pinner
}

func (s *statement) text(v string) (unsafe.Pointer, uintptr) {
	if v == "" {
		v = "\x00"
		p := unsafe.StringData(v)
		return unsafe.Pointer(p), 0
	}
	p := unsafe.StringData(v)
	s.pin.Pin(p)
	return unsafe.Pointer(p), uintptr(len(v))
}

func newStatement(sql, format string, params []parameter) *statement {
	s := &statement{n: uintptr(len(params))}
	s.sql, s.sqlLen = s.text(sql)
	s.format, s.formatLen = s.text(format)
	if len(params) == 0 {
		return s
	}
	names, nameLens := make([]unsafe.Pointer, len(params)), make([]uintptr, len(params))
	values, valueLens := make([]unsafe.Pointer, len(params)), make([]uintptr, len(params))
	for i, p := range params {
		names[i], nameLens[i] = s.text(p.name)
		values[i], valueLens[i] = s.text(p.value)
	}
	s.pin.Pin(&names[0])
	s.pin.Pin(&nameLens[0])
	s.pin.Pin(&values[0])
	s.pin.Pin(&valueLens[0])
	s.names, s.nameLens = unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0])
	s.values, s.valueLens = unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0])
	return s
}

// result is one buffer of output. Its bytes belong to the library and are
// valid until free.
type result struct {
	lib    *library
	handle uintptr
	data   []byte
	stats  queryStats
}

func (r *result) free() { r.lib.destroyResult(r.handle) }

// failure returns the error a result handle carries, and destroys it then.
func (l *library) failure(handle uintptr) error {
	if handle == 0 {
		return &engineError{"Code: 1002. DB::Exception: The engine returned no result. (UNKNOWN_EXCEPTION)"}
	}
	if text := l.resultError(handle); text != "" {
		l.destroyResult(handle)
		return &engineError{text}
	}
	return nil
}

// take wraps a result handle, or turns it into the error it carries.
func (l *library) take(handle uintptr) (*result, error) {
	if err := l.failure(handle); err != nil {
		return nil, err
	}
	r := &result{lib: l, handle: handle, stats: queryStats{
		resultRows:   l.rowsRead(handle),
		readRows:     l.storageRows(handle),
		readBytes:    l.storageBytes(handle),
		writtenRows:  l.rowsWritten(handle),
		writtenBytes: l.bytesWritten(handle),
		elapsed:      l.elapsed(handle),
	}}
	if n := l.length(handle); n > 0 {
		r.data = unsafe.Slice((*byte)(address(l.buffer(handle))), n)
	}
	return r, nil
}

// query runs one statement to its end and returns its whole output.
func (c *connection) query(sql, format string, params []parameter) (r *result, err error) {
	s := newStatement(sql, format, params)
	defer s.pin.Unpin()
	c.on(func() {
		r, err = c.lib.take(c.lib.query(c.conn, s.sql, s.sqlLen, s.format, s.formatLen, s.names, s.nameLens, s.values, s.valueLens, s.n))
	})
	return r, err
}

// stream is a running SELECT whose output is fetched block by block.
type stream struct {
	c      *connection
	handle uintptr
}

// stream starts a SELECT. The engine accepts no other kind of statement here.
func (c *connection) stream(sql, format string, params []parameter) (*stream, error) {
	s := newStatement(sql, format, params)
	defer s.pin.Unpin()
	var handle uintptr
	var err error
	c.on(func() {
		handle = c.lib.streamQuery(c.conn, s.sql, s.sqlLen, s.format, s.formatLen, s.names, s.nameLens, s.values, s.valueLens, s.n)
		err = c.lib.failure(handle)
	})
	if err != nil {
		return nil, err
	}
	return &stream{c: c, handle: handle}, nil
}

// next returns the next piece of output; an empty one ends the stream.
func (s *stream) next() (r *result, err error) {
	s.c.on(func() { r, err = s.c.lib.take(s.c.lib.streamFetch(s.c.conn, s.handle)) })
	return r, err
}

// close abandons whatever was not fetched and releases the stream.
func (s *stream) close(finished bool) {
	s.c.on(func() {
		if !finished {
			s.c.lib.streamCancel(s.c.conn, s.handle)
		}
		s.c.lib.destroyResult(s.handle)
	})
}

// insertion is a running INSERT that takes its data in pieces.
type insertion struct {
	c      *connection
	handle uintptr
}

// insert starts an INSERT without data; sql must hold no FORMAT clause.
func (c *connection) insert(sql, format string, params []parameter) (*insertion, error) {
	s := newStatement(sql, format, params)
	defer s.pin.Unpin()
	i := &insertion{c: c}
	var text string
	c.on(func() {
		i.handle = c.lib.insert(c.conn, s.sql, s.sqlLen, s.format, s.formatLen, s.names, s.nameLens, s.values, s.valueLens, s.n)
		if text = c.lib.insertError(i.handle); text != "" {
			c.lib.insertDestroy(i.handle)
		}
	})
	if text != "" {
		return nil, &engineError{text}
	}
	return i, nil
}

// write hands the engine one piece; the bytes are copied. False means the
// insert has failed already and done will say why.
func (i *insertion) write(p []byte) (ok bool) {
	if len(p) == 0 {
		return true
	}
	i.c.on(func() { ok = i.c.lib.insertAppend(i.handle, unsafe.Pointer(&p[0]), uintptr(len(p))) == 0 })
	return ok
}

// done ends the data and commits.
func (i *insertion) done() (stats queryStats, err error) {
	i.c.on(func() {
		defer i.c.lib.insertDestroy(i.handle)
		var r *result
		if r, err = i.c.lib.take(i.c.lib.insertDone(i.handle)); err == nil {
			stats = r.stats
			r.free()
		}
	})
	return stats, err
}

// cancel drops what has not been written yet.
func (i *insertion) cancel() {
	i.c.on(func() {
		i.c.lib.insertCancel(i.handle)
		i.c.lib.insertDestroy(i.handle)
	})
}

// statementClass is what a statement does to state that outlives it, as the
// engine's own parser sees it.
type statementClass uint32

const (
	classReadOnly statementClass = iota
	classMutating
	classMutatingGlobal
	classControl // SET, USE, SYSTEM, KILL, INTO OUTFILE, INSERT INTO FUNCTION
	classUnknown // did not parse
)

// classify parses sql and reports its class and how many statements it holds.
func (c *connection) classify(sql string) (class statementClass, statements int) {
	s := newStatement(sql, "", nil)
	defer s.pin.Unpin()
	// struct_size, statement_count, flags, query_class
	report := [4]uint32{16, 0, 0, uint32(classUnknown)}
	var failed bool
	c.on(func() { failed = c.lib.classify(c.conn, s.sql, s.sqlLen, nil, 0, unsafe.Pointer(&report[0])) != 0 })
	if failed {
		return classUnknown, 0
	}
	return statementClass(report[3]), int(report[1])
}
