package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// audit audits the installation.
func (p *pipeline) audit(change ...func(*auditConfig)) *auditReport {
	p.t.Helper()
	cfg := auditConfig{SinkGroup: p.cfg.SinkGroup, ProcessGroup: p.cfg.ProcessGroup}
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	report, err := audit(ctx, p.node.kafka, p.client, cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return report
}

// exec runs statements as the user that writes.
func (p *pipeline) exec(statements ...string) {
	p.t.Helper()
	client, err := p.cfg.openWriter(context.Background(), p.cfg.ClickhouseURL, p.node.log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	for _, text := range statements {
		var out bytes.Buffer
		if err := client.Stream(context.Background(), &out, clickhouse.StreamRequest{SQL: text}); err != nil {
			p.t.Fatalf("%s\n%v", text, err)
		}
	}
}

// of is what a report says of a topic-partition.
func (r *auditReport) of(t testing.TB, topic string, partition int32) *partitionAudit {
	t.Helper()
	for i := range r.Partitions {
		if p := &r.Partitions[i]; p.Topic == topic && p.Partition == partition {
			return p
		}
	}
	t.Fatalf("the report has no %s/%d", topic, partition)
	return nil
}

// produceServing produces one record of each kind that edges and the registry make, which no simulated drop has.
func produceServing(p *pipeline) {
	p.t.Helper()
	var at int64
	if _, err := fmt.Sscan(p.tsv("SELECT toUnixTimestamp64Milli(max(event_time)) FROM player_events"), &at); err != nil {
		p.t.Fatal(err)
	}
	var score event.Event
	score.Reset(event.KindScore)
	score.ID, score.Type, score.EventTime, score.IngestTime, score.PlayerID, score.Consent = uuid.Must(uuid.NewV7()), event.ScoreAnswered, at, at, "player", 1
	score.Score = event.Score{Model: "churn", P: 0.5, Degraded: "no_model"}
	messages := []event.Message{{Kind: event.KindScore, Key: []byte("player"), Value: event.Append(nil, &score)}}
	for i := range 64 { // some of which are sampled, by their ids
		score.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "score %d", i))
		score.Score = event.Score{Model: "churn", ModelVersion: "v1", P: 0.5, Vector: []float64{1, 2}}
		messages = append(messages, event.Message{Kind: event.KindScore, Key: []byte("player"), Value: event.Append(nil, &score)})
	}
	example := event.Example{Model: "churn", PlayerID: "player", ScoredAt: at, Watermark: at, LabelFrom: at, LabelTo: at + 1, P: 0.5}
	model := event.Model{Name: "churn", Version: "v1", Kind: "logistic", PublishedAt: at, FeatureHash: "9f86", Checksum: "6030", Artefact: event.PackArtefact([]byte("{}"))}
	rollout := event.Rollout{Name: "churn", Champion: "v1", Action: "promote", At: at}
	lifetime := event.Lifetime{Model: "bgbb", Fit: "f1", PlayerID: "player", Revision: uint64(at), AsOf: at, FirstPurchase: at, Horizon: 1, PAlive: 0.5}
	producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer producer.Close()
	if err := errors.Join(producer.Produce(context.Background(), append(messages,
		event.Message{Kind: event.KindExample, Key: []byte("churn|player|1"), Value: example.AppendJSON(nil)},
		event.Message{Kind: event.KindModel, Key: []byte("churn|v1"), Value: model.AppendJSON(nil)},
		event.Message{Kind: event.KindRollout, Key: []byte("churn"), Value: rollout.AppendJSON(nil)},
		event.Message{Kind: event.KindLifetime, Key: []byte("bgbb|player||"), Value: lifetime.AppendJSON(nil)},
	)...), producer.Flush(context.Background())); err != nil {
		p.t.Fatal(err)
	}
	p.settle()
}

