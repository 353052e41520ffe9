package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/deploy/apachekafka"
	"github.com/droplift/droplift/deploy/apachekafka/apachekafkatest"
	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// rig is an installation made to be broken: Apache Kafka and the ClickHouse engine as servers of their own, each behind
// a proxy, and one process that runs the processors and the sink, and can be held at every step.
type rig struct {
	t          *testing.T
	dir        string
	broker     *apachekafka.Cluster
	engine     *embedded.ClickHouse
	kafkaWires []*proxy // one a broker
	engineWire *proxy
	steps      *stepHolder
	disk       *smallDisk // the engine's; nil where none can be mounted
	process    *process
	generation int    // of process, for its log
	pprof      string // where process shows its profiles
	clients    map[world]*clickhouse.Client
	instance   string
}

const (
	// rigTransactionTimeout is how soon the broker aborts a transaction whose owner is silent.
	rigTransactionTimeout = time.Second
	// rigSessionTimeout is how soon the group gives a silent member up.
	rigSessionTimeout = 3 * time.Second
	// rigPatience is how long a server may take to be back.
	rigPatience = time.Minute
)

// newRig starts the servers, with one broker or three.
func newRig(t *testing.T, brokers int) *rig {
	t.Helper()
	embeddedtest.NeedLibrary(t)
	r := &rig{t: t, dir: t.TempDir(), instance: "rig", pprof: freeAddr(t), clients: map[world]*clickhouse.Client{}}
	r.broker = apachekafkatest.Start(t, func(cfg *apachekafka.Config) { cfg.Brokers = brokers })
	r.disk = mountSmallDisk(t, filepath.Join(r.dir, "disk"), 1<<30)
	r.engine = embeddedtest.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) {
		if r.disk != nil {
			cfg.DataDir = filepath.Join(r.disk.dir, "clickhouse")
		}
	})
	for _, addr := range r.broker.Addrs() {
		r.kafkaWires = append(r.kafkaWires, newProxy(t, addr))
	}
	r.engineWire = newProxy(t, r.engine.Addr())
	r.steps = newStepHolder(t)
	return r
}

// world is one copy of the tables, from topics of its own.
type world struct {
	prefix, database string
}

// flags make a process work on that world. Static membership lets a restarted process take its own place again at once.
func (r *rig) flags(w world, brokers, engine string) []string {
	return []string{"--kafka", brokers, "--clickhouse", engine, "--kafka-topic-prefix", w.prefix, "--clickhouse-database", w.database,
		"--data-dir", filepath.Join(r.dir, w.prefix+"data"), "--metrics-addr=", "--pprof-addr=", "--features-addr=", "--viewer-addr=", "--lift-every=0",
		"--process-transaction-timeout", rigTransactionTimeout.String(), "--session-timeout", rigSessionTimeout.String(),
		"--process-commit-interval", "20ms", "--sink-batch-age", "50ms", "--snapshot-interval", "500ms"}
}

// start starts the process, through the proxies and with its steps watched.
func (r *rig) start(w world) {
	r.t.Helper()
	r.generation++
	flags := r.flags(w, strings.Join(r.broker.Addrs(), ","), "http://"+r.engineWire.addr())
	var wires []string
	for i, addr := range r.broker.Addrs() {
		wires = append(wires, addr, r.kafkaWires[i].addr())
	}
	r.process = droplift([]string{stepsSocket + "=" + r.steps.path, kafkaProxies + "=" + strings.Join(wires, ",")},
		append(append([]string{"up"}, flags...), "--instance", r.instance, "--pprof-addr", r.pprof)...)
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	p, generation := r.process, r.generation
	r.t.Cleanup(func() {
		p.Process.Kill()
		if r.t.Failed() && generation > r.generation-3 {
			r.t.Logf("process %d said:\n%s", generation, p.stderr.String())
		}
	})
}

func (r *rig) cutKafka() {
	for _, wire := range r.kafkaWires {
		wire.cut()
	}
}

