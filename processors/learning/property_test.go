package learning

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/processors"
)

const (
	start = int64(1_772_452_800_000)
	late  = 10 * minute
)

var inputs = []event.Kind{event.KindPlayer, event.KindCheckout, event.KindScore}

func scored(player string, at int64, vector ...float64) *event.Event {
	ev := &event.Event{Kind: event.KindScore}
	ev.Type, ev.PlayerID, ev.EventTime, ev.Consent, ev.SampleRate = event.ScoreAnswered, player, at, 1, 1
	ev.Score.Model, ev.Score.ModelVersion, ev.Score.Vector, ev.Score.P = "churn", "v1", vector, 0.5
	return ev
}

func session(player string, at int64) *event.Event {
	ev := &event.Event{Kind: event.KindPlayer}
	ev.Type, ev.PlayerID, ev.EventTime, ev.SampleRate = event.SessionStart, player, at, 1
	return ev
}

func checkout(what event.Type, player, id string, at, amount int64) *event.Event {
	ev := &event.Event{Kind: event.KindCheckout}
	ev.Type, ev.PlayerID, ev.EventTime, ev.SampleRate = what, player, at, 1
	ev.Checkout.CheckoutID, ev.Checkout.Currency, ev.Checkout.Amount = id, "USD", amount
	return ev
}

// history is some weeks of a few players, in order of time, with distinct times per player.
func history(random *rand.Rand, cfg Config) (h []*event.Event) {
	grain := []int64{1, minute, hour}[random.IntN(3)]
	for i := range 20 + random.IntN(400) {
		at := start + random.Int64N(40*day/grain)*grain + 1
		who := fmt.Sprintf("p%d", random.IntN(8))
		switch random.IntN(8) {
		case 0, 1:
			h = append(h, session(who, at))
		case 2:
			h = append(h, checkout(event.CheckoutCompleted, who, fmt.Sprint("k", i), at, random.Int64N(100)))
			if random.IntN(2) == 0 {
				h = append(h, checkout(event.CheckoutRefunded, who, fmt.Sprint("k", i), at+random.Int64N(20*day), random.Int64N(120)))
			}
		default:
			ev := scored(who, at, float64(i), random.NormFloat64(), -1)
			ev.Score.Model = []string{"churn", "churn", "other"}[random.IntN(3)]
			ev.Score.Eligible = random.IntN(4) == 0
			h = append(h, ev)
			// Sessions around the borders of its window.
			edge := []int64{at + cfg.EmbargoMS, at + cfg.EmbargoMS + cfg.HorizonMS}[random.IntN(2)]
			h = append(h, session(who, edge+random.Int64N(5)-2))
		}
	}
	slices.SortStableFunc(h, func(a, b *event.Event) int { return cmp.Compare(a.EventTime, b.EventTime) })
	for i, ev := range h {
		ev.ID, ev.IngestTime, ev.SchemaVersion = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)), ev.EventTime, 1
		for _, before := range h[:i] {
			if before.Kind == event.KindScore && ev.Kind == event.KindScore && before.PlayerID == ev.PlayerID && before.EventTime == ev.EventTime {
				ev.Synthetic = true // of two scores at once the log's first counts, which is another test's business
			}
		}
	}
	return h
}

// expected is an example; what comes back after its label's end may come too late to lower its net, which is at most most.
type expected struct {
	event.Example
	most int64
}

// reference is the definition, with everything at hand.
func reference(h []*event.Event, cfg Config) map[string]expected {
	type interval struct {
		player, model string
		number        int64
	}
	chosen := map[interval]*event.Event{}
	for _, ev := range h {
		if ev.Kind != event.KindScore || ev.Synthetic {
			continue
		}
		at := interval{ev.PlayerID, ev.Score.Model, ev.EventTime / cfg.EveryMS}
		if old := chosen[at]; old == nil || ev.Score.Eligible && !old.Score.Eligible {
			chosen[at] = ev
		}
	}
	examples := map[string]expected{}
	for _, s := range chosen {
		from := s.EventTime + cfg.EmbargoMS
		e := event.Example{
			Model: s.Score.Model, PlayerID: s.PlayerID, ScoredAt: s.EventTime, LabelFrom: from, LabelTo: from + cfg.HorizonMS,
			Churned: true, Eligible: s.Score.Eligible, Vector: s.Score.Vector,
		}
		bought, back, soon := map[string]int64{}, map[string]int64{}, map[string]int64{}
		for _, ev := range h {
			if ev.PlayerID != s.PlayerID {
				continue
			}
			switch ev.Type {
			case event.SessionStart:
				e.Churned = e.Churned && !(ev.EventTime >= e.LabelFrom && ev.EventTime < e.LabelTo)
			case event.CheckoutCompleted:
				if ev.EventTime >= s.EventTime && ev.EventTime < s.EventTime+cfg.OutcomeMS {
					e.Converted, e.Currency = true, "USD"
					bought[ev.Checkout.CheckoutID] = ev.Checkout.Amount
				}
			case event.CheckoutRefunded:
				back[ev.Checkout.CheckoutID] += ev.Checkout.Amount
				if ev.EventTime <= e.LabelTo {
					soon[ev.Checkout.CheckoutID] += ev.Checkout.Amount
				}
			}
		}
		most := int64(0)
		for id, amount := range bought {
			e.Net += max(0, amount-back[id])
			most += max(0, amount-soon[id])
		}
		examples[fmt.Sprint(e.Model, e.PlayerID, e.ScoredAt)] = expected{e, most}
	}
	return examples
}

