package processors_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

// minutes is a small rule: it counts each player's events per minute and
// publishes a minute, as text, whenever it changed and once when it is final.
type minutes struct{ table *processors.Table[minute] }

type minute struct{ start, count, final int64 }

type minuteCodec struct{}

func (minuteCodec) Append(dst []byte, m *minute) []byte {
	for _, v := range []int64{m.start, m.count, m.final} {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func (minuteCodec) Decode(data []byte, m *minute) error {
	for _, v := range []*int64{&m.start, &m.count, &m.final} {
		var n int
		if *v, n = binary.Varint(data); n <= 0 {
			return errors.New("minute cut short")
		}
		data = data[n:]
	}
	return nil
}

func (minuteCodec) Deadline(m *minute) int64 { return m.start + 59_999 }

func newMinutes() *minutes {
	return &minutes{table: processors.NewTable("minutes", minuteCodec{})}
}

func (*minutes) Name() string                  { return "minutes" }
func (r *minutes) Tables() []processors.Staged { return []processors.Staged{r.table} }

func (r *minutes) Apply(ev *event.Event, at int64) {
	start := at - at%60_000
	m, _ := r.table.Put(ev.PlayerID + timeline.FormatTime(start))
	m.start = start
	m.count++
}

func (r *minutes) Flush(t processors.Times, out *processors.Output) {
	emit := func(key string, m *minute, state string) {
		out.Emit(event.KindFeatures, key, func(dst []byte) []byte {
			return fmt.Appendf(dst, "%d %s at %d", m.count, state, t.Watermark)
		})
	}
	if t.Watermark != processors.NoWatermark {
		r.table.Due(t.Watermark-t.AllowedLateness, func(key string, m *minute) {
			emit(key, m, "final")
			r.table.Delete(key)
		})
	}
	r.table.Changed(func(key string, m *minute) { emit(key, m, "so far") })
}

func (r *minutes) contents(t *testing.T) map[string]minute {
	t.Helper()
	all := map[string]minute{}
	if err := r.table.Each(func(key string, m *minute) { all[key] = *m }); err != nil {
		t.Fatal(err)
	}
	return all
}

var inputs = []event.Kind{event.KindPlayer, event.KindLatency}

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: inputs},
		Rules:      func() []processors.Rule { return []processors.Rule{newMinutes()} },
	})
}

// A trickle of records on a quiet input holds the watermark only while the consumer lags on it; on another input each of them
// holds it for IdleAfter. What comes back behind the watermark is still accepted within the lateness.
func TestQuietInputDoesNotHoldTheWatermark(t *testing.T) {
	const second = int64(1000)
	base := int64(1_772_452_800_000)
	inputs := []event.Kind{event.KindPlayer, event.KindScore}
	for _, quiet := range []bool{false, true} {
		cfg := processors.Config{Inputs: inputs}
		if quiet {
			cfg.Quiet = inputs[1:]
		}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		p := processors.NewPartition(0, cfg, catalogue{}, []processors.Rule{newMinutes()})
		record := func(kind event.Kind, what event.Type, id string, at int64) event.Outcome {
			ev := event.Event{Kind: kind}
			ev.Type, ev.EventTime, ev.IngestTime, ev.PlayerID, ev.SampleRate, ev.SchemaVersion = what, at, at, "p", 1, 1
			ev.ID, ev.Score.Model = uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)), "churn"
			return p.Process(event.Record{Kind: kind, Key: []byte("p"), Value: event.Append(nil, &ev), Timestamp: at})
		}
		flush := func(now int64, lag bool) int64 {
			p.Flush(now, []bool{true, !lag})
			p.Changes(func(string, []byte) {})
			p.Commit()
			return p.Stats().Watermark
		}
		record(event.KindScore, event.ScoreAnswered, "first", base)
		record(event.KindPlayer, event.Heartbeat, "a", base+60*second)
		held, free := base-10*second-1, base+50*second-1
		if w := flush(base+60*second, true); w != held {
			t.Errorf("quiet %v, lagging: watermark %d instead of %d", quiet, w, held)
		}
		if w, want := flush(base+61*second, false), map[bool]int64{false: held, true: free}[quiet]; w != want {
			t.Errorf("quiet %v, caught up: watermark %d instead of %d", quiet, w, want)
		}
		if o := record(event.KindScore, event.ScoreAnswered, "second", base+second); o != event.Accepted {
			t.Errorf("quiet %v: a score behind the watermark: %v", quiet, o)
		}
		// A restart keeps the input quiet.
		entries := map[string][]byte{}
		flush(base+62*second, false)
		p.Snapshot(func(key string, value []byte) { entries[strings.Clone(key)] = slices.Clone(value) })
		p = processors.NewPartition(0, cfg, catalogue{}, []processors.Rule{newMinutes()})
		for key, value := range entries {
			if err := p.Restore(key, value); err != nil {
				t.Fatal(err)
			}
		}
		record(event.KindPlayer, event.Heartbeat, "b", base+90*second)
		if w, want := flush(base+90*second, false), map[bool]int64{false: held + second, true: base + 80*second - 1}[quiet]; w != want {
			t.Errorf("quiet %v, restarted: watermark %d instead of %d", quiet, w, want)
		}
	}
	if err := (processors.Config{Inputs: inputs[:1], Quiet: inputs[1:]}).Validate(); err == nil {
		t.Error("a quiet kind that is no input is accepted")
	}
}

