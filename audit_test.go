package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

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

// TestAudit plays a small drop, finds nothing wrong, and then finds every kind of damage exactly where it was done.
func TestAudit(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--idle-after=2s")
	playTiny(p, pipelineSeed(t))

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
	if len(report.Views) != 6 {
		t.Errorf("views: %+v", report.Views)
	}
	if small := p.audit(func(c *auditConfig) { c.Window = 500 }); fmt.Sprint(small) != fmt.Sprint(report) {
		t.Errorf("window by window:\n%+v\nat once:\n%+v", small, report)
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
		if fmt.Sprint(disagree) != "[purchases from checkout]" {
			t.Errorf("views that disagree: %v", disagree)
		}
		if len(report.findings()) != 7 {
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
	for b.Loop() {
		if report := p.audit(); !report.clean() {
			b.Fatal(report.findings())
		}
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
