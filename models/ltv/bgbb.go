package ltv

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Chances is what a customer did with N opportunities since the first purchase: bought at X of them, last at the one numbered
// Recency from 1 (0 without one).
type Chances struct {
	X, Recency, N int
}

// Validate returns ErrBadHistory.
func (c Chances) Validate() error {
	switch {
	case c.X < 0 || c.N < 0 || c.Recency < 0:
		return fmt.Errorf("%w: %d purchases, the last at %d of %d opportunities", ErrBadHistory, c.X, c.Recency, c.N)
	case c.Recency > c.N:
		return fmt.Errorf("%w: the last purchase at opportunity %d of %d", ErrBadHistory, c.Recency, c.N)
	case c.X > c.Recency || (c.X == 0) != (c.Recency == 0):
		return fmt.Errorf("%w: %d purchases, the last at opportunity %d", ErrBadHistory, c.X, c.Recency)
	}
	return nil
}

// BGBB is the model of purchases at opportunities: an alive customer buys with a chance that is beta(Alpha, Beta), and leaves before an
// opportunity with one that is beta(Gamma, Delta). All are positive; methods of a model with others return NaN.
type BGBB struct {
	Alpha, Beta, Gamma, Delta float64
}

// Valid says whether all parameters are positive numbers.
func (m BGBB) Valid() bool { return positive(m.Alpha, m.Beta, m.Gamma, m.Delta) }

// LogLikelihood of one history, which is one order of purchases and not their number (DOMAIN 3.4).
func (m BGBB) LogLikelihood(c Chances) float64 { return m.likelihood(c, nil) }

// likelihood is LogLikelihood, and adds the gradient by α, β, γ, δ to gradient unless that is nil.
func (m BGBB) likelihood(c Chances, gradient []float64) float64 {
	if !m.Valid() {
		return math.NaN()
	}
	x, last, n := float64(c.X), float64(c.Recency), float64(c.N)
	// The ways to a history: alive through all n opportunities, or left after t_x + i of them. For the latter, logarithms and
	// digammas follow one from the other by Γ(v+1) = v·Γ(v), so that the gamma function is needed only for the first.
	alive := mathext.Lbeta(m.Alpha+x, m.Beta+n-x) + mathext.Lbeta(m.Gamma, m.Delta+n)
	total := alive
	if c.N > c.Recency {
		term := mathext.Lbeta(m.Alpha+x, m.Beta+last-x) + mathext.Lbeta(m.Gamma+1, m.Delta+last)
		for i := 0.0; i < n-last; i++ {
			total = logAdd(total, term)
			term += math.Log((m.Beta+last-x+i)/(m.Alpha+m.Beta+last+i)) + math.Log((m.Delta+last+i)/(m.Gamma+1+m.Delta+last+i))
		}
	}
	if gradient != nil {
		m.slope(c, alive, total, gradient)
	}
	return total - mathext.Lbeta(m.Alpha, m.Beta) - mathext.Lbeta(m.Gamma, m.Delta)
}

// slope adds the gradient of one history, whose ways weigh e^(way − total).
func (m BGBB) slope(c Chances, alive, total float64, gradient []float64) {
	x, last, n := float64(c.X), float64(c.Recency), float64(c.N)
	bought, all := mathext.Digamma(m.Alpha+x), mathext.Digamma(m.Alpha+m.Beta)
	w := math.Exp(alive - total)
	both, stay := mathext.Digamma(m.Alpha+m.Beta+n), mathext.Digamma(m.Gamma+m.Delta+n)
	dAlpha := w * (bought - both)
	dBeta := w * (mathext.Digamma(m.Beta+n-x) - both)
	dGamma := w * (mathext.Digamma(m.Gamma) - stay)
	dDelta := w * (mathext.Digamma(m.Delta+n) - stay)
	if c.N > c.Recency {
		term := mathext.Lbeta(m.Alpha+x, m.Beta+last-x) + mathext.Lbeta(m.Gamma+1, m.Delta+last)
		not, both := mathext.Digamma(m.Beta+last-x), mathext.Digamma(m.Alpha+m.Beta+last)
		leave, kept, stay := mathext.Digamma(m.Gamma+1), mathext.Digamma(m.Delta+last), mathext.Digamma(m.Gamma+1+m.Delta+last)
		for i := 0.0; i < n-last; i++ {
			w := math.Exp(term - total)
			dAlpha += w * (bought - both)
			dBeta += w * (not - both)
			dGamma += w * (leave - stay)
			dDelta += w * (kept - stay)
			term += math.Log((m.Beta+last-x+i)/(m.Alpha+m.Beta+last+i)) + math.Log((m.Delta+last+i)/(m.Gamma+1+m.Delta+last+i))
			not += 1 / (m.Beta + last - x + i)
			both += 1 / (m.Alpha + m.Beta + last + i)
			kept += 1 / (m.Delta + last + i)
			stay += 1 / (m.Gamma + 1 + m.Delta + last + i)
		}
	}
	out := mathext.Digamma(m.Gamma + m.Delta)
	gradient[0] += dAlpha - mathext.Digamma(m.Alpha) + all
	gradient[1] += dBeta - mathext.Digamma(m.Beta) + all
	gradient[2] += dGamma - mathext.Digamma(m.Gamma) + out
	gradient[3] += dDelta - mathext.Digamma(m.Delta) + out
}

