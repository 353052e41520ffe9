package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/simulate"
)

// TestScaleOut plays one seeded drop through one process, and through groups of two and four processors and as many
// sinks, which join, leave and are killed (-9) all the while: the tables must be the same, and right.
func TestScaleOut(t *testing.T) {
	seed := pipelineSeed(t)
	r := newRig(t, 1)
	scenario := simulate.Tiny(seed)
	alone := world{"alone-", "alone"}
	truth, total := r.playInPeace(alone, scenario, 0)
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := world{fmt.Sprintf("by%d-", n), fmt.Sprintf("by%d", n)}
			r.prepare(w)
			traffic := r.traffic(w, scenario)
			crew := newCrew(t, r, w, n)
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			const changes = 16
			for range changes {
				crew.change(rng)
				traffic.send(t, total/changes)
				crew.awaitProgress()
			}
			crew.complete()
			traffic.send(t, total)
			r.drain(w)
			r.compare(t, truth, alone, w)
			t.Logf("seed %d, %d processors and %d sinks: %d joined, %d left, %d were killed", seed, n, n, crew.joined, crew.left, crew.killed)
			if crew.left == 0 || crew.killed == 0 {
				t.Error("nobody left or was killed: nothing is tested")
			}
		})
	}
}

// crew is a changing set of processes that share one Kafka and one ClickHouse.
type crew struct {
	t     *testing.T
	rig   *rig
	world world
	watch *watch
	// members are the processors, then the sinks; nil for none in that place.
	members              []*process
	committed            int64
	joined, left, killed int
}

// newCrew starts n processors and n sinks.
func newCrew(t *testing.T, r *rig, w world, n int) *crew {
	c := &crew{t: t, rig: r, world: w, watch: r.watch(w), members: make([]*process, 2*n)}
	c.complete()
	return c
}

// complete fills every place.
func (c *crew) complete() {
	for place, member := range c.members {
		if member == nil {
			c.join(place)
		}
	}
}

func (c *crew) join(place int) {
	c.t.Helper()
	role := "process"
	if place >= len(c.members)/2 {
		role = "sink"
	}
	c.members[place] = startDroplift(c.t, nil, append([]string{role}, c.rig.flags(c.world, strings.Join(c.rig.broker.Addrs(), ","), c.rig.engine.URL())...)...)
	c.joined++
}

// change makes a member join, leave or die. One of each role always stays, so that there is somebody to go on.
func (c *crew) change(rng *rand.Rand) {
	c.t.Helper()
	half := len(c.members) / 2
	place := rng.IntN(len(c.members))
	first := place / half * half
	present := 0
	for _, member := range c.members[first : first+half] {
		if member != nil {
			present++
		}
	}
	member := c.members[place]
	switch {
	case member == nil:
		c.join(place)
	case present == 1:
		c.join(first + (place-first+1)%half)
	case rng.IntN(2) == 0:
		c.members[place] = nil
		member.Process.Kill()
		member.Wait()
		c.killed++
	default:
		c.members[place] = nil
		member.Process.Signal(os.Interrupt)
		code := member.end(c.t)
		if status, ok := member.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGINT {
			c.killed++ // it was so new that it could not listen yet
			return
		}
		if code != 0 {
			c.t.Errorf("a member that was asked to leave ended with exit code %d", code)
		}
		c.left++
	}
}

// awaitProgress returns when the groups have committed something since the last call.
func (c *crew) awaitProgress() {
	c.t.Helper()
	eventually(c.t, time.Minute, func() error {
		lags, err := c.watch.admin.Lag(c.t.Context(), c.watch.cfg.ProcessGroup, c.watch.cfg.SinkGroup)
		if err != nil {
			return err
		}
		var now int64
		for _, lag := range lags {
			now += max(0, lag.Committed)
		}
		if now <= c.committed {
			return fmt.Errorf("the groups stand still at %d committed offsets", now)
		}
		c.committed = now
		return nil
	})
}
