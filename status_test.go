package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// lookOnce runs droplift status --once --json.
func lookOnce(t *testing.T, cfg *Config, nodes ...string) installation {
	t.Helper()
	out, err := captureStdout(func() error {
		clients := *cfg
		return (&StatusCmd{Node: nodes, Interval: 200 * time.Millisecond, Once: true, JSON: true}).Run(context.Background(), &clients)
	})
	if err != nil {
		t.Fatal(err)
	}
	var s installation
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// A real installation that has done everything says so; one that is gone, or not named, is a line with what to do.
func TestStatus(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--metrics-addr", "127.0.0.1:0")
	address := p.node.ops.MetricsAt
	idle := lookOnce(t, p.cfg, address)
	if len(idle.Nodes) != 1 || !idle.Nodes[0].Answers || len(idle.Problems) > 0 {
		t.Errorf("before any record: %+v, problems %q", idle.Nodes, idle.Problems)
	}

	p.command(&SimulateCmd{Simulation: Simulation{Scenario: "tiny", Seed: 3}})
	p.settle()
	s := lookOnce(t, p.cfg, address, strings.TrimPrefix(address, "http://")+"/metrics")
	if len(s.Nodes) != 1 {
		t.Errorf("one process named twice is %d", len(s.Nodes))
	}
	if len(s.Problems) > 0 {
		t.Errorf("problems: %q", s.Problems)
	}
	var names []string
	for _, l := range s.Loops {
		names = append(names, l.Group+" "+l.Topic)
		if l.Condition != keepingUp || l.Lag != 0 || l.Stale == nil || *l.Stale != 0 || l.Clears != nil {
			t.Errorf("%s %s, which is done: %+v", l.Group, l.Topic, l)
		}
		spent := 0.0
		for _, share := range l.Shares {
			spent += share
		}
		if math.Abs(spent-1) > 1e-9 {
			t.Errorf("%s %s: the shares of its time add up to %v", l.Group, l.Topic, spent)
		}
		if partitions := len(l.Partitions); l.Group == p.cfg.ProcessGroup && partitions != 4*len(stageInputs) ||
			l.Group == p.cfg.RollupGroup && partitions != 4*len(rollupInputs) || l.Topic == "player" && partitions != 4 {
			t.Errorf("%s %s: %d partitions", l.Group, l.Topic, partitions)
		}
		if written := l.Topic == "" || l.Topic == "player" || l.Topic == "features"; written && time.Since(time.Unix(int64(l.LastCommit), 0)) > 5*time.Minute {
			t.Errorf("%s %s committed last at %v", l.Group, l.Topic, l.LastCommit)
		}
	}
	want := []string{p.cfg.ProcessGroup + " ", p.cfg.RollupGroup + " "}
	for _, kind := range sinkKinds {
		want = append(want, p.cfg.SinkGroup+" "+kind.Topic())
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("loops %q, want %q", names, want)
	}
	i := slices.IndexFunc(s.Loops, func(l loopStatus) bool { return l.Group == p.cfg.ProcessGroup })
	if i >= 0 && (s.Loops[i].StateKeys == 0 || s.Loops[i].StateBytes == 0 || s.Loops[i].Restored != 4) {
		t.Errorf("the stage's state: %+v", s.Loops[i])
	}
	for _, g := range s.Groups {
		if g.Lag != 0 {
			t.Errorf("group %s is %d behind", g.Group, g.Lag)
		}
	}
	if len(s.Groups) != len(p.cfg.loops()) {
		t.Errorf("groups %+v", s.Groups)
	}
	tables := p.query("status_tables", nil)
	if len(tables.Rows) == 0 || len(s.Tables) != len(tables.Rows) {
		t.Errorf("%d tables, ClickHouse has %d", len(s.Tables), len(tables.Rows))
	}
	for _, of := range s.Tables {
		if of.Table == "player_events" && p.tsv("SELECT count() FROM player_events") != fmt.Sprintf("%.0f", of.Rows) {
			t.Errorf("player_events holds %v rows", of.Rows)
		}
		if of.ActiveParts == 0 || of.Bytes == 0 {
			t.Errorf("table %+v", of)
		}
	}

	// Without the process's metrics, Kafka still knows of the groups.
	gone := "http://" + freeAddr(t)
	s = lookOnce(t, p.cfg, gone)
	if len(s.Nodes) != 1 || s.Nodes[0].Answers || len(s.Loops) != 0 || len(s.Groups) != len(p.cfg.loops()) {
		t.Errorf("a process that is not there: %+v", s)
	}
	problems(t, s, gone+" does not answer (connection refused): start it with `droplift up`", "nobody asked here runs group "+p.cfg.ProcessGroup,
		"nobody asked here runs group "+p.cfg.RollupGroup, "nobody asked here runs group "+p.cfg.SinkGroup)

	p.close()
	s = lookOnce(t, p.cfg, address)
	problems(t, s, address+" does not answer", "Kafka at ", "ClickHouse at ")
}

// problems checks that these are all, in any order.
func problems(t *testing.T, s installation, want ...string) {
	t.Helper()
	for _, w := range want {
		if !slices.ContainsFunc(s.Problems, func(p string) bool { return strings.HasPrefix(p, w) }) {
			t.Errorf("no problem begins with %q", w)
		}
	}
	if len(s.Problems) != len(want) {
		t.Errorf("problems %q", s.Problems)
	}
}

func TestStatusRefuses(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--interval", "1ms"}, "droplift: error: --interval: 1ms is too short"},
		{[]string{"--metrics-addr="}, "droplift: error: --node: name a process"},
		{[]string{"--node", "ftp://x"}, `droplift: error: --node: "ftp://x" is not a URL`},
	} {
		code, stdout, stderr := runDroplift(t, nil, append([]string{"status", "--once"}, test.args...)...)
		if code != 1 || stdout != "" {
			t.Errorf("%q: exit code %d, stdout %q", test.args, code, stdout)
		}
		oneLine(t, stderr, test.want)
	}
}