func (r *rig) mendKafka() {
	for _, wire := range r.kafkaWires {
		wire.mend()
	}
}

// kill ends the process at once.
func (r *rig) kill() {
	r.alive()
	r.process.Process.Kill()
	r.process.Wait()
}

// signal sends the process a signal.
func (r *rig) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.process.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// alive fails the test when the process has ended by itself.
func (r *rig) alive() {
	r.t.Helper()
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(r.process.Process.Pid, &status, syscall.WNOHANG, nil); err == nil && pid != 0 {
		r.t.Fatalf("process %d ended by itself (%v)", r.generation, status)
	}
}

// conf reaches Kafka past the proxy.
func (r *rig) conf(w world) kafka.Config {
	return kafka.Config{Brokers: r.broker.Addrs(), TopicPrefix: w.prefix}
}

// client reads a world past the proxy. There is one for each.
func (r *rig) client(w world) *clickhouse.Client {
	r.t.Helper()
	if client := r.clients[w]; client != nil {
		return client
	}
	client, err := clickhouse.Open(r.t.Context(), clickhouse.Config{URL: r.engine.URL(), Database: w.database})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close() })
	r.clients[w] = client
	return client
}

// audit compares Kafka with ClickHouse as they are now, the views too if asked to. It asks again while a server that was broken comes back.
func (r *rig) audit(w world, views bool) (report *auditReport) {
	r.t.Helper()
	cfg := parseConfig(r.t, r.flags(w, strings.Join(r.broker.Addrs(), ","), r.engine.URL())...)
	client := r.client(w)
	eventually(r.t, rigPatience, func() (err error) {
		report, err = audit(r.t.Context(), r.conf(w), client, auditConfig{SinkGroup: cfg.SinkGroup, ProcessGroup: cfg.ProcessGroup, NoViews: !views})
		return err
	})
	return report
}

// prepare makes the topics and tables.
func (r *rig) prepare(w world) {
	r.t.Helper()
	adm, err := kafka.NewAdmin(r.conf(w))
	if err != nil {
		r.t.Fatal(err)
	}
	defer adm.Close()
	cfg := parseConfig(r.t, r.flags(w, strings.Join(r.broker.Addrs(), ","), r.engine.URL())...)
	if _, err := adm.EnsureTopics(r.t.Context(), cfg.topics()); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.client(w).Migrate(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// watch looks at a world past the proxy.
func (r *rig) watch(w world) *watch {
	r.t.Helper()
	adm, err := kafka.NewAdmin(r.conf(w))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(adm.Close)
	return &watch{cfg: parseConfig(r.t, r.flags(w, strings.Join(r.broker.Addrs(), ","), r.engine.URL())...), kafka: r.conf(w), admin: adm}
}

// drain returns when everything in the log is processed and stored.
func (r *rig) drain(w world) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	if err := r.watch(w).drain(ctx, "Settling"); err != nil {
		r.t.Fatalf("the pipeline did not settle: %v", err)
	}
}

// diagnose logs which partitions wait for a transaction to end, and what the broker knows of it.
func (r *rig) diagnose() {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addrs()...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ends, err1 := adm.ListEndOffsets(ctx)
	stable, err2 := adm.ListCommittedOffsets(ctx)
	producers, err3 := adm.DescribeProducers(ctx, nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		r.t.Log("no diagnosis:", err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if o, ok := stable.Lookup(end.Topic, end.Partition); ok && o.Offset < end.Offset {
			r.t.Logf("%s/%d is stable up to %d, and ends at %d", end.Topic, end.Partition, o.Offset, end.Offset)
		}
	})
	producers.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			r.t.Logf("open transaction: %+v", p)
		}
	})
	transactions, err := adm.DescribeTransactions(ctx)
	if err != nil {
		r.t.Log("no transactions:", err)
	}
	transactions.Each(func(t kadm.DescribedTransaction) { r.t.Logf("transaction: %+v", t) })
}

