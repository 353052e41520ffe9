package clickhouse

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

func TestFlushPolicy(t *testing.T) {
	policy := FlushPolicy{MaxRecords: 10, MaxBytes: 1000, MaxAge: time.Second}
	for _, tt := range []struct {
		name           string
		records, bytes int
		age            time.Duration
		want           Verdict
	}{
		{"empty and old", 0, 0, time.Hour, NotDue},
		{"below every limit", 9, 999, time.Second - 1, NotDue},
		{"records", 10, 0, 0, Full},
		{"bytes", 1, 1000, 0, Full},
		{"age", 1, 1, time.Second, Aged},
		{"old and full", 10, 1, time.Second, Full},
	} {
		if got := policy.Due(tt.records, tt.bytes, tt.age, time.Second); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	var zero FlushPolicy
	want := FlushPolicy{MaxRecords: 100_000, MaxBytes: 64 << 20, MinAge: 250 * time.Millisecond, MaxAge: time.Second, PartialAge: 5 * time.Second, InsertTime: 0.3}
	if err := zero.Validate(); err != nil || zero != want {
		t.Errorf("zero value becomes %+v, %v", zero, err)
	}
	short := FlushPolicy{MaxAge: 100 * time.Millisecond}
	if err := short.Validate(); err != nil || short.MinAge != short.MaxAge {
		t.Errorf("a short age becomes %+v, %v", short, err)
	}
	bad := FlushPolicy{MaxRecords: maxBatchRecords + 1, MaxAge: -1, InsertTime: -1}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want all three problems", err)
	}
}

func TestAges(t *testing.T) {
	policy := FlushPolicy{MinAge: 250 * time.Millisecond, MaxAge: time.Second, InsertTime: 0.3}
	same := func(n int, rate float64, cost time.Duration) []Traffic {
		return slices.Repeat([]Traffic{{rate, cost, time.Second}}, n)
	}
	for _, tt := range []struct {
		name    string
		traffic []Traffic
		want    []time.Duration // of the first ones
	}{
		{"few and cheap: no waiting", same(4, 1000, 10*time.Millisecond), []time.Duration{250 * time.Millisecond}},
		{"idle ones do not count", append(same(36, 0, 100*time.Millisecond), Traffic{1000, 10 * time.Millisecond, time.Second}), []time.Duration{250 * time.Millisecond}},
		{"as long as the budget asks for", same(12, 1000, 15*time.Millisecond), []time.Duration{600 * time.Millisecond}},
		{"never longer than allowed", same(36, 500, 30*time.Millisecond), []time.Duration{time.Second}},
		{"nothing known", same(3, 0, 0), []time.Duration{250 * time.Millisecond}},
		{"free", same(3, 1000, 0), []time.Duration{250 * time.Millisecond}},
		// √(cost/rate) is three times as much for the quiet one, and 0.05/0.3 + 0.05/0.9 is less than the budget.
		{"quiet ones wait longer", []Traffic{{9000, 60 * time.Millisecond, time.Second}, {1000, 60 * time.Millisecond, time.Second}}, []time.Duration{
			266_666_667, 800 * time.Millisecond}},
	} {
		ages := policy.Ages(tt.traffic)
		for i, want := range tt.want {
			if off := ages[i] - want; off.Abs() > time.Millisecond {
				t.Errorf("%s: %v, want %v", tt.name, ages[:len(tt.want)], tt.want)
				break
			}
		}
	}
}

