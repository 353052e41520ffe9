package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// history is a seeded mess of some checkouts' records, in some histories often in the same millisecond.
func history(random *rand.Rand, n int) []step {
	types := []event.Type{event.CheckoutStarted, event.CheckoutStarted, event.CheckoutCompleted, event.CheckoutCompleted, event.CheckoutFailed,
		event.CheckoutRefunded, event.CheckoutFulfilled, event.CheckoutShipped, event.CheckoutChargeback}
	grain := []int64{1, 1000, 300_000}[random.IntN(3)]
	h := make([]step, n)
	for i := range h {
		checkout := random.IntN(max(1, n/4))
		at := dropStart + random.Int64N(2*hourMS/grain)*grain
		h[i] = step{at: at, what: types[random.IntN(len(types))], player: fmt.Sprint("p", checkout%5), checkout: event.Checkout{
			CheckoutID: fmt.Sprint("c", checkout), Amount: random.Int64N(4), Seq: uint32(random.IntN(2)),
			SKU: []string{"jacket", "vip"}[checkout%2], Quantity: uint32(1 + random.IntN(2)),
			Channel: []string{"web", "app", "pos"}[random.IntN(3)], Partner: []string{"", "shop", "depot"}[random.IntN(3)],
		}}
		if random.IntN(2) == 0 {
			h[i].checkout.PromisedBy = at + random.Int64N(hourMS/grain+1)*grain - 5*minuteMS
		}
	}
	return h
}

type paneID struct {
	cell
	pane int64
}

// reference tells each order's story once, with a clock: the definition, without the difficulty.
func reference(h []step, cfg Config) map[paneID][numSlots]uint64 {
	sums := map[paneID][numSlots]uint64{}
	add := func(slot int, c cell, at int64, n uint32) {
		id := paneID{c, at / cfg.PaneMS * cfg.PaneMS}
		s := sums[id]
		s[slot] += uint64(n)
		sums[id] = s
	}
	orders := map[string][]step{}
	for _, s := range h {
		orders[s.checkout.CheckoutID] = append(orders[s.checkout.CheckoutID], s)
	}
	for _, records := range orders {
		slices.SortFunc(records, func(a, b step) int {
			x, y := &a.checkout, &b.checkout
			return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(x.SKU, y.SKU), strings.Compare(x.Channel, y.Channel), cmp.Compare(x.Quantity, y.Quantity),
				cmp.Compare(x.Amount, y.Amount), strings.Compare(x.Partner, y.Partner), cmp.Compare(x.PromisedBy, y.PromisedBy))
		})
		first := func(what event.Type) *step {
			if i := slices.IndexFunc(records, func(s step) bool { return s.what == what }); i >= 0 {
				return &records[i]
			}
			return nil
		}
		began, sold, failed := first(event.CheckoutStarted), first(event.CheckoutCompleted), first(event.CheckoutFailed)
		if began != nil && (sold == nil || began.at <= sold.at) {
			c, n := cell{sku: began.checkout.SKU, channel: began.checkout.Channel}, began.checkout.Quantity
			add(slotReserved, c, began.at, n)
			slot, end := slotExpired, began.at+cfg.ReservationMS
			if sold != nil && sold.at < end {
				slot, end = slotReleased, sold.at
			}
			if failed != nil && failed.at >= began.at && failed.at < end {
				slot, end = slotReleased, failed.at
			}
			add(slot, c, end, n)
		}
		if sold == nil {
			continue
		}
		c := cell{sold.checkout.SKU, sold.checkout.Channel, sold.checkout.Partner}
		add(slotSold, c, sold.at, sold.checkout.Quantity)
		add(slotCheckouts, c, sold.at, 1)
		returned, back, seqs := int64(0), int64(0), map[uint32]bool{}
		byAmount := slices.SortedFunc(slices.Values(records), func(a, b step) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.checkout.Amount, b.checkout.Amount))
		})
		for _, r := range byAmount {
			if r.what == event.CheckoutRefunded && !seqs[r.checkout.Seq] {
				seqs[r.checkout.Seq] = true
				if back += r.checkout.Amount; back >= sold.checkout.Amount && returned == 0 {
					returned = max(r.at, sold.at)
					add(slotReturned, c, returned, sold.checkout.Quantity)
				}
			}
		}
		handed := int64(0)
		for slot, what := range map[int]event.Type{slotShipped: event.CheckoutShipped, slotFulfilled: event.CheckoutFulfilled} {
			if r := first(what); r != nil {
				at := max(r.at, sold.at)
				add(slot, c, at, 1)
				if handed == 0 || at < handed {
					handed = at
				}
			}
		}
		by := sold.checkout.PromisedBy
		if by == 0 || sold.checkout.Partner == "" {
			continue
		}
		add(slotPromised, c, sold.at, 1)
		out := max(by+1, sold.at)
		switch {
		case returned != 0 && returned < out && (handed == 0 || returned < handed):
			add(slotCancelled, c, returned, 1)
		case handed != 0 && handed <= by:
			add(slotDue, c, out, 1)
		default:
			add(slotDue, c, out, 1)
			add(slotLate, c, out, 1)
		}
	}
	return sums
}