// Alive is the probability that the customer will not have left by the next opportunity, n + 1.
func (m BGBB) Alive(c Chances) float64 {
	if !m.Valid() {
		return math.NaN()
	}
	x, n := float64(c.X), float64(c.N)
	return math.Exp(mathext.Lbeta(m.Alpha+x, m.Beta+n-x) - mathext.Lbeta(m.Alpha, m.Beta) +
		mathext.Lbeta(m.Gamma, m.Delta+n+1) - mathext.Lbeta(m.Gamma, m.Delta) - m.LogLikelihood(c))
}

// Next is how many purchases the customer makes at the next opportunities, that many of them. It adds up the chances of each, which
// is the published closed form without its singularity at Gamma = 1.
func (m BGBB) Next(c Chances, opportunities int) float64 {
	return m.NextDiscounted(c, opportunities, 0)
}

// NextDiscounted is Next with the k-th coming opportunity counting 1/(1+rate)^k.
func (m BGBB) NextDiscounted(c Chances, opportunities int, rate float64) float64 {
	if !m.Valid() || opportunities < 0 || !(rate > -1) {
		return math.NaN()
	}
	x, n := float64(c.X), float64(c.N)
	// Alive at n+1 and buying there: the posterior mean of the chance to buy, given that the customer is alive, is (α+x)/(α+β+n).
	chance := m.Alive(c) * (m.Alpha + x) / (m.Alpha + m.Beta + n)
	sum, worth := 0.0, 1.0
	for k := 1.0; k <= float64(opportunities); k++ {
		worth /= 1 + rate
		sum += worth * chance
		chance *= (m.Delta + n + k) / (m.Gamma + m.Delta + n + k)
	}
	return sum
}

// Expected is how many purchases somebody new makes at the first opportunities, that many of them.
func (m BGBB) Expected(opportunities int) float64 { return m.Next(Chances{}, opportunities) }

// FitBGBB finds the parameters of largest likelihood. Errors: ErrTooFew, ErrNoRepeats, ErrNoExposure, ErrBadHistory
// with the index of the history, ErrNotConverged.
func FitBGBB(histories []Chances, o Options) (BGBB, Quality, error) {
	repeats, most := 0, 0
	for i, c := range histories {
		if err := c.Validate(); err != nil {
			return BGBB{}, Quality{}, fmt.Errorf("history %d: %w", i, err)
		}
		repeats += c.X
		most = max(most, c.N)
	}
	switch {
	case len(histories) < 2:
		return BGBB{}, Quality{}, ErrTooFew
	case most == 0:
		return BGBB{}, Quality{}, ErrNoExposure
	case repeats == 0:
		return BGBB{}, Quality{}, ErrNoRepeats
	}
	groups := groupChances(histories)
	p, q, err := maximise(groups.mean, len(histories), [][]float64{{1, 1, 1, 1}, {1.2, .75, .66, 2.8}, {.5, 3, .5, 5}}, o)
	if err != nil {
		return BGBB{}, q, err
	}
	m := BGBB{Alpha: p[0], Beta: p[1], Gamma: p[2], Delta: p[3]}
	for _, g := range groups.histories {
		q.LogLikelihood += g.count * m.LogLikelihood(g.Chances)
	}
	return m, q, nil
}

// chanceGroups counts equal histories, of which there are few.
type chanceGroups struct {
	customers float64
	histories []countedChances
}

type countedChances struct {
	Chances
	count float64
}

func groupChances(histories []Chances) *chanceGroups {
	sorted := slices.Clone(histories)
	slices.SortFunc(sorted, func(a, b Chances) int {
		return cmp.Or(cmp.Compare(a.N, b.N), cmp.Compare(a.X, b.X), cmp.Compare(a.Recency, b.Recency))
	})
	g := &chanceGroups{customers: float64(len(histories))}
	for i, c := range sorted {
		if i == 0 || sorted[i-1] != c {
			g.histories = append(g.histories, countedChances{Chances: c})
		}
		g.histories[len(g.histories)-1].count++
	}
	return g
}

// mean is the objective: parameters are α, β, γ, δ.
func (g *chanceGroups) mean(parameters, gradient []float64) float64 {
	m := BGBB{Alpha: parameters[0], Beta: parameters[1], Gamma: parameters[2], Delta: parameters[3]}
	clear(gradient)
	sum := 0.0
	var slope [4]float64
	for i := range g.histories {
		h := &g.histories[i]
		clear(slope[:])
		sum += h.count * m.likelihood(h.Chances, slope[:])
		for i, v := range slope {
			gradient[i] += h.count * v
		}
	}
	for i := range gradient {
		gradient[i] /= g.customers
	}
	return sum / g.customers
}
