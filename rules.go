package main

import (
	"errors"
	"fmt"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/attribution"
	"github.com/droplift/droplift/processors/churn"
	"github.com/droplift/droplift/processors/edgecost"
	"github.com/droplift/droplift/processors/experiments"
	"github.com/droplift/droplift/processors/inventory"
	"github.com/droplift/droplift/processors/learning"
	"github.com/droplift/droplift/processors/localization"
	"github.com/droplift/droplift/processors/settlement"
	"github.com/droplift/droplift/processors/velocity"
)

// stageInputs are the kinds that the processors read.
var stageInputs = []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout, event.KindSubtitle, event.KindScore}

// quietInputs are those of stageInputs whose silence holds nobody up: scores come when an edge is asked.
var quietInputs = []event.Kind{event.KindScore}

// rollupInputs are the kinds that the rollup stage adds up.
var rollupInputs = []event.Kind{
	event.KindProgress,
	event.KindLocalization,
	event.KindInventory,
	event.KindPayable,
	event.KindExperimentArm,
	event.KindEdgeCost,
	event.KindAttribution,
	event.KindLatencySketch,
	event.KindExample,
}

// partitionRules says which rule sets fold the raw records. Every configuration is checked before a partition needs it.
func (n *node) partitionRules(catalogue processors.Catalogue) (func(partition int32) []processors.Rule, error) {
	velocityConfig := velocity.Config{Logger: n.log}
	cues := n.cfg.SubtitleConfig.localization(n.log)
	inventoryConfig := inventory.Config{ReservationMS: n.cfg.InventoryReservation.Milliseconds(), Logger: n.log}
	settlementConfig := n.cfg.settlement()
	prices, err := n.cfg.edgePrices()
	edgeConfig := edgecost.Config{Prices: prices, Logger: n.log}
	latency := n.cfg.LatencyConfig.attribution(n.log)
	labels := n.cfg.LearningConfig.labels(n.cfg.AllowedLateness)
	if err := errors.Join(err, latency.Validate(), velocityConfig.Validate(), cues.Validate(), inventoryConfig.Validate(), settlementConfig.Validate(), edgeConfig.Validate(), labels.Validate()); err != nil {
		return nil, err
	}
	return func(partition int32) []processors.Rule {
		return []processors.Rule{
			churn.New(churn.Config{}),
			must(velocity.New(velocityConfig, partition, catalogue)),
			must(localization.New(cues, partition, catalogue)),
			must(inventory.New(inventoryConfig, partition, catalogue)),
			must(settlement.NewLedger(settlementConfig, partition, catalogue)),
			must(experiments.New(experiments.Config{}, partition, catalogue)),
			must(edgecost.New(edgeConfig, partition, catalogue)),
			must(attribution.New(latency, partition, catalogue)),
			must(learning.New(labels, partition)),
		}
	}, nil
}

// rollupRules says which rule sets add up the partials.
func (n *node) rollupRules(catalogue processors.Catalogue) (func(partition int32) []processors.RollupRule, error) {
	objectives, err := n.cfg.SubtitleConfig.objectives(n.log)
	inventoryConfig := inventory.RollupConfig{
		LowBPS: uint64(n.cfg.InventoryLowBPS), Restock: n.cfg.InventoryRestock, AllowedLatenessMS: n.cfg.AllowedLateness.Milliseconds(),
	}
	settlementConfig := n.cfg.settlement()
	experimentsConfig := experiments.RollupConfig{EveryMS: n.cfg.ExperimentLook.Milliseconds(), Alpha: n.cfg.ExperimentAlpha}
	edgeConfig, edgeErr := n.cfg.edgeRollup()
	edgeConfig.Logger = n.log
	latency := n.cfg.LatencyConfig.attributionTotals()
	learner := n.cfg.LearningConfig.learner()
	if err := errors.Join(err, edgeErr, latency.Validate(), objectives.Validate(), inventoryConfig.Validate(), settlementConfig.Validate(), experimentsConfig.Validate(), learner.Validate()); err != nil {
		return nil, err
	}
	return func(int32) []processors.RollupRule {
		return []processors.RollupRule{
			must(localization.NewObjectives(objectives, catalogue)),
			must(inventory.NewRollup(inventoryConfig, catalogue)),
			must(settlement.NewPayouts(settlementConfig, catalogue)),
			must(experiments.NewRollup(experimentsConfig, catalogue)),
			must(edgecost.NewRollup(edgeConfig, catalogue)),
			must(attribution.NewTotals(latency)),
			must(learning.NewLearner(learner)),
		}
	}, nil
}

// must is for constructors whose configuration was valid before.
func must[R any](rule R, err error) R {
	if err != nil {
		panic(fmt.Sprintf("%T: %v, though its configuration was valid", rule, err))
	}
	return rule
}
