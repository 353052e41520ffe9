package ltv

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"math"
	"os"
	"strconv"
	"testing"
)

// The published calibration summary of CDNOW's sample: weeks, dollars (DOMAIN 3.2).
func cdnow(t *testing.T) (histories []History, spendings []Spending) {
	t.Helper()
	file, err := os.Open("../../../shared/data/cdnow/cdnow_customers_summary_with_transactions.csv")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no real inputs at ../shared/data: skipped")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		var v [4]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(row[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		histories = append(histories, History{X: int(v[0]), Recency: v[1], Age: v[2]})
		spendings = append(spendings, Spending{X: int(v[0]), Mean: v[3]})
	}
	if len(histories) != 2357 {
		t.Fatalf("%d customers, want 2357", len(histories))
	}
	return histories, spendings
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.9g, want %.9g ± %g", what, got, want, tolerance)
	}
}

var (
	publishedRates = BGNBD{R: .243, Alpha: 4.414, A: .793, B: 2.426}
	publishedSpend = GammaGamma{P: 6.25, Q: 3.74, Gamma: 15.44}
)

func TestBGNBDOnCDNOW(t *testing.T) {
	histories, _ := cdnow(t)
	sum := 0.0
	for _, h := range histories {
		sum += publishedRates.LogLikelihood(h)
	}
	near(t, "log-likelihood at the published parameters", sum, -9582.4268, 5e-5)

	m, q, err := FitBGNBD(histories, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v", m, q)
	near(t, "r", m.R, .24259, 1e-3)
	near(t, "α", m.Alpha, 4.41353, 1e-3)
	near(t, "a", m.A, .79288, 1e-3)
	near(t, "b", m.B, 2.42575, 1e-3)
	near(t, "log-likelihood", q.LogLikelihood, -9582.42556, 5e-6)
	if q.Customers != 2357 {
		t.Errorf("%d customers", q.Customers)
	}
}

func TestBGNBDExpectations(t *testing.T) {
	m := publishedRates
	first := History{X: 2, Recency: 30.43, Age: 38.86}
	near(t, "E[Y(39)] of customer 1", m.Next(first, 39), 1.22603, 5e-6)
	near(t, "P(alive) of customer 1", m.Alive(first), .726579, 5e-7)
	near(t, "E[Y(39)] without a repeat", m.Next(History{Age: 38.86}, 39), .195098, 5e-7)
	near(t, "P(alive) without a repeat", m.Alive(History{Age: 38.86}), 1, 0)
	for _, want := range []struct{ t, purchases float64 }{
		{.1429, .007828}, {1, .053268}, {3, .150865}, {31.8571, 1.041996}, {32, 1.045243}, {78, 1.860519},
	} {
		near(t, "E[X("+strconv.FormatFloat(want.t, 'g', -1, 64)+")]", m.Expected(want.t), want.purchases, 1e-6)
	}
}

func TestGammaGammaOnCDNOW(t *testing.T) {
	_, spendings := cdnow(t)
	m, q, err := FitGammaGamma(spendings, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v", m, q)
	near(t, "p", m.P, 6.2488, 1e-3)
	near(t, "q", m.Q, 3.7446, 1e-3)
	near(t, "γ", m.Gamma, 15.4477, 1e-3)
	near(t, "log-likelihood", q.LogLikelihood, -4055.9232, 5e-5)
	if q.Customers != 946 {
		t.Errorf("%d customers bought again, want 946", q.Customers)
	}
	rho, err := Correlation(spendings)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "correlation of frequency and spend", rho, .1139, 5e-5)
}

func TestGammaGammaExpectations(t *testing.T) {
	m := publishedSpend
	near(t, "E[M | 22.35, 2]", m.Expected(Spending{X: 2, Mean: 22.35}), 24.6637, 5e-5)
	near(t, "E[M | 11.77, 1]", m.Expected(Spending{X: 1, Mean: 11.77}), 18.9169, 5e-5)
	near(t, "E[M] without a repeat", m.Expected(Spending{}), 35.2190, 5e-5)
	population, ok := m.Population()
	if !ok {
		t.Error("no population mean at q > 1")
	}
	near(t, "population mean", population, 35.2190, 5e-5)
	if mean, ok := (GammaGamma{P: 6, Q: 1, Gamma: 15}).Population(); ok {
		t.Errorf("a population mean of %v at q = 1, where it has none", mean)
	}
}

func TestValue(t *testing.T) {
	first := History{X: 2, Recency: 30.43, Age: 38.86}
	next := func(t float64) float64 { return publishedRates.Next(first, t) }
	spend := publishedSpend.Expected(Spending{X: 2, Mean: 22.35})
	v, err := Value(next, 39, spend, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "revenue of the next 39 weeks", v, 30.2384, 5e-5)
	half, err := Value(next, 39, spend, .5, .01)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for week := 1; week <= 39; week++ {
		want += .5 * spend * (next(float64(week)) - next(float64(week-1))) / math.Pow(1.01, float64(week))
	}
	near(t, "discounted margin", half, want, 1e-9)
	if v, err = Value(next, 1.5, spend, 1, 0); err != nil {
		t.Fatal(err)
	}
	near(t, "a horizon that ends within a step", v, spend*next(1.5), 1e-9)
	for _, bad := range [][2]float64{{-1, 0}, {math.NaN(), 0}, {math.Inf(1), 0}, {39, -1}, {39, math.NaN()}} {
		if _, err := Value(next, bad[0], spend, 1, bad[1]); err == nil {
			t.Errorf("a horizon of %v at a rate of %v has a value", bad[0], bad[1])
		}
	}
}

func TestCalibrate(t *testing.T) {
	rows, all := Calibrate([]Outcome{
		{X: 0, Predicted: .2, Actual: 0}, {X: 0, Predicted: .4, Actual: 1}, {X: 2, Predicted: 1, Actual: 2},
		{X: 7, Predicted: 5, Actual: 3}, {X: 9, Predicted: 6, Actual: 6},
	}, 7)
	if len(rows) != 3 || rows[0].X != 0 || rows[1].X != 2 || rows[2].X != 7 || !rows[2].Open || rows[1].Open || rows[2].Customers != 2 {
		t.Fatalf("rows %+v", rows)
	}
	near(t, "predicted at 0", rows[0].Predicted, .3, 1e-12)
	near(t, "actual at 0", rows[0].Actual, .5, 1e-12)
	near(t, "standard error at 0", rows[0].SE, .5, 1e-12)
	near(t, "actual at 7 and more", rows[2].Actual, 4.5, 1e-12)
	near(t, "predicted of all", all.Predicted, 12.6/5, 1e-12)
	if !math.IsNaN(rows[1].SE) || all.Customers != 5 {
		t.Errorf("%+v, %+v", rows[1], all)
	}
	if rows, all = Calibrate(nil, 3); rows != nil || all.Customers != 0 {
		t.Errorf("rows of nobody: %+v %+v", rows, all)
	}
}
