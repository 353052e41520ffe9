package simulate

// defaultStart is 2025-10-03T18:00:00Z, a Friday evening in Europe.
const defaultStart int64 = 1759514400000

// DefaultBehaviour is a moderately engaged audience.
func DefaultBehaviour() Behaviour {
	return Behaviour{
		SessionsPerDay: 0.12,
		Diurnal:        0.6,
		SessionMS:      9 * minute,
		VisitMS:        16 * minute,
		SessionSigma:   0.8,
		HeartbeatMS:    30 * second,
		SampleMS:       60 * second,
		SampleRate:     0.1,
		ProbeMS:        15 * minute,
		Crash:          0.05,

		Joining:   0.30,
		Newcomers: 0.15,

		Reach:          0.6,
		Premiere:       0.35,
		PeakHalfLifeMS: 40 * minute,
		TailHalfLifeMS: 18 * hour,
		Revisit:        0.25,
		Load:           0.5,

		ConversionLogit:    -1.6,
		ConvertMS:          4 * minute,
		Impression:         0.92,
		Click:              0.25,
		Start:              0.30,
		Failure:            0.06,
		SecondPurchase:     0.08,
		BackgroundPurchase: 0.03,
		Refund:             0.04,
		PartialRefund:      0.30,
		Chargeback:         0.004,
		RefundMS:           8 * hour,

		PointOfSale:    0.12,
		PromiseMS:      12 * hour,
		LateFulfilment: 0.06,
		FeeBPS:         290,
	}
}

// DefaultSubtitles is a live stream of 90 minutes with a struggling last language.
func DefaultSubtitles() Subtitles {
	return Subtitles{
		StreamMS:      90 * minute,
		CueMS:         4 * second,
		LagMS:         2200,
		TranslationMS: 900,
		Missing:       0.015,
		SurgeMS:       4 * second,
	}
}

// Demo is Crowd with what makes every part of the product have something to show: players who differ enough in how often
// they come for a model to tell them apart; fans who buy passes between drops, so that many buy again; a budget that the
// premiere's traffic overdraws until it is raised at half-time; and a week after the drop, in which it is seen who comes back.
func Demo(seed uint64) Scenario {
	s := Crowd(seed)
	s.AfterMS = 7*day + 6*hour // the windows that end seven days after a purchase close for all but the last hours' buyers
	// Some 210 GB leave the edge during the drop: 17 USD at the 0.08 USD a GB that the demo reckons with. Of 15 USD the
	// premiere takes more than planned, so that the pace falls and the drop warns, until the raise at half-time.
	s.Budget = 15_000_000_000
	s.Effects.RateLog, s.Behaviour.SessionsPerDay = 1, 0.085 // as many sessions as Crowd has, by fewer players
	s.Behaviour.BackgroundPurchase = 0.25
	return s
}

// Crowd is four weeks of history and a drop of 48 hours: about a million events of
// history and 600,000 of the drop.
func Crowd(seed uint64) Scenario {
	s := Scenario{
		Seed: seed,
		Effects: Effects{
			LatencyLogit:  -0.12,
			CreatorUplift: 0.35,
			Retention:     0.10,
			BuyLogit:      0.5,
			RateLog:       0.5,
			CTA:           map[string]float64{"en": 0.15, "fr": -0.10, "ja": 0.30},
		},
		Faults: Faults{
			Duplicate:    0.01,
			OutOfOrder:   0.02,
			LateWithin:   0.005,
			LateBeyond:   0.001,
			WrongClock:   0.01,
			NoIngestTime: 0.01,
			Malformed:    0.001,
			AdBlocked:    0.01,
		},
		Degradations: []Degradation{
			{POP: "fra", FromMS: 3 * hour, ToMS: 7 * hour, Factor: 4},
			{POP: "nrt", FromMS: 14 * hour, ToMS: 20 * hour, Factor: 3},
		},
	}
	return s.withDefaults()
}

// Tiny is a Crowd of some 20,000 events in nine days, with more faults per event so
// that every kind of fault occurs.
func Tiny(seed uint64) Scenario {
	s := Crowd(seed)
	s.Players = 190
	s.HistoryMS = 7 * day
	s.Earlier = []EarlierDrop{{Creator: 2, BeforeMS: 6 * day, DropMS: 12 * hour, Reach: 0.15}}
	s.Behaviour.ProbeMS = 2 * hour
	s.Behaviour.ConversionLogit = -0.6
	s.Behaviour.Refund = 0.25
	s.Behaviour.Chargeback = 0.05
	s.Behaviour.RefundMS = 4 * hour
	s.Subtitles.StreamMS = 40 * minute
	s.Subtitles.CueMS = 10 * second
	s.Faults.Duplicate = 0.04
	s.Faults.LateBeyond = 0.01
	s.Faults.WrongClock = 0.03
	s.Faults.Malformed = 0.02
	s.Faults.AdBlocked = 0.08
	return s
}

