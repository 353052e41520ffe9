package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/localization"
)

// heldDrops is a catalogue that holds what it is given.
type heldDrops map[string]*event.Drop

func (d heldDrops) Drop(id string, _ int64) *event.Drop { return d[id] }

// subtitleRun is the simulator's cues through both stages, in transactions of some hundred records.
type subtitleRun struct {
	books     *simulate.Books
	drops     heldDrops
	main      string
	partials  map[string]event.Localization
	decisions []event.Decision
	estimates map[string]event.Estimate
	// outcomes of the first stage.
	outcomes map[string]uint64
}

func runSubtitles(t *testing.T, s simulate.Scenario, partitions int) *subtitleRun {
	t.Helper()
	generator, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	run := &subtitleRun{main: generator.MainDrop(), drops: heldDrops{}, partials: map[string]event.Localization{}, estimates: map[string]event.Estimate{}, outcomes: map[string]uint64{}}
	var stages []*processors.Partition
	var rules []*localization.Rule
	for i := range partitions {
		rule := must(localization.New(localization.Config{}, int32(i), run.drops))
		rules = append(rules, rule)
		stages = append(stages, processors.NewPartition(int32(i), processors.Config{Inputs: []event.Kind{event.KindSubtitle, event.KindPlayer}}, run.drops, []processors.Rule{rule}))
	}
	rollup := processors.NewRollup(0, []processors.RollupRule{must(localization.NewObjectives(localization.ObjectivesConfig{}, run.drops))})
	var decoder event.Decoder
	now := int64(0)
	flush := func(stage *processors.Partition) {
		for _, m := range stage.Flush(now, []bool{true, true}) {
			if m.Kind != event.KindLocalization {
				continue
			}
			var v event.Localization
			if err := decoder.Localization(m.Value, &v); err != nil {
				t.Fatal(err)
			}
			v.DropID, v.Language = strings.Clone(v.DropID), strings.Clone(v.Language)
			v.LatencyBins, v.TranslationBins = slices.Clone(v.LatencyBins), slices.Clone(v.TranslationBins)
			run.partials[string(m.Key)] = v
			if got := rollup.Process(event.Record{Kind: m.Kind, Key: m.Key, Value: slices.Clone(m.Value)}); got != event.Accepted {
				t.Fatalf("%s: outcome %v", m.Key, got)
			}
		}
		stage.Changes(func(string, []byte) {})
		stage.Commit()
		for _, m := range rollup.Flush(now, []bool{true}) {
			switch m.Kind {
			case event.KindDecision:
				var d event.Decision
				if err := decoder.Decision(m.Value, &d); err != nil {
					t.Fatal(err)
				}
				d.DropID, d.Subject, d.Chosen, d.Reason = strings.Clone(d.DropID), strings.Clone(d.Subject), strings.Clone(d.Chosen), strings.Clone(d.Reason)
				run.decisions = append(run.decisions, d)
			case event.KindEstimate:
				var e event.Estimate
				if err := decoder.Estimate(m.Value, &e); err != nil {
					t.Fatal(err)
				}
				run.estimates[string(m.Key)] = e
			}
		}
		rollup.Changes(func(string, []byte) {})
		rollup.Commit()
	}
	offset, pending := int64(0), make([]int, partitions)
	var r simulate.Record
	for generator.Next(&r) {
		switch r.Kind {
		case event.KindDrop:
			var ev event.Event
			if err := decoder.Decode(r.Kind, r.Value, &ev); err != nil {
				continue // the simulator's malformed ones
			}
			entry := ev.Drop
			run.drops[strings.Clone(ev.DropID)] = &entry
		case event.KindSubtitle, event.KindPlayer: // players keep the time going when the stream is over
			hash := fnv.New32a()
			hash.Write(r.Key)
			n := int(hash.Sum32()) % partitions
			now = max(now, r.At)
			stages[n].Process(event.Record{Kind: r.Kind, Offset: offset, Timestamp: r.At, Key: r.Key, Value: r.Value})
			offset++
			if pending[n]++; pending[n]%40 == 0 {
				flush(stages[n])
			}
		}
	}
	for _, stage := range stages {
		flush(stage)
	}
	for _, rule := range rules {
		rule.Outcomes(func(outcome string, total uint64) { run.outcomes[outcome] += total })
	}
	run.books = generator.Books()
	return run
}

func subtitleScenario(seed uint64) simulate.Scenario {
	s := simulate.Tiny(seed)
	s.Subtitles = simulate.DefaultSubtitles()
	return s
}

