package churn

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// reference computes the features of one player from all accepted events at
// once, in the obvious way.
func reference(all []event.Event, cfg Config) event.Features {
	cfg = cfg.withDefaults()
	all = slices.DeleteFunc(slices.Clone(all), func(e event.Event) bool { return !counts(&e) })
	slices.SortStableFunc(all, func(a, b event.Event) int { return cmp.Compare(a.EventTime, b.EventTime) })
	f := event.Features{PlayerID: all[0].PlayerID, AsOf: all[len(all)-1].EventTime + 1, GapMeanS: -1, GapVarS2: -1}

	activity := slices.DeleteFunc(slices.Clone(all), func(e event.Event) bool {
		return e.Type == event.CheckoutRefunded || e.Type == event.CheckoutChargeback
	})
	var starts []int64
	var gaps []float64
	if len(activity) > 0 {
		f.FirstActivity, f.LastActivity = activity[0].EventTime, activity[len(activity)-1].EventTime
	}
	for i, e := range activity {
		if i > 0 && e.EventTime-activity[i-1].EventTime <= cfg.SessionGap {
			continue
		}
		starts = append(starts, e.EventTime)
		if i > 0 {
			gaps = append(gaps, float64(e.EventTime-activity[i-1].EventTime)/1000)
		}
	}
	f.SessionsTotal = uint32(len(starts))
	for k, g := range gaps {
		if k == 0 {
			f.GapMeanS, f.GapVarS2 = g, 0
			continue
		}
		d := g - f.GapMeanS
		f.GapMeanS += cfg.GapAlpha * d
		f.GapVarS2 = (1 - cfg.GapAlpha) * (f.GapVarS2 + cfg.GapAlpha*d*d)
	}

	first := int64(0)
	for _, e := range all {
		if e.Type == event.CheckoutCompleted && (first == 0 || e.EventTime == first && e.Checkout.Currency < f.SpendCurrency) {
			first, f.SpendCurrency = e.EventTime, e.Checkout.Currency
		}
	}
	for _, e := range all {
		if e.Type == event.CheckoutCompleted && e.Checkout.Currency != f.SpendCurrency {
			f.ForeignCheckouts++
		}
	}

	type alive struct {
		at, kind, h int64 // kind: end, heartbeat, start
	}
	var signs []alive
	for _, e := range all {
		kind := slices.Index([]event.Type{event.SessionEnd, event.Heartbeat, event.SessionStart}, e.Type)
		if kind >= 0 {
			signs = append(signs, alive{e.EventTime, int64(kind), cmp.Or(e.Player.HeartbeatMS, cfg.Heartbeat)})
		}
	}
	slices.SortFunc(signs, func(a, b alive) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.h, b.h))
	})
	signs = slices.Compact(signs)

	for w := range windows {
		from := windowStart(w, f.AsOf)
		days, creators, drops := map[int64]bool{}, map[string]bool{}, map[string]bool{}
		var sum, worst, n int64
		for _, s := range starts {
			if s >= from {
				f.Sessions[w]++
			}
		}
		for _, e := range activity {
			if e.EventTime < from {
				continue
			}
			days[e.EventTime/day] = true
			if e.CreatorID != "" {
				creators[e.CreatorID] = true
			}
			if e.DropID != "" {
				drops[e.DropID] = true
			}
			switch e.Type {
			case event.LandingView:
				f.Landings[w]++
			case event.OfferImpression:
				f.Impressions[w]++
			case event.OfferClick:
				f.Clicks[w]++
			case event.CheckoutCompleted:
				f.Checkouts[w]++
			case event.EdgeRequest:
				us := int64(e.Latency.MS*1000 + 0.5)
				sum, worst, n = sum+us, max(worst, us), n+1
			}
		}
		for _, e := range all {
			if e.EventTime < from || e.Kind != event.KindCheckout || e.Checkout.Currency != f.SpendCurrency {
				continue
			}
			switch e.Type {
			case event.CheckoutCompleted:
				f.NetSpend[w] += e.Checkout.Amount
			case event.CheckoutRefunded, event.CheckoutChargeback:
				f.NetSpend[w] -= e.Checkout.Amount
			}
		}
		played := int64(0)
		for i := 1; i < len(signs); i++ {
			a, b := signs[i-1], signs[i]
			h, d := max(a.h, b.h), b.at-a.at
			if a.kind == 0 || b.kind == 2 || d > 3*h {
				continue
			}
			played += max(0, a.at+min(d, 3*h/2)-max(a.at, from))
		}
		f.PlaytimeS[w] = uint32(played / 1000)
		f.ActiveDays[w], f.Creators[w], f.Drops[w] = uint32(len(days)), uint32(len(creators)), uint32(len(drops))
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		if n > 0 {
			f.LatencyMeanMS[w], f.LatencyMaxMS[w] = float64(sum)/float64(n)/1000, float64(worst)/1000
		}
	}
	return f
}

