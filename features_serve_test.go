package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
)

// startFeatures runs the feature store alone; stop ends it as Ctrl-C does.
func startFeatures(t *testing.T, flags ...string) (n *node, stop func()) {
	t.Helper()
	cfg := parseConfig(t, append([]string{"--metrics-addr=127.0.0.1:0", "--pprof-addr=", "--features-addr=127.0.0.1:0", "--viewer-addr="}, flags...)...)
	listener, err := cfg.listenFeatures()
	if err != nil {
		t.Fatal(err)
	}
	if n, err = connectNode(cfg, "features"); err != nil {
		t.Fatal(err)
	}
	n.log, n.features = embeddedtest.Logger(t), listener
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.run(ctx, n.serveFeatures) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("the feature store ended with: %v", err)
		}
	}
	t.Cleanup(stop)
	eventually(t, time.Minute, n.ops.ready)
	return n, stop
}

// featuresOf asks for one player.
func featuresOf(t *testing.T, n *node, player string, at int64) map[string]any {
	t.Helper()
	status, body, err := get(fmt.Sprintf("%s/v1/features/%s?at=%d", n.featuresAt(), player, at))
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	return answer
}

// metricOf is a line of a process's metrics.
func metricOf(t *testing.T, n *node, series string) string {
	t.Helper()
	_, body, err := get(n.ops.MetricsAt + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// The store follows the topic, comes back from its snapshot reading the tail only, and from the topic alone when the
// snapshot is damaged or the topic was made anew.
func TestFeatureStore(t *testing.T) {
	const at, partitions = int64(1_760_000_000_000), 2
	flags := func(broker string, dir string) []string {
		return []string{"--kafka", broker, "--kafka-partitions", fmt.Sprint(partitions), "--data-dir", dir}
	}
	broker, dir := strings.Join(embeddedtest.Kafka(t).Addrs(), ","), t.TempDir()
	n, stop := startFeatures(t, flags(broker, dir)...)
	produce := func(records ...event.Features) {
		t.Helper()
		producer, err := kafka.NewProducer(n.kafka, kafka.ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		for i := range records {
			if err := producer.Produce(t.Context(), event.Message{Kind: event.KindFeatures, Key: []byte(records[i].PlayerID), Value: records[i].AppendJSON(nil)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	of := func(player string, revision uint64, asOf int64) event.Features {
		return event.Features{PlayerID: player, Revision: revision, AsOf: asOf, Watermark: asOf - 1000, FirstActivity: asOf - 7000, LastActivity: asOf - 1, GapMeanS: -1, GapVarS2: -1}
	}
	until := func(player string, revision float64) map[string]any {
		t.Helper()
		var answer map[string]any
		eventually(t, time.Minute, func() error {
			if answer = featuresOf(t, n, player, at); answer["revision"] != revision {
				return fmt.Errorf("%s is %v, want revision %v", player, answer, revision)
			}
			return nil
		})
		return answer
	}

	// A neighbour in the same partition moves its watermark.
	neighbour := "neighbour"
	for i := 0; kafka.PartitionOf([]byte(neighbour), partitions) != kafka.PartitionOf([]byte("ada"), partitions); i++ {
		neighbour = fmt.Sprint("neighbour", i)
	}
	produce(of("ada", 1, at-5000))
	if answer := until("ada", 1); answer["complete"] != false || answer["age_ms"] != 5000.0 || answer["hash"] != feature.Player.Hash() {
		t.Errorf("ada: %v", answer)
	}
	produce(of(neighbour, 1, at))
	if until(neighbour, 1); featuresOf(t, n, "ada", at)["complete"] != true {
		t.Errorf("the watermark has passed ada: %v", featuresOf(t, n, "ada", at))
	}
	if answer := featuresOf(t, n, "nobody", at); answer["outcome"] != "unknown" {
		t.Errorf("nobody: %v", answer)
	}
	stop()

	// The snapshot brings two players; only the record after it is read.
	produce(of("ada", 2, at))
	n, stop = startFeatures(t, flags(broker, dir)...)
	until("ada", 2)
	if got := metricOf(t, n, `droplift_features_records_total{outcome="applied"}`); got != "1" {
		t.Errorf("%s records were read after the snapshot, 1 was produced", got)
	}
	until(neighbour, 1)
	stop()

	files, err := filepath.Glob(filepath.Join(dir, "features", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("snapshots: %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], data[:len(data)-7], 0o600); err != nil {
		t.Fatal(err)
	}
	n, stop = startFeatures(t, flags(broker, dir)...)
	until("ada", 2)
	if got := metricOf(t, n, `droplift_features_snapshots_refused_total{cause="corrupt"}`); got != "1" {
		t.Errorf("%s truncated snapshots refused", got)
	}
	if got := metricOf(t, n, `droplift_features_records_total{outcome="applied"}`); got != "3" {
		t.Errorf("%s records were read from the start, 3 were produced", got)
	}
	stop()

	// Another cluster has a topic of the same name: nothing of the snapshot is its.
	broker = strings.Join(embeddedtest.Kafka(t).Addrs(), ",")
	n, stop = startFeatures(t, flags(broker, dir)...)
	if answer := featuresOf(t, n, "ada", at); answer["found"] != false {
		t.Errorf("ada comes from another cluster: %v", answer)
	}
	if got := metricOf(t, n, `droplift_features_snapshots_refused_total{cause="foreign"}`); got != "1" {
		t.Errorf("%s snapshots of another topic refused", got)
	}
	stop()
}

// Two replicas that share the partitions answer for all players between them.
func TestFeatureStorePartitions(t *testing.T) {
	broker := strings.Join(embeddedtest.Kafka(t).Addrs(), ",")
	flags := []string{"--kafka", broker, "--kafka-partitions=2", "--features-snapshot-dir=none"}
	a, _ := startFeatures(t, append(flags, "--features-partitions=0")...)
	b, _ := startFeatures(t, append(flags, "--features-partitions=1")...)
	for i := range 20 {
		player := fmt.Sprint("p", i)
		outcomes := map[any]int{}
		for _, n := range []*node{a, b} {
			outcomes[featuresOf(t, n, player, 1_760_000_000_000)["outcome"]]++
		}
		if outcomes["unknown"] != 1 || outcomes["elsewhere"] != 1 {
			t.Errorf("%s: %v", player, outcomes)
		}
	}
}

func TestFeaturesList(t *testing.T) {
	out, err := captureStdout((&FeaturesListCmd{}).Run)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range feature.Player.Features {
		if !strings.Contains(out, f.Name) || !strings.Contains(out, f.Unit) {
			t.Errorf("%s is not listed", f.Name)
		}
	}
	if !strings.Contains(out, feature.Player.Hash()) {
		t.Error("the hash is not shown")
	}
}

func TestFeaturesFlags(t *testing.T) {
	var c FeaturesConfig
	c.FeaturesAddr, c.FeaturesPartitions, c.FeaturesMaxPlayers = "nowhere", []int32{9, 1, 1}, -1
	err := c.validate(4)
	for _, want := range []string{`"nowhere" is not HOST:PORT`, "9 is not below", "1 is named twice", "--features-ttl", "--features-max-players", "--features-snapshot-interval"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (&FeaturesServeCmd{}).Run(t.Context(), &Config{}); err == nil || !strings.Contains(err.Error(), "--features-addr") {
		t.Errorf("without an address: %v", err)
	}
}
