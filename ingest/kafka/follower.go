package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// FollowConfig says what a Follower follows.
type FollowConfig struct {
	Topic string
	// Partitions to follow. Default all that the topic has when Run begins.
	Partitions []int32
	// From is the first offset wanted, per partition. Default: the start of the log.
	From map[int32]int64
	// CheckEvery is how often the ends of the log are asked for, beside what comes with records. Default 1 s.
	CheckEvery time.Duration
	// Name of the client in metrics and logs. Default "follower".
	Name string
}

// Followed is the next of one partition.
type Followed struct {
	Partition int32
	// Records that were committed, in offset order; none when only Next or End has moved. Their bytes may be kept.
	Records []event.Record
	// Next is the offset to go on from after them: a From of another Follower.
	Next int64
	// End is the offset after the last committed record as far as is known, −1 while brokers do not answer.
	End int64
}

// CaughtUp says whether everything committed has been seen, as of the last look at the end.
func (f Followed) CaughtUp() bool { return f.End >= 0 && f.Next >= f.End }

// GoneError says that a log no longer holds what was to be read next: it was made anew, or cut. Who follows it has to
// forget what it knows and begin at the start.
type GoneError struct {
	Topic     string
	Partition int32
	// Offset that was wanted; the log holds [Start, End).
	Offset, Start, End int64
}

// Error names the range.
func (e *GoneError) Error() string {
	return fmt.Sprintf("kafka: follow %s/%d: offset %d is not in the log, which holds [%d, %d)", e.Topic, e.Partition, e.Offset, e.Start, e.End)
}

// Follower is the read-committed tail of a topic, or of some of its partitions, without a consumer group: any number of
// Followers each see every record.
type Follower struct {
	conf Config
	cfg  FollowConfig
	kind event.Kind
	// at is where to go on and where the log ended, per partition; Run's alone.
	at map[int32]Followed
}

// NewFollower checks the configuration; nothing connects before Run.
func NewFollower(conf Config, cfg FollowConfig) (*Follower, error) {
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	var errs []error
	if cfg.Topic == "" {
		errs = append(errs, errors.New("follower: no topic"))
	}
	if cfg.CheckEvery < 0 {
		errs = append(errs, fmt.Errorf("follower: checking every %v", cfg.CheckEvery))
	}
	for p, offset := range cfg.From {
		if offset < 0 {
			errs = append(errs, fmt.Errorf("follower: offset %d of partition %d is negative", offset, p))
		}
	}
	cfg.CheckEvery, cfg.Name = orDefault(cfg.CheckEvery, time.Second), cmp.Or(cfg.Name, "follower")
	return &Follower{conf: conf, cfg: cfg, kind: conf.Kind(cfg.Topic)}, errors.Join(errs...)
}

// Run calls each, from one goroutine, with everything committed from the offsets wanted on, and whenever an end moves or
// contact is lost, until ctx is done, which is no error. It goes on after failures of brokers where it was. An error of each ends it
// and is returned as it is; so does a *GoneError, and a partition that the topic does not have.
func (f *Follower) Run(ctx context.Context, each func(Followed) error) error {
	f.at = nil
	retry := backoff{first: 100 * time.Millisecond, limit: 5 * time.Second}
	for {
		err := f.follow(ctx, &retry, each)
		var end *endError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &end):
			return end.err
		}
		if retry.attempt == 0 {
			f.conf.logger().Warn("a topic cannot be followed; trying again", "topic", f.cfg.Topic, "error", err)
		}
		if err := f.lost(each); err != nil {
			return err
		}
		if wait(ctx, retry.next()) != nil {
			return nil
		}
	}
}

// endError is what another connection does not cure.
type endError struct{ err error }

func (e *endError) Error() string { return e.err.Error() }

// lost tells that the ends of the log are not known any more.
func (f *Follower) lost(each func(Followed) error) error {
	for _, p := range slices.Sorted(maps.Keys(f.at)) {
		if err := f.tell(Followed{Partition: p, Next: f.at[p].Next, End: -1}, each); err != nil {
			return err
		}
	}
	return nil
}

// tell passes on what is new.
func (f *Follower) tell(next Followed, each func(Followed) error) error {
	if was, ok := f.at[next.Partition]; ok && len(next.Records) == 0 && was.Next == next.Next && was.End == next.End {
		return nil
	}
	if err := each(next); err != nil {
		return err
	}
	next.Records = nil
	f.at[next.Partition] = next
	return nil
}

