package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

func kafkaClient(t testing.TB, addrs []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(t testing.TB, client *kgo.Client, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	reply, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, configs, topic)
	if err = errors.Join(err, reply.Err); err != nil {
		t.Fatal(err)
	}
}

func produce(t testing.TB, client *kgo.Client, topic string, values ...string) {
	t.Helper()
	for _, v := range values {
		key, _, _ := strings.Cut(v, "=")
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns partition 0 of the topic up to its end as a reader of the
// isolation level sees it.
func read(t testing.TB, addrs []string, topic string, isolation kgo.IsolationLevel) []string {
	t.Helper()
	client := kafkaClient(t, addrs, kgo.FetchIsolationLevel(isolation),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	list := kadm.NewClient(client).ListEndOffsets
	if isolation == kgo.ReadCommitted() {
		list = kadm.NewClient(client).ListCommittedOffsets
	}
	ends, err := list(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	var values []string
	// The last offset may be a control record, which no fetch returns: a
	// record written behind the end tells that everything before it was read.
	marker := kafkaClient(t, addrs)
	defer marker.Close()
	if err := marker.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("marker"), Value: []byte("marker")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if r.Offset >= end.Offset {
				return values
			}
			if string(r.Key) != "marker" {
				values = append(values, string(r.Value))
			}
		}
	}
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestKafkaConformance is what the pipeline needs of any Kafka.
func TestKafkaConformance(t *testing.T) {
	cluster := embeddedtest.Kafka(t)
	addrs := cluster.Addrs()

	t.Run("transactions", func(t *testing.T) {
		client := kafkaClient(t, addrs)
		createTopic(t, client, "tx", 1, nil)
		tx := kafkaClient(t, addrs, kgo.TransactionalID("tx-1"))
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
			if err := tx.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			produce(t, tx, "tx", fmt.Sprint("t", i, "=a"), fmt.Sprint("t", i, "=b"))
			if err := tx.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "committed", read(t, addrs, "tx", kgo.ReadCommitted()), "t0=a", "t0=b", "t2=a", "t2=b")
		equal(t, "uncommitted", read(t, addrs, "tx", kgo.ReadUncommitted()), "t0=a", "t0=b", "t1=a", "t1=b", "t2=a", "t2=b")
	})

	t.Run("a second producer fences the first", func(t *testing.T) {
		client := kafkaClient(t, addrs)
		createTopic(t, client, "fence", 1, nil)
		old := kafkaClient(t, addrs, kgo.TransactionalID("fence-1"))
		if err := old.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, old, "fence", "old=1")
		young := kafkaClient(t, addrs, kgo.TransactionalID("fence-1"))
		if err := young.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, young, "fence", "young=1")
		if err := young.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		if err := old.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
			t.Error("the fenced producer committed")
		}
		equal(t, "committed", read(t, addrs, "fence", kgo.ReadCommitted()), "young=1")
	})

	t.Run("consume, process, produce", func(t *testing.T) {
		client := kafkaClient(t, addrs)
		createTopic(t, client, "in", 1, nil)
		createTopic(t, client, "out", 1, nil)
		produce(t, client, "in", "1", "2", "3", "4")
		// The first session aborts, so the second must see the same input.
		for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(addrs...), kgo.TransactionalID("cpp"), kgo.ConsumerGroup("cpp"), kgo.ConsumeTopics("in"),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				t.Fatal(err)
			}
			if err := session.Begin(); err != nil {
				t.Fatal(err)
			}
			for n := 0; n < 4; {
				fetches := session.PollFetches(t.Context())
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				for _, r := range fetches.Records() {
					n++
					if err := session.ProduceSync(t.Context(), &kgo.Record{Topic: "out", Value: append([]byte("seen "), r.Value...)}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := session.End(t.Context(), commit); err != nil {
				t.Fatal(err)
			}
			session.Close()
		}
		equal(t, "output", read(t, addrs, "out", kgo.ReadCommitted()), "seen 1", "seen 2", "seen 3", "seen 4")
		offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), "cpp")
		if at, ok := offsets.Lookup("in", 0); err != nil || !ok || at.At != 4 {
			t.Errorf("committed offset %+v %v", at, err)
		}
	})

	t.Run("compaction keeps the last value of every key", func(t *testing.T) {
		client := kafkaClient(t, addrs)
		createTopic(t, client, "compacted", 1, map[string]*string{
			"cleanup.policy": kadm.StringPtr("compact"), "segment.bytes": kadm.StringPtr("200"), "min.cleanable.dirty.ratio": kadm.StringPtr("0.01"), "segment.ms": kadm.StringPtr("1"),
		})
		for i := range 200 {
			produce(t, client, "compacted", fmt.Sprintf("k%d=%d", i%10, i))
		}
		cluster.Compact()
		last := read(t, addrs, "compacted", kgo.ReadUncommitted())
		if len(last) >= 100 {
			t.Errorf("%d of 200 records are left", len(last))
		}
		values := map[string]string{}
		for _, v := range last {
			key, value, _ := strings.Cut(v, "=")
			values[key] = value
		}
		for k := range 10 {
			if want := strconv.Itoa(190 + k); values[fmt.Sprint("k", k)] != want {
				t.Errorf("k%d is %s, want %s", k, values[fmt.Sprint("k", k)], want)
			}
		}
	})
}

