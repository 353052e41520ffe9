package inventory

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

// stage is one partition of the rollup stage behind some of the first. Every flush is rolled back once and done
// again, and followed by a restart if restarts is set.
type stage struct {
	t         *testing.T
	cfg       RollupConfig
	drops     catalogue
	rules     []*Rule
	task      *processors.Rollup
	rollup    *Rollup
	log       map[string][]byte
	restarts  bool
	estimates map[string]event.Estimate // newest by sku
	decisions []event.Decision
}

func newStage(t *testing.T, partitions int, cfg RollupConfig, drops catalogue) *stage {
	s := &stage{t: t, cfg: cfg, drops: drops, log: map[string][]byte{}, estimates: map[string]event.Estimate{}}
	for i := range partitions {
		s.rules = append(s.rules, newRule(t, Config{}, int32(i), drops))
	}
	s.start()
	return s
}

func (s *stage) start() {
	var err error
	if s.rollup, err = NewRollup(s.cfg, s.drops); err != nil {
		s.t.Fatal(err)
	}
	s.task = processors.NewRollup(0, []processors.RollupRule{s.rollup})
	for key, value := range s.log {
		if err := s.task.Restore(key, value); err != nil {
			s.t.Fatal(err)
		}
	}
}

// turn lets every partition do its steps, reach the watermark and publish; then the rollup. It returns the new decisions.
func (s *stage) turn(watermark int64, quiet bool, steps ...step) []event.Decision {
	s.t.Helper()
	var records []event.Record
	for i, rule := range s.rules {
		own := slices.DeleteFunc(slices.Clone(steps), func(x step) bool { return int(x.player[1]-'0')%len(s.rules) != i })
		records = append(records, turn(s.t, rule, watermark, own...)...)
		p := event.Progress{Partition: int32(i), Watermark: watermark}
		records = append(records, event.Record{Kind: event.KindProgress, Key: fmt.Append(nil, i), Value: p.AppendJSON(nil)})
	}
	return s.fold(quiet, records...)
}

func (s *stage) fold(quiet bool, records ...event.Record) []event.Decision {
	s.t.Helper()
	var messages []event.Message
	for _, last := range []bool{false, true} {
		for _, r := range records {
			if s.task.Process(r) != event.Accepted {
				s.t.Fatalf("%s is refused", r.Value)
			}
		}
		again := s.task.Flush(0, []bool{quiet})
		if last && !reflect.DeepEqual(texts(again), texts(messages)) {
			s.t.Fatalf("after an abort:\n%v\nbefore it\n%v", texts(again), texts(messages))
		}
		messages = slices.Clone(again)
		for i := range messages {
			messages[i].Value = slices.Clone(messages[i].Value)
		}
		if !last {
			s.task.Changes(func(string, []byte) {})
			s.task.Rollback()
		}
	}
	s.task.Changes(func(key string, value []byte) {
		if s.log[strings.Clone(key)] = slices.Clone(value); value == nil {
			delete(s.log, key)
		}
	})
	s.task.Commit()
	var d event.Decoder
	var made []event.Decision
	for _, m := range messages {
		switch m.Kind {
		case event.KindEstimate:
			var e event.Estimate
			if err := d.Estimate(m.Value, &e); err != nil {
				s.t.Fatal(err)
			}
			sku := e.Dimensions[0].Value
			if old := s.estimates[sku]; old.Revision >= e.Revision || string(m.Key) != "d|"+Metric+"|sku="+sku {
				s.t.Fatalf("key %s, revision %d after %d", m.Key, e.Revision, old.Revision)
			}
			s.estimates[sku] = e
		case event.KindDecision:
			var v event.Decision
			if err := d.Decision(m.Value, &v); err != nil {
				s.t.Fatal(err)
			}
			if string(m.Key) != fmt.Sprintf("d|inventory|%s|%d", v.Subject, v.At) || v.Topic != "inventory" {
				s.t.Fatalf("key %s of %+v", m.Key, v)
			}
			made = append(made, v)
		}
		d = event.Decoder{}
	}
	s.decisions = append(s.decisions, made...)
	if s.restarts {
		s.start()
	}
	return made
}

