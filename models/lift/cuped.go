package lift

import "math"

// Paired are the moments of an outcome Y and a covariate X from before assignment. A new unit has X = 0.
type Paired struct {
	N, X, Y, X2, Y2, XY float64
}

// PairedOf sums pairs of equal number.
func PairedOf(x, y []float64) Paired {
	p := Paired{N: float64(len(x))}
	for i := range x {
		p.X += x[i]
		p.Y += y[i]
		p.X2 += x[i] * x[i]
		p.Y2 += y[i] * y[i]
		p.XY += x[i] * y[i]
	}
	return p
}

func (p Paired) plus(q Paired) Paired {
	return Paired{p.N + q.N, p.X + q.X, p.Y + q.Y, p.X2 + q.X2, p.Y2 + q.Y2, p.XY + q.XY}
}

func (p Paired) covariance() float64 { return (p.XY - p.X*p.Y/p.N) / (p.N - 1) }
func (p Paired) varianceX() float64  { return max(0, p.X2-p.X*p.X/p.N) / (p.N - 1) }
func (p Paired) varianceY() float64  { return max(0, p.Y2-p.Y*p.Y/p.N) / (p.N - 1) }

// CUPEDEstimate is a difference of means after the part that X foretells was taken out.
type CUPEDEstimate struct {
	Estimate
	// Theta is the slope, pooled over the arms; Rho2 the share of Y's variance that it explains.
	Theta, Rho2 float64
	// Raw is the difference without it.
	Raw Estimate
}

// CUPED compares Y' = Y − θ(X − X̄) between two arms dealt at random, θ = Cov(X,Y)/Var(X) over both (DOMAIN 4.2).
func CUPED(treated, control Paired, confidence float64) (CUPEDEstimate, error) {
	var c CUPEDEstimate
	if treated.N < 2 || control.N < 2 {
		return c, ErrTooFew
	}
	all := treated.plus(control)
	vx, vy := all.varianceX(), all.varianceY()
	if vx > 0 {
		c.Theta = all.covariance() / vx
	}
	if vx > 0 && vy > 0 {
		c.Rho2 = c.Theta * c.Theta * vx / vy
	}
	adjusted := func(p Paired, theta float64) (mean, variance float64) {
		mean = p.Y/p.N - theta*(p.X/p.N-all.X/all.N)
		return mean, max(0, p.varianceY()-2*theta*p.covariance()+theta*theta*p.varianceX()) / p.N
	}
	var err error
	for _, step := range []struct {
		theta float64
		to    *Estimate
	}{{0, &c.Raw}, {c.Theta, &c.Estimate}} {
		mt, vt := adjusted(treated, step.theta)
		mc, vc := adjusted(control, step.theta)
		if *step.to, err = normal(mt-mc, math.Sqrt(vt+vc), confidence); err != nil {
			return c, err
		}
	}
	return c, nil
}
