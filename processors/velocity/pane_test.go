package velocity

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/wire"
)

func randomPane(random *rand.Rand, width int64) pane {
	p := pane{start: random.Int64N(1<<40) * width, revision: random.Uint64N(1000)}
	p.counts(func(n *uint32) { *n = random.Uint32() >> random.IntN(33) })
	panes := uint32(0)
	for range random.IntN(4) {
		panes += 1 + random.Uint32N(500)
		p.converts = append(p.converts, event.TimeToConvert{Panes: panes, Count: 1 + random.Uint32N(9)})
	}
	for _, currency := range []string{"EUR", "JPY", "USD"}[:random.IntN(4)] {
		p.money = append(p.money, event.Money{Currency: currency, Gross: random.Int64(), Refunds: random.Int64(), Chargebacks: random.Int64()})
	}
	return p
}

// samePane compares panes, no list being the same as an empty one.
func samePane(a, b pane) bool {
	return len(a.converts) == len(b.converts) && len(a.money) == len(b.money) &&
		(len(a.converts) == 0 || reflect.DeepEqual(a.converts, b.converts)) &&
		(len(a.money) == 0 || reflect.DeepEqual(a.money, b.money)) &&
		func() bool {
			a.converts, b.converts, a.money, b.money = nil, nil, nil, nil
			return reflect.DeepEqual(a, b)
		}()
}

func TestPaneCodec(t *testing.T) {
	_, random := seed(t)
	codec := paneCodec{paneMS: DefaultPaneMS, names: &wire.Names{}}
	var got pane
	for range 2000 {
		want := randomPane(random, DefaultPaneMS)
		data := codec.Append(nil, &want)
		if err := codec.Decode(data, &got); err != nil || !samePane(got, want) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
		}
		for n := range data {
			if err := codec.Decode(data[:n], &got); err == nil {
				t.Fatalf("prefix of %d bytes of %x was accepted", n, data)
			}
		}
		if err := codec.Decode(append(data, 0), &got); err == nil {
			t.Fatalf("%x with a byte more was accepted", data)
		}
	}
}

func TestPaneCodecRefusesAnotherWidth(t *testing.T) {
	n := &wire.Names{}
	data := paneCodec{paneMS: 10_000, names: n}.Append(nil, &pane{start: 50_000})
	var p pane
	err := paneCodec{paneMS: 5_000, names: n}.Decode(data, &p)
	if err == nil || !strings.Contains(err.Error(), "pane of 10000 ms, configured are 5000 ms") {
		t.Errorf("got %v", err)
	}
}

func FuzzPaneCodec(f *testing.F) {
	codec := paneCodec{paneMS: 1000, names: &wire.Names{}}
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		p := randomPane(random, 1000)
		f.Add(codec.Append(nil, &p))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, again pane
		if codec.Decode(data, &p) != nil {
			return
		}
		if err := codec.Decode(codec.Append(nil, &p), &again); err != nil || !samePane(again, p) {
			t.Errorf("%v\n got %+v\nwant %+v", err, again, p)
		}
	})
}

func TestConvertBins(t *testing.T) {
	var p pane
	for _, panes := range []uint32{7, 3, 7, 0, 9} {
		if !p.convert(panes, set) {
			t.Fatalf("could not count %d", panes)
		}
	}
	want := []event.TimeToConvert{{Panes: 0, Count: 1}, {Panes: 3, Count: 1}, {Panes: 7, Count: 2}, {Panes: 9, Count: 1}}
	if !reflect.DeepEqual(p.converts, want) {
		t.Fatalf("got %v, want %v", p.converts, want)
	}
	for _, panes := range []uint32{3, 7} {
		if !p.convert(panes, takeBack) {
			t.Fatalf("could not take %d back", panes)
		}
	}
	for _, panes := range []uint32{3, 8} {
		if p.convert(panes, takeBack) {
			t.Errorf("took %d back, which is not there", panes)
		}
	}
	want = []event.TimeToConvert{{Panes: 0, Count: 1}, {Panes: 7, Count: 1}, {Panes: 9, Count: 1}}
	if !reflect.DeepEqual(p.converts, want) {
		t.Errorf("got %v, want %v", p.converts, want)
	}
}

func TestKeys(t *testing.T) {
	for _, id := range []string{"", "d", strings.Repeat("x", 300), "a|b\\c\x00"} {
		key := string(appendPaneKey(nil, id, "pop", 20_000))
		drop, rest := wire.CutString(key)
		pop, _ := wire.CutString(rest)
		if drop != id || pop != "pop" {
			t.Errorf("key of %q came apart into %q and %q", id, drop, pop)
		}
	}
	got := string(appendRecordKey(nil, &event.Velocity{DropID: `a|b`, POP: `c\d`, PaneStart: 20_000, Partition: 7}))
	if want := `a\|b|c\\d|20000|7`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConfig(t *testing.T) {
	for width, ok := range map[int64]bool{0: true, 1: true, 1000: true, 10_000: true, 60_000: true, -1: false, 7_000: false, 120_000: false} {
		if _, err := New(Config{PaneMS: width}, 0, nil); (err == nil) != ok {
			t.Errorf("pane of %d ms: %v", width, err)
		}
	}
}