// playInPeace plays the scenario through one process, uninterrupted, and checks the outcome against the books. letters
// are sent beside it, records for the sink to dead-letter.
func (r *rig) playInPeace(w world, scenario simulate.Scenario, letters int) (truth simulate.Truth, records int) {
	r.t.Helper()
	r.prepare(w)
	calm := r.traffic(w, scenario)
	records = calm.send(r.t, math.MaxInt)
	for range letters {
		calm.spoil(r.t)
	}
	process := startDroplift(r.t, nil, append([]string{"up"}, r.flags(w, strings.Join(r.broker.Addrs(), ","), r.engine.URL())...)...)
	r.drain(w)
	process.Process.Signal(os.Interrupt)
	if code := process.end(r.t); code != 0 {
		r.t.Fatalf("the peaceful run ended with exit code %d", code)
	}
	truth = calm.generator.Truth()
	checkBooks(r.t, &tables{r.client(w)}, truth)
	if r.t.Failed() {
		r.t.Fatal("the peaceful run is wrong already")
	}
	return truth, records
}

// compare checks a disturbed world against the books, and every table of it against the peaceful one.
func (r *rig) compare(t *testing.T, truth simulate.Truth, peace, disturbed world) {
	t.Helper()
	for _, finding := range r.audit(disturbed, true).findings() {
		t.Errorf("audit: %s", finding)
	}
	whole, hurt := &tables{r.client(peace)}, &tables{r.client(disturbed)}
	checkBooks(t, hurt, truth)
	for _, query := range slices.Sorted(maps.Keys(sameTables)) {
		if a, b := whole.checksum(t, query), hurt.checksum(t, query); a != b {
			t.Errorf("%s differs: %s, in peace %s", query, b, a)
		}
	}
}

// traffic hands out a scenario's records in slices.
type traffic struct {
	generator *simulate.Generator
	producer  *kafka.Producer
}

func (r *rig) traffic(w world, scenario simulate.Scenario) *traffic {
	r.t.Helper()
	// The log stamps records with the real clock, which is not the simulated one: no event may rely on it.
	scenario.Faults.NoIngestTime = 0
	generator, err := simulate.New(scenario)
	if err != nil {
		r.t.Fatal(err)
	}
	producer, err := kafka.NewProducer(r.conf(w), kafka.ProducerConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { producer.Close() })
	return &traffic{generator, producer}
}

// send produces up to n records, in several batches, and returns how many there were.
func (f *traffic) send(t testing.TB, n int) (sent int) {
	t.Helper()
	var batch []event.Message
	flush := func() {
		if err := f.producer.Produce(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
		if err := f.producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		batch = batch[:0]
	}
	const limit = 5000
	var rec simulate.Record
	for ; sent < n && f.generator.Next(&rec); sent++ {
		batch = append(batch, event.Message{Kind: rec.Kind, Key: rec.Key, Value: rec.Value})
		if len(batch) >= min(limit, 1+n/4) {
			flush()
		}
	}
	flush()
	return sent
}

// spoil sends a derived record that no processor of ours would write: the sink must dead-letter it.
func (f *traffic) spoil(t testing.TB) {
	t.Helper()
	if err := f.producer.Produce(t.Context(), event.Message{Kind: event.KindVelocity, Key: []byte("spoiled"), Value: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := f.producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// smallDisk is a file system of bounded size that a test can fill.
type smallDisk struct{ dir string }

// mountSmallDisk mounts one until the test ends. It returns nil, and says why, where the test may not mount.
func mountSmallDisk(t testing.TB, dir string, size int64) *smallDisk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Logf("no full disks in this run: cannot mount a file system: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &smallDisk{dir}
}

func (d *smallDisk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no byte free.
func (d *smallDisk) fill() error {
	file, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer file.Close()
	for chunk := bytes.Repeat([]byte{1}, 1<<20); len(chunk) > 0; {
		if _, err := file.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2] // ENOSPC for the last few bytes too
		}
	}
	return nil
}

func (d *smallDisk) empty() error { return os.Remove(d.ballast()) }
