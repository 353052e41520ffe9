package churn

import (
	"fmt"
	"math"

	"github.com/droplift/droplift/models/scoring"
)

// Platt fits p = 1/(1+exp(A·raw+B)) on held-out scores, with Platt's targets instead of 1 and 0, which keep few rows from
// saying never and always (DOMAIN 1.5).
func Platt(raw, y []float64) (*scoring.Platt, error) {
	positives, err := calibrationRows(raw, y)
	if err != nil {
		return nil, err
	}
	up, down := PlattTargets(positives, len(y)-positives)
	target := make([]float64, len(y))
	var spread moments
	for i, v := range y {
		target[i] = down
		if v == 1 {
			target[i] = up
		}
		spread.add(raw[i], 1)
	}
	if !spread.varies() {
		return nil, fmt.Errorf("%w: the scores are all the same", ErrNoFit)
	}
	slope, intercept := newton(raw, target, 1, 0)
	return &scoring.Platt{A: -slope, B: -intercept}, nil
}

// PlattTargets are what positives and negatives count as: (N₊+1)/(N₊+2) and 1/(N₋+2).
func PlattTargets(positives, negatives int) (up, down float64) {
	return float64(positives+1) / float64(positives+2), 1 / float64(negatives+2)
}

// MinIsotonic is the number of positives from which steps follow the data and not their noise (DOMAIN 1.5).
const MinIsotonic = 1000

// Isotonic fits a rising step function of the uncalibrated probability p by pooling adjacent violators, on held-out rows.
// Fewer than MinIsotonic positives are refused unless forced.
func Isotonic(p, y []float64, force bool) (*scoring.Isotonic, error) {
	positives, err := calibrationRows(p, y)
	if err != nil {
		return nil, err
	}
	if positives < MinIsotonic && !force {
		return nil, fmt.Errorf("%w: %d positives, isotonic calibration needs %d", ErrTooFew, positives, MinIsotonic)
	}
	// Blocks are groups of rows with one fitted value; a block that does not lie above the one before is pooled with it.
	var blocks []group
	for _, g := range tied(p, y) {
		blocks = append(blocks, g)
		for n := len(blocks); n > 1; n = len(blocks) {
			a, b := &blocks[n-2], &blocks[n-1]
			if a.positives*b.rows < b.positives*a.rows {
				break
			}
			a.rows += b.rows
			a.positives += b.positives
			blocks = blocks[:n-1]
		}
	}
	steps := &scoring.Isotonic{}
	for _, b := range blocks {
		steps.X = append(steps.X, b.p)
		steps.Y = append(steps.Y, b.positives/b.rows)
	}
	return steps, nil
}

func calibrationRows(score, y []float64) (positives int, err error) {
	if len(score) != len(y) {
		return 0, fmt.Errorf("%w: %d scores, %d labels", ErrShape, len(score), len(y))
	}
	for i, v := range y {
		if v != 0 && v != 1 {
			return 0, fmt.Errorf("%w: %v in row %d", ErrLabel, v, i)
		}
		if math.IsNaN(score[i]) || math.IsInf(score[i], 0) {
			return 0, fmt.Errorf("%w: the score of row %d is %v", ErrNotFinite, i, score[i])
		}
		positives += int(v)
	}
	if positives == 0 || positives == len(y) {
		return positives, ErrOneClass
	}
	return positives, nil
}
