package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/guptarohit/asciigraph"
	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"

	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/stats"
)

// ModelTrainCmd trains a churn model.
type ModelTrainCmd struct {
	RowSource `embed:""`
	Out       string   `short:"o" help:"File for the artefact; default is its version and .json." placeholder:"FILE"`
	Name      string   `help:"Name of the model." default:"churn"`
	Kind      string   `help:"logistic fits all rows at once (L-BFGS), ftrl learns from one row after the other." enum:"logistic,ftrl" default:"logistic"`
	Features  []string `help:"Features to use; default is all of the set." placeholder:"NAME"`

	TestFrom         time.Time `help:"First scoring time that is kept from training, to test on. Rows whose label looks beyond it are used for nothing." placeholder:"TIME"`
	TestShare        float64   `help:"Share of the labelled rows to test on, the latest, without --test-from." default:"0.25"`
	CalibrationShare float64   `help:"Share of the players before that who calibrate instead of being learned from." default:"0.25"`
	Isotonic         bool      `help:"Calibrate by steps where there are 1000 churned players for it, instead of by Platt's line."`
	L2               float64   `name:"l2" help:"Penalty on squared standardised weights; 0 is none." default:"1"`
	Alpha            float64   `help:"Learning rate of ftrl." default:"0.05"`
	L1               float64   `name:"l1" help:"Penalty of ftrl on absolute weights, which leaves features out." default:"0"`
	Bins             int       `help:"Bins of the calibration table and of the features' distributions, which drift is measured against." default:"10"`
	Seed             uint64    `help:"Decides which players calibrate." default:"1"`
}

// Help is shown by --help.
func (c *ModelTrainCmd) Help() string {
	return "Asks ClickHouse for players as they were known at each scoring time, splits them by time with an embargo, fits, calibrates on " +
		"players of their own and tests on what came later. The artefact is one JSON file; nothing is published.\n\n" +
		"Example:\n\n  droplift model train --from 2026-03-01T00:00:00Z --to 2026-05-01T00:00:00Z --every 24h -o churn.json"
}

func (c *ModelTrainCmd) Run(ctx context.Context, cfg *Config) error {
	rows, err := c.read(ctx, cfg, c.Name)
	if err != nil {
		return err
	}
	result, err := churn.Train(rows.rows, c.config(rows.label, time.Now()))
	if err != nil {
		return err
	}
	a := result.Artefact
	if c.Creator != "" {
		a.Training.Label = "absent at the next drop of creator " + c.Creator
		a.Version = churn.Version(a, time.Now().UnixMilli())
	}
	out, err := writeArtefact(a, c.Out)
	if err != nil {
		return err
	}
	fmt.Printf("%d rows to learn from, %d to calibrate, %d to test from %s on; %d embargoed, %d without a label yet.\n\n", result.Fitted, result.Calibrated,
		result.Tested, time.UnixMilli(result.TestFrom).UTC().Format(time.RFC3339), result.Embargoed, result.Unknown+rows.unknown)
	if err := showArtefact(os.Stdout, a, nil, ""); err != nil {
		return err
	}
	if err := writeReliability(os.Stdout, result.P, result.Y, c.Bins); err != nil {
		return err
	}
	fmt.Printf("\nWrote %s: droplift model publish %s\n", out, out)
	return nil
}

// config is the training's.
func (c *ModelTrainCmd) config(label churn.Label, now time.Time) churn.TrainConfig {
	t := churn.TrainConfig{
		Name: c.Name, Set: feature.Player, Names: c.Features, Label: label, TestShare: c.TestShare, CalibrationShare: c.CalibrationShare,
		Isotonic: c.Isotonic, Bins: c.Bins, Fit: churn.FitConfig{L2: orNone(c.L2)}, Seed: c.Seed, At: now.UnixMilli(),
	}
	if !c.TestFrom.IsZero() {
		t.TestFrom = c.TestFrom.UnixMilli()
	}
	if c.Kind == "ftrl" {
		t.FTRL = &churn.FTRLConfig{Alpha: c.Alpha, L1: orNone(c.L1), L2: orNone(c.L2)}
	}
	return t
}

// writeArtefact seals an artefact into a file, by default one named after its version, and returns the file's name.
func writeArtefact(a *scoring.Artefact, name string) (string, error) {
	file, err := scoring.Seal(a, feature.Player)
	if err != nil {
		return "", err
	}
	name = cmp.Or(name, a.Version+".json")
	return name, writePrivate(name, file)
}