// TestCuesEqualTheBooks compares every drop and language with the simulator's books. A translated cue that came too late to be accepted
// is found missing by comparison with the source track, so that all cues are expected unless both came too late.
func TestCuesEqualTheBooks(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		t.Logf("seed %d", seed)
		run := runSubtitles(t, subtitleScenario(seed), 3)
		type sums struct{ expected, good, missing, unreported uint64 }
		got := map[string]sums{}
		for _, v := range run.partials {
			s := got[v.DropID+" "+v.Language]
			s.expected += uint64(v.Expected)
			s.good += uint64(v.Good)
			s.missing += uint64(v.Missing)
			s.unreported += uint64(v.Unreported)
			got[v.DropID+" "+v.Language] = s
		}
		compared := 0
		for id, drop := range run.books.Drops {
			for language, cues := range drop.Accepted.Cues {
				s := got[id+" "+language]
				lost := drop.Valid.Cues[language].Expected - cues.Expected
				if language == "en" {
					lost = 0 // nothing tells of a cue that is missing in the source track
				}
				// Both renderings late: nobody knows of the cue. Otherwise each late translation is found missing.
				if s.unreported > lost || s.unreported+drop.Valid.Cues["en"].Expected-drop.Accepted.Cues["en"].Expected < lost {
					t.Errorf("%s %s: %d cues found missing, %d came too late", id, language, s.unreported, lost)
				}
				if s.expected != cues.Expected+s.unreported || s.good != cues.Good || s.missing != cues.Missing+s.unreported {
					t.Errorf("%s %s: %+v, booked %+v", id, language, s, cues)
				}
				if cues.Expected > 100 {
					compared++
				}
			}
		}
		if compared < 4 {
			t.Errorf("only %d languages had cues", compared)
		}
		if run.outcomes["unreported"] == 0 {
			t.Errorf("no cue was found missing: %v", run.outcomes)
		}
	}
}

// TestTheStrugglingLanguagePages: the simulator's last language has a surge of latency in the middle third of every stream. It
// pages within 12 minutes of event time, until the surge is over; no other language pages, ever.
func TestTheStrugglingLanguagePages(t *testing.T) {
	const minute = 60_000
	for seed := uint64(1); seed <= 5; seed++ {
		run := runSubtitles(t, subtitleScenario(seed), 3)
		drop := run.drops[run.main]
		third := simulate.DefaultSubtitles().StreamMS / 3
		from, to := drop.StartMS+third, drop.StartMS+2*third
		paged, ended := int64(0), int64(0)
		for _, d := range run.decisions {
			switch {
			case d.Topic != "burn_rate" || d.Reason == "" || d.At == 0:
				t.Errorf("seed %d: %+v", seed, d)
			case d.DropID != run.main:
			case d.Chosen == "page" && d.Subject != "ja":
				t.Errorf("seed %d: %s pages at +%d s: %s", seed, d.Subject, (d.At-drop.StartMS)/1000, d.Reason)
			case d.Chosen == "page" && paged == 0:
				paged = d.At
			case d.Previous == "page":
				ended = d.At
			}
		}
		t.Logf("seed %d: pages %d s after the surge began, ends %d s after it was over", seed, (paged-from)/1000, (ended-to)/1000)
		if paged <= from || paged > from+12*minute {
			t.Errorf("seed %d: pages at +%d s; the surge is from +%d s to +%d s", seed, (paged-drop.StartMS)/1000, (from-drop.StartMS)/1000, (to-drop.StartMS)/1000)
		}
		if ended <= to || ended > to+15*minute {
			t.Errorf("seed %d: the page ends at +%d s", seed, (ended-drop.StartMS)/1000)
		}
		if !slices.ContainsFunc(run.decisions, func(d event.Decision) bool {
			return d.DropID == run.main && d.Chosen == "no_data" && d.At > drop.StartMS+3*third
		}) {
			t.Errorf("seed %d: the end of the stream is no silence", seed)
		}
		for _, language := range []string{"en", "fr", "de", "ja"} {
			checkEstimates(t, run, language)
		}
	}
}

// checkEstimates holds what the rollup says of the main drop against the sum of the newest partials.
func checkEstimates(t *testing.T, run *subtitleRun, language string) {
	t.Helper()
	expected, good := uint64(0), uint64(0)
	for _, v := range run.partials {
		if v.DropID == run.main && v.Language == language {
			expected += uint64(v.Expected)
			good += uint64(v.Good)
		}
	}
	e, found := run.estimates[fmt.Sprintf("%s|cue_good_ratio|%s", run.main, language)]
	if !found || e.N != expected || e.Numerator != good || !e.Enough || e.Low >= e.Value || e.High <= e.Value {
		t.Errorf("%s: %+v, want %d of %d; have %v", language, e, good, expected, slices.Sorted(maps.Keys(run.estimates)))
	}
}
