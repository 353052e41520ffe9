package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

// warehouse is an external store that recognises tokens. It complains when a
// token comes back with other rows, or when ranges of different tokens overlap.
type warehouse struct {
	mu       sync.Mutex
	batches  map[string]batch
	repeats  int
	problems []string
}

type batch struct {
	tp          topicPartition
	first, last int64
	rows        []row
}

type row struct {
	offset int64
	value  string
}

func newWarehouse() *warehouse { return &warehouse{batches: map[string]batch{}} }

func (w *warehouse) insert(b batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	token := fmt.Sprintf("%s:%d:%d-%d", b.tp.topic, b.tp.partition, b.first, b.last)
	if old, ok := w.batches[token]; ok {
		w.repeats++
		if !slices.Equal(old.rows, b.rows) {
			w.problems = append(w.problems, fmt.Sprintf("token %s came back with %d rows, had %d", token, len(b.rows), len(old.rows)))
		}
		return
	}
	for other, o := range w.batches {
		if o.tp == b.tp && b.first <= o.last && o.first <= b.last {
			w.problems = append(w.problems, fmt.Sprintf("token %s overlaps %s", token, other))
		}
	}
	w.batches[token] = b
}

func (w *warehouse) rows() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, b := range w.batches {
		n += len(b.rows)
	}
	return n
}

// check compares the store with the log, row by row.
func (w *warehouse) check(t testing.TB, cfg Config, kinds ...event.Kind) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.problems {
		t.Error(p)
	}
	have := map[topicPartition][]row{}
	for _, b := range w.batches {
		have[b.tp] = append(have[b.tp], b.rows...)
	}
	for _, k := range kinds {
		for p, rs := range contents(t, cfg, cfg.Topic(k)) {
			want := make([]row, len(rs))
			for i, r := range rs {
				want[i] = row{r.Offset, string(r.Value)}
			}
			got := have[topicPartition{cfg.Topic(k), p}]
			slices.SortFunc(got, func(a, b row) int { return cmp.Compare(a.offset, b.offset) })
			if !slices.Equal(got, want) {
				t.Errorf("%v/%d: the store has %d rows, the log %d", k, p, len(got), len(want))
			}
		}
	}
}

// shelf is a Loader into a warehouse.
type shelf struct {
	w     *warehouse
	tp    topicPartition
	rows  []row
	begun time.Time
	limit int
	// before and after surround the insert; an error from them is Write's.
	before, after func(ctx context.Context, s *shelf) error
}

func (s *shelf) Add(r event.Record) {
	if len(s.rows) == 0 {
		s.begun = time.Now()
	}
	s.rows = append(s.rows, row{r.Offset, string(r.Value)})
}

func (s *shelf) Due(now time.Time) bool {
	return len(s.rows) >= s.limit || len(s.rows) > 0 && now.Sub(s.begun) > 30*time.Millisecond
}

func (s *shelf) Write(ctx context.Context, first, last int64) error {
	if s.before != nil {
		if err := s.before(ctx, s); err != nil {
			return err
		}
	}
	s.w.insert(batch{s.tp, first, last, slices.Clone(s.rows)})
	if s.after != nil {
		if err := s.after(ctx, s); err != nil {
			return err
		}
	}
	s.rows = s.rows[:0]
	return nil
}

func (s *shelf) Discard() { s.rows = s.rows[:0] }

func shelves(cfg Config, w *warehouse, limit int) FeedConfig {
	return FeedConfig{
		Group: loadersOf(cfg),
		Kinds: []event.Kind{event.KindPlayer, event.KindCheckout},
		NewLoader: func(k event.Kind, p int32) (Loader, error) {
			return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: limit}, nil
		},
		SessionTimeout: 2 * time.Second,
		RevokeTimeout:  time.Second,
	}
}

type feeder struct {
	net    *network
	cancel context.CancelFunc
	done   chan error
	feed   *Feed
}

func startFeed(t testing.TB, cfg Config, fc FeedConfig) *feeder {
	t.Helper()
	m := &feeder{net: &network{}, done: make(chan error, 1)}
	cfg.Dial = m.net.dial
	f, err := NewFeed(cfg, fc)
	if err != nil {
		t.Fatal(err)
	}
	m.feed = f
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() { m.done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-m.done:
		case <-time.After(30 * time.Second):
			t.Error("feed did not stop")
		}
	})
	return m
}

