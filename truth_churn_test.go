package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	models "github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/drift"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
)

// churnCrowd is a run of many players whose rates differ, who join all the time, and of few other events. Its main drop opens when the
// last label that is used has ended.
func churnCrowd(seed uint64, players int) simulate.Scenario {
	s := liftCrowd(seed, players, simulate.Effects{RateLog: 0.9})
	s.HistoryMS, s.AfterMS = 280*dayMS, dayMS
	s.Behaviour.SessionsPerDay = 0.1
	s.Behaviour.Joining, s.Behaviour.Newcomers = 1, 0
	s.Faults = simulate.Faults{Duplicate: 0.01, OutOfOrder: 0.02, LateWithin: 0.005}
	return s
}

var churnLabel = models.Label{ActiveMS: 28 * dayMS, EmbargoMS: 600_000, HorizonMS: 14 * dayMS, LatenessMS: 600_000}

// churnHistory is what the processor published and what players did, read in the order of the log.
type churnHistory struct {
	rows    []models.Row
	starts  map[string][]int64 // accepted session starts
	watched int                // labels that were looked at between their score and the end of the run
}

// label is the one at a watermark: nil until it is known.
func (h *churnHistory) label(player string, t0, watermark int64) *bool {
	if !churnLabel.Known(t0, watermark) {
		return nil
	}
	from, to := churnLabel.Window(t0)
	churned := !slices.ContainsFunc(h.starts[player], func(at int64) bool { return from <= at && at < to })
	return &churned
}

// readChurn plays a run into the processor, and scores at every t0 the players who were active: with what had been published by
// then, of events that had happened by then. Labels are as of the end of the run. A label that becomes known on the way may not
// change any more.
func readChurn(t *testing.T, g *simulate.Generator, times []int64) *churnHistory {
	t.Helper()
	drops := dropsOf{}
	partition := processors.NewPartition(0, processors.Config{Inputs: stageInputs}, drops, []processors.Rule{churn.New(churn.Config{PublishEvery: 1})})
	caughtUp := slices.Repeat([]bool{true}, len(stageInputs))
	h := &churnHistory{starts: map[string][]int64{}}
	latest := map[string]*event.Features{}
	var d event.Decoder
	var ev event.Event
	flush := func(now int64) {
		for _, m := range partition.Flush(now, caughtUp) {
			if m.Kind != event.KindFeatures {
				continue
			}
			f := &event.Features{}
			if err := d.Features(m.Value, f); err != nil {
				t.Fatal(err)
			}
			f.PlayerID, f.SpendCurrency = strings.Clone(f.PlayerID), strings.Clone(f.SpendCurrency)
			latest[f.PlayerID] = f
		}
		partition.Changes(func(string, []byte) {})
		partition.Commit()
	}
	type early struct {
		row     int
		churned bool
	}
	var known []early
	waiting := 0 // rows before this one have a known label or were looked at
	next, pending := 0, 0
	var r simulate.Record
	for more := true; more; {
		if more = g.Next(&r); !more {
			r.At = math.MaxInt64
		}
		for next < len(times) && r.At >= times[next] {
			t0 := times[next]
			flush(t0)
			for player, f := range latest {
				active := slices.ContainsFunc(h.starts[player], func(at int64) bool { return t0-churnLabel.ActiveMS <= at && at < t0 })
				if active && f.AsOf <= t0 {
					h.rows = append(h.rows, models.Row{Player: player, At: t0, X: f.Vector(t0, nil)})
				}
			}
			next++
		}
		if !more {
			break
		}
		if r.Kind == event.KindDrop {
			if err := d.Decode(r.Kind, r.Value, &ev); err == nil {
				drop := ev.Clone().Drop
				drops[strings.Clone(ev.DropID)] = &drop
			}
			continue
		}
		if partition.Process(event.Record{Kind: r.Kind, Timestamp: r.At, Key: r.Key, Value: r.Value}) == event.Accepted && r.Kind == event.KindPlayer {
			if err := d.Decode(r.Kind, r.Value, &ev); err == nil && ev.Type == event.SessionStart {
				player := strings.Clone(ev.PlayerID)
				h.starts[player] = append(h.starts[player], ev.EventTime)
			}
		}
		if pending++; pending == 10_000 {
			pending = 0
			flush(r.At)
			for watermark := partition.Stats().Watermark; waiting < len(h.rows); waiting++ {
				churned := h.label(h.rows[waiting].Player, h.rows[waiting].At, watermark)
				if churned == nil {
					break
				}
				known = append(known, early{waiting, *churned})
			}
		}
	}
	flush(r.At)
	watermark := partition.Stats().Watermark
	for i := range h.rows {
		h.rows[i].Churned = h.label(h.rows[i].Player, h.rows[i].At, watermark)
	}
	for _, k := range known {
		if *h.rows[k.row].Churned != k.churned {
			t.Fatalf("the label of %s at %d was %v when it was known, and changed", h.rows[k.row].Player, h.rows[k.row].At, k.churned)
		}
	}
	h.watched = len(known)
	return h
}

