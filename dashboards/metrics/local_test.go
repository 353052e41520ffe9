package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var epoch = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// after is the time of a test in seconds since its begin.
func after(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }

func newLocal(t testing.TB, gatherer prometheus.Gatherer, cfg Config) *Local {
	t.Helper()
	cfg.Gatherer = gatherer
	l, err := NewLocal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// points asks for one series and writes it as second=value, NaN left out as Prometheus does for points without a value.
func points(t *testing.T, l *Local, expr string, from, to, step float64) string {
	t.Helper()
	all, err := l.QueryRange(context.Background(), expr, after(from), after(to), time.Duration(step*float64(time.Second)))
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var lines []string
	for _, s := range all {
		var cells []string
		for i, v := range s.Values {
			cells = append(cells, fmt.Sprintf("%v=%v", float64(s.Times[i]-epoch.UnixMilli())/1000, math.Round(v*1e6)/1e6))
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}

func want(t *testing.T, l *Local, expr string, from, to, step float64, want string) {
	t.Helper()
	if got := points(t, l, expr, from, to, step); got != want {
		t.Errorf("%s:\n got %s\nwant %s", expr, got, want)
	}
}

func TestValuesAndLabels(t *testing.T) {
	reg := prometheus.NewRegistry()
	lag := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lag"}, []string{"stage", "job"})
	reg.MustRegister(lag)
	l := newLocal(t, reg, Config{})
	lag.WithLabelValues("a", "own").Set(3)
	lag.WithLabelValues(`quo"te 🎉 \ שלום`, "").Set(4)
	l.scrape(after(0))
	all, err := l.QueryRange(context.Background(), `lag`, after(0), after(0), time.Second)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for i, want := range []string{
		"map[__name__:lag exported_job:own instance:local job:droplift stage:a]",
		`map[__name__:lag instance:local job:droplift stage:quo"te 🎉 \ שלום]`,
	} {
		if got := fmt.Sprint(all[i].Labels); got != want {
			t.Errorf("labels %s, want %s", got, want)
		}
	}
	want(t, l, `sum(lag)`, 0, 0, 1, "0=7")
	want(t, l, `{stage=~"a|b"}`, 0, 0, 1, "0=3") // by no name
	want(t, l, `up`, 0, 0, 1, "0=1")
	want(t, l, `nothing`, 0, 0, 1, "")
	want(t, l, `lag`, -100, -10, 10, "")                             // before everything
	want(t, l, `lag{stage="a"}`, 299, 400, 50, "299=3")              // in the future: the newest value holds for 5 min
	want(t, l, `absent(nothing{stage="x"})`, 0, 10, 10, "0=1 10=1")  // what alerts on missing metrics ask
	want(t, l, `sum(lag) > 100 or vector(0)`, 0, 10, 10, "0=0 10=0") // the usual way to a zero
	want(t, l, `avg_over_time(lag{stage="a"}[1m] @ end())`, 0, 0, 1, "0=3")
}

// A counter that begins anew counts on; a gap of scrapes is bridged by what came after it.
func TestRateOverResetAndGap(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := newLocal(t, reg, Config{})
	value := 0.
	counter := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "records_total"}, func() float64 { return value })
	reg.MustRegister(counter)
	for s := 0.; s <= 60; s += 5 {
		switch {
		case s == 30:
			value = 0 // a restart: 10/s before and after
		case s > 0:
			value += 50
		}
		l.scrape(after(s))
	}
	want(t, l, `resets(records_total[1m])`, 60, 60, 5, "60=1")
	// 50 to 250 and 0 to 300 within 55 s of samples, extrapolated to 60 s.
	want(t, l, `increase(records_total[1m])`, 60, 60, 5, "60=545.454545")

	// The machine sleeps from 60 to 120.
	value += 600
	l.scrape(after(120))
	want(t, l, `records_total`, 60, 120, 20, "60=300 80=300 100=300 120=900")
	// 500 and 600 within 115 s.
	want(t, l, `rate(records_total[2m])`, 120, 120, 5, "120=9.565217")
}

func TestHistogramQuantile(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "commit_seconds", Buckets: []float64{1, 2, 4}}, []string{"stage"})
	reg.MustRegister(h)
	l := newLocal(t, reg, Config{})
	h.WithLabelValues("a")
	l.scrape(after(0))
	for range 50 {
		h.WithLabelValues("a").Observe(0.5)
		h.WithLabelValues("a").Observe(1.5)
	}
	l.scrape(after(5))
	l.scrape(after(10))
	want(t, l, `histogram_quantile(0.75, sum by (le, stage) (rate(commit_seconds_bucket[15s])))`, 10, 10, 5, "10=1.5")
	want(t, l, `commit_seconds_count`, 10, 10, 5, "10=100")
	want(t, l, `commit_seconds_bucket{le="+Inf"}`, 10, 10, 5, "10=100")

	summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "pause_seconds", Objectives: map[float64]float64{1: 0}})
	reg.MustRegister(summary)
	summary.Observe(2)
	l.scrape(after(15))
	want(t, l, `pause_seconds{quantile="1"}`, 15, 15, 5, "15=2")
}

