package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

// nameOpenTransactions says which transaction keeps a restore waiting, once that has taken longer than any transaction
// of this group may: SessionTimeout, which TransactionTimeout is under.
//
// Brokers can lose track of a transaction, and then nobody ends it. Apache Kafka 4.3 does so when the only replica of its
// partitions is killed while it is open or being ended: the broker that comes back finds no leader for them yet, takes them for deleted, and
// counts the transaction as committed or aborted without having written its markers. Which of the two was meant
// only a person can find out, and end it with Kafka's own tool; reading on would be a guess. Replicated partitions do not have this.
func (ss *session) nameOpenTransactions(ctx context.Context, topic string, partitions []int32) {
	if wait(ctx, ss.cfg.SessionTimeout) != nil {
		return
	}
	var wanted kadm.TopicsSet
	wanted.Add(topic, partitions...)
	described, err := ss.adm.DescribeProducers(ctx, wanted)
	if err != nil {
		if ctx.Err() == nil {
			ss.log.Warn("the restore waits for a transaction to end, and the brokers do not say which", "topic", topic, "error", err)
		}
		return
	}
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset < 0 || !slices.Contains(partitions, p.Partition) || ctx.Err() != nil {
			return
		}
		ss.setWaiting(fmt.Sprintf("restoring: a transaction of producer %d on %s/%d, open since offset %d, has not ended", p.ProducerID, topic, p.Partition, p.CurrentTxnStartOffset))
		ss.log.Error("the restore waits for a transaction that has not ended in its time; if the brokers have lost track of it, "+
			"look at it with kafka-transactions.sh describe-producers, and end it with kafka-transactions.sh abort",
			"topic", topic, "partition", p.Partition, "producer_id", p.ProducerID, "producer_epoch", p.ProducerEpoch, "start_offset", p.CurrentTxnStartOffset)
	})
}
