package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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
	// hanging is the token of a batch that the store does not answer for.
	hanging atomic.Value
	// refuses says which records the store takes for poison.
	refuses func(value string) bool
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
	token := b.token()
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

// hang makes the store silent about one token; all others, and that one later, are answered.
func (w *warehouse) hang(token string) { w.hanging.Store(token) }

func (b batch) token() string {
	return fmt.Sprintf("%s:%d:%d-%d", b.tp.topic, b.tp.partition, b.first, b.last)
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

// check compares the store with the log, row by row, and the dead letters with what the store refuses.
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
	letters := deadLetters(t, cfg)
	for _, k := range kinds {
		for p, rs := range contents(t, cfg, cfg.Topic(k)) {
			tp := topicPartition{cfg.Topic(k), p}
			var want []row
			for _, r := range rs {
				if w.refuses == nil || !w.refuses(string(r.Value)) {
					want = append(want, row{r.Offset, string(r.Value)})
					continue
				}
				at := place{k.Topic(), p, r.Offset}
				if l := letters[at]; len(l) != 1 || l[0].Class != event.ReasonPoison || l[0].Field != errPoison.Error() || string(l[0].Value) != string(r.Value) || string(l[0].Key) != string(r.Key) {
					t.Errorf("%v is refused and has the dead letters %+v, want one", at, l)
				}
				delete(letters, at)
			}
			got := have[tp]
			slices.SortFunc(got, func(a, b row) int { return cmp.Compare(a.offset, b.offset) })
			if !slices.Equal(got, want) {
				t.Errorf("%v: the store has %d rows, want %d", tp, len(got), len(want))
			}
		}
	}
	for at := range letters {
		t.Errorf("%v is dead-lettered without need", at)
	}
}

// place is where the record of a dead letter stood.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// deadLetters are the committed ones.
func deadLetters(t testing.TB, cfg Config) map[place][]event.DeadLetter {
	t.Helper()
	letters := map[place][]event.DeadLetter{}
	var decoder event.Decoder
	for _, rs := range contents(t, cfg, cfg.Topic(event.KindDeadLetter)) {
		for _, r := range rs {
			var l event.DeadLetter
			if err := decoder.DeadLetter(r.Value, &l); err != nil {
				t.Fatalf("dead letter at %d: %v: %s", r.Offset, err, r.Value)
			}
			at := place{l.Topic, l.Partition, l.Offset}
			letters[at] = append(letters[at], l)
		}
	}
	return letters
}

// shelf is a Loader into a warehouse.
type shelf struct {
	w     *warehouse
	tp    topicPartition
	rows  []row
	begun time.Time
	limit int
	// sealed, if not nil, hears of every batch before it is sent.
	sealed func(s *shelf)
	// before and after surround every insert, of the whole or a part; an error from them is the write's.
	before, after func(ctx context.Context) error
}

func (s *shelf) Add(r event.Record) *event.Error {
	if len(s.rows) == 0 {
		s.begun = time.Now()
	}
	s.rows = append(s.rows, row{r.Offset, string(r.Value)})
	return nil
}

func (s *shelf) Due(now time.Time) bool {
	return len(s.rows) >= s.limit || len(s.rows) > 0 && now.Sub(s.begun) > 30*time.Millisecond
}

func (s *shelf) Seal(first, last int64, _ bool) Batch {
	c := &crate{shelf: s, batch: batch{s.tp, first, last, s.rows}}
	s.rows = nil
	if s.sealed != nil {
		s.sealed(s)
	}
	return c
}

func (s *shelf) Discard() { s.rows = nil }

// crate is a shelf's sealed batch.
type crate struct {
	shelf *shelf
	batch
}

var errPoison = errors.New("violates a constraint")

func (c *crate) Write(ctx context.Context) (refused bool, err error) {
	err = c.insert(ctx, c.batch)
	return errors.Is(err, errPoison), err
}

func (c *crate) WriteHalves(ctx context.Context) (refused []event.Refusal, err error) {
	parts := c.halves()
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		if len(part.rows) == 0 {
			continue
		}
		err := c.insert(ctx, part)
		switch {
		case err == nil:
		case !errors.Is(err, errPoison):
			return nil, err
		case len(part.rows) == 1:
			refused = append(refused, event.Refusal{Offset: part.rows[0].offset, Reason: event.ReasonPoison, Field: err.Error()})
		default:
			parts = append(part.halves(), parts...)
		}
	}
	return refused, nil
}

