package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

// returns are records from … to−1 of player/1, to be given back. They stood far beyond where they come to stand.
func returns(from, to int) []Return {
	var out []Return
	for i := from; i < to; i++ {
		out = append(out, Return{From: Place{event.KindPlayer, 1, 1_000_000 + int64(i)}, Key: fmt.Appendf(nil, "k%d", i%3), Value: fmt.Appendf(nil, "%d", i)})
	}
	return out
}

// redeliver is one run of a redelivery over a network of its own: it sends what no marker names, in batches.
func redeliver(ctx context.Context, cfg Config, net *network, all []Return, batch int) error {
	cfg.Dial = net.dial
	r, err := NewRedelivery(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	due := slices.DeleteFunc(slices.Clone(all), func(give Return) bool { _, sent := r.Of(give.From); return sent })
	for part := range slices.Chunk(due, batch) {
		if err := r.Send(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// checkReturned compares player/1 with every record given back once, in order, and the markers with where they stand.
func checkReturned(t *testing.T, cfg Config, all []Return) {
	t.Helper()
	markers, err := ReadRedeliveries(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := contents(t, cfg, cfg.Topic(event.KindPlayer))
	if len(log) > 1 || len(log[1]) != len(all) {
		t.Fatalf("%d records in partition 1, of %d partitions, want %d", len(log[1]), len(log), len(all))
	}
	for i, r := range log[1] {
		if string(r.Value) != string(all[i].Value) || string(r.Key) != string(all[i].Key) {
			t.Fatalf("record %d is %q under %q, want %q under %q", i, r.Value, r.Key, all[i].Value, all[i].Key)
		}
		d, ok := markers.Of(all[i].From)
		if !ok || d.To != r.Offset || d.First != all[i].From.String() || d.Attempt != 1 {
			t.Errorf("the marker of %s is %+v, the record stands at %d", all[i].From, d, r.Offset)
		}
	}
}

func testRedeliveryTwice(t *testing.T, k server) {
	cfg := k.config(t).Config
	if r, err := ReadRedeliveries(t.Context(), cfg); err != nil || len(r.from) != 0 {
		t.Fatalf("before the topic is made: %v, %v", r, err)
	}
	ensure(t, cfg, Topics{})
	all := returns(0, 25)
	for range 3 {
		if err := redeliver(t.Context(), cfg, &network{}, all, 10); err != nil {
			t.Fatal(err)
		}
	}
	checkReturned(t, cfg, all)
}

// A redelivered record that is dead-lettered again and given back again says where it all began.
func testRedeliveryOfARedelivered(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	r, err := NewRedelivery(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	give := returns(7, 8)
	for attempt := 1; attempt <= 3; attempt++ {
		if err := r.Send(t.Context(), give); err != nil {
			t.Fatal(err)
		}
		d, _ := r.Of(give[0].From)
		if d.First != "player/1/1000007" || d.Attempt != attempt {
			t.Errorf("attempt %d: %+v", attempt, d)
		}
		give[0].From.Offset = d.To
	}
	again, err := ReadRedeliveries(t.Context(), cfg)
	if d, ok := again.Before(give[0].From); err != nil || !ok || d.Attempt != 3 || d.At == 0 {
		t.Errorf("read back: %+v, %v, %v", d, ok, err)
	}
}

// The process dies with everything produced and nothing committed, or with its commit done and unanswered.
func TestRedeliveryKilled(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before the commit", "after the commit"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c, cfg := newCluster(t)
			ensure(t, cfg, Topics{})
			all := returns(0, 30)
			net := &network{}
			ctx, die := context.WithCancel(t.Context())
			var ends atomic.Int64
			c.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if ends.Add(1) != 2 {
					return nil, nil, false
				}
				if point == "before the commit" {
					net.cut()
					die()
					return nil, errNetwork, true
				}
				net.deaf.Store(true)
				die()
				return nil, nil, false
			})
			if err := redeliver(ctx, cfg, net, all, 10); err == nil {
				t.Fatal("a killed redelivery succeeded")
			}
			net.cut()
			markers, err := ReadRedeliveries(t.Context(), cfg)
			if want := map[string]int{"before the commit": 10, "after the commit": 20}[point]; err != nil || len(markers.from) != want {
				t.Errorf("%d markers, want %d: %v", len(markers.from), want, err)
			}
			if err := redeliver(t.Context(), cfg, &network{}, all, 10); err != nil {
				t.Fatal(err)
			}
			checkReturned(t, cfg, all)
		})
	}
}

// The second of two takes over; the first ends with what to do about it.
func testRedeliveryFenced(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	all := returns(0, 20)
	first, err := NewRedelivery(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := first.Send(t.Context(), all[:10]); err != nil {
		t.Fatal(err)
	}
	if err := redeliver(t.Context(), cfg, &network{}, all, 20); err != nil {
		t.Fatal(err)
	}
	if err := first.Send(t.Context(), all[10:]); !errors.Is(err, ErrRedeliveryFenced) {
		t.Errorf("the first one: %v", err)
	}
	checkReturned(t, cfg, all)
}

// A process dies with a transaction open, which its successor ends.
func testRedeliveryEndsWhatIsOpen(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	all := returns(0, 20)
	net := &network{}
	dead := cfg
	dead.Dial = net.dial
	first, err := NewRedelivery(t.Context(), dead)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := first.cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	open := &kgo.Record{Topic: cfg.Topic(event.KindPlayer), Partition: 1, Value: []byte("never")}
	if err := first.cl.ProduceSync(t.Context(), open).FirstErr(); err != nil {
		t.Fatal(err)
	}
	net.cut()
	if err := redeliver(t.Context(), cfg, &network{}, all, 20); err != nil {
		t.Fatal(err)
	}
	checkReturned(t, cfg, all)
}

// The second takes over while the first one's commit is on its way.
func TestRedeliveryFencedInItsCommit(t *testing.T) {
	t.Parallel()
	c, cfg := newCluster(t)
	ensure(t, cfg, Topics{})
	all := returns(0, 20)
	var once atomic.Bool
	var second error
	c.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if once.CompareAndSwap(false, true) {
			c.SleepControl(func() { second = redeliver(t.Context(), cfg, &network{}, all, 20) })
		}
		return nil, nil, false
	})
	if err := redeliver(t.Context(), cfg, &network{}, all, 20); !errors.Is(err, ErrRedeliveryFenced) {
		t.Errorf("the first one: %v", err)
	}
	if second != nil {
		t.Errorf("the second one: %v", second)
	}
	checkReturned(t, cfg, all)
}

