package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// session is a session start; delivered after it began by late ms.
func session(id string, at, late int64) event.Event {
	ev := player(event.SessionStart, id, at)
	ev.SessionID, ev.IngestTime = fmt.Sprint("s", at), at+late
	return ev
}

// revision is a player's features; known is Kafka's time.
func revision(id string, n uint64, asOf, known int64) event.Record {
	f := event.Features{PlayerID: id, Revision: n, AsOf: asOf, Watermark: asOf - 10_000, FirstActivity: asOf - day, LastActivity: asOf - 1, GapMeanS: -1, GapVarS2: -1}
	for w := range event.NumWindows {
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
	}
	return event.Record{Kind: event.KindFeatures, Timestamp: known, Value: f.AppendJSON(nil)}
}

func storeRevisions(t testing.TB, s *Sink, partition int32, rs ...event.Record) {
	t.Helper()
	for i := range rs {
		rs[i].Offset = int64(i)
	}
	writeAll(t, newTestLoader(t, s, event.KindFeatures, partition), rs)
}

// trained lists a training set as partition/player@t0:revision=label.
func trained(t testing.TB, c *Client, r TrainingRequest, t0 int64) string {
	t.Helper()
	var got []string
	err := c.TrainingSet(t.Context(), r, func(row *TrainingRow) error {
		label := "?"
		if row.Churned != nil {
			label = map[bool]string{true: "gone", false: "back"}[*row.Churned]
		}
		if row.CreatedAt > row.At || row.Features.AsOf > row.At || row.Player != row.Features.PlayerID {
			t.Errorf("%s at %d: known at %d, as of %d", row.Player, row.At, row.CreatedAt, row.Features.AsOf)
		}
		at := ""
		if row.At != t0 {
			at = fmt.Sprintf("@%+dd", (row.At-t0)/day)
		}
		got = append(got, fmt.Sprintf("%d/%s%s:%d=%s", row.Partition, row.Player, at, row.Features.Revision, label))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

// TestTrainingSet goes along every border of DOMAIN 1.2.
func TestTrainingSet(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	const lateness = 10 * minute
	t0 := monday + 60*day
	from := t0 + lateness
	to := from + 14*day
	known := to + lateness + 10_000 + 1 // the newest event by which the watermark is there

	drop := event.Event{Kind: event.KindDrop}
	drop.Type, drop.EventTime, drop.DropID, drop.CreatorID = event.Catalogue, monday, "drop-2", "creator-1"
	drop.Drop = event.Drop{Name: "next", Version: 1, StartMS: t0 + 3*day, EndMS: t0 + 5*day}
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), records(0, drop))

	at := func(ev event.Event, drop, creator string) event.Event {
		ev.DropID, ev.CreatorID = drop, creator
		return ev
	}
	synthetic := session("probe", from+1, 0)
	synthetic.Synthetic = true
	sessions := []event.Event{
		session("back", t0-5*day, 0), session("back", t0+4*day, 0),
		session("embargo", t0-day, 0), session("embargo", from-1, 0),
		session("first", t0-day, 0), session("first", from, 0),
		session("last", t0-day, 0), session("last", to-1, 0),
		session("after", t0-day, 0), session("after", to, 0),
		session("probe", t0-day, 0), synthetic,
		session("inactive", t0-28*day-1, 0),
		session("active", t0-28*day, 0),
		session("unheard", t0-1000, 1001), session("heard", t0-1000, 1000), // of the session itself
		session("late", t0-2*day, 0),
		session("stale", t0-day, 0), session("fresh", t0-day, 0),
		session("edge", t0-day, 0), session("future", t0-day, 0), session("unknown", t0-day, 0),
		at(session("fan", t0-day, 0), "", "creator-1"), at(session("fan", t0+4*day, 0), "drop-2", "creator-1"),
		at(session("other", t0-day, 0), "", "creator-2"), at(session("other", t0+4*day, 0), "drop-9", "creator-2"),
	}
	for i := range sessions {
		if sessions[i].PlayerID != "fan" && sessions[i].PlayerID != "other" {
			sessions[i].CreatorID, sessions[i].DropID = "", ""
		}
	}
	clock := player(event.Heartbeat, "clock", known)
	ahead := player(event.Heartbeat, "clock", known+2*day) // a client's clock, which closes nothing
	ahead.IngestTime = t0
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), records(0, append(slices.Clone(sessions), clock, ahead)...))
	clock.EventTime, clock.IngestTime = known-1, known-1
	lagging := session("waiting", t0-day, 0)
	lagging.CreatorID, lagging.DropID = "", ""
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 1), records(0, lagging, clock))

	storeRevisions(t, s, 0,
		revision("back", 1, t0-5*day, t0-5*day), revision("back", 2, t0-day, t0-day), revision("back", 3, t0+day, t0+day),
		revision("embargo", 1, t0-day, t0-day), revision("first", 1, t0-day, t0-day), revision("last", 1, t0-day, t0-day), revision("after", 1, t0-day, t0-day),
		revision("probe", 1, t0-day, t0-day), revision("inactive", 1, t0-day, t0-day), revision("active", 1, t0-day, t0-day),
		revision("unheard", 1, t0-day, t0-day), revision("heard", 1, t0-day, t0-day),
		revision("late", 1, t0-2*day, t0-2*day), revision("late", 2, t0-60*minute, t0+1),
		revision("stale", 1, t0-28*day-1, t0-28*day), revision("fresh", 1, t0-28*day, t0-28*day),
		revision("edge", 1, t0, t0), revision("future", 1, t0+1, t0-1), revision("unknown", 1, t0-day, t0+1),
		revision("fan", 1, t0-day, t0-day), revision("other", 1, t0-day, t0-day))
	storeRevisions(t, s, 1, revision("waiting", 7, t0-day, t0-day))

	request := TrainingRequest{At: []int64{t0}}
	if got, want := trained(t, c, request, t0), "0/active:1=gone 0/after:1=gone 0/back:2=back 0/edge:1=gone 0/embargo:1=gone 0/fan:1=back 0/first:1=back 0/fresh:1=gone "+
		"0/heard:1=gone 0/last:1=back 0/late:1=gone 0/other:1=back 0/probe:1=gone 1/waiting:7=?"; got != want {
		t.Errorf("delivered:\ngot  %s\nwant %s", got, want)
	}
	request.Knowable = KnowableEvent
	if got, want := trained(t, c, request, t0), "0/active:1=gone 0/after:1=gone 0/back:2=back 0/edge:1=gone 0/embargo:1=gone 0/fan:1=back 0/first:1=back 0/fresh:1=gone "+
		"0/heard:1=gone 0/last:1=back 0/late:2=gone 0/other:1=back 0/probe:1=gone 0/unheard:1=gone 0/unknown:1=gone 1/waiting:7=?"; got != want {
		t.Errorf("by event time:\ngot  %s\nwant %s", got, want)
	}
	// The second label: fan came to the creator's next drop; other is none of the creator's audience.
	if got, want := trained(t, c, TrainingRequest{At: []int64{t0, t0 + 4*day}, Creator: "creator-1"}, t0), "0/fan:1=back 0/fan@+4d:1=?"; got != want {
		t.Errorf("creator's next drop:\ngot  %s\nwant %s", got, want)
	}
	// A month later nothing of it can be known yet.
	if got, want := trained(t, c, TrainingRequest{At: []int64{t0 + 5*day}, ActiveMS: 2 * day, TTLMS: 28 * day}, t0), "0/back@+5d:3=? 0/fan@+5d:1=? 0/other@+5d:1=?"; got != want {
		t.Errorf("later:\ngot  %s\nwant %s", got, want)
	}
	if got := trained(t, c, TrainingRequest{At: []int64{monday}}, t0); got != "" {
		t.Errorf("before anything happened: %s", got)
	}
}

