package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// Place is where a record stands in the log of a raw topic.
type Place struct {
	Kind      event.Kind
	Partition int32
	Offset    int64
}

// String is topic/partition/offset, without the installation's prefix.
func (p Place) String() string {
	return p.Kind.Topic() + "/" + strconv.Itoa(int(p.Partition)) + "/" + strconv.FormatInt(p.Offset, 10)
}

// ParsePlace reads what String writes.
func ParsePlace(text string) (Place, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		kind := event.KindOf(parts[0])
		partition, errP := strconv.ParseInt(parts[1], 10, 32)
		offset, errO := strconv.ParseInt(parts[2], 10, 64)
		if kind != event.KindUnknown && errors.Join(errP, errO) == nil && partition >= 0 && offset >= 0 {
			return Place{kind, int32(partition), offset}, nil
		}
	}
	return Place{}, fmt.Errorf("%q is no place of a record, such as player/0/17", text)
}

// Redelivered says that the record at a Place was given back to its topic.
type Redelivered struct {
	// To is where it stands now, in the same partition.
	To int64 `json:"to"`
	// First is where it stood before its first redelivery, and Attempt how many there were.
	First   string `json:"first"`
	Attempt int    `json:"attempt"`
	// Mapping that mended it; empty when it went back as it was.
	Mapping string `json:"mapping,omitempty"`
	// At is the broker's time of the marker (Unix ms).
	At int64 `json:"-"`
}

// Redeliveries are all redeliveries of an installation.
type Redeliveries struct {
	from map[Place]Redelivered
	// to holds the same by where the record stands now, where its next dead letter finds it.
	to map[Place]Redelivered
}

func newRedeliveries() *Redeliveries {
	return &Redeliveries{from: map[Place]Redelivered{}, to: map[Place]Redelivered{}}
}

// Of says whether the record at place was given back.
func (r *Redeliveries) Of(place Place) (Redelivered, bool) {
	d, ok := r.from[place]
	return d, ok
}

// Before says which redelivery brought the record to place, if one did.
func (r *Redeliveries) Before(place Place) (Redelivered, bool) {
	d, ok := r.to[place]
	return d, ok
}

func (r *Redeliveries) add(place Place, d Redelivered) {
	r.from[place] = d
	r.to[Place{place.Kind, place.Partition, d.To}] = d
}

// ReadRedeliveries reads the markers that are committed now. An installation whose marker topic was never made has none.
func ReadRedeliveries(ctx context.Context, cfg Config) (*Redeliveries, error) {
	r := newRedeliveries()
	adm, err := NewAdmin(cfg)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	spans, err := adm.Committed(ctx, cfg.RedeliveryTopic(), 0)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	return r, r.read(ctx, cfg, spans)
}

func (r *Redeliveries) read(ctx context.Context, cfg Config, spans map[int32]Span) error {
	return Scan(ctx, cfg, ScanConfig{Topic: cfg.RedeliveryTopic(), Spans: spans}, func(_ int32, m event.Record) error {
		place, err := ParsePlace(string(m.Key))
		d := Redelivered{At: m.Timestamp}
		if err == nil {
			err = json.Unmarshal(m.Value, &d)
		}
		if err != nil {
			return permanently("kafka: %s at offset %d is no marker of this program: %w", cfg.RedeliveryTopic(), m.Offset, err)
		}
		r.add(place, d)
		return nil
	})
}

// RedeliveryTopic holds one marker for every record that was given back to its topic.
func (c Config) RedeliveryTopic() string { return c.TopicPrefix + "redelivered" }

// Headers of a redelivered record. Nothing of ours reads them: they are for whoever looks at the topic.
const (
	headerFrom    = "droplift-redelivered-from"
	headerFirst   = "droplift-first-seen-at"
	headerAttempt = "droplift-attempt"
)

// ErrRedeliveryFenced is what a Redelivery ends with when another one was started: only the newest may send.
var ErrRedeliveryFenced = errors.New("another redelivery of this installation has taken over; what this one had not committed was not sent: start it again when the other has ended")

