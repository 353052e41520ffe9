package velocity

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/wire"
)

// seed is new on every run, so that properties meet new cases; failures name it.
func seed(t testing.TB) (uint64, *rand.Rand) {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	t.Logf("seed %d", s)
	return s, rand.New(rand.NewPCG(s, 0))
}

func TestMarks(t *testing.T) {
	const never = 0
	for _, c := range []struct {
		name string
		// at holds the first times of the five steps; each step has its own POP: L, I, C, S, P.
		at [event.NumSteps]int64
		// players lists the POP of each counted step, "" where it is not counted.
		players [event.NumSteps]string
		gapAt   int64
		gapPOP  string
		// conversion is at at[4] when POP is not ""; panes is −1 when no landing precedes it.
		conversionPOP string
		panes         int
	}{
		{name: "nothing"},
		{name: "landing only", at: [5]int64{10}, players: [5]string{"L"}},
		{name: "whole way at the landing's POP", at: [5]int64{10, 20, 30, 40, 50},
			players: [5]string{"L", "L", "L", "L", "L"}, conversionPOP: "L", panes: 4},
		{name: "all in one millisecond is in order", at: [5]int64{10, 10, 10, 10, 10},
			players: [5]string{"L", "L", "L", "L", "L"}, conversionPOP: "L", panes: 0},
		{name: "completed without click", at: [5]int64{10, 20, never, 40, 55},
			players: [5]string{"L", "L"}, gapAt: 40, gapPOP: "L", conversionPOP: "L", panes: 4},
		{name: "click after started", at: [5]int64{10, 20, 45, 40, 55},
			players: [5]string{"L", "L", "L"}, gapAt: 40, gapPOP: "L", conversionPOP: "L", panes: 4},
		{name: "impression before landing breaks all that follows", at: [5]int64{20, 10, 30, never, never},
			players: [5]string{"L"}, gapAt: 10, gapPOP: "I"},
		{name: "no landing", at: [5]int64{never, 20, 30, 40, 50},
			gapAt: 20, gapPOP: "I", conversionPOP: "P", panes: -1},
		{name: "landing after the purchase enters no funnel", at: [5]int64{60, 70, never, never, 50},
			gapAt: 50, gapPOP: "P", conversionPOP: "P", panes: -1},
		{name: "landing with the purchase", at: [5]int64{50, never, never, never, 50},
			players: [5]string{"L"}, gapAt: 50, gapPOP: "L", conversionPOP: "L", panes: 0},
		{name: "purchase before the impression keeps the impression", at: [5]int64{10, 40, never, never, 30},
			players: [5]string{"L", "L"}, gapAt: 30, gapPOP: "L", conversionPOP: "L", panes: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := journey{at: c.at, pop: [5]string{"L", "I", "C", "S", "P"}}
			var want [numSlots]mark
			for step, pop := range c.players {
				if pop != "" {
					want[step] = mark{counts: true, start: c.at[step] / 10 * 10, pop: pop}
				}
			}
			if c.gapPOP != "" {
				want[slotGap] = mark{counts: true, start: c.gapAt / 10 * 10, pop: c.gapPOP}
			}
			if c.conversionPOP != "" {
				want[slotConversion] = mark{counts: true, start: c.at[4] / 10 * 10, pop: c.conversionPOP, panes: uint32(c.panes + 1)}
			}
			if got := j.marks(10); got != want {
				t.Errorf("marks\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

// An event at t must leave every mark before t's pane as it was: this is what keeps
// corrections out of final panes.
func TestMarksNeverChangeThePast(t *testing.T) {
	_, random := seed(t)
	pops := []string{"a", "b", "c"}
	const width = 10
	moved := 0
	for range 50_000 {
		var j journey
		for step := range j.at {
			if random.IntN(4) > 0 {
				j.at[step], j.pop[step] = 1+random.Int64N(12*width), pops[random.IntN(3)]
			}
		}
		step, at, pop := random.IntN(event.NumSteps), 1+random.Int64N(12*width), pops[random.IntN(3)]
		if !j.improves(step, at, pop) {
			continue
		}
		before := j.marks(width)
		old := j
		j.at[step], j.pop[step] = at, pop
		after := j.marks(width)
		for slot := range after {
			if before[slot] == after[slot] {
				continue
			}
			moved++
			for _, m := range []mark{before[slot], after[slot]} {
				if m.counts && m.start < processors.PaneStart(at, width) {
					t.Fatalf("step %d at %d (%s) changed slot %d of pane %d\nbefore %+v\nafter  %+v", step, at, pop, slot, m.start, old, j)
				}
			}
		}
	}
	if moved == 0 {
		t.Fatal("no mark ever moved")
	}
}

func randomJourney(random *rand.Rand) journey {
	j := journey{end: random.Int64N(1 << 45)}
	pops := []string{"", "fra", "sin", "a-long-name-of-a-location"}
	for step := range j.at {
		if random.IntN(3) > 0 {
			j.at[step], j.pop[step] = 1+random.Int64N(1<<45), pops[random.IntN(len(pops))]
		}
	}
	return j
}

func TestJourneyCodec(t *testing.T) {
	_, random := seed(t)
	codec := journeyCodec{paneMS: DefaultPaneMS, names: &wire.Names{}}
	for range 2000 {
		want := randomJourney(random)
		data := codec.Append(nil, &want)
		got := randomJourney(random) // Decode must set every field
		if err := codec.Decode(data, &got); err != nil || got != want {
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

func FuzzJourneyCodec(f *testing.F) {
	codec := journeyCodec{paneMS: DefaultPaneMS, names: &wire.Names{}}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		j := randomJourney(random)
		f.Add(codec.Append(nil, &j))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var j, again journey
		if codec.Decode(data, &j) != nil {
			return
		}
		if err := codec.Decode(codec.Append(nil, &j), &again); err != nil || again != j {
			t.Errorf("%v\n got %+v\nwant %+v", err, again, j)
		}
	})
}
