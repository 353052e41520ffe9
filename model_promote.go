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

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/gate"
	"github.com/droplift/droplift/models/scoring"
)

// ModelPromoteCmd makes a version the champion.
type ModelPromoteCmd struct {
	Version       string `arg:"" help:"Version that is to answer." placeholder:"VERSION"`
	RowSource     `embed:""`
	rolloutReason `embed:""`
	AsOf          time.Time `help:"Time by which the model's age counts; default is now. For simulated time." placeholder:"TIME"`
	DryRun        bool      `help:"Only say what the gates say."`
	JSON          bool      `name:"json" help:"Print the gates as one JSON object per line."`

	GateAUC             float64       `name:"gate-auc" help:"Least area under the curve." default:"0.65"`
	GateAUCLow          float64       `name:"gate-auc-low" help:"Least lower 95 % bound of it." default:"0.6"`
	GateGain            float64       `help:"By how much the log loss must lie below that of always saying the base rate, in nats a row." default:"0.005"`
	GateSlopeLow        float64       `help:"Least calibration slope." default:"0.8"`
	GateSlopeHigh       float64       `help:"Largest calibration slope." default:"1.25"`
	GateRows            int           `help:"Least number of labelled rows." default:"1000"`
	GateEach            int           `help:"Least number of rows of either outcome." default:"100"`
	GateChampionLogLoss float64       `help:"By how much the log loss may lie above the champion's on the same rows." default:"0.002"`
	GateChampionAUC     float64       `name:"gate-champion-auc" help:"By how much the area may lie below the champion's." default:"0.005"`
	GateAge             time.Duration `help:"How long ago the newest training label may have ended." default:"1440h"`
	GateScoreUS         float64       `name:"gate-score-us" help:"Longest mean time of one score, µs." default:"30"`
}

// Help is shown by --help.
func (c *ModelPromoteCmd) Help() string {
	return "The version and the present champion score the same labelled rows; the version answers from then on if it passes every gate. " +
		"There is no way around a gate: another bound is a flag, which the decision's record shows. The rows are those of the version's own test " +
		"window, unless others are named: --at, --from and --to, or --examples for scores whose labels became known. They must lie behind " +
		"everything that it learned from.\n\nOf two promotions at once the later one wins, and the other is told and changes nothing.\n\n" +
		"The exit code is 0 when it was promoted, 1 when a gate refused it, 2 when it could not be judged.\n\n" +
		"Example:\n\n  droplift model promote churn-20260501T000000-1f3a7c22 --reason 'better since the new catalogue'"
}

// bounds are the gates', every one of which is a flag with a default.
func (c *ModelPromoteCmd) bounds() gate.Config {
	return gate.Config{
		MinAUC: c.GateAUC, MinAUCLow: c.GateAUCLow, MinGain: c.GateGain, SlopeLow: c.GateSlopeLow, SlopeHigh: c.GateSlopeHigh,
		MinRows: c.GateRows, MinEach: c.GateEach, WorseLogLoss: c.GateChampionLogLoss, WorseAUC: c.GateChampionAUC,
		MaxAgeMS: c.GateAge.Milliseconds(), MaxScoreUS: c.GateScoreUS,
	}
}

// errGates ends a promotion that a gate refused: exit code 1.
var errGates = errors.New("not promoted: refused by")

func (c *ModelPromoteCmd) Run(ctx context.Context, cfg *Config) error {
	return checked(c.promote(ctx, cfg), errGates)
}

func (c *ModelPromoteCmd) promote(ctx context.Context, cfg *Config) error {
	bounds := c.bounds()
	if err := errors.Join(c.check(), bounds.Validate()); err != nil {
		return err
	}
	registry, conf, err := cfg.registryNow(ctx)
	if err != nil {
		return err
	}
	m, err := registry.find(c.Version)
	if err != nil {
		return err
	}
	before := registry.rollouts[m.Name].Champion
	if before == m.Version {
		return fmt.Errorf("version %s answers already", m.Version)
	}
	candidate, _, err := registry.open(m.Name, m.Version)
	if err != nil {
		return err
	}
	evidence, err := c.evidence(ctx, cfg, registry, candidate, before)
	if err != nil {
		return err
	}
	results := bounds.Judge(*evidence)
	if err := c.print(os.Stdout, results); err != nil {
		return err
	}
	if missed := gate.Missed(results); missed != nil {
		return fmt.Errorf("%w %s", errGates, strings.Join(missed, ", "))
	}
	if c.DryRun {
		fmt.Printf("%s would be promoted.\n", m.Version)
		return nil
	}
	reason := passed(c.Reason, results)
	err = decideOnModels(ctx, conf, cfg.logger(os.Stderr), func(r *modelRegistry) ([]event.Message, error) {
		return r.promote(m.Name, m.Version, before, reason, time.Now())
	})
	if err != nil {
		return err
	}
	fmt.Printf("The champion of model %s is %s, instead of %s.\n", m.Name, m.Version, cmp.Or(before, "none"))
	return nil
}

