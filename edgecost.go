package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/droplift/droplift/models/edgebudget"
	"github.com/droplift/droplift/processors/edgecost"
)

// edgePrices is the price list; nil without a currency.
func (c *Config) edgePrices() (*edgecost.PriceList, error) {
	if c.EdgePriceCurrency == "" {
		return nil, nil
	}
	return edgecost.PriceText{Currency: c.EdgePriceCurrency, Requests: c.EdgePriceRequests, CPU: c.EdgePriceCPUMs,
		Egress: c.EdgePriceEgressGB, POPs: c.EdgePricePOP}.Parse()
}

// edgeRollup is how edge budgets are watched.
func (c *Config) edgeRollup() (edgecost.RollupConfig, error) {
	hourly, err := edgecost.ParseNano(cmp.Or(c.EdgePriceReplicaHour, "0"))
	if err != nil {
		err = fmt.Errorf("edgecost: price of a replica's hour: %w", err)
	}
	cfg := edgecost.RollupConfig{
		Rules: edgebudget.Rules{
			PaceStep: c.EdgePaceStep, WarnEnter: c.EdgeWarn, WarnLeave: c.EdgeWarnLeave, WarnLeaveMS: c.EdgeWarnLeaveAfter.Milliseconds(),
			WarnDwellMS: c.EdgeWarnDwell.Milliseconds(), Cap: c.EdgeCap, Notify: c.EdgeNotify,
		},
		Shedding:   edgebudget.Shedding{Warn: c.EdgeShedWarn, Cap: c.EdgeShedCap, Limited: c.EdgeShedLimited},
		Autoscaler: edgebudget.Autoscaler{Tolerance: c.EdgeScaleTolerance, StabiliseMS: c.EdgeScaleDownWindow.Milliseconds()},
		Bounds:     edgebudget.Bounds{Floor: c.EdgeReplicasMin, Max: c.EdgeReplicasMax},
		Cores:      c.EdgeReplicaCores, Utilisation: c.EdgeReplicaUtilisation,
		Hourly:   hourly,
		WindowMS: c.EdgeRateWindow.Milliseconds(),
	}
	return cfg, errors.Join(err, cfg.Validate())
}
