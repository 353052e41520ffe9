package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
)

// refusing makes a table refuse the rows whose amount is one of these. A sale's amount is 100 plus the row's number.
func refusing(t testing.TB, c *Client, table string, amounts ...int) {
	t.Helper()
	for _, amount := range amounts {
		exec(t, c, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT not_%d CHECK abs(amount) != %d", table, amount, amount))
	}
}

func checkRefusals(t testing.TB, refusals []event.Refusal, want ...int64) {
	t.Helper()
	var offsets []int64
	for _, r := range refusals {
		offsets = append(offsets, r.Offset)
		if r.Reason != event.ReasonPoison || !strings.Contains(r.Field, "not_") || strings.Contains(r.Field, "halves") {
			t.Errorf("refusal %+v does not say in the server's words why", r)
		}
	}
	if !slices.Equal(offsets, want) {
		t.Errorf("refused are %v, want %v", offsets, want)
	}
}

// TestHalves: what the server takes of a refused batch is stored once, whoever stores it how often; what it refuses is named.
func TestHalves(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	refusing(t, c, "checkout_events", 107, 120, 121)
	write := func(repeated bool) {
		t.Helper()
		b := seal(newTestLoader(t, s, event.KindCheckout, 0), sale(20, 30), repeated)
		defer b.Close()
		if !repeated {
			refused, err := b.Write(t.Context())
			if !refused || err == nil {
				t.Fatalf("the whole: refused %v, %v", refused, err)
			}
			if got := storedRows(t, c, "checkout_events"); got != "0" {
				t.Fatalf("%s rows of a refused batch", got)
			}
		}
		refusals, err := b.WriteHalves(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checkRefusals(t, refusals, 27, 40, 41)
	}
	write(false)
	want := contents(t, c)
	if got := value(t, c, "SELECT count(), uniqExact(kafka_offset), countIf(kafka_offset IN (27, 40, 41)) FROM checkout_events"); got != "27\t27\t0" {
		t.Errorf("stored %q, want 27 rows without the refused ones", got)
	}
	if n := counted(t, s.metrics.refused.WithLabelValues("checkout_events")); n != 3 {
		t.Errorf("%v refused rows counted", n)
	}
	write(true)
	if got := contents(t, c); got != want {
		t.Errorf("contents changed from\n%s\nto\n%s", want, got)
	}
	if got := storedRows(t, c, "checkout_events"); got != "27" {
		t.Errorf("%s rows after a repetition, want 27", got)
	}
}

// TestHalvesOfAView: the base table takes the row, and a view's target does not.
func TestHalvesOfAView(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	refusing(t, c, "purchases", 106)
	b := seal(newTestLoader(t, s, event.KindCheckout, 0), sale(0, 30), false)
	defer b.Close()
	if refused, err := b.Write(t.Context()); !refused {
		t.Fatal(refused, err)
	}
	refusals, err := b.WriteHalves(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkRefusals(t, refusals, 6)
	if got := value(t, c, "SELECT count(), uniqExact(kafka_offset) FROM purchases FINAL"); got != "29\t29" {
		t.Errorf("purchases hold %s, want the 29 that can be", got)
	}
}

// TestHalvesUnderKills cuts halving off again and again, by killing the server and by giving up, each time at another moment, and
// goes on with another loader.
func TestHalvesUnderKills(t *testing.T) {
	server := migrated.ClickHouse(t)
	c := connectTo(t, server)
	s := newSink(t, c)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	refusing(t, c, "checkout_events", 103, 141)
	cut := 0
	for round := 0; ; round++ {
		b := seal(newTestLoader(t, s, event.KindCheckout, 0), sale(0, 50), round > 0)
		if round == 0 {
			if refused, err := b.Write(t.Context()); !refused {
				t.Fatal(refused, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+random.IntN(300)+400*round)*time.Millisecond)
		if round%3 == 2 {
			time.AfterFunc(time.Duration(random.IntN(300))*time.Millisecond, func() {
				if pid := server.PID(); pid > 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
		}
		refusals, err := b.WriteHalves(ctx)
		cancel()
		b.Close()
		if err == nil {
			checkRefusals(t, refusals, 3, 41)
			break
		}
		if Classify(t.Context(), err) == Permanent {
			t.Fatal(err)
		}
		cut++
	}
	if cut == 0 {
		t.Error("it was never cut off")
	}
	t.Logf("cut off %d times, %d restarts", cut, server.Restarts())
	if got := value(t, c, "SELECT count(), uniqExact(kafka_offset) FROM checkout_events"); got != "48\t48" {
		t.Errorf("stored %q, want 48 rows once", got)
	}
	want := value(t, c, "SELECT sum(if(type = 'completed', amount, -amount)), count() FROM checkout_events")
	if got := value(t, c, "SELECT sum(amount), count() FROM purchases FINAL"); got != want {
		t.Errorf("purchases hold %s, their base table %s", got, want)
	}
}

// TestHalvesOfABrokenTable: where the table is the trouble, records are not thrown out one by one.
func TestHalvesOfABrokenTable(t *testing.T) {
	t.Run("schema", func(t *testing.T) {
		c := open(t)
		b := seal(newTestLoader(t, newSink(t, c), event.KindCheckout, 0), sale(0, 8), false)
		defer b.Close()
		exec(t, c, "ALTER TABLE checkout_events DROP COLUMN reason")
		_, err := b.WriteHalves(t.Context())
		var drift *SchemaError
		if !errors.As(err, &drift) || Classify(t.Context(), err) != Permanent {
			t.Errorf("got %v, want what is wrong with the schema", err)
		}
	})
	t.Run("everything is refused", func(t *testing.T) {
		c := open(t)
		s, err := NewSink(c, SinkConfig{MaxRefused: 3})
		if err != nil {
			t.Fatal(err)
		}
		exec(t, c, "ALTER TABLE checkout_events ADD CONSTRAINT not_any CHECK amount < 0")
		b := seal(newTestLoader(t, s, event.KindCheckout, 0), sale(0, 8), false)
		defer b.Close()
		if _, err := b.WriteHalves(t.Context()); err == nil || !strings.Contains(err.Error(), "find out what changed in table checkout_events") {
			t.Errorf("got %v, want an end to it", err)
		}
	})
}

// TestReadyTellsOfTrouble: inserts that keep failing make the sink unready, and say why, until they succeed or are given up.
func TestReadyTellsOfTrouble(t *testing.T) {
	c := open(t)
	s, err := NewSink(c, SinkConfig{Patience: 50 * time.Millisecond, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	s.client = unanswered(t, c)
	b := seal(newTestLoader(t, s, event.KindCheckout, 0), sale(0, 5), false)
	defer b.Close()
	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.Write(ctx)
		done <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err = s.Ready(); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("ready, though nothing gets in")
		}
	}
	if !strings.Contains(err.Error(), "inserts into checkout_events have failed for") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v does not say what fails and why", err)
	}
	giveUp()
	<-done
	if err := s.Ready(); err != nil {
		t.Errorf("after giving up: %v", err)
	}
}

func TestTroubles(t *testing.T) {
	ts := troubles{patience: 30 * time.Second}
	now := time.Now()
	if err := ts.ready(now); err != nil {
		t.Error(err)
	}
	first, second := &insertion{}, &insertion{}
	ts.add(first, "a", errors.New("code 12345"))
	ts.add(second, "a", errors.New("code 777"))
	ts.add(first, "a", errors.New("code 54321"))
	if err := ts.ready(now.Add(29 * time.Second)); err != nil {
		t.Errorf("impatient: %v", err)
	}
	if err := ts.ready(now.Add(time.Minute)); err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), "54321") {
		t.Errorf("got %v, want one line a table with the newest error of the oldest trouble", err)
	}
	ts.end(first)
	ts.end(second)
	if err := ts.ready(now.Add(time.Hour)); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
