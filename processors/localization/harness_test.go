package localization

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// catalogue is a fixed set of drops.
type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

const (
	start  = int64(1_760_400_000_000) // a whole hour
	second = int64(1000)
	minute = 60 * second
)

func twoDays() catalogue {
	return catalogue{"d": {Name: "d", StartMS: start, EndMS: start + 48*hourMS}}
}

// said is one record of a test about cue number cue of stream s, whose speech starts every second.
type said struct {
	at       int64
	drop     string
	stream   string
	cue      uint64
	to       string
	lag      int64
	missing  bool
	onScreen int64
	chars    uint32
	words    uint32
	translat int64
	probe    bool
}

func (s said) event() *event.Event {
	ev := &event.Event{Kind: event.KindSubtitle}
	ev.Type, ev.EventTime, ev.DropID, ev.Synthetic = event.Cue, s.at, s.drop, s.probe
	ev.Subtitle = event.Subtitle{
		StreamID: s.stream, CueID: s.cue, SpeechStartMS: int64(s.cue) * second, OnScreenMS: s.onScreen, Graphemes: s.chars, Words: s.words,
		TranslationMS: s.translat, SourceLanguage: "en", TargetLanguage: s.to, Missing: s.missing,
	}
	if !s.missing {
		ev.Subtitle.DisplayMS = ev.Subtitle.SpeechStartMS + s.lag
	}
	return ev
}

// fine is a record of a good cue that is shown at.
func fine(at int64, cue uint64, to string) said {
	return said{at: at, drop: "d", stream: "s", cue: cue, to: to, lag: 2000, onScreen: 2000, chars: 30, words: 5}
}

// bench drives a rule the way the runtime does.
type bench struct {
	t      testing.TB
	rule   *Rule
	newest map[string]event.Localization
	log    []map[string][]byte
}

const lateness = 10 * minute

func newBench(t testing.TB, cfg Config, drops catalogue) *bench {
	t.Helper()
	rule, err := New(cfg, 3, drops)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, rule: rule, newest: map[string]event.Localization{}}
	for range rule.Tables() {
		b.log = append(b.log, map[string][]byte{})
	}
	return b
}

// turn is one committed transaction; it checks that revisions grow and that nothing follows a final one.
func (b *bench) turn(watermark int64, records ...said) []event.Message {
	b.t.Helper()
	for _, s := range records {
		b.rule.Apply(s.event(), s.at)
	}
	var out processors.Output
	b.rule.Flush(processors.Times{Watermark: watermark, AllowedLateness: lateness}, &out)
	var decoder event.Decoder
	for _, m := range out.Messages() {
		var v event.Localization
		if err := decoder.Localization(m.Value, &v); err != nil {
			b.t.Fatal(err)
		}
		v.DropID, v.Language = strings.Clone(v.DropID), strings.Clone(v.Language)
		v.LatencyBins, v.TranslationBins = slices.Clone(v.LatencyBins), slices.Clone(v.TranslationBins)
		if old, ok := b.newest[string(m.Key)]; ok && (v.Revision <= old.Revision || old.Maturity == event.Final) {
			b.t.Fatalf("%s: revision %d (%v) came after %d (%v)", m.Key, v.Revision, v.Maturity, old.Revision, old.Maturity)
		}
		b.newest[string(m.Key)] = v
	}
	for i, table := range b.rule.Tables() {
		table.Changes(func(key string, value []byte) {
			if value == nil {
				delete(b.log[i], strings.Clone(key))
				return
			}
			b.log[i][strings.Clone(key)] = slices.Clone(value)
		})
		table.Commit()
	}
	return out.Messages()
}

// restart replaces the rule by one restored from the change-log.
func (b *bench) restart() {
	b.t.Helper()
	rule, err := New(b.rule.cfg, b.rule.partition, b.rule.catalogue)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, table := range rule.Tables() {
		for key, value := range b.log[i] {
			if err := table.Restore(key, value); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	rule.counts = b.rule.counts
	b.rule = rule
}

// outcomes are what the rule has counted, without zeros.
func (b *bench) outcomes() string {
	var all []string
	b.rule.Outcomes(func(outcome string, total uint64) {
		if total > 0 {
			all = append(all, fmt.Sprintf("%s=%d", outcome, total))
		}
	})
	return strings.Join(all, " ")
}
