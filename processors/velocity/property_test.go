package velocity

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

const (
	historyStart = int64(3_600_000)
	historyEnd   = historyStart + 1_200_000
)

func historyDrops() catalogue {
	return catalogue{
		"d": {Name: "d", StartMS: historyStart, EndMS: historyEnd},
		"e": {Name: "e", StartMS: historyStart, EndMS: historyEnd - 333_333},
	}
}

// history is a seeded mess: players of two drops whose steps come in any event-time
// order, before the start and after the end, in some histories often in the same millisecond.
func history(random *rand.Rand, n int) []step {
	types := append([]event.Type{event.CheckoutFailed, event.CheckoutRefunded, event.CheckoutChargeback}, funnel...)
	grain := []int64{1, 500, 50_000}[random.IntN(3)]
	var h []step
	for range n {
		h = append(h, step{
			at:     historyStart - 60_000 + random.Int64N(1_500_000/grain)*grain,
			what:   types[random.IntN(len(types))],
			player: []string{"", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12"}[random.IntN(13)],
			pop:    []string{"", "fra", "sin"}[random.IntN(3)],
			drop:   []string{"d", "e"}[random.IntN(2)],
			amount: random.Int64N(10_000), currency: []string{"EUR", "JPY"}[random.IntN(2)],
			probe: random.IntN(20) == 0,
		})
	}
	return h
}

type paneID struct {
	drop, pop string
	start     int64
}

// totals are records without what depends on the way they came about.
func totals(records ...event.Velocity) map[paneID]event.Velocity {
	sums := map[paneID]event.Velocity{}
	for _, v := range records {
		id := paneID{v.DropID, v.POP, v.PaneStart}
		s, ok := sums[id]
		if !ok {
			s = event.Velocity{DropID: v.DropID, POP: v.POP, PaneStart: v.PaneStart, PaneMS: v.PaneMS}
		}
		for i := range s.Events {
			s.Events[i] += v.Events[i]
			s.Players[i] += v.Players[i]
		}
		s.FunnelGap += v.FunnelGap
		s.Failed += v.Failed
		s.Refunded += v.Refunded
		s.Chargeback += v.Chargeback
		s.Conversions += v.Conversions
		for _, e := range v.TimeToConvert {
			s.TimeToConvert = addConvert(s.TimeToConvert, e)
		}
		for _, m := range v.Money {
			s.Money = addAccount(s.Money, m)
		}
		sums[id] = s
	}
	// A pane whose only marks moved away was published and stays as a row of zeros.
	maps.DeleteFunc(sums, func(_ paneID, v event.Velocity) bool {
		return reflect.DeepEqual(v, event.Velocity{DropID: v.DropID, POP: v.POP, PaneStart: v.PaneStart, PaneMS: v.PaneMS})
	})
	return sums
}

func addConvert(list []event.TimeToConvert, e event.TimeToConvert) []event.TimeToConvert {
	if i := slices.IndexFunc(list, func(o event.TimeToConvert) bool { return o.Panes == e.Panes }); i >= 0 {
		list[i].Count += e.Count
		return list
	}
	list = append(list, e)
	slices.SortFunc(list, func(a, b event.TimeToConvert) int { return cmp.Compare(a.Panes, b.Panes) })
	return list
}

func addAccount(list []event.Money, m event.Money) []event.Money {
	if i := slices.IndexFunc(list, func(o event.Money) bool { return o.Currency == m.Currency }); i >= 0 {
		list[i].Gross += m.Gross
		list[i].Refunds += m.Refunds
		list[i].Chargebacks += m.Chargebacks
		return list
	}
	list = append(list, m)
	slices.SortFunc(list, func(a, b event.Money) int { return cmp.Compare(a.Currency, b.Currency) })
	return list
}

// reference walks each player's events once in event-time order and never corrects
// anything: the definition, without the difficulty.
func reference(h []step, drops catalogue, paneMS int64) map[paneID]event.Velocity {
	h = slices.DeleteFunc(slices.Clone(h), func(s step) bool { return s.probe || s.drop == "" })
	slices.SortStableFunc(h, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what), cmp.Compare(a.pop, b.pop))
	})
	type player struct {
		seen, counted [event.NumSteps]bool
		gap           bool
		landed        int64
		pop           string
	}
	players := map[string]*player{}
	var records []event.Velocity
	add := func(s step, pop string, set func(*event.Velocity)) {
		v := event.Velocity{DropID: s.drop, POP: pop, PaneStart: s.at / paneMS * paneMS, PaneMS: paneMS}
		set(&v)
		records = append(records, v)
	}
	for _, s := range h {
		k := slices.Index(funnel, s.what)
		add(s, s.pop, func(v *event.Velocity) {
			switch s.what {
			case event.CheckoutFailed:
				v.Failed = 1
			case event.CheckoutRefunded:
				v.Refunded, v.Money = 1, []event.Money{{Currency: s.currency, Refunds: s.amount}}
			case event.CheckoutChargeback:
				v.Chargeback, v.Money = 1, []event.Money{{Currency: s.currency, Chargebacks: s.amount}}
			case event.CheckoutCompleted:
				v.Money = []event.Money{{Currency: s.currency, Gross: s.amount}}
			}
			if k >= 0 {
				v.Events[k] = 1
			}
		})
		id := s.drop + "/" + s.player
		if players[id] == nil {
			players[id] = &player{}
		}
		p := players[id]
		if k < 0 || s.player == "" || s.at >= drops[s.drop].EndMS || p.seen[k] {
			continue
		}
		p.seen[k] = true
		if k == event.StepLanding {
			p.landed, p.pop = s.at, s.pop
			p.counted[k] = !p.seen[event.StepCompleted]
		} else {
			p.counted[k] = p.counted[k-1]
		}
		pop := s.pop
		if p.seen[event.StepLanding] {
			pop = p.pop
		}
		add(s, pop, func(v *event.Velocity) {
			if p.counted[k] {
				v.Players[k] = 1
			} else if !p.gap && k > 0 {
				p.gap = true
				v.FunnelGap = 1
			}
			if k == event.StepCompleted {
				v.Conversions = 1
				if p.seen[event.StepLanding] {
					v.TimeToConvert = []event.TimeToConvert{{Panes: uint32(s.at/paneMS - p.landed/paneMS), Count: 1}}
				}
			}
		})
	}
	return totals(records...)
}

