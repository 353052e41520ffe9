// Package embeddedtest starts embedded servers for tests of any package.
package embeddedtest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded"
)

// Main is a TestMain that lets the test binary act as the ClickHouse child:
//
//	func TestMain(m *testing.M) { embeddedtest.Main(m) }
func Main(m *testing.M) {
	embedded.MaybeRunChild()
	os.Exit(m.Run())
}

// Required reports whether the comma-separated list in DROPLIFT_REQUIRE names
// what, so that its absence must fail a test instead of skipping it.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("DROPLIFT_REQUIRE"), ","), what)
}

// Missing skips the test because of what is not there, or fails it when
// DROPLIFT_REQUIRE names it.
func Missing(t testing.TB, what, reason string) {
	t.Helper()
	if Required(what) {
		t.Fatalf("%s is required by DROPLIFT_REQUIRE: %s", what, reason)
	}
	t.Skipf("needs %s: %s", what, reason)
}

// NeedLibrary skips a test that cannot run without ClickHouse's library, or
// fails it when DROPLIFT_REQUIRE names clickhouse.
func NeedLibrary(t testing.TB) {
	t.Helper()
	if _, err := embedded.LocateLibrary(); errors.Is(err, embedded.ErrNoLibrary) {
		Missing(t, "clickhouse", err.Error())
	}
}

// ClickHouse starts an embedded ClickHouse in a directory of the test and
// stops it at its end. Without the library the test is skipped, or fails when
// DROPLIFT_REQUIRE names clickhouse. Options change the configuration first.
func ClickHouse(t testing.TB, options ...func(*embedded.ClickHouseConfig)) *embedded.ClickHouse {
	t.Helper()
	NeedLibrary(t)
	cfg := embedded.ClickHouseConfig{DataDir: t.TempDir(), Logger: Logger(t)}
	for _, option := range options {
		option(&cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := embedded.StartClickHouse(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Kafka starts an embedded Kafka in a directory of the test and stops it at
// its end. Options change the configuration first.
func Kafka(t testing.TB, options ...func(*embedded.KafkaConfig)) *embedded.Kafka {
	t.Helper()
	cfg := embedded.KafkaConfig{DataDir: t.TempDir(), Logger: Logger(t)}
	for _, option := range options {
		option(&cfg)
	}
	cluster, err := embedded.StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// Logger collects log lines and shows them only when the test fails.
func Logger(t testing.TB) *slog.Logger {
	w := &buffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server log:\n%s", w)
		}
	})
	return slog.New(slog.NewTextHandler(w, nil))
}

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
