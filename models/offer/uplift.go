package offer

import (
	"math"

	"github.com/droplift/droplift/models/lift"
	"github.com/droplift/droplift/models/stats"
)

// Group counts eligible players, each once by their first eligible score, and those of them who converted.
type Group struct{ N, Converted uint64 }

// Rate of conversion; NaN without players.
func (g Group) Rate() float64 { return float64(g.Converted) / float64(g.N) }

// Uplift is what offers do to the conversion of eligible players, by intention to treat: everybody who was not
// held out, whatever was drawn for them, against the holdout. Dealt at random, it is evidence of grade A (DOMAIN 4.1).
type Uplift struct {
	Offered, Held Group
	// Difference of the rates, on a scale of 1; [Low, High] is Newcombe's hybrid score interval at 95 %, which holds at few
	// conversions too (Newcombe 1998, method 10).
	Difference, Low, High float64
	// RatioP is the p-value that the groups have the planned sizes. Below RatioAlarm the difference and its interval are
	// NaN, and there is no grade.
	RatioP float64
	Grade  lift.Grade
}

// RatioAlarm is DOMAIN 6's.
const RatioAlarm = 0.001

// UpliftOf compares the groups; holdout is the planned share of those held out, in basis points. Without players in either
// it is lift.ErrTooFew.
func UpliftOf(offered, held Group, holdout uint32) (Uplift, error) {
	if offered.N == 0 || held.N == 0 {
		return Uplift{}, lift.ErrTooFew
	}
	u := Uplift{Offered: offered, Held: held, Difference: offered.Rate() - held.Rate(), Grade: lift.RandomizedITT}
	lowOffered, highOffered := stats.Wilson(offered.Converted, offered.N, stats.Z95)
	lowHeld, highHeld := stats.Wilson(held.Converted, held.N, stats.Z95)
	u.Low = u.Difference - math.Hypot(offered.Rate()-lowOffered, highHeld-held.Rate())
	u.High = u.Difference + math.Hypot(highOffered-offered.Rate(), held.Rate()-lowHeld)
	u.RatioP = lift.SampleRatio([]float64{float64(offered.N), float64(held.N)}, []float64{whole - float64(holdout), float64(holdout)})
	if u.RatioP < RatioAlarm {
		u.Grade, u.Difference, u.Low, u.High = 0, math.NaN(), math.NaN(), math.NaN()
	}
	return u, nil
}
