package metrics

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/dashboards"
)

// Every panel's PromQL is one that the engine understands.
func TestPanels(t *testing.T) {
	l := newLocal(t, prometheus.NewRegistry(), Config{})
	l.scrape(after(0))
	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, d := range all {
		for _, p := range d.Panels() {
			if p.Datasource != dashboards.Prometheus {
				continue
			}
			asked++
			expr := strings.ReplaceAll(p.Query, "$__rate_interval", "1m")
			if _, err := l.QueryRange(context.Background(), expr, after(0), after(60), time.Second); err != nil {
				t.Errorf("%s, panel %q: %v", d.UID(), p.Title, err)
			}
		}
	}
	if asked == 0 {
		t.Error("no panel asks Prometheus")
	}
}
