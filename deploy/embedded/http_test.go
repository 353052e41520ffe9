package embedded_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// httpClient is a bare HTTP client of one server.
type httpClient struct {
	t    testing.TB
	base string
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (c httpClient) do(method string, params url.Values, body io.Reader, headers ...string) answer {
	c.t.Helper()
	request, err := http.NewRequest(method, c.base+"/?"+params.Encode(), body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	// Compression is the tests' business.
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	reply, err := client.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	return answer{reply.StatusCode, reply.Header, string(text), err}
}

func (c httpClient) post(sql string, params ...string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, values(params...), strings.NewReader(sql))
}

// query runs sql and returns its output; any error fails the test.
func (c httpClient) query(sql string, params ...string) string {
	c.t.Helper()
	a := c.post(sql, params...)
	if a.status != http.StatusOK || a.err != nil {
		c.t.Fatalf("%.200s: %d %v %s", sql, a.status, a.err, a.body)
	}
	return a.body
}

func (c httpClient) want(want, sql string, params ...string) {
	c.t.Helper()
	if got := c.query(sql, params...); got != want {
		c.t.Errorf("%.200s: got %q, want %q", sql, got, want)
	}
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func TestHTTPInterface(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}

	t.Run("ping", func(t *testing.T) {
		for _, path := range []string{"/ping", "/replicas_status", "/"} {
			reply, err := http.Get(server.URL() + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(reply.Body)
			reply.Body.Close()
			if string(body) != "Ok.\n" || reply.StatusCode != 200 {
				t.Errorf("%s: %d %q", path, reply.StatusCode, body)
			}
		}
	})

	t.Run("headers", func(t *testing.T) {
		a := c.post("SELECT number FROM numbers(3) FORMAT JSONEachRow", "query_id", "q-1")
		for name, want := range map[string]string{
			"X-ClickHouse-Query-Id": "q-1", "X-ClickHouse-Format": "JSONEachRow", "X-ClickHouse-Timezone": "UTC",
			"Content-Type": "application/x-ndjson; charset=UTF-8",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		var summary map[string]string
		if err := json.Unmarshal([]byte(a.header.Get("X-ClickHouse-Summary")), &summary); err != nil || summary["read_rows"] != "3" || summary["result_rows"] != "3" {
			t.Errorf("summary %v %v", summary, err)
		}
		if a.header.Get("X-ClickHouse-Server-Display-Name") == "" {
			t.Error("no display name")
		}
	})

	t.Run("query in the URL, the body or both", func(t *testing.T) {
		if a := c.do(http.MethodGet, values("query", "SELECT 1"), nil); a.body != "1\n" {
			t.Error(a)
		}
		c.want("1\n", "SELECT 1")
		c.want("2\n", "+1", "query", "SELECT 1")
		c.want("", "-- nothing but a comment follows\nSELECT 1 WHERE 0;")
	})

	t.Run("errors", func(t *testing.T) {
		for _, test := range []struct {
			sql    string
			params []string
			status int
			code   string
		}{
			{"SELECT * FROM nosuch", nil, 404, "60"},
			{"SELEC 1", nil, 400, "62"},
			{"SELECT 1; SELECT 2", nil, 400, "62"},
			{"", nil, 400, "62"},
			{"SELECT 1", []string{"nosuch", "1"}, 404, "115"},
			{"SELECT 1", []string{"max threads", "1"}, 404, "115"},
			{"SELECT 1", []string{"max_threads", "x"}, 400, "27"},
			{"SELECT 1", []string{"database", "nosuch"}, 404, "81"},
			{"SELECT 1 FORMAT NoSuch", nil, 404, "73"},
			{"SELECT {x:UInt8}", nil, 500, "456"},
			{"SELECT {x:UInt8}", []string{"param_x", "a"}, 500, "457"},
			{"SELECT sum(number) FROM numbers(1e12)", []string{"max_execution_time", "0.2"}, 408, "159"},
			{"SELECT throwIf(1)", nil, 500, "395"},
			{"SELECT 1", []string{"session_id", "none", "session_check", "1"}, 500, "372"},
			{"SELECT 1 INTO OUTFILE '/tmp/droplift-outfile'", nil, 500, "358"},
			{"INSERT INTO nosuch FORMAT CSV\n1", nil, 404, "60"},
			{"SELECT * FROM file('/etc/hostname', LineAsString)", nil, 403, "497"},
			{"SELECT * FROM `/etc/hostname`", nil, 403, "497"},
		} {
			a := c.post(test.sql, test.params...)
			if a.status != test.status || a.header.Get("X-ClickHouse-Exception-Code") != test.code ||
				!strings.HasPrefix(a.body, "Code: "+test.code+". DB::Exception: ") || !strings.Contains(a.body, "(version ") {
				t.Errorf("%q %v: %d %s %q", test.sql, test.params, a.status, a.header.Get("X-ClickHouse-Exception-Code"), a.body)
			}
		}
		if a := c.do(http.MethodGet, values("query", "CREATE TABLE x (a Int8) ENGINE = Memory"), nil); a.header.Get("X-ClickHouse-Exception-Code") != "164" {
			t.Errorf("GET may write: %+v", a)
		}
		if a := c.do(http.MethodPost, nil, strings.NewReader("DROP DATABASE default"), "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"); a.status != 403 {
			t.Errorf("another site's page may post: %+v", a)
		}
	})

	t.Run("settings and database last one request", func(t *testing.T) {
		before := c.query("SELECT getSetting('max_threads'), getSetting('max_block_size')")
		c.want("3\t77\n", "SELECT getSetting('max_threads'), getSetting('max_block_size')", "max_threads", "3", "max_block_size", "77")
		c.query("CREATE DATABASE other")
		c.want("other\n", "SELECT currentDatabase()", "database", "other")
		c.query("SET max_threads = 9")
		c.query("USE other")
		c.query("SELECT 1", "readonly", "1")
		// Every pooled connection must be clean again.
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				c.want("default\n", "SELECT currentDatabase()")
				c.want(before, "SELECT getSetting('max_threads'), getSetting('max_block_size')")
				c.want("0\n", "SELECT toUInt8(getSetting('readonly'))")
			})
		}
		wg.Wait()
	})

	t.Run("settings of inserts", func(t *testing.T) {
		c.query("CREATE TABLE settled (a UInt8, b UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10")
		for range 2 {
			c.query("INSERT INTO settled -- a comment\nFORMAT CSV\n1;1\n", "format_csv_delimiter", ";", "insert_deduplication_token", "it's \\ one")
		}
		// What the statement says itself goes before the request's settings.
		c.query("INSERT INTO settled SETTINGS format_csv_delimiter = '|' FORMAT CSV\n2|2\n", "format_csv_delimiter", ";", "insert_deduplication_token", "two")
		c.want("1\t1\n2\t2\n", "SELECT * FROM settled ORDER BY a")
		c.want(",\t\n", "SELECT getSetting('format_csv_delimiter'), getSetting('insert_deduplication_token')")
		if a := c.post("INSERT INTO settled FORMAT CSV\n3,3\n", "no_such_setting", "1"); a.header.Get("X-ClickHouse-Exception-Code") != "115" {
			t.Errorf("unknown setting: %+v", a)
		}
	})

	t.Run("a database that was dropped", func(t *testing.T) {
		c.query("CREATE DATABASE passing")
		c.want("passing\n", "SELECT currentDatabase()", "database", "passing")
		c.query("DROP DATABASE passing")
		if a := c.post("SELECT 1", "database", "passing"); a.header.Get("X-ClickHouse-Exception-Code") != "81" {
			t.Errorf("it is still there: %+v", a)
		}
	})

	t.Run("sessions", func(t *testing.T) {
		c.query("CREATE TEMPORARY TABLE mine (a Int8)", "session_id", "s1")
		c.query("INSERT INTO mine VALUES (5)", "session_id", "s1")
		c.query("SET max_threads = 7", "session_id", "s1")
		c.want("5\n", "SELECT * FROM mine", "session_id", "s1")
		c.want("3\n", "SELECT getSetting('max_threads')", "session_id", "s1", "max_threads", "3")
		c.want("7\n", "SELECT getSetting('max_threads')", "session_id", "s1")
		if a := c.post("SELECT * FROM mine", "session_id", "s2"); a.header.Get("X-ClickHouse-Exception-Code") != "60" {
			t.Errorf("another session sees the table: %+v", a)
		}
		// A timeout of zero ends the session with the request.
		c.query("SELECT 1", "session_id", "s1", "session_timeout", "0")
		for {
			a := c.post("SELECT 1", "session_id", "s1", "session_check", "1", "session_timeout", "0")
			if a.header.Get("X-ClickHouse-Exception-Code") == "372" {
				break
			}
		}
	})

	t.Run("parameters", func(t *testing.T) {
		c.want("8\ta'b\t[1,2]\n", "SELECT {n:UInt8} + 1, {s:String}, {list:Array(UInt8)}", "param_n", "7", "param_s", "a'b", "param_list", "[1,2]", "default_format", "TSVRaw")
		c.query("CREATE TABLE parameters (a UInt8, b String) ENGINE = Memory")
		c.query("INSERT INTO {t:Identifier} FORMAT CSV\n1,x\n", "param_t", "parameters")
		c.want("1\tx\n", "SELECT * FROM {t:Identifier}", "param_t", "parameters")
	})

	t.Run("external tables", func(t *testing.T) {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		_ = w.WriteField("query", "SELECT sum(a) FROM ext")
		part, _ := w.CreateFormFile("ext", "ext")
		fmt.Fprint(part, "1\n2\n3\n")
		w.Close()
		for range 2 {
			a := c.do(http.MethodPost, values("ext_structure", "a UInt8"), bytes.NewReader(form.Bytes()), "Content-Type", w.FormDataContentType())
			if a.body != "6\n" {
				t.Errorf("%+v", a)
			}
		}
	})

	t.Run("streamed results equal whole ones", func(t *testing.T) {
		const sql = "SELECT number, toString(number) AS `text\n\"quoted\"` FROM numbers(200000)"
		for _, format := range []string{"TSV", "CSVWithNames", "CSVWithNamesAndTypes", "TSVWithNamesAndTypes", "JSONCompactEachRowWithNamesAndTypes",
			"RowBinaryWithNamesAndTypes", "Native", "JSONEachRow", "JSONCompactEachRow", "TabSeparatedRaw", "RowBinary"} {
			streamed := c.query(sql, "default_format", format)
			whole := c.query(sql, "default_format", format, "wait_end_of_query", "1")
			if streamed != whole {
				t.Errorf("%s: %d bytes streamed, %d whole", format, len(streamed), len(whole))
			}
		}
		c.want("0\t2\n1\t2\n\n0\t4\n", "SELECT number % 2 AS k, count() FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k")
	})

	t.Run("an error after the first rows breaks the body off", func(t *testing.T) {
		a := c.post("SELECT throwIf(number = 900000) FROM numbers(1000000)")
		tag := a.header.Get("X-ClickHouse-Exception-Tag")
		if a.status != 200 || a.err == nil || !strings.Contains(a.body, "\r\n__exception__\r\n"+tag+"\r\nCode: 395. ") || !strings.HasSuffix(a.body, tag+"\r\n__exception__\r\n") {
			t.Errorf("%d %v %q", a.status, a.err, a.body[max(0, len(a.body)-400):])
		}
		if a := c.post("SELECT throwIf(number = 900000) FROM numbers(1000000)", "wait_end_of_query", "1"); a.status != 500 {
			t.Errorf("buffered: %+v", a)
		}
	})
}