func (b batch) halves() []batch {
	if b.first == b.last {
		return []batch{b}
	}
	middle := b.first + (b.last-b.first)/2
	cut := slices.IndexFunc(b.rows, func(r row) bool { return r.offset > middle })
	if cut < 0 {
		cut = len(b.rows)
	}
	return []batch{{b.tp, b.first, middle, b.rows[:cut]}, {b.tp, middle + 1, b.last, b.rows[cut:]}}
}

func (c *crate) insert(ctx context.Context, b batch) error {
	s := c.shelf
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return err
		}
	}
	if s.w.hanging.Load() == b.token() {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.w.refuses != nil && slices.ContainsFunc(b.rows, func(r row) bool { return s.w.refuses(r.value) }) {
		return errPoison
	}
	s.w.insert(b)
	if s.after != nil {
		return s.after(ctx)
	}
	return nil
}

func (c *crate) Close() {}

func shelves(cfg Config, w *warehouse, limit int) FeedConfig {
	return FeedConfig{
		Group: testLoaders,
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
		return groupDone(t, cfg, testLoaders, event.KindPlayer, event.KindCheckout)
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
	if _, byBrokers := balanced[cfg.GroupID(testLoaders)]; byBrokers != (cfg.GroupProtocol == GroupConsumer) {
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
	if !groupDone(t, cfg, testLoaders, event.KindPlayer) {
		t.Error("what was written is not released")
	}
}

// patient is a shelf whose batch is never due.
type patient struct {
	*shelf
	added *atomic.Int64
}

func (p patient) Add(r event.Record) *event.Error { p.added.Add(1); return p.shelf.Add(r) }
func (p patient) Due(_ time.Time) bool            { return false }

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
			hang := func(ctx context.Context) error {
				inWrite <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}
			fc := shelves(cfg, w, 64)
			fc.InFlight = 1
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
			lags, err := adm.Lag(t.Context(), testLoaders)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(lags, func(l Lag) bool { return l.Topic == cfg.Topic(event.KindPlayer) })
			if i < 0 || lags[i].Committed != 0 || lags[i].Metadata != "v2 last=63" {
				t.Fatalf("the journal says %+v", lags)
			}
			next := startFeed(t, cfg, shelves(cfg, w, 7))
			eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
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

// Several batches were in flight when the member died, and not the first of them had got through: nothing is released,
// and all of them are repeated with their ranges, even if fewer may be in flight now.
func testFeedRepeatsEveryPlannedBatch(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	produce(t, cfg, event.KindPlayer, 0, 35, 10)
	w := newWarehouse()
	fc := shelves(cfg, w, 10)
	fc.InFlight = 3
	fc.ShutdownTimeout = time.Millisecond
	w.hang(cfg.Topic(event.KindPlayer) + ":0:0-9")
	m := startFeed(t, cfg, fc)
	eventually(t, 20*time.Second, "the batches behind the first are stored", func() bool { return w.rows() == 20 })
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	w.hang("")
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	lags, err := adm.Lag(t.Context(), testLoaders)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(lags, func(l Lag) bool { return l.Topic == cfg.Topic(event.KindPlayer) })
	if i < 0 || lags[i].Committed != 0 || lags[i].Metadata != "v2 last=9,19,29" {
		t.Fatalf("the journal says %+v", lags)
	}
	next := shelves(cfg, w, 7)
	next.InFlight = 2
	heir := startFeed(t, cfg, next)
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
	if err := heir.stop(t); err != nil {
		t.Error(err)
	}
	w.check(t, cfg, event.KindPlayer)
	if w.repeats != 2 {
		t.Errorf("the store saw %d repeats, want 2", w.repeats)
	}
}

// A store that refuses records gets all the others, and each refused one is dead-lettered once, wherever the member dies.
func testFeedDeadLettersPoison(t *testing.T, k server) {
	for _, at := range append([]Step{""}, append(RefusalSteps(), FeedWritten, FeedReleased)...) {
		t.Run("dies at "+string(at), func(t *testing.T) {
			t.Parallel()
			cfg := k.config(t).Config
			ensure(t, cfg, Topics{Partitions: 2})
			produce(t, cfg, event.KindPlayer, 0, 400, 37)
			w := newWarehouse()
			w.refuses = func(value string) bool { return value == "7" || value == "8" || value == "250" || value == "399" }
			fc := shelves(cfg, w, 32)
			fc.Kinds = fc.Kinds[:1]
			fc.ShutdownTimeout = 100 * time.Millisecond
			var m *feeder
			started := make(chan struct{})
			var once sync.Once
			died := make(chan struct{})
			dying := cfg
			dying.OnStep = func(s Step) {
				if s == at {
					once.Do(func() {
						<-started
						m.net.cut()
						m.cancel()
						close(died)
					})
				}
			}
			m = startFeed(t, dying, fc)
			close(started)
			if at != "" {
				select {
				case <-died:
				case <-time.After(20 * time.Second):
					t.Fatal("the step was never taken")
				}
				if err := m.stop(t); err != nil {
					t.Error(err)
				}
				m = startFeed(t, cfg, fc)
			}
			eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
			if err := m.stop(t); err != nil {
				t.Error(err)
			}
			w.check(t, cfg, event.KindPlayer)
		})
	}
}

// The outcome of the transaction that holds dead letters may stay unknown to the member; the letters are there once all the same.
func TestFeedDeadLettersOnceWhenTheBrokerIsVague(t *testing.T) {
	t.Parallel()
	for _, key := range []kmsg.Key{kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.AddOffsetsToTxn, kmsg.Produce, kmsg.InitProducerID} {
		t.Run(key.Name(), func(t *testing.T) {
			t.Parallel()
			c, cfg := newCluster(t)
			ensure(t, cfg, Topics{Partitions: 1})
			produce(t, cfg, event.KindPlayer, 0, 100, 10)
			w := newWarehouse()
			w.refuses = func(value string) bool { return value == "42" }
			for _, vague := range []*kerr.Error{kerr.UnknownServerError, kerr.RequestTimedOut} {
				c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: vague, Count: 1})
			}
			m := startFeed(t, cfg, shelves(cfg, w, 30))
			eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
			if err := m.stop(t); err != nil {
				t.Error(err)
			}
			w.check(t, cfg, event.KindPlayer)
		})
	}
}

