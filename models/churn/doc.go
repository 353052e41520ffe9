// Package churn trains and judges churn models (DOMAIN 1.2, 1.4, 1.5): logistic
// regression by L-BFGS, FTRL-proximal for labels that arrive one by one, Platt's
// and isotonic calibration, and the metrics that gates look at. What it makes is
// scored by models/scoring. It is pure maths: time is an argument, the same
// input gives the same model.
//
// The order of a training run is that of Train: rows with a scoring time and a known
// label, split by time with an embargo, a fit, a calibration on players whom the
// fit has not seen, metrics on later rows, and an artefact with golden rows.
package churn

import (
	"errors"
	"fmt"
	"math"
)

// Data is a training or test set: one row of X per example in the order of Names.
// Nothing here changes it.
type Data struct {
	// Names of the features: a selection of the set's.
	Names []string
	// X holds the rows; NaN is missing.
	X [][]float64
	// Y is 1 for churned, 0 for not. Rows with an unknown label have no place here.
	Y []float64
	// Weight of each row, at least 0; nil is 1 for all.
	Weight []float64
}

// Errors of this package, for errors.Is.
var (
	ErrShape     = errors.New("churn: the lists of a data set differ in length")
	ErrNotFinite = errors.New("churn: not a finite number")
	ErrLabel     = errors.New("churn: a label is neither 0 nor 1")
	ErrOneClass  = errors.New("churn: all labels are the same, nothing can be learned")
	ErrNoFit     = errors.New("churn: the fit did not converge")
	ErrTooFew    = errors.New("churn: too few rows")
)

func (d *Data) check() error {
	if len(d.X) != len(d.Y) || d.Weight != nil && len(d.Weight) != len(d.Y) {
		return fmt.Errorf("%w: %d rows, %d labels, %d weights", ErrShape, len(d.X), len(d.Y), len(d.Weight))
	}
	if len(d.X) == 0 || len(d.Names) == 0 {
		return fmt.Errorf("%w: %d rows of %d features", ErrTooFew, len(d.X), len(d.Names))
	}
	var positive, negative bool
	for i, x := range d.X {
		if len(x) != len(d.Names) {
			return fmt.Errorf("%w: row %d has %d features of %d", ErrShape, i, len(x), len(d.Names))
		}
		for j, v := range x {
			if math.IsInf(v, 0) {
				return fmt.Errorf("%w: %s of row %d is %v", ErrNotFinite, d.Names[j], i, v)
			}
		}
		if w := d.weight(i); !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("%w: the weight of row %d is %v", ErrNotFinite, i, w)
		} else if w == 0 {
			continue
		}
		switch d.Y[i] {
		case 0:
			negative = true
		case 1:
			positive = true
		default:
			return fmt.Errorf("%w: %v in row %d", ErrLabel, d.Y[i], i)
		}
	}
	if !positive || !negative {
		return ErrOneClass
	}
	return nil
}

func (d *Data) weight(i int) float64 {
	if d.Weight == nil {
		return 1
	}
	return d.Weight[i]
}
