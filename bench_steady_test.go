package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// steady plays the rest of a recording at a constant rate on a running pipeline and times how long events take: every
// event until a query in ClickHouse sees it, and probes until a reader of committed features has them and until the feature
// store, where there is one, answers with them.
type steady struct {
	node      *node
	recording *reader
	rate      int // events/s
	// warmup is played first and not timed.
	warmup, length time.Duration

	mu sync.Mutex
	// sent are the times of the events of a topic-partition by offset, from base on.
	sent   map[place][]time.Time
	base   map[place]int64
	probes map[string]probe // by player

	from            time.Time // of what is timed
	stored, updated []time.Duration
	answered        []time.Duration // over HTTP
	asking          atomic.Int64    // probes that the feature store is still asked for
	achieved, cores float64
}

type place struct {
	kind      event.Kind
	partition int32
}

// probe is the oldest event of a probing player that its features do not hold yet: its event time, and when it was sent;
// zero when there is none. newest is the event time of the player's last event.
type probe struct {
	at, newest int64
	sent       time.Time
}

const (
	// tick is how often events are sent: rate*tick at a time.
	tick = 5 * time.Millisecond
	// Each probing player sends one event in probeEvery, well over the second within which features are not published twice.
	probeEvery   = 2500 * time.Millisecond
	probePlayers = 250
	// storedEvery is how often ClickHouse is asked, which is part of what is measured.
	storedEvery = 50 * time.Millisecond
)

