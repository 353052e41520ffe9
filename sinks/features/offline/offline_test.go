package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// midnight is 2025-09-01 00:00 UTC.
const midnight int64 = 1_756_684_800_000

// player is a revision with a value of its own in every field; even ones have no latency and no gap.
func player(n int, asOf int64) *event.Features {
	f := &event.Features{PlayerID: fmt.Sprintf("p%04d", n), Revision: uint64(n) + 1<<53, AsOf: asOf, Watermark: asOf - 5, Maturity: event.Final,
		SpendCurrency: "EUR", ForeignCheckouts: uint32(n), FirstActivity: asOf - 30*24*hour, LastActivity: asOf - 1, SessionsTotal: uint32(7 * n), GapMeanS: -1, GapVarS2: -1}
	for w := range event.NumWindows {
		f.Sessions[w], f.PlaytimeS[w], f.Drops[w], f.Landings[w] = uint32(n+w), math.MaxUint32-uint32(w), uint32(100*w), uint32(w)
		f.NetSpend[w] = -(1<<53 + int64(n) + int64(w)) // no float64 holds the odd ones
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		if n%2 == 1 {
			f.LatencyMeanMS[w], f.LatencyMaxMS[w], f.GapMeanS, f.GapVarS2 = 12.5+float64(w), 99, 39.072, 473.9468
		}
	}
	return f
}

