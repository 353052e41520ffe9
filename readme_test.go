package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// readmeCommands are the lines of README's sh blocks.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside && line != "":
			commands = append(commands, line)
		}
	}
	return commands
}

// TestREADME runs what the README tells a newcomer to run, but for `make test`, which runs this. The demo plays a
// smaller drop than by default; the other commands talk to it while it serves.
func TestREADME(t *testing.T) {
	embeddedtest.NeedLibrary(t)
	commands := readmeCommands(t)
	if len(commands) < 5 || commands[0] != "make demo" || commands[1] != "make test" {
		t.Fatalf("README's commands are %q; want make demo, make test and more", commands)
	}
	dir, features, viewer := t.TempDir(), freeAddr(t), freeAddr(t)
	env := append(os.Environ(), "DROPLIFT_DATA_DIR="+dir, "DROPLIFT_KAFKA_ADDR="+freeAddr(t), "DROPLIFT_CLICKHOUSE_ADDR="+freeAddr(t),
		"DROPLIFT_METRICS_ADDR="+freeAddr(t), "DROPLIFT_PPROF_ADDR=", "DROPLIFT_FEATURES_ADDR="+features, "DROPLIFT_VIEWER_ADDR="+viewer)

	demo := exec.Command("make", "demo", "ARGS=--scenario tiny --speed 0")
	demo.Env = env
	demo.Stderr = os.Stderr
	demo.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-demo.Process.Pid, syscall.SIGKILL)
	timer := time.AfterFunc(10*time.Minute, func() { syscall.Kill(-demo.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	var drop string
	serving := false
	for lines := bufio.NewScanner(out); !serving && lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "Drop "); ok {
			drop, _, _ = strings.Cut(name, ":")
		}
		serving = strings.HasPrefix(lines.Text(), "Serving until Ctrl-C")
	}
	if !serving || drop == "" {
		t.Fatalf("the demo ended before it served (drop %q)", drop)
	}

	query := exec.Command("bin/droplift", "query", "--sql", "SELECT player_id FROM features LIMIT 1", "--format", "TSV")
	query.Env = env
	player, err := query.Output()
	if err != nil || len(player) == 0 {
		t.Fatalf("no player has features (%q, %v)", player, err)
	}

	for _, command := range commands[2:] {
		t.Run(command, func(t *testing.T) {
			const sample = "transactions_sample.csv.gz"
			file := sample
			if strings.Contains(command, sample) {
				file = realData(t, "completejourney/"+sample)
			}
			command = strings.NewReplacer("DROP", drop, "PLAYER", strings.TrimSpace(string(player)), "127.0.0.1:8126", features, "127.0.0.1:8127", viewer, "--out export", "--out "+filepath.Join(dir, "export"), sample, file,
				"truth.json", filepath.Join(dir, "truth.json"), "roi.parquet", filepath.Join(dir, "roi.parquet"), "drop.html", filepath.Join(dir, "drop.html")).Replace(command)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			run := exec.CommandContext(ctx, "sh", "-c", command)
			run.Env = env
			output, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, output)
			}
			if len(output) == 0 {
				t.Errorf("%s printed nothing", command)
			}
		})
	}

	pid := demo.Process.Pid
	if children := childrenOf(t, pid); len(children) == 1 {
		pid = children[0] // make waits for the demo
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v; want exit code 0", err)
	}
}

// childrenOf lists the processes that any thread of pid started.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	var children []int
	for _, file := range mustGlob(t, fmt.Sprintf("/proc/%d/task/*/children", pid)) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			var child int
			if _, err := fmt.Sscan(word, &child); err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}