// TestAnyOrderEndsInTheReference sends histories whose three inputs run apart by up to weeks while one lags, within
// the lateness otherwise, with duplicates, aborts and restarts.
func TestAnyOrderEndsInTheReference(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(71, seed))
		cfg := Config{
			EmbargoMS: []int64{1, late, 2 * hour}[random.IntN(3)], HorizonMS: []int64{day, 3 * day, 14 * day}[random.IntN(3)],
			OutcomeMS: hour + random.Int64N(day-hour), EveryMS: []int64{1, hour, day}[random.IntN(3)], ActiveMS: day,
		}
		h := history(random, cfg)
		got, left := play(t, random, cfg, h)
		want := reference(h, cfg)
		for key, w := range want {
			g, ok := got[key]
			if !ok {
				t.Fatalf("seed %d: no example %s", seed, key)
			}
			if g.Net < w.Net || g.Net > w.most {
				t.Fatalf("seed %d: %s came to %d, not within [%d, %d]", seed, key, g.Net, w.Net, w.most)
			}
			w.Net = g.Net
			w.ModelVersion, w.P, w.Watermark = g.ModelVersion, g.P, g.Watermark
			if fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w.Example) {
				t.Fatalf("seed %d:\n got %+v\nwant %+v", seed, g, w)
			}
		}
		if len(got) != len(want) || left != 0 {
			t.Fatalf("seed %d: %d examples instead of %d, %d keys left", seed, len(got), len(want), left)
		}
	}
}

// play returns the examples by model, player and time, and how many keys are left when all is over.
func play(t *testing.T, random *rand.Rand, cfg Config, h []*event.Event) (map[string]event.Example, int) {
	t.Helper()
	var queues [3][]*event.Event
	for _, ev := range h {
		i := slices.Index(inputs, ev.Kind)
		queues[i] = append(queues[i], ev)
	}
	for i := range queues {
		jitter := map[*event.Event]int64{}
		for _, ev := range queues[i] {
			jitter[ev] = ev.EventTime + random.Int64N(8*minute)
		}
		slices.SortStableFunc(queues[i], func(a, b *event.Event) int { return cmp.Compare(jitter[a], jitter[b]) })
	}
	var rule *Rule
	log := map[string][]byte{}
	fresh := func() *processors.Partition {
		var err error
		if rule, err = New(cfg, 0); err != nil {
			t.Fatal(err)
		}
		p := processors.NewPartition(0, processors.Config{Inputs: inputs, OutOfOrderness: minute}, nil, []processors.Rule{rule})
		for key, value := range log {
			if err := p.Restore(key, value); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	p := fresh()
	examples := map[string]event.Example{}
	var last event.Example
	var d event.Decoder
	commit := func(messages []event.Message) {
		for _, m := range messages {
			if m.Kind != event.KindExample {
				continue
			}
			var e event.Example
			if err := d.Example(slices.Clone(m.Value), &e); err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprint(e.Model, e.PlayerID, e.ScoredAt)
			if _, twice := examples[key]; twice || e.Watermark < e.LabelTo+late {
				t.Fatalf("%s: twice %v, at %d with label to %d", m.Key, twice, e.Watermark, e.LabelTo)
			}
			if cmp.Or(cmp.Compare(last.LabelTo, e.LabelTo), cmp.Compare(last.ScoredAt, e.ScoredAt), strings.Compare(last.PlayerID, e.PlayerID)) > 0 {
				t.Fatalf("%s: out of order after %+v", m.Key, last)
			}
			e.Vector = slices.Clone(e.Vector)
			examples[key], last = e, e
		}
		p.Changes(func(key string, value []byte) {
			if value == nil {
				delete(log, key)
				return
			}
			log[strings.Clone(key)] = slices.Clone(value)
		})
		p.Commit()
	}
	now := start
	for len(queues[0])+len(queues[1])+len(queues[2]) > 0 {
		var batch []*event.Event
		i := random.IntN(3)
		n := min(len(queues[i]), 1+random.IntN(60))
		batch, queues[i] = queues[i][:n], queues[i][n:]
		lag := make([]bool, 3)
		for attempt := 0; ; attempt++ {
			for _, ev := range batch {
				r := event.Record{Kind: ev.Kind, Value: event.Append(nil, ev), Timestamp: ev.EventTime}
				if o := p.Process(r); o != event.Accepted {
					t.Fatalf("%+v: %v", ev.Envelope, o)
				}
				if random.IntN(20) == 0 && p.Process(r) != event.Duplicate {
					t.Fatal("a resend is no duplicate")
				}
			}
			messages := p.Flush(now, lag) // nobody has caught up: the slowest input holds the watermark
			if attempt < 3 && random.IntN(4) == 0 {
				p.Changes(func(string, []byte) {})
				p.Rollback()
				continue
			}
			commit(messages)
			break
		}
		if random.IntN(6) == 0 {
			p = fresh()
		}
	}
	for i, ev := range []*event.Event{session("z", start+400*day), checkout(event.CheckoutFailed, "z", "z", start+400*day, 1), scored("z", start+400*day)} {
		if ev.Kind == event.KindPlayer {
			ev.Type = event.Heartbeat
		}
		ev.ID, ev.IngestTime, ev.SchemaVersion = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, "end", i)), ev.EventTime, 1
		p.Process(event.Record{Kind: ev.Kind, Value: event.Append(nil, ev), Timestamp: ev.EventTime})
	}
	commit(p.Flush(now, make([]bool, 3)))
	return examples, rule.players.Len() + rule.snapshots.Len()
}

