package clickhouse

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/localization"
)

type heldDrops map[string]*event.Drop

func (d heldDrops) Drop(id string, _ int64) *event.Drop { return d[id] }

// cueRun is the simulator's cues as the rule publishes them, with the latencies that were sent.
type cueRun struct {
	main      string
	drop      event.Event
	partials  []event.Record
	books     *simulate.Books
	latencies map[string][]float64 // of the main drop, by language, sorted
}

func simulateCues(t *testing.T) *cueRun {
	t.Helper()
	s := simulate.Tiny(11)
	s.Faults = simulate.Faults{}
	s.Subtitles = simulate.DefaultSubtitles()
	generator, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	run := &cueRun{main: generator.MainDrop(), latencies: map[string][]float64{}}
	drops := heldDrops{}
	rule, err := localization.New(localization.Config{}, 2, drops)
	if err != nil {
		t.Fatal(err)
	}
	stage := processors.NewPartition(2, processors.Config{Inputs: []event.Kind{event.KindSubtitle}}, drops, []processors.Rule{rule})
	var decoder event.Decoder
	var r simulate.Record
	n := 0
	flush := func() {
		for _, m := range stage.Flush(r.At, []bool{false}) {
			run.partials = append(run.partials, event.Record{Kind: m.Kind, Offset: int64(len(run.partials)), Timestamp: r.At, Key: slices.Clone(m.Key), Value: slices.Clone(m.Value)})
		}
		stage.Changes(func(string, []byte) {})
		stage.Commit()
	}
	for generator.Next(&r) {
		var ev event.Event
		if r.Kind != event.KindDrop && r.Kind != event.KindSubtitle {
			continue
		}
		if err := decoder.Decode(r.Kind, r.Value, &ev); err != nil {
			t.Fatal(err)
		}
		if r.Kind == event.KindDrop {
			drops[ev.DropID] = &ev.Drop
			if ev.DropID == run.main {
				run.drop = ev
			}
			continue
		}
		if ev.DropID == run.main {
			latency := 60_000.
			if c := &ev.Subtitle; !c.Missing {
				latency = float64(c.DisplayMS - c.SpeechStartMS)
			}
			run.latencies[ev.Subtitle.TargetLanguage] = append(run.latencies[ev.Subtitle.TargetLanguage], latency)
		}
		stage.Process(event.Record{Kind: r.Kind, Offset: int64(n), Timestamp: r.At, Key: r.Key, Value: r.Value})
		if n++; n%100 == 0 {
			flush()
		}
	}
	flush()
	for _, l := range run.latencies {
		sort.Float64s(l)
	}
	run.books = generator.Books()
	return run
}

// cell is a column of a row as a float; a null one is NaN.
func cell(t *testing.T, table *Table, row []any, name string) float64 {
	t.Helper()
	i := slices.Index(table.Columns, name)
	if i < 0 {
		t.Fatalf("no column %s", name)
	}
	switch v := row[i].(type) {
	case float64:
		return v
	case *float64:
		if v == nil {
			return math.NaN()
		}
		return *v
	case *uint8:
		if v == nil {
			return math.NaN()
		}
		return float64(*v)
	case uint64:
		return float64(v)
	case bool:
		if v {
			return 1
		}
		return 0
	default:
		var f float64
		if _, err := fmt.Sscan(fmt.Sprint(v), &f); err != nil {
			t.Fatalf("%s is %T %v", name, v, v)
		}
		return f
	}
}

// TestLocalizationQueries holds the answers against the simulator's books and the latencies it sent.
func TestLocalizationQueries(t *testing.T) {
	run := simulateCues(t)
	c := open(t)
	s := newSink(t, c)
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), records(0, run.drop))
	writeAll(t, newTestLoader(t, s, event.KindLocalization, 0), run.partials)

	table, err := c.Query(t.Context(), "localization_slo", Params{"drop": run.main})
	if err != nil {
		t.Fatal(err)
	}
	cues := run.books.Drops[run.main].Accepted.Cues
	if len(table.Rows) != len(cues) || len(cues) != 4 {
		t.Fatalf("%d languages, booked %d", len(table.Rows), len(cues))
	}
	for _, row := range table.Rows {
		language := fmt.Sprint(row[0])
		booked := cues[language]
		get := func(name string) float64 { return cell(t, table, row, name) }
		if get("expected") != float64(booked.Expected) || get("good") != float64(booked.Good) || get("missing") != float64(booked.Missing) {
			t.Errorf("%s: %v, booked %+v", language, row, booked)
		}
		ratio := float64(booked.Good) / float64(booked.Expected)
		if math.Abs(get("good_ratio")-ratio) > 1e-12 || get("good_low") >= ratio || get("good_high") <= ratio ||
			math.Abs(get("budget_remaining")-(1-(1-ratio)/0.05)) > 1e-9 {
			t.Errorf("%s: ratio %v in [%v, %v] leaves %v", language, get("good_ratio"), get("good_low"), get("good_high"), get("budget_remaining"))
		}
		sketch, err := ddsketch.NewDefaultDDSketch(0.01)
		if err != nil {
			t.Fatal(err)
		}
		sent := run.latencies[language]
		sum := 0.
		for _, l := range sent {
			sum += l
			if err := sketch.Add(l); err != nil {
				t.Fatal(err)
			}
		}
		if got := get("latency_mean_ms"); math.Abs(got-sum/float64(len(sent))) > 1e-6 {
			t.Errorf("%s: mean %v, sent %v", language, got, sum/float64(len(sent)))
		}
		for name, q := range map[string]float64{"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99} {
			exact := sent[int(q*float64(len(sent)-1))]
			library, err := sketch.GetValueAtQuantile(q)
			if got := get(name); err != nil || math.Abs(got/exact-1) > 0.0101 || math.Abs(got/library-1) > 1e-9 {
				t.Errorf("%s: %s is %v, exactly %v, by the library %v, %v", language, name, got, exact, library, err)
			}
		}
		if same := language == "en"; (get("same_language") == 1) != same || math.IsNaN(get("mean_met")) == same || math.IsNaN(get("translation_p95_ms")) != same {
			t.Errorf("%s: %v", language, row)
		}
		// All cues lie in the last 6 h: the slow window burns at what the whole ratio says.
		if got := get("burn_6h"); math.Abs(got-(1-ratio)/0.05) > 1 {
			t.Errorf("%s: burns at %v in 6 h, the ratio is %v", language, got, ratio)
		}
	}
	if worst := fmt.Sprint(table.Rows[0][0]); worst != "ja" {
		t.Errorf("%s is the worst, not ja", worst)
	}

	month, err := c.Query(t.Context(), "localization_slo_28d", nil)
	if err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for _, drop := range run.books.Drops {
		for _, n := range drop.Accepted.Cues {
			total += n.Expected
		}
	}
	sum := 0.
	for _, row := range month.Rows {
		sum += cell(t, month, row, "cues")
		if cell(t, month, row, "drops") < 2 || math.Abs(cell(t, month, row, "page_factor_1h")-13.44) > 1e-9 {
			t.Errorf("%v", row)
		}
	}
	if len(month.Rows) != 4 || math.Abs(sum-float64(total)) > 0.05*float64(total) || sum > float64(total) {
		t.Errorf("28 days hold %v cues in %d languages, booked %d: all but those of the last minute", sum, len(month.Rows), total)
	}
	old, err := c.Query(t.Context(), "localization_slo_28d", Params{"as_of_ms": run.drop.Drop.StartMS - 20*day})
	if err != nil || len(old.Rows) != 0 {
		t.Errorf("before any cue: %d rows, %v", len(old.Rows), err)
	}
}
