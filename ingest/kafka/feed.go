package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// Loader fills an external store from one topic-partition. The feed calls it
// from one goroutine. The open batch is what was added since the last Seal or Discard.
type Loader interface {
	// Add takes one record into the open batch. Its bytes may be kept until the batch is closed. A record that the store
	// could never hold is left out, and refused says why, until the next Add: the feed dead-letters it, unless it is of a
	// raw kind, whose every record the processors have judged and dead-lettered by the same decoder.
	Add(r event.Record) (refused *event.Error)
	// Due says whether the open batch should be written now, by its size or its age.
	Due(now time.Time) bool
	// Seal ends the open batch, which covers the offsets first to last, and returns it. repeated says that a
	// journalled plan names the range, so that all or a part of it may be stored already.
	Seal(first, last int64, repeated bool) Batch
	// Discard empties the open batch: somebody else will write it.
	Discard()
}

// Batch is one sealed batch, written from a goroutine of its own. Several of one
// Loader may be written at once, and end in any order.
type Batch interface {
	// Write stores the batch under the token (topic, partition, first, last), which the store must recognise when the same
	// range is written again. It retries by itself until it has succeeded or ctx is done. refused says that the store refuses the
	// data, so that nothing, or not all, of it is stored; err is then what the store said. Any other error is
	// permanent and ends the feed.
	Write(ctx context.Context) (refused bool, err error)
	// WriteHalves stores a refused batch in parts whose ranges and tokens depend on its range alone, down to single
	// records, and returns those that the store refuses, in offset order. The whole is never written again. It may be repeated.
	WriteHalves(ctx context.Context) ([]event.Refusal, error)
	// Close gives up the batch's memory. It is called once, after the last write.
	Close()
}

// FeedConfig describes a feed. Group, Kinds and NewLoader are required.
type FeedConfig struct {
	Group string
	Kinds []event.Kind
	// NewLoader is called when a topic-partition is assigned; its error is permanent.
	NewLoader func(kind event.Kind, partition int32) (Loader, error)
	// Instance, a name by CheckInstance, makes this process a static member. Restarted under it within SessionTimeout it gets its partitions back
	// and nobody else's move. In return Run does not leave the group when it stops: what the member had waits for
	// it, unwritten, until then. A process that loses its name to another ends with an error. Default: a new member at every start.
	// It needs GroupClassic.
	Instance string
	// InFlight is how many batches of one topic-partition may be on their way into the store. Default 2. What bounds
	// memory is 1 + InFlight batches a topic-partition, of which Ahead counts the most that come together.
	InFlight int
	// Ahead bounds, over all topic-partitions, the batches in flight beyond the first of theirs. Default 4.
	Ahead int
	// MaxBufferedBytes of one topic-partition before its fetching pauses; batches are apart. Default 8 MiB.
	MaxBufferedBytes int64
	// BacklogAge is how long a batch may wait to fill, whatever its Loader says of its age, while the log holds more
	// records for it. Default 2 s.
	BacklogAge time.Duration
	// RevokeTimeout is how long writes in flight may go on when its partition is taken away. Default 15 s, or half of SessionTimeout if that is less; under SessionTimeout.
	RevokeTimeout time.Duration
	// ShutdownTimeout is how long Run may take to write what is buffered and leave the group. Default 15 s.
	ShutdownTimeout time.Duration
	// LagInterval is how often end offsets are asked for. Default 5 s.
	LagInterval time.Duration
	// SessionTimeout is when the group gives a silent member's partitions away, if its protocol is classic. Default 45 s.
	SessionTimeout time.Duration
	// Registerer gets the feed's metrics. Default: Config.Registerer.
	Registerer prometheus.Registerer
	// Logger. Default: Config.Logger.
	Logger *slog.Logger
}

// maxInFlight keeps a plan well within what brokers take as metadata: 4 KiB by default.
const maxInFlight = 64

func (c FeedConfig) withDefaults(cfg Config) FeedConfig {
	c.InFlight = orDefault(c.InFlight, 2)
	c.Ahead = orDefault(c.Ahead, 4)
	c.MaxBufferedBytes = orDefault(c.MaxBufferedBytes, 8<<20)
	c.BacklogAge = orDefault(c.BacklogAge, 2*time.Second)
	c.SessionTimeout = orDefault(c.SessionTimeout, 45*time.Second)
	c.RevokeTimeout = orDefault(c.RevokeTimeout, min(15*time.Second, c.SessionTimeout/2))
	c.ShutdownTimeout = orDefault(c.ShutdownTimeout, 15*time.Second)
	c.LagInterval = orDefault(c.LagInterval, 5*time.Second)
	if c.Registerer == nil {
		c.Registerer = cfg.Registerer
	}
	if c.Logger == nil {
		c.Logger = cfg.logger()
	}
	c.Logger = c.Logger.With("feed", c.Group)
	return c
}

