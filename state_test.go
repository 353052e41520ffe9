package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/snapshot"
)

// landing is a player's landing view as a collector hands it on. Each n gives another event ID.
func landing(player string, at int64, n int) event.Message {
	var ev event.Event
	ev.Reset(event.KindPlayer)
	binary.BigEndian.PutUint64(ev.ID[:], uint64(n+1)*0x9e3779b97f4a7c15)
	ev.Type, ev.PlayerID, ev.EventTime, ev.IngestTime = event.LandingView, player, at, at
	return event.Message{Kind: event.KindPlayer, Key: []byte(player), Value: event.Append(nil, &ev)}
}

// snapshotKeys are the keys of every partition's newest snapshot.
func snapshotKeys(t *testing.T, dir, changelog string) (map[string]bool, error) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, changelog+"*", "*", "*.snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	newest := map[string]string{}
	for _, path := range paths {
		newest[filepath.Dir(path)] = path
	}
	keys := map[string]bool{}
	for _, path := range newest {
		f, err := snapshot.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, err // replaced meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Verify(); err != nil {
			t.Fatal(err)
		}
		err = f.Each(func(key string, _ []byte) error { keys[key] = true; return nil })
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return keys, nil
}

// Players who are away for too long leave memory, the change-log and the snapshots, and do not come back with a restart.
func TestForgottenPlayersLeaveEveryCopyOfTheState(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	broker := embeddedtest.Kafka(t)
	cfg := parseConfig(t, "--data-dir", t.TempDir(), "--metrics-addr=", "--pprof-addr=", "--kafka-partitions=2", "--memory-limit=8GiB",
		"--process-commit-interval=10ms", "--idle-after=50ms", "--snapshot-interval=10ms")
	dir := cfg.snapshots().Dir

	var n *node
	start := func() (stop func()) {
		var err error
		if n, err = newNode(cfg, embeddedtest.Logger(t), newOperations("process"), &servers{Brokers: broker.Addrs()}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.processors(ctx) }()
		eventually(t, time.Minute, n.ops.ready)
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	send := func(messages ...event.Message) {
		t.Helper()
		p, err := kafka.NewProducer(n.kafka, kafka.ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := errors.Join(p.Produce(t.Context(), messages...), p.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	// changelog is the newest value of each key.
	changelog := func() map[string][]byte {
		t.Helper()
		values := map[string][]byte{}
		err := kafka.Read(t.Context(), n.kafka, kafka.ReadConfig{Topic: n.kafka.Changelog(cfg.ProcessGroup)}, func(_ int32, r event.Record) {
			values[string(r.Key)] = r.Value
		})
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	alive := func() map[string]bool {
		keys := map[string]bool{}
		for key, value := range changelog() {
			if value != nil {
				keys[key] = true
			}
		}
		return keys
	}
	holds := func(keys map[string]bool, prefix string) (some int) {
		for key := range keys {
			if strings.HasPrefix(key, prefix) {
				some++
			}
		}
		return some
	}

	const then, players = int64(1_772_452_800_000), 200
	stop := start()
	var old, young []event.Message
	for i := range players {
		old = append(old, landing(fmt.Sprint("old-", i), then+int64(i), i))
	}
	send(old...)
	eventually(t, time.Minute, func() error {
		keys, err := snapshotKeys(t, dir, n.kafka.Changelog(cfg.ProcessGroup))
		if err == nil && holds(keys, playersPrefix+"old-") != players {
			err = fmt.Errorf("%d of %d players are in the snapshots", holds(keys, playersPrefix+"old-"), players)
		}
		return err
	})

	// Some who come 100 days later, in every partition, are what the watermark needs.
	const later = then + 100*24*3_600_000
	for i := range 20 {
		young = append(young, landing(fmt.Sprint("young-", i), later, players+i))
	}
	send(young...)
	var live map[string]bool
	eventually(t, time.Minute, func() error {
		live = alive()
		if o, y := holds(live, playersPrefix+"old-"), holds(live, playersPrefix+"young-"); o > 0 || y != len(young) {
			return fmt.Errorf("the change-log holds %d old players and %d of %d young ones", o, y, len(young))
		}
		return nil
	})
	eventually(t, time.Minute, func() error {
		keys, err := snapshotKeys(t, dir, n.kafka.Changelog(cfg.ProcessGroup))
		if live = alive(); err == nil && !maps.Equal(keys, live) {
			err = fmt.Errorf("the snapshots hold %d keys, the change-log %d", len(keys), len(live))
		}
		return err
	})
	if ids := holds(live, "_/ids/player/"+fmt.Sprint(then/60_000)); ids > 0 {
		t.Errorf("%d blocks of IDs of that time are alive", ids)
	}
	tombstones := 0
	for key, value := range changelog() {
		if strings.HasPrefix(key, playersPrefix+"old-") && value == nil {
			tombstones++
		}
	}
	if tombstones != players {
		t.Errorf("%d of %d players have a tombstone", tombstones, players)
	}
	eventually(t, time.Minute, func() error {
		if keys := gathered(t, n, "droplift_process_state_keys"); keys >= players {
			return fmt.Errorf("%v keys are in memory", keys)
		}
		return nil
	})
	stop()

	stop = start()
	if entries := gathered(t, n, "droplift_stage_restored_records_total"); entries == 0 || entries >= players {
		t.Errorf("%v entries were restored, %d were alive", entries, len(live))
	}
	send(landing("young-0", later+1, 1000))
	eventually(t, time.Minute, func() error {
		if keys := gathered(t, n, "droplift_process_state_keys"); keys == 0 || keys >= players {
			return fmt.Errorf("%v keys are in memory after a restart", keys)
		}
		return nil
	})
	if limit := gathered(t, n, "droplift_memory_limit_bytes"); limit != 8<<30 {
		t.Errorf("metric: a memory limit of %v bytes", limit)
	}
	if used := gathered(t, n, "droplift_memory_used_bytes"); used <= 0 || used > 8<<30 {
		t.Errorf("metric: %v bytes used", used)
	}
	stop()
}
