package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
)

// benchScenario is the demo's: four weeks of history and a drop, 1.6 M events.
func benchScenario() simulate.Scenario {
	s := simulate.Crowd(1)
	s.Faults.NoIngestTime = 0 // as the demo: the log stamps records with the real clock
	return s
}

// recording is the scenario in a file, so that neither the simulator nor a heap of a gigabyte is part of what is measured.
type recording struct {
	dir  string
	path string
}

// recorded is one record of it. Its bytes are the receiver's to keep.
type recorded struct {
	kind       event.Kind
	phase      simulate.Phase
	at         int64
	key, value []byte
}

const recordedHeader = 1 + 1 + 8 + 4 + 4

func (r *recording) make(b *testing.B) {
	if r.path != "" {
		return
	}
	generator, err := simulate.New(benchScenario())
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(r.dir, "recording")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	var record simulate.Record
	var header []byte
	for generator.Next(&record) {
		header = append(header[:0], byte(record.Kind), byte(record.Phase))
		header = binary.LittleEndian.AppendUint64(header, uint64(record.At))
		header = binary.LittleEndian.AppendUint32(header, uint32(len(record.Key)))
		header = binary.LittleEndian.AppendUint32(header, uint32(len(record.Value)))
		w.Write(header)
		w.Write(record.Key)
		w.Write(record.Value)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	r.path = path
}

// reader reads a recording from where it was left.
type reader struct {
	file *os.File
	buf  *bufio.Reader
	// left is how many events may still be produced.
	left int
}

func (r *recording) open(b *testing.B) *reader {
	r.make(b)
	file, err := os.Open(r.path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	return &reader{file: file, buf: bufio.NewReaderSize(file, 1<<20), left: math.MaxInt}
}

// next reads a record, or returns false at the end.
func (r *reader) next(m *recorded) (bool, error) {
	var header [recordedHeader]byte
	if _, err := io.ReadFull(r.buf, header[:]); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, err
	}
	m.kind, m.phase = event.Kind(header[0]), simulate.Phase(header[1])
	m.at = int64(binary.LittleEndian.Uint64(header[2:]))
	key, value := binary.LittleEndian.Uint32(header[10:]), binary.LittleEndian.Uint32(header[14:])
	body := make([]byte, key+value)
	if _, err := io.ReadFull(r.buf, body); err != nil {
		return false, err
	}
	m.key, m.value = body[:key:key], body[key:]
	return true, nil
}

func (r *recording) each(b *testing.B, f func(recorded)) {
	reader := r.open(b)
	for {
		var m recorded
		more, err := reader.next(&m)
		if err != nil {
			b.Fatal(err)
		}
		if !more {
			return
		}
		f(m)
	}
}

// produce sends records until the end, the first one of the phase until, which is lost, or enough, and counts those that
// processors read.
func (r *reader) produce(ctx context.Context, conf kafka.Config, until simulate.Phase) (int, error) {
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{})
	if err != nil {
		return 0, err
	}
	defer producer.Close()
	events := 0
	batch := make([]event.Message, 0, 1024)
	for r.left > 0 {
		var m recorded
		more, err := r.next(&m)
		if err != nil {
			return 0, err
		}
		if !more || m.phase == until {
			break
		}
		if m.kind != event.KindDrop {
			events++
			r.left--
		}
		batch = append(batch, event.Message{Kind: m.kind, Key: m.key, Value: m.value})
		if len(batch) == cap(batch) {
			if err := producer.Produce(ctx, batch...); err != nil {
				return 0, err
			}
			batch = batch[:0]
		}
	}
	if err := producer.Produce(ctx, batch...); err != nil {
		return 0, err
	}
	return events, producer.Flush(ctx)
}

// toTheEnd is no phase, so a recording played until it is played whole.
const toTheEnd = simulate.Phase(255)

// benchConfig is the configuration that `droplift up` has without flags.
func benchConfig(b *testing.B) *Config {
	var cli CLI
	parser, err := newParser(&cli)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := parser.Parse([]string{"up"}); err != nil {
		b.Fatal(err)
	}
	cli.Config.DataDir = b.TempDir()
	return &cli.Config
}