// TestFeaturesComeBack stores every kind of value and reads the same record.
func TestFeaturesComeBack(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	t0 := monday + 60*day
	want := event.Features{PlayerID: "päule", Revision: 1<<63 + 1, AsOf: t0, Watermark: -1, Maturity: event.Final, SpendCurrency: "JPY", ForeignCheckouts: 2,
		FirstActivity: t0 - 9*day, LastActivity: t0 - 1, SessionsTotal: 1<<32 - 1, GapMeanS: 39.072, GapVarS2: 473.9468}
	record := reflect.ValueOf(&want).Elem()
	for i := range record.NumField() {
		for w := 0; record.Field(i).Kind() == reflect.Array && w < event.NumWindows; w++ {
			switch v := record.Field(i).Index(w); v.Kind() {
			case reflect.Uint32:
				v.SetUint(uint64(10*i + w))
			case reflect.Int64:
				v.SetInt(int64(-10*i - w))
			default:
				v.SetFloat(float64(w-1) + float64(min(w, 1))*float64(i)/8) // the first is missing
			}
		}
	}
	missing := revision("q", 1, t0, t0)
	storeRevisions(t, s, 0, event.Record{Kind: event.KindFeatures, Timestamp: t0, Value: want.AppendJSON(nil)}, missing)
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), records(0, session("päule", t0-day, 0), session("q", t0-day, 0)))
	var got []event.Features
	err := c.TrainingSet(t.Context(), TrainingRequest{At: []int64{t0}}, func(r *TrainingRow) error {
		got = append(got, r.Features)
		return nil
	})
	if err != nil || len(got) != 2 {
		t.Fatal(len(got), err)
	}
	if got[0] != want {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if b := got[1].AppendJSON(nil); string(b) != string(missing.Value) {
		t.Errorf("got  %s\nwant %s", b, missing.Value)
	}
}

