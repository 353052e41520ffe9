package kafka

import (
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The broker's log must agree with PartitionOf, from any goroutine.
func TestPartitionOfIsWhereTheProducerSends(t *testing.T) {
	const n = 7
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 500 {
				key := fmt.Appendf(nil, "player-%d-%d", g, i)
				want := kgo.StickyKeyPartitioner(nil).ForTopic("raw").Partition(&kgo.Record{Key: key}, n)
				if got := PartitionOf(key, n); int(got) != want {
					t.Errorf("%s: partition %d, the producer's is %d", key, got, want)
				}
			}
		})
	}
	wait.Wait()
	if a, b := PartitionOf(nil, n), PartitionOf([]byte{}, n); a != b {
		t.Errorf("without a key: partitions %d and %d", a, b)
	}
}
