package churn

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"github.com/droplift/droplift/models/scoring"
)

// FitConfig configures Fit. Zero values mean the documented defaults.
type FitConfig struct {
	// L2 is λ of λ/2·Σ w² beside the summed log loss, over the standardised weights and those of missing
	// ones but not the bias. Default 1; negative for none.
	L2 float64
	// Log marks the features that are replaced by their logarithm; nil chooses by skewness.
	Log []bool
	// Tolerance (default 1e-7) is the largest derivative of the mean log loss at which the fit is done.
	Tolerance float64
	// Iterations bounds the steps (default 500).
	Iterations int
}

// FitReport tells how a fit ended.
type FitReport struct {
	Rows, Positives int
	// Iterations of L-BFGS, and how often the data were passed over.
	Iterations, Passes int
	// LogLoss is the mean over the training rows, without the penalty.
	LogLoss float64
	// Gradient is the largest derivative left.
	Gradient float64
}

// Fit is logistic regression: L-BFGS on the penalised log loss of standardised features. It refuses infinite values, one
// class only, and a fit that did not converge.
func Fit(train Data, cfg FitConfig) (*scoring.Linear, FitReport, error) {
	if err := train.check(); err != nil {
		return nil, FitReport{}, err
	}
	if cfg.Log != nil && len(cfg.Log) != len(train.Names) {
		return nil, FitReport{}, fmt.Errorf("%w: %d marks for %d features", ErrShape, len(cfg.Log), len(train.Names))
	}
	if cfg.L2 == 0 {
		cfg.L2 = 1
	}
	if cfg.Tolerance == 0 {
		cfg.Tolerance = 1e-7
	}
	if cfg.Iterations == 0 {
		cfg.Iterations = 500
	}
	l := Standardise(train, cfg.Log)
	p := newProblem(train, l, max(cfg.L2, 0))

	start := make([]float64, p.width+1)
	start[p.width] = math.Log(p.positive / (p.weight - p.positive))
	report := FitReport{Rows: len(train.Y)}
	for _, y := range train.Y {
		report.Positives += int(y)
	}
	result, err := optimize.Minimize(optimize.Problem{Func: p.loss, Grad: p.gradient}, start, &optimize.Settings{
		GradientThreshold: cfg.Tolerance, MajorIterations: cfg.Iterations, Converger: optimize.NeverTerminate{},
	}, &optimize.LBFGS{Linesearcher: &optimize.MoreThuente{}, GradStopThreshold: math.NaN()})
	if result == nil {
		return nil, report, fmt.Errorf("%w: %w", ErrNoFit, err)
	}
	at := result.X
	p.evaluate(at)
	report.Iterations, report.Passes = result.MajorIterations, p.passes
	report.LogLoss, report.Gradient = p.mean, floats.Norm(p.derivative, math.Inf(1))
	// A line search ends in an error where rounding hides the last progress; what matters is how flat the place is.
	if !(report.Gradient <= 1000*cfg.Tolerance) {
		return nil, report, fmt.Errorf("%w: a derivative of %.3g is left after %d steps, %.3g is asked for (%w)", ErrNoFit, report.Gradient, report.Iterations,
			cfg.Tolerance, errors.Join(err, fmt.Errorf("status %v", result.Status)))
	}
	copy(l.Weights, at[:len(l.Weights)])
	for k, j := range p.missing {
		l.Missing[j] = at[len(l.Weights)+k]
	}
	l.Bias = at[p.width]
	return l, report, nil
}

// problem is the mean penalised log loss and its derivatives at the place looked at last. Its parameters are the weights, those
// of features that are missing somewhere, and the bias.
type problem struct {
	rows    []float64 // width values per row
	width   int
	missing []int // features with a weight for missing ones
	y, w    []float64
	l2      float64

	weight, positive float64 // sums

	at         []float64
	value      float64
	mean       float64 // value without the penalty
	derivative []float64
	passes     int
}

func newProblem(d Data, l *scoring.Linear, l2 float64) *problem {
	n := len(d.Names)
	p := &problem{y: d.Y, w: d.Weight, l2: l2}
	absent := make([]bool, n)
	for _, x := range d.X {
		for j, v := range x {
			if v != v {
				absent[j] = true
			}
		}
	}
	for j, is := range absent {
		if is {
			p.missing = append(p.missing, j)
		}
	}
	p.width = n + len(p.missing)
	p.rows = make([]float64, len(d.X)*p.width)
	prepared := make([]float64, 2*n)
	for i, x := range d.X {
		Prepare(l, x, prepared)
		row := p.rows[i*p.width : (i+1)*p.width]
		copy(row, prepared[:n])
		for k, j := range p.missing {
			row[n+k] = prepared[n+j]
		}
		w := d.weight(i)
		p.weight += w
		p.positive += w * d.Y[i]
	}
	p.derivative = make([]float64, p.width+1)
	return p
}

func (p *problem) loss(at []float64) float64 {
	p.evaluate(at)
	return p.value
}

func (p *problem) gradient(dst, at []float64) {
	p.evaluate(at)
	copy(dst, p.derivative)
}

// evaluate passes over the data once for value and derivative, which the optimiser asks for one after the other.
func (p *problem) evaluate(at []float64) {
	if p.at != nil && floats.Equal(p.at, at) {
		return
	}
	p.at = append(p.at[:0], at...)
	p.passes++
	weights, bias := at[:p.width], at[p.width]
	clear(p.derivative)
	sum, slope := 0.0, 0.0
	derivative := p.derivative[:p.width]
	for i, y := range p.y {
		w := 1.0
		if p.w != nil {
			if w = p.w[i]; w == 0 {
				continue
			}
		}
		row := p.rows[i*p.width : (i+1)*p.width]
		z := bias + floats.Dot(row, weights)
		// One exponential serves loss and derivative: e = exp(−|z|).
		e := math.Exp(-math.Abs(z))
		s := 1 / (1 + e)
		if z < 0 {
			s = e / (1 + e)
		}
		sum += w * (max(z, 0) - y*z + math.Log1p(e))
		residual := w * (s - y)
		slope += residual
		floats.AddScaled(derivative, residual, row)
	}
	p.mean = sum / p.weight
	p.value = p.mean + p.l2/2*floats.Dot(weights, weights)/p.weight
	for j := range derivative {
		derivative[j] = (derivative[j] + p.l2*weights[j]) / p.weight
	}
	p.derivative[p.width] = slope / p.weight
}