// Story is the tale that is told of drops: three creators with a drop of 48 hours each,
// creator revenue three times what it was, and purchasers who return 26 % more often
// than other visitors. Only part of that is caused by the purchase: the rest is that
// the engaged buy. A fifth of the main drop's visitors is held out, so that the part can
// be told. Some 500,000 events in 82 days; the three weeks between drops keep one out of another's windows.
func Story(seed uint64) Scenario {
	s := Crowd(seed)
	s.Players = 9800
	s.HistoryMS, s.AfterMS = 73*day, 8*day
	s.AnnounceMS = 12 * hour // so that 28 days before the first announcement are in the history
	s.HoldoutBPS = 2000
	s.Earlier = []EarlierDrop{
		{Creator: 3, BeforeMS: 44 * day, DropMS: 48 * hour, Reach: 0.11},
		{Creator: 2, BeforeMS: 22 * day, DropMS: 48 * hour, Reach: 0.16},
	}
	s.Effects = Effects{LatencyLogit: -0.05, CreatorUplift: 0.10, Retention: 0.055, BuyLogit: 0.5, RateLog: 0.4}
	s.Degradations = nil
	s.Faults = Faults{Duplicate: 0.01, OutOfOrder: 0.02, LateWithin: 0.005, LateBeyond: 0.001}
	b := &s.Behaviour
	b.SessionsPerDay, b.BackgroundPurchase = 0.085, 0.8
	b.ConversionLogit = -1.1
	b.Joining, b.Newcomers = 0.05, 0.05
	b.Reach = 0.3
	b.HeartbeatMS, b.SampleMS, b.ProbeMS = 5*minute, 10*minute, 2*hour
	s.Subtitles.CueMS = 10 * second
	return s
}

func (s Scenario) withDefaults() Scenario {
	setZero(&s.StartMS, defaultStart)
	setZero(&s.HistoryMS, 28*day)
	setZero(&s.DropMS, 48*hour)
	setZero(&s.Players, 10_000)
	setZero(&s.Creators, 12)
	setZero(&s.Budget, 500_000_000_000)
	setZero(&s.AnnounceMS, 3*day)
	if len(s.Languages) == 0 {
		s.Languages = []string{"en", "fr", "de", "ja"}
	}
	setZero(&s.SourceLanguage, s.Languages[0])
	if len(s.Regions) == 0 {
		s.Regions = []Region{
			{Code: "US", Weight: 34, Currency: "USD", MinorPerCent: 1, Language: "en", UTCOffsetMS: -6 * hour},
			{Code: "GB", Weight: 14, Currency: "GBP", MinorPerCent: 0.8, Language: "en", TaxBPS: 2000},
			{Code: "FR", Weight: 15, Currency: "EUR", MinorPerCent: 0.92, Language: "fr", UTCOffsetMS: hour, TaxBPS: 2000},
			{Code: "DE", Weight: 15, Currency: "EUR", MinorPerCent: 0.92, Language: "de", UTCOffsetMS: hour, TaxBPS: 1900},
			{Code: "JP", Weight: 17, Currency: "JPY", MinorPerCent: 1.5, Language: "ja", UTCOffsetMS: 9 * hour, TaxBPS: 1000},
			{Code: "KW", Weight: 5, Currency: "KWD", MinorPerCent: 3.07, Language: "en", UTCOffsetMS: 3 * hour},
		}
	}
	if len(s.POPs) == 0 {
		s.POPs = []POP{
			{Name: "iad", Region: "US", MedianMS: 60, Sigma: 0.5},
			{Name: "sjc", Region: "US", MedianMS: 75, Sigma: 0.5},
			{Name: "lhr", Region: "GB", MedianMS: 70, Sigma: 0.5},
			{Name: "cdg", Region: "FR", MedianMS: 80, Sigma: 0.5},
			{Name: "fra", Region: "DE", MedianMS: 65, Sigma: 0.5},
			{Name: "nrt", Region: "JP", MedianMS: 110, Sigma: 0.6},
			{Name: "kwi", Region: "KW", MedianMS: 180, Sigma: 0.7},
		}
	}
	if len(s.Partners) == 0 {
		s.Partners = []Partner{{Name: "harbour-warehouse", Weight: 70, Late: 0.6}, {Name: "corner-shop", Weight: 30, Late: 2}}
	}
	if s.Behaviour == (Behaviour{}) {
		s.Behaviour = DefaultBehaviour()
	}
	if s.Subtitles == (Subtitles{}) {
		s.Subtitles = DefaultSubtitles()
	}
	if s.Earlier == nil {
		s.Earlier = []EarlierDrop{}
		// Eight days before the next one and a day long: no player's [purchase +1 d, +7 d) reaches the next drop.
		for before, creator := 8*day, 2; before <= s.HistoryMS-day; before, creator = before+8*day, creator+1 {
			s.Earlier = append([]EarlierDrop{{Creator: 1 + (creator-1)%s.Creators, BeforeMS: before, DropMS: day, Reach: 0.08}}, s.Earlier...)
		}
	}
	return s
}

func setZero[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
