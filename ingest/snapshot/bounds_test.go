package snapshot

import (
	"errors"
	"testing"
	"time"
)

func TestBounds(t *testing.T) {
	now := time.UnixMilli(1_772_452_800_000)
	week := 7 * 24 * time.Hour
	bounds := Bounds{Topic: "log", TopicID: ID{1}, Partition: 2, Start: 50, End: 100, Tombstones: week, Now: now}
	header := Header{Topic: "log", TopicID: ID{1}, Partition: 2, Offset: 100, AsOf: now}
	for _, c := range []struct {
		name   string
		change func(*Bounds, *Header)
		want   Cause
	}{
		{"of the log's end", func(*Bounds, *Header) {}, ""},
		{"of an empty log", func(b *Bounds, h *Header) { b.Start, b.End, h.Offset = 0, 0, 0 }, ""},
		{"of another topic", func(_ *Bounds, h *Header) { h.Topic = "other" }, Foreign},
		{"of a topic of the same name", func(_ *Bounds, h *Header) { h.TopicID = ID{2} }, Foreign},
		{"of another partition", func(_ *Bounds, h *Header) { h.Partition = 3 }, Foreign},
		{"of what the log has lost", func(_ *Bounds, h *Header) { h.Offset = 101 }, BeyondEnd},
		{"before a compacted log's first record", func(_ *Bounds, h *Header) { h.Offset = 49 }, ""},
		{"at what retention has left", func(b *Bounds, h *Header) { b.Deletes, h.Offset = true, 50 }, ""},
		{"before what retention has left", func(b *Bounds, h *Header) { b.Deletes, h.Offset = true, 49 }, BehindStart},
		{"as old as it may be", func(_ *Bounds, h *Header) { h.AsOf = now.Add(-week / 2) }, ""},
		{"older", func(_ *Bounds, h *Header) { h.AsOf = now.Add(-week/2 - 1) }, TooOld},
		{"by a clock that is ahead", func(_ *Bounds, h *Header) { h.AsOf = now.Add(time.Hour) }, ""},
		{"by a clock that nobody can trust", func(_ *Bounds, h *Header) { h.AsOf = now.Add(week) }, TooOld},
		{"where deletions are not kept", func(b *Bounds, h *Header) { b.Tombstones, h.AsOf = 0, now.Add(-1) }, TooOld},
	} {
		b, h := bounds, header
		c.change(&b, &h)
		err := b.Check(h)
		var r *RefusedError
		if errors.As(err, &r); (err != nil) != (c.want != "") || err != nil && r.Cause != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
