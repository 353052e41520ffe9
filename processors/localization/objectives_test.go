package localization

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/slo"
	"github.com/droplift/droplift/models/stats"
	"github.com/droplift/droplift/processors"
)

// room drives the rollup.
type room struct {
	t         testing.TB
	rule      *Objectives
	decisions []event.Decision
	estimates map[string]event.Estimate
	now       int64
}

func newRoom(t testing.TB, cfg ObjectivesConfig, drops catalogue) *room {
	t.Helper()
	rule, err := NewObjectives(cfg, drops)
	if err != nil {
		t.Fatal(err)
	}
	return &room{t: t, rule: rule, estimates: map[string]event.Estimate{}}
}

func (r *room) take(messages []event.Message) {
	r.t.Helper()
	for _, m := range messages {
		if err := r.rule.Apply(&event.Record{Kind: m.Kind, Key: m.Key, Value: m.Value}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// pane is one partial of n cues of which bad are bad.
func (r *room) pane(at, watermark int64, language string, partition int32, revision uint64, n, bad uint32, m event.Maturity) {
	r.t.Helper()
	v := event.Localization{
		DropID: "d", Language: language, SameLanguage: language == "en", Partition: partition, PaneStart: at, PaneMS: 15_000, Revision: revision, Watermark: watermark,
		Maturity: m, Expected: n, Good: n - bad, Slow: bad, LatencySumMS: int64(n) * 2000,
	}
	if n > 0 {
		v.LatencyBins = []event.CueLatencyBin{{Index: 380, Count: n}}
	}
	r.take([]event.Message{{Kind: event.KindLocalization, Value: v.AppendJSON(nil)}})
}

func (r *room) flush(quiet bool) {
	r.t.Helper()
	var out processors.Output
	r.rule.Flush(processors.RollupTimes{Now: r.now, Quiet: quiet}, &out)
	var decoder event.Decoder
	for _, m := range out.Messages() {
		switch m.Kind {
		case event.KindDecision:
			var d event.Decision
			if err := decoder.Decision(m.Value, &d); err != nil {
				r.t.Fatal(err)
			}
			if want := fmt.Sprintf("%s|burn_rate|%s|%d", d.DropID, d.Subject, d.At); string(m.Key) != want {
				r.t.Errorf("key %s, want %s", m.Key, want)
			}
			d.Subject, d.Chosen, d.Previous, d.Reason = strings.Clone(d.Subject), strings.Clone(d.Chosen), strings.Clone(d.Previous), strings.Clone(d.Reason)
			d.Inputs = slices.Clone(d.Inputs)
			r.decisions = append(r.decisions, d)
		case event.KindEstimate:
			var e event.Estimate
			if err := decoder.Estimate(m.Value, &e); err != nil {
				r.t.Fatal(err)
			}
			e.Details = slices.Clone(e.Details)
			r.estimates[string(m.Key)] = e
		}
	}
	for _, table := range r.rule.Tables() {
		table.Changes(func(string, []byte) {})
		table.Commit()
	}
}

// story is the decisions in words.
func (r *room) story() string {
	var all []string
	for _, d := range r.decisions {
		all = append(all, fmt.Sprintf("+%dm %s %s", (d.At-start)/minute, d.Subject, d.Chosen))
	}
	return strings.Join(all, ", ")
}

func TestObjectivesConfig(t *testing.T) {
	if err := (ObjectivesConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	// 9.6 at 90 % can fire, 14.4 cannot.
	if err := (ObjectivesConfig{Target: 0.9}).Validate(); err != nil {
		t.Error(err)
	}
	err := ObjectivesConfig{Target: 0.9, Rules: []slo.Rule{{Severity: slo.Page, LongMS: 15 * minute, Fraction: 0.075}}}.Validate()
	if err == nil || !strings.Contains(err.Error(), "can never fire; the largest factor possible is below 10") {
		t.Errorf("14.4 at 90 %%: %v", err)
	}
	err = ObjectivesConfig{Target: 2, SilenceMS: -1, EveryMS: 20_000, Rules: []slo.Rule{{}}}.Validate()
	for _, want := range []string{"target of 2", "silence of -1", "20000 ms", "makes no window"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// play sends minutes of four panes, each with n cues of which bad(minute) are bad, and finals after the allowed lateness.
func (r *room) play(language string, from, to, n int64, bad func(minute int64) uint32) {
	for m := from; m < to; m++ {
		for p := range int64(4) {
			r.pane(start+m*minute+p*15*second, start+(m+1)*minute, language, 0, 1, uint32(n), bad(m), event.Provisional)
		}
		r.flush(true)
	}
}

// TestFastBurnPages: everything is bad from the 30th minute to the 40th. With a 48-h drop the fast window fires above 48 % bad
// of 15 minutes, which is after 8 whole minutes, 1 minute of settling later; 10 % of the time so far opens a ticket before, which stays.
func TestFastBurnPages(t *testing.T) {
	r := newRoom(t, ObjectivesConfig{}, twoDays())
	r.play("fr", 0, 60, 4, func(m int64) uint32 {
		if m >= 30 && m < 40 {
			return 4
		}
		return 0
	})
	if got, want := r.story(), "+5m fr ok, +35m fr ticket, +39m fr page, +43m fr ticket"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(r.decisions) < 3 {
		t.FailNow()
	}
	d := r.decisions[2]
	inputs := map[string]float64{}
	for _, i := range d.Inputs {
		inputs[i.Name] = i.Value
	}
	if d.Previous != "ticket" || math.Abs(d.Value-20*8./15) > 1e-9 || inputs["factor"] != 9.6 || inputs["valid"] != 240 || inputs["bad"] != 128 || math.Abs(inputs["burn_short"]-20) > 1e-9 ||
		inputs["until"] != float64(start+38*minute) || !strings.Contains(d.Reason, "in the last 900 s and still in the last 75 s") {
		t.Errorf("%+v", d)
	}
}

// TestCatchingUpDecidesTheSame: one flush for all of it.
func TestCatchingUpDecidesTheSame(t *testing.T) {
	bad := func(m int64) uint32 {
		if m >= 30 && m < 40 {
			return 4
		}
		return 0
	}
	live, late := newRoom(t, ObjectivesConfig{}, twoDays()), newRoom(t, ObjectivesConfig{}, twoDays())
	live.play("fr", 0, 60, 4, bad)
	for m := range int64(60) {
		for p := range int64(4) {
			late.pane(start+m*minute+p*15*second, start+(m+1)*minute, "fr", 0, 1, 4, bad(m), event.Provisional)
		}
	}
	late.flush(true)
	if live.story() != late.story() || len(late.decisions) != 4 {
		t.Errorf("live %s\nlate %s", live.story(), late.story())
	}
}

func TestSmallLanguagesAreJudgedTogether(t *testing.T) {
	r := newRoom(t, ObjectivesConfig{}, twoDays())
	// 12 cues of each of four languages in the first three minutes, half of them bad: no window of one has 50, together they have 48, then more.
	for m := range int64(5) {
		for _, language := range []string{"de", "es", "fr", "ja"} {
			r.pane(start+m*minute, start+(m+1)*minute, language, 0, 1, 4, 3, event.Provisional)
		}
		r.flush(true)
	}
	if got, want := r.story(), "+5m  page"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestSilence: time goes on by the panes that become final, and no cue comes any more.
func TestSilence(t *testing.T) {
	r := newRoom(t, ObjectivesConfig{}, twoDays())
	r.play("fr", 0, 20, 4, func(int64) uint32 { return 0 })
	for m := int64(20); m < 30; m++ {
		for p := range int64(4) {
			r.pane(start+(m-10)*minute+p*15*second, start+(m+1)*minute, "fr", 0, 2, 4, 0, event.Final)
		}
		r.flush(true)
	}
	if got, want := r.story(), "+5m fr ok, +26m fr no_data"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Only reports of other languages: theirs count, and a language that never had a cue is not silent.
	r = newRoom(t, ObjectivesConfig{}, twoDays())
	r.pane(start, start+20*minute, "fr", 0, 1, 0, 0, event.Provisional)
	r.flush(true)
	if r.story() != "" {
		t.Errorf("without a cue: %s", r.story())
	}
}

// TestPartialsAddUp: the newest revision of each partition's pane counts, once, whether final or not.
func TestPartialsAddUp(t *testing.T) {
	r := newRoom(t, ObjectivesConfig{}, twoDays())
	r.pane(start, start+minute, "en", 0, 1, 30, 30, event.Provisional)
	r.pane(start, start+2*minute, "en", 1, 1, 50, 5, event.Provisional)
	r.flush(true)
	r.pane(start, start+2*minute, "en", 0, 2, 100, 0, event.Provisional)
	r.flush(false) // more seems to be coming
	r.flush(true)
	r.pane(start, start+3*minute, "en", 0, 3, 110, 1, event.Final)
	r.pane(start, start+3*minute, "en", 1, 2, 50, 5, event.Final)
	r.flush(true)
	e := r.estimates["d|cue_good_ratio|en"]
	if e.N != 160 || e.Numerator != 154 || e.AsOf != start+3*minute || !e.Enough || e.Unit != "ratio" || math.Abs(e.Value-154./160) > 1e-12 {
		t.Errorf("%+v", e)
	}
	b := r.estimates["d|cue_budget_remaining|en"]
	if math.Abs(b.Value-(1-6./160/0.05)) > 1e-9 || b.Low >= b.Value || b.High <= b.Value {
		t.Errorf("%+v", b)
	}
	l := r.estimates["d|cue_latency_p95|en"]
	if math.Abs(l.Value/2000-1) > 0.01 || l.Low > l.Value || l.High < l.Value || l.N != 160 {
		t.Errorf("%+v", l)
	}
	if e.Maturity != event.Provisional {
		t.Error("final before the drop's end")
	}
	if low, high := stats.Wilson(30, 1000, stats.Z95); math.Abs(low-0.021094) > 1e-6 || math.Abs(high-0.042503) > 1e-6 {
		t.Errorf("30 of 1000: [%v, %v]", low, high)
	}
}

// TestQuietPublishesWhatWaited: the last transaction came while more seemed to be coming.
func TestQuietPublishesWhatWaited(t *testing.T) {
	r := newRoom(t, ObjectivesConfig{}, twoDays())
	r.pane(start, start+minute, "en", 0, 1, 60, 0, event.Provisional)
	r.flush(true)
	r.pane(start, start+minute+second, "en", 0, 2, 70, 0, event.Provisional)
	r.flush(false)
	if n := r.estimates["d|cue_good_ratio|en"].N; n != 60 {
		t.Fatalf("n is %d within the interval", n)
	}
	r.flush(true)
	if n := r.estimates["d|cue_good_ratio|en"].N; n != 70 {
		t.Errorf("n is %d when all is quiet, want 70", n)
	}
	revision := r.estimates["d|cue_good_ratio|en"].Revision
	r.flush(true)
	if r.estimates["d|cue_good_ratio|en"].Revision != revision {
		t.Error("published again without news")
	}
}

// TestDropsEndAndAreForgotten: a final read-out, then nothing is left of a drop that ended a week ago.
func TestDropsEndAndAreForgotten(t *testing.T) {
	drops := twoDays()
	drops["d"].EndMS = start + hourMS
	drops["later"] = &event.Drop{StartMS: start, EndMS: start + 30*24*hourMS}
	r := newRoom(t, ObjectivesConfig{}, drops)
	r.pane(start, start+minute, "en", 0, 1, 60, 6, event.Provisional)
	r.pane(start, start+2*hourMS, "en", 0, 2, 60, 6, event.Final)
	r.flush(true)
	e := r.estimates["d|cue_budget_remaining|en"]
	if e.Maturity != event.Final || math.Abs(e.Value+1) > 1e-9 {
		t.Errorf("%+v", e)
	}
	v := event.Localization{DropID: "later", Language: "en", PaneStart: start + 9*24*hourMS, PaneMS: 15_000, Revision: 1, Watermark: start + 9*24*hourMS, Expected: 1}
	r.take([]event.Message{{Kind: event.KindLocalization, Value: v.AppendJSON(nil)}})
	r.flush(true)
	if r.rule.drops.Len() != 1 || r.rule.cells.Len() != 1 || r.rule.chunks.Len() != 1 {
		t.Errorf("%d drops, %d cells, %d chunks are left", r.rule.drops.Len(), r.rule.cells.Len(), r.rule.chunks.Len())
	}
}

func TestOddPartials(t *testing.T) {
	r := newRoom(t, ObjectivesConfig{}, catalogue{})
	if err := r.rule.Apply(&event.Record{Kind: event.KindLocalization, Value: []byte(`{"drop_id":`)}); err == nil || err.Reason != event.ReasonMalformed {
		t.Errorf("malformed: %v", err)
	}
	if err := r.rule.Apply(&event.Record{Kind: event.KindVelocity, Value: []byte("?")}); err != nil {
		t.Errorf("another rule's kind: %v", err)
	}
	r.pane(start, start+minute, "en", 0, 1, 60, 6, event.Provisional)
	r.flush(false)
	counted := map[string]uint64{}
	r.rule.Outcomes(func(outcome string, total uint64) { counted[outcome] = total })
	if counted["refused"] != 1 || len(r.estimates) != 0 {
		t.Errorf("a drop that nobody knows: %v, %v", counted, r.estimates)
	}
}
