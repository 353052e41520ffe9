package experiments

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// rollupBench drives a rollup rule the way its runtime does, restored from its change-log after every transaction.
type rollupBench struct {
	t         testing.TB
	cfg       RollupConfig
	drops     catalogue
	rule      *Rollup
	log       []map[string][]byte
	newest    map[string]event.Estimate
	decisions []event.Decision
}

func newRollupBench(t testing.TB, cfg RollupConfig, drops catalogue) *rollupBench {
	s := &rollupBench{t: t, cfg: cfg, drops: drops, log: []map[string][]byte{{}, {}}, newest: map[string]event.Estimate{}}
	s.restart()
	return s
}

func (s *rollupBench) restart() {
	s.t.Helper()
	rule, err := NewRollup(s.cfg, s.drops)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.rule != nil {
		rule.alarms = s.rule.alarms
	}
	for i, table := range rule.Tables() {
		for key, value := range s.log[i] {
			if err := table.Restore(key, value); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.rule = rule
}

// turn is one committed transaction; it is rolled back once, which must change nothing.
func (s *rollupBench) turn(watermark int64, quiet bool, records ...event.Record) (published int) {
	s.t.Helper()
	var texts [2]string
	var out processors.Output
	for attempt := range 2 {
		out.Reset()
		for _, r := range records {
			if err := s.rule.Apply(&r); err != nil {
				s.t.Fatalf("%v: %s", err, r.Value)
			}
		}
		s.rule.Flush(processors.RollupTimes{Watermark: watermark, Quiet: quiet}, &out)
		for _, m := range out.Messages() {
			texts[attempt] += fmt.Sprintf("%s %s\n", m.Key, m.Value)
		}
		if attempt == 0 {
			for _, table := range s.rule.Tables() {
				table.Rollback()
			}
		}
	}
	if texts[0] != texts[1] {
		s.t.Fatalf("after a rollback\n%sinstead of\n%s", texts[1], texts[0])
	}
	var d event.Decoder
	for _, m := range out.Messages() {
		if m.Kind == event.KindDecision {
			var decision event.Decision
			if err := d.Decision(slices.Clone(m.Value), &decision); err != nil {
				s.t.Fatal(err)
			}
			s.decisions = append(s.decisions, decision)
			continue
		}
		var e event.Estimate
		if err := d.Estimate(slices.Clone(m.Value), &e); err != nil {
			s.t.Fatal(err)
		}
		if old := s.newest[string(m.Key)]; old.Revision >= e.Revision || !strings.HasPrefix(string(m.Key), e.DropID+"|"+e.Metric+"|") {
			s.t.Fatalf("%s: revision %d after %d", m.Key, e.Revision, old.Revision)
		}
		s.newest[string(m.Key)] = e
	}
	for i, table := range s.rule.Tables() {
		table.Changes(func(key string, value []byte) {
			if value == nil {
				delete(s.log[i], strings.Clone(key))
				return
			}
			s.log[i][strings.Clone(key)] = slices.Clone(value)
		})
		table.Commit()
	}
	s.restart()
	return out.Len()
}

// partial is a partial of cta, whose design is the catalogue's.
func (s *rollupBench) partial(language, variant string, partition int32, revision uint64, exposed, converted uint32, change ...func(*event.ExperimentArm)) event.Record {
	p := planOf(s.drops["d"])
	a := event.ExperimentArm{DropID: "d", ExperimentID: "cta", Variant: variant, Language: language, Partition: partition, Revision: revision,
		Watermark: start, Design: formatDesign(p.experiments[0].fingerprint), Exposed: exposed, Converted: converted, SampleRate: 1}
	for _, f := range change {
		f(&a)
	}
	return event.Record{Kind: event.KindExperimentArm, Value: a.AppendJSON(nil)}
}

func (s *rollupBench) chosen() (all []string) {
	for _, d := range s.decisions {
		all = append(all, d.Subject+" "+d.Previous+">"+d.Chosen)
	}
	return all
}

func detail(e event.Estimate, name string) float64 {
	for _, d := range e.Details {
		if d.Name == name {
			return d.Value
		}
	}
	return math.NaN()
}

// DOMAIN 6: 400 against 470, then 520, of 10,000, over two partitions.
func TestDomainExamplesThroughTheRollup(t *testing.T) {
	s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
	s.turn(start, false, s.partial("fr", "a", 0, 1, 4000, 150), s.partial("fr", "a", 1, 1, 6000, 250),
		s.partial("fr", "b", 0, 1, 4000, 170), s.partial("fr", "b", 1, 1, 6000, 300))
	effect := func() event.Estimate { return s.newest["d|experiment_effect|cta|fr|b"] }
	near := func(what string, got, want, digits float64) {
		t.Helper()
		if !(math.Abs(got-want) <= digits) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	e := effect()
	if !e.Enough || e.Unit != "pp" || e.Grade != event.GradeRandomizedITT || !e.AlwaysValid || e.N != 20_000 || e.Numerator != 870 || e.Maturity != event.Provisional {
		t.Fatalf("%+v", e)
	}
	near("effect", e.Value, .7, 1e-9)
	near("p", e.P, .23798, 5e-6)
	near("low", e.Low, -.178, 5e-4)
	near("high", e.High, 1.578, 5e-4)
	near("one look", detail(e, "p_one_look"), .0152, 5e-5)
	near("better", detail(e, "better"), .992373, 5e-7)
	near("loss", detail(e, "loss_variant_pp"), 7.258e-4, 5e-8)
	if len(s.decisions) != 0 {
		t.Fatalf("decided %v", s.chosen())
	}
	// The next look is a minute later, whatever comes before.
	if n := s.turn(start+minute-1, false, s.partial("fr", "b", 0, 2, 4000, 220)); n != 0 {
		t.Errorf("%d published before the next look", n)
	}
	s.turn(start+minute, false)
	near("p", effect().P, .001856, 5e-7)
	near("low", effect().Low, .299, 5e-4)
	near("high", effect().High, 2.101, 5e-4)
	// The p-value never rises again, though the interval follows the data; the decision comes once.
	s.turn(start+2*minute, false, s.partial("fr", "b", 0, 3, 4000, 100))
	near("p", effect().P, .001856, 5e-7)
	near("effect", effect().Value, 0, 1e-9)
	if got := fmt.Sprint(s.chosen()); got != "[cta/fr/b >significant]" || !strings.Contains(s.decisions[0].Reason, "caused, per offered player") {
		t.Errorf("decided %s", got)
	}
}

func TestEffectsAreHidden(t *testing.T) {
	for _, c := range []struct {
		name, why, decided string
		records            func(s *rollupBench) []event.Record
	}{
		{"burn-in", "fewer than 100 conversions in an arm", "[]", func(s *rollupBench) []event.Record {
			return []event.Record{s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 99)}
		}},
		{"sample ratio", "the arms do not have the sizes", "[cta/fr >srm_alarm]", func(s *rollupBench) []event.Record {
			return []event.Record{s.partial("fr", "a", 0, 1, 44_000, 1760), s.partial("fr", "b", 0, 1, 46_000, 3000)}
		}},
		{"changed", "design changed", "[cta/fr >changed]", func(s *rollupBench) []event.Record {
			return []event.Record{s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 900, func(a *event.ExperimentArm) { a.Changed = true })}
		}},
		{"designs differ", "design changed", "[cta/fr >changed]", func(s *rollupBench) []event.Record {
			return []event.Record{s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 900, func(a *event.ExperimentArm) { a.Design = "00000000000000ff" })}
		}},
		{"misassigned", "another variant than they are assigned", "[cta/fr >misassigned]", func(s *rollupBench) []event.Record {
			return []event.Record{s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 900, func(a *event.ExperimentArm) { a.Misassigned = 500 })}
		}},
	} {
		s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
		s.turn(start, false, c.records(s)...)
		s.turn(start+minute, false, c.records(s)[0])
		e := s.newest["d|experiment_effect|cta|fr|b"]
		if e.Enough || !strings.Contains(e.Why, c.why) || e.Value != 0 || e.P != -1 || !math.IsNaN(detail(e, "better")) || fmt.Sprint(s.chosen()) != c.decided {
			t.Errorf("%s: %+v, decided %v", c.name, e, s.chosen())
		}
	}
}

