package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/ingest/simulate"
)

// The drops that alerts are judged by: how long they last, how often Prometheus looks, and what goes wrong in the last one.
const (
	replayedFor  = 4 * time.Hour
	replayedStep = 2 * time.Minute
)

var replayedIncidents = []struct {
	alert    string
	label    string // that the alert must name
	from, to time.Duration
	// within is how soon the alert must fire.
	within time.Duration
}{
	{"SubtitlesBurnFast", "fr", 15 * time.Minute, 30 * time.Minute, 10 * time.Minute},
	{"VelocityCollapse", "", 80 * time.Minute, 120 * time.Minute, 16 * time.Minute},
	{"LatencyLoss", "fra", 140 * time.Minute, 235 * time.Minute, 60 * time.Minute},
}

// incidents is a busy drop with those incidents and, before it, two of the same size without any. The last language's surge,
// which every stream has by default, is off: it would be one more in each of them.
func incidents(t *testing.T, seed uint64) simulate.Scenario {
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	s := simulate.Scenario{
		Seed: seed, Players: 12_000, HistoryMS: ms(48 * time.Hour), DropMS: ms(replayedFor),
		Earlier: []simulate.EarlierDrop{
			{Creator: 2, BeforeMS: ms(40 * time.Hour), DropMS: ms(replayedFor), Reach: 0.6},
			{Creator: 3, BeforeMS: ms(20 * time.Hour), DropMS: ms(replayedFor), Reach: 0.6},
		},
		Behaviour: simulate.DefaultBehaviour(), Subtitles: simulate.DefaultSubtitles(),
		Effects: simulate.Effects{LatencyLogit: -0.25},
		Faults:  simulate.Faults{Duplicate: 0.01, OutOfOrder: 0.02, LateWithin: 0.005, AdBlocked: 0.01},
	}
	i := replayedIncidents
	s.SubtitleOutages = []simulate.SubtitleOutage{{Language: i[0].label, FromMS: ms(i[0].from), ToMS: ms(i[0].to)}}
	s.Outages = []simulate.Outage{{FromMS: ms(i[1].from), ToMS: ms(i[1].to), Share: 0.95}}
	s.Degradations = []simulate.Degradation{{POP: i[2].label, FromMS: ms(i[2].from), ToMS: ms(i[2].to), Factor: 8}}
	b := &s.Behaviour
	b.SessionsPerDay, b.VisitMS, b.HeartbeatMS, b.SampleMS = 0.02, ms(4*time.Minute), ms(2*time.Minute), ms(2*time.Minute)
	b.Premiere, b.TailHalfLifeMS, b.ConversionLogit = 0.2, ms(6*time.Hour), 0.5
	s.Subtitles.LagMS, s.Subtitles.TranslationMS, s.Subtitles.SurgeMS = 1800, 700, 0
	// Kuwait's usual latency alone costs it a tenth of its conversions and more: rightly a page, and no incident.
	defaults, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	s.POPs = defaults.Scenario().POPs
	for i := range s.POPs {
		s.POPs[i].MedianMS, s.POPs[i].Sigma = min(s.POPs[i].MedianMS, 80), 0.5
	}
	return s
}

// TestAlertsOverReplayedIncidents plays the drops, walks their event time with the signals, and judges the rules on what a
// Prometheus would have scraped: how soon is each incident seen, and does anything page without one?
func TestAlertsOverReplayedIncidents(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--idle-after=2s")
	scenario := incidents(t, pipelineSeed(t))
	text, err := yaml.Marshal(scenario)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "incidents.yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	p.command(&SimulateCmd{Simulation: Simulation{Scenario: file, Seed: scenario.Seed}})
	p.settle()

	generator, err := simulate.New(scenario)
	if err != nil {
		t.Fatal(err)
	}
	start := time.UnixMilli(generator.Scenario().StartMS).UTC()
	for i, e := range scenario.Earlier {
		drop, starts := fmt.Sprintf("drop-%03d", i+1), start.Add(-time.Duration(e.BeforeMS)*time.Millisecond)
		pages := map[string]int{}
		for _, f := range replayRules(t, p, drop, starts) {
			t.Logf("%s, no incident: %s", drop, f.since(starts))
			if f.alert.Severity == dashboards.Page {
				pages[f.alert.Name]++
			}
		}
		if t.Logf("%s: %d false pages %v", drop, len(pages), pages); len(pages) > 0 {
			t.Errorf("%s pages for %v, though nothing is wrong", drop, pages)
		}
	}

	// Drops that nobody knows and times without data are no errors, and alarm nobody.
	watched := newSignals(p.client, prometheus.NewRegistry(), p.node.log)
	for _, drop := range []string{`it's "\ 🎉 שלום`, generator.MainDrop()} {
		for _, at := range []time.Time{time.UnixMilli(0), start.AddDate(10, 0, 0)} {
			samples, err := watched.read(t.Context(), drop, at)
			if err != nil || slices.ContainsFunc(samples, func(v sample) bool { return v.metric == "droplift_signal_velocity_ratio" }) {
				t.Errorf("%s at %s: %v, %v", drop, at, samples, err)
			}
		}
	}

	main := replayRules(t, p, generator.MainDrop(), start)
	for _, f := range main {
		t.Logf("%s: %s", generator.MainDrop(), f.since(start))
	}
	explained := map[string]bool{}
	for _, want := range replayedIncidents {
		i := slices.IndexFunc(main, func(f firing) bool {
			return f.alert.Name == want.alert && (want.label == "" || strings.Contains(f.labels.String(), `"`+want.label+`"`)) && !f.from.Before(start.Add(want.from))
		})
		if i < 0 {
			t.Errorf("nothing fires for the incident of %s", want.alert)
			continue
		}
		explained[main[i].since(start)] = true
		took := main[i].from.Sub(start) - want.from
		if t.Logf("%s: detected after %s", want.alert, took); took > want.within {
			t.Errorf("%s took %s, want at most %s", want.alert, took, want.within)
		}
	}
	for _, f := range main {
		if f.alert.Severity == dashboards.Page && !explained[f.since(start)] {
			t.Errorf("%s is no incident's", f.since(start))
		}
	}
}