// picky cannot decode odd numbers.
type picky struct {
	*shelf
	refusal event.Error
}

func (p *picky) Add(r event.Record) *event.Error {
	if n, _ := strconv.Atoi(string(r.Value)); n%2 == 1 {
		p.refusal = event.Error{Reason: event.ReasonMissingField, Field: "odd"}
		return &p.refusal
	}
	return p.shelf.Add(r)
}

// Due, since a batch may hold nothing else.
func (p *picky) Due(time.Time) bool { return true }

// What processors published and the loader cannot read is dead-lettered; a raw record is not, for the processors have done it.
func testFeedDeadLettersUndecodable(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	produce(t, cfg, event.KindPlayer, 0, 20, 3)
	produce(t, cfg, event.KindFeatures, 0, 20, 3)
	w := newWarehouse()
	fc := shelves(cfg, w, 6)
	fc.Kinds = []event.Kind{event.KindPlayer, event.KindFeatures}
	fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
		return &picky{shelf: &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 5}}, nil
	}
	m := startFeed(t, cfg, fc)
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer, event.KindFeatures) })
	if err := m.stop(t); err != nil {
		t.Error(err)
	}
	letters := deadLetters(t, cfg)
	for at, l := range letters {
		if at.topic != "features" || at.offset%2 == 0 || len(l) != 1 || l[0].Class != event.ReasonMissingField || l[0].Field != "odd" || l[0].Timestamp == 0 {
			t.Errorf("%v has the dead letters %+v", at, l)
		}
	}
	if len(letters) != 10 || w.rows() != 20 {
		t.Errorf("%d dead letters and %d rows, want 10 and 20", len(letters), w.rows())
	}
	if n := metric(t, m.feed.metrics.letters.WithLabelValues(cfg.Topic(event.KindFeatures), "missing_field")); n != 10 {
		t.Errorf("metric: %v dead letters", n)
	}
}

