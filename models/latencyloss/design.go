package latencyloss

import (
	"cmp"
	"slices"
)

// NumControls is the number of unordered controls of a Cell.
const NumControls = 3

// Cell is one stratum of viewers by latency bucket.
type Cell struct {
	// Age orders the strata by the drop's age: the start of the cell's age bin.
	Age int64
	// Controls are the others: POP, device, language.
	Controls [NumControls]string
	// Buckets are viewers and conversions, MS the sums of their latencies.
	Buckets [NumBuckets]Counts
	MS      [NumBuckets]float64
}

// Config says how much data is enough. The zero value means the defaults.
type Config struct {
	// MinViewers and MinConversions are needed on either side of the budget (default 100 and 10).
	MinViewers, MinConversions uint64
	// MinLevel conversions give a level of a control its own coefficient (default 10); smaller ones are pooled, neighbours in
	// age with each other, the rest into one. Ten events a parameter keep the bias of maximum likelihood small.
	MinLevel uint64
	// MinReference viewers within the budget give a stratum its own rate (default 30).
	MinReference uint64
}

// WithDefaults fills in the defaults.
func (c Config) WithDefaults() Config {
	c.MinViewers = cmp.Or(c.MinViewers, 100)
	c.MinConversions = cmp.Or(c.MinConversions, 10)
	c.MinLevel = cmp.Or(c.MinLevel, 10)
	c.MinReference = cmp.Or(c.MinReference, 30)
	return c
}

// Sides are the viewers within and above the budget.
type Sides struct{ Within, Above Counts }

// SidesOf adds up the cells that match; a nil match takes all.
func SidesOf(cells []Cell, budget float64, match func(*Cell) bool) (s Sides) {
	for i := range cells {
		if match != nil && !match(&cells[i]) {
			continue
		}
		for k, c := range cells[i].Buckets {
			switch Side(k, budget) {
			case -1:
				s.Within.add(c)
			case 1:
				s.Above.add(c)
			}
		}
	}
	return s
}

// Enough is the rule for saying anything: the configured viewers and conversions on either side of the budget. why names what
// is missing.
func (c Config) Enough(s Sides) (why string) {
	c = c.WithDefaults()
	switch {
	case s.Above.N < c.MinViewers:
		return "too few viewers above the budget"
	case s.Within.N < c.MinViewers:
		return "too few viewers within the budget"
	case s.Within.Conversions < c.MinConversions:
		return "too few conversions within the budget"
	case s.Above.Conversions < c.MinConversions:
		return "too few conversions above the budget"
	}
	return ""
}

// Model is a fit to cells.
type Model struct {
	*Fit
	cells []Cell
	// rows by cell: rows[from[i]:from[i+1]] are cell i's.
	rows []Row
	from []int
}

// FitCells fits the cells: latency, and a dummy per level of every control but the first.
func FitCells(cells []Cell, cfg Config) (*Model, error) {
	cfg = cfg.WithDefaults()
	m := &Model{cells: cells, from: make([]int, 1, len(cells)+1)}
	dummies := 0
	ages := joinAges(cells, cfg.MinLevel, &dummies)
	var levels [NumControls]map[string]int
	for c := range levels {
		levels[c] = poolLevels(cells, c, cfg.MinLevel, &dummies)
	}
	for i := range cells {
		cell := &cells[i]
		var on []int
		if d := ages[cell.Age]; d != noDummy {
			on = append(on, d)
		}
		for c := range levels {
			if d := levels[c][cell.Controls[c]]; d != noDummy {
				on = append(on, d)
			}
		}
		for k, b := range cell.Buckets {
			if b.N > 0 {
				m.rows = append(m.rows, Row{MS: cell.MS[k] / float64(b.N), N: float64(b.N), Conversions: float64(b.Conversions), Dummies: on})
			}
		}
		m.from = append(m.from, len(m.rows))
	}
	fit, err := Regress(m.rows, dummies)
	if err != nil {
		return nil, err
	}
	m.Fit = fit
	return m, nil
}

// CellLoss is Fit.Loss over the cells with a value; value is per conversion of a cell, and 0 leaves it out.
func (m *Model) CellLoss(budget float64, value func(*Cell) float64) Interval {
	var rows []Row
	var worth []float64
	for i := range m.cells {
		v := value(&m.cells[i])
		if v == 0 {
			continue
		}
		for _, r := range m.rows[m.from[i]:m.from[i+1]] {
			rows, worth = append(rows, r), append(worth, v)
		}
	}
	return m.Loss(rows, worth, budget)
}

// noDummy marks the level that the others are compared with.
const noDummy = -1

// outcomes are the rarer of conversions and their absence, which is what bounds the information of a level.
func outcomes(c *Cell) Counts {
	var sum Counts
	for _, b := range c.Buckets {
		sum.add(b)
	}
	return sum
}

func sufficient(c Counts, least uint64) bool {
	return c.Conversions >= least && c.N-c.Conversions >= least
}

// joinAges gives every stretch of neighbouring ages with enough outcomes a dummy, the first one none.
func joinAges(cells []Cell, least uint64, dummies *int) map[int64]int {
	at := map[int64]Counts{}
	for i := range cells {
		sum := at[cells[i].Age]
		sum.add(outcomes(&cells[i]))
		at[cells[i].Age] = sum
	}
	ages := make([]int64, 0, len(at))
	for age := range at {
		ages = append(ages, age)
	}
	slices.Sort(ages)
	// stretches end where they have enough; what is left at the end joins the last one.
	level, levels, sum := map[int64]int{}, 0, Counts{}
	for _, age := range ages {
		sum.add(at[age])
		level[age] = levels
		if sufficient(sum, least) {
			levels, sum = levels+1, Counts{}
		}
	}
	for age, l := range level {
		if l = min(l, levels-1); l <= 0 {
			level[age] = noDummy
		} else {
			level[age] = *dummies + l - 1
		}
	}
	*dummies += max(0, levels-1)
	return level
}

// poolLevels gives every level of control c with enough outcomes a dummy, but the largest; the others share one, or go
// with the largest when they are too few together.
func poolLevels(cells []Cell, c int, least uint64, dummies *int) map[string]int {
	at := map[string]Counts{}
	for i := range cells {
		sum := at[cells[i].Controls[c]]
		sum.add(outcomes(&cells[i]))
		at[cells[i].Controls[c]] = sum
	}
	names := make([]string, 0, len(at))
	for name := range at {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(at[b].N, at[a].N), cmp.Compare(a, b)) })
	level, rest, small := map[string]int{}, Counts{}, []string(nil)
	for i, name := range names {
		switch {
		case i == 0:
			level[name] = noDummy
		case sufficient(at[name], least):
			level[name] = *dummies
			*dummies++
		default:
			rest.add(at[name])
			small = append(small, name)
		}
	}
	shared := noDummy
	if sufficient(rest, least) {
		shared = *dummies
		*dummies++
	}
	for _, name := range small {
		level[name] = shared
	}
	return level
}

// StrataOf turns cells into strata of both sides of the budget.
func StrataOf(cells []Cell, budget float64) []Stratum {
	strata := make([]Stratum, len(cells))
	for i := range cells {
		for k, c := range cells[i].Buckets {
			switch side := Side(k, budget); {
			case side < 0:
				strata[i].Within.add(c)
			case side > 0 && c.N > 0:
				strata[i].Above = append(strata[i].Above, c)
			}
		}
	}
	return strata
}
