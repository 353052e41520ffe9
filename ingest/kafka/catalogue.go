package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// CatalogueConfig tunes a Catalogue. The zero value is usable.
type CatalogueConfig struct {
	// ClockSkew is by how much this machine's clock and the brokers' may differ. A miss is
	// believed at once when the topic was read to its end this much after the time asked for. Default 5 s.
	ClockSkew time.Duration
	// Registerer gets the catalogue's metrics. Default: Config.Registerer.
	Registerer prometheus.Registerer
	// Logger. Default: Config.Logger.
	Logger *slog.Logger
}

// Catalogue is the drop topic in memory: read whole, then followed. The newest
// version of a drop wins; among equal versions, the later record. An entry that cannot be decoded
// is counted and logged by its offset, and the last good one stays: every instance reads the whole
// topic at every start, so dead-lettering it here would do so again and again.
// Its bytes stay in the topic until compaction. Safe for concurrent use.
type Catalogue struct {
	conf  Config
	cfg   CatalogueConfig
	log   *slog.Logger
	topic string

	entries prometheus.Gauge
	invalid *prometheus.CounterVec
	reads   prometheus.Counter
	waits   prometheus.Counter

	mu    sync.Mutex
	drops map[string]*event.Drop
	// covered: everything published up to this broker time (Unix ms) has been read.
	covered int64
	// newest is the latest broker time anyone asked for; it has passed at the broker.
	newest  int64
	read    bool
	refresh *refresh // the one that has not begun yet
	ended   bool
	asked   chan struct{}
}

// refresh is one reading to the end. It begins after everyone who holds it asked.
type refresh struct {
	done   chan struct{}
	before []*refresh // that failed and wait for this one
}

// NewCatalogue registers metrics; nothing connects before Run.
func NewCatalogue(conf Config, cfg CatalogueConfig) (*Catalogue, error) {
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	if cfg.ClockSkew < 0 {
		return nil, fmt.Errorf("catalogue: clock skew %v is negative", cfg.ClockSkew)
	}
	cfg.ClockSkew = orDefault(cfg.ClockSkew, 5*time.Second)
	if cfg.Registerer == nil {
		cfg.Registerer = conf.Registerer
	}
	if cfg.Logger == nil {
		cfg.Logger = conf.logger()
	}
	conf.Logger = cfg.Logger
	r := registry{prefix: "droplift_catalogue_", reg: cfg.Registerer}
	c := &Catalogue{
		conf: conf, cfg: cfg, log: cfg.Logger, topic: conf.Topic(event.KindDrop), drops: map[string]*event.Drop{}, asked: make(chan struct{}, 1),
		entries: r.gauge("drops", "Drops known."),
		invalid: r.counters("invalid_total", "Entries that cannot be used, by class.", "class"),
		reads:   r.counter("reads_total", "Times that the topic was read to its end because a drop was not known."),
		waits:   r.counter("waits_total", "Lookups that waited for such a reading."),
	}
	return c, r.err()
}

// Run follows the topic until ctx is done. It must outlive the stages that look
// drops up: once it has returned, Drop answers from memory alone.
func (c *Catalogue) Run(ctx context.Context) error {
	defer c.end()
	retry := backoff{first: 100 * time.Millisecond, limit: 5 * time.Second}
	for {
		err := c.follow(ctx, &retry)
		if ctx.Err() != nil {
			return nil
		}
		if retry.attempt == 0 {
			c.log.Error("the catalogue cannot be followed; retrying, lookups of unknown drops wait", "error", err)
		}
		if wait(ctx, retry.next()) != nil {
			return nil
		}
	}
}

// Ready says what the catalogue waits for, nil once the topic has been read whole.
func (c *Catalogue) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read {
		return errors.New("catalogue: the drop topic has not been read yet")
	}
	return nil
}

// Drop returns the newest entry, or nil when everything published up to the
// broker time asOf (Unix ms) holds none. It may wait for the topic to be read
// that far, as long as brokers take, or until Run ends. The entry is shared: do not change it.
func (c *Catalogue) Drop(id string, asOf int64) *event.Drop {
	c.mu.Lock()
	if asOf <= time.Now().Add(c.cfg.ClockSkew).UnixMilli() {
		c.newest = max(c.newest, asOf) // a stamp from the future says nothing about what has passed
	}
	d := c.drops[id]
	if d != nil || c.covered >= asOf || c.ended {
		c.mu.Unlock()
		return d
	}
	// A reading that begins from now on sees everything that was in the log when the caller's record
	// was. One that is under way may have looked at the end too early.
	if c.refresh == nil {
		c.refresh = &refresh{done: make(chan struct{})}
		select {
		case c.asked <- struct{}{}:
		default:
		}
	}
	r := c.refresh
	c.mu.Unlock()
	c.waits.Inc()
	<-r.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops[id]
}

