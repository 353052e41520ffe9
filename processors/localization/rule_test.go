package localization

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

func TestConfig(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	err := Config{PaneMS: 7001, LatencyMS: 60_000, MinShownMS: 8000, StretchCPS: 21, WPM: -1, Wide: []string{""}}.Validate()
	for _, want := range []string{"pane of 7001", "no cue could be too slow", "no time on screen", "stricter 21", "words a minute", "no name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := New(Config{PaneMS: -1}, 0, nil); err == nil {
		t.Error("a negative pane is accepted")
	}
}

// TestOutcomes names what became of every odd record.
func TestOutcomes(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, twoDays())
	with := func(s said, change func(*said)) said { change(&s); return s }
	b.turn(start,
		with(fine(start+second, 1, "en"), func(s *said) { s.drop = "unknown" }),
		with(fine(start+2*second, 2, "en"), func(s *said) { s.lag = -501 }),
		with(fine(start+3*second, 3, "en"), func(s *said) { s.onScreen = 0 }),
		with(fine(start+4*second, 4, "en"), func(s *said) { s.chars = 0 }),
		fine(start+5*second, 5, "en"), fine(start+6*second, 5, "fr"), fine(start+6*second, 5, "fr"),
		fine(start+7*second, 6, "en"))
	if got, want := b.outcomes(), "refused=1 repeated=1 early=1 no_duration=1 unmeasured=1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !strings.Contains(log.String(), "drop_id=unknown") {
		t.Errorf("log %q", log.String())
	}
	for _, v := range b.newest {
		// An unmeasured length is no fault; a display before the speech and one of no duration are.
		if v.Language == "en" && (v.Expected != 5 || v.Good != 3 || v.Early != 1 || v.Brief != 1) {
			t.Errorf("%+v", v)
		}
	}
	// The sixth cue never comes in French; then it does.
	b.turn(start + 67*second)
	b.turn(start+68*second, with(fine(start+80*second, 6, "fr"), func(s *said) { s.lag = 59_000 }))
	// Its pane is final: a display changes nothing, nor a cue that was never heard of.
	b.turn(start+15*second+lateness, fine(start+2*minute+lateness, 500, "fr"))
	sent := b.turn(start+16*second+lateness, fine(start+60*second, 6, "fr"), fine(start+61*second, 1, "de"))
	if got, want := b.outcomes(), "refused=1 settled=2 repeated=1 early=1 no_duration=1 unmeasured=1 unreported=1 corrected=1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(sent) != 0 {
		t.Errorf("%d records of settled cues", len(sent))
	}
}

// TestALanguageThatStopsIsMissing: nobody reports what is not there.
func TestALanguageThatStopsIsMissing(t *testing.T) {
	b := newBench(t, Config{Languages: []string{"de"}}, twoDays())
	for cue := uint64(1); cue <= 100; cue++ {
		at := start + int64(cue)*4*second
		records := []said{fine(at, cue, "en")}
		if cue >= 11 && cue <= 30 {
			records = append(records, fine(at+second, cue, "fr"))
		}
		b.turn(at-5*second, records...)
	}
	b.turn(start + 30*minute)
	got := map[string]event.Localization{}
	for _, v := range b.newest {
		sum := got[v.Language]
		sum.Expected += v.Expected
		sum.Good += v.Good
		sum.Unreported += v.Unreported
		got[v.Language] = sum
	}
	for language, want := range map[string][3]uint32{
		"en": {100, 100, 0}, "fr": {90, 20, 70} /* from its own first cue on */, "de": {100, 0, 100}, /* listed */
	} {
		if g := got[language]; g.Expected != want[0] || g.Good != want[1] || g.Unreported != want[2] {
			t.Errorf("%s: %d expected, %d good, %d missing, want %v", language, g.Expected, g.Good, g.Unreported, want)
		}
	}
}

// TestStreamsAreForgotten: a day after its last cue a stream may use its ids anew.
func TestStreamsAreForgotten(t *testing.T) {
	b := newBench(t, Config{}, twoDays())
	b.turn(start, fine(start+second, 5, "en"))
	b.turn(start + hourMS)
	if b.rule.streams.Len() != 1 || b.rule.cues.Len() != 0 {
		t.Fatalf("%d streams, %d cues", b.rule.streams.Len(), b.rule.cues.Len())
	}
	b.turn(start + 25*hourMS)
	if b.rule.streams.Len() != 0 {
		t.Fatal("the stream is remembered")
	}
	if sent := b.turn(start+25*hourMS, fine(start+25*hourMS+second, 5, "en")); len(sent) != 1 || b.outcomes() != "" {
		t.Errorf("%d records, %s", len(sent), b.outcomes())
	}
}

func TestRollbackForgetsEverything(t *testing.T) {
	b := newBench(t, Config{}, twoDays())
	b.turn(start, fine(start+second, 1, "en"), fine(start+second, 1, "fr"))
	flush := func() string {
		b.rule.Apply(fine(start+2*second, 2, "en").event(), start+2*second)
		b.rule.Apply(fine(start-2*minute, 1, "fr").event(), start-2*minute) // moves the first cue
		var out processors.Output
		b.rule.Flush(processors.Times{Watermark: start + 70*second, AllowedLateness: lateness}, &out)
		var all strings.Builder
		for _, m := range out.Messages() {
			all.Write(m.Key)
			all.Write(m.Value)
		}
		return all.String()
	}
	first := flush()
	for _, table := range b.rule.Tables() {
		table.Rollback()
	}
	if second := flush(); first != second || !strings.Contains(first, `"unreported":1`) {
		t.Errorf("first  %s\nsecond %s", first, second)
	}
}
