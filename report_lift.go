package main

import (
	"fmt"
	"strings"

	"github.com/droplift/droplift/dashboards/report"
)

// liftSection shows what the drop changed, each number with the grade of its evidence and the only words that grade allows.
func (p *pageMaker) liftSection() error {
	rows, err := measureLift(p.ctx, p.client, p.drop, p.lateness, p.lift)
	if err != nil {
		return err
	}
	// The same numbers as they were published are older ones, and not shown again.
	for i := range p.estimates.Rows {
		if strings.HasPrefix((row{p.estimates, i}).text("metric"), "change_") {
			p.used[i] = true
		}
	}
	s := report.Section{ID: "lift", Title: "What the drop changed",
		Lead: "Returns of players and activity of creators, at every grade of evidence that the data allow. Only the grades from A to C speak of effects; D and E compare groups that differed before."}
	t := report.Table{Caption: "Estimates by grade of evidence", Columns: columns("what", "pp", "95 %", "relative", "95 %", "p", "n")}
	t.Columns = append(t.Columns, report.Column{Name: "against"}, report.Column{Name: "grade"}, report.Column{Name: "maturity"}, report.Column{Name: "allowed words, and why a number is missing"})
	returns := report.Series{Kind: report.HorizontalInterval}
	figure := report.Figure{Caption: "Difference in the share of players who return, percentage points with intervals"}
	for i := range rows {
		r := &rows[i]
		points, pointsSpan := percents(r.Points, 1, 2)
		relative, relativeSpan := percents(r.Relative, 100, 1)
		words := r.Wording
		if r.Note != "" {
			words = strings.TrimPrefix(words+"; "+r.Note, "; ")
		}
		place := r.Horizon + ", " + r.evidence()
		t.Rows = append(t.Rows, []string{r.Metric + ", " + r.Horizon, points, pointsSpan, relative, relativeSpan, significance(r), fmt.Sprint(r.N), r.Comparator,
			r.evidence(), r.due(), words})
		if r.Points != nil && len(figure.Plot.Categories) < 16 {
			returns.X = append(returns.X, float64(len(figure.Plot.Categories)))
			returns.Y, returns.Low, returns.High = append(returns.Y, r.Points.Value), append(returns.Low, r.Points.Low), append(returns.High, r.Points.High)
			figure.Plot.Categories = append(figure.Plot.Categories, place)
			figure.Description = strings.TrimPrefix(fmt.Sprintf("%s, %s %s [%s]", figure.Description, place, points, pointsSpan), ", ")
		}
	}
	if len(figure.Plot.Categories) > 0 {
		figure.Plot.XLabel, figure.Plot.Series = "percentage points", []report.Series{returns}
		s.Figures = []report.Figure{figure}
	}
	if len(t.Rows) == 0 {
		s.Empty = "No purchase and no holdout of this drop is stored, so there is nothing to compare."
	} else {
		s.Tables = []report.Table{t}
	}
	p.add(s)
	return nil
}