func (m *feeder) stop(t testing.TB) error {
	t.Helper()
	m.cancel()
	select {
	case err := <-m.done:
		m.done <- nil
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("feed did not stop")
		return nil
	}
}

func testFeedLoadsOnce(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	w := newWarehouse()
	fc := shelves(cfg, w, 40)
	fc.Registerer = prometheus.NewRegistry()
	produce(t, cfg, event.KindPlayer, 0, 1000, 37)
	m := startFeed(t, cfg, fc)
	produce(t, cfg, event.KindCheckout, 0, 500, 37)
	eventually(t, 20*time.Second, "everything released", func() bool {
		return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer, event.KindCheckout)
	})
	if err := m.feed.Ready(); err != nil {
		t.Error("not ready:", err)
	}
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	balanced, err := adm.adm.ListGroupsByType(t.Context(), []string{string(GroupConsumer)})
	if err != nil {
		t.Fatal(err)
	}
	if _, byBrokers := balanced[cfg.GroupID(loadersOf(cfg))]; byBrokers != (cfg.GroupProtocol == GroupConsumer) {
		t.Errorf("the group is balanced by the brokers: %v", byBrokers)
	}
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer, event.KindCheckout)
	if w.repeats != 0 {
		t.Errorf("%d batches were repeated without need", w.repeats)
	}
	if n := metric(t, m.feed.metrics.records.WithLabelValues(cfg.Topic(event.KindPlayer))); n != 1000 {
		t.Errorf("metric: %v player records", n)
	}
}

// Stopping writes what is buffered, however young it is.
func testFeedDrains(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	w := newWarehouse()
	fc := shelves(cfg, w, 0)
	var added atomic.Int64
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		return patient{&shelf{w: w, tp: topicPartition{cfg.Topic(k), p}}, &added}, nil
	}
	m := startFeed(t, cfg, fc)
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	eventually(t, 20*time.Second, "everything added", func() bool { return added.Load() == 100 })
	if n := w.rows(); n != 0 {
		t.Fatalf("%d rows were written before they were due", n)
	}
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer)
	if !groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) {
		t.Error("what was written is not released")
	}
}

// patient is a shelf whose batch is never due.
type patient struct {
	*shelf
	added *atomic.Int64
}

func (p patient) Add(r event.Record)   { p.shelf.Add(r); p.added.Add(1) }
func (p patient) Due(_ time.Time) bool { return false }

// A write that was under way when the member died is repeated under its token,
// whether it had happened or not, even though the limits differ now.
func testFeedRepeatsThePlan(t *testing.T, k server) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored=%v", stored), func(t *testing.T) {
			cfg := k.config(t).Config
			ensure(t, cfg, Topics{Partitions: 1})
			produce(t, cfg, event.KindPlayer, 0, 100, 10)
			w := newWarehouse()
			inWrite := make(chan struct{}, 1)
			hang := func(ctx context.Context, _ *shelf) error {
				inWrite <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}
			fc := shelves(cfg, w, 64)
			fc.ShutdownTimeout = time.Millisecond
			fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
				s := &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 64}
				if stored {
					s.after = hang
				} else {
					s.before = hang
				}
				return s, nil
			}
			m := startFeed(t, cfg, fc)
			<-inWrite
			if err := m.stop(t); err != nil {
				t.Error(err)
			}
			adm, err := NewAdmin(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer adm.Close()
			lags, err := adm.Lag(t.Context(), loadersOf(cfg))
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(lags, func(l Lag) bool { return l.Topic == cfg.Topic(event.KindPlayer) })
			if i < 0 || lags[i].Committed != 0 || lags[i].Metadata != "v1 last=63" {
				t.Fatalf("the journal says %+v", lags)
			}
			next := startFeed(t, cfg, shelves(cfg, w, 7))
			eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
			if err := next.stop(t); err != nil {
				t.Error(err)
			}
			w.check(t, cfg, event.KindPlayer)
			if b, ok := w.batches[cfg.Topic(event.KindPlayer)+":0:0-63"]; !ok || len(b.rows) != 64 {
				t.Errorf("the planned range is not one batch")
			}
			want := 0
			if stored {
				want = 1
			}
			if w.repeats != want {
				t.Errorf("the store saw %d repeats, want %d", w.repeats, want)
			}
		})
	}
}