func (s *steady) run(b *testing.B) {
	s.sent, s.base, s.probes = map[place][]time.Time{}, map[place]int64{}, map[string]probe{}
	admin := newBenchAdmin(b, s.node.kafka)
	for kind := range rawTables {
		topic := s.node.kafka.Topic(kind)
		ends, err := admin.EndOffsets(b.Context(), topic)
		if err != nil {
			b.Fatal(err)
		}
		for partition, end := range ends[topic] {
			s.base[place{kind, partition}] = end
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	joined := make(chan struct{})
	group.Go(func() error { return s.readFeatures(ctx, joined) })
	group.Go(func() error { return s.askClickHouse(ctx) })
	group.Go(func() error {
		defer cancel()
		select {
		case <-joined:
		case <-ctx.Done():
			return nil
		}
		if err := s.play(ctx, b); err != nil {
			return err
		}
		// What was sent last is still to come; nothing may be left out because it was slow.
		for deadline := time.Now().Add(time.Minute); !s.complete(); {
			if time.Now().After(deadline) {
				return fmt.Errorf("some events never arrived")
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(tick):
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// askFeatures asks the feature store for a player until its answer holds an event that was sent at a time.
func (s *steady) askFeatures(ctx context.Context, player string, p probe) error {
	defer s.asking.Add(-1)
	for {
		status, body, err := get(s.node.featuresAt() + "/v1/features/" + player)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("features of %s: HTTP %d, %w", player, status, err)
		}
		var answer struct {
			AsOf int64 `json:"as_of"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return err
		}
		if answer.AsOf > p.at {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Millisecond):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.sent.Before(s.from) {
		s.answered = append(s.answered, time.Since(p.sent))
	}
	return nil
}

// complete says whether everything sent has been seen.
func (s *steady) complete() bool {
	if s.asking.Load() > 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.sent {
		if len(times) > 0 {
			return false
		}
	}
	for _, p := range s.probes {
		if !p.sent.IsZero() {
			return false
		}
	}
	return true
}

func (s *steady) play(ctx context.Context, b *testing.B) error {
	producer, err := kafka.NewProducer(s.node.kafka, kafka.ProducerConfig{Name: "steady"})
	if err != nil {
		return err
	}
	defer producer.Close()
	began := time.Now()
	s.mu.Lock()
	s.from = began.Add(s.warmup)
	s.mu.Unlock()
	var watch stopwatch
	timed, count, probed := 0, 0, 0
	var at int64
	var decoder event.Decoder
	var ev event.Event
	for now := began; now.Sub(began) < s.warmup+s.length; now = time.Now() {
		if watch.began.IsZero() && now.Sub(began) >= s.warmup {
			watch, timed = startStopwatch(), count
		}
		var batch []event.Message
		for due := int(now.Sub(began).Seconds() * float64(s.rate)); count < due; count++ {
			var m recorded
			more, err := s.recording.next(&m)
			if err != nil {
				return err
			}
			if !more {
				return fmt.Errorf("the recording is over after %d events", count)
			}
			if decoder.Decode(m.kind, m.value, &ev) != nil {
				continue // it would never come into a table
			}
			at = m.at
			batch = append(batch, event.Message{Kind: m.kind, Key: m.key, Value: m.value})
		}
		for due := int(now.Sub(began) * probePlayers / probeEvery); probed < due; probed++ {
			batch = append(batch, s.probe(fmt.Sprintf("probe-%03d", probed%probePlayers), at))
		}
		s.note(batch)
		if err := producer.Produce(ctx, batch...); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tick - time.Since(now)):
		}
	}
	s.achieved, s.cores = watch.stop(b, count-timed)
	return producer.Flush(ctx)
}

// probe makes a heartbeat at the time the recording has come to, or just after the player's last one.
func (s *steady) probe(player string, at int64) event.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.probes[player]
	at = max(at, p.newest+1)
	p.newest = at
	if p.sent.IsZero() {
		p.at, p.sent = at, time.Now()
	}
	s.probes[player] = p
	var ev event.Event
	ev.Reset(event.KindPlayer)
	ev.ID, ev.Type, ev.EventTime, ev.IngestTime, ev.PlayerID = uuid.Must(uuid.NewV7()), event.Heartbeat, at, at, player
	return event.Message{Kind: event.KindPlayer, Key: []byte(player), Value: event.Append(nil, &ev)}
}

// note remembers when messages were sent; only this producer writes to the topics, so their offsets follow from their order.
func (s *steady) note(batch []event.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, m := range batch {
		if _, ok := rawTables[m.Kind]; ok {
			at := place{m.Kind, kafka.PartitionOf(m.Key, s.node.cfg.KafkaPartitions)}
			s.sent[at] = append(s.sent[at], now)
		}
	}
}

// askClickHouse asks which offsets are stored. A partition's batches are stored in order, so all before the last one are: the sink
// has a second one in flight only when the first takes over two seconds, which would show by itself.
func (s *steady) askClickHouse(ctx context.Context) error {
	client, err := s.node.cfg.openWriter(ctx, s.node.servers.ClickhouseURL, s.node.log)
	if err != nil {
		return err
	}
	defer client.Close()
	ticker := time.NewTicker(storedEvery)
	defer ticker.Stop()
	var out bytes.Buffer
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		var selects []string
		for kind, name := range rawTables {
			// From the oldest offset that is still to come, so that asking costs little.
			selects = append(selects, fmt.Sprintf("SELECT %d, kafka_partition, max(kafka_offset) FROM %s WHERE kafka_offset >= %d GROUP BY kafka_partition",
				kind, name, s.oldest(kind)))
		}
		out.Reset()
		if err := client.Stream(ctx, &out, clickhouse.StreamRequest{SQL: strings.Join(selects, " UNION ALL "), Format: "TSV"}); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := s.see(out.String()); err != nil {
			return err
		}
	}
}

func (s *steady) oldest(kind event.Kind) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := int64(math.MaxInt64)
	for at, base := range s.base {
		if at.kind == kind && len(s.sent[at]) > 0 {
			oldest = min(oldest, base)
		}
	}
	return oldest
}

func (s *steady) see(answer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for line := range strings.Lines(answer) {
		var numbers [3]int64
		for i, field := range strings.Fields(line) {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return err
			}
			numbers[i] = n
		}
		at := place{event.Kind(numbers[0]), int32(numbers[1])}
		seen := max(0, min(int(numbers[2]+1-s.base[at]), len(s.sent[at])))
		for _, sent := range s.sent[at][:seen] {
			if !sent.Before(s.from) {
				s.stored = append(s.stored, now.Sub(sent))
			}
		}
		s.sent[at] = s.sent[at][seen:]
		s.base[at] += int64(seen)
	}
	return nil
}

// readFeatures follows the features as a feature store does. joined is closed when it has begun.
func (s *steady) readFeatures(ctx context.Context, joined chan<- struct{}) error {
	topic := s.node.kafka.Topic(event.KindFeatures)
	admin, err := kafka.NewAdmin(s.node.kafka)
	if err != nil {
		return err
	}
	defer admin.Close()
	ends, err := admin.EndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for partition, end := range ends[topic] {
		from[partition] = kgo.NewOffset().At(end)
	}
	opts, err := s.node.kafka.Options("feature-reader")
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer client.Close()
	close(joined)
	var decoder event.Decoder
	var features event.Features
	asks, ctx := errgroup.WithContext(ctx)
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return asks.Wait()
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		now := time.Now()
		var refused error
		fetches.EachRecord(func(r *kgo.Record) {
			if !bytes.HasPrefix(r.Key, []byte("probe-")) {
				return
			}
			if err := decoder.Features(r.Value, &features); err != nil {
				refused = err
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			// AsOf is just past the newest event that the features hold.
			if p := s.probes[features.PlayerID]; !p.sent.IsZero() && features.AsOf > p.at {
				if !p.sent.Before(s.from) {
					s.updated = append(s.updated, now.Sub(p.sent))
				}
				s.probes[features.PlayerID] = probe{newest: p.newest}
				if s.node.features != nil {
					s.asking.Add(1)
					player := strings.Clone(features.PlayerID)
					asks.Go(func() error { return s.askFeatures(ctx, player, p) })
				}
			}
		})
		if refused != nil {
			return refused
		}
	}
}
