package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// tail is what a Follower has told.
type tail struct {
	mu   sync.Mutex
	seen map[int32][]string // values by partition
	last map[int32]Followed
}

func (l *tail) take(f Followed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.last[f.Partition]; ok && f.Next < was.Next {
		return fmt.Errorf("partition %d went back from offset %d to %d", f.Partition, was.Next, f.Next)
	}
	for _, r := range f.Records {
		l.seen[f.Partition] = append(l.seen[f.Partition], string(r.Value))
	}
	f.Records = nil
	l.last[f.Partition] = f
	return nil
}

func (l *tail) values(p int32) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seen[p])
}

// caughtUp says whether all of n partitions are; any other number than n of them is told as well.
func (l *tail) caughtUp(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.last {
		if !f.CaughtUp() {
			return false
		}
	}
	return len(l.last) == n
}

func (l *tail) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.last {
		if f.End >= 0 {
			return false
		}
	}
	return len(l.last) > 0
}

// follow starts a Follower; stop ends it and returns what Run did.
func follow(t testing.TB, cfg Config, fc FollowConfig) (l *tail, stop func() error) {
	t.Helper()
	fc.CheckEvery = 50 * time.Millisecond
	f, err := NewFollower(cfg, fc)
	if err != nil {
		t.Fatal(err)
	}
	l = &tail{seen: map[int32][]string{}, last: map[int32]Followed{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, l.take) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { stop() })
	return l, stop
}

func testFollowerFollows(t *testing.T, k server) {
	cfg := k.config(t).Config
	const partitions = 2
	ensure(t, cfg, Topics{Partitions: partitions})
	topic := cfg.Topic(event.KindPlayer)
	produce(t, cfg, event.KindPlayer, 0, 40, 10)
	l, stop := follow(t, cfg, FollowConfig{Topic: topic})
	eventually(t, 20*time.Second, "caught up", func() bool { return l.caughtUp(partitions) })
	produce(t, cfg, event.KindPlayer, 40, 60, 10)
	eventually(t, 20*time.Second, "all 60 records", func() bool { return len(l.values(0))+len(l.values(1)) == 60 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want := contents(t, cfg, topic)
	from := map[int32]int64{}
	for p := range int32(partitions) {
		var values []string
		for _, r := range want[p] {
			values = append(values, string(r.Value))
		}
		if got := l.values(p); !slices.Equal(got, values) {
			t.Errorf("partition %d: %q, the log holds %q", p, got, values)
		}
		from[p] = l.last[p].Next
	}

	// Another one goes on where this one was, on one partition only.
	produce(t, cfg, event.KindPlayer, 60, 80, 10)
	rest, _ := follow(t, cfg, FollowConfig{Topic: topic, Partitions: []int32{1}, From: from})
	expected := len(contents(t, cfg, topic)[1]) - len(want[1])
	eventually(t, 20*time.Second, "the rest of partition 1", func() bool { return rest.caughtUp(1) && len(rest.values(1)) == expected })
	if got := rest.values(0); got != nil {
		t.Errorf("partition 0 was not asked for, and came: %q", got)
	}
}

// An open transaction is not shown; an aborted one at the end of the log does not stand between a follower and that end.
func testFollowerReadsCommitted(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	topic := cfg.Topic(event.KindFeatures)
	cl, err := cfg.newClient("test", kgo.TransactionalID("follower"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	transaction := func(value string, end kgo.TransactionEndTry, open func()) {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		open()
		if err := cl.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := follow(t, cfg, FollowConfig{Topic: topic})
	eventually(t, 20*time.Second, "an empty log is caught up with", func() bool { return l.caughtUp(1) })
	transaction("first", kgo.TryCommit, func() {
		if got := l.values(0); got != nil {
			t.Errorf("%q is not committed", got)
		}
	})
	transaction("second", kgo.TryAbort, func() {})
	eventually(t, 20*time.Second, "past the aborted transaction", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.last[0].Next == 4 && l.last[0].CaughtUp()
	})
	if got := l.values(0); !slices.Equal(got, []string{"first"}) {
		t.Errorf("%q was shown", got)
	}
}

// A follower that loses its brokers says so, and goes on where it was once they are back.
func testFollowerSurvivesLoss(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	n := &network{}
	cut := cfg
	cut.Dial = n.dial
	produce(t, cfg, event.KindPlayer, 0, 10, 10)
	l, _ := follow(t, cut, FollowConfig{Topic: cfg.Topic(event.KindPlayer)})
	eventually(t, 20*time.Second, "caught up", func() bool { return l.caughtUp(1) })
	n.cut()
	eventually(t, 20*time.Second, "the loss is told", l.lost)
	produce(t, cfg, event.KindPlayer, 10, 20, 10)
	n.heal()
	eventually(t, 30*time.Second, "caught up again", func() bool { return l.caughtUp(1) && len(l.values(0)) == 20 })
	for i, v := range l.values(0) {
		if v != fmt.Sprint(i) {
			t.Fatalf("record %d is %q: lost, doubled or out of order", i, v)
		}
	}
}

func testFollowerRefuses(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	topic := cfg.Topic(event.KindPlayer)
	produce(t, cfg, event.KindPlayer, 0, 10, 10)
	run := func(fc FollowConfig, each func(Followed) error) error {
		t.Helper()
		f, err := NewFollower(cfg, fc)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return f.Run(ctx, each)
	}
	nothing := func(Followed) error { return nil }
	var gone *GoneError
	if err := run(FollowConfig{Topic: topic, From: map[int32]int64{0: 11}}, nothing); !errors.As(err, &gone) || gone.Offset != 11 || gone.End != 10 {
		t.Errorf("an offset beyond the log: %v", err)
	}
	if err := run(FollowConfig{Topic: topic, Partitions: []int32{7}}, nothing); err == nil {
		t.Error("partition 7 does not exist")
	}
	enough := errors.New("enough")
	if err := run(FollowConfig{Topic: topic}, func(f Followed) error {
		if len(f.Records) > 0 {
			return enough
		}
		return nil
	}); err != enough {
		t.Errorf("each failed, Run says %v", err)
	}
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	player, err := adm.TopicID(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	latency, err := adm.TopicID(t.Context(), cfg.Topic(event.KindLatency))
	if err != nil || player == latency {
		t.Errorf("two topics have the IDs %s and %s, %v", player, latency, err)
	}
	if _, err := adm.TopicID(t.Context(), "none-such"); err == nil {
		t.Error("an unknown topic has an ID")
	}
}

func TestFollowerConfig(t *testing.T) {
	_, cfg := newCluster(t)
	for _, fc := range []FollowConfig{{}, {Topic: "x", CheckEvery: -1}, {Topic: "x", From: map[int32]int64{0: -1}}} {
		if _, err := NewFollower(cfg, fc); err == nil {
			t.Errorf("%+v is taken", fc)
		}
	}
}
