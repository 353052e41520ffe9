package replay

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// realData returns a file that nobody on the project made, or skips.
func realData(t *testing.T, path string) string {
	t.Helper()
	full := filepath.Join("..", "..", "..", "shared", "data", path)
	if _, err := os.Stat(full); err != nil {
		t.Skipf("no real data: %v", err)
	}
	return full
}

func builtinMapping(t *testing.T, name string) *Mapping {
	t.Helper()
	m, err := Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// replayAll reads a file to its end and hands every item to each, acknowledging it.
func replayAll(t *testing.T, config Config, each func(*Item)) Stats {
	t.Helper()
	r, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	var item Item
	for {
		err := r.Next(&item)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		each(&item)
		if err := r.Ack(item.Number); err != nil {
			t.Fatal(err)
		}
	}
	s := r.Stats()
	if s.Records != s.Events+s.Skipped+s.Rejected+s.Resumed {
		t.Errorf("records do not add up: %+v", s)
	}
	if got := r.Acked(); got != uint64(s.Records) {
		t.Errorf("acknowledged up to %d of %d records", got, s.Records)
	}
	if read, total := r.Progress(); read != total {
		t.Errorf("progress ends at %d of %d bytes", read, total)
	}
	return s
}

func TestCompleteJourney(t *testing.T) {
	path := realData(t, "completejourney/transactions_sample.csv.gz")
	m := builtinMapping(t, "completejourney")

	drops := make(map[string]event.Drop)
	for _, message := range m.Catalogue() {
		var ev event.Event
		if err := new(event.Decoder).Decode(message.Kind, message.Value, &ev); err != nil {
			t.Fatal(err)
		}
		if string(message.Key) != ev.DropID {
			t.Errorf("catalogue key %q of drop %q", message.Key, ev.DropID)
		}
		drops[ev.DropID] = ev.Drop
	}

	var cents, unmappedCents int64
	creators := make(map[string]int64)
	ids := make(map[uuid.UUID]bool)
	households := make(map[string]bool)
	stats := replayAll(t, Config{Mapping: m, Path: path, RejectPath: filepath.Join(t.TempDir(), "rejects")}, func(item *Item) {
		ev := &item.Event
		cents += ev.Checkout.Amount
		creators[ev.CreatorID] += ev.Checkout.Amount
		if ev.CreatorID == "" {
			unmappedCents += ev.Checkout.Amount
		}
		ids[ev.ID] = true
		households[ev.PlayerID] = true
		drop, ok := drops[ev.DropID]
		if !ok || ev.EventTime < drop.StartMS || ev.EventTime >= drop.EndMS {
			t.Fatalf("line %d is at %d in drop %q, which the catalogue has not or not then", item.Line, ev.EventTime, ev.DropID)
		}
		if ev.IngestTime != ev.EventTime || string(item.Message.Key) != ev.PlayerID {
			t.Fatalf("line %d: ingest_time %d, key %q", item.Line, ev.IngestTime, item.Message.Key)
		}
	})
	if stats.Events != 75_000 || stats.Rejected != 0 || len(ids) != 75_000 {
		t.Errorf("75,000 checkouts with as many ids expected, got %+v and %d ids", stats, len(ids))
	}
	if cents != 23_393_524 {
		t.Errorf("sales of %d cents, not 23,393,524", cents)
	}
	// 2,430 manufacturers, and those without as one group more: the 2,431 groups of the published shares.
	if len(creators) != 2_431 || stats.Unmatched["manufacturer_id"] != 222 || unmappedCents != 467 {
		t.Errorf("%d creators with the empty one, %d unmapped lines of %d cents; not 2,431, 222 and 467",
			len(creators), stats.Unmatched["manufacturer_id"], unmappedCents)
	}
	var shares int64
	for _, amount := range creators {
		shares += amount * 7 / 10
	}
	if shares != 16_374_403 {
		t.Errorf("70 %% floored per manufacturer is %d cents, not 16,374,403", shares)
	}
	if len(households) != 2_377 || stats.Residues != 1 {
		t.Errorf("%d households, %d float residues; not 2,377 and 1", len(households), stats.Residues)
	}
}

func TestSeattle(t *testing.T) {
	dropZeros := func(text string) string {
		return strings.Replace(text, "skip_when:\n", "skip_when:\n  - {column: value, number: 0}\n", 1)
	}
	for _, test := range []struct {
		slice               int
		mapping             func(string) string
		cells, skipped      int64
		mean, p50, p95, p99 float64
	}{
		{slice: 1, cells: 9_702, skipped: 99, mean: 281.0843, p50: 210, p95: 680, p99: 1020},
		{slice: 344, cells: 9_702, skipped: 99, mean: 338.1561, p50: 210, p95: 800, p99: 2460},
		{slice: 1, mapping: dropZeros, cells: 9_637, skipped: 164, mean: 282.9802, p50: 210, p95: 680, p99: 1030},
	} {
		t.Run(fmt.Sprintf("slice %d, %d cells", test.slice, test.cells), func(t *testing.T) {
			path := realData(t, fmt.Sprintf("seattle/SeattleData_%d.gz", test.slice))
			text, err := builtin.ReadFile("mappings/seattle.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if test.mapping != nil {
				text = []byte(test.mapping(string(text)))
			}
			m, err := Parse("seattle.yaml", text)
			if err != nil {
				t.Fatal(err)
			}
			var ms []float64
			var sum float64
			at := time.Date(2014, 7, 1, 0, 0, 0, 0, time.UTC).UnixMilli() + int64(test.slice)*15_700
			stats := replayAll(t, Config{Mapping: m, Path: path}, func(item *Item) {
				ms = append(ms, item.Event.Latency.MS)
				sum += item.Event.Latency.MS
				if item.Event.EventTime != at || item.Event.PlayerID[5:] == item.Event.POP[5:] {
					t.Fatalf("record %d is %s to %s at %d", item.Number, item.Event.PlayerID, item.Event.POP, item.Event.EventTime)
				}
			})
			if stats.Events != test.cells || stats.Skipped != test.skipped || stats.Rejected != 0 {
				t.Errorf("%+v; expected %d events, %d skipped", stats, test.cells, test.skipped)
			}
			if mean := sum / float64(len(ms)); math.Abs(mean-test.mean) > 5e-5 {
				t.Errorf("mean %.6f ms, not %.4f", mean, test.mean)
			}
			slices.Sort(ms)
			for q, want := range map[float64]float64{.5: test.p50, .95: test.p95, .99: test.p99} {
				if got := ms[int(math.Ceil(q*float64(len(ms))))-1]; got != want {
					t.Errorf("p%g is %g ms, not %g", 100*q, got, want)
				}
			}
		})
	}
}

func TestCDNOW(t *testing.T) {
	path := realData(t, "cdnow/CDNOW_master.txt.gz")
	type purchase struct {
		at    time.Time
		cents int64
	}
	var cents int64
	customers := make(map[string][]purchase)
	lines := make(map[string]int)
	ids := make(map[uuid.UUID]bool)
	stats := replayAll(t, Config{Mapping: builtinMapping(t, "cdnow"), Path: path}, func(item *Item) {
		ev := &item.Event
		cents += ev.Checkout.Amount
		customers[ev.PlayerID] = append(customers[ev.PlayerID], purchase{time.UnixMilli(ev.EventTime).UTC(), ev.Checkout.Amount})
		lines[fmt.Sprint(ev.PlayerID, ev.EventTime, ev.Checkout.Quantity, ev.Checkout.Amount)]++
		ids[ev.ID] = true
	})
	if stats.Events != 69_659 || cents != 250_031_563 || len(ids) != 69_659 {
		t.Errorf("%+v, %d cents, %d ids; expected 69,659 purchases of 250,031,563 cents", stats, cents, len(ids))
	}
	if doubled := int(stats.Events) - len(lines); doubled != 255 {
		t.Errorf("%d lines repeat another, not 255", doubled)
	}

	// The published ages are calendar months apart from the first purchase's month.
	months := func(t time.Time) int { return t.Year()*12 + int(t.Month()) }
	cohorts := make(map[int]int)
	january := make(map[int]int64)
	for _, purchases := range customers {
		first := slices.MinFunc(purchases, func(a, b purchase) int { return a.at.Compare(b.at) })
		cohorts[months(first.at)]++
		if months(first.at) == 1997*12+1 {
			for _, p := range purchases {
				january[months(p.at)-months(first.at)] += p.cents
			}
		}
	}
	for month, want := range map[int]int{1: 7846, 2: 8476, 3: 7248} {
		if got := cohorts[1997*12+month]; got != want {
			t.Errorf("cohort 1997-%02d has %d customers, not %d", month, got, want)
		}
	}
	for age, want := range map[int]string{0: "38.1163", 3: "57.5377", 6: "71.6062", 12: "95.7529"} {
		var sum int64
		for a := range age + 1 {
			sum += january[a]
		}
		if got := fmt.Sprintf("%.4f", float64(sum)/100/float64(cohorts[1997*12+1])); got != want {
			t.Errorf("LTV of 1997-01 at month %d is %s, not %s", age, got, want)
		}
	}
}

// TestSpeechTranslation replays JSON lines that were made for another tool.
func TestSpeechTranslation(t *testing.T) {
	path := realData(t, "speech-translation/delays.jsonl.gz")
	m, err := Parse("speech.yaml", []byte(`
name: speech
kind: subtitle
format: {type: jsonl}
fields:
  type: {const: cue}
  event_time: {from: index, as: steps, start: "2024-01-01T00:00:00Z", step: 10s}
  stream_id: {const: speech}
  cue_id: {from: index}
  speech_start_ms: {const: 0}
  translation_ms: {from: elapsed.0, as: round}
  words: {from: prediction_length}
  source_language: {const: en}
  target_language: {const: de}
`))
	if err != nil {
		t.Fatal(err)
	}
	var words, wait int64
	stats := replayAll(t, Config{Mapping: m, Path: path}, func(item *Item) {
		words += int64(item.Event.Subtitle.Words)
		wait += item.Event.Subtitle.TranslationMS
		if uint64(item.Line) != item.Event.Subtitle.CueID+1 || string(item.Message.Key) != "speech" {
			t.Fatalf("line %d is cue %d under %q", item.Line, item.Event.Subtitle.CueID, item.Message.Key)
		}
	})
	if stats.Events != 2_580 || words != 39_783 || wait != 3_856_288 {
		t.Errorf("%+v, %d words, %d ms; expected 2,580 cues, 39,783 and 3,856,288", stats, words, wait)
	}
}
