package main

import (
	"bytes"
	"hash/fnv"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/experiments"
)

// experimentRun is what the read-out said of one simulated drop, by language.
type experimentRun struct {
	rejected map[string]bool // at any look
	alarmed  map[string]bool
	last     map[string]event.Estimate
	looks    int
	truth    map[string]float64 // in percentage points
}

// simulateExperiments plays a small drop through three partitions and the rollup, which looks every minute.
func simulateExperiments(t *testing.T, seed uint64) (run experimentRun) {
	s := simulate.Crowd(seed)
	s.Players, s.Languages, s.SourceLanguage = 4_500, []string{"en", "fr"}, "en"
	s.Regions = []simulate.Region{
		{Code: "US", Weight: 1, Currency: "USD", MinorPerCent: 1, Language: "en"}, {Code: "FR", Weight: 1, Currency: "EUR", MinorPerCent: 0.92, Language: "fr"},
	}
	s.POPs = []simulate.POP{{Name: "iad", Region: "US", MedianMS: 60, Sigma: 0.5}, {Name: "cdg", Region: "FR", MedianMS: 80, Sigma: 0.5}}
	s.Degradations, s.Earlier, s.Faults = nil, []simulate.EarlierDrop{}, simulate.Faults{OutOfOrder: 0.02, Duplicate: 0.01}
	s.Effects = simulate.Effects{BuyLogit: 0.5, LatencyLogit: -0.12, CTA: map[string]float64{"en": 0.35}} // fr is A/A
	const hour = 3_600_000
	s.HistoryMS, s.DropMS = hour, 24*hour
	b := &s.Behaviour
	b.HeartbeatMS, b.SampleMS, b.ProbeMS = hour, hour, 0
	b.SessionsPerDay, b.Newcomers, b.Joining, b.Reach, b.Revisit = 0.001, 1, 0, 1, 0.1
	s.Subtitles.StreamMS, s.Subtitles.CueMS = 60_000, 60_000
	g, err := simulate.New(s)
	if err != nil {
		t.Error(err)
		return run
	}
	run = experimentRun{rejected: map[string]bool{}, alarmed: map[string]bool{}, last: map[string]event.Estimate{}, truth: map[string]float64{}}
	drops := catalogueNow{}
	var partitions []*processors.Partition
	for i := range int32(3) {
		rule, err := experiments.New(experiments.Config{}, i, drops)
		if err != nil {
			t.Error(err)
		}
		partitions = append(partitions, processors.NewPartition(i, processors.Config{Inputs: []event.Kind{event.KindPlayer, event.KindCheckout}, ProgressEvery: 60_000},
			drops, []processors.Rule{rule}))
	}
	totals, err := experiments.NewRollup(experiments.RollupConfig{}, drops)
	if err != nil {
		t.Error(err)
	}
	rollup := processors.NewRollup(0, []processors.RollupRule{totals})
	var decoder event.Decoder
	var ev event.Event
	flush := func(now int64, quiet bool) {
		for _, p := range partitions {
			for _, m := range p.Flush(now, []bool{quiet, quiet}) {
				if m.Kind == event.KindProgress || m.Kind == event.KindExperimentArm {
					rollup.Process(event.Record{Kind: m.Kind, Key: bytes.Clone(m.Key), Value: bytes.Clone(m.Value)})
				}
			}
			p.Commit()
		}
		for _, m := range rollup.Flush(now, []bool{quiet}) {
			if m.Kind != event.KindEstimate {
				continue
			}
			var e event.Estimate
			if err := decoder.Estimate(bytes.Clone(m.Value), &e); err != nil {
				t.Error(err)
			}
			if e.DropID != g.MainDrop() {
				continue
			}
			switch language := e.Dimensions[1].Value; e.Metric {
			case "experiment_effect":
				run.looks++
				run.last[language] = e
				run.rejected[language] = run.rejected[language] || e.Enough && e.P <= 0.05
			case "experiment_srm":
				run.alarmed[language] = run.alarmed[language] || e.Why != ""
			}
		}
		rollup.Commit()
	}
	var r simulate.Record
	var at, flushed int64
	for g.Next(&r) {
		switch at = r.At; r.Kind {
		case event.KindDrop:
			if decoder.Decode(r.Kind, r.Value, &ev) == nil {
				entry := ev.Drop
				for i := range entry.Experiments {
					entry.Experiments[i].EffectSD = 0.03 // at 20 % conversion, the default of .01 would have been too modest a plan
				}
				drops[strings.Clone(ev.DropID)] = &entry
				ev = event.Event{} // its slices are the entry's now
			}
		case event.KindPlayer, event.KindCheckout:
			h := fnv.New32a()
			h.Write(r.Key)
			partitions[h.Sum32()%3].Process(event.Record{Kind: r.Kind, Key: r.Key, Value: r.Value, Timestamp: r.At})
		}
		if at-flushed >= 60_000 {
			flush(at, false)
			flushed = at
		}
	}
	flush(at+3_600_000, true)
	for id, arms := range g.Books().Drops[g.MainDrop()].Happened.Arms {
		run.truth[strings.TrimPrefix(id, "cta-")] = 100 * (arms["treatment"].Conversion - arms["control"].Conversion)
	}
	return run
}

