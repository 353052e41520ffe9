package localization

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// BenchmarkApply folds cues of four languages in transactions of a thousand.
func BenchmarkApply(b *testing.B) {
	rule, err := New(Config{}, 0, twoDays())
	if err != nil {
		b.Fatal(err)
	}
	languages := []string{"en", "fr", "de", "ja"}
	var events [4]*event.Event
	for i, language := range languages {
		events[i] = fine(start, 1, language).event()
	}
	var out processors.Output
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		ev := events[n%4]
		at := start + n/4*second
		ev.EventTime = at
		ev.Subtitle.CueID = uint64(n / 4)
		ev.Subtitle.SpeechStartMS = n / 4 * second
		ev.Subtitle.DisplayMS = ev.Subtitle.SpeechStartMS + 2000
		rule.Apply(ev, at)
		if n++; n%1000 == 0 {
			rule.Flush(processors.Times{Watermark: at - 10*second, AllowedLateness: lateness}, &out)
			out.Reset()
			for _, table := range rule.Tables() {
				table.Changes(func(string, []byte) {})
				table.Commit()
			}
		}
	}
}

// BenchmarkForeignEvent is what the rule costs everybody else.
func BenchmarkForeignEvent(b *testing.B) {
	rule, err := New(Config{}, 0, twoDays())
	if err != nil {
		b.Fatal(err)
	}
	ev := &event.Event{Kind: event.KindPlayer}
	ev.Type, ev.DropID = event.Heartbeat, "d"
	b.ReportAllocs()
	for b.Loop() {
		rule.Apply(ev, start)
	}
}
