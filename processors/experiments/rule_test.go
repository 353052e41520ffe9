package experiments

import (
	"fmt"
	"maps"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/experiment"
)

// Everything that an exposure may be instead of a counted one has a name and a count.
func TestOutcomes(t *testing.T) {
	french, holdout, broken := cta(), cta(), cta()
	french.Language = "fr"
	holdout.Holdout = "a"
	broken.Variants = broken.Variants[:1]
	too := cta()
	too.Variants[0].BPS = 9000
	for _, c := range []struct {
		name    string
		x       event.Experiment
		ev      *event.Event
		outcome string
		counted bool
	}{
		{"fine", cta(), shown("p3", "a", "fr", start), "", true},
		{"waiting page", cta(), shown("p3", "a", "fr", start-minute), "", true},
		{"no consent", cta(), func() *event.Event { ev := shown("p3", "a", "fr", start); ev.Consent = 6; return ev }(), "no_consent", false},
		{"unknown experiment", cta(), func() *event.Event { ev := shown("p3", "a", "fr", start); ev.Player.ExperimentID = "x"; return ev }(), "unknown_experiment", false},
		{"unknown variant", cta(), shown("p3", "c", "fr", start), "unknown_variant", false},
		{"one variant", broken, shown("p3", "a", "fr", start), "bad_design", false},
		{"too many shares", too, shown("p3", "a", "fr", start), "bad_design", false},
		{"another language", french, shown("p3", "a", "de", start), "wrong_language", false},
		{"the language", french, shown("p3", "a", "fr", start), "", true},
		{"the name of all languages", cta(), shown("p3", "a", "*", start), "wrong_language", false},
		{"not enrolled", cta(), shown("p1", "a", "fr", start), "not_enrolled", false},
		{"after the end", cta(), shown("p3", "a", "fr", end), "after_end", false},
		{"misassigned", cta(), shown("p3", "b", "fr", start), "misassigned", true},
		{"holdout", holdout, shown("p3", "a", "fr", start), "", false},
		{"unknown drop", cta(), func() *event.Event { ev := shown("p3", "a", "fr", start); ev.DropID = "e"; return ev }(), "refused", false},
		{"probe", cta(), func() *event.Event { ev := shown("p3", "a", "fr", start); ev.Synthetic = true; return ev }(), "", false},
	} {
		b := newBench(t, 0, oneDrop(c.x))
		records := b.turn(start, c.ev)
		want := map[string]uint64{}
		if c.outcome != "" {
			want[c.outcome] = 1
		}
		if got := outcomes(b.rule); !maps.Equal(got, want) || len(records) == 1 != c.counted {
			t.Errorf("%s: outcomes %v and %d records, want %v and counted %v", c.name, got, len(records), want, c.counted)
		}
	}
}

func TestDesignChangedMidway(t *testing.T) {
	for name, change := range map[string]func(*event.Experiment){
		"salt": func(x *event.Experiment) { x.Salt = "v2" }, "traffic": func(x *event.Experiment) { x.TrafficBPS = 10_000 },
		"shares": func(x *event.Experiment) { x.Variants[0].BPS, x.Variants[1].BPS = 9000, 1000 },
		"effect": func(x *event.Experiment) { x.EffectSD = 0.02 },
	} {
		drops := oneDrop(cta())
		b := newBench(t, 0, drops)
		b.turn(start, shown("p3", "a", "fr", start))
		x := cta()
		change(&x)
		drops["d"] = &event.Drop{Name: "d", StartMS: start, EndMS: end, Experiments: []event.Experiment{x}}
		// Whoever the new design enrols: the arm that they are shown has been seen under the old one.
		design := planOf(drops["d"]).experiments[0].design
		who := ""
		for i := 4; who == ""; i++ {
			if id := fmt.Sprintf("p%d", i); design.Variant(id) == 0 {
				who = id
			}
		}
		b.turn(start, shown(who, "a", "fr", start))
		a := b.newest["d|cta|fr|a|0"]
		if got := outcomes(b.rule); got["changed"] != 1 || !a.Changed || a.Exposed != 2 {
			t.Errorf("%s: outcomes %v, %+v", name, got, a)
		}
	}
}

func TestCrossoverCountsByTheFirst(t *testing.T) {
	b := newBench(t, 0, oneDrop(cta()))
	b.turn(start, shown("p3", "b", "fr", start+2000), paid(event.CheckoutCompleted, "p3", start+1500, 0))
	if a := b.newest["d|cta|fr|b|0"]; a.Exposed != 1 || a.Converted != 0 || a.Misassigned != 1 {
		t.Fatalf("%+v", a)
	}
	b.turn(start, shown("p3", "a", "fr", start+1000))
	if a, was := b.newest["d|cta|fr|a|0"], b.newest["d|cta|fr|b|0"]; a.Exposed != 1 || a.Converted != 1 || a.Crossed != 1 || a.Misassigned != 0 || was.Exposed != 0 {
		t.Errorf("%+v\n%+v", a, was)
	}
	if got := outcomes(b.rule); got["crossed"] != 1 {
		t.Errorf("outcomes %v", got)
	}
}

func TestProlongedDrop(t *testing.T) {
	drops := oneDrop(cta())
	b := newBench(t, 0, drops)
	b.turn(start, shown("p3", "a", "fr", start))
	longer := *drops["d"]
	longer.EndMS = end + 60*minute
	drops["d"] = &longer
	if records := b.turn(end - 1 + late); len(records) != 1 || b.newest["d|cta|fr|a|0"].Maturity != event.Provisional {
		t.Errorf("%d records, %+v", len(records), b.newest)
	}
	b.turn(end+late, paid(event.CheckoutCompleted, "p3", end+30*minute, 0))
	if a := b.newest["d|cta|fr|a|0"]; a.Converted != 1 {
		t.Errorf("%+v", a)
	}
	b.turn(longer.EndMS - 1 + late)
	if a := b.newest["d|cta|fr|a|0"]; a.Maturity != event.Final || a.RefundMaturity != event.Provisional {
		t.Errorf("%+v", a)
	}
}

// Experiments of one layer share the traffic in the order of the catalogue.
func TestLayersOfTheCatalogue(t *testing.T) {
	one, two, other := cta(), cta(), cta()
	one.ID, one.Layer, one.TrafficBPS = "one", "page", 3000
	two.ID, two.Layer, two.TrafficBPS = "two", "page", 7000
	p := planOf(oneDrop(one, other, two)["d"])
	for i := range 1000 {
		who := fmt.Sprintf("p%d", i)
		if (p.experiment("one").design.Variant(who) == experiment.None) != (p.experiment("two").design.Variant(who) != experiment.None) {
			t.Fatalf("%s is in both or in none", who)
		}
	}
}

func TestSampleRateIsTheLowest(t *testing.T) {
	b := newBench(t, 0, oneDrop(cta()))
	sampled := shown("p3", "a", "fr", start)
	sampled.SampleRate = 0.25
	b.turn(start, shown("p5", "a", "fr", start), sampled, shown("p10", "a", "fr", start))
	if a := b.newest["d|cta|fr|a|0"]; a.SampleRate != 0.25 || a.Exposed != 3 {
		t.Errorf("%+v", a)
	}
}
