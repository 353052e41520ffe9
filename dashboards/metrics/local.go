package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// Config is what a Local keeps and watches. Only Gatherer must be given.
type Config struct {
	// Gatherer is asked Every (default 5 s), and its samples are kept for Retention (default 24 h): about 1 MB an hour
	// and thousand series. Beyond MaxSeries (default 20,000) new series are refused, and counted.
	Gatherer  prometheus.Gatherer
	Every     time.Duration
	Retention time.Duration
	MaxSeries int
	// Labels are added to every series, as a Prometheus adds job and instance. Default: job "droplift", instance "local".
	Labels map[string]string

	// Dir is a directory of this process's own below which samples and alerts outlive it: they are written every minute
	// and at the end of Run, and the next Run goes on with them. It holds what Retention does, compressed once more.
	// Empty keeps nothing.
	Dir string

	// Rules are evaluated EvaluateEvery (default 15 s).
	Rules         []Rule
	EvaluateEvery time.Duration

	// QueryTimeout bounds a question (default 10 s).
	QueryTimeout time.Duration

	// Registerer gets metrics about all this; nil leaves them out.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// Validate sets defaults and reports every problem.
func (c *Config) Validate() error {
	var problems []error
	if c.Gatherer == nil {
		problems = append(problems, errors.New("metrics: there is no gatherer"))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		or    time.Duration
	}{
		{"interval of scrapes", &c.Every, 5 * time.Second},
		{"retention", &c.Retention, 24 * time.Hour},
		{"interval of evaluations", &c.EvaluateEvery, 15 * time.Second},
		{"time limit of queries", &c.QueryTimeout, 10 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
		if *d.value < 0 {
			problems = append(problems, fmt.Errorf("metrics: the %s is %v", d.name, *d.value))
		}
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 20_000
	}
	if c.MaxSeries < 0 {
		problems = append(problems, fmt.Errorf("metrics: at most %d series", c.MaxSeries))
	}
	if c.Labels == nil {
		c.Labels = map[string]string{"job": "droplift", "instance": "local"}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(problems...)
}

// maxSamples is how many samples one question may hold in memory at a time, 16 bytes each.
const maxSamples = 5_000_000

// Local is this process's own Prometheus, as far as dashboards and alerts need one: it scrapes one gatherer, keeps the
// samples in memory and evaluates PromQL with Prometheus's engine. Run makes it go; the other methods may be called
// at any time, by many at once.
type Local struct {
	cfg    Config
	store  *store
	engine *promql.Engine

	mu    sync.Mutex
	rules []*rule

	refused  prometheus.Counter
	failures *prometheus.CounterVec
	broken   bool // the last scrape failed; Run's alone
	disk     *disk
}

// NewLocal makes a Local without samples.
func NewLocal(cfg Config) (*Local, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rules, err := parseRules(cfg.Rules)
	if err != nil {
		return nil, err
	}
	l := &Local{
		cfg:   cfg,
		store: newStore(cfg.Retention, cfg.MaxSeries),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger: cfg.Logger, MaxSamples: maxSamples, Timeout: cfg.QueryTimeout,
			EnableAtModifier: true, EnableNegativeOffset: true, Parser: promQL,
			NoStepSubqueryIntervalFn: func(int64) int64 { return cfg.EvaluateEvery.Milliseconds() },
		}),
		rules: rules,
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "droplift_metrics_refused_samples_total", Help: "Samples not kept in memory because there are too many series."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "droplift_metrics_rule_failures_total", Help: "Evaluations of alerting rules that failed."}, []string{"rule"}),
	}
	for _, r := range rules {
		l.failures.WithLabelValues(r.Name)
	}
	if cfg.Registerer == nil {
		return l, nil
	}
	return l, errors.Join(
		cfg.Registerer.Register(l.refused),
		cfg.Registerer.Register(l.failures),
		cfg.Registerer.Register(sizes{l.store}),
	)
}

// Run scrapes and evaluates until ctx ends, whose cause it returns.
func (l *Local) Run(ctx context.Context) error {
	scrapes, evaluations, saves := time.NewTicker(l.cfg.Every), time.NewTicker(l.cfg.EvaluateEvery), time.NewTicker(saveEvery)
	defer scrapes.Stop()
	defer evaluations.Stop()
	defer saves.Stop()
	l.restore(time.Now())
	defer l.leave()
	l.scrape(time.Now())
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-scrapes.C:
			l.scrape(time.Now())
		case <-evaluations.C:
			l.evaluate(ctx, time.Now())
		case <-saves.C:
			l.save(time.Now())
		}
	}
}

