package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/models/drift"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// ModelDriftCmd says whether a model still meets the world that it was trained on.
type ModelDriftCmd struct {
	Name     string        `arg:"" help:"Model." default:"churn" optional:""`
	From     time.Time     `help:"Scores from this time on." placeholder:"TIME"`
	To       time.Time     `help:"And before this." placeholder:"TIME"`
	PSI      float64       `name:"psi" help:"Population stability index from which a feature counts as another population." default:"0.25"`
	Skew     float64       `help:"Share of scored vectors that may differ from the stored features." default:"0.001"`
	Every    time.Duration `help:"Length of the windows of calibration." default:"24h"`
	Sample   int           `help:"Scores whose vectors are recomputed, at most." default:"10000"`
	Knowable string        `help:"What counts as known at the scoring time: what had been delivered, or in replayed and simulated history what had happened (event)." enum:"delivered,event" default:"delivered"`
	All      bool          `help:"Show stable features, too."`
	JSON     bool          `name:"json" help:"Print everything as one JSON document."`
}

// Help is shown by --help.
func (c *ModelDriftCmd) Help() string {
	return "Looks at what edges scored: the stability of each feature against the training of the version that scored it, the skew of " +
		"scored vectors against the stored features they were made of (same revision, a fault in serving) and against the newest " +
		"that were known (old features), what was said against what came true, and champion against shadow. A verdict is given only " +
		"where chance would not do as well.\n\nThe exit code is 1 with an alarm.\n\nThe parts are named queries, too: droplift query --list, under models."
}

// driftReport is all that is known of a model in service.
type driftReport struct {
	Model string `json:"model"`
	// Stability by version and feature, the least stable first.
	Stability []featureStability `json:"stability"`
	// Served compares vectors with the revision that was logged, Known with the newest that was known at the time.
	Served skewReport `json:"served"`
	Known  skewReport `json:"known"`
	// Calibration by window, role and version.
	Calibration  []calibrationWindow `json:"calibration"`
	Disagreement []disagreement      `json:"disagreement"`
	Latency      []scoreLatency      `json:"latency"`
	// Alarms are what somebody should look at.
	Alarms []string `json:"alarms"`
}

type featureStability struct {
	Version string  `json:"version"`
	Feature string  `json:"feature"`
	Scores  uint64  `json:"scores"`
	PSI     float64 `json:"psi"`
	// Chance is the index that a population without any drift stays below, 99 times of 100 over all features together.
	Chance  float64 `json:"chance"`
	Missing float64 `json:"missing_share"`
	Trained float64 `json:"trained_missing_share"`
	Alarm   bool    `json:"alarm"`
}

// skewReport is drift.SkewReport for people and JSON, which has no infinity.
type skewReport struct {
	Rows       uint64  `json:"rows"`
	Differing  uint64  `json:"differing"`
	Share      float64 `json:"share"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Worst      string  `json:"worst"`
	WorstShare float64 `json:"worst_share"`
	// Apart is −1 where the worst feature is missing on one side only.
	Apart float64 `json:"apart"`
	Alarm bool    `json:"alarm"`
}

type calibrationWindow struct {
	From     time.Time `json:"from"`
	Role     string    `json:"role"`
	Version  string    `json:"version"`
	N        uint64    `json:"n"`
	Said     float64   `json:"said"`
	Observed float64   `json:"observed"`
	Low      float64   `json:"low"`
	High     float64   `json:"high"`
	LogLoss  float64   `json:"log_loss"`
	Z        float64   `json:"z"`
	Off      bool      `json:"off"`
}

type disagreement struct {
	Champion string  `json:"champion"`
	Shadow   string  `json:"shadow"`
	Scores   uint64  `json:"scores"`
	Mean     float64 `json:"apart_mean"`
	P95      float64 `json:"apart_p95"`
	Max      float64 `json:"apart_max"`
	Other    float64 `json:"other_side"`
}

type scoreLatency struct {
	Role    string  `json:"role"`
	Version string  `json:"version"`
	Scores  uint64  `json:"scores"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	Max     float64 `json:"max_us"`
}

