package ltv

import (
	"fmt"
	"math"
)

// Value is the customer lifetime value CLV(H) = Σ_{t=1..H} margin·spend·(E[Y(t)] − E[Y(t−1)])/(1+rate)^t (DOMAIN 3.3). next gives
// E[Y(t)] of one customer, spend is E[M], margin the share of it that counts, rate the discount per step of time. steps may end in a fraction.
func Value(next func(t float64) float64, steps, spend, margin, rate float64) (float64, error) {
	if !(steps >= 0) || math.IsInf(steps, 1) || !(rate > -1) {
		return 0, fmt.Errorf("horizon %v at a discount rate of %v has no value", steps, rate)
	}
	if rate == 0 {
		return margin * spend * next(steps), nil // the sum telescopes
	}
	sum, before := 0.0, 0.0
	for t := 1.0; t < steps+1; t++ {
		at := min(t, steps)
		now := next(at)
		sum += (now - before) / math.Pow(1+rate, at)
		before = now
	}
	return margin * spend * sum, nil
}