// counts says whether features depend on an event.
func counts(e *event.Event) bool {
	return !e.Synthetic && e.Latency.Request != event.RequestProbe && (e.Type < event.CheckoutSettled || e.Type > event.CheckoutShipped)
}

// visits makes seeded histories of one player over weeks: sessions with
// heartbeats, some of them lost, on one device or two, purchases and refunds.
func visits(r *rand.Rand, player string, from int64, days int) []event.Event {
	var all []event.Event
	add := func(kind event.Kind, t event.Type, at int64) *event.Event {
		var e event.Event
		e.Reset(kind)
		binary.BigEndian.PutUint64(e.ID[:], r.Uint64())
		binary.BigEndian.PutUint64(e.ID[8:], r.Uint64()|1)
		e.Type, e.EventTime, e.IngestTime, e.PlayerID = t, at, at, player
		if r.IntN(3) == 0 {
			e.CreatorID = fmt.Sprint("creator", r.IntN(9))
		}
		if r.IntN(4) == 0 {
			e.DropID = fmt.Sprint("drop", r.IntN(6))
		}
		e.Synthetic = r.IntN(50) == 0
		all = append(all, e)
		return &all[len(all)-1]
	}
	end := from + int64(days)*day
	for at := from + r.Int64N(2*day); at < end; at += r.Int64N([]int64{40 * minute, 5 * hour, 3 * day}[r.IntN(3)]) {
		for range 1 + r.IntN(8)/7 { // devices
			h := []int64{0, 0, 0, 60_000, 10_000}[r.IntN(5)]
			now, stop := at+r.Int64N(60_000), at+r.Int64N(40*minute)
			add(event.KindPlayer, event.SessionStart, now).Player.HeartbeatMS = h
			for now < stop {
				now += cmp.Or(h, 30_000) + r.Int64N(200)
				if r.IntN(12) == 0 {
					now += r.Int64N(200_000)
				}
				add(event.KindPlayer, event.Heartbeat, now).Player.HeartbeatMS = h
				switch r.IntN(9) {
				case 0:
					add(event.KindPlayer, []event.Type{event.LandingView, event.OfferImpression, event.OfferClick, event.CTAExposure}[r.IntN(4)], now+r.Int64N(9_000))
				case 1, 2:
					e := add(event.KindLatency, event.EdgeRequest, now+r.Int64N(9_000))
					e.Latency.Request, e.Latency.MS = event.RequestSegment, float64(r.IntN(500_000))/1000
					if r.IntN(20) == 0 {
						e.Latency.Request = event.RequestProbe
					}
				case 3:
					types := []event.Type{event.CheckoutStarted, event.CheckoutCompleted, event.CheckoutFailed, event.CheckoutRefunded, event.CheckoutChargeback, event.CheckoutSettled, event.CheckoutFulfilled, event.CheckoutShipped}
					e := add(event.KindCheckout, types[r.IntN(len(types))], now+r.Int64N(9_000))
					e.Checkout.CheckoutID, e.Checkout.Amount = "k", r.Int64N(9_999)
					e.Checkout.Currency = []string{"USD", "USD", "EUR", "JPY"}[r.IntN(4)]
				}
			}
			if r.IntN(3) > 0 {
				add(event.KindPlayer, event.SessionEnd, now+r.Int64N(20_000)).Player.HeartbeatMS = h
			}
		}
	}
	return all
}