// TestInsertFormats sends one batch in every input format clients use, with
// columns missing, defaulted and reordered.
func TestInsertFormats(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}
	c.query("CREATE TABLE source (id UInt32, name String, tags Array(String), at DateTime64(3, 'UTC')) ENGINE = Memory")
	c.query("INSERT INTO source VALUES (1, 'one', ['a'], '2026-01-01 00:00:00.001'), (2, 't\\'wo', [], '2026-01-02 00:00:00.002')")
	want := c.query("SELECT * FROM source ORDER BY id")
	for _, format := range []string{
		"Native", "CSV", "CSVWithNames", "TabSeparated", "TSVWithNames", "TSVWithNamesAndTypes", "Values", "JSONEachRow", "JSONCompactEachRow", "JSON",
		"JSONColumns", "Parquet", "Arrow", "ArrowStream", "ORC", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "MsgPack", "Avro", "BSONEachRow",
	} {
		columns := "id, name, tags, at"
		selected := columns
		if format == "Avro" || format == "ORC" {
			selected = "id, name, tags, toDateTime64(at, 3, 'UTC') AS at"
		}
		data := c.query("SELECT "+selected+" FROM source ORDER BY id", "default_format", format)
		for name, send := range map[string]func(){
			"query in the URL":  func() { c.query(data, "query", "INSERT INTO target ("+columns+") FORMAT "+format) },
			"query in the body": func() { c.query("INSERT INTO target (" + columns + ") FORMAT " + format + "\n" + data) },
			"default format":    func() { c.query(data, "query", "INSERT INTO target ("+columns+")", "default_format", format) },
		} {
			c.query("CREATE OR REPLACE TABLE target (extra String DEFAULT concat('x', toString(id)), at DateTime64(3, 'UTC'), tags Array(String), name String, id UInt32, copy UInt32 MATERIALIZED id) ENGINE = MergeTree ORDER BY id")
			send()
			if got := c.query("SELECT id, name, tags, at FROM target ORDER BY id"); got != want {
				t.Errorf("%s, %s: got %q, want %q", format, name, got, want)
			}
			c.want("x1\t1\nx2\t2\n", "SELECT extra, copy FROM target ORDER BY id")
		}
	}

	t.Run("JSON with missing fields takes defaults", func(t *testing.T) {
		c.query("CREATE TABLE sparse (id UInt32, name String DEFAULT 'none', n Nullable(UInt8)) ENGINE = MergeTree ORDER BY id")
		c.query("INSERT INTO sparse FORMAT JSONEachRow {\"id\": 1} {\"id\": 2, \"name\": \"b\", \"n\": 5, \"unknown\": 1}", "input_format_skip_unknown_fields", "1")
		c.want("1\tnone\t\\N\n2\tb\t5\n", "SELECT * FROM sparse ORDER BY id")
	})
	t.Run("INSERT SELECT and expressions", func(t *testing.T) {
		c.query("CREATE TABLE numbers_copy (n UInt64) ENGINE = MergeTree ORDER BY n")
		c.query("INSERT INTO numbers_copy SELECT number FROM numbers(10)")
		c.query("INSERT INTO numbers_copy VALUES (10 + 1), (12);")
		c.want("12\t68\n", "SELECT count(), sum(n) FROM numbers_copy")
		if a := c.post("INSERT INTO numbers_copy SELECT n * 100 FROM input('n UInt64') FORMAT CSV\n1\n2\n"); a.status != 501 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("a broken body inserts nothing", func(t *testing.T) {
		c.query("CREATE TABLE broken (n UInt64) ENGINE = MergeTree ORDER BY n")
		if a := c.post("1\n2\nx\n", "query", "INSERT INTO broken FORMAT CSV"); a.status != 400 || a.header.Get("X-ClickHouse-Exception-Code") != "117" {
			t.Errorf("%+v", a)
		}
		c.want("0\n", "SELECT count() FROM broken")
	})
	t.Run("a body cut short inserts nothing", func(t *testing.T) {
		c.query("CREATE TABLE short (n UInt64) ENGINE = MergeTree ORDER BY n")
		reader, writer := io.Pipe()
		request, _ := http.NewRequest(http.MethodPost, server.URL()+"/?query=INSERT+INTO+short+FORMAT+TSV", reader)
		gone := errors.New("the client goes away")
		go func() {
			fmt.Fprint(writer, strings.Repeat("1\n", 1<<20))
			writer.CloseWithError(gone)
		}()
		if _, err := http.DefaultClient.Do(request); !errors.Is(err, gone) {
			t.Fatal(err)
		}
		for c.query("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO short%'") != "0\n" {
		}
		c.want("0\n", "SELECT count() FROM short")
	})
	t.Run("empty body", func(t *testing.T) {
		c.query("INSERT INTO short FORMAT Native", "query", "")
		c.want("0\n", "SELECT count() FROM short")
	})
}

func TestCompression(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}
	c.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	text := c.query("SELECT number FROM numbers(300000)")

	codecs := map[string]struct {
		compress   func(w io.Writer) io.WriteCloser
		decompress func(r io.Reader) (io.Reader, error)
	}{
		"gzip":    {func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		"deflate": {func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
		"br":      {func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
		"lz4":     {func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil }},
		"zstd": {func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z }, func(r io.Reader) (io.Reader, error) {
			z, err := zstd.NewReader(r)
			return z, err
		}},
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			c.query("TRUNCATE TABLE t")
			var packed bytes.Buffer
			w := codec.compress(&packed)
			_, _ = io.WriteString(w, text)
			w.Close()
			if a := c.do(http.MethodPost, values("query", "INSERT INTO t FORMAT TSV"), &packed, "Content-Encoding", name); a.status != 200 {
				t.Fatal(a)
			}
			a := c.do(http.MethodPost, nil, strings.NewReader("SELECT n FROM t ORDER BY n"), "Accept-Encoding", name)
			if a.header.Get("Content-Encoding") != name {
				t.Fatalf("answered in %q", a.header.Get("Content-Encoding"))
			}
			r, err := codec.decompress(strings.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != text {
				t.Errorf("%v, %d bytes of %d", err, len(got), len(text))
			}
		})
	}
	for method, kind := range map[string]compress.Method{"LZ4": compress.LZ4, "ZSTD": compress.ZSTD, "NONE": compress.None} {
		t.Run("blocks "+method, func(t *testing.T) {
			c.query("TRUNCATE TABLE t")
			w := compress.NewWriter(compress.LevelZero, kind)
			var packed bytes.Buffer
			for piece := text; piece != ""; {
				n := min(100_000, len(piece))
				if err := w.Compress([]byte(piece[:n])); err != nil {
					t.Fatal(err)
				}
				packed.Write(w.Data)
				piece = piece[n:]
			}
			whole := packed.Bytes()
			if a := c.do(http.MethodPost, values("query", "INSERT INTO t FORMAT TSV", "decompress", "1"), bytes.NewReader(whole[:len(whole)-1])); a.status == 200 {
				t.Fatal("a body cut short is accepted")
			}
			c.want("0\n", "SELECT count() FROM t")
			if a := c.do(http.MethodPost, values("query", "INSERT INTO t FORMAT TSV", "decompress", "1"), bytes.NewReader(whole)); a.status != 200 {
				t.Fatal(a)
			}
			packedAnswer := c.query("SELECT n FROM t ORDER BY n", "compress", "1", "network_compression_method", method)
			var got bytes.Buffer
			if _, err := got.ReadFrom(compress.NewReader(strings.NewReader(packedAnswer))); !errors.Is(err, io.EOF) || got.String() != text {
				t.Errorf("%v, %d bytes of %d", err, got.Len(), len(text))
			}
		})
	}
	if a := c.do(http.MethodPost, values("query", "INSERT INTO t FORMAT TSV"), strings.NewReader("not gzip"), "Content-Encoding", "gzip"); a.status == 200 {
		t.Error("garbage accepted as gzip")
	}
	if a := c.do(http.MethodPost, values("query", "INSERT INTO t FORMAT TSV"), strings.NewReader("x"), "Content-Encoding", "snappy"); a.status != 501 {
		t.Errorf("unknown encoding: %+v", a)
	}
}