// A series that vanishes ends at once, not 5 min later, and one that returns goes on.
func TestStaleness(t *testing.T) {
	reg := prometheus.NewRegistry()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "value"}, []string{"drop"})
	reg.MustRegister(gauge)
	l := newLocal(t, reg, Config{})
	gauge.WithLabelValues("d1").Set(1)
	l.scrape(after(0))
	l.scrape(after(5))
	gauge.Reset()
	l.scrape(after(10))
	l.scrape(after(15))
	want(t, l, `value`, 0, 20, 5, "0=1 5=1")
	gauge.WithLabelValues("d1").Set(2)
	l.scrape(after(20))
	want(t, l, `value`, 0, 25, 5, "0=1 5=1 20=2 25=2")
	want(t, l, `count_over_time(value[30s])`, 25, 25, 5, "25=3")
}

// broken is a registry one of whose collectors fails at will.
type broken struct {
	*prometheus.Registry
	err error
}

func (b *broken) Gather() ([]*dto.MetricFamily, error) {
	families, _ := b.Registry.Gather()
	return families, b.err
}

// A scrape that fails is no data, as in a Prometheus whose target answers 500.
func TestFailedScrape(t *testing.T) {
	reg := &broken{Registry: prometheus.NewRegistry()}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "value"})
	reg.MustRegister(gauge)
	l := newLocal(t, reg, Config{})
	l.scrape(after(0))
	reg.err = errors.New("no")
	l.scrape(after(5))
	reg.err = nil
	l.scrape(after(10))
	want(t, l, `value`, 0, 10, 5, "0=0 10=0")
	want(t, l, `up`, 0, 10, 5, "0=1 5=0 10=1")
}

// Samples older than the retention go, a chunk at a time; so do series of which nothing is left.
func TestRetention(t *testing.T) {
	reg := prometheus.NewRegistry()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "value"}, []string{"drop"})
	reg.MustRegister(gauge)
	l := newLocal(t, reg, Config{Retention: 30 * time.Minute})
	gauge.WithLabelValues("old").Set(1)
	l.scrape(after(0))
	gauge.Reset()
	gauge.WithLabelValues("new").Set(1)
	for s := 5.; s <= 2*3600; s += 5 {
		gauge.WithLabelValues("new").Set(s)
		l.scrape(after(s))
	}
	if series, _ := l.store.size(); series != 2 { // up and the new one
		t.Errorf("%d series are left", series)
	}
	want(t, l, `value`, 0, 60, 10, "")
	// Every sample of the retention is there, and no more than a chunk beside it.
	var n float64
	if _, err := fmt.Sscanf(points(t, l, `count_over_time(value[2h])`, 7200, 7200, 1), "7200=%f", &n); err != nil || n < 360 || n > 360+chunkSamples {
		t.Errorf("%v samples are left (%v)", n, err)
	}
	// The values on both sides of every chunk's end.
	want(t, l, fmt.Sprintf(`sum_over_time(abs(value - (time() - %d))[30m:5s])`, epoch.Unix()), 7200, 7200, 5, "7200=0")
}

func TestTooManySeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "value"}, []string{"n"})
	reg.MustRegister(gauge)
	own := prometheus.NewRegistry()
	l := newLocal(t, reg, Config{MaxSeries: 3, Registerer: own})
	for n := range 5 {
		gauge.WithLabelValues(fmt.Sprint(n)).Set(1)
	}
	l.scrape(after(0))
	l.scrape(after(5))
	want(t, l, `count(value)`, 5, 5, 1, "5=3")
	families, err := own.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	// Three of the five and up are refused, twice.
	if got["droplift_metrics_refused_samples_total"] != 6 || got["droplift_metrics_series"] != 3 || got["droplift_metrics_sample_bytes"] < 3*10 {
		t.Errorf("got %v", got)
	}
}

