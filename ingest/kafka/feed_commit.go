package kafka

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

// commit is what the group knows of a partition: everything before offset is
// stored, and metadata is the plan from there on.
type commit struct {
	offset   int64
	metadata string
}

// journal makes the group know what is released and what is planned; nothing if it does already.
func (p *feedPartition) journal() error {
	var to plan
	for _, b := range p.flights {
		to = append(to, b.planned)
	}
	to = append(to, p.repeats...)
	now := commit{p.next, to.String()}
	switch {
	case len(to) > 0:
		now.offset = to[0].first
	case p.rows == 0:
		now.offset = p.position // behind markers too: lag zero means zero
	}
	if now.offset < 0 || now == p.known && len(p.letters) == 0 {
		return nil
	}
	if err := p.commit(now); err != nil {
		return err
	}
	if len(to) == 0 && p.rows == 0 {
		p.next = p.position
	}
	return nil
}

// commit tries until the group knows c and the dead letters at hand are in their
// topic, or until the partition has gone.
//
// The member's generation is read at every attempt, since the group may have moved on to a
// generation in which the partition stayed here. It can not be a generation in which another
// member has it: the partition is only given away after revoked returned, which
// waits for this goroutine.
func (p *feedPartition) commit(c commit) error {
	defer p.time.enter(onDecode)
	retry := backoff{first: 10 * time.Millisecond, limit: time.Second}
	for {
		p.time.enter(onPlan)
		err := p.tryCommit(c, retry.attempt > 0)
		if err == nil {
			p.known = c
			p.released.Store(c.offset)
			for _, l := range p.letters {
				p.feed.metrics.letters.WithLabelValues(p.tp.topic, l.Class.String()).Inc()
			}
			p.letters = nil
			return nil
		}
		if p.ctx.Err() != nil {
			return errRevoked
		}
		if len(p.letters) > 0 && classify(err) == permanent {
			return permanently("kafka: feed %s: %s: dead letters: %w", p.feed.cfg.Group, p.tp, err)
		}
		p.feed.metrics.retries.WithLabelValues(string(classify(err))).Inc()
		if retry.attempt == 5 {
			p.feed.log.Warn("committing offsets keeps failing; retrying", "topic", p.tp.topic, "partition", p.tp.partition, "error", err)
		}
		p.time.enter(onBackoff)
		if wait(p.ctx, retry.next()) != nil {
			return errRevoked
		}
	}
}

func (p *feedPartition) tryCommit(c commit, again bool) error {
	if len(p.letters) > 0 {
		return p.commitLetters(c, again)
	}
	member, generation, err := p.membership()
	if err != nil {
		return err
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = p.group(), member, generation
	req.InstanceID = p.feed.membership().instanceID()
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = p.tp.topic, p.topicID
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Partition, partition.Offset, partition.Metadata = p.tp.partition, c.offset, &c.metadata
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(p.ctx, p.feed.cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("kafka: offset commit was answered for other partitions than it named")
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// group is what the brokers know the feed's group by.
func (p *feedPartition) group() string { return p.feed.conf.GroupID(p.feed.cfg.Group) }

// membership is what a commit is stamped with.
func (p *feedPartition) membership() (member string, generation int32, err error) {
	member, generation = p.feed.cl.GroupMetadata()
	if generation < 0 {
		return "", 0, kerr.UnknownMemberID // between memberships; without a generation nothing would be fenced
	}
	return member, generation, nil
}

// commitLetters produces the dead letters and commits in one transaction, so
// that a letter is in its topic exactly if its record is released, and once:
//
//	this member                              its heir
//	stores 0–99, refused is 42
//	begins; produces the letter of 42
//	is cut off                               reads the offset: the journal still says 0–99
//	                                         stores 0–99 again (known tokens), 42 is refused again
//	                                         begins, which aborts the transaction left open
//	                                         produces the letter, commits both
//
// Cut off after the commit was asked for, the heir's read of the offset waits
// for the broker's decision (RequireStable). An outcome that this member does not learn is looked up
// before the next attempt, after the transactional id has been taken over: then it is decided.
func (p *feedPartition) commitLetters(c commit, again bool) error {
	conf := p.feed.conf
	conf.Registerer = nil
	transaction := p.group() + "-letters-" + p.tp.String()
	cl, err := conf.newClient("feed-letters",
		kgo.TransactionalID(transaction),
		kgo.TransactionTimeout(p.feed.cfg.RevokeTimeout),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(maxDerivedBytes),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, _, err := cl.ProducerID(p.ctx); err != nil {
		return fmt.Errorf("kafka: take over the transactional id: %w", err)
	}
	if again {
		stands, err := p.fetchCommit()
		if err != nil {
			return err
		}
		if stands == c {
			return nil // the last attempt got through after all
		}
	}
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	if err := p.produceLetters(cl); err != nil {
		return err // closing the client leaves the transaction to the next attempt's or the heir's taking over
	}
	p.feed.conf.step(FeedLettered)
	if err := p.commitInTransaction(cl, transaction, c); err != nil {
		return err
	}
	return cl.EndTransaction(p.ctx, kgo.TryCommit)
}

func (p *feedPartition) produceLetters(cl *kgo.Client) error {
	var mu sync.Mutex
	var failed error
	topic := p.feed.conf.Topic(event.KindDeadLetter)
	for i := range p.letters {
		r := &kgo.Record{Topic: topic, Key: p.letters[i].Key, Value: p.letters[i].AppendJSON(nil)}
		cl.Produce(p.ctx, r, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				failed = err
			}
		})
	}
	if err := cl.Flush(p.ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return failed
}

// commitInTransaction adds the commit to the open transaction.
func (p *feedPartition) commitInTransaction(cl *kgo.Client, transaction string, c commit) error {
	id, epoch, err := cl.ProducerID(p.ctx)
	if err != nil {
		return err
	}
	member, generation, err := p.membership()
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = transaction, id, epoch, p.group()
	added, err := add.RequestWith(p.ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("kafka: add offsets to the transaction: %w", err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = transaction, p.group(), id, epoch
	req.MemberID, req.Generation = member, generation
	req.InstanceID = p.feed.membership().instanceID()
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = p.tp.topic, p.topicID
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Partition, partition.Offset, partition.LeaderEpoch, partition.Metadata = p.tp.partition, c.offset, -1, &c.metadata
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(p.ctx, cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("kafka: offset commit was answered for other partitions than it named")
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// fetchCommit is what the group knows, once no open transaction is about to change it; offset −1 if nothing.
func (p *feedPartition) fetchCommit() (commit, error) {
	all, err := groupOffsets(p.ctx, p.feed.cl, p.group(), p.tp.topic)
	if err != nil {
		return commit{}, err
	}
	o, known := all[p.tp]
	if !known {
		return commit{}, fmt.Errorf("kafka: %s is assigned, but not known yet", p.tp)
	}
	return commit{o.At, o.Metadata}, nil
}
