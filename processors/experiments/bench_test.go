package experiments

import (
	"fmt"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// BenchmarkRule is one accepted event of a drop with an experiment, with its share of a transaction of 4,000: of ten
// events one is an exposure, one in fifty a purchase, and the others are none of the rule's business.
func BenchmarkRule(b *testing.B) {
	rule, err := New(Config{}, 0, oneDrop(cta()))
	if err != nil {
		b.Fatal(err)
	}
	players := make([]string, 200_000)
	for i := range players {
		players[i] = fmt.Sprintf("01920f4e-8c00-7abc-%012d", i)
	}
	design := planOf(oneDrop(cta())["d"]).experiments[0].design
	exposure, purchase, other := shown("", "", "fr", start), paid(event.CheckoutCompleted, "", start, 0), shown("", "", "fr", start)
	other.Type = event.Heartbeat
	var out processors.Output
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		ev := other
		switch {
		case i%50 == 1:
			ev = purchase
		case i%10 == 0:
			ev = exposure
		}
		ev.PlayerID = players[i/10%len(players)]
		if ev == exposure {
			ev.Player.Variant = []string{"a", "b"}[max(0, design.Variant(ev.PlayerID))]
		}
		rule.Apply(ev, start+int64(i)/20)
		if i%4000 == 3999 {
			rule.Flush(processors.Times{Watermark: start}, &out)
			out.Reset()
			for _, table := range rule.Tables() {
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
		}
	}
}
