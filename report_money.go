package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/droplift/droplift/dashboards/report"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sinks/clickhouse"
)

func (p *pageMaker) money() error {
	lines, err := p.query("drop_lines", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	roi, err := p.query("drop_roi", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	s := report.Section{ID: "money", Title: "Revenue and return",
		Lead: "From gross revenue to what is left after refunds, chargebacks and the costs on record."}
	if len(lines.Rows) == 0 || len(roi.Rows) == 0 {
		s.Empty = "No checkout of this drop was completed."
		p.add(s)
		return nil
	}
	currency := row{lines, 0}.text("reporting_currency")
	digits, _ := event.CurrencyDigits(currency)
	unit := math.Pow10(digits)
	bars := report.Series{Kind: report.Bar}
	var categories, said []string
	unconverted, running := 0., 0.
	for i := range lines.Rows {
		line := row{lines, i}
		amount, _ := line.number("amount")
		left, _ := line.number("left_out")
		unconverted += left
		bars.X = append(bars.X, float64(i))
		bars.Low, bars.High = append(bars.Low, running/unit), append(bars.High, (running+amount)/unit)
		bars.Labels = append(bars.Labels, line.money("amount", currency))
		categories = append(categories, line.text("line"))
		said = append(said, line.text("line")+" "+line.money("amount", currency))
		running += amount
	}
	margin := row{lines, len(lines.Rows) - 1}.money("running", currency)
	bars.X = append(bars.X, float64(len(categories)))
	bars.Low, bars.High, bars.Labels = append(bars.Low, 0), append(bars.High, running/unit), append(bars.Labels, margin)
	categories = append(categories, "margin")
	s.Figures = []report.Figure{{
		Caption:     "From gross to margin, " + currency,
		Description: "Bars from gross revenue to margin in " + currency + ": " + strings.Join(said, ", ") + ", margin " + margin + ".",
		Plot:        report.Plot{XLabel: currency, XFormat: compact, Categories: categories, Series: []report.Series{bars}},
	}}
	t := report.Table{Caption: "By currency", Columns: columns("currency", "checkouts", "gross", "refunds", "chargebacks", "net")}
	amounts := []string{"gross", "refunds", "chargebacks", "net_revenue"}
	var missing []string
	for _, cost := range []struct{ column, name string }{{"creator_shares", "creator shares"}, {"tax_and_fees", "tax and fees"}, {"edge_cost", "edge"}, {"localization_cost", "localization"}} {
		recorded := false
		for i := range roi.Rows {
			recorded = recorded || (row{roi, i}).value(cost.column) != nil
		}
		if recorded {
			amounts, t.Columns = append(amounts, cost.column), append(t.Columns, report.Column{Name: cost.name, Numeric: true})
		} else {
			missing = append(missing, cost.name)
		}
	}
	amounts = append(amounts, "margin")
	t.Columns = append(t.Columns, columns("margin", "in "+currency)...)
	t.Columns[len(t.Columns)-2].Numeric = true
	checkouts := 0.
	for i := range roi.Rows {
		r := row{roi, i}
		own := r.text("currency")
		n, _ := r.number("checkouts")
		checkouts += n
		cells := []string{own, r.text("checkouts")}
		for _, column := range amounts {
			cells = append(cells, r.money(column, own))
		}
		t.Rows = append(t.Rows, append(cells, r.money("margin_reporting", currency)))
	}
	if len(missing) > 0 {
		t.Note = "Not on record, and so not in the margin: " + strings.Join(missing, ", ") + "."
	}
	if unconverted > 0 {
		t.Note += fmt.Sprintf(" %.0f records have no exchange rate and are left out of %s.", unconverted, currency)
	}
	s.Tables = append(s.Tables, t)
	s.Basis = p.basisOf(strconv.FormatFloat(checkouts, 'f', 0, 64), "checkouts")
	p.headline("Margin", margin+" "+currency, "after the costs on record")
	p.headline("Completed checkouts", s.Basis.N, p.basis.Maturity)
	p.add(s)
	return nil
}

func (p *pageMaker) cohortSection() error {
	data, err := p.query("ltv_cohorts", clickhouse.Params{"cohort": "week", "max_age": cohortAges})
	if err != nil {
		return err
	}
	s := report.Section{ID: "cohorts", Title: "Cohorts", Lead: "Members by ISO week of their first activity, over all drops. A cell appears once the whole cohort has reached its age; nothing is carried forward."}
	if len(data.Rows) == 0 {
		s.Empty = "There are no members yet."
		p.add(s)
		return nil
	}
	currency := reportingCurrency(data)
	header := []string{"members"}
	for age := range cohortAges + 1 {
		header = append(header, "week "+strconv.Itoa(age))
	}
	ltv := report.Table{Caption: "Lifetime value per member, cumulative, " + currency, Columns: columns("acquired in", header...),
		Note: "Net of refunds and chargebacks, counted when they happened; non-payers included. " + absent + " is not mature yet."}
	var cells []string
	for i := range data.Rows {
		r := row{data, i}
		if len(cells) == 0 {
			cells = []string{r.text("cohort"), r.text("members")}
		}
		if cells = append(cells, r.decimal("ltv", 2)); len(cells) == len(ltv.Columns) {
			ltv.Rows, cells = append(ltv.Rows, cells), nil
		}
	}
	s.Basis = report.Basis{Watermark: row{data, 0}.moment("watermark")}
	s.Tables = append(s.Tables, ltv)

	returns, err := p.query("retention_curve", clickhouse.Params{"cohort": "week"})
	if err != nil {
		return err
	}
	if figure, ok := retentionFigure(returns); ok {
		s.Figures = append(s.Figures, figure)
	} else {
		s.Notes = append(s.Notes, "No cohort is old enough for a retention curve.")
	}
	days := []int64{1, 7, 14, 28}
	retention := report.Table{Caption: "Came back on a day of age", Columns: columns("acquired in", "members", "D1", "D7", "D14", "D28"),
		Note: "Day k of a member begins k · 24 h after the first activity. " + absent + " is not mature yet."}
	for i := range returns.Rows {
		r := row{returns, i}
		if day, _ := r.number("day"); slices.Contains(days, int64(day)) {
			if day == 1 {
				retention.Rows = append(retention.Rows, []string{r.text("cohort"), r.text("n")})
			}
			at := len(retention.Rows) - 1
			retention.Rows[at] = append(retention.Rows[at], r.percent("rate"))
		}
	}
	s.Tables = append(s.Tables, retention)

	again, err := p.query("repeat_purchase", clickhouse.Params{"max_age": 3})
	if err != nil {
		return err
	}
	repeats := report.Table{Caption: "Bought again by age", Columns: columns("first bought in", "buyers", "within 1 week", "2 weeks", "3 weeks", "4 weeks"),
		Note: "A second purchase is one on a later UTC day. " + absent + " is not mature yet."}
	for i := range again.Rows {
		r := row{again, i}
		if r.text("age") == "0" {
			repeats.Rows = append(repeats.Rows, []string{r.text("cohort"), r.text("n")})
		}
		at := len(repeats.Rows) - 1
		repeats.Rows[at] = append(repeats.Rows[at], r.percent("rate"))
	}
	s.Tables = append(s.Tables, repeats)
	p.add(s)
	return nil
}

// retentionFigure draws the cohort with the longest mature curve, larger ones first, with its interval.
func retentionFigure(data *clickhouse.Table) (report.Figure, bool) {
	var best report.Series
	n := 0.
	for i := 0; i < len(data.Rows); {
		name, size := row{data, i}.text("cohort"), 0.
		s := report.Series{Kind: report.Line, Name: name}
		for ; i < len(data.Rows) && (row{data, i}).text("cohort") == name; i++ {
			r := row{data, i}
			size, _ = r.number("n")
			rate, ok := r.number("rate")
			if !ok {
				continue
			}
			day, _ := r.number("day")
			low, _ := r.number("rate_low")
			high, _ := r.number("rate_high")
			s.X, s.Y, s.Low, s.High = append(s.X, day), append(s.Y, rate), append(s.Low, low), append(s.High, high)
		}
		if len(s.X) > len(best.X) || len(s.X) == len(best.X) && size > n {
			best, n = s, size
		}
	}
	if len(best.X) < 2 {
		return report.Figure{}, false
	}
	last := len(best.X) - 1
	return report.Figure{Caption: fmt.Sprintf("Retention of cohort %s (n = %.0f) by day of age, with its 95 %% Wilson interval", best.Name, n),
		Description: fmt.Sprintf("Share of cohort %s that came back: %.1f %% on day %.0f, %.1f %% on day %.0f.", best.Name, 100*best.Y[0], best.X[0], 100*best.Y[last], best.X[last]),
		Plot:        report.Plot{XLabel: "day of age", YLabel: "came back", YFormat: share, Series: []report.Series{best}}}, true
}

func (p *pageMaker) qualitySection() error {
	data, err := p.query("data_quality", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	s := report.Section{ID: "quality", Title: "Data quality", Lead: "What the numbers above leave out or had to correct."}
	t := report.Table{Caption: "Records by topic", Columns: columns("of", "stored", "late", "repeated", "dead letters", "clock off 7 d", "clock ahead", "synthetic", "panes revised")}
	for i := range data.Rows {
		r := row{data, i}
		of := r.text("topic")
		if r.text("drop_id") == "" {
			of += ", no drop"
		}
		t.Rows = append(t.Rows, []string{of, r.text("of"), r.text("late"), r.text("repeated"), r.text("dead_letters"), r.text("quarantined"), r.text("skewed"), r.text("synthetic"), r.text("revised")})
	}
	t.Note = "Dead letters cannot always name a drop, and are those of every drop. Repeated and late records are kept; repeated ones are counted once."
	s.Tables = []report.Table{t}
	p.add(s)
	return nil
}
