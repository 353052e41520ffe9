package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// exclusive is a transactional producer that at most one process has at a time: who takes its ID over fences the one
// before. One goroutine owns it.
type exclusive struct {
	conf Config
	cl   *kgo.Client
}

// exclusiveTimeout is when the broker aborts the transaction of a process that died, unless the next one does.
const exclusiveTimeout = 20 * time.Second

// abortTimeout is how long a process tries to abort what it cannot finish, so that readers of the topics need not
// wait for exclusiveTimeout.
const abortTimeout = 2 * time.Second

// takeOver takes the transactional ID over: the open transaction of whoever had it is aborted, or its commit awaited.
func (cfg Config) takeOver(ctx context.Context, client, id string, opts ...kgo.Opt) (*exclusive, error) {
	cl, err := cfg.newClient(client, append([]kgo.Opt{
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(exclusiveTimeout),
		kgo.ProducerLinger(0),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	if _, _, err := cl.ProducerID(ctx); err != nil {
		cl.Close()
		return nil, fmt.Errorf("kafka: take over %s: %w", client, err)
	}
	return &exclusive{cfg, cl}, nil
}

// produce returns when all records are acknowledged, one failed, or ctx is done: a record that was sent cannot be
// called back, so nothing else would end a wait for a broker that is gone.
func (x *exclusive) produce(ctx context.Context, records []*kgo.Record) error {
	failed := make(chan error, len(records))
	for _, record := range records {
		x.cl.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				failed <- err
			}
		})
	}
	err := x.cl.Flush(ctx)
	select {
	case first := <-failed:
		return first
	default:
		return err
	}
}

// abort ends the transaction early; when that fails too, the broker or who takes over next aborts it.
func (x *exclusive) abort(ctx context.Context, cause error) error {
	if classify(cause) == fenced {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	err := x.cl.AbortBufferedRecords(ctx)
	if err == nil {
		err = x.cl.EndTransaction(ctx, kgo.TryAbort)
	}
	if err != nil {
		x.conf.logger().Warn("the transaction could not be aborted; the broker does it", "error", err)
	}
	return cause
}

// Close ends the connections.
func (x *exclusive) Close() { x.cl.Close() }

// ErrDecisionFenced is what a Decider ends with when another one took over: what it had decided was not written.
var ErrDecisionFenced = errors.New("another decision on this installation's models was begun meanwhile, and this one was not written: look at what was decided, then try again")

// Decider writes what follows from the newest state of topics with one partition, such as which model answers. What
// is read after taking over is the state that the transaction replaces: a decision that was overtaken is never seen.
//
//	first decider                         second decider
//	takes over, reads state 7
//	                                      takes over, reads state 7
//	commits its decision: fenced, ends
//	                                      commits its decision: state 8
//
// One goroutine owns it.
type Decider struct{ *exclusive }

// NewDecider takes over from any other one. Its topics must be there.
func NewDecider(ctx context.Context, cfg Config) (*Decider, error) {
	x, err := cfg.takeOver(ctx, "decider", cfg.TopicPrefix+"decisions-on-models", kgo.ProducerBatchMaxBytes(maxDerivedBytes))
	if err != nil {
		return nil, err
	}
	return &Decider{x}, nil
}

// Read calls each with every record of a topic of one partition, to the end that it had when this was called. It waits
// for the transactions in it to be decided. The record's bytes may be kept.
func (d *Decider) Read(ctx context.Context, topic string, each func(event.Record) error) error {
	adm, err := NewAdmin(d.conf)
	if err != nil {
		return err
	}
	defer adm.Close()
	ranges, err := highWatermarks(ctx, adm.adm, topic, []int32{0})
	if err != nil {
		return err
	}
	return Scan(ctx, d.conf, ScanConfig{Topic: topic, Spans: map[int32]Span{0: {From: ranges[0].from, To: ranges[0].to}}},
		func(_ int32, r event.Record) error { return each(r) })
}

// Commit writes all messages or none. After an error nothing more can be written; unless it is ErrDecisionFenced they
// may be there: only reading tells.
func (d *Decider) Commit(ctx context.Context, messages ...event.Message) error {
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		records[i] = &kgo.Record{Topic: d.conf.Topic(m.Kind), Key: m.Key, Value: m.Value}
	}
	err := d.cl.BeginTransaction()
	if err == nil {
		if err = d.produce(ctx, records); err != nil {
			err = d.abort(ctx, err)
		} else {
			err = d.cl.EndTransaction(ctx, kgo.TryCommit)
		}
	}
	switch {
	case err == nil:
		return nil
	case classify(err) == fenced:
		return ErrDecisionFenced
	}
	return fmt.Errorf("kafka: write a decision: %w", err)
}
