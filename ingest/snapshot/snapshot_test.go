package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// state is seeded entries; large ones do not fit a block.
func state(seed uint64, n, large int) map[string]string {
	r := rand.New(rand.NewPCG(seed, 5))
	m := map[string]string{}
	for i := range n {
		value := make([]byte, r.IntN(60))
		for j := range value {
			value[j] = byte(r.IntN(7))
		}
		m[fmt.Sprintf("churn/0/player-%d", i)] = string(value)
	}
	for i := range large {
		m[fmt.Sprint("_/ids/", i)] = strings.Repeat("0123456789abcdef", blockBytes/10)
	}
	return m
}

func copyOf(m map[string]string) *Copy {
	var c Copy
	for k, v := range m {
		c.Add(k, []byte(v))
	}
	return &c
}

func publish(t *testing.T, l Log, h Header, m map[string]string) {
	t.Helper()
	p, err := l.Prepare(h, copyOf(m))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(); err != nil {
		t.Fatal(err)
	}
}

func newLog(t *testing.T) Log {
	return Log{Dir: t.TempDir(), Topic: "changelog-count", TopicID: ID{1, 0xab}}
}

// read opens, verifies and reads a file.
func read(path string) (Header, map[string]string, error) {
	f, err := Open(path)
	if err != nil {
		return Header{}, nil, err
	}
	defer f.Close()
	if err := f.Verify(); err != nil {
		return Header{}, nil, err
	}
	m := map[string]string{}
	err = f.Each(func(key string, value []byte) error {
		if _, twice := m[key]; twice {
			return fmt.Errorf("key %q came twice", key)
		}
		m[key] = string(value)
		return nil
	})
	return f.Header, m, err
}

func TestFileHoldsWhatWasAdded(t *testing.T) {
	for _, c := range []struct{ n, large int }{{0, 0}, {1, 0}, {40_000, 0}, {10, 3}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			l := newLog(t)
			want := state(1, c.n, c.large)
			h := Header{Partition: 3, Offset: 77, AsOf: time.UnixMilli(1_772_452_800_123).UTC(), Writer: "host:/data"}
			publish(t, l, h, want)
			found, err := l.List(3)
			if err != nil || len(found) != 1 || found[0].Offset != 77 {
				t.Fatalf("found %v, %v", found, err)
			}
			got, m, err := read(found[0].Path)
			if err != nil {
				t.Fatal(err)
			}
			h.Topic, h.TopicID, h.Entries = l.Topic, l.TopicID, int64(c.n+c.large)
			if got != h {
				t.Errorf("header %+v, want %+v", got, h)
			}
			if !maps.Equal(m, want) {
				t.Errorf("%d entries, want %d", len(m), len(want))
			}
		})
	}
}

// small is a file of a few blocks' worth of frames, short enough to be damaged everywhere.
func small(t *testing.T) []byte {
	t.Helper()
	c := Copy{}
	for i, block := range []map[string]string{state(2, 3, 0), state(3, 2, 0)} {
		var one Copy
		for k, v := range block {
			one.Add(fmt.Sprint(i, k), []byte(v))
		}
		c.blocks = append(c.blocks, one.blocks...)
		c.entries += one.entries
	}
	var out bytes.Buffer
	if err := encode(&out, Header{Topic: "t", Partition: 1, Offset: 9}, &c); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func refusal(t *testing.T, dir string, data []byte) Cause {
	t.Helper()
	path := filepath.Join(dir, "one"+suffix)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := read(path)
	if err == nil {
		return ""
	}
	var r *RefusedError
	if !errors.As(err, &r) {
		t.Fatalf("an error that is no refusal: %v", err)
	}
	return r.Cause
}

func TestFileRefusesEveryPrefix(t *testing.T) {
	whole, dir := small(t), t.TempDir()
	if cause := refusal(t, dir, whole); cause != "" {
		t.Fatalf("the whole file is refused: %s", cause)
	}
	for n := range whole {
		if cause := refusal(t, dir, whole[:n]); cause != Corrupt {
			t.Errorf("%d of %d bytes: %q", n, len(whole), cause)
		}
	}
	if cause := refusal(t, dir, append(bytes.Clone(whole), 0)); cause != Corrupt {
		t.Errorf("one byte more: %q", cause)
	}
}

func TestFileRefusesEveryFlippedBit(t *testing.T) {
	whole, dir := small(t), t.TempDir()
	for i := range whole {
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << bit
			want := Corrupt
			if i == len(magic) {
				want = UnknownFormat
			}
			if cause := refusal(t, dir, damaged); cause != want {
				t.Errorf("byte %d, bit %d: %q, want %q", i, bit, cause, want)
			}
		}
	}
}

