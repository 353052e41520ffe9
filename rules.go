package main

import (
	"fmt"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
	"github.com/droplift/droplift/processors/velocity"
)

// stageInputs are the kinds that the processors read.
var stageInputs = []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout, event.KindSubtitle}

// rollupInputs are the kinds that the rollup stage adds up.
var rollupInputs = []event.Kind{event.KindProgress}

// partitionRules says which rule sets fold the raw records. Every configuration is checked before a partition needs it.
func (n *node) partitionRules(catalogue processors.Catalogue) (func(partition int32) []processors.Rule, error) {
	velocityConfig := velocity.Config{Logger: n.log}
	if err := velocityConfig.Validate(); err != nil {
		return nil, err
	}
	return func(partition int32) []processors.Rule {
		return []processors.Rule{
			churn.New(churn.Config{}),
			must(velocity.New(velocityConfig, partition, catalogue)),
		}
	}, nil
}

// rollupRules says which rule sets add up the partials.
func (n *node) rollupRules(catalogue processors.Catalogue) (func(partition int32) []processors.RollupRule, error) {
	return func(int32) []processors.RollupRule {
		return nil
	}, nil
}

// must is for constructors whose configuration was valid before.
func must[R any](rule R, err error) R {
	if err != nil {
		panic(fmt.Sprintf("%T: %v, though its configuration was valid", rule, err))
	}
	return rule
}
