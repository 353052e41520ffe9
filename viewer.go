package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/dashboards/metrics"
	"github.com/droplift/droplift/dashboards/viewer"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// listenViewer takes the viewer's address, if there is one, so that a busy one is known before anything starts.
func (c *Config) listenViewer() (net.Listener, error) {
	if c.ViewerAddr == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", c.ViewerAddr)
	if err != nil {
		return nil, fmt.Errorf("--viewer-addr: %w", err)
	}
	return listener, nil
}

// viewerAt is the viewer's URL, empty when it is off.
func (n *node) viewerAt() string {
	if n.viewer == nil {
		return ""
	}
	return "http://" + n.viewer.Addr().String()
}

// liveAt is where a drop is watched, from shortly before it opens.
func (n *node) liveAt(drop string) string {
	query := url.Values{"var-drop": {drop}, "from": {"start-30m"}, "to": {"data"}}
	return n.viewerAt() + "/d/droplift-drop-live?" + query.Encode()
}

// serveViewer is the role that shows dashboards in a browser. It answers from the start; until ClickHouse does, the
// page says so.
func (n *node) serveViewer(ctx context.Context) error {
	waiting := fmt.Errorf("waits for ClickHouse, as user %s", n.cfg.ClickhouseReadonlyUser)
	n.ops.check("viewer", func() error { return waiting })
	source := &viewerSource{}
	answers, sample, err := n.answerMetrics()
	if err != nil {
		return errors.Join(err, n.viewer.Close())
	}
	handler, err := n.newViewer(source, answers)
	if err != nil {
		return errors.Join(err, n.viewer.Close())
	}
	defer handler.Close()
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 256 << 10, // a link holds every value that was chosen
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sample(ctx) })
	group.Go(func() error {
		if err := server.Serve(n.viewer); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("viewer: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(closing) != nil {
			return server.Close()
		}
		return nil
	})
	group.Go(func() error {
		client := n.reader(ctx)
		if client == nil {
			return nil
		}
		defer client.Close()
		source.client.Store(client)
		defer source.client.Store(nil)
		n.ops.check("viewer", func() error { return nil })
		<-ctx.Done()
		return nil
	})
	return group.Wait()
}

func (n *node) newViewer(source viewer.Source, answers metrics.Metrics) (*viewer.Handler, error) {
	all, err := dashboards.All()
	if err != nil {
		return nil, err
	}
	token, err := secret("DROPLIFT_VIEWER_TOKEN", n.cfg.ViewerTokenFile)
	if err != nil {
		return nil, err
	}
	return viewer.New(viewer.Config{
		Dashboards: all, Source: source, Metrics: answers, Scrape: scrapeEvery, Alerts: dashboards.Alerts(), Token: token, Timeout: n.cfg.ViewerTimeout, AllowedLateness: n.cfg.AllowedLateness,
		// The other cores are the sink's and the processors'.
		Queries: max(2, runtime.GOMAXPROCS(0)/2),
		Version: version, Demo: n.demo, Registerer: n.ops.registry, Logger: n.log,
	})
}

// viewerSource answers the viewer's queries as the user that can only read.
type viewerSource struct {
	client atomic.Pointer[clickhouse.Client] // nil while ClickHouse does not answer yet
}

// Query implements viewer.Source.
func (s *viewerSource) Query(ctx context.Context, name string, params map[string]any, rows int) (*viewer.Table, error) {
	client := s.client.Load()
	if client == nil {
		return nil, clickhouseAway()
	}
	table, err := client.QueryRows(ctx, name, params, rows)
	if err != nil {
		return nil, viewerProblem(err)
	}
	return &viewer.Table{Columns: table.Columns, Types: table.Types, Rows: table.Rows, Truncated: table.Truncated}, nil
}

func clickhouseAway() *viewer.Problem {
	return &viewer.Problem{Class: viewer.Away, Message: "ClickHouse does not answer.", Fix: "It is asked again by itself; droplift status says more."}
}

// viewerProblem says to a viewer what a query's error means; an error that says nothing to viewers stays as it is, for the log.
func viewerProblem(err error) error {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return clickhouseAway()
	}
	switch clickhouse.Code(err) {
	case 159, 160: // TIMEOUT_EXCEEDED, TOO_SLOW
		return context.DeadlineExceeded
	case 158, 241, 307, 396: // TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES
		return &viewer.Problem{Class: viewer.TooMuch, Message: "The query needs more than ClickHouse gives it.", Fix: "Choose a shorter range or fewer values."}
	case 60, 81: // UNKNOWN_TABLE, UNKNOWN_DATABASE
		return &viewer.Problem{Class: viewer.Away, Message: "ClickHouse has no tables of droplift yet.", Fix: "droplift up and droplift sink make them, and so does droplift migrate."}
	case 202, 203, 210, 279: // TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION, NETWORK_ERROR, ALL_CONNECTION_TRIES_FAILED
		return clickhouseAway()
	}
	return err
}
