// Package report renders a drop's report as one HTML page that needs nothing
// beside itself: no script, no font, no picture, no network.
//
//	report.go  what a page says, as plain values
//	render.go  values to HTML
//	plot.go    plots to SVG whose colours are the style sheet's
package report

import "time"

// Page is a whole report. Its texts are plain; rendering escapes them.
type Page struct {
	Title, Subtitle string
	// Basis is what the page as a whole rests on.
	Basis Basis
	// Headlines are the few numbers to read first.
	Headlines []Headline
	Sections  []Section
	// Footer says where the numbers come from.
	Footer string
}

// Basis is what a number rests on. Fields that do not apply are zero.
type Basis struct {
	// N counts the units looked at, named by Of.
	N, Of string
	// From and To are the window in event time, [From, To).
	From, To time.Time
	// Watermark is the event time up to which everything is counted.
	Watermark time.Time
	// Maturity is provisional or final.
	Maturity string
	// Grade and Label are the strength of the evidence, and the words that go with it.
	Grade, Label string
}

// Headline is one number with what it means.
type Headline struct{ Name, Value, Note string }

// Section is one question and its answer. One without figures and tables says in Empty why.
type Section struct {
	// ID is the anchor, unique on the page: letters, digits and dashes.
	ID, Title string
	// Lead is one sentence on how to read it.
	Lead    string
	Basis   Basis
	Figures []Figure
	Tables  []Table
	Notes   []string
	Empty   string
}

// Figure is a plot with its caption. Description says in words what the plot shows, for who cannot see it.
type Figure struct {
	Caption, Description string
	Plot                 Plot
}

// Table is a table with its caption. Numeric columns are aligned on the right; every row has as many cells as there are columns.
type Table struct {
	Caption string
	Columns []Column
	Rows    [][]string
	Note    string
}

// Column is one column of a table.
type Column struct {
	Name    string
	Numeric bool
}
