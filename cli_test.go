package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/sql"
)

// oneLine is what a person gets when a command cannot work: one line that starts like this.
func oneLine(t *testing.T, stderr, begins string) {
	t.Helper()
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, begins) {
		t.Errorf("stderr is not one line beginning with %q:\n%s", begins, stderr)
	}
}

func configurationFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "droplift.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigCheckReportsEveryProblem(t *testing.T) {
	for _, test := range []struct {
		name, file string
		env        []string
		want       []string // one line each, in any order
	}{
		{
			name: "kinds of problems",
			file: "data-dirr: ./x\ninstance: a b\nsession-timeout: 10s\nprocess-transaction-timeout: 20s\nlog-level: loud\nout-of-orderness: 0s\nkafka:\n  partitions: many\n  addr: nowhere\n  tls-key: key.pem\nsink_batch_age: soon\npprof-addr: 0.0.0.0:6060\n",
			want: []string{`"data-dirr" is unknown`, "--log-level must be one of", "--out-of-orderness: 0s is not positive", "--kafka-partitions: ",
				`--kafka-addr: "nowhere" is not HOST:PORT`, "--kafka-tls-cert: and --kafka-tls-key go together", "--sink-batch-age: ", "is not a loopback address", `--instance: "a b" is not`, "--process-transaction-timeout: 20s is not between 0s and --session-timeout (10s)"},
		},
		{
			name: "environment",
			file: "log-level: loud\nkafka-addr: nowhere\n",
			env:  []string{"DROPLIFT_KAFKA_PARTITIONS=many", "DROPLIFT_SINK_BATCH_ROWS=0"},
			want: []string{"--log-level must be one of", `--kafka-addr: "nowhere"`, "DROPLIFT_KAFKA_PARTITIONS: ", "--sink-batch-rows: 0 is not positive"},
		},
		{name: "a static member of a consumer group", file: "instance: edge-1\nkafka:\n  group-protocol: consumer\n", want: []string{"--instance: needs --kafka-group-protocol classic"}},
		{
			name: "subtitle objectives",
			file: "cue:\n  target: 0.9\n  burn-windows: [page:15m:0.05, 'wake:1h:0.1', ticket:6h:0.25]\n  silence: 10m\n  on-screen-min: 8s\n",
			want: []string{`--cue-burn-windows: "wake:1h:0.1" is not like`, "--cue-silence: 10m0s is not under --allowed-lateness", "no time on screen is between 8000 and 7000 ms"},
		},
		{
			name: "a threshold that can never fire", file: "cue:\n  target: 0.9\n  burn-windows: [page:15m:0.075, ticket:6h:0.25]\n",
			want: []string{"above a burn rate of 14.4, but with a target of 0.9 the burn rate is at most 10, when everything is bad: it can never fire; the largest factor possible is below 10"},
		},
		{name: "no YAML", file: "a: [1\nb: 2\n", want: []string{"configuration "}},
		{name: "secrets in a URL", file: "clickhouse-url: http://me:secret@127.0.0.1:8123\n", want: []string{"--clickhouse-url: holds a password"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := runDroplift(t, test.env, "config", "check", "--config-file", configurationFile(t, test.file))
			if code != 1 || stdout != "" {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			for _, want := range test.want {
				found := 0
				for _, line := range lines {
					if strings.HasPrefix(line, "droplift: error: ") && strings.Contains(line, want) {
						found++
					}
				}
				if found != 1 {
					t.Errorf("%q is on %d lines", want, found)
				}
			}
			if len(lines) != len(test.want) && test.name != "no YAML" {
				t.Errorf("%d lines for %d problems", len(lines), len(test.want))
			}
			if t.Failed() {
				t.Logf("stderr:\n%s", stderr)
			}
			if strings.Contains(stderr, "secret") {
				t.Error("a password stands in the message")
			}
		})
	}
	code, _, stderr := runDroplift(t, nil, "config", "check", "--nonsense")
	oneLine(t, stderr, "droplift: error: unknown flag --nonsense")
	if code != 1 {
		t.Errorf("an unknown flag: exit code %d", code)
	}
	code, stdout, stderr := runDroplift(t, nil, "config", "check", "--config-file", configurationFile(t, "log-level: debug\nkafka:\n  partitions: 8\n"))
	if code != 0 || stdout != "The configuration is valid.\n" || stderr != "" {
		t.Errorf("a good file: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestConfigPrecedence(t *testing.T) {
	file := configurationFile(t, "sink:\n  batch-rows: 1\n  batch-bytes: 1\n  batch-age: 1s\nkafka-brokers: [a:1, b:2]\n")
	env := []string{"DROPLIFT_SINK_BATCH_ROWS=2", "DROPLIFT_SINK_BATCH_BYTES=2"}
	code, stdout, stderr := runDroplift(t, env, "config", "show", "-c", file, "--sink-batch-rows", "3")
	if code != 0 {
		t.Fatal(stderr)
	}
	var got map[string]any
	if err := yaml.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"sink-batch-rows": "3", "sink-batch-bytes": "2", "sink-batch-age": "1s", "kafka-partitions": "4", "kafka-brokers": "[a:1 b:2]",
	} {
		if fmt.Sprint(got[key]) != want {
			t.Errorf("%s is %v, not %s", key, got[key], want)
		}
	}
	if t.Failed() {
		t.Log(stdout)
	}
	// What is shown can be a configuration file.
	code, again, stderr := runDroplift(t, nil, "config", "show", "-c", configurationFile(t, stdout))
	if code != 0 || again != stdout {
		t.Errorf("the shown configuration as a file: exit code %d, %s\n%s", code, stderr, again)
	}
}

func TestQueryList(t *testing.T) {
	code, stdout, stderr := runDroplift(t, nil, "query", "--list")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	queries, err := sql.Queries()
	if err != nil {
		t.Fatal(err)
	}
	if len(queries) == 0 {
		t.Error("no queries")
	}
	for _, q := range queries {
		if !strings.Contains(stdout, q.Name+"\n  "+q.Purpose+"\n") {
			t.Errorf("%s with its purpose is not listed", q.Name)
		}
		for _, p := range q.Params {
			if !strings.Contains(stdout, "-p "+p.Name+"="+p.Type+" (") {
				t.Errorf("parameter %s of %s is not listed", p.Name, q.Name)
			}
		}
	}
	if strings.Contains(stdout, "\x1b") {
		t.Error("escape sequences in a pipe")
	}
}

// What keeps the pipeline from starting is one clear line and exit code 1.
func TestStartFailures(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().String()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		env     []string
		flags   []string
		want    []string
		library bool // needs the real one
		noRoot  bool
	}{
		{name: "busy Kafka port", flags: []string{"--kafka-addr", taken}, want: []string{"droplift: error: embedded Kafka: listen", taken, "address already in use"}},
		{name: "busy ClickHouse port", flags: []string{"--clickhouse-addr", taken}, want: []string{"droplift: error: embedded ClickHouse: listen", taken, "address already in use"}, library: true},
		{name: "busy metrics port", flags: []string{"--metrics-addr", taken}, want: []string{"--metrics-addr", taken, "address already in use"}},
		{name: "busy feature port", flags: []string{"--features-addr", taken}, want: []string{"--features-addr", taken, "address already in use"}},
		{name: "busy pprof port", flags: []string{"--pprof-addr", taken}, want: []string{"--pprof-addr", taken, "address already in use"}},
		{name: "file as data directory", flags: []string{"--data-dir", file}, want: []string{file, "not a directory"}},
		{name: "unwritable data directory", flags: []string{"--data-dir", locked}, want: []string{locked, "permission denied"}, noRoot: true},
		{name: "no library", env: []string{"CHDB_LIB_PATH=", "XDG_CACHE_HOME=" + t.TempDir()}, want: []string{"ClickHouse library not found", "make chdb", "CHDB_LIB_PATH"}},
		{name: "library path to nowhere", env: []string{"CHDB_LIB_PATH=" + file + ".so"}, want: []string{"CHDB_LIB_PATH", file + ".so", "no such file"}},
		{name: "library path to something else", env: []string{"CHDB_LIB_PATH=" + file}, want: []string{file}},
		{name: "wrong checksum", env: []string{"CHDB_LIB_PATH=", "XDG_CACHE_HOME=" + brokenCache(t)}, want: []string{"libchdb.so", "checksum", "pinned", "make chdb"}},
		{name: "not loopback", flags: []string{"--kafka-addr", "0.0.0.0:0"}, want: []string{"0.0.0.0:0", "127.0.0.1"}},
		{name: "no such password file", flags: []string{"--clickhouse-password-file", file + ".none"}, want: []string{file + ".none", "no such file"}},
		{name: "unknown flag", flags: []string{"--nonsense"}, want: []string{"unknown flag --nonsense"}},
		{name: "no such configuration file", flags: []string{"--config-file", file + ".yaml"}, want: []string{file + ".yaml", "no such file"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.library {
				embeddedtest.NeedLibrary(t)
			}
			if test.noRoot && os.Geteuid() == 0 {
				t.Skip("nothing is unwritable for root")
			}
			args := append([]string{"up", "--data-dir", t.TempDir(), "--kafka-addr", "127.0.0.1:0", "--clickhouse-addr", "127.0.0.1:0",
				"--metrics-addr=", "--pprof-addr=", "--features-addr=", "--viewer-addr=", "--log-level", "error"}, test.flags...)
			code, stdout, stderr := runDroplift(t, test.env, args...)
			if code != 1 || stdout != "" {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			oneLine(t, stderr, "droplift: error: ")
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("the message does not say %q: %s", want, stderr)
				}
			}
		})
	}
}

