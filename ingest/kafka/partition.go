package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// PartitionOf is the partition to which a Producer sends a key on a topic of n
// partitions: murmur2 as in Kafka's own clients.
func PartitionOf(key []byte, n int32) int32 {
	if key == nil {
		key = []byte{} // a record without a key has no partition of its own
	}
	return int32(byKey.Partition(&kgo.Record{Key: key}, int(n)))
}

// byKey is made once: making one seeds a random source for records without a
// key, which costs more than a hundred hashes. With a key it keeps no state.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")
