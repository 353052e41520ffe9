package churn

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

// cpuTime is the process's, which a busy machine distorts less than the clock.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkPartition is the whole of the runtime with churn alone, decoding and
// publishing included, and as a multiple of decoding alone: typical players with a month behind them, events of a live drop, one
// transaction per 10,000.
func BenchmarkPartition(b *testing.B) {
	for _, players := range []int{2_000, 50_000} {
		b.Run(fmt.Sprint("players=", players), func(b *testing.B) {
			rule, partition := newPartition(Config{})
			r := rand.New(rand.NewPCG(1, 1))
			clock := int64(1_772_452_800_000) + 31*day
			names := make([]string, players)
			states := months(200, 6, typical)
			for i := range names {
				names[i] = fmt.Sprintf("0192f1a4c0de%020d", i)
				value := binary.LittleEndian.AppendUint64(nil, uint64(clock+day))
				if err := rule.players.Restore(names[i], append(value, states[i%len(states)]...)); err != nil {
					b.Fatal(err)
				}
			}
			const batch = 10_000
			records := make([]event.Record, batch)
			bytes := 0
			make := func() {
				for i := range records {
					clock += int64(i % 2 * r.IntN(2))
					var e event.Event
					kind := []event.Kind{event.KindPlayer, event.KindPlayer, event.KindLatency, event.KindLatency, event.KindCheckout}[r.IntN(5)]
					e.Reset(kind)
					binary.BigEndian.PutUint64(e.ID[:], uint64(clock)<<16|0x7000|r.Uint64()&0xfff)
					binary.BigEndian.PutUint64(e.ID[8:], r.Uint64())
					e.EventTime, e.IngestTime, e.PlayerID = clock-r.Int64N(3_000), clock, names[r.IntN(players)]
					e.SessionID, e.DropID, e.CreatorID, e.Region, e.POP, e.Language = "0192f1a4c0de4d1a", "drop-2026-04", "creator-17", "DE", "FRA", "de-DE"
					switch kind {
					case event.KindPlayer:
						e.Type = []event.Type{event.Heartbeat, event.Heartbeat, event.LandingView, event.OfferClick}[r.IntN(4)]
					case event.KindLatency:
						e.Type, e.Latency.Request, e.Latency.MS, e.Latency.CPUMS, e.Latency.EgressBytes = event.EdgeRequest, event.RequestSegment, 10+float64(r.IntN(900_00))/100, 3.5, 48_213
					case event.KindCheckout:
						e.Type, e.Checkout.CheckoutID, e.Checkout.Amount, e.Checkout.Currency, e.Checkout.SKU = event.CheckoutStarted, "k-0192f1a4c0de", 4_999, "USD", "jacket-m"
					}
					value := event.Append(nil, &e)
					bytes += len(value)
					records[i] = event.Record{Kind: kind, Timestamp: clock, Key: []byte(e.PlayerID), Value: value}
				}
			}
			events, published, cpu, baseline := 0, 0, time.Duration(0), time.Duration(0)
			var decoder event.Decoder
			var decoded event.Event
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				make()
				before := cpuTime()
				for i := range records {
					decoder.Decode(records[i].Kind, records[i].Value, &decoded)
				}
				baseline += cpuTime() - before
				before = cpuTime()
				b.StartTimer()
				for i := range records {
					if outcome := partition.Process(records[i]); outcome != event.Accepted {
						b.Fatal("outcome", outcome)
					}
				}
				published += len(partition.Flush(clock, []bool{true, true, true}))
				partition.Changes(func(string, []byte) {})
				partition.Commit()
				cpu += cpuTime() - before
				events += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(events), "cpu-ns/event")
			b.ReportMetric(float64(cpu)/float64(baseline), "×decode")
			b.ReportMetric(float64(published)/float64(events), "published/event")
			b.ReportMetric(float64(bytes)/float64(events), "B/event")
		})
	}
}

// BenchmarkWindows is what all four windows of a player's features cost, by how far the player's activity reaches back: tiles
// are merged as they age, so that 28 days are at most 64 of them however much happened. rescan is the alternative, adding up the
// events themselves, with one every ten minutes.
func BenchmarkWindows(b *testing.B) {
	cfg := Config{}.withDefaults()
	now := int64(1_772_452_800_000) + 31*day
	for _, reach := range []struct {
		name string
		ms   int64
	}{{"1h", hour}, {"24h", day}, {"7d", 7 * day}, {"28d", 28 * day}} {
		var p player
		var times []int64
		for at := now - reach.ms; at < now; at += 10 * minute {
			var e event.Event
			e.Reset(event.KindPlayer)
			e.Type, e.EventTime = event.LandingView, at
			p.apply(&e, at, &cfg)
			p.settle(at, at, &cfg)
			times = append(times, at)
		}
		var f event.Features
		b.Run(reach.name+"/tiles", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.features(&f, &cfg)
			}
			b.ReportMetric(float64(len(times)), "events")
		})
		b.Run(reach.name+"/rescan", func(b *testing.B) {
			var counts [len(windows)]int
			for b.Loop() {
				for _, at := range times {
					for w := range windows {
						if at >= windowStart(w, now) {
							counts[w]++
						}
					}
				}
			}
		})
	}
}
