package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/gate"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// The demo's choices where the defaults do not fit a simulated month.
const (
	// demoHorizon is how long a player must stay away to have churned: four weeks hold too few windows of two weeks to train
	// on, and the week after the drop holds none.
	demoHorizon = 3 * 24 * time.Hour
	// demoEgress is the price of a GB in USD, which the scenario's budget is made for.
	demoEgress = "0.08"
	// demoScoreEvery is the time between two scoring times of the training set.
	demoScoreEvery = 48 * time.Hour
	// demoWeeks is how far lifetimes are predicted.
	demoWeeks = 13
)

// forDemo changes settings that somebody who plays the demo would have to.
func (c *Config) forDemo() {
	c.LabelHorizon = demoHorizon
	if c.EdgePriceEgressGB == "0" {
		c.EdgePriceEgressGB = demoEgress
	}
}

// learn makes, of the history, what edges and cohorts need when the drop opens: predicted lifetimes, a model that answers
// and another one that scores beside it. What an interrupted run has made is not made again.
func (n *node) learn(ctx context.Context, client *clickhouse.Client, s simulate.Scenario) error {
	registry, err := readModelRegistry(ctx, n.kafka, n.log)
	if err != nil || len(registry.rollouts) > 0 {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context, *clickhouse.Client, simulate.Scenario) error
	}{{"No lifetimes are predicted", n.predictLifetimes}, {"No model answers", n.trainModels}} {
		err := step.do(ctx, client, s)
		var reason *notLearned
		switch {
		case errors.As(err, &reason):
			fmt.Fprintf(os.Stderr, "%s: %v.\n", step.what, reason)
		case err != nil:
			return err
		}
	}
	return nil
}

// notLearned says that a history holds too little: the demo goes on without.
type notLearned struct{ error }

// predictLifetimes does what droplift ltv fit does.
func (n *node) predictLifetimes(ctx context.Context, client *clickhouse.Client, s simulate.Scenario) error {
	// Nobody ever leaves a simulated creator for good, so that the data alone leave open how soon people do.
	var o LTVOptions
	if err := kong.ApplyDefaults(&o); err != nil {
		return err
	}
	o.Model, o.AsOf, o.Horizon, o.Shrink = "bgnbd", time.UnixMilli(s.StartMS), demoWeeks, 0.1
	fit, err := measureLTV(ctx, client, o, func(string, int) {})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &notLearned{err}
	case fit.Repeaters < o.LeastRepeaters:
		return &notLearned{fmt.Errorf("%d of %d buyers bought again", fit.Repeaters, fit.Buyers)}
	}
	producer, err := kafka.NewProducer(n.kafka, kafka.ProducerConfig{Name: "ltv"})
	if err != nil {
		return err
	}
	defer producer.Close()
	return fit.publish(ctx, producer, &o, uint64(s.StartMS))
}

// trainModels does what droplift model train, publish, promote and shadow do: a logistic regression that answers if it
// passes every gate, and one that learns row by row, which scores beside it.
func (n *node) trainModels(ctx context.Context, client *clickhouse.Client, s simulate.Scenario) error {
	opens := time.UnixMilli(s.StartMS).UTC()
	var c ModelTrainCmd
	if err := kong.ApplyDefaults(&c); err != nil {
		return err
	}
	c.Name, c.Every, c.Horizon, c.Knowable = n.cfg.DecideModel, demoScoreEvery, demoHorizon, string(clickhouse.KnowableEvent)
	c.From = opens.Add(-time.Duration(s.HistoryMS*3/4) * time.Millisecond)
	// The last label ends before the drop opens, by more than events may come late.
	c.To = opens.Add(-demoHorizon - 2*n.cfg.AllowedLateness - n.cfg.OutOfOrderness)
	if !c.From.Before(c.To) {
		return &notLearned{errors.New("the history is too short to train on")}
	}
	rows, err := c.readTimes(ctx, n.cfg, client)
	if err != nil {
		return err
	}
	var models [2]*trainedModel
	for i, kind := range []string{"logistic", "ftrl"} {
		c.Kind = kind
		if models[i], err = c.train(rows, opens); err != nil {
			return &notLearned{err}
		}
	}
	champion, shadow := models[0], models[1]
	tested := slices.DeleteFunc(slices.Clone(rows.rows), func(r churn.Row) bool { return r.At < champion.testFrom })
	evidence, err := evidenceOf(tested, nil, champion.scorer, "", opens)
	if err != nil {
		return &notLearned{err}
	}
	gates := gate.Config{}.WithDefaults().Judge(*evidence)
	missed := gate.Missed(gates)
	// Versions first, so that edges know of them when they are told to answer with them. A version that is there already, of a
	// run that was interrupted here, is the same.
	err = decideOnModels(ctx, n.kafka, n.log, func(*modelRegistry) (messages []event.Message, err error) {
		for _, m := range models {
			message, err := modelMessage(m.scorer.Artefact(), m.file, opens)
			if err != nil {
				return nil, err
			}
			messages = append(messages, message)
		}
		return messages, nil
	})
	if err != nil {
		return err
	}
	err = decideOnModels(ctx, n.kafka, n.log, func(r *modelRegistry) (messages []event.Message, err error) {
		rollout := event.Rollout{Name: n.cfg.DecideModel, Shadow: shadow.version(), Action: "shadow", At: opens.UnixMilli(), Reason: "trained on the demo's history, to compare"}
		if missed == nil {
			if messages, err = r.promote(n.cfg.DecideModel, champion.version(), "", passed("trained on the demo's history", gates), opens); err != nil {
				return nil, err
			}
			rollout.Champion = champion.version()
		}
		return append(messages, rolloutMessage(rollout)), nil
	})
	if err != nil {
		return err
	}
	if missed != nil {
		return &notLearned{fmt.Errorf("%s was refused by %s", champion.version(), strings.Join(missed, ", "))}
	}
	m := champion.scorer.Artefact().Metrics
	fmt.Fprintf(os.Stderr, "Model %s passed its gates (AUC %s) and answers; %s scores beside it.\n", champion.version(), area(m), shadow.version())
	return nil
}

// trainedModel is an artefact that was sealed and opened again, as edges open it.
type trainedModel struct {
	file     []byte
	scorer   *scoring.Scorer
	testFrom int64
}

func (m *trainedModel) version() string { return m.scorer.Artefact().Version }

// train trains, seals and opens as of a simulated time.
func (c *ModelTrainCmd) train(rows *labelledRows, at time.Time) (*trainedModel, error) {
	result, err := churn.Train(rows.rows, c.config(rows.label, at))
	if err != nil {
		return nil, err
	}
	m := &trainedModel{testFrom: result.TestFrom}
	if m.file, err = scoring.Seal(result.Artefact, feature.Player); err != nil {
		return nil, err
	}
	m.scorer, err = scoring.Open(m.file, feature.Player)
	return m, err
}