// Redeliveries are started, cut off and started over each other at random, until one gets through.
func TestRedeliveryUnderFire(t *testing.T) {
	t.Parallel()
	c, cfg := newCluster(t)
	ensure(t, cfg, Topics{})
	random := rng(t)
	all := returns(0, 300)
	var requests atomic.Int64
	var fuse atomic.Pointer[func()]
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.EndTxn, kmsg.InitProducerID, kmsg.AddPartitionsToTxn} {
		c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if requests.Add(-1) == 0 {
				(*fuse.Load())()
			}
			return nil, nil, false
		})
	}
	for range 12 {
		ctx, die := context.WithCancel(t.Context())
		net := &network{}
		deaf := random.IntN(2) == 0
		blow := func() {
			if deaf {
				net.deaf.Store(true)
			} else {
				net.cut()
			}
			die()
		}
		fuse.Store(&blow)
		requests.Store(1 + random.Int64N(12))
		err := redeliver(ctx, cfg, net, all, 1+random.IntN(60))
		requests.Store(-1)
		die()
		if err == nil {
			break
		}
	}
	if err := redeliver(t.Context(), cfg, &network{}, all, 50); err != nil {
		t.Fatal(err)
	}
	checkReturned(t, cfg, all)
}

func TestPlace(t *testing.T) {
	for range 100 {
		p := Place{event.Kind(1 + rand.IntN(5)), rand.Int32N(100), rand.Int64N(1 << 40)}
		if got, err := ParsePlace(p.String()); err != nil || got != p {
			t.Errorf("%v comes back as %v, %v", p, got, err)
		}
	}
	for _, bad := range []string{"", "player", "player/1", "nothing/1/2", "player/-1/2", "player/1/x", "player/1/2/3", "player/" + strconv.Itoa(1<<40) + "/1"} {
		if p, err := ParsePlace(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}
