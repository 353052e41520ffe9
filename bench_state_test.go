package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
)

// dropsOf is a catalogue in memory.
type dropsOf map[string]*event.Drop

func (d dropsOf) Drop(id string, _ int64) *event.Drop { return d[id] }

// churnState is the churn rule's change-log after the simulated month and its drop: every player's last entry.
func churnState(b *testing.B, r *recording) [][]byte {
	config := processors.Config{Inputs: stageInputs}
	drops := dropsOf{}
	partition := processors.NewPartition(0, config, drops, []processors.Rule{churn.New(churn.Config{})})
	state := map[string][]byte{}
	caughtUp := slices.Repeat([]bool{true}, len(stageInputs)) // as live: an input that is quiet for long is idle
	var now int64
	commit := func() {
		partition.Flush(now, caughtUp)
		partition.Changes(func(key string, value []byte) {
			if strings.HasPrefix(key, playersPrefix) {
				state[strings.Clone(key)] = slices.Clone(value)
			}
		})
		partition.Commit()
	}
	pending := 0
	r.each(b, func(m recorded) {
		now = m.at
		if m.kind == event.KindDrop {
			var d event.Decoder
			var ev event.Event
			if err := d.Decode(m.kind, m.value, &ev); err == nil {
				drop := ev.Drop
				drops[ev.DropID] = &drop
			}
			return
		}
		partition.Process(event.Record{Kind: m.kind, Timestamp: m.at, Key: m.key, Value: m.value})
		if pending++; pending == 10_000 {
			commit()
			pending = 0
		}
	})
	commit()
	var values [][]byte
	for _, value := range state {
		if value != nil { // nil: forgotten
			values = append(values, value)
		}
	}
	slices.SortFunc(values, bytes.Compare)
	return values
}

// playersPrefix is the change-log prefix of the churn rule's players, its first table.
const playersPrefix = "churn/0/"

// playerKey is a change-log key as long as a simulated player's.
func playerKey(i int) string {
	return fmt.Sprintf("%sp%016x", playersPrefix, uint64(i)*0x9e3779b97f4a7c15)
}

func benchState(b *testing.B, bars *bars, r *recording) {
	values := churnState(b, r)
	const players = 200_000
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	partition := processors.NewPartition(0, processors.Config{Inputs: stageInputs}, dropsOf{}, []processors.Rule{churn.New(churn.Config{})})
	encoded := 0
	for i := range players {
		value := values[i%len(values)]
		encoded += len(value)
		if err := partition.Restore(playerKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Logf("%d states of the simulated month, %d B encoded on average", len(values), encoded/players)
	bars.add(barRow{
		Name: "state per player, all churn windows", Value: float64(after.HeapAlloc-before.HeapAlloc) / players, Unit: "B of heap", Bar: 600, Limit: atMost,
	})
	runtime.KeepAlive(partition)
}

func benchRestore(b *testing.B, bars *bars, r *recording, brokers []string) {
	values := churnState(b, r)
	const players = 1_000_000
	cfg := benchConfig(b)
	n := newBenchNode(b, cfg, &servers{Brokers: brokers})
	if err := n.topics(b.Context()); err != nil {
		b.Fatal(err)
	}
	opts, err := n.kafka.Options("bench")
	if err != nil {
		b.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond))...)
	if err != nil {
		b.Fatal(err)
	}
	changelog := n.kafka.Changelog(cfg.ProcessGroup)
	for i := range players {
		key := playerKey(i)
		client.Produce(b.Context(), &kgo.Record{
			Topic: changelog, Partition: kafka.PartitionOf([]byte(key[len(playersPrefix):]), cfg.KafkaPartitions),
			Key: []byte(key), Value: values[i%len(values)],
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	// A change-log is only restored for a group that has offsets.
	offsets := kadm.Offsets{}
	for _, kind := range stageInputs {
		for p := range cfg.KafkaPartitions {
			offsets.Add(kadm.Offset{Topic: n.kafka.Topic(kind), Partition: p, At: 0, LeaderEpoch: -1})
		}
	}
	if err := kadm.NewClient(client).CommitAllOffsets(b.Context(), cfg.ProcessGroup, offsets); err != nil {
		b.Fatal(err)
	}
	client.Close()

	measure := func(name string, cfg *Config) {
		var took, cores []float64
		for range 3 {
			n := newBenchNode(b, cfg, &servers{Brokers: brokers})
			runtime.GC()
			watch := startStopwatch()
			roles := startRoles(b, n, map[string]role{"process": n.processors})
			elapsed := time.Since(watch.began).Seconds()
			_, busy := watch.stop(b, players)
			roles.stop()
			took, cores = append(took, elapsed), append(cores, busy)
		}
		bars.add(barRow{Name: name, Value: median(took), Unit: "s", Bar: 5, Limit: atMost, Cores: median(cores), Runs: len(took)})
	}
	bare := *cfg
	bare.SnapshotDir = "none"
	measure("restore 1 M players from the change-log alone, group join included", &bare)

	writing := *cfg
	writing.SnapshotInterval = time.Second
	n = newBenchNode(b, &writing, &servers{Brokers: brokers})
	roles := startRoles(b, n, map[string]role{"process": n.processors})
	roles.await("a snapshot of every partition", func() bool {
		return gathered(b, n, "droplift_stage_snapshots_written_total") >= float64(cfg.KafkaPartitions)
	})
	b.Logf("%.0f B of snapshots; a partition was held for %.3f s, and written within %.3f s, on average",
		gathered(b, n, "droplift_stage_snapshot_written_bytes_total"),
		gathered(b, n, "droplift_stage_snapshot_copy_seconds")/float64(cfg.KafkaPartitions),
		gathered(b, n, "droplift_stage_snapshot_seconds")/float64(cfg.KafkaPartitions))
	roles.stop()
	measure("restore 1 M players from snapshots, group join included", cfg)
}

// roles are a node's roles while a benchmark runs them.
type roles struct {
	b      *testing.B
	cancel context.CancelFunc
	ended  chan error
	left   int
}

// startRoles starts roles and waits until the node is ready, so its state is restored.
// The keys of run are the names of the roles' readiness checks.
func startRoles(b *testing.B, n *node, run map[string]role) *roles {
	for name := range run {
		n.ops.check(name, func() error { return errors.New("not started") }) // until the role says more
	}
	ctx, cancel := context.WithCancel(b.Context())
	r := &roles{b: b, cancel: cancel, ended: make(chan error, len(run)), left: len(run)}
	for _, role := range run {
		go func() { r.ended <- role(ctx) }()
	}
	r.await("the roles to be ready", func() bool { return n.ops.ready() == nil })
	return r
}

// await polls until condition holds, and fails when a role ends first.
func (r *roles) await(what string, condition func() bool) {
	r.b.Helper()
	deadline := time.After(10 * time.Minute)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case err := <-r.ended:
			r.cancel()
			r.b.Fatalf("a role ended before %s: %v", what, err)
		case <-deadline:
			r.cancel()
			r.b.Fatalf("waited too long for %s", what)
		}
	}
}

func (r *roles) stop() {
	r.b.Helper()
	r.cancel()
	for range r.left {
		if err := <-r.ended; err != nil && !errors.Is(err, context.Canceled) {
			r.b.Error(err)
		}
	}
}
