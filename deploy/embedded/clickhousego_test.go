package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// dial opens clickhouse-go over HTTP, as production code does.
func dial(t testing.TB, server *embedded.ClickHouse, method clickhouse.CompressionMethod) clickhouse.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{server.Addr()},
		Compression: &clickhouse.Compression{Method: method},
		DialTimeout: 10 * time.Second, ReadTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// send inserts rows [from, to) as one batch under a deduplication token.
func send(ctx context.Context, conn clickhouse.Conn, table, token string, from, to int) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token":                         token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
	}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+" (id, player, amount, at)")
	if err != nil {
		return err
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := from; i < to; i++ {
		if err := batch.Append(uint64(i), fmt.Sprintf("player-%d", i%1000), int64(i%997), at.Add(time.Duration(i)*time.Millisecond)); err != nil {
			return err
		}
	}
	return batch.Send()
}

// eventTables creates a raw table with two chained materialized views, all
// with deduplication windows.
func eventTables(t testing.TB, conn clickhouse.Conn) {
	t.Helper()
	for _, sql := range []string{
		`CREATE TABLE events (id UInt64, player LowCardinality(String), amount Int64, at DateTime64(3, 'UTC'))
		 ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (player, id) SETTINGS non_replicated_deduplication_window = 1000`,
		`CREATE TABLE totals (player String, n UInt64, amount Int64)
		 ENGINE = SummingMergeTree ORDER BY player SETTINGS non_replicated_deduplication_window = 1000`,
		`CREATE MATERIALIZED VIEW totals_mv TO totals AS SELECT player, count() AS n, sum(amount) AS amount FROM events GROUP BY player`,
		`CREATE TABLE grand (k UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 1000`,
		`CREATE MATERIALIZED VIEW grand_mv TO grand AS SELECT 1 AS k, sum(n) AS n FROM totals GROUP BY k`,
	} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// counts are the rows in the raw table and as both views have counted them.
func counts(t testing.TB, conn clickhouse.Conn) [3]uint64 {
	t.Helper()
	var n [3]uint64
	row := conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM events), (SELECT sum(n) FROM totals), (SELECT sum(n) FROM grand)")
	if err := row.Scan(&n[0], &n[1], &n[2]); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClickHouseGo(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP, clickhouse.CompressionDeflate, clickhouse.CompressionBrotli} {
		t.Run(method.String(), func(t *testing.T) {
			conn := dial(t, server, method)
			if err := conn.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			version, err := conn.ServerVersion()
			if err != nil || version.Timezone.String() != "UTC" || version.Version.Major < 26 {
				t.Fatalf("%v %v", version, err)
			}
			var n uint64
			var name string
			var at time.Time
			row := conn.QueryRow(t.Context(), "SELECT count(), {name:String}, toDateTime64('2026-01-01 00:00:00.5', 3, 'UTC') FROM numbers(10)", clickhouse.Named("name", "x"))
			if err := row.Scan(&n, &name, &at); err != nil || n != 10 || name != "x" || at.UnixMilli() != 1767225600500 {
				t.Error(n, name, at, err)
			}
			rows, err := conn.Query(t.Context(), "SELECT number, [toString(number)], map('a', number), toNullable(number), toLowCardinality(toString(number)) FROM numbers(100000)")
			if err != nil {
				t.Fatal(err)
			}
			var total uint64
			for rows.Next() {
				var list []string
				var pairs map[string]uint64
				var maybe *uint64
				var low string
				if err := rows.Scan(&n, &list, &pairs, &maybe, &low); err != nil {
					t.Fatal(err)
				}
				total += n
			}
			if err := rows.Err(); err != nil || total != 4999950000 {
				t.Error(total, err)
			}
			var failure *clickhouse.Exception
			if err := conn.Exec(t.Context(), "SELECT * FROM nosuch"); !errors.As(err, &failure) || failure.Code != 60 {
				t.Errorf("unknown table: %v", err)
			}
			// An error after the first blocks must reach the client as one.
			rows, err = conn.Query(t.Context(), "SELECT throwIf(number = 900000) FROM numbers(1000000)")
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
			}
			if err := rows.Err(); !errors.As(err, &failure) || failure.Code != 395 {
				t.Errorf("late error: %v", err)
			}
		})
	}
	t.Run("external tables", func(t *testing.T) {
		conn := dial(t, server, clickhouse.CompressionNone)
		table, err := ext.NewTable("wanted", ext.Column("n", "UInt64"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint64{2, 3, 5} {
			if err := table.Append(n); err != nil {
				t.Fatal(err)
			}
		}
		var sum uint64
		row := conn.QueryRow(clickhouse.Context(t.Context(), clickhouse.WithExternalTable(table)), "SELECT sum(number) FROM numbers(10) WHERE number IN (SELECT n FROM wanted)")
		if err := row.Scan(&sum); err != nil || sum != 10 {
			t.Error(sum, err)
		}
	})
}

// TestRepeatedBatch repeats batches under their tokens, through the raw table
// and the chain of views behind it.
func TestRepeatedBatch(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	conn := dial(t, server, clickhouse.CompressionLZ4)
	eventTables(t, conn)
	const size = 200_000
	for range 3 {
		for batch := range 3 {
			if err := send(t.Context(), conn, "events", fmt.Sprint("raw:0:", batch), batch*size, (batch+1)*size); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := counts(t, conn), [3]uint64{3 * size, 3 * size, 3 * size}; got != want {
		t.Errorf("rows, totals, grand: %v, want %v", got, want)
	}
	// The same token with other rows is a repetition too: the token decides.
	if err := send(t.Context(), conn, "events", "raw:0:0", 0, 5); err != nil {
		t.Fatal(err)
	}
	if got := counts(t, conn); got[0] != 3*size {
		t.Errorf("the token did not decide: %v", got)
	}
}

// TestKilledDuringInserts kills the engine while batches arrive and repeats
// every batch whose outcome is unknown. Nothing may be lost, doubled or half
// there, in the table or in its views.
func TestKilledDuringInserts(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	conn := dial(t, server, clickhouse.CompressionLZ4)
	eventTables(t, conn)
	const size, batches, kills = 200_000, 12, 4
	for batch := range batches {
		for attempt := 0; ; attempt++ {
			var wg sync.WaitGroup
			if attempt == 0 && batch%3 == 1 && batch/3 < kills {
				victim := server.PID()
				wg.Go(func() {
					// Some point within the insert, a different one each time.
					time.Sleep(time.Duration(30+batch*25) * time.Millisecond)
					_ = syscall.Kill(victim, syscall.SIGKILL)
				})
			}
			err := send(t.Context(), conn, "events", fmt.Sprint("raw:0:", batch), batch*size, (batch+1)*size)
			wg.Wait()
			if err == nil {
				break
			}
			if attempt == 20 {
				t.Fatal(err)
			}
			var n uint64
			if err := conn.QueryRow(t.Context(), "SELECT count() FROM events").Scan(&n); err == nil && n%size != 0 {
				t.Fatalf("half a batch is visible: %d rows", n)
			}
		}
	}
	if got, want := counts(t, conn), [3]uint64{batches * size, batches * size, batches * size}; got != want {
		t.Errorf("rows, totals, grand: %v, want %v", got, want)
	}
	if server.Restarts() == 0 {
		t.Error("the engine was never killed")
	}
	t.Logf("%d restarts", server.Restarts())
}

// BenchmarkInsertNative measures whole batches through clickhouse-go: encode,
// HTTP, decode, two materialized views, disk.
func BenchmarkInsertNative(b *testing.B) {
	server := embeddedtest.ClickHouse(b)
	for name, method := range map[string]clickhouse.CompressionMethod{"plain": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4} {
		b.Run(name, func(b *testing.B) {
			conn := dial(b, server, method)
			for _, sql := range []string{"DROP TABLE IF EXISTS bench_mv", "DROP TABLE IF EXISTS bench_totals", "DROP TABLE IF EXISTS bench",
				"CREATE TABLE bench (id UInt64, player String, amount Int64, at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000",
				"CREATE TABLE bench_totals (k UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 1000",
				"CREATE MATERIALIZED VIEW bench_mv TO bench_totals AS SELECT id % 10 AS k, count() AS n FROM bench GROUP BY k"} {
				if err := conn.Exec(b.Context(), sql); err != nil {
					b.Fatal(err)
				}
			}
			const size = 100_000
			n := 0
			for b.Loop() {
				if err := send(b.Context(), conn, "bench", fmt.Sprint(name, n), n*size, (n+1)*size); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n)*size/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkQuery measures the fixed cost of one small query over HTTP.
func BenchmarkQuery(b *testing.B) {
	server := embeddedtest.ClickHouse(b)
	c := httpClient{b, server.URL()}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			c.query("SELECT 1")
		}
	})
	b.Run("settings", func(b *testing.B) {
		for b.Loop() {
			c.query("SELECT 1", "max_threads", "1", "max_block_size", "100")
		}
	})
}
