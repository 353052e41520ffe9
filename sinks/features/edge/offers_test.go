package edge

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/offer"
)

func stock(sku string, revision uint64, left float64, limited bool) *event.Estimate {
	return &event.Estimate{DropID: "d", Metric: "inventory_remaining", Dimensions: []event.Dimension{{Name: "sku", Value: sku}}, Revision: revision, Enough: limited, Value: left}
}

// What is sold out is not offered; an older estimate changes nothing, and what has no limit is never sold out.
func TestStock(t *testing.T) {
	r := newRig(t)
	r.serve()
	r.drops["d"].Items = r.drops["d"].Items[:1]
	expect := func(step, want string) {
		t.Helper()
		a := r.ask(asked)
		if got := a.noOffer(); got != want && (want != "" || got != "not_chosen") {
			t.Errorf("%s: %q, want %q", step, got, want)
		}
	}
	expect("unknown", "")
	r.Offers.Estimate(stock("d-print", 5, 0, true))
	expect("sold out", "sold_out")
	r.Offers.Estimate(stock("d-print", 4, 10, true))
	expect("an older estimate", "sold_out")
	r.Offers.Estimate(&event.Estimate{DropID: "d", Metric: "latency_loss", Dimensions: []event.Dimension{{Name: "sku", Value: "d-print"}}, Revision: 9, Enough: true, Value: 3})
	expect("another metric", "sold_out")
	r.Offers.Estimate(stock("d-print", 6, -2, true))
	expect("oversold", "sold_out")
	r.Offers.Estimate(stock("d-print", 7, 1, true))
	expect("one left", "")
	// What does not decode is counted, and changes nothing.
	r.Offers.EstimateRecord([]byte(`{"drop_id":"d","metric":7}`))
	r.counted(r.m.invalid.WithLabelValues("estimate", "wrong_type"), 1)
	r.Offers.ExampleRecord([]byte(`{"model":`))
	r.counted(r.m.invalid.WithLabelValues("example", "malformed"), 1)
	r.Offers.EstimateRecord(nil) // compaction's
	r.counted(r.m.invalid.WithLabelValues("estimate", "malformed"), 0)
	r.Offers.Estimate(stock("d-print", 8, 0, false))
	expect("without limit", "")
}

// The budget bounds what is promised, whoever asks at the same time, and one player is promised a discount once.
func TestBudget(t *testing.T) {
	r := newRig(t)
	r.serve()
	left := r.Offers.left[ledger{"print", "EUR"}]
	name, _ := r.playerWhere("offered the print", func(a reply) bool { return a.Offer != nil && a.Offer.Name == "print" })
	before := left.Load()
	for range 5 {
		if a := r.ask(strings.Replace(asked, `"p"`, `"`+name+`"`, 1)); a.Offer == nil || a.Offer.Name != "print" {
			t.Fatalf("the offer changed: %+v", a)
		}
	}
	if left.Load() != before {
		t.Errorf("asked again, %d minor units were promised", before-left.Load())
	}

	left.Store(10 * 200)
	var made atomic.Int64
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 300 {
				var a reply
				body := fmt.Sprintf(`{"player":"w%d-%d","drop":"d","consent":7,"features":%s}`, w, i, inlineFeatures())
				if err := json.Unmarshal(r.post(body).Body.Bytes(), &a); err != nil {
					t.Error(err)
				}
				if a.Offer != nil && a.Offer.Name == "print" {
					made.Add(1)
				}
			}
		})
	}
	group.Wait()
	if made.Load() != 10 || left.Load() != 0 {
		t.Errorf("%d were promised, %d minor units are left", made.Load(), left.Load())
	}
}

func inlineFeatures() string {
	var b strings.Builder
	for _, f := range feature.Player.Features {
		if !f.Nullable {
			fmt.Fprintf(&b, `,%q:1`, f.Name)
		}
	}
	return "{" + b.String()[1:] + "}"
}

// Promises of drops that are over are forgotten, those of drops that run are not.
func TestPromisesSweep(t *testing.T) {
	p := promises{until: map[[16]byte]int64{}, sweep: 100}
	x := offer.Offer{Name: "a", SKU: "b"}
	for i := range 99 {
		p.make("old", &x, fmt.Sprint(i), t0)
	}
	p.make("new", &x, "one", t0+3*day)
	if len(p.until) != 1 || !p.made("new", &x, "one") || p.made("old", &x, "1") {
		t.Errorf("%d promises are remembered", len(p.until))
	}
}

// Outcomes move the odds, once each, and requests see them once they are published.
func TestLearning(t *testing.T) {
	r := newRig(t)
	r.serve()
	feed := func(from, n int, sku string, discount uint32, converted func(int) bool) {
		for i := from; i < from+n; i++ {
			r.Offers.Example(&event.Example{Model: "churn", PlayerID: fmt.Sprint(sku, i), ScoredAt: t0 - 20*day, P: .27, Offer: sku, Discount: discount, Eligible: true, Converted: converted(i)})
		}
	}
	one := func(in int) func(int) bool { return func(i int) bool { return i%in == 0 } }
	feed(0, 2000, "", 0, one(50))            // nothing: 2 % of 9.00
	feed(0, 2000, "d-print", 1000, one(20))  // 5 % of 10.00: the best
	feed(0, 2000, "old-poster", 0, one(100)) // another drop's poster, by the same rule: 1 % of 6.00
	feed(0, 50, "gone", 500, one(1))         // no rule knows it
	feed(2000, 500, "d-print", 900, one(1))  // nor this discount
	r.Offers.Example(&event.Example{Model: "other", PlayerID: "x", ScoredAt: t0, Eligible: true})
	r.Offers.Example(&event.Example{Model: "churn", PlayerID: "x", ScoredAt: t0})
	r.counted(r.m.unlearned, 550)
	r.counted(r.m.examples.WithLabelValues("counted"), 6000)
	feed(0, 100, "d-print", 1000, one(1))
	r.counted(r.m.examples.WithLabelValues("twice"), 100)

	if got := r.Offers.belief.Load().rates.Rate("print", 1); got != (offer.Beta{A: 1, B: 19}) {
		t.Errorf("before it is published the belief is %v", got)
	}
	r.Offers.publish(t0)
	if got := r.Offers.belief.Load().rates.Rate("print", 1); got != (offer.Beta{A: 101, B: 1919}) {
		t.Errorf("the belief is %v", got)
	}
	made := map[string]int{}
	for i := range 300 {
		name := fmt.Sprintf("n%d", i)
		r.players[name] = r.players["p"]
		a := r.ask(strings.Replace(asked, `"p"`, `"`+name+`"`, 1))
		switch {
		case a.Offer != nil:
			made[a.Offer.Name]++
			if math.Abs(a.Offer.Propensity-1) > .02 {
				t.Fatalf("propensity %v", a.Offer.Propensity)
			}
		case !a.Holdout:
			made["nothing"]++
		}
	}
	t.Logf("made %v", made)
	if made["print"] < 250 || made["poster"]+made["nothing"] > 5 {
		t.Errorf("made %v", made)
	}

	// News within 10 s waits.
	feed(10_000, 1, "d-print", 1000, one(1))
	r.Offers.publish(t0 + 9_999)
	if got := r.Offers.belief.Load().rates.Rate("print", 1); got.A != 101 {
		t.Errorf("after 9.999 s the belief is %v", got)
	}
	r.Offers.publish(t0 + 10_000)
	if got := r.Offers.belief.Load().rates.Rate("print", 1); got.A != 102 {
		t.Errorf("after 10 s the belief is %v", got)
	}
}
