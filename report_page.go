package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/droplift/droplift/dashboards/report"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sql"
)

// reportPage writes a drop's report as one HTML page, every number of it computed by SQL in ClickHouse.
func reportPage(ctx context.Context, w io.Writer, client *clickhouse.Client, drop string) error {
	p := pageMaker{reporter: reporter{ctx: ctx, client: client, drop: drop}}
	state, err := p.query("drop_state", clickhouse.Params{"drop": drop})
	if err != nil {
		return err
	}
	if len(state.Rows) == 0 {
		return unknownDrop(drop)
	}
	entry := row{state, 0}
	p.starts, p.ends = entry.moment("starts"), entry.moment("ends")
	p.basis = report.Basis{From: p.starts, To: p.ends, Watermark: entry.moment("watermark"), Maturity: entry.text("maturity")}
	p.page = report.Page{
		Title:    entry.text("name"),
		Subtitle: fmt.Sprintf("%s by %s", drop, entry.text("creator_id")),
		Basis:    p.basis,
		Footer: "Every number is computed by a named query in ClickHouse; droplift query --list names them, --describe says what each means. " +
			"Intervals cover 95 % unless a table says otherwise. A provisional number may still change; an immature cell is left empty.",
	}
	if p.estimates, err = p.query("drop_estimates", clickhouse.Params{"drop": drop}); err != nil {
		return err
	}
	if p.decisions, err = p.query("drop_decisions", clickhouse.Params{"drop": drop}); err != nil {
		return err
	}
	p.used = make([]bool, len(p.estimates.Rows))
	for _, section := range []func() error{
		p.money, p.velocityAgainst, p.funnelSection, p.timeToConvert, p.latencySection, p.cohortSection,
		p.published("localization", "Localization", "Are subtitles there, in time and readable, and how fast is the error budget spent?", "localization_", "cue_", "budget_remaining"),
		p.published("experiments", "Experiments", "Confidence sequences hold however often they are looked at; an effect is hidden while the sample-ratio check alarms.", "experiment_", "srm"),
		p.published("inventory", "Inventory", "What was on offer, sold, reserved and left; orders beyond the inventory are an alarm.", "inventory_", "oversold_"),
		p.published("edge", "Edge cost against plan", "What the edge cost, against the budget's plan by forecast traffic.", "edge_", "pace_"),
		p.published("settlement", "Settlement", "Creators' shares in the ledger, and whether it holds what was sold.", "settlement_", "ledger_"),
		p.published("lift", "Lift", "Effects on retention and creators' revenue, each with the grade of its evidence and the words that the grade allows.", "lift_", "retention_", "uplift_"),
		p.otherEstimates, p.qualitySection,
	} {
		if err := section(); err != nil {
			return err
		}
	}
	return report.Render(w, p.page)
}

func unknownDrop(drop string) error {
	return fmt.Errorf("drop %q is not in the catalogue; droplift query --sql 'SELECT DISTINCT drop_id FROM drops' lists them", drop)
}

// pageMaker collects the sections of one page.
type pageMaker struct {
	reporter
	page         report.Page
	starts, ends time.Time
	basis        report.Basis // of the whole drop
	// estimates and decisions are the drop's published ones; used marks the estimates that a section has shown.
	estimates, decisions *clickhouse.Table
	used                 []bool
}

func (p *pageMaker) add(s report.Section) { p.page.Sections = append(p.page.Sections, s) }

func (p *pageMaker) headline(name, value, note string) {
	p.page.Headlines = append(p.page.Headlines, report.Headline{Name: name, Value: value, Note: note})
}

// basisOf is the drop's basis with its own count.
func (p *pageMaker) basisOf(n, of string) report.Basis {
	b := p.basis
	b.N, b.Of = n, of
	return b
}

func columns(first string, numeric ...string) []report.Column {
	out := []report.Column{{Name: first}}
	for _, name := range numeric {
		out = append(out, report.Column{Name: name, Numeric: true})
	}
	return out
}

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

