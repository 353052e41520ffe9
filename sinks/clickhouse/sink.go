package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

// SinkConfig is what the loaders of one process share.
type SinkConfig struct {
	Flush FlushPolicy
	// Threads that the server has for the sink, as ServerThreads tells; default 2. Twice as many inserts run at once, as far as there
	// are connections: that keeps the threads busy while the next batches are sent. Flush.InsertTime defaults to 15 % of them.
	Threads int
	// Patience is how long inserts into a table may keep failing before Ready says so; default 30 s.
	Patience time.Duration
	// MaxRefused is how many records of one batch the server may refuse; default 1,000. Where it refuses more, something is
	// wrong with the table rather than with them.
	MaxRefused int
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Validate fills in the defaults and reports every problem at once.
func (cfg *SinkConfig) Validate() error {
	if cfg.Threads == 0 {
		cfg.Threads = 2
	}
	if cfg.Flush.InsertTime == 0 {
		cfg.Flush.InsertTime = 0.15 * float64(max(cfg.Threads, 0))
	}
	if cfg.Patience == 0 {
		cfg.Patience = 30 * time.Second
	}
	if cfg.MaxRefused == 0 {
		cfg.MaxRefused = 1000
	}
	var negative error
	if cfg.Threads < 0 || cfg.Patience < 0 || cfg.MaxRefused < 0 {
		negative = errors.New("threads, patience and refused records must not be negative")
	}
	return errors.Join(cfg.Flush.Validate(), negative)
}

// Sink makes the loaders of one process. Its methods may be called from any goroutine.
type Sink struct {
	client  *Client
	flush   FlushPolicy
	metrics *metrics
	pace    *pace
	refused int // at most, of one batch
	// inserts holds one token per insert under way.
	inserts chan struct{}
	// underway counts the batches that are sealed and neither closed nor failing.
	underway atomic.Int64
	turns    turns
	troubles troubles
	// spare holds emptied tables by kind. Loaders share them: a topic-partition needs several while much comes in, and then one.
	spare [256]sync.Pool
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
	return &Sink{
		client: client, flush: cfg.Flush, metrics: m, pace: newPace(cfg.Flush, m), refused: cfg.MaxRefused,
		inserts: make(chan struct{}, min(2*cfg.Threads, client.cfg.MaxConns)), troubles: troubles{patience: cfg.Patience},
	}, nil
}

// Loader makes the loader of one topic-partition, which one goroutine then owns.
// An error means that no table stores that topic.
func (s *Sink) Loader(topic string, partition int32) (*Loader, error) {
	kind := event.KindOf(topic)
	if !slices.Contains(storedKinds[:], kind) {
		return nil, fmt.Errorf("no table stores topic %q", topic)
	}
	l := newLoader(s, kind, topic, partition)
	l.flow = s.pace.flow(l.name, partition, partials(kind))
	return l, nil
}

// Ready is nil unless inserts into a table have failed for longer than Patience; the error says since when and why.
func (s *Sink) Ready() error { return s.troubles.ready(time.Now()) }

// room is for how many more batches there are inserts, and one more, which is planned meanwhile.
func (s *Sink) room() int { return cap(s.inserts) + 1 - int(s.underway.Load()) }

// columns takes an empty table of kind.
func (s *Sink) columns(kind event.Kind) *table {
	if t, ok := s.spare[kind].Get().(*table); ok {
		return t
	}
	return newTable(kind)
}

func (s *Sink) recycle(kind event.Kind, t *table) {
	t.reset()
	s.spare[kind].Put(t)
}

// ServerThreads is how many threads the server gives a query: its cores, unless somebody decided otherwise.
func (c *Client) ServerThreads(ctx context.Context) (int, error) {
	var n uint64
	if err := c.conn.QueryRow(ctx, "SELECT toUInt64(getSetting('max_threads'))").Scan(&n); err != nil {
		return 0, explain(err)
	}
	return int(n), nil
}

// troubles are the insertions that keep failing.
type troubles struct {
	patience time.Duration

	mu  sync.Mutex
	all map[*insertion]trouble
}

type trouble struct {
	table string
	since time.Time
	err   error // the last one
}

func (ts *troubles) add(i *insertion, table string, err error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.all == nil {
		ts.all = map[*insertion]trouble{}
	}
	t, known := ts.all[i]
	if !known {
		t.table, t.since = table, time.Now()
	}
	t.err = err
	ts.all[i] = t
}

func (ts *troubles) end(i *insertion) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, i)
}

// ready reports the oldest trouble of each table that has lasted too long.
func (ts *troubles) ready(now time.Time) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	oldest := map[string]trouble{}
	for _, t := range ts.all {
		if o, known := oldest[t.table]; now.Sub(t.since) > ts.patience && (!known || t.since.Before(o.since)) {
			oldest[t.table] = t
		}
	}
	var all []error
	for table, t := range oldest {
		all = append(all, fmt.Errorf("inserts into %s have failed for %v: %w", table, now.Sub(t.since).Round(time.Second), t.err))
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(all...)
}