// Validate reports every problem at once.
func (c FeedConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("feed %q: "+format, append([]any{c.Group}, args...)...))
	}
	if c.Group == "" {
		bad("no group")
	}
	checkKinds("kind", c.Kinds, bad)
	if c.NewLoader == nil {
		bad("no loader")
	}
	if c.InFlight < 0 || c.InFlight > maxInFlight || c.Ahead < 0 {
		bad("batches in flight: %d and %d ahead are not between 0 and %d", c.InFlight, c.Ahead, maxInFlight)
	}
	if c.MaxBufferedBytes < 0 {
		bad("max buffered bytes %d is negative", c.MaxBufferedBytes)
	}
	if c.BacklogAge < 0 || c.RevokeTimeout < 0 || c.ShutdownTimeout < 0 || c.LagInterval < 0 || c.SessionTimeout < 0 {
		bad("a time is negative")
	}
	if c.Instance != "" {
		if err := CheckInstance(c.Instance); err != nil {
			bad("instance %w", err)
		}
	}
	if r, s := c.RevokeTimeout, orDefault(c.SessionTimeout, 45*time.Second); r >= s {
		bad("revoke timeout %v is not under session timeout %v", r, s)
	}
	return errors.Join(errs...)
}

// Feed consumes into an external store so that every record is stored once,
// given that the store recognises a repeated token. One batch is one contiguous
// offset range of one topic-partition, and several are in flight at once:
//
//	1  commit offset=first, metadata "v2 last=<last>,<last>…"   the plan: repeatable from here on
//	2  Batch.Write, all of them at once                         token: the same on every attempt
//	3  commit offset=last+1 of the contiguous prefix that is stored, together with the next plan
//
// Whoever is assigned the partition after a crash between 1 and 3 reads the plan
// and writes exactly those ranges again before anything else.
//
// A batch that the store refuses is stored in halves, down to the records that it
// refuses, and those go to the dead-letter topic, class poison, before the range is
// released: land and commitLetters tell how each of them gets there exactly once.
type Feed struct {
	conf    Config
	cfg     FeedConfig
	log     *slog.Logger
	kinds   map[string]event.Kind
	metrics *feedMetrics

	cl    *kgo.Client
	adm   *kadm.Client
	watch *monitor

	// ahead holds one token per batch in flight beyond the first of its partition.
	ahead chan struct{}

	mu         sync.Mutex
	partitions map[topicPartition]*feedPartition
	waiting    string
	failed     error // first permanent failure
	fail       context.CancelFunc
}

type topicPartition struct {
	topic     string
	partition int32
}

