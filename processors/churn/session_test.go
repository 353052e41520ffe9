package churn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// TestOrderOnACoarseGrid feeds one player from a grid on which every boundary
// (a gap of exactly G, an interval of exactly 1.5·H and 3·H, equal moments) is hit often,
// as late as events may come, and gives up everything that the horizon allows to.
func TestOrderOnACoarseGrid(t *testing.T) {
	cfg := Config{SessionGap: 60_000, Heartbeat: 10_000}.withDefaults()
	const lateness = 90_000
	for seed := range uint64(800) {
		r := rand.New(rand.NewPCG(seed, 9))
		var all []event.Event
		for range 2 + r.IntN(30) {
			var e event.Event
			e.Reset(event.KindPlayer)
			e.PlayerID, e.EventTime = "p", 1_772_452_800_000+5_000*r.Int64N(200)
			e.Type = []event.Type{event.SessionStart, event.Heartbeat, event.Heartbeat, event.SessionEnd, event.LandingView}[r.IntN(5)]
			e.Player.HeartbeatMS = []int64{0, 0, 20_000}[r.IntN(3)]
			all = append(all, e)
		}
		arrival := map[int]int64{}
		order := r.Perm(len(all))
		for _, i := range order {
			arrival[i] = all[i].EventTime + []int64{0, lateness, r.Int64N(lateness + 1)}[r.IntN(3)]
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(arrival[a] - arrival[b]) })

		var p player
		newest := int64(math.MinInt64 / 2)
		for _, i := range order {
			at := all[i].EventTime
			if at <= newest-lateness-1 {
				t.Fatalf("seed %d: event %d is late", seed, i)
			}
			p.apply(&all[i], at, &cfg)
			newest = max(newest, at)
			p.settle(newest-lateness-1, newest-lateness-1, &cfg)
			if r.IntN(4) == 0 {
				var again player
				if err := (playerCodec{}).Decode(playerCodec{}.Append(nil, &p), &again); err != nil {
					t.Fatal(err)
				}
				p = again
			}
		}
		var got event.Features
		p.features(&got, &cfg)
		got.PlayerID = "p"
		if diff := same(got, reference(all, cfg)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// Without a watermark, what waits for it is bounded, and in order nothing is lost by that.
func TestBoundsWithoutWatermark(t *testing.T) {
	cfg := Config{}.withDefaults()
	var p player
	var all []event.Event
	for i := range int64(4 * maxMarks) {
		var e event.Event
		e.Reset(event.KindPlayer)
		e.PlayerID, e.Type, e.EventTime = "p", event.Heartbeat, 1_772_452_800_000+i*30_000+i/4*50*minute
		p.apply(&e, e.EventTime, &cfg)
		all = append(all, e)
	}
	if len(p.marks.list) > maxMarks || len(p.sessions.open) > maxOpen {
		t.Errorf("%d marks and %d sessions are kept", len(p.marks.list), len(p.sessions.open))
	}
	var got event.Features
	p.features(&got, &cfg)
	got.PlayerID = "p"
	if diff := same(got, reference(all, cfg)); diff != "" {
		t.Error(diff)
	}
	// An event older than what is kept must not count playtime or a session twice.
	old := all[0]
	old.EventTime += 10_000
	p.apply(&old, old.EventTime, &cfg)
	var after event.Features
	p.features(&after, &cfg)
	if after.PlaytimeS != got.PlaytimeS || after.SessionsTotal != got.SessionsTotal || after.GapMeanS != got.GapMeanS {
		t.Errorf("an event before the kept ones made\n%s\nof\n%s", after.AppendJSON(nil), got.AppendJSON(nil))
	}
}

func TestDistinctsAreBoundedInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	type seen struct {
		id string
		at int64
	}
	var all []seen
	for range 5 * maxSightings {
		all = append(all, seen{fmt.Sprint(r.IntN(2 * maxSightings)), 1_772_452_800_000 + r.Int64N(27)*day})
	}
	var want []uint32
	for range 5 {
		var s sightings
		for _, x := range all {
			s.add(x.id, x.at)
		}
		var got []uint32
		for d := range int64(28) {
			got = append(got, s.since(1_772_452_800_000+d*day))
		}
		if len(s) > maxSightings || want != nil && !slices.Equal(got, want) {
			t.Errorf("%d IDs, counts %v, in another order %v", len(s), got, want)
		}
		want = got
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
}
