package simulate

import (
	"math"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// observed is what an analyst could see of one player, read from the bytes.
type observed struct {
	engagement float64 // the one thing that only the simulation knows
	creator    string
	language   string
	sessions   []int64 // starts outside drops
	starts     []int64 // of all sessions
	drops      map[string]*participation
}

type participation struct {
	landed, converted int64
	ms                float64
	variant           string
}

// observe reads a run without faults.
func observe(t *testing.T, g *Generator) map[string]*observed {
	players := map[string]*observed{}
	for _, sh := range g.shards {
		for i := range sh.players {
			p := &sh.players[i]
			players[sh.playerID(uint32(i))] = &observed{engagement: float64(p.engagement), creator: g.w.creators[p.creator],
				language: g.w.s.Languages[p.language], drops: map[string]*participation{}}
		}
	}
	var d event.Decoder
	var ev event.Event
	drain(t, g, func(r *Record) {
		if err := d.Decode(r.Kind, r.Value, &ev); err != nil {
			t.Fatalf("%v in %s", err, r.Value)
		}
		p := players[ev.PlayerID]
		if p == nil {
			return
		}
		if ev.Type == event.SessionStart {
			p.starts = append(p.starts, ev.EventTime)
		}
		if ev.DropID == "" {
			if ev.Type == event.SessionStart {
				p.sessions = append(p.sessions, ev.EventTime)
			}
			return
		}
		v := p.drops[ev.DropID]
		if v == nil {
			v = &participation{}
			p.drops[strings.Clone(ev.DropID)] = v
		}
		switch {
		case ev.Kind == event.KindLatency && ev.Latency.Request == event.RequestLanding && v.landed == 0:
			v.landed, v.ms = ev.EventTime, ev.Latency.MS
		case ev.Type == event.CTAExposure:
			v.variant = strings.Clone(ev.Player.Variant)
		case ev.Type == event.CheckoutCompleted && v.converted == 0:
			v.converted = ev.EventTime
		}
	})
	return players
}

// crowd is a scenario of many players and few telemetry events.
func crowd(seed uint64, players int, effects Effects) Scenario {
	s := Crowd(seed)
	s.Players = players
	s.Faults = Faults{}
	s.Effects = effects
	s.Earlier = []EarlierDrop{}
	s.Behaviour.HeartbeatMS, s.Behaviour.SampleMS, s.Behaviour.ProbeMS = hour, hour, 0
	s.Subtitles.CueMS = minute
	return s
}

// logit fits a logistic regression by Newton's method and returns the
// coefficients and their standard errors.
func logit(x [][]float64, y []bool) (beta, se []float64) {
	k := len(x[0])
	beta = make([]float64, k)
	for range 7 {
		h := make([][]float64, k) // information, then its inverse
		for i := range h {
			h[i] = make([]float64, 2*k)
			h[i][k+i] = 1
		}
		gradient := make([]float64, k)
		for n, row := range x {
			z := 0.0
			for i := range row {
				z += beta[i] * row[i]
			}
			p := 1 / (1 + math.Exp(-z))
			residual := -p
			if y[n] {
				residual++
			}
			for i := range row {
				gradient[i] += residual * row[i]
				for j := range row {
					h[i][j] += p * (1 - p) * row[i] * row[j]
				}
			}
		}
		for i := range h { // Gauss–Jordan; the information matrix is positive definite
			pivot := h[i][i]
			for j := range h[i] {
				h[i][j] /= pivot
			}
			for r := range h {
				if f := h[r][i]; r != i {
					for j := range h[r] {
						h[r][j] -= f * h[i][j]
					}
				}
			}
		}
		se = make([]float64, k)
		for i := range beta {
			for j := range gradient {
				beta[i] += h[i][k+j] * gradient[j]
			}
			se[i] = math.Sqrt(h[i][k+i])
		}
	}
	return beta, se
}

func TestConversionEffectsAreRecovered(t *testing.T) {
	effects := Crowd(0).Effects
	effects.LatencyLogit = -0.3 // strong enough for the number of players
	for _, c := range []struct {
		name    string
		effects Effects
		// seen says that the effect is far enough from zero to be found at all.
		seen bool
	}{
		{"effects", effects, true},
		{"none", Effects{RateLog: effects.RateLog}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := crowd(22, 15_000, c.effects)
			s.HistoryMS = day
			for i := range s.POPs {
				s.POPs[i].Sigma = 1 // a wide spread of latencies identifies the slope
			}
			t.Logf("seed %d", s.Seed)
			g := generate(t, s)
			players := observe(t, g)
			var x [][]float64
			var y []bool
			id := g.w.drops[g.w.main()].id
			for _, p := range players {
				v := p.drops[id]
				if v == nil || v.landed == 0 {
					continue
				}
				row := []float64{1, v.ms / 100, p.engagement, 0, 0, 0, 0}
				if v.variant == treatment {
					for i, language := range s.Languages {
						if language == p.language {
							row[3+i] = 1
						}
					}
				}
				x, y = append(x, row), append(y, v.converted > 0)
			}
			beta, se := logit(x, y)
			names := []string{"base", "latency per 100 ms", "engagement", "cta en", "cta fr", "cta de", "cta ja"}
			truth := []float64{s.Behaviour.ConversionLogit, c.effects.LatencyLogit, c.effects.BuyLogit, c.effects.CTA["en"], c.effects.CTA["fr"], 0, c.effects.CTA["ja"]}
			for i := range beta {
				t.Logf("%-18s %+.4f ± %.4f, truth %+.4f (%d visitors)", names[i], beta[i], se[i], truth[i], len(x))
				if math.Abs(beta[i]-truth[i]) > 3*se[i] {
					t.Errorf("%s: %+.4f is over 3 standard errors of %.4f from %+.4f", names[i], beta[i], se[i], truth[i])
				}
			}
			if found := math.Abs(beta[1]) > 3*se[1]; found != c.seen {
				t.Errorf("latency effect found: %v, want %v", found, c.seen)
			}
		})
	}
}