// Nothing could be said of a dead letter that the store refuses, so the feed stops.
func testFeedStopsAtRefusedDeadLetters(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	produce(t, cfg, event.KindDeadLetter, 0, 5, 3)
	w := newWarehouse()
	w.refuses = func(string) bool { return true }
	fc := shelves(cfg, w, 5)
	fc.Kinds = []event.Kind{event.KindDeadLetter}
	m := startFeed(t, cfg, fc)
	select {
	case err := <-m.done:
		m.done <- nil
		if !errors.Is(err, errPoison) || !strings.Contains(err.Error(), "dead letters") {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it went on")
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
			s.before = func(ctx context.Context) error {
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
	eventually(t, 20*time.Second, "the other partition goes on", func() bool { return groupDone(t, cfg, testLoaders, event.KindCheckout) })
	began := time.Now()
	eventually(t, 20*time.Second, "two session timeouts have passed", func() bool { return time.Since(began) > 2*fc.SessionTimeout })
	if _, after := m.feed.cl.GroupMetadata(); after != before {
		t.Errorf("the member fell out of its group: generation %d, was %d", after, before)
	}
	close(gate)
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
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
		return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 50, after: func(context.Context) error {
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
	eventually(t, 30*time.Second, "the heir has done everything", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
	zombie.net.heal()
	close(gate)
	eventually(t, 30*time.Second, "the zombie is back", func() bool { return zombie.feed.Ready() == nil && heir.feed.Ready() == nil })
	if !groupDone(t, cfg, testLoaders, event.KindPlayer) {
		t.Error("offsets went back")
	}
	produce(t, cfg, event.KindPlayer, 200, 300, 10)
	eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
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
		return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 50, before: func(context.Context) error {
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
	eventually(t, 30*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
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
	eventually(t, 20*time.Second, "everything released", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
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
	eventually(t, 20*time.Second, "lag is zero", func() bool { return groupDone(t, cfg, testLoaders, event.KindPlayer) })
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
	w.refuses = func(value string) bool { return len(value) == 4 && strings.HasSuffix(value, "77") }
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
		fc.InFlight = 3
		fc.NewLoader = func(k event.Kind, p int32) (Loader, error) {
			r := rand.New(rand.NewPCG(seed, uint64(k)<<8|uint64(p)))
			var mu sync.Mutex // several batches are in flight
			random := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			}
			trouble := func(ctx context.Context) error {
				if random(8) == 0 && !calm.Load() {
					<-ctx.Done() // a store that never answers
					return ctx.Err()
				}
				return nil
			}
			return &shelf{w: w, tp: topicPartition{cfg.Topic(k), p}, limit: 1 + random(80), before: trouble, after: trouble,
				sealed: func(s *shelf) { s.limit = 1 + random(80) }}, nil
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
		return groupDone(t, cfg, testLoaders, event.KindPlayer, event.KindCheckout)
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
				return &shelf{w: w, limit: 1, before: func(context.Context) error { return full }}, nil
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
		want     plan // nil: no plan
		written  string
		bad      bool
	}{
		{metadata: "", first: 5},
		{metadata: "v1 last=5", first: 5, want: plan{{5, 5, false}}, written: "v2 last=5"},
		{metadata: "v1 last=12345678901", first: 5, want: plan{{5, 12345678901, false}}, written: "v2 last=12345678901"},
		{metadata: "v2 last=5", first: 5, want: plan{{5, 5, false}}},
		{metadata: "v2 last=127,128,255", first: 0, want: plan{{0, 127, false}, {128, 128, false}, {129, 255, false}}},
		{metadata: "v2 last=127,255 halved=127", first: 0, want: plan{{0, 127, true}, {128, 255, false}}},
		{metadata: "v2 last=127,255 halved=127,255", first: 7, want: plan{{7, 127, true}, {128, 255, true}}},
		{metadata: "v1 last=4", first: 5, bad: true},
		{metadata: "v1 last=", first: 5, bad: true},
		{metadata: "v1 last=x", first: 5, bad: true},
		{metadata: "v1 last=5,6", first: 5, bad: true},
		{metadata: "v1 last=5 halved=5", first: 5, bad: true},
		{metadata: "v2 last=9,9", first: 5, bad: true},
		{metadata: "v2 last=9,8", first: 5, bad: true},
		{metadata: "v2 last=", first: 5, bad: true},
		{metadata: "v2 last=9,", first: 5, bad: true},
		{metadata: "v2 last=9 halved=8", first: 5, bad: true},
		{metadata: "v2 last=9 halved=9,9", first: 5, bad: true},
		{metadata: "v2 halved=9", first: 5, bad: true},
		{metadata: "v3 last=9", first: 5, bad: true},
		{metadata: "somebody else's", first: 5, bad: true},
	} {
		p, ok, err := parsePlan(c.metadata, c.first)
		if c.written == "" {
			c.written = c.metadata
		}
		switch {
		case c.bad:
			if err == nil {
				t.Errorf("%q at %d: accepted", c.metadata, c.first)
			}
		case err != nil || ok != (c.want != nil) || !slices.Equal(p, c.want):
			t.Errorf("%q at %d: %+v %v %v", c.metadata, c.first, p, ok, err)
		case p.String() != c.written:
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
