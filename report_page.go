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
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sql"
)

// reportPage writes a drop's report as one HTML page, every number of it computed by SQL in ClickHouse or, where it claims an
// effect, from counts that are. lateness is the processors' allowed one.
func reportPage(ctx context.Context, w io.Writer, client *clickhouse.Client, drop string, lateness time.Duration, options LiftOptions) error {
	p := pageMaker{reporter: reporter{ctx: ctx, client: client, drop: drop}, lateness: lateness, lift: options}
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
		p.liftSection,
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

	lateness time.Duration
	lift     LiftOptions
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
