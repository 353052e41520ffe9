package kafka

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

// accounts are the seconds of a loop by activity, as a scrape gets them between two moments.
type accounts struct {
	from, to time.Time
	spent    map[string]float64
}

func scrapeAccounts(t *testing.T, ledger *timeLedger, topic string) accounts {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := registry.Register(ledger); err != nil {
		t.Fatal(err)
	}
	a := accounts{from: time.Now(), spent: map[string]float64{}}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	a.to = time.Now()
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["topic"] == topic {
				a.spent[labels["on"]] = m.GetCounter().GetValue()
			}
		}
	}
	return a
}

func total(spent map[string]float64) (sum float64) {
	for v := range maps.Values(spent) {
		sum += v
	}
	return sum
}

// compare checks that loops spent exactly the time between two scrapes, and returns what on.
func (a accounts) compare(t *testing.T, later accounts, loops float64) map[string]float64 {
	t.Helper()
	const rounding = 1e-6
	elapsed := total(later.spent) - total(a.spent)
	atLeast, atMost := loops*later.from.Sub(a.to).Seconds(), loops*later.to.Sub(a.from).Seconds()
	if elapsed < atLeast-rounding || elapsed > atMost+rounding {
		t.Errorf("%v s booked by %v loops in %v to %v s", elapsed, loops, atLeast/loops, atMost/loops)
	}
	spent := map[string]float64{}
	for on, seconds := range later.spent {
		if d := seconds - a.spent[on]; d > rounding {
			spent[on] = d
		}
		if seconds < a.spent[on] {
			t.Errorf("%s went back from %v to %v s", on, a.spent[on], seconds)
		}
	}
	return spent
}

// pass lets a while go by: what is measured must only be longer than a clock's tick.
func pass(t *testing.T) {
	t.Helper()
	began := time.Now()
	eventually(t, time.Second, "time passes", func() bool { return time.Since(began) > 20*time.Millisecond })
}

func TestStageTimeAddsUp(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Partitions: 2, Groups: []string{"tally"}})
	sc := tallies()
	sc.Group = "tally"
	inTask, gate := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	sc.NewTask = func(int32) Task {
		task := newTally()
		task.slow = func() {
			once.Do(func() {
				inTask <- struct{}{}
				<-gate
			})
		}
		return task
	}
	m := startStage(t, cfg, sc)
	ledger := m.stage.metrics.time
	eventually(t, 20*time.Second, "the stage is ready", func() bool { return m.stage.Ready() == nil })
	first := scrapeAccounts(t, ledger, "")
	produce(t, cfg, event.KindPlayer, 0, 1000, 10)
	<-inTask
	blocked := scrapeAccounts(t, ledger, "")
	first.compare(t, blocked, 1)
	pass(t)
	still := scrapeAccounts(t, ledger, "")
	if spent := blocked.compare(t, still, 1); len(spent) != 1 || spent["process"] == 0 {
		t.Errorf("while a task works: %v, want process alone", spent)
	}
	close(gate)
	eventually(t, 20*time.Second, "everything is committed", func() bool { return groupDone(t, cfg, "tally", event.KindPlayer) })
	eventually(t, 20*time.Second, "the loop is idle again", func() bool {
		return still.compare(t, scrapeAccounts(t, ledger, ""), 1)["idle"] > 0
	})
	done := scrapeAccounts(t, ledger, "")
	spent := still.compare(t, done, 1)
	for _, on := range []string{"process", "produce", "commit"} {
		if spent[on] <= 0 {
			t.Errorf("no time on %s: %v", on, spent)
		}
	}
	if done.spent["rebalance"] == 0 {
		t.Error("the group was joined in no time")
	}
	for p := range 2 {
		at := metric(t, m.stage.metrics.newest.WithLabelValues("player", []string{"0", "1"}[p]))
		if age := time.Since(time.UnixMilli(int64(at * 1000))); age < 0 || age > time.Minute {
			t.Errorf("partition %d: the newest committed record is %v old", p, age)
		}
	}
	m.stop(t)
	ended := scrapeAccounts(t, ledger, "")
	pass(t)
	if after := scrapeAccounts(t, ledger, ""); !maps.Equal(after.spent, ended.spent) {
		t.Errorf("a stopped stage spends time: %v, then %v", ended.spent, after.spent)
	}

	heir := startStage(t, cfg, sc)
	eventually(t, 20*time.Second, "the heir is ready", func() bool { return heir.stage.Ready() == nil })
	if a := scrapeAccounts(t, heir.stage.metrics.time, ""); a.spent["restore"] == 0 {
		t.Errorf("restoring took no time: %v", a.spent)
	}
	heir.stop(t)
}

