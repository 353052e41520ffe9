package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// baselineStore is Kafka → ClickHouse as it is written by hand: records are unmarshalled by encoding/json into structs,
// appended row by row, and sent when there are enough or a second is over; then the offsets are committed. It stores the
// same columns of the same rows as the sink, but at least once, and without validating them.
type baselineStore struct {
	conf       kafka.Config
	group      string
	clickhouse string
	database   string
	user       string

	stored atomic.Int64 // records whose offsets are committed
}

// Rows at which, and age at which, what was polled is sent; as the sink's batches.
const (
	baselineRows = 100_000
	baselineAge  = time.Second
)

type baselineEnvelope struct {
	ID            uuid.UUID `json:"id" ch:"id"`
	Type          string    `json:"type" ch:"type"`
	EventTime     int64     `json:"event_time" ch:"event_time"`
	IngestTime    int64     `json:"ingest_time" ch:"ingest_time"`
	PlayerID      string    `json:"player_id" ch:"player_id"`
	SessionID     string    `json:"session_id" ch:"session_id"`
	DropID        string    `json:"drop_id" ch:"drop_id"`
	CreatorID     string    `json:"creator_id" ch:"creator_id"`
	Region        string    `json:"region" ch:"region"`
	POP           string    `json:"pop" ch:"pop"`
	Language      string    `json:"language" ch:"language"`
	Consent       uint8     `json:"consent" ch:"consent"`
	SampleRate    float64   `json:"sample_rate" ch:"sample_rate"`
	Synthetic     bool      `json:"synthetic" ch:"synthetic"`
	SchemaVersion uint16    `json:"schema_version" ch:"schema_version"`

	KafkaPartition uint32    `json:"-" ch:"kafka_partition"`
	KafkaOffset    uint64    `json:"-" ch:"kafka_offset"`
	KafkaTime      time.Time `json:"-" ch:"kafka_time"`
}

func (e *baselineEnvelope) envelope() *baselineEnvelope { return e }

type baselinePlayerEvent struct {
	baselineEnvelope
	HeartbeatMS  int64  `json:"heartbeat_ms" ch:"heartbeat_ms"`
	SKU          string `json:"sku" ch:"sku"`
	ExperimentID string `json:"experiment_id" ch:"experiment_id"`
	Variant      string `json:"variant" ch:"variant"`
}

type baselineLatencyEvent struct {
	baselineEnvelope
	Request     string  `json:"request" ch:"request"`
	MS          float64 `json:"ms" ch:"ms"`
	Cache       string  `json:"cache" ch:"cache"`
	CPUMS       float64 `json:"cpu_ms" ch:"cpu_ms"`
	EgressBytes int64   `json:"egress_bytes" ch:"egress_bytes"`
}

type baselineCheckoutEvent struct {
	baselineEnvelope
	CheckoutID   string `json:"checkout_id" ch:"checkout_id"`
	Amount       int64  `json:"amount" ch:"amount"`
	Currency     string `json:"currency" ch:"currency"`
	SKU          string `json:"sku" ch:"sku"`
	Quantity     uint32 `json:"quantity" ch:"quantity"`
	SplitVersion uint32 `json:"split_version" ch:"split_version"`
	OriginalTime int64  `json:"original_time" ch:"original_time"`
	Channel      string `json:"channel" ch:"channel"`
	Reason       string `json:"reason" ch:"reason"`
}

type baselineSubtitleEvent struct {
	baselineEnvelope
	StreamID       string `json:"stream_id" ch:"stream_id"`
	CueID          uint64 `json:"cue_id" ch:"cue_id"`
	SpeechStartMS  int64  `json:"speech_start_ms" ch:"speech_start_ms"`
	DisplayMS      int64  `json:"display_ms" ch:"display_ms"`
	OnScreenMS     int64  `json:"on_screen_ms" ch:"on_screen_ms"`
	Graphemes      uint32 `json:"graphemes" ch:"graphemes"`
	Words          uint32 `json:"words" ch:"words"`
	TranslationMS  int64  `json:"translation_ms" ch:"translation_ms"`
	SourceLanguage string `json:"source_language" ch:"source_language"`
	TargetLanguage string `json:"target_language" ch:"target_language"`
	Variant        string `json:"variant" ch:"variant"`
	Missing        bool   `json:"missing" ch:"missing"`
}

// baselineRow is one of the structs above.
type baselineRow interface{ envelope() *baselineEnvelope }

// newBaselineRow has what an absent field means.
func newBaselineRow(kind event.Kind) baselineRow {
	e := baselineEnvelope{SampleRate: 1, SchemaVersion: 1}
	switch kind {
	case event.KindPlayer:
		return &baselinePlayerEvent{baselineEnvelope: e}
	case event.KindLatency:
		return &baselineLatencyEvent{baselineEnvelope: e}
	case event.KindCheckout:
		return &baselineCheckoutEvent{baselineEnvelope: e, Quantity: 1}
	default:
		return &baselineSubtitleEvent{baselineEnvelope: e}
	}
}

