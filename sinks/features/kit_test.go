package features

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

const (
	// noon is the event time and the clock of the tests.
	noon       = int64(1_760_000_000_000)
	partitions = 4
)

func partitionOf(player string) int32 { return int32(crc32.ChecksumIEEE([]byte(player)) % partitions) }

func newTestStore(t testing.TB, adjust ...func(*Config)) (*Store, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg := Config{Total: partitions, PartitionOf: partitionOf, Registerer: reg, Now: func() time.Time { return time.UnixMilli(noon) }}
	for _, f := range adjust {
		f(&cfg)
	}
	s, err := NewStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, reg
}

// count is a metric's value, of the series whose labels' values are these.
func count(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != namespace+name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			slices.Sort(values)
			if slices.Equal(values, slices.Sorted(slices.Values(labels))) {
				return number(m)
			}
		}
	}
	return 0
}

func number(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.GetCounter().GetValue()
	case m.Gauge != nil:
		return m.GetGauge().GetValue()
	}
	return float64(m.GetHistogram().GetSampleCount())
}

// someFeatures are valid ones of a player who has been active.
func someFeatures(player string, revision uint64, asOf int64) event.Features {
	rng := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(player))), revision))
	f := event.Features{
		PlayerID: player, Revision: revision, AsOf: asOf, Watermark: asOf - 10_001, SpendCurrency: "EUR",
		FirstActivity: asOf - 20*24*3600_000, LastActivity: asOf - 1, SessionsTotal: 9, GapMeanS: 40120.5, GapVarS2: 1250000.125,
	}
	for w := range event.NumWindows {
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		if w == 0 {
			continue // the last hour was quiet
		}
		f.Sessions[w], f.ActiveDays[w], f.PlaytimeS[w] = uint32(w*2), uint32(w), uint32(rng.IntN(4000))
		f.Landings[w], f.Impressions[w], f.Clicks[w] = uint32(rng.IntN(9)), uint32(rng.IntN(30)), uint32(rng.IntN(4))
		f.Creators[w], f.Drops[w] = 1, 1
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = math.Floor(rng.Float64()*30000)/100, float64(rng.IntN(900))
	}
	f.Checkouts[3], f.NetSpend[3] = 1, 4999
	return f
}

func recordOf(f event.Features) event.Record {
	return event.Record{Kind: event.KindFeatures, Timestamp: noon - 40, Key: []byte(f.PlayerID), Value: f.AppendJSON(nil)}
}

// log gives each partition the offsets of its records, as a topic does.
type log map[int32][]event.Record

func (l log) add(records ...event.Record) {
	for _, r := range records {
		p := partitionOf(string(r.Key))
		r.Offset = int64(len(l[p]))
		l[p] = append(l[p], r)
	}
}

// play feeds what follows on the offsets to a store that serves all of it, n records at a time.
func (l log) play(t testing.TB, s *Store, from map[int32]int64, n int) {
	t.Helper()
	for _, p := range s.Partitions() {
		end := int64(len(l[p]))
		for next := from[p]; ; {
			to := min(next+int64(n), end)
			if err := s.Apply(Batch{Partition: p, Records: l[p][next:to], Next: to, End: end}); err != nil {
				t.Fatal(err)
			}
			if next = to; next == end {
				break
			}
		}
	}
}

func players(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("p-%016x", uint64(i)*0x9e3779b97f4a7c15)
	}
	return names
}

var set = feature.Player
