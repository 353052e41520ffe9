package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// majorUnits mends checkouts of a client that wrote amounts in major units.
const majorUnits = `name: major-units
kind: checkout
format: {type: jsonl}
fields:
  id: {from: id}
  type: {from: type}
  event_time: {from: event_time}
  player_id: {from: player_id}
  checkout_id: {from: checkout_id}
  currency: {from: currency}
  amount: {from: amount, as: decimal-to-minor}
`

// produceBroken sends n checkouts with a defect each; %d in the pattern of members is the event time, %[2]d the number.
func produceBroken(p *pipeline, n int, members string) {
	p.t.Helper()
	producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer producer.Close()
	now := time.Now().UnixMilli()
	for i := range n {
		value := fmt.Sprintf(`{"id":"%s","event_time":%d,"player_id":"p%d","checkout_id":"c%d","currency":"USD",%s}`,
			uuid.Must(uuid.NewV7()), now+int64(i), i%50, i, members)
		m := event.Message{Kind: event.KindCheckout, Key: fmt.Appendf(nil, "p%d", i%50), Value: []byte(value)}
		if err := producer.Produce(context.Background(), m); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := producer.Flush(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

func mappingFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "major-units.yaml")
	if err := os.WriteFile(path, []byte(majorUnits), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Records with a defect that a mapping mends are counted exactly once after a replay, however often it is run.
func TestDeadLetterReplay(t *testing.T) {
	p := startPipeline(t, t.TempDir(), "--idle-after=2s")
	produceCheckouts(p, 40)
	produceBroken(p, 30, `"type":"completed","amount":49.99`)
	produceBroken(p, 5, `"type":"bought","amount":1`)
	p.settle()
	p.want("purchases before", "SELECT count(), sum(amount) FROM purchases FINAL", "40 199960")
	p.want("dead letters", "SELECT class, field, count() FROM dead_letters GROUP BY class, field ORDER BY class", "amount_precision amount 30\nunknown_type type 5")
	contains := func(what, text string, parts ...string) {
		t.Helper()
		at := 0
		for _, part := range parts {
			i := strings.Index(text[at:], part)
			if i < 0 {
				t.Errorf("%s has no %q where it should:\n%s", what, part, text)
				return
			}
			at += i + len(part)
		}
	}

	contains("the summary", p.command(&DeadLetterListCmd{Summary: true}), "checkout", "amount_precision", "amount", "30", "0", "checkout", "unknown_type", "type", "5", "0")
	lines := strings.Split(strings.TrimSpace(p.command(&DeadLetterListCmd{JSON: true, DeadLetterSelection: DeadLetterSelection{Class: []string{"unknown_type"}, Since: "1h"}})), "\n")
	var listed listedLetter
	if err := json.Unmarshal([]byte(lines[0]), &listed); err != nil || len(lines) != 5 || listed.Field != "type" || listed.Attempt != 1 || listed.Replayed != "" {
		t.Errorf("listed: %+v, %v in %d lines", listed, err, len(lines))
	}
	contains("what is shown", p.command(&DeadLetterShowCmd{Place: listed.Place}), "place     "+listed.Place, "class     unknown_type",
		"type is none of the topic's types", "today     refused: unknown_type of type", `"type": "bought",   <-- unknown_type`)
	contains("nothing", p.command(&DeadLetterListCmd{DeadLetterSelection: DeadLetterSelection{Until: "1h"}}), "No dead letters.")

	// As they are, today's processors would refuse them all again.
	contains("a dry run", p.command(&DeadLetterReplayCmd{DryRun: true}), "amount_precision", " 0 ", " 30", "5 refused again: unknown_type of type", "30 refused again: amount_precision of amount")
	p.command(&DeadLetterReplayCmd{})
	mapping := mappingFile(t)
	contains("a dry run with the mapping", p.command(&DeadLetterReplayCmd{Mapping: mapping, DryRun: true}), "would be sent", "amount_precision", "30", "5 refused by the mapping: unknown_type of type")
	p.settle()
	p.want("purchases after runs that send nothing", "SELECT count() FROM purchases FINAL", "40")

	contains("a replay of some", p.command(&DeadLetterReplayCmd{Mapping: mapping, DeadLetterSelection: DeadLetterSelection{Limit: 7}}), "sent", "amount_precision", "7")
	contains("a replay of the rest", p.command(&DeadLetterReplayCmd{Mapping: mapping}), "replayed before", "amount_precision", "23", "7")
	contains("a replay of nothing", p.command(&DeadLetterReplayCmd{Mapping: mapping}), "amount_precision", "0", "30")
	p.settle()
	p.want("purchases after", "SELECT count(), uniqExact(event_id), sum(amount) FROM purchases FINAL", "70 70 349930")
	p.want("rows after", "SELECT count(), uniqExact(id) FROM checkout_events", "70 70")
	contains("the summary", p.command(&DeadLetterListCmd{Summary: true}), "amount_precision", "amount", "30", "30", "unknown_type", "type", "5", "0")

	// Sent by force and refused again, a record says that it is not here for the first time.
	contains("a replay by force", p.command(&DeadLetterReplayCmd{Force: true, DeadLetterSelection: DeadLetterSelection{Class: []string{"unknown_type"}, Limit: 1}}), "unknown_type", "1")
	p.settle()
	contains("the list", p.command(&DeadLetterListCmd{CSV: true, DeadLetterSelection: DeadLetterSelection{Class: []string{"unknown_type"}}}), "place,time,class", ",1,checkout/", ",2,")

	if report := p.audit(); !report.clean() {
		t.Errorf("audit:\n%s", strings.Join(report.findings(), "\n"))
	}
}

// Replays run over each other in processes, one of which is killed; the others are fenced but for the last.
func TestDeadLetterReplayInProcesses(t *testing.T) {
	p := startPipeline(t, t.TempDir())
	const broken = 4000
	produceBroken(p, broken, `"type":"completed","amount":49.99`)
	p.settle()
	args := append([]string{"deadletter", "replay", "--mapping", mappingFile(t), "--log-level", "error"}, p.flags()...)
	var runs []*process
	for range 3 {
		runs = append(runs, startDroplift(t, nil, args...))
	}
	eventually(t, time.Minute, func() error {
		given, err := kafka.ReadRedeliveries(context.Background(), p.node.kafka)
		if err == nil {
			if _, any := given.Of(kafka.Place{Kind: event.KindCheckout}); !any {
				err = fmt.Errorf("nothing is sent yet")
			}
		}
		return err
	})
	if err := runs[0].Process.Kill(); err != nil {
		t.Log(err) // it has ended already
	}
	for i, run := range runs {
		switch code := run.end(t); {
		case code == 0 || i == 0:
		case strings.Contains(run.stderr.String(), "another redelivery of this installation has taken over"):
		default:
			t.Errorf("run %d: exit code %d: %s", i, code, run.stderr.String())
		}
	}
	if code, stdout, stderr := runDroplift(t, nil, args...); code != 0 || !strings.Contains(stdout, "amount_precision") {
		t.Errorf("the last run: exit code %d\n%s%s", code, stdout, stderr)
	}
	p.settle()
	p.want("purchases", "SELECT count(), uniqExact(event_id), sum(amount) FROM purchases FINAL", fmt.Sprintf("%d %d %d", broken, broken, 4999*broken))
	p.want("rows", "SELECT count(), uniqExact(id) FROM checkout_events", fmt.Sprintf("%d %d", broken, broken))
	if code, stdout, stderr := runDroplift(t, nil, append([]string{"audit"}, p.flags()...)...); code != 0 || !strings.Contains(stdout, "Nothing is missing, doubled or stray.") {
		t.Errorf("audit: exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestDeadLetterSelection(t *testing.T) {
	minus := int32(-1)
	bad := DeadLetterSelection{Topic: []string{"drop"}, Class: []string{"odd"}, Since: "yesterday", Until: "-3h", Partition: &minus, Offset: "9-3", Limit: -1}
	if _, err := bad.filter(time.Now()); err == nil || strings.Count(err.Error(), "\n") != 6 {
		t.Errorf("got %v, want seven problems", err)
	}
	now := time.UnixMilli(10_000_000)
	two := int32(2)
	letter := event.DeadLetter{Topic: "checkout", Partition: 2, Offset: 17, Timestamp: 9_000_000, Class: event.ReasonClock}
	for _, test := range []struct {
		name string
		s    DeadLetterSelection
		want bool
	}{
		{"everything", DeadLetterSelection{}, true},
		{"its own", DeadLetterSelection{Topic: []string{"player", "checkout"}, Class: []string{"clock"}, Since: "1000s", Until: "1970-01-01T02:30:01Z", Partition: &two, Offset: "17"}, true},
		{"another topic", DeadLetterSelection{Topic: []string{"player"}}, false},
		{"another class", DeadLetterSelection{Class: []string{"malformed"}}, false},
		{"later", DeadLetterSelection{Since: "999s"}, false},
		{"earlier", DeadLetterSelection{Until: "1000s"}, false},
		{"an offset behind", DeadLetterSelection{Offset: "1-16"}, false},
	} {
		f, err := test.s.filter(now)
		if err != nil || f.wants(&letter) != test.want {
			t.Errorf("%s: %v, %v", test.name, f, err)
		}
	}
}

func TestMarked(t *testing.T) {
	for _, test := range []struct{ value, field, want string }{
		{`{"a":1,"amount":"x"}`, "amount", "{\n  \"a\": 1,\n  \"amount\": \"x\"   <-- class\n}"},
		{`{"a":1}`, "amount", "{\n  \"a\": 1\n}\n(no \"amount\")   <-- class"},
		{`{"a":`, "", `{"a":`},
		{"\x1b[2J", "", "00000000  1b 5b 32 4a                                       |.[2J|"},
	} {
		if got := marked([]byte(test.value), test.field, "class"); got != test.want {
			t.Errorf("%q: got\n%s\nwant\n%s", test.value, got, test.want)
		}
	}
}