// An experiment changed in the catalogue, after the last exposure: every language is hidden.
func TestChangeInTheCatalogueAlone(t *testing.T) {
	x := cta()
	s := newRollupBench(t, RollupConfig{}, oneDrop(x))
	s.turn(start, false, s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 470))
	again := s.partial("fr", "a", 0, 2, 10_000, 401)
	x.Salt = "v2"
	s.drops["d"] = oneDrop(x)["d"]
	s.restart()
	s.turn(start+minute, false, again)
	if e := s.newest["d|experiment_effect|cta|fr|b"]; e.Enough || fmt.Sprint(s.chosen()) != "[cta/fr >changed]" {
		t.Errorf("%+v, decided %v", e, s.chosen())
	}
	if got := outcomes(s.rule); got["changed"] == 0 {
		t.Errorf("outcomes %v", got)
	}
}

// What was told of an experiment, or of a variant, that the catalogue no longer holds is taken back.
func TestWhatIsGoneIsTakenBack(t *testing.T) {
	renamed := cta()
	renamed.Variants[1].Name = "c"
	for name, after := range map[string][]event.Experiment{"experiment": nil, "variant": {renamed}} {
		s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
		s.turn(start, false, s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 470))
		again := s.partial("fr", "a", 0, 2, 10_000, 401)
		if !s.newest["d|experiment_effect|cta|fr|b"].Enough {
			t.Fatal("no effect to take back")
		}
		s.drops["d"] = oneDrop(after...)["d"]
		s.restart()
		s.turn(start+minute, false, again)
		s.turn(start+2*minute, true, again)
		if e := s.newest["d|experiment_effect|cta|fr|b"]; e.Enough || e.Why == "" || fmt.Sprint(s.chosen()) != "[cta/fr >changed]" {
			t.Errorf("%s: %+v, decided %v", name, e, s.chosen())
		}
	}
}