// Redelivery gives dead-lettered records back to the topics they came from, each once for ever: a record and its
// marker are produced in one transaction, under one transactional ID per installation, and the markers are read
// after taking that over:
//
//	first redelivery                      second redelivery
//	produces a, marker(a); is slow
//	                                      takes the ID over: the open transaction is aborted, or its commit awaited
//	commits: fenced, ends                 reads the markers to their end: a's is there only if a is
//	                                      gives a back, or finds its marker
//
// One goroutine owns it.
type Redelivery struct {
	*Redeliveries
	*exclusive
}

// NewRedelivery takes over from any other one and reads what was given back. The marker topic must be there.
func NewRedelivery(ctx context.Context, cfg Config) (*Redelivery, error) {
	x, err := cfg.takeOver(ctx, "redelivery", cfg.RedeliveryTopic(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(maxRawBytes))
	if err != nil {
		return nil, err
	}
	r := &Redelivery{newRedeliveries(), x}
	if err := r.begin(ctx); err != nil {
		x.Close()
		return nil, err
	}
	return r, nil
}

func (r *Redelivery) begin(ctx context.Context) error {
	adm, err := NewAdmin(r.conf)
	if err != nil {
		return err
	}
	defer adm.Close()
	// The reader waits for the decision of what it finds undecided, so that the end is what was there when the ID was taken over.
	ranges, err := highWatermarks(ctx, adm.adm, r.conf.RedeliveryTopic(), []int32{0})
	if err != nil {
		return err
	}
	return r.read(ctx, r.conf, map[int32]Span{0: {From: ranges[0].from, To: ranges[0].to}})
}

// Return is one record to be given back: Value under Key to the partition that it stood in.
type Return struct {
	From       Place
	Key, Value []byte
	// Mapping that mended the value; empty when it is as it was.
	Mapping string
}

// Send gives records back in one transaction, in their order within a partition. None of them may have been given
// back before. After an error nothing more can be sent: what the error says is not known to be committed will
// be found out by the next Redelivery.
func (r *Redelivery) Send(ctx context.Context, returns []Return) error {
	if err := r.send(ctx, returns); err != nil {
		if classify(err) == fenced {
			return ErrRedeliveryFenced
		}
		return fmt.Errorf("kafka: redelivery: %w", err)
	}
	return nil
}

func (r *Redelivery) send(ctx context.Context, returns []Return) error {
	if err := r.cl.BeginTransaction(); err != nil {
		return err
	}
	records := make([]*kgo.Record, len(returns))
	marks := make([]Redelivered, len(returns))
	for i, give := range returns {
		marks[i] = Redelivered{First: give.From.String(), Attempt: 1, Mapping: give.Mapping}
		if before, ok := r.Before(give.From); ok {
			marks[i].First, marks[i].Attempt = before.First, before.Attempt+1
		}
		records[i] = &kgo.Record{
			Topic: r.conf.Topic(give.From.Kind), Partition: give.From.Partition, Key: give.Key, Value: give.Value,
			Headers: []kgo.RecordHeader{
				{Key: headerFrom, Value: []byte(give.From.String())},
				{Key: headerFirst, Value: []byte(marks[i].First)},
				{Key: headerAttempt, Value: strconv.AppendInt(nil, int64(marks[i].Attempt), 10)},
			},
		}
	}
	if err := r.produce(ctx, records); err != nil {
		return r.abort(ctx, err)
	}
	// Markers come second, because they say where the records stand now.
	markers := make([]*kgo.Record, len(returns))
	for i, give := range returns {
		marks[i].To = records[i].Offset
		value, err := json.Marshal(marks[i])
		if err != nil {
			return r.abort(ctx, err)
		}
		markers[i] = &kgo.Record{Topic: r.conf.RedeliveryTopic(), Key: []byte(give.From.String()), Value: value}
	}
	if err := r.produce(ctx, markers); err != nil {
		return r.abort(ctx, err)
	}
	if err := r.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err // perhaps committed: the next redelivery reads the markers
	}
	for i, give := range returns {
		r.add(give.From, marks[i])
	}
	return nil
}
