package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/lift"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// checkPublished lets the pipeline publish the story's read-outs: once each, as droplift lift prints them, and on the board.
func checkPublished(t *testing.T, p *pipeline, drop string) {
	t.Helper()
	l, err := newLifts(p.node, p.client)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	const published = "SELECT count(), uniqExact(drop_id), uniqExact(drop_id, revision) FROM estimates WHERE startsWith(metric, 'change_')"
	round := func() {
		t.Helper()
		l.round(t.Context(), time.Now())
		p.settle()
	}
	if _, err := l.due(t.Context(), time.Now()); err != nil || len(l.waiting) > 0 {
		t.Fatalf("all is stored, and %d drops wait: %v", len(l.waiting), err)
	}
	round()
	if n := gathered(t, p.node, "droplift_lift_readouts_total"); n != 3 {
		t.Errorf("%g of 3 drops are published", n)
	}
	first := p.tsv(published)
	// Neither the same process nor another one, which knows only what is stored, does it again.
	round()
	l.done = map[string]time.Time{}
	round()
	if again := p.tsv(published); again != first || !strings.HasSuffix(first, "\t3\t3") {
		t.Errorf("rows, drops and read-outs: %s, and later %s", first, again)
	}

	standard, err := standardLift()
	if err != nil {
		t.Fatal(err)
	}
	const newest = "SELECT * EXCEPT (kafka_partition, kafka_offset, kafka_time, inserted_at) FROM estimates_latest WHERE startsWith(metric, 'change_') ORDER BY ALL"
	before := p.tsv(newest)
	var printed []struct {
		Metric, Horizon, Scope, Grade, Method, Comparator, Maturity, Wording, Note string
		Points                                                                     *Interval `json:"points_pp"`
		Relative                                                                   *Interval `json:"relative_rel"`
		P                                                                          *float64
		PermutationP                                                               *float64 `json:"permutation_p"`
		N, Treated                                                                 uint64
	}
	if err := json.Unmarshal([]byte(p.command(&LiftCmd{Drop: drop, Format: "json", LiftOptions: standard})), &printed); err != nil {
		t.Fatal(err)
	}
	p.command(&LiftCmd{Drop: drop, Format: "json", Publish: true, LiftOptions: standard})
	p.settle()
	if after := p.tsv(newest); after != before {
		t.Errorf("published by hand\n%s\nbefore\n%s", after, before)
	}
	p.want("rows published by hand", fmt.Sprintf("SELECT count() - %s FROM estimates WHERE startsWith(metric, 'change_')", strings.Fields(first)[0]), fmt.Sprint(len(printed)))

	// The board shows every number that the command prints, and the stored ones are the same to the last digit.
	board := p.query("dashboard_changes", clickhouse.Params{"drop": drop})
	if len(board.Rows) != len(printed) {
		t.Errorf("the board has %d rows, the command %d", len(board.Rows), len(printed))
	}
	numbers := 0
	for _, r := range printed {
		scope, number, scale := r.Scope, r.Relative, 100.
		if scope == drop {
			scope = thisDrop
		}
		if r.Metric == returnMetric {
			number, scale = r.Points, 1
		}
		found := 0
		for i := range board.Rows {
			b := row{board, i}
			if b.text("window") != r.Horizon || b.text("scope") != scope || b.text("method") != r.Method || b.text("against") != r.Comparator ||
				liftMetrics[r.Metric] != "change_"+b.text("outcome") {
				continue
			}
			found++
			grade, _ := lift.ParseGrade(r.Grade)
			if b.text("grade") != grade.Letter() || b.text("words") != r.Wording || b.float("n") != float64(r.N) || b.float("treated") != float64(r.Treated) || !strings.HasSuffix(b.text("missing"), r.Note) {
				t.Errorf("the board says %v of %+v", board.Rows[i], r)
			}
			if number == nil {
				if _, has := b.number("value"); has || b.text("missing") == "" {
					t.Errorf("the board says %v of what has no number", board.Rows[i])
				}
				continue
			}
			numbers++
			p := r.P
			if r.PermutationP != nil {
				p = r.PermutationP
			}
			for column, want := range map[string]float64{"value": scale * number.Value, "low": scale * number.Low, "high": scale * number.High, "p": *p} {
				if b.float(column) != want {
					t.Errorf("%s of %s, %s, %s is %g on the board and %g by the command", column, r.Metric, r.Horizon, r.Method, b.float(column), want)
				}
			}
		}
		if found != 1 {
			t.Errorf("%+v is %d times on the board", r, found)
		}
	}
	if numbers < 10 {
		t.Errorf("%d numbers are on the board", numbers)
	}
	p.want("immature rows with a number, mature ones without a reason, windows",
		`SELECT countIf(maturity = 'provisional' AND enough AND dimensions['scope'] = 'this drop'), countIf(NOT enough AND why = ''), countIf(to <= from OR to - as_of > 28 * 86400 OR maturity = 'final' AND to > as_of)
			FROM estimates_latest WHERE startsWith(metric, 'change_')`, "0 0 0")
	if drops := p.query("dashboard_changes_by_drop", clickhouse.Params{"creators": []string{"*"}}); len(drops.Rows) != 3*7 {
		t.Errorf("%d rows of three drops, want 7 of each", len(drops.Rows))
	}

	page := filepath.Join(t.TempDir(), "report.html")
	p.command(&ReportCmd{Drop: drop, HTML: page, LiftOptions: standard})
	if text, err := os.ReadFile(page); err != nil || strings.Contains(string(text), "change audience") || strings.Contains(string(text), "change return") || !strings.Contains(string(text), "weekly active followers") {
		t.Errorf("the report has the published numbers beside its own, or none: %v", err)
	}
	for cmd, want := range map[*LiftCmd]string{
		{Drop: drop, Publish: true, LiftOptions: liftDefaults}:     "standard read-out",
		{Drop: `no'drop"\🦊`, Publish: true, LiftOptions: standard}: "not in the catalogue",
	} {
		if err := cmd.Run(t.Context(), p.cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("publishing %q: %v, want %q", cmd.Drop, err, want)
		}
	}
}

