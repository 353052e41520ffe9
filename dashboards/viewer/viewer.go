// Package viewer serves the generated dashboards in a browser: the same JSON that
// Grafana loads, the answers of its panels, and the page that draws them. Browsers
// name a dashboard, a panel and values; the queries are the dashboards' own, run by
// name with their parameters beside the text, so no SQL ever comes from outside.
//
//	viewer.go      the handler, its configuration and its routes
//	request.go     what a request asks for, checked
//	timerange.go   time ranges: anchors, offsets, rounding, steps
//	panels.go      answers of panels, variables and annotations
//	prometheus.go  panels of PromQL, and alerts
//	frame.go       tables as JSON columns and as CSV
//	cache.go       one answer for everybody who asks the same at about the same time
//	problem.go     what can go wrong, as the page shows it
//	guard.go       who may ask: loopback, tokens, headers
//	page.go        the built page
//	metrics.go     Prometheus metrics of all that
//
// One answer of the database serves all viewers that refresh at about the same
// time: ranges relative to an anchor are rounded, equal queries under way are joined,
// and answers are kept for as long as a page waits between two refreshes. At most
// Config.Queries are under way at a time, so that a wall of screens never keeps the
// sink from storing.
package viewer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/droplift/droplift/dashboards"
)

// Source answers named queries of package sql. Errors that are, or wrap, a *Problem are shown as such.
type Source interface {
	// Query returns at most rows rows. It ends when ctx does, on the server, too.
	Query(ctx context.Context, name string, params map[string]any, rows int) (*Table, error)
}

// Table is a query's answer, which the viewer owns. Values are Go values as clickhouse-go scans them: pointers for
// Nullable columns, time.Time in UTC for dates and times.
type Table struct {
	Columns []string
	Types   []string // ClickHouse's names
	Rows    [][]any
	// Truncated says that there are more rows.
	Truncated bool
}

// Metrics answers PromQL.
type Metrics interface {
	QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error)
	// Alerts are those pending or firing.
	Alerts(ctx context.Context) ([]AlertState, error)
}

// Series is one answer of PromQL: values at Unix ms.
type Series struct {
	Labels map[string]string
	Times  []int64
	Values []float64
}

// AlertState is an alert that is pending or firing.
type AlertState struct {
	Name, State string
	Labels      map[string]string
	Since       time.Time
	Value       float64
}

// AlertRule is what is known of an alert whether it fires or not. Summary may name {{ $labels.x }} and {{ $value }}.
type AlertRule struct {
	Name, Severity, Owner, Summary, NextStep, Runbook, Dashboard string
}

// Config is what a Handler needs. Zero values mean the documented defaults.
type Config struct {
	Dashboards []dashboards.Dashboard
	Source     Source
	// Metrics is nil where nothing answers PromQL; panels then say so.
	Metrics Metrics
	// MetricsRange is how much of the newest wall-clock time PromQL shows when the page's range is event time; default 1 h.
	MetricsRange time.Duration
	// Scrape is the distance between two samples of Metrics, default 15 s.
	Scrape time.Duration
	Alerts []AlertRule
	// Token lets in whoever shows it, from anywhere. Without one, only requests to a loopback name are answered.
	Token string
	// Timeout bounds one query, and waiting for its turn; default 5 s.
	Timeout time.Duration
	// Refresh is how long an answer serves everybody who asks the same, and what anchored ranges are rounded to; default 5 s.
	Refresh time.Duration
	// Queries is how many run at a time, default 4.
	Queries int
	// MaxRows bounds the rows of one query on a page, default 20,000, and MaxExport those of a CSV, default 100,000.
	MaxRows, MaxExport int
	// MaxBytes bounds one answer, default 16 MiB; CacheBytes what is kept of all, default 64 MiB.
	MaxBytes, CacheBytes int
	// AllowedLateness is how long after its end a drop's data goes on, default 10 min.
	AllowedLateness time.Duration
	Version, Title  string // Title defaults to "Droplift"
	Demo            bool
	// Page holds index.html and assets; default the built one.
	Page       fs.FS
	Registerer prometheus.Registerer // default: metrics are not exported
	Logger     *slog.Logger          // default discards
	// Now is the wall clock, default time.Now.
	Now func() time.Time
}

func (cfg *Config) validate() error {
	byDefault(&cfg.MetricsRange, time.Hour)
	byDefault(&cfg.Scrape, 15*time.Second)
	byDefault(&cfg.Timeout, 5*time.Second)
	byDefault(&cfg.Refresh, 5*time.Second)
	byDefault(&cfg.Queries, 4)
	byDefault(&cfg.MaxRows, 20_000)
	byDefault(&cfg.MaxExport, 100_000)
	byDefault(&cfg.MaxBytes, 16<<20)
	byDefault(&cfg.CacheBytes, 64<<20)
	byDefault(&cfg.AllowedLateness, 10*time.Minute)
	byDefault(&cfg.Title, "Droplift")
	if cfg.Page == nil {
		cfg.Page = built()
	}
	if cfg.Registerer == nil {
		cfg.Registerer = prometheus.NewRegistry()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var problems []error
	if len(cfg.Dashboards) == 0 {
		problems = append(problems, errors.New("viewer: no dashboards"))
	}
	if cfg.Source == nil {
		problems = append(problems, errors.New("viewer: no source"))
	}
	if min(cfg.MetricsRange, cfg.Scrape, cfg.Timeout, cfg.Refresh, cfg.AllowedLateness) < 0 || min(cfg.Queries, cfg.MaxRows, cfg.MaxExport, cfg.MaxBytes, cfg.CacheBytes) < 0 {
		problems = append(problems, errors.New("viewer: limits must not be negative"))
	}
	return errors.Join(problems...)
}

func byDefault[T comparable](value *T, or T) {
	var zero T
	if *value == zero {
		*value = or
	}
}

// Handler answers HTTP requests. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	boards  map[string]*board
	entries []entry
	page    *page
	metrics *metrics
	cache   *cache
	flights singleflight.Group
	slots   *semaphore.Weighted
	handler http.Handler

	// alive ends at Close, and with it the queries under way.
	alive context.Context
	end   context.CancelFunc
}

