package edgebudget

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Autoscaler is the horizontal pod autoscaler's algorithm as Kubernetes documents it (DOMAIN 9). The zero value means its defaults.
type Autoscaler struct {
	// Tolerance is the |ratio−1| up to which nothing changes (default 0.1).
	Tolerance float64
	// StabiliseMS is how long a scale-down looks back for the highest recommendation (default 300,000); −1 for not at all.
	StabiliseMS int64
	// UpShare and UpPods bound a scale-up within UpMS: to (1 + UpShare) times the replicas, or by UpPods, whichever is more (default 1, 4, 15,000).
	UpShare float64
	UpPods  int64
	UpMS    int64
}

// WithDefaults fills in the defaults.
func (a Autoscaler) WithDefaults() Autoscaler {
	if a.Tolerance == 0 {
		a.Tolerance = 0.1
	}
	if a.StabiliseMS == 0 {
		a.StabiliseMS = 300_000
	}
	if a.UpShare == 0 {
		a.UpShare = 1
	}
	if a.UpPods == 0 {
		a.UpPods = 4
	}
	if a.UpMS == 0 {
		a.UpMS = 15_000
	}
	return a
}

// Metric is one metric over the pods.
type Metric struct {
	// Target is the value that each pod should have.
	Target float64
	// Pods are the values of ready pods. Missing counts pods whose value is not known, NotReady those that are not ready yet.
	Pods              []float64
	Missing, NotReady int
}

// Desired is the recommendation for current replicas by all metrics: the largest of theirs. A metric that none of
// the pods reports says nothing but keeps the others from scaling in. None at all recommends current.
func (a Autoscaler) Desired(current int64, metrics ...Metric) int64 {
	desired, blind := int64(-1), len(metrics) == 0
	for _, m := range metrics {
		n, ok := a.desired(current, m)
		if !ok {
			blind = true
			continue
		}
		desired = max(desired, n)
	}
	if desired < 0 || blind {
		return max(desired, current)
	}
	return desired
}

func (a Autoscaler) desired(current int64, m Metric) (int64, bool) {
	if len(m.Pods) == 0 || m.Target <= 0 {
		return 0, false
	}
	sum := 0.0
	for _, v := range m.Pods {
		sum += v
	}
	ratio := sum / float64(len(m.Pods)) / m.Target
	if m.Missing+m.NotReady == 0 {
		return a.scale(current, ratio)
	}
	// What is not known is assumed against the change, and pods that are not ready do nothing yet: a change that turns round then is none.
	pods := float64(len(m.Pods) + m.NotReady + m.Missing)
	if ratio < 1 {
		sum += m.Target * float64(m.Missing)
		// Pods that are not ready count only against scaling up.
		pods -= float64(m.NotReady)
	}
	adjusted := sum / pods / m.Target
	if (adjusted > 1) != (ratio > 1) {
		return current, true
	}
	n, _ := a.scale(int64(pods), adjusted)
	if math.Abs(adjusted-1) <= a.Tolerance+1e-12 || adjusted < 1 && n > current || adjusted > 1 && n < current {
		n = current
	}
	return n, true
}

func (a Autoscaler) scale(pods int64, ratio float64) (int64, bool) {
	if math.Abs(ratio-1) <= a.Tolerance+1e-12 {
		return pods, true
	}
	return int64(math.Ceil(float64(pods)*ratio - 1e-9)), true
}

// Utilisation is Desired for one metric known as a mean over all pods.
func (a Autoscaler) Utilisation(current int64, metric, target float64) int64 {
	return a.Desired(current, Metric{Target: target, Pods: []float64{metric}})
}

// Recommendation is one past recommendation.
type Recommendation struct {
	AtMS     int64
	Replicas int64
}

