package kafka

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/deploy/apachekafka/apachekafkatest"
)

// conformance is what every Kafka must make of this package. Tests that make a broker fail on purpose are not part of it.
var conformance = []struct {
	name string
	test func(t *testing.T, k server)
}{
	{"EnsureTopics", testEnsureTopics},
	{"EnsureTopicsTogether", testEnsureTopicsTogether},
	{"LagAndRead", testLagAndRead},
	{"ReadOverAborted", testReadOverAborted},
	{"ProducerPartitions", testProducerPartitions},
	{"CatalogueReadsWhole", testCatalogueReadsWhole},
	{"CatalogueRefreshesOnMiss", testCatalogueRefreshesOnMiss},
	{"CatalogueOverMarkers", testCatalogueOverMarkers},
	{"FollowerFollows", testFollowerFollows},
	{"FollowerReadsCommitted", testFollowerReadsCommitted},
	{"FollowerSurvivesLoss", testFollowerSurvivesLoss},
	{"FollowerRefuses", testFollowerRefuses},
	{"StageCountsOnce", testStageCountsOnce},
	{"StageRestores", testStageRestores},
	{"StageRestoresCompacted", testStageRestoresCompacted},
	{"StageRestoresFromSnapshots", testStageRestoresFromSnapshots},
	{"StageRebalances", testStageRebalances},
	{"StageMovesOnlyWhatItMust", testStageMovesOnlyWhatItMust},
	{"StageRestartsInPlace", testStageRestartsInPlace},
	{"StageOfOneNameAtATime", testStageOfOneNameAtATime},
	{"StageUnknownOutcome", testStageUnknownOutcome},
	{"StageWaitsForTheLastOwner", testStageWaitsForTheLastOwner},
	{"StageTellsLostRecords", testStageTellsLostRecords},
	{"StageFencesZombies", testStageFencesZombies},
	{"StageIdleFlush", testStageIdleFlush},
	{"StageUnderChaos", testStageUnderChaos},
	{"StageUnderChaosWithSnapshots", testStageUnderChaosWithSnapshots},
	{"FeedLoadsOnce", testFeedLoadsOnce},
	{"FeedDrains", testFeedDrains},
	{"StageNamesHangingTransactions", testStageNamesHangingTransactions},
	{"FeedRepeatsThePlan", testFeedRepeatsThePlan},
	{"FeedFencesZombies", testFeedFencesZombies},
	{"FeedKeepsWhatItDrains", testFeedKeepsWhatItDrains},
	{"FeedRestartsInPlace", testFeedRestartsInPlace},
	{"FeedOfOneNameAtATime", testFeedOfOneNameAtATime},
	{"FeedTransactionalTopic", testFeedTransactionalTopic},
	{"FeedUnderChaos", testFeedUnderChaos},
	{"RedeliveryTwice", testRedeliveryTwice},
	{"RedeliveryOfARedelivered", testRedeliveryOfARedelivered},
	{"RedeliveryFenced", testRedeliveryFenced},
	{"RedeliveryEndsWhatIsOpen", testRedeliveryEndsWhatIsOpen},
	{"DeciderFenced", testDeciderFenced},
	{"FeedRepeatsEveryPlannedBatch", testFeedRepeatsEveryPlannedBatch},
	{"FeedDeadLettersPoison", testFeedDeadLettersPoison},
	{"FeedDeadLettersUndecodable", testFeedDeadLettersUndecodable},
	{"FeedStopsAtRefusedDeadLetters", testFeedStopsAtRefusedDeadLetters},
}

