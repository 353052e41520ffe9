package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

// newCluster starts a fake broker that forgets silent members and open
// transactions quickly.
func newCluster(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, Config) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"group.consumer.session.timeout.ms": "2000", "group.consumer.heartbeat.interval.ms": "100"})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, Config{Brokers: c.ListenAddrs(), Logger: testLogger(t)}
}

func testLogger(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return nil
	}
	level := slog.LevelInfo
	if os.Getenv("KAFKA_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

func ensure(t testing.TB, cfg Config, topics Topics) {
	t.Helper()
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	if _, err := adm.EnsureTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
}

// rng is seeded from DROPLIFT_SEED, or anew, and the seed is printed.
func rng(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("DROPLIFT_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("DROPLIFT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// eventually polls a condition until a deadline.
func eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// produce sends numbered records to kind, keyed by number modulo keys.
func produce(t testing.TB, cfg Config, kind event.Kind, from, to, keys int) {
	t.Helper()
	p, err := NewProducer(cfg, ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := from; i < to; i++ {
		m := event.Message{Kind: kind, Key: fmt.Appendf(nil, "k%d", i%keys), Value: fmt.Appendf(nil, "%d", i)}
		if err := p.Produce(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// contents reads a topic's committed records, in offset order within a partition. It waits for the transactions in it to be
// decided: the broker says that it has committed before the markers are in the log.
func contents(t testing.TB, cfg Config, topic string) map[int32][]event.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	eventually(t, 30*time.Second, "everything in "+topic+" is decided", func() bool {
		high, err := offsetsOf(adm.adm.ListEndOffsets(ctx, topic))
		if err != nil {
			t.Fatal(err)
		}
		stable, err := adm.EndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		for p, offset := range high[topic] {
			if stable[topic][p] < offset {
				return false
			}
		}
		return true
	})
	out := map[int32][]event.Record{}
	if err := Read(ctx, cfg, ReadConfig{Topic: topic}, func(p int32, r event.Record) { out[p] = append(out[p], r) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// network lets a test take a process off the network, or lose answers.
type network struct {
	mu    sync.Mutex
	conns map[*wire]struct{}
	dead  bool
	// deaf connections fail their next read: the request was sent, its answer never arrives.
	deaf atomic.Bool
	// sent is a func(kmsg.Key) that is told of requests before they are.
	sent atomic.Value
}

type wire struct {
	net.Conn
	n *network
}

var errNetwork = errors.New("test: network is down")

func (n *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	n.mu.Lock()
	dead := n.dead
	n.mu.Unlock()
	if dead {
		return nil, errNetwork
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	w := &wire{c, n}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		c.Close()
		return nil, errNetwork
	}
	if n.conns == nil {
		n.conns = map[*wire]struct{}{}
	}
	n.conns[w] = struct{}{}
	return w, nil
}

func (w *wire) Read(b []byte) (int, error) {
	got, err := w.Conn.Read(b)
	if w.n.deaf.Load() {
		w.Conn.Close()
		return 0, errNetwork
	}
	return got, err
}

func (w *wire) Write(b []byte) (int, error) {
	// A request is written at once: its length, then its key.
	if sent, ok := w.n.sent.Load().(func(kmsg.Key)); ok && len(b) >= 6 {
		sent(kmsg.Key(binary.BigEndian.Uint16(b[4:])))
	}
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.n.mu.Lock()
	delete(w.n.conns, w)
	w.n.mu.Unlock()
	return w.Conn.Close()
}

// cut ends all connections; heal allows new ones.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for c := range n.conns {
		c.Conn.Close()
	}
}

func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = false
}

// tally is a toy Task with staged state: it counts and sums per key, publishes every
// record once as a Velocity message and as a routed Estimate, and each key's count as Features.
type tally struct {
	committed map[string]count
	staged    map[string]count
	out       []event.Message
	processed *atomic.Int64
	caughtUp  []bool
	flushes   int
	idle      func(t *tally) []event.Message // what an idle flush publishes
	slow      func()
}

type count struct{ n, sum uint64 }

func newTally() *tally { return &tally{committed: map[string]count{}, staged: map[string]count{}} }

func (c count) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.n), c.sum)
}

func countOf(b []byte) count {
	return count{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (t *tally) Process(r event.Record) event.Outcome {
	if t.slow != nil {
		t.slow()
	}
	if t.processed != nil {
		t.processed.Add(1)
	}
	v, err := strconv.ParseUint(string(r.Value), 10, 64)
	if err != nil {
		t.out = append(t.out, event.Message{Kind: event.KindDeadLetter, Key: r.Key, Value: r.Value})
		return event.DeadLettered
	}
	c, ok := t.staged[string(r.Key)]
	if !ok {
		c = t.committed[string(r.Key)]
	}
	c.n, c.sum = c.n+1, c.sum+v
	t.staged[string(r.Key)] = c
	t.out = append(t.out, event.Message{Kind: event.KindVelocity, Key: r.Key, Value: r.Value})
	// A part of one of five drops: the drop places it, whatever key it is of.
	t.out = append(t.out, event.Message{Kind: event.KindEstimate, Key: fmt.Appendf(nil, "drop\\|%d|%s", v%5, r.Key), Value: r.Value})
	return event.Accepted
}

func (t *tally) Flush(_ int64, caughtUp []bool) []event.Message {
	t.flushes++
	t.caughtUp = slices.Clone(caughtUp)
	if t.idle != nil && len(t.out) == 0 {
		t.out = t.idle(t)
	}
	if len(t.out) > 0 {
		t.out = append(t.out, event.Message{Kind: event.KindProgress, Key: []byte("told"), Value: []byte("1")})
	}
	for k, c := range t.staged {
		t.out = append(t.out, event.Message{Kind: event.KindFeatures, Key: []byte(k), Value: c.bytes()})
	}
	return t.out
}

func (t *tally) Changes(each func(key string, value []byte)) {
	for k, c := range t.staged {
		each(k, c.bytes())
	}
}

func (t *tally) Commit() {
	for k, c := range t.staged {
		t.committed[k] = c
	}
	t.Rollback()
}

func (t *tally) Rollback() {
	clear(t.staged)
	t.out = nil
}

func (t *tally) Restore(key string, value []byte) error {
	if value != nil && len(value) != 16 {
		return fmt.Errorf("key %q: %d bytes", key, len(value))
	}
	if value == nil {
		delete(t.committed, key)
		return nil
	}
	t.committed[strings.Clone(key)] = countOf(value)
	return nil
}

func (t *tally) Snapshot(each func(key string, value []byte)) {
	for k, c := range t.committed {
		each(k, c.bytes())
	}
}

// checkExactlyOnce compares the outputs and the change-log with the numbers
// from … to−1 having been counted once each.
func checkExactlyOnce(t testing.TB, cfg Config, group string, total, keys int) {
	t.Helper()
	seen := make([]int, total)
	for _, rs := range contents(t, cfg, cfg.Topic(event.KindVelocity)) {
		for _, r := range rs {
			n, err := strconv.Atoi(string(r.Value))
			if err != nil || n < 0 || n >= total {
				t.Fatalf("output %q was never an input", r.Value)
			}
			seen[n]++
		}
	}
	var lost, doubled []int
	for n, times := range seen {
		switch {
		case times == 0:
			lost = append(lost, n)
		case times > 1:
			doubled = append(doubled, n)
		}
	}
	if len(lost)+len(doubled) > 0 {
		t.Errorf("of %d records %d are lost (%v…), %d doubled (%v…)", total, len(lost), lost[:min(5, len(lost))], len(doubled), doubled[:min(5, len(doubled))])
	}
	checkState(t, cfg, group, total, keys)
}

// checkState compares the change-log and the newest published rows with a recount.
func checkState(t testing.TB, cfg Config, group string, total, keys int) {
	t.Helper()
	want := map[string]count{}
	for n := range total {
		k := fmt.Sprintf("k%d", n%keys)
		c := want[k]
		want[k] = count{c.n + 1, c.sum + uint64(n)}
	}
	for _, topic := range []string{cfg.Changelog(group), cfg.Topic(event.KindFeatures)} {
		got := map[string]count{}
		for _, rs := range contents(t, cfg, topic) {
			for _, r := range rs {
				got[string(r.Key)] = countOf(r.Value)
			}
		}
		for k, c := range want {
			if got[k] != c {
				t.Errorf("%s: key %s is %v, recounted %v", topic, k, got[k], c)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d keys, recounted %d", topic, len(got), len(want))
		}
	}
}

// caughtUp says whether the group has committed everything of kinds.
func groupDone(t testing.TB, cfg Config, group string, kinds ...event.Kind) bool {
	t.Helper()
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lags, err := adm.LagOn(ctx, group, cfg.Topics(kinds...)...)
	return err == nil && !slices.ContainsFunc(lags, func(l Lag) bool { return l.Records() > 0 })
}

// member is one running Stage.
type member struct {
	net    *network
	cancel context.CancelFunc
	done   chan error
	stage  *Stage
}

func startStage(t testing.TB, cfg Config, sc StageConfig) *member {
	t.Helper()
	m := &member{net: &network{}, done: make(chan error, 1)}
	cfg.Dial = m.net.dial
	sc.SessionTimeout = orDefault(sc.SessionTimeout, 2*time.Second)
	sc.TransactionTimeout = orDefault(sc.TransactionTimeout, time.Second)
	sc.CommitInterval = orDefault(sc.CommitInterval, 10*time.Millisecond)
	sc.FlushInterval = orDefault(sc.FlushInterval, 50*time.Millisecond)
	s, err := NewStage(cfg, sc)
	if err != nil {
		t.Fatal(err)
	}
	m.stage = s
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() { m.done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-m.done:
		case <-time.After(20 * time.Second):
			t.Error("stage did not stop")
		}
	})
	return m
}

// stop ends the member in order.
func (m *member) stop(t testing.TB) {
	t.Helper()
	m.cancel()
	select {
	case err := <-m.done:
		if err != nil {
			t.Errorf("stage: %v", err)
		}
		m.done <- nil
	case <-time.After(20 * time.Second):
		_ = pprof.Lookup("goroutine").WriteTo(t.Output(), 1)
		t.Fatal("stage did not stop")
	}
}

// crash takes the member off the network, as a power cut would, and lets it go.
func (m *member) crash() {
	m.net.cut()
	m.cancel()
}

// metric is the value of one counter or gauge.
func metric(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}
