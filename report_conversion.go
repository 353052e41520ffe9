package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/droplift/droplift/dashboards/report"
	"github.com/droplift/droplift/sinks/clickhouse"
)

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