// firing is one stretch of an alert's one series.
type firing struct {
	alert    dashboards.Alert
	labels   labels.Labels
	from, to time.Time
}

// since tells it by the drop's age.
func (f firing) since(start time.Time) string {
	return fmt.Sprintf("%s %s%s from %s to %s", f.alert.Severity, f.alert.Name, f.labels, f.from.Sub(start), f.to.Sub(start))
}

// replayRules reads a drop's signals as of every step and returns what fires on them, in order.
func replayRules(t *testing.T, p *pipeline, drop string, from time.Time) []firing {
	t.Helper()
	to := from.Add(replayedFor)
	s := newSignals(p.client, prometheus.NewRegistry(), p.node.log)
	var mu sync.Mutex
	scraped := scrapes{}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(4)
	for at := from; at.Before(to); at = at.Add(replayedStep) {
		group.Go(func() error {
			samples, err := s.read(ctx, drop, at)
			mu.Lock()
			defer mu.Unlock()
			for _, v := range samples {
				scraped.add(v, at)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(scraped) == 0 {
		t.Fatalf("%s has no signals", drop)
	}

	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: time.Minute, LookbackDelta: replayedStep - time.Second})
	defer engine.Close()
	var fired []firing
	for _, a := range dashboards.Alerts() {
		q, err := engine.NewRangeQuery(t.Context(), scraped, nil, a.Expr, from, to, replayedStep)
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		result := q.Exec(t.Context())
		matrix, err := result.Matrix()
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		for _, series := range matrix {
			var since, last int64
			for _, point := range series.Floats {
				if last == 0 || point.T > last+replayedStep.Milliseconds() {
					since = point.T
				}
				last = point.T
				if point.T-since < a.For.Milliseconds() {
					continue
				}
				at := time.UnixMilli(point.T).UTC()
				if n := len(fired); n > 0 && fired[n-1].alert.Name == a.Name && labels.Equal(fired[n-1].labels, series.Metric) && fired[n-1].to.Add(replayedStep).Equal(at) {
					fired[n-1].to = at
					continue
				}
				fired = append(fired, firing{a, series.Metric, at, at})
			}
		}
		q.Close()
	}
	slices.SortStableFunc(fired, func(a, b firing) int { return a.from.Compare(b.from) })
	return fired
}

// scrapes are samples by series, as a Prometheus would hold them.
type scrapes map[string]*scrapedSeries

type scrapedSeries struct {
	labels  labels.Labels
	samples []chunks.Sample
}

func (s scrapes) add(v sample, at time.Time) {
	series := s[v.key()]
	if series == nil {
		m := maps.Clone(map[string]string(v.labels))
		m[labels.MetricName] = v.metric
		series = &scrapedSeries{labels: labels.FromMap(m)}
		s[v.key()] = series
	}
	series.samples = append(series.samples, point{at.UnixMilli(), v.value})
}

// Querier makes scrapes a storage.Queryable.
func (s scrapes) Querier(int64, int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ scrapes }

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, key := range slices.Sorted(maps.Keys(q.scrapes)) {
		series := q.scrapes[key]
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(series.labels.Get(m.Name)) }) {
			continue
		}
		slices.SortFunc(series.samples, func(a, b chunks.Sample) int { return int(a.T() - b.T()) })
		found = append(found, storage.NewListSeries(series.labels, series.samples))
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &seriesSet{found, -1}
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) Close() error { return nil }

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// point is one float sample.
type point struct {
	t int64
	v float64
}

func (p point) T() int64                      { return p.t }
func (p point) ST() int64                     { return 0 }
func (p point) F() float64                    { return p.v }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }
