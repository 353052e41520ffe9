package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// ModelCmd groups what makes models, decides which answer, and watches them.
type ModelCmd struct {
	Train    ModelTrainCmd    `cmd:"" help:"Train a churn model on what was known of players, and test it on what came later."`
	Evaluate ModelEvaluateCmd `cmd:"" help:"Judge an artefact or a published version by labelled rows."`
	Import   ModelImportCmd   `cmd:"" help:"Make an artefact of a model that LightGBM or XGBoost trained."`
	Promote  ModelPromoteCmd  `cmd:"" help:"Let a version answer, if it passes every gate."`
	List     ModelListCmd     `cmd:"" help:"List the published versions, what they do and how good they were."`
	Show     ModelShowCmd     `cmd:"" help:"Show one version: training, metrics, what it looks at most."`
	Publish  ModelPublishCmd  `cmd:"" help:"Publish an artefact; edges take it up as the shadow."`
	Shadow   ModelShadowCmd   `cmd:"" help:"Let a version score beside the champion, or none."`
	Drift    ModelDriftCmd    `cmd:"" help:"Say whether a model still meets the world that it was trained on: stability, skew, calibration, shadow."`
	Rollback ModelRollbackCmd `cmd:"" help:"Let the champion before the last promotion answer again."`
}

// ModelListCmd lists versions.
type ModelListCmd struct {
	JSON bool `name:"json" help:"Print one JSON object per line."`
}

// listedModel is one version in a list.
type listedModel struct {
	Name      string           `json:"name"`
	Version   string           `json:"version"`
	Role      string           `json:"role"`
	Kind      string           `json:"kind"`
	Published time.Time        `json:"published"`
	TrainedTo *time.Time       `json:"trained_to,omitempty"`
	Metrics   *scoring.Metrics `json:"metrics,omitempty"`
	// Refused says why the version cannot score here; empty where it can.
	Refused string `json:"refused,omitempty"`
}

func (c *ModelListCmd) Run(ctx context.Context, cfg *Config) error {
	registry, _, err := cfg.registryNow(ctx)
	if err != nil {
		return err
	}
	return c.write(os.Stdout, registry, time.Now())
}

func (c *ModelListCmd) write(w io.Writer, registry *modelRegistry, now time.Time) error {
	out := json.NewEncoder(w)
	t := newTable("version", "role", "kind", "AUC", "log loss", "base", "slope", "rows", "published", "trained to")
	models := registry.list()
	var refusals []string
	for _, m := range models {
		l := listedModel{Name: m.Name, Version: m.Version, Role: registry.role(m), Kind: m.Kind, Published: time.UnixMilli(m.PublishedAt).UTC()}
		scorer, _, err := registry.open(m.Name, m.Version)
		if err != nil {
			l.Refused = refusalOf(err)
			refusals = append(refusals, err.Error())
		} else {
			a := scorer.Artefact()
			l.Metrics = a.Metrics
			if a.Training.To > 0 {
				to := time.UnixMilli(a.Training.To).UTC()
				l.TrainedTo = &to
			}
		}
		if c.JSON {
			if err := out.Encode(l); err != nil {
				return err
			}
			continue
		}
		cells := table.Row{l.Version, l.Role, l.Kind}
		if l.Refused != "" {
			cells[1] = strings.TrimPrefix(l.Role+", refused: "+l.Refused, ", ")
		}
		if x := l.Metrics; x != nil {
			cells = append(cells, area(x), fmt.Sprintf("%.4f", x.LogLoss), fmt.Sprintf("%.4f", x.BaseLogLoss), fmt.Sprintf("%.2f", x.Slope), x.Rows)
		} else {
			cells = append(cells, absent, absent, absent, absent, absent)
		}
		cells = append(cells, humanize.RelTime(l.Published, now, "ago", "from now"))
		if l.TrainedTo != nil {
			cells = append(cells, l.TrainedTo.Format("2006-01-02 15:04"))
		} else {
			cells = append(cells, absent)
		}
		t.AppendRow(cells)
	}
	if c.JSON {
		return nil
	}
	if len(models) == 0 {
		_, err := fmt.Fprintln(w, "No model is published: droplift model train, then droplift model publish.")
		return err
	}
	if _, err := fmt.Fprintln(w, t.Render()); err != nil {
		return err
	}
	for _, refusal := range refusals {
		if _, err := fmt.Fprintln(w, "  "+refusal); err != nil {
			return err
		}
	}
	for _, name := range registry.names() {
		rollout := registry.rollouts[name]
		at := time.UnixMilli(rollout.At).UTC().Format("2006-01-02 15:04")
		said := rollout.Reason
		if said != "" {
			said = ": " + said
		}
		if _, err := fmt.Fprintf(w, "  %s: champion %s, shadow %s, previous %s; %s at %s%s\n", name,
			cmp.Or(rollout.Champion, "none"), cmp.Or(rollout.Shadow, "none"), cmp.Or(rollout.Previous, "none"), rollout.Action, at, said); err != nil {
			return err
		}
	}
	return nil
}

