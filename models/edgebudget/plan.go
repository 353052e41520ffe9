package edgebudget

// Point is one point of a forecast: the share of all traffic, in basis points, expected up to an age.
type Point struct {
	AgeMS int64
	BPS   uint32
}

// Plan is how a budget should be spent over a drop: a(t) = B·F(t)/F(T), with F the forecast cumulative traffic by age (DOMAIN 9).
type Plan struct {
	// Budget in nano-units.
	Budget int64
	// LengthMS is T, the drop's length.
	LengthMS int64
	// Forecast rises in both coordinates; between points, from (0, 0) and from the last point to (T, 10,000), it is linear.
	// Points that do not rise, or lie at or beyond T, are left out. Empty means linear in time.
	Forecast []Point
}

// whole is a forecast's end, in basis points.
const whole = 10_000

// At is a(t) at an age; 0 before the start and the whole budget after the end.
func (p Plan) At(ageMS int64) int64 {
	switch {
	case ageMS <= 0:
		return 0
	case ageMS >= p.LengthMS:
		return p.Budget
	}
	from, to := Point{}, Point{AgeMS: p.LengthMS, BPS: whole}
	for _, next := range p.Forecast {
		if next.AgeMS <= from.AgeMS || next.BPS < from.BPS || next.AgeMS >= p.LengthMS || next.BPS > whole {
			continue
		}
		if next.AgeMS > ageMS {
			to = next
			break
		}
		from = next
	}
	low, high := Share(p.Budget, int64(from.BPS), whole), Share(p.Budget, int64(to.BPS), whole)
	return low + Share(high-low, ageMS-from.AgeMS, to.AgeMS-from.AgeMS)
}
