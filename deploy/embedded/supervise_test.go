package embedded_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// start is StartClickHouse for tests that expect it to fail.
func start(t *testing.T, cfg embedded.ClickHouseConfig) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server, err := embedded.StartClickHouse(ctx, cfg)
	if err == nil {
		_ = server.Close(ctx)
	}
	return err
}

func oneLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestRestart(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}
	c.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	c.query("INSERT INTO t VALUES (1), (2)")
	for n := 1; n <= 3; n++ {
		before := server.PID()
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The socket outlives the child: a request made now waits for the next
		// one, or fails with the connection it was accepted on.
		for {
			reply, err := http.Get(server.URL() + "/?query=SELECT+sum(a)+FROM+t")
			if err != nil {
				continue
			}
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK && server.PID() != before {
				break
			}
		}
		c.want("3\n", "SELECT sum(a) FROM t")
		if server.Restarts() != n {
			t.Errorf("%d restarts, want %d", server.Restarts(), n)
		}
	}
}

func TestRefusals(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	dir := filepath.Dir(dataLock(t, server))

	t.Run("directory in use", func(t *testing.T) {
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: dir}), dir, "in use by process "+strconv.Itoa(os.Getpid()))
		_, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: dir})
		oneLine(t, err, dir, "in use by process "+strconv.Itoa(os.Getpid()))
	})
	t.Run("port taken", func(t *testing.T) {
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir(), Addr: server.Addr()}), server.Addr(), "address already in use")
		_, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: t.TempDir(), Addr: server.Addr()})
		oneLine(t, err, server.Addr(), "address already in use")
	})
	t.Run("directory not writable", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: filepath.Join(file, "data")}), file)
		_, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: filepath.Join(file, "data")})
		oneLine(t, err, file)
	})
	t.Run("reachable without password", func(t *testing.T) {
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir(), Addr: "0.0.0.0:0"}), "set a password")
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir(), Addr: ":0", Password: "x", ReadOnlyUser: "ro"}), "set a password")
		_, err := embedded.StartKafka(embedded.KafkaConfig{DataDir: t.TempDir(), Addr: "0.0.0.0:0"})
		oneLine(t, err, "127.0.0.1")
	})
	t.Run("every mistake at once", func(t *testing.T) {
		err := start(t, embedded.ClickHouseConfig{Addr: "nonsense", ReadOnlyPassword: "x", Connections: -1})
		for _, part := range []string{"DataDir", "nonsense", "ReadOnlyUser", "negative"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	})
	t.Run("no library", func(t *testing.T) {
		t.Setenv("CHDB_LIB_PATH", "")
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		err := start(t, embedded.ClickHouseConfig{DataDir: t.TempDir()})
		oneLine(t, err, "run make chdb or set CHDB_LIB_PATH")
		if !errors.Is(err, embedded.ErrNoLibrary) {
			t.Errorf("%v is not ErrNoLibrary", err)
		}
		t.Setenv("CHDB_LIB_PATH", "/nonexistent/libchdb.so")
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir()}), "/nonexistent/libchdb.so")
	})
	t.Run("wrong checksum", func(t *testing.T) {
		path, err := embedded.LocateLibrary()
		if err != nil {
			t.Fatal(err)
		}
		version := filepath.Base(filepath.Dir(path))
		cache := t.TempDir()
		t.Setenv("CHDB_LIB_PATH", "")
		t.Setenv("XDG_CACHE_HOME", cache)
		fake := filepath.Join(cache, "droplift", "chdb", version, "libchdb.so")
		if err := os.MkdirAll(filepath.Dir(fake), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(fake, []byte("not a library"), 0o600); err != nil {
			t.Fatal(err)
		}
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir()}), fake, "checksum")
	})
	t.Run("not a library", func(t *testing.T) {
		fake := filepath.Join(t.TempDir(), "libchdb.so")
		if err := os.WriteFile(fake, []byte("not a library"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CHDB_LIB_PATH", fake)
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir()}), fake)
	})
	t.Run("not a child", func(t *testing.T) {
		oneLine(t, start(t, embedded.ClickHouseConfig{DataDir: t.TempDir(), Command: []string{"false"}}), "embedded ClickHouse")
	})
}