// Chi-square has one look of its own, at the end; DOMAIN's 44,000 and 45,000 have p = .000802.
func TestChiSquareDecidesAtTheEnd(t *testing.T) {
	s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
	s.turn(end-minute, false, s.partial("fr", "a", 0, 1, 44_000, 1760), s.partial("fr", "b", 0, 1, 45_000, 1800))
	if e := s.newest["d|experiment_srm|cta|fr"]; e.Why != "" || math.Abs(detail(e, "chi2_p")-.000802) > 5e-7 || e.P < .001 {
		t.Errorf("before the end: %+v", e)
	}
	final := func(a *event.ExperimentArm) { a.Maturity = event.Final }
	s.turn(end+late, false, s.partial("fr", "a", 0, 2, 44_000, 1760, final), s.partial("fr", "b", 0, 2, 45_000, 1800, final))
	if e := s.newest["d|experiment_srm|cta|fr"]; e.Why == "" || e.Maturity != event.Final || fmt.Sprint(s.chosen()) != "[cta/fr >srm_alarm]" {
		t.Errorf("at the end: %+v, decided %v", e, s.chosen())
	}
}

// Holm's family is every variant in every language of the drop, all languages together included.
func TestHolmOverLanguages(t *testing.T) {
	s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
	s.turn(start, false, s.partial("fr", "a", 0, 1, 10_000, 400), s.partial("fr", "b", 0, 1, 10_000, 520),
		s.partial("de", "a", 0, 1, 10_000, 400), s.partial("de", "b", 0, 1, 10_000, 400))
	fr, all := s.newest["d|experiment_effect|cta|fr|b"], s.newest["d|experiment_effect|cta|*|b"]
	if all.N != 40_000 || detail(fr, "comparisons") != 3 || math.Abs(detail(fr, "p_holm")-3*fr.P) > 1e-12 {
		t.Errorf("fr %+v\nall %+v", fr, all)
	}
}

func TestRefundGuardrail(t *testing.T) {
	s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
	refunds := func(n uint32) func(*event.ExperimentArm) { return func(a *event.ExperimentArm) { a.Refunded = n } }
	s.turn(start, false, s.partial("fr", "a", 0, 1, 10_000, 400, refunds(29)), s.partial("fr", "b", 0, 1, 10_000, 400, refunds(200)))
	if e := s.newest["d|experiment_refund|cta|fr|b"]; e.Enough {
		t.Errorf("%+v", e)
	}
	s.turn(start+minute, false, s.partial("fr", "a", 0, 2, 10_000, 400, refunds(40)))
	if e := s.newest["d|experiment_refund|cta|fr|b"]; !e.Enough || math.Abs(e.Value-1.6) > 1e-9 || fmt.Sprint(s.chosen()) != "[cta/fr/b/refunds >refunds_up]" {
		t.Errorf("%+v, decided %v", e, s.chosen())
	}
}

func TestRollupRefusesWhatItCannotRead(t *testing.T) {
	s := newRollupBench(t, RollupConfig{}, oneDrop(cta()))
	for _, value := range []string{"{", `{"drop_id":"d","experiment_id":"cta","variant":"a","partition":0,"revision":1,"watermark":1,"maturity":"final","refund_maturity":"final","design":"no hex"}`} {
		if err := s.rule.Apply(&event.Record{Kind: event.KindExperimentArm, Value: []byte(value)}); err == nil {
			t.Errorf("%s is accepted", value)
		}
	}
	if err := s.rule.Apply(&event.Record{Kind: event.KindVelocity, Value: []byte("{")}); err != nil {
		t.Errorf("another kind: %v", err)
	}
	for _, cfg := range []RollupConfig{{EveryMS: -1}, {Alpha: 1}, {RatioAlarm: -1}, {MisassignedShare: math.NaN()}} {
		if _, err := NewRollup(cfg, s.drops); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	if _, err := New(Config{RefundMS: -1}, 0, s.drops); err == nil {
		t.Error("negative refund time is accepted")
	}
}