// area is an AUC with its standard error.
func area(m *scoring.Metrics) string {
	if m.AUC < 0 {
		return absent
	}
	return fmt.Sprintf("%.4f ± %.4f", m.AUC, m.AUCSE)
}

// ModelShowCmd shows one version.
type ModelShowCmd struct {
	Version string `arg:"" help:"Version, as list prints it." placeholder:"VERSION"`
	JSON    bool   `name:"json" help:"Print the whole artefact."`
}

func (c *ModelShowCmd) Run(ctx context.Context, cfg *Config) error {
	registry, _, err := cfg.registryNow(ctx)
	if err != nil {
		return err
	}
	m, err := registry.find(c.Version)
	if err != nil {
		return err
	}
	scorer, file, err := registry.open(m.Name, m.Version)
	if c.JSON && file != nil {
		_, err := os.Stdout.Write(append(file, '\n'))
		return err
	}
	if err != nil {
		return errors.Join(err, fmt.Errorf("it was published at %s", time.UnixMilli(m.PublishedAt).UTC().Format(time.RFC3339)))
	}
	return showArtefact(os.Stdout, scorer.Artefact(), m, registry.role(m))
}

// showArtefact prints an artefact for people.
func showArtefact(w io.Writer, a *scoring.Artefact, m *event.Model, role string) error {
	day := func(ms int64) string {
		if ms == 0 {
			return absent
		}
		return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04")
	}
	length := func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
	var err error
	line := func(name, format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
		}
	}
	t := a.Training
	line("version", "%s", a.Version)
	if m != nil {
		line("published", "%s UTC, %s", day(m.PublishedAt), cmp.Or(role, "answers nothing"))
	}
	line("kind", "%s, by %s", a.Kind, cmp.Or(t.Trainer, "an unknown trainer"))
	line("features", "%d of %s version %d, hash %.12s…", len(a.Features.Names), a.Features.Set, a.Features.Version, a.Features.Hash)
	line("label", "%s, embargo %s, horizon %s", cmp.Or(t.Label, absent), length(t.EmbargoMS), length(t.HorizonMS))
	line("trained on", "%d rows, %d positives, scoring times %s to %s", t.Rows, t.Positives, day(t.From), day(t.To))
	if t.Updates > 0 {
		line("updates", "%d examples learned from one by one", t.Updates)
	}
	if x := a.Metrics; x != nil {
		line("tested on", "%d rows, %d positives, scoring times %s to %s", x.Rows, x.Positives, day(t.TestFrom), day(t.TestTo))
		line("metrics", "AUC %s, log loss %.5f (base rate %.5f), Brier %.5f, ECE %.4f in %d bins", area(x), x.LogLoss, x.BaseLogLoss, x.Brier, x.ECE, x.Bins)
		line("calibration", "slope %.3f, intercept %+.3f", x.Slope, x.Intercept)
	}
	line("golden rows", "%d", len(a.Golden))
	line("checksum", "%s", a.Checksum)
	if err != nil {
		return err
	}
	return showWeights(w, a)
}

// mostWeights is how many features are shown.
const mostWeights = 15

// showWeights prints what a model looks at most: standardised weights, or how often trees split on a feature.
func showWeights(w io.Writer, a *scoring.Artefact) error {
	weights, what := make([]float64, len(a.Features.Names)), "weight per deviation"
	if a.Linear != nil {
		copy(weights, a.Linear.Weights)
	} else {
		what = "splits"
		for _, f := range a.Trees.Feature {
			if f >= 0 {
				weights[f]++
			}
		}
	}
	order := byMagnitude(weights)
	t := newTable("feature", what, "unit")
	for _, i := range order[:min(mostWeights, len(order))] {
		name, unit, value := a.Features.Names[i], "", fmt.Sprintf("%+.4f", weights[i])
		if at := feature.Player.Index(name); at >= 0 {
			unit = feature.Player.Features[at].Unit
		}
		if a.Linear == nil {
			value = fmt.Sprintf("%.0f", weights[i])
		}
		t.AppendRow(table.Row{name, value, unit})
	}
	_, err := fmt.Fprintf(w, "\n%s\n", t.Render())
	return err
}
