package kafka

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/droplift/droplift/deploy/apachekafka"
	"github.com/droplift/droplift/deploy/apachekafka/apachekafkatest"
	"github.com/droplift/droplift/ingest/event"
)

// The broker that coordinates the group is killed and started again while stages, feeds and producers
// work: leaders and coordinators move, and nothing is lost or counted twice.
func TestBrokerThatDiesLosesNothing(t *testing.T) {
	t.Parallel()
	servers := apachekafkatest.Start(t, func(c *apachekafka.Config) { c.Brokers = 3 })
	cfg := Config{Brokers: servers.Addrs(), Logger: testLogger(t)}
	ensureTogether(t, cfg, Topics{Replication: 3, Groups: []string{testGroup}})
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	replicated := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		topics, err := adm.adm.ListTopicsWithInternal(kadm.WithAuthorizedOps(ctx))
		if err != nil {
			return false
		}
		for _, topic := range topics {
			for _, p := range topic.Partitions {
				if len(p.Replicas) != 3 || len(p.ISR) != 3 {
					return false
				}
			}
		}
		return len(topics) > 0
	}

	sc := tallies()
	sc.SessionTimeout, sc.TransactionTimeout = 10*time.Second, 5*time.Second
	stages := []*member{startStage(t, cfg, sc), startStage(t, cfg, sc)}
	w := newWarehouse()
	fc := shelves(cfg, w, 200)
	fc.SessionTimeout, fc.RevokeTimeout = 10*time.Second, 5*time.Second
	feeds := []*feeder{startFeed(t, cfg, fc), startFeed(t, cfg, fc)}

	const keys, chunk = 53, 50
	var total atomic.Int64
	killed := make(chan struct{})
	var producing sync.WaitGroup
	producing.Go(func() {
		for last := false; !last; {
			select {
			case <-killed:
				last = true
			default:
			}
			from := int(total.Load())
			kind := event.KindPlayer
			if from/chunk%3 == 0 {
				kind = event.KindCheckout
			}
			produce(t, cfg, kind, from, from+chunk, keys)
			total.Add(chunk)
		}
	})
	more := func(what string) {
		t.Helper()
		from := w.rows()
		eventually(t, time.Minute, what, func() bool { return w.rows() > from+4*chunk })
	}
	eventually(t, time.Minute, "everything is replicated", replicated)
	more("work before a broker is killed")
	coordinator := adm.adm.FindGroupCoordinators(t.Context(), cfg.GroupID(testGroup))[cfg.GroupID(testGroup)]
	if coordinator.Err != nil {
		t.Fatal(coordinator.Err)
	}
	if err := servers.Kill(int(coordinator.NodeID)); err != nil {
		t.Fatal(err)
	}
	more("work without the broker")
	if err := servers.Restart(t.Context(), int(coordinator.NodeID)); err != nil {
		t.Fatal(err)
	}
	more("work with all brokers")
	close(killed)
	producing.Wait()
	eventually(t, time.Minute, "everything committed and released", func() bool {
		return groupDone(t, cfg, testGroup, event.KindPlayer, event.KindCheckout) && groupDone(t, cfg, testLoaders, event.KindPlayer, event.KindCheckout)
	})
	for _, m := range stages {
		m.stop(t)
	}
	for _, m := range feeds {
		if err := m.stop(t); err != nil {
			t.Error(err)
		}
	}
	checkExactlyOnce(t, cfg, testGroup, int(total.Load()), keys)
	w.check(t, cfg, event.KindPlayer, event.KindCheckout)
	t.Logf("%d records, %d batches repeated", total.Load(), w.repeats)
}