// TestAgesKeepTheBudget: whatever comes, ages are within bounds, busier is never older at the same cost, and the budget is kept unless
// everything waits as long as it may.
func TestAgesKeepTheBudget(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		policy := FlushPolicy{MinAge: time.Duration(1+random.IntN(500)) * time.Millisecond, InsertTime: random.Float64() * 2}
		policy.MaxAge = policy.MinAge + time.Duration(random.IntN(3000))*time.Millisecond
		policy.PartialAge = policy.MaxAge + time.Duration(random.IntN(9000))*time.Millisecond
		traffic := make([]Traffic, random.IntN(60))
		for i := range traffic {
			traffic[i] = Traffic{Rate: math.Exp(random.Float64()*20 - 8), Cost: time.Duration(random.IntN(200)) * time.Millisecond, MaxAge: policy.MaxAge}
			if random.IntN(2) == 0 {
				traffic[i].MaxAge = policy.PartialAge
			}
		}
		ages := policy.Ages(traffic)
		cost, oldest := 0., true
		for i, age := range ages {
			if age < policy.MinAge-1 || age > traffic[i].MaxAge+1 {
				t.Fatalf("%v is outside %v to %v", age, policy.MinAge, traffic[i].MaxAge)
			}
			if traffic[i].Rate < idleRate {
				continue
			}
			cost += traffic[i].Cost.Seconds() / age.Seconds()
			oldest = oldest && (age >= traffic[i].MaxAge-time.Microsecond || traffic[i].Cost == 0)
			for k, other := range ages {
				if traffic[k].Cost == traffic[i].Cost && traffic[k].MaxAge == traffic[i].MaxAge && traffic[k].Rate > traffic[i].Rate && other > age+1 {
					t.Fatalf("%+v waits %v, and the quieter %+v %v", traffic[k], other, traffic[i], age)
				}
			}
		}
		if cost > policy.InsertTime*1.001 && !oldest {
			t.Fatalf("inserts take %v of each second, allowed are %v, and ages are %v", cost, policy.InsertTime, ages)
		}
	}
}

func TestPace(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPace(FlushPolicy{MinAge: 250 * time.Millisecond, MaxAge: time.Second, InsertTime: 0.3}, m)
	var flows []*flow
	for i := range 24 {
		flows = append(flows, p.flow("player_events", int32(i), false))
	}
	if p.flow("player_events", 3, false) != flows[3] {
		t.Error("a topic-partition that came back has no past")
	}
	if age := time.Duration(flows[0].age.Load()); age != 250*time.Millisecond {
		t.Errorf("begins with age %v", age)
	}
	now := time.UnixMilli(monday)
	second := func(rows int, cost time.Duration) {
		for i, f := range flows {
			p.observe(f, rows, cost, now.Add(time.Duration(i)*time.Second/24))
		}
		now = now.Add(time.Second)
	}
	for range 20 {
		second(500, 25*time.Millisecond)
	}
	if age := time.Duration(flows[0].age.Load()); age != time.Second {
		t.Errorf("24 inserts of 25 ms: age %v, want the greatest", age)
	}
	for range 20 {
		second(500, 2*time.Millisecond)
	}
	if age := time.Duration(flows[0].age.Load()); age > 260*time.Millisecond {
		t.Errorf("24 inserts of 2 ms: age %v, want the least", age)
	}
	if got := gauge(t, m.perMinute.WithLabelValues("player_events")); got < 1400 || got > 1500 {
		t.Errorf("%v inserts a minute, 24 a second were made", got)
	}
}

