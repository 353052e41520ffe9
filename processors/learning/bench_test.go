package learning

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/processors"
)

func turn(rule *Rule, watermark int64, out *processors.Output) {
	rule.Flush(processors.Times{Watermark: watermark, AllowedLateness: late}, out)
	out.Reset()
	for _, table := range rule.Tables() {
		table.Changes(func(string, []byte) {})
		table.Commit()
	}
}

// BenchmarkRule is one accepted event with its share of a transaction of 4,000, of an installation without scores and of one
// where every player has two weeks of pending scores: of a hundred events two start a session and one completes a checkout.
func BenchmarkRule(b *testing.B) {
	for _, scores := range []int{0, 14} {
		b.Run(fmt.Sprint("scores=", scores), func(b *testing.B) {
			rule, err := New(Config{}, 0)
			if err != nil {
				b.Fatal(err)
			}
			var out processors.Output
			players := make([]string, 20_000)
			for i := range players {
				players[i] = fmt.Sprintf("01920f4e-8c00-7abc-%012d", i)
				for d := range scores {
					rule.Apply(typical(players[i], start-int64(d)*day), start-int64(d)*day)
				}
				if i%1000 == 999 {
					turn(rule, start-15*day, &out)
				}
			}
			heartbeat, begin, bought := session("", start), session("", start), checkout(event.CheckoutCompleted, "", "", start, 100)
			heartbeat.Type = event.Heartbeat
			b.ReportAllocs()
			i := int64(0)
			for b.Loop() {
				ev := heartbeat
				switch i % 100 {
				case 0, 50:
					ev = begin
				case 25:
					ev = bought
					ev.Checkout.CheckoutID = players[i/2%int64(len(players))]
				}
				ev.PlayerID = players[i/10%int64(len(players))]
				at := start + i/20
				rule.Apply(ev, at)
				if i++; i%4000 == 0 {
					turn(rule, at-10_000, &out)
				}
			}
		})
	}
}

// typical is a score of a regular player: most features are small counts, some are not whole.
func typical(player string, at int64) *event.Event {
	x := make([]float64, len(feature.Player.Features))
	for i, f := range feature.Player.Features {
		switch f.Type {
		case feature.Count:
			x[i] = float64(i * 7 % 300)
		case feature.Amount:
			x[i] = 4_999 * float64(i%5)
		default:
			x[i] = 86_400.123 / float64(i+1)
		}
	}
	ev := scored(player, at, x...)
	ev.Score.ModelVersion, ev.Score.ShadowVersion, ev.Score.ShadowP = "churn-20260301T101112-abcdef12", "churn-20260308T101112-12abcdef", 0.25
	ev.Score.FeatureHash = feature.Player.Hash()
	return ev
}

// TestMemoryOfPendingScores: what a pending score costs, in the change-log and on the heap.
func TestMemoryOfPendingScores(t *testing.T) {
	rule, err := New(Config{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var out processors.Output
	const players, each = 2000, 14
	for i := range players {
		for d := range each {
			rule.Apply(typical(fmt.Sprintf("01920f4e-8c00-7abc-%012d", i), start+int64(d)*day), start+int64(d)*day)
		}
		if i%100 == 99 {
			turn(rule, start, &out)
		}
	}
	const n = players * each
	encoded, held := (rule.players.Bytes()+rule.snapshots.Bytes())/n, int64(heap()-before)/n
	t.Logf("a pending score takes %d B in the change-log and %d B of heap", encoded, held)
	if rule.snapshots.Len() != n || encoded > 500 || held > 900 {
		t.Errorf("%d pending scores of %d B, %d B of heap", rule.snapshots.Len(), encoded, held)
	}
	runtime.KeepAlive(rule)
}