func TestTrainingRequests(t *testing.T) {
	c := open(t)
	for name, r := range map[string]TrainingRequest{
		"no scoring time": {}, "is not in Unix ms": {At: []int64{-5}}, "named twice": {At: []int64{1, 1}}, "horizon of -1": {At: []int64{1}, HorizonMS: -1},
		"TTL of": {At: []int64{1}, TTLMS: 1 << 62}, `knowable by "guess"`: {At: []int64{1}, Knowable: "guess"},
	} {
		if err := c.TrainingSet(t.Context(), r, nil); !errors.Is(err, ErrTrainingRequest) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	// A caller's error ends it and comes back; a done context does too.
	storeRevisions(t, newSink(t, c), 0, revision("p", 1, monday, monday))
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindPlayer, 0), records(0, session("p", monday-day, 0)))
	stop := errors.New("stop")
	if err := c.TrainingSet(t.Context(), TrainingRequest{At: []int64{monday}}, func(*TrainingRow) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.TrainingSet(ctx, TrainingRequest{At: []int64{monday}}, func(*TrainingRow) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFeatureHistory(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	const hour = 60 * minute
	storeRevisions(t, s, 0, revision("a", 1, monday-1, monday), revision("a", 2, monday, monday+5), revision("b", 1, monday+1, monday+1), revision("b", 2, monday+hour, monday+hour))
	storeRevisions(t, s, 1, revision("it's a \\ \t\n'name'", 9, monday+hour-1, monday+2*hour))

	var got []string
	list := func(r *Revision) error {
		got = append(got, fmt.Sprintf("%d:%d/%s:%d=%d", r.Partition, r.Offset, r.Features.PlayerID, r.Features.Revision, r.KafkaTime-monday))
		return nil
	}
	check := func(what, want string, err error) {
		t.Helper()
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", what, strings.Join(got, " "), err, want)
		}
		got = nil
	}
	check("the hour", "0:1/a:2=5 0:2/b:1=1 1:0/it's a \\ \t\n'name':9=7200000", c.FeatureHistory(t.Context(), monday, monday+hour, list))
	check("all", "0:1/a:2=5 0:3/b:2=3600000 1:0/it's a \\ \t\n'name':9=7200000", c.FeatureSnapshot(t.Context(), nil, list))
	check("some", "0:1/a:2=5 1:0/it's a \\ \t\n'name':9=7200000", c.FeatureSnapshot(t.Context(), []string{"it's a \\ \t\n'name'", "a", "nobody"}, list))

	before, err := c.FeatureHours(t.Context(), monday-hour, monday+2*hour)
	if err != nil || len(before) != 3 || before[0].Rows != 1 || before[1].Hour != monday || before[1].Rows != 3 || before[2].Hour != monday+hour {
		t.Fatal(before, err)
	}
	writeAll(t, newTestLoader(t, s, event.KindFeatures, 2), []event.Record{revision("c", 1, monday, monday)})
	after, err := c.FeatureHours(t.Context(), monday-hour, monday+2*hour)
	if err != nil || after[0] != before[0] || after[1].Rows != 4 || after[1].Digest == before[1].Digest || after[2] != before[2] {
		t.Errorf("got %v, %v after %v", after, err, before)
	}
}