// bestGuess is what the best reader of a quiet run's sessions can say of churn. All that they tell of the player's rate
// λ = base·exp(spread·z), z standard normal, is when the first was and how many followed until t0: who joins at a uniform time has the
// first one at τ with density ∝ 1−e^{−λτ}, and k more in T days with λ^k·e^{−λT}. The guess is the mean of e^{−λ·ahead} over that.
func bestGuess(s simulate.Scenario, tau float64, more int, days, ahead float64) float64 {
	const step = 0.02
	rate := func(z float64) float64 { return s.Behaviour.SessionsPerDay * math.Exp(s.Effects.RateLog*z) }
	density := func(z float64) float64 {
		lambda := rate(z)
		return float64(more)*math.Log(lambda) - lambda*days + math.Log(-math.Expm1(-lambda*tau)) - z*z/2
	}
	shift := math.Inf(-1)
	for z := -6.0; z <= 6; z += step {
		shift = max(shift, density(z))
	}
	var above, below float64
	for z := -6.0; z <= 6; z += step {
		w := math.Exp(density(z) - shift)
		below += w
		above += w * math.Exp(-rate(z)*ahead)
	}
	return above / below
}

// churnTruth is a model trained on a run, with what its test rows really hold.
type churnTruth struct {
	s       simulate.Scenario
	begin   int64
	cfg     models.TrainConfig
	history *churnHistory
	result  *models.Result
	hazards map[int64]map[string]float64 // by scoring time and player
	// tested are the test's rows in order, oracle their hazards.
	tested []models.Row
	oracle []float64
}

// trainOnRun trains with the named features (nil: all) on the rows of the given times (days after the run's begin) and tests from testFrom (days) on. It fails where a
// label is known too early, or an unknown one used.
func trainOnRun(t *testing.T, s simulate.Scenario, names []string, days []int64, testFrom int64) *churnTruth {
	t.Helper()
	g, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	s = g.Scenario()
	c := &churnTruth{s: s, begin: s.StartMS - s.HistoryMS, hazards: map[int64]map[string]float64{}}
	var times []int64
	for _, day := range days {
		times = append(times, c.begin+day*dayMS)
	}
	c.history = readChurn(t, g, times)
	c.cfg = models.TrainConfig{
		Name: "churn", Set: feature.Player, Names: names, Label: churnLabel, Seed: s.Seed, At: s.StartMS, TestFrom: c.begin + testFrom*dayMS,
	}
	if c.result, err = models.Train(c.history.rows, c.cfg); err != nil {
		t.Fatal(err)
	}
	r := c.result

	// Labels that the run's end leaves open are null and used for nothing.
	unknown, last := 0, s.StartMS+s.DropMS+s.AfterMS
	for _, row := range c.history.rows {
		_, to := churnLabel.Window(row.At)
		if open := to+churnLabel.LatenessMS > last; open != (row.Churned == nil) {
			// The watermark lies a little behind the last event.
			if row.Churned != nil || last-to > 3*3_600_000 {
				t.Fatalf("a label that ends at %d is %v at the run's end, %d", to, row.Churned, last)
			}
		}
		if row.Churned == nil {
			unknown++
		}
	}
	if r.Unknown != unknown || unknown == 0 || c.history.watched == 0 {
		t.Errorf("%d labels are unknown, %d are reported, %d were watched", unknown, r.Unknown, c.history.watched)
	}

	slices.SortFunc(c.history.rows, func(a, b models.Row) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Player, b.Player))
	})
	var y []float64
	for _, row := range c.history.rows {
		if row.At < r.TestFrom || row.Churned == nil {
			continue
		}
		if c.hazards[row.At] == nil {
			if c.hazards[row.At], err = g.Away(churnLabel.Window(row.At)); err != nil {
				t.Fatal(err)
			}
		}
		c.tested = append(c.tested, row)
		c.oracle = append(c.oracle, c.hazards[row.At][row.Player])
		y = append(y, one(*row.Churned))
	}
	if !slices.Equal(y, r.Y) {
		t.Fatal("the test's rows are in another order")
	}
	t.Logf("seed %d: %d rows to fit, %d to calibrate, %d to test, %d embargoed, %d unknown; %d steps", s.Seed, r.Fitted, r.Calibrated, r.Tested, r.Embargoed, r.Unknown, r.Fit.Iterations)
	return c
}

