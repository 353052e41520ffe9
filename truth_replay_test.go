package main

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	models "github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
)

// Training sets of a month that is replayed as fast as a processor can read it tell no more of who comes back than those of
// a month that was lived through: the age of a player's newest features, which hidden revisions tell most by, ranks players alike.
func TestTruthOfReplayedFeatures(t *testing.T) {
	s := simulate.Demo(71)
	s.Players = 500
	g, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	s = g.Scenario()
	begin := s.StartMS - s.HistoryMS
	var records []event.Record
	var r simulate.Record
	var d event.Decoder
	var ev event.Event
	drops, starts := dropsOf{}, map[string][]int64{}
	for g.Next(&r) && r.Phase < simulate.Live {
		if err := d.Decode(r.Kind, r.Value, &ev); err == nil && r.Kind == event.KindDrop {
			drop := ev.Clone().Drop
			drops[strings.Clone(ev.DropID)] = &drop
		} else if err == nil && ev.Type == event.SessionStart && !ev.Synthetic {
			starts[strings.Clone(ev.PlayerID)] = append(starts[strings.Clone(ev.PlayerID)], ev.EventTime)
		}
		if slices.Contains(stageInputs, r.Kind) {
			records = append(records, event.Record{Kind: r.Kind, Timestamp: r.At, Key: slices.Clone(r.Key), Value: slices.Clone(r.Value)})
		}
	}

	type revision struct {
		asOf     int64
		revision uint64
	}
	caughtUp := slices.Repeat([]bool{true}, len(stageInputs))
	// area is the AUC of the features' age for who stays away for three days, of transactions of so many records, with the flush's
	// clock after each; of how many rows; and how many revisions there are.
	area := func(most int, clock func(i int) int64) (auc float64, rows, revisions int) {
		partition := processors.NewPartition(0, processors.Config{Inputs: stageInputs}, drops, []processors.Rule{churn.New(churn.Config{})})
		told := map[string][]revision{}
		flush := func(now int64) {
			for _, m := range partition.Flush(now, caughtUp) {
				if m.Kind != event.KindFeatures {
					continue
				}
				var f event.Features
				if err := d.Features(m.Value, &f); err != nil {
					t.Fatal(err)
				}
				told[string(m.Key)] = append(told[string(m.Key)], revision{f.AsOf, f.Revision})
				revisions++
			}
			partition.Changes(func(string, []byte) {})
			partition.Commit()
		}
		for i := range records {
			partition.Process(records[i])
			if i%most == most-1 {
				flush(clock(i))
			}
		}
		flush(clock(len(records)-1) + 1000)
		var p, y []float64
		for t0 := begin + 7*dayMS; t0 <= s.StartMS-4*dayMS; t0 += dayMS {
			for player, of := range told {
				newest := revision{}
				for _, f := range of {
					if f.asOf <= t0 && f.revision > newest.revision {
						newest = f
					}
				}
				if newest.revision == 0 {
					continue
				}
				age, from := float64(t0-newest.asOf), t0+churnLabel.EmbargoMS
				p = append(p, age/(age+float64(dayMS)))
				y = append(y, one(!slices.ContainsFunc(starts[player], func(at int64) bool { return from <= at && at < from+3*dayMS })))
			}
		}
		return must(models.Evaluate(p, y, 10)).AUC, len(p), revisions
	}
	live, rows, often := area(10, func(i int) int64 { return records[i].Timestamp })
	t.Logf("%d records live: AUC %.4f of %d rows, of %d revisions", len(records), live, rows, often)
	if live < 0.55 || live > 0.7 {
		t.Errorf("live, the age's AUC is %.4f", live)
	}
	for name, most := range map[string]int{"a transaction": len(records), "transactions of two days": 6_000, "transactions of an hour": 120} {
		replayed, n, revisions := area(most, func(i int) int64 { return records[0].Timestamp + int64(i/100) }) // 100 records a millisecond
		t.Logf("in %s: AUC %.4f of %d rows, of %d revisions", name, replayed, n, revisions)
		// Within a visit a replay may be behind by the gap between visits, of ages of days.
		if n != rows || math.Abs(replayed-live) > 0.002 {
			t.Errorf("in %s the age's AUC is %.4f of %d rows, and live %.4f of %d", name, replayed, n, live, rows)
		}
		if revisions > often/2 {
			t.Errorf("in %s there are %d revisions, and live %d", name, revisions, often)
		}
	}
}