// columnsOf are the columns that a row fills.
func columnsOf(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			names = append(names, columnsOf(f.Type)...)
		} else {
			names = append(names, f.Tag.Get("ch"))
		}
	}
	return names
}

// run stores until ctx is done.
func (s *baselineStore) run(ctx context.Context) error {
	u, err := url.Parse(s.clickhouse)
	if err != nil {
		return err
	}
	conn, err := ch.Open(&ch.Options{
		Protocol: ch.HTTP, Addr: []string{u.Host}, Auth: ch.Auth{Database: s.database, Username: s.user},
		Compression: &ch.Compression{Method: ch.CompressionLZ4}, MaxOpenConns: 8, MaxIdleConns: 8,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	opts, err := s.conf.Options("baseline-store")
	if err != nil {
		return err
	}
	kinds := map[string]event.Kind{}
	var topics []string
	for kind := range rawTables {
		kinds[s.conf.Topic(kind)] = kind
		topics = append(topics, s.conf.Topic(kind))
	}
	client, err := kgo.NewClient(append(opts, kgo.ConsumerGroup(s.group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return err
	}
	defer client.Close()

	batches := map[event.Kind]driver.Batch{}
	records, oldest := 0, time.Time{}
	for {
		polling, cancel := context.WithTimeout(ctx, baselineAge)
		fetches := client.PollRecords(polling, baselineRows)
		cancel()
		if ctx.Err() != nil {
			return nil // what was not sent is read again
		}
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if records == 0 {
			oldest = time.Now()
		}
		rows, err := s.decode(kinds, fetches)
		if err != nil {
			return err
		}
		if err := appendRows(ctx, conn, batches, rows); err != nil {
			return err
		}
		records += fetches.NumRecords()
		full := false
		for _, batch := range batches {
			full = full || batch.Rows() >= baselineRows
		}
		if records == 0 || !full && time.Since(oldest) < baselineAge {
			continue
		}
		if err := sendAll(batches); err != nil {
			return err
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.stored.Add(int64(records))
		records = 0
	}
}

// decode unmarshals what was fetched, the partitions in parallel. Records that are no JSON of their kind are left out.
func (s *baselineStore) decode(kinds map[string]event.Kind, fetches kgo.Fetches) (map[event.Kind][][]baselineRow, error) {
	out := map[event.Kind][][]baselineRow{}
	var group errgroup.Group
	group.SetLimit(4)
	var partitions []kgo.FetchTopicPartition
	fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
		if len(tp.Records) > 0 { // a timeout is a partition without any
			partitions = append(partitions, tp)
		}
	})
	decoded := make([][]baselineRow, len(partitions))
	for i, tp := range partitions {
		kind := kinds[tp.Topic]
		group.Go(func() error {
			for _, r := range tp.Records {
				row := newBaselineRow(kind)
				if json.Unmarshal(r.Value, row) != nil {
					continue
				}
				e := row.envelope()
				if e.IngestTime == 0 {
					e.IngestTime = r.Timestamp.UnixMilli()
				}
				e.KafkaPartition, e.KafkaOffset, e.KafkaTime = uint32(r.Partition), uint64(r.Offset), r.Timestamp
				decoded[i] = append(decoded[i], row)
			}
			return nil
		})
	}
	err := group.Wait()
	for i, tp := range partitions {
		out[kinds[tp.Topic]] = append(out[kinds[tp.Topic]], decoded[i])
	}
	return out, err
}

// appendRows appends every row to its table's batch, the tables in parallel.
func appendRows(ctx context.Context, conn driver.Conn, batches map[event.Kind]driver.Batch, rows map[event.Kind][][]baselineRow) error {
	var group errgroup.Group
	for kind, parts := range rows {
		if batches[kind] == nil {
			columns := columnsOf(reflect.TypeOf(newBaselineRow(kind)).Elem())
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+rawTables[kind]+" ("+strings.Join(columns, ", ")+")")
			if err != nil {
				return err
			}
			batches[kind] = batch
		}
		batch := batches[kind]
		group.Go(func() error {
			for _, part := range parts {
				for _, row := range part {
					if err := batch.AppendStruct(row); err != nil {
						return fmt.Errorf("%s: %w", rawTables[kind], err)
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// sendAll sends the tables' batches at once.
func sendAll(batches map[event.Kind]driver.Batch) error {
	var group errgroup.Group
	for _, batch := range batches {
		group.Go(func() error {
			if batch.Rows() == 0 {
				return batch.Abort()
			}
			return batch.Send()
		})
	}
	clear(batches)
	return group.Wait()
}
