package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/lift"
	"github.com/droplift/droplift/models/offer"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/learning"
)

// offerWorld is a drop whose offers have a known effect: a player who may get one converts with probability base+effect, one who is held
// out with base, which differs between players.
type offerWorld struct {
	players int
	holdout offer.Holdout
	effect  float64
}

const (
	offerBase  = 0.04 // plus up to 0.06 by player
	offerStart = int64(1_772_452_800_000)
	hourMS     = int64(3_600_000)
)

// uplift plays the world's events through the first stage, and reads the effect off the examples it publishes: every player by
// their first eligible score.
func (w offerWorld) uplift(seed uint64) (offer.Uplift, error) {
	random := rand.New(rand.NewPCG(seed, 91))
	rule, err := learning.New(learning.Config{HorizonMS: 2 * dayMS}, 0)
	if err != nil {
		return offer.Uplift{}, err
	}
	inputs := []event.Kind{event.KindPlayer, event.KindCheckout, event.KindScore}
	drops := catalogueNow{"d": {Name: "d", StartMS: offerStart, EndMS: offerStart + dayMS}, "e": {Name: "e", StartMS: offerStart, EndMS: offerStart + dayMS}}
	p := processors.NewPartition(0, processors.Config{Inputs: inputs, Quiet: inputs[1:]}, drops, []processors.Rule{rule})
	var events []event.Event
	add := func(kind event.Kind, what event.Type, player string, at int64, more func(*event.Event)) {
		var ev event.Event
		ev.Reset(kind)
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, seed, len(events)))
		ev.Type, ev.PlayerID, ev.EventTime, ev.IngestTime, ev.Consent = what, player, at, at, 7
		if more != nil {
			more(&ev)
		}
		events = append(events, ev)
	}
	for i := range w.players {
		player := fmt.Sprintf("%d-%d", seed, i)
		held := w.holdout.Holds(player)
		at := offerStart + random.Int64N(20*hourMS)
		eligible := random.IntN(5) > 0
		scored := func(at int64, eligible, none bool) {
			add(event.KindScore, event.ScoreAnswered, player, at, func(ev *event.Event) {
				s := &ev.Score
				ev.DropID, s.Model, s.ModelVersion, s.P, s.Vector = "d", "churn", "v1", 0.5, []float64{1}
				s.Eligible, s.Holdout = eligible, eligible && held
				if eligible && !held && !none {
					s.Offer = "jacket"
				}
			})
		}
		bought := func(at int64, drop string) {
			add(event.KindCheckout, event.CheckoutCompleted, player, at, func(ev *event.Event) {
				ev.DropID, ev.Checkout.CheckoutID, ev.Checkout.Amount, ev.Checkout.Currency = drop, fmt.Sprint(player, at, drop), 4_999, "USD"
			})
		}
		if random.IntN(3) == 0 { // a visit before, for which there are no offers
			scored(at-hourMS/60, false, true)
		}
		if !eligible {
			if random.IntN(2) == 0 { // they buy far more, offers or not
				bought(at+hourMS/60, "d")
			}
			continue
		}
		scored(at, true, random.IntN(4) == 0) // the draw may be to offer nothing: that is part of the treatment
		p := offerBase + 0.06*random.Float64()
		if !held {
			p += w.effect
		}
		if random.Float64() < p {
			bought(at+random.Int64N(hourMS)+1, "d")
			scored(at+2*hourMS, true, false) // again, after the purchase
		}
		if random.IntN(10) == 0 {
			bought(at+hourMS/60, "e") // in another drop
		}
		if random.IntN(10) == 0 {
			bought(at+dayMS, "d") // after the outcome's window
		}
	}
	slices.SortFunc(events, func(a, b event.Event) int { return cmp.Compare(a.EventTime, b.EventTime) })
	end := offerStart + 10*dayMS
	add(event.KindPlayer, event.Heartbeat, "end", end, nil)
	var offered, held offer.Group
	var decoder event.Decoder
	var example event.Example
	counted := map[string]bool{}
	flush := func(now int64) error {
		for _, m := range p.Flush(now, []bool{true, true, true}) {
			if m.Kind != event.KindExample {
				continue
			}
			if err := decoder.Example(bytes.Clone(m.Value), &example); err != nil {
				return err
			}
			if e := &example; e.Eligible && !counted[e.PlayerID] {
				counted[e.PlayerID] = true
				g := &offered
				if e.Holdout {
					g = &held
				}
				g.N++
				if e.Converted {
					g.Converted++
				}
			}
		}
		p.Commit()
		return nil
	}
	for i := range events {
		ev := &events[i]
		if o := p.Process(event.Record{Kind: ev.Kind, Key: []byte(ev.PlayerID), Value: event.Append(nil, ev), Timestamp: ev.IngestTime}); o != event.Accepted {
			return offer.Uplift{}, fmt.Errorf("event %d: outcome %d", i, o)
		}
		if i%500 == 499 {
			if err := flush(ev.EventTime); err != nil {
				return offer.Uplift{}, err
			}
		}
	}
	if err := flush(end); err != nil {
		return offer.Uplift{}, err
	}
	return offer.UpliftOf(offered, held, w.holdout.BPS)
}

// TestOffersTruth: over 400 simulated drops the 95 % interval of the uplift, read off the holdout by intention to
// treat, holds the effect that the offers have; where they have none, they are said to have one at most at α.
func TestOffersTruth(t *testing.T) {
	const seeds, alpha = 400, 0.05
	for _, effect := range []float64{0.05, 0} {
		world := offerWorld{players: 1_200, holdout: offer.Holdout{Salt: "truth", BPS: 3000}, effect: effect}
		var mu sync.Mutex
		var covered, rejected, alarmed int
		var bias, width float64
		overSeeds(t, seeds, func(seed uint64) error {
			u, err := world.uplift(seed)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if u.Grade != lift.RandomizedITT {
				alarmed++
				return nil
			}
			bias += (u.Difference - effect) / seeds
			width += (u.High - u.Low) / seeds
			if u.Low <= effect && effect <= u.High {
				covered++
			}
			if u.Low > 0 || u.High < 0 {
				rejected++
			}
			return nil
		})
		rate, power := float64(covered)/float64(seeds-alarmed), float64(rejected)/float64(seeds-alarmed)
		t.Logf("effect %.2f: covered in %.1f %% of %d drops (seeds 0 on), an effect said in %.1f %%, mean error %+.5f, mean width %.4f, %d sample ratio alarms", effect, 100*rate, seeds, 100*power, bias, width, alarmed)
		// Nominal is 95 %; 2 points are 1.8 standard deviations of 400 drops.
		if rate < 0.93 || rate > 0.97 {
			t.Errorf("effect %.2f: the interval holds it in %.1f %%", effect, 100*rate)
		}
		if effect == 0 && power > alpha+0.02 {
			t.Errorf("no effect, and one is said in %.1f %%", 100*power)
		}
		if effect > 0 && power < 0.5 {
			t.Errorf("an effect of %.2f is found in %.1f %% only", effect, 100*power)
		}
		if alarmed > 5 {
			t.Errorf("%d sample ratio alarms, though players were dealt as planned", alarmed)
		}
	}
}
