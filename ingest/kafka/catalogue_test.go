package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// dropEntry is a valid catalogue entry.
func dropEntry(id string, version uint32) event.Message {
	ev := event.Event{
		Kind: event.KindDrop,
		Envelope: event.Envelope{
			ID: uuid.Must(uuid.NewV7()), Type: event.Catalogue, EventTime: 1_700_000_000_000, SampleRate: 1, SchemaVersion: 1,
			DropID: id, CreatorID: "c1",
		},
		Drop: event.Drop{Name: fmt.Sprintf("%s v%d", id, version), Version: version, StartMS: 1_700_000_000_000, EndMS: 1_700_086_400_000,
			Splits: []event.Split{{Version: 1, Shares: []event.Share{{Participant: "c1", BPS: 9000}, {Participant: "platform", BPS: 1000}}}}},
	}
	return event.Message{Kind: event.KindDrop, Key: []byte(id), Value: event.Append(nil, &ev)}
}

func publish(t testing.TB, cfg Config, messages ...event.Message) {
	t.Helper()
	p, err := NewProducer(cfg, ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Produce(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func startCatalogue(t testing.TB, cfg Config, cc CatalogueConfig) (c *Catalogue, n *network, stop func()) {
	t.Helper()
	n = &network{}
	cfg.Dial = n.dial
	cc.Registerer = prometheus.NewRegistry()
	c, err := NewCatalogue(cfg, cc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Error("catalogue did not stop")
			}
		})
	}
	t.Cleanup(stop)
	return c, n, stop
}

func nameOf(d *event.Drop) string {
	if d == nil {
		return ""
	}
	return d.Name
}

func testCatalogueReadsWhole(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	deleted := dropEntry("gone", 1)
	deleted.Value = nil
	publish(t, cfg,
		dropEntry("a", 1), dropEntry("b", 7), dropEntry("a", 2), dropEntry("b", 6), dropEntry("gone", 1), deleted,
		event.Message{Kind: event.KindDrop, Key: []byte("a"), Value: []byte(`{"drop_id":"a","name"`)},
		event.Message{Kind: event.KindDrop, Key: []byte("nameless"), Value: []byte(`{}`)},
	)
	c, _, _ := startCatalogue(t, cfg, CatalogueConfig{})
	eventually(t, 20*time.Second, "ready", func() bool { return c.Ready() == nil })
	for id, want := range map[string]string{"a": "a v2", "b": "b v7", "gone": "", "nameless": "", "never": ""} {
		if got := nameOf(c.Drop(id, 0)); got != want {
			t.Errorf("drop %s is %q, want %q", id, got, want)
		}
	}
	if n := metric(t, c.invalid.WithLabelValues(event.ReasonMalformed.String())); n != 1 {
		t.Errorf("%v malformed entries counted, 1 sent", n)
	}
	if n := metric(t, c.entries); n != 2 {
		t.Errorf("%v drops, want 2", n)
	}
	if n := metric(t, c.waits); n != 0 {
		t.Errorf("%v lookups of long ago waited", n)
	}
	d := c.Drop("a", 0)
	if len(d.Splits) != 1 || len(d.Splits[0].Shares) != 2 {
		t.Errorf("the shares are %+v", d.Splits)
	}
}

// Whoever has seen a record stamped after a drop was published finds that drop,
// at once and from many goroutines.
func testCatalogueRefreshesOnMiss(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	c, _, _ := startCatalogue(t, cfg, CatalogueConfig{})
	for round := range 30 {
		id := fmt.Sprint("drop-", round)
		publish(t, cfg, dropEntry(id, 1))
		asOf := time.Now().UnixMilli()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if c.Drop(id, asOf) == nil {
					t.Errorf("%s was published and not found", id)
				}
				if d := c.Drop(id+"-never", asOf); d != nil {
					t.Errorf("%s was never published and is %v", id, d)
				}
			})
		}
		group.Wait()
	}
	// Everything up to asOf has been read now: a miss needs no other reading.
	asOf := time.Now().UnixMilli()
	c.Drop("never", asOf)
	before := metric(t, c.waits)
	for range 100 {
		c.Drop("never", asOf)
		c.Drop("neither", asOf-1)
	}
	if after := metric(t, c.waits); after != before {
		t.Errorf("%v lookups waited for what was known", after-before)
	}
}

// A stamp from the future must not pass for knowledge of the present: after such a
// lookup, one of now still has to wait for brokers.
func TestCatalogueDistrustsFutureStamps(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{})
	c, n, _ := startCatalogue(t, cfg, CatalogueConfig{})
	if c.Drop("a", time.Now().Add(24*time.Hour).UnixMilli()) != nil {
		t.Fatal("found before it was published")
	}
	n.cut()
	publish(t, cfg, dropEntry("a", 1))
	found := make(chan *event.Drop, 1)
	go func() { found <- c.Drop("a", time.Now().UnixMilli()) }()
	eventually(t, 20*time.Second, "the lookup waits", func() bool { return metric(t, c.waits) == 2 })
	n.heal()
	select {
	case d := <-found:
		if d == nil {
			t.Error("a drop published after a lookup from the future is not found")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for ever")
	}
}

// Without brokers an unknown drop is not "none": the lookup waits, and ends with Run.
func TestCatalogueWaitsForBrokers(t *testing.T) {
	t.Parallel()
	_, cfg := newCluster(t)
	ensure(t, cfg, Topics{})
	c, n, stop := startCatalogue(t, cfg, CatalogueConfig{})
	eventually(t, 20*time.Second, "ready", func() bool { return c.Ready() == nil })
	n.cut()
	publish(t, cfg, dropEntry("a", 1))
	found := make(chan *event.Drop, 1)
	asOf := time.Now().UnixMilli()
	go func() { found <- c.Drop("a", asOf) }()
	eventually(t, 20*time.Second, "the lookup waits", func() bool { return metric(t, c.waits) == 1 })
	n.heal()
	select {
	case d := <-found:
		if d == nil {
			t.Error("it answered none instead of waiting")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for ever")
	}
	n.cut()
	go func() { found <- c.Drop("b", time.Now().UnixMilli()+1) }()
	eventually(t, 20*time.Second, "the lookup waits", func() bool { return metric(t, c.waits) == 2 })
	stop()
	select {
	case d := <-found:
		if d != nil {
			t.Errorf("found %v", d)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it outlives Run")
	}
}

// The topic may be compacted and transactional: positions still reach the end.
func testCatalogueOverMarkers(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	cl, err := cfg.newClient("test", kgo.TransactionalID("catalogue"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		m := dropEntry(fmt.Sprint("t", i), 1)
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: cfg.Topic(event.KindDrop), Key: m.Key, Value: m.Value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	c, _, _ := startCatalogue(t, cfg, CatalogueConfig{})
	now := time.Now().UnixMilli()
	if c.Drop("t0", now) == nil {
		t.Error("the committed entry is not found")
	}
	if c.Drop("t1", now) != nil {
		t.Error("the aborted entry is found")
	}
}