type catalogue map[string]*event.Drop

func (c catalogue) Drop(id string, _ int64) *event.Drop { return c[id] }

// history makes seeded records: some resent, late, skewed, quarantined, malformed or of an unknown drop.
type history struct {
	*rand.Rand
	clock int64
	sent  []event.Record
}

func newHistory(seed uint64) *history {
	return &history{Rand: rand.New(rand.NewPCG(seed, 11)), clock: 1_772_452_800_000}
}

func (h *history) record(offset int64) event.Record {
	h.clock += h.Int64N(4_000)
	if len(h.sent) > 0 && h.IntN(8) == 0 {
		r := h.sent[max(0, len(h.sent)-1-h.IntN(300))]
		r.Offset = offset
		return r
	}
	var ev event.Event
	kind := inputs[h.IntN(len(inputs))]
	ev.Reset(kind)
	binary.BigEndian.PutUint64(ev.ID[:], h.Uint64())
	binary.BigEndian.PutUint64(ev.ID[8:], h.Uint64()|1)
	ev.Type = event.Heartbeat
	if kind == event.KindLatency {
		ev.Type, ev.Latency.Request, ev.Latency.MS = event.EdgeRequest, event.RequestAPI, 5
	}
	ev.PlayerID = fmt.Sprint("p", h.IntN(9))
	ev.EventTime = h.clock - h.Int64N(20_000)
	ev.IngestTime = h.clock
	switch h.IntN(25) {
	case 0:
		ev.EventTime = h.clock - h.Int64N(900_000)
	case 1:
		ev.EventTime = h.clock + h.Int64N(200_000)
	case 2:
		ev.EventTime = h.clock + 8*24*3_600_000
	case 3:
		ev.DropID = "nowhere"
	case 4:
		ev.DropID = "d1"
	case 5:
		ev.IngestTime = 0
	}
	r := event.Record{Kind: kind, Offset: offset, Timestamp: h.clock, Key: []byte(ev.PlayerID), Value: event.Append(nil, &ev)}
	if h.IntN(40) == 0 {
		r.Value = r.Value[:h.IntN(len(r.Value))]
	}
	h.sent = append(h.sent, r)
	return r
}

func texts(messages []event.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, fmt.Sprintf("%s %q %s", m.Kind, m.Key, m.Value))
	}
	return all
}

