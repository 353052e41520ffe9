// Package apachekafka runs Apache Kafka itself, in KRaft mode and from its Maven
// jars, for tests and benchmarks: one broker, or three that replicate. Brokers are
// processes of their own on loopback, so they can be killed, frozen and started again.
package apachekafka

import (
	"context"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/deploy/freeport"
)

// ErrMissing says that Java or the jars are not on this machine.
var ErrMissing = errors.New("Apache Kafka cannot run here")

// Config says what to run. Dir is required.
type Config struct {
	// Dir gets the brokers' data and logs, broker-1.log and so on.
	Dir string
	// Brokers is 1 or 3. Default 1. Three replicate every topic, and need two replicas to accept a write.
	Brokers int
	// Advertise says where clients reach a broker that listens on addr, for a proxy between them. Default: addr.
	Advertise func(broker int, addr string) (string, error)
	// Properties are added to every broker's configuration, and win over the package's own.
	Properties map[string]string
	// JVM are flags for the brokers' Java, which win over the package's own.
	JVM []string
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("apachekafka: no directory"))
	}
	if c.Brokers != 0 && c.Brokers != 1 && c.Brokers != 3 {
		errs = append(errs, fmt.Errorf("apachekafka: %d brokers; 1 or 3 are possible", c.Brokers))
	}
	return errors.Join(errs...)
}

//go:embed pom.xml
var pom []byte

// Version is the Apache Kafka that pom.xml pins.
func Version() string {
	var project struct {
		Version string `xml:"version"`
	}
	if err := xml.Unmarshal(pom, &project); err != nil {
		panic(err) // the file is part of the program
	}
	return project.Version
}

// locate finds Java and the jars' directory.
func locate() (java, jars string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", fmt.Errorf("%w: %w; install a JDK, 17 or later", ErrMissing, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	jars = filepath.Join(cache, "droplift", "kafka", Version())
	if _, err := os.Stat(jars); err != nil {
		return "", "", fmt.Errorf("%w: %w; run make kafka, which needs Maven", ErrMissing, err)
	}
	return java, jars, nil
}

// Cluster is a running Apache Kafka. Its methods may be called from one goroutine at a time.
type Cluster struct {
	brokers  []*broker
	reserved []func() error
}

// Start formats storage, starts the brokers and returns when all of them serve.
// The error is ErrMissing when this machine cannot run them.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	java, jars, err := locate()
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	for id := 1; id <= max(1, cfg.Brokers); id++ {
		b := &broker{id: id, dir: filepath.Join(cfg.Dir, fmt.Sprintf("broker-%d", id)), java: java, jars: jars, jvm: cfg.JVM}
		for _, addr := range []*string{&b.listen, &b.controller} {
			var release func() error
			if *addr, release, err = freeport.Reserve(); err != nil {
				return nil, errors.Join(err, c.Close())
			}
			c.reserved = append(c.reserved, release)
		}
		b.advertised = b.listen
		if cfg.Advertise != nil {
			if b.advertised, err = cfg.Advertise(id, b.listen); err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
		c.brokers = append(c.brokers, b)
	}
	var group errgroup.Group
	for _, b := range c.brokers {
		group.Go(func() error {
			if err := b.format(ctx, c.properties(b, cfg.Properties)); err != nil {
				return err
			}
			return b.start()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for _, b := range c.brokers {
		if err := b.await(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// properties is a broker's configuration. What differs from Apache Kafka's defaults
// makes the brokers small and their timers short; none of it changes what they guarantee.
func (c *Cluster) properties(b *broker, more map[string]string) map[string]string {
	voters := make([]string, len(c.brokers))
	for i, v := range c.brokers {
		voters[i] = fmt.Sprintf("%d@%s", v.id, v.controller)
	}
	replicas, quorum := "1", "1"
	if len(c.brokers) == 3 {
		replicas, quorum = "3", "2"
	}
	p := map[string]string{
		"node.id":                        strconv.Itoa(b.id),
		"process.roles":                  "broker,controller",
		"listeners":                      "PLAINTEXT://" + b.listen + ",CONTROLLER://" + b.controller,
		"advertised.listeners":           "PLAINTEXT://" + b.advertised,
		"controller.listener.names":      "CONTROLLER",
		"controller.quorum.voters":       strings.Join(voters, ","),
		"log.dirs":                       filepath.Join(b.dir, "data"),
		"auto.create.topics.enable":      "false",
		"default.replication.factor":     replicas,
		"min.insync.replicas":            quorum,
		"unclean.leader.election.enable": "false",

		// A broker that was killed may only come back once its session is over.
		"broker.session.timeout.ms":          "3000",
		"broker.heartbeat.interval.ms":       "500",
		"controller.quorum.fetch.timeout.ms": "1000",

		"offsets.topic.num.partitions":             "4",
		"offsets.topic.replication.factor":         replicas,
		"transaction.state.log.num.partitions":     "4",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            quorum,
		"num.io.threads":                           "2",
		"num.network.threads":                      "2",
		"background.threads":                       "2",
		"log.cleaner.dedupe.buffer.size":           "8388608",

		"group.initial.rebalance.delay.ms":                            "0",
		"group.min.session.timeout.ms":                                "100",
		"group.consumer.min.session.timeout.ms":                       "100",
		"group.consumer.session.timeout.ms":                           "10000",
		"group.consumer.min.heartbeat.interval.ms":                    "50",
		"group.consumer.heartbeat.interval.ms":                        "200",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
		"log.cleaner.backoff.ms":                                      "200",
		"log.initial.task.delay.ms":                                   "500",
		"log.retention.check.interval.ms":                             "500",
	}
	for k, v := range more {
		p[k] = v
	}
	return p
}

// Addrs are the brokers' addresses for clients.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		addrs[i] = b.advertised
	}
	return addrs
}

// Kill ends a broker, 1 to 3, at once (kill -9).
func (c *Cluster) Kill(id int) error { return c.brokers[id-1].kill() }

// Restart starts a broker that was killed, on its data, and returns when it serves.
func (c *Cluster) Restart(ctx context.Context, id int) error {
	b := c.brokers[id-1]
	if err := b.start(); err != nil {
		return err
	}
	return b.await(ctx)
}

// Logs are the brokers' log files.
func (c *Cluster) Logs() []string {
	files := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		files[i] = b.log()
	}
	return files
}

// Close ends every broker at once. Its data is the caller's.
func (c *Cluster) Close() error {
	var errs []error
	for _, b := range c.brokers {
		errs = append(errs, b.kill())
	}
	for _, release := range c.reserved {
		errs = append(errs, release())
	}
	c.reserved = nil
	return errors.Join(errs...)
}
