package velocity

import (
	"bytes"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

var funnel = []event.Type{event.LandingView, event.OfferImpression, event.OfferClick, event.CheckoutStarted, event.CheckoutCompleted}

// DOMAIN 2.1: 240 conversions in the first 3 minutes are 240 in the panes of those 3
// minutes and none elsewhere, so that any window sums exactly.
func TestConversionsPerPane(t *testing.T) {
	const start = 1_200_000
	b := newBench(t, Config{}, 3, oneDrop(start, start+48*3_600_000))
	for i := range int64(240) {
		player := string(rune('a'+i%26)) + string(rune('a'+i/26))
		b.apply(way(player, "fra", start+i*750-1, 0, event.LandingView)...)
		b.apply(way(player, "fra", start+i*750, 0, event.CheckoutCompleted)...)
	}
	records := b.turn(start + 180_000)
	total := uint32(0)
	for _, v := range records {
		if v.PaneStart < start { // the first player landed 1 ms before the start
			if v.Conversions != 0 || v.Players[event.StepLanding] != 1 {
				t.Errorf("waiting pane %+v", v)
			}
			continue
		}
		// 10,000/750 conversions a pane.
		if v.Conversions != 13 && v.Conversions != 14 || v.Partition != 3 || v.POP != "fra" || v.PaneMS != DefaultPaneMS {
			t.Errorf("pane %+v", v)
		}
		total += v.Conversions
	}
	if len(records) != 19 || total != 240 {
		t.Errorf("%d panes, %d conversions; want 19 and 240", len(records), total)
	}
}

func TestOneRecord(t *testing.T) {
	b := newBench(t, Config{}, 1, oneDrop(10_000, 1_000_000))
	b.apply(way("p", "fra", 20_000, 2_000, funnel...)...)
	b.apply(
		step{at: 29_000, what: event.CheckoutCompleted, player: "p", pop: "fra", drop: "d", amount: 50, currency: "EUR"},
		step{at: 29_001, what: event.CheckoutCompleted, player: "p", pop: "fra", drop: "d", amount: 7, currency: "CHF"},
		step{at: 29_002, what: event.CheckoutRefunded, player: "p", pop: "fra", drop: "d", amount: 100, currency: "EUR"},
		step{at: 29_003, what: event.CheckoutChargeback, player: "p", pop: "fra", drop: "d", amount: 7, currency: "CHF"},
		step{at: 29_004, what: event.CheckoutFailed, player: "q", pop: "fra", drop: "d", amount: 9, currency: "USD"},
		step{at: 29_005, what: event.LandingView, player: "probe", pop: "fra", drop: "d", probe: true},
		step{at: 29_006, what: event.LandingView, player: "r", pop: "fra"},
		step{at: 29_007, what: event.Heartbeat, player: "r", pop: "fra", drop: "d"},
		step{at: 29_008, what: event.OfferClick, pop: "fra", drop: "d"},
	)
	got := b.turn(25_000)
	want := []event.Velocity{{
		DropID: "d", POP: "fra", Partition: 1, PaneStart: 20_000, PaneMS: 10_000, Revision: 1, Watermark: 25_000,
		Events:  [event.NumSteps]uint32{1, 1, 2, 1, 3},
		Players: [event.NumSteps]uint32{1, 1, 1, 1, 1},
		Failed:  1, Refunded: 1, Chargeback: 1, Conversions: 1,
		TimeToConvert: []event.TimeToConvert{{Panes: 0, Count: 1}},
		Money:         []event.Money{{Currency: "CHF", Gross: 7, Chargebacks: 7}, {Currency: "EUR", Gross: 150, Refunds: 100}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if again := b.turn(25_000); len(again) != 0 {
		t.Errorf("published %+v without a change", again)
	}
}

func TestAttributionWindowEndsWithTheDrop(t *testing.T) {
	b := newBench(t, Config{}, 0, oneDrop(10_000, 50_000))
	b.apply(way("in", "fra", 49_999, 0, event.LandingView)...)
	b.apply(way("out", "fra", 50_000, 0, event.LandingView, event.CheckoutCompleted)...)
	got := b.turn(51_000)
	if len(got) != 2 || got[0].Players[0] != 1 || got[1].Players[0] != 0 || got[1].Conversions != 0 {
		t.Fatalf("players at the end: %+v", got)
	}
	if got[1].Events != [event.NumSteps]uint32{1, 0, 0, 0, 1} || got[1].Money[0].Gross != 100 {
		t.Errorf("events and money past the end are facts, got %+v", got[1])
	}
}

func TestRepairedGap(t *testing.T) {
	b := newBench(t, Config{}, 0, oneDrop(10_000, 1_000_000))
	landed := way("p", "fra", 20_000, 0, event.LandingView, event.OfferImpression)
	bought := append(way("p", "fra", 40_000, 0, event.CheckoutStarted), way("p", "fra", 60_000, 0, event.CheckoutCompleted)...)
	b.turn(30_000, landed...)
	got := b.turn(50_000, bought...)
	if len(got) != 2 || got[0].FunnelGap != 1 || got[0].Players[event.StepStarted] != 0 || got[1].Conversions != 1 || got[1].FunnelGap != 0 {
		t.Fatalf("a purchase without a click: %+v", got)
	}
	got = b.turn(50_000, way("p", "fra", 30_000, 0, event.OfferClick)...)
	if len(got) != 3 || got[0].Players[event.StepClick] != 1 ||
		got[1].FunnelGap != 0 || got[1].Players[event.StepStarted] != 1 || got[1].Revision != 2 ||
		got[2].Players[event.StepCompleted] != 1 || got[2].Conversions != 1 {
		t.Errorf("the click that came late: %+v", got)
	}
}

// A landing that arrives late moves the purchase to the landing's POP and gives it a time to convert.
func TestLandingArrivesAfterThePurchase(t *testing.T) {
	b := newBench(t, Config{}, 0, oneDrop(10_000, 1_000_000))
	b.turn(30_000, way("p", "sin", 60_000, 0, event.CheckoutCompleted)...)
	got := b.turn(30_000, way("p", "fra", 25_000, 0, event.LandingView)...)
	if len(got) != 3 {
		t.Fatalf("got %+v", got)
	}
	landing, left, moved := got[0], got[1], got[2] // in the order of their first change
	if landing.POP != "fra" || landing.PaneStart != 20_000 || landing.Players[0] != 1 {
		t.Errorf("landing %+v", landing)
	}
	if moved.POP != "fra" || moved.PaneStart != 60_000 || moved.Conversions != 1 || moved.FunnelGap != 1 ||
		!reflect.DeepEqual(moved.TimeToConvert, []event.TimeToConvert{{Panes: 4, Count: 1}}) || len(moved.Money) != 0 {
		t.Errorf("conversion %+v", moved)
	}
	if left.POP != "sin" || left.Conversions != 0 || left.FunnelGap != 0 || len(left.TimeToConvert) != 0 ||
		left.Revision != 2 || left.Money[0].Gross != 100 || left.Events[event.StepCompleted] != 1 {
		t.Errorf("the checkout's own POP keeps the event and the money: %+v", left)
	}
}

func TestFinality(t *testing.T) {
	b := newBench(t, Config{}, 0, oneDrop(10_000, 100_000))
	b.turn(15_000, way("p", "fra", 20_000, 30_000, event.LandingView, event.CheckoutCompleted)...)
	if got := b.turn(29_999 + b.lateness - 1); len(got) != 0 {
		t.Fatalf("published %+v before it is final", got)
	}
	got := b.turn(29_999 + b.lateness)
	if len(got) != 1 || got[0].Maturity != event.Final || got[0].Revision != 2 || got[0].PaneStart != 20_000 || got[0].Players[0] != 1 {
		t.Fatalf("final revision %+v", got)
	}
	if n := b.rule.panes.Len(); n != 1 {
		t.Errorf("%d panes left, want 1", n)
	}
	got = b.turn(99_998 + b.lateness)
	if len(got) != 1 || got[0].PaneStart != 50_000 || b.rule.journeys.Len() != 1 {
		t.Fatalf("second pane %+v, %d players", got, b.rule.journeys.Len())
	}
	b.turn(99_999 + b.lateness)
	if n := b.rule.journeys.Len(); n != 0 {
		t.Errorf("%d players outlive the drop", n)
	}
	weeks := int64(30 * 86_400_000)
	got = b.turn(weeks+9_999+b.lateness, step{at: weeks, what: event.CheckoutRefunded, player: "p", pop: "fra", drop: "d", amount: 100, currency: "EUR"})
	if len(got) != 1 || got[0].Maturity != event.Final || got[0].Revision != 1 || got[0].Money[0].Refunds != 100 {
		t.Errorf("refund weeks later: %+v", got)
	}
	// Only the horizon is left.
	if n := b.stateKeys(); n != 1 {
		t.Errorf("%d keys left, want 1", n)
	}
}

func TestProlongedDropKeepsItsPlayers(t *testing.T) {
	drops := oneDrop(10_000, 100_000)
	b := newBench(t, Config{}, 0, drops)
	b.turn(15_000, way("p", "fra", 20_000, 0, event.LandingView)...)
	drops["d"] = &event.Drop{Name: "d", StartMS: 10_000, EndMS: 2_000_000}
	watermark := 99_999 + b.lateness
	b.turn(watermark)
	if n := b.rule.journeys.Len(); n != 1 {
		t.Fatalf("%d players, want 1", n)
	}
	got := b.turn(watermark, way("p", "fra", 1_000_000, 0, event.LandingView)...)
	if len(got) != 1 || got[0].Events[0] != 1 || got[0].Players[0] != 0 {
		t.Errorf("the player landed a second time: %+v", got)
	}
	b.turn(2_000_000 + b.lateness)
	if n := b.rule.journeys.Len(); n != 0 {
		t.Errorf("%d players outlive the prolonged drop", n)
	}
}

func TestImpossibleContributionsAreLoud(t *testing.T) {
	var log bytes.Buffer
	cfg := Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	b := newBench(t, cfg, 0, oneDrop(10_000, 10_000_000))
	b.turn(29_999+b.lateness, way("p", "fra", 20_000, 0, event.LandingView)...)
	for i, c := range []struct {
		step step
		why  string
	}{
		{step{at: 29_999, what: event.LandingView, player: "q", pop: "fra", drop: "d"}, "the pane is final"},
		{step{at: 29_999, what: event.LandingView, player: "q", pop: "elsewhere", drop: "d"}, "the pane is final"},
		{step{at: 700_000, what: event.LandingView, player: "q", pop: "fra", drop: "unknown"}, "does not hold the drop"},
	} {
		log.Reset()
		b.apply(c.step)
		if b.rule.refused != uint64(i+1) || !strings.Contains(log.String(), c.why) {
			t.Errorf("%+v: refused %d, log %q, want %q", c.step, b.rule.refused, log.String(), c.why)
		}
	}
	log.Reset()
	b.apply(
		step{at: 700_000, what: event.CheckoutCompleted, player: "q", pop: "fra", drop: "d", amount: math.MaxInt64, currency: "EUR"},
		step{at: 700_001, what: event.CheckoutCompleted, player: "q", pop: "fra", drop: "d", amount: 1, currency: "EUR"})
	if b.rule.refused != 4 || !strings.Contains(log.String(), "range of int64") {
		t.Errorf("refused %d, log %q", b.rule.refused, log.String())
	}
	for _, v := range b.flush(700_000) {
		if v.PaneStart < 700_000 || v.DropID == "d" && v.Money[0].Gross != math.MaxInt64 {
			t.Errorf("published %+v", v)
		}
	}
}

// A player's mark in a pane that was deleted too early must be seen, not taken below zero.
func TestTakingBackFromAGonePane(t *testing.T) {
	b := newBench(t, Config{}, 0, oneDrop(10_000, 10_000_000))
	b.turn(15_000, way("p", "fra", 50_000, 0, event.LandingView)...)
	b.rule.panes.Delete(b.rule.paneKey("d", "fra", 50_000))
	b.apply(way("p", "fra", 30_000, 0, event.LandingView)...)
	if got := b.rule.refused; got != 1 {
		t.Errorf("refused %d, want 1", got)
	}
	b = newBench(t, Config{}, 0, oneDrop(10_000, 10_000_000))
	b.turn(15_000, way("p", "fra", 50_000, 0, event.LandingView)...)
	p, _ := b.rule.panes.Put(b.rule.paneKey("d", "fra", 50_000))
	p.players[event.StepLanding] = 0
	b.apply(way("p", "fra", 30_000, 0, event.LandingView)...)
	if got := b.rule.refused; got != 1 {
		t.Errorf("refused %d, want 1", got)
	}
}

func TestRollbackForgetsEverything(t *testing.T) {
	b := newBench(t, Config{}, 0, oneDrop(10_000, 1_000_000))
	b.turn(15_000, way("p", "fra", 20_000, 0, event.LandingView)...)
	again := way("q", "fra", 25_000, 30_000, event.LandingView, event.CheckoutCompleted)
	b.apply(again...)
	b.rollback() // before the flush
	if got := b.flush(15_000); len(got) != 0 {
		t.Fatalf("published %+v of a transaction that was rolled back", got)
	}
	b.commit(nil)
	b.apply(again...)
	first := b.flush(29_999 + b.lateness)
	b.rollback() // after it: the pane that was deleted is back
	b.apply(again...)
	second := b.flush(29_999 + b.lateness)
	if len(first) != 2 || !reflect.DeepEqual(first, second) {
		t.Errorf("first  %+v\nsecond %+v", first, second)
	}
	b.commit(second)
	if b.rule.refused != 0 {
		t.Errorf("refused %d", b.rule.refused)
	}
}