// TestPartitionForgetsAbortsAndSurvivesRestarts compares four partitions over
// seeded histories: one that only commits; one that does every transaction
// twice, the first time to roll it back; one that restores from the
// change-log after every commit; and one that restores from a snapshot, taken now and then, and what
// came after it.
func TestPartitionForgetsAbortsAndSurvivesRestarts(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			h := newHistory(seed)
			cfg := processors.Config{Inputs: inputs, AllowedLateness: 120_000}
			drops := catalogue{"d1": {}}
			type side struct {
				rule      *minutes
				partition *processors.Partition
				outcomes  map[event.Outcome]int
			}
			newSide := func() *side {
				rule := newMinutes()
				return &side{rule, processors.NewPartition(3, cfg, drops, []processors.Rule{rule}), map[event.Outcome]int{}}
			}
			sides := map[string]*side{"straight": newSide(), "aborting": newSide(), "restarting": newSide(), "snapshotting": newSide()}
			names := []string{"straight", "aborting", "restarting", "snapshotting"}
			logs := map[string]map[string][]byte{"restarting": {}, "snapshotting": {}}
			type entry struct {
				key   string
				value []byte
			}
			var snapshot, tail []entry
			offset, total := int64(0), 0
			caughtUp := []bool{false, false} // idleness is measured anew after a restart
			for range 60 {
				var records, aborted []event.Record
				for range h.IntN(60) {
					records = append(records, h.record(offset))
					offset++
				}
				for range h.IntN(10) {
					aborted = append(aborted, h.record(offset+1000))
				}
				total += len(records)
				now := h.clock
				var want []string
				for _, name := range names {
					s := sides[name]
					transaction := func(records []event.Record) (outcomes []event.Outcome, messages []string) {
						for _, r := range records {
							outcomes = append(outcomes, s.partition.Process(r))
						}
						return outcomes, texts(s.partition.Flush(now, caughtUp))
					}
					if name == "aborting" {
						// An abort in every state of a transaction, and one of records that never come again.
						before, contents := s.partition.Stats(), s.rule.contents(t)
						for _, r := range aborted {
							s.partition.Process(r)
						}
						s.partition.Rollback()
						transaction(append(slices.Clone(aborted), records...))
						s.partition.Changes(func(string, []byte) {})
						s.partition.Rollback()
						transaction(records)
						s.partition.Rollback()
						if after := s.partition.Stats(); fmt.Sprint(after) != fmt.Sprint(before) {
							t.Fatalf("stats %v after an abort, %v before", after, before)
						}
						if !maps.Equal(s.rule.contents(t), contents) {
							t.Fatal("an abort changed a table")
						}
					}
					outcomes, messages := transaction(records)
					if name == "straight" {
						want = messages
					} else if !slices.Equal(messages, want) {
						t.Fatalf("%s publishes\n%s\nnot\n%s", name, strings.Join(messages, "\n"), strings.Join(want, "\n"))
					}
					s.partition.Changes(func(key string, value []byte) {
						if log := logs[name]; log != nil {
							log[strings.Clone(key)] = slices.Clone(value)
						}
						if name == "snapshotting" {
							tail = append(tail, entry{strings.Clone(key), slices.Clone(value)})
						}
					})
					s.partition.Commit()
					for _, outcome := range outcomes {
						s.outcomes[outcome]++
					}
				}
				if h.IntN(4) == 0 {
					snapshot, tail = nil, nil
					seen := map[string]bool{}
					sides["snapshotting"].partition.Snapshot(func(key string, value []byte) {
						if seen[key] {
							t.Fatalf("key %q is in the snapshot twice", key)
						}
						snapshot = append(snapshot, entry{strings.Clone(key), slices.Clone(value)})
						seen[strings.Clone(key)] = true
					})
				}
				restore := func(name string, entries []entry) *side {
					live, restored := sides[name], newSide()
					restored.outcomes = live.outcomes
					for _, e := range entries {
						if err := restored.partition.Restore(e.key, e.value); err != nil {
							t.Fatal(err)
						}
					}
					a, b := live.partition.Stats(), restored.partition.Stats()
					if a.Watermark != b.Watermark || a.StateKeys != b.StateKeys || a.StateBytes != b.StateBytes {
						t.Fatalf("%s: restored %v, live %v", name, b, a)
					}
					if !maps.Equal(live.rule.contents(t), restored.rule.contents(t)) {
						t.Fatalf("%s: restored tables differ", name)
					}
					return restored
				}
				for name, log := range logs {
					var entries []entry
					for key, value := range log {
						entries = append(entries, entry{key, value})
					}
					// What a restore from a snapshot leads to must be in the change-log too.
					if sides[name] = restore(name, entries); name == "snapshotting" {
						sides[name] = restore(name, slices.Concat(snapshot, tail))
					}
				}
				if s, u := sides["straight"], sides["aborting"]; fmt.Sprint(s.partition.Stats()) != fmt.Sprint(u.partition.Stats()) || !maps.Equal(s.rule.contents(t), u.rule.contents(t)) {
					t.Fatal("aborts left something behind")
				}
			}
			s := sides["straight"]
			stats := s.partition.Stats()
			var dead uint64
			for _, n := range stats.DeadLetters {
				dead += n
			}
			if n := stats.Accepted + stats.Duplicates + stats.Late + dead; n != uint64(total) {
				t.Errorf("%d outcomes for %d records", n, total)
			}
			if !maps.Equal(s.outcomes, sides["restarting"].outcomes) {
				t.Errorf("outcomes %v, after restarts %v", s.outcomes, sides["restarting"].outcomes)
			}
			for what, n := range map[string]uint64{
				"accepted": stats.Accepted, "duplicates": stats.Duplicates, "late": stats.Late, "skewed": stats.Skewed,
				"clock": stats.DeadLetters[event.ReasonClock], "unknown drop": stats.DeadLetters[event.ReasonUnknownDrop],
			} {
				if n == 0 {
					t.Errorf("the history holds nothing %s", what)
				}
			}
		})
	}
}