func texts(messages []event.Message) (lines []string) {
	for _, m := range messages {
		lines = append(lines, string(m.Key)+" "+string(m.Value))
	}
	return lines
}

func (s *stage) detail(sku, name string) float64 {
	for _, d := range s.estimates[sku].Details {
		if d.Name == name {
			return d.Value
		}
	}
	return 0
}

var bought int

// buy is a completed checkout of some pieces, in a partition of its own now and then.
func buy(at int64, sku string, pieces uint32) step {
	bought++
	return step{at: at, what: event.CheckoutCompleted, player: fmt.Sprint("p", bought%10),
		checkout: event.Checkout{CheckoutID: fmt.Sprint("k", bought), SKU: sku, Quantity: pieces, Amount: 100, Channel: "web"}}
}

func say(t *testing.T, what string, made []event.Decision, want ...string) {
	t.Helper()
	var got []string
	for _, v := range made {
		got = append(got, v.Subject+" "+v.Previous+" -> "+v.Chosen)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: decided %q, want %q", what, got, want)
	}
}

func TestLimitedRun(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		s := newStage(t, 3, RollupConfig{}, limited(map[string]uint64{"jacket": 20, "poster": 0}))
		s.restarts = restarts
		at := dropStart
		say(t, "half", s.turn(at, false, buy(at+1000, "jacket", 10), buy(at+2000, "jacket", 1), buy(at+3000, "poster", 5)))
		if e := s.estimates["jacket"]; e.Value != 9 || e.Numerator != 11 || e.N != 20 || !e.Enough || e.Maturity != event.Provisional || e.AsOf != at {
			t.Errorf("after 11 of 20: %+v", e)
		}
		if e := s.estimates["poster"]; e.Enough || e.Why != "without limit" || e.Numerator != 5 {
			t.Errorf("an item without limit: %+v", e)
		}
		// Reservations count until they run out.
		hold := step{at: at + 12_000, what: event.CheckoutStarted, player: "p1", checkout: event.Checkout{CheckoutID: "hold", SKU: "jacket", Quantity: 3, Channel: "pos"}}
		say(t, "held", s.turn(at+20_000, false, hold))
		if s.detail("jacket", "reserved") != 3 || s.estimates["jacket"].Value != 6 {
			t.Errorf("held: %+v", s.estimates["jacket"])
		}
		say(t, "low", s.turn(at+60_000, false, buy(at+50_000, "jacket", 7)), "jacket available -> low")
		if s.estimates["jacket"].Value != 0 || s.detail("jacket", "reserved") != 3 {
			t.Errorf("two left and three held: %+v", s.estimates["jacket"])
		}
		say(t, "nothing new", s.turn(at+70_000, false, buy(at+51_000, "poster", 1)))
		say(t, "sold out", s.turn(at+120_000, false, buy(at+111_000, "jacket", 2)), "jacket low -> sold_out")
		if got := s.detail("jacket", "sold_out_at"); got != float64(at+120_000) || s.detail("jacket", "sold_out_final") != 0 {
			t.Errorf("sold out at %v, want the end of the pane, %d", got, at+120_000)
		}
		// An earlier sale arrives late: sold out earlier, and one too many.
		say(t, "oversold", s.turn(at+130_000, true, buy(at+85_000, "jacket", 1)), "jacket sold_out -> oversold")
		if got := s.detail("jacket", "oversold"); got != 1 || s.decisions[len(s.decisions)-1].Value != -1 {
			t.Errorf("%v oversold: %+v", got, s.decisions[len(s.decisions)-1])
		}
		say(t, "still", s.turn(at+140_000, true, buy(at+86_000, "jacket", 1)))
		if got := s.detail("jacket", "sold_out_at"); got != float64(at+90_000) {
			t.Errorf("sold out at %v, want %d after the corrections", got, at+90_000)
		}
		// The reservation ran out 10 min after it began, once every partition has passed its pane.
		s.turn(at+12_000+10*minuteMS, true, buy(at+11*minuteMS, "poster", 1))
		if s.detail("jacket", "reserved") != 3 {
			t.Error("the reservation ran out before its pane was over")
		}
		s.turn(at+20_000+10*minuteMS, true, buy(at+11*minuteMS, "poster", 1), buy(at+11*minuteMS, "poster", 1), buy(at+11*minuteMS, "poster", 1),
			buy(at+11*minuteMS, "poster", 1))
		if s.detail("jacket", "reserved") != 0 || s.estimates["jacket"].Value != 0 {
			t.Errorf("the reservation did not run out: %+v", s.estimates["jacket"])
		}
		// Final: the sold-out time when its panes are, everything when the drop's last pane is.
		s.turn(at+90_000-1+lateness, true, buy(at+13*minuteMS, "poster", 1), buy(at+13*minuteMS, "poster", 1), buy(at+13*minuteMS, "poster", 1))
		if s.detail("jacket", "sold_out_final") != 1 {
			t.Errorf("not final: %+v", s.estimates["jacket"])
		}
		say(t, "the end", s.turn(dropEnd+lateness, true))
		for sku, e := range s.estimates {
			if e.Maturity != event.Final {
				t.Errorf("%s ends %s", sku, e.Maturity)
			}
		}
		if got := outcomesOf(s.rollup); !restarts && !reflect.DeepEqual(got, map[string]uint64{"oversold": 2}) { // an abort repeats it
			t.Errorf("outcomes %v", got)
		}
	}
}

