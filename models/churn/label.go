package churn

// Label says what churn is (DOMAIN 1.2). Times are ms; nothing is defaulted here.
type Label struct {
	// ActiveMS is A: only players with a session in the last A before t0 are scored.
	ActiveMS int64
	// EmbargoMS is δ, HorizonMS N: a player has churned who starts no session in [t0+δ, t0+δ+N).
	EmbargoMS int64
	HorizonMS int64
	// LatenessMS is how late an event may still come behind the watermark.
	LatenessMS int64
}

// Window of the label of a score at t0: [from, to).
func (l Label) Window(t0 int64) (from, to int64) {
	return t0 + l.EmbargoMS, t0 + l.EmbargoMS + l.HorizonMS
}

// Known says whether no event can change the label of t0 any more. Until then the label is unknown, which is not 0.
func (l Label) Known(t0, watermark int64) bool {
	_, to := l.Window(t0)
	return watermark >= to+l.LatenessMS
}

// Trains says whether a row of t0 may train a model that is tested from testFrom on: its label must not look into the test.
func (l Label) Trains(t0, testFrom int64) bool { return t0 < testFrom-l.HorizonMS-l.EmbargoMS }