// What is no number is published as none, with its reason; what rests on earlier drops alone may still change.
func TestLiftEstimates(t *testing.T) {
	at := func(days int) time.Time { return time.Date(2026, 3, 1+days, 18, 0, 0, 0, time.UTC) }
	s := liftStage{drop: "d", creator: "c", starts: at(0), ends: at(2), matured: at(9)}
	base := LiftRow{Metric: returnMetric, Horizon: "D7", Scope: "d", Grade: lift.Matched, Method: "m", Comparator: "o", Maturity: final, MaturesAt: at(9), Wording: "adjusted association", Note: "noted", toDay: 7,
		Points: &Interval{2, 1, 3}, Relative: &Interval{0.2, 0.1, math.Inf(1)}, P: ptr(0.5), N: 7, Treated: 3}
	for name, tt := range map[string]struct {
		change   func(r *LiftRow)
		enough   bool
		maturity event.Maturity
		why      string
	}{
		"a number":               {func(*LiftRow) {}, true, event.Final, "noted"},
		"withheld":               {func(r *LiftRow) { r.Points, r.Relative, r.P = nil, nil, nil }, false, event.Final, "noted"},
		"without bounds":         {func(r *LiftRow) { r.Points = &Interval{2, math.Inf(-1), math.Inf(1)} }, false, event.Final, "withheld: the interval has no bounds; noted"},
		"not complete":           {func(r *LiftRow) { r.Points, r.Maturity, r.MaturesAt = nil, provisional, at(30) }, false, event.Provisional, "not complete before 2026-03-31 18:00 UTC; noted"},
		"of earlier drops alone": {func(r *LiftRow) { r.MaturesAt = at(30) }, true, event.Provisional, "noted"},
		"without a window":       {func(r *LiftRow) { r.Points, r.Maturity, r.MaturesAt = nil, provisional, time.Time{} }, false, event.Provisional, "noted"},
	} {
		r := base
		tt.change(&r)
		e := s.estimate(&r, 0.9)
		if e.Enough != tt.enough || e.Maturity != tt.maturity || e.Why != tt.why || (e.P == 0.5) != tt.enough {
			t.Errorf("%s: %+v", name, e)
		}
		if e.Revision != uint64(at(9).UnixMilli()) || e.From != at(0).UnixMilli() || e.To != at(9).UnixMilli() || e.Label != r.Wording || e.Grade.String() != "matched" || e.Confidence != 0.9 {
			t.Errorf("%s: %+v", name, e)
		}
		var decoder event.Decoder
		var back event.Estimate
		if err := decoder.Estimate(e.AppendJSON(nil), &back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A drop whose read-out fails waits, and what is not stored yet holds everything up; neither ends anything.
func TestLiftsWait(t *testing.T) {
	p := startPipeline(t, t.TempDir())
	l, err := newLifts(p.node, p.client)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	l.round(t.Context(), now) // an empty installation
	if l.waiting = []liftStage{{drop: "nobody knows it", matured: now}}; len(l.retry) > 0 {
		t.Errorf("failed: %v", l.retry)
	}
	l.ends = map[topicPartition]int64{{event.KindPlayer.Topic(), 0}: 1}
	l.round(t.Context(), now)
	if len(l.waiting) != 1 || len(l.retry) > 0 {
		t.Errorf("an event is not stored, and what waited for it goes on: %v", l.retry)
	}
	l.ends = map[topicPartition]int64{}
	l.round(t.Context(), now)
	if again := l.retry["nobody knows it"]; len(l.waiting) > 0 || !again.Equal(now.Add(liftRetry)) || gathered(t, p.node, "droplift_lift_readouts_total") != 1 {
		t.Errorf("an unknown drop is tried again at %s", again)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.waiting = []liftStage{{drop: "another", matured: now}}
	l.round(ctx, now)
	if len(l.retry) != 1 {
		t.Errorf("the end of the process counts as a failure: %v", l.retry)
	}
}
