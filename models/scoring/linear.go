package scoring

import (
	"fmt"
	"math"
)

// Linear is a logistic model: raw = Bias + Σ Weights[i]·(x[i]−Mean[i])/Scale[i], where a missing x[i] is
// Impute[i] and, where Missing is not empty, adds Missing[i] as well. A feature marked in Log is first
// replaced by sign(x)·ln(1+|x|), which tames counts and money.
type Linear struct {
	Bias    float64   `json:"bias"`
	Weights []float64 `json:"weights"`
	Mean    []float64 `json:"mean"`
	Scale   []float64 `json:"scale"`
	Impute  []float64 `json:"impute"`
	Missing []float64 `json:"missing,omitempty"`
	Log     []bool    `json:"log,omitempty"`
}

func (l *Linear) validate(inputs int) error {
	for _, v := range [][]float64{l.Weights, l.Mean, l.Scale, l.Impute} {
		if len(v) != inputs {
			return fmt.Errorf("a linear model of %d features has a list of %d", inputs, len(v))
		}
	}
	if n := len(l.Missing); n != 0 && n != inputs {
		return fmt.Errorf("a linear model of %d features has %d weights for missing ones", inputs, n)
	}
	if n := len(l.Log); n != 0 && n != inputs {
		return fmt.Errorf("a linear model of %d features has %d marks for logarithms", inputs, n)
	}
	for i, s := range l.Scale {
		if !(s > 0) {
			return fmt.Errorf("the scale of feature %d is %v", i, s)
		}
	}
	return nil
}

func (l *Linear) raw(x []float64) float64 {
	z := l.Bias
	for i, v := range x {
		if v != v {
			v = l.Impute[i]
			if len(l.Missing) > 0 {
				z += l.Missing[i]
			}
		}
		z += l.Weights[i] * (l.transformed(i, v) - l.Mean[i]) / l.Scale[i]
	}
	return z
}

// transformed is what the weight of feature i is about; Mean and Scale are in its units.
func (l *Linear) transformed(i int, v float64) float64 {
	if len(l.Log) > 0 && l.Log[i] {
		return math.Copysign(math.Log1p(math.Abs(v)), v)
	}
	return v
}

// Contribution of feature i to the raw score of x, against the training mean: the reason of a score.
func (l *Linear) Contribution(i int, v float64) float64 {
	if v != v {
		v = l.Impute[i]
	}
	return l.Weights[i] * (l.transformed(i, v) - l.Mean[i]) / l.Scale[i]
}