// A final minute must never change: no event is accepted into it, in whatever
// way two inputs are interleaved, lag or fall silent.
func TestNothingIsAcceptedIntoAFinalPane(t *testing.T) {
	for seed := range uint64(10) {
		h := newHistory(seed)
		rule := newMinutes()
		p := processors.NewPartition(0, processors.Config{Inputs: inputs, AllowedLateness: 60_000}, catalogue{}, []processors.Rule{rule})
		var queues [2][]event.Record
		for i := range int64(1_500) {
			if r := h.record(i); r.Kind == event.KindPlayer {
				queues[0] = append(queues[0], r)
			} else {
				queues[1] = append(queues[1], r)
			}
		}
		final := map[string]bool{}
		now, finals := int64(1), 0
		for len(queues[0])+len(queues[1]) > 0 {
			q := h.IntN(2)
			n := min(len(queues[q]), h.IntN(200))
			for _, r := range queues[q][:n] {
				p.Process(r)
			}
			queues[q] = queues[q][n:]
			now += h.Int64N(40_000)
			// Sometimes the consumer believes that it has caught up, and the rest of the queue comes later.
			for _, m := range p.Flush(now, []bool{h.IntN(2) == 0, h.IntN(2) == 0}) {
				if m.Kind != event.KindFeatures {
					continue
				}
				if final[string(m.Key)] {
					t.Fatalf("seed %d: %s was final, now %s", seed, m.Key, m.Value)
				}
				if strings.Contains(string(m.Value), "final") {
					final[string(m.Key)] = true
					finals++
				}
			}
			p.Commit()
		}
		if finals == 0 {
			t.Errorf("seed %d: nothing became final", seed)
		}
	}
}