// TestThinnedStartsAnswerTheSame: what start leaves out changes no answer, for windows as long as span or longer.
func TestThinnedStartsAnswerTheSame(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(72, seed))
		span := 1 + random.Int64N(40)
		var p, all player
		for range random.IntN(60) {
			at := 100 + random.Int64N(200)
			p.start(at, span)
			if i, known := slices.BinarySearch(all.starts, at); !known {
				all.starts = slices.Insert(all.starts, i, at)
			}
		}
		for from := int64(50); from < 320; from++ {
			for _, to := range []int64{from + span, from + span + random.Int64N(50)} {
				if p.returned(from, to) != all.returned(from, to) {
					t.Fatalf("seed %d: [%d, %d) of %v, kept of %v at span %d", seed, from, to, p.starts, all.starts, span)
				}
			}
		}
		if most := 2 + 2*200/int(span); len(p.starts) > most {
			t.Fatalf("seed %d: %d starts kept within 200 at span %d", seed, len(p.starts), span)
		}
	}
}

// TestWhatMakesNoExample counts each by its name.
func TestWhatMakesNoExample(t *testing.T) {
	rule, err := New(Config{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]float64, len(feature.Player.Features))
	absent := slices.Clone(whole)
	absent[feature.Player.Index("recency_s")] = float64(28*day/1000) + 1
	ours := func(vector []float64) *event.Event {
		ev := scored("p", start, vector...)
		ev.Score.FeatureHash = feature.Player.Hash()
		return ev
	}
	with := func(ev *event.Event, change func(*event.Event)) *event.Event { change(ev); return ev }
	for _, c := range []struct {
		want outcome
		ev   *event.Event
	}{
		{outcomePending, ours(whole)},
		{outcomeThinned, ours(whole)},
		{outcomeSynthetic, with(ours(whole), func(ev *event.Event) { ev.Synthetic = true })},
		{outcomeNoConsent, with(ours(whole), func(ev *event.Event) { ev.Consent = 6 })},
		{outcomeNoVector, ours(nil)},
		{outcomeBadVector, ours(whole[1:])},
		{outcomeBadVector, scored("q", start, make([]float64, maxVector+1)...)},
		{outcomeInactive, ours(absent)},
	} {
		before := rule.outcomes[c.want]
		if rule.Apply(c.ev, start); rule.outcomes[c.want] != before+1 {
			t.Errorf("not %s: %v", outcomeNames[c.want], rule.outcomes)
		}
	}
	for i := range maxPending + 1 {
		rule.Apply(with(scored("r", start, 1), func(ev *event.Event) { ev.Score.Model = fmt.Sprint("m", i) }), start)
	}
	counts := map[string]uint64{}
	rule.Outcomes(func(name string, n uint64) { counts[name] = n })
	want := map[string]uint64{"pending": 1 + maxPending, "thinned": 1, "synthetic": 1, "no_consent": 1, "no_vector": 1, "bad_vector": 2, "inactive": 1, "full": 1, "published": 0}
	if !maps.Equal(counts, want) {
		t.Errorf("counted %v", counts)
	}
	for _, cfg := range []Config{{EmbargoMS: -1}, {HorizonMS: -1}, {OutcomeMS: 15 * day}, {EveryMS: 15 * day}, {ActiveMS: -1}} {
		if _, err := New(cfg, 0); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}
