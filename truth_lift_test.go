package main

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/models/lift"
)

var liftDefaults = LiftOptions{Horizons: []int{7}, Confidence: 0.95, PretrendAlpha: 0.05, RatioAlpha: 0.001, BackDays: 90, Assignments: 2000, Seed: 1}

// liftCrowd is a run of many players and few other events.
func liftCrowd(seed uint64, players int, effects simulate.Effects) simulate.Scenario {
	s := simulate.Crowd(seed)
	s.Players, s.Effects, s.Faults = players, effects, simulate.Faults{}
	s.Earlier, s.Degradations = []simulate.EarlierDrop{}, nil
	s.DropMS = dayMS
	b := &s.Behaviour
	b.HeartbeatMS, b.SampleMS, b.ProbeMS = 3_600_000, 3_600_000, 0
	b.SessionMS, b.BackgroundPurchase, b.Refund, b.Chargeback = 60_000, 0, 0, 0
	s.Subtitles.CueMS, s.Subtitles.StreamMS = 60_000, 60_000
	return s
}

// retentionCrowd holds the effect of purchase on return, the selection of purchasers, and an offer's holdout.
func retentionCrowd(seed uint64, effect float64) simulate.Scenario {
	s := liftCrowd(seed, 2000, simulate.Effects{Retention: effect, BuyLogit: 0.9, RateLog: 0.6})
	s.HistoryMS, s.AfterMS, s.HoldoutBPS = 15*dayMS, 7*dayMS+dayMS/4, 3500
	s.Behaviour.SessionsPerDay, s.Behaviour.ConversionLogit = 0.15, -1
	return s
}

// coverage counts how often intervals hold the truth.
type coverage struct {
	mu                          sync.Mutex
	published, covered, rejects int
	bias, width                 float64
}

func (c *coverage) add(i *Interval, truth float64, p *float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.published++
	c.covered += int(one(i.Low <= truth && truth <= i.High))
	c.bias += i.Value - truth
	c.width += i.High - i.Low
	if p != nil && *p <= 0.05 {
		c.rejects++
	}
}

func (c *coverage) rate() float64 { return float64(c.covered) / float64(c.published) }

func (c *coverage) String() string {
	n := float64(c.published)
	return fmt.Sprintf("covered in %5.2f %% of %d, mean error %+.3f, mean width %.3f, p <= .05 in %.1f %%", 100*c.rate(), c.published, c.bias/n, c.width/n, 100*float64(c.rejects)/n)
}