func TestForecast(t *testing.T) {
	s := newStage(t, 2, RollupConfig{}, limited(map[string]uint64{"jacket": 1000}))
	// 10 pieces a minute over 25 minutes: the last 20 to 30 minutes hold all 250, so 750 more take 75 minutes.
	for m := range int64(25) {
		for range 10 {
			s.turn(dropStart+m*minuteMS, false, buy(dropStart+m*minuteMS+30_000, "jacket", 1))
		}
	}
	s.turn(dropStart+25*minuteMS, true, buy(dropStart+24*minuteMS, "jacket", 0), buy(dropStart+24*minuteMS, "jacket", 0))
	at, from, to := s.detail("jacket", "sell_out_at"), s.detail("jacket", "sell_out_from"), s.detail("jacket", "sell_out_to")
	if want := float64(dropStart + 100*minuteMS); at != want || from >= at || to <= at {
		t.Errorf("sells out at %v (%v to %v), want %v", at, from, to, want)
	}
	few := newStage(t, 1, RollupConfig{}, limited(map[string]uint64{"jacket": 1000}))
	few.turn(dropStart+hourMS, true, buy(dropStart+minuteMS, "jacket", enoughSales-1))
	if few.detail("jacket", "sell_out_at") != 0 {
		t.Error("a forecast from 9 sales")
	}
}

