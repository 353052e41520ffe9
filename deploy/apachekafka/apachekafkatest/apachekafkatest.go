// Package apachekafkatest starts Apache Kafka for tests of any package.
package apachekafkatest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/apachekafka"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// Start starts Apache Kafka in a directory of the test and ends it with the test.
// Where it cannot run the test is skipped, or fails when DROPLIFT_REQUIRE names kafka. Options change
// the configuration first. When the test fails, the end of the brokers' logs is shown.
func Start(t testing.TB, options ...func(*apachekafka.Config)) *apachekafka.Cluster {
	t.Helper()
	// A test is over before the optimising compiler has paid for itself.
	cfg := apachekafka.Config{Dir: t.TempDir(), JVM: []string{"-XX:TieredStopAtLevel=1"}}
	for _, option := range options {
		option(&cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cluster, err := apachekafka.Start(ctx, cfg)
	if errors.Is(err, apachekafka.ErrMissing) {
		embeddedtest.Missing(t, "kafka", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, file := range cluster.Logs() {
				t.Logf("%s ends:\n%s", file, apachekafka.LogTail(file, 64<<10))
			}
		}
	})
	return cluster
}
