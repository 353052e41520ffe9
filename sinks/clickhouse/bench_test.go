package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/droplift/droplift/ingest/event"
)

// benchRecords are the records of one batch as a drop would bring them: 20,000 players, 12 POPs, 8 languages.
func benchRecords(kind event.Kind, n int) []event.Record {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]event.Record, n)
	for i := range out {
		ev := event.Event{Kind: kind}
		for k := range ev.ID {
			ev.ID[k] = byte(random.Uint32())
		}
		p := random.IntN(20_000)
		ev.EventTime = monday + int64(i)
		ev.IngestTime = ev.EventTime + 40
		ev.PlayerID = fmt.Sprintf("player-%08x-%06d", uint32(p)*2654435761, p)
		ev.SessionID = fmt.Sprintf("session-%08x", uint32(p)*40503)
		ev.DropID, ev.CreatorID, ev.Region = "drop-2025w36", "creator-17", []string{"DE", "FR", "US", "BR"}[p%4]
		ev.POP, ev.Language = fmt.Sprintf("pop-%02d", p%12), []string{"de-DE", "fr-FR", "en-US", "pt-BR"}[p%4]
		ev.Consent, ev.SampleRate, ev.SchemaVersion = 7, 1, 1
		switch kind {
		case event.KindPlayer:
			ev.Type = []event.Type{event.Heartbeat, event.LandingView, event.OfferImpression, event.OfferClick}[i%4]
			ev.Player.SKU, ev.Player.HeartbeatMS = "jacket-black", 30_000
		case event.KindCheckout:
			ev.Type = []event.Type{event.CheckoutStarted, event.CheckoutCompleted}[i%2]
			ev.Checkout = event.Checkout{CheckoutID: fmt.Sprintf("checkout-%012d", i), Amount: 4999, Currency: "USD", SKU: "jacket-black", Quantity: 1, SplitVersion: 1, Channel: "web"}
		}
		out[i] = event.Record{Kind: kind, Offset: int64(i), Timestamp: ev.IngestTime + 3, Value: event.Append(nil, &ev)}
	}
	return out
}

// BenchmarkInsert compares the loader (decode, columns, insert) with clickhouse-go inserting the same rows from columns that
// are there already, into the same table with the same views, in batches of 100,000.
func BenchmarkInsert(b *testing.B) {
	const size = 100_000
	for _, kind := range []event.Kind{event.KindPlayer, event.KindCheckout} {
		rs := benchRecords(kind, size)
		var bytes int64
		for _, r := range rs {
			bytes += int64(len(r.Value))
		}
		b.Run(kind.Topic()+"/loader", func(b *testing.B) {
			l := newTestLoader(b, newSink(b, open(b)), kind, 0)
			l.sealed = 1
			b.SetBytes(bytes)
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				for _, r := range rs {
					r.Offset += n * size
					l.Add(r)
				}
				batch := l.Seal(n*size, n*size+size-1, false)
				if _, err := batch.Write(b.Context()); err != nil {
					b.Fatal(err)
				}
				batch.Close()
				n++
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(kind.Topic()+"/bare", func(b *testing.B) {
			c := open(b)
			l := newTestLoader(b, newSink(b, c), kind, 0)
			for _, r := range rs {
				l.Add(r)
			}
			ctx := ch.Context(b.Context(), ch.WithColumnNamesAndTypes(l.wire))
			b.SetBytes(bytes)
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				rows, err := c.conn.PrepareBatch(ctx, l.insert)
				if err != nil {
					b.Fatal(err)
				}
				for i, column := range l.table.columns {
					var values any
					switch column := column.(type) {
					case *text:
						if column.strings == nil {
							start := 0
							for _, end := range column.ends {
								column.strings = append(column.strings, string(column.arena[start:end]))
								start = end
							}
						}
						values = column.strings
					default:
						if err := column.send(rows.Column(i), span{to: size}); err != nil {
							b.Fatal(err)
						}
						continue
					}
					if err := rows.Column(i).Append(values); err != nil {
						b.Fatal(err)
					}
				}
				if err := rows.Send(); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkAdd is the part of the loader that is ours alone: decoding into columns.
func BenchmarkAdd(b *testing.B) {
	s := &Sink{metrics: nil}
	for _, kind := range []event.Kind{event.KindPlayer, event.KindCheckout} {
		b.Run(kind.Topic(), func(b *testing.B) {
			rs := benchRecords(kind, 10_000)
			l := newLoader(s, kind, kind.Topic(), 0)
			b.SetBytes(int64(len(rs[0].Value)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(rs) {
					i = 0
					l.Discard()
				}
				l.Add(rs[i])
				i++
			}
		})
	}
}
