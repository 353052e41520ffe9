package velocity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// bins are the (events, censored) counts by duration in panes that a query
// takes from velocity rows: the derivation of the package comment, line by line.
func bins(rows []event.Velocity, cut, paneMS int64) (events, censored map[int64]int64) {
	entered, converted := map[int64]int64{}, map[int64]int64{}
	events, censored = map[int64]int64{}, map[int64]int64{}
	for _, v := range rows {
		if v.PaneStart > cut {
			continue
		}
		entered[v.PaneStart] += int64(v.Players[event.StepLanding])
		for _, e := range v.TimeToConvert {
			converted[v.PaneStart-int64(e.Panes)*paneMS] += int64(e.Count)
			events[int64(e.Panes)] += int64(e.Count)
		}
	}
	for pane, n := range entered {
		censored[(cut-pane)/paneMS] += n - converted[pane]
	}
	return events, censored
}

type kmPoint struct{ survival, variance, atRisk float64 }

// kaplanMeier is the product-limit estimate by duration.
func kaplanMeier(events, censored map[int64]int64) map[int64]kmPoint {
	last := int64(0)
	n := 0.0
	for _, m := range []map[int64]int64{events, censored} {
		for d, count := range m {
			if count > 0 {
				last = max(last, d)
			}
			n += float64(count)
		}
	}
	points := map[int64]kmPoint{}
	s, sum := 1.0, 0.0
	for d := int64(0); d <= last; d++ {
		if e := float64(events[d]); e > 0 {
			s *= 1 - e/n
			sum += e / (n * (n - e))
		}
		points[d] = kmPoint{survival: s, variance: s * s * sum, atRisk: n}
		n -= float64(events[d] + censored[d])
	}
	return points
}

func (p kmPoint) logLog() (low, high float64) {
	s := math.Sqrt(p.variance) / p.survival / math.Abs(math.Log(p.survival))
	return math.Pow(p.survival, math.Exp(1.959964*s)), math.Pow(p.survival, math.Exp(-1.959964*s))
}

// The example of DOMAIN 2.2, each player landing so that the cut censors them in time.
func TestKaplanMeierGolden(t *testing.T) {
	for _, width := range []int64{1_000, 10_000, 60_000} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			const start = int64(6_000_000)
			cut := start + 12*width
			b := newBench(t, Config{PaneMS: width}, 0, oneDrop(start, cut+width))
			for i, c := range []struct {
				panes int64
				event bool
			}{{2, true}, {3, false}, {5, true}, {5, true}, {5, false}, {8, false}, {9, true}, {12, false}, {12, false}, {12, false}} {
				player := fmt.Sprint(i)
				if c.event {
					b.apply(way(player, "fra", start+width/2, c.panes*width, event.LandingView, event.CheckoutCompleted)...)
					continue
				}
				b.apply(way(player, "fra", cut-c.panes*width, 0, event.LandingView)...)
			}
			points := kaplanMeier(bins(b.turn(cut), cut, width))
			for _, want := range []struct {
				panes                  int64
				survival, low, high, n float64
			}{{2, .9, .4730, .9853, 10}, {5, .675, .2906, .8825, 8}, {9, .50625, .1396, .7903, 4}} {
				got := points[want.panes]
				low, high := got.logLog()
				if math.Abs(got.survival-want.survival) > 1e-9 || math.Abs(low-want.low) > 5e-5 || math.Abs(high-want.high) > 5e-5 || got.atRisk != want.n {
					t.Errorf("at %d panes: S %.6f [%.4f, %.4f], %v at risk; want %+v", want.panes, got.survival, low, high, got.atRisk, want)
				}
			}
			if se := math.Sqrt(points[5].variance); math.Abs(se-.155071) > 5e-7 {
				t.Errorf("SE at 5 panes %.6f, want .155071", se)
			}
		})
	}
}

// Panes of several partitions give the same estimate, at any cut, as the players
// themselves: each one's own duration in panes, by the textbook.
func TestKaplanMeierFromPanesIsExact(t *testing.T) {
	_, random := seed(t)
	for range 8 {
		width := []int64{1_000, 10_000}[random.IntN(2)]
		cfg := Config{PaneMS: width}
		h := crowd(random, 400)
		half := len(h) / 2
		var parts [2][]step
		for i, s := range h {
			parts[min(1, i/half)] = append(parts[min(1, i/half)], s)
		}
		// A player's events stay in one partition: crowd lists them together, but the cut may split one.
		for len(parts[1]) > 0 && len(parts[0]) > 0 && parts[1][0].player == parts[0][len(parts[0])-1].player {
			parts[0], parts[1] = append(parts[0], parts[1][0]), parts[1][1:]
		}
		rows := append(newest(play(t, random, cfg, 0, parts[0])), newest(play(t, random, cfg, 1, parts[1]))...)
		for range 5 {
			cut := (historyStart + random.Int64N(historyEnd-historyStart)) / width * width
			got := kaplanMeier(bins(rows, cut, width))
			want := kaplanMeier(byPlayer(h, cut, width))
			for d, w := range want {
				if g := got[d]; math.Abs(g.survival-w.survival) > 1e-12 || g.atRisk != w.atRisk {
					t.Fatalf("width %d, cut %d, duration %d: got %+v, want %+v", width, cut, d, g, w)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("got %d durations, want %d", len(got), len(want))
			}
		}
	}
}

// crowd is players who land and perhaps buy, some without landing, some landing afterwards or twice.
func crowd(random *rand.Rand, n int) (h []step) {
	for i := range n {
		player := fmt.Sprintf("p%d", i)
		landing := historyStart + random.Int64N(600_000)
		if random.IntN(10) > 0 {
			h = append(h, way(player, "fra", landing, random.Int64N(60_000), event.LandingView, event.OfferImpression)...)
		}
		if random.IntN(10) < 4 {
			h = append(h, way(player, "sin", landing-50_000+random.Int64N(400_000), 1, event.CheckoutCompleted)...)
		}
		if random.IntN(5) == 0 {
			h = append(h, way(player, "sin", landing+random.Int64N(300_000), 1, event.LandingView, event.CheckoutCompleted)...)
		}
	}
	return h
}

func byPlayer(h []step, cut, width int64) (events, censored map[int64]int64) {
	const never = math.MaxInt64
	type first struct{ landing, purchase int64 }
	players := map[string]first{}
	for _, s := range h {
		p, ok := players[s.player]
		if !ok {
			p = first{never, never}
		}
		switch s.what {
		case event.LandingView:
			p.landing = min(p.landing, s.at)
		case event.CheckoutCompleted:
			p.purchase = min(p.purchase, s.at)
		}
		players[s.player] = p
	}
	events, censored = map[int64]int64{}, map[int64]int64{}
	for _, p := range players {
		if p.landing == never || p.landing/width*width > cut || p.purchase < p.landing {
			continue
		}
		if p.purchase/width*width <= cut {
			events[p.purchase/width-p.landing/width]++
		} else {
			censored[cut/width-p.landing/width]++
		}
	}
	return events, censored
}