// follow is one connection.
func (f *Follower) follow(ctx context.Context, retry *backoff, each func(Followed) error) error {
	cl, err := f.conf.newClient(f.cfg.Name,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The markers at the end of transactions are the only sign of having read past an aborted one.
		kgo.KeepControlRecords(),
		kgo.FetchMaxPartitionBytes(8<<20),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)
	if err != nil {
		return &endError{err}
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if err := f.begin(ctx, adm, each); err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for p, at := range f.at {
		from[p] = kgo.NewOffset().At(at.Next)
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{f.cfg.Topic: from})

	checking, stop := context.WithCancel(ctx)
	ends := make(chan map[int32]int64, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.check(checking, adm, ends)
	}()
	defer func() { stop(); <-done }()
	for {
		polling, cancel := context.WithTimeout(ctx, f.cfg.CheckEvery)
		fetches := cl.PollFetches(polling)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.take(fetches, each); err != nil {
			return err
		}
		select {
		case known := <-ends:
			if err := f.see(known, retry, each); err != nil {
				return err
			}
		default:
		}
	}
}

// begin finds out where the log starts and ends, and judges whether it holds what is wanted.
func (f *Follower) begin(ctx context.Context, adm *kadm.Client, each func(Followed) error) error {
	topic := f.cfg.Topic
	starts, err := offsetsOf(adm.ListStartOffsets(ctx, topic))
	if err != nil {
		return err
	}
	high, err := offsetsOf(adm.ListEndOffsets(ctx, topic))
	if err != nil {
		return err
	}
	committed, err := offsetsOf(adm.ListCommittedOffsets(ctx, topic))
	if err != nil {
		return err
	}
	partitions := f.cfg.Partitions
	if partitions == nil {
		partitions = slices.Sorted(maps.Keys(high[topic]))
	}
	first := f.at == nil
	if first {
		f.at = make(map[int32]Followed, len(partitions))
	}
	for _, p := range partitions {
		end, ok := high[topic][p]
		if !ok {
			return &endError{fmt.Errorf("kafka: follow: topic %s has no partition %d", topic, p)}
		}
		start := starts[topic][p]
		next, wanted := f.cfg.From[p]
		if was, ok := f.at[p]; ok {
			next, wanted = was.Next, true
		}
		if !wanted {
			next = start
		}
		if next < start || next > end {
			return &endError{&GoneError{Topic: topic, Partition: p, Offset: next, Start: start, End: end}}
		}
		if err := f.tell(Followed{Partition: p, Next: next, End: committed[topic][p]}, each); err != nil {
			return &endError{err}
		}
	}
	return nil
}

// check asks for the ends of the log until ctx is done; nil ends are unknown. Only the newest answer is kept.
func (f *Follower) check(ctx context.Context, adm *kadm.Client, ends chan map[int32]int64) {
	for wait(ctx, f.cfg.CheckEvery) == nil {
		asking, cancel := context.WithTimeout(ctx, 3*f.cfg.CheckEvery)
		known, err := offsetsOf(adm.ListCommittedOffsets(asking, f.cfg.Topic))
		cancel()
		if err != nil {
			known = nil
		}
		select {
		case <-ends:
		default:
		}
		ends <- known[f.cfg.Topic]
	}
}

// see takes in the answer to a check.
func (f *Follower) see(ends map[int32]int64, retry *backoff, each func(Followed) error) error {
	if ends != nil {
		retry.reset()
	}
	for _, p := range slices.Sorted(maps.Keys(f.at)) {
		at := Followed{Partition: p, Next: f.at[p].Next, End: -1}
		if end, ok := ends[p]; ok {
			at.End = max(end, f.at[p].End) // a fetch may have been answered after it
		}
		if err := f.tell(at, each); err != nil {
			return &endError{err}
		}
	}
	return nil
}

// take passes on what was fetched.
func (f *Follower) take(fetches kgo.Fetches, each func(Followed) error) error {
	for _, fe := range fetches.Errors() {
		if !errors.Is(fe.Err, context.DeadlineExceeded) && !errors.Is(fe.Err, context.Canceled) {
			return fmt.Errorf("kafka: follow %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
	}
	var failed error
	fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
		if failed != nil || len(tp.Records) == 0 {
			return
		}
		last := tp.Records[len(tp.Records)-1].Offset
		next := Followed{Partition: tp.Partition, Next: last + 1, End: max(tp.LastStableOffset, f.at[tp.Partition].End, last+1)}
		for _, r := range tp.Records {
			if !r.Attrs.IsControl() {
				next.Records = append(next.Records, recordOf(f.kind, r))
			}
		}
		failed = f.tell(next, each)
	})
	if failed != nil {
		return &endError{failed}
	}
	return nil
}

// TopicID identifies a topic beyond its name: one that is deleted and made anew has another.
func (a *Admin) TopicID(ctx context.Context, topic string) (string, error) {
	details, err := a.adm.ListTopics(ctx, topic)
	if err == nil {
		err = details[topic].Err
	}
	if err != nil {
		return "", fmt.Errorf("kafka: topic %s: %w", topic, err)
	}
	return details[topic].ID.String(), nil
}