// entry is a dashboard in the list.
type entry struct {
	UID         string `json:"uid"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// board is a dashboard as requests ask for it.
type board struct {
	json        []byte
	from, to    string // its own range
	panels      map[uint32][]dashboards.Target
	variables   map[string]dashboards.Target
	annotations []mark
}

// mark is a layer of annotations.
type mark struct {
	target dashboards.Target
	color  string
}

// New makes a handler. Close it when no request is under way any more.
func New(cfg Config) (*Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	h := &Handler{cfg: cfg, boards: map[string]*board{}, slots: semaphore.NewWeighted(int64(cfg.Queries))}
	var err error
	for _, d := range cfg.Dashboards {
		if h.boards[d.UID()], err = newBoard(d); err != nil {
			return nil, err
		}
		h.entries = append(h.entries, entry{d.UID(), d.Title(), d.Description()})
	}
	if h.page, err = newPage(cfg.Page); err != nil {
		return nil, err
	}
	if h.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	if h.cache, err = newCache(cfg.CacheBytes); err != nil {
		return nil, err
	}
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.CompressionLevel(2))
	if err != nil {
		return nil, err
	}
	h.alive, h.end = context.WithCancel(context.Background())
	h.handler = h.guard(compress(h.routes()))
	return h, nil
}

func newBoard(d dashboards.Dashboard) (*board, error) {
	text, err := d.JSON()
	if err != nil {
		return nil, err
	}
	// What the queries do not say is read from the JSON, as the page does.
	var model struct {
		Time        struct{ From, To string }
		Annotations struct {
			List []struct{ Name, IconColor string }
		}
	}
	if err := json.Unmarshal(text, &model); err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.UID(), err)
	}
	b := &board{json: text, from: model.Time.From, to: model.Time.To, panels: map[uint32][]dashboards.Target{}, variables: map[string]dashboards.Target{}}
	for _, t := range d.Panels() {
		b.panels[t.Panel] = append(b.panels[t.Panel], t)
	}
	for _, t := range d.Variables() {
		b.variables[t.Title] = t
	}
	for _, t := range d.Annotations() {
		layer := mark{target: t}
		for _, l := range model.Annotations.List {
			if l.Name == t.Title {
				layer.color = l.IconColor
			}
		}
		b.annotations = append(b.annotations, layer)
	}
	return b, nil
}

func (h *Handler) routes() http.Handler {
	mux := http.NewServeMux()
	api := func(route string, answer func(http.ResponseWriter, *http.Request) error) {
		mux.Handle("GET /api"+route, h.measured(route, answer))
	}
	api("/info", h.serveInfo)
	api("/dashboards", h.serveDashboards)
	api("/dashboards/{uid}", h.serveDashboard)
	api("/dashboards/{uid}/panels/{id}", h.servePanel)
	api("/dashboards/{uid}/variables/{name}", h.serveVariable)
	api("/dashboards/{uid}/annotations", h.serveAnnotations)
	api("/alerts", h.serveAlerts)
	mux.Handle("GET /api/", h.measured("/", func(http.ResponseWriter, *http.Request) error {
		return problem(Unknown, "There is nothing at this address.")
	}))
	mux.Handle("GET /", h.page)
	return mux
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }

// Close ends the queries under way and waits for them. Requests after it are told that the viewer is away.
func (h *Handler) Close() {
	h.end()
	_ = h.slots.Acquire(context.Background(), int64(h.cfg.Queries)) // fails only by its context
}

func (h *Handler) serveInfo(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]any{
		"version": h.cfg.Version, "title": h.cfg.Title, "now": h.cfg.Now().UnixMilli(), "demo": h.cfg.Demo, "token": h.cfg.Token != "",
	})
}

func (h *Handler) serveDashboards(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, h.entries)
}

func (h *Handler) serveDashboard(w http.ResponseWriter, r *http.Request) error {
	b, err := h.board(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	_, err = w.Write(b.json)
	return err
}

func (h *Handler) board(r *http.Request) (*board, error) {
	b, ok := h.boards[r.PathValue("uid")]
	if !ok {
		return nil, problem(Unknown, "There is no dashboard %s.", shorten(r.PathValue("uid")))
	}
	return b, nil
}

const jsonType = "application/json; charset=utf-8"

func writeJSON(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	_, err = w.Write(text)
	return err
}

// shorten is a name of a request as an answer repeats it.
func shorten(s string) string {
	const most = 80
	s = strings.ToValidUTF8(s, "�")
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