// errDrift ends a look that raised an alarm: exit code 1, everything has been said.
var errDrift = errors.New("the model drifts")

func (c *ModelDriftCmd) Run(ctx context.Context, cfg *Config) error {
	if c.Every < time.Millisecond || c.Sample < 1 || !(c.PSI > 0) || !(c.Skew >= 0) {
		return errors.New("--every, --sample and --psi must be positive, and --skew not negative")
	}
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := c.measure(ctx, client)
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(os.Stdout, report)
	} else {
		err = report.print(os.Stdout, c.All)
	}
	if err == nil && len(report.Alarms) > 0 {
		return errDrift
	}
	return err
}

// span is the wanted scores.
func (c *ModelDriftCmd) span() clickhouse.Scored {
	s := clickhouse.Scored{Model: c.Name, FeatureHash: feature.Player.Hash(), To: math.MaxInt64}
	if !c.From.IsZero() {
		s.From = c.From.UnixMilli()
	}
	if !c.To.IsZero() {
		s.To = c.To.UnixMilli()
	}
	return s
}

func (c *ModelDriftCmd) measure(ctx context.Context, client *clickhouse.Client) (*driftReport, error) {
	report := &driftReport{Model: c.Name, Alarms: []string{}}
	params := clickhouse.Params{"model": c.Name}
	if !c.From.IsZero() {
		params["from"] = c.From
	}
	if !c.To.IsZero() {
		params["to"] = c.To
	}
	if err := c.stability(ctx, client, params, report); err != nil {
		return nil, err
	}
	var err error
	if report.Served, err = c.skew(ctx, client, nil); err != nil {
		return nil, err
	}
	knowable := clickhouse.Knowable(c.Knowable)
	if report.Known, err = c.skew(ctx, client, &knowable); err != nil {
		return nil, err
	}
	if report.Served.Alarm {
		report.alarm("scored vectors differ from the features they were made of in %.2f %% of %d scores, most in %s", 100*report.Served.Share, report.Served.Rows, report.Served.Worst)
	}
	if err := c.calibration(ctx, client, report); err != nil {
		return nil, err
	}
	data, err := client.Query(ctx, "model_disagreement", params)
	if err != nil {
		return nil, err
	}
	for i := range data.Rows {
		r := row{data, i}
		report.Disagreement = append(report.Disagreement, disagreement{r.text("champion"), r.text("shadow"), r.count("scores"), r.float("apart_mean"), r.float("apart_p95"), r.float("apart_max"), r.float("other_side")})
	}
	if data, err = client.Query(ctx, "model_latency", params); err != nil {
		return nil, err
	}
	for i := range data.Rows {
		r := row{data, i}
		report.Latency = append(report.Latency, scoreLatency{r.text("role"), r.text("version"), r.count("scores"), r.float("p50_us"), r.float("p99_us"), r.float("max_us")})
	}
	return report, nil
}

// count reads a whole number; NULL is 0.
func (r row) count(column string) uint64 {
	n, _ := r.number(column)
	return uint64(n)
}

func (r *driftReport) alarm(format string, args ...any) {
	r.Alarms = append(r.Alarms, fmt.Sprintf(format, args...))
}

// stability takes the counts from ClickHouse and the verdict from models/drift.
func (c *ModelDriftCmd) stability(ctx context.Context, client *clickhouse.Client, params clickhouse.Params, report *driftReport) error {
	data, err := client.Query(ctx, "model_psi", params)
	if err != nil {
		return err
	}
	features := map[string]int{}
	for i := range data.Rows {
		features[row{data, i}.text("version")]++
	}
	for i := range data.Rows {
		r := row{data, i}
		reference := scoring.Reference{Name: r.text("feature"), Missing: r.float("missing_share")}
		var ok [3]bool
		var counts drift.Counts
		reference.Edges, ok[0] = r.value("edges").([]float64)
		reference.Shares, ok[1] = r.value("shares").([]float64)
		counts.Bins, ok[2] = r.value("bins").([]uint64)
		if ok != [3]bool{true, true, true} {
			return fmt.Errorf("query model_psi: feature %s has no bins", reference.Name)
		}
		counts.Missing = r.count("missing")
		test := drift.Test{Threshold: c.PSI, Features: features[r.text("version")]}
		s, err := test.PSI(&reference, int(r.count("rows")), &counts)
		if err != nil {
			return err
		}
		f := featureStability{Version: r.text("version"), Feature: reference.Name, Scores: s.N, PSI: s.PSI, Chance: s.Noise,
			Missing: float64(counts.Missing) / float64(max(1, s.N)), Trained: reference.Missing, Alarm: s.Alarm}
		if f.Alarm {
			report.alarm("feature %s of version %s has a stability index of %.3f over %d scores", f.Feature, f.Version, f.PSI, f.Scores)
		}
		report.Stability = append(report.Stability, f)
	}
	slices.SortStableFunc(report.Stability, func(a, b featureStability) int { return cmp.Compare(b.PSI, a.PSI) })
	return nil
}