// Bad input has a named outcome: items that nobody offers, inventory lowered below what is sold, sums below zero, drops that nobody knows.
func TestRollupOutcomes(t *testing.T) {
	at := dropStart
	drops := limited(map[string]uint64{"jacket": 20})
	s := newStage(t, 1, RollupConfig{}, drops)
	say(t, "unknown", s.turn(at, true, buy(at, "hat", 2), buy(at, "jacket", 15)), "hat  -> unknown_sku")
	if e := s.estimates["hat"]; e.Enough || e.Why == "" || e.Numerator != 2 {
		t.Errorf("an unknown item: %+v", e)
	}
	drops["d"] = limited(map[string]uint64{"jacket": 12})["d"]
	say(t, "lowered", s.turn(at+1000, true, buy(at+1000, "hat", 1)), "jacket available -> oversold")
	if v := s.decisions[len(s.decisions)-1]; !strings.Contains(v.Reason, "lowered to 12, below the 15") {
		t.Errorf("reason %q", v.Reason)
	}
	say(t, "raised", func() []event.Decision {
		drops["d"] = limited(map[string]uint64{"jacket": 30})["d"]
		return s.turn(at+2000, true, buy(at+2000, "hat", 1))
	}(), "jacket oversold -> available")
	// Every flush is done twice here: a rolled-back one counts too.
	if got := outcomesOf(s.rollup); !reflect.DeepEqual(got, map[string]uint64{"unknown_sku": 2, "oversold": 2, "inventory_lowered": 2}) {
		t.Errorf("outcomes %v", got)
	}

	// No partial can do this; a defect could.
	spoiled, _ := s.rollup.items.Put(s.rollup.itemKey("d", "jacket"))
	spoiled.total.sold, spoiled.changed = -3, true
	s.task.Changes(func(string, []byte) {})
	s.task.Commit()
	s.turn(at+3000, true, buy(at+3000, "hat", 1))
	if e := s.estimates["jacket"]; e.Numerator != 0 || outcomesOf(s.rollup)["negative"] == 0 {
		t.Errorf("a negative sum: %+v, %v", e, outcomesOf(s.rollup))
	}

	unknown := newStage(t, 1, RollupConfig{}, catalogue{})
	if unknown.turn(at, true, buy(at, "jacket", 1)); len(unknown.estimates) != 0 || outcomesOf(unknown.rollup)["unknown_drop"] == 0 {
		t.Errorf("a drop that nobody knows: %v", outcomesOf(unknown.rollup))
	}
	if got := unknown.task.Process(event.Record{Kind: event.KindInventory, Key: []byte("d|"), Value: []byte(`{"drop_id":`)}); got != event.DeadLettered {
		t.Errorf("half a record is %v", got)
	}
}

func TestRestock(t *testing.T) {
	for _, restock := range []bool{false, true} {
		s := newStage(t, 2, RollupConfig{Restock: restock}, limited(map[string]uint64{"jacket": 2}))
		sale := buy(dropStart, "jacket", 2)
		say(t, "all", s.turn(dropStart, true, sale), "jacket  -> sold_out")
		back := step{at: dropStart + 20_000, what: event.CheckoutRefunded, player: sale.player, checkout: event.Checkout{CheckoutID: sale.checkout.CheckoutID, Amount: 100}}
		var want []string
		left := 0.0
		if restock {
			want, left = []string{"jacket sold_out -> available"}, 2
		}
		say(t, "back", s.turn(dropStart+20_000, true, back), want...)
		if e := s.estimates["jacket"]; e.Value != left || s.detail("jacket", "returned") != 2 || (s.detail("jacket", "sold_out_at") == 0) != restock {
			t.Errorf("restock %v: %+v", restock, e)
		}
	}
}

// A long history in small transactions adds up to what it holds, and sells out in the pane where the pieces run out.
func TestRollupAgainstReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	soldOut := 0
	for range 60 {
		h := history(random, 40+random.IntN(200))
		sums := reference(h, Config{}.withDefaults())
		limit := uint64(1 + random.IntN(20))
		s := newStage(t, 1+random.IntN(4), RollupConfig{}, limited(map[string]uint64{"jacket": limit, "vip": limit}))
		s.restarts = random.IntN(3) == 0
		random.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
		for rest := h; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			s.turn(dropStart, random.IntN(2) == 0, rest[:n]...)
			rest = rest[n:]
		}
		end := dropEnd + hourMS
		s.turn(end, true)
		for _, sku := range []string{"jacket", "vip"} {
			var sold, returned, held uint64
			byPane := map[int64]uint64{}
			for id, n := range sums {
				if id.sku == sku {
					sold, returned = sold+n[slotSold], returned+n[slotReturned]
					held += n[slotReserved] - n[slotReleased] - n[slotExpired]
					byPane[id.pane] += n[slotSold]
				}
			}
			at, sum := int64(0), uint64(0)
			for pane := dropStart; pane < end && at == 0; pane += DefaultPaneMS {
				if sum += byPane[pane]; sum >= limit {
					at = pane + DefaultPaneMS
					soldOut++
				}
			}
			if sold == 0 && s.estimates[sku].Revision == 0 {
				continue // nothing of it happened
			}
			got := []float64{s.detail(sku, "sold"), s.detail(sku, "returned"), s.detail(sku, "reserved"), s.detail(sku, "oversold"), s.detail(sku, "sold_out_at")}
			over := 0.0
			if sold > limit {
				over = float64(sold - limit)
			}
			if want := []float64{float64(sold), float64(returned), float64(held), over, float64(at)}; !slices.Equal(got, want) {
				t.Fatalf("seed %d, %s of %d: sold, returned, reserved, oversold, sold out at %v, want %v", seed, sku, limit, got, want)
			}
		}
	}
	if soldOut < 20 {
		t.Errorf("only %d items sold out", soldOut)
	}
}

