package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/models/lift"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// TestLiftStory plays the story of three creators through the pipeline. The queries must give the counts that a second
// implementation takes from the events, and the table must say honestly what of the claim is cause.
func TestLiftStory(t *testing.T) {
	p := startPipeline(t, t.TempDir())
	s := simulate.Story(1)
	t.Logf("seed %d", s.Seed)
	generator, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&player{generator: generator}).play(context.Background(), p.node.kafka); err != nil {
		t.Fatal(err)
	}
	p.settle()

	again, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	f, drop := readLiftFacts(t, again), generator.MainDrop()
	for _, days := range []int{1, 7, 28} {
		params := clickhouse.Params{"drop": drop, "days": days, "watermark_ms": f.newest[1] - 10_001}
		got, want := readReturns(p.query("lift_retention", params), days), f.returns(drop, days)
		sortCells(got.cells)
		if !want.mature {
			for i := range want.cells {
				want.cells[i] = returnCell{purchaser: want.cells[i].purchaser, stratum: want.cells[i].stratum, n: want.cells[i].n}
			}
			for i := range got.cells {
				c := &got.cells[i]
				if !math.IsNaN(c.returned) || !math.IsNaN(c.before) || !math.IsNaN(c.panel.N) || !math.IsNaN(c.trend.Both) {
					t.Errorf("D%d is not mature and has counts: %+v", days, *c)
				}
				got.cells[i] = returnCell{purchaser: c.purchaser, stratum: c.stratum, n: c.n}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("D%d by SQL\n%+v\nand by the events\n%+v", days, got, want)
		}
		if days == 28 {
			continue
		}
		if got, want := readHoldout(p.query("lift_holdout", params)), f.holdout(drop, days); !reflect.DeepEqual(got, want) || len(got) != 2 {
			t.Errorf("D%d holdout by SQL\n%+v\nand by the events\n%+v", days, got, want)
		}
	}
	got := readCreators(p.query("lift_creators", clickhouse.Params{"drop": drop, "watermark_ms": f.newest[1] - 10_001}))
	for i := range got {
		got[i].revenue, got[i].halo, got[i].firstMatures, got[i].laterMatures = outcome{}, outcome{}, time.Time{}, time.Time{}
		if !got[i].matureLate && math.IsNaN(got[i].active.later) {
			got[i].active.later = 0
		}
	}
	want := f.creatorChanges(drop, 90)
	for i := range want {
		if !want[i].matureLate {
			want[i].active.later = 0
		}
	}
	if !reflect.DeepEqual(got, want) || len(got) != 36 {
		t.Errorf("creators by SQL\n%+v\nand by the events\n%+v", got, want)
	}

	var text bytes.Buffer
	rows, err := measureLift(context.Background(), p.client, drop, 10*time.Minute, LiftOptions{Horizons: []int{1, 7, 28}, Confidence: 0.95,
		PretrendAlpha: 0.05, RatioAlpha: 0.001, BackDays: 90, Assignments: 2000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLift(&text, "table", rows); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", text.String())
	checkStory(t, rows, generator.Books().Drops[drop].Happened, drop)

	cmd := LiftCmd{Drop: drop, LiftOptions: liftDefaults}
	for format, check := range map[string]func(string) bool{
		"table": func(s string) bool { return strings.Contains(s, "purchasers retain more") },
		"json": func(s string) bool {
			var back []map[string]any
			return json.Unmarshal([]byte(s), &back) == nil && len(back) > 0 && back[0]["grade"] == "randomized_itt"
		},
		"csv": func(s string) bool {
			lines, err := csv.NewReader(strings.NewReader(s)).ReadAll()
			return err == nil && len(lines) > 1 && lines[1][3] == "randomized_itt"
		},
	} {
		cmd.Format = format
		if out := p.command(&cmd); !check(out) {
			t.Errorf("as %s:\n%s", format, out)
		}
	}
	checkPublished(t, p, drop)
	if _, err := measureLift(context.Background(), p.client, "drop-nobody-knows", 0, liftDefaults); err == nil || !strings.Contains(err.Error(), "not in the catalogue") {
		t.Errorf("an unknown drop: %v", err)
	}
}

// checkStory holds the table against the claim: three times the revenue, 26 % more return among purchasers, part of it caused.
func checkStory(t *testing.T, rows []LiftRow, truth simulate.Happened, drop string) {
	t.Helper()
	find := func(metric, horizon, scope, method string) *LiftRow {
		for i := range rows {
			if r := &rows[i]; r.Metric == metric && r.Horizon == horizon && r.Scope == scope && r.Method == method {
				return r
			}
		}
		t.Fatalf("no row %s, %s, %s, %s", metric, horizon, scope, method)
		return nil
	}
	d7 := truth.Retention.Horizons[1]
	raw := find(returnMetric, "D7", drop, "raw difference")
	if raw.Relative == nil || math.Abs(raw.Relative.Value-0.26) > 0.06 || raw.Relative.Low <= 0 {
		t.Errorf("raw difference %+v, the claim is 26 %%", raw.Relative)
	}
	if raw.Points.Low <= 100*d7.Added {
		t.Errorf("the raw difference %+v does not exclude what was caused, %.2f pp", *raw.Points, 100*d7.Added)
	}
	did := find(returnMetric, "D7", drop, "difference in differences")
	if did.Points == nil || did.Points.Low > 100*d7.Added || did.Points.High < 100*d7.Added || did.Points.Value >= raw.Points.Value {
		t.Errorf("difference in differences %+v (%s), caused were %.2f pp", did.Points, did.Note, 100*d7.Added)
	}
	for method, caused := range map[string]float64{"two proportions": d7.PerOffered, "CUPED by sessions before": d7.PerOffered, "instrument": d7.PerPurchaser} {
		r := find(returnMetric, "D7", drop, method)
		if r.Points == nil || r.Points.Low > 100*caused || r.Points.High < 100*caused {
			t.Errorf("%s %+v (%s), caused were %.2f pp", method, r.Points, r.Note, 100*caused)
		}
	}
	revenue := find("revenue per 1,000 followers", "[0 d, 7 d)", "drops of 90 d", "difference in differences of ln(1+x)")
	if revenue.Relative == nil || math.Abs(revenue.Relative.Value-2) > 0.5 || revenue.Relative.Low < 1.5 || revenue.Treated != 3 || *revenue.PermutationP > 0.01 {
		t.Errorf("revenue changed by %+v (%s), the claim is a factor of 3", revenue.Relative, revenue.Note)
	}
	halo := find("revenue per 1,000 followers without the drop's own", "[0 d, 7 d)", "drops of 90 d", "difference in differences of ln(1+x)")
	if halo.Relative == nil || halo.Relative.Value > 0.6 {
		t.Errorf("without the drops' own revenue it changed by %+v (%s)", halo.Relative, halo.Note)
	}
	for i := range rows {
		r := &rows[i]
		if r.Horizon == "D28" && (r.Maturity != provisional || r.Points != nil || r.Statement != "" || r.MaturesAt.IsZero()) {
			t.Errorf("D28 is not over: %+v", r)
		}
		if (r.Points != nil || r.Relative != nil) != (r.Statement != "") {
			t.Errorf("a number without a statement, or the reverse: %+v", r)
		}
		if said := r.Metric + r.Statement + r.Wording + r.Note + r.Comparator; r.Grade >= lift.Matched && liftWord.MatchString(said) {
			t.Errorf("grade %s says %q", r.Grade, said)
		}
	}
}

var liftWord = regexp.MustCompile(`(?i)\b(up)?lift(s|ed|ing)?\b`)

// What cannot be estimated is an empty row with its reason, not a number.
func TestLiftWithholds(t *testing.T) {
	arm := func(variant string, n, returned, bought float64) holdoutArm {
		return holdoutArm{experiment: "x", variant: variant, held: variant == "held", bps: 5000, n: n, returned: returned, bought: bought, both: bought / 2,
			x: n / 2, x2: n / 2, xy: returned / 4, mature: true}
	}
	immature := arm("offered", 1000, math.NaN(), math.NaN())
	immature.mature = false
	for _, tt := range []struct {
		name string
		arms []holdoutArm
		// reasons of ITT and CACE; "" where there is a number.
		itt, cace string
	}{
		{"as planned", []holdoutArm{arm("held", 1000, 400, 0), arm("offered", 1000, 450, 200)}, "", ""},
		{"arms of another size than planned", []holdoutArm{arm("held", 1000, 400, 0), arm("offered", 1200, 450, 200)}, "not as large as planned", "not as large as planned"},
		{"held out and bought all the same", []holdoutArm{arm("held", 1000, 400, 3), arm("offered", 1000, 450, 200)}, "", "3 of the held out bought"},
		{"nobody bought", []holdoutArm{arm("held", 1000, 400, 0), arm("offered", 1000, 450, 0)}, "", "nobody bought"},
		{"nobody returned", []holdoutArm{arm("held", 1000, 0, 0), arm("offered", 1000, 0, 100)}, "nobody returned", "nobody returned"},
		{"no holdout", nil, "no experiment of the drop has a holdout", "no experiment of the drop has a holdout"},
		{"not over yet", []holdoutArm{arm("held", 1000, math.NaN(), math.NaN()), immature}, "-", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows := liftDefaults.holdout("d", 7, tt.arms)
			for _, r := range []LiftRow{rows[0], rows[len(rows)-1]} {
				want := tt.itt
				if r.Grade == lift.RandomizedCACE {
					want = tt.cace
				}
				switch {
				case want == "" && (r.Points == nil || r.P == nil || r.Statement == ""):
					t.Errorf("%s has no number: %s", r.Grade, r.Note)
				case want == "-" && (r.Points != nil || r.Maturity != provisional):
					t.Errorf("%s: %+v", r.Grade, r)
				case want != "" && want != "-" && (r.Points != nil || r.Statement != "" || !strings.Contains(r.Note, want)):
					t.Errorf("%s: %+v %q, want %q", r.Grade, r.Points, r.Note, want)
				}
			}
		})
	}

	trend := lift.Group{N: 1000, Before: 300, After: 300, Both: 150}
	for name, moved := range map[string]lift.Group{"": trend, "moved apart": {N: 1000, Before: 300, After: 420, Both: 150}, "not enough data": {}} {
		rows := liftDefaults.returns("d", returnCounts{days: 7, mature: true, cells: []returnCell{
			{stratum: "a", n: 1000, returned: 300, before: 300, panel: trend, trend: trend},
			{purchaser: true, stratum: "a", n: 1000, returned: 400, before: 300, panel: lift.Group{N: 1000, Before: 300, After: 400, Both: 150}, trend: moved}}})
		if r := rows[0]; r.Grade != lift.QuasiDID || (r.Points != nil) != (name == "") || !strings.Contains(r.Note, name) {
			t.Errorf("%q: %+v %q", name, r.Points, r.Note)
		}
	}
	for _, r := range liftDefaults.returns("d", returnCounts{days: 7, mature: true}) {
		if r.Points != nil || r.Note == "" {
			t.Errorf("without a visitor: %+v", r)
		}
	}
	for _, r := range liftDefaults.creators("d", []creatorChange{{drop: "d", creator: "a", treated: true, subject: true, matureFirst: true}}) {
		if r.Relative != nil || (r.Maturity == final && !strings.Contains(r.Note, "events missing before")) {
			t.Errorf("a creator without history: %+v", r)
		}
	}
	bad := LiftOptions{Confidence: 1, PretrendAlpha: 0, RatioAlpha: 2, BackDays: -1, Horizons: []int{0}}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("six problems, and Validate says: %v", err)
	}
	if err := liftDefaults.Validate(); err != nil {
		t.Error(err)
	}
}

// TestNoBareLift looks through everything that is written for people: a percentage of lift without a grade in reach is what
// the wording rule forbids.
func TestNoBareLift(t *testing.T) {
	claim := regexp.MustCompile(`(?i)(%|percent)[^.\n"]{0,24}\b(up-?)?lift(s|ed|ing)?\b|\b(up-?)?lift(s|ed)? (of|by) [+]?%?[0-9.]`)
	looked := 0
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && file != "." && (strings.HasPrefix(name, ".") || name == "bin" || name == "data" || name == "testdata") {
			return filepath.SkipDir
		}
		switch filepath.Ext(file) {
		case ".go", ".sql", ".md", ".html", ".tmpl", ".json":
		default:
			return nil
		}
		if strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		looked++
		if found := claim.Find(text); found != nil {
			t.Errorf("%s says %q: say it through lift.Describe, with its grade", file, found)
		}
		return nil
	})
	if err != nil || looked < 100 {
		t.Fatal(looked, err)
	}
	for _, text := range []string{"a 26 % lift in retention", "26 percent uplift", "retention lifted by 26"} {
		if !claim.MatchString(text) {
			t.Errorf("%q is not seen", text)
		}
	}
}
