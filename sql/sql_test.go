package sql

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"empty", " \n", nil},
		{"one without semicolon", "SELECT 1", []string{"SELECT 1"}},
		{"two", "SELECT 1;\nSELECT 2;\n", []string{"SELECT 1", "SELECT 2"}},
		{"comments before", "-- a; b\n/* c; d */ SELECT 1; -- e;\n", []string{"SELECT 1"}},
		{"comment inside", "SELECT 1 -- one;\n+ 2; SELECT 3", []string{"SELECT 1 -- one;\n+ 2", "SELECT 3"}},
		{"literals", `SELECT 'a;b', 'it''s;', 'a\';b', "c;d", ` + "`e;f`" + `; SELECT 2`, []string{`SELECT 'a;b', 'it''s;', 'a\';b', "c;d", ` + "`e;f`", "SELECT 2"}},
		{"comment signs in literals", `SELECT '--', '/*'; SELECT 2`, []string{`SELECT '--', '/*'`, "SELECT 2"}},
		{"quotes in comments", "-- it's\nSELECT 1; /* \" */ SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"minus", "SELECT 2-1", []string{"SELECT 2-1"}},
	} {
		got, err := Split(tt.script)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for _, unfinished := range []string{"SELECT 'a", "SELECT \"a;", "\n/* a", `SELECT 'a\'`} {
		if got, err := Split(unfinished); err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q: %q, %v, want an error with its line", unfinished, got, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("SELECT 1; -- a\nSELECT 'b;'")
	f.Fuzz(func(t *testing.T, script string) {
		statements, err := Split(script)
		if err != nil {
			return
		}
		// What was one statement stays one, whatever it holds.
		for _, s := range statements {
			if again, err := Split(s + ";"); err != nil || len(again) > 1 {
				t.Errorf("%q: %q splits again into %q, %v", script, s, again, err)
			}
		}
	})
}

// repeatable are statements that do no harm when a cut-short run is repeated. Seeds go into tables whose rows replace each other.
var repeatable = regexp.MustCompile(`^(CREATE (TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS|CREATE OR REPLACE VIEW|INSERT INTO (currencies|settings|fx_rates|drop_versions|canary_requests|rejected|feature_progress|score_samples|money_facts|money_posted|money_exceptions)|ALTER TABLE \w+\s+(MODIFY COMMENT|MODIFY SETTING|COMMENT COLUMN|ADD COLUMN IF NOT EXISTS))\b`)

func TestMigrations(t *testing.T) {
	migrations, err := Migrations()
	if err != nil || len(migrations) == 0 {
		t.Fatal(len(migrations), err)
	}
	for _, m := range migrations {
		if len(m.SHA256) != 64 || len(m.Statements) == 0 {
			t.Errorf("%04d_%s: checksum %q, %d statements", m.Version, m.Name, m.SHA256, len(m.Statements))
		}
		for _, s := range m.Statements {
			if !repeatable.MatchString(s) {
				t.Errorf("%04d_%s: a statement that may not be one to repeat:\n%s", m.Version, m.Name, s)
			}
			for _, kind := range regexp.MustCompile(`\bDateTime[^ ]*.{0,7}`).FindAllString(strings.ReplaceAll(s, `\'`, `'`), -1) {
				if !strings.HasPrefix(kind, "DateTime64(3, 'UTC')") {
					t.Errorf("%04d_%s: %s... in\n%s", m.Version, m.Name, kind, s)
				}
			}
		}
	}
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, files := range map[string]fstest.MapFS{
		"a gap":       {"migrations/0001_a.sql": file("SELECT 1"), "migrations/0003_b.sql": file("SELECT 1")},
		"a double":    {"migrations/0001_a.sql": file("SELECT 1"), "migrations/0001_b.sql": file("SELECT 1")},
		"a bad name":  {"migrations/1-a.sql": file("SELECT 1")},
		"an empty":    {"migrations/0001_a.sql": file("-- nothing")},
		"unfinished ": {"migrations/0001_a.sql": file("SELECT '")},
	} {
		if _, err := migrationsIn(files); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestQueries(t *testing.T) {
	queries, err := Queries()
	if err != nil || len(queries) == 0 {
		t.Fatal(len(queries), err)
	}
	for _, q := range queries {
		if strings.Contains(q.SQL, ";") {
			t.Errorf("%s: more than one statement, or a semicolon at its end", q.Name)
		}
	}
	if _, err := Lookup("nothing"); !errors.Is(err, ErrUnknownQuery) {
		t.Errorf("got %v", err)
	}
}

func TestParseQuery(t *testing.T) {
	const head = "-- topic: t\n-- purpose: p\n-- grain: g\n-- units: u\n-- maturity: m\n"
	q, err := parseQuery("q", head+"-- param a DateTime64(3,'UTC'): from: here\n-- param b String = : maybe\n-- param c Int64 = 5: five\nSELECT {a:DateTime64(3,'UTC')}, {b:String}, {c:Int64}\n")
	want := []Param{
		{Name: "a", Type: "DateTime64(3,'UTC')", Required: true, Doc: "from: here"},
		{Name: "b", Type: "String", Doc: "maybe"},
		{Name: "c", Type: "Int64", Default: "5", Doc: "five"},
	}
	if err != nil || !slices.Equal(q.Params, want) || q.Topic != "t" || q.Purpose != "p" || q.Grain != "g" || q.Units != "u" || q.Maturity != "m" ||
		q.SQL != "SELECT {a:DateTime64(3,'UTC')}, {b:String}, {c:Int64}" {
		t.Errorf("got %+v, %v", q, err)
	}
	for name, text := range map[string]string{
		"no statement":  head,
		"no units":      "-- purpose: p\n-- grain: g\n-- maturity: m\nSELECT 1",
		"not declared":  head + "SELECT {a:String}",
		"not used":      head + "-- param a String: x\nSELECT 1",
		"used as Int64": head + "-- param a String: x\nSELECT {a:Int64}",
		"is declared":   head + "-- param a\nSELECT 1",
		"expected":      head + "-- colour: red\nSELECT 1",
	} {
		if _, err := parseQuery("q", text); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

func TestViews(t *testing.T) {
	views, err := Views()
	if err != nil {
		t.Fatal(err)
	}
	if len(views) == 0 {
		t.Fatal("no view was found")
	}
	for _, v := range views {
		if v.Name != v.Target+"_from_"+v.Source || !strings.HasPrefix(v.Select, "SELECT") || !strings.Contains(v.Create, " AS\n"+v.Select) && !strings.HasSuffix(v.Create, " AS "+v.Select) || strings.Contains(v.Select, "COMMENT") {
			t.Errorf("%+v", v)
		}
	}
	history := func(statements ...string) []Migration {
		return []Migration{{Version: 1, Name: "a", Statements: statements}}
	}
	const first, second = "CREATE MATERIALIZED VIEW IF NOT EXISTS b_from_a TO b AS SELECT 1", "CREATE MATERIALIZED VIEW IF NOT EXISTS b_from_a TO b AS SELECT 2"
	views, err = viewsOf(history(first, "DROP VIEW IF EXISTS b_from_a", second))
	if err != nil || len(views) != 1 || views[0].Select != "SELECT 2" {
		t.Errorf("a changed view: %+v, %v", views, err)
	}
	if views, err = viewsOf(history(first, "DROP VIEW IF EXISTS b_from_a")); err != nil || len(views) != 0 {
		t.Errorf("a dropped view: %+v, %v", views, err)
	}
	for _, bad := range []string{
		"CREATE MATERIALIZED VIEW b_from_a TO b AS SELECT 1", "CREATE MATERIALIZED VIEW IF NOT EXISTS c TO b AS SELECT 1",
		"ALTER TABLE b_from_a MODIFY QUERY SELECT 2", "DROP VIEW b_from_a",
	} {
		if _, err := viewsOf(history(bad)); err == nil {
			t.Errorf("%s: accepted, though nobody could check it later", bad)
		}
	}
}
