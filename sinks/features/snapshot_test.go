package features

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/droplift/droplift/ingest/event"
)

func testSnapshot(t testing.TB) Snapshot {
	return Snapshot{Dir: filepath.Join(t.TempDir(), "features"), Topic: "features", TopicID: "first"}
}

// contents are all players of a store.
func contents(t testing.TB, s *Store, names []string) map[string]event.Features {
	t.Helper()
	all := map[string]event.Features{}
	for _, name := range names {
		var f event.Features
		if _, found := s.Lookup(name, &f); found {
			all[name] = f
		}
	}
	if len(all) != s.Len() {
		t.Errorf("%d of the %d players in the store are known by name", len(all), s.Len())
	}
	return all
}

// A store that is restored from a snapshot and reads on ends as one that has read everything, wherever the snapshot
// was taken, deletions and returns included.
func TestRestoredStoreReadsOn(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	names := players(60)
	revisions := map[string]uint64{}
	l := log{}
	for range 3000 {
		name := names[rng.IntN(len(names))]
		if rng.IntN(10) == 0 {
			revisions[name] = 0
			l.add(event.Record{Key: []byte(name)})
			continue
		}
		revisions[name]++
		l.add(recordOf(someFeatures(name, revisions[name], noon)))
	}
	whole, _ := newTestStore(t)
	l.play(t, whole, nil, 100)
	want := contents(t, whole, names)
	for range 10 {
		n := testSnapshot(t)
		half, _ := newTestStore(t)
		for _, p := range half.Partitions() {
			to := rng.Int64N(int64(len(l[p]) + 1))
			if err := half.Apply(Batch{Partition: p, Records: l[p][:to], Next: to, End: int64(len(l[p]))}); err != nil {
				t.Fatal(err)
			}
		}
		if err := half.Save(n); err != nil {
			t.Fatal(err)
		}
		restored, reg := newTestStore(t)
		from, err := restored.Restore(n)
		if err != nil || len(from) != partitions {
			t.Fatalf("restored from %v: %v", from, err)
		}
		if got := contents(t, restored, names); !reflect.DeepEqual(got, contents(t, half, names)) {
			t.Fatal("the snapshot does not hold what was saved")
		}
		if count(t, reg, "players") != float64(restored.Len()) || restored.Ready() == nil {
			t.Error("players are not counted, or it is ready before it has met the log's end")
		}
		for p := range from {
			from[p] = max(0, from[p]-rng.Int64N(30)) // records that are folded in already
		}
		l.play(t, restored, from, 100)
		if got := contents(t, restored, names); !reflect.DeepEqual(got, want) {
			t.Fatal("after reading on, the restored store differs from one that has read everything")
		}
	}
}

func TestNoSnapshot(t *testing.T) {
	s, _ := newTestStore(t)
	if from, err := s.Restore(testSnapshot(t)); from != nil || err != nil {
		t.Errorf("no file gave %v, %v", from, err)
	}
}

// Every cut and every altered byte is found, and nothing of such a file is used.
func TestDamagedSnapshot(t *testing.T) {
	n := testSnapshot(t)
	s, _ := newTestStore(t)
	l := log{}
	for _, name := range players(20) {
		l.add(recordOf(someFeatures(name, 1, noon)))
	}
	l.play(t, s, nil, 9)
	if err := s.Save(n); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(n.Path(s))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	try := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(n.Path(s), data, 0o600); err != nil {
			t.Fatal(err)
		}
		fresh, reg := newTestStore(t)
		from, err := fresh.Restore(n)
		var r *RefusedError
		if !errors.As(err, &r) || from != nil || fresh.Len() != 0 {
			t.Fatalf("%s: %v, %d players, from %v", what, err, fresh.Len(), from)
		}
		if count(t, reg, "snapshots_refused_total", string(r.Cause)) != 1 {
			t.Fatalf("%s: the refusal as %s is not counted", what, r.Cause)
		}
		refused++
	}
	for cut := 0; cut < len(good); cut += 1 + len(good)/100 {
		try("a cut file", good[:cut])
	}
	try("all but a byte", good[:len(good)-1])
	rng := rand.New(rand.NewPCG(5, 5))
	for range 100 {
		bad := bytes.Clone(good)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		try("an altered file", bad)
	}
	if refused < 180 {
		t.Errorf("only %d files tried", refused)
	}
}

