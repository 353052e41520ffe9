package velocity

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// BenchmarkRule is one accepted event, decoded already, with its share of the
// transaction around it: 4,000 events at 40 POPs, a flush, the change-log entries and
// the commit. Each player comes about ten times within some time, then no more.
func BenchmarkRule(b *testing.B) {
	for _, crowd := range []int{500, 20_000} {
		b.Run(fmt.Sprintf("at once=%d", crowd), func(b *testing.B) { benchmarkRule(b, crowd) })
	}
}

func benchmarkRule(b *testing.B, crowd int) {
	const (
		start  = int64(1_700_000_000_000)
		perTxn = 4_000
		txnMS  = 200 // of event time: 20 k events/s
	)
	random := rand.New(rand.NewPCG(1, 2))
	weights := []event.Type{event.LandingView, event.LandingView, event.OfferImpression, event.OfferImpression, event.OfferImpression,
		event.OfferClick, event.Heartbeat, event.Heartbeat, event.CheckoutStarted, event.CheckoutCompleted}
	pops := make([]string, 40)
	for i := range pops {
		pops[i] = fmt.Sprintf("pop%02d", i)
	}
	players := make([]string, 500_000)
	for i := range players {
		players[i] = fmt.Sprintf("01920f4e-8c00-7abc-%012d", i)
	}
	ahead := make([]int, 1<<16)
	for i := range ahead {
		ahead[i] = random.IntN(crowd)
	}
	rule, err := New(Config{}, 0, oneDrop(start, start+48*3_600_000))
	if err != nil {
		b.Fatal(err)
	}
	var out processors.Output
	ev := step{what: event.LandingView, drop: "d", amount: 4999, currency: "EUR"}.event()
	changes, published := 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		at := start + int64(i)*txnMS/perTxn
		which := ahead[i%len(ahead)]
		ev.Type, ev.POP = weights[which%len(weights)], pops[which%len(pops)]
		ev.PlayerID = players[(i/10+ahead[i*7%len(ahead)])%len(players)]
		rule.Apply(ev, at)
		if i%perTxn == perTxn-1 {
			rule.Flush(processors.Times{Watermark: at - 10_001, AllowedLateness: 600_000}, &out)
			published += out.Len()
			out.Reset()
			for _, table := range rule.Tables() {
				table.Changes(func(string, []byte) { changes++ })
				table.Commit()
			}
		}
	}
	b.StopTimer()
	if rule.refused != 0 {
		b.Fatalf("refused %d", rule.refused)
	}
	b.ReportMetric(float64(changes)/float64(b.N), "changes/event")
	b.ReportMetric(float64(published)/float64(b.N), "records/event")
}
