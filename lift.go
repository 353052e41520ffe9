package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// LiftCmd prints what a drop changed, at every grade of evidence that the data allow.
type LiftCmd struct {
	Drop        string `arg:"" help:"Drop id." placeholder:"DROP"`
	Format      string `help:"Format: ${enum}." enum:"table,csv,json" default:"table"`
	Publish     bool   `help:"Publish the read-out as of the newest complete window among the estimates, too. The running pipeline does so by itself; doing it again changes nothing."`
	LiftOptions `embed:""`
}

// Help is shown by --help.
func (c *LiftCmd) Help() string {
	return "Each number stands with its grade of evidence and with the only words that grade allows: A randomized_itt and B " +
		"randomized_cace need an experiment with a holdout in the drop's catalogue entry, C quasi_did a pre-trend test that " +
		"passes, D matched and E descriptive are associations. A number whose window is not complete yet is left empty, and " +
		"so is one whose test failed; the note says why.\n\nExample:\n\n  droplift lift drop-004 --horizons 7"
}

func (c *LiftCmd) Run(ctx context.Context, cfg *Config) error {
	client, err := cfg.openReader(ctx, cfg.clickhouseOrLocal(), cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer client.Close()
	var rows []LiftRow
	if c.Publish {
		rows, err = c.publish(ctx, cfg, client)
	} else {
		rows, err = measureLift(ctx, client, c.Drop, cfg.AllowedLateness, c.LiftOptions)
	}
	if err != nil {
		return err
	}
	return writeLift(os.Stdout, c.Format, rows)
}

// writeLift writes rows as a table for people, as CSV or as JSON.
func writeLift(w io.Writer, format string, rows []LiftRow) error {
	switch format {
	case "json":
		return writeJSON(w, rows)
	case "csv":
		return writeLiftCSV(w, rows)
	}
	t := newTable("what", "horizon", "grade", "pp", "interval", "relative %", "interval", "p", "n", "against", "baseline", "maturity", "allowed words")
	if len(rows) == 0 {
		return nil
	}
	var notes []string
	for i := range rows {
		r := &rows[i]
		points, pointsRange := percents(r.Points, 1, 2)
		relative, relativeRange := percents(r.Relative, 100, 1)
		what := r.Metric + ", " + r.Scope
		t.AppendRow(table.Row{what, r.Horizon, r.evidence(), points, pointsRange, relative, relativeRange,
			significance(r), r.N, r.Comparator, baselineText(r), r.due(), r.Wording})
		if r.Note != "" {
			notes = append(notes, fmt.Sprintf("%s, %s, %s: %s", what, r.Horizon, r.evidence(), r.Note))
		}
	}
	if _, err := fmt.Fprintf(w, "%s\n", t.Render()); err != nil {
		return err
	}
	for _, note := range notes {
		if _, err := fmt.Fprintln(w, "  "+note); err != nil {
			return err
		}
	}
	return nil
}

// evidence is the grade with the method behind it.
func (r *LiftRow) evidence() string { return r.Grade.Letter() + " " + r.Method }

// due is the maturity, and until when the number is left empty.
func (r *LiftRow) due() string {
	if r.Maturity == provisional && !r.MaturesAt.IsZero() {
		return "empty until " + r.MaturesAt.Format("2006-01-02 15:04")
	}
	return r.Maturity
}

// percents writes an interval times scale.
func percents(i *Interval, scale float64, digits int) (value, bounds string) {
	if i == nil {
		return absent, absent
	}
	return fmt.Sprintf("%+.*f", digits, scale*i.Value), fmt.Sprintf("%+.*f – %+.*f", digits, scale*i.Low, digits, scale*i.High)
}

// significance is the permutation test's p where there is one: with few creators it is the one to trust.
func significance(r *LiftRow) string {
	switch {
	case r.PermutationP != nil:
		return fmt.Sprintf("%.4f (permutation)", *r.PermutationP)
	case r.P != nil:
		return fmt.Sprintf("%.4f", *r.P)
	}
	return absent
}

func baselineText(r *LiftRow) string {
	switch {
	case r.Baseline == nil:
		return absent
	case r.Metric == returnMetric:
		return fmt.Sprintf("%.2f %%", 100**r.Baseline)
	}
	return fmt.Sprintf("%.1f", *r.Baseline)
}

func writeLiftCSV(w io.Writer, rows []LiftRow) error {
	out := csv.NewWriter(w)
	out.Write([]string{"metric", "horizon", "scope", "grade", "method", "points_pp", "points_low_pp", "points_high_pp", "relative_rel",
		"relative_low_rel", "relative_high_rel", "p", "permutation_p", "n", "treated", "comparator", "baseline", "balance", "maturity",
		"matures_at", "wording", "statement", "note"})
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', 10, 64)
	}
	three := func(i *Interval) []string {
		if i == nil {
			return []string{"", "", ""}
		}
		return []string{number(&i.Value), number(&i.Low), number(&i.High)}
	}
	for i := range rows {
		r := &rows[i]
		matures := ""
		if !r.MaturesAt.IsZero() {
			matures = r.MaturesAt.Format(time.RFC3339)
		}
		cells := []string{r.Metric, r.Horizon, r.Scope, r.Grade.String(), r.Method}
		cells = append(cells, three(r.Points)...)
		cells = append(cells, three(r.Relative)...)
		out.Write(append(cells, number(r.P), number(r.PermutationP), strconv.FormatUint(r.N, 10), strconv.FormatUint(r.Treated, 10),
			r.Comparator, number(r.Baseline), number(r.Balance), r.Maturity, matures, r.Wording, r.Statement, r.Note))
	}
	out.Flush()
	return out.Error()
}