// A batch of partials may wait for more, but not when a burst is over.
func TestDueAfterABurst(t *testing.T) {
	s, err := NewSink(open(t), SinkConfig{Flush: FlushPolicy{MinAge: 10 * time.Second, MaxAge: 10 * time.Second, PartialAge: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Loader(event.KindEstimate.Topic(), 0)
	if err != nil {
		t.Fatal(err)
	}
	l.flow.age.Store(int64(time.Minute))
	estimate := event.Estimate{DropID: "d", Metric: "m", Revision: 1, Label: "l", Unit: "u"}
	add := func() {
		l.Add(event.Record{Kind: event.KindEstimate, Value: estimate.AppendJSON(nil)})
	}
	now := time.UnixMilli(monday)
	for range 4 { // one every 9 s: it goes on growing
		add()
		if l.Due(now) {
			t.Fatalf("due %v after the first record, though more keep coming", now.Sub(time.UnixMilli(monday)))
		}
		now = now.Add(9 * time.Second)
	}
	if l.Due(now) {
		t.Error("due 9 s after the last record")
	}
	if !l.Due(now.Add(time.Second)) {
		t.Error("not due 10 s after the last record")
	}
}

func TestDue(t *testing.T) {
	s, err := NewSink(open(t), SinkConfig{Flush: FlushPolicy{MaxRecords: 3, MinAge: time.Second, MaxAge: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	l := newTestLoader(t, s, event.KindCheckout, 0)
	now := time.UnixMilli(monday)
	if l.Due(now) {
		t.Error("an empty batch is due")
	}
	rs := records(0, checkout(event.CheckoutCompleted, "p1", monday, 1), checkout(event.CheckoutCompleted, "p2", monday, 2), checkout(event.CheckoutCompleted, "p3", monday, 2))
	l.Add(rs[0])
	limit := l.age()
	if limit < 750*time.Millisecond || limit > time.Second {
		t.Errorf("due after %v, want up to a quarter less than a second", limit)
	}
	if l.Due(now) || l.Due(now.Add(limit-1)) || !l.Due(now.Add(limit)) {
		t.Errorf("one record is not due after exactly %v", limit)
	}
	var underway []*Batch
	for range cap(s.inserts) + 1 {
		underway = append(underway, newTestLoader(t, s, event.KindLate, 0).Seal(0, 0, false))
	}
	if l.Due(now.Add(2 * limit)) {
		t.Error("due by its age while there is no room for its insert")
	}
	for _, b := range underway {
		b.Close()
	}
	if !l.Due(now.Add(3 * limit)) {
		t.Error("not due, though there is room again")
	}
	l.Discard()
	if l.Due(now.Add(time.Hour)) {
		t.Error("a discarded batch is due")
	}
	for i, r := range rs {
		l.Add(r)
		if got, want := l.Due(now), i == 2; got != want {
			t.Errorf("after %d records due is %v", i+1, got)
		}
	}
}

func TestTurns(t *testing.T) {
	var ts turns
	now := time.UnixMilli(monday)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	a, b, c := &Loader{}, &Loader{}, &Loader{}
	for i, l := range []*Loader{a, b, c} {
		if ts.mine(l, 0, at(i)) {
			t.Fatal("went without room")
		}
	}
	if ts.mine(c, 1, at(10)) || ts.mine(b, 1, at(11)) {
		t.Error("went before one that waits longer")
	}
	if !ts.mine(b, 2, at(12)) {
		t.Error("there is room for two")
	}
	if ts.mine(b, 2, at(13)) {
		t.Error("b began again, and goes before c")
	}
	if !ts.mine(a, 1, at(14)) || !ts.mine(c, 1, at(15)) {
		t.Error("the one that waits longest did not go")
	}
	ts.mine(a, 0, at(20))
	ts.mine(c, 0, at(21))
	ts.leave(a)
	if !ts.mine(b, 1, at(22)) || !ts.mine(c, 1, at(23)) {
		t.Error("b waits since 13, c since 21, and a, which left, holds them up")
	}
}

// TestTurnsOfTheAbsent: one that does not come when it could go holds nobody up.
func TestTurnsOfTheAbsent(t *testing.T) {
	var ts turns
	now := time.UnixMilli(monday)
	gone, here := &Loader{}, &Loader{}
	ts.mine(gone, 0, now)
	if ts.mine(here, 1, now.Add(absent/2)) {
		t.Error("went before one that waits longer")
	}
	if !ts.mine(here, 1, now.Add(absent)) {
		t.Error("still waits for one that is gone")
	}
}

// TestStagger: loaders that begin together do not flush together.
func TestStagger(t *testing.T) {
	s, err := NewSink(open(t), SinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var ages []time.Duration
	for partition := range int32(12) {
		ages = append(ages, newTestLoader(t, s, event.KindPlayer, partition).age())
	}
	slices.Sort(ages)
	for i := range ages[1:] {
		if gap := ages[i+1] - ages[i]; gap < time.Millisecond {
			t.Errorf("two loaders flush within %v: %v", gap, ages)
		}
	}
}
