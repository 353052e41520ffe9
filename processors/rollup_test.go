package processors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// totals adds up the conversions of each drop: the newest revision of each pane and partition.
type totals struct {
	decoder event.Decoder
	v       event.Velocity
	parts   *Table[part]
	drops   *Table[part]
}

type part struct{ revision, conversions uint64 }

type partCodec struct{}

func (partCodec) Append(dst []byte, p *part) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, 1), p.revision), p.conversions)
}

func (partCodec) Decode(data []byte, p *part) error {
	_, rest, err := Version(data, 1)
	if err != nil {
		return err
	}
	revision, n := binary.Uvarint(rest)
	conversions, m := binary.Uvarint(rest[max(n, 0):])
	if n <= 0 || m <= 0 {
		return errors.New("cut short")
	}
	*p = part{revision, conversions}
	return nil
}

func (partCodec) Deadline(*part) int64 { return 0 }

func newTotals() *totals {
	return &totals{parts: NewTable("parts", Codec[part](partCodec{})), drops: NewTable("drops", Codec[part](partCodec{}))}
}

func (r *totals) Name() string { return "totals" }

func (r *totals) Tables() []Staged { return []Staged{r.parts, r.drops} }

func (r *totals) Apply(record *event.Record) *event.Error {
	if record.Kind != event.KindVelocity {
		return nil
	}
	if err := r.decoder.Velocity(record.Value, &r.v); err != nil {
		return err
	}
	p, _ := r.parts.Put(fmt.Sprintf("%s|%d|%d", r.v.DropID, r.v.PaneStart, r.v.Partition))
	if r.v.Revision <= p.revision {
		return nil
	}
	d, _ := r.drops.Put(r.v.DropID)
	d.conversions += uint64(r.v.Conversions) - p.conversions
	*p = part{r.v.Revision, uint64(r.v.Conversions)}
	return nil
}

func (r *totals) Flush(t RollupTimes, out *Output) {
	r.drops.Changed(func(drop string, d *part) {
		d.revision++
		e := event.Estimate{DropID: drop, Metric: "conversions", Revision: d.revision, N: d.conversions, Unit: "conversions", Enough: t.Quiet, SampleRate: 1}
		out.Emit(event.KindEstimate, drop+"|conversions", e.AppendJSON)
	})
}

func velocityOf(drop string, partition int32, pane int64, revision uint64, conversions uint32) event.Record {
	v := event.Velocity{DropID: drop, Partition: partition, PaneStart: pane, PaneMS: 10_000, Revision: revision, Watermark: pane, Conversions: conversions}
	return event.Record{Kind: event.KindVelocity, Key: []byte(drop), Value: v.AppendJSON(nil)}
}

func newTestRollup() *Rollup {
	return NewRollup(3, []RollupRule{newTotals()})
}

