package latencyloss

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Row is one group of viewers that are alike: mean latency in ms, how many they are, how many converted, and the
// dummies that are 1 for them.
type Row struct {
	MS             float64
	N, Conversions float64
	Dummies        []int
}

// Fit is a fitted logistic regression: logit p = Beta[0] + Beta[1]·L/100 + Σ Beta[2+d] over the row's dummies d.
type Fit struct {
	Beta []float64
	// Cov is the covariance of Beta: the inverse of the information.
	Cov *mat.SymDense
}

// ridge is the precision of a prior on every dummy (a standard deviation of 100 logits): it decides nothing that data
// decide, and keeps dummies that always go together, such as a language and its one POP, from ending the fit.
const ridge = 1e-4

// maxSteps bounds Newton's method, which takes under ten steps where there is a maximum.
const maxSteps = 50

var (
	// ErrNoMaximum is what Regress returns where the likelihood has no maximum: nobody or everybody converted, or
	// latency separates the two.
	ErrNoMaximum = errors.New("the likelihood has no maximum")
	// ErrNoVariation is what it returns where all viewers have the same latency.
	ErrNoVariation = errors.New("latency does not vary")
)

// Regress fits rows with dummies 0 to dummies−1 by Newton's method.
func Regress(rows []Row, dummies int) (*Fit, error) {
	n, conversions, sum, squares := 0.0, 0.0, 0.0, 0.0
	for i := range rows {
		r := &rows[i]
		n += r.N
		conversions += r.Conversions
		sum += r.N * r.MS
		squares += r.N * r.MS * r.MS
	}
	if conversions <= 0 || conversions >= n {
		return nil, ErrNoMaximum
	}
	if mean := sum / n; squares/n-mean*mean <= 1e-9*mean*mean {
		return nil, ErrNoVariation
	}
	size := 2 + dummies
	f := &Fit{Beta: make([]float64, size)}
	f.Beta[0] = math.Log(conversions / (n - conversions))
	gradient := mat.NewVecDense(size, nil)
	information := mat.NewSymDense(size, nil)
	var factor mat.Cholesky
	step := mat.NewVecDense(size, nil)
	before := f.logLikelihood(rows)
	for range maxSteps {
		f.score(rows, gradient, information)
		if !factor.Factorize(information) {
			return nil, ErrNoMaximum
		}
		if err := factor.SolveVecTo(step, gradient); err != nil {
			return nil, ErrNoMaximum
		}
		// The log-likelihood is concave: half the way is enough where the whole way goes too far.
		start, after, scale := append([]float64(nil), f.Beta...), 0.0, 1.0
		for range 30 {
			for i := range f.Beta {
				f.Beta[i] = start[i] + scale*step.AtVec(i)
			}
			if after = f.logLikelihood(rows); after >= before-1e-12*math.Abs(before) {
				break
			}
			scale /= 2
		}
		if math.Abs(f.Beta[1]) > 100 || math.IsNaN(after) {
			return nil, ErrNoMaximum
		}
		if mat.Norm(step, math.Inf(1)) < 1e-9 {
			f.score(rows, gradient, information)
			if !factor.Factorize(information) {
				return nil, ErrNoMaximum
			}
			f.Cov = mat.NewSymDense(size, nil)
			if err := factor.InverseTo(f.Cov); err != nil {
				return nil, ErrNoMaximum
			}
			return f, nil
		}
		before = after
	}
	return nil, ErrNoMaximum
}

// P is the fitted probability at a latency (ms).
func (f *Fit) P(ms float64, dummies []int) float64 {
	return 1 / (1 + math.Exp(-f.predictor(ms, dummies)))
}

// Elasticity of p with respect to latency: β1·(L/100)·(1−p).
func (f *Fit) Elasticity(ms float64, dummies []int) float64 {
	return f.Beta[1] * ms / 100 * (1 - f.P(ms, dummies))
}

func (f *Fit) predictor(ms float64, dummies []int) float64 {
	x := f.Beta[0] + f.Beta[1]*ms/100
	for _, d := range dummies {
		x += f.Beta[2+d]
	}
	return x
}

func (f *Fit) logLikelihood(rows []Row) float64 {
	sum := 0.0
	for i := range rows {
		r := &rows[i]
		x := f.predictor(r.MS, r.Dummies)
		sum += r.Conversions*x - r.N*(max(x, 0)+math.Log1p(math.Exp(-math.Abs(x))))
	}
	for _, b := range f.Beta[2:] {
		sum -= ridge / 2 * b * b
	}
	return sum
}

// score writes the gradient of the log-likelihood and the information.
func (f *Fit) score(rows []Row, gradient *mat.VecDense, information *mat.SymDense) {
	gradient.Zero()
	information.Zero()
	g, raw := gradient.RawVector().Data, information.RawSymmetric()
	at := make([]int, 0, 8)
	x := make([]float64, 0, 8)
	for i := range rows {
		r := &rows[i]
		p := f.P(r.MS, r.Dummies)
		residual, weight := r.Conversions-r.N*p, r.N*p*(1-p)
		at, x = append(at[:0], 0, 1), append(x[:0], 1, r.MS/100)
		for _, d := range r.Dummies {
			at, x = append(at, 2+d), append(x, 1)
		}
		for a, i := range at {
			g[i] += residual * x[a]
			for b, j := range at {
				if j >= i { // the upper triangle is the whole of it
					raw.Data[i*raw.Stride+j] += weight * x[a] * x[b]
				}
			}
		}
	}
	for d := 2; d < len(f.Beta); d++ {
		g[d] -= ridge * f.Beta[d]
		raw.Data[d*raw.Stride+d] += ridge
	}
}

// Loss is Σ value·N·[p(min(L, budget)) − p(L)] over rows: what a cap of latency at the budget (ms) would have kept,
// with the delta method's interval √(g'Σg) (DOMAIN 5). value is what a conversion of each row counts: 1, or the average order value.
func (f *Fit) Loss(rows []Row, value []float64, budget float64) Interval {
	sum := 0.0
	g := mat.NewVecDense(len(f.Beta), nil)
	raw := g.RawVector().Data
	for i := range rows {
		r := &rows[i]
		if r.MS <= budget || r.N == 0 {
			continue
		}
		worth := r.N * value[i]
		slow, capped := f.P(r.MS, r.Dummies), f.P(budget, r.Dummies)
		sum += worth * (capped - slow)
		dSlow, dCapped := slow*(1-slow), capped*(1-capped)
		raw[0] += worth * (dCapped - dSlow)
		raw[1] += worth * (dCapped*budget - dSlow*r.MS) / 100
		for _, d := range r.Dummies {
			raw[2+d] += worth * (dCapped - dSlow)
		}
	}
	return interval(sum, mat.Inner(g, f.Cov, g))
}