// totals adds the newest revisions up over partitions.
func totals(newest map[string]event.Inventory) map[paneID][numSlots]uint64 {
	sums := map[paneID][numSlots]uint64{}
	for _, v := range newest {
		id := paneID{cell{v.SKU, v.Channel, v.Partner}, v.PaneStart}
		s := sums[id]
		for i, n := range [numSlots]uint64{v.Sold, v.Reserved, v.Released, v.Expired, v.Returned, v.Checkouts, v.Promised, v.Shipped, v.Fulfilled, v.Cancelled, v.Due, v.Late} {
			s[i] += n
		}
		sums[id] = s
	}
	maps.DeleteFunc(sums, func(_ paneID, s [numSlots]uint64) bool { return s == [numSlots]uint64{} })
	return sums
}

// Whatever the order of arrival, the transactions and the number of partitions, the newest partials add up to the reference.
func TestAnyOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 400 {
		h := history(random, 1+random.IntN(60))
		cfg := Config{ReservationMS: 1 + random.Int64N(20*minuteMS), PaneMS: []int64{1000, 10_000, 60_000}[random.IntN(3)]}
		want := reference(h, cfg)
		for range 3 {
			random.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
			rules := make([]*Rule, 1+random.IntN(4))
			for i := range rules {
				rules[i] = newRule(t, cfg, int32(i), limited(nil))
			}
			newest := map[string]event.Inventory{}
			for rest := h; len(rest) > 0; {
				n := 1 + random.IntN(len(rest))
				for i, rule := range rules {
					own := slices.DeleteFunc(slices.Clone(rest[:n]), func(s step) bool { return int(s.player[1]-'0')%len(rules) != i })
					collect(t, newest, turn(t, rule, -1, own...), event.Provisional)
				}
				rest = rest[n:]
			}
			if got := totals(newest); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: got  %v\nwant %v\nof %+v", seed, got, want, h)
			}
		}
	}
}

// In the runtime's order of things, with panes becoming final as the watermark passes, no mark is refused and every pane ends final.
func TestFinalPanes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	for range 200 {
		h := history(random, 1+random.IntN(80))
		cfg := Config{PaneMS: 10_000, ReservationMS: 10 * minuteMS, KeepMS: 3 * hourMS}
		// Every record comes up to the allowed lateness after the newest one.
		delay := map[*step]int64{}
		order := make([]*step, len(h))
		for i := range h {
			order[i] = &h[i]
			delay[&h[i]] = h[i].at + random.Int64N(lateness)
		}
		slices.SortFunc(order, func(a, b *step) int { return cmp.Compare(delay[a], delay[b]) })
		rule := newRule(t, cfg, 0, limited(nil))
		newest := map[string]event.Inventory{}
		watermark := int64(-1)
		for _, s := range order {
			records := turn(t, rule, watermark, *s)
			collect(t, newest, records, event.Final)
			watermark = max(watermark, s.at-1)
		}
		collect(t, newest, turn(t, rule, watermark+30*hourMS), event.Final)
		for key, v := range newest {
			if v.Maturity != event.Final {
				t.Fatalf("seed %d: %s ends %s", seed, key, v.Maturity)
			}
		}
		if got, want := totals(newest), reference(h, cfg); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got  %v\nwant %v\nof %+v", seed, got, want, h)
		}
		if n := outcomesOf(rule)["refused"]; n != 0 {
			t.Fatalf("seed %d: %d marks refused", seed, n)
		}
		left := 0
		for _, table := range rule.Tables() {
			left += table.Len()
		}
		if left > 1 { // the horizon, if any pane was final
			t.Fatalf("seed %d: %d keys of state are left", seed, left)
		}
	}
}

func collect(t *testing.T, newest map[string]event.Inventory, records []event.Record, most event.Maturity) {
	t.Helper()
	for _, r := range records {
		v := partial(t, r)
		if old, ok := newest[string(r.Key)]; ok && (old.Revision >= v.Revision || old.Maturity == event.Final) || v.Maturity > most {
			t.Fatalf("%s: revision %d (%s) after %d (%s)", r.Key, v.Revision, v.Maturity, old.Revision, old.Maturity)
		}
		newest[string(r.Key)] = v
	}
}
