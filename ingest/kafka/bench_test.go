package kafka

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/droplift/droplift/ingest/event"
)

// benchValue is as long as a checkout event.
var benchValue = bytes.Repeat([]byte("x"), 550)

// fill produces n records of 550 B for 10,000 players.
func fill(b *testing.B, cfg Config, n int) {
	b.Helper()
	p, err := NewProducer(cfg, ProducerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	keys := make([][]byte, 10_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "player-%08d", i)
	}
	batch := make([]event.Message, 0, 1000)
	for i := range n {
		batch = append(batch, event.Message{Kind: event.KindPlayer, Key: keys[i%len(keys)], Value: benchValue})
		if len(batch) == cap(batch) || i == n-1 {
			if err := p.Produce(b.Context(), batch...); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func benchCluster(b *testing.B) Config {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	cfg := Config{Brokers: c.ListenAddrs(), Compression: "none"}
	ensure(b, cfg, Topics{Groups: []string{testGroup}})
	return cfg
}

// sampler publishes and logs one 200 B row for every tenth record.
type sampler struct {
	n, committed int
	out          []event.Message
	done         *atomic.Int64
}

func (s *sampler) Process(r event.Record) event.Outcome {
	s.n++
	if s.n%10 == 0 {
		s.out = append(s.out, event.Message{Kind: event.KindFeatures, Key: r.Key, Value: r.Value[:200]})
	}
	return event.Accepted
}
func (s *sampler) Flush(int64, []bool) []event.Message { return s.out }
func (s *sampler) Changes(each func(string, []byte)) {
	for _, m := range s.out {
		each(string(m.Key), m.Value)
	}
}
func (s *sampler) Commit() {
	s.done.Add(int64(s.n - s.committed))
	s.committed, s.out = s.n, nil
}
func (s *sampler) Rollback()                     { s.n, s.out = s.committed, nil }
func (s *sampler) Restore(string, []byte) error  { return nil }
func (s *sampler) Snapshot(func(string, []byte)) {}

// BenchmarkStage is Kafka → trivial task → Kafka, transactional, with 10 % of the
// records published and logged. One op is one record.
func BenchmarkStage(b *testing.B) {
	cfg := benchCluster(b)
	fill(b, cfg, b.N)
	var done atomic.Int64
	s, err := NewStage(cfg, StageConfig{Group: testGroup, Inputs: []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout},
		NewTask: func(int32) Task { return &sampler{done: &done} }})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.SetBytes(int64(len(benchValue)))
	b.ResetTimer()
	go func() { ended <- s.Run(ctx) }()
	for done.Load() < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// sink is a Loader that forgets.
type sink struct {
	rows int
	done *atomic.Int64
}

func (s *sink) Add(event.Record) *event.Error { s.rows++; return nil }
func (s *sink) Due(time.Time) bool            { return s.rows >= 20_000 }
func (s *sink) Seal(int64, int64, bool) Batch { b := forgotten{s.done, s.rows}; s.rows = 0; return b }
func (s *sink) Discard()                      { s.rows = 0 }

type forgotten struct {
	done *atomic.Int64
	rows int
}

func (b forgotten) Write(context.Context) (bool, error)                  { b.done.Add(int64(b.rows)); return false, nil }
func (b forgotten) WriteHalves(context.Context) ([]event.Refusal, error) { return nil, nil }
func (b forgotten) Close()                                               {}

// BenchmarkFeed is Kafka → a store that costs nothing, journalled. One op is one record.
func BenchmarkFeed(b *testing.B) {
	cfg := benchCluster(b)
	fill(b, cfg, b.N)
	var done atomic.Int64
	f, err := NewFeed(cfg, FeedConfig{Group: testLoaders, Kinds: []event.Kind{event.KindPlayer},
		NewLoader: func(event.Kind, int32) (Loader, error) { return &sink{done: &done}, nil }})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.SetBytes(int64(len(benchValue)))
	b.ResetTimer()
	go func() { ended <- f.Run(ctx) }()
	for done.Load() < int64(b.N)-4*20_000 { // what is left in the loaders is not due
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "records/s")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRestore is a change-log read back into tasks. One op is one key.
func BenchmarkRestore(b *testing.B) {
	cfg := benchCluster(b)
	p, err := NewProducer(cfg, ProducerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	p.topics[event.KindPlayer] = cfg.Changelog(testGroup) // keys and values of the right size in the right topic
	for i := range b.N {
		if err := p.Produce(b.Context(), event.Message{Kind: event.KindPlayer, Key: fmt.Appendf(nil, "player-%08d", i), Value: benchValue}); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	p.Close()
	adm, err := NewAdmin(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer adm.Close()
	st, err := NewStage(cfg, StageConfig{Group: testGroup, Inputs: []event.Kind{event.KindPlayer}, NewTask: func(int32) Task { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	ss := &session{Stage: st, adm: adm.adm, tasks: map[int32]*owned{}}
	var tasks []*owned
	for n := range int32(4) {
		t := newOwned(n, &keeper{m: map[string][]byte{}}, st.cfg.Inputs)
		t.inputs[0].committed = 0
		tasks = append(tasks, t)
	}
	b.SetBytes(int64(len(benchValue)))
	b.ResetTimer()
	if err := ss.restore(b.Context(), tasks); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// keeper restores into a map, as processors.Table does.
type keeper struct {
	sampler
	m map[string][]byte
}

func (k *keeper) Restore(key string, value []byte) error {
	k.m[key] = bytes.Clone(value)
	return nil
}

func BenchmarkPartitionOf(b *testing.B) {
	key := []byte("p86dae43babfe52fd")
	b.ReportAllocs()
	for b.Loop() {
		PartitionOf(key, 4)
	}
}