// What is past its time is forgotten.
func TestRollupForgets(t *testing.T) {
	s := newStage(t, 1, RollupConfig{}, limited(map[string]uint64{"jacket": 2}))
	s.turn(dropStart, true, buy(dropStart, "jacket", 1))
	s.turn(dropStart+hourMS, true, buy(dropStart+hourMS, "jacket", 1))
	late := buy(dropStart+DefaultKeepMS+2*hourMS, "hat", 1)
	s.turn(late.at, true, late)
	s.turn(late.at+1, true, buy(late.at, "hat", 1))
	if n := s.rollup.panes.Len(); n != 1 {
		t.Errorf("%d panes kept, want that of the hat", n)
	}
	if n := s.rollup.items.Len(); n != 1 {
		t.Errorf("%d items kept, want the hat", n)
	}
}

func TestRollupConfig(t *testing.T) {
	err := RollupConfig{PaneMS: 7000, PublishEveryMS: -1, LowBPS: 10_001, KeepMS: -1}.Validate()
	for _, word := range []string{"pane", "publishing", "low", "keeping"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("no word of %s in %v", word, err)
		}
	}
	if _, err := NewRollup(RollupConfig{LowBPS: 10_001}, nil); err == nil {
		t.Error("NewRollup takes what Validate refuses")
	}
}

func TestRollupStateOfEarlierVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	some := func() numbers {
		return numbers{random.Int64N(50), random.Int64N(9), random.Int64N(9), random.Int64N(50), random.Int64N(50)}
	}
	var parts, flows, items, runs [][]byte
	runCodec := runCodec{names: &wire.Names{}}
	for i := range 4 {
		p := part{revision: random.Uint64N(99), numbers: some()}
		f := flow{start: dropStart + random.Int64N(360)*DefaultPaneMS, sold: 4, returned: -1, expired: 2}
		x := item{revision: 3, status: status(i), decided: dropStart, inventory: 20, shown: shown{reserved: 2, final: i == 1, soldOutFinal: i == 2}, changed: i == 3}
		for range 5 {
			x.add(dropStart+random.Int64N(hourMS), some())
		}
		d := run{skus: []string{"jacket", "vip"}, published: -1, dirty: i%2 == 0, next: dropStart * int64(i/2), newest: dropStart}
		parts, flows = append(parts, partCodec{}.Append(nil, &p)), append(flows, flowCodec{}.Append(nil, &f))
		items, runs = append(items, itemCodec{}.Append(nil, &x)), append(runs, runCodec.Append(nil, &d))
	}
	statetest.Check(t, statetest.Kind{Name: "part", Newest: partVersion, Samples: parts, Read: statetest.ReadWith(partCodec{})})
	statetest.Check(t, statetest.Kind{Name: "flow", Newest: flowVersion, Samples: flows, Read: statetest.ReadWith(flowCodec{})})
	statetest.Check(t, statetest.Kind{Name: "item", Newest: itemVersion, Samples: items, Read: statetest.ReadWith(itemCodec{})})
	statetest.Check(t, statetest.Kind{Name: "run", Newest: runVersion, Samples: runs, Read: statetest.ReadWith(runCodec)})
}