// writePrivate writes a file that only its owner reads, whole or not at all.
func writePrivate(name string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// ModelEvaluateCmd judges a model by labelled rows.
type ModelEvaluateCmd struct {
	Model     string `arg:"" help:"File of an artefact, or a published version." placeholder:"FILE|VERSION"`
	RowSource `embed:""`
	Bins      int  `help:"Bins of the calibration table." default:"10"`
	JSON      bool `name:"json" help:"Print the metrics as JSON."`
}

func (c *ModelEvaluateCmd) Run(ctx context.Context, cfg *Config) error {
	scorer, err := c.open(ctx, cfg)
	if err != nil {
		return err
	}
	a := scorer.Artefact()
	rows, err := c.read(ctx, cfg, a.Name)
	if err != nil {
		return err
	}
	j := judgeRows(scorer, rows.rows)
	m, err := j.metrics(a, c.Bins)
	if err != nil {
		return fmt.Errorf("%w (%d rows have no label yet)", err, rows.unknown)
	}
	if c.JSON {
		return writeJSON(os.Stdout, m)
	}
	fmt.Printf("%s on %d rows of scoring times %s to %s; %d without a label yet, %d cannot be scored; %.2f µs a score.\n", a.Version, m.Rows,
		utc(time.UnixMilli(j.from)), utc(time.UnixMilli(j.to)), rows.unknown, j.refused, j.us)
	fmt.Printf("AUC %s, log loss %.5f (base rate %.5f), Brier %.5f, ECE %.4f, slope %.3f, intercept %+.3f\n", area(&m), m.LogLoss, m.BaseLogLoss, m.Brier, m.ECE, m.Slope, m.Intercept)
	if j.from < a.Training.To+a.Training.EmbargoMS+a.Training.HorizonMS {
		fmt.Println("Some of these rows, or what came of them, may have been learned from: the numbers flatter.")
	}
	return writeReliability(os.Stdout, j.p, j.y, c.Bins)
}

// open opens a file, or a published version.
func (c *ModelEvaluateCmd) open(ctx context.Context, cfg *Config) (*scoring.Scorer, error) {
	if _, err := os.Stat(c.Model); err == nil {
		_, scorer, err := openArtefact(c.Model)
		return scorer, err
	}
	registry, _, err := cfg.registryNow(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s is no file, and as a version: %w", c.Model, err)
	}
	m, err := registry.find(c.Model)
	if err != nil {
		return nil, err
	}
	scorer, _, err := registry.open(m.Name, m.Version)
	return scorer, err
}

// reliability is one bin of a calibration table.
type reliability struct {
	n, positives          int
	low, high             float64
	said, observed        float64
	wilsonLow, wilsonHigh float64
}

// reliabilityOf bins scores by rank, with the same number in each.
func reliabilityOf(p, y []float64, bins int) []reliability {
	order := byRank(p)
	var table []reliability
	for b := range bins {
		from, to := b*len(p)/bins, (b+1)*len(p)/bins
		if from == to {
			continue
		}
		r := reliability{n: to - from, low: p[order[from]], high: p[order[to-1]]}
		for _, i := range order[from:to] {
			r.said += p[i] / float64(r.n)
			r.positives += int(y[i])
		}
		r.observed = float64(r.positives) / float64(r.n)
		r.wilsonLow, r.wilsonHigh = stats.Wilson(uint64(r.positives), uint64(r.n), stats.Z95)
		table = append(table, r)
	}
	return table
}

// writeReliability prints the calibration table and draws it.
func writeReliability(w io.Writer, p, y []float64, bins int) error {
	rows := reliabilityOf(p, y, bins)
	t := newTable("scores", "rows", "said", "observed", "95 % interval", "")
	var said, observed []float64
	for _, r := range rows {
		verdict := ""
		if r.said < r.wilsonLow || r.said > r.wilsonHigh {
			verdict = "off"
		}
		t.AppendRow(table.Row{fmt.Sprintf("%.3f – %.3f", r.low, r.high), r.n, fmt.Sprintf("%.3f", r.said), fmt.Sprintf("%.3f", r.observed),
			fmt.Sprintf("%.3f – %.3f", r.wilsonLow, r.wilsonHigh), verdict})
		said, observed = append(said, r.said), append(observed, r.observed)
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", t.Render()); err != nil || len(rows) < 2 {
		return err
	}
	options := []asciigraph.Option{asciigraph.Height(10), asciigraph.Width(60), asciigraph.Precision(2), asciigraph.Caption("said and observed churn by bin of the score")}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		options = append(options, asciigraph.SeriesLegends("said", "observed"), asciigraph.SeriesColors(asciigraph.Blue, asciigraph.Green))
	}
	_, err := fmt.Fprintf(w, "\n%s\n", indent(asciigraph.PlotMany([][]float64{said, observed}, options...)))
	return err
}