// Every frame is intact, but they are not the file's, or not in its order.
func TestFileRefusesForeignFrames(t *testing.T) {
	whole, dir := small(t), t.TempDir()
	var frames [][]byte
	start := len(magic) + 1
	for at := start; at < len(whole); {
		size := int(uint32(whole[at+1]) | uint32(whole[at+2])<<8 | uint32(whole[at+3])<<16)
		end := at + frameHead + size + frameSum
		frames = append(frames, whole[at:end])
		at = end
	}
	if len(frames) != 4 {
		t.Fatalf("%d frames", len(frames))
	}
	for _, order := range [][]int{{0, 1, 3}, {0, 2, 3}, {0, 2, 1, 3}, {0, 1, 1, 2, 3}, {0, 3}, {1, 2, 3}} {
		file := bytes.Clone(whole[:start])
		for _, i := range order {
			file = append(file, frames[i]...)
		}
		if cause := refusal(t, dir, file); cause != Corrupt {
			t.Errorf("frames %v: %q", order, cause)
		}
	}
}

func TestFileThatIsNotThere(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none"+suffix))
	var r *RefusedError
	if !errors.As(err, &r) || r.Cause != Unreadable || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLogKeepsTheNewest(t *testing.T) {
	l := newLog(t)
	if found, err := l.List(0); err != nil || found != nil {
		t.Fatalf("an empty directory: %v, %v", found, err)
	}
	left := filepath.Join(l.Place(0), unfinished+"123")
	for i, offset := range []int64{5, 900, 1000, 7, 1000} {
		publish(t, l, Header{Offset: offset}, state(uint64(i), 3, 0))
		if i == 0 {
			for _, path := range []string{left, left + "4"} {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			old := time.Now().Add(-2 * abandoned)
			if err := os.Chtimes(left, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(t, Log{Dir: l.Dir, Topic: l.Topic, TopicID: ID{2}}, Header{Offset: 5000}, nil)
	publish(t, l, Header{Partition: 1, Offset: 6000}, nil)
	found, err := l.List(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Offset != 1000 || found[1].Offset != 1000 || found[0].Path == found[1].Path {
		t.Errorf("the files kept are %v", found)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("an abandoned file is still there")
	}
	if _, err := os.Stat(left + "4"); err != nil {
		t.Error("a file that is being written was removed")
	}
}

func TestLogDiscards(t *testing.T) {
	l := newLog(t)
	p, err := l.Prepare(Header{Offset: 1}, copyOf(state(1, 10, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := l.List(0); len(found) != 0 {
		t.Errorf("a file is found before it is published: %v", found)
	}
	p.Discard()
	if entries, err := os.ReadDir(l.Place(0)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLogWithoutADirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Log{Dir: file, Topic: "t"}).Prepare(Header{}, &Copy{}); err == nil {
		t.Error("a file stands where the directory should, and nobody minds")
	}
}

func BenchmarkCopyAndWrite(b *testing.B) {
	l := Log{Dir: b.TempDir(), Topic: "t"}
	m := state(1, 100_000, 0)
	b.ReportAllocs()
	for i := range b.N {
		c := copyOf(m)
		b.SetBytes(c.Bytes())
		p, err := l.Prepare(Header{Offset: int64(i)}, c)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Publish(); err != nil {
			b.Fatal(err)
		}
	}
}
