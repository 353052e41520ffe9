package embedded_test

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// tool finds a program or skips; DROPLIFT_REQUIRE=clients makes that a failure.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		embeddedtest.Missing(t, "clients", name+" is not installed")
	}
	return path
}

func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Stdin = strings.NewReader(stdin)
	var errors strings.Builder
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errors.String())
	}
	return string(out)
}

// TestPythonClient runs clickhouse-connect: queries, inserts, data frames.
// DROPLIFT_PYTHON names a Python that has clickhouse-connect and pandas.
func TestPythonClient(t *testing.T) {
	python := os.Getenv("DROPLIFT_PYTHON")
	if python == "" {
		embeddedtest.Missing(t, "clients", "DROPLIFT_PYTHON names no Python with clickhouse-connect and pandas")
	}
	server := embeddedtest.ClickHouse(t)
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(run(t, "", python, "testdata/clickhouse_connect_check.py", host, port))
}

func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	server := embeddedtest.ClickHouse(t, func(cfg *embedded.ClickHouseConfig) { cfg.Password = "secret" })
	do := func(stdin string, args ...string) string {
		return run(t, stdin, curl, append([]string{"--silent", "--show-error", "--user", "default:secret"}, args...)...)
	}
	do("", server.URL(), "--data", "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
	do("1,one\n2,two\n", server.URL()+"/?query=INSERT%20INTO%20t%20FORMAT%20CSV", "--data-binary", "@-")
	do(`{"a":3,"b":"three"}`, server.URL()+"/?query=INSERT%20INTO%20t%20FORMAT%20JSONEachRow", "--data-binary", "@-", "--header", "Transfer-Encoding: chunked")
	if got := do("", server.URL(), "--data", "SELECT * FROM t ORDER BY a FORMAT CSV", "--compressed"); got != "1,\"one\"\n2,\"two\"\n3,\"three\"\n" {
		t.Errorf("got %q", got)
	}
	if got := do("", server.URL()+"/?query=SELECT%20count()%20FROM%20t"); got != "3\n" {
		t.Errorf("got %q", got)
	}
	if got := do("", "--output", os.DevNull, "--write-out", "%{http_code}", server.URL(), "--data", "SELECT * FROM nosuch"); got != "404" {
		t.Errorf("got %q", got)
	}
	if got := run(t, "", curl, "--silent", "--output", os.DevNull, "--write-out", "%{http_code}", server.URL(), "--data", "SELECT 1"); got != "401" {
		t.Errorf("without password: %q", got)
	}
}

func TestKcat(t *testing.T) {
	kcat := tool(t, "kcat")
	cluster := embeddedtest.Kafka(t, func(cfg *embedded.KafkaConfig) { cfg.AutoCreateTopics, cfg.DefaultPartitions = true, 3 })
	broker := strings.Join(cluster.Addrs(), ",")
	run(t, "k1:one\nk2:two\nk3:three\n", kcat, "-b", broker, "-P", "-t", "letters", "-K", ":", "-z", "zstd")
	out := run(t, "", kcat, "-b", broker, "-C", "-t", "letters", "-o", "beginning", "-e", "-q", "-f", "%k=%s\n")
	for _, want := range []string{"k1=one\n", "k2=two\n", "k3=three\n"} {
		if strings.Count(out, want) != 1 {
			t.Errorf("%q does not hold %q once", out, want)
		}
	}
	group := run(t, "", kcat, "-b", broker, "-G", "readers", "-o", "beginning", "-e", "-q", "-X", "auto.offset.reset=earliest", "-f", "%s\n", "letters")
	if strings.Count(group, "\n") != 3 {
		t.Errorf("the group read %q", group)
	}
	if list := run(t, "", kcat, "-b", broker, "-L"); !strings.Contains(list, `topic "letters" with 3 partitions`) {
		t.Errorf("metadata: %s", list)
	}
}
