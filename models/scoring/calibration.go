package scoring

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Platt calibrates: p = 1/(1+exp(A·raw+B)) (DOMAIN 1.5).
type Platt struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

// Isotonic calibrates by a rising step function of the uncalibrated probability: Y[i] for X[i] ≤ p < X[i+1],
// Y[0] below X[0].
type Isotonic struct {
	X []float64 `json:"x"`
	Y []float64 `json:"y"`
}

func (c *Isotonic) validate() error {
	if len(c.X) == 0 || len(c.X) != len(c.Y) {
		return fmt.Errorf("isotonic calibration has %d and %d points", len(c.X), len(c.Y))
	}
	for i := range c.X {
		if !(c.Y[i] >= 0 && c.Y[i] <= 1) || i > 0 && !(c.X[i] > c.X[i-1] && c.Y[i] >= c.Y[i-1]) {
			return fmt.Errorf("isotonic calibration does not rise at point %d", i)
		}
	}
	return nil
}

// Probability of a raw score.
func (c *Platt) Probability(raw float64) float64 { return Sigmoid(-(c.A*raw + c.B)) }

// Probability of a raw score: the step of its uncalibrated probability.
func (c *Isotonic) Probability(raw float64) float64 { return c.calibrate(Sigmoid(raw)) }

func (c *Isotonic) calibrate(p float64) float64 {
	// The last point at or below p, which is the first one above p less one.
	i, _ := slices.BinarySearch(c.X, math.Nextafter(p, 2))
	return c.Y[max(i-1, 0)]
}

// calibration is the way from raw score to probability.
func calibration(a *Artefact) (func(raw float64) float64, error) {
	switch {
	case a.Platt != nil && a.Isotonic != nil:
		return nil, errors.New("it has two calibrations")
	case a.Platt != nil:
		platt := *a.Platt
		return platt.Probability, nil
	case a.Isotonic != nil:
		steps := *a.Isotonic
		return steps.Probability, steps.validate()
	}
	return Sigmoid, nil
}