// underConsumerProtocol are those that hold in groups that the brokers balance, too.
var underConsumerProtocol = []struct {
	name string
	test func(t *testing.T, k server)
}{
	{"FeedLoadsOnce", testFeedLoadsOnce},
	{"FeedDrains", testFeedDrains},
	{"FeedRepeatsThePlan", testFeedRepeatsThePlan},
	{"FeedFencesZombies", testFeedFencesZombies},
	{"FeedKeepsWhatItDrains", testFeedKeepsWhatItDrains},
	{"FeedTransactionalTopic", testFeedTransactionalTopic},
	{"FeedUnderChaos", testFeedUnderChaos},
	{"FeedRepeatsEveryPlannedBatch", testFeedRepeatsEveryPlannedBatch},
	{"FeedDeadLettersPoison", testFeedDeadLettersPoison},
}

// consumerProtocol is a server whose groups the brokers balance.
type consumerProtocol struct{ server }

func (k consumerProtocol) config(t testing.TB) cluster {
	c := k.server.config(t)
	c.GroupProtocol = GroupConsumer
	return c
}

func TestEmbeddedKafkaConforms(t *testing.T) {
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, embeddedKafka{})
		})
	}
	for _, c := range underConsumerProtocol {
		t.Run("ConsumerProtocol"+c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, consumerProtocol{embeddedKafka{}})
		})
	}
}

func TestApacheKafkaConforms(t *testing.T) {
	k := &apacheKafka{brokers: apachekafkatest.Start(t).Addrs()}
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, k)
		})
	}
	for _, c := range underConsumerProtocol {
		t.Run("ConsumerProtocol"+c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, consumerProtocol{k})
		})
	}
}

// server is a Kafka that a test runs on.
type server interface {
	// config reaches a cluster of which the topics under its prefix, and groups named by it, are the test's alone.
	config(t testing.TB) cluster
}

// cluster is a test's part of a server.
type cluster struct {
	Config
	// compact makes the broker compact a topic and returns when it has.
	compact func(t testing.TB, topic string)
	// fault makes the next request of a kind fail, where that is possible.
	fault func(key kmsg.Key, err *kerr.Error)
}

// embeddedKafka starts a broker for every test.
type embeddedKafka struct{}

func (embeddedKafka) config(t testing.TB) cluster {
	c, cfg := newCluster(t)
	return cluster{
		Config:  cfg,
		compact: func(testing.TB, string) { c.Compact() },
		fault: func(key kmsg.Key, err *kerr.Error) {
			c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, When: func(r kmsg.Request) bool {
				// The test's own producer is not transactional, and is to be left alone.
				p, ok := r.(*kmsg.ProduceRequest)
				return !ok || p.TransactionID != nil
			}})
		},
	}
}

// apacheKafka is one cluster for all tests.
type apacheKafka struct {
	brokers []string
	tests   atomic.Int64
}

func (k *apacheKafka) config(t testing.TB) cluster {
	cfg := Config{Brokers: k.brokers, TopicPrefix: fmt.Sprintf("t%d.", k.tests.Add(1)), Logger: testLogger(t)}
	return cluster{Config: cfg, compact: cfg.compactApache, fault: func(kmsg.Key, *kerr.Error) {}}
}

// compactApache makes segments short-lived, so that all but the newest can be compacted, and rolls them by transactions that are aborted.
func (cfg Config) compactApache(t testing.TB, topic string) {
	t.Helper()
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	var settings []kadm.AlterConfig
	for key, value := range map[string]string{"segment.ms": "50", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"} {
		settings = append(settings, kadm.AlterConfig{Name: key, Value: &value})
	}
	altered, err := adm.adm.AlterTopicConfigs(t.Context(), settings, topic)
	if err == nil {
		_, err = altered.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.EndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := cfg.newClient("test", kgo.TransactionalID(cfg.TopicPrefix+"roller"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	count := func() (n int) {
		for _, rs := range contents(t, cfg, topic) {
			n += len(rs)
		}
		return n
	}
	before := count()
	eventually(t, time.Minute, "compaction", func() bool {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for p := range ends[topic] {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: p, Key: []byte("roll"), Value: []byte("aborted")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // segments must grow old
		return count() < before
	})
}

// The groups of the tests' stages and feeds; the prefix keeps the tests apart.
const (
	testGroup   = "count"
	testLoaders = "load"
)