// judge evaluates probabilities of the test's rows.
func (c *churnTruth) judge(t *testing.T, what string, p []float64) scoring.Metrics {
	m := must(models.Evaluate(p, c.result.Y, 10))
	t.Logf("%-10s AUC %.4f ± %.4f, log loss %.4f, Brier %.4f, ECE %.4f, slope %.3f, intercept %+.3f", what, m.AUC, m.AUCSE, m.LogLoss, m.Brier, m.ECE, m.Slope, m.Intercept)
	return m
}

// A churn model learned from published features against the hazard that the simulator drew from. Three answers are held against the
// same labels: the model's; the best guess that anyone can make from the sessions before t0; and the hazard itself, which
// knows the player's rate. The model must come close to the best guess; the distance from there to the hazard is what no
// feature can tell.
func TestTruthOfChurn(t *testing.T) {
	var weeks []int64
	for day := int64(171); day < 280; day += 7 {
		weeks = append(weeks, day)
	}
	c := trainOnRun(t, churnCrowd(51, 4000), nil, weeks, 241)
	h, r := c.history, c.result
	days := func(ms int64) float64 { return float64(ms) / float64(dayMS) }
	var best []float64
	for _, row := range c.tested {
		from, to := churnLabel.Window(row.At)
		if to > c.s.StartMS {
			t.Fatalf("the label of %d looks into the main drop", row.At)
		}
		first, sessions := int64(math.MaxInt64), 0
		for _, at := range h.starts[row.Player] {
			if at < row.At {
				first, sessions = min(first, at), sessions+1
			}
		}
		best = append(best, bestGuess(c.s, days(first-c.begin), sessions-1, days(row.At-first), days(to-from)))
	}
	model, guess, hazard := c.judge(t, "model", r.P), c.judge(t, "best guess", best), c.judge(t, "hazard", c.oracle)

	// The hazard is the truth: nobody beats it, and it is calibrated. Three scores of a player share part of their labels' windows, so
	// errors are wider than of rows that know nothing of each other: twice is more than enough.
	if hazard.AUC <= guess.AUC || hazard.LogLoss >= guess.LogLoss || math.Abs(hazard.Slope-1) > 0.1 {
		t.Errorf("the hazard is not the truth: %+v", hazard)
	}
	if math.Abs(guess.Slope-1) > 0.1 {
		t.Errorf("the best guess is none: %+v", guess)
	}
	// The margins, of what anyone can say: .015 of AUC, 3 % of the log loss. A line through logarithms of counts is not that mean over rates.
	if model.AUC < guess.AUC-0.015 {
		t.Errorf("the model's AUC is %.4f ± %.4f, the best guess's %.4f", model.AUC, model.AUCSE, guess.AUC)
	}
	if model.LogLoss > 1.03*guess.LogLoss {
		t.Errorf("the model's log loss is %.4f, the best guess's %.4f", model.LogLoss, guess.LogLoss)
	}
	// The hazard's own line is off by chance alone: the windows of four weeks overlap, so their luck is common.
	if math.Abs(model.Slope-hazard.Slope) > 0.1 || math.Abs(model.Intercept-hazard.Intercept) > 0.1 {
		t.Errorf("the model's calibration line is %.3f·x %+.3f", model.Slope, model.Intercept)
	}
	if model.BaseLogLoss-model.LogLoss < 0.05 {
		t.Errorf("the model says little more than the base rate: %.4f against %.4f", model.LogLoss, model.BaseLogLoss)
	}
	if model.AUC > hazard.AUC {
		t.Errorf("the model's AUC of %.4f is better than the truth's %.4f: it has seen what it could not", model.AUC, hazard.AUC)
	}

	// That last bound catches a leak: the same rows with the features of a week later.
	later := map[string][]float64{}
	key := func(player string, at int64) string { return fmt.Sprint(player, at) }
	for _, row := range h.rows {
		later[key(row.Player, row.At)] = row.X
	}
	var leaky []models.Row
	var bound []float64
	for _, row := range h.rows {
		x := later[key(row.Player, row.At+7*dayMS)]
		if x == nil {
			continue
		}
		if row.At >= r.TestFrom && row.Churned != nil {
			bound = append(bound, c.hazards[row.At][row.Player])
		}
		row.X = x
		leaky = append(leaky, row)
	}
	leaked, err := models.Train(leaky, c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	truth := must(models.Evaluate(bound, leaked.Y, 10))
	t.Logf("features of a week later: AUC %.4f, the hazard's %.4f", leaked.Artefact.Metrics.AUC, truth.AUC)
	if leaked.Artefact.Metrics.AUC < truth.AUC+3*truth.AUCSE {
		t.Errorf("a leak goes unseen: AUC %.4f, the hazard's %.4f ± %.4f", leaked.Artefact.Metrics.AUC, truth.AUC, truth.AUCSE)
	}

	// What edges get: the sealed artefact scores every test row as the trainer did.
	file, err := scoring.Seal(r.Artefact, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := scoring.Open(file, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	scratch := make([]float64, scorer.Inputs())
	calibration := drift.NewCalibration(7 * dayMS)
	for i, row := range c.tested {
		p, err := scorer.Score(row.X, scratch)
		if err != nil || math.Abs(p-r.P[i]) > 1e-9 {
			t.Fatalf("row %d scores %v (%v), trained %v", i, p, err, r.P[i])
		}
		if err := calibration.Add(row.At, p, *row.Churned); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range calibration.Windows() {
		t.Logf("week of %d: %d scores, said %.4f, came %.4f in [%.4f, %.4f], Z %+.2f", w.From, w.N, w.MeanP, w.Observed, w.Low, w.High, w.Z)
		if math.Abs(w.Z) > 4 {
			t.Errorf("the week of %d is off: %+v", w.From, w)
		}
	}
}

// The same with a drop of two days by one creator every three weeks that a third of the players visit, that followers come back for, and that
// buyers return after. Everyone is there from the begin and is scored three days before each drop, without the features that grow with
// the calendar then: a model would have to guess what a tenure means that nobody had in training. The hazard knows each
// player's rate and creator, which four weeks of sessions only hint at: .07 of AUC and 12 % of the log loss.
func TestTruthOfChurnAcrossDrops(t *testing.T) {
	s := churnCrowd(52, 4000)
	s.Effects = simulate.Effects{RateLog: 0.9, BuyLogit: 0.5, CreatorUplift: 0.4, Retention: 0.2}
	s.Behaviour.Joining = 0
	s.HistoryMS = 294 * dayMS
	s.Behaviour.Reach = 0.3
	var scored []int64
	for before := s.HistoryMS - 21*dayMS; before > 0; before -= 21 * dayMS {
		s.Earlier = append(s.Earlier, simulate.EarlierDrop{Creator: 1, BeforeMS: before, DropMS: 2 * dayMS, Reach: 0.3})
		if day := (s.HistoryMS-before)/dayMS - 3; day >= 120 {
			scored = append(scored, day)
		}
	}
	scored = append(scored, s.HistoryMS/dayMS-3) // unknown at the end
	stationary := slices.DeleteFunc(feature.Player.Names(), func(name string) bool {
		return name == "sessions_total" || name == "tenure_s" || name == "active_span_s" || name == "foreign_checkouts"
	})
	c := trainOnRun(t, s, stationary, scored, 228)
	model, hazard := c.judge(t, "model", c.result.P), c.judge(t, "hazard", c.oracle)
	if len(c.hazards) < 2 || math.Abs(hazard.Slope-1) > 0.1 {
		t.Errorf("the hazard of %d times is not the truth: %+v", len(c.hazards), hazard)
	}
	if model.AUC > hazard.AUC || model.AUC < hazard.AUC-0.07 {
		t.Errorf("the model's AUC is %.4f ± %.4f, the hazard's %.4f", model.AUC, model.AUCSE, hazard.AUC)
	}
	if model.LogLoss < hazard.LogLoss || model.LogLoss > 1.12*hazard.LogLoss {
		t.Errorf("the model's log loss is %.4f, the hazard's %.4f", model.LogLoss, hazard.LogLoss)
	}
	if math.Abs(model.Slope-hazard.Slope) > 0.15 || math.Abs(model.Intercept-hazard.Intercept) > 0.2 {
		t.Errorf("the model's calibration line is %.3f·x %+.3f, the hazard's %.3f·x %+.3f", model.Slope, model.Intercept, hazard.Slope, hazard.Intercept)
	}
}
