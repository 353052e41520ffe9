package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sinks/features/offline"
)

// knowableFlag is the flag that says what makes features known.
type knowableFlag struct {
	Knowable string `help:"What makes a revision of features known: delivered is Kafka's time of it; event is its event time, for history that was replayed or simulated long after it happened. The files say which." enum:"delivered,event" default:"delivered"`
}

func (k knowableFlag) about() map[string]string {
	return map[string]string{offline.MetaKnowable: k.Knowable}
}

// created is when a revision was known.
func (k knowableFlag) created(r *clickhouse.Revision) int64 {
	if clickhouse.Knowable(k.Knowable) == clickhouse.KnowableEvent {
		return r.Features.AsOf
	}
	return r.KafkaTime
}

// history is the features' history in ClickHouse.
type history struct {
	client *clickhouse.Client
	knowableFlag
}

// Hours implements offline.Source.
func (h history) Hours(ctx context.Context, from, to int64) ([]offline.Hour, error) {
	stored, err := h.client.FeatureHours(ctx, from, to)
	hours := make([]offline.Hour, len(stored))
	for i, s := range stored {
		hours[i] = offline.Hour{Start: s.Hour, Rows: s.Rows, Digest: s.Digest}
	}
	return hours, err
}

// History implements offline.Source.
func (h history) History(ctx context.Context, from, to int64, each func(*offline.Row) error) error {
	return h.client.FeatureHistory(ctx, from, to, h.rows(each))
}

func (h history) rows(each func(*offline.Row) error) func(*clickhouse.Revision) error {
	return func(r *clickhouse.Revision) error {
		return each(&offline.Row{Created: h.created(r), Features: &r.Features})
	}
}

// awayAfter is how long a command waits for ClickHouse before it says that nobody answers.
const awayAfter = 15 * time.Second

// openFeatures connects as the user that can only read.
func (c *Config) openFeatures(ctx context.Context) (*clickhouse.Client, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, awayAfter, fmt.Errorf("nobody answered for %s: is droplift up running, or does --clickhouse name the server?", awayAfter))
	defer cancel()
	return c.openReader(waiting, c.clickhouseOrLocal(), c.logger(os.Stderr))
}

// FeaturesExportCmd writes history.
type FeaturesExportCmd struct {
	Out    string    `required:"" help:"Directory; partitions are date=YYYY-MM-DD/hour=HH below it." placeholder:"DIR"`
	From   time.Time `help:"First hour of as_of, such as 2026-04-01 or 2026-04-01T18:00 (UTC); by default the first there is." placeholder:"TIME"`
	To     time.Time `help:"Hour before which to end; by default the one that has just ended or is running." placeholder:"TIME"`
	Format string    `help:"${enum}." enum:"parquet,arrow" default:"parquet"`
	Shrink bool      `help:"Also replace files that hold more rows than ClickHouse has left, as after an erasure. By default they are kept: ClickHouse drops revisions after 90 days."`
	knowableFlag
}

// Help is shown by --help.
func (c *FeaturesExportCmd) Help() string {
	return "Every revision of every player's features becomes a row: event_timestamp is its as_of, created_timestamp when it could be known. " +
		"Run it again at any time: complete hours are left alone, hours that late events have changed are written again, and an interrupted " +
		"run is continued. A file appears whole or not at all.\n\nExample:\n\n  droplift features export --from 2026-04-01 --out features/"
}

// Run prints what it did.
func (c *FeaturesExportCmd) Run(ctx context.Context, cfg *Config) error {
	if c.From.IsZero() {
		c.From = time.UnixMilli(0)
	}
	if c.To.IsZero() {
		c.To = time.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	}
	progress := newBar("export", 1000)
	export := offline.Export{
		Dir: c.Out, Format: offline.Format(c.Format), Set: feature.Player, From: c.From.UnixMilli(), To: c.To.UnixMilli(), About: c.about(), Shrink: c.Shrink,
		Progress: func(done, total uint64) { progress.set("export", int64(1000*done/max(1, total))) },
	}
	if err := export.Validate(); err != nil {
		return err
	}
	client, err := cfg.openFeatures(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := export.Run(ctx, history{client, c.knowableFlag})
	progress.finish()
	if s.Written+s.Unchanged+s.Kept > 0 || err == nil {
		fmt.Printf("%d hours written with %d rows, %d as they were, %d kept because ClickHouse has fewer rows by now.\n", s.Written, s.Rows, s.Unchanged, s.Kept)
	}
	return err
}

// FeaturesTrainingSetCmd writes a training set.
type FeaturesTrainingSetCmd struct {
	Out string `required:"" help:"File ending in .parquet or .arrow." placeholder:"FILE"`
	trainingFlags
}

// Help is shown by --help.
func (c *FeaturesTrainingSetCmd) Help() string {
	return "One row per player and scoring time t0: the newest features that were known at t0, what depends on t0, and the label " +
		"churned, which is null until the watermark has passed its window. Nothing that happened or arrived after t0 is in the features; " +
		"`droplift features check` proves it.\n\n" +
		"Examples:\n\n  droplift features training-set --at 2026-04-01 --out april.parquet\n" +
		"  droplift features training-set --from 2026-03-01 --to 2026-04-01 --every 24h --out march.arrow"
}

// Run prints what the set holds.
func (c *FeaturesTrainingSetCmd) Run(ctx context.Context, cfg *Config) error {
	format, err := offline.FormatOf(c.Out)
	if err != nil {
		return err
	}
	request, err := c.request(cfg)
	if err != nil {
		return err
	}
	client, err := cfg.openFeatures(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	progress := newBar("training set", int64(len(request.At)))
	var rows, churned, unknown int
	err = offline.Whole(c.Out, nil, func(file io.WriteSeeker) error {
		w, err := offline.NewWriter(file, format, feature.Player, offline.Training, c.about())
		if err != nil {
			return err
		}
		err = client.TrainingSet(ctx, request, func(r *clickhouse.TrainingRow) error {
			rows++
			switch {
			case r.Churned == nil:
				unknown++
			case *r.Churned:
				churned++
			}
			done, _ := slices.BinarySearch(request.At, r.At)
			progress.set("training set", int64(done))
			return w.Write(&offline.Row{At: r.At, Created: r.CreatedAt, Features: &r.Features, Churned: r.Churned})
		})
		if closed := w.Close(); err == nil {
			err = closed
		}
		if err == nil && rows == 0 {
			err = errors.New("no rows: nobody had a session in the time before these scoring times with features that were known by then. " +
				"History that was replayed or simulated was delivered after it happened: it needs --knowable event")
		}
		return err
	})
	progress.finish()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d rows, %d churned, %d stayed, %d with a label that is not known yet.\n", c.Out, rows, churned, rows-churned-unknown, unknown)
	return nil
}
