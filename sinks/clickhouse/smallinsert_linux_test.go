package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
)

// traffic is what one topic of a drop at 20,000 events/s brings into one of four partitions within half a second, as the
// demo's scenario and its processors publish it.
var traffic = []struct {
	kind event.Kind
	rows int
}{
	{event.KindPlayer, 2250}, {event.KindLatency, 210}, {event.KindCheckout, 20}, {event.KindSubtitle, 22},
	{event.KindFeatures, 900}, {event.KindVelocity, 60},
}

const (
	trafficPartitions = 4
	trafficEvery      = 500 * time.Millisecond
)

// BenchmarkSmallInserts measures what batches of the size that a live drop fills cost ClickHouse: processor time of its
// process, which depends less than their duration on what else the machine does, until the merges they cause are done. Each
// kind alone inserts as fast as it can; all together keep the pace of a drop, one iteration every half second. Run it with a
// fixed -benchtime, 200x for a kind, 40x for all, and with TMPDIR on a memory file system to leave out what the disk's costs.
func BenchmarkSmallInserts(b *testing.B) {
	samples := sampleRecords(b, 50_000)
	for _, t := range traffic {
		b.Run(t.kind.Topic(), func(b *testing.B) {
			feeds := newFeeds(b, migrated.ClickHouse(b), t.kind, samples[t.kind], t.rows)
			feeds.measure(b, func() {
				for n := 0; b.Loop(); n++ {
					if err := feeds.loaders[n%trafficPartitions].next(b); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	b.Run("all", func(b *testing.B) {
		server := migrated.ClickHouse(b)
		all := &feeds{server: server}
		for _, t := range traffic {
			one := newFeeds(b, server, t.kind, samples[t.kind], t.rows)
			all.client, all.loaders = one.client, append(all.loaders, one.loaders...)
		}
		all.measure(b, func() {
			pace := time.NewTicker(trafficEvery)
			defer pace.Stop()
			for b.Loop() {
				<-pace.C
				var group errgroup.Group
				group.SetLimit(4)
				for _, f := range all.loaders {
					group.Go(func() error { return f.next(b) })
				}
				if err := group.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// feed inserts one batch after the other into one topic-partition.
type feed struct {
	loader  *Loader
	records []event.Record
	rows    int
	offset  int64
}

func (f *feed) next(b *testing.B) error {
	first := f.offset
	for range f.rows {
		r := f.records[int(f.offset)%len(f.records)]
		r.Offset = f.offset
		f.loader.Add(r)
		f.offset++
	}
	batch := f.loader.Seal(first, f.offset-1, false)
	defer batch.Close()
	refused, err := batch.Write(b.Context())
	if refused {
		return fmt.Errorf("the batch of offset %d was refused", first)
	}
	return err
}

// feeds are those of all partitions, with the server they go to.
type feeds struct {
	server  *embedded.ClickHouse
	client  *Client
	loaders []*feed
}

func newFeeds(b *testing.B, server *embedded.ClickHouse, kind event.Kind, samples []event.Record, rows int) *feeds {
	f := &feeds{server: server, client: connectTo(b, server)}
	sink := newSink(b, f.client)
	for partition := range int32(trafficPartitions) {
		share := len(samples) / trafficPartitions
		one := &feed{loader: newTestLoader(b, sink, kind, partition), records: samples[int(partition)*share:][:share], rows: rows}
		// The first batch is checked as one that may be stored already.
		if err := one.next(b); err != nil {
			b.Fatal(err)
		}
		f.loaders = append(f.loaders, one)
	}
	return f
}

// measure reports what ClickHouse uses for what run inserts.
func (f *feeds) measure(b *testing.B, run func()) {
	inserted := func() (rows int64) {
		for _, one := range f.loaders {
			rows += one.offset
		}
		return rows
	}
	f.settle(b)
	rows, used, began := -inserted(), -processTime(b, f.server.PID()), time.Now()
	run()
	busy := time.Since(began)
	direct := used + processTime(b, f.server.PID())
	f.settle(b)
	rows, used = rows+inserted(), used+processTime(b, f.server.PID())
	var inserts float64
	for _, one := range f.loaders {
		inserts += float64(one.offset)/float64(one.rows) - 1
	}
	b.ReportMetric(float64(used.Microseconds())/inserts, "cpu-µs/insert")
	b.ReportMetric(float64(used.Microseconds())/float64(rows), "cpu-µs/row")
	b.ReportMetric(float64(direct)/float64(busy), "cores")
	b.ReportMetric(0, "ns/op")
}

// settle waits until nothing is merged any more.
func (f *feeds) settle(b *testing.B) {
	for quiet := 0; quiet < 3; quiet++ {
		time.Sleep(100 * time.Millisecond)
		if value(b, f.client, "SELECT count() FROM system.merges") != "0" {
			quiet = 0
		}
	}
}

// processTime is the processor time that a process has used, its threads of the past included.
func processTime(b *testing.B, pid int) time.Duration {
	var t unix.Timespec
	// clock_getcpuclockid(3): the complement of the id, and 2 for scheduled time.
	if err := unix.ClockGettime(int32(^pid)<<3|2, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// sampleRecords makes up to n records of every kind of the traffic: raw ones as the simulator makes them, derived ones in the
// likeness of the processors'.
func sampleRecords(b *testing.B, n int) map[event.Kind][]event.Record {
	generator, err := simulate.New(simulate.Crowd(1))
	if err != nil {
		b.Fatal(err)
	}
	out := map[event.Kind][]event.Record{}
	var decoder event.Decoder
	var ev event.Event
	for r := (simulate.Record{}); generator.Next(&r); {
		if len(out[r.Kind]) < n && r.Kind != event.KindDrop && decoder.Decode(r.Kind, r.Value, &ev) == nil {
			out[r.Kind] = append(out[r.Kind], event.Record{Kind: r.Kind, Timestamp: r.At, Value: r.Value})
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		at := monday + int64(i)
		out[event.KindFeatures] = append(out[event.KindFeatures], event.Record{Kind: event.KindFeatures, Timestamp: at, Value: sampleFeatures(random, at)})
		out[event.KindVelocity] = append(out[event.KindVelocity], event.Record{Kind: event.KindVelocity, Timestamp: at, Value: sampleVelocity(random, at)})
	}
	return out
}

func sampleFeatures(random *rand.Rand, at int64) []byte {
	f := event.Features{
		PlayerID: fmt.Sprintf("p-%016x", random.Uint64N(10_000)*0x9e3779b97f4a7c15), Revision: uint64(at - monday + 1), AsOf: at, Watermark: at - 10_000,
		SpendCurrency: "USD", FirstActivity: at - int64(random.IntN(2_000_000_000)), LastActivity: at - 1, SessionsTotal: uint32(random.IntN(60)),
		GapMeanS: 40_000 * random.Float64(), GapVarS2: 1e9 * random.Float64(),
	}
	for w := range event.NumWindows {
		n := uint32(w + 1)
		f.Sessions[w], f.ActiveDays[w], f.PlaytimeS[w] = 1+random.Uint32N(n*n), 1+random.Uint32N(n), random.Uint32N(n*3600)
		f.Landings[w], f.Impressions[w], f.Clicks[w] = random.Uint32N(4*n), random.Uint32N(6*n), random.Uint32N(2*n)
		f.Checkouts[w], f.NetSpend[w] = random.Uint32N(2), 4999*random.Int64N(2)
		f.Creators[w], f.Drops[w] = 1+random.Uint32N(n), 1
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = 40+40*random.Float64(), 100+200*random.Float64()
	}
	return f.AppendJSON(nil)
}

func sampleVelocity(random *rand.Rand, at int64) []byte {
	const pane = 10_000
	v := event.Velocity{
		DropID: "drop-2025w36", POP: fmt.Sprintf("pop-%02d", random.IntN(12)), Partition: int32(random.IntN(trafficPartitions)),
		PaneStart: at / pane * pane, PaneMS: pane, Revision: uint64(at - monday + 1), Watermark: at - pane,
		Conversions: 1, TimeToConvert: []event.TimeToConvert{{Panes: random.Uint32N(60), Count: 1}},
		Money: []event.Money{{Currency: "USD", Gross: 4999 * random.Int64N(4)}},
	}
	for k := range event.NumSteps {
		v.Events[k] = random.Uint32N(uint32(60 - 10*k))
		v.Players[k] = v.Events[k] / 2
	}
	return v.AppendJSON(nil)
}
