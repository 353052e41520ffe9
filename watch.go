package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// watch asks a running pipeline how it is.
type watch struct {
	cfg    *Config
	kafka  kafka.Config
	admin  *kafka.Admin
	client *clickhouse.Client
	drop   string

	asked   time.Time
	records int64
}

// behind is how many offsets the stages and the sink have yet to pass, and
// how many raw records the log holds.
func (w *watch) behind(ctx context.Context) (behind, raw int64, err error) {
	for _, loop := range w.cfg.loops() {
		lag, end, err := w.lag(ctx, loop)
		if err != nil {
			return 0, 0, err
		}
		behind += lag
		if loop.group == w.cfg.ProcessGroup {
			raw += end
		}
	}
	return behind, raw, nil
}

// lag is how many offsets one loop has yet to pass, and how many records its inputs hold.
func (w *watch) lag(ctx context.Context, loop loop) (behind, end int64, err error) {
	lags, err := w.admin.LagOn(ctx, loop.group, w.kafka.Topics(loop.kinds...)...)
	for _, lag := range lags {
		behind += lag.Records()
		end += lag.End
	}
	return behind, end, err
}

// keepUp waits until the processors have at most so many raw records to read.
func (w *watch) keepUp(ctx context.Context, most int64) error {
	stage := loop{w.cfg.ProcessGroup, stageInputs}
	for {
		behind, err := patiently(ctx, func() (int64, error) {
			behind, _, err := w.lag(ctx, stage)
			return behind, err
		})
		if err != nil || behind <= most {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(keepUpLook):
		}
	}
}

// patiently asks again for a while: Kafka may be electing whoever knows the answer.
func patiently(ctx context.Context, ask func() (int64, error)) (int64, error) {
	return backoff.Retry(ctx, ask, backoff.WithMaxElapsedTime(30*time.Second))
}

// keepUpLook is well below the interval at which processors commit.
const keepUpLook = 20 * time.Millisecond

// drain waits until everything in the log is processed and stored, with a
// progress bar. The processors may publish once more after their inputs' end, so
// the log must stay as it is between two looks.
func (w *watch) drain(ctx context.Context, label string) error {
	progress := newBar(label, 1000)
	var most int64
	ticker := time.NewTicker(drainLook)
	defer ticker.Stop()
	for quiet := 0; quiet < 2; quiet++ {
		behind, err := patiently(ctx, func() (int64, error) {
			behind, _, err := w.behind(ctx)
			return behind, err
		})
		if err != nil {
			return err
		}
		most = max(most, behind)
		if behind > 0 {
			quiet = -1
			progress.set(label, 1000*(most-behind)/most)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	progress.finish()
	return nil
}

// drainLook is over a stage's flush interval of one second, so that two quiet looks mean that nothing is pending.
const drainLook = 1200 * time.Millisecond

// line prints how the pipeline does; on a terminal it overwrites the line before.
func (w *watch) line(ctx context.Context, at simulate.Progress) {
	behind, raw, err := w.behind(ctx)
	if err != nil {
		return // the next line may be luckier; /readyz and the log say what is wrong
	}
	now := time.Now()
	rate := 0.0
	if !w.asked.IsZero() {
		rate = float64(raw-w.records) / now.Sub(w.asked).Seconds()
	}
	w.asked, w.records = now, raw

	fields := []string{
		fmt.Sprintf("%s %3.0f %%", time.UnixMilli(at.At).UTC().Format("Mon 15:04"), 100*at.Fraction),
		fmt.Sprintf("%6.0f events/s", rate),
		fmt.Sprintf("lag %d", behind),
	}
	if data, err := w.client.Query(ctx, "live_status", clickhouse.Params{"drop": w.drop}); err == nil && len(data.Rows) > 0 {
		row := row{data, 0}
		fields = append(fields,
			"fresh "+row.decimal("freshness_s", 1)+" s",
			row.decimal("conversions_per_minute", 1)+" conversions/min",
			row.text("conversions")+" conversions",
			fmt.Sprintf("%s %s", row.money("revenue", row.text("reporting_currency")), row.text("reporting_currency")))
	}
	text := strings.Join(fields, "  ")
	if interactive() {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(os.Stderr, text)
}

// end finishes the line.
func (w *watch) end() {
	if interactive() {
		fmt.Fprintln(os.Stderr)
	}
}
