package report

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Plot is one coordinate system and what is drawn in it.
type Plot struct {
	XLabel, YLabel string
	// XFormat and YFormat write tick values; nil writes plain numbers.
	XFormat, YFormat func(float64) string
	Series           []Series
	// Categories name the places 0, 1, … of bars (top to bottom) or of intervals (left to right) instead of numbers.
	Categories []string
	// YMax is the least upper end of the value axis.
	YMax float64
}

// Kind is how a series is drawn.
type Kind int

const (
	// Line joins (X, Y).
	Line Kind = iota
	// Dashed joins (X, Y) by a dashed line: a reference.
	Dashed
	// Step holds Y until the next X.
	Step
	// Interval is a point at Y with a whisker from Low to High.
	Interval
	// Bar is a horizontal bar from Low to High at category X; one that goes down is muted.
	Bar
	// HorizontalInterval is a point at Y with a whisker from Low to High, both on the horizontal axis, at category X.
	HorizontalInterval
)

// Series is one set of values. Low and High, where given, are as long as X: a band around lines and steps.
type Series struct {
	// Name stands in the legend; empty: none.
	Name      string
	Kind      Kind
	X, Y      []float64
	Low, High []float64
	// Labels are written at the ends of bars.
	Labels []string
	// Muted draws it as background: what has been, not what is asked about.
	Muted bool
}

// The style sheet owns the colours: plots are drawn in these stand-ins, which are then replaced by its variables, so that
// one drawing serves light and dark.
var (
	ink    = color.RGBA{1, 2, 3, 255}
	faint  = color.RGBA{1, 2, 4, 255}
	first  = color.RGBA{1, 2, 5, 255}
	second = color.RGBA{1, 2, 6, 255}
	shade  = color.RGBA{1, 2, 7, 255}
	shade2 = color.RGBA{1, 2, 8, 255}

	themed = strings.NewReplacer(
		":#010203", ":var(--ink-soft)", ":#010204", ":var(--rule)", ":#010205", ":var(--series-1)",
		":#010206", ":var(--series-2)", ":#010207", ":var(--shade-1)", ":#010208", ":var(--shade-2)",
		"font-family:Liberation Sans;", "")
)

// The sizes that a figure is drawn in, in points: one for screens and paper, one for phones.
var (
	wide   = size{680, 250, 10}
	narrow = size{330, 230, 10}
)

type size struct{ width, height, font vg.Length }

// svg draws the plot; description becomes its accessible name. It fails on values that are not finite or do not match.
func (p Plot) svg(s size, description string) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	drawing := plot.New()
	style := text.Style{Color: ink, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: s.font}, Handler: drawing.X.Tick.Label.Handler}
	drawing.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&drawing.X, &drawing.Y} {
		label, tick := axis.Label.TextStyle, axis.Tick.Label
		for _, t := range []*text.Style{&label, &tick} {
			t.Color, t.Font = style.Color, style.Font
		}
		axis.Label.TextStyle, axis.Tick.Label = label, tick
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = faint, faint
		axis.Padding = 4
	}
	drawing.X.Label.Text, drawing.Y.Label.Text = p.XLabel, p.YLabel
	drawing.Y.LineStyle.Width, drawing.Y.Tick.LineStyle.Width = 0, 0
	count := 8
	if s == narrow {
		count = 4
	}
	drawing.X.Tick.Marker = ticks{p.XFormat, count}
	drawing.Y.Tick.Marker = ticks{p.YFormat, 5}

	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	if p.sideways() {
		grid.Horizontal.Width = 0
	} else {
		grid.Vertical.Width = 0
	}
	drawing.Add(grid)
	for _, series := range p.Series {
		if err := series.draw(drawing, style); err != nil {
			return "", err
		}
	}
	switch {
	case p.sideways():
		drawing.NominalY(p.Categories...)
		drawing.Y.Min, drawing.Y.Max = -.5, float64(len(p.Categories))-.5
		drawing.Y.Scale = plot.InvertedScale{Normalizer: drawing.Y.Scale}
		// Room for what is written behind the bars.
		reach := drawing.X.Max - drawing.X.Min
		room := .14
		if s == narrow {
			room = .3
		}
		drawing.X.Max += room * reach
		if drawing.X.Min < 0 {
			drawing.X.Min -= .06 * reach
		}
	case len(p.Categories) > 0:
		drawing.NominalX(p.Categories...)
		drawing.X.Min, drawing.X.Max = -.5, float64(len(p.Categories))-.5
		drawing.Y.Min = math.Min(drawing.Y.Min, 0)
	default:
		drawing.Y.Min = math.Min(drawing.Y.Min, 0)
	}
	if !p.sideways() {
		drawing.Y.Max = math.Max(drawing.Y.Max*1.04, p.YMax)
	}
	height := s.height
	if p.sideways() {
		height = vg.Length(48 + 26*len(p.Categories))
	}
	canvas := vgsvg.New(s.width, height)
	// The last tick's label may reach beyond the axis.
	drawing.Draw(draw.Crop(draw.New(canvas), 0, -16, 0, 0))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", err
	}
	_, body, found := strings.Cut(out.String(), "<svg ")
	if !found {
		return "", errors.New("the plot's SVG has no root")
	}
	return `<svg role="img" aria-label="` + html.EscapeString(description) + `" ` + themed.Replace(body), nil
}

