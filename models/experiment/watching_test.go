package experiment

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestContinuousWatching is DOMAIN 6's simulation: A/A at 4 %, a look every 200 units an arm up to 20,000.
// The always-valid test rejects at most alpha, and its intervals cover at all looks at once; z at every look and the
// posterior at every look do not.
func TestContinuousWatching(t *testing.T) {
	const (
		runs, step, end = 500, 200, 20_000
		rate, tau       = .04, .01
		alpha           = .05
	)
	for _, truth := range []float64{0, .006} {
		random := rand.New(rand.NewPCG(63, uint64(truth*1e6)))
		var valid, naive, posterior, missed int
		for range runs {
			var s Sequence
			var a, b uint64
			var z, sure, outside bool
			for n := uint64(step); n <= end; n += step {
				for range step {
					if random.Float64() < rate {
						a++
					}
					if random.Float64() < rate+truth {
						b++
					}
				}
				if min(a, b) < BurnIn {
					continue
				}
				delta, v := Difference(Proportion(a, n), Proportion(b, n))
				z = z || Normal(delta, v) <= alpha
				p := PosteriorOf(a, n).Exceeds(PosteriorOf(b, n))
				sure = sure || p > .95 || p < .05
				s.Look(delta, v, tau)
				low, high := Interval(delta, v, tau, alpha)
				outside = outside || truth < low || truth > high
			}
			for _, c := range []struct {
				n  *int
				is bool
			}{{&valid, s.P() <= alpha}, {&naive, z}, {&posterior, sure}, {&missed, outside}} {
				if c.is {
					*c.n++
				}
			}
		}
		share := func(n int) float64 { return float64(n) / runs }
		t.Logf("true difference %.3f, %d runs of 100 looks: always-valid rejects %.3f, z at every look %.3f, P(B>A) beyond .95 %.3f; confidence sequence covers all looks %.3f",
			truth, runs, share(valid), share(naive), share(posterior), 1-share(missed))
		if share(missed) > alpha {
			t.Errorf("the confidence sequence misses in %.3f of the runs", share(missed))
		}
		if truth != 0 {
			if share(valid) < .3 {
				t.Errorf("the effect is found in %.3f of the runs only", share(valid))
			}
			continue
		}
		if share(valid) > alpha {
			t.Errorf("always-valid rejects %.3f of A/A", share(valid))
		}
		// Three standard errors around DOMAIN's shares of 250 runs.
		if math.Abs(share(naive)-.26) > .1 || math.Abs(share(posterior)-.40) > .12 {
			t.Errorf("peeking: z %.3f, want about .26; posterior %.3f, want about .40", share(naive), share(posterior))
		}
	}
}