// brokenCache is a cache whose library is not the pinned one.
func brokenCache(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile(filepath.FromSlash("deploy/embedded/chdb.lock"))
	if err != nil {
		t.Fatal(err)
	}
	cache, written := t.TempDir(), 0
	for _, line := range strings.Split(string(lock), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 5 || strings.HasPrefix(line, "#") {
			continue
		}
		dir := filepath.Join(cache, "droplift", "chdb", fields[2])
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "libchdb.so"), []byte("tampered with"), 0o600); err != nil {
			t.Fatal(err)
		}
		written++
	}
	if written == 0 {
		t.Fatal("chdb.lock pins nothing")
	}
	return cache
}

// A second process on a data directory is refused; the first one goes on, and ends with exit code 0 on Ctrl-C.
func TestSecondProcessIsRefused(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	dir, at := t.TempDir(), freeAddr(t)
	args := func(metrics string) []string {
		return []string{"up", "--data-dir", dir, "--kafka-addr", "127.0.0.1:0", "--clickhouse-addr", "127.0.0.1:0", "--metrics-addr=" + metrics, "--pprof-addr=", "--features-addr=", "--viewer-addr=", "--log-level", "error"}
	}
	first := startDroplift(t, nil, args(at)...)
	eventually(t, time.Minute, func() error { return readyz(at, http.StatusOK, "ready") })

	code, stdout, stderr := runDroplift(t, nil, args("")...)
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d, stdout %q", code, stdout)
	}
	oneLine(t, stderr, "droplift: error: ")
	if !strings.Contains(stderr, fmt.Sprintf("is in use by process %d", first.Process.Pid)) {
		t.Errorf("the message does not name process %d: %s", first.Process.Pid, stderr)
	}
	if err := readyz(at, http.StatusOK, "ready"); err != nil {
		t.Errorf("the first process after the second was refused: %v", err)
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := first.end(t); code != 0 || first.stderr.String() != "" {
		t.Errorf("after Ctrl-C: exit code %d\n%s", code, first.stderr.String())
	}
}

