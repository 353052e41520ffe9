package features

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

func TestStoreKeepsTheNewest(t *testing.T) {
	s, reg := newTestStore(t)
	l := log{}
	first, second := someFeatures("ada", 1, noon-2000), someFeatures("ada", 5, noon-1000)
	l.add(recordOf(first), recordOf(second), recordOf(someFeatures("ada", 4, noon-500)), recordOf(someFeatures("bob", 1, noon)))
	if s.Ready() == nil {
		t.Error("a store that has read nothing is ready")
	}
	l.play(t, s, nil, 2)
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	var f event.Features
	fresh, found := s.Lookup("ada", &f)
	if !found || !reflect.DeepEqual(f, second) {
		t.Errorf("ada: %+v, want %+v", f, second)
	}
	// The watermark is the partition's: bob, who is in it too, has brought it further.
	want := Freshness{Partition: partitionOf("bob"), Served: true, AsOf: second.AsOf, Revision: 5, Watermark: noon - 10_001, CaughtUp: true}
	if fresh != want {
		t.Errorf("ada is %+v, want %+v", fresh, want)
	}
	if n := count(t, reg, "records_total", "older"); n != 1 || s.Len() != 2 {
		t.Errorf("%v older records, %d players", n, s.Len())
	}

	// A tombstone deletes; who comes back starts anew.
	l = log{}
	l.add(event.Record{Key: []byte("ada")}, recordOf(someFeatures("cy", 1, noon)))
	l.play(t, s, nil, 9)
	if _, found := s.Lookup("ada", &f); found {
		t.Error("ada was deleted")
	}
	l.add(recordOf(first))
	l.play(t, s, nil, 9)
	if fresh, found := s.Lookup("ada", &f); !found || fresh.Revision != 1 {
		t.Errorf("ada is back with %+v", fresh)
	}
	if n := count(t, reg, "players"); n != float64(s.Len()) {
		t.Errorf("%v players counted, %d there", n, s.Len())
	}
}

func TestStoreLeavesOutWhatIsNotValid(t *testing.T) {
	s, reg := newTestStore(t)
	good := someFeatures("ada", 1, noon)
	swapped := recordOf(someFeatures("bob", 2, noon))
	swapped.Key = []byte("ada")
	cut := recordOf(someFeatures("ada", 3, noon))
	cut.Value = cut.Value[:len(cut.Value)/2]
	l := log{}
	l.add(recordOf(good), swapped, cut)
	l.play(t, s, nil, 9)
	var f event.Features
	if fresh, found := s.Lookup("ada", &f); !found || fresh.Revision != 1 {
		t.Errorf("the last good features are not there: %+v", fresh)
	}
	if n := count(t, reg, "records_total", "invalid"); n != 2 {
		t.Errorf("%v invalid records counted, 2 sent", n)
	}
	s.ApplyProgress([]event.Record{{Value: []byte(`{"partition"`)}, {}})
	if n := count(t, reg, "records_total", "invalid"); n != 3 {
		t.Errorf("%v invalid records counted, 3 sent", n)
	}
	if err := s.Apply(Batch{Partition: 99}); err == nil {
		t.Error("partition 99 was taken")
	}
}

