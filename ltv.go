package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors/wire"
)

// LTVCmd groups what is about predicted lifetime values.
type LTVCmd struct {
	Fit LTVFitCmd `cmd:"" help:"Fit a model of purchases and spend on the stored purchases, check it on a hold-out, and publish what it predicts for every buyer."`
}

// LTVFitCmd fits.
type LTVFitCmd struct {
	LTVOptions `embed:""`
	DryRun     bool   `help:"Print the fit and publish nothing."`
	Format     string `help:"Output: ${enum}." enum:"table,json" default:"table"`
}

// Help is shown by --help.
func (c *LTVFitCmd) Help() string {
	return "Prints the parameters with their log-likelihood, whether spend and frequency are as independent as the model of spend takes them, and " +
		"a calibration: a fit on the purchases before --cut against those that followed. Then writes one prediction per buyer to the lifetime topic, " +
		"from where the sink stores it beside the observed cohorts: see the named queries ltv_predicted and ltv_cohorts.\n\n" +
		"A prediction is an expectation over customers with the same history, and no guarantee for a single one.\n\n" +
		"Examples:\n\n  droplift ltv fit --drops 5\n  droplift ltv fit --model bgnbd --as-of 1997-10-01 --horizon 39w --dry-run"
}

func (c *LTVFitCmd) Run(ctx context.Context, cfg *Config) error {
	log := cfg.logger(os.Stderr)
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), log)
	if err != nil {
		return err
	}
	defer client.Close()
	progress := newBar("lifetime value", ltvProgress)
	stage, done := "", int64(0)
	fit, err := measureLTV(ctx, client, c.LTVOptions, func(now string, evaluations int) {
		if now != stage {
			stage, done = now, min(done+ltvStage, ltvProgress)
		}
		progress.set(now, min(done+int64(evaluations), done+ltvStage-1, ltvProgress))
	})
	progress.finish()
	if err != nil {
		return err
	}
	if c.Format == "json" {
		err = writeJSON(os.Stdout, fit)
	} else {
		err = fit.print(os.Stdout)
	}
	if err != nil || c.DryRun {
		return err
	}
	if fit.Repeaters < c.LeastRepeaters {
		return fmt.Errorf("nothing was published: %d of %d buyers bought again, fewer than --least-repeaters %d", fit.Repeaters, fit.Buyers, c.LeastRepeaters)
	}
	conf, err := cfg.kafkaConfig(cfg.brokersOrLocal(), nil, log)
	if err != nil {
		return err
	}
	if err := cfg.ensureTopics(ctx, conf, log); err != nil {
		return err
	}
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{Name: "ltv"})
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := fit.publish(ctx, producer, &c.LTVOptions, uint64(time.Now().UnixMilli())); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "Published %d predictions of fit %s.\n", fit.Buyers, fit.Fit)
	return nil
}

// A fit takes an unknown number of evaluations, mostly under a hundred: each of its stages has that much of the bar.
const (
	ltvStage    = 100
	ltvProgress = 5 * ltvStage
)

// publish writes one lifetime record per buyer. A revision is never below that of an earlier fit as long as clocks agree.
func (f *LTVFit) publish(ctx context.Context, producer *kafka.Producer, o *LTVOptions, revision uint64) error {
	progress := newBar("publish predictions", int64(len(f.buyers)))
	batch := make([]event.Message, 0, 512)
	for i := range f.buyers {
		b := &f.buyers[i]
		purchases, spend, value, err := f.prediction(b, o)
		if err != nil {
			return err
		}
		record := event.Lifetime{
			Model: f.Model, Fit: f.Fit, PlayerID: b.player, CreatorID: f.Creator, Currency: f.Currency, Revision: revision, AsOf: int64(f.AsOf),
			FirstPurchase: b.first, Repeats: uint32(b.x), LastRepeat: b.last, Age: b.age, Horizon: f.Horizon,
			PAlive: f.model.alive(b), Purchases: purchases, MeanSpend: spend, Value: value,
		}
		key := wire.AppendPart(wire.AppendPart(wire.AppendPart(nil, f.Model), b.player), f.Currency)
		batch = append(batch, event.Message{Kind: event.KindLifetime, Key: append(key, f.Creator...), Value: record.AppendJSON(nil)})
		if len(batch) == cap(batch) || i == len(f.buyers)-1 {
			if err := producer.Produce(ctx, batch...); err != nil {
				return err
			}
			batch = batch[:0]
			progress.set("publish predictions", int64(i+1))
		}
	}
	err := producer.Flush(ctx)
	progress.finish()
	return err
}

