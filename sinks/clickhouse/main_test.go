package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/deploy/freeport"
	"github.com/droplift/droplift/ingest/event"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// migrated are the data of a server whose database droplift is empty and migrated.
var migrated = embeddedtest.NewTemplate(func(ctx context.Context, server *embedded.ClickHouse) error {
	c, err := Open(ctx, Config{URL: server.URL()})
	if err != nil {
		return err
	}
	_, err = c.Migrate(ctx)
	return errors.Join(err, c.Close())
})

// open connects to a server of the test's own with an empty, migrated database.
func open(t testing.TB) *Client {
	t.Helper()
	return connectTo(t, migrated.ClickHouse(t))
}

// connectTo connects to server as its administrator.
func connectTo(t testing.TB, server *embedded.ClickHouse) *Client {
	t.Helper()
	c, err := Open(t.Context(), Config{URL: server.URL(), Logger: embeddedtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// unanswered is c with a server that is not there.
func unanswered(t testing.TB, c *Client) *Client {
	t.Helper()
	addr, release, err := freeport.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	away, cfg := *c, c.cfg
	cfg.URL = "http://" + addr
	if away.conn, err = connect(cfg, cfg.Database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(away.conn.Close(), release()); err != nil {
			t.Error(err)
		}
	})
	return &away
}

func newSink(t testing.TB, c *Client) *Sink {
	t.Helper()
	s, err := NewSink(c, SinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTestLoader(t testing.TB, s *Sink, kind event.Kind, partition int32) *Loader {
	t.Helper()
	l, err := s.Loader(kind.Topic(), partition)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// exec runs statements that a test needs.
func exec(t testing.TB, c *Client, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := c.conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// value returns the one value of a query as text.
func value(t testing.TB, c *Client, text string) string {
	t.Helper()
	return strings.Join(lines(t, c, text), "\n")
}

// lines returns the rows of a query as TSV.
func lines(t testing.TB, c *Client, text string) []string {
	t.Helper()
	var b strings.Builder
	if err := c.Stream(t.Context(), &b, StreamRequest{SQL: text, Format: "TSV"}); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if b.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// writeAll writes records as one batch per call, covering their offsets.
func writeAll(t testing.TB, l *Loader, records []event.Record) {
	t.Helper()
	if refused, err := writeBatch(t, l, records, false); err != nil || refused {
		t.Fatal(refused, err)
	}
}

// writeBatch seals records as one batch, covering their offsets, and writes it.
func writeBatch(t testing.TB, l *Loader, records []event.Record, repeated bool) (refused bool, err error) {
	t.Helper()
	b := seal(l, records, repeated)
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return b.Write(ctx)
}

func seal(l *Loader, records []event.Record, repeated bool) *Batch {
	for _, r := range records {
		l.Add(r)
	}
	return l.Seal(records[0].Offset, records[len(records)-1].Offset, repeated)
}

// monday is 2025-09-01 00:00 UTC, a Monday.
const monday int64 = 1_756_684_800_000

// records encodes events as the records of one partition from offset first on.
func records(first int64, events ...event.Event) []event.Record {
	out := make([]event.Record, len(events))
	for i := range events {
		ev := &events[i]
		if ev.ID == (uuid.UUID{}) {
			ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d/%d/%s", ev.Kind, first+int64(i), ev.PlayerID))
		}
		ev.SampleRate, ev.SchemaVersion = 1, 1
		out[i] = event.Record{Kind: ev.Kind, Offset: first + int64(i), Timestamp: ev.EventTime + 5, Value: event.Append(nil, ev)}
	}
	return out
}

func checkout(kind event.Type, player string, at, amount int64) event.Event {
	ev := event.Event{Kind: event.KindCheckout}
	ev.Type, ev.PlayerID, ev.EventTime, ev.IngestTime = kind, player, at, at
	ev.DropID, ev.CreatorID, ev.POP = "drop-1", "creator-1", "fra"
	ev.Checkout = event.Checkout{CheckoutID: "c-" + player, Amount: amount, Currency: "USD", SKU: "jacket", Quantity: 1}
	return ev
}

func player(kind event.Type, id string, at int64) event.Event {
	ev := event.Event{Kind: event.KindPlayer}
	ev.Type, ev.PlayerID, ev.EventTime, ev.IngestTime = kind, id, at, at
	ev.DropID, ev.CreatorID, ev.POP = "drop-1", "creator-1", "fra"
	return ev
}
