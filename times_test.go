package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTimesOfTheCommandLine(t *testing.T) {
	parse := func(args ...string) (*CLI, error) {
		t.Helper()
		cli := new(CLI)
		parser, err := newArgumentParser(cli)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(append([]string{"model", "train"}, args...))
		return cli, err
	}
	cli, err := parse("--at", "2026-04-01,2026-04-01T18:00,2026-04-01T20:00:00.5+02:00", "--test-from=2026-04-02")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	want := []time.Time{day, day.Add(18 * time.Hour), day.Add(18*time.Hour + 500*time.Millisecond)}
	if got := cli.Model.Train; !slices.EqualFunc(got.At, want, time.Time.Equal) || !got.TestFrom.Equal(day.AddDate(0, 0, 1)) || !got.From.IsZero() {
		t.Errorf("at %v, test from %s, from %s", got.At, got.TestFrom, got.From)
	}
	for _, text := range []string{"", "yesterday", "1969-12-31", "2025-13-01", "18:00", "1772452800", "2026-04-01 ✨", "١٤٤٧-٠٩-٠١"} {
		if cli, err := parse("--from=" + text); err == nil || !strings.Contains(err.Error(), "--from") || !strings.Contains(err.Error(), "2026-04-01T18:00") {
			t.Errorf("%q is %s, with error %v", text, cli.Model.Train.From, err)
		}
	}
}

func TestScoringTimes(t *testing.T) {
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	next := day.AddDate(0, 0, 1)
	for name, c := range map[string]struct {
		trainingFlags
		want    []int64
		refused string
	}{
		"named":        {trainingFlags: trainingFlags{At: []time.Time{next, day, next}}, want: []int64{day.UnixMilli(), next.UnixMilli()}},
		"a span":       {trainingFlags: trainingFlags{From: day, To: next, Every: 12 * time.Hour}, want: []int64{day.UnixMilli(), day.UnixMilli() + 43_200_000}},
		"none":         {refused: "give scoring times"},
		"an open span": {trainingFlags: trainingFlags{From: day, Every: time.Hour}, refused: "--to TIME"},
		"both":         {trainingFlags: trainingFlags{At: []time.Time{day}, To: next}, refused: "not both"},
		"no step":      {trainingFlags: trainingFlags{From: day, To: next}, refused: "under a millisecond"},
		"an empty one": {trainingFlags: trainingFlags{From: next, To: next, Every: time.Hour}, refused: "not after"},
		"too many":     {trainingFlags: trainingFlags{From: day, To: next, Every: time.Second}, refused: "more than 10000"},
	} {
		got, err := c.times()
		if c.refused == "" && (err != nil || !slices.Equal(got, c.want)) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
		if c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v, %v; want %q", name, got, err, c.refused)
		}
	}
}