// Stabilise adds a recommendation made at now to the history, which it prunes and returns in order of
// time, and says how many replicas to run: never fewer than the highest recommendation of the last StabiliseMS, as far as current
// goes, and never more than the scale-up policy allows on top of current within UpMS times the steps since the last recommendation.
func (a Autoscaler) Stabilise(history []Recommendation, current, desired, now int64) ([]Recommendation, int64) {
	since := a.UpMS
	if n := len(history); n > 0 {
		since = now - history[n-1].AtMS
	}
	history = append(slices.DeleteFunc(history, func(r Recommendation) bool { return r.AtMS <= now-a.StabiliseMS }), Recommendation{now, desired})
	if desired < current {
		highest := slices.MaxFunc(history, func(a, b Recommendation) int { return cmp.Compare(a.Replicas, b.Replicas) })
		return history, min(current, max(desired, highest.Replicas))
	}
	return history, min(desired, a.limit(current, max(1, since/a.UpMS)))
}

// maxPolicySteps is more than enough to reach any number of replicas.
const maxPolicySteps = 64

// limit is how far the scale-up policy lets current grow in steps of UpMS.
func (a Autoscaler) limit(current, steps int64) int64 {
	for range min(steps, maxPolicySteps) {
		grown := max(math.Ceil(float64(current)*(1+a.UpShare)), float64(current+a.UpPods))
		if grown > 1<<40 {
			return 1 << 40
		}
		current = int64(grown)
	}
	return current
}

// Replicas is what the budget leaves of a recommendation.
type Replicas struct {
	// Wanted is the autoscaler's recommendation, CostMax what the budget pays for, Chosen the outcome.
	Wanted, CostMax, Chosen int64
	// Limited says that the budget pays for fewer than wanted, so that work must be shed.
	Limited bool
}

// Bounds of the replicas, whatever the budget says. Floor is what checkout needs.
type Bounds struct{ Floor, Max int64 }

// Choose is clamp(min(wanted, costMax), floor, max): the floor keeps checkout alive beyond the budget.
func (b Bounds) Choose(wanted, costMax int64) Replicas {
	chosen := max(b.Floor, min(wanted, costMax))
	if b.Max > 0 {
		chosen = min(chosen, b.Max)
	}
	return Replicas{Wanted: wanted, CostMax: costMax, Chosen: chosen, Limited: wanted > costMax}
}

const hourMS = 3_600_000

// CostMax is how many replicas at hourly nano-units the rest of the budget pays for until leftMS have passed: ⌊(B−S)/(price·hours)⌋.
// Without a price, or without time left, it is the largest int64.
func CostMax(budget, spent, hourly, leftMS int64) int64 {
	if hourly <= 0 || leftMS <= 0 {
		return math.MaxInt64
	}
	if spent >= budget {
		return 0
	}
	var rest, each wide
	rest.add(budget-spent, hourMS, 1)
	each.add(hourly, leftMS, 1)
	if each.high == 0 {
		if rest.high >= each.low {
			return math.MaxInt64
		}
		quotient, _ := bits.Div64(rest.high, rest.low, each.low)
		return int64(min(quotient, math.MaxInt64))
	}
	// price·ms beyond 64 bits is above (B−S)·hour, which an int64 of nano-units times 3.6e6 can only match at absurd prices: compare hours.
	return (budget - spent) / hourly / max(1, leftMS/hourMS)
}

// Capacity is Little's law: ⌈λ·S/(u·cores)⌉ replicas for λ requests a second of S seconds of compute each, at utilisation u.
func Capacity(perSecond, seconds, utilisation, cores float64) int64 {
	if utilisation <= 0 || cores <= 0 {
		return 0
	}
	return int64(math.Ceil(perSecond*seconds/(utilisation*cores) - 1e-9))
}

// Peak is the expected peak rate: the previous drop's peak per reachable follower × followers × headroom (DOMAIN 9: 1.5).
func Peak(previousPeak float64, previousFollowers, followers uint64, headroom float64) (perSecond float64, ok bool) {
	if previousFollowers == 0 || followers == 0 {
		return 0, false
	}
	return previousPeak / float64(previousFollowers) * float64(followers) * headroom, true
}

// Rejection is the share of requests that a client should not even send: max(0, (requests − K·accepts)/(requests+1)).
func Rejection(requests, accepts, k float64) float64 {
	return math.Max(0, (requests-k*accepts)/(requests+1))
}
