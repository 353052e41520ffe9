package drift

import (
	"fmt"
	"math"
	"slices"

	"github.com/droplift/droplift/models/stats"
)

// Calibration follows scores and what came of them over windows of score time. It adds up row by row.
type Calibration struct {
	width   int64
	windows map[int64]*sums
}

type sums struct {
	n, positives         uint64
	p, variance, logLoss float64
}

// NewCalibration has windows of width ms, aligned to multiples of it.
func NewCalibration(width int64) *Calibration {
	return &Calibration{width: width, windows: map[int64]*sums{}}
}

// Add takes a score of time at (Unix ms) whose label is known.
func (c *Calibration) Add(at int64, p float64, churned bool) error {
	if !(p >= 0 && p <= 1) {
		return fmt.Errorf("drift: %v is not a probability", p)
	}
	start := at - ((at%c.width)+c.width)%c.width
	w := c.windows[start]
	if w == nil {
		w = &sums{}
		c.windows[start] = w
	}
	w.n++
	w.p += p
	w.variance += p * (1 - p)
	q := 1 - p
	if churned {
		w.positives++
		q = p
	}
	w.logLoss -= math.Log(max(1e-6, min(1-1e-6, q)))
	return nil
}

// Window is the calibration of the scores of [From, To).
type Window struct {
	From, To     int64
	N, Positives uint64
	// MeanP is what was said, Observed what came, Low and High its Wilson interval of 95 %.
	MeanP, Observed, Low, High float64
	LogLoss                    float64
	// Z is how many standard deviations Observed lies above MeanP if every score is right: (Σy − Σp)/√Σp(1−p). Over many
	// windows it is standard normal. 0 where the scores leave no chance.
	Z float64
	// Off says that MeanP lies outside the interval.
	Off bool
}

// Windows in the order of time. Those without a score are left out.
func (c *Calibration) Windows() []Window {
	windows := make([]Window, 0, len(c.windows))
	for from, s := range c.windows {
		n := float64(s.n)
		w := Window{
			From: from, To: from + c.width, N: s.n, Positives: s.positives,
			MeanP: s.p / n, Observed: float64(s.positives) / n, LogLoss: s.logLoss / n,
		}
		w.Low, w.High = stats.Wilson(s.positives, s.n, stats.Z95)
		w.Off = w.MeanP < w.Low || w.MeanP > w.High
		if s.variance > 0 {
			w.Z = (float64(s.positives) - s.p) / math.Sqrt(s.variance)
		}
		windows = append(windows, w)
	}
	slices.SortFunc(windows, func(a, b Window) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	return windows
}
