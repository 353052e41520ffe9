package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/processors/attribution"
)

// LatencyConfig is how revenue is attributed to latency, and how latency is sketched.
type LatencyConfig struct {
	LatencyBudget          time.Duration `group:"latency" help:"Landing latency above which conversions count as lost; a drop's latency_budget_ms goes before it." default:"300ms"`
	LatencyAgeBin          time.Duration `group:"latency" help:"Width of the bins of a drop's age within which slow and fast viewers are compared." default:"1h"`
	LatencyOpening         time.Duration `group:"latency" help:"How long after its start a drop's demand and load change fastest." default:"2h"`
	LatencyOpeningAgeBin   time.Duration `group:"latency" help:"Width of the bins during --latency-opening." default:"5m"`
	LatencyJoin            time.Duration `group:"latency" help:"How far a landing request may be from the landing view that it is taken for." default:"1m"`
	LatencyRefunds         time.Duration `group:"latency" help:"How long after a drop's end refunds still lower the revenue that latency is held against. Viewers' state is kept that long." default:"336h"`
	LatencyPane            time.Duration `group:"latency" help:"Width of the panes of latency sketches." default:"1m"`
	LatencyAccuracy        float64       `group:"latency" help:"Relative error of latency quantiles. Sketches of different accuracy do not merge." default:"0.01"`
	LatencyMinViewers      uint64        `group:"latency" help:"Viewers that a loss needs on either side of the budget; with fewer there is no statement." default:"100"`
	LatencyMinConversions  uint64        `group:"latency" help:"Conversions that it needs on either side." default:"10"`
	LatencyPublishInterval time.Duration `group:"latency" help:"How far event time moves between two estimates of a drop." default:"1m"`
}

// attribution is the configuration of the first stage, attributionTotals the one of the rollup.
func (c *LatencyConfig) attribution(log *slog.Logger) attribution.Config {
	return attribution.Config{
		AgeMS: c.LatencyAgeBin.Milliseconds(), OpeningMS: c.LatencyOpening.Milliseconds(), OpeningAgeMS: c.LatencyOpeningAgeBin.Milliseconds(),
		JoinMS: c.LatencyJoin.Milliseconds(), RefundMS: c.LatencyRefunds.Milliseconds(), PaneMS: c.LatencyPane.Milliseconds(),
		Accuracy: c.LatencyAccuracy, Logger: log,
	}
}

func (c *LatencyConfig) attributionTotals() attribution.TotalsConfig {
	return attribution.TotalsConfig{
		BudgetMS: c.LatencyBudget.Milliseconds(), EveryMS: c.LatencyPublishInterval.Milliseconds(),
		Enough: latencyloss.Config{MinViewers: c.LatencyMinViewers, MinConversions: c.LatencyMinConversions},
	}
}

// validate reports every problem at once.
func (c *LatencyConfig) validate() error {
	return errors.Join(c.attribution(nil).Validate(), c.attributionTotals().Validate())
}
