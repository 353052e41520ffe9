package localization

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/models/slo"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

// TestStateOfEarlierVersions holds every state's encoding, as both rules left it after a random history.
func TestStateOfEarlierVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	n := &wire.Names{}
	b := newBench(t, Config{}, catalogue{"d": twoDays()["d"], "e": {StartMS: start, EndMS: start + hourMS}})
	o := newRoom(t, ObjectivesConfig{}, twoDays())
	o.take(b.turn(start+2*minute, distinct(history(random, 60))...))
	o.flush(true)
	check(t, "cue", cueVersion, cueCodec{capMS: 60_000, names: n}, b.rule.cues)
	check(t, "stream", streamVersion, streamCodec{names: n}, b.rule.streams)
	check(t, "pane", paneVersion, paneCodec{paneMS: 15_000}, b.rule.panes)
	check(t, "drop", watchVersion, watchCodec{names: n}, o.rule.drops)
	check(t, "cell", cellVersion, cellCodec{}, o.rule.cells)
	check(t, "chunk", chunkVersion, chunkCodec{}, o.rule.chunks)
	sample := wire.HorizonCodec{}.Append(nil, &wire.Horizon{At: start})
	statetest.Check(t, statetest.Kind{Name: "horizon", Newest: wire.HorizonVersion, Samples: [][]byte{sample}, Read: statetest.ReadWith(wire.HorizonCodec{})})
}

func check[S any](t *testing.T, name string, newest byte, codec processors.Codec[S], table *processors.Table[S]) {
	t.Helper()
	var samples [][]byte
	seen := map[string][]byte{}
	var least string
	table.Snapshot(func(key string, value []byte) {
		seen[key] = value[8:]
		if least == "" || key < least {
			least = key
		}
	})
	if len(seen) == 0 {
		t.Fatalf("no %s", name)
	}
	samples = append(samples, seen[least])
	statetest.Check(t, statetest.Kind{Name: name, Newest: newest, Samples: samples, Read: statetest.ReadWith(codec)})
	for cut := range seen[least] {
		var s S
		if codec.Decode(seen[least][:cut], &s) == nil {
			t.Errorf("%s: the first %d of %d bytes are taken for a state", name, cut, len(seen[least]))
		}
	}
}

func TestChunkReplaces(t *testing.T) {
	var c chunk
	for i := range uint64(3) {
		c.put(entry{15_000, 2, slo.Count{Valid: i, Bad: 1}})
		c.put(entry{0, 7, slo.Count{Valid: i}})
		c.put(entry{15_000, 1, slo.Count{Valid: i}})
	}
	if fmt.Sprint(c.entries) != "[{0 7 {2 0}} {15000 1 {2 0}} {15000 2 {2 1}}]" {
		t.Errorf("%v", c.entries)
	}
}
