package clickhouse

import (
	"fmt"
	"math"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/offer"
)

// The query and the function that models use say the same of the same players, each counted by the first eligible score.
func TestOfferUplift(t *testing.T) {
	c := open(t, embeddedtest.ClickHouse(t))
	var rs []event.Record
	add := func(drop, player string, at int64, change func(*event.Example)) {
		e := event.Example{Model: "churn", PlayerID: player, ScoredAt: at, DropID: drop, Watermark: monday + 20*day, LabelFrom: monday, LabelTo: monday + 14*day, P: .4, Eligible: true}
		change(&e)
		rs = append(rs, event.Record{Kind: event.KindExample, Offset: int64(len(rs)), Timestamp: monday, Value: e.AppendJSON(nil)})
	}
	groups := func(drop string, held, heldConverted, offered, offeredConverted int) {
		for i := range held {
			add(drop, fmt.Sprint(drop, "h", i), monday, func(e *event.Example) { e.Holdout, e.Converted = true, i < heldConverted })
		}
		for i := range offered {
			add(drop, fmt.Sprint(drop, "o", i), monday, func(e *event.Example) {
				e.Converted = i < offeredConverted
				if i%2 == 0 {
					e.Offer, e.Discount, e.Propensity = "sku", 1000, .5
				}
			})
		}
	}
	groups("d1", 48, 5, 400, 60)
	groups("d2", 52, 0, 500, 10)
	groups("d3", 300, 10, 300, 10) // half instead of a tenth
	groups("d4", 0, 0, 3, 1)
	// What must not count: a second score, one of a player whom offers were not for, another model, another time.
	add("d1", "d1h0", monday+1, func(e *event.Example) { e.Holdout, e.Converted = true, false })
	add("d1", "d1o399", monday+2, func(e *event.Example) { e.Converted = true })
	add("d1", "not", monday, func(e *event.Example) { e.Eligible, e.Converted = false, true })
	add("d1", "other", monday, func(e *event.Example) { e.Model = "other" })
	add("d1", "late", monday+week, func(e *event.Example) {})
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindExample, 0), rs)

	rows := cells(t, c, "offer_uplift", Params{"to_ms": monday + week})
	if len(rows) != 5 || rows[0]["drop_id"] != "*" {
		t.Fatalf("rows %v", rows)
	}
	for i, want := range []struct {
		drop          string
		held, offered offer.Group
		made          uint64
	}{
		{"*", offer.Group{N: 400, Converted: 15}, offer.Group{N: 1203, Converted: 81}, 602},
		{"d1", offer.Group{N: 48, Converted: 5}, offer.Group{N: 400, Converted: 60}, 200},
		{"d2", offer.Group{N: 52}, offer.Group{N: 500, Converted: 10}, 250},
		{"d3", offer.Group{N: 300, Converted: 10}, offer.Group{N: 300, Converted: 10}, 150},
		{"d4", offer.Group{}, offer.Group{N: 3, Converted: 1}, 2},
	} {
		row := rows[i]
		got := func(name string) uint64 { v, _ := row[name].(uint64); return v }
		if row["drop_id"] != want.drop || got("held_n") != want.held.N || got("held_converted") != want.held.Converted ||
			got("offered_n") != want.offered.N || got("offered_converted") != want.offered.Converted || got("made") != want.made {
			t.Errorf("%v, want %+v", row, want)
			continue
		}
		u, err := offer.UpliftOf(want.offered, want.held, 1000)
		if err != nil || u.Grade == 0 {
			if row["uplift_pp"] != nil || row["low_pp"] != nil || row["high_pp"] != nil {
				t.Errorf("%s says %v; there is nothing to say (%v)", want.drop, row, err)
			}
			continue
		}
		for name, value := range map[string]float64{"uplift_pp": 100 * u.Difference, "low_pp": 100 * u.Low, "high_pp": 100 * u.High, "srm_p": u.RatioP} {
			if v, ok := row[name].(float64); !ok || math.Abs(v-value) > 1e-6 {
				t.Errorf("%s: %s is %v, want %v", want.drop, name, row[name], value)
			}
		}
	}
}
