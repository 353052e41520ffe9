package apachekafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/deploy/apachekafka"
	"github.com/droplift/droplift/deploy/apachekafka/apachekafkatest"
)

// TestKilledBrokerKeepsWhatItAcknowledged writes, kills a broker (-9), writes again and reads everything back.
func TestKilledBrokerKeepsWhatItAcknowledged(t *testing.T) {
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprint(brokers), func(t *testing.T) {
			cluster := apachekafkatest.Start(t, func(c *apachekafka.Config) { c.Brokers = brokers })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addrs()...), kgo.DefaultProduceTopic("t"),
				kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			created, err := kadm.NewClient(cl).CreateTopic(ctx, 1, -1, nil, "t")
			if err != nil {
				t.Fatal(err)
			}
			if got := created.ReplicationFactor; int(got) != brokers {
				t.Errorf("%d replicas; want %d", got, brokers)
			}
			const n = 100
			for i := range n {
				if i == n/2 {
					if err := cluster.Kill(1); err != nil {
						t.Fatal(err)
					}
					if err := cluster.Restart(ctx, 1); err != nil {
						t.Fatal(err)
					}
				}
				if err := cl.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			for next := 0; next < n; {
				fetches := cl.PollFetches(ctx)
				if ctx.Err() != nil {
					t.Fatalf("read %d of %d: %v", next, n, fetches.Err())
				}
				fetches.EachRecord(func(r *kgo.Record) {
					if string(r.Value) != fmt.Sprint(next) {
						t.Fatalf("offset %d holds %s; want %d", r.Offset, r.Value, next)
					}
					next++
				})
			}
		})
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	err := apachekafka.Config{Brokers: 2}.Validate()
	want := "apachekafka: no directory\napachekafka: 2 brokers; 1 or 3 are possible"
	if err == nil || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
}