// skew compares a sample of scored vectors with the same ones recomputed.
func (c *ModelDriftCmd) skew(ctx context.Context, client *clickhouse.Client, knowable *clickhouse.Knowable) (skewReport, error) {
	// A number that went over the stream and through a table is the same number: only arithmetic on times may round.
	skew := drift.NewSkew(feature.Player.Names(), 0, 1e-9)
	recomputed := make([]float64, 0, len(feature.Player.Features))
	err := client.ScoredVectors(ctx, c.span(), knowable, c.Sample, func(v *clickhouse.ScoredVector) error {
		feature.Player.FromStream(v.Vector)
		return skew.Add(v.Vector, v.Features.Vector(v.At, recomputed[:0]))
	})
	if err != nil {
		return skewReport{}, err
	}
	s := skew.Report()
	out := skewReport{Rows: s.Rows, Differing: s.Differing, Share: s.Share, Low: s.Low, High: s.High, Worst: s.Worst, WorstShare: s.WorstShare, Apart: s.Apart,
		Alarm: s.Rows > 0 && s.Low > c.Skew}
	if math.IsInf(out.Apart, 1) {
		out.Apart = -1
	}
	return out, nil
}

// calibration follows champion and shadow by windows of the scoring time.
func (c *ModelDriftCmd) calibration(ctx context.Context, client *clickhouse.Client, report *driftReport) error {
	type series struct{ role, version string }
	all := map[series]*drift.Calibration{}
	add := func(role, version string, at int64, p float64, churned bool) error {
		if version == "" {
			return nil
		}
		s := series{role, version}
		if all[s] == nil {
			all[s] = drift.NewCalibration(c.Every.Milliseconds())
		}
		return all[s].Add(at, p, churned)
	}
	err := client.Examples(ctx, c.span(), func(e *clickhouse.ScoredExample) error {
		if err := add("champion", e.Version, e.At, e.P, e.Churned); err != nil {
			return err
		}
		return add("shadow", e.ShadowVersion, e.At, e.ShadowP, e.Churned)
	})
	if err != nil {
		return err
	}
	for s, calibration := range all {
		for _, w := range calibration.Windows() {
			report.Calibration = append(report.Calibration, calibrationWindow{time.UnixMilli(w.From).UTC(), s.role, s.version, w.N, w.MeanP, w.Observed, w.Low, w.High, w.LogLoss, w.Z, w.Off})
		}
	}
	slices.SortFunc(report.Calibration, func(a, b calibrationWindow) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Version, b.Version))
	})
	// One window of twenty is off by chance, and champions alone answer: three in a row on one side is an alarm.
	runs := map[string]int{}
	for _, w := range report.Calibration {
		if w.Role != "champion" {
			continue
		}
		switch n := runs[w.Version]; {
		case !w.Off:
			runs[w.Version] = 0
		case w.Z > 0:
			runs[w.Version] = max(n, 0) + 1
		default:
			runs[w.Version] = min(n, 0) - 1
		}
		if n := runs[w.Version]; n == calibrationRun || n == -calibrationRun {
			side := "less"
			if n > 0 {
				side = "more"
			}
			report.alarm("%d windows in a row up to %s, %s players churned than version %s said", calibrationRun, w.From.Format("2006-01-02 15:04"), side, w.Version)
		}
	}
	return nil
}

