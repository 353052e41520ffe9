package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaConfig configures an embedded Kafka.
type KafkaConfig struct {
	// DataDir holds topics, groups, transactions and the lock. Created when
	// missing.
	DataDir string
	// Addr is the host:port to listen on; default 127.0.0.1:0, a free port.
	// Only loopback is accepted: the embedded broker knows no users.
	Addr string
	// SyncWrites fsyncs every batch before acknowledging it. Without it, as
	// with Kafka's own defaults, acknowledged records survive any death of the
	// process but not of the machine.
	SyncWrites bool
	// AutoCreateTopics lets clients create topics by using them.
	AutoCreateTopics bool
	// DefaultPartitions of topics created without a number; default 4.
	DefaultPartitions int
	// Logger gets the broker's warnings and errors; default discards.
	Logger *slog.Logger
}

// Kafka is a running embedded Kafka: one broker, speaking the Kafka protocol
// with idempotent and transactional producers, consumer groups, compaction
// and retention. Its methods may be called from any goroutine.
//
// A transaction that is open when the process dies is aborted at the next
// start. One that is being committed in that very moment may end up committed
// in some partitions only: the broker writes its markers one by one. Kafka
// itself does not have this gap.
type Kafka struct {
	cluster *kfake.Cluster
	addrs   []string
	lock    *os.File
	clean   string // marks an orderly end
	once    sync.Once
}

// StartKafka opens or creates the log in cfg.DataDir and serves it. Errors are
// one line each: directory in use or not writable, port taken, log unreadable.
func StartKafka(cfg KafkaConfig) (_ *Kafka, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("embedded Kafka: %w", err)
		}
	}()
	host, port, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	lock, err := lockDirectory(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	data, clean := filepath.Join(cfg.DataDir, "data"), filepath.Join(cfg.DataDir, "clean")
	// After an orderly end open transactions go on; the broker has saved them.
	var open []openTransaction
	if err := os.Remove(clean); errors.Is(err, os.ErrNotExist) {
		if open, err = findOpenTransactions(data); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	gate := newGate(listener)
	options := []kfake.Opt{
		kfake.DataDir(data),
		kfake.ClusterID("droplift-embedded"),
		kfake.DefaultNumPartitions(cfg.DefaultPartitions),
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return gate, nil }),
		kfake.WithLogger(kafkaLogger{cfg.Logger}),
		// Change-log topics are read back on every restore; an hour between
		// compactions, the default, lets them grow too long.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "300000"}),
	}
	if cfg.SyncWrites {
		options = append(options, kfake.SyncWrites())
	}
	if cfg.AutoCreateTopics {
		options = append(options, kfake.AllowAutoTopicCreation())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		gate.Close()
		return nil, err
	}
	if len(open) > 0 {
		cfg.Logger.Info("embedded Kafka: aborting the transactions a crash left open", "count", len(open))
		if err := abortTransactions(listener.Addr().String(), gate, open); err != nil {
			cluster.Close()
			return nil, err
		}
	}
	close(gate.opened)
	return &Kafka{cluster: cluster, addrs: cluster.ListenAddrs(), lock: lock, clean: clean}, nil
}

// validate fills in the defaults and reports every problem at once.
func (cfg *KafkaConfig) validate() (host string, port int, err error) {
	var problems []error
	if cfg.DataDir == "" {
		problems = append(problems, errors.New("DataDir is empty"))
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	host, service, err := net.SplitHostPort(cfg.Addr)
	if err == nil {
		port, err = strconv.Atoi(service)
	}
	if err != nil {
		problems = append(problems, fmt.Errorf("address %q: %w", cfg.Addr, err))
	} else if !isLoopback(host) {
		problems = append(problems, fmt.Errorf("address %s is reachable from other machines, and the embedded broker knows no users: use 127.0.0.1", cfg.Addr))
	}
	if cfg.DefaultPartitions < 0 {
		problems = append(problems, errors.New("DefaultPartitions must not be negative"))
	} else if cfg.DefaultPartitions == 0 {
		cfg.DefaultPartitions = 4
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return host, port, errors.Join(problems...)
}

// Addrs are the bootstrap addresses, host:port.
func (k *Kafka) Addrs() []string { return k.addrs }

// Compact runs the log cleaner now instead of within five minutes.
func (k *Kafka) Compact() { k.cluster.Compact() }

// Close flushes everything to disk, stops the broker and frees the data
// directory. Clients lose their connections.
func (k *Kafka) Close() error {
	var err error
	k.once.Do(func() {
		k.cluster.Close()
		err = errors.Join(os.WriteFile(k.clean, nil, 0o640), k.lock.Close())
	})
	return err
}

// kafkaLogger passes on what the operator should see. The broker's own
// information level is a line per request, and its warnings are about its pace.
type kafkaLogger struct{ log *slog.Logger }

func (l kafkaLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded Kafka: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Info("embedded Kafka: " + fmt.Sprintf(format, args...))
	}
}
