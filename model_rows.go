package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sinks/features/offline"
)

// RowSource says which labelled rows a model is trained on or judged by.
type RowSource struct {
	Set      string `help:"Training set in a Parquet or Arrow file with labels, as droplift features training-set writes it, instead of ClickHouse; --horizon and --embargo must be those that it was made with." type:"existingfile" placeholder:"FILE" xor:"source"`
	Examples bool   `help:"Take scores whose label became known, with the vectors as they were scored, from --from to --to where they are given, instead of a point-in-time set." xor:"source"`
	trainingFlags
}

// labelledRows are rows with a label, and how the label was made. What is not known yet is counted alone.
type labelledRows struct {
	rows    []churn.Row
	label   churn.Label
	unknown int
}

// read reads the rows out of ClickHouse, with a bar, or out of a file. model names whose examples are meant.
func (s *RowSource) read(ctx context.Context, cfg *Config, model string) (*labelledRows, error) {
	if s.Set != "" {
		return s.readFile(ctx, cfg)
	}
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if s.Examples {
		return s.readExamples(ctx, client, model)
	}
	return s.readTimes(ctx, cfg, client)
}

// readTimes reads the rows of a point-in-time set, with a bar.
func (s *RowSource) readTimes(ctx context.Context, cfg *Config, client *clickhouse.Client) (*labelledRows, error) {
	request, err := s.request(cfg)
	if err != nil {
		return nil, err
	}
	out := &labelledRows{label: s.label(cfg)}
	progress := newBar("training set", int64(len(request.At)))
	defer progress.finish()
	err = client.TrainingSet(ctx, request, func(row *clickhouse.TrainingRow) error {
		done, _ := slices.BinarySearch(request.At, row.At)
		progress.set("training set", int64(done))
		if row.Churned == nil {
			out.unknown++
			return nil
		}
		churned := *row.Churned
		out.rows = append(out.rows, churn.Row{Player: row.Player, At: row.At, Churned: &churned,
			X: row.Features.Vector(row.At, make([]float64, 0, len(feature.Player.Features)))})
		return nil
	})
	progress.set("training set", int64(len(request.At)))
	return out, err
}

// readFile reads the rows of a file that have a label.
func (s *RowSource) readFile(ctx context.Context, cfg *Config) (*labelledRows, error) {
	out := &labelledRows{label: s.label(cfg)}
	progress := newBar("training set", 1)
	defer progress.finish()
	begin := func(about offline.Content) error {
		for i, has := range about.Has {
			if !has {
				return fmt.Errorf("%s has no column %s", s.Set, feature.Player.Features[i].Name)
			}
		}
		return nil
	}
	err := offline.Read(ctx, s.Set, feature.Player, begin, func(row *offline.Known) error {
		if row.Churned == nil {
			out.unknown++
			return nil
		}
		out.rows = append(out.rows, churn.Row{Player: row.Player, At: row.At, X: slices.Clone(row.Values), Churned: row.Churned})
		return nil
	})
	progress.set("training set", 1)
	return out, err
}

// readExamples reads scored vectors whose label is known; all must have been labelled alike.
func (s *RowSource) readExamples(ctx context.Context, client *clickhouse.Client, model string) (*labelledRows, error) {
	scored := clickhouse.Scored{Model: model, FeatureHash: feature.Player.Hash(), From: 0, To: 1<<63 - 1}
	if !s.From.IsZero() {
		scored.From = s.From.UnixMilli()
	}
	if !s.To.IsZero() {
		scored.To = s.To.UnixMilli()
	}
	out := &labelledRows{}
	err := client.Examples(ctx, scored, func(e *clickhouse.ScoredExample) error {
		label := churn.Label{EmbargoMS: e.LabelFrom - e.At, HorizonMS: e.LabelTo - e.LabelFrom}
		if out.label.HorizonMS == 0 {
			out.label = label
		}
		if label != out.label {
			return fmt.Errorf("the label's window changed at %s: narrow --from and --to to one definition", time.UnixMilli(e.At).UTC().Format(time.RFC3339))
		}
		x := slices.Clone(e.Vector)
		feature.Player.FromStream(x)
		churned := e.Churned
		out.rows = append(out.rows, churn.Row{Player: e.Player, At: e.At, X: x, Churned: &churned})
		return nil
	})
	return out, err
}

// modelVerdict is what a model says of rows.
type modelVerdict struct {
	p, y []float64
	// us is the mean time of one score in µs.
	us float64
	// from and to are the earliest and the latest scoring time.
	from, to int64
	// refused rows have a vector from which no score follows.
	refused int
}

// judgeRows scores rows. Rows that cannot be scored are counted and left out.
func judgeRows(scorer *scoring.Scorer, rows []churn.Row) *modelVerdict {
	out := &modelVerdict{}
	scratch := make([]float64, scorer.Inputs())
	for i := range rows {
		row := &rows[i]
		if feature.Player.Check(row.X) != nil {
			out.refused++
			continue
		}
		p, err := scorer.Score(row.X, scratch)
		if err != nil {
			out.refused++
			continue
		}
		y := 0.0
		if *row.Churned {
			y = 1
		}
		out.p, out.y = append(out.p, p), append(out.y, y)
		if out.from == 0 || row.At < out.from {
			out.from = row.At
		}
		out.to = max(out.to, row.At)
	}
	out.us = scoreTime(scorer, rows, scratch)
	return out
}

// scoreTime is the mean time of one score in µs, of the fastest batch: what else runs on the machine does not count.
func scoreTime(scorer *scoring.Scorer, rows []churn.Row, scratch []float64) float64 {
	const batches, scores = 20, 1000
	if len(rows) == 0 {
		return 0
	}
	fastest := time.Duration(1<<63 - 1)
	for range batches {
		began := time.Now()
		for i := range scores {
			scorer.Raw(rows[i%len(rows)].X, scratch)
		}
		fastest = min(fastest, time.Since(began))
	}
	return float64(fastest.Nanoseconds()) / 1000 / scores
}

// metrics are the rows', against always saying the base rate of the model's training.
func (j *modelVerdict) metrics(a *scoring.Artefact, bins int) (scoring.Metrics, error) {
	m, err := churn.Evaluate(j.p, j.y, bins)
	if err == nil && a.Training.Rows > 0 {
		m.BaseLogLoss = churn.BaseLogLoss(float64(a.Training.Positives)/float64(a.Training.Rows), j.y)
	}
	return m, err
}