// A slow partition pauses alone, with bounded memory, and the member stays in the group.
func TestFeedBackPressure(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{Partitions: 1})
	w := newWarehouse()
	gate := make(chan struct{})
	fc := shelves(cfg, w, 10)
	fc.MaxBufferedBytes = 20_000
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		s := &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 10}
		if k == event.KindPlayer {
			s.before = func(ctx context.Context, _ *shelf) error {
				select {
				case <-gate:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return s, nil
	}
	m := startFeed(t, cfg, fc)
	for i := 0; i < 5000; i += 500 {
		produce(t, cfg, event.KindPlayer, i, i+500, 10)
	}
	eventually(t, 20*time.Second, "the slow partition is paused", func() bool {
		return metric(t, m.feed.metrics.pauses.WithLabelValues("player")) > 0
	})
	_, before := m.feed.cl.GroupMetadata()
	produce(t, cfg, event.KindCheckout, 0, 500, 10)
	eventually(t, 20*time.Second, "the other partition goes on", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindCheckout) })
	began := time.Now()
	eventually(t, 20*time.Second, "two session timeouts have passed", func() bool { return time.Since(began) > 2*fc.SessionTimeout })
	if _, after := m.feed.cl.GroupMetadata(); after != before {
		t.Errorf("the member fell out of its group: generation %d, was %d", after, before)
	}
	close(gate)
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer, event.KindCheckout)
}

// A member that was cut off in a write finds its partition elsewhere: its late
// commit must not overwrite the heir's.
func testFeedFencesZombies(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	produce(t, cfg, event.KindPlayer, 0, 200, 10)
	w := newWarehouse()
	inWrite, gate := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	fc := shelves(cfg, w, 50)
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 50, after: func(context.Context, *shelf) error {
			once.Do(func() {
				inWrite <- struct{}{}
				<-gate // even a cancelled context does not end it: as deaf as a stalled process
			})
			return nil
		}}, nil
	}
	zombie := startFeed(t, cfg, fc)
	<-inWrite
	zombie.net.cut()
	heir := startFeed(t, cfg, shelves(cfg, w, 30))
	eventually(t, 30*time.Second, "the heir has done everything", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
	zombie.net.heal()
	close(gate)
	eventually(t, 30*time.Second, "the zombie is back", func() bool { return zombie.feed.Ready() == nil && heir.feed.Ready() == nil })
	if !groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) {
		t.Error("offsets went back")
	}
	produce(t, cfg, event.KindPlayer, 200, 300, 10)
	eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
	_ = zombie.stop(t)
	_ = heir.stop(t)
	w.check(t, cfg, event.KindPlayer)
}

// A partition whose last batch is being drained is not given away before that is
// written and released, though its member is on its way out.
func testFeedKeepsWhatItDrains(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	w := newWarehouse()
	inWrite, gate := make(chan struct{}, 1), make(chan struct{})
	fc := shelves(cfg, w, 50)
	fc.Kinds = fc.Kinds[:1]
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 50, before: func(context.Context, *shelf) error {
			select {
			case inWrite <- struct{}{}:
			default:
			}
			<-gate
			return nil
		}}, nil
	}
	fc.RevokeTimeout = 1900 * time.Millisecond
	fc.SessionTimeout = 30 * time.Second // nobody is thrown out here
	leaver := startFeed(t, cfg, fc)
	<-inWrite
	leaver.cancel()
	var taken atomic.Bool
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		taken.Store(true)
		return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 30}, nil
	}
	// Two newcomers: one at least would be given what the leaver lets go of.
	heirs := []*feeder{startFeed(t, cfg, fc), startFeed(t, cfg, fc)}
	eventually(t, 20*time.Second, "the group has moved on", func() bool { return heirs[0].feed.Ready() == nil || heirs[1].feed.Ready() == nil })
	leaver.feed.mu.Lock()
	p := leaver.feed.partitions[topicPartition{cfg.Topic(event.KindPlayer), 0}]
	leaver.feed.mu.Unlock()
	if p == nil {
		t.Error("a rebalance could not see what is being drained")
	}
	if taken.Load() {
		t.Error("the partition was given away in the middle of a write")
	}
	close(gate)
	if err := leaver.stop(t); err != nil {
		t.Error(err)
	}
	eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
	for _, h := range heirs {
		if err := h.stop(t); err != nil {
			t.Error(err)
		}
	}
	w.check(t, cfg, event.KindPlayer)
}

