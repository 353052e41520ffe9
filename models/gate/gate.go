// Package gate judges whether a model may answer: it holds what was measured of it on labelled rows that it has not
// seen against bounds, and names every gate with its value, whether it was passed or not. Nothing overrules a gate;
// who means another bound says so in the configuration, where it is seen.
package gate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/stats"
)

// Config are the bounds. 0 stands for the default, which is a choice of ours.
type Config struct {
	// MinAUC is the least area under the curve, default .65; MinAUCLow the least lower 95 % bound of it, default .6.
	MinAUC    float64
	MinAUCLow float64
	// MinGain is by how much the log loss must lie below that of always saying the training set's base rate, in nats a row; default .005.
	MinGain float64
	// SlopeLow and SlopeHigh bound the calibration slope; defaults .8 and 1.25.
	SlopeLow  float64
	SlopeHigh float64
	// MinRows is the least number of rows, default 1000, and MinEach that of rows of either class, default 100.
	MinRows int
	MinEach int
	// WorseLogLoss and WorseAUC are by how much the model may be worse than the champion on the same rows; defaults .002 nats and .005.
	WorseLogLoss float64
	WorseAUC     float64
	// MaxAgeMS is how long ago the newest training row's label may have ended (ms), default 60 days.
	MaxAgeMS int64
	// MaxScoreUS is the longest mean time of one score in µs; default 30.
	MaxScoreUS float64
}

// WithDefaults fills in the defaults.
func (c Config) WithDefaults() Config {
	or := func(v *float64, otherwise float64) {
		if *v == 0 {
			*v = otherwise
		}
	}
	or(&c.MinAUC, .65)
	or(&c.MinAUCLow, .6)
	or(&c.MinGain, .005)
	or(&c.SlopeLow, .8)
	or(&c.SlopeHigh, 1.25)
	or(&c.WorseLogLoss, .002)
	or(&c.WorseAUC, .005)
	or(&c.MaxScoreUS, 30)
	if c.MinRows == 0 {
		c.MinRows = 1000
	}
	if c.MinEach == 0 {
		c.MinEach = 100
	}
	if c.MaxAgeMS == 0 {
		c.MaxAgeMS = 60 * 24 * time.Hour.Milliseconds()
	}
	return c
}

// Validate reports every bound that makes no sense.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("gate: "+format, args...))
	}
	if !(c.MinAUC <= 1) || !(c.MinAUCLow <= 1) {
		bad("an area under the curve of at least %v, and %v for its lower bound, cannot be reached", c.MinAUC, c.MinAUCLow)
	}
	if !(c.SlopeLow <= 1 && c.SlopeHigh >= 1) {
		bad("a calibration slope from %v to %v leaves out 1, which is perfect", c.SlopeLow, c.SlopeHigh)
	}
	if math.IsNaN(c.MinGain) || !(c.WorseLogLoss >= 0) || !(c.WorseAUC >= 0) {
		bad("a gain of %v, or to be worse by %v nats or an area of %v, is no bound", c.MinGain, c.WorseLogLoss, c.WorseAUC)
	}
	if c.MinRows < 0 || c.MinEach < 0 || c.MaxAgeMS < 0 || !(c.MaxScoreUS >= 0) {
		bad("rows, age and time must not be negative")
	}
	return errors.Join(problems...)
}

// Evidence is what is known of a model that is to answer.
type Evidence struct {
	// Metrics on labelled rows, Champion the present champion's on the same ones: nil where none can score them, and NoChampion says why.
	Metrics    scoring.Metrics
	Champion   *scoring.Metrics
	NoChampion string
	// FeatureHash is the model's, CurrentHash that of the vectors which are scored.
	FeatureHash string
	CurrentHash string
	// Training is the artefact's.
	Training scoring.Training
	// RowsFrom is the earliest scoring time among the rows, and Now the time by which the model's age counts (Unix ms).
	RowsFrom int64
	Now      int64
	// ScoreUS is the mean time of one score in µs.
	ScoreUS float64
}

// Result is what one gate says. Value and Bound are in the gate's own unit; a yes or no is 1 or 0.
type Result struct {
	Gate   string  `json:"gate"`
	Value  float64 `json:"value"`
	Bound  float64 `json:"bound"`
	Passed bool    `json:"passed"`
	Why    string  `json:"why"`
}

const (
	day  = float64(24 * time.Hour / time.Millisecond)
	hour = float64(time.Hour / time.Millisecond)
)

// Judge holds the evidence against every bound, in a fixed order. What cannot be measured is not passed: a NaN, an area of −1.
func (c Config) Judge(e Evidence) []Result {
	m, t := e.Metrics, e.Training
	var results []Result
	// Written so that a NaN on either side misses.
	least := func(name string, value, bound float64, why string) {
		results = append(results, Result{name, value, bound, value >= bound, why})
	}
	most := func(name string, value, bound float64, why string) {
		results = append(results, Result{name, value, bound, value <= bound, why})
	}

	same := 0.0
	if e.FeatureHash == e.CurrentHash && e.CurrentHash != "" {
		same = 1
	}
	least("features", same, 1, "trained on the features that are scored")
	least("rows", float64(m.Rows), float64(c.MinRows), "labelled rows that it is judged by")
	least("classes", float64(min(m.Positives, m.Rows-m.Positives)), float64(c.MinEach), "rows of the rarer outcome")
	gap := float64(e.RowsFrom - t.To - t.EmbargoMS - t.HorizonMS)
	least("held_out", gap/hour, 0, "hours between the end of the newest training label and the first of these rows")
	least("auc", m.AUC, c.MinAUC, "area under the curve")
	least("auc_low", m.AUC-stats.Z95*m.AUCSE, c.MinAUCLow, "its lower 95 % bound")
	least("gain", m.BaseLogLoss-m.LogLoss, c.MinGain, "nats a row below always saying the base rate")
	least("slope_low", m.Slope, c.SlopeLow, "calibration slope: below it the scores are too extreme")
	most("slope_high", m.Slope, c.SlopeHigh, "calibration slope: above it the scores are too timid")
	if e.Champion == nil {
		results = append(results, Result{"champion_log_loss", 0, c.WorseLogLoss, true, e.NoChampion}, Result{"champion_auc", 0, c.WorseAUC, true, e.NoChampion})
	} else {
		most("champion_log_loss", m.LogLoss-e.Champion.LogLoss, c.WorseLogLoss, "nats a row above the champion's on the same rows")
		most("champion_auc", e.Champion.AUC-m.AUC, c.WorseAUC, "area below the champion's on the same rows")
	}
	age := float64(e.Now - t.To - t.EmbargoMS - t.HorizonMS)
	most("age", age/day, float64(c.MaxAgeMS)/day, "days since the newest training label ended")
	most("latency", e.ScoreUS, c.MaxScoreUS, "µs for one score")
	return results
}

// Missed are the names of the gates that were not passed.
func Missed(results []Result) []string {
	var names []string
	for _, r := range results {
		if !r.Passed {
			names = append(names, r.Gate)
		}
	}
	return names
}