func TestRetentionAndSelection(t *testing.T) {
	for _, effect := range []float64{0, 0.15} {
		s := crowd(22, 12_000, Effects{Retention: effect, BuyLogit: 0.5, RateLog: 0.5})
		s.Earlier = []EarlierDrop{{Creator: 1, BeforeMS: 9 * day, DropMS: day, Reach: 0.6}}
		s.HistoryMS, s.Behaviour.Newcomers, s.Behaviour.Joining = 11*day, 0, 0
		t.Logf("seed %d, effect %.2f", s.Seed, effect)
		g := generate(t, s)
		players := observe(t, g)
		id := g.w.drops[0].id
		var back, n [2]float64 // by visitors who did not convert and who did
		for _, p := range players {
			v := p.drops[id]
			if v == nil || v.landed == 0 {
				continue
			}
			group, index := 0, v.landed
			if v.converted > 0 {
				group, index = 1, v.converted
			}
			n[group]++
			for _, at := range p.sessions {
				if at >= index+day && at < index+7*day {
					back[group]++
					break
				}
			}
		}
		truth := g.Books().Drops[id].Happened.Retention
		rate := back[1] / n[1]
		want := truth.ReturnAnyway + truth.Added
		se := math.Sqrt(rate * (1 - rate) / n[1])
		t.Logf("converters return %.4f ± %.4f, truth %.4f of which %.4f added; others return %.4f", rate, se, want, truth.Added, back[0]/n[0])
		if math.Abs(rate-want) > 3*se {
			t.Errorf("converters return %.4f ± %.4f, truth %.4f", rate, se, want)
		}
		if truth.Added > effect || truth.Added < 0.9*effect {
			t.Errorf("added %.4f of %.4f", truth.Added, effect)
		}
		// Selection: even without an effect, converters return more often than the others.
		if rate-back[0]/n[0] < 3*se {
			t.Errorf("no selection bias: converters %.4f, others %.4f", rate, back[0]/n[0])
		}
	}
}

func TestCreatorUplift(t *testing.T) {
	for _, uplift := range []float64{0, 0.35} {
		s := crowd(23, 3_000, Effects{CreatorUplift: uplift})
		s.Earlier = []EarlierDrop{{Creator: 1, BeforeMS: 10 * day, DropMS: day, Reach: 0}}
		s.HistoryMS, s.Behaviour.Newcomers, s.Behaviour.Joining = 17*day, 0, 0
		s.Behaviour.SessionsPerDay = 0.5
		t.Logf("seed %d, uplift %.2f", s.Seed, uplift)
		g := generate(t, s)
		players := observe(t, g)
		start := g.w.drops[0].start
		var count [2][2]float64 // followers, then in [start, +7 d)
		for _, p := range players {
			follows := 0
			if p.creator == g.w.creators[0] {
				follows = 1
			}
			for _, at := range p.sessions {
				switch {
				case at >= start-7*day && at < start:
					count[follows][0]++
				case at >= start && at < start+7*day:
					count[follows][1]++
				}
			}
		}
		ratio := math.Log(count[1][1] / count[1][0] * count[0][0] / count[0][1])
		se := math.Sqrt(1/count[0][0] + 1/count[0][1] + 1/count[1][0] + 1/count[1][1])
		t.Logf("followers' sessions rose by a factor of %.3f, truth %.3f, standard error of the log %.4f", math.Exp(ratio), 1+uplift, se)
		if math.Abs(ratio-math.Log1p(uplift)) > 3*se {
			t.Errorf("log ratio %.4f ± %.4f, truth %.4f", ratio, se, math.Log1p(uplift))
		}
	}
}

