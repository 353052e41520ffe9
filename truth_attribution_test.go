package main

import (
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/attribution"
)

// visitors is a drop with many viewers and few other events: 12 hours, no history, strong load.
func visitors(seed uint64, slope float64) simulate.Scenario {
	const hour = 3_600_000
	s := simulate.Crowd(seed)
	s.Players, s.HistoryMS, s.DropMS = 2500, hour, 12*hour
	s.Faults = simulate.Faults{}
	s.Earlier = []simulate.EarlierDrop{}
	s.Effects = simulate.Effects{LatencyLogit: slope, BuyLogit: 0.3, CTA: map[string]float64{"en": 0.15, "fr": -0.10}}
	s.Degradations = []simulate.Degradation{{POP: "fra", FromMS: 0, ToMS: 6 * hour, Factor: 3}}
	// kwi is far away, sjc faster than any budget.
	s.POPs = []simulate.POP{
		{Name: "iad", Region: "US", MedianMS: 110, Sigma: 0.6}, {Name: "sjc", Region: "US", MedianMS: 15, Sigma: 0.3},
		{Name: "lhr", Region: "GB", MedianMS: 130, Sigma: 0.6}, {Name: "cdg", Region: "FR", MedianMS: 140, Sigma: 0.6},
		{Name: "fra", Region: "DE", MedianMS: 120, Sigma: 0.6}, {Name: "nrt", Region: "JP", MedianMS: 170, Sigma: 0.6},
		{Name: "kwi", Region: "KW", MedianMS: 260, Sigma: 0.6},
	}
	b := &s.Behaviour
	b.HeartbeatMS, b.SampleMS, b.ProbeMS = hour, hour, 0
	b.Reach, b.Revisit, b.Newcomers, b.Joining = 1, 0.1, 0, 0
	b.PeakHalfLifeMS, b.TailHalfLifeMS, b.Premiere = 90*60_000, 6*hour, 0.6
	b.Load, b.Rush, b.ConversionLogit = 2, 2, -1.7
	b.Impression = 0
	s.Subtitles.StreamMS, s.Subtitles.CueMS = 60_000, 60_000
	return s
}

type dropsByID map[string]*event.Drop

func (d dropsByID) Drop(id string, _ int64) *event.Drop { return d[id] }

// attributed is what came of a scenario.
type attributed struct {
	// estimates and partials are the newest ones by key.
	estimates map[string]event.Estimate
	partials  map[string]event.Attribution
	truth     map[string]float64
}

// attribute runs a scenario through the first stage's partitions and the second stage.
func attribute(s simulate.Scenario, partitions int) (*attributed, error) {
	g, err := simulate.New(s)
	if err != nil {
		return nil, err
	}
	drops := dropsByID{}
	inputs := []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout}
	first := make([]*processors.Partition, partitions)
	for p := range first {
		rule, err := attribution.New(attribution.Config{}, int32(p), drops)
		if err != nil {
			return nil, err
		}
		first[p] = processors.NewPartition(int32(p), processors.Config{Inputs: inputs, ProgressEvery: 10_000}, drops, []processors.Rule{rule})
	}
	totals, err := attribution.NewTotals(attribution.TotalsConfig{})
	if err != nil {
		return nil, err
	}
	second := processors.NewRollup(0, []processors.RollupRule{totals})

	got := &attributed{estimates: map[string]event.Estimate{}, partials: map[string]event.Attribution{}}
	var decoder event.Decoder
	var ev event.Event
	var now int64
	flush := func() error {
		caughtUp := []bool{true, true, true}
		for _, partition := range first {
			for _, m := range partition.Flush(now, caughtUp) {
				second.Process(event.Record{Kind: m.Kind, Timestamp: now, Key: m.Key, Value: m.Value})
				if m.Kind == event.KindAttribution {
					var a event.Attribution
					if err := decoder.Attribution(m.Value, &a); err != nil {
						return err
					}
					got.partials[string(m.Key)] = a
				}
			}
			partition.Commit()
		}
		for _, m := range second.Flush(now, []bool{true, true}) {
			if m.Kind != event.KindEstimate {
				continue
			}
			var e event.Estimate
			if err := decoder.Estimate(m.Value, &e); err != nil {
				return err
			}
			got.estimates[string(m.Key)] = e
		}
		second.Commit()
		return nil
	}
	var r simulate.Record
	for n := 0; g.Next(&r); n++ {
		if r.Kind == event.KindDrop {
			if err := decoder.Decode(r.Kind, r.Value, &ev); err != nil {
				return nil, err
			}
			d := ev.Drop
			drops[strings.Clone(ev.DropID)] = &d
			continue
		}
		if r.Kind == event.KindSubtitle {
			continue
		}
		hash := uint32(2166136261)
		for _, b := range r.Key {
			hash = (hash ^ uint32(b)) * 16777619
		}
		now = r.At
		first[hash%uint32(partitions)].Process(event.Record{Kind: r.Kind, Offset: int64(n), Timestamp: r.At, Key: r.Key, Value: r.Value})
	}
	if err := flush(); err != nil {
		return nil, err
	}
	got.truth = g.Books().Drops["drop-001"].Happened.LatencyLoss
	return got, nil
}