// What is whole but of something else is refused by its own name.
func TestForeignSnapshot(t *testing.T) {
	s, _ := newTestStore(t)
	l := log{}
	l.add(recordOf(someFeatures("ada", 1, noon)))
	l.play(t, s, nil, 9)
	for _, c := range []struct {
		name   string
		edit   func(h *header)
		store  func(*Config)
		source func(*Snapshot)
		want   Cause
	}{
		{name: "another topic", source: func(n *Snapshot) { n.Topic = "other" }, want: Foreign},
		{name: "a topic made anew", source: func(n *Snapshot) { n.TopicID = "second" }, want: Foreign},
		{name: "another number of partitions", store: func(c *Config) { c.Total = 8 }, want: Foreign},
		{name: "a week later", store: func(c *Config) { c.Now = func() time.Time { return time.UnixMilli(noon).Add(7 * 24 * time.Hour) } }, want: TooOld},
		{name: "another version of the features", edit: func(h *header) { h.Version++; h.Hash = strings.Repeat("ab", 32) }, want: OtherFeatures},
		{name: "another layout", edit: func(h *header) { h.Layout = "0123456789abcdef" }, want: OtherFormat},
	} {
		n := testSnapshot(t)
		if err := s.Save(n); err != nil {
			t.Fatal(err)
		}
		if c.edit != nil {
			rewrite(t, n.Path(s), c.edit)
		}
		if c.source != nil {
			c.source(&n)
		}
		if c.store == nil {
			c.store = func(*Config) {}
		}
		fresh, reg := newTestStore(t, c.store)
		_, err := fresh.Restore(n)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Cause != c.want || fresh.Len() != 0 {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if count(t, reg, "snapshots_refused_total", string(c.want)) != 1 {
			t.Errorf("%s: not counted", c.name)
		}
		// The topic is read from its start instead.
		if c.name != "another number of partitions" {
			l.play(t, fresh, nil, 9)
			if fresh.Len() != 1 {
				t.Errorf("%s: %d players after reading the topic", c.name, fresh.Len())
			}
		}
	}
	n := testSnapshot(t)
	if err := s.Save(n); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(n.Path(s))
	if err != nil {
		t.Fatal(err)
	}
	file[len(magic)]++
	if err := os.WriteFile(n.Path(s), file, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh, _ := newTestStore(t)
	if _, err := fresh.Restore(n); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
}

// rewrite gives a file another header; its checksum does not hold any more, but the header is judged first.
func rewrite(t testing.TB, path string, edit func(*header)) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(s2.NewReader(bytes.NewReader(file[len(magic)+1:])))
	if err != nil {
		t.Fatal(err)
	}
	_, n := binary.Uvarint(plain)
	var h header
	decoder := json.NewDecoder(bytes.NewReader(plain[n:]))
	if err := decoder.Decode(&h); err != nil {
		t.Fatal(err)
	}
	rest := plain[n+int(decoder.InputOffset()):]
	edit(&h)
	head, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.Write(file[:len(magic)+1])
	w := s2.NewWriter(&out)
	for _, part := range [][]byte{binary.AppendUvarint(nil, uint64(len(head))), head, rest} {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotThatCannotBeWritten(t *testing.T) {
	s, reg := newTestStore(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(Snapshot{Dir: file}); err == nil || count(t, reg, "snapshots_total", "failed") != 1 {
		t.Errorf("a directory that is a file: %v", err)
	}
}