func TestRollupAddsUpTheNewestPartials(t *testing.T) {
	r := newTestRollup()
	changelog := map[string]string{}
	// step folds records, rolls them back once, folds them again, commits, and returns what came out.
	step := func(caughtUp bool, records ...event.Record) []string {
		var out []string
		for _, commit := range []bool{false, true} {
			out = nil
			for _, record := range records {
				if got := r.Process(record); got != event.Accepted {
					t.Fatalf("outcome %v", got)
				}
			}
			for _, m := range r.Flush(5, []bool{caughtUp}) {
				var e event.Estimate
				if err := new(event.Decoder).Estimate(m.Value, &e); err != nil {
					t.Fatal(err)
				}
				out = append(out, fmt.Sprintf("%s %d r%d %v", strings.Clone(e.DropID), e.N, e.Revision, e.Enough))
			}
			if !commit {
				r.Rollback()
				continue
			}
			r.Changes(func(key string, value []byte) { changelog[strings.Clone(key)] = string(value) })
			r.Commit()
		}
		return out
	}
	check := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("published %q, want %q", got, want)
		}
	}
	check(step(false, velocityOf("a", 0, 10_000, 1, 3), velocityOf("b", 0, 10_000, 1, 9), velocityOf("a", 1, 10_000, 4, 2)),
		"a 5 r1 false", "b 9 r1 false")
	check(step(true, velocityOf("a", 0, 10_000, 2, 7), velocityOf("a", 1, 10_000, 3, 1)), "a 9 r2 true")
	check(step(true))

	// Another process takes over.
	snapshot := map[string]string{}
	r.Snapshot(func(key string, value []byte) { snapshot[strings.Clone(key)] = string(value) })
	if !maps.Equal(snapshot, changelog) {
		t.Errorf("snapshot %q, change-log %q", snapshot, changelog)
	}
	before := r.Stats()
	r = newTestRollup()
	for key, value := range changelog {
		if err := r.Restore(key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if after := r.Stats(); after.StateKeys != before.StateKeys || after.StateBytes != before.StateBytes || before.Accepted != 5 {
		t.Errorf("before the restore %+v, after it %+v", before, after)
	}
	check(step(false, velocityOf("a", 0, 20_000, 1, 1)), "a 10 r3 false")
	if err := r.Restore("other/0/x", nil); err == nil || !strings.Contains(err.Error(), "totals/0/ totals/1/") {
		t.Errorf("a foreign entry: %v", err)
	}
}

func TestRollupDeadLettersWhatItCannotRead(t *testing.T) {
	r := newTestRollup()
	if got := r.Process(event.Record{Kind: event.KindVelocity, Offset: 8, Key: []byte("k"), Value: []byte("{")}); got != event.DeadLettered {
		t.Errorf("outcome %v", got)
	}
	messages := r.Flush(1, []bool{true})
	var letter event.DeadLetter
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	if err := new(event.Decoder).DeadLetter(messages[0].Value, &letter); err != nil {
		t.Fatal(err)
	}
	if letter.Topic != "velocity" || letter.Partition != 3 || letter.Offset != 8 || string(letter.Value) != "{" || letter.Class != event.ReasonMalformed {
		t.Errorf("letter %+v", letter)
	}
	r.Commit()
	if got := r.Stats().DeadLetters[event.ReasonMalformed]; got != 1 {
		t.Errorf("%d dead letters counted", got)
	}
}

func TestRollupTimes(t *testing.T) {
	for _, c := range []struct {
		last, progress int64
		quiet, want    bool
	}{
		{0, 59_999, false, false}, {0, 60_000, false, true}, {0, 1, true, true}, {7, 7, true, false},
	} {
		if got := (RollupTimes{Quiet: c.quiet}).Due(c.last, c.progress, 60_000); got != c.want {
			t.Errorf("%+v: due %v", c, got)
		}
	}
}

func TestRuleNames(t *testing.T) {
	err := ValidateRules([]RollupRule{newTotals(), newTotals()})
	if err == nil || !strings.Contains(err.Error(), `two rules named "totals"`) {
		t.Errorf("%v", err)
	}
	if err := ValidateRules([]RollupRule{newTotals()}); err != nil {
		t.Error(err)
	}
}

func TestRollupWatermarkIsTheLowestOfThePartitions(t *testing.T) {
	var r *Rollup
	clock := &clock{}
	told := func(partition int32, watermark int64, idle bool) {
		p := event.Progress{Partition: partition, Watermark: watermark, Idle: idle}
		if got := r.Process(event.Record{Kind: event.KindProgress, Value: p.AppendJSON(nil)}); got != event.Accepted {
			t.Fatalf("outcome %v", got)
		}
	}
	check := func(want int64, commit bool) {
		t.Helper()
		r.Flush(1, []bool{false})
		if clock.watermark != want {
			t.Errorf("watermark %d, want %d", clock.watermark, want)
		}
		if commit {
			r.Commit()
		} else {
			r.Rollback()
		}
	}
	r = NewRollup(0, []RollupRule{clock})
	check(NoWatermark, true)
	told(0, 500, false)
	told(2, 300, false)
	check(300, true)
	told(2, 900, false)
	check(500, false) // rolled back
	check(300, true)
	told(2, 800, false)
	told(0, 510, true) // holds nobody up any more
	check(800, true)
	told(2, 810, true)
	check(810, true) // nobody is waited for
	told(0, 520, false)
	check(810, true) // and nothing is taken back

	entries := map[string]string{}
	r.Snapshot(func(key string, value []byte) { entries[strings.Clone(key)] = string(value) })
	r = NewRollup(0, []RollupRule{clock})
	for key, value := range entries {
		if err := r.Restore(key, []byte(value)); err != nil {
			t.Fatal(err)
		}
		for cut := range len(value) {
			if err := r.Restore(key, []byte(value)[:cut]); err == nil {
				t.Errorf("the first %d of %d bytes are taken for a partition's progress", cut, len(value))
			}
		}
	}
	check(520, true) // a new process begins with what it knows
}

// clock is a rule that remembers the watermark.
type clock struct{ watermark int64 }

func (c *clock) Name() string                     { return "clock" }
func (c *clock) Apply(*event.Record) *event.Error { return nil }
func (c *clock) Flush(t RollupTimes, _ *Output)   { c.watermark = t.Watermark }
func (c *clock) Tables() []Staged                 { return nil }

func TestPartitionTellsItsProgress(t *testing.T) {
	p := NewPartition(5, Config{Inputs: []event.Kind{event.KindPlayer}, ProgressEvery: 60_000}, nil, nil)
	var told []string
	flush := func(now int64, commit bool) {
		for _, m := range p.Flush(now, []bool{true}) {
			told = append(told, string(m.Value))
		}
		if commit {
			p.Commit()
		} else {
			p.Rollback()
		}
	}
	at := func(ms int64) {
		ev := event.Event{Kind: event.KindPlayer, Envelope: event.Envelope{
			ID: uuid.New(), Type: event.Heartbeat, EventTime: ms, IngestTime: ms, PlayerID: "p", SampleRate: 1, SchemaVersion: 1,
		}}
		if got := p.Process(event.Record{Kind: event.KindPlayer, Timestamp: ms, Value: event.Append(nil, &ev)}); got != event.Accepted {
			t.Fatalf("outcome %v", got)
		}
	}
	const start = 1_760_000_040_000 // a full minute
	flush(1, true)                  // knows nothing yet
	at(start + 10_001)
	flush(2, false)
	at(start + 10_001)
	flush(3, true)
	at(start + 70_000)
	flush(4, true) // the same minute
	at(start + 70_001)
	flush(5, true)
	flush(5+30_000, true) // idle
	flush(6+30_000, true)
	at(start + 80_000)
	flush(7+30_000, true) // no more
	line := func(watermark int64, idle string) string {
		return fmt.Sprintf(`{"partition":5,"watermark":%d%s}`, watermark, idle)
	}
	want := []string{line(start, ""), line(start, ""), line(start+60_000, ""), line(start+60_000, `,"idle":true`), line(start+69_999, "")}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}
