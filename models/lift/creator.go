package lift

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/combin"
)

// Unit is one creator before and after a drop.
type Unit struct {
	Name    string
	Treated bool
	// Pre and Post are of the outcome's own scale, not negative; they are compared as ln(1+x).
	Pre, Post float64
	// Weight is the precision of the change relative to the others'; 0 means 1. A counted
	// outcome has noise in inverse proportion to the count, so the audience is its weight.
	Weight float64
}

func (u *Unit) change() float64 { return math.Log1p(u.Post) - math.Log1p(u.Pre) }

func (u *Unit) weight() float64 {
	if u.Weight == 0 {
		return 1
	}
	return u.Weight
}

// Comparison is one clean 2×2: the creators of drops at one time against creators that
// have none in the whole of both windows. Drops at other times are other comparisons:
// a regression with fixed effects for all of them would use treated creators as
// controls and is biased (DOMAIN 4.2).
type Comparison struct {
	Name  string
	Units []Unit
}

// UpliftEstimate is τ on the scale of ln(1+x): Exp gives the relative change.
type UpliftEstimate struct {
	// Student's t with G − 2 degrees of freedom, G the number of different creators.
	Estimate
	Treated, Controls int
	// PermutationP is the share of reassignments of the drops to creators that give a τ at
	// least as far from 0. Assignments is how many were looked at: all of them if Exact.
	PermutationP float64
	Assignments  int
	Exact        bool
}

// Uplift stacks comparisons: each gives a difference of mean changes, and their mean
// is weighted by precision. The error's scale is pooled over everything that the
// common τ leaves unexplained. Assignments are enumerated up to bound and otherwise
// drawn that many times with seed. At least four creators are needed.
func Uplift(comparisons []Comparison, confidence float64, bound int, seed uint64) (UpliftEstimate, error) {
	var u UpliftEstimate
	var stack []changes
	creators := map[string]bool{}
	for i := range comparisons {
		c, ok := newChanges(&comparisons[i])
		if !ok {
			continue
		}
		stack = append(stack, c)
		u.Treated += len(c.treated)
		u.Controls += len(c.d) - len(c.treated)
		for k := range comparisons[i].Units {
			creators[comparisons[i].Units[k].Name] = true
		}
	}
	if len(stack) == 0 || len(creators) < 4 {
		return u, ErrTooFew
	}
	f := fitStack(stack)
	var err error
	if u.Estimate, err = student(f.tau, math.Sqrt(f.scale/f.precision), float64(len(creators)-2), confidence); err != nil {
		return u, err
	}
	u.permute(stack, bound, seed)
	return u, nil
}

// changes is a comparison as numbers; treated holds the indices of treated units.
type changes struct {
	d, w    []float64
	treated []int
}

func newChanges(c *Comparison) (changes, bool) {
	var out changes
	for i := range c.Units {
		u := &c.Units[i]
		out.d = append(out.d, u.change())
		out.w = append(out.w, u.weight())
		if u.Treated {
			out.treated = append(out.treated, i)
		}
	}
	return out, len(out.treated) > 0 && len(out.d)-len(out.treated) > 1
}

// difference is the weighted mean change of treated − control, its precision (the
// inverse of 1/W_T + 1/W_C) and the weighted sum of squares within the two groups.
func (c *changes) difference(treated []int) (tau, precision, within float64) {
	var wt, st float64
	for _, i := range treated {
		wt += c.w[i]
		st += c.w[i] * c.d[i]
	}
	var wa, sa, s2 float64
	for i, w := range c.w {
		wa += w
		sa += w * c.d[i]
		s2 += w * c.d[i] * c.d[i]
	}
	wc, sc := wa-wt, sa-st
	return st/wt - sc/wc, 1 / (1/wt + 1/wc), max(0, s2-st*st/wt-sc*sc/wc)
}

type stackFit struct{ tau, precision, scale float64 }

func fitStack(stack []changes) stackFit {
	var f stackFit
	var within, units float64
	taus, precisions := make([]float64, len(stack)), make([]float64, len(stack))
	for i := range stack {
		c := &stack[i]
		var w float64
		taus[i], precisions[i], w = c.difference(c.treated)
		f.tau += precisions[i] * taus[i]
		f.precision += precisions[i]
		within += w
		units += float64(len(c.d))
	}
	f.tau /= f.precision
	for i := range taus {
		within += precisions[i] * (taus[i] - f.tau) * (taus[i] - f.tau)
	}
	f.scale = within / (units - float64(len(stack)) - 1)
	return f
}

// tie is how close two values of τ count as equal: sums in another order differ in the last bits.
const tie = 1e-12

// permute fills in the permutation test.
func (u *UpliftEstimate) permute(stack []changes, bound int, seed uint64) {
	total := 1.0
	for i := range stack {
		total *= math.Exp(combin.LogGeneralizedBinomial(float64(len(stack[i].d)), float64(len(stack[i].treated))))
	}
	at := math.Abs(u.Value) - tie
	if total <= float64(bound)+0.5 {
		u.Exact = true
		extreme := 0
		enumerate(stack, 0, 0, 0, func(tau float64) {
			u.Assignments++
			if math.Abs(tau) >= at {
				extreme++
			}
		})
		u.PermutationP = float64(extreme) / float64(u.Assignments)
		return
	}
	rng := rand.New(rand.NewPCG(seed, 0x7065726d757465))
	u.Assignments = bound
	extreme := 1 // what was observed is one of the assignments
	for range bound {
		sum, precision := 0.0, 0.0
		for i := range stack {
			c := &stack[i]
			tau, p, _ := c.difference(rng.Perm(len(c.d))[:len(c.treated)])
			sum += p * tau
			precision += p
		}
		if math.Abs(sum/precision) >= at {
			extreme++
		}
	}
	u.PermutationP = float64(extreme) / float64(bound+1)
}

// enumerate calls f with τ of every assignment of stack[i:], given the sums so far.
func enumerate(stack []changes, i int, sum, precision float64, f func(tau float64)) {
	if i == len(stack) {
		f(sum / precision)
		return
	}
	c := &stack[i]
	choice := make([]int, len(c.treated))
	for g := combin.NewCombinationGenerator(len(c.d), len(c.treated)); g.Next(); {
		tau, p, _ := c.difference(g.Combination(choice))
		enumerate(stack, i+1, sum+p*tau, precision+p, f)
	}
}