// passed is the reason that a promotion is recorded with: the person's words, and every gate with its value and bound.
func passed(reason string, results []gate.Result) string {
	gates := make([]string, len(results))
	for i, r := range results {
		gates[i] = fmt.Sprintf("%s %.3g (%.3g)", r.Gate, r.Value, r.Bound)
	}
	said := "passed " + strings.Join(gates, ", ")
	if reason != "" {
		said = reason + "; " + said
	}
	return said[:min(len(said), event.MaxTextBytes)]
}

// evidence scores the same rows with the candidate and the champion.
func (c *ModelPromoteCmd) evidence(ctx context.Context, cfg *Config, registry *modelRegistry, candidate *scoring.Scorer, champion string) (*gate.Evidence, error) {
	a := candidate.Artefact()
	source := c.RowSource
	if source.Set == "" && !source.Examples && len(source.At) == 0 && source.From.IsZero() && source.To.IsZero() {
		if a.Training.TestFrom == 0 {
			return nil, fmt.Errorf("version %s was not tested when it was trained: name the rows to judge it by with --from and --to, --at or --examples", a.Version)
		}
		source.From, source.To = time.UnixMilli(a.Training.TestFrom), time.UnixMilli(a.Training.TestTo+1)
		source.Horizon, source.Embargo = time.Duration(a.Training.HorizonMS)*time.Millisecond, time.Duration(a.Training.EmbargoMS)*time.Millisecond
	}
	rows, err := source.read(ctx, cfg, a.Name)
	if err != nil {
		return nil, err
	}
	if len(rows.rows) == 0 {
		return nil, fmt.Errorf("there is no labelled row to judge it by; of %d the label is not known yet", rows.unknown)
	}
	now := time.Now()
	if !c.AsOf.IsZero() {
		now = c.AsOf
	}
	return evidenceOf(rows.rows, registry, candidate, champion, now)
}

// evidenceOf scores rows with the candidate and the champion, if there is one.
func evidenceOf(rows []churn.Row, registry *modelRegistry, candidate *scoring.Scorer, champion string, now time.Time) (*gate.Evidence, error) {
	a := candidate.Artefact()
	j := judgeRows(candidate, rows)
	e := &gate.Evidence{
		FeatureHash: a.Features.Hash, CurrentHash: feature.Player.Hash(), Training: a.Training, RowsFrom: j.from, Now: now.UnixMilli(), ScoreUS: j.us,
		NoChampion: "there is no champion to compare with",
	}
	var err error
	if e.Metrics, err = j.metrics(a, 10); err != nil {
		return nil, err
	}
	if champion == "" {
		return e, nil
	}
	scorer, _, err := registry.open(a.Name, champion)
	if err != nil {
		e.NoChampion = "the champion cannot score: " + refusalOf(err)
		return e, nil
	}
	m, err := judgeRows(scorer, rows).metrics(scorer.Artefact(), 10)
	if errors.Is(err, churn.ErrTooFew) {
		e.NoChampion = "the champion can score none of these rows"
		return e, nil
	}
	e.Champion = &m
	return e, err
}

func (c *ModelPromoteCmd) print(w io.Writer, results []gate.Result) error {
	if c.JSON {
		out := json.NewEncoder(w)
		for _, r := range results {
			if err := out.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable("gate", "value", "bound", "", "what")
	right := table.ColumnConfig{Align: text.AlignRight, AlignHeader: text.AlignRight}
	value, bound := right, right
	value.Number, bound.Number = 2, 3
	t.SetColumnConfigs([]table.ColumnConfig{value, bound})
	for _, r := range results {
		verdict := "passed"
		if !r.Passed {
			verdict = "MISSED"
		}
		t.AppendRow(table.Row{r.Gate, fmt.Sprintf("%.5g", r.Value), fmt.Sprintf("%.5g", r.Bound), verdict, r.Why})
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}
