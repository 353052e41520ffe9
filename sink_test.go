package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// TestSinkPassesRefusedRecordsBy: records that ClickHouse refuses, and derived ones that nobody can decode, end in the dead-letter
// table, once; everything else is stored, also by the next process.
func TestSinkPassesRefusedRecordsBy(t *testing.T) {
	dir := t.TempDir()
	p := startPipeline(t, dir)
	execSQL(t, p, "ALTER TABLE droplift.checkout_events ADD CONSTRAINT not_666 CHECK amount != 666")
	const sales = 500
	produceSales := func(from int) {
		t.Helper()
		producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		for i := from; i < from+sales; i++ {
			var ev event.Event
			ev.Reset(event.KindCheckout)
			ev.ID, ev.Type, ev.PlayerID = uuid.Must(uuid.NewV7()), event.CheckoutCompleted, fmt.Sprintf("player-%d", i%23)
			ev.EventTime = time.Now().UnixMilli()
			ev.IngestTime = ev.EventTime
			ev.Checkout = event.Checkout{CheckoutID: fmt.Sprint(i), Amount: 1000 + int64(i), Currency: "USD", SKU: "cap", Quantity: 1}
			if i == 40 || i == 41 || i == 700 {
				ev.Checkout.Amount = 666
			}
			if err := producer.Produce(t.Context(), event.Message{Kind: event.KindCheckout, Key: []byte(ev.PlayerID), Value: event.Append(nil, &ev)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.Produce(t.Context(), event.Message{Kind: event.KindFeatures, Key: []byte("k"), Value: []byte(`{"player_id":`)}); err != nil {
			t.Fatal(err)
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	produceSales(0)
	p.settle()
	p.want("stored sales", "SELECT count(), uniqExact(id), countIf(amount = 666) FROM checkout_events", fmt.Sprint(sales-2, " ", sales-2, " 0"))
	const letters = "SELECT topic, class, count(), uniqExact(topic, partition, offset), countIf(position(value, '666') > 0 OR topic = 'features'), " +
		"countIf(position(field, 'not_666') > 0) FROM dead_letters GROUP BY topic, class ORDER BY topic"
	p.want("dead letters", letters, "checkout poison 2 2 2 2\nfeatures malformed 1 1 1 0")
	p.close()

	p = startPipeline(t, dir)
	produceSales(sales)
	p.settle()
	p.want("stored sales after a restart", "SELECT count(), uniqExact(id) FROM checkout_events", fmt.Sprint(2*sales-3, " ", 2*sales-3))
	p.want("dead letters after a restart", letters, "checkout poison 3 3 3 3\nfeatures malformed 2 2 2 0")
	p.want("purchases", "SELECT count() FROM purchases FINAL", fmt.Sprint(2*sales-3))
}

// TestSinkRefusesDriftedSchema: the sink does not begin on tables that are not as it needs them, and says all that is wrong.
func TestSinkRefusesDriftedSchema(t *testing.T) {
	p := startPipeline(t, t.TempDir())
	execSQL(t, p, "DROP VIEW droplift.purchases_from_checkout_events")
	execSQL(t, p, "ALTER TABLE droplift.late_events RENAME COLUMN late_by_ms TO late")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n, err := newNode(p.cfg, p.node.log, newOperations(), &servers{Brokers: p.cfg.KafkaBrokers, ClickhouseURL: p.cfg.ClickhouseURL})
	if err != nil {
		t.Fatal(err)
	}
	err = n.sink(ctx)
	for _, want := range []string{"materialized view purchases_from_checkout_events does not exist", "column late_by_ms is missing", "column late is unknown"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, which does not say: %s", err, want)
		}
	}
	execSQL(t, p, "ALTER TABLE droplift.late_events RENAME COLUMN late TO late_by_ms")
	if out := p.command(&MigrateCmd{RepairViews: true}); !strings.Contains(out, "purchases_from_checkout_events repaired") {
		t.Errorf("migrate --repair-views says %q", out)
	}
	execSQL(t, p, "INSERT INTO droplift.latency_events (synthetic, request) SETTINGS insert_deduplicate = 0 VALUES (true, 'probe')")
	execSQL(t, p, "TRUNCATE TABLE droplift.canary_requests")
	if out := p.command(&MigrateCmd{RefillViews: []string{"latency_events"}}); !strings.Contains(out, "views over latency_events filled in ") {
		t.Errorf("migrate --refill-views says %q", out)
	}
	p.want("canaries after a refill", "SELECT count() FROM canary_requests FINAL", "1")
}

// execSQL runs a statement as the embedded server's administrator.
func execSQL(t testing.TB, p *pipeline, statement string) {
	t.Helper()
	resp, err := http.Post(p.cfg.ClickhouseURL, "text/plain", strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: HTTP %d, %v: %s", statement, resp.StatusCode, err, said)
	}
}