// typical makes a typical player's history, in order: light, medium or heavy, a few
// favourite creators, a drop or two, rarely a purchase.
func typical(r *rand.Rand, player string, from int64, days int) []event.Event {
	var all []event.Event
	favourites, daily := 1+r.IntN(4), []int{8, 8, 8, 30, 30, 30, 30, 30, 70, 70}[r.IntN(10)] // % of days
	for d := range int64(days) {
		if r.IntN(100) >= daily {
			continue
		}
		for range 1 + r.IntN(3) {
			now := from + d*day + 8*hour + r.Int64N(14*hour)
			stop, creator := now+5*minute+r.Int64N(30*minute), fmt.Sprint("creator", player, r.IntN(favourites))
			add := func(kind event.Kind, t event.Type, after int64) *event.Event {
				var e event.Event
				e.Reset(kind)
				e.Type, e.EventTime, e.PlayerID, e.CreatorID = t, now+after, player, creator
				if d%10 < 2 {
					e.DropID = fmt.Sprint("drop", d/10)
				}
				all = append(all, e)
				return &all[len(all)-1]
			}
			add(event.KindPlayer, event.SessionStart, 0)
			add(event.KindPlayer, event.LandingView, 900)
			for now < stop {
				now += 30_000 + r.Int64N(30)
				add(event.KindPlayer, event.Heartbeat, 0)
				add(event.KindLatency, event.EdgeRequest, 4_000).Latency.MS = 20 + float64(r.IntN(100_000))/1000
				switch r.IntN(60) {
				case 0, 1, 2, 3:
					add(event.KindPlayer, event.OfferImpression, 9_000)
				case 4:
					add(event.KindPlayer, event.OfferClick, 9_000)
				case 5:
					if r.IntN(4) == 0 {
						c := &add(event.KindCheckout, event.CheckoutCompleted, 9_000).Checkout
						c.Amount, c.Currency = 500+r.Int64N(9_000), "USD"
					}
				}
			}
			if r.IntN(5) > 0 {
				add(event.KindPlayer, event.SessionEnd, 15_000)
			}
		}
	}
	return all
}

type catalogue struct{ drop event.Drop }

func (c *catalogue) Drop(string, int64) *event.Drop { return &c.drop }

func newPartition(cfg Config) (*Rule, *processors.Partition) {
	rule := New(cfg)
	return rule, processors.NewPartition(0, processors.Config{Inputs: inputs}, &catalogue{}, []processors.Rule{rule})
}

func record(e *event.Event) event.Record {
	return event.Record{Kind: e.Kind, Timestamp: e.IngestTime, Key: []byte(e.PlayerID), Value: event.Append(nil, e)}
}

