package clickhouse

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

// SinkConfig is what the loaders of one process share.
type SinkConfig struct {
	Flush FlushPolicy
	// MaxInserts bounds the batches being written at once, over all loaders; default 4. More than the client's
	// connections would only wait for one.
	MaxInserts int
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Validate fills in the defaults and reports every problem at once.
func (cfg *SinkConfig) Validate() error {
	if cfg.MaxInserts == 0 {
		cfg.MaxInserts = 4
	}
	var negative error
	if cfg.MaxInserts < 0 {
		negative = errors.New("inserts at once must not be negative")
	}
	return errors.Join(cfg.Flush.Validate(), negative)
}

// Sink makes the loaders of one process. Its methods may be called from any goroutine.
type Sink struct {
	client  *Client
	flush   FlushPolicy
	metrics *metrics
	// inserts holds one token per batch being written.
	inserts chan struct{}
}

// NewSink makes a sink that writes with client.
func NewSink(client *Client, cfg SinkConfig) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Sink{client: client, flush: cfg.Flush, metrics: m, inserts: make(chan struct{}, cfg.MaxInserts)}, nil
}

// Loader makes the loader of one topic-partition, which one goroutine then owns.
// An error means that no table stores that topic.
func (s *Sink) Loader(topic string, partition int32) (*Loader, error) {
	t := newTable(event.KindOf(topic))
	if t == nil {
		return nil, fmt.Errorf("no table stores topic %q", topic)
	}
	return newLoader(s, t, topic, partition), nil
}
