package kafka

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// decided are the committed keys of a topic, joined.
func decided(t *testing.T, cfg Config, kind event.Kind) string {
	t.Helper()
	var keys []string
	for _, r := range contents(t, cfg, cfg.Topic(kind))[0] {
		keys = append(keys, string(r.Key))
	}
	return strings.Join(keys, " ")
}

// Two decide at once: the one that began last wins, and sees all that was written before it began.
func testDeciderFenced(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	message := func(kind event.Kind, key string, size int) event.Message {
		return event.Message{Kind: kind, Key: []byte(key), Value: bytes.Repeat([]byte("x"), size)}
	}
	decider := func() *Decider {
		t.Helper()
		d, err := NewDecider(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	}
	read := func(d *Decider, kind event.Kind) string {
		t.Helper()
		var keys []string
		if err := d.Read(t.Context(), cfg.Topic(kind), func(r event.Record) error { keys = append(keys, string(r.Key)); return nil }); err != nil {
			t.Fatal(err)
		}
		return strings.Join(keys, " ")
	}
	first := decider()
	if got := read(first, event.KindRollout); got != "" {
		t.Errorf("an empty topic holds %q", got)
	}
	// The largest artefact that is published is larger than a raw record may be, and goes with its rollout or not at all.
	if err := first.Commit(t.Context(), message(event.KindModel, "m1", 3<<20), message(event.KindRollout, "r1", 10)); err != nil {
		t.Fatal(err)
	}
	second := decider()
	if got := read(second, event.KindRollout); got != "r1" {
		t.Errorf("the second one reads %q", got)
	}
	if err := first.Commit(t.Context(), message(event.KindModel, "m2", 10), message(event.KindRollout, "r2", 10)); !errors.Is(err, ErrDecisionFenced) {
		t.Errorf("the overtaken one: %v", err)
	}
	if err := second.Commit(t.Context(), message(event.KindRollout, "r3", 10)); err != nil {
		t.Fatal(err)
	}
	if models, rollouts := decided(t, cfg, event.KindModel), decided(t, cfg, event.KindRollout); models != "m1" || rollouts != "r1 r3" {
		t.Errorf("models %q and rollouts %q", models, rollouts)
	}
	third := decider()
	if err := third.Commit(t.Context(), message(event.KindRollout, "r4", 10), message(event.KindModel, "large", 5<<20)); err == nil {
		t.Error("a record above the topic's bound was written")
	}
	if models, rollouts := decided(t, cfg, event.KindModel), decided(t, cfg, event.KindRollout); models != "m1" || rollouts != "r1 r3" {
		t.Errorf("after a failed decision: models %q and rollouts %q", models, rollouts)
	}
}
