package embedded

import "testing"

func TestSplitInsert(t *testing.T) {
	for _, test := range []struct {
		sql, head, format, data string
		complete                bool
	}{
		{"INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t ", "CSV", "1,2\n", true},
		{"INSERT INTO t FORMAT CSV \r\n1,2\n", "INSERT INTO t ", "CSV", "1,2\n", true},
		{"insert into db.`t x` (a, \"b)\") format JSONEachRow {\"a\":1}", "insert into db.`t x` (a, \"b)\") ", "JSONEachRow", "{\"a\":1}", true},
		{"/* FORMAT */ INSERT INTO t -- FORMAT x\n(a) VALUES (1), (2)", "/* FORMAT */ INSERT INTO t -- FORMAT x\n(a) ", "Values", " (1), (2)", true},
		{"INSERT INTO t SETTINGS async_insert=0, x='FORMAT y' FORMAT Native\x00\x01", "INSERT INTO t SETTINGS async_insert=0, x='FORMAT y' ", "Native", "\x00\x01", true},
		{"INSERT INTO TABLE t (a) FORMAT CSV; 5", "INSERT INTO TABLE t (a) ", "CSV", "5", true},
		{"INSERT INTO FUNCTION file('a', 'CSV') FORMAT CSV 1", "INSERT INTO FUNCTION file('a', 'CSV') ", "CSV", "1", true},
		{"INSERT INTO {t:Identifier} FORMAT CSV\n1", "INSERT INTO {t:Identifier} ", "CSV", "1", true},
		{"INSERT INTO values VALUES (1)", "INSERT INTO values ", "Values", " (1)", true},
		{"INSERT INTO table (a) VALUES (1)", "INSERT INTO table (a) ", "Values", " (1)", true},
		{"INSERT INTO format FORMAT TSV\n1", "INSERT INTO format ", "TSV", "1", true},
		{"INSERT INTO t", "INSERT INTO t", "", "", false},
		{"INSERT INTO t (a);", "INSERT INTO t (a)", "", "", false},
		// The data begins after one line break, even when it is blank itself.
		{"INSERT INTO t FORMAT RowBinary\n\n\x00", "INSERT INTO t ", "RowBinary", "\n\x00", true},
	} {
		head, ok := splitInsert(test.sql)
		if !ok {
			t.Errorf("%q: not taken for an insert", test.sql)
			continue
		}
		if head.sql != test.head || head.format != test.format || test.sql[head.data:] != test.data && test.data != "" || head.complete != test.complete {
			t.Errorf("%q: got %q %q %q %v", test.sql, head.sql, head.format, test.sql[head.data:], head.complete)
		}
	}
	for _, sql := range []string{
		"", "SELECT 1", "INSERT INTO t SELECT 1", "INSERT INTO t (a) WITH 1 AS x SELECT x", "INSERT INTO t (SELECT 1)",
		"INSERT INTO t FROM INFILE 'x' FORMAT CSV", "WITH 1 AS x INSERT INTO t SELECT x", "INSERT INTO t FORMAT 'x'",
	} {
		if head, ok := splitInsert(sql); ok {
			t.Errorf("%q: taken for an insert: %+v", sql, head)
		}
	}
}

func TestShapeOf(t *testing.T) {
	for sql, want := range map[string]queryShape{
		"SELECT 1 FORMAT JSON":                                    {verb: "SELECT", format: "JSON"},
		"(select 1) format `CSV` settings x = 1":                  {verb: "SELECT", format: "CSV"},
		"SELECT 'FORMAT JSON'":                                    {verb: "SELECT"},
		"SELECT x FROM (SELECT 1 AS x FORMAT JSON)":               {verb: "SELECT"},
		"-- c\nWITH 1 AS x SELECT x WITH TOTALS":                  {verb: "WITH", totals: true},
		"SELECT 1 INTO OUTFILE 'x'":                               {verb: "SELECT", file: "INTO OUTFILE"},
		"SELECT 1 INTO/**/OUTFILE--\n$$x$$":                       {verb: "SELECT", file: "INTO OUTFILE"},
		"INSERT INTO t FROM INFILE 'x' FORMAT CSV":                {verb: "INSERT", file: "FROM INFILE", format: "CSV"},
		"INSERT INTO t SELECT * FROM input ('a Int8') FORMAT CSV": {verb: "INSERT", input: true, format: "CSV"},
		"INSERT INTO outfile SELECT 1":                            {verb: "INSERT"},
		"SELECT '\\' INTO OUTFILE \\'x'":                          {verb: "SELECT"},
		"SELECT 'it''s' FORMAT TSV":                               {verb: "SELECT", format: "TSV"},
	} {
		if got := shapeOf(sql); got != want {
			t.Errorf("%q: got %+v, want %+v", sql, got, want)
		}
	}
}

// FuzzSQL checks that no text makes the lexer loop, panic or leave the text.
func FuzzSQL(f *testing.F) {
	for _, seed := range []string{"INSERT INTO t FORMAT CSV\n1", "SELECT $a$x$a$, 'a\\", "/*", "--", "INSERT {", "`", "$$", "insert into t (((", "#!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if head, ok := splitInsert(sql); ok && (head.data < 0 || head.data > len(sql) || len(head.sql) > len(sql)) {
			t.Fatalf("%q: %+v", sql, head)
		}
		shapeOf(sql)
	})
}

func TestHeaderSkippers(t *testing.T) {
	for format, test := range map[string]struct{ piece, rest string }{
		"csvwithnames":                  {"\"a\nb\",\"c\"\"d\"\n1,2\n", "1,2\n"},
		"tabseparatedwithnamesandtypes": {"a\\nb\nInt\n1\n", "1\n"},
		"rowbinarywithnamesandtypes":    {"\x01\x01a\x05UInt8\x07", "\x07"},
		"rowbinarywithnames":            {"\x02\x01a\x01b\x07\x08", "\x07\x08"},
		"native":                        {"x", "x"},
	} {
		if rest := test.piece[streamable[format]([]byte(test.piece)):]; rest != test.rest {
			t.Errorf("%s: rest %q, want %q", format, rest, test.rest)
		}
		// A truncated piece must not be read past its end.
		for n := range len(test.piece) {
			if skipped := streamable[format]([]byte(test.piece[:n])); skipped > n {
				t.Errorf("%s: skipped %d of %d bytes", format, skipped, n)
			}
		}
	}
}

func TestChooseEncoding(t *testing.T) {
	for accept, want := range map[string]string{
		"": "", "identity": "", "gzip": "gzip", "gzip, deflate, br, zstd": "zstd", "lz4,zstd;q=0,gzip": "lz4", "GZIP;q=0.5": "gzip", "gzip;q=0": "",
	} {
		if got := chooseEncoding(accept); got != want {
			t.Errorf("%q: got %q, want %q", accept, got, want)
		}
	}
}