func TestFilesComeBack(t *testing.T) {
	yes, no := true, false
	labels := []*bool{nil, &yes, &no}
	for _, format := range []Format{Parquet, Arrow} {
		name := filepath.Join(t.TempDir(), "set."+string(format))
		const rows = 5000
		t0 := midnight + 90*60_000
		err := Whole(name, nil, func(f io.WriteSeeker) error {
			w, err := NewWriter(f, format, feature.Player, Training, map[string]string{MetaKnowable: "delivered"})
			if err != nil {
				return err
			}
			for i := range rows {
				if err := w.Write(&Row{At: t0, Created: t0 - 7, Features: player(i, midnight), Churned: labels[i%3]}); err != nil {
					return err
				}
			}
			return w.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		n, vector := 0, []float64(nil)
		err = Read(t.Context(), name, feature.Player, func(c Content) error {
			if c.Rows != rows || slices.Contains(c.Has, false) || c.Knowable != "delivered" {
				t.Errorf("%s: %+v", format, c)
			}
			return nil
		}, func(k *Known) error {
			want := player(n, midnight)
			vector = want.Vector(t0, vector[:0])
			if k.Player != want.PlayerID || k.At != t0 || k.Created != t0-7 || k.AsOf != midnight {
				t.Fatalf("%s: row %d is %+v", format, n, k)
			}
			if label := labels[n%3]; (k.Churned == nil) != (label == nil) || label != nil && *k.Churned != *label {
				t.Fatalf("%s: the label of row %d is %v", format, n, k.Churned)
			}
			for i, v := range vector {
				if k.Values[i] != v && !(math.IsNaN(v) && math.IsNaN(k.Values[i])) {
					t.Fatalf("%s: row %d: %s is %v, want %v", format, n, feature.Player.Features[i].Name, k.Values[i], v)
				}
			}
			n++
			return nil
		})
		if err != nil || n != rows {
			t.Errorf("%s: %d rows, %v", format, n, err)
		}
		// Every prefix of it is refused, and so is another set.
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 3, 100, len(whole) / 2, len(whole) - 1} {
			cut := filepath.Join(t.TempDir(), "cut."+string(format))
			if err := os.WriteFile(cut, whole[:size], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Read(t.Context(), cut, feature.Player, nil, func(*Known) error { return nil }); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", format, size, len(whole))
			}
		}
		other := feature.New(feature.Set{Name: "other", Version: 1, Key: "player_id", Features: feature.Player.Features[:3]})
		if err := Read(t.Context(), name, other, nil, nil); err == nil || !strings.Contains(err.Error(), "another feature set") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := FormatOf("set.csv"); err == nil {
		t.Error("a CSV file is accepted")
	}
	strange := feature.New(feature.Set{Name: "strange", Version: 1, Key: "player_id", Features: []feature.Feature{{Name: "shoe_size"}}})
	if _, err := NewBatch(strange, History, Schema(strange, History, nil)); err == nil || !strings.Contains(err.Error(), "shoe_size") {
		t.Errorf("got %v", err)
	}
}

// history is a Source of revisions by hour.
type history struct {
	rows map[int64][]*event.Features
	read []int64
	// cut, if positive, ends every answer with an error after so many rows.
	cut int
}

func (h *history) Hours(_ context.Context, from, to int64) (hours []Hour, err error) {
	for _, at := range slices.Sorted(maps.Keys(h.rows)) {
		if at < from || at >= to || len(h.rows[at]) == 0 {
			continue
		}
		sum := Hour{Start: at, Rows: uint64(len(h.rows[at]))}
		for _, f := range h.rows[at] {
			sum.Digest += f.Revision * 31
		}
		hours = append(hours, sum)
	}
	return hours, nil
}

func (h *history) History(ctx context.Context, from, to int64, each func(*Row) error) error {
	h.read = append(h.read, (from-midnight)/hour)
	for i, f := range h.rows[from] {
		if h.cut > 0 && i == h.cut {
			return errBroke
		}
		if err := errors.Join(ctx.Err(), each(&Row{Created: f.AsOf + 40, Features: f})); err != nil {
			return err
		}
	}
	return nil
}

var errBroke = errors.New("the connection broke")

// files lists what is below dir, without the lock.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".export.lock" {
			rel, _ := filepath.Rel(dir, name)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func drops(hours ...int) *history {
	h := &history{rows: map[int64][]*event.Features{}}
	for _, n := range hours {
		at := midnight + int64(n)*hour
		for i := range 20 {
			h.rows[at] = append(h.rows[at], player(i, at+int64(i)))
		}
	}
	return h
}

func TestExport(t *testing.T) {
	for _, format := range []Format{Parquet, Arrow} {
		source := drops(0, 1, 25)
		e := Export{Dir: t.TempDir(), Format: format, Set: feature.Player, From: midnight, To: midnight + 48*hour, About: map[string]string{MetaKnowable: "delivered"}}
		run := func(what string, want Summary, read ...int64) {
			t.Helper()
			source.read = nil
			var last, total uint64
			e.Progress = func(done, of uint64) { last, total = done, of }
			got, err := e.Run(t.Context(), source)
			if err != nil || got != want || !slices.Equal(source.read, read) || last != total {
				t.Errorf("%s, %s: %+v, %v, read %v, progress %d of %d; want %+v, read %v", format, what, got, err, source.read, last, total, want, read)
			}
		}
		run("the first", Summary{Written: 3, Rows: 60}, 0, 1, 25)
		want := []string{"date=2025-09-01/hour=00/features." + string(format), "date=2025-09-01/hour=01/features." + string(format), "date=2025-09-02/hour=01/features." + string(format)}
		if got := files(t, e.Dir); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		run("again", Summary{Unchanged: 3})
		// A late event adds a revision to an hour that has passed.
		source.rows[midnight+hour] = append(source.rows[midnight+hour], player(77, midnight+hour+500))
		run("a revision more", Summary{Written: 1, Unchanged: 2, Rows: 21}, 1)
		// Somebody damages a file; a killed run left its own beside it.
		if err := os.Truncate(filepath.Join(e.Dir, want[2]), 100); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(e.Dir, filepath.Dir(want[2]), ".features."+string(format)+"-123"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		run("a damaged one", Summary{Written: 1, Unchanged: 2, Rows: 20}, 25)
		if got := files(t, e.Dir); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		// Rows go, by age or by erasure: which of them is the caller's to say.
		source.rows[midnight] = source.rows[midnight][:5]
		run("fewer", Summary{Unchanged: 2, Kept: 1})
		e.Shrink = true
		run("fewer, and erased", Summary{Written: 1, Unchanged: 2, Rows: 5}, 0)
		// Another contract or another meaning of its times makes other files.
		e.About = map[string]string{MetaKnowable: "event"}
		run("by event time", Summary{Written: 3, Rows: 46}, 0, 1, 25)

		// The rows are those of the source.
		schema, rows, err := inspect(filepath.Join(e.Dir, want[1]), format)
		if err != nil || rows != 21 {
			t.Fatal(rows, err)
		}
		names := make([]string, 0, schema.NumFields())
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
		if got := strings.Join(names[:8], " "); got != "player_id event_timestamp created_timestamp revision first_activity last_activity spend_currency sessions_1h" {
			t.Errorf("%s begins with %s", format, got)
		}
		if slices.Contains(names, "recency_s") || slices.Contains(names, Churned) || len(names) != 7+52 {
			t.Errorf("%s has %d columns: %v", format, len(names), names)
		}
	}
}

func TestExportRequests(t *testing.T) {
	for want, e := range map[string]Export{
		"no directory": {Format: Parquet, Set: feature.Player, To: hour}, "format \"csv\"": {Dir: "x", Format: "csv", Set: feature.Player, To: hour},
		"no feature set": {Dir: "x", Format: Parquet, To: hour}, "is not before": {Dir: "x", Format: Parquet, Set: feature.Player, From: hour, To: hour},
		"whole hours": {Dir: "x", Format: Parquet, Set: feature.Player, To: hour + 1},
	} {
		if _, err := e.Run(t.Context(), drops()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// Two exports into one directory: the second is refused, and nothing is spoilt.
	e := Export{Dir: t.TempDir(), Format: Parquet, Set: feature.Player, From: midnight, To: midnight + hour}
	unlock, err := lock(e.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), drops(0)); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want that it is busy", err)
	}
	unlock()
	if got, err := e.Run(t.Context(), drops(0)); err != nil || got.Written != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// faulty fails after so many bytes, or at what it is told to.
type faulty struct {
	*os.File
	left           *int
	atSync, atDone bool
}

func (f *faulty) Write(p []byte) (int, error) {
	if *f.left -= len(p); *f.left < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.File.Write(p)
}

func (f *faulty) Sync() error {
	if f.atSync {
		return syscall.EIO
	}
	return f.File.Sync()
}

func (f *faulty) Close() error {
	err := f.File.Close()
	if f.atDone {
		return syscall.EDQUOT
	}
	return err
}

// TestExportFaults fills the disk at every depth, breaks the source off, interrupts: what is there is whole, and the next run goes on.
func TestExportFaults(t *testing.T) {
	for _, format := range []Format{Parquet, Arrow} {
		whole := Export{Dir: t.TempDir(), Format: format, Set: feature.Player, From: midnight, To: midnight + 48*hour}
		if _, err := whole.Run(t.Context(), drops(0, 1, 25)); err != nil {
			t.Fatal(err)
		}
		names := files(t, whole.Dir)
		same := func(e *Export, of []string) {
			t.Helper()
			for _, name := range of {
				got, err := os.ReadFile(filepath.Join(e.Dir, name))
				want, _ := os.ReadFile(filepath.Join(whole.Dir, name))
				if err != nil || string(got) != string(want) {
					t.Errorf("%s: %s differs: %v", format, name, err)
				}
			}
		}
		check := func(what string, fault func(*Export, *history) context.Context, is error) {
			t.Helper()
			source := drops(0, 1, 25)
			e := whole
			e.Dir = t.TempDir()
			_, err := e.Run(fault(&e, source), source)
			if !errors.Is(err, is) {
				t.Errorf("%s, %s: got %v", format, what, err)
			}
			if errors.Is(is, syscall.ENOSPC) && !strings.Contains(fmt.Sprint(err), "the disk is full") {
				t.Errorf("%s, %s: %v", format, what, err)
			}
			same(&e, files(t, e.Dir))
			e.create, source.cut = nil, 0
			if _, err := e.Run(t.Context(), source); err != nil || !slices.Equal(files(t, e.Dir), names) {
				t.Errorf("%s, %s: the next run: %v, %v", format, what, files(t, e.Dir), err)
			}
			same(&e, names)
		}
		size := 0
		for _, name := range names {
			info, err := os.Stat(filepath.Join(whole.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			size += int(info.Size())
		}
		for k := range 10 {
			left := size * k / 10
			check(fmt.Sprintf("%d of %d bytes fit", left, size), func(e *Export, _ *history) context.Context {
				e.create = func(dir, pattern string) (File, error) {
					f, err := os.CreateTemp(dir, pattern)
					return &faulty{File: f, left: &left}, err
				}
				return t.Context()
			}, syscall.ENOSPC)
		}
		room := 1 << 30
		for _, at := range []struct {
			what string
			file faulty
			is   error
		}{{"at sync", faulty{atSync: true}, syscall.EIO}, {"at close", faulty{atDone: true}, syscall.EDQUOT}} {
			check(at.what, func(e *Export, _ *history) context.Context {
				e.create = func(dir, pattern string) (File, error) {
					f, err := os.CreateTemp(dir, pattern)
					broken := at.file
					broken.File, broken.left = f, &room
					return &broken, err
				}
				return t.Context()
			}, at.is)
		}
		check("the source breaks off", func(_ *Export, h *history) context.Context { h.cut = 7; return t.Context() }, errBroke)
		check("interrupted", func(e *Export, h *history) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			e.Progress = func(uint64, uint64) {
				if n++; n == 2 {
					cancel()
				}
			}
			return ctx
		}, context.Canceled)
	}
}
