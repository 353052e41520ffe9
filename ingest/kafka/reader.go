package kafka

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
)

// ReadConfig bounds one read.
type ReadConfig struct {
	Topic string
	// Partitions to read. Default all.
	Partitions []int32
	// From is the first offset wanted, per partition. Default: the start of the log.
	From map[int32]int64
	// To is the offset to stop before, per partition. Default: the end of what is committed when Read is called.
	To map[int32]int64
}

// Read calls each with every committed record in the range, in offset order
// within a partition, and returns when the range is exhausted. Kind is set from
// the topic. The record's bytes may be kept.
func Read(ctx context.Context, cfg Config, rc ReadConfig, each func(partition int32, r event.Record)) error {
	adm, err := NewAdmin(cfg)
	if err != nil {
		return err
	}
	defer adm.Close()
	ends, err := adm.EndOffsets(ctx, rc.Topic)
	if err != nil {
		return err
	}
	starts, err := offsetsOf(adm.adm.ListStartOffsets(ctx, rc.Topic))
	if err != nil {
		return err
	}
	wanted := rc.Partitions
	if wanted == nil {
		for p := range ends[rc.Topic] {
			wanted = append(wanted, p)
		}
	}
	ranges := make(map[int32]offsets, len(wanted))
	for _, p := range wanted {
		end, ok := ends[rc.Topic][p]
		if !ok {
			return fmt.Errorf("kafka: read: topic %s has no partition %d", rc.Topic, p)
		}
		r := offsets{from: max(starts[rc.Topic][p], rc.From[p]), to: end}
		if to, ok := rc.To[p]; ok {
			r.to = min(r.to, to)
		}
		ranges[p] = r
	}
	kind := cfg.Kind(rc.Topic)
	return readRanges(ctx, cfg, reading{topic: rc.Topic, ranges: ranges, workers: 1, each: func(p int32, r *kgo.Record) error {
		each(p, recordOf(kind, r))
		return nil
	}})
}

func recordOf(kind event.Kind, r *kgo.Record) event.Record {
	return event.Record{Kind: kind, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
}

// Span is the half-open range of offsets [From, To).
type Span struct{ From, To int64 }

// ScanConfig bounds one Scan.
type ScanConfig struct {
	Topic string
	// Spans to read, per partition. The log must hold them: From at its start or above, To at its committed end or below.
	Spans map[int32]Span
	// Uncommitted also shows the records of aborted transactions.
	Uncommitted bool
}

// Scan calls each with every record in the spans, in offset order within a partition, until they are exhausted
// or each fails. Unlike Read it asks for no offsets. Kind is set from the topic. The record's bytes may be kept.
func Scan(ctx context.Context, cfg Config, sc ScanConfig, each func(partition int32, r event.Record) error) error {
	ranges := make(map[int32]offsets, len(sc.Spans))
	for p, span := range sc.Spans {
		ranges[p] = offsets{from: span.From, to: span.To}
	}
	kind := cfg.Kind(sc.Topic)
	var failed error // the partitions that were fetched together with the one that failed still come
	return readRanges(ctx, cfg, reading{topic: sc.Topic, ranges: ranges, workers: 1, uncommitted: sc.Uncommitted, each: func(p int32, r *kgo.Record) error {
		if failed == nil {
			failed = each(p, recordOf(kind, r))
		}
		return failed
	}})
}

// offsets is the half-open range [from, to).
type offsets struct{ from, to int64 }

// reading is one bounded read: each is called in offset order within a
// partition, and from up to workers goroutines for different ones. Its range
// may reach beyond the last stable offset; the read then waits for open transactions to end.
type reading struct {
	topic       string
	ranges      map[int32]offsets
	workers     int
	uncommitted bool // show aborted records too
	each        func(partition int32, r *kgo.Record) error
}

func readRanges(ctx context.Context, cfg Config, rd reading) error {
	start := map[int32]kgo.Offset{}
	for p, r := range rd.ranges {
		if r.from < r.to {
			start[p] = kgo.NewOffset().At(r.from)
		}
	}
	if len(start) == 0 {
		return nil
	}
	isolation := kgo.ReadCommitted()
	if rd.uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	cfg.Registerer = nil
	cl, err := cfg.newClient("reader",
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{rd.topic: start}),
		kgo.FetchIsolationLevel(isolation),
		// The markers at the end of transactions are the only sign of having read past an aborted one:
		// without them a log that ends in an abort would be waited on for ever.
		kgo.KeepControlRecords(),
		kgo.FetchMaxPartitionBytes(8<<20),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	for len(start) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("kafka: read %s: %w", rd.topic, context.Cause(ctx))
		}
		for _, fe := range fetches.Errors() {
			// The client recovers from a reset by itself, but this reader's promise is every record of the range.
			return fmt.Errorf("kafka: read %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
		var done []int32
		var group errgroup.Group
		group.SetLimit(rd.workers)
		fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
			if _, wanted := start[tp.Partition]; !wanted || len(tp.Records) == 0 {
				return
			}
			to := rd.ranges[tp.Partition].to
			if tp.Records[len(tp.Records)-1].Offset >= to-1 {
				done = append(done, tp.Partition)
			}
			group.Go(func() error {
				for _, r := range tp.Records {
					if r.Offset >= to {
						break
					}
					if r.Attrs.IsControl() {
						continue
					}
					if err := rd.each(tp.Partition, r); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err := group.Wait(); err != nil {
			return err
		}
		for _, p := range done {
			delete(start, p)
		}
		cl.PauseFetchPartitions(map[string][]int32{rd.topic: done})
	}
	return nil
}

// highWatermarks is everything that is in topic's partitions now, decided or not.
// Reading it read-committed to its end waits for the decisions:
//
//	old owner              new owner
//	produces 7, 8
//	                       partition assigned; high watermark 9, last stable offset 7: reads to 6 and waits
//	commits, or times out
//	                       reads 7 and 8, or the abort's marker
//
// The old owner cannot add to it later: the commit of its offsets is fenced by the generation.
func highWatermarks(ctx context.Context, adm *kadm.Client, topic string, partitions []int32) (map[int32]offsets, error) {
	high, err := offsetsOf(adm.ListEndOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	starts, err := offsetsOf(adm.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	ranges := make(map[int32]offsets, len(partitions))
	for _, p := range partitions {
		to, ok := high[topic][p]
		if !ok {
			return nil, fmt.Errorf("kafka: topic %s has no partition %d", topic, p)
		}
		ranges[p] = offsets{from: starts[topic][p], to: to}
	}
	return ranges, nil
}

// wait pauses, or returns the context's cause early.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// workers is how many goroutines share the partitions' work.
func workers() int { return runtime.GOMAXPROCS(0) }
