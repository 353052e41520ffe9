package processors

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/google/uuid"
)

func aliasing(buffer []byte) string { return unsafe.String(&buffer[0], len(buffer)) }

func id(n uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[8:], n+1)
	return id
}

// TestSeenAgainstModel compares random transactions with a plain map.
func TestSeenAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			s := newSeen()
			committed := map[uuid.UUID]int64{} // to event time
			log := map[string][]byte{}
			clock, horizon := int64(0), int64(never)
			for range 60 {
				staged := maps.Clone(committed)
				for range r.IntN(200) {
					n := r.Uint64N(600)
					at := clock + int64(n%7)*bucketMS/3 - int64(n%5)*1000
					if at <= horizon {
						continue
					}
					if old, had := staged[id(n)]; had {
						at = old // a resend carries the same event time
					}
					_, want := staged[id(n)]
					if got := s.has(id(n), at); got != want {
						t.Fatalf("has(%d) = %v", n, got)
					}
					s.add(id(n), at)
					staged[id(n)] = at
				}
				next := horizon
				if r.IntN(3) == 0 {
					clock += int64(r.IntN(3 * bucketMS))
					next = max(horizon, clock-5*bucketMS)
					s.expire(next)
				}
				entries := map[string][]byte{}
				s.changes(func(minute int64, block int, ids []uuid.UUID) {
					key := fmt.Sprintf("%d/%d", minute, block)
					if _, twice := entries[key]; twice {
						t.Fatalf("%s changes twice", key)
					}
					entries[key] = nil
					if ids != nil {
						entries[key] = []byte{blockVersion}
						for _, id := range ids {
							entries[key] = append(entries[key], id[:]...)
						}
					}
				})
				if r.IntN(3) == 0 {
					s.rollback()
				} else {
					s.commit()
					horizon, committed = next, staged
					maps.DeleteFunc(committed, func(_ uuid.UUID, at int64) bool { return (minuteOf(at)+1)*bucketMS-1 <= horizon })
					maps.Copy(log, entries)
				}
				restored := newSeen()
				for key, value := range log {
					if err := restored.restore(key, value); err != nil {
						t.Fatal(err)
					}
				}
				for name, s := range map[string]*seen{"live": s, "restored": restored} {
					if s.count != len(committed) {
						t.Fatalf("%s: %d IDs, model %d", name, s.count, len(committed))
					}
					for id, at := range committed {
						if !s.has(id, at) {
							t.Fatalf("%s: forgot %v of %d", name, id, at)
						}
					}
				}
				if r.IntN(5) == 0 {
					s = restored
				}
			}
			live := slices.DeleteFunc(slices.Collect(maps.Values(log)), func(v []byte) bool { return v == nil })
			if minutes := (clock+3*bucketMS-horizon)/bucketMS + 2; horizon != never && int64(len(live)) > minutes*100 {
				t.Errorf("%d live blocks for %d minutes", len(live), minutes)
			}
		})
	}
}

func TestSeenRefusesForeignBlocks(t *testing.T) {
	good := append([]byte{blockVersion}, make([]byte, 32)...)
	for _, c := range []struct {
		key   string
		value []byte
	}{
		{"x/0", good}, {"1", good}, {"1/x", good}, {"1/-1", good}, {"1/0", []byte{}}, {"1/0", good[:20]}, {"1/0", append([]byte{9}, good[1:]...)},
	} {
		if err := newSeen().restore(c.key, c.value); err == nil {
			t.Errorf("restore(%q, %d bytes) was accepted", c.key, len(c.value))
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	s := newSeen()
	n, at := uint64(0), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], n*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(u[8:], n*0xd1342543de82ef95)
		if n%20 == 0 {
			at++
		}
		if !s.has(u, at) {
			s.add(u, at)
		}
		if n%10_000 == 0 {
			s.expire(at - 600_000)
			s.commit()
		}
	}
}
