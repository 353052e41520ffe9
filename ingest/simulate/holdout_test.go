package simulate

import (
	"math"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// Held-out visitors see no offer and cannot buy, the arms are as large as planned, and what the books say of the offer is
// what it does: to visitors at random, and to buyers.
func TestHoldout(t *testing.T) {
	s := crowd(31, 20_000, Effects{Retention: 0.25, BuyLogit: 0.5, RateLog: 0.5})
	s.HistoryMS, s.AfterMS, s.DropMS, s.HoldoutBPS = day, 8*day, day, 4000
	s.Behaviour.SessionsPerDay, s.Behaviour.ConversionLogit = 0.06, 0
	t.Logf("seed %d", s.Seed)
	g := generate(t, s)
	type visitor struct {
		variant          string
		at               int64
		offered, bought  bool
		returned, callTo bool
	}
	visitors := map[string]*visitor{}
	var d event.Decoder
	var ev event.Event
	entry := event.Drop{}
	drain(t, g, func(r *Record) {
		if err := d.Decode(r.Kind, r.Value, &ev); err != nil {
			t.Fatal(err)
		}
		if r.Kind == event.KindDrop {
			entry = ev.Drop
			return
		}
		v := visitors[ev.PlayerID]
		if v == nil {
			v = &visitor{}
			visitors[strings.Clone(ev.PlayerID)] = v
		}
		switch {
		case ev.Type == event.CTAExposure && ev.Player.ExperimentID == "offer-holdout":
			if v.variant != "" && v.variant != ev.Player.Variant {
				t.Errorf("%s changes from %s to %s", ev.PlayerID, v.variant, ev.Player.Variant)
			}
			if v.at == 0 {
				v.variant, v.at = strings.Clone(ev.Player.Variant), ev.EventTime
			}
		case ev.Type == event.CTAExposure:
			v.callTo = true
		case ev.DropID != "" && (ev.Type == event.OfferImpression || ev.Type == event.OfferClick || ev.Kind == event.KindCheckout):
			v.offered = true
			v.bought = v.bought || ev.Type == event.CheckoutCompleted
		case ev.Type == event.SessionStart && v.at > 0 && ev.EventTime >= v.at+day && ev.EventTime < v.at+7*day:
			v.returned = true
		}
	})
	x := entry.Experiments[len(entry.Experiments)-1]
	if x.ID != "offer-holdout" || x.Holdout != holdout || x.Variants[0] != (event.Variant{Name: holdout, BPS: 4000}) || x.Variants[1].BPS != 6000 {
		t.Fatalf("the catalogue says %+v", x)
	}
	var n, bought, back, both [2]float64
	for id, v := range visitors {
		if v.variant == "" {
			continue
		}
		arm := 1
		if v.variant == holdout {
			arm = 0
			if v.offered || v.callTo {
				t.Errorf("%s was held out and got the offer", id)
			}
		}
		n[arm]++
		if v.bought {
			bought[arm]++
		}
		if v.returned {
			back[arm]++
		}
		if v.bought && v.returned {
			both[arm]++
		}
	}
	h := g.Books().Drops[g.MainDrop()].Happened
	if arms := h.Arms["offer-holdout"]; float64(arms[holdout].Visitors) != n[0] || float64(arms[offered].Visitors) != n[1] ||
		float64(arms[offered].Converters) != bought[1] || arms[holdout].Converters != 0 || h.Offer != (Offer{uint64(n[1]), uint64(n[0])}) {
		t.Errorf("books %+v %+v, seen %v visitors and %v buyers", arms, h.Offer, n, bought)
	}
	if share := n[0] / (n[0] + n[1]); math.Abs(share-0.4) > 3*math.Sqrt(.24/(n[0]+n[1])) {
		t.Errorf("%.4f held out", share)
	}
	r0, r1 := back[0]/n[0], back[1]/n[1]
	se := math.Sqrt(r0*(1-r0)/n[0] + r1*(1-r1)/n[1])
	truth := h.Retention.Horizons[1]
	t.Logf("ITT %.4f ± %.4f, truth %.4f; per purchaser %.4f, truth %.4f", r1-r0, se, truth.PerOffered, (r1-r0)*n[1]/bought[1], truth.PerPurchaser)
	if math.Abs(r1-r0-truth.PerOffered) > 3*se || truth.PerOffered < 5*se {
		t.Errorf("ITT %.4f ± %.4f, the books say %.4f", r1-r0, se, truth.PerOffered)
	}
	// A window that counts from landing holds nearly all of what one that counts from purchase does; a longer one has more
	// players who return anyway, and a shorter one catches a part.
	day1, day28 := h.Retention.Horizons[0], h.Retention.Horizons[2]
	if math.Abs(truth.PerPurchaser-truth.Added) > 0.01*truth.Added || math.Abs(truth.Added-h.Retention.Added) > 1e-12 ||
		day1.Added > truth.Added/4 || day28.Added > truth.Added || day28.ReturnAnyway < truth.ReturnAnyway || day1.ReturnAnyway > truth.ReturnAnyway {
		t.Errorf("horizons %+v", h.Retention.Horizons)
	}
}

// The audience in the books is what followers do: the effect raises it by what it adds to their rates.
func TestAudience(t *testing.T) {
	s := crowd(32, 8000, Effects{CreatorUplift: 0.5, RateLog: 0.5})
	s.HistoryMS, s.AfterMS, s.DropMS = day, 6*day, day
	s.Behaviour.Newcomers, s.Behaviour.Joining, s.Behaviour.Reach = 0, 0, 0.05
	t.Logf("seed %d", s.Seed)
	g := generate(t, s)
	active := map[string]bool{}
	var d event.Decoder
	var ev event.Event
	drain(t, g, func(r *Record) {
		if r.Kind != event.KindPlayer || d.Decode(r.Kind, r.Value, &ev) != nil {
			return
		}
		if ev.Type == event.SessionStart && ev.DropID == "" && ev.CreatorID == g.w.creators[0] && ev.EventTime >= s.StartMS && ev.EventTime < s.StartMS+7*day {
			active[strings.Clone(ev.PlayerID)] = true
		}
	})
	a := g.Books().Drops[g.MainDrop()].Happened.Audience
	n := float64(len(active))
	t.Logf("%.0f active, expected %.1f, without the effect %.1f", n, a.With, a.Without)
	if math.Abs(n-a.With) > 3*math.Sqrt(a.With) || a.Without > a.With-5*math.Sqrt(a.With) {
		t.Errorf("%.0f active, the books say %+v", n, a)
	}
}

// The story is a valid scenario with three drops of 48 hours, and every preset stays one.
func TestPresetsAreValid(t *testing.T) {
	for name, s := range map[string]Scenario{"demo": Demo(1), "crowd": Crowd(1), "tiny": Tiny(1), "story": Story(1)} {
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := Story(1)
	bad := s
	bad.HoldoutBPS = 10_000
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "holdout_bps") {
		t.Errorf("everybody held out: %v", err)
	}
	w := newWorld(s.withDefaults())
	creators := map[uint16]bool{}
	for _, d := range w.drops {
		creators[d.creator] = true
		if d.end-d.start != 48*hour {
			t.Errorf("%s lasts %d h", d.id, (d.end-d.start)/hour)
		}
	}
	if len(w.drops) != 3 || len(creators) != 3 {
		t.Errorf("%d drops of %d creators", len(w.drops), len(creators))
	}
}