func newBenchNode(b *testing.B, cfg *Config, servers *servers) *node {
	n, err := newNode(cfg, embeddedtest.Logger(b), newOperations(), servers)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// stopwatch measures a run's rate and the processors it had.
type stopwatch struct {
	began          time.Time
	ours, children time.Duration
}

func startStopwatch() stopwatch {
	ours, children := cpuTimes()
	return stopwatch{time.Now(), ours, children}
}

// stop logs what an event cost as well: that depends less on what else the machine does.
func (s stopwatch) stop(b testing.TB, events int) (rate, cores float64) {
	elapsed := time.Since(s.began)
	ours, children := cpuTimes()
	ours, children = ours-s.ours, children-s.children
	b.Logf("%d events in %.2f s; CPU per event: %.2f µs here, %.2f µs in the servers' processes", events, elapsed.Seconds(),
		ours.Seconds()*1e6/float64(events), children.Seconds()*1e6/float64(events))
	return float64(events) / elapsed.Seconds(), (ours + children).Seconds() / elapsed.Seconds()
}

// cpuTimes are what this process and its living children, ClickHouse and Apache Kafka, have used.
func cpuTimes() (ours, children time.Duration) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, 0
	}
	ours = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		pids, _ := os.ReadFile(task)
		for _, pid := range strings.Fields(string(pids)) {
			stat, _ := os.ReadFile("/proc/" + pid + "/stat")
			// After the name in brackets: state is field 3 of proc(5), utime 14 and stime 15, in hundredths of a second.
			_, rest, _ := strings.Cut(string(stat), ") ")
			if fields := strings.Fields(rest); len(fields) > 12 {
				user, _ := strconv.ParseInt(fields[11], 10, 64)
				system, _ := strconv.ParseInt(fields[12], 10, 64)
				children += time.Duration(user+system) * 10 * time.Millisecond
			}
		}
	}
	return ours, children
}

// behind asks how far a group is from the end of what it reads.
func behind(b *testing.B, admin *kafka.Admin, conf kafka.Config, group string, kinds []event.Kind) int64 {
	lags, err := admin.LagOn(b.Context(), group, conf.Topics(kinds...)...)
	if err != nil {
		b.Fatal(err)
	}
	var behind int64
	for _, lag := range lags {
		behind += lag.Records()
	}
	return behind
}

func newBenchAdmin(b *testing.B, conf kafka.Config) *kafka.Admin {
	admin, err := kafka.NewAdmin(conf)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(admin.Close)
	return admin
}

// benchProcess is Kafka → churn + velocity → Kafka, from the first record to the last commit.
func benchProcess(b *testing.B, bars *bars, r *recording, brokers []string) {
	cfg := benchConfig(b)
	cfg.onlyRules = []string{"churn", "velocity"}
	events := 0
	var rates, cores []float64
	for i := range 3 {
		run := *cfg
		run.ProcessGroup = fmt.Sprint(cfg.ProcessGroup, "-", i)
		n := newBenchNode(b, &run, &servers{Brokers: brokers})
		if err := n.topics(b.Context()); err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			var err error
			if events, err = r.open(b).produce(b.Context(), n.kafka, toTheEnd); err != nil {
				b.Fatal(err)
			}
		}
		admin := newBenchAdmin(b, n.kafka)
		roles := startRoles(b, n, map[string]role{"process": n.processors})
		watch := startStopwatch()
		roles.await("the processors to finish", func() bool { return behind(b, admin, n.kafka, run.ProcessGroup, stageInputs) == 0 })
		rate, busy := watch.stop(b, events)
		rates, cores = append(rates, rate), append(cores, busy)
		roles.stop()
	}
	baseline := newBaselineProcess(newBenchNode(b, cfg, &servers{Brokers: brokers}))
	byHand := baselineRun{
		loops: []func(context.Context) error{baseline.run}, done: baseline.processed.Load, events: int64(events), limit: baselineLimit,
	}.run(b)
	b.Logf("%d events, runs %.0f events/s; by hand %.0f events/s", events, rates, byHand)
	bars.add(barRow{
		Name: "Kafka → churn + velocity → Kafka, transactional", Value: median(rates), Unit: "events/s", Bar: 200_000, Limit: atLeast,
		Cores: median(cores), Runs: len(rates),
	})
	bars.add(barRow{
		Name: "Kafka → churn + velocity → Kafka, over maps and encoding/json by hand", Value: median(rates), Unit: "events/s", Bar: baselineBar,
		Limit: atLeast, Of: "ratio", Baseline: byHand, Cores: median(cores), Runs: len(rates),
	})
}