// An old generation's commit is refused by the broker, whoever sends it.
func TestFeedCommitCarriesGeneration(t *testing.T) {
	t.Parallel()
	c, cfg := newCluster(t)
	ensure(t, cfg, Topics{Partitions: 1})
	w := newWarehouse()
	var unfenced atomic.Int64
	c.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if req := r.(*kmsg.OffsetCommitRequest); req.Generation < 0 || req.MemberID == "" {
			unfenced.Add(1)
		}
		return nil, nil, false
	})
	h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: 3})
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	m := startFeed(t, cfg, shelves(cfg, w, 10))
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	if unfenced.Load() != 0 {
		t.Errorf("%d commits carried no generation", unfenced.Load())
	}
	if h.Hits() != 3 {
		t.Errorf("%d of 3 refusals were met", h.Hits())
	}
	w.check(t, cfg, event.KindPlayer)
}

// The offsets of a transactional topic have gaps; ranges join over them, and lag
// still reaches zero behind the last marker.
func testFeedTransactionalTopic(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	cl, err := cfg.newClient("test", kgo.TransactionalID("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 20 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for j := range 5 {
			cl.Produce(t.Context(), &kgo.Record{Topic: cfg.Topic(event.KindPlayer), Value: fmt.Appendf(nil, "%d", i*5+j)}, nil)
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TransactionEndTry(i%4 != 3)); err != nil {
			t.Fatal(err)
		}
	}
	w := newWarehouse()
	m := startFeed(t, cfg, shelves(cfg, w, 7))
	eventually(t, 20*time.Second, "lag is zero", func() bool { return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer) })
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	if n := w.rows(); n != 75 {
		t.Errorf("%d rows, 75 were committed", n)
	}
	w.check(t, cfg, event.KindPlayer)
}

// Members stop, crash and come back, the store fails and hangs, commits fail.
func testFeedUnderChaos(t *testing.T, k server) {
	c := k.config(t)
	cfg := c.Config
	ensure(t, cfg, Topics{Partitions: 3})
	r := rng(t)
	w := newWarehouse()
	const total = 6000
	var produced sync.WaitGroup
	produced.Go(func() {
		for i := 0; i < total; i += 100 {
			kind := event.KindPlayer
			if i/100%3 == 0 {
				kind = event.KindCheckout
			}
			produce(t, cfg, kind, i, i+100, 53)
		}
	})
	var calm atomic.Bool
	fc := func(seed uint64) FeedConfig {
		fc := shelves(cfg, w, 0)
		fc.ShutdownTimeout = time.Second
		fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
			r := rand.New(rand.NewPCG(seed, uint64(k)<<8|uint64(p)))
			trouble := func(ctx context.Context, s *shelf) error {
				s.limit = 1 + r.IntN(80)
				if r.IntN(8) == 0 && !calm.Load() {
					<-ctx.Done() // a store that never answers
					return ctx.Err()
				}
				return nil
			}
			return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 1 + r.IntN(80), before: trouble, after: trouble}, nil
		}
		return fc
	}
	errs := []*kerr.Error{kerr.UnknownServerError, kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.RequestTimedOut}
	var members []*feeder
	for round := range 14 {
		for len(members) < 2 {
			members = append(members, startFeed(t, cfg, fc(r.Uint64())))
		}
		c.fault([]kmsg.Key{kmsg.OffsetCommit, kmsg.OffsetFetch}[r.IntN(2)], errs[r.IntN(len(errs))])
		until, deadline := w.rows()+r.IntN(500), time.Now().Add(time.Duration(200+r.IntN(600))*time.Millisecond)
		eventually(t, 30*time.Second, "progress", func() bool { return w.rows() >= until || time.Now().After(deadline) })
		i := r.IntN(len(members))
		if round%2 == 0 {
			members[i].net.cut()
			members[i].cancel()
		} else if err := members[i].stop(t); err != nil {
			t.Error(err)
		}
		members = append(members[:i], members[i+1:]...)
	}
	produced.Wait()
	calm.Store(true)
	for _, m := range members {
		_ = m.stop(t) // whatever hangs in it goes with it
	}
	last := startFeed(t, cfg, fc(r.Uint64()))
	eventually(t, 60*time.Second, "everything released", func() bool {
		return groupDone(t, cfg, loadersOf(cfg), event.KindPlayer, event.KindCheckout)
	})
	if err := last.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer, event.KindCheckout)
	t.Logf("%d batches, %d of them repeated", len(w.batches), w.repeats)
}

func TestFeedEndsOnPermanentErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for name, change := range map[string]func(*FeedConfig, *warehouse){
		"write": func(fc *FeedConfig, w *warehouse) {
			fc.NewLoader = func(event.Kind, int32) (Loader, error) {
				return &shelf{w: w, limit: 1, before: func(context.Context, *shelf) error { return full }}, nil
			}
		},
		"loader": func(fc *FeedConfig, _ *warehouse) {
			fc.NewLoader = func(event.Kind, int32) (Loader, error) { return nil, full }
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, cfg := newCluster(t)
			ensure(t, cfg, Topics{Partitions: 1})
			produce(t, cfg, event.KindPlayer, 0, 10, 10)
			w := newWarehouse()
			fc := shelves(cfg, w, 1)
			change(&fc, w)
			m := startFeed(t, cfg, fc)
			select {
			case err := <-m.done:
				m.done <- nil
				if !errors.Is(err, full) {
					t.Errorf("got %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it went on")
			}
			if m.feed.Ready() == nil {
				t.Error("ready after it stopped")
			}
		})
	}
}

func TestPlans(t *testing.T) {
	for _, c := range []struct {
		metadata string
		first    int64
		want     int64 // −1: no plan
		bad      bool
	}{
		{"", 5, -1, false},
		{"v1 last=5", 5, 5, false},
		{"v1 last=12345678901", 5, 12345678901, false},
		{"v1 last=4", 5, 0, true},
		{"v1 last=", 5, 0, true},
		{"v1 last=x", 5, 0, true},
		{"v2 last=9", 5, 0, true},
		{"somebody else's", 5, 0, true},
	} {
		p, ok, err := parsePlan(c.metadata, c.first)
		switch {
		case c.bad:
			if err == nil {
				t.Errorf("%q at %d: accepted", c.metadata, c.first)
			}
		case err != nil || ok != (c.want >= 0) || ok && p.last != c.want:
			t.Errorf("%q at %d: %+v %v %v", c.metadata, c.first, p, ok, err)
		case ok && p.String() != c.metadata:
			t.Errorf("%q is written as %q", c.metadata, p)
		}
	}
}

// aging is due when it is older than limit, by the clock of its first Due.
type aging struct {
	sink
	limit  time.Duration
	opened time.Time
}

func (a *aging) Due(now time.Time) bool {
	if a.opened.IsZero() {
		a.opened = now
	}
	return now.Sub(a.opened) >= a.limit
}

// Behind a backlog a batch waits to fill, but not for ever; without one its own age counts.
func TestBacklogKeepsBatchesOpen(t *testing.T) {
	opened := time.Unix(1_760_000_000, 0)
	for _, tc := range []struct {
		name   string
		behind int64
		age    time.Duration
		want   bool
	}{
		{"caught up, young", 0, 400 * time.Millisecond, false},
		{"caught up, of age", 0, 500 * time.Millisecond, true},
		{"behind, of age", 1, 500 * time.Millisecond, false},
		{"behind, almost too long", 1, 1999 * time.Millisecond, false},
		{"behind for too long", 1, 2 * time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &feedPartition{feed: &Feed{cfg: FeedConfig{}.withDefaults(Config{})}, loader: &aging{limit: 500 * time.Millisecond}, position: 10, opened: opened}
			if p.due(opened, 10) {
				t.Fatal("due when it was opened")
			}
			if got := p.due(opened.Add(tc.age), 10+tc.behind); got != tc.want {
				t.Errorf("due %v, want %v", got, tc.want)
			}
		})
	}
}
