package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// ProducerConfig tunes a Producer. The zero value is for throughput.
type ProducerConfig struct {
	// Name labels the producer's metrics. Default "producer".
	Name string
	// Linger is how long a batch waits to fill. Default 5 ms.
	Linger time.Duration
	// MaxBufferedBytes bounds what is waiting to be acknowledged; Produce blocks beyond it. Default 64 MiB.
	MaxBufferedBytes int
}

func (c ProducerConfig) withDefaults() ProducerConfig {
	if c.Name == "" {
		c.Name = "producer"
	}
	if c.Linger == 0 {
		c.Linger = 5 * time.Millisecond
	}
	if c.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = 64 << 20
	}
	return c
}

// Producer is an idempotent producer: what the broker acknowledges is in the log
// once, in the order in which one goroutine produced it within a key. It partitions by
// murmur2 of the key, as Kafka's own clients do, so that theirs and ours
// co-locate. Safe for concurrent use.
type Producer struct {
	cl     *kgo.Client
	topics [256]string

	mu  sync.Mutex
	err error // first failure since the last Flush
}

// NewProducer connects lazily.
func NewProducer(cfg Config, pc ProducerConfig) (*Producer, error) {
	pc = pc.withDefaults()
	cl, err := cfg.newClient(pc.Name,
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(pc.Linger),
		kgo.MaxBufferedBytes(pc.MaxBufferedBytes),
		kgo.MaxBufferedRecords(1<<20), // bytes are the bound
		kgo.ProducerBatchMaxBytes(maxRawBytes),
	)
	if err != nil {
		return nil, err
	}
	return &Producer{cl: cl, topics: topicNames(cfg)}, nil
}

func topicNames(cfg Config) (names [256]string) {
	for _, k := range event.Kinds() {
		names[k] = cfg.Topic(k)
	}
	return names
}

// Produce hands messages over. It blocks while too much is unacknowledged, until
// ctx is done. The messages' bytes must stay unchanged until Flush returns. The
// error is the first failure of any message since the last Flush: what came
// before may be lost, what is handed over now is not sent.
func (p *Producer) Produce(ctx context.Context, messages ...event.Message) error {
	if err := p.failure(); err != nil {
		return err
	}
	records := make([]kgo.Record, len(messages))
	for i, m := range messages {
		r := &records[i]
		r.Topic, r.Key, r.Value = p.topics[m.Kind], m.Key, m.Value
		if r.Topic == "" {
			return fmt.Errorf("kafka: produce: kind %d has no topic", m.Kind)
		}
		p.cl.Produce(ctx, r, p.acknowledged)
	}
	return p.failure()
}

func (p *Producer) acknowledged(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = fmt.Errorf("kafka: produce to %s: %w", r.Topic, err)
	}
}

func (p *Producer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Flush waits until everything produced is acknowledged or failed, and returns
// the first failure since the last Flush, which it forgets.
func (p *Producer) Flush(ctx context.Context) error {
	if err := p.cl.Flush(ctx); err != nil {
		return fmt.Errorf("kafka: flush: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.err
	p.err = nil
	return err
}

// Close fails what is not acknowledged yet and ends the connections. Flush first.
func (p *Producer) Close() { p.cl.Close() }
