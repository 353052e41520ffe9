package edgecost

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

func TestStateOfEarlierVersions(t *testing.T) {
	n := &wire.Names{}
	random := rand.New(rand.NewPCG(9, 9))
	cells, conversions := cellCodec{paneMS: minuteMS, names: n}, conversionCodec{paneMS: minuteMS, names: n}
	var someCells, someConversions [][]byte
	for range 4 {
		c, s := randomCell(random), randomConversion(random)
		someCells, someConversions = append(someCells, cells.Append(nil, &c)), append(someConversions, conversions.Append(nil, &s))
	}
	statetest.Check(t, statetest.Kind{Name: "cell", Newest: cellVersion, Samples: someCells, Read: statetest.ReadWith(cells)})
	statetest.Check(t, statetest.Kind{Name: "conversion", Newest: conversionVersion, Samples: someConversions, Read: statetest.ReadWith(conversions)})
	statetest.Check(t, statetest.Kind{
		Name: "horizon", Newest: wire.HorizonVersion, Samples: [][]byte{wire.HorizonCodec{}.Append(nil, &wire.Horizon{At: 1_772_452_800_000})}, Read: statetest.ReadWith(wire.HorizonCodec{}),
	})
}

func randomCell(random *rand.Rand) cell {
	return cell{
		start: random.Int64N(1<<24) * minuteMS, revision: random.Uint64N(1 << 20), newest: random.Int64N(1 << 41), samples: random.Uint64N(1 << 30),
		rate: float64(random.IntN(5)) / 4, conversions: random.Uint32N(1000), cost: random.Int64N(1 << 50), currency: []string{"", "USD"}[random.IntN(2)],
		usage: edgebudget.Usage{Requests: random.Int64N(1 << 50), CPU: random.Int64N(1 << 50), Egress: random.Int64N(1 << 60)},
	}
}

func randomConversion(random *rand.Rand) conversion {
	names := []string{"", "fra", "a-long-name"}
	return conversion{at: random.Int64N(1 << 41), end: random.Int64N(1 << 41), pop: names[random.IntN(3)], creator: names[random.IntN(3)], prices: names[random.IntN(3)]}
}

// Every state reads back whole, and no prefix of it nor anything longer does.
func TestCodecs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	n := &wire.Names{}
	for range 500 {
		c, s := randomCell(random), randomConversion(random)
		checkCodec(t, cellCodec{paneMS: minuteMS, names: n}, c)
		checkCodec(t, conversionCodec{paneMS: minuteMS, names: n}, s)
	}
}

func checkCodec[S any](t *testing.T, codec processors.Codec[S], want S) {
	t.Helper()
	data := codec.Append(nil, &want)
	var got S
	if err := codec.Decode(data, &got); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for i := range data {
		if codec.Decode(data[:i], &got) == nil {
			t.Fatalf("a prefix of %d bytes of %x is accepted", i, data)
		}
	}
	if codec.Decode(append(data, 0), &got) == nil {
		t.Fatalf("%x and a byte more is accepted", data)
	}
}