// compact writes large axis values short.
func compact(v float64) string {
	switch size := math.Abs(v); {
	case size >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + " M"
	case size >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + " k"
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

func share(v float64) string { return strconv.FormatFloat(100*v, 'g', 4, 64) + " %" }

func (p *pageMaker) velocityAgainst() error {
	s := report.Section{ID: "velocity", Title: "Conversion velocity", Basis: p.basis,
		Lead: "Conversions per minute over 15 minutes by age of the drop, beside an earlier drop at the same age."}
	own, err := p.velocityLine(p.drop)
	if err != nil {
		return err
	}
	if len(own.X) < 2 {
		s.Empty = "No pane of conversion velocity is published for this drop yet."
		p.add(s)
		return nil
	}
	own.Name = "this drop"
	figure := report.Figure{Caption: "Conversions per minute by age", Plot: report.Plot{XLabel: "age, hours", YLabel: "per minute"}}
	comparison, err := p.query("velocity_comparison", clickhouse.Params{"drop": p.drop, "hop_ms": time.Hour.Milliseconds()})
	if err != nil {
		return err
	}
	said := ""
	if len(comparison.Rows) > 0 {
		reference := row{comparison, 0}.text("reference")
		earlier, err := p.velocityLine(reference)
		if err != nil {
			return err
		}
		if len(earlier.X) > 1 {
			earlier.Name, earlier.Kind, earlier.Muted = reference, report.Dashed, true
			figure.Plot.Series = append(figure.Plot.Series, earlier)
			said = ", beside " + reference
		}
		t := report.Table{Caption: "Against " + reference + " at the same age, conversions per landing view",
			Columns: append(columns("age", "conversions", "views", "earlier conversions", "earlier views", "ratio", "95 %", "p10–p90 of past drops"), report.Column{Name: "maturity"})}
		for i := range comparison.Rows {
			if hour := i + 1; hour != len(comparison.Rows) && !slices.Contains([]int{1, 3, 6, 12, 24, 48}, hour) {
				continue
			}
			r := row{comparison, i}
			t.Rows = append(t.Rows, []string{r.duration("age_ms"), r.text("conversions"), r.text("views"), r.text("reference_conversions"), r.text("reference_views"),
				r.decimal("rr", 4), r.span("rr_low", "rr_high", 4), r.span("band_low", "band_high", 4), r.text("maturity")})
		}
		label := strings.ReplaceAll(row{comparison, len(comparison.Rows) - 1}.text("label"), "_", " ")
		t.Note = "Rests on: " + label + ". The interval covers counting noise alone; drops differ by creator, price and hour of day. A band needs five past drops."
		s.Tables = append(s.Tables, t)
	} else {
		s.Notes = append(s.Notes, "No earlier drop has conversions to compare with.")
	}
	figure.Plot.Series = append(figure.Plot.Series, own)
	summary, err := p.query("report_velocity_summary", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	if len(summary.Rows) > 0 {
		r := row{summary, 0}
		s.Basis = p.basisOf(r.text("conversions"), "conversions")
		s.Basis.Maturity = r.text("maturity")
		figure.Description = fmt.Sprintf("Conversions per minute by age of the drop%s: a peak of %s at %s UTC; half of the %s conversions so far by age %s.",
			said, r.decimal("peak_per_minute", 1), r.text("peak_at"), r.text("conversions"), r.duration("t50_ms"))
		p.headline("Peak velocity", r.decimal("peak_per_minute", 1)+"/min", "over 5 min, at "+r.text("peak_at")+" UTC")
	}
	s.Figures = []report.Figure{figure}
	p.add(s)
	return nil
}

// velocityLine is a drop's velocity by age in hours.
func (p *pageMaker) velocityLine(drop string) (report.Series, error) {
	data, err := p.query("report_velocity", clickhouse.Params{"drop": drop, "window_ms": 15 * time.Minute.Milliseconds(), "hop_ms": 10 * time.Minute.Milliseconds()})
	if err != nil {
		return report.Series{}, err
	}
	var s report.Series
	for i := range data.Rows {
		r := row{data, i}
		age, _ := r.number("age_ms")
		if v, ok := r.number("per_minute"); ok {
			s.X, s.Y = append(s.X, age/3_600_000), append(s.Y, v)
		}
	}
	return s, nil
}

func (p *pageMaker) funnelSection() error {
	data, err := p.query("report_funnel", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	s := report.Section{ID: "funnel", Title: "Funnel",
		Lead: "Distinct players in order: whose first time at a step is not before their first time at the step before, up to the drop's end."}
	if len(data.Rows) == 0 || (row{data, 0}).text("players") == "0" {
		s.Empty = "Nobody has landed on this drop."
		p.add(s)
		return nil
	}
	bars := report.Series{Kind: report.Bar}
	t := report.Table{Caption: "Players by step", Columns: columns("step", "players", "of the step before", "95 %", "of landings")}
	var categories, said []string
	for i := range data.Rows {
		r := row{data, i}
		n, _ := r.number("players")
		bars.X, bars.Low, bars.High = append(bars.X, float64(i)), append(bars.Low, 0), append(bars.High, n)
		bars.Labels = append(bars.Labels, r.text("players"))
		categories = append(categories, r.text("step"))
		said = append(said, r.text("step")+" "+r.text("players"))
		t.Rows = append(t.Rows, []string{r.text("step"), r.text("players"), r.percent("rate"), r.interval("rate_low", "rate_high"), r.percent("total_rate")})
	}
	last := row{data, len(data.Rows) - 1}
	t.Note = fmt.Sprintf("%s players (%s) had a step without the ones before it and are left out of the rates; above 2 %% that is an alarm.", last.text("gap_players"), last.percent("gap_share"))
	s.Figures = []report.Figure{{Caption: "Players by step", Description: "Players by step: " + strings.Join(said, ", ") + ".",
		Plot: report.Plot{XLabel: "players", XFormat: compact, Categories: categories, Series: []report.Series{bars}}}}
	s.Tables = []report.Table{t}
	s.Basis = p.basisOf(row{data, 0}.text("players"), "landed players")
	p.headline("Landed to bought", last.percent("total_rate"), "of "+s.Basis.N+" landed players")
	p.add(s)
	return nil
}

func (p *pageMaker) timeToConvert() error {
	data, err := p.query("time_to_convert", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	s := report.Section{ID: "time-to-convert", Title: "Time to convert",
		Lead: "Kaplan–Meier share converted by time since the first landing; who has not converted by the watermark or the drop's end is censored, not counted as lost."}
	if len(data.Rows) < 2 {
		s.Empty = "Too few conversions are published for a curve."
		p.add(s)
		return nil
	}
	curve := report.Series{Kind: report.Step}
	for i := range data.Rows {
		r := row{data, i}
		minutes, _ := r.number("minutes")
		y, _ := r.number("converted")
		low, ok := r.number("low")
		high, _ := r.number("high")
		if !ok {
			low, high = y, y
		}
		curve.X, curve.Y = append(curve.X, minutes), append(curve.Y, y)
		curve.Low, curve.High = append(curve.Low, min(low, high)), append(curve.High, max(low, high))
	}
	t := report.Table{Caption: "Converted by age", Columns: columns("within", "converted", "95 %", "at risk")}
	for _, minutes := range []float64{5, 15, 60, 360, 1440, 2880} {
		if minutes > curve.X[len(curve.X)-1] {
			break
		}
		at := 0
		for at+1 < len(curve.X) && curve.X[at+1] <= minutes {
			at++
		}
		t.Rows = append(t.Rows, []string{brief(time.Duration(minutes) * time.Minute), row{data, at}.percent("converted"),
			fmt.Sprintf("%.2f – %.2f %%", 100*curve.Low[at], 100*curve.High[at]), row{data, at}.text("at_risk")})
	}
	t.Note = "Most visitors never convert, so no median is given."
	s.Tables = []report.Table{t}
	last := len(curve.Y) - 1
	unit := "minutes"
	if curve.X[last] > 180 {
		unit = "hours"
		for i := range curve.X {
			curve.X[i] /= 60
		}
	}
	s.Figures = []report.Figure{{Caption: "Share converted by " + unit + " since the first landing, with its 95 % log-log interval",
		Description: fmt.Sprintf("A curve that rises to %.1f %% converted after %.1f %s.", 100*curve.Y[last], curve.X[last], unit),
		Plot:        report.Plot{XLabel: unit + " since first landing", YLabel: "converted", YFormat: share, Series: []report.Series{curve}}}}
	s.Basis = p.basisOf(row{data, 0}.text("at_risk"), "players at risk")
	p.add(s)
	return nil
}

func (p *pageMaker) latencySection() error {
	data, err := p.query("report_latency", clickhouse.Params{"drop": p.drop})
	if err != nil {
		return err
	}
	s := report.Section{ID: "latency", Title: "Latency and conversion",
		Lead: "Players by the latency of their first landing request. Observational: a busy hour raises both latency and the wish to buy."}
	if len(data.Rows) > 0 {
		points := report.Series{Kind: report.Interval}
		t := report.Table{Caption: "By latency of the landing request", Columns: columns("ms", "viewers", "conversions", "rate", "95 %", "net revenue per view, minor units")}
		var categories, said []string
		viewers := 0.
		for i := range data.Rows {
			r := row{data, i}
			rate, _ := r.number("rate")
			low, _ := r.number("rate_low")
			high, _ := r.number("rate_high")
			n, _ := r.number("n")
			viewers += n
			points.X, points.Y = append(points.X, float64(i)), append(points.Y, rate)
			points.Low, points.High = append(points.Low, low), append(points.High, high)
			categories = append(categories, r.text("latency_ms"))
			said = append(said, r.text("latency_ms")+" ms "+r.percent("rate"))
			t.Rows = append(t.Rows, []string{r.text("latency_ms"), r.text("n"), r.text("conversions"), r.percent("rate"), r.interval("rate_low", "rate_high"), r.decimal("revenue_per_view", 1)})
		}
		s.Figures = []report.Figure{{Caption: "Conversion rate by landing latency, with its 95 % Wilson interval",
			Description: "Conversion rates: " + strings.Join(said, ", ") + ".",
			Plot:        report.Plot{XLabel: "landing latency, ms", YLabel: "converted", YFormat: share, Categories: categories, Series: []report.Series{points}}}}
		s.Tables = []report.Table{t}
		s.Basis = p.basisOf(strconv.FormatFloat(viewers, 'f', 0, 64), "viewers with a latency sample")
		s.Basis.Label = "observational"
	}
	if err := p.fill(&s, "latency_"); err != nil {
		return err
	}
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

// published makes a section of what the rollups have published, and of the named queries of that topic.
func (p *pageMaker) published(id, title, lead string, prefixes ...string) func() error {
	return func() error {
		s := report.Section{ID: id, Title: title, Lead: lead}
		if err := p.fill(&s, prefixes...); err != nil {
			return err
		}
		if len(s.Figures)+len(s.Tables) == 0 {
			s.Empty = "Nothing is published about this drop yet: either its catalogue entry does not ask for it, or no event has come that it rests on."
		}
		p.add(s)
		return nil
	}
}

// otherEstimates shows what no section before it has.
func (p *pageMaker) otherEstimates() error {
	s := report.Section{ID: "other", Title: "Other published estimates"}
	p.estimateTables(&s, func(string) bool { return true })
	if len(s.Tables) > 0 {
		p.add(s)
	}
	return nil
}

// fill adds the estimates and decisions that begin with a prefix, and every named query whose name does and that asks for nothing but the drop.
func (p *pageMaker) fill(s *report.Section, prefixes ...string) error {
	matches := func(name string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name+"_", prefix) })
	}
	p.estimateTables(s, matches)
	queries, err := sql.Queries()
	if err != nil {
		return err
	}
	for _, q := range queries {
		if !matches(q.Name) || !asksForDropAlone(q) {
			continue
		}
		data, err := p.query(q.Name, clickhouse.Params{"drop": p.drop})
		if err != nil {
			return err
		}
		if len(data.Rows) > 0 {
			s.Tables = append(s.Tables, plainTable(q, data))
		}
	}
	t := report.Table{Caption: "Decisions", Columns: []report.Column{{Name: "at"}, {Name: "about"}, {Name: "chosen"}, {Name: "before"}, {Name: "reason"}}}
	for i := range p.decisions.Rows {
		if r := (row{p.decisions, i}); matches(decisionSection[r.text("topic")]) {
			t.Rows = append(t.Rows, []string{r.text("at"), strings.TrimSpace(r.text("topic") + " " + r.text("subject")), r.text("chosen"), r.text("previous"), r.text("reason")})
		}
	}
	if len(t.Rows) > 0 {
		t.Rows, t.Note = capped(t.Rows)
		s.Tables = append(s.Tables, t)
	}
	return nil
}

// decisionSection says where decisions of a topic belong, as the prefix of their section.
var decisionSection = map[string]string{
	"pace": "pace", "budget": "edge", "replicas": "edge", "shed": "edge", "inventory": "inventory", "burn_rate": "localization", "experiment": "experiment",
}

// asksForDropAlone says whether q has a parameter drop and no other without a default.
func asksForDropAlone(q sql.Query) bool {
	asks := false
	for _, param := range q.Params {
		if param.Name == "drop" {
			asks = true
		} else if param.Required {
			return false
		}
	}
	return asks
}

// reportRows is how many rows of an open-ended table a page shows.
const reportRows = 40

func capped(rows [][]string) ([][]string, string) {
	if len(rows) <= reportRows {
		return rows, ""
	}
	return rows[:reportRows], fmt.Sprintf("The first %d of %d rows.", reportRows, len(rows))
}

// plainTable shows a query's answer as it is, explained by what its header says.
func plainTable(q sql.Query, data *clickhouse.Table) report.Table {
	t := report.Table{Caption: strings.TrimSuffix(q.Purpose, ".")}
	for i, name := range data.Columns {
		kind := data.Types[i]
		t.Columns = append(t.Columns, report.Column{Name: strings.ReplaceAll(name, "_", " "), Numeric: strings.Contains(kind, "Int") || strings.Contains(kind, "Float") || strings.Contains(kind, "Decimal")})
	}
	for i := range data.Rows {
		var cells []string
		for _, name := range data.Columns {
			cells = append(cells, row{data, i}.short(name))
		}
		t.Rows = append(t.Rows, cells)
	}
	var more string
	t.Rows, more = capped(t.Rows)
	t.Note = strings.TrimSpace(q.Units + " " + q.Maturity + " " + more)
	return t
}

// estimateTables shows the estimates whose metric matches, one table for each unit and, where it can be drawn, one figure for each metric.
func (p *pageMaker) estimateTables(s *report.Section, matches func(string) bool) {
	tables := map[string]*report.Table{}
	drawn := map[string]*report.Figure{}
	var units, figures []string
	for i := range p.estimates.Rows {
		r := row{p.estimates, i}
		if p.used[i] || !matches(r.text("metric")) {
			continue
		}
		p.used[i] = true
		unit := r.text("unit")
		t, ok := tables[unit]
		if !ok {
			t = &report.Table{Caption: "Published estimates, in " + unit, Columns: []report.Column{{Name: "metric"}, {Name: "of"}, {Name: "value", Numeric: true}, {Name: "interval", Numeric: true},
				{Name: "n", Numeric: true}, {Name: "p", Numeric: true}, {Name: "evidence"}, {Name: "window, UTC"}, {Name: "as of, UTC"}, {Name: "maturity"}, {Name: "remark"}}}
			tables[unit], units = t, append(units, unit)
		}
		metric := strings.ReplaceAll(r.text("metric"), "_", " ")
		name := metric + ", in " + unit
		if drawn[name] == nil {
			drawn[name] = &report.Figure{Caption: name + ", with intervals", Plot: report.Plot{XLabel: unit, Series: []report.Series{{Kind: report.HorizontalInterval}}}}
			figures = append(figures, name)
		}
		of := r.dimensions("dimensions")
		t.Rows = append(t.Rows, []string{metric, of, r.amount("value", unit), r.amountSpan("low", "high", unit), r.text("n"), r.decimal("p", 4),
			strings.TrimSpace(strings.ReplaceAll(r.text("grade"), "_", " ") + " " + r.text("label")), r.text("from") + " – " + r.text("to"), r.text("as_of"), r.text("maturity"), r.text("why")})
		value, hasValue := r.number("value")
		low, hasLow := r.number("low")
		high, hasHigh := r.number("high")
		if f := drawn[name]; hasValue && hasLow && hasHigh && len(f.Plot.Categories) < 16 {
			scale := unitScale(unit)
			series := &f.Plot.Series[0]
			series.X = append(series.X, float64(len(f.Plot.Categories)))
			series.Y, series.Low, series.High = append(series.Y, value/scale), append(series.Low, low/scale), append(series.High, high/scale)
			place := metric
			if of != "" {
				place = of
			}
			f.Plot.Categories = append(f.Plot.Categories, place)
			f.Description = strings.TrimPrefix(f.Description+fmt.Sprintf(", %s %s [%s]", place, r.amount("value", unit), r.amountSpan("low", "high", unit)), ", ")
		}
	}
	for _, name := range figures {
		if f := drawn[name]; len(f.Plot.Categories) > 0 {
			s.Figures = append(s.Figures, *f)
		}
	}
	for _, unit := range units {
		t := tables[unit]
		t.Rows, t.Note = capped(t.Rows)
		s.Tables = append(s.Tables, *t)
	}
}