// NewFeed validates and registers metrics; nothing connects before Run.
func NewFeed(conf Config, cfg FeedConfig) (*Feed, error) {
	if err := errors.Join(conf.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	if cfg.Instance != "" && conf.GroupProtocol == GroupConsumer {
		return nil, fmt.Errorf("feed %q: instance %q needs the classic group protocol", cfg.Group, cfg.Instance)
	}
	cfg = cfg.withDefaults(conf)
	conf.Logger = cfg.Logger
	f := &Feed{conf: conf, cfg: cfg, log: cfg.Logger, kinds: map[string]event.Kind{}, partitions: map[topicPartition]*feedPartition{}, waiting: "not started", ahead: make(chan struct{}, cfg.Ahead)}
	for _, k := range cfg.Kinds {
		f.kinds[conf.Topic(k)] = k
	}
	var err error
	f.metrics, err = newFeedMetrics(cfg.Group, cfg.Registerer)
	return f, err
}

// Run feeds until ctx is done, then writes what is buffered, leaves the group
// and returns nil. It returns a Loader's permanent error. Call it once.
func (f *Feed) Run(ctx context.Context) error {
	running, fail := context.WithCancel(ctx)
	defer fail()
	f.fail = fail
	defer f.setWaiting("stopped")
	f.setWaiting("joining the group")
	topics := make([]string, 0, len(f.kinds))
	for t := range f.kinds {
		topics = append(topics, t)
	}
	living, die := context.WithCancel(context.WithoutCancel(ctx))
	defer die()
	f.mu.Lock() // the first assignment may arrive at once, and needs what is set below
	cl, err := f.conf.newClient("feed-"+f.cfg.Group, append(append(f.membership().options(), f.balancing()...),
		kgo.ConsumeTopics(topics...),
		kgo.WithContext(living),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // lag zero means zero, also behind a transaction's marker
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.DisableAutoCommit(),
		// Between a poll and the hand-over of its records no partition may change hands: else
		//
		//	poll returns 100–199 of p;  p is revoked and assigned again, its new worker starts at 50;
		//	100–199 are handed to the new worker, and 50–99 are lost.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, p map[string][]int32) { f.assigned(cl, p) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { f.revoked(p, f.cfg.RevokeTimeout) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { f.revoked(p, 0) }),
	)...)
	if err != nil {
		f.mu.Unlock()
		return err
	}
	f.cl, f.adm = cl, kadm.NewClient(cl)
	f.watch = &monitor{adm: f.adm, topics: topics, every: f.cfg.LagInterval, log: f.log, asked: f.reportLag}
	f.mu.Unlock()
	var watching sync.WaitGroup
	watching.Go(func() { f.watch.run(running) })

	f.poll(running)

	// Two steps: write what is here until the deadline, then stop in the middle. What is left is repeated by the next owner.
	left := f.stopAll(f.cfg.ShutdownTimeout)
	watching.Wait()
	leave(context.WithoutCancel(ctx), cl, die, f.log)
	cl.CloseAllowingRebalance()
	f.stopAll(0) // workers of an assignment that arrived while stopping
	if left > 0 {
		f.log.Warn("stopped with unwritten batches, which will be repeated", "partitions", left)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// balancing is who distributes partitions, and how: each on its own, staying where it is if it can, and the others not
// interrupted.
//
// What a Feed rests on holds under both protocols: a partition goes to another member only after revoked has returned, and a
// member that its group has given up has lost everything, in the client's eyes too, before it is a member again. So whoever
// may stamp a commit with the newest member epoch still owns what it commits.
func (f *Feed) balancing() []kgo.Opt {
	if f.conf.GroupProtocol == GroupConsumer {
		// The client takes its sticky balancer for the wish to be balanced by the brokers' uniform assignor.
		return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
	}
	return []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}
}

// poll hands records over until ctx is done. It never blocks on a partition, so
// that the member stays in the group however slow the store is.
func (f *Feed) poll(ctx context.Context) {
	defer f.cl.AllowRebalance()
	for ctx.Err() == nil {
		fetches := f.cl.PollRecords(ctx, 20_000)
		failed := false
		for _, fe := range fetches.Errors() {
			if errors.Is(fe.Err, context.Canceled) {
				continue
			}
			failed = true
			if err := f.membership().ended(fe.Err); err != nil {
				f.permanent(err)
				continue
			}
			f.log.Warn("fetch failed; retrying", "topic", fe.Topic, "partition", fe.Partition, "error", fe.Err)
		}
		f.mu.Lock()
		fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
			if p := f.partitions[topicPartition{tp.Topic, tp.Partition}]; p != nil && len(tp.Records) > 0 {
				p.push(tp.Records, tp.LogStartOffset, tp.LastStableOffset)
			}
		})
		f.mu.Unlock()
		f.cl.AllowRebalance()
		if failed && wait(ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}

// assigned starts the partitions' workers. They are paused until they have read
// their plan.
func (f *Feed) assigned(cl *kgo.Client, partitions map[string][]int32) {
	cl.PauseFetchPartitions(partitions)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = ""
	f.metrics.ready.Set(1)
	for topic, numbers := range partitions {
		for _, n := range numbers {
			tp := topicPartition{topic, n}
			p := newFeedPartition(f, tp)
			f.partitions[tp] = p
			go p.run()
		}
	}
}

// revoked stops workers: at once, or after their writes in flight are done and released, for
// at most grace. It returns when they have stopped, so nothing of
// theirs can be committed once the partition has gone.
func (f *Feed) revoked(partitions map[string][]int32, grace time.Duration) {
	var leaving []*feedPartition
	f.mu.Lock()
	for topic, numbers := range partitions {
		for _, n := range numbers {
			tp := topicPartition{topic, n}
			if p := f.partitions[tp]; p != nil {
				leaving = append(leaving, p)
				delete(f.partitions, tp)
				f.metrics.lag.DeleteLabelValues(topic, strconv.Itoa(int(n)))
			}
		}
	}
	f.mu.Unlock()
	stopPartitions(leaving, (*feedPartition).release, grace)
	for _, p := range leaving { // a last write may have set them until now
		f.metrics.buffered.DeleteLabelValues(p.tp.topic, strconv.Itoa(int(p.tp.partition)))
		f.metrics.newest.DeleteLabelValues(p.tp.topic, strconv.Itoa(int(p.tp.partition)))
	}
}

// stopAll drains every worker and says how many did not get through. They stay
// known until they are done, for a rebalance may come in between:
//
//	draining p writes its last batch    the group takes p away
//	                                    revoked finds p and waits for it
//	p commits, and is done              revoked returns; p goes to another member
func (f *Feed) stopAll(grace time.Duration) (left int) {
	f.mu.Lock()
	all := slices.Collect(maps.Values(f.partitions))
	f.mu.Unlock()
	stopPartitions(all, (*feedPartition).drain, grace)
	for _, p := range all {
		if p.unwritten {
			left++
		}
	}
	return left
}

func stopPartitions(ps []*feedPartition, ask func(*feedPartition), grace time.Duration) {
	timer := time.AfterFunc(grace, func() {
		for _, p := range ps {
			p.cancel()
		}
	})
	defer timer.Stop()
	for _, p := range ps {
		ask(p)
	}
	for _, p := range ps {
		<-p.done
	}
}

// permanent records a failure that ends the feed.
func (f *Feed) permanent(err error) {
	f.mu.Lock()
	if f.failed == nil {
		f.failed = err
	}
	f.mu.Unlock()
	f.fail()
}

// Ready says what the feed waits for, nil when it is feeding.
func (f *Feed) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting != "" {
		return fmt.Errorf("feed %s: %s", f.cfg.Group, f.waiting)
	}
	if err := f.watch.reachable(); err != nil {
		return fmt.Errorf("feed %s: %w", f.cfg.Group, err)
	}
	return nil
}

func (f *Feed) setWaiting(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = what
	f.metrics.ready.Set(0)
}

// reportLag runs whenever the end offsets are known anew: polling may wait for records for hours, while the
// last of them are written, or while a slow store pauses fetching and the lag grows.
func (f *Feed) reportLag() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for tp, p := range f.partitions {
		if end, at := f.watch.end(tp.topic, tp.partition); !at.IsZero() {
			f.metrics.lag.WithLabelValues(tp.topic, strconv.Itoa(int(tp.partition))).Set(float64(max(0, end-p.released.Load())))
		}
	}
}

