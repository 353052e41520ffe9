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

// linearSum is a Linear as it is scored: what does not depend on the row is multiplied out, so that a feature costs one
// multiplication, and a logarithm where it is marked.
type linearSum struct {
	bias   float64
	weight []float64 // of the value, or of its logarithm
	absent []float64 // what a missing value adds
	log    []bool
}

func (l *Linear) compile() *linearSum {
	c := &linearSum{bias: l.Bias, weight: make([]float64, len(l.Weights)), absent: make([]float64, len(l.Weights)), log: make([]bool, len(l.Weights))}
	copy(c.log, l.Log)
	for i, w := range l.Weights {
		c.weight[i] = w / l.Scale[i]
		c.bias -= c.weight[i] * l.Mean[i]
		c.absent[i] = c.weight[i] * l.transformed(i, l.Impute[i])
		if len(l.Missing) > 0 {
			c.absent[i] += l.Missing[i]
		}
	}
	return c
}

func (l *linearSum) raw(x []float64) float64 {
	z := l.bias
	weight, absent, log := l.weight[:len(x)], l.absent[:len(x)], l.log[:len(x)]
	for i, v := range x {
		if v != v {
			z += absent[i]
			continue
		}
		if log[i] {
			v = Logarithm(v)
		}
		z += weight[i] * v
	}
	return z
}

// logarithms of 1 + small counts, which most features are.
var logarithms = func() (t [256]float64) {
	for k := range t {
		t[k] = math.Log1p(float64(k))
	}
	return t
}()

// Logarithm is sign(x)·ln(1+|x|): what a feature marked in Log is replaced by.
func Logarithm(x float64) float64 {
	if x >= 0 && x < float64(len(logarithms)) {
		if k := int(x); float64(k) == x {
			return logarithms[k]
		}
	}
	return math.Copysign(math.Log1p(math.Abs(x)), x)
}

// transformed is what the weight of feature i is about; Mean and Scale are in its units.
func (l *Linear) transformed(i int, v float64) float64 {
	if len(l.Log) > 0 && l.Log[i] {
		return Logarithm(v)
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