func (c *Catalogue) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.refresh != nil {
		c.refresh.finish()
		c.refresh = nil
	}
}

// follow consumes from the start of the topic and serves the readings asked for.
func (c *Catalogue) follow(ctx context.Context, retry *backoff) error {
	cl, err := c.conf.newClient("catalogue",
		kgo.ConsumeTopics(c.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(500*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	f := &following{Catalogue: c, cl: cl, adm: kadm.NewClient(cl), positions: map[int32]int64{}}
	if err := f.readToEnd(ctx); err != nil {
		return err
	}
	retry.reset()
	for {
		polling, cancel := context.WithCancel(ctx)
		polled := make(chan kgo.Fetches, 1)
		go func() { polled <- cl.PollFetches(polling) }()
		var asked bool
		var fetches kgo.Fetches
		select {
		case fetches = <-polled:
		case <-c.asked:
			asked = true
			cancel()
			fetches = <-polled
		}
		cancel()
		if err := f.take(fetches); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !asked {
			continue
		}
		if err := f.readToEnd(ctx); err != nil {
			// The askers keep waiting: the next connection reads the topic whole, which serves them too.
			return err
		}
	}
}

// following is one connection's view: where it has read to.
type following struct {
	*Catalogue
	cl        *kgo.Client
	adm       *kadm.Client
	positions map[int32]int64
	decoder   event.Decoder
}

// readToEnd reads everything that is in the topic now, and lets go those who
// asked before the reading began.
func (f *following) readToEnd(ctx context.Context) error {
	c := f.Catalogue
	c.mu.Lock()
	r := c.refresh
	c.refresh = nil
	// What a broker stamped on a record that someone has seen lies in its past.
	covers := max(c.newest, time.Now().Add(-c.cfg.ClockSkew).UnixMilli())
	c.mu.Unlock()

	err := f.catchUp(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.hold(r)
		return err
	}
	c.covered = max(c.covered, covers)
	c.read = true
	c.reads.Inc()
	if r != nil {
		r.finish()
	}
	return nil
}

// hold puts a refresh back that did not happen. Those who asked in the meantime
// hold another one, which then serves both.
func (c *Catalogue) hold(r *refresh) {
	switch later := c.refresh; {
	case r == nil:
	case later == nil:
		c.refresh = r
	default:
		later.before = append(later.before, r)
	}
}

// finish lets go all who hold r.
func (r *refresh) finish() {
	close(r.done)
	for _, b := range r.before {
		b.finish()
	}
}

func (f *following) catchUp(ctx context.Context) error {
	// Up to the last stable offset: what is beyond is not published yet.
	ends, err := offsetsOf(f.adm.ListCommittedOffsets(ctx, f.topic))
	if err != nil {
		return err
	}
	starts, err := offsetsOf(f.adm.ListStartOffsets(ctx, f.topic))
	if err != nil {
		return err
	}
	for {
		behind := false
		for p, end := range ends[f.topic] {
			behind = behind || max(f.positions[p], starts[f.topic][p]) < end
		}
		if !behind {
			return nil
		}
		fetches := f.cl.PollFetches(ctx)
		if err := f.take(fetches); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// take applies fetched entries.
func (f *following) take(fetches kgo.Fetches) error {
	for _, fe := range fetches.Errors() {
		if !errors.Is(fe.Err, context.Canceled) {
			return fmt.Errorf("kafka: catalogue: %w", fe.Err)
		}
	}
	fetches.EachRecord(func(r *kgo.Record) {
		if !r.Attrs.IsControl() {
			f.apply(r)
		}
		f.positions[r.Partition] = r.Offset + 1
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries.Set(float64(len(f.drops)))
	return nil
}

func (f *following) apply(r *kgo.Record) {
	if r.Value == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.drops, string(r.Key))
		return
	}
	var ev event.Event // its slices are kept, so never reused
	if err := f.decoder.Decode(event.KindDrop, r.Value, &ev); err != nil {
		f.reject(r, err.Reason.String(), err.Field)
		return
	}
	if ev.DropID == "" {
		f.reject(r, event.ReasonMissingField.String(), "drop_id")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.drops[ev.DropID]; old == nil || ev.Drop.Version >= old.Version {
		d := ev.Drop
		f.drops[ev.DropID] = &d
	}
}

func (f *following) reject(r *kgo.Record, class, field string) {
	f.invalid.WithLabelValues(class).Inc()
	f.log.Error("a catalogue entry cannot be used; the last good one stays", "partition", r.Partition, "offset", r.Offset, "class", class, "field", field)
}
