package settlement

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// naive is DOMAIN 8.1's allocation as it is written, in big integers.
func naive(amount int64, weights map[string]int64) map[string]int64 {
	total := new(big.Int)
	for _, w := range weights {
		total.Add(total, big.NewInt(w))
	}
	parts, rests, left := map[string]int64{}, map[string]*big.Int{}, amount
	for who, w := range weights {
		quota, rest := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(amount), big.NewInt(w)), total, new(big.Int))
		parts[who], rests[who] = quota.Int64(), rest
		left -= quota.Int64()
	}
	order := slices.SortedFunc(maps.Keys(weights), func(a, b string) int {
		if c := rests[b].Cmp(rests[a]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, who := range order[:left] {
		parts[who]++
	}
	return parts
}

// TestAnyOrder posts random checkouts in random order, each event up to three times, some before the catalogue has their
// shares, with random commits, rollbacks and restarts. The balances must be those of a naive ledger that sees everything once and in order.
func TestAnyOrder(t *testing.T) {
	currencies := []string{"USD", "JPY", "KWD", "IDR"}
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 86))
		versions := map[uint32]map[string]int64{
			1: {"platform": 1000, "a": 4500, "b": 3000, "c": 1500},
			2: {"a": 3333, "b": 3333, "platform": 3334},
			3: {"platform": 1428, "z": 4286, "q": 4286},
		}
		split := func(v uint32) event.Split {
			s := event.Split{Version: v}
			for who, bps := range versions[v] {
				s.Shares = append(s.Shares, event.Share{Participant: who, BPS: uint32(bps)})
			}
			return s
		}
		catalogue := drops{"d": {EndMS: noon, Splits: []event.Split{split(1), split(2)}}}
		b := newBooks(t, Config{DisputeFee: map[string]int64{"USD": 1500}}, catalogue)

		want := map[balance]int64{}
		post := func(account, who, currency string, amount int64) { want[balance{account, who, currency}] += amount }
		var events []*event.Event
		for i := range 40 {
			id, currency := fmt.Sprintf("k%d", i), currencies[random.IntN(len(currencies))]
			amount := random.Int64N(int64(1) << (1 + random.IntN(40)))
			version := uint32(1 + random.IntN(3))
			sale := money(event.CheckoutCompleted, id, 0, amount)
			sale.Checkout.SplitVersion = version
			own := []*event.Event{sale}
			credit := map[string]int64{}
			if amount > 0 {
				credit = naive(amount, versions[version])
			}
			back := int64(0)
			switch random.IntN(4) {
			case 0: // part of it comes back
				if amount > 0 {
					back = 1 + random.Int64N(amount)
					own = append(own, money(event.CheckoutRefunded, id, 0, back))
				}
			case 1: // some is refunded and the rest charged back, in whichever order: nothing is left
				refund := random.Int64N(amount + 1)
				own = append(own, money(event.CheckoutRefunded, id, 0, refund), money(event.CheckoutChargeback, id, 0, amount-refund))
				back = amount
				if currency == "USD" {
					post(event.AccountDispute, "", currency, 1500)
					post(event.AccountClearing, "", currency, -1500)
				}
			}
			if back > 0 {
				for who, part := range naive(back, credit) {
					credit[who] -= part
				}
			}
			post(event.AccountClearing, "", currency, amount-back)
			for who, part := range credit {
				if who == Platform {
					post(event.AccountPlatform, "", currency, -part)
				} else {
					post(event.AccountPayable, who, currency, -part)
				}
			}
			for _, ev := range own {
				ev.Checkout.Currency = currency
				for range 1 + random.IntN(3) {
					events = append(events, ev)
				}
			}
		}
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		known := random.IntN(len(events))
		var open []*event.Event
		for i, ev := range events {
			b.apply(ev)
			open = append(open, ev)
			if i == known || random.IntN(9) == 0 {
				var again []*event.Event
				if random.IntN(2) == 0 {
					again = open
				}
				b.flush(again)
				open = nil
				if random.IntN(3) == 0 {
					b.restart()
				}
			}
			if i == known {
				catalogue["d"] = &event.Drop{EndMS: noon, Splits: []event.Split{split(1), split(2), split(3)}}
			}
		}
		b.flush(nil)
		b.flush(nil)
		maps.DeleteFunc(want, func(_ balance, n int64) bool { return n == 0 })
		maps.DeleteFunc(b.balances, func(_ balance, n int64) bool { return n == 0 })
		if !maps.Equal(b.balances, want) {
			t.Fatalf("seed %d: balances\n%v\nwant\n%v", seed, b.balances, want)
		}
		totals := map[string]int64{}
		for of, n := range b.balances {
			totals[of.currency] += n
		}
		for currency, n := range totals {
			if n != 0 {
				t.Errorf("seed %d: all balances in %s sum to %d", seed, currency, n)
			}
		}
		// What was accrued, by its newest partials, is what payable says.
		accrued := map[balance]int64{}
		for _, p := range b.payables {
			accrued[balance{event.AccountPayable, p.Participant, p.Currency}] = -p.Accrued
		}
		for of, n := range accrued {
			if want[of] != n {
				t.Errorf("seed %d: %v accrued %d, want %d", seed, of, n, want[of])
			}
		}
		for outcome, n := range b.outcomes {
			if outcome != "parked" && outcome != "unknown_split" && outcome != "finer_than_psp" {
				t.Errorf("seed %d: %d %s", seed, n, outcome)
			}
		}
	}
}