// feedMetrics are one feed's, all labelled feed=group.
type feedMetrics struct {
	records  *prometheus.CounterVec // topic
	batches  *prometheus.CounterVec // topic
	repeats  *prometheus.CounterVec // topic
	halved   *prometheus.CounterVec // topic
	letters  *prometheus.CounterVec // topic, class
	rows     prometheus.Histogram
	write    prometheus.Histogram
	retries  *prometheus.CounterVec // class
	lag      *prometheus.GaugeVec   // topic, partition
	buffered *prometheus.GaugeVec   // topic, partition
	pauses   *prometheus.CounterVec // topic
	lost     *prometheus.CounterVec // topic
	last     *prometheus.GaugeVec   // topic
	ready    prometheus.Gauge
	newest   *prometheus.GaugeVec     // topic, partition
	age      *prometheus.HistogramVec // topic
	time     *timeLedger
}

func newFeedMetrics(group string, reg prometheus.Registerer) (*feedMetrics, error) {
	r := registry{prefix: "droplift_feed_", labels: prometheus.Labels{"feed": group}, reg: reg}
	m := &feedMetrics{
		records:  r.counters("records_total", "Records written.", "topic"),
		batches:  r.counters("batches_total", "Batches written.", "topic"),
		repeats:  r.counters("repeated_batches_total", "Batches that a journalled plan made this member write again.", "topic"),
		halved:   r.counters("halved_batches_total", "Batches that the store refused, and that were stored in halves.", "topic"),
		letters:  r.counters("dead_letters_total", "Records that the store refused, or that cannot be decoded though the processors published them.", "topic", "class"),
		rows:     r.histogram("batch_records", "Records of a batch.", prometheus.ExponentialBuckets(1, 4, 11)),
		write:    r.histogram("write_seconds", "Time to write a batch, the loader's retries included.", prometheus.ExponentialBuckets(0.001, 2, 16)),
		retries:  r.counters("commit_retries_total", "Offset commits tried again.", "cause"),
		lag:      r.gauges("lag_records", "Offsets between what is released and the end of the log.", "topic", "partition"),
		buffered: r.gauges("buffered_bytes", "Fetched bytes waiting for the loader.", "topic", "partition"),
		pauses:   r.counters("pauses_total", "Times that fetching paused because the store is slow.", "topic"),
		lost:     r.counters("lost_offsets_total", "Offsets that retention removed before they were written.", "topic"),
		last:     r.gauges("last_write_timestamp_seconds", "Unix time of the last written batch.", "topic"),
		ready:    r.gauge("ready", "1 while the feed has joined its group."),
		newest: r.gauges("written_record_timestamp_seconds", "Kafka timestamp (Unix seconds) of the last written record; while there is lag, time() minus it is how stale the store is.",
			"topic", "partition"),
		age: r.histograms("record_age_seconds", "Age by Kafka timestamp of a batch's oldest record once it is written.", ageBuckets, "topic"),
		time: newTimeLedger(&r, "Where the time of a topic's workers went, one a partition: idle or fetch (waiting for records without or with lag), "+
			"decode, plan (committing offsets), insert, slot (waiting for other inserts), rebalance, backoff (after a failure).", true, feedActivities),
	}
	return m, r.err()
}