// dataLock finds the lock file of a running server through its child.
func dataLock(t *testing.T, server *embedded.ClickHouse) string {
	t.Helper()
	cwd, err := os.Readlink("/proc/" + strconv.Itoa(server.PID()) + "/cwd")
	if err != nil {
		t.Skip("needs /proc")
	}
	return filepath.Join(cwd, "lock")
}

// TestArguments checks that no secret shows in the process list.
func TestArguments(t *testing.T) {
	server := embeddedtest.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.Password = "hunter2" })
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(server.PID()) + "/" + file)
		if err != nil {
			t.Skip("needs /proc")
		}
		if strings.Contains(string(text), "hunter2") {
			t.Errorf("the password is in %s", file)
		}
	}
}

func TestCloseDrains(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}
	c.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	results := make(chan string, 1)
	go func() { results <- c.post("SELECT sleep(1.5)").body }()
	waitRunning(c, "%sleep(1.5)%")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-results; got != "0\n" {
		t.Errorf("the running query answered %q", got)
	}
	if _, err := net.Dial("tcp", server.Addr()); err == nil {
		t.Error("still listening")
	}
}

func TestCloseCancelsWhatDoesNotEnd(t *testing.T) {
	server := embeddedtest.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.Drain = 100 * time.Millisecond })
	c := httpClient{t, server.URL()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		request, _ := http.NewRequest(http.MethodPost, server.URL(), strings.NewReader("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"))
		if reply, err := http.DefaultClient.Do(request); err == nil {
			reply.Body.Close()
		}
	}()
	waitRunning(c, "%sipHash64(number) = 1%")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
	<-done
}

// waitRunning asks until a query like the pattern runs.
func waitRunning(c httpClient, pattern string) {
	c.t.Helper()
	for c.query("SELECT count() FROM system.processes WHERE query LIKE {p:String} AND query NOT LIKE '%system.processes%'", "param_p", pattern) == "0\n" {
	}
}

func TestDisconnectCancelsTheQuery(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL(), strings.NewReader("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 2"))
	go func() { _, _ = http.DefaultClient.Do(request) }()
	waitRunning(c, "%sipHash64(number) = 2%")
	cancel()
	for c.query("SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number) = 2%' AND query NOT LIKE '%system.processes%'") != "0\n" {
	}
}

// TestParallelQueries runs as many queries at once as there are connections.
func TestParallelQueries(t *testing.T) {
	server := embeddedtest.ClickHouse(t)
	c := httpClient{t, server.URL()}
	began := time.Now()
	done := make(chan answer)
	for range 8 {
		go func() { done <- c.post("SELECT sleep(1)") }()
	}
	for range 8 {
		if a := <-done; a.body != "0\n" {
			t.Error(a)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("8 sleeps of 1 s took %v: they did not run at once", took)
	}
}

// TestParentDeath checks that the child does not outlive a killed parent and
// that the next parent can open the data at once.
func TestParentDeath(t *testing.T) {
	if dir := os.Getenv("EMBEDDED_TEST_PARENT"); dir != "" {
		server, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		c := httpClient{t, server.URL()}
		c.query("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
		c.query("INSERT INTO t VALUES (7)")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	if _, err := embedded.LocateLibrary(); errors.Is(err, embedded.ErrNoLibrary) {
		embeddedtest.Missing(t, "clickhouse", err.Error())
	}
	dir := t.TempDir()
	parent := exec.Command(os.Args[0], "-test.run=^TestParentDeath$")
	parent.Env = append(os.Environ(), "EMBEDDED_TEST_PARENT="+dir)
	if out, err := parent.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v\n%s", err, out)
	}
	server := embeddedtest.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.DataDir = dir })
	httpClient{t, server.URL()}.want("7\n", "SELECT a FROM t")
}