// Whether a record is late depends on its own topic-partition only, while no input is idle.
func TestLatenessDoesNotDependOnInterleaving(t *testing.T) {
	for seed := range uint64(10) {
		h := newHistory(seed)
		records := make([]event.Record, 1_500)
		for i := range records {
			records[i] = h.record(int64(i))
		}
		judge := func(order []event.Record, flushEvery int) map[int64]event.Outcome {
			p := processors.NewPartition(0, processors.Config{Inputs: inputs, AllowedLateness: 60_000}, catalogue{"d1": {}}, nil)
			outcomes := map[int64]event.Outcome{}
			for i, r := range order {
				outcomes[r.Offset] = p.Process(r)
				if i%flushEvery == 0 {
					p.Flush(int64(i), []bool{false, false})
					p.Commit()
				}
			}
			return outcomes
		}
		want := judge(records, 10)
		shuffled := slices.Clone(records)
		slices.SortStableFunc(shuffled, func(a, b event.Record) int { return int(a.Kind) - int(b.Kind) }) // one topic, then the other
		if got := judge(shuffled, 77); !maps.Equal(got, want) {
			t.Errorf("seed %d: outcomes depend on the interleaving", seed)
		}
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	err := processors.Config{
		OutOfOrderness: -1, AllowedLateness: -2, IdleAfter: -3, ClockSkew: 5, Quarantine: 4,
		Inputs: []event.Kind{event.KindPlayer, event.KindPlayer, event.KindFeatures},
	}.Validate()
	for _, want := range []string{"out-of-orderness", "allowed lateness", "idle time", "above the quarantine", "given twice", "not a raw one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
	if err := (processors.Config{}).Validate(); err == nil {
		t.Error("no input is no problem")
	}
	if err := (processors.Config{Inputs: inputs}).Validate(); err != nil {
		t.Error(err)
	}
	if err := processors.ValidateRules([]processors.Rule{newMinutes(), newMinutes()}); err == nil {
		t.Error("two rules of one name are no problem")
	}
}

func TestRestoreNamesWhatIsWrong(t *testing.T) {
	p := processors.NewPartition(0, processors.Config{Inputs: inputs}, catalogue{}, []processors.Rule{newMinutes()})
	for _, c := range []struct {
		key, value, want string
	}{
		{"other/0/k", "x", "belongs to no table of this stage (minutes/0/)"},
		{"minutes/1/k", "x", "belongs to no table"},
		{"minutes/0/k", "x", "table minutes"},
		{"minutes/0/k", "\x00\x00\x00\x00\x00\x00\x00\x00", "cut short"},
		{"_/ids/checkout/5/0", "\x01", `does not read "checkout"`},
		{"_/ids/player/5/0", "\x02", "version 2"},
		{"_/ids/player/5", "\x01", "not a number"},
		{"_/progress", "\x07", "version 7: a newer droplift wrote it"},
		{"_/progress", "\x01\x02", "cut short"},
		{"_/progress", "\x01\x02\x02\x05other\x02\x02", `input "other"`},
	} {
		err := p.Restore(c.key, []byte(c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.key)) {
			t.Errorf("Restore(%q, %q): %v", c.key, c.value, err)
		}
	}
	if s := p.Stats(); s.StateKeys != 0 || s.Watermark != processors.NoWatermark {
		t.Errorf("refused entries left %v behind", s)
	}
}

// The zero UUID marks free places among the IDs; the decoder must never let it through.
func TestTheZeroIDIsRefused(t *testing.T) {
	p := processors.NewPartition(0, processors.Config{Inputs: inputs}, catalogue{}, nil)
	var ev event.Event
	ev.Reset(event.KindPlayer)
	ev.ID, ev.Type, ev.EventTime, ev.PlayerID = uuid.Nil, event.Heartbeat, 1_772_452_800_000, "p"
	if outcome := p.Process(event.Record{Kind: event.KindPlayer, Timestamp: ev.EventTime, Value: event.Append(nil, &ev)}); outcome != event.DeadLettered {
		t.Errorf("outcome %d", outcome)
	}
}