// TestLatencyLossCoversTheTruth: over 400 drops whose load and demand peak together, the interval of the conversions
// lost covers the simulation's own expectation at its nominal rate, and the same estimator without controls is visibly biased.
func TestLatencyLossCoversTheTruth(t *testing.T) {
	const runs, slope = 400, -0.12
	type result struct {
		truth, value, low, high float64
		naive                   latencyloss.Interval
		enough, fastSilent      bool
		err                     error
	}
	results := make([]result, runs)
	parallel(runs, func(i int) {
		r := &results[i]
		got, err := attribute(visitors(uint64(1000+i), slope), 2)
		if r.err = err; err != nil {
			return
		}
		for _, n := range got.truth {
			r.truth += n
		}
		e := got.estimates["drop-001|latency_loss_conversions"]
		r.value, r.low, r.high, r.enough = e.Value, e.Low, e.High, e.Enough
		fast := got.estimates["drop-001|latency_loss_conversions|pop=sjc"]
		r.fastSilent = fast.N > 0 && !fast.Enough && fast.Why != ""
		r.naive, r.err = unadjusted(got.partials)
	})
	covered, naively := 0, 0
	var truth, value, naive float64
	for i, r := range results {
		switch {
		case r.err != nil:
			t.Fatalf("seed %d: %v", 1000+i, r.err)
		case !r.enough:
			t.Fatalf("seed %d: not enough data", 1000+i)
		case !r.fastSilent:
			t.Errorf("seed %d: a POP without viewers above the budget claims a loss", 1000+i)
		}
		if r.low <= r.truth && r.truth <= r.high {
			covered++
		}
		if r.naive.Low <= r.truth && r.truth <= r.naive.High {
			naively++
		}
		truth, value, naive = truth+r.truth/runs, value+r.value/runs, naive+r.naive.Value/runs
	}
	// It is a little conservative: viewers of one stratum differ in intent, which makes their conversions vary less around
	// their own expectation than equal viewers' would.
	rate := float64(covered) / runs
	t.Logf("seeds 1000 to %d: covered %.1f %%; mean truth %.1f, estimate %.1f, without controls %.1f, which covers %.1f %%", 1000+runs-1, 100*rate, truth, value, naive, 100*float64(naively)/runs)
	if rate < 0.93 || rate > 0.97 {
		t.Errorf("the 95 %% interval covers the truth in %.1f %% of the drops", 100*rate)
	}
	if math.Abs(value-truth) > 0.1*truth {
		t.Errorf("the mean estimate %.2f is off the mean truth %.2f", value, truth)
	}
	if naive > 0.7*truth || naively > runs/2 {
		t.Errorf("without controls the mean is %.2f of %.2f and %d of %d are covered: the simulation confounds nothing", naive, truth, naively, runs)
	}
}

// TestLatencyLossPlacebo: where latency costs nothing, neither the drop nor any POP claims a loss more often than in 5 %.
func TestLatencyLossPlacebo(t *testing.T) {
	const runs = 200
	claims, statements := make([]int, runs), make([]int, runs)
	drop := make([]bool, runs)
	errs := make([]error, runs)
	parallel(runs, func(i int) {
		got, err := attribute(visitors(uint64(5000+i), 0), 2)
		if errs[i] = err; err != nil {
			return
		}
		for key, e := range got.estimates {
			if !strings.HasPrefix(key, "drop-001|latency_loss_conversions") || !e.Enough {
				continue
			}
			claim := e.Low > 0 || e.High < 0
			if len(e.Dimensions) == 0 {
				drop[i] = claim
				continue
			}
			statements[i]++
			if claim {
				claims[i]++
			}
		}
	})
	rejected, ofPOPs, said := 0, 0, 0
	for i := range runs {
		if errs[i] != nil {
			t.Fatalf("seed %d: %v", 5000+i, errs[i])
		}
		if drop[i] {
			rejected++
		}
		ofPOPs, said = ofPOPs+claims[i], said+statements[i]
	}
	t.Logf("seeds 5000 to %d: a loss or a gain is claimed for %d of %d drops and in %d of %d statements on POPs", 5000+runs-1, rejected, runs, ofPOPs, said)
	// Binomial: 5 % of 200 and three standard deviations. The POPs of a drop share its slope.
	if limit := 0.05*runs + 3*math.Sqrt(0.05*0.95*runs); float64(rejected) > limit {
		t.Errorf("%d of %d placebo drops are rejected at 5 %%", rejected, runs)
	}
	if said < runs || float64(ofPOPs) > 0.1*float64(said) {
		t.Errorf("%d of %d placebo POPs are rejected at 5 %%", ofPOPs, said)
	}
}

// unadjusted is the same estimator over all viewers as one stratum.
func unadjusted(partials map[string]event.Attribution) (latencyloss.Interval, error) {
	var all latencyloss.Cell
	for _, a := range partials {
		for k := range a.Viewers {
			all.Buckets[k].N += uint64(a.Viewers[k])
			all.Buckets[k].Conversions += uint64(a.Conversions[k])
			all.MS[k] += float64(a.LatencyUS[k]) / 1000
		}
	}
	model, err := latencyloss.FitCells([]latencyloss.Cell{all}, latencyloss.Config{})
	if err != nil {
		return latencyloss.Interval{}, err
	}
	return model.CellLoss(300, func(*latencyloss.Cell) float64 { return 1 }), nil
}

// parallel calls f with 0 to n−1 on two processors.
func parallel(n int, f func(int)) {
	var wait sync.WaitGroup
	for worker := range 2 {
		wait.Go(func() {
			for i := worker; i < n; i += 2 {
				f(i)
			}
		})
	}
	wait.Wait()
}
