package processors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// counter is the simplest state with a deadline and something that a reused
// state could leave behind.
type counter struct {
	n, deadline int64
	notes       []int64
}

func (c counter) equal(d counter) bool {
	return c.n == d.n && c.deadline == d.deadline && slices.Equal(c.notes, d.notes)
}

type counterCodec struct{}

func (counterCodec) Append(dst []byte, c *counter) []byte {
	dst = append(dst, 1)
	for _, v := range append([]int64{c.n, c.deadline}, c.notes...) {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func (counterCodec) Decode(data []byte, c *counter) error {
	if len(data) < 3 || data[0] != 1 {
		return errors.New("not a counter")
	}
	c.notes = c.notes[:0]
	data = data[1:]
	for i := 0; len(data) > 0; i++ {
		v, n := binary.Varint(data)
		if n <= 0 {
			return errors.New("cut short")
		}
		data = data[n:]
		switch i {
		case 0:
			c.n = v
		case 1:
			c.deadline = v
		default:
			c.notes = append(c.notes, v)
		}
	}
	return nil
}

func (counterCodec) Deadline(c *counter) int64 { return c.deadline }

func contents(t *testing.T, table *Table[counter]) map[string]counter {
	t.Helper()
	got := map[string]counter{}
	if err := table.Each(func(key string, c *counter) {
		if _, twice := got[key]; twice {
			t.Fatalf("Each handed out %q twice", key)
		}
		got[strings.Clone(key)] = counter{c.n, c.deadline, slices.Clone(c.notes)}
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func equal(a, b map[string]counter) bool { return maps.EqualFunc(a, b, counter.equal) }

// TestTableAgainstModel runs random transactions on a table and on plain maps.
func TestTableAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			table := NewTable("counters", counterCodec{})
			committed := map[string]counter{}
			log := map[string][]byte{}
			now := int64(100)
			for range 80 {
				staged := maps.Clone(committed)
				touched := map[string]bool{}
				handed := map[string]bool{}
				var due func()
				put := func() {
					buffer := []byte(strconv.Itoa(r.IntN(25)))
					c, created := table.Put(string(buffer))
					key := string(buffer)
					model, had := staged[key]
					if created == had {
						t.Fatalf("Put(%s) created %v, model has it: %v", key, created, had)
					}
					if !c.equal(model) {
						t.Fatalf("Put(%s) gives %v, model %v", key, *c, model)
					}
					c.n++
					if r.IntN(3) > 0 {
						c.deadline = now + int64(r.IntN(60)) - 20
					}
					if r.IntN(6) == 0 {
						c.deadline = 0
					}
					if r.IntN(2) == 0 {
						c.notes = append(c.notes, c.n)
					}
					staged[key] = counter{c.n, c.deadline, slices.Clone(c.notes)}
					touched[key] = true
				}
				remove := func() {
					key := strconv.Itoa(r.IntN(25))
					table.Delete(key)
					delete(staged, key)
					touched[key] = true
				}
				due = func() {
					var want []string
					for key, c := range staged {
						if c.deadline != 0 && c.deadline <= now && !handed[key] {
							want = append(want, key)
						}
					}
					slices.SortFunc(want, func(a, b string) int {
						if d := staged[a].deadline - staged[b].deadline; d != 0 {
							return int(d)
						}
						return strings.Compare(a, b)
					})
					var got []string
					table.Due(now, func(key string, c *counter) {
						got = append(got, key)
						handed[key] = true
						if !c.equal(staged[key]) {
							t.Fatalf("Due hands out %s as %v, model %v", key, *c, staged[key])
						}
						switch r.IntN(3) {
						case 0:
							table.Delete(key)
							delete(staged, key)
							touched[key] = true
						case 1:
							c, _ := table.Put(key)
							c.deadline = now + int64(r.IntN(30))
							staged[key] = counter{c.n, c.deadline, slices.Clone(c.notes)}
							touched[key] = true
						}
					})
					if !slices.Equal(got, want) {
						t.Fatalf("due at %d: %v, model %v", now, got, want)
					}
				}
				for range r.IntN(30) {
					switch r.IntN(10) {
					case 0, 1, 2, 3, 4:
						put()
					case 5, 6:
						remove()
					case 7:
						key := strconv.Itoa(r.IntN(25))
						c := table.Get(key)
						if model, had := staged[key]; had != (c != nil) || had && !c.equal(model) {
							t.Fatalf("Get(%s) = %v, model %v", key, c, model)
						}
					case 8:
						due()
					case 9:
						if got := contents(t, table); !equal(got, staged) {
							t.Fatalf("staged contents %v, model %v", got, staged)
						}
					}
				}
				due()
				changed := map[string]bool{}
				table.Changed(func(key string, c *counter) {
					if changed[key] || !touched[key] || !c.equal(staged[key]) {
						t.Fatalf("Changed hands out %s as %v, model %v", key, *c, staged[key])
					}
					changed[key] = true
				})
				for key := range touched {
					if _, live := staged[key]; live && !changed[key] {
						t.Fatalf("Changed left out %s", key)
					}
				}
				now += int64(r.IntN(15))

				entries := map[string][]byte{}
				table.Changes(func(key string, value []byte) {
					if _, twice := entries[key]; twice || !touched[key] {
						t.Fatalf("change of %s is unexpected", key)
					}
					entries[strings.Clone(key)] = slices.Clone(value)
				})
				if r.IntN(3) == 0 {
					table.Rollback()
				} else {
					table.Commit()
					committed = staged
					for key, value := range entries {
						if value == nil {
							delete(log, key)
						} else {
							log[key] = value
						}
					}
				}
				if got := contents(t, table); !equal(got, committed) {
					t.Fatalf("contents %v, model %v", got, committed)
				}
				snapshot := map[string][]byte{}
				table.Snapshot(func(key string, value []byte) { snapshot[key] = slices.Clone(value) })
				if !maps.EqualFunc(snapshot, log, slices.Equal[[]byte]) {
					t.Fatalf("snapshot %v, the log has %v", snapshot, log)
				}
				restored := NewTable("counters", counterCodec{})
				var bytes int64
				for key, value := range log {
					if r.IntN(3) == 0 { // an older value of the key comes first
						if err := restored.Restore(key, counterValue(counter{n: -1, deadline: 1})); err != nil {
							t.Fatal(err)
						}
					}
					if err := restored.Restore(key, value); err != nil {
						t.Fatal(err)
					}
					bytes += int64(len(key) + len(value))
				}
				if got := contents(t, restored); !equal(got, committed) {
					t.Fatalf("restored %v, model %v", got, committed)
				}
				for _, table := range []*Table[counter]{table, restored} {
					if table.Len() != len(committed) || table.Bytes() != bytes {
						t.Fatalf("%d keys of %d bytes, model %d of %d", table.Len(), table.Bytes(), len(committed), bytes)
					}
				}
				if r.IntN(4) == 0 {
					table = restored
				}
				if n := len(table.queue); n > 10*25 {
					t.Fatalf("%d hints for 25 keys", n)
				}
			}
		})
	}
}

func counterValue(c counter) []byte {
	return counterCodec{}.Append(binary.LittleEndian.AppendUint64(nil, uint64(c.deadline)), &c)
}

// A key's hints must not pile up however its deadline moves.
func TestTableHintsStayBounded(t *testing.T) {
	table := NewTable("counters", counterCodec{})
	for i := range int64(1000) {
		c, _ := table.Put("k")
		c.deadline = 10_000 + i + (i%2)*500
		table.Commit()
	}
	if n := len(table.queue); n != 1 {
		t.Errorf("%d hints for one key whose deadline only moved later", n)
	}
	handed := 0
	for now := int64(9_000); now < 13_000; now += 10 {
		table.Due(now, func(key string, _ *counter) { handed++; table.Delete(key) })
		table.Commit()
	}
	if handed != 1 || len(table.queue) != 0 || table.Len() != 0 {
		t.Errorf("handed out %d times, %d hints and %d keys left", handed, len(table.queue), table.Len())
	}
}

// Put after Changes, or Commit without Changes, must not lose the newer state.
func TestTableCommitsTheNewestState(t *testing.T) {
	table := NewTable("counters", counterCodec{})
	c, _ := table.Put("k")
	c.n = 1
	table.Changes(func(string, []byte) {})
	c, _ = table.Put("k")
	c.n = 2
	table.Commit()
	if got := table.Get("k"); got == nil || got.n != 2 {
		t.Errorf("committed %v", got)
	}
}

func TestTableKeysDoNotAliasTheCallersBuffer(t *testing.T) {
	table := NewTable("counters", counterCodec{})
	buffer := []byte("aaa")
	c, _ := table.Put(aliasing(buffer))
	c.n = 1
	copy(buffer, "bbb")
	table.Commit()
	if table.Get("aaa") == nil || table.Get("bbb") != nil {
		t.Error("the key changed with the buffer")
	}
}

func TestTableRefusesForeignValues(t *testing.T) {
	table := NewTable("counters", counterCodec{})
	for name, value := range map[string][]byte{
		"no deadline": {1, 2, 3}, "another version": append(make([]byte, 8), 9, 0, 0), "empty": {}, "cut short": append(make([]byte, 8), 1, 0, 0x80),
	} {
		if err := table.Restore("k", value); err == nil || !strings.Contains(err.Error(), `table counters, key "k"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if table.Len() != 0 || table.Get("k") != nil {
		t.Error("a refused value was kept")
	}
}

func BenchmarkTablePutCommit(b *testing.B) {
	for _, keys := range []int{1_000, 20_000} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			table := NewTable("counters", counterCodec{})
			names := make([]string, 100_000)
			for i := range names {
				names[i] = fmt.Sprintf("player-%08d-abcdef", i)
				c, _ := table.Put(names[i])
				c.notes = append(c.notes, 1, 2, 3, 4, 5, 6, 7, 8)
				c.deadline = int64(i + 1)
			}
			table.Commit()
			r := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				for range keys {
					c, _ := table.Put(names[r.IntN(len(names))])
					c.n++
				}
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/put")
		})
	}
}