// TestAudit plays a small drop, finds nothing wrong, and then finds every kind of damage exactly where it was done.
func TestAudit(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--idle-after=2s")
	playTiny(p, pipelineSeed(t))
	produceServing(p)

	report := p.audit()
	if found := report.findings(); len(found) > 0 {
		t.Fatalf("a healthy installation:\n%s", strings.Join(found, "\n"))
	}
	sums := map[string]*partitionAudit{}
	for _, part := range report.Partitions {
		s := sums[part.Topic]
		if s == nil {
			s = &partitionAudit{}
			sums[part.Topic] = s
		}
		s.Records += part.Records
		s.Rows += part.Rows
		s.Excused += part.Excused
		if part.By == byOffset && part.Records != part.Rows+part.Excused || part.Pending+part.InFlight+part.Gone > 0 {
			t.Errorf("%+v", part)
		}
	}
	for _, kind := range sinkKinds {
		if kind == event.KindSettlement {
			continue // nobody is paid before the hold is over
		}
		if s := sums[kind.Topic()]; s == nil || s.Records == 0 {
			t.Errorf("nothing of %s was compared", kind.Topic())
		}
	}
	refused := 0
	if _, err := fmt.Sscan(p.tsv("SELECT count() FROM dead_letters WHERE class NOT IN ('unknown_drop', 'clock')"), &refused); err != nil {
		t.Fatal(err)
	}
	excused := sums["player"].Excused + sums["latency"].Excused + sums["checkout"].Excused + sums["subtitle"].Excused
	if refused == 0 || excused != int64(refused) {
		t.Errorf("%d records are excused, %d are dead-lettered for not decoding", excused, refused)
	}
	if len(report.Views) != 17 {
		t.Errorf("views: %+v", report.Views)
	}
	if small := p.audit(func(c *auditConfig) { c.Window = 500 }); fmt.Sprint(small) != fmt.Sprint(report) {
		t.Errorf("window by window:\n%+v\nat once:\n%+v", small, report)
	}
	if tables := p.audit(func(c *auditConfig) { c.NoViews = true }); len(tables.Views) != 0 || fmt.Sprint(tables.Partitions) != fmt.Sprint(report.Partitions) {
		t.Errorf("without views: %+v", tables)
	}
	quick := p.audit(func(c *auditConfig) { c.Quick = true })
	if !quick.clean() || quick.of(t, "player", 0).Rows != report.of(t, "player", 0).Rows {
		t.Errorf("quick: %+v", quick)
	}

	t.Run("damage", func(t *testing.T) {
		p := p.in(t)
		number := func(text string) int64 {
			n, err := strconv.ParseInt(p.tsv(text), 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			return n
		}
		gone := number("SELECT max(kafka_offset) - 3 FROM player_events WHERE kafka_partition = 1")
		twice := number("SELECT min(kafka_offset) FROM features WHERE kafka_partition = 2")
		marker := number("SELECT max(kafka_offset) + 1 FROM late_events WHERE kafka_partition = 0")
		beyond := report.of(t, "latency", 3).Planned + 7
		newest := number("SELECT kafka_offset FROM velocity FINAL WHERE kafka_partition = 1 ORDER BY kafka_offset LIMIT 1")
		money := number("SELECT any(kafka_partition) FROM purchases")
		copied := "INSERT INTO %[1]s SELECT * FROM %[1]s WHERE kafka_partition = %[2]d AND kafka_offset = %[3]d"
		p.exec(
			fmt.Sprintf("DELETE FROM player_events WHERE kafka_partition = 1 AND kafka_offset BETWEEN %d AND %d", gone, gone+1),
			fmt.Sprintf(copied, "features", 2, twice),
			fmt.Sprintf("INSERT INTO late_events (kafka_partition, kafka_offset) VALUES (0, %d)", marker),
			fmt.Sprintf("INSERT INTO latency_events (kafka_partition, kafka_offset) VALUES (3, %d)", beyond),
			fmt.Sprintf("DELETE FROM velocity WHERE (drop_id, pane_start, pop, partition) IN "+
				"(SELECT drop_id, pane_start, pop, partition FROM velocity WHERE kafka_partition = 1 AND kafka_offset = %d)", newest),
			"TRUNCATE TABLE drops",
			"DELETE FROM purchases WHERE kafka_partition = "+fmt.Sprint(money),
			"TRUNCATE TABLE money_posted",
			"TRUNCATE TABLE canary_requests",
			"TRUNCATE TABLE feature_progress",
			"TRUNCATE TABLE score_samples",
			"DELETE FROM rejected WHERE stored_in = 'late_events'",
		)
		report := p.audit()
		check := func(topic string, partition int32, verdict string, first, last int64) {
			t.Helper()
			part := report.of(t, topic, partition)
			found := append(append(append([]auditRange{}, part.Missing...), part.Doubled...), part.Stray...)
			if part.verdict() != verdict || len(found) != 1 || found[0].First != first || found[0].Last != last {
				t.Errorf("%s/%d: %s %v, want %s %d to %d", topic, partition, part.verdict(), found, verdict, first, last)
			}
		}
		check("player", 1, "missing", gone, gone+1)
		check("features", 2, "doubled", twice, twice)
		check("late", 0, "stray", marker, marker)
		check("latency", 3, "stray", beyond, beyond)
		check("velocity", 1, "missing", newest, newest)
		if drops := report.of(t, "drop", 0); total(drops.Missing) != drops.Records || drops.Records == 0 {
			t.Errorf("drops without a row: %+v", drops)
		}
		var disagree []string
		for _, v := range report.Views {
			if v.verdict() != "clean" {
				disagree = append(disagree, v.View+" from "+v.Source)
			}
		}
		if fmt.Sprint(disagree) != "[purchases from checkout money_posted from ledger canary_requests from latency feature_progress from features score_samples from score rejected from late]" {
			t.Errorf("views that disagree: %v", disagree)
		}
		if len(report.findings()) != 12 {
			t.Errorf("findings:\n%s", strings.Join(report.findings(), "\n"))
		}
		if quick := p.audit(func(c *auditConfig) { c.Quick, c.Kinds = true, []event.Kind{event.KindFeatures} }); quick.of(t, "features", 2).verdict() != "doubled" {
			t.Errorf("a quick audit of a doubled row: %+v", quick)
		}
	})
}

// BenchmarkAudit is the time of an audit of a small installation, as crash tests repeat it.
func BenchmarkAudit(b *testing.B) {
	p := startPipeline(b, b.TempDir())
	produceCheckouts(p, 1000)
	p.settle()
	for _, noViews := range []bool{false, true} {
		b.Run(fmt.Sprintf("no-views=%v", noViews), func(b *testing.B) {
			for b.Loop() {
				if report := p.audit(func(c *auditConfig) { c.NoViews = noViews }); !report.clean() {
					b.Fatal(report.findings())
				}
			}
		})
	}
}

// produceCheckouts sends purchases outside any drop.
func produceCheckouts(p *pipeline, n int) {
	p.t.Helper()
	producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer producer.Close()
	now := time.Now().UnixMilli()
	for i := range n {
		ev := event.Event{Kind: event.KindCheckout}
		ev.ID, ev.Type, ev.EventTime = uuid.Must(uuid.NewV7()), event.CheckoutCompleted, now+int64(i)
		ev.PlayerID, ev.SampleRate, ev.SchemaVersion = fmt.Sprintf("player-%d", i%100), 1, 1
		ev.Checkout = event.Checkout{CheckoutID: fmt.Sprintf("c-%d", i), Amount: 4999, Currency: "USD", Quantity: 1}
		m := event.Message{Kind: event.KindCheckout, Key: []byte(ev.PlayerID), Value: event.Append(nil, &ev)}
		if err := producer.Produce(context.Background(), m); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := producer.Flush(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

// An audit while records are produced, processed and stored finds nothing, however often.
func TestAuditOfALivePipeline(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--sink-batch-age=50ms", "--process-commit-interval=20ms")
	enough := make(chan struct{})
	var producing sync.WaitGroup
	producing.Go(func() {
		for {
			select {
			case <-enough:
				return
			default:
				produceCheckouts(p, 500)
				produceBroken(p, 3, `"type":"completed","amount":49.99`)
			}
		}
	})
	stop := sync.OnceFunc(func() { close(enough); producing.Wait() })
	defer stop()
	const audits = 10
	inFlight, pending := int64(0), int64(0)
	for audit := range audits {
		report := p.audit()
		if found := report.findings(); len(found) > 0 {
			t.Fatalf("audit %d:\n%s", audit, strings.Join(found, "\n"))
		}
		for _, part := range report.Partitions {
			inFlight += part.InFlight
			pending += part.Pending
		}
	}
	t.Logf("%d audits, %d rows in flight and %d records pending when they were seen", audits, inFlight, pending)
	stop()
	p.settle()
	if report := p.audit(); !report.clean() || report.of(t, "checkout", 0).Records == 0 {
		t.Errorf("at the end: %+v", report)
	}
}

// What the journal says decides what a row is: released, in flight, or nobody's. Groups of the test's own say it.
func TestAuditFollowsTheJournal(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--kafka-partitions=1", "--idle-after=2s")
	produceCheckouts(p, 100)
	produceBroken(p, 4, `"type":"completed","amount":49.99`)
	p.settle()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	audit := func(group string, at int64, metadata string) *partitionAudit {
		t.Helper()
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: "checkout", Partition: 0, At: at, Metadata: metadata, LeaderEpoch: -1})
		if err := adm.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
		return p.audit(func(c *auditConfig) {
			c.SinkGroup = group
			c.Kinds = []event.Kind{event.KindCheckout}
		}).of(t, "checkout", 0)
	}

	if got := audit("no-plan", 60, ""); fmt.Sprint(got.Stray) != "[{60 99 40}]" || got.Rows != 100 || got.Records != 60 {
		t.Errorf("rows beyond what is released: %+v", got)
	}
	if got := audit("planned", 60, "v1 last=103"); got.verdict() != "clean" || got.InFlight != 40 || got.Records != 60 {
		t.Errorf("rows of a plan: %+v", got)
	}
	if got := audit("planned-in-part", 60, "v1 last=89"); fmt.Sprint(got.Stray) != "[{90 99 10}]" || got.InFlight != 30 {
		t.Errorf("rows beyond a plan: %+v", got)
	}
	p.exec("INSERT INTO checkout_events SELECT * FROM checkout_events WHERE kafka_offset = 70")
	if got := audit("planned", 60, "v1 last=103"); fmt.Sprint(got.Doubled) != "[{70 70 1}]" || got.InFlight != 41 {
		t.Errorf("a doubled row of a plan: %+v", got)
	}
	p.exec("DELETE FROM checkout_events WHERE kafka_offset IN (70, 71)")
	if got := audit("planned", 60, "v1 last=103"); got.verdict() != "clean" || got.InFlight != 38 {
		t.Errorf("rows that a plan has not come to: %+v", got)
	}
	if got := audit("released", 104, ""); fmt.Sprint(got.Missing) != "[{70 71 2}]" || got.Excused != 4 {
		t.Errorf("the same, released: %+v", got)
	}
	cfg := auditConfig{SinkGroup: "released", ProcessGroup: "nobody", Kinds: []event.Kind{event.KindCheckout}}
	report, err := auditOf(p, cfg)
	if err != nil || report.of(t, "checkout", 0).Pending != 4 {
		t.Errorf("before the processors have come: %+v, %v", report, err)
	}
	if _, err := auditOf(p, auditConfig{SinkGroup: p.cfg.ProcessGroup, ProcessGroup: p.cfg.ProcessGroup}); err == nil || !strings.Contains(err.Error(), "is it a sink's group?") {
		t.Errorf("of a group that is no sink's: %v", err)
	}

	// Retention takes the log's first half: its rows cannot be compared any more.
	var below kadm.Offsets
	below.Add(kadm.Offset{Topic: "checkout", Partition: 0, At: 50})
	if deleted, err := adm.DeleteRecords(t.Context(), below); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	if got := audit("released", 104, ""); got.Gone != 50 || got.Start != 50 || got.Records != 54 || fmt.Sprint(got.Missing) != "[{70 71 2}]" {
		t.Errorf("after retention: %+v", got)
	}
}

// A row of an aborted record is stray, also in a compacted topic, where an offset without a record may be one that gave way.
func TestAuditFindsAbortedRecords(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--kafka-partitions=1", "--idle-after=2s")
	produceCheckouts(p, 10)
	p.settle()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...), kgo.TransactionalID("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	record := kgo.Record{Topic: "features", Value: []byte("{}")}
	if err := cl.ProduceSync(t.Context(), &record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	produceCheckouts(p, 10) // so that the sink passes the aborted record
	p.settle()
	p.exec(fmt.Sprintf("INSERT INTO features (kafka_partition, kafka_offset) VALUES (0, %d)", record.Offset))
	if got := p.audit().of(t, "features", 0); fmt.Sprint(got.Stray) != fmt.Sprintf("[{%[1]d %[1]d 1}]", record.Offset) {
		t.Errorf("a row of the aborted offset %d: %+v", record.Offset, got)
	}
}

func auditOf(p *pipeline, cfg auditConfig) (*auditReport, error) {
	return audit(context.Background(), p.node.kafka, p.client, cfg)
}

// The command says by its exit code what it found, names the first bad range, and what it advises puts it right.
func TestAuditCommand(t *testing.T) {
	dir := t.TempDir()
	p := startPipeline(t, dir, "--kafka-partitions=1", "--idle-after=2s")
	produceCheckouts(p, 50)
	p.settle()
	if code, stdout, stderr := runDroplift(t, nil, append([]string{"audit"}, p.flags()...)...); code != 0 || !strings.Contains(stdout, "Nothing is missing, doubled or stray.") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	p.exec("DELETE FROM checkout_events WHERE kafka_offset BETWEEN 20 AND 24",
		"INSERT INTO checkout_events SELECT * FROM checkout_events WHERE kafka_offset = 30")
	code, stdout, stderr := runDroplift(t, nil, append([]string{"audit", "--topic", "checkout"}, p.flags()...)...)
	if code != 1 || !strings.Contains(stdout, "checkout/0: 5 missing in checkout_events, first offsets 20 to 24") ||
		!strings.Contains(stdout, "checkout/0: 1 doubled in checkout_events, first offsets 30 to 30") || !strings.Contains(stdout, "To load checkout/0 again from offset 20 on: ") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	oneLine(t, lastLine(stderr), "droplift: error: the audit has findings")
	code, stdout, _ = runDroplift(t, nil, append([]string{"audit", "--json"}, p.flags()...)...)
	var report auditReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 1 || total(report.of(t, "checkout", 0).Missing) != 5 {
		t.Errorf("exit code %d, %v\n%s", code, err, stdout)
	}
	code, stdout, stderr = runDroplift(t, nil, "audit", "--topic", "nothing", "--kafka", p.cfg.KafkaBrokers[0], "--clickhouse", p.cfg.ClickhouseURL)
	if code != 2 || stdout != "" {
		t.Errorf("of no topic: exit code %d\n%s%s", code, stdout, stderr)
	}
	oneLine(t, stderr, "droplift: error: --topic: ")

	// The advice, step by step. The sink is stopped by a restart of the installation, with another group's start between.
	p.exec("ALTER TABLE checkout_events DELETE WHERE kafka_partition = 0 AND kafka_offset >= 20 SETTINGS mutations_sync = 1",
		"ALTER TABLE checkout_events MODIFY SETTING non_replicated_deduplication_window = 0",
		"ALTER TABLE checkout_events MODIFY SETTING non_replicated_deduplication_window = 10000")
	p.close()
	broker, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: filepath.Join(dir, "kafka"), Addr: "127.0.0.1:0", Logger: embeddedtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "checkout", Partition: 0, At: 20, LeaderEpoch: -1})
	if err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), p.cfg.SinkGroup, offsets); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	again := startPipeline(t, dir, "--kafka-partitions=1", "--idle-after=2s")
	again.settle()
	if report := again.audit(); !report.clean() || report.of(t, "checkout", 0).Rows != 50 {
		t.Errorf("after the advice was followed:\n%s\n%+v", strings.Join(report.findings(), "\n"), report.of(t, "checkout", 0))
	}
}

func lastLine(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return lines[max(0, len(lines)-2)]
}