// print writes the fit for people.
func (f *LTVFit) print(w io.Writer) error {
	of := "all creators"
	if f.Creator != "" {
		of = "creator " + f.Creator
	}
	text := &errorWriter{to: w}
	text.printf("\nLifetime value by %s, %s, %s, as of %s\n%d buyers, %d of whom bought again; fit %s\n\n", f.Model, of, f.Currency, f.AsOf, f.Buyers, f.Repeaters, f.Fit)

	if f.AsOf > f.Complete {
		text.printf("  The stored events are complete up to %s only: purchases after that may be missing.\n\n", f.Complete)
	}

	parameters := newTable("parameter", "value", "95 % interval")
	add := func(list []LTVParameter, model string) {
		for _, p := range list {
			parameters.AppendRow(table.Row{model + " " + p.Name, fmt.Sprintf("%.5f", p.Value), fmt.Sprintf("%.4g – %.4g", p.Low, p.High)})
		}
	}
	add(f.Parameters, f.Model)
	add(f.Spend.Parameters, f.Spend.Model)
	text.printf("%s\n\n", indent(parameters.Render()))
	text.printf("  log-likelihood of %s: %.4f\n", f.Model, f.LogLikelihood)
	if f.Spend.LogLikelihood != nil {
		text.printf("  log-likelihood of %s: %.4f, over %d who spent on a repeat purchase\n", f.Spend.Model, *f.Spend.LogLikelihood, f.Spend.Repeaters)
	}
	switch rho := f.Spend.Correlation; {
	case rho == nil:
		text.printf("  correlation of spend and frequency: not enough variation\n")
	default:
		text.printf("  correlation of spend and frequency: %+.4f (the model takes it as 0)\n", *rho)
	}
	if f.Spend.Note != "" {
		text.printf("  spend: %s\n", f.Spend.Note)
	}

	h := f.Holdout
	text.printf("\n  Hold-out: fitted before %s, purchases per buyer from then to %s\n", h.Cut, h.Until)
	if h.Note != "" {
		text.printf("  %s\n", h.Note)
	} else {
		t := newTable("x before", "buyers", "predicted", "actual", "± standard error")
		line := func(r LTVCalibration) table.Row {
			se := absent
			if r.SE != nil {
				se = fmt.Sprintf("%.3f", *r.SE)
			}
			return table.Row{r.X, r.Buyers, fmt.Sprintf("%.3f", r.Predicted), fmt.Sprintf("%.3f", r.Actual), se}
		}
		for _, r := range h.Rows {
			t.AppendRow(line(r))
		}
		t.AppendFooter(line(*h.All))
		text.printf("%s\n", indent(t.Render()))
	}

	text.printf("\n  Next %g %s: %.1f purchases, %s %s\n", f.Horizon, f.Unit, f.Purchases, major(f.Value, f.Currency), f.Currency)
	if f.Alive != nil {
		whose := "of all buyers"
		if f.Model == "bgnbd" {
			whose = "of those who bought again (the model cannot tell of the others)"
		}
		text.printf("  Still customers: %.1f %% %s\n", 100**f.Alive, whose)
	}
	text.printf("  %s\n", f.Words)
	return text.err
}

// major is an expected amount in major units.
func major(minor float64, currency string) string {
	digits, ok := event.CurrencyDigits(currency)
	if !ok {
		return fmt.Sprintf("%.0f minor units of", minor)
	}
	for range digits {
		minor /= 10
	}
	return fmt.Sprintf("%.*f", digits, minor)
}

// errorWriter keeps the first error of many writes.
type errorWriter struct {
	to  io.Writer
	err error
}

func (w *errorWriter) printf(format string, args ...any) {
	_, err := fmt.Fprintf(w.to, format, args...)
	w.err = errors.Join(w.err, err)
}