// The page's text holds whatever is looked at, and escape sequences stay on terminals.
func TestStatusPage(t *testing.T) {
	text.EnableColors() // as on a terminal, wherever the test runs
	stale, clears := 75.0, 7260.0
	s := installation{
		At: time.Unix(1_760_000_000, 0).UTC(), Interval: 2,
		Nodes: []nodeStatus{{Node: "http://a:1", Answers: true, Cores: 1.5, Processors: 2, ResidentBytes: 3 << 30, Memory: 0.5}, {Node: "http://b:1"}},
		Loops: []loopStatus{
			{Node: "http://a:1", Group: "stage", verdict: verdict{cpuBound, "the work takes 90 % of the time"}, Rate: 12_345, Lag: 1_234_567, Growth: -170,
				Clears: &clears, Stale: &stale, LastCommit: 1_760_000_000 - 3, StateKeys: 1000, StateBytes: 1 << 20},
			{Node: "http://a:1", Group: "feed", Topic: "player", verdict: verdict{keepingUp, "idle 100 %"}, Batches: 120},
		},
		Groups:   []groupStatus{{Group: "feed", Lag: 10, Largest: 0.7, Partition: "player/3"}},
		Tables:   []tableStatus{{Table: "player_events", Rows: 1_000_000, Bytes: 5000, ActiveParts: 12, PartsPerMinute: 30}},
		Problems: []string{"http://b:1 does not answer (connection refused): start it"},
	}
	plain := (&view{}).page(s)
	for _, want := range []string{
		"2025-10-09 08:53:20 UTC, over 2.0 s", "http://a:1  ready  1.5 of 2 processors, 3.0 GiB resident, 50 % of GOMEMLIMIT", "http://b:1  does not answer",
		"! http://b:1 does not answer (connection refused): start it", "12 345", "1 234 567", "2h1m", "1m15s", "3.0s ago", "1.0 MiB", "→ player", "never",
		"player/3 has 70 %", "1 000 000  4.9 KiB     12             30",
	} {
		if !strings.Contains(plain, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(plain)
	}
	if strings.Contains(plain, "\x1b") {
		t.Error("escape sequences without a terminal")
	}
	escapes := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	coloured := (&view{coloured: true}).page(s)
	if coloured == plain || escapes.ReplaceAllString(coloured, "") != plain {
		t.Error("colours change more than colours")
	}

	var out strings.Builder
	v := &view{w: &out, inPlace: true, height: 8, width: 80}
	if err := v.show(s); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 7 || !strings.Contains(out.String(), "more lines; --once prints them all") {
		t.Errorf("%d lines on a terminal of 8:\n%s", lines, out.String())
	}
	for line := range strings.Lines(escapes.ReplaceAllString(out.String(), "")) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > v.width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
