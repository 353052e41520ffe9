package experiments

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
)

type armID struct{ language, variant string }

// history is a seeded mess: exposures to both variants, purchases before, between and after them, refunds with and without
// the purchase's time.
func history(random *rand.Rand, n int) (h []*event.Event) {
	grain := []int64{1, 1000, 10 * minute}[random.IntN(3)]
	for range n {
		at := start - 5*minute + random.Int64N(75*minute/grain)*grain
		who := fmt.Sprintf("p%d", random.IntN(40))
		switch random.IntN(4) {
		case 0, 1:
			h = append(h, shown(who, []string{"a", "b"}[random.IntN(2)], []string{"", "fr", "de"}[random.IntN(3)], at))
		case 2:
			h = append(h, paid(event.CheckoutCompleted, who, at, 0))
		default:
			purchase := at - random.Int64N(20*minute)
			if random.IntN(4) == 0 {
				purchase = 0
			}
			h = append(h, paid([]event.Type{event.CheckoutRefunded, event.CheckoutChargeback}[random.IntN(2)], who, at+random.Int64N(100*minute), purchase))
		}
		h[len(h)-1].Synthetic = random.IntN(20) == 0
	}
	return h
}

// reference walks each player's events in order of time: the definition, without the difficulty.
func reference(h []*event.Event) map[armID]counts {
	x := cta()
	design := experiment.Design{ID: x.ID, Salt: x.Salt, Traffic: x.TrafficBPS, Shares: []uint32{5000, 5000}}
	byPlayer := map[string][]*event.Event{}
	for _, ev := range h {
		if !ev.Synthetic {
			byPlayer[ev.PlayerID] = append(byPlayer[ev.PlayerID], ev)
		}
	}
	arms := map[armID]counts{}
	for who, events := range byPlayer {
		assigned := design.Variant(who)
		var exposures []*event.Event
		for _, ev := range events {
			if ev.Type == event.CTAExposure && ev.EventTime < end && assigned != experiment.None {
				exposures = append(exposures, ev)
			}
		}
		if len(exposures) == 0 {
			continue
		}
		slices.SortFunc(exposures, func(a, b *event.Event) int {
			return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.Player.Variant, b.Player.Variant), cmp.Compare(a.Language, b.Language))
		})
		first := exposures[0]
		c := counts{exposed: 1}
		if first.Player.Variant != x.Variants[assigned].Name {
			c.misassigned = 1
		}
		for _, ev := range exposures {
			if ev.Player.Variant != first.Player.Variant {
				c.crossed = 1
			}
		}
		returned := false
		for _, ev := range events {
			switch purchase := ev.Checkout.OriginalTime; ev.Type {
			case event.CheckoutCompleted:
				if ev.EventTime >= first.EventTime && ev.EventTime < end {
					c.converted = 1
				}
			case event.CheckoutRefunded, event.CheckoutChargeback:
				if purchase == 0 {
					purchase = min(ev.EventTime, end-1)
				}
				returned = returned || purchase >= first.EventTime && purchase < end
			}
		}
		if returned {
			c.refunded = c.converted
		}
		id := armID{first.Language, first.Player.Variant}
		arms[id] = arms[id].plus(c, 1)
	}
	return arms
}

// play sends h in a random order, in transactions of random size, some of them rolled back and repeated, some followed by a restart.
func play(t *testing.T, random *rand.Rand, partition int32, h []*event.Event, each func([]event.Record)) *bench {
	b := newBench(t, partition, oneDrop(cta()))
	h = slices.Clone(h)
	random.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
	for len(h) > 0 {
		n := min(len(h), 1+random.IntN(30))
		for attempt := 0; ; attempt++ {
			b.apply(h[:n]...)
			if attempt < 3 && random.IntN(6) == 0 {
				b.rollback()
				continue
			}
			records := b.flush(start)
			if attempt < 3 && random.IntN(4) == 0 {
				b.rollback()
				continue
			}
			b.commit(records)
			each(records)
			break
		}
		h = h[n:]
		if random.IntN(6) == 0 {
			b.restart()
		}
	}
	each(b.turn(end - 1 + late))
	for key, a := range b.newest {
		if a.Maturity != event.Final || a.RefundMaturity != event.Provisional {
			t.Errorf("%s is %v, its refunds %v", key, a.Maturity, a.RefundMaturity)
		}
	}
	each(b.turn(end - 1 + late + DefaultRefundMS))
	for key, a := range b.newest {
		if a.RefundMaturity != event.Final {
			t.Errorf("%s: refunds ended %v", key, a.RefundMaturity)
		}
	}
	if left := b.rule.players.Len() + b.rule.arms.Len(); left != 0 || b.rule.outcomes[refused] != 0 {
		t.Errorf("%d keys left, %d refused", left, b.rule.outcomes[refused])
	}
	return b
}

func totalsOf(arms map[string]event.ExperimentArm) map[armID]counts {
	all := map[armID]counts{}
	for _, a := range arms {
		id := armID{a.Language, a.Variant}
		all[id] = all[id].plus(counts{a.Exposed, a.Converted, a.Refunded, a.Crossed, a.Misassigned}, 1)
	}
	maps.DeleteFunc(all, func(_ armID, c counts) bool { return c == counts{} })
	return all
}

func TestAnyOrderEndsInTheReference(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(64, seed))
		h := history(random, 10+random.IntN(300))
		want := reference(h)
		for range 2 {
			if got := totalsOf(play(t, random, 0, h, func([]event.Record) {}).newest); !maps.Equal(got, want) {
				t.Fatalf("seed %d:\n got %+v\nwant %+v", seed, got, want)
			}
		}
	}
}

// TestPartitionsAddUpInTheRollup: what three partitions publish, revision by revision, is in the rollup what one would have counted.
func TestPartitionsAddUpInTheRollup(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(65, seed))
		h := history(random, 400)
		var parts [3][]*event.Event
		for _, ev := range h {
			sum := fnv.New32a()
			sum.Write([]byte(ev.PlayerID))
			i := sum.Sum32() % 3
			parts[i] = append(parts[i], ev)
		}
		s := newRollupBench(t, RollupConfig{BurnIn: 1, MisassignedShare: 0.99}, oneDrop(cta()))
		for i, part := range parts {
			play(t, random, int32(i), part, func(records []event.Record) { s.turn(start+minute, random.IntN(3) == 0, records...) })
		}
		s.turn(end+late, true)
		want := reference(h)
		got := map[armID]counts{}
		b := s.rule.boards.Get("d")
		for _, g := range b.groups {
			for _, a := range g.arms {
				c := counts{uint32(a.counts.exposed), uint32(a.counts.converted), uint32(a.counts.refunded), uint32(a.counts.crossed), uint32(a.counts.misassigned)}
				if g.language != allLanguages && c != (counts{}) {
					got[armID{g.language, a.variant}] = c
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d:\n got %+v\nwant %+v", seed, got, want)
		}
		if b.open != 0 || b.openRefunds != 0 || s.rule.parts.Len() != 0 {
			t.Errorf("seed %d: %d and %d open, %d parts", seed, b.open, b.openRefunds, s.rule.parts.Len())
		}
		for key, e := range s.newest {
			if e.Maturity != event.Final {
				t.Errorf("seed %d: %s ended %v", seed, key, e.Maturity)
			}
		}
	}
}
