package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// operations serves what an operator asks a process: metrics, health, profiles.
type operations struct {
	registry *prometheus.Registry

	mu     sync.Mutex
	checks map[string]func() error

	servers   []*http.Server
	MetricsAt string // http://HOST:PORT once listening, or empty
}

// newOperations makes operations of a process that is not ready before every one of these checks is replaced by one that holds.
func newOperations(awaited ...string) *operations {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	o := &operations{registry: registry, checks: map[string]func() error{}}
	for _, name := range awaited {
		o.check(name, errStarting)
	}
	return o
}

// errStarting is the check of what has not said more yet.
func errStarting() error { return errors.New("is starting") }

// check registers what must hold for /readyz. The function answers within a second or so.
func (o *operations) check(name string, ready func() error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checks[name] = ready
}

// ready lists what the process waits for, or nil.
func (o *operations) ready() error {
	o.mu.Lock()
	names := make([]string, 0, len(o.checks))
	for name := range o.checks {
		names = append(names, name)
	}
	sort.Strings(names)
	checks := make([]func() error, len(names))
	for i, name := range names {
		checks[i] = o.checks[name]
	}
	o.mu.Unlock()

	var waits []string
	for i, check := range checks {
		if err := check(); err != nil {
			waits = append(waits, names[i]+": "+err.Error())
		}
	}
	if waits == nil {
		return nil
	}
	return errors.New(strings.Join(waits, "\n"))
}

// serve listens on the metrics and profile addresses; an empty one is left out.
func (o *operations) serve(metricsAddr, pprofAddr string) error {
	if metricsAddr != "" {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
			if err := o.ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ready")
		})
		at, err := o.listen(metricsAddr, mux)
		if err != nil {
			return fmt.Errorf("--metrics-addr: %w", err)
		}
		o.MetricsAt = "http://" + at
	}
	if pprofAddr != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		if _, err := o.listen(pprofAddr, mux); err != nil {
			return fmt.Errorf("--pprof-addr: %w", err)
		}
	}
	return nil
}

func (o *operations) listen(addr string, handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	o.servers = append(o.servers, server)
	go server.Serve(listener) // ends at close with ErrServerClosed
	return listener.Addr().String(), nil
}

// close ends requests in hand within two seconds. It returns nil: whatever is left is cut off.
func (o *operations) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, server := range o.servers {
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
	}
	return nil
}