// play sends h in a random order that never makes an event late, in transactions of
// random size, some of them rolled back and repeated, some followed by a restart.
func play(t *testing.T, random *rand.Rand, cfg Config, partition int32, h []step) *bench {
	t.Helper()
	b := newBench(t, cfg, partition, historyDrops())
	b.lateness = 1 + random.Int64N(400_000)
	const outOfOrder = 10_000
	type arrival struct {
		step
		time int64
	}
	var order []arrival
	for _, s := range h {
		// At worst, the newest event is delay older than an event that has just arrived, so the watermark
		// is at − outOfOrder − 1 + delay: less than the lateness past any pane of at.
		order = append(order, arrival{s, s.at + random.Int64N(b.lateness+outOfOrder)})
	}
	slices.SortStableFunc(order, func(a, b arrival) int { return cmp.Compare(a.time, b.time) })
	watermark, newest := int64(-1), int64(0)
	for len(order) > 0 {
		n := min(len(order), 1+random.IntN(60))
		batch := order[:n]
		order = order[n:]
		for attempt := 0; ; attempt++ {
			mark, top := watermark, newest
			for _, a := range batch {
				b.apply(a.step)
				top = max(top, a.at)
				mark = max(mark, top-outOfOrder-1)
			}
			if attempt < 3 && random.IntN(8) == 0 {
				b.rollback()
				continue
			}
			records := b.flush(mark)
			if attempt < 3 && random.IntN(4) == 0 {
				b.rollback()
				continue
			}
			b.commit(records)
			watermark, newest = mark, top
			break
		}
		if random.IntN(10) == 0 {
			b.restart(cfg)
		}
	}
	b.turn(1 << 50)
	if b.rule.refused != 0 {
		t.Errorf("refused %d", b.rule.refused)
	}
	for key, v := range b.newest {
		if v.Maturity != event.Final {
			t.Errorf("%s ended in %v", key, v.Maturity)
		}
	}
	if n := b.stateKeys(); n > 1 {
		t.Errorf("%d keys of state left, want the horizon at most", n)
	}
	return b
}

func diff(t *testing.T, got, want map[paneID]event.Velocity) {
	t.Helper()
	for id, w := range want {
		if g := got[id]; !reflect.DeepEqual(g, w) {
			t.Errorf("%+v\n got %+v\nwant %+v", id, g, w)
		}
	}
	for id, g := range got {
		if _, ok := want[id]; !ok {
			t.Errorf("%+v\nunexpected %+v", id, g)
		}
	}
}

func newest(b *bench) []event.Velocity { return slices.Collect(maps.Values(b.newest)) }

func TestAnyOrderEndsInTheReference(t *testing.T) {
	s, random := seed(t)
	for round := range 20 {
		cfg := Config{PaneMS: []int64{0, 1_000, 60_000}[random.IntN(3)]}
		width := cfg.PaneMS
		if width == 0 {
			width = DefaultPaneMS
		}
		h := history(random, 20+random.IntN(600))
		want := reference(h, historyDrops(), width)
		for order := range 3 {
			t.Run(fmt.Sprintf("seed %d round %d order %d", s, round, order), func(t *testing.T) {
				diff(t, totals(newest(play(t, random, cfg, 0, h))...), want)
			})
		}
		if t.Failed() {
			return
		}
	}
}

func TestPartitionsAddUp(t *testing.T) {
	_, random := seed(t)
	for range 4 {
		h := history(random, 2_000)
		const partitions = 5
		var parts [partitions][]step
		for _, s := range h {
			sum := fnv.New32a()
			sum.Write([]byte(s.player))
			i := sum.Sum32() % partitions
			parts[i] = append(parts[i], s)
		}
		var all []event.Velocity
		for i, part := range parts {
			all = append(all, newest(play(t, random, Config{}, int32(i), part))...)
		}
		diff(t, totals(all...), totals(newest(play(t, random, Config{}, 0, h))...))
	}
}