// rawTables are the tables of the keyed raw topics.
var rawTables = map[event.Kind]string{
	event.KindPlayer: "player_events", event.KindLatency: "latency_events", event.KindCheckout: "checkout_events", event.KindSubtitle: "subtitle_events",
}

// benchStore is Kafka → ClickHouse, and the same rows inserted by the client library alone.
func benchStore(b *testing.B, bars *bars, r *recording, brokers []string) {
	server := embeddedtest.ClickHouse(b)
	cfg := benchConfig(b)
	rows := 0
	var rates, cores, ratios, bare []float64
	for i := range 3 {
		run := *cfg
		run.SinkGroup = fmt.Sprint(cfg.SinkGroup, "-", i)
		run.ClickhouseDatabase = fmt.Sprint("bench", i)
		n := newBenchNode(b, &run, &servers{Brokers: brokers, ClickhouseURL: server.URL()})
		if err := n.topics(b.Context()); err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			var err error
			if rows, err = r.open(b).produce(b.Context(), n.kafka, toTheEnd); err != nil {
				b.Fatal(err)
			}
		}
		migrate(b, n)
		admin := newBenchAdmin(b, n.kafka)
		roles := startRoles(b, n, map[string]role{"sink": n.sink})
		watch := startStopwatch()
		roles.await("the sink to finish", func() bool { return behind(b, admin, n.kafka, run.SinkGroup, sinkKinds) == 0 })
		rate, busy := watch.stop(b, rows)
		roles.stop()
		rates, cores = append(rates, rate), append(cores, busy)

		baseline := insertBare(b, server.URL(), run.ClickhouseDatabase, fmt.Sprint("bare", i), cfg)
		bare, ratios = append(bare, baseline), append(ratios, rate/baseline)
	}
	b.Logf("%d rows, runs %.0f rows/s, bare inserts %.0f rows/s, ratios %.2f", rows, rates, bare, ratios)
	baseline := newBaselineStore(b, newBenchNode(b, cfg, &servers{Brokers: brokers, ClickhouseURL: server.URL()}))
	byHand := baselineRun{
		loops: []func(context.Context) error{baseline.run}, done: baseline.stored.Load, events: int64(rows), limit: baselineLimit,
	}.run(b)
	b.Logf("by hand %.0f rows/s", byHand)
	bars.add(barRow{
		Name: "Kafka → ClickHouse raw tables", Value: median(rates), Unit: "rows/s", Bar: 300_000, Limit: atLeast, Cores: median(cores), Runs: len(rates),
	})
	bars.add(barRow{
		Name: "Kafka → ClickHouse raw tables, over bare clickhouse-go inserts", Value: median(rates), Unit: "rows/s", Bar: 0.6, Limit: atLeast,
		Of: "ratio", Baseline: median(bare), Cores: median(cores), Runs: len(rates),
	})
	bars.add(barRow{
		Name: "Kafka → ClickHouse raw tables, over encoding/json and rows by hand", Value: median(rates), Unit: "rows/s", Bar: baselineBar, Limit: atLeast,
		Of: "ratio", Baseline: byHand, Cores: median(cores), Runs: len(rates),
	})
}