func TestBadQuestions(t *testing.T) {
	l := newLocal(t, prometheus.NewRegistry(), Config{})
	ctx := context.Background()
	for _, c := range []struct {
		expr     string
		from, to float64
		step     time.Duration
	}{
		{`sum(`, 0, 1, time.Second},
		{``, 0, 1, time.Second},
		{`up[5m]`, 0, 1, time.Second},
		{`up`, 1, 0, time.Second},
		{`up`, 0, 1, 0},
		{`up`, 0, 1, -time.Second},
		{`up`, 0, 11_000, time.Second},
	} {
		var bad *QueryError
		if got, err := l.QueryRange(ctx, c.expr, after(c.from), after(c.to), c.step); !errors.As(err, &bad) {
			t.Errorf("%q: %v, %v", c.expr, got, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.QueryRange(ended, `up`, after(0), after(1), time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled question: %v", err)
	}
	late, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	if _, err := l.QueryRange(late, `up`, after(0), after(1), time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a question that is too late: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Gatherer: prometheus.NewRegistry(), Every: -1},
		{Gatherer: prometheus.NewRegistry(), MaxSeries: -1},
		{Gatherer: prometheus.NewRegistry(), Rules: []Rule{{Name: "A", Expr: "sum("}}},
		{Gatherer: prometheus.NewRegistry(), Rules: []Rule{{Name: "A", Expr: "1"}}},
		{Gatherer: prometheus.NewRegistry(), Rules: []Rule{{Name: "A", Expr: "up"}, {Name: "A", Expr: "up"}}},
		{Gatherer: prometheus.NewRegistry(), Rules: []Rule{{Name: "A", Expr: "up", For: -1}}},
	} {
		if _, err := NewLocal(cfg); err == nil {
			t.Errorf("%+v is no error", cfg)
		}
	}
}

// Readers see whole chunks while the one writer appends; Run ends with its context.
func TestRunAndConcurrentReads(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "records_total"}, func() float64 { return 1 }))
	l := newLocal(t, reg, Config{Every: time.Millisecond, EvaluateEvery: time.Millisecond, Rules: []Rule{{Name: "Up", Expr: "up == 1"}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()

	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := 0; n < 50; {
				now := time.Now()
				all, err := l.QueryRange(context.Background(), `records_total`, now.Add(-time.Minute), now.Add(time.Second), time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				states, err := l.Alerts(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				if len(all) == 1 && states[0].State == Firing {
					n++
				}
				l.store.size()
				runtime.Gosched()
			}
		})
	}
	readers.Wait()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

// What an hour of 1,000 series takes: half of them still, as most of a pipeline's are, half counting at a changing rate.
func BenchmarkScrape(b *testing.B) {
	reg := prometheus.NewRegistry()
	values := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "value"}, []string{"n"})
	reg.MustRegister(values)
	l := newLocal(b, reg, Config{})
	const series = 1000
	s, samples := 0, 0
	for b.Loop() {
		for n := range series / 2 {
			values.WithLabelValues(fmt.Sprint(n)).Set(5)
			values.WithLabelValues(fmt.Sprint(series/2 + n)).Add(float64(100 + s*n%37))
		}
		l.scrape(after(float64(5 * s)))
		s++
		samples += series
	}
	_, bytes := l.store.size()
	if s <= 17_000 { // within the retention
		b.ReportMetric(float64(bytes)/float64(samples), "B/sample")
	}
}

// A dashboard's dearest question: a quantile by stage over 6 h at 600 points.
func BenchmarkQuantile(b *testing.B) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "commit_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"stage"})
	reg.MustRegister(h)
	l := newLocal(b, reg, Config{})
	for s := 0.; s < 6*3600; s += 5 {
		for stage := range 4 {
			h.WithLabelValues(fmt.Sprint(stage)).Observe(math.Mod(s, 7) / 100)
		}
		l.scrape(after(s))
	}
	for b.Loop() {
		all, err := l.QueryRange(context.Background(), `histogram_quantile(0.99, sum by (le, stage) (rate(commit_seconds_bucket[1m])))`, after(0), after(6*3600), 36*time.Second)
		if err != nil || len(all) != 4 {
			b.Fatal(all, err)
		}
	}
}
