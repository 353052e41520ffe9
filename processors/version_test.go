package processors_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
)

// The runtime's own entries: how far event time has come, and the IDs of a minute.
func TestStateOfEarlierVersions(t *testing.T) {
	entries := func(p *processors.Partition) map[string][]byte {
		all := map[string][]byte{}
		p.Snapshot(func(key string, value []byte) { all[strings.Clone(key)] = append([]byte(nil), value...) })
		return all
	}
	newPartition := func() *processors.Partition {
		return processors.NewPartition(3, processors.Config{Inputs: inputs}, catalogue{"d1": {}}, nil)
	}
	p, h := newPartition(), &history{Rand: rand.New(rand.NewPCG(5, 11)), clock: 1_772_452_800_000}
	before := entries(p)["_/progress"]
	for i := range int64(20) {
		p.Process(h.record(i))
	}
	p.Flush(h.clock, []bool{false, false})
	p.Commit()

	read := func(key string) func(data []byte) (string, []byte, error) {
		return func(data []byte) (string, []byte, error) {
			p := newPartition()
			if err := p.Restore(key, data); err != nil {
				return "", nil, err
			}
			s := p.Stats()
			return fmt.Sprintf("watermark %d, %d IDs", s.Watermark, s.StateKeys), entries(p)[key], nil
		}
	}
	statetest.Check(t, statetest.Kind{
		Name: "progress", Newest: 1, Samples: [][]byte{before, entries(p)["_/progress"]}, Read: read("_/progress"),
	})
	// The order of IDs in a block means nothing, and is that of a table.
	const block = "_/ids/player/29540880/0"
	ids := append([]byte{1}, make([]byte, 16*3)...)
	for i := range 3 {
		binary.BigEndian.PutUint64(ids[1+16*i:], uint64(i+1)*0x9e3779b97f4a7c15)
	}
	q := newPartition()
	if err := q.Restore(block, ids); err != nil {
		t.Fatal(err)
	}
	statetest.Check(t, statetest.Kind{Name: "ids", Newest: 1, Samples: [][]byte{entries(q)[block]}, Read: read(block)})
}

// score is a state whose second version has one field more.
type score struct{ points, bonus int64 }

// scoreCodec writes its version, and reads all up to it.
type scoreCodec struct{ newest byte }

func (c scoreCodec) Append(dst []byte, s *score) []byte {
	dst = binary.AppendVarint(append(dst, c.newest), s.points)
	if c.newest >= 2 {
		dst = binary.AppendVarint(dst, s.bonus)
	}
	return dst
}

func (c scoreCodec) Decode(data []byte, s *score) error {
	version, rest, err := processors.Version(data, c.newest)
	if err != nil {
		return err
	}
	*s = score{}
	fields := []*int64{&s.points, &s.bonus}[:version]
	for _, v := range fields {
		var n int
		if *v, n = binary.Varint(rest); n <= 0 {
			return errors.New("score cut short")
		}
		rest = rest[n:]
	}
	if version == 1 {
		s.bonus = s.points / 10 // what the second version would have made of it
	}
	return nil
}

func (scoreCodec) Deadline(*score) int64 { return 0 }

// A program with a second version reads the first one's state, and writes a key anew when a transaction first
// changes it; the first program refuses what the second has written.
func TestTableUpgradesOnFirstTouch(t *testing.T) {
	old := processors.NewTable("scores", processors.Codec[score](scoreCodec{1}))
	for i, key := range []string{"touched", "read", "left"} {
		s, _ := old.Put(key)
		s.points = int64(100 * (i + 1))
	}
	log := map[string][]byte{}
	changes := func(table *processors.Table[score]) (versions map[string]byte) {
		versions = map[string]byte{}
		table.Changes(func(key string, value []byte) {
			versions[strings.Clone(key)] = value[8]
			log[strings.Clone(key)] = append([]byte(nil), value...)
		})
		table.Commit()
		return versions
	}
	if got := fmt.Sprint(changes(old)); got != "map[left:1 read:1 touched:1]" {
		t.Fatalf("the first program writes %s", got)
	}

	table := processors.NewTable("scores", processors.Codec[score](scoreCodec{2}))
	for key, value := range log {
		if err := table.Restore(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if s := table.Get("read"); s == nil || *s != (score{200, 20}) {
		t.Errorf("the second program reads %v", s)
	}
	s, created := table.Put("touched")
	if created || *s != (score{100, 10}) {
		t.Errorf("the second program changes %v", *s)
	}
	s.bonus++
	if got := fmt.Sprint(changes(table)); got != "map[touched:2]" {
		t.Errorf("the second program writes %s", got)
	}
	snapshot := map[string]byte{}
	table.Snapshot(func(key string, value []byte) { snapshot[key] = value[8] })
	if got := fmt.Sprint(snapshot); got != "map[left:1 read:1 touched:2]" {
		t.Errorf("the second program's snapshot is %s", got)
	}
	all := map[string]score{}
	again := processors.NewTable("scores", processors.Codec[score](scoreCodec{2}))
	for key, value := range log {
		if err := again.Restore(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := again.Each(func(key string, s *score) { all[key] = *s }); err != nil || fmt.Sprint(all) != "map[left:{300 30} read:{200 20} touched:{100 11}]" {
		t.Errorf("restored from both versions: %v, %v", all, err)
	}

	back := processors.NewTable("scores", processors.Codec[score](scoreCodec{1}))
	err := back.Restore("touched", log["touched"])
	var unknown *processors.VersionError
	if !errors.As(err, &unknown) || unknown.Version != 2 || unknown.Newest != 1 || !strings.Contains(err.Error(), "a newer droplift wrote it") {
		t.Errorf("the first program, of what the second wrote: %v", err)
	}
}

func TestVersion(t *testing.T) {
	for _, c := range []struct {
		data string
		want byte
		rest string
		err  string
	}{
		{"\x01abc", 1, "abc", ""}, {"\x03", 3, "", ""}, {"\x04abc", 0, "", "a newer droplift wrote it, this one reads versions up to 3"},
		{"\x00abc", 0, "", "no droplift wrote"}, {"", 0, "", "no bytes"},
	} {
		version, rest, err := processors.Version([]byte(c.data), 3)
		if version != c.want || string(rest) != c.rest || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %d %q %v", c.data, version, rest, err)
		}
	}
}
