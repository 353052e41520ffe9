package viewer

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/dashboards/metrics"
)

// legendLabel is {{label}} in a legend.
var legendLabel = regexp.MustCompile(`\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}`)

// noMetrics is the problem of a viewer without Metrics.
func noMetrics() *Problem {
	return problem(Away, "This process has no metrics to show.").fixedBy("Start it with --prometheus-url, or look at droplift up, which keeps its own.")
}

// serveMetrics answers a panel of PromQL. Metrics live in wall-clock time: where the page's range hangs on a drop, the
// newest metrics are shown instead, and the answer's range says so.
func (h *Handler) serveMetrics(w http.ResponseWriter, r *http.Request, targets []dashboards.Target, q *request) error {
	if h.cfg.Metrics == nil {
		return noMetrics()
	}
	if q.from.ofDrop() || q.to.ofDrop() {
		q.from, q.to = instant{atNow, -h.cfg.MetricsRange.Milliseconds()}, instant{atNow, 0}
	}
	span, bad := resolve(q.from, q.to, h.cfg.Now().UnixMilli(), dropTimes{}, h.cfg.Refresh, q.points)
	if bad != nil {
		return bad
	}
	oldest := h.cfg.Metrics.Since()
	span, young := span.since(oldest, h.cfg.Refresh, q.points)
	span.Step = max(span.Step, int64(h.cfg.Scrape/time.Second))
	if q.export {
		target, err := chosen(targets, q.ref)
		if err != nil {
			return err
		}
		series, err := h.series(r.Context(), target, span)
		if err != nil {
			return err
		}
		text, err := seriesCSV(target, series)
		if err != nil {
			return err
		}
		return h.writeCSV(w, r, target, text, false)
	}
	all := make([][]metrics.Series, len(targets))
	group, ctx := errgroup.WithContext(r.Context())
	for i, t := range targets {
		group.Go(func() (err error) {
			all[i], err = h.series(ctx, t, span)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	answer := newAnswer(span)
	if young {
		answer.since(oldest)
	}
	for i, t := range targets {
		for _, s := range all[i] {
			name := legend(t.Legend, s.Labels)
			answer.add(t.Ref, name, appendSeries(nil, name, s), false)
		}
	}
	return h.write(w, answer)
}

// maxSeries bounds the lines of one query: nobody can read more.
const maxSeries = 200

func (h *Handler) series(ctx context.Context, t dashboards.Target, span timeRange) ([]metrics.Series, error) {
	step := time.Duration(span.Step) * time.Second
	expr, err := h.promQL(t.Query, span)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("promql\x00%d\x00%d\x00%d\x00%s", span.From, span.To, span.Step, expr)
	return shared(ctx, h, key, func(ctx context.Context) ([]metrics.Series, int, error) {
		series, err := h.cfg.Metrics.QueryRange(ctx, expr, time.UnixMilli(span.From).UTC(), time.UnixMilli(span.To).UTC(), step)
		if err != nil {
			return nil, 0, err
		}
		if len(series) > maxSeries {
			return nil, 0, problem(TooMuch, "The answer has %d series; %d are sent at the most.", len(series), maxSeries).fixedBy("Choose fewer values.")
		}
		size := 0
		for _, s := range series {
			size += 16*len(s.Times) + 64*len(s.Labels)
		}
		return series, size, nil
	})
}

var promMacro = regexp.MustCompile(`\$\{?\w+(:\w+)?\}?`)

// promQL expands Grafana's intervals. A rate looks back over at least four samples, as Grafana has it.
func (h *Handler) promQL(expr string, span timeRange) (string, error) {
	seconds := func(n int64) string { return strconv.FormatInt(n, 10) + "s" }
	var unknown []string
	out := promMacro.ReplaceAllStringFunc(expr, func(m string) string {
		scrape := int64(h.cfg.Scrape / time.Second)
		switch strings.Trim(m, "${}") {
		case "__rate_interval":
			return seconds(max(span.Step+scrape, 4*scrape))
		case "__interval":
			return seconds(span.Step)
		case "__range":
			return seconds((span.To - span.From) / 1000)
		}
		unknown = append(unknown, m)
		return m
	})
	if unknown != nil {
		return "", fmt.Errorf("nothing fills %s in a query of metrics", strings.Join(unknown, ", "))
	}
	return out, nil
}

// legend names a series as Grafana does: by the template, or by its labels.
func legend(template string, labels map[string]string) string {
	if template == "" {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			if name != "__name__" {
				pairs = append(pairs, name+"="+strconv.Quote(labels[name]))
			}
		}
		return labels["__name__"] + "{" + strings.Join(pairs, ", ") + "}"
	}
	return legendLabel.ReplaceAllStringFunc(template, func(m string) string { return labels[legendLabel.FindStringSubmatch(m)[1]] })
}

// appendSeries writes a series as a time column and a value column.
func appendSeries(out []byte, name string, s metrics.Series) []byte {
	out = append(out, `[{"name":"time","type":"time","values":[`...)
	for i, at := range s.Times {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, at, 10)
	}
	out = appendString(append(out, `]},{"name":`...), name)
	out = append(out, `,"type":"number","labels":{`...)
	for i, label := range slices.Sorted(maps.Keys(s.Labels)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(append(appendString(out, label), ':'), s.Labels[label])
	}
	out = append(out, `},"values":[`...)
	for i, v := range s.Values {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendFloat(out, v, 64)
	}
	return append(out, "]}]"...)
}

func seriesCSV(t dashboards.Target, series []metrics.Series) ([]byte, error) {
	return writeRows([]string{"time", "series", "value"}, func(write func([]string) error) error {
		for _, s := range series {
			name := defuse(legend(t.Legend, s.Labels))
			for i, at := range s.Times {
				if err := write([]string{cellText(time.UnixMilli(at)), name, cellText(s.Values[i])}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// alert is an alert as the page lists it; times in Unix ms.
type alert struct {
	Name      string            `json:"name"`
	State     string            `json:"state"`
	Severity  string            `json:"severity"`
	Owner     string            `json:"owner"`
	Summary   string            `json:"summary"`
	NextStep  string            `json:"nextStep"`
	Runbook   string            `json:"runbook"`
	Dashboard string            `json:"dashboard"`
	Labels    map[string]string `json:"labels"`
	Since     *int64            `json:"since"`
	Value     *float64          `json:"value"`
}

// order is that of the list.
var order = map[string]int{"firing": 0, "pending": 1, "inactive": 2}

// serveAlerts lists alerts: firing first, then pending, then those that have nothing to say.
func (h *Handler) serveAlerts(w http.ResponseWriter, r *http.Request) error {
	if h.cfg.Metrics == nil {
		return noMetrics()
	}
	states, err := shared(r.Context(), h, "alerts", func(ctx context.Context) ([]metrics.AlertState, int, error) {
		states, err := h.cfg.Metrics.Alerts(ctx)
		return states, 512 * len(states), err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, h.alerts(states))
}

func (h *Handler) alerts(states []metrics.AlertState) []alert {
	all := []alert{}
	rules := map[string]dashboards.Alert{}
	for _, rule := range h.cfg.Alerts {
		rules[rule.Name] = rule
		if !slices.ContainsFunc(states, func(s metrics.AlertState) bool { return s.Name == rule.Name }) {
			states = append(states[:len(states):len(states)], metrics.AlertState{Name: rule.Name, State: metrics.Inactive})
		}
	}
	for _, s := range states {
		rule := rules[s.Name] // none for one that a Prometheus of somebody else's has
		a := alert{
			Name: s.Name, State: string(s.State), Severity: string(rule.Severity), Owner: rule.Owner, Summary: summary(rule.Summary, s), NextStep: rule.NextStep,
			Runbook: rule.Runbook, Dashboard: rule.Dashboard, Labels: map[string]string{},
		}
		maps.Copy(a.Labels, s.Labels)
		if !s.Since.IsZero() {
			ms := s.Since.UnixMilli()
			a.Since = &ms
		}
		if s.State != metrics.Inactive && !math.IsNaN(s.Value) && !math.IsInf(s.Value, 0) {
			a.Value = &s.Value
		}
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b alert) int { return order[a.State] - order[b.State] })
	return all
}

var templated = regexp.MustCompile(`\{\{\s*\$(?:labels\.(\w+)|value)[^{}]*\}\}`)

// summary fills the templates of an alert's summary. An inactive one is about any label there may be.
func summary(text string, s metrics.AlertState) string {
	return templated.ReplaceAllStringFunc(text, func(m string) string {
		label := templated.FindStringSubmatch(m)[1]
		value, known := s.Labels[label]
		switch {
		case known:
			return value
		case label != "":
			return "any " + label
		case s.State == metrics.Inactive:
			return "…"
		}
		return strconv.FormatFloat(s.Value, 'g', 3, 64)
	})
}
