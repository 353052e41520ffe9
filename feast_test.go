package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// TestFeast loads the repository under deploy/feast into the real Feast: what it joins from our export is our own
// point-in-time training set, value for value, and its online store answers with the same features.
func TestFeast(t *testing.T) {
	python := os.Getenv("DROPLIFT_FEAST")
	if python == "" {
		embeddedtest.Missing(t, "feast", "DROPLIFT_FEAST names no Python with feast: make feast")
	}
	p := startPipeline(t, t.TempDir())
	playTiny(p, 5)
	p.settle()
	// In the middle of what was played, and behind it.
	at := strings.Fields(p.tsv("SELECT formatDateTime(quantileExact(as_of), '%FT%TZ'), formatDateTime(max(as_of) + INTERVAL 1 SECOND, '%FT%TZ') FROM features"))

	dir := t.TempDir()
	export, training, repo := filepath.Join(dir, "export"), filepath.Join(dir, "training.parquet"), filepath.Join(dir, "repo")
	run := func(args ...string) {
		t.Helper()
		if code, _, stderr := runDroplift(t, nil, append(args, p.flags()...)...); code != 0 {
			t.Fatalf("%s: exit %d: %s", strings.Join(args, " "), code, stderr)
		}
	}
	// A simulated past was delivered at once: event time says what was known.
	run("features", "export", "--out", export)
	run("features", "training-set", "--at", at[0], "--at", at[1], "--knowable", "event", "--out", training)
	if err := os.CopyFS(repo, os.DirFS("deploy/feast")); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/feast_check.py")
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), python, script, export, training)
	check.Dir = repo
	check.Env = append(os.Environ(), "DROPLIFT_FEAST_TIME=event", "PYTHONPATH="+repo, "PYTHONDONTWRITEBYTECODE=1")
	out, err := check.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