// readyz checks the answer of /readyz: its status and a part of its body.
func readyz(addr string, status int, says string) error {
	got, body, err := get("http://" + addr + "/readyz")
	if err != nil {
		return err
	}
	if got != status || !strings.Contains(body, says) {
		return fmt.Errorf("/readyz: %d %q, want %d with %q", got, body, status, says)
	}
	return nil
}

// While Kafka or ClickHouse is away the process lives, says what it waits for and goes on when they are back.
func TestReadiness(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	metrics, kafkaAddr, clickhouseAddr := freeAddr(t), freeAddr(t), freeAddr(t)
	kafkaDir, clickhouseDir := t.TempDir(), t.TempDir()
	p := startDroplift(t, nil, "up", "--data-dir", t.TempDir(), "--kafka", kafkaAddr, "--clickhouse", "http://"+clickhouseAddr,
		"--metrics-addr", metrics, "--pprof-addr=", "--features-addr=", "--viewer-addr=", "--log-level", "warn")
	ready := func(status int, says string) {
		t.Helper()
		eventually(t, time.Minute, func() error { return readyz(metrics, status, says) })
		if status, body, err := get("http://" + metrics + "/healthz"); err != nil || status != http.StatusOK {
			t.Fatalf("/healthz: %d %s %v", status, body, err)
		}
	}
	startKafka := func() *embedded.Kafka {
		t.Helper()
		server, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: kafkaDir, Addr: kafkaAddr, Logger: embeddedtest.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		return server
	}
	startClickHouse := func() *embedded.ClickHouse {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{DataDir: clickhouseDir, Addr: clickhouseAddr, Logger: embeddedtest.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stopClickHouse(t, server) })
		return server
	}

	ready(http.StatusServiceUnavailable, "process: waits for Kafka")
	broker := startKafka()
	ready(http.StatusServiceUnavailable, "sink: waits for Kafka and ClickHouse")
	store := startClickHouse()
	ready(http.StatusOK, "ready")

	stopClickHouse(t, store)
	ready(http.StatusServiceUnavailable, "clickhouse: ")
	startClickHouse()
	ready(http.StatusOK, "ready")

	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	ready(http.StatusServiceUnavailable, "process: ")
	startKafka()
	ready(http.StatusOK, "ready")

	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t); code != 0 {
		t.Errorf("after SIGTERM: exit code %d", code)
	}
	if !strings.Contains(p.stderr.String(), "Kafka is away") {
		t.Error("no log line says that Kafka is away")
	}
	if t.Failed() {
		t.Logf("stderr:\n%s", p.stderr.String())
	}
}

func stopClickHouse(t *testing.T, server *embedded.ClickHouse) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
}