// phasedShelf waits in every write in a phase of its own.
type phasedShelf struct {
	*shelf
	enter func(string)
}

func (s *phasedShelf) Seal(first, last int64, repeated bool) Batch {
	return &phasedCrate{s.shelf.Seal(first, last, repeated).(*crate), s}
}

type phasedCrate struct {
	*crate
	shelf *phasedShelf
}

func (c *phasedCrate) Phases(enter func(string)) { c.shelf.enter = enter }

func TestFeedTimeAddsUp(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Partitions: 1})
	w := newWarehouse()
	fc := shelves(cfg, w, 50)
	phases := []string{"slot", "insert", "backoff"}
	inPhase, next := make(chan struct{}), make(chan struct{})
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		s := &phasedShelf{}
		s.shelf = &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 50, before: func(context.Context) error {
			if k != event.KindPlayer {
				return nil
			}
			for _, phase := range phases {
				s.enter(phase)
				inPhase <- struct{}{}
				<-next
			}
			return nil
		}}
		return s, nil
	}
	m := startFeed(t, cfg, fc)
	ledger := m.feed.metrics.time
	eventually(t, 20*time.Second, "the worker is idle", func() bool { return scrapeAccounts(t, ledger, "player").spent["idle"] > 0 })
	before := scrapeAccounts(t, ledger, "player")
	produce(t, cfg, event.KindPlayer, 0, 50, 10)
	for _, phase := range phases {
		<-inPhase
		blocked := scrapeAccounts(t, ledger, "player")
		before.compare(t, blocked, 1)
		pass(t)
		if spent := blocked.compare(t, scrapeAccounts(t, ledger, "player"), 1); len(spent) != 1 || spent[phase] == 0 {
			t.Errorf("in phase %s: %v", phase, spent)
		}
		next <- struct{}{}
	}
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
	eventually(t, 20*time.Second, "the worker is idle again", func() bool {
		return before.compare(t, scrapeAccounts(t, ledger, "player"), 1)["idle"] > 0
	})
	after := scrapeAccounts(t, ledger, "player")
	spent := before.compare(t, after, 1)
	for _, on := range []string{"decode", "plan"} {
		if spent[on] <= 0 {
			t.Errorf("no time on %s: %v", on, spent)
		}
	}
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer)
}

func TestAccountSurvivesItsLoop(t *testing.T) {
	r := registry{prefix: "test_"}
	ledger := newTimeLedger(&r, "", true, feedActivities)
	a, b := ledger.open("player", onIdle), ledger.open("player", onInsert)
	pass(t)
	a.enter(onDecode)
	ledger.close(a)
	first := scrapeAccounts(t, ledger, "player")
	pass(t)
	second := scrapeAccounts(t, ledger, "player")
	if spent := first.compare(t, second, 1); len(spent) != 1 || spent["insert"] == 0 {
		t.Errorf("only one loop inserts, booked %v", spent)
	}
	ledger.close(b)
	if last := scrapeAccounts(t, ledger, "player"); last.spent["idle"] != first.spent["idle"] || len(last.spent) != len(feedActivities) {
		t.Errorf("ended loops are %v, were %v", last.spent, first.spent)
	}
}
