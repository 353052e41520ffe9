package simulate

import (
	"math"
	"testing"
)

// Who stays away is who the hazard says, over players grouped by it and over windows with and without a drop: each group's number is
// within four standard deviations of its sum.
func TestHazard(t *testing.T) {
	s := crowd(41, 6000, Effects{RateLog: 0.8, BuyLogit: 0.5, CreatorUplift: 0.5, Retention: 0.3})
	s.HistoryMS, s.AfterMS = 40*day, 14*day
	s.Earlier = []EarlierDrop{{Creator: 2, BeforeMS: 20 * day, DropMS: day, Reach: 0.3}}
	s.Behaviour.Joining, s.Behaviour.Newcomers = 0.7, 0.05 // many visit a drop before they join
	t.Logf("seed %d", s.Seed)
	g := generate(t, s)
	players := observe(t, g)
	for _, c := range []struct {
		what     string
		from, to int64 // before the main drop
	}{
		{"nothing but sessions", 35 * day, 21 * day},
		{"an earlier drop", 21 * day, 14 * day},
		{"the middle of an earlier drop", 21 * day, 20*day - 6*hour},
		{"the uplift after a drop, and the next one", 11 * day, -13 * day},
	} {
		from, to := s.StartMS-c.from, s.StartMS-c.to
		away, err := g.Away(from, to)
		if err != nil {
			t.Fatal(err)
		}
		const groups = 5
		var said, variance, came [groups]float64
		for id, p := range players {
			appeared, returned := false, false
			for _, at := range p.starts {
				appeared = appeared || at < from
				returned = returned || from <= at && at < to
			}
			if !appeared {
				continue
			}
			q := away[id]
			k := min(int(q*groups), groups-1)
			said[k] += q
			variance[k] += q * (1 - q)
			if !returned {
				came[k]++
			}
		}
		for k := range said {
			if sd := math.Sqrt(variance[k]); math.Abs(came[k]-said[k]) > 4*sd+0.01*said[k] {
				t.Errorf("%s: %.0f stay away of a group whose hazards sum to %.1f ± %.1f", c.what, came[k], said[k], sd)
			}
		}
		t.Logf("%s: said %.0f, came %.0f", c.what, said, came)
	}
	for what, window := range map[string][2]int64{
		"during a drop":         {s.StartMS - 20*day + hour, s.StartMS - 10*day},
		"while purchases count": {s.StartMS - 14*day, s.StartMS - 10*day},
		"behind the end":        {s.StartMS - 5*day, s.StartMS + s.DropMS + s.AfterMS + 1},
	} {
		if _, err := g.Away(window[0], window[1]); err == nil {
			t.Errorf("%s a hazard is told", what)
		}
	}
}