func TestDegradation(t *testing.T) {
	s := crowd(24, 5_000, Effects{})
	s.HistoryMS = day
	s.Behaviour.Load = 0
	s.Degradations = []Degradation{{POP: "fra", FromMS: 2 * hour, ToMS: 6 * hour, Factor: 4}}
	g := generate(t, s)
	logs := map[string][2][]float64{} // by POP, outside and inside the window
	var d event.Decoder
	var ev event.Event
	drain(t, g, func(r *Record) {
		if r.Kind != event.KindLatency || d.Decode(r.Kind, r.Value, &ev) != nil {
			return
		}
		in := 0
		if age := ev.EventTime - s.StartMS; age >= 2*hour && age < 6*hour {
			in = 1
		}
		l := logs[ev.POP]
		l[in] = append(l[in], math.Log(ev.Latency.MS))
		logs[strings.Clone(ev.POP)] = l
	})
	for pop, l := range logs {
		want := 0.0
		if pop == "fra" {
			want = math.Log(4)
		}
		m0, v0 := meanVar(l[0])
		m1, v1 := meanVar(l[1])
		if se := math.Sqrt(v0 + v1); math.Abs(m1-m0-want) > 4*se {
			t.Errorf("%s: latency changed by a factor of %.2f in the window, want %.2f", pop, math.Exp(m1-m0), math.Exp(want))
		}
	}
	if len(logs) != len(s.POPs) {
		t.Errorf("%d POPs seen of %d", len(logs), len(s.POPs))
	}
}

// meanVar returns the mean of x and the variance of that mean.
func meanVar(x []float64) (mean, variance float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / (n - 1) / n
	}
	return mean, variance
}

// During an outage checkouts fail, and before and after it they do as ever; a language without subtitles leaves the others alone.
func TestOutages(t *testing.T) {
	s := crowd(25, 5_000, Effects{})
	s.HistoryMS = day
	s.Outages = []Outage{{FromMS: 2 * hour, ToMS: 4 * hour, Share: 1}}
	s.Subtitles.CueMS = 4 * second
	s.SubtitleOutages = []SubtitleOutage{{Language: "fr", FromMS: 20 * minute, ToMS: 30 * minute}}
	g := generate(t, s)
	main := g.MainDrop()
	var d event.Decoder
	var ev event.Event
	started, completed := map[bool]int{}, map[bool]int{}
	cues, missing := map[string]int{}, map[string]int{}
	drain(t, g, func(r *Record) {
		if d.Decode(r.Kind, r.Value, &ev) != nil || ev.DropID != main {
			return
		}
		switch {
		case r.Kind == event.KindCheckout:
			// A checkout takes up to 30 s, so that those of the outage's first minute may have begun before it.
			age := ev.EventTime - s.StartMS
			in := age >= 2*hour+minute && age < 4*hour
			switch ev.Type {
			case event.CheckoutStarted:
				started[in]++
			case event.CheckoutCompleted:
				completed[in]++
			}
		case r.Kind == event.KindSubtitle && ev.Subtitle.SpeechStartMS >= 20*minute && ev.Subtitle.SpeechStartMS < 30*minute:
			cues[strings.Clone(ev.Subtitle.TargetLanguage)]++
			if ev.Subtitle.Missing {
				missing[strings.Clone(ev.Subtitle.TargetLanguage)]++
			}
		}
	})
	if started[true] < 50 || completed[true] != 0 || completed[false] < started[false]/4 {
		t.Errorf("started and completed inside the outage %d, %d; outside %d, %d", started[true], completed[true], started[false], completed[false])
	}
	if cues["fr"] < 100 || missing["fr"] != cues["fr"] || missing["de"] > cues["de"]/4 {
		t.Errorf("of %v cues %v are missing", cues, missing)
	}
}