func TestUsers(t *testing.T) {
	server := embeddedtest.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) {
		cfg.User, cfg.Password = "droplift", "sec'ret"
		cfg.ReadOnlyUser, cfg.ReadOnlyPassword = "analyst", "look"
	})
	c := httpClient{t, server.URL()}
	admin := []string{"X-ClickHouse-User", "droplift", "X-ClickHouse-Key", "sec'ret"}
	reader := []string{"X-ClickHouse-User", "analyst", "X-ClickHouse-Key", "look"}
	run := func(sql string, who []string, params ...string) answer {
		return c.do(http.MethodPost, values(params...), strings.NewReader(sql), who...)
	}
	for name, test := range map[string]struct {
		params  []string
		headers []string
		status  int
	}{
		"headers":        {nil, admin, 200},
		"basic":          {nil, []string{"Authorization", "Basic ZHJvcGxpZnQ6c2VjJ3JldA=="}, 200},
		"parameters":     {[]string{"user", "droplift", "password", "sec'ret"}, nil, 200},
		"none":           {nil, nil, 401},
		"wrong password": {[]string{"user", "droplift", "password", "x"}, nil, 403},
		"wrong user":     {[]string{"user", "default"}, nil, 403},
		"swapped":        {[]string{"user", "analyst", "password", "sec'ret"}, nil, 403},
	} {
		if a := run("SELECT 1", test.headers, test.params...); a.status != test.status {
			t.Errorf("%s: %+v", name, a)
		}
	}
	run("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a", admin)
	run("INSERT INTO t VALUES (1)", admin)
	for _, sql := range []string{"SELECT a FROM t", "SELECT a FROM t SETTINGS max_threads = 1", "SELECT getSetting('max_threads') FORMAT TSV"} {
		if a := run(sql, reader, "max_threads", "1"); a.status != 200 || a.body != "1\n" {
			t.Errorf("the reader cannot %s: %+v", sql, a)
		}
	}
	for _, sql := range []string{"SHOW TABLES", "DESCRIBE t", "SHOW CREATE TABLE t", "EXPLAIN SELECT * FROM t", "SELECT count() FROM system.parts", "EXISTS t"} {
		if a := run(sql, reader); a.status != 200 {
			t.Errorf("the reader cannot %s: %+v", sql, a)
		}
	}
	for _, sql := range []string{
		"INSERT INTO t VALUES (2)", "INSERT INTO t SELECT 2", "INSERT INTO t FORMAT CSV\n2", "DROP TABLE t", "TRUNCATE TABLE t", "ALTER TABLE t DELETE WHERE 1",
		"CREATE TABLE u (a UInt8) ENGINE = Memory", "CREATE TEMPORARY TABLE u (a UInt8)", "CREATE DATABASE d", "OPTIMIZE TABLE t", "SYSTEM FLUSH LOGS",
		"KILL QUERY WHERE 1", "SET ROLE admin", "SET ROLE ALL", "SET readonly = 0", "SET max_threads = 1", "USE system", "GRANT admin TO default",
		"EXECUTE AS default SELECT 1", "SELECT * FROM file('/etc/hostname', LineAsString)", "SELECT * FROM `/etc/hostname`",
		"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)", "SELECT * FROM remote('127.0.0.1:1', system.one)",
		"SELECT * FROM executable('id', LineAsString, 'a String')", "SELECT * FROM s3('http://127.0.0.1:1/b/k', CSV)", "SELECT 1 INTO OUTFILE '/tmp/droplift-outfile'",
		"INSERT INTO FUNCTION file('/tmp/droplift-out', CSV) SELECT 1", "SELECT 1; DROP TABLE t", "BACKUP TABLE t TO File('/tmp/droplift-backup')",
		"SELECT * FROM t SETTINGS readonly = 0", "CREATE FUNCTION f AS x -> x",
	} {
		for _, params := range [][]string{nil, {"session_id", "s"}} {
			if a := run(sql, reader, params...); a.status == 200 {
				t.Errorf("the reader may %s: %+v", sql, a)
			}
		}
	}
	if a := run("SELECT 1", reader, "readonly", "0"); a.status == 200 {
		t.Errorf("the reader may lift readonly: %+v", a)
	}
	if a := run("SELECT count() FROM t", admin); a.body != "1\n" {
		t.Errorf("the table changed: %+v", a)
	}
}
