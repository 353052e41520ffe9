package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors/wire"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// liftMetrics are the names under which numbers are published. None of them claims more than the weakest grade may.
var liftMetrics = map[string]string{
	creatorOutcomes[0].metric: "change_audience",
	creatorOutcomes[1].metric: "change_revenue",
	creatorOutcomes[2].metric: "change_halo",
	returnMetric:              "change_return",
}

// standardLift are the options of published read-outs, which are the flags' defaults: what is published twice must be the
// same, whoever does it.
func standardLift() (o LiftOptions, err error) {
	err = kong.ApplyDefaults(&o)
	return o, err
}

// liftStage is how far a drop's lift has matured, a row of lift_stages.
type liftStage struct {
	drop, creator string
	starts, ends  time.Time
	// matured is when the newest complete window became so, next when the next one will, published what the newest
	// published read-out had reached; each may be zero.
	matured, next, published time.Time
}

func readStages(t *clickhouse.Table) []liftStage {
	var stages []liftStage
	for i := range t.Rows {
		r := row{t, i}
		stages = append(stages, liftStage{drop: r.text("drop_id"), creator: r.text("creator_id"), starts: r.moment("starts"), ends: r.moment("ends"),
			matured: r.moment("matured"), next: r.moment("next"), published: r.moment("published")})
	}
	return stages
}

// measureStage is the standard read-out of a drop as of its newest stage. Windows that were complete then have their numbers
// and no others, so that it does not matter when within a stage, by whom or how often it is made.
func measureStage(ctx context.Context, client *clickhouse.Client, s *liftStage, lateness time.Duration) ([]LiftRow, LiftOptions, error) {
	o, err := standardLift()
	if err != nil {
		return nil, o, err
	}
	o.asOf = s.matured.UnixMilli()
	rows, err := measureLift(ctx, client, s.drop, lateness, o)
	return rows, o, err
}

// publish sends a read-out as of the stage to the estimate topic, from where the sink stores it.
func (s *liftStage) publish(ctx context.Context, producer *kafka.Producer, rows []LiftRow, confidence float64) error {
	messages := make([]event.Message, len(rows))
	for i := range rows {
		e := s.estimate(&rows[i], confidence)
		key := wire.AppendPart(wire.AppendPart(nil, e.DropID), e.Metric)
		for _, d := range e.Dimensions {
			key = wire.AppendPart(append(append(key, d.Name...), '='), d.Value)
		}
		messages[i] = event.Message{Kind: event.KindEstimate, Key: key[:len(key)-1], Value: e.AppendJSON(nil)}
	}
	if err := producer.Produce(ctx, messages...); err != nil {
		return err
	}
	return producer.Flush(ctx)
}

// thisDrop is the scope of numbers that rest on no other drop.
const thisDrop = "this drop"

// estimate is a row as it is published: its revision is the stage, so that a later stage replaces it and the same one does not.
func (s *liftStage) estimate(r *LiftRow, confidence float64) event.Estimate {
	scope := r.Scope
	if scope == s.drop {
		scope = thisDrop
	}
	last := s.starts // what a window is counted from to its end
	if r.Metric == returnMetric {
		last = s.ends
	}
	e := event.Estimate{
		DropID: s.drop, CreatorID: s.creator, Metric: liftMetrics[r.Metric],
		Dimensions: []event.Dimension{{Name: "horizon", Value: r.Horizon}, {Name: "scope", Value: scope}, {Name: "method", Value: r.Method}, {Name: "against", Value: r.Comparator}},
		Revision:   uint64(s.matured.UnixMilli()), AsOf: s.matured.UnixMilli(),
		From: s.starts.AddDate(0, 0, r.fromDay).UnixMilli(), To: last.AddDate(0, 0, r.toDay).UnixMilli(),
		Grade: event.Grade(r.Grade), Label: r.Wording, Why: r.Note, Unit: "rel", N: r.N, Confidence: confidence, P: -1, SampleRate: 1,
		Details: []event.Detail{{Name: "treated", Value: float64(r.Treated)}},
	}
	detail := func(name string, v *float64) {
		if v != nil {
			e.Details = append(e.Details, event.Detail{Name: name, Value: *v})
		}
	}
	detail("baseline", r.Baseline)
	detail("balance", r.Balance)
	detail("permutation_p", r.PermutationP)
	switch {
	case r.MaturesAt.After(s.matured) && r.Maturity != final:
		e.Why = join("not complete before "+r.MaturesAt.Format("2006-01-02 15:04")+" UTC", r.Note)
	case !r.MaturesAt.After(s.matured) && r.Maturity == final:
		// Other than a number that rests on earlier drops alone as long as this one is not mature.
		e.Maturity = event.Final
	}
	number := r.Relative
	if r.Metric == returnMetric {
		e.Unit, number = "pp", r.Points
		if r.Relative.bounded() {
			detail("relative", &r.Relative.Value)
			detail("relative_low", &r.Relative.Low)
			detail("relative_high", &r.Relative.High)
		}
	}
	switch {
	case number.bounded():
		e.Enough, e.Value, e.Low, e.High = true, number.Value, number.Low, number.High
		if r.P != nil {
			e.P = *r.P
		}
	case number != nil:
		e.Why = join("withheld: the interval has no bounds", r.Note)
	}
	return e
}

// bounded says whether there is an interval and all of it are numbers.
func (i *Interval) bounded() bool {
	if i == nil {
		return false
	}
	for _, v := range []float64{i.Value, i.Low, i.High} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// publish sends the newest read-out of the drop and returns its rows.
func (c *LiftCmd) publish(ctx context.Context, cfg *Config, client *clickhouse.Client) ([]LiftRow, error) {
	standard, err := standardLift()
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(standard, c.LiftOptions) {
		return nil, errors.New("--publish sends the standard read-out, which is the same whoever sends it: leave out the options of the numbers")
	}
	data, err := client.Query(ctx, "lift_stages", clickhouse.Params{"drop": c.Drop, "lateness_ms": cfg.AllowedLateness.Milliseconds()})
	if err != nil {
		return nil, err
	}
	stages := readStages(data)
	switch {
	case len(stages) == 0:
		return nil, fmt.Errorf("nothing was published: drop %q is not in the catalogue, or has no start there", c.Drop)
	case stages[0].matured.IsZero():
		return nil, fmt.Errorf("nothing was published: the first number of drop %q is complete at %s", c.Drop, stages[0].next.Format(time.RFC3339))
	}
	log := cfg.logger(os.Stderr)
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, log)
	if err != nil {
		return nil, err
	}
	if err := cfg.ensureTopics(ctx, conf, log); err != nil {
		return nil, err
	}
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{Name: "lift"})
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	rows, o, err := measureStage(ctx, client, &stages[0], cfg.AllowedLateness)
	if err != nil {
		return nil, err
	}
	if err := stages[0].publish(ctx, producer, rows, o.Confidence); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "Published %d numbers as of %s.\n", len(rows), stages[0].matured.Format(time.RFC3339))
	return rows, nil
}
