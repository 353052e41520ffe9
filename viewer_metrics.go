package main

import (
	"context"
	"errors"
	"time"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/dashboards/metrics"
)

// scrapeEvery is the distance between two samples of this process's own metrics.
const scrapeEvery = 5 * time.Second

// answerMetrics makes what answers PromQL and knows alerts: the Prometheus that is named, or this process's own metrics,
// which run keeps up to date until its context is done.
func (n *node) answerMetrics() (answers metrics.Metrics, run role, err error) {
	if n.cfg.PrometheusURL != "" {
		remote, err := metrics.NewRemote(n.cfg.PrometheusURL, alertRules(), n.cfg.ViewerTimeout)
		return remote, func(context.Context) error { return nil }, err
	}
	local, err := metrics.NewLocal(metrics.Config{
		Gatherer: n.ops.registry, Every: scrapeEvery, Dir: n.metricsDir, Rules: alertRules(), QueryTimeout: n.cfg.ViewerTimeout, Registerer: n.ops.registry, Logger: n.log,
	})
	if err != nil {
		return nil, nil, err
	}
	return local, func(ctx context.Context) error {
		if err := local.Run(ctx); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}, nil
}

// alertRules are the alerts as whoever evaluates them needs them.
func alertRules() []metrics.Rule {
	var rules []metrics.Rule
	for _, a := range dashboards.Alerts() {
		rules = append(rules, metrics.Rule{
			Name: a.Name, Expr: a.Expr, For: a.For, Labels: map[string]string{"severity": string(a.Severity), "owner": a.Owner},
		})
	}
	return rules
}
