package stats

import (
	"math"
	"testing"
)

func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		successes, n uint64
		low, high    float64
	}{
		{30, 1000, 0.021094, 0.042503}, // DOMAIN 0
		{0, 50, 0, 0.071348},
		{50, 50, 1 - 0.071348, 1},
		{0, 0, 0, 1},
	} {
		low, high := Wilson(tt.successes, tt.n, Z95)
		if math.Abs(low-tt.low) > 1e-6 || math.Abs(high-tt.high) > 1e-6 {
			t.Errorf("%d of %d: [%.6f, %.6f], want [%.6f, %.6f]", tt.successes, tt.n, low, high, tt.low, tt.high)
		}
	}
}
