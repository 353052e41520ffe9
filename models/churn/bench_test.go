package churn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/models/scoring"
)

// wide draws rows of n features, half of them counts, with a tenth of one in five missing.
func wide(seed uint64, rows, n int) Data {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := Data{X: make([][]float64, rows), Y: make([]float64, rows)}
	for j := range n {
		d.Names = append(d.Names, fmt.Sprintf("f%d", j))
	}
	values := make([]float64, rows*n)
	for i := range d.X {
		d.X[i] = values[i*n : (i+1)*n]
		common, logit := rng.NormFloat64(), -1.0
		for j := range d.X[i] {
			v := 0.7*common + rng.NormFloat64()
			logit += v * float64(j%3-1) / 10
			switch {
			case j%5 == 0 && rng.Float64() < .1:
				v = math.NaN()
			case j%2 == 0:
				v = math.Floor(math.Exp(2 + v))
			}
			d.X[i][j] = v
		}
		if rng.Float64() < scoring.Sigmoid(logit) {
			d.Y[i] = 1
		}
	}
	return d
}

func BenchmarkFit(b *testing.B) {
	d := wide(1, 20_000, 50)
	b.ReportAllocs()
	var report FitReport
	for b.Loop() {
		var err error
		if _, report, err = Fit(d, FitConfig{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(d.Y)*b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(report.Passes), "passes")
}

func BenchmarkFTRLUpdate(b *testing.B) {
	d := wide(2, 1000, 50)
	for i := range d.X {
		for j, v := range d.X[i] {
			if v != v {
				d.X[i][j] = 0
			}
		}
	}
	f, err := NewFTRL(50, .05, 1, .01, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := f.Update(d.X[i%1000], d.Y[i%1000], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkOnlineUpdate(b *testing.B) {
	d := wide(3, 1000, 56)
	f, err := NewFTRL(2*56+1, .05, 1, .01, 1)
	if err != nil {
		b.Fatal(err)
	}
	o, err := NewOnline(Standardise(d, nil), f)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := o.Update(d.X[i%1000], d.Y[i%1000], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// No label may cost an allocation: they come by the million.
func TestOnlineUpdateAllocatesNothing(t *testing.T) {
	d := wide(4, 10, 56)
	o := must[*Online](t)(NewOnline(Standardise(d, nil), must[*FTRL](t)(NewFTRL(113, .05, 1, .01, 1))))
	must[float64](t)(o.Update(d.X[0], 1, 1))
	if n := testing.AllocsPerRun(100, func() { o.Update(d.X[1], 0, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
