package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

const pings = `name: pings
kind: latency
format: {type: csv}
skip_when:
  - {column: ms, number: 0}
fields:
  type: {const: edge_request}
  event_time: {from: at, as: time, layout: unix-s}
  player_id: {from: who}
  request: {const: api}
  ms: {from: ms}
`

func parsed(t testing.TB, text string) *Mapping {
	t.Helper()
	m, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func packed(t testing.TB, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// players replays content and returns whose events came out.
func players(t *testing.T, mapping, name string, content []byte) (who []string, stats Stats) {
	t.Helper()
	stats = replayAll(t, Config{Mapping: parsed(t, mapping), Path: write(t, name, content)}, func(item *Item) {
		who = append(who, fmt.Sprintf("%s@%d", item.Event.PlayerID, item.Line))
	})
	return who, stats
}

func TestLineEndsAndEncodings(t *testing.T) {
	long := strings.Repeat("x", event.MaxRecordBytes)
	for _, test := range []struct {
		name, content string
		want          string
		reasons       string
	}{
		{"LF", "at,who,ms\n1,a,1\n2,b,1\n", "a@2 b@3", ""},
		{"CRLF", "at,who,ms\r\n1,a,1\r\n2,b,1\r\n", "a@2 b@3", ""},
		{"no last line end", "at,who,ms\n1,a,1\n2,b,1", "a@2 b@3", ""},
		{"empty lines", "\n\r\nat,who,ms\n\n1,a,1\n   \n\n2,b,1\n\n", "a@5 b@8", ""},
		{"byte order mark", "\uFEFFat,who,ms\n1,a,1\n", "a@2", ""},
		{"quoted header and CRLF inside quotes", "at,\"who\",ms\r\n1,\"a\r\nb\",1\r\n2,c,1\r\n", "a\nb@2 c@4", ""},
		{"doubled quotes", "at,who,ms\n1,\"say \"\"a\"\"\",1\n", `say "a"@2`, ""},
		{"header only", "at,who,ms\n", "", ""},
		{"not UTF-8", "at,who,ms\n1,\xff,1\n2,b,1\n", "b@3", "encoding 1"},
		{"not UTF-8 inside a quoted record", "at,who,ms\n1,\"a\n\xff\",1\n2,b,1\n", "b@4", "encoding 1 quotes 1"},
		{"line too long", "at,who,ms\n1," + long + ",1\n2,b,1\n", "b@3", "line_too_long 1"},
		{"the longest line", "at,who,ms\n" + strings.Repeat(" ", event.MaxRecordBytes-6) + "1,a,1\n2,b,1\n", "a@2 b@3", ""},
		{"unclosed quote to the end", "at,who,ms\n1,\"a,1\n2,b,1\n3,c,1\n", "b@3 c@4", "quotes 1"},
		{"unclosed quote before quoted rows", "at,who,ms\n1,\"a,1\n2,\"b\",1\n3,\"c\",1\n", "b@3 c@4", "quotes 1"},
		{"NUL", "at,who,ms\n1,a\x00b,1\n", "a\x00b@2", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, content := range map[string][]byte{"f.csv": []byte(test.content), "f.csv.gz": packed(t, test.content), "misnamed.csv": packed(t, test.content)} {
				who, stats := players(t, pings, name, content)
				var reasons []string
				for _, reason := range []string{"encoding", "line_too_long", "quotes"} {
					if n := stats.Reasons[reason]; n > 0 {
						reasons = append(reasons, fmt.Sprint(reason, " ", n))
					}
				}
				if got := strings.Join(who, " "); got != test.want || strings.Join(reasons, " ") != test.reasons {
					t.Errorf("%s: %q, %v; expected %q, %q (%v)", name, got, reasons, test.want, test.reasons, stats)
				}
			}
		})
	}
}

func TestEmptyFile(t *testing.T) {
	if _, err := Open(Config{Mapping: parsed(t, pings), Path: write(t, "f.csv", nil)}); err == nil {
		t.Error("a table with a header may not be empty")
	}
	_, err := Open(Config{Mapping: parsed(t, pings), Path: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder was opened: %v", err)
	}
}

// TestTruncatedGzip cuts a file in many places: what comes out is a prefix of
// whole lines, then an error, and the error stays.
func TestTruncatedGzip(t *testing.T) {
	var text strings.Builder
	text.WriteString("at,who,ms\n")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		fmt.Fprintf(&text, "%d,p%d,%d\n", 1000+i, i, 10+random.IntN(1e9)%99999)
	}
	whole := packed(t, text.String())
	longest := 0
	for cut := 3; cut < len(whole); cut += 11 {
		r, err := Open(Config{Mapping: parsed(t, pings), Path: write(t, "f.gz", whole[:cut])})
		if err != nil {
			continue // not even a header
		}
		var item Item
		n := 0
		for err = r.Next(&item); err == nil; err = r.Next(&item) {
			if want := fmt.Sprintf("p%d", n); item.Event.PlayerID != want || item.Event.EventTime != int64(1000+n)*1000 {
				t.Fatalf("cut at %d: event %d is of %s", cut, n, item.Event.PlayerID)
			}
			n++
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "after line") {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
		if again := r.Next(&item); again != err {
			t.Fatalf("cut at %d: first %v, then %v", cut, err, again)
		}
		if s := r.Stats(); s.Rejected > 0 {
			t.Fatalf("cut at %d: half a line was taken for a row: %v", cut, s)
		}
		longest = max(longest, n)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if longest < 100 {
		t.Errorf("at most %d events came before a cut", longest)
	}
}

// run replays until limit events, acknowledging those that ack picks, and stops as a crash would.
func run(t *testing.T, config Config, limit int, checkpointEvery int, ack func(uint64) bool) (events []string, acked uint64, end error) {
	t.Helper()
	r, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	var item Item
	for len(events) < limit {
		if end = r.Next(&item); end != nil {
			break
		}
		events = append(events, string(item.Message.Value))
		if ack(item.Number) {
			if err := r.Ack(item.Number); err != nil {
				t.Fatal(err)
			}
		}
		if len(events)%checkpointEvery == 0 {
			acked = r.Acked()
			if err := r.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if end == io.EOF {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		return events, r.Acked(), end
	}
	// A crash: what the reject file's buffer holds may or may not have reached the disk.
	if err := r.closeFiles(); err != nil {
		t.Fatal(err)
	}
	return events, acked, end
}

// TestResume stops a replay in many places and resumes it: no event
// and no reject is missing, none of the acknowledged ones comes again, and those
// that do come again are the same.
func TestResume(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	var text strings.Builder
	text.WriteString("at,who,ms\n")
	for i := range 60 {
		switch random.IntN(5) {
		case 0:
			fmt.Fprintf(&text, "%d,p%d,bad\n", 1000+i, i)
		case 1:
			fmt.Fprintf(&text, "%d,p%d,0\n", 1000+i, i)
		default:
			fmt.Fprintf(&text, "%d,p%d,%d\n", 1000+i, i, 1+i)
		}
	}
	path := write(t, "f.csv.gz", packed(t, text.String()))
	config := func(dir string) Config {
		return Config{Mapping: parsed(t, pings), Path: path,
			RejectPath: filepath.Join(dir, "rejects"), CheckpointPath: filepath.Join(dir, "checkpoint")}
	}
	all := func(uint64) bool { return true }
	straight := config(t.TempDir())
	want, _, _ := run(t, straight, 1000, 1000, all)
	wantRejects, err := os.ReadFile(straight.RejectPath)
	if err != nil || len(wantRejects) == 0 {
		t.Fatalf("no rejects: %v", err)
	}

	for stop := 0; stop < len(want); stop += 3 {
		c := config(t.TempDir())
		first, acked, end := run(t, c, stop, 3, func(n uint64) bool { return n < 20 || random.IntN(3) > 0 })
		if end != nil {
			t.Fatal(end)
		}
		again, last, end := run(t, c, 1000, 5, all)
		if end != io.EOF || last != 60 {
			t.Fatalf("stop %d: the second run ended at %d with %v", stop, last, end)
		}
		from := len(want) - len(again)
		if from > stop {
			t.Fatalf("stop %d: %d events are lost", stop, from-stop)
		}
		for i, got := range again {
			if got != want[from+i] {
				t.Fatalf("stop %d: event %d is\n%s, not\n%s", stop, from+i, got, want[from+i])
			}
		}
		for i, got := range first {
			if got != want[i] {
				t.Fatalf("stop %d: event %d of the first run differs", stop, i)
			}
		}
		if acked > 0 && len(again) == len(want) {
			t.Fatalf("stop %d: up to record %d was acknowledged, and all came again", stop, acked)
		}
		rejects, err := os.ReadFile(c.RejectPath)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rejects, wantRejects) {
			t.Fatalf("stop %d: reject file\n%s, not\n%s", stop, rejects, wantRejects)
		}
		// A finished replay has nothing left.
		if events, _, end := run(t, c, 1000, 1, all); end != io.EOF || len(events) > 0 {
			t.Fatalf("stop %d: a third run yields %d events and %v", stop, len(events), end)
		}
	}
}

func TestResumeRefusesChanges(t *testing.T) {
	dir := t.TempDir()
	path, lookupPath := filepath.Join(dir, "f.csv"), filepath.Join(dir, "l.csv")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mapping := pings + "lookups: [{file: l.csv, key: who, value: pop}]\n"
	const content, joined = "at,who,ms\n1,a,1\n2,b,1\n", "who,pop\na,x\n"
	c := Config{Mapping: parsed(t, mapping), Path: path, CheckpointPath: filepath.Join(dir, "checkpoint")}
	reset := func() {
		put(path, content)
		put(lookupPath, joined)
	}
	reset()
	if events, _, _ := run(t, c, 1, 1, func(uint64) bool { return true }); len(events) != 1 {
		t.Fatal(events)
	}
	for what, change := range map[string]func(*Config){
		"appended":   func(*Config) { put(path, content+"3,c,1\n") },
		"rewritten":  func(*Config) { put(path, "at,who,ms\n1,a,1\n2,c,1\n") },
		"mapping":    func(c *Config) { c.Mapping = parsed(t, mapping+"# another\n") },
		"lookup":     func(*Config) { put(lookupPath, joined+"b,y\n") },
		"other name": func(c *Config) { c.Source = "elsewhere" },
	} {
		reset()
		changed := c
		change(&changed)
		if _, err := Open(changed); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	reset()
	if events, _, end := run(t, c, 9, 1, func(uint64) bool { return true }); len(events) != 1 || end != io.EOF {
		t.Errorf("unchanged: %d events, %v", len(events), end)
	}
	put(c.CheckpointPath, "{")
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged checkpoint is taken up: %v", err)
	}
	c.CheckpointPath = filepath.Join(dir, "nowhere", "checkpoint")
	r, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var item Item
	if err := errors.Join(r.Next(&item), r.Ack(item.Number)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err == nil {
		t.Error("a checkpoint that cannot be written is no error")
	}
}

func TestTracker(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		n := 1 + random.IntN(50)
		tracker := tracker{read: uint64(n)}
		done := make([]bool, n+2)
		for _, i := range random.Perm(n) {
			record := uint64(i + 1)
			if err := errors.Join(tracker.finish(record), tracker.finish(record)); err != nil {
				t.Fatal(err)
			}
			done[record] = true
			prefix := uint64(0)
			for done[prefix+1] {
				prefix++
			}
			if tracker.done != prefix {
				t.Fatalf("prefix %d, not %d", tracker.done, prefix)
			}
		}
		if len(tracker.ahead) > 0 {
			t.Fatalf("%d records are kept for nothing", len(tracker.ahead))
		}
		for _, record := range []uint64{0, uint64(n + 1)} {
			if tracker.finish(record) == nil {
				t.Fatalf("record %d of %d was acknowledged", record, n)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	a := identity("m/f", 1, 1726833658880)
	if got := a.String(); got[:14] != "01920f4e-8c00-" || a.Version() != 7 || a.Variant() != uuid.RFC4122 {
		t.Errorf("%s is no UUIDv7 of its time", got)
	}
	if a != identity("m/f", 1, 1726833658880) {
		t.Error("a replay has other ids")
	}
	// Pinned: ids that change between versions would double every replay.
	if want := "01920f4e-8c00-797e-83b9-77120aaad3ed"; a.String() != want {
		t.Errorf("id %s, not %s", a, want)
	}
	seen := make(map[uuid.UUID]string)
	for _, source := range []string{"m/f", "m/g", "m/f1", ""} {
		for record := range uint64(1000) {
			id := identity(source, record, 1)
			if was, ok := seen[id]; ok {
				t.Fatalf("%s %d has the id of %s", source, record, was)
			}
			seen[id] = fmt.Sprint(source, record)
		}
	}
}

// TestSources: under one source name a renamed file keeps its ids; the base name is the default.
func TestSources(t *testing.T) {
	content := "at,who,ms\n1,a,1\n"
	ids := func(name, source string, content []byte) uuid.UUID {
		var id uuid.UUID
		replayAll(t, Config{Mapping: parsed(t, pings), Path: write(t, name, content), Source: source}, func(item *Item) { id = item.Event.ID })
		return id
	}
	plain := ids("a.csv", "", []byte(content))
	if plain != ids("a.csv.gz", "", packed(t, content)) {
		t.Error("packing a file changes its ids")
	}
	if plain == ids("b.csv", "", []byte(content)) {
		t.Error("two files share ids")
	}
	if plain != ids("b.csv", "pings/a.csv", []byte(content)) {
		t.Error("the source name does not decide")
	}
}

func TestLookupProblems(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"two values": {"who,pop\na,x\na,y\n", "line 3: key \"a\" has the values"},
		"no column":  {"who,city\na,x\n", "no pop"},
		"bad row":    {"who,pop\na\n", "line 2: 1 fields"},
		"empty":      {"", "empty"},
	} {
		path := write(t, "f.csv", []byte("at,who,ms\n1,a,1\n"))
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "l.csv"), []byte(test.content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Mapping: parsed(t, pings+"lookups: [{file: l.csv, key: who, value: pop}]\n"), Path: path})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := write(t, "f.csv", []byte("at,who,ms\n1,a,1\n"))
	if _, err := Open(Config{Mapping: parsed(t, pings+"lookups: [{file: l.csv, key: who, value: pop}]\n"), Path: path}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing lookup file: %v", err)
	}
}

// FuzzMapping wants an answer for any text, and the same one twice.
func FuzzMapping(f *testing.F) {
	for _, name := range Builtins() {
		text, err := builtin.ReadFile("mappings/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(pings))
	f.Add([]byte("a: &a [*a]\n? {}\n: !!x |\n  - <<: 1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse("fuzz.yaml", text)
		again, errAgain := Parse("fuzz.yaml", text)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || (m == nil) != (again == nil) {
			t.Fatalf("%v, then %v", err, errAgain)
		}
		if err == nil && (m.Name() == "" || !m.Kind().Raw() || len(m.fields) == 0) {
			t.Fatalf("accepted without name, kind or fields: %+v", m)
		}
	})
}

// FuzzCSV compares the framing with encoding/csv on the text as a whole: what the
// library reads without an error comes out as the library reads it, and any text is read to its end.
func FuzzCSV(f *testing.F) {
	f.Add("a,b\n1,2\n")
	f.Add("a,b\n\"1\n\n\"\"2\",3\n4,5\n")
	f.Add("a,b\n\"1,2\n3,\"4\"\n\"5\"x,6\n")
	f.Add("\"a\"\"\",b\n,\n\"\",\"\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		reader := csv.NewReader(strings.NewReader(text))
		want, libraryErr := reader.ReadAll()
		path := write(t, "f.csv", []byte(text))
		in, err := openInput(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.file.Close()
		rows, err := (&format{kind: formatCSV, delimiter: ',', header: true}).open(in, nil)
		if err != nil {
			return
		}
		var got [][]string
		var r row
		last := int64(0)
		for {
			err := rows.next(&r)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.line <= last {
				t.Fatalf("line %d after line %d", r.line, last)
			}
			last = r.line
			if r.problem == nil {
				got = append(got, append([]string(nil), r.values...))
			}
		}
		// Marks, lone CRs, what is not UTF-8 and lines of white space are read differently on purpose.
		if libraryErr != nil || len(want) == 0 || strings.ContainsAny(text, "\uFEFF\r") || !utf8.ValidString(text) {
			return
		}
		for _, record := range strings.Split(text, "\n") {
			if record != "" && strings.TrimSpace(record) == "" {
				return
			}
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want[1:]) {
			t.Fatalf("%q is read as %q, by the library as %q", text, got, want[1:])
		}
	})
}
