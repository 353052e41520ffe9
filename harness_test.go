package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/deploy/freeport"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// parseConfig is the configuration that these flags give: the rest are the command line's own defaults.
func parseConfig(t testing.TB, flags ...string) *Config {
	t.Helper()
	var cli CLI
	parser, err := newParser(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"up"}, flags...)); err != nil {
		t.Fatal(err)
	}
	if err := cli.Config.Validate(); err != nil {
		t.Fatal(err)
	}
	return &cli.Config
}

// pipeline is a whole installation below one data directory: embedded servers on free ports, the processors
// and the sink, as droplift up runs them.
type pipeline struct {
	t    testing.TB
	node *node
	// cfg names the running servers, as a client command's configuration would.
	cfg *Config
	// client reads as the user of dashboards and analysts.
	client *clickhouse.Client
	admin  *kafka.Admin

	stop func() // see close
}

// migrated are the data of a ClickHouse whose database droplift is empty and migrated.
var migrated = embeddedtest.NewTemplate(func(ctx context.Context, server *embedded.ClickHouse) error {
	client, err := clickhouse.Open(ctx, clickhouse.Config{URL: server.URL()})
	if err != nil {
		return err
	}
	_, err = client.Migrate(ctx)
	return errors.Join(err, client.Close())
})

// startPipeline starts an installation below dataDir and closes it at the end of the test. It returns when the
// tables are there; in a new directory they are from the start. Flags come last, so they win.
func startPipeline(t testing.TB, dataDir string, flags ...string) *pipeline {
	t.Helper()
	embeddedtest.NeedLibrary(t)
	if data := filepath.Join(dataDir, "clickhouse"); !exists(data) {
		migrated.Fill(t, data)
	}
	cfg := parseConfig(t, append([]string{"--data-dir", dataDir, "--kafka-addr", "127.0.0.1:0", "--clickhouse-addr", "127.0.0.1:0",
		"--metrics-addr=", "--pprof-addr=", "--features-addr=", "--viewer-addr=", "--lift-every=0"}, flags...)...)
	ctx, cancel := context.WithCancel(context.Background())
	n, err := startNode(ctx, cfg, embeddedtest.Logger(t))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- n.run(ctx, n.roles()...) }()

	p := &pipeline{t: t, node: n}
	p.stop = sync.OnceFunc(func() {
		if p.admin != nil {
			p.admin.Close()
		}
		if p.client != nil {
			if err := p.client.Close(); err != nil {
				t.Error(err)
			}
		}
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("the pipeline ended with: %v", err)
		}
	})
	t.Cleanup(p.stop)

	clients := *cfg
	clients.KafkaBrokers, clients.ClickhouseURL = n.servers.Brokers, n.servers.ClickhouseURL
	p.cfg = &clients
	if p.admin, err = kafka.NewAdmin(n.kafka); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		select {
		case err := <-ran:
			ran <- err
			t.Fatalf("the pipeline ended at its start: %v", err)
		default:
		}
		return n.ops.ready()
	})
	if p.client, err = cfg.openReader(ctx, n.servers.ClickhouseURL, n.log); err != nil {
		t.Fatal(err)
	}
	return p
}

// close drains and ends the installation; its directory can be started again. It may be called twice.
func (p *pipeline) close() { p.stop() }

// settle returns when everything in Kafka is processed and stored.
func (p *pipeline) settle() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	w := &watch{cfg: p.node.cfg, kafka: p.node.kafka, admin: p.admin, client: p.client}
	if err := w.drain(ctx, "Settling"); err != nil {
		p.t.Fatalf("the pipeline did not settle: %v", err)
	}
}

// command runs a client command against the installation and returns what it printed.
func (p *pipeline) command(c interface {
	Run(context.Context, *Config) error
}) string {
	p.t.Helper()
	cfg := *p.cfg
	out, err := captureStdout(func() error { return c.Run(context.Background(), &cfg) })
	if err != nil {
		p.t.Fatalf("%T: %v", c, err)
	}
	return out
}

// flags make a droplift process a client of the installation.
func (p *pipeline) flags() []string {
	return []string{"--kafka", strings.Join(p.cfg.KafkaBrokers, ","), "--clickhouse", p.cfg.ClickhouseURL}
}

// query runs a named query.
func (p *pipeline) query(name string, params clickhouse.Params) *clickhouse.Table {
	p.t.Helper()
	table, err := p.client.Query(context.Background(), name, params)
	if err != nil {
		p.t.Fatal(err)
	}
	return table
}

// tsv runs SQL and returns the answer in ClickHouse's TSV, without the last line end.
func (p *pipeline) tsv(text string) string {
	p.t.Helper()
	var out bytes.Buffer
	if err := p.client.Stream(context.Background(), &out, clickhouse.StreamRequest{SQL: text, Format: "TSV"}); err != nil {
		p.t.Fatalf("%s\n%v", text, err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// want runs SQL and compares the answer, whose columns are separated by blanks and rows by line ends.
func (p *pipeline) want(what, text, want string) {
	p.t.Helper()
	if got := strings.ReplaceAll(p.tsv(text), "\t", " "); got != want {
		p.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// metrics are the installation's, as a scraper gets them. It needs a --metrics-addr.
func (p *pipeline) metrics() string {
	p.t.Helper()
	status, body, err := get(p.node.ops.MetricsAt + "/metrics")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("metrics: HTTP %d, %v", status, err)
	}
	return body
}

// gathered is the sum of a node's series of one metric, histograms by their sums.
func gathered(t testing.TB, n *node, name string) (sum float64) {
	t.Helper()
	families, err := n.ops.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return sum
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// realData is a file under ../shared/data; without it the test is skipped.
func realData(t testing.TB, path string) string {
	t.Helper()
	full := filepath.Join("..", "shared", "data", filepath.FromSlash(path))
	if _, err := os.Stat(full); err != nil {
		t.Skipf("no real data: %v", err)
	}
	return full
}

// eventually polls until check returns nil, or fails the test with its last error.
func eventually(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// get fetches url and returns the status and the body.
func get(url string) (int, string, error) {
	response, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// freeAddr is a loopback address where nobody listens, and that is nobody else's for as long as the test runs.
func freeAddr(t testing.TB) string {
	t.Helper()
	addr, release, err := freeport.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return addr
}

// captureStdout returns what f prints on standard output.
func captureStdout(f func() error) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	printed := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		printed <- string(text)
	}()
	stdout := os.Stdout
	os.Stdout = w
	err = f()
	os.Stdout = stdout
	w.Close()
	return <-printed, err
}

// process is a droplift process of its own.
type process struct {
	*exec.Cmd
	stdout, stderr safeBuffer
}

// droplift prepares a process with these arguments; env adds NAME=VALUE. It dies with the test.
func droplift(env []string, args ...string) *process {
	p := &process{Cmd: exec.Command(os.Args[0], args...)}
	p.Env = append(append(os.Environ(), env...), asDroplift+"=1")
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p
}

// startDroplift starts such a process, and ends it with the test.
func startDroplift(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := droplift(env, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.Process.Kill()
			p.Wait()
		}
		if t.Failed() {
			t.Logf("droplift %s\n%s%s", strings.Join(args, " "), p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// end waits for the process and returns its exit code; the test kills it after a minute.
func (p *process) end(t testing.TB) int {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { p.Process.Kill() })
	defer timer.Stop()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// runDroplift runs a process to its end.
func runDroplift(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := startDroplift(t, env, args...)
	code = p.end(t)
	return code, p.stdout.String(), p.stderr.String()
}

// safeBuffer is a buffer that a process writes while a test reads it.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
