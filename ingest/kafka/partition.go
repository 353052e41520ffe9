package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// PartitionOf is the partition to which a Producer sends a key on a topic of n
// partitions: murmur2 as in Kafka's own clients.
func PartitionOf(key []byte, n int32) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, int(n)))
}