// sideways plots have their categories on the vertical axis.
func (p Plot) sideways() bool {
	return len(p.Series) > 0 && (p.Series[0].Kind == Bar || p.Series[0].Kind == HorizontalInterval)
}

func (p Plot) check() error {
	if len(p.Series) == 0 {
		return errors.New("a plot without a series")
	}
	for _, s := range p.Series {
		if len(s.X) == 0 {
			return fmt.Errorf("series %q is empty", s.Name)
		}
		for _, values := range [][]float64{s.Y, s.Low, s.High} {
			if len(values) != 0 && len(values) != len(s.X) {
				return fmt.Errorf("series %q has %d values for %d places", s.Name, len(values), len(s.X))
			}
		}
		if len(s.Low) != len(s.High) || len(s.Y) == 0 && s.Kind != Bar || len(s.Low) == 0 && s.Kind >= Interval {
			return fmt.Errorf("series %q lacks values of its kind", s.Name)
		}
		for _, values := range [][]float64{s.X, s.Y, s.Low, s.High} {
			for _, v := range values {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return fmt.Errorf("series %q has a value that is not finite", s.Name)
				}
			}
		}
	}
	return nil
}

func (s Series) draw(p *plot.Plot, style text.Style) error {
	stroke, fill := color.Color(first), color.Color(shade)
	if s.Muted {
		stroke, fill = second, shade2
	}
	points := make(plotter.XYs, len(s.X))
	for i := range s.Y {
		points[i] = plotter.XY{X: s.X[i], Y: s.Y[i]}
	}
	switch s.Kind {
	case Line, Dashed, Step:
		if len(s.Low) > 0 {
			if err := s.band(p, fill); err != nil {
				return err
			}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = stroke, 1.6
		if s.Kind == Step {
			line.StepStyle = plotter.PostStep
		}
		if s.Kind == Dashed {
			line.Dashes = []vg.Length{4, 3}
		}
		p.Add(line)
	case Bar:
		for i := range s.X {
			y, from, to := s.X[i], s.Low[i], s.High[i]
			bar, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: y - .34}, {X: to, Y: y - .34}, {X: to, Y: y + .34}, {X: from, Y: y + .34}})
			if err != nil {
				return err
			}
			bar.Color, bar.LineStyle.Width = stroke, 0
			if to < from {
				bar.Color = second
			}
			p.Add(bar)
			if len(s.Labels) > i {
				if err := label(p, style, math.Max(from, to), y, group(s.Labels[i])); err != nil {
					return err
				}
			}
		}
	case Interval, HorizontalInterval:
		for i := range s.X {
			whisker, dot := plotter.XYs{{X: s.X[i], Y: s.Low[i]}, {X: s.X[i], Y: s.High[i]}}, plotter.XYs{{X: s.X[i], Y: s.Y[i]}}
			if s.Kind == HorizontalInterval {
				whisker, dot = plotter.XYs{{X: s.Low[i], Y: s.X[i]}, {X: s.High[i], Y: s.X[i]}}, plotter.XYs{{X: s.Y[i], Y: s.X[i]}}
			}
			line, err := plotter.NewLine(whisker)
			if err != nil {
				return err
			}
			line.Color, line.Width = stroke, 2
			point, err := plotter.NewScatter(dot)
			if err != nil {
				return err
			}
			point.GlyphStyle = draw.GlyphStyle{Color: stroke, Radius: 4, Shape: draw.CircleGlyph{}}
			p.Add(line, point)
		}
	}
	return nil
}

// band fills the space between Low and High, in steps where the line goes in steps.
func (s Series) band(p *plot.Plot, fill color.Color) error {
	var up, down plotter.XYs
	for i := range s.X {
		if s.Kind == Step && i > 0 {
			up = append(up, plotter.XY{X: s.X[i], Y: s.High[i-1]})
			down = append(down, plotter.XY{X: s.X[i], Y: s.Low[i-1]})
		}
		up = append(up, plotter.XY{X: s.X[i], Y: s.High[i]})
		down = append(down, plotter.XY{X: s.X[i], Y: s.Low[i]})
	}
	for i := range down {
		up = append(up, down[len(down)-1-i])
	}
	polygon, err := plotter.NewPolygon(up)
	if err != nil {
		return err
	}
	polygon.Color, polygon.LineStyle.Width = fill, 0
	p.Add(polygon)
	return nil
}

func label(p *plot.Plot, style text.Style, x, y float64, words string) error {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x, Y: y}}, Labels: []string{words}})
	if err != nil {
		return err
	}
	style.YAlign = text.YCenter
	labels.TextStyle[0] = style
	labels.Offset = vg.Point{X: 4}
	p.Add(labels)
	return nil
}

// ticks are at most about count round values, written by format.
type ticks struct {
	format func(float64) string
	count  int
}

func (t ticks) Ticks(low, high float64) []plot.Tick {
	if !(high > low) {
		high = low + 1
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(t.count))))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= float64(t.count) {
			step *= factor
			break
		}
	}
	format := t.format
	if format == nil {
		format = func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	}
	var out []plot.Tick
	for i := math.Ceil(low / step); i*step <= high+step*1e-9; i++ {
		value := i * step
		if value == 0 {
			value = 0 // not −0
		}
		out = append(out, plot.Tick{Value: value, Label: format(value)})
	}
	return out
}
