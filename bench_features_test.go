package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
)

const (
	benchPlayers = 50_000
	benchBatch   = 100 // players of a request for many
	// benchRate is the rate of requests (1/s) that the bars are about.
	benchRate = 5000
)

// benchFeatures asks a feature store, which is a process of its own on one processor (GOMAXPROCS=1), over loopback HTTP.
// Requests are sent when they are due whether or not earlier ones are answered (an open loop), and timed from when
// they were due: a store that falls behind shows all of the waiting, and so does this process when it cannot send in
// time. The baseline is the machine itself: a goroutine that answers whatever it reads. An answer of the same server that needs
// no thought is logged beside it.
func benchFeatures(b *testing.B, bars *bars, _ *recording) {
	addr, names := startBenchFeatures(b, nil)
	get := func(path string) []byte {
		return []byte("GET " + path + " HTTP/1.1\r\nHost: features\r\n\r\n")
	}
	one := make([][]byte, 997)
	for i := range one {
		one[i] = get("/v1/features/" + names[i*50%len(names)])
	}
	many := make([][]byte, 101)
	for i := range many {
		body := `{"players":["` + strings.Join(names[i*benchBatch:(i+1)*benchBatch], `","`) + `"]}`
		many[i] = fmt.Appendf(nil, "POST /v1/features HTTP/1.1\r\nHost: features\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	arrow := make([][]byte, len(many))
	for i := range arrow {
		arrow[i] = bytes.Replace(many[i], []byte("\r\n"), []byte("\r\nAccept: application/vnd.apache.arrow.stream\r\n"), 1)
	}

	ask := func(addr, what string, rate int, requests [][]byte) openLoop {
		l := openLoop{addr: addr, rate: rate, warmup: time.Second, length: 6 * time.Second, requests: requests}
		l.run(b)
		b.Logf("%s, %d/s: p50 %v, p90 %v, p99 %v, worst %v of %d; sent late: p99 %v", what, rate, quantile(l.took, 0.5), quantile(l.took, 0.9),
			quantile(l.took, 0.99), quantile(l.took, 1), len(l.took), quantile(l.late, 0.99))
		return l
	}
	bare := ask(startEcho(b), "a bare echo", benchRate, [][]byte{get("/")})
	ask(addr, "a fixed answer", benchRate, [][]byte{get("/v1/features")})
	row := func(what string, rate int, requests [][]byte, bar float64) {
		l := ask(addr, what, rate, requests)
		bars.add(barRow{
			Name:  fmt.Sprintf("features of %s over HTTP, p99 at %s requests/s", what, figure(float64(rate))),
			Value: quantile(l.took, 0.99).Seconds() * 1000, Unit: "ms", Bar: bar, Limit: atMost, Cores: l.cores,
			Baseline: quantile(bare.took, 0.99).Seconds() * 1000,
		})
	}
	row("1 player", benchRate, one, 2)
	batch := fmt.Sprintf("%d players × %d features", benchBatch, len(feature.Player.Features))
	row(batch, 1000, many, 5)
	row(batch, benchRate, many, 5)
	row(batch+" as Arrow", 1000, arrow, 5)
}

// startBenchFeatures publishes features, and other messages, and starts a store of them with further flags; it returns its
// address and the players.
func startBenchFeatures(b *testing.B, more []string, messages ...event.Message) (addr string, names []string) {
	broker := strings.Join(embeddedtest.Kafka(b).Addrs(), ",")
	addr, metrics := freeAddr(b), freeAddr(b)
	flags := []string{"--kafka", broker, "--features-addr", addr, "--metrics-addr", metrics, "--pprof-addr=", "--data-dir", b.TempDir(), "--log-level=warn"}
	cfg := parseConfig(b, flags...)
	conf, err := cfg.kafkaConfig(cfg.KafkaBrokers, nil, embeddedtest.Logger(b))
	if err != nil {
		b.Fatal(err)
	}
	if err := cfg.ensureTopics(b.Context(), conf, embeddedtest.Logger(b)); err != nil {
		b.Fatal(err)
	}
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer producer.Close()
	at := time.Now().UnixMilli()
	for i := range benchPlayers {
		f := benchPlayerFeatures(i, at)
		names = append(names, f.PlayerID)
		if err := producer.Produce(b.Context(), event.Message{Kind: event.KindFeatures, Key: []byte(f.PlayerID), Value: f.AppendJSON(nil)}); err != nil {
			b.Fatal(err)
		}
	}
	if err := producer.Produce(b.Context(), messages...); err != nil {
		b.Fatal(err)
	}
	if err := producer.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	startDroplift(b, []string{"GOMAXPROCS=1"}, slices.Concat([]string{"features", "serve"}, flags, more)...)
	eventually(b, time.Minute, func() error { return readyz(metrics, http.StatusOK, "ready") })
	return addr, names
}

// benchPlayerFeatures are those of a player who was active today and in the weeks before, but not in the last hour.
func benchPlayerFeatures(i int, at int64) event.Features {
	f := event.Features{
		PlayerID: fmt.Sprintf("p-%016x", uint64(i)*0x9e3779b97f4a7c15), Revision: uint64(i%90 + 1), AsOf: at - int64(i)*31, Watermark: at - int64(i)*31 - 10_001,
		SpendCurrency: "EUR", FirstActivity: at - 20*24*3600_000 - int64(i)*997, LastActivity: at - int64(i)*31 - 1, SessionsTotal: uint32(i % 40),
		GapMeanS: 40000.5 + float64(i), GapVarS2: 1250000.125,
	}
	for w := range event.NumWindows {
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		if w > 0 {
			n := uint32(w * (i%7 + 1))
			f.Sessions[w], f.ActiveDays[w], f.PlaytimeS[w], f.Landings[w], f.Impressions[w], f.Clicks[w] = n, uint32(w), 400*n, 2*n, 5*n, n/3
			f.Creators[w], f.Drops[w] = 1+n/9, 1+n/9
			f.LatencyMeanMS[w], f.LatencyMaxMS[w] = 180.25+float64(n)/8, float64(300+n)
		}
	}
	f.Checkouts[3], f.NetSpend[3] = 1, 4999
	return f
}

// startEcho answers every read with the shortest answer there is and returns its address.
func startEcho(b *testing.B) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for request := make([]byte, 4096); ; {
					if _, err := conn.Read(request); err != nil {
						return
					}
					if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// openLoop sends requests to an address at a constant rate over some connections, in turn.
type openLoop struct {
	addr           string
	rate           int // requests/s
	warmup, length time.Duration
	requests       [][]byte

	// took is the time from when a request was due to the end of its answer, late from then to when it was sent.
	took, late []time.Duration
	cores      float64 // of this process and the server's
}

// connections is enough that a request due finds a free one unless the server is behind.
const connections = 16

func (l *openLoop) run(b *testing.B) {
	var group errgroup.Group
	var mu sync.Mutex
	began := time.Now().Add(50 * time.Millisecond)
	step := time.Second / time.Duration(l.rate)
	total := int((l.warmup + l.length) / step)
	for c := range connections {
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		group.Go(func() error {
			var took, late []time.Duration
			answers := bufio.NewReaderSize(conn, 64<<10)
			for i := c; i < total; i += connections {
				due := began.Add(time.Duration(i) * step)
				time.Sleep(time.Until(due))
				sent := time.Now()
				if _, err := conn.Write(l.requests[i%len(l.requests)]); err != nil {
					return err
				}
				answer, err := http.ReadResponse(answers, nil)
				if err != nil {
					return err
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					return err
				}
				if answer.StatusCode != http.StatusOK {
					return fmt.Errorf("%s for %.80s", answer.Status, l.requests[i%len(l.requests)])
				}
				if due.Sub(began) >= l.warmup {
					took, late = append(took, time.Since(due)), append(late, sent.Sub(due))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			l.took, l.late = append(l.took, took...), append(l.late, late...)
			return nil
		})
	}
	watch := startStopwatch()
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	_, l.cores = watch.stop(b, total)
}
