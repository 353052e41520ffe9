package churn

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

// months are the states of players after a month, encoded as when they were last published.
func months(players int, seed uint64, history func(*rand.Rand, string, int64, int) []event.Event) (states [][]byte) {
	cfg := Config{}.withDefaults()
	for i := uint64(0); len(states) < players; i++ {
		all := history(rand.New(rand.NewPCG(seed, i)), fmt.Sprint("p", i), 1_772_452_800_000, 30)
		slices.SortStableFunc(all, func(a, b event.Event) int { return int(a.EventTime - b.EventTime) })
		p := player{revision: 77}
		for j := range all {
			e := &all[j]
			if !e.Synthetic && e.Type != event.CheckoutSettled && e.Latency.Request != event.RequestProbe {
				p.apply(e, e.EventTime, &cfg)
				p.settle(e.EventTime-610_000, e.EventTime-610_000, &cfg)
			}
		}
		if len(all) > 0 {
			p.published, p.told, p.changed = p.asOf+300, p.asOf, false
			states = append(states, playerCodec{}.Append(nil, &p))
		}
	}
	return states
}

func TestStateSurvivesEncoding(t *testing.T) {
	for i, data := range months(8, 1, visits) {
		p := player{first: 3, told: 5, changed: true, held: make([]event.Features, 2), marks: marks{list: make([]mark, 9), cut: true}, sessions: sessions{open: make([]span, 7)}} // a reused one
		if err := (playerCodec{}).Decode(data, &p); err != nil {
			t.Fatalf("state %d: %v", i, err)
		}
		if again := (playerCodec{}).Append(nil, &p); !bytes.Equal(again, data) {
			t.Fatalf("state %d changes by decoding and encoding", i)
		}
		if err := (playerCodec{}).Check(&p); err != nil {
			t.Fatalf("state %d: %v", i, err)
		}
		unpack(&p)
		if again := (playerCodec{}).Append(nil, &p); !bytes.Equal(again, data) {
			t.Fatalf("state %d changes by unpacking and packing", i)
		}
		for n := range data {
			if err := (playerCodec{}).Decode(data[:n], &p); err == nil {
				t.Fatalf("state %d: the first %d of %d bytes are accepted", i, n, len(data))
			}
		}
		if err := (playerCodec{}).Decode(append(slices.Clone(data), 0), &p); err == nil {
			t.Fatalf("state %d: a byte too many is accepted", i)
		}
		data[0]++
		if err := (playerCodec{}).Decode(data, &p); err == nil || !strings.Contains(err.Error(), "version 3") {
			t.Fatalf("state %d in another version: %v", i, err)
		}
	}
}

// unpack makes every level's list, as the next events would.
func unpack(p *player) {
	for l := range p.tiles.level {
		p.tiles.level[l].unpack()
	}
}

func FuzzPlayer(f *testing.F) {
	for _, data := range months(5, 2, visits) {
		f.Add(data)
	}
	cfg := Config{}.withDefaults()
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, q player
		if (playerCodec{}).Decode(data, &p) != nil || (playerCodec{}).Check(&p) != nil {
			return
		}
		// What passes can be used, packed or not with the same result, and its encoding is stable.
		var packed, unpacked event.Features
		p.features(&packed, &cfg)
		unpack(&p)
		p.features(&unpacked, &cfg)
		if diff := same(packed, unpacked); diff != "" {
			t.Fatal(diff)
		}
		once := playerCodec{}.Append(nil, &p)
		if err := cmp.Or((playerCodec{}).Decode(once, &q), (playerCodec{}).Check(&q)); err != nil {
			t.Fatal(err)
		}
		unpack(&q)
		if twice := (playerCodec{}).Append(nil, &q); !bytes.Equal(once, twice) {
			t.Fatalf("%x becomes %x", once, twice)
		}
	})
}

// Tiles stay packed until they are needed, so a restore must look into them.
func TestRestoreRefusesBadTiles(t *testing.T) {
	for name, pack := range map[string][]byte{
		"cut short": {2, 0}, "no tile": {2, 1, 0}, "another oldest": {4, 1, 0, 1}, "twice the same": {4, 0, 0, 1, 0, 1}, "endless number": {2, 0, 0, 1, 0x80},
		"fields missing": {2, 0, 0, maskActive | maskPlay}, "out of range": {2, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1},
	} {
		p := player{asOf: 1_772_452_800_000}
		p.tiles.level[middle] = level{packed: true, pack: pack}
		value := playerCodec{}.Append(make([]byte, 8), &p)
		if err := New(Config{}).players.Restore("p", value); err == nil || !strings.Contains(err.Error(), "tile") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSmallStates(f *testing.F) {
	f.Add([]byte{stateVersion, 3})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var p pending
		if (pendingCodec{}).Decode(data, &p) == nil {
			again := pending{}
			if err := (pendingCodec{}).Decode(pendingCodec{}.Append(nil, &p), &again); err != nil || again != p {
				t.Fatalf("%v becomes %v: %v", p, again, err)
			}
		}
		var r floor
		if (floorCodec{}).Decode(data, &r) == nil {
			again := floor{}
			if err := (floorCodec{}).Decode(floorCodec{}.Append(nil, &r), &again); err != nil || again != r {
				t.Fatalf("%v becomes %v: %v", r, again, err)
			}
		}
	})
}

func TestConfigReportsEveryProblem(t *testing.T) {
	err := Config{Heartbeat: -1, SessionGap: -1, GapAlpha: 1.5, PublishEvery: -1, ExpireAfter: day}.Validate()
	for _, want := range []string{"heartbeat", "session gap", "gap weight", "publication interval", "expiry"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestStateSize holds the typical player to DESIGN 7: 600 bytes with all windows, and even a busy one near it.
func TestStateSize(t *testing.T) {
	for name, c := range map[string]struct {
		history func(*rand.Rand, string, int64, int) []event.Event
		limit   int
	}{"typical": {typical, 450}, "busy": {visits, 850}} {
		var sizes []int
		total := 0
		for _, data := range months(50, 3, c.history) {
			sizes = append(sizes, len(data))
			total += len(data)
		}
		slices.Sort(sizes)
		mean := total / len(sizes)
		t.Logf("%s player encoded after a month: mean %d B, median %d B, p99 %d B", name, mean, sizes[len(sizes)/2], sizes[len(sizes)*99/100])
		if mean > c.limit {
			t.Errorf("%s player: mean %d B, above %d B", name, mean, c.limit)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	states := months(100, 4, typical)
	players := make([]player, len(states))
	var dst []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := &players[i%len(players)]
		if err := (playerCodec{}).Decode(states[i%len(states)], p); err != nil {
			b.Fatal(err)
		}
		dst = playerCodec{}.Append(dst[:0], p)
	}
}

// BenchmarkRestore reports the heap per restored player.
func BenchmarkRestore(b *testing.B) {
	states := months(200, 5, typical)
	const players = 200_000
	values := make([][]byte, len(states))
	for i, s := range states {
		values[i] = append(make([]byte, 8), s...)
		values[i][0] = byte(i + 1)
	}
	cpu := time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		rule, start := New(Config{}), cpuTime()
		b.StartTimer()
		for i := range players {
			if err := rule.players.Restore(fmt.Sprintf("0192f1a4c0de%020d", i), values[i%len(values)]); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		cpu += cpuTime() - start
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/players, "heap-B/player")
		runtime.KeepAlive(rule)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*players), "ns/player")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N*players), "cpu-ns/player")
}