// TestKafkaReopen closes the cluster and opens it again on the same port.
func TestKafkaReopen(t *testing.T) {
	cfg := embedded.KafkaConfig{DataDir: t.TempDir()}
	cluster, err := embedded.StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, cluster.Addrs())
	cfg.Addr = cluster.Addrs()[0]
	for range 2 {
		if err := cluster.Close(); err != nil {
			t.Fatal(err)
		}
		if cluster, err = embedded.StartKafka(cfg); err != nil {
			t.Fatal(err)
		}
		check(t, cluster.Addrs())
	}
	if err := cluster.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestKafkaKilled kills the process that hosts the cluster without warning.
func TestKafkaKilled(t *testing.T) {
	if dir := os.Getenv("EMBEDDED_TEST_KAFKA"); dir != "" {
		cluster, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, cluster.Addrs())
		// An open transaction must not block or show after the restart.
		tx := kafkaClient(t, cluster.Addrs(), kgo.TransactionalID("fill"))
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, tx, "kept", "open=1")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	dir := t.TempDir()
	host := exec.Command(os.Args[0], "-test.run=^TestKafkaKilled$")
	host.Env = append(os.Environ(), "EMBEDDED_TEST_KAFKA="+dir)
	if out, err := host.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v\n%s", err, out)
	}
	cluster := embeddedtest.Kafka(t, func(cfg *embedded.KafkaConfig) { cfg.DataDir = dir })
	// Taking over the transactional id aborts what the dead producer left.
	tx := kafkaClient(t, cluster.Addrs(), kgo.TransactionalID("fill"))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, tx, "kept", "d=4")
	if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	equal(t, "records", read(t, cluster.Addrs(), "kept", kgo.ReadCommitted()), "a=1", "b=2", "c=3", "d=4")
}

// fill writes records, a committed and an aborted transaction and a group
// offset; check finds them.
func fill(t *testing.T, addrs []string) {
	t.Helper()
	client := kafkaClient(t, addrs)
	defer client.Close()
	createTopic(t, client, "kept", 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")})
	produce(t, client, "kept", "a=1", "b=2")
	tx := kafkaClient(t, addrs, kgo.TransactionalID("fill"))
	defer tx.Close()
	for value, end := range map[string]kgo.TransactionEndTry{"c=3": kgo.TryCommit, "aborted=1": kgo.TryAbort} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, tx, "kept", value)
		if err := tx.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	var offsets kadm.Offsets
	offsets.AddOffset("kept", 0, 2, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "group", offsets); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, addrs []string) {
	t.Helper()
	equal(t, "records", read(t, addrs, "kept", kgo.ReadCommitted()), "a=1", "b=2", "c=3")
	client := kafkaClient(t, addrs)
	defer client.Close()
	admin := kadm.NewClient(client)
	offsets, err := admin.FetchOffsets(t.Context(), "group")
	if at, ok := offsets.Lookup("kept", 0); err != nil || !ok || at.At != 2 {
		t.Errorf("group offset %+v %v", at, err)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), "kept")
	if err != nil || len(configs) != 1 {
		t.Fatal(configs, err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "retention.ms" && c.MaybeValue() != "-1" {
			t.Errorf("retention.ms is %s", c.MaybeValue())
		}
	}
}
