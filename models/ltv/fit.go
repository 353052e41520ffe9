package ltv

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

var (
	// ErrTooFew says that there are fewer than two customers to learn from.
	ErrTooFew = errors.New("fewer than two customers")
	// ErrNoRepeats says that no customer has bought again.
	ErrNoRepeats = errors.New("no customer has bought again")
	// ErrNoExposure says that no customer has been watched: every age is 0, or nobody had an opportunity.
	ErrNoExposure = errors.New("no customer has been watched after the first purchase")
	// ErrBadHistory says that a history contradicts itself.
	ErrBadHistory = errors.New("impossible history")
	// ErrBadSpend says that a mean spend is negative or no number.
	ErrBadSpend = errors.New("impossible spend")
	// ErrNotConverged says that the likelihood has no maximum that the data determine, or that it was not reached.
	ErrNotConverged = errors.New("the fit did not converge")
)

// Options steer a fit. The zero value is the plain maximum of the likelihood.
type Options struct {
	// MaxEvaluations of the likelihood from one start; 0 means 2000.
	MaxEvaluations int
	// Shrink is the precision of a normal prior on the parameters' logarithms around the start's, beside the likelihood of all
	// customers. A small one decides nothing that data decide, and gives a maximum where they leave one open: all customers alike, or nobody leaves.
	Shrink float64
	// Step, if set, is told after each evaluation how many there were and the best log-likelihood per customer so
	// far. Its error ends the fit and is returned.
	Step func(evaluations int, best float64) error
}

// Quality says how well the data determine a fit.
type Quality struct {
	// LogLikelihood of all customers at the fitted parameters, without any prior.
	LogLikelihood float64
	Customers     int
	// LogSE are the standard errors of the parameters' logarithms, in the order of the model's fields.
	LogSE       []float64
	Evaluations int
}

const (
	// flat is the gradient of the mean log-likelihood, by logarithms of parameters, below which it is at its top.
	flat = 1e-7
	// undetermined is the standard error of a logarithm above which the data do not say what the parameter is:
	// it may be anything within a factor of e^10.
	undetermined = 10
	// farthest is the size of a logarithm at which a parameter has run away.
	farthest = 25
)

// objective gives the mean log-likelihood per customer of parameters and writes its gradient by them.
type objective func(parameters, gradient []float64) float64

// maximise finds the parameters, all positive, from the first of starts that leads to a maximum. customers is how many the mean is over.
func maximise(f objective, customers int, starts [][]float64, o Options) (best []float64, q Quality, err error) {
	q.Customers = customers
	for _, start := range starts {
		if best, err = climb(f, start, o, &q); err == nil || !errors.Is(err, ErrNotConverged) {
			return best, q, err
		}
	}
	return nil, q, err
}

func climb(f objective, start []float64, o Options, q *Quality) ([]float64, error) {
	limit := o.MaxEvaluations
	if limit == 0 {
		limit = 2000
	}
	size := len(start)
	centre := make([]float64, size)
	for i, v := range start {
		centre[i] = math.Log(v)
	}
	parameters := make([]float64, size)
	precision := o.Shrink / float64(q.Customers)
	best := math.Inf(-1)
	var stopped error
	// penalised is minus the mean log-posterior of logarithms, with its gradient.
	penalised := func(gradient, logs []float64) float64 {
		for i, l := range logs {
			if !(math.Abs(l) <= farthest) {
				clear(gradient)
				return math.Inf(1)
			}
			parameters[i] = math.Exp(l)
		}
		mean := f(parameters, gradient)
		for i, l := range logs {
			d := l - centre[i]
			mean -= precision * d * d / 2
			gradient[i] = precision*d - gradient[i]*parameters[i]
		}
		if math.IsNaN(mean) {
			return math.Inf(1)
		}
		return -mean
	}
	// The optimiser asks for value and gradient apart, and both cost the same pass over the customers.
	at, slope := make([]float64, size), make([]float64, size)
	value, fresh := 0.0, false
	look := func(logs []float64) {
		if fresh {
			same := true
			for i := range logs {
				same = same && at[i] == logs[i]
			}
			if same {
				return
			}
		}
		copy(at, logs)
		value, fresh = penalised(slope, logs), true
		q.Evaluations++
		best = max(best, -value)
		if o.Step != nil && stopped == nil {
			stopped = o.Step(q.Evaluations, best)
		}
	}
	problem := optimize.Problem{
		Func: func(x []float64) float64 { look(x); return value },
		Grad: func(g, x []float64) { look(x); copy(g, slope) },
		Status: func() (optimize.Status, error) {
			if stopped != nil {
				return optimize.Failure, stopped
			}
			return optimize.NotTerminated, nil
		},
	}
	result, err := optimize.Minimize(problem, centre, &optimize.Settings{
		GradientThreshold: flat / 100,
		FuncEvaluations:   limit,
		// Only the gradient says that the top is reached: the ridge of these likelihoods is long and nearly level.
		Converger: optimize.NeverTerminate{},
	}, &optimize.BFGS{})
	if stopped != nil {
		return nil, stopped
	}
	if result == nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConverged, err)
	}
	// A line search that finds no better point ends with an error, at the top too: the gradient there is what counts.
	logs := result.X
	gradient := make([]float64, size)
	if v := penalised(gradient, logs); math.IsInf(v, 0) {
		return nil, fmt.Errorf("%w: a parameter ran away", ErrNotConverged)
	}
	for _, g := range gradient {
		if !(math.Abs(g) < flat) {
			return nil, fmt.Errorf("%w: %d evaluations, and the likelihood still rises", ErrNotConverged, q.Evaluations)
		}
	}
	if q.LogSE, err = standardErrors(penalised, logs, q.Customers); err != nil {
		return nil, err
	}
	for i, l := range logs {
		parameters[i] = math.Exp(l)
	}
	return parameters, nil
}

// standardErrors inverts the curvature of the mean log-likelihood, from differences of its exact gradient.
func standardErrors(f func(gradient, logs []float64) float64, logs []float64, customers int) ([]float64, error) {
	size := len(logs)
	jacobian := mat.NewDense(size, size, nil)
	fd.Jacobian(jacobian, func(gradient, x []float64) { f(gradient, x) }, logs, &fd.JacobianSettings{Formula: fd.Central, Step: 1e-4})
	information := mat.NewSymDense(size, nil)
	for i := range size {
		for j := i; j < size; j++ {
			information.SetSym(i, j, (jacobian.At(i, j)+jacobian.At(j, i))/2*float64(customers))
		}
	}
	var factor mat.Cholesky
	if !factor.Factorize(information) {
		return nil, fmt.Errorf("%w: the likelihood has no single maximum", ErrNotConverged)
	}
	var covariance mat.SymDense
	if err := factor.InverseTo(&covariance); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConverged, err)
	}
	errs := make([]float64, size)
	for i := range errs {
		errs[i] = math.Sqrt(covariance.At(i, i))
		if !(errs[i] < undetermined) {
			return nil, fmt.Errorf("%w: the data do not determine the parameters", ErrNotConverged)
		}
	}
	return errs, nil
}

// positive says whether all parameters can be those of a model.
func positive(parameters ...float64) bool {
	for _, p := range parameters {
		if !(p > 0) || math.IsInf(p, 1) {
			return false
		}
	}
	return true
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// logAdd is ln(e^a + e^b).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