// TestExperimentsTruth: over 200 simulated drops, watched every minute, the always-valid intervals cover the true difference, A/A
// is rejected at most at α at any look, and an effect is found.
func TestExperimentsTruth(t *testing.T) {
	const runs, alpha = 200, 0.05
	results := make([]experimentRun, runs)
	var wait sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := range next {
				results[i] = simulateExperiments(t, uint64(7_000+i))
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	wait.Wait()
	for _, language := range []string{"en", "fr"} {
		var covered, rejected, naive, alarms, enough, looks int
		var truth, estimate, spread float64
		for _, run := range results {
			e := run.last[language]
			looks += run.looks
			truth += run.truth[language] / runs
			if run.alarmed[language] {
				alarms++
			}
			if !e.Enough {
				continue
			}
			enough++
			estimate += e.Value
			spread += (e.Value - run.truth[language]) * (e.Value - run.truth[language])
			if e.Low <= run.truth[language] && run.truth[language] <= e.High {
				covered++
			}
			if run.rejected[language] {
				rejected++
			}
			if one := detailOf(e, "p_one_look"); one <= alpha {
				naive++
			}
		}
		t.Logf("%s: true %+.3f pp, estimated %+.3f pp with a standard deviation of %.3f; of %d runs (seeds 7000 on, %d looks each) %d ended with enough data, %d intervals cover, "+
			"%d rejected at some look, %d by one test at the end, %d sample ratio alarms",
			language, truth, estimate/float64(enough), math.Sqrt(spread/float64(enough)), runs, looks/runs/2, enough, covered, rejected, naive, alarms)
		if enough < runs*95/100 {
			t.Errorf("%s: only %d runs have enough data", language, enough)
		}
		if float64(covered) < (1-alpha)*float64(enough) {
			t.Errorf("%s: %d of %d intervals cover", language, covered, enough)
		}
		if alarms > runs/100 {
			t.Errorf("%s: %d sample ratio alarms", language, alarms)
		}
		if math.Abs(estimate/float64(enough)-truth) > 4*math.Sqrt(spread)/float64(enough) {
			t.Errorf("%s: the estimates are biased", language)
		}
		switch {
		case language == "fr" && truth != 0:
			t.Errorf("A/A has an effect of %v pp", truth)
		case language == "fr" && float64(rejected) > alpha*runs:
			t.Errorf("A/A is rejected in %d of %d runs", rejected, runs)
		case language == "en" && rejected < runs/3:
			t.Errorf("the effect is found in %d of %d runs", rejected, runs)
		}
	}
}

func detailOf(e event.Estimate, name string) float64 {
	for _, d := range e.Details {
		if d.Name == name {
			return d.Value
		}
	}
	return math.NaN()
}

// The simulator assigns variants by itself, as a client would: every exposure must be the one that the model gives.
func TestSimulatorAndModelAssignAlike(t *testing.T) {
	g, err := simulate.New(simulate.Tiny(5))
	if err != nil {
		t.Fatal(err)
	}
	var decoder event.Decoder
	var ev event.Event
	designs := map[string]experiment.Design{}
	variants := map[string][]event.Variant{}
	seen := map[string]int{}
	var r simulate.Record
	for g.Next(&r) {
		if (r.Kind != event.KindDrop && r.Kind != event.KindPlayer) || decoder.Decode(r.Kind, r.Value, &ev) != nil {
			continue
		}
		for _, x := range ev.Drop.Experiments {
			d := experiment.Design{ID: strings.Clone(x.ID), Salt: strings.Clone(x.Salt), Traffic: x.TrafficBPS}
			variants[d.ID] = nil
			for _, v := range x.Variants {
				d.Shares = append(d.Shares, v.BPS)
				variants[d.ID] = append(variants[d.ID], event.Variant{Name: strings.Clone(v.Name)})
			}
			designs[d.ID] = d
		}
		if ev.Type != event.CTAExposure {
			continue
		}
		d, ok := designs[ev.Player.ExperimentID]
		if !ok {
			t.Fatalf("exposure to %q, which the catalogue does not have", ev.Player.ExperimentID)
		}
		v := d.Variant(ev.PlayerID)
		if v == experiment.None || variants[d.ID][v].Name != ev.Player.Variant {
			t.Fatalf("%s was shown %s of %s, assigned is number %d", ev.PlayerID, ev.Player.Variant, d.ID, v)
		}
		seen[variants[d.ID][v].Name]++
	}
	if seen["control"] == 0 || seen["treatment"] == 0 {
		t.Errorf("exposures %v", seen)
	}
}
