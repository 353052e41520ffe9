package gate

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/models/scoring"
)

const hourMS = int64(time.Hour / time.Millisecond)

// good passes every gate of the defaults.
func good() Evidence {
	return Evidence{
		Metrics:     scoring.Metrics{Rows: 5000, Positives: 1200, AUC: .78, AUCSE: .008, LogLoss: .48, BaseLogLoss: .55, Slope: 1.02},
		Champion:    &scoring.Metrics{Rows: 5000, Positives: 1200, AUC: .77, LogLoss: .485},
		FeatureHash: "a", CurrentHash: "a",
		Training: scoring.Training{From: 0, To: 100 * hourMS, EmbargoMS: hourMS, HorizonMS: 24 * hourMS},
		RowsFrom: 125 * hourMS, Now: 200 * hourMS, ScoreUS: .4,
	}
}

func TestEveryGateHasAMiss(t *testing.T) {
	c := Config{}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	all := c.Judge(good())
	if missed := Missed(all); missed != nil {
		t.Fatalf("a good model misses %v", missed)
	}
	cases := []struct {
		name string
		do   func(*Evidence)
		want string
	}{
		{"other features", func(e *Evidence) { e.FeatureHash = "b" }, "features"},
		{"no features at all", func(e *Evidence) { e.FeatureHash, e.CurrentHash = "", "" }, "features"},
		{"few rows", func(e *Evidence) { e.Metrics.Rows, e.Metrics.Positives = 999, 500 }, "rows"},
		{"few churned", func(e *Evidence) { e.Metrics.Positives = 99 }, "classes"},
		{"few stayed", func(e *Evidence) { e.Metrics.Positives = 4901 }, "classes"},
		{"rows within the last label", func(e *Evidence) { e.RowsFrom-- }, "held_out"},
		{"low area", func(e *Evidence) { e.Metrics.AUC, e.Champion.AUC = .649, .65 }, "auc"},
		{"uncertain area", func(e *Evidence) { e.Metrics.AUCSE = .1 }, "auc_low"},
		{"no better than the base rate", func(e *Evidence) { e.Metrics.LogLoss, e.Champion.LogLoss = .546, .546 }, "gain"},
		{"too extreme", func(e *Evidence) { e.Metrics.Slope = .79 }, "slope_low"},
		{"too timid", func(e *Evidence) { e.Metrics.Slope = 1.26 }, "slope_high"},
		{"worse calibrated than the champion", func(e *Evidence) { e.Champion.LogLoss = .4779 }, "champion_log_loss"},
		{"worse ranking than the champion", func(e *Evidence) { e.Champion.AUC = .7851 }, "champion_auc"},
		{"old", func(e *Evidence) { e.Now = 125*hourMS + 60*24*hourMS + 1 }, "age"},
		{"slow", func(e *Evidence) { e.ScoreUS = 30.1 }, "latency"},
	}
	tried := map[string]bool{}
	for _, test := range cases {
		e := good()
		champion := *e.Champion
		e.Champion = &champion
		test.do(&e)
		got := Missed(c.Judge(e))
		if !reflect.DeepEqual(got, []string{test.want}) {
			t.Errorf("%s: missed %v, want %s alone", test.name, got, test.want)
		}
		tried[test.want] = true
	}
	for _, r := range all {
		if !tried[r.Gate] {
			t.Errorf("no case misses gate %s", r.Gate)
		}
		if r.Why == "" {
			t.Errorf("gate %s does not say what it is about", r.Gate)
		}
	}
}

// What cannot be measured is a miss, never a pass.
func TestUnmeasuredIsAMiss(t *testing.T) {
	e := good()
	nan := math.NaN()
	e.Metrics = scoring.Metrics{Rows: 5000, Positives: 0, AUC: -1, AUCSE: nan, LogLoss: nan, BaseLogLoss: nan, Slope: nan}
	e.ScoreUS = nan
	want := "classes auc auc_low gain slope_low slope_high champion_log_loss champion_auc latency"
	if got := strings.Join(Missed(Config{}.WithDefaults().Judge(e)), " "); got != want {
		t.Errorf("missed %s, want %s", got, want)
	}
}

func TestWithoutAChampion(t *testing.T) {
	e := good()
	e.Champion, e.NoChampion = nil, "there is no champion yet"
	results := Config{}.WithDefaults().Judge(e)
	said := 0
	for _, r := range results {
		if strings.HasPrefix(r.Gate, "champion") && r.Passed && r.Why == e.NoChampion {
			said++
		}
	}
	if said != 2 || Missed(results) != nil {
		t.Errorf("%+v", results)
	}
}

func TestBoundsThatMakeNoSense(t *testing.T) {
	c := Config{MinAUC: 1.2, SlopeLow: 1.1, WorseAUC: -1, MinRows: -1}.WithDefaults()
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"area under the curve", "leaves out 1", "to be worse", "negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