// scrape takes in what the gatherer has. As with a Prometheus, a scrape that fails leaves only up, at 0.
func (l *Local) scrape(now time.Time) {
	// Even distances between samples take next to no memory, so that the jitter of tickers is rounded away.
	at := now.Round(100 * time.Millisecond).UnixMilli()
	families, err := l.cfg.Gatherer.Gather()
	var vector model.Vector
	if err == nil {
		vector, err = expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.Time(at)}, families...)
	}
	up := 1.
	if err != nil {
		up, vector = 0, nil
		if !l.broken {
			l.cfg.Logger.Warn("cannot gather metrics: panels and alerts that need them have none", "err", err)
		}
	}
	l.broken = err != nil
	vector = append(vector, &model.Sample{Metric: model.Metric{labels.MetricName: "up"}, Value: model.SampleValue(up)})

	samples := make([]sample, len(vector))
	builder := labels.NewScratchBuilder(8)
	for i, s := range vector {
		builder.Reset()
		for name, v := range s.Metric {
			if v == "" {
				continue // an empty label is none
			}
			if _, taken := l.cfg.Labels[string(name)]; taken {
				name = "exported_" + name
			}
			builder.Add(string(name), string(v))
		}
		for name, v := range l.cfg.Labels {
			builder.Add(name, v)
		}
		builder.Sort()
		samples[i] = sample{builder.Labels(), float64(s.Value)}
	}
	l.refused.Add(float64(l.store.append(at, samples)))
}

// QueryRange implements Metrics.
func (l *Local) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	if err := checkRange(from, to, step); err != nil {
		return nil, err
	}
	if _, err := promQL.ParseExpr(expr); err != nil {
		return nil, &QueryError{err}
	}
	query, err := l.engine.NewRangeQuery(ctx, l.store, nil, expr, from, to, step)
	if err != nil {
		return nil, &QueryError{err}
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, queryErr(result.Err)
	}
	matrix, err := result.Matrix()
	if err != nil {
		return nil, queryErr(err)
	}
	return answer(matrix), nil
}

// Since implements Metrics.
func (l *Local) Since() time.Time {
	if oldest := l.store.oldest(); oldest != math.MaxInt64 {
		return time.UnixMilli(oldest).UTC()
	}
	return time.Time{}
}

// Alerts implements Metrics, as of the last evaluation.
func (l *Local) Alerts(context.Context) ([]AlertState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []AlertState
	for _, r := range l.rules {
		all = append(all, r.states()...)
	}
	return all, nil
}

// evaluate brings every rule up to now. A rule that cannot be evaluated keeps its alerts.
func (l *Local) evaluate(ctx context.Context, now time.Time) {
	for _, r := range l.rules {
		vector, err := l.instant(ctx, r.Expr, now)
		if err == nil {
			l.mu.Lock()
			err = r.update(now, vector)
			l.mu.Unlock()
		}
		if err != nil && ctx.Err() == nil {
			l.failures.WithLabelValues(r.Name).Inc()
			l.cfg.Logger.Warn("an alerting rule cannot be evaluated: its alerts stay as they are", "rule", r.Name, "err", err)
		}
	}
}

func (l *Local) instant(ctx context.Context, expr string, now time.Time) (promql.Vector, error) {
	query, err := l.engine.NewInstantQuery(ctx, l.store, nil, expr, now)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	vector, err := result.Vector()
	if err != nil {
		return nil, err
	}
	// The query's memory is reused once it is closed.
	return append(promql.Vector(nil), vector...), nil
}

// sizes are the metrics of a store, read when asked.
type sizes struct{ store *store }

var (
	seriesSize = prometheus.NewDesc("droplift_metrics_series", "Series kept in memory.", nil, nil)
	bytesSize  = prometheus.NewDesc("droplift_metrics_sample_bytes", "Compressed samples kept in memory, bytes.", nil, nil)
)

func (s sizes) Describe(out chan<- *prometheus.Desc) { out <- seriesSize; out <- bytesSize }

func (s sizes) Collect(out chan<- prometheus.Metric) {
	series, bytes := s.store.size()
	out <- prometheus.MustNewConstMetric(seriesSize, prometheus.GaugeValue, float64(series))
	out <- prometheus.MustNewConstMetric(bytesSize, prometheus.GaugeValue, float64(bytes))
}