// migrate makes the node's tables.
func migrate(b testing.TB, n *node) {
	client, err := n.cfg.openWriter(b.Context(), n.servers.ClickhouseURL, n.log)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// block is a part of a table in columns, as the client library takes them.
type block struct {
	insert  string
	wire    []ch.ColumnNameAndType
	columns []reflect.Value
	rows    int
}

// insertBare inserts a quarter of the rows that the database from holds into fresh tables of the database to, views and
// all: column by column, four blocks at a time, over the sink's own protocol and compression. It returns rows/s.
func insertBare(b *testing.B, address, from, to string, cfg *Config) float64 {
	fresh := *cfg
	fresh.ClickhouseDatabase = to
	migrate(b, newBenchNode(b, &fresh, &servers{ClickhouseURL: address, Brokers: []string{"127.0.0.1:1"}}))
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	connect := func(database string) ch.Conn {
		conn, err := ch.Open(&ch.Options{
			Protocol: ch.HTTP, Addr: []string{u.Host}, Auth: ch.Auth{Database: database, Username: cfg.ClickhouseUser},
			Compression: &ch.Compression{Method: ch.CompressionLZ4}, MaxOpenConns: 8, MaxIdleConns: 8,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		return conn
	}
	source, target := connect(from), connect(to)
	var blocks []*block
	rows := 0
	for _, name := range rawTables {
		for partition := range cfg.KafkaPartitions {
			block := readBlock(b, source, name, partition)
			blocks = append(blocks, block)
			rows += block.rows
		}
	}
	watch := startStopwatch()
	var group errgroup.Group
	group.SetLimit(4)
	for i, block := range blocks {
		group.Go(func() error { return block.send(b.Context(), target, fmt.Sprint(to, i)) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	rate, _ := watch.stop(b, rows)
	return rate
}

// readBlock reads the first quarter of a partition.
func readBlock(b *testing.B, conn ch.Conn, name string, partition int32) *block {
	described, err := conn.Query(b.Context(), "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} AND default_kind = '' ORDER BY position",
		ch.Named("table", name))
	if err != nil {
		b.Fatal(err)
	}
	defer described.Close()
	out := &block{}
	var names, expressions []string
	for described.Next() {
		var column, kind string
		if err := described.Scan(&column, &kind); err != nil {
			b.Fatal(err)
		}
		expression := column
		switch {
		case strings.HasPrefix(kind, "DateTime64"):
			expression = "toUnixTimestamp64Milli(" + column + ")" // milliseconds are what costs the library least
		case kind == "LowCardinality(String)":
			// As text: the server builds the dictionary faster than the library does.
			kind = "String"
			expression = "toString(" + column + ")"
		}
		names, expressions = append(names, column), append(expressions, expression)
		out.wire = append(out.wire, ch.ColumnNameAndType{Name: column, Type: kind})
	}
	out.insert = "INSERT INTO " + name + " (" + strings.Join(names, ", ") + ")"
	rows, err := conn.Query(b.Context(), "SELECT "+strings.Join(expressions, ", ")+" FROM "+name+" WHERE kafka_partition = {partition:UInt32}"+
		" AND kafka_offset < (SELECT max(kafka_offset) FROM "+name+" WHERE kafka_partition = {partition:UInt32}) / 4 ORDER BY kafka_offset",
		ch.Named("partition", strconv.Itoa(int(partition))))
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var targets []any
	for _, column := range rows.ColumnTypes() {
		targets = append(targets, reflect.New(column.ScanType()).Interface())
		out.columns = append(out.columns, reflect.MakeSlice(reflect.SliceOf(column.ScanType()), 0, 1<<14))
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			b.Fatal(err)
		}
		for i, target := range targets {
			out.columns[i] = reflect.Append(out.columns[i], reflect.ValueOf(target).Elem())
		}
		out.rows++
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return out
}

func (k *block) send(ctx context.Context, conn ch.Conn, token string) error {
	if k.rows == 0 {
		return nil
	}
	ctx = ch.Context(ctx, ch.WithColumnNamesAndTypes(k.wire), ch.WithSettings(ch.Settings{
		"insert_deduplication_token": token, "deduplicate_blocks_in_dependent_materialized_views": 1, "async_insert": 0,
	}))
	batch, err := conn.PrepareBatch(ctx, k.insert)
	if err != nil {
		return err
	}
	for i, column := range k.columns {
		if err := batch.Column(i).Append(column.Interface()); err != nil {
			return fmt.Errorf("%s, column %s: %w", k.insert, k.wire[i].Name, err)
		}
	}
	return batch.Send()
}

// benchEverything is the whole pipeline in one process and its ClickHouse: first as fast as it goes, then at a steady rate.
func benchEverything(b *testing.B, bars *bars, r *recording, brokers []string) {
	server := embeddedtest.ClickHouse(b)
	cfg := benchConfig(b)
	n := newBenchNode(b, cfg, &servers{Brokers: brokers, ClickhouseURL: server.URL()})
	if err := n.topics(b.Context()); err != nil {
		b.Fatal(err)
	}
	migrate(b, n)
	admin := newBenchAdmin(b, n.kafka)
	cfg.FeaturesAddr = "127.0.0.1:0"
	var err error
	if n.features, err = cfg.listenFeatures(); err != nil {
		b.Fatal(err)
	}
	roles := startRoles(b, n, map[string]role{"process": n.processors, "sink": n.sink, "features": n.serveFeatures})

	recording := r.open(b)
	watch := startStopwatch()
	var produced atomic.Int64
	var group errgroup.Group
	group.Go(func() error {
		events, err := recording.produce(b.Context(), n.kafka, simulate.Live)
		produced.Store(int64(events))
		return err
	})
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	done := func() bool {
		// The processors first: once they are done, what they publish is in the topics.
		return !slices.ContainsFunc(cfg.loops(), func(l loop) bool { return behind(b, admin, n.kafka, l.group, l.kinds) > 0 })
	}
	roles.await("everything to be processed and stored", done)
	rate, busy := watch.stop(b, int(produced.Load()))
	b.Logf("%d events", produced.Load())
	bars.add(barRow{
		Name: "everything at once: produced, processed, stored", Value: rate, Unit: "events/s", Bar: 80_000, Limit: atLeast, Cores: busy,
	})

	live := &steady{node: n, recording: recording, rate: 20_000, warmup: 5 * time.Second, length: 25 * time.Second}
	live.run(b)
	roles.stop()
	b.Logf("achieved %.0f events/s; %d events and %d features timed; p50 %v and %v", live.achieved, len(live.stored), len(live.updated),
		quantile(live.stored, 0.5), quantile(live.updated, 0.5))
	at := fmt.Sprintf(" p99 at %s events/s", figure(live.achieved))
	bars.add(barRow{
		Name: "event to queryable in ClickHouse," + at, Value: quantile(live.stored, 0.99).Seconds() * 1000, Unit: "ms", Bar: 2000, Limit: atMost,
		Cores: live.cores,
	})
	bars.add(barRow{
		Name: "event to updated feature," + at, Value: quantile(live.updated, 0.99).Seconds() * 1000, Unit: "ms", Bar: 500, Limit: atMost,
		Cores: live.cores,
	})

	bars.add(barRow{
		Name: "event to an answer with the updated feature," + at, Value: quantile(live.answered, 0.99).Seconds() * 1000, Unit: "ms", Bar: 500, Limit: atMost,
		Cores: live.cores,
	})

	bars.add(barRow{
		Name: "everything at once, over the loops by hand on raw tables alone", Value: rate, Unit: "events/s", Bar: baselineBar, Limit: atLeast, Of: "ratio",
		Baseline: everythingByHand(b, n, r), Cores: busy,
	})
}

// everythingByHand runs both baselines while the first events of the recording are produced, on topics and in a database
// of their own, until all is processed and stored. What the baseline publishes it does not store. It returns events/s.
func everythingByHand(b *testing.B, beside *node, r *recording) float64 {
	const events = 300_000
	cfg := *beside.cfg
	cfg.KafkaTopicPrefix = "byhand."
	n := newBenchNode(b, &cfg, beside.servers)
	if err := n.topics(b.Context()); err != nil {
		b.Fatal(err)
	}
	process, store := newBaselineProcess(n), newBaselineStore(b, n)
	recording := r.open(b)
	recording.left = events
	produce := func(ctx context.Context) error {
		_, err := recording.produce(ctx, n.kafka, toTheEnd)
		return err
	}
	return baselineRun{
		loops: []func(context.Context) error{process.run, store.run, produce}, events: events, limit: 5 * time.Minute,
		done: func() int64 { return min(process.processed.Load(), store.stored.Load()) },
	}.run(b)
}