// dump is the whole state, as the change-log would have it.
func dump(t *testing.T, r *Rule) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := cmp.Or(
		r.players.Each(func(key string, p *player) { all["player "+key] = string(playerCodec{}.Append(nil, p)) }),
		r.pending.Each(func(key string, p *pending) { all["pending "+key] = fmt.Sprint(*p) }),
		r.floors.Each(func(key string, f *floor) { all["floor "+key] = fmt.Sprint(*f) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same compares what results are made of: not when and how often they were published.
func same(got, want event.Features) string {
	got.Revision, got.Watermark, got.Maturity = want.Revision, want.Watermark, want.Maturity
	if g, w := string(got.AppendJSON(nil)), string(want.AppendJSON(nil)); g != w {
		return fmt.Sprintf("\n got %s\nwant %s", g, w)
	}
	return ""
}

// until is what had arrived before the first event at or after asOf.
func until(arrived []event.Event, asOf int64) []event.Event {
	if n := slices.IndexFunc(arrived, func(e event.Event) bool { return e.EventTime >= asOf && counts(&e) }); n >= 0 {
		return arrived[:n]
	}
	return arrived
}

// TestFeaturesAgainstReference feeds seeded histories in several orders of
// arrival: in order, delayed within the lateness, and with one input hours
// behind the others, with aborts and restarts in between. What is published
// last must be what the reference makes of all the events, to the last bit,
// and what is published on the way what it makes of the events so far.
func TestFeaturesAgainstReference(t *testing.T) {
	for seed := range uint64(3) {
		for _, order := range []string{"in order", "delayed", "one input lags", "delayed, no watermark"} {
			t.Run(fmt.Sprintf("seed=%d/%s", seed, order), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 5))
				var all []event.Event
				for player := range 3 {
					all = append(all, visits(r, fmt.Sprint("p", player), 1_772_452_800_000+int64(seed)*7*hour, 5+r.IntN(40))...)
				}
				slices.SortStableFunc(all, func(a, b event.Event) int { return cmp.Compare(a.EventTime, b.EventTime) })
				arrival := map[[16]byte]int64{}
				for _, e := range all {
					at := e.EventTime
					switch order {
					case "delayed", "delayed, no watermark":
						// As late as is allowed: 10 minutes and the out-of-orderness of 10 s.
						at += []int64{0, r.Int64N(10 * minute), 609_999}[r.IntN(3)]
					case "one input lags":
						if at += r.Int64N(9 * minute); e.Kind == event.KindCheckout {
							at += 5 * hour
						}
					}
					arrival[e.ID] = at
				}
				slices.SortStableFunc(all, func(a, b event.Event) int { return cmp.Compare(arrival[a.ID], arrival[b.ID]) })

				rule, partition := newPartition(Config{})
				log := map[string][]byte{}
				accepted := map[string][]event.Event{}
				latest := map[string]event.Features{}
				var decoder event.Decoder
				now := int64(1_800_000_000_000)
				transaction := func(batch []event.Event, caughtUp bool) []event.Message {
					for i := range batch {
						if outcome := partition.Process(record(&batch[i])); outcome != event.Accepted {
							t.Fatalf("event at %d has outcome %d", batch[i].EventTime, outcome)
						}
					}
					return partition.Flush(now, []bool{caughtUp, caughtUp, caughtUp && order != "delayed, no watermark"})
				}
				commit := func(messages []event.Message, check bool) {
					for _, m := range messages {
						var f event.Features
						if err := decoder.Features(m.Value, &f); err != nil {
							t.Fatal(err)
						}
						f.PlayerID, f.SpendCurrency = string(m.Key), string(bytes.Clone([]byte(f.SpendCurrency)))
						if before, ok := latest[f.PlayerID]; ok && f.Revision <= before.Revision {
							t.Fatalf("revision %d after %d", f.Revision, before.Revision)
						}
						latest[f.PlayerID] = f
						if check {
							if diff := same(f, reference(until(accepted[f.PlayerID], f.AsOf), Config{})); diff != "" {
								t.Fatal(diff)
							}
						}
					}
					partition.Changes(func(key string, value []byte) { log[string([]byte(key))] = bytes.Clone(value) })
					partition.Commit()
				}
				for rest := all; len(rest) > 0; {
					n := min(len(rest), 1+r.IntN(400))
					batch := rest[:n]
					if order == "delayed, no watermark" {
						batch = slices.DeleteFunc(slices.Clone(batch), func(e event.Event) bool { return e.Kind == event.KindCheckout })
					}
					rest = rest[n:]
					now += r.Int64N(2_000)
					if r.IntN(10) == 0 {
						before := dump(t, rule)
						transaction(batch, false)
						partition.Rollback()
						if !maps.Equal(dump(t, rule), before) {
							t.Fatal("an abort changed the state")
						}
					}
					for _, e := range batch {
						accepted[e.PlayerID] = append(accepted[e.PlayerID], e)
					}
					commit(transaction(batch, false), r.IntN(20) == 0)
					if r.IntN(20) == 0 {
						before := dump(t, rule)
						rule, partition = newPartition(Config{})
						for key, value := range log {
							if err := partition.Restore(key, value); err != nil {
								t.Fatal(err)
							}
						}
						if !maps.Equal(dump(t, rule), before) {
							t.Fatal("the restored state differs")
						}
					}
				}
				now += 10_000
				commit(transaction(nil, false), true)
				if rule.pending.Len() != 0 {
					t.Errorf("%d publications still pending", rule.pending.Len())
				}
				for player, events := range accepted {
					if diff := same(latest[player], reference(events, Config{})); diff != "" {
						t.Error(player, diff)
					}
				}
			})
		}
	}
}

// An aligned window holds the exact one and less than a tile more.
func TestWindowsAreAlignedDown(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		asOf := r.Int64N(1 << 41)
		for w := range windows {
			tile := levels[windows[w].level].width
			start, exact := windowStart(w, asOf), asOf-windows[w].width
			if start%tile != 0 || start > exact || exact-start >= tile {
				t.Fatalf("window %d as of %d starts at %d, exactly at %d", w, asOf, start, exact)
			}
		}
	}
}