// overSeeds calls f for each seed, as many at once as there are processors.
func overSeeds(t *testing.T, seeds int, f func(seed uint64) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(2)
	for seed := range uint64(seeds) {
		group.Go(func() error {
			if err := f(seed); err != nil {
				return fmt.Errorf("seed %d: %w", seed, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Retention: what each grade says of 2,000 players against what the simulator did to them. The truth of ITT is the mean
// effect over the offered, of CACE that over purchasers in a window that counts from landing, of differences in
// differences that on the treated, in a window that counts from purchase. Trends are parallel there: players differ in
// their rates for good, and nothing but purchase changes them.
func TestTruthOfRetention(t *testing.T) {
	const seeds = 400
	results := map[string]*coverage{}
	for _, name := range []string{"A two proportions", "A CUPED by sessions before", "B instrument", "C difference in differences", "D coarsened exact matching", "E raw difference"} {
		results[name] = &coverage{}
	}
	var mu sync.Mutex
	withheld := map[lift.Grade]int{}
	overSeeds(t, seeds, func(seed uint64) error {
		g, err := simulate.New(retentionCrowd(seed, 0.10))
		if err != nil {
			return err
		}
		f := readLiftFacts(t, g)
		truth := g.Books().Drops[g.MainDrop()].Happened.Retention.Horizons[1]
		rows := append(liftDefaults.holdout(g.MainDrop(), 7, f.holdout(g.MainDrop(), 7)), liftDefaults.returns(g.MainDrop(), f.returns(g.MainDrop(), 7))...)
		for i := range rows {
			r := &rows[i]
			want := truth.Added
			switch r.Grade {
			case lift.RandomizedITT:
				want = truth.PerOffered
			case lift.RandomizedCACE:
				want = truth.PerPurchaser
			}
			if r.Points == nil {
				if r.Maturity != final || !strings.HasPrefix(r.Note, "withheld") {
					return fmt.Errorf("no number of grade %s: %s, %s", r.Grade, r.Maturity, r.Note)
				}
				mu.Lock()
				withheld[r.Grade]++
				mu.Unlock()
				continue
			}
			results[r.Grade.Letter()+" "+r.Method].add(r.Points, 100*want, r.P)
		}
		return nil
	})
	for name, c := range results {
		t.Logf("%-28s %s", name, c)
		switch name[0] {
		case 'A', 'B', 'C':
			if rate := c.rate(); rate < .93 || rate > .97 {
				t.Errorf("grade %s: 95 %% intervals cover the truth in %.2f %%", name, 100*rate)
			}
		case 'E':
			if c.rate() > 0.2 || c.bias < 0 {
				t.Errorf("grade %s is not visibly biased by selection: %s", name, c)
			}
		}
	}
	if d, e := results["D coarsened exact matching"], results["E raw difference"]; d.bias/float64(d.published) > 0.8*e.bias/float64(e.published) {
		t.Errorf("matching removed little of the selection: %s against %s", d, e)
	}
	// The alarm of the arms' sizes, at .001, is rare where assignment works.
	if n := withheld[lift.RandomizedCACE]; n > 3 {
		t.Errorf("the arms' sizes alarm in %d of %d", n, seeds)
	}
	// The placebo: the share of runs whose pre-trend test withheld grade C.
	rate := float64(withheld[lift.QuasiDID]) / seeds
	t.Logf("pre-trend test rejected in %.2f %% of %d", 100*rate, seeds)
	if rate > 0.05+2*math.Sqrt(.05*.95/seeds) {
		t.Errorf("the placebo rejects in %.2f %%, over alpha", 100*rate)
	}
}

// Without an effect of purchase, the randomised grades and differences in differences find one in 5 % of the runs at
// most, and the raw difference nearly always does.
func TestPlaceboRetention(t *testing.T) {
	const seeds = 200
	rejects := map[lift.Grade]*coverage{}
	for g := lift.RandomizedITT; g <= lift.Descriptive; g++ {
		rejects[g] = &coverage{}
	}
	overSeeds(t, seeds, func(seed uint64) error {
		g, err := simulate.New(retentionCrowd(10_000+seed, 0))
		if err != nil {
			return err
		}
		f := readLiftFacts(t, g)
		rows := append(liftDefaults.holdout(g.MainDrop(), 7, f.holdout(g.MainDrop(), 7)), liftDefaults.returns(g.MainDrop(), f.returns(g.MainDrop(), 7))...)
		for i := range rows {
			if r := &rows[i]; r.Points != nil && r.Method != "CUPED by sessions before" {
				rejects[r.Grade].add(r.Points, 0, r.P)
			}
		}
		return nil
	})
	for g, c := range rejects {
		t.Logf("%s %s", g.Letter(), c)
		share := float64(c.rejects) / float64(c.published)
		if g <= lift.QuasiDID && share > 0.05+2*math.Sqrt(.05*.95/seeds) {
			t.Errorf("grade %s rejects in %.1f %% where there is nothing", g, 100*share)
		}
		if g == lift.Descriptive && share < 0.8 {
			t.Errorf("grade %s sees nothing in %.1f %%: there is no selection to be biased by", g, 100*(1-share))
		}
	}
}

// Creator uplift: 12 creators, of whom one has a drop and another had one two weeks before. The truth is the expected
// number of followers active in the week with the effect against without it.
func TestTruthOfCreatorUplift(t *testing.T) {
	for _, uplift := range []float64{0.35, 0} {
		t.Run(fmt.Sprintf("%.2f", uplift), func(t *testing.T) {
			seeds := 400
			if uplift == 0 {
				seeds = 200
			}
			single, stacked := &coverage{}, &coverage{}
			var mu sync.Mutex
			permuted, withheld := 0, 0
			overSeeds(t, seeds, func(seed uint64) error {
				s := liftCrowd(20_000+seed, 1500, simulate.Effects{CreatorUplift: uplift, RateLog: 0.5})
				s.HistoryMS, s.AfterMS = 43*dayMS, 6*dayMS+dayMS/4
				s.Earlier = []simulate.EarlierDrop{{Creator: 3, BeforeMS: 14*dayMS + dayMS/2, DropMS: dayMS, Reach: 0.02}}
				s.Behaviour.Reach, s.Behaviour.Newcomers, s.Behaviour.Joining, s.Behaviour.SessionsPerDay = 0.02, 0, 0, 0.1
				g, err := simulate.New(s)
				if err != nil {
					return err
				}
				f := readLiftFacts(t, g)
				rows := liftDefaults.creators(g.MainDrop(), f.creatorChanges(g.MainDrop(), 90))
				audience := g.Books().Drops[g.MainDrop()].Happened.Audience
				truth := (1+audience.With)/(1+audience.Without) - 1
				for i := range rows {
					r := &rows[i]
					if r.Metric != creatorOutcomes[0].metric || r.Horizon != creatorWindows[0].name {
						continue
					}
					if r.Relative == nil {
						mu.Lock()
						withheld++
						mu.Unlock()
						continue
					}
					if r.Scope == g.MainDrop() {
						single.add(r.Relative, truth, r.P)
						mu.Lock()
						permuted += int(one(*r.PermutationP <= 0.1))
						mu.Unlock()
						continue
					}
					stacked.add(r.Relative, truth, r.P)
				}
				return nil
			})
			t.Logf("this drop: %s", single)
			t.Logf("stacked:   %s", stacked)
			t.Logf("permutation p <= .1 in %d, withheld %d of %d", permuted, withheld, 2*seeds)
			for name, c := range map[string]*coverage{"one drop": single, "stacked": stacked} {
				if rate := c.rate(); rate < .93 || rate > .97 {
					t.Errorf("%s: 95 %% intervals cover the truth in %.2f %%", name, 100*rate)
				}
				if share := float64(c.rejects) / float64(c.published); uplift == 0 && share > 0.05+2*math.Sqrt(.05*.95/float64(seeds)) {
					t.Errorf("%s: rejects in %.1f %% where there is nothing", name, 100*share)
				}
			}
			if rate := float64(withheld) / float64(2*seeds); rate > 0.05+2*math.Sqrt(.05*.95/float64(seeds)) {
				t.Errorf("the placebo rejects in %.1f %%", 100*rate)
			}
		})
	}
}
