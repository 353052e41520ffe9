package ltv

import "math"

// Outcome is what a model fitted on what came before a cut said of a customer for the window after it, and what happened.
type Outcome struct {
	// X repeat purchases before the cut.
	X                 int
	Predicted, Actual float64
}

// Calibration compares the means of customers with the same X; Open stands for that many and more.
type Calibration struct {
	X                 int
	Open              bool
	Customers         int
	Predicted, Actual float64
	// SE is the standard error of Actual; NaN for one customer.
	SE float64
}

// Calibrate returns one row per X from 0 to most that has customers, the last one of most and more, and the row of everybody,
// which is Open from 0.
func Calibrate(outcomes []Outcome, most int) (rows []Calibration, all Calibration) {
	type sums struct{ n, predicted, actual, squares float64 }
	by := make([]sums, most+1)
	var every sums
	add := func(s *sums, o Outcome) {
		s.n++
		s.predicted += o.Predicted
		s.actual += o.Actual
		s.squares += o.Actual * o.Actual
	}
	for _, o := range outcomes {
		add(&by[min(max(o.X, 0), most)], o)
		add(&every, o)
	}
	row := func(s sums, x int, open bool) Calibration {
		mean := s.actual / s.n
		return Calibration{
			X: x, Open: open, Customers: int(s.n), Predicted: s.predicted / s.n, Actual: mean,
			SE: math.Sqrt(max(0, s.squares-s.n*mean*mean) / (s.n - 1) / s.n),
		}
	}
	for x, s := range by {
		if s.n > 0 {
			rows = append(rows, row(s, x, x == most))
		}
	}
	if every.n > 0 {
		all = row(every, 0, true)
	}
	return rows, all
}