// TestWaitingForShares parks more sales than a page holds, of two versions, and posts those whose shares come.
func TestWaitingForShares(t *testing.T) {
	catalogue := drops{"d": {EndMS: noon}}
	b := newBooks(t, Config{}, catalogue)
	const n = 2*pageSize + 10
	for i := range n {
		b.apply(money(event.CheckoutCompleted, fmt.Sprint("k", i), 0, 100))
		if i%100 == 0 {
			b.flush(nil)
		}
	}
	other := money(event.CheckoutCompleted, "other", 0, 7)
	other.Checkout.SplitVersion = 9
	b.apply(other)
	b.flush(nil)
	b.restart()
	if b.outcomes["unknown_split"] != n+1 || len(b.keys) != 0 {
		t.Fatalf("%d parked and %d posted", b.outcomes["unknown_split"], len(b.keys))
	}
	catalogue["d"] = &event.Drop{EndMS: noon, Splits: []event.Split{shares(1, "platform", 3000, "a", 7000)}}
	for range 3 {
		b.flush(nil)
	}
	if got := b.balances[balance{event.AccountPayable, "a", "USD"}]; got != -70*n || len(b.keys) != n {
		t.Errorf("owed %d for %d sales, want %d for %d", got, len(b.keys), -70*n, n)
	}
	if left := b.ledger.waiting.lists.Len() + b.ledger.waiting.pages.Len(); left != 2 {
		t.Errorf("%d lists and pages are left, want 2 of the other version", left)
	}
	// Counts begin again with a restart.
	if c := b.counted(); c["unparked"] != n || c["posted"] != n || c["unknown_split"] != 0 {
		t.Errorf("counted %v", c)
	}
	before := len(b.keys)
	b.flush(nil)
	if len(b.keys) != before {
		t.Error("a flush without anything new posted something")
	}
}

// TestBlocksAreCut: a flush with more than a block takes makes several, each within its bounds.
func TestBlocksAreCut(t *testing.T) {
	b := newBooks(t, Config{}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "platform", 1000, "a", 9000)}}})
	for i := range 2000 {
		b.apply(money(event.CheckoutCompleted, fmt.Sprint("k", i), 0, 1000))
		b.apply(money(event.CheckoutRefunded, fmt.Sprint("k", i), 0, 1001))
	}
	b.flush(nil)
	if want := uint64(2000 * 3 / maxBlockPostings); b.head.Height < want || b.head.Height > 2*want {
		t.Errorf("%d blocks for 6000 postings and 2000 exceptions", b.head.Height)
	}
	if b.postings != 6000 || b.outcomes["excess"] != 2000 {
		t.Errorf("%d postings, exceptions %v", b.postings, b.outcomes)
	}
}

// TestRepeatedParticipant: who is named twice gets both shares.
func TestRepeatedParticipant(t *testing.T) {
	b := newBooks(t, Config{}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "b", 2500, "a", 5000, "b", 2500)}}})
	b.apply(money(event.CheckoutCompleted, "k", 0, 3))
	b.flush(nil)
	if a, other := b.balances[balance{event.AccountPayable, "a", "USD"}], b.balances[balance{event.AccountPayable, "b", "USD"}]; a != -2 || other != -1 {
		t.Errorf("a has %d and b %d", a, other)
	}
}

func TestConfigProblems(t *testing.T) {
	err := Config{ReserveBPS: 10_001, Hold: 10, ReserveFor: 9, MinPayout: map[string]int64{"XYZ": 1}, DisputeFee: map[string]int64{"USD": -1}}.Validate()
	for _, want := range []string{"reserve of 10001", "before the hold", `minimum payout in "XYZ"`, "dispute fee of -1 USD"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestPSP holds the payment provider's exponents against DOMAIN 8.3.
func TestPSP(t *testing.T) {
	for _, tt := range []struct {
		currency  string
		amount    int64
		psp, rest int64
	}{
		{"USD", 4999, 4999, 0}, {"JPY", 100, 100, 0}, {"ISK", 45, 4500, 0}, {"MGA", 12_345, 123, 45}, {"KWD", 12_345, 12_340, 5}, {"BHD", 10, 10, 0}, {"USD", -7, -7, 0},
	} {
		psp, rest, ok := ToPSP(tt.amount, tt.currency)
		if !ok || psp != tt.psp || rest != tt.rest {
			t.Errorf("%d %s: %d and %d left, want %d and %d", tt.amount, tt.currency, psp, rest, tt.psp, tt.rest)
		}
	}
	if _, _, ok := ToPSP(1, "XYZ"); ok {
		t.Error("XYZ is a currency")
	}
	// The zero-decimal, three- and four-decimal currencies of DOMAIN 8.3, UGX and CLF as they are now.
	for digits, codes := range map[int]string{
		0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", 3: "BHD IQD JOD KWD LYD OMR TND", 4: "CLF UYW",
	} {
		for code := range strings.FieldsSeq(codes) {
			if got, ok := event.CurrencyDigits(code); !ok || got != digits {
				t.Errorf("%s has %d digits, want %d", code, got, digits)
			}
		}
	}
}

func BenchmarkLedger(b *testing.B) {
	books := newBooks(b, Config{}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "platform", 1000, "a", 4500, "b", 3000, "c", 1500)}}})
	var events []*event.Event
	for i := range b.N {
		events = append(events, money(event.CheckoutCompleted, fmt.Sprintf("co-01979a6e%08d", i), 0, 4999))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, ev := range events {
		books.ledger.Apply(ev, ev.EventTime)
		if i%1000 == 999 || i == len(events)-1 {
			books.commitOnly()
		}
	}
	b.ReportMetric(float64(5*b.N)/b.Elapsed().Seconds(), "postings/s")
}
