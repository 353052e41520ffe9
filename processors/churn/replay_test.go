package churn

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// TestAnySpeedTellsTheSame replays seeded histories in one transaction, in some, with a clock that stands still, and event by event
// as if they were live, with events out of order, aborts and restarts. Training sets of any time, that is the newest revision up to then, must
// be as complete: between two visits they hold all that had happened, during one they are behind it by SessionGap at most.
func TestAnySpeedTellsTheSame(t *testing.T) {
	const start = int64(1_772_452_800_000)
	gap := Config{}.withDefaults().SessionGap
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 41))
		var all []event.Event
		for player := range 4 {
			all = append(all, visits(r, fmt.Sprint("p", player), start, 8)...)
		}
		arrival := map[[16]byte]int64{}
		for _, e := range all {
			arrival[e.ID] = e.EventTime + []int64{0, r.Int64N(20_000)}[r.IntN(2)]
		}
		slices.SortStableFunc(all, func(a, b event.Event) int { return int(arrival[a.ID] - arrival[b.ID]) })
		times := []int64{start + 8*day}
		for range 300 {
			times = append(times, start+r.Int64N(8*day))
		}
		happened, newer := map[string][]event.Event{}, map[string][]int64{} // newer than all that had arrived
		for _, e := range all {
			if counts(&e) {
				happened[e.PlayerID] = append(happened[e.PlayerID], e)
				if n := newer[e.PlayerID]; len(n) == 0 || e.EventTime > n[len(n)-1] {
					newer[e.PlayerID] = append(n, e.EventTime)
				}
			}
			if r.IntN(20) == 0 {
				times = append(times, e.EventTime+1, e.EventTime+gap)
			}
		}

		published := map[string]int{}
		wants := map[string]*event.Features{} // by player and the number of newer
		for name, speed := range map[string]struct {
			most int                      // records of a transaction
			now  func(*event.Event) int64 // clock of a flush, after an event
		}{
			"live":        {1, func(e *event.Event) int64 { return arrival[e.ID] }},
			"full":        {len(all), func(*event.Event) int64 { return start }},
			"fast":        {700, func(e *event.Event) int64 { return start + (arrival[e.ID]-start)/100_000 }},
			"clock still": {30, func(*event.Event) int64 { return start }},
			"clock back":  {90, func(e *event.Event) int64 { return start + start - arrival[e.ID] }},
		} {
			told := revisions(t, rand.New(rand.NewPCG(seed, 43)), all, speed.most, speed.now)
			for player, events := range happened {
				published[name] += len(told[player])
				for _, at := range times {
					n, _ := slices.BinarySearch(newer[player], at)
					row, _ := slices.BinarySearchFunc(told[player], at+1, func(f event.Features, at int64) int { return cmp.Compare(f.AsOf, at) })
					row-- // the newest revision of those that are not after at
					if n == 0 {
						if row >= 0 {
							t.Fatalf("seed %d, %s: %s has features as of %d, before it was seen", seed, name, player, at)
						}
						continue
					}
					newest := newer[player][n-1]
					if row < 0 {
						t.Fatalf("seed %d, %s: %s has no features as of %d, after an event at %d", seed, name, player, at, newest)
					}
					f := told[player][row]
					if behind := newest + 1 - f.AsOf; behind > gap {
						t.Fatalf("seed %d, %s: as of %d, features of %s are %d s behind the newest event at %d", seed, name, at, player, behind/1000, newest)
					}
					if visiting := slices.ContainsFunc(events, func(e event.Event) bool { return e.EventTime > newest && e.EventTime <= newest+gap }); visiting {
						continue
					}
					whole := fmt.Sprint(player, n)
					if wants[whole] == nil {
						want := reference(slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool { return e.EventTime >= at }), Config{})
						wants[whole] = &want
					}
					if diff := same(f, *wants[whole]); diff != "" {
						t.Fatalf("seed %d, %s: %s between visits, as of %d:%s", seed, name, player, at, diff)
					}
				}
			}
		}
		t.Logf("seed %d: %d events, revisions %v", seed, len(all), published)
		if published["full"] > published["live"]/2 {
			t.Errorf("seed %d: %d revisions at full speed and %d live: nothing was thinned out", seed, published["full"], published["live"])
		}
	}
}

// revisions are what a rule publishes of every player, in order, when it is given the events in transactions of up to most.
func revisions(t *testing.T, r *rand.Rand, all []event.Event, most int, now func(*event.Event) int64) map[string][]event.Features {
	t.Helper()
	_, partition := newPartition(Config{})
	log, told := map[string][]byte{}, map[string][]event.Features{}
	var decoder event.Decoder
	transaction := func(batch []event.Event, at int64) []event.Message {
		for i := range batch {
			if outcome := partition.Process(record(&batch[i])); outcome != event.Accepted {
				t.Fatalf("event at %d has outcome %d", batch[i].EventTime, outcome)
			}
		}
		return partition.Flush(at, []bool{true, true, true})
	}
	commit := func(messages []event.Message) {
		for _, m := range messages {
			var f event.Features
			if err := decoder.Features(m.Value, &f); err != nil {
				t.Fatal(err)
			}
			f.SpendCurrency = strings.Clone(f.SpendCurrency)
			before := told[string(m.Key)]
			if n := len(before); n > 0 && (f.Revision <= before[n-1].Revision || f.AsOf < before[n-1].AsOf) {
				t.Fatalf("revision %d as of %d after %d as of %d", f.Revision, f.AsOf, before[n-1].Revision, before[n-1].AsOf)
			}
			told[string(m.Key)] = append(before, f)
		}
		partition.Changes(func(key string, value []byte) { log[strings.Clone(key)] = bytes.Clone(value) })
		partition.Commit()
	}
	last := now(&all[len(all)-1])
	for rest := all; len(rest) > 0; {
		n := min(len(rest), most)
		batch := rest[:n]
		rest = rest[n:]
		at := now(&batch[n-1])
		if r.IntN(10) == 0 {
			transaction(batch, at)
			partition.Rollback()
		}
		commit(transaction(batch, at))
		if r.IntN(10) == 0 {
			_, partition = newPartition(Config{})
			for key, value := range log {
				if err := partition.Restore(key, value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	commit(transaction(nil, last+60_000))
	return told
}