// calibrationRun is how many windows in a row must be off on one side: by chance that is rarer than 1 in 60,000.
const calibrationRun = 3

// print prints the report for people.
func (r *driftReport) print(w io.Writer, all bool) error {
	if len(r.Stability) == 0 && len(r.Latency) == 0 && len(r.Calibration) == 0 {
		_, err := fmt.Fprintf(w, "No score of model %s is stored in this span.\n", r.Model)
		return err
	}
	var err error
	section := func(title string, t table.Writer) {
		if err == nil && t.Length() > 0 {
			_, err = fmt.Fprintf(w, "%s\n%s\n\n", title, t.Render())
		}
	}
	t := newTable("feature", "version", "scores", "index", "by chance below", "missing", "in training", "")
	stable := 0
	for _, f := range r.Stability {
		verdict := ""
		switch {
		case f.Alarm:
			verdict = "ANOTHER POPULATION"
		case f.PSI > f.Chance:
			verdict = "moved"
		case !all:
			stable++
			continue
		}
		t.AppendRow(table.Row{f.Feature, f.Version, f.Scores, fmt.Sprintf("%.4f", f.PSI), fmt.Sprintf("%.4f", f.Chance), fmt.Sprintf("%.2f %%", 100*f.Missing), fmt.Sprintf("%.2f %%", 100*f.Trained), verdict})
	}
	section("Population stability, scored vectors against training", t)
	if stable > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d features are as stable as chance allows.\n\n", stable)
	}
	t = newTable("vectors against", "scores", "differing", "95 % interval", "worst feature", "apart by", "")
	for _, s := range []struct {
		what string
		skewReport
	}{{"their own revision", r.Served}, {"the newest known", r.Known}} {
		apart, verdict := absent, ""
		switch {
		case s.Apart < 0:
			apart = "missing on one side"
		case s.Worst != "":
			apart = fmt.Sprintf("%.6g", s.Apart)
		}
		if s.Alarm {
			verdict = "SKEW"
		}
		t.AppendRow(table.Row{s.what, s.Rows, fmt.Sprintf("%.3f %%", 100*s.Share), fmt.Sprintf("%.3f – %.3f %%", 100*s.Low, 100*s.High), cmp.Or(s.Worst, absent), apart, verdict})
	}
	section("Skew between training and serving", t)
	t = newTable("scores of", "role", "version", "n", "said", "observed", "95 % interval", "log loss", "")
	for _, c := range r.Calibration {
		verdict := ""
		if c.Off {
			verdict = "off"
		}
		t.AppendRow(table.Row{c.From.Format("2006-01-02 15:04"), c.Role, c.Version, c.N, fmt.Sprintf("%.4f", c.Said), fmt.Sprintf("%.4f", c.Observed),
			fmt.Sprintf("%.4f – %.4f", c.Low, c.High), fmt.Sprintf("%.4f", c.LogLoss), verdict})
	}
	section("Calibration over time", t)
	t = newTable("champion", "shadow", "scores", "apart, mean", "95 %", "most", "on another side of .5")
	for _, d := range r.Disagreement {
		t.AppendRow(table.Row{d.Champion, d.Shadow, d.Scores, fmt.Sprintf("%.4f", d.Mean), fmt.Sprintf("%.4f", d.P95), fmt.Sprintf("%.4f", d.Max), fmt.Sprintf("%.2f %%", 100*d.Other)})
	}
	section("Champion against shadow", t)
	t = newTable("version", "role", "scores", "p50 µs", "p99 µs", "most µs")
	for _, l := range r.Latency {
		t.AppendRow(table.Row{l.Version, l.Role, l.Scores, fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P99), fmt.Sprintf("%.2f", l.Max)})
	}
	section("Time of a score", t)
	for _, alarm := range r.Alarms {
		if err == nil {
			_, err = fmt.Fprintln(w, "ALARM: "+alarm)
		}
	}
	if err == nil && len(r.Alarms) == 0 {
		_, err = fmt.Fprintln(w, "No alarm.")
	}
	return err
}
