package churn

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

const day = int64(24 * 3_600_000)

// visits is a set for tests: how often players came, and how long they stayed, where that is known.
var visits = feature.New(feature.Set{Name: "visits", Version: 1, Key: "player_id", TTLMS: 28 * day, Features: []feature.Feature{
	{Name: "visits", Type: feature.Count, Unit: "visits"},
	{Name: "unused", Type: feature.Real},
	{Name: "minutes", Type: feature.Real, Unit: "min", Nullable: true},
}})

var visitLabel = Label{ActiveMS: 28 * day, EmbargoMS: day / 24, HorizonMS: 14 * day, LatenessMS: day / 24}

// crowd scores every player each week for twelve weeks; the last two have no label yet.
func crowd(players int) []Row {
	rng := rand.New(rand.NewPCG(21, 22))
	var rows []Row
	for player := range players {
		interest := rng.NormFloat64()
		for week := range int64(12) {
			x := []float64{math.Floor(math.Exp(1.5 + interest)), rng.Float64(), 5 + 2*interest + rng.NormFloat64()}
			if rng.Float64() < .3 {
				x[2] = math.NaN()
			}
			row := Row{Player: fmt.Sprintf("p-%d", player), At: 1_000*day + week*7*day, X: x}
			churned := rng.Float64() < scoring.Sigmoid(-.5-interest)
			if visitLabel.Known(row.At, 1_000*day+12*7*day) {
				row.Churned = &churned
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func trainConfig() TrainConfig {
	return TrainConfig{Name: "churn", Set: visits, Names: []string{"minutes", "visits"}, Label: visitLabel, Seed: 7, At: 1_100 * day}
}

func TestTrain(t *testing.T) {
	rows := crowd(1500)
	r, err := Train(rows, trainConfig())
	if err != nil {
		t.Fatal(err)
	}
	var known int64
	for week := range int64(12) {
		if visitLabel.Known(1_000*day+week*7*day, 1_000*day+12*7*day) {
			known++
		}
	}
	if int64(r.Unknown) != (12-known)*1500 || r.Fitted+r.Calibrated+r.Tested+r.Embargoed != int(known)*1500 {
		t.Errorf("the rows went to %+v, labels of %d weeks are known", r, known)
	}
	a := r.Artefact
	last := a.Training.To
	if _, to := visitLabel.Window(last); to > r.TestFrom || r.Embargoed == 0 {
		t.Errorf("the last label of training ends at %d, the test begins at %d; %d rows are embargoed", to, r.TestFrom, r.Embargoed)
	}
	if a.Training.TestFrom != r.TestFrom || a.Training.From != 1_000*day || a.Training.Rows != r.Fitted+r.Calibrated || a.Metrics.Rows != r.Tested {
		t.Errorf("the artefact says %+v", a.Training)
	}
	if share := float64(r.Calibrated) / float64(a.Training.Rows); math.Abs(share-.25) > .03 {
		t.Errorf("%.3f of the players calibrate, a quarter should", share)
	}
	near(t, "slope", a.Metrics.Slope, 1, .15)
	if a.Metrics.AUC < .7 || a.Metrics.LogLoss > a.Metrics.BaseLogLoss-.03 {
		t.Errorf("the model knows nothing: %+v", a.Metrics)
	}
	if want := "churn-19730105T000000-"; !strings.HasPrefix(a.Version, "churn-"+time.UnixMilli(1_100*day).UTC().Format("20060102T150405")+"-") || len(a.Version) != len(want)+8 {
		t.Errorf("the version is %s", a.Version)
	}

	// The artefact opens, and scores whole vectors as the trainer does.
	file, err := scoring.Seal(a, visits)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scoring.Open(file, visits)
	if err != nil {
		t.Fatal(err)
	}
	scratch, at := make([]float64, s.Inputs()), 0
	slices.SortFunc(rows, func(a, b Row) int {
		if a.At != b.At {
			return int(a.At - b.At)
		}
		return strings.Compare(a.Player, b.Player)
	})
	for _, row := range rows {
		if row.Churned == nil || row.At < r.TestFrom {
			continue
		}
		p, err := s.Score(row.X, scratch)
		if err != nil || math.Abs(p-r.P[at]) > 1e-12 {
			t.Fatalf("test row %d scores %v (%v), trained %v", at, p, err, r.P[at])
		}
		at++
	}
}

// The same rows in another order and from another slice give the same bytes.
func TestTrainIsDeterministic(t *testing.T) {
	rows := crowd(300)
	a, err := Train(rows, trainConfig())
	if err != nil {
		t.Fatal(err)
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	b, err := Train(rows, trainConfig())
	if err != nil {
		t.Fatal(err)
	}
	x, err1 := json.Marshal(a.Artefact)
	y, err2 := json.Marshal(b.Artefact)
	if err1 != nil || err2 != nil || string(x) != string(y) {
		t.Errorf("two trainings on the same rows differ (%v, %v)", err1, err2)
	}
	cfg := trainConfig()
	cfg.Seed++
	c, err := Train(rows, cfg)
	if err != nil || c.Artefact.Version == a.Artefact.Version {
		t.Errorf("%v: another seed gives version %s again", err, c.Artefact.Version)
	}
}

// A row whose label looks into the test changes nothing, however telling it is; nor does one without a label.
func TestTrainUsesNoRowAcrossTheSplit(t *testing.T) {
	rows := crowd(300)
	cfg := trainConfig()
	cfg.TestFrom = 1_000*day + 7*7*day
	want, err := Train(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	edge := cfg.TestFrom - visitLabel.HorizonMS - visitLabel.EmbargoMS
	yes := true
	for i := range 200 {
		x := []float64{1e6, 0, 1e6}
		player := fmt.Sprintf("planted-%d", i)
		rows = append(rows, Row{Player: player, At: edge, X: x, Churned: &yes}, Row{Player: player, At: cfg.TestFrom - 1, X: x, Churned: &yes}, Row{Player: player, At: edge - 1, X: x})
	}
	got, err := Train(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Artefact.Linear, want.Artefact.Linear) || !reflect.DeepEqual(got.P, want.P) {
		t.Error("embargoed or unlabelled rows changed the model")
	}
	if got.Embargoed != want.Embargoed+400 || got.Unknown != want.Unknown+200 {
		t.Errorf("%d are embargoed and %d unknown, before %d and %d", got.Embargoed, got.Unknown, want.Embargoed, want.Unknown)
	}
	rows = append(rows, Row{Player: "planted", At: edge - 1, X: []float64{1e6, 0, 1e6}, Churned: &yes})
	if got, err = Train(rows, cfg); err != nil || reflect.DeepEqual(got.Artefact.Linear, want.Artefact.Linear) && reflect.DeepEqual(got.Artefact.Platt, want.Artefact.Platt) {
		t.Errorf("%v: a row on the near side of the embargo changes nothing", err)
	}
}

func TestTrainByStepsNeedsPositives(t *testing.T) {
	cfg := trainConfig()
	cfg.Isotonic = true
	few, err := Train(crowd(300), cfg)
	if err != nil || few.Artefact.Platt == nil || few.Artefact.Isotonic != nil {
		t.Errorf("%v: with few positives the calibration is %+v", err, few.Artefact.Isotonic)
	}
	many, err := Train(crowd(3000), cfg)
	if err != nil || many.Artefact.Platt != nil || many.Artefact.Isotonic == nil {
		t.Fatalf("%v: with many positives the calibration is %+v", err, many.Artefact.Platt)
	}
	if _, err := scoring.Seal(many.Artefact, visits); err != nil {
		t.Error(err)
	}
}

func TestTrainRefuses(t *testing.T) {
	yes := true
	for name, bad := range map[string]struct {
		change func(*TrainConfig)
		rows   func([]Row) []Row
		want   error
	}{
		"nothing":           {rows: func([]Row) []Row { return nil }, want: ErrTooFew},
		"no row to fit":     {change: func(c *TrainConfig) { c.TestFrom = 1_000*day + 14*day }, want: ErrTooFew},
		"no row to test":    {change: func(c *TrainConfig) { c.TestFrom = 2_000 * day }, want: ErrTooFew},
		"an infinite value": {rows: func(r []Row) []Row { r[0].X[0] = math.Inf(1); return r }, want: feature.ErrNotFinite},
		"a missing count":   {rows: func(r []Row) []Row { r[0].X[0] = math.NaN(); return r }, want: feature.ErrNotFinite},
		"a short vector":    {rows: func(r []Row) []Row { r[0].X = r[0].X[:2]; return r }, want: feature.ErrLength},
		"one class": {rows: func(r []Row) []Row {
			for i := range r {
				if r[i].Churned != nil {
					r[i].Churned = &yes
				}
			}
			return r
		}, want: ErrOneClass},
		"an unknown feature": {change: func(c *TrainConfig) { c.Names = []string{"shoe_size"} }},
		"the same row twice": {rows: func(r []Row) []Row { return append(r, r[0]) }},
		"no horizon":         {change: func(c *TrainConfig) { c.Label.HorizonMS = 0 }},
		"no name":            {change: func(c *TrainConfig) { c.Name = "" }},
		"no share":           {change: func(c *TrainConfig) { c.TestShare = 1 }},
		"one bin":            {change: func(c *TrainConfig) { c.Bins = 1 }},
	} {
		cfg, rows := trainConfig(), crowd(50)
		if bad.change != nil {
			bad.change(&cfg)
		}
		if bad.rows != nil {
			rows = bad.rows(rows)
		}
		if _, err := Train(rows, cfg); err == nil || bad.want != nil && !errors.Is(err, bad.want) {
			t.Errorf("%s: %v, want %v", name, err, bad.want)
		}
	}
}

func TestLabel(t *testing.T) {
	l := Label{EmbargoMS: 10, HorizonMS: 100, LatenessMS: 5}
	if from, to := l.Window(1000); from != 1010 || to != 1110 {
		t.Errorf("the window is [%d, %d)", from, to)
	}
	if l.Known(1000, 1114) || !l.Known(1000, 1115) {
		t.Error("a label is known when watermark ≥ t0 + δ + N + lateness, and not before")
	}
	if l.Trains(890, 1000) || !l.Trains(889, 1000) {
		t.Error("training ends where t0 < test − N − δ does")
	}
}

// Online learning starts where the batch model stopped, and follows when the world changes.
func TestOnline(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	d, _ := logistic(rng, 5000)
	base, _, err := Fit(d, FitConfig{})
	if err != nil {
		t.Fatal(err)
	}
	f := must[*FTRL](t)(NewFTRL(5, .02, 1, 0, 0))
	o := must[*Online](t)(NewOnline(base, f))
	for _, x := range d.X[:100] {
		near(t, "p at the start", must[float64](t)(o.Predict(x)), scoring.Sigmoid(Raw(base, x)), 1e-12)
		near(t, "raw at the start", Raw(o.Linear(), x), Raw(base, x), 1e-12)
	}
	// From now on the second feature works the other way round.
	draw := func() ([]float64, float64, float64) {
		x := []float64{3 + 2*rng.NormFloat64(), 10 * rng.NormFloat64()}
		p := scoring.Sigmoid(-1 + .8*(x[0]-3)/2 + .5*x[1]/10)
		if rng.Float64() < p {
			return x, p, 1
		}
		return x, p, 0
	}
	for range 60_000 {
		x, _, y := draw()
		must[float64](t)(o.Update(x, y, 1))
	}
	learned := o.Linear()
	near(t, "weight of b", learned.Weights[1], .5, .1)
	var own, known, before float64
	for range 5000 {
		x, p, y := draw()
		q := must[float64](t)(o.Predict(x))
		near(t, "p of the linear copy", scoring.Sigmoid(Raw(learned, x)), q, 1e-9)
		own, known, before = own+LogLoss(q, y), known+LogLoss(p, y), before+LogLoss(scoring.Sigmoid(Raw(base, x)), y)
	}
	if own > known*1.01 || before < known*1.1 {
		t.Errorf("log loss %v learned, %v of the batch model, %v of the truth", own/5000, before/5000, known/5000)
	}

	// The state goes through JSON unchanged.
	file, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back Online
	if err := json.Unmarshal(file, &back); err != nil || back.Validate() != nil {
		t.Fatal(err, back.Validate())
	}
	x, _, y := draw()
	p, q := must[float64](t)(o.Update(x, y, 1)), must[float64](t)(back.Update(x, y, 1))
	if p != q || !slices.Equal(o.FTRL.Z, back.FTRL.Z) || !slices.Equal(o.FTRL.N, back.FTRL.N) {
		t.Error("a restored learner learns something else")
	}
	if _, err := o.Update([]float64{1}, 1, 1); !errors.Is(err, ErrShape) {
		t.Errorf("a short row: %v", err)
	}
	if _, err := o.Update([]float64{math.Inf(1), 1}, 1, 1); !errors.Is(err, ErrNotFinite) {
		t.Errorf("an infinite feature: %v", err)
	}
	if _, err := NewOnline(base, must[*FTRL](t)(NewFTRL(3, .1, 1, 0, 0))); !errors.Is(err, ErrShape) {
		t.Errorf("a learner of another size: %v", err)
	}
}

// A calibrating player's labels move the calibration and not the fit; another player's move the fit.
func TestTrainCalibratesOnOtherPlayers(t *testing.T) {
	cfg := trainConfig()
	want, err := Train(crowd(300), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, calibrating := range []bool{true, false} {
		rows, changed := crowd(300), 0
		for i := range rows {
			if row := &rows[i]; row.Churned != nil && (part(row.Player, cfg.Seed) < .25) == calibrating {
				row.Churned = new(bool)
				*row.Churned = i%2 == 0
				changed++
			}
		}
		got, err := Train(rows, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if same := reflect.DeepEqual(got.Artefact.Linear, want.Artefact.Linear); same != calibrating {
			t.Errorf("%d labels of players who calibrate (%v) changed: the fit is the same: %v", changed, calibrating, same)
		}
		if *got.Artefact.Platt == *want.Artefact.Platt {
			t.Errorf("%d labels of players who calibrate (%v) changed, the calibration did not", changed, calibrating)
		}
	}
}

// Learning row by row ends near the fit of all rows at once, and says so in the artefact.
func TestTrainRowByRow(t *testing.T) {
	rows, cfg := crowd(1500), trainConfig()
	whole, err := Train(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.FTRL = &FTRLConfig{}
	r, err := Train(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := r.Artefact
	if a.Kind != "ftrl" || a.Training.Updates != uint64(r.Fitted) || a.Training.Trainer == whole.Artefact.Training.Trainer || a.Version == whole.Artefact.Version {
		t.Errorf("the artefact says %s, %+v", a.Kind, a.Training)
	}
	near(t, "AUC", a.Metrics.AUC, whole.Artefact.Metrics.AUC, .005)
	near(t, "log loss", a.Metrics.LogLoss, whole.Artefact.Metrics.LogLoss, .005)
	if _, err := scoring.Seal(a, visits); err != nil {
		t.Error(err)
	}
	if again, err := Train(rows, cfg); err != nil || again.Artefact.Version != a.Version {
		t.Errorf("the same rows give %v, %v", again, err)
	}
	cfg.FTRL = &FTRLConfig{Beta: -1, L2: -1}
	if _, err := Train(rows, cfg); err == nil {
		t.Error("a learning rate without a bound is accepted")
	}
}