func TestStoreTellsFreshness(t *testing.T) {
	own := []int32{partitionOf("ada")}
	s, reg := newTestStore(t, func(c *Config) { c.Partitions, c.TTLMS = own, 60_000 })
	var f event.Features
	fresh, found := s.Lookup("ada", &f)
	if found || !fresh.Served || fresh.Watermark != -1 || fresh.CaughtUp || s.Judge(fresh, found, noon) != Unknown {
		t.Errorf("an unknown player: %+v", fresh)
	}
	other := "bob"
	for i := 0; partitionOf(other) == own[0]; i++ {
		other = fmt.Sprint("bob", i)
	}
	if fresh, found := s.Lookup(other, &f); found || fresh.Served || s.Judge(fresh, found, noon) != Elsewhere {
		t.Errorf("a player of another replica: %+v", fresh)
	}

	batch := Batch{Partition: own[0], Records: []event.Record{recordOf(someFeatures("ada", 1, noon))}, Next: 1, End: 2}
	apply := func() {
		t.Helper()
		if err := s.Apply(batch); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	steps := []struct {
		name               string
		do                 func()
		caughtUp, complete bool
	}{
		{"a record is still to come", func() {}, false, false},
		{"it is read", func() { batch.Next = 2; batch.Records = nil; apply() }, true, false},
		{"the watermark passes", func() {
			p := event.Progress{Partition: own[0], Watermark: noon}
			s.ApplyProgress([]event.Record{{Value: p.AppendJSON(nil)}})
		}, true, true},
		{"the brokers are away", func() { batch.End = -1; apply() }, false, false},
		{"they are back", func() { batch.End = 2; apply() }, true, true},
	}
	for _, step := range steps {
		step.do()
		fresh, found := s.Lookup("ada", &f)
		if !found || fresh.CaughtUp != step.caughtUp || fresh.Complete() != step.complete {
			t.Errorf("%s: %+v, complete %v", step.name, fresh, fresh.Complete())
		}
	}
	fresh, found = s.Lookup("ada", &f)
	for at, want := range map[int64]Outcome{noon: Found, noon + 60_000: Found, noon + 60_001: Stale, noon - 1: Found} {
		if got := s.Judge(fresh, found, at); got != want {
			t.Errorf("at %+d ms: %s, want %s", at-noon, got, want)
		}
	}
	if n := count(t, reg, "lookups_total", "stale"); n != 1 {
		t.Errorf("%v stale lookups counted", n)
	}
}

func TestStoreConfig(t *testing.T) {
	_, err := NewStore(Config{Partitions: []int32{-1, 3, 3}, TTLMS: -5})
	for _, want := range []string{"0 partitions in all", "partition -1", "named twice", "nothing says", "TTL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Readers see whole records, old or new, while one writer goes on.
func TestStoreUnderUpdates(t *testing.T) {
	s, _ := newTestStore(t)
	names := players(50)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for r := range 3 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(r)))
			var f event.Features
			last := map[string]uint64{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				name := names[rng.IntN(len(names))]
				fresh, found := s.Lookup(name, &f)
				if !found {
					continue
				}
				if want := someFeatures(name, fresh.Revision, noon); fresh.Revision < last[name] || !reflect.DeepEqual(f, want) {
					t.Errorf("%s went from revision %d to %+v", name, last[name], f)
					return
				}
				last[name] = fresh.Revision
			}
		})
	}
	for revision := range uint64(40) {
		l := log{}
		for _, name := range names {
			l.add(recordOf(someFeatures(name, revision+1, noon)))
		}
		l.play(t, s, nil, 7)
	}
	close(stop)
	group.Wait()
}

func TestLookupAllocatesNothing(t *testing.T) {
	s, _ := newTestStore(t)
	l := log{}
	l.add(recordOf(someFeatures("ada", 1, noon)))
	l.play(t, s, nil, 1)
	var f event.Features
	if n := testing.AllocsPerRun(100, func() { s.Lookup("ada", &f) }); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
}

// A player costs little memory: names of 18 bytes, features of a player active in three of four windows.
func TestStoreMemory(t *testing.T) {
	const n = 30_000
	names := players(n)
	s, reg := newTestStore(t)
	before := heap()
	for _, name := range names {
		l := []event.Record{recordOf(someFeatures(name, 1, noon))}
		if err := s.Apply(Batch{Partition: partitionOf(name), Records: l, Next: 1, End: 1}); err != nil {
			t.Fatal(err)
		}
	}
	perPlayer := float64(heap()-before) / n
	t.Logf("%.0f B of heap a player, of which %.0f B name and packed features", perPlayer, count(t, reg, "bytes")/n)
	if perPlayer > 300 {
		t.Errorf("%.0f B a player, want at most 300", perPlayer)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(names)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkLookup(b *testing.B) {
	s, _ := newTestStore(b)
	names := players(10_000)
	l := log{}
	for _, name := range names {
		l.add(recordOf(someFeatures(name, 1, noon)))
	}
	l.play(b, s, nil, 1000)
	var f event.Features
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, found := s.Lookup(names[i%len(names)], &f); !found {
			b.Fatal(names[i%len(names)])
		}
		i++
	}
}

func BenchmarkApply(b *testing.B) {
	s, _ := newTestStore(b)
	names := players(10_000)
	var batches []Batch
	for _, name := range names {
		batches = append(batches, Batch{Partition: partitionOf(name), Records: []event.Record{recordOf(someFeatures(name, 1, noon))}, Next: 1, End: 1})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := s.Apply(batches[i%len(batches)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
